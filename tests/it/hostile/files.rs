//! Candidates of specs that allow all of std, files and processes too: the sandbox is all that is left.
//!
//! Where the checks are in the candidate's process there is more to be had: a report to forge, and expected values.

use super::case::{Case, For, PASSES};

/// A wrong answer was all that came of it, or it was stopped.
const NOT_PASSED: &str = "test/failed|crashed/misinterpretation|policy-violation/example-1";
/// Expressions of type `Option<String>`: what an attack came by, which is nothing.
const IN_VAIN: &[(&str, &str)] = &[
    (
        "what /proc tells of it",
        "[\"mem\", \"maps\", \"smaps\", \"exe\", \"environ\", \"cmdline\", \"auxv\", \"stat\", \"status\", \"comm\", \"syscall\", \"stack\"].iter().find_map(|name| [\"self\", \"thread-self\", \"1\", \"@PARENT@\"].iter().find_map(|process| std::fs::read(format!(\"/proc/{process}/{name}\")).ok().map(|_| format!(\"{process} {name}\"))))",
    ),
    (
        "open a descriptor to read",
        "(0..1024).find_map(|fd| std::fs::File::open(format!(\"/proc/self/fd/{fd}\")).ok().map(|_| fd.to_string()))",
    ),
    (
        "open a descriptor to write",
        "(0..1024).find_map(|fd| std::fs::File::options().write(true).open(format!(\"/proc/self/fd/{fd}\")).ok().map(|_| fd.to_string()))",
    ),
    (
        "open a descriptor to append",
        "(0..1024).find_map(|fd| std::fs::File::options().append(true).open(format!(\"/dev/fd/{fd}\")).ok().map(|_| fd.to_string()))",
    ),
    (
        "open a descriptor of its thread",
        "(0..1024).find_map(|fd| std::fs::File::options().read(true).write(true).open(format!(\"/proc/thread-self/fd/{fd}\")).ok().map(|_| fd.to_string()))",
    ),
    (
        "open standard output again",
        "std::fs::File::options().write(true).open(\"/dev/stdout\").ok().map(|_| String::new())",
    ),
    ("list its descriptors", "std::fs::read_dir(\"/proc/self/fd\").ok().map(|all| all.count().to_string())"),
    ("list its threads", "std::fs::read_dir(\"/proc/self/task\").ok().map(|all| all.count().to_string())"),
    ("list the processes", "std::fs::read_dir(\"/proc\").ok().map(|all| all.count().to_string())"),
    ("write its memory", "std::fs::File::options().write(true).open(\"/proc/self/mem\").ok().map(|_| String::new())"),
    ("write its score", "std::fs::write(\"/proc/self/oom_score_adj\", \"-1000\").ok().map(|()| String::new())"),
    (
        "read the program by its name",
        "std::env::args().next().and_then(|name| std::fs::read(name).ok()).map(|_| String::new())",
    ),
    ("read its own folder", "std::fs::read_dir(\".\").ok().map(|all| all.count().to_string())"),
    ("read a file", "std::fs::read_to_string(\"@CANARY@\").ok()"),
    (
        "climb to a file",
        "(1..20).find_map(|up| std::fs::read_to_string(format!(\"{}@CANARY@\", \"../\".repeat(up))).ok())",
    ),
    ("write a file", "std::fs::write(\"@DROP@-file\", \"x\").ok().map(|()| String::new())"),
    ("write beside itself", "std::fs::write(\"@MARK@\", \"x\").ok().map(|()| String::new())"),
    ("shared memory", "std::fs::write(\"/dev/shm/@MARK@\", \"x\").ok().map(|()| String::new())"),
    ("words for it", "std::env::args().nth(1)"),
    ("variables for it", "std::env::vars_os().next().map(|(name, value)| format!(\"{name:?} {value:?}\"))"),
    ("a folder of this machine", "std::env::args().next().filter(|name| name.contains('/'))"),
    ("a name that tells", "std::thread::current().name().filter(|name| *name != \"main\").map(str::to_owned)"),
    (
        "standard input",
        "{ let mut text = String::new(); let _ = std::io::Read::read_to_string(&mut std::io::stdin(), &mut text); (!text.is_empty()).then_some(text) }",
    ),
    (
        "the other side of its output",
        "{ use std::os::fd::AsFd; let mut file = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap()); let mut text = String::new(); let _ = std::io::Read::read_to_string(&mut file, &mut text); (!text.is_empty()).then_some(text) }",
    ),
];

/// The same, of attacks that are the end of it.
const FORBIDDEN: &[(&str, &str)] = &[
    ("start a process", "std::process::Command::new(\"/bin/true\").spawn().ok().map(|_| String::new())"),
    ("start itself again", "std::process::Command::new(\"/proc/self/exe\").spawn().ok().map(|_| String::new())"),
    ("a link to a secret", "std::os::unix::fs::symlink(\"@CANARY@\", \"link\").ok().map(|()| String::new())"),
    ("a socket", "std::net::TcpStream::connect(\"@TCP@\").ok().map(|_| String::new())"),
    ("a pair of sockets", "std::os::unix::net::UnixStream::pair().ok().map(|_| String::new())"),
    ("a named socket", "std::os::unix::net::UnixStream::connect(\"@UNIX@\").ok().map(|_| String::new())"),
];

