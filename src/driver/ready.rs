//! Drawing for a spec: what it needs, made ready, and the draws, recorded and paid for.
//!
//! Knows neither what is made of the samples nor why they are wanted: builds and measurements draw in the same way.

use std::sync::Arc;

use super::draw::{self, DrawError, Samples};
use super::log::Log;
use super::purse::{Caps, Purse};
use super::specs::{self, Loaded};
use super::{Session, build, tell};
use crate::candidate::Candidate;
use crate::error::Error;
use crate::event::Event;
use crate::ledger::{Ending, Phase, Start};
use crate::model::{Identity, Model};
use crate::options::Plan;
use crate::prompt::Prompt;
use crate::spec::Spec;
use crate::validate::{Checks, Validator};

/// What drawing for a spec needs.
pub(super) struct Ready {
    pub(super) prompt: Prompt,
    pub(super) models: Vec<Arc<dyn Model>>,
    /// As `provider/name`.
    pub(super) names: Vec<String>,
    pub(super) validator: Arc<Validator>,
    pub(super) checks: Arc<Checks>,
}

impl Ready {
    /// Renders the prompt (that of `shaped`), finds the models and makes the checks ready.
    pub(super) async fn new(
        session: &mut Session,
        loaded: &Loaded,
        all: &[Loaded],
        plan: &Plan,
        shaped: &Arc<Spec>,
    ) -> Result<Self, Error> {
        let prompt = specs::render_prompt(session, &Loaded { spec: shaped.clone(), ..loaded.clone() }, all)?;
        let models = session.models_for(&plan.models).await?;
        let names = models.iter().map(|model| model.identity().to_string()).collect();
        let uses = build::used_sources(session, &loaded.spec, all)?;
        let validator = session.validator()?;
        let checks = {
            let (validator, spec) = (validator.clone(), loaded.spec.clone());
            let prepared = tokio::task::spawn_blocking(move || validator.prepare(&spec, &uses)).await;
            Arc::new(prepared.expect("preparing does not panic")?)
        };
        Ok(Self { prompt, models, names, validator, checks })
    }

    /// The same for another prompt.
    pub(super) fn with(&self, prompt: Prompt) -> Self {
        let Self { models, names, validator, checks, .. } = self;
        Self {
            prompt,
            models: models.clone(),
            names: names.clone(),
            validator: validator.clone(),
            checks: checks.clone(),
        }
    }

    /// Who is sampled.
    pub(super) fn identities(&self) -> Vec<&Identity> {
        self.models.iter().map(|model| model.identity()).collect()
    }
}

/// What to draw.
pub(super) struct Drawing<'a> {
    pub(super) spec: &'a Arc<Spec>,
    /// Names the run, for finding it in the ledger.
    pub(super) run: &'a str,
    /// The digest of everything that an artifact depends on.
    pub(super) inputs: &'a str,
    pub(super) phase: Phase,
    pub(super) plan: &'a Plan,
    /// Independent samples, from the first on, that are not wanted.
    pub(super) skip: usize,
    /// Whether samples in the ledger are passed over.
    pub(super) afresh: bool,
    /// The artifact that there is, where it is to be judged along with the candidates.
    pub(super) artifact: Option<&'a Candidate>,
}

impl Drawing<'_> {
    /// Draws and judges. The record is begun, and ended only where that fails: whoever makes something of the samples
    /// says how it ended.
    pub(super) async fn draw(&self, session: &mut Session, ready: &Ready) -> Result<(Samples, Log), Error> {
        let (spec, plan, identities) = (self.spec, self.plan, ready.identities());
        let start = Start {
            spec: &spec.name,
            run: self.run,
            inputs: self.inputs,
            checks: ready.checks.digest(),
            wanted: plan.samples,
            phase: self.phase,
            prompt: &ready.prompt,
            parameters: &plan.parameters,
            models: &identities,
            afresh: self.afresh,
        };
        let (mut log, purse) = begin(session, &start, Caps::of(plan))?;
        let model = ready.names.join(", ");
        let samples = plan.samples - self.skip;
        session.tell(Event::Started { spec: spec.name.clone(), samples, model });
        let job = draw::Job {
            spec,
            prompt: &ready.prompt,
            templates: &session.templates,
            models: &ready.models,
            parameters: &plan.parameters,
            samples: plan.samples,
            skip: self.skip,
            repairs: plan.repairs,
            stop: plan.stop,
            budget: &plan.budget,
            purse: &purse,
            validator: &ready.validator,
            checks: &ready.checks,
            jobs: session.options.jobs,
            artifact: self.artifact,
        };
        let teller = session.tell.clone();
        let drawn = draw::draw(&job, &mut log, &session.interrupt, &mut |event| tell(&teller, event)).await;
        purse.close();
        if let Some(problem) = log.take_problem() {
            session.tell(Event::Warning(problem));
        }
        match drawn {
            Ok(samples) => Ok((Samples { cost: purse.spent(), ..samples }, log)),
            // What was cut short is as good as new: its record stays open.
            Err(DrawError::Interrupted) => Err(Error::interrupted()),
            Err(error) => {
                log.end(&Ending::default());
                Err(match error {
                    DrawError::Model(error) => Error::from(error),
                    DrawError::Validate(error) => Error::from(error),
                    DrawError::Ledger(error) => Error::from(error),
                    DrawError::Prompt(error) => Error::from(error),
                    DrawError::Interrupted => unreachable!("it was returned"),
                })
            }
        }
    }
}

/// Begins the record of draws, and has them paid within `caps`.
///
/// # Errors
/// Where there is no ledger and money or a day's count depends on it, or nothing is left to begin with.
pub(super) fn begin(session: &mut Session, start: &Start<'_>, caps: Caps) -> Result<(Log, Arc<Purse>), Error> {
    let prices = session.options.prices();
    let is_paid = !start.models.iter().all(|identity| prices.are_nothing(identity));
    let mut log = Log::begin(session, start, is_paid || caps.has_day())?;
    let noter = session.tell.clone();
    let purse = Arc::new(Purse::new(caps, prices, log.place(), move |note| tell(&noter, Event::Warning(note))));
    if let Err(error) = purse.check(start.models) {
        log.end(&Ending::default());
        return Err(error.into());
    }
    log.pay_from(purse.clone());
    Ok((log, purse))
}
