//! `llmc strength`: small changes of an artifact, judged by the spec's own checks. Real rustc, real sandbox.

use crate::env::TestEnv;
use crate::server::{Reply, Server};

const RIGHT: &str =
    "```rust\npub fn clamp(n: i32) -> i32 {\n    if n > 10 { 10 } else if n < 0 { 0 } else { n }\n}\n```";

fn env(checks: &str) -> (TestEnv, Server) {
    let server = Server::script(vec![Reply::chat(RIGHT)]);
    let env = TestEnv::with_server(&server.url);
    let head = "llmc: 1\nname: clamp\ndescription: A number, at least 0 and at most 10.\n\
                signature: \"pub fn clamp(n: i32) -> i32\"\nsampling: { samples: 1 }\n";
    env.write("specs/clamp.yaml", &format!("{head}{checks}"));
    env.llmc(&["build"]).expect(0);
    (env, server)
}

#[test]
fn weak_checks_miss_changes_and_are_told_where() {
    let (env, server) =
        env("examples:\n  - call: clamp(5)\n    returns: \"5\"\n  - call: clamp(5)\n    holds: result > 0\n");
    let before = env.git(&["status", "--porcelain"]);
    let run = env.llmc(&["strength", "clamp"]).expect(0);
    assert!(run.stdout.contains("missed: with each of these every check still passes"), "{run}");
    assert!(run.stdout.contains("generated/src/clamp.rs:3  in `clamp`: replace `n > 10` with `false`"), "{run}");
    // What the second one catches the first one catches, too.
    assert!(run.stderr.contains("Any one of these could go and nothing be missed: example-2"), "{run}");
    let run = env.llmc(&["strength", "clamp", "--deny-missed", "--message-format", "json"]).expect(7);
    let events = run.events();
    let (last, mutants) = events.split_last().unwrap();
    assert_eq!((&last["event"], &last["rejected"]), (&"strength".into(), &0.into()));
    let number = |name: &str| last[name].as_u64().unwrap() as usize;
    assert_eq!(mutants.len(), number("caught") + number("missed") + number("unviable"));
    assert!(number("missed") > 2 && number("caught") > 2, "{last}");
    for mutant in mutants.iter().filter(|mutant| mutant["fate"] == "missed") {
        assert_eq!(mutant["by"], serde_json::json!([]), "{mutant}");
    }
    // No model was asked, and nothing was written.
    assert_eq!(server.received().len(), 1);
    assert_eq!(env.git(&["status", "--porcelain"]), before);
}

#[test]
fn an_example_that_was_suggested_by_a_missed_change_catches_it() {
    let strong = "examples:\n  - call: clamp(11)\n    returns: \"10\"\n  - call: clamp(-1)\n    returns: \"0\"\n  \
                  - call: clamp(9)\n    returns: \"9\"\n  - call: clamp(1)\n    returns: \"1\"\n";
    let (env, _server) = env(strong);
    let events = env.llmc(&["strength", "clamp", "--message-format", "json"]).expect(0).events();
    // `n > 10`, `n >= 10` and `n > 9` are the same program, as `n < 0`, `n <= 0` and `n < 1` are: no check can tell.
    let mut missed: Vec<&str> = events
        .iter()
        .filter(|event| event["fate"] == "missed")
        .map(|event| event["change"].as_str().unwrap())
        .collect();
    missed.sort_unstable();
    let same = ["replace `0` with `1`", "replace `10` with `9`", "replace `<` with `<=`", "replace `>` with `>=`"];
    assert_eq!(missed, same);
    let some =
        env.llmc(&["strength", "clamp", "-n", "3", "--seed", "7", "--message-format", "json"]).expect(0).events();
    assert_eq!((some.len(), &some[3]["tried"]), (4, &3.into()));
}

#[test]
fn without_an_artifact_or_with_one_that_fails_it_says_so() {
    let (env, _server) = env("examples:\n  - call: clamp(5)\n    returns: \"5\"\n");
    let spec = env.read("specs/clamp.yaml");
    env.write("specs/clamp.yaml", &spec.replace("returns: \"5\"", "returns: \"6\""));
    let run = env.llmc(&["strength", "clamp"]).expect(6);
    assert!(run.stderr.contains("the artifact of `clamp` does not pass its own checks (example-1)"), "{run}");
    std::fs::remove_file(env.path("generated/src/clamp.rs")).unwrap();
    let run = env.llmc(&["strength", "clamp"]).expect(1);
    assert!(
        run.stderr.contains("`clamp` has no artifact") && run.stderr.contains("`llmc build clamp` makes one"),
        "{run}"
    );
}
