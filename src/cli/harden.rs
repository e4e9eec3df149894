//! `llmc harden` and `llmc soften`: a component across the boundary, and back.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::SamplingArgs;
use super::{Output, end};
use crate::certify::{LEAST_ANSWERED, needed};
use crate::driver::{self, Hardened, Hardening, Session, Sight, Softened, Standing};
use crate::error::{Error, ExitCode};
use crate::report::{count, printable};

/// `llmc harden`.
#[derive(Debug, Args)]
#[command(after_help = "\
The calls recorded first are what code is made from: the model writes programs that answer where the input makes it clear,
and abstain elsewhere; the best of them is taken. The calls recorded later judge it: where it agrees with the model often
enough it is certified, and waits as a proposal. Once it is accepted it answers first, and the model where it abstains.

Examples:
  llmc harden ticket_classifier                     code and certificate, left as a proposal
  llmc review                                       shows it; `llmc accept`, `llmc reject` for scripts
  llmc harden ticket_classifier --accept            the same as `llmc accept ticket_classifier`
  llmc harden ticket_classifier --agreement 0.98    promise more
  llmc harden --watch                               all components: proposals, when enough has been seen; Ctrl-C ends it
  llmc soften ticket_classifier                     the model alone again")]
pub(crate) struct HardenArgs {
    /// The components; with --watch all of them where none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Commit what waits, as `llmc accept` does
    #[arg(long, conflicts_with = "watch")]
    pub(crate) accept: bool,
    /// Stay, look at what is recorded, and leave a proposal when enough has been seen
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often to look whether calls were recorded: `500ms`, `30s`, `5m`
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = interval, requires = "watch")]
    pub(crate) interval: Duration,
    /// How often the code is to agree with the model, at least
    #[arg(long, value_name = "P", default_value = "0.95", value_parser = rate)]
    pub(crate) agreement: f64,
    /// The chance to promise that wrongly
    #[arg(long, value_name = "P", default_value = "0.05", value_parser = rate)]
    pub(crate) alpha: f64,
    /// The share of the calls, the earliest ones, that code is made from
    #[arg(long, value_name = "P", default_value = "0.5", value_parser = rate)]
    pub(crate) share: f64,
    /// Write the files and make no commit
    #[arg(long, requires = "accept")]
    pub(crate) no_commit: bool,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// `llmc soften`.
#[derive(Debug, Args)]
#[command(after_help = "\
A hardened component loses its code: its model answers alone. A function becomes a component: its spec is written anew, with
examples from its own behaviour, and its code goes; `llmc revert NAME@HEAD~1` brings both back.

Examples:
  llmc soften ticket_classifier
  llmc soften slugify --no-commit")]
pub(crate) struct SoftenArgs {
    /// The component or function
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Write the files and make no commit
    #[arg(long)]
    pub(crate) no_commit: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && *rate < 1.0);
    rate.ok_or_else(|| format!("`{text}` is not between 0 and 1"))
}

/// A time with its unit.
fn interval(text: &str) -> Result<Duration, String> {
    let (number, milliseconds) = match (text.strip_suffix("ms"), text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), ..) => (number, 1),
        (_, Some(number), _) => (number, 1000),
        (.., Some(number)) => (number, 60_000),
        _ => ("", 0),
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
    let interval = milliseconds.filter(|interval| (1..=86_400_000).contains(interval));
    interval.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is no time such as `500ms`, `30s` or `5m`"))
}

