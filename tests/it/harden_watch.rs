//! Code that is watched: demoted by audits, for whoever comes next; and made anew, or for the first time, by `llmc harden
//! --watch` when enough has been seen. Calls are written into a real ledger as the harness does it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use llmc::digest::sha256;
use llmc::harness::{Audit, Audited, Crossing, Evidence, Side, Usage};
use llmc::ledger::Ledger;
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::harden::{CODE, RASH, TRIAGE};
use crate::server::{Reply, Server};

/// Nothing takes this long, even on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(180);
/// What a model says that is asked to audit, which is up to chance.
const LOW: &str = "\"low\"";
/// When the first call was, in milliseconds since 1970.
const FIRST: u64 = 1_790_000_000_000;

/// A call as the harness records it.
fn crossing(number: u64, digest: &str, label: impl Fn(&str) -> Option<&'static str>) -> Crossing {
    let (kind, text) = match number % 3 {
        0 => ("fire", format!("Fire in room {number}")),
        1 => ("thanks", format!("Thanks, case {number} is solved")),
        _ => ("other", format!("About number {number}")),
    };
    let said = label(kind).unwrap_or(if number.is_multiple_of(2) { "low" } else { "high" });
    Crossing {
        run: format!("r{number}-{digest}"),
        id: 1,
        parent: None,
        component: "triage".to_owned(),
        side: Side::Model,
        input: json!(text),
        output: Some(json!(said)),
        error: None,
        model: Some("openai/test".into()),
        digest: Some(digest.to_owned()),
        usage: Usage { prompt_tokens: 10, completion_tokens: 2, usd: 0.0, requests: 1 },
        started: FIRST + number * 1000,
        micros: 600_000,
        attempts: Vec::new(),
        approval: Default::default(),
        from: None,
        audit: None,
    }
}

fn keep(env: &TestEnv, crossings: &[Crossing]) {
    std::fs::create_dir_all(env.path(".llmc")).unwrap();
    Ledger::open(&env.path(".llmc")).unwrap().keep(crossings).unwrap();
}

/// What is plain is answered as it seems.
fn usual(kind: &str) -> Option<&'static str> {
    match kind {
        "fire" => Some("high"),
        "thanks" => Some("low"),
        _ => None,
    }
}

/// Whoever wrote the tickets has come to mean something else.
fn turned(kind: &str) -> Option<&'static str> {
    match kind {
        "fire" => Some("low"),
        "thanks" => Some("high"),
        _ => None,
    }
}

fn record(env: &TestEnv, numbers: std::ops::Range<u64>, digest: &str, label: fn(&str) -> Option<&'static str>) {
    keep(env, &numbers.map(|number| crossing(number, digest, label)).collect::<Vec<_>>());
}

fn workspace(replies: Vec<Reply>) -> (TestEnv, Server) {
    let server = Server::script(replies);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["build"]).expect(0);
    (env, server)
}

/// A hybrid, certified on the first 300 calls; the digest of its code.
fn hardened(replies: &[&str]) -> (TestEnv, Server, String) {
    let replies = [&[CODE][..], replies].concat();
    let (env, server) = workspace(replies.into_iter().map(Reply::chat).collect());
    record(&env, 0..300, "d1", usual);
    env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    env.llmc(&["accept", "triage"]).expect(0);
    let code = sha256(env.read("generated/src/triage.rs"));
    (env, server, code)
}

/// The code's answer to call `number`, held against the model's. `before`: audits that whoever recorded it had seen.
fn audited(number: u64, code: &str, agreed: bool, before: (u64, u64)) -> Crossing {
    let one = crossing(number * 3, &format!("{code}+d1"), usual);
    let (yes, no) = (before.0 + u64::from(agreed), before.1 + u64::from(!agreed));
    let evidence = Evidence::of(&Audit { agreed: yes, disagreed: no, ..Audit::default() });
    let audit = Some(Audited { output: Some(json!(if agreed { "high" } else { "low" })), agreed, evidence });
    Crossing { side: Side::Code, model: None, audit, ..one }
}

fn evidence(env: &TestEnv) -> Value {
    let run = env.llmc(&["call", "triage", "--describe", "--message-format", "json"]).expect(0);
    run.events().into_iter().find(|event| event["event"] == "component").unwrap()["evidence"].clone()
}

