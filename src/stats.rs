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

#[cfg(test)]
mod tests {
    use super::*;

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
