//! `llmc build`: spec after spec through the stages, and what is up to date not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::agree::{self, Agreement};
use super::certify;
use super::draw::{Sample, Samples};
use super::log::Log;
use super::propose::{self, Proposing};
use super::ready::{Drawing, Ready};
use super::repair::{Node, Step};
use super::specs::{self, Loaded};
use super::{Session, Summary, component, orphans, sign, stop};
use crate::candidate::{self, Candidate};
use crate::digest;
use crate::error::{Error, ExitCode};
use crate::event::{Event, Finished, Status};
use crate::freeze::{self, ArtifactInput, FileText, Freshness, Inputs, Module};
use crate::ledger::{Ended, Ending, Phase};
use crate::model::{Finish, ModelError};
use crate::options::Plan;
use crate::prompt::Prompt;
use crate::proposal;
use crate::provenance::{
    self, Counts, CrateRecord, Drawn, Fixer, Origin, PassRate, Provenance, Repair, SamplingRecord, SpecRecord,
    Statistics, ToolchainRecord, Usage, UseRecord,
};
use crate::repo::{Change, CommitMessage, HeadState, IdentityOverrides, Repo, message};
use crate::sandbox;
use crate::select::{self, Cluster, Judged, Tie};
use crate::spec::{Diagnostics, Spec};
use crate::validate::{self, Insight};
use crate::workspace::paths;

/// A spec with what decides whether it is built.
pub(super) struct Target {
    pub(super) loaded: Loaded,
    pub(super) inputs: String,
    /// The same for an artifact that a person made.
    pub(super) by_hand: String,
    pub(super) uses: Vec<UseRecord>,
}

/// Builds the specs that are not up to date, in order.
pub async fn build(session: &mut Session, named: &[String], from: &Path) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    if let Some(repo) = &repo {
        repo.recover()?;
    }
    let mut orphans = orphans::find(session, repo.as_ref())?;
    // The name of an artifact without a spec asks for its end.
    let (gone, named): (Vec<String>, Vec<String>) =
        named.iter().cloned().partition(|name| orphans.iter().any(|orphan| orphan.name == *name));
    let is_all = named.is_empty() && gone.is_empty();
    let specs::Found { functions: loaded, components, mistakes } = match named.is_empty() && !is_all {
        true => specs::Found::default(),
        false => specs::load(session, &named, from)?,
    };
    if !mistakes.is_empty() {
        // Nothing is sampled while a spec is wrong: that costs money, and mending it comes first anyway.
        summary.mistakes = mistakes;
        summary.fail(Error::new(ExitCode::Spec, "a spec is invalid, nothing was built"));
        return Ok(summary);
    }
    if loaded.is_empty() && components.is_empty() && is_all {
        let error = Error::new(ExitCode::Usage, "there is no spec in `specs/`");
        // A folder that was moved away is no wish to lose everything.
        return Err(match orphans.first() {
            None => error.hint("`llmc init` writes an example"),
            Some(orphan) => error.hint(format!(
                "{} artifacts without a spec in `generated/`; `llmc build {}` removes one by name",
                orphans.len(),
                orphan.name
            )),
        });
    }
    let mut lock = None;
    if !orphans.is_empty() && !session.options.locked {
        lock = Some(take_lock(session)?);
        freeze::recover(&session.workspace)?;
        orphans = orphans::find(session, repo.as_ref())?;
    }
    for one in &components {
        let started = Instant::now();
        match component::refresh(session, one, repo.as_ref(), &mut lock, started) {
            Ok(finished) => finish(session, &mut summary, finished),
            Err(error) => {
                finish(session, &mut summary, failed(&one.spec.name, started, &error));
                summary.fail(error);
            }
        }
    }
    for one in &loaded {
        if session.interrupt.is_set() {
            return Err(Error::interrupted());
        }
        let started = Instant::now();
        let target = target(session, one)?;
        let mut freshness = self::freshness(session, &target)?;
        if freshness == Freshness::Fresh && !session.options.no_cache {
            match fresh(session, &target, repo.as_ref(), started) {
                Ok(finished) => finish(session, &mut summary, finished),
                Err(error) => {
                    finish(session, &mut summary, failed(&one.spec.name, started, &error));
                    summary.fail(error);
                }
            }
            continue;
        }
        if lock.is_none() {
            lock = Some(take_lock(session)?);
            // What an interrupted build left half-written looks like an edit by hand until it is finished.
            if freeze::recover(&session.workspace)? > 0 {
                freshness = self::freshness(session, &target)?;
            }
        }
        if let Freshness::Missing | Freshness::Elsewhere(_) = freshness
            && !session.options.locked
        {
            let is_moved = match freshness {
                Freshness::Missing => orphans::adopt_name(session, one, &loaded, &mut orphans, repo.as_ref()).await,
                _ => orphans::adopt_place(session, one, &loaded, repo.as_ref()).await,
            };
            match is_moved {
                Ok(true) => freshness = self::freshness(session, &target)?,
                Ok(false) => {}
                Err(error) if error.exit == ExitCode::Interrupted => return Err(error),
                Err(error) => {
                    finish(session, &mut summary, failed(&one.spec.name, started, &error));
                    summary.fail(error);
                    continue;
                }
            }
        }
        let refused = refuse(session, &target, &freshness).or_else(|| keep_by_hand(session, &target, &freshness));
        let result = match refused {
            Some(error) => Err(error),
            None if freshness == Freshness::Fresh && !session.options.no_cache => {
                fresh(session, &target, repo.as_ref(), started)
            }
            None if freshness == Freshness::Unlisted && !session.options.no_cache => {
                relist(session).and_then(|()| fresh(session, &target, repo.as_ref(), started))
            }
            None if session.options.needs_review() => {
                review_one(session, &target, &loaded, &mut summary, started).await
            }
            None => build_one(session, &target, &loaded, &Aim::Artifact(repo.as_ref()), &mut summary, started).await,
        };
        match result {
            Ok(finished) => finish(session, &mut summary, finished),
            Err(error) if error.exit == ExitCode::Interrupted => return Err(error),
            Err(error) => {
                if !summary.finished.iter().any(|finished| finished.spec == one.spec.name) {
                    finish(session, &mut summary, failed(&one.spec.name, started, &error));
                }
                // What stops every spec stops the run: no model, no compiler, a disk that is full.
                let stops_all = matches!(error.exit, ExitCode::Provider | ExitCode::Internal);
                summary.fail(error);
                if stops_all {
                    return Ok(summary);
                }
            }
        }
    }
    orphans.retain(|orphan| is_all || gone.contains(&orphan.name));
    // One of those that failed may be what comes in the place of what has no spec.
    let is_built = |one: &Loaded| session.workspace.path(&paths::code(&one.spec.name)).is_file();
    match loaded.iter().find(|one| !is_built(one)) {
        Some(missing) if !orphans.is_empty() && !session.options.locked => {
            let names: Vec<&str> = orphans.iter().map(|orphan| orphan.name.as_str()).collect();
            let (names, missing) = (names.join(", "), &missing.spec.name);
            session.tell(Event::Note(format!(
                "not removed before `{missing}` is built, although without a spec: {names}"
            )));
        }
        _ => orphans::remove(session, &orphans, repo.as_ref(), &mut summary)?,
    }
    if is_all {
        let has_component = components.iter().any(|one| session.workspace.path(&paths::code(&one.spec.name)).is_file());
        if let Err(error) = component::register(session, has_component, repo.as_ref(), &mut lock) {
            summary.fail(error);
        }
    }
    Ok(summary)
}

