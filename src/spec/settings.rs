//! Settings files (`llmc.yaml`, and the user's own): the same YAML, the same way of telling mistakes.

use std::collections::BTreeMap;

use super::parse::PROVIDERS;
use super::providers::ProviderSettings;
use super::reader::Reader;
use super::yaml::{self, At, Node};
use super::{Budget, Diagnostics, Sampling};
use crate::harness::Rule;

/// The keys of a settings file.
pub(super) const SETTINGS_KEYS: &[&str] =
    &["model", "sampling", "budget", "prices", "review", "sign", "approvals", "providers", "harness", "unsandboxed"];
/// The keys of its `budget`: those of a spec's, and those of a day.
const SETTINGS_BUDGET_KEYS: &[&str] = &["tokens", "usd", "seconds", "tokens_per_day", "usd_per_day"];
/// The keys of a price.
const PRICE_KEYS: &[&str] = &["input", "output", "cached", "cache_write"];

/// The keys of `sign`.
const SIGN_KEYS: &[&str] = &["required", "signers", "key"];

/// Who wrote a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Whoever wrote the workspace; not to be trusted with more than its specs.
    Workspace,
    /// The user.
    User,
}

/// Whether what is built waits for review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Builds commit what they choose.
    Optional,
    /// Builds leave proposals.
    Required,
}

/// Caps on what all builds of a workspace may use up on one day (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DayBudget {
    /// Prompt and completion tokens together.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
}

/// What a million tokens of a model cost, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceSettings {
    /// Of the prompt.
    pub input: f64,
    /// Generated.
    pub output: f64,
    /// Of the prompt, read from the server's cache.
    pub cached: Option<f64>,
    /// Of the prompt, written to the server's cache.
    pub cache_write: Option<f64>,
}

/// Whether artifacts are signed. A workspace says that they are, and who may; a user, with which key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignSettings {
    /// Whether an artifact without a signature is wrong; it is unless told otherwise.
    pub required: Option<bool>,
    /// The file of those who may sign, relative to the workspace's root.
    pub signers: Option<String>,
    /// The user's key file.
    pub key: Option<String>,
}

