//! `llmc verify` and `llmc check`, and what they find in the formats of CI services.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::args::{CheckArgs, Cli, Command, MessageFormat, VerifyArgs};
use super::{Output, directory, end, find_workspace, session_telling};
use crate::driver::{self, Session};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::report::ci::{self, Findings};
use crate::report::{self, Verbosity};
use crate::spec::{Diagnostics, Severity};

/// Refuses a CI service's format where a command has nothing to say in it.
pub(super) fn refuse(command: &Command, output: &Output) -> Result<(), Error> {
    let name = match output.format {
        MessageFormat::Human | MessageFormat::Json => return Ok(()),
        MessageFormat::Github => "github",
        MessageFormat::Sarif => "sarif",
        MessageFormat::Junit => "junit",
    };
    if matches!(command, Command::Verify(_) | Command::Check(_))
        || matches!((command, output.format), (Command::Test(_), MessageFormat::Junit))
    {
        return Ok(());
    }
    Err(Error::new(ExitCode::Usage, format!("`--message-format {name}` is for `llmc verify` and `llmc check`"))
        .hint("`--message-format json` tells what every command does"))
}

/// What a run finds, collected for the end.
#[derive(Clone)]
struct Collected(Arc<Mutex<Findings>>);

impl Collected {
    fn new(cli: &Cli, command: &'static str) -> Self {
        let prefix = prefix(cli).unwrap_or_default();
        Self(Arc::new(Mutex::new(Findings { command, prefix, ..Findings::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, add: impl FnOnce(&mut Findings)) {
        add(&mut self.lock());
    }

    /// Tells events as the user asked for, and keeps what is found.
    fn teller(&self, output: &Output) -> driver::Tell {
        let (collected, tell) = (self.clone(), output.teller());
        Arc::new(Mutex::new(move |event: Event| {
            if let Event::Verified(verified) = &event {
                collected.lock().verified(verified);
            }
            if let Ok(mut tell) = tell.lock() {
                tell(event);
            }
        }))
    }

    /// Prints what was found where a CI service's format was asked for: also when the command could not do its part.
    fn print(&self, output: &Output, result: &Result<ExitCode, Error>) {
        let mut findings = self.lock();
        match result {
            Ok(exit) => findings.exit = *exit as u8,
            Err(error) => {
                findings.exit = error.exit as u8;
                // What is wrong with a spec was found, and is no failure of llmc's.
                if error.exit != ExitCode::Spec {
                    let parts: Vec<&str> = [error.message.as_str()]
                        .into_iter()
                        .chain(error.causes.iter().map(String::as_str))
                        .chain(error.hints.iter().map(String::as_str))
                        .collect();
                    findings.error = Some(parts.join("\n"));
                }
            }
        }
        match output.format {
            MessageFormat::Human | MessageFormat::Json => {}
            MessageFormat::Github => Output::data(&ci::github(&findings)),
            MessageFormat::Sarif => Output::data(&ci::sarif(&findings)),
            MessageFormat::Junit => Output::data(&ci::junit(&findings)),
        }
    }
}

/// Where the workspace is in its repository, with a `/` at its end: CI services count paths from the repository's root.
fn prefix(cli: &Cli) -> Option<String> {
    let root = find_workspace(&cli.global).ok()?.root;
    let repository = root.ancestors().find(|folder| folder.join(".git").exists())?;
    let inside = root.strip_prefix(repository).ok()?;
    let parts: Vec<&str> = inside.components().map(|part| part.as_os_str().to_str()).collect::<Option<_>>()?;
    Some(parts.iter().map(|part| format!("{part}/")).collect())
}

/// `llmc verify`.
pub(super) async fn verify(cli: &Cli, args: &VerifyArgs, output: &Output) -> Result<ExitCode, Error> {
    let collected = Collected::new(cli, "verify");
    let result = verify_all(cli, args, output, &collected).await;
    collected.print(output, &result);
    result
}

async fn verify_all(cli: &Cli, args: &VerifyArgs, output: &Output, collected: &Collected) -> Result<ExitCode, Error> {
    let mut session = session_telling(cli, collected.teller(output), None)?;
    session.options.no_cache = args.no_cache;
    if let Some(jobs) = args.jobs {
        session.options.jobs = usize::from(jobs);
    }
    let from = directory(&cli.global)?;
    session.signers = args.signers.as_ref().map(|file| from.join(file));
    let summary = driver::verify(&mut session, &args.specs, &from).await?;
    collected.add(|findings| summary.mistakes.iter().for_each(|mistakes| findings.mistakes(mistakes)));
    Ok(end(&summary, output))
}

/// `llmc check`.
pub(super) async fn check(cli: &Cli, args: &CheckArgs, output: &Output) -> Result<ExitCode, Error> {
    let collected = Collected::new(cli, "check");
    let result = match session_telling(cli, collected.teller(output), None) {
        Ok(mut session) => check_all(&mut session, &args.specs, &directory(&cli.global)?, output, &collected).await,
        Err(error) => Err(error),
    };
    collected.print(output, &result);
    result
}

async fn check_all(
    session: &mut Session,
    specs: &[String],
    from: &std::path::Path,
    output: &Output,
    findings: &Collected,
) -> Result<ExitCode, Error> {
    let driver::Found { functions: valid, components, mistakes: mut found } = driver::load(session, specs, from)?;
    let compiled = driver::check(session, &valid, &valid).await?;
    found.extend(components.iter().map(|one| one.warnings.clone()).filter(|warnings| !warnings.list.is_empty()));
    for (loaded, compiled) in valid.iter().zip(compiled) {
        let mut both = loaded.warnings.clone();
        both.path = compiled.path;
        both.text = compiled.text;
        both.list.extend(compiled.list);
        if !both.list.is_empty() {
            found.push(both);
        }
    }
    for mistakes in &found {
        output.mistakes(mistakes);
    }
    let paths: Vec<&String> = valid.iter().map(|one| &one.path).chain(components.iter().map(|one| &one.path)).collect();
    findings.add(|findings| {
        for path in paths.iter().filter(|path| !found.iter().any(|mistakes| mistakes.path == ***path)) {
            findings.mistakes(&Diagnostics::new(path.as_str(), ""));
        }
        found.iter().for_each(|mistakes| findings.mistakes(mistakes));
    });
    let wrong = found.iter().filter(|mistakes| mistakes.has_errors()).count();
    let warnings =
        found.iter().flat_map(|mistakes| &mistakes.list).filter(|one| one.severity == Severity::Warning).count();
    let right = paths.len() + found.iter().filter(|one| !paths.contains(&&one.path)).count() - wrong;
    if wrong > 0 {
        let message = format!("{} invalid, {} valid", report::count(wrong, "spec"), right);
        return Err(Error::new(ExitCode::Spec, message));
    }
    if !output.is_json() && output.verbosity > Verbosity::Quiet {
        let also = if warnings > 0 { format!(", {}", report::count(warnings, "warning")) } else { String::new() };
        Output::note(&format!("{} valid{also}", report::count(right, "spec")));
        super::tell_left_out(session, output)?;
    }
    Ok(ExitCode::Done)
}