/// What building a spec is to end in.
pub(super) enum Aim<'a> {
    /// An artifact, committed where there is a repository.
    Artifact(Option<&'a Repo>),
    /// A proposal.
    Proposal(Proposing),
}

pub(super) fn finish(session: &Session, summary: &mut Summary, finished: Finished) {
    session.tell(Event::Finished(finished.clone()));
    summary.finished.push(finished);
}

/// What decides whether a spec is up to date.
pub(super) fn target(session: &Session, loaded: &Loaded) -> Result<Target, Error> {
    let spec = &loaded.spec;
    let mut uses = Vec::new();
    for name in &spec.uses {
        // An artifact that is missing has no digest: it is built first, or its own build failed.
        let code = std::fs::read(session.workspace.path(&paths::code(name))).unwrap_or_default();
        uses.push(UseRecord { name: name.clone(), digest: digest::sha256(code) });
    }
    uses.sort_by(|one, other| one.name.cmp(&other.name));
    let (canonical, template_digest) = (spec.canonical(), session.templates.digest(spec));
    let inputs = Inputs {
        spec: &canonical,
        template_digest: &template_digest,
        models: if spec.model.is_empty() { &session.options.workspace.model } else { &[] },
        sampling: &session.options.workspace.sampling,
        uses: &uses,
    };
    let (inputs, by_hand) = (freeze::input_digest(&inputs), inputs.by_hand());
    Ok(Target { loaded: loaded.clone(), inputs, by_hand, uses })
}

/// Whether a spec is not up to date.
pub(super) fn needs_building(session: &Session, loaded: &Loaded) -> Result<bool, Error> {
    let freshness = freshness(session, &target(session, loaded)?)?;
    let is_kept = matches!(freshness, Freshness::StaleByHand(_)) && !session.options.overwrite;
    Ok(!is_kept && !matches!(freshness, Freshness::Fresh | Freshness::Unlisted | Freshness::Elsewhere(_)))
}

pub(super) fn freshness(session: &Session, target: &Target) -> Result<Freshness, Error> {
    let loaded = &target.loaded;
    Ok(freeze::up_to_date(&session.workspace, &loaded.spec.name, &loaded.path, &target.inputs, &target.by_hand)?)
}

