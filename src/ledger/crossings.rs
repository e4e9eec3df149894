//! Calls through the harness: each one's record, kept before its caller gets the answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ToSql, params};

use super::{Ledger, LedgerError};
use crate::harness::{Crossing, Recorder};

/// Most records of calls that cost nothing which wait to be written together.
const BATCH: usize = 256;
/// The longest that one waits while others come.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which calls are meant. What is absent means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this run.
    pub run: Option<String>,
    /// Those of this component.
    pub component: Option<String>,
    /// Those that this side answered, e.g. `model`.
    pub side: Option<String>,
    /// Only those that failed.
    pub failed: bool,
    /// Those that began at this time or later, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Those that began before this time.
    pub before: Option<u64>,
    /// Those that were recorded until this one: see [`Ledger::last_crossing`].
    pub recorded: Option<i64>,
}

/// An answer of a hybrid's code that was held against its model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// SHA-256 of the code's file, in hex.
    pub code: String,
    /// When the call began, in milliseconds since 1970.
    pub started: u64,
    /// Whether both said the same.
    pub agreed: bool,
    /// Whether the code was demoted by then.
    pub demoted: bool,
}

/// A run, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its name.
    pub run: String,
    /// When its first call began, in milliseconds since 1970.
    pub started: u64,
    /// From its first call's beginning to its last one's end, in milliseconds.
    pub milliseconds: u64,
    /// Calls, those made by components included.
    pub calls: u64,
    /// Of those, the ones that failed.
    pub failed: u64,
    /// Of those, the ones that code answered.
    pub by_code: u64,
    /// Tokens.
    pub tokens: u64,
    /// US dollars.
    pub usd: f64,
    /// The components its own code called, in order, each once.
    pub components: Vec<String>,
}

/// What a call took on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanCall {
    /// Calls that it is the average of.
    pub calls: u64,
    /// Tokens, those of prompts included.
    pub tokens: f64,
    /// US dollars.
    pub usd: f64,
}

impl Ledger {
    /// Stores calls; all of them are on the disk when this returns, or none.
    pub fn keep(&self, crossings: &[Crossing]) -> Result<(), LedgerError> {
        if crossings.is_empty() {
            return Ok(());
        }
        self.with("write to", |connection| {
            let transaction = connection.transaction()?;
            let mut insert = transaction.prepare(
                "INSERT INTO crossings (run, number, component, side, started, micros, tokens, usd_micros, class, crossing)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            for crossing in crossings {
                let text = serde_json::to_string(crossing).expect("a crossing is JSON");
                insert.execute(params![
                    crossing.run,
                    crossing.id,
                    crossing.component,
                    crossing.side.as_str(),
                    crossing.started,
                    crossing.micros,
                    crossing.usage.tokens(),
                    (crossing.usage.usd * 1e6).round() as i64,
                    crossing.error.as_ref().map(|error| error.class.as_str()),
                    text,
                ])?;
            }
            drop(insert);
            transaction.commit()
        })
    }

    /// The calls that are meant, in the order in which their runs began and they in them.
    pub fn crossings(&self, filter: &Filter) -> Result<Vec<Crossing>, LedgerError> {
        self.with("read", |connection| {
            let (clauses, values) = clauses(filter);
            let mut select = connection.prepare(&format!(
                "SELECT crossing FROM crossings WHERE {clauses}
                 ORDER BY (SELECT min(started) FROM crossings first WHERE first.run = crossings.run), run, number"
            ))?;
            let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
            let rows = select.query_map(&*values, |row| row.get::<_, String>(0))?;
            // What a newer llmc wrote in a way that this one can't read is passed over.
            rows.filter_map(|text| text.map(|text| serde_json::from_str(&text).ok()).transpose()).collect()
        })
    }

