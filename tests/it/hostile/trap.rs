//! What there is to steal and to harm, and the eyes that watch it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use llmc::candidate::Candidate;
use llmc::sandbox::Limits;
use llmc::toolchain::Toolchain;
use llmc::validate::Validator;
use llmc::verdict::Verdict;
use tempfile::TempDir;

use super::as_a_users;
use super::case::{Case, For, fits, written};

/// Names that candidates know; all are in the environment of every test, where cargo puts them.
pub(super) const VARIABLE: &str = "CARGO_PKG_DESCRIPTION";
/// Begins the name of whatever a candidate tries to write.
const MARK: &str = "llmc-hostile-mark";
/// Where a candidate may try to write, beside the trap's own folder.
const COMMON: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Things to steal, doors to knock at, and a validator.
pub(super) struct Trap {
    scratch: TempDir,
    validator: Option<Validator>,
    secret: String,
    tcp: TcpListener,
    udp: UdpSocket,
    unix: UnixListener,
    hidden: UnixListener,
    hidden_name: String,
    descriptors: usize,
}

impl Trap {
    pub(super) fn new() -> Self {
        let scratch = tempfile::Builder::new().prefix("llmc-hostile-").tempdir_in("/tmp").unwrap();
        // Open to all users: a candidate that is started by root becomes another.
        open(scratch.path());
        for folder in ["drop", "work"] {
            fs::create_dir(scratch.path().join(folder)).unwrap();
        }
        open(&scratch.path().join("drop"));
        let unique = format!("{}-{:x}", std::process::id(), Instant::now().elapsed().as_nanos() + random());
        let secret = format!("zq-canary-{unique}");
        fs::write(scratch.path().join("canary.txt"), &secret).unwrap();
        fs::write(scratch.path().join("canary.rs"), format!("pub const STOLEN: &str = \"{secret}\";")).unwrap();
        let fifo = scratch.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let path = scratch.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        open(&path);
        unix.set_nonblocking(true).unwrap();
        let hidden_name = format!("llmc-hostile-{unique}");
        let hidden = SocketAddr::from_abstract_name(hidden_name.as_bytes()).unwrap();
        let hidden = UnixListener::bind_addr(&hidden).unwrap();
        hidden.set_nonblocking(true).unwrap();
        assert!(std::env::var(VARIABLE).is_ok_and(|value| value.len() > 8), "there is nothing to steal");

        let mut trap = Self { scratch, validator: None, secret, tcp, udp, unix, hidden, hidden_name, descriptors: 0 };
        trap.descriptors = descriptors();
        trap.validator = Some(validator(&trap.scratch.path().join("work")));
        trap
    }

    /// In the name of whatever a candidate of this trap tries to write; others may write at the same time.
    fn mark(&self) -> String {
        format!("{MARK}-{}", self.hidden_name)
    }

    /// The text of a case, with the places of this trap.
    fn text(&self, case: &Case) -> String {
        let at = |name: &str| self.scratch.path().join(name).display().to_string();
        let places = [
            ("@CANARY@", at("canary.txt")),
            ("@INCLUDE@", at("canary.rs")),
            ("@FIFO@", at("fifo")),
            ("@SCRATCH@", at("")),
            ("@DROP@", format!("{}/{}", at("drop"), self.mark())),
            ("@MARK@", self.mark()),
            ("@TCP@", self.tcp.local_addr().unwrap().to_string()),
            ("@UDP@", self.udp.local_addr().unwrap().to_string()),
            ("@UNIX@", at("socket")),
            ("@HIDDEN@", self.hidden_name.clone()),
            ("@PARENT@", std::process::id().to_string()),
            ("@VARIABLE@", VARIABLE.to_owned()),
        ];
        places.iter().fold(case.source.clone(), |text, (name, value)| text.replace(name, value))
    }

    /// A case as if the policy had let it through.
    pub(super) fn candidate(&self, case: &Case) -> Candidate {
        Candidate { source: self.text(case), notes: Vec::new() }
    }

