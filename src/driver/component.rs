//! Components in a build: nothing is sampled. Their types are written and committed, and what answers stays the model.

use std::time::Instant;

use super::Session;
use super::build;
use super::specs::LoadedComponent;
use crate::error::{Error, ExitCode};
use crate::event::{Event, Finished, Status};
use crate::freeze::{self, FileText, Freshness};
use crate::repo::{HeadState, Repo, message};
use crate::workspace::{Lock, paths};

/// Brings a component's types up to date.
pub(super) fn refresh(
    session: &Session,
    one: &LoadedComponent,
    repo: Option<&Repo>,
    lock: &mut Option<Lock>,
    started: Instant,
) -> Result<Finished, Error> {
    let name = &one.spec.name;
    let mut freshness = freeze::component_freshness(&session.workspace, &one.spec, &one.path)?;
    if freshness != Freshness::Fresh && !session.options.locked {
        if lock.is_none() {
            *lock = Some(build::take_lock(session)?);
        }
        if freeze::recover(&session.workspace)? > 0 {
            freshness = freeze::component_freshness(&session.workspace, &one.spec, &one.path)?;
        }
    }
    for warning in one.warnings.list.iter().filter(|_| freshness != Freshness::Fresh) {
        session.tell(Event::Warning(format!("{}:{}: {}", one.path, warning.line, warning.message)));
    }
    if let Some(error) = refuse(session, one, &freshness) {
        return Err(error);
    }
    let is_hardened = freeze::is_hardened(&session.workspace, name)?;
    let was_function = matches!(&freshness, Freshness::Stale(why) if why == freeze::WAS_FUNCTION);
    if was_function && !session.options.overwrite {
        // What git has is not lost.
        let own = [paths::code(name), paths::provenance(name)];
        let states = repo.map(|repo| repo.compare_to_head(&[&own[0], &own[1]])).transpose()?;
        if !states.is_some_and(|states| states.iter().all(|state| *state == HeadState::Committed)) {
            let message = format!("`{name}` was a function, whose artifact is not committed");
            return Err(Error::new(ExitCode::Difference, message)
                .hint(format!("commit it, or let `llmc build {name} --overwrite` put the component in its place")));
        }
    }
    // Of the artifact that it was.
    let removed = [paths::tests(name), paths::provenance(name), paths::envelope(name)];
    let removed: &[String] = if was_function { &removed } else { &[] };
    let mut finished = build::nothing_done(name, Status::Fresh, started);
    let code_path = paths::code(name);
    let code = match (&freshness, is_hardened) {
        (Freshness::Fresh | Freshness::Unlisted, _) => read(session, &code_path)?,
        (Freshness::Stale(_), true) => {
            let message =
                format!("`{name}` is hardened, and what it takes or gives changed: its code is of other types");
            return Err(Error::new(ExitCode::Difference, message)
                .hint(format!("`llmc harden {name}` makes code of it anew, `llmc soften {name}` does without")));
        }
        (_, true) => {
            let message = format!("`{name}` is hardened, and its code is not as it was accepted");
            return Err(Error::new(ExitCode::Difference, message)
                .hint(format!("`llmc replay {name} --overwrite` makes it again, `llmc soften {name}` does without")));
        }
        _ => freeze::component_code(&one.spec, &one.path, None),
    };
    if freshness != Freshness::Fresh {
        let modules = freeze::modules_on_disk(&session.workspace)?;
        let modules = match freeze::component(name, code.clone()) {
            Some(module) if !is_hardened => freeze::with_module(&modules, module),
            _ => modules,
        };
        let mut files = vec![(code_path.clone(), code.clone())];
        files.extend(freeze::crate_files(&modules, session.options.harness())?);
        freeze::replace(&session.workspace, &files, removed)?;
        finished.status = Status::Built;
    }
    if let Some(repo) = repo
        && !is_hardened
    {
        // A spec that only looks otherwise is the user's to commit, as it is for a function.
        let states = repo.compare_to_head(&[&code_path])?;
        if !states.iter().all(|state| *state == HeadState::Committed) {
            let files: Vec<FileText> = vec![(one.path.clone(), one.bytes.clone()), (code_path.clone(), code.clone())];
            let module = freeze::component(name, code).expect("it was written as a component's");
            let message = message::component(name, &one.path);
            finished.commit = build::commit_change(session, repo, &message, &files, removed, &[module])?;
        }
    } else if finished.status == Status::Built && repo.is_none() && !session.options.no_commit {
        session
            .tell(Event::Note("this is no git repository: the files are written, and nothing is committed".to_owned()));
    }
    finished.seconds = started.elapsed().as_secs_f64();
    Ok(finished)
}

