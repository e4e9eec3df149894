//! `llmc test` with a server that has known habits: the real command, real rustc, real sandbox.

use serde_json::{Value, json};

use crate::env::{Run, TestEnv};
use crate::server::{Received, Reply, Server};

const SPEC: &str = r#"
llmc: 1
name: classify
kind: component
description: Says what a ticket is about.
input: { type: object, properties: { text: { type: string } }, required: [text] }
output: { type: object, properties: { label: { enum: [billing, bug, other] } }, required: [label] }
examples:
  - { input: { text: "refund me" }, output: { label: billing } }
  - { input: { text: "it crashes" }, output: { label: bug }, hidden: true }
  - { input: { text: "hello" }, output: { label: other }, hidden: true }
"#;

/// The right answer to what was asked last.
fn right(received: &Received) -> &'static str {
    let body = received.json();
    let asked = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let input = asked.rsplit("Input:").next().unwrap().to_owned();
    match input {
        input if input.contains("refund") => "billing",
        input if input.contains("crashes") => "bug",
        _ => "other",
    }
}

fn label(label: &str) -> Reply {
    Reply::chat(&json!({ "label": label }).to_string())
}

/// A workspace with the component, expected to be so, and a server; it answers wrongly where `is_wrong` says so.
fn env(expect: &str, is_wrong: impl Fn(usize, &str) -> bool + Send + Sync + 'static) -> (TestEnv, Server) {
    let server = Server::answering(move |received, number| match right(received) {
        right if is_wrong(number, right) => label(if right == "other" { "bug" } else { "other" }),
        right => label(right),
    });
    let env = TestEnv::with_server(&server.url);
    env.write("specs/classify.yaml", &format!("{SPEC}expect: {expect}\n"));
    (env, server)
}

fn tested(run: &Run) -> Value {
    run.events().into_iter().rfind(|event| event["event"] == "tested").unwrap_or_else(|| panic!("no end\n{run}"))
}

#[test]
fn what_holds_passes_with_as_few_calls_as_that_takes() {
    let (env, server) = env("{ agree: 0.8, valid: 0.7 }", |_, _| false);
    let run = env.llmc(&["test", "classify", "--message-format", "json"]).expect(0);
    let end = tested(&run);
    assert_eq!(end["verdict"], "pass");
    let list = env.llmc(&["test", "classify", "--list", "--message-format", "json"]).expect(0).events();
    assert_eq!(end["calls"], list[0]["least"]);
    assert_eq!(server.received().len() as u64, end["calls"].as_u64().unwrap());
    assert_eq!(run.events().iter().filter(|event| event["event"] == "called").count(), server.received().len());
    assert_eq!((&end["cases"], &end["shown"]), (&json!(3), &json!(1)));
    assert_eq!(end["before"], Value::Null);
    assert!(end["findings"][0]["evidence"].as_f64() >= end["findings"][0]["needed"].as_f64());
    // All of it is one run in the ledger, and the next test is held against it.
    let name = end["run"].as_str().unwrap();
    let trace = env.llmc(&["trace", name, "--message-format", "json"]).expect(0);
    assert_eq!(trace.events().len(), server.received().len());
    let run = env.llmc(&["test", "classify"]).expect(0);
    assert!(run.stdout.starts_with("classify: PASS after "), "{run}");
    assert!(run.stdout.contains(&format!("beside {name}: no difference was found (p = 1.000")), "{run}");
    assert!(run.stdout.contains("the model is shown 1 of the 3 cases"), "{run}");
}

