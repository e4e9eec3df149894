//! What a build writes and finds: its samples as they arrive, their verdicts, and how it ended.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde_json::{Value, json};

use super::requests::settle;
use super::{Ledger, LedgerError, now};
use crate::candidate::Candidate;
use crate::digest::sha256;
use crate::model::{Completion, Identity, Parameters};
use crate::prompt::Prompt;
use crate::verdict::Verdict;

/// What a sample was drawn for. Only independent draws enter a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// An independent draw of a build.
    Fresh,
    /// A draw that was shown what was wrong with another.
    Repair,
    /// An independent draw to measure with.
    Measure,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Repair => "repair",
            Self::Measure => "measure",
        }
    }
}

/// What is known of a build when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The spec.
    pub spec: &'a str,
    /// The run, as the provenance names it.
    pub run: &'a str,
    /// The digest of everything that the artifact depends on.
    pub inputs: &'a str,
    /// The digest of the checks.
    pub checks: &'a str,
    /// Samples wanted.
    pub wanted: usize,
    /// What the samples are drawn for.
    pub phase: Phase,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// How it samples.
    pub parameters: &'a Parameters,
    /// Whom it samples.
    pub models: &'a [&'a Identity],
    /// Whether samples that are there are passed over: they stay, and a new generation begins.
    pub afresh: bool,
}

/// What a build came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ended {
    /// An artifact.
    Built,
    /// A proposal.
    Proposed,
    /// What there is already.
    Unchanged,
    /// Nothing.
    #[default]
    Failed,
}

impl Ended {
    fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Proposed => "proposed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// How a build ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending<'a> {
    /// What it came to.
    pub ended: Ended,
    /// Samples looked at.
    pub sampled: usize,
    /// Of them, those that hold a candidate.
    pub parsed: usize,
    /// Of them, those that compile.
    pub compiled: usize,
    /// Of them, those that pass.
    pub passed: usize,
    /// The index of the sample that was chosen.
    pub chosen: Option<usize>,
    /// The commit.
    pub commit: Option<&'a str>,
}

/// A sample that an earlier build left.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Which of the models it is from.
    pub model: usize,
    /// The draw.
    pub completion: Completion,
}

/// A draw that begins from another sample. What it gives is a sample of a series of its own prompt.
#[derive(Debug, Clone, Copy)]
pub struct Repair<'a> {
    /// What the model is asked.
    pub prompt: &'a Prompt,
    /// Which of the models.
    pub model: usize,
    /// Its place among the draws of this prompt, from 0.
    pub number: usize,
    /// Its index among the samples of the build.
    pub index: usize,
    /// The index of the sample that it begins from.
    pub parent: usize,
}

/// A sample of a build, for showing.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The draw.
    pub completion: Completion,
    /// The model, as `provider/name`.
    pub model: String,
    /// Whether the build found it in the ledger.
    pub replayed: bool,
    /// For a repair, the index of the sample that it began from, in the same build.
    pub repairs: Option<usize>,
    /// The Rust in it.
    pub candidate: Option<Candidate>,
    /// What validation found; `None` when the build ended before.
    pub verdict: Option<Verdict>,
}

/// An independent draw that an earlier run made.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The draw.
    pub completion: Completion,
    /// The model, as `provider/name`.
    pub model: String,
    /// The prompt's digest.
    pub prompt: String,
    /// How it was sampled; `None` where this llmc can't read that.
    pub parameters: Option<Parameters>,
    /// When it arrived: Unix time in milliseconds.
    pub arrived: i64,
    /// Whether the run that drew it ended before all its draws were made, as a build does when it has enough.
    pub is_early: bool,
}

/// The record of one build, being written.
#[derive(Debug)]
pub struct Record {
    ledger: Arc<Ledger>,
    build: i64,
    spec: String,
    phase: Phase,
    checks: String,
    /// For each model, and what it is called.
    series: Vec<i64>,
    models: Vec<String>,
    /// What series of other prompts are made with.
    source: Source,
    /// Of other prompts: by the prompt's digest and the model.
    others: HashMap<(String, usize), i64>,
    /// By index: the samples that the build has.
    samples: HashMap<usize, i64>,
}

/// What a series is drawn from, but for the prompt.
#[derive(Debug, Clone)]
struct Source {
    /// For each model its row.
    models: Vec<i64>,
    /// JSON.
    parameters: String,
    afresh: bool,
}

