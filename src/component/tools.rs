//! The components that a model may call: how it is told of them, and what a call of one comes to.

use serde_json::{Value, json};

use crate::harness::{CallError, Class, Context};
use crate::model::{Tool, structure};
use crate::prompt::ToolLine;
use crate::schema::{Field, Kind, Schema};

use crate::spec::ToolErrors;

/// More of what a tool gives is not told to the model, in bytes.
const LONGEST_RESULT: usize = 32 << 10;
/// The only key of the object that an input is put into that is none.
const KEY: &str = "input";

/// The tools of one call.
pub(super) struct Tools {
    list: Vec<One>,
    errors: ToolErrors,
}

struct One {
    name: String,
    /// Its name as providers take it.
    wire: String,
    description: String,
    input: Value,
    schema: Schema,
    /// Whether its input is put into an object, since it is none.
    is_wrapped: bool,
}

/// What is told to the model of a call.
pub(super) struct Told {
    pub(super) text: String,
    pub(super) is_error: bool,
}

impl Tools {
    /// Those of `ctx` that the spec names.
    pub(super) fn of(ctx: &Context, named: &[String], errors: ToolErrors) -> Self {
        let mut list: Vec<One> = Vec::new();
        if named.is_empty() {
            return Self { list, errors };
        }
        for tool in ctx.tools().into_iter().filter(|tool| named.contains(&tool.name)) {
            let schema = Schema::read(&tool.input).unwrap_or_else(|_| Schema::any());
            let is_wrapped = schema.nullable || !matches!(schema.kind, Kind::Object(_));
            let mut wire = tool.name.replace('.', "_");
            while list.iter().any(|other| other.wire == wire) {
                wire.truncate(60);
                wire.push_str("_2");
            }
            let description = if tool.description.is_empty() { tool.name.clone() } else { tool.description };
            let input = if is_wrapped { structure::wrapped(KEY, tool.input) } else { tool.input };
            list.push(One { name: tool.name, wire, description, input, schema, is_wrapped });
        }
        Self { list, errors }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// As a provider is told of them.
    pub(super) fn wired(&self) -> Vec<Tool> {
        let tool =
            |one: &One| Tool { name: one.wire.clone(), description: one.description.clone(), input: one.input.clone() };
        self.list.iter().map(tool).collect()
    }

    /// As a model is told of them in words.
    pub(super) fn lines(&self) -> Vec<ToolLine> {
        let line = |one: &One| ToolLine {
            name: one.wire.clone(),
            description: one.description.clone(),
            input: one.schema.short(),
        };
        self.list.iter().map(line).collect()
    }

    /// What a model says that was told of them in words: a call, or the answer. To hold it to, and to read what it says:
    /// what is wrong with a call is told as the tool's error.
    pub(super) fn protocol(&self, output: &Schema, is_exact: bool) -> Schema {
        let field = |key: &str, schema: Schema| Field { key: key.to_owned(), schema, required: true };
        let call = |name: Kind, input: Schema| Kind::Object(vec![field("call", name.into()), field("input", input)]);
        let mut ways: Vec<Schema> = match is_exact {
            true => self
                .list
                .iter()
                .map(|one| call(Kind::Choice(vec![one.wire.as_str().into()]), one.schema.clone()).into())
                .collect(),
            false => vec![call(Kind::String { min_length: None, max_length: None }, Schema::any()).into()],
        };
        ways.push(Kind::Object(vec![field("answer", output.clone())]).into());
        Kind::OneOf(ways).into()
    }

    /// Calls the tool that a model named, with what it wrote as the input.
    pub(super) async fn call_written(&self, ctx: &Context, name: &str, arguments: &str) -> Result<Told, CallError> {
        let text = if arguments.trim().is_empty() { "{}" } else { arguments };
        let input = match serde_json::from_str::<Value>(text) {
            Ok(mut input) => {
                let is_wrapped = self.list.iter().any(|one| one.wire == name && one.is_wrapped);
                match &mut input {
                    Value::Object(object) if is_wrapped && object.len() == 1 => {
                        object.get_mut(KEY).map(Value::take).unwrap_or(input)
                    }
                    _ => input,
                }
            }
            Err(wrong) => return Ok(failed(format!("the input is no JSON: {wrong}"))),
        };
        self.call(ctx, name, input).await
    }

    /// Calls the tool that a model named.
    pub(super) async fn call(&self, ctx: &Context, name: &str, input: Value) -> Result<Told, CallError> {
        // Of others the model is not told, not even that they are there.
        let Some(tool) = self.list.iter().find(|one| one.wire == name || one.name == name) else {
            let names: Vec<&str> = self.list.iter().map(|one| one.wire.as_str()).collect();
            let name: String = name.chars().take(80).collect();
            return Ok(failed(format!("there is no tool `{name}`; there are {}", names.join(", "))));
        };
        match ctx.call_value(&tool.name, input).await {
            Ok(output) => Ok(Told { text: cut(output.to_string()), is_error: false }),
            Err(error) if self.errors == ToolErrors::Caller || is_final(error.class) => Err(error),
            Err(error) => Ok(failed(format!("{} ({})", error.message, error.class))),
        }
    }
}

/// Whether an error is not the model's to handle, whatever it is for.
fn is_final(class: Class) -> bool {
    matches!(class, Class::Denied | Class::Budget | Class::Cancelled | Class::Depth | Class::Record | Class::Diverged)
}

fn failed(text: String) -> Told {
    Told { text: cut(json!({"error": text}).to_string()), is_error: true }
}

fn cut(mut text: String) -> String {
    let length = text.len();
    if length > LONGEST_RESULT {
        text.truncate(text.floor_char_boundary(LONGEST_RESULT));
        text.push_str(&format!("… (cut: it has {length} bytes)"));
    }
    text
}
