//! Prompts: the messages rendered from a spec by a template. The only user of tera.
//!
//! Hidden examples, hidden properties and hidden tests never reach a template: what a template sees is
//! built by `shown_checks`, which passes them over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tera::{Context, Tera};

use crate::digest;
use crate::schema::{Kind, Schema};
use crate::spec::{ComponentSpec, Expect, Interface, Spec, SpecKind};

/// The templates that come with llmc: file name and text. A file of the same name in the workspace's
/// `templates/` takes its place.
pub const BUILT_IN: [(&str, &str); 12] = [
    ("implement.system.tera", include_str!("../templates/implement.system.tera")),
    ("implement.user.tera", include_str!("../templates/implement.user.tera")),
    ("implement.continue.tera", include_str!("../templates/implement.continue.tera")),
    ("repair.user.tera", include_str!("../templates/repair.user.tera")),
    ("component.system.tera", include_str!("../templates/component.system.tera")),
    ("component.user.tera", include_str!("../templates/component.user.tera")),
    ("component.repair.tera", include_str!("../templates/component.repair.tera")),
    ("draft.system.tera", include_str!("../templates/draft.system.tera")),
    ("draft.user.tera", include_str!("../templates/draft.user.tera")),
    ("draft.repair.tera", include_str!("../templates/draft.repair.tera")),
    ("new.function.tera", include_str!("../templates/new.function.tera")),
    ("new.component.tera", include_str!("../templates/new.component.tera")),
];

/// The template of prompts that send a failed candidate back.
const REPAIR: &str = "repair";

/// The template of components whose spec names none.
const COMPONENT: &str = "component";

/// The template of prompts that ask for the draft of a spec.
const DRAFT: &str = "draft";

/// The template of spec files that a person begins with.
const NEW: &str = "new";

/// The template used where a spec names none.
pub const DEFAULT_TEMPLATE: &str = "implement";

/// What is sent to a model, rendered once per spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The template's name.
    pub template: String,
    /// SHA-256 over the text of every template that took part, in hex.
    pub template_digest: String,
    /// The system message.
    pub system: String,
    /// The user message.
    pub user: String,
    /// How the answer begins, where the model lets us open it: a code fence and, for a single function,
    /// its imports and signature up to and with the `{`.
    pub opening: String,
    /// The same task as plain text to continue, after worked examples; ends as `opening` does, without a fence.
    /// Only for a single function; for models that run in the process and tie or win with it.
    pub continuation: Option<Continuation>,
}

/// A text for a model to continue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
    /// Worked examples, then the task's doc comment.
    pub text: String,
    /// The imports and signature up to and with `{`: the first part of the completion.
    pub opening: String,
}

/// Why a prompt could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A template file could not be read.
    #[error("failed to read template `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such template.
    #[error("no template `{name}`: neither built in nor in templates/")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A template is wrong.
    #[error("template `{name}` can't be rendered: {message}")]
    Render {
        /// The template.
        name: String,
        /// What tera says.
        message: String,
    },
}

/// Something the prompt mentions beside the spec itself: a spec that may be called, or a worked example.
#[derive(Debug, Clone, Serialize)]
pub struct Neighbour {
    /// Its description.
    pub description: String,
    /// Its interface, as Rust without bodies.
    pub interface: String,
    /// Its committed code, without llmc's header.
    pub code: String,
}

/// What is wrong with a candidate, as a model may be told. Has no field for anything that is hidden.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Flaw<'a> {
    /// The candidate's source.
    pub code: &'a str,
    /// Whether it compiles.
    pub compiles: bool,
    /// rustc's code, or that of the check.
    pub failure_code: &'a str,
    /// The first diagnostics; or what was called, expected and got.
    pub failure: &'a str,
}

/// User stories that a spec is to be drafted from.
#[derive(Debug, Clone, Copy)]
pub struct Stories<'a> {
    /// What the spec will be called.
    pub name: &'a str,
    /// Its kind; the model decides where none is given.
    pub kind: Option<SpecKind>,
    /// The stories. To every template they are data.
    pub text: &'a str,
    /// The form of the answer.
    pub output: &'a Schema,
}

