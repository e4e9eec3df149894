//! Models: what can be sampled. Each provider is one file behind [`Model`], and a line in `providers`.
//!
//! A provider knows nothing of specs, Rust or validation: a prompt goes in, completions come out. What servers have in
//! common is in `http` (a request), `pace` (how many), `trouble` (what a failure means) and `refusal` (parameters).

pub mod answer;
pub mod anthropic;
pub mod choice;
pub mod command;
pub mod download;
mod each;
#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
pub mod gguf;
pub mod grammar;
pub mod http;
pub mod local;
pub mod openai;
pub mod pace;
pub mod price;
pub mod providers;
pub mod purse;
pub mod reasoning;
pub mod refusal;
pub mod replay;
pub mod sampling;
pub mod secret;
pub mod sse;
pub mod stop;
pub mod structure;
pub mod talk;
pub mod trouble;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::prompt::Prompt;

pub use error::{ModelError, Wait};
pub use purse::Purse;
pub use talk::{Said, Talk, Tool, ToolCall, ToolResult, Turn};

/// A boxed future, so that [`Model`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can be sampled.
pub trait Model: Send + Sync {
    /// Who it is, for events, provenance and cache keys.
    fn identity(&self) -> &Identity;

    /// What one request of those that it would send can take at most.
    fn most(&self, request: &Request<'_>) -> purse::Most {
        purse::Most::of_request(request)
    }

    /// Whether it asks the request's purse itself, request by request.
    fn asks_purse(&self) -> bool {
        false
    }

    /// Whether the tools of a [`Talk`] reach it as such. Where not, whoever has some must say so in words.
    fn takes_tools(&self) -> bool {
        false
    }

    /// Draws the samples [`Request::indices`] of one prompt, reporting each as it ends.
    ///
    /// A sample that failed is reported as [`Drawn::Failed`] and does not end the others; `Err` means that none
    /// could be drawn at all. When `sink` is closed the rest is no longer wanted: it stops soon and returns `Ok`.
    /// Once it has returned nothing holds on to `sink` any more.
    fn draw<'a>(
        &'a self,
        request: &'a Request<'a>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> BoxFuture<'a, Result<(), ModelError>>;
}

/// Who a model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider, e.g. `embedded`.
    pub provider: String,
    /// The model's name there, e.g. `qwen2.5-coder-0.5b-instruct-q4_k_m`.
    pub name: String,
    /// SHA-256 of the model file, where the model is local.
    pub digest: Option<String>,
    /// Facts that the samples depend on, in a fixed order: engine and version, batch width, threads …
    pub facts: Vec<(String, String)>,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.provider, self.name)
    }
}

/// What to draw.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// How to sample.
    pub parameters: &'a Parameters,
    /// Index of the first sample, from 0.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// From one index to the next, at least 1: where several models take turns, how many they are.
    pub step: usize,
    /// Who is asked before anything is sent.
    pub purse: Option<&'a Arc<dyn Purse>>,
    /// What comes after the prompt, and what the answer has to be.
    pub talk: Option<&'a Talk>,
}

impl<'a> Request<'a> {
    /// So many samples in a row, and nobody is asked.
    pub fn new(prompt: &'a Prompt, parameters: &'a Parameters, first: usize, count: usize) -> Self {
        Self { prompt, parameters, first, count, step: 1, purse: None, talk: None }
    }

    /// The indices of the samples.
    pub fn indices(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, step) = (self.first, self.step.max(1));
        (0..self.count).map_while(move |number| number.checked_mul(step)?.checked_add(first))
    }
}

/// How to sample, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// `None`: the provider's own choice, recorded with each sample.
    pub temperature: Option<f32>,
    /// Nucleus sampling, above 0 and at most 1.
    pub top_p: f32,
    /// Longest completion, in tokens; `None`: the provider's default.
    pub max_tokens: Option<usize>,
    /// The seed; a sample's own is derived from it and its index.
    pub seed: u64,
}

/// What a model reports while it draws.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "samples are what it is for; the others are few and short-lived")]
pub enum Drawn {
    /// So many tokens were generated since the last report, over all samples.
    Tokens(usize),
    /// A sample ended.
    Sample(Completion),
    /// A sample failed for good.
    Failed {
        /// Its index.
        index: usize,
        /// Why.
        error: ModelError,
    },
}

/// One draw from a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The sample's index, from 0.
    pub index: usize,
    /// The raw text, with the opening that was given to the model in front.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt. Samples that share a prompt's computation each carry the whole count.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// The temperature it was drawn at.
    pub temperature: f32,
    /// How it was asked: `chat`, `opened` (a chat whose answer was begun), `continued` (plain text).
    pub style: String,
    /// From the request to the last token, in milliseconds.
    pub milliseconds: u64,
    /// What the model thought before it answered, where that could be told from the answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Of the generated tokens, those for reasoning, as the server counts them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: usize,
    /// Of the prompt's tokens, those that the server read from its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: usize,
    /// Of the prompt's tokens, those that the server wrote to its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_written_tokens: usize,
    /// Whether the tokens were guessed, since the server did not count them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What it cost in US dollars, where the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// The model that answered, as the server calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_as: Option<String>,
    /// What was asked for and had to be left out, since the server refuses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The tools it called, in place of an answer or beside one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Whether the model declined to answer, as its provider tells; the text is what it said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Whether the model was held to the schema that was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub constrained: bool,
    /// What the provider wants to have back word for word if the talk goes on.
    #[serde(skip)]
    pub whole: Option<serde_json::Value>,
    /// What it took of a purse.
    #[serde(skip)]
    pub paid: Option<purse::Paid>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Where the answer was begun with a code block, the end of the block is the end of the answer.
fn end_of_block(stop: &mut Vec<String>, opening: &str) {
    if stop.is_empty() && opening.trim_start().starts_with("```") {
        stop.push("\n```".to_owned());
    }
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model was done.
    #[default]
    Stop,
    /// It ran into `max_tokens` or the context's end.
    Length,
    /// The provider held the rest back.
    Filter,
}
