//! The sandbox, with real processes and the real rustc.
//!
//! Each attack is first made without the sandbox, where it must succeed: else its failure inside would mean nothing.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use llmc::sandbox::{self, Ending, Finished, Input, Job, Limits, Mode, Role, SandboxError};
use llmc::toolchain::{Compile, Compiled, CrateType, Toolchain};
use tempfile::TempDir;

/// Set in this process, so that there is something to be stolen.
const SECRET: &str = "LLMC_TEST_SECRET";

fn toolchain() -> &'static Toolchain {
    static TOOLCHAIN: OnceLock<Toolchain> = OnceLock::new();
    TOOLCHAIN.get_or_init(|| Toolchain::find(None).unwrap())
}

/// A folder with a crate's source and an empty folder for what is built.
fn compilation(source: &str) -> (TempDir, Compile) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("src/candidate.rs");
    let out = folder.path().join("out");
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(&root, source).unwrap();
    let compile = Compile {
        crate_name: "candidate".into(),
        crate_type: CrateType::Rlib,
        root,
        out,
        externs: Vec::new(),
        search: Vec::new(),
        metadata_only: false,
        forbid_unsafe: false,
        profile: llmc::spec::Profile::Debug,
        optimised: false,
        shown_as: Vec::new(),
        limits: Limits::COMPILE,
    };
    (folder, compile)
}

/// The path of a program built once for all tests.
fn program(name: &str, source: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sandbox-{name}"));
    static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().unwrap();
    let inner = std::env::args().any(|argument| argument == "--ignored");
    if !inner && !built.contains(&path) {
        let (_folder, mut compile) = compilation(source);
        compile.crate_type = CrateType::Bin;
        let compiled = toolchain().compile(&compile).unwrap();
        let artifact = compiled.artifact.clone().unwrap_or_else(|| panic!("{compiled:?}"));
        // Under another name first: another test run may be executing the old one.
        let new = path.with_extension(std::process::id().to_string());
        fs::copy(artifact, &new).unwrap();
        fs::rename(&new, &path).unwrap();
        built.push(path.clone());
    }
    path
}

fn attacks() -> PathBuf {
    let fork = include_str!("../../src/validate/runtime/fork.rs");
    program("attacks", &format!("{}\nmod fork {{\n{fork}\n}}\n", include_str!("sandbox/attacks.rs")))
}

fn job(program: PathBuf, arguments: &[&str]) -> Job {
    Job {
        role: Role::Run,
        directory: program.parent().unwrap().into(),
        program,
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: Vec::new(),
        readable: Vec::new(),
        writable: Vec::new(),
        input: Input::None,
        limits: Limits::RUN,
    }
}

fn attack(arguments: &[&str]) -> Finished {
    sandbox::run(&job(attacks(), arguments)).unwrap()
}

fn attack_within(arguments: &[&str], limits: Limits) -> Finished {
    sandbox::run(&Job { limits, ..job(attacks(), arguments) }).unwrap()
}

/// Whether the attack succeeds without a sandbox.
fn escapes_when_run_plainly(arguments: &[&str]) -> bool {
    let output = Command::new(attacks()).args(arguments).env(SECRET, "x").stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("ESCAPED")
}