/// A component that may be called, as a model is told of it that knows no tools.
#[derive(Debug, Clone, Serialize)]
pub struct ToolLine {
    /// Its name.
    pub name: String,
    /// What it does, in words.
    pub description: String,
    /// What it takes, in a line.
    pub input: String,
}

/// The templates of a workspace, read once.
pub struct Templates {
    tera: Tera,
    texts: BTreeMap<String, String>,
}

impl Templates {
    /// The built-in templates, and those in `folder`, if it exists, over them.
    pub fn load(folder: Option<&Path>) -> Result<Self, PromptError> {
        let mut texts: BTreeMap<String, String> =
            BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
            let read = |path: &Path| {
                std::fs::read_to_string(path).map_err(|source| PromptError::Read { path: path.to_owned(), source })
            };
            let entries =
                std::fs::read_dir(folder).map_err(|source| PromptError::Read { path: folder.to_owned(), source })?;
            for entry in entries {
                let path = entry.map_err(|source| PromptError::Read { path: folder.to_owned(), source })?.path();
                let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                if let Some(name) = name.filter(|name| name.ends_with(".tera")) {
                    texts.insert(name, read(&path)?);
                }
            }
        }
        let mut tera = Tera::new();
        tera.autoescape_on(Vec::<&'static str>::new());
        tera.add_raw_templates(texts.iter().map(|(name, text)| (name.clone(), text.clone())))
            .map_err(|error| PromptError::Render { name: "templates/".into(), message: error.to_string() })?;
        Ok(Self { tera, texts })
    }

