//! Failed candidates that are changed and judged again: by rustc, at no cost, and by the model that wrote them.
//! Real rustc, real sandbox, real git; the replies of the server are written for the tests.

use llmc::model::purse::Most;
use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::server::{Received, Reply, Server};

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
  - call: double(3)
    returns: 6
  - call: double(21718)
    returns: 43436
    hidden: true
properties:
  - name: even
    forall: { n: i16 }
    holds: double(n as i32) % 2 == 0
  - name: secretly_twice
    forall: { secret: i16 }
    holds: double(secret as i32) == 2 * (secret as i32)
    hidden: true
hidden_tests: |
  #[test]
  fn concealed() { assert_eq!(double(31415), 62830, "planted"); }
sampling: { samples: 4, repairs: 2 }
"#;

/// What stands in hidden checks alone.
const PLANTED: [&str; 8] = ["21718", "43436", "31415", "62830", "planted", "concealed", "secret", "secretly_twice"];

const RIGHT: &str = "```rust\npub fn double(n: i32) -> i32 { n * 2 }\n```";
const SQUARE: &str = "```rust\npub fn double(n: i32) -> i32 { n * n }\n```";
const BROKEN: &str = "```rust\npub fn double(n: i32) -> i32 { twice_of(n) }\n```";
/// Right on all that is shown.
const SHOWN_ONLY: &str = "```rust\npub fn double(n: i32) -> i32 { if n > 20000 { 0 } else { n * 2 } }\n```";
/// rustc knows what to do about it.
const FIXABLE: &str = "```rust\npub fn double(n: i32) -> i32 { n * 2 + length(String::new()) }\n\
                       fn length(text: &str) -> i32 { text.len() as i32 }\n```";

fn env(server: &Server) -> TestEnv {
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    env
}

