//! `llmc strength`: what was found, printed; suggested examples, put to a person on a terminal.

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::args::{Cli, StrengthArgs};
use super::ledger::columns;
use super::{Output, directory, session};
use crate::behaviour::{Kind, Outcome};
use crate::driver::{
    self, Added, Adding, Beside, Fate, Judge, Opinion, Put, Rival, Strength, Suggestion, Tried, Trying,
};
use crate::error::{Error, ExitCode};
use crate::report::{count, one_line, printable};

/// Most mutants and suggestions that are listed; --message-format json has all.
const LISTED: usize = 20;
/// Most rivals that are listed.
const RIVALS: usize = 5;
/// Longest outcome that is shown beside another.
const SHORT: usize = 60;

/// Runs the command.
pub(super) async fn strength(cli: &Cli, args: &StrengthArgs, output: &Output) -> Result<ExitCode, Error> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let adding = match (args.add, args.yes) {
        (false, _) => Adding::Nothing,
        (true, true) => Adding::All,
        (true, false) if is_terminal && !output.is_json() => Adding::Asked(judge()),
        (true, false) => {
            let error = Error::new(ExitCode::Usage, "--add asks whether each value is right, and there is no terminal");
            return Err(error.hint("--add --yes takes what the artifact gives for right, and asks nothing"));
        }
    };
    let mut session = session(cli, output, None)?;
    session.options.no_cache = args.no_cache;
    if let Some(jobs) = args.jobs {
        session.options.jobs = usize::from(jobs);
    }
    let asked = Trying { most: usize::from(args.mutants), seed: args.seed, adding };
    let strength = driver::strength(&mut session, &args.spec, &asked, &directory(&cli.global)?).await?;
    print(&strength, output);
    let is_denied = args.deny_missed && strength.count(Fate::Missed) > strength.equivalent();
    Ok(if is_denied { ExitCode::Test } else { ExitCode::Done })
}

/// Asks on the terminal, line by line.
fn judge() -> Judge {
    Arc::new(Mutex::new(|put: &Put<'_>| {
        let mut lines = std::io::stdin().lock();
        let mut line = |prompt: &str| -> Option<String> {
            Output::prompt(prompt);
            let mut text = String::new();
            match lines.read_line(&mut text) {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(text.trim().to_owned()),
            }
        };
        ask(put, &mut line)
    }))
}

/// Puts a suggestion; `line` prints a prompt and reads a line, `None` at the end of the input.
fn ask(put: &Put<'_>, line: &mut dyn FnMut(&str) -> Option<String>) -> Opinion {
    match put.problem {
        Some(why) => Output::note(&printable(&format!("  that can't be taken: {why}"))),
        None => {
            let ((number, of), Suggestion { call, artifact, catches, .. }) = (put.number, put.suggestion);
            let told = |outcome: &Outcome| one_line(&short(&outcome.text));
            let mut text = format!("\nsuggestion {number} of {of}: is this right?\n\n  {}\n", one_line(call));
            text.push_str(&format!("  the artifact gives  {}\n", told(artifact)));
            let mut others: Vec<String> = catches.iter().map(|(_, outcome)| told(outcome)).collect();
            others.sort();
            others.dedup();
            for other in others.iter().take(3) {
                text.push_str(&format!("  a change gives      {other}\n"));
            }
            text.push_str("\n  y  yes, add it   w  it is wrong   s  skip   q  stop");
            Output::note(&text);
        }
    }
    loop {
        let Some(text) = line("> ") else { return Opinion::Quit };
        match text.as_str() {
            "y" | "yes" => return Opinion::Right,
            "s" | "n" | "no" => return Opinion::Skip,
            "q" => return Opinion::Quit,
            "w" => match line("  what it should give, a Rust expression (or `panics`; Enter: back)> ").as_deref() {
                None => return Opinion::Quit,
                Some("") => {}
                Some("panics") => return Opinion::Panics,
                Some(typed) => return Opinion::Wrong(typed.to_owned()),
            },
            _ => Output::note("  one of y w s q"),
        }
    }
}

/// Prints how much a spec's checks pin down.
fn print(strength: &Strength, output: &Output) {
    if output.is_json() {
        events(strength).into_iter().for_each(Output::json_line);
        return;
    }
    let mut text = counted(strength);
    text.push_str(&missed(strength));
    text.push_str(&suggested(strength));
    text.push_str(&rivals(strength));
    text.push_str(&table(strength));
    Output::data(&printable(&text));
    notes(strength);
}

