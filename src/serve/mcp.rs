//! The Model Context Protocol, whatever carries it: what a message asks, and what is answered.
//!
//! Two ways of speaking are served side by side: that of the versions up to 2025-11-25, where `initialize` settles the
//! version, and that of 2026-07-28, where each request names its own.

use serde_json::{Map, Value, json};

use super::{Done, Served};
use crate::harness::{CallError, Class, Description};

/// Where a request names its version, since 2026-07-28.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const SERVER_KEY: &str = "io.modelcontextprotocol/serverInfo";

pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;
pub(super) const INTERNAL_ERROR: i64 = -32603;
pub(super) const HEADER_MISMATCH: i64 = -32020;
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

const INSTRUCTIONS: &str = "Each tool is a component. `_meta` says whether a model or code answers it: where it is a \
    model, the same input may get another answer next time.";

/// A version of the protocol, in the order in which they came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

impl Version {
    /// The newest first.
    const ALL: [Self; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];
    /// The newest that `initialize` can settle on.
    const NEWEST_SETTLED: Self = Self::V2025_11_25;
    /// The first whose requests name their version.
    const FIRST_NAMED: Self = Self::V2026_07_28;

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Whether each request names it, and nothing is settled before.
    pub(super) fn is_named(self) -> bool {
        self >= Self::FIRST_NAMED
    }

    /// Whether several messages may come as a list.
    pub(super) fn has_batches(self) -> bool {
        self <= Self::V2025_03_26
    }

    fn has_structure(self) -> bool {
        self >= Self::V2025_06_18
    }
}

/// An answer that is a JSON-RPC error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) code: i64,
    message: String,
    data: Option<Value>,
}

impl Failure {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(super) fn unsupported(requested: &str) -> Self {
        let supported: Vec<&str> = Version::ALL.into_iter().map(Version::as_str).collect();
        let data = Some(json!({"supported": supported, "requested": requested}));
        Self { code: UNSUPPORTED_VERSION, message: "Unsupported protocol version".to_owned(), data }
    }

    /// The message that tells of it; `id` is `null` where the request's could not be read.
    pub(super) fn to_message(&self, id: &Value) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

/// What a client can send.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Request(Request),
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer. Nothing is asked of a client here.
    Response,
}

#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// A string or a whole number.
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

impl Request {
    /// The version it names.
    pub(super) fn names_version(&self) -> Option<&Value> {
        self.params.get("_meta")?.get(VERSION_KEY)
    }

    /// The version that it is in, where `settled` is what `initialize` came to.
    pub(super) fn version(&self, settled: Option<Version>) -> Result<Version, Failure> {
        let invalid = |message: &str| Failure::new(INVALID_PARAMS, message);
        let Some(named) = self.names_version() else {
            return match self.method.as_str() {
                "initialize" | "ping" => Ok(settled.unwrap_or(Version::NEWEST_SETTLED)),
                _ => settled.ok_or_else(|| {
                    invalid(&format!(
                        "the request names no version: send `initialize` first, or `_meta` with `{VERSION_KEY}`"
                    ))
                }),
            };
        };
        let text = named.as_str().ok_or_else(|| invalid(&format!("`{VERSION_KEY}` is not a string")))?;
        let version = Version::read(text).filter(|version| version.is_named());
        let version = version.ok_or_else(|| Failure::unsupported(text))?;
        if !self.params["_meta"][CAPABILITIES_KEY].is_object() {
            return Err(invalid(&format!("`_meta` has no `{CAPABILITIES_KEY}`")));
        }
        Ok(version)
    }
}

/// Reads a message. What is wrong comes with the id to tell it under.
pub(super) fn read(value: Value) -> Result<Message, Box<(Value, Failure)>> {
    let invalid = |id: Value, message: &str| Err(Box::new((id, Failure::new(INVALID_REQUEST, message))));
    let Value::Object(mut message) = value else { return invalid(Value::Null, "a message is a JSON object") };
    let id = match message.remove("id") {
        None => None,
        Some(id) if id.is_string() || id.is_i64() || id.is_u64() => Some(id),
        Some(_) if !message.contains_key("method") => return Ok(Message::Response),
        Some(_) => return invalid(Value::Null, "`id` is neither a string nor a whole number"),
    };
    let shown = id.clone().unwrap_or(Value::Null);
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid(shown, "`jsonrpc` is not \"2.0\"");
    }
    let method = match message.remove("method") {
        Some(Value::String(method)) => method,
        None if message.contains_key("result") || message.contains_key("error") => return Ok(Message::Response),
        _ => return invalid(shown, "`method` is not a string"),
    };
    let params = match message.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) if id.is_none() => Map::new(),
        Some(_) => return Err(Box::new((shown, Failure::new(INVALID_PARAMS, "`params` is not an object")))),
    };
    Ok(match id {
        Some(id) => Message::Request(Request { id, method, params }),
        None => Message::Notification { method, params },
    })
}

/// The version that `initialize` settles on, whoever asks for which.
pub(super) fn settle(request: &Request) -> Result<Version, Failure> {
    let asked = request.params.get("protocolVersion").and_then(Value::as_str);
    let asked = asked.ok_or_else(|| Failure::new(INVALID_PARAMS, "`protocolVersion` is not a string"))?;
    Ok(Version::read(asked).filter(|version| !version.is_named()).unwrap_or(Version::NEWEST_SETTLED))
}

