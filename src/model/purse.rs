//! What a request may take: put aside before it is sent, and settled when it is known what it took.
//!
//! Says how much that can be at most, and who must ask whom. Who keeps the caps is a [`Purse`]; it is not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::http::DEFAULT_MAX_TOKENS;
use super::{BoxFuture, Completion, Drawn, Identity, Model, ModelError, Request, Talk};

/// Tokens of a prompt that are in none of its bytes: a chat template's marks, and the system message that some
/// templates and servers put before ours.
const HIDDEN_TOKENS: u64 = 512;
/// The same for a server's own words on tools, or on the form of an answer; Anthropic counts some 350 for tools.
const HIDDEN_INSTRUCTIONS: u64 = 1024;
/// Samples that are put aside for together, where a model draws them together.
const TOGETHER: usize = 64;

/// Tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of the prompt and generated.
    pub tokens: u64,
    /// Millionths of a US dollar; `None` when the price is not known.
    pub usd_micros: Option<u64>,
}

/// What one request can take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens generated; `None` when nothing bounds them.
    pub completion: Option<u64>,
}

impl Most {
    /// Of a request's body.
    ///
    /// No tokenizer in use makes more tokens than a text has bytes, after it was normalised: Unicode's composition
    /// (NFC) makes at most three bytes of one, and of ASCII none. The body holds more than the messages, too: names,
    /// quotes, escapes.
    pub fn of_body(body: &Value) -> Self {
        let number = |name: &str| body.get(name).and_then(Value::as_u64);
        let limits = ["max_tokens", "max_completion_tokens"].into_iter().filter_map(number);
        // Servers tell their models in words of their own what tools there are, and what an answer has to be.
        let more = ["tools", "response_format", "output_config"].iter().filter(|name| body.get(**name).is_some());
        let hidden = more.count() as u64 * HIDDEN_INSTRUCTIONS;
        let answers = ["n", "best_of"].into_iter().filter_map(number).max().unwrap_or(1).max(1);
        Self {
            prompt: most_tokens(&body.to_string()).saturating_add(hidden).saturating_mul(answers),
            completion: limits.max().map(|limit| limit.saturating_mul(answers)),
        }
    }

    /// Of a request for one sample.
    pub fn of_request(request: &Request<'_>) -> Self {
        let prompt = request.prompt;
        let continued = prompt.continuation.as_ref();
        let texts = [prompt.system.as_str(), &prompt.user, &prompt.opening];
        let more = continued.into_iter().flat_map(|one| [one.text.as_str(), &one.opening]);
        let mut text: String = texts.into_iter().chain(more).collect();
        text.extend(request.talk.map(Talk::counted));
        let completion = request.parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        Self { prompt: most_tokens(&text), completion: Some(completion as u64) }
    }
}

fn most_tokens(text: &str) -> u64 {
    let more = text.bytes().filter(|byte| !byte.is_ascii()).count() * 2;
    (text.len() + more) as u64 + HIDDEN_TOKENS
}

/// What was paid for a completion, to be settled when it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// What was put aside.
    pub ticket: i64,
    /// What it took.
    pub cost: Cost,
}

/// Keeps the caps of a build.
pub trait Purse: Send + Sync {
    /// Puts aside the most that a request can take. `None`: not now, since others that are on their way may yet give
    /// some back. An error when it can never be.
    fn put_aside<'a>(&'a self, model: &'a Identity, most: &'a Most) -> BoxFuture<'a, Result<Option<i64>, ModelError>>;

    /// Changes whenever there may be more to put aside.
    fn changes(&self) -> watch::Receiver<()>;

    /// Writes into a completion what it took.
    fn bill(&self, ticket: i64, completion: &mut Completion);

    /// The request was not sent, or refused before it was worked on: it took nothing.
    fn give_back(&self, ticket: i64);

    /// Nobody will tell what the request took: all that was put aside counts as spent.
    fn keep(&self, ticket: i64);
}

/// What is put aside for one request. Dropped without a word, it is kept: the request may have been answered.
pub struct Hold(Option<(Arc<dyn Purse>, i64)>);

impl Hold {
    /// Where nobody keeps a cap.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Puts aside for one request; `None`: not now.
    pub async fn take(purse: &Arc<dyn Purse>, model: &Identity, most: &Most) -> Result<Option<Self>, ModelError> {
        let ticket = purse.put_aside(model, most).await?;
        Ok(ticket.map(|ticket| Self(Some((purse.clone(), ticket)))))
    }

