//! `llmc show`: where an artifact came from, and the samples of the last build on this machine.

use std::path::Path;

use serde_json::{Value, json};

use super::Output;
use super::args::{ShowArgs, ShowFormat};
use crate::driver::{self, Fared, Session};
use crate::error::{Error, ExitCode};
use crate::ledger::{Ledger, Recorded};
use crate::provenance::{Drawn, Fixer, Origin, Provenance, rfc3339};
use crate::report::{self, count, printable};
use crate::workspace::paths;

/// Shows an artifact, its code, or the samples of its last build.
pub(super) fn show(session: &Session, args: &ShowArgs, from: &Path, output: &Output) -> Result<ExitCode, Error> {
    let (named, revision) = driver::split(&args.spec);
    if let Some(revision) = revision {
        return earlier(session, args, named, revision, output);
    }
    let found = driver::load(session, &[named.to_owned()], from)?;
    if !found.mistakes.is_empty() {
        return Err(Error::spec(found.mistakes));
    }
    let component = found.components.last().map(|one| &one.spec.name);
    let name = component.or(found.functions.last().map(|one| &one.spec.name));
    let name = name.expect("a spec that was named was loaded or is invalid");
    if args.samples {
        return samples(session, name, output);
    }
    let missing = |_| match component {
        None => Error::new(ExitCode::Usage, format!("`{name}` has no artifact yet"))
            .hint(format!("`llmc build {name}` makes one")),
        Some(_) => Error::new(ExitCode::Usage, format!("`{name}` has no code that answers: its model answers alone"))
            .hint(format!("`llmc call {name} --describe` tells of it, `llmc harden {name}` makes code of it")),
    };
    if args.code {
        Output::data(&std::fs::read_to_string(session.workspace.path(&paths::code(name))).map_err(missing)?);
        return Ok(ExitCode::Done);
    }
    let path = paths::provenance(name);
    let bytes = std::fs::read(session.workspace.path(&path)).map_err(missing)?;
    let format = format(args, output);
    if format == ShowFormat::Intoto {
        let envelope = std::fs::read(session.workspace.path(&paths::envelope(name)));
        Output::data(&String::from_utf8_lossy(&envelope.unwrap_or(bytes)));
        return Ok(ExitCode::Done);
    }
    // That a ledger can't be read is told by those who need it.
    let fared = |provenance: &Provenance| driver::fared_here(session, provenance).ok();
    record(&bytes, &path, format, fared)
}

fn format(args: &ShowArgs, output: &Output) -> ShowFormat {
    args.format.unwrap_or(if output.is_json() { ShowFormat::Json } else { ShowFormat::Human })
}

/// Shows an artifact as a commit has it; its spec need not be there any more.
fn earlier(
    session: &Session,
    args: &ShowArgs,
    named: &str,
    revision: &str,
    output: &Output,
) -> Result<ExitCode, Error> {
    let name = driver::name_of(named)?;
    if args.samples {
        return Err(Error::new(
            ExitCode::Usage,
            "samples are those of the last build on this machine, not of a revision",
        )
        .hint(format!("`llmc show {name} --samples`")));
    }
    if args.code {
        let (_, bytes) = driver::at_revision(session, &name, revision, paths::code)?;
        Output::data(&String::from_utf8_lossy(&bytes));
        return Ok(ExitCode::Done);
    }
    let (commit, bytes) = driver::at_revision(session, &name, revision, paths::provenance)?;
    let format = format(args, output);
    if format == ShowFormat::Intoto {
        let envelope = driver::at_revision(session, &name, revision, paths::envelope);
        Output::data(&String::from_utf8_lossy(&envelope.map_or(bytes, |(_, envelope)| envelope)));
        return Ok(ExitCode::Done);
    }
    record(&bytes, &format!("{}` in `{commit}", paths::provenance(&name)), format, |_| None)
}

/// Prints a record.
fn record(
    bytes: &[u8],
    path: &str,
    format: ShowFormat,
    fared: impl Fn(&Provenance) -> Option<Fared>,
) -> Result<ExitCode, Error> {
    if format == ShowFormat::Json {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ExitCode::Difference, format!("failed to read `{path}`")).cause(error))?;
        Output::data(&format!("{value}\n"));
        return Ok(ExitCode::Done);
    }
    let provenance = Provenance::read(bytes)
        .map_err(|error| Error::new(ExitCode::Difference, format!("failed to read `{path}`")).cause(error))?;
    let fared = fared(&provenance).filter(|_| provenance.hardness().is_some());
    Output::data(&printable(&summary(&provenance, fared)));
    Ok(ExitCode::Done)
}

/// The provenance in a few lines.
fn summary(provenance: &Provenance, fared: Option<Fared>) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("spec", format!("{} (sha256:{})", provenance.spec.path, short(&provenance.spec.digest))),
        ("code", paths::code(&provenance.spec.name)),
    ];
    match &provenance.origin {
        Origin::Model(drawn) => rows.extend(drawn_rows(drawn)),
        Origin::Human(adoption) => {
            rows.push(("made by", "a person: no model, no completion; every check holds".to_owned()));
            if let Some(from) = &adoption.from {
                rows.push(("made from", format!("an artifact with code sha256:{}", short(&from.code))));
            }
        }
    }
    if let Some(hardness) = provenance.hardness() {
        rows.extend(report::certificate_rows(hardness));
    }
    if let Some(Fared { agreed, disagreed, demoted }) = fared {
        if agreed + disagreed > 0 {
            rows.push((
                "audited",
                format!("{} of its answers on this machine, {disagreed} otherwise", agreed + disagreed),
            ));
        }
        if let Some(at) = demoted {
            rows.push(("demoted", format!("{}: the model answers alone since", rfc3339(at / 1000))));
        }
    }
    let is_drawn = provenance.drawn().is_some();
    rows.push(("compiler", format!("{} on {}", provenance.toolchain.rustc, provenance.toolchain.host)));
    rows.push(("sandbox", provenance.sandbox.clone()));
    let when = if is_drawn { "built" } else { "taken in" };
    rows.push((when, format!("{} by llmc {}", provenance.finished_on, provenance.llmc_version)));
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    rows.iter().map(|(label, value)| format!("{label:width$}  {value}\n")).collect()
}

