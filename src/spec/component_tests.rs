//! Tests of reading components: what is said about mistakes, and what a good one becomes.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::harness::{Decision, Vote};
use crate::schema::Kind;

/// A component that has every key, and no mistake.
const FULL: &str = r##"llmc: 1
name: triage
kind: component
description: Says whose a ticket is.
input:
  type: object
  properties:
    subject: { type: string, minLength: 1 }
    body: { type: string }
    age: { type: [integer, "null"], minimum: 0 }
  required: [subject, body]
output:
  title: Area
  enum: [billing, technical, other]
examples:
  - input: { subject: Refund, body: "Where is it?" }
    output: billing
  - input: { subject: "500", body: It broke., age: ~ }
    output: technical
    hidden: true
tools: [lookup, text.words]
tool_errors: caller
model: [openai/gpt-5-mini, embedded/0.5b]
sampling: { temperature: 0.2, top_p: 0.9, max_tokens: 200, seed: 7 }
budget: { tokens: 4000, usd: 0.01, seconds: 20 }
prompt: { system: Be terse., template: answer }
expect: { agree: 0.9, valid: 0.99, judge: output == expected, max_latency: 2s, max_cost: 0.001 }
approval: ask
timeout: 500ms
retries: 2
vote: { agree: 2, of: 3 }
concurrency: 8
cache: true
"##;

const HEAD: &str = "llmc: 1\nname: f\nkind: component\ndescription: d\n";
const SIDES: &str = "input: { type: string }\noutput: { type: integer }\n";

fn good(text: &str, name: &str) -> ComponentSpec {
    match parse_any(&format!("specs/{name}.yaml"), name, text.as_bytes()) {
        Ok((AnySpec::Component(spec), warnings)) => {
            assert!(warnings.list.is_empty(), "{}", warnings.render(false));
            *spec
        }
        Ok(_) => panic!("it is a function"),
        Err(mistakes) => panic!("{}", mistakes.render(false)),
    }
}

/// The mistakes, a line each.
fn said(text: &str) -> Vec<String> {
    let list = match parse_any("specs/f.yaml", "f", text.as_bytes()) {
        Ok((_, warnings)) => warnings.list,
        Err(mistakes) => mistakes.list,
    };
    let line = |one: &Diagnostic| {
        let help = one.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}: {}{help}", one.line, one.column, one.severity.as_str(), one.message)
    };
    list.iter().map(line).collect()
}

#[test]
fn every_key_is_read() {
    let spec = good(FULL, "triage");
    assert_eq!(spec.description, "Says whose a ticket is.");
    assert_eq!(spec.output.kind, Kind::Choice(vec![json!("billing"), json!("technical"), json!("other")]));
    let Kind::Object(fields) = &spec.input.kind else { panic!("{:?}", spec.input) };
    let keys: Vec<_> = fields.iter().map(|field| (field.key.as_str(), field.required, field.schema.nullable)).collect();
    assert_eq!(keys, [("subject", true, false), ("body", true, false), ("age", false, true)]);
    assert_eq!(spec.examples.len(), 2);
    assert_eq!(spec.examples[1].input, json!({"subject": "500", "body": "It broke.", "age": null}));
    assert!(spec.examples[1].hidden && !spec.examples[0].hidden);
    assert_eq!(spec.tools, ["lookup", "text.words"]);
    assert_eq!(spec.tool_errors, ToolErrors::Caller);
    assert_eq!(spec.model, ["openai/gpt-5-mini", "embedded/0.5b"]);
    let sampling = &spec.sampling;
    assert_eq!(
        (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed),
        (Some(0.2), Some(0.9), Some(200), Some(7))
    );
    assert_eq!((spec.budget.tokens, spec.budget.usd, spec.budget.seconds), (Some(4000), Some(0.01), Some(20.0)));
    assert_eq!((spec.prompt.system.as_deref(), spec.prompt.template.as_deref()), (Some("Be terse."), Some("answer")));
    let expect = Expectations {
        agree: Some(0.9),
        valid: Some(0.99),
        judge: Some("output == expected".into()),
        max_latency: Some(Duration::from_secs(2)),
        max_cost: Some(0.001),
    };
    assert_eq!(spec.expect, expect);
    assert_eq!((spec.approval, spec.timeout, spec.retries), (Decision::Ask, Some(Duration::from_millis(500)), 2));
    assert_eq!((spec.vote, spec.concurrency, spec.cache), (Some(Vote { agree: 2, of: 3 }), Some(8), true));
    let plain = good(&format!("{HEAD}{SIDES}"), "f");
    assert_eq!((plain.approval, plain.timeout, plain.retries, plain.cache), (Decision::Allow, None, 0, false));
    assert!(plain.types.is_none() && plain.model.is_empty() && plain.expect == Expectations::default());
}

