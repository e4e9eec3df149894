//! What can be called: the one trait, and what the harness itself can make a component of.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CallError, Class, Context};
use crate::schema::Schema;

/// A boxed future, so that [`Component`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A side of the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A model: the same input may get another answer next time.
    Model,
    /// Rust.
    Code,
    /// Rust that may abstain, and then a model.
    Hybrid,
    /// A stand-in of a test.
    Double,
}

impl Side {
    /// The side as it is written in records, e.g. `model`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Code => "code",
            Self::Hybrid => "hybrid",
            Self::Double => "double",
        }
    }

    /// Whether the same input always gets the same answer.
    pub fn is_deterministic(self) -> bool {
        matches!(self, Self::Code | Self::Double)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What is known of a component before it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The side it is on.
    pub side: Side,
    /// What it does, in words: what a model reads that may call it as a tool.
    pub description: String,
    /// What it takes. An input that does not fit never reaches it.
    pub input: Schema,
    /// What it gives. An answer that does not fit never reaches its caller.
    pub output: Schema,
    /// The model that answers, as `provider/name`.
    pub model: Option<String>,
    /// SHA-256 of the artifact, or of all that the model's answers depend on; in hex. What is cached is kept by it.
    pub digest: Option<String>,
    /// The components that it may call; `None`: all of them.
    pub tools: Option<Vec<String>>,
}

impl About {
    /// A component on `side` of which nothing else is known.
    pub fn on(side: Side) -> Self {
        Self {
            side,
            description: String::new(),
            input: Schema::any(),
            output: Schema::any(),
            model: None,
            digest: None,
            tools: None,
        }
    }
}

/// What a call took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// US dollars.
    pub usd: f64,
    /// Requests to models.
    pub requests: u64,
}

impl Usage {
    /// Prompt and completion tokens together.
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.usd += other.usd;
        self.requests = self.requests.saturating_add(other.requests);
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The output.
    pub value: Value,
    /// The side that gave it, where it is not the component's own: a hybrid says which half it was.
    pub side: Option<Side>,
    /// The model that gave it, where it is not the component's own.
    pub model: Option<String>,
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { value, side: None, model: None }
    }
}

/// How a component ended that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With an answer.
    Answer(Answer),
    /// It has none, and leaves the question to whoever is behind it.
    Abstained,
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Self::Answer(value.into())
    }
}

/// Something that can be called by name.
///
/// ```
/// # use llmc::harness::{About, BoxFuture, CallError, Component, Context, Harness, Outcome, Side};
/// # use serde_json::Value;
/// struct Echo(About);
///
/// impl Component for Echo {
///     fn about(&self) -> &About {
///         &self.0
///     }
///
///     fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
///         Box::pin(async move { Ok(input.into()) })
///     }
/// }
///
/// let harness = Harness::builder().component("echo", Echo(About::on(Side::Code))).build()?;
/// # Ok::<(), llmc::harness::BuildError>(())
/// ```
pub trait Component: Send + Sync {
    /// What is known of it before it is called.
    fn about(&self) -> &About;

    /// Answers one input. What it calls itself, it calls through `ctx`; what it takes of a budget, it tells `ctx`.
    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>>;

    /// What watches it, where it is the harness's own kind of hybrid.
    #[doc(hidden)]
    fn auditor(&self) -> Option<&super::audit::Auditor> {
        None
    }
}

/// Code that llmc wrote, as `generated::register` hands it over: from JSON to JSON, `None` where it abstains.
pub type Frozen = fn(Value) -> Result<Option<Value>, String>;

/// A shared Rust function behind JSON.
type Direct = Box<dyn Fn(Value) -> Result<Option<Value>, Fault> + Send + Sync>;
/// The same, asynchronous.
type Waiting = Box<dyn Fn(Context, Value) -> BoxFuture<'static, Result<Option<Value>, Fault>> + Send + Sync>;

/// What a function did instead of answering.
pub(super) enum Fault {
    /// It failed.
    Own(Class, String),
    /// It passes on what a call of its own failed with.
    Passed(Box<CallError>),
}

/// A Rust function.
pub(super) struct Native<F> {
    about: About,
    name: String,
    function: F,
}

fn take<I: DeserializeOwned>(input: Value) -> Result<I, Fault> {
    serde_json::from_value(input).map_err(|error| Fault::Own(Class::Input, format!("the input does not fit: {error}")))
}

fn give<O: Serialize, E: fmt::Display + 'static>(answer: Result<O, E>) -> Result<Value, Fault> {
    let output = answer.map_err(|error| match (&error as &dyn Any).downcast_ref::<CallError>() {
        Some(passed) => Fault::Passed(Box::new(passed.clone())),
        None => Fault::Own(Class::Failed, error.to_string()),
    })?;
    serde_json::to_value(output)
        .map_err(|error| Fault::Own(Class::FormatViolation, format!("the answer is no JSON: {error}")))
}

impl Native<Direct> {
    pub(super) fn new<I, O, E, F>(name: &str, about: About, function: F) -> Self
    where
        I: DeserializeOwned,
        O: Serialize,
        E: fmt::Display + 'static,
        F: Fn(I) -> Result<O, E> + Send + Sync + 'static,
    {
        let function: Direct = Box::new(move |input| give(function(take(input)?)).map(Some));
        Self { about, name: name.to_owned(), function }
    }

