//! Signing: keys that ssh-keygen made, ssh-agent, real git; the artifacts are built from replies written for the tests.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::server::{Reply, Server};

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
sampling: { samples: 1, temperature: 0.3 }
"#;
const RIGHT: &str = "```rust\npub fn double(n: i32) -> i32 {\n    n * 2\n}\n```\n";
pub(crate) const ENVELOPE: &str = "generated/provenance/double.dsse.json";
const RECORD: &str = "generated/provenance/double.json";

/// A key of ssh-keygen's, beside the workspace; its public line for `who`.
pub(crate) fn key(env: &TestEnv, name: &str, who: &str) -> String {
    let file = env.path(&format!("../home/{name}"));
    env.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", who, "-f", file.to_str().unwrap()], ".");
    let public = env.read(&format!("../home/{name}.pub"));
    let words: Vec<&str> = public.split_whitespace().collect();
    format!("{who} {} {}\n", words[0], words[1])
}

fn user_settings(env: &TestEnv, text: &str) {
    env.write("../home/.config/llmc/config.yaml", text);
}

/// A workspace with one spec, which asks for signatures; Ann's key is in her settings and among the signers.
fn workspace(replies: usize) -> (TestEnv, Server) {
    let server = Server::script((0..replies).map(|_| Reply::chat(RIGHT)).collect());
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    asks(&env, true);
    env.write("allowed_signers", &key(&env, "ann", "ann@example.org"));
    user_settings(&env, "sign: { key: ~/ann }\n");
    (env, server)
}

/// A workspace whose artifact is signed.
pub(crate) fn signed() -> TestEnv {
    let (env, _server) = workspace(1);
    env.llmc(&["build"]).expect(0);
    env
}

/// Switches signing on or off in llmc.yaml.
fn asks(env: &TestEnv, on: bool) {
    let text = env.read("llmc.yaml");
    let text =
        text.lines().filter(|line| !line.starts_with("sign:")).map(|line| format!("{line}\n")).collect::<String>();
    env.write("llmc.yaml", &if on { format!("{text}sign: {{ signers: allowed_signers }}\n") } else { text });
}

/// What `llmc verify` finds, as `PATH: MESSAGE`.
fn found(run: &Run) -> Vec<String> {
    let verified = run.events().into_iter().filter(|event| event["event"] == "verified");
    let differences = verified.flat_map(|event| event["differences"].as_array().unwrap().clone());
    let told = |one: Value| format!("{}: {}", one["path"].as_str().unwrap(), one["message"].as_str().unwrap());
    differences.map(told).collect()
}

fn verify(env: &TestEnv, arguments: &[&str]) -> Run {
    env.llmc(&[&["verify", "--message-format", "json"], arguments].concat())
}

#[test]
fn what_a_build_makes_is_signed_and_committed_with_its_signature() {
    let (env, _server) = workspace(1);
    env.git(&["add", "llmc.yaml", "allowed_signers"]);
    env.git(&["commit", "-qm", "first"]);
    env.llmc(&["build"]).expect(0);
    assert_eq!(
        env.committed(),
        [
            "generated/Cargo.toml",
            ENVELOPE,
            RECORD,
            "generated/src/double.rs",
            "generated/src/lib.rs",
            "generated/tests/double.rs",
            "specs/double.yaml"
        ]
    );
    let shown = env.llmc(&["show", "double", "--format", "intoto"]).expect(0).stdout;
    assert_eq!(shown, env.read(ENVELOPE));
    let envelope: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let statement = env.llmc(&["show", "double", "--format", "json"]).expect(0).stdout;
    let statement: Value = serde_json::from_str(&statement).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert!(!env.git(&["show", "HEAD"]).contains("PRIVATE KEY"));

    verify(&env, &[]).expect(0);
    let tree = env.git(&["rev-parse", "HEAD^{tree}"]);
    let run = env.llmc(&["replay", "double"]).expect(0);
    assert!(run.stdout.contains(&format!("tree {tree}")), "{run}");
    assert!(run.stdout.contains(&format!("{ENVELOPE}: the same bytes")), "{run}");
    // Another user, without a key, in a clone.
    user_settings(&env, "");
    env.git(&["clone", "-q", ".", "../clone"]);
    let run = env.llmc(&["-C", "../clone", "replay", "double"]).expect(0);
    assert!(run.stdout.contains(&format!("tree {tree}")), "{run}");
    env.llmc(&["-C", "../clone", "verify"]).expect(0);
    let run = env.llmc(&["build"]).expect(0);
    assert!(run.stderr.contains("Fresh double"), "{run}");
}

