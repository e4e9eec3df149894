//! Processes for untrusted code: rustc on a candidate, and what it built. The only place that starts them.
//!
//! [`run`] blocks until the process and all it started are gone. What holds it: no files but the named ones
//! (Landlock), few system calls (seccomp), bounded time, memory and output (rlimits and the parent's own watch), an
//! explicit environment, no inherited descriptors, and death with its parent. Where a layer is missing, nothing is run
//! unless [`set_mode`] has said so.
//!
//! The promise: a confined user process. Not: a defence against holes in the kernel.
//!
//! Nothing here knows what is compiled or what the output means, and no verdict is taken.

#[cfg(target_os = "linux")]
mod access;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod identity;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(target_os = "linux")]
mod zygote;

#[cfg(not(target_os = "linux"))]
pub use nowhere::Zygote;
#[cfg(target_os = "linux")]
pub use zygote::Zygote;

use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What kind of process it is; decides the system calls it may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// rustc and the linker it calls: may start processes, no network.
    Compile,
    /// A built candidate: threads, and nothing else.
    Run,
    /// A trusted program that forks a process for each run of a candidate, see [`Zygote`]. As [`Role::Run`], but it may
    /// fork, wait for its children, and narrow what they may do.
    Fork,
}

/// One process to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// What kind it is.
    pub role: Role,
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Files and folders it may read and execute, beside what every process of its role needs. Missing ones are
    /// passed over.
    pub readable: Vec<PathBuf>,
    /// Folders it may write.
    pub writable: Vec<PathBuf>,
    /// What it is given on standard input.
    pub input: Input,
    /// Its limits.
    pub limits: Limits,
}

/// What a process is given on standard input.
#[derive(Debug, Clone, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    None,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// One end of a UNIX stream socket pair: it is read *and* written. The process may do nothing else with it, above
    /// all send or receive descriptors.
    ///
    /// This copy keeps the channel open: the other end sees its end when the process is gone and the job dropped.
    Channel(Arc<OwnedFd>),
}

/// Limits on one process and what it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// CPU time.
    pub cpu: Duration,
    /// Wall time: generous, for processes that sleep or wait.
    pub wall: Duration,
    /// Address space, in bytes.
    pub memory: u64,
    /// Size of one file, in bytes.
    pub file: u64,
    /// Output kept of each stream, in bytes; past [`Limits::flood`] the process is killed.
    pub output: usize,
    /// Output of both streams together at which the process is killed, in bytes.
    pub flood: usize,
    /// Open files.
    pub files: u64,
    /// Processes and threads it may add. Exact where a candidate is started by root; approximate for other users,
    /// whose processes are counted together; no limit on a compiler that is started by root.
    pub processes: u64,
}

impl Limits {
    /// For rustc on one candidate.
    pub const COMPILE: Self = Self {
        cpu: Duration::from_secs(20),
        wall: Duration::from_secs(60),
        memory: 3 << 30,
        file: 64 << 20,
        output: 256 << 10,
        // Many times what is kept: who writes so much writes errors.
        flood: 1 << 20,
        files: 256,
        processes: 256,
    };

    /// For a built candidate.
    pub const RUN: Self = Self {
        cpu: Duration::from_secs(4),
        wall: Duration::from_secs(20),
        memory: 512 << 20,
        file: 1 << 20,
        output: 256 << 10,
        flood: 4 << 20,
        files: 16,
        processes: 64,
    };
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it, and none of the limits below explains it.
    Signaled(i32),
    /// It used up its CPU time.
    CpuTime,
    /// It used up its wall time.
    WallTime,
    /// It wrote too much.
    Flood,
    /// It made a system call that its role may not.
    Forbidden,
}

/// A process that ended. Whatever it started is gone too.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How.
    pub ending: Ending,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error.
    pub stderr: Vec<u8>,
    /// Whether output was dropped.
    pub truncated: bool,
    /// CPU time it used.
    pub cpu: Duration,
    /// Wall time it took.
    pub wall: Duration,
}

/// Why a process could not be run. Never the process's own fault.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine lacks a layer of the sandbox.
    #[error("no sandbox on this machine: {0}")]
    Unavailable(String),
    /// It could not be started.
    #[error("failed to start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process that forks for others died or hangs, and is gone now.
    #[error("the process that forks `{program}` is gone: {why}")]
    Lost {
        /// The program.
        program: String,
        /// What it did last.
        why: String,
    },
}

/// Whether processes are confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// By every layer, or nothing is run.
    #[default]
    Strict,
    /// By limits alone: for machines without a sandbox, when a person has asked for it.
    Off,
}

static OFF: AtomicBool = AtomicBool::new(false);

/// Sets how [`run`] confines, for the whole process. [`Mode::Strict`] until this is called.
pub fn set_mode(mode: Mode) {
    OFF.store(mode == Mode::Off, Ordering::SeqCst);
}

/// How [`run`] confines.
pub fn mode() -> Mode {
    if OFF.load(Ordering::SeqCst) { Mode::Off } else { Mode::Strict }
}

/// The layers of the sandbox that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// The version of Landlock (which files); 0 where there is none.
    pub landlock: u32,
    /// Whether seccomp filters can be installed (which system calls).
    pub seccomp: bool,
    /// Whether the kernel keeps limits and process groups.
    pub limits: bool,
}