    /// Code that may abstain.
    pub(super) fn partial<I, O, F>(name: &str, about: About, function: F) -> Self
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I) -> Option<O> + Send + Sync + 'static,
    {
        let function: Direct = Box::new(move |input| match function(take(input)?) {
            Some(output) => give(Ok::<_, fmt::Error>(output)).map(Some),
            None => Ok(None),
        });
        Self { about, name: name.to_owned(), function }
    }

    pub(super) fn frozen(name: &str, about: About, function: Frozen) -> Self {
        let function: Direct =
            Box::new(move |input| function(input).map_err(|message| Fault::Own(Class::Failed, message)));
        Self { about, name: name.to_owned(), function }
    }
}

impl Native<Waiting> {
    pub(super) fn asynchronous<I, O, E, F, R>(name: &str, about: About, function: F) -> Self
    where
        I: DeserializeOwned,
        O: Serialize,
        E: fmt::Display + 'static,
        F: Fn(Context, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, E>> + Send + 'static,
    {
        let function: Waiting = Box::new(move |ctx, input| match take(input) {
            Ok(input) => {
                let running = function(ctx, input);
                Box::pin(async move { give(running.await).map(Some) })
            }
            Err(fault) => Box::pin(async move { Err(fault) }),
        });
        Self { about, name: name.to_owned(), function }
    }
}

impl<F> Native<F> {
    fn outcome(&self, result: std::thread::Result<Result<Option<Value>, Fault>>) -> Result<Outcome, CallError> {
        match result {
            Ok(Ok(Some(value))) => Ok(value.into()),
            Ok(Ok(None)) => Ok(Outcome::Abstained),
            Ok(Err(Fault::Own(class, message))) => Err(CallError::new(&self.name, class, message)),
            Ok(Err(Fault::Passed(error))) => Err(*error),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no text");
                Err(CallError::new(&self.name, Class::Panicked, format!("it panicked: {text}")))
            }
        }
    }
}

impl Component for Native<Direct> {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move { self.outcome(catch_unwind(AssertUnwindSafe(|| (self.function)(input)))) })
    }
}

impl Component for Native<Waiting> {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let started = catch_unwind(AssertUnwindSafe(|| (self.function)(ctx.clone(), input)));
            let result = match started {
                Ok(mut running) => {
                    std::future::poll_fn(move |waker| {
                        match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(waker))) {
                            Ok(Poll::Pending) => Poll::Pending,
                            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
                            Err(panic) => Poll::Ready(Err(panic)),
                        }
                    })
                    .await
                }
                Err(panic) => Err(panic),
            };
            self.outcome(result)
        })
    }
}

/// A stand-in for a component in a test: it says what it is told to, in order, and keeps what it was asked.
///
/// ```
/// # use llmc::harness::{Double, Harness};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let double = Double::always("urgent");
/// let harness = Harness::builder().component("classify", double.clone()).build()?;
/// let label: String = harness.run().call("classify", "the server is on fire").await?;
/// assert_eq!(label, "urgent");
/// assert_eq!(double.asked(), ["the server is on fire"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Double(Arc<DoubleState>);

struct DoubleState {
    about: About,
    script: Script,
    asked: Mutex<Vec<Value>>,
}

/// What a double says: an answer, or why there is none.
type Line = Result<Value, (Class, String)>;

/// How a double knows what to say.
enum Script {
    Always(Line),
    InOrder(Mutex<VecDeque<Value>>),
    ByInput(Box<dyn Fn(&Value) -> Line + Send + Sync>),
}

impl Double {
    fn new(script: Script) -> Self {
        Self(Arc::new(DoubleState { about: About::on(Side::Double), script, asked: Mutex::default() }))
    }

    /// One that always gives the same answer.
    ///
    /// # Panics
    /// Where `answer` can't be written as JSON.
    pub fn always(answer: impl Serialize) -> Self {
        Self::new(Script::Always(Ok(json(answer))))
    }

    /// One that gives these answers in order, and then fails.
    ///
    /// # Panics
    /// Where an answer can't be written as JSON.
    pub fn sequence<T: Serialize>(answers: impl IntoIterator<Item = T>) -> Self {
        Self::new(Script::InOrder(Mutex::new(answers.into_iter().map(json).collect())))
    }

    /// One that always fails.
    pub fn failing(class: Class, message: impl Into<String>) -> Self {
        Self::new(Script::Always(Err((class, message.into()))))
    }

    /// One that says what `answer` makes of the input: an answer, or a class of error and what is said of it.
    pub fn by_input(answer: impl Fn(&Value) -> Result<Value, (Class, String)> + Send + Sync + 'static) -> Self {
        Self::new(Script::ByInput(Box::new(answer)))
    }

    /// The inputs it was asked, in order.
    pub fn asked(&self) -> Vec<Value> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn json(answer: impl Serialize) -> Value {
    serde_json::to_value(answer).expect("a test's answer can be written as JSON")
}

impl Component for Double {
    fn about(&self) -> &About {
        &self.0.about
    }

    fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        let answer = match &self.0.script {
            Script::Always(line) => line.clone(),
            Script::InOrder(answers) => {
                let next = answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                next.ok_or_else(|| (Class::Failed, "the double has no answer left".to_owned()))
            }
            Script::ByInput(answer) => answer(&input),
        };
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).push(input);
        Box::pin(async move {
            answer.map(Outcome::from).map_err(|(class, message)| CallError::new("double", class, message))
        })
    }
}

impl<C: Component + ?Sized> Component for Arc<C> {
    fn about(&self) -> &About {
        (**self).about()
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        (**self).call(ctx, input)
    }

    fn auditor(&self) -> Option<&super::audit::Auditor> {
        (**self).auditor()
    }
}
