//! Committed artifacts that answer calls with JSON: compiled once, each call in a sandboxed process of its own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel as queue};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::crates::{create, write};
use super::run::{FORK, channel, job};
use super::{ValidateError, Validator, deps};
use crate::digest::sha256;
use crate::sandbox::{Ending, Finished, Input, Job, Limits, Role, Zygote};
use crate::spec::{Dependency, Profile};
use crate::toolchain::{Compile, CrateType};

/// What answers.
const PROGRAM: &str = include_str!("runtime/worker.rs");
/// Longest answer, in bytes.
const LONGEST: u64 = 16 << 20;
/// CPU time of one call, and its wall time.
const TIME: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// The crate `generated` as it is to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifacts {
    /// File names below `src`, `lib.rs` among them, with their texts.
    pub files: Vec<(String, String)>,
    /// The crates it is linked with; `serde_json` among them.
    pub dependencies: std::collections::BTreeMap<String, Dependency>,
    /// Whether no part of it may hold `unsafe` code.
    pub forbid_unsafe: bool,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Called {
    /// An answer.
    Answer(Value),
    /// It has none.
    Abstained,
    /// It returned an error, in words.
    Failed(String),
    /// It panicked with this text.
    Panicked(String),
    /// It took longer than a call may.
    TimedOut,
    /// Its process ended in another way.
    Crashed(String),
    /// No code has this name.
    Unknown,
}

/// A call on its way: the request, and who waits.
type Asked = (Vec<u8>, oneshot::Sender<Result<Called, ValidateError>>);

/// Answers calls. Its processes end when it is dropped.
#[derive(Debug)]
pub struct Worker {
    calls: Sender<Asked>,
}

impl Validator {
    /// Compiles artifacts, or finds them compiled, and makes them ready to be called, as many at once as `threads`.
    ///
    /// # Errors
    /// [`ValidateError`]; `Program` where they do not compile.
    pub fn worker(&self, artifacts: &Artifacts, threads: usize) -> Result<Worker, ValidateError> {
        let program = self.worker_program(artifacts)?;
        let limits = Limits { cpu: TIME.0, wall: TIME.1, output: 64 << 10, ..Limits::RUN };
        let environment = vec![(FORK.into(), "1".into())];
        let job = Job { role: Role::Fork, environment, ..job(&program, Vec::new(), Input::None, limits) };
        let (calls, waiting) = queue();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads.max(1) {
            let (job, waiting) = (job.clone(), waiting.clone());
            // A process that forks ends with the thread that started it.
            std::thread::spawn(move || answer(&job, &waiting, &limits));
        }
        Ok(Worker { calls })
    }

    fn worker_program(&self, artifacts: &Artifacts) -> Result<PathBuf, ValidateError> {
        let runtime = self.runtime()?;
        let dependencies = deps::build(&artifacts.dependencies, &self.toolchain, &self.cache, self.offline)?;
        let mut text = format!("1\n{}\n{PROGRAM}\n{}\n", self.toolchain.version, runtime.display());
        for part in [format!("{artifacts:?}"), format!("{:?}", dependencies.locked)] {
            text.push_str(&part);
        }
        let place = self.cache.join(format!("worker-{}", &sha256(text)[..16]));
        if place.is_file() {
            return Ok(place);
        }
        let failed = |source| ValidateError::Io { path: self.cache.clone(), source };
        std::fs::create_dir_all(&self.cache).map_err(failed)?;
        let private = tempfile::Builder::new().prefix("worker-new-").tempdir_in(&self.cache).map_err(failed)?;
        let at = |name: &str| private.path().join(name);
        for folder in ["generated", "worker", "out-generated", "out-worker"] {
            create(&at(folder))?;
        }
        for (name, text) in &artifacts.files {
            write(&at("generated").join(name), text)?;
        }
        write(&at("worker/main.rs"), PROGRAM)?;
        let library = Compile {
            crate_name: "generated".into(),
            crate_type: CrateType::Rlib,
            root: at("generated/lib.rs"),
            out: at("out-generated"),
            externs: dependencies.externs.clone(),
            search: dependencies.search.clone(),
            metadata_only: false,
            forbid_unsafe: artifacts.forbid_unsafe,
            profile: Profile::Release,
            optimised: false,
            shown_as: vec![(private.path().to_owned(), "/llmc".into()), (at("generated"), "src".into())],
            limits: self.compile_limits,
        };
        let built = self.built(&library)?;
        let mut program = Compile {
            crate_name: "worker".into(),
            crate_type: CrateType::Bin,
            root: at("worker/main.rs"),
            out: at("out-worker"),
            forbid_unsafe: false,
            ..library
        };
        program.externs.extend([("generated".into(), built), ("llmc_rt".into(), runtime)]);
        let built = self.built(&program)?;
        // Whole or not at all, whoever else does the same.
        std::fs::rename(&built, &place).map_err(failed)?;
        Ok(place)
    }