#[test]
fn demoted_code_stays_so_until_other_code_is_accepted() {
    let turned_code = CODE.replace("High", "?").replace("Low", "High").replace('?', "Low");
    let (env, _server, code) = hardened(&[LOW, &turned_code, LOW]);
    assert_eq!(evidence(&env)["demoted"], false);
    // Two that disagree, of processes that knew nothing of each other: each has too little evidence, both have enough.
    keep(&env, &[audited(200, &code, true, (0, 0)), audited(201, &code, false, (0, 0))]);
    let seen = evidence(&env);
    assert_eq!(
        (&seen["agreed"], &seen["disagreed"], &seen["demoted"]),
        (&json!(1), &json!(1), &json!(false)),
        "{seen}"
    );
    // What another code of this component did is not held against this one.
    keep(&env, &[audited(202, "other", false, (0, 5))]);
    assert_eq!(evidence(&env)["demoted"], false);
    let last = audited(203, &code, false, (0, 0));
    assert!(!last.audit.as_ref().unwrap().evidence.demoted);
    keep(&env, &[last]);
    assert_eq!(evidence(&env)["demoted"], true);
    // It can't earn its way back.
    keep(&env, &(300..400).map(|number| audited(number, &code, true, (0, 0))).collect::<Vec<_>>());
    let seen = evidence(&env);
    assert_eq!((&seen["agreed"], &seen["demoted"]), (&json!(101), &json!(true)), "{seen}");
    let run = env.llmc(&["call", "triage", "Fire!"]).expect(0);
    assert!(run.stdout == "\"low\"\n" && run.stderr.contains("answered by openai/test"), "{run}");
    assert!(run.stderr.contains("the code of `triage` was demoted at"), "{run}");
    let shown = env.llmc(&["show", "triage"]).expect(0).stdout;
    assert!(shown.contains("demoted") && shown.contains("the model answers alone since"), "{shown}");
    // What was recorded before is of another world.
    let run = env.llmc(&["harden", "triage", "-n", "1"]).expect(8);
    assert!(run.stderr.contains("calls from before that play no part"), "{run}");
    // Since then the model answered everything, and otherwise. (After the call above, which is of today.)
    let today = 20_000_000;
    record(&env, today..today + 300, &format!("{code}+d1"), turned);
    let run = env.llmc(&["harden", "triage", "-n", "1"]).expect(0);
    assert!(run.stderr.contains("300 calls recorded") && !run.stderr.contains("this is attempt"), "{run}");
    assert_eq!(evidence(&env)["demoted"], true, "what waits answers nothing");
    env.llmc(&["accept", "triage"]).expect(0);
    let seen = evidence(&env);
    assert_eq!(
        (&seen["agreed"], &seen["disagreed"], &seen["demoted"]),
        (&json!(0), &json!(0), &json!(false)),
        "{seen}"
    );
    let run = env.llmc(&["call", "triage", "Fire!"]).expect(0);
    assert!(run.stdout == "\"low\"\n" && run.stderr.contains("answered by code"), "{run}");
}

#[test]
fn what_code_leaves_to_its_model_is_no_sample_to_certify_by() {
    let (env, server, code) = hardened(&[]);
    let asked = server.received().len();
    record(&env, 300..600, &format!("{code}+d2"), usual);
    let run = env.llmc(&["harden", "triage", "-n", "1"]).expect(8);
    assert!(run.stderr.contains("300 calls are passed over"), "{run}");
    assert_eq!(server.received().len(), asked, "nothing was spent");
}

// ---- watching ----

