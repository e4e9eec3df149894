//! Settings files (`llmc.yaml`, and the user's own): the same YAML, the same way of telling mistakes.

use super::parse::Reader;
use super::yaml::{self, At, Node};
use super::{Budget, Diagnostics, Sampling};

/// The keys of a settings file.
pub(super) const SETTINGS_KEYS: &[&str] = &["model", "sampling", "budget", "review", "providers", "unsandboxed"];
/// The keys of `providers`.
pub(super) const PROVIDER_KEYS: &[&str] = &["openai", "embedded"];
/// The keys of `providers.openai`.
pub(super) const OPENAI_KEYS: &[&str] = &["base_url", "api_key_env", "concurrency", "timeout_seconds"];
/// The keys of `providers.embedded`.
pub(super) const EMBEDDED_KEYS: &[&str] = &["file", "threads", "width"];

/// Who wrote a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Whoever wrote the workspace; not to be trusted with more than its specs.
    Workspace,
    /// The user.
    User,
}

/// What a settings file says; everything may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Models to sample where a spec names none, as `provider/name`.
    pub model: Vec<String>,
    /// How to sample.
    pub sampling: Sampling,
    /// Caps on one build.
    pub budget: Budget,
    /// How OpenAI-compatible servers are reached.
    pub openai: OpenAiSettings,
    /// How embedded models are run.
    pub embedded: EmbeddedSettings,
    /// Whether to do without the sandbox. Only a user's own settings may say so.
    pub unsandboxed: Option<bool>,
}

/// `providers.openai`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenAiSettings {
    /// The address that `/chat/completions` is appended to.
    pub base_url: Option<String>,
    /// The environment variable that holds the key.
    pub api_key_env: Option<String>,
    /// Requests in flight at once, from 1 to 1,000.
    pub concurrency: Option<usize>,
    /// Time for one completion, in seconds, from 1 to 86,400.
    pub timeout_seconds: Option<u64>,
}

/// `providers.embedded`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// A GGUF file, or an https address of one.
    pub file: Option<String>,
    /// Threads to compute with, from 1 to 512.
    pub threads: Option<usize>,
    /// Samples decoded together, from 1 to 64.
    pub width: Option<usize>,
}

/// Reads settings from the text of `path` (used in messages only), or tells every mistake.
pub fn parse_settings(path: &str, bytes: &[u8], whose: Whose) -> Result<Settings, Diagnostics> {
    // A file of comments only is empty settings.
    let is_empty = |line: &[u8]| matches!(line.trim_ascii().first(), None | Some(b'#'));
    if bytes.split(|byte| *byte == b'\n').all(is_empty) {
        return Ok(Settings::default());
    }
    let document = yaml::read(bytes);
    let mut reader = Reader::new(path, document.text, document.mistakes);
    let settings = document.root.filter(|root| !root.is_null()).map(|root| reader.settings(&root, whose));
    let out = reader.finish();
    if out.has_errors() { Err(out) } else { Ok(settings.unwrap_or_default()) }
}

impl Reader {
    fn settings(&mut self, root: &Node, whose: Whose) -> Settings {
        let Some(fields) = self.fields(root.at, root, "the settings", SETTINGS_KEYS) else {
            return Settings::default();
        };
        let mut settings = Settings::default();
        if let Some((key, node)) = fields.get("model") {
            settings.model = self.model(key, node);
        }
        if let Some((key, node)) = fields.get("sampling") {
            settings.sampling = self.sampling(key, node);
        }
        if let Some((key, node)) = fields.get("budget") {
            settings.budget = self.budget(key, node);
        }
        if let Some((key, node)) = fields.get("review")
            && self.word(key, node, "review", &["optional", "required"]) == Some("required")
        {
            let help = "leave it out, or `review: optional`: proposals come in a later version";
            self.error_with(node.at, "this version can't leave proposals", help);
        }
        if let Some((key, node)) = fields.get("providers") {
            self.providers(key, node, &mut settings);
        }
        if let Some((key, node)) = fields.get("unsandboxed") {
            settings.unsandboxed = self.boolean(key, node, "unsandboxed");
            if whose == Whose::Workspace {
                let help = "only you can give up your own protection: `--unsandboxed`, or this in your own settings";
                self.error_with(node.at, "a workspace can't switch the sandbox off", help);
            }
        }
        settings
    }

