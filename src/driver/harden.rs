//! Hardening: Rust that answers what a component's model answered again and again, and abstains elsewhere; with a
//! certificate from calls that it was not made from. It waits as a proposal.

use std::collections::BTreeMap;
use std::path::Path;

use super::distill::{Distilling, Drew, Ranked, Round, ask, function, registered, together};
use super::draw::{Sample, Samples};
use super::evidence::{Evidence, FEWEST, Hardening};
use super::log::Log;
use super::specs::{self, LoadedComponent};
use super::traces::{Traces, Tries};
use super::{Session, Summary, build, propose};
use crate::candidate::Candidate;
use crate::certify::{Calibration, Certificate, LEAST_ANSWERED, Scored, Terms, calibrate, calibration_cases};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::{Answered, Behaves, Event, Origin as MadeBy};
use crate::freeze;
use crate::ledger::{Ended, Ending};
use crate::model::purse::Cost;
use crate::options::Plan;
use crate::proposal::{self, Against, Proposal, Record};
use crate::provenance::{
    self, Counts, Drawn, Hardness, Origin, PassRate, Provenance, SamplingRecord, SpecRecord, Statistics,
    ToolchainRecord, Usage,
};
use crate::schema::same;
use crate::select;
use crate::validate::{Called, Program, Worker};

/// Most later calls of each kind that a proposal shows: those where the code says otherwise, the same, nothing.
const TOLD: [usize; 3] = [4, 3, 2];
/// Longest input or answer that a proposal shows, in characters.
const LONGEST_TOLD: usize = 200;

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hardened {
    /// The component.
    pub component: String,
    /// Calls of its model that were recorded and answered.
    pub traces: usize,
    /// Different inputs among those that the code was made from.
    pub inputs: usize,
    /// Of those, the ones that got different answers.
    pub unstable: usize,
    /// Programs that were sampled, and those of them that compile.
    pub sampled: (usize, usize),
    /// The share of the inputs it was made from that the chosen program answers, and how many of those otherwise than the
    /// model; absent where no program is worth its mistakes.
    pub chosen: Option<(f64, usize)>,
    /// What the later calls say of it; where they are enough, it waits as a proposal.
    pub calibration: Option<Calibration>,
    /// How many calls that were recorded later the certificate looked at.
    pub cases: usize,
    /// The chosen program, as it would be committed.
    pub code: Option<String>,
}

/// Makes code of a component, and leaves a proposal where it can be certified.
pub async fn harden(session: &mut Session, name: &str, asked: &Hardening, from: &Path) -> Result<Hardened, Error> {
    let one = component(session, name, from)?;
    harden_one(session, &one, asked, &mut Cost::default()).await
}

/// The same for a component whose code waits, with other samples.
pub(super) async fn again(session: &mut Session, name: &str, before: &Hardness) -> Result<Summary, Error> {
    let root = session.workspace.root.clone();
    let one = component(session, name, &root)?;
    let alpha = ((1.0 - before.certificate.confidence) * 1e12).round() / 1e12;
    let asked = Hardening { share: before.share, agreement: before.certificate.agreement, alpha };
    let kept = std::mem::replace(&mut session.options.no_cache, true);
    let result = harden_one(session, &one, &asked, &mut Cost::default()).await;
    session.options.no_cache = kept;
    let mut summary = Summary::default();
    let is_certified = |hardened: &Hardened| hardened.calibration.as_ref().is_some_and(|one| one.certificate.is_some());
    match result {
        Ok(hardened) if is_certified(&hardened) => {}
        Ok(_) => summary.fail(Error::new(
            ExitCode::Inconclusive,
            format!("the new samples for `{name}` can't be promised to agree often enough; what waited waits on"),
        )),
        Err(error) if error.exit == ExitCode::Interrupted => return Err(error),
        Err(error) => summary.fail(error),
    }
    Ok(summary)
}

