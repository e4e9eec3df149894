//! From YAML text to a [`Spec`], with every mistake found on the way.
//!
//! Which keys there are is data (the `KEYS` tables), so that the JSON Schema can be held against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proc_macro2::{Span, TokenStream};
use saphyr_parser::ScalarStyle;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned as _;
use syn::visit::Visit as _;

use super::interface::{Mentions, Mistake, bounds_mistake, syntax_mistake};
use super::yaml::{self, At, Node, Resolved, Scalar, Value};
use super::{
    Budget, DayBudget, Dependency, Diagnostic, Diagnostics, Example, Expect, Form, Interface, Policy, Profile,
    PromptOptions, Property, Sampling, Severity, Snippet, Spec, Stop,
};
use crate::syntax::{check_bounds, deep};

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
const MAX_MISTAKES: usize = 1000;

/// Names that would clash with files or crates that every artifact meets.
const RESERVED: &[&str] = &["lib", "main", "std", "core", "alloc", "generated", "test"];

/// Reads a spec from the text of `path` (used in messages only).
///
/// `stem` is the file's name without `.yaml`, which `name` must equal. Warnings come with the spec.
/// Every mistake is reported at once; bounded in time and memory whatever `bytes` holds. Whoever reads many
/// specs saves a thread for each by doing it inside one [`deep`].
pub fn parse(path: &str, stem: &str, bytes: &[u8]) -> Result<(Spec, Diagnostics), Diagnostics> {
    // One deep stack for the whole: starting a thread costs more than most fragments.
    deep(|| {
        let document = yaml::read(bytes);
        let mut reader = Reader::new(path, document.text, document.mistakes);
        let spec = document.root.and_then(|root| reader.spec(stem, &root));
        let out = reader.finish();
        match spec {
            Some(spec) if !out.has_errors() => Ok((spec, out)),
            _ => Err(out),
        }
    })
}

/// The known keys of a mapping with their values.
pub(super) struct Fields<'a> {
    /// The whole mapping.
    at: At,
    entries: HashMap<&'a str, (At, &'a Node)>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<(At, &'a Node)> {
        self.entries.get(key).copied()
    }
}

/// Reads values out of YAML, and collects the mistakes.
pub(super) struct Reader {
    out: Diagnostics,
    test_names: BTreeMap<String, At>,
    mentions: BTreeSet<String>,
}

/// What a node is, as messages say it.
fn found(node: &Node) -> String {
    match &node.value {
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "a mapping".into(),
        Value::Refused => "something that is not allowed".into(),
        Value::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => "nothing".into(),
            Resolved::Bool(value) => format!("`{value}`"),
            Resolved::Int(value) => format!("the number {value}"),
            Resolved::Float(_) => format!("the number {}", excerpt(&scalar.snippet.text)),
            Resolved::Text(text) => format!("the text `{}`", excerpt(text)),
        },
    }
}

/// The beginning of a text, for quoting it in a message.
fn excerpt(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.trim_end().len() => format!("{line}…"),
        None => line.to_owned(),
    }
}

/// "did you mean …", when something in `known` is close.
fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    // Comparing costs the product of the lengths.
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    let plain = word.replace('-', "_");
    let distance = |candidate: &str| {
        if candidate.replace('-', "_") == plain { 0 } else { strsim::damerau_levenshtein(&word, candidate) }
    };
    let best = known.iter().map(|candidate| (distance(candidate), *candidate)).min()?;
    let is_close = best.0 <= 1.max(best.1.len() / 3) || (plain.len() > 3 && best.1.starts_with(&plain));
    is_close.then(|| format!("did you mean `{}`?", best.1))
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn is_identifier(name: &str) -> bool {
    let is_word = name.chars().all(|character| character == '_' || character.is_ascii_alphanumeric());
    is_word
        && name.len() <= 100
        && name != "_"
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
}

fn is_keyword(name: &str) -> bool {
    is_identifier(name) && syn::parse_str::<syn::Ident>(name).is_err()
}

fn is_path(path: &str) -> bool {
    path.len() <= 200 && path.split("::").all(is_identifier)
}

fn is_crate_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'))
}