/// How many are caught, and what was left out of that.
fn counted(strength: &Strength) -> String {
    let (name, (caught, all), (low, high)) = (&strength.spec, strength.score(), strength.interval());
    let mut text = match all {
        0 => {
            format!("{name}: no change of the artifact compiles and makes a difference: the checks can't be tried so\n")
        }
        _ => format!(
            "{name}: the checks catch {caught} of {} ({:.0}%; 95% interval {:.0} to {:.0}%)\n",
            count(all, "small change"),
            caught as f64 / all as f64 * 100.0,
            low * 100.0,
            high * 100.0
        ),
    };
    let mut beside = Vec::new();
    if strength.of > strength.mutants.len() {
        beside.push(format!("{} of {} possible changes tried, at random", strength.mutants.len(), strength.of));
    }
    for (number, what) in [
        (strength.count(Fate::TimedOut), "ran out of time (caught)"),
        (strength.equivalent(), "likely the same program (left out)"),
        (strength.count(Fate::Unviable), "did not compile (left out)"),
    ] {
        if number > 0 {
            beside.push(format!("{number} {what}"));
        }
    }
    if !beside.is_empty() {
        text.push_str(&format!("  {}\n", beside.join("; ")));
    }
    text
}

/// Each change that no check notices, and what is known of it.
fn missed(strength: &Strength) -> String {
    let path = &strength.path;
    let place = |one: &Tried| {
        let mutant = &one.mutant;
        format!("  {path}:{}:{}  in `{}`: {}\n", mutant.line, mutant.column, mutant.function, mutant.what)
    };
    let is_same = |one: &Tried| matches!(one.beside, Some(Beside::LikelyEquivalent(_)));
    let missed = strength.mutants.iter().filter(|one| one.fate == Fate::Missed);
    let (same, other): (Vec<&Tried>, Vec<&Tried>) = missed.partition(|one| is_same(one));
    let mut text = String::new();
    if !other.is_empty() {
        text.push_str("\nmissed: with each of these every check still passes\n");
        for one in other.iter().take(LISTED) {
            text.push_str(&place(one));
            match &one.beside {
                Some(Beside::Differs { call, artifact, mutant }) => text.push_str(&format!(
                    "      {}: {}; the artifact: {}\n",
                    one_line(&short(call)),
                    one_line(&short(&mutant.text)),
                    one_line(&short(&artifact.text))
                )),
                _ => text
                    .push_str("      no input was found on which it differs, of too few to say that there is none\n"),
            }
        }
        if other.len() > LISTED {
            text.push_str(&format!("  and {} more (--message-format json)\n", other.len() - LISTED));
        }
    }
    if !same.is_empty() {
        let most = same.iter().filter_map(|one| match one.beside {
            Some(Beside::LikelyEquivalent(bound)) => Some(bound),
            _ => None,
        });
        let most = most.fold(0.0, f64::max);
        let sure = match most {
            0.0 => "on every input that there is they do as the artifact does".to_owned(),
            most => format!(
                "no input was found on which they differ from the artifact\n(on {:.1}% of inputs drawn at random at most; 95% sure)",
                (most * 1000.0).ceil() / 10.0
            ),
        };
        text.push_str(&format!("\nlikely the same program: {sure}\n"));
        same.iter().take(LISTED).for_each(|one| text.push_str(&place(one)));
        if same.len() > LISTED {
            text.push_str(&format!("  and {} more (--message-format json)\n", same.len() - LISTED));
        }
    }
    let not_called = strength.coverage.iter().flat_map(|coverage| &coverage.not_called);
    if strength.mutants.iter().any(|one| one.fate == Fate::Missed) {
        for (function, why) in not_called {
            text.push_str(&format!("`{function}` was run on the spec's own calls only: {why}\n"));
        }
    }
    text
}