#[test]
fn the_canonical_form_is_what_is_said_and_not_how_it_is_laid_out() {
    let spec = good(FULL, "triage");
    let other = FULL.replace("input:\n", "# a comment\ninput:\n").replace("timeout: 500ms", "timeout: 0.5s");
    assert_eq!(good(&other, "triage").canonical(), spec.canonical());
    for (from, to) in [
        ("terse", "brief"),
        ("2s", "3s"),
        ("500ms", "501ms"),
        ("of: 3", "of: 4"),
        ("minLength: 1", "minLength: 2"),
        ("hidden: true", "hidden: false"),
        ("approval: ask", "approval: deny"),
        ("retries: 2", "retries: 3"),
        ("cache: true", "cache: false"),
        ("concurrency: 8", "concurrency: 9"),
        ("lookup, ", ""),
    ] {
        assert!(FULL.contains(from), "{from}");
        assert_ne!(good(&FULL.replace(from, to), "triage").canonical(), spec.canonical(), "{from}");
    }
}

#[test]
fn each_mistake_is_told_at_its_place() {
    for (body, told) in [
        (
            "",
            vec![
                "1:1 error: missing `input` (a JSON Schema, for example `{ type: string }`; or Rust types, as `interface`)",
                "1:1 error: missing `output` (a JSON Schema, for example `{ type: string }`; or Rust types, as `interface`)",
            ],
        ),
        (
            "input: { type: strng }\noutput: { typ: string, maxLenght: 3 }\n",
            vec![
                "5:16 error: `input`: \"strng\" is no type; there are boolean, integer, number, string, array, object or null",
                "6:11 error: `output`: the keyword `typ` is not supported here (did you mean `type`?)",
                "6:24 error: `output`: the keyword `maxLenght` is not supported here (did you mean `maxLength`?)",
            ],
        ),
        (
            "input:\n  type: object\n  properties:\n    a: { $ref: \"#/$defs/A\" }\n  $defs:\n    A: { type: array }\noutput: yes\n",
            vec![
                "10:8 error: `input`: a list needs `items`: what each of them is",
                "11:9 error: `output` must be a JSON Schema; found the text `yes` (for example `output: { type: string }`)",
            ],
        ),
        (
            "interface: \"pub fn f(x: u8) -> u8;\"\ninput: { type: string }\n",
            vec!["6:1 error: `interface` says what is taken and given; `input` and `output` can't, too"],
        ),
    ] {
        assert_eq!(said(&format!("{HEAD}{body}")), told, "{body}");
    }
    for (more, told) in [
        ("exmples: []", "7:1 error: unknown key `exmples` (did you mean `examples`?)"),
        ("signature: x", "7:1 error: unknown key `signature` (the keys here: `llmc`"),
        (
            "examples: [{ input: 5, output: 5 }]",
            "7:21 error: `input` does not fit its schema: 5 where a string is wanted",
        ),
        ("examples: [{ input: a, output: 1.5 }]", "7:32 error: `output` does not fit its schema: 1.5 where a whole"),
        ("examples: [{ input: a }]", "7:12 error: the example has no `output`"),
        ("examples: [{ input: a, output: 99999999999999999999 }]", "7:32 error: 99999999999999999999 is beyond"),
        ("examples: [{ input: .inf, output: 1 }]", "7:21 error: `.inf` is no number of JSON"),
        (
            "examples: [{ input: a, output: 1, hiden: true }]",
            "7:35 error: unknown key `hiden` (did you mean `hidden`?)",
        ),
        (
            "examples: [{ input: a, output: 1 }, { input: a, output: 2 }]",
            "7:37 warning: another example has the same input, and another output",
        ),
        (
            "tool_errors: caller",
            "7:1 error: `tool_errors` says who sees what a tool did wrong, and there are no `tools`",
        ),
        ("tools: []\ntool_errors: model", "8:1 error: `tool_errors` says who sees what a tool did wrong"),
        (
            "tools: [g]\ntool_errors: me",
            "8:14 error: `tool_errors` must be one of `model`, `caller`; found the text `me`",
        ),
        ("tools: [f]", "7:9 error: `tools` names the component itself"),
        ("tools: [f.g]", "7:9 error: `tools` names the component itself"),
        ("tools: [a-b]", "7:9 error: the spec's name `a-b` is not a Rust identifier"),
        ("tools: [a, a]", "7:12 error: `a` is listed twice in `tools`"),
        ("model: gpt", "7:8 error: `gpt` names no provider"),
        ("sampling: { samples: 3 }", "7:13 error: unknown key `samples`"),
        ("prompt: { shots: [a] }", "7:11 error: unknown key `shots`"),
        ("expect: { agree: 0.9 }", "7:11 error: `agree` has nothing to agree with: the component has no examples"),
        ("examples: []\nexpect: { agree: 0.9 }", "8:11 error: `agree` has nothing to agree with"),
        ("expect: { valid: 1 }", "7:18 error: `valid` must be a share above 0 and below 1; found the number 1"),
        (
            "expect: { judge: output ==, agree: 0.9 }\nexamples: [{ input: a, output: 1 }]",
            "7:27 error: `judge`: the Rust ends too early",
        ),
        (
            "expect: { judge: output > 1 }",
            "7:11 error: `judge` says which answers are right, and nothing says how many",
        ),
        (
            "expect: { max_latency: 2 }",
            "7:24 error: `max_latency` must be a time such as `500ms`, `2s` or `1m`; found the number 2 (say of what: `2s`)",
        ),
        ("expect: { max_cost: 0 }", "7:21 error: `max_cost` must be US dollars, above 0"),
        ("expect: { max_latncy: 2s }", "7:11 error: unknown key `max_latncy` (did you mean `max_latency`?)"),
        ("timeout: 0s", "7:10 error: `timeout` must be a time such as"),
        ("timeout: 3sec", "7:10 error: `timeout` must be a time such as"),
        ("timeout: [1s]", "7:10 error: `timeout` must be a time such as"),
        ("approval: maybe", "7:11 error: `approval` must be one of `allow`, `ask`, `deny`; found the text `maybe`"),
        ("retries: 101", "7:10 error: `retries` must be a whole number from 0 to 100"),
        ("vote: { agree: 3, of: 2 }", "7:7 error: 2 answers can't be the same 3"),
        ("vote: { of: 3 }", "7:7 error: `vote` has no `agree`"),
        ("concurrency: 0", "7:14 error: `concurrency` must be a whole number from 1 to 100000"),
        ("cache: 1", "7:8 error: `cache` must be `true` or `false`"),
    ] {
        let said = said(&format!("{HEAD}{SIDES}{more}\n"));
        assert!(said.iter().any(|one| one.starts_with(told)), "{more}: {said:#?}");
        assert_eq!(said.len(), 1, "{more}: {said:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = FULL
        .replace("ask", "aks")
        .replace("500ms", "soon")
        .replace("agree: 0.9", "agree: 9")
        .replace("minLength: 1", "minLength: a");
    let told = said(&text.replace("name: triage", "name: f"));
    let lines: Vec<&str> = told.iter().map(|one| one.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["8:41", "27:18", "28:11", "29:10"], "{told:#?}");
}

/// The schemas that an interface says, as JSON.
fn sides(interface: &str) -> (Value, Value) {
    let text = format!("{HEAD}interface: |\n{}", indented(interface));
    let spec = good(&text, "f");
    (spec.input.to_json(), spec.output.to_json())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[test]
fn rust_types_are_what_serde_makes_of_them() {
    let (input, output) = sides(
        "/// A ticket.\n\
         #[derive(Debug)]\n\
         #[serde(rename_all = \"camelCase\")]\n\
         struct Ticket { /// Its subject.\n subject_line: String, age: Option<u8>, tags: Vec<Tag>, at: (i64, f64) }\n\
         enum Tag { Hot, #[serde(rename = \"so-so\")] SoSo }\n\
         struct Id(u64);\n\
         enum Action { Close, Reopen, Refund { cents: u32 }, Move(Id), Both(bool, char) }\n\
         pub fn f(ticket: &Ticket) -> BTreeMap<String, Action>;\n",
    );
    assert_eq!(
        input,
        json!({
            "title": "Ticket", "description": "A ticket.", "type": "object",
            "properties": {
                "subjectLine": {"description": "Its subject.", "type": "string"},
                "age": {"type": ["integer", "null"], "minimum": 0, "maximum": 255},
                "tags": {"type": "array", "items": {"title": "Tag", "enum": ["Hot", "so-so"]}},
                "at": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "number"}], "minItems": 2, "maxItems": 2},
            },
            "required": ["subjectLine", "age", "tags", "at"],
            "additionalProperties": false,
        })
    );
    let variant = |name: &str, inner: Value| json!({"title": name, "type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": false});
    let cents = json!({
        "type": "object", "properties": {"cents": {"type": "integer", "minimum": 0, "maximum": u32::MAX}},
        "required": ["cents"], "additionalProperties": false,
    });
    let both = json!({
        "type": "array", "prefixItems": [{"type": "boolean"}, {"type": "string", "minLength": 1, "maxLength": 1}],
        "minItems": 2, "maxItems": 2,
    });
    assert_eq!(
        output,
        json!({"type": "object", "additionalProperties": {
            "title": "Action",
            "anyOf": [
                {"enum": ["Close", "Reopen"]},
                variant("Refund", cents),
                variant("Move", json!({"title": "Id", "type": "integer", "minimum": 0})),
                variant("Both", both),
            ],
        }})
    );
    assert_eq!(sides("pub fn f(x: &[&str]) -> Option<bool>;").0, json!({"type": "array", "items": {"type": "string"}}));
}

