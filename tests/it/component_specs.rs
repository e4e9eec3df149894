//! Components in a workspace: what the commands make of them, and that the Rust written for them is right.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use llmc::freeze::{self, ArtifactInput, Module};
use llmc::schema::{Kind, Schema};
use llmc::spec::{self, AnySpec, ComponentSpec};
use llmc::types;
use serde_json::{Map, Value, json};

use super::env::TestEnv;

const TRIAGE: &str = "llmc: 1
name: triage
kind: component
description: Says whose a ticket is.
input:
  title: Ticket
  type: object
  properties:
    subject: { type: string, description: Its first line. }
    urgent: { type: boolean }
  required: [subject]
output: { title: Area, enum: [billing, technical, so-so] }
examples:
  - input: { subject: Refund? }
    output: billing
";

fn component(text: &str, name: &str) -> ComponentSpec {
    match spec::parse_any(&format!("specs/{name}.yaml"), name, text.as_bytes()) {
        Ok((AnySpec::Component(spec), _)) => *spec,
        Ok(_) => panic!("it is a function"),
        Err(mistakes) => panic!("{}", mistakes.render(false)),
    }
}

fn of_schema(schema: &Schema) -> ComponentSpec {
    let text = "llmc: 1\nname: c\nkind: component\ndescription: d\ninput: true\noutput: true\n";
    ComponentSpec { input: schema.clone(), ..component(text, "c") }
}

/// A number that looks random, from a state that it moves on.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn below(state: &mut u64, bound: usize) -> usize {
    usize::try_from(next(state) % bound as u64).unwrap()
}

const NAMES: [&str; 14] = [
    "Ticket",
    "string",
    "Option",
    "type",
    "",
    "日本",
    "a-b",
    "HTTPError",
    "2nd",
    "Input",
    "self",
    "x\"y\\z",
    "Vec",
    "fooBar",
];

/// A schema as JSON, with everything that there is.
fn any_schema(state: &mut u64, depth: usize) -> Value {
    let mut schema = match below(state, if depth == 0 { 7 } else { 13 }) {
        0 => json!({"type": "boolean"}),
        1 => match below(state, 4) {
            0 => json!({"type": "integer"}),
            1 => json!({"type": "integer", "minimum": 0}),
            2 => json!({"type": "integer", "maximum": 10}),
            _ => json!({"type": "integer", "minimum": -5, "maximum": 5}),
        },
        2 => json!({"type": "number"}),
        3 => json!({"type": "string"}),
        4 => json!({"enum": ["A", "a", "very-high", "", "self", "日本"]}),
        5 => match below(state, 4) {
            0 => json!({"enum": [1, -2, 3]}),
            1 => json!({"const": 2.5}),
            2 => json!({"enum": [true]}),
            _ => json!({"enum": [1, "one", false]}),
        },
        6 => [json!(true), json!({"type": "null"})][below(state, 2)].clone(),
        7 => json!({"type": "array", "items": any_schema(state, depth - 1)}),
        8 => {
            let places: Vec<Value> = (0..below(state, 4)).map(|_| any_schema(state, depth - 1)).collect();
            json!({"type": "array", "prefixItems": places, "items": false})
        }
        9 => json!({"type": "object", "additionalProperties": any_schema(state, depth - 1)}),
        10 | 11 => {
            let mut properties = Map::new();
            for _ in 0..below(state, 5) {
                properties.insert(NAMES[below(state, NAMES.len())].to_owned(), any_schema(state, depth - 1));
            }
            let required: Vec<&String> = properties.keys().filter(|_| next(state).is_multiple_of(2)).collect();
            json!({"type": "object", "required": required, "properties": properties.clone()})
        }
        _ => {
            let ways: Vec<Value> = (0..2 + below(state, 3)).map(|_| any_schema(state, depth - 1)).collect();
            json!({ "anyOf": ways })
        }
    };
    if let Some(object) = schema.as_object_mut() {
        if below(state, 4) == 0 {
            object.insert("title".into(), NAMES[below(state, NAMES.len())].into());
        }
        if below(state, 4) == 0 {
            object.insert("description".into(), "What it is.\n\nA \u{202e}line*/ \r more\u{7}.".into());
        }
        if below(state, 4) == 0
            && let Some(ty) = object.get("type").and_then(Value::as_str).map(str::to_owned)
            && ty != "null"
        {
            object.insert("type".into(), json!([ty, "null"]));
        }
    }
    schema
}

