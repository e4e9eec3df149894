//! Does a component keep what is expected of it? Calls are made until that is known, and no longer.
//!
//! Each call draws its case at random and with replacement, so that calls are independent trials of one chance. What
//! comes back counts in the order in which it was drawn, whatever the order in which it came: how long an answer takes
//! may depend on what it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::cost::{ASSUMED_MOST, Mean};
use crate::stats::{self, Decision, Plan, Random};

/// The share of calls that a limit on time is for.
pub const IN_TIME: f64 = 0.95;
/// Most calls that can be planned for: the plan's own work grows with their square.
pub const MOST_RUNS: usize = 3000;
/// The most calls where nobody says how many there may be. What takes more than that can fail with them, and not pass.
pub const DEFAULT_RUNS: usize = 500;

/// Something that is expected of the distribution of a component's answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Expectation {
    /// An answer is the right one at least this often.
    Agree {
        /// The rate, between 0 and 1.
        at_least: f64,
    },
    /// There is an answer that fits at least this often.
    Valid {
        /// The rate, between 0 and 1.
        at_least: f64,
    },
    /// At least [`IN_TIME`] of the calls take at most this long.
    Latency {
        /// The limit.
        seconds: f64,
    },
    /// A call costs at most this much on average.
    Cost {
        /// The limit, in US dollars.
        usd: f64,
        /// What no call can cost more than; where that is not known, [`ASSUMED_MOST`] times the limit is assumed.
        most: Option<f64>,
    },
}

impl Expectation {
    /// The key in a spec that says so.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Agree { .. } => "agree",
            Self::Valid { .. } => "valid",
            Self::Latency { .. } => "max_latency",
            Self::Cost { .. } => "max_cost",
        }
    }

    /// The rate it asks for, where it is one.
    fn rate(&self) -> Option<f64> {
        match *self {
            Self::Agree { at_least } | Self::Valid { at_least } => Some(at_least),
            Self::Latency { .. } => Some(IN_TIME),
            Self::Cost { .. } => None,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agree { at_least } | Self::Valid { at_least } => write!(formatter, "{} ≥ {at_least}", self.key()),
            Self::Latency { seconds } => write!(formatter, "max_latency {seconds} s"),
            Self::Cost { usd, .. } => write!(formatter, "max_cost ${usd}"),
        }
    }
}

/// Why something can't be tested.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DesignError {
    /// Nothing is expected.
    #[error("nothing is expected")]
    Nothing,
    /// A rate that no number of calls can show, or that needs none.
    #[error("`{key}: {value}` can't be tested: a rate is above 0 and below 1")]
    Rate {
        /// The key in the spec.
        key: &'static str,
        /// Its value.
        value: f64,
    },
    /// A limit that nothing keeps.
    #[error("`{key}` can't be tested: the limit has to be above 0")]
    Limit {
        /// The key in the spec.
        key: &'static str,
    },
    /// An alpha that is none.
    #[error("an alpha is above 0 and at most 0.5; this one is {0}")]
    Alpha(f64),
    /// More calls than can be planned for.
    #[error("at most {MOST_RUNS} calls can be planned for; these are {0}")]
    TooMany(usize),
}

/// What is tested, how surely, and with how many calls at most.
#[derive(Debug)]
pub struct Design {
    alpha: f64,
    beta: f64,
    tests: Vec<(Expectation, Test)>,
}

#[derive(Debug)]
enum Test {
    Rate(Plan),
    Mean { most: f64, trials: usize },
}

impl Test {
    fn trials(&self) -> usize {
        match self {
            Self::Rate(plan) => plan.trials,
            Self::Mean { trials, .. } => *trials,
        }
    }
}

/// The fewest calls, all of them good, that show a rate above `rate`.
fn least(rate: f64, alpha: f64) -> usize {
    // A hair below: where α is a power of the rate, rounding must not cost a call.
    (alpha.ln() / rate.ln() - 1e-9).ceil().max(1.0) as usize
}

