//! Budgets of calls: a day's cap holds for components as for builds, and a server's own for as long as it serves. What
//! does not fit is not sent, and the error says whose cap it was.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::serve_cmd::{listening, post};
use crate::server::{Reply, Server};

const TRIAGE: &str = "llmc: 1\nname: triage\nkind: component\ndescription: How urgent a ticket is.\n\
    input: { type: string }\noutput: { enum: [low, high] }\nsampling: { max_tokens: 50 }\n\
    examples:\n  - { input: Fire, output: high }\nexpect: { agree: 0.9 }\n";
const DOUBLE: &str = "llmc: 1\nname: double\ndescription: Twice a number.\nsignature: 'fn double(x: u32) -> u32'\n\
    sampling: { samples: 1, max_tokens: 50 }\nexamples:\n  - { call: double(2), returns: 4 }\n";

/// An answer of which nobody tells what it took: it counts as the most that it could.
fn untold(text: &str) -> Reply {
    let choice = json!({"message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    Reply::new(200, json!({ "choices": [choice] }).to_string()).header("content-type", "application/json")
}

fn settings(env: &TestEnv, server: &Server, more: &str) {
    let text = format!(
        "model: openai/test\nproviders: {{ openai: {{ base_url: \"{}/v1\" }} }}\n\
         prices: {{ openai/test: {{ input: 1000, output: 2000 }} }}\n{more}",
        server.url
    );
    env.write("llmc.yaml", &text);
}

/// What the calls of components took so far: requests, tokens, US dollars.
fn taken(env: &TestEnv) -> (u64, u64, f64) {
    let rows = env.llmc(&["ledger", "stats", "--message-format", "json"]).expect(0).events();
    let row = rows.iter().find(|row| row["event"] == "spending").expect("something was spent");
    (row["calls"].as_u64().unwrap(), row["calls_tokens"].as_u64().unwrap(), row["calls_usd"].as_f64().unwrap())
}

/// A workspace in which one call was made, and what that took at most. A seed has a digit more or less.
fn one_call(server: &Server) -> (TestEnv, u64, f64) {
    let env = TestEnv::workspace();
    settings(&env, server, "");
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["call", "triage", "Fire"]).expect(0);
    let (calls, tokens, usd) = taken(&env);
    assert_eq!(calls, 1);
    assert!(tokens > 500 && usd > 0.5, "{tokens} tokens, ${usd}");
    (env, tokens, usd)
}

#[test]
fn a_days_cap_holds_for_calls_and_builds_together() {
    let server = Server::script(vec![untold("\"high\"")]);
    let (env, tokens, usd) = one_call(&server);
    let home = "../home/.config/llmc/config.yaml";
    for (own, workspace, cap) in [
        ("", format!("tokens_per_day: {}", tokens * 3 / 2), "budget.tokens_per_day is"),
        ("", format!("usd_per_day: {}", usd * 1.5), "budget.usd_per_day is"),
        // A workspace allows no more than whoever pays.
        (
            "tokens_per_day: 600",
            "tokens_per_day: 99999999".to_owned(),
            "budget.tokens_per_day of your own settings is 600",
        ),
        ("usd_per_day: 0.01", "usd_per_day: 9999".to_owned(), "budget.usd_per_day of your own settings is $0.0100"),
    ] {
        env.write(home, &if own.is_empty() { String::new() } else { format!("budget: {{ {own} }}\n") });
        settings(&env, &server, &format!("budget: {{ {workspace} }}\n"));
        let refused = env.llmc(&["call", "triage", "Fire"]).expect(4);
        assert!(refused.stderr.contains(cap) && refused.stderr.contains("is spent, and the next request"), "{refused}");
        // What the call took is gone for builds as well.
        env.write("specs/double.yaml", DOUBLE);
        let built = env.llmc(&["build", "double"]).expect(4);
        assert!(built.stderr.contains(cap), "{built}");
        std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
        let tested = env.llmc(&["test", "triage"]).expect(8);
        assert!(tested.stdout.contains(cap), "{tested}");
    }
    assert_eq!(server.received().len(), 1, "nothing was sent that did not fit");
    // The call that was not made is in the record, with its class.
    let kept = env.llmc(&["trace", "last", "--message-format", "json"]).expect(0).stdout;
    assert!(kept.contains("\"class\":\"budget\""), "{kept}");
    // There is room again.
    env.write(home, "");
    settings(&env, &server, &format!("budget: {{ tokens_per_day: {} }}\n", tokens * 5 / 2));
    env.llmc(&["call", "triage", "Fire"]).expect(0);
    env.llmc(&["call", "triage", "Fire"]).expect(4);
    assert_eq!((server.received().len(), taken(&env).0), (2, 2));
}

#[test]
fn what_a_build_took_is_gone_for_calls() {
    let code = "```rust\nfn double(x: u32) -> u32 {\n    x * 2\n}\n```";
    let server = Server::script(vec![untold(code)]);
    let env = TestEnv::workspace();
    settings(&env, &server, "");
    env.write("specs/double.yaml", DOUBLE);
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["build", "double"]).expect(0);
    settings(&env, &server, "budget: { usd_per_day: 0.5 }\n");
    let refused = env.llmc(&["call", "triage", "Fire"]).expect(4);
    assert!(refused.stderr.contains("`triage` (model): budget.usd_per_day is $0.5000: $"), "{refused}");
    assert_eq!(server.received().len(), 1);
}

