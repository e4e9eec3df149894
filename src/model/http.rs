//! What servers of models have in common: the client, time limits, retries, what goes wrong and what it means.
//!
//! A [`Dialect`] says how a request is written and an answer is read. The key goes into one header and nowhere else:
//! not into messages, facts or logs. Redirects are not followed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, Url};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::{Answer, Fault};
use super::each::each;
use super::error::Wait;
use super::pace::{Pace, Turn};
use super::purse::{Hold, Most, Purse};
use super::secret::Secrets;
use super::structure::Wired;
use super::trouble::{self, Trouble, Way};
use super::{BoxFuture, Completion, Drawn, Finish, Identity, Model, ModelError, Parameters, Request, Talk};
use super::{reasoning, refusal, sse};
use crate::prompt::Prompt;

/// The temperature where nobody asks for one.
pub(super) const DEFAULT_TEMPERATURE: f32 = 0.8;
/// Longest completion where nobody says.
pub(super) const DEFAULT_MAX_TOKENS: usize = 2048;
/// Requests at once where nobody says.
pub(super) const DEFAULT_CONCURRENCY: usize = 64;
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 32 << 20;
/// Longest error message that is read, in bytes.
const LONGEST_COMPLAINT: usize = 256 << 10;
/// Longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a request may be changed because of what a server refuses.
const MOST_CHANGES: usize = 12;
/// Tokens that are reported together while they stream in.
const TOKENS_AT_ONCE: usize = 16;
/// After the answer is over: how long the connection may take to be free for the next.
const DRAIN: Duration = Duration::from_millis(50);

/// Hears what a person should know.
pub type Note = Arc<dyn Fn(String) + Send + Sync>;

/// How a server is reached.
#[derive(Clone)]
pub struct Server {
    /// What a dialect's path is appended to, e.g. `http://localhost:8000/v1`.
    pub base_url: String,
    /// The key, where the server wants one.
    pub key: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Appended to the address.
    pub query: Vec<(String, String)>,
    /// More fields of a request.
    pub body: Map<String, Value>,
    /// Texts that end a completion.
    pub stop: Vec<String>,
    /// Whether the answer is begun for the model.
    pub prefill: bool,
    /// Most requests in flight at once, at least 1.
    pub concurrency: usize,
    /// Time to connect.
    pub connect: Duration,
    /// Time to the first piece of an answer.
    pub first_token: Duration,
    /// Longest silence within an answer.
    pub idle: Duration,
    /// Time for one completion.
    pub whole: Duration,
    /// The first wait before a request is repeated is at most this; it doubles each time.
    pub backoff: Duration,
    /// Seeds the randomness of waits.
    pub jitter: u64,
    /// The pace to share with others who ask this server.
    pub pace: Option<Arc<Pace>>,
    /// What must appear in no text; the key is added to it.
    pub secrets: Secrets,
    /// Hears what was found out about the server.
    pub note: Option<Note>,
}

impl Server {
    /// The server at `base_url` with the usual limits.
    pub fn new(base_url: impl Into<String>, key: Option<String>) -> Self {
        Self {
            base_url: base_url.into(),
            key,
            headers: Vec::new(),
            query: Vec::new(),
            body: Map::new(),
            stop: Vec::new(),
            prefill: false,
            concurrency: DEFAULT_CONCURRENCY,
            connect: Duration::from_secs(10),
            // Models that reason in silence take minutes.
            first_token: Duration::from_secs(300),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(900),
            backoff: Duration::from_millis(500),
            jitter: u64::from(std::process::id()),
            pace: None,
            secrets: Secrets::default(),
            note: None,
        }
    }
}

/// A request as a dialect writes it.
#[derive(Default)]
pub struct Asked {
    /// The body.
    pub body: Value,
    /// What of it can be left out, if the server refuses it.
    pub optional: Vec<&'static str>,
    /// What was asked for and is not in it.
    pub left_out: Vec<String>,
    /// The temperature that it is drawn at.
    pub temperature: f32,
    /// How the answer was begun; empty where it was not.
    pub opening: String,
    /// What the answer was asked to be.
    pub wired: Option<Wired>,
    /// The name of the tool whose input is the answer, where that is how it was asked for.
    pub answer_tool: Option<&'static str>,
}

