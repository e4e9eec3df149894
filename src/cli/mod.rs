//! The command line: reads arguments and the environment, calls the library, prints what it gives.
//!
//! With `report`, the only place that prints; the only one that reads the environment.

mod adopt;
mod args;
mod call;
mod ci;
mod diff;
mod clarify;
mod doctor;
mod estimate;
mod explain;
mod harden;
mod init;
mod keys;
mod ledger;
mod log;
mod revert;
mod measure;
mod new;
mod review;
mod serve;
mod show;
mod sign;
mod strength;
mod test;
mod trace;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use args::{
    Cli, ColorChoice, Command, GlobalArgs, MessageFormat, ModelsAction, ReplayArgs, SamplingArgs, SchemaOf, StopRule,
    ValidateArgs,
};

use crate::driver::{self, Judging, Session, Summary};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::options::{Environment, Options};
use crate::report::{self, Human, Json, Report, Verbosity, Verdicts};
use crate::spec::{self, Diagnostics, Sampling, Stop};
use crate::workspace::Workspace;

/// Runs llmc with the process's arguments; returns the exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help to standard output and mistakes to standard error. Its own code for a mistake is 2.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage as u8 } else { ExitCode::Done as u8 };
        }
    };
    // Whoever asks line by line wants answers that a program can read.
    let answers = matches!(&cli.command, Command::Validate(args) if args.stdin);
    let output = Output::new(&cli.global, if answers { MessageFormat::Json } else { MessageFormat::Human });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ExitCode::Internal, "failed to start the runtime").cause(error);
            return output.error(&error);
        }
    };
    let exit = match runtime.block_on(run(&cli, &output)) {
        Ok(exit) => exit as u8,
        Err(error) => output.error(&error),
    };
    // Threads that still compute for an interrupted build are not waited for.
    runtime.shutdown_background();
    exit
}

/// How to print.
struct Output {
    format: MessageFormat,
    /// On standard error.
    color: bool,
    /// On standard output.
    color_data: bool,
    verbosity: Verbosity,
}

