//! `llmc trace`: the recorded calls of components: runs, one as a tree, one call whole, two runs side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::Output;
use crate::driver::Session;
use crate::error::{Error, ExitCode};
use crate::harness::{Attempt, Crossing, Origin};
use crate::ledger::{Filter, Ledger, RunSummary};
use crate::report::{count, printable, terminal_width};

/// `llmc trace`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc trace                              the latest runs
  llmc trace last                         the latest one, as a tree
  llmc trace 19d2 --failed                the calls of a run that failed (the beginning of its name will do)
  llmc trace last --call 3                one call whole: input, output, attempts
  llmc trace last --with 19d2             two runs side by side: which calls answered otherwise
  llmc trace --component ticket_classifier --since 1d")]
pub(crate) struct TraceArgs {
    /// A run: its name or the beginning of it, or `last`; without one the latest runs are listed
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Show this call whole, by its number in the run
    #[arg(long, value_name = "N", requires = "run")]
    pub(crate) call: Option<u64>,
    /// Compare with this run
    #[arg(long, value_name = "RUN", requires = "run", conflicts_with = "call")]
    pub(crate) with: Option<String>,
    /// Only calls of this component
    #[arg(long, value_name = "NAME")]
    pub(crate) component: Option<String>,
    /// Only calls that this side answered
    #[arg(long, value_name = "SIDE", value_parser = ["model", "code", "hybrid"])]
    pub(crate) side: Option<String>,
    /// Only calls that failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only what began within this time, e.g. 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub(crate) since: Option<u64>,
    /// How many runs are listed
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) number: usize,
}

/// A time such as `2h`, in milliseconds.
fn age(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time: a number and s, m, h or d, such as 2h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds * 1000).ok_or_else(wrong)
}