/// Makes code of a component, where so much of the budget was spent before; what it takes is added.
pub(super) async fn harden_one(
    session: &mut Session,
    one: &LoadedComponent,
    asked: &Hardening,
    spent: &mut Cost,
) -> Result<Hardened, Error> {
    let spec = &one.spec;
    let name = &spec.name;
    if session.options.locked {
        return Err(Error::new(ExitCode::Difference, "--locked forbids to sample"));
    }
    let evidence = Evidence::of(session, name, asked.share)?;
    if evidence.modal.len() < FEWEST || evidence.cases.len() < LEAST_ANSWERED {
        return Err(too_few(name, &evidence));
    }
    let mut tries = Tries::read(session, name, &evidence.traces)?;
    let loaded = function(spec, &one.path, &evidence.modal)?;
    let policy = (&loaded.spec.policy).into();
    let dependencies = loaded.spec.dependencies.clone();
    let inputs = freeze::types_digest(spec);
    let started_on = build::unix_now();
    let distilling = Distilling { one, loaded, asked, evidence: &evidence, tries: &tries, inputs: &inputs };
    let Drew { round, mut log, sampled } = distilling.draw(session, spent).await?;
    let Round { plan, ready, run, samples, ranked } = round;
    let result = judge(session, one, asked, &evidence, &mut tries, &samples, ranked).await;
    let (mut hardened, chosen) = match result {
        Ok(found) => found,
        Err(error) => {
            log.end(&Ending::default());
            return Err(error);
        }
    };
    hardened.sampled = sampled;
    tries.inputs = evidence.traces.inputs();
    tries.drawn = tries.drawn.saturating_add(1);
    {
        let _lock = build::take_lock(session)?;
        tries.write(session, name)?;
    }
    let certified = chosen.zip(hardened.calibration.as_ref().and_then(|calibration| calibration.certificate.clone()));
    let mut number = None;
    if let Some((chosen, certificate)) = certified {
        let statistics = statistics(&samples, &plan);
        let function = function(spec, &one.path, &[])?;
        let hardness = Hardness {
            certificate,
            answered_by: evidence.traces.answered_by.clone(),
            share: asked.share,
            calls: evidence.traces.list.len(),
            inputs: evidence.modal.len(),
            unstable: evidence.unstable,
            answered: chosen.answered,
            wrong: chosen.wrong,
            asked: sha256(&ready.prompt.user),
        };
        let drawn = Drawn {
            model: ready.models[chosen.sample.model].identity().clone(),
            sampling: SamplingRecord {
                samples: plan.samples,
                stop: plan.stop,
                repairs: plan.repairs,
                parameters: plan.parameters.clone(),
            },
            prompt: specs::render_prompt(session, &function, &[])?,
            completion: chosen.sample.completion.clone(),
            statistics,
            repairs: Vec::new(),
            certificate: None,
            hardness: Some(Box::new(hardness)),
        };
        let record = Provenance {
            subject: Vec::new(),
            spec: SpecRecord {
                name: name.clone(),
                path: one.path.clone(),
                digest: sha256(spec.canonical()),
                file_digest: sha256(&one.bytes),
            },
            input_digest: inputs.clone(),
            origin: Origin::Model(Box::new(drawn)),
            policy,
            dependencies,
            uses: Vec::new(),
            crates: build::crates(&ready.checks),
            toolchain: ToolchainRecord {
                rustc: ready.validator.toolchain().version.clone(),
                host: ready.validator.toolchain().host.clone(),
            },
            llmc_version: env!("CARGO_PKG_VERSION").to_owned(),
            invocation: run.clone(),
            started_on: provenance::rfc3339(started_on),
            finished_on: provenance::rfc3339(build::unix_now()),
            sandbox: build::sandbox_grade(),
        };
        number = Some(chosen.sample.completion.index);
        leave(session, one, &chosen, &samples, evidence.traces.recorded, record)?;
    }
    end(&mut log, &hardened, number);
    if let Some(problem) = log.take_problem() {
        session.tell(Event::Warning(problem));
    }
    Ok(hardened)
}

