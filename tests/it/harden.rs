//! `llmc harden` and `llmc soften`: recorded calls become code with a certificate, and code becomes a component. The server
//! is scripted; rustc, sandbox, git and SQLite are real.

use llmc::harness::{Crossing, Side, Usage};
use llmc::ledger::Ledger;
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::server::{Received, Reply, Server};

pub(crate) const TRIAGE: &str = "llmc: 1\nname: triage\nkind: component\ndescription: How urgent a ticket is.\n\
    input: { type: string }\noutput: { enum: [low, high] }\n";
/// Answers what holds a word, and leaves the rest.
const CODE: &str = "```rust\npub fn triage(input: Input) -> Option<Output> {\n    let text = input.to_lowercase();\n    \
    if text.contains(\"fire\") {\n        Some(Output::High)\n    } else if text.contains(\"thanks\") {\n        Some(Output::Low)\n    \
    } else {\n        None\n    }\n}\n```";
/// Answers everything, and half of it wrongly.
const RASH: &str = "```rust\npub fn triage(_input: Input) -> Option<Output> {\n    Some(Output::High)\n}\n```";

/// What a model said to tickets, one a second: two thirds of them are clear, the others are not. `wrong`: of every so many
/// clear ones one got the other answer.
pub(crate) fn record(env: &TestEnv, count: u64, wrong: u64) {
    record_as(env, count, wrong, |text| json!(text));
}

/// The same, with inputs of this form.
fn record_as(env: &TestEnv, count: u64, wrong: u64, form: fn(String) -> Value) {
    std::fs::create_dir_all(env.path(".llmc")).unwrap();
    let ledger = Ledger::open(&env.path(".llmc")).unwrap();
    let crossings: Vec<Crossing> = (0..count)
        .map(|number| {
            let (text, mut label) = match number % 3 {
                0 => (format!("Fire in room {number}"), "high"),
                1 => (format!("Thanks, case {number} is solved"), "low"),
                _ => (format!("About number {number}"), if number % 2 == 0 { "low" } else { "high" }),
            };
            if number % 3 != 2 && wrong > 0 && number % wrong == 0 {
                label = if label == "low" { "high" } else { "low" };
            }
            Crossing {
                run: format!("r{number}"),
                id: 1,
                parent: None,
                component: "triage".to_owned(),
                side: Side::Model,
                input: form(text),
                output: Some(json!(label)),
                error: None,
                model: Some("openai/test".into()),
                digest: Some("d1".into()),
                usage: Usage { prompt_tokens: 10, completion_tokens: 2, usd: 0.0, requests: 1 },
                started: 1_790_000_000_000 + number * 1000,
                micros: 600_000,
                attempts: Vec::new(),
                approval: Default::default(),
                from: None,
                audit: None,
            }
        })
        .collect();
    ledger.keep(&crossings).unwrap();
}

fn env(replies: Vec<Reply>) -> (TestEnv, Server) {
    let server = Server::script(replies);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["build"]).expect(0);
    (env, server)
}

/// A workspace whose `triage` is hardened: committed code for what is clear, and a model that says the rest.
pub(crate) fn hardened(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> (TestEnv, Server) {
    let server =
        Server::answering(move |request, number| match String::from_utf8_lossy(&request.body).contains("fn triage") {
            true => Reply::chat(CODE),
            false => answer(request, number),
        });
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["build"]).expect(0);
    record(&env, 300, 0);
    env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    env.llmc(&["harden", "triage", "--accept"]).expect(0);
    (env, server)
}

/// A component's file with another body and a digest that fits it.
fn forged(code: &str) -> String {
    let mut lines = code.splitn(3, '\n');
    let (first, _, body) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
    format!("{first}\n// component sha256:{}\n{body}", llmc::digest::sha256(body))
}

