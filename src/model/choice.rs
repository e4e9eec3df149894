//! Which model is sampled, and why. Pure, but for questions to servers on this machine.
//!
//! Never reads the environment: what is in it is handed in.

use std::time::Duration;

use serde_json::Value;

use super::ModelError;
use super::http::model_client;
use super::providers::{PROVIDERS, names, provider};

/// Where a local Ollama answers. By number: a name could lead elsewhere.
pub const OLLAMA: &str = "http://127.0.0.1:11434";
/// Where a local llama.cpp server answers.
pub const LLAMA_CPP: &str = "http://127.0.0.1:8080";
/// What an OpenAI key is used for when no model is named.
const OPENAI_DEFAULT: &str = "gpt-5-mini";
/// What an Anthropic key is used for when no model is named.
const ANTHROPIC_DEFAULT: &str = "claude-sonnet-4-5";
/// The embedded model when none is named.
pub const EMBEDDED_DEFAULT: &str = "qwen2.5-coder-0.5b";
/// A local server that takes longer to connect is none.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);
/// A local server that takes longer to answer is as good as none.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);
/// A longer list of models is not one.
const MOST_PROBED: usize = 1 << 20;

/// A model by provider and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The provider's name.
    pub provider: &'static str,
    /// Its name there; may itself hold slashes.
    pub name: String,
}

impl std::fmt::Display for Named {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.provider, self.name)
    }
}

/// A choice and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The model.
    pub named: Named,
    /// The server, where one was found.
    pub base_url: Option<String>,
    /// One sentence for people, without a full stop.
    pub why: String,
}

/// What the choice depends on, besides the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `OPENAI_API_KEY` is set and not empty.
    pub openai_key: bool,
    /// `ANTHROPIC_API_KEY` is set and not empty.
    pub anthropic_key: bool,
    /// What [`probe_ollama`] found: names of models, first the most recent.
    pub ollama: Option<Vec<String>>,
    /// What [`probe_llama_cpp`] found: names of models.
    pub llama_cpp: Option<Vec<String>>,
    /// No socket may be opened.
    pub offline: bool,
    /// This llmc was built with the feature `embedded`.
    pub embedded: bool,
}

/// Parses `provider/name`.
pub fn parse(text: &str) -> Result<Named, ModelError> {
    let settings = |message: String| Err(ModelError::Settings(message));
    let text = text.trim();
    let Some((before, name)) = text.split_once('/') else {
        return settings(format!(
            "`{text}` is not `provider/name`, such as `embedded/{EMBEDDED_DEFAULT}` or `openai/{OPENAI_DEFAULT}`"
        ));
    };
    let Some(provider) = provider(before) else {
        let known: Vec<String> = PROVIDERS.iter().map(|provider| format!("`{}`", provider.name)).collect();
        return settings(format!("there is no provider `{before}`; there are {}", known.join(", ")));
    };
    if name.is_empty() {
        return settings(format!("`{text}` names no model after the `/`"));
    }
    if name.len() > 1000 || name.chars().any(char::is_control) {
        return settings("a model's name is one line of at most 1000 characters".into());
    }
    Ok(Named { provider: provider.name, name: name.into() })
}

