//! Runs forked from one process, with real processes.

use llmc::sandbox::Zygote;

use super::*;

fn fork_job(what: &str) -> Job {
    // Room for what the attacks ask of their limits; each run has its own.
    Job { role: Role::Fork, ..job(attacks(), &[what]) }
}

fn zygote() -> Zygote {
    Zygote::start(&fork_job("fork server")).unwrap()
}

fn run_within(zygote: &mut Zygote, words: &[&str], limits: Limits) -> Finished {
    zygote.run(words.join("\n").as_bytes(), None, &limits).unwrap()
}

fn run(zygote: &mut Zygote, words: &[&str]) -> Finished {
    run_within(zygote, words, Limits::RUN)
}

/// A field of `/proc/PROCESS/status`.
fn status(process: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{field} in {status}")).trim().to_owned()
}

/// The living children of a process.
fn children(process: u32) -> Vec<u32> {
    let numbers = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    numbers.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn first_child(process: u32) -> u32 {
    let begun = Instant::now();
    loop {
        if let [child, ..] = children(process)[..] {
            return child;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it was never forked");
        std::thread::yield_now();
    }
}

fn is_gone(process: u32) -> bool {
    !fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn endings_are_told_apart() {
    let mut zygote = zygote();
    let process = zygote.id();
    let short =
        |cpu, wall| Limits { cpu: Duration::from_millis(cpu), wall: Duration::from_millis(wall), ..Limits::RUN };
    let flood = Limits { flood: 1 << 20, ..Limits::RUN };
    let table: &[(&[&str], Limits, Ending)] = &[
        (&["exit", "0"], Limits::RUN, Ending::Exited(0)),
        (&["exit", "77"], Limits::RUN, Ending::Exited(77)),
        // As the server's own code for what it can't do.
        (&["exit", "112"], Limits::RUN, Ending::Exited(112)),
        (&["count"], Limits::RUN, Ending::Exited(0)),
        (&["panic"], Limits::RUN, Ending::Exited(101)),
        (&["abort"], Limits::RUN, Ending::Signaled(libc::SIGABRT)),
        (&["segfault"], Limits::RUN, Ending::Signaled(libc::SIGSEGV)),
        (&["interrupted by itself"], Limits::RUN, Ending::Forbidden),
        // As the C library and its version have it; the same as where it is started.
        (&["overflow the stack"], Limits::RUN, attack(&["overflow the stack"]).ending),
        (&["memory", "600"], Limits::RUN, Ending::Signaled(libc::SIGABRT)),
        (&["memory", "90"], Limits { memory: 80 << 20, ..Limits::RUN }, Ending::Signaled(libc::SIGABRT)),
        (&["map", "2000"], Limits::RUN, Ending::Exited(1)),
        (&["threads", "10000"], Limits::RUN, Ending::Exited(1)),
        (&["loop"], short(200, 20_000), Ending::CpuTime),
        (&["loop in threads, deaf to signals"], short(1500, 20_000), Ending::CpuTime),
        (&["sleep"], short(4000, 100), Ending::WallTime),
        (&["close all and sleep"], short(4000, 100), Ending::WallTime),
        (&["flood stdout"], flood, Ending::Flood),
        (&["flood stderr"], flood, Ending::Flood),
        (&["flood both in small"], flood, Ending::Flood),
    ];
    for (words, limits, expected) in table {
        let finished = run_within(&mut zygote, words, *limits);
        assert_eq!(finished.ending, *expected, "{words:?}: {finished:?}");
        assert_eq!(finished.truncated, *expected == Ending::Flood, "{words:?}: {finished:?}");
        assert!(finished.wall > Duration::ZERO && finished.cpu < limits.cpu + Duration::from_secs(4), "{finished:?}");
        assert!(*expected != Ending::CpuTime || finished.cpu >= limits.cpu, "{finished:?}");
    }
    assert_eq!(zygote.id(), process, "no ending of a child is the end of its parent");
}

#[test]
fn each_run_starts_from_the_same_state() {
    let mut zygote = zygote();
    for _ in 0..3 {
        assert_eq!(run(&mut zygote, &["count"]).stdout, b"0\n");
    }
    let limits = Limits { output: 1000, ..Limits::RUN };
    let finished = run_within(&mut zygote, &["print", "1001"], limits);
    assert_eq!((finished.ending, finished.stdout.len(), finished.truncated), (Ending::Exited(0), 1000, true));
}

#[test]
fn no_attack_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("secret"), "x").unwrap();
    fs::set_permissions(at("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let _unix = UnixListener::bind(at("socket")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut zygote = zygote();
    let process = zygote.id().unwrap();
    let parent = process.to_string();
    let of_parent = |file: &str| format!("/proc/{process}/{file}");

    let refused = Ending::Exited(1);
    let forbidden = Ending::Forbidden;
    let table: &[(&str, &str, Ending)] = &[
        ("signal", &parent, forbidden),
        ("own signals to others", &parent, refused),
        ("outlive the parent", "", refused),
        ("ptrace", "", forbidden),
        ("read memory", "", forbidden),
        ("read", "/etc/passwd", refused),
        ("read", &at("secret"), refused),
        ("write", &at("new"), refused),
        ("write", &at("secret"), refused),
        ("read", "/proc/self/environ", refused),
        ("read", "/proc/self/maps", refused),
        ("list", "/proc", refused),
        ("stat", &of_parent("fd"), refused),
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
        ("memfd", "", forbidden),
    ];
    for (name, object, expected) in table {
        assert!(escapes_when_run_plainly(&[name, object]), "`{name} {object}` fails even without a sandbox");
        let finished = run(&mut zygote, &[name, object]);
        assert!(!finished.stdout.windows(7).any(|word| word == b"ESCAPED"), "{name} {object}");
        assert_eq!(finished.ending, *expected, "{name} {object}: {finished:?}");
    }
    // Without a control: only a process that forks has what they want.
    for (name, object, expected) in [
        ("read", of_parent("mem").as_str(), refused),
        ("read", &of_parent("environ"), refused),
        ("command the parent", "", refused),
        ("keys", "", forbidden),
        ("io_uring", "", forbidden),
        ("namespace", "", forbidden),
        ("x32", "", forbidden),
        ("change user", "", forbidden),
        ("resolve", "", forbidden),
        ("send a descriptor", "", forbidden),
        ("receive a descriptor", "", forbidden),
    ] {
        let finished = run(&mut zygote, &[name, object]);
        assert_eq!((finished.ending, &finished.stdout[..]), (expected, &b""[..]), "{name} {object}: {finished:?}");
    }
    assert_eq!(zygote.id(), Some(process));
    assert!(children(process).is_empty());
}

#[test]
fn a_child_has_three_descriptors() {
    let file = fs::File::open("/etc/passwd").unwrap();
    // Open across exec, as a careless library might leave it.
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 900) };
    assert!(fd >= 900);
    // SAFETY: just made, owned by nobody else.
    let _fd = unsafe { OwnedFd::from_raw_fd(fd) };
    assert!(escapes_when_run_plainly(&["any descriptor"]));
    let mut zygote = zygote();
    assert_eq!(run(&mut zygote, &["any descriptor"]).ending, Ending::Exited(1));
    let (_ours, theirs) = UnixStream::pair().unwrap();
    assert_eq!(zygote.run(b"any descriptor", Some(theirs.into()), &Limits::RUN).unwrap().ending, Ending::Exited(1));
}

#[test]
fn the_kernel_confirms_what_holds() {
    let mut zygote = zygote();
    let process = zygote.id().unwrap();
    let limits = Limits { wall: Duration::from_secs(2), ..Limits::RUN };
    let sleeper = std::thread::spawn(move || run_within(&mut zygote, &["sleep"], limits).ending);
    let child = first_child(process);
    // It narrows itself down in its first microseconds.
    let begun = Instant::now();
    while status(child, "Seccomp_filters") != "2" {
        assert!(begun.elapsed() < Duration::from_secs(1), "it has no filter of its own");
    }
    for process in [process, child] {
        assert_eq!((status(process, "NoNewPrivs"), status(process, "Seccomp")), ("1".into(), "2".into()));
        assert_eq!(u64::from_str_radix(&status(process, "CapEff"), 16), Ok(0));
        if is_root() {
            assert_eq!(u64::from_str_radix(&status(process, "CapBnd"), 16), Ok(0));
            assert_eq!(status(process, "Groups"), "");
            assert!(status(process, "Uid").split('\t').all(|user| user.starts_with('6')));
        }
        assert_polite(process);
    }
    // A session of its own would have a group of its own.
    let group = |process: u32| fs::read_to_string(format!("/proc/{process}/autogroup")).ok();
    assert_eq!(group(process), group(child));
    assert_eq!(sleeper.join().unwrap(), Ending::WallTime);
}

#[test]
fn a_channel_and_an_argument_reach_the_child() {
    let mut zygote = zygote();
    for _ in 0..3 {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"hello\n").unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let finished = zygote.run(b"answer in capitals", Some(theirs.into()), &Limits::RUN).unwrap();
        assert_eq!(finished.ending, Ending::Exited(0), "{finished:?}");
        let mut answer = String::new();
        // To the end: no copy of the other end is left anywhere.
        ours.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO\n");
    }
    let long = "x".repeat((64 << 10) - "length\n".len());
    assert_eq!(run(&mut zygote, &["length", &long]).stdout, format!("{}\n", long.len()).into_bytes());
    let process = zygote.id();
    let error = zygote.run(&[b'x'; (64 << 10) + 1], None, &Limits::RUN).unwrap_err();
    assert!(matches!(error, SandboxError::Start { .. }), "{error:?}");
    assert_eq!(run(&mut zygote, &["exit", "7"]).ending, Ending::Exited(7));
    assert_eq!(zygote.id(), process);
}

