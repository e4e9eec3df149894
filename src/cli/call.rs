//! `llmc call`: one call of a component or of an artifact, as a program would make it.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::Output;
use super::args::AskingArgs;
use super::trace::{find, took};
use crate::driver::{self, Opening, Session};
use crate::error::{Error, ExitCode};
use crate::harness::{
    Approver, BoxFuture, Budget, CallError, Class, Context, Description, Question, Reply, Rule, RunOptions,
};
use crate::ledger::Filter;
use crate::report::printable;
use crate::schema::{Kind, Schema};
use crate::spec;

/// Longest input that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// `llmc call`.
#[derive(Debug, Args)]
#[command(after_help = "\
INPUT is JSON; where a text is wanted, what is no JSON is taken as that text. `-` reads it from standard input.
Several arguments are a list. The answer is printed as JSON; who gave it, and what it took, go to standard error.

Examples:
  llmc call ticket_classifier 'The server is on fire'
  llmc call ticket_classifier - < ticket.json
  llmc call gcd '[12, 18]'
  llmc call ticket_classifier --describe
  llmc call ticket_classifier --replay last      asks again what was asked in the latest run, and compares")]
pub(crate) struct CallArgs {
    /// The component, or an artifact; `spec.function` where a spec has several functions
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it is asked
    #[arg(value_name = "INPUT", conflicts_with_all = ["describe", "replay"])]
    pub(crate) input: Option<String>,
    /// Say what is known of it, and call nothing
    #[arg(long, conflicts_with = "replay")]
    pub(crate) describe: bool,
    /// Make a call of a recorded run again: RUN, or RUN:N for its call number N
    #[arg(long, value_name = "RUN[:N]")]
    pub(crate) replay: Option<String>,
    /// Read more rules on who may call what from this file (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Agree to every call that a rule wants an approval for
    #[arg(long)]
    pub(crate) yes: bool,
    /// Ask the model, even where there is code
    #[arg(long)]
    pub(crate) model_only: bool,
    /// Take no answer from a cache
    #[arg(long)]
    pub(crate) fresh: bool,
    /// The most that the call may cost, in US dollars
    #[arg(long, value_name = "USD", value_parser = positive)]
    pub(crate) max_usd: Option<f64>,
    /// The most tokens that the call may take
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
    #[command(flatten)]
    pub(crate) asking: AskingArgs,
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|usd: &f64| usd.is_finite() && *usd > 0.0)
        .ok_or_else(|| format!("`{text}` is no amount of US dollars"))
}

/// Makes a call.
pub(super) async fn call(
    session: &mut Session,
    args: &CallArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    let replayed = args.replay.as_deref().map(|named| recorded(session, named, &args.name)).transpose()?;
    let approver: Option<Arc<dyn Approver>> =
        match (args.yes, std::io::stdin().is_terminal() && args.input.as_deref() != Some("-")) {
            (true, _) => Some(Arc::new(|_: &Question| Reply::Once)),
            (false, true) => Some(Arc::new(AtTerminal)),
            (false, false) => None,
        };
    let rules = args.rules.as_deref().map(|file| rules(&from.join(file))).transpose()?.unwrap_or_default();
    let own = Opening::default();
    let opening = Opening { rules, approver, models_only: args.model_only, unrecorded: args.describe, ..own };
    let opened = driver::open_components(session, std::slice::from_ref(&args.name), opening, from).await?;
    let Some(known) = opened.harness.describe(&args.name) else {
        let names: Vec<String> = opened.harness.names().into_iter().map(|name| format!("`{name}`")).collect();
        let error = Error::new(ExitCode::Usage, format!("no function is called `{}`", args.name));
        return Err(error.hint(format!("call one of {}", names.join(", "))));
    };
    if args.describe {
        describe(&known, output);
        return Ok(ExitCode::Done);
    }
    let schema = Schema::read(&known.input).unwrap_or_else(|_| Schema::any());
    let input = match &replayed {
        Some((input, _)) => input.clone(),
        None => input(args.input.as_deref(), &schema)?,
    };
    let budget = Budget { calls: None, tokens: args.max_tokens, usd: args.max_usd };
    let ctx = opened.harness.run_with(RunOptions {
        budget,
        fresh: args.fresh || replayed.is_some(),
        ..RunOptions::default()
    });
    let waiting = ctx.call_value(&args.name, input);
    let result = tokio::select! {
        result = waiting => result,
        () = session.interrupt.wait() => {
            ctx.cancel();
            opened.flush()?;
            return Err(Error::interrupted());
        }
    };
    opened.flush()?;
    let value = match result {
        Ok(value) => value,
        Err(error) => return Err(failed(&error, &ctx)),
    };
    report(session, &ctx, &value, output)?;
    if let Some((_, Some(before))) = replayed {
        let is_same = crate::schema::same(&before, &value);
        let said = if is_same {
            "the same as in the recorded call".to_owned()
        } else {
            format!("in the recorded call it was {before}")
        };
        Output::note(&printable(&said));
    }
    Ok(ExitCode::Done)
}

