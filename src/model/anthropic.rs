//! Anthropic's messages. How a request is written and an answer is read; never a connection.

use serde_json::{Value, json};

use super::answer::{Answer, Fault, count};
use super::http::{Ask, Asked, DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, Dialect, Remote, short};
use super::providers::{Provider, list_remote, open_remote};
use super::trouble::Trouble;
use super::{Finish, sse};

/// The address of Anthropic itself.
pub const ANTHROPIC: &str = "https://api.anthropic.com/v1";
/// The variable that holds the key.
pub const KEY: &str = "ANTHROPIC_API_KEY";
/// The version of the protocol.
const VERSION: &str = "2023-06-01";

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
            optional: vec![],
            // The protocol has no such thing.
            left_out: vec!["seed".to_owned()],
            temperature: 1.0,
            opening: String::new(),
        };
        // Thinking comes out of the same allowance as the answer.
        let thinking = count(&server.body.get("thinking").unwrap_or(&Value::Null)["budget_tokens"]).unwrap_or(0);
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
        if server.prefill {
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
            "content_block_start" => content(answer, &data["content_block"]),
            "content_block_delta" => content(answer, &data["delta"]),
            "message_delta" => {
                finish(answer, &data["delta"]["stop_reason"]);
                usage(answer, &data["usage"]);
            }
            "message_stop" => {
                answer.finish.get_or_insert(Finish::Stop);
                answer.is_over = true;
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
        for block in blocks {
            content(answer, block);
        }
        finish(answer, &reply["stop_reason"]);
        answer.finish.get_or_insert(Finish::Stop);
        answer.is_over = true;
        Ok(())
    }
}

fn message(answer: &mut Answer, message: &Value) {
    answer.served_as = message["model"].as_str().map(str::to_owned);
    usage(answer, &message["usage"]);
}

/// A block, or a piece of one.
fn content(answer: &mut Answer, block: &Value) {
    match block["type"].as_str() {
        Some("text" | "text_delta") => answer.say(block["text"].as_str().unwrap_or_default()),
        Some("thinking" | "thinking_delta") => answer.think(block["thinking"].as_str().unwrap_or_default()),
        // Redacted thinking, signatures, and what is yet to be invented.
        _ => {}
    }
}

fn finish(answer: &mut Answer, reason: &Value) {
    if let Some(reason) = reason.as_str() {
        answer.finish = Some(match reason {
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "refusal" => Finish::Filter,
            _ => Finish::Stop,
        });
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
