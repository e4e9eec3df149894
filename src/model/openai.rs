//! Any server that speaks OpenAI's chat completions: OpenAI itself, Azure, vLLM, llama.cpp, Ollama, LM Studio,
//! OpenRouter … How a request is written and an answer is read; never a connection.

use serde_json::{Value, json};

use super::answer::{Answer, Fault, count};
use super::http::{Ask, Asked, DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, Dialect, Remote, short};
use super::providers::{Provider, list_remote, open_remote};
use super::sampling::derived_seed;
use super::structure::{Optional, Wired};
use super::trouble::Trouble;
use super::{Finish, Talk, ToolCall, Turn, sse};

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
        let mut asked = Asked { body: json!({"model": ask.model}), temperature: 1.0, ..Asked::default() };
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
        // What answers in a talk is JSON, or calls a tool: nothing begins it.
        if server.prefill && ask.talk.is_none() {
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
        }
        asked.body["messages"] = messages.into();
        if let Some(talk) = ask.talk.filter(|talk| !talk.tools.is_empty()) {
            put(&mut asked, "tools", tools(talk));
        }
        if let Some(schema) = ask.talk.and_then(|talk| talk.output.as_ref()) {
            let wired = Wired::new(schema, Optional::Null);
            let schema = json!({"name": "answer", "schema": wired.schema, "strict": wired.strict});
            if put(&mut asked, "response_format", json!({"type": "json_schema", "json_schema": schema})) {
                asked.wired = Some(wired);
            }
        }
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
            asked.wired = asked.wired.filter(|_| name != "response_format");
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

/// What was said since the prompt, as messages.
fn turns(talk: &Talk) -> Vec<Value> {
    let mut messages = Vec::new();
    for turn in &talk.turns {
        match turn {
            Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
            Turn::Results(results) => {
                let message = |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
                messages.extend(results.iter().map(|result| message(&result.id, &result.content)));
            }
            Turn::Model(said) => {
                let mut message = json!({"role": "assistant", "content": said.text});
                let calls: Vec<Value> = said
                    .calls
                    .iter()
                    .map(|call| {
                        let mut one = Value::Object(call.more.clone());
                        one["id"] = call.id.as_str().into();
                        one["type"] = "function".into();
                        one["function"] = json!({"name": call.name, "arguments": call.arguments});
                        one
                    })
                    .collect();
                if !calls.is_empty() {
                    message["tool_calls"] = calls.into();
                }
                messages.push(message);
            }
        }
    }
    messages
}

fn tools(talk: &Talk) -> Value {
    let tool = |tool: &super::Tool| {
        let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.input});
        json!({"type": "function", "function": function})
    };
    talk.tools.iter().map(tool).collect()
}

/// Takes in a call of a tool, or a piece of one.
///
/// Pieces belong together by their `index`. Some servers give none, or the same for calls that come whole: there a new
/// `id` is a new call.
fn piece_of_call(answer: &mut Answer, piece: &Value, is_whole: bool) {
    let id = piece["id"].as_str().filter(|id| !id.is_empty());
    let function = &piece["function"];
    let name = function["name"].as_str().unwrap_or_default();
    let index = piece["index"].as_u64();
    let is_of = |call: &ToolCall| (index.is_none() || call.place == index) && id.is_none_or(|id| call.id == id);
    // A piece that names a function and has no id begins a call, too, where there is no place to tell them apart.
    let begins = is_whole || index.is_none() && id.is_none() && !name.is_empty();
    let at = answer.calls.iter().rposition(is_of).filter(|_| !begins);
    let at = at.unwrap_or_else(|| {
        let id = id.unwrap_or_default().to_owned();
        answer.calls.push(ToolCall { id, place: index, ..ToolCall::default() });
        answer.calls.len() - 1
    });
    let call = &mut answer.calls[at];
    if call.name.is_empty() {
        call.name = name.to_owned();
    }
    match &function["arguments"] {
        Value::String(text) => {
            answer.pieces += usize::from(!text.is_empty());
            call.arguments.push_str(text);
        }
        // Some send them as what they are.
        arguments @ Value::Object(_) => {
            answer.pieces += 1;
            call.arguments = arguments.to_string();
        }
        _ => {}
    }
    for (name, value) in piece.as_object().into_iter().flatten() {
        if !["id", "type", "function", "index"].contains(&name.as_str()) {
            call.more.insert(name.clone(), value.clone());
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
        _ => {}
    }
    if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
        answer.refused = true;
        answer.say(refusal);
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        piece_of_call(answer, call, place == "message");
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