/// Examples to add.
fn suggested(strength: &Strength) -> String {
    if strength.suggestions.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\nexamples that catch what is missed, for `{}`; the values are what the artifact gives: check each\n",
        strength.spec_path
    );
    for one in strength.suggestions.iter().take(LISTED) {
        let also = match one.rivals.len() {
            0 => "",
            _ => ", and tells rivals apart",
        };
        let panics = if one.artifact.kind == Kind::Panic { "; the artifact panics here: is that meant?" } else { "" };
        text.push_str(&format!("  # catches {}{also}{panics}\n", count(one.catches.len(), "missed change")));
        match one.lines.as_slice() {
            [] => {
                text.push_str(&format!("  - call: {}\n    # {}\n", one_line(&one.call), one_line(&one.artifact.text)))
            }
            lines => lines.iter().for_each(|line| text.push_str(&format!("{line}\n"))),
        }
        match &one.added {
            Some(Added::Failed(why)) => text.push_str(&format!("  # not added: {why}\n")),
            Some(Added::Corrected) => text.push_str("  # added with another value: the artifact is wrong there\n"),
            Some(Added::Yes) => text.push_str("  # added\n"),
            _ => {}
        }
    }
    if strength.suggestions.len() > LISTED {
        text.push_str(&format!("  # and {} more (--message-format json)\n", strength.suggestions.len() - LISTED));
    }
    text
}

/// Programs that pass and do something else.
fn rivals(strength: &Strength) -> String {
    if strength.rivals.is_empty() {
        return String::new();
    }
    let mut text = "\nrivals: samples of the last build that pass every check and do something else\n".to_owned();
    for Rival { samples, call, artifact, rival } in strength.rivals.iter().take(RIVALS) {
        let numbers: Vec<String> = samples.iter().take(8).map(ToString::to_string).collect();
        let more = if samples.len() > numbers.len() { " …" } else { "" };
        let noun = if samples.len() == 1 { "sample" } else { "samples" };
        text.push_str(&format!(
            "  {noun} {}{more}  {}: {}; the artifact: {}\n",
            numbers.join(", "),
            one_line(&short(call)),
            one_line(&short(&rival.text)),
            one_line(&short(&artifact.text))
        ));
    }
    if strength.rivals.len() > RIVALS {
        text.push_str(&format!("  and {} more (--message-format json)\n", strength.rivals.len() - RIVALS));
    }
    text
}

/// What each check does.
fn table(strength: &Strength) -> String {
    if strength.checks.is_empty() || strength.score().1 == 0 {
        return String::new();
    }
    let number = |number: usize| number.to_string();
    let mut rows = vec![["check", "catches", "alone", "rejects", "alone"].map(str::to_owned)];
    rows.extend(strength.checks.iter().map(|one| {
        let name = if one.hidden { format!("{} (hidden)", one.code) } else { one.code.clone() };
        [name, number(one.catches), number(one.alone), number(one.rejects.0), number(one.rejects.1)]
    }));
    let table = match strength.rejected {
        0 => {
            let rows: Vec<[String; 3]> = rows.iter().map(|[a, b, c, ..]| [a.clone(), b.clone(), c.clone()]).collect();
            columns(&rows, 1, 0)
        }
        _ => columns(&rows, 1, 0),
    };
    format!("\n{table}")
}

