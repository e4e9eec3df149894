//! `llmc validate`: judges candidates that are given, without a model and without writing anything.
//!
//! Reading, finding the Rust, and judging overlap. However much is given, only so much of it is held at once: when
//! judging can't keep up, reading waits.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::task::JoinSet;

use super::inputs::{self, Bad, Input, Parsed, Raw, Served};
use super::specs::{self, Loaded};
use super::{Session, Summary, Tell, build, tell};
use crate::candidate::Candidate;
use crate::error::{Error, ExitCode};
use crate::event::{Event, Finished, Status, Unjudged};
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::spec::{Diagnostics, Spec};
use crate::validate::{Checks, Judged, Program, Queue, Slots, Supply, ValidateError, Validator};
use crate::verdict::Verdict;
use crate::workspace::{Workspace, paths};

/// Most candidates that are held at once: some batches for each worker.
const MAX_HELD: usize = 1024;
/// Most bytes of them, as they were read.
const MAX_HELD_BYTES: usize = 64 << 20;
/// Most that one task looks for Rust in.
const CHUNK: usize = 16;
/// Most distinct programs that are told apart in the `finished` event.
const MAX_CLUSTERS: usize = 10_000;

/// What to judge, and by which specs.
pub struct Judging {
    /// Specs by name or file. A file may be anywhere, outside of any workspace too. None: all of the workspace's.
    pub specs: Vec<String>,
    /// Files by name; `-` is standard input. Not for a stream.
    pub files: Vec<String>,
    /// Whether to serve standard input as a stream, in which a line may name any of the specs.
    pub stream: bool,
    /// Whether every candidate has to pass, not just one.
    pub all: bool,
    /// Standard input.
    pub stdin: Box<dyn Read + Send>,
}

/// A spec to judge by.
struct Target {
    loaded: Loaded,
    /// The other modules that a candidate may call.
    uses: Vec<(String, String)>,
    /// Why it can't be judged by, whatever its checks are.
    problem: Option<Error>,
}

/// A spec with what was found of its candidates.
struct Bench {
    target: Arc<Target>,
    state: State,
    /// When its work began.
    since: Option<Instant>,
    sampled: usize,
    parsed: usize,
    compiled: usize,
    passed: usize,
    cooperative: usize,
    /// Of each program: the candidate that was first, how many there are, whether they all pass.
    programs: HashMap<Program, (usize, usize, bool)>,
}

enum State {
    /// No candidate asked for it yet.
    Idle,
    /// Its checks are being made ready, and these wait.
    Preparing(Vec<(usize, Candidate, Program)>),
    Ready(Queue),
    /// It can't be judged by.
    Refused(ExitCode, String),
}

/// A candidate that is being judged.
struct Waiting {
    id: String,
    program: Program,
    bytes: usize,
}

/// What making a spec's checks ready came to.
type Prepared = Result<Result<Arc<Checks>, Diagnostics>, ValidateError>;

/// Judges what is given.
pub async fn validate(
    options: Options,
    interrupt: Interrupt,
    tell: Tell,
    judging: Judging,
    from: &Path,
) -> Result<Summary, Error> {
    let started = Instant::now();
    let Judging { specs, files, stream, all, stdin } = judging;
    let inputs = if stream { vec![Input::Stream(stdin)] } else { inputs::open(&files, from, stdin)? };
    let mut summary = Summary::default();
    let loaded = load(&options, &interrupt, &tell, &specs, from)?;
    if !loaded.mistakes.is_empty() {
        summary.mistakes = loaded.mistakes;
        summary.fail(Error::new(ExitCode::Spec, "a spec is invalid, nothing was judged"));
        return Ok(summary);
    }
    let Some(validator) = loaded.validator else {
        return Err(Error::new(ExitCode::Usage, "there is no spec in `specs/`").hint("`llmc init` writes an example"));
    };
    let mut benches: Vec<Bench> = loaded.targets.into_iter().map(Bench::new).collect();
    let slots = Slots::new(options.jobs);
    if let [only] = benches.as_mut_slice() {
        // What can't be judged by is told before anything is read.
        only.since = Some(started);
        if let Some(problem) = only.target.problem.clone() {
            return Err(problem);
        }
        let prepared = tokio::task::spawn_blocking(prepare(&validator, &only.target));
        let prepared = tokio::select! {
            prepared = prepared => prepared.expect("preparing does not panic")?,
            () = interrupt.wait() => return Err(Error::interrupted()),
        };
        match prepared {
            Ok(checks) => only.state = State::Ready(Queue::sharing(validator.clone(), checks, &slots)),
            Err(mistakes) => {
                summary.fail(unfit(&only.target.loaded.spec));
                summary.mistakes.push(mistakes);
                return Ok(summary);
            }
        }
    }
    for bench in &benches {
        let Loaded { path, warnings, .. } = &bench.target.loaded;
        for warning in &warnings.list {
            super::tell(&tell, Event::Warning(format!("{path}:{}: {}", warning.line, warning.message)));
        }
    }
    let specs = benches.iter().map(|bench| bench.target.loaded.spec.clone()).collect();
    let served = Arc::new(Served::new(specs, !stream, inputs.len() > 1));
    let mut run = Run {
        benches,
        waiting: HashMap::new(),
        preparing: JoinSet::new(),
        validator,
        slots,
        tell,
        held: 0,
        held_bytes: 0,
        given: 0,
        bad: 0,
        other: 0,
        summary,
    };
    run.judge(inputs, &served, options.jobs, &interrupt).await?;
    Ok(run.finish(all))
}

