//! `llmc regen`, `accept`, `reject` and `review`: proposals, made, decided on by name, and looked at one by one.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::args::{AcceptArgs, RegenArgs, RejectArgs, ReviewArgs};
use super::{Output, diff, end, keys};
use crate::driver::{self, Session, Summary, Waiting};
use crate::error::{Error, ExitCode};
use crate::event::{Behaves, Differing, Event, Origin, Proposed};
use crate::proposal::{self, Proposal};
use crate::provenance::Fixer;
use crate::report::{self, Style, count, printable, terminal_width};
use crate::workspace::paths;

/// Lines of a difference that are shown before more is asked for.
const SHOWN: usize = 80;
/// How wide a terminal is taken to be that does not say.
const WIDTH: usize = 80;

/// New samples for what is up to date.
pub(super) async fn regen(
    session: &mut Session,
    args: &RegenArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    session.options.no_cache = args.no_cache;
    if let Some(jobs) = args.jobs {
        session.options.jobs = usize::from(jobs);
    }
    Ok(end(&driver::regen(session, &args.specs, from).await?, output))
}

/// Accepts proposals by name.
pub(super) async fn accept(session: &mut Session, args: &AcceptArgs, output: &Output) -> Result<ExitCode, Error> {
    session.options.no_commit = args.no_commit;
    Ok(end(&driver::accept(session, &args.specs, args.all).await?, output))
}

/// Rejects proposals by name.
pub(super) fn reject(session: &Session, args: &RejectArgs, output: &Output) -> Result<ExitCode, Error> {
    if args.forget {
        driver::forget(session, &args.specs)?;
        return Ok(ExitCode::Done);
    }
    Ok(end(&driver::reject(session, &args.specs, args.all)?, output))
}

/// Whether there is somebody to press keys.
pub(super) fn is_live(output: &Output) -> bool {
    !output.is_json() && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Tells what happens while proposals are shown one by one: but for them.
pub(super) fn teller(output: &Output) -> driver::Tell {
    let inner = output.teller();
    Arc::new(Mutex::new(move |event: Event| {
        if !matches!(event, Event::Proposed(_))
            && let Ok(mut tell) = inner.lock()
        {
            tell(event);
        }
    }))
}

/// Goes through proposals with the user; without a terminal lists them.
pub(super) async fn review(
    session: &mut Session,
    args: &ReviewArgs,
    is_live: bool,
    output: &Output,
) -> Result<ExitCode, Error> {
    let waiting = driver::waiting(session, &args.specs)?;
    if output.is_json() {
        for one in waiting {
            match one.proposal {
                Ok(found) => session.tell(Event::Proposed(found.1)),
                Err(error) => {
                    output.error(&error);
                }
            }
        }
        return Ok(ExitCode::Done);
    }
    if waiting.is_empty() {
        Output::data("No proposal waits.\n");
        return Ok(ExitCode::Done);
    }
    if !is_live {
        list(&waiting, output);
        return Ok(ExitCode::Done);
    }
    let names: Vec<String> = waiting.into_iter().map(|one| one.name).collect();
    let mut left = 0;
    for (number, name) in names.iter().enumerate() {
        let mut screen = Screen { name, place: (number + 1, names.len()), output };
        match screen.decide(session).await? {
            Then::Next => {}
            Then::Left => left += 1,
            Then::Quit => {
                left += names.len() - number;
                break;
            }
        }
    }
    if left > 0 {
        Output::data(&format!("{} still waiting: `llmc review`\n", count(left, "proposal")));
    }
    Ok(ExitCode::Done)
}

/// Prints the proposals and what can be done.
fn list(waiting: &[Waiting], output: &Output) {
    let mut text = String::new();
    for one in waiting {
        match &one.proposal {
            Ok(found) => text.push_str(&printable(&(report::proposal(&found.1).join("\n  ") + "\n"))),
            Err(error) => {
                output.error(error);
            }
        }
    }
    text.push_str("\n`llmc accept SPEC` or `--all` commits, `llmc reject SPEC` or `--all` turns down, `llmc regen SPEC` (of a component `llmc harden`) draws anew;\n`llmc review` in a terminal shows one after the other.\n");
    Output::data(&text);
}

/// What follows after a proposal.
enum Then {
    /// It was decided.
    Next,
    /// It waits on.
    Left,
    /// Enough.
    Quit,
}

/// One proposal before the user.
struct Screen<'a> {
    name: &'a str,
    /// Its number among how many.
    place: (usize, usize),
    output: &'a Output,
}