/// Hardens components, watches them, or commits what waits.
pub(super) async fn harden(
    session: &mut Session,
    args: &HardenArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    session.options.no_commit = args.no_commit;
    if args.names.is_empty() && !args.watch {
        return Err(Error::new(ExitCode::Usage, "which component?")
            .hint("`llmc harden NAME`; `llmc harden --watch` watches all of them"));
    }
    if args.accept {
        let summary = driver::accept(session, &args.names, false).await?;
        if summary.exit.is_none() && !output.is_json() {
            let (names, are) =
                (args.names.join(", "), if args.names.len() == 1 { "is a hybrid" } else { "are hybrids" });
            Output::note(&printable(&format!("{names} {are} now: code first, and the model where it abstains")));
        }
        return Ok(end(&summary, output));
    }
    let asked = Hardening { share: args.share, agreement: args.agreement, alpha: args.alpha };
    if args.watch {
        let mut tell = |sight: Sight<'_>| told(&sight, args, &asked, output);
        driver::watch(session, &args.names, &asked, args.interval, from, &mut tell).await?;
        return Ok(ExitCode::Done);
    }
    let mut exit = ExitCode::Done;
    for name in &args.names {
        match driver::harden(session, name, &asked, from).await {
            Ok(hardened) => exit = exit.max(shown(&hardened, &asked, output)),
            // One that was not called often enough keeps no other.
            Err(error) if error.exit == ExitCode::Inconclusive && args.names.len() > 1 => {
                output.error(&error);
                exit = exit.max(error.exit);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit)
}

/// Tells what a watch sees.
fn told(sight: &Sight<'_>, args: &HardenArgs, asked: &Hardening, output: &Output) {
    match sight {
        Sight::Begins(names) if output.is_json() => {
            let seconds = args.interval.as_secs_f64();
            Output::json_line(json!({"event": "watching", "components": names, "interval": seconds}));
        }
        Sight::Begins(names) => Output::note(&printable(&format!(
            "watching {} (Ctrl-C ends it): {}",
            count(names.len(), "component"),
            names.join(", ")
        ))),
        Sight::Stands(name, standing) if output.is_json() => {
            let mut event = json!({"event": "standing", "component": name, "status": status(*standing)});
            match standing {
                Standing::TooFew { inputs, cases } => {
                    event["inputs"] = inputs.0.into();
                    event["least_inputs"] = inputs.1.into();
                    event["cases"] = cases.0.into();
                    event["least_cases"] = cases.1.into();
                }
                Standing::Tried { inputs, again } => {
                    event["inputs"] = (*inputs).into();
                    event["again"] = (*again).into();
                }
                Standing::Answers { is_outdated } => event["outdated"] = (*is_outdated).into(),
                Standing::Waits | Standing::Ready => {}
            }
            Output::json_line(event);
        }
        Sight::Stands(name, standing) => Output::note(&printable(&stands(name, *standing))),
        Sight::Tried(hardened) => {
            shown(hardened, asked, output);
        }
    }
}

fn status(standing: Standing) -> &'static str {
    match standing {
        Standing::TooFew { .. } => "too_few",
        Standing::Tried { .. } => "tried",
        Standing::Waits => "waits",
        Standing::Answers { .. } => "answers",
        Standing::Ready => "ready",
    }
}

/// How a component stands, in words.
fn stands(name: &str, standing: Standing) -> String {
    match standing {
        Standing::TooFew { inputs, cases } => format!(
            "{name}: {} of {} different inputs to make code from, {} of {} later ones to judge it by",
            inputs.0, inputs.1, cases.0, cases.1
        ),
        Standing::Tried { inputs, again } => {
            format!("{name}: tried on {}; again when there are {again}", count(inputs, "different input"))
        }
        Standing::Waits => format!("{name}: a proposal waits; `llmc review`"),
        Standing::Answers { is_outdated: false } => format!("{name}: code answers, and is audited"),
        Standing::Answers { is_outdated: true } => format!(
            "{name}: code answers that was certified by another model, prompt or spec; after `llmc soften {name}` calls are \
             recorded by which other code can be certified"
        ),
        Standing::Ready => format!("{name}: enough was seen to try code"),
    }
}

/// Prints what came of making code.
fn shown(hardened: &Hardened, asked: &Hardening, output: &Output) -> ExitCode {
    let certificate = hardened.calibration.as_ref().and_then(|calibration| calibration.certificate.as_ref());
    let exit = match (&hardened.chosen, certificate) {
        (_, Some(_)) => ExitCode::Done,
        (Some(_), None) => ExitCode::Inconclusive,
        (None, None) => ExitCode::NoCandidate,
    };
    if output.is_json() {
        let step = hardened.calibration.as_ref().and_then(|calibration| calibration.steps.last().copied());
        Output::json_line(json!({
            "event": "hardened", "component": hardened.component, "traces": hardened.traces, "inputs": hardened.inputs,
            "unstable": hardened.unstable, "sampled": hardened.sampled.0, "compiled": hardened.sampled.1,
            "answered": hardened.chosen.map(|chosen| chosen.0), "wrong": hardened.chosen.map(|chosen| chosen.1),
            "cases": hardened.cases, "step": step, "certificate": certificate, "code": hardened.code,
        }));
        return exit;
    }
    if let Some(code) = &hardened.code {
        Output::data(&printable(code));
    }
    Output::note(&printable(&words(hardened, asked)));
    exit
}

/// What came of it.
fn words(hardened: &Hardened, asked: &Hardening) -> String {
    let name = &hardened.component;
    let (sampled, compiled) = hardened.sampled;
    let mut text = format!(
        "{} recorded; code was made from the answers to {}",
        count(hardened.traces, "call"),
        count(hardened.inputs, "input")
    );
    if hardened.unstable > 0 {
        text.push_str(&format!(" ({} of them got different answers)", hardened.unstable));
    }
    text.push_str(&format!(". {} sampled, {compiled} compile.\n", count(sampled, "program")));
    let Some((answered, wrong)) = hardened.chosen else {
        text.push_str("None of them answers enough and is right often enough to be worth it. More samples (`-n`), a stronger model (`--model`) or more calls may.");
        return text;
    };
    text.push_str(&format!(
        "The best answers {:.0} % of those inputs, {wrong} of them otherwise than the model.\n",
        answered * 100.0
    ));
    let Some(calibration) = &hardened.calibration else { return text };
    let promised = asked.agreement * 100.0;
    match &calibration.certificate {
        Some(_) => text.push_str(&format!(
            "It waits: `llmc review` shows it, `llmc accept {name}` commits it, and the component is a hybrid then."
        )),
        None => {
            let (n, wrong) = calibration.steps.last().map_or((0, 0), |step| (step.n, step.disagreements));
            let enough = needed(wrong, asked.agreement, asked.alpha).max(LEAST_ANSWERED);
            text.push_str(&format!(
                "On {} later calls with new inputs it answers {n}, and {wrong} of those otherwise than the model: too little to \
                 promise {promised:.0} % ({enough} answers with so few mistakes would do). Nothing was changed.",
                hardened.cases
            ));
        }
    }
    text
}

/// Softens a component or a function.
pub(super) async fn soften(
    session: &mut Session,
    args: &SoftenArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    session.options.no_commit = args.no_commit;
    let Softened { name, was, examples, commit } = driver::soften(session, &args.name, from).await?;
    if output.is_json() {
        Output::json_line(
            json!({"event": "softened", "component": name, "was": was, "examples": examples, "commit": commit}),
        );
        return Ok(ExitCode::Done);
    }
    let commit = commit.map(|commit| format!(" (commit {})", &commit[..commit.len().min(7)])).unwrap_or_default();
    let text = match was {
        "hybrid" => format!("{name}: its code is gone, and its model answers alone{commit}"),
        _ => format!(
            "{name} is a component now{commit}, with {} from its own behaviour in its spec; `llmc revert {name}@HEAD~1` brings \
             the function back",
            count(examples, "example")
        ),
    };
    Output::note(&printable(&text));
    Ok(ExitCode::Done)
}
