//! Events as JSON lines on standard output: one object a line, each with `event` and the format's version `v`.
//! docs/events.md lists them; scripts rely on the names.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::Report;
use crate::event::{Event, Finished, Proposed};
use crate::verdict::Verdict;

/// The version of the format; goes up when a field changes its meaning or is removed.
pub const VERSION: u32 = 1;

/// Prints events as JSON lines.
#[derive(Debug, Default)]
pub struct Json;

impl Report for Json {
    fn event(&mut self, event: &Event) {
        let mut stdout = io::stdout().lock();
        // A reader that went away (`| head`) is no reason to stop a build that costs money.
        let _ = writeln!(stdout, "{}", to_json(event)).and_then(|()| stdout.flush());
    }
}

/// The JSON object of an event.
fn to_json(event: &Event) -> Value {
    let mut value = match event {
        Event::Download { what, done, total } => {
            json!({"event": "download", "what": what, "done": done, "total": total})
        }
        Event::Note(message) => json!({"event": "note", "message": message}),
        Event::Warning(message) => json!({"event": "warning", "message": message}),
        Event::ModelChosen { model, why } => json!({"event": "model", "model": model, "why": why}),
        Event::Started { spec, samples, model } => {
            json!({"event": "started", "spec": spec, "samples": samples, "model": model})
        }
        Event::Tokens { spec, count } => json!({"event": "tokens", "spec": spec, "count": count}),
        Event::Sampled { spec, index, tokens, replayed } => json!({
            "event": "sampled", "spec": spec, "sample": index + 1, "tokens": tokens, "replayed": replayed,
        }),
        Event::SampleFailed { spec, index, reason } => {
            json!({"event": "sample_failed", "spec": spec, "sample": index + 1, "reason": reason})
        }
        Event::Judged { spec, candidate, verdict } => verdict_to_json(spec, candidate, verdict),
        Event::Repaired { spec, candidate, from, passed, repair } => json!({
            "event": "repaired", "spec": spec, "candidate": candidate, "from": from,
            "by": if repair.is_some() { "model" } else { "rustc" }, "passed": passed,
            "repair": repair.map(|(number, _)| number), "of": repair.map(|(_, of)| of),
        }),
        Event::Ambiguous { spec, ambiguity } => json!({
            "event": "ambiguous", "spec": spec, "call": ambiguity.call, "passing": ambiguity.of,
            "outcomes": ambiguity.outcomes.iter().map(|(text, count)| json!({"text": text, "count": count}))
                .collect::<Vec<_>>(),
        }),
        Event::Called(called) => json!({
            "event": "called", "spec": called.spec, "call": called.call, "case": called.case, "right": called.is_right,
            "output": called.output.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
            "error": called.error, "seconds": called.seconds, "usd": called.usd,
        }),
        Event::Tested { summary } | Event::Drafted { summary } => summary.clone(),
        Event::Drafting { spec, tries, model } => {
            json!({"event": "drafting", "spec": spec, "tries": tries, "model": model})
        }
        Event::Unjudged(unjudged) => json!({
            "event": "error", "code": unjudged.exit, "message": unjudged.message, "causes": [], "hint": "",
            "spec": unjudged.spec, "candidate": unjudged.candidate, "path": unjudged.path, "line": unjudged.line,
        }),
        Event::Finished(finished) => finished_to_json(finished),
        Event::Verified(verified) => json!({
            "event": "verified", "spec": verified.spec, "path": verified.path,
            "status": if verified.differences.is_empty() { "verified" } else { "differs" },
            "differences": verified.differences, "notes": verified.notes,
            "seconds": (verified.seconds * 1000.0).round() / 1000.0,
        }),
        Event::Removed { spec, path, commit } => {
            json!({"event": "removed", "spec": spec, "path": path, "commit": commit})
        }
        Event::Moved { spec, from, path, commit } => {
            json!({"event": "moved", "spec": spec, "from": from, "path": path, "commit": commit})
        }
        Event::Proposed(proposed) => proposed_to_json(proposed),
        Event::Decided(decided) => json!({
            "event": if decided.accepted { "accepted" } else { "rejected" }, "spec": decided.spec,
            "digest": decided.digest, "files": decided.files, "commit": decided.commit,
        }),
    };
    if let Value::Object(object) = &mut value {
        object.insert("v".to_owned(), VERSION.into());
    }
    value
}

