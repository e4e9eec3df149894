//! The `providers` of a settings file: how each is reached. One table says which keys a provider takes.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::reader::{Fields, Reader};
use super::yaml::{At, Node, Resolved, Value};

/// What servers over HTTP take.
const HTTP: &[&str] = &[
    "base_url",
    "api_key_env",
    "api_key_file",
    "query",
    "headers",
    "body",
    "stop",
    "prefill",
    "concurrency",
    "connect_seconds",
    "first_token_seconds",
    "idle_seconds",
    "timeout_seconds",
];

/// Every provider, and the keys that its settings take.
pub const PROVIDERS: &[(&str, &[&str])] = &[
    ("openai", HTTP),
    ("anthropic", HTTP),
    ("command", &["programs", "concurrency", "timeout_seconds"]),
    ("embedded", &["file", "threads", "width"]),
    ("replay", &[]),
];

/// Fields of a request that llmc fills in, or that a key of its own stands for.
const OWN_FIELDS: &[&str] = &[
    "model",
    "messages",
    "system",
    "stream",
    "stream_options",
    "n",
    "seed",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "stop_sequences",
];

/// How one provider is reached; each uses what concerns it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProviderSettings {
    /// The server's address.
    pub base_url: Option<String>,
    /// The environment variable that holds the key.
    pub api_key_env: Option<String>,
    /// A file that holds the key; works in the user's own settings only.
    pub api_key_file: Option<String>,
    /// Appended to every address, e.g. Azure's `api-version`.
    pub query: Vec<(String, String)>,
    /// Sent with every request.
    pub headers: Vec<(String, HeaderValue)>,
    /// More fields of a request, e.g. `reasoning_effort`.
    pub body: Map<String, Json>,
    /// Texts that end a completion.
    pub stop: Vec<String>,
    /// Whether the answer is begun for the model.
    pub prefill: Option<bool>,
    /// Requests (or processes) at once, from 1 to 1,000.
    pub concurrency: Option<usize>,
    /// Time to connect, in seconds.
    pub connect_seconds: Option<f64>,
    /// Time to the first piece of an answer, in seconds.
    pub first_token_seconds: Option<f64>,
    /// Longest silence within an answer, in seconds.
    pub idle_seconds: Option<f64>,
    /// Time for one completion, in seconds.
    pub timeout_seconds: Option<f64>,
    /// Programs by name, each with its arguments.
    pub programs: BTreeMap<String, Vec<String>>,
    /// A GGUF file, or an https address of one.
    pub file: Option<String>,
    /// Threads to compute with, from 1 to 512.
    pub threads: Option<usize>,
    /// Samples decoded together, from 1 to 64.
    pub width: Option<usize>,
}

/// What a header holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// This text.
    Text(String),
    /// What this environment variable holds.
    Env(String),
}

impl Reader {
    pub(super) fn providers(&mut self, key: At, node: &Node) -> BTreeMap<String, ProviderSettings> {
        let names: Vec<&str> = PROVIDERS.iter().map(|(name, _)| *name).collect();
        let Some(fields) = self.fields(key, node, "providers", &names) else { return BTreeMap::new() };
        let mut providers = BTreeMap::new();
        for (name, keys) in PROVIDERS {
            if let Some((key, node)) = fields.get(name)
                && let Some(fields) = self.fields(key, node, name, keys)
            {
                providers.insert((*name).to_owned(), self.provider(&fields));
            }
        }
        providers
    }

