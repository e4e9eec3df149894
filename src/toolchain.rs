//! rustc: where it is, how it is called, and what it says.
//!
//! Always the toolchain's own `rustc`, never the rustup shim and never cargo, and always inside the sandbox; only the
//! questions of [`Toolchain::find`] are asked outside it, and they touch no candidate.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::sandbox::{self, Ending, Input, Job, Limits, Role, SandboxError};
use crate::spec::Profile;

/// Diagnostics kept of one compilation.
const MAX_DIAGNOSTICS: usize = 500;
/// Bytes kept of each text in a diagnostic.
const MAX_TEXT: usize = 16 << 10;
/// Spans kept of each diagnostic, and edits of what it suggests.
const MAX_SPANS: usize = 16;

/// The Rust toolchain that compiles candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Absolute path of the real `rustc`.
    pub rustc: PathBuf,
    /// Its sysroot.
    pub sysroot: PathBuf,
    /// `rustc -V`, e.g. `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The host triple.
    pub host: String,
    /// Absolute path of the linker driver (`cc`).
    pub linker: PathBuf,
}

/// What to compile.
#[derive(Debug, Clone)]
pub struct Compile {
    /// `--crate-name`.
    pub crate_name: String,
    /// `--crate-type`.
    pub crate_type: CrateType,
    /// The crate's root file. All of its folder can be read, and nothing else of the workspace.
    pub root: PathBuf,
    /// Where the result goes, and temporary files; the only folder that can be written.
    pub out: PathBuf,
    /// Other crates: name and rlib.
    pub externs: Vec<(String, PathBuf)>,
    /// `-L dependency=` folders.
    pub search: Vec<PathBuf>,
    /// Whether to stop after type and borrow checks (`--emit=metadata`).
    pub metadata_only: bool,
    /// Whether the compiler rejects unsafe code (`-F unsafe-code`).
    pub forbid_unsafe: bool,
    /// How the code is compiled.
    pub profile: Profile,
    /// Whether a debug build is optimised a little, every check of it in place: for what runs more often than it is built.
    pub optimised: bool,
    /// What the names of files in these folders begin with in messages and in the code itself, in place of the folder;
    /// the last one that fits counts.
    pub shown_as: Vec<(PathBuf, String)>,
    /// Limits on the compiler.
    pub limits: Limits,
}

/// `--crate-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrateType {
    /// A library.
    Rlib,
    /// A program.
    Bin,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// How rustc ended; [`Ending::Exited`] with 0 is success.
    pub ending: Ending,
    /// What it said, in order.
    pub diagnostics: Vec<RustcDiagnostic>,
    /// The file that was built, if it was.
    pub artifact: Option<PathBuf>,
    /// Standard error that was no JSON diagnostic (an ICE, a linker's words).
    pub other: String,
}

impl Compiled {
    /// Why nothing was built, in words: what rustc said and, where that is not all of it, how it ended. Never empty.
    pub fn why(&self) -> String {
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.level == "error");
        let mut said: Vec<&str> = errors.map(|diagnostic| diagnostic.rendered.trim_end()).take(3).collect();
        said.extend(Some(self.other.trim()).filter(|other| !other.is_empty()));
        let ended = match self.ending {
            Ending::Exited(0) => "rustc left no file behind".to_owned(),
            Ending::Exited(_) if !said.is_empty() => return said.join("\n"),
            Ending::Exited(code) => format!("rustc said nothing and ended with exit code {code}"),
            Ending::Signaled(signal) => format!("rustc died of signal {signal}"),
            Ending::CpuTime => "rustc used up its CPU time".to_owned(),
            Ending::WallTime => "rustc took too long; the machine may be very busy".to_owned(),
            Ending::Flood => "rustc wrote too much".to_owned(),
            Ending::Forbidden => "rustc made a system call that it may not make".to_owned(),
        };
        said.push(&ended);
        said.join("\n")
    }
}

/// One diagnostic of rustc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcDiagnostic {
    /// `error`, `warning`, …
    pub level: String,
    /// `E0425`, a lint's name, or nothing.
    pub code: Option<String>,
    /// The message's first line.
    pub message: String,
    /// As rustc would print it.
    pub rendered: String,
    /// The primary spans: file name, line and column (from 1), end line and end column.
    pub spans: Vec<RustcSpan>,
    /// The first change that rustc is sure of, if it is sure of one.
    pub fix: Option<RustcFix>,
}

