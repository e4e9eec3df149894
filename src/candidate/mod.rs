//! Candidates: the Rust in a completion, held against the interface and the policy, and formatted.
//!
//! Works on text alone: nothing here is compiled or run. The only user of prettyplease.

use serde::{Deserialize, Serialize};

/// Rust extracted from a completion: parsed, conforming to the interface, within the policy, formatted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The module's source as prettyplease prints it, without llmc's header.
    pub source: String,
    /// What was changed on the way, for people: "dropped `fn main`", "added `pub`", …
    pub notes: Vec<String>,
}