    /// The audits of a component's code in calls that began at this time or later, in the order in which they were recorded.
    pub fn audits(&self, component: &str, since: u64) -> Result<Vec<AuditRow>, LedgerError> {
        self.with("read", |connection| {
            let mut select = connection.prepare(
                "SELECT crossing ->> '$.digest', started, crossing ->> '$.audit.agreed',
                        crossing ->> '$.audit.evidence.demoted'
                 FROM crossings
                 WHERE component = ?1 AND started >= ?2 AND side = 'code' AND crossing ->> '$.audit' IS NOT NULL
                 ORDER BY id",
            )?;
            let since = i64::try_from(since).unwrap_or(i64::MAX);
            let rows = select.query_map(params![component, since], |row| {
                let digest: Option<String> = row.get(0)?;
                let code = digest.as_deref().and_then(|digest| digest.split('+').next()).unwrap_or_default();
                let holds = |at: usize| row.get::<_, Option<bool>>(at).map(Option::unwrap_or_default);
                Ok(AuditRow { code: code.to_owned(), started: row.get(1)?, agreed: holds(2)?, demoted: holds(3)? })
            })?;
            rows.collect()
        })
    }

    /// The number of the call that was recorded last; 0 without any.
    pub fn last_crossing(&self) -> Result<i64, LedgerError> {
        self.with("read", |connection| {
            connection.query_row("SELECT coalesce(max(id), 0) FROM crossings", [], |row| row.get(0))
        })
    }

    /// The latest runs that hold a call that is meant, the latest first; at most `most`.
    pub fn runs(&self, filter: &Filter, most: usize) -> Result<Vec<RunSummary>, LedgerError> {
        self.with("read", |connection| {
            let (clauses, values) = clauses(filter);
            let mut select = connection.prepare(&format!(
                "SELECT run, min(started), max(started + micros / 1000) - min(started), count(*), count(class),
                        sum(side = 'code' AND class IS NULL), sum(tokens), sum(usd_micros)
                 FROM crossings WHERE run IN (SELECT run FROM crossings WHERE {clauses})
                 GROUP BY run ORDER BY min(started) DESC, max(id) DESC LIMIT {most}"
            ))?;
            let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
            let runs = select.query_map(&*values, |row| {
                Ok(RunSummary {
                    run: row.get(0)?,
                    started: row.get(1)?,
                    milliseconds: row.get(2)?,
                    calls: row.get(3)?,
                    failed: row.get(4)?,
                    by_code: row.get(5)?,
                    tokens: row.get(6)?,
                    usd: row.get::<_, i64>(7)? as f64 / 1e6,
                    components: Vec::new(),
                })
            })?;
            let mut runs = runs.collect::<rusqlite::Result<Vec<RunSummary>>>()?;
            for run in &mut runs {
                run.components = called(connection, &run.run)?;
            }
            Ok(runs)
        })
    }

    /// What the latest calls of a component took that a model answered, a few hundred at most.
    pub fn mean_call(&self, component: &str) -> Result<Option<MeanCall>, LedgerError> {
        self.with("read", |connection| {
            let sql = format!(
                "SELECT count(*), coalesce(avg(tokens), 0.0), coalesce(avg(usd_micros), 0.0) FROM
                 (SELECT tokens, usd_micros FROM crossings WHERE component = ?1 AND tokens > 0
                  ORDER BY started DESC LIMIT {BATCH})"
            );
            connection.query_row(&sql, [component], |row| {
                let mean = MeanCall { calls: row.get(0)?, tokens: row.get(1)?, usd: row.get::<_, f64>(2)? / 1e6 };
                Ok(Some(mean).filter(|mean| mean.calls > 0))
            })
        })
    }

    /// The names of the runs that begin like this, the latest first; at most ten.
    pub fn runs_like(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        self.with("read", |connection| {
            let mut select = connection.prepare(
                "SELECT run FROM crossings WHERE substr(run, 1, length(?1)) = ?1
                 GROUP BY run ORDER BY min(started) DESC, max(id) DESC LIMIT 10",
            )?;
            select.query_map([prefix], |row| row.get(0))?.collect()
        })
    }
}

/// The components that a run's own code called, each once.
fn called(connection: &Connection, run: &str) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare(
        "SELECT component FROM crossings WHERE run = ?1 AND crossing ->> '$.parent' IS NULL
         GROUP BY component ORDER BY min(number)",
    )?;
    select.query_map([run], |row| row.get(0))?.collect()
}

