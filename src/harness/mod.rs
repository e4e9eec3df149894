//! The harness: components are called by name, whatever answers them.
//!
//! Today a model answers, tomorrow Rust, and the line that calls does not change. What does change is told: a call's
//! record, its errors and [`Context::describe`] say which side of the boundary it was on.
//!
//! ```
//! use llmc::harness::Harness;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let harness = Harness::builder().function("shout", |text: String| text.to_uppercase()).build()?;
//!
//! let ctx = harness.run();
//! let text: String = ctx.call("shout", "it is here").await?;
//! assert_eq!(text, "IT IS HERE");
//! # Ok(())
//! # }
//! ```
//!
//! What stands between a call and its answer, in this order: is the component there, and may this caller call it; does
//! the input fit; the approval ([`Rule`], [`Approver`]); a record to replay ([`Replay`]); the cache; the limit on calls
//! at once; the attempts, each with its time limit ([`Handling`]); does the answer fit; the record ([`Recorder`]).

mod approval;
mod audit;
mod component;
mod context;
mod error;
mod hybrid;
#[cfg(feature = "otel")]
mod otel;
mod record;
mod replay;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{Mismatch, Schema};
use component::Native;

pub use approval::{Approver, Decision, Question, Reply, Rule};
pub use audit::{Audit, Audited, Evidence};
pub use component::{About, Answer, BoxFuture, Component, Double, Frozen, Outcome, Side, Usage};
pub use context::Context;
pub use error::{CallError, Class};
#[cfg(feature = "otel")]
pub use otel::Spans;
pub use record::{Attempt, Began, Crossing, Memory, Origin, Recorder};
pub use replay::Replay;
pub use run::{Aside, Budget, RunOptions};

/// What a run's own code is called where its calls' callers are named.
pub const MAIN: &str = "main";
/// How deep components may call each other, unless a run says otherwise.
pub const DEPTH: usize = 8;
/// Most answers that are kept for a component whose answers are cached; the oldest go first.
const CACHED: usize = 10_000;

/// How calls of a component are handled. As it is by default they are neither tried again, nor voted on, nor cached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Handling {
    /// The longest that one attempt may take. It needs a tokio runtime with its timer on.
    pub timeout: Option<Duration>,
    /// How many more attempts there may be where one fails in a way that [may pass](Class::may_pass).
    pub retries: u32,
    /// Components that are tried in its place when all attempts failed, in order. Each needs its own approval.
    pub fallback: Vec<String>,
    /// Several answers, of which enough must be the same.
    pub vote: Option<Vote>,
    /// Calls at once. One that was set in motion by another of the same component does not wait for it.
    pub concurrency: Option<usize>,
    /// Whether an answer is kept for the same input, as long as the component stays the same. Never in a fresh run.
    pub cache: bool,
}

/// Several answers to one call, of which enough must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// How many must be the same, at least 1.
    pub agree: usize,
    /// Of how many at most. They are asked at once.
    pub of: usize,
}

/// Why a harness could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two components have one name.
    #[error("there are two components called `{0}`")]
    Twice(String),
    /// A name is not one.
    #[error("`{0}` is no name for a component: letters, digits, `_`, `-` and `.`, at most 64 of them")]
    Name(String),
    /// A name was used that no component has.
    #[error("`{by}` names `{name}`, and there is no component of that name")]
    Unknown {
        /// What names it.
        by: String,
        /// The name.
        name: String,
    },
    /// Settings that can't be met.
    #[error("`{component}`: {message}")]
    Handling {
        /// The component.
        component: String,
        /// What is wrong.
        message: String,
    },
}

/// Puts a harness together. Its methods take and return `&mut Self`, so that it can be handed to
/// `generated::register` in between.
#[derive(Default)]
pub struct Builder {
    components: Vec<(String, Arc<dyn Component>)>,
    frozen: Vec<(String, &'static str, Frozen)>,
    handling: BTreeMap<String, Handling>,
    schemas: BTreeMap<String, (Schema, Schema)>,
    audits: BTreeMap<String, Audit>,
    rules: Vec<Rule>,
    approver: Option<Arc<dyn Approver>>,
    recorders: Vec<Arc<dyn Recorder>>,
}

impl Builder {
    /// Registers anything that is a [`Component`].
    pub fn component(&mut self, name: impl Into<String>, component: impl Component + 'static) -> &mut Self {
        self.components.push((name.into(), Arc::new(component)));
        self
    }

