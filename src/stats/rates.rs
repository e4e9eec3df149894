//! Rates: what so many successes of so many independent trials say of the chance behind them.

use statrs::function::beta::{beta_reg, inv_beta_reg, ln_beta};

/// The 95% quantile of the normal distribution, two-sided.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson 95% interval for a rate, after `successes` of `trials` independent draws: (low, high), within 0 to 1.
///
/// Without any trial nothing is known: (0, 1). More successes than trials count as all. (Wilson, 1927.)
pub fn wilson(successes: usize, trials: usize) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let n = trials as f64;
    let rate = successes.min(trials) as f64 / n;
    let scale = 1.0 + Z * Z / n;
    let centre = (rate + Z * Z / (2.0 * n)) / scale;
    let half = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
    // At the ends the interval reaches 0 or 1 exactly; floating point only nearly does.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes >= trials { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

/// The Clopper–Pearson interval for a rate: it holds the true one at least with the chance `1 − alpha`, however small the
/// number of trials is. (Clopper and Pearson, 1934.)
pub fn clopper_pearson(successes: usize, trials: usize, alpha: f64) -> (f64, f64) {
    (at_least(successes, trials, alpha / 2.0), at_most(successes, trials, alpha / 2.0))
}

/// The rate that is at least there, with the confidence `1 − alpha`: Clopper and Pearson's, one-sided.
pub fn at_least(successes: usize, trials: usize, alpha: f64) -> f64 {
    let successes = successes.min(trials);
    if successes == 0 {
        return 0.0;
    }
    quantile(successes as f64, (trials - successes) as f64 + 1.0, alpha)
}

/// The rate that is at most there, with the confidence `1 − alpha`: Clopper and Pearson's, one-sided.
pub fn at_most(successes: usize, trials: usize, alpha: f64) -> f64 {
    let successes = successes.min(trials);
    if successes == trials {
        return 1.0;
    }
    quantile(successes as f64 + 1.0, (trials - successes) as f64, 1.0 - alpha)
}

/// The chance of at most so many of `n` independent trials that each succeed with the chance `rate`.
pub fn binomial_at_most(most: usize, n: usize, rate: f64) -> f64 {
    match (most >= n, rate) {
        (true, _) => 1.0,
        (false, rate) if rate <= 0.0 => 1.0,
        (false, rate) if rate >= 1.0 => 0.0,
        (false, rate) => beta_reg((n - most) as f64, most as f64 + 1.0, 1.0 - rate),
    }
}

/// Jeffreys' interval for a rate: equal tails of the posterior from the prior Beta(½, ½), reaching 0 or 1 where nothing
/// or everything succeeded.
pub fn jeffreys(successes: usize, trials: usize, alpha: f64) -> (f64, f64) {
    let successes = successes.min(trials);
    let (a, b) = (successes as f64 + 0.5, (trials - successes) as f64 + 0.5);
    let low = if successes == 0 { 0.0 } else { quantile(a, b, alpha / 2.0) };
    let high = if successes == trials { 1.0 } else { quantile(a, b, 1.0 - alpha / 2.0) };
    (low, high)
}

