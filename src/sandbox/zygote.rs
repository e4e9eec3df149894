//! A process that has everything loaded, and forks a confined child for each run: much cheaper than starting one.
//!
//! The other side is `src/validate/runtime/fork.rs`, linked into the program. What decides is here: the limits, the
//! filter, the watch over the child. It makes only the calls that only the child or its parent can make.
//!
//! Frames, over a socket that keeps their boundaries; the first byte says what it is, numbers are little endian:
//! - `S`, first: how many instructions compare with the own process number (u32) and which (u32 each), then how many
//!   there are (u32) and they themselves; none where nothing is confined. The answer is `Y`.
//! - `R` with three descriptors (input, output, errors): the parent's number (u32); how many limits (u32), each as
//!   resource (u32), soft and hard (u64); the argument. The answer is `P` and the child's number (i32), or `E` and why
//!   not (i32). The child says `C` when it is confined: what went before is not the candidate's doing.
//! - `W`: reap it. The answer is `D`, the wait status (i32) and microseconds of CPU time (u64).

use std::fs::File;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::ChildStderr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::filter::Filter;
use super::identity::Identity;
use super::launch::{check, output, rlimits};
use super::watch::{GRACE, Leader, Output, exit_event, until_stopped};
use super::{Finished, Input, Job, Limits, Mode, Role, SandboxError};

/// Longest argument of a run.
const LONGEST: usize = 64 << 10;
/// How long a process that has nothing else to do may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A confined process that has everything loaded, and forks a confined child for each run.
///
/// It dies when this is dropped, and when the *thread* that started it ends: start it on a thread that stays. After it
/// was lost the next run starts it anew. A child is held as by [`Role::Run`]; it can't reach the process it was forked
/// from, nor is there another child of it at the time.
///
/// Children are copies of one process: what that has drawn before it forks (the seed of a `HashMap`, an address) is the
/// same in all.
#[derive(Debug)]
pub struct Zygote {
    job: Job,
    mode: Mode,
    server: Option<Server>,
}

impl Zygote {
    /// Starts the program of `job`, whose role is [`Role::Fork`], and waits until it is ready, as long as the job's wall
    /// time allows. Its limits of memory, files and their size hold for all children too. Its input is not used.
    ///
    /// # Errors
    /// [`SandboxError`], also where the program ends or hangs instead.
    pub fn start(job: &Job) -> Result<Self, SandboxError> {
        Self::start_in(job, super::mode())
    }

    /// As [`Zygote::start`], confined as `mode` says.
    ///
    /// # Errors
    /// As [`Zygote::start`].
    pub fn start_in(job: &Job, mode: Mode) -> Result<Self, SandboxError> {
        if job.role != Role::Fork {
            return Err(super::failed(job, io::Error::new(io::ErrorKind::InvalidInput, "its role is not to fork")));
        }
        let job = Job { input: Input::None, ..job.clone() };
        let server = Some(Server::start(&job, mode)?);
        Ok(Self { job, mode, server })
    }

    /// The process's number, unless it was lost.
    pub fn id(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.leader.pid.cast_unsigned())
    }

    /// Has the children to come use one processor only, or any again. Two that wait for each other in turn are much
    /// faster on one. Where it is refused nothing changes but that.
    pub fn stay_on(&mut self, processor: Option<usize>) {
        let Some(pid) = self.server.as_ref().map(|server| server.leader.pid) else { return };
        // SAFETY: all zeroes is an empty set; the calls write to the set only, or read it.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            match processor {
                Some(processor) if processor < libc::CPU_SETSIZE as usize => libc::CPU_SET(processor, &mut set),
                // What this thread may use.
                _ if libc::sched_getaffinity(0, size_of_val(&set), &mut set) == 0 => {}
                _ => return,
            }
            libc::sched_setaffinity(pid, size_of_val(&set), &set);
        }
    }

    /// Forks one child, which is given `argument` (64 KiB at most) and, as descriptor 0, `channel` or nothing; watches it
    /// to its end.
    ///
    /// # Errors
    /// [`SandboxError`], when it could not be forked or confined, or the process that forks was lost. How the child ended
    /// is never an error.
    pub fn run(
        &mut self,
        argument: &[u8],
        channel: Option<OwnedFd>,
        limits: &Limits,
    ) -> Result<Finished, SandboxError> {
        let mut server = match self.server.take() {
            Some(server) => server,
            None => Server::start(&self.job, self.mode)?,
        };
        match server.run(argument, channel, limits) {
            Ok(finished) => {
                self.server = Some(server);
                Ok(finished)
            }
            Err(Failure::Run(source)) => {
                self.server = Some(server);
                Err(super::failed(&self.job, source))
            }
            Err(Failure::Server(error)) => Err(server.lost(&self.job, &error)),
        }
    }
}

