//! Distillation: programs for a component, sampled from what its model answered, run on those answers, and sent back with
//! what is wrong in them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::components::{Piece, assembled, plain_dependencies, workers};
use super::draw::Samples;
use super::evidence::{Evidence, Hardening};
use super::log::Log;
use super::ready::{Drawing, Ready};
use super::specs::{Loaded, LoadedComponent};
use super::traces::Tries;
use super::{Session, build, propose};
use crate::candidate;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::freeze;
use crate::ledger::{Ending, Phase};
use crate::model::purse::Cost;
use crate::options::Plan;
use crate::prompt::Flaw;
use crate::proposal;
use crate::register::Callable;
use crate::schema::same;
use crate::spec::{self, ComponentSpec, Spec};
use crate::types;
use crate::validate::{Called, Program, Worker};

/// How many samples are drawn, unless told otherwise.
const SAMPLES: usize = 16;
/// How often a program is sent back, unless settings or the spec (`sampling.repairs`) say otherwise.
const ROUNDS: usize = 2;
/// Most calls that are shown.
const SHOWN: usize = 24;
/// Most inputs of each kind that a program is sent back with.
const SENT_BACK: usize = 4;
/// Longest call that is shown, in characters of JSON.
const LONGEST_SHOWN: usize = 600;
/// Most different answers that are counted out, and the longest of them, in characters of JSON.
const COUNTED: usize = 6;
const LONGEST_COUNTED: usize = 60;

/// One prompt's samples, and the best of them.
pub(super) struct Round {
    pub(super) plan: Plan,
    pub(super) ready: Ready,
    /// Names the run, for finding it in the ledger.
    pub(super) run: String,
    pub(super) samples: Samples,
    pub(super) ranked: Ranked,
}

/// The best round, and the programs of all of them: sampled, and those that compile.
pub(super) struct Drew {
    pub(super) round: Round,
    pub(super) log: Log,
    pub(super) sampled: (usize, usize),
}

/// The programs of a round, run on the earlier inputs.
#[derive(Default)]
pub(super) struct Ranked {
    pub(super) worker: Option<Arc<Worker>>,
    /// Place of a sample, and its program without the types; in the order of the worker's modules.
    pub(super) bodies: Vec<(usize, String)>,
    /// Programs that compile and were rejected before.
    pub(super) passed_over: usize,
    /// The best that is worth its mistakes: its worth, its number, how often it says what the model said, and otherwise.
    pub(super) best: Option<(f64, usize, usize, usize)>,
    /// The program that comes nearest, without the types, and what is wrong with it.
    flaw: Option<(String, String)>,
}

impl Ranked {
    fn worth(&self) -> f64 {
        self.best.map_or(0.0, |best| best.0)
    }
}

/// A component's code that is to be made.
pub(super) struct Distilling<'a> {
    pub(super) one: &'a LoadedComponent,
    /// The function that is wanted, with what its writer is told.
    pub(super) loaded: Loaded,
    pub(super) asked: &'a Hardening,
    pub(super) evidence: &'a Evidence,
    pub(super) tries: &'a Tries,
    /// The digest of everything that the code depends on.
    pub(super) inputs: &'a str,
}

