//! A schema in a few words, as people and models read it: TypeScript's way of writing types, with limits in brackets.

use super::{Field, Kind, Schema};

/// Most characters of a description that are shown.
const SHOWN: usize = 200;

pub(super) fn short(schema: &Schema) -> String {
    let mut out = String::new();
    write(schema, &mut out);
    out
}

fn write(schema: &Schema, out: &mut String) {
    match &schema.kind {
        Kind::Any => out.push_str("any JSON"),
        Kind::Null => out.push_str("null"),
        Kind::Boolean => out.push_str("true | false"),
        Kind::Integer { minimum, maximum } => {
            out.push_str("integer");
            out.push_str(&limits(minimum.as_ref(), maximum.as_ref(), ""));
        }
        Kind::Number { minimum, maximum } => {
            out.push_str("number");
            out.push_str(&limits(minimum.as_ref(), maximum.as_ref(), ""));
        }
        Kind::String { min_length, max_length } => {
            out.push_str("string");
            out.push_str(&limits(min_length.as_ref(), max_length.as_ref(), " characters"));
        }
        Kind::Choice(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            out.push_str(&values.join(" | "));
        }
        Kind::Array { items, min_items, max_items } => {
            out.push('[');
            write(items, out);
            out.push_str(", …]");
            out.push_str(&limits(min_items.as_ref(), max_items.as_ref(), " items"));
        }
        Kind::Tuple(places) => {
            out.push('[');
            list(places, ", ", out);
            out.push(']');
        }
        Kind::Object(fields) => object(fields, out),
        Kind::Map(values) => {
            out.push_str("{\"any key\": ");
            write(values, out);
            out.push_str(", …}");
        }
        Kind::OneOf(ways) => list(ways, " | ", out),
    }
    if schema.nullable {
        out.push_str(" | null");
    }
}

fn list(schemas: &[Schema], between: &str, out: &mut String) {
    for (at, schema) in schemas.iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        write(schema, out);
    }
}

fn object(fields: &[Field], out: &mut String) {
    out.push('{');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        out.push_str(&serde_json::Value::from(field.key.as_str()).to_string());
        out.push_str(if field.required { ": " } else { "?: " });
        write(&field.schema, out);
        let words: Vec<&str> = field.schema.description.iter().flat_map(|text| text.split_whitespace()).collect();
        let words: String = words.join(" ").replace("*/", "* /").chars().take(SHOWN).collect();
        if !words.is_empty() {
            out.push_str(&format!(" /* {words} */"));
        }
    }
    out.push('}');
}

fn limits<T: ToString + PartialEq>(least: Option<&T>, most: Option<&T>, of: &str) -> String {
    match (least.map(ToString::to_string), most.map(ToString::to_string)) {
        (None, None) => String::new(),
        (Some(least), None) => format!(" (at least {least}{of})"),
        (None, Some(most)) => format!(" (at most {most}{of})"),
        (Some(least), Some(most)) if least == most => format!(" ({most}{of})"),
        (Some(least), Some(most)) => format!(" ({least} to {most}{of})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_said_in_a_line() {
        for (schema, expected) in [
            (json!({}), "any JSON"),
            (json!({"type": ["string", "null"], "maxLength": 9}), "string (at most 9 characters) | null"),
            (json!({"type": "integer", "minimum": 0, "maximum": 3}), "integer (0 to 3)"),
            (
                json!({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
                "[number, …] (2 items)",
            ),
            (json!({"type": "object", "additionalProperties": {"type": "boolean"}}), "{\"any key\": true | false, …}"),
            (
                json!({"type": "object", "required": ["label"], "properties": {
                    "label": {"enum": ["bug", "other"], "description": "What\n it is."},
                    "of \"it\"": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
                }}),
                "{\"label\": \"bug\" | \"other\" /* What it is. */, \"of \\\"it\\\"\"?: [string, null]}",
            ),
            (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), "string | integer"),
        ] {
            assert_eq!(short(&Schema::read(&schema).expect("it is a schema")), expected);
        }
    }
}
