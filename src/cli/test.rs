//! `llmc test`, printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::args::{AskingArgs, MessageFormat};
use super::call::{positive, rules};
use super::{Output, directory, session};
use crate::certify::{Expectation, Finding, IN_TIME, MOST_RUNS, Verdict};
use crate::driver::{self, DRIFT, Opening, Planned, TestRun, Testing};
use crate::error::{Error, ExitCode};
use crate::harness::{Approver, Budget, Question, Reply};
use crate::ledger::MeanCall;
use crate::report::ci::{Outcome, TestCase, junit_tests};
use crate::report::{Verbosity, count, one_line, printable};
use crate::stats::Decision;
use crate::trial::Case;

/// Cases that are listed; --message-format json has all calls.
const LISTED: usize = 5;
/// Characters of a value that are shown.
const SHOWN: usize = 100;

/// `llmc test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  llmc test ticket_class                        does it keep what its spec expects of it?
  llmc test ticket_class --list                 what would be asked, and how often at most
  llmc test ticket_class --max-runs 3000        a rate of 0.999 takes that many calls
  llmc test ticket_class --cases labelled.jsonl other cases: JSON lines with `input` and `output`
  llmc test ticket_class --message-format junit for CI

Exit codes: 0 everything expected holds, 7 something does not, 8 not decided with so many calls.")]
pub(crate) struct TestArgs {
    /// The component, by its spec's name or file
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The most calls that count [default: four times as many as it takes when all are good, and at most 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_runs: Option<u16>,
    /// How likely something may pass that does not hold
    #[arg(long, value_name = "ALPHA", default_value_t = 0.05)]
    pub(crate) alpha: f64,
    /// The most that all calls may cost together, in US dollars
    #[arg(long, value_name = "USD", value_parser = positive)]
    pub(crate) max_usd: Option<f64>,
    /// Ask about these cases, JSON lines with `input` and `output`, and not about the spec's examples
    #[arg(long, value_name = "FILE")]
    pub(crate) cases: Option<String>,
    /// Say what is expected and what would be asked, and call nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Draw the cases in the order that this number gives; the answers are new ones all the same
    #[arg(long, value_name = "N")]
    pub(crate) order: Option<u64>,
    /// Ask this model instead, as provider/name
    #[arg(long, value_name = "MODEL", env = "LLMC_MODEL")]
    pub(crate) model: Option<String>,
    /// Ask the model, even where there is code
    #[arg(long)]
    pub(crate) model_only: bool,
    /// Read more rules on who may call what from this file (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Agree to every call that a rule wants an approval for
    #[arg(long)]
    pub(crate) yes: bool,
    /// Calls at once [default: 4; 1 where time is limited]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) jobs: Option<u8>,
}

/// Runs the command.
pub(super) async fn test(cli: &super::Cli, args: &TestArgs, output: &Output) -> Result<ExitCode, Error> {
    let from = directory(&cli.global)?;
    let asking = AskingArgs { model: args.model.clone(), ..AskingArgs::default() };
    let mut session = session(cli, output, Some(&asking.whole()))?;
    let asked = Testing {
        runs: args.max_runs.map(usize::from),
        alpha: args.alpha,
        at_once: args.jobs.map(usize::from),
        seed: args.order,
        cases: args.cases.as_ref().map(|file| read(&from.join(file), file)).transpose()?,
        budget: Budget { usd: args.max_usd, ..Budget::default() },
    };
    if args.list {
        let spec = driver::component_spec(&session, &args.name, &from)?;
        let usual = driver::usual_call(&session, &spec.name)?;
        list(&driver::plan_test(&spec, &asked)?, usual.as_ref(), output);
        return Ok(ExitCode::Done);
    }
    let rules = args.rules.as_deref().map(|file| rules(&from.join(file))).transpose()?.unwrap_or_default();
    let approver: Option<Arc<dyn Approver>> = match args.yes {
        true => Some(Arc::new(|_: &Question| Reply::Once)),
        // Many calls at once are no place for questions: what would be asked is denied, and that is told.
        false => None,
    };
    let opening = Opening { rules, approver, models_only: args.model_only, ..Opening::default() };
    let subject = driver::subject(&mut session, &args.name, opening, &from).await?;
    let planned = driver::plan_test(&subject.spec, &asked)?;
    let usual = driver::usual_call(&session, &planned.name)?;
    if output.is_json() {
        Output::json_line(plan(&planned, usual.as_ref()));
    } else if output.verbosity != Verbosity::Quiet {
        Output::note(&printable(&estimate(&planned, usual.as_ref())));
    }
    let run = driver::test(&mut session, &subject, planned, &asked).await?;
    match output.format {
        // The event told it.
        MessageFormat::Json => {}
        MessageFormat::Junit => Output::data(&junit(&run)),
        _ => Output::data(&printable(&human(&run))),
    }
    Ok(run.exit())
}

/// Reads cases: JSON lines.
fn read(path: &Path, named: &str) -> Result<Vec<Case>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(ExitCode::Usage, format!("failed to read `{named}`")).cause(error))?;
    let mut cases = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: &str| {
            Error::new(ExitCode::Usage, format!("`{named}`, line {}: {why}", at + 1))
                .hint("{\"input\": …, \"output\": …}: one case a line; other keys are passed over")
        };
        let mut value: Value = serde_json::from_str(line).map_err(|error| wrong(&format!("no JSON: {error}")))?;
        let Some(object) = value.as_object_mut() else { return Err(wrong("no JSON object")) };
        let mut take = |key: &str| object.remove(key).ok_or_else(|| wrong(&format!("no `{key}`")));
        cases.push(Case { input: take("input")?, expected: take("output")?, shown: false });
    }
    Ok(cases)
}

