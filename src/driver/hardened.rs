//! Code that answers for a component, once it is made: proved, accepted, verified, made again from its record, and taken
//! away.
//!
//! It is an artifact: code and provenance, from a recorded completion. What is promised of it rests on calls that are in no
//! commit. They are looked at again where it is accepted; from then on it is what whoever accepted and signed it vouch for.

use super::distill::{function, without_types};
use super::harden::recount;
use super::sign::{self, Trust};
use super::specs::{self, Loaded, LoadedComponent};
use super::{Session, build, verify};
use crate::candidate::Candidate;
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Difference;
use crate::freeze::{self, FileText};
use crate::proposal::{Against, Proposal};
use crate::provenance::{PolicyRecord, Provenance, ProvenanceError};
use crate::repo::{Repo, message};
use crate::verdict::{Class, Phase, Verdict};
use crate::workspace::paths;

/// The record of a hardened component's code, where they belong together; `None` where no code answers.
pub(super) fn record(session: &Session, name: &str) -> Result<Option<Provenance>, Error> {
    if !freeze::is_hardened(&session.workspace, name)? {
        return Ok(None);
    }
    let path = paths::provenance(name);
    let bytes = freeze::read(&session.workspace.path(&path))?.unwrap_or_default();
    let code = freeze::read(&session.workspace.path(&paths::code(name)))?.unwrap_or_default();
    let other = || {
        Error::new(ExitCode::Difference, format!("`{path}` does not belong to the code of `{name}`")).hint(format!(
            "`llmc verify {name}` says why; `llmc harden {name}` makes it anew, `llmc soften {name}` does without the code"
        ))
    };
    let record = match Provenance::read(&bytes) {
        Ok(record) => record,
        Err(source @ ProvenanceError::Newer(_)) => return Err(freeze::FreezeError::Provenance { path, source }.into()),
        Err(error) => return Err(other().cause(error)),
    };
    let is_whole = record.to_bytes() == unix(&bytes)
        && record.hardness().is_some()
        && record.spec.name == name
        && matches!(&record.subject[..], [one] if one.path == paths::code(name) && freeze::is_text_of(&code, &one.sha256));
    if is_whole { Ok(Some(record)) } else { Err(other()) }
}

/// What a recorded completion gives.
struct Made {
    /// The function that was asked for, as a spec.
    function: Loaded,
    candidate: Candidate,
    /// Its code without the types.
    own: String,
    files: Vec<FileText>,
}

/// Makes the code of a record again, up to where it is compiled.
fn make(one: &LoadedComponent, record: &Provenance) -> Result<Result<Made, Verdict>, Error> {
    let function = function(&one.spec, &one.path, &[])?;
    let no = |detail: &str| Ok(Err(Verdict::failed(Phase::Parse, Class::FormatViolation, "no-code", detail)));
    let Some(drawn) = record.drawn() else { return no("the record tells of no sample") };
    let candidate = match verify::drawn(&function, drawn) {
        Ok(candidate) => candidate,
        Err(verdict) => return Ok(Err(verdict)),
    };
    let Some(own) = without_types(&candidate.source, &one.spec) else { return no("its types can't be told apart") };
    let files = freeze::hardened_files(&one.spec, &own, record);
    Ok(Ok(Made { function, candidate, own, files }))
}

/// Compiles what was made.
async fn judge(session: &mut Session, made: &Made) -> Result<Verdict, Error> {
    let validator = session.validator()?;
    let (spec, candidate) = (made.function.spec.clone(), made.candidate.clone());
    let judging = tokio::task::spawn_blocking(move || {
        let checks = validator.prepare(&spec, &[])?;
        validator.judge(&checks, &candidate)
    });
    tokio::select! {
        judged = judging => Ok(judged.expect("judging does not panic")?),
        () = session.interrupt.wait() => Err(Error::interrupted()),
    }
}