/// Why nothing can be made yet.
fn too_few(name: &str, evidence: &Evidence) -> Error {
    let (inputs, cases) = evidence.counts();
    let message = format!(
        "`{name}` was not called often enough: {inputs} different inputs to make code from ({FEWEST} at least), {cases} later \
         ones to judge it by ({LEAST_ANSWERED} at least)"
    );
    let error = Error::new(ExitCode::Inconclusive, message)
        .hint("each call is recorded, by `llmc call`, by `llmc serve` and by programs with a workspace's harness");
    match (evidence.traces.passed_over, evidence.traces.since) {
        (0, None) => error,
        (0, Some(_)) => error.hint("its code was demoted: calls from before that play no part"),
        (some, _) => error.hint(format!(
            "{some} calls are passed over: its model was asked only since its code had abstained, and that is no fair sample; \
             after `llmc soften {name}` it answers all"
        )),
    }
}

/// The program that was chosen.
struct Chosen<'a> {
    sample: &'a Sample,
    candidate: &'a Candidate,
    /// Without the types.
    own: String,
    /// Of the inputs it was made from, those that it answers, and those of them otherwise than the model.
    answered: usize,
    wrong: usize,
    /// Some of the later calls, with what it says.
    told: Vec<Answered>,
    /// Programs that compile and were rejected before.
    passed_over: usize,
}

/// Holds the best program against the later calls.
async fn judge<'a>(
    session: &mut Session,
    one: &LoadedComponent,
    asked: &Hardening,
    evidence: &Evidence,
    tries: &mut Tries,
    samples: &'a Samples,
    mut ranked: Ranked,
) -> Result<(Hardened, Option<Chosen<'a>>), Error> {
    let spec = &one.spec;
    let name = &spec.name;
    let Evidence { traces, modal, .. } = evidence;
    let mut hardened = Hardened {
        component: name.clone(),
        traces: traces.list.len(),
        inputs: modal.len(),
        unstable: evidence.unstable,
        sampled: (0, 0),
        chosen: None,
        calibration: None,
        cases: evidence.cases.len(),
        code: None,
    };
    if let (true, Some(cap)) = (ranked.bodies.is_empty() && ranked.passed_over == 0, &samples.spent) {
        let drawn = samples.list.len();
        let error = Error::new(ExitCode::Budget, format!("`{name}`: {cap}; none of {drawn} programs compiles"));
        return Err(error.hint("raise it in llmc.yaml, or wait for the next day where it is a day's"));
    }
    let (Some((_, number, agreed, wrong)), Some(worker)) = (ranked.best, ranked.worker) else {
        return Ok((hardened, None));
    };
    #[expect(clippy::cast_precision_loss, reason = "counts of traces")]
    let answered = (agreed + wrong) as f64 / modal.len() as f64;
    hardened.chosen = Some((answered, wrong));
    attempt(session, name, tries)?;
    let (scored, told) = held(session, &worker, &registered(number, name), traces, &evidence.cases).await?;
    let terms = Terms { agreement: asked.agreement, alpha: asked.alpha, attempt: tries.attempts };
    hardened.calibration = Some(calibrate(&scored, &[1.0], &terms, evidence.window.clone()));
    let (place, own) = ranked.bodies.swap_remove(number);
    let code = freeze::component_code(spec, &one.path, Some(&own));
    hardened.code = Some(String::from_utf8_lossy(&code).into_owned());
    let sample = &samples.list[place];
    let candidate = sample.candidate.as_ref().expect("it was run");
    let passed_over = ranked.passed_over;
    Ok((hardened, Some(Chosen { sample, candidate, own, answered: agreed + wrong, wrong, told, passed_over })))
}