    fn providers(&mut self, key: At, node: &Node, settings: &mut Settings) {
        let Some(fields) = self.fields(key, node, "providers", PROVIDER_KEYS) else { return };
        if let Some((key, node)) = fields.get("openai") {
            settings.openai = self.openai(key, node);
        }
        if let Some((key, node)) = fields.get("embedded") {
            settings.embedded = self.embedded(key, node);
        }
    }

    fn openai(&mut self, key: At, node: &Node) -> OpenAiSettings {
        let Some(fields) = self.fields(key, node, "openai", OPENAI_KEYS) else { return OpenAiSettings::default() };
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
        let api_key_env = text(self, "api_key_env");
        if let (Some(name), Some((_, node))) = (&api_key_env, fields.get("api_key_env"))
            && !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        {
            let help =
                "a key never stands in a file of a workspace: `api_key_env: MY_KEY`, and MY_KEY in the environment";
            self.error_with(node.at, "`api_key_env` must be the name of an environment variable", help);
        }
        let mut integer = |name: &str, most: i128| {
            let (key, node) = fields.get(name)?;
            self.integer(key, node, name, 1, most)
        };
        OpenAiSettings {
            base_url,
            api_key_env,
            concurrency: integer("concurrency", 1000).map(|value| value as usize),
            timeout_seconds: integer("timeout_seconds", 86_400).map(|value| value as u64),
        }
    }

    fn embedded(&mut self, key: At, node: &Node) -> EmbeddedSettings {
        let Some(fields) = self.fields(key, node, "embedded", EMBEDDED_KEYS) else {
            return EmbeddedSettings::default();
        };
        let file = fields.get("file").and_then(|(key, node)| self.text(key, node, "file"));
        let file = file.map(|scalar| scalar.snippet.text.clone());
        let mut integer = |name: &str, most: i128| {
            let (key, node) = fields.get(name)?;
            self.integer(key, node, name, 1, most).map(|value| value as usize)
        };
        EmbeddedSettings { file, threads: integer("threads", 512), width: integer("width", 64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_whole() {
        let text = "model: [openai/a, embedded/0.5b]\nsampling: { samples: 4, temperature: 0.5 }\nbudget: { tokens: 9 }\n\
                    providers:\n  openai: { base_url: \"http://localhost:8000/v1\", api_key_env: MY_KEY, concurrency: 3 }\n  \
                    embedded: { file: ~/m.gguf, width: 8 }\n";
        let settings = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap();
        assert_eq!(settings.model, ["openai/a", "embedded/0.5b"]);
        assert_eq!(settings.sampling.samples, Some(4));
        assert_eq!(settings.openai.api_key_env.as_deref(), Some("MY_KEY"));
        assert_eq!(
            settings.embedded,
            EmbeddedSettings { file: Some("~/m.gguf".into()), threads: None, width: Some(8) }
        );
        assert_eq!(parse_settings("llmc.yaml", b"# nothing\n", Whose::Workspace), Ok(Settings::default()));
    }

    #[test]
    fn only_users_give_up_their_own_protection() {
        assert_eq!(parse_settings("config.yaml", b"unsandboxed: true\n", Whose::User).unwrap().unsandboxed, Some(true));
        for value in ["true", "false"] {
            let text = format!("unsandboxed: {value}\n");
            let mistakes = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap_err();
            assert_eq!(mistakes.list[0].message, "a workspace can't switch the sandbox off");
        }
    }

    #[test]
    fn every_mistake_is_told_and_a_key_in_the_file_is_refused() {
        let text = "modle: openai/a\nproviders:\n  openai: { api_key_env: sk-123, base_url: here }\nreview: required\n";
        let mistakes = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap_err();
        let messages: Vec<&str> = mistakes.list.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "unknown key `modle`",
                "`api_key_env` must be the name of an environment variable",
                "`base_url` must begin with http:// or https://",
                "this version can't leave proposals"
            ]
        );
        assert_eq!(mistakes.list[0].help.as_deref(), Some("did you mean `model`?"));
    }
}
