//! Many measurements of one planted distribution, through the command: what their intervals promise, they keep.
//!
//! The model is a file of replies that are drawn here, each program with its known weight. Real rustc, real sandbox.

use serde_json::Value;

use crate::env::TestEnv;

const SPEC: &str = r#"llmc: 1
name: twice
description: Twice as much.
signature: "pub fn twice(n: u8) -> u8"
examples:
  - { call: twice(3), returns: "6" }
"#;

/// Bodies with their weights. The first three pass and part where twice as much is no `u8`; one is wrong, and one does
/// not compile.
const PLANTED: [(&str, f64); 5] = [
    ("n.wrapping_mul(2)", 0.45),
    ("n.saturating_mul(2)", 0.2),
    ("n.checked_mul(2).unwrap_or(0)", 0.1),
    ("n", 0.15),
    ("double(n)", 0.1),
];
const PASSING: usize = 3;
/// Draws of a measurement.
const DRAWS: usize = 24;

/// What is true of the distribution: the pass rate, and of what passes the entropy in bits and the dissent.
fn truth() -> (f64, f64, f64) {
    let rate: f64 = PLANTED[..PASSING].iter().map(|(_, weight)| weight).sum();
    let shares = PLANTED[..PASSING].iter().map(|(_, weight)| weight / rate);
    let entropy = shares.clone().map(|share| -share * share.log2()).sum();
    (rate, entropy, 1.0 - shares.map(|share| share * share).sum::<f64>())
}

/// How many of so many measurements hold the true pass rate, entropy and dissent in their intervals; and the means of
/// what is told of entropy (as it is, and corrected) and dissent.
fn measured(times: usize) -> ([usize; 3], [f64; 3]) {
    let env = TestEnv::workspace();
    env.write("specs/twice.yaml", SPEC);
    let mut state = 5_u64;
    let mut fraction = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (rate, entropy, dissent) = truth();
    let (mut held, mut means) = ([0; 3], [0.0; 3]);
    for time in 0..times {
        let drawn: Vec<usize> = (0..DRAWS)
            .map(|_| {
                let mut rest = fraction();
                let at = PLANTED.iter().position(|(_, weight)| {
                    rest -= weight;
                    rest < 0.0
                });
                at.unwrap_or(PLANTED.len() - 1)
            })
            .collect();
        let line = |at: &usize| {
            let text = format!("```rust\npub fn twice(n: u8) -> u8 {{\n    {}\n}}\n```", PLANTED[*at].0);
            format!("{}\n", serde_json::json!({ "text": text }))
        };
        env.write("drawn.jsonl", &drawn.iter().map(line).collect::<String>());
        let number = DRAWS.to_string();
        let arguments =
            ["measure", "twice", "--model", "replay/drawn.jsonl", "-n", &number, "--message-format", "json"];
        let events = env.llmc(&arguments).expect(0).events();
        let found = events.iter().find(|event| event["event"] == "measured").expect("it was measured");
        let count = |wanted: fn(&usize) -> bool| drawn.iter().filter(|at| wanted(at)).count();
        let counts = (count(|_| true), count(|at| *at < 4), count(|at| *at < PASSING));
        let told = ["sampled", "compiled", "passed"].map(|name| found[name].as_u64().unwrap() as usize);
        assert_eq!((told[0], told[1], told[2]), counts, "measurement {time}: {found}");
        let holds = |interval: &Value, value: f64| {
            let [low, high] = ["low", "high"].map(|end| interval[end].as_f64().expect("an interval has ends"));
            usize::from(low <= value && value <= high)
        };
        let spread = &found["spread"];
        held[0] += holds(&found["pass_rate"], rate);
        held[1] += holds(&spread["entropy_interval"], entropy);
        held[2] += holds(&spread["dissent_interval"], dissent);
        for (mean, name) in means.iter_mut().zip(["entropy", "entropy_corrected", "dissent"]) {
            *mean += spread[name].as_f64().unwrap() / times as f64;
        }
    }
    (held, means)
}

#[test]
fn a_few_measurements_of_a_planted_distribution_hold_what_was_planted() {
    // What is drawn is always the same, so this holds or it does not.
    let (held, _) = measured(4);
    assert!(held.iter().all(|count| *count >= 3), "{held:?}");
}

/// `cargo test --no-default-features --features cli --test it -- --ignored two_hundred_measurements --nocapture`
#[test]
#[ignore = "takes minutes: two hundred runs of the command"]
fn two_hundred_measurements_hold_what_was_planted_as_often_as_they_promise() {
    let (held, means) = measured(200);
    let (rate, entropy, dissent) = truth();
    println!("true: pass rate {rate:.3}, entropy {entropy:.3} bits, dissent {dissent:.3}");
    println!("of 200 intervals so many hold it: pass rate {}, entropy {}, dissent {}", held[0], held[1], held[2]);
    println!("means: entropy {:.3}, corrected {:.3}, dissent {:.3}", means[0], means[1], means[2]);
    // 95 % of them, less two standard errors.
    let least = 200.0 * (0.95 - 2.0 * (0.95_f64 * 0.05 / 200.0).sqrt());
    assert!(held.iter().all(|count| *count as f64 >= least), "{held:?}, at least {least:.1}");
    // Dissent is told without bias. Entropy is too low as it is, and the correction brings it nearer.
    assert!((means[2] - dissent).abs() < 0.02, "{means:?} {dissent}");
    assert!(means[0] < entropy && (means[1] - entropy).abs() < (means[0] - entropy).abs(), "{means:?} {entropy}");
}
