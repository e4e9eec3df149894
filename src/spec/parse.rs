//! From YAML text to a [`Spec`], with every mistake found on the way.
//!
//! Which keys there are is data (the `KEYS` tables), so that the JSON Schema can be held against it.

use std::collections::BTreeMap;

use super::reader::{
    Fields, Reader, did_you_mean, excerpt, is_crate_name, is_identifier, is_keyword, is_path, is_version_requirement,
    list,
};
use super::yaml::{self, At, Node, Resolved, Value};
use super::{
    Budget, ComponentSpec, DayBudget, Dependency, Diagnostics, Form, Interface, Policy, Profile, PromptOptions,
    Sampling, Spec, Stop,
};
use crate::syntax::deep;

/// The format that this version reads.
pub(super) const FORMAT_VERSION: i128 = 1;

/// The keys of a spec, in the order in which they are best written.
pub(super) const SPEC_KEYS: &[&str] = &[
    "llmc",
    "name",
    "kind",
    "description",
    "signature",
    "interface",
    "examples",
    "properties",
    "tests",
    "hidden_tests",
    "uses",
    "dependencies",
    "policy",
    "model",
    "sampling",
    "budget",
    "prompt",
];
/// The keys of one of `examples`.
pub(super) const EXAMPLE_KEYS: &[&str] = &["call", "returns", "holds", "matches", "panics", "hidden"];
/// What an example may expect: exactly one of these.
pub(super) const EXPECT_KEYS: &[&str] = &["returns", "holds", "matches", "panics"];
/// The keys of one of `properties`.
pub(super) const PROPERTY_KEYS: &[&str] = &["name", "forall", "assume", "holds", "hidden"];
/// The keys of a dependency written as a mapping.
pub(super) const DEPENDENCY_KEYS: &[&str] = &["version", "features", "default-features"];
/// The keys of `policy`.
pub(super) const POLICY_KEYS: &[&str] = &["unsafe", "max_lines", "deny", "profiles"];
/// The keys of `sampling`.
pub(super) const SAMPLING_KEYS: &[&str] = &["samples", "temperature", "top_p", "max_tokens", "seed", "stop", "repairs"];
/// The keys of `budget`.
pub(super) const BUDGET_KEYS: &[&str] = &["tokens", "usd", "seconds"];
/// The keys of `prompt`.
pub(super) const PROMPT_KEYS: &[&str] = &["system", "shots", "template"];
/// What comes before the `/` of a model.
pub(super) const PROVIDERS: &[&str] = &["openai", "anthropic", "command", "embedded", "replay"];
/// The values of `sampling.stop`.
pub(super) const STOPS: &[&str] = &["first", "agree", "all"];
/// The values in `policy.profiles`.
pub(super) const PROFILES: &[&str] = &["debug", "release"];

/// Most mistakes that are reported of one file.
pub(super) const MAX_MISTAKES: usize = 1000;

/// Names that would clash with files or crates that every artifact meets.
const RESERVED: &[&str] = &["lib", "main", "std", "core", "alloc", "generated", "test"];

/// A spec of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AnySpec {
    /// `kind: function`.
    Function(Box<Spec>),
    /// `kind: component`.
    Component(Box<ComponentSpec>),
}

impl AnySpec {
    /// The spec's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Function(spec) => &spec.name,
            Self::Component(spec) => &spec.name,
        }
    }
}

/// Reads a spec of `kind: function` from the text of `path` (used in messages only); see [`parse_any`].
pub fn parse(path: &str, stem: &str, bytes: &[u8]) -> Result<(Spec, Diagnostics), Diagnostics> {
    read(bytes, path, |reader, root| match kind_of(root) {
        Some(at) => {
            reader.error(at, "this is a component; what is wanted here is a spec of `kind: function`");
            None
        }
        None => reader.spec(stem, root),
    })
}

/// Reads a spec of either kind from the text of `path` (used in messages only).
///
/// `stem` is the file's name without `.yaml`, which `name` must equal. Warnings come with the spec.
/// Every mistake is reported at once; bounded in time and memory whatever `bytes` holds. Whoever reads many
/// specs saves a thread for each by doing it inside one [`deep`].
pub fn parse_any(path: &str, stem: &str, bytes: &[u8]) -> Result<(AnySpec, Diagnostics), Diagnostics> {
    read(bytes, path, |reader, root| match kind_of(root) {
        Some(_) => reader.component(stem, root).map(|spec| AnySpec::Component(Box::new(spec))),
        None => reader.spec(stem, root).map(|spec| AnySpec::Function(Box::new(spec))),
    })
}

