//! What programs do, held against each other: with the real compiler, in the real sandbox.

use llmc::behaviour::{Behaviours, Kind, Options, Origin, compare};
use llmc::candidate::{self, Candidate};
use llmc::spec::Spec;

use crate::validate::VALIDATOR;

fn spec(interface: &str, rest: &str) -> Spec {
    let interface: String = interface.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("llmc: 1\nname: it\ndescription: x\ninterface: |\n{interface}{rest}");
    llmc::spec::parse("specs/it.yaml", "it", text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).0
}

fn candidates(spec: &Spec, sources: &[&str]) -> Vec<Candidate> {
    let one = |source: &&str| candidate::from_source(source, spec).unwrap_or_else(|verdict| panic!("{verdict:?}"));
    sources.iter().map(one).collect()
}

fn compared(spec: &Spec, sources: &[&str], options: &Options) -> Behaviours {
    let candidates = candidates(spec, sources);
    let checks = VALIDATOR.prepare(spec, &[]).unwrap();
    compare(&VALIDATOR, &checks, &candidates.iter().collect::<Vec<_>>(), options).unwrap()
}

const ONE: &str = "examples:\n  - { call: \"1\", returns: \"1\" }\n";

#[test]
fn programs_that_part_are_told_apart_by_a_small_input() {
    let spec = spec(
        "pub fn slug(title: &str) -> String;",
        "examples:\n  - { call: 'slug(\"Hello, World!\")', returns: '\"hello-world\"' }\n",
    );
    let split = "title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty())";
    let behaviours = compared(
        &spec,
        &[
            &format!(
                "pub fn slug(title: &str) -> String {{ {split}.map(str::to_ascii_lowercase).collect::<Vec<_>>().join(\"-\") }}"
            ),
            &format!(
                "pub fn slug(title: &str) -> String {{ {}.map(str::to_lowercase).collect::<Vec<_>>().join(\"-\") }}",
                split.replace("is_ascii_", "is_")
            ),
            &format!(
                "pub fn slug(t: &str) -> String {{ let title = t; {split}.map(|p| p.to_ascii_lowercase()).collect::<Vec<String>>().join(\"-\") }}"
            ),
        ],
        &Options::default(),
    );
    assert_eq!(behaviours.clusters, [vec![0, 2], vec![1]]);
    let split = &behaviours.splits[0];
    assert!(split.call.len() < 14, "{split:?}");
    assert_eq!(split.classes[0], split.classes[2]);
    assert_eq!(behaviours.observations[0].call, "slug(\"Hello, World!\")");
    assert_eq!(behaviours.observations[0].outcomes[0].text, "\"hello-world\"");
    assert!(behaviours.coverage.drawn >= 300, "{:?}", behaviours.coverage);
}
