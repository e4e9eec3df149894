//! What servers do, well and badly, and what a user then reads: one suite for both HTTP providers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use llmc::model::anthropic::Anthropic;
use llmc::model::http::Server as Reached;
use llmc::model::openai::OpenAi;
use llmc::model::secret::Secrets;
use llmc::model::{Model, ModelError, Parameters, Request};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::model::{Run, draw, parameters, prompt};
use crate::server::{Reply, Server};

/// A key that must turn up nowhere but in its header.
const CANARY: &str = "sk-canary-5f1e0a9b";
const OK: &str = "```rust\nfn a() {}\n```";
/// What a completion that went well is told as.
const FINE: &str = "ok Stop 11+7 “```rust fn a() {} ```”";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    OpenAi,
    Anthropic,
}

use Kind::{Anthropic as A, OpenAi as O};

const KINDS: [Kind; 2] = [O, A];

impl Kind {
    fn model(self, server: Reached) -> Arc<dyn Model> {
        match self {
            O => Arc::new(OpenAi::new("some-model", server).unwrap()),
            A => Arc::new(Anthropic::new("some-model", server).unwrap()),
        }
    }

    fn path(self) -> &'static str {
        match self {
            O => "/v1/chat/completions",
            A => "/v1/messages",
        }
    }

    fn json(self, text: &str) -> Reply {
        Reply::new(200, self.body(text).to_string()).header("content-type", "application/json")
    }

    fn body(self, text: &str) -> Value {
        match self {
            O => json!({
                "model": "some-model-2026",
                "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 7},
            }),
            A => json!({
                "type": "message", "model": "some-model-2026", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": text}],
                "usage": {"input_tokens": 8, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 7},
            }),
        }
    }

    /// The events of a stream: at first what begins it, then two for each piece of text, then what ends it.
    fn events(self, thoughts: &[&str], pieces: &[&str], reason: &str) -> Vec<String> {
        let mut events = Vec::new();
        match self {
            O => {
                let mut push = |value: Value| events.push(format!("data: {value}\n\n"));
                push(json!({"model": "some-model-2026", "choices": [{"delta": {"role": "assistant", "content": ""}}]}));
                for text in thoughts {
                    push(json!({"choices": [{"delta": {"reasoning_content": text}}]}));
                }
                for text in pieces {
                    push(json!({"choices": [{"delta": {"content": text}}]}));
                }
                push(json!({"choices": [{"delta": {}, "finish_reason": reason}]}));
                push(json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}));
                events.push("data: [DONE]\n\n".into());
            }
            A => {
                let mut push = |value: Value| {
                    events.push(format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap()));
                };
                let usage = json!({"input_tokens": 8, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 1});
                push(
                    json!({"type": "message_start", "message": {"model": "some-model-2026", "content": [], "usage": usage}}),
                );
                for text in thoughts {
                    push(json!({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": text}}));
                }
                for text in pieces {
                    push(json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}));
                }
                push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 7}}));
                push(json!({"type": "message_stop"}));
            }
        }
        events
    }

    fn streamed(self) -> Reply {
        Reply::stream(self.events(&[], &["```rust\nfn a", "() {}\n```"], self.stop()))
    }

    fn stop(self) -> &'static str {
        match self {
            O => "stop",
            A => "end_turn",
        }
    }

    fn error(self, status: u16, kind: &str, message: &str) -> Reply {
        let error = json!({"type": kind, "code": kind, "message": message});
        Reply::new(status, json!({"type": "error", "error": error}).to_string())
            .header("content-type", "application/json")
    }

    /// An error within a stream.
    fn error_event(self, kind: &str, message: &str) -> String {
        let error = json!({"type": kind, "message": message});
        match self {
            O => format!("data: {}\n\n", json!({"error": error})),
            A => format!("event: error\ndata: {}\n\n", json!({"type": "error", "error": error})),
        }
    }
}

/// Which limit is so short that it is met.
#[derive(Clone, Copy)]
enum Short {
    None,
    FirstToken,
    Idle,
    Whole,
}

fn reached(url: &str) -> Reached {
    let mut reached = Reached::new(format!("{url}/v1/"), Some(CANARY.into()));
    reached.backoff = Duration::from_millis(1);
    reached
}

fn reached_with(url: &str, short: Short) -> Reached {
    let mut reached = reached(url);
    let (long, limit) = (Duration::from_secs(25), Duration::from_secs(2));
    (reached.first_token, reached.idle, reached.whole) = match short {
        Short::None => (long, long, long),
        Short::FirstToken => (limit, long, long),
        Short::Idle => (long, limit, long),
        Short::Whole => (long, long, limit),
    };
    reached
}

/// What a user gets to read about a run of one sample, with the server's address as SERVER.
fn told(kind: Kind, run: &Run, server: &Server) -> String {
    let text = match (&run.result, run.completions.as_slice()) {
        (Err(error), []) => format!("{} {error}", error.code()),
        (Ok(()), [completion]) => {
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut text = format!(
                "ok {:?} {}+{} “{}”",
                completion.finish,
                completion.prompt_tokens,
                completion.completion_tokens,
                words(&completion.text)
            );
            if !completion.reasoning.is_empty() {
                text.push_str(&format!(" after “{}”", words(&completion.reasoning)));
            }
            if completion.estimated {
                text.push_str(" estimated");
            }
            // The one provider has no seed, ever.
            let left_out: Vec<&str> =
                completion.left_out.iter().map(String::as_str).filter(|name| kind == O || *name != "seed").collect();
            if !left_out.is_empty() {
                text.push_str(&format!(" without {}", left_out.join(", ")));
            }
            text
        }
        other => panic!("one sample came to {other:?}"),
    };
    text.replace(&format!("{}{}", server.url, kind.path()), "SERVER")
}

