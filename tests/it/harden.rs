//! `llmc harden` and `llmc soften`: recorded calls become code with a certificate, and code becomes a component. The server
//! is scripted; rustc, sandbox, git and SQLite are real.

use llmc::certify::{Certificate, Terms};
use llmc::digest::sha256;
use llmc::harness::{Crossing, Side, Usage};
use llmc::ledger::Ledger;
use llmc::provenance::{Origin, Provenance};
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::pty::Terminal;
use crate::server::{Received, Reply, Server};

pub(crate) const TRIAGE: &str = "llmc: 1\nname: triage\nkind: component\ndescription: How urgent a ticket is.\n\
    input: { type: string }\noutput: { enum: [low, high] }\n";
/// Answers what holds a word, and leaves the rest.
pub(crate) const CODE: &str = "```rust\npub fn triage(input: Input) -> Option<Output> {\n    let text = input.to_lowercase();\n    \
    if text.contains(\"fire\") {\n        Some(Output::High)\n    } else if text.contains(\"thanks\") {\n        Some(Output::Low)\n    \
    } else {\n        None\n    }\n}\n```";
/// Answers everything, and half of it wrongly.
pub(crate) const RASH: &str =
    "```rust\npub fn triage(_input: Input) -> Option<Output> {\n    Some(Output::High)\n}\n```";

/// What a model said to tickets, one a second: two thirds of them are clear, the others are not. `wrong`: of every so many
/// clear ones one got the other answer.
pub(crate) fn record(env: &TestEnv, count: u64, wrong: u64) {
    record_as(env, 0..count, wrong, |text| json!(text));
}

