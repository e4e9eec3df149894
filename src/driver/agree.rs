//! Which of the candidates that pass is chosen: what most of them do, and of those the simplest.
//!
//! All programs that pass, and the artifact that there is, run on the same inputs. Where more than one behaviour passes,
//! the input that tells them apart is told: there the spec leaves room.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Session;
use super::draw::Samples;
use super::measure::{self, Run};
use crate::candidate::Candidate;
use crate::error::{Error, ExitCode};
use crate::event::{Ambiguity, Event};
use crate::select::Tie;
use crate::spec::Stop;
use crate::stats;
use crate::validate::{Checks, Validator};

/// The least share of a behaviour that makes a spec ambiguous; what is rarer is a slip of the model.
const SHARE: f64 = 0.15;

/// What candidates that pass do.
#[derive(Default)]
pub(super) struct Agreement {
    /// By a sample's index: the behaviour's number. Without an entry, nothing is known of it.
    behaviours: HashMap<usize, usize>,
    /// What the artifact does, where it passes no longer or does not exist none.
    pub(super) committed: Option<usize>,
    /// The input that tells the most frequent behaviours apart.
    pub(super) ambiguity: Option<Ambiguity>,
    /// The input that tells any apart, however rare they are.
    split: Option<Ambiguity>,
}

impl Agreement {
    /// The behaviour of a sample that passes.
    pub(super) fn of(&self, index: usize) -> Option<usize> {
        self.behaviours.get(&index).copied()
    }

    /// The entropy of what the draws that pass do, in bits, as `clarify` tells it. `None` where nothing was compared.
    pub(super) fn entropy(&self) -> Option<f64> {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        self.behaviours.values().for_each(|behaviour| *counts.entry(*behaviour).or_default() += 1.0);
        (!counts.is_empty()).then(|| stats::entropy_bits(&counts.into_values().collect::<Vec<_>>()))
    }
}

/// Finds out what the independent draws that pass do, and `committed` with them. With `stop: first` nothing is run: the
/// first that passes is wanted.
pub(super) async fn agreement(
    session: &Session,
    (validator, checks): (&Arc<Validator>, &Arc<Checks>),
    samples: &Samples,
    committed: Option<&Candidate>,
    stop: Stop,
) -> Result<Agreement, Error> {
    let passing: Vec<(usize, &Candidate)> = samples
        .list
        .iter()
        .filter(|sample| sample.verdict.is_pass())
        .filter_map(|sample| Some((sample.completion.index, sample.candidate.as_ref()?)))
        .collect();
    if stop == Stop::First || passing.len() < 2 {
        return Ok(Agreement::default());
    }
    let candidates = passing.iter().map(|(_, candidate)| *candidate).chain(committed).cloned().collect();
    let run = measure::run_all(session, validator.clone(), checks.clone(), candidates).await?;
    let behaviours: HashMap<usize, usize> =
        passing.iter().filter_map(|(index, candidate)| Some((*index, run.cluster_of(candidate)?))).collect();
    let committed = committed.and_then(|candidate| run.cluster_of(candidate));
    let (ambiguity, split) = (ambiguity(&run, &passing, SHARE), ambiguity(&run, &passing, 0.0));
    Ok(Agreement { behaviours, committed, ambiguity, split })
}

/// The first input on which draws that pass part, if two of the things that they do have this share at least.
fn ambiguity(run: &Run, passing: &[(usize, &Candidate)], share: f64) -> Option<Ambiguity> {
    run.found.splits.iter().find_map(|split| {
        let mut counts = vec![0; split.outcomes.len()];
        for (_, candidate) in passing {
            if let Some(place) = run.place_of(candidate) {
                counts[split.classes[place]] += 1;
            }
        }
        let mut outcomes: Vec<(String, usize)> =
            split.outcomes.iter().zip(counts).map(|(outcome, count)| (outcome.text.clone(), count)).collect();
        outcomes.retain(|(_, count)| *count > 0 && *count as f64 >= share * passing.len() as f64);
        outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        (outcomes.len() > 1).then(|| Ambiguity { call: split.call.clone(), outcomes, of: passing.len() })
    })
}

/// The input on which a candidate does something else than another, told; `None` where none was found.
pub(super) fn parting(run: &Run, chosen: &Candidate, other: &Candidate) -> Option<String> {
    if run.cluster_of(chosen).is_some() && run.cluster_of(chosen) == run.cluster_of(other) {
        return None;
    }
    let told = |split: &crate::behaviour::Split| {
        let text = |candidate| Some(split.outcomes[split.classes[run.place_of(candidate)?]].text.clone());
        Some(format!("for {} the choice gives {}, another {}", split.call, text(chosen)?, text(other)?))
    };
    let first = run.found.splits.first().and_then(told);
    Some(first.unwrap_or_else(|| "what one of them does could not be found out".to_owned()))
}

/// That what passes is too far apart for the limit that was set, if it is; where that can't be known it is said so.
pub(super) fn too_open(session: &Session, name: &str, agreement: &Agreement, passed: usize) -> Option<Error> {
    let most = session.options.max_entropy?;
    let Some(entropy) = agreement.entropy() else {
        if passed > 0 {
            session.tell(Event::Warning(format!(
                "`{name}`: {passed} passed, too few to say anything of entropy: --max-entropy was not tested"
            )));
        }
        return None;
    };
    if entropy <= most {
        return None;
    }
    if let Some(ambiguity) = agreement.ambiguity.as_ref().or(agreement.split.as_ref()) {
        session.tell(Event::Ambiguous { spec: name.to_owned(), ambiguity: ambiguity.clone() });
    }
    let message =
        format!("what passes for `{name}` does {entropy:.2} bits of different things; --max-entropy is {most}");
    Some(
        Error::new(ExitCode::Test, message)
            .hint(format!("`llmc clarify {name}` asks which is meant, and puts the answer into the spec"))
            .hint("nothing was written or committed; the samples are kept, and the next build goes on from them"),
    )
}

/// Why `--max-entropy` can't be tested.
pub(super) fn needs_all(stop: Stop) -> Option<Error> {
    (stop == Stop::First).then(|| {
        Error::new(ExitCode::Usage, "--max-entropy needs more than the first sample that passes")
            .hint("`--stop all` draws all of them, `--stop agree` until it is settled which behaviour leads")
    })
}

/// That nothing leads, and what to do about it.
pub(super) fn undecided(session: &Session, name: &str, tie: Tie, ambiguity: Option<&Ambiguity>) -> Error {
    if let Some(ambiguity) = ambiguity {
        session.tell(Event::Ambiguous { spec: name.to_owned(), ambiguity: ambiguity.clone() });
    }
    let Tie { votes, behaviours, of } = tie;
    Error::new(
        ExitCode::NoCandidate,
        format!("none of the behaviours of `{name}` leads: of {of} candidates that pass, {behaviours} times {votes} do the same"),
    )
    .hint(format!("`llmc clarify {name}` asks which is meant, and puts the answer into the spec"))
    .hint(format!("`llmc build {name} -n {}` draws more; `--stop first` takes the first that passes", (of * 4).clamp(16, 128)))
}
