//! Makes the calls of a test: a component is called until it is known whether it keeps what is expected of it.
//!
//! What is decided, and when, is `certify`'s. Here are the calls themselves: fresh ones, all of one run, several at once;
//! what counts as an answer and what as no trial at all; and how the answers compare with those of an earlier run.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::certify::{Design, Draw, Report, Trial};
use crate::harness::{BoxFuture, Budget, CallError, Class, Context, Crossing, Harness, RunOptions, Usage};
use crate::interrupt::Interrupt;
use crate::stats::{self, Random};

/// How often a call is made that the provider fails to answer, before the test is given up.
const TRIES: usize = 3;
/// Labels are permuted that often.
const PERMUTATIONS: usize = 999;

/// An input with what the answer should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// The input.
    pub input: Value,
    /// The right output.
    pub expected: Value,
    /// Whether the model is shown it, as an example.
    pub shown: bool,
}

/// Says whether an answer is right.
pub trait Judge: Send + Sync {
    /// Whether `output` is a right answer to the case; an error, in words, where that can't be said.
    fn is_right<'a>(&'a self, case: &'a Case, output: &'a Value) -> BoxFuture<'a, Result<bool, String>>;
}

/// The right answer is the expected one. Numbers are the same that differ by less than a billionth part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Equal;

impl Judge for Equal {
    fn is_right<'a>(&'a self, case: &'a Case, output: &'a Value) -> BoxFuture<'a, Result<bool, String>> {
        let is_right = same(output, &case.expected);
        Box::pin(async move { Ok(is_right) })
    }
}

/// Whether two values are the same: the order of keys is no difference, nor is a number's last digit.
///
/// Recurses as deep as the values are nested; what serde_json parses is at most 128 deep.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one != other => match (one.as_f64(), other.as_f64()) {
            // Two whole numbers that differ do differ.
            _ if !one.is_f64() && !other.is_f64() => false,
            (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(other.abs()),
            _ => false,
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

/// What is to be tested, and how.
pub struct Setup {
    /// Where the component is.
    pub harness: Harness,
    /// Its name.
    pub component: String,
    /// What it is asked; at least one.
    pub cases: Vec<Case>,
    /// What is expected.
    pub design: Arc<Design>,
    /// Who says what is right.
    pub judge: Arc<dyn Judge>,
    /// Whether what calls cost is known.
    pub prices_known: bool,
    /// Calls at once, at least 1.
    pub at_once: usize,
    /// What all calls may take together.
    pub budget: Budget,
    /// The order of the cases.
    pub seed: u64,
    /// The run's name, as it is recorded.
    pub run: String,
}

/// One call that counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// Its place in the order in which calls were drawn, from 0.
    pub draw: usize,
    /// Its case.
    pub case: usize,
    /// The answer.
    pub output: Option<Value>,
    /// Why there is none.
    pub error: Option<CallError>,
    /// Whether it is right.
    pub is_right: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it cost, in US dollars, where that is known.
    pub usd: Option<f64>,
}

/// Why a test ended before it was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// Somebody wanted that.
    Interrupted,
    /// The budget is spent.
    Budget(CallError),
    /// The provider failed, again and again.
    Provider(CallError),
    /// The call could not be made at all: it is not allowed, the input does not fit, it could not be recorded.
    Impossible(CallError),
    /// Nobody can say what is right.
    Judge(String),
}

impl Ended {
    /// In words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Interrupted => "it was interrupted".to_owned(),
            Self::Budget(error) => format!("the budget is spent: {}", error.message),
            Self::Provider(error) => format!("the provider failed {TRIES} times with the same case: {}", error.message),
            Self::Impossible(error) => error.to_string(),
            Self::Judge(why) => format!("`judge` could not say whether an answer is right: {why}"),
        }
    }
}

/// What a test came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// What was decided.
    pub report: Report,
    /// The calls that counted, in the order in which they were drawn.
    pub answers: Vec<Answered>,
    /// What all calls took, those that did not count included.
    pub spent: Usage,
    /// Calls that the provider failed to answer, and that were made again.
    pub again: usize,
    /// Why it ended before it was decided.
    pub ended: Option<Ended>,
}

