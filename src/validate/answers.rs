//! Candidates that are called, each over a channel of its own: what they answer to the same calls, run twice.
//!
//! There are no checks here and no expected values. Calls are bytes as `runtime/wire.rs` reads them; what comes back is
//! not trusted and not read either: who asked knows what it should be.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Batch, Kind, Program};
use super::crates::Crates;
use super::insight::Judgement;
use super::run::{CANDIDATE, FORK, channel, job};
use super::{Checks, ValidateError, Validator};
use crate::candidate::Candidate;
use crate::sandbox::{self, Ending, Finished, Input, Job, Limits, Role, Zygote};
use crate::spec::Profile;

/// Most bytes of calls that are sent before their answers are read: less than the channel holds, so that nobody waits
/// for the other to read.
const CHUNK: usize = 16 << 10;
/// Before each call and answer: its length (u32) and its number (u32).
const HEAD: usize = 8;
/// Longest answer that is kept, in bytes; of a longer one its length and digest are.
const KEPT: usize = 256 << 10;
/// Longest answer that may come, as `runtime/wire.rs` has it.
const LONGEST: usize = 16 << 20;

/// CPU time that one call may take, and how many calls may find no answer, where nobody says otherwise.
const PATIENCE: Duration = Duration::from_millis(200);
const LOSSES: usize = 6;
/// How many calls are waited for that long.
const PATIENTLY: usize = 3;
/// How many calls that end the process count as one that is waited for.
const CRASHES: usize = 25;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An answer, as it came.
    Answer(Vec<u8>),
    /// An answer of so many bytes, too long to be kept, by its digest.
    Long(usize, String),
    /// No answer within the time that a call has.
    TimedOut,
    /// The process ended instead, in this way.
    Crashed(String),
    /// The candidate was not asked: too many calls before had found no answer.
    NotAsked,
}

/// Candidates of one spec that answer calls.
///
/// Their processes end with the thread that made this: keep it there.
pub struct Answerers {
    /// The folder of each program, which goes with it, and its processes.
    programs: Vec<(Crates, Servers)>,
    /// Of each candidate, its program and its number there; nothing where it does not compile.
    seats: Vec<Option<(usize, usize)>>,
    refused: Vec<Option<Judgement>>,
    limits: Limits,
    /// CPU time that one call may take.
    patience: Duration,
    /// Calls without an answer after which a candidate is not asked any more, and how many each has had.
    most_losses: usize,
    losses: Vec<usize>,
}

/// The processes of one program's candidates.
enum Servers {
    /// The program, started twice and forked for each run: what is drawn when a process starts, such as its addresses,
    /// is not the same in both.
    Forked(Box<[Zygote; 2]>),
    /// The program, started anew for each run.
    Started(PathBuf),
}

impl Validator {
    /// Compiles candidates together and makes them ready to be called; `None` where the values of the spec's functions
    /// can't travel between processes.
    ///
    /// # Errors
    /// [`ValidateError`] when llmc could not do its part. A candidate that does not compile is no error: see
    /// [`Answerers::refused`].
    pub fn answerers(&self, checks: &Checks, candidates: &[&Candidate]) -> Result<Option<Answerers>, ValidateError> {
        // Else a program that can't be built would be held against the candidates.
        match self.judge_program(checks)? {
            Some(_) => {
                let profile = checks.spec.policy.profiles.first().copied().unwrap_or(Profile::Debug);
                self.answerers_in(profile, checks, candidates).map(Some)
            }
            None => Ok(None),
        }
    }

    /// As [`Validator::answerers`], compiled in this way; where values can't travel all candidates are refused.
    ///
    /// # Errors
    /// As [`Validator::answerers`].
    pub(crate) fn answerers_in(
        &self,
        profile: Profile,
        checks: &Checks,
        candidates: &[&Candidate],
    ) -> Result<Answerers, ValidateError> {
        let limits = self.run_limits;
        let mut refused = vec![None; candidates.len()];
        let mut programs: Vec<(Crates, Servers)> = Vec::new();
        let mut seats = vec![None; candidates.len()];
        let go_on = || Ok(());
        let mut batch = Batch {
            validator: self,
            checks,
            profile,
            kind: Kind::Server,
            go_on: &go_on,
            refuse: &mut |id, judgement| refused[id] = Some(judgement),
            run: &mut |program| {
                let servers = Servers::new(checks, &program, limits)?;
                for (number, member) in program.members.iter().enumerate() {
                    seats[member.id] = Some((programs.len(), number));
                }
                programs.push((program.crates, servers));
                Ok(())
            },
        };
        batch.compile(candidates.iter().copied().enumerate().collect())?;
        let losses = vec![0; candidates.len()];
        Ok(Answerers { programs, seats, refused, limits, patience: PATIENCE, most_losses: LOSSES, losses })
    }
}

