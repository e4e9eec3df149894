//! Leaving a proposal instead of an artifact: with which samples, how it behaves beside the artifact, what is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Session;
use super::build::{self, Target};
use super::draw::Samples;
use super::specs::Loaded;
use crate::behaviour::{self, Behaviours, Split};
use crate::candidate::{self, Candidate};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::{Answered, Behaves, Differing, Event, Finished, Origin, Proposed, Status};
use crate::freeze::{self, ArtifactInput};
use crate::model::{Identity, Parameters};
use crate::options::Plan;
use crate::prompt::Prompt;
use crate::proposal::{self, Against, Proposal, ProposalError, Record, Summary};
use crate::provenance::{self, Provenance};
use crate::spec::Spec;
use crate::validate::{self, Checks, Insight, Program, Validator};
use crate::verdict::Verdict;
use crate::workspace::paths;

/// Longest time that artifact and proposal are run on the same inputs.
const LONGEST: Duration = Duration::from_secs(20);

/// A proposal that is to be made.
pub(super) struct Proposing {
    origin: Origin,
    /// Whether samples are wanted of which nothing was made yet.
    is_regen: bool,
    /// Whether the artifact is that of the spec as it is.
    is_current: bool,
    artifact: Option<Artifact>,
}

/// The artifact that a proposal would replace.
struct Artifact {
    against: Against,
    lines: usize,
    /// As a candidate for the spec as it is; or why it is none.
    candidate: Result<Candidate, Verdict>,
    program: Option<String>,
}

/// What is proposed.
pub(super) struct Found<'a> {
    /// Its sample's number, from 1.
    pub(super) number: usize,
    pub(super) candidate: &'a Candidate,
    pub(super) insight: Option<&'a Insight>,
    pub(super) samples: &'a Samples,
    /// How many programs that pass were passed over, since someone rejected them.
    pub(super) passed_over: usize,
    pub(super) validator: &'a Arc<Validator>,
    /// What all were judged by.
    pub(super) checks: &'a Arc<Checks>,
}

/// How what was chosen behaves beside the artifact.
struct Comparison {
    behaves: Behaves,
    told: String,
    differing: Vec<Differing>,
}

impl Comparison {
    fn new(behaves: Behaves, told: impl Into<String>) -> Self {
        Self { behaves, told: told.into(), differing: Vec::new() }
    }
}

impl Proposing {
    /// What a build leaves where review is required.
    pub(super) fn at_build(session: &Session, spec: &Spec) -> Result<Self, Error> {
        let artifact = artifact(session, spec)?;
        Ok(Self { origin: Origin::Build, is_regen: false, is_current: false, artifact })
    }

    /// What `llmc regen` leaves. `is_current`: whether the artifact is that of the spec as it is.
    pub(super) fn at_regen(session: &Session, spec: &Spec, is_current: bool) -> Result<Self, Error> {
        let artifact = artifact(session, spec)?;
        Ok(Self { origin: Origin::Regen, is_regen: true, is_current, artifact })
    }

    /// Whether it is no failure when there is nothing to propose: the artifact is as good as before.
    pub(super) fn may_be_nothing(&self) -> bool {
        self.is_current
    }

    /// The artifact, where it can be judged along with the candidates.
    pub(super) fn candidate(&self) -> Option<&Candidate> {
        self.artifact.as_ref()?.candidate.as_ref().ok()
    }