/// A value that fits.
fn any_value(schema: &Schema, state: &mut u64, depth: usize) -> Value {
    if schema.nullable && below(state, 3) == 0 {
        return Value::Null;
    }
    let whole = |state: &mut u64, least: i64, most: i64| {
        let edges = [least, most, 0, 1, -1, i64::from(i32::MAX), 1 << 53, (1 << 60) + 1];
        let edge = edges[below(state, edges.len())];
        if (least..=most).contains(&edge) { edge } else { least }
    };
    match &schema.kind {
        Kind::Null => Value::Null,
        Kind::Boolean => next(state).is_multiple_of(2).into(),
        Kind::Integer { minimum: Some(0), maximum: None } if below(state, 3) == 0 => u64::MAX.into(),
        Kind::Integer { minimum, maximum } => {
            whole(state, minimum.unwrap_or(i64::MIN), maximum.unwrap_or(i64::MAX)).into()
        }
        // As exact as a double: larger whole numbers are what is said not to be kept.
        Kind::Number { .. } => {
            [json!(0.1), json!(-3), json!(1e300), json!(1_i64 << 53), json!(2.0)][below(state, 5)].clone()
        }
        Kind::String { .. } => ["", "x", "null", "1", "日本 \" \\ \n", "A"][below(state, 6)].into(),
        Kind::Choice(values) => values[below(state, values.len())].clone(),
        Kind::Array { items, .. } => (0..below(state, 3)).map(|_| any_value(items, state, depth + 1)).collect(),
        Kind::Tuple(places) => places.iter().map(|place| any_value(place, state, depth + 1)).collect(),
        Kind::Map(values) => {
            let keys = (0..below(state, 3)).map(|_| ["a", "", "Ticket", "A", "type"][below(state, 5)].to_owned());
            let keys: Vec<String> = keys.collect();
            keys.into_iter().map(|key| (key, any_value(values, state, depth + 1))).collect::<Map<_, _>>().into()
        }
        Kind::Object(fields) => {
            let mut object = Map::new();
            for field in fields {
                if field.required || next(state).is_multiple_of(2) {
                    object.insert(field.key.clone(), any_value(&field.schema, state, depth + 1));
                }
            }
            object.into()
        }
        Kind::OneOf(ways) => any_value(&ways[below(state, ways.len())], state, depth + 1),
        Kind::Any if depth > 8 => Value::Null,
        Kind::Any => {
            let any = [
                json!(null),
                json!([1]),
                json!([[1, 2]]),
                json!({}),
                json!({"A": null}),
                json!((1_i64 << 60) + 1),
                json!({"type": [1.5, "A"]}),
                json!("A"),
            ];
            any[below(state, any.len())].clone()
        }
    }
}

/// A crate beside the tests' target folder, whose dependencies are compiled once.
struct Crate {
    folder: tempfile::TempDir,
}

impl Crate {
    fn new(dependencies: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n[profile.dev]\ndebug = false\n\n\
             [dependencies]\nserde = {{ version = \"1\", features = [\"derive\"] }}\nserde_json = \"1\"\n{dependencies}"
        );
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        Self { folder }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join("src").join(file), text).unwrap();
    }

    /// What it says, given this.
    fn run(&self, input: &str) -> String {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name());
        let build = Command::new("cargo")
            .args(["build", "--offline", "--quiet"])
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "-D warnings")
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        let mut child = Command::new(target.join("debug/probe"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Tests that run at once must not wait for each other's target folder, nor take each other's program.
    fn name(&self) -> String {
        format!("components-{}", std::thread::current().name().unwrap_or("main").replace("::", "-"))
    }
}

/// Reads `number<TAB>value` lines, and says which values are others after having been of their type.
const ROUND_TRIPS: &str = r#"
fn same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => one == other || one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64(),
        (Array(one), Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b)),
        (Object(one), Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

fn trip<T: serde::Serialize + serde::de::DeserializeOwned>(number: &str, text: &str) {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    match serde_json::from_value::<T>(value.clone()) {
        Err(error) => println!("{number}: {text} is not read: {error}"),
        Ok(typed) => {
            let back = serde_json::to_value(typed).unwrap();
            if !same(&value, &back) {
                println!("{number}: {text} became {back}");
            }
        }
    }
}

fn main() {
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (number, text) = line.split_once('\t').unwrap();
        TYPES[number.parse::<usize>().unwrap()](number, text);
    }
    println!("done");
}
"#;