struct Behaviour {
    name: &'static str,
    replies: fn(Kind) -> Vec<Reply>,
    short: Short,
    told: &'static str,
    requests: usize,
}

fn behaves(name: &'static str, requests: usize, told: &'static str, replies: fn(Kind) -> Vec<Reply>) -> Behaviour {
    Behaviour { name, replies, short: Short::None, told, requests }
}

fn slow(
    name: &'static str,
    short: Short,
    requests: usize,
    told: &'static str,
    replies: fn(Kind) -> Vec<Reply>,
) -> Behaviour {
    Behaviour { short, ..behaves(name, requests, told, replies) }
}

const PAGE: &str = "<!doctype html><html><head><title>Sign in sk-canary-5f1e0a9b</title></head><body>…</body></html>";
const TICK: Duration = Duration::from_millis(20);

/// Answers that are completions, however they come.
fn good() -> Vec<Behaviour> {
    vec![
        behaves("a whole reply", 1, FINE, |kind| vec![kind.json(OK)]),
        behaves("a stream", 1, FINE, |kind| vec![kind.streamed()]),
        behaves("a stream until the connection closes", 1, FINE, |kind| vec![kind.streamed().until_close()]),
        behaves("a stream byte by byte", 1, "ok Stop 11+7 “é→”", |kind| {
            let text = kind.events(&[], &["é", "→"], kind.stop()).concat();
            vec![Reply::stream(text.bytes().map(|byte| [byte]))]
        }),
        behaves("a stream in one piece with CRLF and comments", 1, FINE, |kind| {
            let text = kind.events(&[], &["```rust\nfn a() {}", "\n```"], kind.stop()).concat().replace('\n', "\r\n");
            vec![Reply::stream([format!(": PROCESSING\r\n\r\n{text}")])]
        }),
        behaves("a stream with events of tomorrow", 1, FINE, |kind| {
            let mut events = kind.events(&[], &["```rust\nfn a() {}", "\n```"], kind.stop());
            events.insert(1, "event: ping\ndata: {\"type\": \"ping\"}\n\n".into());
            events.insert(2, "event: future\nid: 7\ndata: {\"type\": \"content_block_delta\", \"delta\": {\"type\": \"new_delta\"}}\n\n".into());
            vec![Reply::stream(events)]
        }),
        behaves("a stream without its last line break", 1, FINE, |kind| {
            let text = kind.events(&[], &["```rust\nfn a() {}", "\n```"], kind.stop()).concat();
            vec![Reply::stream([text.trim_end().to_owned()])]
        }),
        behaves("a stream whose connection breaks after its end", 1, FINE, |kind| {
            let events = kind.events(&[], &["```rust\nfn a() {}", "\n```"], kind.stop());
            let count = events.len();
            vec![Reply::stream(events).cut(count)]
        }),
        behaves("a stream that stays open after its end", 1, FINE, |kind| {
            let events = kind.events(&[], &["```rust\nfn a() {}", "\n```"], kind.stop());
            let count = events.len();
            vec![Reply::stream(events).hang(count)]
        }),
        behaves("a whole reply without a content type", 1, FINE, |kind| vec![kind.json(OK).untyped()]),
        behaves("a whole reply called plain text", 1, FINE, |kind| {
            vec![kind.json(OK).untyped().header("content-type", "text/plain; charset=utf-8")]
        }),
        behaves("a stream without a content type", 1, FINE, |kind| vec![kind.streamed().untyped()]),
        behaves("a stream called JSON lines", 1, FINE, |kind| {
            vec![kind.streamed().untyped().header("content-type", "application/x-ndjson")]
        }),
        behaves("reasoning of its own", 1, "ok Stop 11+7 “fn a() {}” after “let me see”", |kind| {
            vec![Reply::stream(kind.events(&["let ", "me see"], &["fn a()", " {}"], kind.stop()))]
        }),
        behaves("reasoning in the text", 1, "ok Stop 11+7 “fn a() {}” after “let me see”", |kind| {
            vec![Reply::stream(kind.events(&[], &["<thi", "nk>let me see</th", "ink>\n\nfn a() {}"], kind.stop()))]
        }),
        behaves("reasoning that is all there is", 1, "ok Length 11+7 “” after “let me”", |kind| {
            let reason = if kind == O { "length" } else { "max_tokens" };
            vec![Reply::stream(kind.events(&["let ", "me"], &[], reason))]
        }),
        behaves("an answer that is too long", 1, "ok Length 11+7 “fn a() {”", |kind| {
            let reason = if kind == O { "length" } else { "max_tokens" };
            vec![Reply::stream(kind.events(&[], &["fn a() {"], reason))]
        }),
        behaves("an answer that is held back", 1, "ok Filter 11+7 “I can't”", |kind| {
            let reason = if kind == O { "content_filter" } else { "refusal" };
            vec![Reply::stream(kind.events(&[], &["I can't"], reason))]
        }),
        behaves("a server that does not count", 1, "ok Stop 0+3 “fn a() {}” estimated", |kind| {
            let mut body = kind.body("fn a() {}");
            body.as_object_mut().unwrap().remove("usage");
            vec![Reply::new(200, body.to_string())]
        }),
        behaves("an answer that holds the key", 1, "ok Stop 11+7 “the key is [key]”", |kind| {
            vec![kind.json(&format!("the key is {CANARY}"))]
        }),
    ]
}

