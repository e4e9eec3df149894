//! Validation: one candidate, compiled as it would be committed and held against every check of its spec.
//!
//! A candidate is the module `NAME.rs` of a crate called `generated`; the checks are a program of their own
//! that is linked with it. Both are compiled and run in the sandbox. Nothing here judges style or picks a
//! candidate, and nothing a candidate prints decides: see `protocol` and `judge`.

mod answers;
mod batch;
mod check;
mod crates;
mod deps;
mod harness;
mod insight;
mod judge;
mod memory;
mod protocol;
mod proxy;
mod queue;
mod replay;
mod run;
mod scenario;
mod source_map;
mod support;
mod tests_file;
mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use answers::{Answerers, Reply};
pub use deps::{DepsError, Locked};
pub use harness::{Check, Harness, render};
pub use insight::{Failure, Fixed, Insight, Judgement};
pub use proxy::{Callable, Callables, Fields, Given, Input, LOST, callables, library, server};
pub use queue::{Judged, Program, Queue, Slots, Supply};
pub use scenario::{Gave, Shown};
pub use source_map::SourceMap;
pub use tests_file::render_tests_file;
pub use worker::{Artifacts, Called, Worker};

use batch::{Batch, Kind};
use memory::Memory;
use run::{Passed, Runner};

use crate::candidate::Candidate;
use crate::digest::Hasher;
use crate::sandbox::{self, Ending, Limits, SandboxError};
use crate::spec::{Diagnostic, Profile, Spec};
use crate::toolchain::{Compile, Compiled, Toolchain};
use crate::verdict::{Phase, Verdict};

/// Raised when what is judged otherwise than before is not to be seen in the texts that verdicts depend on.
const ENGINE: u32 = 4;

/// What the checks are linked with: files of the crate `llmc_rt`.
const RUNTIME: [(&str, &str); 7] = [
    ("lib.rs", include_str!("runtime/lib.rs")),
    ("caller.rs", include_str!("runtime/caller.rs")),
    ("fork.rs", include_str!("runtime/fork.rs")),
    ("generate.rs", include_str!("runtime/generate.rs")),
    ("report.rs", include_str!("runtime/report.rs")),
    ("serve.rs", include_str!("runtime/serve.rs")),
    ("wire.rs", include_str!("runtime/wire.rs")),
];

/// Why llmc could not validate. Never a candidate's fault.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// The spec holds something that can't be turned into a check.
    #[error("spec `{spec}` has {} mistake(s) in its checks: {}", .mistakes.len(), first(.mistakes))]
    Spec {
        /// The spec's name.
        spec: String,
        /// What and where.
        mistakes: Vec<Diagnostic>,
    },
    /// The crates that the spec names are not there.
    #[error(transparent)]
    Dependencies(#[from] DepsError),
    /// The process could not be started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file of our own could not be read or written.
    #[error("failed to use `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// The part of llmc that the checks are linked with did not compile.
    #[error("this rustc could not compile llmc's runtime for checks:\n{0}")]
    Runtime(String),
    /// Committed code did not compile to be called.
    #[error("the crate `generated` could not be compiled to be called:\n{0}")]
    Program(String),
    /// A bug in llmc; the panic's own message is on standard error.
    #[error("judging panicked")]
    Panicked,
}

fn first(mistakes: &[Diagnostic]) -> &str {
    mistakes.first().map_or("", |mistake| &mistake.message)
}

/// Validates candidates. One for the whole process; may be used from many threads at once.
#[derive(Debug)]
pub struct Validator {
    toolchain: Toolchain,
    cache: PathBuf,
    work: PathBuf,
    offline: bool,
    compile_limits: Limits,
    run_limits: Limits,
    afresh: bool,
    /// Held for writing by a run that must be alone.
    alone: RwLock<()>,
}

/// The checks of one spec, ready to judge candidates.
#[derive(Debug, Clone)]
pub struct Checks {
    name: String,
    harness: Harness,
    /// The other modules of the crate.
    uses: Vec<(String, String)>,
    spec: Arc<Spec>,
    /// Whether the compiler forbids unsafe code in the whole crate.
    forbid_unsafe: bool,
    /// Whether it forbids it in the candidate's module alone, since another module may have some.
    forbid_in_module: bool,
    /// The program that calls candidates in another process, once it was looked for.
    judge: Arc<Mutex<Option<Option<PathBuf>>>>,
    memory: Arc<Mutex<Memory>>,
    /// `llmc_rt` and the spec's crates.
    runtime: PathBuf,
    dependencies: deps::Built,
    digest: String,
}

impl Checks {
    /// Names everything but the candidate that a verdict depends on: checks, other modules, runtime, crates and rustc.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The crates that a candidate is compiled with, exactly.
    pub fn crates(&self) -> &[Locked] {
        &self.dependencies.locked
    }

