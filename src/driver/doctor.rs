//! `llmc doctor`: which layers of the sandbox hold on this machine, found out by trying to break each.
//!
//! A small program is compiled and run as candidates are; it tries what no candidate may do. That also shows that
//! compiling and running work at all.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ExitCode};
use crate::options::Options;
use crate::sandbox::{self, Ending, Finished, Input, Job, Limits, Mode, Role, SandboxError};
use crate::spec::Profile;
use crate::toolchain::{Compile, CrateType, Toolchain};

/// What is compiled and run.
const PROBE: &str = include_str!("doctor/probe.rs");

/// One thing that doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to: `tools`, or the process that is held (`run`, `compile`) and by what, e.g. `run: files`.
    pub layer: String,
    /// What was tried.
    pub attempt: String,
    /// Whether all is well.
    pub held: bool,
    /// What came of it.
    pub found: String,
}

/// What a probe that is held ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It works: what candidates need.
    Works,
    /// It is told no, or killed for asking.
    Refused,
    /// This, exactly.
    Ends(Ending),
}

/// Looks at everything, and tells each finding at once. Says whether all is well.
///
/// # Errors
/// [`Error`], when no private folder can be made.
pub fn doctor(options: &Options, mut tell: impl FnMut(&Finding)) -> Result<bool, Error> {
    if options.unsandboxed {
        sandbox::set_mode(Mode::Off);
    }
    let mut all = true;
    let mut tell = |finding: Finding| {
        all &= finding.held;
        tell(&finding);
    };
    let toolchain = tools(options, &mut tell);
    if let Some(toolchain) = toolchain {
        // Folders that one can't enter would hold by themselves.
        let folder = tempfile::Builder::new()
            .prefix("doctor-")
            .tempdir_in(&options.places.temp)
            .map_err(|error| Error::new(ExitCode::Internal, "failed to make a private folder").cause(error))?;
        probes(&toolchain, folder.path(), options.places.home.as_deref(), &mut tell)
            .map_err(|error| Error::new(ExitCode::Internal, "failed to set up the probes").cause(error))?;
    }
    Ok(all)
}

/// The programs and folders that llmc needs.
fn tools(options: &Options, tell: &mut impl FnMut(Finding)) -> Option<Toolchain> {
    let mut say = |attempt: &str, result: Result<String, String>| {
        let (held, found) = match result {
            Ok(found) => (true, found),
            Err(found) => (false, found),
        };
        tell(Finding { layer: "tools".into(), attempt: attempt.into(), held, found });
    };
    let toolchain = Toolchain::find(None);
    match &toolchain {
        Ok(toolchain) => {
            say("rustc", Ok(format!("{}, {}", toolchain.version, toolchain.rustc.display())));
            say("linker", Ok(toolchain.linker.display().to_string()));
        }
        Err(error) => say("rustc and linker", Err(Error::new(ExitCode::Internal, "").cause(error).causes.join(": "))),
    }
    let git = Command::new("git").arg("--version").stdin(Stdio::null()).output();
    say(
        "git",
        match git {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            Ok(output) => Err(format!("`git --version` failed: {}", output.status)),
            Err(error) => Err(format!("`git` can't be run: {error}")),
        },
    );
    for (name, folder) in [("cache folder", &options.places.cache), ("temp folder", &options.places.temp)] {
        let made = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let place = folder.display();
        say(name, made.map(|_| place.to_string()).map_err(|error| format!("`{place}` can't be written: {error}")));
    }
    say(
        "sandbox",
        match (sandbox::mode(), sandbox::layers().missing()) {
            (Mode::Off, _) => Err(format!("OFF, as was asked; this machine has: {}", sandbox::layers())),
            (Mode::Strict, None) => Ok(sandbox::layers().to_string()),
            (Mode::Strict, Some(missing)) => Err(missing),
        },
    );
    toolchain.ok()
}

