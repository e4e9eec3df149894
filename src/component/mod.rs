//! Components that a model answers: a spec of `kind: component`, with the models that are asked.
//!
//! An answer is drawn anew for each call, read out of the reply, and held against the schema; one that does not fit is
//! sent back once. What the model calls as tools goes through the harness as any other call does: rules, limits and
//! records hold for it.

mod draw;
mod purse;
pub(crate) mod reply;
mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::digest::sha256;
use crate::harness::{self, About, Answer, CallError, Class, Component, Context, Handling, Outcome, Rule, Side};
use crate::model::price::Prices;
use crate::model::purse::Purse;
use crate::model::{Model, Parameters};
use crate::prompt::{PromptError, Templates};
use crate::spec::{ComponentSpec, Sampling};

use draw::Talking;

/// How often, at most, a model may ask for tools before it answers.
pub const ROUNDS: usize = 8;
/// The temperature where nobody asks for one.
const DEFAULT_TEMPERATURE: f32 = 0.8;
/// Nucleus sampling where nobody asks for it.
const DEFAULT_TOP_P: f32 = 0.95;
/// Counters of the draws that a seed makes repeatable; inputs share them by their hash.
const COUNTERS: usize = 1024;

/// What a component needs besides its spec.
#[derive(Clone)]
pub struct Parts {
    /// The models, in the order in which they are tried; at least one.
    pub models: Vec<Arc<dyn Model>>,
    /// What they cost.
    pub prices: Prices,
    /// The templates that its prompts are rendered from.
    pub templates: Arc<Templates>,
    /// How to sample where the spec does not say: the settings, resolved.
    pub sampling: Sampling,
    /// Keeps the caps on more than one call, if there are any: each request is put aside for there, too.
    pub purse: Option<Arc<dyn Purse>>,
}

/// Why a component can't be made of a spec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// Nobody is there to answer.
    #[error("`{0}` has no model")]
    NoModel(String),
    /// Its prompt can't be rendered.
    #[error("`{component}`: {source}")]
    Prompt {
        /// The component.
        component: String,
        /// Why.
        #[source]
        source: PromptError,
    },
}

/// A component that a model answers.
pub struct ModelComponent {
    about: About,
    spec: ComponentSpec,
    parts: Parts,
    parameters: Parameters,
    is_seeded: bool,
    /// With a seed: how often an input was drawn for.
    draws: Vec<AtomicU64>,
    /// Requests to each model so far: what is recorded is given in this order.
    requests: Vec<AtomicUsize>,
}

impl ModelComponent {
    /// The component of a spec.
    pub fn new(spec: ComponentSpec, parts: Parts) -> Result<Self, ComponentError> {
        let Some(first) = parts.models.first() else { return Err(ComponentError::NoModel(spec.name)) };
        // What is wrong with a template shows before anything is called.
        let example = spec.examples.first().map_or(Value::Null, |example| example.input.clone());
        let rendered = parts.templates.render_component(&spec, &[], &example);
        let rendered = rendered.and_then(|_| parts.templates.render_misfit(&spec, "an example", &spec.output));
        if let Err(source) = rendered {
            return Err(ComponentError::Prompt { component: spec.name, source });
        }
        let (own, usual) = (&spec.sampling, &parts.sampling);
        // A seed of the settings is one for builds: it would make every draw here the same.
        let seed = own.seed;
        let parameters = Parameters {
            temperature: Some(own.temperature.or(usual.temperature).unwrap_or(DEFAULT_TEMPERATURE)),
            top_p: own.top_p.or(usual.top_p).unwrap_or(DEFAULT_TOP_P),
            max_tokens: own.max_tokens.or(usual.max_tokens),
            seed: seed.unwrap_or(0),
        };
        let about = About {
            side: Side::Model,
            description: spec.description.trim().to_owned(),
            input: spec.input.clone(),
            output: spec.output.clone(),
            model: Some(first.identity().to_string()),
            digest: Some(digest(&spec, &parts, &parameters, seed)),
            tools: Some(spec.tools.clone()),
        };
        let draws = if seed.is_some() { COUNTERS } else { 0 };
        Ok(Self {
            about,
            is_seeded: seed.is_some(),
            draws: (0..draws).map(|_| AtomicU64::new(0)).collect(),
            requests: parts.models.iter().map(|_| AtomicUsize::new(0)).collect(),
            parameters,
            spec,
            parts,
        })
    }

