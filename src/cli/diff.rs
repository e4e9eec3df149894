//! `llmc diff`, printed: for people, through their pager where they have one, or as JSON lines.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::args::DiffArgs;
use super::{Output, keys};
use crate::behaviour::{self, Behaviours, Split};
use crate::driver::{self, Asked, Between, Compared, Ran, Session};
use crate::error::{Error, ExitCode};
use crate::repo::Repo;
use crate::report::{Style, difference, terminal_width};

/// Compares programs and prints what was found.
pub(super) async fn diff(
    session: &mut Session,
    args: &DiffArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    let between = match (&args.rev, &args.with, &args.files[..]) {
        (Some(revisions), ..) => match revisions.split_once("..") {
            Some((old, new)) => {
                let head = |text: &str| if text.is_empty() { "HEAD".to_owned() } else { text.to_owned() };
                Between::Revisions(head(old), Some(head(new.trim_start_matches('.'))))
            }
            None => Between::Revisions(revisions.clone(), None),
        },
        (_, Some(other), _) => Between::Spec(other.clone()),
        (_, _, [old, new]) => Between::Files(old.clone(), new.clone()),
        _ => Between::Proposal,
    };
    let options = behaviour::Options {
        draws: args.inputs.map_or(behaviour::Options::default().draws, usize::from),
        seed: args.seed,
        ..behaviour::Options::default()
    };
    let is_run = !args.text && !args.tool;
    let asked = Asked { between, behaviour: is_run, times: is_run && !args.no_time, options };
    let all = driver::diff(session, &args.specs, &asked, from).await?;
    if output.is_json() {
        for one in &all {
            Output::json_line(to_json(one));
        }
    } else if all.is_empty() {
        Output::note("no artifact differs between these revisions");
    } else if args.tool {
        for one in &all {
            match (&one.old.source, &one.new.source) {
                (Some(old), Some(new)) if old == new => Output::note(&format!("{}: the text is the same", one.spec)),
                (old, new) => {
                    let text = |source: &Option<String>| source.clone().unwrap_or_default();
                    tool(&session.workspace.root, &one.spec, &text(old), &text(new))?;
                }
            }
        }
    } else {
        let style = Style { color: output.color_data, width: terminal_width() };
        let text: Vec<String> = all.iter().map(|one| difference(one, style)).collect();
        print(&text.join("\n"), !args.no_pager, &session.workspace.root);
    }
    Ok(if args.exit_code && all.iter().any(Compared::differs) { ExitCode::Usage } else { ExitCode::Done })
}

/// Shows two versions of an artifact's code in the diff tool that the user's git is told to use, and waits for its end.
pub(super) fn tool(root: &Path, name: &str, old: &str, new: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::new(ExitCode::Internal, "failed to show the code in git's diff tool").cause(error)
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let write = |side: &str, text: &str| -> std::io::Result<std::path::PathBuf> {
        let path = folder.path().join(side).join(format!("{name}.rs"));
        std::fs::create_dir_all(folder.path().join(side))?;
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let (old, new) = (write("old", old).map_err(failed)?, write("new", new).map_err(failed)?);
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    // What git itself prints says what is wrong, if anything is.
    let command = format!("git -C {} difftool --no-prompt --no-index {}", quoted(root), quoted(&old));
    keys::edit(&command, &new).map_err(failed)?;
    Ok(())
}

/// Prints through the user's pager, where standard output is a terminal.
fn print(text: &str, wants_pager: bool, root: &Path) {
    let pager = if wants_pager && std::io::stdout().is_terminal() { pager(root) } else { None };
    let Some(pager) = pager else { return Output::data(text) };
    let mut command = Command::new("sh");
    command.arg("-c").arg(&pager).stdin(Stdio::piped());
    // As git has it: it ends at once where all fits the screen, and colours stay.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let Ok(mut child) = command.spawn() else { return Output::data(text) };
    if let Some(mut stdin) = child.stdin.take() {
        // Who reads only the beginning closes it.
        let _ = stdin.write_all(text.as_bytes());
    }
    // A pager that is not there says so itself (127); the text is not lost with it.
    if child.wait().is_ok_and(|status| status.code() == Some(127)) {
        Output::data(text);
    }
}

/// The user's pager, as git finds it.
pub(super) fn pager(root: &Path) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok();
    let pager = set("GIT_PAGER").or_else(|| Repo::discover(root).ok()??.pager()).or_else(|| set("PAGER"));
    let pager = pager.unwrap_or_else(|| "less".to_owned());
    (!pager.trim().is_empty() && pager.trim() != "cat").then_some(pager)
}

fn to_json(compared: &Compared) -> Value {
    let (status, behaviour) = match &compared.ran {
        Ran::No => ("not_asked", Value::Null),
        Ran::SameProgram => ("same_program", Value::Null),
        Ran::Cannot(why) => ("not_compared", json!({ "reason": why })),
        Ran::Both(behaviours) if behaviours.are_alike() => ("alike", ran(behaviours)),
        Ran::Both(behaviours) => ("apart", ran(behaviours)),
    };
    let times = compared.times.as_ref().map(|(old, new)| json!({ "old": old, "new": new, "ratio": new.ratio_to(old) }));
    json!({
        "event": "diff", "spec": compared.spec, "old": compared.old.label, "new": compared.new.label,
        "same_text": compared.old.source == compared.new.source, "spec_changed": compared.spec_changed,
        "status": status, "behaviour": behaviour, "structure": compared.structure, "nanoseconds": times,
        "old_code": compared.old.source, "new_code": compared.new.source,
    })
}

fn ran(behaviours: &Behaviours) -> Value {
    let split = |split: &Split| {
        let outcome = |at: usize| split.classes.get(at).map(|class| &split.outcomes[*class]);
        json!({
            "call": split.call, "old": outcome(0), "new": outcome(1), "made_of": split.made_of, "origin": split.origin,
        })
    };
    let coverage = &behaviours.coverage;
    let splits: Vec<Value> = behaviours.splits.iter().map(split).collect();
    json!({
        "splits": splits, "inputs": coverage.inputs, "drawn": coverage.drawn, "drawn_apart": coverage.drawn_apart,
        "is_exhaustive": coverage.is_exhaustive, "missed_at_most": coverage.bound(), "functions": coverage.functions,
        "not_called": coverage.not_called, "preconditions": coverage.preconditions, "ruled_out": coverage.ruled_out,
        "notes": coverage.notes,
    })
}
