//! Hardening: Rust that answers what a component's model answered again and again, and abstains elsewhere; with a
//! certificate from calls that it was not made from. It waits as a proposal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::build;
use super::components::{Piece, assembled, plain_dependencies, workers};
use super::draw::{Sample, Samples};
use super::log::Log;
use super::propose;
use super::ready::{Drawing, Ready};
use super::specs::{self, Loaded, LoadedComponent};
use super::traces::{Trace, Traces, Tries};
use super::{Session, Summary, distill};
use crate::candidate::{self, Candidate};
use crate::certify::{
    Calibration, Certificate, LEAST_ANSWERED, Scored, Terms, Window, calibrate, calibration_cases, needed, spent,
};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::{Answered, Behaves, Event, Origin as MadeBy};
use crate::freeze;
use crate::ledger::{Ended, Ending, Phase};
use crate::model::purse::Cost;
use crate::options::Plan;
use crate::prompt::Flaw;
use crate::proposal::{self, Against, Proposal, Record};
use crate::provenance::{
    self, Counts, Drawn, Hardness, Origin, PassRate, Provenance, SamplingRecord, SpecRecord, Statistics,
    ToolchainRecord, Usage,
};
use crate::register::Callable;
use crate::schema::same;
use crate::select;
use crate::spec::{self, ComponentSpec, Spec};
use crate::types;
use crate::validate::{Called, Program, Worker};

/// Fewest different inputs that code is made from.
const FEWEST: usize = 8;
/// How many samples are drawn, unless told otherwise.
const SAMPLES: usize = 16;
/// How often a program is sent back, unless settings or the spec (`sampling.repairs`) say otherwise.
const ROUNDS: usize = 2;
/// Most later calls of each kind that a proposal shows: those where the code says otherwise, the same, nothing.
const TOLD: [usize; 3] = [4, 3, 2];
/// Longest input or answer that a proposal shows, in characters.
const LONGEST_TOLD: usize = 200;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hardening {
    /// Share of the traces, the earliest ones, that code is made from; the rest judges it. Between 0 and 1.
    pub share: f64,
    /// The agreement with the model that is to be promised; between 0 and 1.
    pub agreement: f64,
    /// The chance to promise what does not hold; between 0 and 1.
    pub alpha: f64,
}

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

/// What is recorded of a component, split into what code is made from and what judges it.
pub(super) struct Evidence {
    pub(super) traces: Traces,
    /// Each earlier input with the answer it got most often.
    modal: Vec<(Value, Value)>,
    unstable: usize,
    /// Places of the later calls that judge.
    cases: Vec<usize>,
    window: Window,
}

impl Evidence {
    /// Of a component, with this share of it for making code.
    pub(super) fn of(session: &Session, name: &str, share: f64) -> Result<Self, Error> {
        let traces = Traces::of(session, name)?;
        let t0 = traces.split(share);
        let early: Vec<&Trace> = traces.list.iter().filter(|trace| trace.at <= t0).collect();
        let (modal, unstable) = modal(&early);
        let keys = traces.list.iter().map(|trace| (trace.at, trace.input.to_string()));
        let (cases, window) = calibration_cases(keys, t0);
        Ok(Self { traces, modal, unstable, cases, window })
    }

    /// Different inputs to make code from, and later ones to judge it by.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.modal.len(), self.cases.len())
    }

    /// The fewest of both that could lead to a certificate at all, with the part of alpha that the next attempt may spend.
    pub(super) fn least(&self, asked: &Hardening, tries: &Tries) -> (usize, usize) {
        (FEWEST, needed(0, asked.agreement, spent(asked.alpha, tries.attempts + 1)))
    }
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
    let ready = Ready::new(session, &loaded, &[], &plan(session, &loaded.spec, &tries, *spent)?, &loaded.spec).await?;
    let inputs = freeze::types_digest(spec);
    let started_on = build::unix_now();
    let Drew { round, mut log, sampled } =
        rounds(session, one, asked, &evidence, &tries, (&loaded, &inputs), ready, spent).await?;
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
            policy: (&loaded.spec.policy).into(),
            dependencies: loaded.spec.dependencies.clone(),
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

