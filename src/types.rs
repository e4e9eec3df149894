//! Rust types of what a component takes and gives, written from its schemas.
//!
//! A value that fits the schema becomes such a type and is the same JSON again: where Rust's types could not tell two
//! ways apart, it is a `serde_json::Value`. What is written names nothing but `serde`, `serde_json` and std.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::schema::{Field, Kind, Schema};
use crate::spec::ComponentSpec;

/// Names that a type can't have: the text uses them.
const TAKEN: [&str; 14] = [
    "BTreeMap",
    "HashMap",
    "Box",
    "Err",
    "None",
    "Ok",
    "Option",
    "Result",
    "Some",
    "String",
    "Vec",
    "Serialize",
    "Deserialize",
    "Self",
];
/// Longest tuple that std and serde know all about.
const LONGEST_TUPLE: usize = 12;
/// Most comparisons that are spent on telling the ways of one `anyOf` apart.
const MOST_STEPS: usize = 100_000;
/// The largest whole number up to which an `f64` holds each.
const EXACT: u64 = 1 << 53;

/// The types of a component: `Input`, `Output`, and what they are made of.
pub fn of(spec: &ComponentSpec) -> String {
    let mut text = format!("//! What `{}` takes and gives.\n", spec.name);
    if let Some(types) = &spec.types {
        let mentions = |name: &str| {
            [&types.items, &types.input, &types.output].iter().any(|text| text.contains(&format!("{name}<")))
        };
        let maps: Vec<&str> = ["BTreeMap", "HashMap"].into_iter().filter(|name| mentions(name)).collect();
        if !maps.is_empty() {
            let _ = write!(text, "\n#[allow(unused_imports)]\nuse std::collections::{{{}}};\n", maps.join(", "));
        }
        if !types.items.is_empty() {
            let _ = write!(text, "\n{}", types.items);
        }
        for (name, ty, what) in [("Input", &types.input, "takes"), ("Output", &types.output, "gives")] {
            if ty != name {
                let _ = write!(text, "\n/// What it {what}.\npub type {name} = {ty};\n");
            }
        }
        return text;
    }
    let mut writer = Writer::default();
    writer.names.extend(TAKEN.map(str::to_owned));
    writer.names.extend(["Input".to_owned(), "Output".to_owned()]);
    for (name, schema, what) in [("Input", &spec.input, "takes"), ("Output", &spec.output, "gives")] {
        let before = writer.items.len();
        let ty = writer.top(schema, name);
        if ty != name {
            // The side's own name first, then what it is made of.
            writer.items.insert(before, format!("/// What it {what}.\npub type {name} = {ty};\n"));
        }
    }
    for item in &writer.items {
        let _ = write!(text, "\n{item}");
    }
    if writer.uses_present {
        text.push_str(PRESENT);
    }
    text
}

/// What tells a field that is left out from one that is `null`.
const PRESENT: &str = "
/// Reads a field that is there; one that is left out is `None`.
fn __present<'de, D, T>(input: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(input).map(Some)
}
";

#[derive(Default)]
struct Writer {
    items: Vec<String>,
    names: BTreeSet<String>,
    /// Types that have a name in the schema, and what that became.
    known: Vec<(Schema, String)>,
    uses_present: bool,
}

impl Writer {
    /// A side's type; where it has no name of its own it is called as the side is.
    fn top(&mut self, schema: &Schema, side: &str) -> String {
        let is_own = !schema.nullable && schema.name.as_deref().is_none_or(|name| pascal(name) == side);
        if is_own {
            self.names.remove(side);
        }
        let ty = self.ty(schema, side);
        self.names.insert(side.to_owned());
        ty
    }

    /// The type of a schema; `path` names it where it has no name.
    fn ty(&mut self, schema: &Schema, path: &str) -> String {
        let bare = self.bare(schema, path);
        if schema.nullable { format!("Option<{bare}>") } else { bare }
    }

