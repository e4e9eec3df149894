//! The caps of a build, of all calls of components, and of a day: what a request can take at most is put aside before it is sent, and nothing is
//! sent that does not fit.
//!
//! The own count of a build, or of all calls, is here, the day's in the ledger, where every process of the workspace sees it. One thread
//! writes there, for all that ask together at the price of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use super::log::in_one_line;
use crate::ledger::{Ledger, LedgerError, Put, Taken};
use crate::model::price::Prices;
use crate::model::purse::{self, Cost, Most, Paid};
use crate::model::{BoxFuture, Completion, Identity, ModelError};
use crate::options::{Day, Plan};
use crate::spec::Whose;

/// Caps, in tokens and in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Tokens of the build or of all calls, those of prompts included.
    pub tokens: Option<u64>,
    /// Money of the build or of all calls.
    pub usd: Option<u64>,
    /// Tokens of the whole workspace on one day.
    pub day_tokens: Option<u64>,
    /// Money of the whole workspace on one day.
    pub day_usd: Option<u64>,
    /// What they are called where they stand, in this order.
    pub names: [&'static str; 4],
}

impl Default for Caps {
    fn default() -> Self {
        let names = ["budget.tokens", "budget.usd", "budget.tokens_per_day", "budget.usd_per_day"];
        Self { tokens: None, usd: None, day_tokens: None, day_usd: None, names }
    }
}

impl Caps {
    /// Those of a plan.
    pub fn of(plan: &Plan) -> Self {
        let caps = Self { tokens: plan.budget.tokens, usd: plan.budget.usd.map(micros), ..Self::default() };
        caps.on(plan.day)
    }

    /// Those of all calls of components together, as flags say them.
    pub fn of_calls(tokens: Option<u64>, usd: Option<f64>, day: Day) -> Self {
        let mut caps = Self { tokens, usd: usd.map(micros), ..Self::default() };
        caps.names[..2].copy_from_slice(&["--max-tokens", "--max-usd"]);
        caps.on(day)
    }

    fn on(mut self, day: Day) -> Self {
        if let Some((tokens, whose)) = day.tokens {
            self.day_tokens = Some(tokens);
            if whose == Whose::User {
                self.names[2] = "budget.tokens_per_day of your own settings";
            }
        }
        if let Some((usd, whose)) = day.usd {
            self.day_usd = Some(micros(usd));
            if whose == Whose::User {
                self.names[3] = "budget.usd_per_day of your own settings";
            }
        }
        self
    }

    /// Whether the day is capped, which takes a ledger.
    pub fn has_day(&self) -> bool {
        self.day_tokens.is_some() || self.day_usd.is_some()
    }

    /// The name of a cap on money, if there is one.
    fn usd_name(&self) -> Option<&'static str> {
        self.usd.map(|_| self.names[1]).or(self.day_usd.map(|_| self.names[3]))
    }

    fn any_name(&self) -> Option<&'static str> {
        let tokens = self.tokens.map(|_| self.names[0]).or(self.day_tokens.map(|_| self.names[2]));
        tokens.or(self.usd_name())
    }
}

/// Millionths of a dollar. Downwards: a cap is never more than it says. What is a whole millionth stays one.
fn micros(usd: f64) -> u64 {
    (usd * 1e6 + 1e-3).floor() as u64
}

/// Tokens and millionths of a dollar, added up.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    tokens: u64,
    usd: u64,
}

impl Sum {
    fn add(&mut self, cost: Cost) {
        self.tokens = self.tokens.saturating_add(cost.tokens);
        self.usd = self.usd.saturating_add(cost.usd_micros.unwrap_or(0));
    }
}

/// What is put aside for a request that is on its way.
struct Open {
    most: Cost,
    model: Identity,
}

#[derive(Default)]
struct State {
    /// What is settled, or will never be told.
    spent: Sum,
    open: HashMap<i64, Open>,
    /// By `provider/name`: how many times more a server told than there could be. Its later requests are measured by that.
    excess: HashMap<String, f64>,
    /// Tickets that are in no ledger count downwards.
    last: i64,
}

struct Inner {
    caps: Caps,
    prices: Prices,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    note: Box<dyn Fn(String) + Send + Sync>,
}