impl Screen<'_> {
    /// Shows it, and does what the keys say until it is decided.
    async fn decide(&mut self, session: &mut Session) -> Result<Then, Error> {
        let name = [self.name.to_owned()];
        let mut is_shown = false;
        loop {
            let found = match driver::waiting(session, &name) {
                Ok(found) => found.into_iter().next(),
                // It was decided elsewhere.
                Err(error) if error.exit == ExitCode::Usage => None,
                Err(error) => return Err(error),
            };
            let Some(waiting) = found else { return Ok(Then::Next) };
            if !is_shown {
                self.show(session, &waiting);
                is_shown = true;
            }
            let told = waiting.proposal.as_ref().ok().map(|found| &found.1);
            let has_input = told.is_some_and(|told| !told.differing.is_empty());
            let Some(key) = self.ask(session, &question(self.place, has_input))? else {
                return Err(Error::interrupted());
            };
            match key {
                'a' => {
                    say("accept\n");
                    if self.ended(&driver::accept(session, &name, false).await?) {
                        return Ok(Then::Next);
                    }
                }
                'r' => {
                    say("reject\n");
                    if self.ended(&driver::reject(session, &name, false)?) {
                        return Ok(Then::Next);
                    }
                }
                's' => {
                    say("skip\n");
                    return Ok(Then::Left);
                }
                'n' => {
                    say("resample\n");
                    match driver::resample(session, self.name).await {
                        Ok(summary) => {
                            self.ended(&summary);
                        }
                        Err(error) if error.exit == ExitCode::Interrupted => return Err(error),
                        Err(error) => {
                            self.output.error(&error);
                        }
                    }
                    is_shown = false;
                }
                'e' => {
                    say("edit the spec\n");
                    is_shown = !self.edit(session, &waiting)?;
                }
                'i' if has_input => {
                    say("add an input\n");
                    let told = told.expect("there are inputs only where there is a proposal");
                    is_shown = !self.add(session, &waiting, &told.differing).await?;
                }
                'i' => say("no input is known on which they differ\n"),
                'm' => {
                    say("more\n");
                    self.more(session, &waiting);
                }
                'd' => {
                    say("diff tool\n");
                    self.tool(session, &waiting);
                }
                'q' => {
                    say("quit\n");
                    return Ok(Then::Quit);
                }
                '?' | 'h' => say(&help(has_input)),
                _ => say("`?` lists the keys\n"),
            }
        }
    }

    fn ask(&self, session: &Session, question: &str) -> Result<Option<char>, Error> {
        let (bold, plain) = if self.output.color_data { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        let answer = keys::ask(&format!("{bold}{question}{plain} "), &session.interrupt);
        match answer {
            Ok(Some(key)) => Ok(Some(key)),
            Ok(None) => {
                say("\n");
                Ok(None)
            }
            Err(error) => Err(Error::new(ExitCode::Internal, "failed to read a key from the terminal").cause(error)),
        }
    }

    /// Tells what went wrong; whether nothing did.
    fn ended(&self, summary: &Summary) -> bool {
        end(summary, self.output) == ExitCode::Done
    }

    fn show(&self, session: &Session, waiting: &Waiting) {
        let (number, of) = self.place;
        let title = format!("── {} ({number} of {of}) ", self.name);
        let width = terminal_width().unwrap_or(WIDTH).clamp(20, 100);
        let rule = "─".repeat(width.saturating_sub(title.chars().count()));
        let mut text = format!("\n{}{rule}\n", printable(&title));
        match &waiting.proposal {
            Ok(found) => {
                let (proposal, told) = &**found;
                text.push_str(&printable(&rows(told)));
                text.push('\n');
                text.push_str(&self.difference(session, proposal, SHOWN));
            }
            Err(error) => text.push_str(&report::printable_but_color(&error.render(self.output.color_data))),
        }
        text.push('\n');
        say(&text);
    }

    /// The artifact's code and the proposal's, side by side where there is room.
    fn difference(&self, session: &Session, proposal: &Proposal, most: usize) -> String {
        let path = paths::code(self.name);
        let before = std::fs::read(session.workspace.path(&path)).map(|code| proposal::unmarked(&code)).ok();
        let style = Style { color: self.output.color_data, width: terminal_width().or(Some(WIDTH)) };
        let (old, new) = (("artifact".to_owned(), before), ("proposal".to_owned(), Some(proposal.code())));
        let changed = report::code_difference(&path, old, new, style);
        let all = changed.lines().count();
        let mut text: String = changed.lines().take(most).map(|line| format!("{line}\n")).collect();
        if all > most {
            text.push_str(&format!("… {}: `m` shows all\n", count(all - most, "more line")));
        }
        text
    }

    /// All that there is to know.
    fn more(&self, session: &Session, waiting: &Waiting) {
        let Ok(found) = &waiting.proposal else { return self.show(session, waiting) };
        let (proposal, told) = &**found;
        let provenance = &proposal.provenance;
        let drawn = proposal.drawn();
        let (completion, counts) = (&drawn.completion, drawn.statistics.counts);
        let mut rows: Vec<(&str, String)> = vec![
            ("spec", provenance.spec.path.clone()),
            ("folder", told.path.display().to_string()),
            ("digest", told.digest.clone()),
            (
                "drawn",
                format!(
                    "temperature {}, seed {}, {}",
                    completion.temperature,
                    drawn.sampling.parameters.seed,
                    count(completion.completion_tokens, "token"),
                ),
            ),
            (
                "yield",
                format!(
                    "{} sampled, {} parsed, {} compiled, {} passed",
                    counts.sampled, counts.parsed, counts.compiled, counts.passed
                ),
            ),
            ("compiler", format!("{} on {}", provenance.toolchain.rustc, provenance.toolchain.host)),
            ("sandbox", provenance.sandbox.clone()),
        ];
        if let Some(hardness) = provenance.hardness() {
            rows.extend(report::certificate_rows(hardness));
        }
        for repair in &drawn.repairs {
            let by = match repair.by {
                Fixer::Model => repair.model.as_deref().unwrap_or("a model"),
                Fixer::Rustc => "rustc's own suggestions",
            };
            rows.push(("repaired", format!("sample {} by {by}", repair.sample + 1)));
        }
        let changed = self.difference(session, proposal, usize::MAX);
        let text = format!("\n{}\n{}\n{changed}\n", printable(&aligned(&rows)), printable(&proposal.code()));
        if !page(&session.workspace.root, &text) {
            say(&text);
        }
    }

    /// Shows the artifact's code and the proposal's in the user's own diff tool.
    fn tool(&self, session: &Session, waiting: &Waiting) {
        let Ok(found) = &waiting.proposal else { return self.show(session, waiting) };
        let path = session.workspace.path(&paths::code(self.name));
        let before = std::fs::read(path).map(|code| proposal::unmarked(&code)).unwrap_or_default();
        if let Err(error) = diff::tool(&session.workspace.root, self.name, &before, &found.0.code()) {
            self.output.error(&error);
        }
    }

    /// Opens the spec in the user's editor; whether it says something else now.
    fn edit(&self, session: &Session, waiting: &Waiting) -> Result<bool, Error> {
        let Some(path) = self.spec(session, waiting) else { return Ok(false) };
        let file = session.workspace.path(&path);
        let variable = |name: &str| session.options.environment.get(name).filter(|value| !value.trim().is_empty());
        let editor = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".to_owned());
        let before = std::fs::read(&file).ok();
        match keys::edit(&editor, &file) {
            Ok(true) => {}
            Ok(false) => say(&format!("`{}` did not end well; VISUAL or EDITOR names another\n", printable(&editor))),
            Err(error) => say(&format!("failed to start `{}`: {error}\n", printable(&editor))),
        }
        if std::fs::read(&file).ok() == before {
            say("the spec is as it was\n");
            return Ok(false);
        }
        let root = session.workspace.root.clone();
        let found = driver::load(session, std::slice::from_ref(&path), &root)?;
        for one in &found.mistakes {
            self.output.mistakes(one);
        }
        Ok(true)
    }

    /// Makes an input on which both differ an example of the spec; whether it is one now.
    async fn add(&self, session: &mut Session, waiting: &Waiting, differing: &[Differing]) -> Result<bool, Error> {
        let Some(path) = self.spec(session, waiting) else { return Ok(false) };
        for one in differing {
            say(&printable(&format!(
                "{}\n  [a] the artifact:  {}\n  [p] the proposal:  {}\n",
                one.call, one.artifact, one.proposal
            )));
            let Some(key) = self.ask(session, "Which is right? (any other key: neither)")? else {
                return Err(Error::interrupted());
            };
            let (returns, whose) = match key {
                'a' => (&one.artifact, "the artifact's answer\n"),
                'p' => (&one.proposal, "the proposal's answer\n"),
                _ => {
                    say("neither\n");
                    continue;
                }
            };
            say(whose);
            return match driver::add_example(session, &path, &one.call, returns).await {
                Ok(()) => {
                    say(&printable(&format!("{path}: {} = {returns} is an example now\n", one.call)));
                    Ok(true)
                }
                Err(error) => {
                    self.output.error(&error);
                    Ok(false)
                }
            };
        }
        Ok(false)
    }

    /// The spec's path, where it is in the workspace.
    fn spec(&self, session: &Session, waiting: &Waiting) -> Option<String> {
        let path = match &waiting.proposal {
            Ok(found) => found.0.record.path.clone(),
            Err(_) => paths::spec(self.name),
        };
        match session.workspace.relative(&session.workspace.root, Path::new(&path)) {
            Ok(path) if session.workspace.path(&path).is_file() => Some(path),
            _ => {
                say(&printable(&format!("there is no spec `{path}`\n")));
                None
            }
        }
    }
}