/// Specs that were found, and what is wrong with them.
#[derive(Default)]
struct Found {
    targets: Vec<Target>,
    mistakes: Vec<Diagnostics>,
    validator: Option<Arc<Validator>>,
}

/// Finds the specs that were named, each in the workspace that it is in, or alone.
fn load(options: &Options, interrupt: &Interrupt, tell: &Tell, named: &[String], from: &Path) -> Result<Found, Error> {
    let home = Workspace::find(from);
    let mut places: Vec<(Workspace, Vec<String>)> = Vec::new();
    if named.is_empty() {
        places.push((Workspace::find(from)?, Vec::new()));
    }
    for name in named {
        let workspace = match specs::is_path(name) {
            true => {
                let path = from.join(name);
                if !path.is_file() {
                    return Err(Error::new(ExitCode::Usage, format!("no file `{name}`")));
                }
                let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
                Workspace::find(&folder).or_else(|_| Workspace::at(&folder))?
            }
            false => Workspace::find(from)?,
        };
        match places.iter_mut().find(|(known, _)| *known == workspace) {
            Some((_, names)) => names.push(name.clone()),
            None => places.push((workspace, vec![name.clone()])),
        }
    }
    let mut found = Found::default();
    for (workspace, names) in places {
        let at_home = home.as_ref().is_ok_and(|home| *home == workspace);
        // Messages name a file as it can be opened from here.
        let shown = |path: &str| match at_home {
            true => path.to_owned(),
            false => workspace.path(path).display().to_string(),
        };
        let mut session = Session::bare(workspace.clone(), options.clone(), interrupt.clone(), tell.clone())?;
        let (all, mistakes) = specs::load_specs(&session, &names, from)?;
        found.mistakes.extend(mistakes.into_iter().map(|one| Diagnostics { path: shown(&one.path), ..one }));
        let known = workspace.specs()?;
        let wanted: BTreeSet<String> =
            names.iter().map(|name| specs::resolve(&session, name, from, &known)).collect::<Result<_, _>>()?;
        if !all.is_empty() && found.validator.is_none() {
            found.validator = Some(session.validator()?);
        }
        for loaded in &all {
            if !names.is_empty() && !wanted.contains(&loaded.path) {
                // It is here because another one uses it.
                continue;
            }
            let name = &loaded.spec.name;
            if found.targets.iter().any(|target| target.loaded.spec.name == *name) {
                return Err(Error::new(ExitCode::Spec, format!("two specs are named `{name}`")));
            }
            let uses = build::used_sources(&session, &loaded.spec, &all)?;
            let missing = uses.iter().find(|(used, _)| !workspace.path(&paths::code(used)).is_file());
            let problem = missing.map(|(used, _)| {
                Error::new(ExitCode::Spec, format!("`{name}` needs `{used}`, which was not built"))
                    .hint(format!("`llmc build {used}` builds it"))
            });
            let loaded = Loaded { path: shown(&loaded.path), ..loaded.clone() };
            found.targets.push(Target { loaded, uses, problem });
        }
    }
    Ok(found)
}

