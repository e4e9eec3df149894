//! `llmc verify` and `llmc replay`: what is committed, held against itself and judged again, without a model.
//!
//! An artifact is its spec, its code, its tests and its provenance. Each follows from the others: the prompt from the
//! spec and the templates, the code from the recorded completion, the tests from the spec, the digests from all of them.
//! So whatever was changed alone contradicts the rest. What was changed in all places at once is what the commit, and
//! who signed it, vouch for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::sign::{self, Trust};
use super::specs::{self, Loaded, LoadedComponent};
use super::{Session, Summary, build, component, hardened};
use crate::candidate::{self, Candidate};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::{Difference, Event, Verified};
use crate::freeze::{self, ArtifactInput, FileText, Module};
use crate::provenance::{Drawn, Fixer, PolicyRecord, Provenance, ProvenanceError};
use crate::repo::Repo;
use crate::validate::{self, ValidateError, Validator};
use crate::verdict::{Class, Phase, Verdict};
use crate::workspace::{Workspace, paths};

/// Folders and files of the generated crate that are llmc's alone: cargo gives a meaning to whatever is put there.
const OWN: [&str; 8] = ["src", "tests", "provenance", "benches", "examples", ".cargo", "build.rs", "Cargo.toml"];

/// What was found of one artifact without running anything.
#[derive(Default)]
struct Examined {
    differences: Vec<Difference>,
    notes: Vec<String>,
    /// Whether the code is there, and not the recorded one.
    is_edited: bool,
    /// The record and what its completion gives, where both could be had.
    found: Option<(Provenance, Candidate)>,
}

impl Examined {
    fn differs(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.differs_at(path, None, message);
    }

    fn differs_at(&mut self, path: impl Into<String>, line: Option<usize>, message: impl Into<String>) {
        self.differences.push(Difference { path: path.into(), line, message: message.into() });
    }
}

/// Proves the artifacts of the specs that were named, or all of the workspace.
///
/// # Errors
/// When llmc could not do its part. A difference is in the [`Summary`], with exit code 6.
pub async fn verify(session: &mut Session, named: &[String], from: &Path) -> Result<Summary, Error> {
    let trust = sign::trust(session)?;
    run(session, named, from, &trust).await
}

