//! What is kept of each crossing of the boundary, and who keeps it.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Audited, CallError, Decision, Side, Usage};

/// One call through the harness, from its caller's side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// The run it belongs to.
    pub run: String,
    /// Its number in the run, from 1, in the order in which calls began.
    pub id: u64,
    /// The call that made it; absent for those of the run's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// The component.
    pub component: String,
    /// The side that answered, or would have.
    pub side: Side,
    /// What went in.
    pub input: Value,
    /// What came out; absent where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why there is no output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
    /// The model that answered, as `provider/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Digest of what answered, as [`About::digest`](super::About::digest) has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What it took itself, without the calls that it made.
    pub usage: Usage,
    /// When it began, in milliseconds since 1970.
    pub started: u64,
    /// How long it took, in microseconds, with the calls that it made.
    pub micros: u64,
    /// The attempts that failed before, and the answers that were outvoted; in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What the rules say of it: `ask` where somebody agreed.
    #[serde(default)]
    pub approval: Decision,
    /// Where the answer came from, if not from the component itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// What the model said to the same input, where a hybrid's code was audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audited>,
}

/// Where an answer came from that the component did not give now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// An earlier answer to the same input, in this process.
    Cache,
    /// The record of an earlier run.
    Replay,
}

/// One attempt of a call that did not give its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The component that was tried: the one called, or one to fall back on.
    pub component: String,
    /// Why it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
    /// The answer that was outvoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// What is known when a call begins.
#[derive(Debug, Clone, Copy)]
pub struct Began<'a> {
    /// The run it belongs to.
    pub run: &'a str,
    /// Its number in the run.
    pub id: u64,
    /// The call that made it.
    pub parent: Option<u64>,
    /// The component.
    pub component: &'a str,
    /// The side the component is on.
    pub side: Side,
    /// The model behind it.
    pub model: Option<&'a str>,
}

/// Whoever keeps the crossings.
pub trait Recorder: Send + Sync {
    /// A call begins.
    fn began(&self, began: &Began<'_>) {
        let _ = began;
    }

    /// A call ended. It is told before its caller gets the answer: what can't be kept is an error of the call.
    fn ended(&self, crossing: &Crossing) -> Result<(), String>;
}

/// Keeps crossings in memory, in the order in which they ended.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Vec<Crossing>>);

impl Memory {
    /// Those of all runs so far, in the order in which they ended.
    pub fn crossings(&self) -> Vec<Crossing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Recorder for Memory {
    fn ended(&self, crossing: &Crossing) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(crossing.clone());
        Ok(())
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
