//! Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter …
//!
//! The key goes into one header and nowhere else: not into messages, facts or logs. Redirects are not followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::sampling::{Rng, derived_seed};
use super::{BoxFuture, Completion, Drawn, Finish, Identity, Model, ModelError, Parameters, Request};

/// The address of OpenAI itself.
pub const OPENAI: &str = "https://api.openai.com/v1";
const DEFAULT_TEMPERATURE: f32 = 0.8;
const DEFAULT_MAX_TOKENS: usize = 2048;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest reply that is read, in bytes.
const LONGEST_REPLY: usize = 8 << 20;
/// Longest part of a server's own message that is shown, in characters.
const LONGEST_REASON: usize = 300;
/// How often one sample is asked for, at most.
const ATTEMPTS: u32 = 5;
/// Longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How a server is reached.
#[derive(Clone)]
pub struct Options {
    /// The address that `/chat/completions` is appended to, e.g. `http://localhost:8000/v1`.
    pub base_url: String,
    /// The key, where the server wants one.
    pub key: Option<String>,
    /// Requests in flight at once, at least 1.
    pub concurrency: usize,
    /// Time for one request, answer included.
    pub timeout: Duration,
    /// The first wait before a request is repeated; it doubles each time.
    pub backoff: Duration,
}

impl Options {
    /// The usual limits for the server at `base_url`.
    pub fn new(base_url: impl Into<String>, key: Option<String>) -> Self {
        Self {
            base_url: base_url.into(),
            key,
            concurrency: 16,
            timeout: Duration::from_secs(300),
            backoff: Duration::from_millis(500),
        }
    }
}

/// A model behind an OpenAI-compatible server.
pub struct OpenAi {
    identity: Identity,
    wire: Arc<Wire>,
}

/// What the tasks share.
struct Wire {
    client: reqwest::Client,
    url: String,
    model: String,
    key: Option<String>,
    timeout: Duration,
    backoff: Duration,
    gate: Semaphore,
    refused: Refused,
}

/// Parameters that this server has refused, so that they are asked once and not again.
#[derive(Default)]
struct Refused {
    max_tokens: AtomicBool,
    temperature: AtomicBool,
    top_p: AtomicBool,
    seed: AtomicBool,
}

/// A builder of HTTP clients for `url`, with this program's TLS and the environment's proxies.
///
/// What begins with https stays https, and what runs on this machine is reached without a proxy.
pub(crate) fn http_client(url: &str) -> reqwest::ClientBuilder {
    // An error says that it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = reqwest::Url::parse(url).ok();
    let is_local = matches!(url.as_ref().and_then(|url| url.host_str()), Some("localhost" | "127.0.0.1" | "[::1]"));
    let client = reqwest::Client::builder()
        .user_agent(concat!("llmc/", env!("CARGO_PKG_VERSION")))
        .https_only(url.is_some_and(|url| url.scheme() == "https"));
    if is_local { client.no_proxy() } else { client }
}

impl OpenAi {
    /// The model called `name` on the server of `options`. Opens no connection yet.
    pub fn new(name: &str, options: Options) -> Result<Self, ModelError> {
        let settings = ModelError::Settings;
        let base = options.base_url.trim().trim_end_matches('/');
        let mut parsed = reqwest::Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| settings("base_url is no http or https address".into()))?;
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
            return Err(settings("base_url must hold no user, password or query; the key has its own setting".into()));
        }
        parsed.set_fragment(None);
        let base = parsed.as_str().trim_end_matches('/').trim_end_matches("/chat/completions").to_owned();

        let mut headers = HeaderMap::new();
        let key = options.key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        if let Some(key) = &key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| settings("the key holds characters that no HTTP header may hold".into()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = http_client(&base)
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
            .timeout(options.timeout)
            .build()
            .map_err(|error| settings(format!("no HTTP client can be made: {}", chain(&error))))?;
        Ok(Self {
            identity: Identity {
                provider: "openai".into(),
                name: name.into(),
                digest: None,
                facts: vec![("base_url".into(), base.clone())],
            },
            wire: Arc::new(Wire {
                client,
                url: format!("{base}/chat/completions"),
                model: name.into(),
                key,
                timeout: options.timeout,
                backoff: options.backoff,
                gate: Semaphore::new(options.concurrency.clamp(1, 1024)),
                refused: Refused::default(),
            }),
        })
    }
}