#[test]
fn five_hundred_runs_leave_nothing() {
    succeeds_in_its_own_process("zygote::five_hundred_runs_leave_nothing_here");
}

#[test]
#[ignore = "started by the test above, since it counts what its process owns"]
fn five_hundred_runs_leave_nothing_here() {
    let descriptors = |process: u32| fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let memory = |process: u32| -> u64 {
        let kilobytes = status(process, "VmRSS");
        kilobytes.trim_end_matches(" kB").parse().unwrap()
    };
    let before = descriptors(std::process::id());
    let mut zygote = zygote();
    let process = zygote.id().unwrap();
    let limits = Limits { wall: Duration::from_millis(20), flood: 1 << 16, ..Limits::RUN };
    let mut work = |turns: usize| {
        for turn in 0..turns {
            let words = [&["exit", "3"][..], &["sleep"], &["flood stdout"], &["udp"], &["memory", "10"]][turn % 5];
            let (_ours, theirs) = UnixStream::pair().unwrap();
            zygote.run(words.join("\n").as_bytes(), Some(theirs.into()), &limits).unwrap();
        }
    };
    work(10);
    let first = (descriptors(std::process::id()), descriptors(process));
    let (own, its) = (memory(std::process::id()), memory(process));
    work(500);
    assert_eq!((descriptors(std::process::id()), descriptors(process)), first);
    assert!(children(process).is_empty());
    assert!(memory(process) <= its + 64, "{its} kB became {}", memory(process));
    assert!(memory(std::process::id()) <= own + 2048, "{own} kB became {}", memory(std::process::id()));
    drop(zygote);
    assert!(is_gone(process));
    assert_eq!(descriptors(std::process::id()), before);
    // SAFETY: a null status is allowed.
    let children = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    assert_eq!(children, -1, "a child was not reaped");
}

