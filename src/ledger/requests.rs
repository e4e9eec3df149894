//! What requests may take and took: put aside before they are sent, settled with the sample that they brought.
//!
//! Counts, and asks whoever keeps the caps whether a request fits; it knows no cap itself.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Ledger, LedgerError, now};
use crate::model::purse::{Cost, Paid};

/// Milliseconds of a day. Days are those of UTC, so that every process agrees on which one it is.
const DAY: i64 = 86_400_000;

/// What is put aside for one request.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// The build; absent for a component's.
    pub build: Option<i64>,
    /// The component; absent for a build's.
    pub component: Option<&'a str>,
    /// The model, as `provider/name`.
    pub model: &'a str,
    /// The most it can take.
    pub most: Cost,
}

/// What the requests of a day come to, whoever sent them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Tokens, those put aside included.
    pub tokens: u64,
    /// Millionths of a US dollar, those put aside included.
    pub usd_micros: u64,
    /// Requests whose price is not known; they are in no sum of money.
    pub unpriced: u64,
}

impl Ledger {
    /// Gives back what was put aside for requests that took nothing; then puts aside for others, each if `fits` says so
    /// of what this day's requests have taken so far. On the disk when this returns. Gives the numbers of those that fit.
    ///
    /// What is put aside counts to the day (UTC) on which it is, and as a whole until it is settled. A process that is
    /// killed settles nothing any more: its requests may have been answered, and nobody will ever know, so that within
    /// that day they count as spent. No later day counts them, so that they lock nothing up. Rows of a process that
    /// died are therefore never looked for, and nothing here has to find out whether another process lives.
    pub fn put_aside(
        &self,
        given_back: &[i64],
        wanted: &[Put<'_>],
        mut fits: impl FnMut(usize, &Taken) -> bool,
    ) -> Result<Vec<Option<i64>>, LedgerError> {
        let day = now() / DAY;
        self.with("write to", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for id in given_back {
                transaction.execute("DELETE FROM requests WHERE id = ?1 AND state = 'open'", [id])?;
            }
            let mut taken = taken(&transaction, day)?;
            let mut ids = Vec::new();
            for (number, put) in wanted.iter().enumerate() {
                if !fits(number, &taken) {
                    ids.push(None);
                    continue;
                }
                taken.add(put.most);
                let usd = put.most.usd_micros.map(int);
                transaction.execute(
                    "INSERT INTO requests
                         (build, component, model, day, state, most_tokens, most_usd_micros, tokens, usd_micros)
                     VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?5, ?6)",
                    params![put.build, put.component, put.model, day, int(put.most.tokens), usd],
                )?;
                ids.push(Some(transaction.last_insert_rowid()));
            }
            transaction.commit()?;
            Ok(ids)
        })
    }

    /// Settles requests that bring no sample: those of components, whose answers are kept with their calls.
    pub fn settle(&self, settled: &[(i64, Cost)]) -> Result<(), LedgerError> {
        self.with("write to", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (id, cost) in settled {
                transaction.execute(
                    "UPDATE requests SET state = 'settled', tokens = ?2, usd_micros = ?3 WHERE id = ?1 AND state = 'open'",
                    params![id, int(cost.tokens), cost.usd_micros.map(int)],
                )?;
            }
            transaction.commit()
        })
    }

    /// What today's requests have taken so far.
    pub fn taken_today(&self) -> Result<Taken, LedgerError> {
        self.with("read", |connection| taken(connection, now() / DAY))
    }
}

impl Taken {
    fn add(&mut self, cost: Cost) {
        self.tokens = self.tokens.saturating_add(cost.tokens);
        match cost.usd_micros {
            Some(micros) => self.usd_micros = self.usd_micros.saturating_add(micros),
            None => self.unpriced += 1,
        }
    }
}

fn taken(connection: &Connection, day: i64) -> rusqlite::Result<Taken> {
    let sql = "SELECT coalesce(sum(tokens), 0), coalesce(sum(usd_micros), 0), coalesce(sum(usd_micros IS NULL), 0)
               FROM requests WHERE day = ?1";
    connection
        .query_row(sql, [day], |row| Ok(Taken { tokens: row.get(0)?, usd_micros: row.get(1)?, unpriced: row.get(2)? }))
}

/// Settles the request that brought `sample`. One that nothing was put aside for is written down with what it took.
pub(super) fn settle(
    transaction: &Transaction<'_>,
    (build, model, sample): (i64, &str, i64),
    paid: Paid,
) -> rusqlite::Result<()> {
    let (tokens, usd) = (int(paid.cost.tokens), paid.cost.usd_micros.map(int));
    let found = transaction.execute(
        "UPDATE requests SET state = 'settled', sample = ?2, tokens = ?3, usd_micros = ?4 WHERE id = ?1",
        params![paid.ticket, sample, tokens, usd],
    )?;
    if found == 0 {
        transaction.execute(
            "INSERT INTO requests (build, sample, model, day, state, most_tokens, most_usd_micros, tokens, usd_micros)
             VALUES (?1, ?2, ?3, ?4, 'settled', ?5, ?6, ?5, ?6)",
            params![build, sample, model, now() / DAY, tokens, usd],
        )?;
    }
    Ok(())
}

/// A number that SQLite can hold, and can add up without an overflow.
fn int(number: u64) -> i64 {
    const MOST: i64 = i64::MAX >> 20;
    i64::try_from(number).unwrap_or(MOST).min(MOST)
}
