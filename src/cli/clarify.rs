//! `llmc clarify`: questions on a terminal, and what came of them, printed.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::args::{ClarifyArgs, Cli};
use super::{Output, directory, session};
use crate::clarify::{Inquiry, Question, Verdict};
use crate::driver::{self, Answer, Asker, Clarified, Clarifying, Posed};
use crate::error::{Error, ExitCode};
use crate::report::{count, printable};
use crate::spec::{Wanted, parse_answers};

/// Questions that are listed; --message-format json has all.
const LISTED: usize = 3;

/// Runs the command.
pub(super) async fn clarify(cli: &Cli, args: &ClarifyArgs, output: &Output) -> Result<ExitCode, Error> {
    let from = directory(&cli.global)?;
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let how = match &args.answers {
        Some(file) => {
            let failed = |error| Error::new(ExitCode::Usage, format!("failed to read `{file}`")).cause(error);
            let text = match file.as_str() {
                "-" => {
                    let mut text = String::new();
                    std::io::stdin().lock().read_to_string(&mut text).map(|_| text).map_err(failed)?
                }
                file => std::fs::read_to_string(from.join(file)).map_err(failed)?,
            };
            Clarifying::Answers(parse_answers(&text).map_err(|why| {
                Error::new(ExitCode::Usage, format!("`{file}` holds no answers: {why}"))
                    .hint("- { call: 'f(\"\")', returns: '\"\"' }, or panics, invalid, dont_care")
            })?)
        }
        None if is_terminal && !args.list && args.max_entropy.is_none() && !output.is_json() => {
            Clarifying::Ask(usize::from(args.questions), asker())
        }
        None => Clarifying::List,
    };
    let mut session = session(cli, output, Some(&args.sampling.whole()))?;
    session.options.no_cache = args.no_cache;
    if let Some(jobs) = args.jobs {
        session.options.jobs = usize::from(jobs);
    }
    let clarified = driver::clarify(&mut session, &args.spec, &how, &from).await?;
    let is_list = matches!(how, Clarifying::List);
    print(&clarified, is_list, output);
    if is_list && !args.list && args.max_entropy.is_none() && clarified.before.verdict() == Verdict::Ambiguous {
        let name = &clarified.spec;
        Output::note(&format!(
            "nothing was asked: `llmc clarify {name}` asks on a terminal, `--answers FILE` takes answers from a file"
        ));
    }
    let entropy = clarified.after.entropy();
    match args.max_entropy {
        Some(most) if entropy > most => {
            let message = format!("`{}` leaves {entropy:.2} bits open; --max-entropy is {most}", clarified.spec);
            Err(Error::new(ExitCode::Test, message)
                .hint(format!("`llmc clarify {}` on a terminal asks what is meant", clarified.spec)))
        }
        Some(_) if clarified.before.verdict() == Verdict::TooFew => {
            Output::note("of one program that passes nothing can be said of readings: more samples with -n");
            Ok(ExitCode::Done)
        }
        _ => Ok(ExitCode::Done),
    }
}

/// Asks on the terminal, line by line.
fn asker() -> Asker {
    Arc::new(Mutex::new(|posed: &Posed| {
        let mut lines = std::io::stdin().lock();
        let mut line = |prompt: &str| -> Option<String> {
            Output::prompt(prompt);
            let mut text = String::new();
            match lines.read_line(&mut text) {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(text.trim().to_owned()),
            }
        };
        ask(posed, &mut line)
    }))
}

/// Puts a question; `line` prints a prompt and reads a line, `None` at the end of the input.
fn ask(posed: &Posed, line: &mut dyn FnMut(&str) -> Option<String>) -> Answer {
    let order = order(&posed.question, &posed.shares);
    match &posed.problem {
        Some(why) => Output::note(&printable(&format!("  that can't be taken: {why}"))),
        None => Output::note(&printable(&put(posed, &order))),
    }
    loop {
        let Some(text) = line("> ") else { return Answer::Quit };
        let mut condition = |what: &str| {
            let typed = line(&format!("  {what}; Enter: this input alone> "))?;
            Some((!typed.is_empty()).then_some(typed))
        };
        match text.as_str() {
            "q" => return Answer::Quit,
            "s" => return Answer::Skip,
            "i" => {
                return match condition("a condition that all valid inputs keep") {
                    Some(condition) => Answer::Given(Wanted::Invalid(condition)),
                    None => Answer::Quit,
                };
            }
            "d" => {
                return match condition("a condition that all inputs keep where it matters") {
                    Some(condition) => Answer::Given(Wanted::DontCare(condition)),
                    None => Answer::Quit,
                };
            }
            "o" => {
                let typed = line("  a Rust expression (or `panics`; Enter: back)> ");
                match typed.as_deref() {
                    None => return Answer::Quit,
                    Some("") => {}
                    Some("panics") => return Answer::Given(Wanted::Panics),
                    Some(typed) => return Answer::Given(Wanted::Returns(typed.to_owned())),
                }
            }
            text => match text.parse::<usize>().ok().and_then(|number| order.get(number.checked_sub(1)?)) {
                Some(outcome) => return Answer::Outcome(*outcome),
                None => Output::note(&format!("  a number from 1 to {}, or one of o i d s q", order.len())),
            },
        }
    }
}