    /// What the policy says of each, where it looks; what is wrong with that.
    pub(super) fn policy(&self, cases: &[Case]) -> Vec<String> {
        let mut wrong = Vec::new();
        for case in cases.iter().filter(|case| !case.user.is_empty()) {
            if let Err(verdict) = as_a_users(case, &self.text(case)) {
                wrong.extend(self.mistakes(&format!("{} (a user's)", case.name), &case.user, &verdict));
            }
        }
        wrong
    }

    /// Judges cases of one spec together with honest candidates; what is wrong with the verdicts.
    pub(super) fn batch(&self, spec: For, cases: &[&Case]) -> Vec<String> {
        // One honest candidate before each handful.
        let mut entries: Vec<(String, &[&'static str], Candidate)> = Vec::new();
        const HONEST: &[&str] = &[super::case::PASSES];
        for (number, case) in cases.iter().enumerate() {
            let text = self.text(case);
            if number % 6 == 0 {
                let source = spec.honest(number);
                entries.push((format!("honest candidate {number}"), HONEST, Candidate { source, notes: Vec::new() }));
            }
            let users = if case.user.is_empty() { None } else { as_a_users(case, &text).ok() };
            // Where nobody was fooled and both must end the same, once is enough.
            let twice = users.is_none() || case.user != case.engine;
            if let Some(candidate) = users {
                entries.push((format!("{} (a user's)", case.name), &case.user, candidate));
            }
            if twice && !case.engine.is_empty() {
                entries.push((case.name.clone(), &case.engine, self.candidate(case)));
            }
        }
        let candidates: Vec<&Candidate> = entries.iter().map(|(_, _, candidate)| candidate).collect();
        let verdicts = self.judge(spec, &candidates);
        assert_eq!(verdicts.len(), entries.len());
        let found = entries.iter().zip(&verdicts);
        let mut wrong: Vec<String> =
            found.flat_map(|((name, allowed, _), verdict)| self.mistakes(name, allowed, verdict)).collect();
        wrong.iter_mut().for_each(|text| text.insert_str(0, &format!("{spec:?}: ")));
        wrong
    }

    /// Judges candidates together.
    pub(super) fn judge(&self, spec: For, candidates: &[&Candidate]) -> Vec<Verdict> {
        let validator = self.validator.as_ref().expect("it is there until the trap is closed");
        let checks = validator.prepare(&spec.spec(), &[]).unwrap_or_else(|error| panic!("{spec:?}: {error}"));
        validator.judge_all(&checks, candidates).unwrap_or_else(|error| panic!("{spec:?}: {error}"))
    }

    /// What is wrong with a verdict.
    pub(super) fn mistakes(&self, name: &str, allowed: &[&str], verdict: &Verdict) -> Vec<String> {
        let found = written(verdict);
        let mut wrong = Vec::new();
        if !allowed.iter().any(|pattern| fits(pattern, &found)) {
            wrong.push(format!("{name}: {found}, not {}\n{}", allowed.join(" or "), indented(&verdict.detail)));
        }
        for secret in [self.secret.as_str(), "ESCAPED"] {
            if verdict.detail.contains(secret) {
                wrong.push(format!("{name}: `{secret}` leaks\n{}", indented(&verdict.detail)));
            }
        }
        if std::env::var(VARIABLE).is_ok_and(|value| verdict.detail.contains(&value)) {
            wrong.push(format!("{name}: the environment leaks\n{}", indented(&verdict.detail)));
        }
        if verdict.detail.len() > 5 << 10 {
            wrong.push(format!("{name}: {} bytes of detail", verdict.detail.len()));
        }
        wrong
    }

    /// What verdicts tell of the folders of this machine.
    pub(super) fn paths(&self, cases: &[Case]) -> Vec<String> {
        let toolchain = self.validator.as_ref().expect("it is there until the trap is closed").toolchain();
        let home = std::env::home_dir().unwrap();
        let folders = [self.scratch.path(), toolchain.sysroot.as_path(), &cache(), &home, Path::new("/tmp")];
        let folders = folders.map(|folder| format!("{}/", folder.display()));
        let mut found = Vec::new();
        for case in cases {
            // One by one: of many, only one has a linker.
            let verdict = self.judge(case.spec, &[&self.candidate(case)]).remove(0);
            assert!(!verdict.is_pass(), "{}", case.name);
            let told = folders.iter().find(|folder| verdict.detail.contains(folder.as_str()));
            found.extend(told.map(|folder| format!("{}: {folder}\n{}", case.name, indented(&verdict.detail))));
        }
        found
    }

    /// Shows that an attack does work outside of the sandbox: one program of all of them.
    pub(super) fn controls(&self, cases: &[Case]) {
        let folder = self.scratch.path().join("control");
        fs::create_dir(&folder).unwrap();
        let mut main = String::from("#![allow(warnings)]\n");
        let mut arms = String::new();
        for (number, case) in cases.iter().enumerate() {
            fs::write(folder.join(format!("c{number}.rs")), self.text(case)).unwrap();
            main.push_str(&format!("mod c{number};\n"));
            arms.push_str(&format!("{number} => c{number}::double(2),\n"));
        }
        main.push_str(&format!(
            "fn main() {{ let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();\n match n {{ {arms} _ => 0 }}; }}"
        ));
        let program = self.compile_plainly(&folder, &main);
        let mut tame = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let output = Command::new(&program).arg(number.to_string()).stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if !said.contains("ESCAPED") {
                tame.push(format!("{}: {:?} {said}", case.name, output.status));
            }
        }
        assert!(tame.is_empty(), "these do nothing even outside of the sandbox:\n{}", tame.join("\n"));
        // The doors were knocked at; that was us.
        while self.tcp.accept().is_ok() {}
        while self.udp.recv(&mut [0; 16]).is_ok() {}
        while self.unix.accept().is_ok() {}
        while self.hidden.accept().is_ok() {}
        assert!(!marked(&self.scratch.path().join("drop"), &self.mark()).is_empty(), "no file was written");
    }

    /// Shows that cheats do fool a judge that compiles candidate and checks as one and reads the exit code.
    pub(super) fn fooled(&self, cases: &[Case]) {
        let mut honest = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let folder = self.scratch.path().join(format!("naive-{number}"));
            fs::create_dir(&folder).unwrap();
            let checks = match case.spec {
                For::Point => "assert_eq!(mirror(Point { x: 1, y: 2 }), Point { x: -1, y: 2 });",
                For::Secret => "assert_eq!(recall(1), \"zq-expected-8fd1c0\");",
                _ => "assert_eq!(double(2), 4); assert_eq!(double(5), 10); assert_eq!(double(-21), -42);",
            };
            let program = self.compile_plainly(&folder, &format!("{}\nfn main() {{ {checks} }}\n", self.text(case)));
            let output = Command::new(program).stdin(Stdio::null()).output().unwrap();
            if !output.status.success() {
                honest.push(format!("{}: {:?}", case.name, output));
            }
        }
        assert!(honest.is_empty(), "these fool nobody:\n{}", honest.join("\n"));
    }

