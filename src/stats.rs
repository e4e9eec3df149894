//! Statistics over independent draws. Pure arithmetic.

/// The 95% quantile of the normal distribution, two-sided.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson 95% interval for a rate, after `successes` of `trials` independent draws: (low, high), within 0 to 1.
///
/// Without any trial nothing is known: (0, 1). More successes than trials count as all.
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

/// How sure it is that of two behaviours the first is the more frequent one, after `first` and `second` draws of them:
/// `1 − I_½(first + 1, second + 1)`, the incomplete beta function; from a uniform prior over their odds.
///
/// Of whole numbers it is a sum: the chance that so many coins show at most `first` heads.
pub fn leads(first: usize, second: usize) -> f64 {
    let coins = first + second + 1;
    // The tail that has fewer terms; the terms themselves may be too small for a number, not their logarithms.
    let (tail, is_upper) = if second < first { (second, true) } else { (first, false) };
    let mut log_term = -(coins as f64) * std::f64::consts::LN_2;
    let mut sum = log_term.exp();
    for heads in 1..=tail {
        log_term += ((coins + 1 - heads) as f64 / heads as f64).ln();
        sum += log_term.exp();
    }
    if is_upper { 1.0 - sum } else { sum }
}

/// A number drawn from the beta distribution with these parameters, which are at least 1; `fraction` gives numbers from
/// 0 (with) to 1 (without).
pub fn beta(fraction: &mut dyn FnMut() -> f64, a: f64, b: f64) -> f64 {
    let (one, other) = (gamma(fraction, a), gamma(fraction, b));
    one / (one + other)
}

/// A number drawn from the gamma distribution of this shape, at least 1 (Marsaglia and Tsang, 2000).
fn gamma(fraction: &mut dyn FnMut() -> f64, shape: f64) -> f64 {
    let d = shape.max(1.0) - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        // Box and Muller's normal.
        let radius = (-2.0 * (1.0 - fraction()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * fraction()).cos();
        let cube = (1.0 + c * normal).powi(3);
        let accepted = (1.0 - fraction()).ln() < 0.5 * normal * normal + d - d * cube + d * cube.max(0.0).ln();
        if cube > 0.0 && accepted {
            return d * cube;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_to_nothing_and_six_to_one_are_a_lead_that_is_settled() {
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        close(leads(4, 0), 0.968_75);
        close(leads(3, 0), 0.937_5);
        close(leads(6, 1), 1.0 - 9.0 / 256.0);
        close(leads(5, 1), 1.0 - 8.0 / 128.0);
        close(leads(0, 0), 0.5);
        close(leads(7, 7), 0.5);
        close(leads(1, 6), 1.0 - leads(6, 1));
        assert!(leads(5200, 4800) > 0.999 && leads(4800, 5200) < 0.001 && leads(10_000, 0) > 0.999);
    }

    #[test]
    fn numbers_of_the_beta_distribution_have_its_mean_and_variance() {
        let mut state = 7_u64;
        let mut fraction = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for (a, b) in [(1.0, 1.0), (1.0, 6.0), (4.85, 2.15), (6.0, 3.0)] {
            let drawn: Vec<f64> = (0..40_000).map(|_| beta(&mut fraction, a, b)).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
            let (expected, spread) = (a / (a + b), a * b / ((a + b) * (a + b) * (a + b + 1.0)));
            // Six standard errors.
            assert!((mean - expected).abs() < 6.0 * (spread / 40_000.0).sqrt(), "{a} {b}: {mean}");
            assert!((variance / spread - 1.0).abs() < 0.06, "{a} {b}: {variance}");
        }
    }

    #[test]
    fn wilson_interval_of_eight_in_ten_is_the_published_one() {
        let (low, high) = wilson(8, 10);
        assert!((low - 0.490_162).abs() < 1e-6 && (high - 0.943_318).abs() < 1e-6, "{low} {high}");
    }

    #[test]
    fn wilson_interval_stays_within_zero_and_one_and_holds_the_rate() {
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert_eq!(wilson(0, 5).0, 0.0);
        assert_eq!(wilson(5, 5).1, 1.0);
        for trials in 1..40 {
            for successes in 0..=trials {
                let (low, high) = wilson(successes, trials);
                let rate = successes as f64 / trials as f64;
                assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
            }
        }
    }
}
