//! `llmc test`: does a component keep what its spec expects of it?
//!
//! What is called, how often and in which order is `trial`'s, what follows from it `certify`'s. Here: the cases, who says
//! what is right, and the run before, which the answers are held against.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::components::{self, Opened, Opening};
use super::{Session, specs, tell};
use crate::certify::{Design, DesignError, Expectation, Finding, Verdict};
use crate::error::{Error, ExitCode};
use crate::event::{Called, Event};
use crate::harness::{BoxFuture, Budget, Side};
use crate::ledger::{Filter, Ledger, MeanCall};
use crate::spec::{ComponentSpec, Dependency};
use crate::syntax::{check_bounds, deep};
use crate::trial::{self, Case, Drift, Ended, Equal, Judge, Outputs, Setup, Tested};
use crate::validate::{Artifacts, Called as Answer, Validator, Worker};

/// Below this chance a difference between two runs is said to be one.
pub const DRIFT: f64 = 0.05;

/// A component that can be called, with its spec.
pub struct Subject {
    /// The harness that it is in.
    pub opened: Opened,
    /// Its spec.
    pub spec: Arc<ComponentSpec>,
    /// Whether what its calls cost is known.
    pub prices_known: bool,
}

/// How to test.
#[derive(Debug, Clone)]
pub struct Testing {
    /// The most calls that count; by default as many as each expectation needs.
    pub runs: Option<usize>,
    /// The chance that something passes that does not hold, at most.
    pub alpha: f64,
    /// Calls at once. By default four; one where time is limited: calls that wait for each other take longer.
    pub at_once: Option<usize>,
    /// The order of the cases; by default another one each time.
    pub seed: Option<u64>,
    /// What is asked, in the place of the spec's examples.
    pub cases: Option<Vec<Case>>,
    /// What all calls may take together.
    pub budget: Budget,
}

/// What is going to be tested.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The component.
    pub name: String,
    /// What is expected, with the fewest calls that can show it and the most that are made for it.
    pub expectations: Vec<(Expectation, usize, usize)>,
    /// What is asked.
    pub cases: Vec<Case>,
    /// The judge's expression.
    pub judge: Option<String>,
    design: Arc<Design>,
    at_once: usize,
}

/// How the answers compare with those of the run before.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// The run.
    pub run: String,
    /// How they compare; `None` where no input was asked twice in both.
    pub drift: Option<Drift>,
}

/// What a test came to.
#[derive(Debug, Clone)]
pub struct TestRun {
    /// The component.
    pub name: String,
    /// The side it is on.
    pub side: Side,
    /// The model behind it.
    pub model: Option<String>,
    /// What was asked.
    pub cases: Vec<Case>,
    /// The run, as it is recorded.
    pub run: String,
    /// The order of the cases.
    pub seed: u64,
    /// What was decided, and by what.
    pub tested: Tested,
    /// The run before, where there is one.
    pub before: Option<Earlier>,
    /// How long it took.
    pub seconds: f64,
}

impl TestRun {
    /// The exit code.
    pub fn exit(&self) -> ExitCode {
        match (self.tested.report.verdict, &self.tested.ended) {
            (_, Some(Ended::Interrupted)) => ExitCode::Interrupted,
            (_, Some(Ended::Provider(_))) => ExitCode::Provider,
            (Verdict::Pass, _) => ExitCode::Done,
            (Verdict::Fail, _) => ExitCode::Test,
            (Verdict::Inconclusive, _) => ExitCode::Inconclusive,
        }
    }
}

/// The spec of the component `named`.
pub fn component_spec(session: &Session, named: &str, from: &Path) -> Result<Arc<ComponentSpec>, Error> {
    let found = specs::load(session, &[named.to_owned()], from)?;
    if !found.mistakes.is_empty() {
        return Err(Error::spec(found.mistakes));
    }
    match found.components.first() {
        Some(loaded) => Ok(loaded.spec.clone()),
        None => {
            let message = format!("`{named}` is a function, and what is expected of it are its examples and tests");
            Err(Error::new(ExitCode::Usage, message)
                .hint(format!("`llmc verify {named}` checks it; `llmc test` is for specs of `kind: component`")))
        }
    }
}

