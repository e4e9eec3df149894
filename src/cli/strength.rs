//! `llmc strength`, printed.

use serde_json::json;

use super::Output;
use super::ledger::columns;
use crate::driver::{Fate, Strength};
use crate::report::{count, printable};

/// Most mutants that are listed; --message-format json has all.
const LISTED: usize = 20;

/// Prints how much a spec's checks pin down.
pub(super) fn print(strength: &Strength, output: &Output) {
    let (caught, all) = strength.score();
    let (low, high) = strength.interval();
    if output.is_json() {
        for one in &strength.mutants {
            let by: Vec<&str> = one.by.iter().map(|at| strength.checks[*at].code.as_str()).collect();
            Output::json_line(json!({
                "event": "mutant", "spec": strength.spec, "path": strength.path, "line": one.mutant.line,
                "function": one.mutant.function, "change": one.mutant.what, "fate": one.fate.as_str(), "by": by,
            }));
        }
        let checks = strength.checks.iter().map(|one| {
            json!({
                "code": one.code, "hidden": one.hidden, "catches": one.catches, "alone": one.alone,
                "rejects": one.rejects.0, "rejects_alone": one.rejects.1,
            })
        });
        let checks: Vec<_> = checks.collect();
        Output::json_line(json!({
            "event": "strength", "spec": strength.spec, "mutants": strength.of, "tried": strength.mutants.len(),
            "caught": caught, "timed_out": strength.count(Fate::TimedOut), "missed": all - caught,
            "unviable": strength.count(Fate::Unviable), "interval": [low, high], "rejected": strength.rejected,
            "checks": checks,
        }));
        return;
    }
    let name = &strength.spec;
    let mut text = String::new();
    if all == 0 {
        text.push_str(&format!("{name}: no mutant of the artifact compiles: its checks can't be tried in this way\n"));
    } else {
        text.push_str(&format!(
            "{name}: the checks catch {caught} of {} ({:.0}%; 95% interval {:.0} to {:.0}%)\n",
            count(all, "small change"),
            caught as f64 / all as f64 * 100.0,
            low * 100.0,
            high * 100.0
        ));
    }
    let mut beside = Vec::new();
    if strength.of > strength.mutants.len() {
        beside.push(format!("{} of {} possible changes tried, at random", strength.mutants.len(), strength.of));
    }
    for (fate, what) in [(Fate::TimedOut, "ran out of time (caught)"), (Fate::Unviable, "did not compile (left out)")] {
        if strength.count(fate) > 0 {
            beside.push(format!("{} {what}", strength.count(fate)));
        }
    }
    if !beside.is_empty() {
        text.push_str(&format!("  {}\n", beside.join("; ")));
    }
    let missed: Vec<_> = strength.mutants.iter().filter(|one| one.fate == Fate::Missed).collect();
    if !missed.is_empty() {
        text.push_str("\nmissed: with each of these every check still passes\n");
        for one in missed.iter().take(LISTED) {
            let (path, line) = (&strength.path, one.mutant.line);
            text.push_str(&format!("  {path}:{line}  in `{}`: {}\n", one.mutant.function, one.mutant.what));
        }
        if missed.len() > LISTED {
            text.push_str(&format!("  and {} more (--message-format json)\n", missed.len() - LISTED));
        }
    }
    if !strength.checks.is_empty() && all > 0 {
        text.push('\n');
        let number = |number: usize| number.to_string();
        let mut rows = vec![["check", "catches", "alone", "rejects", "alone"].map(str::to_owned)];
        rows.extend(strength.checks.iter().map(|one| {
            let name = if one.hidden { format!("{} (hidden)", one.code) } else { one.code.clone() };
            [name, number(one.catches), number(one.alone), number(one.rejects.0), number(one.rejects.1)]
        }));
        let skipped = |rows: &[[String; 5]]| match strength.rejected {
            0 => {
                let rows: Vec<[String; 3]> =
                    rows.iter().map(|[a, b, c, ..]| [a.clone(), b.clone(), c.clone()]).collect();
                columns(&rows, 1, 0)
            }
            _ => columns(rows, 1, 0),
        };
        text.push_str(&skipped(&rows));
    }
    Output::data(&printable(&text));
    if strength.rejected > 0 {
        let rejected = count(strength.rejected, "program");
        Output::note(&format!("rejects: of {rejected} that the last build sampled, compiled and rejected"));
    }
    let idle: Vec<&str> = strength
        .checks
        .iter()
        .filter(|one| one.alone == 0 && one.rejects.1 == 0)
        .map(|one| one.code.as_str())
        .collect();
    if !idle.is_empty() && strength.checks.len() > 1 {
        let idle = idle.join(", ");
        Output::note(&format!(
            "alone: what no other check catches. Any one of these could go and nothing be missed: {idle}"
        ));
    }
    if !missed.is_empty() {
        Output::note(&format!(
            "an example that tells a missed change from the artifact pins it down: add it to the spec, then `llmc build {name}`"
        ));
    }
}
