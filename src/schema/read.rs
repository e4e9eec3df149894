//! From JSON to a [`Schema`].

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{DEEPEST, Field, Kind, MOST_PARTS, Mistake, Schema};

/// Keywords that say something about any value.
const COMMON: [&str; 12] = [
    "title",
    "description",
    "type",
    "$ref",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$comment",
    "default",
    "examples",
    "deprecated",
];
/// Most mistakes of one schema that are told.
const MOST_MISTAKES: usize = 100;

pub(super) fn read(value: &Value) -> Result<Schema, Vec<Mistake>> {
    let mut reader = Reader { root: value, mistakes: Vec::new(), open: Vec::new(), parts: 0 };
    let schema = reader.schema(value, String::new(), 0);
    match schema {
        Some(schema) if reader.mistakes.is_empty() => Ok(schema),
        _ => Err(reader.mistakes),
    }
}

struct Reader<'a> {
    root: &'a Value,
    mistakes: Vec<Mistake>,
    /// The `$ref`s that are being followed.
    open: Vec<String>,
    parts: usize,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&mut self, pointer: &str, message: impl Into<String>) -> Option<T> {
        if self.mistakes.len() < MOST_MISTAKES {
            self.mistakes.push(Mistake { pointer: pointer.to_owned(), message: message.into() });
        }
        None
    }

    fn schema(&mut self, value: &'a Value, at: String, depth: usize) -> Option<Schema> {
        self.parts += 1;
        if depth > DEEPEST {
            return self.wrong(&at, format!("nested more than {DEEPEST} deep"));
        }
        if self.parts > MOST_PARTS {
            // Said once: what follows would only repeat it.
            return if self.parts == MOST_PARTS + 1 {
                self.wrong(&at, format!("more than {MOST_PARTS} parts, counting what `$ref` names each time"))
            } else {
                None
            };
        }
        let object = match value {
            Value::Bool(true) => return Some(Schema::any()),
            Value::Object(object) => object,
            _ => return self.wrong(&at, "a schema is an object"),
        };
        if let Some(reference) = object.get("$ref") {
            return self.reference(reference, object, at, depth);
        }
        let (types, mut nullable) = self.types(object, &at)?;
        let kind = self.kind(object, types.as_deref(), &mut nullable, &at, depth)?;
        let nullable = nullable && !matches!(kind, Kind::Any | Kind::Null);
        Some(Schema {
            name: self.text(object, "title", &at),
            description: self.text(object, "description", &at),
            nullable,
            kind,
        })
    }

    fn reference(
        &mut self,
        reference: &'a Value,
        object: &'a Map<String, Value>,
        at: String,
        depth: usize,
    ) -> Option<Schema> {
        let Some(target) = reference.as_str() else {
            return self.wrong(&format!("{at}/$ref"), "a `$ref` is a string");
        };
        let name = target.strip_prefix("#/$defs/").map(|name| ("$defs", name));
        let Some((folder, name)) = name.or(target.strip_prefix("#/definitions/").map(|name| ("definitions", name)))
        else {
            return self.wrong(&format!("{at}/$ref"), "only `#/$defs/NAME` can be referred to");
        };
        if self.open.iter().any(|open| open == target) {
            return self.wrong(&format!("{at}/$ref"), format!("`{name}` holds itself; such a type is not supported"));
        }
        let root = self.root;
        let Some(found) = root.get(folder).and_then(|defs| defs.get(name)) else {
            return self.wrong(&format!("{at}/$ref"), format!("there is no `{name}` in `{folder}`"));
        };
        for key in object
            .keys()
            .filter(|key| !["$ref", "description", "title", "$defs", "definitions", "$schema"].contains(&key.as_str()))
        {
            self.wrong::<()>(&format!("{at}/{key}"), "beside a `$ref` only `title` and `description` may stand");
        }
        self.open.push(target.to_owned());
        let schema = self.schema(found, format!("/{folder}/{name}"), depth + 1);
        self.open.pop();
        let mut schema = schema?;
        if let Some(title) = self.text(object, "title", &at) {
            schema.name = Some(title);
        }
        schema.name.get_or_insert_with(|| name.to_owned());
        if let Some(description) = self.text(object, "description", &at) {
            schema.description = Some(description);
        }
        Some(schema)
    }

    /// The types named, `null` taken out; `None`: the keyword is absent.
    fn types(&mut self, object: &'a Map<String, Value>, at: &str) -> Option<(Option<Vec<&'a str>>, bool)> {
        let named: Vec<&Value> = match object.get("type") {
            None => return Some((None, false)),
            Some(Value::Array(types)) if !types.is_empty() => types.iter().collect(),
            Some(one) => vec![one],
        };
        let mut types = Vec::new();
        let mut nullable = false;
        for named in named {
            match named.as_str() {
                Some("null") => nullable = true,
                Some(name @ ("boolean" | "integer" | "number" | "string" | "array" | "object")) => types.push(name),
                _ => {
                    let known = "boolean, integer, number, string, array, object or null";
                    return self.wrong(&format!("{at}/type"), format!("{named} is no type; there are {known}"));
                }
            }
        }
        Some((Some(types), nullable))
    }

    fn kind(
        &mut self,
        object: &'a Map<String, Value>,
        types: Option<&[&str]>,
        nullable: &mut bool,
        at: &str,
        depth: usize,
    ) -> Option<Kind> {
        if let Some(values) = object.get("enum") {
            self.only(object, &["enum"], at);
            let pointer = format!("{at}/enum");
            let Some(values) = values.as_array().filter(|values| !values.is_empty()) else {
                return self.wrong(&pointer, "`enum` is a list of at least one value");
            };
            return self.choice(values.iter().collect(), types, nullable, &pointer);
        }
        if let Some(value) = object.get("const") {
            self.only(object, &["const"], at);
            return self.choice(vec![value], types, nullable, &format!("{at}/const"));
        }
        for key in ["anyOf", "oneOf"] {
            let Some(ways) = object.get(key) else { continue };
            self.only(object, &[key], at);
            let Some(ways) = ways.as_array().filter(|ways| !ways.is_empty()) else {
                return self.wrong(&format!("{at}/{key}"), format!("`{key}` is a list of at least one schema"));
            };
            let mut read: Vec<Schema> = Vec::new();
            for (number, way) in ways.iter().enumerate() {
                let way = self.schema(way, format!("{at}/{key}/{number}"), depth + 1)?;
                // `null` as one of the ways is what other schemas say with a type.
                match way.kind {
                    Kind::Null => *nullable = true,
                    _ => read.push(way),
                }
            }
            return Some(match read.len() {
                0 => Kind::Null,
                1 => {
                    let only = read.remove(0);
                    *nullable |= only.nullable;
                    only.kind
                }
                _ => Kind::OneOf(read),
            });
        }
        match types {
            None if object.contains_key("properties") => self.object(object, at, depth),
            None => {
                self.only(object, &[], at);
                Some(Kind::Any)
            }
            Some([]) => {
                self.only(object, &[], at);
                Some(Kind::Null)
            }
            Some(["boolean"]) => {
                self.only(object, &[], at);
                Some(Kind::Boolean)
            }
            Some(["integer"]) => {
                self.only(object, &["minimum", "maximum"], at);
                let minimum = self.limit(object, "minimum", at, Value::as_i64)?;
                let maximum = self.limit(object, "maximum", at, Value::as_i64)?;
                self.ordered(minimum, maximum, at)?;
                Some(Kind::Integer { minimum, maximum })
            }
            Some(["number"]) => {
                self.only(object, &["minimum", "maximum"], at);
                let minimum = self.limit(object, "minimum", at, Value::as_f64)?;
                let maximum = self.limit(object, "maximum", at, Value::as_f64)?;
                self.ordered(minimum, maximum, at)?;
                Some(Kind::Number { minimum, maximum })
            }
            Some(["string"]) => {
                self.only(object, &["minLength", "maxLength"], at);
                let min_length = self.limit(object, "minLength", at, length)?;
                let max_length = self.limit(object, "maxLength", at, length)?;
                self.ordered(min_length, max_length, at)?;
                Some(Kind::String { min_length, max_length })
            }
            Some(["array"]) => self.array(object, at, depth),
            Some(["object"]) => self.object(object, at, depth),
            Some(several) => {
                self.only(object, &[], at);
                let ways = several.iter().map(|name| match *name {
                    "boolean" => Some(Kind::Boolean.into()),
                    "integer" => Some(Kind::Integer { minimum: None, maximum: None }.into()),
                    "number" => Some(Kind::Number { minimum: None, maximum: None }.into()),
                    "string" => Some(Kind::String { min_length: None, max_length: None }.into()),
                    _ => None,
                });
                match ways.collect::<Option<Vec<Schema>>>() {
                    Some(ways) => Some(Kind::OneOf(ways)),
                    None => self.wrong(&format!("{at}/type"), "a list or an object among several types: use `anyOf`"),
                }
            }
        }
    }

    fn choice(
        &mut self,
        values: Vec<&Value>,
        types: Option<&[&str]>,
        nullable: &mut bool,
        pointer: &str,
    ) -> Option<Kind> {
        let mut choices: Vec<Value> = Vec::new();
        for value in values {
            match value {
                Value::Null => *nullable = true,
                Value::Array(_) | Value::Object(_) => {
                    return self.wrong(pointer, "only strings, numbers, booleans and null can be chosen from");
                }
                value if choices.contains(value) => {
                    return self.wrong(pointer, format!("{value} stands there twice"));
                }
                value => {
                    let fits = types.is_none_or(|types| {
                        types.iter().any(|name| match *name {
                            "string" => value.is_string(),
                            "boolean" => value.is_boolean(),
                            "integer" => value.is_i64() || value.is_u64(),
                            "number" => value.is_number(),
                            _ => false,
                        })
                    });
                    if !fits {
                        return self.wrong(pointer, format!("{value} is not of the `type`"));
                    }
                    choices.push(value.clone());
                }
            }
        }
        Some(if choices.is_empty() { Kind::Null } else { Kind::Choice(choices) })
    }

    fn array(&mut self, object: &'a Map<String, Value>, at: &str, depth: usize) -> Option<Kind> {
        self.only(object, &["items", "prefixItems", "minItems", "maxItems"], at);
        let min_items = self.limit(object, "minItems", at, length)?;
        let max_items = self.limit(object, "maxItems", at, length)?;
        self.ordered(min_items, max_items, at)?;
        if let Some(places) = object.get("prefixItems") {
            let pointer = format!("{at}/prefixItems");
            let Some(places) = places.as_array() else { return self.wrong(&pointer, "a list of schemas is wanted") };
            if object.get("items").is_some_and(|items| items != &Value::Bool(false)) {
                return self.wrong(&format!("{at}/items"), "beside `prefixItems` there may be no more items: `false`");
            }
            let differs = |limit: Option<usize>| limit.is_some_and(|limit| limit != places.len());
            if differs(min_items) || differs(max_items) {
                return self.wrong(at, "the limits must be the number of `prefixItems`");
            }
            let places = places
                .iter()
                .enumerate()
                .map(|(number, place)| self.schema(place, format!("{pointer}/{number}"), depth + 1));
            return Some(Kind::Tuple(places.collect::<Option<_>>()?));
        }
        let items = match object.get("items") {
            Some(items) => self.schema(items, format!("{at}/items"), depth + 1)?,
            None => return self.wrong(at, "a list needs `items`: what each of them is"),
        };
        Some(Kind::Array { items: Box::new(items), min_items, max_items })
    }

    fn object(&mut self, object: &'a Map<String, Value>, at: &str, depth: usize) -> Option<Kind> {
        self.only(object, &["properties", "required", "additionalProperties"], at);
        let additional = object.get("additionalProperties").filter(|more| *more != &Value::Bool(false));
        let properties = match object.get("properties") {
            None => None,
            Some(Value::Object(properties)) => Some(properties),
            Some(_) => return self.wrong(&format!("{at}/properties"), "an object of schemas is wanted"),
        };
        let required: BTreeSet<&str> = match object.get("required") {
            None => BTreeSet::new(),
            Some(Value::Array(keys)) if keys.iter().all(Value::is_string) => {
                keys.iter().filter_map(Value::as_str).collect()
            }
            Some(_) => return self.wrong(&format!("{at}/required"), "a list of keys is wanted"),
        };
        for key in required.iter().filter(|key| !properties.is_some_and(|known| known.contains_key(**key))) {
            self.wrong::<()>(&format!("{at}/required"), format!("`{key}` is not among the `properties`"));
        }
        match (properties, additional) {
            (Some(properties), None) => {
                let mut fields = Vec::new();
                for (key, value) in properties {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let schema = self.schema(value, format!("{at}/properties/{escaped}"), depth + 1);
                    if let Some(schema) = schema {
                        fields.push(Field { key: key.clone(), schema, required: required.contains(key.as_str()) });
                    }
                }
                Some(Kind::Object(fields))
            }
            (None, Some(more)) => {
                Some(Kind::Map(Box::new(self.schema(more, format!("{at}/additionalProperties"), depth + 1)?)))
            }
            (Some(properties), Some(_)) if !properties.is_empty() => {
                self.wrong(&format!("{at}/additionalProperties"), "beside `properties` only `false` is supported")
            }
            (Some(_), Some(more)) => {
                Some(Kind::Map(Box::new(self.schema(more, format!("{at}/additionalProperties"), depth + 1)?)))
            }
            (None, None) => self.wrong(at, "an object needs `properties`, or `additionalProperties` with a schema"),
        }
    }

    /// Says which keywords are not known here.
    fn only(&mut self, object: &Map<String, Value>, own: &[&str], at: &str) {
        for key in object.keys().filter(|key| !COMMON.contains(&key.as_str()) && !own.contains(&key.as_str())) {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            self.wrong::<()>(&format!("{at}/{escaped}"), format!("the keyword `{key}` is not supported here"));
        }
    }

    fn text(&mut self, object: &Map<String, Value>, key: &str, at: &str) -> Option<String> {
        match object.get(key)? {
            Value::String(text) => Some(text.clone()),
            _ => self.wrong(&format!("{at}/{key}"), format!("`{key}` is a text")),
        }
    }

    #[expect(clippy::option_option, reason = "the outer one ends the reading, the inner one is an absent limit")]
    fn limit<T>(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        at: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Option<T>> {
        match object.get(key) {
            None => Some(None),
            Some(value) => match read(value) {
                Some(limit) => Some(Some(limit)),
                None => self.wrong(&format!("{at}/{key}"), format!("{value} is no limit here")),
            },
        }
    }

    fn ordered<T: PartialOrd>(&mut self, least: Option<T>, most: Option<T>, at: &str) -> Option<()> {
        match (least, most) {
            (Some(least), Some(most)) if least > most => self.wrong(at, "the least is above the most"),
            _ => Some(()),
        }
    }
}

fn length(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