/// Opens the component `named` with its tools.
///
/// # Errors
/// Those of [`open`](super::open_components).
pub async fn subject(session: &mut Session, named: &str, opening: Opening, from: &Path) -> Result<Subject, Error> {
    let spec = component_spec(session, named, from)?;
    let opened = components::open(session, std::slice::from_ref(&spec.name), opening, from).await?;
    let prices = session.options.prices();
    let mut prices_known = true;
    for spec in opened.components.values() {
        let models = session.models_for(&session.options.models_of(&spec.model)).await?;
        prices_known &= models.iter().all(|model| prices.of(model.identity(), 0).is_some());
    }
    Ok(Subject { opened, spec, prices_known })
}

/// Plans a test, without a call.
pub fn plan_test(spec: &ComponentSpec, asked: &Testing) -> Result<Planned, Error> {
    let name = &spec.name;
    let expect = &spec.expect;
    let expectations: Vec<Expectation> = [
        expect.agree.map(|at_least| Expectation::Agree { at_least }),
        expect.valid.map(|at_least| Expectation::Valid { at_least }),
        expect.max_latency.map(|limit| Expectation::Latency { seconds: limit.as_secs_f64() }),
        expect.max_cost.map(|usd| Expectation::Cost { usd, most: spec.budget.usd }),
    ]
    .into_iter()
    .flatten()
    .collect();
    let examples = || -> Vec<Case> {
        let case = |example: &crate::spec::ComponentExample| Case {
            input: example.input.clone(),
            expected: example.output.clone(),
            shown: !example.hidden,
        };
        spec.examples.iter().map(case).collect()
    };
    let cases = asked.cases.clone().unwrap_or_else(examples);
    if cases.is_empty() && !expectations.is_empty() {
        return Err(Error::new(ExitCode::Usage, format!("`{name}` has no example to ask about"))
            .hint("each example of the spec is a case; `--cases FILE` takes JSON lines with `input` and `output`"));
    }
    for (at, case) in cases.iter().enumerate() {
        let wrong = |what: &str, why: String| {
            Error::new(ExitCode::Usage, format!("case {} can't be asked: its {what} does not fit: {why}", at + 1))
        };
        spec.input.check(&case.input).map_err(|mismatch| wrong("input", mismatch.to_string()))?;
        // A judge may take something else for what is expected.
        if expect.judge.is_none() && expect.agree.is_some() {
            spec.output.check(&case.expected).map_err(|mismatch| wrong("output", mismatch.to_string()))?;
        }
    }
    let design = Design::new(&expectations, asked.alpha, asked.runs).map_err(|error| match error {
        DesignError::Nothing => Error::new(ExitCode::Usage, format!("nothing is expected of `{name}`"))
            .hint("`expect: { agree: 0.9 }` in the spec: nine of ten answers are those of the examples"),
        error => Error::new(ExitCode::Usage, format!("`{name}`: {error}")),
    })?;
    let is_timed = expect.max_latency.is_some();
    Ok(Planned {
        name: name.clone(),
        expectations: design.plan(),
        cases,
        judge: expect.judge.clone(),
        design: Arc::new(design),
        at_once: asked.at_once.unwrap_or(if is_timed { 1 } else { 4 }),
    })
}

/// What a call of a component took so far: the mean of the latest that are recorded, where there are any.
pub fn usual_call(session: &Session, name: &str) -> Result<Option<MeanCall>, Error> {
    let ledger = Ledger::open_to_read(&session.workspace.local_path())?;
    Ok(ledger.map(|ledger| ledger.mean_call(name)).transpose()?.flatten())
}

