//! A call, from its caller to the component and back.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::approval::{Question, approve};
use super::replay::Found;
use super::run::Run;
use super::{
    Answer, Aside, Attempt, Audited, Began, BoxFuture, Budget, CallError, Class, Crossing, Decision, Description,
    Entry, Harness, Inner, MAIN, Origin, Outcome, Side, Usage, record,
};
use crate::schema::same;

/// Who is calling: a run's own code, or a component that was called itself. Cheap to clone.
///
/// A component's context ends with its call: what it keeps of it can call nothing any more.
#[derive(Clone)]
pub struct Context(Arc<Frame>);

struct Frame {
    harness: Arc<Inner>,
    run: Arc<Run>,
    /// The component whose calls these are; absent for a run's own code.
    entry: Option<Arc<Entry>>,
    above: Option<Context>,
    /// The number of the component's own call.
    id: Option<u64>,
    /// Its number in the record that is replayed.
    recorded: Option<u64>,
    depth: usize,
    own: Mutex<Own>,
    /// What this context's calls took, and all that they made.
    account: Arc<Mutex<Usage>>,
    is_over: AtomicBool,
}

/// What a component says of its own call while it lasts.
#[derive(Default)]
struct Own {
    usage: Usage,
    attempts: Vec<Attempt>,
    audit: Option<Audited>,
}

impl Context {
    pub(super) fn main(harness: Arc<Inner>, run: Arc<Run>) -> Self {
        Self(Arc::new(Frame {
            harness,
            run,
            entry: None,
            above: None,
            id: None,
            recorded: None,
            depth: 0,
            own: Mutex::default(),
            account: Arc::default(),
            is_over: AtomicBool::new(false),
        }))
    }

    fn below(&self, entry: &Arc<Entry>, id: u64, recorded: Option<u64>) -> Self {
        Self(Arc::new(Frame {
            harness: self.0.harness.clone(),
            run: self.0.run.clone(),
            entry: Some(entry.clone()),
            above: Some(self.clone()),
            id: Some(id),
            recorded,
            depth: self.0.depth + 1,
            own: Mutex::default(),
            account: self.0.account.clone(),
            is_over: AtomicBool::new(false),
        }))
    }

    /// Calls a component.
    ///
    /// Whatever can be written as JSON goes in, and what its JSON can be read as comes out. A component that takes
    /// several arguments takes a tuple: `ctx.call("add", (1, 2))`.
    ///
    /// # Errors
    /// Whatever kept the answer away: [`CallError::class`] says what, [`CallError::side`] on which side it arose.
    pub async fn call<O: DeserializeOwned>(&self, name: &str, input: impl Serialize) -> Result<O, CallError> {
        let input = serde_json::to_value(input).map_err(|error| {
            self.refused(name, Class::Input, format!("the input can't be written as JSON: {error}"))
        })?;
        let output = self.call_value(name, input).await?;
        serde_json::from_value(output).map_err(|error| {
            let message = format!("its answer is not what the caller reads it as: {error}");
            self.refused(name, Class::FormatViolation, message)
        })
    }

    /// Calls a component with JSON.
    ///
    /// # Errors
    /// As [`Context::call`].
    pub async fn call_value(&self, name: &str, input: Value) -> Result<Value, CallError> {
        self.call_answer(name, input).await.map(|answer| answer.value)
    }

