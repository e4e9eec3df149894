//! `llmc call`: components and artifacts by name, answered by a scripted server and by code in the sandbox.

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::server::{Reply, Server};

const TRIAGE: &str = "llmc: 1\nname: triage\nkind: component\ndescription: How urgent a ticket is.\n\
    input: { type: string }\noutput: { enum: [low, high] }\n\
    examples:\n  - { input: The server is on fire, output: high }\n";
const HALF: &str = "llmc: 1\nname: half\ndescription: Half of an even number.\n\
    signature: \"pub fn half(number: i64) -> Result<i64, String>\"\nsampling: { samples: 1 }\n\
    examples:\n  - call: half(4)\n    returns: Ok(2)\n  - call: half(3)\n    matches: Err(_)\n";
const HALF_CODE: &str = "```rust\npub fn half(number: i64) -> Result<i64, String> {\n    if number == 13 { panic!(\"unlucky\") }\n    \
    if number % 2 == 0 { Ok(number / 2) } else { Err(format!(\"{number} is odd\")) }\n}\n```";

fn last_request(server: &Server) -> Value {
    server.received().last().expect("something was asked").json()
}

#[test]
fn a_component_answers_and_its_call_is_kept() {
    let server = Server::script(vec![Reply::chat("\"high\"")]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", TRIAGE);
    let before = env.git(&["status", "--porcelain"]);
    let run = env.llmc(&["call", "triage", "My screen is black"]).expect(0);
    assert_eq!(run.stdout, "\"high\"\n");
    assert!(run.stderr.contains("answered by openai/test in "), "{run}");
    let asked = last_request(&server).to_string();
    assert!(asked.contains("My screen is black") && asked.contains("The server is on fire"), "{asked}");
    let shown = env.llmc(&["trace", "last"]).expect(0).stdout;
    assert!(shown.contains("1 triage [openai/test]") && shown.contains("\"My screen is black\" → \"high\""), "{shown}");
    assert_eq!(env.git(&["status", "--porcelain"]), before, "nothing of the user's was touched");
}

#[test]
fn an_artifact_is_called_by_name_in_the_sandbox() {
    let server = Server::script(vec![Reply::chat(HALF_CODE)]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/half.yaml", HALF);
    let early = env.llmc(&["call", "half", "4"]).expect(1);
    assert!(early.stderr.contains("`half` has no code yet") && early.stderr.contains("llmc build half"), "{early}");
    env.llmc(&["build"]).expect(0);
    let run = env.llmc(&["call", "half", "8"]).expect(0);
    assert_eq!(run.stdout, "4\n");
    assert!(run.stderr.contains("answered by code in "), "{run}");
    let run = env.llmc(&["call", "half", "7"]).expect(3);
    assert!(run.stderr.contains("`half` (code): 7 is odd"), "{run}");
    let run = env.llmc(&["call", "half", "13"]).expect(3);
    assert!(run.stderr.contains("it panicked: unlucky"), "{run}");
    let answer = &env.llmc(&["call", "half", "10", "--message-format", "json"]).expect(0).events()[0];
    assert_eq!((&answer["output"], &answer["side"], &answer["tokens"]), (&json!(5), &json!("code"), &json!(0)));
    // The model was asked for the build alone.
    assert_eq!(server.received().len(), 1);
}

#[test]
fn a_component_uses_an_artifact_as_its_tool() {
    let tool = json!({"choices": [{"message": {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "half", "arguments": "{\"input\": 10}"}}]},
        "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 50, "completion_tokens": 9}});
    let server =
        Server::script(vec![Reply::chat(HALF_CODE), Reply::new(200, tool.to_string()), Reply::chat("\"it is 5\"")]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/half.yaml", HALF);
    let agent = "llmc: 1\nname: agent\nkind: component\ndescription: Answers questions on numbers.\n\
        input: { type: string }\noutput: { type: string }\ntools: [half]\n";
    env.write("specs/agent.yaml", agent);
    env.llmc(&["build", "half"]).expect(0);
    let run = env.llmc(&["call", "agent", "What is half of ten?"]).expect(0);
    assert_eq!(run.stdout, "\"it is 5\"\n");
    assert!(run.stderr.contains("2 calls in all"), "{run}");
    let tree = env.llmc(&["trace", "last"]).expect(0).stdout;
    assert!(tree.contains("└─ 2 half [code]") && tree.contains("10 → 5"), "{tree}");
    assert!(last_request(&server).to_string().contains('5'), "the tool's answer went back");
}

#[test]
fn a_tools_error_is_the_models_or_the_callers_as_the_spec_says() {
    let tool = json!({"choices": [{"message": {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "half", "arguments": "{\"input\": 7}"}}]},
        "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 50, "completion_tokens": 9}});
    let tool = Reply::new(200, tool.to_string());
    let server =
        Server::script(vec![Reply::chat(HALF_CODE), tool.clone(), Reply::chat("it has none"), tool.clone(), tool]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/half.yaml", HALF);
    let agent = "llmc: 1\nname: agent\nkind: component\ndescription: Answers questions on numbers.\n\
        input: { type: string }\noutput: { type: string }\ntools: [half]\n";
    env.write("specs/agent.yaml", agent);
    env.llmc(&["build", "half"]).expect(0);
    assert_eq!(env.llmc(&["call", "agent", "half of 7?"]).expect(0).stdout, "\"it has none\"\n");
    assert!(last_request(&server).to_string().contains("7 is odd"), "the model is told");
    env.write("specs/agent.yaml", &format!("{agent}tool_errors: caller\n"));
    let run = env.llmc(&["call", "agent", "half of 7?"]).expect(3);
    assert!(run.stderr.contains("`half` (code): 7 is odd [called through agent]"), "{run}");
    assert_eq!(server.received().len(), 4, "the model is not asked again");
    // Without tools it has no meaning, and that is told before anything is called.
    env.write("specs/agent.yaml", &agent.replace("tools: [half]", "tool_errors: caller"));
    assert!(env.llmc(&["check"]).expect(2).stderr.contains("there are no `tools`"));
}

#[test]
fn approvals_hold_on_the_command_line() {
    let server = Server::script(vec![Reply::chat("\"low\""), Reply::chat("\"low\"")]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", &format!("{TRIAGE}approval: ask\n"));
    let refused = env.llmc(&["call", "triage", "x"]).expect(1);
    assert!(refused.stderr.contains("needs an approval, and there is nobody to ask"), "{refused}");
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert_eq!(server.received().len(), 0);
    env.llmc(&["call", "triage", "x", "--yes"]).expect(0);
    env.write("rules.yaml", "- { component: tri*, arguments: { '': secret }, then: deny }\n");
    let denied = env.llmc(&["call", "triage", "secret", "--yes", "--rules", "rules.yaml"]).expect(1);
    assert!(denied.stderr.contains("a rule denies this call"), "{denied}");
    env.llmc(&["call", "triage", "open", "--yes", "--rules", "rules.yaml"]).expect(0);
    env.write("rules.yaml", "- { component: tri*, than: deny }\n");
    let wrong = env.llmc(&["call", "triage", "x", "--rules", "rules.yaml"]).expect(1);
    assert!(wrong.stderr.contains("unknown key `than`"), "{wrong}");
}

#[test]
fn what_can_not_be_called_is_told() {
    let server = Server::script(vec![Reply::chat("\"medium\""), Reply::chat("\"medium\""), Reply::chat("\"low\"")]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", TRIAGE);
    let told = |arguments: &[&str], code: i32| env.llmc(arguments).expect(code).stderr;
    assert!(told(&["call", "triag", "x"], 1).contains("did you mean `triage`?"));
    assert!(told(&["call", "triage"], 1).contains("it takes an input, and none is given"));
    let wrong = told(&["call", "triage", "x"], 3);
    assert!(wrong.contains("format violation") || wrong.contains("does not fit"), "{wrong}");
    assert_eq!(server.received().len(), 2, "it was sent back once");
    // The same call again, and it says what it was then.
    let run = env.llmc(&["call", "triage", "--replay", "last"]).expect(0);
    assert_eq!(run.stdout, "\"low\"\n");
    let described = env.llmc(&["call", "triage", "--describe"]).expect(0).stdout;
    assert!(described.contains("triage (model)") && described.contains("How urgent a ticket is."), "{described}");
    let number = env.llmc(&["call", "triage", "--replay", "last:7"]).expect(1).stderr;
    assert!(number.contains("holds no such call"), "{number}");
    assert!(told(&["call", "triage", "x", "--max-tokens", "1"], 4).contains("tokens"));
}
