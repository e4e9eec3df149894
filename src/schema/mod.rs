//! JSON Schema, the part of it that has a meaning everywhere llmc needs one: a value is held against it, a model is
//! constrained by it, and Rust types are written from it.
//!
//! A keyword that is not known is a mistake, not a note: what would not be checked must not look as if it were.
//! `$ref` to `#/$defs/…` (or `#/definitions/…`) is resolved while reading; a schema that holds itself is refused.

mod check;
mod read;
mod short;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value, json};

pub use check::Mismatch;

/// Deepest nesting of a schema, and of a value that is held against one.
pub const DEEPEST: usize = 64;
/// Most parts of a schema, those behind a `$ref` counted each time.
pub const MOST_PARTS: usize = 4096;

/// What a JSON value must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// What it is called: its `title`, or its name in `$defs`.
    pub name: Option<String>,
    /// What it means, in words.
    pub description: Option<String>,
    /// Whether `null` will do, too.
    pub nullable: bool,
    /// What it must be otherwise.
    pub kind: Kind,
}

/// What a JSON value must be, `null` aside.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Anything at all.
    Any,
    /// `null` and nothing else.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A whole number that an `i64` holds or, where its least is 0 or more, a `u64`; both limits are allowed values.
    Integer {
        /// The least.
        minimum: Option<i64>,
        /// The greatest.
        maximum: Option<i64>,
    },
    /// A number; both limits are allowed values.
    Number {
        /// The least.
        minimum: Option<f64>,
        /// The greatest.
        maximum: Option<f64>,
    },
    /// A text; lengths in characters (Unicode scalar values).
    String {
        /// The fewest characters.
        min_length: Option<usize>,
        /// The most.
        max_length: Option<usize>,
    },
    /// One of these values (`enum`, `const`): strings, numbers or booleans, at least one, each once.
    Choice(Vec<Value>),
    /// A list.
    Array {
        /// What each of its items is.
        items: Box<Schema>,
        /// The fewest items.
        min_items: Option<usize>,
        /// The most.
        max_items: Option<usize>,
    },
    /// A list of a fixed length (`prefixItems`), each place with a meaning of its own.
    Tuple(Vec<Schema>),
    /// An object with known fields, and with no others.
    Object(Vec<Field>),
    /// An object whose keys are not known before (`additionalProperties`).
    Map(Box<Schema>),
    /// Any one of these, tried in this order (`anyOf`, `oneOf`).
    OneOf(Vec<Schema>),
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its key.
    pub key: String,
    /// What its value is.
    pub schema: Schema,
    /// Whether it may not be left out.
    pub required: bool,
}

/// Something in a schema that is wrong or not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a JSON pointer into the schema; empty for the whole.
    pub pointer: String,
    /// What.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => formatter.write_str(&self.message),
            pointer => write!(formatter, "{pointer}: {}", self.message),
        }
    }
}

impl From<Kind> for Schema {
    fn from(kind: Kind) -> Self {
        Self { name: None, description: None, nullable: false, kind }
    }
}

/// Whether two values are the same: `1` and `1.0` are, and the order of an object's keys is no difference.
///
/// Recurses as deep as the values are nested; what serde_json parses is at most 128 deep.
pub fn same(one: &Value, other: &Value) -> bool {
    check::same(one, other)
}

impl Schema {
    /// Reads a schema, with every mistake in it.
    pub fn read(value: &Value) -> Result<Self, Vec<Mistake>> {
        read::read(value)
    }

    /// A schema that any value fits.
    pub fn any() -> Self {
        Kind::Any.into()
    }

    /// Whether any value fits.
    pub fn is_any(&self) -> bool {
        self.kind == Kind::Any
    }

    /// Holds `value` against it: the first place where it does not fit.
    pub fn check(&self, value: &Value) -> Result<(), Mismatch> {
        check::check(self, value)
    }

    /// The schema in a line, as people and models read it: `{"label": "bug" | "other", "urgent"?: true | false}`.
    pub fn short(&self) -> String {
        short::short(self)
    }

    /// The schema as JSON Schema (2020-12), without `$ref`.
    ///
    /// Objects list every key and `additionalProperties: false`, as providers that constrain their output want it.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        if let Some(name) = &self.name {
            out.insert("title".into(), name.as_str().into());
        }
        if let Some(description) = &self.description {
            out.insert("description".into(), description.as_str().into());
        }
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        let limit = |put: &mut dyn FnMut(&str, Value) -> Option<Value>, key: &str, value: Option<Value>| {
            if let Some(value) = value {
                put(key, value);
            }
        };
        let kind = |name: &str| if self.nullable { json!([name, "null"]) } else { name.into() };
        match &self.kind {
            Kind::Any => {}
            Kind::Null => drop(put("type", "null".into())),
            Kind::Boolean => drop(put("type", kind("boolean"))),
            Kind::Integer { minimum, maximum } => {
                put("type", kind("integer"));
                limit(&mut put, "minimum", minimum.map(Value::from));
                limit(&mut put, "maximum", maximum.map(Value::from));
            }
            Kind::Number { minimum, maximum } => {
                put("type", kind("number"));
                limit(&mut put, "minimum", minimum.map(Value::from));
                limit(&mut put, "maximum", maximum.map(Value::from));
            }
            Kind::String { min_length, max_length } => {
                put("type", kind("string"));
                limit(&mut put, "minLength", min_length.map(Value::from));
                limit(&mut put, "maxLength", max_length.map(Value::from));
            }
            Kind::Choice(values) => {
                let null = self.nullable.then_some(Value::Null);
                put("enum", values.iter().cloned().chain(null).collect());
            }
            Kind::Array { items, min_items, max_items } => {
                put("type", kind("array"));
                put("items", items.to_json());
                limit(&mut put, "minItems", min_items.map(Value::from));
                limit(&mut put, "maxItems", max_items.map(Value::from));
            }
            Kind::Tuple(places) => {
                put("type", kind("array"));
                put("prefixItems", places.iter().map(Self::to_json).collect());
                put("minItems", places.len().into());
                put("maxItems", places.len().into());
            }
            Kind::Object(fields) => {
                put("type", kind("object"));
                let properties: Map<_, _> =
                    fields.iter().map(|field| (field.key.clone(), field.schema.to_json())).collect();
                put("properties", properties.into());
                let required = fields.iter().filter(|field| field.required);
                put("required", required.map(|field| Value::from(field.key.as_str())).collect());
                put("additionalProperties", false.into());
            }
            Kind::Map(values) => {
                put("type", kind("object"));
                put("additionalProperties", values.to_json());
            }
            Kind::OneOf(ways) => {
                let null = self.nullable.then(|| json!({"type": "null"}));
                put("anyOf", ways.iter().map(Self::to_json).chain(null).collect());
            }
        }
        out.into()
    }
}