impl Distilling<'_> {
    /// Draws; where no program can lead to a certificate the nearest one goes back with inputs on which it is wrong or has no
    /// answer. What it takes is added to `spent`.
    pub(super) async fn draw(&self, session: &mut Session, spent: &mut Cost) -> Result<Drew, Error> {
        let Self { one, loaded, asked, evidence, tries, inputs } = self;
        let begun = plan(session, &loaded.spec, tries, *spent)?;
        let ready = Ready::new(session, loaded, &[], &begun, &loaded.spec).await?;
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
            let ranked = match self.rank(session, &samples).await {
                Ok(ranked) => ranked,
                Err(error) => {
                    log.end(&Ending::default());
                    return Err(error);
                }
            };
            sampled.0 += samples.list.len();
            sampled.1 += samples.list.iter().filter(|sample| sample.verdict.is_pass()).count();
            let is_last = samples.spent.is_some();
            let is_enough =
                ranked.best.is_some_and(|(_, _, agreed, wrong)| evidence.promises(asked, tries, (agreed, wrong)));
            let flaw = ranked.flaw.clone();
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
                "`{name}`: no program answers enough and is right often enough; the nearest goes back with inputs that it \
                 does not answer as the model did"
            )));
            let flaw = Flaw { code: &source, compiles: true, failure_code: "", failure: &failure };
            prompt = session.templates.render_repair(&loaded.spec, &task, &flaw)?;
            // The same function is wanted, and nothing around it.
            prompt.opening.clone_from(&task.opening);
        }
        let (round, log) = best.expect("the first round is the best of the first round");
        Ok(Drew { round, log, sampled })
    }

    /// Runs what compiles on the earlier inputs.
    async fn rank(&self, session: &mut Session, samples: &Samples) -> Result<Ranked, Error> {
        let Self { one, asked, evidence, .. } = self;
        let spec = &one.spec;
        let name = &spec.name;
        let rejected = proposal::rejected(&session.workspace, name)?;
        let mut ranked = Ranked::default();
        for (place, sample) in samples.list.iter().enumerate().filter(|(_, sample)| sample.verdict.is_pass()) {
            let Some(candidate) = &sample.candidate else { continue };
            match without_types(&candidate.source, spec) {
                Some(own) if !rejected.contains(&Program::of(candidate).to_string()) => {
                    ranked.bodies.push((place, own))
                }
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
        for (number, (_, own)) in ranked.bodies.iter().enumerate() {
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
                ranked.flaw = Some((own.clone(), flaw(&wrong, &silent)));
            }
        }
        ranked.worker = Some(worker);
        Ok(ranked)
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

/// Calls a candidate, unless the user wants to stop.
pub(super) async fn ask(session: &Session, worker: &Worker, name: &str, input: &Value) -> Result<Called, Error> {
    if session.interrupt.is_set() {
        return Err(Error::interrupted());
    }
    Ok(worker.call(name, input.clone()).await?)
}

/// The function that is to be written, as a spec.
pub(super) fn function(spec: &ComponentSpec, path: &str, modal: &[(Value, Value)]) -> Result<Loaded, Error> {
    // How the types are written as JSON is no part of an interface; the component's own file keeps it.
    let is_left_out = |line: &&str| line.starts_with("//!") || line.starts_with("#[serde(");
    let types: String = types::of(spec).lines().filter(|line| !is_left_out(line)).collect::<Vec<_>>().join("\n");
    let description = description(spec, modal);
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
pub(super) fn registered(number: usize, component: &str) -> String {
    Callable::name(&module(number), component)
}

/// All candidates as one crate that answers calls.
pub(super) async fn together(
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

/// The description of the function that is to be written, from inputs with the answer each got most often.
fn description(spec: &ComponentSpec, modal: &[(Value, Value)]) -> String {
    let mut text = format!(
        "{}\n\nA model answers this today. Write code that gives the same answer, to the letter, to as many inputs as it can, \
         and `None` where the input leaves it open: those go to the model, and a wrong answer is worse than none. Where no rule \
         applies the answer that nearly all such inputs get is a good one. Generalise: look in every field of the input for \
         words, forms and rules that decide, not for these very inputs. Only std, serde and serde_json may be used.\n\nThe \
         model's answers to {} inputs: {}.\n\nSome of them (input => output):\n",
        spec.description.trim(),
        modal.len(),
        frequent(modal)
    );
    for (input, output) in different(modal, SHOWN) {
        text.push_str(&format!("{input} => {output}\n"));
    }
    text
}

/// How often the most frequent answers were given; what has no frequent ones is answered anew each time.
fn frequent(modal: &[(Value, Value)]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, output) in modal {
        *counts.entry(output.to_string()).or_default() += 1;
    }
    let different = counts.len();
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().filter(|(output, count)| *count > 1 && output.chars().count() <= LONGEST_COUNTED).collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(COUNTED);
    let rest = different - counts.len();
    let mut told: Vec<String> = counts.into_iter().map(|(output, count)| format!("{output} {count} times")).collect();
    if rest > 0 {
        told.push(format!("{rest} {}", if told.is_empty() { "different ones" } else { "others" }));
    }
    told.join(", ")
}

/// What is wrong with a program, in a few inputs: those that it answers otherwise than the model (with what it says), and
/// those that it leaves.
fn flaw(wrong: &[(&(Value, Value), String)], silent: &[&(Value, Value)]) -> String {
    let mut text = String::new();
    for ((input, output), says) in wrong.iter().take(SENT_BACK) {
        text.push_str(&format!("{input}\n  it answers: {says}\n  the model answered: {output}\n"));
    }
    let silent: Vec<(Value, Value)> = silent.iter().map(|pair| (*pair).clone()).collect();
    for (input, output) in different(&silent, SENT_BACK) {
        text.push_str(&format!("{input}\n  it answers: None\n  the model answered: {output}\n"));
    }
    text
}

/// Calls with answers as different as there are: one of each answer, then another of each, in the order of time.
fn different(modal: &[(Value, Value)], most: usize) -> Vec<&(Value, Value)> {
    let mut groups: Vec<(&Value, Vec<usize>)> = Vec::new();
    for (place, (input, output)) in modal.iter().enumerate() {
        if format!("{input} => {output}").chars().count() > LONGEST_SHOWN {
            continue;
        }
        match groups.iter_mut().find(|(of, _)| *of == output) {
            Some((_, places)) => places.push(place),
            None => groups.push((output, vec![place])),
        }
    }
    let longest = groups.iter().map(|(_, places)| places.len()).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| groups.iter().filter_map(move |(_, places)| places.get(turn)));
    let mut chosen: Vec<usize> = turns.copied().take(most).collect();
    chosen.sort_unstable();
    chosen.into_iter().filter_map(|place| modal.get(place)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frequent_answers_are_counted_and_the_others_are_one_number() {
        let pair = |input: usize, output: &str| (json!(input), json!(output));
        let mut modal: Vec<(Value, Value)> = (0..5).map(|input| pair(input, "none")).collect();
        modal.extend([pair(5, "PL-1"), pair(6, "PL-2"), pair(7, "x"), pair(8, "x")]);
        assert_eq!(frequent(&modal), "\"none\" 5 times, \"x\" 2 times, 2 others");
        assert_eq!(frequent(&modal[5..7]), "2 different ones");
        assert_eq!(frequent(&modal[..5]), "\"none\" 5 times");
    }

    #[test]
    fn rare_answers_are_shown_beside_frequent_ones_and_in_order() {
        let mut modal: Vec<(Value, Value)> = (0..100).map(|number| (json!(number), json!("none"))).collect();
        modal.push((json!("late"), json!("rare")));
        modal.push((json!("x".repeat(LONGEST_SHOWN)), json!("long")));
        let shown = different(&modal, SHOWN);
        assert_eq!(shown.len(), SHOWN);
        assert_eq!(shown.iter().filter(|(_, output)| output == "rare").count(), 1);
        assert_eq!(shown[0].0, json!(0));
        assert_eq!(shown[SHOWN - 1].0, json!("late"));
    }
}