/// Why a spec that is not up to date is not built all the same.
pub(super) fn refuse(session: &Session, target: &Target, freshness: &Freshness) -> Option<Error> {
    let name = &target.loaded.spec.name;
    match freshness {
        Freshness::Taken(other) => Some(
            Error::new(ExitCode::Spec, format!("`{}` and `{other}` have the same name", target.loaded.path))
                .hint("rename one of them: the name is the generated module"),
        ),
        Freshness::HandEdited(files) if !session.options.overwrite => {
            Some(Error::new(ExitCode::Difference, format!("`{name}` was edited by hand: {}", files.join(", "))).hint(
                format!(
                    "`llmc adopt {name}` keeps the edit, `llmc replay {name} --overwrite` undoes it, \
                     `llmc build {name} --overwrite` builds over it"
                ),
            ))
        }
        _ if session.options.locked => {
            let why = match freshness {
                Freshness::Stale(why) | Freshness::StaleByHand(why) => why.as_str(),
                Freshness::Missing => "there is no artifact yet",
                Freshness::Unlisted => "the generated crate does not list it",
                Freshness::Elsewhere(_) => "its spec was at another place when it was built",
                _ => "--no-cache asks for fresh samples",
            };
            Some(
                Error::new(
                    ExitCode::Difference,
                    format!("`{name}` is not up to date, and --locked forbids to sample: {why}"),
                )
                .hint(format!("`llmc build {name}` without --locked, then commit")),
            )
        }
        _ => None,
    }
}

/// Whether a person made the artifact that is there.
fn is_by_hand(session: &Session, name: &str) -> bool {
    let record = freeze::read(&session.workspace.path(&paths::provenance(name)));
    record.ok().flatten().and_then(|bytes| provenance::Summary::read(&bytes).ok()).is_some_and(|record| record.is_human)
}

/// Why a sample does not take the place of what a person made, unasked; a proposal may wait beside it.
fn keep_by_hand(session: &Session, target: &Target, freshness: &Freshness) -> Option<Error> {
    let name = &target.loaded.spec.name;
    match freshness {
        _ if session.options.overwrite || session.options.needs_review() => None,
        Freshness::StaleByHand(why) => Some(
            Error::new(ExitCode::Difference, format!("`{name}` was made by a person, and {why}"))
                .hint(format!("`llmc adopt {name}` judges it as it is, against the spec as it is now"))
                .hint(format!("`llmc build {name} --overwrite` draws samples, and one takes its place")),
        ),
        Freshness::Elsewhere(other) if is_by_hand(session, name) => Some(
            Error::new(
                ExitCode::Difference,
                format!("`{name}` was made by a person for `{other}`, and does not pass for `{}`", target.loaded.path),
            )
            .hint(format!("`llmc adopt {name}` says why; `llmc build {name} --overwrite` draws samples")),
        ),
        Freshness::Fresh | Freshness::Unlisted if session.options.no_cache && is_by_hand(session, name) => Some(
            Error::new(
                ExitCode::Difference,
                format!("`{name}` was made by a person: no sample takes its place unasked"),
            )
            .hint(format!("`llmc build {name} --no-cache --overwrite` draws samples, and one takes its place")),
        ),
        _ => None,
    }
}