/// The same, with inputs of this form.
fn record_as(env: &TestEnv, numbers: std::ops::Range<u64>, wrong: u64, form: fn(String) -> Value) {
    std::fs::create_dir_all(env.path(".llmc")).unwrap();
    let ledger = Ledger::open(&env.path(".llmc")).unwrap();
    let crossings: Vec<Crossing> = numbers
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

/// What waits, with other code (by its SHA-256, everywhere) in a completion and a file.
fn forge(env: &TestEnv, change: impl Fn(&str) -> String) {
    let folder = ".llmc/proposals/triage";
    let paths = ["src/triage.rs", "provenance/triage.json"];
    let [code, record] = paths.map(|path| env.read(&format!("{folder}/{path}")));
    let mut told = env.read(&format!("{folder}/proposal.json"));
    // A component's file has a digest of what is below its head.
    let mut lines = code.splitn(3, '\n');
    let (first, _, body) = (lines.next().unwrap(), lines.next().unwrap(), change(lines.next().unwrap()));
    let forged = format!("{first}\n// component sha256:{}\n{body}", sha256(&body));
    let mut statement: Value = serde_json::from_str(&record).unwrap();
    statement["subject"][0]["digest"]["sha256"] = sha256(&forged).into();
    let completion = &mut statement["predicate"]["runDetails"]["byproducts"][1];
    let text = change(completion["annotations"]["text"].as_str().unwrap());
    completion["digest"]["sha256"] = sha256(&text).into();
    completion["annotations"]["text"] = text.into();
    let statement = serde_json::to_string_pretty(&statement).unwrap() + "\n";
    told = told.replace(&sha256(&code), &sha256(&forged)).replace(&sha256(&record), &sha256(&statement));
    env.write(&format!("{folder}/src/triage.rs"), &forged);
    env.write(&format!("{folder}/provenance/triage.json"), &statement);
    env.write(&format!("{folder}/proposal.json"), &told);
}

/// All of a folder's files, to put them back.
fn kept(env: &TestEnv) -> Vec<(String, String)> {
    let files = ["proposal.json", "spec.yaml", "src/triage.rs", "provenance/triage.json"];
    files
        .map(|file| (format!(".llmc/proposals/triage/{file}"), env.read(&format!(".llmc/proposals/triage/{file}"))))
        .into()
}

/// What `llmc verify` finds, as `PATH: MESSAGE`.
fn differences(env: &TestEnv) -> Vec<String> {
    let run = env.llmc(&["verify", "--message-format", "json"]);
    let verified = run.events().into_iter().filter(|event| event["event"] == "verified");
    let differences = verified.flat_map(|event| event["differences"].as_array().unwrap().clone());
    let told = |one: Value| format!("{}: {}", one["path"].as_str().unwrap(), one["message"].as_str().unwrap());
    let found: Vec<String> = differences.map(told).collect();
    assert_eq!(run.code, if found.is_empty() { 0 } else { 6 }, "{run}");
    found
}

const RECORD: &str = "generated/provenance/triage.json";

#[test]
fn what_is_stable_becomes_code_with_a_certificate_and_goes_again() {
    // The model says the same to whatever it is asked: also where code is audited, which is up to chance.
    let (env, server) = env([RASH, CODE, "\"high\"", "\"high\"", "\"high\""].map(Reply::chat).into());
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
    assert!(run.stderr.contains("`llmc review` shows it"), "{run}");
    assert_eq!(env.git(&["rev-parse", "HEAD"]), before, "nothing is committed before it is accepted");
    // Until then the model answers.
    assert!(env.llmc(&["call", "triage", "Fire!"]).expect(0).stderr.contains("answered by openai/test"));
    // It waits beside other proposals, with calls and what is said to them.
    let listed = env.llmc(&["review"]).expect(0).stdout;
    assert!(listed.contains("triage: on 150 later calls with new inputs it answers 100 (67 %)"), "{listed}");
    assert!(listed.contains("\"Fire in room 150\": both say \"high\""), "{listed}");
    assert!(listed.contains("the code leaves it to the model"), "{listed}");
    let events = env.llmc(&["review", "--message-format", "json"]).expect(0).events();
    let told = &events[0];
    assert_eq!(
        (&told["event"], &told["origin"], &told["behaves"]),
        (&json!("proposal"), &json!("harden"), &json!("agrees"))
    );
    assert_eq!(told["calls"][0], json!({"input": "\"Fire in room 150\"", "model": "\"high\"", "code": "\"high\""}));
    assert_eq!((&told["sampled"], &told["passed"], &told["stale"]), (&json!(2), &json!(2), &Value::Null));
    env.llmc(&["accept", "triage"]).expect(0);
    assert_eq!(
        env.committed(),
        [RECORD, "generated/src/lib.rs", "generated/src/triage.rs"],
        "the spec is committed already"
    );
    assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "");
    let message = env.git(&["log", "-1", "--format=%B"]);
    assert!(message.contains("llmc: harden triage") && message.contains("0 of 100 later answers differ"), "{message}");
    assert_eq!(env.llmc(&["review"]).expect(0).stdout, "No proposal waits.\n");
    // The same line, answered by code; and by the model where that abstains.
    let run = env.llmc(&["call", "triage", "There is a fire in the kitchen"]).expect(0);
    assert_eq!(run.stdout, "\"high\"\n");
    assert!(run.stderr.contains("answered by code"), "{run}");
    let run = env.llmc(&["call", "triage", "Hm."]).expect(0);
    assert_eq!(run.stdout, "\"high\"\n");
    assert!(run.stderr.contains("answered by openai/test"), "{run}");
    env.llmc(&["build", "--locked"]).expect(0);
    assert_eq!(differences(&env), [""; 0]);
    env.llmc(&["soften", "triage"]).expect(0);
    assert!(!env.path(RECORD).exists());
    assert!(!env.read("generated/src/triage.rs").contains("fn triage"));
    assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "");
    assert_eq!(differences(&env), [""; 0]);
    assert!(env.llmc(&["soften", "triage"]).expect(1).stderr.contains("as soft as it gets"));
    assert!(env.llmc(&["show", "triage"]).expect(1).stderr.contains("its model answers alone"));
}