    /// Registers a Rust function. Several arguments are a tuple: `|(a, b): (u32, u32)| a + b`.
    pub fn function<I, O, F>(&mut self, name: &str, function: F) -> &mut Self
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I) -> O + Send + Sync + 'static,
    {
        self.try_function(name, move |input| Ok::<O, std::convert::Infallible>(function(input)))
    }

    /// Registers a Rust function that may fail.
    pub fn try_function<I, O, E, F>(&mut self, name: &str, function: F) -> &mut Self
    where
        I: DeserializeOwned,
        O: Serialize,
        E: fmt::Display + 'static,
        F: Fn(I) -> Result<O, E> + Send + Sync + 'static,
    {
        self.component(name, Native::new(name, About::on(Side::Code), function))
    }

    /// Registers an asynchronous Rust function that may fail, and that may call other components through its context.
    pub fn async_function<I, O, E, F, R>(&mut self, name: &str, function: F) -> &mut Self
    where
        I: DeserializeOwned,
        O: Serialize,
        E: fmt::Display + 'static,
        F: Fn(Context, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, E>> + Send + 'static,
    {
        self.component(name, Native::asynchronous(name, About::on(Side::Code), function))
    }

    /// Registers Rust that may abstain (`None`), and a component that is then asked: a hybrid.
    pub fn hybrid<I, O, F>(&mut self, name: &str, code: F, model: impl Component + 'static) -> &mut Self
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I) -> Option<O> + Send + Sync + 'static,
    {
        let code = Native::partial(name, About::on(Side::Code), code);
        self.component(name, hybrid::Hybrid::new(name, Arc::new(code), Arc::new(model)))
    }

    /// Registers two components as one: `code` first, and `model` where that abstains.
    pub fn hybrid_of(
        &mut self,
        name: &str,
        code: impl Component + 'static,
        model: impl Component + 'static,
    ) -> &mut Self {
        self.component(name, hybrid::Hybrid::new(name, Arc::new(code), Arc::new(model)))
    }

    /// Registers code that llmc wrote. Where there is (or will be) another component of the same name, the two are a
    /// hybrid: this code first, and the other where it abstains.
    pub fn frozen(&mut self, name: impl Into<String>, digest: &'static str, function: Frozen) -> &mut Self {
        self.frozen.push((name.into(), digest, function));
        self
    }

    /// How calls of `component` are handled.
    pub fn handling(&mut self, component: impl Into<String>, handling: Handling) -> &mut Self {
        self.handling.insert(component.into(), handling);
        self
    }

    /// What calls of `component` take and give, whatever answers them; where that says so itself, both hold.
    ///
    /// A closure or an artifact knows no schema of its own: with this one the same input is refused and the same answer
    /// is none, on either side.
    pub fn schema(&mut self, component: impl Into<String>, input: Schema, output: Schema) -> &mut Self {
        self.schemas.insert(component.into(), (input, output));
        self
    }

    /// Asks the model, too, for a share of what the code of the hybrid `component` answers.
    pub fn audit(&mut self, component: impl Into<String>, audit: Audit) -> &mut Self {
        self.audits.insert(component.into(), audit);
        self
    }

    /// Adds a rule on who may call what.
    pub fn rule(&mut self, rule: Rule) -> &mut Self {
        self.rules.push(rule);
        self
    }

    /// Adds rules on who may call what.
    pub fn rules(&mut self, rules: impl IntoIterator<Item = Rule>) -> &mut Self {
        self.rules.extend(rules);
        self
    }

    /// Who is asked where a rule says so. Without one such a call is denied.
    pub fn approver(&mut self, approver: impl Approver + 'static) -> &mut Self {
        self.shared_approver(Arc::new(approver))
    }

    /// As [`Builder::approver`], with one that others have, too.
    pub fn shared_approver(&mut self, approver: Arc<dyn Approver>) -> &mut Self {
        self.approver = Some(approver);
        self
    }

    /// Adds a recorder: each hears of every crossing.
    pub fn recorder(&mut self, recorder: Arc<dyn Recorder>) -> &mut Self {
        self.recorders.push(recorder);
        self
    }

    /// The harness. The builder is empty afterwards.
    pub fn build(&mut self) -> Result<Harness, BuildError> {
        let Self { components, frozen, mut handling, mut schemas, mut audits, rules, approver, recorders } =
            std::mem::take(self);
        let mut found: BTreeMap<String, Arc<dyn Component>> = BTreeMap::new();
        for (name, component) in components {
            if !is_name(&name) {
                return Err(BuildError::Name(name));
            }
            if found.insert(name.clone(), component).is_some() {
                return Err(BuildError::Twice(name));
            }
        }
        let mut written: BTreeMap<String, Arc<dyn Component>> = BTreeMap::new();
        for (name, digest, function) in frozen {
            if !is_name(&name) {
                return Err(BuildError::Name(name));
            }
            let about = About { digest: Some(digest.to_owned()), ..About::on(Side::Code) };
            let code: Arc<dyn Component> = Arc::new(Native::frozen(&name, about, function));
            if written.insert(name.clone(), code).is_some() {
                return Err(BuildError::Twice(name));
            }
        }
        for (name, code) in written {
            let both = match found.remove(&name) {
                Some(model) => Arc::new(hybrid::Hybrid::new(&name, code, model)),
                None => code,
            };
            found.insert(name, both);
        }
        let mut entries = HashMap::new();
        for (name, component) in &found {
            let handling = handling.remove(name).unwrap_or_default();
            let wrong = |message: &str| BuildError::Handling { component: name.clone(), message: message.to_owned() };
            if handling.concurrency == Some(0) {
                return Err(wrong("no calls at once are allowed"));
            }
            if handling.vote.is_some_and(|vote| vote.agree == 0 || vote.agree > vote.of || vote.of > 100) {
                return Err(wrong("a vote needs from 1 to as many equal answers as there are, and at most 100"));
            }
            if let Some(audit) = audits.remove(name) {
                let Some(hybrid) = component.auditor() else { return Err(wrong("only a hybrid can be audited")) };
                hybrid.set(audit).map_err(|message| wrong(&message))?;
            }
            for other in handling.fallback.iter().chain(component.about().tools.iter().flatten()) {
                if !found.contains_key(other) {
                    return Err(BuildError::Unknown { by: name.clone(), name: other.clone() });
                }
            }
            entries.insert(name.clone(), Arc::new(Entry::new(name, component.clone(), handling, schemas.remove(name))));
        }
        let unknown = [
            handling.keys().next().map(|name| (name, "handling")),
            schemas.keys().next().map(|name| (name, "schema")),
            audits.keys().next().map(|name| (name, "audit")),
        ];
        if let Some((name, by)) = unknown.into_iter().flatten().next() {
            return Err(BuildError::Unknown { by: by.to_owned(), name: name.clone() });
        }
        Ok(Harness(Arc::new(Inner { entries, rules, approver, recorders })))
    }
}

/// So that `generated::register(&mut builder)` needs to know nothing of llmc: name, digest, code.
impl Extend<(&'static str, &'static str, Frozen)> for Builder {
    fn extend<T: IntoIterator<Item = (&'static str, &'static str, Frozen)>>(&mut self, artifacts: T) {
        for (name, digest, function) in artifacts {
            self.frozen(name, digest, function);
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name != MAIN
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "_-.".contains(character))
}

/// Components that can be called by name. Cheap to clone.
#[derive(Clone)]
pub struct Harness(Arc<Inner>);

struct Inner {
    entries: HashMap<String, Arc<Entry>>,
    rules: Vec<Rule>,
    approver: Option<Arc<dyn Approver>>,
    recorders: Vec<Arc<dyn Recorder>>,
}

impl Harness {
    /// Begins one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Begins a run: what it approves is remembered, and what it takes is counted, until it ends.
    pub fn run(&self) -> Context {
        self.run_with(RunOptions::default())
    }

