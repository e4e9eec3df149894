//! The components of a workspace, called through `llmc serve` by other people's clients: the MCP project's own in Python
//! (two generations of it) and TypeScript, and `requests`. The models behind them are scripted, the code runs in the sandbox.
//!
//! `./x test` runs them after all others, since they come from package registries. By hand:
//! `cargo nextest run --run-ignored only --no-capture -E 'test(outside)'`.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::outside::{installed, packages, tried};
use crate::serve_cmd::{TOKEN, listening};
use crate::server::{Received, Reply, Server};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outside");
/// What the workspace has: a component for each thing that can happen, and two functions.
const SPECS: [(&str, &str); 6] = [
    (
        "classify",
        "kind: component\ndescription: How urgent a ticket is.\n\
         input: { type: object, properties: { subject: { type: string } }, required: [subject] }\n\
         output:\n  type: object\n  properties: { label: { enum: [urgent, normal] }, score: { type: number } }\n  \
         required: [label, score]\n",
    ),
    (
        "broken",
        "kind: component\ndescription: The model behind it is down.\ninput: { type: string }\noutput: { type: string }\n",
    ),
    (
        "pay",
        "kind: component\ndescription: Pays an amount.\napproval: ask\n\
         input: { type: object, properties: { amount: { type: integer } }, required: [amount] }\noutput: { type: string }\n",
    ),
    ("sleep", "kind: component\ndescription: Answers too late.\ninput: { type: integer }\noutput: { type: integer }\n"),
    (
        "shout",
        "description: The same text in capitals.\nsignature: \"pub fn shout(text: &str) -> String\"\n\
         examples:\n  - call: shout(\"a b\")\n    returns: '\"A B\"'\n",
    ),
    (
        "words",
        "description: The words of a text.\nsignature: \"pub fn words(text: &str) -> Vec<String>\"\n\
         examples:\n  - call: words(\"a\")\n    returns: 'vec![\"a\".to_string()]'\n",
    ),
];

/// The models: who is asked stands in the description.
fn model(request: &Received, _: usize) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    let code = |body: &str| Reply::chat(&format!("```rust\npub fn {body}\n```"));
    if body.contains("The same text in capitals.") {
        code("shout(text: &str) -> String {\n    text.to_uppercase()\n}")
    } else if body.contains("The words of a text.") {
        code("words(text: &str) -> Vec<String> {\n    text.split_whitespace().map(str::to_string).collect()\n}")
    } else if body.contains("How urgent a ticket is.") {
        let label = if body.contains("on fire") { "urgent" } else { "normal" };
        Reply::chat(&json!({ "label": label, "score": 0.9 }).to_string())
    } else if body.contains("Answers too late.") {
        match body.contains("3600") {
            true => Reply::chat("1").hang(0),
            false => Reply::chat("1").after(Duration::from_secs(3)),
        }
    } else {
        Reply::new(401, "down")
    }
}

/// The workspace, with its functions built.
fn workspace() -> (TestEnv, Server) {
    let server = Server::answering(model);
    let env = TestEnv::with_server(&server.url);
    for (name, spec) in SPECS {
        let sampling = if spec.starts_with("kind") { "" } else { "sampling: { samples: 1 }\n" };
        env.write(&format!("specs/{name}.yaml"), &format!("llmc: 1\nname: {name}\n{spec}{sampling}"));
    }
    env.llmc(&["build"]).expect(0);
    (env, server)
}

/// How a client starts the command itself.
fn by_stdio(env: &TestEnv) -> Vec<String> {
    let root = env.root().display().to_string();
    ["stdio", env!("CARGO_BIN_EXE_llmc"), "-C", &root, "serve", "--mcp"].map(str::to_owned).to_vec()
}

fn by_http(url: &str) -> Vec<String> {
    vec!["http".to_owned(), format!("{url}/mcp"), TOKEN.to_owned()]
}