/// Holds what a candidate says against what the model said, call by call; and some of them, to be shown.
async fn held(
    session: &Session,
    worker: &Worker,
    called_by: &str,
    traces: &Traces,
    cases: &[usize],
) -> Result<(Vec<Scored>, Vec<Answered>), Error> {
    let mut scored = Vec::new();
    let mut told = [Vec::new(), Vec::new(), Vec::new()];
    for place in cases {
        let trace = &traces.list[*place];
        let called = ask(session, worker, called_by, &trace.input).await?;
        let (kind, case) = match &called {
            Called::Answer(value) => {
                let agrees = same(value, &trace.output);
                (usize::from(agrees), Scored { confidence: 1.0, agrees })
            }
            Called::Abstained => (2, Scored { confidence: f64::NAN, agrees: false }),
            _ => (0, Scored { confidence: 1.0, agrees: false }),
        };
        scored.push(case);
        if told[kind].len() < TOLD[kind] {
            told[kind].push(Answered {
                input: shortened(&trace.input.to_string()),
                model: shortened(&trace.output.to_string()),
                code: match called {
                    Called::Answer(value) => Some(shortened(&value.to_string())),
                    Called::Abstained => None,
                    _ => Some("(it fails)".to_owned()),
                },
            });
        }
    }
    Ok((scored, told.into_iter().flatten().collect()))
}

