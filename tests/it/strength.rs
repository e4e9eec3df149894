//! `llmc strength`: small changes of an artifact, judged by the spec's own checks. Real rustc, real sandbox.

use serde_json::Value;

use crate::env::{Run, TestEnv};
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

const WEAK: &str =
    "examples:\n  - call: clamp(5)\n    returns: \"5\"\n  - call: clamp(5)\n    holds: result > 0\n# the end\n";
const STRONG: &str = "examples:\n  - call: clamp(11)\n    returns: \"10\"\n  - call: clamp(-1)\n    returns: \"0\"\n  \
                      - call: clamp(9)\n    returns: \"9\"\n  - call: clamp(1)\n    returns: \"1\"\n";

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

fn measured(run: &Run) -> (Vec<Value>, Value) {
    let events = run.events();
    let last = events.last().cloned().expect("there are events");
    assert_eq!(last["event"], "strength");
    (events, last)
}

#[test]
fn weak_checks_miss_changes_and_are_told_where() {
    let (env, server) = env(WEAK);
    let before = env.git(&["status", "--porcelain"]);
    let run = env.llmc(&["strength", "clamp"]).expect(0);
    for expected in [
        "missed: with each of these every check still passes",
        "generated/src/clamp.rs:3:8  in `clamp`: replace `n > 10` with `false`\n      clamp(11): 11; the artifact: 10",
        "examples that catch what is missed, for `specs/clamp.yaml`; the values are what the artifact gives: check each",
        "  - call: clamp(11)\n    returns: '10'\n",
    ] {
        assert!(run.stdout.contains(expected), "{expected}\n{run}");
    }
    // What the second one catches the first one catches, too.
    assert!(run.stderr.contains("Any one of these could go and nothing be missed: example-2"), "{run}");
    let run = env.llmc(&["strength", "clamp", "--deny-missed", "--message-format", "json"]).expect(7);
    let (events, last) = measured(&run);
    let mutants = of(&events, "mutant");
    assert_eq!(last["rejected"], 0);
    let number = |name: &str| last[name].as_u64().unwrap() as usize;
    assert_eq!(mutants.len(), number("caught") + number("missed") + number("unviable"));
    assert!(number("missed") > 2 && number("caught") > 2, "{last}");
    for mutant in mutants.iter().filter(|mutant| mutant["fate"] == "missed") {
        assert_eq!(mutant["by"], serde_json::json!([]), "{mutant}");
        assert_ne!(mutant["differs"].is_null(), mutant["likely_equivalent"] == false, "{mutant}");
    }
    // Every missed change that makes a difference is caught by some suggestion.
    let suggested = of(&events, "suggestion");
    let caught = |number: &Value| {
        suggested.iter().any(|one| one["catches"].as_array().unwrap().iter().any(|of| of["mutant"] == *number))
    };
    for mutant in mutants.iter().filter(|mutant| !mutant["differs"].is_null()) {
        assert!(caught(&mutant["number"]), "{mutant}\n{run}");
    }
    // No model was asked, and nothing was written.
    assert_eq!(server.received().len(), 1);
    assert_eq!(env.git(&["status", "--porcelain"]), before);
}

#[test]
fn what_no_check_can_tell_is_likely_the_same_program_and_counts_for_nothing() {
    let (env, _server) = env(STRONG);
    // `n > 10`, `n >= 10` and `n > 9` are the same program, as `n < 0`, `n <= 0` and `n < 1` are: no check can tell.
    let run = env.llmc(&["strength", "clamp", "--deny-missed", "--message-format", "json"]).expect(0);
    let (events, last) = measured(&run);
    let missed: Vec<&Value> = of(&events, "mutant").into_iter().filter(|event| event["fate"] == "missed").collect();
    let mut changes: Vec<&str> = missed.iter().map(|event| event["change"].as_str().unwrap()).collect();
    changes.sort_unstable();
    let same = ["replace `0` with `1`", "replace `10` with `9`", "replace `<` with `<=`", "replace `>` with `>=`"];
    assert_eq!(changes, same);
    for mutant in missed {
        assert_eq!(mutant["likely_equivalent"], true, "{mutant}");
        assert!(mutant["differs_at_most"].as_f64().unwrap() <= 0.01, "{mutant}");
    }
    assert_eq!((&last["likely_equivalent"], &last["missed"], &last["score"]), (&4.into(), &4.into(), &1.0.into()));
    assert_eq!(of(&events, "suggestion").len(), 0);
    let told = env.llmc(&["strength", "clamp"]).expect(0);
    assert!(told.stdout.contains("4 likely the same program (left out)"), "{told}");
    assert!(told.stdout.contains("\nlikely the same program: no input was found on which they differ"), "{told}");
    assert!(told.stdout.contains("(100%; 95% interval"), "{told}");
    let some =
        env.llmc(&["strength", "clamp", "-n", "3", "--seed", "7", "--message-format", "json"]).expect(0).events();
    assert_eq!((of(&some, "mutant").len(), &some.last().unwrap()["tried"]), (3, &3.into()));
}