/// The call's answer, and who gave it.
fn report(session: &Session, ctx: &Context, value: &Value, output: &Output) -> Result<(), Error> {
    let run = ctx.run_name();
    let ledger = crate::ledger::Ledger::open_to_read(&session.workspace.local_path())?;
    let kept = match &ledger {
        Some(ledger) => ledger.crossings(&Filter { run: Some(run.to_owned()), ..Filter::default() })?,
        None => Vec::new(),
    };
    let first = kept.iter().find(|crossing| crossing.parent.is_none());
    if output.is_json() {
        let side = first.map(|crossing| crossing.side);
        let model = first.and_then(|crossing| crossing.model.as_deref());
        let usage = ctx.spent();
        Output::json_line(json!({
            "event": "answer", "run": run, "output": value, "side": side, "model": model, "calls": kept.len(),
            "micros": first.map(|crossing| crossing.micros), "tokens": usage.tokens(), "usd": usage.usd,
        }));
        return Ok(());
    }
    Output::data(&format!("{}\n", printable(&serde_json::to_string_pretty(value).unwrap_or_default())));
    if let Some(crossing) = first {
        let mut line = match (&crossing.model, crossing.side) {
            (Some(model), _) => format!("answered by {model}"),
            (None, side) => format!("answered by {side}"),
        };
        line.push_str(&format!(" in {}", took(crossing.micros)));
        let usage = ctx.spent();
        if usage.tokens() > 0 {
            line.push_str(&format!(", {} tokens", usage.tokens()));
        }
        if usage.usd > 0.0 {
            line.push_str(&format!(", ${:.4}", usage.usd));
        }
        if kept.len() > 1 {
            line.push_str(&format!(", {} calls in all", kept.len()));
        }
        Output::note(&printable(&format!("{line} (llmc trace {run})")));
    }
    Ok(())
}

/// What a failed call means for whoever called it.
fn failed(error: &CallError, ctx: &Context) -> Error {
    let exit = match error.class {
        Class::Unknown | Class::Input | Class::Denied | Class::NotATool => ExitCode::Usage,
        Class::Budget | Class::TimedOut => ExitCode::Budget,
        Class::Provider | Class::Refusal => ExitCode::Provider,
        Class::Cancelled => ExitCode::Interrupted,
        Class::Record => ExitCode::Internal,
        _ => ExitCode::NoCandidate,
    };
    let mut out = Error::new(exit, printable(&error.to_string()));
    out = match error.class {
        Class::Denied => out.hint("the spec's `approval`, or a rule, wants this call approved: `--yes` agrees to it"),
        Class::FormatViolation => {
            out.hint(format!("`llmc trace {} --call 1` shows what the model said", ctx.run_name()))
        }
        Class::Abstained => out.hint("only code is behind this name; a component's spec puts a model behind it"),
        _ => out,
    };
    out
}

fn input(given: Option<&str>, schema: &Schema) -> Result<Value, Error> {
    let text = match given {
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes);
            read.map_err(|error| Error::new(ExitCode::Usage, "failed to read standard input").cause(error))?;
            if bytes.len() as u64 > LONGEST {
                return Err(Error::new(ExitCode::Usage, format!("the input is longer than {LONGEST} bytes")));
            }
            String::from_utf8(bytes).map_err(|_| Error::new(ExitCode::Usage, "the input is not UTF-8"))?
        }
        Some(text) => text.to_owned(),
        None => {
            let takes_nothing = matches!(schema.kind, Kind::Null | Kind::Any) || schema.nullable;
            if takes_nothing {
                return Ok(Value::Null);
            }
            let error = Error::new(ExitCode::Usage, "it takes an input, and none is given");
            return Err(error.hint("write it behind the name, as JSON; `--describe` says what it takes"));
        }
    };
    let parsed = serde_json::from_str::<Value>(&text);
    let wants_text = |schema: &Schema| {
        matches!(schema.kind, Kind::String { .. })
            || matches!(&schema.kind, Kind::Choice(values) if values.iter().all(Value::is_string))
    };
    match parsed {
        // `42` where a text is wanted is the text.
        Ok(value) if wants_text(schema) && !value.is_string() && !value.is_null() => Ok(text.into()),
        Ok(value) => Ok(value),
        Err(_) if wants_text(schema) => Ok(text.trim_end_matches('\n').into()),
        Err(_) if schema.is_any() => Ok(text.trim_end_matches('\n').into()),
        Err(error) => {
            let error = Error::new(ExitCode::Usage, "the input is no JSON").cause(error);
            Err(error.hint("`--describe` says what it takes"))
        }
    }
}

