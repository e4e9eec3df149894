//! What happens, told once. The driver emits events; reports consume them. Nothing here prints.

use std::path::PathBuf;

use crate::verdict::Verdict;

/// Something that happened while llmc worked.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Work on a model's file, in bytes.
    Download {
        /// What is fetched and from where, e.g. `qwen2.5-coder-0.5b-instruct-q4_k_m.gguf from PyPI`.
        what: String,
        /// Bytes there so far.
        done: u64,
        /// All bytes, where known.
        total: Option<u64>,
    },
    /// Something a person should know that is no error.
    Note(String),
    /// Something that is probably wrong.
    Warning(String),
    /// The model a run samples, and why it was chosen.
    ModelChosen {
        /// `provider/name`.
        model: String,
        /// E.g. "nothing is configured, no key in the environment, no local server".
        why: String,
    },
    /// Work on a spec begins.
    Started {
        /// The spec.
        spec: String,
        /// Samples to draw at most.
        samples: usize,
        /// `provider/name`.
        model: String,
    },
    /// Tokens were generated.
    Tokens {
        /// The spec.
        spec: String,
        /// How many since the last event.
        count: usize,
    },
    /// A sample arrived.
    Sampled {
        /// The spec.
        spec: String,
        /// The sample's index, from 0.
        index: usize,
        /// Tokens generated.
        tokens: usize,
        /// Whether an earlier build drew it: it costs nothing now.
        replayed: bool,
    },
    /// A sample could not be drawn.
    SampleFailed {
        /// The spec.
        spec: String,
        /// The sample's index, from 0.
        index: usize,
        /// Why.
        reason: String,
    },
    /// A candidate was judged.
    Judged {
        /// The spec.
        spec: String,
        /// The candidate's id: a sample's number from 1, or the id it was given.
        candidate: String,
        /// What was found.
        verdict: Verdict,
    },
    /// A candidate that failed was changed and judged again.
    Repaired {
        /// The spec.
        spec: String,
        /// The new candidate's id.
        candidate: String,
        /// The id of the one that it was made from.
        from: String,
        /// Whether it passes.
        passed: bool,
        /// Where the model was asked: which of how many repairs it is. Else it was rustc, at no cost.
        repair: Option<(usize, usize)>,
    },
    /// Candidates that pass do not all do the same: the spec leaves room.
    Ambiguous {
        /// The spec.
        spec: String,
        /// Where.
        ambiguity: Ambiguity,
    },
    /// Something given as a candidate could not be judged; the rest is.
    Unjudged(Unjudged),
    /// A call of a test was answered, or was not.
    Called(Called),
    /// A test of a component ended.
    Tested {
        /// What came of it, as JSON.
        summary: serde_json::Value,
    },
    /// A model is asked for the draft of a spec.
    Drafting {
        /// What the spec will be called.
        spec: String,
        /// How often it is asked at most.
        tries: usize,
        /// `provider/name`.
        model: String,
    },
    /// Drafting a spec ended.
    Drafted {
        /// What came of it, as JSON.
        summary: serde_json::Value,
    },
    /// Work on a spec ended.
    Finished(Finished),
    /// An artifact was held against itself.
    Verified(Verified),
    /// An artifact was removed, since its spec is no more.
    Removed {
        /// The spec's name.
        spec: String,
        /// Where the spec was.
        path: String,
        /// The commit made.
        commit: Option<String>,
    },
    /// An artifact followed its spec to another name or place; nothing was sampled.
    Moved {
        /// The spec's name now.
        spec: String,
        /// Its name before; the same where only its place is another one.
        from: String,
        /// Where it is now.
        path: String,
        /// The commit made.
        commit: Option<String>,
    },
    /// A proposal was left, or waits.
    Proposed(Proposed),
    /// A proposal was accepted or rejected.
    Decided(Decided),
}

/// A call of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// The component's spec.
    pub spec: String,
    /// Its number, from 1, in the order in which calls were drawn.
    pub call: usize,
    /// Its case, from 1.
    pub case: usize,
    /// Whether the answer is right.
    pub is_right: bool,
    /// The answer, as JSON.
    pub output: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// What it cost, in US dollars, where that is known.
    pub usd: Option<f64>,
    /// Calls that came back so far, those of them that are right, and how many there are at most.
    pub so_far: (usize, usize, usize),
}