/// Compiles the types of components together, and sends values through their inputs' types.
fn round_trips(components: &[ComponentSpec], values: &[(usize, Value)]) -> String {
    let probe = Crate::new("");
    let mut main = String::new();
    let mut table = String::new();
    for (number, component) in components.iter().enumerate() {
        // The crate that is generated for users is quiet, too, but for what nobody uses.
        probe.write(&format!("c{number}.rs"), &types::of(component));
        let _ = writeln!(main, "#[allow(dead_code)]\nmod c{number};");
        let _ = writeln!(table, "    trip::<c{number}::Input>,");
    }
    let count = components.len();
    let _ = write!(main, "static TYPES: [fn(&str, &str); {count}] = [\n{table}];\n{ROUND_TRIPS}");
    probe.write("main.rs", &main);
    let lines: String = values.iter().map(|(number, value)| format!("{number}\t{value}\n")).collect();
    probe.run(&lines)
}

#[test]
fn what_fits_a_schema_passes_through_its_types_unchanged() {
    let mut state = 20_261_123;
    let tricky = [
        // A struct that could be read from a list, an enum from an object, a float from a number it can't hold.
        json!({"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "array", "items": {"type": "integer"}}]}),
        json!({"anyOf": [{"enum": ["A", "B"]}, {"type": "object", "additionalProperties": true}]}),
        json!({"anyOf": [{"type": "number"}, {"type": "integer"}, {"type": "null"}]}),
        json!({"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "array", "items": {"type": "integer"}}]}),
        json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}, "b": {}, "c": {"type": "null"}}}),
        json!({"type": "object", "required": ["kind"], "properties": {"kind": {"const": "card"}, "x": {"type": ["integer", "null"]}}}),
        json!({"anyOf": [
            {"type": "object", "required": ["kind", "n"], "properties": {"kind": {"const": "card"}, "n": {"type": "number"}}},
            {"type": "object", "required": ["kind", "n"], "properties": {"kind": {"const": "cash"}, "n": {"type": "integer"}}},
            {"type": "object", "required": ["kind"], "properties": {"kind": {"const": "none"}, "n": {"type": ["string", "null"]}}},
        ]}),
    ];
    let schemas: Vec<Value> = tricky.into_iter().chain((0..120).map(|_| any_schema(&mut state, 3))).collect();
    let read: Vec<Schema> = schemas.iter().map(|schema| Schema::read(schema).unwrap()).collect();
    let components: Vec<ComponentSpec> = read.iter().map(of_schema).collect();
    let mut values = Vec::new();
    for (number, schema) in read.iter().enumerate() {
        for _ in 0..40 {
            let value = any_value(schema, &mut state, 0);
            assert_eq!(schema.check(&value), Ok(()), "{value} for {}", schemas[number]);
            values.push((number, value));
        }
    }
    let said = round_trips(&components, &values);
    let first: usize = said.split(':').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    assert_eq!(said, "done\n", "{}\n{}", schemas[first], types::of(&components[first]));
    // Most ways are told apart by types: `Value` is for the few that can't be.
    let typed = types::of(&components[6]);
    assert!(typed.contains("#[serde(untagged)]\npub enum Input {\n    Card(InputCard),\n    Cash(InputCash),\n    None(InputNone),\n}\n"), "{typed}");
}