impl Model for OpenAi {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn draw<'a>(
        &'a self,
        request: &'a Request<'a>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            let messages = Arc::new(messages(&request.prompt.system, &request.prompt.user));
            for index in request.first..request.first + request.count {
                let (wire, messages, parameters) = (self.wire.clone(), messages.clone(), request.parameters.clone());
                tasks.spawn(async move { (index, wire.sample(index, &messages, &parameters).await) });
            }
            // Failures wait until something succeeds: if nothing does, the first of them is the whole answer.
            let mut failures = Vec::new();
            let mut any = false;
            loop {
                let ended = tokio::select! {
                    () = sink.closed() => return Ok(()),
                    ended = tasks.join_next() => ended,
                };
                match ended {
                    None => break,
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                    Some(Ok((_, Ok(completion)))) => {
                        any = true;
                        let _ = sink.send(Drawn::Tokens(completion.completion_tokens));
                        let _ = sink.send(Drawn::Sample(completion));
                    }
                    Some(Ok((_, Err(error @ ModelError::Unauthorized { .. })))) if !any => return Err(error),
                    Some(Ok((index, Err(error)))) => failures.push((index, error)),
                }
                if any {
                    for (index, error) in failures.drain(..) {
                        let _ = sink.send(Drawn::Failed { index, error });
                    }
                }
            }
            match failures.into_iter().next() {
                Some((_, error)) => Err(error),
                None => Ok(()),
            }
        })
    }
}

/// What came of one request.
enum Attempt {
    Done(Box<Completion>),
    /// It may work later.
    Again(ModelError),
    /// It works without a parameter that is now known to be refused.
    Otherwise(ModelError),
    Never(ModelError),
}

impl Wire {
    async fn sample(&self, index: usize, messages: &Value, parameters: &Parameters) -> Result<Completion, ModelError> {
        let _permit = self.gate.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        let mut jitter = Rng::new(parameters.seed ^ u64::from(std::process::id()), index);
        let mut attempt = 0;
        // Each of the four parameters can be refused once.
        let mut changes = 0;
        loop {
            let error = match self.attempt(index, messages, parameters, started).await {
                Attempt::Done(completion) => return Ok(*completion),
                Attempt::Never(error) => return Err(error),
                Attempt::Otherwise(_) if changes < 4 => {
                    changes += 1;
                    continue;
                }
                Attempt::Otherwise(error) => return Err(error),
                Attempt::Again(error) => error,
            };
            attempt += 1;
            let asked = match &error {
                ModelError::Busy { retry_after, .. } => *retry_after,
                _ => None,
            };
            if attempt >= ATTEMPTS || asked.is_some_and(|wait| wait > LONGEST_WAIT) {
                return Err(error);
            }
            let backoff = self.backoff * 2_u32.pow(attempt - 1);
            let wait = asked.unwrap_or_default().max(backoff).mul_f64(1.0 + jitter.fraction() / 2.0);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, index: usize, messages: &Value, parameters: &Parameters, started: Instant) -> Attempt {
        let unset = |flag: &AtomicBool| !flag.load(Ordering::Relaxed);
        let mut body = json!({"model": self.model, "messages": messages, "stream": false});
        let max_tokens = parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        let max_name = if unset(&self.refused.max_tokens) { "max_tokens" } else { "max_completion_tokens" };
        body[max_name] = json!(max_tokens);
        // What OpenAI's reasoning models insist on, and so what is recorded for them.
        let mut temperature = 1.0;
        if unset(&self.refused.temperature) {
            temperature = parameters.temperature.unwrap_or(DEFAULT_TEMPERATURE);
            body["temperature"] = short(temperature);
        }
        if unset(&self.refused.top_p) {
            body["top_p"] = short(parameters.top_p);
        }
        if unset(&self.refused.seed) {
            body["seed"] = json!(derived_seed(parameters.seed, index));
        }

        let mut reply = match self.client.post(&self.url).json(&body).send().await {
            Ok(reply) => reply,
            Err(error) => return self.lost(&error),
        };
        let status = reply.status();
        let retry_after = retry_after(reply.headers());
        let location = reply.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        let mut bytes = Vec::new();
        loop {
            match reply.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > LONGEST_REPLY => {
                    return Attempt::Never(self.bad(format!("more than {} MiB", LONGEST_REPLY >> 20)));
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) if error.is_timeout() => return self.lost(&error),
                Err(_) => return Attempt::Again(self.bad("something that was cut off".into())),
            }
        }
        let url = || self.url.clone();
        match status.as_u16() {
            200..=299 => match completion(&bytes, index, temperature, started) {
                Ok(completion) => Attempt::Done(Box::new(completion)),
                Err(reason) => Attempt::Never(self.bad(self.scrub(&reason))),
            },
            300..=399 => {
                let to = location.map(|to| format!(" to {}", self.scrub(&to))).unwrap_or_default();
                Attempt::Never(
                    self.bad(format!("with a redirect{to} (HTTP {status}); set base_url to the address meant")),
                )
            }
            401 | 403 => Attempt::Never(ModelError::Unauthorized { url: url(), status: status.as_u16() }),
            429 if spent(&bytes) => Attempt::Never(self.bad(self.said(status, &bytes))),
            429 | 503 | 529 => Attempt::Again(ModelError::Busy { url: url(), status: status.as_u16(), retry_after }),
            408 | 409 | 500..=599 => Attempt::Again(self.bad(self.said(status, &bytes))),
            400 | 422 if self.refuse(&bytes, &body) => Attempt::Otherwise(self.bad(self.said(status, &bytes))),
            _ => Attempt::Never(self.bad(self.said(status, &bytes))),
        }
    }

