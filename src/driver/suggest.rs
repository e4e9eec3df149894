//! Examples that a spec could have: what tells an artifact from its mutants that every check passes, and from rivals.
//!
//! All of them run on the same inputs. Where one parts from the artifact the input, made small, becomes an example with
//! what the artifact gives; it is suggested only when it was seen to catch a mutant. Whether the value is right is for a
//! person to say: nothing is written unless asked for.

use std::sync::{Arc, Mutex};

use super::Session;
use super::pen::{self, Pen, Refused};
use super::specs::{self, Loaded};
use super::strength::{self, Fate, Tried};
use crate::behaviour::{self, Behaviours, Coverage, Kind, Outcome, Split};
use crate::candidate::Candidate;
use crate::error::{Error, ExitCode};
use crate::spec::{Example, Expect, Snippet, Spec};
use crate::validate::{Checks, Validator};

/// A mutant that may differ on no more of the inputs, as they are drawn, is taken for the same program.
const NEGLIGIBLE: f64 = 0.01;
/// Inputs that are made as small as they get, at most.
const SHRUNK: usize = 16;
/// Most inputs that are tried as examples.
const TRIED: usize = 48;
/// Longest value that is suggested, in bytes: nobody checks a longer one.
const LONGEST: usize = 400;

/// What a mutant that every check passes does on inputs that the checks do not try.
#[derive(Debug, Clone, PartialEq)]
pub enum Beside {
    /// It does something else than the artifact.
    Differs {
        /// An input, as a call in Rust.
        call: String,
        /// What the artifact does there.
        artifact: Outcome,
        /// What the mutant does.
        mutant: Outcome,
    },
    /// It did the same on so many inputs that it likely is the same program: it may differ on at most this share of the
    /// inputs, as they are drawn (with 95 % confidence).
    LikelyEquivalent(f64),
    /// It was not seen to differ, on inputs too few to say more.
    Unknown,
}

/// A program that was sampled, passes every check, and does something else than the artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// The numbers of the samples that do so, from 1.
    pub samples: Vec<usize>,
    /// An input that tells it from the artifact, as a call in Rust.
    pub call: String,
    /// What the artifact does there.
    pub artifact: Outcome,
    /// What the rival does.
    pub rival: Outcome,
}

/// An example that catches what is missed.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// The example; what it expects is what the artifact does.
    pub example: Example,
    /// The input, as a call in Rust.
    pub call: String,
    /// What the artifact does with it.
    pub artifact: Outcome,
    /// The mutants that it was seen to catch, by their places in [`Strength::mutants`](super::Strength::mutants), each
    /// with what it does.
    pub catches: Vec<(usize, Outcome)>,
    /// The rivals that it tells from the artifact, by their places in [`Strength::rivals`](super::Strength::rivals).
    pub rivals: Vec<usize>,
    /// The example as lines of YAML, for the list `examples`.
    pub lines: Vec<String>,
    /// What became of it, where it was to be added.
    pub added: Option<Added>,
}

/// What became of a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is in the file.
    Yes,
    /// It is there with another value, which the artifact does not give.
    Corrected,
    /// It was not wanted.
    No,
    /// It could not be put in: why.
    Failed(String),
}

/// What a person says to a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// The value is right.
    Right,
    /// It should be this Rust expression.
    Wrong(String),
    /// It should panic.
    Panics,
    /// Not this one.
    Skip,
    /// No more of them.
    Quit,
}

/// A suggestion as it is put.
#[derive(Debug)]
pub struct Put<'a> {
    /// Its number, from 1, and how many there are.
    pub number: (usize, usize),
    /// The suggestion.
    pub suggestion: &'a Suggestion,
    /// Why the answer before to the same could not be taken.
    pub problem: Option<&'a str>,
}

