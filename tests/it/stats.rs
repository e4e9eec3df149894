//! The statistics against reference values. `tests/it/data/algorithms-vectors.json` was computed with scipy 1.17.1.

use llmc::stats::{self, Decision, Plan};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("data/algorithms-vectors.json")).unwrap();
    all[name].clone()
}

fn list(name: &str) -> Vec<Value> {
    vectors(name).as_array().unwrap().clone()
}

#[track_caller]
fn close(value: f64, expected: &Value, within: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((value - expected).abs() <= within * expected.abs().max(1.0), "{value} instead of {expected}");
}

fn whole(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

#[test]
fn pass_at_k_and_intervals_are_the_reference_ones() {
    for one in list("pass_at_k") {
        close(stats::pass_at_k(whole(&one["n"]), whole(&one["c"]), whole(&one["k"])), &one["v"], 1e-12);
    }
    for one in list("ci95") {
        let (s, n) = (whole(&one["s"]), whole(&one["n"]));
        for (name, (low, high)) in [
            ("wilson", stats::wilson(s, n)),
            ("cp", stats::clopper_pearson(s, n, 0.05)),
            ("jeffreys", stats::jeffreys(s, n, 0.05)),
        ] {
            close(low, &one[name][0], 1e-12);
            close(high, &one[name][1], 1e-12);
        }
        close(stats::at_least(s, n, 0.05), &one["cp_lower_one_sided"], 1e-12);
    }
}

#[test]
fn evidence_and_confidence_sequences_are_the_reference_ones() {
    for one in list("mixture_conf_seq_uniform_prior_95") {
        let (low, high) = stats::confidence_sequence(whole(&one["s"]), whole(&one["f"]), 0.05);
        close(low, &one["cs"][0], 1e-9);
        close(high, &one["cs"][1], 1e-9);
    }
    for one in list("log_e_mixture") {
        let prior = (one["a"].as_f64().unwrap(), one["b"].as_f64().unwrap());
        let value = stats::log_e_mixture(whole(&one["s"]), whole(&one["f"]), one["p"].as_f64().unwrap(), prior);
        close(value, &one["loge"], 1e-10);
    }
}

#[test]
fn sequential_plans_are_the_reference_ones() {
    for one in list("sequential_plan_beta_1_half_exact") {
        let number = |name: &str| one[name].as_f64().unwrap();
        let plan = Plan::new(number("p"), whole(&one["n_max"]), number("alpha"), number("beta"));
        assert_eq!(serde_json::to_value(&plan.passes).unwrap(), one["pass_n_for_j_failures"]);
        assert_eq!(serde_json::to_value(&plan.fails).unwrap(), one["fail_threshold_by_n"], "{}", one["p"]);
        close(plan.threshold, &one["c"], 1e-9);
        for (rate, expected) in one["oc"].as_object().unwrap() {
            let (pass, fail, open, trials) = plan.characteristic(rate.parse().unwrap());
            for (value, expected) in [pass, fail, open].into_iter().zip(expected.as_array().unwrap()) {
                close(value, expected, 1e-6);
            }
            close(trials, &expected[3], 1e-6);
        }
    }
}

#[test]
fn a_plan_passes_wrongly_no_more_often_than_it_promises() {
    let plan = Plan::new(0.8, 100, 0.05, 0.05);
    let mut state = 11_u64;
    let mut passed = 0;
    let times = 20_000;
    for _ in 0..times {
        let (mut successes, mut failures) = (0, 0);
        while plan.decide(successes, failures) == Decision::Open {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let fraction = (state >> 11) as f64 / (1_u64 << 53) as f64;
            *(if fraction < 0.8 { &mut successes } else { &mut failures }) += 1;
        }
        passed += usize::from(plan.decide(successes, failures) == Decision::Pass);
    }
    let rate = passed as f64 / f64::from(times);
    let error = (0.05_f64 * 0.95 / f64::from(times)).sqrt();
    assert!(rate <= 0.05 + 2.0 * error && rate > 0.03, "{rate}");
}

#[test]
fn differences_of_two_samples_are_the_reference_ones() {
    for one in list("two_by_two") {
        let cell = |row: usize, column: usize| whole(&one["table"][row][column]);
        let table = [[cell(0, 0), cell(0, 1)], [cell(1, 0), cell(1, 1)]];
        close(stats::fisher(table), &one["fisher2"], 1e-10);
        close(stats::fisher_greater(table), &one["fisher_greater"], 1e-10);
        close(stats::boschloo_greater(table), &one["boschloo_greater"], 1e-4);
        close(stats::boschloo(table), &one["boschloo2"], 1e-4);
    }
    let g = vectors("G_test");
    let row = |at: usize| g["table"][at].as_array().unwrap().iter().map(whole).collect::<Vec<_>>();
    let (first, second) = (row(0), row(1));
    let (value, p) = stats::g_test([&first, &second]);
    close(value, &g["G"], 1e-10);
    close(p, &g["chi2_p"], 1e-10);
    close(stats::g_test_exact([&first, &second]).unwrap(), &g["exact_p"], 1e-9);
    let adjust = vectors("BH");
    let values: Vec<f64> = adjust["p"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
    for (value, expected) in stats::benjamini_hochberg(&values).into_iter().zip(adjust["adj"].as_array().unwrap()) {
        close(value, expected, 1e-12);
    }
}

#[test]
fn scores_of_clusters_are_the_reference_ones() {
    let chao1 = vectors("chao1_bias_corrected");
    close(stats::chao1(whole(&chao1["S"]), whole(&chao1["f1"]), whole(&chao1["f2"])), &chao1["v"], 1e-12);
    let row = |text: &str| text.bytes().map(|byte| byte == b'1').collect::<Vec<bool>>();
    let rows: Vec<Vec<bool>> = ["1110", "1110", "1110", "1101", "1000"].map(row).to_vec();
    let b4 = stats::b4(&rows, (stats::B4_ALPHA, stats::B4_BETA));
    for (at, tests, name) in [(0, 3, "[1,1,1,0]x3"), (3, 3, "[1,1,0,1]x1"), (4, 1, "[1,0,0,0]x1")] {
        let programs = rows.iter().filter(|row| **row == rows[at]).count();
        close(stats::codet(programs, tests), &vectors("codet")[name], 1e-12);
        close(b4[at], &vectors("b4_beta0_1e4_alpha_1e3")[name], 1e-8);
    }
}

#[test]
fn the_test_over_many_inputs_finds_differences_and_only_those() {
    let mut state = 5_u64;
    let mut fraction = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    // Ten draws a side on twenty inputs, of two outcomes; the second set is moved by so much.
    let mut rejected = |moved: f64, times: usize| {
        let mut rejected = 0;
        for _ in 0..times {
            let mut draw = |rate: f64| (0..10).map(|_| usize::from(fraction() < rate)).collect::<Vec<_>>();
            let inputs: Vec<_> = (0..20).map(|_| (draw(0.3), draw(0.3 + moved))).collect();
            rejected += usize::from(stats::stratified(&inputs, 99, &mut fraction) <= 0.05);
        }
        rejected as f64 / times as f64
    };
    let none = rejected(0.0, 200);
    assert!(none <= 0.05 + 3.0 * (0.05_f64 * 0.95 / 200.0).sqrt(), "{none}");
    let moved = rejected(0.3, 100);
    assert!(moved > 0.8, "{moved}");
}

#[test]
fn programs_that_part_on_many_inputs_are_as_many_witnesses_as_there_are_programs() {
    let mut state = 23_u64;
    let mut fraction = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    // Programs of three behaviours, told apart by thirty inputs: each draw is one program on all of them.
    let rejected = |moved: f64, times: usize, fraction: &mut dyn FnMut() -> f64, test: Test| {
        let mut rejected = 0;
        for _ in 0..times {
            let mut draw = |moved: f64| match fraction() {
                x if x < 0.5 - moved => 0,
                x if x < 0.8 - moved => 1,
                _ => 2,
            };
            let one: Vec<usize> = (0..10).map(|_| draw(0.0)).collect();
            let other: Vec<usize> = (0..10).map(|_| draw(moved)).collect();
            let of = |programs: &[usize], input: usize| -> Vec<usize> {
                programs.iter().map(|program| usize::from(*program == input % 3)).collect()
            };
            let inputs: Vec<_> = (0..30).map(|input| (of(&one, input), of(&other, input))).collect();
            rejected += usize::from(test(&inputs, 99, fraction) <= 0.05);
        }
        rejected as f64 / times as f64
    };
    let none = rejected(0.0, 200, &mut fraction, stats::permuted);
    assert!(none <= 0.05 + 3.0 * (0.05_f64 * 0.95 / 200.0).sqrt(), "{none}");
    let moved = rejected(0.5, 60, &mut fraction, stats::permuted);
    assert!(moved > 0.6, "{moved}");
    // Were the inputs taken for independent of each other, chance alone would be a finding.
    let wrong = rejected(0.0, 100, &mut fraction, stats::stratified);
    assert!(wrong > 0.1, "{wrong}");
    // The order of draws is the same on every input, or nothing is said.
    assert_eq!(stats::permuted(&[(vec![0, 0], vec![1, 1]), (vec![0], vec![1, 1])], 9, &mut fraction), 1.0);
    assert_eq!(stats::permuted(&[], 9, &mut fraction), 1.0);
}

type Test = fn(&[(Vec<usize>, Vec<usize>)], usize, &mut dyn FnMut() -> f64) -> f64;

#[test]
fn what_could_have_been_seen_is_as_the_power_of_the_test() {
    // Sixty draws a side see a drop from 0.9 to 0.7 with a power of 83 % (Fisher, one-sided).
    let found = stats::detectable_drop((60, 60), 0.9, 0.05, 0.83).unwrap();
    assert!((found - 0.7).abs() < 0.01, "{found}");
    assert_eq!(stats::detectable_drop((2, 2), 0.9, 0.05, 0.8), None);
    assert_eq!(stats::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
}

/// `cargo test --no-default-features --features cli --test it the_interval_of_entropy -- --nocapture` prints the table of
/// docs/statistics.md.
#[test]
fn the_interval_of_entropy_holds_it_where_there_are_no_more_behaviours_than_half_as_many_as_draws() {
    let mut state = 23_u64;
    let mut fraction = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let with_tail = |first: f64, others: usize| {
        let mut weights = vec![first];
        weights.resize(others + 1, (1.0 - first) / others as f64);
        weights
    };
    let cases: [(&str, Vec<f64>); 8] = [
        ("one", vec![1.0]),
        ("95 %, 5 %", vec![0.95, 0.05]),
        ("half, half", vec![0.5, 0.5]),
        ("60 %, 27 %, 13 %", vec![0.6, 0.27, 0.13]),
        ("four alike", vec![0.25; 4]),
        ("90 %, ten of 1 %", with_tail(0.9, 10)),
        ("half, ten of 5 %", with_tail(0.5, 10)),
        ("fifty alike", vec![0.02; 50]),
    ];
    let times = 400;
    for (name, weights) in cases {
        let entropy: f64 = weights.iter().map(|weight| -weight * weight.ln()).sum();
        let mut row = format!("| {name} | {:.2} |", entropy.max(0.0) / std::f64::consts::LN_2);
        for drawn in [8, 16, 32] {
            let mut known = std::collections::HashMap::new();
            let (mut held, mut width) = (0, 0.0);
            for _ in 0..times {
                let draws: Vec<usize> = (0..drawn)
                    .map(|_| {
                        let mut rest = fraction();
                        let at = weights.iter().position(|weight| {
                            rest -= weight;
                            rest < 0.0
                        });
                        at.unwrap_or(weights.len() - 1)
                    })
                    .collect();
                let mut counts = vec![0; weights.len()];
                draws.iter().for_each(|at| counts[*at] += 1);
                counts.sort_unstable();
                let high = *known.entry(counts.clone()).or_insert_with(|| stats::entropy_at_most(&counts));
                let low = stats::entropy_at_least(stats::dissent_interval(&draws, 0.05).0);
                held += usize::from(low <= entropy + 1e-9 && entropy <= high + 1e-9);
                width += (high - low) / std::f64::consts::LN_2 / f64::from(times);
            }
            let share = held as f64 / f64::from(times);
            row.push_str(&format!(" {:.1} % ({width:.2}) |", 100.0 * share));
            if weights.len() * 2 <= drawn {
                assert!(share >= 0.95 - 3.0 * (0.95_f64 * 0.05 / f64::from(times)).sqrt(), "{row}");
            }
        }
        println!("{row}");
    }
}