fn verdict_to_json(spec: &str, candidate: &str, verdict: &Verdict) -> Value {
    let mut value = json!({
        "event": "verdict", "spec": spec, "candidate": candidate, "phase": verdict.phase,
        "outcome": verdict.outcome, "class": verdict.class, "code": verdict.code, "detail": verdict.detail,
    });
    // Said only where it is so.
    for (key, holds) in [("hidden", verdict.hidden), ("cooperative", verdict.cooperative)] {
        if holds {
            value[key] = true.into();
        }
    }
    value
}

fn finished_to_json(finished: &Finished) -> Value {
    let clusters: Vec<Value> =
        finished.clusters.iter().map(|(size, passed)| json!({"size": size, "passed": passed})).collect();
    let chosen = finished.chosen.as_ref().map(|(sample, path)| json!({"sample": sample, "path": path}));
    json!({
        "event": "finished", "spec": finished.spec, "status": finished.status, "sampled": finished.sampled,
        "parsed": finished.parsed, "compiled": finished.compiled, "passed": finished.passed, "clusters": clusters,
        "chosen": chosen, "commit": finished.commit, "seconds": (finished.seconds * 1000.0).round() / 1000.0,
        "tokens": finished.tokens, "reason": finished.reason, "replayed": finished.replayed,
    })
}

fn proposed_to_json(proposed: &Proposed) -> Value {
    let (before, lines) = proposed.lines;
    let (sample, sampled, passed) = proposed.samples;
    json!({
        "event": "proposal", "spec": proposed.spec, "path": proposed.path, "digest": proposed.digest,
        "origin": proposed.origin, "made": proposed.made, "behaves": proposed.behaves, "told": proposed.told,
        "differing": proposed.differing, "calls": proposed.calls, "lines": lines, "lines_before": before, "model": proposed.model,
        "sample": sample, "sampled": sampled, "passed": passed, "tokens": proposed.tokens, "usd": proposed.usd,
        "stale": proposed.stale.as_ref().map(|(why, _)| why), "next": proposed.stale.as_ref().map(|(_, next)| next),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Status;
    use crate::verdict::{Class, Phase};

    #[test]
    fn a_verdict_says_that_it_is_cooperative_or_hidden_only_where_it_is() {
        let mut verdict = Verdict::failed(Phase::Test, Class::Misinterpretation, "example-1", "expected 1, got 2");
        let text = |verdict: &Verdict| {
            let (spec, candidate) = ("slug".to_owned(), "a.rs".to_owned());
            to_json(&Event::Judged { spec, candidate, verdict: verdict.clone() }).to_string()
        };
        assert_eq!(
            text(&verdict),
            r#"{"event":"verdict","spec":"slug","candidate":"a.rs","phase":"test","outcome":"failed","class":"misinterpretation","code":"example-1","detail":"expected 1, got 2","v":1}"#
        );
        (verdict.hidden, verdict.cooperative) = (true, true);
        assert!(text(&verdict).ends_with(r#""hidden":true,"cooperative":true,"v":1}"#), "{}", text(&verdict));
    }

    #[test]
    fn the_finished_event_has_the_fields_that_scripts_rely_on() {
        let event = Event::Finished(Finished {
            spec: "slug".into(),
            status: Status::Built,
            sampled: 8,
            replayed: 3,
            parsed: 7,
            compiled: 6,
            passed: 5,
            clusters: vec![(5, true), (1, false)],
            chosen: Some((3, "generated/src/slug.rs".into())),
            commit: Some("abc".into()),
            seconds: 1.23456,
            tokens: 900,
            reason: None,
        });
        assert_eq!(
            to_json(&event).to_string(),
            r#"{"event":"finished","spec":"slug","status":"built","sampled":8,"parsed":7,"compiled":6,"passed":5,"clusters":[{"size":5,"passed":true},{"size":1,"passed":false}],"chosen":{"sample":3,"path":"generated/src/slug.rs"},"commit":"abc","seconds":1.235,"tokens":900,"reason":null,"replayed":3,"v":1}"#
        );
    }
}
