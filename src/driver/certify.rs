//! Certified mode: is what was chosen what most samples do? Asked of fresh ones, as few as it takes.
//!
//! The choice was made on samples that agreed: to count these again would prove nothing. So others are drawn, which had
//! no part in it, and each that passes is a trial: does it do as the choice does on every input? What a trial says hangs
//! on it and the choice alone. Each program is held against the choice by itself, so that trials do not meet.

use std::collections::HashMap;

use super::measure::{self, Independent};
use super::specs::Loaded;
use super::{Session, agree};
use crate::candidate::Candidate;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::model::purse::Cost;
use crate::options::Plan;
use crate::provenance::Certificate;
use crate::spec::Stop;
use crate::stats::{self, Decision};
use crate::validate::Program;

/// The chance of a certificate where the share is no larger than the bound.
pub(super) const ALPHA: f64 = 0.05;
/// The chance that the test says no where the share is at the bound.
const BETA: f64 = 0.05;
/// Trials are planned for at least so many.
const FEWEST: usize = 30;
/// For each trial so many samples may be drawn at most.
const DRAWS: usize = 4;
/// Samples that are drawn at once, at least: fewer are not worth a request.
const AT_ONCE: usize = 4;

/// The test that a bound asks for: four times as many trials as would be needed if all agreed.
fn test(bound: f64) -> stats::Plan {
    let without_failure = (ALPHA.ln() / bound.ln()).ceil() as usize;
    stats::Plan::new(bound, FEWEST.max(4 * without_failure), ALPHA, BETA)
}

/// What is known of the choice when the test ends.
struct Trials {
    certificate: Certificate,
    decision: Decision,
    /// What ended the drawing before the test could.
    spent: Option<String>,
    /// An input on which a trial does something else, as told.
    shown: Option<String>,
    cost: Cost,
    tokens: usize,
}

/// Tests the choice. Gives the certificate and the tokens that it took, or why there is none.
pub(super) async fn certify(
    session: &mut Session,
    (loaded, all): (&Loaded, &[Loaded]),
    plan: &Plan,
    spent: Cost,
    chosen: &Candidate,
    bound: f64,
) -> Result<(Certificate, usize), Error> {
    let name = &loaded.spec.name;
    session.tell(Event::Note(format!("`{name}`: fresh samples are held against the choice, to certify it")));
    let trials = run(session, (loaded, all), plan, spent, chosen, bound).await?;
    let Certificate { trials: n, agreements, drawn, .. } = trials.certificate;
    let found = format!("{agreements} of {n} fresh samples that pass do as the choice does");
    let error = |exit: ExitCode, message: String| {
        let mut error = Error::new(exit, message);
        error.causes.extend(trials.shown.clone());
        let clarify = format!("`llmc clarify {name}` asks what the spec leaves open");
        error.hint(clarify).hint("nothing was written or committed; the samples are kept")
    };
    let percent = format!("{}%", (bound * 1000.0).round() / 10.0);
    match trials.decision {
        Decision::Pass => {
            session.tell(Event::Note(format!(
                "`{name}` is certified: {found}; more than {percent} of what passes does so (95% sure, {drawn} drawn)"
            )));
            Ok((trials.certificate, trials.tokens))
        }
        Decision::Fail => Err(error(
            ExitCode::Test,
            format!("`{name}` is not certified: only {found}, too few for more than {percent} of what passes"),
        )),
        Decision::Inconclusive | Decision::Open => {
            let why = trials.spent.clone().map(|why| format!("; {why}")).unwrap_or_default();
            Err(error(
                ExitCode::Inconclusive,
                format!("`{name}` is not certified: {found}, of {drawn} drawn; that is undecided at {percent}{why}"),
            ))
        }
    }
}

