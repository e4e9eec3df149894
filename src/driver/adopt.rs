//! `llmc adopt`: code that a person made becomes the artifact, once it passes what a sample has to pass.
//!
//! Nothing is written before it does, so that an edit which fails stays as it is.

use std::path::Path;
use std::sync::Arc;

use super::specs::{self, Loaded};
use super::{Session, build};
use crate::candidate::{self, Candidate, MAX_COMPLETION};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::freeze::{self, Freshness, header};
use crate::provenance::{self, Adoption, Earlier, Origin, ProvenanceError, Summary};
use crate::repo::{Repo, without_header};
use crate::spec::Diagnostics;
use crate::validate;
use crate::verdict::{Class, Phase, Verdict};
use crate::workspace::paths;

/// What taking in a person's code came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The spec.
    pub spec: String,
    /// The code's path in the workspace.
    pub path: String,
    /// Whether there was nothing to take in.
    pub is_unchanged: bool,
    /// The artifact that was there before, if there was one.
    pub from: Option<Earlier>,
    /// The commit made.
    pub commit: Option<String>,
    /// What was changed on the way, and what follows.
    pub notes: Vec<String>,
}

/// Takes in the code that is in the place of a spec's artifact as one that a person made.
///
/// # Errors
/// With exit code 3 where the code does not pass; then nothing was written.
pub async fn adopt(session: &mut Session, named: &str, from: &Path) -> Result<Adopted, Error> {
    let (all, mistakes) = specs::load_specs(session, &[named.to_owned()], from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let spec_path = specs::resolve(session, named, from, &session.workspace.specs()?)?;
    let loaded = all.iter().find(|one| one.path == spec_path).expect("it was loaded by this path").clone();
    let name = loaded.spec.name.clone();
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    if let Some(repo) = &repo {
        repo.recover()?;
    }
    let _lock = build::take_lock(session)?;
    freeze::recover(&session.workspace)?;
    let target = build::target(session, &loaded)?;
    let freshness = build::freshness(session, &target)?;
    if let Freshness::Taken(other) = &freshness {
        return Err(Error::new(ExitCode::Spec, format!("`{}` and `{other}` have the same name", loaded.path))
            .hint("rename one of them: the name is the generated module"));
    }
    let mut adopted = Adopted {
        spec: name.clone(),
        path: paths::code(&name),
        is_unchanged: false,
        from: None,
        commit: None,
        notes: Vec::new(),
    };
    let Some(code) = freeze::read(&session.workspace.path(&adopted.path))? else {
        return Err(Error::new(ExitCode::Usage, format!("there is no `{}` to take in", adopted.path))
            .hint(format!("write it, or `llmc build {name}` draws one")));
    };
    let before = before(session, &name)?;
    adopted.from = before.as_ref().map(|(_, earlier)| earlier.clone());
    if let Some((record, earlier)) = &before
        && freeze::is_text_of(&code, &earlier.code)
        && !(record.is_human && freshness != Freshness::Fresh)
    {
        adopted.is_unchanged = true;
        if let Freshness::HandEdited(files) = &freshness {
            let files = files.join(", ");
            adopted.notes.push(format!("{files}: edited by hand; `llmc replay {name} --overwrite` undoes that"));
        } else if let Freshness::Stale(why) = &freshness {
            adopted.notes.push(format!("it is not up to date, though: {why}; `llmc build {name}` draws anew"));
        } else if freshness == Freshness::Fresh && record.is_human {
            // What could not be committed when it was taken in.
            let finished = build::fresh(session, &target, repo.as_ref(), std::time::Instant::now())?;
            adopted.commit = finished.commit;
        }
        return Ok(adopted);
    }
    check_tests(session, &loaded, before.as_ref().map(|(record, _)| record))?;

    let started_on = build::unix_now();
    let candidate = read_code(&code, &loaded).map_err(|verdict| failed(session, &adopted, verdict))?;
    adopted.notes.extend(candidate.notes.iter().cloned());
    if candidate::has_remarks(&String::from_utf8_lossy(without_header(&code))) {
        adopted.notes.push("comments are not kept, but for those that document (`///`)".to_owned());
    }
    // The same program as before in another layout is still the model's.
    let printed = header(&name, &loaded.path, &sha256(loaded.spec.canonical())) + &candidate.source;
    if let Some((record, earlier)) = &before
        && sha256(&printed) == earlier.code
        && !record.is_human
    {
        freeze::write(&session.workspace, &[(adopted.path.clone(), printed.into_bytes())])?;
        adopted.is_unchanged = true;
        adopted.notes.push("only layout or comments had been changed; it is printed as llmc prints it".to_owned());
        return Ok(adopted);
    }

    let provenance = judge(session, &target, &all, &candidate, &mut adopted, started_on).await?;
    let files = build::write(session, &loaded, &candidate, &provenance)?;
    match &repo {
        Some(repo) => adopted.commit = build::commit(session, repo, &loaded.spec, &files, &provenance)?,
        None if session.options.no_commit => {}
        None => adopted.notes.push("this is no git repository: nothing is committed".to_owned()),
    }
    let callers = callers(session, &name, from)?;
    if !callers.is_empty() {
        adopted.notes.push(format!("the next build looks at what uses it anew: {}", callers.join(", ")));
    }
    Ok(adopted)
}

/// The record that is there, and the digests that name its artifact.
fn before(session: &Session, name: &str) -> Result<Option<(Summary, Earlier)>, Error> {
    let path = paths::provenance(name);
    let Some(bytes) = freeze::read(&session.workspace.path(&path))? else { return Ok(None) };
    let record = match Summary::read(&bytes) {
        Ok(record) => record,
        Err(source @ ProvenanceError::Newer(_)) => {
            return Err(freeze::FreezeError::Provenance { path, source }.into());
        }
        Err(error) => {
            session.tell(Event::Warning(format!("`{path}` can't be read, and is written anew: {error}")));
            return Ok(None);
        }
    };
    let Some(code) = record.digest_of(&paths::code(name)).map(str::to_owned) else { return Ok(None) };
    let bytes = freeze::unix_lines(&bytes).unwrap_or(bytes);
    Ok(Some((record, Earlier { code, provenance: sha256(bytes) })))
}

/// Refuses to write over tests that were edited by hand: they follow from the spec, so that no edit of theirs is kept.
fn check_tests(session: &Session, loaded: &Loaded, record: Option<&Summary>) -> Result<(), Error> {
    let name = &loaded.spec.name;
    let path = paths::tests(name);
    let Some(bytes) = freeze::read(&session.workspace.path(&path))? else { return Ok(()) };
    let is_recorded =
        record.and_then(|record| record.digest_of(&path)).is_some_and(|it| freeze::is_text_of(&bytes, it));
    let made =
        header(name, &loaded.path, &sha256(loaded.spec.canonical())) + &validate::render_tests_file(&loaded.spec);
    if is_recorded || session.options.overwrite || freeze::is_text_of(&bytes, &sha256(made)) {
        return Ok(());
    }
    Err(Error::new(ExitCode::Difference, format!("`{path}` was edited by hand, and tests follow from the spec"))
        .hint(format!("put what you added into `tests` of {}; `git checkout {path}` undoes it", loaded.path))
        .hint(format!("`llmc adopt {name} --overwrite` writes the spec's own tests over it")))
}

/// Reads a person's code as a candidate.
fn read_code(code: &[u8], loaded: &Loaded) -> Result<Candidate, Verdict> {
    let refused = |code: &str, detail: String| Verdict::failed(Phase::Parse, Class::FormatViolation, code, detail);
    if code.len() > MAX_COMPLETION {
        let detail = format!("the code is {} bytes long; at most {MAX_COMPLETION} are read", code.len());
        return Err(refused("too-long", detail));
    }
    let text = std::str::from_utf8(code).map_err(|error| refused("no-text", format!("not UTF-8: {error}")))?;
    candidate::from_source(text, &loaded.spec)
}

/// Compiles the code, runs every check, and records how it came to be.
async fn judge(
    session: &mut Session,
    target: &build::Target,
    all: &[Loaded],
    candidate: &Candidate,
    adopted: &mut Adopted,
    started_on: u64,
) -> Result<provenance::Provenance, Error> {
    let loaded = &target.loaded;
    let spec = &loaded.spec;
    for used in &spec.uses {
        if !session.workspace.path(&paths::code(used)).is_file() {
            return Err(Error::new(
                ExitCode::NoCandidate,
                format!("`{}` uses `{used}`, which was not built", spec.name),
            )
            .hint(format!("`llmc build {used}` first")));
        }
    }
    let mistakes = specs::check(session, std::slice::from_ref(loaded), all).await?;
    if let Some(mistakes) = mistakes.into_iter().find(Diagnostics::has_errors) {
        return Err(Error::spec(vec![mistakes]));
    }
    let uses = build::used_sources(session, spec, all)?;
    let validator = session.validator()?;
    let judging = {
        let (validator, spec, candidate) = (validator.clone(), spec.clone(), candidate.clone());
        tokio::task::spawn_blocking(move || {
            let checks = validator.prepare(&spec, &uses)?;
            let verdict = validator.judge(&checks, &candidate)?;
            Ok::<_, validate::ValidateError>((Arc::new(checks), verdict))
        })
    };
    let (checks, verdict) = tokio::select! {
        judged = judging => judged.expect("judging does not panic")?,
        () = session.interrupt.wait() => return Err(Error::interrupted()),
    };
    if !verdict.is_pass() {
        return Err(failed(session, adopted, verdict));
    }
    session.tell(Event::Judged { spec: spec.name.clone(), candidate: adopted.path.clone(), verdict });
    let origin = Origin::Human(Adoption { from: adopted.from.clone() });
    Ok(provenance::Provenance {
        invocation: format!("{}-{started_on}", spec.name),
        started_on: provenance::rfc3339(started_on),
        finished_on: provenance::rfc3339(build::unix_now()),
        ..build::base_record(target, target.by_hand.clone(), origin, &validator, &checks)
    })
}

/// Tells why the code is not taken in.
fn failed(session: &Session, adopted: &Adopted, verdict: Verdict) -> Error {
    let (name, path) = (&adopted.spec, &adopted.path);
    let phase = format!("{:?}", verdict.phase).to_lowercase();
    let code = verdict.code.as_deref().unwrap_or("unknown");
    let mut error = Error::new(ExitCode::NoCandidate, format!("`{path}` does not pass, and is left as it is"))
        .hint(format!("mend it and run `llmc adopt {name}` again; `llmc replay {name} --overwrite` undoes the edit"));
    error.causes.push(format!("{phase} ({code}): {}", verdict.detail.trim_end()));
    session.tell(Event::Judged { spec: name.clone(), candidate: path.clone(), verdict });
    error
}

/// The specs of the workspace that use this one.
fn callers(session: &Session, name: &str, from: &Path) -> Result<Vec<String>, Error> {
    let (all, _) = specs::load_specs(session, &[], from)?;
    let uses = |one: &&Loaded| one.spec.uses.iter().any(|used| used == name);
    Ok(all.iter().filter(uses).map(|one| one.spec.name.clone()).collect())
}