#[test]
fn what_fits_rust_types_is_what_serde_reads_into_them() {
    let interfaces = [
        "#[serde(rename_all = \"camelCase\")]\nstruct Ticket { subject_line: String, age: Option<u8>, tags: Vec<Tag>, at: (i64, f64), map: BTreeMap<String, [bool; 2]> }\n\
         enum Tag { Hot, #[serde(rename = \"so-so\")] SoSo }\npub fn c(ticket: &Ticket) -> u8;",
        "#[serde(rename_all = \"kebab-case\")]\nenum Action { CloseIt, ReopenIt, RefundIt { cents: u32, why: Option<char> }, Move(Id), Both(bool, char), Pair((u8,)) }\n\
         struct Id(u64);\nstruct Unit;\nstruct Input { #[serde(rename = \"type\")] kind: Action, r#match: Box<Unit>, all: HashMap<String, Action> }\npub fn c(input: Input) -> Output;\nenum Output { Only(String) }",
        "pub fn c(x: &[Option<i32>]) -> ();",
        "#[serde(rename_all = \"SCREAMING-KEBAB-CASE\")]\nstruct A { one_two: serde_json::Value }\n#[serde(rename_all = \"PascalCase\")]\nstruct B { one_two: A, x: u64 }\n\
         #[serde(rename_all = \"SCREAMING_SNAKE_CASE\")]\nenum C { OneTwo, ThreeFour(B) }\npub fn c(c: C) -> f64;",
        "#[serde(rename_all = \"snake_case\")]\nenum C { OneTwo, HTTPError, X2 }\n#[serde(rename_all = \"lowercase\")]\nenum D { OneTwo }\n#[serde(rename_all = \"UPPERCASE\")]\nstruct E { a_b: C, c: D, d: F }\n\
         #[serde(rename_all = \"camelCase\")]\nenum F { OneTwo(i8), Three }\npub fn c(c: E) -> f64;",
    ];
    let components: Vec<ComponentSpec> = interfaces
        .iter()
        .map(|interface| {
            let lines: String = interface.lines().map(|line| format!("  {line}\n")).collect();
            component(&format!("llmc: 1\nname: c\nkind: component\ndescription: d\ninterface: |\n{lines}"), "c")
        })
        .collect();
    let mut state = 7;
    let mut values = Vec::new();
    for (number, component) in components.iter().enumerate() {
        for _ in 0..60 {
            let value = any_value_of_rust(&component.input, &mut state);
            assert_eq!(component.input.check(&value), Ok(()), "{value}");
            values.push((number, value));
        }
    }
    assert_eq!(round_trips(&components, &values), "done\n");
}

/// Like [`any_value`]; texts of one character are that.
fn any_value_of_rust(schema: &Schema, state: &mut u64) -> Value {
    fn chars(schema: &Schema, value: Value) -> Value {
        match (&schema.kind, value) {
            (Kind::String { max_length: Some(1), .. }, Value::String(_)) => "é".into(),
            (Kind::Array { items, min_items: Some(count), .. }, Value::Array(found)) => {
                let mut found: Vec<Value> = found.into_iter().map(|value| chars(items, value)).collect();
                found.resize(*count, json!(true));
                found.into()
            }
            (Kind::Array { items, .. }, Value::Array(found)) => {
                found.into_iter().map(|value| chars(items, value)).collect()
            }
            (Kind::Tuple(places), Value::Array(found)) => {
                places.iter().zip(found).map(|(place, value)| chars(place, value)).collect()
            }
            (Kind::Map(values), Value::Object(found)) => {
                found.into_iter().map(|(key, value)| (key, chars(values, value))).collect::<Map<_, _>>().into()
            }
            (Kind::Object(fields), Value::Object(found)) => {
                let of = |key: &str| fields.iter().find(|field| field.key == key).unwrap();
                let found = found.into_iter().map(|(key, value)| {
                    let value = chars(&of(&key).schema, value);
                    (key, value)
                });
                found.collect::<Map<_, _>>().into()
            }
            (Kind::OneOf(ways), value) => {
                // The ways of an enum are objects of different keys.
                let key = value.as_object().and_then(|object| object.keys().next().cloned());
                let way = ways.iter().find(|way| match &way.kind {
                    Kind::Object(fields) => key.as_deref() == Some(&fields[0].key),
                    _ => key.is_none(),
                });
                chars(way.unwrap(), value)
            }
            (_, value) => value,
        }
    }
    let value = any_value(schema, state, 0);
    chars(schema, value)
}

/// An artifact of this code.
fn artifact(name: &str, source: &str) -> Module {
    let provenance = super::freeze::provenance(name);
    let files = freeze::files(&ArtifactInput { source, tests: "", provenance: &provenance }).unwrap();
    Module::new(name, &BTreeMap::new(), &files)
}