    /// Begins a run with limits of its own.
    pub fn run_with(&self, options: RunOptions) -> Context {
        Context::main(self.0.clone(), run::Run::new(options))
    }

    /// The components' names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.entries.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// What is known of a component, and what its calls so far took.
    pub fn describe(&self, name: &str) -> Option<Description> {
        Some(self.0.entries.get(name)?.describe())
    }
}

/// What a caller may know of what it calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The side it is on.
    pub side: Side,
    /// What it does, in words.
    pub description: String,
    /// JSON Schema of its input; `{}` where anything will do.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
    /// The model behind it, as `provider/name`.
    pub model: Option<String>,
    /// Digest of the artifact, or of what the model's answers depend on.
    pub digest: Option<String>,
    /// Calls so far in this process, by any run; those answered from a cache or a record are not among them.
    pub calls: u64,
    /// Of those, the ones that failed.
    pub errors: u64,
    /// Of those, the ones that code answered.
    pub by_code: u64,
    /// Mean time of a call, in microseconds; absent before the first.
    pub mean_micros: Option<u64>,
    /// What its calls took.
    pub usage: Usage,
    /// How a hybrid's code fares against its model, where that is audited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

impl Description {
    /// Share of the calls that failed, from 0 to 1; absent before the first.
    pub fn error_rate(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of calls")]
        (self.calls > 0).then(|| self.errors as f64 / self.calls as f64)
    }
}

/// A component, and what its calls have come to.
struct Entry {
    name: Arc<str>,
    component: Arc<dyn Component>,
    handling: Handling,
    /// What it takes and gives beside what it says itself.
    schema: Option<(Schema, Schema)>,
    places: Option<tokio::sync::Semaphore>,
    tally: Mutex<Tally>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Tally {
    calls: u64,
    errors: u64,
    by_code: u64,
    micros: u64,
    usage: Usage,
}

#[derive(Default)]
struct Cache {
    answers: HashMap<String, Answer>,
    order: VecDeque<String>,
}

impl Entry {
    fn new(name: &str, component: Arc<dyn Component>, handling: Handling, schema: Option<(Schema, Schema)>) -> Self {
        let places = handling.concurrency.map(tokio::sync::Semaphore::new);
        let (tally, cache) = Default::default();
        Self { name: name.into(), component, handling, schema, places, tally, cache }
    }