/// The same, with these signatures.
pub(super) async fn run(session: &mut Session, named: &[String], from: &Path, trust: &Trust) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let specs::Found { functions: loaded, components, mistakes } = specs::load(session, named, from)?;
    if !mistakes.is_empty() {
        summary.mistakes = mistakes;
        summary.fail(Error::new(ExitCode::Difference, "a spec is invalid: its artifact can't be verified"));
    }
    let is_bare = loaded.is_empty() && components.is_empty();
    if is_bare && summary.mistakes.is_empty() && named.is_empty() && freeze::is_empty(&session.workspace) {
        return Err(Error::new(ExitCode::Usage, "there is nothing to verify: no spec and no artifact")
            .hint("`llmc init` writes an example"));
    }
    let mut differing = BTreeSet::new();
    let mut edited = Vec::new();
    // Those that pass what costs nothing are judged, several at a time.
    let mut judging = Vec::new();
    let slots = Arc::new(tokio::sync::Semaphore::new(session.options.jobs.max(1)));
    for one in &loaded {
        let started = Instant::now();
        let mut examined = examine(session, one, &loaded)?;
        if let Some(record) = read(&session.workspace, &paths::provenance(&one.spec.name))? {
            let (difference, note) = sign::examine(session, trust, &one.spec.name, &unix(&record))?;
            examined.differences.extend(difference);
            examined.notes.extend(note);
        }
        let task = match examined.found.take() {
            Some((provenance, candidate)) if examined.differences.is_empty() => {
                let uses = build::used_sources(session, &one.spec, &loaded)?;
                let (validator, loaded, slots) = (session.validator()?, one.clone(), slots.clone());
                Some(tokio::spawn(async move {
                    let _slot = slots.acquire_owned().await.expect("the semaphore is never closed");
                    let judge = move || judge(&validator, &loaded, &uses, &provenance, &candidate);
                    tokio::task::spawn_blocking(judge).await.expect("judging does not panic")
                }))
            }
            _ => None,
        };
        judging.push((one, examined, task, started));
    }
    for (one, mut examined, task, started) in judging {
        if let Some(task) = task {
            let judged = tokio::select! {
                judged = task => judged.expect("judging does not panic")?,
                () = session.interrupt.wait() => return Err(Error::interrupted()),
            };
            examined.notes.extend(judged.notes);
            let code = paths::code(&one.spec.name);
            if !judged.verdict.is_pass() {
                examined.differs(&code, told(&judged.verdict));
            } else {
                let there = unix(&read(&session.workspace, &code)?.unwrap_or_default());
                let made = judged.files.iter().find(|(path, _)| *path == code).map(|(_, made)| made);
                if made != Some(&there) {
                    let line = made.and_then(|made| first_difference(made, &there));
                    examined.differs_at(&code, line, judged.not_made);
                }
            }
        }
        if !examined.differences.is_empty() {
            differing.insert(one.spec.name.clone());
        }
        if examined.is_edited {
            edited.push(one.spec.name.as_str());
        }
        session.tell(Event::Verified(Verified {
            spec: Some(one.spec.name.clone()),
            path: Some(one.path.clone()),
            differences: examined.differences,
            notes: examined.notes,
            seconds: started.elapsed().as_secs_f64(),
        }));
    }
    let mut undone = Vec::new();
    for one in &components {
        let started = Instant::now();
        let name = &one.spec.name;
        let found = component::differences(session, one)?;
        let mut differences: Vec<Difference> =
            found.map(|(path, message)| Difference { path, line: None, message }).into_iter().collect();
        let mut notes = Vec::new();
        if freeze::is_hardened(&session.workspace, name)? {
            let (more, told) = hardened::examine(session, one, trust).await?;
            // What is wrong with a file is told once.
            differences.retain(|known| !more.iter().any(|one| one.path == known.path));
            differences.extend(more);
            notes = told;
            if differences.iter().any(|one| one.path == paths::code(name)) {
                undone.push(name.as_str());
            }
        }
        if !differences.is_empty() {
            differing.insert(name.clone());
        }
        session.tell(Event::Verified(Verified {
            spec: Some(name.clone()),
            path: Some(one.path.clone()),
            differences,
            notes,
            seconds: started.elapsed().as_secs_f64(),
        }));
    }
    if named.is_empty() {
        let started = Instant::now();
        let differences = crate_differences(&session.workspace, &loaded, &components, session.options.harness())?;
        if !differences.is_empty() {
            differing.insert("the generated crate".to_owned());
            let seconds = started.elapsed().as_secs_f64();
            session.tell(Event::Verified(Verified { spec: None, path: None, differences, notes: Vec::new(), seconds }));
        }
    }
    if !differing.is_empty() {
        let names = differing.into_iter().collect::<Vec<_>>().join(", ");
        let mut error = Error::new(ExitCode::Difference, format!("not as it was built: {names}")).hint(
            "`git diff` and `git log` show who changed what; `llmc build` builds anew what a spec's change made stale",
        );
        for name in edited {
            error =
                error.hint(format!("`llmc adopt {name}` keeps the edit, `llmc replay {name} --overwrite` undoes it"));
        }
        for name in undone {
            error = error.hint(format!("`llmc replay {name} --overwrite` makes the code of `{name}` again"));
        }
        summary.fail(error);
    }
    Ok(summary)
}