/// Takes the workspace's lock, saying so when that takes time.
pub(super) fn take_lock(session: &Session) -> Result<crate::workspace::Lock, Error> {
    if let Some(lock) = session.workspace.try_lock()? {
        return Ok(lock);
    }
    session.tell(Event::Note("another llmc builds in this workspace; waiting for it".to_owned()));
    loop {
        if let Some(lock) = session.workspace.try_lock()? {
            return Ok(lock);
        }
        if session.interrupt.is_set() {
            return Err(Error::interrupted());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Writes the crate's own files anew from the artifacts on disk.
fn relist(session: &Session) -> Result<(), Error> {
    let modules = freeze::modules_on_disk(&session.workspace)?;
    freeze::write(&session.workspace, &freeze::crate_files(&modules, session.options.harness())?)?;
    Ok(())
}

/// The end of a spec that is up to date. What an earlier build wrote and could not commit is committed now.
pub(super) fn fresh(
    session: &Session,
    target: &Target,
    repo: Option<&Repo>,
    started: Instant,
) -> Result<Finished, Error> {
    let mut finished = nothing_done(&target.loaded.spec.name, Status::Fresh, started);
    sign::remind(session, &target.loaded.spec.name);
    let Some(repo) = repo else { return Ok(finished) };
    let name = &target.loaded.spec.name;
    let mut own = vec![paths::code(name), paths::tests(name), paths::provenance(name)];
    own.extend(Some(paths::envelope(name)).filter(|path| session.workspace.path(path).is_file()));
    let states = repo.compare_to_head(&own.iter().map(String::as_str).collect::<Vec<_>>())?;
    if states.iter().all(|state| *state == HeadState::Committed) {
        return Ok(finished);
    }
    let mut files: Vec<FileText> = vec![(target.loaded.path.clone(), target.loaded.bytes.clone())];
    for path in own {
        let bytes = std::fs::read(session.workspace.path(&path))
            .map_err(|error| Error::new(ExitCode::Internal, format!("failed to read `{path}`")).cause(error))?;
        files.push((path, bytes));
    }
    let provenance = Provenance::read(&files[3].1)
        .map_err(|error| Error::new(ExitCode::Difference, format!("failed to read `{}`", files[3].0)).cause(error))?;
    finished.commit = commit(session, repo, &target.loaded.spec, &files, &provenance)?;
    finished.seconds = started.elapsed().as_secs_f64();
    Ok(finished)
}

/// The sources of the artifacts that a spec uses, by name. Those that do not exist yet are stubs.
pub(super) fn used_sources(session: &Session, spec: &Spec, specs: &[Loaded]) -> Result<Vec<(String, String)>, Error> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut wanted = spec.uses.clone();
    while let Some(name) = wanted.pop() {
        let Some(used) = specs.iter().find(|other| other.spec.name == name) else { continue };
        if found.contains_key(&name) {
            continue;
        }
        wanted.extend(used.spec.uses.iter().cloned());
        let source = std::fs::read_to_string(session.workspace.path(&paths::code(&name)));
        found.insert(name, source.unwrap_or_else(|_| used.spec.interface.stub()));
    }
    Ok(found.into_iter().collect())
}

/// Leaves a proposal for one spec, unless one waits that was made of the same.
async fn review_one(
    session: &mut Session,
    target: &Target,
    all: &[Loaded],
    summary: &mut Summary,
    started: Instant,
) -> Result<Finished, Error> {
    proposal::recover(&session.workspace)?;
    if !session.options.no_cache
        && let Some(waiting) = propose::waits(session, target, started)?
    {
        return Ok(waiting);
    }
    let aim = Aim::Proposal(Proposing::at_build(session, &target.loaded.spec)?);
    build_one(session, target, all, &aim, summary, started).await
}

/// Samples, validates and chooses for one spec; then writes and commits, or leaves a proposal.
pub(super) async fn build_one(
    session: &mut Session,
    target: &Target,
    all: &[Loaded],
    aim: &Aim<'_>,
    summary: &mut Summary,
    started: Instant,
) -> Result<Finished, Error> {
    let loaded = &target.loaded;
    let spec = &loaded.spec;
    for used in &spec.uses {
        if !session.workspace.path(&paths::code(used)).is_file() {
            let error =
                Error::new(ExitCode::NoCandidate, format!("`{}` uses `{used}`, which was not built", spec.name));
            let waits = session.workspace.proposal(used).exists();
            return Err(if waits {
                error.hint(format!("a proposal for `{used}` waits: `llmc review`"))
            } else {
                error
            });
        }
    }
    for mistakes in std::iter::once(&loaded.warnings).filter(|warnings| !warnings.list.is_empty()) {
        for warning in &mistakes.list {
            session.tell(Event::Warning(format!("{}:{}: {}", loaded.path, warning.line, warning.message)));
        }
    }
    // A spec that could never pass costs no tokens.
    let mistakes = specs::check(session, std::slice::from_ref(loaded), all).await?;
    if let Some(mistakes) = mistakes.into_iter().find(Diagnostics::has_errors) {
        summary.mistakes.push(mistakes);
        return Err(Error::new(ExitCode::Spec, format!("the checks of `{}` do not compile", spec.name)));
    }

    // So does a key that is not there.
    sign::signer(session)?;
    let mut plan = session.options.plan(spec);
    if let Some(error) = session.options.max_entropy.and_then(|_| agree::needs_all(plan.stop)) {
        return Err(error);
    }
    let ready = Ready::new(session, loaded, all, &plan, spec).await?;
    let run = format!("{}-{}", spec.name, unix_now());
    let mut afresh = session.options.no_cache;
    let mut artifact = None;
    if let Aim::Proposal(proposing) = aim {
        (plan.parameters, afresh) = proposing.parameters(session, &plan, &ready.prompt, &ready.identities());
        artifact = proposing.candidate();
    }
    let started_on = unix_now();
    let (inputs, phase) = (target.inputs.as_str(), Phase::Fresh);
    let drawing = Drawing { spec, run: &run, inputs, phase, plan: &plan, skip: 0, afresh, artifact };
    let (samples, mut log) = drawing.draw(session, &ready).await?;
    let Ready { prompt, models, names, validator, checks } = ready;
    let committed = committed(session, spec);
    let engine = (&validator, &checks);
    let agreement = match agree::agreement(session, engine, &samples, committed.as_ref(), plan.stop).await {
        Ok(agreement) => agreement,
        Err(error) => {
            log.end(&Ending::default());
            return Err(error);
        }
    };
    let mut finished = tally(&spec.name, &samples, &agreement);
    if let Some(error) = agree::too_open(session, &spec.name, &agreement, finished.passed) {
        return Err(give_up(session, summary, (&mut log, started), finished, error));
    }
    let rejected = proposal::rejected(&session.workspace, &spec.name)?;
    let (chosen, passed_over) = choose(&samples, &rejected, &agreement);
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(tie) => {
            let error = agree::undecided(session, &spec.name, tie, agreement.ambiguity.as_ref());
            return Err(give_up(session, summary, (&mut log, started), finished, error));
        }
    };
    if let Some(ambiguity) = agreement.ambiguity.clone() {
        session.tell(Event::Ambiguous { spec: spec.name.clone(), ambiguity });
    }
    if passed_over > 0 && chosen.is_some() {
        session.tell(Event::Note(propose::told_rejected(&spec.name, passed_over)));
    }
    let Some(chosen) = chosen else {
        if let (1.., Aim::Proposal(proposing)) = (passed_over, aim)
            && proposing.may_be_nothing()
        {
            session.tell(Event::Note(propose::nothing_new(&spec.name)));
            finished.status = Status::Fresh;
            finished.seconds = started.elapsed().as_secs_f64();
            log.end(&ending(&finished));
            return Ok(finished);
        }
        let error =
            if passed_over > 0 { propose::all_rejected(&spec.name) } else { none_passed(spec, &samples, &names) };
        return Err(give_up(session, summary, (&mut log, started), finished, error));
    };
    if let Some(cap) = &samples.spent {
        session.tell(Event::Warning(format!("`{}`: {cap}; {} samples were enough", spec.name, samples.list.len())));
    }
    let mut certificate = None;
    if let Some(bound) = session.options.certify {
        let certifying = certify::certify(session, (loaded, all), &plan, samples.cost, chosen.candidate, bound);
        match certifying.await {
            Ok((passed, tokens)) => {
                certificate = Some(passed);
                finished.tokens += tokens;
            }
            Err(error) => return Err(give_up(session, summary, (&mut log, started), finished, error)),
        }
    }
    let mut provenance = Provenance {
        invocation: run.clone(),
        started_on: provenance::rfc3339(started_on),
        finished_on: provenance::rfc3339(unix_now()),
        ..record(target, &plan, &prompt, &models, &samples, &agreement, &chosen, &validator, &checks)
    };
    if let Origin::Model(drawn) = &mut provenance.origin {
        drawn.certificate = certificate;
    }
    let result = match aim {
        Aim::Artifact(repo) => keep(session, loaded, *repo, chosen.candidate, &provenance, &mut finished),
        Aim::Proposal(proposing) => {
            let insight = chosen.insight(&samples);
            let (number, candidate) = (chosen.sample.completion.index + 1, chosen.candidate);
            let (validator, checks) = (&validator, &checks);
            let found =
                propose::Found { number, candidate, insight, samples: &samples, passed_over, validator, checks };
            proposing.leave(session, loaded, &found, &provenance, &mut finished).await
        }
    };
    log.end(&ending(&finished));
    result?;
    if let Some(problem) = log.take_problem() {
        session.tell(Event::Warning(problem));
    }
    finished.seconds = started.elapsed().as_secs_f64();
    Ok(finished)
}

/// The end of a build that leads to nothing, for this reason.
fn give_up(
    session: &Session,
    summary: &mut Summary,
    (log, started): (&mut Log, Instant),
    finished: Finished,
    error: Error,
) -> Error {
    let (reason, seconds) = (Some(error.message.clone()), started.elapsed().as_secs_f64());
    let finished = Finished { reason, seconds, ..finished };
    log.end(&ending(&finished));
    finish(session, summary, finished);
    error
}

/// Writes the artifact and commits it, where it may.
fn keep(
    session: &Session,
    loaded: &Loaded,
    repo: Option<&Repo>,
    candidate: &Candidate,
    provenance: &Provenance,
    finished: &mut Finished,
) -> Result<(), Error> {
    let files = write(session, loaded, candidate, provenance)?;
    let number = provenance.drawn().map_or(0, |drawn| drawn.completion.index + 1);
    finished.chosen = Some((number, PathBuf::from(paths::code(&loaded.spec.name))));
    finished.status = Status::Built;
    if let Some(repo) = repo {
        finished.commit = commit(session, repo, &loaded.spec, &files, provenance)?;
    } else if !session.options.no_commit {
        session
            .tell(Event::Note("this is no git repository: the files are written, and nothing is committed".to_owned()));
    }
    Ok(())
}

/// An artifact's own files.
pub(super) fn artifact_files(
    loaded: &Loaded,
    candidate: &Candidate,
    provenance: &Provenance,
) -> Result<Vec<FileText>, Error> {
    let tests = validate::render_tests_file(&loaded.spec);
    Ok(freeze::files(&ArtifactInput { source: &candidate.source, tests: &tests, provenance })?)
}

/// Writes the artifact and the crate's own files; returns what is to be committed.
pub(super) fn write(
    session: &Session,
    loaded: &Loaded,
    candidate: &Candidate,
    provenance: &Provenance,
) -> Result<Vec<FileText>, Error> {
    install(session, loaded, artifact_files(loaded, candidate, provenance)?)
}

/// Writes an artifact's files and the crate's own; returns what is to be committed.
pub(super) fn install(session: &Session, loaded: &Loaded, mut artifact: Vec<FileText>) -> Result<Vec<FileText>, Error> {
    sign::complete(session, &loaded.spec.name, &mut artifact)?;
    let module = Module::new(&loaded.spec.name, &loaded.spec.dependencies, &artifact);
    let modules = freeze::with_module(&freeze::modules_on_disk(&session.workspace)?, module);
    let mut files = artifact.clone();
    files.extend(freeze::crate_files(&modules, session.options.harness())?);
    let leftover = sign::leftover(session, &loaded.spec.name, &artifact);
    freeze::replace(&session.workspace, &files, &leftover)?;
    let mut to_commit = vec![(loaded.path.clone(), loaded.bytes.clone())];
    to_commit.extend(artifact);
    Ok(to_commit)
}

/// Commits an artifact's files.
pub(super) fn commit(
    session: &Session,
    repo: &Repo,
    spec: &Spec,
    files: &[FileText],
    provenance: &Provenance,
) -> Result<Option<String>, Error> {
    let message = match provenance.drawn() {
        Some(drawn) => {
            let counts = drawn.statistics.counts;
            CommitMessage {
                name: &spec.name,
                spec: &provenance.spec.path,
                model: &drawn.model.to_string(),
                // Of the independent draws, the one that it began with.
                sample: (drawn.root() + 1, counts.sampled),
                repairs: drawn.repairs.len(),
                passed: (counts.passed, counts.sampled),
            }
            .text()
        }
        None => message::adopted(&spec.name, &provenance.spec.path),
    };
    let module = Module::new(&spec.name, &spec.dependencies, files);
    let removed = sign::committed_leftover(repo, &spec.name, files)?;
    commit_change(session, repo, &message, files, &removed, &[module])
}

/// Commits files of artifacts, with the crate's own, and says what git would have done and llmc did not.
pub(super) fn commit_change(
    session: &Session,
    repo: &Repo,
    message: &str,
    files: &[FileText],
    removed: &[String],
    modules: &[Module],
) -> Result<Option<String>, Error> {
    let variable = |name: &str| session.options.environment.get(name);
    let identity = IdentityOverrides {
        author_name: variable("GIT_AUTHOR_NAME"),
        author_email: variable("GIT_AUTHOR_EMAIL"),
        committer_name: variable("GIT_COMMITTER_NAME"),
        committer_email: variable("GIT_COMMITTER_EMAIL"),
        email: variable("EMAIL"),
    };
    let change = Change { files, removed, message, identity: &identity };
    let outcome = repo.commit_artifacts(&change, modules, session.options.harness())?;
    if outcome.commit.is_some() && !outcome.skipped_hooks.is_empty() {
        let hooks = outcome.skipped_hooks.join(", ");
        session.tell(Event::Note(format!("git hooks are not run for llmc's commits: {hooks}")));
    }
    if !outcome.ignored.is_empty() {
        let paths = outcome.ignored.join(", ");
        session.tell(Event::Note(format!("committed although .gitignore covers them: {paths}")));
    }
    if let Some(note) = outcome.index_note {
        session.tell(Event::Warning(note));
    }
    Ok(outcome.commit)
}

/// What is frozen.
struct Chosen<'a> {
    /// The sample whose completion it is made of.
    sample: &'a Sample,
    candidate: &'a Candidate,
    /// Its number among the programs, where something was made of a sample that failed.
    node: Option<usize>,
}

