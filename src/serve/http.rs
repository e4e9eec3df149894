//! HTTP: components by name under `/v1`, and MCP at `/mcp`.
//!
//! Everything that a client can make the server wait for or keep has a limit. An answer is one JSON value: there are no
//! streams and no sessions.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::access::{Access, Refused};
use super::mcp::{
    self, Failure, HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Message, PARSE_ERROR, Version,
};
use super::patience::Patient;
use super::{Done, Served, is_from_below};
use crate::harness::{CallError, Class};
use crate::interrupt::Interrupt;

/// Most lines in the head of a request.
const HEADERS: usize = 64;
/// How long accepting rests where it failed: there may be no file descriptor left.
const REST: Duration = Duration::from_millis(50);

/// What is asked of an allowed web page's browser beforehand.
const ASKED: &str = "authorization, content-type, mcp-method, mcp-name, mcp-protocol-version";

type Reply = Response<Full<Bytes>>;

/// Serves until `interrupt` comes, and then finishes what is under way, as long as the limits allow.
///
/// # Errors
/// Where the listener is of no use.
pub async fn http(served: &Served, listener: TcpListener, access: Access, interrupt: &Interrupt) -> io::Result<()> {
    listener.local_addr()?;
    let limits = served.limits();
    let site = Arc::new(Site { served: served.clone(), access });
    let places = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the places are never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = interrupt.wait() => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let (site, stopping) = (site.clone(), stopping.clone());
                connections.spawn(async move {
                    connected(site, stream, stopping).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
    drop(listener);
    stop.send_replace(true);
    let finishing = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.grace, finishing).await;
    connections.shutdown().await;
    served.settle().await;
    Ok(())
}

async fn connected(site: Arc<Site>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let limits = site.served.limits().clone();
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.reply(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_size)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.patience)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // What went wrong with a connection is its client's affair.
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// What is served, and to whom.
struct Site {
    served: Served,
    access: Access,
}

impl Site {
    async fn reply(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let origin = match self.access.addressed(&parts) {
            Ok(origin) => origin.cloned(),
            Err(refused) => return finished(refusal(&refused), None),
        };
        let reply = self.route(&parts, body, origin.is_some()).await;
        finished(reply.unwrap_or_else(|refused| refusal(&refused)), origin)
    }

    async fn route(&self, parts: &Parts, body: Incoming, is_page: bool) -> Result<Reply, Refused> {
        let path = parts.uri.path();
        if is_page && parts.method == Method::OPTIONS {
            let mut reply = Response::new(Full::default());
            *reply.status_mut() = StatusCode::NO_CONTENT;
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ASKED));
            return Ok(reply);
        }
        if path == "/healthz" {
            allow(parts, &[Method::GET])?;
            return Ok(reply(StatusCode::OK, &json!({"ok": true})));
        }
        self.access.authorized(parts)?;
        match path {
            "/mcp" => {
                allow(parts, &[Method::POST])?;
                let body = self.body(parts, body).await?;
                Ok(self.mcp(parts, &body).await)
            }
            "/v1/components" => {
                allow(parts, &[Method::GET])?;
                Ok(reply(StatusCode::OK, &json!({"components": self.served.describe_all()})))
            }
            _ => match path.strip_prefix("/v1/components/") {
                Some(name) => self.component(parts, name, body).await,
                None => Err(Refused::new(
                    StatusCode::NOT_FOUND,
                    "not-found",
                    "there is nothing here: /v1/components lists what can be called",
                )),
            },
        }
    }

    async fn component(&self, parts: &Parts, name: &str, body: Incoming) -> Result<Reply, Refused> {
        allow(parts, &[Method::GET, Method::POST])?;
        let Some(description) = self.served.describe(name) else {
            let names = super::list(self.served.names());
            let message = format!("no component is called that; there are {names}");
            return Ok(called(name, None, Err(CallError::new(name, Class::Unknown, message))));
        };
        if parts.method == Method::GET {
            return Ok(reply(StatusCode::OK, &json!(description)));
        }
        let body = self.body(parts, body).await?;
        let input: Value = serde_json::from_slice(&body).map_err(|error| {
            Refused::new(StatusCode::BAD_REQUEST, "bad-request", format!("the body is not JSON: {error}"))
        })?;
        let Done { run, usage, result } = self.served.call(name, input).await;
        Ok(called(name, Some((&run, usage)), result))
    }

    /// The whole body, within the limits.
    async fn body(&self, parts: &Parts, body: Incoming) -> Result<Bytes, Refused> {
        let limits = self.served.limits();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // A web page can send other kinds anywhere without being asked, but not this one.
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let message = "the body must be JSON: Content-Type: application/json";
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-request", message));
        }
        let too_large = || {
            let message = format!("the body is longer than {} bytes", limits.message);
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
        };
        if body.size_hint().lower() > limits.message as u64 {
            return Err(too_large());
        }
        let whole = tokio::time::timeout(limits.body, Limited::new(body, limits.message).collect()).await;
        match whole {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Refused::new(StatusCode::BAD_REQUEST, "bad-request", "the body ended too early")),
            Err(_) => {
                let message = format!("the body took longer than {:?}", limits.body);
                Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "too-slow", message))
            }
        }
    }

    /// One MCP message, or in old versions several.
    async fn mcp(&self, parts: &Parts, body: &[u8]) -> Reply {
        let failed = |status, id: &Value, failure: &Failure| reply(status, &failure.to_message(id));
        let bad = |id: &Value, failure: &Failure| failed(StatusCode::BAD_REQUEST, id, failure);
        let header = parts.headers.get(VERSION).map(|version| version.to_str().unwrap_or_default());
        let value: Value = match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(error) => {
                return bad(&Value::Null, &Failure::new(PARSE_ERROR, format!("Parse error: {error}")));
            }
        };
        // As the versions that know the header say of one that is missing.
        let settled = match header.map(Version::read) {
            Some(None) => {
                return bad(&value["id"], &Failure::unsupported(header.unwrap_or_default()));
            }
            Some(Some(version)) => Some(version).filter(|version| !version.is_named()),
            None => Some(Version::V2025_03_26),
        };
        if let Value::Array(batch) = value {
            return self.batch(batch, settled).await;
        }
        let request = match mcp::read(value) {
            Ok(Message::Request(request)) => request,
            Ok(_) => return accepted(),
            Err(wrong) => return bad(&wrong.0, &wrong.1),
        };
        let id = request.id.clone();
        let mut version = match request.version(settled) {
            Ok(version) => version,
            Err(failure) => return bad(&id, &failure),
        };
        if version.is_named()
            && let Err(failure) = matching(parts, header, &request)
        {
            return bad(&id, &failure);
        }
        if request.method == "initialize" && !version.is_named() {
            version = match mcp::settle(&request) {
                Ok(version) => version,
                Err(failure) => return failed(StatusCode::OK, &id, &failure),
            };
        }
        match mcp::answer(&self.served, request, version).await {
            Ok(answer) => reply(StatusCode::OK, &answer),
            Err(failure) if !version.is_named() => failed(StatusCode::OK, &id, &failure),
            Err(failure) if failure.code == METHOD_NOT_FOUND => failed(StatusCode::NOT_FOUND, &id, &failure),
            Err(failure) => bad(&id, &failure),
        }
    }

    async fn batch(&self, batch: Vec<Value>, settled: Option<Version>) -> Reply {
        let most = self.served.limits().batch;
        let bad = |message: String| {
            let failure = Failure::new(INVALID_REQUEST, message);
            reply(StatusCode::BAD_REQUEST, &failure.to_message(&Value::Null))
        };
        let Some(version) = settled.filter(|version| version.has_batches()) else {
            return bad("this version of the protocol has no batches".to_owned());
        };
        if batch.is_empty() || batch.len() > most {
            return bad(format!("a batch has from 1 to {most} messages"));
        }
        let mut asked = JoinSet::new();
        let mut answers: Vec<(usize, Value)> = Vec::new();
        for (place, value) in batch.into_iter().enumerate() {
            match mcp::read(value) {
                Ok(Message::Request(request))
                    if request.method == "initialize" || request.names_version().is_some() =>
                {
                    let failure = Failure::new(INVALID_PARAMS, "that can't be in a batch");
                    answers.push((place, failure.to_message(&request.id)));
                }
                Ok(Message::Request(request)) => {
                    let served = self.served.clone();
                    asked.spawn(async move {
                        let id = request.id.clone();
                        let answer = mcp::answer(&served, request, version).await;
                        (place, answer.unwrap_or_else(|failure| failure.to_message(&id)))
                    });
                }
                Ok(_) => {}
                Err(wrong) => answers.push((place, wrong.1.to_message(&wrong.0))),
            }
        }
        answers.extend(asked.join_all().await);
        answers.sort_by_key(|(place, _)| *place);
        let answers: Vec<Value> = answers.into_iter().map(|(_, answer)| answer).collect();
        if answers.is_empty() { accepted() } else { reply(StatusCode::OK, &answers.into()) }
    }
}

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Holds what the headers of a request say against its body, as the versions that name theirs want it: whatever stands
/// in between goes by the headers.
fn matching(parts: &Parts, version: Option<&str>, request: &mcp::Request) -> Result<(), Failure> {
    let header = |name: &'static str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let decoded = |text: &str| match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        Some(text) => STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
        None => Some(text.to_owned()),
    };
    let same = |name: &str, header: Option<String>, body: Option<&str>| match header {
        Some(header) if Some(header.as_str()) == body => Ok(()),
        Some(_) => Err(Failure::new(HEADER_MISMATCH, format!("Header mismatch: {name} is not what the body says"))),
        None => Err(Failure::new(HEADER_MISMATCH, format!("Header mismatch: {name} is missing, or can't be read"))),
    };
    same("MCP-Protocol-Version", version.map(str::to_owned), request.names_version().and_then(Value::as_str))?;
    same("Mcp-Method", header("mcp-method").map(str::to_owned), Some(&request.method))?;
    if request.method == "tools/call" {
        let name = request.params.get("name").and_then(Value::as_str);
        same("Mcp-Name", header("mcp-name").and_then(decoded), name)?;
    }
    Ok(())
}

