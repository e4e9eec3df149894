//! What a call's requests may take: put aside from the run's budget, from the component's own and from what all calls may
//! take together, before each is sent, those that a provider sends again included.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Parts;
use crate::harness::{Aside, CallError, Class, Context, Usage};
use crate::model::price::Prices;
use crate::model::purse::{Most, Purse};
use crate::model::{BoxFuture, Completion, Identity, ModelError};
use crate::spec::{Budget, ComponentSpec};

/// The purse of one call.
pub(super) struct CallPurse {
    ctx: Context,
    component: String,
    caps: Budget,
    prices: Prices,
    /// What keeps the caps on more than this call.
    shared: Option<Arc<dyn Purse>>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    last: i64,
    open: HashMap<i64, Open>,
    /// What the call took so far, with what is put aside for requests on their way.
    spent: Usage,
    /// Requests that were sent so far.
    sent: usize,
    /// Why a request was not sent.
    refused: Option<CallError>,
}

struct Open {
    aside: Aside,
    most: Usage,
    model: Identity,
    /// What is put aside there, too.
    shared: Option<i64>,
}

impl CallPurse {
    pub(super) fn new(ctx: &Context, spec: &ComponentSpec, parts: &Parts) -> Self {
        Self {
            ctx: ctx.clone(),
            component: spec.name.clone(),
            caps: spec.budget.clone(),
            prices: parts.prices.clone(),
            shared: parts.purse.clone(),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that were sent since the last time this was asked.
    pub(super) fn sent(&self) -> usize {
        std::mem::take(&mut self.state().sent)
    }

    /// Why a request was not sent, if one was not.
    pub(super) fn refusal(&self) -> Option<CallError> {
        self.state().refused.take()
    }

    fn refuse(&self, message: String) -> CallError {
        CallError::new(&self.component, Class::Budget, message)
    }

    fn put(&self, model: &Identity, most: &Most, shared: Option<i64>) -> Result<i64, CallError> {
        let run = self.ctx.budget();
        let usd_capped = run.usd.is_some() || self.caps.usd.is_some();
        let tokens_capped = run.tokens.is_some() || self.caps.tokens.is_some();
        if most.completion.is_none() && (usd_capped || tokens_capped) {
            return Err(self.refuse(format!(
                "{model} takes no limit on the length of its answer, so that nothing bounds what a request takes, and \
                 there is a budget"
            )));
        }
        let completion = most.completion.unwrap_or(0);
        let price = self.prices.of(model, most.prompt);
        if price.is_none() && usd_capped {
            return Err(self.refuse(format!(
                "there is a budget in US dollars, and what {model} costs is not known; say so in llmc.yaml, for a \
                 million tokens: `prices: {{ {model}: {{ input: 1.25, output: 10 }} }}`"
            )));
        }
        let most = Usage {
            prompt_tokens: most.prompt,
            completion_tokens: completion,
            usd: price.map_or(0.0, |price| dollars(price.most(most.prompt, completion))),
            requests: 1,
        };
        let mut state = self.state();
        let mut then = state.spent;
        then += most;
        let over = |cap: &str, next: String, spent: String| {
            self.refuse(format!(
                "a request could take {next}, {spent} are spent, and the spec's `budget` for a call is {cap}"
            ))
        };
        if let Some(cap) = self.caps.tokens.filter(|cap| then.tokens() > *cap) {
            let (next, spent) = (format!("{} tokens", most.tokens()), state.spent.tokens().to_string());
            return Err(over(&cap.to_string(), next, spent));
        }
        if let Some(cap) = self.caps.usd.filter(|cap| then.usd > *cap) {
            return Err(over(&format!("${cap:.4}"), format!("${:.4}", most.usd), format!("${:.4}", state.spent.usd)));
        }
        let aside = self.ctx.put_aside(most)?;
        state.spent = then;
        state.last += 1;
        state.sent += 1;
        let ticket = state.last;
        state.open.insert(ticket, Open { aside, most, model: model.clone(), shared });
        Ok(ticket)
    }

    /// Settles a request; the shared purse and its ticket, where that has to be told, too.
    fn settle(&self, ticket: i64, took: impl FnOnce(&Identity, Usage) -> Usage) -> Option<(&Arc<dyn Purse>, i64)> {
        let mut state = self.state();
        let Open { aside, most, model, shared } = state.open.remove(&ticket)?;
        let took = took(&model, most);
        let spent = &mut state.spent;
        spent.prompt_tokens = spent.prompt_tokens.saturating_sub(most.prompt_tokens);
        spent.completion_tokens = spent.completion_tokens.saturating_sub(most.completion_tokens);
        spent.requests = spent.requests.saturating_sub(most.requests);
        spent.usd = (spent.usd - most.usd).max(0.0);
        *spent += took;
        drop(state);
        self.ctx.took(aside, took);
        self.changed.send_replace(());
        self.shared.as_ref().zip(shared)
    }
}

impl Purse for CallPurse {
    fn put_aside<'a>(&'a self, model: &'a Identity, most: &'a Most) -> BoxFuture<'a, Result<Option<i64>, ModelError>> {
        Box::pin(async move {
            // Told in full by whoever asked; this only ends the request.
            let refused = |error: CallError| {
                let unsent = ModelError::Settings(error.message.clone());
                self.state().refused = Some(error);
                unsent
            };
            // First what may have to wait: whoever is dropped while it does has put nothing aside here.
            let shared = match &self.shared {
                None => None,
                Some(purse) => match purse.put_aside(model, most).await {
                    Ok(Some(ticket)) => Some(ticket),
                    Ok(None) => return Ok(None),
                    Err(ModelError::Unrecorded(why)) => {
                        let message = format!(
                            "what the call takes can't be written to the ledger, so that it is not made: {why}"
                        );
                        return Err(refused(CallError::new(&self.component, Class::Record, message)));
                    }
                    Err(error) => return Err(refused(self.refuse(error.to_string()))),
                },
            };
            self.put(model, most, shared).map(Some).map_err(|error| {
                if let (Some(purse), Some(ticket)) = (&self.shared, shared) {
                    purse.give_back(ticket);
                }
                refused(error)
            })
        })
    }

