//! Is a rate above a bound? Decided with as few trials as it takes, however often one looks.

use serde::Serialize;
use statrs::function::beta::{beta_reg, ln_beta};

/// The natural logarithm of the evidence against a rate of at most `p`, after so many successes and failures: the
/// mixture over the prior Beta(`a`, `b`) cut to (p, 1], against `p` itself,
/// `ln B(a+s, b+f) + ln(1 − I_p(a+s, b+f)) − ln B(a, b) − ln(1 − I_p(a, b)) − s·ln p − f·ln(1 − p)`.
///
/// Under a rate of at most `p` it exceeds `ln(1/α)` at any moment with a chance of at most α (Ville, 1939).
pub fn log_e_mixture(successes: usize, failures: usize, p: f64, (a, b): (f64, f64)) -> f64 {
    let (s, f) = (successes as f64, failures as f64);
    let of = |a: f64, b: f64| ln_beta(a, b) + beta_reg(b, a, 1.0 - p).ln();
    of(a + s, b + f) - of(a, b) - s * p.ln() - f * (1.0 - p).ln()
}

/// The prior of [`Plan`]'s evidence.
pub const PRIOR: (f64, f64) = (1.0, 0.5);

/// What a sequential test says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The rate is above the bound.
    Pass,
    /// The rate is below the bound.
    Fail,
    /// Not decided within the trials that were allowed.
    Inconclusive,
    /// Go on.
    Open,
}

/// When to stop, of a test whether a rate is above `bound`, with at most so many trials.
///
/// It passes when the evidence ([`log_e_mixture`]) reaches a threshold, the smallest with which a rate of `bound` passes
/// with a chance of at most `alpha`, found exactly by dynamic programming over (trials, failures); so a false pass has at
/// most that chance whatever the rate is. It fails where at least so many failures would have a chance of at most β′ were
/// the rate `bound`, β′ calibrated likewise to `beta`.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The bound.
    pub bound: f64,
    /// Most trials.
    pub trials: usize,
    /// The evidence that passes (no logarithm).
    pub threshold: f64,
    /// For each number of failures with which it can pass, the number of trials at which it does.
    pub passes: Vec<usize>,
    /// For each number of trials (from 1), the failures at which it fails; none where it can't.
    pub fails: Vec<Option<usize>>,
}

impl Plan {
    /// Plans a test. `bound`, `alpha` and `beta` are above 0 and below 1; `trials` is at least 1.
    pub fn new(bound: f64, trials: usize, alpha: f64, beta: f64) -> Self {
        let evidence: Vec<Vec<f64>> = (0..=trials)
            .map(|n| (0..=n).map(|failures| log_e_mixture(n - failures, failures, bound, PRIOR)).collect())
            .collect();
        let passes = |threshold: f64| -> Vec<usize> {
            // More failures are less evidence, more trials with as many are more.
            let first = |failures: usize| (failures..=trials).find(|&n| n > 0 && evidence[n][failures] >= threshold);
            (0..=trials).map_while(first).collect()
        };
        // Between what one trial can show and Ville's threshold, with which it holds at any number of trials.
        let (mut low, mut high) = (0.0, -alpha.ln());
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            let chance = Self::operating(bound, trials, &passes(middle), &[]).0;
            *(if chance <= alpha { &mut high } else { &mut low }) = middle;
        }
        let threshold = high;
        let passes = passes(threshold);
        let tails: Vec<Vec<f64>> = (1..=trials).map(|n| upper_tails(n, 1.0 - bound)).collect();
        let fails = |threshold: f64| -> Vec<Option<usize>> {
            tails.iter().map(|tail| tail.iter().position(|&chance| chance <= threshold)).collect()
        };
        let (mut low, mut high) = (0.0, beta);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            let chance = Self::operating(bound, trials, &passes, &fails(middle)).1;
            *(if chance <= beta { &mut low } else { &mut high }) = middle;
        }
        Self { bound, trials, threshold: threshold.exp(), fails: fails(low), passes }
    }

    /// What so many successes and failures say; each was looked at as it came.
    pub fn decide(&self, successes: usize, failures: usize) -> Decision {
        let n = successes + failures;
        if self.passes.get(failures).is_some_and(|&at| n >= at) {
            Decision::Pass
        } else if n > 0 && self.fails.get(n - 1).copied().flatten().is_some_and(|at| failures >= at) {
            Decision::Fail
        } else if n >= self.trials {
            Decision::Inconclusive
        } else {
            Decision::Open
        }
    }

    /// Under a true rate: the chances to pass, to fail and to stay undecided, and how many trials it takes on average.
    pub fn characteristic(&self, rate: f64) -> (f64, f64, f64, f64) {
        let (pass, fail, trials) = Self::operating(rate, self.trials, &self.passes, &self.fails);
        (pass, fail, 1.0 - pass - fail, trials)
    }

    fn operating(rate: f64, trials: usize, passes: &[usize], fails: &[Option<usize>]) -> (f64, f64, f64) {
        let (mut passed, mut failed, mut sum) = (0.0, 0.0, 0.0);
        // By failures, of those that are still open.
        let mut open = vec![1.0];
        for n in 1..=trials {
            sum += open.iter().sum::<f64>();
            let mut next = vec![0.0; n + 1];
            for (failures, chance) in open.iter().enumerate() {
                next[failures] += chance * rate;
                next[failures + 1] += chance * (1.0 - rate);
            }
            for (failures, chance) in next.iter_mut().enumerate() {
                if passes.get(failures).is_some_and(|&at| n >= at) {
                    passed += std::mem::take(chance);
                } else if fails.get(n - 1).copied().flatten().is_some_and(|at| failures >= at) {
                    failed += std::mem::take(chance);
                }
            }
            open = next;
        }
        (passed, failed, sum)
    }
}

/// For each count, the chance that at least so many of `n` trials succeed at this rate.
fn upper_tails(n: usize, rate: f64) -> Vec<f64> {
    let tail = |at: usize| if at == 0 { 1.0 } else { beta_reg(at as f64, (n - at) as f64 + 1.0, rate) };
    (0..=n).map(tail).collect()
}
