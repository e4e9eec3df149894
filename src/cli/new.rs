//! `llmc new`: a spec to fill in, or one that a model drafted from user stories.

use std::io::Read as _;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Output;
use super::args::AskingArgs;
use crate::driver::{self, Created, Drafted, Drafting, Session};
use crate::error::{Error, ExitCode};
use crate::report::{Verbosity, count, one_line};
use crate::spec::SpecKind;

/// `llmc new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --from the spec is a small one with comments, to be filled in. With it a model drafts the spec from user stories,
examples included, and lists what they leave open. A draft is checked as `llmc check` does, and what is wrong goes back to
the model; only a draft that checks becomes specs/NAME.yaml, any other is left in .llmc/drafts. Its examples are guesses:
read them before you build. Nothing is committed.

Examples:
  llmc new slugify                                  specs/slugify.yaml, to be filled in
  llmc new triage --kind component                  what a model answers, rather than code
  llmc new invoice_total --from stories.md          drafted by the model
  llmc new invoice_total --from - < stories.md      the same, from standard input
  llmc new triage --from stories.md --model openai/gpt-5-mini -n 5

Exit codes: 0 written, 1 it can't have that name or is there already, 2 no draft checks, 3 no draft could be read, 4 budget
spent, 5 the provider failed.")]
pub(crate) struct NewArgs {
    /// What it is called: a Rust identifier
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The kind of spec [default: function; with --from what the model takes it for]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// Have a model draft it from the user stories in FILE (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<String>,
    /// How often the model is asked at most: once, and again with what is wrong [default: 3]
    #[arg(short = 'n', long, value_name = "N", requires = "from", value_parser = clap::value_parser!(u16).range(1..=20))]
    pub(crate) tries: Option<u16>,
    /// Ask afresh, and pass over the replies of a run that was cut short
    #[arg(long, requires = "from")]
    pub(crate) no_cache: bool,
    /// Replace the spec that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) asking: AskingArgs,
}

/// `--kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Code that is built.
    Function,
    /// What a model answers.
    Component,
}

impl From<Kind> for SpecKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Function => Self::Function,
            Kind::Component => Self::Component,
        }
    }
}

/// Writes a spec.
pub(super) async fn new(
    session: &mut Session,
    args: &NewArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    let kind = args.kind.map(SpecKind::from);
    let Some(file) = &args.from else {
        let kind = kind.unwrap_or(SpecKind::Function);
        let created = driver::create(session, &args.name, kind, args.overwrite)?;
        tell_created(&args.name, kind, &created, output);
        return Ok(ExitCode::Done);
    };
    session.options.no_cache = args.no_cache;
    let stories = stories(file, from)?;
    let asked = Drafting { kind, tries: args.tries.map_or(driver::TRIES, usize::from), overwrite: args.overwrite };
    let drafted = driver::draft(session, &args.name, &stories, &asked).await?;
    if !drafted.left.is_empty() {
        output.mistakes(&drafted.left);
    }
    if !output.is_json() && output.verbosity > Verbosity::Quiet {
        tell_drafted(&args.name, &drafted);
    }
    drafted.error.map_or(Ok(ExitCode::Done), Err)
}

/// The stories, from a file or from standard input.
fn stories(file: &str, from: &Path) -> Result<String, Error> {
    let what = if file == "-" { "standard input".to_owned() } else { format!("`{file}`") };
    let failed = |error| Error::new(ExitCode::Usage, format!("failed to read {what}")).cause(error);
    // One more than is taken: who drafts says that it is too long.
    let most = driver::LONGEST_STORIES as u64 + 1;
    let mut bytes = Vec::new();
    match file {
        "-" => std::io::stdin().lock().take(most).read_to_end(&mut bytes),
        file => std::fs::File::open(from.join(file)).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    }
    .map_err(failed)?;
    if bytes.len() as u64 == most {
        // It may end within a character.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ExitCode::Usage, format!("{what} is not UTF-8")))
}

fn tell_created(name: &str, kind: SpecKind, created: &Created, output: &Output) {
    if output.is_json() {
        let path = &created.path;
        Output::json_line(json!({"event": "created", "spec": name, "kind": kind.as_str(), "path": path}));
    }
    if !created.left.is_empty() {
        output.mistakes(&created.left);
    }
    if output.is_json() || output.verbosity == Verbosity::Quiet {
        return;
    }
    let left = if created.left.has_errors() { "It does not check yet: see above. " } else { "" };
    Output::note(&format!(
        "Created {}, and committed nothing. {left}Next: write into it what you want, then\n  {}",
        created.path,
        next(name, kind)
    ));
}

/// What to do with a spec.
fn next(name: &str, kind: SpecKind) -> String {
    match kind {
        SpecKind::Function => format!("llmc check {name} && llmc build {name}"),
        SpecKind::Component => format!("llmc check {name} && llmc call {name} INPUT"),
    }
}

fn tell_drafted(name: &str, drafted: &Drafted) {
    for key in &drafted.left_out {
        Output::note(&one_line(&format!("left out: the draft set `{key}`, which only a person does")));
    }
    if !drafted.questions.is_empty() {
        Output::note("The stories leave open:");
        drafted.questions.iter().for_each(|question| Output::note(&one_line(&format!("  - {question}"))));
    }
    let (true, Some(path), Some(kind)) = (drafted.is_written, &drafted.path, drafted.kind) else { return };
    let usd = drafted.usd.filter(|usd| *usd > 0.0).map(|usd| format!(", ${usd:.4}")).unwrap_or_default();
    let tries = if drafted.tries == 1 { "1 try".to_owned() } else { format!("{} tries", drafted.tries) };
    Output::note(&one_line(&format!(
        "Drafted {path}, a {} with {}, by {} in {tries} ({}{usd}); nothing is committed.",
        kind.as_str(),
        count(drafted.examples, "example"),
        drafted.model,
        count(usize::try_from(drafted.tokens).unwrap_or(usize::MAX), "token"),
    )));
    let answer = if drafted.questions.is_empty() { "" } else { ", and answer what is open: it stands at the top" };
    Output::note(&format!("Next: read it, the examples are the model's guesses{answer}; then\n  {}", next(name, kind)));
}