/// A change to the source that rustc calls machine-applicable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcFix {
    /// What it is, e.g. ``consider borrowing here``.
    pub message: String,
    /// All of them, or none, are to be made.
    pub edits: Vec<RustcEdit>,
}

/// Text in the place of other text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcEdit {
    /// The file as given to rustc.
    pub file: String,
    /// The first byte that is replaced.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// What takes its place.
    pub text: String,
}

/// A place in a source file, as rustc names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcSpan {
    /// The file as given to rustc.
    pub file: String,
    /// First line, from 1.
    pub line: usize,
    /// First column, in characters, from 1.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// Column after the last character.
    pub end_column: usize,
    /// The label, if any.
    pub label: Option<String>,
}

/// Why there is no toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// A program could not be run.
    #[error("failed to run `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program ran and did not answer as rustc does.
    #[error("`{program}` gave no answer: {said}")]
    Answer {
        /// The program with its arguments.
        program: String,
        /// What it said instead.
        said: String,
    },
    /// There is no linker driver.
    #[error("found no C compiler `cc` to link with")]
    NoLinker,
}

impl Toolchain {
    /// Finds the toolchain behind `rustc`, or behind the `rustc` on PATH.
    ///
    /// Starts three short processes, so a build with nothing to do should not call it.
    ///
    /// # Errors
    /// [`ToolchainError`], when there is no rustc that answers or no linker.
    pub fn find(rustc: Option<&Path>) -> Result<Self, ToolchainError> {
        let asked = rustc.unwrap_or(Path::new("rustc"));
        // The shim of rustup answers for the toolchain that it would start.
        let (sysroot, verbose) = std::thread::scope(|scope| {
            let sysroot = scope.spawn(|| ask(asked.as_os_str(), &["--print", "sysroot"]));
            let verbose = ask(asked.as_os_str(), &["-vV"]);
            (sysroot.join().expect("asking does not panic"), verbose)
        });
        let (sysroot, verbose) = (PathBuf::from(sysroot?.trim_end()), verbose?);
        let rustc = sysroot.join("bin").join("rustc");
        let version = verbose.lines().next().unwrap_or_default().to_owned();
        let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
        let Some(host) = host.filter(|_| version.starts_with("rustc ")) else {
            return Err(ToolchainError::Answer { program: format!("{} -vV", asked.display()), said: clip(&verbose) });
        };
        Ok(Self { rustc, sysroot, version, host, linker: linker()? })
    }

    /// Compiles one crate inside the sandbox.
    ///
    /// # Errors
    /// [`SandboxError`], when rustc could not be started. That it failed, crashed or was killed is no error.
    pub fn compile(&self, compile: &Compile) -> Result<Compiled, SandboxError> {
        let finished = sandbox::run(&self.job(compile))?;
        let (mut diagnostics, mut other) =
            read_diagnostics(&String::from_utf8_lossy(&finished.stderr), finished.truncated);
        if !diagnostics.is_empty() || !other.is_empty() {
            let folders = self.folders(compile);
            let plain = |text: &mut String| *text = without_folders(text, &folders);
            plain(&mut other);
            for diagnostic in &mut diagnostics {
                cut_linker_arguments(diagnostic);
                plain(&mut diagnostic.message);
                plain(&mut diagnostic.rendered);
                diagnostic.spans.iter_mut().filter_map(|span| span.label.as_mut()).for_each(plain);
            }
        }
        let artifact = Some(compile.artifact()).filter(|path| finished.ending == Ending::Exited(0) && path.is_file());
        Ok(Compiled { ending: finished.ending, diagnostics, artifact, other })
    }

