//! Errors as users meet them: an exit code, a chain of causes, and hints.
//!
//! Stages have small errors of their own; this module alone says what each means for a user. Nothing here prints.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use crate::freeze::FreezeError;
use crate::ledger::LedgerError;
use crate::model::ModelError;
use crate::prompt::PromptError;
use crate::proposal::ProposalError;
use crate::repo::RepoError;
use crate::sandbox::SandboxError;
use crate::sign::SignError;
use crate::spec::Diagnostics;
use crate::toolchain::ToolchainError;
use crate::validate::ValidateError;
use crate::workspace::WorkspaceError;

/// What a user does about an error, and the process's exit code. docs/exit-codes.md is the list for users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or up to date.
    Done = 0,
    /// The command line or the settings can't be used.
    Usage = 1,
    /// A spec is invalid.
    Spec = 2,
    /// No candidate passed.
    NoCandidate = 3,
    /// The budget or the time is spent.
    Budget = 4,
    /// The model's provider failed.
    Provider = 5,
    /// What is committed is not what it should be.
    Difference = 6,
    /// A statistical test failed, or a limit on what was measured was not kept.
    Test = 7,
    /// A statistical test was not decided within what it may take.
    Inconclusive = 8,
    /// A bug in llmc, or a machine that can't do what llmc needs.
    Internal = 70,
    /// Ctrl-C.
    Interrupted = 130,
}

/// An error for a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// The process's exit code.
    pub exit: ExitCode,
    /// What went wrong: one sentence, lower case, naming the thing.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Mistakes in specs that explain it.
    pub mistakes: Vec<Diagnostics>,
}

impl Error {
    /// An error without a cause or a hint.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hints: Vec::new(), mistakes: Vec::new() }
    }

    /// An invalid spec.
    pub fn spec(mistakes: Vec<Diagnostics>) -> Self {
        Self { mistakes, ..Self::new(ExitCode::Spec, "a spec is invalid") }
    }

    /// The user pressed Ctrl-C.
    pub fn interrupted() -> Self {
        Self::new(ExitCode::Interrupted, "interrupted: nothing half-done was left behind")
    }

    /// Adds what a person can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the cause, and what caused that.
    pub fn cause(mut self, cause: impl StdError) -> Self {
        self.causes.push(cause.to_string());
        let mut source = cause.source();
        while let Some(cause) = source {
            self.causes.push(cause.to_string());
            source = cause.source();
        }
        self
    }

    /// An error of a stage: its message, then its causes.
    fn of(exit: ExitCode, error: &(dyn StdError + 'static)) -> Self {
        let mut own = Self::new(exit, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            own.causes.push(cause.to_string());
            source = cause.source();
        }
        own
    }

    /// As a person reads it; mistakes in specs are rendered apart.
    pub fn render(&self, color: bool) -> String {
        let paint =
            |code: &str, text: &str| if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
        let mut text = format!("{}: {}", paint("1;31", "error"), self.message);
        for cause in &self.causes {
            let _ = write!(text, "\n  caused by: {cause}");
        }
        for hint in &self.hints {
            let _ = write!(text, "\n{}: {hint}", paint("1;36", "hint"));
        }
        text
    }
}

/// The message, why, and what can be done, on lines of their own; mistakes in files are only counted.
impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(formatter, "\n  caused by: {cause}"))?;
        let mistakes = self.mistakes.iter().flat_map(|file| &file.list).count();
        if mistakes > 0 {
            write!(formatter, "\n  mistakes: {mistakes}")?;
        }
        self.hints.iter().try_for_each(|hint| write!(formatter, "\nhint: {hint}"))
    }
}

impl StdError for Error {}

impl From<WorkspaceError> for Error {
    fn from(error: WorkspaceError) -> Self {
        let own = Self::of(ExitCode::Usage, &error);
        match error {
            WorkspaceError::NotFound { .. } => own.hint("`llmc init` makes one here; `-C DIR` works in another folder"),
            WorkspaceError::Io { .. } | WorkspaceError::NotText(_) | WorkspaceError::Outside { .. } => own,
        }
    }
}

