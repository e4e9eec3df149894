//! The ledger's file: opened, brought to the newest version, set aside when it is damaged. Never deleted.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{LedgerError, schema};

/// The file's name, in `.llmc`.
pub const FILE: &str = "ledger.db";
/// Beside it while it is opened, so that two processes don't both set it aside or migrate it.
const LOCK: &str = "ledger.lock";
/// Beside it once SQLite has said that a part of it is damaged: the next to open it looks at all of it.
const SUSPECT: &str = "ledger.db.suspect";
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(20);
/// Where SQLite's file header holds `user_version`.
const VERSION_AT: usize = 60;
/// The length of that header.
const HEADER: usize = 100;

/// A ledger that was opened.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// What was set aside: the damaged file's new name.
    pub(super) set_aside: Option<String>,
}

/// Opens the ledger in `local`, making it where there is none.
pub(super) fn open(local: &Path) -> Result<Opened, LedgerError> {
    let path = local.join(FILE);
    refuse_newer(&path)?;
    let lock_path = local.join(LOCK);
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(LedgerError::io("open", LOCK))?;
    lock.lock().map_err(LedgerError::io("lock", LOCK))?;
    let suspect = local.join(SUSPECT);
    match ready(&path, suspect.exists()) {
        Ok(connection) => {
            remove_if_there(&suspect)?;
            Ok(Opened { connection, set_aside: None })
        }
        Err(error) if error.is_damage() => {
            let set_aside = set_aside(local)?;
            remove_if_there(&suspect)?;
            Ok(Opened { connection: ready(&path, false)?, set_aside: Some(set_aside) })
        }
        Err(error) => Err(error),
    }
}

/// Opens the ledger in `local` where nothing may be written; `None` when there is none.
pub(super) fn open_read_only(local: &Path) -> Result<Option<Connection>, LedgerError> {
    let path = local.join(FILE);
    if !path.try_exists().map_err(LedgerError::io("read", FILE))? {
        return Ok(None);
    }
    refuse_newer(&path)?;
    let known = schema::STEPS.len() as i32;
    let reads = |connection: &Connection| match schema::version(connection) {
        Ok(found) if found == known => Ok(()),
        Ok(found) if found > known => Err(LedgerError::Newer { found, known }),
        Ok(_) => Err(LedgerError::Older),
        Err(error) => Err(LedgerError::while_doing("read")(error)),
    };
    let plain = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(LedgerError::while_doing("open"))
        .and_then(|connection| reads(&connection).map(|()| connection));
    match plain {
        Ok(connection) => Ok(Some(connection)),
        Err(error @ (LedgerError::Newer { .. } | LedgerError::Older)) => Err(error),
        // The write-ahead log wants files beside the database. Where nobody can write, it does without.
        Err(_) => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(format!("file:{}?immutable=1", uri(&path)), flags)
                .map_err(LedgerError::while_doing("open"))?;
            reads(&connection)?;
            Ok(Some(connection))
        }
    }
}

/// Says that a part of the ledger in `local` is damaged.
pub(super) fn suspect(local: &Path) {
    // Where this can't be written the damage is found again when it is met again.
    let _ = fs::write(local.join(SUSPECT), "");
}

/// A path as a part of a URI.
fn uri(path: &Path) -> String {
    let escape = |letter: char| match letter {
        '%' | '?' | '#' => format!("%{:02x}", letter as u32),
        other => other.to_string(),
    };
    path.display().to_string().chars().map(escape).collect()
}

/// Reads the version from the file's own header: opening a file through SQLite may write to it.
fn refuse_newer(path: &Path) -> Result<(), LedgerError> {
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(HEADER as u64).read_to_end(&mut header).map_err(LedgerError::io("read", FILE))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LedgerError::io("read", FILE)(error)),
    };
    if header.len() < HEADER || !header.starts_with(b"SQLite format 3\0") {
        return Ok(());
    }
    let bytes = header[VERSION_AT..VERSION_AT + 4].try_into().expect("four bytes are four bytes");
    let (found, known) = (i32::from_be_bytes(bytes), schema::STEPS.len() as i32);
    if found > known { Err(LedgerError::Newer { found, known }) } else { Ok(()) }
}

/// A connection to the file at `path`, ready for use.
fn ready(path: &Path, is_suspect: bool) -> Result<Connection, LedgerError> {
    let failed = LedgerError::while_doing("open");
    let mut connection = Connection::open(path).map_err(&failed)?;
    connection.busy_timeout(BUSY).map_err(&failed)?;
    // The last to close a file would write to it, and it may yet turn out to be newer, or another program's.
    let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(no_checkpoint, true).map_err(&failed)?;
    if schema::is_foreign(&connection).map_err(&failed)? {
        return Err(LedgerError::Foreign);
    }
    let (found, known) = (schema::version(&connection).map_err(&failed)?, schema::STEPS.len() as i32);
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    // SQLite falls back on reading without a word.
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(&failed)? {
        return Err(LedgerError::ReadOnly);
    }
    if is_suspect {
        let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(&failed)?;
        if found != "ok" {
            return Err(LedgerError::Damaged(found));
        }
    }
    connection.set_db_config(no_checkpoint, false).map_err(&failed)?;
    // Some network disks have no shared memory; there SQLite keeps its older journal, as safe and slower.
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(&failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(&failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(&failed)?;
    schema::migrate(&mut connection, schema::STEPS)?;
    Ok(connection)
}

/// Renames a damaged ledger, with what SQLite keeps beside it; returns its new name.
fn set_aside(local: &Path) -> Result<String, LedgerError> {
    let free = |number: &u32| !local.join(format!("{FILE}.corrupt-{number}")).exists();
    let number = (1..).find(free).expect("not every number is taken");
    let name = format!("{FILE}.corrupt-{number}");
    let rename = |from: PathBuf, to: PathBuf| match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LedgerError::io("set aside", FILE)(error)),
        _ => Ok(()),
    };
    // The main file last: a damaged one without its log is still found damaged.
    for beside in ["-wal", "-shm", ""] {
        rename(local.join(format!("{FILE}{beside}")), local.join(format!("{name}{beside}")))?;
    }
    Ok(name)
}

fn remove_if_there(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LedgerError::io("remove", SUSPECT)(error)),
        _ => Ok(()),
    }
}

/// Whether SQLite says that the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
