//! `--message-format github|sarif|junit`: what CI services read of `llmc verify` and `llmc check`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::env::{Run, TestEnv};

/// This repository's workspace, in the folder `ws` of a repository.
fn copied() -> TestEnv {
    let env = TestEnv::empty();
    env.git(&["init", "-q"]);
    copy(&env, "ws/");
    env
}

/// This repository's workspace, committed in a repository of its own.
pub(crate) fn repository() -> TestEnv {
    let env = TestEnv::empty();
    env.git(&["init", "-q"]);
    copy(&env, "");
    env.git(&["add", "."]);
    env.git(&["commit", "-qm", "all"]);
    env
}

fn copy(env: &TestEnv, below: &str) {
    for folder in ["specs", "generated", "generated/src", "generated/tests", "generated/provenance"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = entry.file_name().into_string().unwrap();
                env.write(&format!("{below}{folder}/{name}"), &fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    env.write(&format!("{below}llmc.yaml"), "");
}

/// The block of docs/ci.md in this language that begins so.
pub(crate) fn block(language: &str, begins: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    let found: Vec<&str> = blocks.filter(|block| block.starts_with(begins)).collect();
    found.first().unwrap_or_else(|| panic!("docs/ci.md has no block of {language} that begins {begins:?}")).to_string()
}

/// Where the llmc is that is tested.
pub(crate) fn folder_of_llmc() -> String {
    Path::new(env!("CARGO_BIN_EXE_llmc")).parent().unwrap().display().to_string()
}

fn verify(env: &TestEnv, format: &str, code: i32) -> Run {
    env.llmc(&["-C", "ws", "verify", "--message-format", format]).expect(code)
}

/// What python's own parser makes of XML: the elements' names, each once, and every `file` attribute.
fn parsed(xml: &str) -> Value {
    let script = "import sys, json, xml.etree.ElementTree as tree\n\
                  root = tree.fromstring(sys.argv[1])\n\
                  print(json.dumps({'tags': sorted({one.tag for one in root.iter()}),\n\
                  'files': [one.get('file') for one in root.iter('testcase') if one.find('failure') is not None],\n\
                  'texts': [one.text for one in root.iter('failure')], 'totals': root.attrib}))";
    let output = Command::new("python3").args(["-c", script, xml]).output().unwrap();
    assert!(output.status.success(), "{}\n{xml}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_change_by_hand_is_told_at_its_line_from_the_repositorys_root() {
    let env = copied();
    let run = verify(&env, "github", 0);
    assert!(run.stdout.lines().all(|line| !line.starts_with("::error")), "{run}");
    let code = env.read("ws/generated/src/gcd.rs");
    env.write("ws/generated/src/gcd.rs", &code.replacen("b == 0", "b == 1", 1));
    let line = code.lines().position(|line| line.contains("b == 0")).unwrap() + 1;

    let run = verify(&env, "github", 6);
    let told = format!(
        "::error file=ws/generated/src/gcd.rs,line={line},title=llmc verify%3A gcd::was edited by hand: its digest is not \
         the recorded one\n"
    );
    assert!(run.stdout.contains(&told), "{run}");

    let run = verify(&env, "sarif", 6);
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{run}");
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "ws/generated/src/gcd.rs");
    assert_eq!(place["region"]["startLine"], line);
    assert_eq!(log["runs"][0]["invocations"][0]["exitCode"], 6);
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], true);

    let run = verify(&env, "junit", 6);
    let xml = parsed(&run.stdout);
    let specs = fs::read_dir(env.path("ws/specs")).unwrap().count();
    assert_eq!(xml["totals"]["tests"], specs.to_string(), "{run}");
    assert_eq!(xml["totals"]["failures"], "1");
    assert_eq!(xml["files"][0], "ws/specs/gcd.yaml");
}

#[cfg(unix)]
#[test]
fn a_hostile_file_name_is_quoted_in_each_format() {
    let env = copied();
    let name = "ws/generated/src/a,b:c%<x>&\"'\n::error file=x::\u{1b}[31m\u{202e}.rs";
    env.write(name, "");
    let run = verify(&env, "github", 6);
    for line in run.stdout.lines() {
        let is_own =
            line.starts_with("::error file=ws/generated/src/a%2Cb%3Ac%25") || line.starts_with("llmc verify: ");
        assert!(is_own, "{line}\n{run}");
    }
    // GitHub reads commands on both.
    assert!(run.stderr.lines().all(|line| !line.trim_start().starts_with("::")), "{run}");
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{run}");

    let run = verify(&env, "sarif", 6);
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    let uri = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(
        uri,
        "ws/generated/src/a%2Cb%3Ac%25%3Cx%3E%26%22%27%0A%3A%3Aerror%20file%3Dx%3A%3A%1B%5B31m%E2%80%AE.rs"
    );

    let run = verify(&env, "junit", 6);
    let xml = parsed(&run.stdout);
    assert_eq!(xml["tags"], serde_json::json!(["failure", "testcase", "testsuite", "testsuites"]));
    let text = xml["texts"][0].as_str().unwrap();
    assert!(text.contains("a,b:c%<x>&\"'\\n::error file=x::\\u{1b}[31m\\u{202e}.rs: belongs to no spec"), "{text}");
}