#[test]
fn its_record_tells_where_it_came_from_and_gives_it_again() {
    let (env, _server) = env(vec![Reply::chat(CODE)]);
    record(&env, 300, 0);
    env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    env.llmc(&["harden", "triage", "--accept"]).expect(0);
    let text = env.read(RECORD);
    assert!(!text.contains("Fire in room"), "what was asked is in no commit: {text}");
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["subject"].as_array().unwrap().len(), 1);
    assert_eq!(record["subject"][0]["digest"]["sha256"], sha256(env.read("generated/src/triage.rs")));
    let byproducts = record["predicate"]["runDetails"]["byproducts"].as_array().unwrap();
    let hardening = &byproducts.iter().find(|one| one["name"] == "hardening").unwrap()["annotations"];
    assert_eq!(
        (&hardening["calls"], &hardening["inputs"], &hardening["answered"]),
        (&json!(300), &json!(150), &json!(100))
    );
    let certificate = &hardening["certificate"];
    assert_eq!(
        (&certificate["n"], &certificate["alpha"], &certificate["attempt"]),
        (&json!(100), &json!(0.05), &json!(1))
    );
    let shown = env.llmc(&["show", "triage"]).expect(0).stdout;
    assert!(shown.contains("agrees") && shown.contains("at least 95 % of the time, at 95 % confidence"), "{shown}");
    assert!(shown.contains("openai/test") && shown.contains("150 inputs, of 300 calls"), "{shown}");
    let log = env.llmc(&["log", "triage", "--message-format", "json"]).expect(0).events();
    assert_eq!((&log[0]["subject"], &log[0]["by"]), (&json!("llmc: harden triage"), &json!("model")));
    // The completion gives these very files.
    let run = env.llmc(&["replay", "triage"]).expect(0);
    assert!(run.stdout.contains(&format!("tree {}", env.git(&["rev-parse", "HEAD^{tree}"]))), "{run}");
    let (code, record) = (env.read("generated/src/triage.rs"), env.read(RECORD));
    env.write("generated/src/triage.rs", &code.replace("\"fire\"", "\"ice\""));
    let found = differences(&env);
    assert_eq!(found[0], "generated/src/triage.rs: was edited by hand: its digest is not the recorded one");
    assert!(
        found.len() == 2 && found[1].starts_with("generated/src/lib.rs: "),
        "the crate names its digest: {found:?}"
    );
    assert!(env.llmc(&["replay", "triage"]).expect(6).stderr.contains("other bytes"));
    env.llmc(&["build", "--overwrite"]).expect(6);
    env.llmc(&["replay", "triage", "--overwrite"]).expect(0);
    assert_eq!(env.read("generated/src/triage.rs"), code);
    // A certificate for other answers is none: nothing is called by it.
    for (number, changed) in [
        ("\"disagreements\": 0", "\"disagreements\": 1"),
        ("\"n\": 100", "\"n\": 99"),
        ("\"calls\": 300", "\"calls\": 301"),
    ] {
        env.write(RECORD, &record.replace(number, changed));
        let found = differences(&env);
        assert!(found.len() == 1 && found[0].starts_with(RECORD), "{found:?}");
        assert!(env.llmc(&["call", "triage", "fire"]).expect(6).stderr.contains("does not belong to the code"));
    }
    env.write(RECORD, &record);
    // Another description is another model's task; the code stays what it was certified as.
    env.write("specs/triage.yaml", &TRIAGE.replace("How urgent", "Say how urgent"));
    let run = env.llmc(&["verify"]).expect(0);
    assert!(
        run.stderr.contains("was changed since its code was certified")
            || run.stdout.contains("was changed since its code was certified"),
        "{run}"
    );
    env.llmc(&["replay", "triage"]).expect(0);
    // Back to the types alone, and forth again.
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["soften", "triage"]).expect(0);
    env.llmc(&["revert", "triage@HEAD~1"]).expect(0);
    let log = env.llmc(&["log", "triage", "--behaviour", "--message-format", "json"]).expect(0).events();
    let commits = log.iter().filter(|event| event["event"] == "revision");
    let told: Vec<&str> = commits.map(|one| one["subject"].as_str().unwrap()).collect();
    assert!(told.len() == 3 && told[0].starts_with("llmc: revert") && told[1] == "llmc: soften triage", "{told:?}");
    assert_eq!((env.read("generated/src/triage.rs"), env.read(RECORD)), (code, record));
    assert_eq!(differences(&env), [""; 0]);
}

