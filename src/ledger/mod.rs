//! The ledger: every sample that was drawn in this workspace and what was found about it, in `.llmc/ledger.db`.
//!
//! A sample is on the disk before anything is made of it, and is never drawn again while it is there. The only user
//! of SQLite. It knows what samples cost, and no cap.

mod account;
mod crossings;
mod file;
mod record;
mod requests;
mod schema;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode};

pub use account::{By, Mean, Old, Spending};
pub use crossings::{AuditRow, Filter, Keeper, MeanCall, RunSummary};
pub use file::FILE;
pub use record::{Earlier, Ended, Ending, Phase, Record, Recorded, Repair, Start, Stored};
pub use requests::{Put, Taken};

/// Why the ledger can't be used. The text names no folder: `.llmc` is in the workspace.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A later llmc made it, and this one does not know what it means.
    #[error("`.llmc/ledger.db` was written by a newer llmc: its format is {found}, and this llmc knows {known}")]
    Newer {
        /// The file's format.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// An earlier llmc made it, and it can't be written to be brought up to date.
    #[error(
        "`.llmc/ledger.db` was written by an older llmc, and can't be brought up to date where it can't be written"
    )]
    Older,
    /// Another program's database.
    #[error("`.llmc/ledger.db` is the database of another program")]
    Foreign,
    /// It can be read and not written.
    #[error("`.llmc/ledger.db` can't be written")]
    ReadOnly,
    /// SQLite looked at all of it and found this.
    #[error("`.llmc/ledger.db` is damaged: {0}")]
    Damaged(String),
    /// SQLite said no.
    #[error("failed to {action} `.llmc/ledger.db`")]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk said no.
    #[error("failed to {action} `.llmc/{file}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LedgerError {
    /// Turns an error of SQLite into one that says what was tried.
    fn while_doing(action: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { action, source }
    }

    /// Turns an error of the disk into one that says what was tried.
    fn io(action: &'static str, file: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { action, file, source }
    }

    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite { source, .. } => file::is_damage(source),
            _ => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Newer { .. } => Some(
                "nothing was changed; update llmc, or move the file elsewhere to begin a new ledger (the samples in it \
                 are then drawn again)",
            ),
            Self::Older | Self::ReadOnly => Some("make `.llmc` and the files in it writable"),
            Self::Foreign => Some("move it elsewhere: llmc keeps its own there"),
            Self::Damaged(_) => Some("the next build sets it aside and begins a new one; nothing is deleted"),
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Some("make room on the disk; what was stored before is safe"),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                    Some("make `.llmc` and the files in it writable")
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    Some("another program holds the ledger; try again when it has ended")
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Some("the next build sets it aside and begins a new one; nothing is deleted")
                }
                _ => None,
            },
            Self::Io { .. } => None,
        }
    }
}

/// The ledger of a workspace. Several processes may have it open.
#[derive(Debug)]
pub struct Ledger {
    local: PathBuf,
    connection: Mutex<Connection>,
    set_aside: Option<String>,
}

impl Ledger {
    /// Opens the ledger in `local` (a workspace's `.llmc`, which exists), making it where there is none.
    pub fn open(local: &Path) -> Result<Self, LedgerError> {
        let file::Opened { connection, set_aside } = file::open(local)?;
        Ok(Self { local: local.to_owned(), connection: Mutex::new(connection), set_aside })
    }

    /// Opens the ledger in `local` to read it; `None` when there is none. Brings an older one up to date if it can.
    pub fn open_to_read(local: &Path) -> Result<Option<Self>, LedgerError> {
        if !local.join(FILE).try_exists().map_err(LedgerError::io("read", FILE))? {
            return Ok(None);
        }
        match Self::open(local) {
            Ok(ledger) => Ok(Some(ledger)),
            Err(error @ (LedgerError::Newer { .. } | LedgerError::Foreign)) => Err(error),
            Err(error) => match file::open_read_only(local) {
                Ok(Some(connection)) => {
                    Ok(Some(Self { local: local.to_owned(), connection: Mutex::new(connection), set_aside: None }))
                }
                Ok(None) => Ok(None),
                Err(_) => Err(error),
            },
        }
    }

    /// The name that a damaged ledger was given when this one was begun in its place.
    pub fn set_aside(&self) -> Option<&str> {
        self.set_aside.as_deref()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was cut short by a panic was rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the file; remembers when that shows that the file is damaged.
    fn with<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let result = work(&mut self.lock());
        if result.as_ref().is_err_and(file::is_damage) {
            file::suspect(&self.local);
        }
        result.map_err(LedgerError::while_doing(action))
    }
}

/// Unix time in milliseconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
