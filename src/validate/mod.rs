//! Validation: one candidate, compiled as it would be committed and held against every check of its spec.
//!
//! A candidate is the module `NAME.rs` of a crate called `generated`; the checks are a program of their own
//! that is linked with it. Both are compiled and run in the sandbox. Nothing here judges style or picks a
//! candidate, and nothing a candidate prints decides: see `protocol` and `judge`.

mod deps;
mod harness;
mod judge;
mod protocol;
mod proxy;
mod queue;
mod source_map;
mod tests_file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::Duration;

pub use deps::{DepsError, Locked};
pub use harness::{Check, Harness, render};
pub use proxy::{LOST, blamed, library, server};
pub use queue::{Judged, Queue};
pub use source_map::SourceMap;
pub use tests_file::render_tests_file;

use crate::candidate::Candidate;
use crate::digest::{Hasher, sha256};
use crate::sandbox::{self, Ending, Finished, Job, Limits, Role, SandboxError};
use crate::spec::{Diagnostic, Severity, Spec};
use crate::toolchain::{Compile, Compiled, CrateType, RustcDiagnostic, Toolchain};
use crate::verdict::{Phase, Verdict};

/// What the checks are linked with: files of the crate `llmc_rt`.
const RUNTIME: [(&str, &str); 6] = [
    ("lib.rs", include_str!("runtime/lib.rs")),
    ("caller.rs", include_str!("runtime/caller.rs")),
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
    /// The part of llmc that the checks are linked with did not compile.
    #[error("this rustc could not compile llmc's runtime for checks:\n{0}")]
    Runtime(String),
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
    /// The crate's root.
    root: String,
    forbid_unsafe: bool,
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

    /// The checks, in the order in which they are run.
    pub fn list(&self) -> &[Check] {
        &self.harness.checks
    }
}

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
        let mut modules: Vec<&str> = uses.iter().map(|(name, _)| name.as_str()).collect();
        modules.push(&spec.name);
        modules.sort_unstable();
        let root: String = modules
            .iter()
            .map(|module| match *module == spec.name && others_unsafe && !spec.policy.allow_unsafe {
                true => format!("#[forbid(unsafe_code)]\npub mod {module};\n"),
                false => format!("pub mod {module};\n"),
            })
            .collect();
        let mut hasher = Hasher::default();
        let dependency_digest = format!("{:?}", spec.dependencies);
        let own = [&self.toolchain.version, &harness.source, &root, &dependency_digest];
        let runtime_texts = RUNTIME.iter().map(|(_, text)| *text);
        let others = uses.iter().flat_map(|(name, source)| [name.as_str(), source.as_str()]);
        for part in own.into_iter().map(String::as_str).chain(runtime_texts).chain(others) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(format!("{:?}{:?}", self.compile_limits, self.run_limits).as_bytes());
        Ok(Checks {
            name: spec.name.clone(),
            harness,
            uses: uses.to_vec(),
            root,
            forbid_unsafe: !spec.policy.allow_unsafe && !others_unsafe,
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
        let crates = Crates::new(&self.work, checks, &candidate.source)?;
        let places = crates.places(checks, &candidate.source);
        let compiled = self.compile(&crates.library(checks, self.compile_limits))?;
        let Some(library) = compiled.artifact.clone() else { return Ok(judge::compile(&compiled, &places)) };
        if checks.harness.checks.is_empty() {
            return Ok(Verdict::passed(Phase::Compile, 0));
        }
        let compiled = self.compile(&crates.program(checks, library, self.compile_limits))?;
        let Some(program) = compiled.artifact.clone() else { return Ok(judge::compile(&compiled, &places)) };
        let first = self.run_checks(checks, &program, &places)?;
        if !first.is_pass() {
            return Ok(first);
        }
        let second = self.run_checks(checks, &program, &places)?;
        Ok(if second.is_pass() { first } else { judge::flaky(second) })
    }

    /// Judges candidates together; the verdicts are in their order.
    ///
    /// # Errors
    /// As [`Validator::judge`].
    pub fn judge_all(&self, checks: &Checks, candidates: &[&Candidate]) -> Result<Vec<Verdict>, ValidateError> {
        candidates.iter().map(|candidate| self.judge(checks, candidate)).collect()
    }

    /// Compiles the checks of a spec against a stub of its interface, and tells each mistake at its place.
    ///
    /// # Errors
    /// [`ValidateError`], but never `Spec`: mistakes in the spec are the answer.
    pub fn check(&self, spec: &Spec, uses: &[(String, String)]) -> Result<Vec<Diagnostic>, ValidateError> {
        let checks = match self.prepare(spec, uses) {
            Ok(checks) => checks,
            Err(ValidateError::Spec { mistakes, .. }) => return Ok(mistakes),
            Err(error) => return Err(error),
        };
        let crates = Crates::new(&self.work, &checks, &spec.interface.stub())?;
        let mut compile = crates.library(&checks, self.compile_limits);
        (compile.metadata_only, compile.forbid_unsafe) = (true, false);
        let compiled = self.compile(&compile)?;
        let Some(library) = compiled.artifact.clone() else {
            return Ok(told(&compiled, |error| in_interface(spec, error)));
        };
        let mut compile = crates.program(&checks, library, self.compile_limits);
        compile.metadata_only = true;
        let compiled = self.compile(&compile)?;
        if compiled.artifact.is_some() {
            return Ok(Vec::new());
        }
        Ok(told(&compiled, |error| in_checks(spec, &checks.harness.map, error)))
    }

    /// Runs rustc; one that ran out of time is run again alone before that is believed.
    fn compile(&self, compile: &Compile) -> Result<Compiled, ValidateError> {
        let compiled = {
            let _others_too = self.alone.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.toolchain.compile(compile)?
        };
        if !is_out_of_time(compiled.ending) {
            return Ok(compiled);
        }
        let _alone = self.alone.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(self.toolchain.compile(compile)?)
    }

    /// Runs the checks; a run that used up its time is repeated alone, with twice the time, before that is believed.
    fn run_checks(
        &self,
        checks: &Checks,
        program: &Path,
        places: &judge::Places<'_>,
    ) -> Result<Verdict, ValidateError> {
        let half = |time: Duration| Duration::from_secs(time.as_secs().div_ceil(2));
        let limits = self.run_limits;
        let hasty = Limits { cpu: half(limits.cpu), wall: half(limits.wall), ..limits };
        let run = |limits| -> Result<(Finished, Verdict), ValidateError> {
            let nonce = protocol::nonce();
            let finished = sandbox::run(&run_job(program, &nonce, limits))?;
            let report = protocol::read(&finished.stdout, &nonce, checks.harness.checks.len(), false);
            let stderr = String::from_utf8_lossy(&finished.stderr);
            let verdict = judge::run(&checks.harness.checks, &report, finished.ending, &stderr, places);
            Ok((finished, verdict))
        };
        let (finished, verdict) = {
            let _others_too = self.alone.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            run(hasty)?
        };
        if !is_out_of_time(finished.ending) {
            return Ok(verdict);
        }
        let _alone = self.alone.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(run(limits)?.1)
    }

    /// The compiled runtime: from the cache, or built into it.
    fn runtime(&self) -> Result<PathBuf, ValidateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ValidateError::Io { path, source }
        };
        let mut compile = Compile {
            crate_name: "llmc_rt".into(),
            crate_type: CrateType::Rlib,
            root: PathBuf::from("/lib.rs"),
            out: PathBuf::from("/"),
            externs: Vec::new(),
            search: Vec::new(),
            metadata_only: false,
            forbid_unsafe: false,
            limits: self.compile_limits,
        };
        let texts: Vec<String> = RUNTIME.iter().map(|(name, text)| format!("{name}\n{text}")).collect();
        let digest =
            sha256(format!("{}\n{:?}\n{}", self.toolchain.version, self.toolchain.argv(&compile), texts.join("\n")));
        let folder = self.cache.join(format!("runtime-{}", &digest[..16]));
        let rlib = folder.join("libllmc_rt.rlib");
        if rlib.is_file() {
            return Ok(rlib);
        }
        std::fs::create_dir_all(&self.cache).map_err(failed(&self.cache))?;
        let private = tempfile::Builder::new().prefix("runtime-new-").tempdir_in(&self.cache);
        let private = private.map_err(failed(&self.cache))?;
        let (source, out) = (private.path().join("source"), private.path().join("out"));
        create(&source)?;
        create(&out)?;
        for (name, text) in RUNTIME {
            write(&source.join(name), text)?;
        }
        (compile.root, compile.out) = (source.join("lib.rs"), out.clone());
        let compiled = self.toolchain.compile(&compile)?;
        if compiled.artifact.is_none() {
            let errors: Vec<&str> = compiled.diagnostics.iter().map(|error| error.rendered.as_str()).collect();
            return Err(ValidateError::Runtime(format!("{}{}", errors.join("\n"), compiled.other)));
        }
        match std::fs::rename(&out, &folder) {
            Ok(()) => Ok(rlib),
            // Another process was faster.
            Err(_) if rlib.is_file() => Ok(rlib),
            Err(source) => Err(ValidateError::Io { path: folder, source }),
        }
    }
}

