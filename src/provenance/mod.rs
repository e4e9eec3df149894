//! Provenance: the committed record of how an artifact came to be. docs/provenance.md describes the file.
//!
//! Text in, text out: nothing here reads the clock, the disk or git. A record holds no key and no absolute path.
mod hardness;
mod statement;
mod statistics;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Completion, Identity, Parameters};
use crate::prompt::Prompt;
use crate::spec::{Dependency, Policy, Profile, Stop};
use crate::verdict::Class;

pub use hardness::Hardness;
pub use statistics::{Certificate, Counts, PassRate, Share, Statistics, Usage, shares};
pub use summary::Summary;
pub use text::rfc3339;

/// Version of what llmc itself puts into the file, at most. A reader refuses a higher one.
pub const FORMAT_VERSION: u32 = 4;
/// The version of a record of what was drawn from a model.
const DRAWN: u32 = 1;
/// The version of a record of what a person made: it has no model.
const HUMAN: u32 = 2;
/// The version of a record of what was drawn from a model and certified.
const CERTIFIED: u32 = 3;
/// The version of a record of code that answers for a component.
const HARDENED: u32 = 4;
/// Longest provenance file that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// in-toto's name for the statement format.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// SLSA's name for the predicate format.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What kind of build it is; docs/provenance.md says what its parameters mean.
pub const BUILD_TYPE: &str = "urn:llmc:build:v1";
/// Who built.
pub const BUILDER_ID: &str = "urn:llmc:builder";

/// How an artifact came to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The generated files.
    pub subject: Vec<Subject>,
    /// The spec.
    pub spec: SpecRecord,
    /// What decides whether the artifact is up to date: see docs/provenance.md.
    pub input_digest: String,
    /// Who made the code.
    pub origin: Origin,
    /// What generated code might not do.
    pub policy: PolicyRecord,
    /// Crates that generated code might use, as the spec says.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Other artifacts that this one may call.
    pub uses: Vec<UseRecord>,
    /// The crates that were compiled in, with their exact versions.
    pub crates: Vec<CrateRecord>,
    /// The compiler.
    pub toolchain: ToolchainRecord,
    /// llmc's own version.
    pub llmc_version: String,
    /// Names the run, for finding it in the ledger.
    pub invocation: String,
    /// When work on the spec began, in RFC 3339 (UTC): see [`rfc3339`].
    pub started_on: String,
    /// When the artifact was chosen, in RFC 3339 (UTC).
    pub finished_on: String,
    /// How well the sandbox held candidates, e.g. `full`.
    pub sandbox: String,
}

/// Who made an artifact's code.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A model: it is what became of one of its samples.
    Model(Box<Drawn>),
    /// A person; it was judged as a sample is.
    Human(Adoption),
}

/// How code was drawn from a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The model the chosen sample was drawn from.
    pub model: Identity,
    /// How it was sampled.
    pub sampling: SamplingRecord,
    /// What was sent to the model.
    pub prompt: Prompt,
    /// The chosen sample, in full.
    pub completion: Completion,
    /// What the samples show about the spec and the model.
    pub statistics: Statistics,
    /// The steps from an independent draw to what was chosen, first one first; none where that is one itself.
    pub repairs: Vec<Repair>,
    /// The test that it passed, where one was asked for.
    pub certificate: Option<Certificate>,
    /// What is promised of it, where it answers in the place of a component's model.
    pub hardness: Option<Box<Hardness>>,
}

impl Drawn {
    /// The index, from 0, of the independent draw that the chosen candidate is or was made of.
    pub fn root(&self) -> usize {
        self.repairs.first().map_or(self.completion.index, |repair| repair.sample)
    }
}

/// How code that a person made was taken in. Who it was, the commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The artifact that was there before; none where there was none.
    pub from: Option<Earlier>,
}