impl Servers {
    fn new(checks: &Checks, program: &Program<'_>, limits: Limits) -> Result<Self, ValidateError> {
        let file = program.file.as_deref().expect("a program that answers was built");
        if !checks.forbids_unsafe() {
            return Ok(Self::Started(file.to_owned()));
        }
        let start = || {
            let environment = vec![(FORK.into(), "1".into())];
            Zygote::start(&Job { role: Role::Fork, environment, ..job(file, Vec::new(), Input::None, limits) })
        };
        Ok(Self::Forked(Box::new([start()?, start()?])))
    }

    /// Runs a candidate on `channel` until it ends.
    fn run(
        &mut self,
        round: usize,
        number: usize,
        channel: OwnedFd,
        limits: &Limits,
    ) -> Result<Finished, ValidateError> {
        Ok(match self {
            Self::Forked(zygotes) => zygotes[round].run(number.to_string().as_bytes(), Some(channel), limits)?,
            Self::Started(program) => {
                let environment = vec![(CANDIDATE.into(), number.to_string().into())];
                let input = Input::Channel(Arc::new(channel));
                let job = Job { environment, ..job(program, Vec::new(), input, *limits) };
                sandbox::run(&job)?
            }
        })
    }
}

impl Answerers {
    /// What was found of a candidate that does not compile.
    pub fn refused(&self, candidate: usize) -> Option<&Judgement> {
        self.refused[candidate].as_ref()
    }

    /// What a candidate that compiles answers to calls, which are made in this order; the first time or again, in
    /// another process. A call that finds no answer ends the process: the next ones are made in a new one.
    ///
    /// # Errors
    /// [`ValidateError`], when its process could not be started.
    pub fn ask(&mut self, candidate: usize, again: bool, calls: &[&[u8]]) -> Result<Vec<Reply>, ValidateError> {
        let (replies, _) = self.ask_timed(candidate, again, calls)?;
        Ok(replies)
    }

    /// As [`Answerers::ask`], with the CPU time that the candidate's processes took, their start included.
    ///
    /// # Errors
    /// As [`Answerers::ask`].
    pub fn ask_timed(
        &mut self,
        candidate: usize,
        again: bool,
        calls: &[&[u8]],
    ) -> Result<(Vec<Reply>, Duration), ValidateError> {
        let Some((program, number)) = self.seats[candidate] else {
            return Ok((vec![Reply::NotAsked; calls.len()], Duration::ZERO));
        };
        let servers = &mut self.programs[program].1;
        let mut replies = Vec::with_capacity(calls.len());
        let mut cpu = Duration::ZERO;
        // Until there is trouble many calls are under way at once.
        let mut is_careful = false;
        while replies.len() < calls.len() {
            if self.losses[candidate] >= CRASHES * self.most_losses {
                replies.resize(calls.len(), Reply::NotAsked);
                break;
            }
            let rest = &calls[replies.len()..];
            // What many take is a matter of how many they are: one is held against the limit.
            let time = if is_careful { self.patience } else { 3 * self.patience };
            let limits = Limits { cpu: time, wall: 10 * time, ..self.limits };
            let (ours, theirs) = channel()?;
            let (answers, broken, finished) = std::thread::scope(|scope| {
                let running = scope.spawn(|| servers.run(usize::from(again), number, theirs, &limits));
                let mut talk = Talk::new(ours);
                let broken = if is_careful { talk.one_by_one(rest) } else { talk.at_once(rest) };
                // It ends when nobody is at the other end.
                let answers = talk.end();
                (answers, broken, running.join().expect("watching does not panic"))
            });
            let finished = finished?;
            cpu += finished.cpu;
            let answered = answers.len();
            replies.extend(answers);
            let Some(before) = broken else { continue };
            if !is_careful {
                // Which call it was is not known: answers may have been lost with the process.
                is_careful = true;
            } else if answered > 0 && is_out_of_time(finished.ending) && before > self.patience / 4 {
                // The time went to those before. It is asked once more, first of all.
            } else {
                let reply = lost(&finished);
                // To wait costs much more than to start a process anew.
                self.losses[candidate] += if reply == Reply::TimedOut { CRASHES } else { 1 };
                replies.push(reply);
            }
        }
        Ok((replies, cpu))
    }