fn read<T: Send>(
    bytes: &[u8],
    path: &str,
    spec: impl FnOnce(&mut Reader, &Node) -> Option<T> + Send,
) -> Result<(T, Diagnostics), Diagnostics> {
    // One deep stack for the whole: starting a thread costs more than most fragments.
    deep(|| {
        let document = yaml::read(bytes);
        let mut reader = Reader::new(path, document.text, document.mistakes);
        let spec = document.root.and_then(|root| spec(&mut reader, &root));
        let out = reader.finish();
        match spec {
            Some(spec) if !out.has_errors() => Ok((spec, out)),
            _ => Err(out),
        }
    })
}

/// Where it says `component`, if it does: its keys are others.
fn kind_of(root: &Node) -> Option<At> {
    let Value::Mapping(entries) = &root.value else { return None };
    entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
        (Value::Scalar(key), Value::Scalar(kind)) if key.snippet.text == "kind" && kind.snippet.text == "component" => {
            Some(value.at)
        }
        _ => None,
    })
}

/// Whether a spec can have this name; if not, why.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn check_name(name: &str) -> Result<(), String> {
    if is_keyword(name) {
        return Err(format!("the name `{name}` is a keyword of Rust"));
    }
    if !is_identifier(name) {
        return Err(format!("the name `{}` is not a Rust identifier", excerpt(name)));
    }
    if RESERVED.contains(&name) {
        return Err(format!("the name `{name}` is taken: every crate has something of that name"));
    }
    Ok(())
}

impl Reader {
    fn spec(&mut self, stem: &str, root: &Node) -> Option<Spec> {
        let fields = self.fields(root.at, root, "a spec", SPEC_KEYS)?;
        if let Some((key, node)) = fields.get("kind") {
            self.word(key, node, "kind", &["function", "component"]);
        }
        self.version(&fields);
        let name = self.name(&fields, stem);
        let description = self.description(&fields);
        let mut interface = self.interface(&fields);
        let examples = fields.get("examples").map(|(key, node)| self.examples(key, node)).unwrap_or_default();
        let properties = fields.get("properties").map(|(key, node)| self.properties(key, node)).unwrap_or_default();
        let tests = fields.get("tests").and_then(|(key, node)| self.tests(key, node, "tests"));
        let hidden_tests = fields.get("hidden_tests").and_then(|(key, node)| self.tests(key, node, "hidden_tests"));
        let own = name.as_deref().unwrap_or(stem);
        let uses = fields.get("uses").map(|(key, node)| self.uses(key, node, own)).unwrap_or_default();
        let dependencies =
            fields.get("dependencies").map(|(key, node)| self.dependencies(key, node)).unwrap_or_default();
        let policy = fields.get("policy").map(|(key, node)| self.policy(key, node)).unwrap_or_default();
        let model = fields.get("model").map(|(key, node)| self.model(key, node)).unwrap_or_default();
        let sampling = fields.get("sampling").map(|(key, node)| self.sampling(key, node)).unwrap_or_default();
        let budget = fields.get("budget").map(|(key, node)| self.budget(key, node)).unwrap_or_default();
        let prompt = fields.get("prompt").map(|(key, node)| self.prompt(key, node, own)).unwrap_or_default();

        let has_checks = ["examples", "properties", "tests", "hidden_tests"].iter().any(|key| match fields.get(key) {
            Some((_, node)) => !matches!(&node.value, Value::Sequence(items) if items.is_empty()),
            None => false,
        });
        if !has_checks {
            let at = fields.get("name").map_or(fields.at, |(key, _)| key);
            let help = "add `examples`, `properties` or `tests`: without them every candidate that compiles passes";
            self.warning(at, "the spec has nothing to check a candidate by", help);
        }
        if let Some((interface, used)) = &mut interface {
            self.check_calls(&fields, interface, &examples);
            interface.import_for(&self.mentions, used);
        }
        Some(Spec {
            name: name?,
            description: description?,
            interface: interface?.0,
            examples,
            properties,
            tests,
            hidden_tests,
            uses,
            dependencies,
            policy,
            model,
            sampling,
            budget,
            prompt,
        })
    }

