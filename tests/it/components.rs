//! Components that a model answers: both HTTP providers against scripted servers, a real program, recorded answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use llmc::component::{ComponentError, ModelComponent, Parts, ROUNDS, handling};
use llmc::harness::{Budget, CallError, Class, Component as _, Decision, Harness, Memory, Rule, RunOptions, Side};
use llmc::model::Model;
use llmc::model::anthropic::Anthropic;
use llmc::model::command::{Options, Program};
use llmc::model::http::Server as Reached;
use llmc::model::openai::OpenAi;
use llmc::model::price::Prices;
use llmc::model::replay::Replay;
use llmc::prompt::Templates;
use llmc::schema::Schema;
use llmc::spec::{ComponentExample, ComponentSpec, Sampling, ToolErrors};
use serde_json::{Value, json};

use crate::server::{Received, Reply, Server};

/// A key that must turn up nowhere but in its header.
const CANARY: &str = "sk-canary-5f1e0a9b";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    OpenAi,
    Anthropic,
}

use Kind::{Anthropic as A, OpenAi as O};

const KINDS: [Kind; 2] = [O, A];

impl Kind {
    fn model(self, url: &str) -> Arc<dyn Model> {
        self.model_with(url, |_| {})
    }

    fn model_with(self, url: &str, change: impl FnOnce(&mut Reached)) -> Arc<dyn Model> {
        let mut reached = Reached::new(format!("{url}/v1"), Some(CANARY.into()));
        reached.backoff = Duration::from_millis(1);
        change(&mut reached);
        match self {
            O => Arc::new(OpenAi::new("some-model", reached).unwrap()),
            A => Arc::new(Anthropic::new("some-model", reached).unwrap()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            O => "openai/some-model",
            A => "anthropic/some-model",
        }
    }

    /// A whole reply: a text, and calls of tools.
    fn reply(self, text: &str, calls: &[(&str, &str, &str)]) -> Reply {
        self.ended(text, calls, if calls.is_empty() { "" } else { "tools" })
    }

    fn ended(self, text: &str, calls: &[(&str, &str, &str)], reason: &str) -> Reply {
        let body = match self {
            O => {
                let call = |(id, name, arguments): &(&str, &str, &str)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
                let reason = match reason {
                    "" => "stop",
                    "tools" => "tool_calls",
                    reason => reason,
                };
                let mut message = json!({"role": "assistant", "content": text});
                if !calls.is_empty() {
                    message["tool_calls"] = calls.iter().map(call).collect();
                }
                json!({
                    "choices": [{"message": message, "finish_reason": reason}],
                    "usage": {"prompt_tokens": 11, "completion_tokens": 7},
                })
            }
            A => {
                let call = |(id, name, arguments): &(&str, &str, &str)| {
                    let input: Value = serde_json::from_str(arguments).unwrap_or(json!({}));
                    json!({"type": "tool_use", "id": id, "name": name, "input": input})
                };
                let reason = match reason {
                    "" => "end_turn",
                    "tools" => "tool_use",
                    "length" => "max_tokens",
                    reason => reason,
                };
                let blocks: Vec<Value> =
                    std::iter::once(json!({"type": "text", "text": text})).chain(calls.iter().map(call)).collect();
                json!({
                    "type": "message", "stop_reason": reason, "content": blocks,
                    "usage": {"input_tokens": 11, "output_tokens": 7},
                })
            }
        };
        Reply::new(200, body.to_string()).header("content-type", "application/json")
    }

    fn text(self, text: &str) -> Reply {
        self.reply(text, &[])
    }

    /// A call of a tool, streamed in small pieces.
    fn streamed_call(self, id: &str, name: &str, pieces: &[&str]) -> Reply {
        let mut events = Vec::new();
        match self {
            O => {
                let mut push = |delta: Value| {
                    events.push(format!("data: {}\n\n", json!({"choices": [{"delta": delta}]})));
                };
                push(json!({"role": "assistant", "content": null}));
                let function = json!({"name": name, "arguments": ""});
                push(json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}));
                for piece in pieces {
                    push(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}));
                }
                events.push(format!(
                    "data: {}\n\n",
                    json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}],
                        "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
                ));
                events.push("data: [DONE]\n\n".into());
            }
            A => {
                let mut push = |value: Value| {
                    events.push(format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap()));
                };
                push(json!({"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 11}}}));
                push(
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
                );
                push(
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
                );
                push(
                    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig=="}}),
                );
                push(json!({"type": "content_block_stop", "index": 0}));
                push(
                    json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": id, "name": name, "input": {}}}),
                );
                for piece in pieces {
                    push(
                        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}),
                    );
                }
                push(json!({"type": "content_block_stop", "index": 1}));
                push(
                    json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
                );
                push(json!({"type": "message_stop"}));
            }
        }
        Reply::stream(events)
    }

    fn refuses(self, message: &str) -> Reply {
        let error = json!({"type": "invalid_request_error", "message": message});
        Reply::new(400, json!({"type": "error", "error": error}).to_string()).header("content-type", "application/json")
    }

    fn schema_sent(self, request: &Received) -> Value {
        let body = request.json();
        match self {
            O => body["response_format"]["json_schema"].clone(),
            A => body["output_config"]["format"].clone(),
        }
    }
}