/// Shows recorded calls.
pub(super) fn trace(session: &Session, args: &TraceArgs, output: &Output) -> Result<ExitCode, Error> {
    let Some(ledger) = Ledger::open_to_read(&session.workspace.local_path())? else {
        return Err(nothing("nothing was called here yet"));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let filter = Filter {
        run: None,
        component: args.component.clone(),
        side: args.side.clone(),
        failed: args.failed,
        since: args.since.map(|age| now.saturating_sub(age)),
        ..Filter::default()
    };
    let Some(named) = &args.run else {
        let runs = ledger.runs(&filter, args.number)?;
        if runs.is_empty() {
            return Err(nothing("no such call was recorded here"));
        }
        if output.is_json() {
            runs.iter().for_each(|run| Output::json_line(summary(run)));
        } else {
            Output::data(&list(&runs, terminal_width()));
        }
        return Ok(ExitCode::Done);
    };
    let run = find(&ledger, named)?;
    let all = ledger.crossings(&Filter { run: Some(run.clone()), ..Filter::default() })?;
    if let Some(number) = args.call {
        let Some(crossing) = all.iter().find(|crossing| crossing.id == number) else {
            let last = all.iter().map(|crossing| crossing.id).max().unwrap_or_default();
            return Err(nothing(&format!("run {run} has no call {number}; its calls are 1 to {last}")));
        };
        if output.is_json() {
            Output::json_line(event(crossing));
        } else {
            Output::data(&whole(crossing));
        }
        return Ok(ExitCode::Done);
    }
    if let Some(other) = &args.with {
        let other = find(&ledger, other)?;
        let theirs = ledger.crossings(&Filter { run: Some(other.clone()), ..Filter::default() })?;
        let pairs = side_by_side(&theirs, &all);
        if output.is_json() {
            for pair in &pairs {
                Output::json_line(json!({
                    "event": "pair", "path": pair.path, "before": pair.before.map(event), "after": pair.after.map(event),
                    "same": pair.is_same(),
                }));
            }
        } else {
            Output::data(&compared(&other, &run, &pairs, terminal_width()));
        }
        return Ok(ExitCode::Done);
    }
    let wanted = ledger.crossings(&Filter { run: Some(run.clone()), ..filter })?;
    if output.is_json() {
        wanted.iter().for_each(|crossing| Output::json_line(event(crossing)));
    } else if wanted.is_empty() {
        return Err(nothing(&format!("run {run} holds no such call")));
    } else {
        Output::data(&tree(&all, &wanted, terminal_width()));
    }
    Ok(ExitCode::Done)
}

fn nothing(message: &str) -> Error {
    Error::new(ExitCode::Usage, message).hint("`llmc call NAME INPUT` calls a component; `llmc trace` lists the runs")
}

/// The run that is meant.
pub(super) fn find(ledger: &Ledger, named: &str) -> Result<String, Error> {
    if named == "last" {
        let last = ledger.runs(&Filter::default(), 1)?.into_iter().next();
        return Ok(last.ok_or_else(|| nothing("nothing was called here yet"))?.run);
    }
    let found = ledger.runs_like(named)?;
    match &found[..] {
        [] => Err(nothing(&format!("no run is called `{}`", printable(named)))),
        [one] => Ok(one.clone()),
        more => match more.iter().find(|run| *run == named) {
            Some(run) => Ok(run.clone()),
            None => {
                Err(nothing(&format!("`{}` is the beginning of several runs: {}", printable(named), more.join(", "))))
            }
        },
    }
}

fn summary(run: &RunSummary) -> Value {
    json!({
        "event": "run", "run": run.run, "started_ms": run.started, "milliseconds": run.milliseconds, "calls": run.calls,
        "failed": run.failed, "by_code": run.by_code, "tokens": run.tokens, "usd": run.usd, "components": run.components,
    })
}

fn event(crossing: &Crossing) -> Value {
    let mut value = json!({ "event": "crossing" });
    if let (Some(value), Ok(Value::Object(own))) = (value.as_object_mut(), serde_json::to_value(crossing)) {
        value.extend(own);
    }
    value
}

/// The runs, one a line.
fn list(runs: &[RunSummary], width: Option<usize>) -> String {
    let has_usd = runs.iter().any(|run| run.usd > 0.0);
    let mut rows = vec![
        ["when (UTC)", "run", "calls", "by code", "failed", "tokens", "usd", "took", "components"].map(str::to_owned),
    ];
    for run in runs {
        rows.push([
            moment(run.started),
            run.run.clone(),
            run.calls.to_string(),
            run.by_code.to_string(),
            run.failed.to_string(),
            run.tokens.to_string(),
            if run.usd > 0.0 { format!("{:.4}", run.usd) } else { String::new() },
            took(run.milliseconds.saturating_mul(1000)),
            run.components.join(", "),
        ]);
    }
    let mut text = String::new();
    let widest: Vec<usize> =
        (0..rows[0].len()).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate().filter(|(at, _)| *at != 6 || has_usd) {
            let wide = widest[at];
            // Numbers to the right.
            match at {
                2..=7 => write!(line, "{cell:>wide$}  "),
                _ => write!(line, "{cell:<wide$}  "),
            }
            .expect("writing to a String cannot fail");
        }
        text.push_str(&fitted(&line, width));
    }
    text
}

/// A line that fits, with its end.
fn fitted(line: &str, width: Option<usize>) -> String {
    let line = printable(line.trim_end());
    match width {
        Some(width) if line.chars().count() > width => {
            let kept: String = line.chars().take(width.saturating_sub(1)).collect();
            format!("{kept}…\n")
        }
        _ => format!("{line}\n"),
    }
}

