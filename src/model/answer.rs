//! An answer while it is put together, from pieces or from a whole. Pure.

use serde_json::Value;

use super::trouble::Trouble;
use super::{Finish, ToolCall};

/// What a server has said so far.
#[derive(Debug, Default)]
pub struct Answer {
    /// The answer itself.
    pub text: String,
    /// The reasoning before it, where the server tells the two apart.
    pub reasoning: String,
    /// The tools it calls, in the order in which they began.
    pub calls: Vec<ToolCall>,
    /// Whether the model declined, as the server tells.
    pub refused: bool,
    /// The answer in the server's own form, where it wants that back.
    pub parts: Vec<Value>,
    /// Why it ended; `None` as long as it has not.
    pub finish: Option<Finish>,
    /// Whether nothing more is to come.
    pub is_over: bool,
    /// Pieces with text in them: about as many as tokens.
    pub pieces: usize,
    /// The server's own count.
    pub usage: Usage,
    /// The model, as the server calls it.
    pub served_as: Option<String>,
}

/// What an answer took, as the server counts it.
#[derive(Debug, Default)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: Option<usize>,
    /// Tokens generated, reasoning included.
    pub completion_tokens: Option<usize>,
    /// Of the prompt's, those read from the server's cache.
    pub cached_tokens: usize,
    /// Of the prompt's, those written to the server's cache.
    pub cache_written_tokens: usize,
    /// Of those generated, the ones for reasoning.
    pub reasoning_tokens: usize,
    /// What it cost, where the server says.
    pub usd: Option<f64>,
}

/// Why what a server sent is no answer.
#[derive(Debug)]
pub enum Fault {
    /// The server reports an error, in an answer that began well.
    Error(Trouble),
    /// It is something else: what.
    NotIt(String),
}

impl Answer {
    /// Whether nothing was said yet.
    pub fn is_blank(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty() && self.finish.is_none()
    }

    /// Adds to the answer.
    pub fn say(&mut self, text: &str) {
        self.pieces += usize::from(!text.is_empty());
        self.text.push_str(text);
    }

    /// Adds to the reasoning.
    pub fn think(&mut self, text: &str) {
        self.pieces += usize::from(!text.is_empty());
        self.reasoning.push_str(text);
    }
}

/// A count of tokens.
pub(super) fn count(value: &Value) -> Option<usize> {
    value.as_u64().map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}