    /// As [`Answerers::ask`], with so much CPU time for each call: what finds no answer here does not count later on.
    ///
    /// # Errors
    /// As [`Answerers::ask`].
    pub fn ask_patiently(
        &mut self,
        candidate: usize,
        call: Duration,
        calls: &[&[u8]],
    ) -> Result<Vec<Reply>, ValidateError> {
        let before = (self.patience, self.losses[candidate]);
        let most = CRASHES * self.most_losses;
        (self.patience, self.losses[candidate]) = (call, most.saturating_sub(CRASHES * PATIENTLY));
        let replies = self.ask(candidate, false, calls);
        (self.patience, self.losses[candidate]) = before;
        replies
    }

    /// How long one call may take from now on, in CPU time, and how many of a candidate's may use that up before it is
    /// asked no more.
    pub fn be_patient(&mut self, call: Duration, losses: usize) {
        self.patience = call;
        self.most_losses = losses;
        self.losses.fill(0);
    }
}

fn is_out_of_time(ending: Ending) -> bool {
    matches!(ending, Ending::CpuTime | Ending::WallTime)
}

fn lost(finished: &Finished) -> Reply {
    let stderr = String::from_utf8_lossy(&finished.stderr);
    Reply::Crashed(match finished.ending {
        Ending::CpuTime | Ending::WallTime => return Reply::TimedOut,
        Ending::Flood => "wrote too much output".into(),
        Ending::Forbidden => "made a system call that generated code may not".into(),
        Ending::Exited(code) => format!("ended the process with exit code {code}"),
        Ending::Signaled(_) if stderr.contains("has overflowed its stack") => "overflowed the stack".into(),
        Ending::Signaled(_) if stderr.contains("memory allocation of") => "ran out of memory".into(),
        Ending::Signaled(signal) => format!("died of signal {signal}"),
    })
}

/// One run of a candidate's process.
struct Talk {
    channel: UnixStream,
    reader: BufReader<UnixStream>,
    answers: Vec<Reply>,
    number: u32,
}

impl Talk {
    fn new(channel: OwnedFd) -> Self {
        let channel = UnixStream::from(channel);
        let reader = channel.try_clone().expect("a descriptor can be copied");
        Self { channel, reader: BufReader::new(reader), answers: Vec::new(), number: 0 }
    }

    /// Ends it; what was answered.
    fn end(self) -> Vec<Reply> {
        self.answers
    }

    /// Makes calls, many at once; `Some` where the process ended, or answered what is no answer.
    fn at_once(&mut self, calls: &[&[u8]]) -> Option<Duration> {
        let begun = Instant::now();
        let mut rest = calls;
        while !rest.is_empty() {
            let mut size = 0;
            let count = rest.iter().take_while(|call| {
                size += HEAD + call.len();
                size <= CHUNK
            });
            let count = count.count().max(1);
            if self.exchange(&rest[..count]).is_err() {
                return Some(begun.elapsed());
            }
            rest = &rest[count..];
        }
        None
    }

    /// Makes calls, each when the one before was answered. Where the process ends: how long it lived before the call
    /// that was then under way.
    fn one_by_one(&mut self, calls: &[&[u8]]) -> Option<Duration> {
        let begun = Instant::now();
        for call in calls {
            let before = begun.elapsed();
            if self.exchange(&[call]).is_err() {
                return Some(before);
            }
        }
        None
    }

    fn exchange(&mut self, calls: &[&[u8]]) -> io::Result<()> {
        let mut out = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            out.extend((call.len() as u32).to_le_bytes());
            out.extend((self.number + at as u32).to_le_bytes());
            out.extend_from_slice(call);
        }
        self.channel.write_all(&out)?;
        for _ in calls {
            let mut head = [0; HEAD];
            self.reader.read_exact(&mut head)?;
            let (length, number) = head.split_at(4);
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            if number != self.number.to_le_bytes() || length > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.number += 1;
            let mut bytes = vec![0; length];
            self.reader.read_exact(&mut bytes)?;
            self.answers.push(match length > KEPT {
                true => Reply::Long(length, crate::digest::sha256(&bytes)),
                false => Reply::Answer(bytes),
            });
        }
        Ok(())
    }
}
