//! The ledger with real processes: several at once, killed at any moment, and builds that go on from it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use llmc::ledger::{Ledger, Phase, Record, Start};
use llmc::model::sampling::derived_seed;
use llmc::model::{Completion, Finish, Identity, Parameters};
use llmc::prompt::Prompt;

use crate::env::{Run, TestEnv};
use crate::server::{Reply, Server};

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
  - call: double(3)
    returns: 6
sampling: { samples: 8, stop: all }
"#;

const RIGHT: &str = "```rust\npub fn double(n: i32) -> i32 { n * 2 }\n```";
const WRONG: &str = "```rust\npub fn double(n: i32) -> i32 { n * n }\n```";

fn env(url: &str) -> TestEnv {
    let env = TestEnv::with_server(url);
    env.write("specs/double.yaml", SPEC);
    env
}

/// The seeds in the requests: each sample has its own, so they tell which were asked for.
fn seeds(server: &Server) -> Vec<u64> {
    server.received().iter().map(|request| request.json()["seed"].as_u64().unwrap()).collect()
}

fn build(env: &TestEnv, more: &[&str], code: i32) -> serde_json::Value {
    env.llmc(&[&["build", "--message-format", "json"], more].concat()).expect(code).finished()
}

#[test]
fn a_second_build_of_the_same_prompt_asks_for_nothing_and_more_samples_only_for_those() {
    let server = Server::script(vec![Reply::chat(WRONG)]);
    let env = env(&server.url);
    let finished = build(&env, &[], 3);
    assert_eq!((&finished["sampled"], &finished["replayed"]), (&8.into(), &0.into()));
    let finished = build(&env, &[], 3);
    assert_eq!((&finished["sampled"], &finished["replayed"], &finished["tokens"]), (&8.into(), &8.into(), &0.into()));
    assert_eq!(server.received().len(), 8);
    let told = env.llmc(&["build"]).expect(3).stderr;
    assert!(told.contains("8 of them were in the ledger; `--no-cache` draws them afresh"), "{told}");

    let finished = build(&env, &["-n", "11"], 3);
    assert_eq!((&finished["sampled"], &finished["replayed"]), (&11.into(), &8.into()));
    let mut seeds = seeds(&server);
    assert_eq!(seeds.len(), 11);
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 11, "a sample was asked for twice");

    // Other checks judge the same samples.
    env.write(
        "specs/double.yaml",
        &SPEC.replace("call: double(3)\n    returns: 6", "call: double(3)\n    returns: 9\n    hidden: true"),
    );
    let finished = build(&env, &[], 0);
    assert_eq!((&finished["sampled"], &finished["replayed"], &finished["passed"]), (&8.into(), &0.into(), &8.into()));
}

#[test]
fn no_cache_draws_afresh_and_keeps_what_was_there() {
    let server = Server::script(vec![Reply::chat(RIGHT)]);
    let env = env(&server.url);
    build(&env, &["-n", "3"], 0);
    let finished = build(&env, &["-n", "3", "--no-cache"], 0);
    assert_eq!((&finished["sampled"], &finished["replayed"]), (&3.into(), &0.into()));
    assert_eq!(server.received().len(), 6);
}

#[test]
fn stop_first_asks_for_nothing_when_a_sample_that_is_there_passes() {
    let server = Server::answering(|_, number| Reply::chat(if number == 1 { RIGHT } else { WRONG }));
    let env = env(&server.url);
    build(&env, &["-n", "4", "--no-commit"], 0);
    std::fs::remove_dir_all(env.path("generated")).unwrap();
    let finished = build(&env, &["-n", "64", "--stop", "first"], 0);
    assert_eq!(finished["passed"], 1);
    assert_eq!(server.received().len(), 4);
}