    /// The request took nothing.
    pub fn give_back(mut self) {
        if let Some((purse, ticket)) = self.0.take() {
            purse.give_back(ticket);
        }
    }

    /// The request brought this completion.
    pub fn bill(mut self, completion: &mut Completion) {
        if let Some((purse, ticket)) = self.0.take() {
            purse.bill(ticket, completion);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((purse, ticket)) = self.0.take() {
            purse.keep(ticket);
        }
    }
}

/// Draws from a model that knows nothing of purses: puts aside for as many samples as it can, draws them, then the
/// rest.
pub async fn draw_within(
    model: &dyn Model,
    request: &Request<'_>,
    purse: &Arc<dyn Purse>,
    sink: mpsc::UnboundedSender<Drawn>,
) -> Result<(), ModelError> {
    let most = Most::of_request(request);
    let mut changes = purse.changes();
    let mut rest = *request;
    while rest.count > 0 && !sink.is_closed() {
        let mut holds = BTreeMap::new();
        for index in rest.indices().take(TOGETHER) {
            match Hold::take(purse, model.identity(), &most).await {
                Ok(Some(hold)) => holds.insert(index, hold),
                Err(error) if holds.is_empty() => return failed(request, &rest, &sink, error),
                Ok(None) | Err(_) => break,
            };
        }
        if holds.is_empty() {
            tokio::select! {
                _ = changes.changed() => {}
                () = sink.closed() => {}
            }
            continue;
        }
        let count = holds.len();
        let (inner, mut drawn) = mpsc::unbounded_channel();
        let part = Request { count, ..rest };
        let mut drawing = model.draw(&part, inner);
        let mut result = None;
        loop {
            tokio::select! {
                biased;
                () = sink.closed(), if !drawn.is_closed() => drawn.close(),
                event = drawn.recv() => match event {
                    Some(Drawn::Sample(mut completion)) => {
                        if let Some(hold) = holds.remove(&completion.index) {
                            hold.bill(&mut completion);
                        }
                        let _ = sink.send(Drawn::Sample(completion));
                    }
                    Some(other) => drop(sink.send(other)),
                    None if result.is_some() => break,
                    None => result = Some((&mut drawing).await),
                },
                ended = &mut drawing, if result.is_none() => result = Some(ended),
            }
        }
        if let Some(Err(error)) = result {
            return failed(request, &rest, &sink, error);
        }
        rest.count -= count;
        rest.first = rest.first.saturating_add(count.saturating_mul(rest.step));
    }
    Ok(())
}

/// Nothing could be drawn at all, or only the rest could not.
fn failed(
    request: &Request<'_>,
    rest: &Request<'_>,
    sink: &mpsc::UnboundedSender<Drawn>,
    error: ModelError,
) -> Result<(), ModelError> {
    if rest.count == request.count {
        return Err(error);
    }
    for index in rest.indices() {
        // Nobody listens when the rest is no longer wanted.
        let _ = sink.send(Drawn::Failed { index, error: error.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_says_how_much_it_can_take_whatever_its_owner_put_into_it() {
        let body = json!({"messages": [{"role": "user", "content": "twice"}], "max_tokens": 100});
        let plain = Most::of_body(&body);
        assert_eq!(plain, Most { prompt: body.to_string().len() as u64 + HIDDEN_TOKENS, completion: Some(100) });
        let mut more = body.clone();
        more["max_completion_tokens"] = 700.into();
        more["n"] = 3.into();
        assert_eq!(Most::of_body(&more).completion, Some(2100));
        assert!(Most::of_body(&more).prompt > 3 * plain.prompt);
        let mut unbounded = body;
        unbounded.as_object_mut().unwrap().remove("max_tokens");
        assert_eq!(Most::of_body(&unbounded).completion, None);
    }

    #[test]
    fn what_is_no_ascii_may_be_taken_apart() {
        // Three bytes, and six once it is normalised.
        assert_eq!(most_tokens("\u{958}"), 9 + HIDDEN_TOKENS);
        assert_eq!(most_tokens("abc"), 3 + HIDDEN_TOKENS);
    }
}
