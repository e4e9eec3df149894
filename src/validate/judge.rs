//! From what the compiler and the process of a candidate said to a verdict. Pure; the only place that decides.

use super::crates::CHECKS_FILE;
use super::harness::{Check, Harness};
use super::insight::{Failure, Insight, Judgement};
use super::protocol::{Report, Reported};
use crate::sandbox::Ending;
use crate::spec::Profile;
use crate::toolchain::{Compiled, RustcDiagnostic};
use crate::verdict::{Class, Outcome, Phase, Verdict};

/// Longest detail, in bytes.
const DETAIL: usize = 4 << 10;
/// Compiler errors quoted.
const ERRORS: usize = 3;
/// Folders whose names mean nothing outside, and the way from a panic in the checks to the spec.
pub(super) struct Places<'a> {
    /// What the names of the candidate's files begin with.
    pub(super) candidate: &'a str,
    /// The path of the module that the candidate's own module is in, with `::` at its end; empty for the crate.
    pub(super) module: &'a str,
    /// The spec's name.
    pub(super) spec: &'a str,
    /// The candidate's source.
    pub(super) source: &'a str,
    /// The checks.
    pub(super) harness: &'a Harness,
}

/// The verdict on a compiler run that gave no artifact. `hidden` tells of an error in a text that is kept from models.
pub(super) fn compile(compiled: &Compiled, places: &Places<'_>) -> Verdict {
    let errors: Vec<&RustcDiagnostic> =
        compiled.diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error")).collect();
    let ended = |outcome, detail: &str| Verdict {
        outcome,
        ..Verdict::failed(Phase::Compile, Class::Resource, "rustc", bounded(detail))
    };
    match compiled.ending {
        // It was writing its errors when it was stopped: the first of them is the same however many it would have been.
        Ending::CpuTime | Ending::WallTime | Ending::Flood if compiled.has_errors() => {}
        Ending::CpuTime | Ending::WallTime => return ended(Outcome::Timeout, "the compiler ran out of time"),
        Ending::Flood => return ended(Outcome::Resource, "the compiler wrote too much"),
        Ending::Forbidden => return ended(Outcome::Crashed, "the compiler made a system call that it may not"),
        _ if errors.is_empty() && is_out_of_memory(&compiled.other) => {
            return ended(Outcome::Resource, "the compiler ran out of memory");
        }
        Ending::Signaled(signal) => {
            let detail = format!("the compiler died of signal {signal}\n{}", places.plain(&compiled.other));
            return ended(Outcome::Crashed, &detail);
        }
        Ending::Exited(101) if errors.is_empty() => {
            let detail = format!("the compiler crashed\n{}", places.plain(&compiled.other));
            return ended(Outcome::Crashed, &detail);
        }
        Ending::Exited(_) => {}
    }
    let code = errors.iter().find_map(|error| error.code.clone());
    let first = errors.first().and_then(|error| error.code.as_deref());
    let class = match first {
        _ if errors.first().is_some_and(|error| error.message.starts_with("cannot find ")) => Class::Hallucination,
        Some(code) => Class::of_rustc(code),
        None => Class::Miscompile,
    };
    let detail = match &errors[..] {
        [] => compiled.other.clone(),
        errors => {
            let texts: Vec<&str> = errors.iter().take(ERRORS).map(|error| error.rendered.trim_end()).collect();
            texts.join("\n\n")
        }
    };
    if first == Some("long_running_const_eval") {
        return ended(Outcome::Timeout, &places.plain(&detail));
    }
    let code = first.map(str::to_owned).or(code).unwrap_or_else(|| "rustc".into());
    let mut verdict = Verdict::failed(Phase::Compile, class, code, bounded(&places.plain(&detail)));
    let spans = errors.iter().flat_map(|error| &error.spans);
    verdict.hidden = !places.harness.checks.iter().all(|check| !check.hidden)
        && spans.into_iter().any(|span| span.file == CHECKS_FILE);
    verdict
}