#[test]
fn a_mistake_in_a_spec_is_told_at_its_place() {
    let env = TestEnv::workspace();
    env.write("specs/f.yaml", "llmc: 1\nname: f\ndescription: d\nsignatur: 'fn f(x: u8) -> u8'\n");
    let run = env.llmc(&["check", "--message-format", "github"]).expect(2);
    let told =
        "::error file=specs/f.yaml,line=4,col=1,endColumn=9,title=llmc check%3A specs/f.yaml::unknown key `signatur`";
    assert!(run.stdout.contains(told), "{run}");
    let run = env.llmc(&["verify", "--message-format", "sarif"]).expect(6);
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let line = |result: &Value| result["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64();
    let result = results.iter().find(|result| result["ruleId"] == "spec" && line(result) == Some(4)).unwrap();
    assert_eq!(result["ruleIndex"], 1);
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][1]["id"], "spec");
}

#[test]
fn where_there_is_nothing_to_look_at_each_format_says_so() {
    let env = TestEnv::empty();
    let run = env.llmc(&["verify", "--message-format", "sarif"]).expect(1);
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert!(
        invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap().contains("no llmc workspace")
    );
    let run = env.llmc(&["verify", "--message-format", "junit"]).expect(1);
    assert_eq!(parsed(&run.stdout)["totals"]["errors"], "1");
    let run = env.llmc(&["verify", "--message-format", "github"]).expect(1);
    assert!(run.stdout.starts_with("::error title=llmc verify::no llmc workspace in "), "{run}");
    // What CI services read is found by two commands.
    let run = env.llmc(&["build", "--message-format", "sarif"]).expect(1);
    assert!(run.stdout.is_empty() && run.stderr.contains("is for `llmc verify` and `llmc check`"), "{run}");
}

#[test]
fn what_docs_ci_has_to_copy_is_yaml_with_the_keys_it_needs() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let blocks: Vec<Value> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| serde_yaml::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    let [github, scanning, gitlab, hooks] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    for workflow in [github, scanning] {
        assert_eq!(workflow["on"], serde_json::json!(["push", "pull_request"]));
        let steps = workflow["jobs"]["verify"]["steps"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["uses"].is_string() != step["run"].is_string()), "{steps:?}");
    }
    assert_eq!(scanning["permissions"]["security-events"], "write");
    assert_eq!(gitlab["llmc"]["artifacts"]["reports"]["junit"], "llmc.xml");
    let hook = &hooks["repos"][0]["hooks"][0];
    assert_eq!((&hook["entry"], &hook["language"]), (&"llmc verify --quiet".into(), &"system".into()));
    // Every command in it is one that llmc takes.
    for command in text.lines().filter_map(|line| line.trim_start_matches("- run: ").trim().strip_prefix("llmc ")) {
        let arguments = command.split(" > ").next().unwrap().replace("-C \"$staged\" ", "");
        let mut arguments: Vec<&str> = arguments.split(' ').collect();
        arguments.push("--help");
        TestEnv::empty().llmc(&arguments).expect(0);
    }
}

#[cfg(unix)]
#[test]
fn the_hook_of_docs_ci_verifies_what_is_about_to_be_committed() {
    use std::os::unix::fs::PermissionsExt as _;

    let env = repository();
    env.write(".git/hooks/pre-commit", &block("sh", "#!/bin/sh"));
    fs::set_permissions(env.path(".git/hooks/pre-commit"), fs::Permissions::from_mode(0o755)).unwrap();
    let commit = |message: &str| {
        let script = "PATH=$0:$PATH git commit -qm \"$1\" 2>&1; echo exit $?";
        env.run("sh", &["-c", script, &folder_of_llmc(), message], ".")
    };
    env.write("other.txt", "x");
    env.git(&["add", "other.txt"]);
    assert_eq!(commit("no artifact in it"), "exit 0\n");
    let code = env.read("generated/src/gcd.rs");
    env.write("generated/src/gcd.rs", &code.replacen("b == 0", "b == 1", 1));
    env.git(&["add", "."]);
    let told = commit("an edit by hand");
    assert!(told.contains("generated/src/gcd.rs: was edited by hand") && told.ends_with("exit 1\n"), "{told}");
    // What lies beside the index plays no part, in either way.
    env.write("generated/src/gcd.rs", &code);
    assert!(commit("still staged").ends_with("exit 1\n"));
    env.git(&["reset", "-q"]);
    let spec = env.read("specs/gcd.yaml");
    env.write("specs/gcd.yaml", &format!("{spec}# a remark\n"));
    env.git(&["add", "specs"]);
    env.write("generated/src/gcd.rs", "broken");
    let told = commit("a comment");
    assert!(told.ends_with("exit 0\n"), "{told}");
}