    fn compile_plainly(&self, folder: &Path, main: &str) -> PathBuf {
        fs::write(folder.join("main.rs"), main).unwrap();
        let toolchain = self.validator.as_ref().expect("it is there until the trap is closed").toolchain();
        let program = folder.join("program");
        let mut rustc = Command::new(&toolchain.rustc);
        rustc.args([
            "--edition=2021",
            "-Awarnings",
            "-Coverflow-checks=on",
            "--crate-type=bin",
            "--crate-name=program",
        ]);
        let output = rustc.arg("-o").arg(&program).arg(folder.join("main.rs")).output().unwrap();
        assert!(output.status.success(), "{}\n{main}", String::from_utf8_lossy(&output.stderr));
        program
    }

    /// Looks whether anything leaked, lingers or was harmed, and fails with whatever is wrong.
    pub(super) fn close(mut self, mut wrong: Vec<String>) {
        self.validator = None;
        let (doors, scratch) = (["TCP", "UDP", "UNIX", "abstract UNIX"], self.scratch.path());
        let knocks = [
            self.tcp.accept().is_ok(),
            self.udp.recv(&mut [0; 16]).is_ok(),
            self.unix.accept().is_ok(),
            self.hidden.accept().is_ok(),
        ];
        for (door, _) in doors.iter().zip(knocks).filter(|(_, knocked)| *knocked) {
            wrong.push(format!("someone reached the {door} socket"));
        }
        for folder in [scratch.join("drop"), scratch.join("work")] {
            for entry in fs::read_dir(&folder).unwrap() {
                wrong.push(format!("left behind: {}", entry.unwrap().path().display()));
            }
        }
        let mark = self.mark();
        let strays = marked(&scratch.join("drop"), &mark)
            .into_iter()
            .chain(COMMON.iter().flat_map(|at| marked(Path::new(at), &mark)));
        wrong.extend(strays.map(|path| format!("written: {}", path.display())));
        if fs::read_to_string(scratch.join("canary.txt")).ok().as_ref() != Some(&self.secret) {
            wrong.push("the canary was harmed".into());
        }
        wrong.extend(lingering(scratch).into_iter().map(|process| format!("lingers: {process}")));
        // Other tests share the process where there is no nextest.
        if std::env::var_os("NEXTEST").is_some() && descriptors() > self.descriptors {
            wrong.push(format!("{} descriptors were open, now {}", self.descriptors, descriptors()));
        }
        assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// The folder in which the validator works.
    pub(super) fn work(&self) -> PathBuf {
        self.scratch.path().join("work")
    }
}

/// A validator with limits that attacks reach soon.
pub(super) fn validator(work: &Path) -> Validator {
    let seconds = Duration::from_secs;
    let compile = Limits { cpu: seconds(4), wall: seconds(40), memory: 3 << 29, ..Limits::COMPILE };
    let run = Limits { cpu: seconds(2), wall: seconds(5), output: 1 << 20, ..Limits::RUN };
    Validator::new(Toolchain::find(None).unwrap(), cache(), work).offline(true).afresh(true).limits(compile, run)
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("validate-cache")
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

fn random() -> u128 {
    use std::hash::{BuildHasher as _, RandomState};
    u128::from(RandomState::new().hash_one(0))
}

fn indented(text: &str) -> String {
    text.lines().take(12).map(|line| format!("        {line}\n")).collect()
}

/// The marked entries of a folder.
fn marked(folder: &Path, mark: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.display().to_string().contains(mark)).collect()
}

/// Open descriptors of this process.
pub(super) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Processes that have to do with a folder by program, working directory, words or files, and our own children.
pub(super) fn lingering(folder: &Path) -> Vec<String> {
    let (own, folder) = (std::process::id(), folder.as_os_str().as_bytes());
    let contains = |text: &[u8]| text.windows(folder.len()).any(|part| part == folder);
    let is_nextest = std::env::var_os("NEXTEST").is_some();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if pid == own {
            continue;
        }
        let linked = |name: &str| fs::read_link(entry.path().join(name)).ok();
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut links = ["exe", "cwd"]
            .into_iter()
            .filter_map(linked)
            .chain(files.filter_map(|file| fs::read_link(file.path()).ok()));
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let status = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = status.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        let is_child = is_nextest && parent == Some(own);
        if is_child || contains(&words) || links.any(|link| contains(link.as_os_str().as_bytes())) {
            found.push(format!("{pid} {} {}", String::from_utf8_lossy(&words).replace('\0', " "), status.trim()));
        }
    }
    found
}