/// What to know and to do, for people.
fn notes(strength: &Strength) {
    let name = &strength.spec;
    if strength.rejected > 0 {
        let rejected = count(strength.rejected, "program");
        Output::note(&format!("rejects: of {rejected} that the last build sampled, compiled and rejected"));
    }
    let is_idle = |one: &&driver::Share| one.alone == 0 && one.rejects.1 == 0;
    let idle: Vec<&str> = strength.checks.iter().filter(is_idle).map(|one| one.code.as_str()).collect();
    if !idle.is_empty() && strength.checks.len() > 1 {
        let idle = idle.join(", ");
        Output::note(&format!(
            "alone: what no other check catches. Any one of these could go and nothing be missed: {idle}"
        ));
    }
    if !strength.rivals.is_empty() {
        Output::note(&format!("rivals read the spec in another way: `llmc clarify {name}` asks which is meant"));
    }
    if strength.written {
        Output::note(&format!(
            "`{}` was changed: `llmc strength {name}` tries it, `llmc build {name}` builds what it says now",
            strength.spec_path
        ));
    } else if strength.suggestions.iter().any(|one| one.added.is_none()) {
        Output::note(&format!("`llmc strength {name} --add` asks of each example whether it is right, and adds it"));
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn events(strength: &Strength) -> Vec<Value> {
    let Strength { spec, mutants, .. } = strength;
    let (caught, all) = strength.score();
    let (low, high) = strength.interval();
    let mut events: Vec<Value> = Vec::new();
    // Suggestions name mutants by their number, from 1.
    for (at, one) in mutants.iter().enumerate() {
        let by: Vec<&str> = one.by.iter().map(|at| strength.checks[*at].code.as_str()).collect();
        let (differs, bound) = match &one.beside {
            Some(Beside::Differs { call, artifact, mutant }) => {
                (json!({"call": call, "artifact": artifact, "mutant": mutant}), None)
            }
            Some(Beside::LikelyEquivalent(bound)) => (Value::Null, Some(bound)),
            _ => (Value::Null, None),
        };
        events.push(json!({
            "event": "mutant", "spec": spec, "number": at + 1, "path": strength.path, "line": one.mutant.line,
            "column": one.mutant.column, "function": one.mutant.function, "change": one.mutant.what, "fate": one.fate.as_str(), "by": by,
            "likely_equivalent": bound.is_some(), "differs_at_most": bound, "differs": differs,
        }));
    }
    events.extend(strength.rivals.iter().enumerate().map(|(at, one)| {
        json!({
            "event": "rival", "spec": spec, "number": at + 1, "samples": one.samples, "call": one.call,
            "artifact": one.artifact, "rival": one.rival,
        })
    }));
    events.extend(strength.suggestions.iter().map(|one| {
        let catches = one.catches.iter().map(|(at, outcome)| json!({"mutant": at + 1, "outcome": outcome}));
        let (added, problem) = match &one.added {
            None => (Value::Null, None),
            Some(Added::Yes) => ("added".into(), None),
            Some(Added::Corrected) => ("corrected".into(), None),
            Some(Added::No) => ("skipped".into(), None),
            Some(Added::Failed(why)) => ("failed".into(), Some(why)),
        };
        json!({
            "event": "suggestion", "spec": spec, "call": one.call, "artifact": one.artifact,
            "catches": catches.collect::<Vec<_>>(), "rivals": one.rivals.iter().map(|at| at + 1).collect::<Vec<_>>(),
            "lines": one.lines, "added": added, "problem": problem,
        })
    }));
    let checks = strength.checks.iter().map(|one| {
        json!({
            "code": one.code, "hidden": one.hidden, "catches": one.catches, "alone": one.alone,
            "rejects": one.rejects.0, "rejects_alone": one.rejects.1,
        })
    });
    events.push(json!({
        "event": "strength", "spec": spec, "mutants": strength.of, "tried": mutants.len(), "caught": caught,
        "timed_out": strength.count(Fate::TimedOut), "missed": strength.count(Fate::Missed),
        "likely_equivalent": strength.equivalent(), "unviable": strength.count(Fate::Unviable),
        "score": (all > 0).then(|| caught as f64 / all as f64), "interval": [low, high], "rejected": strength.rejected,
        "checks": checks.collect::<Vec<_>>(), "coverage": strength.coverage, "path": strength.spec_path,
        "written": strength.written,
    }));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Example, Expect, Snippet};

    fn asked(lines: &[&str]) -> Opinion {
        let outcome = |text: &str| Outcome { kind: Kind::Value, text: text.to_owned() };
        let example = Example { call: Snippet::new("f(1)"), expect: Expect::Returns(Snippet::new("1")), hidden: false };
        let (call, lines_of) = ("f(1)".to_owned(), vec!["  - call: f(1)".to_owned()]);
        let suggestion = Suggestion {
            example,
            call,
            artifact: outcome("1"),
            catches: vec![(0, outcome("2"))],
            rivals: Vec::new(),
            lines: lines_of,
            added: None,
        };
        let mut lines = lines.iter();
        let put = Put { number: (1, 1), suggestion: &suggestion, problem: None };
        let opinion = ask(&put, &mut |_| lines.next().map(|line| (*line).to_owned()));
        assert_eq!(lines.next(), None, "every line was read");
        opinion
    }

    #[test]
    fn nothing_is_taken_for_right_that_nobody_said_is() {
        assert_eq!(asked(&["y"]), Opinion::Right);
        assert_eq!(asked(&["", "ja", "s"]), Opinion::Skip);
        assert_eq!(asked(&[]), Opinion::Quit);
        assert_eq!(asked(&["w", "", "w", "1 + 2"]), Opinion::Wrong("1 + 2".to_owned()));
        assert_eq!(asked(&["w", "panics"]), Opinion::Panics);
        assert_eq!(asked(&["w"]), Opinion::Quit);
        assert_eq!(asked(&["q"]), Opinion::Quit);
    }
}
