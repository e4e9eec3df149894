//! `llmc validate`: real runs of the binary on files, JSON lines and a stream, with the real compiler and sandbox.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::env::{Run, TestEnv};

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
  - call: double(21)
    returns: 42
    hidden: true
properties:
  - name: even
    forall: { n: i16 }
    holds: double(n as i32) % 2 == 0
"#;

const RIGHT: &str = "pub fn double(n: i32) -> i32 { n * 2 }";
/// Right on all that is shown.
const SQUARE: &str = "pub fn double(n: i32) -> i32 { if n == 21 { 0 } else { n * 2 } }";
const BROKEN: &str = "pub fn double(n: i32) -> i32 { m + n }";
const DENIED: &str = "pub fn double(n: i32) -> i32 { std::fs::read(\"x\").map_or(n, |_| n) * 2 }";

fn negate() -> String {
    "llmc: 1\nname: negate\ndescription: Minus a number.\nsignature: 'pub fn negate(n: i64) -> i64'\nexamples:\n  - \
     { call: negate(3), returns: -3 }\n"
        .to_owned()
}

fn workspace() -> TestEnv {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    env
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

fn of_kind(run: &Run, kind: &str) -> Vec<Value> {
    run.events().into_iter().filter(|event| event["event"] == kind).collect()
}

/// Each candidate's id with phase, outcome and code, sorted by id.
fn verdicts(run: &Run) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = of_kind(run, "verdict")
        .iter()
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
            (text("candidate"), [text("phase"), text("outcome"), text("code")].join(" "))
        })
        .collect();
    found.sort();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, verdict)| ((*id).to_owned(), (*verdict).to_owned())).collect()
}