/// Shows a text in the user's pager; whether that could be done. Ctrl-C is the pager's while it runs.
fn page(root: &Path, text: &str) -> bool {
    let Some(pager) = diff::pager(root) else { return false };
    let Ok(file) = tempfile::NamedTempFile::new() else { return false };
    // As git has it: it ends at once where all fits the screen, and colours stay.
    let pager = format!("LESS=\"${{LESS-FRX}}\" {pager} <");
    std::fs::write(file.path(), text).is_ok() && keys::edit(&pager, file.path()).is_ok_and(|is_well| is_well)
}

/// The question below a proposal.
fn question((number, of): (usize, usize), has_input: bool) -> String {
    let input = if has_input { "[i]nput, " } else { "" };
    format!(
        "{number}/{of} [a]ccept, [r]eject, [s]kip, resample [n], [e]dit the spec, {input}[m]ore, [d]iff tool, [q]uit, [?]"
    )
}

/// What the keys do.
fn help(has_input: bool) -> String {
    let input = match has_input {
        true => "make an input on which both differ an example of the spec",
        false => "(no input is known on which they differ)",
    };
    format!(
        "help\n  \
         a  accept: it becomes the artifact, in a commit of its own\n  \
         r  reject: it goes, and this program is not offered again\n  \
         s  skip: it waits on\n  \
         n  draw new samples; what is chosen takes its place\n  \
         e  edit the spec in $VISUAL or $EDITOR\n  \
         i  {input}\n  \
         m  show all of it: the code, where it comes from, the whole difference\n  \
         d  show the difference in the tool that git is told to use (`git config diff.tool`)\n  \
         q  quit: what is not decided waits on\n"
    )
}

