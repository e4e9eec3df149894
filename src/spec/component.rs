//! Specs of `kind: component`: something that a model answers, called by name through the harness.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::reader::{Fields, Reader, did_you_mean, excerpt};
use super::yaml::{self, At, Node, Resolved};
use super::{Budget, PromptOptions, RustTypes, Sampling, rust_types};
use crate::harness::{Decision, Vote};
use crate::schema::Schema;

/// The keys of a component's spec, in the order in which they are best written.
pub(super) const COMPONENT_KEYS: &[&str] = &[
    "llmc",
    "name",
    "kind",
    "description",
    "input",
    "output",
    "interface",
    "examples",
    "tools",
    "tool_errors",
    "model",
    "sampling",
    "budget",
    "prompt",
    "expect",
    "approval",
    "timeout",
    "retries",
    "vote",
    "concurrency",
    "cache",
];
/// The keys of one of its `examples`.
pub(super) const COMPONENT_EXAMPLE_KEYS: &[&str] = &["input", "output", "hidden"];
/// The keys of its `sampling`.
pub(super) const COMPONENT_SAMPLING_KEYS: &[&str] = &["temperature", "top_p", "max_tokens", "seed"];
/// The keys of its `prompt`.
pub(super) const COMPONENT_PROMPT_KEYS: &[&str] = &["system", "template"];
/// The keys of `expect`.
pub(super) const EXPECT_OF_KEYS: &[&str] = &["agree", "valid", "judge", "max_latency", "max_cost"];
/// The keys of `vote`.
pub(super) const VOTE_KEYS: &[&str] = &["agree", "of"];
/// The values of `tool_errors`.
pub(super) const TOOL_ERRORS: &[&str] = &["model", "caller"];
/// The values of `approval`.
pub(super) const APPROVALS: &[&str] = &["allow", "ask", "deny"];

/// A spec of `kind: component`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentSpec {
    /// The spec's name: a Rust identifier, and the file's stem.
    pub name: String,
    /// What it does, in words: what the model is told, and what a model reads that may call it as a tool.
    pub description: String,
    /// What it takes.
    pub input: Schema,
    /// What it gives.
    pub output: Schema,
    /// The Rust types that both come from, where the spec has an `interface`.
    pub types: Option<RustTypes>,
    /// Inputs with the outputs they should get: shown to the model, hidden ones aside.
    pub examples: Vec<ComponentExample>,
    /// Components and functions that the model may call: `NAME`, or `NAME.FUNCTION` of a spec with several.
    pub tools: Vec<String>,
    /// Who sees what a tool did wrong.
    pub tool_errors: ToolErrors,
    /// `provider/name`, in the order in which they are tried; empty: the workspace's default.
    pub model: Vec<String>,
    /// How to sample; `samples`, `stop` and `repairs` have no meaning here.
    pub sampling: Sampling,
    /// Caps on what one call may use up.
    pub budget: Budget,
    /// What shapes the prompt; `shots` has no meaning here.
    pub prompt: PromptOptions,
    /// What is expected of the distribution of its answers.
    pub expect: Expectations,
    /// Who may call it, unless a rule says something stricter.
    pub approval: Decision,
    /// The longest that one attempt may take.
    pub timeout: Option<Duration>,
    /// How many more attempts there may be.
    pub retries: u32,
    /// Several answers, of which enough must be the same.
    pub vote: Option<Vote>,
    /// Calls at once.
    pub concurrency: Option<usize>,
    /// Whether an answer is kept for the same input.
    pub cache: bool,
}

/// Who sees the error of a tool that the model called.
///
/// Whatever this says, a call that was denied, cancelled or too deep, and one that found no budget left, ends the
/// component's own call: no model is told how to get around a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolErrors {
    /// The model: it may call again, call another, or answer without.
    #[default]
    Model,
    /// The component's caller.
    Caller,
}

/// An input with the output it should get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentExample {
    /// The input.
    pub input: Value,
    /// The output.
    pub output: Value,
    /// Whether it is kept from the model: it only tests.
    pub hidden: bool,
}

