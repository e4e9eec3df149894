//! Clusters: what the sizes of groups among independent draws say of the distribution that they came from.
//!
//! `counts` are the sizes of the groups. Their order does not matter, and zeros don't either.

use super::rates;

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

fn sum(counts: &[usize]) -> usize {
    counts.iter().sum()
}

/// The entropy of the shares, in nats: `−Σ p ln p` of the observed shares. Too low on average, the more so the fewer the
/// draws are; [`entropy_chao_shen`] makes up for that.
pub fn entropy(counts: &[usize]) -> f64 {
    let n = sum(counts) as f64;
    let shares = counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 / n);
    shares.map(|share| -share * share.ln()).sum::<f64>().max(0.0)
}

/// The entropy in nats, with what was not seen allowed for: Chao and Shen's estimator (2003), which weighs each group by
/// the chance to be seen at all. Where every group was seen once only, one is taken to have been seen again.
pub fn entropy_chao_shen(counts: &[usize]) -> f64 {
    let n = sum(counts);
    let once = counts.iter().filter(|&&count| count == 1).count();
    let once = if once == n { once.saturating_sub(1) } else { once };
    let coverage = 1.0 - once as f64 / n.max(1) as f64;
    let share = |&count: &usize| coverage * count as f64 / n as f64;
    let terms = counts.iter().filter(|&&count| count > 0).map(share).map(|share| {
        // 1 − (1 − p)ⁿ: the chance to be seen.
        -share * share.ln() / -(n as f64 * (-share).ln_1p()).exp_m1()
    });
    // A single draw, or nothing but one group.
    terms.filter(|term| term.is_finite()).sum::<f64>().max(0.0)
}

/// The chance that two draws are of different groups, without bias: `1 − Σ nᵢ(nᵢ − 1) / (N(N − 1))` (Simpson, 1949).
/// `None` of fewer than two draws.
pub fn dissent(counts: &[usize]) -> Option<f64> {
    let n = sum(counts);
    let alike: f64 = counts.iter().map(|&count| count as f64 * (count as f64 - 1.0)).sum();
    (n >= 2).then(|| 1.0 - alike / (n as f64 * (n as f64 - 1.0)))
}

/// The chance that the next draw is of a group that was not seen: the share of the groups that were seen once (Good,
/// 1953). Of few draws a hint and no bound.
pub fn missing_mass(counts: &[usize]) -> f64 {
    let once = counts.iter().filter(|&&count| count == 1).count();
    if once == 0 { 0.0 } else { once as f64 / sum(counts) as f64 }
}

/// How many groups there are, unseen ones included, at the least: `K + f₁(f₁ − 1) / (2(f₂ + 1))` (Chao, 1984; corrected
/// for bias).
pub fn chao1(groups: usize, once: usize, twice: usize) -> f64 {
    groups as f64 + once as f64 * (once as f64 - 1.0) / (2.0 * (twice as f64 + 1.0))
}

/// The least share of draws that are wrong, where two draws differ with this chance: of programs that behave differently
/// one at most is right, so at most `max p ≤ √Σp²` are, and at least `1 − √(1 − D)` are wrong. Needs no oracle.
pub fn wrong_at_least(dissent: f64) -> f64 {
    1.0 - (1.0 - dissent.clamp(0.0, 1.0)).sqrt()
}

/// The lower limit of dissent with the confidence `1 − alpha`: of disjoint pairs of draws, in the order in which they
/// were drawn, each is a trial ([`rates::at_least`]).
pub fn dissent_at_least<T: PartialEq>(draws: &[T], alpha: f64) -> f64 {
    let (differ, all) = pairs(draws);
    rates::at_least(differ, all, alpha)
}

/// An interval for dissent that holds the true one at least with the chance `1 − alpha`: Clopper and Pearson's, of the
/// same pairs.
pub fn dissent_interval<T: PartialEq>(draws: &[T], alpha: f64) -> (f64, f64) {
    let (differ, all) = pairs(draws);
    rates::clopper_pearson(differ, all, alpha)
}

