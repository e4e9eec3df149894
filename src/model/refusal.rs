//! Which parameter of a request a server refuses, from its words. Pure.
//!
//! Servers don't agree on how to say it: OpenAI names it in `error.param`, others in a sentence or in a list of places.

use serde_json::Value;

/// Words of a refusal, as distinct from a value that is out of range.
const COMPLAINTS: [&str; 16] = [
    "support",
    "unrecogni",
    "unknown",
    "extra input",
    "extra_forbidden",
    "not permitted",
    "not allowed",
    "only allowed",
    "unexpected",
    "cannot both",
    "can't both",
    "may only",
    "cannot find field",
    "deprecated",
    "unavailable",
    "combined",
];
/// What is given up first when a server names two that don't go together.
const ORDER: [&str; 14] = [
    "stream_options",
    "response_format",
    "output_config",
    "tool_choice",
    "tools",
    "top_p",
    "seed",
    "stop",
    "stop_sequences",
    "temperature",
    "cache_control",
    "prefill",
    "stream",
    "max_tokens",
];

/// What servers call an answer that is held to a schema, beside the parameter's name.
const FORMS: [&str; 7] = [
    "response format",
    "output format",
    "output_format",
    "json_schema",
    "json schema",
    "json mode",
    "structured output",
];

/// The one of `sent` that the reply to a refused request is about.
pub fn refused<'a>(reply: &[u8], sent: &[&'a str]) -> Option<&'a str> {
    let json: Value = serde_json::from_slice(reply).unwrap_or_default();
    let raw = String::from_utf8_lossy(&reply[..reply.len().min(16 << 10)]).to_lowercase();
    let complains = COMPLAINTS.iter().any(|word| raw.contains(word));
    let ordered = || ORDER.iter().filter_map(|name| sent.iter().find(|sent| *sent == name).copied());
    let named = json["error"]["param"].as_str().unwrap_or_default();
    // A limit that is too high is no refusal of limits: it is the user's to lower.
    if let Some(name) = ordered().find(|name| *name == named)
        && (complains || !name.starts_with("max_"))
    {
        return Some(name);
    }
    // vLLM, where it was not started for tools.
    if let Some(name) = sent.iter().find(|name| **name == "tools").filter(|_| raw.contains("tool choice requires")) {
        return Some(name);
    }
    if !complains {
        return None;
    }
    ordered().find(|name| match *name {
        "prefill" => raw.contains("prefill") || raw.contains("end with a user message"),
        // What is refused is one form of it, a schema, or something in the schema.
        "response_format" | "output_config" => mentions(&raw, name) || FORMS.iter().any(|form| raw.contains(form)),
        name => mentions(&raw, name),
    })
}

/// Whether `name` stands in `text` as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let part = |character: Option<char>| character.is_some_and(|one| one.is_ascii_alphanumeric() || one == '_');
    text.match_indices(name)
        .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + name.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &[&str] = &["max_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options"];

    #[test]
    fn refusals_as_servers_word_them() {
        for (reply, expected) in [
            (
                r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
                "max_tokens",
            ),
            (
                r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.8 with this model. Only the default (1) value is supported.","param":"temperature","code":"unsupported_value"}}"#,
                "temperature",
            ),
            (r#"{"error":{"message":"Unrecognized request argument supplied: seed","param":null}}"#, "seed"),
            (
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted"}]}"#,
                "seed",
            ),
            (r#"{"error":{"message":"property 'stop' is unsupported, did you mean 'top_p'?","param":"stop"}}"#, "stop"),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` and `top_p` cannot both be specified for this model. Please use only one."}}"#,
                "top_p",
            ),
            (
                r#"{"error":{"message":"Invalid JSON payload received. Unknown name \"stream_options\": Cannot find field."}}"#,
                "stream_options",
            ),
            ("seed: Extra inputs are not permitted", "seed"),
            (r#"{"error":"streaming is not supported: stream"}"#, "stream"),
        ] {
            assert_eq!(refused(reply.as_bytes(), SENT), Some(expected), "{reply}");
        }
        let reply =
            "This model does not support assistant message prefill. The conversation must end with a user message.";
        assert_eq!(refused(reply.as_bytes(), &["prefill", "temperature"]), Some("prefill"));
    }

    #[test]
    fn schemas_and_tools_are_refused_in_many_words() {
        for (reply, expected) in [
            (
                r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.","type":"invalid_request_error","param":"response_format","code":null}}"#,
                "response_format",
            ),
            (
                r#"{"error":{"message":"Invalid schema for response_format 'answer': In context=(), 'oneOf' is not permitted.","param":"response_format"}}"#,
                "response_format",
            ),
            (r#"{"error":{"message":"This response_format type is unavailable now"}}"#, "response_format"),
            (r#"{"error":{"message":"json mode cannot be combined with tool/function calling"}}"#, "response_format"),
            (r#"{"error":{"message":"registry.ollama.ai/library/gemma3:1b does not support tools"}}"#, "tools"),
            (
                r#"{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"}"#,
                "tools",
            ),
        ] {
            let sent = ["temperature", "response_format", "tools"];
            assert_eq!(refused(reply.as_bytes(), &sent), Some(expected), "{reply}");
        }
        for (reply, expected) in [
            ("output_config.format: Extra inputs are not permitted", "output_config"),
            ("'some-model' does not support output format.", "output_config"),
            ("tool_choice: forcing a tool is not supported with thinking", "tool_choice"),
        ] {
            let reply =
                serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": reply}});
            let sent = ["output_config", "tool_choice", "tools"];
            assert_eq!(refused(reply.to_string().as_bytes(), &sent), Some(expected), "{reply}");
        }
    }

    #[test]
    fn other_complaints_are_no_refusals() {
        for reply in [
            r#"{"error":{"message":"max_tokens is too large: 99999. This model's maximum is 4096.","param":"max_tokens"}}"#,
            r#"{"error":{"message":"The model `x` is not supported"}}"#,
            r#"{"error":{"message":"Unsupported parameter: 'max_completion_tokens'","param":"max_completion_tokens"}}"#,
            r#"{"error":{"message":"bad request"}}"#,
            "<html>",
            "",
        ] {
            assert_eq!(refused(reply.as_bytes(), SENT), None, "{reply}");
        }
        assert_eq!(refused(br#"{"error":{"message":"unknown seed","param":"seed"}}"#, &["top_p"]), None);
    }
}
