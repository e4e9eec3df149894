//! Components for programs that are not Rust, and for agents: as MCP tools over standard input and output, and over
//! HTTP on this machine.
//!
//! Every call is a run of its own. Whoever goes away cancels what it asked for; nobody waits for ever, and nothing that
//! a client sends is kept without a limit. Nothing here prints or reads the environment.

mod access;
mod http;
mod mcp;
mod patience;
mod stdio;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::harness::{Answer, CallError, Class, Context, Description, Harness, RunOptions, Usage};

pub use access::{Access, BadToken, Token};
pub use http::http;
pub use stdio::{Ended, stdio};

/// What whoever calls may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message: a line, or a body.
    pub message: usize,
    /// Calls at once; others wait.
    pub calls: usize,
    /// How long a call may take, its wait included.
    pub call: Duration,
    /// Requests that a client may have under way over standard input; more are refused.
    pub waiting: usize,
    /// Requests in a batch.
    pub batch: usize,
    /// Connections at once; others wait to be accepted.
    pub connections: usize,
    /// Bytes of the head of a request.
    pub head_size: usize,
    /// How long a connection may be idle, and how long the head of a request may take.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a client may take nothing of what it is sent.
    pub patience: Duration,
    /// How long what is under way may go on once the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            calls: 64,
            call: Duration::from_secs(600),
            waiting: 256,
            batch: 64,
            connections: 128,
            head_size: 16 << 10,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            patience: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// Components that are served, and the limits on it. Cheap to clone.
#[derive(Clone)]
pub struct Served(Arc<Inner>);

struct Inner {
    harness: Harness,
    /// Sorted.
    names: Vec<String>,
    run: RunOptions,
    limits: Limits,
    places: Arc<Semaphore>,
}

/// A name that no component has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no component is called `{name}`; there are {}", list(.names))]
pub struct NoSuchComponent {
    /// The name.
    pub name: String,
    /// Those that there are.
    pub names: Vec<String>,
}

/// How a call ended.
struct Done {
    /// The run's name, as it is in the ledger.
    run: String,
    usage: Usage,
    result: Result<Answer, CallError>,
}

impl Served {
    /// Serves the components called `names`, all of them where none is named. What is not named can't be called from
    /// outside; those that are served may still call it.
    ///
    /// # Errors
    /// Where a name is not a component's.
    pub fn new(harness: Harness, names: &[String], limits: Limits) -> Result<Self, NoSuchComponent> {
        let all: Vec<String> = harness.names().into_iter().map(str::to_owned).collect();
        if let Some(name) = names.iter().find(|name| !all.contains(name)) {
            return Err(NoSuchComponent { name: name.clone(), names: all });
        }
        let served = all.into_iter().filter(|name| names.is_empty() || names.contains(name)).collect();
        let places = Arc::new(Semaphore::new(limits.calls.clamp(1, Semaphore::MAX_PERMITS)));
        let run = RunOptions::default();
        Ok(Self(Arc::new(Inner { harness, names: served, run, limits, places })))
    }

    /// With limits of each call's run. Its name is not used: every call has one of its own.
    #[must_use]
    pub fn with_run(self, run: RunOptions) -> Self {
        let Inner { harness, names, limits, places, .. } = &*self.0;
        let (harness, names, limits, places) = (harness.clone(), names.clone(), limits.clone(), places.clone());
        Self(Arc::new(Inner { harness, names, run: RunOptions { name: None, ..run }, limits, places }))
    }

    /// The names of what is served, sorted.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    fn describe(&self, name: &str) -> Option<Description> {
        self.0.names.iter().any(|other| other == name).then(|| self.0.harness.describe(name)).flatten()
    }

    fn describe_all(&self) -> Vec<Description> {
        self.0.names.iter().filter_map(|name| self.0.harness.describe(name)).collect()
    }

    /// Calls a component. Whoever drops this before it is ready cancels the call.
    async fn call(&self, name: &str, input: Value) -> Done {
        let context = self.0.harness.run_with(self.0.run.clone());
        let cancelling = Cancelling(context.clone());
        let result = if self.0.names.iter().any(|other| other == name) {
            tokio::time::timeout(self.0.limits.call, self.called(&context, name, input)).await.unwrap_or_else(|_| {
                let message = format!("no answer within the server's {:?}", self.0.limits.call);
                Err(CallError::new(name, Class::TimedOut, message))
            })
        } else {
            let message = format!("no component is called that; there are {}", list(&self.0.names));
            Err(CallError::new(name, Class::Unknown, message))
        };
        drop(cancelling);
        Done { run: context.run_name().to_owned(), usage: context.spent(), result }
    }

    async fn called(&self, context: &Context, name: &str, input: Value) -> Result<Answer, CallError> {
        let place = self.0.places.clone().acquire_owned().await.expect("the places are never closed");
        let (context, called) = (context.clone(), name.to_owned());
        // On its own, so that it ends in order, its record included, where nobody waits for it any more.
        let task = tokio::spawn(async move {
            let _place = place;
            context.call_answer(&called, input).await
        });
        task.await.unwrap_or_else(|_| Err(CallError::new(name, Class::Panicked, "the call panicked")))
    }

    /// Waits until no call is under way any more, at most as long as the limits say.
    async fn settle(&self) {
        let all = u32::try_from(self.0.limits.calls.max(1)).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(self.0.limits.grace, self.0.places.acquire_many(all)).await;
    }
}

/// Cancels a run that nobody waits for any more. A run that is over does not mind.
struct Cancelling(Context);

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn list(names: &[String]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        1..=8 => names.join(", "),
        more => format!("{}, … ({more} in all)", names[..8].join(", ")),
    }
}

/// Whether an error arose in a component further down: then it is not the caller's mistake, whatever its class.
fn is_from_below(error: &CallError) -> bool {
    error.chain.len() > 2
}
