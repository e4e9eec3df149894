//! Verdicts on given candidates, for a person: one line each on standard output, all else on standard error.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::time::Instant;

use super::human::{CYAN, GREEN, RED, RESET, YELLOW, outcome};
use super::{Human, Report, Verbosity, count, printable};
use crate::event::{Event, Finished};
use crate::verdict::{Outcome, Verdict};

/// Most kinds of failure that a summary lists.
const MAX_KINDS: usize = 12;

/// Prints what `llmc validate` finds.
pub struct Verdicts {
    human: Human,
    color: bool,
    verbosity: Verbosity,
    since: Instant,
    judged: usize,
    passed: usize,
    /// For each spec, how often each failure was seen.
    failures: HashMap<String, BTreeMap<String, usize>>,
}

impl Verdicts {
    /// A report that wraps one for everything else; `color` is standard output's.
    pub fn new(human: Human, color: bool, verbosity: Verbosity) -> Self {
        human.live("reading the spec");
        Self { human, color, verbosity, since: Instant::now(), judged: 0, passed: 0, failures: HashMap::new() }
    }

    fn rate(&self) -> f64 {
        self.judged as f64 / self.since.elapsed().as_secs_f64().max(0.001)
    }

    fn judged(&mut self, spec: &str, candidate: &str, verdict: &Verdict) {
        self.judged += 1;
        self.passed += usize::from(verdict.is_pass());
        if let Some(kind) = kind(verdict) {
            *self.failures.entry(spec.to_owned()).or_default().entry(kind).or_default() += 1;
        }
        if self.verbosity > Verbosity::Quiet || !verdict.is_pass() {
            let text = line(candidate, verdict, self.color, self.verbosity == Verbosity::Verbose);
            self.human.suspend(|| {
                let mut stdout = io::stdout().lock();
                // A reader that went away does not change a verdict.
                let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            });
        }
        self.human.live(&format!("judged {}, passed {} ({:.0}/s)", self.judged, self.passed, self.rate()));
    }

    fn finished(&mut self, finished: &Finished) {
        let failures = self.failures.remove(&finished.spec).unwrap_or_default();
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let Finished { spec, sampled, parsed, compiled, passed, seconds, .. } = finished;
        let color = if *passed > 0 { GREEN } else { RED };
        let rate = *sampled as f64 / seconds.max(0.001);
        self.human.print(
            color,
            "Judged",
            &format!(
                "{spec}: {passed} of {} passed; {parsed} parsed, {compiled} compiled ({seconds:.1} s, {rate:.1} \
                 candidates/s)",
                count(*sampled, "candidate"),
            ),
        );
        let mut failures: Vec<_> = failures.into_iter().collect();
        failures.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        for (kind, times) in failures.iter().take(MAX_KINDS) {
            self.human.print(color, "", &format!("{times} × {kind}"));
        }
        if failures.len() > MAX_KINDS {
            let rest = count(failures.len() - MAX_KINDS, "other kind");
            self.human.print(color, "", &format!("and {rest} of failure"));
        }
    }
}

/// What kind of failure it is: `compile: hallucination (E0425)`.
fn kind(verdict: &Verdict) -> Option<String> {
    let class = verdict.class?.as_str();
    let phase = verdict.phase.as_str();
    Some(match &verdict.code {
        Some(code) => format!("{phase}: {class} ({code})"),
        None => format!("{phase}: {class}"),
    })
}

/// A candidate's line; with `whole`, what there is to say about it below.
fn line(candidate: &str, verdict: &Verdict, color: bool, whole: bool) -> String {
    let hue = if verdict.outcome == Outcome::Passed { GREEN } else { YELLOW };
    let word = outcome(verdict.outcome);
    let mut text = if color { format!("{hue}{word:<10}{RESET} ") } else { format!("{word:<10} ") };
    text.push_str(&one_line(candidate));
    if let Some(kind) = kind(verdict) {
        text.push_str(&format!(": {}", one_line(&kind)));
    }
    let detail = verdict.detail.trim_end();
    if whole && !detail.is_empty() {
        text.push('\n');
        for line in detail.lines() {
            text.push_str(&format!("    {}\n", printable(line)));
        }
        return text;
    }
    if let Some(first) = detail.lines().find(|line| !line.trim().is_empty()) {
        text.push_str(&format!(": {}", one_line(first.trim())));
    }
    text.push('\n');
    text
}

/// Nothing in it ends the line.
fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n")
}

impl Report for Verdicts {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Judged { spec, candidate, verdict } => self.judged(spec, candidate, verdict),
            Event::Finished(finished) => self.finished(finished),
            Event::Unjudged(unjudged) => {
                let line = unjudged.line.map(|line| format!(":{line}")).unwrap_or_default();
                let id = unjudged.candidate.as_ref().map(|id| format!(" (id {})", one_line(id))).unwrap_or_default();
                let path = one_line(&unjudged.path);
                self.human.print(YELLOW, "Unjudged", &format!("{path}{line}{id}: {}", unjudged.message));
            }
            Event::Note(message) if self.verbosity > Verbosity::Quiet => self.human.print(CYAN, "Note", message),
            other => self.human.event(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Class, Phase};

    #[test]
    fn a_verdict_is_one_line_that_starts_with_the_outcome() {
        assert_eq!(line("a.rs", &Verdict::passed(Phase::Property, 4), false, false), "passed     a.rs\n");
        let detail = "\nslug(\"A\")\n  expected \"a\"\n  got \"A\"\n";
        let failed = Verdict::failed(Phase::Test, Class::Misinterpretation, "example-1", detail);
        assert_eq!(
            line("a.rs", &failed, false, false),
            "failed     a.rs: test: misinterpretation (example-1): slug(\"A\")\n"
        );
        assert_eq!(
            line("a.rs", &failed, false, true),
            "failed     a.rs: test: misinterpretation (example-1)\n    \n    slug(\"A\")\n      expected \"a\"\n      got \"A\"\n"
        );
        assert_eq!(
            line("a\nb\u{1b}[2J", &failed, false, false).lines().next(),
            Some("failed     a\\nb\\u{1b}[2J: test: misinterpretation (example-1): slug(\"A\")")
        );
    }
}