    fn changes(&self) -> watch::Receiver<()> {
        // Nothing has to wait for what this call puts aside itself.
        self.shared.as_ref().map_or_else(|| self.changed.subscribe(), |purse| purse.changes())
    }

    fn bill(&self, ticket: i64, completion: &mut Completion) {
        let shared = self.settle(ticket, |model, most| {
            let mut took = Usage {
                prompt_tokens: completion.prompt_tokens as u64,
                completion_tokens: completion.completion_tokens as u64,
                usd: 0.0,
                requests: 1,
            };
            let price = self.prices.of(model, took.prompt_tokens);
            took.usd = completion.usd.or_else(|| price.map(|price| dollars(price.of(completion)))).unwrap_or(0.0);
            if completion.estimated {
                // What nobody counted may have been as much as it could be.
                took.prompt_tokens = took.prompt_tokens.max(most.prompt_tokens);
                took.completion_tokens = took.completion_tokens.max(most.completion_tokens);
                took.usd = completion.usd.unwrap_or_else(|| took.usd.max(most.usd));
            }
            took
        });
        if let Some((purse, ticket)) = shared {
            purse.bill(ticket, completion);
        }
    }

    fn give_back(&self, ticket: i64) {
        if let Some((purse, ticket)) = self.settle(ticket, |_, _| Usage::default()) {
            purse.give_back(ticket);
        }
    }

    fn keep(&self, ticket: i64) {
        if let Some((purse, ticket)) = self.settle(ticket, |_, most| most) {
            purse.keep(ticket);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "millionths of dollars")]
fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}