    /// How to sample, and whether to pass over samples that are there.
    ///
    /// New draws want a new seed: many models give the same again for the same one. It follows from the artifact and
    /// from how many runs came to an end since, so that a run that was cut short is gone on with: what it paid for was
    /// not looked at yet.
    pub(super) fn parameters(
        &self,
        session: &mut Session,
        plan: &Plan,
        prompt: &Prompt,
        models: &[&Identity],
    ) -> (Parameters, bool) {
        let afresh = session.options.no_cache;
        if !self.is_regen {
            return (plan.parameters.clone(), afresh);
        }
        // Without a ledger nothing is known of earlier runs; whether that matters is said when this one begins.
        let ledger = session.ledger().ok();
        let is_used = |parameters: &Parameters| {
            ledger.as_ref().is_some_and(|ledger| ledger.is_used(prompt, parameters, models).unwrap_or(false))
        };
        if session.options.sampling.seed.is_some() {
            let is_used = is_used(&plan.parameters);
            if is_used {
                let seed = plan.parameters.seed;
                session.tell(Event::Note(format!(
                    "seed {seed} was drawn with before: a model that keeps to seeds gives the same samples again"
                )));
            }
            return (plan.parameters.clone(), afresh || is_used);
        }
        let of = self.artifact.as_ref().map_or("", |artifact| artifact.against.provenance.as_str());
        let round = |round: u32| Parameters { seed: seed(plan.parameters.seed, of, round), ..plan.parameters.clone() };
        let parameters = (1..).map(round).find(|parameters| !is_used(parameters));
        (parameters.expect("there are more seeds than runs"), afresh)
    }

    /// Leaves a proposal, unless what was chosen is what is there.
    pub(super) async fn leave(
        &self,
        session: &Session,
        loaded: &Loaded,
        found: &Found<'_>,
        provenance: &Provenance,
        finished: &mut Finished,
    ) -> Result<(), Error> {
        let name = &loaded.spec.name;
        let number = found.number;
        let digest = Program::of(found.candidate).to_string();
        let is_identical = self.artifact.as_ref().is_some_and(|one| one.program.as_ref() == Some(&digest));
        if is_identical && self.is_current {
            session.tell(Event::Note(format!(
                "`{name}`: no change: sample {number}, which would be chosen, is the program that is there"
            )));
            finished.status = Status::Fresh;
            finished.chosen = Some((number, PathBuf::from(paths::code(name))));
            return Ok(());
        }
        if let Ok(Some(waiting)) = Proposal::read(&session.workspace, name)
            && waiting.record.digest == digest
        {
            session.tell(Event::Note(format!("`{name}`: it is the program that is proposed already")));
        }
        let Comparison { behaves, told, differing } = self.compare(session, is_identical, found).await?;
        let tests = validate::render_tests_file(&loaded.spec);
        let files = freeze::files(&ArtifactInput { source: &found.candidate.source, tests: &tests, provenance })?;
        let drawn = || found.samples.all().filter(|sample| !sample.replayed).map(|sample| &sample.completion);
        let summary = Summary {
            behaves,
            told,
            differing,
            calls: Vec::new(),
            recorded: None,
            lines: (self.artifact.as_ref().map(|one| one.lines), found.candidate.source.lines().count()),
            rejected_before: found.passed_over,
            tokens: drawn().map(|one| (one.prompt_tokens + one.completion_tokens) as u64).sum(),
            usd: drawn().map(|one| one.usd).sum(),
        };
        let record = Record {
            format_version: proposal::FORMAT_VERSION,
            name: name.clone(),
            path: loaded.path.clone(),
            digest,
            inputs: provenance.input_digest.clone(),
            origin: self.origin,
            made: provenance::rfc3339(build::unix_now()),
            artifact: self.artifact.as_ref().map(|one| one.against.clone()),
            files: Default::default(),
            summary,
        };
        let mut proposal = Proposal { record, files, spec: loaded.bytes.clone(), provenance: provenance.clone() };
        proposal.write(&session.workspace)?;
        session.tell(Event::Proposed(told_of(&proposal, None)));
        finished.status = Status::Proposed;
        finished.chosen = Some((number, path(name).join(format!("src/{name}.rs"))));
        Ok(())
    }

