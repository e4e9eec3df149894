//! The ledger as a whole: everything in it, what it adds up to, and what can go.

use std::collections::HashSet;

use rusqlite::params;
use serde_json::{Value, json};

use super::record::{COMPLETION, completion, to_json};
use super::{Ledger, LedgerError, now};
use crate::digest::sha256;
use crate::model::{Identity, Parameters};
use crate::prompt::Prompt;

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// What each model gave on each day (UTC).
    Day,
    /// What each model gave.
    Model,
    /// What each model gave in each build.
    Build,
    /// Nothing: each sample for itself.
    Sample,
}

/// What one model gave, and what that took.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
    /// The day, as `2026-11-22`; the build's run; that and the sample's number; nothing.
    pub of: String,
    /// The model, as `provider/name`.
    pub model: String,
    /// Samples that arrived.
    pub samples: u64,
    /// Of them, those that were judged, by the checks they were last judged by; repairs are no independent draws, and
    /// are not counted.
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
    /// Requests that brought no sample and of which nobody told what they took.
    pub untold: u64,
    /// Tokens that count for them.
    pub untold_tokens: u64,
    /// Millionths of a US dollar that count for them.
    pub untold_usd_micros: u64,
    /// Requests of components that were answered.
    pub calls: u64,
    /// Their tokens.
    pub calls_tokens: u64,
    /// Millionths of a US dollar, over those whose cost is known.
    pub calls_usd_micros: u64,
}

/// What one sample took on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// Samples that it is the average of.
    pub samples: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: f64,
    /// Tokens generated.
    pub completion_tokens: f64,
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

/// Models `m` that go by the name that [`name_pattern`] gives.
const SAME_MODEL: &str = "m.name LIKE ?4 ESCAPE '\\'";