#[test]
fn what_is_stable_becomes_code_with_a_certificate_and_goes_again() {
    let (env, server) =
        env(vec![Reply::chat(RASH), Reply::chat(CODE), Reply::chat("\"low\""), Reply::chat("\"high\"")]);
    record(&env, 300, 0);
    let before = env.git(&["rev-parse", "HEAD"]);
    let run = env.llmc(&["harden", "triage", "-n", "2"]).expect(0);
    // The description shows what the model answered; the later half is in no prompt.
    let asked = String::from_utf8_lossy(&server.received()[0].body).into_owned();
    assert!(asked.contains("Fire in room 3") && !asked.contains("Fire in room 297"), "{asked}");
    assert!(run.stdout.contains("fn triage(input: Input) -> Option<Output>"), "{run}");
    assert!(run.stdout.contains("contains(\"fire\")"), "the one that is not rash: {run}");
    assert!(run.stderr.contains("it answers 100 (67 %), and 0 of those otherwise than the model"), "{run}");
    assert!(run.stderr.contains("agrees at least 95 % of the time, at 95 % confidence"), "{run}");
    assert_eq!(env.git(&["rev-parse", "HEAD"]), before, "nothing is committed before it is accepted");
    // Until then the model answers.
    assert!(env.llmc(&["call", "triage", "Fire!"]).expect(0).stderr.contains("answered by openai/test"));
    // What waits lies where others can write, and is looked at again.
    let (waiting, digest) =
        (env.read(".llmc/hardened/triage/code.rs"), env.read(".llmc/hardened/triage/certificate.json"));
    env.write(".llmc/hardened/triage/code.rs", &waiting.replace("\"fire\"", "\"ice\""));
    assert!(env.llmc(&["harden", "triage", "--accept"]).expect(6).stderr.contains("not for what is there now"));
    env.write(
        ".llmc/hardened/triage/code.rs",
        &forged(&waiting.replace("Some(Output::High)", "{ std::fs::remove_file(\"x\").ok(); Some(Output::High) }")),
    );
    let mut certificate: Value = serde_json::from_str(&digest).unwrap();
    certificate["code"] = llmc::digest::sha256(env.read(".llmc/hardened/triage/code.rs")).into();
    env.write(".llmc/hardened/triage/certificate.json", &certificate.to_string());
    let refused = env.llmc(&["harden", "triage", "--accept"]).expect(6);
    assert!(refused.stderr.contains("can't be accepted"), "{refused}");
    env.write(".llmc/hardened/triage/code.rs", &waiting);
    env.write(".llmc/hardened/triage/certificate.json", &digest);
    env.llmc(&["harden", "triage", "--accept"]).expect(0);
    assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "");
    let message = env.git(&["log", "-1", "--format=%B"]);
    assert!(message.contains("llmc: harden triage") && message.contains("0 of 100 later answers differ"), "{message}");
    let certificate: Value = serde_json::from_str(&env.read("generated/certificates/triage.json")).unwrap();
    assert_eq!((&certificate["certificate"]["n"], &certificate["certificate"]["attempt"]), (&json!(100), &json!(1)));
    // The same line, answered by code; and by the model where that abstains.
    let run = env.llmc(&["call", "triage", "There is a fire in the kitchen"]).expect(0);
    assert_eq!(run.stdout, "\"high\"\n");
    assert!(run.stderr.contains("answered by code"), "{run}");
    let run = env.llmc(&["call", "triage", "Hm."]).expect(0);
    assert_eq!(run.stdout, "\"high\"\n");
    assert!(run.stderr.contains("answered by openai/test"), "{run}");
    env.llmc(&["build", "--locked"]).expect(0);
    env.llmc(&["verify"]).expect(0);
    // A certificate for other code is none.
    let own = env.read("generated/certificates/triage.json");
    env.write("generated/certificates/triage.json", &own.replace("\"disagreements\": 0", "\"disagreements\": 1"));
    assert!(env.llmc(&["call", "triage", "fire"]).expect(6).stderr.contains("does not belong to the code"));
    env.llmc(&["verify"]).expect(6);
    env.write("generated/certificates/triage.json", &own);
    env.llmc(&["soften", "triage"]).expect(0);
    assert!(!env.path("generated/certificates/triage.json").exists());
    assert!(!env.read("generated/src/triage.rs").contains("fn triage"));
    assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "");
    assert!(env.llmc(&["soften", "triage"]).expect(1).stderr.contains("as soft as it gets"));
}

#[test]
fn what_does_not_agree_often_enough_is_not_promised() {
    let code = CODE.replace("input.to_lowercase()", "input.text.to_lowercase()");
    let (env, _server) = env(vec![Reply::chat(&code)]);
    // An object with its own way of being JSON.
    let input = "input: { type: object, properties: { text: { type: string } }, required: [text] }";
    env.write("specs/triage.yaml", &TRIAGE.replace("input: { type: string }", input));
    env.llmc(&["build"]).expect(0);
    // One clear ticket of eight got the other answer: an agreement of about 88 %.
    record_as(&env, 300, 8, |text| json!({ "text": text }));
    let run = env.llmc(&["harden", "triage", "-n", "1", "--agreement", "0.8", "--message-format", "json"]).expect(0);
    let event = run.events().into_iter().find(|event| event["event"] == "hardened").unwrap();
    assert!(event["certificate"]["disagreements"].as_u64().unwrap() > 0, "{event}");
    let run = env.llmc(&["harden", "triage", "-n", "1", "--agreement", "0.95"]);
    assert!(run.code == 8 || run.code == 3, "{run}");
    assert!(run.stderr.contains("attempt 2") || run.code == 3, "{run}");
}

#[test]
fn too_few_calls_are_told() {
    let (env, server) = env(vec![]);
    record(&env, 40, 0);
    let run = env.llmc(&["harden", "triage"]).expect(8);
    assert!(run.stderr.contains("was not called often enough: 20 different inputs"), "{run}");
    assert_eq!(server.received().len(), 0, "nothing was spent");
    assert!(env.llmc(&["harden", "triage", "--accept"]).expect(1).stderr.contains("nothing waits for `triage`"));
}

#[test]
fn a_function_becomes_a_component_with_examples_of_what_it_did() {
    let code =
        "```rust\npub fn half(number: i64) -> Option<i64> {\n    (number % 2 == 0).then_some(number / 2)\n}\n```";
    let server = Server::script(vec![Reply::chat(code), Reply::chat("4")]);
    let env = TestEnv::with_server(&server.url);
    env.write(
        "specs/half.yaml",
        "llmc: 1\nname: half\ndescription: Half of an even number.\nsignature: \"pub fn half(number: i64) -> Option<i64>\"\n\
         sampling: { samples: 1 }\nexamples:\n  - call: half(4)\n    returns: Some(2)\n  - call: half(3)\n    returns: None\n",
    );
    env.llmc(&["build"]).expect(0);
    let run = env.llmc(&["soften", "half"]).expect(0);
    assert!(run.stderr.contains("half is a component now"), "{run}");
    let spec = env.read("specs/half.yaml");
    assert!(spec.contains("kind: component") && spec.contains("- input: 4\n    output: 2"), "{spec}");
    assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "");
    let run = env.llmc(&["call", "half", "8"]).expect(0);
    assert_eq!(run.stdout, "4\n");
    assert!(run.stderr.contains("answered by openai/test"), "{run}");
    // Back again.
    env.llmc(&["revert", "half@HEAD~1"]).expect(0);
    assert!(env.read("specs/half.yaml").contains("signature"), "{}", env.read("specs/half.yaml"));
}