#[test]
fn what_does_not_hold_fails_and_the_cases_are_shown() {
    let (env, _server) = env("{ agree: 0.9 }", |_, right| right == "bug");
    let run = env.llmc(&["test", "classify"]).expect(7);
    assert!(run.stdout.starts_with("classify: FAIL after "), "{run}");
    assert!(run.stdout.contains("case 2: {\"text\":\"it crashes\"}\n    expected  {\"label\":\"bug\"}\n"), "{run}");
    assert!(run.stdout.contains("×   {\"label\":\"other\"}\n") && !run.stdout.contains("case 1:"), "{run}");
    let run = env.llmc(&["test", "classify", "--message-format", "junit"]).expect(7);
    assert!(run.stdout.contains("<testsuite name=\"llmc test\" tests=\"1\" failures=\"1\" errors=\"0\""), "{run}");
    assert!(
        run.stdout.contains("name=\"classify agree ≥ 0.9\"") && run.stdout.contains("type=\"expectation\""),
        "{run}"
    );
    assert!(run.stdout.ends_with("</testsuites>\n"), "{run}");
}

#[test]
fn what_can_not_be_told_with_so_many_calls_is_inconclusive() {
    let (env, server) = env("{ agree: 0.8 }", |number, _| number % 5 == 4);
    let end = tested(&env.llmc(&["test", "classify", "--max-runs", "20", "--message-format", "json"]).expect(8));
    assert_eq!((&end["verdict"], &end["calls"]), (&json!("inconclusive"), &json!(20)));
    assert_eq!(server.received().len(), 20);
    let run = env.llmc(&["test", "classify", "--max-runs", "20", "--message-format", "junit"]).expect(8);
    assert!(run.stdout.contains("errors=\"1\"") && run.stdout.contains("type=\"inconclusive\""), "{run}");
}

#[test]
fn answers_that_changed_since_the_last_test_are_told() {
    let is_wrong = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = is_wrong.clone();
    let (env, _server) = env("{ valid: 0.8 }", move |_, _| asked.load(std::sync::atomic::Ordering::SeqCst));
    env.llmc(&["test", "classify"]).expect(0);
    is_wrong.store(true, std::sync::atomic::Ordering::SeqCst);
    // What is expected still holds: the answers fit, and are others.
    let run = env.llmc(&["test", "classify"]).expect(0);
    assert!(run.stdout.contains("drift: the answers differ (p = 0.001"), "{run}");
}

#[test]
fn a_high_rate_is_tested_within_a_cap_and_what_that_takes_is_said_first() {
    let (env, server) = env("{ valid: 0.99 }", |_, _| false);
    let run = env.llmc(&["test", "classify", "--list"]).expect(0);
    assert!(run.stdout.contains("500 at most") && run.stderr.contains("to 500 calls, fewer where it fails"), "{run}");
    assert!(!run.stderr.contains("tokens"), "nothing is recorded yet: {run}");
    let run = env.llmc(&["test", "classify"]).expect(0);
    let asked = server.received().len();
    assert!((299..500).contains(&asked), "{asked}");
    assert!(run.stderr.contains(&format!("{asked} to 500 calls, fewer where it fails")), "{run}");
    // What is too high for so many can fail, and else it stays open; that is said before and after.
    env.write("specs/classify.yaml", &format!("{SPEC}expect: {{ valid: 0.999 }}\n"));
    let run = env.llmc(&["test", "classify", "--list"]).expect(0);
    assert!(run.stderr.contains("with 500 it can fail, and not pass (`--max-runs 2995`)"), "{run}");
    assert!(run.stderr.contains("; about 9000 to 9000 tokens, as the last 256 recorded calls took"), "{run}");
    let run = env.llmc(&["test", "classify", "--max-runs", "20"]).expect(8);
    assert!(
        run.stderr.contains("`valid ≥ 0.999` takes 2995 calls at least: with 20 it can fail, and not pass"),
        "{run}"
    );
    assert!(run.stdout.contains("it takes 2995 calls at least to show (`--max-runs 2995`)"), "{run}");
    let run = env.llmc(&["test", "classify", "--max-runs", "20", "--message-format", "json"]).expect(8);
    let first = &run.events()[0];
    assert_eq!(
        (&first["event"], &first["most"], &first["tokens_per_call"]),
        (&json!("planned"), &json!(20), &json!(18.0))
    );
    assert_eq!(tested(&run)["findings"][0]["least_calls"], 2995);
}

