//! The ledger as a whole: everything in it, what it adds up to, and what can go.

use std::collections::HashSet;

use rusqlite::params;
use serde_json::{Value, json};

use super::record::{COMPLETION, completion};
use super::{Ledger, LedgerError, now};
use crate::digest::sha256;

/// What one model gave on one day (UTC).
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// As `2026-11-22`.
    pub day: String,
    /// The model, as `provider/name`.
    pub model: String,
    /// Samples that arrived.
    pub samples: u64,
    /// Of them, those that were judged, by the checks they were last judged by.
    pub judged: u64,
    /// Of those, the ones that pass.
    pub passed: u64,
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// Millionths of a US dollar, over the samples whose cost is known.
    pub usd_micros: u64,
    /// Samples whose cost is not known.
    pub unpriced: u64,
}

/// What [`Ledger::remove`] may remove.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Old {
    /// Samples, by id.
    samples: Vec<i64>,
    /// How many bytes of text they hold.
    pub bytes: u64,
    /// Samples as old that stay, since an artifact came from them.
    pub kept: u64,
}

impl Old {
    /// How many samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// What gives a sample's verdict the newest of its rows.
const NEWEST: &str = "SELECT max(w.judged) FROM verdicts w WHERE w.sample = v.sample";

impl Ledger {
    /// Every sample, oldest first, as one JSON object each, with all its verdicts.
    ///
    /// Holds what was sampled and found and nothing of this machine: no path, no key, no process.
    pub fn export(&self, tell: &mut dyn FnMut(&Value)) -> Result<(), LedgerError> {
        self.with("read", |connection| {
            let mut verdicts = connection.prepare(
                "SELECT checks, judged, verdict, candidate FROM verdicts v WHERE sample = ?1 ORDER BY judged, checks",
            )?;
            let mut samples = connection.prepare(&format!(
                "SELECT s.id, s.spec, s.phase, s.copy, s.arrived, s.usd_micros, r.prompt, r.generation, r.parameters,
                        m.name, m.identity, b.run, {COMPLETION}
                 FROM samples s JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model
                 JOIN builds b ON b.id = s.build ORDER BY s.id"
            ))?;
            let parsed = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
            let mut rows = samples.query([])?;
            while let Some(row) = rows.next()? {
                let found = verdicts.query_map([row.get::<_, i64>(0)?], |row| {
                    let candidate: Value = row.get::<_, Option<String>>(3)?.map_or(Value::Null, parsed);
                    Ok(json!({
                        "checks": row.get::<_, String>(0)?, "judged_ms": row.get::<_, i64>(1)?,
                        "verdict": parsed(row.get(2)?), "code": candidate["source"],
                    }))
                })?;
                let found = found.collect::<rusqlite::Result<Vec<Value>>>()?;
                let completion = completion(row, 12)?;
                tell(&json!({
                    "format_version": 1, "spec": row.get::<_, String>(1)?, "run": row.get::<_, String>(11)?,
                    "model": row.get::<_, String>(9)?, "identity": parsed(row.get(10)?),
                    "prompt_digest": row.get::<_, String>(6)?, "parameters": parsed(row.get(8)?),
                    "sample": completion.as_ref().map(|completion| completion.index + 1),
                    "generation": row.get::<_, i64>(7)?, "copy": row.get::<_, i64>(3)?,
                    "phase": row.get::<_, String>(2)?, "arrived_ms": row.get::<_, i64>(4)?,
                    "usd": row.get::<_, Option<i64>>(5)?.map(|micros| micros as f64 / 1e6),
                    "completion": completion, "verdicts": found,
                }));
            }
            Ok(())
        })
    }

    /// What was sampled, by day and model.
    pub fn days(&self) -> Result<Vec<Day>, LedgerError> {
        self.with("read", |connection| {
            let mut statement = connection.prepare(&format!(
                "WITH last AS (SELECT sample, max(outcome = 'passed') AS passed FROM verdicts v
                               WHERE judged = ({NEWEST}) GROUP BY sample)
                 SELECT date(s.arrived / 1000, 'unixepoch') AS day, m.name, count(*), count(l.sample),
                        total(l.passed), sum(s.prompt_tokens), sum(s.completion_tokens), total(s.usd_micros),
                        sum(s.usd_micros IS NULL)
                 FROM samples s JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model
                 LEFT JOIN last l ON l.sample = s.id
                 GROUP BY day, m.name ORDER BY day, m.name"
            ))?;
            let days = statement.query_map([], |row| {
                Ok(Day {
                    day: row.get(0)?,
                    model: row.get(1)?,
                    samples: row.get(2)?,
                    judged: row.get(3)?,
                    passed: row.get::<_, f64>(4)? as u64,
                    prompt_tokens: row.get(5)?,
                    completion_tokens: row.get(6)?,
                    usd_micros: row.get::<_, f64>(7)? as u64,
                    unpriced: row.get(8)?,
                })
            })?;
            days.collect()
        })
    }

    /// The samples that arrived more than `days` days ago, but for those that an artifact came from: those whose text
    /// has one of the digests `artifacts`, and with `keep_chosen` also those of every earlier artifact.
    pub fn older_than(&self, days: u32, artifacts: &HashSet<String>, keep_chosen: bool) -> Result<Old, LedgerError> {
        let before = now() - i64::from(days) * 86_400_000;
        self.with("read", |connection| {
            let mut statement = connection.prepare(
                "SELECT id, text, length(reasoning), EXISTS (SELECT 1 FROM builds b WHERE b.chosen = s.id)
                 FROM samples s WHERE arrived < ?1 ORDER BY id",
            )?;
            let mut old = Old::default();
            let mut rows = statement.query([before])?;
            while let Some(row) = rows.next()? {
                let text: String = row.get(1)?;
                let is_chosen: bool = row.get(3)?;
                if artifacts.contains(&sha256(&text)) || keep_chosen && is_chosen {
                    old.kept += 1;
                    continue;
                }
                old.samples.push(row.get(0)?);
                old.bytes += text.len() as u64 + row.get::<_, u64>(2)?;
            }
            Ok(old)
        })
    }

    /// Removes samples with their verdicts, then builds that have none left, and gives back the room.
    pub fn remove(&self, old: &Old) -> Result<(), LedgerError> {
        self.with("write to", |connection| {
            let transaction = connection.transaction()?;
            let mut remove = transaction.prepare("DELETE FROM samples WHERE id = ?1")?;
            for id in &old.samples {
                remove.execute(params![id])?;
            }
            drop(remove);
            // A build that is under way may have no sample yet.
            transaction.execute(
                "DELETE FROM builds WHERE finished IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM looked_at l WHERE l.build = builds.id)
                 AND NOT EXISTS (SELECT 1 FROM samples s WHERE s.build = builds.id)",
                [],
            )?;
            transaction.commit()?;
            connection.execute_batch("VACUUM")
        })
    }
}
