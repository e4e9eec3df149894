//! `llmc clarify` on specs that are ambiguous on purpose: a server that answers with known readings. Real rustc, real
//! sandbox.

use llmc::behaviour::{Kind, Outcome};
use llmc::clarify::{Inquiry, Question, RIVAL, Reading};
use serde_json::Value;

use crate::env::TestEnv;
use crate::server::{Reply, Server};

/// A spec with its readings: how many draws give each, and its code.
fn planted(name: &str) -> (String, Vec<(usize, String)>) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/ambiguous");
    let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}{end}"))).unwrap();
    let readings = read(".rs");
    let readings = readings.split("// ").skip(1).map(|reading| {
        let (head, code) = reading.split_once('\n').unwrap();
        let draws = head.split_once(" draws").unwrap().0.parse().unwrap();
        (draws, code.to_owned())
    });
    (read(".yaml"), readings.collect())
}

/// A workspace with the spec, and a server that answers with its readings, each as often as planted.
fn env(name: &str) -> (TestEnv, Server, Vec<(usize, String)>) {
    let (spec, readings) = planted(name);
    let replies = readings.iter().flat_map(|(draws, code)| vec![format!("```rust\n{code}```"); *draws]);
    let replies: Vec<String> = replies.collect();
    let server = Server::answering(move |_, number| Reply::chat(&replies[number % replies.len()]));
    let env = TestEnv::with_server(&server.url);
    env.write(&format!("specs/{name}.yaml"), &spec);
    (env, server, readings)
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// What `--list` tells, as it is inside.
fn inquiry(events: &[Value]) -> Inquiry {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let readings = of(events, "readings")[0]["readings"].as_array().unwrap().iter().enumerate();
    let readings: Vec<Reading> = readings
        .map(|(at, one)| Reading {
            programs: vec![at],
            draws: number(&one["draws"]),
            weight: one["share"].as_f64().unwrap(),
        })
        .collect();
    let question = |event: &&Value| {
        let mut of = vec![usize::MAX; readings.len()];
        let outcomes = event["outcomes"].as_array().unwrap().iter().enumerate().map(|(at, outcome)| {
            for reading in outcome["readings"].as_array().unwrap() {
                of[number(reading)] = at;
            }
            let kind = match outcome["kind"].as_str().unwrap() {
                "value" => Kind::Value,
                "error" => Kind::Error,
                "panic" => Kind::Panic,
                other => panic!("{other}"),
            };
            Outcome { kind, text: outcome["text"].as_str().unwrap().to_owned() }
        });
        let outcomes = outcomes.collect();
        assert!(!of.contains(&usize::MAX), "{event}");
        Question { call: event["call"].as_str().unwrap().to_owned(), outcomes, of }
    };
    let questions = of(events, "question").iter().map(question).collect();
    Inquiry::of(readings, questions)
}

/// A user who means one reading: what is asked until they are understood, and the reading that this ends with.
fn simulated(mut inquiry: Inquiry, wanted: usize) -> (Vec<String>, usize) {
    let mut asked = Vec::new();
    while let Some(at) = inquiry.next() {
        let question = &inquiry.questions[at];
        asked.push(question.call.clone());
        let outcome = question.of[wanted];
        inquiry.answer(at, &[outcome]);
    }
    (asked, inquiry.leader().unwrap().0)
}

fn understood(name: &str) {
    let (env, _server, readings) = env(name);
    let before = env.read(&format!("specs/{name}.yaml"));
    let run = env.llmc(&["clarify", name, "--list", "--message-format", "json"]).expect(0);
    let events = run.events();
    let inquiry = inquiry(&events);
    let mut wanted: Vec<usize> = readings.iter().map(|(draws, _)| *draws).collect();
    wanted.sort_by_key(|draws| std::cmp::Reverse(*draws));
    // What was planted was found, and nothing else.
    assert_eq!(inquiry.readings.iter().map(|reading| reading.draws).collect::<Vec<_>>(), wanted, "{run}");
    assert_eq!(of(&events, "readings")[0]["verdict"], "ambiguous");
    let most = readings.len().next_power_of_two().trailing_zeros() as usize + 1;
    for wanted in 0..readings.len() {
        if inquiry.readings[wanted].weight < RIVAL {
            continue;
        }
        let (asked, end) = simulated(inquiry.clone(), wanted);
        assert_eq!(end, wanted, "{name}: {asked:?}");
        assert!(asked.len() <= most, "{name}: {} readings, asked {asked:?}", readings.len());
    }
    assert_eq!(env.read(&format!("specs/{name}.yaml")), before);
    let told = env.llmc(&["clarify", name]).expect(0);
    if let Ok(folder) = std::env::var("LLMC_TEST_SHOW") {
        std::fs::write(format!("{folder}/{name}.txt"), told.to_string()).unwrap();
    }
    assert!(told.stdout.contains("ambiguous: ") && told.stderr.contains("nothing was asked"), "{told}");
    assert!(told.stdout.contains(&inquiry.questions[inquiry.next().unwrap()].call), "{told}");
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 120), "{told}");
}

