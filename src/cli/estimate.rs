//! `llmc build --estimate`, printed.

use serde_json::{Value, json};

use super::Output;
use super::ledger::columns;
use crate::driver::Estimates;
use crate::model::price::AS_OF;
use crate::model::purse::Cost;
use crate::report::printable;

/// Prints what a build would cost.
pub(super) fn print(estimates: &Estimates, output: &Output) {
    if output.is_json() {
        for one in &estimates.list {
            let likely = one.likely.map(|likely| {
                let mut value = cost(likely.cost);
                value["samples"] = likely.samples.into();
                value["of"] = if likely.of_spec { "spec" } else { "model" }.into();
                value
            });
            Output::json_line(json!({
                "event": "estimate", "spec": one.spec, "model": one.model, "samples": one.samples,
                "stored": one.stored, "repairs": one.repairs, "most": cost(one.most), "likely": likely,
            }));
        }
        let today = &estimates.today;
        Output::json_line(json!({
            "event": "estimated", "most": cost(estimates.most()), "likely": estimates.likely().map(cost),
            "today": {"tokens": today.tokens, "usd": today.usd_micros as f64 / 1e6, "unpriced": today.unpriced},
            "caps": estimates.caps, "prices_as_of": AS_OF,
        }));
        return;
    }
    if estimates.list.is_empty() {
        Output::note("everything is up to date: a build costs nothing");
        return;
    }
    let mut rows =
        vec![["spec", "model", "samples", "in the ledger", "at most", "usd", "likely", "usd"].map(str::to_owned)];
    for one in &estimates.list {
        let (tokens, usd) = cells(Some(one.most));
        let (likely_tokens, likely_usd) = cells(one.likely.map(|likely| likely.cost));
        rows.push([
            one.spec.clone(),
            one.model.clone(),
            one.samples.to_string(),
            one.stored.to_string(),
            tokens,
            usd,
            likely_tokens,
            likely_usd,
        ]);
    }
    if estimates.list.len() > 1 {
        let sum = |part: fn(&crate::driver::Estimate) -> usize| estimates.list.iter().map(part).sum::<usize>();
        let (tokens, usd) = cells(Some(estimates.most()));
        let (likely_tokens, likely_usd) = cells(estimates.likely());
        rows.push([
            "all".to_owned(),
            String::new(),
            sum(|one| one.samples).to_string(),
            sum(|one| one.stored).to_string(),
            tokens,
            usd,
            likely_tokens,
            likely_usd,
        ]);
    }
    Output::data(&printable(&columns(&rows, 2, 0)));
    match estimates.list.iter().map(|one| one.repairs).max() {
        None | Some(0) => Output::note("tokens and US dollars; nothing was sent. At most: each sample asked for once"),
        Some(most) => {
            let repairs = if most == 1 { "1 repair".to_owned() } else { format!("{most} repairs") };
            Output::note(&format!(
                "tokens and US dollars; nothing was sent. At most: each sample asked for once, and up to {repairs} a spec \
                 (`sampling.repairs`); likely: without repairs"
            ));
        }
    }
    if estimates.list.iter().any(|one| one.most.usd_micros.is_none()) {
        Output::note("?: the price is not known; `prices` in llmc.yaml says it (docs/budget.md)");
    }
    if estimates.list.iter().any(|one| one.likely.is_none() && one.stored < one.samples) {
        Output::note("-: the ledger has no sample of that model to go by");
    }
    Output::note(&format!("list prices as of {AS_OF}; `prices` in llmc.yaml goes before them"));
    for cap in &estimates.caps {
        let today = &estimates.today;
        let so_far = match cap.contains("_per_day") {
            true => format!("; so far today: {} tokens, {:.4} usd", today.tokens, today.usd_micros as f64 / 1e6),
            false => String::new(),
        };
        Output::note(&format!("{cap}{so_far}"));
    }
}

fn cost(cost: Cost) -> Value {
    json!({"tokens": cost.tokens, "usd": cost.usd_micros.map(|micros| micros as f64 / 1e6)})
}

fn cells(cost: Option<Cost>) -> (String, String) {
    let Some(cost) = cost else { return ("-".to_owned(), "-".to_owned()) };
    let usd = cost.usd_micros.map_or_else(|| "?".to_owned(), |micros| format!("{:.4}", micros as f64 / 1e6));
    (cost.tokens.to_string(), usd)
}
