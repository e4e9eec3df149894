//! What can go wrong with a call, and on which side of the boundary it did.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Side;

/// What kind of failure a call ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// Nothing of that name is registered.
    Unknown,
    /// The caller may not call this: it is not among its tools.
    NotATool,
    /// An approval was refused, or there was nobody to ask.
    Denied,
    /// The input is not what the component takes.
    Input,
    /// The model declined to answer.
    Refusal,
    /// The answer is not what the component gives: no JSON, or JSON that does not fit its schema.
    FormatViolation,
    /// Fewer answers than wanted were the same.
    Disagreement,
    /// Code had no answer, and there is no model behind it.
    Abstained,
    /// The component returned an error of its own.
    Failed,
    /// The component panicked.
    Panicked,
    /// It took longer than it may.
    TimedOut,
    /// The run was cancelled.
    Cancelled,
    /// What the call could take is more than what is left of the budget.
    Budget,
    /// Components called each other too deep.
    Depth,
    /// The provider failed: no connection, an error of the server, a limit on its rate.
    Provider,
    /// A replayed run asked for something that was not recorded.
    Diverged,
    /// The crossing could not be recorded.
    Record,
}

impl Class {
    /// The class as it is written in records, e.g. `timed-out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotATool => "not-a-tool",
            Self::Denied => "denied",
            Self::Input => "input",
            Self::Refusal => "refusal",
            Self::FormatViolation => "format-violation",
            Self::Disagreement => "disagreement",
            Self::Abstained => "abstained",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Budget => "budget",
            Self::Depth => "depth",
            Self::Provider => "provider",
            Self::Diverged => "diverged",
            Self::Record => "record",
        }
    }

    /// Whether the same call, made again, may well end otherwise.
    ///
    /// What a person or a limit decided is final, and so is what code did with the same input.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Refusal | Self::FormatViolation | Self::Disagreement | Self::TimedOut | Self::Provider)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// The component that was called.
    pub component: String,
    /// What kind of failure it is.
    pub class: Class,
    /// The side on which it arose; absent where the call did not get as far as the component.
    pub side: Option<Side>,
    /// What happened, in words.
    pub message: String,
    /// Who called whom, from the run's own code down to the component; names only.
    pub chain: Vec<String>,
}

impl CallError {
    /// An error of `component`, on no side yet. Whoever called it fills in the rest.
    pub fn new(component: impl Into<String>, class: Class, message: impl Into<String>) -> Self {
        Self { component: component.into(), class, side: None, message: message.into(), chain: Vec::new() }
    }

    /// The same, arisen on `side`.
    #[must_use]
    pub fn on(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.component)?;
        if let Some(side) = self.side {
            write!(formatter, " ({side})")?;
        }
        write!(formatter, ": {}", self.message)?;
        // The last of the chain is the component itself, the first the run.
        if self.chain.len() > 2 {
            write!(formatter, " [called through {}]", self.chain[1..self.chain.len() - 1].join(" → "))?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}
