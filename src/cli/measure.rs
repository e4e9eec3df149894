//! `llmc measure`, printed.

use serde_json::{Value, json};

use super::Output;
use super::ledger::columns;
use crate::driver::{Before, Changed, Factor, Measured, Setting, Telling};
use crate::error::{Error, ExitCode};
use crate::measure::{Distribution, Failures};
use crate::report::{count, printable};

/// Behaviours, codes and inputs that are listed; --message-format json has all.
const LISTED: usize = 5;

/// `temperature=0.2,0.8`, `model=a,b`, `examples`, `shots` or `system`.
pub(super) fn vary(text: &str) -> Result<(Factor, Vec<String>), Error> {
    let (name, values) = text.split_once('=').unwrap_or((text, ""));
    let values: Vec<String> =
        values.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let factor = match name {
        "temperature" => Factor::Temperature,
        "model" => Factor::Model,
        "examples" => Factor::Examples,
        "shots" => Factor::Shots,
        "system" => Factor::System,
        _ => {
            return Err(Error::new(ExitCode::Usage, format!("`{name}` is nothing that can be varied"))
                .hint("temperature=0.2,0.8 · model=A,B · examples · shots · system"));
        }
    };
    if !values.is_empty() && !matches!(factor, Factor::Temperature | Factor::Model) {
        return Err(Error::new(ExitCode::Usage, format!("`{name}` is varied by leaving it out: it takes no values")));
    }
    Ok((factor, values))
}