#[test]
fn without_a_key_nothing_is_asked_of_a_model() {
    let (env, server) = workspace(0);
    user_settings(&env, "");
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("you have named no key"), "{run}");
    env.write("allowed_signers", &key(&env, "bob", "bob"));
    user_settings(&env, "sign: { key: ~/ann }\n");
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("is not among those that may sign, in `allowed_signers`"), "{run}");
    fs::remove_file(env.path("allowed_signers")).unwrap();
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("failed to read who may sign, `allowed_signers`: it is not there"), "{run}");
    env.write("llmc.yaml", "sign: { key: ~/ann }\n");
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("a workspace can't say which key of yours to sign with"), "{run}");
    assert!(server.received().is_empty());
}

#[test]
fn a_signature_that_is_missing_wrong_or_a_strangers_is_found_and_named() {
    let (env, _server) = workspace(1);
    env.llmc(&["build"]).expect(0);
    verify(&env, &[]).expect(0);
    let good = env.read(ENVELOPE);
    let envelope: Value = serde_json::from_str(&good).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = envelope.clone();
        change(&mut other);
        format!("{}\n", serde_json::to_string_pretty(&other).unwrap())
    };
    let signature = envelope["signatures"][0]["sig"].as_str().unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let cases = [
        (
            changed(&|one| one["signatures"][0]["sig"] = format!("{first}{}", &signature[1..]).into()),
            "its signature is not one that the key of ann@example.org made",
        ),
        (changed(&|one| one["signatures"] = Value::Array(Vec::new())), "nobody signed it"),
        (changed(&|one| one["payload"] = "e30=".into()), "signs another record"),
        (changed(&|one| one["payloadType"] = "text/plain".into()), "its payload is not `application/vnd.in-toto+json`"),
        (changed(&|one| one["more"] = 1.into()), "is no envelope of llmc's: unknown field `more`"),
        (good.replace("\n  ", "\n "), "is not as llmc writes it"),
        (String::new(), "is no envelope of llmc's"),
    ];
    for (text, told) in cases {
        env.write(ENVELOPE, &text);
        let run = verify(&env, &[]).expect(6);
        let found = found(&run);
        assert_eq!(found.len(), 1, "{run}");
        assert!(found[0].starts_with(&format!("{ENVELOPE}: ")) && found[0].contains(told), "{told}: {run}");
    }
    fs::remove_file(env.path(ENVELOPE)).unwrap();
    let run = verify(&env, &[]).expect(6);
    assert!(found(&run)[0].contains("has to be signed by one of those in `allowed_signers`"), "{run}");
    let run = env.llmc(&["build"]).expect(0);
    assert!(run.stderr.contains("`double` is not signed: `llmc sign double`"), "{run}");
    env.write(ENVELOPE, &good);

    // Who runs it may trust others than the workspace does.
    env.write("../bob_only", &key(&env, "bob", "bob"));
    let run = verify(&env, &["--signers", "../bob_only"]).expect(6);
    assert!(found(&run)[0].contains("is signed by a key that is not among the signers: SHA256:"), "{run}");
    let own = env.read("allowed_signers");
    env.write("allowed_signers", &format!("{own}bob cert-authority ssh-ed25519 AAAA\n"));
    let run = verify(&env, &[]).expect(1);
    assert!(run.stderr.contains("line 2: llmc does not know the option `cert-authority`"), "{run}");
    env.write("allowed_signers", &own);
    verify(&env, &[]).expect(0);
}

