//! `llmc revert`: an artifact as an earlier commit has it, made current again by a new commit.
//!
//! Nothing is sampled, compiled or run: the files are those of that commit, byte for byte, and `llmc verify` judges them.

use std::collections::BTreeMap;
use std::path::Path;

use super::specs::{self, Loaded};
use super::{Session, build, history, sign};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::freeze::{self, FileText, Module};
use crate::provenance::{Provenance, Summary};
use crate::repo::{Repo, message};
use crate::spec::{self, AnySpec};
use crate::syntax;
use crate::workspace::paths;

/// What making an earlier artifact current came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverted {
    /// The spec.
    pub spec: String,
    /// The commit that had it.
    pub to: String,
    /// As much of it as names it here.
    pub short: String,
    /// The files that were not as they are now; none where it was current already.
    pub changed: Vec<String>,
    /// The commit made.
    pub commit: Option<String>,
    /// What is not as it was then, and what follows.
    pub notes: Vec<String>,
}

/// An artifact as a commit has it.
struct Then {
    spec_path: String,
    /// Spec, code, tests (a component has none), provenance, and the envelope where it was signed.
    files: Vec<FileText>,
    /// The spec, where it is that of a function.
    function: Option<Loaded>,
    provenance: Provenance,
}

/// Makes the artifact of `SPEC@REV` current again.
///
/// # Errors
/// With exit code 6 where changes that are not committed would be lost, or where that commit's artifact contradicts its
/// own record.
pub fn revert(session: &Session, named: &str, from: &Path) -> Result<Reverted, Error> {
    let (named, revision) = history::split(named);
    let name = history::name_of(named)?;
    let Some(revision) = revision else {
        return Err(Error::new(ExitCode::Usage, format!("to which revision? `{named}` names none"))
            .hint(format!("`llmc revert {named}@REV`; `llmc log {named}` lists the commits that changed it")));
    };
    let repo = history::repo(session)?;
    let to = repo.commit_of(revision)?;
    let short = repo.short(&to);
    repo.recover()?;
    let _lock = build::take_lock(session)?;
    freeze::recover(&session.workspace)?;
    let then = then(&repo, &name, &to)?;
    check_place(session, &name, &then)?;
    check_uses(session, &then, &short)?;

    let is_there = |(path, bytes): &&FileText| {
        freeze::read(&session.workspace.path(path)).is_ok_and(|found| found.is_some_and(|found| is_text(&found, bytes)))
    };
    let uncommitted = repo.would_lose(&then.files)?;
    if !uncommitted.is_empty() {
        let files = uncommitted.join(", ");
        return Err(Error::new(ExitCode::Difference, format!("changes that are not committed would be lost: {files}"))
            .hint(format!(
                "`git commit` or `git stash` them first; `llmc adopt {name}` keeps edited code as an artifact"
            )));
    }
    // What components need the crate has for all of them.
    let none = BTreeMap::new();
    let dependencies = if then.function.is_some() { &then.provenance.dependencies } else { &none };
    let module = Module::new(&name, dependencies, &then.files);
    let modules = freeze::with_module(&freeze::modules_on_disk(&session.workspace)?, module.clone());
    let mut files = then.files.clone();
    files.retain(|file| !is_there(&file));
    files.extend(freeze::crate_files(&modules, session.options.harness())?);
    // What signs the record that is there now signs none of then.
    let leftover = sign::leftover(session, &name, &then.files);
    let changed = freeze::replace(&session.workspace, &files, &leftover)?;
    let mut commit = None;
    if !session.options.no_commit {
        let message = message::reverted(&name, &then.spec_path, &to, &short);
        let leftover = sign::committed_leftover(&repo, &name, &then.files)?;
        commit = build::commit_change(session, &repo, &message, &then.files, &leftover, &[module])?;
    }
    let notes = notes(session, &name, &then, from)?;
    Ok(Reverted { spec: name, to, short, changed, commit, notes })
}

