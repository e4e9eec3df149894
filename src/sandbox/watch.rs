//! Watches a confined process: reads its output, ends it at its limits, reaps it and all it started.
//!
//! One thread, one `poll`: no reader can be blocked past the limits, whatever the process does with its pipes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use super::{Ending, Finished, Job, Limits};

/// How long descendants that were killed may take to be gone.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// Shortest time between two looks at the CPU clock.
const TICK: Duration = Duration::from_millis(10);

/// Waits for the end of `child`, or brings it about.
pub(super) fn to_the_end(mut child: Child, job: &Job, begun: Instant) -> io::Result<Finished> {
    let mut leader = Leader::new(&child);
    let mut output = Output::new(&job.limits, child.stdout.take(), child.stderr.take());
    let exit = exit_event(leader.pid)?;
    let stopped = until_stopped(leader.pid, &exit, &mut output, &job.limits, begun)?;
    let (status, cpu) = leader.finish()?;
    output.drain(GRACE)?;
    leader.await_group(GRACE);
    Ok(output.finished(status, stopped, cpu, &job.limits, begun))
}

/// Waits until the process has exited, or says why it has to be stopped.
pub(super) fn until_stopped(
    pid: libc::pid_t,
    exit: &OwnedFd,
    output: &mut Output,
    limits: &Limits,
    begun: Instant,
) -> io::Result<Option<Ending>> {
    let clock = cpu_clock(pid);
    Ok(loop {
        let elapsed = begun.elapsed();
        let Some(wall_left) = limits.wall.checked_sub(elapsed).filter(|left| !left.is_zero()) else {
            break Some(Ending::WallTime);
        };
        // Zero once it is a zombie that waits for its descendants; then its exit is at hand.
        let used = clock.and_then(cpu_time).unwrap_or_default();
        let Some(cpu_left) = limits.cpu.checked_sub(used).filter(|left| !left.is_zero()) else {
            break Some(Ending::CpuTime);
        };
        // Threads use up CPU time faster than one second a second, so look again well before.
        let pause = wall_left.min((cpu_left / 4).max(TICK));
        let ended = output.wait(exit, pause)?;
        if output.flooded() {
            break Some(Ending::Flood);
        }
        if ended {
            break None;
        }
    })
}

/// Says how it ended, from its wait status and from why we killed it, if we did.
fn ending(status: libc::c_int, stopped: Option<Ending>, cpu: Duration, limit: Duration, flooded: bool) -> Ending {
    if flooded {
        return Ending::Flood;
    }
    if libc::WIFEXITED(status) {
        // It may have exited just before we killed it.
        return Ending::Exited(libc::WEXITSTATUS(status));
    }
    match libc::WTERMSIG(status) {
        libc::SIGKILL if stopped.is_some() => stopped.expect("just checked"),
        libc::SIGKILL if cpu >= limit => Ending::CpuTime,
        libc::SIGXCPU => Ending::CpuTime,
        libc::SIGXFSZ => Ending::Flood,
        libc::SIGSYS => Ending::Forbidden,
        signal => Ending::Signaled(signal),
    }
}

/// The process we started, first of its group; killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) pid: libc::pid_t,
    reaped: bool,
}

/// A descriptor that becomes readable when this process exits, which nobody may have reaped yet.
pub(super) fn exit_event(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, owned by nobody else. A descriptor fits its type.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn cpu_clock(pid: libc::pid_t) -> Option<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: `clock` outlives the call.
    (unsafe { libc::clock_getcpuclockid(pid, &mut clock) } == 0).then_some(clock)
}

impl Leader {
    pub(super) fn new(child: &Child) -> Self {
        Self { pid: child.id().cast_signed(), reaped: false }
    }

    /// Kills the group, then reaps the leader: in that order, since its number stays taken until it is reaped.
    fn finish(&mut self) -> io::Result<(libc::c_int, Duration)> {
        self.kill_group();
        let mut status = 0;
        // SAFETY: all zeroes is a valid rusage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        loop {
            // SAFETY: both outlive the call.
            if unsafe { libc::wait4(self.pid, &mut status, 0, &mut usage) } == self.pid {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                self.reaped = true;
                return Err(error);
            }
        }
        self.reaped = true;
        // One that was forked while the group was being killed.
        self.kill_group();
        Ok((status, duration(usage.ru_utime) + duration(usage.ru_stime)))
    }

    fn kill_group(&self) -> bool {
        // SAFETY: takes numbers only.
        unsafe { libc::kill(-self.pid, libc::SIGKILL) == 0 }
    }

    /// Waits until the last of its group is gone: orphans are reaped by init, in its own time.
    fn await_group(&self, limit: Duration) {
        let begun = Instant::now();
        while self.kill_group() && begun.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.reaped {
            // Nothing better can be done with an error here.
            let _ = self.finish();
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), 0) + Duration::from_micros(time.tv_usec.unsigned_abs())
}

