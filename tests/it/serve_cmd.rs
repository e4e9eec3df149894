//! `llmc serve` itself: a workspace's component, answered by a scripted model, over pipes and over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::env::{Run, TestEnv};
use crate::server::{Reply, Server};

const TRIAGE: &str = "llmc: 1\nname: triage\nkind: component\ndescription: How urgent a ticket is.\n\
    input: { type: string }\noutput: { enum: [low, high] }\n";
pub(crate) const TOKEN: &str = "0123456789abcdef";

fn workspace(server: &Server) -> TestEnv {
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", TRIAGE);
    env
}

/// A server that is stopped at the end, whatever comes.
pub(crate) struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_mcp_client_has_a_workspaces_components_as_tools() {
    let server = Server::script(vec![Reply::chat("\"high\"")]);
    let env = workspace(&server);
    // Whatever the environment wants, standard output is the protocol's.
    let mut command = env.command(&["serve", "--mcp"]);
    command.env("LLMC_MESSAGE_FORMAT", "json").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let request = |id: u64, method: &str, params: Value| {
        format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    };
    let mut input = child.stdin.take().unwrap();
    let said = [
        request(1, "initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}})),
        request(2, "tools/list", json!({})),
        request(3, "tools/call", json!({"name": "triage", "arguments": {"input": "My screen is black"}})),
    ];
    input.write_all(said.concat().as_bytes()).unwrap();
    drop(input);
    let run = Run::from(child.wait_with_output().unwrap()).expect(0);
    let mut answers = run.events();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers.len(), 3, "{run}");
    let tool = &answers[1]["result"]["tools"][0];
    assert_eq!((&tool["name"], &tool["description"]), (&json!("triage"), &json!("How urgent a ticket is.")));
    assert_eq!((&tool["_meta"]["llmc/side"], &tool["_meta"]["llmc/model"]), (&json!("model"), &json!("openai/test")));
    let result = &answers[2]["result"];
    assert_eq!((&result["content"][0]["text"], &result["isError"]), (&json!("high"), &json!(false)), "{run}");
    assert_eq!(result["_meta"]["llmc/side"], "model");
    assert!(run.stderr.contains("serving 1 component over MCP: triage"), "{run}");
    let shown = env.llmc(&["trace", "last"]).expect(0).stdout;
    assert!(shown.contains("\"My screen is black\" → \"high\""), "{shown}");
}

/// Starts it, and hears where it is.
pub(crate) fn listening(env: &TestEnv, arguments: &[&str]) -> (Serving, Value) {
    let mut command = env.command(&[&["serve", "--message-format", "json"], arguments].concat());
    command.env("LLMC_SERVE_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let serving = Serving(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (serving, serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

pub(crate) fn post(url: &str, path: &str, body: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[test]
fn an_http_client_calls_a_workspaces_components_and_ctrl_c_ends_it() {
    let server = Server::script(vec![Reply::chat("\"high\"")]);
    let env = workspace(&server);
    let (mut serving, event) = listening(&env, &[]);
    assert_eq!((&event["event"], &event["components"]), (&json!("serving"), &json!(["triage"])));
    assert_eq!(event["token"], Value::Null, "the one that was given is not told");
    let url = event["url"].as_str().unwrap();
    let (status, answer) = post(url, "/v1/components/triage", "\"My screen is black\"");
    assert_eq!((status.as_str(), &answer["output"], &answer["side"]), ("200", &json!("high"), &json!("model")));
    assert_eq!((&answer["model"], &answer["usage"]["requests"]), (&json!("openai/test"), &json!(1)), "{answer}");
    let (status, answer) = post(url, "/v1/components/triage", "7");
    assert_eq!((status.as_str(), &answer["error"]["class"]), ("400", &json!("input")));
    let pid = i32::try_from(serving.0.id()).unwrap();
    // SAFETY: the process is a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    assert_eq!(serving.0.wait().unwrap().code(), Some(0));
    let shown = env.llmc(&["trace", "last"]).expect(0).stdout;
    assert!(shown.contains("triage"), "{shown}");
}

#[test]
fn what_a_person_would_be_asked_is_denied_and_a_wrong_name_told() {
    let server = Server::script(Vec::new());
    let env = workspace(&server);
    env.write("rules.json", "[{\"component\": \"triage\", \"then\": \"ask\"}]");
    let (_serving, event) = listening(&env, &["--rules", "rules.json"]);
    let (status, answer) = post(event["url"].as_str().unwrap(), "/v1/components/triage", "\"x\"");
    assert_eq!((status.as_str(), &answer["error"]["class"]), ("403", &json!("denied")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("nobody to ask"), "{answer}");
    assert!(server.received().is_empty());

    let wrong = env.llmc(&["serve", "triag"]).expect(1);
    assert!(wrong.stderr.contains("triag"), "{wrong}");
    let nothing = TestEnv::workspace().llmc(&["serve"]).expect(1);
    assert!(nothing.stderr.contains("this workspace has no components"), "{nothing}");
    let open = env.llmc(&["serve", "--listen", "0.0.0.0:0"]).expect(1);
    assert!(open.stderr.contains("--listen 0.0.0.0:0 needs a token of yours"), "{open}");
}