/// What is not as it was accepted with a hardened component, and what should be known of it.
pub(super) async fn examine(
    session: &mut Session,
    one: &LoadedComponent,
    trust: &Trust,
) -> Result<(Vec<Difference>, Vec<String>), Error> {
    let name = &one.spec.name;
    let (path, code_path) = (paths::provenance(name), paths::code(name));
    let mut differences = Vec::new();
    let mut notes = Vec::new();
    let differs =
        |path: &str, line: Option<usize>, message: String| Difference { path: path.to_owned(), line, message };
    let bytes = unix(&freeze::read(&session.workspace.path(&path))?.unwrap_or_default());
    let record = match Provenance::read(&bytes) {
        Ok(record) => record,
        Err(source @ ProvenanceError::Newer(_)) => return Err(freeze::FreezeError::Provenance { path, source }.into()),
        Err(error) => return Ok((vec![differs(&path, None, error.to_string())], notes)),
    };
    if bytes != record.to_bytes() {
        let told = "is not as llmc writes it: it was changed after it was accepted".to_owned();
        differences.push(differs(&path, None, told));
    }
    if (record.spec.name.as_str(), record.spec.path.as_str()) != (name.as_str(), one.path.as_str()) {
        let told = format!("tells of another spec: `{}` in `{}`", record.spec.name, record.spec.path);
        return Ok((vec![differs(&path, None, told)], notes));
    }
    if record.hardness().is_none() {
        return Ok((vec![differs(&path, None, "holds no certificate".to_owned())], notes));
    }
    let subjects: Vec<&str> = record.subject.iter().map(|subject| subject.path.as_str()).collect();
    if subjects != [code_path.as_str()] {
        differences.push(differs(&path, None, format!("vouches for other files: {}", subjects.join(", "))));
    }
    if record.input_digest != freeze::types_digest(&one.spec) {
        differences.push(differs(&path, None, format!("is of other types than those of `{}`", one.path)));
    }
    let function = function(&one.spec, &one.path, &[])?;
    let is_of_this_spec = record.spec.digest == sha256(one.spec.canonical());
    if !is_of_this_spec {
        notes.push(format!(
            "{}: was changed since its code was certified, which is promised to agree with the answers of then",
            one.path
        ));
    } else if record.llmc_version != env!("CARGO_PKG_VERSION") {
        // What is asked of the model, and what its code may do, is llmc's own: another one may ask otherwise.
        notes.push(format!("made by llmc {}, whose prompt is not looked at by this one", record.llmc_version));
    } else if record.policy != PolicyRecord::from(&function.spec.policy)
        || record.dependencies != function.spec.dependencies
    {
        differences.push(differs(&path, None, "records another policy, or other dependencies".to_owned()));
    } else if let Some(drawn) = record.drawn()
        && drawn.prompt.template_digest == session.templates.digest(&function.spec)
        && drawn.prompt != specs::render_prompt(session, &function, &[])?
    {
        let told = "the recorded prompt is not what the spec and the templates give".to_owned();
        differences.push(differs(&path, None, told));
    }
    let there = unix(&freeze::read(&session.workspace.path(&code_path))?.unwrap_or_default());
    let recorded = record.subject.first().map(|subject| subject.sha256.as_str());
    let made = make(one, &record)?;
    match &made {
        Err(verdict) => {
            let told = format!("the recorded completion gives no such code: {}", verify::told(verdict));
            differences.push(differs(&path, None, told));
        }
        Ok(made) => {
            let (_, text) = &made.files[0];
            let line = verify::first_difference(text, &there);
            if recorded != Some(sha256(&there).as_str()) {
                let told = "was edited by hand: its digest is not the recorded one".to_owned();
                differences.push(differs(&code_path, line, told));
            } else if *text != there {
                differences.push(differs(&code_path, line, "is not what the recorded completion gives".to_owned()));
            }
        }
    }
    let (difference, note) = sign::examine(session, trust, name, &bytes)?;
    differences.extend(difference);
    notes.extend(note);
    if let (Ok(made), true) = (&made, differences.is_empty()) {
        let verdict = judge(session, made).await?;
        if !verdict.is_pass() {
            differences.push(differs(&code_path, None, verify::told(&verdict)));
        }
        let toolchain = session.validator()?.toolchain().clone();
        let then = &record.toolchain;
        if then.rustc != toolchain.version || then.host != toolchain.host {
            notes.push(format!(
                "made with {} for {}, verified with {} for {}",
                then.rustc, then.host, toolchain.version, toolchain.host
            ));
        }
        if record.sandbox == "off" {
            notes.push("it was made without the sandbox".to_owned());
        }
    }
    Ok((differences, notes))
}

