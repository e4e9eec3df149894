//! What the checks of a candidate are linked with. Built by llmc once per toolchain; never part of llmc itself.

pub mod caller;
pub mod fork;
pub mod generate;
pub mod report;
pub mod serve;
pub mod wire;

pub use fork::fork_server;
pub use generate::*;
pub use report::*;
pub use serve::serve;