impl Chosen<'_> {
    /// What is known of it beside its verdict.
    fn insight<'s>(&self, samples: &'s Samples) -> Option<&'s Insight> {
        let nodes = &samples.family.nodes;
        let is_it = |node: &&Node| node.sample == self.sample.completion.index && node.candidate == *self.candidate;
        self.node.map(|number| &nodes[number]).or_else(|| nodes.iter().find(is_it)).map(|node| &node.insight)
    }
}

/// The candidate to freeze: an independent draw that passes, else what was made of one that does not. Also how many
/// programs that pass were passed over, since someone rejected them.
fn choose<'s>(
    samples: &'s Samples,
    rejected: &BTreeSet<String>,
    agreement: &Agreement,
) -> (Result<Option<Chosen<'s>>, Tie>, usize) {
    let mut passed_over = BTreeSet::new();
    let mut is_open = |one: &Judged<'_>| {
        if rejected.is_empty() || !one.verdict.is_pass() {
            return true;
        }
        let program = validate::Program::of(one.candidate).to_string();
        let is_open = !rejected.contains(&program);
        if !is_open {
            passed_over.insert(program);
        }
        is_open
    };
    let drawn: Vec<Judged<'_>> = judged(samples).into_iter().filter(&mut is_open).collect();
    let nodes = &samples.family.nodes;
    let made: Vec<Judged<'_>> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.from.is_some())
        .map(|(index, node)| Judged { index, candidate: &node.candidate, verdict: &node.verdict })
        .filter(is_open)
        .collect();
    let fresh = |index: usize| {
        let sample = samples.list.iter().find(|sample| sample.completion.index == index)?;
        Some(Chosen { sample, candidate: sample.candidate.as_ref()?, node: None })
    };
    let repaired = |number: usize| {
        let sample = samples.all().find(|sample| sample.completion.index == nodes[number].sample)?;
        Some(Chosen { sample, candidate: &nodes[number].candidate, node: Some(number) })
    };
    let known: Option<Vec<(Judged<'_>, usize)>> =
        drawn.iter().filter(|one| one.verdict.is_pass()).map(|one| Some((*one, agreement.of(one.index)?))).collect();
    // Where it is not known of every one what it does, nothing is counted.
    let agreed = match known {
        Some(known) => select::choose_agreed(&known, agreement.committed),
        None => Ok(select::choose(&drawn)),
    };
    let chosen = agreed.map(|index| index.and_then(fresh).or_else(|| select::choose(&made).and_then(repaired)));
    (chosen, passed_over.len())
}