/// Whether a process, and the group in which the kernel may schedule its session, come after others.
fn assert_polite(process: u32) {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The seventeenth after the name.
    let nice = stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap();
    assert_eq!(nice, "10", "{stat}");
    let group = fs::read_to_string(format!("/proc/{process}/autogroup")).unwrap_or_default();
    // Others may be refused when they ask often.
    if is_root() && !group.is_empty() {
        assert!(group.trim_end().ends_with(" nice 10"), "{group}");
    }
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Processes with this argument.
fn processes_with(argument: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
        .count()
}

/// Runs one of the tests below that are marked as ignored, in a process of its own.
fn in_its_own_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("sandbox::{test}"), "--ignored", "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeeds_in_its_own_process(test: &str) {
    // It finds them built.
    attacks();
    let output = in_its_own_process(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

mod zygote;

mod run {
    use super::*;

    #[test]
    fn an_honest_program_works() {
        let input: Vec<u8> = (0..3_000_000).map(|n: u32| n as u8).collect();
        let mut job = job(program("honest", include_str!("sandbox/honest.rs")), &["all"]);
        job.environment = vec![("GREETING".into(), "hello".into())];
        job.input = Input::Bytes(input.clone());
        job.limits.output = 4 << 20;
        let finished = sandbox::run(&job).unwrap();
        let said = String::from_utf8_lossy(&finished.stderr);
        assert_eq!(finished.ending, Ending::Exited(0), "{said}");
        assert!(finished.stdout.strip_prefix(&input[..]) == Some(b"all 0 fine\n"));
        assert!(said.contains("seen on standard error"), "{said}");
        assert!(!finished.truncated && finished.cpu > Duration::ZERO && finished.wall > Duration::ZERO);
    }

    #[test]
    fn a_channel_is_read_and_written() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut job = job(attacks(), &["answer in capitals"]);
        job.input = Input::Channel(Arc::new(theirs.into()));
        let running = std::thread::spawn(move || sandbox::run(&job).unwrap());
        ours.write_all(b"hello\n").unwrap();
        let mut answer = [0; 6];
        ours.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HELLO\n");
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(running.join().unwrap().ending, Ending::Exited(0));
        // The job is dropped, so this end sees the end.
        assert_eq!(ours.read(&mut answer).unwrap(), 0);
    }

    #[test]
    fn a_channel_is_for_bytes_only() {
        let plainly = |name: &str| {
            let (_ours, theirs) = UnixStream::pair().unwrap();
            let output = Command::new(attacks()).arg(name).stdin(OwnedFd::from(theirs)).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains("ESCAPED")
        };
        for (name, ending) in [
            ("send a descriptor", Ending::Forbidden),
            ("receive a descriptor", Ending::Forbidden),
            ("socket option", Ending::Forbidden),
            ("make it not block", Ending::Exited(1)),
        ] {
            assert!(plainly(name), "`{name}` fails even without a sandbox");
            let (_ours, theirs) = UnixStream::pair().unwrap();
            let job = Job { input: Input::Channel(Arc::new(theirs.into())), ..job(attacks(), &[name]) };
            let finished = sandbox::run(&job).unwrap();
            assert_eq!((finished.ending, &finished.stdout[..]), (ending, &b""[..]), "{name}");
        }
    }

    #[test]
    fn no_attack_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        // Open to all, so that it is not the user's permissions that hold.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("secret"), "x").unwrap();
        fs::set_permissions(at("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let _unix = UnixListener::bind(at("socket")).unwrap();
        let parent = std::process::id().to_string();

        let refused = Ending::Exited(1);
        let forbidden = Ending::Forbidden;
        let table: &[(&str, &str, Ending)] = &[
            ("read", "/etc/passwd", refused),
            ("read", &at("secret"), refused),
            ("read", "/proc/self/environ", refused),
            ("read", "/proc/self/maps", refused),
            ("read", "/bin/true", refused),
            ("write", &at("secret"), refused),
            ("write", &at("new"), refused),
            ("make a folder", &at("folder"), forbidden),
            ("remove", &at("new"), forbidden),
            ("list", "/", refused),
            ("list", "/proc", refused),
            ("list", &at(""), refused),
            ("stat", "/etc/passwd", refused),
            ("stat", &at("secret"), refused),
            ("canonicalize", "/etc/passwd", refused),
            ("chmod", &at("secret"), forbidden),
            ("environment", "", refused),
            ("working directory", "", refused),
            ("listen", "", forbidden),
            ("connect", &address, forbidden),
            ("udp", "", forbidden),
            ("unix socket", "", forbidden),
            ("unix socket by path", &at("socket"), forbidden),
            ("spawn", "", forbidden),
            ("exec", "", forbidden),
            ("fork", "", forbidden),
            ("vfork", "", forbidden),
            ("daemon", "", forbidden),
            ("signal", &parent, forbidden),
            ("ptrace", "", forbidden),
            ("read memory", "", forbidden),
            ("memfd", "", forbidden),
            ("inotify", "", forbidden),
            ("own signals to others", &parent, refused),
            ("outlive the parent", "", refused),
        ];
        for (name, object, expected) in table {
            assert!(escapes_when_run_plainly(&[name, object]), "`{name} {object}` fails even without a sandbox");
            let finished = attack(&[name, object]);
            assert!(!finished.stdout.windows(7).any(|word| word == b"ESCAPED"), "{name} {object}");
            assert_eq!(finished.ending, *expected, "{name} {object}: {finished:?}");
        }
    }

    #[test]
    fn system_calls_that_this_machine_may_lack_are_forbidden_too() {
        // Without a control: switched off on some kernels, or root's alone.
        for name in ["keys", "io_uring", "namespace", "x32", "change user", "resolve"] {
            let finished = attack(&[name]);
            assert!(finished.stdout.is_empty(), "{name}");
            assert!(matches!(finished.ending, Ending::Forbidden | Ending::Exited(1)), "{name}: {finished:?}");
        }
    }

    #[test]
    fn no_attack_succeeds_with_the_rights_of_a_compiler() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret").to_str().unwrap().to_owned();
        fs::write(&secret, "x").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let parent = std::process::id().to_string();
        let table: &[(&str, &str)] = &[
            ("read", "/etc/passwd"),
            ("read", "/proc/self/environ"),
            ("read", &secret),
            ("write", &secret),
            ("list", "/"),
            ("environment", ""),
            ("listen", ""),
            ("connect", &address),
            ("udp", ""),
            ("unix socket", ""),
            ("signal", &parent),
            ("ptrace", ""),
            ("read memory", ""),
        ];
        for (name, object) in table {
            assert!(escapes_when_run_plainly(&[name, object]), "`{name} {object}` fails even without a sandbox");
            let job = Job { role: Role::Compile, limits: Limits::COMPILE, ..job(attacks(), &[name, object]) };
            assert_eq!(sandbox::run(&job).unwrap().ending, Ending::Exited(1), "{name} {object}");
        }
        // Without a control, as above.
        for (name, ending) in [
            ("keys", Ending::Exited(1)),
            ("io_uring", Ending::Exited(1)),
            ("namespace", Ending::Exited(1)),
            ("change user", Ending::Exited(1)),
            ("x32", Ending::Forbidden),
        ] {
            let job = Job { role: Role::Compile, limits: Limits::COMPILE, ..job(attacks(), &[name]) };
            assert_eq!(sandbox::run(&job).unwrap().ending, ending, "{name}");
        }
    }

    #[test]
    fn a_compiler_starts_processes_and_writes_its_folder_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job("/bin/sh".into(), &["-c", "/bin/echo fine > made && cat made && ! echo x > ../other"]);
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        (job.role, job.directory, job.writable) = (Role::Compile, out.clone(), vec![out]);
        let finished = sandbox::run(&job).unwrap();
        assert_eq!((finished.ending, &finished.stdout[..]), (Ending::Exited(0), &b"fine\n"[..]), "{finished:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_are_bounded_in_size() {
        let folder = tempfile::tempdir().unwrap();
        let mut job = job("/bin/sh".into(), &["-c", "exec head -c 2000000 /usr/bin/env /bin/sh /bin/bash > made"]);
        (job.role, job.directory) = (Role::Compile, folder.path().into());
        job.writable = vec![folder.path().into()];
        job.environment = vec![("PATH".into(), "/usr/bin".into())];
        job.limits.file = 10_000;
        assert_eq!(sandbox::run(&job).unwrap().ending, Ending::Flood);
        assert_eq!(fs::metadata(folder.path().join("made")).unwrap().len(), 10_000);
    }

    #[test]
    fn root_has_no_powers_inside() {
        if !is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::write(&closed, "x").unwrap();
        fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let mut job = job(attacks(), &["read", closed.to_str().unwrap()]);
        (job.role, job.readable) = (Role::Compile, vec![folder.path().into()]);
        assert_eq!(sandbox::run_in(&job, Mode::Off).unwrap().ending, Ending::Exited(0));
        assert_eq!(sandbox::run(&job).unwrap().ending, Ending::Exited(1));
    }

    #[test]
    fn the_kernel_confirms_what_holds() {
        let marker = format!("confirmed {}", std::process::id());
        let limits = Limits { wall: Duration::from_secs(2), ..Limits::RUN };
        let sleeper = std::thread::spawn({
            let marker = marker.clone();
            move || attack_within(&["sleep", &marker], limits).ending
        });
        let status = loop {
            assert!(!sleeper.is_finished(), "it was never seen");
            let process = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).find(|path| {
                let line = fs::read(path.join("cmdline")).unwrap_or_default();
                line.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())
            });
            if let Some(process) = process {
                assert_polite(process.file_name().unwrap().to_str().unwrap().parse().unwrap());
                break fs::read_to_string(process.join("status")).unwrap();
            }
        };
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
        };
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".into(), "2".into()));
        assert_eq!(u64::from_str_radix(&field("CapEff"), 16), Ok(0));
        if is_root() {
            assert_eq!(u64::from_str_radix(&field("CapBnd"), 16), Ok(0));
            assert_eq!(field("Groups"), "");
            assert!(field("Uid").split('\t').all(|user| user.starts_with('6')), "{status}");
        }
        assert_eq!(sleeper.join().unwrap(), Ending::WallTime);
    }

    #[test]
    fn a_program_that_is_still_written_to_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("program");
        fs::copy(attacks(), &copy).unwrap();
        let writer = fs::OpenOptions::new().append(true).open(&copy).unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(writer);
        });
        assert_eq!(sandbox::run(&job(copy, &["exit", "6"])).unwrap().ending, Ending::Exited(6));
        closing.join().unwrap();
    }

    #[test]
    fn its_program_cannot_be_changed() {
        let before = fs::read(attacks()).unwrap();
        assert_eq!(attack(&["append to itself"]).ending, Ending::Exited(1));
        assert!(fs::read(attacks()).unwrap() == before);
    }

    #[test]
    fn descriptors_of_the_parent_are_closed() {
        let file = fs::File::open("/etc/passwd").unwrap();
        // High enough for nothing else to have it, and open across exec, as a careless library might leave it.
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 900) };
        assert!(fd >= 900);
        // SAFETY: just made, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let number = fd.as_raw_fd().to_string();
        assert!(escapes_when_run_plainly(&["inherited descriptor", &number]));
        assert_eq!(attack(&["inherited descriptor", &number]).ending, Ending::Exited(1));
    }

    #[test]
    fn threads_are_bounded() {
        assert!(escapes_when_run_plainly(&["threads", "300"]));
        let finished = attack(&["threads", "10000"]);
        let count: usize = String::from_utf8_lossy(&finished.stdout).trim().parse().unwrap();
        // Exactly the limit where candidates have a user of their own.
        assert!(count < 2000, "{finished:?}");
        assert!(!is_root() || count < Limits::RUN.processes as usize, "{finished:?}");
        assert_eq!(finished.ending, Ending::Exited(1));
    }

    #[test]
    fn memory_is_bounded() {
        assert!(escapes_when_run_plainly(&["memory", "600"]));
        assert_eq!(attack(&["memory", "600"]).ending, Ending::Signaled(libc::SIGABRT));
        assert!(escapes_when_run_plainly(&["map", "2000"]));
        assert_eq!(attack(&["map", "2000"]).ending, Ending::Exited(1));
    }

    #[test]
    fn an_endless_loop_ends_at_its_cpu_time() {
        for (name, cpu) in [("loop", 300), ("loop in threads, deaf to signals", 1500)] {
            let limits = Limits { cpu: Duration::from_millis(cpu), ..Limits::RUN };
            let finished = attack_within(&[name], limits);
            assert_eq!(finished.ending, Ending::CpuTime, "{name}");
            assert!(finished.cpu >= limits.cpu && finished.cpu < limits.cpu + Duration::from_secs(4), "{finished:?}");
        }
    }

    #[test]
    fn a_sleeper_ends_at_its_wall_time() {
        for name in ["sleep", "close all and sleep"] {
            let limits = Limits { wall: Duration::from_millis(200), ..Limits::RUN };
            let finished = attack_within(&[name], limits);
            assert_eq!(finished.ending, Ending::WallTime, "{name}");
            assert!(finished.wall < Duration::from_secs(10), "{finished:?}");
        }
    }

    #[test]
    fn a_flood_is_stopped() {
        for name in ["flood stdout", "flood stderr", "flood both in small"] {
            let finished = attack_within(&[name], Limits { flood: 1 << 20, ..Limits::RUN });
            assert_eq!(finished.ending, Ending::Flood, "{name}");
            assert!(finished.truncated);
            assert!(finished.stdout.len().max(finished.stderr.len()) <= Limits::RUN.output);
        }
    }

    #[test]
    fn output_between_the_two_limits_is_cut() {
        let limits = Limits { output: 1000, flood: 100_000, ..Limits::RUN };
        let finished = attack_within(&["print", "99000"], limits);
        assert_eq!((finished.ending, finished.stdout.len(), finished.truncated), (Ending::Exited(0), 1000, true));
        let finished = attack_within(&["print", "1000"], limits);
        assert_eq!((finished.ending, finished.stdout.len(), finished.truncated), (Ending::Exited(0), 1000, false));
        assert_eq!(attack_within(&["print", "100001"], limits).ending, Ending::Flood);
    }

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(attack(&["exit", "0"]).ending, Ending::Exited(0));
        assert_eq!(attack(&["exit", "77"]).ending, Ending::Exited(77));
        assert_eq!(attack(&["panic"]).ending, Ending::Exited(101));
        assert_eq!(attack(&["abort"]).ending, Ending::Signaled(libc::SIGABRT));
        assert_eq!(attack(&["segfault"]).ending, Ending::Signaled(libc::SIGSEGV));
        assert_eq!(attack(&["interrupted by itself"]).ending, Ending::Forbidden);
        let overflow = attack(&["overflow the stack"]);
        assert!(matches!(overflow.ending, Ending::Signaled(libc::SIGABRT | libc::SIGSEGV)), "{overflow:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = sandbox::run(&job("/nonexistent/program".into(), &[])).unwrap_err();
        assert_eq!(error.to_string(), "failed to start `/nonexistent/program`");
    }

    #[test]
    fn without_confinement_the_limits_still_hold() {
        let job = |arguments| Job {
            limits: Limits { wall: Duration::from_millis(300), ..Limits::RUN },
            ..job(attacks(), arguments)
        };
        let finished = sandbox::run_in(&job(&["read", "/etc/passwd"]), Mode::Off).unwrap();
        assert_eq!((finished.ending, &finished.stdout[..]), (Ending::Exited(0), &b"ESCAPED\n"[..]));
        assert_eq!(sandbox::run_in(&job(&["sleep"]), Mode::Off).unwrap().ending, Ending::WallTime);
    }

    #[test]
    fn what_it_starts_is_gone_with_it() {
        // A compiler may start processes; this one's child would stay for ten minutes.
        let marker = format!("987{}", std::process::id());
        let script = format!("sleep {marker} >/dev/null 2>&1 & exec true");
        let mut job = job("/bin/sh".into(), &["-c", &script]);
        job.role = Role::Compile;
        job.environment = vec![("PATH".into(), "/usr/bin".into())];
        let finished = sandbox::run(&job).unwrap();
        assert_eq!(finished.ending, Ending::Exited(0), "{finished:?}");
        assert_eq!(processes_with(&marker), 0);
        // Nor can it hide in a session of its own.
        job.arguments = vec!["-c".into(), format!("setsid sleep {marker} & wait $!").into()];
        let finished = sandbox::run(&job).unwrap();
        assert_ne!(finished.ending, Ending::Exited(0), "{finished:?}");
        assert_eq!(processes_with(&marker), 0);
    }

    #[test]
    fn two_hundred_runs_leave_nothing() {
        succeeds_in_its_own_process("run::two_hundred_runs_leave_nothing_here");
    }

    #[test]
    #[ignore = "started by the test above, since it counts what its process owns"]
    fn two_hundred_runs_leave_nothing_here() {
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        attack(&["exit", "0"]);
        let before = descriptors();
        for turn in 0..200 {
            let job = Job {
                input: Input::Bytes(b"some input".into()),
                limits: Limits { wall: Duration::from_millis(20), flood: 1 << 16, ..Limits::RUN },
                ..job(attacks(), [&["exit", "3"][..], &["sleep"], &["flood stdout"], &["udp"]][turn % 4])
            };
            sandbox::run(&job).unwrap();
            let absent = Job { program: "/nonexistent/program".into(), ..job };
            sandbox::run(&absent).unwrap_err();
        }
        assert_eq!(descriptors(), before);
        // SAFETY: a null status is allowed.
        let children = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        assert_eq!(children, -1, "a child was not reaped");
    }

    #[test]
    fn runs_side_by_side_do_not_disturb_each_other() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for turn in 0..10 {
                        let code = thread * 10 + turn;
                        assert_eq!(attack(&["exit", &code.to_string()]).ending, Ending::Exited(code));
                    }
                });
            }
        });
    }

    #[test]
    fn it_dies_with_its_parent() {
        attacks();
        let mut parent = in_its_own_process("run::a_long_sleep").spawn().unwrap();
        let marker = format!("child of {}", parent.id());
        let begun = Instant::now();
        while processes_with(&marker) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never started");
            std::thread::sleep(Duration::from_millis(5));
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        let begun = Instant::now();
        while processes_with(&marker) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    #[ignore = "started and killed by the test above"]
    fn a_long_sleep() {
        attack(&["sleep", &format!("child of {}", std::process::id())]);
    }

    #[test]
    fn where_landlock_is_missing_nothing_is_run() {
        succeeds_in_its_own_process("run::where_landlock_is_missing_nothing_is_run_here");
    }

    #[test]
    #[ignore = "started by the test above, since it takes Landlock from its process"]
    fn where_landlock_is_missing_nothing_is_run_here() {
        without_landlock(|| {
            assert_eq!(sandbox::layers().landlock, 0);
            let error = sandbox::run(&job(attacks(), &["exit", "0"])).unwrap_err();
            let SandboxError::Unavailable(missing) = &error else { panic!("{error:?}") };
            assert!(missing.contains("Landlock") && !missing.contains("seccomp"), "{missing}");
            assert_eq!(toolchain().compile(&compilation("").1).unwrap_err().to_string(), error.to_string());
            sandbox::set_mode(Mode::Off);
            assert_eq!(attack(&["exit", "5"]).ending, Ending::Exited(5));
        });
    }

    /// Has the kernel deny to this thread that there is Landlock.
    fn without_landlock(then: impl FnOnce()) {
        let step = |code: u32, jt, k| libc::sock_filter { code: code as u16, jt, jf: 0, k };
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
        let mut filter = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_landlock_create_ruleset as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
            step(libc::BPF_RET | libc::BPF_K, 0, absent),
        ];
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: `program` and what it points to outlive the calls.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            assert_eq!(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program), 0);
        }
        then();
    }
}