    fn built(&self, compile: &Compile) -> Result<PathBuf, ValidateError> {
        let compiled = self.toolchain.compile(compile)?;
        let why = compiled.artifact.is_none().then(|| compiled.why());
        compiled.artifact.ok_or_else(|| ValidateError::Program(why.unwrap_or_default()))
    }
}

impl Worker {
    /// Calls code by name.
    ///
    /// # Errors
    /// [`ValidateError`], when its process could not be started; whatever the code does is no error.
    pub async fn call(&self, name: &str, input: Value) -> Result<Called, ValidateError> {
        let request = json!({"name": name, "input": input}).to_string().into_bytes();
        let (done, answer) = oneshot::channel();
        self.calls.send((request, done)).map_err(|_| ValidateError::Panicked)?;
        answer.await.map_err(|_| ValidateError::Panicked)?
    }
}

/// One thread of a worker: makes calls, one after another, until nobody can ask any more.
fn answer(job: &Job, waiting: &Mutex<Receiver<Asked>>, limits: &Limits) {
    let mut zygote: Option<Zygote> = None;
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((request, done)) = next else { return };
        // Whoever asked may have gone.
        if done.is_closed() {
            continue;
        }
        let _ = done.send(call(job, &mut zygote, &request, limits));
    }
}

fn call(job: &Job, zygote: &mut Option<Zygote>, request: &[u8], limits: &Limits) -> Result<Called, ValidateError> {
    let zygote = match zygote {
        Some(zygote) => zygote,
        None => zygote.insert(Zygote::start(job)?),
    };
    let (ours, theirs) = channel()?;
    let ours = UnixStream::from(ours);
    let (answer, finished) = std::thread::scope(|scope| {
        let talking = scope.spawn(|| talk(ours, request));
        let finished = zygote.run(b"", Some(theirs), limits);
        (talking.join().expect("talking does not panic"), finished)
    });
    let finished = finished?;
    Ok(match answer.split_first() {
        Some((b'A', json)) if answer.len() as u64 <= LONGEST => match serde_json::from_slice(json) {
            Ok(value) => Called::Answer(value),
            Err(_) => lost(&finished, "its answer is no JSON"),
        },
        Some((b'A', _)) => Called::Failed(format!("its answer is longer than {LONGEST} bytes")),
        Some((b'N', [])) => Called::Abstained,
        Some((b'E', text)) => Called::Failed(String::from_utf8_lossy(text).into_owned()),
        Some((b'P', text)) => Called::Panicked(String::from_utf8_lossy(text).into_owned()),
        Some((b'U', [])) => Called::Unknown,
        _ => lost(&finished, "it gave no answer"),
    })
}

/// Sends the request, and reads what is said until the other end closes.
fn talk(mut channel: UnixStream, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    // A process that dies meanwhile says all there is to say.
    if channel.write_all(request).is_ok() && channel.shutdown(std::net::Shutdown::Write).is_ok() {
        let _ = channel.take(LONGEST + 2).read_to_end(&mut answer);
    }
    answer
}

