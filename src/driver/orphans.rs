//! Artifacts whose spec is no more, or has another name or place now: moved where they are the same, else removed.
//!
//! Nothing is sampled here. An artifact moves only where everything that its record tells is as true of the new spec: the
//! spec but for its name, the prompt, the code; and every check is run again. What a person edited is never removed unasked.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::build;
use super::specs::{self, Loaded};
use super::{Session, Summary, sign};
use crate::candidate::{self, Candidate};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::freeze::{self, FileText, Module};
use crate::provenance::{self, Provenance, SpecRecord};
use crate::repo::{HeadState, Repo, message, without_header};
use crate::spec::Spec;
use crate::workspace::{Workspace, paths};

/// An artifact whose spec is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) name: String,
    /// Where its spec was.
    spec_path: String,
    /// What is there of it and not as it was recorded.
    edited: Vec<String>,
    /// Whether a person made it, and git has no copy.
    is_only_here: bool,
}

/// Finds them: what lies in `generated` or is listed by the crate, and, where that is given, what HEAD has.
pub(super) fn find(session: &Session, committed: Option<&Repo>) -> Result<Vec<Orphan>, Error> {
    let workspace = &session.workspace;
    let specs: BTreeSet<String> = workspace.specs()?.into_iter().collect();
    let mut names: BTreeSet<String> = freeze::names_on_disk(workspace)?.into_iter().collect();
    if let Some(repo) = committed {
        names.extend(repo.head_names()?);
    }
    names.retain(|name| !specs.contains(&paths::spec(name)));
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let repo = Repo::discover(&workspace.root)?;
    let mut orphans = Vec::new();
    for name in names {
        let record_path = paths::provenance(&name);
        let on_disk = freeze::read(&workspace.path(&record_path))?;
        let in_head = || repo.as_ref().map(|repo| repo.head_file(&record_path)).transpose();
        let record = match on_disk {
            Some(bytes) => Some(bytes),
            None => in_head()?.flatten(),
        };
        // One that can't be read is told of where it is needed, and not touched here.
        let record = match record.map(|bytes| provenance::Summary::read(&bytes)) {
            Some(Ok(record)) => Some(record),
            Some(Err(_)) => continue,
            None => None,
        };
        let code = freeze::read(&workspace.path(&paths::code(&name)))?;
        let of_code =
            || code.as_ref().and_then(|code| freeze::spec_path(code)).filter(|path| paths::is_spec(path, &name));
        let spec_path = match &record {
            Some(record) => record.spec.path.clone(),
            None => of_code().unwrap_or_else(|| paths::spec(&name)),
        };
        // A record of another spec contradicts itself: `llmc verify` tells of it.
        if !paths::is_spec(&spec_path, &name)
            || workspace.path(&spec_path).exists()
            || repo.as_ref().is_some_and(|repo| repo.is_skipped(&spec_path))
        {
            continue;
        }
        let mut edited = Vec::new();
        for path in [paths::code(&name), paths::tests(&name)] {
            let Some(bytes) = freeze::read(&workspace.path(&path))? else { continue };
            let digest = record.as_ref().and_then(|record| record.digest_of(&path));
            let is_component = || record.is_none() && freeze::is_component_as_written(&bytes);
            if !digest.is_some_and(|digest| freeze::is_text_of(&bytes, digest)) && !is_component() {
                edited.push(path);
            }
        }
        let is_only_here = match record.filter(|record| record.is_human).and(repo.as_ref()) {
            Some(repo) => repo
                .compare_to_head(&[&paths::code(&name)])?
                .iter()
                .any(|state| matches!(state, HeadState::Modified | HeadState::Untracked)),
            None => false,
        };
        orphans.push(Orphan { name, spec_path, edited, is_only_here });
    }
    Ok(orphans)
}

/// Of the artifacts in `generated` whose spec is no more: their files, and where the spec was.
pub(super) fn on_disk(workspace: &Workspace) -> Result<Vec<([String; 4], String)>, Error> {
    let mut found = Vec::new();
    let names = freeze::names_on_disk(workspace)?.into_iter();
    for name in names.filter(|name| !workspace.path(&paths::spec(name)).exists()) {
        let bytes = freeze::read(&workspace.path(&paths::provenance(&name)))?;
        let path = match bytes.map(|bytes| provenance::Summary::read(&bytes)) {
            Some(Ok(record)) => record.spec.path,
            Some(Err(_)) => continue,
            None => {
                let code = freeze::read(&workspace.path(&paths::code(&name)))?;
                let Some(path) = code.and_then(|code| freeze::spec_path(&code)) else { continue };
                path
            }
        };
        if paths::is_spec(&path, &name) && !workspace.path(&path).exists() {
            found.push((paths::all(&name), path));
        }
    }
    Ok(found)
}

