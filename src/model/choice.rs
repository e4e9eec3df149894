//! Which model is sampled, and why. Pure, but for one question to a local server.
//!
//! Never reads the environment: what is in it is handed in.

use std::time::Duration;

use serde::Deserialize;

use super::ModelError;

/// Where a local Ollama answers.
pub const OLLAMA: &str = "http://localhost:11434";
/// What an OpenAI key is used for when no model is named.
const OPENAI_DEFAULT: &str = "gpt-5-mini";
/// The embedded model when none is named.
pub const EMBEDDED_DEFAULT: &str = "qwen2.5-coder-0.5b";
/// A local server that takes longer is as good as none.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);
/// A longer list of models is not one.
const MOST_PROBED: usize = 1 << 20;

/// How a model is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Any server that speaks OpenAI's chat completions.
    OpenAi,
    /// A GGUF file, run in the process.
    Embedded,
}

impl Provider {
    /// As it is written before the `/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Embedded => "embedded",
        }
    }
}

/// A model by provider and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// How it is reached.
    pub provider: Provider,
    /// Its name there; may itself hold slashes.
    pub name: String,
}

/// A choice and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The model.
    pub named: Named,
    /// The server, where it is another than the provider's usual or configured one.
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
    /// This llmc was built with the feature `embedded`.
    pub embedded: bool,
}

/// Parses `provider/name`.
pub fn parse(text: &str) -> Result<Named, ModelError> {
    let settings = |message: String| Err(ModelError::Settings(message));
    let text = text.trim();
    let Some((provider, name)) = text.split_once('/') else {
        return settings(format!(
            "`{text}` is not `provider/name`, such as `embedded/{EMBEDDED_DEFAULT}` or `openai/{OPENAI_DEFAULT}`"
        ));
    };
    let provider = match provider {
        "openai" => Provider::OpenAi,
        "embedded" => Provider::Embedded,
        "anthropic" | "command" | "replay" => {
            return settings(format!("the provider `{provider}` comes later; there are `openai` and `embedded`"));
        }
        _ => return settings(format!("there is no provider `{provider}`; there are `openai` and `embedded`")),
    };
    if name.is_empty() {
        return settings(format!("`{text}` names no model after the `/`"));
    }
    if name.len() > 1000 || name.chars().any(char::is_control) {
        return settings("a model's name is one line of at most 1000 characters".into());
    }
    Ok(Named { provider, name: name.into() })
}