#[test]
fn what_waits_is_trusted_no_more_than_a_candidate() {
    let (env, _server) = env(vec![Reply::chat(CODE)]);
    record(&env, 300, 0);
    env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    let whole = kept(&env);
    let restore = || whole.iter().for_each(|(path, text)| env.write(path, text));
    let head = env.git(&["rev-parse", "HEAD"]);
    let refused = |why: &str| {
        for accept in [&["accept", "triage"][..], &["harden", "triage", "--accept"], &["accept", "--all"]] {
            let run = env.llmc(accept).expect(6);
            assert!(run.stderr.contains(why), "{run}");
        }
        assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
        assert_eq!(env.git(&["status", "--porcelain", "generated"]), "");
        restore();
    };
    // Other code.
    env.write(".llmc/proposals/triage/src/triage.rs", &whole[2].1.replace("\"fire\"", "\"ice\""));
    refused("is not whole");
    // Other code with digests that fit it, and the same completion.
    let completion = "text.contains(\\\"fire\\\")";
    assert!(whole[3].1.contains(completion));
    forge(&env, |text| if text.starts_with("```") { text.to_owned() } else { text.replace("\"fire\"", "\"ice\"") });
    refused("its files are not what its recorded completion gives");
    // Code that the policy does not let through, everywhere.
    forge(&env, |text| text.replace("Some(Output::High)", "{ std::fs::remove_file(\"x\").ok(); Some(Output::High) }"));
    refused("its completion gives no such code: policy");
    // A better certificate than there was.
    let (_, record) = &whole[3];
    let better = record.replace("\"agreement\": 0.95", "\"agreement\": 0.99");
    assert_ne!(*record, better);
    env.write(".llmc/proposals/triage/provenance/triage.json", &better);
    let told = whole[0].1.replace(&sha256(record), &sha256(&better));
    env.write(".llmc/proposals/triage/proposal.json", &told);
    refused("do not belong together");
    // One whose numbers belong together, and that the recorded calls do not bear out.
    let mut forged = Provenance::read(record.as_bytes()).unwrap();
    let Origin::Model(drawn) = &mut forged.origin else { panic!("a model wrote it") };
    let hardness = drawn.hardness.as_mut().unwrap();
    let terms = Terms { agreement: 0.95, alpha: 0.05, attempt: 1 };
    hardness.certificate = Certificate::of(150, 0, &terms, 1.0, hardness.certificate.window.clone());
    let better = String::from_utf8(forged.to_bytes()).unwrap();
    env.write(".llmc/proposals/triage/provenance/triage.json", &better);
    let told = whole[0].1.replace(&sha256(record), &sha256(&better));
    env.write(".llmc/proposals/triage/proposal.json", &told);
    refused("counts 150 answers and 0 otherwise than the model, and of the same calls it answers 100");
    // One whose calls nobody has.
    let ledger = |from: &str, to: &str| std::fs::rename(env.path(from), env.path(to)).unwrap();
    ledger(".llmc/ledger.db", "ledger.db");
    refused("are not in the ledger");
    ledger("ledger.db", ".llmc/ledger.db");
    // For a spec that says something else by now.
    env.write("specs/triage.yaml", &TRIAGE.replace("How urgent", "Say how urgent"));
    refused("the spec changed");
    env.write("specs/triage.yaml", TRIAGE);
    // What was recorded since is no concern of it.
    record_as(&env, 300..400, 1, |text| json!(text));
    env.llmc(&["accept", "--all"]).expect(0);
}

