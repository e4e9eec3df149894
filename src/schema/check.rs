//! A value, held against a schema.

use std::fmt;

use serde_json::Value;

use super::{DEEPEST, Kind, Schema};

/// Most characters of a value that a message shows.
const SHOWN: usize = 60;

/// Where a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where: a JSON pointer into the value; empty for the whole.
    pub pointer: String,
    /// What was wanted, and what is there.
    pub message: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => formatter.write_str(&self.message),
            pointer => write!(formatter, "{pointer}: {}", self.message),
        }
    }
}

pub(super) fn check(schema: &Schema, value: &Value) -> Result<(), Mismatch> {
    walk(schema, value, DEEPEST).map_err(|mut wrong| {
        // It was noted from the inside out.
        wrong.steps.reverse();
        let pointer = wrong.steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
        Mismatch { pointer: pointer.collect(), message: wrong.message }
    })
}

struct Wrong {
    steps: Vec<String>,
    message: String,
}

impl Wrong {
    fn new<T>(message: String) -> Result<T, Self> {
        Err(Self { steps: Vec::new(), message })
    }

    fn at(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }
}

fn walk(schema: &Schema, value: &Value, room: usize) -> Result<(), Wrong> {
    if room == 0 {
        return Wrong::new(format!("nested more than {DEEPEST} deep"));
    }
    if schema.nullable && value.is_null() {
        return Ok(());
    }
    match (&schema.kind, value) {
        (Kind::Any, _) | (Kind::Null, Value::Null) | (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (Kind::Integer { minimum, maximum }, Value::Number(number)) if number.is_i64() || number.is_u64() => {
            let number = number.as_i128().unwrap_or_default();
            match (minimum, maximum) {
                (Some(least), _) if number < i128::from(*least) => {
                    Wrong::new(format!("{number} is below {least}, the least"))
                }
                (_, Some(most)) if number > i128::from(*most) => {
                    Wrong::new(format!("{number} is above {most}, the most"))
                }
                // Where it may be below 0 it is an `i64`.
                (None | Some(..0), None) if number > i128::from(i64::MAX) => {
                    Wrong::new(format!("{number} is above {}, the most", i64::MAX))
                }
                _ => Ok(()),
            }
        }
        (Kind::Number { minimum, maximum }, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            match (minimum, maximum) {
                (Some(least), _) if number < *least => Wrong::new(format!("{number} is below {least}, the least")),
                (_, Some(most)) if number > *most => Wrong::new(format!("{number} is above {most}, the most")),
                _ => Ok(()),
            }
        }
        (Kind::String { min_length, max_length }, Value::String(text)) => {
            if min_length.is_none() && max_length.is_none() {
                return Ok(());
            }
            let length = text.chars().count();
            match (min_length, max_length) {
                (Some(least), _) if length < *least => {
                    Wrong::new(format!("a text of {length} characters; at least {least} are wanted"))
                }
                (_, Some(most)) if length > *most => {
                    Wrong::new(format!("a text of {length} characters; at most {most} are allowed"))
                }
                _ => Ok(()),
            }
        }
        (Kind::Choice(values), value) => {
            if values.iter().any(|choice| same(choice, value)) {
                Ok(())
            } else {
                let choices: Vec<String> = values.iter().map(Value::to_string).collect();
                Wrong::new(format!("{} is none of {}", shown(value), choices.join(", ")))
            }
        }
        (Kind::Array { items, min_items, max_items }, Value::Array(found)) => {
            let length = found.len();
            match (min_items, max_items) {
                (Some(least), _) if length < *least => {
                    return Wrong::new(format!("a list of {length}; at least {least} are wanted"));
                }
                (_, Some(most)) if length > *most => {
                    return Wrong::new(format!("a list of {length}; at most {most} are allowed"));
                }
                _ => {}
            }
            for (at, item) in found.iter().enumerate() {
                walk(items, item, room - 1).map_err(|wrong| wrong.at(at.to_string()))?;
            }
            Ok(())
        }
        (Kind::Tuple(places), Value::Array(found)) => {
            if found.len() != places.len() {
                return Wrong::new(format!("a list of {}; {} are wanted", found.len(), places.len()));
            }
            for (at, (place, item)) in places.iter().zip(found).enumerate() {
                walk(place, item, room - 1).map_err(|wrong| wrong.at(at.to_string()))?;
            }
            Ok(())
        }
        (Kind::Object(fields), Value::Object(found)) => {
            for field in fields {
                match found.get(&field.key) {
                    Some(value) => {
                        walk(&field.schema, value, room - 1).map_err(|wrong| wrong.at(&field.key))?;
                    }
                    None if field.required => return Wrong::new(format!("the field `{}` is missing", field.key)),
                    None => {}
                }
            }
            match found.keys().find(|key| !fields.iter().any(|field| field.key == **key)) {
                Some(key) => Wrong::new(format!("there is no field `{}`", excerpt(key))),
                None => Ok(()),
            }
        }
        (Kind::Map(values), Value::Object(found)) => {
            for (key, value) in found {
                walk(values, value, room - 1).map_err(|wrong| wrong.at(key))?;
            }
            Ok(())
        }
        (Kind::OneOf(ways), value) => {
            let mut deepest: Option<Wrong> = None;
            for way in ways {
                match walk(way, value, room - 1) {
                    Ok(()) => return Ok(()),
                    // The way that went furthest is the one that was meant.
                    Err(wrong) if deepest.as_ref().is_none_or(|best| wrong.steps.len() > best.steps.len()) => {
                        deepest = Some(wrong);
                    }
                    Err(_) => {}
                }
            }
            match deepest {
                Some(wrong) if !wrong.steps.is_empty() => Err(wrong),
                _ => Wrong::new(format!("{} fits none of the {} ways", shown(value), ways.len())),
            }
        }
        (kind, value) => Wrong::new(format!("{} where {} is wanted", shown(value), wanted(kind))),
    }
}

/// Whether two values are the same: `1` and `1.0` are, and the order of an object's keys is no difference.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Boolean => "a boolean",
        Kind::Integer { .. } => "a whole number",
        Kind::Number { .. } => "a number",
        Kind::String { .. } => "a string",
        Kind::Array { .. } | Kind::Tuple(_) => "a list",
        Kind::Object(_) | Kind::Map(_) => "an object",
        Kind::Any | Kind::Choice(_) | Kind::OneOf(_) => "another value",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => excerpt(&format!("{text:?}")),
        value => excerpt(&value.to_string()),
    }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