/// The artifact that there is, where it would be an implementation of the spec as it is.
fn committed(session: &Session, spec: &Spec) -> Option<Candidate> {
    let code = freeze::read(&session.workspace.path(&paths::code(&spec.name))).ok().flatten()?;
    candidate::from_source(&proposal::unmarked(&code), spec).ok()
}

/// The steps from an independent draw to what was chosen, for the record.
fn repairs(samples: &Samples, chosen: &Chosen<'_>, models: &[Arc<dyn crate::model::Model>]) -> Vec<Repair> {
    let way = chosen.node.map(|number| samples.family.way(number)).unwrap_or_default();
    let step = |(node, step): (&Node, &Step)| {
        let sample = samples.all().find(|sample| sample.completion.index == node.sample)?;
        let of = Repair {
            by: Fixer::Rustc,
            sample: node.sample,
            parent: digest::sha256(&sample.completion.text),
            class: node.verdict.class,
            code: node.verdict.code.clone(),
            detail: String::new(),
            prompt: None,
            model: None,
        };
        Some(match step {
            Step::Rustc(fixes) => Repair { detail: fixes.join("\n"), ..of },
            Step::Model { failure, prompt } => Repair {
                by: Fixer::Model,
                code: Some(failure.code.clone()),
                detail: failure.text.clone(),
                prompt: Some(prompt.clone()),
                // A repair is drawn from the model that gave what it repairs.
                model: Some(models[sample.model].identity().to_string()),
                ..of
            },
        })
    };
    way.into_iter().filter_map(step).collect()
}

