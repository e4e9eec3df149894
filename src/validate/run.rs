//! Runs: the checks in one process, the candidate in another, and what both came to.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::batch::{Kind, Member, Program};
use super::insight::Judgement;
use super::protocol::{self, Report};
use super::replay::Record;
use super::{Checks, ValidateError, Validator, is_out_of_time, judge, proxy};
use crate::sandbox::{self, Ending, Finished, Input, Job, Limits, Role, Zygote};
use crate::verdict::Verdict;

/// How many times the wall time a run may take that seems to get little of a busy machine.
const STARVED: u32 = 3;
/// The variables that tell a program what to do: to fork, see `runtime/fork.rs`, or to be which candidate. Not arguments,
/// which a candidate could see.
pub(super) const FORK: &str = "FORK";
pub(super) const CANDIDATE: &str = "CANDIDATE";
/// How much longer the checks may take than the candidate: they wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a candidate that passes every check did in them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passed {
    pub(super) verdict: Verdict,
    /// Of the checks that models are shown: how many pass, of how many.
    pub(super) shown: Option<(usize, usize)>,
    /// Of its answers in each check.
    pub(super) answers: Vec<protocol::Answers>,
}

/// One run of all checks.
pub(super) struct Run {
    pub(super) report: Report,
    /// How the process ended that decides: the candidate's when it was lost, else that of the checks.
    pub(super) ending: Ending,
    stderr: String,
    /// CPU time of the candidate.
    cpu: Duration,
}

/// The order of the checks in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Forward,
    /// What depends on earlier calls shows.
    Reverse,
}

/// What runs a program's candidates: the program and that of the checks, each started once and forked for each run.
pub(super) enum Runner {
    /// Two processes for each run.
    Pair {
        /// The program of the checks.
        judge: Box<Zygote>,
        /// The program of the candidates, once for each of the two runs: what is drawn when a process starts, such as
        /// its addresses, is not the same in both.
        servers: Box<[Zygote; 2]>,
    },
    /// As above, but nothing is forked: the candidate's code may run before it is called.
    Started {
        /// The program of the checks.
        judge: PathBuf,
    },
    /// One process, which is both.
    Together,
}

impl Runner {
    /// Has the processes of the next runs share a processor, since one waits while the other works; or use any.
    fn stay_on(&mut self, processor: Option<usize>) {
        if let Self::Pair { judge, servers } = self {
            judge.stay_on(processor);
            servers.iter_mut().for_each(|server| server.stay_on(processor));
        }
    }

    /// For the candidates of `program`. To be used on the thread that made it.
    pub(super) fn new(
        checks: &Checks,
        judge: Option<&Path>,
        program: &Program<'_>,
        limits: Limits,
    ) -> Result<Self, ValidateError> {
        let (Some(judge), Kind::Server, Some(server)) = (judge, program.kind, program.file.as_deref()) else {
            return Ok(Self::Together);
        };
        if !checks.forbids_unsafe() {
            return Ok(Self::Started { judge: judge.to_owned() });
        }
        let start = |program: &Path, limits: Limits| {
            let environment = vec![(FORK.into(), "1".into())];
            Zygote::start(&Job { role: Role::Fork, environment, ..job(program, Vec::new(), Input::None, limits) })
        };
        let servers = Box::new([start(server, limits)?, start(server, limits)?]);
        Ok(Self::Pair { judge: Box::new(start(judge, patient(limits))?), servers })
    }
}

impl Validator {
    /// Runs the checks on a member of a program twice, unless the first run fails.
    pub(super) fn run_member(
        &self,
        checks: &Checks,
        runner: &mut Runner,
        program: &Program<'_>,
        number: usize,
    ) -> Result<Result<Passed, Judgement>, ValidateError> {
        let member = &program.members[number];
        let first = self.run(checks, runner, program, number, Order::Forward)?;
        let Judgement { verdict, insight } = judgement(checks, member, program.kind, &first);
        if !verdict.is_pass() {
            return Ok(Err(Judgement { verdict, insight }));
        }
        let answers = |run: &Run| run.report.checks.iter().map(|check| check.answers).collect::<Vec<_>>();
        if let Some(record) = Record::read(first.report.record.clone())
            && self.answers_alike(runner, number, &record)?
        {
            return Ok(Ok(Passed { verdict, shown: insight.shown, answers: answers(&first) }));
        }
        let second = self.run(checks, runner, program, number, Order::Reverse)?;
        let again = judgement(checks, member, program.kind, &second).verdict;
        if !again.is_pass() {
            return Ok(Err(judge::flaky(again).into()));
        }
        let (answers, others) = (answers(&first), answers(&second));
        if let Some(at) = protocol::first_difference(&answers, &others) {
            return Ok(Err(judge::inconstant(&checks.harness.checks, at).into()));
        }
        Ok(Ok(Passed { verdict, shown: insight.shown, answers }))
    }

