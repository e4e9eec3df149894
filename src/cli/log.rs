//! `llmc log`, printed: a table that fits the terminal, or JSON lines.

use std::path::Path;

use serde_json::json;

use super::Output;
use super::args::LogArgs;
use crate::driver::{self, Behaviour, Code, Entry, Made, Session};
use crate::error::{Error, ExitCode};
use crate::report::{printable, terminal_width};

/// Between two columns.
const GAP: &str = "  ";
/// The column that says who made it.
const BY: usize = 2;
/// A subject that is cut to less than this is left out.
const SHORTEST: usize = 12;

/// Lists the commits that changed an artifact.
pub(super) async fn log(
    session: &mut Session,
    args: &LogArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    let most = args.number.map_or(usize::MAX, |number| number as usize);
    // The one before the last is needed as well.
    let more = most.saturating_add(usize::from(args.behaviour));
    let mut entries = driver::log(session, &args.spec, more)?;
    if args.behaviour {
        driver::log_behaviour(session, &mut entries, from).await?;
        entries.truncate(most);
    }
    if !output.is_json() {
        Output::data(&table(&entries, terminal_width()));
        return Ok(ExitCode::Done);
    }
    for entry in &entries {
        let mut value = json!({ "event": "revision" });
        let own = serde_json::to_value(entry).expect("an entry holds only strings and numbers");
        if let (Some(value), Some(own)) = (value.as_object_mut(), own.as_object()) {
            value.extend(own.clone());
        }
        Output::json_line(value);
    }
    Ok(ExitCode::Done)
}

