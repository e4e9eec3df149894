//! `llmc ledger`: everything that was sampled in a workspace, what it adds up to, and what can go.

use std::collections::HashSet;

use serde_json::json;

use super::Output;
use super::args::{GcArgs, LedgerAction, StatsBy};
use crate::digest::sha256;
use crate::driver::Session;
use crate::error::{Error, ExitCode};
use crate::freeze;
use crate::ledger::{By, Ledger, Spending};
use crate::proposal::{self, Proposal};
use crate::provenance::Provenance;
use crate::report::{count, printable};
use crate::workspace::paths;

/// Runs one action on the workspace's ledger.
pub(super) fn ledger(session: &Session, action: &LedgerAction, output: &Output) -> Result<ExitCode, Error> {
    let Some(ledger) = Ledger::open_to_read(&session.workspace.local_path())? else {
        if let LedgerAction::Gc(_) | LedgerAction::Stats(_) = action
            && !output.is_json()
        {
            Output::note("nothing was sampled in this workspace yet");
        }
        return Ok(ExitCode::Done);
    };
    if let Some(name) = ledger.set_aside() {
        Output::note(&format!("warning: the ledger was damaged: it is now `.llmc/{name}`, and a new one was begun"));
    }
    match action {
        LedgerAction::Export(_) => ledger.export(&mut |sample| Output::data(&format!("{sample}\n")))?,
        LedgerAction::Stats(args) => stats(args.by, &ledger.spending(args.by.into())?, output),
        LedgerAction::Gc(args) => gc(session, &ledger, args, output)?,
    }
    Ok(ExitCode::Done)
}

impl From<StatsBy> for By {
    fn from(by: StatsBy) -> Self {
        match by {
            StatsBy::Day => Self::Day,
            StatsBy::Model => Self::Model,
            StatsBy::Build => Self::Build,
            StatsBy::Sample => Self::Sample,
        }
    }
}

fn stats(by: StatsBy, rows: &[Spending], output: &Output) {
    let head = match by {
        StatsBy::Day => "day",
        StatsBy::Model => "",
        StatsBy::Build => "build",
        StatsBy::Sample => "sample",
    };
    if output.is_json() {
        for row in rows {
            let mut line = json!({
                "event": "spending", "model": row.model, "samples": row.samples, "judged": row.judged,
                "passed": row.passed, "prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens,
                "usd": row.usd_micros as f64 / 1e6, "unpriced": row.unpriced, "untold": row.untold,
                "untold_tokens": row.untold_tokens, "untold_usd": row.untold_usd_micros as f64 / 1e6,
                "calls": row.calls, "calls_tokens": row.calls_tokens, "calls_usd": row.calls_usd_micros as f64 / 1e6,
            });
            if !head.is_empty() {
                line[head] = row.of.clone().into();
            }
            Output::json_line(line);
        }
        return;
    }
    let mut table = vec![
        [head, "model", "samples", "pass rate", "prompt", "generated", "usd", "untold", "calls"].map(str::to_owned),
    ];
    table.extend(rows.iter().map(row));
    Output::data(&printable(&columns(&table, 2, usize::from(head.is_empty()))));
    if rows.iter().any(|row| row.untold > 0) {
        Output::note(
            "untold: requests that were cut off or broke down, and of which nobody told what they took; they count as \
             the most that they could take (docs/budget.md)",
        );
    }
    if rows.iter().any(|row| row.calls > 0) {
        Output::note("calls: requests of components, with what they took; `llmc trace` shows the calls themselves");
    }
}

/// A table in which the first columns, words, are to the left and the others, numbers, to the right.
pub(super) fn columns<const N: usize>(rows: &[[String; N]], words: usize, skipped: usize) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().skip(skipped) {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
            let padded = if column < words { format!("{cell:width$}") } else { format!("{cell:>width$}") };
            line.push_str(&padded);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(row: &Spending) -> [String; 9] {
    let rate = match row.judged {
        0 => "-".to_owned(),
        judged => format!("{:.0}%", row.passed as f64 / judged as f64 * 100.0),
    };
    let usd = match row.unpriced {
        unpriced if unpriced == row.samples => "-".to_owned(),
        0 => format!("{:.4}", row.usd_micros as f64 / 1e6),
        unpriced => format!("{:.4} and {unpriced} unknown", row.usd_micros as f64 / 1e6),
    };
    let took = |count: u64, tokens: u64, micros: u64| match count {
        0 => "-".to_owned(),
        count => format!("{count}: {tokens} tokens, {:.4} usd", micros as f64 / 1e6),
    };
    [
        row.of.clone(),
        row.model.clone(),
        row.samples.to_string(),
        rate,
        row.prompt_tokens.to_string(),
        row.completion_tokens.to_string(),
        usd,
        took(row.untold, row.untold_tokens, row.untold_usd_micros),
        took(row.calls, row.calls_tokens, row.calls_usd_micros),
    ]
}

fn gc(session: &Session, ledger: &Ledger, args: &GcArgs, output: &Output) -> Result<(), Error> {
    let Some(_lock) = session.workspace.try_lock()? else {
        return Err(Error::new(ExitCode::Usage, "another llmc builds in this workspace")
            .hint("run it again when that has ended: a build may need what would be removed"));
    };
    let old = ledger.older_than(args.older_than, &artifacts(session)?, args.keep_chosen)?;
    let what = format!("{} older than {}", count(old.len(), "sample"), count(args.older_than as usize, "day"));
    if args.yes && !old.is_empty() {
        ledger.remove(&old)?;
    }
    if output.is_json() {
        Output::json_line(json!({
            "event": "gc", "samples": old.len(), "bytes": old.bytes, "kept": old.kept, "removed": args.yes,
        }));
    } else if args.yes {
        Output::note(&format!("removed {what}"));
    } else {
        let kilobytes = old.bytes.div_ceil(1000);
        let kept = format!("{} as old stay, since an artifact came from them", old.kept);
        Output::note(&format!("would remove {what} ({kilobytes} kB of text); {kept}"));
        if !old.is_empty() {
            Output::note("what is removed is gone, and would be drawn again; `--yes` removes it");
        }
    }
    Ok(())
}

/// The digests of the completions that the workspace's artifacts came from, and those that wait for review.
fn artifacts(session: &Session) -> Result<HashSet<String>, Error> {
    let mut digests = HashSet::new();
    for name in proposal::waiting(&session.workspace)? {
        // What can't be read can't be accepted either.
        if let Ok(Some(proposal)) = Proposal::read(&session.workspace, &name) {
            digests.insert(sha256(&proposal.drawn().completion.text));
        }
    }
    let folder = session.workspace.path(paths::PROVENANCE);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(digests),
        Err(error) => return Err(unreadable(paths::PROVENANCE).cause(error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(paths::PROVENANCE).cause(error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Envelopes (`NAME.dsse.json`) hold signatures of what stands beside them.
        if freeze::module_name(&name).is_none() {
            continue;
        }
        let path = format!("{}/{name}", paths::PROVENANCE);
        let bytes = std::fs::read(entry.path()).map_err(|error| unreadable(&path).cause(error))?;
        let provenance = Provenance::read(&bytes).map_err(|error| unreadable(&path).cause(error))?;
        digests.extend(provenance.drawn().map(|drawn| sha256(&drawn.completion.text)));
    }
    Ok(digests)
}

fn unreadable(path: &str) -> Error {
    Error::new(ExitCode::Difference, format!("failed to read `{path}`"))
        .hint("nothing was removed: without it llmc can't know which samples your artifacts came from")
}
