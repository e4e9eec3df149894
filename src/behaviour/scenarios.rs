//! Programs held against each other where no inputs can be made up for them: on the calls of the spec's examples alone.

use super::{Behaviours, Coverage, Kind, Observation, Origin, Outcome, Split};
use crate::candidate::Candidate;
use crate::validate::{Checks, Gave, Shown, ValidateError, Validator};
use crate::verdict::Verdict;

/// Compares candidates on the calls that the spec shows; `not_called` says why on nothing else.
pub(super) fn compare(
    validator: &Validator,
    checks: &Checks,
    candidates: &[&Candidate],
    not_called: Vec<(String, String)>,
) -> Result<Behaviours, ValidateError> {
    let (refused, programs, observations) = observe(validator, checks, candidates)?;
    let mut clusters: Vec<Vec<usize>> = vec![(0..programs.len()).collect()];
    clusters.retain(|cluster| !cluster.is_empty());
    let mut splits = Vec::new();
    for observation in observations.iter().filter(|observation| observation.is_split()) {
        let before = clusters.len();
        clusters = super::refined(&clusters, &|one, other| observation.parts(one, other));
        if clusters.len() > before || splits.is_empty() {
            splits.push(split(observation));
        }
    }
    clusters.sort_by_key(|cluster| (std::cmp::Reverse(cluster.len()), cluster[0]));
    let coverage = Coverage { inputs: observations.len(), not_called, ..Coverage::default() };
    Ok(Behaviours { programs, refused, observations, clusters, splits, coverage, functions: Vec::new() })
}

/// Candidates that do not compile, those that do, and what these do with the calls that the spec shows.
type Observed = (Vec<(usize, Verdict)>, Vec<usize>, Vec<Observation>);

/// Makes the calls that the spec shows.
pub(super) fn observe(
    validator: &Validator,
    checks: &Checks,
    candidates: &[&Candidate],
) -> Result<Observed, ValidateError> {
    let (calls, shown) = validator.show_examples(checks, candidates)?;
    let (mut refused, mut programs, mut ran) = (Vec::new(), Vec::new(), Vec::new());
    for (at, shown) in shown.into_iter().enumerate() {
        match shown {
            Shown::Refused(judgement) => refused.push((at, judgement.verdict)),
            Shown::Ran(gave) => {
                programs.push(at);
                ran.push(gave);
            }
        }
    }
    let mut observations = Vec::new();
    for (at, call) in calls.into_iter().enumerate() {
        let (mut outcomes, mut classes): (Vec<Outcome>, Vec<usize>) = (Vec::new(), Vec::new());
        for gave in &ran {
            let outcome = outcome(&gave[at]);
            // The words of a panic are a program's own.
            let same = |known: &Outcome| known.kind == outcome.kind && (known == &outcome || known.kind != Kind::Value);
            classes.push(outcomes.iter().position(same).unwrap_or_else(|| {
                outcomes.push(outcome);
                outcomes.len() - 1
            }));
        }
        let (origin, sent) = (Origin::Example, Vec::new());
        let (drawn, function) = (0, None);
        observations.push(Observation { call, origin, drawn, outcomes, classes, input: at, function, sent });
    }
    Ok((refused, programs, observations))
}

/// What a call that the spec shows tells apart.
pub(super) fn split(observation: &Observation) -> Split {
    Split {
        call: observation.call.clone(),
        outcomes: observation.outcomes.clone(),
        classes: observation.classes.clone(),
        made_of: None,
        origin: Origin::Example,
    }
}

fn outcome((first, again): &(Gave, Gave)) -> Outcome {
    let one = |gave: &Gave| match gave {
        Gave::Value(text) => Outcome { kind: Kind::Value, text: text.clone() },
        Gave::Panic(text) => Outcome { kind: Kind::Panic, text: text.lines().next().unwrap_or_default().to_owned() },
        Gave::TimedOut => Outcome { kind: Kind::Timeout, text: "no answer in time".into() },
        Gave::Crashed => Outcome { kind: Kind::Crash, text: "ended its process".into() },
        Gave::Nothing => Outcome { kind: Kind::Unknown, text: "not asked: a call before ended the process".into() },
    };
    let (first, again) = (one(first), one(again));
    let is_known = |outcome: &Outcome| !matches!(outcome.kind, Kind::Unknown | Kind::Timeout);
    if is_known(&first) && is_known(&again) && first != again {
        let text = format!("{} in one run, {} in the next", first.text, again.text);
        return Outcome { kind: Kind::Flaky, text };
    }
    if first.kind == Kind::Unknown { again } else { first }
}