/// Compiles a spec's checks against a stub, so that mistakes in them are not held against candidates.
fn prepare(validator: &Arc<Validator>, target: &Arc<Target>) -> impl FnOnce() -> Prepared + Send + 'static {
    let (validator, target) = (validator.clone(), target.clone());
    move || {
        let Loaded { path, bytes, spec, .. } = &target.loaded;
        let list = validator.check(spec, &target.uses)?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mistakes = Diagnostics { path: path.clone(), text, list };
        if mistakes.has_errors() {
            return Ok(Err(mistakes));
        }
        Ok(Ok(Arc::new(validator.prepare(spec, &target.uses)?)))
    }
}

fn unfit(spec: &Spec) -> Error {
    Error::new(ExitCode::Spec, format!("the checks of `{}` do not compile", spec.name))
}

/// The next verdict of any of them; waits for ever when there is none to wait for.
async fn next_judged(benches: &mut [Bench]) -> (usize, Result<Judged, ValidateError>) {
    poll_fn(|context| {
        for (at, bench) in benches.iter_mut().enumerate() {
            if let State::Ready(queue) = &mut bench.state
                && let Poll::Ready(Some(judged)) = queue.poll_next(context)
            {
                return Poll::Ready((at, judged));
            }
        }
        Poll::Pending
    })
    .await
}

/// One run, while it is under way.
struct Run {
    benches: Vec<Bench>,
    /// The candidates that are being judged, by number.
    waiting: HashMap<usize, Waiting>,
    preparing: JoinSet<(usize, Prepared)>,
    validator: Arc<Validator>,
    slots: Arc<Slots>,
    tell: Tell,
    /// What was read and not answered yet.
    held: usize,
    held_bytes: usize,
    /// Candidates so far; the number of the next one.
    given: usize,
    bad: usize,
    other: usize,
    summary: Summary,
}

impl Run {
    async fn judge(
        &mut self,
        inputs: Vec<Input>,
        served: &Arc<Served>,
        jobs: usize,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let mut lines = inputs::read(inputs);
        let mut ended = false;
        let mut unparsed: Vec<Raw> = Vec::new();
        let mut parsing: JoinSet<Vec<(usize, Parsed)>> = JoinSet::new();
        while !(ended && self.held == 0) {
            while !unparsed.is_empty() && parsing.len() < jobs.max(1) {
                let chunk: Vec<Raw> = unparsed.drain(..unparsed.len().min(CHUNK)).collect();
                let served = served.clone();
                parsing.spawn_blocking(move || {
                    let sizes: Vec<usize> = chunk.iter().map(size).collect();
                    sizes.into_iter().zip(served.parse_all(chunk)).collect()
                });
            }
            let is_more_here = !unparsed.is_empty() || !parsing.is_empty() || !lines.is_empty();
            self.supply(match (is_more_here, ended) {
                (true, _) => Supply::Coming,
                (false, false) => Supply::Unknown,
                (false, true) => Supply::Ended,
            });
            let room = self.held < MAX_HELD && self.held_bytes < MAX_HELD_BYTES;
            tokio::select! {
                biased;
                () = interrupt.wait() => {
                    self.close();
                    return Err(Error::interrupted());
                }
                (bench, judged) = next_judged(&mut self.benches) => {
                    let Judged { id, verdict, .. } = judged?;
                    let Waiting { id, program, bytes } = self.waiting.remove(&id).expect("only what waits is judged");
                    self.let_go(bytes);
                    self.told(bench, id, Some(program), verdict);
                }
                Some(prepared) = self.preparing.join_next(), if !self.preparing.is_empty() => {
                    let (bench, prepared) = prepared.expect("preparing does not panic");
                    self.prepared(bench, prepared);
                }
                Some(parsed) = parsing.join_next(), if !parsing.is_empty() => {
                    for (bytes, parsed) in parsed.expect("looking for Rust does not panic") {
                        self.take(bytes, parsed);
                    }
                }
                raw = lines.recv(), if room && !ended => match raw {
                    Some(raw) => {
                        self.held += 1;
                        self.held_bytes += size(&raw);
                        unparsed.push(raw);
                    }
                    None => ended = true,
                },
            }
        }
        Ok(())
    }