/// The entries, one a line, no line longer than `width`.
fn table(entries: &[Entry], width: Option<usize>) -> String {
    let has_usd = entries.iter().any(|entry| matches!(entry.made, Made::Model { usd: Some(_), .. }));
    let has_names = entries.iter().any(|entry| entry.name != entries[0].name);
    let mut rows = vec![row(has_usd, has_names, None)];
    rows.extend(entries.iter().map(|entry| row(has_usd, has_names, Some(entry))));
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut widths: Vec<usize> = (0..rows[0].len()).map(widest).collect();
    let last = widths.len() - 1;
    if let Some(width) = width {
        let others = |widths: &[usize], but: usize| {
            widths.iter().enumerate().filter(|(at, one)| *at != but && **one > 0).map(|(_, one)| one + GAP.len()).sum()
        };
        widths[last] = widths[last].min(width.saturating_sub(others(&widths, last)));
        if widths[last] < SHORTEST.min(widest(last)) {
            widths[last] = 0;
            // Who made it has the longest words.
            widths[BY] = widths[BY].min(width.saturating_sub(others(&widths, BY)).max(SHORTEST));
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{:width$}", cut(cell, *width))).collect();
        let line = line.join(GAP);
        let line = width.map_or(line.clone(), |width| cut(line.trim_end(), width));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text, or as much of it as there is room for.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// An entry's cells, or the columns' names.
fn row(has_usd: bool, has_names: bool, entry: Option<&Entry>) -> Vec<String> {
    let Some(entry) = entry else {
        let names =
            ["when (UTC)", "commit", "made by", "name", "sample", "passed", "tokens", "usd", "changed", "subject"];
        let is_shown = |name: &&str| (has_usd || *name != "usd") && (has_names || *name != "name");
        return names.iter().filter(|name| is_shown(name)).map(|name| (*name).to_owned()).collect();
    };
    let when = entry.when.get(..16).unwrap_or(&entry.when).replace('T', " ");
    let (by, sample, passed, tokens, usd) = match &entry.made {
        Made::Model { model, sample, sampled, passed, repairs, tokens, usd } => (
            model.clone(),
            format!("{sample}/{sampled}{}", if *repairs > 0 { "+" } else { "" }),
            format!("{passed}/{sampled}"),
            tokens.to_string(),
            usd.map_or(String::new(), |usd| format!("{usd:.4}")),
        ),
        Made::Human => {
            (format!("{}, by hand", entry.author), String::new(), String::new(), String::new(), String::new())
        }
        Made::Nobody => (entry.author.clone(), String::new(), String::new(), String::new(), String::new()),
        Made::Unknown { .. } => ("?".to_owned(), "?".to_owned(), "?".to_owned(), "?".to_owned(), String::new()),
    };
    let mut cells = vec![when, entry.short.clone(), by];
    if has_names {
        cells.push(entry.name.clone());
    }
    cells.extend([sample, passed, tokens]);
    if has_usd {
        cells.push(usd);
    }
    cells.extend([change(entry), entry.subject.clone()]);
    // One line each, whatever stands in a record or a message.
    cells.iter().map(|cell| printable(&cell.replace(['\n', '\t'], " "))).collect()
}

/// What changed, in a few words.
fn change(entry: &Entry) -> String {
    let code = match entry.code {
        Code::First => return "new".to_owned(),
        Code::Removed => return "removed".to_owned(),
        Code::Unknown => return "not known".to_owned(),
        Code::Same => None,
        Code::Layout => Some("layout"),
        Code::Changed => Some("code"),
    };
    let uses = entry.code != Code::Changed && entry.behaviour.is_none();
    let words = [code, (entry.spec_changed == Some(true)).then_some("spec"), uses.then_some("uses")];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    let what = if words.is_empty() { "record".to_owned() } else { words.join(", ") };
    match (entry.behaviour, &entry.differs_on) {
        (Some(Behaviour::Alike), _) => format!("{what}; does the same"),
        (Some(Behaviour::Apart), Some(call)) => format!("{what}; differs on {call}"),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(made: Made, code: Code, subject: &str) -> Entry {
        Entry {
            commit: "4e1b0c2d9f".repeat(4),
            short: "4e1b0c2".into(),
            when: "2026-11-23T02:40:00Z".into(),
            subject: subject.into(),
            author: "Tess".into(),
            name: "gcd".into(),
            made,
            code,
            spec_changed: Some(code == Code::Changed),
            behaviour: (code == Code::Same).then_some(Behaviour::Same),
            differs_on: None,
        }
    }

    fn entries() -> Vec<Entry> {
        let model = "openai/a-model-with-a-long-name-of-its-own".to_owned();
        let drawn = Made::Model { model, sample: 5, sampled: 8, passed: 6, repairs: 1, tokens: 395, usd: None };
        vec![
            entry(Made::Human, Code::Changed, "llmc: adopt gcd\u{1b}[31m"),
            entry(drawn, Code::First, "llmc: build gcd, with a subject that goes on and on and on"),
        ]
    }

    #[test]
    fn a_table_shows_who_made_it_and_what_changed() {
        insta::assert_snapshot!(table(&entries(), None), @r"
        when (UTC)        commit   made by                                     sample  passed  tokens  changed     subject
        2026-11-23 02:40  4e1b0c2  Tess, by hand                                                       code, spec  llmc: adopt gcd\u{1b}[31m
        2026-11-23 02:40  4e1b0c2  openai/a-model-with-a-long-name-of-its-own  5/8+    6/8     395     new         llmc: build gcd, with a subject that goes on and on and on
        ");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        for width in 1..200 {
            let text = table(&entries(), Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
        insta::assert_snapshot!(table(&entries(), Some(80)), @r"
        when (UTC)        commit   made by            sample  passed  tokens  changed
        2026-11-23 02:40  4e1b0c2  Tess, by hand                              code, spec
        2026-11-23 02:40  4e1b0c2  openai/a-model-w…  5/8+    6/8     395     new
        ");
        insta::assert_snapshot!(table(&entries(), Some(125)), @r"
        when (UTC)        commit   made by                                     sample  passed  tokens  changed     subject
        2026-11-23 02:40  4e1b0c2  Tess, by hand                                                       code, spec  llmc: adopt gcd\u…
        2026-11-23 02:40  4e1b0c2  openai/a-model-with-a-long-name-of-its-own  5/8+    6/8     395     new         llmc: build gcd, …
        ");
    }
}