    /// Calls a component with JSON, and hears which side answered and, where one did, which model.
    ///
    /// # Errors
    /// As [`Context::call`].
    pub async fn call_answer(&self, name: &str, input: Value) -> Result<Answer, CallError> {
        let frame = &*self.0;
        if frame.is_over.load(Ordering::Acquire) {
            return Err(self.refused(name, Class::Cancelled, "the call whose context this is has ended"));
        }
        let Some(entry) = frame.harness.entries.get(name) else {
            return Err(self.refused(name, Class::Unknown, self.unknown(name)));
        };
        if let Some(caller) = &frame.entry
            && let Some(tools) = &caller.about().tools
            && !tools.iter().any(|tool| tool == name)
        {
            let message = format!("it is not among the tools of `{}`", caller.name);
            return Err(self.refused(name, Class::NotATool, message));
        }
        if frame.depth >= frame.run.depth {
            let message = format!("components called each other more than {} deep", frame.run.depth);
            return Err(self.refused(name, Class::Depth, message));
        }
        if *frame.run.cancelled.borrow() {
            return Err(self.refused(name, Class::Cancelled, "the run was cancelled"));
        }
        let id = frame.run.number(name).map_err(|error| self.placed(error))?;
        self.cross(entry, id, input).await
    }

    /// The call itself, and its record.
    async fn cross(&self, entry: &Arc<Entry>, id: u64, input: Value) -> Result<Answer, CallError> {
        let frame = &*self.0;
        let about = entry.about();
        let recorders = &frame.harness.recorders;
        for recorder in recorders {
            let (run, parent, model) = (&frame.run.name, frame.id, about.model.as_deref());
            recorder.began(&Began { run, id, parent, component: &entry.name, side: about.side, model });
        }
        let started = (!recorders.is_empty()).then(record::now);
        let clock = Instant::now();
        let kept = (!recorders.is_empty()).then(|| input.clone());
        let mut way =
            Way { approval: Decision::Allow, attempts: Vec::new(), from: None, usage: Usage::default(), audit: None };
        let result = self.answer(entry, id, input, &mut way).await;
        let micros = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        let result = result.map_err(|error| self.placed(error));
        let side = match &result {
            Ok(answer) => answer.side.unwrap_or(about.side),
            Err(error) => error.side.unwrap_or(about.side),
        };
        // What was refused before it got there says nothing of the component.
        if way.from.is_none() && !matches!(&result, Err(error) if error.side.is_none()) {
            entry.count(micros, side, result.is_err(), way.usage);
        }
        let model = match &result {
            // Code answered: no model did.
            Ok(answer) if side == Side::Code => answer.model.clone(),
            Ok(answer) => answer.model.clone().or_else(|| about.model.clone()),
            Err(_) => about.model.clone(),
        };
        if let Some(input) = kept {
            let crossing = Crossing {
                run: frame.run.name.clone(),
                id,
                parent: frame.id,
                component: entry.name.to_string(),
                side,
                input,
                output: result.as_ref().ok().map(|answer| answer.value.clone()),
                error: result.as_ref().err().cloned(),
                model: model.clone(),
                digest: about.digest.clone(),
                usage: way.usage,
                started: started.unwrap_or_default(),
                micros,
                attempts: way.attempts,
                approval: way.approval,
                from: way.from,
                audit: way.audit,
            };
            // All of them hear of it, whatever becomes of the first.
            let kept: Vec<Result<(), String>> = recorders.iter().map(|recorder| recorder.ended(&crossing)).collect();
            if let Some(why) = kept.into_iter().find_map(Result::err) {
                let message = format!("the call could not be recorded: {why}");
                return Err(self.refused(&entry.name, Class::Record, message));
            }
        }
        result.map(|answer| Answer { side: Some(side), model, ..answer })
    }