impl Record {
    /// Begins the record of a build.
    pub fn begin(ledger: Arc<Ledger>, start: &Start<'_>) -> Result<Self, LedgerError> {
        let (build, series, source) = ledger.with("write to", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO builds (run, spec, llmc, inputs, checks, started, status, wanted)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'begun', ?7)",
                params![
                    start.run,
                    start.spec,
                    env!("CARGO_PKG_VERSION"),
                    start.inputs,
                    start.checks,
                    now(),
                    start.wanted
                ],
            )?;
            let build = transaction.last_insert_rowid();
            let models = start.models.iter().map(|identity| model(&transaction, identity));
            let source = Source {
                models: models.collect::<rusqlite::Result<_>>()?,
                parameters: to_json(start.parameters),
                afresh: start.afresh,
            };
            let prompt = sha256(to_json(start.prompt));
            let series = (0..source.models.len()).map(|model| series(&transaction, &source, &prompt, model));
            let series = series.collect::<rusqlite::Result<Vec<i64>>>()?;
            transaction.commit()?;
            Ok((build, series, source))
        })?;
        let (spec, checks) = (start.spec.to_owned(), start.checks.to_owned());
        let models = start.models.iter().map(ToString::to_string).collect();
        Ok(Self {
            ledger,
            build,
            spec,
            phase: start.phase,
            checks,
            series,
            models,
            source,
            others: HashMap::new(),
            samples: HashMap::new(),
        })
    }

    /// The series of a repair's prompt. With what samples afresh, one prompt has one new generation a build.
    fn series_of(&mut self, repair: &Repair<'_>) -> Result<i64, LedgerError> {
        let key = (sha256(to_json(repair.prompt)), repair.model);
        if let Some(known) = self.others.get(&key) {
            return Ok(*known);
        }
        let source = &self.source;
        let found = self.ledger.with("write to", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = series(&transaction, source, &key.0, key.1)?;
            transaction.commit()?;
            Ok(found)
        })?;
        self.others.insert(key, found);
        Ok(found)
    }

    /// The sample of a repair, if it is there already; the build has it from now on.
    pub fn replay_repair(&mut self, repair: &Repair<'_>) -> Result<Option<Completion>, LedgerError> {
        let (build, series) = (self.build, self.series_of(repair)?);
        let found = self.ledger.with("read", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = format!(
                "SELECT id, {COMPLETION} FROM samples s WHERE series = ?1 AND number = ?2 ORDER BY copy LIMIT 1"
            );
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, completion(row, 1)?));
            let found = transaction.query_row(&sql, params![series, repair.number], read).optional()?;
            if let Some((id, Some(_))) = &found {
                look(&transaction, build, repair.index, *id, true)?;
            }
            transaction.commit()?;
            Ok(found)
        })?;
        Ok(found.and_then(|(id, completion)| {
            let completion = completion?;
            self.samples.insert(repair.index, id);
            Some(Completion { index: repair.index, ..completion })
        }))
    }

    /// Stores the sample of a repair: on the disk when this returns.
    pub fn arrived_repair(&mut self, repair: &Repair<'_>, completion: &Completion) -> Result<(), LedgerError> {
        let (build, series) = (self.build, self.series_of(repair)?);
        let (spec, parent, model) = (&self.spec, self.samples.get(&repair.parent), &self.models[repair.model]);
        // In its series it has the place that it is found by again.
        let own = Completion { index: repair.number, ..completion.clone() };
        let id = self.ledger.with("write to", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let id = insert(&transaction, (build, spec, Phase::Repair), series, &own)?;
            transaction.execute("UPDATE samples SET parent = ?2 WHERE id = ?1", params![id, parent])?;
            look(&transaction, build, repair.index, id, false)?;
            if let Some(paid) = completion.paid {
                settle(&transaction, (build, model, id), paid)?;
            }
            transaction.commit()?;
            Ok(id)
        })?;
        self.samples.insert(repair.index, id);
        Ok(())
    }

    /// The build's number.
    pub fn build(&self) -> i64 {
        self.build
    }

    /// The ledger that it is in.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The samples with these indices that are there already, each of the model that the index belongs to; the build
    /// has them from now on. Also how many there are that can't be read.
    pub fn replay(&mut self, wanted: &[(usize, usize)]) -> Result<(Vec<Stored>, usize), LedgerError> {
        let (build, series) = (self.build, &self.series);
        let (found, unreadable) = self.ledger.with("read", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (mut found, mut unreadable) = (Vec::new(), 0);
            let sql = format!(
                "SELECT id, {COMPLETION} FROM samples s WHERE series = ?1 AND number = ?2 ORDER BY copy LIMIT 1"
            );
            let mut statement = transaction.prepare(&sql)?;
            for &(index, model) in wanted {
                let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, completion(row, 1)?));
                match statement.query_row(params![series[model], index], read).optional()? {
                    Some((id, Some(completion))) => {
                        look(&transaction, build, index, id, true)?;
                        found.push((id, Stored { model, completion }));
                    }
                    Some((_, None)) => unreadable += 1,
                    None => {}
                }
            }
            drop(statement);
            transaction.commit()?;
            Ok((found, unreadable))
        })?;
        self.samples.extend(found.iter().map(|(id, stored)| (stored.completion.index, *id)));
        Ok((found.into_iter().map(|(_, stored)| stored).collect(), unreadable))
    }

    /// Stores samples that arrived, each with which of the models it is from: on the disk when this returns, all of
    /// them at the price of one. What each took is settled with it: there is no moment at which it is there and not
    /// paid for.
    pub fn arrived(&mut self, completions: &[(usize, &Completion)]) -> Result<(), LedgerError> {
        let (build, spec, phase, series) = (self.build, &self.spec, self.phase, &self.series);
        let models = &self.models;
        let ids = self.ledger.with("write to", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut ids = Vec::new();
            for &(model, completion) in completions {
                let id = insert(&transaction, (build, spec, phase), series[model], completion)?;
                look(&transaction, build, completion.index, id, false)?;
                if let Some(paid) = completion.paid {
                    settle(&transaction, (build, &models[model], id), paid)?;
                }
                ids.push((completion.index, id));
            }
            transaction.commit()?;
            Ok(ids)
        })?;
        self.samples.extend(ids);
        Ok(())
    }

    /// Records what was found about a sample. A power cut may lose it: it can be found again.
    pub fn judged(&self, index: usize, candidate: Option<&Candidate>, verdict: &Verdict) -> Result<(), LedgerError> {
        let Some(sample) = self.samples.get(&index) else { return Ok(()) };
        self.ledger.with("write to", |connection| {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let result = connection.execute(
                "INSERT OR REPLACE INTO verdicts
                 (sample, checks, judged, phase, outcome, class, code, verdict, candidate)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    sample,
                    self.checks,
                    now(),
                    word(&verdict.phase),
                    word(&verdict.outcome),
                    verdict.class.map(|class| class.as_str()),
                    verdict.code,
                    to_json(verdict),
                    candidate.map(to_json)
                ],
            );
            connection.pragma_update(None, "synchronous", "FULL")?;
            result.map(drop)
        })
    }

    /// Records how the build ended.
    pub fn end(&self, ending: &Ending<'_>) -> Result<(), LedgerError> {
        let chosen = ending.chosen.and_then(|index| self.samples.get(&index));
        self.ledger.with("write to", |connection| {
            connection.execute(
                "UPDATE builds SET finished = ?2, status = ?3, sampled = ?4, parsed = ?5, compiled = ?6, passed = ?7,
                 chosen = ?8, commit_id = ?9 WHERE id = ?1",
                params![
                    self.build,
                    now(),
                    ending.ended.as_str(),
                    ending.sampled,
                    ending.parsed,
                    ending.compiled,
                    ending.passed,
                    chosen,
                    ending.commit
                ],
            )?;
            Ok(())
        })
    }
}

