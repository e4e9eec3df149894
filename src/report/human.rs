//! Events for a person: plain lines on standard error, and on a terminal one live line below them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Report, count, one_line, printable};
use crate::event::{
    Answered, Behaves, Called, Decided, Difference, Event, Finished, Origin, Proposed, Status, Verified,
};
use crate::explain;
use crate::provenance::{Hardness, rfc3339};
use crate::verdict::{Class, Outcome, Verdict};
use crate::workspace::paths;

/// How much to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures only.
    Quiet,
    /// Results and what explains them.
    Normal,
    /// Each candidate's verdict too.
    Verbose,
}

/// Prints events for a person.
pub struct Human {
    color: bool,
    verbosity: Verbosity,
    line: ProgressBar,
    progress: Progress,
    download_percent: Option<u64>,
    fresh: usize,
}

/// What the live line counts.
struct Progress {
    samples: usize,
    sampled: usize,
    parsed: usize,
    compiled: usize,
    passed: usize,
    tokens: usize,
    /// Whether a spec is drafted: there are no candidates to count.
    is_draft: bool,
    since: Instant,
    /// How often each failure was seen: the reason shown when no candidate passes.
    failures: BTreeMap<(Class, String), usize>,
}

impl Progress {
    fn new(samples: usize) -> Self {
        Self {
            samples,
            sampled: 0,
            parsed: 0,
            compiled: 0,
            passed: 0,
            tokens: 0,
            is_draft: false,
            since: Instant::now(),
            failures: BTreeMap::new(),
        }
    }

    fn text(&self) -> String {
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        if self.is_draft {
            let rate = self.tokens as f64 / seconds;
            return format!("drafting: {} ({rate:.0} tokens/s)", count(self.tokens, "token"));
        }
        format!(
            "sampled {}/{}, parsed {}, compiled {}, passed {} ({:.0} tokens/s)",
            self.sampled,
            self.samples,
            self.parsed,
            self.compiled,
            self.passed,
            self.tokens as f64 / seconds
        )
    }
}

pub(super) const GREEN: &str = "\u{1b}[1;32m";
pub(super) const RED: &str = "\u{1b}[1;31m";
pub(super) const YELLOW: &str = "\u{1b}[1;33m";
pub(super) const CYAN: &str = "\u{1b}[1;36m";
pub(super) const RESET: &str = "\u{1b}[0m";

