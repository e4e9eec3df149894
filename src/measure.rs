//! What independent draws say of the distribution that a spec denotes. Pure: counts in, numbers out.
//!
//! Draws are those of one prompt, model and setting, their number fixed beforehand; nothing that was repaired or drawn
//! after an early stop may be among them.

use std::collections::BTreeMap;

use crate::stats;
use crate::verdict::{Class, Verdict};

/// One draw with what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The sample's index, from 0.
    pub index: usize,
    /// What validation found.
    pub verdict: Verdict,
    /// What it does: the number of its group among programs that were run on the same inputs. None where it does not
    /// compile or could not be run.
    pub behaviour: Option<usize>,
    /// Tokens of the prompt and generated.
    pub tokens: usize,
    /// What it cost, in US dollars, where known.
    pub usd: Option<f64>,
}

/// Draws that do the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number, as in [`Draw::behaviour`].
    pub behaviour: usize,
    /// How many draws.
    pub size: usize,
    /// Of them, those that pass.
    pub passed: usize,
    /// The first of them: the sample's index.
    pub first: usize,
}

/// Draws that fail in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// The class.
    pub class: Class,
    /// How many draws.
    pub count: usize,
    /// With which codes, the most frequent first.
    pub codes: Vec<(String, usize)>,
}

/// A distribution, as far as draws show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The draws, by index.
    pub draws: Vec<Draw>,
}

/// With what confidence bounds are told: 1 − this.
pub const ALPHA: f64 = 0.05;

impl Distribution {
    /// Of these draws.
    pub fn new(mut draws: Vec<Draw>) -> Self {
        draws.sort_by_key(|draw| draw.index);
        Self { draws }
    }

    fn count(&self, wanted: impl Fn(&Verdict) -> bool) -> usize {
        self.draws.iter().filter(|draw| wanted(&draw.verdict)).count()
    }

    /// How many draws there are.
    pub fn drawn(&self) -> usize {
        self.draws.len()
    }

    /// How many hold Rust that conforms and keeps to the policy.
    pub fn parsed(&self) -> usize {
        self.count(Verdict::conforms)
    }

    /// How many compile.
    pub fn compiled(&self) -> usize {
        self.count(Verdict::compiles)
    }

    /// How many pass.
    pub fn passed(&self) -> usize {
        self.count(Verdict::is_pass)
    }

    /// The 95 % interval of the pass rate: Wilson's.
    pub fn pass_rate(&self) -> (f64, f64) {
        stats::wilson(self.passed(), self.drawn())
    }

    /// The chance that one of k draws passes, for k = 1, 2, 4 … up to the number of draws.
    pub fn pass_at(&self) -> Vec<(usize, f64)> {
        let powers = std::iter::successors(Some(1_usize), |k| k.checked_mul(2));
        let all = powers.take_while(|k| *k <= self.drawn());
        all.map(|k| (k, stats::pass_at_k(self.drawn(), self.passed(), k))).collect()
    }

    /// The chance that so many more draws bring one that passes.
    pub fn pass_in(&self, more: usize) -> f64 {
        stats::pass_in_more(self.passed(), self.drawn() - self.passed(), more)
    }

    /// How often each class of failure was seen, and with which codes: the most frequent first.
    pub fn failures(&self) -> Vec<Failures> {
        let mut of: BTreeMap<Class, BTreeMap<String, usize>> = BTreeMap::new();
        for draw in &self.draws {
            if let Some(class) = draw.verdict.class {
                let code = draw.verdict.code.clone().unwrap_or_default();
                *of.entry(class).or_default().entry(code).or_default() += 1;
            }
        }
        let mut list: Vec<Failures> = of
            .into_iter()
            .map(|(class, codes)| {
                let mut codes: Vec<(String, usize)> = codes.into_iter().collect();
                codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                Failures { class, count: codes.iter().map(|(_, count)| count).sum(), codes }
            })
            .collect();
        list.sort_by_key(|failures| std::cmp::Reverse(failures.count));
        list
    }