/// Prints what was measured.
pub(super) fn print(measured: &Measured, output: &Output) {
    if output.is_json() {
        for setting in &measured.settings {
            Output::json_line(event(measured, setting));
        }
        for telling in &measured.telling {
            Output::json_line(json!({
                "event": "telling", "spec": measured.spec, "call": telling.call,
                "outcomes": telling.outcomes.iter().enumerate().map(|(at, (outcome, counts))| json!({
                    "kind": outcome.kind, "text": outcome.text, "committed": telling.committed == Some(at),
                    "draws": counts.iter().map(|(all, _)| *all).collect::<Vec<_>>(),
                    "passing": counts.iter().map(|(_, passing)| *passing).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            }));
        }
        if let Some(before) = &measured.before {
            let (drawn, passed) = before.counts;
            Output::json_line(json!({
                "event": "before", "spec": measured.spec, "label": before.label, "commit": before.commit,
                "made": before.made, "model": before.model, "sampled": drawn, "passed": passed, "fixed": before.fixed,
                "clusters": before.clusters, "changed": before.changed, "notes": before.notes,
                "alike": before.alike.map(|one| json!({
                    "same": one.same, "of": one.of, "low": one.low, "high": one.high,
                })),
            }));
        }
        if let Some(drift) = &measured.drift {
            Output::json_line(json!({
                "event": "drift", "spec": measured.spec, "pass_rate_p": drift.pass_rate,
                "seen_from": drift.seen_from, "outputs_p": drift.outputs,
            }));
        }
        return;
    }
    let mut text = String::new();
    match measured.settings.as_slice() {
        [only] => text.push_str(&one(&measured.spec, only)),
        several => {
            text.push_str(&table(&measured.spec, several));
            if measured.before.is_none() {
                text.push_str(&advice(several));
            }
        }
    }
    text.push_str(&telling(measured));
    text.push_str(&compared(measured));
    Output::data(&printable(&text));
}

/// What was held against what, and whether it differs.
fn compared(measured: &Measured) -> String {
    let mut text = match (&measured.before, measured.settings.as_slice()) {
        (Some(before), _) => headed(before),
        (None, [one, other]) if measured.drift.is_some() => {
            format!("\ncompared with {}, {}:\n", one.model, other.model)
        }
        _ => return String::new(),
    };
    let verdict = |p: f64| if p < crate::measure::ALPHA { "differ" } else { "no difference was found" };
    if let Some(drift) = &measured.drift {
        let p = drift.pass_rate;
        text.push_str(&format!("  pass rates  {} (p = {p:.3}, Boschloo's exact test)\n", verdict(p)));
        if let (true, Some(rate)) = (p >= crate::measure::ALPHA, drift.seen_from) {
            text.push_str(&format!(
                "              a drop to {} or lower would have been seen with a probability of 80%\n",
                percent(rate)
            ));
        } else if p >= crate::measure::ALPHA {
            text.push_str("              with so few draws no drop would have been seen: more with -n\n");
        }
        // A commit holds one program, and not what its other draws did.
        let is_commit = measured.before.as_ref().is_some_and(|before| before.commit.is_some());
        match drift.outputs {
            Some(p) => {
                text.push_str(&format!(
                    "  outputs     {} (p = {p:.3}, permutation test over all inputs)\n",
                    verdict(p)
                ));
            }
            None if is_commit => {}
            None if measured.settings.iter().all(|one| one.distribution.compiled() > 1) => {
                text.push_str("  outputs     no two programs were seen to differ: nothing to test\n");
            }
            None => text.push_str("  outputs     fewer than two programs of each run: nothing to compare\n"),
        }
    }
    let Some(before) = &measured.before else { return text };
    if let Some(alike) = before.alike {
        text.push_str(&format!(
            "  behaviour   {} of {} that pass now do as the code at {} does, on every input that was run\n              \
             ({}; 95% interval {} to {})\n",
            alike.same,
            alike.of,
            before.label,
            percent(alike.same as f64 / alike.of as f64),
            percent(alike.low),
            percent(alike.high)
        ));
    }
    for note in told(measured, before) {
        text.push_str(&format!("  {note}\n"));
    }
    text
}

/// What draws were held against.
fn headed(before: &Before) -> String {
    let Before { label, made, model, counts: (drawn, passed), clusters, .. } = before;
    let sizes: Vec<String> = clusters.iter().map(ToString::to_string).collect();
    let by = model.as_ref().map(|model| format!(", {model}")).unwrap_or_default();
    let what = match &before.commit {
        Some(_) => format!("{label} ({made}{by})"),
        None => format!("what the ledger has until {label} (the last of {made}{by})"),
    };
    match (drawn, before.commit.is_some()) {
        (0, _) => format!("\ncompared with {what}:\n"),
        (_, true) if !sizes.is_empty() => {
            let sizes = sizes.join(", ");
            format!("\ncompared with {what}, where {passed} of {drawn} passed, in groups of {sizes}:\n")
        }
        _ => format!("\ncompared with {what}, where {passed} of {drawn} passed:\n"),
    }
}

/// What has to be known before a difference is put down to the model.
fn told(measured: &Measured, before: &Before) -> Vec<String> {
    let label = &before.label;
    let mut notes = Vec::new();
    for changed in &before.changed {
        notes.push(match changed {
            Changed::Spec => {
                "the spec was another one then: a difference may be the spec's, and not the model's".to_owned()
            }
            Changed::Prompt if before.commit.is_some() => {
                "the prompt was another one then (a template or a spec that it shows): a difference may be its doing"
                    .to_owned()
            }
            Changed::Prompt => {
                "the prompt was another one then: the spec or its template changed, and a difference may be their doing"
                    .to_owned()
            }
            Changed::Model => {
                let now = measured.settings.last().map_or("another", |setting| setting.model.as_str());
                format!("the model is another one: {} then, {now} now", before.model.as_deref().unwrap_or("unknown"))
            }
            Changed::Parameters => "it was sampled in another way then (temperature, top_p or max_tokens)".to_owned(),
        });
    }
    if before.counts.0 > 0 && !before.fixed {
        notes.push(match before.commit {
            Some(_) => {
                format!("the build at {label} drew until it had enough: its pass rate is no measurement, and p a hint")
            }
            None => "some of those draws are of builds that ended when they had enough: p is a hint".to_owned(),
        });
    }
    if measured.settings.last().is_some_and(|setting| setting.model.split(", ").any(|one| one.starts_with("replay/"))) {
        notes.push("replay gives what was recorded: its completions are no fresh draws".to_owned());
    }
    notes.extend(before.notes.iter().cloned());
    notes
}

/// One distribution in words.
fn one(spec: &str, setting: &Setting) -> String {
    let measured = &setting.distribution;
    let (drawn, passed) = (measured.drawn(), measured.passed());
    let (low, high) = measured.pass_rate();
    let temperature = setting.temperature.map(|value| format!(" at temperature {value}")).unwrap_or_default();
    let mut rows: Vec<(&str, String)> = vec![
        (
            "pass",
            format!(
                "{passed} of {drawn}: {} (95% interval {} to {})",
                percent(passed as f64 / drawn as f64),
                percent(low),
                percent(high)
            ),
        ),
        (
            "pass@k",
            measured
                .pass_at()
                .iter()
                .map(|(k, chance)| format!("{k}: {}", percent(*chance)))
                .collect::<Vec<_>>()
                .join("   "),
        ),
        (
            "yield",
            format!("{} are Rust that conforms, {} compile, {passed} pass", measured.parsed(), measured.compiled()),
        ),
    ];
    for (at, Failures { class, count, codes }) in measured.failures().into_iter().enumerate() {
        let codes: Vec<String> = codes
            .into_iter()
            .filter(|(code, _)| !code.is_empty())
            .take(LISTED)
            .map(|(code, count)| format!("{code} {count}"))
            .collect();
        let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
        rows.push((if at == 0 { "failures" } else { "" }, format!("{count} × {}{codes}", class.as_str())));
    }
    let groups = measured.groups(true);
    for (at, group) in groups.iter().take(LISTED).enumerate() {
        let head = if at == 0 { "behaviours" } else { "" };
        rows.push((
            head,
            format!(
                "{} of {} that pass do as sample {} does ({})",
                group.size,
                passed,
                group.first + 1,
                percent(group.size as f64 / passed as f64)
            ),
        ));
    }
    if groups.len() > LISTED {
        rows.push(("", format!("and {} more", groups.len() - LISTED)));
    }
    if let Some(spread) = measured.spread() {
        rows.push(("spread", match groups.len() {
            1 => format!(
                "all that pass do the same on every input that was run; that two differ has a chance of at most {} (95% sure)",
                percent(spread.dissent_interval.1)
            ),
            _ => format!(
                "two that pass differ with a chance of {} (95% interval {} to {})",
                percent(spread.dissent), percent(spread.dissent_interval.0), percent(spread.dissent_interval.1)
            ),
        }));
        if groups.len() > 1 {
            rows.push((
                "",
                format!(
                    "entropy {:.2} bits, {:.2} with what was not seen allowed for (95% interval {:.2} to {:.2})",
                    spread.entropy, spread.entropy_corrected, spread.entropy_interval.0, spread.entropy_interval.1
                ),
            ));
        }
        if spread.wrong > 0.005 {
            rows.push(("", format!(
                "so at least {} of what passes is wrong on some input: where programs differ one at most is right (95% sure)",
                percent(spread.wrong)
            )));
        }
    }
    let (tokens, of_pass) = measured.tokens();
    let mut cost = format!("{tokens:.0} tokens a sample");
    if let Some(of_pass) = of_pass {
        cost.push_str(&format!(", {of_pass:.0} for each that passes"));
    }
    if let Some((usd, of_pass)) = measured.usd().filter(|(usd, _)| *usd > 0.0) {
        cost.push_str(&format!("; ${usd:.4} a sample"));
        if let Some(of_pass) = of_pass {
            cost.push_str(&format!(", ${of_pass:.4} for each that passes"));
        }
    }
    rows.push(("cost", cost));
    rows.push((
        "next",
        format!(
            "one more sample passes with a chance of {}, one of the next 4 {}, of the next 16 {}",
            percent(measured.pass_in(1)),
            percent(measured.pass_in(4)),
            percent(measured.pass_in(16))
        ),
    ));
    let from = if setting.replayed > 0 {
        format!(", {} of them in the ledger already", setting.replayed)
    } else {
        String::new()
    };
    let mut text = format!("{spec}: {} of {}{temperature}{from}\n", count(drawn, "sample"), setting.model);
    for (name, value) in rows {
        text.push_str(&format!("  {name:<11} {value}\n"));
    }
    text
}

/// Several distributions beside each other.
fn table(spec: &str, settings: &[Setting]) -> String {
    let mut rows = vec![
        ["setting", "samples", "pass", "95% interval", "behaviours", "entropy", "tokens", "per pass"]
            .map(str::to_owned),
    ];
    for setting in settings {
        let measured = &setting.distribution;
        let (low, high) = measured.pass_rate();
        let (tokens, of_pass) = measured.tokens();
        rows.push([
            if setting.label == "as configured" { setting.model.clone() } else { setting.label.clone() },
            measured.drawn().to_string(),
            percent(measured.passed() as f64 / measured.drawn().max(1) as f64),
            format!("{} to {}", percent(low), percent(high)),
            measured.groups(true).len().to_string(),
            measured
                .spread()
                .map_or("-".to_owned(), |spread| format!("{:.2}", spread.entropy_corrected.max(0.0) + 0.0)),
            format!("{tokens:.0}"),
            of_pass.map_or("-".to_owned(), |tokens| format!("{tokens:.0}")),
        ]);
    }
    let mut text = format!("{spec}\n{}", columns(&rows, 1, 0));
    text.push_str("entropy: of the behaviours of those that pass, in bits, with what was not seen allowed for\n");
    text
}

/// Which setting narrows the spec most, as far as the samples show.
fn advice(settings: &[Setting]) -> String {
    let spread = |setting: &Setting| setting.distribution.spread().map(|spread| spread.entropy_corrected);
    let known: Vec<(&Setting, f64)> = settings.iter().filter_map(|one| Some((one, spread(one)?))).collect();
    let narrow = known.iter().min_by(|(_, one), (_, other)| one.total_cmp(other));
    let wide = known.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
    let cheapest = settings
        .iter()
        .filter_map(|one| Some((one, one.distribution.tokens().1?)))
        .min_by(|(_, one), (_, other)| one.total_cmp(other));
    let overlap = settings
        .iter()
        .all(|one| settings.iter().all(|other| one.distribution.pass_rate().0 <= other.distribution.pass_rate().1));
    let mut text = String::new();
    if let (Some((narrow, low)), Some((wide, high))) = (narrow, wide)
        && high - low > 0.01
    {
        let more = narrow.distribution.tokens().0 - wide.distribution.tokens().0;
        text.push_str(&format!(
            "narrowest: {} ({:.2} bits less than {}, for {more:+.0} tokens a sample)\n",
            narrow.label,
            high - low,
            wide.label
        ));
    }
    if let Some((setting, tokens)) = cheapest {
        text.push_str(&format!("fewest tokens for each that passes: {} ({tokens:.0})\n", setting.label));
    }
    if overlap {
        text.push_str("the intervals of the pass rates overlap: more samples (-n) would tell more\n");
    }
    text
}

/// The inputs on which programs part.
fn telling(measured: &Measured) -> String {
    let mut text = String::new();
    let several = measured.settings.len() > 1;
    for one in measured.telling.iter().take(LISTED) {
        if text.is_empty() {
            text.push_str("\ninputs on which programs differ");
            text.push_str(if several {
                ", with the samples that do so in each setting:\n"
            } else {
                ", with how many samples do so (how many of them pass)"
            });
            match (&measured.before, several) {
                (Some(before), false) if measured.telling.iter().any(|one| one.committed.is_some()) => {
                    text.push_str(&format!("; *: what the code at {} does:\n", before.label));
                }
                (_, false) => text.push_str(":\n"),
                _ => {}
            }
        }
        text.push_str(&format!("  {}\n", one.call));
        text.push_str(&outcomes(one, several));
    }
    if measured.telling.len() > LISTED {
        text.push_str(&format!("  and {} more inputs (--message-format json)\n", measured.telling.len() - LISTED));
    }
    if let Some(coverage) = &measured.coverage {
        if measured.telling.is_empty() {
            text.push_str(&format!("\nno input was found on which programs differ: {}\n", coverage.sentence()));
        }
        for (function, why) in &coverage.not_called {
            text.push_str(&format!("`{function}` was run on the spec's own calls only: {why}\n"));
        }
    }
    text
}

fn outcomes(telling: &Telling, several: bool) -> String {
    let count = |at: &usize| telling.outcomes[*at].1.iter().map(|(all, _)| *all).sum::<usize>();
    let mut order: Vec<usize> = (0..telling.outcomes.len()).collect();
    order.retain(|at| count(at) > 0 || telling.committed == Some(*at));
    order.sort_by_key(|at| std::cmp::Reverse(count(at)));
    let line = |at: usize| {
        let (outcome, counts) = &telling.outcomes[at];
        let counts = match several {
            true => counts.iter().map(|(all, _)| all.to_string()).collect::<Vec<_>>().join(" / "),
            false => counts.iter().map(|(all, passing)| format!("{all} ({passing})")).collect(),
        };
        let mark = if telling.committed == Some(at) { " *" } else { "" };
        format!("    {counts:>10}  {}{mark}\n", outcome.text)
    };
    order.into_iter().map(line).collect()
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn event(measured: &Measured, setting: &Setting) -> Value {
    let distribution: &Distribution = &setting.distribution;
    let (low, high) = distribution.pass_rate();
    let group =
        |group: &crate::measure::Group| json!({"size": group.size, "passed": group.passed, "sample": group.first + 1});
    let (tokens, of_pass) = distribution.tokens();
    let pass_in = [1, 4, 16].map(|more| json!({"more": more, "chance": distribution.pass_in(more)}));
    json!({
        "event": "measured", "spec": measured.spec, "setting": setting.label, "model": setting.model,
        "temperature": setting.temperature, "sampled": distribution.drawn(), "lost": setting.lost, "replayed": setting.replayed,
        "parsed": distribution.parsed(), "compiled": distribution.compiled(), "passed": distribution.passed(),
        "pass_rate": {"low": low, "high": high},
        "pass_at": distribution.pass_at().iter().map(|(k, chance)| json!({"k": k, "chance": chance})).collect::<Vec<_>>(),
        "failures": distribution.failures().iter().map(|Failures { class, count, codes }| json!({
            "class": class, "count": count,
            "codes": codes.iter().map(|(code, count)| json!({"code": code, "count": count})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "clusters": distribution.groups(false).iter().map(group).collect::<Vec<_>>(),
        "spread": distribution.spread().map(|spread| json!({
            "entropy": spread.entropy, "entropy_corrected": spread.entropy_corrected,
            "entropy_interval": {"low": spread.entropy_interval.0, "high": spread.entropy_interval.1},
            "dissent": spread.dissent,
            "dissent_interval": {"low": spread.dissent_interval.0, "high": spread.dissent_interval.1},
            "missing": spread.missing, "wrong_at_least": spread.wrong,
        })),
        "tokens": {"sample": tokens, "passing": of_pass},
        "usd": distribution.usd().map(|(sample, passing)| json!({"sample": sample, "passing": passing})),
        "pass_in": pass_in,
        "coverage": measured.coverage,
    })
}