fn asked(request: &Received) -> String {
    let json = request.json();
    let messages = json["messages"].as_array().unwrap().iter();
    messages.map(|message| message["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
}

fn is_repair(request: &Received) -> bool {
    asked(request).contains("This was a first attempt")
}

/// A server that answers independent draws with `first` and repairs with `then`.
fn server(first: &'static str, then: &'static str) -> Server {
    Server::answering(move |request, _| Reply::chat(if is_repair(request) { then } else { first }))
}

fn build(env: &TestEnv, more: &[&str], code: i32) -> Run {
    env.llmc(&[&["build", "--message-format", "json"], more].concat()).expect(code)
}

fn events<'a>(all: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    all.iter().filter(move |event| event["event"] == name)
}

fn provenance(env: &TestEnv) -> Value {
    let file: Value = serde_json::from_str(&env.read("generated/provenance/double.json")).unwrap();
    let byproducts = file["predicate"]["runDetails"]["byproducts"].as_array().unwrap().iter();
    byproducts.map(|one| (one["name"].as_str().unwrap().to_owned(), one["annotations"].clone())).collect()
}

#[test]
fn a_candidate_that_fails_is_sent_back_and_what_comes_of_it_is_frozen_with_its_lineage() {
    let server = server(SQUARE, RIGHT);
    let env = env(&server);
    let run = build(&env, &[], 0);
    let events_told = run.events();
    let mut repaired: Vec<&Value> = events(&events_told, "repaired").collect();
    // Those of a round are told as they are judged.
    repaired.sort_by_key(|event| event["repair"].as_u64());
    let first = repaired[0];
    assert_eq!((&first["by"], &first["from"], &first["passed"]), (&"model".into(), &"1".into(), &true.into()));
    assert_eq!((&first["repair"], &first["of"], &first["candidate"]), (&1.into(), &2.into(), &"5".into()));

    // It passes, and no statistic knows of it.
    let finished = run.finished();
    assert_eq!((&finished["status"], &finished["passed"]), (&"built".into(), &0.into()));
    assert_eq!((&finished["sampled"], &finished["chosen"]["sample"]), (&4.into(), &5.into()));
    assert_eq!(finished["clusters"], serde_json::json!([{"size": 4, "passed": false}]));
    let record = provenance(&env);
    let statistics = &record["statistics"];
    assert_eq!((&statistics["counts"]["sampled"], &statistics["counts"]["passed"]), (&4.into(), &0.into()));
    assert_eq!((&statistics["pass_rate"]["passed"], &statistics["pass_rate"]["trials"]), (&0.into(), &4.into()));
    assert_eq!(statistics["clusters"][0]["share"], 1.0);
    // Each draw of this server takes 7 tokens; what repairs cost counts.
    assert_eq!(statistics["usage"]["completion_tokens"], 7 * (4 + repaired.len()));

    let steps = record["repairs"]["list"].as_array().unwrap();
    assert_eq!(steps.len(), 1);
    let step = &steps[0];
    assert_eq!((&step["by"], &step["sample"], &step["model"]), (&"model".into(), &0.into(), &"openai/test".into()));
    assert_eq!((&step["class"], &step["code"]), (&"misinterpretation".into(), &"example-2".into()));
    assert!(step["detail"].as_str().unwrap().contains("double(3)"), "{step}");
    assert_eq!(step["parent"], llmc::digest::sha256(SQUARE));
    assert_eq!(step["prompt"].as_str().unwrap().len(), 64);
    let message = env.git(&["log", "-1", "--format=%B"]);
    assert!(message.contains("Llmc-Sample: 1/4\nLlmc-Pass-Rate: 0/4\nLlmc-Repairs: 1\n"), "{message}");
    assert!(env.read("generated/src/double.rs").contains("n * 2"));
    assert_eq!(build(&env, &[], 0).finished()["status"], "fresh");

    let told = env.llmc(&["show", "double"]).expect(0).stdout;
    assert!(told.contains("repaired") && told.contains("example-2"), "{told}");
    let samples = env.llmc(&["show", "double", "--samples"]).expect(0).stdout;
    assert!(samples.contains("── sample 5: passed; a repair of sample 1; "), "{samples}");
}

#[test]
fn the_same_build_again_asks_for_nothing_and_takes_the_same_way() {
    // Nothing passes, so that the next build begins anew.
    let server = server(SQUARE, BROKEN);
    let env = env(&server);
    let ways = |run: &Run| -> Vec<String> {
        let events_told = run.events();
        let told = events(&events_told, "repaired").map(|event| format!("{} {}", event["from"], event["candidate"]));
        let mut ways: Vec<String> = told.collect();
        ways.sort();
        ways
    };
    let first = build(&env, &[], 3);
    let requests = server.received().len();
    assert_eq!(server.received().iter().filter(|request| is_repair(request)).count(), 2);
    assert_eq!(requests, 6);
    let second = build(&env, &[], 3);
    assert_eq!(server.received().len(), requests);
    assert_eq!(second.finished()["tokens"], 0);
    assert_eq!(ways(&first), ways(&second));
    assert!(second.events().iter().filter(|event| event["event"] == "sampled").all(|event| event["replayed"] == true));

    // What a model was told is in the ledger with what it began from, and in no pass rate.
    let stats = env.llmc(&["ledger", "stats", "--message-format", "json"]).expect(0).events();
    let day = stats.iter().find(|event| event["event"] == "spending").unwrap();
    assert_eq!((&day["samples"], &day["judged"], &day["passed"]), (&6.into(), &4.into(), &0.into()));
    let exported = env.llmc(&["ledger", "export"]).expect(0).stdout;
    assert_eq!(exported.lines().filter(|line| line.contains(r#""phase":"repair""#)).count(), 2);
}

#[test]
fn an_estimate_covers_the_repairs() {
    let server = server(SQUARE, "```rust\npub fn double(n: i32) -> i32 { n + n * n }\n```");
    let env = env(&server);
    let events = env.llmc(&["build", "--estimate", "--message-format", "json"]).expect(0).events();
    assert_eq!(events[0]["repairs"], 2);
    let most = events[1]["most"]["tokens"].as_u64().unwrap();
    build(&env, &[], 3);
    assert_eq!(server.received().iter().filter(|request| is_repair(request)).count(), 2);
    let taken: u64 = server.received().iter().map(|request| Most::of_body(&request.json())).map(all_of).sum();
    assert!(taken <= most, "{taken} of {most}");
}

fn all_of(most: Most) -> u64 {
    most.prompt + most.completion.unwrap()
}

#[test]
fn what_is_too_long_is_not_sent_back() {
    let long = format!("```rust\npub fn double(n: i32) -> i32 {{ \"{}\".len() as i32 + n }}\n```", "a".repeat(17_000));
    let server = Server::answering(move |request, _| Reply::chat(if is_repair(request) { RIGHT } else { &long }));
    let env = env(&server);
    build(&env, &[], 3);
    // All that is left to do is to draw afresh.
    assert_eq!((server.received().len(), server.received().iter().any(is_repair)), (4, false));
}

#[test]
fn nothing_is_repaired_once_something_passes_and_repairs_are_off_unless_asked_for() {
    let mixed = Server::answering(|_, number| Reply::chat(if number == 0 { RIGHT } else { SQUARE }));
    let env_of_mixed = env(&mixed);
    assert_eq!(build(&env_of_mixed, &["--stop", "all"], 0).finished()["sampled"], 4);
    assert!(!mixed.received().iter().any(is_repair));

    let failing = server(SQUARE, RIGHT);
    let env_of_failing = TestEnv::with_server(&failing.url);
    env_of_failing.write("specs/double.yaml", &SPEC.replace(", repairs: 2", ", repairs: 0"));
    build(&env_of_failing, &[], 3);
    assert_eq!(failing.received().len(), 4);
}

#[test]
fn nothing_of_a_hidden_check_is_in_any_prompt_and_what_only_they_refuse_is_not_sent_back() {
    for (first, then, repairs) in
        [(SQUARE, SQUARE, true), (BROKEN, SHOWN_ONLY, true), (SHOWN_ONLY, RIGHT, false), (SQUARE, SHOWN_ONLY, true)]
    {
        let server = server(first, then);
        let env = env(&server);
        let code = if first == SHOWN_ONLY || then != RIGHT { 3 } else { 0 };
        build(&env, &["--stop", "all"], code);
        assert_eq!(server.received().iter().any(is_repair), repairs, "{first}");
        for request in server.received() {
            let asked = asked(&request);
            // "secret" alone is no word of the template either.
            for planted in PLANTED {
                assert!(!asked.contains(planted), "{planted}\n{asked}");
            }
            assert!(!asked.contains("hidden"), "{asked}");
            // No folder of this machine.
            assert!(!asked.contains("/tmp") && !asked.contains("/llmc/") && !asked.contains("/home"), "{asked}");
        }
    }
}

#[test]
fn a_model_is_told_what_was_called_expected_and_got_or_what_the_compiler_says() {
    for (first, told) in [
        (SQUARE, vec!["double(3)", "6", "9", "It fails this check", "n * n", "Twice a number."]),
        (BROKEN, vec!["E0425", "twice_of", "It does not compile", "double.rs:2:5", "pub fn double(n: i32) -> i32"]),
    ] {
        let server = server(first, RIGHT);
        let env = env(&server);
        build(&env, &[], 0);
        let requests = server.received();
        let repair = asked(requests.iter().find(|request| is_repair(request)).unwrap());
        for words in told {
            assert!(repair.contains(words), "{words}\n{repair}");
        }
    }
}

#[test]
fn a_repair_template_of_the_workspace_takes_the_place_of_the_built_in_one() {
    let server = Server::answering(|request, _| {
        Reply::chat(if asked(request).contains("Mend double") { RIGHT } else { SQUARE })
    });
    let env = env(&server);
    env.write("templates/repair.user.tera", "Mend {{ name }}.\n{{ failure }}\n```rust\n{{ code }}\n```\n");
    build(&env, &[], 0);
}

#[test]
fn what_rustc_knows_how_to_fix_is_fixed_for_nothing_and_counts_for_nothing() {
    let server = server(FIXABLE, SQUARE);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", &SPEC.replace("samples: 4, repairs: 2", "samples: 2"));
    let run = build(&env, &[], 0);
    let events_told = run.events();
    let fixed: Vec<&Value> = events(&events_told, "repaired").collect();
    assert!(fixed.iter().all(|event| event["by"] == "rustc" && event["repair"].is_null()), "{run}");
    assert!(fixed.iter().any(|event| event["candidate"] == "1-fixed" && event["passed"] == true), "{run}");
    // Each sample keeps its own verdict.
    let own = events(&events_told, "verdict").find(|event| event["candidate"] == "1").unwrap();
    assert_eq!((&own["phase"], &own["code"]), (&"compile".into(), &"E0308".into()));
    let finished = run.finished();
    assert_eq!((&finished["passed"], &finished["compiled"]), (&0.into(), &0.into()));
    assert_eq!((&finished["chosen"]["sample"], server.received().len()), (&1.into(), 2));
    let step = &provenance(&env)["repairs"]["list"][0];
    assert_eq!((&step["by"], &step["code"], &step["sample"]), (&"rustc".into(), &"E0308".into(), &0.into()));
    assert!(step["model"].is_null() && step["detail"].as_str().unwrap().contains("borrow"), "{step}");
    assert!(env.read("generated/src/double.rs").contains("&String::new()"));
}
