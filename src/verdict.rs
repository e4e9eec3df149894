//! What validation found about a candidate.
//!
//! A candidate that does not parse, compile or pass is a [`Verdict`], never an error of llmc.

use serde::{Deserialize, Serialize};

/// How far a candidate came: the phase in which the verdict was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Finding Rust in the completion, parsing it, and holding it against the interface.
    Parse,
    /// The spec's policy, on the syntax tree.
    Policy,
    /// rustc.
    Compile,
    /// Examples and tests, shown and hidden.
    Test,
    /// Properties on generated inputs.
    Property,
}

impl Phase {
    /// The phase as it is written in events and messages, e.g. `compile`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Policy => "policy",
            Self::Compile => "compile",
            Self::Test => "test",
            Self::Property => "property",
        }
    }
}

/// How the phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every check of every phase holds.
    Passed,
    /// The candidate is wrong in this phase.
    Failed,
    /// It used up its CPU or wall time.
    Timeout,
    /// Its process, or the compiler working on it, died.
    Crashed,
    /// It hit a limit on memory, output, files or processes.
    Resource,
    /// Two runs on the same input differ.
    Flaky,
}

/// The class of an error: what kind of failure it is and so what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// No code, and the words of a refusal.
    Refusal,
    /// No code, cut off, does not parse, wrong signature.
    FormatViolation,
    /// Names a crate, item, method or argument that does not exist.
    Hallucination,
    /// Breaks the spec's policy; such code is never run.
    PolicyViolation,
    /// Does not compile for another reason: types, borrows, lifetimes.
    Miscompile,
    /// Compiles, and fails an example, a property or a test.
    Misinterpretation,
    /// Time, memory, output or processes beyond the limits.
    Resource,
    /// Two runs on the same input differ.
    Flaky,
}

/// rustc's codes for names that do not exist and calls with arguments that do not.
const HALLUCINATIONS: [&str; 27] = [
    "E0026", "E0027", "E0050", "E0061", "E0107", "E0220", "E0405", "E0407", "E0412", "E0422", "E0423", "E0424",
    "E0425", "E0426", "E0432", "E0433", "E0437", "E0438", "E0531", "E0532", "E0559", "E0560", "E0576", "E0599",
    "E0609", "E0610", "E0635",
];

impl Class {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Refusal,
        Self::FormatViolation,
        Self::Hallucination,
        Self::PolicyViolation,
        Self::Miscompile,
        Self::Misinterpretation,
        Self::Resource,
        Self::Flaky,
    ];

    /// The class of a compiler's error by its code, such as `E0425`.
    pub fn of_rustc(code: &str) -> Self {
        if HALLUCINATIONS.contains(&code) { Self::Hallucination } else { Self::Miscompile }
    }

    /// The class as it is written in events and messages, e.g. `format-violation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::FormatViolation => "format-violation",
            Self::Hallucination => "hallucination",
            Self::PolicyViolation => "policy-violation",
            Self::Miscompile => "miscompile",
            Self::Misinterpretation => "misinterpretation",
            Self::Resource => "resource",
            Self::Flaky => "flaky",
        }
    }
}

/// What validation found about one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The phase that decided; for a candidate that passed, the last one that had checks.
    pub phase: Phase,
    /// How that phase ended.
    pub outcome: Outcome,
    /// The error class; absent for a candidate that passed.
    pub class: Option<Class>,
    /// A short stable code: rustc's (`E0425`) where there is one, else llmc's own
    /// (`no-code`, `cut-off`, `syntax`, `signature`, `policy-unsafe`, `example-2`, `test-NAME`, `property-NAME`, …).
    /// Absent for a candidate that passed.
    pub code: Option<String>,
    /// What a person needs to see: the diagnostic, or input, expected and got. May be empty.
    pub detail: String,
    /// How many checks passed, of how many; `None` before the checks were run.
    pub checks: Option<(usize, usize)>,
    /// Whether `code` and `detail` come from a check that is kept from models: never put them into a prompt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether the checks ran in the candidate's own process, because its types can't travel to another: a program that
    /// is out to cheat could tell them what they want to hear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cooperative: bool,
}

impl Verdict {
    /// The verdict of a candidate for which every check holds.
    pub fn passed(phase: Phase, checks: usize) -> Self {
        Self {
            phase,
            outcome: Outcome::Passed,
            class: None,
            code: None,
            detail: String::new(),
            checks: Some((checks, checks)),
            hidden: false,
            cooperative: false,
        }
    }

    /// The verdict of a candidate that is wrong.
    pub fn failed(phase: Phase, class: Class, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            phase,
            outcome: Outcome::Failed,
            class: Some(class),
            code: Some(code.into()),
            detail: detail.into(),
            checks: None,
            hidden: false,
            cooperative: false,
        }
    }

    /// Whether it is Rust that has the spec's interface and keeps to the policy.
    pub fn conforms(&self) -> bool {
        self.phase >= Phase::Compile || self.is_pass()
    }

    /// Whether it compiles.
    pub fn compiles(&self) -> bool {
        self.phase >= Phase::Test || self.is_pass()
    }

    /// Whether every check holds.
    pub fn is_pass(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}