/// The fewest calls that can show all that is expected, and the most that are made for it.
fn calls(planned: &Planned) -> (usize, usize) {
    let most = planned.expectations.iter().map(|(_, _, most)| *most).max().unwrap_or(0);
    let least = planned.expectations.iter().map(|(_, least, _)| *least).max().unwrap_or(0);
    (least.min(most), most)
}

/// What a test is going to take, as JSON.
fn plan(planned: &Planned, usual: Option<&MeanCall>) -> Value {
    let (least, most) = calls(planned);
    serde_json::json!({
        "event": "planned", "spec": planned.name, "least": least, "most": most, "tokens_per_call": usual.map(|one| one.tokens),
        "usd_per_call": usual.map(|one| one.usd), "of": usual.map_or(0, |one| one.calls),
    })
}

/// The same for people, and what can't be shown with so many calls.
fn estimate(planned: &Planned, usual: Option<&MeanCall>) -> String {
    let (least, most) = calls(planned);
    let mut text = match least == most {
        true => format!("{} at most", count(most, "call")),
        false => format!("{least} to {most} calls"),
    };
    text.push_str(", fewer where it fails");
    if let Some(usual) = usual {
        let (low, high) = (usual.tokens * least as f64, usual.tokens * most as f64);
        let _ = write!(text, "; about {low:.0} to {high:.0} tokens");
        if usual.usd > 0.0 {
            let _ = write!(text, ", ${:.4} to ${:.4}", usual.usd * least as f64, usual.usd * most as f64);
        }
        let _ = write!(text, ", as the last {} took", count(usual.calls as usize, "recorded call"));
    }
    for (expectation, least, most) in &planned.expectations {
        if least > most {
            let _ = write!(
                text,
                "\n`{expectation}` takes {least} calls at least: with {most} it can fail, and not pass{}",
                enough(*least)
            );
        }
    }
    text
}

/// How so many calls are allowed, where they can be.
fn enough(least: usize) -> String {
    match least <= MOST_RUNS {
        true => format!(" (`--max-runs {least}`)"),
        false => format!("; more than {MOST_RUNS} can't be planned for"),
    }
}

