//! The 96 recorded replies in `fixtures/mbpp`: each gets the verdict that was found without llmc.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use llmc::candidate::{from_completion, from_source};
use llmc::model::Finish;
use llmc::sandbox::Limits;
use llmc::spec::Spec;
use llmc::toolchain::Toolchain;
use llmc::validate::{Checks, Validator};
use llmc::verdict::{Phase, Verdict};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// A recorded reply.
#[derive(serde::Deserialize)]
struct Reply {
    id: String,
    spec: String,
    completion: String,
    verdict: Recorded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recorded {
    Pass,
    Fail,
    CompileError,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/mbpp")
}

fn specs() -> BTreeMap<String, Spec> {
    let files = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (spec, _) = llmc::spec::parse(&format!("specs/{name}.yaml"), &name, &std::fs::read(&path).unwrap())
                .unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(false)));
            (name, spec)
        })
        .collect()
}

fn replies() -> Vec<Reply> {
    let text = std::fs::read_to_string(fixtures().join("replies.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a verdict is the recorded one. A reply that does not compile may fail before that, not after.
fn agrees(verdict: &Verdict, recorded: Recorded) -> bool {
    match recorded {
        Recorded::Pass => verdict.is_pass(),
        Recorded::Fail => !verdict.is_pass() && matches!(verdict.phase, Phase::Test | Phase::Property),
        Recorded::CompileError => {
            !verdict.is_pass() && matches!(verdict.phase, Phase::Parse | Phase::Policy | Phase::Compile)
        }
    }
}

fn validator() -> Validator {
    let scratch = Path::new(SCRATCH);
    Validator::new(Toolchain::find(None).unwrap(), scratch.join("replies-cache"), scratch.join("replies-work"))
        .offline(true)
        .limits(Limits::COMPILE, Limits { output: 1 << 20, ..Limits::RUN })
}

#[test]
fn rustc_fixes_what_it_is_sure_of_in_recorded_replies_that_do_not_compile() {
    let specs = specs();
    let validator = validator();
    let (mut broken, mut changed, mut compiled, mut passed) = (0, 0, 0, 0);
    for reply in replies().into_iter().filter(|reply| reply.verdict == Recorded::CompileError) {
        let spec = &specs[&reply.spec];
        let Ok(mut candidate) = from_completion(&reply.completion, Finish::Stop, spec) else { continue };
        broken += 1;
        let checks = validator.prepare(spec, &[]).unwrap();
        let mut judgement = validator.judge_closely(&checks, &[&candidate]).unwrap().remove(0);
        let is_told = judgement.insight.failure.as_ref().map(|failure| &failure.text);
        assert_eq!(is_told, Some(&judgement.verdict.detail), "{}", reply.id);
        let mut rounds = 0;
        while let Some(fixed) = judgement.insight.fix.take().filter(|_| rounds < 3) {
            assert!(!fixed.fixes.is_empty() && fixed.source != candidate.source, "{}", reply.id);
            rounds += 1;
            let Ok(next) = from_source(&fixed.source, spec) else { break };
            candidate = next;
            judgement = validator.judge_closely(&checks, &[&candidate]).unwrap().remove(0);
        }
        changed += usize::from(rounds > 0);
        compiled += usize::from(judgement.verdict.compiles());
        passed += usize::from(judgement.verdict.is_pass());
    }
    // docs/repair.md says what came of it when it was measured; another rustc may be sure of more or less.
    println!("{broken} broken, {changed} changed, {compiled} compiled, {passed} passed");
    assert!(broken == 16 && changed >= 3 && compiled >= 3 && passed >= 2, "{broken} {changed} {compiled} {passed}");
}

#[test]
fn every_recorded_reply_gets_its_verdict() {
    judge_all();
}

/// `cargo test --no-default-features --features cli --test it -- --ignored every_recorded_reply --nocapture`
#[test]
#[ignore = "takes minutes"]
fn every_recorded_reply_gets_its_verdict_twice_while_all_cores_are_busy_with_something_else() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let busy = Busy::new(cores);
    for time in ["first", "second"] {
        let started = Instant::now();
        judge_all();
        println!("the {time} time: 96 of 96 as recorded, in {:.0} s", started.elapsed().as_secs_f32());
    }
    println!("meanwhile {cores} endless loops used {:.0} s of CPU time", busy.end());
}

/// Processes that do nothing but work, at the usual priority; gone when dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn new(count: usize) -> Self {
        let start = |_| Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(start).collect())
    }

    /// The seconds of CPU time that they used.
    fn end(mut self) -> f64 {
        let times = self.0.iter_mut().map(|child| {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            // The twelfth after the name: hundredths of seconds on all machines that there are.
            stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap().parse::<f64>().unwrap() / 100.0
        });
        times.sum()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

/// Judges all of them, whatever was judged before.
fn judge_all() {
    let specs = specs();
    let replies = replies();
    assert_eq!((specs.len(), replies.len()), (32, 96));
    let validator = validator().afresh(true);
    let checks: BTreeMap<&str, Checks> =
        specs.iter().map(|(name, spec)| (name.as_str(), validator.prepare(spec, &[]).unwrap())).collect();

    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(reply) = replies.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = match from_completion(&reply.completion, Finish::Stop, &specs[&reply.spec]) {
                Ok(candidate) => validator.judge(&checks[reply.spec.as_str()], &candidate).unwrap(),
                Err(verdict) => verdict,
            };
            if !agrees(&verdict, reply.verdict) {
                wrong.push(format!("{}: recorded {:?}, got {verdict:#?}", reply.id, reply.verdict));
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