#[test]
fn one_that_dies_in_a_run_takes_the_run_with_it_and_is_started_anew() {
    let mut zygote = zygote();
    let process = zygote.id().unwrap();
    let running = std::thread::spawn(move || {
        let begun = Instant::now();
        let limits = Limits { wall: Duration::from_secs(60), ..Limits::RUN };
        (zygote.run(b"sleep", None, &limits), begun.elapsed(), zygote)
    });
    let child = first_child(process);
    // SAFETY: takes numbers only.
    unsafe { libc::kill(process.cast_signed(), libc::SIGKILL) };
    let (result, took, mut zygote) = running.join().unwrap();
    let error = result.unwrap_err();
    assert!(matches!(error, SandboxError::Lost { .. }), "{error:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(is_gone(process) && is_gone(child));
    assert_eq!(zygote.id(), None);
    assert_eq!(run(&mut zygote, &["exit", "4"]).ending, Ending::Exited(4));
    assert_ne!(zygote.id(), Some(process));
}

#[test]
fn one_that_hangs_is_given_up() {
    let mut zygote = zygote();
    let process = zygote.id().unwrap();
    // SAFETY: takes numbers only.
    unsafe { libc::kill(process.cast_signed(), libc::SIGSTOP) };
    let error = zygote.run(b"exit\n0", None, &Limits::RUN).unwrap_err();
    assert!(error.to_string().ends_with("is gone: it did not answer in time"), "{error}");
    assert!(is_gone(process));
    assert_eq!(run(&mut zygote, &["exit", "4"]).ending, Ending::Exited(4));
}

#[test]
fn a_program_that_is_no_fork_server_is_an_error() {
    let short = Limits { wall: Duration::from_millis(100), ..Limits::RUN };
    let hangs = Zygote::start(&Job { limits: short, ..fork_job("never a fork server") }).unwrap_err();
    assert!(hangs.to_string().ends_with("is gone: it did not answer in time"), "{hangs}");
    let breaks = Zygote::start(&fork_job("broken fork server")).unwrap_err();
    assert!(breaks.to_string().contains("it breaks at once"), "{breaks}");
    let other = Zygote::start(&job(attacks(), &["fork server"])).unwrap_err();
    assert!(matches!(other, SandboxError::Start { .. }), "{other:?}");
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    attacks();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let mut zygote = zygote();
                for turn in 0..50 {
                    let code = thread * 50 + turn;
                    assert_eq!(run(&mut zygote, &["exit", &code.to_string()]).ending, Ending::Exited(code));
                }
            });
        }
    });
}