/// What a request is made of.
pub struct Ask<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// How to sample.
    pub parameters: &'a Parameters,
    /// The sample's index.
    pub index: usize,
    /// What comes after the prompt.
    pub talk: Option<&'a Talk>,
    /// Whether other samples have the same prompt.
    pub shared: bool,
    /// How the server is reached.
    pub server: &'a Server,
    /// What it refuses.
    pub without: &'a BTreeSet<&'static str>,
}

/// How a kind of server is spoken to. Pure.
pub trait Dialect: Send + Sync + 'static {
    /// The provider's name.
    const PROVIDER: &'static str;
    /// What is appended to the base address.
    const PATH: &'static str;

    /// The headers of every request, the key's among them.
    fn headers(key: Option<&str>) -> Vec<(&'static str, String)>;

    /// Writes a request.
    fn write(ask: &Ask<'_>) -> Asked;

    /// Reads a piece of a streamed answer.
    fn piece(answer: &mut Answer, event: &sse::Event) -> Result<(), Fault>;

    /// Reads an answer that came at once.
    fn whole(answer: &mut Answer, reply: &Value) -> Result<(), Fault>;
}

/// A model behind a server.
pub struct Remote<D> {
    identity: Identity,
    wire: Arc<Wire<D>>,
}

/// What the samples share.
struct Wire<D> {
    client: reqwest::Client,
    identity: Identity,
    /// As it is asked, query included.
    url: Url,
    /// As it is shown.
    shown: String,
    model: String,
    server: Server,
    pace: Arc<Pace>,
    secrets: Secrets,
    /// What this server has refused of this model, so that it is asked for once and not again.
    without: Mutex<BTreeSet<&'static str>>,
    dialect: std::marker::PhantomData<fn() -> D>,
}

/// A builder of HTTP clients for `url`, with this program's TLS and the environment's proxies.
///
/// What begins with https stays https, and what runs on this machine is reached without a proxy.
pub(crate) fn http_client(url: &str) -> reqwest::ClientBuilder {
    // An error says that it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = Url::parse(url).ok();
    let client = reqwest::Client::builder()
        .user_agent(concat!("llmc/", env!("CARGO_PKG_VERSION")))
        .https_only(url.as_ref().is_some_and(|url| url.scheme() == "https"));
    if url.as_ref().is_some_and(is_local) { client.no_proxy() } else { client }
}

/// The same for servers of models, whose redirects are never followed: the key would go along.
pub(crate) fn model_client(url: &str) -> reqwest::ClientBuilder {
    http_client(url).redirect(reqwest::redirect::Policy::none())
}

/// Whether an address is on this machine.
pub(crate) fn is_local(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// An address to append to, without a `/` at its end. Holds no secrets.
pub(crate) fn base(base_url: &str) -> Result<Url, ModelError> {
    let settings = |message: &str| ModelError::Settings(message.to_owned());
    let url = Url::parse(base_url.trim().trim_end_matches('/'))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| settings("base_url is no http or https address"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(settings(
            "base_url holds a name, a password or a query; keys belong in an environment variable, and what else \
             stands in a query belongs in the setting `query`",
        ));
    }
    Ok(url)
}

/// An address with the query that a server wants.
pub(crate) fn address(shown: &str, server: &Server) -> Url {
    let mut url = Url::parse(shown).expect("a path after an address is an address");
    if !server.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&server.query);
    }
    url
}

/// The headers of every request to a server, marked so that no debug output shows them.
pub(crate) fn headers<D: Dialect>(server: &Server) -> Result<HeaderMap, ModelError> {
    let settings = |message: String| ModelError::Settings(message);
    let mut headers = HeaderMap::new();
    let own = D::headers(server.key.as_deref());
    let named = own.iter().map(|(name, value)| (*name, value.as_str(), true));
    let more = server.headers.iter().map(|(name, value)| (name.as_str(), value.as_str(), false));
    for (name, value, is_own) in named.chain(more) {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| settings(format!("`{name}` can't be the name of a header")))?;
        let what = if is_own { "the key".to_owned() } else { format!("the header `{name}`") };
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| settings(format!("{what} holds characters that no HTTP header may hold")))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

