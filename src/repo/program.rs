//! The git program, for what only git itself does: signing, and formats of the index that libgit2 does not write.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use git2::{Oid, Signature, Tree};

use super::{Repo, RepoError};

/// How long signing may take: someone may have to touch a key or type a passphrase.
const SIGNING_WAIT: Duration = Duration::from_secs(120);

impl Repo {
    pub(super) fn signs(&self) -> bool {
        self.config_bool("commit.gpgsign")
    }

    /// Has git itself make the commit, since it knows the user's keys, agents and formats.
    pub(super) fn signed_commit(
        &self,
        author: &Signature<'_>,
        committer: &Signature<'_>,
        message: &str,
        tree: &Tree<'_>,
        parents: &[&git2::Commit<'_>],
    ) -> Result<Oid, RepoError> {
        let mut command = self.git_command();
        command.args(["commit-tree", "-S", "-F", "-"]).arg(tree.id().to_string());
        for parent in parents {
            command.arg("-p").arg(parent.id().to_string());
        }
        for (role, person) in [("AUTHOR", author), ("COMMITTER", committer)] {
            let when = person.when();
            let (sign, offset) = (when.sign(), when.offset_minutes().abs());
            command
                .env(format!("GIT_{role}_NAME"), person.name().unwrap_or_default())
                .env(format!("GIT_{role}_EMAIL"), person.email().unwrap_or_default())
                .env(
                    format!("GIT_{role}_DATE"),
                    format!("@{} {sign}{:02}{:02}", when.seconds(), offset / 60, offset % 60),
                );
        }
        let output = run(command, message.as_bytes(), SIGNING_WAIT).map_err(RepoError::Signing)?;
        Oid::from_str(output.trim()).map_err(|_| RepoError::Signing("git printed no commit".to_owned()))
    }

    /// git, at work on this repository and no other.
    pub(super) fn git_command(&self) -> Command {
        let mut command = Command::new("git");
        // Set where llmc runs inside of a git hook, and then about that hook's commit.
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "GIT_COMMON_DIR",
            "GIT_NAMESPACE",
            "GIT_PREFIX",
        ] {
            command.env_remove(name);
        }
        command.arg("--git-dir").arg(self.git.path()).arg("--work-tree").arg(&self.workdir).current_dir(&self.workdir);
        command
    }
}

/// Runs `command` on `input` for at most `limit`; its standard output, or what went wrong in one line.
pub(super) fn run(mut command: Command, input: &[u8], limit: Duration) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "the program `git` is not installed".to_owned(),
        _ => format!("`git` can't be started: {error}"),
    })?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that does not read is one that fails; its own words say why.
    let _ = stdin.write_all(input);
    drop(stdin);
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`git` did not end within {} s", limit.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let read = |stream: &mut dyn io::Read| {
        let mut bytes = Vec::new();
        let _ = stream.take(64 << 10).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if status.success() {
        return Ok(child.stdout.as_mut().map(|stream| read(stream)).unwrap_or_default());
    }
    let words = child.stderr.as_mut().map(|stream| read(stream)).unwrap_or_default();
    let line = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    Err(if line.is_empty() { format!("`git` ended with {status}") } else { line })
}