/// What a task brings back.
struct Back {
    answered: Answered,
    valid: bool,
    /// It was given up for taking too long.
    gave_up: bool,
    tries: usize,
    /// It says nothing of the component.
    trouble: Option<Ended>,
}

/// Calls the component until it is decided; `tell` hears of each call as it comes back.
pub async fn run(setup: &Setup, interrupt: &Interrupt, tell: &mut (dyn FnMut(&Answered) + Send)) -> Tested {
    let options = RunOptions {
        name: Some(setup.run.clone()),
        budget: setup.budget,
        // What was answered before is no new draw.
        fresh: true,
        ..RunOptions::default()
    };
    let ctx = setup.harness.run_with(options);
    let cases: Arc<Vec<Case>> = Arc::new(setup.cases.clone());
    let mut trial = Trial::new(setup.design.clone(), cases.len(), setup.seed);
    let mut under_way = JoinSet::new();
    let mut answers: BTreeMap<usize, Answered> = BTreeMap::new();
    let (mut again, mut ended) = (0, None);
    while trial.verdict().is_none() {
        while ended.is_none() && under_way.len() < setup.at_once.max(1) {
            let Some((draw, case)) = trial.next_case() else { break };
            let (ctx, cases, judge) = (ctx.clone(), cases.clone(), setup.judge.clone());
            let (name, prices_known) = (setup.component.clone(), setup.prices_known);
            under_way.spawn(async move { call(&ctx, &name, &cases[case], &*judge, (draw, case), prices_known).await });
        }
        let joined = tokio::select! {
            joined = under_way.join_next() => joined,
            () = interrupt.wait() => {
                ended = Some(Ended::Interrupted);
                break;
            }
        };
        let back = match joined {
            Some(Ok(back)) => back,
            // All that could still decide it has come back.
            None if ended.is_some() => break,
            _ => {
                let error = CallError::new(&setup.component, Class::Panicked, "a call of the test has no result");
                ended = Some(Ended::Impossible(error));
                break;
            }
        };
        again += back.tries;
        if let Some(trouble) = back.trouble {
            // Those drawn before may decide it yet: they are paid for.
            ended.get_or_insert(trouble);
            continue;
        }
        tell(&back.answered);
        let seconds = (!back.gave_up).then_some(back.answered.seconds);
        let draw = Draw { valid: back.valid, agrees: back.answered.is_right, seconds, usd: back.answered.usd };
        let number = back.answered.draw;
        answers.insert(number, back.answered);
        trial.record(number, draw);
    }
    if trial.verdict().is_some() {
        ended = None;
    }
    // What is still under way is not needed.
    ctx.cancel();
    under_way.shutdown().await;
    let counted = trial.counted();
    Tested {
        report: trial.report(ended.as_ref().map(Ended::sentence)),
        answers: answers.into_values().filter(|answered| answered.draw < counted).collect(),
        spent: ctx.spent(),
        again,
        ended,
    }
}

async fn call(
    ctx: &Context,
    name: &str,
    case: &Case,
    judge: &dyn Judge,
    (draw, number): (usize, usize),
    prices_known: bool,
) -> Back {
    let mut tries = 0;
    let (own, result, seconds) = loop {
        let own = ctx.apart();
        let clock = Instant::now();
        let result = own.call_value(name, case.input.clone()).await;
        let seconds = clock.elapsed().as_secs_f64();
        match &result {
            // No answer came, which says nothing of the answers: the same case is tried again.
            Err(error) if error.class == Class::Provider && tries + 1 < TRIES => tries += 1,
            _ => break (own, result, seconds),
        }
    };
    let usd = prices_known.then(|| own.taken().usd);
    let mut back = Back {
        answered: Answered { draw, case: number, output: None, error: None, is_right: false, seconds, usd },
        valid: result.is_ok(),
        gave_up: false,
        tries,
        trouble: None,
    };
    match result {
        Ok(output) => {
            match judge.is_right(case, &output).await {
                Ok(is_right) => back.answered.is_right = is_right,
                Err(why) => back.trouble = Some(Ended::Judge(why)),
            }
            back.answered.output = Some(output);
        }
        Err(error) => {
            back.gave_up = error.class == Class::TimedOut;
            back.trouble = trouble(&error);
            back.answered.error = Some(error);
        }
    }
    back
}

