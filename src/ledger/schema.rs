//! The ledger's tables, version by version. A released step is never edited: what comes later is a step of its own.

use rusqlite::{Connection, TransactionBehavior};

use super::LedgerError;

/// `llmc` in ASCII: what tells a ledger from another program's database.
pub(super) const APPLICATION: i32 = 0x6c6c_6d63;

/// The steps from one version to the next; the version of a file is how many it has had.
pub(super) const STEPS: &[&str] = &[
    // 1: samples, what was found about them, and the builds that drew them.
    "
    -- Who was sampled: the whole identity, digested.
    CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,               -- provider/name
        identity TEXT NOT NULL            -- JSON
    ) STRICT;

    -- Draws of one prompt from one model with one set of parameters. Sampling afresh begins a generation.
    CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        prompt TEXT NOT NULL,             -- digest
        model INTEGER NOT NULL REFERENCES models (id),
        parameters_digest TEXT NOT NULL,
        parameters TEXT NOT NULL,         -- JSON
        generation INTEGER NOT NULL,
        UNIQUE (prompt, model, parameters_digest, generation)
    ) STRICT;

    CREATE TABLE builds (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,                -- as the provenance names it
        spec TEXT NOT NULL,
        llmc TEXT NOT NULL,
        inputs TEXT NOT NULL,             -- digest
        checks TEXT NOT NULL,             -- digest
        started INTEGER NOT NULL,         -- Unix time in milliseconds, here and below
        finished INTEGER,
        status TEXT NOT NULL,             -- begun, built, failed
        wanted INTEGER NOT NULL,
        sampled INTEGER NOT NULL DEFAULT 0,
        parsed INTEGER NOT NULL DEFAULT 0,
        compiled INTEGER NOT NULL DEFAULT 0,
        passed INTEGER NOT NULL DEFAULT 0,
        chosen INTEGER REFERENCES samples (id) ON DELETE SET NULL,
        commit_id TEXT
    ) STRICT;
    CREATE INDEX builds_of_spec ON builds (spec, id);

    -- `copy` is 0 but for those that two processes drew at once.
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        series INTEGER NOT NULL REFERENCES series (id),
        number INTEGER NOT NULL,          -- the index in its series, from 0
        copy INTEGER NOT NULL,
        build INTEGER NOT NULL REFERENCES builds (id),
        spec TEXT NOT NULL,
        phase TEXT NOT NULL,              -- fresh, repair, measure
        arrived INTEGER NOT NULL,
        text TEXT NOT NULL,
        reasoning TEXT NOT NULL,
        finish TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        told INTEGER NOT NULL,            -- whether the server counted the tokens
        usd_micros INTEGER,               -- millionths of a US dollar; null: unknown
        milliseconds INTEGER NOT NULL,
        left_out TEXT NOT NULL,           -- JSON: parameters that the server refused
        more TEXT NOT NULL,               -- JSON: the rest of the completion
        UNIQUE (series, number, copy)
    ) STRICT;
    CREATE INDEX samples_by_time ON samples (arrived);

    -- Which samples a build looked at, and whether it found them here.
    CREATE TABLE looked_at (
        build INTEGER NOT NULL REFERENCES builds (id),
        number INTEGER NOT NULL,
        sample INTEGER NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
        replayed INTEGER NOT NULL,
        PRIMARY KEY (build, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX looked_at_sample ON looked_at (sample);

    CREATE TABLE verdicts (
        sample INTEGER NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
        checks TEXT NOT NULL,             -- digest
        judged INTEGER NOT NULL,
        phase TEXT NOT NULL,
        outcome TEXT NOT NULL,
        class TEXT,
        code TEXT,
        verdict TEXT NOT NULL,            -- JSON
        candidate TEXT,                   -- JSON
        PRIMARY KEY (sample, checks)
    ) STRICT, WITHOUT ROWID;
    ",
];

/// The version of a file.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether a file holds another program's tables.
pub(super) fn is_foreign(connection: &Connection) -> rusqlite::Result<bool> {
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables > 0 && application != APPLICATION)
}

/// Brings a file to the newest version; all of it or nothing.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), LedgerError> {
    let failed = LedgerError::while_doing("migrate");
    let known = steps.len() as i32;
    if version(connection).map_err(&failed)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    // Another process may have been faster.
    let found = version(&transaction).map_err(&failed)?;
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    for step in &steps[found.max(0) as usize..] {
        transaction.execute_batch(step).map_err(&failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION).map_err(&failed)?;
    transaction.pragma_update(None, "user_version", known).map_err(&failed)?;
    transaction.commit().map_err(&failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_leaves_the_file_at_its_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE one (a INTEGER)"]).unwrap();
        let broken = ["CREATE TABLE one (a INTEGER)", "CREATE TABLE two (a INTEGER)", "CREATE TABLE one (b INTEGER)"];
        assert!(migrate(&mut connection, &broken).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
        migrate(&mut connection, &broken[..2]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
    }
}
