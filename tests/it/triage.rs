//! examples/ticket-triage, whole: its program and its walk from models to code and back, with a scripted server in the place
//! of the model.

use std::path::Path;

use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::server::{Received, Reply, Server};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ticket-triage");
const ORDER: &str = "```rust\npub fn order(input: Input) -> Option<Output> {\n    let text = format!(\"{} {}\", input.subject, \
    input.body);\n    let found = text.find(\"PL-\").and_then(|start| text.get(start..start + 8));\n    \
    Some(found.unwrap_or(\"no order\").to_owned())\n}\n```";
/// It leaves to the model what has none of its words.
const MONEY: &str = "```rust\npub fn desk(input: Input) -> Option<Output> {\n    let text = format!(\"{} {}\", \
    input.subject, input.body).to_lowercase();\n    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));\n    \
    if has(&[\"refund\", \"paid\", \"price\", \"invoice\", \"money\", \"charge\"]) {\n        return Some(Output::Billing);\n    }\n    \
    has(&[\"app\", \"sensor\", \"rain\", \"wind\", \"password\", \"alert\"]).then_some(Output::Support)\n}\n```";

/// What the server says to a request: it knows the numbers and the words, and writes the code above.
fn says(request: &Received, _: usize) -> Reply {
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let text = asked["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    if text.contains("pub fn order(") {
        return Reply::chat(ORDER);
    }
    if text.contains("pub fn desk(") {
        return Reply::chat(MONEY);
    }
    let ticket = text.lines().rev().find_map(|line| line.strip_prefix("Input: ")).unwrap().to_owned();
    if text.contains("Copies the order number") {
        let found = ticket.find("PL-").map_or("no order", |start| &ticket[start..start + 8]);
        return Reply::chat(found);
    }
    if text.contains("Which desk") {
        let lower = ticket.to_lowercase();
        let words = ["refund", "paid", "price", "invoice", "money", "charge"];
        return Reply::chat(if words.iter().any(|word| lower.contains(word)) { "\"billing\"" } else { "\"support\"" });
    }
    Reply::chat("Thank you for writing. We look into it today.")
}

#[test]
fn its_components_go_from_models_to_code_and_one_goes_back() {
    let server = Server::answering(says);
    let env = TestEnv::empty();
    let settings = format!("providers: {{ openai: {{ base_url: \"{}/v1\" }} }}\n", server.url);
    env.write("../home/.config/llmc/config.yaml", &settings);
    let bin = Path::new(env!("CARGO_BIN_EXE_llmc")).parent().unwrap();
    let mut walk = env.program(&format!("{EXAMPLE}/walk"));
    walk.arg("160").env("LLMC_MODEL", "openai/test").env("LLMC_BIN", bin).env("TRIAGE_DIR", env.path("triage"));
    let run = Run::from(walk.output().unwrap()).expect(0);
    let table = |part: usize| -> Vec<Vec<String>> {
        let of = run.stdout.split("tickets triaged").nth(part).expect("the program ran so often");
        let lines = of.lines().filter(|line| ["order ", "desk ", "reply "].iter().any(|name| line.starts_with(name)));
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    // Name, side, calls, by code.
    let row = |cells: &[String]| cells[..4].join(" ");
    let before: Vec<String> = table(1).iter().map(|cells| row(cells)).collect();
    assert_eq!(before, ["order model 160 0", "desk model 160 0", "reply model 3 0"], "{run}");
    let after = table(2);
    assert_eq!(row(&after[0]), "order hybrid 148 148", "{run}");
    assert_eq!(&after[1][..3], ["desk", "hybrid", "148"], "{run}");
    let by_code: u32 = after[1][3].parse().unwrap();
    assert!(by_code > 50 && by_code < 148, "what has none of its words is the model's: {run}");
    assert!(table(3)[0].starts_with(&["order".to_owned(), "model".to_owned()]), "{run}");
    for commit in ["three components, each a model", "harden order", "harden desk", "soften order"] {
        assert!(run.stdout.contains(commit), "{commit}: {run}");
    }
    let inside = env.run("git", &["status", "--porcelain"], "triage");
    assert_eq!(inside, "", "everything is committed");
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let env = TestEnv::empty();
    let program = Path::new(env!("CARGO_BIN_EXE_llmc")).parent().unwrap().join("examples/ticket-triage");
    let run =
        Run::from(env.program(program.to_str().unwrap()).args([".", "nothing.jsonl"]).output().unwrap()).expect(1);
    assert!(run.stderr.starts_with("error: ") && run.stderr.contains("llmc.yaml"), "{run}");
}