/// CPU time used so far by all threads of the process that `clock` belongs to.
fn cpu_time(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    let done = unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    done.then(|| Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs()))
}

/// Both output streams.
pub(super) struct Output {
    streams: [Stream; 2],
    keep: usize,
    flood: usize,
    total: usize,
}

/// One output stream.
struct Stream {
    pipe: Option<File>,
    kept: Vec<u8>,
    seen: usize,
}

impl Stream {
    fn new(pipe: Option<impl Into<OwnedFd>>) -> Self {
        let pipe = pipe.map(|pipe| File::from(pipe.into()));
        if let Some(pipe) = &pipe {
            // SAFETY: takes numbers only. Our end is a pipe's or a socket's, so this always succeeds.
            unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        Self { pipe, kept: Vec::new(), seen: 0 }
    }
}

impl Output {
    /// Of these two pipes.
    pub(super) fn new(limits: &Limits, stdout: Option<impl Into<OwnedFd>>, stderr: Option<impl Into<OwnedFd>>) -> Self {
        let streams = [Stream::new(stdout), Stream::new(stderr)];
        Self { streams, keep: limits.output, flood: limits.flood, total: 0 }
    }

    /// All there is to say in the end.
    pub(super) fn finished(
        self,
        status: libc::c_int,
        stopped: Option<Ending>,
        cpu: Duration,
        limits: &Limits,
        begun: Instant,
    ) -> Finished {
        let ending = ending(status, stopped, cpu, limits.cpu, self.flooded());
        let truncated = self.truncated();
        let [stdout, stderr] = self.streams.map(|stream| stream.kept);
        Finished { ending, stdout, stderr, truncated, cpu, wall: begun.elapsed() }
    }

    /// Waits for output or the exit, reads what there is, and says whether the process has exited.
    fn wait(&mut self, exit: &OwnedFd, pause: Duration) -> io::Result<bool> {
        let ended = self.poll(exit.as_raw_fd(), pause)?;
        self.read()?;
        Ok(ended)
    }

    /// Reads what is left, until the end of both streams.
    ///
    /// All writers are dead; `limit` is for one that the kernel has not buried yet.
    pub(super) fn drain(&mut self, limit: Duration) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            self.read()?;
            let left = limit.saturating_sub(begun.elapsed());
            if self.flooded() || left.is_zero() || self.streams.iter().all(|stream| stream.pipe.is_none()) {
                return Ok(());
            }
            self.poll(-1, left)?;
        }
    }

    /// Says whether `exit` is readable. A negative descriptor is ignored.
    fn poll(&self, exit: libc::c_int, pause: Duration) -> io::Result<bool> {
        let [stdout, stderr] =
            [0, 1].map(|stream| self.streams[stream].pipe.as_ref().map_or(-1, std::os::fd::AsRawFd::as_raw_fd));
        let mut fds = [exit, stdout, stderr].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // Rounded up: a wait of nothing would spin.
        let milliseconds = pause.as_millis().saturating_add(1).min(60_000) as libc::c_int;
        // SAFETY: `fds` outlives the call.
        if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, milliseconds) } < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
        }
        Ok(fds[0].revents != 0)
    }

    /// Reads what both pipes hold now.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        for stream in &mut self.streams {
            while let Some(pipe) = &mut stream.pipe {
                if self.total > self.flood {
                    return Ok(());
                }
                match pipe.read(&mut buffer) {
                    Ok(0) => stream.pipe = None,
                    Ok(count) => {
                        self.total += count;
                        stream.seen += count;
                        let room = self.keep - stream.kept.len();
                        stream.kept.extend_from_slice(&buffer[..count.min(room)]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn flooded(&self) -> bool {
        self.total > self.flood
    }

    fn truncated(&self) -> bool {
        self.streams.iter().any(|stream| stream.seen > stream.kept.len() || stream.pipe.is_some())
    }
}
