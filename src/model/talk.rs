//! A conversation beyond one prompt: what was said since, what the answer has to be, and the tools there are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema::Schema;

/// What comes after a prompt's own messages, and what the next answer has to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Talk {
    /// What was said since, in order.
    pub turns: Vec<Turn>,
    /// What the answer's text must be, as JSON. It is a wish: [`Completion::constrained`](super::Completion) says
    /// whether the model could not but fulfil it.
    pub output: Option<Schema>,
    /// What the model may call instead of answering.
    pub tools: Vec<Tool>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// The model's.
    Model(Said),
    /// What the tools gave that it called.
    Results(Vec<ToolResult>),
    /// What is said to it.
    User(String),
}

/// What a model said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// In words.
    pub text: String,
    /// The tools it called.
    pub calls: Vec<ToolCall>,
    /// What its provider wants to have back word for word, in place of the two.
    pub whole: Option<Value>,
}

/// Something that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name: letters, digits, `_` and `-`, at most 64 of them.
    pub name: String,
    /// What it does, in words.
    pub description: String,
    /// JSON Schema of its input, which is an object.
    pub input: Value,
}

/// A call of a tool, as the model wrote it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the provider calls this call.
    pub id: String,
    /// The tool's name; nobody has looked whether there is one.
    pub name: String,
    /// Its input: JSON, or whatever the model took for it.
    pub arguments: String,
    /// What else the provider sent with it, to be sent back.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub more: Map<String, Value>,
    /// Where it stands among the others, while it streams in.
    #[serde(skip)]
    pub place: Option<u64>,
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The call's id.
    pub id: String,
    /// What it gave, or why it gave nothing.
    pub content: String,
    /// Whether it failed.
    pub is_error: bool,
}

impl Talk {
    /// All of it as one text, for those who know no turns: what the model said is told as such.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for turn in &self.turns {
            match turn {
                Turn::Model(said) => text.push_str(&format!("\nYou answered:\n\n{}\n", said.text.trim())),
                Turn::Results(results) => {
                    results.iter().for_each(|result| text.push_str(&format!("\n{}\n", result.content.trim())));
                }
                Turn::User(said) => text.push_str(&format!("\n{}\n", said.trim())),
            }
        }
        text
    }

    /// Everything in it that may count as tokens of a prompt.
    pub(super) fn counted(&self) -> String {
        let mut text = self.text();
        for turn in &self.turns {
            if let Turn::Model(said) = turn {
                said.calls.iter().for_each(|call| text.push_str(&call.arguments));
            }
        }
        text.extend(self.output.iter().map(|schema| schema.to_json().to_string()));
        for tool in &self.tools {
            text.push_str(&format!("{} {} {}", tool.name, tool.description, tool.input));
        }
        text
    }
}