    pub(super) fn description(&mut self, fields: &Fields<'_>) -> Option<String> {
        match fields.get("description") {
            Some((key, node)) => self.text(key, node, "description").map(|scalar| scalar.snippet.text.clone()),
            None => {
                self.error(fields.at, "missing `description`: what is wanted, in words");
                None
            }
        }
    }

    pub(super) fn version(&mut self, fields: &Fields<'_>) {
        let Some((key, node)) = fields.get("llmc") else {
            self.error_with(fields.at, "missing `llmc`: the version of the format", "begin the file with `llmc: 1`");
            return;
        };
        match &node.value {
            Value::Scalar(scalar) => match scalar.resolve() {
                Resolved::Int(FORMAT_VERSION) => {}
                Resolved::Int(version) => {
                    let message = format!("format version {version} is not known; this llmc reads version 1");
                    self.error_with(node.at, message, "write `llmc: 1`, or use a newer llmc");
                }
                _ => self.wrong_type(key, node, "llmc", "the number 1", None),
            },
            _ => self.wrong_type(key, node, "llmc", "the number 1", None),
        }
    }

    pub(super) fn name(&mut self, fields: &Fields<'_>, stem: &str) -> Option<String> {
        let Some((key, node)) = fields.get("name") else {
            self.error_with(fields.at, "missing `name`", format!("the file's: `name: {}`", excerpt(stem)));
            return None;
        };
        let name = self.text(key, node, "name")?.snippet.text.clone();
        if !self.identifier(node.at, &name, "the name") {
            return None;
        }
        if let Err(taken) = check_name(&name) {
            self.error(node.at, taken);
            return None;
        }
        if name != stem {
            let help = format!("write `name: {}`, or name the file `{name}.yaml`", excerpt(stem));
            self.error_with(node.at, format!("the name `{name}` is not the file's, `{}`", excerpt(stem)), help);
        }
        Some(name)
    }

    fn interface(&mut self, fields: &Fields<'_>) -> Option<(Interface, Vec<String>)> {
        let (form, name, (key, node)) = match (fields.get("signature"), fields.get("interface")) {
            (Some(signature), None) => (Form::Signature, "signature", signature),
            (None, Some(interface)) => (Form::Interface, "interface", interface),
            (None, None) => {
                let help = "for example `signature: \"pub fn slugify(title: &str) -> String\"`";
                self.error_with(fields.at, "missing `signature` (one function) or `interface` (several items)", help);
                return None;
            }
            (Some(_), Some((key, _))) => {
                self.error(key, "`signature` and `interface` are both given; a spec has one of them");
                return None;
            }
        };
        let scalar = self.rust(key, node, name)?;
        match Interface::parse(form, &scalar.snippet) {
            Ok(interface) => Some(interface),
            Err(mistakes) => {
                for mistake in mistakes {
                    self.rust_mistake(&scalar, name, mistake);
                }
                None
            }
        }
    }

    fn uses(&mut self, key: At, node: &Node, own: &str) -> Vec<String> {
        self.spec_names(key, node, "uses", own)
    }

    /// Names of other specs.
    fn spec_names(&mut self, key: At, node: &Node, name: &str, own: &str) -> Vec<String> {
        let texts = self.texts(key, node, name);
        let mut names = Vec::new();
        for (at, text) in texts {
            if text == own {
                self.error(at, format!("`{name}` names the spec itself"));
            } else if self.identifier(at, &text, "the spec's name") {
                names.push(text);
            }
        }
        names
    }

    fn dependencies(&mut self, key: At, node: &Node) -> BTreeMap<String, Dependency> {
        let mut dependencies = BTreeMap::new();
        let Value::Mapping(entries) = &node.value else {
            let help = "for example `dependencies: { regex: \"1\" }`".to_owned();
            self.wrong_type(key, node, "dependencies", "a mapping from crates to versions", Some(help));
            return dependencies;
        };
        for (key, value) in entries {
            let Value::Scalar(name) = &key.value else { continue };
            let name = name.snippet.text.clone();
            if !is_crate_name(&name) {
                self.error(key.at, format!("`{}` is not a crate's name", excerpt(&name)));
            } else if ["std", "core", "alloc"].contains(&name.as_str()) {
                self.error(key.at, format!("`{name}` needs no entry: it is always there"));
            } else if let Some(dependency) = self.dependency(key.at, value, &name) {
                dependencies.insert(name, dependency);
            }
        }
        dependencies
    }

