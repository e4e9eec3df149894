//! A workspace of its own for a test, and the real `llmc` run in it: own home, own git identity, nothing inherited.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A workspace in a temporary folder.
pub(crate) struct TestEnv {
    folder: tempfile::TempDir,
}

/// What a run of `llmc` came to.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The JSON events on standard output.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("every line is a JSON event")).collect()
    }

    /// The last `finished` event.
    pub(crate) fn finished(&self) -> Value {
        let found = self.events().into_iter().rfind(|event| event["event"] == "finished");
        found.unwrap_or_else(|| panic!("no finished event\n{self}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl TestEnv {
    /// An empty folder with a home beside it.
    pub(crate) fn empty() -> Self {
        let env = Self { folder: tempfile::tempdir().expect("there is a temp folder") };
        for folder in ["home", "work"] {
            std::fs::create_dir(env.folder.path().join(folder)).expect("the temp folder can be written");
        }
        env.write(
            "../home/.gitconfig",
            "[user]\n\tname = Tess\n\temail = tess@example.org\n[init]\n\tdefaultBranch = main\n",
        );
        env
    }

    /// A workspace in a git repository, with no spec yet.
    pub(crate) fn workspace() -> Self {
        let env = Self::empty();
        env.git(&["init", "-q"]);
        env.write("llmc.yaml", "");
        env
    }

    /// A workspace whose default model is `openai/test` on the server at `url`.
    pub(crate) fn with_server(url: &str) -> Self {
        let env = Self::workspace();
        env.write("llmc.yaml", &format!("model: openai/test\nproviders: {{ openai: {{ base_url: \"{url}/v1\" }} }}\n"));
        env
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    /// The environment of every command: the system's path and tools, and a home of its own.
    fn hermetic<'a>(&self, command: &'a mut Command, folder: &Path) -> &'a mut Command {
        let real_home = std::env::var("HOME").expect("tests have a home");
        let kept = |name: &str, below: &str| std::env::var(name).unwrap_or(format!("{real_home}/{below}"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
            .env("HOME", self.folder.path().join("home"))
            .env("CARGO_HOME", kept("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", kept("RUSTUP_HOME", ".rustup"))
            // Compiled runtimes and the model's file are the same for every test.
            .env("LLMC_CACHE", format!("{}/llmc", kept("XDG_CACHE_HOME", ".cache")))
            .env("NO_PROXY", "localhost,127.0.0.1")
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    /// `llmc` with these arguments, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llmc"));
        self.hermetic(&mut command, &self.root()).args(arguments);
        command
    }

    /// Another program in the same environment, not started yet.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.hermetic(&mut command, &self.root());
        command
    }

    pub(crate) fn llmc(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().expect("llmc can be started").into()
    }

    /// Any other program, which must succeed; its standard output.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str], folder: &str) -> String {
        let mut command = Command::new(program);
        self.hermetic(&mut command, &self.path(folder)).args(arguments);
        let run = Run::from(command.output().unwrap_or_else(|error| panic!("{program}: {error}")));
        assert_eq!(run.code, 0, "{program} {arguments:?}: {run}");
        run.stdout
    }

    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.run("git", arguments, ".")
    }

    /// The files of the last commit, sorted.
    pub(crate) fn committed(&self) -> Vec<String> {
        let shown = self.git(&["show", "--name-only", "--format=", "HEAD"]);
        shown.lines().map(str::to_owned).collect()
    }
}