/// Tests a component, as it was [planned](plan_test).
///
/// # Errors
/// What keeps it from being tested at all. A test that fails, or is not decided, is none.
pub async fn test(
    session: &mut Session,
    subject: &Subject,
    planned: Planned,
    asked: &Testing,
) -> Result<TestRun, Error> {
    let clock = Instant::now();
    let name = planned.name.clone();
    let judge: Arc<dyn Judge> = match &planned.judge {
        Some(expression) => Arc::new(Compiled::new(session.validator()?, &subject.spec, expression).await?),
        None => Arc::new(Equal),
    };
    let ledger = session.ledger()?;
    // The names of runs begin with this; the slash is in no component's name.
    let prefix = format!("test/{name}/");
    let last = ledger.runs_like(&prefix)?.into_iter().next();
    let before = match &last {
        Some(run) => ledger.crossings(&Filter { run: Some(run.clone()), ..Filter::default() })?,
        None => Vec::new(),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = asked.seed.unwrap_or(since.as_nanos() as u64);
    let setup = Setup {
        harness: subject.opened.harness.clone(),
        component: name.clone(),
        cases: planned.cases,
        design: planned.design,
        judge,
        prices_known: subject.prices_known,
        at_once: planned.at_once,
        budget: asked.budget,
        seed,
        run: format!("{prefix}{:x}", since.as_millis()),
    };
    let most = setup.design.runs();
    let teller = session.tell.clone();
    let mut calls = 0;
    let mut right = 0;
    let tested = trial::run(&setup, &session.interrupt, &mut |answered| {
        calls += 1;
        right += usize::from(answered.is_right);
        let called = Called {
            spec: setup.component.clone(),
            call: answered.draw + 1,
            case: answered.case + 1,
            is_right: answered.is_right,
            output: answered.output.as_ref().map(Value::to_string),
            error: answered.error.as_ref().map(ToString::to_string),
            seconds: answered.seconds,
            usd: answered.usd,
            so_far: (calls, right, most),
        };
        tell(&teller, Event::Called(called));
    })
    .await;
    subject.opened.flush()?;
    if let Some(Ended::Impossible(error)) = &tested.ended {
        return Err(Error::new(ExitCode::Usage, format!("`{name}` can't be tested")).cause(error.clone()));
    }
    if let Some(Ended::Judge(why)) = &tested.ended {
        let message = format!("the judge of `{name}` could not say whether an answer is right: {why}");
        return Err(Error::new(ExitCode::Spec, message).hint("it has to be true or false for every answer that fits"));
    }
    let before = last.map(|run| Earlier {
        run,
        drift: trial::drift(&Outputs::recorded(&before, &name), &Outputs::of(&tested.answers, &setup.cases), seed),
    });
    let about = subject.opened.harness.describe(&name);
    let run = TestRun {
        name,
        side: about.as_ref().map_or(Side::Model, |about| about.side),
        model: about.and_then(|about| about.model),
        cases: setup.cases,
        run: setup.run,
        seed,
        tested,
        before,
        seconds: clock.elapsed().as_secs_f64(),
    };
    session.tell(Event::Tested { summary: summary(&run) });
    Ok(run)
}

/// What a test came to, as JSON.
fn summary(run: &TestRun) -> Value {
    let report = &run.tested.report;
    let rate = |(low, high): (f64, f64)| json!({ "low": low, "high": high });
    let finding = |finding: &Finding| {
        json!({
            "expectation": finding.expectation, "decision": finding.decision, "calls": finding.runs,
            "most_calls": finding.most_runs, "least_calls": finding.least_runs, "observed": finding.observed, "interval": finding.interval.map(rate),
            // JSON has no infinity: what is known beforehand has all the evidence there can be.
            "evidence": finding.evidence.min(f64::MAX), "needed": finding.needed, "chance": finding.chance,
            "misses": finding.misses.iter().map(|miss| json!({ "call": miss.draw + 1, "case": miss.case + 1 }))
                .collect::<Vec<_>>(),
            "note": finding.note,
        })
    };
    json!({
        "event": "tested", "spec": run.name, "verdict": report.verdict, "reason": report.reason, "calls": report.runs,
        "cases": run.cases.len(), "shown": run.cases.iter().filter(|case| case.shown).count(), "side": run.side,
        "model": run.model, "run": run.run, "seed": run.seed, "alpha": report.alpha, "beta": report.beta,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(), "again": run.tested.again,
        "tokens": run.tested.spent.tokens(), "usd": run.tested.spent.usd, "seconds": run.seconds,
        "before": run.before.as_ref().map(|before| json!({ "run": before.run, "drift": before.drift })),
    })
}

/// A judge's expression, compiled; it runs in the sandbox, a process for each answer.
struct Compiled(Worker);

impl Compiled {
    async fn new(validator: Arc<Validator>, spec: &ComponentSpec, expression: &str) -> Result<Self, Error> {
        let artifacts = judge_crate(spec, expression)?;
        let worker = tokio::task::spawn_blocking(move || validator.worker(&artifacts, 2)).await;
        let worker = worker.expect("compiling does not panic").map_err(|error| {
            Error::new(ExitCode::Spec, format!("the judge of `{}` can't be compiled", spec.name)).cause(error).hint(
                match &spec.types {
                    Some(types) => format!(
                        "`expect.judge` is a Rust expression over `input: {}`, and `output` and `expected: {}`",
                        types.input, types.output
                    ),
                    None => "`expect.judge` is a Rust expression over `input`, `output` and `expected`, each a \
                         serde_json::Value: output[\"label\"] == expected[\"label\"]"
                        .to_owned(),
                },
            )
        })?;
        Ok(Self(worker))
    }
}

impl Judge for Compiled {
    fn is_right<'a>(&'a self, case: &'a Case, output: &'a Value) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let input = json!({ "input": case.input, "output": output, "expected": case.expected });
            match self.0.call("judge", input).await.map_err(|error| error.to_string())? {
                Answer::Answer(Value::Bool(is_right)) => Ok(is_right),
                Answer::Panicked(text) => Err(format!("it panicked: {text}")),
                Answer::Failed(text) | Answer::Crashed(text) => Err(text),
                Answer::TimedOut => Err("it took too long".to_owned()),
                Answer::Answer(_) | Answer::Abstained | Answer::Unknown => Err("it gave no answer".to_owned()),
            }
        })
    }
}