#[test]
fn a_build_that_was_killed_is_gone_on_with_and_only_what_is_missing_is_asked_for() {
    for arrived in [1, 3, 7] {
        // So many are answered at once, the others not while the first build lives.
        let killed = Arc::new(AtomicUsize::new(0));
        let server = {
            let killed = killed.clone();
            Server::answering(move |_, number| {
                if number >= arrived {
                    let started = Instant::now();
                    while killed.load(Ordering::SeqCst) == 0 && started.elapsed() < Duration::from_secs(60) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
                Reply::chat(RIGHT)
            })
        };
        let env = env(&server.url);
        let mut child = env.command(&["build", "--message-format", "json"]).stdout(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let sampled = events.filter(|line| line.contains(r#""event":"sampled""#));
        assert_eq!(sampled.take(arrived).count(), arrived);
        kill(&mut child);
        let first = seeds(&server);
        killed.store(1, Ordering::SeqCst);

        let finished = build(&env, &[], 0);
        assert_eq!((&finished["sampled"], &finished["replayed"]), (&8.into(), &arrived.into()));
        // The first requests that came were answered; the second build asked for all others, and only for them.
        let all = seeds(&server);
        let mut asked_again: Vec<u64> = all[first.len()..].to_vec();
        assert_eq!(asked_again.len(), 8 - arrived);
        asked_again.extend(&first[..arrived]);
        asked_again.sort_unstable();
        asked_again.dedup();
        assert_eq!(asked_again.len(), 8, "after {arrived}: a sample was drawn twice, or lost");
        assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "");
    }
}

/// Kills builds at random moments, several at a time, and has the next build finish them.
#[expect(clippy::print_stdout, reason = "the figures are the test's result")]
fn builds_that_are_killed(rounds: u64) {
    let quick = |number: usize| Reply::chat(RIGHT).after(Duration::from_millis(40 * (number as u64 % 5)));
    let spec = SPEC.replace("samples: 8", "samples: 4");
    let started = Instant::now();
    {
        let server = Server::answering(move |_, number| quick(number));
        let env = env(&server.url);
        build(&env, &[], 0);
    }
    let whole = started.elapsed();
    let next = AtomicUsize::new(0);
    let (killed, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let round = |number: u64| {
        let server = Server::answering(move |_, number| quick(number));
        let env = env(&server.url);
        env.write("specs/double.yaml", &spec);
        let mut child = env.command(&["build", "--message-format", "json"]).stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).collect());
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        std::thread::sleep(whole.mul_f64(random as f64 / (1_u64 << 24) as f64));
        killed.fetch_add(usize::from(child.try_wait().unwrap().is_none()), Ordering::SeqCst);
        kill(&mut child);
        let lines: Vec<String> = reader.join().unwrap();
        let events = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let told: Vec<u64> = events
            .filter(|event| event["event"] == "sampled")
            .map(|event| derived_seed(1, event["sample"].as_u64().unwrap() as usize - 1))
            .collect();
        env.git(&["fsck", "--strict", "--no-progress"]);
        let asked = seeds(&server).len();

        let finished = build(&env, &[], 0);
        let what = format!("round {number}: told {told:?}, then {finished}");
        let again = seeds(&server)[asked..].to_vec();
        assert!(told.iter().all(|seed| !again.contains(seed)), "{what}: drawn again {again:?}");
        if finished["status"] == "built" {
            let replayed = finished["replayed"].as_u64().unwrap();
            assert_eq!((&finished["sampled"], &finished["passed"]), (&4.into(), &4.into()), "{what}");
            assert!(replayed >= told.len() as u64, "{what}");
            assert_eq!(again.len() as u64, 4 - replayed, "{what}");
            assert_eq!(finished["tokens"], 7 * (4 - replayed), "{what}");
        } else {
            assert_eq!((&finished["status"], again.len()), (&"fresh".into(), 0), "{what}");
        }
        kept.fetch_add(told.len(), Ordering::SeqCst);
        // Each sample is there once, and was paid for once.
        let exported = env.llmc(&["ledger", "export"]).expect(0).events();
        let mut numbers: Vec<u64> = exported.iter().map(|sample| sample["sample"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4], "{what}");
        let spent = &env.llmc(&["ledger", "stats", "--by", "model", "--message-format", "json"]).expect(0).events()[0];
        assert_eq!((&spent["prompt_tokens"], &spent["completion_tokens"]), (&44.into(), &28.into()), "{what}");
        env.git(&["fsck", "--strict", "--no-progress"]);
        assert_eq!(env.git(&["status", "--porcelain", "generated", "specs"]), "", "{what}");
        assert_eq!(env.git(&["rev-list", "--count", "HEAD"]).trim(), "1", "{what}");
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::SeqCst) as u64 {
                        number if number < rounds => round(number),
                        _ => break,
                    }
                }
            });
        }
    });
    let (killed, kept) = (killed.load(Ordering::SeqCst), kept.load(Ordering::SeqCst));
    println!("{rounds} builds, {killed} killed in the middle, {kept} samples told before, in {:?}", started.elapsed());
    assert!(killed as u64 * 2 > rounds, "{killed} of {rounds} were killed in the middle");
}

#[test]
fn builds_that_are_killed_at_random_moments_lose_nothing_and_are_finished_by_the_next() {
    builds_that_are_killed(24);
}

#[test]
#[ignore = "ten times as long; docs/ledger.md has the command"]
fn builds_that_are_killed_at_200_random_moments_lose_nothing_and_are_finished_by_the_next() {
    builds_that_are_killed(200);
}