/// Tries to break each layer.
fn probes(
    toolchain: &Toolchain,
    folder: &Path,
    home: Option<&Path>,
    tell: &mut impl FnMut(Finding),
) -> std::io::Result<()> {
    // What is tried is there, and open to all: else it would fail by itself.
    open_to_all(folder)?;
    let at = |name: &str| folder.join(name);
    let secret = at("secret");
    fs::write(&secret, "x")?;
    open_to_all(&secret)?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?.to_string();
    let _unix = UnixListener::bind(at("socket"))?;
    open_to_all(&at("socket"))?;
    let own = std::process::id().to_string();
    let home = home.and_then(file_in);

    let built = compile(toolchain, &at("probe"), PROBE, CrateType::Bin);
    let program = match built {
        Ok((_, Some(program))) => program,
        Ok((said, None)) => {
            tell(finding("compile: work", "a program is compiled and linked", false, said));
            return Ok(());
        }
        Err(error) => {
            tell(finding("compile: work", "a program is compiled and linked", false, error.to_string()));
            return Ok(());
        }
    };
    tell(finding("compile: work", "a program is compiled and linked", true, "done".into()));

    let text = |path: &Path| path.display().to_string();
    use Expected::{Ends, Refused, Works};
    let mut table = vec![
        ("run: work", "an honest program runs", "work", String::new(), Works),
        ("run: files", "read /etc/passwd", "read", "/etc/passwd".into(), Refused),
        ("run: files", "read /proc/self/environ", "read", "/proc/self/environ".into(), Refused),
        ("run: files", "read a file that anyone may read", "read", text(&secret), Refused),
        ("run: files", "write a file that anyone may write", "write", text(&secret), Refused),
        ("run: files", "make a file", "write", text(&at("new")), Refused),
        ("run: files", "change a file's mode", "chmod", text(&secret), Refused),
        ("run: network", "connect by TCP", "tcp", address.clone(), Refused),
        ("run: network", "open a UDP socket", "udp", String::new(), Refused),
        ("run: network", "connect to a UNIX socket", "unix", text(&at("socket")), Refused),
        ("run: network", "open a netlink socket", "netlink", String::new(), Refused),
        ("run: processes", "fork", "fork", String::new(), Refused),
        ("run: processes", "execute a program", "execute", String::new(), Refused),
        ("run: processes", "send llmc a signal", "signal", own.clone(), Refused),
        ("run: processes", "trace llmc", "trace", own.clone(), Refused),
        ("run: environment", "see a variable", "environment", String::new(), Refused),
        ("run: limits", "take 1 GiB of memory", "memory", "1024".into(), Ends(Ending::Signaled(libc::SIGABRT))),
        ("run: limits", "start 10,000 threads", "threads", "10000".into(), Refused),
        ("run: limits", "compute without end", "compute", String::new(), Ends(Ending::CpuTime)),
        ("run: limits", "sleep without end", "sleep", String::new(), Ends(Ending::WallTime)),
        ("run: limits", "print without end", "print", String::new(), Ends(Ending::Flood)),
        ("compile: files", "read /etc/passwd", "read", "/etc/passwd".into(), Refused),
        ("compile: files", "write a file that anyone may write", "write", text(&secret), Refused),
        ("compile: network", "connect by TCP", "tcp", address, Refused),
        ("compile: network", "open a UDP socket", "udp", String::new(), Refused),
        ("compile: processes", "send llmc a signal", "signal", own.clone(), Refused),
        ("compile: processes", "trace llmc", "trace", own, Refused),
        ("compile: environment", "see a variable", "environment", String::new(), Refused),
        ("compile: limits", "compute without end", "compute", String::new(), Ends(Ending::CpuTime)),
    ];
    if let Some(file) = home {
        table.insert(3, ("run: files", "read a file of your home folder", "read", text(&file), Refused));
        let compile = table.iter().position(|(layer, ..)| *layer == "compile: files").expect("there is one");
        table.insert(compile, ("compile: files", "read a file of your home folder", "read", text(&file), Refused));
    }
    let source = "pub const SECRET: &str = include_str!(\"/etc/passwd\");";
    let (held, found) = match compile(toolchain, &at("include"), source, CrateType::Rlib) {
        Ok((said, built)) => {
            let told = built.is_some() || said.contains("root:");
            (!told, if told { "it worked" } else { "refused" }.to_owned())
        }
        Err(error) => (false, error.to_string()),
    };
    tell(finding("compile: files", "include_str! of /etc/passwd", held, found));
    table.sort_by_key(|(layer, ..)| layer.starts_with("run"));
    for (layer, attempt, what, object, expected) in table {
        let role = if layer.starts_with("run") { Role::Run } else { Role::Compile };
        let (held, found) = outcome(sandbox::run(&job(&program, role, what, &object, expected)), expected);
        tell(finding(layer, attempt, held, found));
    }
    Ok(())
}

fn finding(layer: &str, attempt: &str, held: bool, found: String) -> Finding {
    Finding { layer: layer.to_owned(), attempt: attempt.to_owned(), held, found }
}