#[track_caller]
fn told(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_python_mcp_clients_call_components() {
    let (env, _server) = workspace();
    for (package, version) in [("mcp==2.3.0", "2026-07-28"), ("mcp==1.30.0", "2025-11-25")] {
        let packages = packages(&[package]).expect("the package can be had");
        let (_serving, event) = listening(&env, &[]);
        for arguments in [by_stdio(&env), by_http(event["url"].as_str().unwrap())] {
            let mut python = env.program("python3");
            python.env("PYTHONPATH", &packages).arg(format!("{FOLDER}/mcp_client.py")).args(&arguments);
            let seen = told(&mut python);
            assert_eq!(seen["version"], version, "{arguments:?}");
            let names: Vec<&Value> = seen["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
            assert_eq!(names, ["broken", "classify", "pay", "shout", "sleep", "words"]);
            let calls = &seen["calls"];
            assert_eq!(calls["classify"]["structured"], json!({"label": "urgent", "score": 0.9}));
            assert_eq!(calls["classify"]["meta"]["llmc/side"], "model");
            assert_eq!(calls["shout"]["text"], json!(["IT IS HERE"]));
            assert_eq!(calls["shout"]["meta"]["llmc/side"], "code");
            assert_eq!(calls["words"]["text"], json!(["[\"one\",\"two\"]"]));
            assert_eq!(calls["broken"]["is_error"], true);
            assert_eq!(calls["broken"]["meta"]["llmc/error"]["class"], "provider");
            assert_eq!(calls["pay"]["meta"]["llmc/error"]["class"], "denied");
            assert_eq!(seen["wrong input"]["meta"]["llmc/error"]["class"], "input");
            assert_eq!(seen["unknown"], "Unknown tool: nothing");
            let wanted: Vec<String> = (0..100).map(|number| format!("N{number}")).collect();
            assert_eq!(seen["many"], json!(wanted));
        }
    }
    // They were calls like any other, those that were denied as well.
    let kept = env.llmc(&["trace", "--component", "pay", "--failed", "--message-format", "json"]).expect(0);
    assert_eq!(kept.events().len(), 4, "{kept}");
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_typescript_mcp_client_calls_components() {
    let sdk = "@modelcontextprotocol/sdk@1.32.2";
    let install = |folder: &std::path::Path| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
        tried(npm.arg(sdk), "the package of npm")
    };
    let folder = installed(sdk, install).expect("the package can be had");
    let (env, server) = workspace();
    let (_serving, event) = listening(&env, &[]);
    for arguments in [by_stdio(&env), by_http(event["url"].as_str().unwrap())] {
        let before = server.hung_up();
        let mut node = env.program("node");
        node.current_dir(&folder).arg(format!("{FOLDER}/mcp_client.mjs")).args(&arguments);
        let seen = told(&mut node);
        assert_eq!(seen["server"]["name"], "llmc");
        assert_eq!(seen["tools"].as_array().unwrap().len(), 6);
        assert_eq!(seen["together"][0]["structuredContent"]["label"], "urgent");
        assert_eq!(seen["together"][1]["content"][0]["text"], "IT IS HERE");
        assert_eq!(seen["together"][2]["isError"], true);
        assert!(seen["stopped"].as_str().unwrap().contains("given up"), "{seen}");
        assert_eq!(seen["after"]["content"][0]["text"], "[\"one\",\"two\"]");
        assert_eq!(seen["unknown"], -32602);
        // What the client gave up is asked of no model any longer, whether llmc goes on (HTTP) or ends.
        let patience = Instant::now() + Duration::from_secs(20);
        while server.hung_up() == before {
            assert!(Instant::now() < patience, "{arguments:?}: the model is still asked");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_http_client_calls_components() {
    let packages = packages(&["requests==2.32.5"]).expect("the package can be had");
    let (env, _server) = workspace();
    let (_serving, event) = listening(&env, &[]);
    let mut python = env.program("python3");
    let arguments = [format!("{FOLDER}/http_client.py"), event["url"].as_str().unwrap().to_owned(), TOKEN.into()];
    let seen = told(python.env("PYTHONPATH", &packages).args(arguments));
    let status = |what: &str| seen[what]["status"].as_u64().unwrap();
    assert_eq!(seen["health"], json!({"status": 200, "body": {"ok": true}}));
    assert_eq!((status("no token"), status("nothing")), (401, 404));
    assert_eq!(seen["list"]["body"]["components"].as_array().unwrap().len(), 6);
    assert_eq!(seen["one"]["body"]["description"], "How urgent a ticket is.");
    assert_eq!(seen["classify"]["body"]["output"], json!({"label": "urgent", "score": 0.9}));
    assert_eq!(
        (&seen["shout"]["body"]["output"], &seen["shout"]["body"]["side"]),
        (&json!("IT IS HERE"), &json!("code"))
    );
    for (what, code, class) in [("wrong input", 400, "input"), ("broken", 502, "provider"), ("pay", 403, "denied")] {
        assert_eq!((status(what), &seen[what]["body"]["error"]["class"]), (code, &json!(class)), "{what}");
    }
    let wanted: Vec<String> = (0..200).map(|number| format!("N{number}")).collect();
    assert_eq!(seen["many"], json!(wanted));
}
