//! `llmc regen`: new samples for a spec that is up to date. What is chosen waits as a proposal.

use std::path::Path;
use std::time::Instant;

use super::build::{self, Aim};
use super::propose::Proposing;
use super::specs::{self, Loaded};
use super::{Session, Summary, harden};
use crate::error::{Error, ExitCode};
use crate::freeze::{self, Freshness};
use crate::proposal::{self, Proposal};

/// Draws new samples for the specs that were named, and leaves a proposal for each that gives another program.
pub async fn regen(session: &mut Session, named: &[String], from: &Path) -> Result<Summary, Error> {
    run(session, named, from, false).await
}

/// New samples for one spec whose proposal did not please, whether or not its artifact is up to date.
pub async fn resample(session: &mut Session, name: &str) -> Result<Summary, Error> {
    if let Ok(Some(waiting)) = Proposal::read(&session.workspace, name)
        && let Some(hardness) = waiting.provenance.hardness()
    {
        return harden::again(session, name, hardness).await;
    }
    let from = session.workspace.root.clone();
    run(session, &[name.to_owned()], &from, true).await
}

async fn run(session: &mut Session, named: &[String], from: &Path, is_lenient: bool) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let (loaded, mistakes) = specs::load_specs(session, named, from)?;
    if !mistakes.is_empty() {
        summary.mistakes = mistakes;
        summary.fail(Error::new(ExitCode::Spec, "a spec is invalid, nothing was sampled"));
        return Ok(summary);
    }
    let all = session.workspace.specs()?;
    let mut wanted = Vec::new();
    for name in named {
        wanted.push(specs::resolve(session, name, from, &all)?);
    }
    let _lock = build::take_lock(session)?;
    freeze::recover(&session.workspace)?;
    proposal::recover(&session.workspace)?;
    // Those that they use are loaded as well, and are not what was asked for.
    for one in loaded.iter().filter(|one| wanted.contains(&one.path)) {
        if session.interrupt.is_set() {
            return Err(Error::interrupted());
        }
        let started = Instant::now();
        match regen_one(session, one, &loaded, &mut summary, started, is_lenient).await {
            Ok(finished) => build::finish(session, &mut summary, finished),
            Err(error) if error.exit == ExitCode::Interrupted => return Err(error),
            Err(error) => {
                let name = &one.spec.name;
                if !summary.finished.iter().any(|finished| finished.spec == *name) {
                    build::finish(session, &mut summary, build::failed(name, started, &error));
                }
                let stops_all = matches!(error.exit, ExitCode::Provider | ExitCode::Internal);
                summary.fail(error);
                if stops_all {
                    break;
                }
            }
        }
    }
    Ok(summary)
}

async fn regen_one(
    session: &mut Session,
    one: &Loaded,
    all: &[Loaded],
    summary: &mut Summary,
    started: Instant,
    is_lenient: bool,
) -> Result<crate::event::Finished, Error> {
    let name = &one.spec.name;
    let target = build::target(session, one)?;
    let freshness = build::freshness(session, &target)?;
    if let Some(error) = build::refuse(session, &target, &freshness) {
        return Err(error);
    }
    let is_current = matches!(freshness, Freshness::Fresh | Freshness::Unlisted);
    if !is_current && !is_lenient {
        let why = match freshness {
            Freshness::Missing => "has no artifact yet".to_owned(),
            Freshness::Stale(why) => format!("is not up to date: {why}"),
            _ => "is not up to date".to_owned(),
        };
        return Err(Error::new(ExitCode::Usage, format!("`{name}` {why}"))
            .hint(format!("`llmc build {name}` builds it; regen is for what is up to date")));
    }
    let aim = Aim::Proposal(Proposing::at_regen(session, &one.spec, is_current)?);
    build::build_one(session, &target, all, &aim, summary, started).await
}
