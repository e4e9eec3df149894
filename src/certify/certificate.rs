//! From which confidence on may code answer in a model's place? Decided on cases that it was not made from.
//!
//! Thresholds are fixed before, and tried from the strictest to the loosest; each is accepted while so few disagreements
//! among what it answers would be unlikely, were the agreement no better than promised. At the first that is not, it
//! ends. So an accepted threshold breaks the promise with a chance of at most α, however many are tried (fixed-sequence
//! testing, as in Trust or Escalate, 2025). With none accepted the code never answers.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::stats;

/// The fewest answered cases that a threshold is judged by.
pub const LEAST_ANSWERED: usize = 30;

/// A case with the code's own confidence, and whether its answer is the model's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// How sure the code is; what is not a number never answers.
    pub confidence: f64,
    /// Whether it says what the model says.
    pub agrees: bool,
}

/// What is to be certified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The agreement, above 0 and below 1.
    pub agreement: f64,
    /// The chance to promise what does not hold, over all attempts.
    pub alpha: f64,
    /// Which attempt it is, from 1: each looks at cases that others may have seen, and spends a part of alpha.
    pub attempt: u32,
}

/// The part of `alpha` that an attempt spends: all of them together spend no more than it, however many there are.
pub fn spent(alpha: f64, attempt: u32) -> f64 {
    let attempt = f64::from(attempt.max(1));
    alpha * 6.0 / (std::f64::consts::PI * attempt).powi(2)
}

/// Which cases were looked at. Times in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The code was made from what was recorded until then; the cases came after.
    pub after: u64,
    /// The last of the cases came then.
    pub until: u64,
    /// Cases.
    pub cases: usize,
    /// Left out, since the same input was among them or in what the code was made from.
    pub duplicates: usize,
}

/// What a hybrid's code promises, with what that rests on. It is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Cases that the code answers at this threshold.
    pub n: usize,
    /// Of those, the ones where the model says something else.
    pub disagreements: usize,
    /// The share of all cases that it answers.
    pub coverage: f64,
    /// The agreement that is promised.
    pub agreement: f64,
    /// With this confidence: 1 − α.
    pub confidence: f64,
    /// The part of α that this attempt could spend.
    pub spent: f64,
    /// The chance of no more disagreements, were the agreement no better than promised.
    pub chance: f64,
    /// Clopper and Pearson's lower bound of the agreement at this threshold alone. What is promised is `agreement`: this
    /// one does not know that the threshold was chosen.
    pub at_least: f64,
    /// The code answers where its confidence is at least this.
    pub threshold: f64,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The cases.
    pub window: Window,
}

/// Confidences and thresholds are shares of a few votes: what is this near is the same. (A number that was written and
/// read again may differ in its last digit.)
const SAME: f64 = 1e-12;

fn is_as_sure(confidence: f64, threshold: f64) -> bool {
    confidence >= threshold - SAME
}

impl Certificate {
    /// The one that follows from these counts: of `n` cases that the code answers at a threshold, so many otherwise than
    /// the model.
    pub fn of(n: usize, disagreements: usize, terms: &Terms, threshold: f64, window: Window) -> Self {
        let attempt = terms.attempt.max(1);
        let spent = spent(terms.alpha, attempt);
        Self {
            n,
            disagreements,
            coverage: n as f64 / window.cases as f64,
            agreement: terms.agreement,
            confidence: 1.0 - terms.alpha,
            spent,
            chance: stats::binomial_at_most(disagreements, n, 1.0 - terms.agreement),
            at_least: stats::at_least(n.saturating_sub(disagreements), n, spent),
            threshold,
            attempt,
            window,
        }
    }

    /// Whether the code answers with this confidence, and does not leave it to the model.
    pub fn answers(&self, confidence: f64) -> bool {
        is_as_sure(confidence, self.threshold)
    }

