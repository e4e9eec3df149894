//! `llmc strength`: how much a spec's own checks pin down.
//!
//! The artifact is changed in one small way at a time, and the checks judge each of these mutants; all of them are
//! compiled together. One that passes shows what the checks leave open, and `suggest` looks for an example that catches
//! it. Candidates that were sampled and rejected are mutants of nature. No model is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::specs::{self, Loaded};
use super::suggest::{self, Adding, Beside, Engine, Found, Natural, Rival, Suggestion};
use super::{Session, build};
use crate::behaviour::Coverage;
use crate::candidate::{self, Candidate, Mutant};
use crate::error::{Error, ExitCode};
use crate::ledger::Ledger;
use crate::model::sampling::Rng;
use crate::sandbox::Limits;
use crate::stats;
use crate::validate::{Checks, Judged, Program, Queue, Supply, Validator};
use crate::verdict::{Outcome, Verdict};
use crate::workspace::paths;

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A check fails with it.
    Caught,
    /// It did not come to an end, or took too much: caught, too.
    TimedOut,
    /// Every check passes with it.
    Missed,
    /// It does not compile, and says nothing.
    Unviable,
}

impl Fate {
    /// For events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::TimedOut => "timed-out",
            Self::Missed => "missed",
            Self::Unviable => "unviable",
        }
    }

    fn of(verdict: &Verdict) -> Self {
        match verdict.outcome {
            Outcome::Passed => Self::Missed,
            _ if !verdict.compiles() => Self::Unviable,
            Outcome::Timeout | Outcome::Resource => Self::TimedOut,
            _ => Self::Caught,
        }
    }
}

/// A mutant with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The change.
    pub mutant: Mutant,
    /// What became of it.
    pub fate: Fate,
    /// The checks that fail with it, by their places in [`Strength::checks`].
    pub by: Vec<usize>,
    /// Of one that is missed: what it does on inputs that the checks do not try.
    pub beside: Option<Beside>,
}

/// How much one check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// `example-2`, `property-NAME`, …
    pub code: String,
    /// Whether it is kept from models.
    pub hidden: bool,
    /// Mutants that it catches.
    pub catches: usize,
    /// Of them, those that no other check catches.
    pub alone: usize,
    /// Rejected candidates that it catches, and those that it alone does.
    pub rejects: (usize, usize),
}

/// How much a spec's checks pin down.
#[derive(Debug, Clone)]
pub struct Strength {
    /// The spec.
    pub spec: String,
    /// The artifact's path in the workspace.
    pub path: String,
    /// The mutants that were tried, by their places.
    pub mutants: Vec<Tried>,
    /// How many there are in all.
    pub of: usize,
    /// The spec's checks.
    pub checks: Vec<Share>,
    /// Rejected candidates of the last build: distinct programs that compile and fail a check.
    pub rejected: usize,
    /// Programs of the last build that pass every check and do something else than the artifact.
    pub rivals: Vec<Rival>,
    /// Examples that catch what is missed, the most telling first.
    pub suggestions: Vec<Suggestion>,
    /// What was tried to tell those that pass from the artifact; `None` where there are none.
    pub coverage: Option<Coverage>,
    /// The spec's path in the workspace.
    pub spec_path: String,
    /// Whether examples were added to the spec's file.
    pub written: bool,
}

impl Strength {
    /// How many mutants came to this.
    pub fn count(&self, fate: Fate) -> usize {
        self.mutants.iter().filter(|tried| tried.fate == fate).count()
    }

    /// Missed mutants that are likely the same program as the artifact: no check can tell them apart.
    pub fn equivalent(&self) -> usize {
        self.mutants.iter().filter(|tried| matches!(tried.beside, Some(Beside::LikelyEquivalent(_)))).count()
    }

    /// Caught mutants, of those that compile and are not likely the same program as the artifact.
    pub fn score(&self) -> (usize, usize) {
        let caught = self.count(Fate::Caught) + self.count(Fate::TimedOut);
        (caught, caught + self.count(Fate::Missed) - self.equivalent())
    }