impl Human {
    /// A report on standard error. The live line shows only where that is a terminal.
    pub fn new(color: bool, verbosity: Verbosity) -> Self {
        let live = io::stderr().is_terminal() && verbosity > Verbosity::Quiet;
        let target = if live { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        line.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is valid"));
        // Nothing shows before there is something to show.
        line.finish_and_clear();
        Self { color, verbosity, line, progress: Progress::new(0), download_percent: None, fresh: 0 }
    }

    /// Shows `text` in the live line, where there is one.
    pub(super) fn live(&self, text: &str) {
        self.begin();
        if !self.line.is_hidden() {
            self.line.set_message(text.to_owned());
            self.line.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// Has the live line shown.
    fn begin(&self) {
        if self.line.is_finished() {
            self.line.reset();
        }
    }

    /// Prints with `print` what the live line must not be mixed with.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.line.suspend(print);
    }

    pub(super) fn print(&self, color: &str, label: &str, text: &str) {
        let text = printable(text);
        let line = if self.color { format!("{color}{label:>12}{RESET} {text}") } else { format!("{label:>12} {text}") };
        // Standard error may be closed; there is nobody left to tell.
        self.line.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    fn download(&mut self, what: &str, done: u64, total: Option<u64>) {
        self.begin();
        let percent = total.filter(|total| *total > 0).map(|total| done * 100 / total);
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let text = match total {
            Some(total) => format!("{what}: {:.0} of {:.0} MB", megabytes(done), megabytes(total)),
            None => format!("{what}: {:.0} MB", megabytes(done)),
        };
        if self.line.is_hidden() {
            // Plain lines elsewhere: one for each quarter.
            let quarter = percent.map(|percent| percent / 25);
            if self.download_percent != quarter || quarter.is_none() && self.download_percent.is_none() && done == 0 {
                self.download_percent = quarter;
                if self.verbosity > Verbosity::Quiet {
                    self.print(CYAN, "Fetching", &text);
                }
            }
        } else {
            self.line.enable_steady_tick(Duration::from_millis(100));
            self.line.set_message(format!("fetching {}", printable(&text)));
        }
    }

    fn verdict(&mut self, candidate: &str, verdict: &Verdict) {
        // What was repaired is no independent draw.
        if candidate.parse().is_ok_and(|number: usize| number <= self.progress.samples) {
            self.progress.parsed += usize::from(verdict.conforms());
            self.progress.compiled += usize::from(verdict.compiles());
            self.progress.passed += usize::from(verdict.is_pass());
            if let Some(class) = verdict.class {
                let code = verdict.code.as_deref().unwrap_or("unknown");
                let kind = (class, format!("{} ({code})", class.as_str()));
                *self.progress.failures.entry(kind).or_default() += 1;
            }
        }
        if self.verbosity == Verbosity::Verbose {
            let color = if verdict.is_pass() { GREEN } else { YELLOW };
            let word = outcome(verdict.outcome);
            let mut text = format!("sample {candidate}");
            if let (Some(class), Some(code)) = (verdict.class, &verdict.code) {
                text.push_str(&format!(": {}, {code}", class.as_str()));
            }
            if let Some(first) = verdict.detail.lines().find(|line| !line.trim().is_empty()) {
                text.push_str(&format!(": {}", first.trim()));
            }
            self.print(color, word, &text);
        }
    }

    fn called(&mut self, called: &Called) {
        let (calls, right, most) = called.so_far;
        self.live(&format!("{}: {} of at most {most}, {right} right", called.spec, count(calls, "call")));
        if self.verbosity == Verbosity::Verbose {
            let (color, word) = if called.is_right { (GREEN, "Right") } else { (YELLOW, "Wrong") };
            let said = called.output.as_ref().or(called.error.as_ref()).map_or("", String::as_str);
            self.print(color, word, &one_line(&format!("call {}, case {}: {said}", called.call, called.case)));
        }
    }

    fn verified(&mut self, verified: &Verified) {
        let name = verified.spec.as_deref().unwrap_or("the generated crate");
        for Difference { path, line, message } in &verified.differences {
            let line = line.map(|line| format!(" (from line {line} on)")).unwrap_or_default();
            self.print(RED, "Differs", &one_line(&format!("{path}: {message}{line}")));
        }
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        if verified.differences.is_empty() {
            self.print(GREEN, "Verified", &format!("{name} in {:.1} s", verified.seconds));
        }
        for note in &verified.notes {
            self.print(CYAN, "Note", &one_line(note));
        }
    }

    fn decided(&self, decided: &Decided) {
        let spec = &decided.spec;
        if !decided.accepted {
            let rest = if decided.digest.is_some() { ": it is not offered again" } else { "" };
            return self.print(GREEN, "Rejected", &format!("{spec}{rest}"));
        }
        let commit = match &decided.commit {
            Some(commit) => format!(", commit {}", short(commit)),
            None => String::new(),
        };
        self.print(GREEN, "Accepted", &format!("{spec}: {}{commit}", decided.files.join(", ")));
    }

    fn finished(&mut self, finished: &Finished) {
        // What is printed next may be no report's: nothing is left in its way.
        self.line.finish_and_clear();
        match finished.status {
            Status::Fresh => {
                self.fresh += 1;
                if self.verbosity > Verbosity::Quiet {
                    let commit =
                        finished.commit.as_deref().map(|commit| format!(", now committed as {}", short(commit)));
                    self.print(GREEN, "Fresh", &format!("{}{}", finished.spec, commit.unwrap_or_default()));
                }
            }
            // What is to be said of a proposal was said when it was left.
            Status::Proposed => {}
            Status::Built => {
                if self.verbosity == Verbosity::Quiet {
                    return;
                }
                if finished.sampled == 0 && finished.chosen.is_none() {
                    let commit = finished.commit.as_deref().map(|commit| format!(", commit {}", short(commit)));
                    let path = paths::code(&finished.spec);
                    let text = format!("{}: its types are {path}{}", finished.spec, commit.unwrap_or_default());
                    self.print(GREEN, "Built", &text);
                    return;
                }
                let (sample, path) = finished
                    .chosen
                    .as_ref()
                    .map(|(sample, path)| (*sample, path.display().to_string()))
                    .unwrap_or_default();
                let commit = finished.commit.as_deref().map(|commit| format!(", commit {}", short(commit)));
                let made = match finished.passed {
                    0 if sample > self.progress.samples => ", a repair,",
                    0 => ", as rustc fixed it,",
                    _ => "",
                };
                self.print(
                    GREEN,
                    "Built",
                    &format!(
                        "{}: {} of {}{} passed; sample {sample}{made} is {path}{} ({:.1} s, {})",
                        finished.spec,
                        finished.passed,
                        count(finished.sampled, "sample"),
                        if finished.replayed > 0 {
                            format!(", {} from the ledger,", finished.replayed)
                        } else {
                            String::new()
                        },
                        commit.unwrap_or_default(),
                        finished.seconds,
                        count(finished.tokens, "token"),
                    ),
                );
            }
            Status::Failed => {
                let reason = finished.reason.as_deref().unwrap_or("no candidate passed");
                self.print(RED, "Failed", &format!("{}: {reason} ({:.1} s)", finished.spec, finished.seconds));
                let mut failures: Vec<_> = std::mem::take(&mut self.progress.failures).into_iter().collect();
                failures.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
                let mut told = Vec::new();
                for ((class, failure), times) in failures.iter().take(4) {
                    self.print(RED, "", &format!("{times} × {failure}"));
                    if !told.contains(class) {
                        told.push(*class);
                        self.print(RED, "", &format!("    next: {}", explain::next(*class)));
                    }
                }
                if let Some(((class, _), _)) = failures.first() {
                    self.print(RED, "", &format!("`llmc explain {}` says more", class.as_str()));
                }
            }
        }
    }
}

/// A proposal in a few lines: how it behaves comes first.
pub fn proposal(proposed: &Proposed) -> Vec<String> {
    let Proposed { spec, told, behaves, samples: (sample, sampled, passed), model, .. } = proposed;
    let size = match (proposed.lines, behaves) {
        (_, Behaves::Identical) | ((None, _), _) => count(proposed.lines.1, "line"),
        ((Some(before), after), _) => format!("{before} -> {}", count(after, "line")),
    };
    let mut lines = vec![format!("{spec}: {told}")];
    let good = if proposed.origin == Origin::Harden { "compile" } else { "pass" };
    lines.push(format!("{size}; sample {sample} of {sampled} from {model}, of which {passed} {good}"));
    lines.extend(proposed.calls.iter().map(recorded_call));
    lines.extend(proposed.differing.iter().map(|one| format!("{}: {} -> {}", one.call, one.artifact, one.proposal)));
    lines.push(match &proposed.stale {
        Some((why, next)) => format!("stale: {why} since it was made; {next}"),
        None => format!("`llmc review`, `llmc accept {spec}` or `llmc reject {spec}`"),
    });
    lines
}

/// A recorded call with what code says to it.
pub fn recorded_call(one: &Answered) -> String {
    let Answered { input, model, code } = one;
    match code {
        None => format!("{input}: the model says {model}, the code leaves it to the model"),
        Some(code) if code == model => format!("{input}: both say {code}"),
        Some(code) => format!("{input}: the model says {model}, the code {code}"),
    }
}

/// What is promised of code that answers for a component, and what that rests on; a row each.
pub fn certificate_rows(hardness: &Hardness) -> Vec<(&'static str, String)> {
    let Hardness { certificate, .. } = hardness;
    let percent = |rate: f64| (rate * 1e4).round() / 1e2;
    let mut made =
        format!("the model's answers to {}, of {}", count(hardness.inputs, "input"), count(hardness.calls, "call"));
    if hardness.unstable > 0 {
        made.push_str(&format!("; {} got different answers", hardness.unstable));
    }
    vec![
        (
            "agrees",
            format!(
                "at least {} % of the time, at {} % confidence: {} of {} answers to later, new inputs differ",
                percent(certificate.agreement),
                percent(certificate.confidence),
                certificate.disagreements,
                certificate.n
            ),
        ),
        (
            "answers",
            format!(
                "{} % of those {} inputs; the model the rest",
                percent(certificate.coverage),
                certificate.window.cases
            ),
        ),
        (
            "looked",
            format!(
                "attempt {}; {} to {}",
                certificate.attempt,
                rfc3339(certificate.window.after / 1000),
                rfc3339(certificate.window.until / 1000)
            ),
        ),
        ("made from", format!("{made}; it answers {} of them, {} otherwise", hardness.answered, hardness.wrong)),
    ]
}

/// An outcome as a person reads it.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Timeout => "timed out",
        Outcome::Crashed => "crashed",
        Outcome::Resource => "over limit",
        Outcome::Flaky => "flaky",
    }
}

/// A commit at the end of a line.
fn committed(commit: Option<&str>) -> String {
    commit.map(|commit| format!(", commit {}", short(commit))).unwrap_or_default()
}

fn short(commit: &str) -> &str {
    commit.get(..9).unwrap_or(commit)
}

impl Report for Human {
    fn event(&mut self, event: &Event) {
        let normal = self.verbosity > Verbosity::Quiet;
        match event {
            Event::Download { what, done, total } => self.download(what, *done, *total),
            Event::Note(message) if normal => self.print(CYAN, "Note", message),
            Event::Note(_) => {}
            Event::Warning(message) => self.print(YELLOW, "Warning", message),
            Event::ModelChosen { model, why } if normal => self.print(GREEN, "Model", &format!("{model}: {why}")),
            Event::ModelChosen { .. } => {}
            Event::Called(called) => self.called(called),
            // What is printed next is no report's.
            Event::Tested { .. } | Event::Drafted { .. } => self.line.finish_and_clear(),
            Event::Drafting { spec, tries, model } => {
                self.progress = Progress { is_draft: true, ..Progress::new(*tries) };
                self.begin();
                if normal {
                    self.print(GREEN, "Drafting", &format!("{spec}, with {model}"));
                    self.line.set_message("waiting for the first token");
                    self.line.enable_steady_tick(Duration::from_millis(100));
                }
            }
            Event::Started { spec, samples, model } => {
                self.progress = Progress::new(*samples);
                self.begin();
                if normal {
                    self.print(GREEN, "Building", &format!("{spec}: {} from {model}", count(*samples, "sample")));
                    self.line.set_message("waiting for the first token");
                    self.line.enable_steady_tick(Duration::from_millis(100));
                }
            }
            Event::Tokens { count, .. } => {
                if self.progress.tokens == 0 {
                    // Loading the model and reading the prompt are not part of the rate.
                    self.progress.since = Instant::now();
                }
                self.progress.tokens += count;
                self.line.set_message(self.progress.text());
            }
            Event::Sampled { index, .. } => {
                self.progress.sampled += usize::from(*index < self.progress.samples);
                self.line.set_message(self.progress.text());
            }
            Event::SampleFailed { index, reason, .. } => {
                self.print(YELLOW, "Lost", &format!("sample {}: {reason}", index + 1));
            }
            Event::Judged { candidate, verdict, .. } => {
                self.verdict(candidate, verdict);
                self.line.set_message(self.progress.text());
            }
            Event::Repaired { from, passed, repair, .. } => {
                let by = match repair {
                    Some((number, of)) => format!("candidate {from} repaired ({number} of {of})"),
                    None => format!("candidate {from} repaired by rustc's own suggestions"),
                };
                let end = if *passed { "it passes" } else { "it fails" };
                // What cost nothing and came to nothing is told only to who wants all of it.
                if *passed && normal || self.verbosity == Verbosity::Verbose || normal && repair.is_some() {
                    self.print(if *passed { GREEN } else { YELLOW }, "Repair", &format!("{by}: {end}"));
                }
            }
            Event::Ambiguous { spec, ambiguity } if normal => {
                let outcomes: Vec<String> =
                    ambiguity.outcomes.iter().map(|(text, count)| format!("{text} ({count})")).collect();
                let (call, of) = (&ambiguity.call, ambiguity.of);
                self.print(
                    YELLOW,
                    "Ambiguous",
                    &format!(
                        "{spec}: of {of} that pass, for {call} some give {}; `llmc clarify {spec}` asks",
                        outcomes.join(", some ")
                    ),
                );
            }
            Event::Ambiguous { .. } => {}
            // Only given candidates can be unjudged: see `Verdicts`.
            Event::Unjudged(unjudged) => self.print(YELLOW, "Unjudged", &unjudged.message),
            Event::Finished(finished) => self.finished(finished),
            Event::Verified(verified) => self.verified(verified),
            Event::Removed { spec, path, commit } if normal => {
                self.print(
                    GREEN,
                    "Removed",
                    &format!("{spec}: its spec {path} is no more{}", committed(commit.as_deref())),
                );
            }
            Event::Moved { spec, from, path, commit } if normal => {
                let commit = committed(commit.as_deref());
                let text = match spec == from {
                    true => format!("{spec} to {path}: the same code{commit}"),
                    false => format!("{from} to {spec}: the same code{commit}"),
                };
                self.print(GREEN, "Moved", &text);
            }
            Event::Removed { .. } | Event::Moved { .. } => {}
            Event::Proposed(proposed) if normal => {
                let color = if proposed.stale.is_some() { YELLOW } else { GREEN };
                self.print(color, "Proposal", &proposal(proposed).join("\n             "));
            }
            Event::Proposed(_) => {}
            Event::Decided(decided) if normal => self.decided(decided),
            Event::Decided(_) => {}
        }
    }
}

impl Drop for Human {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}