/// The artifact as the commit has it, whole and as its own record says.
fn then(repo: &Repo, name: &str, commit: &str) -> Result<Then, Error> {
    let short = repo.short(commit);
    let differs = |message: String| Error::new(ExitCode::Difference, message);
    let record_path = paths::provenance(name);
    let Some(record) = repo.file_at(commit, &record_path)? else {
        return Err(history::missing_at(repo, name, commit));
    };
    let provenance = Provenance::read(&record).map_err(|error| {
        differs(format!("`{record_path}` of {short} can't be read by this llmc, so that it can't be made current"))
            .cause(error)
            .hint(format!("`llmc log {name}` lists other commits; `llmc build {name}` draws anew"))
    })?;
    let spec_path = provenance.spec.path.clone();
    if !paths::is_spec(&spec_path, name) {
        return Err(differs(format!("`{record_path}` of {short} tells of another spec: `{spec_path}`")));
    }
    let whole = |path: &str| {
        let found = repo.file_at(commit, path)?;
        found.ok_or_else(|| differs(format!("`{path}` is not in {short}, and belongs to the artifact `{name}`")))
    };
    let spec_bytes = whole(&spec_path)?;
    let (spec, warnings) = syntax::deep(|| spec::parse_any(&spec_path, name, &spec_bytes))
        .map_err(|mistakes| Error::spec(vec![mistakes]).hint(format!("this is the spec as {short} has it")))?;
    let (canonical, is_function) = match &spec {
        AnySpec::Function(spec) => (spec.canonical(), true),
        AnySpec::Component(spec) => (spec.canonical(), false),
    };
    let is_same_kind = provenance.hardness().is_none() == is_function;
    if provenance.spec.name != name || sha256(canonical) != provenance.spec.digest || !is_same_kind {
        return Err(differs(format!("in {short} `{spec_path}` is not the spec that the artifact was made for"))
            .hint(format!("it was changed without a build; `llmc log {name}` lists the commits of builds")));
    }
    let mut files = vec![(spec_path.clone(), spec_bytes.clone())];
    let own = [paths::code(name), paths::tests(name)];
    for path in own.into_iter().take(if is_function { 2 } else { 1 }) {
        let bytes = whole(&path)?;
        let recorded = provenance.subject.iter().find(|subject| subject.path == path);
        if !recorded.is_some_and(|subject| freeze::is_text_of(&bytes, &subject.sha256)) {
            return Err(differs(format!("in {short} `{path}` is not as it was recorded: it was edited by hand"))
                .hint(format!("`llmc log {name}` lists other commits")));
        }
        files.push((path, bytes));
    }
    files.push((record_path, record));
    let envelope = paths::envelope(name);
    files.extend(repo.file_at(commit, &envelope)?.map(|bytes| (envelope, bytes)));
    let function = match spec {
        AnySpec::Function(spec) => {
            Some(Loaded { path: spec_path.clone(), bytes: spec_bytes, spec: (*spec).into(), warnings })
        }
        AnySpec::Component(_) => None,
    };
    Ok(Then { spec_path, files, function, provenance })
}

/// Refuses where the spec is at another place now: there would be two of one name.
fn check_place(session: &Session, name: &str, then: &Then) -> Result<(), Error> {
    let record = freeze::read(&session.workspace.path(&paths::provenance(name)))?;
    let now = record.and_then(|bytes| Summary::read(&bytes).ok()).map(|record| record.spec.path);
    let places = now.into_iter().chain([paths::spec(name)]);
    for place in places.filter(|place| *place != then.spec_path) {
        if session.workspace.path(&place).exists() {
            let message = format!("the spec `{name}` is `{place}` now, and was `{}` then", then.spec_path);
            return Err(Error::new(ExitCode::Usage, message)
                .hint(format!("`git mv {place} {}` first, and commit that", then.spec_path)));
        }
    }
    Ok(())
}

/// Refuses where it calls what is no more: no build could load it.
fn check_uses(session: &Session, then: &Then, short: &str) -> Result<(), Error> {
    for used in then.function.iter().flat_map(|function| &function.spec.uses) {
        if !session.workspace.path(&paths::spec(used)).is_file() {
            let message = format!("it uses `{used}`, and there is no `{}` any more", paths::spec(used));
            return Err(Error::new(ExitCode::Spec, message).hint(format!("`llmc revert {used}@{short}` first")));
        }
    }
    Ok(())
}

/// What is not as it was then, and what follows.
fn notes(session: &Session, name: &str, then: &Then, from: &Path) -> Result<Vec<String>, Error> {
    let record = &then.provenance;
    let mut notes = of_function(session, then)?;
    let (_, bytes) = then.files.iter().find(|(path, _)| *path == paths::provenance(name)).expect("it has a record");
    if record.to_bytes() != freeze::unix_lines(bytes).unwrap_or_else(|| bytes.clone()) {
        let version = &record.llmc_version;
        notes.push(format!(
            "its provenance is not as this llmc writes it (it is of llmc {version}): `llmc verify` says so"
        ));
    }
    let (all, _) = specs::load_specs(session, &[], from)?;
    let callers = all.iter().filter(|one| one.spec.uses.iter().any(|used| used == name));
    let callers: Vec<&str> = callers.map(|one| one.spec.name.as_str()).collect();
    if !callers.is_empty() {
        notes.push(format!("the next build looks at what uses it anew: {}", callers.join(", ")));
    }
    Ok(notes)
}

/// What a function was built of, and is not as it was then.
fn of_function(session: &Session, then: &Then) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    let Some(function) = &then.function else { return Ok(notes) };
    let (record, spec) = (&then.provenance, &function.spec);
    let target = build::target(session, function)?;
    let follows = "`llmc verify` says so, and the next `llmc build` builds it anew";
    let changed: Vec<&str> =
        record.uses.iter().filter(|one| !target.uses.contains(one)).map(|one| one.name.as_str()).collect();
    let inputs = if record.drawn().is_some() { &target.inputs } else { &target.by_hand };
    if !changed.is_empty() {
        notes.push(format!("what it uses was changed since ({}): {follows}", changed.join(", ")));
    } else if record.drawn().is_some_and(|drawn| drawn.prompt.template_digest != session.templates.digest(spec)) {
        notes.push(format!("the prompt's templates were others then: {follows}"));
    } else if record.input_digest != *inputs {
        notes.push(format!("llmc.yaml said otherwise about model or sampling then: {follows}"));
    }
    Ok(notes)
}

/// Whether these are the same bytes, whatever git made of the line ends.
fn is_text(found: &[u8], bytes: &[u8]) -> bool {
    found == bytes || freeze::unix_lines(found).is_some_and(|found| found == bytes)
}
