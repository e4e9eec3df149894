//! What the checks of a candidate are linked with. Built by llmc once per toolchain; never part of llmc itself.

pub mod generate;
pub mod report;

pub use generate::*;
pub use report::*;
