//! Models: what can be sampled. Each provider is one file behind [`Model`].
//!
//! A provider knows nothing of specs, Rust or validation: a prompt goes in, completions come out.

pub mod choice;
pub mod download;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod gguf;
pub mod openai;
pub mod price;
pub mod sampling;
pub mod stop;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::prompt::Prompt;

/// A boxed future, so that [`Model`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can be sampled.
pub trait Model: Send + Sync {
    /// Who it is, for events, provenance and cache keys.
    fn identity(&self) -> &Identity;

    /// Draws samples `request.first .. request.first + request.count` of one prompt, reporting each as it ends.
    ///
    /// A sample that failed is reported as [`Drawn::Failed`] and does not end the others; `Err` means that none
    /// could be drawn at all. When `sink` is closed the rest is no longer wanted: it stops soon and returns `Ok`.
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
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// How to sample.
    pub parameters: &'a Parameters,
    /// Index of the first sample, from 0.
    pub first: usize,
    /// How many.
    pub count: usize,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model was done.
    Stop,
    /// It ran into `max_tokens` or the context's end.
    Length,
    /// The provider held the rest back.
    Filter,
}

/// Why a model could not be sampled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The name or the settings can't be used.
    #[error("{0}")]
    Settings(String),
    /// A model file could not be had.
    #[error("{0}")]
    Download(String),
    /// The model can't be run here: no engine, wrong file, out of memory.
    #[error("{0}")]
    Engine(String),
    /// The server could not be reached.
    #[error("can't reach {url}: {reason}")]
    Unreachable {
        /// The address asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused the key.
    #[error("{url} refused the key (HTTP {status})")]
    Unauthorized {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server wants us to wait.
    #[error("{url} is busy (HTTP {status})")]
    Busy {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it wants us to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// The server answered something else than a completion.
    #[error("{url} answered {reason}")]
    BadReply {
        /// The address asked.
        url: String,
        /// What it answered, shortened, without secrets.
        reason: String,
    },
    /// The server took too long.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// The address asked.
        url: String,
        /// The limit, in seconds.
        seconds: u64,
    },
}
