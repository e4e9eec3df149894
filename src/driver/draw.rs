//! Sampling and judging, overlapped: completions are judged as they arrive.
//!
//! Decides when to stop; knows nothing of files, git or how a model works.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::log::Log;
use super::purse::Purse;
use crate::candidate::{self, Candidate};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::ledger::LedgerError;
use crate::model::purse::draw_within;
use crate::model::{self, Completion, Drawn, Model, ModelError, Parameters, Request};
use crate::prompt::Prompt;
use crate::spec::{Budget, Spec, Stop};
use crate::validate::{Checks, Program, Queue, ValidateError, Validator};
use crate::verdict::Verdict;

/// A sample with what became of it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// The draw.
    pub(super) completion: Completion,
    /// Which of the models gave it.
    pub(super) model: usize,
    /// Whether an earlier build drew it, and it was in the ledger.
    pub(super) replayed: bool,
    /// The Rust in it, if there is any that conforms.
    pub(super) candidate: Option<Candidate>,
    /// What validation found.
    pub(super) verdict: Verdict,
}

/// All that was drawn for one spec.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// The samples, by index.
    pub(super) list: Vec<Sample>,
    /// Samples that could not be drawn.
    pub(super) lost: Vec<(usize, ModelError)>,
    /// Set when a cap of the budget ended the drawing: how.
    pub(super) spent: Option<String>,
    /// Whether drawing ended because a sample that cost money could not be stored.
    pub(super) unstored: bool,
    /// Whether drawing ended before every sample was drawn.
    pub(super) stopped: bool,
}

/// Why drawing ended without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum DrawError {
    /// No sample could be drawn.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A candidate could not be judged.
    #[error(transparent)]
    Validate(#[from] ValidateError),
    /// The samples that are there already can't be read, and drawing them again would cost money.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What to draw and how to judge it.
pub(super) struct Job<'a> {
    pub(super) spec: &'a Arc<Spec>,
    pub(super) prompt: &'a Prompt,
    pub(super) models: &'a [Arc<dyn Model>],
    pub(super) parameters: &'a Parameters,
    pub(super) samples: usize,
    pub(super) stop: Stop,
    pub(super) budget: &'a Budget,
    pub(super) purse: &'a Arc<Purse>,
    pub(super) validator: &'a Arc<Validator>,
    pub(super) checks: &'a Arc<Checks>,
    pub(super) jobs: usize,
}

/// Most events that are taken in together: what arrives together is stored together.
const AT_ONCE: usize = 256;

/// A completion in which Rust was looked for.
struct Extracted {
    sample: Arrived,
    found: Result<(Candidate, Program), Verdict>,
}

/// A sample that is there, of which nothing is known yet.
struct Arrived {
    completion: Completion,
    model: usize,
    replayed: bool,
}