/// Why a call that failed is no trial of the component; `None` where it is one.
fn trouble(error: &CallError) -> Option<Ended> {
    match error.class {
        Class::Provider => Some(Ended::Provider(error.clone())),
        Class::Budget => Some(Ended::Budget(error.clone())),
        Class::Cancelled => Some(Ended::Interrupted),
        Class::Unknown | Class::NotATool | Class::Denied | Class::Input | Class::Diverged | Class::Record => {
            Some(Ended::Impossible(error.clone()))
        }
        // It had its chance, and gave no answer.
        _ => None,
    }
}

/// How often each output was given to each input; outputs as canonical JSON, failures as the name of their class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs(BTreeMap<String, BTreeMap<String, usize>>);

impl Outputs {
    /// Of calls that were made.
    pub fn of(answers: &[Answered], cases: &[Case]) -> Self {
        let mut own = Self::default();
        for answered in answers {
            own.add(&cases[answered.case].input, answered.output.as_ref(), answered.error.as_ref());
        }
        own
    }

    /// Of a recorded run: its calls of `component` that the run's own code made.
    pub fn recorded(crossings: &[Crossing], component: &str) -> Self {
        let mut own = Self::default();
        for crossing in crossings {
            if crossing.component == component && crossing.parent.is_none() && crossing.from.is_none() {
                own.add(&crossing.input, crossing.output.as_ref(), crossing.error.as_ref());
            }
        }
        own
    }

    fn add(&mut self, input: &Value, output: Option<&Value>, error: Option<&CallError>) {
        let outcome = match (output, error) {
            (Some(output), _) => canonical(output).to_string(),
            (None, Some(error)) if trouble(error).is_none() => format!("({})", error.class),
            _ => return,
        };
        *self.0.entry(canonical(input).to_string()).or_default().entry(outcome).or_default() += 1;
    }

    /// Calls.
    pub fn calls(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The same value with the keys of all objects in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, Value> = fields.iter().map(|(key, value)| (key, canonical(value))).collect();
            sorted.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        other => other.clone(),
    }
}

/// How the answers of two runs compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// The chance of a difference as large as that, were there none.
    pub p: f64,
    /// Inputs that could be compared: both runs asked them at least twice.
    pub inputs: usize,
    /// Calls with those inputs, of the earlier run and of this one.
    pub calls: (usize, usize),
}

/// Compares the answers of two runs, input by input. `None` where no input was asked at least twice in each.
pub fn drift(before: &Outputs, now: &Outputs, seed: u64) -> Option<Drift> {
    let mut inputs = Vec::new();
    for (input, one) in &before.0 {
        let Some(other) = now.0.get(input) else { continue };
        let outcomes: Vec<&String> = {
            let mut all: Vec<&String> = one.keys().chain(other.keys()).collect();
            all.sort();
            all.dedup();
            all
        };
        let listed = |counts: &BTreeMap<String, usize>| -> Vec<usize> {
            let of = |(at, outcome): (usize, &&String)| vec![at; counts.get(*outcome).copied().unwrap_or(0)];
            outcomes.iter().enumerate().flat_map(of).collect()
        };
        let (one, other) = (listed(one), listed(other));
        if one.len() >= 2 && other.len() >= 2 {
            inputs.push((one, other));
        }
    }
    if inputs.is_empty() {
        return None;
    }
    let calls = inputs.iter().fold((0, 0), |(one, other), (a, b)| (one + a.len(), other + b.len()));
    let mut random = Random::new(seed);
    let p = stats::stratified(&inputs, PERMUTATIONS, &mut || random.fraction());
    Some(Drift { p, inputs: inputs.len(), calls })
}
