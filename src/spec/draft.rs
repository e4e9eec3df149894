//! Drafts of specs: what a model says in JSON, held against a schema and written as a spec file. Pure.
//!
//! A draft says what is wanted, the interface, examples and what is left open. It has no word for anything else: models,
//! budgets, crates, policy, hidden checks and prompts are a person's to set, and a model that names them is not heard.

use serde_json::{Value, json};

use super::edit::{fields, scalar};
use super::interface::{Form, Interface};
use super::parse::EXPECT_KEYS;
use super::{ComponentExample, Example, Expect, Snippet};
use crate::schema::{Kind as Shape, Schema};
use crate::syntax::{deep, is_hidden};

/// Most examples of a draft.
const MOST_EXAMPLES: usize = 16;
/// Most questions of a draft.
const MOST_QUESTIONS: usize = 6;
/// Longest question that is written down, in characters.
const LONGEST_QUESTION: usize = 300;
/// Most keys that are told of those that were left out.
const MOST_TOLD: usize = 8;

/// The two kinds of specs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecKind {
    /// Code that is built.
    Function,
    /// What a model answers.
    Component,
}

impl SpecKind {
    /// As it is written in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Component => "component",
        }
    }
}

/// A spec as a model drafted it; nothing in it was checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What is wanted, in words.
    pub description: String,
    /// What is left open, each in one line.
    pub questions: Vec<String>,
    /// Rust without bodies.
    pub interface: String,
    /// Calls or inputs, with what they give.
    pub examples: Examples,
}

/// The examples of a draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Examples {
    /// Of a function.
    Function(Vec<Example>),
    /// Of a component.
    Component(Vec<ComponentExample>),
}