/// What is expected of the distribution of a component's answers; each is tested by `llmc test`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Expectations {
    /// How often, at least, an answer to an example's input is the example's output (or what `judge` takes for right).
    pub agree: Option<f64>,
    /// How often, at least, there is an answer that fits the schema.
    pub valid: Option<f64>,
    /// A Rust expression over `input`, `output` and `expected`, true where the answer is right.
    pub judge: Option<String>,
    /// The longest that 95 of 100 calls may take.
    pub max_latency: Option<Duration>,
    /// The most that a call may cost on average, in US dollars.
    pub max_cost: Option<f64>,
}

impl ComponentSpec {
    /// The canonical form: JSON with every key in a fixed order and nothing else of the file.
    pub fn canonical(&self) -> String {
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
        let value = json!({
            "kind": "component",
            "name": self.name,
            "description": self.description,
            "input": self.input.to_json(),
            "output": self.output.to_json(),
            "types": self.types,
            "examples": self.examples,
            "tools": self.tools,
            "tool_errors": self.tool_errors,
            "model": self.model,
            "sampling": self.sampling,
            "budget": self.budget,
            "prompt": self.prompt,
            "expect": self.expect,
            "approval": self.approval,
            "timeout": seconds(self.timeout),
            "retries": self.retries,
            "vote": self.vote,
            "concurrency": self.concurrency,
            "cache": self.cache,
        });
        format!("{value:#}\n")
    }
}

impl Reader {
    pub(super) fn component(&mut self, stem: &str, root: &Node) -> Option<ComponentSpec> {
        let fields = self.fields(root.at, root, "a component", COMPONENT_KEYS)?;
        self.version(&fields);
        let name = self.name(&fields, stem);
        let description = self.description(&fields);
        let sides = self.sides(&fields, stem);
        let schemas = sides.as_ref().map(|(input, output, _)| (input, output));
        let examples = fields.get("examples").map(|(key, node)| self.component_examples(key, node, schemas));
        let examples = examples.unwrap_or_default();
        let own = name.as_deref().unwrap_or(stem);
        let tools = fields.get("tools").map(|(key, node)| self.tools(key, node, own)).unwrap_or_default();
        let tool_errors = self.tool_errors(&fields);
        let model = fields.get("model").map(|(key, node)| self.model(key, node)).unwrap_or_default();
        let sampling = fields.get("sampling").map(|(key, node)| self.sampling_of(key, node, COMPONENT_SAMPLING_KEYS));
        let budget = fields.get("budget").map(|(key, node)| self.budget(key, node)).unwrap_or_default();
        let prompt = fields.get("prompt").map(|(key, node)| self.prompt_of(key, node, own, COMPONENT_PROMPT_KEYS));
        let expect = fields.get("expect").map(|(key, node)| self.expect(key, node, &fields)).unwrap_or_default();
        let approval = fields.get("approval").and_then(|(key, node)| self.word(key, node, "approval", APPROVALS));
        let approval = match approval {
            Some("ask") => Decision::Ask,
            Some("deny") => Decision::Deny,
            _ => Decision::Allow,
        };
        let timeout = fields.get("timeout").and_then(|(key, node)| self.duration(key, node, "timeout"));
        let mut integer = |name: &str, least: i128, most: i128| {
            let (key, node) = fields.get(name)?;
            self.integer(key, node, name, least, most)
        };
        let retries = integer("retries", 0, 100).map_or(0, |value| value as u32);
        let concurrency = integer("concurrency", 1, 100_000).map(|value| value as usize);
        let vote = fields.get("vote").and_then(|(key, node)| self.vote(key, node));
        let cache = fields.get("cache").and_then(|(key, node)| self.boolean(key, node, "cache")).unwrap_or(false);
        let (input, output, types) = sides?;
        Some(ComponentSpec {
            name: name?,
            description: description?,
            input,
            output,
            types,
            examples,
            tools,
            tool_errors,
            model,
            sampling: sampling.unwrap_or_default(),
            budget,
            prompt: prompt.unwrap_or_default(),
            expect,
            approval,
            timeout,
            retries,
            vote,
            concurrency,
            cache,
        })
    }