fn is_out_of_time(ending: Ending) -> bool {
    matches!(ending, Ending::CpuTime | Ending::WallTime)
}

fn run_job(program: &Path, nonce: &[u8], limits: Limits) -> Job {
    Job {
        role: Role::Run,
        program: program.to_owned(),
        arguments: vec![protocol::hex(nonce).into()],
        environment: Vec::new(),
        directory: program.parent().unwrap_or(Path::new("/")).to_owned(),
        readable: vec![program.to_owned()],
        writable: Vec::new(),
        input: Vec::new(),
        limits,
    }
}

/// The private folder of one validation; removed when dropped.
struct Crates {
    folder: tempfile::TempDir,
    /// `FOLDER/generated/`, as rustc and panics name it.
    candidate: String,
    /// `FOLDER/checks/main.rs`.
    checks: String,
}

impl Crates {
    fn new(work: &Path, checks: &Checks, source: &str) -> Result<Self, ValidateError> {
        create(work)?;
        let folder = tempfile::Builder::new().prefix("validate-").tempdir_in(work);
        let folder = folder.map_err(|source| ValidateError::Io { path: work.to_owned(), source })?;
        let at = |name: &str| folder.path().join(name);
        for name in ["generated", "checks", "library", "program"] {
            create(&at(name))?;
        }
        write(&at("generated/lib.rs"), &checks.root)?;
        write(&at("generated").join(format!("{}.rs", checks.name)), source)?;
        for (name, source) in &checks.uses {
            write(&at("generated").join(format!("{name}.rs")), source)?;
        }
        write(&at("checks/main.rs"), &checks.harness.source)?;
        let candidate = format!("{}/", at("generated").display());
        let program = at("checks/main.rs").display().to_string();
        Ok(Self { candidate, checks: program, folder })
    }