impl Design {
    /// Plans the tests. What is expected and does not hold passes with a chance of at most `alpha`; where everything
    /// holds, something fails with a chance of at most 0.05. `runs` is the most calls; by default each expectation takes
    /// at most four times as many as it needs where every call is good, and at most [`DEFAULT_RUNS`]. With fewer calls than
    /// it needs it can fail, and not pass.
    pub fn new(expectations: &[Expectation], alpha: f64, runs: Option<usize>) -> Result<Self, DesignError> {
        if expectations.is_empty() {
            return Err(DesignError::Nothing);
        }
        if !(alpha > 0.0 && alpha <= 0.5) {
            return Err(DesignError::Alpha(alpha));
        }
        if let Some(runs) = runs.filter(|runs| *runs > MOST_RUNS) {
            return Err(DesignError::TooMany(runs));
        }
        let beta = 0.05 / expectations.len() as f64;
        let mut allowed = Vec::new();
        for expectation in expectations {
            let key = expectation.key();
            let limit = match *expectation {
                Expectation::Latency { seconds } => seconds,
                Expectation::Cost { usd, .. } => usd,
                _ => 1.0,
            };
            if !(limit > 0.0 && limit.is_finite()) {
                return Err(DesignError::Limit { key });
            }
            let Some(rate) = expectation.rate() else {
                allowed.push(0);
                continue;
            };
            if !(rate > 0.0 && rate < 1.0) {
                return Err(DesignError::Rate { key, value: rate });
            }
            allowed.push(runs.unwrap_or_else(|| least(rate, alpha).saturating_mul(4).min(DEFAULT_RUNS)));
        }
        let longest = allowed.iter().copied().max().unwrap_or(0);
        let tests = expectations.iter().zip(allowed).map(|(expectation, allowed)| {
            let test = match (expectation.rate(), *expectation) {
                (Some(rate), _) => Test::Rate(Plan::new(rate, allowed, alpha, beta)),
                (None, Expectation::Cost { usd, most }) => {
                    // As many as the others take: they are paid for anyway.
                    let trials = runs.unwrap_or(if longest > 0 { longest } else { 200 });
                    Test::Mean { most: most.unwrap_or(usd * ASSUMED_MOST), trials }
                }
                (None, _) => unreachable!("all others are rates"),
            };
            (*expectation, test)
        });
        Ok(Self { alpha, beta, tests: tests.collect() })
    }

    /// What is expected, with the fewest calls that can show it and the most that are made for it: where those are fewer,
    /// it can't pass.
    pub fn plan(&self) -> Vec<(Expectation, usize, usize)> {
        let one = |(expectation, test): &(Expectation, Test)| match test {
            Test::Rate(plan) => (*expectation, self.least(plan), plan.trials),
            Test::Mean { most, trials } => {
                let Expectation::Cost { usd, .. } = expectation else { unreachable!("a mean is of costs") };
                (*expectation, Mean::new(*usd, *most).cheapest_end(-self.alpha.ln(), *trials), *trials)
            }
        };
        self.tests.iter().map(one).collect()
    }

    /// The fewest calls that can show a rate.
    fn least(&self, plan: &Plan) -> usize {
        plan.passes.first().copied().unwrap_or_else(|| least(plan.bound, self.alpha))
    }

    /// The chance that something passes that does not hold, at most.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The most calls that count.
    pub fn runs(&self) -> usize {
        self.tests.iter().map(|(_, test)| test.trials()).max().unwrap_or(0)
    }
}

/// What one call came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// There was an answer that fits.
    pub valid: bool,
    /// It was the right one.
    pub agrees: bool,
    /// How long it took; `None` where it was given up for taking too long.
    pub seconds: Option<f64>,
    /// What it cost, in US dollars; `None` where that is not known.
    pub usd: Option<f64>,
}

/// What a whole test comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that is expected holds.
    Pass,
    /// Something does not.
    Fail,
    /// Neither was shown.
    Inconclusive,
}

impl Verdict {
    /// In capital letters, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// A call that was not as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// The call, from 0 in the order in which they were drawn.
    pub draw: usize,
    /// Its case.
    pub case: usize,
}

/// What the calls say of one expectation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The expectation.
    pub expectation: Expectation,
    /// What was decided. `Open`: the test ended before, since another expectation failed.
    pub decision: Decision,
    /// The calls that it was decided by.
    pub runs: usize,
    /// The most that would have been made for it.
    pub most_runs: usize,
    /// The fewest that can show a rate, all of them good; where they are more than the most, it can't pass.
    pub least_runs: usize,
    /// Of those that count, the ones that were not as expected.
    pub misses: Vec<Miss>,
    /// The share that was; of costs the mean, in US dollars. Absent without a call.
    pub observed: Option<f64>,
    /// Where the rate is, with the confidence 1 − α, whenever one looks.
    pub interval: Option<(f64, f64)>,
    /// The evidence that it holds (an e-value).
    pub evidence: f64,
    /// What it takes to pass.
    pub needed: f64,
    /// How likely so many misses, or more, would be at a rate that just holds.
    pub chance: Option<f64>,
    /// What else has to be known, in words.
    pub note: Option<String>,
}