/// How many disjoint pairs differ, of how many.
fn pairs<T: PartialEq>(draws: &[T]) -> (usize, usize) {
    let pairs = draws.chunks_exact(2);
    pairs.fold((0, 0), |(differ, all), pair| (differ + usize::from(pair[0] != pair[1]), all + 1))
}

/// The entropy, in nats, that is at least there, where two draws differ with at least this chance: `−ln(1 − D)`, the
/// entropy of order 2, which is never above Shannon's.
pub fn entropy_at_least(dissent: f64) -> f64 {
    -(-dissent.clamp(0.0, 1.0)).ln_1p()
}

/// The largest entropy, in nats, of any distribution under which the groups that were seen are at least a twentieth as
/// likely as under the most likely one. There may be as many groups that were not seen as there are draws; of more the
/// entropy has no bound.
///
/// A likelihood region (Owen's, with unseen groups): an approximation. How often it holds the true entropy was simulated;
/// docs/statistics.md has the numbers.
pub fn entropy_at_most(counts: &[usize]) -> f64 {
    // Groups of one size do not differ: of each size, and how many there are.
    let mut sizes: Vec<(f64, f64)> = Vec::new();
    for &count in counts.iter().filter(|&&count| count > 0) {
        match sizes.iter_mut().find(|(size, _)| *size == count as f64) {
            Some((_, groups)) => *groups += 1.0,
            None => sizes.push((count as f64, 1.0)),
        }
    }
    let n = sum(counts) as f64;
    if n == 0.0 {
        return f64::INFINITY;
    }
    // The share p of a group of each size, and the unseen ones' q, where entropy is largest for a likelihood that weighs
    // as much as `weight` says: by Lagrange `weight · size / p − ln p` is the same number for all, and their sum is 1.
    let shares = |weight: f64| -> (Vec<f64>, f64) {
        let (mut low, mut high) = (-1.0, 60.0 + weight * n * n);
        let at = |level: f64| {
            let share = |(size, _): &(f64, f64)| weight * size / omega(level + (weight * size).ln());
            (sizes.iter().map(share).collect::<Vec<_>>(), (-level).exp())
        };
        for _ in 0..64 {
            let middle = f64::midpoint(low, high);
            let (seen, unseen) = at(middle);
            let all = sizes.iter().zip(&seen).map(|((_, groups), share)| groups * share).sum::<f64>() + n * unseen;
            *(if all > 1.0 { &mut low } else { &mut high }) = middle;
        }
        at(high)
    };
    let log_likelihood = |seen: &[f64]| -> f64 {
        sizes.iter().zip(seen).map(|((size, groups), share)| groups * size * share.ln()).sum()
    };
    let best: f64 = sizes.iter().map(|(size, groups)| groups * size * (size / n).ln()).sum();
    let (mut low, mut high) = (-14.0_f64, 10.0_f64);
    for _ in 0..36 {
        let middle = f64::midpoint(low, high);
        let lost = best - log_likelihood(&shares(middle.exp()).0);
        *(if lost > UNLIKELY.ln() { &mut low } else { &mut high }) = middle;
    }
    let (seen, unseen) = shares(high.exp());
    let term = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
    sizes.iter().zip(&seen).map(|((_, groups), share)| groups * term(*share)).sum::<f64>() + n * term(unseen)
}

/// How many times less likely a distribution makes what was seen before it is ruled out.
const UNLIKELY: f64 = 20.0;

/// Wright's omega: the w for which `w + ln w` is this.
fn omega(of: f64) -> f64 {
    // Where w is small it is nearly its logarithm's exponential, where it is large nearly what is asked.
    let mut w = if of < 1.0 { of.exp().max(f64::MIN_POSITIVE) } else { of - of.ln() };
    for _ in 0..40 {
        let step = (of - w - w.ln()) / (1.0 + 1.0 / w);
        // Newton's steps on a concave function come from below after the first; none may leave what is positive.
        w = (w + step).max(w / 8.0);
        if step.abs() <= 1e-14 * w {
            break;
        }
    }
    w
}