pub(super) fn judged(samples: &Samples) -> Vec<Judged<'_>> {
    samples
        .list
        .iter()
        .filter_map(|sample| {
            let candidate = sample.candidate.as_ref()?;
            Some(Judged { index: sample.completion.index, candidate, verdict: &sample.verdict })
        })
        .collect()
}

/// What the ledger keeps of a build's end.
fn ending(finished: &Finished) -> Ending<'_> {
    Ending {
        ended: match finished.status {
            Status::Built => Ended::Built,
            Status::Proposed => Ended::Proposed,
            Status::Fresh => Ended::Unchanged,
            Status::Failed => Ended::Failed,
        },
        sampled: finished.sampled,
        parsed: finished.parsed,
        compiled: finished.compiled,
        passed: finished.passed,
        chosen: finished.chosen.as_ref().map(|(number, _)| number - 1),
        commit: finished.commit.as_deref(),
    }
}

/// Candidates that do the same; where that is not known, those that are the same program.
fn clusters(samples: &Samples, agreement: &Agreement) -> Vec<Cluster> {
    select::merged(select::clusters(&judged(samples)), |index| agreement.of(index))
}

/// What is known of a spec's samples before one is chosen.
fn tally(name: &str, samples: &Samples, agreement: &Agreement) -> Finished {
    let count = |wanted: &dyn Fn(&Sample) -> bool| samples.list.iter().filter(|sample| wanted(sample)).count();
    let clusters = clusters(samples, agreement);
    Finished {
        spec: name.to_owned(),
        status: Status::Failed,
        sampled: samples.list.len(),
        replayed: count(&|sample| sample.replayed),
        parsed: count(&|sample| sample.verdict.conforms()),
        compiled: count(&|sample| sample.verdict.compiles()),
        passed: count(&|sample| sample.verdict.is_pass()),
        clusters: clusters.iter().map(|cluster| (cluster.size, cluster.passed)).collect(),
        chosen: None,
        commit: None,
        seconds: 0.0,
        // What an earlier build paid for is not this one's.
        tokens: samples.all().filter(|sample| !sample.replayed).map(|sample| sample.completion.completion_tokens).sum(),
        reason: None,
    }
}

pub(super) fn nothing_done(name: &str, status: Status, started: Instant) -> Finished {
    Finished {
        spec: name.to_owned(),
        status,
        sampled: 0,
        replayed: 0,
        parsed: 0,
        compiled: 0,
        passed: 0,
        clusters: Vec::new(),
        chosen: None,
        commit: None,
        seconds: started.elapsed().as_secs_f64(),
        tokens: 0,
        reason: None,
    }
}

pub(super) fn failed(name: &str, started: Instant, error: &Error) -> Finished {
    Finished { reason: Some(error.message.clone()), ..nothing_done(name, Status::Failed, started) }
}