/// The files that the recorded completion gives now, once they compile.
pub(super) async fn replayed(session: &mut Session, one: &LoadedComponent) -> Result<Vec<FileText>, Error> {
    let name = &one.spec.name;
    let path = paths::provenance(name);
    let differs = |message: String| Error::new(ExitCode::Difference, message);
    let Some(bytes) = freeze::read(&session.workspace.path(&path))? else {
        return Err(Error::new(ExitCode::Usage, format!("`{name}` has no code to replay: its model answers alone"))
            .hint(format!("`llmc harden {name}` makes code of it")));
    };
    let record = Provenance::read(&bytes).map_err(|error| differs(format!("failed to read `{path}`")).cause(error))?;
    if record.spec.name != *name
        || record.hardness().is_none()
        || record.input_digest != freeze::types_digest(&one.spec)
    {
        return Err(differs(format!("`{}` is not the spec that `{path}` tells of", one.path))
            .hint(format!("`llmc harden {name}` makes code of it as it is now")));
    }
    let made = make(one, &record)?.map_err(|verdict| {
        differs(format!("the recorded completion gives no such code: {}", verify::told(&verdict)))
    })?;
    let verdict = judge(session, &made).await?;
    if !verdict.is_pass() {
        return Err(differs(format!("`{name}` fails now: {}", verify::told(&verdict))));
    }
    Ok(made.files)
}

/// The component that a proposal is for, and whether its files are in their place already.
type Open = (LoadedComponent, bool);
/// Why a proposal can't be accepted, and what to do.
type Stale = (String, String);

/// The component that a proposal is for, where it can be accepted, and whether its files are there already; else why not,
/// and what to do.
pub(super) fn standing(session: &Session, proposal: &Proposal) -> Result<Result<Open, Stale>, Error> {
    let record = &proposal.record;
    let name = &record.name;
    let stale = |why: &str, next: String| Ok(Err((why.to_owned(), next)));
    let root = session.workspace.root.clone();
    let found = specs::load(session, std::slice::from_ref(&record.path), &root)?;
    let one = found.components.into_iter().find(|one| one.path == record.path && one.spec.name == *name);
    let Some(one) = one.filter(|_| found.mistakes.is_empty()) else {
        return stale("its spec is none of a component any more, or has mistakes", format!("`llmc check {name}`"));
    };
    if sha256(one.spec.canonical()) != proposal.provenance.spec.digest {
        let next = format!("`llmc harden {name}` makes it anew, once its model answered enough calls as it is now");
        return stale("the spec changed, and so may what its model answers", next);
    }
    if proposal.is_installed(&session.workspace)? {
        return Ok(Ok((one, true)));
    }
    if Against::now(&session.workspace, name)? != record.artifact {
        let next = format!("`llmc harden {name}` makes another against what is there now");
        return stale("what is in `generated` for it changed", next);
    }
    Ok(Ok((one, false)))
}