#[test]
fn a_disk_that_is_full_ends_the_drawing_and_loses_nothing_that_was_stored() {
    let padding = "This is how it is done. ".repeat(2500);
    let server = Server::answering(move |_, number| Reply::chat(&format!("{number} {padding}\n\n{WRONG}")));
    let env = env(&server.url);
    let settings = env.read("llmc.yaml").replace("base_url", "concurrency: 1, base_url");
    // A server on this machine that is not free.
    env.write("llmc.yaml", &format!("{settings}prices: {{ openai/test: {{ input: 1, output: 1 }} }}\n"));
    std::fs::create_dir(env.path(".llmc")).unwrap();
    // A real disk that is really full: a small one in a mount namespace of its own, which then grows.
    let script = "
        mount -t tmpfs -o size=640k tmpfs .llmc || exit 99
        \"$LLMC\" build -n 20 2> full.txt
        echo $? > full.code
        \"$LLMC\" ledger export > stored.jsonl || exit 98
        mount -o remount,size=64m .llmc || exit 97
        \"$LLMC\" build -n 20 --message-format json > then.jsonl
        echo $? > then.code";
    let mut command = env.command(&[]);
    let environment: Vec<_> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    let program = command.get_program().to_owned();
    command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).env_clear().envs(environment).env("LLMC", program);
    Run::from(command.current_dir(env.root()).output().unwrap()).expect(0);

    let told = env.read("full.txt");
    assert_eq!(env.read("full.code"), "70\n", "{told}");
    assert!(told.contains("disk is full"), "{told}");
    assert!(told.contains("make room on the disk; what was stored before is safe"), "{told}");
    assert!(told.contains("sampling was stopped, since samples could not be stored"), "{told}");
    let stored = env.read("stored.jsonl").lines().count();
    let asked = server.received().len();
    assert!((2..19).contains(&stored), "{stored} stored: {told}");
    let then = env.read("then.jsonl");
    assert_eq!(env.read("then.code"), "3\n", "{then}");
    let mut events = then.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let finished = events.find(|event| event["event"] == "finished").unwrap();
    assert_eq!((&finished["sampled"], &finished["replayed"]), (&20.into(), &stored.into()), "{then}");
    // One could not be stored, and the next was asked for meanwhile: no other was drawn twice.
    assert!(asked - (20 - stored) - stored <= 2, "{asked} asked, {stored} stored");
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

// ---- processes that only write ----

const FOLDER: &str = "LLMC_TEST_LEDGER";

fn completion(index: usize) -> Completion {
    Completion {
        index,
        text: format!("{index} {}", "x".repeat(500)),
        finish: Finish::Stop,
        prompt_tokens: 1,
        completion_tokens: 2,
        temperature: 0.5,
        style: "chat".into(),
        milliseconds: 3,
        ..Completion::default()
    }
}

fn begin(folder: &Path, name: &str) -> Record {
    let model = Identity { provider: "openai".into(), name: name.into(), digest: None, facts: vec![] };
    let prompt = Prompt {
        template: "t".into(),
        template_digest: "d".into(),
        system: "s".into(),
        user: "u".into(),
        opening: String::new(),
        continuation: None,
    };
    let start = Start {
        spec: "double",
        run: "double-1",
        inputs: "i",
        checks: "c",
        wanted: 1,
        phase: Phase::Fresh,
        prompt: &prompt,
        parameters: &Parameters { temperature: None, top_p: 0.95, max_tokens: None, seed: 1 },
        models: &[&model],
        afresh: false,
    };
    Record::begin(Arc::new(Ledger::open(folder).unwrap()), &start).unwrap()
}

/// Not a test but the program of the processes below: stores samples, and says of each when it is stored.
#[test]
#[ignore = "the program of other tests"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (name, count) = (std::env::var("LLMC_TEST_NAME").unwrap(), std::env::var("LLMC_TEST_COUNT").unwrap());
    let mut record = begin(Path::new(&folder), &name);
    for index in 0..count.parse().unwrap() {
        record.arrived(&[(0, &completion(index))]).unwrap();
        println!("stored {index}");
    }
}

