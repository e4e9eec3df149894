//! Providers as a user meets them: settings, keys, messages, `llmc models`.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::server::{Reply, Server};

const CANARY: &str = "sk-canary-5f1e0a9b";
const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
sampling: { samples: 2 }
"#;

/// A workspace whose model is behind `url`, reached with a key from the environment.
fn env(provider: &str, url: &str) -> TestEnv {
    let env = TestEnv::workspace();
    env.write(
        "llmc.yaml",
        &format!(
            "model: {provider}/test\nproviders:\n  {provider}: {{ base_url: \"{url}/v1\", api_key_env: CANARY_KEY, \
             first_token_seconds: 0.5 }}\n"
        ),
    );
    env.write("specs/double.yaml", SPEC);
    env
}

fn llmc(env: &TestEnv, arguments: &[&str]) -> Run {
    env.command(arguments).env("CANARY_KEY", CANARY).output().unwrap().into()
}

/// Every file below a folder that holds the canary.
fn holding_the_key(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            found.extend(holding_the_key(&path));
        } else if std::fs::read(&path).unwrap().windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn no_key_is_in_any_output_or_file_whatever_a_server_does_with_it() {
    let echo = format!("{{\"error\": {{\"message\": \"you sent {CANARY}\"}}}}");
    let page = format!("<html><title>{CANARY}</title></html>");
    let good = format!("```rust\npub fn double(n: i32) -> i32 {{\n    // {CANARY}\n    n * 2\n}}\n```\n");
    let openai_good = Reply::chat(&good);
    let anthropic_good = Reply::new(
        200,
        serde_json::json!({"type": "message", "model": CANARY, "content": [{"type": "thinking", "thinking": CANARY},
            {"type": "text", "text": good}], "stop_reason": "end_turn"})
        .to_string(),
    );
    // The library's own suite has many more; these are here for what is around it.
    for (provider, good) in [("openai", openai_good), ("anthropic", anthropic_good)] {
        let refused = Reply::new(401, echo.clone()).header("x-request-id", CANARY);
        let broken = Reply::new(500, page.clone()).header("x-should-retry", "false");
        for (name, reply, code) in [("a refusal", refused, 5), ("a page", broken, 5), ("a good reply", good, 0)] {
            let server = Server::script(vec![reply]);
            let env = env(provider, &server.url);
            let run = llmc(&env, &["build", "--message-format", "json", "-v"]);
            assert!(!run.to_string().contains("canary"), "{provider}, {name}: {run}");
            assert_eq!(run.code, code, "{provider}, {name}: {run}");
            let run = llmc(&env, &["models"]).expect(0);
            assert!(!run.to_string().contains("canary"), "{provider}, {name}: {run}");
            // The server did get it.
            let header = if provider == "openai" { "authorization" } else { "x-api-key" };
            assert!(server.received()[0].header(header).unwrap().ends_with(CANARY));
            assert_eq!(holding_the_key(&env.root()), Vec::<std::path::PathBuf>::new(), "{provider}, {name}");
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn no_key_is_in_the_ledger_in_its_log_or_in_git() {
    let good = format!("```rust\npub fn double(n: i32) -> i32 {{\n    // {CANARY}\n    n * 2\n}}\n```\n");
    // Which sample is asked for first is open, so the next build may have to ask as well.
    let replies = vec![Reply::chat(&good), Reply::chat(&good).after(std::time::Duration::from_millis(300))];
    let server = Server::script(replies);
    let env = env("openai", &server.url);
    let settings = env.read("llmc.yaml").replace("first_token_seconds: 0.5", "concurrency: 1");
    env.write("llmc.yaml", &settings);
    let mut command = env.command(&["build", "--message-format", "json"]);
    let mut child = command.env("CANARY_KEY", CANARY).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(lines).map_while(Result::ok);
    assert!(lines.any(|line| line.contains(r#""event":"sampled""#)));
    child.kill().unwrap();
    child.wait().unwrap();
    // The log that a killed build leaves holds the sample, and not the key that was in it.
    let log = std::fs::read(env.path(".llmc/ledger.db-wal")).unwrap();
    assert!(log.windows(7).any(|bytes| bytes == b"// [key"), "the sample is not in the log");
    assert_eq!(holding_the_key(&env.root()), Vec::<std::path::PathBuf>::new());

    llmc(&env, &["build", "-n", "1"]).expect(0);
    assert_eq!(holding_the_key(&env.root()), Vec::<std::path::PathBuf>::new());
    let everything = [
        llmc(&env, &["ledger", "export"]).expect(0).to_string(),
        llmc(&env, &["ledger", "stats", "--by", "sample"]).expect(0).to_string(),
        llmc(&env, &["show", "double", "--samples"]).expect(0).to_string(),
        llmc(&env, &["build", "--estimate", "--no-cache"]).expect(0).to_string(),
        env.git(&["log", "-p", "--all"]),
    ];
    assert!(everything.iter().all(|text| !text.contains("canary")), "{everything:?}");
    assert!(everything[0].contains("[key]") && everything[4].contains("[key]"));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_not_trusted_and_the_message_says_so() {
    let (url, connections) = untrusted();
    for provider in ["openai", "anthropic"] {
        let run = llmc(&env(provider, &url), &["build"]).expect(5);
        assert!(run.stderr.contains(&format!("can't reach {url}/v1/")), "{run}");
        assert!(run.stderr.contains("securely: "), "{run}");
        assert!(run.stderr.contains("certificate"), "{run}");
        assert!(run.stderr.contains("does this machine trust the server's certificate?"), "{run}");
    }
    // No other sample was asked for, and no request got through to be read.
    let seen = connections.lock().unwrap().clone();
    assert!(!seen.is_empty() && seen.iter().all(|read| *read == 0), "{seen:?}");
}

/// A server whose certificate is signed by itself; and for each connection how many bytes of a request it got.
fn untrusted() -> (String, Arc<Mutex<Vec<usize>>>) {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    let certificate = CertificateDer::from(include_bytes!("data/untrusted.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("data/untrusted.key.der").to_vec());
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let connections: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = connections.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut bytes = [0; 1024];
            let read = std::io::Read::read(&mut rustls::Stream::new(&mut connection, &mut stream), &mut bytes);
            seen.lock().unwrap().push(read.unwrap_or(0));
        }
    });
    (url, connections)
}

#[test]
fn a_failing_server_is_explained_with_what_to_do() {
    let server = Server::script(vec![Reply::new(404, r#"{"error":"model 'test' not found"}"#)]);
    let run = llmc(&env("openai", &server.url), &["build"]).expect(5);
    assert!(run.stderr.contains("answered HTTP 404: model 'test' not found"), "{run}");
    assert!(run.stderr.contains("hint: are the model's name and `base_url` right? `llmc models` shows"), "{run}");
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_the_server() {
    for (scheme, status) in [("http", 407), ("https", 403)] {
        let proxy = Server::script(vec![Reply::new(status, "not you")]);
        let env = env("openai", &format!("{scheme}://models.invalid"));
        let run: Run = env
            .command(&["build"])
            .env("CANARY_KEY", CANARY)
            .env(format!("{scheme}_proxy"), &proxy.url)
            .output()
            .unwrap()
            .into();
        let run = run.expect(5);
        assert!(run.stderr.contains("models.invalid/v1/chat/completions through the proxy"), "{run}");
        assert!(run.stderr.contains("hint: HTTPS_PROXY and HTTP_PROXY name the proxy"), "{run}");
        assert!(!run.to_string().contains("canary"));
        if scheme == "https" {
            // All that the proxy sees of a secure connection is where it goes.
            assert_eq!(proxy.received()[0].path, "models.invalid:443");
            assert_eq!(proxy.received()[0].header("authorization"), None);
        }
    }
}

#[test]
fn a_workspace_may_not_read_a_file_for_its_key_and_says_where_it_sends_one() {
    let server = Server::script(vec![Reply::new(401, "")]);
    let env = env("openai", &server.url);
    let run = llmc(&env, &["build"]).expect(5);
    assert!(run.stderr.contains(&format!("llmc.yaml sends the key in CANARY_KEY to {}/v1", server.url)), "{run}");

    let asked = server.received().len();
    env.write("secret", "anything");
    env.write(
        "llmc.yaml",
        &format!(
            "model: openai/x\nproviders: {{ openai: {{ base_url: \"{}\", api_key_file: secret }} }}\n",
            server.url
        ),
    );
    let run = llmc(&env, &["build"]).expect(1);
    assert!(run.stderr.contains("`providers.openai.api_key_file` works in your own settings only"), "{run}");
    assert_eq!(server.received().len(), asked);
}

#[test]
fn a_users_own_key_file_is_used_for_the_users_own_server_only() {
    let (own, other) = (Server::script(vec![Reply::new(401, "")]), Server::script(vec![Reply::new(401, "")]));
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    env.write("../home/.key", &format!("{CANARY}\n"));
    env.write(
        "../home/.config/llmc/config.yaml",
        &format!("model: openai/x\nproviders: {{ openai: {{ base_url: \"{}\", api_key_file: ~/.key }} }}\n", own.url),
    );
    env.llmc(&["build"]).expect(5);
    assert_eq!(own.received()[0].header("authorization"), Some("Bearer sk-canary-5f1e0a9b"));
    env.write("llmc.yaml", &format!("providers: {{ openai: {{ base_url: \"{}\" }} }}\n", other.url));
    env.llmc(&["build"]).expect(5);
    assert_eq!(other.received()[0].header("authorization"), None);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn recorded_completions_build_offline() {
    let env = TestEnv::workspace();
    env.write("llmc.yaml", "model: replay/samples.jsonl\n");
    env.write("specs/double.yaml", SPEC);
    env.write(
        "samples.jsonl",
        "{\"id\": 1, \"completion\": \"```rust\\npub fn double(n: i32) -> i32 { n + n }\\n```\"}\n{\"id\": 2, \"completion\": \"no\"}\n",
    );
    let run = env.llmc(&["build", "--offline", "--message-format", "json"]).expect(0);
    let finished = run.finished();
    assert_eq!(
        (&finished["status"], &finished["sampled"], &finished["passed"]),
        (&"built".into(), &2.into(), &1.into())
    );
    assert!(env.read("generated/src/double.rs").contains("n + n"));
    assert!(env.git(&["log", "-1", "--format=%B"]).contains("Llmc-Model: replay/samples.jsonl"));
    env.write("samples.jsonl", "{\"id\": 1}");
    let run = env.llmc(&["build", "--offline", "--no-cache"]).expect(1);
    assert!(run.stderr.contains("`samples.jsonl`: line 1: neither `text` nor `completion` holds a text"), "{run}");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_program_of_the_workspace_builds_and_is_announced() {
    let env = TestEnv::workspace();
    env.write("model.sh", "echo '```rust'; echo 'pub fn double(n: i32) -> i32 { n * 2 }'; echo '```'\n");
    env.write("llmc.yaml", "model: command/mine\nproviders: { command: { programs: { mine: [sh, model.sh] } } }\n");
    env.write("specs/double.yaml", SPEC);
    let run = env.llmc(&["build"]).expect(0);
    assert!(run.stderr.contains("llmc.yaml runs `sh model.sh` to sample command/mine"), "{run}");
    env.write("llmc.yaml", "model: command/other\nproviders: { command: { programs: { mine: [sh, model.sh] } } }\n");
    let run = env.llmc(&["build", "--no-cache"]).expect(1);
    assert!(run.stderr.contains("`command/other`: the settings name no such program"), "{run}");
}

/// The state of each model listed, by name.
fn listed(run: &Run) -> Vec<(String, bool, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let models = run.events().into_iter().filter(|event| event["event"] == "model");
    models.map(|event| (text(&event["model"]), event["usable"] == true, text(&event["state"]))).collect()
}

#[test]
fn models_says_what_is_reachable_and_why_the_rest_is_not() {
    let list = Reply::new(200, r#"{"data":[{"id":"qwen3"},{"id":"gemma"}]}"#);
    let server = Server::script(vec![list, Reply::new(401, "no"), Reply::new(200, "<html>")]);
    let env = env("openai", &server.url);
    let run = llmc(&env, &["models", "--message-format", "json"]).expect(0);
    let models = listed(&run);
    let at = format!("at {}/v1", server.url);
    assert!(models.contains(&("openai/qwen3".into(), true, at.clone())), "{run}");
    assert!(models.contains(&("openai/gemma".into(), true, at)), "{run}");
    assert!(
        models.contains(&(
            "anthropic/NAME".into(),
            false,
            "ANTHROPIC_API_KEY is not set; for another server set `providers.anthropic.base_url`".into()
        )),
        "{run}"
    );
    assert!(models.iter().any(|(name, usable, _)| name == "command/NAME" && !usable), "{run}");
    let chosen = run.events().into_iter().find(|event| event["event"] == "chosen").unwrap();
    assert_eq!((&chosen["model"], &chosen["why"]), (&"openai/test".into(), &"the settings say so".into()));
    assert_eq!(
        (server.received()[0].path.as_str(), server.received()[0].header("authorization")),
        ("/v1/models", Some("Bearer sk-canary-5f1e0a9b"))
    );

    let run = llmc(&env, &["models"]).expect(0);
    assert!(run.stdout.contains("refused the key (HTTP 401); is the key in the environment the right one"), "{run}");
    let run = llmc(&env, &["models"]).expect(0);
    assert!(run.stdout.contains("something that is no list of models: a web page"), "{run}");

    let run = llmc(&env, &["models", "--offline", "--message-format", "json"]).expect(0);
    assert!(listed(&run).contains(&("openai/NAME".into(), false, "--offline".into())), "{run}");
    assert!(listed(&run).contains(&("a local Ollama".into(), false, "--offline".into())), "{run}");
    assert_eq!(server.received().len(), 3, "--offline opens no socket");
}
