//! Anthropic's messages. How a request is written and an answer is read; never a connection.

use serde_json::{Value, json};

use super::answer::{Answer, Fault, count};
use super::http::{Ask, Asked, DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, Dialect, Remote, short};
use super::providers::{Provider, list_remote, open_remote};
use super::structure::{Optional, Wired};
use super::trouble::Trouble;
use super::{Finish, Talk, ToolCall, Turn, sse};

/// The address of Anthropic itself.
pub const ANTHROPIC: &str = "https://api.anthropic.com/v1";
/// The variable that holds the key.
pub const KEY: &str = "ANTHROPIC_API_KEY";
/// The version of the protocol.
const VERSION: &str = "2023-06-01";
/// The tool whose input is the answer, where a model can be held to a schema in no other way.
const ANSWER: &str = "give_answer";

/// A model behind Anthropic's messages.
pub type Anthropic = Remote<Messages>;

/// The provider `anthropic`.
pub const PROVIDER: Provider = Provider {
    name: "anthropic",
    open: |setup, name| Box::pin(async move { open_remote::<Messages>(setup, name, ANTHROPIC, KEY) }),
    list: |setup| Box::pin(async move { list_remote::<Messages>(setup, ANTHROPIC, KEY).await }),
};

/// Anthropic's messages.
pub struct Messages;

impl Dialect for Messages {
    const PROVIDER: &'static str = "anthropic";
    const PATH: &'static str = "/messages";

    fn headers(key: Option<&str>) -> Vec<(&'static str, String)> {
        let version = ("anthropic-version", VERSION.to_owned());
        std::iter::once(version).chain(key.map(|key| ("x-api-key", key.to_owned()))).collect()
    }