    /// The groups of draws that do the same, the largest first. `passing` takes those that pass alone.
    pub fn groups(&self, passing: bool) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for draw in self.draws.iter().filter(|draw| !passing || draw.verdict.is_pass()) {
            let Some(behaviour) = draw.behaviour else { continue };
            let passed = usize::from(draw.verdict.is_pass());
            match groups.iter_mut().find(|group| group.behaviour == behaviour) {
                Some(group) => (group.size, group.passed) = (group.size + 1, group.passed + passed),
                None => groups.push(Group { behaviour, size: 1, passed, first: draw.index }),
            }
        }
        groups.sort_by_key(|group| (std::cmp::Reverse(group.size), group.first));
        groups
    }

    /// How far apart the draws that pass are. `None` where fewer than two of them were run.
    pub fn spread(&self) -> Option<Spread> {
        let labels: Vec<usize> =
            self.draws.iter().filter(|draw| draw.verdict.is_pass()).filter_map(|draw| draw.behaviour).collect();
        let counts: Vec<usize> = self.groups(true).iter().map(|group| group.size).collect();
        let dissent = stats::dissent(&counts)?;
        let low = stats::dissent_at_least(&labels, ALPHA);
        let bits = |nats: f64| nats / std::f64::consts::LN_2;
        let dissent_interval = stats::dissent_interval(&labels, ALPHA);
        let entropy_interval =
            (bits(stats::entropy_at_least(dissent_interval.0)), bits(stats::entropy_at_most(&counts)));
        Some(Spread {
            entropy: bits(stats::entropy(&counts)),
            entropy_corrected: bits(stats::entropy_chao_shen(&counts)),
            entropy_interval,
            dissent,
            dissent_interval,
            missing: stats::missing_mass(&counts),
            wrong: stats::wrong_at_least(low),
        })
    }

    /// Tokens of a draw, on average; of a draw that passes, all draws being paid for.
    pub fn tokens(&self) -> (f64, Option<f64>) {
        let all: usize = self.draws.iter().map(|draw| draw.tokens).sum();
        let per = |count: usize| (count > 0).then(|| all as f64 / count as f64);
        (per(self.drawn()).unwrap_or_default(), per(self.passed()))
    }

    /// US dollars of a draw, on average, and of one that passes; `None` where a draw's cost is not known.
    pub fn usd(&self) -> Option<(f64, Option<f64>)> {
        let all: f64 = self.draws.iter().map(|draw| draw.usd).collect::<Option<Vec<f64>>>()?.iter().sum();
        let drawn = self.drawn().max(1) as f64;
        Some((all / drawn, (self.passed() > 0).then(|| all / self.passed() as f64)))
    }
}

/// How far apart draws that pass are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Of the shares of the behaviours that were seen, in bits; too low on average.
    pub entropy: f64,
    /// The same with what was not seen allowed for (Chao and Shen).
    pub entropy_corrected: f64,
    /// Between what the entropy is, in bits: the low end with the confidence that the interval of dissent gives it, the
    /// high end about so, as long as there are not many more behaviours than draws ([`stats::entropy_at_most`]).
    pub entropy_interval: (f64, f64),
    /// The chance that two draws differ.
    pub dissent: f64,
    /// Between what it is, with at least 95 % confidence.
    pub dissent_interval: (f64, f64),
    /// The chance that the next draw does what none did; a hint where draws are few.
    pub missing: f64,
    /// The least share of draws that are wrong on some input that was run, with 95 % confidence.
    pub wrong: f64,
}

/// How two distributions compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The p value of equal pass rates: Boschloo's exact test, two-sided.
    pub pass_rate: f64,
    /// The lower pass rate that would have been seen with a power of 80 %, had the second been lower than the first.
    pub seen_from: Option<f64>,
    /// The p value of equal outputs on all inputs: a permutation test over whole draws; `None` where there was nothing to compare.
    pub outputs: Option<f64>,
}

/// Permutations of the test on outputs.
const PERMUTATIONS: usize = 999;

impl Drift {
    /// Of two sets of draws; `outcomes` holds for each input what the draws of each did there, as numbers, in one order of
    /// the draws.
    pub fn new(one: &Distribution, other: &Distribution, outcomes: &[(Vec<usize>, Vec<usize>)], seed: u64) -> Self {
        Self::of((one.passed(), one.drawn()), (other.passed(), other.drawn()), outcomes, seed)
    }