/// What code answers of the calls that a certificate counted, and how many of them otherwise than the model: found out anew.
/// `None` where those calls are not in the ledger.
pub(super) async fn recount(
    session: &mut Session,
    one: &LoadedComponent,
    own: &str,
    hardness: &Hardness,
    recorded: i64,
) -> Result<Option<(usize, usize)>, Error> {
    let name = &one.spec.name;
    let traces = Traces::then(session, name, hardness.answered_by.as_ref(), recorded)?;
    let keys = traces.list.iter().map(|trace| (trace.at, trace.input.to_string()));
    let (cases, window) = calibration_cases(keys, hardness.certificate.window.after);
    if window != hardness.certificate.window {
        return Ok(None);
    }
    let worker = together(session, &one.spec, &one.path, &[own]).await?;
    let (scored, _) = held(session, &worker, &registered(0, name), &traces, &cases).await?;
    let answered = scored.iter().filter(|case| !case.confidence.is_nan());
    Ok(Some(answered.fold((0, 0), |(n, wrong), case| (n + 1, wrong + usize::from(!case.agrees)))))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What the samples show, for the record.
fn statistics(samples: &Samples, plan: &Plan) -> Statistics {
    let count = |wanted: &dyn Fn(&Sample) -> bool| samples.list.iter().filter(|sample| wanted(sample)).count();
    let tokens = |of: &dyn Fn(&Sample) -> usize| samples.list.iter().map(|sample| of(sample) as u64).sum();
    let (sampled, passed) = (samples.list.len(), count(&|sample| sample.verdict.is_pass()));
    Statistics {
        counts: Counts {
            sampled,
            parsed: count(&|sample| sample.verdict.conforms()),
            compiled: count(&|sample| sample.verdict.compiles()),
            passed,
        },
        clusters: provenance::shares(&select::clusters(&build::judged(samples)), sampled),
        pass_rate: PassRate::new(passed, sampled, sampled == plan.samples && !samples.stopped),
        usage: Usage {
            prompt_tokens: tokens(&|sample| sample.completion.prompt_tokens),
            completion_tokens: tokens(&|sample| sample.completion.completion_tokens),
            usd: samples.list.iter().map(|sample| sample.completion.usd).sum(),
        },
    }
}

/// How it ended, for the ledger.
fn end(log: &mut Log, hardened: &Hardened, chosen: Option<usize>) {
    let (sampled, compiled) = hardened.sampled;
    log.end(&Ending {
        ended: if chosen.is_some() { Ended::Proposed } else { Ended::Failed },
        sampled,
        parsed: compiled,
        compiled,
        passed: compiled,
        chosen,
        commit: None,
    });
}

/// What a certificate says of the code, as a sentence.
pub(super) fn sentence(certificate: &Certificate) -> String {
    let Certificate { n, disagreements, coverage, agreement, confidence, window, .. } = certificate;
    format!(
        "on {} later calls with new inputs it answers {n} ({:.0} %), and {disagreements} of those otherwise than the model: it \
         agrees at least {} % of the time, at {} % confidence",
        window.cases,
        coverage * 100.0,
        percent(*agreement),
        percent(*confidence)
    )
}

/// A rate in per cent, to two places where it has them.
fn percent(rate: f64) -> f64 {
    (rate * 1e4).round() / 1e2
}

/// Leaves a proposal.
fn leave(
    session: &Session,
    one: &LoadedComponent,
    chosen: &Chosen<'_>,
    samples: &Samples,
    recorded: i64,
    record: Provenance,
) -> Result<(), Error> {
    let spec = &one.spec;
    let _lock = build::take_lock(session)?;
    freeze::recover(&session.workspace)?;
    let files = freeze::hardened_files(spec, &chosen.own, &record);
    let provenance =
        Provenance::read(&files[1].1).map_err(|error| Error::new(ExitCode::Internal, error.to_string()))?;
    let before = freeze::read(&session.workspace.path(&crate::workspace::paths::code(&spec.name)))?;
    let is_hardened = freeze::is_hardened(&session.workspace, &spec.name)?;
    let lines = |code: &[u8]| proposal::unmarked(code).lines().count();
    let drawn = || samples.all().filter(|sample| !sample.replayed).map(|sample| &sample.completion);
    let certificate = &provenance.hardness().expect("it was made with one").certificate;
    let summary = proposal::Summary {
        behaves: Behaves::Agrees,
        told: sentence(certificate),
        differing: Vec::new(),
        calls: chosen.told.clone(),
        recorded: Some(recorded),
        lines: (before.filter(|_| is_hardened).map(|code| lines(&code)), lines(&files[0].1)),
        rejected_before: chosen.passed_over,
        tokens: drawn().map(|one| (one.prompt_tokens + one.completion_tokens) as u64).sum(),
        usd: drawn().map(|one| one.usd).sum(),
    };
    let record = Record {
        format_version: proposal::FORMAT_VERSION,
        name: spec.name.clone(),
        path: one.path.clone(),
        digest: Program::of(chosen.candidate).to_string(),
        inputs: provenance.input_digest.clone(),
        origin: MadeBy::Harden,
        made: provenance::rfc3339(build::unix_now()),
        artifact: Against::now(&session.workspace, &spec.name)?,
        files: BTreeMap::new(),
        summary,
    };
    let mut proposal = Proposal { record, files, spec: one.bytes.clone(), provenance };
    proposal.write(&session.workspace)?;
    session.tell(Event::Proposed(propose::told_of(&proposal, None)));
    Ok(())
}

/// The component that is named.
pub(super) fn component(session: &Session, name: &str, from: &Path) -> Result<LoadedComponent, Error> {
    let found = specs::load(session, &[name.to_owned()], from)?;
    if let Some(component) = found.components.into_iter().next() {
        return Ok(component);
    }
    if !found.mistakes.is_empty() {
        return Err(Error::spec(found.mistakes));
    }
    Err(Error::new(ExitCode::Usage, format!("`{name}` is a function: it is code already"))
        .hint(format!("`llmc soften {name}` makes a component of it")))
}

/// Counts an attempt, before it looks at the cases.
fn attempt(session: &Session, name: &str, tries: &mut Tries) -> Result<(), Error> {
    let _lock = build::take_lock(session)?;
    tries.attempts = tries.attempts.saturating_add(1);
    tries.write(session, name)?;
    let now = tries.attempts;
    if now > 1 {
        session.tell(Event::Note(format!(
            "this is attempt {now} to harden `{name}` by what was recorded: it may spend less of alpha than the ones before, so \
             that all of them together keep to it"
        )));
    }
    Ok(())
}