    /// From the input to an answer, wherever it comes from.
    async fn answer(&self, entry: &Arc<Entry>, id: u64, input: Value, way: &mut Way) -> Result<Answer, CallError> {
        let frame = &*self.0;
        if let Err(mismatch) = entry.takes(&input) {
            return Err(CallError::new(&*entry.name, Class::Input, format!("the input does not fit: {mismatch}")));
        }
        way.approval = self.approved(entry, &input).await?;
        let mut recorded = None;
        if let Some(replaying) = &frame.run.replaying {
            match replaying.find(frame.recorded, &entry.name, &input) {
                Found::Recorded(crossing) => {
                    way.from = Some(Origin::Replay);
                    return match (crossing.output, crossing.error) {
                        (Some(value), _) => Ok(Answer { value, side: Some(crossing.side), model: crossing.model }),
                        (None, Some(error)) => Err(error),
                        (None, None) => {
                            Err(CallError::new(&*entry.name, Class::Diverged, "its record holds no answer"))
                        }
                    };
                }
                Found::Live(number) => recorded = number,
                Found::Nothing => {
                    let message = "the recorded run holds no such call: another input, or another order";
                    return Err(CallError::new(&*entry.name, Class::Diverged, message));
                }
            }
        }
        let key = (entry.handling.cache && !frame.run.fresh)
            .then(|| format!("{}\n{input}", entry.about().digest.as_deref().unwrap_or_default()));
        if let Some(answer) = key.as_deref().and_then(|key| entry.cached(key)) {
            way.from = Some(Origin::Cache);
            return Ok(answer);
        }
        let answer = self.try_all(entry, id, recorded, input, way).await?;
        if let Some(key) = key {
            entry.keep(key, answer.clone());
        }
        Ok(answer)
    }

    async fn approved(&self, entry: &Entry, input: &Value) -> Result<Decision, CallError> {
        let harness = &self.0.harness;
        if harness.rules.is_empty() {
            return Ok(Decision::Allow);
        }
        let chain = self.chain();
        let question = || Question {
            component: entry.name.to_string(),
            description: entry.about().description.clone(),
            chain: chain.clone(),
            input: input.clone(),
        };
        let approver = harness.approver.as_deref();
        let asking = approve(&harness.rules, approver, &self.0.run.remembered, question, (&entry.name, &chain, input));
        let cancelled =
            || CallError::new(&*entry.name, Class::Cancelled, "the run was cancelled while somebody was asked");
        self.unless_cancelled(asking).await.ok_or_else(cancelled)?
    }