/// The calls that are wanted, below those that made them.
fn tree(all: &[Crossing], wanted: &[Crossing], width: Option<usize>) -> String {
    let by_id: BTreeMap<u64, &Crossing> = all.iter().map(|crossing| (crossing.id, crossing)).collect();
    // Whoever set in motion what is wanted is shown, too.
    let mut shown: BTreeMap<u64, bool> = BTreeMap::new();
    for crossing in wanted {
        shown.insert(crossing.id, true);
        let mut next = crossing.parent;
        while let Some(id) = next {
            if shown.contains_key(&id) {
                break;
            }
            shown.insert(id, false);
            next = by_id.get(&id).and_then(|crossing| crossing.parent);
        }
    }
    let mut children: BTreeMap<Option<u64>, Vec<u64>> = BTreeMap::new();
    for id in shown.keys() {
        // A caller whose record is missing (the process was killed) leaves its calls at the top.
        let parent = by_id.get(id).and_then(|crossing| crossing.parent).filter(|parent| by_id.contains_key(parent));
        children.entry(parent).or_default().push(*id);
    }
    let first = all.iter().map(|crossing| crossing.started).min().unwrap_or_default();
    let run = all.first().map_or("", |crossing| &crossing.run);
    let mut text = fitted(&format!("run {run}, {} (UTC), {}", moment(first), count(all.len(), "call")), width);
    // Depth is bounded when calls are made; records of a stranger may say otherwise.
    let mut stack: Vec<(u64, String, bool)> = Vec::new();
    let push = |stack: &mut Vec<(u64, String, bool)>, parent: Option<u64>, indent: &str| {
        let below = children.get(&parent).map(Vec::as_slice).unwrap_or_default();
        for (at, id) in below.iter().enumerate().rev() {
            stack.push((*id, indent.to_owned(), at + 1 == below.len()));
        }
    };
    push(&mut stack, None, "");
    while let Some((id, indent, is_last)) = stack.pop() {
        let Some(crossing) = by_id.get(&id) else { continue };
        let branch = if is_last { "└─ " } else { "├─ " };
        let room = width.map(|width| width.saturating_sub(indent.chars().count() + 3));
        text.push_str(&fitted(&format!("{indent}{branch}{}", line(crossing, room)), width));
        if indent.chars().count() < 60 {
            push(&mut stack, Some(id), &format!("{indent}{}", if is_last { "   " } else { "│  " }));
        }
    }
    let usage =
        wanted.iter().fold((0, 0.0), |sum, crossing| (sum.0 + crossing.usage.tokens(), sum.1 + crossing.usage.usd));
    if usage.0 > 0 {
        let usd = if usage.1 > 0.0 { format!(", ${:.4}", usage.1) } else { String::new() };
        text.push_str(&fitted(&format!("{} tokens{usd} in all", usage.0), width));
    }
    text
}