#[test]
fn a_high_rate_that_does_not_hold_fails_soon() {
    let (env, server) = env("{ agree: 0.999 }", |_, _| true);
    env.llmc(&["test", "classify", "-j", "1"]).expect(7);
    assert!(server.received().len() < 10, "{}", server.received().len());
}

#[test]
fn what_can_not_be_tested_is_refused_before_a_call() {
    let (env, server) = env("{ valid: 0.99 }", |_, _| false);
    let run = env.llmc(&["test", "classify", "--max-runs", "4000"]).expect(1);
    assert!(run.stderr.contains("at most 3000 calls can be planned for; these are 4000"), "{run}");
    env.write("specs/classify.yaml", SPEC);
    let run = env.llmc(&["test", "classify"]).expect(1);
    assert!(run.stderr.contains("nothing is expected of `classify`"), "{run}");
    env.write(
        "specs/double.yaml",
        "llmc: 1\nname: double\ndescription: d\nsignature: \"pub fn double(x: u8) -> u8\"\n",
    );
    let run = env.llmc(&["test", "double"]).expect(1);
    assert!(run.stderr.contains("`double` is a function"), "{run}");
    env.write("cases.jsonl", "{\"input\": {\"text\": 1}, \"output\": {\"label\": \"bug\"}}\n");
    env.write("specs/classify.yaml", &format!("{SPEC}expect: {{ agree: 0.8 }}\n"));
    let run = env.llmc(&["test", "classify", "--cases", "cases.jsonl"]).expect(1);
    assert!(run.stderr.contains("case 1 can't be asked: its input does not fit"), "{run}");
    env.write("cases.jsonl", "{\"input\": {\"text\": \"a\"}}\n");
    let run = env.llmc(&["test", "classify", "--cases", "cases.jsonl"]).expect(1);
    assert!(run.stderr.contains("`cases.jsonl`, line 1: no `output`"), "{run}");
    let run = env.llmc(&["test", "classify", "--message-format", "sarif"]).expect(1);
    assert!(run.stderr.contains("`--message-format sarif` is for"), "{run}");
    assert_eq!(server.received().len(), 0);
}

#[test]
fn other_cases_can_be_asked_and_cost_is_bounded() {
    let (env, server) = env("{ agree: 0.8 }", |_, _| false);
    let settings = env.read("llmc.yaml");
    env.write("llmc.yaml", &format!("{settings}prices: {{ \"openai/test\": {{ input: 1000, output: 1000 }} }}\n"));
    env.write(
        "cases.jsonl",
        "{\"id\": 1, \"input\": {\"text\": \"a refund\"}, \"output\": {\"label\": \"billing\"}}\n\n\
         {\"input\": {\"text\": \"nothing\"}, \"output\": {\"label\": \"other\"}}\n",
    );
    let end = tested(&env.llmc(&["test", "classify", "--cases", "cases.jsonl", "--message-format", "json"]).expect(0));
    assert_eq!((&end["cases"], &end["shown"]), (&json!(2), &json!(0)));
    assert!(end["usd"].as_f64() > Some(0.0));
    let asked = server.received().len();
    let run = env.llmc(&["test", "classify", "--max-usd", "0.001", "--message-format", "json"]).expect(8);
    assert_eq!(tested(&run)["verdict"], "inconclusive");
    assert!(tested(&run)["reason"].as_str().unwrap().contains("the budget is spent"), "{run}");
    assert_eq!(server.received().len(), asked);
}

#[test]
fn a_provider_that_fails_is_no_failure_of_the_component() {
    let server = Server::answering(|_, _| Reply::new(401, "{\"error\": {\"message\": \"no such key\"}}"));
    let env = TestEnv::with_server(&server.url);
    env.write("specs/classify.yaml", &format!("{SPEC}expect: {{ agree: 0.8 }}\n"));
    let run = env.llmc(&["test", "classify", "--message-format", "json", "-j", "1"]).expect(5);
    let end = tested(&run);
    assert_eq!((&end["verdict"], &end["calls"]), (&json!("inconclusive"), &json!(0)));
    assert!(end["reason"].as_str().unwrap().contains("the provider failed 3 times"), "{end}");
    assert_eq!(server.received().len(), 3);
}