/// That many calls at once, and their statuses with their errors, sorted.
fn at_once(url: &str, count: usize) -> Vec<(String, Value)> {
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let url = url.to_owned();
            thread::spawn(move || post(&url, "/v1/components/triage", "\"Fire\""))
        })
        .collect();
    let mut answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    answers.sort_by(|one, other| one.0.cmp(&other.0));
    answers
}

#[test]
fn a_server_asks_no_model_once_its_own_cap_is_spent_however_many_call_at_once() {
    let server = Server::answering(|_, _| untold("\"high\"").after(Duration::from_millis(100)));
    let (env, tokens, usd) = one_call(&server);
    for (flag, cap) in [("--max-tokens", (tokens * 7 / 2).to_string()), ("--max-usd", (usd * 3.5).to_string())] {
        let before = server.received().len();
        let (_serving, event) = listening(&env, &[flag, &cap]);
        let url = event["url"].as_str().unwrap();
        let answers = at_once(url, 12);
        let (made, refused) = answers.split_at(3);
        assert!(made.iter().all(|(status, _)| status == "200"), "{answers:?}");
        for (status, body) in refused {
            assert_eq!((status.as_str(), &body["error"]["class"]), ("402", &json!("budget")), "{body}");
            assert!(body["error"]["message"].as_str().unwrap().starts_with(&format!("{flag} is ")), "{body}");
        }
        assert_eq!(server.received().len() - before, 3);
        // Later ones find nothing left either.
        assert_eq!(at_once(url, 1)[0].0, "402");
        assert_eq!(server.received().len() - before, 3);
    }
}

#[test]
fn what_is_on_its_way_is_waited_for_where_it_may_leave_enough() {
    // The server tells what its answers took, which is little.
    let server = Server::answering(|_, number| {
        if number == 0 { untold("\"high\"") } else { Reply::chat("\"high\"").after(Duration::from_millis(50)) }
    });
    let (env, tokens, _) = one_call(&server);
    let (_serving, event) = listening(&env, &["--max-tokens", &(tokens * 3 / 2).to_string()]);
    let answers = at_once(event["url"].as_str().unwrap(), 6);
    assert!(answers.iter().all(|(status, _)| status == "200"), "{answers:?}");
    assert_eq!((server.received().len(), server.most_at_once()), (7, 1));
    // A call's own cap is another one.
    let (_serving, event) = listening(&env, &["--max-tokens-per-call", "100"]);
    let (status, body) = &at_once(event["url"].as_str().unwrap(), 1)[0];
    assert_eq!(status, "402");
    assert!(body["error"]["message"].as_str().unwrap().contains("of the run's 100 are left"), "{body}");
}

#[test]
fn an_attempt_more_is_a_request_of_its_own() {
    // The first answer does not fit and is sent back; there is room for one.
    let server = Server::answering(|_, number| if number == 0 { untold("\"high\"") } else { untold("\"medium\"") });
    let (env, tokens, _) = one_call(&server);
    settings(&env, &server, &format!("budget: {{ tokens_per_day: {} }}\n", tokens * 5 / 2));
    let refused = env.llmc(&["call", "triage", "Fire"]).expect(4);
    assert!(refused.stderr.contains("budget.tokens_per_day is"), "{refused}");
    assert_eq!(server.received().len(), 2);
    assert_eq!(taken(&env).0, 2);
}

#[test]
fn hardening_spends_of_the_same_day() {
    let server = Server::script(vec![untold("no code")]);
    let env = TestEnv::workspace();
    settings(&env, &server, "budget: { tokens_per_day: 600 }\n");
    env.write("specs/triage.yaml", crate::harden::TRIAGE);
    crate::harden::record(&env, 300, 0);
    let refused = env.llmc(&["harden", "triage", "-n", "2"]).expect(4);
    assert!(refused.stderr.contains("budget.tokens_per_day is 600"), "{refused}");
    assert!(server.received().is_empty());
}