/// How to draw. Another try wants other samples: many models give the same again for the same seed. One that was cut short
/// takes what it paid for.
fn plan(session: &Session, spec: &Spec, tries: &Tries, before: Cost) -> Result<Plan, Error> {
    let mut plan = session.options.plan(spec);
    plan.samples = session.options.sampling.samples.unwrap_or(SAMPLES);
    // All of them are looked at, and a repair is none that enters the choice.
    (plan.stop, plan.repairs) = (spec::Stop::All, 0);
    if session.options.sampling.seed.is_none() {
        plan.parameters.seed = plan.parameters.seed.wrapping_add(u64::from(tries.drawn));
    }
    let spent = || Error::new(ExitCode::Budget, format!("the budget for hardening `{}` is spent", spec.name));
    if let Some(tokens) = &mut plan.budget.tokens {
        *tokens = tokens.checked_sub(before.tokens).filter(|left| *left > 0).ok_or_else(spent)?;
    }
    if let Some(usd) = &mut plan.budget.usd {
        *usd -= before.usd_micros.unwrap_or(0) as f64 / 1e6;
        (*usd > 0.0).then_some(()).ok_or_else(spent)?;
    }
    Ok(plan)
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

/// One prompt's samples, and the best of them.
struct Round {
    plan: Plan,
    ready: Ready,
    run: String,
    samples: Samples,
    ranked: Ranked,
}

/// The best round, and the programs of all of them: sampled, and those that compile.
struct Drew {
    round: Round,
    log: Log,
    sampled: (usize, usize),
}

/// The programs of a round, run on the earlier inputs.
#[derive(Default)]
struct Ranked {
    worker: Option<Arc<Worker>>,
    /// Place of a sample, and its program without the types; in the order of the worker's modules.
    bodies: Vec<(usize, String)>,
    /// Programs that compile and were rejected before.
    passed_over: usize,
    /// The best that is worth its mistakes: its worth, its number, how often it says what the model said, and otherwise.
    best: Option<(f64, usize, usize, usize)>,
    /// The program that comes nearest, and what is wrong with it.
    flaw: Option<(usize, String)>,
}

impl Ranked {
    fn worth(&self) -> f64 {
        self.best.map_or(0.0, |best| best.0)
    }
}

/// Draws; where no program can lead to a certificate the nearest one goes back with inputs on which it is wrong or has no
/// answer.
#[expect(clippy::too_many_arguments, reason = "one place alone calls it")]
async fn rounds(
    session: &mut Session,
    one: &LoadedComponent,
    asked: &Hardening,
    evidence: &Evidence,
    tries: &Tries,
    (loaded, inputs): (&Loaded, &str),
    ready: Ready,
    spent: &mut Cost,
) -> Result<Drew, Error> {
    let name = &one.spec.name;
    let most = session.options.sampling_of(&one.spec.sampling).repairs.unwrap_or(ROUNDS);
    let task = ready.prompt.clone();
    let mut best: Option<(Round, Log)> = None;
    let mut sampled = (0, 0);
    let mut prompt = task.clone();
    for number in 0..=most {
        let plan = match plan(session, &loaded.spec, tries, *spent) {
            Ok(plan) => plan,
            Err(_) if best.is_some() => break,
            Err(error) => return Err(error),
        };
        let ready = ready.with(prompt.clone());
        let run = format!("{name}-harden-{}-{number}", build::unix_now());
        let drawing = Drawing {
            spec: &loaded.spec,
            run: &run,
            inputs,
            phase: Phase::Fresh,
            plan: &plan,
            afresh: session.options.no_cache,
            artifact: None,
            skip: 0,
        };
        let (samples, mut log) = match drawing.draw(session, &ready).await {
            Ok(drawn) => drawn,
            Err(error) if best.is_some() && matches!(error.exit, ExitCode::Budget | ExitCode::Provider) => {
                session.tell(Event::Warning(format!("`{name}`: no more programs were sampled: {}", error.message)));
                break;
            }
            Err(error) => return Err(error),
        };
        spent.tokens = spent.tokens.saturating_add(samples.cost.tokens);
        spent.usd_micros = Some(spent.usd_micros.unwrap_or(0).saturating_add(samples.cost.usd_micros.unwrap_or(0)));
        match (&samples.spent, samples.list.len()) {
            (Some(cap), 0) if best.is_none() => {
                log.end(&Ending::default());
                return Err(Error::new(ExitCode::Budget, format!("nothing was sampled to harden `{name}`: {cap}"))
                    .hint("raise it in llmc.yaml, or wait for the next day where it is a day's"));
            }
            (Some(cap), some) => {
                session.tell(Event::Warning(format!("`{name}`: {cap}; {some} samples were drawn before")));
            }
            (None, _) => {}
        }
        let ranked = match rank(session, one, asked, evidence, &samples).await {
            Ok(ranked) => ranked,
            Err(error) => {
                log.end(&Ending::default());
                return Err(error);
            }
        };
        sampled.0 += samples.list.len();
        sampled.1 += samples.list.iter().filter(|sample| sample.verdict.is_pass()).count();
        let is_last = samples.spent.is_some();
        let is_enough = ranked.best.is_some_and(|(_, _, agreed, wrong)| {
            let likely = (agreed + wrong) * evidence.cases.len() / evidence.modal.len();
            likely >= evidence.least(asked, tries).1
        });
        let flaw = ranked.flaw.clone().and_then(|(place, failure)| {
            let candidate = samples.list.get(place)?.candidate.as_ref()?;
            Some((candidate.source.clone(), failure))
        });
        let round = Round { plan, ready, run, samples, ranked };
        match &mut best {
            Some((before, _)) if before.ranked.worth() >= round.ranked.worth() => log.end(&Ending::default()),
            _ => {
                if let Some((_, mut before)) = best.replace((round, log)) {
                    before.end(&Ending::default());
                }
            }
        }
        let Some((source, failure)) = flaw.filter(|_| !is_enough && !is_last && number < most) else { break };
        session.tell(Event::Note(format!(
            "`{name}`: no program answers enough and is right often enough; the nearest goes back with inputs that it does \
             not answer as the model did"
        )));
        let flaw = Flaw { code: &source, compiles: true, failure_code: "", failure: &failure };
        prompt = session.templates.render_repair(&loaded.spec, &task, &flaw)?;
    }
    let (round, log) = best.expect("the first round is the best of the first round");
    Ok(Drew { round, log, sampled })
}

/// Runs what compiles on the earlier inputs.
async fn rank(
    session: &mut Session,
    one: &LoadedComponent,
    asked: &Hardening,
    evidence: &Evidence,
    samples: &Samples,
) -> Result<Ranked, Error> {
    let spec = &one.spec;
    let name = &spec.name;
    let rejected = proposal::rejected(&session.workspace, name)?;
    let mut ranked = Ranked::default();
    for (place, sample) in samples.list.iter().enumerate().filter(|(_, sample)| sample.verdict.is_pass()) {
        let Some(candidate) = &sample.candidate else { continue };
        match without_types(&candidate.source, spec) {
            Some(own) if !rejected.contains(&Program::of(candidate).to_string()) => ranked.bodies.push((place, own)),
            _ => ranked.passed_over += 1,
        }
    }
    if ranked.passed_over > 0 {
        session.tell(Event::Note(propose::told_rejected(name, ranked.passed_over)));
    }
    if ranked.bodies.is_empty() {
        return Ok(ranked);
    }
    let own: Vec<&str> = ranked.bodies.iter().map(|(_, own)| own.as_str()).collect();
    let worker = together(session, spec, &one.path, &own).await?;
    let mut nearest: Option<usize> = None;
    for (number, (place, _)) in ranked.bodies.iter().enumerate() {
        let (mut agreed, mut wrong, mut silent) = (0, Vec::new(), Vec::new());
        for pair in &evidence.modal {
            match ask(session, &worker, &registered(number, name), &pair.0).await? {
                Called::Answer(value) if same(&value, &pair.1) => agreed += 1,
                Called::Answer(value) => wrong.push((pair, value.to_string())),
                Called::Abstained => silent.push(pair),
                _ => wrong.push((pair, "no answer: it fails".to_owned())),
            }
        }
        // What a wrong answer costs in right ones, at the rate that is promised.
        #[expect(clippy::cast_precision_loss, reason = "counts of traces")]
        let worth = agreed as f64 - wrong.len() as f64 * asked.agreement / (1.0 - asked.agreement);
        if worth > ranked.worth() {
            ranked.best = Some((worth, number, agreed, wrong.len()));
        }
        if nearest.is_none_or(|most| agreed > most) && agreed < evidence.modal.len() {
            nearest = Some(agreed);
            ranked.flaw = Some((*place, distill::flaw(&wrong, &silent)));
        }
    }
    ranked.worker = Some(worker);
    Ok(ranked)
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

/// Calls a candidate, unless the user wants to stop.
async fn ask(session: &Session, worker: &Worker, name: &str, input: &Value) -> Result<Called, Error> {
    if session.interrupt.is_set() {
        return Err(Error::interrupted());
    }
    Ok(worker.call(name, input.clone()).await?)
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

/// Each input with the answer it got most often (the earliest of several), and how many got different ones.
fn modal(traces: &[&Trace]) -> (Vec<(Value, Value)>, usize) {
    let mut order: Vec<String> = Vec::new();
    let mut answers: BTreeMap<String, (Value, Vec<(Value, usize)>)> = BTreeMap::new();
    for trace in traces {
        let key = trace.input.to_string();
        let of = answers.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            (trace.input.clone(), Vec::new())
        });
        match of.1.iter_mut().find(|(output, _)| same(output, &trace.output)) {
            Some((_, count)) => *count += 1,
            None => of.1.push((trace.output.clone(), 1)),
        }
    }
    let mut unstable = 0;
    let mut modal = Vec::new();
    for key in order {
        let Some((input, outputs)) = answers.remove(&key) else { continue };
        unstable += usize::from(outputs.len() > 1);
        let most = outputs.iter().map(|(_, count)| *count).max().unwrap_or_default();
        if let Some((output, _)) = outputs.into_iter().find(|(_, count)| *count == most) {
            modal.push((input, output));
        }
    }
    (modal, unstable)
}

/// The function that is to be written, as a spec.
pub(super) fn function(spec: &ComponentSpec, path: &str, modal: &[(Value, Value)]) -> Result<Loaded, Error> {
    // How the types are written as JSON is no part of an interface; the component's own file keeps it.
    let is_left_out = |line: &&str| line.starts_with("//!") || line.starts_with("#[serde(");
    let types: String = types::of(spec).lines().filter(|line| !is_left_out(line)).collect::<Vec<_>>().join("\n");
    let description = distill::description(spec, modal);
    let name = &spec.name;
    let mut text = json!({
        "llmc": 1, "name": name, "description": description,
        "interface": format!("{types}\npub fn {name}(input: Input) -> Option<Output>;\n"),
        "dependencies": {"serde": {"version": "1", "features": ["derive"]}, "serde_json": "1"},
        "policy": {"max_lines": 400},
    });
    if !spec.model.is_empty() {
        text["model"] = spec.model.clone().into();
    }
    // JSON is YAML.
    let bytes = text.to_string().into_bytes();
    let (spec, warnings) = spec::parse(path, name, &bytes).map_err(|mistakes| {
        let errors = mistakes.list.iter().filter(|mistake| mistake.severity == spec::Severity::Error);
        let first = errors.map(|mistake| mistake.message.clone()).next().unwrap_or_default();
        Error::new(ExitCode::Usage, format!("`{name}` can't be hardened: no function can have its types ({first})"))
    })?;
    let spec: Arc<Spec> = Arc::new(spec);
    Ok(Loaded { path: path.to_owned(), bytes, spec, warnings })
}

/// A candidate's own items: without the types, which a component's file has already.
pub(super) fn without_types(source: &str, spec: &ComponentSpec) -> Option<String> {
    candidate::without(source, &types::of(spec))
}

fn module(number: usize) -> String {
    format!("k{number}")
}

/// What the function of a candidate is called by.
fn registered(number: usize, component: &str) -> String {
    Callable::name(&module(number), component)
}

/// All candidates as one crate that answers calls.
async fn together(
    session: &mut Session,
    spec: &ComponentSpec,
    path: &str,
    bodies: &[&str],
) -> Result<Arc<Worker>, Error> {
    let piece = |(number, own): (usize, &&str)| {
        let text = String::from_utf8_lossy(&freeze::component_code(spec, path, Some(own))).into_owned();
        Piece::new(module(number), text, &spec.name, true)
    };
    let pieces: Vec<Piece> = bodies.iter().enumerate().map(piece).collect();
    workers(session, assembled(pieces, plain_dependencies(), true)).await
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
