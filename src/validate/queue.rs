//! Candidates as they come, verdicts as they are found: the engine's front, fed from anywhere.
//!
//! A worker that is idle takes its share of what waits, so that a batch is as large as the engine is busy. Programs
//! that differ only in layout are judged once, as long as the verdict is remembered: memory is bounded, so that a
//! queue may be fed for ever. Never more is under way than there are [`Slots`].

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Checks, Insight, Judgement, ValidateError, Validator};
use crate::candidate::{self, Candidate};
use crate::digest::sha256;
use crate::verdict::Verdict;

/// Most candidates that are judged together.
const FULL: usize = 128;
/// How long a worker waits for more to come before it takes what there is, where nobody knows whether more will come.
const LINGER: Duration = Duration::from_millis(8);
/// The same, where more is on its way.
const PATIENCE: Duration = Duration::from_millis(100);

/// What whoever feeds a queue knows of what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Supply {
    /// Nothing.
    #[default]
    Unknown,
    /// More is on its way, and will be there in some milliseconds.
    Coming,
    /// That was all, for now.
    Ended,
}
/// How many programs' verdicts are remembered.
const REMEMBERED: usize = 4096;

/// A program, whatever its layout and comments: equal for candidates that need judging only once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program(String);

impl Program {
    /// The program that a candidate is. Parses it.
    pub fn of(candidate: &Candidate) -> Self {
        Self(sha256(candidate::normalised(candidate)))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How many batches may be judged at once, by all the queues that share them.
#[derive(Debug)]
pub struct Slots {
    count: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

/// Held while a batch is judged.
struct Slot<'a>(&'a Slots);

impl Slots {
    /// So many slots (at least one).
    pub fn new(count: usize) -> Arc<Self> {
        let count = count.max(1);
        Arc::new(Self { count, free: Mutex::new(count), freed: Condvar::new() })
    }

    fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// The verdict on a candidate that was submitted.
#[derive(Debug)]
pub struct Judged {
    /// As it was submitted.
    pub id: usize,
    /// What was found.
    pub verdict: Verdict,
    /// What is known beside it.
    pub insight: Insight,
    /// The candidate, submitted earlier, that is the same program and that was judged in its place.
    pub same_as: Option<usize>,
}

impl Judged {
    fn new(id: usize, judgement: &Judgement, same_as: Option<usize>) -> Self {
        let Judgement { verdict, insight } = judgement.clone();
        Self { id, verdict, insight, same_as }
    }
}

/// Judges candidates of one spec on threads of its own, in batches.
///
/// Dropping it waits for the processes under way, and drops what still waits.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    results: mpsc::UnboundedReceiver<Result<Judged, ValidateError>>,
    outstanding: usize,
}

#[derive(Debug)]
struct Shared {
    validator: Arc<Validator>,
    checks: Arc<Checks>,
    slots: Arc<Slots>,
    state: Mutex<State>,
    wake: Condvar,
    results: mpsc::UnboundedSender<Result<Judged, ValidateError>>,
    /// Set when nobody wants the rest.
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    /// When the last of them came.
    last: Option<Instant>,
    supply: Supply,
    idle: usize,
    closed: bool,
    /// What is known of each program, and who waits to know.
    programs: HashMap<Program, Known>,
    /// Those with a verdict, oldest first.
    judged: VecDeque<Program>,
}

#[derive(Debug)]
struct Waiting {
    id: usize,
    program: Program,
    candidate: Candidate,
}

#[derive(Debug)]
struct Known {
    first: usize,
    judgement: Option<Judgement>,
    others: Vec<usize>,
}

impl Queue {
    /// A queue with `workers` threads (at least one).
    pub fn new(validator: Arc<Validator>, checks: Arc<Checks>, workers: usize) -> Self {
        Self::sharing(validator, checks, &Slots::new(workers))
    }

    /// A queue with a thread for each of `slots`, which it shares with other queues.
    pub fn sharing(validator: Arc<Validator>, checks: Arc<Checks>, slots: &Arc<Slots>) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            validator,
            checks,
            slots: slots.clone(),
            state: Mutex::default(),
            wake: Condvar::new(),
            results: sender,
            stop: AtomicBool::new(false),
        });
        let work = |_| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("judge".into())
                .spawn(move || shared.work())
                .expect("a thread can be started")
        };
        let workers = (0..slots.count).map(work).collect();
        Self { shared, workers, results, outstanding: 0 }
    }

    /// Has a candidate judged. `id` comes back with its verdict; it should be used once.
    pub fn submit(&mut self, id: usize, candidate: Candidate) {
        let program = Program::of(&candidate);
        self.submit_program(id, candidate, program);
    }

    /// As [`Queue::submit`], for who knows which program it is: finding that out takes longer than all the rest of this.
    pub fn submit_program(&mut self, id: usize, candidate: Candidate, program: Program) {
        self.outstanding += 1;
        let mut state = self.shared.lock();
        match state.programs.get_mut(&program) {
            Some(Known { first, judgement: Some(judgement), .. }) => {
                // The receiver is ours.
                let _ = self.shared.results.send(Ok(Judged::new(id, judgement, Some(*first))));
            }
            Some(known) => known.others.push(id),
            None => {
                state.programs.insert(program.clone(), Known { first: id, judgement: None, others: Vec::new() });
                state.waiting.push(Waiting { id, program, candidate });
                state.last = Some(Instant::now());
                drop(state);
                self.shared.wake.notify_one();
            }
        }
    }

    /// Tells the workers what comes next, so that they neither wait for nothing nor begin with too little.
    pub fn supply(&mut self, supply: Supply) {
        let mut state = self.shared.lock();
        let is_news = state.supply != supply;
        state.supply = supply;
        drop(state);
        if is_news {
            self.shared.wake.notify_all();
        }
    }

    /// How many of the submitted were not given a verdict yet.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Begins nothing more. Who drops several queues closes them all first, and so waits for them all at once.
    pub fn close(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.wake.notify_all();
    }

    /// The next verdict; `None` when there is none to wait for. May be dropped while it waits.
    ///
    /// # Errors
    /// [`ValidateError`], when a batch could not be judged: none of its candidates gets a verdict.
    pub async fn next(&mut self) -> Option<Result<Judged, ValidateError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Queue::next`] for those that wait for several queues at once.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Judged, ValidateError>>> {
        if self.outstanding == 0 {
            return Poll::Ready(None);
        }
        let judged = std::task::ready!(self.results.poll_recv(context));
        self.outstanding = if matches!(judged, Some(Ok(_))) { self.outstanding - 1 } else { 0 };
        Poll::Ready(judged)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has told so by its panic.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while self.wait() {
            let _slot = self.slots.take();
            let Some(batch) = self.take() else { continue };
            let candidates: Vec<&Candidate> = batch.iter().map(|waiting| &waiting.candidate).collect();
            // Whoever waits for these verdicts would wait for ever if a bug ended this thread.
            let judge = AssertUnwindSafe(|| self.validator.judge_until(&self.checks, &candidates, &self.stop));
            match catch_unwind(judge).unwrap_or(Err(ValidateError::Panicked)) {
                Ok(judgements) => self.tell(batch, judgements),
                Err(error) => {
                    // The receiver may be gone.
                    let _ = self.results.send(Err(error));
                    return;
                }
            }
        }
    }

    /// Waits until a batch can be taken; false when the queue is closed.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            if state.closed {
                return false;
            }
            let (Some(last), false) = (state.last, state.waiting.is_empty()) else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let linger = match state.supply {
                Supply::Unknown => LINGER,
                Supply::Coming => PATIENCE,
                Supply::Ended => Duration::ZERO,
            };
            let quiet = last.elapsed();
            // Two that are idle would each like to have a full one.
            if quiet >= linger || state.waiting.len() >= FULL * state.idle {
                return true;
            }
            state = self.wake.wait_timeout(state, linger - quiet).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes this worker's share of what waits; `None` when others took it all.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let share = state.waiting.len().div_ceil(state.idle).min(FULL);
        state.idle -= 1;
        let batch: Vec<Waiting> = state.waiting.drain(..share).collect();
        let more = !state.waiting.is_empty();
        drop(state);
        if more {
            self.wake.notify_one();
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn tell(&self, batch: Vec<Waiting>, judgements: Vec<Judgement>) {
        let mut state = self.lock();
        for (waiting, judgement) in batch.into_iter().zip(judgements) {
            let known = state.programs.get_mut(&waiting.program).expect("a program that waits is known");
            let first = waiting.id;
            let others = std::mem::take(&mut known.others);
            known.judgement = Some(judgement.clone());
            state.judged.push_back(waiting.program);
            let all = std::iter::once((first, None)).chain(others.into_iter().map(|id| (id, Some(first))));
            for (id, same_as) in all {
                // The receiver may be gone.
                let _ = self.results.send(Ok(Judged::new(id, &judgement, same_as)));
            }
        }
        while state.judged.len() > REMEMBERED
            && let Some(oldest) = state.judged.pop_front()
        {
            state.programs.remove(&oldest);
        }
    }
}
