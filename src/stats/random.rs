//! Random numbers of the distributions that are needed.

/// Numbers that look random and are the same for the same seed (SplitMix64; Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 (with) to 1 (without).
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of the whole numbers below `count`, which is at least 1; each as likely as any other but for 2⁻⁶⁴ of it.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }
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
}