fn start_writer(folder: &Path, name: &str, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::writer", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env("LLMC_TEST_NAME", name)
        .env("LLMC_TEST_COUNT", count.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The indices below `most` that the ledger has of a model.
fn found(folder: &Path, name: &str, most: usize) -> Vec<usize> {
    let wanted: Vec<_> = (0..most).map(|index| (index, 0)).collect();
    let (stored, unreadable) = begin(folder, name).replay(&wanted).unwrap();
    assert_eq!(unreadable, 0);
    for one in &stored {
        assert_eq!(one.completion, completion(one.completion.index));
    }
    stored.iter().map(|one| one.completion.index).collect()
}

#[test]
fn processes_that_write_at_once_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    // All of them also make the file at once.
    let names = ["a", "b", "c", "a"];
    let writers: Vec<Child> = names.iter().map(|name| start_writer(folder.path(), name, 40)).collect();
    for writer in writers {
        Run::from(writer.wait_with_output().unwrap()).expect(0);
    }
    for name in ["a", "b", "c"] {
        assert_eq!(found(folder.path(), name, 41), (0..40).collect::<Vec<_>>(), "{name}");
    }
    // Two drew the samples of `a`: both are kept.
    let recorded = Ledger::open(folder.path()).unwrap();
    assert_eq!(recorded.set_aside(), None);
}

#[test]
fn what_was_stored_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut random: u64 = 4711;
    for round in 0..20 {
        let name = format!("model-{round}");
        let mut writer = start_writer(folder.path(), &name, 100_000);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until = (random >> 33) as usize % 25;
        let is_last = |line: &String| line.ends_with(&format!("stored {until}"));
        assert!(lines.any(|line| is_last(&line)), "the writer ended");
        kill(&mut writer);
        // What it could still say before it died counts as well.
        let told = lines.filter_map(|line| line.split("stored ").nth(1)?.parse::<usize>().ok()).last().unwrap_or(until);
        let found = found(folder.path(), &name, told + 3);
        assert!(found.len() > told && found[..=told].iter().copied().eq(0..=told), "{told}: {found:?}");
        assert_eq!(Ledger::open(folder.path()).unwrap().set_aside(), None);
    }
}

// ---- what can go wrong with the file ----

#[test]
fn without_a_ledger_what_is_free_is_built_with_a_warning() {
    let server = Server::script(vec![Reply::chat(RIGHT)]);
    let env = env(&server.url);
    std::fs::create_dir_all(env.path(".llmc/ledger.db")).unwrap();
    let run = env.llmc(&["build", "-n", "2"]).expect(0);
    assert!(run.stderr.contains("Warning samples are not stored: failed to read `.llmc/ledger.db`"), "{run}");
}

#[test]
fn a_corrupt_ledger_is_told_of_and_the_build_goes_on() {
    let server = Server::script(vec![Reply::chat(RIGHT)]);
    let env = env(&server.url);
    env.write(".llmc/ledger.db", &"garbage ".repeat(500));
    let run = env.llmc(&["build", "-n", "2"]).expect(0);
    let told = "`.llmc/ledger.db` was damaged: it is now `.llmc/ledger.db.corrupt-1`, and a new one was begun";
    assert!(run.stderr.contains(told), "{run}");
    assert_eq!(env.read(".llmc/ledger.db.corrupt-1"), "garbage ".repeat(500));
    assert_eq!(build(&env, &["-n", "2", "--no-cache"], 0)["sampled"], 2);
}

#[test]
fn without_a_ledger_nothing_is_sampled_that_may_cost_money() {
    // No server is there: nothing is asked.
    let env = env("http://192.0.2.1:9");
    std::fs::create_dir_all(env.path(".llmc/ledger.db")).unwrap();
    let run = env.llmc(&["build", "-n", "2"]).expect(70);
    assert!(run.stderr.contains("failed to read `.llmc/ledger.db`"), "{run}");
    assert!(run.stderr.contains("nothing was sampled: samples that cost money are stored first"), "{run}");
}

#[test]
fn the_ledger_is_added_up_exported_and_cleared_of_what_is_old() {
    let server = Server::answering(|_, number| Reply::chat(if number == 1 { RIGHT } else { WRONG }));
    let env = env(&server.url);
    assert!(env.llmc(&["ledger", "stats"]).expect(0).stderr.contains("nothing was sampled in this workspace yet"));
    build(&env, &["-n", "2"], 0);
    let stats = env.llmc(&["ledger", "stats"]).expect(0).stdout;
    let cells: Vec<&str> = stats.lines().nth(1).unwrap().split_whitespace().skip(1).collect();
    assert_eq!(cells, ["openai/test", "2", "50%", "22", "14", "0.0000", "-", "-"], "{stats}");
    let stats = env.llmc(&["ledger", "stats", "--message-format", "json"]).expect(0).events();
    assert_eq!((&stats[0]["samples"], &stats[0]["passed"]), (&2.into(), &1.into()));

    let exported = env.llmc(&["ledger", "export"]).expect(0);
    assert_eq!(exported.events().len(), 2);
    assert!(exported.stdout.contains("n * 2") && !exported.stdout.contains(&env.root().display().to_string()));

    // A signature is none of the records that say which samples are needed.
    env.write("generated/provenance/double.dsse.json", "{}");
    let told = env.llmc(&["ledger", "gc"]).expect(0).stderr;
    assert!(told.contains("would remove 0 samples older than 90 days"), "{told}");
    assert!(env.llmc(&["ledger", "gc", "--older-than", "0d"]).expect(1).stderr.contains("a number of days from 1"));
    env.llmc(&["ledger", "gc", "--older-than", "1d", "--yes"]).expect(0);
    assert_eq!(env.llmc(&["ledger", "export"]).expect(0).events().len(), 2);
}