    /// Tells the queues what comes next.
    fn supply(&mut self, supply: Supply) {
        for bench in &mut self.benches {
            if let State::Ready(queue) = &mut bench.state {
                queue.supply(supply);
            }
        }
    }

    /// Begins nothing more.
    fn close(&mut self) {
        for bench in &mut self.benches {
            if let State::Ready(queue) = &mut bench.state {
                queue.close();
            }
        }
    }

    fn let_go(&mut self, bytes: usize) {
        self.held -= 1;
        self.held_bytes -= bytes;
    }

    /// Takes in what came of a line or file.
    fn take(&mut self, bytes: usize, parsed: Parsed) {
        let (id, bench, found) = match parsed {
            Parsed::Blank => return self.let_go(bytes),
            Parsed::Other => {
                self.other += 1;
                return self.let_go(bytes);
            }
            Parsed::Bad(Bad { origin, id, spec, message }) => {
                self.bad += 1;
                let path = origin.name.to_string();
                let exit = ExitCode::Usage as u8;
                let unjudged = Unjudged { path, line: origin.line, candidate: id, spec, exit, message };
                tell(&self.tell, Event::Unjudged(unjudged));
                return self.let_go(bytes);
            }
            Parsed::Given { id, spec, found } => (id, spec, found),
        };
        self.benches[bench].since.get_or_insert_with(Instant::now);
        let (candidate, program) = match found {
            Ok(found) => found,
            Err(verdict) => {
                self.let_go(bytes);
                return self.told(bench, id, None, verdict);
            }
        };
        let number = self.given;
        self.given += 1;
        self.waiting.insert(number, Waiting { id, program: program.clone(), bytes });
        match &mut self.benches[bench].state {
            State::Ready(queue) => queue.submit_program(number, candidate, program),
            State::Preparing(early) => early.push((number, candidate, program)),
            State::Refused(..) => self.refuse(bench, number),
            state @ State::Idle => {
                *state = State::Preparing(vec![(number, candidate, program)]);
                let target = self.benches[bench].target.clone();
                match &target.problem {
                    Some(problem) => self.cannot(bench, problem.clone()),
                    None => {
                        let prepare = prepare(&self.validator, &target);
                        self.preparing.spawn_blocking(move || (bench, prepare()));
                    }
                }
            }
        }
    }

    fn prepared(&mut self, at: usize, prepared: Prepared) {
        let checks = match prepared {
            Ok(Ok(checks)) => checks,
            Ok(Err(mistakes)) => {
                let error = unfit(&self.benches[at].target.loaded.spec);
                let first = mistakes
                    .list
                    .first()
                    .map(|first| format!(" ({}:{}: {})", mistakes.path, first.line, first.message));
                self.summary.mistakes.push(mistakes);
                let message = format!("{}{}", error.message, first.unwrap_or_default());
                return self.cannot(at, Error { message, ..error });
            }
            Err(error) => return self.cannot(at, error.into()),
        };
        let mut queue = Queue::sharing(self.validator.clone(), checks, &self.slots);
        let bench = &mut self.benches[at];
        if let State::Preparing(early) = &mut bench.state {
            for (number, candidate, program) in std::mem::take(early) {
                queue.submit_program(number, candidate, program);
            }
        }
        bench.state = State::Ready(queue);
    }

    /// A spec turned out to be one that can't be judged by: the others are served on.
    fn cannot(&mut self, at: usize, error: Error) {
        let refused = State::Refused(error.exit, error.message.clone());
        self.summary.fail(error);
        if let State::Preparing(early) = std::mem::replace(&mut self.benches[at].state, refused) {
            for (number, ..) in early {
                self.refuse(at, number);
            }
        }
    }

    fn refuse(&mut self, at: usize, number: usize) {
        let Some(Waiting { id, bytes, .. }) = self.waiting.remove(&number) else { return };
        self.let_go(bytes);
        let bench = &self.benches[at];
        let State::Refused(exit, message) = &bench.state else { return };
        tell(
            &self.tell,
            Event::Unjudged(Unjudged {
                path: "-".to_owned(),
                line: None,
                candidate: Some(id),
                spec: Some(bench.target.loaded.spec.name.clone()),
                exit: *exit as u8,
                message: message.clone(),
            }),
        );
    }

