//! `llmc measure`: draws that are independent, and what they say of the distribution that a spec denotes.
//!
//! Nothing is repaired, nothing stops early, nothing is written but the ledger. What each setting draws is judged by the
//! spec's checks; then all programs of all settings run on the same inputs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::against::{self, Against, Before};
use super::draw::{Sample, Samples};
use super::ready::{Drawing, Ready};
use super::specs::{self, Loaded};
use super::{Session, build};
use crate::behaviour::{self, Behaviours, Coverage, Outcome};
use crate::candidate::Candidate;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::ledger::{Ending, Phase};
use crate::measure::{Distribution, Draw, Drift};
use crate::options::Plan;
use crate::prompt::Prompt;
use crate::spec::{Spec, Stop};
use crate::validate::{Checks, Program, Validator};
use crate::verdict::Verdict;

/// What to measure.
#[derive(Debug, Clone, Default)]
pub struct Measuring {
    /// What to hold the first setting against.
    pub against: Option<Against>,
    /// The factor to vary, with its values.
    pub vary: Option<(Factor, Vec<String>)>,
}

/// What shapes a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// The sampler's temperature.
    Temperature,
    /// The model.
    Model,
    /// Whether the spec's examples are in the prompt.
    Examples,
    /// Whether worked examples are (`prompt.shots`).
    Shots,
    /// Whether the spec's own system message is.
    System,
}

/// A spec's distribution under one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// What is special about it; empty where there is but one.
    pub label: String,
    /// The models, as `provider/name`.
    pub model: String,
    /// The sampler's temperature, where it is set.
    pub temperature: Option<f32>,
    /// Draws that could not be made, or were not, since the budget was spent.
    pub lost: usize,
    /// Draws that were in the ledger.
    pub replayed: usize,
    /// The draws.
    pub distribution: Distribution,
}

/// An input on which draws differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    /// The input, as a call in Rust.
    pub call: String,
    /// What draws do there, each with how many of them, by setting: of all that run, and of those that pass.
    pub outcomes: Vec<(Outcome, Vec<(usize, usize)>)>,
    /// Which of these the code of the commit does, where draws are held against one.
    pub committed: Option<usize>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The spec.
    pub spec: String,
    /// The settings, in the order asked for.
    pub settings: Vec<Setting>,
    /// The inputs that tell behaviours apart, the most telling first.
    pub telling: Vec<Telling>,
    /// What was tried to find them; `None` where there are not two programs that compile.
    pub coverage: Option<Coverage>,
    /// How the second setting compares with the first, where that was asked for; or what was drawn with a commit.
    pub drift: Option<Drift>,
    /// What fresh draws were held against, where that is no model.
    pub before: Option<Before>,
}

/// Independent draws, judged.
pub(super) struct Independent {
    pub(super) samples: Samples,
    pub(super) models: String,
    pub(super) validator: Arc<Validator>,
    pub(super) checks: Arc<Checks>,
    pub(super) prompt: Prompt,
}

