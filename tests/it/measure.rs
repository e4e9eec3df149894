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

/// Eight draws of one reading (of `first`), and then of the other.
fn moved(first: &'static [&'static str]) -> Server {
    Server::answering(move |_, number| Reply::chat(if number < 8 { first[number % first.len()] } else { OTHER }))
}

#[test]
fn fresh_draws_are_held_against_a_commit_and_its_code() {
    let server = moved(&[RIGHT, OTHER, RIGHT, WRONG, RIGHT, OTHER, BROKEN, RIGHT]);
    let env = env(&server);
    env.llmc(&["build", "--stop", "all", "--message-format", "json"]).expect(0);
    let (head, before) = (env.git(&["rev-parse", "HEAD"]), env.git(&["status", "--porcelain"]));
    let measure = ["measure", "slug", "--against", "HEAD", "--message-format", "json"];
    let run = env.llmc(&measure).expect(0);
    let events = run.events();
    // What the build drew is not drawn again: what is fresh came after it.
    assert_eq!(server.received().len(), 16);
    let measured = of(&events, "measured");
    assert_eq!(measured.len(), 1);
    assert_eq!(
        (&measured[0]["sampled"], &measured[0]["passed"], &measured[0]["replayed"]),
        (&8.into(), &8.into(), &0.into())
    );
    let held = of(&events, "before")[0];
    assert_eq!((&held["commit"], &held["model"]), (&head.trim().into(), &"openai/test".into()));
    assert_eq!((&held["sampled"], &held["passed"], &held["fixed"]), (&8.into(), &6.into(), &true.into()));
    assert_eq!((&held["clusters"], &held["changed"]), (&serde_json::json!([4, 2]), &serde_json::json!([])), "{held}");
    // None of eight: at most 37% (Clopper and Pearson: 1 − 0.025^(1/8)).
    assert_eq!((&held["alike"]["same"], &held["alike"]["of"]), (&0.into(), &8.into()));
    assert!((held["alike"]["high"].as_f64().unwrap() - 0.3694).abs() < 0.001, "{held}");
    let p = of(&events, "drift")[0]["pass_rate_p"].as_f64().unwrap();
    assert!(p > 0.1 && p < 0.6, "{p}");
    // The inputs on which it moved, with what the commit does.
    let first = of(&events, "telling")[0]["outcomes"].as_array().unwrap().clone();
    let counts: Vec<(bool, u64)> =
        first.iter().map(|one| (one["committed"].as_bool().unwrap(), one["draws"][0].as_u64().unwrap())).collect();
    assert!(counts.contains(&(true, 0)) && counts.contains(&(false, 8)), "{counts:?}");
    // Asked the same again, they are in the ledger; nothing was written.
    let told = env.llmc(&["measure", "slug", "--against", head.trim()]).expect(0);
    assert_eq!(server.received().len(), 16);
    assert_eq!(env.git(&["status", "--porcelain"]), before);
    let short = env.git(&["rev-parse", "--short", "HEAD"]);
    for expected in [
        "where 6 of 8 passed, in groups of 4, 2:".to_owned(),
        "pass rates  no difference was found".to_owned(),
        format!("0 of 8 that pass now do as the code at {} does", short.trim()),
        "(0%; 95% interval 0% to 37%)".to_owned(),
        format!("*: what the code at {} does:", short.trim()),
    ] {
        assert!(told.stdout.contains(&expected), "{expected}\n{told}");
    }
    // Another spec is said to be one.
    env.write("specs/slug.yaml", &SPEC.replace("A title as a slug.", "A title as a slug, in lower case."));
    let told = env.llmc(&["measure", "slug", "--against", "HEAD"]).expect(0);
    assert!(told.stdout.contains("the spec was another one then"), "{told}");
    assert!(told.stdout.contains("that pass now do as the code at"), "{told}");
}