/// What a test came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The calls that counted.
    pub runs: usize,
    /// Why it ended before it was decided, in words.
    pub reason: Option<String>,
    /// Something passes that does not hold with a chance of at most this.
    pub alpha: f64,
    /// An expectation fails that holds with a chance of at most this.
    pub beta: f64,
    /// Expectation by expectation.
    pub findings: Vec<Finding>,
}

struct State {
    decision: Decision,
    runs: usize,
    misses: Vec<Miss>,
    mean: Option<Mean>,
    /// Calls whose cost is not known.
    untold: usize,
}

/// A test under way. Whoever makes the calls asks it [what to call](Self::next_case) and [tells it](Self::record) what came
/// of it, until there is a verdict.
pub struct Trial {
    design: Arc<Design>,
    random: Random,
    cases: usize,
    /// The cases drawn so far.
    drawn: Vec<usize>,
    /// What came before those that were drawn before it.
    early: BTreeMap<usize, Draw>,
    counted: usize,
    states: Vec<State>,
}

impl Trial {
    /// Begins with that many cases, at least 1; they are drawn in an order that `seed` gives.
    ///
    /// # Panics
    /// Without a case.
    pub fn new(design: Arc<Design>, cases: usize, seed: u64) -> Self {
        assert!(cases > 0, "there is nothing to draw from");
        let state = |(expectation, test): &(Expectation, Test)| {
            let mean = match (expectation, test) {
                (Expectation::Cost { usd, .. }, Test::Mean { most, .. }) => Some(Mean::new(*usd, *most)),
                _ => None,
            };
            State { decision: Decision::Open, runs: 0, misses: Vec::new(), mean, untold: 0 }
        };
        let states = design.tests.iter().map(state).collect();
        let random = Random::new(seed);
        let mut own = Self { design, random, cases, drawn: Vec::new(), early: BTreeMap::new(), counted: 0, states };
        own.decide();
        own
    }

    /// The next call to make: its number and its case. `None` where those that are under way may be enough; there may be
    /// more once they were told.
    pub fn next_case(&mut self) -> Option<(usize, usize)> {
        if self.verdict().is_some() || self.drawn.len() >= self.enough() {
            return None;
        }
        let case = self.random.below(self.cases);
        self.drawn.push(case);
        Some((self.drawn.len() - 1, case))
    }

    /// The number of calls with which it can be decided at the earliest, were all that come as expected.
    fn enough(&self) -> usize {
        let of = |(state, (_, test)): (&State, &(Expectation, Test))| match (state.decision, test, &state.mean) {
            (Decision::Open, Test::Rate(plan), _) => {
                plan.passes.get(state.misses.len()).copied().unwrap_or(plan.trials)
            }
            (Decision::Open, Test::Mean { trials, .. }, Some(mean)) => {
                self.counted + mean.cheapest_end(-self.design.alpha.ln(), trials.saturating_sub(self.counted))
            }
            _ => 0,
        };
        self.states.iter().zip(&self.design.tests).map(of).max().unwrap_or(0)
    }

    /// Tells what came of a call.
    ///
    /// # Panics
    /// Where no such call was drawn, or what came of it was told before.
    pub fn record(&mut self, number: usize, draw: Draw) -> Option<Verdict> {
        assert!(
            number < self.drawn.len() && number >= self.counted || self.verdict().is_some(),
            "call {number} is not under way"
        );
        assert!(self.early.insert(number, draw).is_none(), "call {number} was told twice");
        while self.verdict().is_none() {
            let Some(draw) = self.early.remove(&self.counted) else { break };
            self.count(&draw);
        }
        self.verdict()
    }

    fn count(&mut self, draw: &Draw) {
        let miss = Miss { draw: self.counted, case: self.drawn[self.counted] };
        self.counted += 1;
        for (state, (expectation, _)) in self.states.iter_mut().zip(&self.design.tests) {
            if state.decision != Decision::Open {
                continue;
            }
            state.runs += 1;
            let is_miss = match *expectation {
                Expectation::Agree { .. } => !(draw.valid && draw.agrees),
                Expectation::Valid { .. } => !draw.valid,
                Expectation::Latency { seconds } => draw.seconds.is_none_or(|took| took > seconds),
                Expectation::Cost { usd, .. } => {
                    match (&mut state.mean, draw.usd) {
                        (Some(mean), Some(cost)) => mean.add(cost),
                        _ => state.untold += 1,
                    }
                    draw.usd.is_some_and(|cost| cost > usd)
                }
            };
            if is_miss {
                state.misses.push(miss);
            }
        }
        self.decide();
    }