    /// What it takes and what it gives.
    fn sides(&mut self, fields: &Fields<'_>, stem: &str) -> Option<(Schema, Schema, Option<RustTypes>)> {
        let (input, output) = (fields.get("input"), fields.get("output"));
        if let Some((key, node)) = fields.get("interface") {
            if let Some((other, _)) = input.or(output) {
                self.error(other, "`interface` says what is taken and given; `input` and `output` can't, too");
                return None;
            }
            let scalar = self.rust(key, node, "interface")?;
            return match rust_types::read(&scalar.snippet.text) {
                Ok(read) => {
                    if read.name != stem {
                        let help = format!("write `pub fn {}`", excerpt(stem));
                        let at = super::checks::place(&scalar, read.span);
                        self.error_with(at, format!("the function is `{}`, the spec is another", read.name), help);
                    }
                    Some((read.input, read.output, Some(read.types)))
                }
                Err(mistakes) => {
                    for mistake in mistakes {
                        self.rust_mistake(&scalar, "interface", mistake);
                    }
                    None
                }
            };
        }
        let mut side = |name: &str, given: Option<(At, &Node)>| match given {
            Some((key, node)) => self.schema(key, node, name),
            None => {
                let help = "a JSON Schema, for example `{ type: string }`; or Rust types, as `interface`";
                self.error_with(fields.at, format!("missing `{name}`"), help);
                None
            }
        };
        let (input, output) = (side("input", input), side("output", output));
        Some((input?, output?, None))
    }

    fn component_examples(
        &mut self,
        key: At,
        node: &Node,
        schemas: Option<(&Schema, &Schema)>,
    ) -> Vec<ComponentExample> {
        let mut examples: Vec<ComponentExample> = Vec::new();
        for node in self.items(key, node, "examples") {
            let Some(fields) = self.fields(node.at, node, "an example", COMPONENT_EXAMPLE_KEYS) else { continue };
            let mut side = |name: &str, schema: Option<&Schema>| {
                let Some((key, node)) = fields.get(name) else {
                    self.error(fields.at, format!("the example has no `{name}`"));
                    return None;
                };
                let value = self.json(node)?;
                if let Some(schema) = schema {
                    self.fits(key, node, name, &value, schema);
                }
                Some(value)
            };
            let input = side("input", schemas.map(|(input, _)| input));
            let output = side("output", schemas.map(|(_, output)| output));
            let hidden = fields.get("hidden").and_then(|(key, node)| self.boolean(key, node, "hidden"));
            let (Some(input), Some(output)) = (input, output) else { continue };
            if examples.iter().any(|other| other.input == input && other.output != output) {
                let help = "no answer can be both; change the input, or take one of them out";
                self.warning(fields.at, "another example has the same input, and another output", help);
            }
            examples.push(ComponentExample { input, output, hidden: hidden.unwrap_or(false) });
        }
        examples
    }

    fn tools(&mut self, key: At, node: &Node, own: &str) -> Vec<String> {
        let mut tools = Vec::new();
        for (at, text) in self.texts(key, node, "tools") {
            let (spec, function) = text.split_once('.').map_or((text.as_str(), None), |(spec, one)| (spec, Some(one)));
            if spec == own {
                self.error(at, "`tools` names the component itself");
            } else if self.identifier(at, spec, "the spec's name")
                && function.is_none_or(|function| self.identifier(at, function, "the function's name"))
            {
                tools.push(text);
            }
        }
        tools
    }

    fn tool_errors(&mut self, spec: &Fields<'_>) -> ToolErrors {
        let Some((key, node)) = spec.get("tool_errors") else { return ToolErrors::default() };
        let has_tools = match spec.get("tools") {
            Some((_, node)) => !matches!(&node.value, yaml::Value::Sequence(items) if items.is_empty()),
            None => false,
        };
        if !has_tools {
            let help = "add `tools`, or leave it out";
            self.error_with(key, "`tool_errors` says who sees what a tool did wrong, and there are no `tools`", help);
        }
        match self.word(key, node, "tool_errors", TOOL_ERRORS) {
            Some("caller") => ToolErrors::Caller,
            _ => ToolErrors::Model,
        }
    }

