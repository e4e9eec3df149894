//! A run: what its calls may take together, and what is remembered from one to the next.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::approval::Remembered;
use super::replay::Replaying;
use super::{CallError, Class, DEPTH, Replay, Usage, record};

/// What the calls of a run may take together. What is absent has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    /// Calls, those of components by components included.
    pub calls: Option<u64>,
    /// Prompt and completion tokens.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
}

/// How a run goes.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Its name in records; made up where there is none.
    pub name: Option<String>,
    /// What its calls may take.
    pub budget: Budget,
    /// How deep components may call each other; [`DEPTH`] where absent.
    pub depth: Option<usize>,
    /// Whether every answer is a new one: nothing is read from a cache. For tests and measurements.
    pub fresh: bool,
    /// A recorded run, whose answers are given again.
    pub replay: Option<Replay>,
}

pub(super) struct Run {
    pub(super) name: String,
    pub(super) fresh: bool,
    pub(super) depth: usize,
    pub(super) remembered: Remembered,
    pub(super) replaying: Option<Replaying>,
    pub(super) cancelled: watch::Sender<bool>,
    budget: Budget,
    spent: Mutex<Usage>,
    calls: AtomicU64,
}

impl Run {
    pub(super) fn new(options: RunOptions) -> Arc<Self> {
        Arc::new(Self {
            name: options.name.unwrap_or_else(made_up),
            fresh: options.fresh,
            depth: options.depth.unwrap_or(DEPTH),
            remembered: Remembered::default(),
            replaying: options.replay.map(Replaying::new),
            cancelled: watch::Sender::new(false),
            budget: options.budget,
            spent: Mutex::default(),
            calls: AtomicU64::new(0),
        })
    }

    /// The next call's number, from 1; an error where no more are allowed.
    pub(super) fn number(&self, component: &str) -> Result<u64, CallError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.budget.calls {
            Some(most) if number > most => {
                Err(CallError::new(component, Class::Budget, format!("the run may make {most} calls, and made them")))
            }
            _ => Ok(number),
        }
    }

    /// Puts aside the most that something can take.
    pub(super) fn put_aside(self: &Arc<Self>, component: &str, most: Usage) -> Result<Aside, CallError> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut then = *spent;
        then += most;
        if let Some(limit) = self.budget.tokens.filter(|limit| then.tokens() > *limit) {
            let message = format!(
                "it could take {} tokens, and {} of the run's {limit} are left",
                most.tokens(),
                limit.saturating_sub(spent.tokens())
            );
            return Err(CallError::new(component, Class::Budget, message));
        }
        if let Some(limit) = self.budget.usd.filter(|limit| then.usd > *limit) {
            let left = (limit - spent.usd).max(0.0);
            let message = format!("it could cost ${:.4}, and ${left:.4} of the run's ${limit:.4} are left", most.usd);
            return Err(CallError::new(component, Class::Budget, message));
        }
        *spent = then;
        Ok(Aside { run: self.clone(), most })
    }

    /// What its calls may take.
    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    /// What its calls took so far, with what is put aside.
    pub(super) fn spent(&self) -> Usage {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that no other run has: the time, and something random.
fn made_up() -> String {
    // Its keys are random; what is hashed does not matter.
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{:x}-{:08x}", record::now(), random as u32)
}

/// The most that something can take, put aside from a run's budget until it is known what it took.
///
/// Dropped without [`Aside::settle`] it counts as taken whole: what was sent may have been paid for.
#[must_use = "what is put aside stays so until it is settled"]
pub struct Aside {
    run: Arc<Run>,
    most: Usage,
}

impl Aside {
    /// Says what it really took.
    pub fn settle(self, took: Usage) {
        let mut spent = self.run.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.prompt_tokens = spent.prompt_tokens.saturating_sub(self.most.prompt_tokens);
        spent.completion_tokens = spent.completion_tokens.saturating_sub(self.most.completion_tokens);
        spent.requests = spent.requests.saturating_sub(self.most.requests);
        spent.usd = (spent.usd - self.most.usd).max(0.0);
        *spent += took;
    }
}