    /// Of two sets of draws, of which so many passed, of so many.
    pub fn of(one: (usize, usize), other: (usize, usize), outcomes: &[(Vec<usize>, Vec<usize>)], seed: u64) -> Self {
        let table = [[one.0, other.0], [one.1 - one.0, other.1 - other.0]];
        let rate = one.0 as f64 / one.1.max(1) as f64;
        let mut state = seed | 1;
        let mut fraction = || {
            // SplitMix64: the numbers need to be even, not secret.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let is_enough = outcomes.iter().any(|(one, other)| one.len() >= 2 && other.len() >= 2);
        Self {
            pass_rate: stats::boschloo(table),
            seen_from: stats::detectable_drop((one.1, other.1), rate, ALPHA, 0.8),
            outputs: is_enough.then(|| stats::permuted(outcomes, PERMUTATIONS, &mut fraction)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Phase;

    fn draw(index: usize, behaviour: Option<usize>, passes: bool) -> Draw {
        let verdict = match passes {
            true => Verdict::passed(Phase::Test, 1),
            false => Verdict::failed(Phase::Test, Class::Misinterpretation, "example-1", "expected 1, got 2"),
        };
        Draw { index, verdict, behaviour, tokens: 100, usd: Some(0.01) }
    }

    #[test]
    fn counts_shares_and_costs_are_those_of_the_draws() {
        let of = [(Some(0), true), (Some(0), true), (Some(1), true), (Some(2), false), (None, false)];
        let draws = of.into_iter().enumerate().map(|(at, (behaviour, passes))| draw(at, behaviour, passes)).collect();
        let distribution = Distribution::new(draws);
        assert_eq!((distribution.drawn(), distribution.passed()), (5, 3));
        let sizes =
            |passing| distribution.groups(passing).iter().map(|group| (group.size, group.passed)).collect::<Vec<_>>();
        assert_eq!(sizes(true), [(2, 2), (1, 1)]);
        assert_eq!(sizes(false), [(2, 2), (1, 1), (1, 0)]);
        assert_eq!(distribution.pass_at().iter().map(|(k, _)| *k).collect::<Vec<_>>(), [1, 2, 4]);
        assert!((distribution.pass_at()[0].1 - 0.6).abs() < 1e-12);
        let spread = distribution.spread().expect("two pass");
        assert!((spread.dissent - 2.0 / 3.0).abs() < 1e-12 && spread.entropy < spread.entropy_corrected);
        assert_eq!(distribution.tokens().0, 100.0);
        assert!((distribution.usd().expect("it is known").1.expect("some pass") - 0.05 / 3.0).abs() < 1e-12);
        assert_eq!(
            distribution.failures(),
            [Failures { class: Class::Misinterpretation, count: 2, codes: vec![("example-1".to_owned(), 2)] }]
        );
    }

    /// Draws from a planted distribution: behaviour i with a weight, of which the last one fails.
    fn planted(weights: &[f64], count: usize, fraction: &mut dyn FnMut() -> f64) -> Distribution {
        let draws = (0..count).map(|index| {
            let mut rest = fraction();
            let pick = weights.iter().position(|weight| {
                rest -= weight;
                rest < 0.0
            });
            let pick = pick.unwrap_or(weights.len() - 1);
            draw(index, Some(pick), pick + 1 < weights.len())
        });
        Distribution::new(draws.collect())
    }

    #[test]
    fn two_hundred_measurements_cover_what_was_planted_as_often_as_they_promise() {
        let mut state = 17_u64;
        let mut fraction = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        // Three behaviours that pass, and a quarter that does not.
        let weights = [0.45, 0.2, 0.1, 0.25];
        let shares = [0.6, 0.2 / 0.75, 0.1 / 0.75];
        let entropy: f64 = shares.iter().map(|share: &f64| -share * share.log2()).sum();
        let dissent = 1.0 - shares.iter().map(|share| share * share).sum::<f64>();
        let wrong = 1.0 - shares[0];
        let (times, drawn) = (200, 64);
        let (mut covered, mut bounded, mut apart, mut spread_out) = (0, 0, 0, 0);
        let (mut dissents, mut entropies, mut corrected) = (0.0, 0.0, 0.0);
        for _ in 0..times {
            let distribution = planted(&weights, drawn, &mut fraction);
            let (low, high) = distribution.pass_rate();
            covered += usize::from(low <= 0.75 && 0.75 <= high);
            let spread = distribution.spread().expect("many pass");
            bounded += usize::from(spread.wrong <= wrong);
            let holds = |(low, high): (f64, f64), value: f64| usize::from(low <= value && value <= high);
            apart += holds(spread.dissent_interval, dissent);
            spread_out += holds(spread.entropy_interval, entropy);
            dissents += spread.dissent / f64::from(times);
            entropies += spread.entropy / f64::from(times);
            corrected += spread.entropy_corrected / f64::from(times);
        }
        // Three standard errors of a coverage of 95 % over 200 measurements are 4.6 %.
        assert!(covered >= 181, "{covered}");
        assert!(bounded >= 181, "{bounded}");
        assert!(apart >= 181 && spread_out >= 181, "{apart} {spread_out}");
        assert!((dissents - dissent).abs() < 0.02, "{dissents} {dissent}");
        // The plain one is too low; the corrected one is nearer to the truth.
        assert!(
            entropies < entropy && (corrected - entropy).abs() <= (entropies - entropy).abs(),
            "{entropies} {corrected} {entropy}"
        );
    }

    #[test]
    fn drift_is_found_where_there_is_some_and_says_what_it_could_see() {
        let all = |passes: usize, count: usize| {
            Distribution::new((0..count).map(|at| draw(at, Some(0), at < passes)).collect())
        };
        let same: Vec<usize> = (0..20).map(|at| at % 3 / 2).collect();
        let none = Drift::new(&all(18, 20), &all(18, 20), &[(same.clone(), same)], 1);
        assert!(none.pass_rate > 0.9 && none.outputs.expect("there are outputs") > 0.3, "{none:?}");
        let seen = none.seen_from.expect("twenty draws see something");
        assert!(seen > 0.2 && seen < 0.7, "{seen}");
        let moved = Drift::new(&all(20, 20), &all(8, 20), &[(vec![0; 20], vec![1; 20])], 1);
        assert!(moved.pass_rate < 0.01 && moved.outputs.expect("there are outputs") < 0.01, "{moved:?}");
        assert_eq!(Drift::new(&all(1, 1), &all(1, 1), &[(vec![0], vec![1])], 1).outputs, None);
    }
}
