//! `llmc trace`: what is shown of calls that were recorded.

use llmc::harness::{Attempt, CallError, Class, Crossing, Side, Usage};
use llmc::ledger::Ledger;
use serde_json::{Value, json};

use crate::env::TestEnv;

fn crossing(run: &str, id: u64, parent: Option<u64>, component: &str, output: Value) -> Crossing {
    Crossing {
        run: run.to_owned(),
        id,
        parent,
        component: component.to_owned(),
        side: Side::Code,
        input: json!({"id": id}),
        output: Some(output),
        error: None,
        model: None,
        digest: None,
        usage: Usage::default(),
        started: 1_795_401_600_000 + id,
        micros: 1500,
        attempts: Vec::new(),
        approval: Default::default(),
        from: None,
        audit: None,
    }
}

fn env() -> TestEnv {
    let env = TestEnv::workspace();
    std::fs::create_dir_all(env.path(".llmc")).unwrap();
    let ledger = Ledger::open(&env.path(".llmc")).unwrap();
    let mut first = vec![
        crossing("aa01", 1, None, "triage", json!("urgent")),
        crossing("aa01", 2, Some(1), "classify", json!({"label": "bug\u{1b}[31m"})),
        crossing("aa01", 3, Some(1), "lookup", json!(7)),
    ];
    first[1].side = Side::Model;
    first[1].model = Some("openai/gpt-x".into());
    first[1].usage = Usage { prompt_tokens: 100, completion_tokens: 20, usd: 0.0125, requests: 2 };
    let error = CallError::new("classify", Class::FormatViolation, "no JSON");
    first[1].attempts = vec![Attempt { component: "classify".into(), error: Some(error), output: None, micros: 900 }];
    first[2].output = None;
    first[2].error = Some(CallError::new("lookup", Class::Failed, "no such order").on(Side::Code));
    ledger.keep(&first).unwrap();
    let mut second = first.clone();
    for crossing in &mut second {
        crossing.run = "ab02".into();
        crossing.started += 60_000;
    }
    second[1].output = Some(json!({"label": "feature"}));
    second[1].side = Side::Code;
    second[1].model = None;
    second[1].usage = Usage::default();
    second.pop();
    ledger.keep(&second).unwrap();
    env
}

#[test]
fn runs_are_listed_and_shown_as_trees() {
    let env = env();
    insta::assert_snapshot!(env.llmc(&["trace"]).expect(0).stdout, @r#"
    when (UTC)           run   calls  by code  failed  tokens     usd  took  components
    2026-11-23 02:41:00  ab02      2        2       0       0          2 ms  triage
    2026-11-23 02:40:00  aa01      3        1       1     120  0.0125  3 ms  triage
    "#);
    insta::assert_snapshot!(env.llmc(&["trace", "aa"]).expect(0).stdout, @r#"
    run aa01, 2026-11-23 02:40:00 (UTC), 3 calls
    └─ 1 triage [code] 1.500 ms: {"id":1} → "urgent"
       ├─ 2 classify [openai/gpt-x] 1.500 ms, 120 tokens, 2 attempts: {"id":2} → {"label":"bug\u001b[31m"}
       └─ 3 lookup [code] 1.500 ms: {"id":3} → ✗ failed: no such order
    120 tokens, $0.0125 in all
    "#);
    insta::assert_snapshot!(env.llmc(&["trace", "aa", "--failed"]).expect(0).stdout, @r#"
    run aa01, 2026-11-23 02:40:00 (UTC), 3 calls
    └─ 1 triage [code] 1.500 ms: {"id":1} → "urgent"
       └─ 3 lookup [code] 1.500 ms: {"id":3} → ✗ failed: no such order
    "#);
    insta::assert_snapshot!(env.llmc(&["trace", "aa", "--call", "2"]).expect(0).stdout, @r#"
    call        2 of run aa01
    component   classify
    side        model
    model       openai/gpt-x
    called by   call 1
    when        2026-11-23 02:40:00 (UTC), 1.500 ms
    took        2 requests, 100 + 20 tokens, $0.012500
    input       {
                  "id": 2
                }
    output      {
                  "label": "bug\u001b[31m"
                }
    tried       classify, 900 µs: format-violation: no JSON
    "#);
}

#[test]
fn two_runs_side_by_side() {
    let env = env();
    insta::assert_snapshot!(env.llmc(&["trace", "last", "--with", "aa01"]).expect(0).stdout, @r#"
    aa01 → ab02: 1 of 3 calls answered the same
    triage → classify: {"id":2}
      - {"label":"bug\u001b[31m"} (model, call 2)
      + {"label":"feature"} (code, call 2)
    triage → lookup: {"id":3}
      - ✗ failed: no such order (code, call 3)
      + was not called
    tokens 120 → 0, time 1.500 ms → 1.500 ms
    "#);
    let events = env.llmc(&["trace", "last", "--with", "aa01", "--message-format", "json"]).expect(0).events();
    let same: Vec<bool> = events.iter().map(|event| event["same"].as_bool().unwrap()).collect();
    assert_eq!(same, [true, false, false]);
    assert_eq!(events[2]["after"], Value::Null);
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let env = env();
    let told = |arguments: &[&str]| env.llmc(arguments).expect(1).stderr;
    assert!(told(&["trace", "zz"]).contains("no run is called `zz`"));
    assert!(told(&["trace", "a"]).contains("`a` is the beginning of several runs: ab02, aa01"));
    assert!(told(&["trace", "aa", "--call", "9"]).contains("run aa01 has no call 9; its calls are 1 to 3"));
    assert!(told(&["trace", "--component", "nothing"]).contains("no such call was recorded here"));
    assert!(told(&["trace", "--since", "2x"]).contains("is no time"));
    let empty = TestEnv::workspace();
    assert!(empty.llmc(&["trace"]).expect(1).stderr.contains("nothing was called here yet"));
}

#[test]
fn filters_and_json() {
    let env = env();
    let events = env.llmc(&["trace", "aa01", "--side", "model", "--message-format", "json"]).expect(0).events();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["event"], &events[0]["model"]), (&json!("crossing"), &json!("openai/gpt-x")));
    let runs = env.llmc(&["trace", "--side", "model", "--message-format", "json"]).expect(0).events();
    assert_eq!(runs.len(), 1);
    assert_eq!((&runs[0]["run"], &runs[0]["calls"], &runs[0]["by_code"]), (&json!("aa01"), &json!(3), &json!(1)));
}