    /// Whether its numbers belong together: it could have been written by [`calibrate`].
    pub fn is_sound(&self) -> bool {
        let near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-9);
        let alpha = 1.0 - self.confidence;
        let is_rate = |rate: f64| rate > 0.0 && rate < 1.0;
        is_rate(self.agreement)
            && is_rate(alpha)
            && self.attempt > 0
            && self.n >= LEAST_ANSWERED
            && self.disagreements <= self.n
            && self.n <= self.window.cases
            && near(self.coverage, self.n as f64 / self.window.cases as f64)
            // 1 − (1 − α) has lost digits.
            && (self.spent - spent(alpha, self.attempt)).abs() < 1e-12
            && near(self.chance, stats::binomial_at_most(self.disagreements, self.n, 1.0 - self.agreement))
            && near(self.at_least, stats::at_least(self.n - self.disagreements, self.n, self.spent))
            && self.chance <= self.spent
    }
}

/// One threshold that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// The threshold.
    pub threshold: f64,
    /// Cases that the code answers there.
    pub n: usize,
    /// Of those, the ones where the model says something else.
    pub disagreements: usize,
    /// The chance of no more disagreements, were the agreement no better than promised.
    pub chance: f64,
    /// `None`: too few cases to judge by.
    pub accepted: Option<bool>,
}

/// What a calibration found.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The thresholds up to the first that was not accepted, from the strictest on.
    pub steps: Vec<Step>,
    /// The last that was accepted; without one the model is always asked.
    pub certificate: Option<Certificate>,
}

/// Chooses the threshold. `thresholds` were fixed before the cases were looked at; their order plays no part.
pub fn calibrate(cases: &[Scored], thresholds: &[f64], terms: &Terms, window: Window) -> Calibration {
    let mut order: Vec<f64> = thresholds.iter().copied().filter(|threshold| !threshold.is_nan()).collect();
    order.sort_by(|one, other| other.total_cmp(one));
    order.dedup();
    let spent = spent(terms.alpha, terms.attempt);
    let mut steps = Vec::new();
    let mut certificate = None;
    for threshold in order {
        // All that are as sure as that, so that those with the same confidence are in or out together.
        let answered = cases.iter().filter(|case| is_as_sure(case.confidence, threshold));
        let (n, agreed) = answered.fold((0, 0), |(n, agreed), case| (n + 1, agreed + usize::from(case.agrees)));
        let disagreements = n - agreed;
        let chance = stats::binomial_at_most(disagreements, n, 1.0 - terms.agreement);
        // How many there are says nothing of how they agree: to pass over the first thresholds spends nothing.
        let accepted = (n >= LEAST_ANSWERED).then_some(chance <= spent);
        steps.push(Step { threshold, n, disagreements, chance, accepted });
        match accepted {
            None => {}
            Some(false) => break,
            Some(true) => {
                let window = Window { cases: cases.len(), ..window.clone() };
                certificate = Some(Certificate::of(n, disagreements, terms, threshold, window));
            }
        }
    }
    Calibration { steps, certificate }
}

/// The fewest answered cases that are enough, with so many disagreements among them.
pub fn needed(disagreements: usize, agreement: f64, alpha: f64) -> usize {
    let is_enough = |n: usize| stats::binomial_at_most(disagreements, n, 1.0 - agreement) <= alpha;
    let mut high = (disagreements + 1).max(LEAST_ANSWERED);
    let mut low = high;
    while !is_enough(high) {
        low = high;
        high *= 2;
    }
    // The chance falls as there are more.
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_enough(middle) { high = middle } else { low = middle + 1 }
    }
    high
}

/// Of recorded traces, in order of time, those to calibrate on: after `after`, each input once, and none that was
/// recorded before. Each trace is its time and its input; the answer is their places, with the window.
pub fn calibration_cases<K: Hash + Eq>(traces: impl IntoIterator<Item = (u64, K)>, after: u64) -> (Vec<usize>, Window) {
    let traces: Vec<(u64, K)> = traces.into_iter().collect();
    let mut seen: HashSet<&K> = traces.iter().filter(|(at, _)| *at <= after).map(|(_, input)| input).collect();
    let mut later: Vec<usize> = (0..traces.len()).filter(|place| traces[*place].0 > after).collect();
    later.sort_by_key(|place| traces[*place].0);
    let of_all = later.len();
    later.retain(|place| seen.insert(&traces[*place].1));
    let until = later.last().map_or(after, |place| traces[*place].0);
    let window = Window { after, until, cases: later.len(), duplicates: of_all - later.len() };
    (later, window)
}