/// The corpus of examples/ticket-triage is what its README says.
#[test]
fn the_tickets_are_as_they_are_described() {
    let text = std::fs::read_to_string("examples/ticket-triage/corpus/tickets.jsonl").unwrap();
    let tickets: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(tickets.len(), 308);
    let word = |ticket: &Value, key: &str| ticket[key].as_str().unwrap_or_else(|| panic!("{key}: {ticket}")).to_owned();
    for (at, ticket) in tickets.iter().enumerate() {
        assert_eq!(word(ticket, "id"), format!("T-{:04}", at + 1));
        assert!(["billing", "bug", "account", "feature", "other"].contains(&&*word(ticket, "category")), "{ticket}");
        assert!(["low", "normal", "high"].contains(&&*word(ticket, "priority")), "{ticket}");
        let said = format!("{} {}", word(ticket, "subject"), word(ticket, "body"));
        assert_eq!(said.matches("PL-").count() > 0, ticket["order_id"].is_string(), "{ticket}");
        assert!(ticket["order_id"].as_str().is_none_or(|order| said.contains(order)), "{ticket}");
    }
    let times: Vec<String> = tickets.iter().map(|ticket| word(ticket, "time")).collect();
    assert!(times.is_sorted());
    assert_eq!(times.iter().filter(|time| time.as_str() <= "2025-07-14T00:00:00Z").count(), 153);
    let mut texts: Vec<String> = tickets.iter().map(|ticket| word(ticket, "subject") + &word(ticket, "body")).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 300);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod judge {
    use super::*;

    fn judged(judge: &str) -> (TestEnv, Server) {
        // Every answer is `bug`.
        let server = Server::answering(|_, _| label("bug"));
        let env = TestEnv::with_server(&server.url);
        env.write("specs/classify.yaml", &format!("{SPEC}expect:\n  agree: 0.8\n  judge: '{judge}'\n"));
        (env, server)
    }

    #[test]
    fn an_expression_says_what_is_right() {
        let (env, _server) =
            judged("output[\"label\"] == \"bug\" && !input[\"text\"].is_null() && expected.is_object()");
        env.llmc(&["test", "classify"]).expect(0);
        let (env, _server) = judged("output == expected");
        env.llmc(&["test", "classify"]).expect(7);
    }

    #[test]
    fn it_runs_in_the_sandbox_and_what_it_does_wrong_is_told() {
        let (env, _server) = judged("std::fs::read(\"/etc/passwd\").is_err()");
        env.llmc(&["test", "classify"]).expect(0);
        let (env, _server) = judged("std::net::TcpStream::connect(\"127.0.0.1:1\").is_err()");
        let run = env.llmc(&["test", "classify"]).expect(2);
        assert!(run.stderr.contains("could not say whether an answer is right: it made a system call"), "{run}");
        let (env, server) = judged("output.label");
        let run = env.llmc(&["test", "classify"]).expect(2);
        assert!(run.stderr.contains("the judge of `classify` can't be compiled"), "{run}");
        assert!(run.stderr.contains("no field `label`") && run.stderr.contains("serde_json::Value"), "{run}");
        assert_eq!(server.received().len(), 0);
    }

    #[test]
    fn it_sees_the_types_of_the_interface() {
        let server = Server::answering(|_, _| Reply::chat("{\"label\": \"bug\", \"votes\": 3}"));
        let env = TestEnv::with_server(&server.url);
        env.write(
            "specs/classify.yaml",
            "llmc: 1\nname: classify\nkind: component\ndescription: Says what a ticket is about.\n\
             interface: |\n  pub struct Answer { label: String, votes: u8 }\n  pub fn classify(text: &str) -> Answer;\n\
             examples:\n  - { input: it crashes, output: { label: bug, votes: 1 } }\n\
             expect: { agree: 0.8, judge: 'output.label == expected.label && output.votes < 4 && input.len() > 1' }\n",
        );
        env.llmc(&["test", "classify"]).expect(0);
    }
}
