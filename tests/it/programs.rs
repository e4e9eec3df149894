//! The providers `command`, with real processes, and `replay`, with real files.

use std::path::Path;
use std::time::{Duration, Instant};

use llmc::model::command::{Options, Program};
use llmc::model::replay::Replay;
use llmc::model::secret::Secrets;
use llmc::model::{Drawn, Model, ModelError, Parameters, Request};
use llmc::prompt::Prompt;
use tokio::sync::mpsc;

use crate::model::{Run, draw, parameters, prompt};

const CANARY: &str = "sk-canary-5f1e0a9b";

fn options(arguments: &[&str]) -> Options {
    let mut options = Options::new(arguments.iter().map(|argument| (*argument).to_owned()).collect());
    options.secrets = Secrets::new([CANARY.to_owned()]);
    options.backoff = Duration::from_millis(1);
    options.timeout = Duration::from_secs(25);
    options
}

/// Runs a shell script as the program; llmc itself involves no shell.
async fn sh(script: &str, count: usize) -> Run {
    let model = Program::new("mine", options(&["/bin/sh", "-c", script])).unwrap();
    draw(&model, &prompt(), &parameters(), 0, count).await
}

async fn failure(script: &str) -> ModelError {
    let run = sh(script, 1).await;
    assert!(!format!("{:?}", run.result).contains("canary"));
    run.result.unwrap_err()
}

#[tokio::test]
async fn a_program_reads_the_prompt_and_prints_a_completion() {
    let script = "cat; echo \"$LLMC_SAMPLE $LLMC_SAMPLE_MODEL $LLMC_SAMPLE_TEMPERATURE $LLMC_SAMPLE_TOP_P $LLMC_SAMPLE_MAX_TOKENS\"";
    let run = sh(script, 3).await;
    assert_eq!((run.result, run.completions.len()), (Ok(()), 3));
    assert_eq!(run.completions[2].text, "You write Rust.\n\nWrite add.\n3 mine 0.8 0.95 2048\n");
    assert!(run.completions[2].estimated);
    let seeds = sh("echo $LLMC_SAMPLE_SEED", 2).await.completions;
    assert_ne!(seeds[0].text, seeds[1].text);
}

#[tokio::test]
async fn reasoning_of_a_program_is_kept_apart_and_a_key_is_kept_out() {
    let run = sh("echo '<think>hm</think>'; echo 'fn a() {} // sk-canary-5f1e0a9b'", 1).await;
    let completion = &run.completions[0];
    assert_eq!((completion.reasoning.as_str(), completion.text.as_str()), ("hm", "fn a() {} // [key]\n"));
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are() {
    let model = Program::new("mine", options(&["/bin/echo", "$HOME; `id` \"two words\""])).unwrap();
    let run = draw(&model, &prompt(), &parameters(), 0, 1).await;
    assert_eq!(run.completions[0].text, "$HOME; `id` \"two words\"\n");
    let facts = format!("{:?}", model.identity().facts);
    assert!(facts.contains("\"echo\"") && !facts.contains("/bin") && !facts.contains("words"), "{facts}");
}

#[tokio::test]
async fn a_program_that_fails_is_quoted() {
    let said = failure("echo start >&2; echo 'no quota' >&2; echo 'for sk-canary-5f1e0a9b' >&2; exit 3").await;
    assert_eq!(said.to_string(), "`sh` ended with exit code 3: start / no quota / for [key]");
    assert_eq!(said.code(), "provider-program");
    assert!(said.hint().unwrap().contains("by hand"));
    let silent = failure("exit 1").await;
    assert_eq!(silent.to_string(), "`sh` ended with exit code 1 and said nothing on its standard error");
    assert_eq!(
        failure("kill -9 $$").await.to_string(),
        "`sh` was killed by signal 9 and said nothing on its standard error"
    );
    let much = failure(
        "i=0; while [ $i -lt 4000 ]; do echo 'line of an endless log sk-canary-5f1e0a9b'; i=$((i+1)); done >&2; exit 4",
    )
    .await;
    assert!(much.to_string().ends_with("line of an endless log [key]"), "{much}");
}

#[tokio::test]
async fn output_that_is_no_completion_is_told() {
    assert_eq!(
        failure("echo warming up >&2").await.to_string(),
        "`sh` answered with nothing: no standard output: warming up"
    );
    assert_eq!(failure("printf '\\377\\376'").await.to_string(), "`sh` answered with bytes that are no UTF-8");
    assert_eq!(failure("head -c 9000000 /dev/zero; sleep 300").await.to_string(), "`sh` answered with more than 8 MiB");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_mistake_in_the_settings() {
    let model = Program::new("mine", options(&["/no/such/program"])).unwrap();
    let error = draw(&model, &prompt(), &parameters(), 0, 2).await.result.unwrap_err();
    assert!(matches!(error, ModelError::Settings(_)), "{error:?}");
    assert!(error.to_string().starts_with("`command/mine`: `program` can't be started: No such file"), "{error}");
}

#[tokio::test]
async fn a_program_may_ask_to_be_run_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("mkdir {0}/once 2>/dev/null && exit 75; echo ok", folder.path().display());
    assert_eq!(sh(&script, 1).await.completions[0].text, "ok\n");
    let script = format!("echo x >> {0}/log; echo later >&2; exit 75", folder.path().display());
    assert_eq!(failure(&script).await.to_string(), "`sh` ended with exit code 75: later");
    assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap().lines().count(), 6);
}

