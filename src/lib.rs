//! llmc, a stochastic compiler: a spec denotes a distribution over programs; llmc samples it, validates
//! what it drew, picks one program by what it does, and freezes it in git with its provenance.
//!
//! ARCHITECTURE.md is the map. A module uses only modules above it in this list (a test holds that).

pub mod schema;
pub mod harness;
pub mod verdict;

#[cfg(feature = "cli")]
pub mod explain;
#[cfg(feature = "cli")]
pub mod digest;
#[cfg(feature = "cli")]
pub mod stats;
#[cfg(feature = "cli")]
pub mod interrupt;
#[cfg(feature = "cli")]
pub mod event;
#[cfg(feature = "cli")]
pub mod syntax;
#[cfg(feature = "cli")]
pub mod spec;
#[cfg(feature = "cli")]
pub mod prompt;
#[cfg(feature = "cli")]
pub mod model;
#[cfg(feature = "cli")]
pub mod candidate;
#[cfg(feature = "cli")]
pub mod sandbox;
#[cfg(feature = "cli")]
pub mod toolchain;
#[cfg(feature = "cli")]
pub mod validate;
#[cfg(feature = "cli")]
pub mod behaviour;
#[cfg(feature = "cli")]
pub mod select;
#[cfg(feature = "cli")]
pub mod measure;
#[cfg(feature = "cli")]
pub mod clarify;
#[cfg(feature = "cli")]
pub mod provenance;
#[cfg(feature = "cli")]
pub mod sign;
#[cfg(feature = "cli")]
pub mod workspace;
#[cfg(feature = "cli")]
pub mod freeze;
#[cfg(feature = "cli")]
pub mod proposal;
#[cfg(feature = "cli")]
pub mod repo;
#[cfg(feature = "cli")]
pub mod ledger;
#[cfg(feature = "cli")]
pub mod options;
#[cfg(feature = "cli")]
pub mod error;
#[cfg(feature = "cli")]
pub mod driver;
#[cfg(feature = "cli")]
pub mod report;
#[cfg(feature = "cli")]
pub mod cli;