/// Holds an artifact's files against each other.
fn examine(session: &Session, loaded: &Loaded, all: &[Loaded]) -> Result<Examined, Error> {
    let mut examined = Examined::default();
    let spec = &loaded.spec;
    let record_path = paths::provenance(&spec.name);
    let Some(bytes) = read(&session.workspace, &record_path)? else {
        examined.differs(record_path, format!("is not there: `llmc build {}` makes it", spec.name));
        return Ok(examined);
    };
    let provenance = match Provenance::read(&bytes) {
        Ok(provenance) => provenance,
        Err(source @ ProvenanceError::Newer(_)) => {
            return Err(freeze::FreezeError::Provenance { path: record_path, source }.into());
        }
        Err(error) => {
            examined.differs(record_path, error.to_string());
            return Ok(examined);
        }
    };
    if unix(&bytes) != provenance.to_bytes() {
        examined.differs(&record_path, "is not as llmc writes it: it was changed after the build");
    }
    if (provenance.spec.name.as_str(), provenance.spec.path.as_str()) != (spec.name.as_str(), loaded.path.as_str()) {
        let (name, path) = (&provenance.spec.name, &provenance.spec.path);
        examined.differs(&record_path, format!("tells of another spec: `{name}` in `{path}`"));
        return Ok(examined);
    }
    let own = [paths::code(&spec.name), paths::tests(&spec.name)];
    let subjects: Vec<&str> = provenance.subject.iter().map(|subject| subject.path.as_str()).collect();
    if subjects != own {
        examined.differs(&record_path, format!("vouches for other files: {}", subjects.join(", ")));
    }
    let is_of_this_spec = sha256(spec.canonical()) == provenance.spec.digest;
    if !is_of_this_spec {
        examined.differs(&loaded.path, "was changed since the artifact was built");
    } else if sha256(unix(&loaded.bytes)) != provenance.spec.file_digest
        && sha256(&loaded.bytes) != provenance.spec.file_digest
    {
        examined
            .notes
            .push(format!("{}: comments or layout changed since the build, and nothing that counts", loaded.path));
    }
    if is_of_this_spec {
        inputs_differ(session, loaded, all, &provenance, &mut examined)?;
    }
    let made = match candidate(session, loaded, &provenance)? {
        Ok(candidate) => {
            let files = files(loaded, &provenance, &candidate);
            Some((candidate, files))
        }
        Err(verdict) => {
            // Another spec may want something else of the same reply.
            if is_of_this_spec && provenance.drawn().is_some() {
                examined
                    .differs(&record_path, format!("the recorded completion gives no such code: {}", told(&verdict)));
            } else if is_of_this_spec {
                examined.differs(&own[0], format!("is no such code as the spec wants: {}", told(&verdict)));
            }
            None
        }
    };
    for path in &own {
        let Some(bytes) = read(&session.workspace, path)? else {
            examined.differs(path, "is not there");
            continue;
        };
        let recorded = provenance.subject.iter().find(|subject| subject.path == *path);
        let is_recorded = recorded.is_some_and(|subject| freeze::is_text_of(&bytes, &subject.sha256));
        // What rustc changed is compared once it has changed it again.
        let is_later = *path == own[0] && fixes(&provenance) > 0;
        let is_made = made.as_ref().is_none_or(|(_, files)| {
            !is_of_this_spec || is_later || files.iter().any(|(made, text)| made == path && *text == unix(&bytes))
        });
        let line = || {
            let (_, files) = made.as_ref().filter(|_| is_of_this_spec && !is_later)?;
            let (_, made) = files.iter().find(|(made, _)| made == path)?;
            first_difference(made, &unix(&bytes))
        };
        if !is_recorded {
            examined.is_edited |= *path == own[0];
            examined.differs_at(path, line(), "was edited by hand: its digest is not the recorded one");
        } else if !is_made {
            let told = if *path == own[0] { not_made(&provenance) } else { "is not what the spec gives" };
            examined.differs_at(path, line(), told);
        }
    }
    examined.found = made.map(|(candidate, _)| (provenance, candidate));
    Ok(examined)
}

/// What a build depends on, beside the spec itself.
fn inputs_differ(
    session: &Session,
    loaded: &Loaded,
    all: &[Loaded],
    provenance: &Provenance,
    examined: &mut Examined,
) -> Result<(), Error> {
    let spec = &loaded.spec;
    let target = build::target(session, loaded)?;
    let record_path = paths::provenance(&spec.name);
    let changed = |one: &&crate::provenance::UseRecord| !target.uses.contains(one);
    for used in provenance.uses.iter().filter(changed) {
        examined
            .differs(paths::code(&used.name), format!("was changed since `{}`, which calls it, was built", spec.name));
    }
    let Some(drawn) = provenance.drawn() else {
        if target.by_hand != provenance.input_digest && examined.differences.is_empty() {
            examined.differs(&record_path, "was made of other inputs: what it uses was changed, or the record");
        }
        rules_differ(loaded, provenance, examined);
        return Ok(());
    };
    if session.templates.digest(spec) != drawn.prompt.template_digest {
        examined.differs("templates", "the prompt's templates were changed since the artifact was built");
    } else if target.inputs != provenance.input_digest && examined.differences.is_empty() {
        examined.differs(
            &record_path,
            "was built from other inputs: the settings of model or sampling in llmc.yaml were changed, or the record",
        );
    } else if spec.prompt.shots.is_empty() && examined.differences.is_empty() {
        // A worked example is another artifact, which may have been built anew since.
        let prompt = specs::render_prompt(session, loaded, all)?;
        if prompt != drawn.prompt {
            examined.differs(&record_path, "the recorded prompt is not what the spec and the templates give");
        }
    }
    rules_differ(loaded, provenance, examined);
    Ok(())
}