/// Failures that may pass.
fn passing() -> Vec<Behaviour> {
    vec![
        behaves("429 once", 2, FINE, |kind| vec![Reply::new(429, "{}"), kind.streamed()]),
        behaves("429 with a wait in seconds", 2, FINE, |kind| {
            vec![Reply::new(429, "{}").header("retry-after", "0.01"), kind.streamed()]
        }),
        behaves("429 with a wait in milliseconds", 2, FINE, |kind| {
            vec![Reply::new(429, "{}").header("retry-after-ms", "5"), kind.streamed()]
        }),
        behaves("429 with a date", 2, FINE, |kind| {
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            vec![Reply::new(429, "{}").header("retry-after", date).header("date", date), kind.streamed()]
        }),
        behaves("503 and 529", 3, FINE, |kind| vec![Reply::new(503, PAGE), Reply::new(529, ""), kind.streamed()]),
        behaves("500, 502 and 504", 4, FINE, |kind| {
            vec![Reply::new(500, ""), Reply::new(502, PAGE), Reply::new(504, ""), kind.streamed()]
        }),
        behaves("408", 2, FINE, |kind| vec![Reply::new(408, ""), kind.streamed()]),
        behaves("400 that asks to be retried", 2, FINE, |kind| {
            vec![Reply::new(400, "").header("x-should-retry", "true"), kind.streamed()]
        }),
        behaves("a whole reply cut off", 2, FINE, |kind| vec![kind.json(OK).cut_after(20), kind.json(OK)]),
        behaves("a stream cut off", 2, FINE, |kind| vec![kind.streamed().cut(2), kind.streamed()]),
        behaves("a stream cut within an event", 2, FINE, |kind| {
            let text = kind.events(&[], &["```rust\nfn a() {}", "\n```"], kind.stop()).concat();
            vec![Reply::stream([text[..text.len() / 2].to_owned()]).cut(1), kind.streamed()]
        }),
        behaves("a stream that just ends", 2, FINE, |kind| {
            vec![
                Reply::stream(kind.events(&[], &["fn a"], kind.stop()).into_iter().take(2)).until_close(),
                kind.streamed(),
            ]
        }),
        behaves("a connection that closes without a word", 2, FINE, |kind| vec![Reply::raw(""), kind.streamed()]),
        behaves("nothing at all, once", 2, FINE, |kind| vec![Reply::new(200, ""), kind.streamed()]),
        behaves("a stream without an event, once", 2, FINE, |kind| vec![Reply::stream([""; 0]), kind.streamed()]),
        behaves("too busy in the middle", 2, FINE, |kind| {
            let mut events = kind.events(&[], &["fn a"], kind.stop());
            events.truncate(2);
            events.push(kind.error_event("overloaded_error", "Overloaded"));
            vec![Reply::stream(events), kind.streamed()]
        }),
        slow("silent before its answer, once", Short::FirstToken, 2, FINE, |kind| {
            vec![kind.json(OK).hang(0), kind.streamed()]
        }),
        slow("silent in its answer, once", Short::Idle, 2, FINE, |kind| vec![kind.streamed().hang(2), kind.streamed()]),
    ]
}