    fn provider(&mut self, fields: &Fields<'_>) -> ProviderSettings {
        let text = |reader: &mut Self, name: &str| {
            let (key, node) = fields.get(name)?;
            reader.text(key, node, name).map(|scalar| scalar.snippet.text.clone())
        };
        let base_url = text(self, "base_url");
        if let (Some(url), Some((_, node))) = (&base_url, fields.get("base_url"))
            && !url.starts_with("http://")
            && !url.starts_with("https://")
        {
            self.error(node.at, "`base_url` must begin with http:// or https://");
        }
        let api_key_env = fields.get("api_key_env").and_then(|(key, node)| self.variable(key, node, "api_key_env"));
        let mut integer = |name: &str, most: i128| {
            let (key, node) = fields.get(name)?;
            self.integer(key, node, name, 1, most).map(|value| value as usize)
        };
        let (concurrency, threads, width) =
            (integer("concurrency", 1000), integer("threads", 512), integer("width", 64));
        let mut seconds = |name: &str| {
            let (key, node) = fields.get(name)?;
            let is_ok = |value: f64| value > 0.0 && value <= 86_400.0;
            self.number(key, node, name, is_ok, "a number of seconds above 0 and at most 86400")
        };
        ProviderSettings {
            connect_seconds: seconds("connect_seconds"),
            first_token_seconds: seconds("first_token_seconds"),
            idle_seconds: seconds("idle_seconds"),
            timeout_seconds: seconds("timeout_seconds"),
            base_url,
            api_key_env,
            concurrency,
            threads,
            width,
            api_key_file: text(self, "api_key_file"),
            file: text(self, "file"),
            query: fields.get("query").map(|(key, node)| self.query(key, node)).unwrap_or_default(),
            headers: fields.get("headers").map(|(key, node)| self.headers(key, node)).unwrap_or_default(),
            body: fields.get("body").map(|(key, node)| self.body(key, node)).unwrap_or_default(),
            stop: fields
                .get("stop")
                .map(|(key, node)| self.texts(key, node, "stop").into_iter().map(|(_, text)| text).collect())
                .unwrap_or_default(),
            prefill: fields.get("prefill").and_then(|(key, node)| self.boolean(key, node, "prefill")),
            programs: fields.get("programs").map(|(key, node)| self.programs(key, node)).unwrap_or_default(),
        }
    }

    /// The name of an environment variable, and not a key itself.
    fn variable(&mut self, key: At, node: &Node, name: &str) -> Option<String> {
        let variable = self.text(key, node, name)?.snippet.text.clone();
        if !variable.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let help =
                format!("a key never stands in a file of a workspace: `{name}: MY_KEY`, and MY_KEY in the environment");
            self.error_with(node.at, format!("`{name}` must be the name of an environment variable"), help);
        }
        Some(variable)
    }

    /// The entries of a mapping with keys of any name.
    pub(super) fn entries<'a>(&mut self, key: At, node: &'a Node, name: &str) -> Vec<(At, &'a str, &'a Node)> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(key, node, name, "a mapping", None);
            return Vec::new();
        };
        let named = entries.iter().filter_map(|(key, value)| match &key.value {
            Value::Scalar(scalar) => Some((key.at, scalar.snippet.text.as_str(), value)),
            _ => None,
        });
        named.collect()
    }

    fn query(&mut self, key: At, node: &Node) -> Vec<(String, String)> {
        let mut query = Vec::new();
        for (at, name, value) in self.entries(key, node, "query") {
            if looks_secret(name) {
                let help =
                    "a key goes into a header, by the name of its variable: `headers: { api-key: { env: MY_KEY } }`";
                self.error_with(at, format!("`{name}` would be a key in an address"), help);
            } else if let Some(scalar) = self.text(at, value, name) {
                query.push((name.to_owned(), scalar.snippet.text.clone()));
            }
        }
        query
    }

    fn headers(&mut self, key: At, node: &Node) -> Vec<(String, HeaderValue)> {
        let mut headers = Vec::new();
        for (at, name, value) in self.entries(key, node, "headers") {
            let is_token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
            if name.is_empty() || !name.chars().all(is_token) {
                self.error(at, format!("`{name}` can't be the name of a header"));
            } else if let Value::Mapping(_) = &value.value {
                if let Some(fields) = self.fields(at, value, name, &["env"]) {
                    match fields.get("env") {
                        Some((key, node)) => {
                            let variable = self.variable(key, node, "env");
                            headers.extend(variable.map(|variable| (name.to_owned(), HeaderValue::Env(variable))));
                        }
                        None => self.error(value.at, format!("`{name}` wants `{{ env: MY_KEY }}`, or a text")),
                    }
                }
            } else if looks_secret(name) {
                let help = format!("a key never stands in a settings file: `{name}: {{ env: MY_KEY }}`");
                self.error_with(value.at, format!("the header `{name}` would hold a key"), help);
            } else if let Some(scalar) = self.text(at, value, name) {
                headers.push((name.to_owned(), HeaderValue::Text(scalar.snippet.text.clone())));
            }
        }
        headers
    }

    fn body(&mut self, key: At, node: &Node) -> Map<String, Json> {
        let mut body = Map::new();
        for (at, name, value) in self.entries(key, node, "body") {
            if OWN_FIELDS.contains(&name) {
                let help = "what has a key of its own is set there: `model`, `sampling`, `stop`";
                self.error_with(at, format!("llmc sets `{name}` itself"), help);
            } else if let Some(json) = json(value) {
                body.insert(name.to_owned(), json);
            } else {
                self.error(value.at, format!("`{name}` can't be written as JSON"));
            }
        }
        body
    }

    fn programs(&mut self, key: At, node: &Node) -> BTreeMap<String, Vec<String>> {
        let mut programs = BTreeMap::new();
        for (at, name, value) in self.entries(key, node, "programs") {
            let mut arguments = Vec::new();
            for (index, item) in self.items(at, value, name).iter().enumerate() {
                // An argument may be a number, or look like one.
                match &item.value {
                    Value::Scalar(scalar) if index > 0 => arguments.push(scalar.snippet.text.clone()),
                    _ => {
                        let text = self.text(item.at, item, &format!("{name}[{index}]"));
                        arguments.extend(text.map(|scalar| scalar.snippet.text.clone()));
                    }
                }
            }
            if arguments.is_empty() {
                let help = format!("for example `{name}: [my-model, --quiet]`; no shell is involved");
                self.error_with(at, format!("`{name}` names no program"), help);
            }
            programs.insert(name.to_owned(), arguments);
        }
        programs
    }
}