mod compile {
    use super::*;

    fn compile(source: &str) -> Compiled {
        toolchain().compile(&compilation(source).1).unwrap()
    }

    /// What rustc, run plainly with the same arguments, ends with and says.
    fn compile_plainly(source: &str) -> (bool, String) {
        let (_folder, compile) = compilation(source);
        let mut rustc = Command::new(&toolchain().rustc);
        rustc.args(toolchain().argv(&compile)).env(SECRET, "x").env_remove("RUSTC_BOOTSTRAP");
        let output = rustc.current_dir(&compile.out).stdin(Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn libraries_and_programs_are_built_and_linked() {
        let (_library_folder, mut library) = compilation("pub fn seven() -> u32 { 7 }");
        library.forbid_unsafe = true;
        library.crate_name = "seven".into();
        let built = toolchain().compile(&library).unwrap();
        assert_eq!(built.ending, Ending::Exited(0), "{built:?}");
        assert!(built.diagnostics.is_empty() && built.other.is_empty(), "{built:?}");
        let rlib = built.artifact.unwrap();

        let (_folder, mut program) = compilation("fn main() { println!(\"{}\", seven::seven()); }");
        program.crate_type = CrateType::Bin;
        program.externs = vec![("seven".into(), rlib)];
        let built = toolchain().compile(&program).unwrap();
        let finished = sandbox::run(&job(built.artifact.unwrap(), &[])).unwrap();
        assert_eq!((finished.ending, &finished.stdout[..]), (Ending::Exited(0), &b"7\n"[..]));
        // Nothing but the result is left.
        assert_eq!(fs::read_dir(&program.out).unwrap().count(), 1);
    }

    #[test]
    fn a_check_builds_metadata_only() {
        for crate_type in [CrateType::Rlib, CrateType::Bin] {
            let (_folder, mut compile) = compilation("pub fn f() {} fn main() {}");
            compile.metadata_only = true;
            compile.crate_type = crate_type;
            let compiled = toolchain().compile(&compile).unwrap();
            assert_eq!(compiled.ending, Ending::Exited(0), "{compiled:?}");
            assert!(compiled.artifact.unwrap().ends_with("libcandidate.rmeta"));
        }
    }

    #[test]
    fn arithmetic_overflows_and_debug_assertions_panic() {
        let (_folder, mut compile) = compilation(
            "fn main() {
                std::panic::set_hook(Box::new(|_| ()));
                let one = std::hint::black_box(1_u8);
                assert!(std::panic::catch_unwind(|| 255 + one).is_err());
                assert!(std::panic::catch_unwind(|| debug_assert!(false)).is_err());
            }",
        );
        compile.crate_type = CrateType::Bin;
        let compiled = toolchain().compile(&compile).unwrap();
        assert_eq!(sandbox::run(&job(compiled.artifact.unwrap(), &[])).unwrap().ending, Ending::Exited(0));
    }

    #[test]
    fn diagnostics_are_read() {
        let compiled = compile("pub fn f() -> u32 { \"seven\" }\npub fn g() { h() }\nfn unused() {}\n");
        assert_eq!(compiled.ending, Ending::Exited(1));
        assert_eq!(compiled.artifact, None);
        assert_eq!(compiled.other, "");
        let codes: Vec<_> = compiled.diagnostics.iter().map(|d| (d.level.as_str(), d.code.as_deref())).collect();
        assert!(codes.contains(&("error", Some("E0425"))), "{codes:?}");
        assert!(compiled.diagnostics.iter().all(|d| !d.message.contains("aborting")), "{compiled:?}");
        let missing = compiled.diagnostics.iter().find(|d| d.code.as_deref() == Some("E0425")).unwrap();
        assert!(missing.message.contains("cannot find function `h`"));
        assert!(missing.rendered.contains("pub fn g() { h() }") && !missing.rendered.contains('\x1b'));
        let span = &missing.spans[0];
        assert!(span.file.ends_with("src/candidate.rs"));
        assert_eq!((span.line, span.column, span.end_line, span.end_column), (2, 14, 2, 15));
    }

    #[test]
    fn attributes_do_not_change_what_is_built() {
        let compiled = compile("#![crate_type = \"proc-macro\"]\n#![allow(unused)]\npub fn f() {}");
        assert!(compiled.artifact.unwrap().ends_with("libcandidate.rlib"));
    }

    #[test]
    fn unsafe_code_is_rejected_where_it_is_forbidden() {
        for source in [
            "pub fn f() { unsafe { std::hint::unreachable_unchecked() } }",
            "#![allow(unsafe_code)] pub fn f() { unsafe { std::hint::unreachable_unchecked() } }",
            "std::arch::global_asm!(\".incbin \\\"/etc/passwd\\\"\");",
            "#[unsafe(no_mangle)] pub extern \"C\" fn memcmp() {}",
            "#[unsafe(link_section = \".init_array\")] pub static F: fn() = f; fn f() {}",
        ] {
            let (_folder, mut forbidden) = compilation(source);
            forbidden.forbid_unsafe = true;
            forbidden.metadata_only = true;
            let compiled = toolchain().compile(&forbidden).unwrap();
            assert_eq!(compiled.ending, Ending::Exited(1), "{source}");
            let mut codes = compiled.diagnostics.iter().filter_map(|diagnostic| diagnostic.code.as_deref());
            assert!(codes.any(|code| code == "unsafe_code" || code == "E0453"), "{source}: {compiled:?}");
        }
    }

    #[test]
    fn nothing_of_the_machine_gets_into_a_program() {
        for source in [
            "pub const X: &str = include_str!(\"/etc/passwd\");",
            "pub const X: &[u8] = include_bytes!(\"/proc/self/environ\");",
            "pub const X: &[u8] = include_bytes!(\"/proc/self/maps\");",
            "pub const X: &[u8] = include_bytes!(\"../../../../../../../../etc/passwd\");",
            "pub const X: &str = env!(\"LLMC_TEST_SECRET\");",
            "pub const X: &str = option_env!(\"LLMC_TEST_SECRET\").unwrap();",
            "std::arch::global_asm!(\".incbin \\\"/etc/passwd\\\"\");",
        ] {
            let (succeeded, said) = compile_plainly(source);
            assert!(succeeded, "`{source}` fails even without a sandbox: {said}");
            let compiled = compile(source);
            assert_eq!(compiled.ending, Ending::Exited(1), "{source}: {compiled:?}");
            assert_eq!(compiled.artifact, None, "{source}");
        }
    }

    #[test]
    fn nothing_of_the_machine_gets_into_a_diagnostic() {
        for source in [
            "#[path = \"/etc/passwd\"] pub mod x;",
            "include!(\"/etc/passwd\");",
            "std::arch::global_asm!(\".include \\\"/etc/passwd\\\"\");",
        ] {
            assert!(compile_plainly(source).1.contains("root:"), "`{source}` discloses nothing even without a sandbox");
            let compiled = compile(source);
            assert_eq!(compiled.ending, Ending::Exited(1), "{source}");
            assert!(!format!("{compiled:?}").contains("root:"), "{source}: {compiled:?}");
        }
    }

    #[test]
    fn endless_files_are_not_read() {
        // Without a control: it would take gigabytes, or for ever.
        for path in ["/dev/zero", "/dev/tty", "/proc/kmsg"] {
            let compiled = compile(&format!("pub const X: &[u8] = include_bytes!({path:?});"));
            assert_eq!(compiled.ending, Ending::Exited(1), "{path}: {compiled:?}");
        }
    }

    #[test]
    fn bombs_end_within_their_limits() {
        let nested = format!("pub fn f() -> i32 {{ {}1{} }}", "(".repeat(50_000), ")".repeat(50_000));
        let macros = "macro_rules! m { ($($t:tt)*) => { m!($($t)* $($t)*); } } m!(x);";
        let generic = "#![recursion_limit = \"100000\"]
            pub fn f<T>(depth: u32, value: T) { if depth > 0 { f(depth - 1, (value, depth)) } }
            pub fn g() { f(9, ()) }";
        let constant = "#![allow(long_running_const_eval)] pub const X: () = loop {};";
        let array = "pub static X: [u8; 1 << 36] = [1; 1 << 36];";
        let types = "#![recursion_limit = \"4294967295\"]
            pub trait Grow { const SIZE: usize; }
            impl<T> Grow for T where (T, T): Grow { const SIZE: usize = 1 + <(T, T) as Grow>::SIZE; }
            pub const X: usize = <() as Grow>::SIZE;";
        let limits =
            Limits { cpu: Duration::from_secs(1), wall: Duration::from_secs(5), memory: 1 << 30, ..Limits::COMPILE };
        for source in [nested.as_str(), macros, generic, constant, array, types] {
            let (_folder, mut compile) = compilation(source);
            compile.limits = limits;
            let compiled = toolchain().compile(&compile).unwrap();
            assert_ne!(compiled.ending, Ending::Exited(0), "{:.60}", source);
            assert_eq!(compiled.artifact, None);
            assert!(format!("{compiled:?}").len() < 2 << 20);
            eprintln!("{:?} for {:.60}", compiled.ending, source);
        }
        let (_folder, mut endless) = compilation(constant);
        endless.limits = limits;
        assert_eq!(toolchain().compile(&endless).unwrap().ending, Ending::CpuTime);
    }
}

/// What confinement costs: `cargo test --test it -- --ignored --nocapture sandbox::measured`.
#[test]
#[ignore = "measures; asserts nothing"]
fn measured() {
    let shortest = |turns: usize, work: &dyn Fn()| {
        let times = (0..turns).map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        });
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        format!("min {:?}, median {:?}", times[0], times[turns / 2])
    };
    let job = job(attacks(), &["exit", "0"]);
    eprintln!("std alone: {}", shortest(300, &|| drop(Command::new(attacks()).args(["exit", "0"]).output().unwrap())));
    for mode in [Mode::Off, Mode::Strict] {
        eprintln!("run, {mode:?}: {}", shortest(300, &|| drop(sandbox::run_in(&job, mode).unwrap())));
    }
    for (name, crate_type, metadata_only) in
        [("check", CrateType::Rlib, true), ("rlib", CrateType::Rlib, false), ("program", CrateType::Bin, false)]
    {
        let (_folder, mut compile) = compilation("pub fn f() {}\nfn main() { println!(\"hello\"); }");
        compile.crate_type = crate_type;
        compile.metadata_only = metadata_only;
        let argv = toolchain().argv(&compile);
        let plainly = || drop(Command::new(&toolchain().rustc).args(&argv).current_dir(&compile.out).output().unwrap());
        eprintln!("{name}, std alone: {}", shortest(25, &plainly));
        eprintln!("{name}, sandboxed: {}", shortest(25, &|| drop(toolchain().compile(&compile).unwrap())));
    }
}
