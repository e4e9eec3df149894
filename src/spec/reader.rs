//! Reading values out of YAML: of the right type, within bounds, and every mistake with its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use saphyr_parser::ScalarStyle;

use super::parse::MAX_MISTAKES;
use super::yaml::{At, Node, Resolved, Scalar, Value};
use super::{Diagnostic, Diagnostics, Severity};

/// The known keys of a mapping with their values.
pub(super) struct Fields<'a> {
    /// The whole mapping.
    pub(super) at: At,
    entries: HashMap<&'a str, (At, &'a Node)>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<(At, &'a Node)> {
        self.entries.get(key).copied()
    }
}

/// Reads values out of YAML, and collects the mistakes.
pub(super) struct Reader {
    pub(super) out: Diagnostics,
    pub(super) test_names: BTreeMap<String, At>,
    /// Names that the checks use.
    pub(super) mentions: BTreeSet<String>,
}

/// What a node is, as messages say it.
pub(super) fn found(node: &Node) -> String {
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
pub(super) fn excerpt(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.trim_end().len() => format!("{line}…"),
        None => line.to_owned(),
    }
}

/// "did you mean …", when something in `known` is close.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
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

pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

pub(super) fn is_identifier(name: &str) -> bool {
    let is_word = name.chars().all(|character| character == '_' || character.is_ascii_alphanumeric());
    is_word
        && name.len() <= 100
        && name != "_"
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
}

pub(super) fn is_keyword(name: &str) -> bool {
    is_identifier(name) && syn::parse_str::<syn::Ident>(name).is_err()
}

pub(super) fn is_path(path: &str) -> bool {
    path.len() <= 200 && path.split("::").all(is_identifier)
}

pub(super) fn is_crate_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'))
}

/// Whether Cargo would read this as a version requirement, near enough.
pub(super) fn is_version_requirement(text: &str) -> bool {
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

    pub(super) fn warning(&mut self, at: At, message: impl Into<String>, help: impl Into<String>) {
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
    pub(super) fn rust(&mut self, key: At, node: &Node, name: &str) -> Option<Scalar> {
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
    pub(super) fn identifier(&mut self, at: At, name: &str, what: &str) -> bool {
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
}

/// A key's name in backquotes; a description of one as it is.
pub(super) fn quoted(name: &str) -> String {
    if name.contains(' ') { name.to_owned() } else { format!("`{name}`") }
}
