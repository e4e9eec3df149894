//! One call of a component: what is said to its models, and what they answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;
use tokio::sync::mpsc;

use super::purse::CallPurse;
use super::tools::Tools;
use super::{ModelComponent, ROUNDS, reply};
use crate::harness::{CallError, Class, Context};
use crate::model::purse::{Purse, draw_within};
use crate::model::stop::stutters;
use crate::model::{Completion, Drawn, Finish, Model, ModelError, Parameters, Request, Said, Talk, ToolResult, Turn};
use crate::prompt::{Prompt, is_text};
use crate::schema::Schema;

/// Most tools that a model may call at once.
const AT_ONCE: usize = 16;
/// More of an answer that did not fit is not sent back, in bytes.
const LONGEST_TURN: usize = 16 << 10;
/// Most characters of a refusal that its caller reads.
const SHOWN: usize = 300;

/// A conversation with the models of a component, about one input.
pub(super) struct Talking<'a> {
    component: &'a ModelComponent,
    ctx: &'a Context,
    input: &'a Value,
    seed: u64,
    tools: Tools,
    purse: Arc<CallPurse>,
    turns: Vec<Turn>,
    /// Whether the models so far were told of the tools in words.
    in_words: bool,
    rounds: usize,
    is_repaired: bool,
    requests: usize,
}

/// What a model said.
enum Step {
    Answer(Value),
    Call(String, Value),
    /// Nothing that could be used: why.
    Misfit(String),
}

impl<'a> Talking<'a> {
    pub(super) fn new(component: &'a ModelComponent, ctx: &'a Context, input: &'a Value, seed: u64) -> Self {
        let (spec, parts) = (&component.spec, &component.parts);
        Self {
            component,
            ctx,
            input,
            seed,
            tools: Tools::of(ctx, &spec.tools, spec.tool_errors),
            purse: Arc::new(CallPurse::new(ctx, spec, parts)),
            turns: Vec::new(),
            in_words: false,
            rounds: 0,
            is_repaired: false,
            requests: 0,
        }
    }

    fn told_in_words(&self, model: &dyn Model) -> bool {
        !self.tools.is_empty() && !model.takes_tools()
    }

    /// Whether what was said so far can be said to `model`: what tools did is not done again.
    pub(super) fn may_go_on_with(&self, model: &dyn Model) -> bool {
        self.turns.is_empty() || self.told_in_words(model) == self.in_words
    }

    /// Talks with a model until it answers.
    pub(super) async fn with(&mut self, number: usize) -> Result<Value, CallError> {
        let spec = &self.component.spec;
        let model = &*self.component.parts.models[number];
        for turn in &mut self.turns {
            // What another provider wants back means nothing to this one.
            if let Turn::Model(said) = turn {
                said.whole = None;
                said.calls.iter_mut().for_each(|call| call.more.clear());
            }
        }
        loop {
            self.in_words = self.told_in_words(model);
            let prompt = self.prompt()?;
            let is_native = !self.tools.is_empty() && !self.in_words;
            let output = match self.in_words {
                true => Some(self.tools.protocol(&spec.output, true)),
                false => (!is_text(&spec.output) && !spec.output.is_any()).then(|| spec.output.clone()),
            };
            let tools = if is_native { self.tools.wired() } else { Vec::new() };
            let talk = Talk { turns: self.turns.clone(), output, tools };
            let completion = self.draw(number, &prompt, &talk).await?;
            if is_native && completion.left_out.iter().any(|name| name == "tools") {
                if !self.told_in_words(model) || !self.turns.is_empty() {
                    return Err(self.error(Class::Provider, "it takes no tools"));
                }
                self.tried(Class::Provider, format!("{} takes no tools: they are told in words", model.identity()));
                continue;
            }
            if completion.refused || completion.finish == Finish::Filter {
                return Err(self.error(Class::Refusal, refusal(&completion)));
            }
            if completion.finish == Finish::Length {
                let count = completion.completion_tokens;
                let why = match stutters(&completion.text) {
                    true => ": it was the same few characters again and again",
                    false => "; `sampling.max_tokens` is its limit",
                };
                let message = format!("the answer was cut off after {count} tokens{why}");
                return Err(self.error(Class::FormatViolation, message));
            }
            if !completion.calls.is_empty() {
                self.next_round()?;
                self.call_all(completion).await?;
                continue;
            }
            match self.read(&completion.text) {
                Step::Answer(value) => return Ok(value),
                Step::Call(name, input) => {
                    self.next_round()?;
                    let told = self.tools.call(self.ctx, &name, input).await?;
                    self.turns.push(Turn::Model(Said { text: completion.text, ..Said::default() }));
                    let how = if told.is_error { "failed" } else { "gave" };
                    self.turns.push(Turn::User(format!("The tool `{name}` {how}: {}", told.text)));
                }
                Step::Misfit(problem) => self.send_back(completion, problem)?,
            }
        }
    }

    fn prompt(&self) -> Result<Prompt, CallError> {
        let lines = if self.in_words { self.tools.lines() } else { Vec::new() };
        let component = self.component;
        let rendered = component.parts.templates.render_component(&component.spec, &lines, self.input);
        rendered.map_err(|error| self.error(Class::Failed, error.to_string()))
    }