impl Output {
    fn new(global: &GlobalArgs, format: MessageFormat) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = |is_terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !no_color,
        };
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        Self {
            format: global.message_format.unwrap_or(format),
            color: color(std::io::stderr().is_terminal()),
            color_data: color(std::io::stdout().is_terminal()),
            verbosity,
        }
    }

    fn is_json(&self) -> bool {
        self.format == MessageFormat::Json
    }

    /// Consumes events as the user asked for.
    fn teller(&self) -> driver::Tell {
        let mut report: Box<dyn Report> = match self.format {
            MessageFormat::Json => Box::new(Json),
            _ => Box::new(Human::new(self.color, self.verbosity)),
        };
        Arc::new(Mutex::new(move |event: Event| report.event(&event)))
    }

    /// Consumes the events of candidates that are given.
    fn verdict_teller(&self) -> driver::Tell {
        if self.is_json() {
            return self.teller();
        }
        let mut report = Verdicts::new(Human::new(self.color, self.verbosity), self.color_data, self.verbosity);
        Arc::new(Mutex::new(move |event: Event| report.event(&event)))
    }

    /// Prints data to standard output. A reader that went away is no error.
    fn data(text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Prints what comes before an answer to standard error.
    fn prompt(text: &str) {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Prints a line for a person to standard error.
    fn note(text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn json_line(mut value: serde_json::Value) {
        if let Some(object) = value.as_object_mut() {
            object.insert("v".to_owned(), report::JSON_VERSION.into());
        }
        Self::data(&format!("{value}\n"));
    }

    /// Prints mistakes in specs.
    fn mistakes(&self, mistakes: &Diagnostics) {
        if self.is_json() {
            for one in &mistakes.list {
                Self::json_line(json!({
                    "event": "diagnostic", "path": mistakes.path, "severity": one.severity, "message": one.message,
                    "line": one.line, "column": one.column, "length": one.length, "help": one.help,
                }));
            }
        } else {
            Self::note(mistakes.render(self.color).trim_end());
        }
    }

    /// Prints an error; returns the exit code.
    fn error(&self, error: &Error) -> u8 {
        for mistakes in &error.mistakes {
            self.mistakes(mistakes);
        }
        if self.is_json() {
            Self::json_line(json!({
                "event": "error", "code": error.exit as u8, "message": error.message, "causes": error.causes,
                "hint": error.hints.join("\n"),
            }));
        }
        Self::note(&report::printable_but_color(&error.render(self.color)));
        error.exit as u8
    }
}

/// Runs one command.
async fn run(cli: &Cli, output: &Output) -> Result<ExitCode, Error> {
    ci::refuse(&cli.command, output)?;
    match &cli.command {
        Command::Init(args) => init::init(&directory(&cli.global)?.join(&args.dir), &args.dir, args.vcs),
        Command::New(args) => {
            let mut session = session(cli, output, Some(&args.asking.whole()))?;
            new::new(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Schema(args) => {
            match args.of {
                SchemaOf::Spec => Output::data(spec::SCHEMA),
            }
            Ok(ExitCode::Done)
        }
        Command::Explain(args) => explain::explain(args.code.as_deref(), output),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "llmc", &mut script);
            Output::data(&String::from_utf8_lossy(&script));
            Ok(ExitCode::Done)
        }
        Command::Check(args) => ci::check(cli, args, output).await,
        Command::Prompt(args) => {
            let session = session(cli, output, None)?;
            prompt(&session, &args.spec, &directory(&cli.global)?, output)
        }
        Command::Build(args) => {
            let mut session = session(cli, output, Some(&args.sampling))?;
            session.options.no_commit = args.no_commit;
            session.options.no_cache = args.no_cache;
            session.options.locked = args.locked;
            session.options.overwrite = args.overwrite;
            session.options.max_entropy = args.max_entropy;
            session.options.certify = args.certify;
            if let Some(jobs) = args.jobs {
                session.options.jobs = usize::from(jobs);
            }
            let from = directory(&cli.global)?;
            if args.estimate {
                estimate::print(&driver::estimate(&mut session, &args.specs, &from).await?, output);
                return Ok(ExitCode::Done);
            }
            build(&mut session, &args.specs, &from, output).await
        }
        Command::Validate(args) => validate(cli, args, output).await,
        Command::Verify(args) => ci::verify(cli, args, output).await,
        Command::Sign(args) => sign::sign(cli, args, output).await,
        Command::Replay(args) => {
            let mut session = session(cli, output, None)?;
            replay(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Adopt(args) => {
            let mut session = session(cli, output, None)?;
            adopt::adopt(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Measure(args) => {
            let mut session = session(cli, output, Some(&args.sampling.whole()))?;
            session.options.no_cache = args.no_cache;
            if let Some(jobs) = args.jobs {
                session.options.jobs = usize::from(jobs);
            }
            let vary = args.vary.as_deref().map(measure::vary).transpose()?;
            let against = args.against.as_deref().map(driver::Against::read).transpose()?;
            let asked = driver::Measuring { against, vary };
            let measured = driver::measure(&mut session, &args.spec, &asked, &directory(&cli.global)?).await?;
            measure::print(&measured, output);
            Ok(ExitCode::Done)
        }
        Command::Clarify(args) => clarify::clarify(cli, args, output).await,
        Command::Strength(args) => strength::strength(cli, args, output).await,
        Command::Regen(args) => {
            let mut session = session(cli, output, Some(&args.sampling))?;
            review::regen(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Review(args) => {
            let is_live = review::is_live(output);
            let tell = if is_live { review::teller(output) } else { output.teller() };
            let workspace = find_workspace(&cli.global)?;
            let options = options(cli, Some(&workspace), None)?;
            let mut session = Session::new(workspace, options, Interrupt::on_signal(), tell)?;
            review::review(&mut session, args, is_live, output).await
        }
        Command::Accept(args) => review::accept(&mut session(cli, output, None)?, args, output).await,
        Command::Reject(args) => review::reject(&session(cli, output, None)?, args, output),
        Command::Diff(args) => {
            let mut session = session(cli, output, None)?;
            diff::diff(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Show(args) => {
            let session = session(cli, output, None)?;
            show::show(&session, args, &directory(&cli.global)?, output)
        }
        Command::Log(args) => {
            let mut session = session(cli, output, None)?;
            log::log(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Revert(args) => {
            let mut session = session(cli, output, None)?;
            revert::revert(&mut session, args, &directory(&cli.global)?, output)
        }
        // Anywhere, and what a workspace says plays no part.
        Command::Doctor => doctor::doctor(&options(cli, None, None)?, output),
        Command::Ledger(args) => {
            let session = session(cli, output, None)?;
            ledger::ledger(&session, &args.action, output)
        }
        Command::Call(args) => {
            let mut session = session(cli, output, Some(&args.asking.whole()))?;
            call::call(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Harden(args) => {
            let mut session = session(cli, output, Some(&args.sampling))?;
            harden::harden(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Soften(args) => {
            let mut session = session(cli, output, None)?;
            harden::soften(&mut session, args, &directory(&cli.global)?, output).await
        }
        Command::Test(args) => test::test(cli, args, output).await,
        Command::Trace(args) => trace::trace(&session(cli, output, None)?, args, output),
        Command::Serve(args) => serve::serve(cli, args, output).await,
        Command::Models(args) => {
            // Models can be listed and fetched anywhere; a workspace adds its settings.
            let workspace = find_workspace(&cli.global).ok();
            let options = options(cli, workspace.as_ref(), None)?;
            match &args.action {
                None => models(&options, workspace.as_ref(), output).await,
                Some(ModelsAction::Pull { model }) => {
                    driver::pull(&options, model, &output.teller(), &Interrupt::on_signal()).await?;
                    Ok(ExitCode::Done)
                }
            }
        }
    }
}

/// The folder that the command works in.
fn directory(global: &GlobalArgs) -> Result<PathBuf, Error> {
    let current = std::env::current_dir()
        .map_err(|error| Error::new(ExitCode::Usage, "failed to find the current folder").cause(error))?;
    Ok(match &global.directory {
        Some(directory) => current.join(directory),
        None => current,
    })
}

fn find_workspace(global: &GlobalArgs) -> Result<Workspace, Error> {
    Ok(Workspace::find(&directory(global)?)?)
}

fn session(cli: &Cli, output: &Output, sampling: Option<&SamplingArgs>) -> Result<Session, Error> {
    session_telling(cli, output.teller(), sampling)
}

fn session_telling(cli: &Cli, tell: driver::Tell, sampling: Option<&SamplingArgs>) -> Result<Session, Error> {
    let workspace = find_workspace(&cli.global)?;
    let options = options(cli, Some(&workspace), sampling)?;
    Session::new(workspace, options, Interrupt::on_signal(), tell)
}

/// Everything the user asked for, from flags, environment and settings files.
fn options(cli: &Cli, workspace: Option<&Workspace>, sampling: Option<&SamplingArgs>) -> Result<Options, Error> {
    let environment = Environment::new(|name| std::env::var(name).ok());
    let options = driver::settings(workspace, environment)?;
    Ok(Options {
        offline: cli.global.offline,
        unsandboxed: cli.global.unsandboxed || options.unsandboxed,
        model: sampling.and_then(|sampling| sampling.asking.model.clone()),
        sampling: sampling.map(flags).unwrap_or_default(),
        ..options
    })
}

fn flags(args: &SamplingArgs) -> Sampling {
    Sampling {
        samples: args.samples.map(usize::from),
        temperature: args.asking.temperature,
        seed: args.asking.seed,
        stop: args.stop.map(|rule| match rule {
            StopRule::First => Stop::First,
            StopRule::Agree => Stop::Agree,
            StopRule::All => Stop::All,
        }),
        ..Sampling::default()
    }
}

async fn build(
    session: &mut Session,
    specs: &[String],
    from: &std::path::Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    let summary = driver::build(session, specs, from).await?;
    tell_left_out(session, output)?;
    Ok(end(&summary, output))
}

/// Says, where it is asked for more, what can't be called through the harness.
fn tell_left_out(session: &Session, output: &Output) -> Result<(), Error> {
    if output.verbosity == Verbosity::Verbose && !output.is_json() {
        for (name, why) in driver::left_out(session)? {
            Output::note(&format!("`{name}` can't be called through the harness: {why}"));
        }
    }
    Ok(())
}

async fn validate(cli: &Cli, args: &ValidateArgs, output: &Output) -> Result<ExitCode, Error> {
    let from = directory(&cli.global)?;
    // A spec may be anywhere; a workspace adds its settings.
    let workspace = Workspace::find(&from).ok();
    let mut options = options(cli, workspace.as_ref(), None)?;
    options.no_cache = args.no_cache;
    if let Some(jobs) = args.jobs {
        options.jobs = usize::from(jobs);
    }
    let mut named: Vec<String> = args.spec.iter().chain(&args.files).cloned().collect();
    let files = if args.stdin { Vec::new() } else { named.split_off(1) };
    if let Some(file) = named.iter().find(|name| *name == "-" || name.ends_with(".rs") || name.ends_with(".jsonl")) {
        let error = Error::new(ExitCode::Usage, format!("`{file}` is no spec"));
        return Err(match args.stdin {
            true => error.hint("with `--stdin` candidates come from standard input, and only specs are named"),
            false => error.hint("`llmc validate SPEC FILES…`: the spec comes first"),
        });
    }
    let stdin = Box::new(std::io::stdin());
    let judging = Judging { specs: named, files, stream: args.stdin, all: args.all, stdin };
    // The live line goes with the report, before anything else is printed.
    let tell = output.verdict_teller();
    let summary = driver::validate(options, Interrupt::on_signal(), tell, judging, &from).await?;
    Ok(end(&summary, output))
}

async fn replay(
    session: &mut Session,
    args: &ReplayArgs,
    from: &std::path::Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    session.options.no_cache = args.no_cache;
    session.options.overwrite = args.overwrite;
    let replayed = driver::replay(session, &args.spec, from).await?;
    if output.is_json() {
        Output::json_line(json!({
            "event": "replayed", "spec": replayed.spec, "files": replayed.files, "changed": replayed.changed,
            "tree": replayed.tree, "notes": replayed.notes,
        }));
        return Ok(ExitCode::Done);
    }
    for file in &replayed.files {
        let what = if replayed.changed.contains(file) { "written" } else { "the same bytes" };
        Output::data(&format!("{file}: {what}\n"));
    }
    if let Some(tree) = &replayed.tree {
        Output::data(&format!("tree {tree}\n"));
    }
    for note in &replayed.notes {
        Output::note(&format!("note: {note}"));
    }
    Ok(ExitCode::Done)
}

/// A commit at the end of a line.
fn commit_text(commit: Option<&str>) -> String {
    commit.map(|commit| format!(", commit {}", commit.get(..9).unwrap_or(commit))).unwrap_or_default()
}

/// Prints what is left to say of a run over several specs; returns the exit code.
fn end(summary: &Summary, output: &Output) -> ExitCode {
    for mistakes in &summary.mistakes {
        output.mistakes(mistakes);
    }
    // Each spec's failure was told; what is left to say is what to do about it.
    let mut told: Vec<&Error> = Vec::new();
    for error in &summary.errors {
        if !told.iter().any(|other| other.hints == error.hints && other.exit == error.exit && !error.hints.is_empty()) {
            output.error(error);
            told.push(error);
        }
    }
    summary.exit.unwrap_or(ExitCode::Done)
}

fn prompt(session: &Session, name: &str, from: &std::path::Path, output: &Output) -> Result<ExitCode, Error> {
    let (specs, mistakes) = driver::load_specs(session, std::slice::from_ref(&name.to_owned()), from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let loaded = specs.last().expect("a spec that was named was loaded or is invalid");
    let prompt = driver::render_prompt(session, loaded, &specs)?;
    if output.is_json() {
        let value = serde_json::to_value(&prompt).expect("a prompt holds only strings");
        Output::data(&format!("{value}\n"));
        return Ok(ExitCode::Done);
    }
    let mut text = format!(
        "# system\n{}\n\n# user\n{}\n\n# the answer begins with\n{}\n",
        prompt.system, prompt.user, prompt.opening
    );
    if let Some(continuation) = &prompt.continuation {
        text.push_str(&format!("\n# or, as plain text to continue\n{}{}\n", continuation.text, continuation.opening));
    }
    Output::data(&text);
    Ok(ExitCode::Done)
}

async fn models(options: &Options, workspace: Option<&Workspace>, output: &Output) -> Result<ExitCode, Error> {
    let (listed, chosen) = driver::models(options, workspace, &output.teller()).await;
    if output.is_json() {
        for one in &listed {
            let value = json!({"event": "model", "model": one.name, "usable": one.usable, "state": one.state});
            Output::json_line(value);
        }
        let (model, why) = match &chosen {
            Ok(chosen) => (Some(chosen.model.as_str()), chosen.why.as_str()),
            Err(error) => (None, error.message.as_str()),
        };
        Output::json_line(json!({"event": "chosen", "model": model, "why": why}));
        return Ok(ExitCode::Done);
    }
    let width = listed.iter().map(|one| one.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for one in &listed {
        let mark = if one.usable { "yes" } else { "no " };
        text.push_str(&format!("{mark}  {:width$}  {}\n", report::printable(&one.name), report::printable(&one.state)));
    }
    match chosen {
        Ok(chosen) => text.push_str(&format!("\nA build here samples {}: {}.\n", chosen.model, chosen.why)),
        Err(error) => text.push_str(&format!("\nA build here has no model: {}.\n", error.message)),
    }
    Output::data(&text);
    Ok(ExitCode::Done)
}