#[test]
fn what_can_not_be_held_against_costs_nothing() {
    let server = planted();
    let env = env(&server);
    let empty = env.llmc(&["measure", "slug", "--against", "HEAD"]).expect(1);
    assert!(empty.stderr.contains("git knows no revision `HEAD`"), "{empty}");
    env.git(&["add", "."]);
    env.git(&["commit", "-qm", "one"]);
    let unbuilt = env.llmc(&["measure", "slug", "--against", "HEAD"]).expect(1);
    assert!(unbuilt.stderr.contains("there is no artifact `slug` in "), "{unbuilt}");
    let unknown = env.llmc(&["measure", "slug", "--against", "no/where"]).expect(1);
    assert!(unknown.stderr.contains("git knows no revision `no/where`"), "{unknown}");
    assert!(unknown.stderr.contains("--against takes a revision of git's"), "{unknown}");
    let none = env.llmc(&["measure", "slug", "--against", "2001-01-01"]).expect(1);
    assert!(none.stderr.contains("the ledger has no draw of `slug` by openai/test until `2001-01-01`"), "{none}");
    let wrong = env.llmc(&["measure", "slug", "--against", "2026-02-30"]).expect(1);
    assert!(wrong.stderr.contains("`2026-02-30` is no time"), "{wrong}");
    let late = env.llmc(&["measure", "slug", "--against", "9999-01-01"]).expect(1);
    assert!(late.stderr.contains("`9999-01-01` is not over yet"), "{late}");
    assert_eq!(server.received().len(), 0);
}

/// The second that has just ended, waiting for its end.
fn second() -> String {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let this = now();
    while now() == this {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    llmc::provenance::rfc3339(this)
}

#[test]
fn fresh_draws_are_held_against_those_that_the_ledger_has_until_a_time() {
    let server = moved(&[RIGHT]);
    let env = env(&server);
    env.llmc(&["measure", "slug"]).expect(0);
    let then = second();
    let events = env.llmc(&["measure", "slug", "--against", &then, "--message-format", "json"]).expect(0).events();
    assert_eq!(server.received().len(), 16);
    let measured = of(&events, "measured");
    let settings: Vec<(&str, u64)> =
        measured.iter().map(|one| (one["setting"].as_str().unwrap(), one["passed"].as_u64().unwrap())).collect();
    assert_eq!(settings, [(then.as_str(), 8), ("now", 8)]);
    let drift = of(&events, "drift")[0];
    assert!(drift["pass_rate_p"].as_f64().unwrap() > 0.9, "{drift}");
    assert!(drift["outputs_p"].as_f64().unwrap() < 0.01, "{drift}");
    let held = of(&events, "before")[0];
    assert_eq!((&held["sampled"], &held["fixed"], &held["changed"]), (&8.into(), &true.into(), &serde_json::json!([])));
    let told = env.llmc(&["measure", "slug", "--against", &then]).expect(0);
    assert_eq!(server.received().len(), 16);
    assert!(told.stdout.contains("outputs     differ (p = 0.00"), "{told}");
    assert!(told.stdout.contains("8 / 0") && told.stdout.contains("0 / 8"), "{told}");

    // A time at which there was nothing, and another model.
    let run = env.llmc(&["measure", "slug", "--against", "2001-01-01"]).expect(1);
    assert!(run.stderr.contains("the first one that it has is of 20"), "{run}");
    let run = env.llmc(&["measure", "slug", "--against", &then, "--model", "openai/other"]).expect(1);
    assert!(run.stderr.contains("until then it has draws by openai/test: --model says whom"), "{run}");
    assert_eq!(server.received().len(), 16);

    // With another prompt it is the spec that moved, or may be.
    env.write("specs/slug.yaml", &SPEC.replace("A title as a slug.", "A title as a slug, in lower case."));
    let told = env.llmc(&["measure", "slug", "--against", &then]).expect(0);
    assert!(told.stdout.contains("the prompt was another one then"), "{told}");
    assert!(told.stdout.contains("where 8 of 8 passed:"), "{told}");
}