impl From<PromptError> for Error {
    fn from(error: PromptError) -> Self {
        Self::of(ExitCode::Usage, &error)
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        let exit = match &error {
            ModelError::Settings(_) | ModelError::Replay(_) => ExitCode::Usage,
            ModelError::Budget { .. } => ExitCode::Budget,
            ModelError::Unrecorded(_) => ExitCode::Internal,
            _ => ExitCode::Provider,
        };
        let own = Self::of(exit, &error);
        match error.hint() {
            Some(hint) => own.hint(hint),
            None => own,
        }
    }
}

impl From<ToolchainError> for Error {
    fn from(error: ToolchainError) -> Self {
        Self::of(ExitCode::Internal, &error).hint("llmc compiles what it samples: install Rust with rustup")
    }
}

impl From<SandboxError> for Error {
    fn from(error: SandboxError) -> Self {
        let own = Self::of(ExitCode::Internal, &error);
        match error {
            SandboxError::Unavailable(_) => own.hint(
                "`llmc doctor` shows what holds here; on a machine that has nothing to lose, `--unsandboxed` does without",
            ),
            SandboxError::Start { .. } | SandboxError::Lost { .. } => own,
        }
    }
}

impl From<ValidateError> for Error {
    fn from(error: ValidateError) -> Self {
        Self::of(ExitCode::Internal, &error)
    }
}

impl From<FreezeError> for Error {
    fn from(error: FreezeError) -> Self {
        let exit = match &error {
            FreezeError::ReservedName(_) | FreezeError::Conflict { .. } => ExitCode::Spec,
            _ => ExitCode::Internal,
        };
        Self::of(exit, &error)
    }
}

impl From<ProposalError> for Error {
    fn from(error: ProposalError) -> Self {
        let exit = match &error {
            ProposalError::Broken { .. } | ProposalError::Newer { .. } => ExitCode::Difference,
            ProposalError::LeadsOut => ExitCode::Usage,
            _ => ExitCode::Internal,
        };
        let own = Self::of(exit, &error);
        match error {
            ProposalError::Broken { name, .. } => own.hint(format!("`llmc reject {name}` removes it")),
            ProposalError::Newer { .. } => own.hint("update llmc"),
            ProposalError::LeadsOut => own.hint("replace the link by a folder, or remove it"),
            _ => own,
        }
    }
}

impl From<RepoError> for Error {
    fn from(error: RepoError) -> Self {
        let hint = error.hint();
        let own = Self::of(ExitCode::Usage, &error);
        match hint {
            Some(hint) => own.hint(hint),
            None => own,
        }
    }
}

impl From<SignError> for Error {
    fn from(error: SignError) -> Self {
        Self::of(ExitCode::Usage, &error)
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        let exit = match &error {
            LedgerError::Newer { .. } | LedgerError::Older | LedgerError::Foreign | LedgerError::ReadOnly => {
                ExitCode::Usage
            }
            LedgerError::Damaged(_) | LedgerError::Sqlite { .. } | LedgerError::Io { .. } => ExitCode::Internal,
        };
        let own = Self::of(exit, &error);
        match error.hint() {
            Some(hint) => own.hint(hint),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_what_why_and_what_to_do() {
        let disk = std::io::Error::other("no space left on device");
        let error =
            Error::new(ExitCode::Internal, "failed to write `generated/src/slug.rs`").cause(disk).hint("make room");
        assert_eq!(
            error.render(false),
            "error: failed to write `generated/src/slug.rs`\n  caused by: no space left on device\nhint: make room"
        );
    }

    #[test]
    fn every_exit_code_is_documented() {
        let docs = include_str!("../docs/exit-codes.md");
        for code in [
            ExitCode::Done,
            ExitCode::Usage,
            ExitCode::Spec,
            ExitCode::NoCandidate,
            ExitCode::Budget,
            ExitCode::Provider,
            ExitCode::Difference,
            ExitCode::Test,
            ExitCode::Inconclusive,
            ExitCode::Internal,
            ExitCode::Interrupted,
        ] {
            assert!(docs.contains(&format!("| {} |", code as u8)), "{code:?}");
        }
    }
}