impl SignSettings {
    /// Whether an artifact without a signature is wrong.
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(true)
    }
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
    /// Caps on all builds of a workspace on one day.
    pub day: DayBudget,
    /// What models cost, by `provider/name`.
    pub prices: BTreeMap<String, PriceSettings>,
    /// Whether what is built waits for review.
    pub review: Option<Review>,
    /// Who may call which component, beside what its spec says. Those of a workspace and of its user hold together, and
    /// the strictest decides: neither file opens what the other one closes.
    pub approvals: Vec<Rule>,
    /// How each provider is reached, by its name.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// Whether artifacts are signed, and how.
    pub sign: Option<SignSettings>,
    /// Whether the generated crate has `register`, even without a component.
    pub harness: Option<bool>,
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
            (settings.budget, settings.day) = self.budget_of(key, node, SETTINGS_BUDGET_KEYS);
        }
        if let Some((key, node)) = fields.get("prices") {
            settings.prices = self.prices(key, node);
        }
        if let Some((key, node)) = fields.get("review") {
            settings.review = self.word(key, node, "review", &["optional", "required"]).map(|word| match word {
                "required" => Review::Required,
                _ => Review::Optional,
            });
        }
        if let Some((key, node)) = fields.get("sign") {
            settings.sign = self.sign(key, node, whose);
        }
        if let Some((key, node)) = fields.get("approvals") {
            settings.approvals = self.rules(key, node, "approvals");
        }
        if let Some((key, node)) = fields.get("providers") {
            settings.providers = self.providers(key, node);
        }
        if let Some((key, node)) = fields.get("harness") {
            settings.harness = self.boolean(key, node, "harness");
            if whose == Whose::User {
                let help = "in llmc.yaml: what is generated is the same for everyone";
                self.error_with(key, "`harness` is for the workspace to say", help);
            }
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

    fn sign(&mut self, key: At, node: &Node, whose: Whose) -> Option<SignSettings> {
        let fields = self.fields(key, node, "sign", SIGN_KEYS)?;
        let mut text = |name: &str| {
            let (key, node) = fields.get(name)?;
            Some((node.at, self.text(key, node, name)?.snippet.text.clone()))
        };
        let (signers, own) = (text("signers"), text("key"));
        let required = fields.get("required").and_then(|(key, node)| self.boolean(key, node, "required"));
        match whose {
            Whose::Workspace => {
                if let Some((at, _)) = &own {
                    let help = "in your own settings: `sign: { key: ~/.ssh/id_ed25519 }`; here stands who may sign";
                    self.error_with(*at, "a workspace can't say which key of yours to sign with", help);
                }
                let is_plain =
                    |part: &str| !part.is_empty() && part != ".." && part != "." && !part.contains(['\\', ':']);
                if let Some((at, path)) = &signers
                    && !path.split('/').all(is_plain)
                {
                    let help = "`signers: allowed_signers`, a file beside llmc.yaml";
                    self.error_with(*at, "`signers` must be a path inside of the workspace", help);
                }
            }
            Whose::User => {
                for name in ["required", "signers"] {
                    if let Some((key, _)) = fields.get(name) {
                        let help = "in llmc.yaml: what is signed there is for its workspace to say";
                        self.error_with(key, format!("`{name}` is not yours to say"), help);
                    }
                }
            }
        }
        Some(SignSettings { required, signers: signers.map(|(_, path)| path), key: own.map(|(_, path)| path) })
    }

    fn prices(&mut self, key: At, node: &Node) -> BTreeMap<String, PriceSettings> {
        let mut prices = BTreeMap::new();
        for (at, model, value) in self.entries(key, node, "prices") {
            if !model.split_once('/').is_some_and(|(provider, name)| PROVIDERS.contains(&provider) && !name.is_empty())
            {
                let help = "prices go by model: `openai/gpt-5-mini: { input: 0.25, output: 2 }`";
                self.error_with(at, format!("`{model}` is no model"), help);
                continue;
            }
            let Some(fields) = self.fields(at, value, model, PRICE_KEYS) else { continue };
            let mut price = |name: &str| {
                let (key, node) = fields.get(name)?;
                self.number(key, node, name, |value| value >= 0.0, "a number, 0 or more")
            };
            let [input, output, cached, cache_write] = ["input", "output", "cached", "cache_write"].map(&mut price);
            let has = |name: &str| fields.get(name).is_some();
            match (input, output) {
                (Some(input), Some(output)) => {
                    prices.insert(model.to_owned(), PriceSettings { input, output, cached, cache_write });
                }
                _ if has("input") && has("output") => {}
                _ => {
                    let help = "US dollars for a million tokens: `{ input: 0.25, output: 2 }`";
                    self.error_with(at, format!("`{model}` wants `input` and `output`"), help);
                }
            }
        }
        prices
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_rules;
    use super::*;
    use crate::harness::Decision;

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
    fn caps_of_a_day_and_prices_are_the_settings_own() {
        let text = "budget: { usd: 1, tokens_per_day: 9, usd_per_day: 2.5 }\nprices:\n  \
                    openai/a: { input: 0.25, output: 2, cached: 0.025 }\n  command/b: { input: 0, output: 0 }\n";
        let settings = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap();
        assert_eq!((settings.budget.usd, settings.day), (Some(1.0), DayBudget { tokens: Some(9), usd: Some(2.5) }));
        let price = PriceSettings { input: 0.25, output: 2.0, cached: Some(0.025), cache_write: None };
        assert_eq!((settings.prices["openai/a"], settings.prices["command/b"].input), (price, 0.0));
        for (text, told) in [
            ("prices: { gpt: { input: 1, output: 2 } }", "`gpt` is no model"),
            ("prices: { openai/a: { input: 1 } }", "`openai/a` wants `input` and `output`"),
            ("prices: { openai/a: { input: -1, output: 2 } }", "`input` must be a number, 0 or more"),
            ("prices: { openai/a: { input: 1, output: 2, reading: 3 } }", "unknown key `reading`"),
            ("budget: { usd_per_day: 0 }", "`usd_per_day` must be a number above 0"),
        ] {
            let mistakes = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap_err();
            assert!(mistakes.list[0].message.starts_with(told), "{:?}", mistakes.list);
            assert_eq!(mistakes.list.len(), 1, "{:?}", mistakes.list);
        }
    }

    #[test]
    fn review_is_optional_or_required() {
        let review = |text: &str| parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap().review;
        assert_eq!(review("review: required\n"), Some(Review::Required));
        assert_eq!(review("review: optional\n"), Some(Review::Optional));
        assert_eq!(review("model: openai/a\n"), None);
    }

    #[test]
    fn approvals_are_rules_and_what_is_no_rule_is_a_mistake() {
        let text = b"approvals:\n  - { component: pay_*, caller: agent, arguments: { /amount: 100 }, then: deny }\n";
        for whose in [Whose::Workspace, Whose::User] {
            let rules = parse_settings("llmc.yaml", text, whose).unwrap().approvals;
            assert_eq!(rules, parse_rules("rules.yaml", &text[b"approvals:\n".len()..]).unwrap());
            assert_eq!((rules[0].component.as_deref(), rules[0].then), (Some("pay_*"), Decision::Deny));
        }
        for text in ["approvals:", "approvals: deny", "approvals: { then: deny }", "approvals: [{ than: deny }]"] {
            let mistakes = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap_err();
            assert_eq!(mistakes.list[0].line, 1, "{text}: {:?}", mistakes.list);
        }
    }

    #[test]
    fn a_workspace_says_who_may_sign_and_a_user_with_which_key() {
        let text = b"sign: { required: false, signers: keys/allowed }\n";
        let sign = parse_settings("llmc.yaml", text, Whose::Workspace).unwrap().sign.unwrap();
        assert_eq!((sign.is_required(), sign.signers.as_deref(), sign.key), (false, Some("keys/allowed"), None));
        let own = parse_settings("config.yaml", b"sign: { key: ~/.ssh/id_ed25519 }\n", Whose::User).unwrap().sign;
        assert_eq!(own.unwrap().key.as_deref(), Some("~/.ssh/id_ed25519"));
        for (text, whose, told) in [
            (
                "sign: { key: ~/.ssh/id_ed25519 }",
                Whose::Workspace,
                "a workspace can't say which key of yours to sign with",
            ),
            ("sign: { signers: ../x }", Whose::Workspace, "`signers` must be a path inside of the workspace"),
            ("sign: { signers: /etc/x }", Whose::Workspace, "`signers` must be a path inside of the workspace"),
            ("sign: { required: maybe }", Whose::Workspace, "`required` must be"),
            ("sign: { keys: x }", Whose::Workspace, "unknown key `keys`"),
            ("sign: { signers: x }", Whose::User, "`signers` is not yours to say"),
        ] {
            let mistakes = parse_settings("llmc.yaml", text.as_bytes(), whose).unwrap_err();
            assert!(mistakes.list[0].message.starts_with(told), "{:?}", mistakes.list);
        }
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
        let text = "modle: openai/a\nproviders:\n  openai: { api_key_env: sk-123, base_url: here }\nreview: maybe\n";
        let mistakes = parse_settings("llmc.yaml", text.as_bytes(), Whose::Workspace).unwrap_err();
        let messages: Vec<&str> = mistakes.list.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "unknown key `modle`",
                "`api_key_env` must be the name of an environment variable",
                "`base_url` must begin with http:// or https://",
                "`review` must be one of `optional`, `required`; found the text `maybe`"
            ]
        );
        assert_eq!(mistakes.list[0].help.as_deref(), Some("did you mean `model`?"));
    }
}
