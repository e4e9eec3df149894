//! Components called by other people's clients: the MCP project's own in Python (two generations of it) and
//! TypeScript, and `requests`. By hand, since they come from package registries:
//! `cargo nextest run --run-ignored only --no-capture -E 'test(outside)'`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::outside::{packages, tried};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outside");
const TOKEN: &str = "0123456789abcdef";

/// `examples/serve.rs`, which cargo builds with the tests.
fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_llmc")).parent().unwrap();
    let program = folder.join("examples/serve");
    assert!(program.exists(), "cargo build --example serve");
    program
}

/// It, over HTTP.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(program());
        command.arg("--http").env("LLMC_SERVE_TOKEN", TOKEN).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn told(command: &mut Command) -> Value {
    let output = command.env("NO_PROXY", "127.0.0.1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_python_mcp_clients_call_components() {
    for (package, version) in [("mcp==2.3.0", "2026-07-28"), ("mcp==1.30.0", "2025-11-25")] {
        let Some(packages) = packages(&[package]) else { return };
        let server = Server::start();
        let program = program();
        let url = format!("{}/mcp", server.url);
        for arguments in [vec!["stdio", program.to_str().unwrap()], vec!["http", &url, TOKEN]] {
            let mut python = Command::new("python3");
            python.env("PYTHONPATH", packages.path()).arg(format!("{FOLDER}/mcp_client.py")).args(&arguments);
            let seen = told(&mut python);
            assert_eq!(seen["version"], version, "{arguments:?}");
            let names: Vec<&Value> = seen["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
            assert_eq!(names, ["broken", "classify", "pay", "shout", "sleep", "words"]);
            let calls = &seen["calls"];
            assert_eq!(calls["classify"]["structured"], json!({"label": "urgent", "score": 0.9}));
            assert_eq!(calls["shout"]["text"], json!(["IT IS HERE"]));
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
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_typescript_mcp_client_calls_components() {
    let folder = tempfile::tempdir().unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder.path());
    let Some(()) = tried(npm.arg("@modelcontextprotocol/sdk@1.32.2"), "the package of npm") else { return };
    let server = Server::start();
    let program = program();
    let url = format!("{}/mcp", server.url);
    for arguments in [vec!["stdio", program.to_str().unwrap()], vec!["http", &url, TOKEN]] {
        let mut node = Command::new("node");
        node.current_dir(folder.path()).arg(format!("{FOLDER}/mcp_client.mjs")).args(&arguments);
        let seen = told(&mut node);
        assert_eq!(seen["server"]["name"], "llmc");
        assert_eq!(seen["tools"].as_array().unwrap().len(), 6);
        assert_eq!(seen["together"][0]["structuredContent"]["label"], "urgent");
        assert_eq!(seen["together"][1]["content"][0]["text"], "IT IS HERE");
        assert_eq!(seen["together"][2]["isError"], true);
        assert!(seen["stopped"].as_str().unwrap().contains("given up"), "{seen}");
        assert_eq!(seen["after"]["content"][0]["text"], "[\"one\",\"two\"]");
        assert_eq!(seen["unknown"], -32602);
    }
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_http_client_calls_components() {
    let Some(packages) = packages(&["requests==2.32.5"]) else { return };
    let server = Server::start();
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages.path()).args([
        format!("{FOLDER}/http_client.py"),
        server.url.clone(),
        TOKEN.into(),
    ]);
    let seen = told(&mut python);
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