#[test]
fn suggested_examples_that_are_added_catch_what_was_missed() {
    let (env, server) = env(WEAK);
    let spec = env.read("specs/clamp.yaml");
    // There is nobody to ask.
    let run = env.llmc(&["strength", "clamp", "--add"]).expect(1);
    assert!(run.stderr.contains("--add --yes takes what the artifact gives for right"), "{run}");
    assert_eq!(env.read("specs/clamp.yaml"), spec);

    let run = env.llmc(&["strength", "clamp", "--add", "--yes", "--message-format", "json"]).expect(0);
    let (events, last) = measured(&run);
    assert_eq!(last["written"], true);
    let suggested = of(&events, "suggestion");
    assert!(!suggested.is_empty() && suggested.iter().all(|one| one["added"] == "added"), "{run}");
    let changed = env.read("specs/clamp.yaml");
    // All that was there stands where it was.
    let (kept, end) = spec.split_once("# the end\n").unwrap();
    assert!(changed.starts_with(kept) && changed.ends_with("# the end\n") && end.is_empty(), "{changed}");
    assert!(changed.contains("  # suggested by llmc strength\n  - call: clamp("), "{changed}");

    // Every change that they were said to catch is caught; what is left no check can tell.
    let place = |one: &Value| format!("{}:{} {}", one["line"], one["column"], one["change"]);
    let names = |events: &[Value], fate: &str| -> Vec<String> {
        let mutants = of(events, "mutant").into_iter().filter(|one| one["fate"] == fate);
        mutants.map(place).collect()
    };
    let (after, last) =
        measured(&env.llmc(&["strength", "clamp", "--deny-missed", "--message-format", "json"]).expect(0));
    let (missed, caught) = (names(&after, "missed"), names(&after, "caught"));
    for one in of(&events, "mutant").into_iter().filter(|one| !one["differs"].is_null()) {
        let name = place(one);
        assert!(caught.contains(&name) && !missed.contains(&name), "{name}\n{changed}");
    }
    assert_eq!((&last["missed"], &last["likely_equivalent"]), (&4.into(), &4.into()));
    assert_eq!(of(&after, "suggestion").len(), 0);
    assert_eq!(server.received().len(), 1);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn on_a_terminal_each_suggestion_is_asked_about() {
    let (env, _server) = env(WEAK);
    let mut terminal = crate::pty::Terminal::start(env.command(&["strength", "clamp", "--add"]), 40, 120);
    terminal.until("is this right?");
    terminal.until("the artifact gives");
    terminal.until("> ");
    terminal.press("w\n");
    terminal.until("a Rust expression");
    terminal.press("\"eleven\"\n");
    terminal.until("that can't be taken: rustc says:");
    terminal.press("w\n");
    terminal.until("a Rust expression");
    // The person says that it is another number: the artifact is wrong there.
    terminal.press("99\n");
    terminal.until("suggestion 2 of");
    terminal.press("q\n");
    let (status, seen, _) = terminal.end();
    assert!(status.success(), "{seen}");
    assert!(seen.contains("added with another value: the artifact is wrong there"), "{seen}");
    let spec = env.read("specs/clamp.yaml");
    assert_eq!(spec.matches("# suggested by llmc strength").count(), 1, "{spec}");
    assert!(spec.contains("    returns: '99'\n"), "{spec}");
    let run = env.llmc(&["strength", "clamp"]).expect(6);
    assert!(run.stderr.contains("the artifact of `clamp` does not pass its own checks (example-3)"), "{run}");
}

#[test]
fn a_program_that_passes_and_does_something_else_is_a_rival_and_its_input_comes_first() {
    const SPEC: &str = "llmc: 1\nname: slug\ndescription: A title as a slug.\n\
                        signature: \"pub fn slug(title: &str) -> String\"\nexamples:\n  - call: slug(\"Hello World\")\n    \
                        returns: '\"hello-world\"'\nsampling: { samples: 4, stop: all }\n";
    const RIGHT: &str = "```rust\npub fn slug(title: &str) -> String {\n    title.split_whitespace().collect::<Vec<_>>().join(\"-\").to_lowercase()\n}\n```";
    const OTHER: &str =
        "```rust\npub fn slug(title: &str) -> String {\n    title.replace(' ', \"-\").to_lowercase()\n}\n```";
    let replies = [RIGHT, OTHER, RIGHT, RIGHT];
    let server = Server::answering(move |_, number| Reply::chat(replies[number % replies.len()]));
    let env = TestEnv::with_server(&server.url);
    env.write("specs/slug.yaml", SPEC);
    env.llmc(&["build"]).expect(0);
    let run = env.llmc(&["strength", "slug", "--message-format", "json"]).expect(0);
    let (events, _) = measured(&run);
    let rivals = of(&events, "rival");
    assert_eq!(rivals.len(), 1, "{run}");
    assert_eq!(rivals[0]["samples"].as_array().unwrap().len(), 1);
    assert_ne!(rivals[0]["artifact"], rivals[0]["rival"]);
    let told = env.llmc(&["strength", "slug"]).expect(0);
    assert!(told.stdout.contains("\nrivals: samples of the last build that pass every check"), "{told}");
    assert!(told.stderr.contains("`llmc clarify slug` asks which is meant"), "{told}");
    // Those on which rivals part come first.
    let splits: Vec<bool> =
        of(&events, "suggestion").iter().map(|one| !one["rivals"].as_array().unwrap().is_empty()).collect();
    assert!(splits.is_sorted_by(|one, other| one >= other), "{run}");
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
