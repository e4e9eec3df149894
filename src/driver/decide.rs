//! What becomes of proposals: listed, accepted, rejected.
//!
//! A proposal is trusted no more than a candidate: before it is accepted it is held against the spec and the artifact as
//! they are, made again from its recorded completion, and judged. Files and commit are then those of any build. A run
//! that is killed is finished by the next.

use std::path::Path;
use std::sync::Arc;

use super::build::{self, Target};
use super::propose;
use super::specs::{self, Loaded, LoadedComponent};
use super::verify;
use super::{Session, Summary, hardened};
use crate::error::{Error, ExitCode};
use crate::event::{Decided, Event, Origin, Proposed};
use crate::freeze::{self, Freshness};
use crate::proposal::{self, Against, Proposal, ProposalError};
use crate::provenance;
use crate::repo::Repo;
use crate::spec::{self, Example, Expect, Snippet};
use crate::workspace::paths;

/// A proposal that waits.
#[derive(Debug)]
pub struct Waiting {
    /// The spec's name.
    pub name: String,
    /// The proposal with what is told of it; or why it can't be read.
    pub proposal: Result<Box<(Proposal, Proposed)>, Error>,
}

/// How a proposal stands to the workspace as it is.
enum Standing {
    /// It can be accepted.
    Open(Box<(Target, Vec<Loaded>)>),
    /// Its files are there already: accepting it was cut short.
    Installed(Box<Target>),
    /// It is code for a component, and can be accepted; or its files are there already.
    Component(Box<LoadedComponent>, bool),
    /// It can't be accepted: why, and what to do.
    Stale(String, String),
}

/// The proposals for the specs that were named, or all of them, each with how it stands now.
pub fn waiting(session: &Session, named: &[String]) -> Result<Vec<Waiting>, Error> {
    // Whoever holds the lock sees to it as well.
    if session.workspace.proposals().exists()
        && let Some(_lock) = session.workspace.try_lock()?
    {
        proposal::recover(&session.workspace)?;
    }
    let mut list = Vec::new();
    for name in wanted(session, named, named.is_empty())? {
        let proposal = match Proposal::read(&session.workspace, &name) {
            Ok(None) => continue,
            Ok(Some(proposal)) => standing(session, &proposal).map(|standing| {
                let stale = match standing {
                    Standing::Stale(why, next) => Some((why, next)),
                    _ => None,
                };
                let told = propose::told_of(&proposal, stale);
                Box::new((proposal, told))
            }),
            Err(error) => Err(error.into()),
        };
        list.push(Waiting { name, proposal });
    }
    Ok(list)
}

/// Makes proposals the artifacts of their specs, and commits each as a build does.
pub async fn accept(session: &mut Session, named: &[String], all: bool) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    if let Some(repo) = &repo {
        repo.recover()?;
    }
    let _lock = build::take_lock(session)?;
    freeze::recover(&session.workspace)?;
    proposal::recover(&session.workspace)?;
    let names = wanted(session, named, all)?;
    if names.is_empty() {
        session.tell(Event::Note("no proposal waits".to_owned()));
    }
    for name in in_order(session, names) {
        if session.interrupt.is_set() {
            return Err(Error::interrupted());
        }
        match accept_one(session, &name, repo.as_ref()).await {
            Ok(decided) => session.tell(Event::Decided(decided)),
            Err(error) if error.exit == ExitCode::Interrupted => return Err(error),
            Err(error) => summary.fail(error),
        }
    }
    Ok(summary)
}

