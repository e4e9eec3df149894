//! `llmc build --certify`: the choice is held against fresh samples. Real rustc, real sandbox.

use serde_json::Value;

use crate::env::TestEnv;

const SPEC: &str = r#"llmc: 1
name: twice
description: Twice as much.
signature: "pub fn twice(n: u8) -> u8"
examples:
  - { call: twice(3), returns: "6" }
sampling: { samples: 4, stop: all }
"#;

/// Three readings of a number that is too large; one that fails.
const WRAPS: &str = "n.wrapping_mul(2)";
const STAYS: &str = "n.saturating_mul(2)";
const ENDS: &str = "n.checked_mul(2).unwrap_or(0)";
const WRONG: &str = "n";

/// A workspace whose model gives these bodies, one after the other. What is beyond them can't be drawn.
fn env(bodies: &[&str]) -> TestEnv {
    let env = TestEnv::workspace();
    let line = |body: &&str| {
        let text = format!("```rust\npub fn twice(n: u8) -> u8 {{\n    {body}\n}}\n```");
        format!("{}\n", serde_json::json!({ "text": text }))
    };
    env.write("drawn.jsonl", &bodies.iter().map(line).collect::<String>());
    env.write("llmc.yaml", "model: replay/drawn.jsonl\n");
    env.write("specs/twice.yaml", SPEC);
    env
}

fn certificate(env: &TestEnv) -> Value {
    let provenance: Value = serde_json::from_str(&env.read("generated/provenance/twice.json")).unwrap();
    let byproducts = provenance["predicate"]["runDetails"]["byproducts"].as_array().unwrap();
    byproducts.iter().find(|one| one["name"] == "certificate").unwrap()["annotations"].clone()
}

#[test]
fn what_fresh_samples_agree_with_is_certified_and_those_that_chose_it_do_not_count() {
    // Of the fresh ones one fails, which is no trial; five agree.
    let env = env(&[WRAPS, WRAPS, STAYS, WRAPS, WRAPS, WRONG, WRAPS, WRAPS, WRAPS, WRAPS, STAYS, STAYS]);
    let told = env.llmc(&["build", "--certify"]).expect(0);
    assert!(told.stderr.contains("5 of 5 fresh samples that pass do as the choice does"), "{told}");
    let expected =
        serde_json::json!({"bound": 0.5, "alpha": 0.05, "most": 30, "trials": 5, "agreements": 5, "drawn": 8});
    assert_eq!(certificate(&env), expected);
    assert!(env.git(&["log", "-1", "--name-only"]).contains("generated/src/twice.rs"));
    let shown = env.llmc(&["show", "twice"]).expect(0);
    assert!(shown.stdout.contains("more than 50% of what passes (95% sure)"), "{shown}");
    env.llmc(&["verify"]).expect(0);
    // Statistics are of the samples that the choice was made of.
    assert!(shown.stdout.contains("4 sampled"), "{shown}");
}

#[test]
fn what_fresh_samples_do_not_agree_with_is_not_written_and_an_input_says_why() {
    let mut bodies = vec![WRAPS; 4];
    bodies.extend([STAYS; 20]);
    let env = env(&bodies);
    let before = env.git(&["status", "--porcelain"]);
    for _ in 0..2 {
        // The same build again is no second try.
        let told = env.llmc(&["build", "--certify", "0.5"]).expect(7);
        assert!(told.stderr.contains("`twice` is not certified: only 0 of "), "{told}");
        assert!(told.stderr.contains("for twice(") && told.stderr.contains("the choice gives"), "{told}");
    }
    assert_eq!(env.git(&["status", "--porcelain"]), before);
    // Whoever asks for none gets it.
    env.llmc(&["build"]).expect(0);
    assert!(env.read("generated/src/twice.rs").contains("wrapping_mul"));
}

#[test]
fn what_is_undecided_is_not_written_either() {
    // Half and half, and a third: at 30 trials of which 15 agree nothing is shown.
    let mut bodies = vec![WRAPS; 4];
    (0..20).for_each(|_| bodies.extend([WRAPS, STAYS, WRAPS, ENDS]));
    let env = env(&bodies);
    let told = env.llmc(&["build", "--certify", "0.5"]).expect(8);
    assert!(told.stderr.contains("that is undecided at 50%"), "{told}");
    assert!(!env.path("generated").exists());
    let told = env.llmc(&["build", "--certify", "1"]).expect(1);
    assert!(told.stderr.contains("a share to certify is above 0 and below 0.99"), "{told}");
}
