//! `llmc measure` on planted distributions: a server that answers with known programs. Real rustc, real sandbox.

use serde_json::Value;

use crate::env::TestEnv;
use crate::server::{Reply, Server};

const SPEC: &str = r#"llmc: 1
name: slug
description: A title as a slug.
signature: "pub fn slug(title: &str) -> String"
examples:
  - call: slug("Hello World")
    returns: '"hello-world"'
sampling: { samples: 8 }
"#;

/// Passes.
const RIGHT: &str = "```rust\npub fn slug(title: &str) -> String {\n    title.split_whitespace().collect::<Vec<_>>().join(\"-\").to_lowercase()\n}\n```";
/// Passes, and is another reading: white space at the ends and in a row counts.
const OTHER: &str =
    "```rust\npub fn slug(title: &str) -> String {\n    title.replace(' ', \"-\").to_lowercase()\n}\n```";
const WRONG: &str = "```rust\npub fn slug(title: &str) -> String {\n    title.to_owned()\n}\n```";
const BROKEN: &str = "```rust\npub fn slug(title: &str) -> String {\n    sluggify(title)\n}\n```";

/// Eight draws: four of one reading, two of the other, one that is wrong and one that does not compile.
fn planted() -> Server {
    let replies = [RIGHT, OTHER, RIGHT, WRONG, RIGHT, OTHER, BROKEN, RIGHT];
    Server::answering(move |_, number| Reply::chat(replies[number % replies.len()]))
}

fn env(server: &Server) -> TestEnv {
    let env = TestEnv::with_server(&server.url);
    env.write("specs/slug.yaml", SPEC);
    env
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn a_planted_distribution_is_measured_as_it_is_and_its_readings_are_told_apart() {
    let server = planted();
    let env = env(&server);
    let before = env.git(&["status", "--porcelain"]);
    let events = env.llmc(&["measure", "slug", "--message-format", "json"]).expect(0).events();
    let measured = of(&events, "measured")[0];
    let counts = ["sampled", "parsed", "compiled", "passed"].map(|name| measured[name].as_u64().unwrap());
    assert_eq!(counts, [8, 8, 7, 6]);
    assert!((measured["pass_rate"]["low"].as_f64().unwrap() - 0.409).abs() < 0.001, "{measured}");
    assert_eq!(measured["pass_at"][0]["chance"], 0.75);
    let sizes: Vec<u64> =
        measured["clusters"].as_array().unwrap().iter().map(|one| one["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [4, 2, 1]);
    // Of six that pass, four and two: 1 − (12 + 2)/30.
    assert!((measured["spread"]["dissent"].as_f64().unwrap() - 16.0 / 30.0).abs() < 1e-9);
    let telling = of(&events, "telling");
    let parts =
        |event: &&&Value| event["outcomes"].as_array().unwrap().iter().filter(|one| one["passing"][0] != 0).count() > 1;
    assert!(telling.iter().any(|event| parts(&event)), "{telling:?}");
    // Nothing was written or committed, and what was drawn is drawn once.
    assert_eq!(env.git(&["status", "--porcelain"]), before);
    let told = env.llmc(&["measure", "slug"]).expect(0);
    assert_eq!(server.received().len(), 8);
    assert!(told.stdout.starts_with("slug: 8 samples of openai/test, 8 of them in the ledger already\n"), "{told}");
    for expected in [
        "6 of 8: 75% (95% interval 41% to 93%)",
        "1 × hallucination (E0425 1)",
        "4 of 6 that pass do as sample",
        "two that pass differ with a chance of 53%",
        "inputs on which programs differ",
    ] {
        assert!(told.stdout.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn a_build_goes_on_from_what_was_measured() {
    let server = planted();
    let env = env(&server);
    env.llmc(&["measure", "slug", "-n", "8"]).expect(0);
    let run = env.llmc(&["build", "--stop", "all", "--message-format", "json"]).expect(0);
    assert_eq!((&run.finished()["sampled"], &run.finished()["replayed"]), (&8.into(), &8.into()));
    assert_eq!(server.received().len(), 8);
}

#[test]
fn factors_are_varied_one_at_a_time() {
    let server = planted();
    let env = env(&server);
    let events =
        env.llmc(&["measure", "slug", "--vary", "temperature=0.2,0.9", "--message-format", "json"]).expect(0).events();
    let labels: Vec<&Value> = of(&events, "measured").into_iter().map(|event| &event["setting"]).collect();
    assert_eq!(labels, ["temperature 0.2", "temperature 0.9"]);
    let temperatures: Vec<f64> =
        server.received().iter().map(|one| one.json()["temperature"].as_f64().unwrap()).collect();
    assert_eq!(temperatures.iter().filter(|one| (**one - 0.2).abs() < 0.01).count(), 8, "{temperatures:?}");

    let told = env.llmc(&["measure", "slug", "--vary", "examples"]).expect(0);
    assert!(told.stdout.contains("examples not shown") && told.stdout.contains("95% interval"), "{told}");
    let prompts = server.received().iter().skip(16).map(|one| one.json().to_string()).collect::<Vec<_>>();
    assert_eq!(prompts.iter().filter(|text| text.contains("hello-world")).count(), 8);
    // They judge all the same.
    assert!(told.stdout.lines().filter(|line| line.contains("75%")).count() >= 2, "{told}");

    let run = env.llmc(&["measure", "slug", "--vary", "shots"]).expect(1);
    assert!(run.stderr.contains("has no worked examples to leave out"), "{run}");
    let run = env.llmc(&["measure", "slug", "--vary", "luck"]).expect(1);
    assert!(run.stderr.contains("`luck` is nothing that can be varied"), "{run}");
}

#[test]
fn another_model_is_held_against_the_first() {
    // The other model has another reading.
    let server =
        Server::answering(|request, _| Reply::chat(if request.json()["model"] == "other" { OTHER } else { RIGHT }));
    let env = env(&server);
    let run = env.llmc(&["measure", "slug", "--against", "openai/other", "--message-format", "json"]).expect(0);
    let events = run.events();
    let drift = of(&events, "drift")[0];
    assert!(drift["pass_rate_p"].as_f64().unwrap() > 0.9, "{drift}");
    assert!(drift["outputs_p"].as_f64().unwrap() < 0.01, "{drift}");
    let told = env.llmc(&["measure", "slug", "--against", "openai/other"]).expect(0);
    assert!(told.stdout.contains("outputs     differ (p = 0.00"), "{told}");
    assert!(told.stdout.contains("8 / 0") && told.stdout.contains("0 / 8"), "{told}");
}