macro_rules! understood {
    ($($name:ident)*) => {
        /// Whoever means one of the planted readings is understood.
        mod understood {
            $(#[test] fn $name() { super::understood(stringify!($name)); })*
        }
    };
}

understood! { average between flag initials median nearest page shorten slug unique }

fn answers(env: &TestEnv, name: &str, text: &str, code: i32) -> crate::env::Run {
    env.write("answers.yaml", text);
    env.llmc(&["clarify", name, "--answers", "answers.yaml", "--message-format", "json"]).expect(code)
}

#[test]
fn an_answer_becomes_an_example_and_nothing_else_of_the_file_changes() {
    let (env, server, _) = env("slug");
    let commented =
        format!("# mine\n{}# the end\n", env.read("specs/slug.yaml").replace("a slug.", "a slug.  # short"));
    env.write("specs/slug.yaml", &commented);
    env.write("answers.yaml", "");
    let head = env.git(&["status", "--porcelain"]);
    let run = answers(&env, "slug", "- { call: 'slug(\" \")', returns: 'String::from(\"-\")' }\n", 0);
    let events = run.events();
    let done = of(&events, "clarified")[0];
    assert_eq!(done["written"], true);
    // Sixteen draws, six of which do so: 6·0.95 of 6·0.95 + 10·0.05.
    assert!((done["leader"]["weight"].as_f64().unwrap() - 5.7 / 6.2).abs() < 1e-9, "{run}");
    assert!(done["entropy"]["after"].as_f64() < done["entropy"]["before"].as_f64(), "{run}");
    let new = env.read("specs/slug.yaml");
    let added = "  # asked by llmc clarify\n  - call: 'slug(\" \")'\n    returns: 'String::from(\"-\")'\n";
    assert_eq!(new, commented.replace("# the end\n", &format!("{added}# the end\n")));
    assert_eq!(env.git(&["status", "--porcelain"]), head, "nothing was committed");
    env.llmc(&["check", "slug"]).expect(0);
    // The same answers again: the spec has them. What it denotes is drawn anew, since it is another spec.
    let before = server.received().len();
    let run = answers(&env, "slug", "- { call: 'slug(\" \")', returns: 'String::from(\"-\")' }\n", 0);
    assert!(run.stdout.contains("has an example of it already"), "{run}");
    assert_eq!(server.received().len(), before + 16);
    assert_eq!(of(&run.events(), "readings")[0]["verdict"], "alike", "{run}");
    assert_eq!(env.read("specs/slug.yaml"), new);
}

#[test]
fn what_can_not_be_taken_leaves_the_file_as_it_is() {
    let (env, ..) = env("slug");
    let before = env.read("specs/slug.yaml");
    for (given, expected) in [
        ("- { call: 'slug(\"nobody asked\")', returns: '\"\"' }\n", "slug(\\\"nobody asked\\\")` is no question"),
        ("- { call: 'slug(\" \")', returns: '17' }\n", "can't compare"),
        ("- { call: 'slug(\" \")', returns: '((' }\n", "is no Rust expression"),
        ("- { call: 'slug(\" \")' }\n", "needs one of"),
    ] {
        let run = answers(&env, "slug", given, 1);
        assert!(run.stdout.contains(expected), "{expected}: {run}");
        assert_eq!(env.read("specs/slug.yaml"), before);
    }
    let run = env.llmc(&["clarify", "slug", "--max-entropy", "0.5"]).expect(7);
    assert!(run.stderr.contains("leaves 0.95 bits open"), "{run}");
    env.llmc(&["clarify", "slug", "--max-entropy", "1"]).expect(0);
    assert_eq!(env.read("specs/slug.yaml"), before);
}

#[test]
fn an_input_that_is_none_is_ruled_out_and_so_are_others_after_it() {
    let (env, ..) = env("slug");
    let listed = env.llmc(&["clarify", "slug", "--list", "--message-format", "json"]).expect(0);
    let calls: Vec<String> =
        of(&listed.events(), "question").iter().map(|event| event["call"].as_str().unwrap().to_owned()).collect();
    let given = |call: &str| format!("- call: {call}\n  invalid: true\n");
    let quoted = |call: &str| format!("'{}'", call.replace('\'', "''"));
    let run = answers(&env, "slug", &format!("{}{}", given(&quoted(&calls[0])), given(&quoted(&calls[1]))), 0);
    let text = env.read("specs/slug.yaml");
    assert!(text.contains("  - name: valid_input_1\n    forall: { title: String }\n"), "{text}");
    assert!(text.contains("title != \" \" && title != "), "{text}\n{run}");
    assert_eq!(text.matches("valid_input").count(), 1, "{text}");
    // They are no questions any more.
    let again = env.llmc(&["clarify", "slug", "--list", "--message-format", "json"]).expect(0);
    let events = again.events();
    assert!(
        of(&events, "question").iter().all(|event| !calls[..2].contains(&event["call"].as_str().unwrap().to_owned()))
    );
    // With a condition the rest goes, too.
    let call = of(&events, "question")[0]["call"].as_str().unwrap();
    let condition = "title.split_whitespace().collect::<Vec<_>>().join(\" \") == title && !title.contains(|c: char| c != ' ' && c.is_whitespace())";
    let run = answers(&env, "slug", &format!("- call: {}\n  dont_care: {}\n", quoted(call), quoted(condition)), 0);
    assert_eq!(of(&run.events(), "clarified")[0]["entropy"]["after"], 0.0, "{run}");
    env.llmc(&["check", "slug"]).expect(0);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_questions_are_asked_and_answers_written() {
    let (env, ..) = env("slug");
    // `script` gives it a terminal.
    let command = format!("{} clarify slug", env!("CARGO_BIN_EXE_llmc"));
    let mut run = env.command(&[]);
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(env.root()).env_clear();
    for (name, value) in run.env("TERM", "dumb").get_envs() {
        value.map(|value| terminal.env(name, value));
    }
    terminal.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let Ok(mut child) = terminal.spawn() else { panic!("`script` of util-linux is needed") };
    // A typed expression that does not compile is asked for again; then the first answer, and no more.
    // Its end stays open: at the end of its input `script` hangs up.
    let mut keys = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut keys, b"o\n17\n1\nq\n").unwrap();
    let told = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
    drop(keys);
    for expected in [
        "question 1 of at most 5",
        "62%  \"\"",
        "38%  \"-\"",
        "that can't be taken: rustc says",
        "specs/slug.yaml was changed",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let added = "  # asked by llmc clarify: 10 of 16 programs did so\n  - call: 'slug(\" \")'\n    returns: '\"\"'\n";
    assert!(env.read("specs/slug.yaml").ends_with(added), "{}", env.read("specs/slug.yaml"));
}