#[test]
fn what_was_rejected_is_not_offered_again() {
    // The second answers less.
    let other = CODE.replace("\"thanks\"", "\"thanks for nothing\"");
    let (env, server) = env([CODE, &other, CODE, &other].map(Reply::chat).into());
    let harden = ["harden", "triage", "-n", "2", "--agreement", "0.9"];
    // Reviews are required: that makes no hole, and nothing more to do.
    env.write("llmc.yaml", &(env.read("llmc.yaml") + "review: required\n"));
    record(&env, 300, 0);
    env.llmc(&harden).expect(0);
    assert!(env.read(".llmc/proposals/triage/src/triage.rs").contains("\"thanks\""));
    env.llmc(&["reject", "triage"]).expect(0);
    assert!(env.llmc(&["accept", "triage"]).expect(1).stderr.contains("no proposal waits"));
    // Drawn again with another seed: the same programs.
    assert_eq!(server.received().len(), 2);
    let run = env.llmc(&harden).expect(0);
    assert!(run.stderr.contains("rejected before") && run.stderr.contains("this is attempt 2"), "{run}");
    assert!(env.read(".llmc/proposals/triage/src/triage.rs").contains("thanks for nothing"));
    let seeds: Vec<Value> = server.received().iter().map(|one| one.json()["seed"].clone()).collect();
    assert_ne!(seeds[0], seeds[2]);
    assert!(env.llmc(&["build"]).expect(0).stderr.contains("Fresh triage"), "what waits is no build's");
}

#[test]
fn a_person_reviews_it_in_a_terminal() {
    let (env, _server) = env(vec![Reply::chat(CODE)]);
    record(&env, 300, 0);
    env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    let mut command = env.command(&["review"]);
    command.env("TERM", "xterm").env("GIT_PAGER", "cat").env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command, 50, 200);
    let screen = terminal.until("[?]");
    assert!(screen.contains("on 150 later calls with new inputs it answers 100"), "{screen}");
    assert!(screen.contains("both say") && screen.contains("1 compile"), "{screen}");
    assert!(screen.contains("by `llmc harden`"), "{screen}");
    terminal.press("m");
    let more = terminal.until("[?]");
    assert!(more.contains("agrees") && more.contains("attempt 1"), "{more}");
    terminal.press("i");
    assert!(terminal.until("[?]").contains("no input is known"));
    terminal.press("s");
    terminal.until("1 proposal still waiting");
    assert!(terminal.end().0.success());
    let mut command = env.command(&["review"]);
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command, 50, 200);
    terminal.until("[?]");
    terminal.press("a");
    terminal.until("Accepted");
    assert!(terminal.end().0.success());
    assert!(env.git(&["log", "-1", "--format=%s"]).contains("llmc: harden triage"));
}