    fn dependency(&mut self, key: At, node: &Node, name: &str) -> Option<Dependency> {
        if let Value::Scalar(_) = &node.value {
            let version = self.requirement(key, node, name)?;
            return Some(Dependency { version, features: Vec::new(), default_features: true });
        }
        let fields = self.fields(key, node, name, DEPENDENCY_KEYS)?;
        let version = match fields.get("version") {
            Some((key, node)) => self.requirement(key, node, "version"),
            None => {
                self.error(fields.at, format!("the dependency `{name}` has no `version`"));
                None
            }
        };
        let features = fields.get("features").map(|(key, node)| self.texts(key, node, "features")).unwrap_or_default();
        for (at, feature) in &features {
            let is_feature = feature.len() <= 100
                && feature.chars().all(|character| character.is_ascii_alphanumeric() || "_-+./:?".contains(character));
            if !is_feature {
                self.error(*at, format!("`{}` is not a feature's name", excerpt(feature)));
            }
        }
        let default_features = fields
            .get("default-features")
            .and_then(|(key, node)| self.boolean(key, node, "default-features"))
            .unwrap_or(true);
        Some(Dependency {
            version: version?,
            features: features.into_iter().map(|(_, feature)| feature).collect(),
            default_features,
        })
    }

    fn requirement(&mut self, key: At, node: &Node, name: &str) -> Option<String> {
        let text = self.text(key, node, name)?.snippet.text.clone();
        if !is_version_requirement(&text) {
            let help = "as in a Cargo.toml: \"1\", \"1.2\", \">=1.2, <2\"";
            self.error_with(node.at, format!("`{}` is not a version requirement", excerpt(&text)), help);
            return None;
        }
        Some(text)
    }

    fn policy(&mut self, key: At, node: &Node) -> Policy {
        let mut policy = Policy::default();
        let Some(fields) = self.fields(key, node, "policy", POLICY_KEYS) else { return policy };
        if let Some((key, node)) = fields.get("unsafe") {
            policy.allow_unsafe = self.word(key, node, "unsafe", &["deny", "allow"]) == Some("allow");
        }
        if let Some((key, node)) = fields.get("max_lines")
            && let Some(lines) = self.integer(key, node, "max_lines", 1, 10_000)
        {
            policy.max_lines = lines as usize;
        }
        if let Some((key, node)) = fields.get("deny") {
            let paths = self.texts(key, node, "deny");
            for (at, path) in &paths {
                if !is_path(path) {
                    let message = format!("`{}` is not a path such as `std::fs`", excerpt(path));
                    self.error(*at, message);
                }
            }
            policy.deny = paths.into_iter().map(|(_, path)| path).collect();
        }
        if let Some((key, node)) = fields.get("profiles") {
            policy.profiles = self.profiles(key, node);
        }
        policy
    }