impl<D: Dialect> Remote<D> {
    /// The model called `name` on `server`. Opens no connection yet.
    pub fn new(name: &str, server: Server) -> Result<Self, ModelError> {
        let base = base(&server.base_url)?;
        let shown = base.as_str().trim_end_matches('/').to_owned();
        let url = address(&format!("{shown}{}", D::PATH), &server);
        let secrets = server.key.iter().fold(server.secrets.clone(), |secrets, key| secrets.and(key));
        let client = model_client(&shown)
            .default_headers(headers::<D>(&server)?)
            .connect_timeout(server.connect)
            .build()
            .map_err(|error| ModelError::Settings(format!("no HTTP client can be made: {}", chain(&error))))?;
        let mut facts = vec![("base_url".to_owned(), shown.clone())];
        let mut fact = |name: &str, value: Value| facts.push((name.to_owned(), value.to_string()));
        if !server.query.is_empty() {
            fact("query", url.query().into());
        }
        if !server.stop.is_empty() {
            fact("stop", server.stop.clone().into());
        }
        if server.prefill {
            fact("prefill", true.into());
        }
        if !server.body.is_empty() {
            fact("body", Value::Object(server.body.clone()));
        }
        let identity = Identity { provider: D::PROVIDER.into(), name: name.into(), digest: None, facts };
        let pace = match &server.pace {
            Some(pace) => pace.clone(),
            None => Arc::new(Pace::new(server.concurrency, server.jitter)),
        };
        let wire = Wire {
            client,
            identity: identity.clone(),
            shown: format!("{shown}{}", D::PATH),
            url,
            model: name.into(),
            pace,
            server,
            secrets,
            without: Mutex::default(),
            dialect: std::marker::PhantomData,
        };
        Ok(Self { identity, wire: Arc::new(wire) })
    }
}

impl<D: Dialect> Model for Remote<D> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn most(&self, request: &Request<'_>) -> Most {
        Most::of_body(&self.wire.write(request.first, &Job::of(request)).body)
    }

    fn asks_purse(&self) -> bool {
        true
    }

    fn takes_tools(&self) -> bool {
        !self.wire.without().contains("tools")
    }

    fn draw<'a>(
        &'a self,
        request: &'a Request<'a>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(async move {
            let job = Arc::new(Job::of(request));
            let sample = |index| {
                let (wire, job, sink) = (self.wire.clone(), job.clone(), sink.clone());
                async move { wire.sample(index, &job, &sink).await }
            };
            each(request, &sink, sample).await
        })
    }
}

/// What the samples of one request share.
struct Job {
    prompt: Prompt,
    parameters: Parameters,
    talk: Option<Talk>,
    shared: bool,
    purse: Option<Arc<dyn Purse>>,
}

impl Job {
    fn of(request: &Request<'_>) -> Self {
        Self {
            prompt: request.prompt.clone(),
            parameters: request.parameters.clone(),
            talk: request.talk.cloned(),
            shared: request.count > 1,
            purse: request.purse.cloned(),
        }
    }
}

/// What came of one request.
enum Attempt {
    Done(Box<Completion>),
    /// It works without something that is now known to be refused.
    Without(ModelError),
    /// It was not sent, or not taken up: nobody bills for that.
    Refused(ModelError, Way),
    /// It failed, and may have cost something before it did.
    Failed(ModelError, Way),
}

