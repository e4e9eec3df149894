//! What is known of a candidate beside its verdict: for whoever goes on from it. No part of a verdict.

use serde::{Deserialize, Serialize};

use super::protocol::Answers;
use crate::digest::Hasher;
use crate::toolchain::{RustcDiagnostic, RustcEdit};
use crate::verdict::Verdict;

/// What is known of a candidate beside its verdict. Holds nothing of checks that are hidden, but for `behaviour` and
/// `failed`, which no model is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// Names what the candidate did in the checks: equal for candidates that gave the same answers to the same calls,
    /// those on the inputs that properties generate included. Absent where it does not pass, or where its answers are
    /// not to be seen (a cooperative verdict).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behaviour: Option<String>,
    /// Of the checks that models are shown: how many pass, of how many; absent where none was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<(usize, usize)>,
    /// The checks that it failed, hidden ones too: their places in the list of checks. Those after one in which its
    /// process ended were not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<usize>,
    /// The first failure that a model may be told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The candidate as rustc would change it, where it is sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fixed>,
}

/// A failure that a model may be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// rustc's code, or the check's.
    pub code: String,
    /// The diagnostics, or input, expected and got.
    pub text: String,
}

/// A candidate's source with what rustc is sure of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// The source.
    pub source: String,
    /// What was done, in rustc's words.
    pub fixes: Vec<String>,
}

/// A verdict with what is known beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What was found.
    pub verdict: Verdict,
    /// What else is known.
    #[serde(default)]
    pub insight: Insight,
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, insight: Insight::default() }
    }
}

/// Names the answers of one candidate in all checks; `None` where they are not to be seen.
pub(super) fn behaviour(answers: &[Answers]) -> Option<String> {
    if answers.iter().all(|answers| *answers == Answers::default()) {
        return None;
    }
    let mut hasher = Hasher::default();
    for Answers { asked, answered } in answers {
        hasher.update(&asked.to_le_bytes());
        hasher.update(&answered.to_le_bytes());
    }
    Some(hasher.finish())
}

/// Makes the changes that rustc is sure of in the file called `file`; `None` when there are none.
///
/// One that touches what another changes is left out: when the rest is compiled, rustc says it again.
pub(super) fn fix(source: &str, file: &str, diagnostics: &[RustcDiagnostic]) -> Option<Fixed> {
    let mut made: Vec<&RustcEdit> = Vec::new();
    let mut fixes = Vec::new();
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error"));
    for fix in errors.filter_map(|error| error.fix.as_ref()) {
        let is_ours = |edit: &RustcEdit| edit.file == file && source.get(edit.start..edit.end).is_some();
        let is_new = |edit: &RustcEdit| !made.iter().any(|other| touch(edit, other));
        let is_disjoint =
            fix.edits.iter().enumerate().all(|(at, edit)| !fix.edits[..at].iter().any(|one| touch(edit, one)));
        if is_disjoint && fix.edits.iter().all(|edit| is_ours(edit) && is_new(edit)) {
            made.extend(&fix.edits);
            fixes.push(fix.message.clone());
        }
    }
    made.sort_by_key(|edit| edit.start);
    let mut fixed = source.to_owned();
    for edit in made.iter().rev() {
        fixed.replace_range(edit.start..edit.end, &edit.text);
    }
    (fixed != source).then_some(Fixed { source: fixed, fixes })
}

/// Whether two edits overlap, or which comes first matters.
fn touch(one: &RustcEdit, other: &RustcEdit) -> bool {
    one.start <= other.end && other.start <= one.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::RustcFix;

    fn diagnostic(edits: &[(&str, usize, usize, &str)]) -> RustcDiagnostic {
        let edit = |&(file, start, end, text): &(&str, usize, usize, &str)| RustcEdit {
            file: file.into(),
            start,
            end,
            text: text.into(),
        };
        let fix = RustcFix { message: "do it".into(), edits: edits.iter().map(edit).collect() };
        RustcDiagnostic {
            level: "error".into(),
            code: None,
            message: String::new(),
            rendered: String::new(),
            spans: Vec::new(),
            fix: Some(fix),
        }
    }

    #[test]
    fn what_rustc_is_sure_of_is_done_and_what_overlaps_waits() {
        let errors = [
            diagnostic(&[("a.rs", 0, 1, "AA"), ("a.rs", 4, 4, "!")]),
            diagnostic(&[("a.rs", 3, 5, "x")]),
            diagnostic(&[("a.rs", 2, 3, "CC")]),
        ];
        let fixed = fix("abcdef", "a.rs", &errors).unwrap();
        assert_eq!((fixed.source.as_str(), fixed.fixes.len()), ("AAbCCd!ef", 2));
    }

    #[test]
    fn a_change_elsewhere_or_beyond_the_text_is_not_made_in_part_either() {
        for edits in [
            [("a.rs", 0, 1, "x"), ("b.rs", 2, 3, "y")],
            [("a.rs", 0, 1, "x"), ("a.rs", 5, 99, "y")],
            [("a.rs", 0, 3, "x"), ("a.rs", 2, 4, "y")],
            [("a.rs", 0, 1, "x"), ("a.rs", 5, 3, "y")],
        ] {
            assert_eq!(fix("abcdef", "a.rs", &[diagnostic(&edits)]), None, "{edits:?}");
        }
        // Not within a character.
        assert_eq!(fix("é", "a.rs", &[diagnostic(&[("a.rs", 1, 2, "x")])]), None);
    }

    #[test]
    fn behaviours_are_equal_where_every_answer_is() {
        let answers = |answered| Answers { asked: 1, answered };
        assert_eq!(behaviour(&[answers(1), answers(2)]), behaviour(&[answers(1), answers(2)]));
        assert_ne!(behaviour(&[answers(1), answers(2)]), behaviour(&[answers(2), answers(1)]));
        assert_eq!(behaviour(&[Answers::default()]), None);
        assert_eq!(behaviour(&[]), None);
    }
}
