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
    // 2: which sample a repair began from, and what requests cost or may cost.
    "
    -- The sample that was repaired; null for independent draws.
    ALTER TABLE samples ADD COLUMN parent INTEGER REFERENCES samples (id) ON DELETE SET NULL;
    CREATE INDEX samples_by_parent ON samples (parent) WHERE parent IS NOT NULL;

    -- What is put aside for a request before it is sent, and what it took. What was never sent has no row. A request
    -- outlives its sample: money stays spent.
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        build INTEGER REFERENCES builds (id) ON DELETE SET NULL,
        sample INTEGER REFERENCES samples (id) ON DELETE SET NULL,
        model TEXT NOT NULL,              -- provider/name
        day INTEGER NOT NULL,             -- days since 1970, UTC, when it was put aside
        state TEXT NOT NULL,              -- open: under way, or nobody told what it took; settled
        most_tokens INTEGER NOT NULL,     -- what was put aside
        most_usd_micros INTEGER,          -- null: the price is not known, here and below
        tokens INTEGER NOT NULL,          -- what counts: as put aside, until it is settled
        usd_micros INTEGER
    ) STRICT;
    CREATE INDEX requests_by_day ON requests (day);
    CREATE INDEX requests_by_build ON requests (build);
    CREATE INDEX requests_by_sample ON requests (sample);
    CREATE INDEX builds_by_chosen ON builds (chosen) WHERE chosen IS NOT NULL;

    -- What was drawn before this step was paid for as well.
    INSERT INTO requests (build, sample, model, day, state, most_tokens, most_usd_micros, tokens, usd_micros)
        SELECT s.build, s.id, m.name, s.arrived / 86400000, 'settled', s.prompt_tokens + s.completion_tokens,
               s.usd_micros, s.prompt_tokens + s.completion_tokens, s.usd_micros
        FROM samples s JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model;
    ",
    // 3: calls through the harness.
    "
    CREATE TABLE crossings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        number INTEGER NOT NULL,          -- in its run, from 1
        component TEXT NOT NULL,
        side TEXT NOT NULL,               -- model, code, hybrid, double
        started INTEGER NOT NULL,
        micros INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        usd_micros INTEGER NOT NULL,
        class TEXT,                       -- of the error; null: it was answered
        crossing TEXT NOT NULL,           -- JSON: all of it
        UNIQUE (run, number)
    ) STRICT;
    CREATE INDEX crossings_of_component ON crossings (component, started);
    CREATE INDEX crossings_by_time ON crossings (started);
    ",
    // 4: requests of components, which belong to no build.
    "
    ALTER TABLE requests ADD COLUMN component TEXT;    -- null: a build's
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

    /// Rows as the first version wrote them.
    const FIRST: &str = "
        INSERT INTO models VALUES (1, 'd', 'openai/a', '{}'), (2, 'e', 'embedded/b', '{}');
        INSERT INTO series VALUES (1, 'p', 1, 'q', '{}', 0), (2, 'p', 2, 'q', '{}', 0);
        INSERT INTO builds (id, run, spec, llmc, inputs, checks, started, status, wanted)
            VALUES (1, 'double-1', 'double', '0.1.0', 'i', 'c', 1, 'begun', 2);
        INSERT INTO samples VALUES
            (1, 1, 0, 0, 1, 'double', 'fresh', 86400000, 'one', '', 'stop', 11, 7, 0, 1, 25, 3, '[]', '{}'),
            (2, 2, 1, 0, 1, 'double', 'fresh', 172800000, 'two', '', 'stop', 5, 6, 0, 1, NULL, 3, '[]', '{}');
        INSERT INTO looked_at VALUES (1, 0, 1, 0), (1, 1, 2, 0);
        INSERT INTO verdicts VALUES (1, 'c', 1, 'test', 'passed', NULL, NULL, '{}', NULL);
        UPDATE builds SET chosen = 1;";

    fn ints(connection: &Connection, sql: &str) -> Vec<Option<i64>> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_file_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(crate::ledger::FILE);
        let mut old = Connection::open(&path).unwrap();
        let _: String = old.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
        migrate(&mut old, &STEPS[..1]).unwrap();
        old.execute_batch(FIRST).unwrap();
        drop(old);

        let ledger = crate::ledger::Ledger::open(folder.path()).unwrap();
        assert_eq!(ledger.set_aside(), None);
        let connection = ledger.lock();
        assert_eq!(version(&connection).unwrap(), STEPS.len() as i32);
        for (table, rows) in [("models", 2), ("series", 2), ("builds", 1), ("looked_at", 2), ("verdicts", 1)] {
            assert_eq!(ints(&connection, &format!("SELECT count(*) FROM {table}")), [Some(rows)], "{table}");
        }
        assert_eq!(ints(&connection, "SELECT parent FROM samples ORDER BY id"), [None, None]);
        let spent = "FROM requests ORDER BY id";
        assert_eq!(ints(&connection, &format!("SELECT sample {spent}")), [Some(1), Some(2)]);
        assert_eq!(ints(&connection, &format!("SELECT day {spent}")), [Some(1), Some(2)]);
        assert_eq!(ints(&connection, &format!("SELECT tokens {spent}")), [Some(18), Some(11)]);
        assert_eq!(ints(&connection, &format!("SELECT usd_micros {spent}")), [Some(25), None]);

        // A repair stays when the sample that it began from goes, and so does the money.
        connection.execute_batch("UPDATE samples SET parent = 1 WHERE id = 2").unwrap();
        assert!(connection.execute("UPDATE samples SET parent = 99 WHERE id = 2", []).is_err());
        connection.execute_batch("DELETE FROM samples WHERE id = 1").unwrap();
        assert_eq!(ints(&connection, "SELECT parent FROM samples"), [None]);
        assert_eq!(ints(&connection, &format!("SELECT tokens {spent}")), [Some(18), Some(11)]);
        assert!(ints(&connection, "SELECT rowid FROM pragma_foreign_key_check").is_empty());
    }

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