/// What the code may do, as the spec says and as the record has it.
fn rules_differ(loaded: &Loaded, provenance: &Provenance, examined: &mut Examined) {
    let spec = &loaded.spec;
    if provenance.policy != PolicyRecord::from(&spec.policy) || provenance.dependencies != spec.dependencies {
        let record_path = paths::provenance(&spec.name);
        examined.differs(record_path, "records another policy, or other dependencies, than the spec's");
    }
}

/// The candidate that a record tells of. What a person made has no completion: it is the code itself, as it is there or, where that was changed, in HEAD.
fn candidate(session: &Session, loaded: &Loaded, provenance: &Provenance) -> Result<Result<Candidate, Verdict>, Error> {
    if let Some(found) = provenance.drawn() {
        return Ok(drawn(loaded, found));
    }
    let path = paths::code(&loaded.spec.name);
    let recorded = provenance.subject.iter().find(|subject| subject.path == path);
    let is_recorded = |bytes: &Vec<u8>| recorded.is_some_and(|subject| freeze::is_text_of(bytes, &subject.sha256));
    let mut bytes = read(&session.workspace, &path)?.filter(is_recorded);
    if bytes.is_none()
        && let Some(repo) = Repo::discover(&session.workspace.root)?
    {
        bytes = repo.head_file(&path)?.filter(is_recorded);
    }
    let Some(bytes) = bytes else {
        let detail = "the code that a person made is neither there nor in HEAD as it was recorded";
        return Ok(Err(Verdict::failed(Phase::Parse, Class::FormatViolation, "no-code", detail)));
    };
    Ok(candidate::from_source(&String::from_utf8_lossy(&bytes), &loaded.spec))
}

/// The candidate that a recorded completion gives, by the same way as in a build: before rustc changed it, if it did.
pub(super) fn drawn(loaded: &Loaded, drawn: &Drawn) -> Result<Candidate, Verdict> {
    candidate::from_completion(&drawn.completion.text, drawn.completion.finish, &loaded.spec)
}

/// What is told of code that does not follow from its record.
fn not_made(provenance: &Provenance) -> &'static str {
    match provenance.drawn() {
        Some(_) => "is not what the recorded completion gives",
        None => "is not as llmc prints it",
    }
}

/// How often rustc changed the recorded completion's code.
fn fixes(provenance: &Provenance) -> usize {
    let repairs = provenance.drawn().map(|drawn| drawn.repairs.as_slice()).unwrap_or_default();
    repairs.iter().rev().take_while(|step| step.by == Fixer::Rustc).count()
}

/// The artifact's files, with this candidate as its code.
fn files(loaded: &Loaded, provenance: &Provenance, candidate: &Candidate) -> Vec<FileText> {
    let tests = validate::render_tests_file(&loaded.spec);
    let input = ArtifactInput { source: &candidate.source, tests: &tests, provenance };
    // The name is that of a spec that was built.
    freeze::files(&input).unwrap_or_default()
}

/// What running an artifact came to.
pub(super) struct Ran {
    pub(super) verdict: Verdict,
    /// What it is made of.
    pub(super) files: Vec<FileText>,
    /// What is not as it was, and need not be.
    notes: Vec<String>,
    /// What is told where the files are not those.
    not_made: &'static str,
}

/// Compiles an artifact and runs its checks.
pub(super) fn judge(
    validator: &Validator,
    loaded: &Loaded,
    uses: &[(String, String)],
    provenance: &Provenance,
    candidate: &Candidate,
) -> Result<Ran, ValidateError> {
    let checks = validator.prepare(&loaded.spec, uses)?;
    let not_made = not_made(provenance);
    let mut candidate = candidate.clone();
    for _ in 0..fixes(provenance) {
        let judged = validator.judge_closely(&checks, &[&candidate])?.remove(0);
        let fixed = judged.insight.fix.map(|fixed| candidate::from_source(&fixed.source, &loaded.spec));
        candidate = match fixed {
            Some(Ok(fixed)) => fixed,
            Some(Err(verdict)) => return Ok(Ran { verdict, files: Vec::new(), notes: Vec::new(), not_made }),
            // This rustc is not sure of what that one was.
            None => return Ok(Ran { verdict: judged.verdict, files: Vec::new(), notes: Vec::new(), not_made }),
        };
    }
    let mut notes = Vec::new();
    let (then, now) = (&provenance.toolchain, validator.toolchain());
    if then.rustc != now.version || then.host != now.host {
        notes.push(format!(
            "built with {} for {}, verified with {} for {}",
            then.rustc, then.host, now.version, now.host
        ));
    }
    for locked in checks.crates() {
        match provenance.crates.iter().find(|one| one.name == locked.name) {
            Some(one) if one.version != locked.version => {
                notes.push(format!("built with {} {}, verified with {}", one.name, one.version, locked.version));
            }
            _ => {}
        }
    }
    if provenance.sandbox == "off" {
        notes.push("it was built without the sandbox".to_owned());
    }
    let files = files(loaded, provenance, &candidate);
    Ok(Ran { verdict: validator.judge(&checks, &candidate)?, files, notes, not_made })
}