/// Chooses: what is configured, else a key in the environment, else a local server, else the embedded model.
pub fn choose(configured: Option<&str>, surroundings: &Surroundings) -> Result<Choice, ModelError> {
    if let Some(configured) = configured {
        return Ok(Choice { named: parse(configured)?, base_url: None, why: "it is configured".into() });
    }
    let mut nothing = vec!["no model is configured"];
    let chosen = |provider: &'static str, name: &str, base_url: Option<&str>, why: String| {
        let base_url = base_url.map(|base| format!("{base}/v1"));
        Ok(Choice { named: Named { provider, name: name.into() }, base_url, why })
    };
    if surroundings.offline {
        nothing.push("--offline forbids to ask a server");
    } else {
        if surroundings.openai_key {
            return chosen("openai", OPENAI_DEFAULT, None, format!("{}, OPENAI_API_KEY is set", nothing[0]));
        }
        if surroundings.anthropic_key {
            return chosen("anthropic", ANTHROPIC_DEFAULT, None, format!("{}, ANTHROPIC_API_KEY is set", nothing[0]));
        }
        nothing.push("no OPENAI_API_KEY or ANTHROPIC_API_KEY is set");
        match surroundings.ollama.as_deref() {
            None => nothing.push("no local Ollama answers"),
            Some([]) => nothing.push("the local Ollama has no model"),
            Some(models) => {
                if let Some(model) = coder(models) {
                    let why = format!("{}, and a local Ollama has it", nothing.join(", "));
                    return chosen("openai", model, Some(OLLAMA), why);
                }
                nothing.push("the local Ollama has no model for code");
            }
        }
        match surroundings.llama_cpp.as_deref() {
            None => nothing.push("no local llama.cpp server answers"),
            Some([]) => nothing.push("the local llama.cpp server has no model"),
            Some(models) => {
                let model = coder(models).unwrap_or(&models[0]);
                let why = format!("{}, and a local llama.cpp server has it", nothing.join(", "));
                return chosen("openai", model, Some(LLAMA_CPP), why);
            }
        }
    }
    let why = nothing.join(", ");
    if !surroundings.embedded {
        return Err(ModelError::Settings(format!(
            "there is no model to sample: {why}, and this llmc was built without the feature `embedded`; set \
             OPENAI_API_KEY or ANTHROPIC_API_KEY, start Ollama with a coder model, or install llmc with default features"
        )));
    }
    chosen("embedded", EMBEDDED_DEFAULT, None, why)
}

/// The first model that looks made for code.
fn coder(models: &[String]) -> Option<&str> {
    let is_coder = |model: &&String| {
        let model = model.to_ascii_lowercase();
        model.contains("code") || model.contains("codestral") || model.contains("devstral")
    };
    models.iter().find(is_coder).map(String::as_str)
}

/// Asks the Ollama at `base` (usually [`OLLAMA`]) for its models; `None` unless it answers at once.
pub async fn probe_ollama(base: &str) -> Option<Vec<String>> {
    let (tags, _) = probe(&format!("{base}/api/tags")).await?;
    let names = tags["models"].as_array()?.iter().filter_map(|model| model["name"].as_str());
    Some(names.map(str::to_owned).collect())
}

/// Asks the llama.cpp server at `base` (usually [`LLAMA_CPP`]) for its models; `None` unless it answers at once.
///
/// Its port is a popular one: what does not say that it is llama.cpp is left alone.
pub async fn probe_llama_cpp(base: &str) -> Option<Vec<String>> {
    let (list, server) = probe(&format!("{base}/v1/models")).await?;
    let models = list["data"].as_array()?;
    if !models.iter().any(|model| model["owned_by"] == "llamacpp") && !server.contains("llama.cpp") {
        return None;
    }
    // It names a model by its file, and takes any name; a folder of this machine has no place in a record.
    let file = |name: String| name.rsplit(['/', '\\']).next().map(str::to_owned).unwrap_or(name);
    Some(names(models).into_iter().map(file).collect())
}