    fn decide(&mut self) {
        for (state, (_, test)) in self.states.iter_mut().zip(&self.design.tests) {
            if state.decision != Decision::Open {
                continue;
            }
            state.decision = match (test, &state.mean) {
                (Test::Rate(plan), _) => plan.decide(state.runs - state.misses.len(), state.misses.len()),
                (Test::Mean { trials, .. }, Some(mean)) => {
                    if state.untold > 0 {
                        // A mean of those that are known says nothing of the rest.
                        Decision::Inconclusive
                    } else if mean.log_above() >= -self.design.beta.ln() {
                        Decision::Fail
                    } else if mean.log_below() >= -self.design.alpha.ln() {
                        Decision::Pass
                    } else if mean.is_broken() || state.runs >= *trials {
                        Decision::Inconclusive
                    } else {
                        Decision::Open
                    }
                }
                (Test::Mean { .. }, None) => unreachable!("a mean is kept for each test of one"),
            };
        }
    }

    /// The verdict, once there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        let has = |decision: Decision| self.states.iter().any(|state| state.decision == decision);
        if has(Decision::Fail) {
            Some(Verdict::Fail)
        } else if has(Decision::Open) {
            None
        } else if has(Decision::Inconclusive) {
            Some(Verdict::Inconclusive)
        } else {
            Some(Verdict::Pass)
        }
    }

    /// The calls that counted so far.
    pub fn counted(&self) -> usize {
        self.counted
    }

    /// What it came to. `reason` says why it ended, where it was not decided.
    pub fn report(&self, reason: Option<String>) -> Report {
        let verdict = self.verdict();
        let tests = self.states.iter().zip(&self.design.tests);
        let findings = tests.map(|(state, (expectation, test))| self.finding(state, expectation, test, verdict));
        Report {
            verdict: verdict.unwrap_or(Verdict::Inconclusive),
            runs: self.counted,
            reason: reason.filter(|_| verdict.is_none()),
            alpha: self.design.alpha,
            beta: self.design.beta,
            findings: findings.collect(),
        }
    }

    fn finding(&self, state: &State, expectation: &Expectation, test: &Test, verdict: Option<Verdict>) -> Finding {
        let decision = match (state.decision, verdict) {
            // It was ended from outside.
            (Decision::Open, None) => Decision::Inconclusive,
            (decision, _) => decision,
        };
        let (runs, misses) = (state.runs, state.misses.len());
        let finding = Finding {
            expectation: *expectation,
            decision,
            runs,
            most_runs: test.trials(),
            least_runs: match test {
                Test::Rate(plan) => self.design.least(plan),
                Test::Mean { .. } => 0,
            },
            misses: state.misses.clone(),
            observed: None,
            interval: None,
            evidence: 1.0,
            needed: 1.0 / self.design.alpha,
            chance: None,
            note: None,
        };
        match (test, &state.mean) {
            (Test::Rate(plan), _) => Finding {
                observed: (runs > 0).then(|| (runs - misses) as f64 / runs as f64),
                interval: Some(stats::confidence_sequence(runs - misses, misses, self.design.alpha)),
                evidence: stats::log_e_mixture(runs - misses, misses, plan.bound, stats::PRIOR).exp(),
                needed: plan.threshold,
                chance: (runs > 0).then(|| stats::binomial_at_most(runs - misses, runs, plan.bound)),
                ..finding
            },
            (_, Some(mean)) => {
                let (usd, known) = match expectation {
                    Expectation::Cost { usd, most } => (*usd, most.is_some()),
                    _ => unreachable!("a mean is of costs"),
                };
                let most = mean.most();
                let note = if state.untold > 0 {
                    format!("what {} of {runs} calls cost is not known", state.untold)
                } else if mean.is_broken() {
                    format!("a call cost ${}, and it was taken that none costs more than ${most}", mean.highest())
                } else if most <= usd {
                    format!("no call can cost more than ${most}")
                } else if known {
                    format!("holds since no call can cost more than ${most}")
                } else {
                    format!(
                        "holds if no call costs more than ${most}: {ASSUMED_MOST} times the limit, which is taken for granted"
                    )
                };
                Finding { observed: mean.mean(), evidence: mean.log_below().exp(), note: Some(note), ..finding }
            }
            _ => unreachable!("a mean is kept for each test of one"),
        }
    }
}