/// `llmc validate --stdin`, talked to line by line.
struct Stream {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Stream {
    fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        let mut command = env.command(&[&["validate", "--stdin"], arguments].concat());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    /// Waits for the next event.
    fn event(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Sends a line and waits for its answer.
    fn ask(&mut self, line: &Value) -> Value {
        self.send(&line.to_string());
        self.event()
    }

    /// Ends the input; the events that were left, and the exit code.
    fn end(mut self) -> Run {
        drop(self.stdin.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut rest).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Run { stdout: rest, ..Run::from(output) }
    }
}

#[test]
fn files_are_judged_one_candidate_each_and_every_one_gets_its_verdict() {
    let env = workspace();
    for (name, code) in [("right", RIGHT), ("square", SQUARE), ("broken", BROKEN), ("denied", DENIED), ("prose", "No.")]
    {
        env.write(&format!("c/{name}.rs"), code);
    }
    let files = ["c/right.rs", "c/square.rs", "./c/broken.rs", "c/denied.rs", "c/prose.rs"];
    let arguments = [["validate", "double", "--message-format", "json"].as_slice(), &files].concat();
    let run = env.llmc(&arguments).expect(0);
    assert_eq!(
        verdicts(&run),
        pairs(&[
            ("./c/broken.rs", "compile failed E0425"),
            ("c/denied.rs", "policy failed policy-path"),
            ("c/prose.rs", "parse failed syntax"),
            ("c/right.rs", "property passed -"),
            ("c/square.rs", "test failed example-2"),
        ])
    );
    let square = of_kind(&run, "verdict").into_iter().find(|event| event["candidate"] == "c/square.rs").unwrap();
    assert_eq!(square["hidden"], true, "it failed on a hidden example");
    assert_eq!((&square["spec"], &square["class"]), (&"double".into(), &"misinterpretation".into()));

    let last = run.events().pop().unwrap();
    let keys: Vec<&String> = last.as_object().unwrap().keys().collect();
    let expected = [
        "event", "spec", "status", "sampled", "parsed", "compiled", "passed", "clusters", "chosen", "commit",
        "seconds", "tokens", "reason", "replayed", "v",
    ];
    assert_eq!(keys, expected);
    let counts = ["sampled", "parsed", "compiled", "passed"].map(|key| last[key].as_u64().unwrap());
    assert_eq!(counts, [5, 3, 2, 1]);
    assert_eq!((&last["status"], &last["chosen"], &last["commit"]), (&"built".into(), &Value::Null, &Value::Null));
    assert_eq!(
        last["clusters"],
        json!([{"size": 1, "passed": true}, {"size": 1, "passed": false}, {"size": 1, "passed": false}])
    );
    assert!(!env.path(".llmc").exists() && !env.path("generated").exists(), "it wrote into the workspace");

    // `--all` asks more than one that passes.
    let arguments = [["validate", "double", "--all", "--message-format", "json"].as_slice(), &files].concat();
    let run = env.llmc(&arguments).expect(3);
    let finished = run.finished();
    assert_eq!(finished["status"], "failed");
    assert_eq!(finished["reason"], "4 of 5 candidates of `double` did not pass");
    env.llmc(&["validate", "double", "--all", "c/right.rs"]).expect(0);
    let run = env.llmc(&["validate", "double", "c/square.rs", "c/broken.rs"]).expect(3);
    assert!(run.stderr.contains("error: none of 2 candidates of `double` passed"), "{run}");
}

#[test]
fn json_lines_hold_code_or_replies_and_a_bad_line_is_told_and_does_not_stop_the_rest() {
    let env = workspace();
    let reply = format!("Of course:\n```rust\n{RIGHT}\n```\nIt doubles.");
    let mut text =
        format!("\u{feff}{}\r\n\r\n", json!({"id": "code", "spec": "double", "code": RIGHT, "model": {"name": ["x"]}}))
            .into_bytes();
    text.extend(lines(&[json!({"completion": reply}), json!({"id": 17, "code": SQUARE})]).into_bytes());
    text.extend(b"{\"id\": \"cut\n");
    text.extend(b"{\"id\": \"\xff\", \"code\": \"\"}\n");
    text.extend(lines(&[json!({"id": "none"}), json!({"id": "far", "spec": "other", "code": RIGHT})]).into_bytes());
    // The line is longer than any candidate may be; and the last one has no end.
    text.extend(format!("{{\"id\": \"long\", \"code\": \"{}\"}}\n", "x".repeat(3 << 20)).into_bytes());
    text.extend(json!({"id": "last", "code": BROKEN}).to_string().into_bytes());
    std::fs::write(env.path("replies.jsonl"), text).unwrap();

    let run = env.llmc(&["validate", "double", "replies.jsonl", "--message-format", "json"]).expect(1);
    assert_eq!(
        verdicts(&run),
        pairs(&[
            ("17", "test failed example-2"),
            ("3", "property passed -"),
            ("code", "property passed -"),
            ("last", "compile failed E0425"),
        ])
    );
    let told: Vec<(Option<u64>, Option<String>, String)> = of_kind(&run, "error")
        .iter()
        .map(|event| {
            let text = |key: &str| event[key].as_str().map(str::to_owned);
            (event["line"].as_u64(), text("candidate"), text("message").unwrap())
        })
        .collect();
    let told: Vec<(Option<u64>, Option<&str>, &str)> =
        told.iter().map(|(line, id, message)| (*line, id.as_deref(), message.as_str())).collect();
    assert_eq!(
        told,
        [
            (Some(5), None, "not JSON: EOF while parsing a string, column 11"),
            (Some(6), None, "it is not UTF-8: the mistake is at byte 9"),
            (Some(7), Some("none"), "it has neither `code` nor `completion`"),
            (Some(9), None, "it is longer than 2162688 bytes"),
            (None, None, "4 lines could not be read as a candidate"),
        ]
    );
    let notes = of_kind(&run, "note");
    assert_eq!(notes[0]["message"], "passed over, being of other specs: 1 line");
    let finished = run.finished();
    assert_eq!((&finished["sampled"], &finished["status"]), (&4.into(), &"built".into()));
    // Two that are the same program, and were judged once.
    assert_eq!(finished["clusters"][0], json!({"size": 2, "passed": true}));

    let run = env.llmc(&["validate", "double", "replies.jsonl"]).expect(1);
    assert!(run.stdout.contains("passed     code\n"), "{run}");
    assert!(run.stdout.contains("failed     last: compile: hallucination (E0425): "), "{run}");
    assert!(run.stderr.contains("Unjudged replies.jsonl:7 (id none): it has neither"), "{run}");
    assert!(run.stderr.contains("Judged double: 2 of 4 candidates passed; 4 parsed, 3 compiled ("), "{run}");
    assert!(run.stderr.contains("1 × test: misinterpretation (example-2)"), "{run}");
}

#[test]
fn several_inputs_keep_their_line_numbers_apart() {
    let env = workspace();
    env.write("a.jsonl", &lines(&[json!({"code": RIGHT})]));
    env.write("b.jsonl", &lines(&[json!({"code": SQUARE}), json!({"id": "own", "code": RIGHT})]));
    let mut command = env.command(&["validate", "double", "a.jsonl", "-", "b.jsonl", "--message-format", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines(&[json!({"code": BROKEN})]).as_bytes()).unwrap();
    let run = Run::from(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(
        verdicts(&run),
        pairs(&[
            ("-:1", "compile failed E0425"),
            ("a.jsonl:1", "property passed -"),
            ("b.jsonl:1", "test failed example-2"),
            ("own", "property passed -"),
        ])
    );
}

#[test]
fn a_spec_can_be_anywhere_and_no_workspace_is_needed() {
    let env = TestEnv::empty();
    env.write("far/away/double.yaml", SPEC);
    // What is beside a spec outside of a workspace is no part of it.
    env.write("far/away/templates/implement.user.tera", "{{ broken");
    env.write("right.rs", RIGHT);
    let run = env.llmc(&["validate", "far/away/double.yaml", "right.rs", "--message-format", "json"]).expect(0);
    assert_eq!(verdicts(&run), pairs(&[("right.rs", "property passed -")]));
    let absolute = env.path("far/away/double.yaml").display().to_string();
    let run = env.llmc(&["-C", "far", "validate", &absolute, "../right.rs"]).expect(0);
    assert!(run.stdout.contains("passed     ../right.rs\n"), "{run}");
    let run = env.llmc(&["validate", "double", "right.rs"]).expect(1);
    assert!(run.stderr.starts_with("error: no llmc workspace in "), "{run}");
    env.write(
        "far/away/caller.yaml",
        &negate().replace("negate", "caller").replace("examples", "uses: [nobody]\nexamples"),
    );
    let run = env.llmc(&["validate", "far/away/caller.yaml", "right.rs"]).expect(2);
    assert!(run.stderr.contains("no spec `nobody` to use"), "{run}");
}

#[test]
fn a_spec_that_cannot_be_judged_by_is_told_first_with_its_places() {
    let env = workspace();
    env.write("right.rs", RIGHT);
    env.write("specs/double.yaml", &SPEC.replace("examples:", "exmaples:"));
    let run = env.llmc(&["validate", "double", "right.rs"]).expect(2);
    assert!(run.stderr.contains("error: unknown key `exmaples`\n --> specs/double.yaml:5:1\n"), "{run}");
    env.write("specs/double.yaml", &SPEC.replace("returns: 4\n", "returns: '\"four\"'\n"));
    let run = env.llmc(&["validate", "double", "right.rs", "--message-format", "json"]).expect(2);
    let diagnostics = of_kind(&run, "diagnostic");
    assert_eq!((&diagnostics[0]["path"], &diagnostics[0]["line"]), (&"specs/double.yaml".into(), &7.into()));
    assert_eq!(verdicts(&run), []);
    // The artifacts that it builds upon are not there.
    env.write("specs/double.yaml", SPEC);
    env.write("specs/negate.yaml", &negate().replace("examples", "uses: [double]\nexamples"));
    let run = env.llmc(&["validate", "negate", "right.rs"]).expect(2);
    assert!(
        run.stderr.contains("error: `negate` needs `double`, which was not built\nhint: `llmc build double`"),
        "{run}"
    );
}

#[test]
fn what_cannot_be_judged_at_all_is_a_usage_error() {
    let env = workspace();
    env.write("right.rs", RIGHT);
    env.write("right.txt", RIGHT);
    env.write("empty.jsonl", "\n\r\n");
    let cases: [(&[&str], &str); 9] = [
        (&["double"], "required arguments were not provided"),
        (&["double", "nowhere.rs"], "no file `nowhere.rs`"),
        (&["double", "right.txt"], "`right.txt` is neither a `.rs` nor a `.jsonl` file"),
        (&["double", "specs"], "`specs` is a folder"),
        (&["double", "-", "-"], "`-` is named twice"),
        (&["right.rs", "right.rs"], "`right.rs` is no spec"),
        (&["duoble", "right.rs"], "did you mean `double`?"),
        (&["--stdin", "double", "right.rs"], "`right.rs` is no spec"),
        (&["double", "empty.jsonl"], "nothing to judge: no candidate was given"),
    ];
    for (arguments, message) in cases {
        let run = env.llmc(&[&["validate"], arguments].concat()).expect(1);
        assert!(run.stderr.contains(message), "{arguments:?}: {run}");
        assert!(!run.stdout.contains("\"verdict\""), "{arguments:?}: {run}");
    }
}

#[test]
fn verdicts_of_earlier_runs_are_taken_unless_asked_to_judge_afresh() {
    let env = workspace();
    env.write("right.rs", RIGHT);
    let judge = |more: &[&str]| {
        let arguments = [&["validate", "double", "right.rs", "--message-format", "json"], more].concat();
        let mut command = env.command(&arguments);
        verdicts(&Run::from(command.env("LLMC_CACHE", env.path("cache")).output().unwrap()))
    };
    let passed = pairs(&[("right.rs", "property passed -")]);
    assert_eq!(judge(&[]), passed);
    // What is remembered is changed, so that it can be seen where a verdict comes from.
    let folder = env.path("cache/validate/verdicts");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"property\""), "{text}");
    std::fs::write(&file, text.replace("\"property\"", "\"compile\"")).unwrap();
    assert_eq!(judge(&[]), pairs(&[("right.rs", "compile passed -")]));
    assert_eq!(judge(&["--no-cache"]), passed);
}

#[test]
fn a_stream_answers_each_line_before_the_next_is_sent() {
    let env = workspace();
    let mut stream = Stream::start(&env, &["double"]);
    for (id, code, outcome) in [("a", RIGHT, "passed"), ("b", SQUARE, "failed"), ("c", RIGHT, "passed")] {
        let answer = stream.ask(&json!({"id": id, "code": code}));
        assert_eq!((&answer["event"], &answer["candidate"]), (&"verdict".into(), &id.into()));
        assert_eq!(answer["outcome"], outcome);
    }
    let answer = stream.ask(&json!({"id": 4, "spec": "nobody", "code": RIGHT}));
    assert_eq!((&answer["event"], &answer["candidate"], &answer["line"]), (&"error".into(), &"4".into(), &4.into()));
    assert_eq!(answer["message"], "no spec `nobody` is judged here");
    let answer = stream.ask(&json!({"id": 5.5, "spec": "double", "code": BROKEN}));
    assert_eq!((&answer["candidate"], &answer["code"]), (&"5.5".into(), &"E0425".into()));
    let run = stream.end().expect(1);
    let finished = run.finished();
    assert_eq!((&finished["sampled"], &finished["passed"]), (&4.into(), &2.into()));
    assert_eq!(finished["clusters"][0], json!({"size": 2, "passed": true}));
    assert!(run.stderr.contains("error: 1 line could not be read as a candidate"), "{run}");
}

#[test]
fn a_stream_serves_every_spec_of_the_workspace_and_goes_on_when_one_is_unfit() {
    let env = workspace();
    env.write("specs/negate.yaml", &negate());
    env.write("specs/unfit.yaml", &negate().replace("negate", "unfit").replace("returns: -3", "returns: nothing"));
    let mut stream = Stream::start(&env, &[]);
    let ask = |stream: &mut Stream, spec: &str, code: &str| {
        let answer = stream.ask(&json!({"id": format!("{spec}'s"), "spec": spec, "code": code}));
        assert_eq!(answer["candidate"], format!("{spec}'s"));
        assert_eq!(answer["spec"], spec);
        answer
    };
    assert_eq!(ask(&mut stream, "double", RIGHT)["outcome"], "passed");
    assert_eq!(ask(&mut stream, "negate", "pub fn negate(n: i64) -> i64 { -n }")["outcome"], "passed");
    for _ in 0..2 {
        let answer = ask(&mut stream, "unfit", "pub fn unfit(n: i64) -> i64 { -n }");
        assert_eq!((&answer["event"], &answer["code"]), (&"error".into(), &2.into()));
        assert!(
            answer["message"]
                .as_str()
                .unwrap()
                .starts_with("the checks of `unfit` do not compile (specs/unfit.yaml:6: ")
        );
    }
    let answer = stream.ask(&json!({"code": RIGHT}));
    assert_eq!(answer["message"], "it has no `spec`, and several are judged here");
    assert_eq!(ask(&mut stream, "double", SQUARE)["outcome"], "failed");
    let run = stream.end().expect(1);
    let finished: Vec<Value> = of_kind(&run, "finished").iter().map(|event| event["spec"].clone()).collect();
    assert_eq!(finished, ["double", "negate"]);
    assert_eq!(of_kind(&run, "diagnostic")[0]["path"], "specs/unfit.yaml");
}

#[test]
fn a_stream_is_read_no_faster_than_it_is_judged() {
    let env = workspace();
    std::fs::create_dir(env.path("tmp")).unwrap();
    let mut command = env.command(&["validate", "--stdin", "--no-cache", "double"]);
    command.env("TMPDIR", env.path("tmp")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    // A megabyte each, and each another program: together many times what may be held.
    let sent = Arc::new(AtomicUsize::new(0));
    let writer = std::thread::spawn({
        let sent = sent.clone();
        move || {
            for number in 0..400 {
                let prose = "So it is. ".repeat(100_000);
                let code = format!("pub fn double(n: i32) -> i32 {{ n * 2 + {number} - {number} }}");
                let line = json!({"id": number, "completion": format!("{prose}\n```rust\n{code}\n```\n")});
                if stdin.write_all(format!("{line}\n").as_bytes()).is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut answer = String::new();
    stdout.read_line(&mut answer).unwrap();
    // 64 megabytes are held, some more are read ahead, and as many again when all that was held is answered at once.
    let sent = sent.load(Ordering::SeqCst);
    child.kill().unwrap();
    child.wait().unwrap();
    writer.join().unwrap();
    assert!(answer.contains("\"passed\""), "{answer}");
    assert!(sent <= 200, "{sent} lines were read before the first was judged");
}

#[test]
fn ctrl_c_ends_it_with_130_and_leaves_nothing() {
    let env = workspace();
    std::fs::create_dir(env.path("tmp")).unwrap();
    let mut command = env.command(&["validate", "--stdin", "--no-cache", "double"]);
    command.env("TMPDIR", env.path("tmp")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(lines(&[json!({"code": RIGHT})]).as_bytes()).unwrap();
    let mut answer = String::new();
    stdout.read_line(&mut answer).unwrap();
    assert!(answer.contains("passed"), "{answer}");
    // Another is under way, or about to be.
    stdin.write_all(lines(&[json!({"code": SQUARE})]).as_bytes()).unwrap();
    let started = Instant::now();
    env.run("kill", &["-INT", &child.id().to_string()], ".");
    let run = Run::from(child.wait_with_output().unwrap()).expect(130);
    assert!(run.stderr.contains("interrupted"), "{run}");
    assert!(started.elapsed() < Duration::from_secs(60), "it waited for more input");
    assert_eq!(std::fs::read_dir(env.path("tmp")).unwrap().count(), 0, "it left files");
    drop(stdin);
}

#[test]
fn checks_that_ran_in_the_candidates_process_are_said_to_be_so() {
    let env = workspace();
    let spec = |name: &str, parameter: &str, argument: &str| {
        format!(
            "llmc: 1\nname: {name}\ndescription: Adds one.\nsignature: 'pub fn {name}(f: {parameter}) -> i32'\n\
             examples:\n  - {{ call: '{name}({argument})', returns: 2 }}\n"
        )
    };
    // A closure can't travel to another process, a number can.
    env.write("specs/apply.yaml", &spec("apply", "impl Fn(i32) -> i32", "|n| n + 1"));
    env.write("apply.rs", "pub fn apply(f: impl Fn(i32) -> i32) -> i32 { f(1) }");
    env.write("specs/next.yaml", &spec("next", "i32", "1"));
    env.write("next.rs", "pub fn next(f: i32) -> i32 { f + 1 }");
    for (name, is_beside) in [("apply", true), ("next", false)] {
        let run = env.llmc(&["validate", name, &format!("{name}.rs"), "--message-format", "json"]).expect(0);
        let verdict = &of_kind(&run, "verdict")[0];
        assert_eq!(verdict["outcome"], "passed", "{run}");
        // Not told where it is not so.
        assert_eq!(verdict.get("cooperative"), is_beside.then_some(&json!(true)), "{run}");
        let noted = of_kind(&run, "note")
            .iter()
            .any(|note| note["message"].as_str().unwrap().contains("checks ran inside the candidates' process"));
        assert_eq!(noted, is_beside, "{run}");
    }
}
