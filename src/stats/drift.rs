//! Differences: do two sets of draws come from the same distribution?

use statrs::function::gamma::{gamma_ur, ln_gamma};

fn ln_choose(n: usize, k: usize) -> f64 {
    ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
}

/// The chance of each value of the first cell of a table with these margins: (least value, chances).
fn hypergeometric(first_row: usize, second_row: usize, first_column: usize) -> (usize, Vec<f64>) {
    let (low, high) = (first_column.saturating_sub(second_row), first_row.min(first_column));
    let all = ln_choose(first_row + second_row, first_column);
    let chance = |x: usize| (ln_choose(first_row, x) + ln_choose(second_row, first_column - x) - all).exp();
    (low, (low..=high).map(chance).collect())
}

/// Fisher's exact test, one-sided: the chance of a first rate as high as this, or higher, above the second, were both the
/// same. Of `[[a, b], [c, d]]` with successes in the first column and one sample in each row.
pub fn fisher_greater([[a, b], [c, d]]: [[usize; 2]; 2]) -> f64 {
    let (low, chances) = hypergeometric(a + b, c + d, a + c);
    chances[a - low..].iter().sum::<f64>().min(1.0)
}

/// Fisher's exact test, two-sided: the chance of all tables that are no likelier than this one.
pub fn fisher([[a, b], [c, d]]: [[usize; 2]; 2]) -> f64 {
    let (low, chances) = hypergeometric(a + b, c + d, a + c);
    // As likely but for rounding counts as as likely.
    let own = chances[a - low] * (1.0 + 1e-7);
    chances.iter().filter(|chance| **chance <= own).sum::<f64>().min(1.0)
}

/// Boschloo's exact test (1970), one-sided: Fisher's p value as the statistic, with its distribution under the rate that
/// is the worst for it. Never less powerful than Fisher's. Samples are the table's columns, as in `scipy.stats`: the rate
/// of the first column's sample is the higher one. Right to about 1e-4.
pub fn boschloo_greater(table: [[usize; 2]; 2]) -> f64 {
    let [[a, b], [c, d]] = table;
    let (first, second) = (a + c, b + d);
    let statistic = |x: usize, y: usize| fisher_greater([[x, first - x], [y, second - y]]);
    let own = statistic(a, b) * (1.0 + 1e-9);
    // For each x of the first sample the most successes y of the second with which the table is as extreme: more
    // successes in the second make it less so.
    let mut most: Vec<Option<usize>> = Vec::with_capacity(first + 1);
    for x in 0..=first {
        let mut y = most.last().copied().flatten();
        let mut next = y.map_or(0, |y| y + 1);
        while next <= second && statistic(x, next) <= own {
            y = Some(next);
            next += 1;
        }
        most.push(y);
    }
    let chances = |n: usize, rate: f64| -> Vec<f64> {
        let ln = |k: usize| ln_choose(n, k) + k as f64 * rate.ln() + (n - k) as f64 * (-rate).ln_1p();
        (0..=n).map(|k| ln(k).exp()).collect()
    };
    let worst = |rate: f64| -> f64 {
        let sums: Vec<f64> = chances(second, rate)
            .into_iter()
            .scan(0.0, |sum, chance| {
                *sum += chance;
                Some(*sum)
            })
            .collect();
        let parts = chances(first, rate).into_iter().zip(&most);
        parts.map(|(chance, most)| chance * most.map_or(0.0, |most| sums[most])).sum()
    };
    const STEPS: usize = 1000;
    let at = |step: f64| worst((step / STEPS as f64).clamp(1e-9, 1.0 - 1e-9));
    let best = (0..=STEPS)
        .map(|step| (at(step as f64), step))
        .fold((0.0, 0), |one, other| if other.0 > one.0 { other } else { one });
    // Between the neighbours of the best step.
    let (mut low, mut high) = (best.1 as f64 - 1.0, best.1 as f64 + 1.0);
    for _ in 0..60 {
        let (one, other) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        *(if at(one) < at(other) { &mut low } else { &mut high }) = if at(one) < at(other) { one } else { other };
    }
    best.0.max(at(f64::midpoint(low, high))).min(1.0)
}

/// Boschloo's exact test, two-sided: twice the smaller of both sides, at most 1. Samples are the table's columns.
pub fn boschloo([[a, b], [c, d]]: [[usize; 2]; 2]) -> f64 {
    (2.0 * boschloo_greater([[a, b], [c, d]]).min(boschloo_greater([[b, a], [d, c]]))).min(1.0)
}

/// The exact p value, two-sided, that of pairs which differ one side is ahead no more often than the other: the sign test,
/// and McNemar's of two methods on the same cases. Pairs that do not differ count for nothing.
pub fn sign_test(ahead: usize, behind: usize) -> f64 {
    let pairs = ahead + behind;
    let tail = |at: usize| (ln_choose(pairs, at) - pairs as f64 * std::f64::consts::LN_2).exp();
    (2.0 * (0..=ahead.min(behind)).map(tail).sum::<f64>()).min(1.0)
}