fn lost(finished: &Finished, otherwise: &str) -> Called {
    let stderr = String::from_utf8_lossy(&finished.stderr);
    Called::Crashed(match finished.ending {
        Ending::CpuTime | Ending::WallTime => return Called::TimedOut,
        Ending::Flood => "it wrote too much output".to_owned(),
        Ending::Forbidden => "it made a system call that generated code may not".to_owned(),
        Ending::Signaled(_) if stderr.contains("has overflowed its stack") => "it overflowed the stack".to_owned(),
        Ending::Signaled(_) if stderr.contains("memory allocation of") => "it ran out of memory".to_owned(),
        Ending::Signaled(signal) => format!("it died of signal {signal}"),
        Ending::Exited(0) => otherwise.to_owned(),
        Ending::Exited(code) => format!("it ended the process with exit code {code}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LIB: &str = r#"
pub mod odd;
pub fn register(harness: &mut impl Extend<(&'static str, &'static str, fn(serde_json::Value) -> Result<Option<serde_json::Value>, String>)>) {
    harness.extend([("half", "00", (|input| {
        let number: i64 = serde_json::from_value(input).map_err(|error| error.to_string())?;
        Ok(odd::half(number).map(Into::into))
    }) as fn(serde_json::Value) -> Result<Option<serde_json::Value>, String>)]);
}
"#;
    const CODE: &str = r#"
pub fn half(number: i64) -> Option<i64> {
    match number {
        13 => panic!("unlucky"),
        17 => { let mut all = Vec::new(); loop { all.push(all.len()); } }
        19 => loop { std::hint::black_box(0); },
        23 => std::process::exit(0),
        29 => { let mut text = String::new(); std::io::stdin().read_line(&mut text).unwrap(); println!("A1"); Some(text.len() as i64) }
        31 => std::fs::read("/etc/hostname").ok().map(|_| 1),
        _ => (number % 2 == 0).then_some(number / 2),
    }
}
"#;

    #[tokio::test(flavor = "multi_thread")]
    async fn committed_code_answers_in_the_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| folder.path().join("cache"), PathBuf::from);
        let validator =
            Validator::new(crate::toolchain::Toolchain::find(None).unwrap(), cache, folder.path().join("work"));
        let dependency = Dependency { version: "1".into(), features: Vec::new(), default_features: true };
        let mut artifacts = Artifacts {
            files: vec![("lib.rs".into(), LIB.into()), ("odd.rs".into(), CODE.into())],
            dependencies: BTreeMap::from([("serde_json".to_owned(), dependency)]),
            forbid_unsafe: true,
        };
        let worker = validator.worker(&artifacts, 2).unwrap();
        let call = |number: i64| worker.call("half", json!(number));
        assert_eq!(call(8).await.unwrap(), Called::Answer(json!(4)));
        assert_eq!(call(9).await.unwrap(), Called::Abstained);
        assert_eq!(call(13).await.unwrap(), Called::Panicked("unlucky".into()));
        assert!(matches!(call(17).await.unwrap(), Called::Crashed(_)), "memory is bounded");
        assert!(matches!(call(23).await.unwrap(), Called::Crashed(_)), "an exit is no answer");
        assert_eq!(call(29).await.unwrap(), Called::Answer(json!(0)), "the channel is not its standard input");
        assert_eq!(call(31).await.unwrap(), Called::Abstained, "there are no files");
        assert!(matches!(worker.call("half", json!("x")).await.unwrap(), Called::Failed(_)));
        assert_eq!(worker.call("other", json!(1)).await.unwrap(), Called::Unknown);
        // None of them harmed the next.
        let calls: Vec<_> = (0..20).map(|number| worker.call("half", json!(2 * number))).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap(), Called::Answer(json!(number)));
        }
        artifacts.files[1].1 = "pub fn half(number: i64) -> i64 { number }".into();
        let error = validator.worker(&artifacts, 1).unwrap_err().to_string();
        assert!(error.contains("could not be compiled"), "{error}");
    }
}
