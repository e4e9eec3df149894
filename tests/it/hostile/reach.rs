//! Candidates that reach out: for files, the environment, the network, other processes.
//!
//! Each says ESCAPED where it got something. At run time those that are refused go on and answer right, so that what
//! stopped them is seen by the verdict: `passed` where the call failed, a policy violation where it ended the process.

use super::case::{Case, PASSES};

const REFUSED: &str = "policy/failed/policy-violation/policy-*";
/// rustc says no: the file is not there for it.
const UNREADABLE: &str = "compile/failed/miscompile|hallucination/*";
/// The process made a call that it may not.
const FORBIDDEN: &str = "test/crashed/policy-violation/example-1";

/// Reading while it is compiled.
pub(super) fn compile_time() -> Vec<Case> {
    let shows = |name: &str, text: &str| {
        let body = format!("const TEXT: &str = {text};\nescaped(TEXT)");
        Case::double(name, &body).user(REFUSED).engine(UNREADABLE)
    };
    let bytes = |name: &str, path: &str| {
        let body = format!("const BYTES: &[u8] = include_bytes!({path:?});\nescaped(&String::from_utf8_lossy(BYTES))");
        Case::double(name, &body).user(REFUSED).engine(UNREADABLE)
    };
    let item = |name: &str, item: &str, body: &str| {
        let case = Case::double(name, body);
        let source = format!("{item}\n{}", case.source);
        Case { source, ..case }.user(REFUSED).engine(UNREADABLE)
    };
    vec![
        shows("include_str of a file", "include_str!(\"@CANARY@\")").control(),
        shows("include_str by its path in core", "::core::include_str!(\"@CANARY@\")").control(),
        bytes("include_bytes of a file", "@CANARY@").control(),
        bytes("the environment as a file", "/proc/self/environ").control(),
        bytes("the memory map as a file", "/proc/self/maps").control(),
        bytes("the command line as a file", "/proc/self/cmdline").control(),
        bytes("the parent's environment", "/proc/@PARENT@/environ").control(),
        bytes("the machine's users", "/etc/passwd").control(),
        bytes("a path that climbs", "../../../../../../../../../../etc/passwd").control(),
        shows("env", "env!(\"@VARIABLE@\")").control(),
        shows(
            "option_env",
            "match option_env!(\"@VARIABLE@\") { Some(text) => text, None => compile_error!(\"nothing\") }",
        )
        .engine("compile/failed/*/*"),
        item("include of Rust", "mod stolen { include!(\"@INCLUDE@\"); }", "escaped(stolen::STOLEN)").control(),
        item("include of the environment", "include!(\"/proc/self/environ\");", "n * 2"),
        item("a module by path", "#[path = \"@INCLUDE@\"] mod stolen;", "escaped(stolen::STOLEN)").control(),
        item("a module that is no Rust", "#[path = \"@CANARY@\"] mod stolen;", "n * 2"),
        item("a module by cfg_attr", "#[cfg_attr(all(), path = \"@INCLUDE@\")] mod stolen;", "escaped(stolen::STOLEN)")
            .control(),
        item("docs from a file", "#[doc = include_str!(\"@CANARY@\")] pub struct Documented;", "n * 2"),
        item(
            "include behind a macro",
            "macro_rules! hidden { ($name:ident, $path:literal) => { $name!($path) } }",
            "escaped(hidden!(include_str, \"@CANARY@\"))",
        )
        .control(),
        item("include by another name", "use std::include_str as harmless;", "escaped(harmless!(\"@CANARY@\"))")
            .control(),
        item(
            "assembler that includes",
            "std::arch::global_asm!(\".pushsection .rodata\", \"stolen: .incbin \\\"@CANARY@\\\"\", \".popsection\");",
            "n * 2",
        ),
        bytes("an endless file", "/dev/zero"),
        bytes("a pipe that nobody writes", "@FIFO@"),
        // Empty.
        Case::double(
            "standard input",
            "const N: usize = include_bytes!(\"/dev/stdin\").len();\nif N > 0 { escaped(\"it\") }\nn * 2",
        )
        .user(REFUSED)
        .engine(PASSES)
        .engine(UNREADABLE),
        bytes("a folder", "/"),
        // What rustc may read for itself is no secret, and of no use.
        Case::double(
            "the compiler's own files",
            "const N: usize = include_bytes!(\"/usr/bin/ld\").len();\nn * 2 + (N as i64) * 0",
        )
        .user(REFUSED)
        .engine(PASSES)
        .engine(UNREADABLE),
    ]
}