/// A proposal: an artifact that waits for review.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed {
    /// The spec.
    pub spec: String,
    /// Its folder, relative to the workspace's root.
    pub path: PathBuf,
    /// Names the program, whatever its layout and comments.
    pub digest: String,
    /// What made it.
    pub origin: Origin,
    /// When, in RFC 3339 (UTC).
    pub made: String,
    /// How it behaves.
    pub behaves: Behaves,
    /// The same, as a sentence.
    pub told: String,
    /// Inputs on which it differs, where any are known.
    pub differing: Vec<Differing>,
    /// Of code that would answer for a component, some of the later calls.
    pub calls: Vec<Answered>,
    /// Lines of code: the artifact's, where there is one, and the proposal's.
    pub lines: (Option<usize>, usize),
    /// `provider/name`.
    pub model: String,
    /// The chosen sample's number, from 1; how many were drawn; how many pass.
    pub samples: (usize, usize, usize),
    /// Tokens of prompts and completions that it took.
    pub tokens: u64,
    /// US dollars that it took, where known.
    pub usd: Option<f64>,
    /// Why it can't be accepted as it is, and what to do; none where it can.
    pub stale: Option<(String, String)>,
}

/// What made a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `llmc build`, where `review: required`.
    Build,
    /// `llmc regen`.
    Regen,
    /// `llmc harden`.
    Harden,
}

/// How a proposal behaves beside the artifact that it would replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaves {
    /// There is no artifact yet.
    New,
    /// It is the same program.
    Identical,
    /// Both gave the same answers, wherever they were asked.
    Same,
    /// They gave different answers somewhere.
    Differs,
    /// The artifact fails the checks of the spec as it is now, and the proposal passes them.
    Mends,
    /// It answers in the place of a component's model, and agrees with that often enough.
    Agrees,
    /// It could not be found out.
    Unknown,
}

/// A call of a component that was recorded, with what code says to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The input, as JSON, maybe shortened.
    pub input: String,
    /// What the model answered.
    pub model: String,
    /// What the code answers; `None` where it abstains.
    pub code: Option<String>,
}

/// An input on which the artifact and the proposal differ.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differing {
    /// The call, a Rust expression.
    pub call: String,
    /// What the artifact gives: a Rust expression where it is a value.
    pub artifact: String,
    /// What the proposal gives.
    pub proposal: String,
}

/// What was decided about a proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The spec.
    pub spec: String,
    /// Whether it was accepted.
    pub accepted: bool,
    /// The proposal's digest; none where it could not be read.
    pub digest: Option<String>,
    /// The files that are the artifact now, where it was accepted.
    pub files: Vec<String>,
    /// The commit made.
    pub commit: Option<String>,
}

/// An input on which candidates that pass part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// The input, as a call in Rust.
    pub call: String,
    /// What candidates do there, each with how many of them, the most frequent first.
    pub outcomes: Vec<(String, usize)>,
    /// How many candidates pass.
    pub of: usize,
}

/// What verifying an artifact came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The spec; `None` for the generated crate as a whole.
    pub spec: Option<String>,
    /// The spec's file, relative to the workspace's root.
    pub path: Option<String>,
    /// What is not as it was built; none when all is well.
    pub differences: Vec<Difference>,
    /// What is not as it was, and need not be.
    pub notes: Vec<String>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// Something that is not as it was built.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The file, relative to the workspace's root.
    pub path: String,
    /// The first line that differs, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub message: String,
}

/// Something given as a candidate that could not be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Unjudged {
    /// The file as the user named it; `-` is standard input.
    pub path: String,
    /// The line in it, from 1, where it is one of many.
    pub line: Option<usize>,
    /// Its id, where one could be read.
    pub candidate: Option<String>,
    /// The spec that it names, where one could be read.
    pub spec: Option<String>,
    /// The exit code that this comes to.
    pub exit: u8,
    /// Why.
    pub message: String,
}

/// The end of the work on one spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The spec.
    pub spec: String,
    /// How it ended.
    pub status: Status,
    /// Samples looked at.
    pub sampled: usize,
    /// Of them, those that an earlier build drew and that were in the ledger.
    pub replayed: usize,
    /// Of them, those with Rust that parses, conforms and keeps to the policy.
    pub parsed: usize,
    /// Of them, those that compile.
    pub compiled: usize,
    /// Of them, those that pass every check.
    pub passed: usize,
    /// Groups of candidates, largest first: how many, and whether they pass.
    pub clusters: Vec<(usize, bool)>,
    /// The chosen sample's number, from 1, and the artifact's path in the workspace.
    pub chosen: Option<(usize, PathBuf)>,
    /// The commit made.
    pub commit: Option<String>,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Tokens generated now.
    pub tokens: usize,
    /// For a spec that failed: why, in one line.
    pub reason: Option<String>,
}

/// How the work on a spec ended. Where given candidates were judged (`llmc validate`), there is no artifact: `Built`
/// says that they passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A new artifact was written, or a candidate that was given passed.
    Built,
    /// The artifact was up to date.
    Fresh,
    /// A proposal waits for review.
    Proposed,
    /// There is no artifact, or no candidate passed.
    Failed,
}