#[test]
fn given_types_are_public_and_have_serdes_derives() {
    let text = format!(
        "{HEAD}interface: |\n{}",
        indented(
            "/// It.\n#[derive(Eq, serde::Serialize)]\nstruct A { x: u8 }\nenum B { C(u8), D }\npub fn f(a: &A) -> Vec<B>;"
        )
    );
    let types = good(&text, "f").types.unwrap();
    assert_eq!((types.input.as_str(), types.output.as_str()), ("A", "Vec<B>"));
    insta::assert_snapshot!(types.items, @r"
    /// It.
    #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub struct A {
        pub x: u8,
    }

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    pub enum B {
        C(u8),
        D,
    }
    ");
}

#[test]
fn mistakes_in_rust_types_are_told_at_their_place() {
    for (interface, told) in [
        ("struct A;", "6:3 error: `interface`: there is no function"),
        ("pub fn f() -> u8;", "6:10 error: `interface`: a component's function takes one argument"),
        ("pub fn f(a: u8, b: u8) -> u8;", "6:10 error: `interface`: a component's function takes one argument"),
        ("pub fn f(a: u8);", "6:10 error: `interface`: a component's function gives something"),
        ("pub fn g(a: u8) -> u8;", "6:10 error: the function is `g`, the spec is another"),
        ("pub fn f(a: u8) -> u8;\npub fn g(a: u8) -> u8;", "7:10 error: `interface`: a component is one function"),
        ("pub fn f<T>(a: u8) -> u8;", "6:10 error: `interface`: a component's function is plain"),
        ("pub fn f(a: u128) -> u8;", "6:15 error: `interface`: `u128` is not known here"),
        ("pub fn f(a: Foo) -> u8;", "6:15 error: `interface`: `Foo` is not known here"),
        ("pub fn f(a: u8) -> &str;", "6:22 error: `interface`: a reference has no meaning here"),
        ("pub fn f(a: HashMap<u8, u8>) -> u8;", "6:15 error: `interface`: a map's keys are `String`"),
        ("pub fn f(a: Option<Option<u8>>) -> u8;", "6:15 error: `interface`: an `Option` of what may be `null` itself"),
        (
            "struct A { b: Vec<B> }\nstruct B { a: Box<A> }\npub fn f(a: A) -> u8;",
            "7:21 error: `interface`: `A` holds itself",
        ),
        ("struct A { b: Foo }\npub fn f(a: u8) -> u8;", "6:17 error: `interface`: `Foo` is not known here"),
        ("struct A<T>(T);\npub fn f(a: u8) -> u8;", "6:10 error: `interface`: `A` has parameters"),
        (
            "#[serde(tag = \"x\")]\nenum A { B }\npub fn f(a: A) -> u8;",
            "6:11 error: `interface`: this attribute is not known here",
        ),
        (
            "#[serde(rename_all = \"kebab\")]\nenum A { B }\npub fn f(a: A) -> u8;",
            "6:24 error: `interface`: this attribute",
        ),
        ("#[derive(Foo)]\nstruct A;\npub fn f(a: A) -> u8;", "6:12 error: `interface`: only what std and serde derive"),
        ("enum A {}\npub fn f(a: A) -> u8;", "6:8 error: `interface`: `A` has no variants"),
        (
            "enum A { #[serde(rename = \"C\")] B, C }\npub fn f(a: A) -> u8;",
            "6:38 error: `interface`: two variants are `C`",
        ),
        (
            "struct Input(u8);\npub fn f(a: u8) -> u8;",
            "6:3 error: `interface`: `Input` is what the generated module calls",
        ),
        ("fn g() {}\npub fn f(a: u8) -> u8;", "6:3 error: `interface`: this has no meaning in a component"),
        ("pub fn f(a: ", "6:11 error: `interface`: not Rust"),
    ] {
        let said = said(&format!("{HEAD}interface: |\n{}", indented(interface)));
        assert!(said.iter().any(|one| one.starts_with(told)), "{interface}: {said:#?}");
    }
}