    fn places<'a>(&'a self, checks: &'a Checks, source: &'a str) -> judge::Places<'a> {
        judge::Places {
            candidate: &self.candidate,
            checks: &self.checks,
            spec: &checks.name,
            source,
            harness: &checks.harness,
        }
    }

    fn library(&self, checks: &Checks, limits: Limits) -> Compile {
        Compile {
            crate_name: "generated".into(),
            crate_type: CrateType::Rlib,
            root: self.folder.path().join("generated/lib.rs"),
            out: self.folder.path().join("library"),
            externs: checks.dependencies.externs.clone(),
            search: checks.dependencies.search.clone(),
            metadata_only: false,
            forbid_unsafe: checks.forbid_unsafe,
            limits,
        }
    }

    fn program(&self, checks: &Checks, library: PathBuf, limits: Limits) -> Compile {
        let mut externs = checks.dependencies.externs.clone();
        externs.push(("generated".into(), library));
        externs.push(("llmc_rt".into(), checks.runtime.clone()));
        Compile {
            crate_name: "checks".into(),
            crate_type: CrateType::Bin,
            root: self.folder.path().join("checks/main.rs"),
            out: self.folder.path().join("program"),
            externs,
            search: checks.dependencies.search.clone(),
            metadata_only: false,
            forbid_unsafe: false,
            limits,
        }
    }
}

fn create(folder: &Path) -> Result<(), ValidateError> {
    std::fs::create_dir_all(folder).map_err(|source| ValidateError::Io { path: folder.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), ValidateError> {
    std::fs::write(path, text).map_err(|source| ValidateError::Io { path: path.to_owned(), source })
}

/// The errors of a compiler run as mistakes in the spec.
///
/// An error without a place of its own is left out where one that has a place says the same.
fn told(compiled: &Compiled, place: impl Fn(&RustcDiagnostic) -> (usize, usize, usize, bool)) -> Vec<Diagnostic> {
    let mut list: Vec<Diagnostic> = Vec::new();
    let errors = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error"));
    let mut errors: Vec<_> = errors.map(|error| (place(error), error)).collect();
    errors.sort_by_key(|((line, column, _, is_placed), _)| (!is_placed, *line, *column));
    for ((line, column, length, is_placed), error) in errors {
        let code = error.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let help = error.spans.iter().find_map(|span| span.label.clone());
        let message = format!("{}{code}", error.message);
        if !list.iter().any(|known| known.message == message && (known.line == line || !is_placed)) {
            list.push(Diagnostic { severity: Severity::Error, message, line, column, length, help });
        }
    }
    if list.is_empty() {
        let message = format!("the checks do not compile: {:?} {}", compiled.ending, compiled.other.trim());
        let severity = Severity::Error;
        list.push(Diagnostic { severity, message, line: 1, column: 1, length: 1, help: None });
    }
    list.sort_by_key(|mistake| (mistake.line, mistake.column));
    list
}

/// The place of an error in the stub: its lines are those of the interface.
fn in_interface(spec: &Spec, error: &RustcDiagnostic) -> (usize, usize, usize, bool) {
    let source = &spec.interface.source;
    let lines = source.text.lines().count().max(1);
    let (line, column, length) = match error.spans.first() {
        Some(span) if span.line <= lines => {
            let width = source.text.lines().nth(span.line - 1).unwrap_or_default().chars().count();
            let length = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
            let column = if span.column > width { 1 } else { span.column };
            (span.line, column, length)
        }
        _ => (1, 1, 1),
    };
    let (line, column) = source.locate(line, column);
    (line.max(1), column.max(1), length.max(1), true)
}

/// The place of an error in the checks: line, column, length, and whether it is more than a guess.
fn in_checks(spec: &Spec, map: &SourceMap, error: &RustcDiagnostic) -> (usize, usize, usize, bool) {
    for span in &error.spans {
        if let Some((line, column)) = map.locate(span.line, span.column) {
            let length = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
            let length = map.stands_for(span.line, span.column).unwrap_or(length);
            return (line, column, length.max(1), true);
        }
    }
    let place = spec.interface.source.place;
    (place.line.max(1), place.column.max(1), 1, false)
}
