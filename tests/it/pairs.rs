//! Programs that models wrote, told apart by hidden tests: `behaviour`, which is not given these, tells them apart too.
//!
//! All pairs are measured by `examples/pairs.rs`; docs/diff.md has what it found.

use std::path::Path;

use llmc::behaviour::{Options, compare};
use llmc::candidate::{self, Candidate};
use llmc::model::Finish;
use llmc::spec::Spec;

use crate::validate::VALIDATOR;

fn spec(name: &str) -> Spec {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/mbpp").join(format!("{name}.yaml"));
    let parsed = llmc::spec::parse(&format!("specs/{name}.yaml"), name, &std::fs::read(path).unwrap());
    parsed.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).0
}

/// The recorded replies of a spec as candidates.
fn candidates(spec: &Spec) -> Vec<Candidate> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/mbpp/replies.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let own = lines.filter(|line| line["spec"] == spec.name.as_str());
    own.filter_map(|line| candidate::from_completion(line["completion"].as_str().unwrap(), Finish::Stop, spec).ok())
        .collect()
}

#[test]
fn what_hidden_tests_tell_apart_is_told_apart_without_them() {
    let mut apart = 0;
    let name = "is_polite";
    let spec = spec(name);
    let mut shown = spec.clone();
    shown.hidden_tests = None;
    let candidates = candidates(&spec);
    let all: Vec<&Candidate> = candidates.iter().collect();
    let verdicts = VALIDATOR.judge_all(&VALIDATOR.prepare(&spec, &[]).unwrap(), &all).unwrap();
    let checks = VALIDATOR.prepare(&shown, &[]).unwrap();
    let options = Options { draws: 150, search: 150, ..Options::default() };
    let behaviours = compare(&VALIDATOR, &checks, &all, &options).unwrap();
    let cluster = |place: usize| behaviours.clusters.iter().position(|cluster| cluster.contains(&place)).unwrap();
    for (place, one) in behaviours.programs.iter().enumerate() {
        for (other_place, other) in behaviours.programs.iter().enumerate().skip(place + 1) {
            let (one, other) = (&verdicts[*one], &verdicts[*other]);
            if (one.is_pass(), &one.code) != (other.is_pass(), &other.code) {
                assert_ne!(cluster(place), cluster(other_place), "{name}: {:?}", behaviours.coverage);
                apart += 1;
            }
        }
    }
    assert!(apart >= 2, "the fixtures hold pairs that hidden tests tell apart: {apart}");
}