/// The entropy of weights, in bits: `−Σ w log₂ w` of the weights' shares.
pub fn entropy_bits(weights: &[f64]) -> f64 {
    let sum: f64 = weights.iter().sum();
    let shares = weights.iter().filter(|&&weight| weight > 0.0).map(|weight| weight / sum);
    shares.map(|share| -share * share.log2()).sum::<f64>().max(0.0)
}

/// How good it is that so many programs pass the same tests, by CodeT (Chen and others, 2022): tests passed times the
/// root of the number of programs.
pub fn codet(programs: usize, tests: usize) -> f64 {
    tests as f64 * (programs as f64).sqrt()
}

/// The constants of [`b4`] in its authors' code.
pub const B4_ALPHA: f64 = 1e3;
/// See [`B4_ALPHA`].
pub const B4_BETA: f64 = 1e4;

/// The score of each group of programs that pass the same tests, by B4 (Chen and others, 2024), the higher the better.
/// `rows` has a row for each program: which of the tests it passes. Returned for each row's group, in the rows' order:
/// `ln B(nₓ+α, N−nₓ+1) + ln B(n_y+α, M−n_y+1) + ln B(ΣE₁+1, |E₁|−ΣE₁+1) + ln B(ΣE₀+1, |E₀|−ΣE₀+β₀)`, where E₁ and E₀ are
/// the other programs' results on the tests that the group passes and fails.
pub fn b4(rows: &[Vec<bool>], (alpha, beta): (f64, f64)) -> Vec<f64> {
    use statrs::function::beta::ln_beta;
    let of = |row: &Vec<bool>| {
        let (programs, tests) = (rows.len() as f64, row.len() as f64);
        let own = rows.iter().filter(|other| *other == row).count() as f64;
        let passed = row.iter().filter(|passed| **passed).count() as f64;
        let others = rows.iter().filter(|other| *other != row);
        let (mut ones, mut zeros) = ((0.0, 0.0), (0.0, 0.0));
        for (inside, outcome) in others.flat_map(|other| row.iter().zip(other)) {
            let part = if *inside { &mut ones } else { &mut zeros };
            part.0 += f64::from(u8::from(*outcome));
            part.1 += 1.0;
        }
        ln_beta(own + alpha, programs - own + 1.0)
            + ln_beta(passed + alpha, tests - passed + 1.0)
            + ln_beta(ones.0 + 1.0, ones.1 - ones.0 + 1.0)
            + ln_beta(zeros.0 + 1.0, zeros.1 - zeros.0 + beta)
    };
    rows.iter().map(of).collect()
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
    fn one_group_has_no_entropy_and_many_have_the_published_ones() {
        for count in [1, 2, 50] {
            assert_eq!((entropy(&[count]), entropy_chao_shen(&[count, 0])), (0.0, 0.0));
            assert_eq!((missing_mass(&[count]) > 0.0, dissent(&[count]).unwrap_or(0.0)), (count == 1, 0.0));
        }
        assert_eq!((dissent(&[]), dissent(&[1]), missing_mass(&[])), (None, None, 0.0));
        assert!((dissent(&[6, 3, 1]).expect("ten draws") - 0.6).abs() < 1e-12);
        assert!((entropy(&[6, 3, 1]) - 0.897_946).abs() < 1e-6);
        assert!((entropy_chao_shen(&[6, 3, 1]) - 1.057_208).abs() < 1e-6);
        assert!(entropy_chao_shen(&[1; 8]).is_finite());
        assert!((entropy_bits(&[0.5, 0.3, 0.2]) - 1.485_475).abs() < 1e-6);
    }

    #[test]
    fn no_distribution_has_fewer_wrong_draws_than_the_bound_says() {
        let mut state = 3_u64;
        let mut fraction = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for _ in 0..20_000 {
            let weights: Vec<f64> = (0..1 + (fraction() * 6.0) as usize).map(|_| fraction().powi(3) + 1e-9).collect();
            let sum: f64 = weights.iter().sum();
            let dissent = 1.0 - weights.iter().map(|weight| (weight / sum).powi(2)).sum::<f64>();
            let wrong = 1.0 - weights.iter().copied().fold(0.0, f64::max) / sum;
            assert!(wrong_at_least(dissent) <= wrong + 1e-12 && wrong_at_least(dissent) >= dissent / 2.0 - 1e-12);
        }
    }

    #[test]
    fn pairs_bound_dissent_from_below() {
        assert_eq!(dissent_at_least(&["a"; 20], 0.05), 0.0);
        let all_differ: Vec<usize> = (0..20).collect();
        assert!((dissent_at_least(&all_differ, 0.05) - 0.05_f64.powf(0.1)).abs() < 1e-9);
        assert_eq!(dissent_at_least(&["a"], 0.05), 0.0);
        assert_eq!(dissent_interval(&["a"], 0.05), (0.0, 1.0));
        let (low, high) = dissent_interval(&["a", "a", "a", "b", "a", "a", "c", "a"], 0.05);
        assert_eq!((low, high), rates::clopper_pearson(2, 4, 0.05));
    }

    #[test]
    fn entropy_is_between_what_dissent_bounds_and_the_largest_that_is_likely() {
        for of in [-30.0, -3.0, 0.0, 1.0, 5.0, 1e6] {
            let w = omega(of);
            assert!((w + w.ln() - of).abs() < 1e-9 * f64::max(1.0, of.abs()), "{of}: {w}");
        }
        // Four that are alike: by hand, one group keeps the share 1/20^(1/4), and four others have what is left.
        let share = 20.0_f64.powf(-0.25);
        let expected = -share * share.ln() - (1.0 - share) * ((1.0 - share) / 4.0).ln();
        assert!((entropy_at_most(&[4]) - expected).abs() < 1e-6, "{}", entropy_at_most(&[4]));
        let mut state = 11_u64;
        let mut fraction = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for counts in [vec![6, 3, 1], vec![8, 8], vec![1; 5], vec![30, 1, 1], vec![40]] {
            let (n, most) = (sum(&counts), entropy_at_most(&counts));
            assert!(most >= entropy(&counts) && most <= ((n + counts.len()) as f64).ln() + 1e-9, "{counts:?}: {most}");
            // No distribution that is likely enough has more.
            let weigh = |shares: &[f64]| -> f64 {
                counts
                    .iter()
                    .zip(shares)
                    .map(|(&count, share)| count as f64 * (share * n as f64 / count as f64).ln())
                    .sum()
            };
            let (mut tried, mut largest) = (0, 0.0_f64);
            for _ in 0..20_000 {
                let unseen = fraction().powi(2);
                let mut shares: Vec<f64> = counts.iter().map(|&count| count as f64 * (0.4 + fraction())).collect();
                let all: f64 = shares.iter().sum();
                shares.iter_mut().for_each(|share| *share *= (1.0 - unseen) / all);
                if weigh(&shares) >= -UNLIKELY.ln() {
                    let term = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
                    let own = shares.iter().map(|&share| term(share)).sum::<f64>() + n as f64 * term(unseen / n as f64);
                    (tried, largest) = (tried + 1, largest.max(own));
                }
            }
            assert!(
                tried > 300 && largest <= most + 1e-9 && largest > 0.9 * most,
                "{counts:?}: {tried} {largest} {most}"
            );
        }
        for shares in [vec![1.0], vec![0.5, 0.5], vec![0.6, 0.3, 0.1], vec![0.05; 20]] {
            let dissent = 1.0 - shares.iter().map(|share| share * share).sum::<f64>();
            let entropy = -shares.iter().map(|share: &f64| share * share.ln()).sum::<f64>();
            assert!(entropy_at_least(dissent) <= entropy + 1e-12);
        }
    }
}