    /// What rustc or the linker may name of this machine, each with what is shown in its place; the longest first.
    ///
    /// `--remap-path-prefix` changes names of source files, but not what is quoted in a message.
    fn folders(&self, compile: &Compile) -> Vec<(String, String)> {
        let mut folders: Vec<(PathBuf, String)> =
            compile.shown_as.iter().map(|(folder, name)| (folder.clone(), name.clone())).collect();
        folders.push((self.sysroot.clone(), "/rust".into()));
        let libraries = compile
            .externs
            .iter()
            .filter_map(|(_, rlib)| rlib.parent())
            .chain(compile.search.iter().map(PathBuf::as_path));
        folders.extend(libraries.map(|folder| (folder.to_owned(), "/crates".into())));
        folders.push((compile.out.clone(), "/out".into()));
        folders.push((source_folder(&compile.root), "src".into()));
        // As rustc was told, and as the system calls them.
        let real = folders.iter().filter_map(|(folder, name)| Some((folder.canonicalize().ok()?, name.clone())));
        let real: Vec<_> = real.collect();
        folders.extend(real);
        let mut folders: Vec<(String, String)> =
            folders.into_iter().filter_map(|(folder, name)| Some((folder.to_str()?.to_owned(), name))).collect();
        folders.retain(|(folder, _)| folder.len() > 1);
        // A stable order: of two names for the same folder the first counts.
        folders.sort_by_key(|(folder, _)| std::cmp::Reverse(folder.len()));
        folders
    }

    /// The process that [`Toolchain::compile`] runs.
    fn job(&self, compile: &Compile) -> Job {
        let mut readable = vec![self.sysroot.join("bin"), self.sysroot.join("lib"), source_folder(&compile.root)];
        readable.extend(self.linker.parent().map(Path::to_owned));
        readable.extend(compile.externs.iter().map(|(_, rlib)| rlib.clone()));
        readable.extend(compile.search.iter().cloned());
        Job {
            role: Role::Compile,
            program: self.rustc.clone(),
            arguments: self.argv(compile),
            environment: [
                ("PATH", OsStr::new("/usr/bin:/bin")),
                ("LC_ALL", OsStr::new("C")),
                ("TMPDIR", compile.out.as_os_str()),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
            directory: compile.out.clone(),
            readable,
            writable: vec![compile.out.clone()],
            input: Input::None,
            limits: compile.limits,
        }
    }

    /// The arguments of rustc.
    ///
    /// Name and type of the crate are explicit, since attributes in the source could set them otherwise. Lints are never
    /// capped: that would silently undo `-F unsafe-code`.
    pub fn argv(&self, compile: &Compile) -> Vec<OsString> {
        let kind = match compile.crate_type {
            CrateType::Rlib => "rlib",
            CrateType::Bin => "bin",
        };
        let mut argv: Vec<OsString> = Vec::new();
        let mut push = |parts: &[&OsStr]| argv.push(parts.join(OsStr::new("")));
        let text = OsStr::new;
        push(&[compile.root.as_os_str()]);
        push(&[text("--edition=2021")]);
        push(&[text("--error-format=json")]);
        push(&[text("--crate-name="), text(&compile.crate_name)]);
        push(&[text("--crate-type="), text(kind)]);
        let emit = if compile.metadata_only { "--emit=metadata=" } else { "--emit=link=" };
        push(&[text(emit), compile.artifact().as_os_str()]);
        push(&[text("--sysroot="), self.sysroot.as_os_str()]);
        push(&[text("-Clinker="), self.linker.as_os_str()]);
        let (level, profile) = match (compile.profile, compile.optimised) {
            (Profile::Debug, false) => ("opt-level=0", DEBUG),
            (Profile::Debug, true) => ("opt-level=1", DEBUG),
            (Profile::Release, _) => ("opt-level=3", RELEASE),
        };
        for option in [level].iter().chain(profile).chain(CODEGEN) {
            push(&[text("-C"), text(option)]);
        }
        for (folder, name) in &compile.shown_as {
            push(&[text("--remap-path-prefix="), folder.as_os_str(), text("="), text(name)]);
        }
        // Warnings of generated code help nobody here, and take longer to write than to find.
        push(&[text("-Awarnings")]);
        if compile.forbid_unsafe {
            push(&[text("-Funsafe-code")]);
        }
        for folder in &compile.search {
            push(&[text("-Ldependency="), folder.as_os_str()]);
        }
        for (name, rlib) in &compile.externs {
            push(&[text("--extern="), text(name), text("="), rlib.as_os_str()]);
        }
        argv
    }
}

const DEBUG: &[&str] = &["overflow-checks=on", "debug-assertions=on"];
const RELEASE: &[&str] = &["overflow-checks=off", "debug-assertions=off"];
/// Of both profiles. Stripped, since the standard library's debug information would be linked in.
const CODEGEN: &[&str] = &["debuginfo=0", "strip=debuginfo", "panic=unwind", "codegen-units=1", "embed-bitcode=no"];

/// What rustc says of work that takes long: it is done before the code is known to be wrong.
const LONG_WORK: &str = "long_running_const_eval";

impl Compiled {
    /// Whether it was told what is wrong with the code: then it does not matter that rustc was stopped before its end.
    pub fn has_errors(&self) -> bool {
        let is_long = |error: &RustcDiagnostic| error.code.as_deref() == Some(LONG_WORK);
        let mut errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error"));
        errors.next().is_some_and(|error| !is_long(error))
    }
}

impl Compile {
    /// The file that is to be built.
    fn artifact(&self) -> PathBuf {
        self.out.join(match (self.metadata_only, self.crate_type) {
            (true, _) => format!("lib{}.rmeta", self.crate_name),
            (false, CrateType::Rlib) => format!("lib{}.rlib", self.crate_name),
            (false, CrateType::Bin) => self.crate_name.clone(),
        })
    }
}

fn source_folder(root: &Path) -> PathBuf {
    root.parent().unwrap_or(Path::new("/")).to_owned()
}

/// Absolute path of `cc`, as the shell finds it.
fn linker() -> Result<PathBuf, ToolchainError> {
    let usual = Path::new("/usr/bin/cc");
    if usual.is_file() {
        return Ok(usual.to_owned());
    }
    let found = ask(OsStr::new("/bin/sh"), &["-c", "command -v cc"]).map_err(|_| ToolchainError::NoLinker)?;
    Some(PathBuf::from(found.trim_end())).filter(|path| path.is_absolute()).ok_or(ToolchainError::NoLinker)
}

/// Standard output of a trusted program.
fn ask(program: &OsStr, arguments: &[&str]) -> Result<String, ToolchainError> {
    let name = program.to_string_lossy();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ToolchainError::Start { program: name.clone().into_owned(), source })?;
    match String::from_utf8(output.stdout) {
        Ok(text) if output.status.success() => Ok(text),
        _ => Err(ToolchainError::Answer {
            program: format!("{name} {}", arguments.join(" ")),
            said: clip(&String::from_utf8_lossy(&output.stderr)),
        }),
    }
}