enum Message {
    Aside(Box<Asking>, oneshot::Sender<Result<Option<i64>, ModelError>>),
    Back(i64),
    /// A component's request took this.
    Took(i64, Cost),
    /// Somebody waits until all of the above is written.
    Written(mpsc::Sender<()>),
}

/// Somebody who wants to send a request.
struct Asking {
    component: Option<String>,
    model: Identity,
    most: Most,
    cost: Cost,
}

/// Whether a request may be sent.
enum Answer {
    Yes,
    /// When others that are on their way give something back.
    Later,
    Never(ModelError),
}

/// The purse of one build, or of all calls of components in a harness.
pub struct Purse {
    inner: Arc<Inner>,
    /// To the thread that writes; `None` where there is no ledger, or the build is over.
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Purse {
    /// The purse of a build with these caps, which writes into `ledger` as the build of that number.
    pub fn new(
        caps: Caps,
        prices: Prices,
        ledger: Option<(Arc<Ledger>, i64)>,
        note: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        Self::writing(caps, prices, ledger.map(|(ledger, build)| (ledger, Some(build))), note)
    }

    /// The purse of all calls of components with these caps, which writes into `ledger` beside the builds.
    pub fn of_calls(
        caps: Caps,
        prices: Prices,
        ledger: Option<Arc<Ledger>>,
        note: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        Self::writing(caps, prices, ledger.map(|ledger| (ledger, None)), note)
    }

    fn writing(
        caps: Caps,
        prices: Prices,
        ledger: Option<(Arc<Ledger>, Option<i64>)>,
        note: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        let (changed, note) = (watch::Sender::new(()), Box::new(note));
        let inner = Arc::new(Inner { caps, prices, state: Mutex::default(), changed, note });
        let (mut queue, mut thread) = (None, None);
        if let Some((ledger, build)) = ledger {
            let (sender, receiver) = mpsc::channel();
            let inner = inner.clone();
            let work = move || inner.serve(&receiver, &ledger, build);
            thread = std::thread::Builder::new().name("purse".into()).spawn(work).ok();
            queue = Some(sender);
        }
        Self { inner, queue: Mutex::new(queue), thread: Mutex::new(thread) }
    }

    /// Whether a model's requests are put aside for: those that are free need it only where tokens are capped.
    pub fn concerns(&self, model: &Identity) -> bool {
        model.provider != "replay" && (self.inner.caps.any_name().is_some() || !self.inner.prices.are_nothing(model))
    }

    /// What a model's requests cost is known, or no cap needs it.
    pub fn check(&self, models: &[&Identity]) -> Result<(), ModelError> {
        let Some(cap) = self.inner.caps.usd_name() else { return Ok(()) };
        let unknown = models.iter().find(|model| self.inner.prices.of(model, 0).is_none());
        unknown.map_or(Ok(()), |model| Err(unknown_price(cap, model)))
    }

    /// Writes into a completion what it took, if its request was not put aside for.
    pub fn price(&self, model: &Identity, completion: &mut Completion) {
        if completion.paid.is_none() && model.provider != "replay" {
            let cost = self.inner.took(model, completion, Cost::default());
            completion.paid = Some(Paid { ticket: 0, cost });
        }
        // What is free needs no saying in every record.
        if completion.usd.is_none() && !self.inner.prices.are_nothing(model) {
            let price = self.inner.prices.of(model, completion.prompt_tokens as u64);
            completion.usd = price.map(|price| price.of(completion) as f64 / 1e6);
        }
    }

    /// The completion is stored, or never will be: what it took is spent.
    pub fn settled(&self, completion: &Completion) {
        let Some(paid) = completion.paid else { return };
        self.inner.settled(&mut self.inner.state(), paid.ticket, paid.cost);
        self.inner.changed.send_replace(());
    }

    /// What is spent so far.
    pub fn spent(&self) -> Cost {
        let spent = self.inner.state().spent;
        Cost { tokens: spent.tokens, usd_micros: Some(spent.usd) }
    }

    /// The build is over: what is still to be written is.
    pub fn close(&self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// Waits until what was told so far is written.
    pub fn flush(&self) {
        let (done, written) = mpsc::channel();
        if self.send(Message::Written(done)).is_ok() {
            let _ = written.recv();
        }
    }

    fn send(&self, message: Message) -> Result<(), Message> {
        match &*lock(&self.queue) {
            Some(queue) => queue.send(message).map_err(|mpsc::SendError(message)| message),
            None => Err(message),
        }
    }

    async fn ask(&self, component: Option<&str>, model: &Identity, most: &Most) -> Result<Option<i64>, ModelError> {
        let cost = self.inner.cost(model, most)?;
        let component = component.map(str::to_owned);
        let asking = Box::new(Asking { component, model: model.clone(), most: *most, cost });
        let (reply, answer) = oneshot::channel();
        match self.send(Message::Aside(asking, reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(ModelError::Unrecorded("the build is over".into()))),
            Err(Message::Aside(asking, _)) => self.inner.alone(*asking),
            Err(_) => unreachable!("it was not sent"),
        }
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.close();
    }
}

impl purse::Purse for Purse {
    fn put_aside<'a>(&'a self, model: &'a Identity, most: &'a Most) -> BoxFuture<'a, Result<Option<i64>, ModelError>> {
        Box::pin(self.ask(None, model, most))
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    fn bill(&self, ticket: i64, completion: &mut Completion) {
        let open = self.inner.state().open.get(&ticket).map(|open| (open.model.clone(), open.most));
        let Some((model, most)) = open else { return };
        let cost = self.inner.took(&model, completion, most);
        completion.paid = Some(Paid { ticket, cost });
    }

    fn give_back(&self, ticket: i64) {
        if self.send(Message::Back(ticket)).is_err() {
            self.inner.gave_back(&[ticket]);
        }
    }

    fn keep(&self, ticket: i64) {
        self.inner.keep(&[ticket]);
    }
}

/// The purse of a component's calls: what they take is settled when it is known, since no sample of theirs is stored.
pub(super) struct OfCalls {
    purse: Arc<Purse>,
    component: String,
}

impl OfCalls {
    pub(super) fn new(purse: &Arc<Purse>, component: &str) -> Self {
        Self { purse: purse.clone(), component: component.to_owned() }
    }
}

impl purse::Purse for OfCalls {
    fn put_aside<'a>(&'a self, model: &'a Identity, most: &'a Most) -> BoxFuture<'a, Result<Option<i64>, ModelError>> {
        Box::pin(async move {
            match self.purse.concerns(model) {
                true => self.purse.ask(Some(&self.component), model, most).await,
                // No ticket has this number: it is free, and there is no cap.
                false => Ok(Some(0)),
            }
        })
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.purse.changes()
    }

    fn bill(&self, ticket: i64, completion: &mut Completion) {
        self.purse.bill(ticket, completion);
        let Some(paid) = completion.paid else { return };
        // The thread that writes settles it, so that its count and the ledger's are one.
        if self.purse.send(Message::Took(ticket, paid.cost)).is_err() {
            self.purse.settled(completion);
        }
    }

    fn give_back(&self, ticket: i64) {
        self.purse.give_back(ticket);
    }

    fn keep(&self, ticket: i64) {
        self.purse.keep(ticket);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What was put aside for a request is spent, as much of it as that took.
    fn settled(&self, state: &mut State, ticket: i64, cost: Cost) {
        state.spent.add(cost);
        let Some(open) = state.open.remove(&ticket) else { return };
        let tokens = cost.tokens as f64 / open.most.tokens.max(1) as f64;
        let usd = match (cost.usd_micros, open.most.usd_micros) {
            (Some(paid), Some(most)) if most > 0 => paid as f64 / most as f64,
            _ => 0.0,
        };
        let excess = tokens.max(usd);
        let model = open.model.to_string();
        let known = state.excess.get(&model).copied().unwrap_or(1.0);
        // What is asked for already was measured by what is known so far.
        if excess > 1.0 {
            (self.note)(format!(
                "{model} counts {excess:.1} times what a request could take at most; the next ones are measured by that"
            ));
            state.excess.insert(model, known * excess);
        }
    }

    /// The most that a request of a model can take.
    fn cost(&self, model: &Identity, most: &Most) -> Result<Cost, ModelError> {
        if let (None, Some(cap)) = (most.completion, self.caps.any_name()) {
            return Err(ModelError::Settings(format!(
                "{model} takes no max_tokens, so that nothing bounds what a request takes, and {cap} is set"
            )));
        }
        let price = self.prices.of(model, most.prompt);
        if let (None, Some(cap)) = (price, self.caps.usd_name()) {
            return Err(unknown_price(cap, model));
        }
        let completion = most.completion.unwrap_or(0);
        let factor = self.state().excess.get(&model.to_string()).copied().unwrap_or(1.0);
        let more = |count: u64| if factor > 1.0 { (count as f64 * factor).ceil() as u64 } else { count };
        Ok(Cost {
            tokens: more(most.prompt.saturating_add(completion)),
            usd_micros: price.map(|price| more(price.most(most.prompt, completion))),
        })
    }

    /// What a completion took: as the server tells it, else as much as was put aside for it, or more if it is more.
    fn took(&self, model: &Identity, completion: &Completion, most: Cost) -> Cost {
        let tokens = (completion.prompt_tokens as u64).saturating_add(completion.completion_tokens as u64);
        let told = completion.usd.map(|usd| (usd * 1e6 - 1e-6).ceil().max(0.0) as u64);
        let priced = self.prices.of(model, completion.prompt_tokens as u64).map(|price| price.of(completion));
        let usd = told.or(priced);
        if !completion.estimated {
            return Cost { tokens, usd_micros: usd };
        }
        Cost { tokens: tokens.max(most.tokens), usd_micros: told.or(usd.max(most.usd_micros)) }
    }

    /// Whether a request fits: for each cap what is spent, what is on its way and what it could take.
    fn judge(&self, state: &State, pending: Sum, asking: &Asking, day: &Taken) -> Answer {
        let mut open = pending;
        state.open.values().for_each(|one| open.add(one.most));
        let is_alone = state.open.is_empty() && pending.tokens == 0;
        let next = Sum { tokens: asking.cost.tokens, usd: asking.cost.usd_micros.unwrap_or(0) };
        // What is on its way is in the day's count already; whatever others have put aside counts as spent.
        let (tokens, usd) = (day.tokens.saturating_sub(open.tokens), day.usd_micros.saturating_sub(open.usd));
        let caps = [
            (self.caps.tokens, state.spent.tokens, open.tokens, next.tokens, false),
            (self.caps.usd, state.spent.usd, open.usd, next.usd, true),
            (self.caps.day_tokens, tokens, open.tokens, next.tokens, false),
            (self.caps.day_usd, usd, open.usd, next.usd, true),
        ];
        let mut answer = Answer::Yes;
        for (cap, (limit, spent, open, next, is_money)) in self.caps.names.into_iter().zip(caps) {
            let Some(limit) = limit else { continue };
            if spent.saturating_add(next) > limit || is_alone && spent.saturating_add(open).saturating_add(next) > limit
            {
                let shown = |number: u64| match is_money {
                    true => dollars(number),
                    false => number.to_string(),
                };
                let Most { prompt, completion } = asking.most;
                let parts = format!("up to {prompt} tokens of prompt, {} generated", completion.unwrap_or(0));
                let next = format!("{} ({parts})", shown(next));
                return Answer::Never(ModelError::Budget { cap, limit: shown(limit), spent: shown(spent), next });
            }
            if spent.saturating_add(open).saturating_add(next) > limit {
                answer = Answer::Later;
            }
        }
        answer
    }

    /// Puts aside where there is no ledger.
    fn alone(&self, asking: Asking) -> Result<Option<i64>, ModelError> {
        if self.caps.has_day() {
            return Err(ModelError::Unrecorded("there is no ledger to keep the day's count in".into()));
        }
        let mut state = self.state();
        match self.judge(&state, Sum::default(), &asking, &Taken::default()) {
            Answer::Yes => {
                state.last -= 1;
                let ticket = state.last;
                state.open.insert(ticket, Open { most: asking.cost, model: asking.model });
                Ok(Some(ticket))
            }
            Answer::Later => Ok(None),
            Answer::Never(error) => Err(error),
        }
    }

    fn gave_back(&self, tickets: &[i64]) {
        let mut state = self.state();
        for ticket in tickets {
            state.open.remove(ticket);
        }
        drop(state);
        self.changed.send_replace(());
    }

    fn keep(&self, tickets: &[i64]) {
        let mut state = self.state();
        for ticket in tickets {
            if let Some(open) = state.open.remove(ticket) {
                state.spent.add(open.most);
            }
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// The thread that writes: takes in all that is asked by now, until nobody can ask any more.
    fn serve(&self, queue: &mpsc::Receiver<Message>, ledger: &Ledger, build: Option<i64>) {
        while let Ok(first) = queue.recv() {
            let (mut back, mut took, mut askings, mut replies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut waiting = Vec::new();
            for message in std::iter::once(first).chain(queue.try_iter()) {
                match message {
                    Message::Back(ticket) => back.push(ticket),
                    Message::Took(ticket, cost) => took.push((ticket, cost)),
                    Message::Written(done) => waiting.push(done),
                    Message::Aside(asking, reply) => {
                        askings.push(*asking);
                        replies.push(reply);
                    }
                }
            }
            self.settle(ledger, &took);
            let answers = self.put_aside(ledger, build, &back, askings);
            for (reply, answer) in replies.into_iter().zip(answers) {
                if let Err(Ok(Some(ticket))) = reply.send(answer) {
                    // Whoever asked is gone, and has sent nothing.
                    let _ = self.put_aside(ledger, build, &[ticket], Vec::new());
                }
            }
            // Whoever waited may have gone.
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    fn settle(&self, ledger: &Ledger, took: &[(i64, Cost)]) {
        if took.is_empty() {
            return;
        }
        // What can't be written stays as it was put aside: no less than it took.
        if let Err(error) = ledger.settle(took) {
            (self.note)(format!("what requests took could not be written: {}", in_one_line(&error)));
        }
        let mut state = self.state();
        took.iter().for_each(|(ticket, cost)| self.settled(&mut state, *ticket, *cost));
        drop(state);
        self.changed.send_replace(());
    }

    fn put_aside(
        &self,
        ledger: &Ledger,
        build: Option<i64>,
        back: &[i64],
        askings: Vec<Asking>,
    ) -> Vec<Result<Option<i64>, ModelError>> {
        let mut state = self.state();
        let mut answers = Vec::new();
        let names: Vec<String> = askings.iter().map(|asking| asking.model.to_string()).collect();
        let puts: Vec<Put<'_>> = askings
            .iter()
            .zip(&names)
            .map(|(asking, model)| Put { build, component: asking.component.as_deref(), model, most: asking.cost })
            .collect();
        let mut pending = Sum::default();
        for ticket in back {
            state.open.remove(ticket);
        }
        let result = ledger.put_aside(back, &puts, |number, day| {
            let answer = self.judge(&state, pending, &askings[number], day);
            let fits = matches!(answer, Answer::Yes);
            if fits {
                pending.add(askings[number].cost);
            }
            answers.push(answer);
            fits
        });
        let answers = match result {
            Ok(tickets) => {
                let mut given = Vec::new();
                for ((answer, ticket), asking) in answers.into_iter().zip(tickets).zip(askings) {
                    if let Some(ticket) = ticket {
                        state.open.insert(ticket, Open { most: asking.cost, model: asking.model });
                    }
                    given.push(if let Answer::Never(error) = answer { Err(error) } else { Ok(ticket) });
                }
                drop(state);
                given
            }
            Err(error) => {
                drop(state);
                askings.into_iter().map(|asking| self.unwritten(&error, asking)).collect()
            }
        };
        if !back.is_empty() {
            self.changed.send_replace(());
        }
        answers
    }

    /// What is free is sampled without a ledger as well.
    fn unwritten(&self, error: &LedgerError, asking: Asking) -> Result<Option<i64>, ModelError> {
        match asking.cost.usd_micros {
            Some(0) if !self.caps.has_day() => self.alone(asking),
            _ => Err(ModelError::Unrecorded(in_one_line(error))),
        }
    }
}

fn unknown_price(cap: &str, model: &Identity) -> ModelError {
    ModelError::Settings(format!(
        "{cap} is set, and what {model} costs is not known; say so in llmc.yaml, in US dollars for a million tokens: \
         `prices: {{ {model}: {{ input: 1.25, output: 10 }} }}`"
    ))
}

/// An amount of money, for people.
pub(super) fn dollars(micros: u64) -> String {
    let usd = micros as f64 / 1e6;
    if micros < 10_000 && micros > 0 { format!("${usd:.6}") } else { format!("${usd:.4}") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half-changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