    fn write(ask: &Ask<'_>) -> Asked {
        let Ask { parameters, server, without, .. } = ask;
        let takes = |name: &str| !without.contains(name);
        let mut asked = Asked {
            body: json!({"model": ask.model}),
            // The protocol has no such thing.
            left_out: vec!["seed".to_owned()],
            temperature: 1.0,
            ..Asked::default()
        };
        // Thinking comes out of the same allowance as the answer.
        let thinks = server.body.get("thinking").unwrap_or(&Value::Null);
        let thinking = count(&thinks["budget_tokens"]).unwrap_or(0);
        let is_thinking = thinks["type"].as_str().is_some_and(|kind| kind != "disabled");
        asked.body["max_tokens"] = parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS).saturating_add(thinking).into();
        let put = |asked: &mut Asked, name: &'static str, value: Value| {
            if takes(name) {
                asked.optional.push(name);
                asked.body[name] = value;
                true
            } else {
                asked.left_out.push(name.to_owned());
                false
            }
        };
        // What stays the same from request to request comes first and is marked, so that it is computed once. Writing
        // to the cache costs more than not to, so what only one request has is not marked.
        let cached = takes("cache_control") && ask.shared;
        let block = |text: &str| match cached {
            true => json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]),
            false => json!([{"type": "text", "text": text}]),
        };
        if cached {
            asked.optional.push("cache_control");
        } else if ask.shared {
            asked.left_out.push("cache_control".to_owned());
        }
        if !ask.prompt.system.is_empty() {
            asked.body["system"] = block(&ask.prompt.system);
        }
        let mut messages = vec![json!({"role": "user", "content": block(&ask.prompt.user)})];
        let mut stop = server.stop.clone();
        // What answers in a talk is JSON, or calls a tool: nothing begins it.
        if server.prefill && ask.talk.is_none() {
            // It may not end in white space.
            let opening = ask.prompt.opening.trim_end();
            if takes("prefill") {
                messages.push(json!({"role": "assistant", "content": opening}));
                asked.optional.push("prefill");
                asked.opening = opening.to_owned();
                super::end_of_block(&mut stop, opening);
            } else {
                asked.left_out.push("prefill".to_owned());
            }
        }
        if let Some(talk) = ask.talk {
            messages.extend(turns(talk));
            let mut tools = tools(talk);
            if let Some(schema) = &talk.output {
                let wired = Wired::new(schema, Optional::Absent);
                let format = json!({"format": {"type": "json_schema", "schema": wired.schema}});
                let is_set = server.body.contains_key("output_config");
                if wired.strict && !is_set && put(&mut asked, "output_config", format) {
                    asked.wired = Some(wired);
                } else if !is_set && takes("tool_choice") && takes("tools") && !is_thinking {
                    // Who may call tools may call the others, too. No model that thinks can be made to call one.
                    let description = "Gives the answer. Call it once, when nothing else is left to do.";
                    tools.push(json!({"name": ANSWER, "description": description, "input_schema": wired.schema}));
                    let choice = match talk.tools.is_empty() {
                        true => json!({"type": "tool", "name": ANSWER}),
                        false => json!({"type": "any"}),
                    };
                    put(&mut asked, "tool_choice", choice);
                    (asked.wired, asked.answer_tool) = (Some(wired), Some(ANSWER));
                } else if !takes("tool_choice") {
                    asked.left_out.push("tool_choice".to_owned());
                }
            }
            if !tools.is_empty() {
                put(&mut asked, "tools", tools.into());
            }
        }
        asked.body["messages"] = messages.into();
        put(&mut asked, "stream", true.into());
        // The protocol's scale ends at 1.
        let temperature = parameters.temperature.unwrap_or(DEFAULT_TEMPERATURE).min(1.0);
        if put(&mut asked, "temperature", short(temperature)) {
            asked.temperature = temperature;
        }
        put(&mut asked, "top_p", short(parameters.top_p));
        if !stop.is_empty() {
            put(&mut asked, "stop_sequences", stop.into());
        }
        for (name, value) in &server.body {
            asked.body[name] = value.clone();
        }
        asked
    }

    fn piece(answer: &mut Answer, event: &sse::Event) -> Result<(), Fault> {
        let data: Value = serde_json::from_str(&event.data)
            .map_err(|_| Fault::NotIt(format!("an event that is broken JSON: {}", event.data)))?;
        // New kinds of events and blocks may come at any time, and are to be passed over.
        match data["type"].as_str().unwrap_or(&event.name) {
            "message_start" => message(answer, &data["message"]),
            "content_block_start" => content(answer, &data["content_block"], data["index"].as_u64()),
            "content_block_delta" => content(answer, &data["delta"], data["index"].as_u64()),
            "message_delta" => {
                finish(answer, &data["delta"]["stop_reason"]);
                usage(answer, &data["usage"]);
            }
            "message_stop" => {
                end(answer);
            }
            "error" => return Err(Fault::Error(Trouble::within(&data["error"]))),
            _ => {}
        }
        Ok(())
    }

    fn whole(answer: &mut Answer, reply: &Value) -> Result<(), Fault> {
        if reply["type"] == "error" || !reply["error"].is_null() {
            return Err(Fault::Error(Trouble::within(&reply["error"])));
        }
        let Some(blocks) = reply["content"].as_array() else {
            return Err(Fault::NotIt("JSON that is no message".into()));
        };
        message(answer, reply);
        for (block, place) in blocks.iter().zip(0..) {
            content(answer, block, Some(place));
        }
        finish(answer, &reply["stop_reason"]);
        end(answer);
        Ok(())
    }
}

fn message(answer: &mut Answer, message: &Value) {
    answer.served_as = message["model"].as_str().map(str::to_owned);
    usage(answer, &message["usage"]);
}

/// What was said since the prompt, as messages.
fn turns(talk: &Talk) -> Vec<Value> {
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut messages = Vec::new();
    for turn in &talk.turns {
        messages.push(match turn {
            Turn::User(said) => json!({"role": "user", "content": [text(said)]}),
            Turn::Results(results) => {
                let block = |result: &super::ToolResult| {
                    json!({
                        "type": "tool_result", "tool_use_id": result.id, "content": result.content,
                        "is_error": result.is_error,
                    })
                };
                json!({"role": "user", "content": results.iter().map(block).collect::<Vec<_>>()})
            }
            Turn::Model(said) => {
                // Thinking is taken back only as it was given, and where it was.
                let whole = said.whole.as_ref().and_then(Value::as_array);
                if let Some(blocks) = whole {
                    messages.push(json!({"role": "assistant", "content": blocks}));
                    continue;
                }
                let mut blocks = Vec::new();
                blocks.extend((!said.text.trim().is_empty()).then(|| text(&said.text)));
                blocks.extend(said.calls.iter().map(|call| {
                    let input = input(call).unwrap_or_else(|| json!({}));
                    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
                }));
                if blocks.is_empty() {
                    blocks.push(text("(nothing)"));
                }
                json!({"role": "assistant", "content": blocks})
            }
        });
    }
    messages
}

