//! Prompts: the messages rendered from a spec by a template. The only user of tera.
//!
//! Hidden examples, hidden properties and hidden tests never reach a template: [`Shown`] has no field for them.

use serde::{Deserialize, Serialize};

/// What is sent to a model, rendered once per spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The template's name.
    pub template: String,
    /// SHA-256 over the text of every template that took part, in hex.
    pub template_digest: String,
    /// The system message.
    pub system: String,
    /// The user message.
    pub user: String,
    /// How the answer begins, where the model lets us open it: a code fence and, for a single function,
    /// its imports and signature up to and with the `{`.
    pub opening: String,
    /// The same task as plain text to continue, after worked examples; ends as `opening` does, without a fence.
    /// Only for a single function; for models that run in the process and tie or win with it.
    pub continuation: Option<Continuation>,
}

/// A text for a model to continue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
    /// Worked examples, then the task's doc comment.
    pub text: String,
    /// The imports and signature up to and with `{`: the first part of the completion.
    pub opening: String,
}