/// What is wrong with the generated crate as a whole.
fn crate_differences(
    workspace: &Workspace,
    specs: &[Loaded],
    components: &[LoadedComponent],
    harness: bool,
) -> Result<Vec<Difference>, Error> {
    let mut differences = Vec::new();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    // Where a record can't be read, which was told of already, the specs say as much.
    let modules = freeze::modules_on_disk(workspace).unwrap_or_else(|_| {
        let is_there = |one: &&Loaded| workspace.path(&paths::code(&one.spec.name)).is_file();
        let module = |one: &Loaded| {
            let code = freeze::read(&workspace.path(&paths::code(&one.spec.name))).ok().flatten().unwrap_or_default();
            let (name, dependencies) = (one.spec.name.clone(), one.spec.dependencies.clone());
            Module { name, dependencies, code: freeze::Code::new(code) }
        };
        let mut modules: Vec<Module> = specs.iter().filter(is_there).map(module).collect();
        modules.sort_by(|one, other| one.name.cmp(&other.name));
        modules
    });
    for (path, text) in freeze::crate_files(&modules, harness)? {
        let is_same = read(workspace, &path)?.is_some_and(|bytes| unix(&bytes) == text);
        if !is_same {
            differences.push(Difference {
                path: path.clone(),
                line: None,
                message: "is not what the artifacts give; `llmc build` writes it anew".to_owned(),
            });
        }
    }
    expected.extend([paths::MANIFEST.to_owned(), paths::CRATE_ROOT.to_owned()]);
    for loaded in specs {
        let name = &loaded.spec.name;
        expected.extend(paths::all(name));
    }
    expected.extend(components.iter().flat_map(|one| paths::all(&one.spec.name)));
    let gone: Vec<([String; 4], String)> = super::orphans::on_disk(workspace)?;
    for path in freeze::crate_listing(workspace, &OWN)? {
        if !expected.contains(&path) {
            let message = match gone.iter().find(|(files, _)| files.contains(&path)) {
                Some((_, spec)) => format!("belongs to `{spec}`, which is no more; `llmc build` removes it"),
                None => "belongs to no spec".to_owned(),
            };
            differences.push(Difference { path, line: None, message });
        }
    }
    Ok(differences)
}