/// Answers a request. Whoever drops this before it is ready cancels what was asked.
pub(super) async fn answer(served: &Served, request: Request, version: Version) -> Result<Value, Failure> {
    let Request { id, method, mut params } = request;
    let is_named = version.is_named();
    let result = match method.as_str() {
        "server/discover" if is_named => {
            let versions: Vec<&str> = Version::ALL.into_iter().map(Version::as_str).collect();
            unkept(json!({"supportedVersions": versions, "capabilities": capabilities(), "instructions": INSTRUCTIONS}))
        }
        "initialize" if !is_named => json!({
            "protocolVersion": version.as_str(), "capabilities": capabilities(), "serverInfo": server(),
            "instructions": INSTRUCTIONS,
        }),
        "ping" if !is_named => json!({}),
        "tools/list" => {
            if params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
                return Err(Failure::new(INVALID_PARAMS, "there is one page of tools, and no cursor"));
            }
            let tools: Vec<Value> =
                served.describe_all().into_iter().map(|one| Tool::new(one).to_json(version)).collect();
            let result = json!({"tools": tools});
            if is_named { unkept(result) } else { result }
        }
        "tools/call" => call(served, &mut params, version).await?,
        _ => return Err(Failure::new(METHOD_NOT_FOUND, format!("Method not found: {method}"))),
    };
    let mut result = result;
    if is_named {
        result["resultType"] = "complete".into();
        result["_meta"][SERVER_KEY] = server();
    }
    Ok(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn capabilities() -> Value {
    json!({"tools": {"listChanged": false}})
}

fn server() -> Value {
    json!({"name": "llmc", "version": env!("CARGO_PKG_VERSION")})
}

/// A result that may be kept no longer than it takes to read it: the server may be another one the next time.
fn unkept(mut result: Value) -> Value {
    result["ttlMs"] = 0.into();
    result["cacheScope"] = "private".into();
    result
}

async fn call(served: &Served, params: &mut Map<String, Value>, version: Version) -> Result<Value, Failure> {
    let invalid = |message: String| Failure::new(INVALID_PARAMS, message);
    let Some(Value::String(name)) = params.remove("name") else {
        return Err(invalid("`name` is not a string".to_owned()));
    };
    let arguments = match params.remove("arguments") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(invalid("`arguments` is not an object".to_owned())),
    };
    let tool = served.describe(&name).map(Tool::new).ok_or_else(|| invalid(format!("Unknown tool: {name}")))?;
    let input = match tool.input(arguments) {
        Ok(input) => input,
        Err(error) => return Ok(failed(&error, None)),
    };
    Ok(match served.call(&name, input).await {
        Done { run, usage, result: Ok(answer) } => {
            let meta = json!({
                "llmc/run": run, "llmc/side": answer.side, "llmc/model": answer.model, "llmc/usage": usage,
            });
            let text = match &answer.value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            let mut result = json!({"content": [{"type": "text", "text": text}], "isError": false, "_meta": meta});
            if version.is_named() || (version.has_structure() && answer.value.is_object()) {
                result["structuredContent"] = answer.value;
            }
            result
        }
        Done { run, result: Err(error), .. } => failed(&error, Some(&run)),
    })
}

/// An error of the component's, for the model or person at the other side to act on.
fn failed(error: &CallError, run: Option<&str>) -> Value {
    let text = format!("{}: {error}", error.class);
    let mut meta = json!({"llmc/error": error});
    if let Some(run) = run {
        meta["llmc/run"] = run.into();
    }
    json!({"content": [{"type": "text", "text": text}], "isError": true, "_meta": meta})
}

/// A component, as a tool. A tool's input is an object: any other input is wrapped into one.
struct Tool(Description);

impl Tool {
    fn new(description: Description) -> Self {
        Self(description)
    }

    fn is_wrapped(&self) -> bool {
        !is_object(&self.0.input)
    }

    /// The component's input, of a tool's arguments.
    fn input(&self, mut arguments: Map<String, Value>) -> Result<Value, CallError> {
        if !self.is_wrapped() {
            return Ok(arguments.into());
        }
        let input = arguments.remove("input");
        input.filter(|_| arguments.is_empty()).ok_or_else(|| {
            let message = "its input is not an object: give it as `input`, and nothing else";
            CallError::new(self.0.name.as_str(), Class::Input, message)
        })
    }

    fn to_json(&self, version: Version) -> Value {
        let Self(about) = self;
        let input = match self.is_wrapped() {
            true => json!({
                "type": "object", "properties": {"input": about.input}, "required": ["input"],
                "additionalProperties": false,
            }),
            false => about.input.clone(),
        };
        let mut tool = json!({"name": about.name});
        if !about.description.is_empty() {
            tool["description"] = about.description.as_str().into();
        }
        tool["inputSchema"] = input;
        let is_any = about.output.as_object().is_some_and(Map::is_empty);
        if is_object(&about.output) && version.has_structure() || version.is_named() && !is_any {
            tool["outputSchema"] = about.output.clone();
        }
        tool["_meta"] = json!({"llmc/side": about.side, "llmc/model": about.model, "llmc/digest": about.digest});
        tool
    }
}

fn is_object(schema: &Value) -> bool {
    schema["type"] == "object"
}