fn tools(talk: &Talk) -> Vec<Value> {
    let tool =
        |tool: &super::Tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.input});
    talk.tools.iter().map(tool).collect()
}

/// A block, or a piece of one; `place` says of which.
fn content(answer: &mut Answer, block: &Value, place: Option<u64>) {
    let text = |name: &str| block[name].as_str().unwrap_or_default();
    let of_last = |answer: &mut Answer, kind: &str, name: &str| {
        let part = answer.parts.iter_mut().rfind(|part| part["type"] == kind);
        if let Some(Value::String(known)) = part.and_then(|part| part.get_mut(name)) {
            known.push_str(text(name));
        }
    };
    match block["type"].as_str() {
        Some("text") => {
            answer.say(text("text"));
            answer.parts.push(json!({"type": "text", "text": text("text")}));
        }
        Some("text_delta") => {
            answer.say(text("text"));
            of_last(answer, "text", "text");
        }
        Some("thinking") => {
            answer.think(text("thinking"));
            let (thinking, signature) = (text("thinking"), text("signature"));
            answer.parts.push(json!({"type": "thinking", "thinking": thinking, "signature": signature}));
        }
        Some("thinking_delta") => {
            answer.think(text("thinking"));
            of_last(answer, "thinking", "thinking");
        }
        Some("signature_delta") => of_last(answer, "thinking", "signature"),
        Some("redacted_thinking") => answer.parts.push(block.clone()),
        Some("tool_use") => {
            let mut call =
                ToolCall { id: text("id").to_owned(), name: text("name").to_owned(), place, ..ToolCall::default() };
            // Where it streams in, it begins with nothing.
            if block["input"].as_object().is_some_and(|input| !input.is_empty()) {
                call.arguments = block["input"].to_string();
            }
            answer.pieces += 1;
            answer.parts.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}));
            answer.calls.push(call);
        }
        Some("input_json_delta") => {
            if let Some(call) = answer.calls.iter_mut().rfind(|call| call.place == place) {
                answer.pieces += 1;
                call.arguments.push_str(block["partial_json"].as_str().unwrap_or_default());
            }
        }
        // What is yet to be invented.
        _ => {}
    }
}

/// What a call hands over, if it is what the protocol takes.
fn input(call: &ToolCall) -> Option<Value> {
    serde_json::from_str(&call.arguments).ok().filter(Value::is_object)
}

/// Nothing more is to come.
fn end(answer: &mut Answer) {
    answer.finish.get_or_insert(Finish::Stop);
    answer.is_over = true;
    for call in &mut answer.calls {
        if call.arguments.is_empty() {
            call.arguments.push_str("{}");
        }
        let part = answer.parts.iter_mut().find(|part| part["type"] == "tool_use" && part["id"] == call.id.as_str());
        if let (Some(part), Some(input)) = (part, input(call)) {
            part["input"] = input;
        }
    }
    // Thinking has to be sent back word for word with its signature, but only where a tool was called.
    let thinks = answer.parts.iter().any(|part| part["type"] != "text" && part["type"] != "tool_use");
    if answer.calls.is_empty() || !thinks {
        answer.parts.clear();
    }
    let is_blank =
        |part: &Value| part["type"] == "text" && part["text"].as_str().is_none_or(|text| text.trim().is_empty());
    answer.parts.retain(|part| !is_blank(part));
}

fn finish(answer: &mut Answer, reason: &Value) {
    if let Some(reason) = reason.as_str() {
        answer.finish = Some(match reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "refusal" => Finish::Filter,
            _ => Finish::Stop,
        });
        answer.refused = reason == "refusal";
    }
}

/// Counts come in parts, each the whole so far. What was cached is not among the input tokens.
fn usage(answer: &mut Answer, usage: &Value) {
    let own = &mut answer.usage;
    own.cached_tokens = count(&usage["cache_read_input_tokens"]).unwrap_or(own.cached_tokens);
    own.cache_written_tokens = count(&usage["cache_creation_input_tokens"]).unwrap_or(own.cache_written_tokens);
    if let Some(input) = count(&usage["input_tokens"]) {
        own.prompt_tokens = Some(input + own.cached_tokens + own.cache_written_tokens);
    }
    own.completion_tokens = count(&usage["output_tokens"]).or(own.completion_tokens);
}
