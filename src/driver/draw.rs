//! Sampling and judging, overlapped: completions are judged as they arrive.
//!
//! Decides when to stop; knows nothing of files, git or how a model works.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::candidate::{self, Candidate};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::ledger::SampleLog;
use crate::model::{Completion, Drawn, Model, ModelError, Parameters, Request};
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
    /// Set when a cap of the budget ended the drawing: which.
    pub(super) spent: Option<String>,
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
    pub(super) validator: &'a Arc<Validator>,
    pub(super) checks: &'a Arc<Checks>,
    pub(super) jobs: usize,
}

/// A completion in which Rust was looked for.
struct Extracted {
    completion: Completion,
    model: usize,
    found: Result<(Candidate, Program), Verdict>,
}

/// Draws the samples of one spec and judges each.
pub(super) async fn draw(
    job: &Job<'_>,
    log: &mut SampleLog,
    interrupt: &Interrupt,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Samples, DrawError> {
    let (sink, mut drawn) = mpsc::unbounded_channel();
    let requests: Vec<Request<'_>> = shares(job.samples, job.models.len())
        .into_iter()
        .map(|(first, count)| Request { prompt: job.prompt, parameters: job.parameters, first, count })
        .collect();
    let mut drawing = Box::pin(draw_all(job.models, &requests, sink));
    let mut drawing_result: Option<Result<(), ModelError>> = None;

    let mut extracting: JoinSet<Extracted> = JoinSet::new();
    let mut queue = Queue::new(job.validator.clone(), job.checks.clone(), job.jobs);
    let mut pool = Pool { samples: Samples::default(), waiting: HashMap::new(), tokens: 0 };
    let deadline = job.budget.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));

    loop {
        let channel_open = !drawn.is_closed() || !drawn.is_empty();
        if drawing_result.is_some() && !channel_open && extracting.is_empty() && queue.outstanding() == 0 {
            break;
        }
        tokio::select! {
            biased;
            () = interrupt.wait() => {
                drawn.close();
                return Err(DrawError::Interrupted);
            }
            Some(event) = drawn.recv() => match event {
                Drawn::Tokens(count) => {
                    pool.tokens += count as u64;
                    tell(Event::Tokens { spec: job.spec.name.clone(), count });
                }
                Drawn::Failed { index, error } => {
                    tell(Event::SampleFailed { spec: job.spec.name.clone(), index, reason: error.to_string() });
                    pool.samples.lost.push((index, error));
                }
                Drawn::Sample(completion) => {
                    log.completion(&completion);
                    tell(Event::Sampled {
                        spec: job.spec.name.clone(),
                        index: completion.index,
                        tokens: completion.completion_tokens,
                    });
                    let model = owner(&requests, completion.index);
                    let spec = job.spec.clone();
                    extracting.spawn_blocking(move || {
                        let found = candidate::from_completion(&completion.text, completion.finish, &spec);
                        let found = found.map(|candidate| {
                            let program = Program::of(&candidate);
                            (candidate, program)
                        });
                        Extracted { completion, model, found }
                    });
                }
            },
            Some(extracted) = extracting.join_next(), if !extracting.is_empty() => {
                let Extracted { completion, model, found } = extracted.expect("looking for Rust does not panic");
                match found {
                    Ok((candidate, program)) => {
                        queue.submit_program(completion.index, candidate.clone(), program);
                        pool.waiting.insert(completion.index, Waiting { completion, model, candidate });
                    }
                    Err(verdict) => pool.push(job, completion, model, None, verdict, log, tell),
                }
            }
            Some(judged) = queue.next(), if queue.outstanding() > 0 => {
                let judged = judged?;
                let Waiting { completion, model, candidate } =
                    pool.waiting.remove(&judged.id).expect("only what waits is judged");
                pool.push(job, completion, model, Some(candidate), judged.verdict, log, tell);
                if pool.satisfied(job.stop) {
                    drawn.close();
                }
            }
            result = &mut drawing, if drawing_result.is_none() => drawing_result = Some(result),
            () = sleep_until(deadline), if deadline.is_some() && pool.samples.spent.is_none() && drawing_result.is_none() => {
                pool.samples.spent = Some(format!("budget.seconds ({})", job.budget.seconds.unwrap_or_default()));
                drawn.close();
            }
            else => break,
        }
        if let Some(limit) = job.budget.tokens
            && pool.samples.spent.is_none()
            && drawing_result.is_none()
            && pool.tokens >= limit
        {
            pool.samples.spent = Some(format!("budget.tokens ({limit})"));
            drawn.close();
        }
    }
    let mut samples = pool.samples;
    if samples.list.is_empty()
        && let Some(Err(error)) = drawing_result
    {
        return Err(error.into());
    }
    if samples.list.is_empty() && samples.spent.is_none() && !samples.lost.is_empty() {
        return Err(samples.lost.remove(0).1.into());
    }
    samples.stopped = samples.list.len() + samples.lost.len() < job.samples;
    samples.list.sort_by_key(|sample| sample.completion.index);
    Ok(samples)
}

/// What has been drawn and found so far.
struct Pool {
    samples: Samples,
    /// The samples whose candidates are being judged, by index.
    waiting: HashMap<usize, Waiting>,
    tokens: u64,
}

/// A sample whose candidate is being judged.
struct Waiting {
    completion: Completion,
    model: usize,
    candidate: Candidate,
}

impl Pool {
    /// Takes in a sample with its verdict.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one sample")]
    fn push(
        &mut self,
        job: &Job<'_>,
        completion: Completion,
        model: usize,
        candidate: Option<Candidate>,
        verdict: Verdict,
        log: &mut SampleLog,
        tell: &mut (dyn FnMut(Event) + Send),
    ) {
        log.verdict(completion.index, candidate.as_ref(), &verdict);
        tell(Event::Judged {
            spec: job.spec.name.clone(),
            candidate: (completion.index + 1).to_string(),
            verdict: verdict.clone(),
        });
        self.samples.list.push(Sample { completion, model, candidate, verdict });
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
    requests: &[Request<'_>],
    sink: mpsc::UnboundedSender<Drawn>,
) -> Result<(), ModelError> {
    let draws = models.iter().zip(requests).filter(|(_, request)| request.count > 0).map(|(model, request)| {
        let sink = sink.clone();
        async move {
            let failed = sink.clone();
            let result = model.draw(request, sink).await;
            if let Err(error) = &result {
                for index in request.first..request.first + request.count {
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

/// Splits `samples` into one contiguous share for each model: the first index and the count.
fn shares(samples: usize, models: usize) -> Vec<(usize, usize)> {
    let (each, more) = (samples / models.max(1), samples % models.max(1));
    let mut first = 0;
    (0..models)
        .map(|model| {
            let count = each + usize::from(model < more);
            first += count;
            (first - count, count)
        })
        .collect()
}

fn owner(requests: &[Request<'_>], index: usize) -> usize {
    requests.iter().position(|request| (request.first..request.first + request.count).contains(&index)).unwrap_or(0)
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
    fn every_sample_belongs_to_exactly_one_model() {
        assert_eq!(shares(8, 1), [(0, 8)]);
        assert_eq!(shares(8, 3), [(0, 3), (3, 3), (6, 2)]);
        assert_eq!(shares(1, 2), [(0, 1), (1, 0)]);
    }
}
