//! Picks tokens from logits, and says at which temperature. Pure: the same numbers in, the same token out.
//!
//! Never builds an array of the whole vocabulary: one pass keeps the few best tokens.

/// Tokens that are considered at all; the rest of the vocabulary is never drawn.
pub const TOP_K: usize = 40;
/// Samples with a low index are drawn cold: they are the likeliest to be right.
const COLD_SAMPLES: usize = 4;

/// The temperature of the sample `index` where nobody asked for one: cold first, then two warmer ones in pairs, so
/// that each style of prompt is drawn at each temperature.
pub fn scheduled_temperature(index: usize) -> f32 {
    if index < COLD_SAMPLES {
        0.2
    } else if (index / 2).is_multiple_of(2) {
        0.6
    } else {
        0.8
    }
}

/// A small generator of random numbers (SplitMix64), one per sample.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of the sample `index` under `seed`.
    pub fn new(seed: u64, index: usize) -> Self {
        let mut rng = Self(seed);
        let start = rng.next() ^ (index as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 (with) to 1 (without).
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A seed for the sample `index`, for servers that take one; at most 31 bits, as some refuse more.
pub fn derived_seed(seed: u64, index: usize) -> u64 {
    Rng::new(seed, index).next() >> 33
}

/// The [`TOP_K`] highest logits, highest first; at equal height the lower token first.
#[derive(Debug, Clone)]
pub struct Best {
    logits: [f32; TOP_K],
    tokens: [u32; TOP_K],
    count: usize,
}

impl Default for Best {
    fn default() -> Self {
        Self { logits: [f32::NEG_INFINITY; TOP_K], tokens: [0; TOP_K], count: 0 }
    }
}

impl Best {
    /// Of all tokens. NaN and negative infinity never win a place.
    pub fn of(logits: &[f32]) -> Self {
        const BLOCK: usize = 64;
        const LANES: usize = 16;
        let mut best = Self::default();
        for (number, block) in logits.chunks(BLOCK).enumerate() {
            // Nearly every block has nothing to offer, and one maximum in wide registers says so.
            let mut lanes = [f32::NEG_INFINITY; LANES];
            for piece in block.chunks(LANES) {
                for (lane, &logit) in lanes.iter_mut().zip(piece) {
                    *lane = if logit > *lane { logit } else { *lane };
                }
            }
            let lowest = best.lowest();
            if lanes.iter().any(|&lane| lane > lowest) {
                for (offset, &logit) in block.iter().enumerate() {
                    best.offer((number * BLOCK + offset) as u32, logit);
                }
            }
        }
        best
    }

    /// Of some tokens only.
    pub fn among(logits: &[f32], tokens: &[u32]) -> Self {
        let mut best = Self::default();
        for &token in tokens {
            if let Some(&logit) = logits.get(token as usize) {
                best.offer(token, logit);
            }
        }
        best
    }

    /// Their tokens, best first.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens[..self.count]
    }

    fn lowest(&self) -> f32 {
        self.logits[TOP_K - 1]
    }

    fn offer(&mut self, token: u32, logit: f32) {
        if logit > self.lowest() {
            let mut place = self.count.min(TOP_K - 1);
            while place > 0 && self.logits[place - 1] < logit {
                self.logits[place] = self.logits[place - 1];
                self.tokens[place] = self.tokens[place - 1];
                place -= 1;
            }
            self.logits[place] = logit;
            self.tokens[place] = token;
            self.count = (self.count + 1).min(TOP_K);
        }
    }

    /// Draws one of them: the nucleus of `top_p` first, then the temperature. At 0 it is the best one.
    ///
    /// `None` when no logit was a number.
    pub fn draw(&self, temperature: f32, top_p: f32, rng: &mut Rng) -> Option<u32> {
        let (logits, tokens) = (&self.logits[..self.count], &self.tokens[..self.count]);
        let highest = f64::from(*logits.first()?);
        if temperature <= 0.0 || highest.is_infinite() {
            return tokens.first().copied();
        }
        let weight = |logit: f32, temperature: f64| ((f64::from(logit) - highest) / temperature).exp();
        let all: f64 = logits.iter().map(|&logit| weight(logit, 1.0)).sum();
        let mut mass = 0.0;
        let mut kept = 0;
        while kept < logits.len() && (kept == 0 || mass < f64::from(top_p) * all) {
            mass += weight(logits[kept], 1.0);
            kept += 1;
        }
        let temperature = f64::from(temperature);
        let total: f64 = logits[..kept].iter().map(|&logit| weight(logit, temperature)).sum();
        let mut left = rng.fraction() * total;
        for (&logit, &token) in logits[..kept].iter().zip(tokens) {
            left -= weight(logit, temperature);
            if left < 0.0 {
                return Some(token);
            }
        }
        tokens[..kept].last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize) -> Vec<f32> {
        let mut rng = Rng::new(7, 3);
        (0..count).map(|_| (rng.fraction() * 30.0 - 15.0) as f32).collect()
    }

    #[test]
    fn the_best_tokens_are_those_that_sorting_finds() {
        for count in [0, 1, 39, 40, 41, 63, 64, 65, 1000, 151_936] {
            let logits = noise(count);
            let mut order: Vec<u32> = (0..count as u32).collect();
            order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
            let best = Best::of(&logits);
            assert_eq!(best.tokens[..best.count], order[..count.min(TOP_K)]);
        }
    }

    #[test]
    fn equal_logits_keep_the_lower_tokens() {
        let best = Best::of(&[1.0; 200]);
        assert_eq!(best.tokens.to_vec(), (0..40).collect::<Vec<u32>>());
    }

    #[test]
    fn not_a_number_is_never_drawn() {
        let mut logits = vec![f32::NAN; 500];
        assert_eq!(Best::of(&logits).draw(0.8, 0.95, &mut Rng::new(1, 1)), None);
        logits[321] = -3.0;
        assert_eq!(Best::of(&logits).draw(0.8, 0.95, &mut Rng::new(1, 1)), Some(321));
    }

    #[test]
    fn zero_temperature_takes_the_best() {
        let logits = [0.0, 2.0, 1.9];
        for index in 0..20 {
            assert_eq!(Best::of(&logits).draw(0.0, 1.0, &mut Rng::new(1, index)), Some(1));
        }
    }

    #[test]
    fn the_nucleus_cuts_the_tail() {
        // Shares are .64, .24, .09, .03 …: with top_p .8 only the first two remain, however hot.
        let logits = [3.0, 2.0, 1.0, 0.0];
        let mut rng = Rng::new(5, 0);
        let mut seen = [0; 4];
        for _ in 0..2000 {
            seen[Best::of(&logits).draw(5.0, 0.8, &mut rng).unwrap() as usize] += 1;
        }
        assert!(seen[0] > 900 && seen[1] > 700, "{seen:?}");
        assert_eq!(seen[2..], [0, 0]);
    }

    #[test]
    fn shares_follow_the_logits_at_temperature_one() {
        let logits = [2.0_f32.ln(), 1.0_f32.ln(), 1.0_f32.ln()];
        let mut rng = Rng::new(11, 0);
        let first = (0..4000).filter(|_| Best::of(&logits).draw(1.0, 1.0, &mut rng) == Some(0)).count();
        assert!((1850..2150).contains(&first), "{first}");
    }

    #[test]
    fn only_the_tokens_allowed_are_drawn() {
        let best = Best::among(&noise(1000), &[5, 900, 2000]);
        assert_eq!(best.count, 2);
    }

    #[test]
    fn samples_of_one_seed_differ_and_repeat() {
        let draw = |index| Rng::new(42, index).next();
        assert_eq!(draw(3), draw(3));
        let mut all: Vec<u64> = (0..1000).map(draw).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1000);
        assert!((0..100).all(|index| derived_seed(9, index) < 1 << 31));
    }

    #[test]
    fn each_style_is_drawn_at_each_temperature() {
        let temperatures: Vec<f32> = (0..8).map(scheduled_temperature).collect();
        assert_eq!(temperatures, [0.2, 0.2, 0.2, 0.2, 0.6, 0.6, 0.8, 0.8]);
    }
}