/// Reaching out with std alone.
pub(super) fn run_time() -> Vec<Case> {
    // The attack is an expression that is true where it worked.
    let tries = |name: &str, attack: &str, verdict: &'static str| {
        let body = format!("let worked: bool = {attack};\nif worked {{ escaped(\"it\") }}\nn * 2");
        Case::double(name, &body).user(REFUSED).engine(verdict).control()
    };
    // Outside there is nothing to be had this way.
    let untried =
        |name: &str, attack: &str, verdict: &'static str| Case { control: false, ..tries(name, attack, verdict) };
    // What is not refused is empty.
    let harmless = |name: &str, attack: &str| {
        let body =
            format!("let text: Option<String> = {attack};\nif let Some(text) = text {{ escaped(&text) }}\nn * 2");
        Case::double(name, &body).user(REFUSED).both(PASSES).control()
    };
    let shows = |name: &str, attack: &str, verdict: &'static str| {
        let body =
            format!("let text: Option<String> = {attack};\nif let Some(text) = text {{ escaped(&text) }}\nn * 2");
        Case::double(name, &body).user(REFUSED).engine(verdict).control()
    };
    let cases = vec![
        shows("read a file", "std::fs::read_to_string(\"@CANARY@\").ok()", PASSES),
        shows(
            "read the environment as a file",
            "std::fs::read(\"/proc/self/environ\").ok().map(|all| String::from_utf8_lossy(&all).into_owned())",
            PASSES,
        ),
        shows("read its own memory map", "std::fs::read_to_string(\"/proc/self/maps\").ok()", PASSES),
        shows("read another's command line", "std::fs::read_to_string(\"/proc/@PARENT@/cmdline\").ok()", PASSES),
        shows("read the machine's users", "std::fs::read_to_string(\"/etc/passwd\").ok()", PASSES),
        untried(
            "open a descriptor by its name",
            "(3..200).any(|fd| std::fs::File::open(format!(\"/proc/self/fd/{fd}\")).is_ok())",
            PASSES,
        ),
        shows(
            "read its own program",
            "std::env::current_exe().ok().and_then(|path| std::fs::read(path).ok()).map(|_| String::new())",
            PASSES,
        ),
        tries("list the root", "std::fs::read_dir(\"/\").is_ok()", PASSES),
        tries("list where it is", "std::fs::read_dir(\".\").is_ok()", PASSES),
        tries("look at a file", "std::fs::metadata(\"@CANARY@\").is_ok()", PASSES),
        tries("ask whether a file exists", "std::path::Path::new(\"@CANARY@\").exists()", PASSES),
        harmless("ask where it is", "std::env::current_dir().ok().map(|path| path.display().to_string())"),
        harmless("a variable", "std::env::var(\"@VARIABLE@\").ok()"),
        harmless("all variables", "std::env::vars().next().map(|(name, _)| name)"),
        tries("write a file", "std::fs::write(\"@DROP@-file\", \"x\").is_ok()", PASSES),
        tries(
            "write a temporary file",
            "std::fs::write(std::env::temp_dir().join(\"@MARK@-tmp\"), \"x\").and_then(|()| std::fs::remove_file(std::env::temp_dir().join(\"@MARK@-tmp\"))).is_ok()",
            PASSES,
        ),
        tries(
            "make a folder",
            "std::fs::create_dir(\"@DROP@-folder\").is_ok()",
            "*/passed|crashed/-|policy-violation/-|example-1",
        ),
        tries(
            "make a link",
            "std::os::unix::fs::symlink(\"/etc/passwd\", \"@DROP@-link\").is_ok()",
            "*/passed|crashed/-|policy-violation/-|example-1",
        ),
        tries("append to a file", "std::fs::OpenOptions::new().append(true).open(\"@CANARY@\").is_ok()", PASSES),
        tries("connect by TCP", "std::net::TcpStream::connect(\"@TCP@\").is_ok()", FORBIDDEN),
        tries("listen by TCP", "std::net::TcpListener::bind(\"127.0.0.1:0\").is_ok()", FORBIDDEN),
        tries(
            "send by UDP",
            "std::net::UdpSocket::bind(\"127.0.0.1:0\").and_then(|socket| socket.send_to(b\"x\", \"@UDP@\")).is_ok()",
            FORBIDDEN,
        ),
        tries(
            "resolve a name",
            "std::net::ToSocketAddrs::to_socket_addrs(\"localhost:80\").is_ok()",
            "*/passed|crashed/-|policy-violation/-|example-1",
        ),
        tries("connect to a socket file", "std::os::unix::net::UnixStream::connect(\"@UNIX@\").is_ok()", FORBIDDEN),
        tries(
            "connect to an abstract socket",
            "{ use std::os::linux::net::SocketAddrExt; std::os::unix::net::SocketAddr::from_abstract_name(\"@HIDDEN@\").and_then(|at| std::os::unix::net::UnixStream::connect_addr(&at)).is_ok() }",
            FORBIDDEN,
        ),
        tries("a pair of sockets", "std::os::unix::net::UnixStream::pair().is_ok()", FORBIDDEN),
        tries("a datagram socket", "std::os::unix::net::UnixDatagram::unbound().is_ok()", FORBIDDEN),
        tries(
            "start a program",
            "std::process::Command::new(\"/bin/true\").status().is_ok()",
            "*/passed|crashed/-|policy-violation/-|example-1",
        ),
        tries(
            "start a shell that stays",
            "std::process::Command::new(\"/bin/sh\").args([\"-c\", \"sleep 3 # @DROP@\"]).stdin(std::process::Stdio::null()).spawn().is_ok()",
            "*/passed|crashed/-|policy-violation/-|example-1",
        ),
        tries(
            "become another program",
            "{ use std::os::unix::process::CommandExt; let error = std::process::Command::new(\"/bin/echo\").arg(\"ESC\").exec(); drop(error); false }",
            "*/passed|crashed/-|policy-violation/-|example-1",
        ),
    ];
    let mut cases = cases;
    for case in &mut cases {
        // It leaves no word behind when it works.
        case.control &= case.name != "become another program";
    }
    cases
}