#[test]
fn what_is_registered_can_be_called_with_json() {
    let triage = component(TRIAGE, "triage");
    let hardened = "use std::collections::BTreeMap;\n\npub fn triage(input: Input) -> Option<Output> {\n    let _: BTreeMap<u8, u8> = BTreeMap::new();\n    \
                    (input.subject == \"Refund?\").then_some(Area::Billing)\n}\n";
    let sources = [
        (
            "slugify",
            "pub fn slugify(title: &str) -> String {\n    title.to_lowercase()\n}\n#[allow(dead_code)]\nfn hidden() {}\n",
        ),
        (
            "text",
            "use std::collections::HashMap;\nuse std::fmt;\n\n\
             #[derive(Debug)]\npub enum Wrong { Bad }\n\
             impl fmt::Display for Wrong { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, \"bad\") } }\n\
             pub type Words = Vec<String>;\n\
             pub fn words(text: &str, most: Option<usize>) -> Words { text.split(' ').take(most.unwrap_or(9)).map(String::from).collect() }\n\
             pub fn join(words: &[&str]) -> Option<String> { (!words.is_empty()).then(|| words.join(\" \")) }\n\
             pub fn sum(numbers: &[i64], more: &Vec<i64>) -> Result<i64, Wrong> { if numbers.is_empty() { Err(Wrong::Bad) } else { Ok(numbers.iter().chain(more).sum()) } }\n\
             pub fn parse(text: String) -> Result<u8, std::num::ParseIntError> { text.parse() }\n\
             pub fn list(bad: bool) -> Result<(), Vec<u8>> { if bad { Err(vec![1, 2]) } else { Ok(()) } }\n\
             pub fn count(text: &str) -> HashMap<char, usize> { text.chars().map(|c| (c, 1)).collect() }\n\
             pub fn nothing() -> (i8, &'static str) { (-1, \"x\") }\n\
             pub fn three(a: u8, b: char, c: [bool; 2]) -> String { format!(\"{a}{b}{c:?}\") }\n\
             pub fn change(text: &mut String) { text.clear(); }\n\
             pub fn wrong() -> Wrong { Wrong::Bad }\n\
             pub fn iterate() -> impl Iterator<Item = u8> { 0..3 }\n\
             pub fn generic<T: Clone>(x: T) -> T { x }\n\
             pub fn hash(x: HashMap<Vec<u8>, u8>) -> u8 { x.len() as u8 }\n\
             pub unsafe fn danger() {}\n\
             #[cfg(test)]\npub fn tested() {}\n",
        ),
        (
            "shadow",
            "pub struct String;\npub type Vec<T> = std::collections::BTreeSet<T>;\n\
             pub fn own(_: String) {}\npub fn set(_: Vec<u8>) {}\n",
        ),
        (
            "glob",
            "use super::text::*;\npub fn words2(w: Words) -> usize { w.len() }\npub fn plain(x: std::vec::Vec<u8>) -> usize { x.len() }\n",
        ),
        (
            "typed",
            "#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]\npub struct Point { pub x: i64 }\n\
             pub fn typed(point: &Point) -> Point { Point { x: point.x + 1 } }\n",
        ),
    ];
    let mut modules: Vec<Module> = sources.iter().map(|(name, source)| artifact(name, source)).collect();
    let code = freeze::component_code(&triage, "specs/triage.yaml", Some(hardened));
    assert!(freeze::is_component_as_written(&code));
    modules.push(freeze::component("triage", code.clone()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let path: PathBuf = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    for (path, bytes) in freeze::crate_files(&modules, false).unwrap() {
        put(&path, &bytes);
    }
    for (name, source) in sources {
        put(&format!("generated/src/{name}.rs"), source.as_bytes());
    }
    put("generated/src/triage.rs", &code);
    let generated = folder.path().join("generated");
    let probe = Crate::new(&format!("generated = {{ path = {generated:?} }}\n"));
    probe.write(
        "main.rs",
        r#"
type Entry = (&'static str, &'static str, fn(serde_json::Value) -> Result<Option<serde_json::Value>, String>);

fn main() {
    let mut entries: Vec<Entry> = Vec::new();
    generated::register(&mut entries);
    for (name, digest, _) in &entries {
        println!("{name} {}", digest.len());
    }
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (name, input) = line.split_once(' ').unwrap();
        let (_, _, call) = entries.iter().find(|entry| entry.0 == name).unwrap();
        println!("{:?}", call(serde_json::from_str(input).unwrap()).map(|answer| answer.map(|value| value.to_string())));
    }
}
"#,
    );
    let said = probe.run(
        "slugify \"Ab\"\nslugify 5\ntext.words [\"a b c\", 2]\ntext.words [\"a b c\", null]\ntext.join [\"a\", \"b\"]\ntext.join []\n\
         text.sum [[1, 2], [3]]\ntext.sum [[], []]\ntext.parse \"300\"\ntext.list true\ntext.list false\ntext.nothing null\ntext.nothing 1\n\
         text.three [1, \"x\", [true, false]]\ntext.count \"a\"\nglob.plain [1, 2]\ntyped {\"x\": 4}\n\
         triage {\"subject\": \"Refund?\"}\ntriage {\"subject\": \"Other\", \"urgent\": true}\ntriage {}\n",
    );
    let wanted = r#"glob.plain 64
slugify 64
text.words 64
text.join 64
text.sum 64
text.parse 64
text.list 64
text.count 64
text.nothing 64
text.three 64
triage 64
typed 64
Ok(Some("\"ab\""))
Err("invalid type: integer `5`, expected a string")
Ok(Some("[\"a\",\"b\"]"))
Ok(Some("[\"a\",\"b\",\"c\"]"))
Ok(Some("\"a b\""))
Ok(Some("null"))
Ok(Some("6"))
Err("bad")
Err("number too large to fit in target type")
Err("[1,2]")
Ok(Some("null"))
Ok(Some("[-1,\"x\"]"))
Err("invalid type: integer `1`, expected unit")
Ok(Some("\"1x[true, false]\""))
Ok(Some("{\"a\":1}"))
Ok(Some("2"))
Ok(Some("{\"x\":5}"))
Ok(Some("\"billing\""))
Ok(None)
Err("missing field `subject`")
"#;
    assert_eq!(said, wanted);
    let left: Vec<(String, String)> = modules.iter().flat_map(Module::left_out).collect();
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "text.change",
            "text.wrong",
            "text.iterate",
            "text.generic",
            "text.hash",
            "text.danger",
            "text.tested",
            "shadow.own",
            "shadow.set",
            "glob.words2",
        ],
        "{left:#?}"
    );
}

