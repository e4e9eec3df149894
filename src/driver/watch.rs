//! Watching what is recorded: code is proposed once enough was seen, and never without a person's yes committed.
//!
//! Each attempt looks at the same calls and spends a part of alpha. So another one is made only where there is much more
//! to look at, and none where it could not end in a certificate.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::evidence::{Evidence, Hardening};
use super::harden::{Hardened, harden_one};
use super::specs::{self, LoadedComponent};
use super::traces::{Tries, fared_here};
use super::{Session, hardened};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::ledger::Ledger;
use crate::model::purse::Cost;
use crate::prompt::Templates;
use crate::proposal::Proposal;

/// How many times as many different inputs there have to be before code is tried again.
pub const GROWTH: f64 = 1.5;
/// After a failure that is not the component's, at most so many intervals go by until the next attempt.
const LONGEST_PAUSE: u32 = 64;

/// How a component stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not enough was recorded for a certificate.
    TooFew {
        /// Different inputs to make code from, and the fewest that will do.
        inputs: (usize, usize),
        /// Later ones to judge it by, and the fewest that will do.
        cases: (usize, usize),
    },
    /// Code was tried, and there is not much more to look at since.
    Tried {
        /// Different inputs that are recorded.
        inputs: usize,
        /// Code is tried again when there are so many.
        again: usize,
    },
    /// A proposal waits.
    Waits,
    /// Code answers, and was not demoted.
    Answers {
        /// Whether it was certified by another model, prompt or spec than the one that answers now.
        is_outdated: bool,
    },
    /// Code can be tried.
    Ready,
}