#[test]
fn signing_switched_on_later_makes_nothing_stale_and_sign_verifies_first() {
    let (env, server) = workspace(1);
    asks(&env, false);
    env.llmc(&["build"]).expect(0);
    assert!(!env.path(ENVELOPE).exists());
    let run = env.llmc(&["sign"]).expect(1);
    assert!(run.stderr.contains("artifacts are not signed here"), "{run}");
    asks(&env, true);
    let asked = server.received().len();
    let run = env.llmc(&["build"]).expect(0);
    assert!(run.stderr.contains("Fresh double") && run.stderr.contains("is not signed"), "{run}");
    verify(&env, &[]).expect(6);

    // What is not as it was built is not signed.
    let code = env.read("generated/src/double.rs");
    env.write("generated/src/double.rs", &code.replace("n * 2", "n + n"));
    env.llmc(&["sign"]).expect(6);
    assert!(!env.path(ENVELOPE).exists());
    env.write("generated/src/double.rs", &code);

    env.write("mine.txt", "x");
    env.git(&["add", "mine.txt"]);
    let run = env.llmc(&["sign", "double"]).expect(0);
    assert!(run.stdout.starts_with(&format!("{ENVELOPE}: signed with SHA256:")), "{run}");
    assert_eq!(env.committed(), [ENVELOPE]);
    assert_eq!(env.git(&["diff", "--cached", "--name-only"]), "mine.txt\n");
    verify(&env, &[]).expect(0);
    let head = env.git(&["rev-parse", "HEAD"]);
    let run = env.llmc(&["sign", "--message-format", "json"]).expect(0);
    let signed = run.events().into_iter().find(|event| event["event"] == "signed").unwrap();
    assert_eq!((&signed["changed"], &signed["commit"]), (&false.into(), &Value::Null));
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(server.received().len(), asked, "no model was asked");
}

#[test]
fn signing_switched_off_takes_the_signature_away_with_the_next_build() {
    let (env, _server) = workspace(2);
    env.llmc(&["build"]).expect(0);
    asks(&env, false);
    let run = verify(&env, &[]).expect(0);
    let notes = run.events().into_iter().find(|event| event["event"] == "verified").unwrap()["notes"].to_string();
    assert!(notes.contains("is not checked: llmc.yaml does not say who may sign"), "{run}");
    env.write("specs/double.yaml", &SPEC.replace("Twice a number.", "A number, twice."));
    env.llmc(&["build"]).expect(0);
    assert!(!env.path(ENVELOPE).exists());
    let changes = env.git(&["show", "--name-status", "--format=", "HEAD"]);
    assert!(changes.contains(&format!("D\t{ENVELOPE}\n")), "{changes}");
    assert_eq!(env.git(&["status", "--porcelain", "generated"]), "");
    verify(&env, &[]).expect(0);
}

/// ssh-agent, until it is dropped.
struct Agent {
    child: Child,
    socket: String,
}

