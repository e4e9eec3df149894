//! What llmc writes, read by other people's programs: in-toto's own Python bindings, securesystemslib, and SARIF's JSON
//! Schema. By hand, since they come from package registries:
//! `cargo nextest run --run-ignored only --no-capture -E 'test(outside)'`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ci_formats;
use crate::env::{Run, TestEnv};
use crate::intoto::{committed, human, strange};
use crate::sign;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outside/read.py");
const PACKAGES: [&str; 4] =
    ["in-toto-attestation==0.9.3", "securesystemslib==1.6.0", "cryptography==50.0.2", "jsonschema==4.25.1"];
/// Has the schema that OASIS publishes.
const SCHEMA: (&str, &str) = ("@microsoft/jest-sarif@1.0.0-beta.0", "package/lib/schemas/sarif-2.1.0-rtm.5.json");

/// Runs a program; `None`, with a note, when it fails: there may be no network.
#[expect(clippy::print_stderr, reason = "whoever runs it by hand should know that nothing was checked")]
pub(crate) fn tried(command: &mut Command, what: &str) -> Option<()> {
    let output = command.output().ok().filter(|output| output.status.success());
    if output.is_none() {
        eprintln!("NOT CHECKED: {what} can't be had here");
    }
    output.map(|_| ())
}

/// A folder that `install` filled, in this run of the tests or in an earlier one; `what` it holds, with its version.
pub(crate) fn installed(what: &str, install: impl FnOnce(&Path) -> Option<()>) -> Option<PathBuf> {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    fs::create_dir_all(&all).unwrap();
    let place = all.join(what.replace(['/', '@'], "-"));
    if !place.exists() {
        // Whole or not at all, whoever else does the same.
        let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(&all).unwrap();
        install(fresh.path())?;
        if fs::rename(fresh.path(), &place).is_ok() {
            let _ = fresh.keep();
        }
    }
    Some(place)
}

/// A folder with the packages.
pub(crate) fn packages(names: &[&str]) -> Option<PathBuf> {
    installed(&names.join("+"), |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(folder);
        tried(pip.args(names), "the packages of PyPI")
    })
}

#[track_caller]
fn read(packages: &Path, arguments: &[&str]) -> Value {
    let output = Command::new("python3").env("PYTHONPATH", packages).arg(SCRIPT).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_programs_read_statements_and_verify_envelopes() {
    let Some(packages) = packages(&PACKAGES) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<String> = committed().iter().map(|file| file.display().to_string()).collect();
    for (name, bytes) in [("strange.json", strange()), ("human.json", human())] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        files.push(file.display().to_string());
    }
    let mut arguments = vec!["statement"];
    arguments.extend(files.iter().map(String::as_str));
    let parsed = read(&packages, &arguments);
    let parsed = parsed.as_array().unwrap();
    assert_eq!(parsed.len(), files.len());
    assert!(parsed.iter().all(|one| one["builder"] == "urn:llmc:builder"));

    // They do refuse what is none.
    let text = String::from_utf8(human()).unwrap().replacen("\"runDetails\"", "\"runDetail\"", 1);
    let bad = folder.path().join("bad.json");
    fs::write(&bad, text).unwrap();
    let refused = Command::new("python3")
        .env("PYTHONPATH", &packages)
        .args([SCRIPT, "statement", bad.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(!refused.status.success());

    let env = sign::signed();
    let (envelope, signers) = (env.path(sign::ENVELOPE), env.path("allowed_signers"));
    let arguments = ["envelope", envelope.to_str().unwrap(), signers.to_str().unwrap()];
    let verified = read(&packages, &arguments);
    assert_eq!(verified["payload_type"], "application/vnd.in-toto+json");
    assert_eq!(verified["verified"].as_array().unwrap().len(), 1, "{verified}");
    assert_eq!(verified["statement"]["subjects"][0], "generated/src/double.rs");
    env.write("allowed_signers", &sign::key(&env, "bob", "bob"));
    let refused = Command::new("python3").env("PYTHONPATH", &packages).arg(SCRIPT).args(arguments).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("VerificationError"), "{refused:?}");
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_schema_of_sarif_holds_for_what_verify_and_check_print() {
    let Some(packages) = packages(&PACKAGES) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut npm = Command::new("npm");
    let Some(()) = tried(npm.args(["pack", "--silent", SCHEMA.0]).current_dir(folder.path()), "the package of npm")
    else {
        return;
    };
    let archive = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let unpacked =
        Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).arg(SCHEMA.1).status().unwrap();
    assert!(unpacked.success());
    let schema = folder.path().join(SCHEMA.1);
    let log = folder.path().join("log.sarif");
    let arguments = ["schema", schema.to_str().unwrap(), log.to_str().unwrap()];

    let env = TestEnv::workspace();
    env.write("specs/f.yaml", "llmc: 1\nname: f\ndescription: d\nsignatur: 'fn f(x: u8) -> u8'\n");
    env.write("generated/src/a b\n%.rs", "");
    let empty = TestEnv::empty();
    for (env, command, code) in [(&env, "verify", 6), (&env, "check", 2), (&empty, "verify", 1)] {
        fs::write(&log, env.llmc(&[command, "--message-format", "sarif"]).expect(code).stdout).unwrap();
        assert_eq!(read(&packages, &arguments)["errors"], serde_json::json!([]), "{command}");
    }
    fs::write(&log, "{\"version\": \"2.1.0\", \"runs\": [{}]}").unwrap();
    assert_ne!(read(&packages, &arguments)["errors"], serde_json::json!([]));
}

#[test]
#[ignore = "fetches packages from a registry"]
fn outside_pre_commit_runs_the_hook_of_docs_ci() {
    let Some(packages) = packages(&["pre-commit==4.3.0"]) else { return };
    let env = ci_formats::repository();
    env.write(".pre-commit-config.yaml", &ci_formats::block("yaml", "repos:"));
    env.git(&["add", ".pre-commit-config.yaml"]);
    env.git(&["commit", "-qm", "hooks"]);
    let run = || {
        let path = format!("{}:{}", ci_formats::folder_of_llmc(), std::env::var("PATH").unwrap());
        let mut command = env.command(&[]);
        let command = Command::new("python3")
            .args(["-m", "pre_commit", "run", "--all-files"])
            .envs(
                command
                    .env("PYTHONPATH", &packages)
                    .env("PATH", path)
                    .get_envs()
                    .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value.to_owned()))),
            )
            .current_dir(env.root())
            .output()
            .unwrap();
        Run::from(command)
    };
    let passed = run().expect(0);
    assert!(passed.stdout.contains("llmc verify") && passed.stdout.contains("Passed"), "{passed}");
    let code = env.read("generated/src/gcd.rs");
    env.write("generated/src/gcd.rs", &code.replacen("b == 0", "b == 1", 1));
    let failed = run().expect(1);
    assert!(failed.stdout.contains("generated/src/gcd.rs: was edited by hand"), "{failed}");
}
