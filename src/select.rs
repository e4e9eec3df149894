//! Choosing one of the candidates that pass, and grouping candidates that are the same program text.
//!
//! Pure functions over what validation found; the order is total, so the same candidates always give the
//! same choice. Nothing here runs a candidate or knows how the samples were drawn.
//!
//! The order among candidates that pass, first wins:
//! 1. fewest lines of formatted source,
//! 2. fewest bytes of formatted source,
//! 3. lowest sample index.
//!
//! Shorter programs have less room to do what nobody asked for, and are quicker to review.

use std::collections::HashMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::syntax;
use crate::verdict::Verdict;

/// A candidate with what validation found about it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The index of its sample, from 0.
    pub index: usize,
    /// The candidate.
    pub candidate: &'a Candidate,
    /// What was found.
    pub verdict: &'a Verdict,
}

/// Candidates that are the same program text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How many candidates are in it, at least 1.
    pub size: usize,
    /// Whether they pass. Where runs of the same text differ (it is flaky), no member counts as passing.
    pub passed: bool,
    /// Their sample indices, from 0, ascending.
    pub members: Vec<usize>,
}

/// The sample index of the candidate to freeze; `None` when none passes. See the module for the order.
pub fn choose(judged: &[Judged<'_>]) -> Option<usize> {
    judged.iter().filter(|one| one.verdict.is_pass()).min_by_key(|one| rank(one)).map(|one| one.index)
}

fn rank(judged: &Judged<'_>) -> (usize, usize, usize) {
    let source = &judged.candidate.source;
    (source.lines().count(), source.len(), judged.index)
}

/// Groups candidates whose sources are the same tokens, doc comments aside.
///
/// Largest first; then those that pass; then the one with the lowest sample index.
pub fn clusters(judged: &[Judged<'_>]) -> Vec<Cluster> {
    let mut of_text: HashMap<String, usize> = HashMap::new();
    let mut clusters: Vec<Cluster> = Vec::new();
    for one in judged {
        let position = *of_text.entry(normalized(&one.candidate.source)).or_insert_with(|| {
            clusters.push(Cluster { size: 0, passed: true, members: Vec::new() });
            clusters.len() - 1
        });
        let cluster = &mut clusters[position];
        cluster.size += 1;
        cluster.passed &= one.verdict.is_pass();
        cluster.members.push(one.index);
    }
    for cluster in &mut clusters {
        cluster.members.sort_unstable();
    }
    clusters.sort_by_key(|cluster| (std::cmp::Reverse(cluster.size), !cluster.passed, cluster.members[0]));
    clusters
}

/// The source as tokens, without white space, comments and doc comments; the text itself where it is no Rust.
fn normalized(source: &str) -> String {
    let Ok(tokens) = syntax::check_bounds(source) else { return source.to_owned() };
    let mut text = String::with_capacity(source.len());
    append(tokens, &mut text);
    text
}

/// Recurses once for each nesting of brackets, of which `check_bounds` allows few.
fn append(tokens: TokenStream, text: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(ref hash) if hash.as_char() == '#' => {
                let inner = tokens.next_if(|next| matches!(next, TokenTree::Punct(bang) if bang.as_char() == '!'));
                if tokens.next_if(is_doc).is_none() {
                    text.push('#');
                    text.extend(inner.map(|_| '!'));
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                append(group.stream(), text);
                text.push_str(close);
            }
            // A joint `+=` must not read as `+ =`; everything else is kept apart.
            TokenTree::Punct(punct) => {
                text.push(punct.as_char());
                if punct.spacing() == proc_macro2::Spacing::Alone {
                    text.push(' ');
                }
            }
            other => {
                text.push_str(&other.to_string());
                text.push(' ');
            }
        }
    }
}

/// Whether it is the `[doc = "…"]` of a doc comment.
fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let mut tokens = group.stream().into_iter();
    group.delimiter() == Delimiter::Bracket
        && matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "doc")
        && matches!(tokens.next(), Some(TokenTree::Punct(equals)) if equals.as_char() == '=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Class, Phase};

    fn candidate(source: &str) -> Candidate {
        Candidate { source: source.into(), notes: Vec::new() }
    }

    fn pass() -> Verdict {
        Verdict::passed(Phase::Test, 3)
    }

    fn fail() -> Verdict {
        Verdict::failed(Phase::Test, Class::Misinterpretation, "example-1", "")
    }

    fn judged<'a>(all: &'a [(Candidate, Verdict)]) -> Vec<Judged<'a>> {
        all.iter().enumerate().map(|(index, (candidate, verdict))| Judged { index, candidate, verdict }).collect()
    }

    #[test]
    fn the_shortest_candidate_that_passes_is_chosen() {
        let all = [
            (candidate("fn f() {\n    1;\n    2;\n}\n"), pass()),
            (candidate("fn f() {}\n"), fail()),
            (candidate("fn f() {\n    11;\n}\n"), pass()),
            (candidate("fn f() {\n    1;\n}\n"), pass()),
            (candidate("fn f() {\n    2;\n}\n"), pass()),
        ];
        assert_eq!(choose(&judged(&all)), Some(3));
        let mut backwards = judged(&all);
        backwards.reverse();
        assert_eq!(choose(&backwards), Some(3), "the order of arrival plays no part");
    }

    #[test]
    fn nothing_is_chosen_when_nothing_passes() {
        assert_eq!(choose(&judged(&[(candidate("fn f() {}"), fail())])), None);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn candidates_that_differ_in_layout_and_comments_are_one_cluster() {
        let all = [
            (candidate("fn f() -> i32 { 1 }"), fail()),
            (candidate("fn f() -> i32 { 2 }"), pass()),
            (candidate("/// Two.\nfn f() -> i32 {\n    // two\n    2\n}\n"), pass()),
            (candidate("//! Module.\nfn f()->i32{2}"), pass()),
            (candidate("not rust ("), fail()),
        ];
        let found = clusters(&judged(&all));
        assert_eq!(
            found,
            [
                Cluster { size: 3, passed: true, members: vec![1, 2, 3] },
                Cluster { size: 1, passed: false, members: vec![0] },
                Cluster { size: 1, passed: false, members: vec![4] },
            ]
        );
    }

    #[test]
    fn attributes_that_are_no_comments_keep_candidates_apart() {
        let all = [
            (candidate("#[inline]\nfn f() {}"), pass()),
            (candidate("fn f() {}"), pass()),
            (candidate("#[doc(hidden)]\nfn f() {}"), pass()),
            (candidate("fn f() { a += 1 }"), pass()),
            (candidate("fn f() { a + = 1 }"), pass()),
        ];
        assert_eq!(clusters(&judged(&all)).len(), 5);
    }

    #[test]
    fn one_text_with_two_verdicts_does_not_pass() {
        let all = [(candidate("fn f() {}"), pass()), (candidate("fn f() {}"), fail())];
        assert_eq!(clusters(&judged(&all)), [Cluster { size: 2, passed: false, members: vec![0, 1] }]);
    }
}