/// Removes proposals, and remembers their programs: they are not offered again.
pub fn reject(session: &Session, named: &[String], all: bool) -> Result<Summary, Error> {
    let _lock = build::take_lock(session)?;
    proposal::recover(&session.workspace)?;
    let names = wanted(session, named, all)?;
    if names.is_empty() {
        session.tell(Event::Note("no proposal waits".to_owned()));
    }
    for name in names {
        let digest = match Proposal::read(&session.workspace, &name) {
            Ok(proposal) => proposal.map(|proposal| proposal.record.digest),
            // There is nothing in it to remember.
            Err(ProposalError::Broken { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(digest) = &digest {
            let when = provenance::rfc3339(build::unix_now());
            proposal::remember(&session.workspace, &name, digest, &when)?;
        }
        proposal::remove(&session.workspace, &name)?;
        let decided = Decided { spec: name, accepted: false, digest, files: Vec::new(), commit: None };
        session.tell(Event::Decided(decided));
    }
    Ok(Summary::default())
}

/// Forgets what was rejected for specs: it may be offered again.
pub fn forget(session: &Session, named: &[String]) -> Result<(), Error> {
    let _lock = build::take_lock(session)?;
    for name in named {
        let name = plain(name);
        let programs = proposal::forget(&session.workspace, &name)?;
        let what = if programs == 1 { "1 program".to_owned() } else { format!("{programs} programs") };
        session.tell(Event::Note(format!("`{name}`: {what} may be offered again")));
    }
    Ok(())
}

/// Adds an example to the spec at `path`, where the result is a spec whose checks compile. Else nothing is changed.
/// `returns` is a Rust expression, or `panics: …`.
pub async fn add_example(session: &mut Session, path: &str, call: &str, returns: &str) -> Result<(), Error> {
    let root = session.workspace.root.clone();
    let named = [path.to_owned()];
    let find = |loaded: &[Loaded]| loaded.iter().find(|one| one.path == path).cloned();
    let (loaded, mistakes) = specs::load_specs(session, &named, &root)?;
    let Some(before) = find(&loaded).filter(|_| mistakes.is_empty()) else { return Err(Error::spec(mistakes)) };
    let by_hand = |message: String| {
        Error::new(ExitCode::Spec, message)
            .hint(format!("by hand, below `examples:`\n  - call: {call}\n    returns: {returns}"))
    };
    let panics = returns == "panics" || returns.starts_with("panics: ");
    let expect = if panics { Expect::Panics(None) } else { Expect::Returns(Snippet::new(returns)) };
    let example = Example { call: Snippet::new(call), expect, hidden: false };
    let text = std::str::from_utf8(&before.bytes)
        .ok()
        .and_then(|text| spec::with_example(text, &before.spec.name, &example, None))
        .ok_or_else(|| by_hand(format!("`{path}` can't take this example as it is laid out")))?;
    let (spec, warnings) =
        spec::parse(path, &before.spec.name, text.as_bytes()).map_err(|mistakes| Error::spec(vec![mistakes]))?;
    let after = Loaded { bytes: text.clone().into_bytes(), spec: Arc::new(spec), warnings, ..before.clone() };
    let found = specs::check(session, std::slice::from_ref(&after), &loaded).await?;
    if found.iter().any(crate::spec::Diagnostics::has_errors) {
        return Err(by_hand(format!("`{path}` does not compile with this example: it was left as it is")));
    }
    // Where the spec is a link, what it leads to is written, if that is ours to write.
    let file = std::fs::canonicalize(session.workspace.path(path)).unwrap_or_default();
    if !file.starts_with(&session.workspace.root) {
        return Err(by_hand(format!("`{path}` leads out of the workspace")));
    }
    let beside = file.with_extension("yaml.llmc-new");
    let written = std::fs::write(&beside, &text).and_then(|()| std::fs::rename(&beside, &file));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        Error::new(ExitCode::Internal, format!("failed to write `{path}`")).cause(error)
    })
}

/// The names of the specs whose proposals are meant.
fn wanted(session: &Session, named: &[String], all: bool) -> Result<Vec<String>, Error> {
    let waiting = proposal::waiting(&session.workspace)?;
    if all {
        return Ok(waiting);
    }
    let mut names = Vec::new();
    for name in named {
        let name = plain(name);
        if !waiting.contains(&name) {
            let error = Error::new(ExitCode::Usage, format!("no proposal waits for `{name}`"));
            return Err(match waiting.as_slice() {
                [] => error.hint(format!("`llmc regen {name}` makes one; of a component `llmc harden {name}`")),
                some => error.hint(format!("those that wait: {}", some.join(", "))),
            });
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A spec's name, where it may have been given as a file.
fn plain(name: &str) -> String {
    if !specs::is_path(name) {
        return name.to_owned();
    }
    let file = Path::new(name).file_stem().unwrap_or_default();
    file.to_string_lossy().into_owned()
}

/// Those that others use come first: an artifact changes what is made from it.
fn in_order(session: &Session, names: Vec<String>) -> Vec<String> {
    let root = session.workspace.root.clone();
    let known: Vec<String> =
        names.iter().filter(|name| session.workspace.path(&paths::spec(name)).is_file()).cloned().collect();
    let Ok(specs::Found { functions: loaded, .. }) = specs::load(session, &known, &root) else { return names };
    let (mut ordered, rest): (Vec<String>, Vec<String>) =
        (loaded.into_iter().map(|one| one.spec.name.clone()).filter(|name| names.contains(name)).collect(), names);
    for name in rest {
        if !ordered.contains(&name) {
            ordered.push(name);
        }
    }
    ordered
}

/// How a proposal stands to its spec and its artifact as they are.
fn standing(session: &Session, proposal: &Proposal) -> Result<Standing, Error> {
    let record = &proposal.record;
    let name = &record.name;
    let stale = |why: &str, next: String| Ok(Standing::Stale(why.to_owned(), next));
    if !session.workspace.path(&record.path).is_file() {
        return stale(&format!("`{}` is gone", record.path), format!("`llmc reject {name}`"));
    }
    if record.origin == Origin::Harden {
        return Ok(match hardened::standing(session, proposal)? {
            Ok((one, is_installed)) => Standing::Component(Box::new(one), is_installed),
            Err((why, next)) => Standing::Stale(why, next),
        });
    }
    let root = session.workspace.root.clone();
    let specs::Found { functions: loaded, components, mistakes } =
        specs::load(session, std::slice::from_ref(&record.path), &root)?;
    if !components.is_empty() {
        return stale("its spec became that of a component", format!("`llmc reject {name}`"));
    }
    let one = loaded.iter().find(|one| one.path == record.path && one.spec.name == *name);
    let Some(one) = one.filter(|_| mistakes.is_empty()) else {
        return stale("its spec is not valid any more", format!("`llmc check {name}`"));
    };
    let target = build::target(session, one)?;
    if target.inputs != record.inputs {
        let why = "the spec, its templates, its settings or what it uses changed";
        return stale(why, format!("`llmc build {name}` builds it as it is now"));
    }
    if proposal.is_installed(&session.workspace)? {
        return Ok(Standing::Installed(Box::new(target)));
    }
    if let Freshness::Taken(other) = build::freshness(session, &target)? {
        return stale(&format!("the name belongs to `{other}`"), "rename one of the two specs".to_owned());
    }
    if Against::now(&session.workspace, name)? != record.artifact {
        let next = format!("`llmc regen {name}` makes another against what is there now");
        return stale("the artifact that it was made against changed", next);
    }
    Ok(Standing::Open(Box::new((target, loaded))))
}

async fn accept_one(session: &mut Session, name: &str, repo: Option<&Repo>) -> Result<Decided, Error> {
    let none = || Error::new(ExitCode::Usage, format!("no proposal waits for `{name}`"));
    let proposal = Proposal::read(&session.workspace, name)?.ok_or_else(none)?;
    let target = match standing(session, &proposal)? {
        Standing::Stale(why, next) => {
            let message = format!("the proposal for `{name}` can't be accepted: {why} since it was made");
            return Err(Error::new(ExitCode::Difference, message).hint(next));
        }
        Standing::Component(one, is_installed) => {
            if !is_installed {
                hardened::prove(session, &one, &proposal).await?;
            }
            let commit = hardened::install(session, &one, &proposal, repo)?;
            return accepted(session, proposal, repo, commit);
        }
        Standing::Installed(target) => *target,
        Standing::Open(open) => {
            let (target, loaded) = *open;
            prove(session, &target.loaded, &loaded, &proposal).await?;
            target
        }
    };
    let files = build::install(session, &target.loaded, proposal.files.clone())?;
    let mut commit = None;
    if let Some(repo) = repo {
        commit = build::commit(session, repo, &target.loaded.spec, &files, &proposal.provenance)?;
    }
    accepted(session, proposal, repo, commit)
}

/// A proposal whose files are in their place: it goes.
fn accepted(
    session: &Session,
    proposal: Proposal,
    repo: Option<&Repo>,
    commit: Option<String>,
) -> Result<Decided, Error> {
    if repo.is_none() && !session.options.no_commit {
        session
            .tell(Event::Note("this is no git repository: the files are written, and nothing is committed".to_owned()));
    }
    let spec = proposal.record.name;
    proposal::remove(&session.workspace, &spec)?;
    let files = proposal.files.into_iter().map(|(path, _)| path).collect();
    Ok(Decided { spec, accepted: true, digest: Some(proposal.record.digest), files, commit })
}

/// Makes the proposal again from its recorded completion, and judges it: its folder may have come from anyone.
async fn prove(session: &mut Session, one: &Loaded, all: &[Loaded], proposal: &Proposal) -> Result<(), Error> {
    let name = &one.spec.name;
    let refused = |why: String| {
        Error::new(ExitCode::Difference, format!("the proposal for `{name}` can't be accepted: {why}"))
            .hint(format!("`llmc reject {name}` removes it; `llmc regen {name}` or `llmc build {name}` makes another"))
    };
    let provenance = proposal.provenance.clone();
    let candidate = verify::drawn(one, proposal.drawn())
        .map_err(|verdict| refused(format!("its completion gives no such code: {}", verify::told(&verdict))))?;
    let uses = build::used_sources(session, &one.spec, all)?;
    let validator = session.validator()?;
    let one = Arc::new(one.clone());
    let judge = move || verify::judge(&validator, &one, &uses, &provenance, &candidate);
    let ran = tokio::select! {
        ran = tokio::task::spawn_blocking(judge) => ran.expect("judging does not panic")?,
        () = session.interrupt.wait() => return Err(Error::interrupted()),
    };
    if !ran.verdict.is_pass() {
        return Err(refused(format!("it fails now: {}", verify::told(&ran.verdict))));
    }
    if ran.files != proposal.files {
        return Err(refused("its files are not what its recorded completion gives".to_owned()));
    }
    Ok(())
}