    fn bare(&mut self, schema: &Schema, path: &str) -> String {
        match &schema.kind {
            Kind::Any => "serde_json::Value".to_owned(),
            Kind::Null => "()".to_owned(),
            Kind::Boolean => "bool".to_owned(),
            Kind::Integer { minimum: Some(0..), .. } => "u64".to_owned(),
            Kind::Integer { .. } => "i64".to_owned(),
            Kind::Number { .. } => "f64".to_owned(),
            Kind::String { .. } => "String".to_owned(),
            Kind::Choice(values) => match chosen(values) {
                Chosen::Words => self.named(schema, path, |writer, name| writer.choice(schema, name, values)),
                Chosen::Flags => "bool".to_owned(),
                Chosen::Whole => "i64".to_owned(),
                Chosen::Natural => "u64".to_owned(),
                Chosen::Numbers => "f64".to_owned(),
                Chosen::Mixed => "serde_json::Value".to_owned(),
            },
            Kind::Array { items, .. } => format!("Vec<{}>", self.ty(items, &format!("{path}Item"))),
            Kind::Tuple(places) => match places.len() {
                0 => "[(); 0]".to_owned(),
                1 => format!("({},)", self.ty(&places[0], &format!("{path}1"))),
                2..=LONGEST_TUPLE => {
                    let places = places.iter().enumerate();
                    let types = places.map(|(at, place)| self.ty(place, &format!("{path}{}", at + 1)));
                    format!("({})", types.collect::<Vec<_>>().join(", "))
                }
                _ => "serde_json::Value".to_owned(),
            },
            Kind::Map(values) => {
                format!("std::collections::BTreeMap<String, {}>", self.ty(values, &format!("{path}Value")))
            }
            Kind::Object(fields) => self.named(schema, path, |writer, name| writer.object(schema, name, fields)),
            Kind::OneOf(ways) => match apart(ways) {
                Some(order) => self.named(schema, path, |writer, name| writer.one_of(schema, name, &order)),
                None => "serde_json::Value".to_owned(),
            },
        }
    }

    /// A type of its own; the same one where the same schema has the same name.
    fn named(&mut self, schema: &Schema, path: &str, write: impl FnOnce(&mut Self, &str) -> String) -> String {
        let same = Schema { nullable: false, description: None, ..schema.clone() };
        if let (Some(_), Some((_, name))) = (&schema.name, self.known.iter().find(|(known, _)| *known == same)) {
            return name.clone();
        }
        let name = self.new_name(&pascal(schema.name.as_deref().unwrap_or(path)));
        if schema.name.is_some() {
            self.known.push((same, name.clone()));
        }
        // Its place is before those of its parts.
        let at = self.items.len();
        self.items.push(String::new());
        self.items[at] = write(self, &name);
        name
    }

    fn new_name(&mut self, wanted: &str) -> String {
        let name = unused(&self.names, wanted);
        self.names.insert(name.clone());
        name
    }

    fn choice(&mut self, schema: &Schema, name: &str, values: &[Value]) -> String {
        let mut text = doc(schema.description.as_deref(), "");
        text.push_str("#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]\n");
        let _ = writeln!(text, "pub enum {name} {{");
        let mut variants = BTreeSet::new();
        for value in values.iter().filter_map(Value::as_str) {
            let variant = unused(&variants, &pascal(value));
            if variant != value {
                let _ = writeln!(text, "    #[serde(rename = {value:?})]");
            }
            let _ = writeln!(text, "    {variant},");
            variants.insert(variant);
        }
        text.push_str("}\n");
        text
    }

    fn object(&mut self, schema: &Schema, name: &str, fields: &[Field]) -> String {
        let mut text = doc(schema.description.as_deref(), "");
        text.push_str("#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]\n");
        let _ = writeln!(text, "#[serde(deny_unknown_fields)]\npub struct {name} {{");
        let mut idents = BTreeSet::new();
        for field in fields {
            let ident = unused(&idents, &snake(&field.key));
            text.push_str(&doc(field.schema.description.as_deref(), "    "));
            let mut attributes = Vec::new();
            if ident != field.key {
                attributes.push(format!("rename = {:?}", field.key));
            }
            let mut ty = self.ty(&field.schema, &format!("{name}{}", pascal(&field.key)));
            if !field.required {
                self.uses_present = true;
                attributes.push("default".to_owned());
                attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
                attributes.push("deserialize_with = \"__present\"".to_owned());
                ty = format!("Option<{ty}>");
            } else if field.schema.nullable {
                // Else what is left out would be taken for `null`.
                attributes.push("deserialize_with = \"serde::Deserialize::deserialize\"".to_owned());
            }
            if !attributes.is_empty() {
                let _ = writeln!(text, "    #[serde({})]", attributes.join(", "));
            }
            let _ = writeln!(text, "    pub {ident}: {ty},");
            idents.insert(ident);
        }
        text.push_str("}\n");
        text
    }

    fn one_of(&mut self, schema: &Schema, name: &str, ways: &[&Schema]) -> String {
        let mut text = doc(schema.description.as_deref(), "");
        text.push_str("#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]\n");
        let _ = writeln!(text, "#[serde(untagged)]\npub enum {name} {{");
        let mut variants = BTreeSet::new();
        for way in ways {
            let variant = unused(&variants, &way_name(way));
            text.push_str(&doc(way.description.as_deref(), "    "));
            let ty = self.ty(way, &format!("{name}{variant}"));
            let _ = writeln!(text, "    {variant}({ty}),");
            variants.insert(variant);
        }
        text.push_str("}\n");
        text
    }
}