    /// The spec.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn forbids_unsafe(&self) -> bool {
        self.forbid_unsafe || self.forbid_in_module
    }

    /// The checks, in the order in which they are run.
    pub fn list(&self) -> &[Check] {
        &self.harness.checks
    }
}

/// What was found of the candidate with this number.
type Found = (usize, Result<Passed, Judgement>);

impl Validator {
    /// A validator that keeps what can be used again in `cache` and its private folders in `work`.
    ///
    /// Both must be absolute; they are created when first needed.
    pub fn new(toolchain: Toolchain, cache: impl Into<PathBuf>, work: impl Into<PathBuf>) -> Self {
        Self {
            toolchain,
            cache: cache.into(),
            work: work.into(),
            offline: false,
            compile_limits: Limits::COMPILE,
            run_limits: Limits { output: 1 << 20, ..Limits::RUN },
            afresh: false,
            alone: RwLock::new(()),
        }
    }

    /// The compiler that candidates are compiled with.
    pub fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// Whether cargo may not use the network for a spec's crates (default: it may).
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Whether verdicts of earlier runs are passed over (default: they are taken).
    #[must_use]
    pub fn afresh(mut self, afresh: bool) -> Self {
        self.afresh = afresh;
        self
    }

    /// Limits on rustc and on a candidate's process, in place of [`Limits::COMPILE`] and [`Limits::RUN`].
    ///
    /// The first run gets half of the time; one that uses it up is run again, alone and with all of it.
    #[must_use]
    pub fn limits(mut self, compile: Limits, run: Limits) -> Self {
        (self.compile_limits, self.run_limits) = (compile, run);
        self
    }

    /// Makes the checks of a spec ready: writes the program and builds what it is linked with.
    ///
    /// `uses` are the modules of `generated` that this one may call: their names and sources.
    ///
    /// # Errors
    /// [`ValidateError`]; `Spec` when an example, property or test can't be turned into a check.
    pub fn prepare(&self, spec: &Spec, uses: &[(String, String)]) -> Result<Checks, ValidateError> {
        let harness = render(spec).map_err(|mistakes| ValidateError::Spec { spec: spec.name.clone(), mistakes })?;
        let runtime = self.runtime()?;
        let dependencies = deps::build(&spec.dependencies, &self.toolchain, &self.cache, self.offline)?;
        // `-F unsafe-code` holds for the whole crate, and another module may be allowed what this one is not.
        let others_unsafe = uses.iter().any(|(_, source)| source.contains("unsafe"));
        let mut hasher = Hasher::default();
        let policy = format!("{:?}", spec.policy);
        let dependency_digest = format!("{:?}", spec.dependencies);
        let own = [&self.toolchain.version, &harness.source, &policy, &dependency_digest];
        let runtime_texts = RUNTIME.iter().map(|(_, text)| *text);
        let others = uses.iter().flat_map(|(name, source)| [name.as_str(), source.as_str()]);
        hasher.update(&ENGINE.to_le_bytes());
        for part in own.into_iter().map(String::as_str).chain(runtime_texts).chain(others) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        // What was found without the sandbox is not to be believed with it.
        hasher.update(format!("{:?}{:?}{:?}", self.compile_limits, self.run_limits, sandbox::mode()).as_bytes());
        Ok(Checks {
            name: spec.name.clone(),
            harness,
            spec: Arc::new(spec.clone()),
            uses: uses.to_vec(),
            forbid_unsafe: !spec.policy.allow_unsafe && !others_unsafe,
            forbid_in_module: !spec.policy.allow_unsafe && others_unsafe,
            judge: Arc::default(),
            memory: Arc::default(),
            runtime,
            dependencies,
            digest: hasher.finish(),
        })
    }

    /// Judges one candidate. Blocks for some tenths of a second, longer when the candidate uses up its time.
    ///
    /// # Errors
    /// [`ValidateError`] when llmc could not do its part; whatever the candidate does is a verdict.
    pub fn judge(&self, checks: &Checks, candidate: &Candidate) -> Result<Verdict, ValidateError> {
        let mut verdicts = self.judge_all(checks, &[candidate])?;
        Ok(verdicts.remove(0))
    }

    /// Judges candidates together; the verdicts are in their order.
    ///
    /// # Errors
    /// As [`Validator::judge`].
    pub fn judge_all(&self, checks: &Checks, candidates: &[&Candidate]) -> Result<Vec<Verdict>, ValidateError> {
        let judgements = self.judge_closely(checks, candidates)?;
        Ok(judgements.into_iter().map(|judgement| judgement.verdict).collect())
    }