/// Why there is no artifact, and what to do about it.
fn none_passed(spec: &Spec, samples: &Samples, models: &[String]) -> Error {
    let drawn = samples.list.len();
    let name = &spec.name;
    if let Some(cap) = &samples.spent {
        return Error::new(
            ExitCode::Budget,
            format!("`{name}`: {cap}; none of {drawn} candidates passed"),
        )
        .hint("raise it in the spec or in llmc.yaml, or lower `sampling.max_tokens`: a request is sent only when the most it could take fits")
        .hint("what was drawn is kept, and the next build goes on from it: `llmc show --samples`");
    }
    if samples.unstored {
        let error = Error::new(
            ExitCode::Internal,
            format!("`{name}`: sampling was stopped, since samples could not be stored; none of {drawn} passed"),
        );
        // Where it was a sample itself that could not be stored the log says why.
        let unrecorded = samples.lost.iter().find(|(_, error)| matches!(error, ModelError::Unrecorded(_)));
        return unrecorded.into_iter().fold(error, |error, (_, cause)| error.cause(cause.clone()));
    }
    let replayed = samples.list.iter().filter(|sample| sample.replayed).count();
    let mut error = Error::new(ExitCode::NoCandidate, format!("none of {drawn} candidates of `{name}` passed"));
    if replayed > 0 {
        error = error.hint(format!("{replayed} of them were in the ledger; `--no-cache` draws them afresh"));
    }
    let cut = samples.all().filter(|sample| sample.completion.finish == Finish::Length).count();
    if cut > 0 {
        error = error.hint(format!("{cut} of the replies were cut off: `sampling.max_tokens` allows longer ones"));
    }
    error = error.hint(format!(
        "`llmc show {name} --samples` lists them with their verdicts; `llmc build {name} -n {}` draws more",
        (drawn * 4).clamp(16, 128)
    ));
    if models.iter().any(|model| model.starts_with("embedded/")) {
        let larger =
            if models.iter().any(|model| model.contains("1.5b")) { "" } else { "`--model embedded/1.5b`, or " };
        error = error.hint(format!(
            "the embedded model is small: {larger}a stronger one in llmc.yaml, e.g. `model: openai/gpt-5-mini` \
             (with OPENAI_API_KEY), or any local server by `providers: {{ openai: {{ base_url: … }} }}`"
        ));
    }
    error
}

/// How the artifact came to be.
#[expect(clippy::too_many_arguments, reason = "a record of everything takes everything")]
fn record(
    target: &Target,
    plan: &Plan,
    prompt: &Prompt,
    models: &[Arc<dyn crate::model::Model>],
    samples: &Samples,
    agreement: &Agreement,
    chosen: &Chosen<'_>,
    validator: &validate::Validator,
    checks: &validate::Checks,
) -> Provenance {
    let spec = &target.loaded.spec;
    let tally = tally(&spec.name, samples, agreement);
    let fixed = stop::is_fixed(plan.stop, plan.samples) && !samples.stopped;
    let tokens = |count: &dyn Fn(&Sample) -> usize| samples.all().map(|sample| count(sample) as u64).sum();
    let drawn = Drawn {
        model: models[chosen.sample.model].identity().clone(),
        sampling: SamplingRecord {
            samples: plan.samples,
            stop: plan.stop,
            repairs: plan.repairs,
            parameters: plan.parameters.clone(),
        },
        prompt: prompt.clone(),
        completion: chosen.sample.completion.clone(),
        statistics: Statistics {
            counts: Counts {
                sampled: tally.sampled,
                parsed: tally.parsed,
                compiled: tally.compiled,
                passed: tally.passed,
            },
            clusters: provenance::shares(&clusters(samples, agreement), tally.sampled),
            pass_rate: PassRate::new(tally.passed, tally.sampled, fixed),
            usage: Usage {
                prompt_tokens: tokens(&|sample| sample.completion.prompt_tokens),
                completion_tokens: tokens(&|sample| sample.completion.completion_tokens),
                usd: samples.all().map(|sample| sample.completion.usd).sum(),
            },
        },
        repairs: repairs(samples, chosen, models),
        certificate: None,
        hardness: None,
    };
    base_record(target, target.inputs.clone(), Origin::Model(Box::new(drawn)), validator, checks)
}

/// What every record has, whoever made the code; the run and its times are still to be filled in.
pub(super) fn base_record(
    target: &Target,
    input_digest: String,
    origin: Origin,
    validator: &validate::Validator,
    checks: &validate::Checks,
) -> Provenance {
    let spec = &target.loaded.spec;
    Provenance {
        subject: Vec::new(),
        spec: SpecRecord {
            name: spec.name.clone(),
            path: target.loaded.path.clone(),
            digest: digest::sha256(spec.canonical()),
            file_digest: digest::sha256(&target.loaded.bytes),
        },
        input_digest,
        origin,
        policy: (&spec.policy).into(),
        dependencies: spec.dependencies.clone(),
        uses: target.uses.clone(),
        crates: crates(checks),
        toolchain: ToolchainRecord {
            rustc: validator.toolchain().version.clone(),
            host: validator.toolchain().host.clone(),
        },
        llmc_version: env!("CARGO_PKG_VERSION").to_owned(),
        invocation: String::new(),
        started_on: String::new(),
        finished_on: String::new(),
        sandbox: sandbox_grade(),
    }
}

/// How well candidates were confined, for the record.
/// The crates that were compiled in.
pub(super) fn crates(checks: &validate::Checks) -> Vec<CrateRecord> {
    let record = |locked: &validate::Locked| CrateRecord {
        name: locked.name.clone(),
        version: locked.version.clone(),
        sha256: locked.checksum.clone(),
    };
    checks.crates().iter().map(record).collect()
}

pub(super) fn sandbox_grade() -> String {
    match sandbox::mode() {
        sandbox::Mode::Strict => format!("strict: {}", sandbox::layers()),
        sandbox::Mode::Off => "off".to_owned(),
    }
}

pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