/// Whether Cargo would read this as a version requirement, near enough.
fn is_version_requirement(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_tail = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    let is_comparator = |comparator: &str| {
        let comparator = comparator.trim();
        let operator = [">=", "<=", ">", "<", "=", "^", "~"].iter().find(|operator| comparator.starts_with(**operator));
        let version = comparator[operator.map_or(0, |operator| operator.len())..].trim();
        let (version, build) = version.split_once('+').map_or((version, None), |(rest, build)| (rest, Some(build)));
        let (version, pre) = version.split_once('-').map_or((version, None), |(rest, pre)| (rest, Some(pre)));
        let parts: Vec<&str> = version.split('.').collect();
        let is_version = version == "*"
            || (parts.len() <= 3
                && is_number(parts[0])
                && parts[1..].iter().all(|part| is_number(part) || *part == "*"));
        is_version && build.is_none_or(is_tail) && pre.is_none_or(|pre| parts.len() == 3 && is_tail(pre))
    };
    text.len() <= 200 && text.split(',').all(is_comparator)
}

impl Reader {
    /// A reader of `path`, whose YAML had these mistakes.
    pub(super) fn new(path: &str, text: String, mistakes: Vec<Diagnostic>) -> Self {
        let mut out = Diagnostics::new(path, text);
        out.list = mistakes;
        Self { out, test_names: BTreeMap::new(), mentions: BTreeSet::new() }
    }

    /// The mistakes, in the order of the file.
    pub(super) fn finish(mut self) -> Diagnostics {
        self.out.sort();
        if self.out.list.len() > MAX_MISTAKES {
            if self.out.has_errors() {
                self.out.list.retain(|diagnostic| diagnostic.severity == Severity::Error);
            }
            self.out.list.truncate(MAX_MISTAKES);
        }
        self.out
    }

    pub(super) fn error(&mut self, at: At, message: impl Into<String>) {
        self.out.push(at.error(message, None));
    }

    pub(super) fn error_with(&mut self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.out.push(at.error(message, Some(help.into())));
    }

    fn warning(&mut self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.out.push(at.diagnostic(Severity::Warning, message, Some(help.into())));
    }

    /// Says that a value is of the wrong type; what is missing is shown at its key.
    pub(super) fn wrong_type(&mut self, key: At, node: &Node, name: &str, wanted: &str, help: Option<String>) {
        let is_empty = matches!(&node.value, Value::Scalar(scalar) if scalar.snippet.text.is_empty());
        let at = if is_empty { key } else { node.at };
        if !matches!(node.value, Value::Refused) {
            self.out.push(at.error(format!("{} must be {wanted}; found {}", quoted(name), found(node)), help));
        }
    }