fn allow(parts: &Parts, methods: &[Method]) -> Result<(), Refused> {
    if methods.contains(&parts.method) {
        return Ok(());
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "bad-method", names.join(", ")))
}

/// The status that tells of an error.
fn status(error: &CallError) -> StatusCode {
    match error.class {
        // A mistake of a component in the middle is none of the caller's.
        Class::Unknown | Class::NotATool | Class::Input if is_from_below(error) => StatusCode::INTERNAL_SERVER_ERROR,
        Class::Unknown => StatusCode::NOT_FOUND,
        Class::NotATool | Class::Denied => StatusCode::FORBIDDEN,
        Class::Input => StatusCode::BAD_REQUEST,
        Class::Refusal | Class::FormatViolation | Class::Disagreement | Class::Provider => StatusCode::BAD_GATEWAY,
        Class::Abstained => StatusCode::UNPROCESSABLE_ENTITY,
        Class::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        Class::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Class::Budget => StatusCode::PAYMENT_REQUIRED,
        Class::Depth => StatusCode::LOOP_DETECTED,
        Class::Diverged => StatusCode::CONFLICT,
        Class::Failed | Class::Panicked | Class::Record => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn called(
    name: &str,
    run: Option<(&str, crate::harness::Usage)>,
    result: Result<crate::harness::Answer, CallError>,
) -> Reply {
    let (id, usage) = run.unzip();
    match result {
        Ok(answer) => {
            let told = json!({
                "output": answer.value, "side": answer.side, "model": answer.model, "run": id, "usage": usage,
            });
            reply(StatusCode::OK, &told)
        }
        Err(error) => {
            let told = json!({"error": {
                "class": error.class, "message": error.message, "component": name, "side": error.side,
                "chain": error.chain, "run": id,
            }});
            reply(status(&error), &told)
        }
    }
}

fn refusal(refused: &Refused) -> Reply {
    let Refused { status, class, message } = refused;
    let told = match *status {
        StatusCode::METHOD_NOT_ALLOWED => format!("this can be asked with {message}"),
        _ => message.clone(),
    };
    let mut reply = reply(*status, &json!({"error": {"class": class, "message": told}}));
    let headers = reply.headers_mut();
    match *status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_str(message).expect("names of methods can be sent"));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The rest of the body is not waited for.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    reply
}

fn accepted() -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}

fn reply(status: StatusCode, value: &Value) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// What every reply says.
fn finished(mut reply: Reply, origin: Option<HeaderValue>) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
    reply
}