/// The outcomes of a question, the most frequent first.
fn order(question: &Question, shares: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..question.outcomes.len()).collect();
    order.sort_by(|one, other| shares[*other].total_cmp(&shares[*one]));
    order
}

/// A question, in words.
fn put(posed: &Posed, order: &[usize]) -> String {
    let (number, most) = posed.number;
    let mut text =
        format!("\nquestion {number} of at most {most}: what should this give?\n\n  {}\n\n", posed.question.call);
    let told = posed.question.told();
    for (place, outcome) in order.iter().enumerate() {
        text.push_str(&format!("  {:>2}  {:>4}  {}\n", place + 1, percent(posed.shares[*outcome]), told[*outcome]));
    }
    text.push_str("\n   o  something else   i  the input is invalid   d  don't care   s  skip   q  stop");
    text
}

/// Prints what was found, and what came of it.
fn print(clarified: &Clarified, is_list: bool, output: &Output) {
    if output.is_json() {
        events(clarified, is_list).into_iter().for_each(Output::json_line);
        return;
    }
    let mut text = found(clarified);
    if is_list && clarified.before.verdict() == Verdict::Ambiguous {
        text.push_str(&listed(&clarified.before));
    }
    if !clarified.answered.is_empty() {
        text.push_str(&answered(clarified));
    }
    Output::data(&printable(&text));
}

/// How far the programs are from doing the same, in words.
fn found(clarified: &Clarified) -> String {
    let Clarified { spec, passed, before, .. } = clarified;
    let (drawn, all) = (clarified.sampled, before.draws());
    let mut text = format!("{spec}: {} of {}, {passed} pass\n", count(drawn, "sample"), clarified.model);
    let lost = passed - all.min(*passed);
    if lost > 0 {
        text.push_str(&format!("  {lost} of them could not be run on inputs\n"));
    }
    let tried = clarified.coverage.as_ref().map(|coverage| coverage.sentence());
    match before.verdict() {
        Verdict::TooFew => {
            text.push_str("  fewer than two that pass: nothing to compare (more samples with -n)\n");
        }
        Verdict::Alike => {
            text.push_str(&format!("  no ambiguity was found: {all} of {all} that pass do the same\n"));
            match tried {
                Some(tried) => text.push_str(&format!("  {tried}\n")),
                None => text.push_str("  they are the same program\n"),
            }
        }
        Verdict::Noise => {
            let most = before.readings.first().map_or(0, |reading| reading.draws);
            text.push_str(&format!("  not ambiguous: {most} of {all} that pass do the same; "));
            let rivals = count(before.readings.len() - 1, "other reading");
            text.push_str(&format!("{rivals} below 15%: taken for noise of the model\n"));
        }
        Verdict::Ambiguous => {
            let shares: Vec<String> = before.readings.iter().take(6).map(|reading| percent(reading.weight)).collect();
            let more = if before.readings.len() > shares.len() { " …" } else { "" };
            text.push_str(&format!(
                "  ambiguous: {} ({}{more}), {}\n",
                count(before.readings.len(), "reading"),
                shares.join(", "),
                open(before.entropy())
            ));
        }
    }
    if let Some(coverage) = &clarified.coverage {
        for (function, why) in &coverage.not_called {
            text.push_str(&format!("  `{function}` was run on the spec's own calls only: {why}\n"));
        }
    }
    text
}

fn listed(inquiry: &Inquiry) -> String {
    let weights = inquiry.weights();
    let mut text = "the questions that tell most:\n".to_owned();
    for (place, at) in inquiry.top(LISTED).into_iter().enumerate() {
        let question = &inquiry.questions[at];
        let shares = question.shares(&weights);
        text.push_str(&format!("\n{}. {}\n", place + 1, question.call));
        let told = question.told();
        for outcome in order(question, &shares) {
            text.push_str(&format!("   {:>4}  {}\n", percent(shares[outcome]), told[outcome]));
        }
        text.push_str(&format!("   an answer tells {:.2} bits\n", question.gain(&weights)));
    }
    text
}