fn list(planned: &Planned, usual: Option<&MeanCall>, output: &Output) {
    if output.is_json() {
        for (expectation, least, most) in &planned.expectations {
            Output::json_line(serde_json::json!({
                "event": "expectation", "spec": planned.name, "expectation": expectation, "least": least, "most": most,
                "cases": planned.cases.len(),
            }));
        }
        return;
    }
    let shown = planned.cases.iter().filter(|case| case.shown).count();
    let of_those = if shown > 0 { format!(", {shown} of them shown to the model") } else { String::new() };
    let mut text = format!("{}: {}{of_those}\n", planned.name, count(planned.cases.len(), "case"));
    for (expectation, least, most) in &planned.expectations {
        let _ = writeln!(text, "  {:<18} {least} calls at least, {most} at most", expectation.to_string());
    }
    if let Some(judge) = &planned.judge {
        let _ = writeln!(text, "  right is what {}", one_line(judge));
    }
    Output::data(&printable(&text));
    Output::note(&printable(&estimate(planned, usual)));
}

/// What a test came to, for people.
fn human(run: &TestRun) -> String {
    let report = &run.tested.report;
    let who = run.model.clone().unwrap_or_else(|| run.side.to_string());
    let usd = run.tested.spent.usd;
    let cost = if usd > 0.0 { format!(", ${usd:.4}") } else { String::new() };
    let mut text = format!(
        "{}: {} after {} of {who} ({}, {:.1} s{cost})\n",
        run.name,
        report.verdict.as_str(),
        count(report.runs, "call"),
        count(run.cases.len(), "case"),
        run.seconds
    );
    if let Some(reason) = &report.reason {
        let _ = writeln!(text, "  it ended before it was decided: {}", one_line(reason));
    }
    for finding in &report.findings {
        let _ = writeln!(text, "  {:<18} {:<13} {}", finding.expectation.to_string(), word(finding), sentence(finding));
        if let Some(note) = &finding.note {
            let _ = writeln!(text, "  {:<18} {:<13} {note}", "", "");
        }
    }
    text.push_str(&misses(run));
    let shown = run.cases.iter().filter(|case| case.shown).count();
    if shown > 0 && report.findings.iter().any(|finding| matches!(finding.expectation, Expectation::Agree { .. })) {
        let _ = writeln!(
            text,
            "note: the model is shown {shown} of the {} with their answers; `hidden: true` keeps one from it",
            count(run.cases.len(), "case")
        );
    }
    if run.tested.again > 0 {
        let _ = writeln!(
            text,
            "note: the provider failed to answer {}; each was made again",
            count(run.tested.again, "call")
        );
    }
    text.push_str(&drift(run));
    text
}

fn word(finding: &Finding) -> &'static str {
    match finding.decision {
        Decision::Pass => Verdict::Pass.as_str(),
        Decision::Fail => Verdict::Fail.as_str(),
        Decision::Inconclusive => Verdict::Inconclusive.as_str(),
        Decision::Open => "not decided",
    }
}

/// What the calls say of an expectation, in words.
fn sentence(finding: &Finding) -> String {
    let (runs, misses) = (finding.runs, finding.misses.len());
    let good = runs - misses;
    let what = match finding.expectation {
        Expectation::Agree { .. } => "right",
        Expectation::Valid { .. } => "valid",
        Expectation::Latency { .. } => "in time",
        Expectation::Cost { .. } => {
            return match (finding.observed, finding.decision) {
                (None, Decision::Pass) => "decided without a call".to_owned(),
                (None, _) => "no call was made, or what it cost is not known".to_owned(),
                (Some(mean), _) => format!("{}, ${mean:.6} on average", count(runs, "call")),
            };
        }
    };
    let Some(rate) = finding.observed else { return "no call was made".to_owned() };
    let mut text = format!("{good} of {} {what} ({})", count(runs, "call"), percent(rate));
    if let Some((low, high)) = finding.interval {
        let _ = write!(text, "; the rate is between {} and {}", percent(low), percent(high));
    }
    match finding.decision {
        Decision::Fail => {
            let wanted = match finding.expectation {
                Expectation::Agree { at_least } | Expectation::Valid { at_least } => at_least,
                _ => IN_TIME,
            };
            let chance = finding.chance.unwrap_or(1.0);
            let _ = write!(text, "; were it {wanted}, so few would come up with a chance of {}", small(chance));
        }
        Decision::Inconclusive if finding.least_runs > finding.most_runs => {
            let least = finding.least_runs;
            let _ = write!(text, "; it takes {least} calls at least to show{}", enough(least));
        }
        Decision::Inconclusive if runs == finding.most_runs => {
            text.push_str("; too near to what is expected for so many calls");
            let more = runs.saturating_mul(4).min(MOST_RUNS);
            if more > runs {
                let _ = write!(text, " (`--max-runs {more}` allows more)");
            }
        }
        Decision::Open => text.push_str("; the test ended, since another expectation failed"),
        _ => {}
    }
    text
}