    /// The 95 % interval of the score, should the mutants tried stand for all: Wilson's.
    pub fn interval(&self) -> (f64, f64) {
        let (caught, all) = self.score();
        stats::wilson(caught, all)
    }
}

/// What to find out.
#[derive(Clone)]
pub struct Trying {
    /// Most mutants that are tried.
    pub most: usize,
    /// Which, where there are more.
    pub seed: u64,
    /// What becomes of the examples that are suggested.
    pub adding: Adding,
}

/// Where the line of a mutant is in the artifact's file: below its first line.
const HEADER: usize = 1;

/// Finds out how much the checks of a spec pin down.
pub async fn strength(session: &mut Session, named: &str, asked: &Trying, from: &Path) -> Result<Strength, Error> {
    let (specs, mistakes) = specs::load_specs(session, &[named.to_owned()], from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let loaded = specs.last().expect("a spec that was named was loaded or is invalid").clone();
    let name = &loaded.spec.name;
    let artifact = artifact(session, &loaded)?;
    let all = {
        let (artifact, spec) = (artifact.clone(), loaded.spec.clone());
        tokio::task::spawn_blocking(move || candidate::mutants(&artifact, &spec))
            .await
            .expect("mutating does not panic")
    };
    let of = all.len();
    let mutants = chosen(all, asked.most, asked.seed);
    let natural = natural(session, name)?;
    let uses = build::used_sources(session, &loaded.spec, &specs)?;
    // A mutant that runs into an endless loop is found out in a second.
    let limits = Limits { cpu: Duration::from_secs(1), wall: Duration::from_secs(10), output: 1 << 20, ..Limits::RUN };
    let validator = Arc::new(session.new_validator()?.limits(Limits::COMPILE, limits));
    let checks = {
        let (validator, spec, uses) = (validator.clone(), loaded.spec.clone(), uses.clone());
        tokio::task::spawn_blocking(move || validator.prepare(&spec, &uses)).await.expect("preparing does not panic")?
    };
    let checks = Arc::new(checks);
    let candidates = std::iter::once(&artifact).chain(mutants.iter().map(|mutant| &mutant.candidate));
    let candidates = candidates.chain(natural.iter().map(|one| &one.candidate)).cloned().collect();
    let mut judged = judge(session, &validator, &checks, candidates).await?.into_iter();
    let own = judged.next().expect("the artifact was judged");
    if !own.verdict.is_pass() {
        let code = own.verdict.code.unwrap_or_default();
        return Err(Error::new(
            ExitCode::Difference,
            format!("the artifact of `{name}` does not pass its own checks ({code})"),
        )
        .hint(format!("`llmc verify {name}` says more; `llmc build {name}` builds what a changed spec made stale")));
    }
    let mut tried: Vec<Tried> = Vec::new();
    for mutant in mutants {
        let Judged { verdict, insight, .. } = judged.next().expect("every mutant was judged");
        let mutant = Mutant { line: mutant.line + HEADER, ..mutant };
        tried.push(Tried { mutant, fate: Fate::of(&verdict), by: insight.failed, beside: None });
    }
    tried.sort_by_key(|tried| (tried.mutant.line, tried.mutant.column));
    let own = Program::of(&artifact).to_string();
    let (mut rejected, mut passing): (Vec<Judged>, Vec<Natural>) = (Vec::new(), Vec::new());
    for (one, natural) in judged.zip(natural) {
        if one.verdict.is_pass() && natural.program != own {
            passing.push(natural);
        } else if one.verdict.compiles() && !one.verdict.is_pass() && !one.insight.failed.is_empty() {
            rejected.push(one);
        }
    }
    let shares = shares(&checks, &tried, &rejected);
    let engine = Engine { validator, checks, uses };
    let found = suggest::suggest(session, &loaded, &engine, &artifact, &mut tried, &passing).await?;
    let Found { mut suggestions, rivals, coverage } = found;
    let written = suggest::add(session, &loaded, &specs, &engine, &artifact, &mut suggestions, &asked.adding).await?;
    Ok(Strength {
        spec: name.clone(),
        path: paths::code(name),
        mutants: tried,
        of,
        checks: shares,
        rejected: rejected.len(),
        rivals,
        suggestions,
        coverage,
        spec_path: loaded.path,
        written,
    })
}

/// Judges candidates, all together; in their order.
pub(super) async fn judge(
    session: &Session,
    validator: &Arc<Validator>,
    checks: &Arc<Checks>,
    candidates: Vec<Candidate>,
) -> Result<Vec<Judged>, Error> {
    let mut queue = Queue::new(validator.clone(), checks.clone(), session.options.jobs);
    let mut judged: Vec<Option<Judged>> = Vec::new();
    judged.resize_with(candidates.len(), || None);
    for (at, candidate) in candidates.into_iter().enumerate() {
        queue.submit(at, candidate);
    }
    queue.supply(Supply::Ended);
    loop {
        let next = tokio::select! {
            next = queue.next() => next,
            () = session.interrupt.wait() => return Err(Error::interrupted()),
        };
        let Some(next) = next else { break };
        let next = next?;
        let at = next.id;
        judged[at] = Some(next);
    }
    Ok(judged.into_iter().map(|one| one.expect("every candidate was judged")).collect())
}

/// The code that is committed, as a candidate.
fn artifact(session: &Session, loaded: &Loaded) -> Result<Candidate, Error> {
    let name = &loaded.spec.name;
    let path = paths::code(name);
    let text = std::fs::read_to_string(session.workspace.path(&path)).map_err(|error| {
        let error = Error::new(ExitCode::Usage, format!("`{name}` has no artifact to try the checks on")).cause(error);
        error.hint(format!("`llmc build {name}` makes one"))
    })?;
    // The first line is llmc's own.
    let source = text.split_once('\n').map_or("", |(_, source)| source);
    candidate::from_source(source, &loaded.spec).map_err(|verdict| {
        let error = Error::new(ExitCode::Difference, format!("`{path}` is no implementation of the spec as it is now"));
        error.cause(std::io::Error::other(verdict.detail)).hint(format!("`llmc build {name}`"))
    })
}

/// So many of them, at random; all where there are no more.
fn chosen(mut mutants: Vec<Mutant>, most: usize, seed: u64) -> Vec<Mutant> {
    let mut rng = Rng::new(seed, 0);
    for at in (1..mutants.len()).rev() {
        mutants.swap(at, (rng.fraction() * (at + 1) as f64) as usize);
    }
    mutants.truncate(most);
    mutants
}

/// Candidates of the last build on this machine that compile, each program once.
fn natural(session: &Session, name: &str) -> Result<Vec<Natural>, Error> {
    let Some(ledger) = Ledger::open_to_read(&session.workspace.local_path())? else { return Ok(Vec::new()) };
    let mut natural: Vec<Natural> = Vec::new();
    for one in ledger.last_build(name)?.unwrap_or_default() {
        let Some(candidate) = one.candidate.filter(|_| one.verdict.is_some_and(|verdict| verdict.compiles())) else {
            continue;
        };
        let (program, number) = (Program::of(&candidate).to_string(), one.completion.index + 1);
        match natural.iter_mut().find(|known| known.program == program) {
            Some(known) => known.samples.push(number),
            None => natural.push(Natural { program, candidate, samples: vec![number] }),
        }
    }
    Ok(natural)
}

fn shares(checks: &Checks, tried: &[Tried], natural: &[Judged]) -> Vec<Share> {
    let caught: Vec<&[usize]> =
        tried.iter().filter(|tried| tried.fate != Fate::Unviable).map(|tried| &*tried.by).collect();
    let rejected: Vec<&[usize]> = natural.iter().map(|judged| &*judged.insight.failed).collect();
    let count = |by: &[&[usize]], at: usize| {
        let of = by.iter().filter(|by| by.contains(&at));
        (of.clone().count(), of.filter(|by| by.len() == 1).count())
    };
    let share = |(at, check): (usize, &crate::validate::Check)| {
        let (catches, alone) = count(&caught, at);
        Share { code: check.code.clone(), hidden: check.hidden, catches, alone, rejects: count(&rejected, at) }
    };
    checks.list().iter().enumerate().map(share).collect()
}