/// Draws the samples of one spec that the ledger does not have, and judges all of them.
pub(super) async fn draw(
    job: &Job<'_>,
    log: &mut Log,
    interrupt: &Interrupt,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Samples, DrawError> {
    let owners = owners(job.samples, job.models.len());
    let wanted: Vec<(usize, usize)> = owners.iter().copied().enumerate().collect();
    let stored = log.replay(&wanted, tell)?;
    let missing = |index: &usize| !stored.iter().any(|one| one.completion.index == *index);
    let missing: Vec<usize> = (0..job.samples).filter(missing).collect();
    let purse: Arc<dyn model::Purse> = job.purse.clone();
    let requests: Vec<(usize, Request<'_>)> = runs(&missing, &owners, job.models.len())
        .into_iter()
        .map(|(model, first, count)| {
            let request = Request::new(job.prompt, job.parameters, first, count);
            let purse = job.purse.concerns(job.models[model].identity()).then_some(&purse);
            (model, Request { step: job.models.len(), purse, ..request })
        })
        .collect();
    let (sink, mut drawn) = mpsc::unbounded_channel();
    let stored = stored.into_iter().map(|one| Arrived { completion: one.completion, model: one.model, replayed: true });
    let result =
        drive(job, stored.collect(), &owners, draw_all(job.models, &requests, sink), &mut drawn, log, interrupt, tell)
            .await;
    // However it ended: what has arrived was paid for.
    drawn.close();
    let mut late = Vec::new();
    while let Ok(event) = drawn.try_recv() {
        if let Drawn::Sample(mut completion) = event {
            job.purse.price(job.models[owners[completion.index]].identity(), &mut completion);
            late.push(completion);
        }
    }
    log.arrived(&late.iter().map(|completion| (owners[completion.index], completion)).collect::<Vec<_>>());
    let mut samples = result?;
    if samples.list.is_empty() && samples.spent.is_none() && !samples.lost.is_empty() {
        return Err(samples.lost.remove(0).1.into());
    }
    samples.stopped = samples.list.len() + samples.lost.len() < job.samples;
    samples.list.sort_by_key(|sample| sample.completion.index);
    Ok(samples)
}

/// Takes in what is drawn, has it stored and judged, and decides when it is enough.
#[expect(clippy::too_many_arguments, reason = "it is the second half of `draw`")]
async fn drive(
    job: &Job<'_>,
    stored: Vec<Arrived>,
    owners: &[usize],
    drawing: impl Future<Output = Result<(), ModelError>>,
    drawn: &mut mpsc::UnboundedReceiver<Drawn>,
    log: &mut Log,
    interrupt: &Interrupt,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Samples, DrawError> {
    let mut drawing = Box::pin(drawing);
    let mut drawing_result: Option<Result<(), ModelError>> = None;
    let mut extracting: JoinSet<Extracted> = JoinSet::new();
    let mut queue = Queue::new(job.validator.clone(), job.checks.clone(), job.jobs);
    let mut pool = Pool { samples: Samples::default(), waiting: HashMap::new(), replaying: 0 };
    let deadline = job.budget.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    for sample in stored {
        pool.look(job, sample, &mut extracting, tell);
    }

    let mut events = Vec::new();
    loop {
        let channel_open = !drawn.is_closed() || !drawn.is_empty();
        if drawing_result.is_some() && !channel_open && extracting.is_empty() && queue.outstanding() == 0 {
            break;
        }
        // Where the first that passes ends the build, one that is there already may do: nothing is asked for before.
        let is_held = job.stop == Stop::First && pool.replaying > 0;
        tokio::select! {
            biased;
            () = interrupt.wait() => return Err(DrawError::Interrupted),
            // Also when nothing more will come, so that the loop sees it.
            _ = drawn.recv_many(&mut events, AT_ONCE), if channel_open => {
                for event in &mut events {
                    if let Drawn::Sample(completion) = event {
                        job.purse.price(job.models[owners[completion.index]].identity(), completion);
                    }
                }
                let arrived: Vec<_> = events
                    .iter()
                    .filter_map(|event| if let Drawn::Sample(completion) = event { Some(completion) } else { None })
                    .map(|completion| (owners[completion.index], completion))
                    .collect();
                if !arrived.is_empty() && !log.arrived(&arrived) {
                    pool.samples.unstored = true;
                    drawn.close();
                }
                for event in events.drain(..) {
                    match event {
                        Drawn::Tokens(count) => {
                            tell(Event::Tokens { spec: job.spec.name.clone(), count });
                        }
                        // The same holds for all that are not sent any more: it is told once.
                        Drawn::Failed { error: error @ ModelError::Budget { .. }, .. } => {
                            pool.samples.spent.get_or_insert_with(|| error.to_string());
                        }
                        Drawn::Failed { index, error: error @ ModelError::Unrecorded(_) } => {
                            pool.samples.unstored = true;
                            pool.samples.lost.push((index, error));
                        }
                        Drawn::Failed { index, error } => {
                            let reason = error.to_string();
                            tell(Event::SampleFailed { spec: job.spec.name.clone(), index, reason });
                            pool.samples.lost.push((index, error));
                        }
                        Drawn::Sample(completion) => {
                            let model = owners[completion.index];
                            pool.look(job, Arrived { completion, model, replayed: false }, &mut extracting, tell);
                        }
                    }
                }
            },
            Some(extracted) = extracting.join_next(), if !extracting.is_empty() => {
                let Extracted { sample, found } = extracted.expect("looking for Rust does not panic");
                match found {
                    Ok((candidate, program)) => {
                        queue.submit_program(sample.completion.index, candidate.clone(), program);
                        pool.waiting.insert(sample.completion.index, Waiting { sample, candidate });
                    }
                    Err(verdict) => pool.push(job, sample, None, verdict, log, tell),
                }
            }
            Some(judged) = queue.next(), if queue.outstanding() > 0 => {
                let judged = judged?;
                let Waiting { sample, candidate } =
                    pool.waiting.remove(&judged.id).expect("only what waits is judged");
                pool.push(job, sample, Some(candidate), judged.verdict, log, tell);
                if pool.satisfied(job.stop) {
                    drawn.close();
                    // Nothing was asked for yet, or what was is dropped.
                    drawing_result.get_or_insert(Ok(()));
                }
            }
            result = &mut drawing, if drawing_result.is_none() && !is_held => drawing_result = Some(result),
            () = sleep_until(deadline), if deadline.is_some() && pool.samples.spent.is_none() && drawing_result.is_none() => {
                let seconds = job.budget.seconds.unwrap_or_default();
                pool.samples.spent = Some(format!("budget.seconds is {seconds}, and they are over"));
                drawn.close();
            }
            else => break,
        }
    }
    if pool.samples.list.is_empty()
        && pool.samples.spent.is_none()
        && let Some(Err(error)) = drawing_result
    {
        return Err(error.into());
    }
    Ok(pool.samples)
}

/// What has been drawn and found so far.
struct Pool {
    samples: Samples,
    /// The samples whose candidates are being judged, by index.
    waiting: HashMap<usize, Waiting>,
    /// Samples from the ledger that have no verdict yet.
    replaying: usize,
}

/// A sample whose candidate is being judged.
struct Waiting {
    sample: Arrived,
    candidate: Candidate,
}

impl Pool {
    /// Has the Rust in a sample looked for.
    fn look(
        &mut self,
        job: &Job<'_>,
        sample: Arrived,
        extracting: &mut JoinSet<Extracted>,
        tell: &mut (dyn FnMut(Event) + Send),
    ) {
        self.replaying += usize::from(sample.replayed);
        tell(Event::Sampled {
            spec: job.spec.name.clone(),
            index: sample.completion.index,
            tokens: sample.completion.completion_tokens,
            replayed: sample.replayed,
        });
        let spec = job.spec.clone();
        extracting.spawn_blocking(move || {
            let found = candidate::from_completion(&sample.completion.text, sample.completion.finish, &spec);
            let found = found.map(|candidate| {
                let program = Program::of(&candidate);
                (candidate, program)
            });
            Extracted { sample, found }
        });
    }

    /// Takes in a sample with its verdict.
    fn push(
        &mut self,
        job: &Job<'_>,
        sample: Arrived,
        candidate: Option<Candidate>,
        verdict: Verdict,
        log: &mut Log,
        tell: &mut (dyn FnMut(Event) + Send),
    ) {
        let Arrived { completion, model, replayed } = sample;
        self.replaying -= usize::from(replayed);
        log.judged(completion.index, candidate.as_ref(), &verdict);
        tell(Event::Judged {
            spec: job.spec.name.clone(),
            candidate: (completion.index + 1).to_string(),
            verdict: verdict.clone(),
        });
        self.samples.list.push(Sample { completion, model, replayed, candidate, verdict });
    }

    fn satisfied(&self, stop: Stop) -> bool {
        match stop {
            Stop::First => self.samples.list.iter().any(|sample| sample.verdict.is_pass()),
            Stop::Agree | Stop::All => false,
        }
    }
}

/// Draws from every model at once; an error only when none of them could be sampled.
async fn draw_all(
    models: &[Arc<dyn Model>],
    requests: &[(usize, Request<'_>)],
    sink: mpsc::UnboundedSender<Drawn>,
) -> Result<(), ModelError> {
    let draws = requests.iter().map(|(model, request)| {
        let model = &models[*model];
        let sink = sink.clone();
        async move {
            let failed = sink.clone();
            let result = match request.purse {
                Some(purse) if !model.asks_purse() => draw_within(&**model, request, purse, sink).await,
                _ => model.draw(request, sink).await,
            };
            if let Err(error) = &result {
                for index in request.indices() {
                    // Nobody listens when the rest is no longer wanted.
                    let _ = failed.send(Drawn::Failed { index, error: error.clone() });
                }
            }
            result
        }
    });
    let mut pending: Vec<_> = draws.map(Box::pin).collect();
    drop(sink);
    let mut results = Vec::new();
    while !pending.is_empty() {
        let next = std::future::poll_fn(|context| {
            let ready = pending.iter_mut().enumerate().find_map(|(at, draw)| match draw.as_mut().poll(context) {
                std::task::Poll::Ready(result) => Some((at, result)),
                std::task::Poll::Pending => None,
            });
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        let (at, result) = next.await;
        drop(pending.swap_remove(at));
        results.push(result);
    }
    if results.iter().any(Result::is_ok) { Ok(()) } else { results.pop().unwrap_or(Ok(())) }
}

/// For each sample, which of the models it is drawn from: they take turns, so that an early stop has seen all of them.
fn owners(samples: usize, models: usize) -> Vec<usize> {
    (0..samples).map(|index| index % models.max(1)).collect()
}

/// The samples still to be drawn, as few requests: for each its model, its first index and how many, each `step` after
/// the one before.
fn runs(missing: &[usize], owners: &[usize], step: usize) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for &index in missing {
        let last = runs.iter_mut().rev().find(|(model, ..)| *model == owners[index]);
        match last {
            Some((_, first, count)) if *first + *count * step == index => *count += 1,
            _ => runs.push((owners[index], index, 1)),
        }
    }
    runs
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_take_turns() {
        assert_eq!(owners(3, 1), [0, 0, 0]);
        assert_eq!(owners(8, 3), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(owners(1, 2), [0]);
    }

    #[test]
    fn what_is_missing_is_asked_for_in_one_request_a_model_and_nothing_else_is() {
        let owners = owners(8, 2);
        assert_eq!(runs(&[0, 1, 2, 3, 4, 5, 6, 7], &owners, 2), [(0, 0, 4), (1, 1, 4)]);
        assert_eq!(runs(&[1, 2, 3, 4, 7], &owners, 2), [(1, 1, 2), (0, 2, 2), (1, 7, 1)]);
        assert!(runs(&[], &owners, 2).is_empty());
        assert_eq!(runs(&[0, 1, 3], &[0; 4], 1), [(0, 0, 2), (0, 3, 1)]);
    }
}