/// An artifact that another one was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// SHA-256 of its code file, as its provenance has it.
    pub code: String,
    /// SHA-256 of its provenance file.
    pub provenance: String,
}

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its path, relative to the workspace's root.
    pub path: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// The spec as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecRecord {
    /// Its name.
    pub name: String,
    /// Its file, relative to the workspace's root.
    pub path: String,
    /// SHA-256 of its canonical form: comments and layout play no part.
    pub digest: String,
    /// SHA-256 of the file's bytes.
    pub file_digest: String,
}

/// How the model was sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingRecord {
    /// Most samples that would have been drawn.
    pub samples: usize,
    /// When drawing would stop.
    pub stop: Stop,
    /// Most repairs that would have been tried.
    pub repairs: usize,
    /// The sampler's parameters, the seed among them.
    pub parameters: Parameters,
}

/// The spec's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRecord {
    /// Whether `unsafe` was allowed.
    pub allow_unsafe: bool,
    /// Longest candidate, in lines.
    pub max_lines: usize,
    /// Paths that might not be named.
    pub deny: Vec<String>,
    /// How it was compiled for its checks; in older records it is not told, and was the default.
    #[serde(default = "default_profiles")]
    pub profiles: Vec<Profile>,
}

fn default_profiles() -> Vec<Profile> {
    Policy::default().profiles
}

impl From<&Policy> for PolicyRecord {
    fn from(policy: &Policy) -> Self {
        let (deny, profiles) = (policy.deny.clone(), policy.profiles.clone());
        Self { allow_unsafe: policy.allow_unsafe, max_lines: policy.max_lines, deny, profiles }
    }
}

/// An artifact that this one may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseRecord {
    /// Its spec's name.
    pub name: String,
    /// SHA-256 of its code.
    pub digest: String,
}

/// A crate that was compiled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrateRecord {
    /// Its name.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// SHA-256 of its package, where known.
    pub sha256: Option<String>,
}

/// The compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolchainRecord {
    /// `rustc -V`.
    pub rustc: String,
    /// The host triple.
    pub host: String,
}

/// A step from a candidate that failed to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// Who took it.
    #[serde(default)]
    pub by: Fixer,
    /// The index, from 0, of the sample that failed.
    pub sample: usize,
    /// SHA-256 of that sample's completion.
    #[serde(default)]
    pub parent: String,
    /// What kind of failure it was.
    pub class: Option<Class>,
    /// Its code.
    pub code: Option<String>,
    /// What the model was told; or what rustc suggested and was done.
    pub detail: String,
    /// For a model: SHA-256 of the prompt that told it, as the ledger has it.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The model, as `provider/name`.
    #[serde(default)]
    pub model: Option<String>,
}

/// Who changes a candidate that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fixer {
    /// A model, which was told what is wrong: the result is a sample of its own.
    #[default]
    Model,
    /// rustc, by suggestions that it is sure of: the result is still the same sample.
    Rustc,
}

/// Why a provenance file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// Longer than [`MAX_BYTES`].
    #[error("provenance of {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// No JSON, or not of this shape.
    #[error("not a provenance file of llmc: {0}")]
    Shape(String),
    /// Written by a newer llmc.
    #[error("provenance of format version {0}; this llmc reads up to {FORMAT_VERSION}: use a newer llmc")]
    Newer(u32),
    /// A statement about something else.
    #[error("{field} is {found:?}, not {wanted:?}")]
    Foreign {
        /// The field.
        field: &'static str,
        /// What it holds, shortened.
        found: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A digest that is recorded beside its text does not fit it.
    #[error("the recorded {0} is not what its digest says: the file was changed by hand")]
    Mismatch(&'static str),
    /// A path that leads out of the workspace.
    #[error("{0:?} is not a path inside of the workspace")]
    Path(String),
}

impl Provenance {
    /// How it was drawn; `None` where a person made it.
    pub fn drawn(&self) -> Option<&Drawn> {
        match &self.origin {
            Origin::Model(drawn) => Some(drawn),
            Origin::Human(_) => None,
        }
    }

    /// What is promised of code that answers for a component; `None` of any other.
    pub fn hardness(&self) -> Option<&Hardness> {
        self.drawn()?.hardness.as_deref()
    }
}