/// Whether what goes by this name is probably a secret.
fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "authorization", "cookie", "password", "credential"]
        .iter()
        .any(|part| name.contains(part))
}

/// YAML as JSON; `None` for what JSON can't hold. The depth is bounded by the reader of the YAML.
fn json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => Json::Null,
            Resolved::Bool(value) => Json::Bool(value),
            Resolved::Int(value) => Json::Number(serde_json::Number::from_i128(value)?),
            Resolved::Float(value) => Json::Number(serde_json::Number::from_f64(value)?),
            Resolved::Text(text) => Json::String(text.to_owned()),
        },
        Value::Sequence(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let Value::Scalar(scalar) = &key.value else { return None };
                map.insert(scalar.snippet.text.clone(), json(value)?);
            }
            Json::Object(map)
        }
        Value::Refused => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::PROVIDERS as NAMES;
    use super::super::{Whose, parse_settings};
    use super::*;

    #[test]
    fn every_provider_that_a_model_can_name_has_settings() {
        assert_eq!(PROVIDERS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), NAMES);
    }

    #[test]
    fn providers_are_read_whole() {
        let text = "\
providers:
  openai:
    base_url: https://here.example/openai/deployments/x
    query: { api-version: \"2024-10-21\" }
    headers: { api-key: { env: AZURE_KEY }, X-Title: llmc }
    body: { reasoning_effort: low, chat_template_kwargs: { enable_thinking: false }, top_k: 20 }
    stop: [\"\\n```\"]
    concurrency: 3
    first_token_seconds: 0.5
  command: { programs: { local: [my-model, --threads, 4] } }
";
        let settings = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap();
        let openai = &settings.providers["openai"];
        assert_eq!(openai.query, [("api-version".to_owned(), "2024-10-21".to_owned())]);
        assert_eq!(
            openai.headers,
            [
                ("api-key".to_owned(), HeaderValue::Env("AZURE_KEY".into())),
                ("X-Title".to_owned(), HeaderValue::Text("llmc".into()))
            ]
        );
        let body = serde_json::json!({"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false}, "top_k": 20});
        assert_eq!(Json::Object(openai.body.clone()), body);
        assert_eq!((openai.stop.as_slice(), openai.concurrency), (&["\n```".to_owned()][..], Some(3)));
        assert_eq!(openai.first_token_seconds, Some(0.5));
        assert_eq!(settings.providers["command"].programs["local"], ["my-model", "--threads", "4"]);
    }

    #[test]
    fn a_key_written_into_the_settings_is_refused_wherever_it_stands() {
        let text = "\
providers:
  openai:
    api_key_env: sk-123
    headers: { Authorization: Bearer sk-123, api-key: { env: sk-123 } }
    query: { key: sk-123 }
    body: { model: x }
  command: { programs: { none: [] } }
";
        let mistakes = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap_err();
        let messages: Vec<&str> = mistakes.list.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "`api_key_env` must be the name of an environment variable",
                "the header `Authorization` would hold a key",
                "`env` must be the name of an environment variable",
                "`key` would be a key in an address",
                "llmc sets `model` itself",
                "`none` names no program",
            ]
        );
        assert!(
            !format!("{:?}", mistakes.list.iter().map(|one| (&one.message, &one.help)).collect::<Vec<_>>())
                .contains("sk-123")
        );
    }
}