/// Why there is no result.
enum Failure {
    /// This run can't be; the next one may.
    Run(io::Error),
    /// The process that forks can't be used any more.
    Server(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Server(error)
    }
}

/// The process that forks; killed and reaped when dropped.
#[derive(Debug)]
struct Server {
    // First, so that it closes first.
    control: OwnedFd,
    leader: Leader,
    stderr: Option<ChildStderr>,
    identity: Identity,
}

impl Server {
    fn start(job: &Job, mode: Mode) -> Result<Self, SandboxError> {
        let failed = |source| super::failed(job, source);
        let (control, theirs) = socket_pair().map_err(failed)?;
        let (mut child, identity) = {
            let job = Job { input: Input::Channel(Arc::new(theirs)), ..job.clone() };
            super::start(&job, mode)?
        };
        let server = Self { control, leader: Leader::new(&child), stderr: child.stderr.take(), identity };
        match server.make_ready(job, mode) {
            Ok(()) => Ok(server),
            Err(error) => Err(server.lost(job, &error)),
        }
    }

    fn make_ready(&self, job: &Job, mode: Mode) -> io::Result<()> {
        let (instructions, own) = match mode {
            Mode::Strict => {
                let filter = Filter::of_forked();
                let (instructions, own) = filter.parts();
                (instructions, own.to_vec())
            }
            Mode::Off => (Vec::new(), Vec::new()),
        };
        let mut frame = vec![b'S'];
        frame.extend(number(own.len()));
        frame.extend(own.into_iter().flat_map(number));
        frame.extend(number(instructions.len()));
        frame.extend(instructions.as_flattened());
        self.set_patience(job.limits.wall)?;
        self.send(&frame, None)?;
        let answer = self.receive()?;
        self.set_patience(PATIENCE)?;
        if answer.bytes() == b"Y" { Ok(()) } else { Err(misunderstood()) }
    }

    fn run(&mut self, argument: &[u8], channel: Option<OwnedFd>, limits: &Limits) -> Result<Finished, Failure> {
        if argument.len() > LONGEST {
            let problem = io::Error::new(io::ErrorKind::InvalidInput, "the argument is too long");
            return Err(Failure::Run(problem));
        }
        let begun = Instant::now();
        let nothing = || File::open("/dev/null").map(OwnedFd::from);
        let input = channel.map_or_else(nothing, Ok).map_err(Failure::Run)?;
        let (stdout, their_stdout) = output().map_err(Failure::Run)?;
        let (stderr, their_stderr) = output().map_err(Failure::Run)?;
        let descriptors = [input.as_raw_fd(), their_stdout.as_raw_fd(), their_stderr.as_raw_fd()];
        self.send(&self.command(argument, limits), Some(descriptors))?;
        drop((input, their_stdout, their_stderr));

        let mut confined = false;
        let child = match self.answer(&mut confined)? {
            Answer::Child(child) => child,
            Answer::Refused(error) => return Err(Failure::Run(error)),
            Answer::Ended { .. } => return Err(Failure::Server(misunderstood())),
        };
        let exit = Exit(exit_event(child)?);
        let mut output = Output::new(limits, Some(stdout), Some(stderr));
        let stopped = until_stopped(child, &exit.0, &mut output, limits, begun)?;
        exit.kill();
        // What it started where nothing confines it. Not reaped yet, so the number is its own, or of nobody's group.
        // SAFETY: takes numbers only.
        unsafe { libc::kill(-child, libc::SIGKILL) };
        self.send(b"W", None)?;
        let Answer::Ended { status, cpu } = self.answer(&mut confined)? else {
            return Err(Failure::Server(misunderstood()));
        };
        output.drain(GRACE).map_err(Failure::Run)?;
        let finished = output.finished(status, stopped, cpu, limits, begun);
        if confined || stopped.is_some() {
            Ok(finished)
        } else {
            let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
            Err(Failure::Run(io::Error::other(format!("it could not be confined ({:?}): {said}", finished.ending))))
        }
    }

    /// The frame that asks for a run.
    fn command(&self, argument: &[u8], limits: &Limits) -> Vec<u8> {
        // The process that forks may be counted with it.
        let limits = Limits { processes: limits.processes + 1, ..*limits };
        let limits = rlimits(&limits, &self.identity);
        let mut frame = vec![b'R'];
        frame.extend(self.leader.pid.to_le_bytes());
        frame.extend(number(limits.len()));
        for (resource, limit) in limits {
            frame.extend(number(resource as usize));
            frame.extend(limit.rlim_cur.to_le_bytes());
            frame.extend(limit.rlim_max.to_le_bytes());
        }
        frame.extend(argument);
        frame
    }