    /// Whether an input fits.
    fn takes(&self, input: &Value) -> Result<(), Mismatch> {
        self.about().input.check(input)?;
        self.schema.as_ref().map_or(Ok(()), |(own, _)| own.check(input))
    }

    /// Whether an answer fits.
    fn gives(&self, output: &Value) -> Result<(), Mismatch> {
        self.about().output.check(output)?;
        self.schema.as_ref().map_or(Ok(()), |(_, own)| own.check(output))
    }

    fn about(&self) -> &About {
        self.component.about()
    }

    fn describe(&self) -> Description {
        let about = self.about();
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut input, mut output) = (&about.input, &about.output);
        if let Some((declared_input, declared_output)) = &self.schema {
            input = if input.is_any() { declared_input } else { input };
            output = if output.is_any() { declared_output } else { output };
        }
        Description {
            name: self.name.to_string(),
            side: about.side,
            description: about.description.clone(),
            input: input.to_json(),
            output: output.to_json(),
            model: about.model.clone(),
            digest: about.digest.clone(),
            calls: tally.calls,
            errors: tally.errors,
            by_code: tally.by_code,
            mean_micros: tally.micros.checked_div(tally.calls),
            usage: tally.usage,
            evidence: self.component.auditor().and_then(audit::Auditor::evidence),
        }
    }

    fn count(&self, micros: u64, side: Side, failed: bool, usage: Usage) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.calls += 1;
        tally.errors += u64::from(failed);
        tally.by_code += u64::from(!failed && side == Side::Code);
        tally.micros = tally.micros.saturating_add(micros);
        tally.usage += usage;
    }

    fn cached(&self, key: &str) -> Option<Answer> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).answers.get(key).cloned()
    }

    fn keep(&self, key: String, answer: Answer) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.answers.insert(key.clone(), answer).is_none() {
            cache.order.push_back(key);
        }
        while cache.order.len() > CACHED {
            if let Some(oldest) = cache.order.pop_front() {
                cache.answers.remove(&oldest);
            }
        }
    }
}
