//! `llmc build --estimate`: what building would cost, before anything is sent.
//!
//! Opens no connection to a model and loads none; which one an unconfigured workspace would sample is found out as a
//! build finds it out.

use std::collections::BTreeMap;
use std::path::Path;

use super::build::needs_building;
use super::purse::{Caps, dollars};
use super::repair::ROOM;
use super::specs;
use super::{Session, models::Named};
use crate::error::{Error, ExitCode};
use crate::ledger::{Ledger, Taken};
use crate::model::Request;
use crate::model::purse::{Cost, Most};

/// What one model's share of a spec would cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The spec.
    pub spec: String,
    /// `provider/name`.
    pub model: String,
    /// Samples wanted of it.
    pub samples: usize,
    /// Of them, those in the ledger already: they cost nothing.
    pub stored: usize,
    /// The most that the others and the repairs can take, each asked for once.
    pub most: Cost,
    /// The most repairs that can be asked for, of all models of the spec together.
    pub repairs: usize,
    /// What `repairs` add to `most`, should this model be asked for all of them.
    pub most_of_repairs: Cost,
    /// What the samples likely take, repairs left out; `None` when the ledger has no sample to go by.
    pub likely: Option<Likely>,
}

/// What samples likely take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likely {
    /// All of them.
    pub cost: Cost,
    /// How many samples it is the average of.
    pub samples: u64,
    /// Whether those are of the same spec.
    pub of_spec: bool,
}

/// What a build would cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Estimates {
    /// Spec by spec and model by model; what is up to date is not among them.
    pub list: Vec<Estimate>,
    /// What the day has taken so far.
    pub today: Taken,
    /// The caps that are set, in words.
    pub caps: Vec<String>,
}

impl Estimates {
    /// The most that all of it can take.
    pub fn most(&self) -> Cost {
        let mut repairs: BTreeMap<&str, Cost> = BTreeMap::new();
        for one in &self.list {
            // Each repair is asked of one of the spec's models: the dearest.
            let (most, more) = (repairs.entry(&one.spec).or_insert(NOTHING), one.most_of_repairs);
            most.tokens = most.tokens.max(more.tokens);
            most.usd_micros = most.usd_micros.zip(more.usd_micros).map(|(one, other)| one.max(other));
        }
        let samples = self.list.iter().map(|one| Cost {
            tokens: one.most.tokens - one.most_of_repairs.tokens,
            usd_micros: one.most.usd_micros.zip(one.most_of_repairs.usd_micros).map(|(all, more)| all - more),
        });
        sum(samples.chain(repairs.into_values()))
    }

    /// What all of it likely takes; `None` when that is not known of every part that costs something.
    pub fn likely(&self) -> Option<Cost> {
        let parts = self.list.iter().map(|one| match one.samples - one.stored {
            0 => Some(NOTHING),
            _ => one.likely.map(|likely| likely.cost),
        });
        parts.collect::<Option<Vec<Cost>>>().map(|parts| sum(parts.into_iter()))
    }
}

const NOTHING: Cost = Cost { tokens: 0, usd_micros: Some(0) };

fn sum(costs: impl Iterator<Item = Cost>) -> Cost {
    costs.fold(NOTHING, |sum, cost| Cost {
        tokens: sum.tokens.saturating_add(cost.tokens),
        usd_micros: sum.usd_micros.zip(cost.usd_micros).map(|(one, other)| one.saturating_add(other)),
    })
}

/// What building the specs that are not up to date would cost.
pub async fn estimate(session: &mut Session, named: &[String], from: &Path) -> Result<Estimates, Error> {
    // A component takes no samples.
    let specs::Found { functions: loaded, components, mistakes } = specs::load(session, named, from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    if loaded.is_empty() && components.is_empty() {
        return Err(Error::new(ExitCode::Usage, "there is no spec in `specs/`").hint("`llmc init` writes an example"));
    }
    let ledger = Ledger::open_to_read(&session.workspace.local_path())?;
    let today = ledger.as_ref().map_or(Ok(Taken::default()), Ledger::taken_today)?;
    let mut estimates = Estimates { today, ..Estimates::default() };
    for one in &loaded {
        if !session.options.no_cache && !needs_building(session, one)? {
            continue;
        }
        let plan = session.options.plan(&one.spec);
        for cap in caps(&Caps::of(&plan)) {
            if !estimates.caps.contains(&cap) {
                estimates.caps.push(cap);
            }
        }
        let prompt = specs::render_prompt(session, one, &loaded)?;
        let models = session.named(&plan.models).await?;
        let prices = session.options.prices();
        for (first, Named { identity, model }) in models.iter().enumerate() {
            let step = models.len();
            let samples = (plan.samples + step - 1).saturating_sub(first) / step;
            let stored = match &ledger {
                Some(ledger) if !session.options.no_cache => {
                    ledger.stored((&prompt, &plan.parameters, identity), (first, step, plan.samples))?
                }
                _ => 0,
            };
            let missing = samples - stored.min(samples);
            // Each says its seed, so that no two are quite as long.
            let longest = (0..samples).map(|number| {
                let request = Request::new(&prompt, &plan.parameters, first + number * step, samples);
                model.as_ref().map_or_else(|| Most::of_request(&request), |model| model.most(&request))
            });
            let most = longest.max_by_key(|most| most.prompt).unwrap_or(Most { prompt: 0, completion: None });
            let completion = most.completion.unwrap_or(0);
            let is_nothing = identity.provider == "replay";
            let count = if is_nothing { 0 } else { missing as u64 };
            let times = |prompt: u64, count: u64| Cost {
                tokens: prompt.saturating_add(completion).saturating_mul(count),
                usd_micros: prices.of(identity, prompt).map(|price| price.most(prompt, completion) * count),
            };
            let repairs = if is_nothing { 0 } else { plan.repairs };
            let most_of_repairs = times(most.prompt + ROOM, repairs as u64);
            let most = sum([times(most.prompt, count), most_of_repairs].into_iter());
            let mut likely = None;
            for spec in [Some(one.spec.name.as_str()), None] {
                let Some(ledger) = ledger.as_ref().filter(|_| likely.is_none()) else { continue };
                likely = ledger.mean(identity, spec)?.map(|mean| {
                    let tokens = (mean.prompt_tokens + mean.completion_tokens) * count as f64;
                    let usd_micros = prices.of(identity, mean.prompt_tokens as u64).map(|price| {
                        let each = mean.prompt_tokens * price.input + mean.completion_tokens * price.output;
                        (each * count as f64).ceil() as u64
                    });
                    let cost = Cost { tokens: tokens.ceil() as u64, usd_micros };
                    Likely { cost, samples: mean.samples, of_spec: spec.is_some() }
                });
            }
            let (spec, model) = (one.spec.name.clone(), identity.to_string());
            let stored = samples - missing;
            estimates.list.push(Estimate { spec, model, samples, stored, most, repairs, most_of_repairs, likely });
        }
    }
    Ok(estimates)
}

/// The caps in words.
fn caps(caps: &Caps) -> Vec<String> {
    let tokens = |name: &str, cap: Option<u64>| cap.map(|cap| format!("{name} is {cap}"));
    let usd = |name: &str, cap: Option<u64>| cap.map(|cap| format!("{name} is {}", dollars(cap)));
    let all = [
        tokens(caps.names[0], caps.tokens),
        usd(caps.names[1], caps.usd),
        tokens(caps.names[2], caps.day_tokens),
        usd(caps.names[3], caps.day_usd),
    ];
    all.into_iter().flatten().collect()
}