/// What a server on this machine answers, and what it calls itself.
async fn probe(url: &str) -> Option<(Value, String)> {
    let client = model_client(url).connect_timeout(CONNECT_TIMEOUT).build().ok()?;
    let ask = async {
        let mut reply = client.get(url).send().await.ok()?;
        if !reply.status().is_success() {
            return None;
        }
        let server = reply.headers().get("server").and_then(|name| name.to_str().ok()).unwrap_or_default().to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_PROBED {
                return None;
            }
        }
        Some((serde_json::from_slice(&body).ok()?, server))
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(configured: Option<&str>, surroundings: &Surroundings) -> String {
        match choose(configured, surroundings) {
            Ok(choice) => format!("{} because {}", choice.named, choice.why),
            Err(error) => error.to_string(),
        }
    }

    fn bare() -> Surroundings {
        Surroundings { embedded: true, ..Surroundings::default() }
    }

    #[test]
    fn what_is_configured_wins() {
        let surroundings = Surroundings { openai_key: true, ..bare() };
        for model in ["openai/org/some:model", "anthropic/x", "command/mine", "replay/a/b.jsonl", "embedded/0.5b"] {
            assert_eq!(chosen(Some(model), &surroundings), format!("{model} because it is configured"));
        }
    }

    #[test]
    fn a_key_comes_before_ollama() {
        let surroundings =
            Surroundings { anthropic_key: true, ollama: Some(vec!["qwen2.5-coder:7b".into()]), ..bare() };
        let why = "no model is configured, ANTHROPIC_API_KEY is set";
        assert_eq!(chosen(None, &surroundings), format!("anthropic/claude-sonnet-4-5 because {why}"));
        let why = "no model is configured, OPENAI_API_KEY is set";
        let both = Surroundings { openai_key: true, ..surroundings };
        assert_eq!(chosen(None, &both), format!("openai/gpt-5-mini because {why}"));
    }

    #[test]
    fn ollama_gives_its_first_coder() {
        let models = vec!["llama3:8b".into(), "qwen2.5-coder:7b".into(), "codellama".into()];
        let choice = choose(None, &Surroundings { ollama: Some(models), ..bare() }).unwrap();
        assert_eq!(choice.named.to_string(), "openai/qwen2.5-coder:7b");
        assert_eq!(choice.base_url.as_deref(), Some("http://127.0.0.1:11434/v1"));
        assert!(choice.why.ends_with("a local Ollama has it"), "{}", choice.why);
    }

    #[test]
    fn a_llama_cpp_server_comes_after_an_ollama_without_a_coder() {
        let surroundings = Surroundings {
            ollama: Some(vec!["llama3:8b".into()]),
            llama_cpp: Some(vec!["gemma.gguf".into()]),
            ..bare()
        };
        let choice = choose(None, &surroundings).unwrap();
        assert_eq!(choice.named.to_string(), "openai/gemma.gguf");
        assert_eq!(choice.base_url.as_deref(), Some("http://127.0.0.1:8080/v1"));
    }

    #[test]
    fn the_embedded_model_is_what_remains() {
        let why = "no model is configured, no OPENAI_API_KEY or ANTHROPIC_API_KEY is set, no local Ollama answers, \
                   no local llama.cpp server answers";
        assert_eq!(chosen(None, &bare()), format!("embedded/qwen2.5-coder-0.5b because {why}"));
        let without_code = Surroundings { ollama: Some(vec!["llama3:8b".into()]), ..bare() };
        assert!(chosen(None, &without_code).contains("the local Ollama has no model for code"));
        let offline = Surroundings { openai_key: true, offline: true, ..bare() };
        let why = "no model is configured, --offline forbids to ask a server";
        assert_eq!(chosen(None, &offline), format!("embedded/qwen2.5-coder-0.5b because {why}"));
    }

    #[test]
    fn a_build_without_the_embedded_model_says_what_to_do() {
        assert!(
            chosen(None, &Surroundings::default()).contains("set OPENAI_API_KEY or ANTHROPIC_API_KEY, start Ollama")
        );
    }

    #[test]
    fn bad_names_are_explained() {
        assert!(chosen(Some("gpt-5"), &bare()).starts_with("`gpt-5` is not `provider/name`"));
        assert!(chosen(Some("openai/"), &bare()).contains("names no model"));
        assert!(
            chosen(Some("nobody/x"), &bare())
                .contains("there is no provider `nobody`; there are `openai`, `anthropic`")
        );
    }
}