#[test]
fn it_ends_with_the_thread_that_started_it() {
    let mut zygote = std::thread::spawn(zygote).join().unwrap();
    let error = zygote.run(b"exit\n0", None, &Limits::RUN).unwrap_err();
    assert!(matches!(error, SandboxError::Lost { .. }), "{error:?}");
    assert_eq!(run(&mut zygote, &["exit", "4"]).ending, Ending::Exited(4));
}

#[test]
fn it_and_its_child_die_with_llmc() {
    attacks();
    let mut parent = in_its_own_process("zygote::a_long_sleep").spawn().unwrap();
    let begun = Instant::now();
    let process = loop {
        // Of the thread that runs the test.
        let tasks = fs::read_dir(format!("/proc/{}/task", parent.id())).unwrap().flatten();
        let mut started = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        if let Some(process) = started.find_map(|numbers| numbers.split_whitespace().next()?.parse().ok()) {
            break process;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never started");
    };
    let child = first_child(process);
    parent.kill().unwrap();
    parent.wait().unwrap();
    let begun = Instant::now();
    while !is_gone(process) || !is_gone(child) {
        assert!(begun.elapsed() < Duration::from_secs(5), "one still runs");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "started and killed by the test above"]
fn a_long_sleep() {
    let limits = Limits { wall: Duration::from_secs(60), ..Limits::RUN };
    run_within(&mut zygote(), &["sleep"], limits);
}

#[test]
fn without_confinement_the_limits_still_hold() {
    let mut zygote = Zygote::start_in(&fork_job("fork server"), Mode::Off).unwrap();
    let process = zygote.id().unwrap();
    let finished = run(&mut zygote, &["read", "/etc/passwd"]);
    assert_eq!((finished.ending, &finished.stdout[..]), (Ending::Exited(0), &b"ESCAPED\n"[..]));
    let limits = Limits { wall: Duration::from_millis(200), ..Limits::RUN };
    assert_eq!(run_within(&mut zygote, &["sleep"], limits).ending, Ending::WallTime);
    assert_eq!(run(&mut zygote, &["spawn"]).ending, Ending::Exited(0));
    assert_eq!(run(&mut zygote, &["command the parent"]).ending, Ending::Exited(1));
    assert_eq!(run(&mut zygote, &["any descriptor"]).ending, Ending::Exited(1));
    assert_eq!(zygote.id(), Some(process));
}

/// What a run costs, both ways in turn: `cargo test --test it -- --ignored --nocapture zygote::measured`.
#[test]
#[ignore = "measures; asserts nothing"]
fn measured() {
    let job = job(attacks(), &["exit", "0"]);
    let mut zygote = zygote();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..500 {
        let begun = Instant::now();
        sandbox::run(&job).unwrap();
        times[0].push(begun.elapsed());
        let begun = Instant::now();
        run(&mut zygote, &["exit", "0"]);
        times[1].push(begun.elapsed());
    }
    times.iter_mut().for_each(|times| times.sort());
    let at = |place: usize| times.each_ref().map(|times| times[place]);
    for (name, [started, forked]) in [("min", at(0)), ("median", at(250)), ("p95", at(475))] {
        let ratio = started.as_secs_f64() / forked.as_secs_f64();
        eprintln!("{name}: started {started:?}, forked {forked:?}, {ratio:.1} times faster");
    }
}