    /// Whether the calls of a run that are made again, in another process and order, get the same answers. Where not,
    /// for whatever reason, nothing is said yet.
    fn answers_alike(&self, runner: &mut Runner, number: usize, record: &Record) -> Result<bool, ValidateError> {
        runner.stay_on(sandbox::processor());
        let Runner::Pair { servers, .. } = runner else { return Ok(false) };
        let limits = hasty(self.run_limits);
        let (ours, theirs) = channel()?;
        let _others_too = self.alone.read().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            let argument = number.to_string();
            let answering = scope.spawn(move || servers[1].run(argument.as_bytes(), Some(theirs), &limits));
            let alike = record.is_answered_alike(ours);
            let answered = answering.join().expect("watching does not panic")?;
            // It must also end as it should once it is told that all is done.
            Ok(alike && answered.ending == Ending::Exited(0))
        })
    }

    /// One run; one that used up its time is repeated alone, with more of it, before that is believed.
    pub(super) fn run(
        &self,
        checks: &Checks,
        runner: &mut Runner,
        program: &Program<'_>,
        number: usize,
        order: Order,
    ) -> Result<Run, ValidateError> {
        let limits = self.run_limits;
        let hasty = hasty(limits);
        runner.stay_on(sandbox::processor());
        let first = {
            let _others_too = self.alone.read().unwrap_or_else(PoisonError::into_inner);
            run_once(checks, runner, program, number, order, hasty)?
        };
        // On the busiest machine it would have got a share of the time: it sleeps.
        let sleeps = first.ending == Ending::WallTime && first.cpu < hasty.wall / 100;
        if !is_out_of_time(first.ending) || sleeps {
            return Ok(first);
        }
        let _alone = self.alone.write().unwrap_or_else(PoisonError::into_inner);
        runner.stay_on(None);
        run_once(checks, runner, program, number, order, Limits { wall: limits.wall * STARVED, ..limits })
    }
}

/// Half of the time.
fn hasty(limits: Limits) -> Limits {
    let half = |time: Duration| Duration::from_secs(time.as_secs().div_ceil(2));
    Limits { cpu: half(limits.cpu), wall: half(limits.wall), ..limits }
}

fn judgement(checks: &Checks, member: &Member<'_>, kind: Kind, run: &Run) -> Judgement {
    let prefix = member.prefix();
    let places = member.places(checks, &prefix);
    let verdict = judge::run(&checks.harness.checks, &run.report, run.ending, &run.stderr, &places);
    let insight = judge::shown(&checks.harness.checks, &run.report, &verdict, &places);
    Judgement { verdict: Verdict { cooperative: kind == Kind::Checks, ..verdict }, insight }
}

fn run_once(
    checks: &Checks,
    runner: &mut Runner,
    program: &Program<'_>,
    number: usize,
    order: Order,
    limits: Limits,
) -> Result<Run, ValidateError> {
    let file = program.file.as_deref().expect("a program that is run was built");
    let nonce = protocol::nonce();
    let mut arguments = vec![protocol::hex(&nonce)];
    if order == Order::Reverse {
        arguments.push("reverse".into());
    }
    let total = checks.harness.checks.len();
    let read = |finished: &Finished| protocol::read(&finished.stdout, &nonce, total, order == Order::Reverse);
    let text = |finished: &Finished| String::from_utf8_lossy(&finished.stderr).into_owned();
    let (judged, answered) = match runner {
        Runner::Together => {
            // The candidate in the same process could see arguments, and so the nonce.
            let input = Input::Bytes(arguments.join(" ").into_bytes());
            let finished = sandbox::run(&job(file, Vec::new(), input, limits))?;
            return Ok(Run {
                report: read(&finished),
                ending: finished.ending,
                stderr: text(&finished),
                cpu: finished.cpu,
            });
        }
        Runner::Started { judge } => {
            let (ours, theirs) = channel()?;
            let input = |end| Input::Channel(Arc::new(end));
            let judging = job(judge, arguments, input(ours), patient(limits));
            let environment = vec![(CANDIDATE.into(), number.to_string().into())];
            let answering = Job { environment, ..job(file, Vec::new(), input(theirs), limits) };
            std::thread::scope(|scope| {
                // A job owns its end of the channel, which is closed with it: else nobody would see the other's end.
                let answering = scope.spawn(move || sandbox::run(&answering));
                let judged = {
                    let judging = judging;
                    sandbox::run(&judging)
                };
                (judged, answering.join())
            })
        }
        Runner::Pair { judge, servers } => {
            let server = &mut servers[usize::from(order == Order::Reverse)];
            let (ours, theirs) = channel()?;
            let arguments = arguments.join(" ");
            std::thread::scope(|scope| {
                let answering = scope.spawn(|| server.run(number.to_string().as_bytes(), Some(theirs), &limits));
                (judge.run(arguments.as_bytes(), Some(ours), &patient(limits)), answering.join())
            })
        }
    };
    let (judged, answered) = (judged?, answered.expect("watching does not panic")?);
    let report = read(&judged);
    let lost = judged.ending == Ending::Exited(proxy::LOST);
    // A candidate must also end as it should once it is told that all is done.
    let (ending, stderr) = match (lost, judged.ending, answered.ending) {
        (true, ..) => (answered.ending, text(&answered)),
        (false, Ending::Exited(0), Ending::Exited(0)) => (judged.ending, String::new()),
        (false, Ending::Exited(0), ending) => (ending, text(&answered)),
        (false, ending, _) => (ending, text(&judged)),
    };
    Ok(Run { report, ending, stderr, cpu: answered.cpu })
}

/// Two ends of a channel.
pub(super) fn channel() -> Result<(OwnedFd, OwnedFd), ValidateError> {
    let pair = UnixStream::pair();
    let (one, other) = pair.map_err(|source| ValidateError::Io { path: "a pair of sockets".into(), source })?;
    Ok((one.into(), other.into()))
}

/// Limits of the checks, which wait for the candidate.
fn patient(limits: Limits) -> Limits {
    Limits { cpu: limits.cpu * 2 + PATIENCE, wall: limits.wall + PATIENCE, ..limits }
}

pub(super) fn job(program: &Path, arguments: Vec<String>, input: Input, limits: Limits) -> Job {
    Job {
        role: Role::Run,
        program: program.to_owned(),
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        directory: program.parent().unwrap_or(Path::new("/")).to_owned(),
        readable: Vec::new(),
        writable: Vec::new(),
        input,
        limits,
    }
}