/// The quantile of the beta distribution: where its distribution function is `p`.
fn quantile(a: f64, b: f64, p: f64) -> f64 {
    let start = inv_beta_reg(a, b, p);
    // Newton's steps from there: the library's inverse stops a few digits short.
    let mut x = start;
    for _ in 0..4 {
        let density = ((a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p() - ln_beta(a, b)).exp();
        let next = x - (beta_reg(a, b, x) - p) / density;
        if !(next > 0.0 && next < 1.0 && density.is_normal()) {
            break;
        }
        x = next;
    }
    x
}

/// The chance that at least one of `k` draws passes, after `passed` of `drawn` did: the unbiased estimator
/// `1 − Π_{i = drawn − passed + 1}^{drawn} (1 − k/i)` (Chen and others, 2021). `k` is at most `drawn`.
///
/// Only where the number of draws was fixed beforehand.
pub fn pass_at_k(drawn: usize, passed: usize, k: usize) -> f64 {
    let failed = drawn - passed.min(drawn);
    if failed < k {
        return 1.0;
    }
    1.0 - (failed + 1..=drawn).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// The chance that at least one of `more` further draws passes, after `passed` and `failed`, from a uniform prior:
/// `1 − B(1 + s, 1 + f + m) / B(1 + s, 1 + f)`.
pub fn pass_in_more(passed: usize, failed: usize, more: usize) -> f64 {
    let (a, b) = (passed as f64 + 1.0, failed as f64 + 1.0);
    1.0 - (ln_beta(a, b + more as f64) - ln_beta(a, b)).exp()
}

/// A confidence sequence for a rate: it holds the true one at every moment at once, with the chance `1 − alpha`, so that
/// it may be looked at whenever one likes: `{p: B(1+s, 1+f) / (pˢ (1−p)ᶠ) < 1/alpha}`, of the mixture with a uniform
/// prior and Ville's inequality.
pub fn confidence_sequence(successes: usize, failures: usize, alpha: f64) -> (f64, f64) {
    let (s, f) = (successes as f64, failures as f64);
    let term = |count: f64, p: f64| if count == 0.0 { 0.0 } else { count * p.ln() };
    let is_out = |p: f64| ln_beta(1.0 + s, 1.0 + f) - term(s, p) - term(f, 1.0 - p) >= -alpha.ln();
    let rate = if s + f == 0.0 { 0.5 } else { s / (s + f) };
    // The evidence against p grows from the rate to both ends.
    let edge = |mut out: f64, mut within: f64| {
        if !is_out(out) {
            return out;
        }
        for _ in 0..200 {
            let middle = out.midpoint(within);
            *(if is_out(middle) { &mut out } else { &mut within }) = middle;
        }
        within
    };
    (edge(0.0, rate), edge(1.0, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_within_zero_and_one_and_hold_the_rate() {
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert_eq!(clopper_pearson(0, 0, 0.05), (0.0, 1.0));
        assert_eq!(confidence_sequence(0, 0, 0.05), (0.0, 1.0));
        for trials in 1..40 {
            for successes in 0..=trials {
                let rate = successes as f64 / trials as f64;
                for (low, high) in [
                    wilson(successes, trials),
                    clopper_pearson(successes, trials, 0.05),
                    jeffreys(successes, trials, 0.05),
                    confidence_sequence(successes, trials - successes, 0.05),
                ] {
                    assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0, "{successes} of {trials}");
                }
            }
        }
    }

    #[test]
    fn what_was_never_seen_to_pass_passes_by_the_rule_of_succession() {
        assert!((pass_in_more(0, 5, 10) - (1.0 - 0.375)).abs() < 1e-12);
        assert!((pass_in_more(0, 0, 1) - 0.5).abs() < 1e-12);
    }

    /// Exact: what each outcome would be given, weighed by its chance.
    fn coverage(trials: usize, rate: f64, interval: impl Fn(usize) -> (f64, f64)) -> f64 {
        let mut chance = (1.0 - rate).powi(trials as i32);
        let mut covered = 0.0;
        for successes in 0..=trials {
            let (low, high) = interval(successes);
            if low <= rate && rate <= high {
                covered += chance;
            }
            chance *= (trials - successes) as f64 / (successes + 1) as f64 * rate / (1.0 - rate);
        }
        covered
    }

    #[test]
    fn intervals_hold_the_rate_as_often_as_they_promise() {
        for trials in [5, 20, 64] {
            let rates = (1..200).map(|step| f64::from(step) / 200.0);
            let exact = rates.clone().map(|rate| coverage(trials, rate, |s| clopper_pearson(s, trials, 0.05)));
            assert!(exact.clone().all(|covered| covered >= 0.95 - 1e-9), "{trials}");
            let mean = |of: fn(usize, usize) -> (f64, f64)| {
                rates.clone().map(|rate| coverage(trials, rate, |s| of(s, trials))).sum::<f64>() / 199.0
            };
            assert!((mean(wilson) - 0.95).abs() < 0.012, "{trials}: {}", mean(wilson));
            let jeffreys = mean(|s, n| jeffreys(s, n, 0.05));
            assert!((jeffreys - 0.95).abs() < 0.015, "{trials}: {jeffreys}");
        }
    }
}