/// Puts suggestions to a person, one at a time.
pub type Judge = Arc<Mutex<dyn FnMut(&Put<'_>) -> Opinion + Send>>;

/// What becomes of suggestions.
#[derive(Clone)]
pub enum Adding {
    /// They are told.
    Nothing,
    /// All are put into the spec's file, but for those where the artifact panics.
    All,
    /// Those that a person says are right.
    Asked(Judge),
}

/// A program that was sampled.
pub(super) struct Natural {
    pub(super) program: String,
    pub(super) candidate: Candidate,
    /// Numbers from 1.
    pub(super) samples: Vec<usize>,
}

/// What judges and runs.
pub(super) struct Engine {
    pub(super) validator: Arc<Validator>,
    pub(super) checks: Arc<Checks>,
    pub(super) uses: Vec<(String, String)>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) suggestions: Vec<Suggestion>,
    pub(super) rivals: Vec<Rival>,
    pub(super) coverage: Option<Coverage>,
}

/// Runs the artifact, the mutants that are missed and the programs that pass on the same inputs; says of each mutant what
/// it does, of the programs which are rivals, and which examples would catch what.
pub(super) async fn suggest(
    session: &Session,
    loaded: &Loaded,
    engine: &Engine,
    artifact: &Candidate,
    tried: &mut [Tried],
    passing: &[Natural],
) -> Result<Found, Error> {
    let missed: Vec<usize> = (0..tried.len()).filter(|at| tried[*at].fate == Fate::Missed).collect();
    if missed.is_empty() && passing.is_empty() {
        return Ok(Found::default());
    }
    let candidates: Vec<Candidate> = std::iter::once(artifact)
        .chain(missed.iter().map(|at| &tried[*at].mutant.candidate))
        .chain(passing.iter().map(|one| &one.candidate))
        .cloned()
        .collect();
    let found = run(session, engine, &candidates).await?;
    // By candidate: its place among those that were run.
    let mut places: Vec<Option<usize>> = vec![None; candidates.len()];
    found.programs.iter().enumerate().for_each(|(place, at)| places[*at] = Some(place));
    let Some(own) = places[0] else { return Ok(Found { coverage: Some(found.coverage), ..Found::default() }) };
    for (number, at) in missed.iter().enumerate() {
        let beside = places[1 + number].map_or(Beside::Unknown, |place| beside(&found, own, place));
        tried[*at].beside = Some(beside);
    }
    let rivals = rivals(&found, own, passing, &places[1 + missed.len()..]);
    let differing: Vec<(usize, usize)> = missed
        .iter()
        .enumerate()
        .filter(|(_, at)| matches!(tried[**at].beside, Some(Beside::Differs { .. })))
        .filter_map(|(number, at)| Some((*at, places[1 + number]?)))
        .collect();
    let mutants: Vec<(usize, usize, &Candidate)> =
        differing.iter().map(|(at, place)| (*at, *place, &tried[*at].mutant.candidate)).collect();
    let suggestions = examples(session, loaded, engine, artifact, &found, own, &mutants, &rivals).await?;
    // A mutant is told of with the input of the example that catches it.
    for suggestion in suggestions.iter().rev() {
        for (at, mutant) in &suggestion.catches {
            let (call, artifact, mutant) = (suggestion.call.clone(), suggestion.artifact.clone(), mutant.clone());
            tried[*at].beside = Some(Beside::Differs { call, artifact, mutant });
        }
    }
    Ok(Found {
        suggestions,
        rivals: rivals.into_iter().map(|(rival, _)| rival).collect(),
        coverage: Some(found.coverage),
    })
}

async fn run(session: &Session, engine: &Engine, candidates: &[Candidate]) -> Result<Behaviours, Error> {
    let (validator, checks, candidates) = (engine.validator.clone(), engine.checks.clone(), candidates.to_vec());
    let compare = tokio::task::spawn_blocking(move || {
        let candidates: Vec<&Candidate> = candidates.iter().collect();
        let options = behaviour::Options { splits: SHRUNK, from_first: true, ..behaviour::Options::default() };
        behaviour::compare(&validator, &checks, &candidates, &options)
    });
    tokio::select! {
        compared = compare => Ok(compared.expect("comparing does not panic")?),
        () = session.interrupt.wait() => Err(Error::interrupted()),
    }
}