/// Failures that stay.
fn bad() -> Vec<Behaviour> {
    vec![
        behaves("429 for ever", 6, "provider-busy SERVER is busy (HTTP 429)", |_| vec![Reply::new(429, "{}")]),
        behaves("529 for ever", 6, "provider-busy SERVER is busy (HTTP 529)", |_| vec![Reply::new(529, "{}")]),
        behaves("a wait that is too long", 1, "provider-busy SERVER is busy (HTTP 429, asks for 3600 s)", |_| {
            vec![Reply::new(429, "{}").header("retry-after", "3600")]
        }),
        behaves(
            "no quota",
            1,
            "provider-spent SERVER wants to be paid: You exceeded your current quota, [key]",
            |kind| vec![kind.error(429, "insufficient_quota", "You exceeded your current quota, sk-canary-5f1e0a9b")],
        ),
        behaves("402", 1, "provider-spent SERVER wants to be paid: Insufficient credits", |kind| {
            vec![kind.error(402, "", "Insufficient credits")]
        }),
        behaves("no credit", 1, "provider-spent SERVER wants to be paid: Your credit balance is too low", |kind| {
            vec![kind.error(400, "invalid_request_error", "Your credit balance is too low")]
        }),
        behaves("401", 1, "provider-key SERVER refused the key (HTTP 401)", |kind| {
            vec![kind.error(401, "authentication_error", "bad key sk-canary-5f1e0a9b")]
        }),
        behaves("403", 1, "provider-key SERVER refused the key (HTTP 403)", |_| vec![Reply::new(403, PAGE)]),
        behaves("no such model", 1, "provider-not-found SERVER answered HTTP 404: no model for [key]", |kind| {
            vec![kind.error(404, "not_found_error", "no model for sk-canary-5f1e0a9b")]
        }),
        behaves(
            "a proxy that wants a password",
            1,
            "provider-proxy can't reach SERVER through the proxy: HTTP 407: no reason given",
            |_| vec![Reply::new(407, "")],
        ),
        behaves(
            "a prompt that is too long",
            1,
            "provider-refused SERVER refused the request (HTTP 400): This model's maximum context length is 8 tokens",
            |kind| vec![kind.error(400, "invalid_request_error", "This model's maximum context length is 8 tokens")],
        ),
        behaves(
            "too many tokens wanted",
            1,
            "provider-refused SERVER refused the request (HTTP 400): max_tokens is too large: 2048",
            |kind| vec![kind.error(400, "invalid_request_error", "max_tokens is too large: 2048")],
        ),
        behaves(
            "413",
            1,
            "provider-refused SERVER refused the request (HTTP 413): a web page titled “Sign in [key]”",
            |_| vec![Reply::new(413, PAGE)],
        ),
        behaves("500 for ever", 4, "provider-failed SERVER failed (HTTP 500): out of order", |kind| {
            vec![kind.error(500, "api_error", "out of order")]
        }),
        behaves(
            "502 with a web page",
            4,
            "provider-failed SERVER failed (HTTP 502): a web page titled “Sign in [key]”",
            |_| vec![Reply::new(502, PAGE)],
        ),
        behaves(
            "500 that asks not to be retried",
            1,
            "provider-failed SERVER failed (HTTP 500): no reason given",
            |_| vec![Reply::new(500, "").header("x-should-retry", "false")],
        ),
        behaves(
            "a redirect",
            1,
            "provider-redirect SERVER redirects to http://127.0.0.1:9/elsewhere (HTTP 307)",
            |_| vec![Reply::new(307, "").header("location", "http://127.0.0.1:9/elsewhere?key=sk-canary-5f1e0a9b")],
        ),
        behaves("a redirect to a sign-in page", 1, "provider-redirect SERVER redirects to /login (HTTP 302)", |_| {
            vec![Reply::new(302, PAGE).header("location", "/login?back=/v1")]
        }),
        behaves(
            "a stream that is always cut off",
            4,
            "provider-cut SERVER broke off in the middle of its answer: the stream ended without saying that it does",
            |kind| vec![kind.streamed().cut(2).until_close()],
        ),
        behaves("nothing at all", 4, "provider-empty SERVER answered with nothing: the body has no bytes", |_| {
            vec![Reply::new(200, "")]
        }),
        behaves(
            "a stream without an event",
            4,
            "provider-empty SERVER answered with nothing: a stream without a single event",
            |_| vec![Reply::stream([""; 0])],
        ),
        behaves(
            "a completion without a token",
            4,
            "provider-empty SERVER answered with nothing: a completion without a single token",
            |kind| {
                let mut body = kind.body("");
                body.as_object_mut().unwrap().remove("usage");
                vec![Reply::new(200, body.to_string())]
            },
        ),
        behaves("a web page", 1, "provider-reply SERVER answered with a web page titled “Sign in [key]”", |_| {
            vec![Reply::new(200, PAGE).header("content-type", "text/html")]
        }),
        behaves(
            "a web page called JSON",
            1,
            "provider-reply SERVER answered with a web page titled “Sign in [key]”",
            |_| vec![Reply::new(200, PAGE).header("content-type", "application/json")],
        ),
        behaves(
            "a picture",
            1,
            "provider-reply SERVER answered with something that is no JSON (image/png): �PNG",
            |_| vec![Reply::new(200, b"\x89PNG\r\n\x1a\n".as_slice()).header("content-type", "image/png")],
        ),
        behaves(
            "broken JSON",
            1,
            "provider-reply SERVER answered with JSON that is broken: {\"choices\": [ [key]",
            |_| vec![Reply::new(200, "{\"choices\": [ sk-canary-5f1e0a9b").header("content-type", "application/json")],
        ),
        behaves(
            "broken JSON in a stream",
            1,
            "provider-reply SERVER answered with an event that is broken JSON: {\"type\": [key]",
            |kind| {
                let mut events = kind.events(&[], &["fn a"], kind.stop());
                events[2] = "data: {\"type\": sk-canary-5f1e0a9b\n\n".into();
                vec![Reply::stream(events)]
            },
        ),
        behaves("a stream that is no text", 1, "provider-reply SERVER answered with bytes that are no text", |_| {
            vec![Reply::stream([b"data: \xff\xfe\n\n".as_slice()])]
        }),
        behaves("a refused key in a good reply", 1, "provider-key SERVER refused the key (HTTP 401)", |_| {
            vec![Reply::new(200, r#"{"error": {"type": "authentication_error", "message": "sk-canary-5f1e0a9b"}}"#)]
        }),
        behaves(
            "an error in a good reply",
            4,
            "provider-failed SERVER failed (HTTP 500): model crashed on [key]",
            |_| vec![Reply::new(200, r#"{"error": {"message": "model crashed on sk-canary-5f1e0a9b"}}"#)],
        ),
        behaves(
            "an error in a stream",
            4,
            "provider-failed SERVER failed (HTTP 500): model crashed on [key]",
            |kind| {
                let mut events = kind.events(&[], &["fn a"], kind.stop());
                events.truncate(2);
                events.push(kind.error_event("api_error", "model crashed on sk-canary-5f1e0a9b"));
                vec![Reply::stream(events)]
            },
        ),
        slow(
            "silent before its answer",
            Short::FirstToken,
            2,
            "provider-timeout SERVER took too long: not one token within 2 s",
            |kind| vec![kind.json(OK).hang(0)],
        ),
        slow(
            "silent before its headers",
            Short::FirstToken,
            2,
            "provider-timeout SERVER took too long: not one token within 2 s",
            |_| vec![Reply::raw("").hang(0)],
        ),
        slow(
            "comments and no answer",
            Short::FirstToken,
            2,
            "provider-timeout SERVER took too long: not one token within 2 s",
            |kind| vec![kind.streamed().repeat(0, ": PROCESSING\n\n", TICK)],
        ),
        slow(
            "headers a byte at a time",
            Short::FirstToken,
            2,
            "provider-timeout SERVER took too long: not one token within 2 s",
            |_| vec![Reply::raw("").repeat(0, "H", TICK)],
        ),
        slow(
            "silent in its answer",
            Short::Idle,
            2,
            "provider-timeout SERVER took too long: silent in the middle of its answer for 2 s",
            |kind| vec![kind.streamed().hang(2)],
        ),
        slow(
            "an event a byte at a time",
            Short::Idle,
            2,
            "provider-timeout SERVER took too long: silent in the middle of its answer for 2 s",
            |kind| vec![kind.streamed().repeat(2, "x", TICK)],
        ),
        slow(
            "a whole reply that stops in the middle",
            Short::Idle,
            2,
            "provider-timeout SERVER took too long: silent in the middle of its answer for 2 s",
            |_| vec![Reply::new(200, "{").until_close().header("content-type", "application/json").hang(1)],
        ),
        slow(
            "a whole reply a byte at a time",
            Short::Whole,
            1,
            "provider-timeout SERVER took too long: no whole answer within 2 s",
            |_| {
                vec![Reply::new(200, "{").until_close().header("content-type", "application/json").repeat(1, " ", TICK)]
            },
        ),
        slow(
            "an answer without an end",
            Short::Whole,
            1,
            "provider-timeout SERVER took too long: no whole answer within 2 s",
            |kind| {
                let piece = kind.events(&[], &["again "], kind.stop()).swap_remove(1);
                vec![kind.streamed().repeat(2, piece, TICK)]
            },
        ),
    ]
}

/// Has every behaviour shown to both providers, several at a time.
async fn suite(behaviours: Vec<Behaviour>) {
    let mut runs = tokio::task::JoinSet::new();
    for behaviour in behaviours {
        for kind in KINDS {
            let (name, expected) = (behaviour.name, (behaviour.told, behaviour.requests));
            let server = Server::script((behaviour.replies)(kind));
            let short = behaviour.short;
            runs.spawn(async move {
                let model = kind.model(reached_with(&server.url, short));
                let run = draw(&*model, &prompt(), &parameters(), 0, 1).await;
                let found = (told(kind, &run, &server), server.received().len());
                let everything =
                    format!("{:?} {:?} {:?} {:?}", run.result, run.completions, run.failures, model.identity());
                assert!(!everything.contains("canary"), "{kind:?}, {name}: {everything}");
                assert!(server.received().iter().all(|request| request.path == kind.path()));
                (found != (expected.0.to_owned(), expected.1))
                    .then(|| format!("{kind:?}, {name}:\n  found    {found:?}\n  expected {expected:?}"))
            });
        }
    }
    let wrong: Vec<String> = runs.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_are_read_however_they_come() {
    suite(good()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_may_pass_are_tried_again() {
    suite(passing()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_stay_end_in_a_message_that_says_so() {
    suite(bad()).await;
}

#[test]
fn every_message_has_its_own_hint() {
    assert!(good().len() + passing().len() + bad().len() >= 40);
    for error in [
        ModelError::Redirect { url: "u".into(), status: 302, to: "x".into() },
        ModelError::Empty { url: "u".into(), reason: "x".into() },
        ModelError::Spent { url: "u".into(), reason: "x".into() },
    ] {
        assert!(error.hint().is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_request_is_as_each_protocol_wants_it() {
    for kind in KINDS {
        let server = Server::script(vec![kind.streamed()]);
        let run = draw(&*kind.model(reached(&server.url)), &prompt(), &parameters(), 0, 2).await;
        assert_eq!((run.result, run.completions.len(), run.tokens), (Ok(()), 2, 14));
        let completion = &run.completions[0];
        assert_eq!((completion.style.as_str(), completion.temperature), ("chat", 0.8));
        assert_eq!(completion.served_as.as_deref(), Some("some-model-2026"));
        let request = &server.received()[0];
        let body = request.json();
        assert_eq!((&body["model"], &body["stream"]), (&json!("some-model"), &json!(true)));
        assert_eq!(
            (&body["temperature"], &body["top_p"], &body["max_tokens"]),
            (&json!(0.8), &json!(0.95), &json!(2048))
        );
        match kind {
            O => {
                assert_eq!(request.header("authorization"), Some("Bearer sk-canary-5f1e0a9b"));
                assert_eq!(body["messages"][0], json!({"role": "system", "content": "You write Rust."}));
                assert_eq!(body["messages"][1], json!({"role": "user", "content": "Write add."}));
                assert_eq!(body["stream_options"], json!({"include_usage": true}));
                assert!(body["seed"].is_u64());
                assert_ne!(body["seed"], server.received()[1].json()["seed"]);
            }
            A => {
                assert_eq!(request.header("x-api-key"), Some(CANARY));
                assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
                assert_eq!(request.header("authorization"), None);
                let mark = json!({"type": "ephemeral"});
                assert_eq!(body["system"], json!([{"type": "text", "text": "You write Rust.", "cache_control": mark}]));
                assert_eq!(body["messages"][0]["content"][0]["cache_control"], mark);
                assert_eq!((completion.cached_tokens, completion.cache_written_tokens), (2, 1));
                assert_eq!(completion.left_out, ["seed"]);
                // All samples have the same beginning, which is what a cache lives on.
                assert_eq!(body, server.received()[1].json());
            }
        }
    }
}

#[tokio::test]
async fn what_only_one_request_has_is_not_written_to_the_cache() {
    let server = Server::script(vec![A.streamed()]);
    draw(&*A.model(reached(&server.url)), &prompt(), &parameters(), 0, 1).await;
    assert!(!String::from_utf8_lossy(&server.received()[0].body).contains("cache_control"));
}

#[tokio::test]
async fn azure_is_reached_with_its_query_its_header_and_more_fields() {
    for kind in KINDS {
        let server = Server::script(vec![kind.streamed()]);
        let mut reached = reached(&server.url);
        reached.key = None;
        reached.headers = vec![("api-key".into(), CANARY.into()), ("x-title".into(), "llmc".into())];
        reached.secrets = Secrets::new([CANARY.to_owned()]);
        reached.query = vec![("api-version".into(), "2024-10-21 x".into())];
        reached.body.insert("reasoning_effort".into(), "low".into());
        let model = kind.model(reached);
        assert_eq!(draw(&*model, &prompt(), &parameters(), 0, 1).await.result, Ok(()));
        let request = &server.received()[0];
        assert_eq!(request.path, format!("{}?api-version=2024-10-21+x", kind.path()));
        assert_eq!((request.header("api-key"), request.header("x-title")), (Some(CANARY), Some("llmc")));
        assert_eq!((request.header("authorization"), request.header("x-api-key")), (None, None));
        assert_eq!(request.json()["reasoning_effort"], "low");
        // What changes the samples is a part of who the model is; what is secret is not.
        let facts = format!("{:?}", model.identity().facts);
        assert!(
            facts.contains("reasoning_effort") && facts.contains("api-version") && !facts.contains("canary"),
            "{facts}"
        );
    }
}

/// A server that refuses parameters one by one, in words that servers use.
fn picky(kind: Kind, refuses: &'static [(&'static str, &'static str)]) -> Server {
    Server::answering(move |request, _| {
        let body = request.json();
        let is_prefilled = body["messages"].as_array().unwrap().iter().any(|message| message["role"] == "assistant");
        for (name, words) in refuses {
            if body.get(*name).is_some() || (*name == "prefill" && is_prefilled) {
                return kind.error(400, "invalid_request_error", words);
            }
        }
        // It streams only when asked to.
        if body["stream"] == true { kind.streamed() } else { kind.json(OK) }
    })
}

#[tokio::test]
async fn parameters_that_a_server_refuses_are_left_out_remembered_and_recorded() {
    let all: &[(&str, &str)] = &[
        (
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ),
        (
            "temperature",
            "Unsupported value: 'temperature' does not support 0.8 with this model. Only the default (1) value is supported.",
        ),
        ("top_p", "Unrecognized request argument supplied: top_p"),
        ("seed", "seed: Extra inputs are not permitted"),
        ("stop", "property 'stop' is unsupported"),
        ("stream_options", "Unknown name \"stream_options\": Cannot find field."),
        ("stream", "stream is not supported by this model"),
        (
            "prefill",
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ),
    ];
    let server = picky(O, all);
    let mut reached = reached(&server.url);
    reached.prefill = true;
    let notes = Arc::new(Mutex::new(Vec::new()));
    let heard = notes.clone();
    reached.note = Some(Arc::new(move |note| heard.lock().unwrap().push(note)));
    let model = O.model(reached);
    let run = draw(&*model, &prompt(), &parameters(), 0, 1).await;
    let completion = &run.completions[0];
    // Without a beginning of the answer there is no stop text either.
    assert_eq!(completion.left_out, ["prefill", "stream", "temperature", "top_p", "seed"]);
    assert_eq!((completion.temperature, completion.text.as_str()), (1.0, OK));
    let last = server.received().pop().unwrap().json();
    assert_eq!(last["max_completion_tokens"], 2048);
    let asked = server.received().len();
    assert!(asked <= 1 + all.len(), "{asked}");
    assert!(notes.lock().unwrap().iter().all(|note| note.contains("some-model: it is")), "{:?}", notes.lock().unwrap());

    // The next samples, in whatever number, don't ask again.
    let run = draw(&*model, &prompt(), &parameters(), 1, 8).await;
    assert_eq!((run.result, run.completions.len()), (Ok(()), 8));
    assert_eq!(server.received().len(), asked + 8);
    assert_eq!(run.completions[7].left_out, ["prefill", "stream", "temperature", "top_p", "seed"]);
}

#[tokio::test]
async fn many_samples_at_once_find_out_together() {
    const WORDS: &[(&str, &str)] = &[
        ("temperature", "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
        ("cache_control", "cache_control: Extra inputs are not permitted"),
    ];
    for kind in KINDS {
        let server = Server::answering(move |request, _| {
            let body = request.json();
            if body.get("temperature").is_some() && body.get("top_p").is_some() {
                return kind.error(400, "invalid_request_error", WORDS[0].1);
            }
            if String::from_utf8_lossy(&request.body).contains("cache_control") {
                return kind.error(400, "invalid_request_error", WORDS[1].1);
            }
            kind.streamed()
        });
        let run = draw(&*kind.model(reached(&server.url)), &prompt(), &parameters(), 0, 12).await;
        assert_eq!((run.result, run.completions.len()), (Ok(()), 12));
        for completion in &run.completions {
            let expected: &[&str] = if kind == O { &["top_p"] } else { &["seed", "cache_control", "top_p"] };
            assert_eq!(
                (completion.left_out.iter().map(String::as_str).collect::<Vec<_>>(), completion.temperature),
                (expected.to_vec(), 0.8)
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_begun_has_its_beginning_in_front_once() {
    for kind in KINDS {
        let opening = "```rust\npub fn add(a: u32, b: u32) -> u32 {";
        for reply in ["\n    a + b\n}\n", &format!("{opening}\n    a + b\n}}\n")] {
            let server = Server::script(vec![kind.json(reply)]);
            let mut reached = reached(&server.url);
            reached.prefill = true;
            let run = draw(&*kind.model(reached), &prompt(), &parameters(), 0, 1).await;
            assert_eq!(run.completions[0].text, format!("{opening}\n    a + b\n}}\n"));
            assert_eq!(run.completions[0].style, "opened");
            let body = server.received()[0].json();
            assert_eq!(
                body["messages"].as_array().unwrap().last().unwrap(),
                &json!({"role": "assistant", "content": opening})
            );
            assert_eq!(body[if kind == O { "stop" } else { "stop_sequences" }], json!(["\n```"]));
        }
    }
}

/// A server that answers at most so many at once and refuses the others.
fn limited(kind: Kind, at_once: usize, latency: Duration, refusal: Reply) -> (Server, Arc<AtomicUsize>) {
    let (working, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let refusals = refused.clone();
    let server = Server::answering(move |_, _| {
        if working.fetch_add(1, Ordering::SeqCst) >= at_once {
            working.fetch_sub(1, Ordering::SeqCst);
            refusals.fetch_add(1, Ordering::SeqCst);
            return refusal.clone();
        }
        std::thread::sleep(latency);
        working.fetch_sub(1, Ordering::SeqCst);
        kind.streamed()
    });
    (server, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_samples_are_asked_for_at_once_where_nothing_is_in_the_way() {
    for kind in KINDS {
        let server = Server::script(vec![kind.streamed().after(Duration::from_secs(2))]);
        let run = draw(&*kind.model(reached(&server.url)), &prompt(), &parameters(), 0, 64).await;
        assert_eq!((run.result, run.completions.len()), (Ok(()), 64));
        println!("{kind:?}: 64 samples at 2 s each in {:.2} s", run.seconds);
        // The server saw all of them before it answered the first.
        assert_eq!((server.received().len(), server.most_at_once()), (64, 64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_limit_is_kept_busy_and_no_sample_fails() {
    for kind in KINDS {
        for refusal in [Reply::new(429, "{}"), Reply::new(503, "").header("retry-after", "0.05")] {
            let mut all = Vec::new();
            // At most a quarter over the ideal time. Where the machine is busy with other things, its part in a run is
            // the smaller the longer the server takes.
            for latency in [150, 300, 600].map(Duration::from_millis) {
                let (server, refused) = limited(kind, 8, latency, refusal.clone());
                let mut reached = reached(&server.url);
                reached.backoff = latency / 4;
                let run = draw(&*kind.model(reached), &prompt(), &parameters(), 0, 64).await;
                assert_eq!((run.result, run.completions.len(), run.failures), (Ok(()), 64, vec![]));
                let (refused, ideal) = (refused.load(Ordering::SeqCst), 8.0 * latency.as_secs_f64());
                println!(
                    "{kind:?}: 64 samples, 8 at once, in {:.2} s (ideal {ideal:.2} s), {refused} refused",
                    run.seconds
                );
                // 56 at first, some until the window has narrowed, then about one for each window of answers.
                assert!(refused <= 128, "{refused}");
                all.push(run.seconds / ideal);
                if run.seconds <= 1.25 * ideal {
                    break;
                }
            }
            assert!(all.last().is_some_and(|ratio| *ratio <= 1.25), "{kind:?}: {all:?} times the ideal time");
        }
    }
}

#[tokio::test]
async fn after_a_refusal_with_nothing_in_hand_the_others_wait_too() {
    // A limit on requests in a time: the first is refused, and then all are answered.
    let server = Server::script(vec![Reply::new(429, "{}").header("retry-after", "0.3"), O.streamed()]);
    let mut reached = reached(&server.url);
    reached.concurrency = 1;
    let started = Instant::now();
    let run = draw(&*O.model(reached), &prompt(), &parameters(), 0, 4).await;
    assert_eq!((run.result, run.completions.len(), server.received().len()), (Ok(()), 4, 5));
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn no_more_requests_are_open_than_allowed_over_all_models_of_a_server() {
    let server = Server::script(vec![O.streamed().after(Duration::from_millis(30))]);
    let mut shared = reached(&server.url);
    shared.concurrency = 3;
    shared.pace = Some(Arc::new(llmc::model::pace::Pace::new(3, 1)));
    let (one, other) = (O.model(shared.clone()), O.model(shared));
    let (prompt, parameters) = (prompt(), parameters());
    let (first, second) =
        tokio::join!(draw(&*one, &prompt, &parameters, 5, 6), draw(&*other, &prompt, &parameters, 0, 6));
    assert_eq!((first.completions.len(), second.completions.len()), (6, 6));
    assert_eq!(first.completions[0].index, 5);
    assert!(server.most_at_once() <= 3, "{}", server.most_at_once());
}

#[tokio::test]
async fn one_failure_does_not_end_the_others() {
    for kind in KINDS {
        let server =
            Server::answering(move |_, number| if number == 1 { Reply::new(200, "oops") } else { kind.streamed() });
        let run = draw(&*kind.model(reached(&server.url)), &prompt(), &parameters(), 0, 4).await;
        assert_eq!((run.result, run.completions.len(), run.failures.len()), (Ok(()), 3, 1));
        assert!(matches!(run.failures[0].1, ModelError::BadReply { .. }));
    }
}

#[tokio::test]
async fn tokens_of_an_answer_that_was_cut_off_are_counted_as_well() {
    let pieces = vec!["a "; 40];
    let events = O.events(&[], &pieces, "stop");
    let server = Server::script(vec![Reply::stream(events).cut(33), O.streamed()]);
    let run = draw(&*O.model(reached(&server.url)), &prompt(), &parameters(), 0, 1).await;
    assert_eq!((run.completions.len(), run.tokens), (1, 32 + 7));
}

#[tokio::test]
async fn nobody_listening_hangs_up_on_requests_in_flight() {
    for kind in KINDS {
        let server = Server::script(vec![kind.streamed().hang(2)]);
        let model = kind.model(reached(&server.url));
        let (sink, drawn) = mpsc::unbounded_channel();
        let (prompt, parameters) = (prompt(), parameters());
        let request = Request::new(&prompt, &parameters, 0, 4);
        let close = async {
            until(|| server.received().len() == 4).await;
            drop(drawn);
        };
        let (result, ()) = tokio::join!(model.draw(&request, sink), close);
        assert_eq!(result, Ok(()));
        until(|| server.hung_up() == 4).await;
    }
}

/// Waits until something has happened that will.
async fn until(happened: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < end, "it did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn servers_that_are_not_there_are_told_apart_from_those_without_trust() {
    let ask = async |url: String| {
        let mut texts = Vec::new();
        for kind in KINDS {
            let run = draw(&*kind.model(reached(&url)), &prompt(), &parameters(), 0, 2).await;
            let error = run.result.unwrap_err();
            assert!(!format!("{error:?}").contains("canary"));
            texts.push((error.code(), error.to_string(), error.hint().unwrap()));
        }
        texts
    };
    for (code, text, hint) in ask("http://127.0.0.1:9".into()).await {
        assert_eq!(code, "provider-unreachable", "{text}");
        assert!(text.contains("refused") && hint.contains("is the server running?"), "{text}");
    }
    for (code, text, _) in ask("http://no-such-host.invalid".into()).await {
        assert_eq!(code, "provider-unreachable", "{text}");
    }
    // A server that does not speak TLS, asked for it.
    let plain = Server::script(vec![Reply::chat("ok")]);
    for (code, text, hint) in ask(plain.url.replace("http:", "https:")).await {
        assert_eq!(code, "provider-tls", "{text}");
        assert!(hint.contains("http or https"), "{hint}");
    }
}

#[test]
fn addresses_with_secrets_in_them_are_refused() {
    for url in ["http://user:pass@localhost/v1", "http://localhost/v1?key=1", "ftp://localhost", "localhost:80"] {
        assert!(OpenAi::new("m", Reached::new(url, None)).is_err(), "{url}");
    }
    let key = Some("a\nb".to_owned());
    let error = OpenAi::new("m", Reached::new("http://localhost/v1", key)).err().unwrap().to_string();
    assert_eq!(error, "the key holds characters that no HTTP header may hold");
}

#[tokio::test]
async fn a_hotter_sample_than_the_protocol_allows_is_recorded_as_it_was_drawn() {
    let server = Server::script(vec![A.streamed()]);
    let hot = Parameters { temperature: Some(1.5), ..parameters() };
    let run = draw(&*A.model(reached(&server.url)), &prompt(), &hot, 0, 1).await;
    assert_eq!((run.completions[0].temperature, &server.received()[0].json()["temperature"]), (1.0, &json!(1.0)));
}

#[tokio::test]
async fn room_for_thinking_comes_on_top_of_room_for_the_answer() {
    let server = Server::script(vec![A.streamed()]);
    let mut reached = reached(&server.url);
    reached.body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": 1024}));
    draw(&*A.model(reached), &prompt(), &parameters(), 0, 1).await;
    let body = server.received()[0].json();
    assert_eq!((&body["max_tokens"], &body["thinking"]["budget_tokens"]), (&json!(3072), &json!(1024)));
}