    /// What a reply says that calls no tool of the provider's.
    fn read(&self, text: &str) -> Step {
        let output: &Schema = &self.component.spec.output;
        if !self.in_words {
            return reply::read(text, output).map_or_else(Step::Misfit, Step::Answer);
        }
        match reply::read(text, &self.tools.protocol(output, false)) {
            Ok(Value::Object(mut said)) => match (said.shift_remove("answer"), said.shift_remove("call")) {
                (Some(answer), _) => Step::Answer(answer),
                (None, Some(Value::String(name))) => Step::Call(name, said.shift_remove("input").unwrap_or_default()),
                (None, _) => Step::Misfit("it neither calls a tool nor answers".to_owned()),
            },
            Ok(_) => Step::Misfit("it neither calls a tool nor answers".to_owned()),
            // An answer needs no wrapping where it can't be taken for anything else.
            Err(wrong) if is_text(output) => Step::Misfit(wrong),
            Err(wrong) => reply::read(text, output).map_or(Step::Misfit(wrong), Step::Answer),
        }
    }

    /// Sends back what does not fit, once.
    fn send_back(&mut self, completion: Completion, problem: String) -> Result<(), CallError> {
        let message = format!("the answer does not fit: {problem}");
        if self.is_repaired {
            return Err(self.error(Class::FormatViolation, format!("{message} (it was sent back once)")));
        }
        self.is_repaired = true;
        self.tried(Class::FormatViolation, message);
        let spec = &self.component.spec;
        let wanted = match self.in_words {
            true => self.tools.protocol(&spec.output, true),
            false => spec.output.clone(),
        };
        let told = self.component.parts.templates.render_misfit(spec, &problem, &wanted);
        let told = told.map_err(|error| self.error(Class::Failed, error.to_string()))?;
        let mut text = completion.text;
        text.truncate(text.floor_char_boundary(LONGEST_TURN));
        if text.trim().is_empty() {
            text = "(nothing)".to_owned();
        }
        self.turns.push(Turn::Model(Said { text, ..Said::default() }));
        self.turns.push(Turn::User(told));
        Ok(())
    }

    fn next_round(&mut self) -> Result<(), CallError> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            let message = format!("the model called tools {ROUNDS} times in a row and gave no answer");
            return Err(self.error(Class::FormatViolation, message));
        }
        Ok(())
    }

    /// Calls what a model asks for, one after the other.
    async fn call_all(&mut self, completion: Completion) -> Result<(), CallError> {
        if completion.calls.len() > AT_ONCE {
            let message = format!("the model called {} tools at once; {AT_ONCE} are the most", completion.calls.len());
            return Err(self.error(Class::FormatViolation, message));
        }
        let bytes: usize = completion.calls.iter().map(|call| call.arguments.len() + call.name.len()).sum();
        if bytes > reply::LONGEST {
            let message = format!("what the model gave its tools has {bytes} bytes; {} are the most", reply::LONGEST);
            return Err(self.error(Class::FormatViolation, message));
        }
        let mut results = Vec::new();
        for call in &completion.calls {
            let told = self.tools.call_written(self.ctx, &call.name, &call.arguments).await?;
            results.push(ToolResult { id: call.id.clone(), content: told.text, is_error: told.is_error });
        }
        let Completion { text, calls, whole, .. } = completion;
        self.turns.push(Turn::Model(Said { text, calls, whole }));
        self.turns.push(Turn::Results(results));
        Ok(())
    }

    /// Draws one completion.
    async fn draw(&mut self, number: usize, prompt: &Prompt, talk: &Talk) -> Result<Completion, CallError> {
        let component = self.component;
        let model = &*component.parts.models[number];
        let identity = model.identity();
        // What was recorded is given in order, and takes nothing of a budget.
        let is_replay = identity.provider == "replay";
        let index = match is_replay {
            true => component.requests[number].fetch_add(1, Ordering::Relaxed),
            false => self.requests,
        };
        self.requests += 1;
        let parameters = Parameters { seed: self.seed, ..component.parameters.clone() };
        let purse: Arc<dyn Purse> = self.purse.clone();
        let request = Request {
            purse: (!is_replay).then_some(&purse),
            talk: Some(talk),
            ..Request::new(prompt, &parameters, index, 1)
        };
        let (sink, mut drawn) = mpsc::unbounded_channel();
        let result = match request.purse {
            Some(purse) if !model.asks_purse() => draw_within(model, &request, purse, sink).await,
            _ => model.draw(&request, sink).await,
        };
        if let Some(refusal) = self.purse.refusal() {
            return Err(refusal);
        }
        let sent = self.purse.sent();
        let mut outcome = result.err().map(Err);
        while let Some(event) = drawn.recv().await {
            match event {
                Drawn::Sample(completion) => outcome = Some(Ok(completion)),
                Drawn::Failed { error, .. } => drop(outcome.get_or_insert(Err(error))),
                Drawn::Tokens(_) => {}
            }
        }
        match outcome {
            Some(Ok(completion)) => {
                if sent > 1 {
                    self.tried(Class::Provider, format!("{identity} had to be asked {sent} times for one answer"));
                }
                Ok(completion)
            }
            Some(Err(error)) => Err(self.error(Class::Provider, failure(&error, sent))),
            None => Err(self.error(Class::Provider, "it gave no answer")),
        }
    }

    fn tried(&self, class: Class, message: String) {
        self.ctx.tried(self.error(class, message), 0);
    }

    fn error(&self, class: Class, message: impl Into<String>) -> CallError {
        self.component.error(class, message)
    }
}

/// What a provider's failure is told as.
fn failure(error: &ModelError, sent: usize) -> String {
    let mut text = error.to_string();
    if sent > 1 {
        text.push_str(&format!(" (asked {sent} times)"));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("; {hint}"));
    }
    text
}

fn refusal(completion: &Completion) -> String {
    let said: Vec<&str> = completion.text.split_whitespace().collect();
    let said: String = said.join(" ").chars().take(SHOWN).collect();
    match said.is_empty() {
        true => "the model declined to answer, or its provider held the answer back".to_owned(),
        false => format!("the model declined to answer: {said}"),
    }
}