#[tokio::test]
async fn a_program_need_not_read_its_prompt() {
    let long = Prompt { user: "word ".repeat(500_000), ..prompt() };
    let model = Program::new("mine", options(&["/bin/echo", "ok"])).unwrap();
    assert_eq!(draw(&model, &long, &parameters(), 0, 2).await.completions[1].text, "ok\n");
}

/// Whether the process whose id is in `file` is gone, or waits only to be buried.
fn is_dead(file: &Path) -> bool {
    let id = std::fs::read_to_string(file).unwrap();
    match std::fs::read_to_string(format!("/proc/{}/stat", id.trim())) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    }
}

async fn until(happened: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < end, "it did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Leaves a process behind that holds the output, and notes its id.
fn with_child(file: &Path, then: &str) -> String {
    format!("sleep 300 & echo $! > {0}.new; mv {0}.new {0}; {then}", file.display())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let mut options = options(&["/bin/sh", "-c", &with_child(&file, "wait")]);
    options.timeout = Duration::from_millis(1500);
    let model = Program::new("mine", options).unwrap();
    let error = draw(&model, &prompt(), &parameters(), 0, 1).await.result.unwrap_err();
    assert_eq!(error.to_string(), "`sh` took too long: no whole answer within 1.5 s");
    until(|| is_dead(&file)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_program_leaves_behind_does_not_hold_up_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    assert_eq!(sh(&with_child(&file, "echo ok"), 1).await.completions[0].text, "ok\n");
    until(|| is_dead(&file)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_listening_kills_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let model = Program::new("mine", options(&["/bin/sh", "-c", &with_child(&file, "wait")])).unwrap();
    let (sink, drawn) = mpsc::unbounded_channel();
    let (prompt, parameters) = (prompt(), parameters());
    let request = Request::new(&prompt, &parameters, 0, 1);
    let close = async {
        until(|| file.exists()).await;
        drop(drawn);
    };
    let (result, ()) = tokio::join!(model.draw(&request, sink), close);
    assert_eq!(result, Ok(()));
    until(|| is_dead(&file)).await;
}

#[tokio::test]
async fn recorded_completions_are_replayed_by_index_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    std::fs::write(&path, "{\"id\":\"a\",\"completion\":\"one\"}\n{\"id\":\"b\",\"text\":\"two\"}\n").unwrap();
    let model = Replay::read(&path, &path.display().to_string()).unwrap();
    // No folder of this machine gets into a record.
    assert_eq!(model.identity().to_string(), "replay/samples.jsonl");
    assert!(model.identity().digest.is_some());
    let run = draw(&model, &prompt(), &parameters(), 1, 2).await;
    assert_eq!((run.result, run.completions.len()), (Ok(()), 1));
    assert_eq!((run.completions[0].index, run.completions[0].text.as_str()), (1, "two"));
    assert_eq!(run.failures[0].0, 2);
    assert_eq!(run.failures[0].1.to_string(), "`samples.jsonl` has no completion for sample 3 (it holds 2)");

    let missing = Replay::read(&folder.path().join("no.jsonl"), "no.jsonl").err().unwrap().to_string();
    assert!(missing.starts_with("`no.jsonl`: can't be read: No such file"), "{missing}");
}

#[tokio::test]
async fn a_replay_that_nobody_listens_to_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    std::fs::write(&path, "{\"text\":\"one\"}\n").unwrap();
    let model = Replay::read(&path, "samples.jsonl").unwrap();
    let (sink, drawn) = mpsc::unbounded_channel::<Drawn>();
    drop(drawn);
    let (prompt, parameters) = (prompt(), Parameters { ..parameters() });
    let request = Request::new(&prompt, &parameters, 0, usize::MAX);
    assert_eq!(model.draw(&request, sink).await, Ok(()));
}
