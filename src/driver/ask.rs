//! Who is asked for which samples, and asking them all at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::mpsc;

use super::purse::Purse;
use crate::model::purse::draw_within;
use crate::model::{self, Drawn, Model, ModelError, Parameters, Request, Talk};
use crate::prompt::Prompt;

/// Sampling under way.
pub(super) type Asking<'a> = Pin<Box<dyn Future<Output = Result<(), ModelError>> + Send + 'a>>;

/// Whom to ask, and how.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) models: &'a [Arc<dyn Model>],
    pub(super) parameters: &'a Parameters,
    /// Who is asked before anything is sent.
    pub(super) purse: &'a Arc<Purse>,
    /// What the answers have to be, where they have a form.
    pub(super) talk: Option<&'a Talk>,
}

impl<'a> Ask<'a> {
    /// Asks for the samples with these indices, which all have the same prompt. `owners` says whose each is.
    pub(super) fn fresh(
        self,
        prompt: &'a Prompt,
        indices: &[usize],
        owners: &[usize],
        sink: &mpsc::UnboundedSender<Drawn>,
    ) -> Vec<Asking<'a>> {
        let step = self.models.len();
        let asking = |(model, first, count): (usize, usize, usize)| -> Asking<'a> {
            let sink = sink.clone();
            Box::pin(async move {
                let request = Request { step, ..Request::new(prompt, self.parameters, first, count) };
                self.draw(model, request, sink).await
            })
        };
        runs(indices, owners, step).into_iter().map(asking).collect()
    }

    /// Asks for one sample with a prompt of its own.
    pub(super) fn single(
        self,
        model: usize,
        prompt: Arc<Prompt>,
        index: usize,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> Asking<'a> {
        Box::pin(async move { self.draw(model, Request::new(&prompt, self.parameters, index, 1), sink).await })
    }

    async fn draw(
        self,
        model: usize,
        request: Request<'_>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> Result<(), ModelError> {
        let model = &self.models[model];
        let purse: Arc<dyn model::Purse> = self.purse.clone();
        let purse = self.purse.concerns(model.identity()).then_some(&purse);
        let request = Request { purse, talk: self.talk, ..request };
        let failed = sink.clone();
        let result = match request.purse {
            Some(purse) if !model.asks_purse() => draw_within(&**model, &request, purse, sink).await,
            _ => model.draw(&request, sink).await,
        };
        if let Err(error) = &result {
            for index in request.indices() {
                // Nobody listens when the rest is no longer wanted.
                let _ = failed.send(Drawn::Failed { index, error: error.clone() });
            }
        }
        result
    }
}

/// Waits for all of them; an error only when none of them could be sampled.
pub(super) async fn all(mut pending: Vec<Asking<'_>>) -> Result<(), ModelError> {
    let mut results = Vec::new();
    while !pending.is_empty() {
        let next = poll_fn(|context| {
            let ready = pending.iter_mut().enumerate().find_map(|(at, asking)| match asking.as_mut().poll(context) {
                Poll::Ready(result) => Some((at, result)),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        let (at, result) = next.await;
        drop(pending.swap_remove(at));
        results.push(result);
    }
    if results.iter().any(Result::is_ok) { Ok(()) } else { results.pop().unwrap_or(Ok(())) }
}

/// For each sample, which of the models it is drawn from: they take turns, so that an early stop has seen all of them.
pub(super) fn owners(samples: usize, models: usize) -> Vec<usize> {
    (0..samples).map(|index| index % models.max(1)).collect()
}

/// The samples to be drawn, as few requests: for each its model, its first index and how many, each `step` after the one
/// before.
fn runs(wanted: &[usize], owners: &[usize], step: usize) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for &index in wanted {
        let last = runs.iter_mut().rev().find(|(model, ..)| *model == owners[index]);
        match last {
            Some((_, first, count)) if *first + *count * step == index => *count += 1,
            _ => runs.push((owners[index], index, 1)),
        }
    }
    runs
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