/// What a way of an `anyOf` is called.
fn way_name(way: &Schema) -> String {
    if let Some(name) = &way.name {
        return pascal(name);
    }
    match &way.kind {
        Kind::Any => "Any".to_owned(),
        Kind::Null => "Null".to_owned(),
        Kind::Boolean => "Flag".to_owned(),
        Kind::Integer { .. } => "Integer".to_owned(),
        Kind::Number { .. } => "Number".to_owned(),
        Kind::String { .. } => "Text".to_owned(),
        Kind::Choice(_) => "Choice".to_owned(),
        Kind::Array { .. } => "List".to_owned(),
        Kind::Tuple(_) => "Tuple".to_owned(),
        Kind::Map(_) => "Map".to_owned(),
        Kind::OneOf(_) => "Either".to_owned(),
        Kind::Object(fields) => {
            // `{ kind: { const: card }, … }` is a card.
            let constant = fields.iter().find_map(|field| match &field.schema.kind {
                Kind::Choice(values) if field.required && values.len() == 1 => values[0].as_str(),
                _ => None,
            });
            constant.map_or_else(|| "Object".to_owned(), pascal)
        }
    }
}

/// What the values of an `enum` have in common.
enum Chosen {
    Words,
    Flags,
    Whole,
    Natural,
    Numbers,
    Mixed,
}

fn chosen(values: &[Value]) -> Chosen {
    match values {
        _ if values.iter().all(Value::is_string) => Chosen::Words,
        _ if values.iter().all(Value::is_boolean) => Chosen::Flags,
        _ if values.iter().all(Value::is_i64) => Chosen::Whole,
        _ if values.iter().all(Value::is_u64) => Chosen::Natural,
        _ if values.iter().all(|value| value.is_number() && !is_large(value)) => Chosen::Numbers,
        _ => Chosen::Mixed,
    }
}

/// Whether it is a whole number that an `f64` may not hold.
fn is_large(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| number.unsigned_abs() > EXACT)
        || value.as_u64().is_some_and(|number| number > EXACT)
}

/// The ways in an order in which serde, which takes the first that reads, gives each value back unchanged; `None` where
/// there is none.
fn apart(ways: &[Schema]) -> Option<Vec<&Schema>> {
    let mut steps = MOST_STEPS;
    let mut left: Vec<&Schema> = ways.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let at = (0..left.len())
            .find(|one| (0..left.len()).all(|other| one == &other || !steals(left[*one], left[other], &mut steps)))?;
        order.push(left.remove(at));
    }
    (steps > 0).then_some(order)
}

/// Whether a value that fits `fits` may be read as the Rust type of `reads`, and be another one afterwards.
///
/// Derived structs read lists, too; unit variants read `{"Variant": null}`; an `f64` reads whole numbers that it can't
/// hold. When in doubt the answer is yes.
fn steals(reads: &Schema, fits: &Schema, steps: &mut usize) -> bool {
    if *steps == 0 {
        return true;
    }
    *steps -= 1;
    if let Kind::OneOf(ways) = &fits.kind {
        return ways.iter().any(|way| steals(reads, way, steps));
    }
    let is_any = matches!(fits.kind, Kind::Any);
    match &reads.kind {
        // It is a `Value` then, and reads all as it is; or an enum, whose ways were told apart among themselves.
        Kind::OneOf(ways) => ways.iter().any(|way| steals(way, fits, steps)),
        Kind::Any | Kind::Boolean | Kind::String { .. } | Kind::Integer { .. } => false,
        Kind::Null => match &fits.kind {
            Kind::Any | Kind::Map(_) => true,
            Kind::Object(fields) => fields.iter().all(|field| !field.required),
            _ => false,
        },
        Kind::Number { .. } => holds_large(fits),
        Kind::Choice(values) => match chosen(values) {
            Chosen::Words => matches!(fits.kind, Kind::Any | Kind::Map(_) | Kind::Object(_)),
            Chosen::Numbers => holds_large(fits),
            _ => false,
        },
        Kind::Array { items, .. } => match &fits.kind {
            Kind::Array { items: others, .. } => steals(items, others, steps),
            Kind::Tuple(places) => places.iter().any(|place| steals(items, place, steps)),
            _ => is_any && is_lossy(items),
        },
        Kind::Tuple(places) if places.len() > LONGEST_TUPLE => false,
        Kind::Tuple(places) => match &fits.kind {
            Kind::Array { items, .. } => places.iter().any(|place| steals(place, items, steps)),
            Kind::Tuple(others) => {
                places.len() == others.len()
                    && places.iter().zip(others).any(|(place, other)| steals(place, other, steps))
            }
            _ => is_any && places.iter().any(is_lossy),
        },
        Kind::Map(values) => match &fits.kind {
            Kind::Map(others) => steals(values, others, steps),
            Kind::Object(fields) => fields.iter().any(|field| steals(values, &field.schema, steps)),
            _ => is_any && is_lossy(values),
        },
        Kind::Object(fields) => match &fits.kind {
            Kind::Any | Kind::Array { .. } | Kind::Tuple(_) => true,
            Kind::Map(values) => fields.iter().any(|field| steals(&field.schema, values, steps)),
            Kind::Object(others) => {
                let other = |key: &str| others.iter().find(|other| other.key == key);
                // Where one of these has what the other can't have, none is taken for the other.
                let is_apart = fields.iter().any(|field| field.required && other(&field.key).is_none())
                    || others.iter().any(|other| other.required && !fields.iter().any(|field| field.key == other.key))
                    || fields.iter().any(|field| {
                        other(&field.key).is_some_and(|other| {
                            field.required && other.required && never_same(&field.schema, &other.schema)
                        })
                    });
                !is_apart
                    && fields
                        .iter()
                        .any(|field| other(&field.key).is_some_and(|other| steals(&field.schema, &other.schema, steps)))
            }
            _ => false,
        },
    }
}