impl Agent {
    fn start(env: &TestEnv) -> Self {
        let socket = env.path("../agent").to_str().unwrap().to_owned();
        let child = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self { child, socket };
        let started = Instant::now();
        while !std::path::Path::new(&agent.socket).exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "ssh-agent does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_key_that_is_encrypted_signs_by_way_of_the_agent_and_just_the_same() {
    let (env, _server) = workspace(1);
    env.llmc(&["build"]).expect(0);
    let signed = env.read(ENVELOPE);
    let file = env.path("../home/ann").to_str().unwrap().to_owned();
    let agent = Agent::start(&env);
    let with_agent =
        |arguments: &[&str]| Run::from(env.command(arguments).env("SSH_AUTH_SOCK", &agent.socket).output().unwrap());
    fs::remove_file(env.path(ENVELOPE)).unwrap();
    env.run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret words", "-f", &file], ".");
    let run = env.llmc(&["sign", "--no-commit"]).expect(1);
    assert!(run.stderr.contains("no agent runs (SSH_AUTH_SOCK is not set)"), "{run}");
    let run = with_agent(&["sign", "--no-commit"]).expect(1);
    assert!(run.stderr.contains("it does not hold that key"), "{run}");
    env.run("ssh-keygen", &["-q", "-p", "-P", "secret words", "-N", "", "-f", &file], ".");
    env.run("sh", &["-c", "SSH_AUTH_SOCK=$0 exec ssh-add -q \"$1\"", &agent.socket, &file], ".");
    env.run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret words", "-f", &file], ".");
    with_agent(&["sign", "--no-commit"]).expect(0);
    assert_eq!(env.read(ENVELOPE), signed);
    // The public half is enough.
    fs::remove_file(env.path(ENVELOPE)).unwrap();
    fs::remove_file(&file).unwrap();
    let run = Run::from(
        env.command(&["sign", "--no-commit"])
            .env("SSH_AUTH_SOCK", &agent.socket)
            .env("LLMC_SIGN_KEY", format!("{file}.pub"))
            .output()
            .unwrap(),
    );
    run.expect(0);
    assert_eq!(env.read(ENVELOPE), signed);
    let run = with_agent(&["sign"]).expect(1);
    assert!(run.stderr.contains("failed to read the signing key"), "{run}");
}

#[test]
fn a_public_key_is_printed_as_a_line_of_signers() {
    let (env, _server) = workspace(0);
    let run = env.llmc(&["sign", "--public-key", "ann@example.org"]).expect(0);
    assert_eq!(run.stdout, env.read("allowed_signers"));
    env.llmc(&["sign", "--public-key", "ann b"]).expect(1);
}

#[test]
fn a_signature_goes_with_its_artifact_to_another_name_back_in_time_and_away() {
    let (env, server) = workspace(2);
    env.git(&["add", "llmc.yaml", "allowed_signers"]);
    env.git(&["commit", "-qm", "first"]);
    env.llmc(&["build"]).expect(0);
    let (first, commit) = (env.read(ENVELOPE), env.git(&["rev-parse", "HEAD"]));
    let commit = commit.trim();

    env.write("specs/double.yaml", &SPEC.replace("Twice a number.", "A number, twice."));
    env.llmc(&["build"]).expect(0);
    assert_ne!(env.read(ENVELOPE), first);
    env.llmc(&["revert", &format!("double@{commit}")]).expect(0);
    assert_eq!(env.read(ENVELOPE), first);
    assert!(env.committed().contains(&ENVELOPE.to_owned()));
    verify(&env, &[]).expect(0);
    let shown = env.llmc(&["show", "double@HEAD~1", "--format", "intoto"]).expect(0).stdout;
    assert_ne!(shown, first);
    assert_eq!(env.llmc(&["show", &format!("double@{commit}"), "--format", "intoto"]).expect(0).stdout, first);

    // Under another name it is signed anew, since it was signed before.
    let asked = server.received().len();
    let rename = |old: &str, new: &str| {
        fs::remove_file(env.path(&format!("specs/{old}.yaml"))).unwrap();
        env.write(&format!("specs/{new}.yaml"), &SPEC.replace("name: double", &format!("name: {new}")));
        env.llmc(&["build"]).expect(0)
    };
    rename("double", "twofold");
    let twofold = "generated/provenance/twofold.dsse.json";
    let changes = env.git(&["show", "--no-renames", "--name-status", "--format=", "HEAD"]);
    for change in [format!("D\t{ENVELOPE}\n"), format!("A\t{twofold}\n")] {
        assert!(changes.contains(&change), "{changes}");
    }
    verify(&env, &[]).expect(0);
    // What was not is not.
    env.write(twofold, &first);
    let run = rename("twofold", "double");
    assert!(run.stderr.contains("`double` is not signed: `llmc sign double`"), "{run}");
    assert!(!env.path(twofold).exists() && !env.path(ENVELOPE).exists());
    verify(&env, &[]).expect(6);
    env.llmc(&["sign"]).expect(0);
    verify(&env, &[]).expect(0);
    assert_eq!(server.received().len(), asked, "no model was asked");

    fs::remove_file(env.path("specs/double.yaml")).unwrap();
    env.write("specs/other.yaml", &SPEC.replace("double", "other"));
    let run = verify(&env, &[]).expect(6);
    let told = format!("{ENVELOPE}: belongs to `specs/double.yaml`, which is no more");
    assert!(found(&run).iter().any(|one| one.starts_with(&told)), "{run}");
    env.llmc(&["build", "double"]).expect(0);
    assert!(!env.path(ENVELOPE).exists());
    assert_eq!(env.git(&["status", "--porcelain", "generated"]), "");
}