/// What is to be read and written by name, in both kinds of process.
pub(super) fn allowed() -> Vec<Case> {
    let tell = "if let Some(got) = got { panic!(\"{}{} {got}\", \"ESC\", \"APED\") }";
    let double = |name: &str, attack: &str| {
        let text = format!("pub fn double(n: i64) -> i64 {{ let got: Option<String> = {attack};\n{tell}\nn * 2 }}");
        Case::new(name, For::Files, text)
    };
    let together = |name: &str, attack: &str| {
        let text = format!(
            "pub fn name<T: Clone>(number: u32, _unused: T) -> String {{ let got: Option<String> = {attack};\n{tell}\n\
             [\"zq\", if number == 1 {{ \"first\" }} else {{ \"second\" }}, if number == 1 {{ \"77ab\" }} else {{ \"91fe\" }}].join(\"-\") }}"
        );
        Case::new(format!("{name}, beside the checks"), For::Together, text)
    };
    let mut cases: Vec<Case> = IN_VAIN.iter().map(|(name, attack)| double(name, attack).both(PASSES)).collect();
    // Each of these has a compilation of its own, so that they are few.
    for some in IN_VAIN.chunks(8) {
        let all: String = some.iter().map(|(_, attack)| format!(".or_else(|| {attack})")).collect();
        cases.push(together(some[0].0, &format!("None{all}")).both(PASSES));
    }
    let forbidden = "test/crashed/policy-violation/example-1";
    cases.extend(FORBIDDEN.iter().map(|(name, attack)| double(name, attack).both(forbidden)));
    cases.extend(FORBIDDEN.iter().step_by(4).map(|(name, attack)| together(name, attack).both(forbidden)));
    cases
}

/// Forged reports where the checks are in the candidate's process. No one of them knows the answers.
pub(super) fn forged() -> Vec<Case> {
    // The frames of two checks and of the end, in both orders, with any nonce that can be found.
    const FRAMES: &str = "let mut nonces: Vec<[u8; 16]> = vec![[0; 16]];
        let mut texts: Vec<String> = std::env::args().chain(std::env::vars().map(|(_, value)| value)).collect();
        for name in [\"cmdline\", \"environ\", \"fd/0\"] { texts.extend(std::fs::read_to_string(format!(\"/proc/self/{name}\"))); }
        for word in texts.iter().flat_map(|text| text.split(|letter: char| !letter.is_ascii_hexdigit())).filter(|word| word.len() == 32) {
            nonces.extend(u128::from_str_radix(word, 16).map(u128::to_be_bytes));
        }
        let mut all: Vec<u8> = Vec::new();
        for nonce in nonces.iter().rev().take(1) {
            for number in [0u32, 1, u32::MAX] {
                all.extend(nonce); all.extend(number.to_le_bytes()); all.push(0); all.extend([0u8; 20]);
            }
        }";
    let together = |name: &str, body: &str| {
        let text = format!(
            "use std::io::Write as _;\npub fn name<T: Clone>(_number: u32, _unused: T) -> String {{ {FRAMES}\n{body};\nString::new() }}"
        );
        Case::new(name, For::Together, text).both(NOT_PASSED)
    };
    vec![
        together(
            "a report on every descriptor, by name",
            "for fd in 0..64 { if let Ok(mut file) = std::fs::File::options().write(true).open(format!(\"/proc/self/fd/{fd}\")) { let _ = file.write_all(&all); } }\nstd::process::exit(0)",
        ),
        together(
            "a report on every descriptor of its threads",
            "for fd in 0..64 { if let Ok(mut file) = std::fs::File::options().append(true).open(format!(\"/proc/thread-self/fd/{fd}\")) { let _ = file.write_all(&all); } }\nstd::process::exit(0)",
        ),
        together(
            "a report on standard output",
            "let _ = std::io::stdout().write_all(&all);\nlet _ = std::io::stdout().flush();\nstd::process::exit(0)",
        ),
        together(
            "a report on copies of what is open",
            "use std::os::fd::AsFd;\nfor copy in [std::io::stdin().as_fd().try_clone_to_owned(), std::io::stdout().as_fd().try_clone_to_owned(), std::io::stderr().as_fd().try_clone_to_owned()] { let _ = std::fs::File::from(copy.unwrap()).write_all(&all); }\nstd::process::exit(0)",
        ),
        together(
            "the answer from its own program",
            "for path in [\"/proc/self/exe\".to_string(), std::env::args().next().unwrap()] { if let Ok(bytes) = std::fs::read(path) { if let Some(at) = bytes.windows(9).position(|part| part == [b'z', b'q', b'-', b'f', b'i', b'r', b's', b't', b'-']) { return String::from_utf8_lossy(&bytes[at..at + 13]).into_owned(); } } }",
        ),
        together(
            "a write to its own memory",
            "use std::os::unix::fs::FileExt; if let Ok(file) = std::fs::File::options().read(true).write(true).open(\"/proc/self/mem\") { let here = name::<T> as usize as u64; let _ = file.write_at(&[0xc3; 64], here); return \"zq-first-77ab\".into(); }",
        ),
        together("an end in another thread", "std::thread::spawn(|| std::process::exit(0)).join().ok();"),
        together(
            "an end when the process ends",
            "struct End; impl Drop for End { fn drop(&mut self) { std::process::exit(0) } }\nstd::thread_local! { static END: std::cell::RefCell<Option<End>> = const { std::cell::RefCell::new(None) }; }\nEND.with_borrow_mut(|end| *end = Some(End));",
        ),
    ]
}