/// What was sampled, and what of it was chosen.
fn drawn_rows(drawn: &Drawn) -> Vec<(&'static str, String)> {
    let statistics = &drawn.statistics;
    let counts = statistics.counts;
    let completion = &drawn.completion;
    let parameters = &drawn.sampling.parameters;
    let mut rows = vec![("model", drawn.model.to_string())];
    if let Some(digest) = &drawn.model.digest {
        rows.push(("model file", format!("sha256:{}", short(digest))));
    }
    rows.push((
        "sample",
        format!(
            "{} of {}, temperature {}, seed {}, {}, {}",
            completion.index + 1,
            counts.sampled,
            completion.temperature,
            parameters.seed,
            completion.style,
            count(completion.completion_tokens, "token"),
        ),
    ));
    for (number, repair) in drawn.repairs.iter().enumerate() {
        let by = match repair.by {
            Fixer::Model => repair.model.as_deref().unwrap_or("a model"),
            Fixer::Rustc => "rustc's own suggestions",
        };
        let code = repair.code.as_deref().unwrap_or("unknown");
        let label = if number == 0 { "repaired" } else { "" };
        rows.push((label, format!("sample {} failed ({code}); repaired by {by}", repair.sample + 1)));
    }
    let yields = format!(
        "{} sampled, {} parsed, {} compiled, {} passed",
        counts.sampled, counts.parsed, counts.compiled, counts.passed
    );
    rows.push(("yield", yields));
    if let Some(rate) = &statistics.pass_rate {
        let caveat = if rate.fixed { "" } else { "; sampling stopped early, so this describes and proves nothing" };
        rows.push((
            "pass rate",
            format!(
                "{:.0}% (95% interval {:.0}% to {:.0}%{caveat})",
                rate.rate * 100.0,
                rate.low * 100.0,
                rate.high * 100.0
            ),
        ));
    }
    if let Some(certificate) = &drawn.certificate {
        rows.push((
            "certified",
            format!(
                "{} of {} fresh samples that pass do as it does: more than {}% of what passes ({:.0}% sure)",
                certificate.agreements,
                certificate.trials,
                (certificate.bound * 1000.0).round() / 10.0,
                (1.0 - certificate.alpha) * 100.0
            ),
        ));
    }
    let clusters: Vec<String> = statistics
        .clusters
        .iter()
        .map(|cluster| format!("{}{}", cluster.size, if cluster.passed { " pass" } else { " fail" }))
        .collect();
    rows.push(("same text", clusters.join(", ")));
    rows.push(("tokens", format!("{} generated", statistics.usage.completion_tokens)));
    rows
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn samples(session: &Session, name: &str, output: &Output) -> Result<ExitCode, Error> {
    let ledger = Ledger::open_to_read(&session.workspace.local_path())?;
    let samples = ledger.map(|ledger| ledger.last_build(name)).transpose()?.flatten();
    let Some(samples) = samples else {
        return Err(Error::new(ExitCode::Usage, format!("no samples of `{name}` were drawn on this machine"))
            .hint(format!("`llmc build {name}` draws some; `llmc show {name}` shows what is committed")));
    };
    let mut text = String::new();
    for sample in &samples {
        if output.is_json() {
            let value = json!({
                "event": "sample", "spec": name, "sample": sample.completion.index + 1, "model": sample.model,
                "replayed": sample.replayed, "completion": sample.completion,
                "code": sample.candidate.as_ref().map(|candidate| &candidate.source), "verdict": sample.verdict,
            });
            Output::json_line(value);
        } else {
            text.push_str(&render(sample));
        }
    }
    Output::data(&printable(&text));
    Ok(ExitCode::Done)
}

/// A sample for a person: what became of it, then its code or, without any, its text.
fn render(sample: &Recorded) -> String {
    let completion = &sample.completion;
    let found = match &sample.verdict {
        None => "not judged: the build ended before".to_owned(),
        Some(verdict) if verdict.is_pass() => "passed".to_owned(),
        Some(verdict) => {
            let class = verdict.class.map_or("failed", |class| class.as_str());
            format!("{class} ({})", verdict.code.as_deref().unwrap_or("unknown"))
        }
    };
    let mut text = format!(
        "── sample {}: {found}; {}temperature {}, {}{}\n",
        completion.index + 1,
        sample.repairs.map(|parent| format!("a repair of sample {}; ", parent + 1)).unwrap_or_default(),
        completion.temperature,
        count(completion.completion_tokens, "token"),
        if sample.replayed { ", from the ledger" } else { "" }
    );
    let body = sample.candidate.as_ref().map_or(completion.text.as_str(), |candidate| candidate.source.as_str());
    text.push_str(body.trim_end());
    text.push('\n');
    if let Some(verdict) = sample.verdict.as_ref().filter(|verdict| !verdict.detail.trim().is_empty()) {
        for line in verdict.detail.trim_end().lines() {
            text.push_str(&format!("   │ {line}\n"));
        }
    }
    text.push('\n');
    text
}
