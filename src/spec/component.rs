//! Specs of `kind: component`: something that a model answers, called by name through the harness.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{Budget, PromptOptions, Sampling};
use crate::harness::{Decision, Vote};
use crate::schema::Schema;

/// A spec of `kind: component`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentSpec {
    /// The spec's name: a Rust identifier, and the file's stem.
    pub name: String,
    /// What it does, in words: what the model is told, and what a model reads that may call it as a tool.
    pub description: String,
    /// What it takes.
    pub input: Schema,
    /// What it gives.
    pub output: Schema,
    /// Inputs with the outputs they should get: shown to the model, hidden ones aside.
    pub examples: Vec<ComponentExample>,
    /// Components and functions that the model may call.
    pub tools: Vec<String>,
    /// `provider/name`, in the order in which they are tried; empty: the workspace's default.
    pub model: Vec<String>,
    /// How to sample; `samples`, `stop` and `repairs` have no meaning here.
    pub sampling: Sampling,
    /// Caps on what one call may use up.
    pub budget: Budget,
    /// What shapes the prompt; `shots` has no meaning here.
    pub prompt: PromptOptions,
    /// What is expected of the distribution of its answers.
    pub expect: Expectations,
    /// Who may call it, unless a rule says something stricter.
    pub approval: Decision,
    /// The longest that one attempt may take.
    pub timeout: Option<Duration>,
    /// How many more attempts there may be.
    pub retries: u32,
    /// Several answers, of which enough must be the same.
    pub vote: Option<Vote>,
    /// Calls at once.
    pub concurrency: Option<usize>,
    /// Whether an answer is kept for the same input.
    pub cache: bool,
}

/// An input with the output it should get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentExample {
    /// The input.
    pub input: Value,
    /// The output.
    pub output: Value,
    /// Whether it is kept from the model: it only tests.
    pub hidden: bool,
}

/// What is expected of the distribution of a component's answers; each is tested by `llmc test`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Expectations {
    /// How often, at least, an answer to an example's input is the example's output (or what `judge` takes for right).
    pub agree: Option<f64>,
    /// How often, at least, there is an answer that fits the schema.
    pub valid: Option<f64>,
    /// A Rust expression over `input`, `output` and `expected`, true where the answer is right.
    pub judge: Option<String>,
    /// The longest that 95 of 100 calls may take.
    pub max_latency: Option<Duration>,
    /// The most that a call may cost on average, in US dollars.
    pub max_cost: Option<f64>,
}