#[test]
fn a_workspace_without_components_has_no_register_and_no_new_dependency() {
    let modules = [artifact("slugify", "pub fn slugify(title: &str) -> String { title.to_owned() }\n")];
    for (path, bytes) in freeze::crate_files(&modules, false).unwrap() {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("register") && !text.contains("serde"), "{path}: {text}");
    }
    let files = freeze::crate_files(&modules, true).unwrap();
    let text = |at: usize| String::from_utf8(files[at].1.clone()).unwrap();
    assert!(
        text(0).ends_with("[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n")
    );
    assert!(text(1).contains("crate::slugify::slugify(&a0)"), "{}", text(1));
}

#[test]
fn a_component_is_built_without_a_model_and_committed_with_its_spec() {
    let env = TestEnv::workspace();
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["check"]).expect(0);
    let run = env.llmc(&["build"]).expect(0);
    assert!(run.stderr.contains("triage: its types are generated/src/triage.rs, commit "), "{run}");
    assert_eq!(
        env.git(&["show", "--format=", "--name-only", "HEAD"]).lines().collect::<Vec<_>>(),
        ["generated/Cargo.toml", "generated/src/lib.rs", "generated/src/triage.rs", "specs/triage.yaml"]
    );
    let code = env.read("generated/src/triage.rs");
    assert!(code.starts_with("// @generated by llmc from specs/triage.yaml (sha256:"), "{code}");
    insta::assert_snapshot!(code.lines().skip(2).collect::<Vec<_>>().join("\n"), @r#"
    //! What `triage` takes and gives.

    /// What it takes.
    pub type Input = Ticket;

    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Ticket {
        /// Its first line.
        pub subject: String,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "__present")]
        pub urgent: Option<bool>,
    }

    /// What it gives.
    pub type Output = Area;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub enum Area {
        #[serde(rename = "billing")]
        Billing,
        #[serde(rename = "technical")]
        Technical,
        #[serde(rename = "so-so")]
        SoSo,
    }

    /// Reads a field that is there; one that is left out is `None`.
    fn __present<'de, D, T>(input: D) -> Result<Option<T>, D::Error>
    where
        D: serde::Deserializer<'de>,
        T: serde::Deserialize<'de>,
    {
        T::deserialize(input).map(Some)
    }
    "#);
    env.write(".gitignore", "/generated/target/\n/generated/Cargo.lock\n");
    env.run("cargo", &["check", "--quiet", "--offline"], "generated");
    env.llmc(&["verify"]).expect(0);

    let head = env.git(&["rev-parse", "HEAD"]);
    let finished = env.llmc(&["build", "--message-format", "json"]).expect(0).finished();
    assert_eq!((&finished["status"], &finished["commit"]), (&json!("fresh"), &Value::Null));
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);

    // The types follow the spec; `--locked` does not.
    env.write("specs/triage.yaml", &TRIAGE.replace("so-so", "other"));
    let run = env.llmc(&["build", "--locked"]).expect(6);
    assert!(
        run.stderr.contains("`triage` is not up to date, and --locked forbids to write: the spec changed"),
        "{run}"
    );
    env.llmc(&["verify"]).expect(6);
    env.llmc(&["build", "triage"]).expect(0);
    assert!(env.read("generated/src/triage.rs").contains("    #[serde(rename = \"other\")]\n    Other,"));
    assert_ne!(env.git(&["rev-parse", "HEAD"]), head);
    env.llmc(&["verify", "triage"]).expect(0);
    assert_eq!(env.git(&["status", "--porcelain", "--", "generated", "specs"]), "");
}

