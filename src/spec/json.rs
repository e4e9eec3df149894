//! Values of JSON, written as YAML: what they are, and where in the file a part of one stands.

use serde_json::{Map, Number};

use super::reader::{Reader, did_you_mean, excerpt};
use super::yaml::{At, Node, Resolved, Value};
use crate::schema::Schema;

/// The keywords of a schema, for "did you mean".
const KEYWORDS: &[&str] = &[
    "type",
    "title",
    "description",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "$ref",
    "$defs",
];

impl Reader {
    /// The value of JSON that YAML says. Its depth is bounded: the YAML's is.
    pub(super) fn json(&mut self, node: &Node) -> Option<serde_json::Value> {
        match &node.value {
            Value::Refused => None,
            Value::Scalar(scalar) => match scalar.resolve() {
                Resolved::Null => Some(serde_json::Value::Null),
                Resolved::Bool(value) => Some(value.into()),
                Resolved::Text(text) => Some(text.into()),
                Resolved::Int(value) => {
                    let number =
                        u64::try_from(value).map(Number::from).or_else(|_| i64::try_from(value).map(Number::from));
                    if number.is_err() {
                        let message = format!("{value} is beyond the whole numbers that 64 bits hold");
                        self.error_with(node.at, message, "write it as a text, in quotes, or with a decimal point");
                    }
                    number.ok().map(serde_json::Value::Number)
                }
                Resolved::Float(value) => {
                    let number = Number::from_f64(value);
                    if number.is_none() {
                        let message = format!("`{}` is no number of JSON", excerpt(&scalar.snippet.text));
                        self.error_with(node.at, message, "put it in quotes, if it is a text");
                    }
                    number.map(serde_json::Value::Number)
                }
            },
            Value::Sequence(items) => {
                // Each item is read, so that each mistake is told.
                let items: Vec<_> = items.iter().map(|item| self.json(item)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(serde_json::Value::Array)
            }
            Value::Mapping(entries) => {
                let mut object = Some(Map::new());
                for (key, value) in entries {
                    let Value::Scalar(key) = &key.value else { continue };
                    match (self.json(value), &mut object) {
                        (Some(value), Some(object)) => drop(object.insert(key.snippet.text.clone(), value)),
                        _ => object = None,
                    }
                }
                object.map(serde_json::Value::Object)
            }
        }
    }

    /// A schema, with each mistake in it at its place.
    pub(super) fn schema(&mut self, key: At, node: &Node, name: &str) -> Option<Schema> {
        let is_schema =
            matches!(&node.value, Value::Mapping(_)) || matches!(self.json(node)?, serde_json::Value::Bool(true));
        if !is_schema {
            let help = format!("for example `{name}: {{ type: string }}`");
            self.wrong_type(key, node, name, "a JSON Schema", Some(help));
            return None;
        }
        let json = self.json(node)?;
        match Schema::read(&json) {
            Ok(schema) => Some(schema),
            Err(mistakes) => {
                for mistake in mistakes {
                    let (at, is_whole) = place(key, node, &mistake.pointer);
                    let last = mistake.pointer.rsplit('/').next().unwrap_or_default();
                    let last = last.replace("~1", "/").replace("~0", "~");
                    let keyword = format!("the keyword `{last}` ");
                    // A keyword itself is what is wrong, not what stands under it.
                    let (at, help) = match mistake.message.starts_with(&keyword) {
                        true => {
                            (at.key, did_you_mean(&last, KEYWORDS).filter(|help| !help.contains(&format!("`{last}`"))))
                        }
                        false => (if is_whole { at.value } else { at.key }, None),
                    };
                    self.out.push(at.error(format!("`{name}`: {}", mistake.message), help));
                }
                None
            }
        }
    }

    /// Holds a value that was read from `node` against a schema.
    pub(super) fn fits(&mut self, key: At, node: &Node, name: &str, value: &serde_json::Value, schema: &Schema) {
        if let Err(mismatch) = schema.check(value) {
            let at = place(key, node, &mismatch.pointer).0.value;
            let path = mismatch.pointer.replace('/', ".").replace("~1", "/").replace("~0", "~");
            self.error(at, format!("`{name}{}` does not fit its schema: {}", excerpt(&path), mismatch.message));
        }
    }
}

/// Where an entry stands.
struct Places {
    /// Its key.
    key: At,
    /// Its value; where that is nothing, its key.
    value: At,
}

/// The place of what a JSON pointer leads to, or as far towards it as there is something; whether that is all the way.
fn place(key: At, node: &Node, pointer: &str) -> (Places, bool) {
    let of = |key: At, node: &Node| {
        let is_nothing = matches!(&node.value, Value::Scalar(scalar) if scalar.snippet.text.is_empty());
        Places { key, value: if is_nothing { key } else { node.at } }
    };
    let (mut key, mut node) = (key, node);
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match &node.value {
            Value::Mapping(entries) => entries.iter().find_map(|(key, value)| match &key.value {
                Value::Scalar(scalar) if scalar.snippet.text == step => Some((key.at, value)),
                _ => None,
            }),
            Value::Sequence(items) => {
                step.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (item.at, item))
            }
            _ => None,
        };
        match next {
            Some((next_key, next)) => (key, node) = (next_key, next),
            None => return (of(key, node), false),
        }
    }
    (of(key, node), true)
}