impl<D: Dialect> Wire<D> {
    async fn sample(
        &self,
        index: usize,
        job: &Job,
        sink: &mpsc::UnboundedSender<Drawn>,
    ) -> Result<Completion, ModelError> {
        let started = Instant::now();
        let (mut failures, mut refusals, mut changes) = (0, 0, 0);
        let mut answered = self.pace.answered();
        loop {
            let asked = self.write(index, job);
            let (turn, hold) = self.leave(job, &Most::of_body(&asked.body)).await?;
            let (error, way) = match self.attempt(index, asked, started, sink).await {
                Attempt::Done(mut completion) => {
                    turn.kept_up();
                    hold.bill(&mut completion);
                    return Ok(*completion);
                }
                Attempt::Without(error) => {
                    hold.give_back();
                    if changes == MOST_CHANGES {
                        return Err(error);
                    }
                    changes += 1;
                    continue;
                }
                Attempt::Refused(error, way) => {
                    hold.give_back();
                    (error, way)
                }
                // What it took will never be told, so that all that was put aside stays spent.
                Attempt::Failed(error, way) => {
                    drop(hold);
                    (error, way)
                }
            };
            let mut asked = None;
            let (count, alone) = match way {
                Way::Never => return Err(error),
                Way::Busy => {
                    if let ModelError::Busy { retry_after, .. } = &error {
                        asked = *retry_after;
                    }
                    let held = turn.refused();
                    // As long as the server answers others it will come to this one.
                    if self.pace.answered() > answered {
                        answered = self.pace.answered();
                        refusals = 0;
                    }
                    refusals += 1;
                    (refusals, held == 0)
                }
                Way::Again | Way::Twice => {
                    match &error {
                        ModelError::Timeout { .. } => turn.stalled(),
                        _ => drop(turn),
                    }
                    failures += 1;
                    (failures, false)
                }
            };
            if count >= way.attempts() || asked.is_some_and(|wait| wait > LONGEST_WAIT) {
                return Err(error);
            }
            let wait = self.pace.backoff(self.server.backoff, count - 1, asked);
            if alone {
                // Nothing of ours was in its way: it limits requests in a time, and the others would fare no better.
                self.pace.quiet_for(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn without(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.without.lock().expect("nobody panics while holding it")
    }

    fn write(&self, index: usize, job: &Job) -> Asked {
        let without = self.without().clone();
        D::write(&Ask {
            model: &self.model,
            prompt: &job.prompt,
            parameters: &job.parameters,
            index,
            talk: job.talk.as_ref(),
            shared: job.shared,
            server: &self.server,
            without: &without,
        })
    }

    /// Leave to send one request: a turn, and the most it can take put aside.
    async fn leave(&self, job: &Job, most: &Most) -> Result<(Turn<'_>, Hold), ModelError> {
        let Some(purse) = &job.purse else { return Ok((self.pace.turn().await, Hold::nothing())) };
        let mut changes = purse.changes();
        loop {
            // In this order: what waits for its turn holds nobody's money.
            let turn = self.pace.turn().await;
            if let Some(hold) = Hold::take(purse, &self.identity, most).await? {
                return Ok((turn, hold));
            }
            drop(turn);
            // An error would say that nobody keeps the purse any more, which the next question finds out.
            let _ = changes.changed().await;
        }
    }

    async fn attempt(
        &self,
        index: usize,
        asked: Asked,
        started: Instant,
        sink: &mpsc::UnboundedSender<Drawn>,
    ) -> Attempt {
        let now = Instant::now();
        let end = now + self.server.whole;
        // A server that can't stream says nothing before it is done.
        let patience = match asked.left_out.iter().any(|name| name == "stream") {
            true => Deadline { at: end, wait: Wait::Whole, limit: self.server.whole },
            false => {
                Deadline { at: now + self.server.first_token, wait: Wait::FirstToken, limit: self.server.first_token }
            }
        };
        let ends = Deadline { at: end, wait: Wait::Whole, limit: self.server.whole };
        let send = self.client.post(self.url.clone()).json(&asked.body).send();
        let mut reply = match patience.or(ends).hold(send).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return self.lost(&error),
            Err(deadline) => return self.late(deadline),
        };
        let status = reply.status().as_u16();
        if status >= 300 {
            let body = self.complaint(&mut reply, ends).await;
            if matches!(status, 400 | 422)
                && let Some(name) = refusal::refused(&body, &asked.optional)
            {
                self.do_without(name);
                let (error, _) = self.explain(&Trouble::read(status, reply.headers(), &body));
                return Attempt::Without(error);
            }
            let (error, way) = self.explain(&Trouble::read(status, reply.headers(), &body));
            // Who refuses a request has not worked on it. What broke down may have, and 408 is what a gateway says that
            // waited for long.
            return match status {
                300..=407 | 409..=499 | 503 | 529 => Attempt::Refused(error, way),
                _ => Attempt::Failed(error, way),
            };
        }
        let mut tokens = Tokens { sink, told: 0, seen: 0 };
        let answer = match self.read(&mut reply, patience.or(ends), ends, &mut tokens).await {
            Ok(answer) => answer,
            Err(attempt) => {
                // What was generated is paid for.
                tokens.flush();
                return attempt;
            }
        };
        match self.completion(answer, asked, index, started) {
            Ok(completion) => {
                tokens.seen = completion.completion_tokens.max(tokens.seen);
                tokens.flush();
                Attempt::Done(Box::new(completion))
            }
            Err(attempt) => attempt,
        }
    }

    /// Reads an answer, streamed or whole.
    async fn read(
        &self,
        reply: &mut Response,
        first: Deadline,
        ends: Deadline,
        tokens: &mut Tokens<'_>,
    ) -> Result<Answer, Attempt> {
        let kind = reply.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut streamed = (kind == "text/event-stream").then(sse::Reader::default);
        let mut bytes: Vec<u8> = Vec::new();
        let mut answer = Answer::default();
        let mut read = 0;
        let (mut lines, mut alive) = (0, Instant::now());
        loop {
            let idle = Deadline { at: alive + self.server.idle, wait: Wait::Idle, limit: self.server.idle };
            // Signs of life without a token are no answer.
            let is_blank = answer.is_blank() && bytes.is_empty();
            let patience = if is_blank { first } else { idle.or(ends) };
            let chunk = match patience.hold(reply.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                // The answer was whole, and only its end was not told.
                _ if answer.finish.is_some() => break,
                Ok(Err(error)) => return Err(self.cut(&chain(&error))),
                Err(deadline) => return Err(self.late(deadline)),
            };
            read += chunk.len();
            if read > LONGEST_ANSWER {
                return Err(self.bad(format!("more than {} MiB", LONGEST_ANSWER >> 20)));
            }
            let Some(stream) = &mut streamed else {
                // A whole answer may come in small pieces; a trickle runs into the limit of the whole.
                alive = Instant::now();
                bytes.extend_from_slice(&chunk);
                let start = bytes.trim_ascii_start();
                if kind != "application/json" && looks_like_events(start) {
                    let mut stream = sse::Reader::default();
                    self.pieces(&mut stream, &bytes, &mut answer, tokens)?;
                    streamed = Some(stream);
                    bytes.clear();
                }
                continue;
            };
            self.pieces(stream, &chunk, &mut answer, tokens)?;
            // Bytes that never make a line are no sign of life.
            if stream.lines() > lines {
                lines = stream.lines();
                alive = Instant::now();
            }
            if answer.is_over {
                let drain = async { while let Ok(Some(_)) = reply.chunk().await {} };
                let _ = tokio::time::timeout(DRAIN, drain).await;
                break;
            }
        }
        let Some(stream) = streamed else {
            return self.whole(&kind, &bytes, answer);
        };
        let last = stream.finish().map_err(|error| self.bad(error.to_string()))?;
        if let Some(event) = last {
            D::piece(&mut answer, &event).map_err(|fault| self.fault(fault))?;
        }
        if answer.finish.is_none() && !answer.is_over {
            return Err(match answer.is_blank() {
                true if read == 0 => self.empty("a stream without a single event"),
                true => self.cut("the stream ended before its first token"),
                false => self.cut("the stream ended without saying that it does"),
            });
        }
        Ok(answer)
    }

    fn pieces(
        &self,
        stream: &mut sse::Reader,
        bytes: &[u8],
        answer: &mut Answer,
        tokens: &mut Tokens<'_>,
    ) -> Result<(), Attempt> {
        for event in stream.push(bytes).map_err(|error| self.bad(error.to_string()))? {
            D::piece(answer, &event).map_err(|fault| self.fault(fault))?;
        }
        tokens.saw(answer.pieces);
        Ok(())
    }

    /// Reads an answer that came at once.
    fn whole(&self, kind: &str, bytes: &[u8], mut answer: Answer) -> Result<Answer, Attempt> {
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Err(self.empty("the body has no bytes"));
        }
        let Ok(reply) = serde_json::from_slice::<Value>(text) else {
            let shown = self.secrets.shorten(&trouble::said(text));
            return Err(match text.first() {
                Some(b'<') => self.bad(shown),
                Some(b'{' | b'[') => self.bad(format!("JSON that is broken: {shown}")),
                _ if kind.is_empty() => self.bad(format!("something that is no JSON: {shown}")),
                _ => self.bad(format!("something that is no JSON ({}): {shown}", self.secrets.shorten(kind))),
            });
        };
        D::whole(&mut answer, &reply).map_err(|fault| self.fault(fault))?;
        Ok(answer)
    }

    /// The completion that an answer makes.
    fn completion(&self, answer: Answer, asked: Asked, index: usize, started: Instant) -> Result<Completion, Attempt> {
        let (thought, text) = reasoning::split(&answer.text);
        let reasoning = if answer.reasoning.is_empty() { thought } else { answer.reasoning };
        let finish = answer.finish.unwrap_or(Finish::Stop);
        let counted = answer.usage.completion_tokens;
        let is_blank = text.trim().is_empty() && reasoning.is_empty() && answer.calls.is_empty();
        if is_blank && finish == Finish::Stop && counted.unwrap_or(0) == 0 {
            return Err(self.empty("a completion without a single token"));
        }
        // A server that does not count: one token to a piece, and about four bytes to a token.
        let written = answer.calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>();
        let guess = answer.pieces.max((answer.text.len() + reasoning.len() + written).div_ceil(4));
        let mut calls = answer.calls;
        for (at, call) in calls.iter_mut().enumerate() {
            call.arguments = self.secrets.out_of(&call.arguments);
            if call.id.is_empty() {
                call.id = format!("call_{}", at + 1);
            }
        }
        let opened = !asked.opening.is_empty();
        // Some servers repeat how the answer was begun, and some go on from there.
        let mut text = if opened && !text.starts_with(&asked.opening) { asked.opening + &text } else { text };
        let is_answer = |call: &super::ToolCall| asked.answer_tool.is_some_and(|name| call.name == name);
        if let Some(at) = calls.iter().position(is_answer) {
            // Whatever else it called or said: this is the answer.
            text = calls.swap_remove(at).arguments;
            calls.clear();
        }
        let mut constrained = false;
        if let Some(wired) = asked.wired.filter(|_| calls.is_empty() && !answer.refused) {
            let has_form;
            (text, has_form) = wired.unwrap(text);
            // A server that lets its model answer in another form has passed the wish over.
            constrained = has_form && wired.strict && asked.answer_tool.is_none();
        }
        Ok(Completion {
            index,
            // A server that echoes the key must not get it into a record.
            text: self.secrets.out_of(&text),
            finish,
            prompt_tokens: answer.usage.prompt_tokens.unwrap_or(0),
            completion_tokens: counted.unwrap_or(guess),
            temperature: asked.temperature,
            style: if opened { "opened" } else { "chat" }.into(),
            milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            reasoning: self.secrets.out_of(&reasoning),
            reasoning_tokens: answer.usage.reasoning_tokens,
            cached_tokens: answer.usage.cached_tokens,
            cache_written_tokens: answer.usage.cache_written_tokens,
            estimated: counted.is_none() || answer.usage.prompt_tokens.is_none(),
            usd: answer.usage.usd,
            served_as: answer.served_as.map(|name| self.secrets.shorten(&name)),
            left_out: asked.left_out,
            calls,
            refused: answer.refused,
            constrained,
            whole: (!answer.parts.is_empty()).then_some(Value::Array(answer.parts)),
            paid: None,
        })
    }

    /// Notes that the server refuses `name`, and says so the first time.
    fn do_without(&self, name: &'static str) {
        let is_new = self.without().insert(name);
        if let Some(note) = self.server.note.as_ref().filter(|_| is_new) {
            let instead = if name == "max_tokens" && D::PROVIDER == "openai" { "renamed" } else { "left out" };
            note(format!("{} takes no `{name}` for {}: it is {instead}", self.shown, self.model));
        }
    }

    /// What a server says about a failure; whatever can't be read of it does not matter.
    async fn complaint(&self, reply: &mut Response, ends: Deadline) -> Vec<u8> {
        let mut body = Vec::new();
        let limit = self.server.idle;
        let deadline = Deadline { at: Instant::now() + limit, wait: Wait::Idle, limit }.or(ends);
        while let Ok(Ok(Some(chunk))) = deadline.hold(reply.chunk()).await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_COMPLAINT {
                break;
            }
        }
        body
    }

    /// A request that got no answer.
    fn lost(&self, error: &reqwest::Error) -> Attempt {
        let url = self.shown.clone();
        let said = chain(error);
        let reason = self.secrets.shorten(&said);
        let said = said.to_ascii_lowercase();
        if error.is_timeout() {
            let limit = self.server.connect;
            return Attempt::Refused(ModelError::Timeout { url, wait: Wait::Connect, limit }, Way::Twice);
        }
        if is_tls(error) || said.contains("tls handshake") {
            return Attempt::Refused(ModelError::Tls { url, reason }, Way::Never);
        }
        if said.contains("tunnel") || said.contains("proxy") {
            return Attempt::Refused(ModelError::Proxy { url, reason }, Way::Never);
        }
        if error.is_connect() {
            return Attempt::Refused(ModelError::Unreachable { url, reason }, Way::Never);
        }
        Attempt::Failed(ModelError::Cut { url, reason }, Way::Again)
    }

    fn late(&self, deadline: Deadline) -> Attempt {
        let way = if deadline.wait == Wait::Whole { Way::Never } else { Way::Twice };
        let (wait, limit) = (deadline.wait, deadline.limit);
        Attempt::Failed(ModelError::Timeout { url: self.shown.clone(), wait, limit }, way)
    }

    fn cut(&self, reason: &str) -> Attempt {
        let reason = self.secrets.shorten(reason);
        Attempt::Failed(ModelError::Cut { url: self.shown.clone(), reason }, Way::Again)
    }

    fn empty(&self, reason: &str) -> Attempt {
        Attempt::Failed(ModelError::Empty { url: self.shown.clone(), reason: reason.to_owned() }, Way::Again)
    }

    fn bad(&self, reason: String) -> Attempt {
        Attempt::Failed(ModelError::BadReply { url: self.shown.clone(), reason }, Way::Never)
    }

    /// An answer that is none.
    fn fault(&self, fault: Fault) -> Attempt {
        match fault {
            Fault::NotIt(reason) => self.bad(self.secrets.shorten(&reason)),
            Fault::Error(trouble) => {
                let (error, way) = self.explain(&trouble);
                Attempt::Failed(error, way)
            }
        }
    }

    fn explain(&self, trouble: &Trouble) -> (ModelError, Way) {
        trouble.explain(&self.shown, &self.secrets)
    }
}

/// The tokens of one answer, reported in handfuls.
struct Tokens<'a> {
    sink: &'a mpsc::UnboundedSender<Drawn>,
    told: usize,
    seen: usize,
}

impl Tokens<'_> {
    fn saw(&mut self, seen: usize) {
        self.seen = seen;
        if self.seen >= self.told + TOKENS_AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.seen > self.told {
            let _ = self.sink.send(Drawn::Tokens(self.seen - self.told));
            self.told = self.seen;
        }
    }
}

/// When waiting ends, and what for.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    wait: Wait,
    limit: Duration,
}

impl Deadline {
    /// The earlier of two.
    fn or(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    async fn hold<T>(self, future: impl Future<Output = T>) -> Result<T, Self> {
        tokio::time::timeout_at(self.at, future).await.map_err(|_| self)
    }
}

/// Whether an answer without a proper content type is a stream of events.
fn looks_like_events(start: &[u8]) -> bool {
    [&b"data:"[..], b"event:", b"id:", b": "].iter().any(|mark| start.starts_with(mark))
}

/// Whether a connection failed in its TLS.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error hides what it was made of.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| is_tls(inner)) {
            return true;
        }
        next = error.source();
    }
    false
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

/// `0.8` and not `0.800000011920929`, which is what the same number is in 64 bits.
pub(super) fn short(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