#[test]
fn an_edit_by_hand_of_a_components_types_is_kept_until_told() {
    let env = TestEnv::workspace();
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["build"]).expect(0);
    let code = env.read("generated/src/triage.rs");
    env.write("generated/src/triage.rs", &code.replace("pub urgent", "pub hasty"));
    let run = env.llmc(&["build"]).expect(6);
    assert!(run.stderr.contains("`triage` was edited by hand: generated/src/triage.rs"), "{run}");
    let run = env.llmc(&["verify"]).expect(6);
    assert!(run.stdout.contains("was edited by hand") || run.stderr.contains("was edited by hand"), "{run}");
    env.llmc(&["build", "--overwrite"]).expect(0);
    assert_eq!(env.read("generated/src/triage.rs"), code);
}

#[test]
fn a_component_whose_spec_is_no_more_goes_and_register_with_it() {
    let env = TestEnv::workspace();
    env.write("specs/triage.yaml", TRIAGE);
    env.write("specs/other.yaml", &TRIAGE.replace("name: triage", "name: other"));
    env.llmc(&["build"]).expect(0);
    assert!(env.read("generated/src/lib.rs").contains("pub fn register("));
    std::fs::remove_file(env.path("specs/triage.yaml")).unwrap();
    env.llmc(&["verify"]).expect(6);
    let run = env.llmc(&["build"]).expect(0);
    assert!(run.stderr.contains("triage"), "{run}");
    assert!(!env.path("generated/src/triage.rs").exists());
    assert!(!env.read("generated/src/lib.rs").contains("triage"));
    env.llmc(&["verify"]).expect(0);
    assert_eq!(env.git(&["status", "--porcelain", "--", "generated", "specs"]), "");
    std::fs::remove_file(env.path("specs/other.yaml")).unwrap();
    env.llmc(&["build", "other"]).expect(0);
    assert!(
        !env.read("generated/src/lib.rs").contains("register") && !env.read("generated/Cargo.toml").contains("serde")
    );
    assert_eq!(env.git(&["status", "--porcelain", "--", "generated", "specs"]), "");
}