    /// The mapping's entries under known keys; reports the unknown ones.
    pub(super) fn fields<'a>(&mut self, key: At, node: &'a Node, name: &str, known: &[&str]) -> Option<Fields<'a>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(key, node, name, "a mapping", Some(format!("its keys: {}", list(known))));
            return None;
        };
        let mut fields = Fields { at: node.at, entries: HashMap::new() };
        for (key, value) in entries {
            let Value::Scalar(scalar) = &key.value else { continue };
            let text = scalar.snippet.text.as_str();
            if known.contains(&text) {
                fields.entries.insert(text, (key.at, value));
            } else if self.out.list.len() < MAX_MISTAKES {
                let help = did_you_mean(text, known).unwrap_or_else(|| format!("the keys here: {}", list(known)));
                self.error_with(key.at, format!("unknown key `{}`", excerpt(text)), help);
            }
        }
        Some(fields)
    }

    pub(super) fn items<'a>(&mut self, key: At, node: &'a Node, name: &str) -> &'a [Node] {
        match &node.value {
            Value::Sequence(items) => items,
            _ => {
                self.wrong_type(key, node, name, "a list", None);
                &[]
            }
        }
    }

    /// A text, and not something that YAML takes for a number or a truth value.
    pub(super) fn text<'a>(&mut self, key: At, node: &'a Node, name: &str) -> Option<&'a Scalar> {
        let Value::Scalar(scalar) = &node.value else {
            self.wrong_type(key, node, name, "a text", None);
            return None;
        };
        match scalar.resolve() {
            Resolved::Text(text) if !text.trim().is_empty() => Some(scalar),
            Resolved::Text(_) => {
                self.error(node.at, format!("`{name}` is empty"));
                None
            }
            Resolved::Null => {
                self.wrong_type(key, node, name, "a text", None);
                None
            }
            _ => {
                let help = format!("put it in quotes: \"{}\"", excerpt(&scalar.snippet.text));
                self.wrong_type(key, node, name, "a text", Some(help));
                None
            }
        }
    }

    pub(super) fn texts(&mut self, key: At, node: &Node, name: &str) -> Vec<(At, String)> {
        let mut texts: Vec<(At, String)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, item) in self.items(key, node, name).iter().enumerate() {
            if let Some(scalar) = self.text(item.at, item, &format!("{name}[{index}]")) {
                let text = scalar.snippet.text.clone();
                if seen.insert(text.clone()) {
                    texts.push((item.at, text));
                } else {
                    self.error(item.at, format!("`{}` is listed twice in `{name}`", excerpt(&text)));
                }
            }
        }
        texts
    }

    /// Rust as text. Whatever stands there unquoted is taken as written: `5` is Rust too.
    fn rust(&mut self, key: At, node: &Node, name: &str) -> Option<Scalar> {
        let Value::Scalar(scalar) = &node.value else {
            let help = format!("put the Rust in single quotes, or below `{name}: |`");
            self.wrong_type(key, node, name, "Rust, as text", Some(help));
            return None;
        };
        if scalar.snippet.text.trim().is_empty() {
            let at = if scalar.style == ScalarStyle::Plain { key } else { node.at };
            self.error(at, format!("`{name}` is empty"));
            return None;
        }
        Some(scalar.clone())
    }

    pub(super) fn boolean(&mut self, key: At, node: &Node, name: &str) -> Option<bool> {
        if let Value::Scalar(scalar) = &node.value
            && let Resolved::Bool(value) = scalar.resolve()
        {
            return Some(value);
        }
        self.wrong_type(key, node, name, "`true` or `false`", None);
        None
    }

    pub(super) fn integer(&mut self, key: At, node: &Node, name: &str, least: i128, most: i128) -> Option<i128> {
        let wanted = match most {
            _ if most >= i128::from(u64::MAX) && least == 0 => "a whole number, 0 or more".to_owned(),
            _ if most >= i128::from(u64::MAX) => format!("a whole number of at least {least}"),
            _ => format!("a whole number from {least} to {most}"),
        };
        if let Value::Scalar(scalar) = &node.value
            && let Resolved::Int(value) = scalar.resolve()
            && (least..=most).contains(&value)
        {
            return Some(value);
        }
        self.wrong_type(key, node, name, &wanted, None);
        None
    }

    pub(super) fn number(
        &mut self,
        key: At,
        node: &Node,
        name: &str,
        is_ok: fn(f64) -> bool,
        wanted: &str,
    ) -> Option<f64> {
        if let Value::Scalar(scalar) = &node.value {
            let value = match scalar.resolve() {
                Resolved::Int(value) => Some(value as f64),
                Resolved::Float(value) => Some(value),
                _ => None,
            };
            if let Some(value) = value.filter(|value| value.is_finite() && is_ok(*value)) {
                return Some(value);
            }
        }
        self.wrong_type(key, node, name, wanted, None);
        None
    }

    /// One of a few words.
    pub(super) fn word<'k>(&mut self, key: At, node: &Node, name: &str, words: &[&'k str]) -> Option<&'k str> {
        let text = match &node.value {
            Value::Scalar(scalar) => scalar.snippet.text.as_str(),
            _ => "",
        };
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        self.wrong_type(key, node, name, &format!("one of {}", list(words)), did_you_mean(text, words));
        None
    }

    /// A Rust identifier.
    fn identifier(&mut self, at: At, name: &str, what: &str) -> bool {
        if is_keyword(name) {
            self.error(at, format!("{what} `{name}` is a keyword of Rust"));
            return false;
        }
        if !is_identifier(name) {
            let message = format!("{what} `{}` is not a Rust identifier", excerpt(name));
            self.error_with(at, message, "letters a to z, digits and `_`, not a digit first");
            return false;
        }
        true
    }

    fn spec(&mut self, stem: &str, root: &Node) -> Option<Spec> {
        if let Value::Mapping(entries) = &root.value {
            // The keys of a component are others; one clear message instead of many.
            for (key, value) in entries {
                if let (Value::Scalar(key), Value::Scalar(kind)) = (&key.value, &value.value)
                    && key.snippet.text == "kind"
                    && kind.snippet.text == "component"
                {
                    let message = "this version of llmc builds `kind: function` only, not components";
                    self.error_with(value.at, message, "leave `kind` out, and describe one function");
                    return None;
                }
            }
        }
        let fields = self.fields(root.at, root, "a spec", SPEC_KEYS)?;
        if let Some((key, node)) = fields.get("kind") {
            self.word(key, node, "kind", &["function", "component"]);
        }
        self.version(&fields);
        let name = self.name(&fields, stem);
        let description = match fields.get("description") {
            Some((key, node)) => self.text(key, node, "description").map(|scalar| scalar.snippet.text.clone()),
            None => {
                self.error(fields.at, "missing `description`: what is wanted, in words");
                None
            }
        };
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

    fn version(&mut self, fields: &Fields<'_>) {
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

    fn name(&mut self, fields: &Fields<'_>, stem: &str) -> Option<String> {
        let Some((key, node)) = fields.get("name") else {
            self.error_with(fields.at, "missing `name`", format!("the file's: `name: {}`", excerpt(stem)));
            return None;
        };
        let name = self.text(key, node, "name")?.snippet.text.clone();
        if !self.identifier(node.at, &name, "the name") {
            return None;
        }
        if RESERVED.contains(&name.as_str()) {
            self.error(node.at, format!("the name `{name}` is taken: every crate has something of that name"));
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

    /// Reports a mistake in Rust at its place in the file.
    fn rust_mistake(&mut self, scalar: &Scalar, name: &str, mistake: Mistake) {
        let (line, column) = scalar.snippet.locate(mistake.line, mistake.column);
        let at = At { line, column, length: mistake.length };
        let help = mistake.help.or_else(|| {
            if scalar.comment_follows {
                Some("` #` begins a comment in YAML; put the whole value in single quotes".to_owned())
            } else if name == "returns" && scalar.style != ScalarStyle::Plain && scalar.style != ScalarStyle::Literal {
                Some("YAML takes its own quotes away; a Rust string is written '\"…\"'".to_owned())
            } else {
                None
            }
        });
        self.out.push(at.error(format!("`{name}`: {}", mistake.message), help));
    }

    /// Parses a fragment of Rust with `parser`; mistakes are reported at their place.
    fn fragment<P: Parser>(&mut self, scalar: &Scalar, name: &str, parser: P) -> Option<P::Output> {
        let parsed = match check_bounds(&scalar.snippet.text) {
            Ok(tokens) => parser.parse2(tokens).map_err(|error| syntax_mistake(&error, &scalar.snippet.text)),
            Err(error) => Err(bounds_mistake(&error)),
        };
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(mistake) => {
                self.rust_mistake(scalar, name, mistake);
                None
            }
        }
    }

    fn expression(&mut self, key: At, node: &Node, name: &str) -> Option<Snippet> {
        let scalar = self.rust(key, node, name)?;
        let expression = self.fragment(&scalar, name, |input: ParseStream<'_>| input.parse::<syn::Expr>())?;
        let mut mentions = Mentions::default();
        mentions.visit_expr(&expression);
        self.mentions.extend(mentions.names);
        if name == "returns" {
            self.warn_of_lost_quotes(&scalar, &expression, node.at);
        }
        Some(scalar.snippet)
    }

    /// `returns: "hello"` is the Rust name `hello`, which is hardly what was meant.
    fn warn_of_lost_quotes(&mut self, scalar: &Scalar, expression: &syn::Expr, at: At) {
        let is_quoted = matches!(scalar.style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        if let syn::Expr::Path(path) = expression
            && is_quoted
            && let Some(ident) = path.path.get_ident().map(ToString::to_string)
            && ident.starts_with(|first: char| first.is_ascii_lowercase())
        {
            let message = format!("YAML takes the quotes away: this is the Rust name `{ident}`, not a text");
            self.warning(at, message, format!("for the text, write '\"{ident}\"'"));
        }
    }

    fn examples(&mut self, key: At, node: &Node) -> Vec<Example> {
        let items = self.items(key, node, "examples");
        items.iter().filter_map(|item| self.example(item)).collect()
    }

    fn example(&mut self, node: &Node) -> Option<Example> {
        let fields = self.fields(node.at, node, "an example", EXAMPLE_KEYS)?;
        let call = match fields.get("call") {
            Some((key, node)) => self.expression(key, node, "call"),
            None => {
                self.error(fields.at, "the example has no `call`");
                None
            }
        };
        let hidden = fields.get("hidden").and_then(|(key, node)| self.boolean(key, node, "hidden")).unwrap_or(false);
        let given: Vec<&str> = EXPECT_KEYS.iter().copied().filter(|key| fields.get(key).is_some()).collect();
        if given.len() != 1 {
            let at = given.get(1).and_then(|name| fields.get(name)).map_or(fields.at, |(key, _)| key);
            let message = match given.len() {
                0 => "the example does not say what it expects".to_owned(),
                _ => format!("the example expects {} things: {}", given.len(), list(&given)),
            };
            self.error_with(at, message, format!("give exactly one of {}", list(EXPECT_KEYS)));
        }
        let mut expect = None;
        for name in given {
            let Some((key, node)) = fields.get(name) else { continue };
            expect = match name {
                "returns" => self.expression(key, node, name).map(Expect::Returns),
                "holds" => self.expression(key, node, name).map(Expect::Holds),
                "matches" => self.pattern(key, node).map(Expect::Matches),
                _ => self.panics(key, node),
            };
        }
        Some(Example { call: call?, expect: expect?, hidden })
    }

    fn pattern(&mut self, key: At, node: &Node) -> Option<Snippet> {
        let scalar = self.rust(key, node, "matches")?;
        let (pattern, guard) = self.fragment(&scalar, "matches", |input: ParseStream<'_>| {
            let pattern = syn::Pat::parse_multi_with_leading_vert(input)?;
            let guard = match input.parse::<Option<syn::Token![if]>>()? {
                Some(_) => Some(input.parse::<syn::Expr>()?),
                None => None,
            };
            Ok((pattern, guard))
        })?;
        let mut mentions = Mentions::default();
        mentions.visit_pat(&pattern);
        guard.iter().for_each(|guard| mentions.visit_expr(guard));
        self.mentions.extend(mentions.names);
        Some(scalar.snippet)
    }

    fn panics(&mut self, key: At, node: &Node) -> Option<Expect> {
        if let Value::Scalar(scalar) = &node.value {
            match scalar.resolve() {
                Resolved::Bool(true) => return Some(Expect::Panics(None)),
                Resolved::Text(text) if !text.is_empty() => return Some(Expect::Panics(Some(text.to_owned()))),
                Resolved::Bool(false) => {
                    let help = "leave `panics` out: every other example fails on a panic anyway";
                    self.error_with(node.at, "`panics: false` says nothing", help);
                    return None;
                }
                _ => {}
            }
        }
        self.wrong_type(key, node, "panics", "`true`, or a part of the panic message in quotes", None);
        None
    }

    /// Warns of examples that never reach what the spec wants.
    fn check_calls(&mut self, fields: &Fields<'_>, interface: &Interface, examples: &[Example]) {
        let names: BTreeSet<String> = interface
            .item_names()
            .into_iter()
            .chain(interface.methods.iter().flat_map(|method| [method.on.clone(), method.function.name.clone()]))
            .collect();
        if fields.get("examples").is_none() {
            return;
        }
        for example in examples {
            let Ok(tokens) = check_bounds(&example.call.text) else { continue };
            if !has_ident(tokens, &names) {
                let place = example.call.place;
                let at = At {
                    line: place.line,
                    column: place.column,
                    length: example.call.text.trim_end().lines().next().map_or(1, |line| line.chars().count()),
                };
                let known: Vec<&str> = names.iter().map(String::as_str).take(12).collect();
                let help = format!("the interface has {}", list(&known));
                self.warning(at, "this example calls nothing that the spec wants", help);
            }
        }
    }

    fn properties(&mut self, key: At, node: &Node) -> Vec<Property> {
        let items = self.items(key, node, "properties");
        let mut seen = BTreeSet::new();
        items.iter().filter_map(|item| self.property(item, &mut seen)).collect()
    }

    fn property(&mut self, node: &Node, seen: &mut BTreeSet<String>) -> Option<Property> {
        let fields = self.fields(node.at, node, "a property", PROPERTY_KEYS)?;
        let name = match fields.get("name") {
            Some((key, node)) => {
                self.text(key, node, "name").map(|scalar| scalar.snippet.text.clone()).filter(|name| {
                    let is_new = seen.insert(name.clone());
                    if !is_new {
                        self.error(node.at, format!("two properties are named `{}`", excerpt(name)));
                    }
                    self.identifier(node.at, name, "the property's name") && is_new
                })
            }
            None => {
                self.error(fields.at, "the property has no `name`");
                None
            }
        };
        let forall = match fields.get("forall") {
            Some((key, node)) => self.forall(key, node),
            None => {
                let help = "for example `forall: { title: String }`";
                self.error_with(fields.at, "the property has no `forall`: its variables and their types", help);
                None
            }
        };
        let assume = fields.get("assume").map(|(key, node)| self.expression(key, node, "assume"));
        let holds = match fields.get("holds") {
            Some((key, node)) => self.expression(key, node, "holds"),
            None => {
                self.error(fields.at, "the property has no `holds`: what is true for all inputs");
                None
            }
        };
        let hidden = fields.get("hidden").and_then(|(key, node)| self.boolean(key, node, "hidden")).unwrap_or(false);
        Some(Property { name: name?, forall: forall?, assume: assume.flatten(), holds: holds?, hidden })
    }

    fn forall(&mut self, key: At, node: &Node) -> Option<Vec<(String, Snippet)>> {
        let Value::Mapping(entries) = &node.value else {
            let help = "for example `forall: { title: String }`".to_owned();
            self.wrong_type(key, node, "forall", "a mapping from variables to types", Some(help));
            return None;
        };
        if entries.is_empty() {
            self.error(node.at, "`forall` names no variable");
            return None;
        }
        let mut variables = Vec::new();
        for (variable, ty) in entries {
            let Value::Scalar(name) = &variable.value else { continue };
            let name = name.snippet.text.clone();
            self.identifier(variable.at, &name, "the variable");
            if let Some(snippet) = self.owned_type(variable.at, ty, &excerpt(&name)) {
                variables.push((name, snippet));
            }
        }
        (variables.len() == entries.len()).then_some(variables)
    }

    /// A type whose values can be made: no references, no `impl`, nothing left open.
    fn owned_type(&mut self, key: At, node: &Node, name: &str) -> Option<Snippet> {
        let scalar = self.rust(key, node, name)?;
        let ty = self.fragment(&scalar, name, |input: ParseStream<'_>| input.parse::<syn::Type>())?;
        let mut open = OpenType(None);
        open.visit_type(&ty);
        if let Some((span, what, help)) = open.0 {
            self.error_with(place(&scalar, span), format!("inputs can't be made for {what}"), help);
            return None;
        }
        let mut mentions = Mentions::default();
        mentions.visit_type(&ty);
        self.mentions.extend(mentions.names);
        Some(scalar.snippet)
    }

    fn tests(&mut self, key: At, node: &Node, name: &str) -> Option<Snippet> {
        let scalar = self.rust(key, node, name)?;
        let file = self.fragment(&scalar, name, |input: ParseStream<'_>| input.parse::<syn::File>())?;
        if let Some(attribute) = file.attrs.first() {
            let at = place(&scalar, attribute.span());
            self.error(at, format!("`{name}`: `#![…]` can't stand here; the tests become part of a larger file"));
        }
        let mut tests = Vec::new();
        test_functions(&file.items, "", &mut tests);
        if tests.is_empty() {
            let help = "each test is a function below `#[test]`";
            self.error_with(key, format!("`{name}` holds no test"), help);
        }
        for (test, span) in tests {
            let at = place(&scalar, span);
            if let Some(first) = self.test_names.get(&test) {
                let message = format!("two tests are named `{test}`; the other is on line {}", first.line);
                self.error(at, message);
            } else {
                self.test_names.insert(test, at);
            }
        }
        let mut mentions = Mentions::default();
        mentions.visit_file(&file);
        self.mentions.extend(mentions.names.into_iter().filter(|name| !mentions.used.contains(name)));
        Some(scalar.snippet)
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
        let Some(fields) = self.fields(key, node, "sampling", SAMPLING_KEYS) else { return Sampling::default() };
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
        let Some(fields) = self.fields(key, node, "prompt", PROMPT_KEYS) else { return PromptOptions::default() };
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

/// Where in the file a part of some Rust stands.
fn place(scalar: &Scalar, span: Span) -> At {
    let (start, end) = (span.start(), span.end());
    let (line, column) = scalar.snippet.locate(start.line, start.column + 1);
    let length = if start.line == end.line { end.column.saturating_sub(start.column) } else { 1 };
    At { line, column, length }
}

/// A key's name in backquotes; a description of one as it is.
fn quoted(name: &str) -> String {
    if name.contains(' ') { name.to_owned() } else { format!("`{name}`") }
}

/// Whether any of `names` is an identifier in `tokens`.
fn has_ident(tokens: TokenStream, names: &BTreeSet<String>) -> bool {
    let mut stack = vec![tokens.into_iter()];
    while let Some(tokens) = stack.last_mut() {
        match tokens.next() {
            None => {
                stack.pop();
            }
            Some(proc_macro2::TokenTree::Group(group)) => stack.push(group.stream().into_iter()),
            Some(proc_macro2::TokenTree::Ident(ident)) if names.contains(&ident.to_string()) => return true,
            Some(_) => {}
        }
    }
    false
}

/// The `#[test]` functions of some items, those in modules as `module::name`.
fn test_functions(items: &[syn::Item], prefix: &str, tests: &mut Vec<(String, Span)>) {
    for item in items {
        match item {
            syn::Item::Fn(function) if function.attrs.iter().any(|attribute| attribute.path().is_ident("test")) => {
                tests.push((format!("{prefix}{}", function.sig.ident), function.sig.ident.span()));
            }
            syn::Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    test_functions(items, &format!("{prefix}{}::", module.ident), tests);
                }
            }
            _ => {}
        }
    }
}

/// Finds the part of a type for which no value can be made, with what it is and what to do.
struct OpenType(Option<(Span, &'static str, &'static str)>);

impl<'ast> syn::visit::Visit<'ast> for OpenType {
    fn visit_type(&mut self, node: &'ast syn::Type) {
        let problem = match node {
            syn::Type::Reference(_) => {
                Some(("a reference", "use the owned type (`String`, `Vec<T>`), and `&x` in `holds`"))
            }
            syn::Type::ImplTrait(_) | syn::Type::TraitObject(_) => Some(("a trait", "name a type")),
            syn::Type::Infer(_) => Some(("`_`", "name the type")),
            syn::Type::Ptr(_) | syn::Type::FnPtr(_) | syn::Type::Never(_) => Some(("this type", "use plain data")),
            syn::Type::Slice(_) => Some(("a slice", "use `Vec<T>`, and `&x` in `holds`")),
            syn::Type::Macro(_) | syn::Type::Verbatim(_) => Some(("this type", "name the type")),
            syn::Type::Path(path) if path.path.is_ident("str") => Some(("`str`", "use `String`, and `&x` in `holds`")),
            _ => None,
        };
        match problem {
            Some((what, help)) => self.0 = self.0.or(Some((node.span(), what, help))),
            None => syn::visit::visit_type(self, node),
        }
    }
}