/// Makes an artifact again from its recorded completion, by way of extraction, formatting, validation and writing.
///
/// # Errors
/// With exit code 6 where it is not the artifact that is there; with `overwrite` it is written then.
pub async fn replay(session: &mut Session, named: &str, from: &Path) -> Result<Replayed, Error> {
    let specs::Found { functions: loaded, components, mistakes } = specs::load(session, &[named.to_owned()], from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    if let Some(one) = components.first() {
        let files = hardened::replayed(session, one).await?;
        return settle(session, (&one.spec.name, &one.path, &one.bytes), files, "the recorded completion", Vec::new());
    }
    let path = specs::resolve(session, named, from, &session.workspace.specs()?)?;
    let one = loaded.iter().find(|one| one.path == path).expect("it was loaded by this path").clone();
    let name = one.spec.name.clone();
    let differs = |message: String| Error::new(ExitCode::Difference, message);
    let record_path = paths::provenance(&name);
    let Some(bytes) = read(&session.workspace, &record_path)? else {
        return Err(Error::new(ExitCode::Usage, format!("there is no `{record_path}` to replay"))
            .hint(format!("`llmc build {name}` first")));
    };
    let provenance =
        Provenance::read(&bytes).map_err(|error| differs(format!("failed to read `{record_path}`")).cause(error))?;
    if provenance.spec.name != name || provenance.spec.digest != sha256(one.spec.canonical()) {
        return Err(differs(format!("`{}` is not the spec that `{record_path}` tells of", one.path))
            .hint(format!("`llmc build {name}` builds it as it is now")));
    }
    let is_drawn = provenance.drawn().is_some();
    let record = if is_drawn { "the recorded completion" } else { "what a person made" };
    let candidate = candidate(session, &one, &provenance)?
        .map_err(|verdict| differs(format!("{record} gives no such code: {}", told(&verdict))))?;
    let uses = build::used_sources(session, &one.spec, &loaded)?;
    let validator = session.validator()?;
    let ran = {
        let (one, provenance) = (one.clone(), provenance.clone());
        let judge = move || judge(&validator, &one, &uses, &provenance, &candidate);
        tokio::select! {
            ran = tokio::task::spawn_blocking(judge) => ran.expect("judging does not panic")?,
            () = session.interrupt.wait() => return Err(Error::interrupted()),
        }
    };
    if !ran.verdict.is_pass() {
        return Err(differs(format!("`{name}` fails now: {}", told(&ran.verdict))));
    }
    let mut notes = ran.notes;
    if !is_drawn {
        notes.push(format!(
            "`{name}` was made by a person, so there is no completion: its code was formatted, validated and written again"
        ));
    }
    settle(session, (&name, &one.path, &one.bytes), ran.files, record, notes)
}

/// Holds the files that an artifact was made of again against those that are there, and writes them where that is asked
/// for. `record` says what they were made of.
fn settle(
    session: &Session,
    (name, spec_path, spec): (&str, &str, &[u8]),
    mut files: Vec<FileText>,
    record: &str,
    notes: Vec<String>,
) -> Result<Replayed, Error> {
    let differs = |message: String| Error::new(ExitCode::Difference, message);
    sign::replayed(session, name, &mut files)?;
    let mut changed = Vec::new();
    for (path, text) in &files {
        let is_same = read(&session.workspace, path)?.is_some_and(|bytes| unix(&bytes) == *text);
        if !is_same {
            changed.push(path.clone());
        }
    }
    if !changed.is_empty() {
        if !session.options.overwrite {
            let error = differs(format!("{record} gives other bytes: {}", changed.join(", ")));
            let is_component = files.iter().any(|(path, text)| *path == paths::code(name) && is_component(text));
            let error = match changed.contains(&paths::code(name)) && !is_component {
                true => error.hint(format!("`llmc adopt {name}` keeps what is there")),
                false => error,
            };
            return Err(error.hint(format!("`llmc replay {name} --overwrite` puts them in the place of what is there")));
        }
        let _lock = build::take_lock(session)?;
        freeze::write(&session.workspace, &files)?;
    }
    let tree = match Repo::discover(&session.workspace.root)? {
        Some(repo) => Some(repo.tree_with(&[files.as_slice(), &[(spec_path.to_owned(), spec.to_vec())]].concat())?),
        None => None,
    };
    Ok(Replayed {
        spec: name.to_owned(),
        files: files.into_iter().map(|(path, _)| path).collect(),
        changed,
        tree,
        notes,
    })
}

fn is_component(code: &[u8]) -> bool {
    freeze::component_body(code).is_some()
}

/// What a replay came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The spec.
    pub spec: String,
    /// The artifact's files.
    pub files: Vec<String>,
    /// Those that were not as they are now.
    pub changed: Vec<String>,
    /// git's name of the tree of the last commit with these files in it; none where there is no repository.
    pub tree: Option<String>,
    /// What is not as it was at the time of the build, and need not be.
    pub notes: Vec<String>,
}

/// A verdict in a line.
pub(super) fn told(verdict: &Verdict) -> String {
    let code = verdict.code.as_deref().unwrap_or_default();
    let first = verdict.detail.lines().next().unwrap_or_default();
    format!("{} ({code}): {first}", format!("{:?}", verdict.phase).to_lowercase())
}

/// The first line, from 1, that is not the same in both.
pub(super) fn first_difference(made: &[u8], there: &[u8]) -> Option<usize> {
    let (made, there) = (made.split(|byte| *byte == b'\n'), there.split(|byte| *byte == b'\n'));
    // Lines that are the same are not told apart by what comes after the shorter text.
    let longest = made.clone().count().max(there.clone().count());
    let lines = made.map(Some).chain(std::iter::repeat(None)).zip(there.map(Some).chain(std::iter::repeat(None)));
    lines.take(longest).position(|(made, there)| made != there).map(|line| line + 1)
}

/// As llmc writes it, whatever git made of the line ends.
fn unix(bytes: &[u8]) -> Vec<u8> {
    freeze::unix_lines(bytes).unwrap_or_else(|| bytes.to_vec())
}

/// The bytes of a file of the workspace; `None` when it is not there.
fn read(workspace: &Workspace, path: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(freeze::read(&workspace.path(path))?)
}