    /// The attempts, and what is fallen back on.
    async fn try_all(
        &self,
        entry: &Arc<Entry>,
        id: u64,
        recorded: Option<u64>,
        input: Value,
        way: &mut Way,
    ) -> Result<Answer, CallError> {
        let fallback = &entry.handling.fallback;
        // Kept only for those that may need it again: most calls are tried once.
        let spare = (entry.handling.retries > 0 || !fallback.is_empty()).then(|| input.clone());
        let mut input = Some(input);
        let mut first_error = None;
        let others = fallback.iter().filter_map(|name| self.0.harness.entries.get(name));
        for (number, target) in std::iter::once(entry).chain(others).enumerate() {
            if number > 0 {
                let given = spare.as_ref().unwrap_or(&Value::Null);
                // Its own rules and its own schema hold for it.
                let wrong = match target.takes(given) {
                    Ok(()) => self.approved(target, given).await.err(),
                    Err(mismatch) => Some(CallError::new(&*target.name, Class::Input, mismatch.to_string())),
                };
                if let Some(error) = wrong {
                    way.attempts.push(Attempt {
                        component: target.name.to_string(),
                        error: Some(error),
                        output: None,
                        micros: 0,
                    });
                    continue;
                }
            }
            let retries = if number == 0 { entry.handling.retries } else { 0 };
            for _ in 0..=retries {
                let Some(input) = input.take().or_else(|| spare.clone()) else { break };
                let clock = Instant::now();
                match self.attempt(target, id, recorded, input, way).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        let micros = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
                        let may_pass = error.class.may_pass();
                        let kept = Some(error.clone());
                        way.attempts.push(Attempt {
                            component: target.name.to_string(),
                            error: kept,
                            output: None,
                            micros,
                        });
                        first_error.get_or_insert(error);
                        if !may_pass {
                            break;
                        }
                    }
                }
            }
        }
        let error = first_error.unwrap_or_else(|| CallError::new(&*entry.name, Class::Failed, "nothing was tried"));
        if way.attempts.len() == 1 {
            // The crossing's own error says it already.
            way.attempts.clear();
        }
        Err(error)
    }

    /// One attempt: one answer, or a vote.
    async fn attempt(
        &self,
        entry: &Arc<Entry>,
        id: u64,
        recorded: Option<u64>,
        input: Value,
        way: &mut Way,
    ) -> Result<Answer, CallError> {
        let Some(vote) = entry.handling.vote else {
            return self.once(entry, id, recorded, input, way).await;
        };
        let mut running: Vec<(Context, BoxFuture<'_, Result<Answer, CallError>>)> = Vec::new();
        for _ in 0..vote.of {
            let (below, input) = (self.below(entry, id, recorded), input.clone());
            let context = below.clone();
            running.push((context, Box::pin(async move { below.enter(entry, input).await })));
        }
        let mut counted: Vec<(Answer, usize)> = Vec::new();
        let mut errors = Vec::new();
        while !running.is_empty() {
            let (at, result) = next(&mut running).await;
            let (context, _) = running.swap_remove(at);
            context.close(way);
            match result {
                Ok(answer) => match counted.iter_mut().find(|(other, _)| same(&other.value, &answer.value)) {
                    Some((_, votes)) => *votes += 1,
                    None => counted.push((answer, 1)),
                },
                Err(error) => errors.push(error),
            }
            let most = counted.iter().map(|(_, votes)| *votes).max().unwrap_or(0);
            // Decided, or no longer to be decided: what is still asked is dropped.
            if most >= vote.agree || most + running.len() < vote.agree {
                break;
            }
        }
        for (context, dropped) in running {
            drop(dropped);
            context.close(way);
        }
        let attempts = errors.iter().map(|error| (Some(error.clone()), None));
        let at = counted.iter().enumerate().max_by_key(|(at, (_, votes))| (*votes, usize::MAX - at)).map(|(at, _)| at);
        let leader = at.map(|at| counted.swap_remove(at));
        let others = counted.iter().flat_map(|(answer, votes)| (0..*votes).map(|_| (None, Some(answer.value.clone()))));
        let component = entry.name.to_string();
        let kept = attempts.chain(others);
        way.attempts.extend(kept.map(|(error, output)| Attempt {
            component: component.clone(),
            error,
            output,
            micros: 0,
        }));
        match leader {
            Some((answer, votes)) if votes >= vote.agree => Ok(answer),
            Some((_, votes)) => {
                let message =
                    format!("at most {votes} answers were the same, {} of {} are wanted", vote.agree, vote.of);
                Err(CallError::new(&*entry.name, Class::Disagreement, message).on(entry.about().side))
            }
            None => Err(errors.into_iter().next().unwrap_or_else(|| {
                CallError::new(&*entry.name, Class::Failed, "there was no vote").on(entry.about().side)
            })),
        }
    }

    async fn once(
        &self,
        entry: &Arc<Entry>,
        id: u64,
        recorded: Option<u64>,
        input: Value,
        way: &mut Way,
    ) -> Result<Answer, CallError> {
        let below = self.below(entry, id, recorded);
        let result = below.enter(entry, input).await;
        below.close(way);
        result
    }

    /// The component itself, within its limits. `self` is its own context.
    async fn enter(&self, entry: &Arc<Entry>, input: Value) -> Result<Answer, CallError> {
        let about = entry.about();
        let closing = Closing(self);
        let error = |class, message: String| CallError::new(&*entry.name, class, message).on(about.side);
        // Whoever waits for one that it set in motion itself would wait for ever.
        let _place = match &entry.places {
            Some(places) if !self.is_within(entry) => {
                let waiting = places.acquire();
                Some(self.unless_cancelled(waiting).await.ok_or_else(|| {
                    CallError::new(&*entry.name, Class::Cancelled, "the run was cancelled while it waited for its turn")
                })?)
            }
            _ => None,
        };
        let mut calling = entry.component.call(self, input);
        let now = std::future::poll_fn(|waker| Poll::Ready(calling.as_mut().poll(waker))).await;
        let result = match now {
            // Code that never waits needs no clock and nobody who listens.
            Poll::Ready(result) => Some(Some(result)),
            Poll::Pending => match entry.handling.timeout {
                Some(limit) => tokio::time::timeout(limit, self.unless_cancelled(calling)).await.ok(),
                None => Some(self.unless_cancelled(calling).await),
            },
        };
        drop(closing);
        let answer = match result {
            Some(Some(Ok(Outcome::Answer(answer)))) => answer,
            Some(Some(Ok(Outcome::Abstained))) => {
                return Err(error(Class::Abstained, "the code abstained, and no model is behind it".to_owned()));
            }
            Some(Some(Err(mut wrong))) => {
                // What it passes on of a call of its own says already where it arose.
                if wrong.chain.is_empty() {
                    wrong.component = entry.name.to_string();
                    wrong.side.get_or_insert(about.side);
                }
                return Err(wrong);
            }
            Some(None) => return Err(error(Class::Cancelled, "the run was cancelled".to_owned())),
            None => {
                let limit = entry.handling.timeout.unwrap_or(Duration::ZERO);
                return Err(error(Class::TimedOut, format!("no answer within {limit:?}")));
            }
        };
        entry.gives(&answer.value).map_err(|mismatch| {
            error(Class::FormatViolation, format!("the answer does not fit: {mismatch}"))
                .on(answer.side.unwrap_or(about.side))
        })?;
        Ok(answer)
    }

    /// Waits for `future`, or until the run is cancelled.
    async fn unless_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut cancelled = self.0.run.cancelled.subscribe();
        let mut cancelled = std::pin::pin!(async move { cancelled.wait_for(|is| *is).await.is_ok() });
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(move |waker| {
            if let Poll::Ready(output) = future.as_mut().poll(waker) {
                return Poll::Ready(Some(output));
            }
            match cancelled.as_mut().poll(waker) {
                Poll::Ready(true) => Poll::Ready(None),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Whether an outer call is of the same component.
    fn is_within(&self, entry: &Arc<Entry>) -> bool {
        let mut above = self.0.above.as_ref();
        while let Some(context) = above {
            if context.0.entry.as_ref().is_some_and(|other| Arc::ptr_eq(other, entry)) {
                return true;
            }
            above = context.0.above.as_ref();
        }
        false
    }

    fn close(&self, way: &mut Way) {
        self.0.is_over.store(true, Ordering::Release);
        let mut own = self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
        way.usage += std::mem::take(&mut own.usage);
        way.attempts.append(&mut own.attempts);
        way.audit = own.audit.take().or_else(|| way.audit.take());
    }

    /// The callers' names, from [`MAIN`] to this one.
    pub fn chain(&self) -> Vec<String> {
        let mut chain = Vec::with_capacity(self.0.depth + 1);
        let mut next = Some(self);
        while let Some(context) = next {
            chain.push(context.0.entry.as_ref().map_or(MAIN, |entry| &entry.name).to_owned());
            next = context.0.above.as_ref();
        }
        chain.reverse();
        chain
    }

    fn placed(&self, mut error: CallError) -> CallError {
        if error.chain.is_empty() {
            error.chain = self.chain();
            error.chain.push(error.component.clone());
        }
        error
    }

    fn refused(&self, name: &str, class: Class, message: impl Into<String>) -> CallError {
        self.placed(CallError::new(name, class, message))
    }

    fn unknown(&self, name: &str) -> String {
        let mut names: Vec<&str> = self.0.harness.entries.keys().map(String::as_str).collect();
        names.sort_unstable();
        let like = names
            .iter()
            .find(|other| other.eq_ignore_ascii_case(name) || other.replace('-', "_") == name.replace('-', "_"));
        match (like, names.len()) {
            (Some(like), _) => format!("no component is called that; did you mean `{like}`?"),
            (None, 0) => "no component is called that: none is registered".to_owned(),
            (None, 1..=8) => format!("no component is called that; there are {}", names.join(", ")),
            (None, more) => format!("none of the {more} components is called that"),
        }
    }

    /// What is known of a component, and what its calls so far took.
    pub fn describe(&self, name: &str) -> Option<Description> {
        Harness(self.0.harness.clone()).describe(name)
    }

    /// What the component whose context this is may call, sorted by name; for a run's own code, all there are.
    pub fn tools(&self) -> Vec<Description> {
        let entries = &self.0.harness.entries;
        let mut tools: Vec<Description> = match self.0.entry.as_ref().and_then(|entry| entry.about().tools.as_ref()) {
            Some(names) => names.iter().filter_map(|name| Some(entries.get(name)?.describe())).collect(),
            None => entries.values().map(|entry| entry.describe()).collect(),
        };
        tools.sort_by(|one, other| one.name.cmp(&other.name));
        tools
    }

    /// The run's name, as it is recorded.
    pub fn run_name(&self) -> &str {
        &self.0.run.name
    }

    /// Whether every answer has to be a new one.
    pub fn is_fresh(&self) -> bool {
        self.0.run.fresh
    }

    /// Ends the run: calls that wait end with an error, and none begins any more.
    pub fn cancel(&self) {
        self.0.run.cancelled.send_replace(true);
    }

    /// What the run's calls took so far, with what is put aside for those under way.
    pub fn spent(&self) -> Usage {
        self.0.run.spent()
    }

    /// The same run's own code, with an account of its own: what calls take that are made through this context, others
    /// that are under way aside, [`Context::taken`] says. For a component's context it is the context itself.
    pub fn apart(&self) -> Self {
        match self.0.entry {
            None => Self::main(self.0.harness.clone(), self.0.run.clone()),
            Some(_) => self.clone(),
        }
    }

    /// What the calls took that were made through this context, and those that they made.
    pub fn taken(&self) -> Usage {
        *self.0.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts aside the most that a request can take, before it is sent.
    ///
    /// # Errors
    /// Of [`Class::Budget`], where the run has not that much left.
    pub fn put_aside(&self, most: Usage) -> Result<Aside, CallError> {
        self.0.run.put_aside(self.name(), most, &self.0.account)
    }

    /// Says what this call took; what was put aside for it is settled.
    pub fn took(&self, aside: Aside, usage: Usage) {
        aside.settle(usage);
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner).usage += usage;
    }

    /// What the run's calls may take together.
    pub fn budget(&self) -> Budget {
        self.0.run.budget()
    }

    /// Says that this call tried something that gave no answer, and goes on: it is recorded with the others.
    pub fn tried(&self, error: CallError, micros: u64) {
        let component = self.name().to_owned();
        let attempt = Attempt { component, error: Some(error), output: None, micros };
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner).attempts.push(attempt);
    }

    pub(super) fn audited(&self, audited: Audited) {
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner).audit = Some(audited);
    }

    fn name(&self) -> &str {
        self.0.entry.as_ref().map_or(MAIN, |entry| &entry.name)
    }
}

/// How a call came to its answer.
struct Way {
    approval: Decision,
    attempts: Vec<Attempt>,
    from: Option<Origin>,
    usage: Usage,
    audit: Option<Audited>,
}

/// Ends a component's context however its call ends, dropped in the middle included.
struct Closing<'a>(&'a Context);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.0.is_over.store(true, Ordering::Release);
    }
}

/// Waits for the first that is ready, and says which.
async fn next<T>(running: &mut [(Context, BoxFuture<'_, T>)]) -> (usize, T) {
    std::future::poll_fn(|waker| {
        for (at, (_, future)) in running.iter_mut().enumerate() {
            if let Poll::Ready(output) = Pin::as_mut(future).poll(waker) {
                return Poll::Ready((at, output));
            }
        }
        Poll::Pending
    })
    .await
}