    /// How what was chosen behaves beside the artifact.
    async fn compare(&self, session: &Session, is_identical: bool, found: &Found<'_>) -> Result<Comparison, Error> {
        let Some(artifact) = &self.artifact else {
            return Ok(Comparison::new(Behaves::New, "there is no artifact yet"));
        };
        if is_identical {
            return Ok(Comparison::new(Behaves::Identical, "it is the same program as the artifact"));
        }
        let fails = |verdict: &Verdict| {
            let code = verdict.code.as_deref().unwrap_or("unknown");
            let told = format!("the artifact fails the spec as it is now ({code}), and this passes");
            Ok(Comparison::new(Behaves::Mends, told))
        };
        match (&artifact.candidate, &found.samples.artifact) {
            (Err(verdict), _) => fails(verdict),
            (Ok(_), None) => Ok(unknown("the artifact was not judged")),
            (Ok(_), Some((verdict, _))) if !verdict.is_pass() => fails(verdict),
            (Ok(candidate), Some((_, insight))) => {
                let in_checks = by_answers(insight, found.insight);
                let (validator, checks) = (found.validator.clone(), found.checks.clone());
                let (artifact, chosen) = (candidate.clone(), found.candidate.clone());
                let options = behaviour::Options { time: LONGEST, ..behaviour::Options::default() };
                // On one thread: the processes end with the one that started them.
                let run = move || behaviour::compare(&validator, &checks, &[&artifact, &chosen], &options);
                let behaviours = tokio::select! {
                    ran = tokio::task::spawn_blocking(run) => ran.expect("comparing does not panic")?,
                    () = session.interrupt.wait() => return Err(Error::interrupted()),
                };
                Ok(by_inputs(&behaviours, in_checks))
            }
        }
    }
}

/// By what both did with the same inputs, made for this; and by what they answered in the checks, where there is more.
fn by_inputs(behaviours: &Behaviours, in_checks: Comparison) -> Comparison {
    if behaviours.programs.len() < 2 || behaviours.observations.is_empty() {
        return in_checks;
    }
    let apart = behaviours.observations.iter().filter(|one| one.parts(0, 1)).count();
    let inputs = behaviours.coverage.inputs;
    if apart > 0 {
        let one = |split: &Split| Differing {
            call: split.call.clone(),
            artifact: split.outcomes[split.classes[0]].text.clone(),
            proposal: split.outcomes[split.classes[1]].text.clone(),
        };
        return Comparison {
            behaves: Behaves::Differs,
            told: format!("it behaves otherwise than the artifact: on {apart} of {inputs} inputs, and both pass"),
            differing: behaviours.splits.iter().map(one).collect(),
        };
    }
    match in_checks.behaves {
        // Hidden checks and free tests may ask for more than inputs can.
        Behaves::Differs => in_checks,
        _ => {
            let tried = match behaviours.coverage.bound() {
                Some(_) => behaviours.coverage.sentence(),
                None => format!("the same answers on {inputs} inputs"),
            };
            Comparison::new(Behaves::Same, format!("it behaves as the artifact does: {tried}"))
        }
    }
}

fn unknown(why: &str) -> Comparison {
    Comparison::new(Behaves::Unknown, format!("whether it behaves as the artifact does is not known: {why}"))
}

/// By what both answered in the spec's checks. That is known as a digest: it tells that there is an input on which they
/// differ, and not which.
fn by_answers(artifact: &Insight, chosen: Option<&Insight>) -> Comparison {
    match (&artifact.behaviour, chosen.and_then(|insight| insight.behaviour.as_ref())) {
        (Some(one), Some(other)) if one == other => Comparison::new(
            Behaves::Same,
            "it behaves as the artifact does: the same answers to every call of the spec's checks",
        ),
        (Some(_), Some(_)) => Comparison::new(
            Behaves::Differs,
            "it behaves otherwise than the artifact: other answers to some call of the spec's checks, and both pass",
        ),
        _ => unknown("the checks run in the candidate's own process, which hides its answers"),
    }
}

/// The seed of a run that wants new draws: another one for each artifact and each run.
fn seed(base: u64, of: &str, round: u32) -> u64 {
    let digest = sha256(format!("llmc regen 1\n{base}\n{of}\n{round}"));
    // Short enough to be typed, and a number in any JSON reader.
    u64::from_str_radix(&digest[..8], 16).expect("a digest is hex")
}

