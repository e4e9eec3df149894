//! Starts a confined process.
//!
//! All that needs memory or can fail slowly is made ready by the parent; between fork and exec the child makes system
//! calls only, since another thread of the parent may have held the allocator's lock when it was forked.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::ptr;

use super::access::Rules;
use super::filter::{Exec, Filter};
use super::identity::Identity;
use super::{Input, Job, Limits, Mode, Role};

/// Stack of the main thread, in bytes. Fixed, so that a verdict does not hang on the shell's `ulimit -s`.
const STACK: u64 = 8 << 20;

/// Starts `job`. The child leads its own session and process group.
pub(super) fn start(job: &Job, mode: Mode) -> io::Result<(Child, Identity)> {
    let image = Image::new(job)?;
    let mut confinement = match mode {
        Mode::Strict => Some(Confinement::new(job, &image)?),
        Mode::Off => None,
    };
    let identity = identity(job, mode, &image.executable)?;
    let rlimits = match job.role {
        Role::Compile | Role::Run => rlimits(&job.limits, &identity),
        Role::Fork => rlimits_of_forker(&job.limits, &identity),
    };
    // SAFETY: getpid has no preconditions.
    let parent = unsafe { libc::getpid() };

    let mut command = Command::new(&job.program);
    command.current_dir(&job.directory).env_clear();
    command.stdin(input(&job.input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outputs = match job.role {
        Role::Compile => None,
        Role::Run | Role::Fork => {
            let ((stdout, their_stdout), (stderr, their_stderr)) = (output()?, output()?);
            command.stdout(their_stdout).stderr(their_stderr);
            Some((stdout, stderr))
        }
    };
    let enter = move || {
        grow_stack();
        new_session()?;
        close_on_exec()?;
        identity.assume()?;
        die_with(parent)?;
        for (resource, limit) in &rlimits {
            lower(*resource, *limit)?;
        }
        if let Some(confinement) = &mut confinement {
            confinement.install()?;
        }
        image.execute()
    };
    // SAFETY: `enter` only makes system calls on memory that was laid out before the fork.
    unsafe { command.pre_exec(enter) };
    let mut child = command.spawn()?;
    if let Some((stdout, stderr)) = outputs {
        (child.stdout, child.stderr) = (Some(stdout.into()), Some(stderr.into()));
    }
    Ok((child, identity))
}

/// What a candidate writes to: our end and its own.
///
/// Not a pipe: Landlock lets a process open again what it has open, under `/proc/self/fd`, so code without a descriptor
/// of the pipe could write to it. A socket can't be opened. Nothing is ever to be read from it.
pub(super) fn output() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.shutdown(Shutdown::Write)?;
    Ok((ours.into(), theirs.into()))
}

/// Who will run `job`, whose program is this file.
fn identity(job: &Job, mode: Mode, program: &File) -> io::Result<Identity> {
    Ok(match mode {
        Mode::Strict => Identity::new(job, program.metadata()?.permissions().mode()),
        Mode::Off => Identity::same(),
    })
}

/// What the process may not do.
struct Confinement {
    rules: Rules,
    filter: Filter,
}

impl Confinement {
    fn new(job: &Job, image: &Image) -> io::Result<Self> {
        let filter = match job.role {
            Role::Compile => Filter::of_compile(),
            Role::Run => Filter::of_run(image.call()),
            Role::Fork => Filter::of_fork(image.call()),
        };
        Ok(Self { rules: Rules::new(job)?, filter })
    }

    fn install(&mut self) -> io::Result<()> {
        // Without it neither of the two can be put on, and setuid programs would still work.
        // SAFETY: takes numbers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) })?;
        self.rules.install()?;
        self.filter.install()
    }
}

/// The program, its arguments and its environment, as the kernel wants them.
struct Image {
    program: CString,
    /// The same, opened: a candidate is executed by descriptor, since its folder may be closed to the user it becomes.
    executable: File,
    by_descriptor: bool,
    arguments: Strings,
    environment: Strings,
}

const EMPTY_PATH: &CStr = c"";

impl Image {
    fn new(job: &Job) -> io::Result<Self> {
        // Where a candidate's program is tells it that it is being judged.
        let name = match job.role {
            Role::Compile => job.program.as_os_str(),
            Role::Run | Role::Fork => OsStr::new("main"),
        };
        let mut arguments = vec![c_string(name)?];
        for argument in &job.arguments {
            arguments.push(c_string(argument)?);
        }
        let mut environment = Vec::new();
        for (name, value) in &job.environment {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            environment.push(c_string(&entry)?);
        }
        Ok(Self {
            program: c_string(job.program.as_os_str())?,
            // Reads nothing; std wants one of the two access modes.
            executable: OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&job.program)?,
            by_descriptor: job.role != Role::Compile,
            arguments: Strings::new(arguments),
            environment: Strings::new(environment),
        })
    }

    /// How it will be executed.
    fn call(&self) -> Exec {
        Exec {
            program: self.executable.as_raw_fd().cast_unsigned(),
            path: EMPTY_PATH.as_ptr() as u64,
            arguments: self.arguments.as_ptr() as u64,
            environment: self.environment.as_ptr() as u64,
        }
    }

    /// Returns only when it failed.
    fn execute(&self) -> io::Result<()> {
        let (arguments, environment) = (self.arguments.as_ptr(), self.environment.as_ptr());
        if self.by_descriptor {
            let fd = self.executable.as_raw_fd();
            // SAFETY: all pointers are to NUL-terminated memory that outlives the call.
            unsafe {
                libc::syscall(libc::SYS_execveat, fd, EMPTY_PATH.as_ptr(), arguments, environment, libc::AT_EMPTY_PATH)
            };
        } else {
            // SAFETY: as above.
            unsafe { libc::execve(self.program.as_ptr(), arguments, environment) };
        }
        Err(io::Error::last_os_error())
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

/// Strings with the NULL-terminated array of pointers to them.
struct Strings {
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers are to heap memory that moves with `_owned` and that nothing changes.
unsafe impl Send for Strings {}
// SAFETY: as above; only ever read.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { _owned: owned, pointers }
    }

    fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

fn input(input: &Input) -> io::Result<Stdio> {
    match input {
        Input::None => Ok(Stdio::null()),
        Input::Bytes(bytes) => sealed(bytes),
        Input::Channel(channel) => Ok(channel.try_clone()?.into()),
    }
}

/// A sealed file in memory, so that nobody has to feed a pipe and no reader can stall us.
fn sealed(bytes: &[u8]) -> io::Result<Stdio> {
    const NAME: &CStr = c"input";
    // SAFETY: `NAME` is NUL-terminated.
    let fd = check(unsafe { libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: the descriptor was just made and nobody else owns it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: these two only read their arguments.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    // SAFETY: as above.
    if unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_SET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

/// The scheduling priority of candidates and of rustc, from 0 (as llmc itself) to 19 (last).
const NICE: libc::c_int = 10;
/// The same, as `/proc` wants it.
const NICE_TEXT: &str = "10";

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Soft and hard limits.
pub(super) fn rlimits(limits: &Limits, identity: &Identity) -> Vec<(Resource, libc::rlimit)> {
    let both = |value: u64| libc::rlimit { rlim_cur: value, rlim_max: value };
    // The kernel counts whole seconds; the watch enforces the rest.
    let seconds = limits.cpu.as_secs() + 1;
    vec![
        (libc::RLIMIT_AS, both(limits.memory)),
        // SIGXCPU at the first, SIGKILL a second later for those that ignore it.
        (libc::RLIMIT_CPU, libc::rlimit { rlim_cur: seconds, rlim_max: seconds + 1 }),
        (libc::RLIMIT_FSIZE, both(limits.file)),
        (libc::RLIMIT_NOFILE, both(limits.files)),
        // The kernel counts all of the user's, and ignores it for root.
        (libc::RLIMIT_NPROC, both(identity.processes() + limits.processes)),
        (libc::RLIMIT_CORE, both(0)),
        (libc::RLIMIT_STACK, both(STACK)),
        (libc::RLIMIT_MEMLOCK, both(0)),
        (libc::RLIMIT_MSGQUEUE, both(0)),
    ]
}

/// Those of a process that forks: it lives long itself, and its children's limits can't be above its own.
fn rlimits_of_forker(limits: &Limits, identity: &Identity) -> Vec<(Resource, libc::rlimit)> {
    // Nor does it matter to it how many processes its user has by then.
    let own = [libc::RLIMIT_CPU, libc::RLIMIT_NPROC];
    rlimits(limits, identity).into_iter().filter(|(resource, _)| !own.contains(resource)).collect()
}

/// Sets a limit, but never above the one that already holds.
fn lower(resource: Resource, limit: libc::rlimit) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` outlives the call.
    check(unsafe { libc::getrlimit(resource, &mut now) })?;
    let limit = libc::rlimit { rlim_cur: limit.rlim_cur.min(now.rlim_max), rlim_max: limit.rlim_max.min(now.rlim_max) };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource, &limit) })?;
    Ok(())
}

/// Uses some stack now: a copy of a big parent is above its memory limit until exec, and could not grow any more.
fn grow_stack() {
    std::hint::black_box([0_u8; 32 << 10]);
}

fn new_session() -> io::Result<()> {
    // SAFETY: no preconditions.
    check(unsafe { libc::setsid() })?;
    // A model that runs in this process waits for its slowest thread: candidates take the time that is left over.
    // SAFETY: no memory is involved. Where it is refused the candidate is only less polite.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    // Where the kernel schedules a session as a group, priorities count among its processes only, and the group has one
    // of its own. The kernel may refuse an unprivileged user who asks often.
    // SAFETY: both texts outlive the calls, and nobody else knows the descriptor.
    unsafe {
        let group = libc::open(c"/proc/self/autogroup".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if group >= 0 {
            libc::write(group, NICE_TEXT.as_ptr().cast(), NICE_TEXT.len());
            libc::close(group);
        }
    }
    Ok(())
}

/// Closes every inherited descriptor but the first three, once exec succeeds; std's own error pipe stays open until.
fn close_on_exec() -> io::Result<()> {
    // SAFETY: closes nothing now.
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks to be killed when the parent's thread ends.
fn die_with(parent: libc::pid_t) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) })?;
    // It may have died before it was asked.
    // SAFETY: no preconditions.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