/// A crate that answers whether an answer is right.
fn judge_crate(spec: &ComponentSpec, expression: &str) -> Result<Artifacts, Error> {
    let parsed = deep(|| {
        check_bounds(expression).map_err(|error| error.to_string())?;
        syn::parse_str::<syn::Expr>(expression).map(|_| ()).map_err(|error| error.to_string())
    });
    parsed.map_err(|why| {
        Error::new(ExitCode::Spec, format!("the judge of `{}` is no Rust expression: {why}", spec.name))
    })?;
    let (items, input, output) = match &spec.types {
        Some(types) => (types.items.as_str(), types.input.as_str(), types.output.as_str()),
        None => ("", "serde_json::Value", "serde_json::Value"),
    };
    let text = format!(
        "#![allow(warnings)]\n\
         {items}\n\
         fn judge(input: {input}, output: {output}, expected: {output}) -> bool {{\n{expression}\n}}\n\
         mod __llmc {{\n\
         pub(super) fn judge(mut all: serde_json::Value) -> Result<Option<serde_json::Value>, String> {{\n\
             let (input, output, expected) = (all[\"input\"].take(), all[\"output\"].take(), all[\"expected\"].take());\n\
             let wrong = |error: serde_json::Error| error.to_string();\n\
             let input = serde_json::from_value(input).map_err(wrong)?;\n\
             let output = serde_json::from_value(output).map_err(wrong)?;\n\
             let expected = serde_json::from_value(expected).map_err(wrong)?;\n\
             Ok(Some(super::judge(input, output, expected).into()))\n\
         }}\n\
         pub type Code = fn(serde_json::Value) -> Result<Option<serde_json::Value>, String>;\n\
         }}\n\
         pub fn register(harness: &mut impl Extend<(&'static str, &'static str, __llmc::Code)>) {{\n\
             harness.extend([(\"judge\", \"\", __llmc::judge as __llmc::Code)]);\n\
         }}\n"
    );
    let dependency = |features: &[&str]| Dependency {
        version: "1".into(),
        features: features.iter().map(|&feature| feature.to_owned()).collect(),
        default_features: true,
    };
    let mut dependencies = BTreeMap::from([("serde_json".to_owned(), dependency(&[]))]);
    if spec.types.is_some() {
        dependencies.insert("serde".to_owned(), dependency(&["derive"]));
    }
    Ok(Artifacts { files: vec![("lib.rs".to_owned(), text)], dependencies, forbid_unsafe: true })
}