fn answered(clarified: &Clarified) -> String {
    let Clarified { spec, path, before, after, .. } = clarified;
    let mut text = String::new();
    for one in &clarified.answered {
        text.push_str(&format!("\n{}: {}\n", one.call, one.answer));
        if let Some(why) = &one.problem {
            text.push_str(&format!("  not written: {why}\n"));
        }
        one.lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text.push_str(&format!("\nbefore  {}\n", open(before.entropy())));
    text.push_str(&format!("after   {}\n", open(after.entropy())));
    if let Some((leader, weight)) = after.leader() {
        text.push_str(&format!(
            "        what {} of {} programs do leads with {} (an answer is taken to be a slip 1 time in 20)\n",
            after.readings[leader].draws,
            after.draws(),
            percent(weight)
        ));
    }
    match clarified.written {
        true => text.push_str(&format!(
            "{path} was changed; `llmc measure {spec}` shows what it means now, `llmc build {spec}` builds it\n"
        )),
        false => text.push_str(&format!("{path} was not changed\n")),
    }
    text
}

/// An entropy in words.
fn open(bits: f64) -> String {
    format!("{bits:.2} bits open: as a choice between {:.1} readings, all as likely", bits.exp2())
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn events(clarified: &Clarified, is_list: bool) -> Vec<Value> {
    let Clarified { spec, before, after, .. } = clarified;
    let verdict = match before.verdict() {
        Verdict::TooFew => "too-few",
        Verdict::Alike => "alike",
        Verdict::Noise => "noise",
        Verdict::Ambiguous => "ambiguous",
    };
    let readings = before.readings.iter().zip(&clarified.first);
    let readings = readings.map(|(one, first)| json!({"draws": one.draws, "share": one.weight, "sample": first + 1}));
    let mut events = vec![json!({
        "event": "readings", "spec": spec, "model": clarified.model, "sampled": clarified.sampled,
        "passed": clarified.passed, "verdict": verdict, "entropy": before.entropy(),
        "readings": readings.collect::<Vec<_>>(), "coverage": clarified.coverage,
    })];
    if is_list {
        let weights = before.weights();
        events.extend(before.ranked().into_iter().map(|at| {
            let question = &before.questions[at];
            let shares = question.shares(&weights);
            let outcomes = question.outcomes.iter().enumerate().map(|(outcome, told)| {
                let readings: Vec<usize> = (0..question.of.len()).filter(|at| question.of[*at] == outcome).collect();
                json!({"kind": told.kind, "text": told.text, "share": shares[outcome], "readings": readings})
            });
            json!({
                "event": "question", "spec": spec, "call": question.call, "entropy": question.entropy(&weights),
                "gain": question.gain(&weights), "outcomes": outcomes.collect::<Vec<_>>(),
            })
        }));
    }
    for one in &clarified.answered {
        events.push(json!({
            "event": "answered", "spec": spec, "call": one.call, "answer": one.answer, "lines": one.lines,
            "problem": one.problem,
        }));
    }
    let leader = after.leader();
    events.push(json!({
        "event": "clarified", "spec": spec, "path": clarified.path, "written": clarified.written,
        "entropy": {"before": before.entropy(), "after": after.entropy()},
        "leader": leader.map(|(at, weight)| json!({"draws": after.readings[at].draws, "weight": weight})),
    }));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::{Kind, Outcome};

    fn answered(lines: &[&str]) -> Answer {
        let outcome = |text: &str| Outcome { kind: Kind::Value, text: text.to_owned() };
        let question =
            Question { call: "f(1)".to_owned(), outcomes: vec![outcome("1"), outcome("2")], of: vec![0, 1, 1] };
        let posed = Posed { number: (1, 5), question, shares: vec![0.4, 0.6], problem: None };
        let mut lines = lines.iter();
        let answer = ask(&posed, &mut |_| lines.next().map(|line| (*line).to_owned()));
        assert_eq!(lines.next(), None, "every line was read");
        answer
    }

    #[test]
    fn answers_are_numbers_letters_or_expressions() {
        // The most frequent one is the first.
        assert_eq!(answered(&["1"]), Answer::Outcome(1));
        assert_eq!(answered(&["3", "0", "x", "", "2"]), Answer::Outcome(0));
        assert_eq!(answered(&["s"]), Answer::Skip);
        assert_eq!(answered(&[]), Answer::Quit);
        assert_eq!(answered(&["o", "", "o", "1 + 2"]), Answer::Given(Wanted::Returns("1 + 2".to_owned())));
        assert_eq!(answered(&["o", "panics"]), Answer::Given(Wanted::Panics));
        assert_eq!(answered(&["i", ""]), Answer::Given(Wanted::Invalid(None)));
        assert_eq!(answered(&["d", "x < 3"]), Answer::Given(Wanted::DontCare(Some("x < 3".to_owned()))));
        assert_eq!(answered(&["i"]), Answer::Quit);
    }
}