    /// As [`Validator::judge_all`], with what is known beside the verdicts.
    ///
    /// # Errors
    /// As [`Validator::judge`].
    pub fn judge_closely(&self, checks: &Checks, candidates: &[&Candidate]) -> Result<Vec<Judgement>, ValidateError> {
        self.judge_until(checks, candidates, &AtomicBool::new(false))
    }

    /// [`Validator::judge_closely`], but for `stop`: once it is set nothing new is begun.
    fn judge_until(
        &self,
        checks: &Checks,
        candidates: &[&Candidate],
        stop: &AtomicBool,
    ) -> Result<Vec<Judgement>, ValidateError> {
        let mut judged = self.remembered(checks, candidates);
        let unknown = |judged: &[Option<Judgement>]| -> Vec<(usize, &Candidate)> {
            let unknown = judged.iter().enumerate().filter(|(_, judgement)| judgement.is_none());
            unknown.map(|(id, _)| (id, candidates[id])).collect()
        };
        let news = unknown(&judged);
        if !news.is_empty() {
            let judge = if checks.harness.checks.is_empty() { None } else { self.judge_program(checks)? };
            let kind = if judge.is_some() { Kind::Server } else { Kind::Checks };
            let mut passed: Vec<Option<Passed>> = vec![None; candidates.len()];
            for profile in &checks.spec.policy.profiles {
                let left = unknown(&judged);
                if left.is_empty() {
                    break;
                }
                let found = self.judge_in(checks, judge.as_deref(), kind, *profile, left, stop)?;
                for (id, result) in found {
                    match (result, &passed[id]) {
                        (Err(judgement), None) => judged[id] = Some(judgement),
                        (Err(judgement), Some(_)) => judged[id] = Some(judge::in_profile(*profile, judgement)),
                        (Ok(now), Some(before)) => {
                            if let Some(at) = protocol::first_difference(&before.answers, &now.answers) {
                                judged[id] = Some(judge::unlike(&checks.harness.checks, at).into());
                            }
                        }
                        (Ok(now), None) => passed[id] = Some(now),
                    }
                }
            }
            for (judgement, passed) in judged.iter_mut().zip(passed) {
                if let (None, Some(passed)) = (&judgement, passed) {
                    let behaviour = insight::behaviour(&passed.answers);
                    let insight = Insight { behaviour, shown: passed.shown, ..Insight::default() };
                    *judgement = Some(Judgement { verdict: passed.verdict, insight });
                }
            }
            self.remember(checks, &news, &judged);
        }
        Ok(judged.into_iter().map(|judgement| judgement.expect("every candidate was judged")).collect())
    }

    /// What candidates do when they are compiled in this way: each exactly once, in any order.
    fn judge_in(
        &self,
        checks: &Checks,
        judge: Option<&Path>,
        kind: Kind,
        profile: Profile,
        candidates: Vec<(usize, &Candidate)>,
        stop: &AtomicBool,
    ) -> Result<Vec<Found>, ValidateError> {
        let go_on = || if stop.load(Ordering::SeqCst) { Err(ValidateError::Stopped) } else { Ok(()) };
        let (mut refused, mut ran) = (Vec::new(), Vec::new());
        let mut batch = Batch {
            validator: self,
            checks,
            profile,
            kind,
            go_on: &go_on,
            refuse: &mut |id, judgement| refused.push((id, Err(judgement))),
            run: &mut |program| {
                let mut runner = Runner::new(checks, judge, &program, self.run_limits)?;
                for (number, member) in program.members.iter().enumerate() {
                    go_on()?;
                    let result = match program.file {
                        Some(_) => self.run_member(checks, &mut runner, &program, number)?,
                        None => {
                            let verdict = Verdict::passed(Phase::Compile, 0);
                            Ok(Passed { verdict, shown: None, answers: Vec::new() })
                        }
                    };
                    ran.push((member.id, result));
                }
                Ok(())
            },
        };
        batch.compile(candidates)?;
        refused.append(&mut ran);
        Ok(refused)
    }

    /// Runs rustc; one that ran out of time is run again alone before that is believed.
    fn compile(&self, compile: &Compile) -> Result<Compiled, ValidateError> {
        let compiled = self.compile_once(compile)?;
        if !is_out_of_time(compiled.ending) || compiled.has_errors() {
            return Ok(compiled);
        }
        let _alone = self.alone.write().unwrap_or_else(PoisonError::into_inner);
        Ok(self.toolchain.compile(compile)?)
    }

    /// Runs rustc, beside others.
    fn compile_once(&self, compile: &Compile) -> Result<Compiled, ValidateError> {
        let _others_too = self.alone.read().unwrap_or_else(PoisonError::into_inner);
        Ok(self.toolchain.compile(compile)?)
    }
}

fn is_out_of_time(ending: Ending) -> bool {
    matches!(ending, Ending::CpuTime | Ending::WallTime)
}
