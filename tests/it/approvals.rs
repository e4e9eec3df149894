//! Rules of the settings on who may call what, and attempts to get around them: by the workspace's own files, by flags,
//! through tools, over HTTP and MCP, by a test, by a replay. The commands are real, the models are scripted.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::env::{Run, TestEnv};
use crate::serve_cmd::{listening, post};
use crate::server::{Received, Reply, Server};

const USER: &str = "../home/.config/llmc/config.yaml";
const PAY: &str = "llmc: 1\nname: pay_out\nkind: component\ndescription: Pays an amount.\n\
    input:\n  type: object\n  properties: { amount: { type: number }, currency: { type: string } }\n  \
    required: [amount, currency]\n\
    output: { enum: [paid, failed] }\napproval: allow\n\
    examples:\n  - { input: { amount: 1, currency: EUR }, output: paid }\nexpect: { agree: 0.5 }\n";
const AGENT: &str = "llmc: 1\nname: agent\nkind: component\ndescription: Does what it is told.\n\
    input: { type: string }\noutput: { type: string }\ntools: [pay_out]\n";
const EURO: &str = "{\"amount\": 100, \"currency\": \"EUR\"}";

/// What is being paid: the agent calls its tool with what it is asked, and answers once it has a result.
fn model(request: &Received, _: usize) -> Reply {
    let body = request.json();
    if !is_of_agent(request) {
        return Reply::chat("\"paid\"");
    }
    let messages = body["messages"].as_array().unwrap();
    if messages.iter().any(|message| message["role"] == "tool") {
        return Reply::chat("it is done");
    }
    let currency = if body.to_string().contains("bitcoin") { "XBT" } else { "EUR" };
    let arguments = json!({"amount": 100, "currency": currency}).to_string();
    let call = json!({"id": "c1", "type": "function", "function": {"name": "pay_out", "arguments": arguments}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    let choice = json!({"message": message, "finish_reason": "tool_calls"});
    Reply::new(200, json!({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}}).to_string())
        .header("content-type", "application/json")
}

fn is_of_agent(request: &Received) -> bool {
    String::from_utf8_lossy(&request.body).contains("Does what it is told.")
}

/// How often the model of what pays was asked.
fn paid(server: &Server) -> usize {
    server.received().iter().filter(|request| !is_of_agent(request)).count()
}

fn workspace(user: &str, own: &str) -> (TestEnv, Server) {
    let server = Server::answering(model);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/pay_out.yaml", PAY);
    env.write("specs/agent.yaml", AGENT);
    set(&env, user, own);
    (env, server)
}

/// Rules of the user, and of the workspace.
fn set(env: &TestEnv, user: &str, own: &str) {
    let rules = |rules: &str| if rules.is_empty() { String::new() } else { format!("approvals: {rules}\n") };
    env.write(USER, &rules(user));
    let settings = env.read("llmc.yaml");
    let kept: String =
        settings.lines().filter(|line| !line.starts_with("approvals")).flat_map(|line| [line, "\n"]).collect();
    env.write("llmc.yaml", &(kept + &rules(own)));
}

#[track_caller]
fn denied(run: &Run) {
    assert!(run.code == 1 && (run.stderr.contains("a rule denies this call")), "{run}");
}

#[test]
fn nothing_in_a_workspace_and_no_flag_opens_what_the_user_denies() {
    let (env, server) = workspace("", "");
    // One run is recorded while it may be called.
    env.llmc(&["call", "pay_out", EURO]).expect(0);
    assert_eq!(paid(&server), 1);
    // A stranger's workspace says in every way that it may.
    let open = "[{ component: '*', then: allow }, { component: pay_out, caller: main, then: allow }, { then: allow }]";
    env.write("open.yaml", "- { component: pay_out, then: allow }\n- { then: allow }\n");
    for user in ["[{ component: 'pay_*', then: deny }]", "[{ then: allow }, { component: pay_out, then: deny }]"] {
        set(&env, user, open);
        let more: [&[&str]; 6] = [
            &[],
            &["--yes"],
            &["--rules", "open.yaml"],
            &["--yes", "--rules", "open.yaml", "--fresh"],
            &["--model-only", "--yes"],
            &["--max-usd", "5", "--yes"],
        ];
        for flags in more {
            denied(&env.llmc(&[&["call", "pay_out", EURO], flags].concat()));
            denied(&env.llmc(&[&["call", "agent", "pay 100"], flags].concat()));
        }
        denied(&env.llmc(&["call", "pay_out", "--replay", "last", "--yes"]));
        let tested = env.llmc(&["test", "pay_out", "--yes", "--rules", "open.yaml"]).expect(1);
        assert!(tested.stderr.contains("can't be tested") && tested.stderr.contains("a rule denies"), "{tested}");
        served(&env);
    }
    assert_eq!(paid(&server), 1, "it was reached by none of them");
}

/// The same over HTTP, twenty at once, and over MCP.
fn served(env: &TestEnv) {
    let (_serving, event) = listening(env, &["--rules", "open.yaml"]);
    let url = event["url"].as_str().unwrap().to_owned();
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let url = url.clone();
            std::thread::spawn(move || match number % 2 {
                0 => post(&url, "/v1/components/pay_out", EURO),
                _ => post(&url, "/v1/components/agent", "\"pay 100\""),
            })
        })
        .collect();
    for call in calls {
        let (status, body) = call.join().unwrap();
        assert_eq!((status.as_str(), &body["error"]["class"]), ("403", &json!("denied")), "{body}");
    }
    let mut command = env.command(&["serve", "--mcp", "--rules", "open.yaml"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let request = |id: u64, method: &str, params: Value| {
        format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    };
    let euro: Value = serde_json::from_str(EURO).unwrap();
    let said = [
        request(1, "initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}})),
        request(2, "tools/call", json!({"name": "pay_out", "arguments": euro})),
        request(3, "tools/call", json!({"name": "agent", "arguments": {"input": "pay 100"}})),
    ];
    child.stdin.take().unwrap().write_all(said.concat().as_bytes()).unwrap();
    let run = Run::from(child.wait_with_output().unwrap()).expect(0);
    let answers = run.events();
    let calls: Vec<&Value> =
        answers.iter().filter(|answer| answer["id"] != 1).map(|answer| &answer["result"]).collect();
    assert_eq!(calls.len(), 2, "{run}");
    assert!(calls.iter().all(|call| call["_meta"]["llmc/error"]["class"] == "denied"), "{run}");
}

#[test]
fn the_strictest_rule_decides_in_whichever_file_it_stands() {
    let (env, server) = workspace("", "");
    let (allow, ask, deny) = (
        "[{ component: pay_out, then: allow }]",
        "[{ component: pay_out, then: ask }]",
        "[{ component: pay_out, then: deny }]",
    );
    for (user, own, file) in [(ask, allow, allow), (allow, ask, allow), (allow, allow, ask), (ask, "", "[]")] {
        set(&env, user, own);
        env.write("rules.yaml", file);
        let refused = env.llmc(&["call", "pay_out", EURO, "--rules", "rules.yaml"]).expect(1);
        assert!(refused.stderr.contains("needs an approval, and there is nobody to ask"), "{refused}");
        let before = paid(&server);
        env.llmc(&["call", "pay_out", EURO, "--rules", "rules.yaml", "--yes"]).expect(0);
        assert_eq!(paid(&server), before + 1);
    }
    let before = paid(&server);
    for (user, own, file) in [(deny, ask, allow), (allow, deny, ask), (ask, allow, deny), ("", deny, "[]")] {
        set(&env, user, own);
        env.write("rules.yaml", file);
        denied(&env.llmc(&["call", "pay_out", EURO, "--rules", "rules.yaml", "--yes"]));
    }
    assert_eq!(paid(&server), before);
}

#[test]
fn a_rule_holds_for_its_arguments_and_its_caller_however_they_are_dressed() {
    let own = "[{ component: pay_out, arguments: { /currency: XBT }, then: deny }, \
               { caller: agent, arguments: { /amount: 100 }, then: deny }]";
    let (env, server) = workspace("", own);
    for input in [
        "{\"amount\": 1, \"currency\": \"XBT\"}",
        "{\"currency\": \"X\\u0042T\", \"amount\": 1}",
        "{\"currency\": \"EUR\", \"currency\": \"XBT\", \"amount\": 1}",
    ] {
        denied(&env.llmc(&["call", "pay_out", input, "--yes"]));
    }
    // 100 of anything, through the agent.
    denied(&env.llmc(&["call", "agent", "pay 100", "--yes"]));
    denied(&env.llmc(&["call", "agent", "pay 100 in bitcoin", "--yes"]));
    assert_eq!(paid(&server), 0);
    env.llmc(&["call", "pay_out", "{\"amount\": 1e2, \"currency\": \"EUR\"}"]).expect(0);
    set(&env, "[{ component: pay_out, arguments: { /amount: 100 }, then: deny }]", "");
    denied(&env.llmc(&["call", "pay_out", "{\"amount\": 1e2, \"currency\": \"EUR\"}"]));
    assert_eq!(paid(&server), 1);
}

#[test]
fn rules_that_can_not_be_read_open_nothing() {
    let (env, server) = workspace("", "");
    for (user, own, told) in [
        ("", "[{ component: pay_out, than: deny }]", "unknown key `than`"),
        ("", "[{ component: pay_out, then: Deny }]", "`then` must be one of `allow`, `ask`, `deny`"),
        ("", "~", "`approvals` must be a list"),
        ("", "{ pay_out: deny }", "`approvals` must be a list"),
        ("[{ component: pay_out }]", "[]", "the rule has no `then`"),
        ("[{ component: pay_out, arguments: { amount: 1 }, then: deny }]", "[]", "`amount` is no JSON pointer"),
    ] {
        set(&env, user, own);
        for arguments in [&["call", "pay_out", EURO, "--yes"][..], &["serve"], &["test", "pay_out"]] {
            let refused = env.llmc(arguments).expect(1);
            assert!(refused.stderr.contains(told), "{refused}");
        }
    }
    set(&env, "", "");
    env.write("rules.yaml", "component: pay_out\nthen: deny\n");
    let refused = env.llmc(&["call", "pay_out", EURO, "--rules", "rules.yaml"]).expect(1);
    assert!(refused.stderr.contains("the rules must be a list"), "{refused}");
    env.llmc(&["call", "pay_out", EURO, "--rules", "nowhere.yaml"]).expect(1);
    assert!(server.received().is_empty());
}

#[test]
fn a_rule_for_a_name_that_nothing_has_is_warned_of() {
    let (env, _server) = workspace("", "[{ component: pay_ut, then: deny }, { component: 'x*', then: deny }]");
    let run = env.llmc(&["call", "pay_out", EURO]).expect(0);
    let told = "`approvals` in llmc.yaml has a rule for `pay_ut`, and nothing is called that; did you mean `pay_out`?";
    assert!(run.stderr.contains(told) && run.stderr.matches("has a rule for").count() == 1, "{run}");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_rule_about_a_spec_holds_for_all_its_functions() {
    let code = "```rust\npub fn words(text: &str) -> usize {\n    text.split_whitespace().count()\n}\n\n\
                pub fn lines(text: &str) -> usize {\n    text.lines().count()\n}\n```";
    let server = Server::script(vec![Reply::chat(code)]);
    let env = TestEnv::with_server(&server.url);
    env.write(
        "specs/text.yaml",
        "llmc: 1\nname: text\ndescription: Counts.\nsampling: { samples: 1 }\n\
         interface: |\n  pub fn words(text: &str) -> usize;\n  pub fn lines(text: &str) -> usize;\n\
         examples:\n  - call: words(\"a b\")\n    returns: 2\n  - call: lines(\"a b\")\n    returns: 1\n",
    );
    env.llmc(&["build"]).expect(0);
    assert_eq!(env.llmc(&["call", "text.words", "a b c"]).expect(0).stdout, "3\n");
    set(&env, "[{ component: text, then: deny }]", "[{ component: text.words, then: allow }]");
    denied(&env.llmc(&["call", "text.words", "a b c"]));
    set(&env, "", "[{ component: text.words, then: deny }]");
    denied(&env.llmc(&["call", "text.words", "a b c"]));
    assert_eq!(env.llmc(&["call", "text.lines", "a b c"]).expect(0).stdout, "1\n");
}