    /// Notes which parameter of `body` the server's message refuses, if one.
    fn refuse(&self, reply: &[u8], body: &Value) -> bool {
        let reply: Value = serde_json::from_slice(reply).unwrap_or_default();
        let error = &reply["error"];
        let named = error["param"].as_str().unwrap_or_default();
        let message = error["message"].as_str().or(error.as_str()).unwrap_or_default();
        let unsupported = message.to_ascii_lowercase().contains("support");
        let parameters = [
            ("max_tokens", &self.refused.max_tokens),
            ("temperature", &self.refused.temperature),
            ("top_p", &self.refused.top_p),
            ("seed", &self.refused.seed),
        ];
        for (name, flag) in parameters {
            let is_meant = named == name || message.contains(&format!("'{name}'"));
            if unsupported && is_meant && body.get(name).is_some() {
                flag.store(true, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn lost(&self, error: &reqwest::Error) -> Attempt {
        let url = self.url.clone();
        if error.is_connect() {
            Attempt::Never(ModelError::Unreachable { url, reason: self.scrub(&chain(error)) })
        } else if error.is_timeout() {
            Attempt::Never(ModelError::Timeout { url, seconds: self.timeout.as_secs() })
        } else {
            Attempt::Again(ModelError::Unreachable { url, reason: self.scrub(&chain(error)) })
        }
    }

    fn bad(&self, reason: String) -> ModelError {
        ModelError::BadReply { url: self.url.clone(), reason }
    }

    /// The server's own words, without the key.
    fn said(&self, status: StatusCode, body: &[u8]) -> String {
        let reply: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = [&reply["error"]["message"], &reply["error"], &reply["message"], &reply["detail"]]
            .into_iter()
            .find_map(Value::as_str)
            .map_or_else(|| excerpt(body), str::to_owned);
        let message = self.scrub(&message);
        if message.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {message}") }
    }

    fn scrub(&self, text: &str) -> String {
        let text = match &self.key {
            Some(key) => text.replace(key.as_str(), "[key]"),
            None => text.to_owned(),
        };
        shorten(&text)
    }
}

fn messages(system: &str, user: &str) -> Value {
    if system.is_empty() {
        json!([{"role": "user", "content": user}])
    } else {
        json!([{"role": "system", "content": system}, {"role": "user", "content": user}])
    }
}

/// `0.8` and not `0.800000011920929`, which is what the same number is in 64 bits.
fn short(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// Whether a 429 means that there is no money left, which waiting does not mend.
fn spent(body: &[u8]) -> bool {
    let reply: Value = serde_json::from_slice(body).unwrap_or_default();
    reply["error"]["code"] == "insufficient_quota" || reply["error"]["type"] == "insufficient_quota"
}

fn completion(body: &[u8], index: usize, temperature: f32, started: Instant) -> Result<Completion, String> {
    let reply: Value = serde_json::from_slice(body).map_err(|_| match excerpt(body) {
        text if text.is_empty() => "nothing".to_owned(),
        text => format!("something that is no JSON: {text}"),
    })?;
    if let Some(message) = reply["error"]["message"].as_str().or(reply["error"].as_str()) {
        return Err(format!("with an error: {message}"));
    }
    let choice = match reply["choices"].as_array().map(Vec::as_slice) {
        Some([choice, ..]) => choice,
        Some([]) => return Err("with no choices".into()),
        None => return Err("JSON that is no chat completion".into()),
    };
    let message = &choice["message"];
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        Value::Null if message.is_object() => message["refusal"].as_str().unwrap_or_default().to_owned(),
        _ => return Err("JSON that is no chat completion".into()),
    };
    let tokens = |name: &str| reply["usage"][name].as_u64().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    Ok(Completion {
        index,
        finish: match choice["finish_reason"].as_str() {
            Some("length") => Finish::Length,
            Some("content_filter") => Finish::Filter,
            _ => Finish::Stop,
        },
        prompt_tokens: tokens("prompt_tokens").unwrap_or(0),
        // A server that does not count: about four bytes to a token.
        completion_tokens: tokens("completion_tokens").unwrap_or(text.len().div_ceil(4)),
        text,
        temperature,
        style: "chat".into(),
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// How long a server wants us to wait. It may also name a date, which no server for models does.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = milliseconds("retry-after-ms")
        .map(|value| value / 1000.0)
        .or_else(|| headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn excerpt(body: &[u8]) -> String {
    shorten(&String::from_utf8_lossy(&body[..body.len().min(LONGEST_REASON * 4)]))
}

/// On one line, without control characters, not too long.
fn shorten(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    match line.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// An error with all its causes, on one line, without the address.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