#[test]
fn a_function_is_no_component_and_the_other_way_round() {
    let Err(mistakes) = parse("specs/triage.yaml", "triage", FULL.as_bytes()) else { panic!("it is a component") };
    assert_eq!(mistakes.list[0].message, "this is a component; what is wanted here is a spec of `kind: function`");
    let function =
        "llmc: 1\nname: f\ndescription: d\nsignature: pub fn f() -> u8\nexamples: [{ call: f(), returns: 1 }]\n";
    assert!(matches!(parse_any("specs/f.yaml", "f", function.as_bytes()), Ok((AnySpec::Function(_), _))));
}

#[test]
fn every_example_in_the_documentation_is_a_good_component() {
    let text = include_str!("../../docs/components.md");
    let specs: Vec<&str> = text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(specs.len(), 2);
    for yaml in specs {
        good(yaml, "triage");
    }
    let tables = [
        component::COMPONENT_KEYS,
        component::COMPONENT_EXAMPLE_KEYS,
        component::COMPONENT_SAMPLING_KEYS,
        component::COMPONENT_PROMPT_KEYS,
        component::EXPECT_OF_KEYS,
        component::VOTE_KEYS,
        component::APPROVALS,
    ];
    for key in tables.iter().copied().flatten() {
        assert!(text.contains(&format!("`{key}`")) || text.contains(&format!("{key}:")), "{key} is not documented");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_change_to_a_good_component_makes_the_parser_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_usize, "[-a-z:{}()<>\\[\\]\"'#&*!|;,$/\n \té日]{0,3}"), 1..6)
    ) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (index, removed, inserted) in edits {
            let at = index.index(text.len());
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        let said = match parse_any("x.yaml", "triage", text.as_bytes()) {
            Ok((AnySpec::Component(spec), diagnostics)) => { spec.canonical(); diagnostics }
            Ok((_, diagnostics)) | Err(diagnostics) => diagnostics,
        };
        let lines: Vec<&str> = said.text.split('\n').collect();
        for d in &said.list {
            prop_assert!(d.line >= 1 && d.line <= lines.len(), "{d:?}");
            prop_assert!(d.column >= 1 && d.column <= lines[d.line - 1].chars().count() + 1, "{d:?}");
        }
        said.render(true);
    }

    #[test]
    fn no_types_make_the_reader_panic(text in "(pub |fn |struct |enum |A|Vec|Option|<|>|\\(|\\)|\\{|\\}|;|->|u8|&|f|:|,|#\\[serde\\(rename_all = \"camelCase\"\\)\\]|_|x|\n| ){0,30}") {
        let _ = crate::syntax::deep(|| rust_types::read(&text).map(|_| ()));
    }
}