/// Reaching out with system calls, where the spec allows unsafe code.
pub(super) fn system_calls() -> Vec<Case> {
    const ITEMS: &str = "#[allow(dead_code)] extern \"C\" {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn fork() -> i32;
    fn vfork() -> i32;
    fn setsid() -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn ptrace(request: i64, ...) -> i64;
    fn syscall(number: i64, ...) -> i64;
    fn prctl(option: i32, ...) -> i32;
    fn execv(path: *const u8, arguments: *const *const u8) -> i32;
    fn setuid(user: u32) -> i32;
    fn chmod(path: *const u8, mode: u32) -> i32;
    fn getppid() -> i32;
    fn shmget(key: i32, size: usize, flags: i32) -> i32;
}";
    const STOPPED: &str = "*/passed|crashed/-|policy-violation/-|example-1";
    let tries = |name: &str, attack: &str, verdict: &'static str| {
        let body = format!("let worked: bool = unsafe {{ {attack} }};\nif worked {{ escaped(\"it\") }}\nn * 2");
        Case::raw(name, ITEMS, &body).engine(verdict).control()
    };
    let untried =
        |name: &str, attack: &str, verdict: &'static str| Case { control: false, ..tries(name, attack, verdict) };
    vec![
        tries("a socket of the internet", "socket(2, 1, 0) >= 0", FORBIDDEN),
        tries("a socket of the newer internet", "socket(10, 2, 0) >= 0", FORBIDDEN),
        tries("a netlink socket", "socket(16, 3, 0) >= 0", FORBIDDEN),
        tries("a packet socket", "{ socket(17, 3, 0); true }", FORBIDDEN),
        tries("a socket to the host of a virtual machine", "{ socket(40, 1, 0); true }", FORBIDDEN),
        tries("a socket of the kernel's ciphers", "{ socket(38, 5, 0); true }", FORBIDDEN),
        tries("a raw socket", "{ socket(2, 3, 1); true }", FORBIDDEN),
        tries("fork", "match fork() { 0 => { std::process::exit(0) } child => child > 0 }", FORBIDDEN),
        tries(
            "fork as the kernel has it",
            "match syscall(57) { 0 => { syscall(231, 0i64); false } child => child > 0 }",
            FORBIDDEN,
        ),
        tries(
            "clone with a new namespace",
            "match syscall(56, 0x1000_0000i64 | 17, 0i64, 0i64, 0i64, 0i64) { 0 => { syscall(231, 0i64); false } _ => true }",
            FORBIDDEN,
        ),
        tries(
            "clone3",
            "{ let mut words = [0u64; 11]; words[4] = 17; match syscall(435, words.as_mut_ptr(), 88i64) { 0 => { syscall(231, 0i64); false } child => child > 0 } }",
            PASSES,
        ),
        tries(
            "a fork bomb",
            "{ let mut all = true; for _ in 0..4 { match fork() { 0 => loop { if fork() < 1 { std::process::exit(0) } else { std::process::exit(0) } }, child => all &= child > 0 } } all }",
            FORBIDDEN,
        ),
        tries(
            "a process that stays in a session of its own",
            "match fork() { 0 => { setsid(); if fork() == 0 { std::thread::sleep(std::time::Duration::from_secs(2)); } std::process::exit(0) } child => child > 0 }",
            FORBIDDEN,
        ),
        tries("a signal to its parent", "kill(getppid(), 0) == 0", FORBIDDEN),
        tries("a signal to llmc", "kill(@PARENT@, 0) == 0", FORBIDDEN),
        tries("a signal to all", "kill(-1, 0) == 0", FORBIDDEN),
        tries("a signal by another call", "syscall(200, @PARENT@i64, 0i64) == 0", FORBIDDEN),
        // Not every kernel has them, so that there is no control.
        untried("the calls of 32 bits", "syscall(0x4000_0000 + 41, 1i64, 1i64, 0i64) >= 0", STOPPED),
        tries("a descriptor of a process", "syscall(434, @PARENT@i64, 0i64) >= 0", FORBIDDEN),
        tries("trace itself by its parent", "ptrace(0, 0i64, 0i64, 0i64) == 0", FORBIDDEN),
        tries(
            "read another's memory",
            "{ let mut word = 0u64; let local = [&raw mut word as u64, 8]; let remote = [&raw const local as u64, 8]; syscall(310, std::process::id() as i64, &local, 1i64, &remote, 1i64, 0i64) == 8 }",
            FORBIDDEN,
        ),
        tries("outlive its parent", "prctl(1, 0i64, 0i64, 0i64, 0i64) == 0", STOPPED),
        tries("another user", "setuid(1) == 0 || { setuid(0) == 0 }", STOPPED),
        tries("a file in memory", "syscall(319, b\"x\\0\".as_ptr(), 0i64) >= 0", STOPPED),
        tries(
            "a ring of calls",
            "{ let mut words = [0u32; 64]; syscall(425, 1i64, words.as_mut_ptr()) >= 0 }",
            STOPPED,
        ),
        tries("shared memory", "shmget(0, 4096, 0o1600) >= 0", STOPPED),
        tries(
            "a key ring",
            "{ syscall(248, b\"user\\0\".as_ptr(), b\"llmc\\0\".as_ptr(), b\"x\".as_ptr(), 1i64, -2i64); true }",
            STOPPED,
        ),
        tries("rights of a file", "chmod(b\"@CANARY@\\0\".as_ptr(), 0o777) == 0", STOPPED),
        tries("a filter of its own", "{ syscall(317, 1i64, 0i64, 0i64); true }", STOPPED),
        tries(
            "another program",
            "{ let path = b\"/bin/true\\0\".as_ptr(); let words = [path, std::ptr::null()]; if fork() == 0 { execv(path, words.as_ptr()); } true }",
            STOPPED,
        ),
    ]
}
