//! Any server that speaks OpenAI's chat completions: OpenAI itself, Azure, vLLM, llama.cpp, Ollama, LM Studio,
//! OpenRouter … How a request is written and an answer is read; never a connection.

use serde_json::{Value, json};

use super::answer::{Answer, Fault, count};
use super::http::{Ask, Asked, DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, Dialect, Remote, short};
use super::providers::{Provider, list_remote, open_remote};
use super::sampling::derived_seed;
use super::trouble::Trouble;
use super::{Finish, sse};

/// The address of OpenAI itself.
pub const OPENAI: &str = "https://api.openai.com/v1";
/// The variable that holds the key.
pub const KEY: &str = "OPENAI_API_KEY";

/// A model behind an OpenAI-compatible server.
pub type OpenAi = Remote<Chat>;

/// The provider `openai`.
pub const PROVIDER: Provider = Provider {
    name: "openai",
    open: |setup, name| Box::pin(async move { open_remote::<Chat>(setup, name, OPENAI, KEY) }),
    list: |setup| Box::pin(async move { list_remote::<Chat>(setup, OPENAI, KEY).await }),
};

/// OpenAI's chat completions.
pub struct Chat;

impl Dialect for Chat {
    const PROVIDER: &'static str = "openai";
    const PATH: &'static str = "/chat/completions";

    fn headers(key: Option<&str>) -> Vec<(&'static str, String)> {
        key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
    }

    fn write(ask: &Ask<'_>) -> Asked {
        let Ask { parameters, server, without, .. } = ask;
        let takes = |name: &str| !without.contains(name);
        let mut messages = Vec::new();
        if !ask.prompt.system.is_empty() {
            messages.push(json!({"role": "system", "content": ask.prompt.system}));
        }
        messages.push(json!({"role": "user", "content": ask.prompt.user}));
        let mut asked = Asked {
            body: json!({"model": ask.model}),
            optional: vec![],
            left_out: vec![],
            temperature: 1.0,
            opening: String::new(),
        };
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
        let mut stop = server.stop.clone();
        if server.prefill {
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
        if put(&mut asked, "stream", true.into()) {
            put(&mut asked, "stream_options", json!({"include_usage": true}));
        }
        let temperature = parameters.temperature.unwrap_or(DEFAULT_TEMPERATURE);
        if put(&mut asked, "temperature", short(temperature)) {
            asked.temperature = temperature;
        }
        put(&mut asked, "top_p", short(parameters.top_p));
        put(&mut asked, "seed", derived_seed(parameters.seed, ask.index).into());
        if !stop.is_empty() {
            put(&mut asked, "stop", stop.into());
        }
        let max_tokens = Value::from(parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS));
        if takes("max_tokens") {
            put(&mut asked, "max_tokens", max_tokens);
        } else if put(&mut asked, "max_completion_tokens", max_tokens) {
            // Renamed is not left out: it limits the same, reasoning included.
            asked.left_out.retain(|name| name != "max_tokens");
        } else {
            asked.left_out.retain(|name| name != "max_completion_tokens");
            asked.left_out.push("max_tokens".to_owned());
        }
        for (name, value) in &server.body {
            asked.body[name] = value.clone();
        }
        asked
    }

    fn piece(answer: &mut Answer, event: &sse::Event) -> Result<(), Fault> {
        let data = event.data.trim();
        if data == "[DONE]" {
            answer.is_over = true;
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Value =
            serde_json::from_str(data).map_err(|_| Fault::NotIt(format!("an event that is broken JSON: {data}")))?;
        read(answer, &chunk, "delta")
    }

    fn whole(answer: &mut Answer, reply: &Value) -> Result<(), Fault> {
        read(answer, reply, "message")?;
        match reply["choices"].as_array().map(Vec::as_slice) {
            None => Err(Fault::NotIt("JSON that is no chat completion".into())),
            Some([]) => Err(Fault::NotIt("no choices".into())),
            Some([choice, ..]) if !choice["message"].is_object() => {
                Err(Fault::NotIt("JSON that is no chat completion".into()))
            }
            Some(_) => {
                answer.finish.get_or_insert(Finish::Stop);
                answer.is_over = true;
                Ok(())
            }
        }
    }
}

/// Takes in a chunk, or a whole reply; they differ in where the text is.
fn read(answer: &mut Answer, reply: &Value, place: &str) -> Result<(), Fault> {
    if !reply["error"].is_null() {
        return Err(Fault::Error(Trouble::within(&reply["error"])));
    }
    if let Some(model) = reply["model"].as_str().filter(|model| !model.is_empty()) {
        answer.served_as.get_or_insert_with(|| model.to_owned());
    }
    usage(answer, &reply["usage"]);
    let choice = &reply["choices"][0];
    let message = &choice[place];
    // Each family of servers has its own name for it, and some send two of them.
    if let Some(thought) = ["reasoning_content", "reasoning"].iter().find_map(|name| message[*name].as_str()) {
        answer.think(thought);
    }
    match &message["content"] {
        Value::String(text) => answer.say(text),
        Value::Array(parts) => {
            for part in parts {
                match part["type"].as_str() {
                    Some("thinking") => {
                        let thoughts = part["thinking"].as_array().into_iter().flatten();
                        thoughts.filter_map(|thought| thought["text"].as_str()).for_each(|text| answer.think(text));
                    }
                    _ => answer.say(part["text"].as_str().unwrap_or_default()),
                }
            }
        }
        _ => answer.say(message["refusal"].as_str().unwrap_or_default()),
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        answer.finish = Some(match reason {
            "length" => Finish::Length,
            "content_filter" => Finish::Filter,
            "error" => {
                return Err(Fault::Error(Trouble::within(&json!("the server gave up in the middle of its answer"))));
            }
            _ => Finish::Stop,
        });
    }
    Ok(())
}

fn usage(answer: &mut Answer, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    let own = &mut answer.usage;
    own.prompt_tokens = count(&usage["prompt_tokens"]).or(own.prompt_tokens);
    own.completion_tokens = count(&usage["completion_tokens"]).or(own.completion_tokens);
    let cached = count(&usage["prompt_tokens_details"]["cached_tokens"]).or(count(&usage["prompt_cache_hit_tokens"]));
    own.cached_tokens = cached.unwrap_or(own.cached_tokens);
    own.reasoning_tokens =
        count(&usage["completion_tokens_details"]["reasoning_tokens"]).unwrap_or(own.reasoning_tokens);
    own.usd = usage["cost"].as_f64().or(own.usd);
}