/// The statistic of the likelihood-ratio test that two rows come from one distribution, `2 Σ O ln(O/E)`, and its p value
/// by the χ² distribution: an approximation for large counts.
pub fn g_test(table: [&[usize]; 2]) -> (f64, f64) {
    let rows = table.map(|row| row.iter().sum::<usize>());
    let all = (rows[0] + rows[1]) as f64;
    let columns: Vec<usize> = table[0].iter().zip(table[1]).map(|(one, other)| one + other).collect();
    let g = g_of(table[0], &rows, &columns);
    let groups = columns.iter().filter(|count| **count > 0).count();
    if groups < 2 || rows.contains(&0) || all == 0.0 {
        return (0.0, 1.0);
    }
    (g, gamma_ur((groups - 1) as f64 / 2.0, (g / 2.0).max(f64::MIN_POSITIVE)))
}

fn g_of(first: &[usize], rows: &[usize; 2], columns: &[usize]) -> f64 {
    let all = (rows[0] + rows[1]) as f64;
    let term = |observed: usize, row: usize, column: usize| match observed {
        0 => 0.0,
        _ => observed as f64 * (observed as f64 * all / (row as f64 * column as f64)).ln(),
    };
    let both = first.iter().zip(columns);
    2.0 * both.map(|(&one, &column)| term(one, rows[0], column) + term(column - one, rows[1], column)).sum::<f64>()
}

/// The exact p value of [`g_test`]: the chance of every table with the same margins whose statistic is no smaller.
/// Looks at each of them; `None` where there are more than a million.
pub fn g_test_exact(table: [&[usize]; 2]) -> Option<f64> {
    let rows = table.map(|row| row.iter().sum::<usize>());
    let columns: Vec<usize> = table[0].iter().zip(table[1]).map(|(one, other)| one + other).collect();
    let tables = columns.iter().map(|count| *count as f64 + 1.0).product::<f64>();
    if tables > 1e6 {
        return None;
    }
    let own = g_of(table[0], &rows, &columns) - 1e-9;
    let all = ln_choose(rows[0] + rows[1], rows[0]);
    let mut chance = 0.0;
    let mut first = vec![0; columns.len()];
    loop {
        if first.iter().sum::<usize>() == rows[0] && g_of(&first, &rows, &columns) >= own {
            let ways: f64 = first.iter().zip(&columns).map(|(&one, &column)| ln_choose(column, one)).sum();
            chance += (ways - all).exp();
        }
        let Some(at) = first.iter().zip(&columns).position(|(one, column)| one < column) else { break };
        first[at] += 1;
        first[..at].fill(0);
    }
    Some(chance.min(1.0))
}

/// The chance of a difference as large as that between two sets of programs, or larger, were there none: a permutation
/// test over whole programs. `inputs` holds for each input what the programs of the first and of the second set do there,
/// as small numbers that name it; the order of the programs is the same for every input.
///
/// The statistic is that of [`stratified`]. What a program does on one input hangs on what it does on others, so that a
/// label moves with all that its program does: permuted input by input, many inputs that tell the same two programs apart
/// would count as so many witnesses. The p value is exact at any number of programs. With fewer than two on a side nothing
/// is said: 1.
pub fn permuted(inputs: &[(Vec<usize>, Vec<usize>)], times: usize, fraction: &mut dyn FnMut() -> f64) -> f64 {
    let Some((m, n)) = inputs.first().map(|(one, other)| (one.len(), other.len())) else { return 1.0 };
    if m < 2 || n < 2 || inputs.iter().any(|(one, other)| (one.len(), other.len()) != (m, n)) {
        return 1.0;
    }
    let own: f64 = inputs.iter().map(|(one, other)| distance(one, other)).sum();
    let pooled: Vec<Vec<usize>> =
        inputs.iter().map(|(one, other)| one.iter().chain(other).copied().collect()).collect();
    let mut order: Vec<usize> = (0..m + n).collect();
    let mut as_large = 0;
    for _ in 0..times {
        for at in (1..order.len()).rev() {
            order.swap(at, ((at + 1) as f64 * fraction()) as usize);
        }
        let sum: f64 = pooled
            .iter()
            .map(|outcomes| {
                let of = |places: &[usize]| places.iter().map(|place| outcomes[*place]).collect::<Vec<_>>();
                distance(&of(&order[..m]), &of(&order[m..]))
            })
            .sum();
        as_large += usize::from(sum >= own - 1e-9);
    }
    (1 + as_large) as f64 / (times + 1) as f64
}

