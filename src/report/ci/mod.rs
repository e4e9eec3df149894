//! What `llmc verify` and `llmc check` find, for the programs of CI services: GitHub's workflow commands, SARIF, JUnit.
//!
//! Text in, text out. What is found names files and quotes words of strangers: each format's escapes are its own.

mod github;
mod junit;
mod sarif;

pub use github::github;
pub use junit::{Outcome, TestCase, junit, junit_tests};
pub use sarif::sarif;

use crate::event::Verified;
use crate::spec::{Diagnostics, Severity};

/// A run of a command that proves something of each spec.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The command, e.g. `verify`.
    pub command: &'static str,
    /// What stands before each path, so that it counts from the root of the repository; empty, or ends in `/`.
    pub prefix: String,
    /// What was looked at, in order.
    pub cases: Vec<Case>,
    /// Why the command could not do its part, where it couldn't.
    pub error: Option<String>,
    /// The exit code.
    pub exit: u8,
}

/// One spec, or the generated crate as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Its file, where it is a spec.
    pub path: Option<String>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// What may be as it is, and should be known.
    pub notes: Vec<String>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// Something that was found, at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What kind it is.
    pub rule: Rule,
    /// How bad it is.
    pub level: Level,
    /// The file, relative to the workspace's root.
    pub path: String,
    /// The line, from 1, where it is one line's.
    pub line: Option<usize>,
    /// The column in characters, from 1, and how many characters it is about.
    pub columns: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
}

/// What kind of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A file is not as it was built.
    Differs,
    /// A mistake in a spec.
    Spec,
}

impl Rule {
    const ALL: [Self; 2] = [Self::Differs, Self::Spec];

    fn id(self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Spec => "spec",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Differs => "Not as it was built",
            Self::Spec => "A mistake in a spec",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Differs => {
                "Spec, prompt, code, tests and provenance of an artifact do not belong together, or it fails its checks. \
                 `git log` shows who changed what; `llmc build` builds anew what a change of the spec made stale; \
                 `llmc replay NAME --overwrite` puts back what the recorded completion gives."
            }
            Self::Spec => "The spec can't be built as it is. `llmc check` shows each mistake at its place.",
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The command fails.
    Error,
    /// It does not.
    Warning,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Findings {
    /// Takes in what verifying an artifact came to.
    pub fn verified(&mut self, verified: &Verified) {
        let differs = |one: &crate::event::Difference| Finding {
            rule: Rule::Differs,
            level: Level::Error,
            path: one.path.clone(),
            line: one.line,
            columns: None,
            message: one.message.clone(),
        };
        self.cases.push(Case {
            name: verified.spec.clone().unwrap_or_else(|| "the generated crate".to_owned()),
            path: verified.path.clone(),
            findings: verified.differences.iter().map(differs).collect(),
            notes: verified.notes.clone(),
            seconds: verified.seconds,
        });
    }

    /// Takes in the mistakes of a spec's file; none make a case that is right.
    pub fn mistakes(&mut self, mistakes: &Diagnostics) {
        let finding = |one: &crate::spec::Diagnostic| Finding {
            rule: Rule::Spec,
            level: if one.severity == Severity::Error { Level::Error } else { Level::Warning },
            path: mistakes.path.clone(),
            line: Some(one.line.max(1)),
            columns: Some((one.column.max(1), one.length.max(1))),
            message: match &one.help {
                Some(help) => format!("{}; help: {help}", one.message),
                None => one.message.clone(),
            },
        };
        self.cases.push(Case {
            name: mistakes.path.clone(),
            path: Some(mistakes.path.clone()),
            findings: mistakes.list.iter().map(finding).collect(),
            notes: Vec::new(),
            seconds: 0.0,
        });
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which everything that is quoted is hostile.
    pub(super) fn hostile() -> Findings {
        let finding = |rule, path: &str, line, columns, message: &str| Finding {
            rule,
            level: Level::Error,
            path: path.into(),
            line,
            columns,
            message: message.into(),
        };
        let case = |name: &str, path: Option<&str>, findings, notes: &[&str]| Case {
            name: name.into(),
            path: path.map(str::to_owned),
            findings,
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            seconds: 0.25,
        };
        Findings {
            command: "verify",
            prefix: "sub dir/".into(),
            cases: vec![
                case("gcd", Some("specs/gcd.yaml"), vec![], &["built with rustc 1\n::error::x"]),
                case(
                    "a<b>&\"'",
                    None,
                    vec![
                        finding(
                            Rule::Differs,
                            "generated/src/x,y:z%\n::add-mask::a.rs",
                            Some(3),
                            None,
                            "is not\r\nwhat 100% of <it> ]]> gives\u{1b}[31m\u{0}\u{202e}",
                        ),
                        finding(Rule::Spec, "specs/ä b#.yaml", Some(2), Some((5, 3)), "unknown key `modle`"),
                    ],
                    &["]]>\u{8}"],
                ),
            ],
            error: Some("--> ::stop-commands::x\nsecond".into()),
            exit: 6,
        }
    }
}
