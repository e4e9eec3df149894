//! A schema as servers take it that hold their models to one, and what they give, as it was meant. Pure.
//!
//! OpenAI's strict mode and Anthropic's structured output take the shape: closed objects, lists, unions, choices. Of
//! lengths and limits they take none or few, so none is sent: whoever asked has to check. The outermost value must be
//! an object there, so that any other is put into one, and taken out of it again.

use serde_json::{Map, Value, json};

use crate::schema::{Field, Kind, Schema};

/// The only key of the object that other values are put into.
const KEY: &str = "answer";

/// How fields are said that may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optional {
    /// They are not among the required ones.
    Absent,
    /// Every field is required, and these may be `null`.
    Null,
}

/// A schema on the wire.
#[derive(Debug, Clone)]
pub struct Wired {
    /// As it is sent.
    pub schema: Value,
    /// Whether the server can hold a model to it; where not, it is the schema as it was.
    pub strict: bool,
    /// What was meant.
    meant: Schema,
    is_wrapped: bool,
    optional: Optional,
}

impl Wired {
    /// A schema, as it is sent.
    pub fn new(schema: &Schema, optional: Optional) -> Self {
        let is_wrapped = schema.nullable || !matches!(schema.kind, Kind::Object(_));
        let strict = shape(schema, optional);
        let value = strict.clone().unwrap_or_else(|| schema.to_json());
        let schema_sent = if is_wrapped { wrapped(KEY, value) } else { value };
        Self { schema: schema_sent, strict: strict.is_some(), meant: schema.clone(), is_wrapped, optional }
    }

    /// The answer's text as it was meant, and whether it has the form that was asked for; else it stays as it is.
    pub fn unwrap(&self, text: String) -> (String, bool) {
        let Ok(mut value) = serde_json::from_str::<Value>(text.trim()) else { return (text, false) };
        let loosens = self.strict && self.optional == Optional::Null;
        if !self.is_wrapped && !loosens {
            return (text, true);
        }
        if self.is_wrapped {
            match &mut value {
                Value::Object(object) if object.len() == 1 && object.contains_key(KEY) => value = object[KEY].take(),
                _ => return (text, false),
            }
        }
        if loosens {
            loosen(&self.meant, &mut value);
        }
        (value.to_string(), true)
    }
}

/// Any schema as that of an object.
pub fn wrapped(key: &str, schema: Value) -> Value {
    json!({"type": "object", "properties": {key: schema}, "required": [key], "additionalProperties": false})
}

/// The shape of a schema; `None` where it can't be said.
fn shape(schema: &Schema, optional: Optional) -> Option<Value> {
    let one = |name: &str| if schema.nullable { json!([name, "null"]) } else { name.into() };
    let mut out = match &schema.kind {
        Kind::Any | Kind::Map(_) | Kind::Tuple(_) => return None,
        Kind::Null => json!({"type": "null"}),
        Kind::Boolean => json!({"type": one("boolean")}),
        Kind::Integer { .. } => json!({"type": one("integer")}),
        Kind::Number { .. } => json!({"type": one("number")}),
        Kind::String { .. } => json!({"type": one("string")}),
        Kind::Choice(values) => {
            let kind = |value: &Value| match value {
                Value::Bool(_) => "boolean",
                Value::String(_) => "string",
                Value::Number(number) if number.is_f64() => "number",
                _ => "integer",
            };
            let mut kinds: Vec<&str> = values.iter().map(kind).chain(schema.nullable.then_some("null")).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let values: Vec<&Value> = values.iter().chain(schema.nullable.then_some(&Value::Null)).collect();
            match kinds.as_slice() {
                [kind] => json!({"type": kind, "enum": values}),
                kinds => json!({"type": kinds, "enum": values}),
            }
        }
        Kind::Array { items, .. } => json!({"type": one("array"), "items": shape(items, optional)?}),
        Kind::Object(fields) => {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for field in fields {
                let mut inner = field.schema.clone();
                if !field.required && optional == Optional::Null {
                    inner.nullable = true;
                }
                properties.insert(field.key.clone(), shape(&inner, optional)?);
                if field.required || optional == Optional::Null {
                    required.push(field.key.as_str());
                }
            }
            json!({
                "type": one("object"), "properties": properties, "required": required, "additionalProperties": false,
            })
        }
        Kind::OneOf(ways) => {
            let ways: Option<Vec<Value>> = ways.iter().map(|way| shape(way, optional)).collect();
            json!({"anyOf": ways?.into_iter().chain(schema.nullable.then(|| json!({"type": "null"}))).collect::<Vec<_>>()})
        }
    };
    if let Some(description) = &schema.description {
        out["description"] = description.as_str().into();
    }
    Some(out)
}