    /// SHA-256 over the texts a spec's prompt is rendered from, in hex.
    ///
    /// Over all templates of the name, and over every file that is none of those: it may be included.
    pub fn digest(&self, spec: &Spec) -> String {
        let template = template_name(spec);
        let own = format!("{template}.");
        // A repair template of one's own counts, as it may shape the artifact; the built-in one does not, so that what
        // was never repaired stays up to date when it changes.
        let built_in = |name: &str, text: &str| {
            BUILT_IN.iter().any(|(known, built_in)| *known == name && (!name.starts_with(REPAIR) || *built_in == text))
        };
        let mut hasher = digest::Hasher::default();
        for (name, text) in self.texts.iter().filter(|(name, text)| name.starts_with(&own) || !built_in(name, text)) {
            hasher.update(format!("{name} {}\n", text.len()).as_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finish()
    }

    /// Renders the prompt of a spec. `uses` are the specs it may call, `shots` those it shows.
    pub fn render(&self, spec: &Spec, uses: &[Neighbour], shots: &[Neighbour]) -> Result<Prompt, PromptError> {
        let template = template_name(spec);
        let context = context(spec, uses, shots);
        let system = match &spec.prompt.system {
            Some(system) => system.clone(),
            None => self.part(template, "system", &context)?.ok_or_else(|| unknown(template))?,
        };
        let user = self.part(template, "user", &context)?.ok_or_else(|| unknown(template))?;
        let lines = opening_lines(spec);
        let continuation = match &lines {
            Some(opening) => self
                .part(template, "continue", &context)?
                .map(|text| Continuation { text: text + "\n", opening: opening.clone() }),
            None => None,
        };
        Ok(Prompt {
            template: template.to_owned(),
            template_digest: self.digest(spec),
            system,
            user,
            opening: format!("```rust\n{}", lines.unwrap_or_default()),
            continuation,
        })
    }

    /// Renders the prompt that sends a candidate of `prompt` back with what is wrong. The task stands first, word for
    /// word, so that a server that remembers it need not read it again.
    pub fn render_repair(&self, spec: &Spec, prompt: &Prompt, flaw: &Flaw<'_>) -> Result<Prompt, PromptError> {
        let mut context = context(spec, &[], &[]);
        context.insert("task", &prompt.user);
        context.insert("code", flaw.code.trim());
        context.insert("compiles", &flaw.compiles);
        context.insert("failure_code", flaw.failure_code);
        context.insert("failure", flaw.failure.trim());
        let own = match &spec.prompt.system {
            Some(_) => None,
            None => self.part(REPAIR, "system", &context)?,
        };
        let user = self.part(REPAIR, "user", &context)?.ok_or_else(|| unknown(REPAIR))?;
        let mut hasher = digest::Hasher::default();
        for (name, text) in self.texts.iter().filter(|(name, _)| name.starts_with("repair.")) {
            hasher.update(format!("{name} {}\n", text.len()).as_bytes());
            hasher.update(text.as_bytes());
        }
        Ok(Prompt {
            template: REPAIR.to_owned(),
            template_digest: hasher.finish(),
            system: own.unwrap_or_else(|| prompt.system.clone()),
            user,
            opening: "```rust\n".to_owned(),
            continuation: None,
        })
    }

    /// SHA-256 over the texts a component's prompts are rendered from, in hex: over all templates of the name, and over
    /// every file that is not built in.
    pub fn component_digest(&self, spec: &ComponentSpec) -> String {
        let own = format!("{}.", component_template(spec));
        let built_in = |name: &str| BUILT_IN.iter().any(|(known, _)| *known == name);
        let mut hasher = digest::Hasher::default();
        for (name, text) in self.texts.iter().filter(|(name, _)| name.starts_with(&own) || !built_in(name)) {
            hasher.update(format!("{name} {}\n", text.len()).as_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finish()
    }

    /// Renders the prompt of a component for an input. `tools` are those that have to be told of in words.
    ///
    /// What stays the same from input to input stands first, so that a server that remembers it need not read it again.
    pub fn render_component(
        &self,
        spec: &ComponentSpec,
        tools: &[ToolLine],
        input: &serde_json::Value,
    ) -> Result<Prompt, PromptError> {
        let template = component_template(spec);
        let is_text = tools.is_empty() && is_text(&spec.output);
        let shown = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) if is_text => text.clone(),
            value if tools.is_empty() => value.to_string(),
            value => serde_json::json!({"answer": value}).to_string(),
        };
        let examples: Vec<BTreeMap<&str, String>> = spec
            .examples
            .iter()
            .filter(|example| !example.hidden)
            .map(|example| BTreeMap::from([("input", example.input.to_string()), ("output", shown(&example.output))]))
            .collect();
        let mut context = Context::new();
        context.insert("name", &spec.name);
        context.insert("description", spec.description.trim());
        context.insert("output", &spec.output.short());
        context.insert("is_text", &is_text);
        context.insert("examples", &examples);
        context.insert("tools", tools);
        context.insert("input", &input.to_string());
        let system = match &spec.prompt.system {
            Some(system) => system.clone(),
            None => self.part(template, "system", &context)?.ok_or_else(|| unknown(template))?,
        };
        let user = self.part(template, "user", &context)?.ok_or_else(|| unknown(template))?;
        Ok(Prompt {
            template: template.to_owned(),
            template_digest: self.component_digest(spec),
            system,
            user,
            opening: String::new(),
            continuation: None,
        })
    }

    /// Renders what a model is told whose answer did not fit. `output` is the form that it has to have.
    pub fn render_misfit(&self, spec: &ComponentSpec, problem: &str, output: &Schema) -> Result<String, PromptError> {
        let mut context = Context::new();
        context.insert("name", &spec.name);
        context.insert("problem", problem.trim().trim_end_matches('.'));
        context.insert("output", &output.short());
        context.insert("is_text", &is_text(output));
        match self.part(component_template(spec), "repair", &context)? {
            Some(text) => Ok(text),
            // Whoever brings a template of their own need not bring this part.
            None => self.part(COMPONENT, "repair", &context)?.ok_or_else(|| unknown(COMPONENT)),
        }
    }

    /// Renders the prompt that asks for the draft of a spec.
    pub fn render_draft(&self, stories: &Stories<'_>) -> Result<Prompt, PromptError> {
        let context = draft_context(stories);
        let user = self.part(DRAFT, "user", &context)?.ok_or_else(|| unknown(DRAFT))?;
        self.draft_prompt(&context, user)
    }

    /// Renders the prompt that sends a draft back with what is wrong. The task stands first, word for word.
    pub fn render_draft_repair(
        &self,
        stories: &Stories<'_>,
        prompt: &Prompt,
        draft: &str,
        mistakes: &str,
    ) -> Result<Prompt, PromptError> {
        let mut context = draft_context(stories);
        context.insert("task", &prompt.user);
        context.insert("draft", draft.trim());
        context.insert("mistakes", mistakes.trim());
        context.insert("fence", &fence(&[draft, mistakes]));
        let user = self.part(DRAFT, "repair", &context)?.ok_or_else(|| unknown(DRAFT))?;
        self.draft_prompt(&context, user)
    }

    fn draft_prompt(&self, context: &Context, user: String) -> Result<Prompt, PromptError> {
        let system = self.part(DRAFT, "system", context)?.ok_or_else(|| unknown(DRAFT))?;
        let mut hasher = digest::Hasher::default();
        for (name, text) in self.texts.iter().filter(|(name, _)| name.starts_with("draft.")) {
            hasher.update(format!("{name} {}\n", text.len()).as_bytes());
            hasher.update(text.as_bytes());
        }
        Ok(Prompt {
            template: DRAFT.to_owned(),
            template_digest: hasher.finish(),
            system,
            user,
            opening: String::new(),
            continuation: None,
        })
    }

    /// Renders the file of a new spec, for a person to fill in.
    pub fn render_new(&self, name: &str, kind: SpecKind) -> Result<String, PromptError> {
        let mut context = Context::new();
        context.insert("name", name);
        let text = self.part(NEW, kind.as_str(), &context)?.ok_or_else(|| unknown(NEW))?;
        Ok(text + "\n")
    }

    /// Renders `TEMPLATE.PART.tera`, if there is one.
    fn part(&self, template: &str, part: &str, context: &Context) -> Result<Option<String>, PromptError> {
        let name = format!("{template}.{part}.tera");
        if !self.texts.contains_key(&name) {
            return Ok(None);
        }
        let text = self
            .tera
            .render(&name, context)
            .map_err(|error| PromptError::Render { name, message: error.to_string() })?;
        Ok(Some(text.trim().to_owned()))
    }
}

fn draft_context(stories: &Stories<'_>) -> Context {
    let mut context = Context::new();
    context.insert("name", stories.name);
    context.insert("kind", stories.kind.map_or("", SpecKind::as_str));
    context.insert("stories", stories.text.trim());
    context.insert("fence", &fence(&[stories.text]));
    context.insert("output", &stories.output.short());
    context
}

/// A fence of backquotes that is longer than any in these texts: none of them can end it.
fn fence(texts: &[&str]) -> String {
    let longest = texts.iter().flat_map(|text| text.split(|one| one != '`')).map(str::len).max().unwrap_or_default();
    "`".repeat((longest + 1).max(3))
}

fn unknown(template: &str) -> PromptError {
    PromptError::Unknown { name: template.to_owned() }
}

fn component_template(spec: &ComponentSpec) -> &str {
    spec.prompt.template.as_deref().unwrap_or(COMPONENT)
}

/// Whether an answer is a text and nothing but: it needs no quotes.
pub fn is_text(output: &Schema) -> bool {
    !output.nullable && matches!(output.kind, Kind::String { .. })
}

fn template_name(spec: &Spec) -> &str {
    spec.prompt.template.as_deref().unwrap_or(DEFAULT_TEMPLATE)
}

/// The imports and signature that begin the answer where a single function is all that is wanted, up to the `{`. Types that are
/// given need no repeating.
fn opening_lines(spec: &Spec) -> Option<String> {
    let Interface { functions, methods, wanted_types, .. } = &spec.interface;
    match functions.as_slice() {
        [function] if methods.is_empty() && wanted_types.is_empty() => {
            let mut lines = spec.interface.imports.join("\n");
            if !lines.is_empty() {
                lines.push_str("\n\n");
            }
            lines.push_str(&function.signature);
            lines.push_str(" {");
            Some(lines)
        }
        _ => None,
    }
}

/// What templates can use; docs/configuration.md lists it.
fn context(spec: &Spec, uses: &[Neighbour], shots: &[Neighbour]) -> Context {
    let description = spec.description.trim();
    let checks = shown_checks(spec);
    let mut context = Context::new();
    context.insert("name", &spec.name);
    context.insert("description", description);
    context.insert("form", &spec.interface.form);
    context.insert("interface", spec.interface.render().trim());
    context.insert("checks", checks.trim());
    let given: String = spec.interface.given.iter().map(|given| format!("{}\n\n", given.source.trim())).collect();
    context.insert("doc", &(given + &doc_comment(description, &shown_examples(spec))));
    context.insert("crates", &spec.dependencies.keys().collect::<Vec<_>>());
    context.insert("allow_unsafe", &spec.policy.allow_unsafe);
    context.insert("max_lines", &spec.policy.max_lines);
    context.insert("deny", &spec.policy.deny);
    let used: Vec<&str> = uses.iter().map(|neighbour| neighbour.interface.trim()).collect();
    context.insert("used", &used.join("\n"));
    let shots: Vec<BTreeMap<&str, String>> = shots
        .iter()
        .map(|shot| {
            BTreeMap::from([
                ("description", shot.description.trim().to_owned()),
                ("doc", doc_comment(shot.description.trim(), &[])),
                ("code", shot.code.trim().to_owned()),
            ])
        })
        .collect();
    context.insert("shots", &shots);
    context
}

/// A doc comment with the description, then the examples as code.
fn doc_comment(description: &str, examples: &[String]) -> String {
    let comment =
        |line: &str| if line.trim().is_empty() { "///".to_owned() } else { format!("/// {}", line.trim_end()) };
    let mut lines: Vec<String> = description.lines().map(comment).collect();
    if !examples.is_empty() {
        lines.push("///".to_owned());
        lines.extend(examples.iter().flat_map(|example| example.lines()).map(comment));
    }
    lines.join("\n")
}

/// The shown examples, each as a line of Rust, then the assertions of the shown tests.
fn shown_examples(spec: &Spec) -> Vec<String> {
    let mut lines: Vec<String> = spec
        .examples
        .iter()
        .filter(|example| !example.hidden)
        .map(|example| {
            let call = example.call.text.trim();
            match &example.expect {
                Expect::Returns(value) => format!("assert_eq!({call}, {});", value.text.trim()),
                Expect::Holds(condition) => {
                    format!("let result = {call}; assert!({});", condition.text.trim())
                }
                Expect::Matches(pattern) => format!("assert!(matches!({call}, {}));", pattern.text.trim()),
                Expect::Panics(None) => format!("{call}; // panics"),
                Expect::Panics(Some(message)) => format!("{call}; // panics: {message}"),
            }
        })
        .collect();
    if let Some(tests) = &spec.tests {
        lines.extend(tests.text.lines().map(str::trim).filter_map(statement).map(str::to_owned));
    }
    lines
}

/// What a line of a test states, without the test around it.
fn statement(line: &str) -> Option<&str> {
    match line {
        "" | "}" => None,
        _ if line.starts_with("#[") => None,
        _ if line.starts_with("fn ") => {
            let body = line.split_once('{')?.1.trim().strip_suffix('}')?.trim();
            (!body.is_empty()).then_some(body)
        }
        _ => Some(line),
    }
}

/// The shown examples, properties and tests as Rust tests.
fn shown_checks(spec: &Spec) -> String {
    let mut text = String::new();
    let examples = Spec { tests: None, ..spec.clone() };
    let lines = shown_examples(&examples);
    if !lines.is_empty() {
        text.push_str("#[test]\nfn examples() {\n");
        for line in lines {
            text.push_str(&format!("    {line}\n"));
        }
        text.push_str("}\n");
    }
    for property in spec.properties.iter().filter(|property| !property.hidden) {
        let variables: Vec<String> =
            property.forall.iter().map(|(name, kind)| format!("{name}: {}", kind.text.trim())).collect();
        text.push_str(&format!("// For every {}", variables.join(", ")));
        if let Some(assume) = &property.assume {
            text.push_str(&format!(" with {}", one_line(&assume.text)));
        }
        text.push_str(&format!(": {}\n", one_line(&property.holds.text)));
    }
    if let Some(tests) = &spec.tests {
        text.push_str(tests.text.trim_end());
        text.push('\n');
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    const SPEC: &str = r#"llmc: 1
name: nth
description: |
  The item at an index.

  Or nothing.
signature: "pub fn nth(items: &[HashMap<u8, u8>], at: usize) -> Option<HashMap<u8, u8>>"
examples:
  - call: nth(&[], 3)
    returns: None
  - call: nth(&[], 4)
    holds: result.is_none()
  - call: nth(&[], 5)
    matches: None
  - call: nth(&[], usize::MAX)
    returns: None
    hidden: true
properties:
  - name: hidden_property
    forall: { secret: u8 }
    holds: secret == secret
    hidden: true
tests: |
  #[test]
  fn shown() { assert!(nth(&[], 0).is_none()); }
hidden_tests: |
  #[test]
  fn concealed() { assert!(nth(&[], 77).is_none()); }
"#;

    fn prompt(text: &str) -> Prompt {
        let (spec, _) = spec::parse("nth.yaml", "nth", text.as_bytes()).expect("the spec is valid");
        Templates::load(None).expect("the built-in templates are valid").render(&spec, &[], &[]).expect("they render")
    }

    #[test]
    fn the_prompt_holds_what_is_shown_and_nothing_that_is_hidden() {
        let prompt = prompt(SPEC);
        let all = serde_json::to_string(&prompt).expect("a prompt is JSON");
        for shown in ["nth(&[], 3)", "result.is_none()", "matches!(nth(&[], 5), None)", "fn shown()", "std::fs"] {
            assert!(all.contains(shown), "{shown}");
        }
        for hidden in ["usize::MAX", "secret", "hidden_property", "concealed", "77"] {
            assert!(!all.contains(hidden), "{hidden}");
        }
    }

    #[test]
    fn a_repair_prompt_holds_the_task_the_code_and_the_failure_and_nothing_that_is_hidden() {
        let (spec, _) = spec::parse("nth.yaml", "nth", SPEC.as_bytes()).expect("the spec is valid");
        let templates = Templates::load(None).expect("the built-in templates are valid");
        let first = templates.render(&spec, &[], &[]).expect("it renders");
        let flaw =
            Flaw { code: "fn nth() { one }", compiles: false, failure_code: "E0425", failure: "cannot find `one`" };
        let prompt = templates.render_repair(&spec, &first, &flaw).expect("it renders");
        assert!(prompt.user.starts_with(&first.user) && prompt.system == first.system);
        assert!(
            prompt.user.contains("fn nth() { one }") && prompt.user.contains("cannot find `one`"),
            "{}",
            prompt.user
        );
        assert!(prompt.user.contains("does not compile"), "{}", prompt.user);
        let failed = Flaw { compiles: true, failure: "expected 1, got 2", ..flaw };
        let prompt = templates.render_repair(&spec, &first, &failed).expect("it renders");
        assert!(prompt.user.contains("expected 1, got 2") && !prompt.user.contains("does not compile"));
        for hidden in ["usize::MAX", "secret", "hidden_property", "concealed", "77"] {
            assert!(!prompt.user.contains(hidden), "{hidden}");
        }
    }

    #[test]
    fn a_repair_template_of_ones_own_is_used_and_counts_among_what_an_artifact_depends_on() {
        let (spec, _) = spec::parse("nth.yaml", "nth", SPEC.as_bytes()).expect("the spec is valid");
        let folder = tempfile::tempdir().expect("there is a temp folder");
        let built_in = Templates::load(None).expect("the built-in templates are valid");
        let load = |text: &str| {
            std::fs::write(folder.path().join("repair.user.tera"), text).expect("it can be written");
            Templates::load(Some(folder.path())).expect("the template is valid")
        };
        let same = load(BUILT_IN[3].1);
        assert_eq!(same.digest(&spec), built_in.digest(&spec));
        let own = load("Mend {{ name }}: {{ failure }}");
        assert_ne!(own.digest(&spec), built_in.digest(&spec));
        let first = own.render(&spec, &[], &[]).expect("it renders");
        let flaw = Flaw { code: "", compiles: true, failure_code: "example-1", failure: "got 2" };
        assert_eq!(own.render_repair(&spec, &first, &flaw).expect("it renders").user, "Mend nth: got 2");
    }

    #[test]
    fn the_answer_is_opened_with_imports_and_signature() {
        let prompt = prompt(SPEC);
        let lines = "use std::collections::HashMap;\n\n\
                     pub fn nth(items: &[HashMap<u8, u8>], at: usize) -> Option<HashMap<u8, u8>> {";
        assert_eq!(prompt.opening, format!("```rust\n{lines}"));
        let continuation = prompt.continuation.expect("a single function can be continued");
        assert_eq!(continuation.opening, lines);
        assert!(continuation.text.ends_with("/// assert!(nth(&[], 0).is_none());\n"), "{}", continuation.text);
    }

    #[test]
    fn types_that_are_given_are_not_asked_for_again() {
        let text = "llmc: 1\nname: one\ndescription: One.\ninterface: |\n  pub struct Point { pub x: u8 }\n  \
                    pub fn one(at: Point) -> u8;\nexamples:\n  - { call: \"one(Point { x: 1 })\", returns: 1 }\n";
        let (spec, _) = spec::parse("one.yaml", "one", text.as_bytes()).expect("the spec is valid");
        let templates = Templates::load(None).expect("the built-in templates are valid");
        let prompt = templates.render(&spec, &[], &[]).expect("it renders");
        assert_eq!(prompt.opening, "```rust\npub fn one(at: Point) -> u8 {");
        let text = prompt.continuation.expect("a single function can be continued").text;
        let own = "pub struct Point { pub x: u8 }\n\n/// One.\n///\n/// assert_eq!(one(Point { x: 1 }), 1);\n";
        assert!(text.ends_with(own), "{text}");
    }

    #[test]
    fn several_items_are_not_continued_but_only_fenced() {
        let text = "llmc: 1\nname: two\ndescription: Two.\ninterface: |\n  pub fn a() -> u8;\n  pub fn b() -> u8;\nexamples:\n  - { call: a(), returns: 1 }\n";
        let (spec, _) = spec::parse("two.yaml", "two", text.as_bytes()).expect("the spec is valid");
        let templates = Templates::load(None).expect("the built-in templates are valid");
        let prompt = templates.render(&spec, &[], &[]).expect("they render");
        assert_eq!(prompt.opening, "```rust\n");
        assert!(prompt.continuation.is_none());
    }

    #[test]
    fn a_template_that_is_not_there_is_named() {
        let text = format!("{SPEC}prompt: {{ template: fancy }}\n");
        let (spec, _) = spec::parse("nth.yaml", "nth", text.as_bytes()).expect("the spec is valid");
        let templates = Templates::load(None).expect("the built-in templates are valid");
        let error = templates.render(&spec, &[], &[]).expect_err("there is no such template");
        assert_eq!(error.to_string(), "no template `fancy`: neither built in nor in templates/");
    }
}