fn schema(value: Value) -> Schema {
    Schema::read(&value).unwrap()
}

/// A spec of a component that sorts tickets.
fn triage() -> ComponentSpec {
    ComponentSpec {
        name: "triage".into(),
        description: "Sort the ticket.\n".into(),
        input: schema(json!({"type": "string"})),
        output: schema(json!({"type": "object", "required": ["label"], "properties": {
            "label": {"enum": ["bug", "billing"]},
            "urgent": {"type": "boolean"},
            "score": {"type": "integer", "minimum": 0, "maximum": 9},
        }})),
        types: None,
        examples: vec![
            ComponentExample { input: json!("it crashes"), output: json!({"label": "bug"}), hidden: false },
            ComponentExample { input: json!("sssh"), output: json!({"label": "billing"}), hidden: true },
        ],
        tools: vec![],
        tool_errors: ToolErrors::default(),
        model: vec![],
        sampling: Sampling::default(),
        budget: Default::default(),
        prompt: Default::default(),
        expect: Default::default(),
        approval: Decision::Allow,
        timeout: None,
        retries: 0,
        vote: None,
        concurrency: None,
        cache: false,
    }
}

fn parts(models: Vec<Arc<dyn Model>>) -> Parts {
    Parts {
        models,
        prices: Prices::default(),
        templates: Arc::new(Templates::load(None).unwrap()),
        sampling: Sampling::default(),
        purse: None,
    }
}

/// A harness with the component and two tools, and what it records.
struct Bench {
    harness: Harness,
    memory: Arc<Memory>,
}

impl Bench {
    fn new(spec: ComponentSpec, parts: Parts) -> Self {
        Self::with(spec, parts, vec![])
    }

    fn with(spec: ComponentSpec, parts: Parts, rules: Vec<Rule>) -> Self {
        let memory = Arc::new(Memory::default());
        let (name, handling) = (spec.name.clone(), handling(&spec));
        let component = ModelComponent::new(spec, parts).unwrap();
        let harness = Harness::builder()
            .component(&name, component)
            .handling(&name, handling)
            .function("add", |(a, b): (i64, i64)| a + b)
            .try_function("shop.price", |item: BTreeMap<String, String>| match item.get("item") {
                Some(item) if item == "tea" => Ok(7),
                _ => Err("no such item"),
            })
            .function("secret_tool", |_: Value| "secret")
            .rules(rules)
            .recorder(memory.clone())
            .build()
            .unwrap();
        Self { harness, memory }
    }

    async fn call(&self, input: impl serde::Serialize) -> Result<Value, CallError> {
        self.harness.run().call("triage", input).await
    }

    /// What the attempts of the last crossing of the component say.
    fn attempts(&self) -> Vec<String> {
        let crossings = self.memory.crossings();
        let last = crossings.iter().rfind(|crossing| crossing.component == "triage").unwrap();
        last.attempts.iter().map(|attempt| attempt.error.as_ref().unwrap().message.clone()).collect()
    }

    fn usage(&self) -> llmc::harness::Usage {
        self.memory.crossings().last().unwrap().usage
    }
}

/// One call against the replies of a server.
async fn one(kind: Kind, replies: Vec<Reply>) -> (Result<Value, CallError>, Server, Bench) {
    one_of(triage(), kind, replies).await
}

async fn one_of(spec: ComponentSpec, kind: Kind, replies: Vec<Reply>) -> (Result<Value, CallError>, Server, Bench) {
    let server = Server::script(replies);
    let bench = Bench::new(spec, parts(vec![kind.model(&server.url)]));
    let result = bench.call("it fell over").await;
    assert!(!format!("{result:?} {:?}", bench.memory.crossings()).contains("canary"));
    (result, server, bench)
}

fn with_tools(names: &[&str]) -> ComponentSpec {
    ComponentSpec { tools: names.iter().map(|name| (*name).to_owned()).collect(), ..triage() }
}