    fn profiles(&mut self, key: At, node: &Node) -> Vec<Profile> {
        if matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
            self.error(node.at, "`profiles` is an empty list; leave it out for `[debug]`");
        }
        let mut profiles = Vec::new();
        for (at, word) in self.texts(key, node, "profiles") {
            match word.as_str() {
                "debug" => profiles.push(Profile::Debug),
                "release" => profiles.push(Profile::Release),
                _ => {
                    let message = format!("`{}` is no profile; there are {}", excerpt(&word), list(PROFILES));
                    match did_you_mean(&word, PROFILES) {
                        Some(help) => self.error_with(at, message, help),
                        None => self.error(at, message),
                    }
                }
            }
        }
        // Which one is written first says nothing.
        profiles.sort();
        profiles
    }

    pub(super) fn model(&mut self, key: At, node: &Node) -> Vec<String> {
        let models = match &node.value {
            Value::Sequence(items) => {
                if items.is_empty() {
                    self.error(node.at, "`model` is an empty list; leave it out for the workspace's default");
                }
                self.texts(key, node, "model")
            }
            _ => match self.text(key, node, "model") {
                Some(scalar) => vec![(node.at, scalar.snippet.text.clone())],
                None => Vec::new(),
            },
        };
        for (at, model) in &models {
            let example = "a model is written provider/name, for example `openai/gpt-5-mini`";
            match model.split_once('/') {
                None => self.error_with(*at, format!("`{}` names no provider", excerpt(model)), example),
                Some((provider, _)) if !PROVIDERS.contains(&provider) => {
                    let help = did_you_mean(provider, PROVIDERS)
                        .unwrap_or_else(|| format!("the providers: {}", list(PROVIDERS)));
                    self.error_with(*at, format!("the provider `{}` is not known", excerpt(provider)), help);
                }
                Some((_, name))
                    if name.is_empty()
                        || name.len() > 300
                        || name.chars().any(|c| c.is_whitespace() || c.is_control()) =>
                {
                    self.error_with(*at, format!("`{}` does not name a model", excerpt(model)), example);
                }
                Some(_) => {}
            }
        }
        models.into_iter().map(|(_, model)| model).collect()
    }

    pub(super) fn sampling(&mut self, key: At, node: &Node) -> Sampling {
        self.sampling_of(key, node, SAMPLING_KEYS)
    }

    /// How to sample, by those of the keys that there are here.
    pub(super) fn sampling_of(&mut self, key: At, node: &Node, keys: &[&str]) -> Sampling {
        let Some(fields) = self.fields(key, node, "sampling", keys) else { return Sampling::default() };
        let mut integer = |name: &str, least: i128, most: i128| {
            let (key, node) = fields.get(name)?;
            self.integer(key, node, name, least, most)
        };
        let samples = integer("samples", 1, 10_000).map(|value| value as usize);
        let max_tokens = integer("max_tokens", 1, 10_000_000).map(|value| value as usize);
        let seed = integer("seed", 0, i128::from(u64::MAX)).map(|value| value as u64);
        let repairs = integer("repairs", 0, 100).map(|value| value as usize);
        let mut number = |name: &str, is_ok: fn(f64) -> bool, wanted: &str| {
            let (key, node) = fields.get(name)?;
            self.number(key, node, name, is_ok, wanted).map(|value| value as f32)
        };
        let temperature = number("temperature", |value| (0.0..=2.0).contains(&value), "a number from 0 to 2");
        let top_p = number("top_p", |value| value > 0.0 && value <= 1.0, "a number above 0 and at most 1");
        let stop = fields.get("stop").and_then(|(key, node)| self.word(key, node, "stop", STOPS));
        let stop = stop.map(|word| match word {
            "first" => Stop::First,
            "all" => Stop::All,
            _ => Stop::Agree,
        });
        Sampling { samples, temperature, top_p, max_tokens, seed, stop, repairs }
    }

    pub(super) fn budget(&mut self, key: At, node: &Node) -> Budget {
        self.budget_of(key, node, BUDGET_KEYS).0
    }

    /// The caps of a build, and those of a day where `keys` has them.
    pub(super) fn budget_of(&mut self, key: At, node: &Node, keys: &[&str]) -> (Budget, DayBudget) {
        let Some(fields) = self.fields(key, node, "budget", keys) else { return Default::default() };
        let mut whole = |name: &str| {
            let (key, node) = fields.get(name)?;
            self.integer(key, node, name, 1, i128::from(u64::MAX)).map(|value| value as u64)
        };
        let (tokens, tokens_per_day) = (whole("tokens"), whole("tokens_per_day"));
        let mut number = |name: &str| {
            let (key, node) = fields.get(name)?;
            self.number(key, node, name, |value| value > 0.0, "a number above 0")
        };
        let budget = Budget { tokens, usd: number("usd"), seconds: number("seconds") };
        (budget, DayBudget { tokens: tokens_per_day, usd: number("usd_per_day") })
    }

    fn prompt(&mut self, key: At, node: &Node, own: &str) -> PromptOptions {
        self.prompt_of(key, node, own, PROMPT_KEYS)
    }

    /// What shapes the prompt, by those of the keys that there are here.
    pub(super) fn prompt_of(&mut self, key: At, node: &Node, own: &str, keys: &[&str]) -> PromptOptions {
        let Some(fields) = self.fields(key, node, "prompt", keys) else { return PromptOptions::default() };
        let system = fields.get("system").and_then(|(key, node)| self.text(key, node, "system"));
        let system = system.map(|scalar| scalar.snippet.text.clone());
        let shots = fields.get("shots").map(|(key, node)| self.spec_names(key, node, "shots", own)).unwrap_or_default();
        let template = fields.get("template").and_then(|(key, node)| {
            let name = self.text(key, node, "template")?.snippet.text.clone();
            let is_name = name.len() <= 100
                && name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'));
            if !is_name {
                let help = "the name of a file in `templates/`, without folder and ending";
                self.error_with(node.at, format!("`{}` is not a template's name", excerpt(&name)), help);
                return None;
            }
            Some(name)
        });
        PromptOptions { system, shots, template }
    }
}