/// Where two programs part, if they do: an input that was made small, else the first.
fn parting(found: &Behaviours, own: usize, other: usize) -> Option<(&str, &Outcome, &Outcome)> {
    let splits = found.splits.iter().filter(|split| parts(split, own, other));
    let split = splits.min_by_key(|split| (split.outcomes[split.classes[own]].kind, split.call.len()));
    if let Some(split) = split {
        let outcome = |program: usize| &split.outcomes[split.classes[program]];
        return Some((&split.call, outcome(own), outcome(other)));
    }
    let seen = found.observations.iter().filter(|observation| observation.parts(own, other));
    let seen = seen.min_by_key(|observation| (observation.outcome(own).kind, observation.call.len()));
    seen.map(|observation| (observation.call.as_str(), observation.outcome(own), observation.outcome(other)))
}

fn parts(split: &Split, one: usize, other: usize) -> bool {
    let is_known = |program: usize| split.outcomes[split.classes[program]].kind != Kind::Unknown;
    split.classes[one] != split.classes[other] && is_known(one) && is_known(other)
}

fn beside(found: &Behaviours, own: usize, mutant: usize) -> Beside {
    if let Some((call, artifact, other)) = parting(found, own, mutant) {
        return Beside::Differs { call: call.to_owned(), artifact: artifact.clone(), mutant: other.clone() };
    }
    match found.bound_of(own, mutant) {
        Some(bound) if bound <= NEGLIGIBLE => Beside::LikelyEquivalent(bound),
        _ => Beside::Unknown,
    }
}

/// Programs that pass and part from the artifact, those that do the same together; each with the place of one of them.
fn rivals(found: &Behaviours, own: usize, passing: &[Natural], places: &[Option<usize>]) -> Vec<(Rival, usize)> {
    let cluster = |place: usize| found.clusters.iter().position(|cluster| cluster.contains(&place));
    let mut rivals: Vec<(Rival, usize)> = Vec::new();
    for (natural, place) in passing.iter().zip(places) {
        let Some(place) = *place else { continue };
        if let Some((known, _)) = rivals.iter_mut().find(|(_, of)| cluster(*of) == cluster(place)) {
            known.samples.extend(&natural.samples);
        } else if let Some((call, artifact, rival)) = parting(found, own, place) {
            let (samples, call) = (natural.samples.clone(), call.to_owned());
            rivals.push((Rival { samples, call, artifact: artifact.clone(), rival: rival.clone() }, place));
        }
    }
    rivals.iter_mut().for_each(|(rival, _)| rival.samples.sort_unstable());
    rivals.sort_by_key(|(rival, _)| (std::cmp::Reverse(rival.samples.len()), rival.samples.first().copied()));
    rivals
}

/// An input that could become an example.
struct Idea {
    example: Example,
    call: String,
    artifact: Outcome,
    /// What each program does there, by its place.
    does: Vec<Outcome>,
    rivals: Vec<usize>,
}