/// A call in a line: its number, who answered, how long it took, what it was asked and what it said.
fn line(crossing: &Crossing, room: Option<usize>) -> String {
    let who = match (&crossing.model, crossing.from) {
        (_, Some(Origin::Cache)) => "cache".to_owned(),
        (_, Some(Origin::Replay)) => "record".to_owned(),
        (Some(model), _) => model.clone(),
        (None, _) => crossing.side.to_string(),
    };
    let mut head = format!("{} {} [{who}] {}", crossing.id, crossing.component, took(crossing.micros));
    if crossing.usage.tokens() > 0 {
        write!(head, ", {} tokens", crossing.usage.tokens()).expect("writing to a String cannot fail");
    }
    if !crossing.attempts.is_empty() {
        write!(head, ", {} attempts", crossing.attempts.len() + 1).expect("writing to a String cannot fail");
    }
    if let Some(audit) = &crossing.audit {
        head.push_str(if audit.agreed { ", audited: the same" } else { ", audited: the model says otherwise" });
        if audit.evidence.demoted {
            head.push_str(", the code is demoted");
        }
    }
    let outcome = match (&crossing.error, &crossing.output) {
        (Some(error), _) => format!("✗ {}: {}", error.class, error.message),
        (None, Some(output)) => output.to_string(),
        (None, None) => "?".to_owned(),
    };
    // The input gives way to what came of it.
    let left = room.map_or(usize::MAX, |room| room.saturating_sub(head.chars().count() + 5)).max(20);
    let outcome = cut(&outcome, left.saturating_sub(12).max(left / 2));
    let input = cut(&crossing.input.to_string(), left.saturating_sub(outcome.chars().count()).max(4));
    format!("{head}: {input} → {outcome}")
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// One call, all of it.
fn whole(crossing: &Crossing) -> String {
    let mut text = String::new();
    let mut put = |name: &str, value: &str| {
        let value = printable(value).replace('\n', &format!("\n{:12}", ""));
        writeln!(text, "{name:<12}{value}").expect("writing to a String cannot fail");
    };
    put("call", &format!("{} of run {}", crossing.id, crossing.run));
    put("component", &crossing.component);
    let side = match crossing.from {
        Some(Origin::Cache) => format!("{}, from the cache", crossing.side),
        Some(Origin::Replay) => format!("{}, from the record of a run", crossing.side),
        None => crossing.side.to_string(),
    };
    put("side", &side);
    if let Some(model) = &crossing.model {
        put("model", model);
    }
    if let Some(digest) = &crossing.digest {
        put("digest", digest);
    }
    if let Some(parent) = crossing.parent {
        put("called by", &format!("call {parent}"));
    }
    put("when", &format!("{} (UTC), {}", moment(crossing.started), took(crossing.micros)));
    if crossing.usage.requests > 0 {
        let usage = crossing.usage;
        let usd = if usage.usd > 0.0 { format!(", ${:.6}", usage.usd) } else { String::new() };
        let (prompt, completion) = (usage.prompt_tokens, usage.completion_tokens);
        put("took", &format!("{} requests, {prompt} + {completion} tokens{usd}", usage.requests));
    }
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    put("input", &pretty(&crossing.input));
    if let Some(output) = &crossing.output {
        put("output", &pretty(output));
    }
    if let Some(error) = &crossing.error {
        put("error", &format!("{}: {error}", error.class));
    }
    for (number, Attempt { component, error, output, micros }) in crossing.attempts.iter().enumerate() {
        let what = match (error, output) {
            (Some(error), _) => format!("{}: {}", error.class, error.message),
            (None, Some(output)) => format!("outvoted: {output}"),
            (None, None) => "?".to_owned(),
        };
        put(if number == 0 { "tried" } else { "" }, &format!("{component}, {}: {what}", took(*micros)));
    }
    if let Some(audit) = &crossing.audit {
        let said = audit.output.as_ref().map(ToString::to_string).unwrap_or_default();
        let evidence = audit.evidence;
        let sums = format!("{} of {} audits agreed", evidence.agreed, evidence.agreed + evidence.disagreed);
        let demoted = if evidence.demoted { "; the code is demoted" } else { "" };
        put("audit", &format!("the model says {said}; {sums}, e = {:.2}{demoted}", evidence.e_value));
    }
    text
}

/// Two calls in the same place of two runs.
struct Pair<'a> {
    path: String,
    before: Option<&'a Crossing>,
    after: Option<&'a Crossing>,
}

impl Pair<'_> {
    fn is_same(&self) -> bool {
        match (self.before, self.after) {
            (Some(before), Some(after)) => {
                let class = |crossing: &Crossing| crossing.error.as_ref().map(|error| error.class);
                before.output == after.output && class(before) == class(after)
            }
            _ => false,
        }
    }
}