fn clauses(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut clauses = vec!["1".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut put = |clause: &str, value: Box<dyn ToSql>| {
        values.push(value);
        clauses.push(clause.replace('?', &format!("?{}", values.len())));
    };
    for (clause, value) in [("run = ?", &filter.run), ("component = ?", &filter.component), ("side = ?", &filter.side)]
    {
        if let Some(value) = value {
            put(clause, Box::new(value.clone()));
        }
    }
    for (clause, value) in [("started >= ?", filter.since), ("started < ?", filter.before)] {
        if let Some(value) = value {
            put(clause, Box::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }
    if let Some(last) = filter.recorded {
        put("id <= ?", Box::new(last));
    }
    if filter.failed {
        clauses.push("class IS NOT NULL".to_owned());
    }
    (clauses.join(" AND "), values)
}

/// Keeps the calls of a harness in the ledger.
///
/// A call that a model answered is on the disk before its caller gets the answer: it was paid for. Those that cost
/// nothing are written together, at the latest when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    ledger: Arc<Ledger>,
    waiting: Mutex<(Vec<Crossing>, Instant)>,
}

impl Keeper {
    /// One that writes to `ledger`.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, waiting: Mutex::new((Vec::new(), Instant::now())) }
    }

    /// Writes what waits.
    pub fn flush(&self) -> Result<(), LedgerError> {
        let waiting = std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner).0);
        self.ledger.keep(&waiting)
    }
}

impl Recorder for Keeper {
    fn ended(&self, crossing: &Crossing) -> Result<(), String> {
        let is_paid = crossing.usage.requests > 0 || !crossing.side.is_deterministic();
        let batch = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.0.is_empty() {
                waiting.1 = Instant::now();
            }
            waiting.0.push(crossing.clone());
            let is_due = is_paid || waiting.0.len() >= BATCH || waiting.1.elapsed() >= PATIENCE;
            if is_due { std::mem::take(&mut waiting.0) } else { Vec::new() }
        };
        self.ledger.keep(&batch).map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // What could not be written cost nothing, and there is nobody left to tell.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::harness::{About, BoxFuture, CallError, Component, Context, Harness, Outcome, Side, Usage};

    struct Paid(About);

    impl Component for Paid {
        fn about(&self) -> &About {
            &self.0
        }

        fn call<'a>(&'a self, ctx: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            Box::pin(async move {
                let usage = Usage { prompt_tokens: 7, completion_tokens: 3, usd: 0.25, requests: 1 };
                ctx.took(ctx.put_aside(usage)?, usage);
                Ok(ctx.call_value("half", json!(9)).await?.into())
            })
        }
    }

    #[tokio::test]
    async fn what_was_called_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
        let keeper = Arc::new(Keeper::new(ledger.clone()));
        let mut builder = Harness::builder();
        builder.recorder(keeper.clone()).component("asks", Paid(About::on(Side::Model)));
        builder.try_function("half", |number: i64| if number % 2 == 0 { Ok(number / 2) } else { Err("odd") });
        let harness = builder.build().unwrap();
        let first = harness.run();
        assert_eq!(first.call::<i64>("half", 4).await.unwrap(), 2);
        assert!(ledger.crossings(&Filter::default()).unwrap().is_empty(), "it cost nothing and may wait");
        first.call::<i64>("asks", ()).await.unwrap_err();
        let name = first.run_name().to_owned();
        let kept = ledger.crossings(&Filter { run: Some(name.clone()), ..Filter::default() }).unwrap();
        assert_eq!(kept.iter().map(|crossing| crossing.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(kept[2].parent, Some(2));
        let second = harness.run();
        second.call::<i64>("half", 8).await.unwrap();
        drop((harness, second, first, keeper));
        let runs = ledger.runs(&Filter::default(), 10).unwrap();
        assert_eq!(runs.len(), 2, "what waited was written in the end");
        let run = runs.iter().find(|run| run.run == name).unwrap();
        assert_eq!((run.calls, run.failed, run.by_code, run.tokens), (3, 2, 1, 10));
        assert_eq!((run.usd, &*run.components), (0.25, &["half".to_owned(), "asks".to_owned()][..]));
        let failed =
            ledger.crossings(&Filter { failed: true, side: Some("code".into()), ..Filter::default() }).unwrap();
        assert!(failed.iter().all(|crossing| crossing.error.is_some()) && !failed.is_empty());
        assert_eq!(
            ledger.runs_like(&name[..6]).unwrap().len(),
            if name[..6] == runs[0].run[..6] && name[..6] == runs[1].run[..6] { 2 } else { 1 }
        );
    }
}