#[test]
fn it_is_signed_as_what_a_build_makes() {
    let (env, _server) = env(vec![Reply::chat(CODE)]);
    let ann = crate::sign::key(&env, "ann", "ann@example.org");
    env.write("allowed_signers", &ann);
    env.write("llmc.yaml", &(env.read("llmc.yaml") + "sign: { signers: allowed_signers }\n"));
    record(&env, 300, 0);
    env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    // Whoever accepts it signs it: without a key it waits on.
    assert!(env.llmc(&["accept", "triage"]).expect(1).stderr.contains("you have named no key"));
    env.write("../home/.config/llmc/config.yaml", "sign: { key: ~/ann }\n");
    env.llmc(&["accept", "triage"]).expect(0);
    const ENVELOPE: &str = "generated/provenance/triage.dsse.json";
    assert!(env.committed().contains(&ENVELOPE.to_owned()));
    assert_eq!(differences(&env), [""; 0]);
    env.llmc(&["replay", "triage"]).expect(0);
    // Without its signature, and with one of another record.
    let (envelope, record) = (env.read(ENVELOPE), env.read(RECORD));
    std::fs::remove_file(env.path(ENVELOPE)).unwrap();
    let found = differences(&env);
    assert!(found.len() == 1 && found[0].contains("has to be signed"), "{found:?}");
    env.llmc(&["sign", "triage"]).expect(0);
    assert_eq!(env.read(ENVELOPE), envelope);
    let changed = record.replace("\"calls\": 300", "\"calls\": 301");
    env.write(RECORD, &changed);
    assert!(differences(&env).iter().any(|one| one.starts_with(ENVELOPE) && one.contains("another record")));
    env.write(RECORD, &record);
    let bob = crate::sign::key(&env, "bob", "bob@example.org");
    env.write("allowed_signers", &bob);
    assert!(differences(&env)[0].starts_with(ENVELOPE));
    env.write("allowed_signers", &ann);
    // Softened, it has nothing to sign.
    env.llmc(&["soften", "triage"]).expect(0);
    assert!(!env.path(ENVELOPE).exists());
    assert_eq!(env.git(&["status", "--porcelain", "generated"]), "");
    assert_eq!(differences(&env), [""; 0]);
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
    record_as(&env, 0..300, 8, |text| json!({ "text": text }));
    let run = env.llmc(&["harden", "triage", "-n", "1", "--agreement", "0.8", "--message-format", "json"]).expect(0);
    let event = run.events().into_iter().find(|event| event["event"] == "hardened").unwrap();
    assert!(event["certificate"]["disagreements"].as_u64().unwrap() > 0, "{event}");
    let run = env.llmc(&["harden", "triage", "-n", "1", "--agreement", "0.95"]);
    assert!(run.code == 8 || run.code == 3, "{run}");
    assert!(run.stderr.contains("attempt 2") || run.code == 3, "{run}");
}

/// Right, and too seldom: it knows one of the two words.
const HALF: &str = "```rust\npub fn triage(input: Input) -> Option<Output> {\n    match input.contains(\"Fire\") {\n        \
    true => Some(Output::High),\n        false => None,\n    }\n}\n```";

#[test]
fn a_program_that_says_too_little_goes_back_with_what_it_left() {
    let (env, server) = env([HALF, CODE].map(Reply::chat).into());
    record(&env, 300, 0);
    let run = env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    assert!(run.stderr.contains("the nearest goes back"), "{run}");
    assert!(run.stderr.contains("2 programs sampled, 2 compile"), "{run}");
    assert!(run.stderr.contains("it answers 100 (67 %), and 0 of those otherwise than the model"), "{run}");
    let sent: Vec<String> =
        server.received().iter().map(|one| String::from_utf8_lossy(&one.body).into_owned()).collect();
    assert_eq!(sent.len(), 2);
    for part in ["it answers: None", "case 1 is solved", "the model answered: \\\"low\\\""] {
        assert!(sent[1].contains(part), "{part}: {}", sent[1]);
    }
    // What judges is in no prompt.
    assert!(!sent[1].contains("room 297") && !sent[1].contains("case 298"), "{}", sent[1]);
    // It is made again from its own completion, and its record is whole.
    env.llmc(&["accept", "triage"]).expect(0);
    env.llmc(&["verify"]).expect(0);
    env.llmc(&["replay", "triage"]).expect(0);
}

#[test]
fn too_few_calls_are_told() {
    let (env, server) = env(vec![]);
    record(&env, 40, 0);
    let run = env.llmc(&["harden", "triage"]).expect(8);
    assert!(run.stderr.contains("was not called often enough: 20 different inputs"), "{run}");
    assert_eq!(server.received().len(), 0, "nothing was spent");
    assert!(env.llmc(&["harden", "triage", "--accept"]).expect(1).stderr.contains("no proposal waits for `triage`"));
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