impl Orphan {
    /// Its own files.
    fn files(&self) -> [String; 4] {
        paths::all(&self.name)
    }

    /// Its own files, and its spec, for a commit.
    fn committed(&self) -> Vec<String> {
        self.files().into_iter().chain([self.spec_path.clone()]).collect()
    }

    /// Why it is not removed.
    fn refuse(&self, session: &Session) -> Option<Error> {
        let Self { name, spec_path, edited, is_only_here } = self;
        let differs = |message: String| Error::new(ExitCode::Difference, message);
        if session.options.locked {
            let message = format!(
                "`{name}` is the artifact of `{spec_path}`, which is no more, and --locked forbids to remove it"
            );
            return Some(
                differs(message)
                    .hint("`llmc build` without --locked removes it, or moves it to a spec of another name"),
            );
        }
        if session.options.overwrite || edited.is_empty() && !is_only_here {
            return None;
        }
        let message = match edited.is_empty() {
            false => {
                format!("`{name}` was edited by hand, and its spec `{spec_path}` is no more: {}", edited.join(", "))
            }
            true => {
                format!("`{name}` was made by a person and is not committed, and its spec `{spec_path}` is no more")
            }
        };
        Some(
            differs(message)
                .hint(format!("with the spec put back (`git checkout -- {spec_path}`), `llmc adopt {name}` keeps it"))
                .hint("`llmc build --overwrite` removes it all the same"),
        )
    }
}

/// Removes artifacts whose spec is no more.
pub(super) fn remove(
    session: &Session,
    orphans: &[Orphan],
    repo: Option<&Repo>,
    summary: &mut Summary,
) -> Result<(), Error> {
    for orphan in orphans {
        if let Some(error) = orphan.refuse(session) {
            summary.fail(error);
            continue;
        }
        let mut modules = freeze::modules_on_disk(&session.workspace)?;
        modules.retain(|one| one.name != orphan.name);
        let removed = orphan.files();
        let own = freeze::crate_files(&modules, session.options.harness())?;
        freeze::replace(&session.workspace, &own, &removed)?;
        let mut commit = None;
        if let Some(repo) = repo {
            let message = message::removed(&orphan.name, &orphan.spec_path);
            commit = build::commit_change(session, repo, &message, &[], &orphan.committed(), &[])?;
        }
        session.tell(Event::Removed { spec: orphan.name.clone(), path: orphan.spec_path.clone(), commit });
    }
    Ok(())
}

/// Moves the artifact of a spec that had another name to `loaded`, if it is the same in all that counts. Says whether.
pub(super) async fn adopt_name(
    session: &mut Session,
    loaded: &Loaded,
    all: &[Loaded],
    orphans: &mut Vec<Orphan>,
    repo: Option<&Repo>,
) -> Result<bool, Error> {
    let sound = |orphan: &&Orphan| orphan.edited.is_empty();
    for orphan in orphans.iter().filter(sound).cloned().collect::<Vec<_>>() {
        let Some((files, provenance)) = moved(session, loaded, all, &orphan.name).await? else { continue };
        put(session, loaded, &files, &provenance, Some(&orphan), repo)?;
        orphans.retain(|one| one.name != orphan.name);
        return Ok(true);
    }
    Ok(false)
}

/// Makes the artifact of a spec that was at another place tell of where it is now. Says whether it could.
pub(super) async fn adopt_place(
    session: &mut Session,
    loaded: &Loaded,
    all: &[Loaded],
    repo: Option<&Repo>,
) -> Result<bool, Error> {
    let name = loaded.spec.name.clone();
    let Some((files, provenance)) = moved(session, loaded, all, &name).await? else { return Ok(false) };
    put(session, loaded, &files, &provenance, None, repo)?;
    Ok(true)
}