/// What is to be known first: how it behaves.
fn rows(told: &Proposed) -> String {
    let (sample, sampled, passed) = told.samples;
    let size = match (told.lines, told.behaves) {
        ((None, lines), _) | ((_, lines), Behaves::Identical) => count(lines, "line"),
        ((Some(before), after), _) => format!("{before} -> {}", count(after, "line")),
    };
    let mut rows = vec![("behaviour", told.told.clone())];
    for one in &told.differing {
        rows.push(("", format!("{}: {} -> {}", one.call, one.artifact, one.proposal)));
    }
    for one in &told.calls {
        rows.push(("", report::recorded_call(one)));
    }
    rows.push(("size", size));
    let good = if told.origin == Origin::Harden { "compile" } else { "pass" };
    rows.push(("sample", format!("{sample} of {sampled} from {}; {passed} {good}", told.model)));
    let cost = told.usd.map(|usd| format!(", ${usd:.4}")).unwrap_or_default();
    rows.push(("cost", format!("{} tokens{cost}", told.tokens)));
    let by = match told.origin {
        Origin::Build => "llmc build",
        Origin::Regen => "llmc regen",
        Origin::Harden => "llmc harden",
    };
    rows.push(("made", format!("{} by `{by}`", told.made)));
    if let Some((why, next)) = &told.stale {
        rows.push(("stale", format!("{why} since it was made; {next}")));
    }
    aligned(&rows)
}

fn aligned(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    rows.iter().map(|(label, value)| format!("{label:width$}  {value}\n")).collect()
}

fn say(text: &str) {
    Output::data(text);
}
