//! Statistics over independent draws. Pure arithmetic, each formula with its source; docs/statistics.md explains them.

mod clusters;
mod drift;
mod random;
mod rates;
mod sequential;

pub use clusters::*;
pub use drift::*;
pub use random::{Random, beta};
pub use rates::*;
pub use sequential::*;
