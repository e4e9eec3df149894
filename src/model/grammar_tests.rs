//! Tests of grammars: a small recogniser and a small writer stand in for llama.cpp.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::sampling::Rng;

fn schema(value: &Value) -> Schema {
    Schema::read(value).unwrap_or_else(|mistakes| panic!("{value}: {mistakes:?}"))
}

impl Grammar {
    /// Whether `text` can be written.
    fn derives(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.ends(&self.rules[0], &text, 0).contains(&text.len())
    }

    /// Where `node` can end that begins at `at`.
    fn ends(&self, node: &Node, text: &[char], at: usize) -> BTreeSet<usize> {
        match node {
            Node::Text(wanted) => {
                let wanted: Vec<char> = wanted.chars().collect();
                text[at..].starts_with(&wanted).then_some(at + wanted.len()).into_iter().collect()
            }
            Node::Class(class) => {
                text.get(at).filter(|one| members(class)(**one)).map(|_| at + 1).into_iter().collect()
            }
            Node::Rule(number) => self.ends(&self.rules[*number], text, at),
            Node::One(nodes) => nodes.iter().flat_map(|node| self.ends(node, text, at)).collect(),
            Node::All(nodes) => nodes.iter().fold(BTreeSet::from([at]), |starts, node| {
                starts.into_iter().flat_map(|start| self.ends(node, text, start)).collect()
            }),
            Node::Times(node, least, most) => {
                let mut all = BTreeSet::new();
                let mut now = BTreeSet::from([at]);
                for count in 0.. {
                    if count >= *least {
                        all.extend(&now);
                    }
                    if most.is_some_and(|most| count >= most) {
                        break;
                    }
                    now = now.into_iter().flat_map(|start| self.ends(node, text, start)).collect();
                    if now.is_empty() {
                        break;
                    }
                }
                all
            }
        }
    }

    /// Something that can be written.
    fn write(&self, node: &Node, rng: &mut Rng, depth: usize, out: &mut String) {
        let mut pick = |count: usize| (rng.fraction() * count as f64) as usize;
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Class(class) => {
                // One that is in it, whichever it is.
                let from = [
                    'a', 'é', '7', '0', '3', '4', '5', '6', '8', 'e', 'D', '"', '\\', 'n', '🦀', ' ', 'b', '1', '2',
                    '9', 'f', 'E',
                ];
                let is_member = members(class);
                let fits: Vec<char> = from.into_iter().filter(|one| is_member(*one)).collect();
                out.push(fits[pick(fits.len())]);
            }
            Node::Rule(number) => self.write(&self.rules[*number], rng, depth + 1, out),
            Node::One(nodes) => {
                // What leads deeper stands in the middle, and the plain words of anything at its end.
                let at = if depth > 20 { nodes.len() - 1 } else { pick(nodes.len()) };
                self.write(&nodes[at], rng, depth, out);
            }
            Node::All(nodes) => nodes.iter().for_each(|node| self.write(node, rng, depth, out)),
            Node::Times(node, least, most) => {
                let extra = if depth > 20 { 0 } else { pick(3) };
                let count = most.map_or(least + extra, |most| most.min(least + extra));
                (0..count).for_each(|_| self.write(node, rng, depth, out));
            }
        }
    }
}

/// What a class holds, of those that are written here.
fn members(class: &str) -> impl Fn(char) -> bool + use<> {
    let inner = class.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("it is a class");
    let (negated, inner) = inner.strip_prefix('^').map_or((false, inner), |rest| (true, rest));
    let mut characters = Vec::new();
    let mut rest = inner.chars();
    while let Some(one) = rest.next() {
        characters.push(match one {
            '\\' => match rest.next() {
                Some('x') => {
                    let code: String = rest.by_ref().take(2).collect();
                    char::from(u8::from_str_radix(&code, 16).expect("it is in hex"))
                }
                Some(escaped @ ('"' | '\\' | ']' | '[')) => escaped,
                other => panic!("{class}: {other:?}"),
            },
            plain => plain,
        });
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        match characters.get(at + 1..at + 3) {
            Some(['-', end]) => {
                ranges.push(characters[at]..=*end);
                at += 3;
            }
            _ => {
                ranges.push(characters[at]..=characters[at]);
                at += 1;
            }
        }
    }
    move |character| ranges.iter().any(|range| range.contains(&character)) != negated
}

#[test]
fn a_grammar_is_written_as_llama_cpp_reads_it() {
    let schema = schema(&json!({"type": "object", "required": ["label"], "properties": {
        "label": {"enum": ["a \"b\"", "c\\d\n"]},
        "note": {"type": "string", "maxLength": 3},
    }}));
    assert_eq!(
        Grammar::of(&schema).to_string(),
        r#"root ::= "{" r7
r1 ::= [^"\\\x00-\x1F\x7F] | ("\\" ["\\/bfnrt]) | ("\\u" [0-9a-cA-Ce-fE-F] [0-9a-fA-F]{3}) | ("\\u" [dD] [0-7] [0-9a-fA-F]{2})
r2 ::= r1{0,3}
r3 ::= "\"note\"" (":" " "?) ("\"" r2 "\"")
r4 ::= (r3 "}") | "}"
r5 ::= (("," " "?) r3 "}") | "}"
r6 ::= "\"label\"" (":" " "?) ("\"a \\\"b\\\"\"" | "\"c\\\\d\\n\"")
r7 ::= r6 r5
r8 ::= ("," " "?) r6 r5
"#
    );
}