/// Whether two choices of words have none in common: what tells `{ kind: { const: a } }` from `{ kind: { const: b } }`.
fn never_same(one: &Schema, other: &Schema) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Choice(one), Kind::Choice(other)) => {
            one.iter().chain(other).all(Value::is_string) && !one.iter().any(|value| other.contains(value))
        }
        _ => false,
    }
}

/// Whether the type of a schema reads some JSON and gives other JSON back.
fn is_lossy(schema: &Schema) -> bool {
    match &schema.kind {
        Kind::Any | Kind::Boolean | Kind::String { .. } | Kind::Integer { .. } => false,
        Kind::Array { items, .. } => is_lossy(items),
        Kind::Map(values) => is_lossy(values),
        Kind::Tuple(places) => places.iter().any(is_lossy),
        _ => true,
    }
}

/// Whether what fits may be a whole number that an `f64` can't hold.
fn holds_large(schema: &Schema) -> bool {
    let is_small = |limit: &i64| limit.unsigned_abs() <= EXACT;
    match &schema.kind {
        Kind::Any => true,
        Kind::Integer { minimum, maximum } => {
            !(minimum.as_ref().is_some_and(is_small) && maximum.as_ref().is_some_and(is_small))
        }
        Kind::Choice(values) => values.iter().any(is_large),
        _ => false,
    }
}

fn unused(names: &BTreeSet<String>, wanted: &str) -> String {
    let numbered = (2_usize..).map(|number| format!("{wanted}{number}"));
    let mut tried = std::iter::once(wanted.to_owned()).chain(numbered);
    tried.find(|name| !names.contains(name)).expect("there are endless numbers")
}

/// The words of a text: letters and digits in a row, split before an upper-case letter that follows a lower-case one.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last_lower = false;
    for character in text.chars() {
        let is_break = !character.is_ascii_alphanumeric() || (last_lower && character.is_ascii_uppercase());
        if is_break && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if character.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(character);
        }
        last_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A text as the name of a type.
fn pascal(text: &str) -> String {
    let mut name = String::new();
    for word in words(text) {
        let is_shout = word.len() > 1 && word.chars().all(|character| !character.is_ascii_lowercase());
        let mut characters = word.chars();
        name.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        let rest: String = characters.collect();
        name.push_str(&if is_shout { rest.to_ascii_lowercase() } else { rest });
    }
    ident(name, "N", "Empty")
}

/// A text as the name of a field.
fn snake(text: &str) -> String {
    ident(words(text).join("_").to_ascii_lowercase(), "n", "empty")
}

/// Long keys are cut: what a name is for is to be read.
fn ident(mut name: String, before_digit: &str, empty: &str) -> String {
    name.truncate(80);
    if name.is_empty() {
        return empty.to_owned();
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert_str(0, before_digit);
    }
    if syn::parse_str::<syn::Ident>(&name).is_err() {
        name.push('_');
    }
    name
}

/// A description as a doc comment: each line of it, without what rustc or a terminal takes for more than text.
fn doc(description: Option<&str>, indent: &str) -> String {
    let is_text = |character: char| {
        !character.is_control()
            && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut text = String::new();
    for line in description.unwrap_or_default().lines() {
        let line: String = line.chars().filter(|character| is_text(*character)).collect();
        let _ = writeln!(text, "{}", format!("{indent}/// {}", line.trim()).trim_end());
    }
    text
}