/// What a watch tells.
#[derive(Debug)]
pub enum Sight<'a> {
    /// It begins to watch these.
    Begins(&'a [String]),
    /// A component stands otherwise than before.
    Stands(&'a str, Standing),
    /// Code was tried.
    Tried(&'a Hardened),
}

/// What is not told twice, and what went wrong.
#[derive(Default)]
struct Known {
    told: Option<Standing>,
    wrong: Option<String>,
    /// Failures in a row, and the intervals until the next attempt.
    failures: u32,
    pause: u32,
}

/// Looks at what is recorded every `interval`, and tries code of the components that are named (of all, where none is)
/// when there is enough to see; until the user ends it, or the budget does.
///
/// # Errors
/// Where what is named is no component, the ledger can't be read, or the budget is spent.
pub async fn watch(
    session: &mut Session,
    named: &[String],
    asked: &Hardening,
    interval: Duration,
    from: &Path,
    tell: &mut (dyn FnMut(Sight<'_>) + Send),
) -> Result<(), Error> {
    let found = components(session, named, from)?;
    let names: Vec<String> = found.iter().map(|one| one.spec.name.clone()).collect();
    if names.is_empty() {
        return Err(Error::new(ExitCode::Usage, "there is no component to watch")
            .hint("a spec with `kind: component` is one: docs/components.md"));
    }
    tell(Sight::Begins(&names));
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut last = None;
    let mut spent = Cost::default();
    loop {
        let now = last_crossing(session)?;
        let is_due = known.values().any(|known| known.failures > 0 && known.pause == 0);
        if last != Some(now) || is_due {
            last = Some(now);
            look(session, named, asked, from, &mut known, &mut spent, tell).await?;
        }
        for known in known.values_mut() {
            known.pause = known.pause.saturating_sub(1);
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = session.interrupt.wait() => return Ok(()),
        }
    }
}

/// The number of the call that was recorded last: nothing is looked at again before there is another.
fn last_crossing(session: &Session) -> Result<i64, Error> {
    Ok(Ledger::open_to_read(&session.workspace.local_path())?.map_or(Ok(0), |ledger| ledger.last_crossing())?)
}

/// The components that are meant.
fn components(session: &Session, named: &[String], from: &Path) -> Result<Vec<LoadedComponent>, Error> {
    let found = specs::load(session, named, from)?;
    if named.is_empty() {
        // What else has mistakes is no concern of those that have none.
        return Ok(found.components);
    }
    if !found.mistakes.is_empty() {
        return Err(Error::spec(found.mistakes));
    }
    match found.functions.first() {
        Some(one) => Err(Error::new(ExitCode::Usage, format!("`{}` is a function: it is code already", one.spec.name))),
        None => Ok(found.components),
    }
}

/// Looks at each component once.
async fn look(
    session: &mut Session,
    named: &[String],
    asked: &Hardening,
    from: &Path,
    known: &mut BTreeMap<String, Known>,
    spent: &mut Cost,
    tell: &mut (dyn FnMut(Sight<'_>) + Send),
) -> Result<(), Error> {
    let found = match components(session, named, from) {
        Ok(found) => found,
        // A spec that is being edited is no reason to end.
        Err(error) => {
            let of = known.entry(String::new()).or_default();
            warn(session, of, None, &error);
            return Ok(());
        }
    };
    known.remove("");
    session.templates = Templates::load(Some(&session.workspace.templates()))?;
    for one in &found {
        if session.interrupt.is_set() {
            return Ok(());
        }
        let name = &one.spec.name;
        let of = known.entry(name.clone()).or_default();
        let standing = match standing(session, one, asked) {
            Ok(standing) => standing,
            Err(error) => {
                warn(session, of, Some(name), &error);
                continue;
            }
        };
        let is_same = of.told.is_some_and(|told| std::mem::discriminant(&told) == std::mem::discriminant(&standing));
        if !is_same {
            tell(Sight::Stands(name, standing));
            of.told = Some(standing);
        }
        if standing != Standing::Ready {
            of.failures = 0;
            continue;
        }
        if of.pause > 0 {
            continue;
        }
        match harden_one(session, one, asked, spent).await {
            Ok(hardened) => {
                *of = Known::default();
                tell(Sight::Tried(&hardened));
                let standing = self::standing(session, one, asked)?;
                tell(Sight::Stands(name, standing));
                of.told = Some(standing);
            }
            Err(error) if error.exit == ExitCode::Interrupted => return Ok(()),
            // What is left is for nobody any more. That of a day comes back.
            Err(error) if error.exit == ExitCode::Budget && has_own_budget(session) => return Err(error),
            Err(error) => {
                of.failures = of.failures.saturating_add(1);
                of.pause = (1 << of.failures.min(6)).min(LONGEST_PAUSE);
                warn(session, of, Some(name), &error);
            }
        }
    }
    Ok(())
}

/// Whether what code of a component may cost is capped, beside what a day may.
fn has_own_budget(session: &Session) -> bool {
    let budgets = [&session.options.workspace.budget, &session.options.user.budget];
    budgets.iter().any(|budget| budget.tokens.is_some() || budget.usd.is_some())
}

/// Tells what is wrong, once.
fn warn(session: &Session, known: &mut Known, name: Option<&str>, error: &Error) {
    let of = name.map(|name| format!("`{name}`: ")).unwrap_or_default();
    let hint = error.hints.first().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let message = format!("{of}{}{hint}", error.message);
    if known.wrong.as_ref() != Some(&message) {
        session.tell(Event::Warning(message.clone()));
        known.wrong = Some(message);
    }
}

/// How a component stands; nothing is spent.
fn standing(session: &Session, one: &LoadedComponent, asked: &Hardening) -> Result<Standing, Error> {
    let name = &one.spec.name;
    // One that is not whole, or is for what is no more, is made anew.
    if let Ok(Some(proposal)) = Proposal::read(&session.workspace, name)
        && proposal.provenance.hardness().is_some()
        && hardened::standing(session, &proposal)?.is_ok()
    {
        return Ok(Standing::Waits);
    }
    let evidence = Evidence::of(session, name, asked.share)?;
    if let Some(record) = hardened::record(session, name)?
        && fared_here(session, &record)?.demoted.is_none()
    {
        let certified = record.hardness().and_then(|hardness| hardness.answered_by.as_ref());
        let now = evidence.traces.answered_by.as_ref();
        return Ok(Standing::Answers { is_outdated: now.is_some() && now != certified });
    }
    let tries = Tries::read(session, name, &evidence.traces)?;
    let (inputs, cases) = evidence.counts();
    let (least_inputs, least_cases) = evidence.least(asked, &tries);
    if inputs < least_inputs || cases < least_cases {
        return Ok(Standing::TooFew { inputs: (inputs, least_inputs), cases: (cases, least_cases) });
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "counts")]
    let again = (tries.inputs as f64 * GROWTH).ceil() as usize;
    let inputs = evidence.traces.inputs();
    Ok(if inputs < again { Standing::Tried { inputs, again } } else { Standing::Ready })
}