impl Layers {
    /// What is missing for [`Mode::Strict`], in words.
    pub fn missing(&self) -> Option<String> {
        let missing: Vec<&str> = [
            (self.landlock > 0, "Landlock (Linux 5.13 or later, not switched off)"),
            (self.seccomp, "seccomp filters (x86-64 or arm64 Linux)"),
            (self.limits, "resource limits"),
        ]
        .into_iter()
        .filter_map(|(there, name)| (!there).then_some(name))
        .collect();
        (!missing.is_empty()).then(|| format!("it lacks {}", missing.join(" and ")))
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = [
            (self.landlock > 0).then(|| format!("Landlock (ABI {})", self.landlock)),
            self.seccomp.then(|| "seccomp".to_owned()),
            self.limits.then(|| "limits".to_owned()),
        ];
        let layers: Vec<String> = layers.into_iter().flatten().collect();
        f.write_str(if layers.is_empty() { "none" } else { "" })?;
        f.write_str(&layers.join(", "))
    }
}

/// The layers of this machine; asked once.
pub fn layers() -> Layers {
    static LAYERS: OnceLock<Layers> = OnceLock::new();
    *LAYERS.get_or_init(probe)
}

#[cfg(target_os = "linux")]
fn probe() -> Layers {
    Layers { landlock: access::kernel_abi().unwrap_or(0), seccomp: filter::available(), limits: true }
}

#[cfg(not(target_os = "linux"))]
fn probe() -> Layers {
    Layers { landlock: 0, seccomp: false, limits: false }
}

/// The processor that this thread runs on now, where that is known.
#[cfg(target_os = "linux")]
pub fn processor() -> Option<usize> {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Not known.
#[cfg(not(target_os = "linux"))]
pub fn processor() -> Option<usize> {
    None
}

/// Runs one process to its end; whatever it started is gone too when this returns.
///
/// Confined as [`mode`] says.
///
/// # Errors
/// [`SandboxError`], when it could not be started as asked. How it ended is never an error.
pub fn run(job: &Job) -> Result<Finished, SandboxError> {
    run_in(job, mode())
}

/// How long a program that someone writes to may stay so.
#[cfg(target_os = "linux")]
const BUSY: Duration = Duration::from_secs(1);

/// Runs one process to its end, confined as `mode` says.
///
/// # Errors
/// As [`run`].
#[cfg(target_os = "linux")]
pub fn run_in(job: &Job, mode: Mode) -> Result<Finished, SandboxError> {
    let begun = std::time::Instant::now();
    let (child, _) = start(job, mode)?;
    watch::to_the_end(child, job, begun).map_err(|source| failed(job, source))
}

/// It could not be started, or not watched.
#[cfg(target_os = "linux")]
fn failed(job: &Job, source: std::io::Error) -> SandboxError {
    SandboxError::Start { program: job.program.display().to_string(), source }
}

/// Starts a process, and says who it is.
#[cfg(target_os = "linux")]
fn start(job: &Job, mode: Mode) -> Result<(std::process::Child, identity::Identity), SandboxError> {
    if let (Mode::Strict, Some(missing)) = (mode, layers().missing()) {
        return Err(SandboxError::Unavailable(missing));
    }
    let begun = std::time::Instant::now();
    loop {
        match launch::start(job, mode) {
            // Another thread forked while the program was written: until it executes something, its copy of us may
            // still write to it.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && begun.elapsed() < BUSY => {
                std::thread::sleep(Duration::from_millis(2));
            }
            started => return started.map_err(|source| failed(job, source)),
        }
    }
}

/// Refuses: nothing here can confine or bound a process.
///
/// # Errors
/// Always [`SandboxError::Unavailable`].
#[cfg(not(target_os = "linux"))]
pub fn run_in(_job: &Job, _mode: Mode) -> Result<Finished, SandboxError> {
    Err(SandboxError::Unavailable("only Linux is supported".into()))
}

/// What there is where nothing can confine or bound a process.
#[cfg(not(target_os = "linux"))]
mod nowhere {
    use super::{Finished, Job, Limits, Mode, OwnedFd, SandboxError};

    /// Never started.
    #[derive(Debug)]
    pub enum Zygote {}

    impl Zygote {
        /// Refuses.
        pub fn start(job: &Job) -> Result<Self, SandboxError> {
            Self::start_in(job, super::mode())
        }

        /// Refuses.
        pub fn start_in(_job: &Job, _mode: Mode) -> Result<Self, SandboxError> {
            Err(SandboxError::Unavailable("only Linux is supported".into()))
        }

        /// There is none.
        pub fn id(&self) -> Option<u32> {
            match *self {}
        }

        /// There is none.
        pub fn stay_on(&mut self, _: Option<usize>) {}

        /// There is none.
        pub fn run(&mut self, _: &[u8], _: Option<OwnedFd>, _: &Limits) -> Result<Finished, SandboxError> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_in_words() {
        let all = Layers { landlock: 7, seccomp: true, limits: true };
        assert_eq!(all.to_string(), "Landlock (ABI 7), seccomp, limits");
        assert_eq!(all.missing(), None);
        let none = Layers { landlock: 0, seccomp: false, limits: false };
        assert_eq!(none.to_string(), "none");
        let error = SandboxError::Unavailable(none.missing().expect("all are missing"));
        assert_eq!(
            error.to_string(),
            "no sandbox on this machine: it lacks Landlock (Linux 5.13 or later, not switched off) and seccomp filters \
             (x86-64 or arm64 Linux) and resource limits"
        );
    }
}