impl Ledger {
    /// Whether something was made of the samples of this prompt with these parameters: a run that came to an end has
    /// looked at those of any of the models. Those of a run that was cut short are still as good as new.
    pub fn is_used(&self, prompt: &Prompt, parameters: &Parameters, models: &[&Identity]) -> Result<bool, LedgerError> {
        self.with("read", |connection| {
            let mut statement = connection.prepare(
                "SELECT EXISTS (
                    SELECT 1 FROM series r JOIN models m ON m.id = r.model JOIN samples s ON s.series = r.id
                    JOIN looked_at l ON l.sample = s.id JOIN builds b ON b.id = l.build
                    WHERE r.prompt = ?1 AND r.parameters_digest = ?2 AND m.digest = ?3
                    AND r.generation = (SELECT max(n.generation) FROM series n WHERE n.prompt = r.prompt
                                        AND n.model = r.model AND n.parameters_digest = r.parameters_digest)
                    AND b.finished IS NOT NULL AND (b.status <> 'failed' OR b.sampled >= b.wanted))",
            )?;
            let (prompt, parameters) = (sha256(to_json(prompt)), sha256(to_json(parameters)));
            for model in models {
                let key = params![prompt, parameters, sha256(to_json(model))];
                if statement.query_row(key, |row| row.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// The independent draws of a spec that arrived until a moment (Unix time in milliseconds), the latest first; at most
    /// so many.
    pub fn drawn_until(&self, spec: &str, until: i64, most: usize) -> Result<Vec<Earlier>, LedgerError> {
        self.with("read", |connection| {
            let sql = format!(
                "SELECT m.name, r.prompt, r.parameters, s.arrived,
                        s.phase = 'fresh' AND (b.finished IS NULL OR b.sampled < b.wanted), {COMPLETION}
                 FROM samples s JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model
                 JOIN builds b ON b.id = s.build
                 WHERE s.spec = ?1 AND s.phase IN ('fresh', 'measure') AND s.arrived <= ?2
                 ORDER BY s.arrived DESC, s.id DESC LIMIT ?3"
            );
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params![spec, until, most], |row| {
                let (parameters, completion): (String, _) = (row.get(2)?, completion(row, 5)?);
                let Some(completion) = completion else { return Ok(None) };
                Ok(Some(Earlier {
                    completion,
                    model: row.get(0)?,
                    prompt: row.get(1)?,
                    parameters: serde_json::from_str(&parameters).ok(),
                    arrived: row.get(3)?,
                    is_early: row.get(4)?,
                }))
            })?;
            let all: Vec<Option<Earlier>> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(all.into_iter().flatten().collect())
        })
    }

    /// When the first independent draw of a spec arrived, in Unix time in milliseconds.
    pub fn first_draw(&self, spec: &str) -> Result<Option<i64>, LedgerError> {
        self.with("read", |connection| {
            let sql = "SELECT min(arrived) FROM samples WHERE spec = ?1 AND phase IN ('fresh', 'measure')";
            connection.query_row(sql, [spec], |row| row.get(0))
        })
    }

    /// The samples of a spec's last build that had any, by index; `None` when there was none in this workspace.
    pub fn last_build(&self, spec: &str) -> Result<Option<Vec<Recorded>>, LedgerError> {
        self.with("read", |connection| {
            let sql = "SELECT max(b.id) FROM builds b
                       WHERE b.spec = ?1 AND EXISTS (SELECT 1 FROM looked_at l WHERE l.build = b.id)";
            let Some(build) = connection.query_row(sql, [spec], |row| row.get::<_, Option<i64>>(0))? else {
                return Ok(None);
            };
            let sql = format!(
                "SELECT l.replayed, m.name, v.candidate, v.verdict, l.number, p.number, {COMPLETION}
                 FROM looked_at l JOIN builds b ON b.id = l.build JOIN samples s ON s.id = l.sample
                 JOIN series r ON r.id = s.series JOIN models m ON m.id = r.model
                 LEFT JOIN verdicts v ON v.sample = s.id AND v.checks = b.checks
                 LEFT JOIN looked_at p ON p.build = l.build AND p.sample = s.parent
                 WHERE l.build = ?1 ORDER BY l.number"
            );
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([build], |row| {
                Ok(completion(row, 6)?.map(|completion| -> rusqlite::Result<Recorded> {
                    let json = |at: usize| -> rusqlite::Result<Value> {
                        let text: Option<String> = row.get(at)?;
                        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null))
                    };
                    Ok(Recorded {
                        completion: Completion { index: row.get(4)?, ..completion },
                        repairs: row.get(5)?,
                        replayed: row.get(0)?,
                        model: row.get(1)?,
                        candidate: serde_json::from_value(json(2)?).ok(),
                        verdict: serde_json::from_value(json(3)?).ok(),
                    })
                }))
            })?;
            let mut recorded = Vec::new();
            for row in rows {
                recorded.extend(row?.transpose()?);
            }
            Ok(Some(recorded))
        })
    }
}

/// The row of a model.
fn model(transaction: &Transaction<'_>, model: &Identity) -> rusqlite::Result<i64> {
    let identity = to_json(model);
    let digest = sha256(&identity);
    transaction.execute(
        "INSERT INTO models (digest, name, identity) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![digest, model.to_string(), identity],
    )?;
    transaction.query_row("SELECT id FROM models WHERE digest = ?1", [&digest], |row| row.get(0))
}

/// The series that a build draws with the prompt of this digest: the newest generation, or one that is newer still.
fn series(transaction: &Transaction<'_>, source: &Source, prompt: &str, model: usize) -> rusqlite::Result<i64> {
    let (model, parameters) = (source.models[model], &source.parameters);
    let newest: Option<(i64, i64)> = transaction
        .query_row(
            "SELECT id, generation FROM series WHERE prompt = ?1 AND model = ?2 AND parameters_digest = ?3
             ORDER BY generation DESC LIMIT 1",
            params![prompt, model, sha256(parameters)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let generation = match newest {
        Some((id, _)) if !source.afresh => return Ok(id),
        Some((_, generation)) => generation + 1,
        None => 0,
    };
    transaction.execute(
        "INSERT INTO series (prompt, model, parameters_digest, parameters, generation) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![prompt, model, sha256(parameters), parameters, generation],
    )?;
    Ok(transaction.last_insert_rowid())
}

/// What [`completion`] reads of `samples s`.
pub(super) const COMPLETION: &str = "s.text, s.reasoning, s.more";

/// Parts of a completion that have a column of their own and are not repeated in `more`.
const APART: [&str; 2] = ["text", "reasoning"];

/// Stores a sample; returns its id. A second one of the same place is a copy: it was paid for, too.
fn insert(
    transaction: &Transaction<'_>,
    (build, spec, phase): (i64, &str, Phase),
    series: i64,
    completion: &Completion,
) -> rusqlite::Result<i64> {
    let mut more = json!(completion);
    let fields = more.as_object_mut().expect("a completion is an object");
    let reasoning = fields.get("reasoning").and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
    let cached_tokens = number("cached_tokens");
    let estimated = fields.get("estimated").and_then(Value::as_bool).unwrap_or_default();
    let usd = fields.get("usd").and_then(Value::as_f64);
    let left_out = fields.get("left_out").cloned().unwrap_or(json!([]));
    for name in APART {
        fields.remove(name);
    }
    let copy: i64 = transaction.query_row(
        "SELECT coalesce(max(copy) + 1, 0) FROM samples WHERE series = ?1 AND number = ?2",
        params![series, completion.index],
        |row| row.get(0),
    )?;
    transaction.execute(
        "INSERT INTO samples (series, number, copy, build, spec, phase, arrived, text, reasoning, finish, prompt_tokens,
         completion_tokens, cached_tokens, told, usd_micros, milliseconds, left_out, more)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        params![
            series,
            completion.index,
            copy,
            build,
            spec,
            phase.as_str(),
            now(),
            completion.text,
            reasoning,
            word(&completion.finish),
            completion.prompt_tokens,
            completion.completion_tokens,
            cached_tokens as i64,
            !estimated,
            usd.map(micros),
            completion.milliseconds as i64,
            left_out.to_string(),
            more.to_string()
        ],
    )?;
    Ok(transaction.last_insert_rowid())
}

/// Reads a completion from the columns of [`COMPLETION`], which begin at `at`; `None` when it is not one of ours.
pub(super) fn completion(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<Completion>> {
    let more: String = row.get(at + 2)?;
    let Ok(Value::Object(mut fields)) = serde_json::from_str(&more) else { return Ok(None) };
    for (offset, name) in APART.into_iter().enumerate() {
        fields.insert(name.to_owned(), row.get::<_, String>(at + offset)?.into());
    }
    Ok(serde_json::from_value(Value::Object(fields)).ok())
}

/// Notes that a build has a sample.
fn look(connection: &Connection, build: i64, number: usize, sample: i64, replayed: bool) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO looked_at (build, number, sample, replayed) VALUES (?1, ?2, ?3, ?4)",
        params![build, number, sample, replayed],
    )?;
    Ok(())
}

/// Millionths of a US dollar, rounded up: a cost is never told as less than it is.
fn micros(usd: f64) -> i64 {
    (usd * 1e6).ceil() as i64
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is recorded holds only strings, numbers, lists and maps")
}

/// An enum without fields, as it is serialized.
fn word(value: &impl Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}