    fn expect(&mut self, key: At, node: &Node, spec: &Fields<'_>) -> Expectations {
        let Some(fields) = self.fields(key, node, "expect", EXPECT_OF_KEYS) else { return Expectations::default() };
        let mut number = |name: &str, is_ok: fn(f64) -> bool, wanted: &str| {
            let (key, node) = fields.get(name)?;
            self.number(key, node, name, is_ok, wanted)
        };
        // No number of draws shows that something never happens.
        let is_share = |value: f64| value > 0.0 && value < 1.0;
        let agree = number("agree", is_share, "a share above 0 and below 1");
        let valid = number("valid", is_share, "a share above 0 and below 1");
        let max_cost = number("max_cost", |value| value > 0.0, "US dollars, above 0");
        let max_latency = fields.get("max_latency").and_then(|(key, node)| self.duration(key, node, "max_latency"));
        let judge = fields.get("judge").and_then(|(key, node)| self.expression(key, node, "judge"));
        let has_examples = match spec.get("examples") {
            Some((_, node)) => !matches!(&node.value, yaml::Value::Sequence(items) if items.is_empty()),
            None => false,
        };
        if let Some((key, _)) = fields.get("agree")
            && !has_examples
        {
            let help = "add `examples`: what `agree` counts is how often an answer is the example's";
            self.error_with(key, "`agree` has nothing to agree with: the component has no examples", help);
        }
        if let Some((key, _)) = fields.get("judge")
            && fields.get("agree").is_none()
        {
            let help = "add `agree`: how often, at least, an answer must be right";
            self.error_with(key, "`judge` says which answers are right, and nothing says how many have to be", help);
        }
        Expectations { agree, valid, judge: judge.map(|snippet| snippet.text), max_latency, max_cost }
    }

    fn vote(&mut self, key: At, node: &Node) -> Option<Vote> {
        let fields = self.fields(key, node, "vote", VOTE_KEYS)?;
        let mut integer = |name: &str| match fields.get(name) {
            Some((key, node)) => self.integer(key, node, name, 1, 100).map(|value| value as usize),
            None => {
                self.error_with(
                    fields.at,
                    format!("`vote` has no `{name}`"),
                    "for example `vote: { agree: 2, of: 3 }`",
                );
                None
            }
        };
        let (agree, of) = (integer("agree"), integer("of"));
        let vote = Vote { agree: agree?, of: of? };
        if vote.agree > vote.of {
            self.error(node.at, format!("{} answers can't be the same {}", vote.of, vote.agree));
            return None;
        }
        Some(vote)
    }

    /// A time, such as `500ms`, `2s` or `1.5m`.
    fn duration(&mut self, key: At, node: &Node, name: &str) -> Option<Duration> {
        let wanted = "a time such as `500ms`, `2s` or `1m`";
        let yaml::Value::Scalar(scalar) = &node.value else {
            self.wrong_type(key, node, name, wanted, None);
            return None;
        };
        let text = scalar.snippet.text.as_str();
        let (number, unit) =
            text.split_at(text.find(|sign: char| !(sign.is_ascii_digit() || sign == '.')).unwrap_or(text.len()));
        let scale = match unit {
            "ms" => Some(0.001),
            "s" => Some(1.0),
            "m" => Some(60.0),
            _ => None,
        };
        let seconds = number.parse::<f64>().ok().zip(scale).map(|(number, scale)| number * scale);
        let duration = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0).map(Duration::from_secs_f64);
        if duration.is_none_or(|duration| duration.is_zero()) {
            let help = match scalar.resolve() {
                Resolved::Int(_) | Resolved::Float(_) => Some(format!("say of what: `{text}s`")),
                _ if scale.is_none() && !number.is_empty() => did_you_mean(unit, &["ms", "s", "m"]),
                _ if seconds.is_some() => Some("above 0, and at most a day".to_owned()),
                _ => None,
            };
            self.wrong_type(key, node, name, wanted, help);
            return None;
        }
        duration
    }
}