/// The files of the artifact `old` as those of `loaded`; `None` where they would not be the same but for name and place.
async fn moved(
    session: &mut Session,
    loaded: &Loaded,
    all: &[Loaded],
    old: &str,
) -> Result<Option<(Vec<FileText>, Provenance)>, Error> {
    let Some(bytes) = freeze::read(&session.workspace.path(&paths::provenance(old)))? else { return Ok(None) };
    let Some(code) = freeze::read(&session.workspace.path(&paths::code(old)))? else { return Ok(None) };
    let Ok(record) = Provenance::read(&bytes) else { return Ok(None) };
    let spec = &loaded.spec;
    // The spec as it would be under the old name: that is what the artifact was made for, and with the same inputs.
    let before = Loaded { spec: Arc::new(Spec { name: old.to_owned(), ..Spec::clone(spec) }), ..loaded.clone() };
    let then = build::target(session, &before)?;
    let inputs = if record.drawn().is_some() { &then.inputs } else { &then.by_hand };
    if sha256(before.spec.canonical()) != record.spec.digest || record.input_digest != *inputs {
        return Ok(None);
    }
    if let Some(drawn) = record.drawn()
        && specs::render_prompt(session, loaded, all)? != drawn.prompt
    {
        return Ok(None);
    }
    let code = freeze::unix_lines(&code).unwrap_or(code);
    let body = String::from_utf8_lossy(without_header(&code)).into_owned();
    let candidate = match candidate::from_source(&body, spec) {
        Ok(candidate) if candidate.source == body => candidate,
        _ => return Ok(None),
    };
    if !passes(session, loaded, all, &candidate).await? {
        return Ok(None);
    }
    let target = build::target(session, loaded)?;
    let input_digest = if record.drawn().is_some() { target.inputs } else { target.by_hand };
    let spec = SpecRecord {
        name: spec.name.clone(),
        path: loaded.path.clone(),
        digest: sha256(spec.canonical()),
        file_digest: sha256(&loaded.bytes),
    };
    let provenance = Provenance { spec, input_digest, ..record };
    let files = build::artifact_files(loaded, &candidate, &provenance)?;
    Ok(Some((files, provenance)))
}

/// Whether every check of the spec holds.
async fn passes(session: &mut Session, loaded: &Loaded, all: &[Loaded], candidate: &Candidate) -> Result<bool, Error> {
    let uses = build::used_sources(session, &loaded.spec, all)?;
    let validator = session.validator()?;
    let (spec, candidate) = (loaded.spec.clone(), candidate.clone());
    let judging = tokio::task::spawn_blocking(move || {
        let checks = validator.prepare(&spec, &uses)?;
        validator.judge(&checks, &candidate)
    });
    tokio::select! {
        // What can't be judged is no reason to end here: the build that follows tells of it.
        judged = judging => Ok(judged.expect("judging does not panic").is_ok_and(|verdict| verdict.is_pass())),
        () = session.interrupt.wait() => Err(Error::interrupted()),
    }
}

/// Writes a moved artifact, removes the old one, and commits both.
fn put(
    session: &Session,
    loaded: &Loaded,
    files: &[FileText],
    provenance: &Provenance,
    orphan: Option<&Orphan>,
    repo: Option<&Repo>,
) -> Result<(), Error> {
    let mut modules = freeze::modules_on_disk(&session.workspace)?;
    modules.retain(|one| orphan.is_none_or(|orphan| one.name != orphan.name));
    let old_name = orphan.map_or(loaded.spec.name.as_str(), |orphan| orphan.name.as_str());
    let mut files = files.to_vec();
    sign::moved(session, old_name, &loaded.spec.name, &mut files)?;
    let module = Module::new(&loaded.spec.name, &loaded.spec.dependencies, &files);
    let mut written = files.clone();
    written.extend(freeze::crate_files(&freeze::with_module(&modules, module.clone()), session.options.harness())?);
    let mut removed = orphan.map(|orphan| orphan.files().to_vec()).unwrap_or_default();
    removed.extend(sign::leftover(session, &loaded.spec.name, &files));
    let old_record = freeze::read(&session.workspace.path(&paths::provenance(old_name)))?;
    let old_path = old_record.and_then(|bytes| provenance::Summary::read(&bytes).ok()).map(|record| record.spec.path);
    freeze::replace(&session.workspace, &written, &removed)?;
    let mut commit = None;
    if let Some(repo) = repo {
        let mut to_commit = vec![(loaded.path.clone(), loaded.bytes.clone())];
        to_commit.extend(files);
        let mut gone = removed;
        // The spec under its old name goes with it, unless it is there.
        let is_gone = |path: &String| *path != loaded.path && !session.workspace.path(path).exists();
        gone.extend(old_path.filter(|path| paths::is_spec(path, old_name) && is_gone(path)));
        let message = message::moved(old_name, &provenance.spec.name, &provenance.spec.path);
        commit = build::commit_change(session, repo, &message, &to_commit, &gone, &[module])?;
    }
    session.tell(Event::Moved {
        spec: loaded.spec.name.clone(),
        from: old_name.to_owned(),
        path: loaded.path.clone(),
        commit,
    });
    Ok(())
}
