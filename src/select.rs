//! Choosing one of the candidates that pass, and grouping candidates that are the same program text.
//!
//! Pure functions over what validation found; the order is total, so the same candidates always give the
//! same choice. Nothing here runs a candidate or knows how the samples were drawn.
//!
//! Where it is known what candidates do, those come first that do what most do ([`choose_agreed`]).
//!
//! The order among candidates that pass, first wins:
//! 1. fewest lines of formatted source,
//! 2. fewest bytes of formatted source,
//! 3. lowest sample index.
//!
//! Shorter programs have less room to do what nobody asked for, and are quicker to review.

use std::collections::{BTreeMap, HashMap};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::stats;
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

/// That no behaviour leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie {
    /// How many behaviours have the most votes.
    pub behaviours: usize,
    /// How many votes each of them has.
    pub votes: usize,
    /// How many candidates have one.
    pub of: usize,
}

/// Candidates that pass from which on a tie is a finding: so many could have settled which behaviour leads. Of fewer the
/// simplest is taken.
const TELLING: usize = 4;
/// How sure it must be that another behaviour leads before that of the artifact is given up.
const SURE: f64 = 0.95;

/// The sample index of the candidate to freeze, of those that pass and whose behaviour is known: of the behaviour that
/// most have, the simplest. `None` when none passes.
///
/// `committed` is the behaviour of the artifact that there is: it stays as long as it is not settled that another leads,
/// so that code does not move without need.
///
/// # Errors
/// [`Tie`] where two behaviours or more have the most votes, and there were votes enough for one to lead.
pub fn choose_agreed(judged: &[(Judged<'_>, usize)], committed: Option<usize>) -> Result<Option<usize>, Tie> {
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    let passing: Vec<&(Judged<'_>, usize)> = judged.iter().filter(|(one, _)| one.verdict.is_pass()).collect();
    for (_, behaviour) in &passing {
        *votes.entry(*behaviour).or_default() += 1;
    }
    let most = votes.values().copied().max().unwrap_or_default();
    let mut leading: Vec<usize> = votes.iter().filter(|(_, count)| **count == most).map(|(of, _)| *of).collect();
    if let Some(own) = committed
        && let Some(count) = votes.get(&own)
        && stats::leads(most, *count) <= SURE
    {
        leading = vec![own];
    }
    if leading.len() > 1 && passing.len() >= TELLING {
        return Err(Tie { behaviours: leading.len(), votes: most, of: passing.len() });
    }
    let simplest = passing.iter().filter(|(_, behaviour)| leading.contains(behaviour)).min_by_key(|(one, _)| rank(one));
    Ok(simplest.map(|(one, _)| one.index))
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

/// Puts clusters together whose candidates pass and do the same. `behaviour` is that of the candidate of a sample; those
/// of which it is not known stay as they are.
pub fn merged(clusters: Vec<Cluster>, behaviour: impl Fn(usize) -> Option<usize>) -> Vec<Cluster> {
    let mut merged: Vec<(Option<usize>, Cluster)> = Vec::new();
    for cluster in clusters {
        let of = if cluster.passed { behaviour(cluster.members[0]) } else { None };
        match merged.iter_mut().find(|(known, _)| known.is_some() && *known == of) {
            Some((_, same)) => {
                same.size += cluster.size;
                same.members.extend(cluster.members);
                same.members.sort_unstable();
            }
            None => merged.push((of, cluster)),
        }
    }
    let mut clusters: Vec<Cluster> = merged.into_iter().map(|(_, cluster)| cluster).collect();
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

    #[test]
    fn the_simplest_of_the_behaviour_that_most_have_is_chosen() {
        let (short, long) = (candidate("fn f() {}\n"), candidate("fn f() {\n    ()\n}\n"));
        let pass = Verdict::passed(Phase::Test, 1);
        let fail = Verdict::failed(Phase::Test, Class::Misinterpretation, "example-1", "");
        let of = |list: &[(usize, bool)]| {
            let judged: Vec<(Judged<'_>, usize)> = list
                .iter()
                .enumerate()
                .map(|(index, (behaviour, is_short))| {
                    let candidate = if *is_short { &short } else { &long };
                    (Judged { index, candidate, verdict: &pass }, *behaviour)
                })
                .collect();
            judged
        };
        let choose = |list: &[(usize, bool)], committed| choose_agreed(&of(list), committed);
        // Two do the same, and one is shorter than both.
        assert_eq!(choose(&[(0, false), (1, true), (0, false)], None), Ok(Some(0)));
        // One against one says nothing: the simplest.
        assert_eq!(choose(&[(0, false), (1, true)], None), Ok(Some(1)));
        // Two against two could have been settled, and was not.
        assert_eq!(
            choose(&[(0, false), (1, true), (0, false), (1, true)], None),
            Err(Tie { behaviours: 2, votes: 2, of: 4 })
        );
        // What the artifact does stays, until it is settled that another leads.
        assert_eq!(choose(&[(0, false), (1, true), (0, false), (1, true)], Some(0)), Ok(Some(0)));
        assert_eq!(choose(&[(0, false), (1, true), (0, false), (0, false)], Some(1)), Ok(Some(1)));
        let many: Vec<(usize, bool)> = (0..9).map(|at| (usize::from(at == 0), at == 0)).collect();
        assert_eq!(choose(&many, Some(1)), Ok(Some(1)));
        assert_eq!(choose(&[], None), Ok(None));
        let failed = [(Judged { index: 0, candidate: &short, verdict: &fail }, 0)];
        assert_eq!(choose_agreed(&failed, None), Ok(None));
    }
}