/// `llmc harden --watch`, stopped at the end, whatever comes.
struct Watch {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Watch {
    fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        let watch = ["harden", "--watch", "--interval", "50ms", "-n", "1", "--message-format", "json"];
        let mut command = env.command(&[&watch[..], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let event = serde_json::from_str(&line.unwrap()).expect("every line is a JSON event");
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        Self { child, events, seen: Vec::new() }
    }

    /// The next event of this kind.
    #[track_caller]
    fn until(&mut self, name: &str) -> Value {
        loop {
            let event = self.events.recv_timeout(LONGEST);
            let event = event.unwrap_or_else(|error| panic!("no `{name}`: {error}\n{:#?}", self.seen));
            self.seen.push(event.clone());
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The next standing, which has to be this one.
    #[track_caller]
    fn stands(&mut self, status: &str) -> Value {
        let event = self.until("standing");
        assert_eq!((&event["component"], &event["status"]), (&json!("triage"), &json!(status)), "{event}");
        event
    }

    /// Waits for its end; the exit code.
    fn end(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    fn interrupt(self) -> i32 {
        // SAFETY: it is our own child, and was not waited for.
        unsafe { libc::kill(i32::try_from(self.child.id()).unwrap(), libc::SIGINT) };
        self.end()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn code_is_proposed_when_enough_was_seen_and_again_when_it_was_demoted() {
    let turned_code = CODE.replace("High", "?").replace("Low", "High").replace('?', "Low");
    let (env, server) = workspace([RASH, CODE, &turned_code, LOW].map(Reply::chat).into());
    // One program a try, as the script has them.
    env.write("llmc.yaml", &(env.read("llmc.yaml") + "sampling: { repairs: 0 }\n"));
    record(&env, 0..60, "d1", usual);
    let mut watch = Watch::start(&env, &[]);
    assert_eq!(watch.until("watching")["components"], json!(["triage"]));
    let few = watch.stands("too_few");
    assert_eq!((&few["inputs"], &few["cases"]), (&json!(30), &json!(30)), "{few}");
    // Fewer would do for no certificate, whatever the code: 59 without a disagreement, at 6/π² of alpha 69.
    assert_eq!(few["least_cases"], 69);
    assert_eq!(server.received().len(), 0, "nothing is spent on what could come to nothing only");
    record(&env, 60..150, "d1", usual);
    watch.stands("ready");
    // The first program says the same to everything: nothing to promise.
    let tried = watch.until("hardened");
    assert_eq!(tried["certificate"], Value::Null, "{tried}");
    assert_eq!(watch.stands("tried")["again"], 225);
    // More calls, and not enough of them. What comes next comes after they were seen.
    record(&env, 150..224, "d1", usual);
    record(&env, 224..300, "d1", usual);
    watch.stands("ready");
    let proposed = watch.until("proposal");
    assert_eq!((&proposed["spec"], &proposed["origin"]), (&json!("triage"), &json!("harden")));
    assert_ne!(watch.until("hardened")["certificate"], Value::Null);
    watch.stands("waits");
    assert_eq!(server.received().len(), 2);
    // Accepted while it watches: code answers.
    env.llmc(&["accept", "triage"]).expect(0);
    let code = sha256(env.read("generated/src/triage.rs"));
    keep(&env, &[audited(200, &code, true, (0, 0))]);
    let answers = watch.stands("answers");
    assert_eq!(answers["outdated"], false);
    // Demoted while it watches: it waits for what the model says since, and makes other code of that.
    keep(&env, &[audited(201, &code, false, (1, 0)), audited(202, &code, false, (1, 1))]);
    let few = watch.stands("too_few");
    assert_eq!((&few["inputs"], &few["cases"]), (&json!(0), &json!(0)), "{few}");
    record(&env, 1000..1300, &format!("{code}+d1"), turned);
    watch.stands("ready");
    assert_eq!(watch.until("hardened")["traces"], 300);
    watch.stands("waits");
    assert_eq!(server.received().len(), 3);
    env.llmc(&["accept", "triage"]).expect(0);
    let run = env.llmc(&["call", "triage", "Fire!"]).expect(0);
    assert!(run.stdout == "\"low\"\n" && run.stderr.contains("answered by code"), "{run}");
    assert_eq!(watch.interrupt(), 0);
}

#[test]
fn a_watch_keeps_to_one_budget_and_outlives_a_provider() {
    let dear = json!({
        "choices": [{"message": {"role": "assistant", "content": RASH}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 19_000, "completion_tokens": 900},
    });
    let dear = Reply::new(200, dear.to_string()).header("content-type", "application/json");
    let refused = Reply::new(401, "{\"error\": {\"message\": \"who are you?\"}}");
    let (env, server) = workspace(vec![refused, dear]);
    env.write("llmc.yaml", &(env.read("llmc.yaml") + "budget: { tokens: 20000 }\nsampling: { max_tokens: 1000 }\n"));
    record(&env, 0..150, "d1", usual);
    let mut watch = Watch::start(&env, &["triage"]);
    watch.stands("ready");
    // The provider says no: that is told, and tried again.
    let told = watch.until("warning");
    assert!(told["message"].as_str().unwrap().starts_with("`triage`: "), "{told}");
    assert_eq!(watch.until("hardened")["certificate"], Value::Null);
    watch.stands("tried");
    // What is left of the budget is enough for nothing.
    record(&env, 150..300, "d1", usual);
    watch.stands("ready");
    assert_eq!(watch.until("error")["code"], 4);
    assert_eq!(watch.end(), 4);
    assert_eq!(server.received().len(), 2);
}

#[test]
fn only_components_are_watched() {
    let (env, _server) = workspace(vec![]);
    assert!(env.llmc(&["harden"]).expect(1).stderr.contains("--watch"));
    assert!(env.llmc(&["harden", "--watch", "nobody"]).expect(1).stderr.contains("no spec `nobody`"));
    std::fs::remove_file(env.path("specs/triage.yaml")).unwrap();
    assert!(env.llmc(&["harden", "--watch"]).expect(1).stderr.contains("there is no component to watch"));
    assert!(env.llmc(&["harden", "--watch", "--interval", "0s"]).expect(1).stderr.contains("--interval"));
}
