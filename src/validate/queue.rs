//! Candidates as they come, verdicts as they are found: the engine's front, fed from anywhere.
//!
//! A worker that is idle takes its share of what waits, so that a batch is as large as the engine is busy. Programs
//! that differ only in layout are judged once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Checks, ValidateError, Validator};
use crate::candidate::{self, Candidate};
use crate::verdict::Verdict;

/// Most candidates that are judged together.
const FULL: usize = 100;
/// How long a worker waits for more to come before it takes what there is.
const LINGER: Duration = Duration::from_millis(8);

/// The verdict on a candidate that was submitted.
#[derive(Debug)]
pub struct Judged {
    /// As it was submitted.
    pub id: usize,
    /// What was found.
    pub verdict: Verdict,
    /// The candidate, submitted earlier, that is the same program and that was judged in its place.
    pub same_as: Option<usize>,
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
    idle: usize,
    closed: bool,
    /// By normalised text: what is known of each program, and who waits to know.
    programs: HashMap<String, Program>,
}

#[derive(Debug)]
struct Waiting {
    id: usize,
    key: String,
    candidate: Candidate,
}

#[derive(Debug)]
struct Program {
    first: usize,
    verdict: Option<Verdict>,
    others: Vec<usize>,
}

impl Queue {
    /// A queue with `workers` threads (at least one).
    pub fn new(validator: Arc<Validator>, checks: Arc<Checks>, workers: usize) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            validator,
            checks,
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
        let workers = (0..workers.max(1)).map(work).collect();
        Self { shared, workers, results, outstanding: 0 }
    }

    /// Has a candidate judged. `id` comes back with its verdict; it should be used once.
    pub fn submit(&mut self, id: usize, candidate: Candidate) {
        self.outstanding += 1;
        let key = candidate::normalised(&candidate);
        let mut state = self.shared.lock();
        match state.programs.get_mut(&key) {
            Some(Program { first, verdict: Some(verdict), .. }) => {
                let judged = Judged { id, verdict: verdict.clone(), same_as: Some(*first) };
                // The receiver is ours.
                let _ = self.shared.results.send(Ok(judged));
            }
            Some(program) => program.others.push(id),
            None => {
                state.programs.insert(key.clone(), Program { first: id, verdict: None, others: Vec::new() });
                state.waiting.push(Waiting { id, key, candidate });
                state.last = Some(Instant::now());
                drop(state);
                self.shared.wake.notify_one();
            }
        }
    }

    /// How many of the submitted were not given a verdict yet.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The next verdict; `None` when there is none to wait for. May be dropped while it waits.
    ///
    /// # Errors
    /// [`ValidateError`], when a batch could not be judged: none of its candidates gets a verdict.
    pub async fn next(&mut self) -> Option<Result<Judged, ValidateError>> {
        if self.outstanding == 0 {
            return None;
        }
        let judged = self.results.recv().await?;
        self.outstanding = if judged.is_ok() { self.outstanding - 1 } else { 0 };
        Some(judged)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.wake.notify_all();
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
        while let Some(batch) = self.take() {
            let candidates: Vec<&Candidate> = batch.iter().map(|waiting| &waiting.candidate).collect();
            match self.validator.judge_until(&self.checks, &candidates, &self.stop) {
                Ok(verdicts) => self.tell(batch, verdicts),
                Err(error) => {
                    // The receiver may be gone.
                    let _ = self.results.send(Err(error));
                    return;
                }
            }
        }
    }

    /// Waits for candidates and takes this worker's share of them; `None` when the queue is closed.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            if state.closed {
                return None;
            }
            let quiet = state.last.map(|last| last.elapsed());
            match quiet {
                Some(quiet) if state.waiting.len() < FULL && quiet < LINGER => {
                    let waited = self.wake.wait_timeout(state, LINGER - quiet);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) if !state.waiting.is_empty() => break,
                _ => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let share = state.waiting.len().div_ceil(state.idle).min(FULL);
        state.idle -= 1;
        let batch = state.waiting.drain(..share).collect();
        let more = !state.waiting.is_empty();
        drop(state);
        if more {
            self.wake.notify_one();
        }
        Some(batch)
    }

    fn tell(&self, batch: Vec<Waiting>, verdicts: Vec<Verdict>) {
        let mut state = self.lock();
        for (waiting, verdict) in batch.into_iter().zip(verdicts) {
            let program = state.programs.get_mut(&waiting.key).expect("a program that waits is known");
            let first = waiting.id;
            let others = std::mem::take(&mut program.others);
            program.verdict = Some(verdict.clone());
            let all = std::iter::once((first, None)).chain(others.into_iter().map(|id| (id, Some(first))));
            for (id, same_as) in all {
                // The receiver may be gone.
                let _ = self.results.send(Ok(Judged { id, verdict: verdict.clone(), same_as }));
            }
        }
    }
}