/// The cases whose answers were not right, the most frequent first.
fn misses(run: &TestRun) -> String {
    let mut found: BTreeMap<usize, BTreeMap<String, usize>> = BTreeMap::new();
    for answered in run.tested.answers.iter().filter(|answered| !answered.is_right) {
        let said = match (&answered.output, &answered.error) {
            (Some(output), _) => output.to_string(),
            (None, Some(error)) => format!("{}: {}", error.class, error.message),
            (None, None) => continue,
        };
        *found.entry(answered.case).or_default().entry(said).or_default() += 1;
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(case, said)| (std::cmp::Reverse(said.values().sum::<usize>()), *case));
    let mut text = String::new();
    for (case, said) in found.iter().take(LISTED) {
        let Case { input, expected, .. } = &run.cases[*case];
        let _ = writeln!(text, "  case {}: {}", case + 1, short(&input.to_string()));
        let _ = writeln!(text, "    expected  {}", short(&expected.to_string()));
        for (said, times) in said {
            let _ = writeln!(text, "    {times:>5} ×   {}", short(said));
        }
    }
    if found.len() > LISTED {
        let _ = writeln!(text, "  and {} more (--message-format json)", count(found.len() - LISTED, "case"));
    }
    if text.is_empty() { text } else { format!("answers that are not right:\n{text}") }
}

fn drift(run: &TestRun) -> String {
    let Some(before) = &run.before else { return String::new() };
    let than = &before.run;
    match &before.drift {
        None => format!("beside {than}: no case was asked twice in both runs, so nothing can be said of drift\n"),
        Some(drift) => {
            let what = match drift.p < DRIFT {
                true => "drift: the answers differ",
                false => "no difference was found",
            };
            format!(
                "beside {than}: {what} (p = {:.3}, permutation test; {}, {} then and {} now)\n",
                drift.p,
                count(drift.inputs, "input"),
                drift.calls.0,
                drift.calls.1
            )
        }
    }
}

/// What a test came to, for CI services: each expectation is a test.
fn junit(run: &TestRun) -> String {
    let cases: Vec<TestCase> = run
        .tested
        .report
        .findings
        .iter()
        .map(|finding| {
            let mut text = format!("{}\n{}", finding.expectation, sentence(finding));
            for more in [&finding.note, &run.tested.report.reason].into_iter().flatten() {
                let _ = write!(text, "\n{more}");
            }
            let outcome = match finding.decision {
                Decision::Pass => Outcome::Passed,
                Decision::Fail => Outcome::Failed("expectation"),
                Decision::Inconclusive => Outcome::Error("inconclusive"),
                Decision::Open => Outcome::Skipped,
            };
            let more = if finding.decision == Decision::Pass { String::new() } else { misses(run) };
            TestCase { name: format!("{} {}", run.name, finding.expectation), outcome, text: format!("{text}\n{more}") }
        })
        .collect();
    junit_tests("test", &cases, run.seconds, drift(run).trim_end())
}

fn short(text: &str) -> String {
    let text = one_line(text);
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn small(chance: f64) -> String {
    if chance < 0.0001 { "less than 0.01%".to_owned() } else { format!("{:.2}%", chance * 100.0) }
}
