//! What a user meets on the command line: messages, hints and exit codes, without a model.

use crate::env::TestEnv;

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
  - call: double(-7654321)
    returns: -15308642
    hidden: true
hidden_tests: |
  #[test]
  fn secretly_even() { assert_eq!(double(1_234_567) % 2, 0); }
"#;

#[test]
fn init_makes_a_workspace_that_checks_and_init_again_refuses() {
    let env = TestEnv::empty();
    let run = env.llmc(&["init", "demo"]).expect(0);
    assert_eq!(
        run.stderr,
        "Created a workspace with one spec, specs/count_vowels.yaml.\nNext: cd demo && llmc build\n"
    );
    assert_eq!(run.stdout, "");
    assert!(env.path("demo/.git").is_dir());
    assert_eq!(env.read("demo/.gitignore"), "/.llmc/\n/generated/target/\n/generated/Cargo.lock\n");
    let run = env.llmc(&["-C", "demo", "check"]).expect(0);
    assert_eq!(run.stderr, "1 spec valid\n");
    let run = env.llmc(&["init", "demo"]).expect(1);
    assert_eq!(run.stderr, "error: `demo` is a workspace already\nhint: `llmc build` builds its specs\n");
    env.run("cargo", &["check", "--quiet", "--offline"], "demo/generated");
}

#[test]
fn init_keeps_what_is_there() {
    let env = TestEnv::empty();
    env.git(&["init", "-q"]);
    env.write(".gitignore", "*.log");
    env.write("specs/double.yaml", SPEC);
    let run = env.llmc(&["init"]).expect(0);
    assert_eq!(run.stderr, "Created a workspace with one spec, yours.\nNext: llmc build\n");
    assert_eq!(env.read(".gitignore"), "*.log\n/.llmc/\n/generated/target/\n/generated/Cargo.lock\n");
    assert!(!env.path("specs/count_vowels.yaml").exists());
}

#[test]
fn outside_of_a_workspace_the_message_says_how_to_get_one() {
    let env = TestEnv::empty();
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.starts_with("error: no llmc workspace in "), "{run}");
    assert!(run.stderr.contains("hint: `llmc init` makes one here"), "{run}");
}

#[test]
fn an_unknown_spec_gets_a_suggestion() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    let run = env.llmc(&["build", "duoble"]).expect(1);
    assert_eq!(
        run.stderr,
        "error: no spec `duoble`: there is no file `specs/duoble.yaml`\nhint: did you mean `double`?\n"
    );
}

#[test]
fn check_tells_every_mistake_with_its_place_and_exits_with_2() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", &SPEC.replace("examples:", "exmaples:").replace("llmc: 1", "llmc: 2"));
    let run = env.llmc(&["check"]).expect(2);
    assert!(run.stderr.contains(" --> specs/double.yaml:1:7\n"), "{run}");
    assert!(run.stderr.contains("error: unknown key `exmaples`\n --> specs/double.yaml:5:1\n"), "{run}");
    assert!(run.stderr.contains("help: did you mean `examples`?"), "{run}");
    let run = env.llmc(&["check", "--message-format", "json"]).expect(2);
    let events = run.events();
    assert_eq!(events[1]["event"], "diagnostic");
    assert_eq!((&events[1]["line"], &events[1]["column"]), (&5.into(), &1.into()));
    assert_eq!(events.last().unwrap()["code"], 2);
}

#[test]
fn check_compiles_the_checks_and_points_into_the_yaml() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", &SPEC.replace("returns: 4", "returns: '\"four\"'"));
    let run = env.llmc(&["check"]).expect(2);
    assert!(run.stderr.contains(" --> specs/double.yaml:7:"), "{run}");
    // A spec that could never pass costs no tokens: there is no server at this address, and none is asked.
    env.write("llmc.yaml", "model: openai/x\nproviders: { openai: { base_url: \"http://127.0.0.1:9/v1\" } }\n");
    let run = env.llmc(&["build"]).expect(2);
    assert!(run.stderr.contains("the checks of `double` do not compile"), "{run}");
}