/// Which examples catch the mutants (place in the list, place among the programs), as few as will do; each was tried.
#[expect(clippy::too_many_arguments, reason = "what is suggested hangs on all that was found")]
async fn examples(
    session: &Session,
    loaded: &Loaded,
    engine: &Engine,
    artifact: &Candidate,
    found: &Behaviours,
    own: usize,
    mutants: &[(usize, usize, &Candidate)],
    rivals: &[(Rival, usize)],
) -> Result<Vec<Suggestion>, Error> {
    let mut ideas: Vec<Idea> = Vec::new();
    for split in &found.splits {
        let those: Vec<usize> =
            mutants.iter().map(|(_, place, _)| *place).filter(|place| parts(split, own, *place)).collect();
        let outcome = |program: usize| &split.outcomes[split.classes[program]];
        if those.is_empty() || outcome(own).text.len() > LONGEST || split.call.len() > LONGEST {
            continue;
        }
        let mut forms = pen::examples(&split.call, outcome(own));
        // That it is an error is enough where no other gives one; its words are left open then.
        let has_error = those.iter().any(|place| outcome(*place).kind == Kind::Error);
        let form = if has_error { forms.drain(..).next() } else { forms.pop() };
        let Some(example) = form else { continue };
        let (call, artifact) = (split.call.clone(), outcome(own).clone());
        let does = (0..found.programs.len()).map(|place| outcome(place).clone()).collect();
        let rivals = (0..rivals.len()).filter(|at| parts(split, own, rivals[*at].1)).collect();
        ideas.push(Idea { example, call, artifact, does, rivals });
    }
    ideas.truncate(TRIED);
    if ideas.is_empty() {
        return Ok(Vec::new());
    }
    let candidates: Vec<Candidate> =
        std::iter::once(artifact).chain(mutants.iter().map(|(_, _, one)| *one)).cloned().collect();
    let caught = tried(session, engine, &loaded.spec, &mut ideas, candidates).await?;
    let text = String::from_utf8_lossy(&loaded.bytes).into_owned();
    let suggestion = |(at, catches): (usize, Vec<usize>)| {
        let Idea { example, call, artifact, does, rivals } = &ideas[at];
        let catches: Vec<(usize, Outcome)> =
            catches.into_iter().map(|number| (mutants[number].0, does[mutants[number].1].clone())).collect();
        let lines = pen::lines(&text, &loaded.spec.name, example);
        let (example, call, artifact, rivals) = (example.clone(), call.clone(), artifact.clone(), rivals.clone());
        Suggestion { example, call, artifact, catches, rivals, lines, added: None }
    };
    let ranks: Vec<Rank> = ideas
        .iter()
        .zip(caught)
        .map(|(idea, catches)| Rank {
            is_answer: matches!(idea.artifact.kind, Kind::Value | Kind::Error),
            rivals: !idea.rivals.is_empty(),
            catches,
            size: idea.call.len() + idea.artifact.text.len(),
        })
        .collect();
    Ok(cover(&ranks).into_iter().map(suggestion).collect())
}

/// Tries examples on the artifact, which passes all that stay, and on mutants: of each idea, which of these it catches.
async fn tried(
    session: &Session,
    engine: &Engine,
    spec: &Spec,
    ideas: &mut Vec<Idea>,
    candidates: Vec<Candidate>,
) -> Result<Vec<Vec<usize>>, Error> {
    let alone = |ideas: &[Idea]| Spec {
        examples: ideas.iter().map(|idea| idea.example.clone()).collect(),
        properties: Vec::new(),
        tests: None,
        hidden_tests: None,
        ..spec.clone()
    };
    if !compile(session, engine, alone(ideas)).await? {
        // One that does not compile is no reason to lose the others.
        let mut kept = Vec::new();
        for idea in ideas.drain(..) {
            if compile(session, engine, alone(std::slice::from_ref(&idea))).await? {
                kept.push(idea);
            }
        }
        *ideas = kept;
    }
    // Where the artifact does not pass one of them, those that come after it may not have been run.
    while !ideas.is_empty() {
        let (validator, spec, uses) = (engine.validator.clone(), alone(ideas), engine.uses.clone());
        let prepared = tokio::task::spawn_blocking(move || validator.prepare(&spec, &uses)).await;
        let checks = Arc::new(prepared.expect("preparing does not panic")?);
        let judged = strength::judge(session, &engine.validator, &checks, candidates.clone()).await?;
        let (own, mutants) = judged.split_first().expect("the artifact was judged");
        if own.verdict.is_pass() {
            let catches = |at: usize| move |mutant: &usize| mutants[*mutant].insight.failed.contains(&at);
            return Ok((0..ideas.len()).map(|at| (0..mutants.len()).filter(catches(at)).collect()).collect());
        }
        let mut places = 0..;
        let before = ideas.len();
        ideas.retain(|_| places.next().is_some_and(|at| !own.insight.failed.contains(&at)));
        if ideas.len() == before {
            break;
        }
    }
    ideas.clear();
    Ok(Vec::new())
}