/// Cuts a text at [`MAX_TEXT`].
fn clip(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

fn without_folders(text: &str, folders: &[(String, String)]) -> String {
    folders.iter().fold(text.to_owned(), |text, (folder, name)| match text.contains(folder.as_str()) {
        true => text.replace(folder.as_str(), name),
        false => text,
    })
}

/// Takes the linker's command out of a message that it failed: what the linker said is the point.
fn cut_linker_arguments(diagnostic: &mut RustcDiagnostic) {
    if !diagnostic.message.starts_with("linking with ") {
        return;
    }
    let is_command = |line: &str| {
        let note = line.trim_start().strip_prefix("= note:").map(str::trim_start).unwrap_or_default();
        note.starts_with('"') || note.starts_with("LC_ALL=") || note.starts_with("some arguments are omitted")
    };
    let lines: Vec<&str> = diagnostic.rendered.lines().filter(|line| !is_command(line)).collect();
    diagnostic.rendered = lines.join("\n");
}

/// Reads the JSON lines of rustc; the rest of its words come back apart.
///
/// Left out: the two notes that close every failure (`aborting due to …`, `for more information …`), which say nothing.
fn read_diagnostics(stderr: &str, truncated: bool) -> (Vec<RustcDiagnostic>, String) {
    let mut diagnostics = Vec::new();
    let mut other = String::new();
    for line in stderr.split_inclusive('\n') {
        let cut = truncated && !line.ends_with('\n');
        match serde_json::from_str::<Message>(line) {
            Ok(message) if message.says_nothing() || diagnostics.len() == MAX_DIAGNOSTICS => {}
            Ok(message) => diagnostics.push(message.into()),
            Err(_) if cut && line.starts_with('{') => {}
            Err(_) if other.len() + line.len() <= MAX_TEXT => other.push_str(line),
            Err(_) => {}
        }
    }
    (diagnostics, other)
}

/// A diagnostic as rustc writes it.
#[derive(Deserialize)]
struct Message {
    level: String,
    code: Option<Code>,
    message: String,
    rendered: Option<String>,
    spans: Vec<Span>,
    #[serde(default)]
    children: Vec<Child>,
}

/// A note or a suggestion below a diagnostic.
#[derive(Deserialize)]
struct Child {
    message: String,
    spans: Vec<Suggestion>,
}

#[derive(Deserialize)]
struct Suggestion {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    suggested_replacement: Option<String>,
    suggestion_applicability: Option<String>,
    /// Where a macro made it; then the place is the macro's.
    expansion: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    is_primary: bool,
    line_start: usize,
    column_start: usize,
    line_end: usize,
    column_end: usize,
    label: Option<String>,
}

impl Message {
    fn says_nothing(&self) -> bool {
        self.level == "failure-note" || self.spans.is_empty() && self.message.starts_with("aborting due to ")
    }
}

impl Child {
    /// The change that it suggests, where rustc is sure of all of it.
    fn fix(&self) -> Option<RustcFix> {
        let edit = |span: &Suggestion| {
            let sure = span.suggestion_applicability.as_deref() == Some("MachineApplicable");
            let text = span.suggested_replacement.clone().filter(|text| text.len() <= MAX_TEXT)?;
            let (file, start, end) = (span.file_name.clone(), span.byte_start, span.byte_end);
            (sure && span.expansion.is_none()).then_some(RustcEdit { file, start, end, text })
        };
        let edits: Option<Vec<RustcEdit>> = self.spans.iter().map(edit).collect();
        let edits = edits.filter(|edits| (1..=MAX_SPANS).contains(&edits.len()))?;
        Some(RustcFix { message: clip(&self.message), edits })
    }
}

impl From<Message> for RustcDiagnostic {
    fn from(message: Message) -> Self {
        let fix = message.children.iter().find_map(Child::fix);
        let spans = message.spans.into_iter().filter(|span| span.is_primary).take(MAX_SPANS);
        Self {
            level: message.level,
            code: message.code.map(|code| code.code),
            message: clip(&message.message),
            rendered: clip(message.rendered.as_deref().unwrap_or(&message.message)),
            spans: spans
                .map(|span| RustcSpan {
                    file: span.file_name,
                    line: span.line_start,
                    column: span.column_start,
                    end_line: span.line_end,
                    end_column: span.column_end,
                    label: span.label.as_deref().map(clip),
                })
                .collect(),
            fix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            rustc: "/rust/bin/rustc".into(),
            sysroot: "/rust".into(),
            version: "rustc 1.95.0".into(),
            host: "x86_64-unknown-linux-gnu".into(),
            linker: "/usr/bin/cc".into(),
        }
    }

    fn compile() -> Compile {
        Compile {
            crate_name: "candidate".into(),
            crate_type: CrateType::Rlib,
            root: "/work/src/candidate.rs".into(),
            out: "/work/out".into(),
            externs: vec![("regex".into(), "/deps/libregex.rlib".into())],
            search: vec!["/deps".into()],
            metadata_only: false,
            forbid_unsafe: true,
            profile: Profile::Debug,
            optimised: false,
            shown_as: vec![("/work".into(), "/shown".into())],
            limits: Limits::COMPILE,
        }
    }

    #[test]
    fn a_message_of_the_linker_is_cut_to_its_point() {
        let rendered = "error: linking with `cc` failed: exit status: 1\n  |\n  = note:  \"cc\" \"-m64\" \"/work/out/a.o\"\n  \
                        = note: some arguments are omitted. use `--verbose` to show all linker arguments\n  = note: ld: cannot find -lx\n";
        let mut diagnostic = RustcDiagnostic {
            level: "error".into(),
            code: None,
            message: "linking with `cc` failed: exit status: 1".into(),
            rendered: rendered.into(),
            spans: Vec::new(),
            fix: None,
        };
        cut_linker_arguments(&mut diagnostic);
        assert_eq!(
            diagnostic.rendered,
            "error: linking with `cc` failed: exit status: 1\n  |\n  = note: ld: cannot find -lx"
        );
    }

    #[test]
    fn why_nothing_was_built_is_always_said() {
        let diagnostic = RustcDiagnostic {
            level: "error".into(),
            code: None,
            message: "m".into(),
            rendered: "error: m\n".into(),
            spans: Vec::new(),
            fix: None,
        };
        let compiled = |ending, diagnostics: &[RustcDiagnostic], other: &str| {
            Compiled { ending, diagnostics: diagnostics.to_vec(), artifact: None, other: other.into() }.why()
        };
        let error = [diagnostic];
        assert_eq!(compiled(Ending::Exited(1), &error, ""), "error: m");
        assert_eq!(compiled(Ending::Exited(1), &error, "and more\n"), "error: m\nand more");
        assert_eq!(compiled(Ending::WallTime, &[], " \n"), "rustc took too long; the machine may be very busy");
        assert_eq!(compiled(Ending::Signaled(9), &error, ""), "error: m\nrustc died of signal 9");
        assert_eq!(compiled(Ending::Exited(101), &[], ""), "rustc said nothing and ended with exit code 101");
    }

    #[test]
    fn folders_are_shown_by_other_names_the_longest_first() {
        let folders = toolchain().folders(&compile());
        let text = "/work/out/x /work/src/candidate.rs /work/y /rust/lib/z /deps/libregex.rlib /elsewhere";
        assert_eq!(
            without_folders(text, &folders),
            "/out/x src/candidate.rs /shown/y /rust/lib/z /crates/libregex.rlib /elsewhere"
        );
    }

    #[test]
    fn the_arguments_of_rustc_leave_nothing_to_the_source() {
        let argv: Vec<_> = toolchain().argv(&compile()).into_iter().map(|word| word.into_string().unwrap()).collect();
        assert_eq!(
            argv.join(" "),
            "/work/src/candidate.rs --edition=2021 --error-format=json --crate-name=candidate --crate-type=rlib \
             --emit=link=/work/out/libcandidate.rlib --sysroot=/rust -Clinker=/usr/bin/cc -Copt-level=0 \
             -Coverflow-checks=on -Cdebug-assertions=on -Cdebuginfo=0 -Cstrip=debuginfo -Cpanic=unwind -Ccodegen-units=1 \
             -Cembed-bitcode=no --remap-path-prefix=/work=/shown -Awarnings -Funsafe-code -Ldependency=/deps --extern=regex=/deps/libregex.rlib"
        );
    }

    #[test]
    fn rustc_reads_its_sources_and_writes_its_output_only() {
        let job = toolchain().job(&compile());
        let readable: Vec<_> = job.readable.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(readable, ["/rust/bin", "/rust/lib", "/work/src", "/usr/bin", "/deps/libregex.rlib", "/deps"]);
        assert_eq!(job.writable, [PathBuf::from("/work/out")]);
        assert_eq!((job.role, job.environment.len()), (Role::Compile, 3));
    }

    #[test]
    fn words_that_are_no_diagnostic_are_kept_apart() {
        let error = r#"{"$message_type":"diagnostic","message":"m","code":null,"level":"error","spans":[],"children":[],"rendered":"r"}"#;
        let closing = error.replace("\"m\"", "\"aborting due to 1 previous error\"");
        let said = format!("{error}\nthread 'rustc' panicked\n{closing}\n{{\"message\": \"cut");
        let (diagnostics, other) = read_diagnostics(&said, true);
        assert_eq!(diagnostics.len(), 1);
        assert_eq!((diagnostics[0].rendered.as_str(), other.as_str()), ("r", "thread 'rustc' panicked\n"));
    }

    #[test]
    fn diagnostics_are_bounded_in_number_and_length() {
        let long = "é".repeat(MAX_TEXT);
        let error = format!(r#"{{"message":"{long}","code":null,"level":"error","spans":[],"rendered":null}}"#);
        let (diagnostics, _) = read_diagnostics(&format!("{error}\n").repeat(MAX_DIAGNOSTICS + 1), false);
        assert_eq!(diagnostics.len(), MAX_DIAGNOSTICS);
        assert!(diagnostics.iter().all(|diagnostic| diagnostic.rendered.len() <= MAX_TEXT));
        assert!(read_diagnostics(&"x\n".repeat(MAX_TEXT), false).1.len() <= MAX_TEXT);
    }

    #[test]
    fn a_compiler_that_is_not_there_is_named() {
        let error = Toolchain::find(Some(Path::new("/nonexistent/rustc"))).unwrap_err();
        assert_eq!(error.to_string(), "failed to run `/nonexistent/rustc`");
        let error = Toolchain::find(Some(Path::new("/bin/false"))).unwrap_err();
        assert_eq!(error.to_string(), "`/bin/false --print sysroot` gave no answer: ");
    }
}