/// The artifact of a spec that is there now.
fn artifact(session: &Session, spec: &Spec) -> Result<Option<Artifact>, Error> {
    let Some(against) = Against::now(&session.workspace, &spec.name)? else { return Ok(None) };
    let code = freeze::read(&session.workspace.path(&paths::code(&spec.name)))?.unwrap_or_default();
    let code = proposal::unmarked(&code);
    let candidate = candidate::from_source(&code, spec);
    let program = candidate.as_ref().ok().map(|candidate| Program::of(candidate).to_string());
    Ok(Some(Artifact { against, lines: code.lines().count(), candidate, program }))
}

/// A proposal's folder, relative to the workspace's root.
pub(super) fn path(name: &str) -> PathBuf {
    PathBuf::from(".llmc/proposals").join(name)
}

/// A proposal as it is told.
pub(super) fn told_of(proposal: &Proposal, stale: Option<(String, String)>) -> Proposed {
    let Record { name, digest, origin, made, summary, .. } = &proposal.record;
    let drawn = proposal.drawn();
    let counts = drawn.statistics.counts;
    Proposed {
        spec: name.clone(),
        path: path(name),
        digest: digest.clone(),
        origin: *origin,
        made: made.clone(),
        behaves: summary.behaves,
        told: in_one_line(&summary.told),
        differing: summary
            .differing
            .iter()
            .map(|one| Differing {
                call: in_one_line(&one.call),
                artifact: in_one_line(&one.artifact),
                proposal: in_one_line(&one.proposal),
            })
            .collect(),
        calls: summary
            .calls
            .iter()
            .map(|one| Answered {
                input: in_one_line(&one.input),
                model: in_one_line(&one.model),
                code: one.code.as_deref().map(in_one_line),
            })
            .collect(),
        lines: summary.lines,
        model: drawn.model.to_string(),
        samples: (drawn.completion.index + 1, counts.sampled, counts.passed),
        tokens: summary.tokens,
        usd: summary.usd,
        stale,
    }
}

/// A text as one line: what a proposal says of itself may have come from anyone, and is to look like nothing else.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The end of a build whose proposal waits already; `None` when none does that was made of the same.
pub(super) fn waits(session: &Session, target: &Target, started: Instant) -> Result<Option<Finished>, Error> {
    let name = &target.loaded.spec.name;
    let proposal = match Proposal::read(&session.workspace, name) {
        Ok(Some(proposal)) => proposal,
        // One that is not whole is made anew.
        Ok(None) | Err(ProposalError::Broken { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_same =
        proposal.record.inputs == target.inputs && proposal.record.artifact == Against::now(&session.workspace, name)?;
    if !is_same {
        return Ok(None);
    }
    session.tell(Event::Proposed(told_of(&proposal, None)));
    session.tell(Event::Note(format!(
        "`{name}`: this proposal waits since {}; nothing was sampled (`--no-cache` samples afresh)",
        proposal.record.made
    )));
    let chosen = (proposal.drawn().completion.index + 1, path(name).join(format!("src/{name}.rs")));
    Ok(Some(Finished { chosen: Some(chosen), ..build::nothing_done(name, Status::Proposed, started) }))
}

/// What is said where programs are passed over.
pub(super) fn told_rejected(name: &str, programs: usize) -> String {
    match programs {
        1 => format!("`{name}`: a program that passes was rejected before, and is not offered again"),
        _ => format!("`{name}`: {programs} programs that pass were rejected before, and are not offered again"),
    }
}

/// What is said where there is nothing else to propose.
pub(super) fn nothing_new(name: &str) -> String {
    format!("`{name}`: no change: every candidate that passes was rejected before, and is not offered again")
}

/// Why there is no artifact where there might have been one.
pub(super) fn all_rejected(name: &str) -> Error {
    let message = format!("every candidate of `{name}` that passes was rejected before, and is not offered again");
    Error::new(ExitCode::NoCandidate, message)
        .hint("change the spec so that it says what was wrong with them, or draw more samples: `-n 32`")
        .hint(format!("`llmc reject {name} --forget` forgets what was rejected"))
}