#[test]
fn a_function_that_becomes_a_component_and_one_again_loses_nothing_that_git_lacks() {
    let env = TestEnv::workspace();
    // As a build leaves it, and not committed.
    let provenance = super::freeze::provenance("triage");
    let source = "pub fn triage() -> u8 {\n    1\n}\n";
    let files = freeze::files(&ArtifactInput { source, tests: "", provenance: &provenance }).unwrap();
    for (path, bytes) in &files {
        env.write(path, std::str::from_utf8(bytes).unwrap());
    }
    env.write("specs/triage.yaml", TRIAGE);
    let run = env.llmc(&["build"]).expect(6);
    assert!(run.stderr.contains("`triage` was a function, whose artifact is not committed"), "{run}");
    assert_eq!(env.read("generated/src/triage.rs").as_bytes(), files[0].1);
    env.git(&["add", "generated"]);
    env.git(&["commit", "-qm", "as it was"]);
    env.llmc(&["build"]).expect(0);
    assert!(env.read("generated/src/triage.rs").contains("pub type Input = Ticket;"));
    assert_eq!(
        env.git(&["ls-files", "generated", "specs"]).lines().collect::<Vec<_>>(),
        ["generated/Cargo.toml", "generated/src/lib.rs", "generated/src/triage.rs", "specs/triage.yaml"]
    );
    assert_eq!(env.git(&["status", "--porcelain", "--", "generated", "specs"]), "");
    env.llmc(&["verify"]).expect(0);
    // A person's edit of the new file is one.
    env.write("generated/src/triage.rs", "pub fn other() {}\n");
    env.llmc(&["build"]).expect(6);
}

#[test]
fn the_commands_for_functions_say_that_it_is_a_component() {
    let env = TestEnv::workspace();
    env.write("specs/triage.yaml", TRIAGE);
    env.llmc(&["build"]).expect(0);
    let commands: [&[&str]; 7] = [
        &["measure", "triage"],
        &["clarify", "triage"],
        &["strength", "triage"],
        &["regen", "triage"],
        &["prompt", "triage"],
        &["adopt", "triage"],
        &["diff", "triage", "--rev", "HEAD"],
    ];
    for command in commands {
        let run = env.llmc(command).expect(1);
        assert!(run.stderr.starts_with("error: `triage` is a component: "), "{command:?}: {run}");
        assert!(run.stderr.contains("`llmc call triage`"), "{command:?}: {run}");
    }
    // These are for hardened ones, too.
    for command in [&["show", "triage"], &["replay", "triage"]] {
        let run = env.llmc(command).expect(1);
        assert!(run.stderr.contains("its model answers alone"), "{command:?}: {run}");
        assert!(run.stderr.contains("`llmc harden triage`"), "{command:?}: {run}");
    }
}

#[test]
fn check_holds_the_tools_of_a_component_against_the_other_specs() {
    let env = TestEnv::workspace();
    let words = "llmc: 1\nname: words\ndescription: d\ninterface: |\n  pub fn words(text: &str) -> Vec<String>;\n  pub fn join(words: &[String]) -> String;\n\
                 examples: [{ call: 'words(\"\")', holds: result.is_empty() }]\n";
    env.write("specs/words.yaml", words);
    env.write(
        "specs/one.yaml",
        "llmc: 1\nname: one\ndescription: d\nsignature: pub fn f() -> u8\nexamples: [{ call: f(), returns: 1 }]\n",
    );
    env.write("specs/other.yaml", &TRIAGE.replace("name: triage", "name: other"));
    let with = |tools: &str| env.write("specs/triage.yaml", &format!("{TRIAGE}tools: [{tools}]\n"));
    with("other, one, words, words.join");
    env.llmc(&["check"]).expect(0);
    for (tools, told) in [
        ("nope", "error: no spec `nope` for the tool `nope`\n  --> specs/triage.yaml:16:9"),
        ("other, words.split", "error: `words` has no function `split`\n  --> specs/triage.yaml:16:16"),
        ("other.f", "error: `other` is a component, and has no functions of its own"),
        ("one.f", "error: `one` has one function, and is called by its own name"),
        ("triage", "error: `tools` names the component itself"),
    ] {
        with(tools);
        for arguments in [&["check"][..], &["check", "triage"]] {
            let run = env.llmc(arguments).expect(2);
            assert!(run.stderr.contains(told), "{tools}: {run}");
        }
    }
    // What a model answers is no Rust to call.
    with("one");
    env.write("specs/one.yaml", &format!("{}uses: [triage]\n", env.read("specs/one.yaml")));
    let run = env.llmc(&["check"]).expect(2);
    assert!(run.stderr.contains("error: `triage` is a component, and `uses` is for functions"), "{run}");
}