/// Makes the proposal again from its recorded completion, compiles it, and counts again what its certificate counts: its
/// folder may have come from anyone.
pub(super) async fn prove(session: &mut Session, one: &LoadedComponent, proposal: &Proposal) -> Result<(), Error> {
    let name = &one.spec.name;
    let refused = |why: String| {
        Error::new(ExitCode::Difference, format!("the proposal for `{name}` can't be accepted: {why}"))
            .hint(format!("`llmc reject {name}` removes it; `llmc harden {name}` makes another"))
    };
    let record = &proposal.provenance;
    let function = function(&one.spec, &one.path, &[])?;
    let is_sound = record.hardness().is_some_and(|hardness| hardness.certificate.is_sound())
        && record.policy == PolicyRecord::from(&function.spec.policy)
        && record.dependencies == function.spec.dependencies
        && record.input_digest == freeze::types_digest(&one.spec);
    if !is_sound {
        return Err(refused("its record is not one of code for this component".to_owned()));
    }
    let made = make(one, record)?
        .map_err(|verdict| refused(format!("its completion gives no such code: {}", verify::told(&verdict))))?;
    if made.files != proposal.files {
        return Err(refused("its files are not what its recorded completion gives".to_owned()));
    }
    let verdict = judge(session, &made).await?;
    if !verdict.is_pass() {
        return Err(refused(format!("it fails now: {}", verify::told(&verdict))));
    }
    let hardness = record.hardness().expect("it was looked at");
    let recorded = proposal.record.summary.recorded.unwrap_or(i64::MAX);
    let promised = (hardness.certificate.n, hardness.certificate.disagreements);
    match recount(session, one, &made.own, hardness, recorded).await? {
        Some(found) if found == promised => Ok(()),
        Some((n, wrong)) => Err(refused(format!(
            "its certificate counts {} answers and {} otherwise than the model, and of the same calls it answers {n} and {wrong} \
             otherwise",
            promised.0, promised.1
        ))),
        None => Err(refused("the calls that its certificate counts are not in the ledger".to_owned())),
    }
}

/// Writes a proposal's files and commits them, with the envelope where they are signed. The commit's name, where one was
/// made.
pub(super) fn install(
    session: &Session,
    one: &LoadedComponent,
    proposal: &Proposal,
    repo: Option<&Repo>,
) -> Result<Option<String>, Error> {
    let name = &one.spec.name;
    let mut artifact = proposal.files.clone();
    sign::complete(session, name, &mut artifact)?;
    let module = freeze::component(name, artifact[0].1.clone()).expect("it was made as a component's code");
    let modules = freeze::with_module(&freeze::modules_on_disk(&session.workspace)?, module.clone());
    let mut files = artifact.clone();
    files.extend(freeze::crate_files(&modules, session.options.harness())?);
    freeze::replace(&session.workspace, &files, &sign::leftover(session, name, &artifact))?;
    let Some(repo) = repo else { return Ok(None) };
    let removed = sign::committed_leftover(repo, name, &artifact)?;
    let mut files = vec![(one.path.clone(), one.bytes.clone())];
    files.extend(artifact);
    let drawn = proposal.drawn();
    let hardness = proposal.provenance.hardness().expect("only what has a certificate is installed");
    let text = message::hardened(name, &one.path, &drawn.model.to_string(), &hardness.certificate);
    build::commit_change(session, repo, &text, &files, &removed, &[module])
}

/// Takes the code of a hardened component away: its model answers alone from then on.
pub fn soften_hardened(session: &mut Session, one: &LoadedComponent) -> Result<Option<String>, Error> {
    let name = &one.spec.name;
    let _lock = build::take_lock(session)?;
    let code = freeze::component_code(&one.spec, &one.path, None);
    let module = freeze::component(name, code.clone()).expect("it was written as a component's");
    let modules = freeze::with_module(&freeze::modules_on_disk(&session.workspace)?, module.clone());
    let mut files = vec![(paths::code(name), code.clone())];
    files.extend(freeze::crate_files(&modules, session.options.harness())?);
    let removed = [paths::provenance(name), paths::envelope(name)];
    freeze::replace(&session.workspace, &files, &removed)?;
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    let Some(repo) = &repo else { return Ok(None) };
    let mut committed = Vec::new();
    for path in removed {
        if repo.head_file(&path)?.is_some() {
            committed.push(path);
        }
    }
    let files: Vec<FileText> = vec![(one.path.clone(), one.bytes.clone()), (paths::code(name), code)];
    build::commit_change(session, repo, &message::softened(name, &one.path), &files, &committed, &[module])
}

/// As llmc writes it, whatever git made of the line ends.
fn unix(bytes: &[u8]) -> Vec<u8> {
    freeze::unix_lines(bytes).unwrap_or_else(|| bytes.to_vec())
}