/// What of a run may be told to a model: nothing of a check that is hidden, not even that there is one.
///
/// Checks that are hidden come last, so nothing that the candidate said in one that is shown can tell of them.
pub(super) fn shown(checks: &[Check], report: &Report, verdict: &Verdict, places: &Places<'_>) -> Insight {
    let is_shown = |reported: &&Reported| !checks[reported.number].hidden;
    let all = checks.iter().filter(|check| !check.hidden).count();
    let passed = report.checks.iter().filter(is_shown).filter(|check| check.holds).count();
    let failed = report.checks.iter().filter(is_shown).find(|check| !check.holds);
    let failure = match failed {
        Some(failed) => {
            let check = &checks[failed.number];
            Some(Failure { code: check.code.clone(), text: detail(check, &places.plain(&failed.text)) })
        }
        // The process ended in a check that is shown.
        None if !verdict.is_pass() && !verdict.hidden => {
            Some(Failure { code: verdict.code.clone().unwrap_or_default(), text: verdict.detail.clone() })
        }
        None => None,
    };
    let mut failed: Vec<usize> = report.checks.iter().filter(|check| !check.holds).map(|check| check.number).collect();
    // The check in which the process ended.
    failed.extend((!verdict.is_pass() && !report.is_complete && report.next < checks.len()).then_some(report.next));
    Insight { shown: Some((passed, all)), failed, failure, ..Insight::default() }
}

/// The verdict on a run of all checks.
pub(super) fn run(checks: &[Check], report: &Report, ending: Ending, stderr: &str, places: &Places<'_>) -> Verdict {
    let passed = report.checks.iter().filter(|check| check.holds).count();
    let counted = |verdict: Verdict, check: &Check| Verdict {
        checks: Some((passed, checks.len())),
        hidden: check.hidden,
        ..verdict
    };
    if let Some(failed) = report.checks.iter().find(|check| !check.holds) {
        let check = &checks[failed.number];
        let detail = detail(check, &places.plain(&failed.text));
        return counted(Verdict::failed(check.phase, Class::Misinterpretation, &check.code, detail), check);
    }
    if report.is_complete && ending == Ending::Exited(0) {
        let phase = checks.iter().map(|check| check.phase).max().unwrap_or(Phase::Compile);
        let notes = checks.iter().zip(&report.checks).filter(|(_, reported)| !reported.text.is_empty());
        let notes: Vec<String> = notes.map(|(check, reported)| format!("{}: {}", check.code, reported.text)).collect();
        return Verdict { detail: bounded(&notes.join("\n")), ..Verdict::passed(phase, checks.len()) };
    }
    // The check that was running when the process ended.
    let check = &checks[if report.is_complete { checks.len() - 1 } else { report.next }];
    let (outcome, class, what) = match ending {
        _ if report.is_malformed => {
            let what = "the report of the checks was tampered with".to_owned();
            (Outcome::Crashed, Class::Misinterpretation, what)
        }
        Ending::CpuTime | Ending::WallTime => (Outcome::Timeout, Class::Resource, "ran out of time".to_owned()),
        Ending::Flood => (Outcome::Resource, Class::Resource, "wrote too much output".to_owned()),
        Ending::Forbidden => {
            let what = "made a system call that generated code may not".to_owned();
            (Outcome::Crashed, Class::PolicyViolation, what)
        }
        Ending::Exited(code) => {
            let what = format!("ended the process with exit code {code} before the checks were done");
            (Outcome::Crashed, Class::Misinterpretation, what)
        }
        Ending::Signaled(_) if is_out_of_memory(stderr) => {
            (Outcome::Resource, Class::Resource, "ran out of memory".to_owned())
        }
        Ending::Signaled(_) if stderr.contains("has overflowed its stack") => {
            (Outcome::Crashed, Class::Resource, "overflowed the stack: it recurses too deep, or without end".to_owned())
        }
        Ending::Signaled(signal) => {
            (Outcome::Crashed, Class::Misinterpretation, format!("the process died of signal {signal}"))
        }
    };
    let verdict = Verdict::failed(check.phase, class, &check.code, detail(check, &what));
    counted(Verdict { outcome, ..verdict }, check)
}

/// The verdict on a candidate whose second run did not end as the first, which passed.
pub(super) fn flaky(second: Verdict) -> Verdict {
    Verdict {
        outcome: Outcome::Flaky,
        class: Some(Class::Flaky),
        detail: bounded(&format!("passed in one run and not in the next, on the same inputs\n{}", second.detail)),
        ..second
    }
}

/// The verdict on a candidate that passes twice, with other answers in the check `at` the second time.
pub(super) fn inconstant(checks: &[Check], at: usize) -> Verdict {
    let what = "gave other answers in the next run, on the same inputs: they hang on chance, time, or earlier calls";
    let verdict = differs(checks, at, what);
    Verdict { outcome: Outcome::Flaky, class: Some(Class::Flaky), ..verdict }
}

/// The verdict on a candidate that passes in every profile, with other answers in the check `at` in one of them.
pub(super) fn unlike(checks: &[Check], at: usize) -> Verdict {
    differs(checks, at, "gave other answers in a release build than in a debug build, on the same inputs")
}

