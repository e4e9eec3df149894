//! What fits, what does not, and what is no schema.

use serde_json::{Value, json};

use super::{Kind, Schema};

fn schema(value: Value) -> Schema {
    Schema::read(&value).expect("it is a schema")
}

fn mistakes(value: Value) -> Vec<String> {
    Schema::read(&value).expect_err("it is wrong").iter().map(ToString::to_string).collect()
}

fn ticket() -> Value {
    json!({
        "type": "object",
        "properties": {
            "subject": {"type": "string", "minLength": 1},
            "priority": {"$ref": "#/$defs/Priority"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
            "assignee": {"type": ["string", "null"]},
            "age": {"type": "integer", "minimum": 0, "maximum": 100},
        },
        "required": ["subject", "priority"],
        "$defs": {"Priority": {"enum": ["low", "high"]}},
    })
}

#[test]
fn what_fits_fits() {
    let schema = schema(ticket());
    for value in [
        json!({"subject": "x", "priority": "low"}),
        json!({"subject": "é", "priority": "high", "tags": ["a", "b"], "assignee": null, "age": 100}),
    ] {
        assert_eq!(schema.check(&value), Ok(()), "{value}");
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let schema = schema(ticket());
    for (value, wanted) in [
        (json!("x"), "\"x\" where an object is wanted"),
        (json!({"subject": "x"}), "the field `priority` is missing"),
        (json!({"subject": "", "priority": "low"}), "/subject: a text of 0 characters; at least 1 are wanted"),
        (json!({"subject": "x", "priority": "urgent"}), "/priority: \"urgent\" is none of \"low\", \"high\""),
        (json!({"subject": "x", "priority": "low", "tags": ["a", 1]}), "/tags/1: 1 where a string is wanted"),
        (
            json!({"subject": "x", "priority": "low", "tags": ["a", "b", "c"]}),
            "/tags: a list of 3; at most 2 are allowed",
        ),
        (json!({"subject": "x", "priority": "low", "age": 1.5}), "/age: 1.5 where a whole number is wanted"),
        (json!({"subject": "x", "priority": "low", "age": -1}), "/age: -1 is below 0, the least"),
        (json!({"subject": "x", "priority": "low", "extra": 1}), "there is no field `extra`"),
    ] {
        assert_eq!(schema.check(&value).expect_err("it does not fit").to_string(), wanted);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let wrong = json!({
        "type": "object",
        "properties": {
            "a": {"type": "text"},
            "b": {"type": "string", "pattern": "x*"},
            "c": {"$ref": "#/$defs/None"},
            "d": {"type": "integer", "minimum": 3, "maximum": 2},
        },
        "required": ["e"],
    });
    let found = mistakes(wrong);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found.iter().any(|text| text.contains("/properties/b/pattern: the keyword `pattern` is not supported")));
    assert!(found.iter().any(|text| text.contains("there is no `None` in `$defs`")));
}

#[test]
fn a_schema_of_a_stranger_is_bounded() {
    let itself = json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}});
    assert!(mistakes(itself)[0].contains("`A` holds itself"));
    // Each definition names the one before twice: 2^20 parts if they were all written out.
    let mut defs = serde_json::Map::new();
    defs.insert("d0".into(), json!({"type": "string"}));
    for number in 1..20 {
        let before = json!({"$ref": format!("#/$defs/d{}", number - 1)});
        defs.insert(format!("d{number}"), json!({"anyOf": [before, before]}));
    }
    assert!(mistakes(json!({"$ref": "#/$defs/d19", "$defs": defs}))[0].contains("more than 4096 parts"));
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "array", "items": deep});
    }
    assert!(mistakes(deep)[0].contains("nested more than 64 deep"));
}

#[test]
fn written_and_read_again_it_is_the_same() {
    let one = schema(ticket());
    assert_eq!(schema(one.to_json()), one);
    let two = schema(
        json!({"anyOf": [{"type": "integer"}, {"type": "array", "prefixItems": [{"type": "string"}, true]}, {"type": "null"}]}),
    );
    assert!(two.nullable);
    assert!(matches!(two.kind, Kind::OneOf(_)));
    assert_eq!(schema(two.to_json()), two);
    assert_eq!(two.check(&json!(["a", {"b": 1}])), Ok(()));
    assert_eq!(two.check(&Value::Null), Ok(()));
    assert!(two.check(&json!("a")).is_err());
}
