//! Settings files (`llmc.yaml`, and the user's own): the same YAML, the same way of telling mistakes.

use std::collections::BTreeMap;

use super::parse::Reader;
use super::providers::ProviderSettings;
use super::yaml::{self, Node};
use super::{Budget, Diagnostics, Sampling};

/// The keys of a settings file.
pub(super) const SETTINGS_KEYS: &[&str] = &["model", "sampling", "budget", "review", "providers", "unsandboxed"];

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
    /// How each provider is reached, by its name.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// Whether to do without the sandbox. Only a user's own settings may say so.
    pub unsandboxed: Option<bool>,
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
            settings.providers = self.providers(key, node);
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
        assert_eq!(settings.providers["openai"].api_key_env.as_deref(), Some("MY_KEY"));
        let embedded =
            ProviderSettings { file: Some("~/m.gguf".into()), width: Some(8), ..ProviderSettings::default() };
        assert_eq!(settings.providers["embedded"], embedded);
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