    /// The seed of one call: a new one each time, or one that the spec's seed, the input and the number of draws for it
    /// so far decide.
    fn seed(&self, input: &Value) -> u64 {
        if !self.is_seeded {
            return random();
        }
        let text = input.to_string();
        let hash = number(&sha256(&text));
        #[expect(clippy::cast_possible_truncation, reason = "any of its bits will do")]
        let count = self.draws[hash as usize % COUNTERS].fetch_add(1, Ordering::Relaxed);
        number(&sha256(format!("{} {count} {text}", self.parameters.seed)))
    }

    async fn answer(&self, ctx: &Context, input: &Value) -> Result<Outcome, CallError> {
        let mut talking = Talking::new(self, ctx, input, self.seed(input));
        let mut failures: Vec<CallError> = Vec::new();
        for (number, model) in self.parts.models.iter().enumerate() {
            if !talking.may_go_on_with(&**model) {
                break;
            }
            let clock = Instant::now();
            match talking.with(number).await {
                Ok(value) => {
                    let model = Some(model.identity().to_string());
                    return Ok(Outcome::Answer(Answer { value, side: None, model }));
                }
                Err(mut error) if error.class == Class::Provider && error.chain.is_empty() => {
                    error.message = format!("{}: {}", model.identity(), error.message);
                    failures.push(error);
                    if number + 1 < self.parts.models.len() {
                        let micros = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
                        ctx.tried(failures[number].clone(), micros);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let all: Vec<String> = failures.into_iter().map(|error| error.message).collect();
        Err(self.error(Class::Provider, all.join("; ")))
    }

    fn error(&self, class: Class, message: impl Into<String>) -> CallError {
        CallError::new(&self.spec.name, class, message).on(Side::Model)
    }
}

impl Component for ModelComponent {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> harness::BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let answering = self.answer(ctx, &input);
            let Some(seconds) = self.spec.budget.seconds else { return answering.await };
            match tokio::time::timeout(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX), answering).await {
                Ok(result) => result,
                Err(_) => {
                    let message = format!("no answer within {seconds} s, which is the spec's `budget` for a call");
                    Err(self.error(Class::Budget, message))
                }
            }
        })
    }
}

/// How calls of a component are handled, by its spec.
pub fn handling(spec: &ComponentSpec) -> Handling {
    Handling {
        timeout: spec.timeout,
        retries: spec.retries,
        vote: spec.vote,
        concurrency: spec.concurrency,
        cache: spec.cache,
        ..Handling::default()
    }
}

/// Who may call a component, by its spec.
pub fn rule(spec: &ComponentSpec) -> Rule {
    Rule::new(&spec.name, spec.approval)
}

/// SHA-256 of all that the answers depend on.
fn digest(spec: &ComponentSpec, parts: &Parts, parameters: &Parameters, seed: Option<u64>) -> String {
    let models: Vec<_> = parts.models.iter().map(|model| model.identity()).collect();
    let shown: Vec<_> = spec.examples.iter().filter(|example| !example.hidden).collect();
    let all = json!({
        "models": models,
        "template": parts.templates.component_digest(spec),
        "system": spec.prompt.system,
        "description": spec.description.trim(),
        "input": spec.input.to_json(),
        "output": spec.output.to_json(),
        "examples": shown,
        "tools": spec.tools,
        "tool_errors": spec.tool_errors,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "max_tokens": parameters.max_tokens,
        "seed": seed,
    });
    sha256(all.to_string())
}

/// A number that nobody can foretell.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Its keys are random; what is hashed does not matter.
    std::hash::RandomState::new().build_hasher().finish()
}

/// The first 64 bits of a digest.
fn number(digest: &str) -> u64 {
    u64::from_str_radix(&digest[..16], 16).expect("a digest is in hex")
}