/// Whether the checks of a spec compile.
async fn compile(session: &Session, engine: &Engine, spec: Spec) -> Result<bool, Error> {
    let (validator, uses) = (engine.validator.clone(), engine.uses.clone());
    let mistakes = tokio::select! {
        checked = tokio::task::spawn_blocking(move || validator.check(&spec, &uses)) => {
            checked.expect("checking does not panic")?
        }
        () = session.interrupt.wait() => return Err(Error::interrupted()),
    };
    Ok(mistakes.is_empty())
}

/// What an example is worth.
struct Rank {
    /// Whether the artifact answers with a value there, and does not panic.
    is_answer: bool,
    /// Whether rivals part there.
    rivals: bool,
    /// The mutants that it catches.
    catches: Vec<usize>,
    size: usize,
}

/// Examples that together catch all mutants that any catches, the most telling first: place and mutants.
fn cover(ranks: &[Rank]) -> Vec<(usize, Vec<usize>)> {
    let mut open: Vec<usize> = ranks.iter().flat_map(|rank| rank.catches.iter().copied()).collect();
    open.sort_unstable();
    open.dedup();
    let mut chosen: Vec<(usize, Vec<usize>)> = Vec::new();
    while !open.is_empty() {
        let news = |rank: &Rank| rank.catches.iter().filter(|mutant| open.contains(mutant)).count();
        let worth = |rank: &Rank| (rank.is_answer, rank.rivals, news(rank), std::cmp::Reverse(rank.size));
        let best = (0..ranks.len()).filter(|at| news(&ranks[*at]) > 0).max_by_key(|at| worth(&ranks[*at]));
        let best = best.expect("what is open is caught by some example");
        open.retain(|mutant| !ranks[best].catches.contains(mutant));
        chosen.push((best, ranks[best].catches.clone()));
    }
    chosen
}

/// Puts suggestions into the spec's file, as far as they are wanted; whether it was changed. The file is written once,
/// when all of it was checked.
pub(super) async fn add(
    session: &mut Session,
    loaded: &Loaded,
    all: &[Loaded],
    engine: &Engine,
    artifact: &Candidate,
    suggestions: &mut [Suggestion],
    adding: &Adding,
) -> Result<bool, Error> {
    if suggestions.is_empty() || matches!(adding, Adding::Nothing) {
        return Ok(false);
    }
    let Ok(text) = String::from_utf8(loaded.bytes.clone()) else {
        return Err(Error::new(ExitCode::Spec, format!("`{}` is no UTF-8", loaded.path)));
    };
    let (validator, uses, stem) = (engine.validator.clone(), engine.uses.clone(), loaded.spec.name.clone());
    let mut pen = Pen { stem, text, spec: loaded.spec.clone(), validator, uses };
    let count = suggestions.len();
    'next: for (at, suggestion) in suggestions.iter_mut().enumerate() {
        let mut problem: Option<String> = None;
        loop {
            let opinion = match adding {
                Adding::Nothing => Opinion::Skip,
                Adding::All if suggestion.artifact.kind == Kind::Panic => Opinion::Skip,
                Adding::All => Opinion::Right,
                Adding::Asked(judge) => ask(session, judge, (at + 1, count), suggestion, problem.take()).await?,
            };
            let expect = match &opinion {
                Opinion::Quit => break 'next,
                Opinion::Skip => {
                    suggestion.added = Some(Added::No);
                    continue 'next;
                }
                Opinion::Right => suggestion.example.expect.clone(),
                Opinion::Wrong(text) => Expect::Returns(Snippet::new(text.trim())),
                Opinion::Panics => Expect::Panics(None),
            };
            let example = Example { expect, ..suggestion.example.clone() };
            match put(session, &pen, &example, artifact).await? {
                Err(why) if matches!(adding, Adding::Asked(_)) && opinion != Opinion::Right => problem = Some(why),
                Err(why) => {
                    suggestion.added = Some(Added::Failed(why));
                    continue 'next;
                }
                Ok((changed, passes)) => {
                    suggestion.added = Some(if passes { Added::Yes } else { Added::Corrected });
                    pen = changed;
                    continue 'next;
                }
            }
        }
    }
    if pen.text.as_bytes() == loaded.bytes {
        return Ok(false);
    }
    let changed = Loaded { bytes: pen.text.clone().into_bytes(), spec: pen.spec.clone(), ..loaded.clone() };
    let mistakes = specs::check(session, std::slice::from_ref(&changed), all).await?;
    if mistakes.iter().any(crate::spec::Diagnostics::has_errors) {
        return Err(Error::spec(mistakes).hint("nothing was written"));
    }
    pen.write(&session.workspace.path(&loaded.path), &loaded.bytes)?;
    Ok(true)
}