/// The probe's process: limits are a candidate's, but for time, of which only what is waited for in vain is cut.
fn job(program: &Path, role: Role, what: &str, object: &str, expected: Expected) -> Job {
    let short = Duration::from_millis(300);
    let limits = match expected {
        Expected::Ends(Ending::CpuTime) => Limits { cpu: short, ..Limits::RUN },
        Expected::Ends(Ending::WallTime) => Limits { wall: short, ..Limits::RUN },
        _ => Limits::RUN,
    };
    Job {
        role,
        program: program.to_owned(),
        arguments: vec![what.into(), object.into()],
        environment: Vec::new(),
        directory: "/".into(),
        readable: Vec::new(),
        writable: Vec::new(),
        input: Input::None,
        limits,
    }
}

/// Whether it held, and what to say of it.
fn outcome(result: Result<Finished, SandboxError>, expected: Expected) -> (bool, String) {
    let finished = match result {
        Ok(finished) => finished,
        Err(error) => return (false, format!("not tried: {error}")),
    };
    let held = match expected {
        Expected::Works => finished.ending == Ending::Exited(0),
        Expected::Refused => matches!(finished.ending, Ending::Forbidden | Ending::Exited(1)),
        Expected::Ends(ending) => finished.ending == ending,
    };
    let found = match finished.ending {
        Ending::Exited(0) => "it worked".to_owned(),
        Ending::Exited(1) => "refused".to_owned(),
        Ending::Exited(code) => {
            format!("exit code {code}: {}", String::from_utf8_lossy(&finished.stderr).trim())
        }
        Ending::Forbidden => "killed for trying".to_owned(),
        Ending::CpuTime => "killed at its CPU time".to_owned(),
        Ending::WallTime => "killed at its wall time".to_owned(),
        Ending::Flood => "killed at its limit of output".to_owned(),
        Ending::Signaled(libc::SIGABRT) => "ended at its limit of memory".to_owned(),
        Ending::Signaled(signal) => format!("ended by signal {signal}"),
    };
    (held, found)
}

/// What rustc says, and what it built in a folder of its own.
fn compile(
    toolchain: &Toolchain,
    folder: &Path,
    source: &str,
    crate_type: CrateType,
) -> Result<(String, Option<PathBuf>), SandboxError> {
    let (root, out) = (folder.join("src/probe.rs"), folder.join("out"));
    let made = fs::create_dir_all(folder.join("src")).and_then(|()| fs::create_dir_all(&out));
    made.and_then(|()| fs::write(&root, source))
        .map_err(|source| SandboxError::Start { program: "rustc".to_owned(), source })?;
    let compiled = toolchain.compile(&Compile {
        crate_name: "probe".to_owned(),
        crate_type,
        root,
        out,
        externs: Vec::new(),
        search: Vec::new(),
        metadata_only: false,
        forbid_unsafe: false,
        profile: Profile::Debug,
        optimised: false,
        shown_as: Vec::new(),
        limits: Limits::COMPILE,
    })?;
    let said = compiled.diagnostics.iter().map(|one| one.rendered.as_str()).chain([compiled.other.as_str()]);
    Ok((said.collect::<Vec<_>>().join("\n").trim().to_owned(), compiled.artifact))
}

/// A file that its owner may read.
fn file_in(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.filter(|path| path.is_file()).find(|path| fs::File::open(path).is_ok())
}

fn open_to_all(path: &Path) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(ending: Ending) -> Result<Finished, SandboxError> {
        let nothing = Vec::new;
        let (cpu, wall) = (Duration::ZERO, Duration::ZERO);
        Ok(Finished { ending, stdout: nothing(), stderr: nothing(), truncated: false, cpu, wall })
    }

    #[test]
    fn only_the_right_end_counts_as_held() {
        let held = |ending, expected| outcome(ended(ending), expected).0;
        assert!(held(Ending::Exited(1), Expected::Refused) && held(Ending::Forbidden, Expected::Refused));
        assert!(!held(Ending::Exited(0), Expected::Refused));
        // It never came to try.
        assert!(!held(Ending::Exited(101), Expected::Refused) && !held(Ending::WallTime, Expected::Refused));
        assert!(held(Ending::Exited(0), Expected::Works) && !held(Ending::Exited(1), Expected::Works));
        let flood = Expected::Ends(Ending::Flood);
        assert!(held(Ending::Flood, flood) && !held(Ending::Exited(0), flood) && !held(Ending::WallTime, flood));
        let (held, found) = outcome(Err(SandboxError::Unavailable("it lacks x".into())), Expected::Refused);
        assert_eq!((held, found.as_str()), (false, "not tried: no sandbox on this machine: it lacks x"));
    }
}