async fn run(
    session: &mut Session,
    (loaded, all): (&Loaded, &[Loaded]),
    plan: &Plan,
    spent: Cost,
    chosen: &Candidate,
    bound: f64,
) -> Result<Trials, Error> {
    let begun = std::time::Instant::now();
    let test = test(bound);
    let certificate = Certificate { bound, alpha: ALPHA, most: test.trials, trials: 0, agreements: 0, drawn: 0 };
    let mut trials = Trials { certificate, decision: Decision::Open, spent: None, shown: None, cost: spent, tokens: 0 };
    let mut known: HashMap<Program, Option<String>> = HashMap::from([(Program::of(chosen), None)]);
    // Those that were drawn for the choice are not asked again, wherever drawing them ended.
    let mut next = plan.samples;
    let end = plan.samples + DRAWS * test.trials;
    while trials.decision == Decision::Open && trials.spent.is_none() && next < end {
        let Certificate { trials: n, agreements, .. } = trials.certificate;
        let wanted = test.passes.get(n - agreements).map_or(AT_ONCE, |at| at.saturating_sub(n)).max(AT_ONCE);
        let Some(rest) = rest(plan, trials.cost, begun.elapsed().as_secs_f64()) else {
            trials.spent = Some("the budget is spent".to_owned());
            break;
        };
        let first = next;
        next = end.min(next + wanted);
        let plan = Plan { samples: next, stop: Stop::All, repairs: 0, ..rest };
        let drawn = match measure::independent_after(session, (loaded, all), &plan, &loaded.spec, first).await {
            Ok(drawn) => drawn,
            // Nothing could be drawn any more: what there is decides.
            Err(error) if error.exit == ExitCode::Budget => {
                trials.spent = Some(error.message);
                break;
            }
            Err(error) => return Err(error),
        };
        trials.spent.clone_from(&drawn.samples.spent);
        let cost = drawn.samples.cost;
        trials.cost.tokens += cost.tokens;
        trials.cost.usd_micros = Some(trials.cost.usd_micros.unwrap_or(0) + cost.usd_micros.unwrap_or(0));
        try_all(session, &drawn, chosen, &test, &mut trials, &mut known).await?;
    }
    Ok(trials)
}

/// The plan with what is left of its budget; none where nothing is.
fn rest(plan: &Plan, spent: Cost, seconds: f64) -> Option<Plan> {
    let mut plan = plan.clone();
    if let Some(tokens) = &mut plan.budget.tokens {
        *tokens = tokens.checked_sub(spent.tokens).filter(|left| *left > 0)?;
    }
    if let Some(usd) = &mut plan.budget.usd {
        *usd -= spent.usd_micros.unwrap_or(0) as f64 / 1e6;
        (*usd > 0.0).then_some(())?;
    }
    if let Some(most) = &mut plan.budget.seconds {
        *most -= seconds;
        (*most > 0.0).then_some(())?;
    }
    Some(plan)
}

/// Takes in what was drawn, in order, until the test is decided.
async fn try_all(
    session: &Session,
    drawn: &Independent,
    chosen: &Candidate,
    test: &stats::Plan,
    trials: &mut Trials,
    known: &mut HashMap<Program, Option<String>>,
) -> Result<(), Error> {
    for sample in &drawn.samples.list {
        trials.certificate.drawn += 1;
        trials.tokens += if sample.replayed { 0 } else { sample.completion.completion_tokens };
        if trials.decision != Decision::Open {
            continue;
        }
        let Some(candidate) = sample.candidate.as_ref().filter(|_| sample.verdict.is_pass()) else { continue };
        let program = Program::of(candidate);
        if !known.contains_key(&program) {
            let both = vec![chosen.clone(), candidate.clone()];
            let run = measure::run_all(session, drawn.validator.clone(), drawn.checks.clone(), both).await?;
            known.insert(program.clone(), agree::parting(&run, chosen, candidate));
        }
        let parting = &known[&program];
        trials.certificate.trials += 1;
        trials.certificate.agreements += usize::from(parting.is_none());
        trials.shown = trials.shown.take().or_else(|| parting.clone());
        let Certificate { trials: n, agreements, .. } = trials.certificate;
        trials.decision = test.decide(agreements, n - agreements);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_certified_after_five_that_agree_and_nine_tenths_after_thirty_two() {
        let half = test(0.5);
        assert_eq!((half.trials, &half.passes[..5]), (30, &[5, 10, 13, 17, 20][..]));
        let most = test(0.9);
        assert_eq!((most.trials, most.passes[0]), (4 * 29, 32));
        // Two standard errors are not needed: it is exact.
        for plan in [half, most] {
            assert!(plan.characteristic(plan.bound).0 <= ALPHA, "{}", plan.bound);
        }
    }
}