/// The input of a recorded call, and its output.
fn recorded(session: &Session, named: &str, component: &str) -> Result<(Value, Option<Value>), Error> {
    let (run, number) = match named.rsplit_once(':') {
        Some((run, number)) => {
            let number: u64 = number
                .parse()
                .map_err(|_| Error::new(ExitCode::Usage, format!("`{number}` is no number of a call")))?;
            (run, Some(number))
        }
        None => (named, None),
    };
    let Some(ledger) = crate::ledger::Ledger::open_to_read(&session.workspace.local_path())? else {
        return Err(Error::new(ExitCode::Usage, "nothing was called here yet"));
    };
    let run = find(&ledger, run)?;
    let calls = ledger.crossings(&Filter { run: Some(run.clone()), ..Filter::default() })?;
    let found = calls.into_iter().find(|call| match number {
        Some(number) => call.id == number,
        None => call.component == component,
    });
    match found {
        Some(call) if call.component == component => Ok((call.input, call.output)),
        Some(call) => {
            let message = format!("that is a call of `{}`, not of `{component}`", call.component);
            Err(Error::new(ExitCode::Usage, message))
        }
        None => Err(Error::new(ExitCode::Usage, format!("run {run} holds no such call of `{component}`"))),
    }
}

/// Rules from a file: a list, as YAML or JSON.
pub(super) fn rules(file: &Path) -> Result<Vec<Rule>, Error> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file)
        .map_err(|error| Error::new(ExitCode::Usage, format!("failed to read `{name}`")).cause(error))?;
    spec::parse_rules(&name, &bytes).map_err(|mistakes| {
        let error = Error { exit: ExitCode::Usage, ..Error::spec(vec![mistakes]) };
        Error { message: format!("`{name}` holds no rules"), ..error }.hint(
            "a list of `{component: pay_*, caller: agent, arguments: {/amount: 100}, then: ask}`; docs/harness.md",
        )
    })
}

fn describe(known: &Description, output: &Output) {
    if output.is_json() {
        let mut value = serde_json::to_value(known).expect("a description is JSON");
        if let Some(object) = value.as_object_mut() {
            object.insert("event".into(), "component".into());
        }
        Output::json_line(value);
        return;
    }
    let mut text = format!("{} ({})\n", known.name, known.side);
    for line in known.description.trim().lines() {
        text.push_str(&format!("  {line}\n"));
    }
    if let Some(model) = &known.model {
        text.push_str(&format!("model   {model}\n"));
    }
    if let Some(digest) = &known.digest {
        text.push_str(&format!("digest  {digest}\n"));
    }
    text.push_str(&format!("input   {}\noutput  {}\n", known.input, known.output));
    Output::data(&printable(&text));
}

/// Asks whoever sits at the terminal.
struct AtTerminal;

impl Approver for AtTerminal {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let mut text = format!("\n{} wants to call `{}`", question.chain.join(" → "), question.component);
            let about = question.description.trim().lines().next().unwrap_or_default();
            if !about.is_empty() {
                text.push_str(&format!(": {about}"));
            }
            text.push_str(&format!("\n  {}\n", question.input));
            Output::prompt(&printable(&text));
            Output::prompt("[y] yes, this once  [s] and the same again  [c] and this component  [n] no  ");
            let answer = tokio::task::spawn_blocking(line).await.ok().flatten();
            match answer.as_deref().map(str::trim) {
                Some("y" | "yes") => Reply::Once,
                Some("s") => Reply::Same,
                Some("c") => Reply::Component,
                _ => Reply::No,
            }
        })
    }
}

/// A line from standard input.
fn line() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).ok()?;
    (read > 0).then_some(line)
}