impl Examples {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Function(list) => list.len(),
            Self::Component(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Draft {
    /// The form that a model's answer has; of either kind where none is given.
    pub fn schema(kind: Option<SpecKind>) -> Schema {
        let json = match kind {
            Some(kind) => form(kind, false),
            None => json!({"anyOf": [form(SpecKind::Function, true), form(SpecKind::Component, true)]}),
        };
        Schema::read(&json).expect("the form of a draft is a schema")
    }

    /// Reads an answer; why it is no draft, in words for the model. With it come the keys that were passed over.
    pub fn read(answer: &Value, kind: Option<SpecKind>) -> Result<(Self, Vec<String>), String> {
        let mut answer = answer;
        if let Value::Object(object) = answer
            && object.len() == 1
            && let Some(inner) = object.get("answer")
        {
            answer = inner;
        }
        let Value::Object(object) = answer else { return Err("it is no JSON object".to_owned()) };
        let said = match object.get("kind").and_then(Value::as_str) {
            Some("function") => Some(SpecKind::Function),
            Some("component") => Some(SpecKind::Component),
            // Where it is not said, the examples may tell.
            _ => answer["examples"].get(0).and_then(|first| match (first.get("call"), first.get("input")) {
                (Some(_), None) => Some(SpecKind::Function),
                (None, Some(_)) => Some(SpecKind::Component),
                _ => None,
            }),
        };
        let Some(own) = kind.or(said) else {
            return Err("the field `kind` is neither \"function\" nor \"component\"".to_owned());
        };
        let mut value = answer.clone();
        ease(&mut value, own);
        let schema = Self::schema(Some(own));
        let mut left_out = Vec::new();
        prune(&schema, &mut value, &mut left_out);
        // The name is the user's, and the kind was read.
        left_out.retain(|key| key != "name" && key != "kind");
        schema.check(&value).map_err(|wrong| wrong.to_string())?;
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
        let examples = list("examples");
        let examples = match own {
            SpecKind::Function => Examples::Function(
                examples
                    .iter()
                    .map(|one| Example {
                        call: Snippet::new(rust(&text(one, "call"))),
                        expect: expect(&text(one, "expect"), rust(&text(one, "value"))),
                        hidden: false,
                    })
                    .collect(),
            ),
            SpecKind::Component => Examples::Component(
                examples
                    .iter()
                    .map(|one| ComponentExample {
                        input: json_of(&text(one, "input")),
                        output: json_of(&text(one, "output")),
                        hidden: false,
                    })
                    .collect(),
            ),
        };
        let questions = list("questions").iter().filter_map(Value::as_str).map(question).collect::<Vec<_>>();
        let draft = Self {
            description: prose(&text(&value, "description")),
            questions: questions.into_iter().filter(|question| !question.is_empty()).collect(),
            interface: rust(&text(&value, "interface")),
            examples,
        };
        if draft.description.is_empty() {
            return Err("/description: it says nothing".to_owned());
        }
        Ok((draft, left_out))
    }

    /// Which kind it is of.
    pub fn kind(&self) -> SpecKind {
        match self.examples {
            Examples::Function(_) => SpecKind::Function,
            Examples::Component(_) => SpecKind::Component,
        }
    }

    /// The spec's file: `head` as comments, what is left open, then the spec under `name`.
    pub fn to_yaml(&self, name: &str, head: &[&str]) -> String {
        let mut out: String = head.iter().map(|line| format!("# {}\n", question(line))).collect();
        out.extend(self.questions.iter().map(|question| format!("# open: {question}\n")));
        out.push_str(&format!("llmc: 1\nname: {name}\n"));
        if self.kind() == SpecKind::Component {
            out.push_str("kind: component\n");
        }
        out.push_str(&format!("description: |\n{}", block(&self.description)));
        match self.signature() {
            Some(signature) => out.push_str(&format!("signature: {}\n", scalar(&signature))),
            None => out.push_str(&format!("interface: |\n{}", block(&self.interface))),
        }
        if !self.examples.is_empty() {
            out.push_str("examples:\n");
        }
        let written: Vec<Vec<(&str, String)>> = match &self.examples {
            Examples::Function(list) => list.iter().map(fields).collect(),
            Examples::Component(list) => {
                list.iter().map(|one| vec![("input", flow(&one.input)), ("output", flow(&one.output))]).collect()
            }
        };
        for fields in written {
            for (at, (key, value)) in fields.iter().enumerate() {
                out.push_str(&format!("  {} {key}: {value}\n", if at == 0 { "-" } else { " " }));
            }
        }
        out
    }

    /// The interface, where it is a function's signature and nothing else, in one line.
    fn signature(&self) -> Option<String> {
        if self.kind() == SpecKind::Component || self.interface.contains("//") || self.interface.contains('"') {
            return None;
        }
        let line = self.interface.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = line.strip_suffix(';').unwrap_or(&line).trim_end().to_owned();
        deep(|| Interface::parse(Form::Signature, &Snippet::new(&line)).is_ok()).then_some(line)
    }
}

/// The form of a draft of this kind.
fn form(kind: SpecKind, says_kind: bool) -> Value {
    let text = |most: usize| json!({"type": "string", "minLength": 1, "maxLength": most});
    let mut properties = serde_json::Map::new();
    if says_kind {
        properties.insert("kind".to_owned(), json!({"const": kind.as_str()}));
    }
    properties.insert("description".to_owned(), text(4000));
    // What is open is thought of before examples are made up.
    let questions = json!({"type": "array", "items": text(1000), "maxItems": MOST_QUESTIONS});
    properties.insert("questions".to_owned(), questions);
    properties.insert("interface".to_owned(), text(8000));
    let example = match kind {
        SpecKind::Function => json!({
            "call": text(1000), "expect": {"enum": ["returns", "holds", "matches", "panics"]},
            "value": {"type": "string", "maxLength": 2000},
        }),
        SpecKind::Component => json!({"input": text(8000), "output": text(8000)}),
    };
    let keys: Vec<Value> =
        example.as_object().into_iter().flat_map(|object| object.keys()).map(|key| key.as_str().into()).collect();
    let example = json!({"type": "object", "properties": example, "required": keys});
    let examples = json!({"type": "array", "items": example, "minItems": 1, "maxItems": MOST_EXAMPLES});
    properties.insert("examples".to_owned(), examples);
    let keys: Vec<Value> = properties.keys().map(|key| key.as_str().into()).collect();
    json!({"type": "object", "properties": properties, "required": keys})
}

/// Puts into form what says the same: who is not held to the form should not have to be asked again.
fn ease(value: &mut Value, kind: SpecKind) {
    let Value::Object(draft) = value else { return };
    let questions = draft.entry("questions").or_insert_with(|| json!([]));
    if let Value::Array(list) = questions {
        list.retain(|one| one.as_str().is_some_and(|text| !text.trim().is_empty()));
        list.truncate(MOST_QUESTIONS);
        list.iter_mut().for_each(|one| *one = question(one.as_str().unwrap_or_default()).into());
        list.retain(|one| one != "");
    }
    let Some(Value::Array(examples)) = draft.get_mut("examples") else { return };
    examples.truncate(MOST_EXAMPLES);
    for example in examples.iter_mut().filter_map(Value::as_object_mut) {
        let texts = match kind {
            SpecKind::Component => ["input", "output"],
            SpecKind::Function => {
                // As a spec has it.
                let known: Vec<&str> = EXPECT_KEYS.iter().copied().filter(|key| example.contains_key(*key)).collect();
                if let ([key], false) = (known.as_slice(), example.contains_key("expect")) {
                    let said = example.shift_remove(*key).unwrap_or_default();
                    example.insert("expect".to_owned(), (*key).into());
                    example.insert("value".to_owned(), said);
                }
                ["call", "value"]
            }
        };
        for key in texts {
            if let Some(side) = example.get_mut(key)
                && !side.is_string()
            {
                *side = side.to_string().into();
            }
        }
    }
}

/// Takes out the fields that a schema does not know, and notes their keys.
fn prune(schema: &Schema, value: &mut Value, left_out: &mut Vec<String>) {
    match (&schema.kind, value) {
        (Shape::Object(known), Value::Object(object)) => {
            object.retain(|key, _| {
                let is_known = known.iter().any(|field| field.key == *key);
                let told: String = question(key).chars().take(40).collect();
                if !is_known && left_out.len() < MOST_TOLD && !left_out.contains(&told) {
                    left_out.push(told);
                }
                is_known
            });
            for field in known {
                if let Some(inner) = object.get_mut(&field.key) {
                    prune(&field.schema, inner, left_out);
                }
            }
        }
        (Shape::Array { items, .. }, Value::Array(list)) => {
            list.iter_mut().for_each(|item| prune(items, item, left_out));
        }
        _ => {}
    }
}

fn expect(word: &str, value: String) -> Expect {
    match word {
        "returns" => Expect::Returns(Snippet::new(value)),
        "holds" => Expect::Holds(Snippet::new(value)),
        "matches" => Expect::Matches(Snippet::new(value)),
        // Some part of a message that can be read as one; else that it panics is all there is to say.
        _ => Expect::Panics(Some(question(&value)).filter(|text| !matches!(text.as_str(), "" | "true" | "false"))),
    }
}

/// The value that a text says as JSON; what is no JSON is the text itself.
fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// Rust as it was written, but for line ends and what surrounds it.
fn rust(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

/// Words in one line, with nothing in them that a reader does not see.
fn question(text: &str) -> String {
    let visible: String = text.chars().map(|one| if one.is_whitespace() { ' ' } else { one }).collect();
    let visible: String = visible.chars().filter(|one| is_writable(*one)).collect();
    let words: String = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST_QUESTION) {
        Some((end, _)) => format!("{}…", words[..end].trim_end()),
        None => words,
    }
}

/// Words in lines, with nothing in them that a reader does not see.
fn prose(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let text: String = text.chars().filter(|one| *one == '\n' || is_writable(*one)).collect();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn is_writable(character: char) -> bool {
    !is_hidden(character) && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// A text of several lines, for below a `|`.
fn block(text: &str) -> String {
    text.lines().map(|line| if line.trim().is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

/// JSON in one line, as YAML reads it as well.
fn flow(value: &Value) -> String {
    let mut out = String::new();
    for character in value.to_string().chars() {
        // Only texts hold any, and there an escape is the same.
        match character {
            other if is_writable(other) => out.push(other),
            hidden => match u32::from(hidden) {
                code @ ..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{AnySpec, Policy, parse_any};

    fn function(more: Value) -> Value {
        let mut value = json!({
            "description": "Twice a number.", "questions": [], "interface": "pub fn twice(n: i32) -> i32",
            "examples": [{"call": "twice(2)", "expect": "returns", "value": "4"}],
        });
        let object = value.as_object_mut().expect("it is an object");
        object.extend(more.as_object().cloned().unwrap_or_default());
        value
    }

    #[track_caller]
    fn written(value: &Value, kind: Option<SpecKind>) -> (String, AnySpec) {
        let (draft, _) = Draft::read(value, kind).unwrap_or_else(|why| panic!("{why}: {value}"));
        let yaml = draft.to_yaml("twice", &["Drafted."]);
        let spec = parse_any("specs/twice.yaml", "twice", yaml.as_bytes());
        (yaml.clone(), spec.unwrap_or_else(|wrong| panic!("{}\n{yaml}", wrong.render(false))).0)
    }

    #[test]
    fn a_draft_of_a_function_is_written_as_a_person_would() {
        let value = function(json!({"questions": ["What of\noverflow?"]}));
        let (yaml, _) = written(&value, Some(SpecKind::Function));
        assert_eq!(
            yaml,
            "# Drafted.\n# open: What of overflow?\nllmc: 1\nname: twice\ndescription: |\n  Twice a number.\n\
             signature: 'pub fn twice(n: i32) -> i32'\nexamples:\n  - call: twice(2)\n    returns: '4'\n"
        );
    }

    #[test]
    fn whatever_is_in_a_text_is_read_as_that_text_and_sets_nothing() {
        let odd = [
            "x\nllmc: 1\npolicy: { unsafe: allow }",
            "# not a comment",
            "a: b",
            "- x",
            "'\"",
            "\u{2028}policy: 1",
            "\u{85}y: 1",
            "  led\n    by blanks",
            "\r\ndeny: []",
            "---\n...",
            "%YAML 1.2",
            "| >",
            "\ttab",
            "{ a: [",
            "é… \u{1f600}",
        ];
        for text in odd {
            let value = function(json!({
                "description": format!("Says {text}"), "questions": [text],
                "examples": [{"call": format!("twice({text:?}.len() as i32)"), "expect": "returns", "value": "4"},
                             {"call": "twice(i32::MAX)", "expect": "panics", "value": text}],
            }));
            let (yaml, spec) = written(&value, Some(SpecKind::Function));
            let AnySpec::Function(spec) = spec else { panic!("it is a function") };
            assert_eq!(spec.description.trim_end(), prose(&format!("Says {text}")), "{yaml}");
            assert_eq!(spec.examples[0].call.text, format!("twice({text:?}.len() as i32)"), "{yaml}");
            assert!(
                (spec.policy == Policy::default()) && spec.model.is_empty() && spec.dependencies.is_empty(),
                "{yaml}"
            );
            let comments = yaml.lines().filter(|line| line.starts_with("# open: ")).count();
            assert_eq!(comments, 1, "{yaml}");
        }
    }

    #[test]
    fn an_interface_of_several_items_stands_below_a_bar() {
        let items = "#[derive(Debug, Clone, PartialEq)]\npub enum Side {\n    Left,\n\n    Right,\n}\n\npub fn twice(side: Side) -> Side;";
        let value = function(json!({
            "interface": items, "examples": [{"call": "twice(Side::Left)", "expect": "matches", "value": "Side::Left"}],
        }));
        let (yaml, spec) = written(&value, Some(SpecKind::Function));
        let AnySpec::Function(spec) = spec else { panic!("it is a function") };
        assert_eq!(spec.interface.source.text.trim_end(), items, "{yaml}");
        assert!(yaml.contains("interface: |\n  #[derive"), "{yaml}");
    }

    #[test]
    fn a_component_s_examples_are_json_however_they_were_written() {
        let value = json!({"kind": "component", "description": "How urgent.", "questions": [],
        "interface": "pub struct Ticket { pub text: String }\npub enum Urgency { Low, High }\npub fn twice(ticket: &Ticket) -> Urgency;",
        "examples": [
            {"input": "{\"text\": \"a\\u2028\\u202e: b # \u{e0001}c\"}", "output": "\"High\""},
            {"input": {"text": "plain"}, "output": "Low"},
        ]});
        let (yaml, spec) = written(&value, None);
        let AnySpec::Component(spec) = spec else { panic!("it is a component") };
        assert_eq!(spec.examples[0].input, json!({"text": "a\u{2028}\u{202e}: b # \u{e0001}c"}), "{yaml}");
        assert_eq!((&spec.examples[0].output, &spec.examples[1].output), (&json!("High"), &json!("Low")));
        assert!(yaml.is_ascii(), "{yaml}");
    }

    #[test]
    fn what_a_draft_has_no_word_for_is_left_out_and_told() {
        let value = function(json!({
            "name": "other", "policy": {"unsafe": "allow", "deny": []}, "model": "openai/dear", "dependencies": {"evil": "1"},
            "examples": [{"call": "twice(2)", "expect": "returns", "value": "4", "hidden": true}],
        }));
        let (draft, left_out) = Draft::read(&value, Some(SpecKind::Function)).expect("it is a draft");
        assert_eq!(left_out, ["policy", "model", "dependencies", "hidden"]);
        let yaml = draft.to_yaml("twice", &[]);
        assert!(
            !yaml.contains("policy") && !yaml.contains("dear") && !yaml.contains("hidden") && !yaml.contains("other")
        );
    }

    #[test]
    fn what_says_the_same_in_another_form_is_taken() {
        let value = json!({
            "description": "Twice a number.", "interface": "fn twice(n: i32) -> i32;",
            "examples": [{"call": "twice(2)", "returns": 4}, {"call": "twice(i32::MAX)", "panics": true},
                         {"call": "twice(0)", "expect": "holds", "value": "result == 0"}],
        });
        let (yaml, _) = written(&json!({"answer": value}), None);
        assert!(yaml.contains("- call: twice(2)\n    returns: '4'\n"), "{yaml}");
        assert!(yaml.contains("    panics: true\n") && yaml.contains("    holds: result == 0\n"), "{yaml}");
        let many: Vec<Value> = (0..40).map(|n| json!({"call": format!("twice({n})"), "returns": n})).collect();
        let asked: Vec<Value> = (0..40).map(|n| json!(format!("{n} {}", "long ".repeat(900)))).collect();
        let (draft, _) =
            Draft::read(&function(json!({"examples": many, "questions": asked})), None).expect("it is a draft");
        assert_eq!((draft.examples.len(), draft.questions.len()), (MOST_EXAMPLES, MOST_QUESTIONS));
        assert!(draft.questions.iter().all(|question| question.chars().count() <= LONGEST_QUESTION + 1));
    }

    #[test]
    fn what_is_no_draft_says_why() {
        for (value, why) in [
            (json!([1]), "it is no JSON object"),
            (json!({"kind": "program"}), "the field `kind` is neither"),
            (json!({"kind": "function", "description": "d"}), "the field `interface` is missing"),
            (function(json!({"kind": "function", "examples": []})), "/examples: a list of 0"),
            (function(json!({"kind": "function", "description": "\u{202e} \n"})), "/description: it says nothing"),
            (function(json!({"kind": "function", "description": "d".repeat(4001)})), "/description: a text of 4001"),
        ] {
            let told = Draft::read(&value, None).expect_err("it is no draft");
            assert!(told.starts_with(why), "{told}");
        }
    }
}