/// Takes out what is `null` because it could not be left out.
fn loosen(schema: &Schema, value: &mut Value) {
    match (&schema.kind, value) {
        (Kind::Object(fields), Value::Object(object)) => {
            for Field { key, schema, required } in fields {
                match object.get_mut(key) {
                    // Where `null` is a value of its own, too, it says the same as nothing at all.
                    Some(Value::Null) if !required && !schema.nullable => drop(object.shift_remove(key)),
                    Some(inner) => loosen(schema, inner),
                    None => {}
                }
            }
        }
        (Kind::Array { items, .. }, Value::Array(list)) => list.iter_mut().for_each(|inner| loosen(items, inner)),
        (Kind::OneOf(ways), value) => {
            // The first that it is, once loosened.
            for way in ways {
                let mut loose = value.clone();
                loosen(way, &mut loose);
                if way.check(&loose).is_ok() {
                    *value = loose;
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wired(schema: Value, optional: Optional) -> Wired {
        Wired::new(&Schema::read(&schema).expect("it is a schema"), optional)
    }

    #[test]
    fn a_shape_is_sent_without_limits_and_with_every_field() {
        let schema = json!({"type": "object", "required": ["label"], "properties": {
            "label": {"enum": ["bug", "other"], "description": "What it is."},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 3},
        }});
        let object = |required: Value, score: Value, tags: Value| {
            json!({"type": "object", "properties": {
                "label": {"type": "string", "enum": ["bug", "other"], "description": "What it is."},
                "score": {"type": score},
                "tags": {"type": tags, "items": {"type": "string"}},
            }, "required": required, "additionalProperties": false})
        };
        let null = wired(schema.clone(), Optional::Null);
        let expected = object(json!(["label", "score", "tags"]), json!(["number", "null"]), json!(["array", "null"]));
        assert_eq!((null.schema.clone(), null.strict), (expected, true));
        let unwrapped = |wired: &Wired, text: &str| wired.unwrap(text.to_owned());
        let fits = |text: &str| (text.to_owned(), true);
        assert_eq!(unwrapped(&null, r#"{"label":"bug","score":null,"tags":null}"#), fits(r#"{"label":"bug"}"#));
        assert_eq!(unwrapped(&null, "no JSON"), ("no JSON".to_owned(), false));
        let absent = wired(schema, Optional::Absent);
        assert_eq!(absent.schema, object(json!(["label"]), json!("number"), json!("array")));
        assert_eq!(unwrapped(&absent, r#"{ "label": "bug" }"#), fits(r#"{ "label": "bug" }"#));
    }

    #[test]
    fn what_is_no_object_is_put_into_one_and_taken_out_again() {
        let string = wired(json!({"enum": ["a", 1, null]}), Optional::Null);
        assert_eq!(
            string.schema["properties"]["answer"],
            json!({"type": ["integer", "null", "string"], "enum": ["a", 1, null]})
        );
        for (text, expected) in [
            (r#"{"answer": "a"}"#, (r#""a""#, true)),
            (r#"{"answer": null}"#, ("null", true)),
            (r#"{"answer": 1, "more": 2}"#, (r#"{"answer": 1, "more": 2}"#, false)),
            (r#""a""#, (r#""a""#, false)),
        ] {
            assert_eq!(string.unwrap(text.to_owned()), (expected.0.to_owned(), expected.1));
        }
    }

    #[test]
    fn what_strict_servers_can_t_say_is_sent_as_it_is() {
        for schema in [
            json!({}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "array", "items": {}}),
            json!({"type": "array", "prefixItems": [{"type": "string"}], "minItems": 1, "maxItems": 1}),
        ] {
            let sent = wired(schema.clone(), Optional::Null);
            assert!(!sent.strict, "{schema}");
            assert_eq!(sent.schema["type"], "object", "{schema}");
        }
    }

    #[test]
    fn of_several_ways_the_one_that_fits_is_loosened() {
        let schema = json!({"anyOf": [
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            {"type": "object", "required": ["c"], "properties": {"c": {"type": "integer"}}},
        ]});
        let sent = wired(schema, Optional::Null);
        assert!(sent.strict);
        assert_eq!(sent.unwrap(r#"{"answer":{"a":"x","b":null}}"#.to_owned()).0, r#"{"a":"x"}"#);
        assert_eq!(sent.unwrap(r#"{"answer":{"c":1}}"#.to_owned()).0, r#"{"c":1}"#);
    }
}