#[test]
fn what_fits_can_be_written_and_what_does_not_can_t() {
    for (given, fits, others) in [
        (
            json!({"type": "string"}),
            vec![r#""""#, r#""é🦀 \" \\ \u00e9 \uD7FF""#],
            vec!["\"", "\"\n\"", r#""\ud800""#, "x"],
        ),
        (
            json!({"type": "string", "minLength": 2, "maxLength": 3}),
            vec![r#""ab""#, r#""a\n\u0001""#],
            vec![r#""a""#, r#""abcd""#],
        ),
        (
            json!({"type": "integer"}),
            vec!["0", "-7", "9223372036854775807", "-9223372036854775808"],
            vec!["-0", "01", "1.0", "1e3", "9223372036854775808"],
        ),
        (json!({"type": "integer", "minimum": -2, "maximum": 11}), vec!["-2", "0", "11"], vec!["-3", "12", "1 "]),
        (
            json!({"type": "integer", "minimum": 0}),
            vec!["0", "123456", "18446744073709551615"],
            vec!["-1", "18446744073709551616"],
        ),
        (
            json!({"type": "integer", "minimum": -1250, "maximum": -37}),
            vec!["-37", "-40", "-99", "-100", "-1199", "-1250"],
            vec!["-36", "-1251", "-1300", "37", "0", "-9999"],
        ),
        (json!({"type": "integer", "minimum": 5, "maximum": 5}), vec!["5"], vec!["4", "6", "55"]),
        (
            json!({"type": "integer", "minimum": 1990, "maximum": 2035}),
            vec!["1990", "1999", "2000", "2035"],
            vec!["1989", "2036", "199", "20000"],
        ),
        (
            json!({"type": "number"}),
            vec!["-1.5", "0", "2.5e-7", "1e308", "1.69e308", "9.99e307", "4.9E-324", "1e+30"],
            vec![".5", "1.", "1e309", "-"],
        ),
        (json!({"enum": ["a", 1, true, null]}), vec![r#""a""#, "1", "true", "null"], vec!["a", "2"]),
        (
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}),
            vec!["[true]", "[true, false]", "[true,false]"],
            vec!["[]", "[true,true,true]", "[true,]"],
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "minItems": 2, "maxItems": 2}),
            vec!["[null,true]"],
            vec!["[null]", "[true,null]"],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            vec!["{}", r#"{"a": 1, "b":2}"#],
            vec![r#"{"a":"x"}"#, "{,}"],
        ),
        (
            json!({"type": ["object", "null"], "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}}, "required": ["b"]}),
            vec![
                "null",
                r#"{"b":null}"#,
                r#"{"a":null,"b":null}"#,
                r#"{"b":null,"c":null}"#,
                r#"{"a":null, "b": null,"c":null}"#,
            ],
            vec!["{}", r#"{"a":null}"#, r#"{,"b":null}"#, r#"{"b":null,}"#],
        ),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), vec!["null", r#""x""#], vec!["1"]),
        (
            json!({}),
            vec!["null", r#"{"a": [1, {"b": "c"}], "d": -2.5}"#, "[[],{}]", "false"],
            vec!["[", "{\"a\"}", "nul"],
        ),
    ] {
        let schema = schema(&given);
        let grammar = Grammar::of(&schema);
        for text in fits {
            assert!(grammar.derives(text), "{given}: {text}\n{grammar}");
            let value: Value = serde_json::from_str(text).expect("it is JSON");
            assert_eq!(schema.check(&value), Ok(()), "{text}");
        }
        for text in others {
            assert!(!grammar.derives(text), "{given}: {text}\n{grammar}");
        }
    }
}

#[test]
fn repetitions_stay_sane_however_large_the_limits_are() {
    let many: serde_json::Map<String, Value> =
        (0..200).map(|number| (format!("f{number}"), json!({"type": "string", "maxLength": 400}))).collect();
    for (given, most) in [
        (json!({"type": "string", "minLength": 1_000_000, "maxLength": 2_000_000}), LONGEST),
        (json!({"type": "array", "items": {"type": "string", "maxLength": 100_000}, "maxItems": 1_000_000}), 0),
        (json!({"type": "object", "properties": many}), MOST_REPEATS),
    ] {
        let grammar = Grammar::of(&schema(&given));
        let sum = |node: &Node| match node {
            Node::Times(_, least, most) => most.unwrap_or(*least),
            _ => 0,
        };
        let bounds: Vec<usize> = grammar.rules.iter().map(sum).collect();
        assert!(bounds.iter().all(|bound| *bound <= LONGEST), "{given}");
        assert!(bounds.iter().sum::<usize>() <= most, "{bounds:?}");
    }
}

/// Schemas of every kind, small.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        Just(json!({"type": "number"})),
        Just(json!({})),
        (0..3_i64, 0..200_i64)
            .prop_map(|(least, more)| json!({"type": "integer", "minimum": least, "maximum": least + more})),
        Just(json!({"type": "integer"})),
        (0..3_usize, 0..4_usize)
            .prop_map(|(least, more)| json!({"type": "string", "minLength": least, "maxLength": least + more})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"enum": ["a", "\"\\\n", 3, true]})),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0..2_usize, 0..3_usize)
                .prop_map(|(items, least, more)| json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})),
            prop::collection::vec((inner.clone(), any::<bool>()), 0..4).prop_map(|fields| {
                let required: Vec<String> =
                    (0..fields.len()).filter(|at| fields[*at].1).map(|at| format!("key {at}")).collect();
                let properties: serde_json::Map<String, Value> =
                    fields.into_iter().enumerate().map(|(at, (schema, _))| (format!("key {at}"), schema)).collect();
                json!({"type": "object", "properties": properties, "required": required})
            }),
            inner.clone().prop_map(|values| json!({"type": "object", "additionalProperties": values})),
            prop::collection::vec(inner, 1..3).prop_map(|ways| json!({"anyOf": ways})),
        ]
    })
}