    /// The next answer of the server; notes what its child says meanwhile.
    fn answer(&self, confined: &mut bool) -> io::Result<Answer> {
        loop {
            let frame = self.receive()?;
            return match frame.bytes() {
                b"C" if !*confined => {
                    *confined = true;
                    continue;
                }
                [b'P', child @ ..] if child.len() == 4 => Ok(Answer::Child(signed(child))),
                [b'E', error @ ..] if error.len() == 4 => {
                    Ok(Answer::Refused(io::Error::from_raw_os_error(signed(error))))
                }
                [b'D', a, b, c, d, cpu @ ..] if cpu.len() == 8 => {
                    let cpu = u64::from_le_bytes(cpu.try_into().expect("just measured"));
                    Ok(Answer::Ended { status: signed(&[*a, *b, *c, *d]), cpu: Duration::from_micros(cpu) })
                }
                _ => Err(misunderstood()),
            };
        }
    }

    /// How long to wait for it.
    fn set_patience(&self, limit: Duration) -> io::Result<()> {
        // A time of nothing would be without a limit.
        let limit = limit.max(Duration::from_millis(1));
        let time = libc::timeval {
            tv_sec: limit.as_secs().cast_signed(),
            tv_usec: libc::suseconds_t::from(limit.subsec_micros()),
        };
        let size = size_of_val(&time) as libc::socklen_t;
        for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            let control = self.control.as_raw_fd();
            // SAFETY: `time` outlives the call.
            check(unsafe { libc::setsockopt(control, libc::SOL_SOCKET, option, (&raw const time).cast(), size) })?;
        }
        Ok(())
    }

    /// Sends one frame, with these descriptors.
    fn send(&self, frame: &[u8], descriptors: Option<[RawFd; 3]>) -> io::Result<()> {
        let mut part = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        // Room for a header and three descriptors, aligned as it must be.
        let mut space = [0_u64; 4];
        // SAFETY: all zeroes is a valid message, without parts.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if let Some(descriptors) = descriptors {
            message.msg_control = space.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&space) as _;
            // SAFETY: `space` is big enough for both, and zeroed.
            unsafe {
                let header = libc::CMSG_FIRSTHDR(&raw const message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(size_of_val(&descriptors) as u32) as _;
                libc::CMSG_DATA(header).cast::<[RawFd; 3]>().write_unaligned(descriptors);
            }
        }
        retried(|| {
            // SAFETY: `message` and all it points to outlive the call, which only reads.
            unsafe { libc::sendmsg(self.control.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) }
        })?;
        Ok(())
    }

    /// Receives one frame.
    fn receive(&self) -> io::Result<Frame> {
        let mut bytes = [0; 16];
        let size = retried(|| {
            // SAFETY: `bytes` outlives the call.
            unsafe { libc::recv(self.control.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_TRUNC) }
        })?;
        match size {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended")),
            1..=16 => Ok(Frame { bytes, size }),
            _ => Err(misunderstood()),
        }
    }

    /// Kills it, and tells what it said last.
    fn lost(mut self, job: &Job, error: &io::Error) -> SandboxError {
        let stderr = self.stderr.take();
        drop(self);
        // All that could write there is dead.
        let mut said = Vec::new();
        let _ = stderr.map(|stderr| stderr.take(1 << 10).read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        let why = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did not answer in time".to_owned(),
            _ => error.to_string(),
        };
        let why = [&why, said.trim()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        SandboxError::Lost { program: job.program.display().to_string(), why }
    }
}

/// What the server says.
enum Answer {
    Child(libc::pid_t),
    Refused(io::Error),
    Ended { status: libc::c_int, cpu: Duration },
}

/// A frame of the server: they are short.
struct Frame {
    bytes: [u8; 16],
    size: usize,
}

impl Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

/// A child that is gone when this is dropped, whatever has become of its parent.
struct Exit(OwnedFd);

impl Exit {
    fn kill(&self) {
        // SAFETY: takes numbers only. It means this process and no other, even when that is long gone.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), libc::SIGKILL, 0, 0) };
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.kill();
        let mut exit = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `exit` outlives the call.
        unsafe { libc::poll(&raw mut exit, 1, GRACE.as_millis() as libc::c_int) };
    }
}

/// Two ends of a socket that keeps the boundaries of what is sent.
fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = MaybeUninit::<[RawFd; 2]>::uninit();
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: there is room for two.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr().cast()) })?;
    // SAFETY: the call filled them.
    let ends = unsafe { ends.assume_init() };
    // SAFETY: just made, owned by nobody else.
    let [ours, theirs] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok((ours, theirs))
}

/// Makes a call again where a signal broke it off.
fn retried(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(size) => return Ok(size),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

fn misunderstood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it answered something else than was asked")
}

/// Of a count, which is small.
fn number(count: usize) -> [u8; 4] {
    (count as u32).to_le_bytes()
}

fn signed(bytes: &[u8]) -> i32 {
    i32::from_le_bytes(bytes.try_into().expect("the caller has measured it"))
}