/// Measures a spec.
pub async fn measure(session: &mut Session, named: &str, asked: &Measuring, from: &Path) -> Result<Measured, Error> {
    let (all, mistakes) = specs::load_specs(session, &[named.to_owned()], from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let loaded = all.last().expect("a spec that was named was loaded or is invalid").clone();
    let name = loaded.spec.name.clone();
    if let Some(against @ (Against::Revision(_) | Against::Date(..))) = &asked.against {
        let plan = independent_plan(session, &loaded.spec);
        return against::measure(session, (&loaded, &all), plan, against).await;
    }
    let mut settings = Vec::new();
    let mut drawn: Vec<Independent> = Vec::new();
    for (label, plan, spec) in plans(session, &loaded, asked)? {
        if !label.is_empty() {
            session.tell(Event::Note(format!("{name}: {label}")));
        }
        let one = independent(session, &loaded, &all, &plan, &spec).await?;
        settings.push(setting(session, label, &plan, &one));
        drawn.push(one);
    }
    let each: Vec<&[Sample]> = drawn.iter().map(|one| one.samples.list.as_slice()).collect();
    let (validator, checks) = (drawn[0].validator.clone(), drawn[0].checks.clone());
    let run = run(session, validator, checks, &each).await?;
    for (setting, samples) in settings.iter_mut().zip(&each) {
        setting.distribution = distribution(samples, &run);
    }
    let telling = run.telling(&each);
    let drift = match (&asked.against, settings.as_slice()) {
        (Some(_), [one, other]) => {
            let outcomes = run.outcomes(each[0], each[1]);
            let seed = session.options.plan(&loaded.spec).parameters.seed;
            Some(Drift::new(&one.distribution, &other.distribution, &outcomes, seed))
        }
        _ => None,
    };
    let coverage = (run.found.programs.len() > 1).then_some(run.found.coverage);
    Ok(Measured { spec: name, settings, telling, coverage, drift, before: None })
}

/// How to draw what none hangs on another: what ends early, or is repaired, is no measurement.
fn independent_plan(session: &Session, spec: &Spec) -> Plan {
    Plan { stop: Stop::All, repairs: 0, ..session.options.plan(spec) }
}

/// What was drawn under a setting, before it is known what programs do; says which draws are missing.
pub(super) fn setting(session: &Session, label: String, plan: &Plan, drawn: &Independent) -> Setting {
    let list = &drawn.samples.list;
    let lost = plan.samples - list.len();
    if lost > 0 {
        let why = drawn.samples.spent.clone().unwrap_or_else(|| "they could not be drawn".to_owned());
        session.tell(Event::Warning(format!("{lost} of {} samples are missing: {why}", plan.samples)));
    }
    Setting {
        label,
        model: drawn.models.clone(),
        temperature: plan.parameters.temperature,
        lost,
        replayed: list.iter().filter(|sample| sample.replayed).count(),
        distribution: Distribution::new(Vec::new()),
    }
}

/// What draws say, their programs having run on the same inputs.
pub(super) fn distribution(samples: &[Sample], run: &Run) -> Distribution {
    Distribution::new(samples.iter().map(|sample| draw_of(sample, run)).collect())
}

/// The settings to draw from: what is special about each, how to sample, and the spec that its prompt is made from.
fn plans(session: &Session, loaded: &Loaded, asked: &Measuring) -> Result<Vec<(String, Plan, Arc<Spec>)>, Error> {
    let spec = &loaded.spec;
    let plan = independent_plan(session, spec);
    let mut plans = Vec::new();
    if let Some(Against::Model(model)) = &asked.against {
        let own = if plan.models.is_empty() { "as configured".to_owned() } else { plan.models.join(", ") };
        plans.push((own, plan.clone(), spec.clone()));
        plans.push((model.clone(), Plan { models: vec![model.clone()], ..plan }, spec.clone()));
        return Ok(plans);
    }
    let Some((factor, values)) = &asked.vary else { return Ok(vec![(String::new(), plan, spec.clone())]) };
    let usage = |message: String| Error::new(ExitCode::Usage, message);
    let shaped = |change: &dyn Fn(&mut Spec)| {
        let mut changed = (**spec).clone();
        change(&mut changed);
        Arc::new(changed)
    };
    match factor {
        Factor::Temperature => {
            for value in values {
                let temperature: f32 = value.parse().ok().filter(|one| (0.0..=2.0).contains(one)).ok_or_else(|| {
                    usage(format!("`{value}` is no temperature")).hint("e.g. --vary temperature=0.2,0.8: from 0 to 2")
                })?;
                let mut plan = plan.clone();
                plan.parameters.temperature = Some(temperature);
                plans.push((format!("temperature {value}"), plan, spec.clone()));
            }
        }
        Factor::Model => {
            for model in values {
                plans.push((model.clone(), Plan { models: vec![model.clone()], ..plan.clone() }, spec.clone()));
            }
        }
        Factor::Examples => {
            if spec.examples.iter().all(|example| example.hidden) {
                return Err(usage(format!("`{}` shows no example that could be left out", spec.name)));
            }
            plans.push(("examples shown".to_owned(), plan.clone(), spec.clone()));
            // Only the prompt is without them: they judge all the same.
            let without = shaped(&|spec| spec.examples.iter_mut().for_each(|example| example.hidden = true));
            plans.push(("examples not shown".to_owned(), plan, without));
        }
        Factor::Shots => {
            if spec.prompt.shots.is_empty() {
                return Err(usage(format!("`{}` has no worked examples to leave out", spec.name))
                    .hint("`prompt: { shots: [OTHER_SPEC] }` shows one"));
            }
            plans.push((format!("shots {}", spec.prompt.shots.join(", ")), plan.clone(), spec.clone()));
            plans.push(("no shots".to_owned(), plan, shaped(&|spec| spec.prompt.shots.clear())));
        }
        Factor::System => {
            if spec.prompt.system.is_none() {
                return Err(usage(format!("`{}` has no system message of its own", spec.name))
                    .hint("`prompt: { system: … }` sets one"));
            }
            plans.push(("its own system message".to_owned(), plan.clone(), spec.clone()));
            plans.push(("the template's system message".to_owned(), plan, shaped(&|spec| spec.prompt.system = None)));
        }
    }
    if plans.len() < 2 {
        return Err(usage("--vary needs two values at least".to_owned()).hint("e.g. --vary temperature=0.2,0.8"));
    }
    Ok(plans)
}

/// Draws so many samples of one spec, none of which hangs on another, and judges them. The prompt is that of `shaped`.
pub(super) async fn independent(
    session: &mut Session,
    loaded: &Loaded,
    all: &[Loaded],
    plan: &Plan,
    shaped: &Arc<Spec>,
) -> Result<Independent, Error> {
    independent_after(session, (loaded, all), plan, shaped, 0).await
}

/// As [`independent`], without the first so many samples.
pub(super) async fn independent_after(
    session: &mut Session,
    (loaded, all): (&Loaded, &[Loaded]),
    plan: &Plan,
    shaped: &Arc<Spec>,
    skip: usize,
) -> Result<Independent, Error> {
    let spec = &loaded.spec;
    let mistakes = specs::check(session, std::slice::from_ref(loaded), all).await?;
    if mistakes.iter().any(crate::spec::Diagnostics::has_errors) {
        return Err(Error::spec(mistakes));
    }
    let ready = Ready::new(session, loaded, all, plan, shaped).await?;
    let target = build::target(session, loaded)?;
    let run = format!("{}-measure-{}", spec.name, crate::provenance::rfc3339(build::unix_now()));
    let (inputs, phase, afresh) = (target.inputs.as_str(), Phase::Measure, session.options.no_cache);
    let drawing = Drawing { spec, run: &run, inputs, phase, plan, skip, afresh, artifact: None };
    let (samples, mut log) = drawing.draw(session, &ready).await?;
    let count = |wanted: fn(&Verdict) -> bool| samples.list.iter().filter(|sample| wanted(&sample.verdict)).count();
    log.end(&Ending {
        sampled: samples.list.len(),
        parsed: count(Verdict::conforms),
        compiled: count(Verdict::compiles),
        passed: count(Verdict::is_pass),
        ..Ending::default()
    });
    if samples.list.is_empty() {
        let why = samples.spent.clone().unwrap_or_else(|| "no sample was drawn".to_owned());
        return Err(Error::new(ExitCode::Budget, format!("`{}`: {why}", spec.name)));
    }
    let Ready { prompt, names, validator, checks, .. } = ready;
    Ok(Independent { samples, models: names.join(", "), validator, checks, prompt })
}

/// Most inputs that the test on outputs looks at.
const MOST: usize = 200;

/// Programs that ran on the same inputs.
pub(super) struct Run {
    pub(super) found: Behaviours,
    /// By program: its place among those that were run.
    places: HashMap<Program, usize>,
}

/// Runs every program that compiles on the same inputs.
pub(super) async fn run(
    session: &Session,
    validator: Arc<Validator>,
    checks: Arc<Checks>,
    each: &[&[Sample]],
) -> Result<Run, Error> {
    let samples = each.iter().flat_map(|samples| samples.iter()).filter(|sample| sample.verdict.compiles());
    let candidates: Vec<Candidate> = samples.filter_map(|sample| sample.candidate.clone()).collect();
    run_all(session, validator, checks, candidates).await
}

/// Runs candidates on the same inputs, each program once.
pub(super) async fn run_all(
    session: &Session,
    validator: Arc<Validator>,
    checks: Arc<Checks>,
    candidates: Vec<Candidate>,
) -> Result<Run, Error> {
    let mut programs: Vec<(Program, Candidate)> = Vec::new();
    for candidate in candidates {
        let program = Program::of(&candidate);
        if programs.iter().all(|(known, _)| *known != program) {
            programs.push((program, candidate));
        }
    }
    if programs.len() < 2 {
        // There is nothing to tell apart.
        let found = Behaviours::of_one(programs.len());
        let places = programs.into_iter().map(|(program, _)| (program, 0)).collect();
        return Ok(Run { found, places });
    }
    let compare = tokio::task::spawn_blocking(move || {
        let candidates: Vec<&Candidate> = programs.iter().map(|(_, candidate)| candidate).collect();
        let found = behaviour::compare(&validator, &checks, &candidates, &behaviour::Options::default());
        (found, programs)
    });
    let (found, programs) = tokio::select! {
        compared = compare => compared.expect("comparing does not panic"),
        () = session.interrupt.wait() => return Err(Error::interrupted()),
    };
    let found = found?;
    let places = found.programs.iter().enumerate().map(|(place, at)| (programs[*at].0.clone(), place)).collect();
    Ok(Run { found, places })
}

impl Run {
    /// The place of a sample's program among those that were run.
    pub(super) fn place(&self, sample: &Sample) -> Option<usize> {
        let candidate = sample.candidate.as_ref().filter(|_| sample.verdict.compiles())?;
        self.places.get(&Program::of(candidate)).copied()
    }

    /// The place of a candidate among those that were run.
    pub(super) fn place_of(&self, candidate: &Candidate) -> Option<usize> {
        self.places.get(&Program::of(candidate)).copied()
    }

    /// The number of the cluster that a candidate is in.
    pub(super) fn cluster_of(&self, candidate: &Candidate) -> Option<usize> {
        let place = self.place_of(candidate)?;
        self.found.clusters.iter().position(|cluster| cluster.contains(&place))
    }

    /// The number of the cluster that a sample is in.
    pub(super) fn cluster(&self, sample: &Sample) -> Option<usize> {
        let place = self.place(sample)?;
        self.found.clusters.iter().position(|cluster| cluster.contains(&place))
    }

    pub(super) fn telling(&self, each: &[&[Sample]]) -> Vec<Telling> {
        let places: Vec<Vec<(Option<usize>, bool)>> = each
            .iter()
            .map(|samples| samples.iter().map(|sample| (self.place(sample), sample.verdict.is_pass())).collect())
            .collect();
        let telling = |split: &behaviour::Split| {
            let of = |class: usize| {
                let count = |samples: &Vec<(Option<usize>, bool)>| {
                    let does = |place: &Option<usize>| place.is_some_and(|place| split.classes[place] == class);
                    let those = samples.iter().filter(|(place, _)| does(place));
                    (those.clone().count(), those.filter(|(_, passes)| *passes).count())
                };
                places.iter().map(count).collect::<Vec<_>>()
            };
            let outcomes = split.outcomes.iter().enumerate().map(|(class, outcome)| (outcome.clone(), of(class)));
            Telling { call: split.call.clone(), outcomes: outcomes.collect(), committed: None }
        };
        self.found.splits.iter().map(telling).collect()
    }

    /// For each input, what the draws of either side do there.
    pub(super) fn outcomes(&self, one: &[Sample], other: &[Sample]) -> Vec<(Vec<usize>, Vec<usize>)> {
        let places = |samples: &[Sample]| samples.iter().filter_map(|sample| self.place(sample)).collect::<Vec<_>>();
        let (one, other) = (places(one), places(other));
        let split: Vec<_> = self.found.observations.iter().filter(|observation| observation.is_split()).collect();
        // Whose draws they are plays no part in which inputs are taken.
        let split = split.iter().step_by(split.len().div_ceil(MOST).max(1));
        let classes = |places: &[usize], observation: &behaviour::Observation| {
            places.iter().map(|place| observation.classes[*place]).collect::<Vec<_>>()
        };
        split.map(|observation| (classes(&one, observation), classes(&other, observation))).collect()
    }
}

fn draw_of(sample: &Sample, run: &Run) -> Draw {
    let completion = &sample.completion;
    Draw {
        index: completion.index,
        verdict: sample.verdict.clone(),
        behaviour: run.cluster(sample),
        tokens: completion.prompt_tokens + completion.completion_tokens,
        usd: completion.usd,
    }
}