async fn ask(
    session: &Session,
    judge: &Judge,
    number: (usize, usize),
    suggestion: &Suggestion,
    problem: Option<String>,
) -> Result<Opinion, Error> {
    let (judge, suggestion) = (judge.clone(), suggestion.clone());
    let asked = tokio::task::spawn_blocking(move || match judge.lock() {
        Ok(mut judge) => judge(&Put { number, suggestion: &suggestion, problem: problem.as_deref() }),
        Err(_) => Opinion::Quit,
    });
    tokio::select! {
        opinion = asked => Ok(opinion.unwrap_or(Opinion::Quit)),
        () = session.interrupt.wait() => Err(Error::interrupted()),
    }
}

/// The text with an example more, and whether the artifact passes it; or why that can't be.
async fn put(
    session: &Session,
    pen: &Pen,
    example: &Example,
    artifact: &Candidate,
) -> Result<Result<(Pen, bool), String>, Error> {
    let (pen, example, artifact) = (pen.clone(), example.clone(), artifact.clone());
    let tried = tokio::task::spawn_blocking(move || pen.example(&example, NOTE, &[artifact]));
    let tried = tokio::select! {
        tried = tried => tried.expect("trying an example does not panic"),
        () = session.interrupt.wait() => return Err(Error::interrupted()),
    };
    match tried {
        Ok(accepted) => Ok(Ok((accepted.pen, accepted.passes.first().copied().unwrap_or_default()))),
        Err(Refused::No(why)) => Ok(Err(why)),
        Err(Refused::Error(error)) => Err(error.into()),
    }
}

/// Stands above an example that was added.
pub(super) const NOTE: &str = "suggested by llmc strength";

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(is_answer: bool, rivals: bool, catches: &[usize], size: usize) -> Rank {
        Rank { is_answer, rivals, catches: catches.to_vec(), size }
    }

    fn order(ranks: &[Rank]) -> Vec<usize> {
        cover(ranks).into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn the_most_telling_example_comes_first_and_none_that_tells_nothing_more() {
        assert_eq!(order(&[rank(true, false, &[1], 3), rank(true, false, &[1, 2], 9)]), [1]);
        // Of two that catch the same the shorter one.
        assert_eq!(order(&[rank(true, false, &[1], 9), rank(true, false, &[1], 3)]), [1]);
        // What rivals part on is asked first, and where the artifact panics last.
        assert_eq!(order(&[rank(true, false, &[1, 2], 3), rank(true, true, &[3], 9)]), [1, 0]);
        assert_eq!(order(&[rank(false, true, &[1, 2], 3), rank(true, false, &[2], 9)]), [1, 0]);
        assert!(order(&[rank(true, true, &[], 1)]).is_empty());
        assert!(order(&[]).is_empty());
    }
}