/// A value that fits.
fn value_of(schema: &Schema, rng: &mut Rng) -> Value {
    let mut pick = |count: usize| (rng.fraction() * count as f64) as usize;
    if schema.nullable && pick(3) == 0 {
        return Value::Null;
    }
    match &schema.kind {
        Kind::Null => Value::Null,
        Kind::Boolean => json!(pick(2) == 0),
        Kind::Any => [json!(null), json!([1, "x"]), json!({"a": {"b": -0.5}})][pick(3)].clone(),
        Kind::Integer { minimum, maximum } => {
            let (least, most) = (minimum.unwrap_or(-1_000_000), maximum.unwrap_or(1_000_000));
            json!(least + pick((most - least + 1) as usize) as i64)
        }
        Kind::Number { .. } => json!([0.0, -1.5, 1e-300, 1.6e308, f64::MIN_POSITIVE, 123_456_789.125][pick(6)]),
        Kind::String { min_length, max_length } => {
            let (least, most) = (min_length.unwrap_or(0), max_length.unwrap_or(5));
            let count = least + pick(most - least + 1);
            json!((0..count).map(|_| ['a', '"', '\\', '\n', '\u{1}', '\u{7f}', 'é', '🦀'][pick(8)]).collect::<String>())
        }
        Kind::Choice(values) => values[pick(values.len())].clone(),
        Kind::Array { items, min_items, max_items } => {
            let (least, most) = (min_items.unwrap_or(0), max_items.unwrap_or(3));
            let count = least + pick(most - least + 1);
            (0..count).map(|_| value_of(items, rng)).collect()
        }
        Kind::Tuple(places) => places.iter().map(|place| value_of(place, rng)).collect(),
        Kind::Object(fields) => {
            let mut object = serde_json::Map::new();
            for field in fields {
                if field.required || rng.fraction() < 0.5 {
                    object.insert(field.key.clone(), value_of(&field.schema, rng));
                }
            }
            object.into()
        }
        Kind::Map(values) => {
            let count = pick(3);
            (0..count).map(|at| (format!("k\"{at}"), value_of(values, rng))).collect::<serde_json::Map<_, _>>().into()
        }
        Kind::OneOf(ways) => {
            let at = pick(ways.len());
            value_of(&ways[at], rng)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_value_that_fits_can_be_written(given in any_schema(), seed: u64) {
        let schema = schema(&given);
        let value = value_of(&schema, &mut Rng::new(seed, 0));
        prop_assert_eq!(schema.check(&value), Ok(()));
        let grammar = Grammar::of(&schema);
        // A control character that JSON may hold as it is can still be written in another way.
        let text = value.to_string().replace('\u{7f}', "\\u007f");
        prop_assert!(grammar.derives(&text), "{}: {}\n{}", given, text, grammar);
    }

    #[test]
    fn whatever_can_be_written_is_json_of_the_right_shape(given in any_schema(), seed: u64) {
        let schema = schema(&given);
        let grammar = Grammar::of(&schema);
        let mut text = String::new();
        grammar.write(&grammar.rules[0], &mut Rng::new(seed, 1), 0, &mut text);
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| TestCaseError::fail(format!("{given}: {text}: {error}\n{grammar}")))?;
        prop_assert_eq!(schema.check(&value), Ok(()), "{}: {}", given, text);
    }
}
