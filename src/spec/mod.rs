//! Specs: what a person writes, as a typed value.
//!
//! Reading one never stops at the first mistake: see [`Diagnostics`]. This module knows YAML and the
//! shape of a Rust interface; it never reads the environment, calls a model or runs anything.

mod answers;
mod checks;
mod component;
#[cfg(test)]
mod component_tests;
mod diagnostic;
mod draft;
mod edit;
mod interface;
mod json;
mod parse;
mod providers;
mod reader;
mod rules;
mod rust_types;
mod settings;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use answers::{Given, Wanted, parse_answers};
pub use component::{ComponentExample, ComponentSpec, Expectations, ToolErrors};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use draft::{Draft, Examples, SpecKind};
pub use edit::{with_assume, with_example, with_property};
pub use interface::{Form, Function, Interface, Method, TypeDef};
pub use parse::{AnySpec, check_name, parse, parse_any};
pub use providers::{HeaderValue, PROVIDERS, ProviderSettings};
pub use rules::parse_rules;
pub use rust_types::RustTypes;
pub use settings::{DayBudget, PriceSettings, Review, Settings, SignSettings, Whose, parse_settings};
pub use yaml::{Place, Snippet};

/// The JSON Schema of a spec file.
pub const SCHEMA: &str = include_str!("schema.json");

/// A spec of `kind: function`, checked.
///
/// Serialising it gives the canonical form whose digest decides whether an artifact is up to date:
/// comments, key order, quoting and where things stand in the file are not part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    /// The spec's name: a Rust identifier, the module in `generated`, and the file's stem.
    pub name: String,
    /// What is wanted, in words.
    pub description: String,
    /// The Rust items that are wanted and those that are given.
    pub interface: Interface,
    /// Calls with what they must give.
    pub examples: Vec<Example>,
    /// Statements over generated inputs.
    pub properties: Vec<Property>,
    /// Free Rust tests, shown to the model.
    pub tests: Option<Snippet>,
    /// Free Rust tests that judge only.
    pub hidden_tests: Option<Snippet>,
    /// Names of other specs that this one may call.
    pub uses: Vec<String>,
    /// Crates that the generated code may use.
    pub dependencies: BTreeMap<String, Dependency>,
    /// What generated code may not do.
    pub policy: Policy,
    /// `provider/name`, any of which may be sampled; empty: the workspace's default.
    pub model: Vec<String>,
    /// How to sample; what is absent comes from the settings.
    pub sampling: Sampling,
    /// Caps on what one build may use up.
    pub budget: Budget,
    /// What shapes the prompt.
    pub prompt: PromptOptions,
}

impl Spec {
    /// The canonical form: YAML with every key in a fixed order and nothing else of the file.
    pub fn canonical(&self) -> String {
        serde_yaml::to_string(self).expect("a spec holds only strings, numbers, lists and maps")
    }
}

/// One call with what it must give.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// A Rust expression.
    pub call: Snippet,
    /// What must be true of its result.
    pub expect: Expect,
    /// Whether it is kept from the model.
    pub hidden: bool,
}

/// What an example asks of its call's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// Equal (`==`) to this Rust expression.
    Returns(Snippet),
    /// This boolean expression over `result` is true.
    Holds(Snippet),
    /// The result matches this Rust pattern (which may have an `if` guard).
    Matches(Snippet),
    /// The call panics; with a text, the panic message contains it.
    Panics(Option<String>),
}

/// A statement that must hold for all inputs, tried on generated ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Property {
    /// A Rust identifier, unique in the spec.
    pub name: String,
    /// The variables and their (owned) Rust types, in the order of the file.
    pub forall: Vec<(String, Snippet)>,
    /// Inputs for which this boolean expression is false are passed over.
    pub assume: Option<Snippet>,
    /// A boolean Rust expression over the variables.
    pub holds: Snippet,
    /// Whether it is kept from the model.
    pub hidden: bool,
}

/// A crate that generated code may use, as in a `Cargo.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Dependency {
    /// A version requirement.
    pub version: String,
    /// Cargo features to enable.
    pub features: Vec<String>,
    /// Whether the crate's default features are on.
    pub default_features: bool,
}

/// What generated code may not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Whether `unsafe` is allowed (default: no).
    pub allow_unsafe: bool,
    /// Longest candidate, in lines of formatted code (default 120).
    pub max_lines: usize,
    /// Paths that may not be named, whatever they are called (default `std::fs`, `std::net`, `std::process`).
    pub deny: Vec<String>,
    /// How candidates are compiled, each profile once, in the order of [`Profile`] (default: debug alone).
    ///
    /// Where it is both, they must agree. The default is no part of the canonical form: what was built before
    /// there was a choice stays up to date.
    #[serde(skip_serializing_if = "is_debug_alone")]
    pub profiles: Vec<Profile>,
}

/// How a candidate is compiled for its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Unoptimised, with overflow checks and debug assertions.
    Debug,
    /// Optimised, without them: what most callers run in the end.
    Release,
}

fn is_debug_alone(profiles: &[Profile]) -> bool {
    profiles == [Profile::Debug]
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_unsafe: false,
            max_lines: 120,
            deny: ["std::fs", "std::net", "std::process"].map(String::from).to_vec(),
            profiles: vec![Profile::Debug],
        }
    }
}

/// How to sample. Every field may be absent; see `options` for the order in which they are filled.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sampling {
    /// How many samples to draw at most (1 to 10,000).
    pub samples: Option<usize>,
    /// 0 to 2.
    pub temperature: Option<f32>,
    /// Nucleus sampling, above 0 and at most 1.
    pub top_p: Option<f32>,
    /// Longest completion, in tokens.
    pub max_tokens: Option<usize>,
    /// Seed of the sampler.
    pub seed: Option<u64>,
    /// When to stop drawing.
    pub stop: Option<Stop>,
    /// How many repairs a build may try.
    pub repairs: Option<usize>,
}

/// When to stop drawing samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// At the first candidate that passes.
    First,
    /// When the leading behaviour is settled.
    Agree,
    /// When every sample is drawn.
    All,
}

/// Caps on what one build may use up.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Budget {
    /// Prompt and completion tokens together.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
    /// Seconds of wall time.
    pub seconds: Option<f64>,
}

/// What shapes the prompt.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PromptOptions {
    /// Replaces the template's system message.
    pub system: Option<String>,
    /// Specs whose artifacts are shown as worked examples.
    pub shots: Vec<String>,
    /// The template's name (default `implement`).
    pub template: Option<String>,
}