fn differs(checks: &[Check], at: usize, what: &str) -> Verdict {
    let check = &checks[at];
    let verdict = Verdict::failed(check.phase, Class::Misinterpretation, &check.code, detail(check, what));
    Verdict { checks: Some((checks.len() - 1, checks.len())), hidden: check.hidden, ..verdict }
}

/// What was found of a candidate that passed in another profile before.
pub(super) fn in_profile(profile: Profile, Judgement { verdict, insight }: Judgement) -> Judgement {
    let build = match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    };
    let only = |text: &str| bounded(&format!("only in a {build} build\n{text}"));
    let failure = insight.failure.map(|failure| Failure { text: only(&failure.text), ..failure });
    Judgement { verdict: Verdict { detail: only(&verdict.detail), ..verdict }, insight: Insight { failure, ..insight } }
}

fn detail(check: &Check, text: &str) -> String {
    match check.tries.as_str() {
        "" => bounded(text),
        tries => bounded(&format!("{tries}\n{text}")),
    }
}

fn is_out_of_memory(text: &str) -> bool {
    text.contains("memory allocation of") || text.contains("LLVM ERROR: out of memory") || text.contains("bad_alloc")
}

fn bounded(text: &str) -> String {
    match text.floor_char_boundary(DETAIL) {
        end if end < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

impl Places<'_> {
    /// The text without folders of this run; places in the checks become places in the spec.
    fn plain(&self, text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(CHECKS_FILE) {
            plain.push_str(&rest[..at]);
            rest = &rest[at + CHECKS_FILE.len()..];
            let (line, after_line) = number(rest);
            let (column, after) = number(after_line);
            let place = line.zip(column).and_then(|(line, column)| self.harness.map.locate(line, column));
            if let Some((line, column)) = place {
                plain.push_str(&format!("specs/{}.yaml:{line}:{column}", self.spec));
                rest = after;
            } else {
                plain.push_str("checks.rs");
            }
        }
        plain.push_str(rest);
        let plain = without_sources(&plain.replace(self.candidate, ""));
        self.quoted(&if self.module.is_empty() { plain } else { plain.replace(self.module, "") })
    }

    /// Quotes the line of the candidate at which it panicked.
    fn quoted(&self, text: &str) -> String {
        let file = format!("panicked at {}.rs", self.spec);
        let Some(at) = text.find(&file) else { return text.to_owned() };
        let (Some(line), _) = number(&text[at + file.len()..]) else { return text.to_owned() };
        match self.source.lines().nth(line.saturating_sub(1)).map(str::trim) {
            Some(source) if !source.is_empty() => {
                let source = &source[..source.floor_char_boundary(200)];
                format!("{text}\n  in line {line}: {source}")
            }
            _ => text.to_owned(),
        }
    }
}

/// The text without the folders in which cargo keeps the sources of crates: `CRATE-VERSION/src/lib.rs` is left of a name.
fn without_sources(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((at, found)) =
        ["/registry/src/", "/git/checkouts/"].iter().filter_map(|name| Some((rest.find(name)?, *name))).min()
    {
        let start = rest[..at].rfind(|letter: char| letter.is_whitespace() || "\"'`(<=".contains(letter));
        let start = start.map_or(0, |start| start + rest[start..].chars().next().map_or(0, char::len_utf8));
        plain.push_str(&rest[..start]);
        rest = &rest[at + found.len()..];
        // The registry's name.
        if let Some(end) = rest.find('/').filter(|_| found == "/registry/src/") {
            rest = &rest[end + 1..];
        }
    }
    plain + rest
}

/// Reads `:123` off the front.
fn number(text: &str) -> (Option<usize>, &str) {
    let Some(rest) = text.strip_prefix(':') else { return (None, text) };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    (rest[..end].parse().ok(), &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_cargo_are_no_part_of_a_verdict() {
        for (text, plain) in [
            (
                "panicked at /home/a/.cargo/registry/src/index.example-1/regex-1.2/src/lib.rs:3:4: no",
                "panicked at regex-1.2/src/lib.rs:3:4: no",
            ),
            (
                " --> /h/registry/src/i/a-1/b.rs\n ::: \"/h/git/checkouts/c-0/1/d.rs\"",
                " --> a-1/b.rs\n ::: \"c-0/1/d.rs\"",
            ),
            ("/registry/src/", ""),
            ("nothing of the kind in /registry/", "nothing of the kind in /registry/"),
        ] {
            assert_eq!(without_sources(text), plain);
        }
    }
}