/// Why a component that is not up to date is left as it is.
fn refuse(session: &Session, one: &LoadedComponent, freshness: &Freshness) -> Option<Error> {
    let name = &one.spec.name;
    match freshness {
        Freshness::Taken(other) => Some(
            Error::new(ExitCode::Spec, format!("`{}` and `{other}` have the same name", one.path))
                .hint("rename one of them: the name is the generated module"),
        ),
        Freshness::HandEdited(files) if !session.options.overwrite => Some(
            Error::new(ExitCode::Difference, format!("`{name}` was edited by hand: {}", files.join(", ")))
                .hint(format!("its types follow `{}`; `llmc build {name} --overwrite` writes them anew", one.path)),
        ),
        Freshness::Fresh => None,
        _ if session.options.locked => {
            let why = match freshness {
                Freshness::Stale(why) => why.as_str(),
                Freshness::Missing => "its types are not there yet",
                _ => "the generated crate does not list it",
            };
            Some(
                Error::new(
                    ExitCode::Difference,
                    format!("`{name}` is not up to date, and --locked forbids to write: {why}"),
                )
                .hint(format!("`llmc build {name}` without --locked, then commit")),
            )
        }
        _ => None,
    }
}

/// Adds `register` to the generated crate, or takes it out, where that is not as the workspace wants it.
pub(super) fn register(
    session: &Session,
    has_component: bool,
    repo: Option<&Repo>,
    lock: &mut Option<Lock>,
) -> Result<(), Error> {
    let wanted = has_component || session.options.harness();
    if freeze::is_register_right(&session.workspace, wanted)? {
        return Ok(());
    }
    if session.options.locked {
        return Err(Error::new(ExitCode::Difference, "`register` in the generated crate is not as llmc.yaml says")
            .hint("`llmc build` without --locked, then commit"));
    }
    if lock.is_none() {
        *lock = Some(build::take_lock(session)?);
        freeze::recover(&session.workspace)?;
    }
    let modules = freeze::modules_on_disk(&session.workspace)?;
    freeze::write(&session.workspace, &freeze::crate_files(&modules, session.options.harness())?)?;
    if let Some(repo) = repo
        && !repo.head_modules()?.is_empty()
    {
        build::commit_change(session, repo, &message::register(wanted), &[], &[], &[])?;
    }
    Ok(())
}

/// What can't be called through the harness, though the generated crate has it: its name there, and why.
pub fn left_out(session: &Session) -> Result<Vec<(String, String)>, Error> {
    let modules = freeze::modules_on_disk(&session.workspace)?;
    if !freeze::has_register(&modules, session.options.harness()) {
        return Ok(Vec::new());
    }
    Ok(modules.iter().flat_map(freeze::Module::left_out).collect())
}

/// What is not as it should be with a component's file: the path, and what it is.
pub(super) fn differences(session: &Session, one: &LoadedComponent) -> Result<Option<(String, String)>, Error> {
    let name = &one.spec.name;
    let message = match freeze::component_freshness(&session.workspace, &one.spec, &one.path)? {
        Freshness::Fresh | Freshness::Unlisted => {
            let own = [paths::tests(name), paths::provenance(name), paths::envelope(name)];
            let own = if freeze::is_hardened(&session.workspace, name)? { &own[..1] } else { &own[..] };
            let left = own.iter().find(|path| session.workspace.path(path).exists());
            return Ok(left.map(|path| (path.clone(), "belongs to no code: a model answers this component".to_owned())));
        }
        Freshness::Missing => format!("is not there: `llmc build {name}` writes it"),
        Freshness::HandEdited(_) => "was edited by hand".to_owned(),
        Freshness::Taken(other) => format!("is that of `{other}`"),
        _ => format!("is not what `{}` gives: `llmc build {name}` writes it anew", one.path),
    };
    Ok(Some((paths::code(name), message)))
}

fn read(session: &Session, path: &str) -> Result<Vec<u8>, Error> {
    let missing = || Error::new(ExitCode::Internal, format!("failed to read `{path}`"));
    let code = freeze::read(&session.workspace.path(path))?.ok_or_else(missing)?;
    Ok(freeze::unix_lines(&code).unwrap_or(code))
}