/// The chance of a difference as large as that between two sets of outputs, or larger, were there none: a permutation
/// test over labels within each input, for outputs that are drawn anew for each input. `inputs` holds for each input the outcomes of the first and of the second set,
/// as small numbers that name them; `fraction` gives numbers from 0 (with) to 1 (without).
///
/// The statistic is the sum over inputs of the unbiased squared distance of both distributions,
/// `Σ_y [a(a−1)/(m(m−1)) + b(b−1)/(n(n−1)) − 2ab/(mn)]`; the p value `(1 + #{T* ≥ T}) / (times + 1)` is exact at any number
/// of draws and outcomes. Inputs with fewer than two draws on a side say nothing.
pub fn stratified(inputs: &[(Vec<usize>, Vec<usize>)], times: usize, fraction: &mut dyn FnMut() -> f64) -> f64 {
    let own: f64 = inputs.iter().map(|(one, other)| distance(one, other)).sum();
    let mut pooled: Vec<(Vec<usize>, usize)> =
        inputs.iter().map(|(one, other)| (one.iter().chain(other).copied().collect(), one.len())).collect();
    let mut as_large = 0;
    for _ in 0..times {
        let mut sum = 0.0;
        for (outcomes, first) in &mut pooled {
            for at in (1..outcomes.len()).rev() {
                outcomes.swap(at, ((at + 1) as f64 * fraction()) as usize);
            }
            sum += distance(&outcomes[..*first], &outcomes[*first..]);
        }
        as_large += usize::from(sum >= own - 1e-12);
    }
    (1 + as_large) as f64 / (times + 1) as f64
}

fn distance(one: &[usize], other: &[usize]) -> f64 {
    let (m, n) = (one.len() as f64, other.len() as f64);
    if one.len() < 2 || other.len() < 2 {
        return 0.0;
    }
    let most = one.iter().chain(other).max().map_or(0, |most| most + 1);
    let mut counts = vec![(0.0, 0.0); most];
    one.iter().for_each(|outcome| counts[*outcome].0 += 1.0);
    other.iter().for_each(|outcome| counts[*outcome].1 += 1.0);
    let term =
        |(a, b): (f64, f64)| a * (a - 1.0) / (m * (m - 1.0)) + b * (b - 1.0) / (n * (n - 1.0)) - 2.0 * a * b / (m * n);
    counts.into_iter().map(term).sum()
}

/// The smallest rate of the second sample, below that of the first, with which Fisher's one-sided test at `alpha` would
/// see the difference with at least this power; `None` where not even a rate of 0 is seen.
pub fn detectable_drop((first, second): (usize, usize), rate: f64, alpha: f64, power: f64) -> Option<f64> {
    // What is seen, by the successes of the first sample: at most so many of the second.
    let seen: Vec<Option<usize>> = (0..=first)
        .map(|x| (0..=second).take_while(|&y| fisher_greater([[x, first - x], [y, second - y]]) <= alpha).last())
        .collect();
    let chances = |n: usize, rate: f64| -> Vec<f64> {
        let rate = rate.clamp(1e-12, 1.0 - 1e-12);
        let ln = |k: usize| ln_choose(n, k) + k as f64 * rate.ln() + (n - k) as f64 * (-rate).ln_1p();
        (0..=n).map(|k| ln(k).exp()).collect()
    };
    let of_first = chances(first, rate);
    let power_at = |other: f64| -> f64 {
        let of_second = chances(second, other);
        let parts = of_first.iter().zip(&seen);
        parts.map(|(chance, most)| chance * most.map_or(0.0, |most| of_second[..=most].iter().sum())).sum()
    };
    if power_at(0.0) < power {
        return None;
    }
    let (mut low, mut high) = (0.0, rate);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        *(if power_at(middle) >= power { &mut low } else { &mut high }) = middle;
    }
    Some(low)
}

/// Benjamini and Hochberg's adjusted p values (1995), in the order given: those below q are found with a false discovery
/// rate of at most q.
pub fn benjamini_hochberg(values: &[f64]) -> Vec<f64> {
    adjusted(values, true, |value, rank, all| value * all as f64 / rank as f64)
}

/// Holm's adjusted p values (1979), in the order given: those below α are found with a chance of at most α of any error.
pub fn holm(values: &[f64]) -> Vec<f64> {
    adjusted(values, false, |value, rank, all| value * (all - rank + 1) as f64)
}

fn adjusted(values: &[f64], from_largest: bool, of: fn(f64, usize, usize) -> f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let mut out: Vec<f64> = vec![0.0; values.len()];
    let mut last = if from_largest { 1.0_f64 } else { 0.0 };
    let ranks: Vec<usize> = if from_largest { (0..order.len()).rev().collect() } else { (0..order.len()).collect() };
    for rank in ranks {
        let value = of(values[order[rank]], rank + 1, values.len()).min(1.0);
        last = if from_largest { last.min(value) } else { last.max(value) };
        out[order[rank]] = last;
    }
    out
}
