//! Is the mean of what calls cost below a limit? Decided by betting, however often one looks.
//!
//! A cost is at least 0 and at most M. Were the mean at least the limit m, then for each λ from 0 to 1/(M − m) the
//! product of `1 − λ(x − m)` over the calls would not grow on average: whoever bets against it wins 20 times the stake
//! with a chance of at most 1/20 (Ville, 1939; Waudby-Smith and Ramdas, 2024). Against a mean of at most m the bet is
//! `1 + λ(x − m)` with λ up to 1/m, and needs no M. Several λ with equal stakes lose little against the best of them.

/// Where it is not known what a call can cost at most: so many times the limit is assumed.
pub const ASSUMED_MOST: f64 = 10.0;

/// Stakes, as shares of the largest that can't lose more than there is.
const SHARES: [f64; 7] = [0.03, 0.08, 0.2, 0.4, 0.6, 0.8, 1.0];

/// What the costs so far say of their mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    limit: f64,
    most: f64,
    calls: usize,
    sum: f64,
    highest: f64,
    below: [f64; SHARES.len()],
    above: [f64; SHARES.len()],
}

impl Mean {
    /// Nothing is known yet. `limit` is above 0; `most` is what no call can cost more than.
    pub fn new(limit: f64, most: f64) -> Self {
        Self { limit, most, calls: 0, sum: 0.0, highest: 0.0, below: [0.0; SHARES.len()], above: [0.0; SHARES.len()] }
    }

    /// Takes in what a call cost.
    pub fn add(&mut self, cost: f64) {
        let cost = cost.max(0.0);
        self.calls += 1;
        self.sum += cost;
        self.highest = self.highest.max(cost);
        let room = self.most - self.limit;
        for (at, share) in SHARES.into_iter().enumerate() {
            if room > 0.0 {
                // Below 0 only where a call cost more than it can.
                self.below[at] += (1.0 - share / room * (cost - self.limit)).max(0.0).ln();
            }
            self.above[at] += (1.0 + share / self.limit * (cost - self.limit)).max(0.0).ln();
        }
    }

    /// ln of the evidence that the mean is below the limit. There is none once a call cost more than it can.
    pub fn log_below(&self) -> f64 {
        if self.is_broken() {
            f64::NEG_INFINITY
        } else if self.most <= self.limit {
            // It can't be above, whatever is drawn.
            f64::INFINITY
        } else {
            log_mean(&self.below)
        }
    }

    /// ln of the evidence that the mean is above the limit.
    pub fn log_above(&self) -> f64 {
        log_mean(&self.above)
    }

    /// Whether a call cost more than no call can.
    pub fn is_broken(&self) -> bool {
        self.highest > self.most
    }

    /// The mean; absent before the first call.
    pub fn mean(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.sum / self.calls as f64)
    }

    /// What no call can cost more than.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// The dearest call.
    pub fn highest(&self) -> f64 {
        self.highest
    }

    /// How many more calls that cost nothing would be evidence enough, at most `most`.
    pub(super) fn cheapest_end(&self, log_needed: f64, most: usize) -> usize {
        if self.is_broken() || self.log_below() >= log_needed {
            return if self.is_broken() { most } else { 0 };
        }
        let room = self.most - self.limit;
        let is_enough = |more: usize| {
            let mut then = self.below;
            for (log, share) in then.iter_mut().zip(SHARES) {
                *log += more as f64 * (share / room * self.limit).ln_1p();
            }
            log_mean(&then) >= log_needed
        };
        // The evidence grows with each of them.
        let (mut low, mut high) = (1, most);
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_enough(middle) { high = middle } else { low = middle + 1 }
        }
        high
    }
}

fn log_mean(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / logs.len() as f64).ln()
}