#[test]
fn hidden_checks_never_reach_the_prompt() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    for format in ["human", "json"] {
        let run = env.llmc(&["prompt", "double", "--message-format", format]).expect(0);
        assert!(run.stdout.contains("double(2)"), "{run}");
        for hidden in ["7654321", "15308642", "secretly_even", "1_234_567"] {
            assert!(!run.stdout.contains(hidden), "{hidden} in {run}");
        }
    }
}

#[test]
fn a_template_of_the_workspace_takes_the_place_of_the_built_in_one() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    env.write("templates/implement.user.tera", "Please: {{ description }} {{ interface }}");
    let run = env.llmc(&["prompt", "double"]).expect(0);
    assert!(run.stdout.contains("# user\nPlease: Twice a number. pub fn double(n: i32) -> i32;\n"), "{run}");
    env.write("templates/implement.user.tera", "{{ description");
    let run = env.llmc(&["prompt", "double"]).expect(1);
    assert!(run.stderr.contains("implement.user.tera"), "{run}");
}

#[test]
fn settings_are_checked_like_specs() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    env.write("llmc.yaml", "modle: openai/x\n");
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("unknown key `modle`"), "{run}");
    assert!(run.stderr.contains("did you mean `model`?"), "{run}");
}

#[test]
fn usage_mistakes_exit_with_1_and_help_with_0() {
    let env = TestEnv::empty();
    env.llmc(&["biuld"]).expect(1);
    env.llmc(&["build", "--temperature", "3"]).expect(1);
    let commands = ["init", "check", "prompt", "build", "validate", "show", "models", "schema", "completions"];
    for command in commands {
        let run = env.llmc(&[command, "--help"]).expect(0);
        assert!(run.stdout.contains("Example"), "`llmc {command} --help` has no example");
    }
    let run = env.llmc(&["schema", "spec"]).expect(0);
    let schema: serde_json::Value = serde_json::from_str(&run.stdout).expect("the schema is JSON");
    assert!(schema["$defs"]["function"]["properties"]["signature"].is_object());
    assert!(env.llmc(&["completions", "bash"]).expect(0).stdout.contains("_llmc"));
}

#[test]
fn offline_opens_no_socket_and_says_how_to_go_on() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    let run = env.llmc(&["build", "--offline", "--model", "openai/gpt-5-mini"]).expect(1);
    assert!(run.stderr.contains("--offline"), "{run}");
}

#[test]
fn specs_that_use_each_other_or_nothing_are_refused() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", &format!("{SPEC}uses: [other]\n"));
    let run = env.llmc(&["build"]).expect(2);
    assert!(run.stderr.contains("--> specs/double.yaml:14:8\n"), "{run}");
    env.write("specs/other.yaml", &(SPEC.replace("double", "other") + "uses: [double]\n"));
    let run = env.llmc(&["build"]).expect(2);
    assert!(run.stderr.contains("these specs use each other in a circle: double, other"), "{run}");
}

#[test]
fn every_class_and_code_is_explained_and_an_unknown_one_gets_the_nearest() {
    let env = TestEnv::empty();
    let list = env.llmc(&["explain"]).expect(0).stdout;
    for code in ["hallucination", "drift", "cut-off", "policy-path", "example-N"] {
        assert!(list.lines().any(|line| line.starts_with(code)), "{list}");
    }
    let told = env.llmc(&["explain", "misinterpretation"]).expect(0).stdout;
    assert!(told.contains("what llmc does:") && told.contains("what you can do:"), "{told}");
    let told = env.llmc(&["explain", "error[E0599]"]).expect(0).stdout;
    assert!(told.contains("class hallucination") && told.contains("rustc --explain E0599"), "{told}");
    let event = env.llmc(&["explain", "test-keeps_digits", "--message-format", "json"]).expect(0).events().remove(0);
    assert_eq!((&event["event"], &event["class"]), (&"explanation".into(), &"misinterpretation".into()));
    let refused = env.llmc(&["explain", "halucination"]).expect(1);
    assert!(refused.stderr.contains("did you mean `hallucination`?"), "{refused}");
    env.llmc(&["explain", "zzz"]).expect(1);
}