/// The name of a model for SQL's LIKE. The embedded one that is not loaded yet goes by its provider: which file it is
/// shows only then, and there is rarely more than one.
fn name_pattern(model: &Identity) -> String {
    let name = if model.facts.is_empty() && model.provider == "embedded" { "%" } else { &model.name };
    let escaped =
        if name == "%" { name.to_owned() } else { name.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_") };
    format!("{}/{escaped}", model.provider)
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

    /// What was sampled and what it took.
    pub fn spending(&self, by: By) -> Result<Vec<Spending>, LedgerError> {
        // Of a sample, and of a request without one.
        let (of_sample, of_request, order) = match by {
            By::Day => ("date(s.arrived / 1000, 'unixepoch')", "date(q.day * 86400, 'unixepoch')", "0"),
            By::Model => ("''", "''", "0"),
            By::Build => ("b.run", "coalesce(b.run, '-')", "coalesce(b.id, 0)"),
            By::Sample => ("b.run || ' ' || (s.number + 1)", "coalesce(b.run, '-')", "coalesce(b.id, 0)"),
        };
        let within = if by == By::Sample { "s.id" } else { "0" };
        self.with("read", |connection| {
            let mut statement = connection.prepare(&format!(
                "WITH last AS (SELECT sample, max(outcome = 'passed') AS passed FROM verdicts v
                               WHERE judged = ({NEWEST}) GROUP BY sample),
                 rows AS (
                    SELECT {of_sample} AS of, {order} AS build, {within} AS within, m.name AS model, 1 AS samples,
                           l.sample IS NOT NULL AS judged, coalesce(l.passed, 0) AS passed, s.prompt_tokens AS prompt,
                           s.completion_tokens AS completion, coalesce(q.usd_micros, s.usd_micros) AS usd,
                           coalesce(q.usd_micros, s.usd_micros) IS NULL AS unpriced,
                           0 AS untold, 0 AS untold_tokens, 0 AS untold_usd,
                           0 AS calls, 0 AS calls_tokens, 0 AS calls_usd
                    FROM samples s JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model
                    JOIN builds b ON b.id = s.build LEFT JOIN last l ON l.sample = s.id AND s.phase != 'repair'
                    LEFT JOIN requests q ON q.sample = s.id
                    UNION ALL
                    SELECT {of_request}, {order}, 0, q.model, 0, 0, 0, 0, 0, 0, 0, 1, q.tokens,
                           coalesce(q.usd_micros, 0), 0, 0, 0
                    FROM requests q LEFT JOIN builds b ON b.id = q.build WHERE q.state = 'open'
                    UNION ALL
                    SELECT {of_request}, {order}, 0, q.model, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, q.tokens,
                           coalesce(q.usd_micros, 0)
                    FROM requests q LEFT JOIN builds b ON b.id = q.build
                    WHERE q.state = 'settled' AND q.component IS NOT NULL)
                 SELECT of, model, sum(samples), sum(judged), sum(passed), sum(prompt), sum(completion),
                        coalesce(sum(usd), 0), sum(unpriced), sum(untold), sum(untold_tokens), sum(untold_usd),
                        sum(calls), sum(calls_tokens), sum(calls_usd)
                 FROM rows GROUP BY build, of, within, model ORDER BY build, of, within, model"
            ))?;
            let rows = statement.query_map([], |row| {
                Ok(Spending {
                    of: row.get(0)?,
                    model: row.get(1)?,
                    samples: row.get(2)?,
                    judged: row.get(3)?,
                    passed: row.get(4)?,
                    prompt_tokens: row.get(5)?,
                    completion_tokens: row.get(6)?,
                    usd_micros: row.get(7)?,
                    unpriced: row.get(8)?,
                    untold: row.get(9)?,
                    untold_tokens: row.get(10)?,
                    untold_usd_micros: row.get(11)?,
                    calls: row.get(12)?,
                    calls_tokens: row.get(13)?,
                    calls_usd_micros: row.get(14)?,
                })
            })?;
            rows.collect()
        })
    }

    /// How many of the samples that a build would draw from a model are there: those with the index `first`, and each
    /// `step`-th after it, below `samples`.
    pub fn stored(
        &self,
        (prompt, parameters, model): (&Prompt, &Parameters, &Identity),
        (first, step, samples): (usize, usize, usize),
    ) -> Result<usize, LedgerError> {
        self.with("read", |connection| {
            let sql = format!(
                "SELECT count(DISTINCT number) FROM samples WHERE number < ?5 AND number % ?6 = ?7 AND series =
                 (SELECT r.id FROM series r JOIN models m ON m.id = r.model
                  WHERE r.prompt = ?1 AND r.parameters_digest = ?2 AND (m.digest = ?3 OR {SAME_MODEL} AND ?8)
                  ORDER BY r.generation DESC, r.id DESC LIMIT 1)"
            );
            let (prompt, parameters) = (sha256(to_json(prompt)), sha256(to_json(parameters)));
            let (digest, name) = (sha256(to_json(model)), name_pattern(model));
            let is_open = model.facts.is_empty();
            let key = params![prompt, parameters, digest, name, samples, step.max(1), first, is_open];
            connection.query_row(&sql, key, |row| row.get(0))
        })
    }

    /// What an independent sample of a model took on average, for one spec or for all.
    pub fn mean(&self, model: &Identity, spec: Option<&str>) -> Result<Option<Mean>, LedgerError> {
        self.with("read", |connection| {
            let sql = format!(
                "SELECT count(*), coalesce(avg(s.prompt_tokens), 0.0), coalesce(avg(s.completion_tokens), 0.0)
                 FROM samples s JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model
                 WHERE {SAME_MODEL} AND s.phase <> 'repair' AND (?1 IS NULL OR s.spec = ?1)"
            );
            let sql = sql.replace("?4", "?2");
            connection.query_row(&sql, params![spec, name_pattern(model)], |row| {
                let mean = Mean { samples: row.get(0)?, prompt_tokens: row.get(1)?, completion_tokens: row.get(2)? };
                Ok(Some(mean).filter(|mean| mean.samples > 0))
            })
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