/// Chooses: what is configured, else a key in the environment, else a local Ollama, else the embedded model.
pub fn choose(configured: Option<&str>, surroundings: &Surroundings) -> Result<Choice, ModelError> {
    if let Some(configured) = configured {
        let named = parse(configured)?;
        if named.provider == Provider::Embedded && !surroundings.embedded {
            return Err(ModelError::Settings(format!(
                "`{configured}` can't be run: this llmc was built without the feature `embedded`; install it with \
                 default features, or name another model"
            )));
        }
        return Ok(Choice { named, base_url: None, why: "it is configured".into() });
    }
    let mut nothing = vec!["no model is configured"];
    let later =
        if surroundings.anthropic_key { "; ANTHROPIC_API_KEY is set, but that provider comes later" } else { "" };
    if surroundings.openai_key {
        let named = Named { provider: Provider::OpenAi, name: OPENAI_DEFAULT.into() };
        return Ok(Choice { named, base_url: None, why: format!("{}, OPENAI_API_KEY is set{later}", nothing[0]) });
    }
    nothing.push("no OPENAI_API_KEY is set");
    match surroundings.ollama.as_deref() {
        None => nothing.push("no local Ollama answers"),
        Some([]) => nothing.push("the local Ollama has no model"),
        Some(models) => {
            if let Some(model) = coder(models) {
                let named = Named { provider: Provider::OpenAi, name: model.into() };
                let why = format!("{}, and a local Ollama has it{later}", nothing.join(", "));
                return Ok(Choice { named, base_url: Some(format!("{OLLAMA}/v1")), why });
            }
            nothing.push("the local Ollama has no model for code");
        }
    }
    let why = format!("{}{later}", nothing.join(", "));
    if !surroundings.embedded {
        return Err(ModelError::Settings(format!(
            "there is no model to sample: {why}, and this llmc was built without the feature `embedded`; set \
             OPENAI_API_KEY, start Ollama with a coder model, or install llmc with default features"
        )));
    }
    let named = Named { provider: Provider::Embedded, name: EMBEDDED_DEFAULT.into() };
    Ok(Choice { named, base_url: None, why })
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
    #[derive(Deserialize)]
    struct Tags {
        models: Vec<Tag>,
    }
    #[derive(Deserialize)]
    struct Tag {
        name: String,
    }
    let client = super::openai::http_client(base).build().ok()?;
    let ask = async {
        let mut reply = client.get(format!("{base}/api/tags")).send().await.ok()?.error_for_status().ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_PROBED {
                return None;
            }
        }
        let tags: Tags = serde_json::from_slice(&body).ok()?;
        Some(tags.models.into_iter().map(|tag| tag.name).collect())
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(configured: Option<&str>, surroundings: &Surroundings) -> String {
        match choose(configured, surroundings) {
            Ok(choice) => {
                format!("{}/{} because {}", choice.named.provider.as_str(), choice.named.name, choice.why)
            }
            Err(error) => error.to_string(),
        }
    }

    fn bare() -> Surroundings {
        Surroundings { embedded: true, ..Surroundings::default() }
    }

    #[test]
    fn what_is_configured_wins() {
        let surroundings = Surroundings { openai_key: true, ..bare() };
        let model = "openai/org/some:model";
        assert_eq!(chosen(Some(model), &surroundings), "openai/org/some:model because it is configured");
    }

    #[test]
    fn a_key_comes_before_ollama() {
        let surroundings = Surroundings { openai_key: true, ollama: Some(vec!["qwen2.5-coder:7b".into()]), ..bare() };
        let why = "no model is configured, OPENAI_API_KEY is set";
        assert_eq!(chosen(None, &surroundings), format!("openai/gpt-5-mini because {why}"));
    }

    #[test]
    fn ollama_gives_its_first_coder() {
        let models = vec!["llama3:8b".into(), "qwen2.5-coder:7b".into(), "codellama".into()];
        let choice = choose(None, &Surroundings { ollama: Some(models), ..bare() }).unwrap();
        assert_eq!(choice.named.name, "qwen2.5-coder:7b");
        assert_eq!(choice.base_url.as_deref(), Some("http://localhost:11434/v1"));
        assert!(choice.why.ends_with("a local Ollama has it"), "{}", choice.why);
    }

    #[test]
    fn the_embedded_model_is_what_remains() {
        let why = "no model is configured, no OPENAI_API_KEY is set, no local Ollama answers";
        assert_eq!(chosen(None, &bare()), format!("embedded/qwen2.5-coder-0.5b because {why}"));
        let without_code = Surroundings { ollama: Some(vec!["llama3:8b".into()]), ..bare() };
        assert!(chosen(None, &without_code).ends_with("the local Ollama has no model for code"));
        let empty = Surroundings { ollama: Some(vec![]), anthropic_key: true, ..bare() };
        assert!(chosen(None, &empty).contains("has no model; ANTHROPIC_API_KEY is set, but"));
    }

    #[test]
    fn a_build_without_the_embedded_model_says_what_to_do() {
        let surroundings = Surroundings::default();
        assert!(chosen(None, &surroundings).contains("set OPENAI_API_KEY, start Ollama"));
        assert!(chosen(Some("embedded/x"), &surroundings).contains("built without the feature `embedded`"));
    }

    #[test]
    fn bad_names_are_explained() {
        assert!(chosen(Some("gpt-5"), &bare()).starts_with("`gpt-5` is not `provider/name`"));
        assert!(chosen(Some("openai/"), &bare()).contains("names no model"));
        assert!(chosen(Some("anthropic/x"), &bare()).contains("comes later"));
        assert!(chosen(Some("nobody/x"), &bare()).contains("there is no provider `nobody`"));
    }
}
