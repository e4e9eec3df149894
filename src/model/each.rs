//! Draws the samples of a request side by side, for providers whose samples don't depend on each other.

use std::future::Future;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Completion, Drawn, ModelError, Request};

/// Runs `sample` for each index at once and reports what comes of it.
///
/// Whoever samples has its own way of not doing too much at once. When nobody listens any more, all of it is dropped.
pub(super) async fn each<F>(
    request: &Request<'_>,
    sink: &mpsc::UnboundedSender<Drawn>,
    sample: impl Fn(usize) -> F,
) -> Result<(), ModelError>
where
    F: Future<Output = Result<Completion, ModelError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for index in request.indices() {
        let sample = sample(index);
        tasks.spawn(async move { (index, sample.await) });
    }
    // Failures wait until something succeeds: if nothing does, the first of them is the whole answer.
    let mut failures = Vec::new();
    let mut any = false;
    loop {
        let ended = tokio::select! {
            () = sink.closed() => {
                tasks.shutdown().await;
                return Ok(());
            }
            ended = tasks.join_next() => ended,
        };
        match ended {
            None => break,
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Some(Ok((_, Ok(completion)))) => {
                any = true;
                let _ = sink.send(Drawn::Sample(completion));
            }
            Some(Ok((_, Err(error)))) if !any && concerns_all(&error) => {
                // Whoever asked waits for the last sender to be gone.
                tasks.shutdown().await;
                return Err(error);
            }
            Some(Ok((index, Err(error)))) => failures.push((index, error)),
        }
        if any {
            for (index, error) in failures.drain(..) {
                let _ = sink.send(Drawn::Failed { index, error });
            }
        }
    }
    match failures.into_iter().min_by_key(|(index, _)| *index) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Whether no other sample can fare better.
fn concerns_all(error: &ModelError) -> bool {
    matches!(
        error,
        ModelError::Settings(_)
            | ModelError::Unauthorized { .. }
            | ModelError::Spent { .. }
            | ModelError::NotFound { .. }
            | ModelError::Redirect { .. }
            | ModelError::Tls { .. }
            | ModelError::Proxy { .. }
    )
}