#[tokio::test]
async fn a_model_is_held_to_the_schema_and_its_answer_is_the_components() {
    for kind in KINDS {
        let (result, server, bench) = one(kind, vec![kind.text(r#"{"label":"bug"}"#)]).await;
        assert_eq!(result, Ok(json!({"label": "bug"})), "{kind:?}");
        let crossing = &bench.memory.crossings()[0];
        assert_eq!((crossing.side, crossing.model.as_deref()), (Side::Model, Some(kind.name())));
        assert_eq!(
            (crossing.usage.prompt_tokens, crossing.usage.completion_tokens, crossing.usage.requests),
            (11, 7, 1)
        );
        assert!(crossing.attempts.is_empty());
        let request = &server.received()[0];
        let sent = kind.schema_sent(request)["schema"].clone();
        assert_eq!(sent["properties"]["label"], json!({"type": "string", "enum": ["bug", "billing"]}));
        assert_eq!(sent["additionalProperties"], false);
        // Limits are not for the server, but the model hears of them.
        assert!(sent["properties"]["score"].get("maximum").is_none());
        let body = request.json().to_string();
        assert!(body.contains("integer (0 to 9)") && body.contains("it fell over") && body.contains("it crashes"));
        assert!(!body.contains("sssh"), "what is hidden is not shown");
    }
}

#[tokio::test]
async fn fields_that_may_be_absent_and_values_that_are_no_objects_are_read_as_meant() {
    let (result, server, _) = one(O, vec![O.text(r#"{"label":"bug","urgent":null,"score":null}"#)]).await;
    assert_eq!(result, Ok(json!({"label": "bug"})));
    let sent = O.schema_sent(&server.received()[0]);
    assert_eq!((&sent["strict"], &sent["schema"]["required"]), (&json!(true), &json!(["label", "urgent", "score"])));
    for kind in KINDS {
        let spec = ComponentSpec { output: schema(json!({"enum": ["bug", "billing"]})), examples: vec![], ..triage() };
        let (result, server, _) = one_of(spec, kind, vec![kind.text(r#"{"answer":"billing"}"#)]).await;
        assert_eq!(result, Ok(json!("billing")));
        assert_eq!(kind.schema_sent(&server.received()[0])["schema"]["required"], json!(["answer"]));
        // A text is not wrapped: any answer is one.
        let spec = ComponentSpec { output: schema(json!({"type": "string"})), examples: vec![], ..triage() };
        let (result, server, _) = one_of(spec, kind, vec![kind.text("Dear customer,\nhello")]).await;
        assert_eq!(result, Ok(json!("Dear customer,\nhello")));
        assert_eq!(kind.schema_sent(&server.received()[0]), Value::Null);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_sent_back_once() {
    for kind in KINDS {
        let (result, server, bench) =
            one(kind, vec![kind.text(r#"{"label":"bug","score":12}"#), kind.text(r#"{"label":"bug","score":9}"#)])
                .await;
        assert_eq!(result, Ok(json!({"label": "bug", "score": 9})), "{kind:?}");
        let messages = server.received()[1].json()["messages"].to_string();
        assert!(messages.contains("/score: 12 is above 9") && messages.contains(r#"\"score\":12"#), "{messages}");
        assert_eq!(bench.attempts(), ["the answer does not fit: /score: 12 is above 9, the most"]);
        assert_eq!(bench.usage().requests, 2, "both count");

        let (result, server, bench) = one(kind, vec![kind.text("not JSON"), kind.text("{\"label\": \"bug\"")]).await;
        let error = result.unwrap_err();
        assert_eq!((error.class, error.side), (Class::FormatViolation, Some(Side::Model)));
        assert!(error.message.contains("it is no JSON: {\"label\"") && error.message.contains("sent back once"));
        assert_eq!((server.received().len(), bench.attempts().len()), (2, 2));
    }
}

#[tokio::test]
async fn what_a_provider_does_has_its_class() {
    let huge = format!("{{\"label\": \"{}\"}}", "x".repeat(2 << 20));
    for kind in KINDS {
        let refused = match kind {
            O => {
                let message = json!({"role": "assistant", "content": null, "refusal": "I can't help with that."});
                let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
                Reply::new(200, body.to_string()).header("content-type", "application/json")
            }
            A => kind.ended("I can't help with that.", &[], "refusal"),
        };
        let cut = kind.streamed_call("c", "x", &["{"]).cut(3);
        for (replies, requests, class, told) in [
            (vec![refused], 1, Class::Refusal, "the model declined to answer: I can't help with that."),
            (vec![kind.ended("{\"label\":", &[], "length")], 1, Class::FormatViolation, "cut off after 7 tokens"),
            (vec![kind.text(&huge)], 2, Class::FormatViolation, "it is longer than 1048576 bytes"),
            (vec![Reply::new(401, "no")], 1, Class::Provider, "refused the key (HTTP 401); is the key"),
            (
                vec![kind.refuses("sk-canary-5f1e0a9b is odd")],
                1,
                Class::Provider,
                "(HTTP 400): [key] is odd; the server's",
            ),
            (vec![Reply::new(500, "down")], 4, Class::Provider, "failed (HTTP 500): down (asked 4 times); the fault"),
            (vec![cut], 4, Class::Provider, "broke off in the middle of its answer"),
        ] {
            let (result, server, _) = one(kind, replies).await;
            let error = result.expect_err(told);
            assert_eq!(error.class, class, "{kind:?} {error}");
            assert!(error.message.contains(told), "{kind:?} {error}");
            assert_eq!(server.received().len(), requests, "{kind:?} {error}");
            assert_eq!(error.side, Some(Side::Model));
        }
        // What is sent again is told, and what may have been paid for counts.
        let fine = kind.text(r#"{"label":"bug"}"#);
        let (result, _, bench) =
            one(kind, vec![Reply::new(429, "wait").header("retry-after", "0"), fine.clone()]).await;
        assert_eq!(result, Ok(json!({"label": "bug"})));
        assert_eq!(bench.attempts(), [format!("{} had to be asked 2 times for one answer", kind.name())]);
        assert_eq!(bench.usage().requests, 1, "a server that has no time does not bill for it");
        let (result, _, bench) = one(kind, vec![Reply::new(500, "down"), fine]).await;
        assert_eq!(result, Ok(json!({"label": "bug"})));
        assert_eq!(bench.usage().requests, 2);
        assert!(bench.usage().prompt_tokens > 100, "all that the first could take counts");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_with_the_components_own_limit() {
    for kind in KINDS {
        let server = Server::script(vec![kind.streamed_call("c", "x", &[]).hang(1)]);
        let spec = ComponentSpec { timeout: Some(Duration::from_millis(300)), ..triage() };
        let bench = Bench::new(spec, parts(vec![kind.model(&server.url)]));
        let error = bench.call("x").await.unwrap_err();
        assert_eq!((error.class, error.side), (Class::TimedOut, Some(Side::Model)));
        let mut spec = triage();
        spec.budget.seconds = Some(0.3);
        let bench = Bench::new(spec, parts(vec![kind.model(&server.url)]));
        let error = bench.call("x").await.unwrap_err();
        assert_eq!(error.class, Class::Budget);
        assert!(error.message.contains("no answer within 0.3 s"), "{error}");
    }
}

#[tokio::test]
async fn the_next_model_is_asked_when_a_provider_fails_and_then_only() {
    let broken = Server::script(vec![Reply::new(402, r#"{"error":"no money"}"#)]);
    let fine = Server::script(vec![A.text(r#"{"label":"billing"}"#)]);
    let models = || vec![O.model(&broken.url), A.model(&fine.url)];
    let bench = Bench::new(triage(), parts(models()));
    assert_eq!(bench.call("x").await, Ok(json!({"label": "billing"})));
    let crossing = &bench.memory.crossings()[0];
    assert_eq!(crossing.model.as_deref(), Some("anthropic/some-model"), "who answered, not who was asked first");
    assert!(bench.attempts()[0].starts_with("openai/some-model: ") && bench.attempts()[0].contains("no money"));

    let both = Bench::new(triage(), parts(vec![O.model(&broken.url), O.model(&broken.url)]));
    let error = both.call("x").await.unwrap_err();
    assert_eq!((error.class, error.message.matches("no money").count()), (Class::Provider, 2), "{error}");

    let odd = Server::script(vec![O.text("odd")]);
    let bench = Bench::new(triage(), parts(vec![O.model(&odd.url), A.model(&fine.url)]));
    assert_eq!(bench.call("x").await.unwrap_err().class, Class::FormatViolation);
    assert_eq!(fine.received().len(), 1, "a wrong answer is an answer");
}

#[tokio::test]
async fn a_server_that_takes_no_schema_is_asked_without() {
    let refusal = "This model does not support response_format json_schema";
    let server = Server::script(vec![O.refuses(refusal), O.text("Sure!\n```json\n{\"label\": \"bug\"}\n```")]);
    let bench = Bench::new(triage(), parts(vec![O.model(&server.url)]));
    assert_eq!(bench.call("x").await, Ok(json!({"label": "bug"})));
    assert_eq!(bench.call("x").await, Ok(json!({"label": "bug"})));
    let received = server.received();
    assert_eq!(received.len(), 3, "it is asked once whether it does");
    assert_eq!(O.schema_sent(&received[1]), Value::Null);
    let prompt = received[1].json()["messages"][1]["content"].as_str().unwrap().to_owned();
    assert!(prompt.contains(r#""bug" | "billing""#), "{prompt}");

    // Anthropic's has another way: a tool whose input is the answer.
    let refusal = "output_config.format: Extra inputs are not permitted";
    let answer = A.reply("Here you are.", &[("t1", "give_answer", r#"{"label":"bug"}"#)]);
    let (result, server, bench) = one(A, vec![A.refuses(refusal), answer]).await;
    assert_eq!(result, Ok(json!({"label": "bug"})));
    let body = server.received()[1].json();
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "give_answer"}));
    assert_eq!(body["tools"][0]["input_schema"]["properties"]["label"]["enum"], json!(["bug", "billing"]));
    assert_eq!(bench.memory.crossings().len(), 1, "it is no call of a component");
    // And where that is refused, too, the answer is what it says.
    let thinking = "tool_choice: forcing a tool is not supported with thinking";
    let replies = vec![A.refuses(refusal), A.refuses(thinking), A.text(r#"{"label":"bug"}"#)];
    let (result, server, _) = one(A, replies).await;
    assert_eq!(result, Ok(json!({"label": "bug"})));
    assert!(server.received()[2].json().get("tools").is_none());
}

#[tokio::test]
async fn tools_are_called_through_the_harness_and_what_they_give_goes_back() {
    for kind in KINDS {
        let replies = vec![
            kind.streamed_call("call-1", "shop_price", &["{\"it", "em\": \"t", "ea\"}"]),
            kind.reply("", &[("call-2", "add", r#"{"input":[7,1]}"#), ("call-3", "shop_price", r#"{"item":"x"}"#)]),
            kind.text(r#"{"label":"billing","score":8}"#),
        ];
        let (result, server, bench) = one_of(with_tools(&["shop.price", "add"]), kind, replies).await;
        assert_eq!(result, Ok(json!({"label": "billing", "score": 8})), "{kind:?}");
        let crossings = bench.memory.crossings();
        let names: Vec<_> = crossings.iter().map(|one| (one.component.as_str(), one.parent)).collect();
        assert_eq!(names, [("shop.price", Some(1)), ("add", Some(1)), ("shop.price", Some(1)), ("triage", None)]);
        assert_eq!(crossings[1].output, Some(json!(8)));
        let bodies: Vec<Value> = server.received().iter().map(Received::json).collect();
        let tools = bodies[0]["tools"].to_string();
        assert!(tools.contains("shop_price") && tools.contains("add") && !tools.contains("secret"), "{tools}");
        let (first, second) = (&bodies[1]["messages"], &bodies[2]["messages"]);
        match kind {
            O => {
                assert_eq!(first[2]["tool_calls"][0]["function"]["arguments"], r#"{"item": "tea"}"#);
                assert_eq!(first[3], json!({"role": "tool", "tool_call_id": "call-1", "content": "7"}));
                assert_eq!(second[6]["tool_call_id"], "call-3");
                assert!(second[6]["content"].as_str().unwrap().contains("no such item"));
            }
            A => {
                let blocks = json!([
                    {"type": "thinking", "thinking": "hm", "signature": "sig=="},
                    {"type": "tool_use", "id": "call-1", "name": "shop_price", "input": {"item": "tea"}},
                ]);
                assert_eq!(first[1]["content"], blocks);
                let result = json!({"type": "tool_result", "tool_use_id": "call-1", "content": "7", "is_error": false});
                assert_eq!(first[2]["content"], json!([result]));
                assert_eq!(second[4]["content"][1]["is_error"], true);
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_tool_and_no_json_is_told_to_the_model_and_calls_nothing() {
    for kind in KINDS {
        let mut calls =
            vec![("c1", "secret_tool", "{}"), ("c2", "no_such", "{}"), ("c3", "shop_price", r#"{"item":7}"#)];
        if kind == O {
            calls.push(("c4", "add", "[1, 2"));
        }
        let (result, server, bench) = one_of(
            with_tools(&["add", "shop.price"]),
            kind,
            vec![kind.reply("", &calls), kind.text(r#"{"label":"bug"}"#)],
        )
        .await;
        assert_eq!(result, Ok(json!({"label": "bug"})));
        let messages = server.received()[1].json()["messages"].to_string();
        for told in ["no tool `secret_tool`; there are add, shop_price", "no tool `no_such`", "does not fit"] {
            assert!(messages.contains(told), "{told}: {messages}");
        }
        assert_eq!(messages.contains("the input is no JSON"), kind == O);
        let failed: Vec<_> = bench
            .memory
            .crossings()
            .into_iter()
            .filter(|one| one.component != "triage")
            .map(|one| one.component)
            .collect();
        assert_eq!(failed, ["shop.price"], "only what is a tool was called at all");
    }
}

#[tokio::test]
async fn a_model_that_never_answers_is_stopped() {
    for kind in KINDS {
        let again = kind.reply("", &[("c", "add", r#"{"input":[1,1]}"#)]);
        let (result, server, bench) = one_of(with_tools(&["add"]), kind, vec![again]).await;
        let error = result.unwrap_err();
        assert_eq!((error.class, error.component.as_str()), (Class::FormatViolation, "triage"));
        assert!(error.message.contains("called tools 8 times in a row"), "{error}");
        assert_eq!(server.received().len(), ROUNDS + 1);
        assert_eq!(bench.memory.crossings().len(), ROUNDS + 1, "the last is not called any more");
        let many = kind.reply("", &[("c", "add", r#"{"input":[1,1]}"#); 17]);
        let (result, _, bench) = one_of(with_tools(&["add"]), kind, vec![many]).await;
        assert!(result.unwrap_err().message.contains("17 tools at once"));
        assert_eq!(bench.memory.crossings().len(), 1);
    }
}

#[tokio::test]
async fn limits_end_the_call_whoever_handles_the_errors_of_tools() {
    for kind in KINDS {
        let calls = kind.reply("", &[("c", "add", r#"{"input":[1,1]}"#)]);
        let server = Server::script(vec![calls, kind.text(r#"{"label":"bug"}"#)]);
        let rules = vec![Rule::new("add", Decision::Deny)];
        let bench = Bench::with(with_tools(&["add"]), parts(vec![kind.model(&server.url)]), rules);
        let error = bench.call("x").await.unwrap_err();
        assert_eq!((error.class, error.component.as_str()), (Class::Denied, "add"));
        assert_eq!(error.chain, ["main", "triage", "add"]);
        assert_eq!(server.received().len(), 1, "the model is not asked for a way around it");

        // Itself, deeper and deeper.
        let server = Server::script(vec![kind.reply("", &[("c", "triage", r#"{"input":"x"}"#)])]);
        let bench = Bench::new(with_tools(&["triage"]), parts(vec![kind.model(&server.url)]));
        let run = bench.harness.run_with(RunOptions { depth: Some(3), ..RunOptions::default() });
        let error = run.call::<Value>("triage", "x").await.unwrap_err();
        assert_eq!((error.class, server.received().len()), (Class::Depth, 3));

        let calls = kind.reply("", &[("c", "shop_price", r#"{"item":"x"}"#)]);
        let server = Server::script(vec![calls, kind.text(r#"{"label":"bug"}"#)]);
        let spec = ComponentSpec { tool_errors: ToolErrors::Caller, ..with_tools(&["shop.price"]) };
        let error = Bench::new(spec, parts(vec![kind.model(&server.url)])).call("x").await.unwrap_err();
        assert_eq!((error.class, error.component.as_str()), (Class::Failed, "shop.price"));
        assert_eq!((error.side, error.message.as_str()), (Some(Side::Code), "no such item"));
    }
}

#[tokio::test]
async fn a_server_without_tools_is_told_of_them_in_words() {
    let server = Server::script(vec![
        O.refuses("registry.ollama.ai/library/gemma3:1b does not support tools"),
        // The server's own answer to the same question without them is not used.
        O.text("I would need a tool."),
        O.text(r#"{"answer":{"call":"shop_price","input":{"item":"tea"}}}"#),
        O.text(r#"{"answer":{"answer":{"label":"billing","score":7}}}"#),
    ]);
    let bench = Bench::new(with_tools(&["shop.price"]), parts(vec![O.model(&server.url)]));
    assert_eq!(bench.call("x").await, Ok(json!({"label": "billing", "score": 7})));
    let received = server.received();
    let body = received[2].json();
    assert!(body.get("tools").is_none());
    let prompt = body["messages"][1]["content"].as_str().unwrap();
    assert!(prompt.contains("`shop_price`") && prompt.contains(r#"{"call": NAME, "input": INPUT}"#), "{prompt}");
    let gave = received[3].json()["messages"][3]["content"].as_str().unwrap().to_owned();
    assert_eq!(gave, "The tool `shop_price` gave: 7");
    assert!(bench.attempts().iter().any(|told| told.contains("takes no tools: they are told in words")));
}

#[tokio::test]
async fn nothing_is_sent_that_does_not_fit_a_budget() {
    let server = Server::script(vec![O.text(r#"{"label":"bug"}"#)]);
    let free = || parts(vec![O.model(&server.url)]);
    let bench = Bench::new(triage(), free());
    let with =
        |tokens, usd| RunOptions { budget: Budget { tokens, usd, ..Budget::default() }, ..RunOptions::default() };
    let error = bench.harness.run_with(with(Some(2000), None)).call::<Value>("triage", "x").await.unwrap_err();
    assert_eq!(error.class, Class::Budget);
    assert!(server.received().is_empty());
    let run = bench.harness.run_with(with(Some(10_000), Some(1.0)));
    assert_eq!(run.call::<Value>("triage", "x").await, Ok(json!({"label": "bug"})));
    assert_eq!(run.spent().tokens(), 18, "what was put aside is settled");

    let mut spec = triage();
    spec.budget.tokens = Some(100);
    let error = Bench::new(spec, free()).call("x").await.unwrap_err();
    assert_eq!(error.class, Class::Budget);
    assert!(error.message.contains("the spec's `budget` for a call is 100"), "{error}");

    // What is not free and has no known price.
    let far = vec![O.model("http://192.0.2.1")];
    let run = Bench::new(triage(), parts(far)).harness.run_with(with(None, Some(1.0)));
    let error = run.call::<Value>("triage", "x").await.unwrap_err();
    assert_eq!(error.class, Class::Budget);
    assert!(error.message.contains("what openai/some-model costs is not known"), "{error}");
}

#[tokio::test]
async fn draws_are_new_unless_a_seed_repeats_them_all() {
    let seeds = |server: &Server| -> Vec<u64> {
        server.received().iter().map(|request| request.json()["seed"].as_u64().unwrap()).collect()
    };
    let draw = |seed| async move {
        let server = Server::script(vec![O.text(r#"{"label":"bug"}"#)]);
        let spec = ComponentSpec { sampling: Sampling { seed, ..Sampling::default() }, ..triage() };
        let bench = Bench::new(spec, parts(vec![O.model(&server.url)]));
        for input in ["x", "x", "y"] {
            bench.call(input).await.unwrap();
        }
        seeds(&server)
    };
    let (fresh, again) = (draw(None).await, draw(None).await);
    assert!(fresh[0] != fresh[1] && fresh != again);
    let (one, other) = (draw(Some(5)).await, draw(Some(5)).await);
    assert_eq!(one, other);
    assert!(one[0] != one[1] && one[0] != one[2], "{one:?}");
    assert_ne!(one, draw(Some(6)).await);
}

#[tokio::test]
async fn the_digest_holds_all_that_answers_depend_on_and_nothing_else() {
    let digest =
        |spec: ComponentSpec, parts: Parts| ModelComponent::new(spec, parts).unwrap().about().digest.clone().unwrap();
    let usual = || parts(vec![O.model("http://localhost:1")]);
    let base = digest(triage(), usual());
    let mut hidden = triage();
    hidden.examples[1].input = json!("another");
    hidden.expect.agree = Some(0.9);
    hidden.retries = 3;
    assert_eq!(digest(hidden, usual()), base);
    let changes: [fn(&mut ComponentSpec); 8] = [
        |spec| spec.description.push('!'),
        |spec| spec.examples[0].hidden = true,
        |spec| spec.output = Schema::any(),
        |spec| spec.tools.push("add".into()),
        |spec| spec.tool_errors = ToolErrors::Caller,
        |spec| spec.sampling.temperature = Some(0.1),
        |spec| spec.sampling.seed = Some(1),
        |spec| spec.prompt.system = Some("Be brief.".into()),
    ];
    let mut all = vec![base];
    for change in changes {
        let mut spec = triage();
        change(&mut spec);
        all.push(digest(spec, usual()));
    }
    all.push(digest(triage(), parts(vec![O.model("http://localhost:2")])));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("component.user.tera"), "{{ input }}!").unwrap();
    let templates = Arc::new(Templates::load(Some(folder.path())).unwrap());
    all.push(digest(triage(), Parts { templates, ..usual() }));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 11);
    assert!(matches!(ModelComponent::new(triage(), parts(vec![])), Err(ComponentError::NoModel(_))));
    let mut spec = triage();
    spec.prompt.template = Some("fancy".into());
    assert!(matches!(ModelComponent::new(spec, usual()), Err(ComponentError::Prompt { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_answers_in_plain_text_and_calls_tools_in_words() {
    let program = |script: &str| -> Arc<dyn Model> {
        let arguments = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Arc::new(Program::new("mine", Options::new(arguments)).unwrap())
    };
    let plain = program(r#"grep -q 'Sort the ticket' && echo 'I think {"label": "bug"} it is.'"#);
    assert_eq!(Bench::new(triage(), parts(vec![plain])).call("x").await, Ok(json!({"label": "bug"})));
    let mended = program(
        r#"text=$(cat); case "$text" in *"can't be used"*) echo '{"label": "billing"}';; *) echo 'no idea';; esac"#,
    );
    let bench = Bench::new(triage(), parts(vec![mended]));
    assert_eq!(bench.call("x").await, Ok(json!({"label": "billing"})));
    assert_eq!(bench.attempts(), ["the answer does not fit: it is no JSON: no idea"]);
    let caller = program(
        r#"text=$(cat); case "$text" in *'`shop_price` gave: 7'*) echo '{"answer": {"label": "billing", "score": 7}}';;
           *) echo '{"call": "shop_price", "input": {"item": "tea"}}';; esac"#,
    );
    let bench = Bench::new(with_tools(&["shop.price"]), parts(vec![caller]));
    assert_eq!(bench.call("x").await, Ok(json!({"label": "billing", "score": 7})));
    let broken = program("echo 'out of luck' >&2; exit 3");
    let error = Bench::new(triage(), parts(vec![broken])).call("x").await.unwrap_err();
    assert_eq!(error.class, Class::Provider);
    assert!(error.message.contains("ended with exit code 3: out of luck"), "{error}");
}

#[tokio::test]
async fn recorded_answers_are_given_in_order_and_take_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.jsonl");
    std::fs::write(&file, "{\"text\": \"odd\"}\n{\"text\": \"{\\\"label\\\": \\\"bug\\\"}\"}\n{\"text\": \"{\\\"label\\\": \\\"billing\\\"}\"}\n").unwrap();
    let replay: Arc<dyn Model> = Arc::new(Replay::read(&file, "answers.jsonl").unwrap());
    let bench = Bench::new(triage(), parts(vec![replay]));
    let run = bench
        .harness
        .run_with(RunOptions { budget: Budget { tokens: Some(1), ..Budget::default() }, ..RunOptions::default() });
    assert_eq!(run.call::<Value>("triage", "x").await, Ok(json!({"label": "bug"})));
    assert_eq!(run.call::<Value>("triage", "x").await, Ok(json!({"label": "billing"})));
    let error = run.call::<Value>("triage", "x").await.unwrap_err();
    assert_eq!(error.class, Class::Provider);
    assert!(error.message.contains("has no completion for sample 4 (it holds 3)"), "{error}");
}

/// Needs the model's file, and fetches it into the user's cache where it is missing.
#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_embedded_model_can_not_but_fit_the_schema() {
    let model: Arc<dyn Model> = Arc::new(crate::model::embedded::test_model().await);
    let mut spec = triage();
    spec.output = schema(json!({"type": "object", "required": ["label", "score", "tags", "note"], "properties": {
        "label": {"enum": ["bug \"b\"", "billing", "é→🦀"]},
        "score": {"type": "integer", "minimum": -3, "maximum": 142},
        "tags": {"type": "array", "items": {"type": ["number", "boolean"]}, "minItems": 1, "maxItems": 3},
        "note": {"type": ["string", "null"], "maxLength": 40},
        "more": {"type": "object", "additionalProperties": {"type": "boolean"}},
    }}));
    spec.examples.clear();
    spec.sampling.max_tokens = Some(200);
    for (seed, temperature) in [(1, 0.0), (2, 0.8), (3, 1.5), (4, 2.0)] {
        spec.sampling.seed = Some(seed);
        spec.sampling.temperature = Some(temperature);
        let draw = || async {
            let bench = Bench::new(spec.clone(), parts(vec![model.clone()]));
            let result = bench.call("The invoice is wrong, and then the program crashed.").await;
            (result, bench)
        };
        let (result, bench) = draw().await;
        match &result {
            Ok(value) => println!("{value}"),
            // It may go on and on, but it has not written anything that does not fit.
            Err(error) => assert!(error.message.contains("cut off"), "{error}"),
        }
        assert!(bench.attempts().iter().all(|told| told.contains("cut off")), "{:?}", bench.attempts());
        assert!(temperature > 1.0 || result.is_ok(), "{result:?}");
        assert_eq!(draw().await.0, result, "with a seed the same again");
    }
    // A choice alone, where the schema is no object, and anything at all.
    for (output, seed) in
        [(json!({"enum": ["bug", "billing"]}), 5), (json!({"type": "array", "items": {}, "maxItems": 2}), 6)]
    {
        let spec = ComponentSpec { output: schema(output), ..spec.clone() };
        let spec = ComponentSpec {
            sampling: Sampling { seed: Some(seed), max_tokens: Some(100), ..Sampling::default() },
            ..spec
        };
        let bench = Bench::new(spec, parts(vec![model.clone()]));
        let result = bench.call("It crashes.").await;
        println!("{result:?}");
        assert!(result.is_ok() || result.unwrap_err().message.contains("cut off"));
    }
    // Tools are told of in words, and it can say nothing but a call that is one, or an answer.
    let mut spec = with_tools(&["shop.price"]);
    spec.description = "Look up the price of the item with the tool, then sort the ticket: it is the score.".into();
    spec.examples.clear();
    spec.sampling = Sampling { seed: Some(7), temperature: Some(0.2), max_tokens: Some(60), ..Sampling::default() };
    let bench = Bench::new(spec, parts(vec![model]));
    let result = bench.call("tea").await;
    println!("{result:?} {:?}", bench.memory.crossings().iter().map(|one| &one.component).collect::<Vec<_>>());
    assert!(bench.attempts().iter().all(|told| !told.contains("does not fit")), "{:?}", bench.attempts());
    if let Err(error) = result {
        assert!(error.message.contains("cut off") || error.message.contains("times in a row"), "{error}");
    }
}