    fn told(&mut self, at: usize, candidate: String, program: Option<Program>, verdict: Verdict) {
        let bench = &mut self.benches[at];
        bench.count(program, &verdict);
        let spec = bench.target.loaded.spec.name.clone();
        tell(&self.tell, Event::Judged { spec, candidate, verdict });
    }

    fn finish(mut self, all: bool) -> Summary {
        let only = self.benches.len() == 1;
        let count = |number: usize| if number == 1 { "1 line".to_owned() } else { format!("{number} lines") };
        if self.other > 0 {
            tell(&self.tell, Event::Note(format!("passed over, being of other specs: {}", count(self.other))));
        }
        for bench in &self.benches {
            let name = &bench.target.loaded.spec.name;
            // What nobody asked for has no end to tell of.
            if bench.since.is_none() || bench.sampled == 0 && !only {
                continue;
            }
            if bench.cooperative > 0 {
                tell(
                    &self.tell,
                    Event::Note(format!(
                        "{name}: checks ran inside the candidates' process, because a type in its interface can't \
                         travel to another: a program that is out to cheat could pass"
                    )),
                );
            }
            let failed = if all { bench.passed < bench.sampled } else { bench.passed == 0 };
            let error = (failed && bench.sampled > 0).then(|| bench.failure(all));
            let reason = error.as_ref().map(|error| error.message.clone());
            let finished =
                bench.finished(if failed || bench.sampled == 0 { Status::Failed } else { Status::Built }, reason);
            tell(&self.tell, Event::Finished(finished.clone()));
            self.summary.finished.push(finished);
            if let Some(error) = error {
                self.summary.fail(error);
            }
        }
        if self.bad > 0 {
            let message = format!("{} could not be read as a candidate", count(self.bad));
            self.summary.fail(Error::new(ExitCode::Usage, message));
        } else if self.benches.iter().all(|bench| bench.since.is_none() || bench.sampled == 0)
            && self.summary.exit.is_none()
        {
            self.summary.fail(Error::new(ExitCode::Usage, "nothing to judge: no candidate was given"));
        }
        self.summary
    }
}

fn size(raw: &Raw) -> usize {
    raw.bytes.as_ref().map_or(0, Vec::len)
}

impl Bench {
    fn new(target: Target) -> Self {
        Self {
            target: Arc::new(target),
            state: State::Idle,
            since: None,
            sampled: 0,
            parsed: 0,
            compiled: 0,
            passed: 0,
            cooperative: 0,
            programs: HashMap::new(),
        }
    }

    fn count(&mut self, program: Option<Program>, verdict: &Verdict) {
        let number = self.sampled;
        self.sampled += 1;
        self.parsed += usize::from(verdict.conforms());
        self.compiled += usize::from(verdict.compiles());
        self.passed += usize::from(verdict.is_pass());
        self.cooperative += usize::from(verdict.cooperative);
        let Some(program) = program else { return };
        if self.programs.len() < MAX_CLUSTERS || self.programs.contains_key(&program) {
            let (_, size, passed) = self.programs.entry(program).or_insert((number, 0, true));
            *size += 1;
            *passed &= verdict.is_pass();
        }
    }

    /// Why the candidates are not what was asked for.
    fn failure(&self, all: bool) -> Error {
        let (name, sampled) = (&self.target.loaded.spec.name, self.sampled);
        let message = match (all, sampled) {
            (_, 1) => format!("the one candidate of `{name}` did not pass"),
            (true, _) => format!("{} of {sampled} candidates of `{name}` did not pass", sampled - self.passed),
            (false, _) => format!("none of {sampled} candidates of `{name}` passed"),
        };
        Error::new(ExitCode::NoCandidate, message)
    }

    fn finished(&self, status: Status, reason: Option<String>) -> Finished {
        let mut clusters: Vec<&(usize, usize, bool)> = self.programs.values().collect();
        clusters.sort_by_key(|(first, size, passed)| (std::cmp::Reverse(*size), !passed, *first));
        Finished {
            spec: self.target.loaded.spec.name.clone(),
            status,
            sampled: self.sampled,
            replayed: 0,
            parsed: self.parsed,
            compiled: self.compiled,
            passed: self.passed,
            clusters: clusters.into_iter().map(|(_, size, passed)| (*size, *passed)).collect(),
            chosen: None,
            commit: None,
            seconds: self.since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            tokens: 0,
            reason,
        }
    }
}