/// Pairs calls by their place: the component and input of each on the way down, and which of several it is.
fn side_by_side<'a>(before: &'a [Crossing], after: &'a [Crossing]) -> Vec<Pair<'a>> {
    fn placed(crossings: &[Crossing]) -> Vec<((String, String, usize), String, &Crossing)> {
        let mut keys: BTreeMap<u64, String> = BTreeMap::new();
        let mut paths: BTreeMap<u64, String> = BTreeMap::new();
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut out = Vec::new();
        for crossing in crossings {
            let above = crossing.parent.and_then(|parent| keys.get(&parent)).cloned().unwrap_or_default();
            let path = match crossing.parent.and_then(|parent| paths.get(&parent)) {
                Some(above) => format!("{above} → {}", crossing.component),
                None => crossing.component.clone(),
            };
            let input = crossing.input.to_string();
            let place = format!("{above}\n{}", crossing.component);
            let number = seen.entry((place.clone(), input.clone())).or_default();
            *number += 1;
            keys.insert(crossing.id, crate::digest::sha256(format!("{place}\n{input}\n{number}")));
            paths.insert(crossing.id, path.clone());
            out.push(((place, input, *number), path, crossing));
        }
        out
    }
    let mut theirs: BTreeMap<(String, String, usize), (String, &Crossing)> =
        placed(before).into_iter().map(|(key, path, crossing)| (key, (path, crossing))).collect();
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    for (key, path, crossing) in placed(after) {
        let before = theirs.remove(&key).map(|(_, crossing)| crossing);
        pairs.push(Pair { path, before, after: Some(crossing) });
    }
    let mut gone: Vec<(String, &Crossing)> = theirs.into_values().collect();
    gone.sort_by_key(|(_, crossing)| crossing.id);
    pairs.extend(gone.into_iter().map(|(path, crossing)| Pair { path, before: Some(crossing), after: None }));
    pairs
}

fn compared(before: &str, after: &str, pairs: &[Pair<'_>], width: Option<usize>) -> String {
    let said = |crossing: &Crossing| match (&crossing.error, &crossing.output) {
        (Some(error), _) => format!("✗ {}: {}", error.class, error.message),
        (None, Some(output)) => output.to_string(),
        (None, None) => "?".to_owned(),
    };
    let same = pairs.iter().filter(|pair| pair.is_same()).count();
    let mut text = fitted(&format!("{before} → {after}: {same} of {} calls answered the same", pairs.len()), width);
    for pair in pairs.iter().filter(|pair| !pair.is_same()) {
        let input = pair.after.or(pair.before).map(|crossing| crossing.input.to_string()).unwrap_or_default();
        text.push_str(&fitted(&format!("{}: {input}", pair.path), width));
        for (sign, crossing) in [("-", pair.before), ("+", pair.after)] {
            let what = match crossing {
                Some(crossing) => format!("{} ({}, call {})", said(crossing), crossing.side, crossing.id),
                None => "was not called".to_owned(),
            };
            text.push_str(&fitted(&format!("  {sign} {what}"), width));
        }
    }
    let sum = |of: fn(&Crossing) -> u64, pick: for<'p> fn(&'p Pair<'_>) -> Option<&'p Crossing>| {
        pairs.iter().filter_map(pick).map(of).sum::<u64>()
    };
    let tokens = |crossing: &Crossing| crossing.usage.tokens();
    let (then, now) = (sum(tokens, |pair| pair.before), sum(tokens, |pair| pair.after));
    // Calls of a run's own code hold the time of those below them.
    let micros = |crossing: &Crossing| if crossing.parent.is_none() { crossing.micros } else { 0 };
    let (slow, fast) = (sum(micros, |pair| pair.before), sum(micros, |pair| pair.after));
    text.push_str(&fitted(&format!("tokens {then} → {now}, time {} → {}", took(slow), took(fast)), width));
    text
}

/// A duration in microseconds, as people say it.
pub(super) fn took(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let seconds = micros as f64 / 1e6;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.3} ms", seconds * 1e3).replace(".000", ""),
        _ => format!("{seconds:.1} s"),
    }
}

/// A time in milliseconds since 1970, as `2026-11-23 02:40:07`.
fn moment(milliseconds: u64) -> String {
    crate::provenance::rfc3339(milliseconds / 1000).replace('T', " ").trim_end_matches('Z').to_owned()
}
