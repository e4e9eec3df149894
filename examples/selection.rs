//! How often the program that a policy chooses passes the tests that it was not shown.
//!
//! `cargo run --release --no-default-features --features cli --example selection [-- FOLDER [--completions FILE] [--only
//! SPEC]]`. FOLDER (default: `tests/it/fixtures/mbpp`) holds specs whose `tests` are shown and whose `hidden_tests` are
//! not. FILE (default: `FOLDER/replies.jsonl`) holds completions, one JSON object a line: `spec` and `completion`, a text
//! or an object with `text`, `finish` and `index`, as `llmc ledger export` writes it; without an index the file's order counts.
//!
//! Of the completions that pass what is shown three policies choose: `first-pass` takes the first; `random-pass` takes
//! any of them, of which the expectation is told; `agreement` is llmc's own: all that pass run on the same inputs, and
//! the simplest of the most frequent behaviour is taken, or none where nothing leads. What is hidden judges the choice
//! and has no other part: inputs, behaviours and votes are made of the spec without it.

mod shared;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use llmc::behaviour::{Options, compare};
use llmc::candidate::{self, Candidate};
use llmc::model::Finish;
use llmc::select::{Judged, choose_agreed};
use llmc::spec::Spec;
use llmc::stats;
use llmc::toolchain::Toolchain;
use llmc::validate::{Program, Validator};

use shared::{Result, shown, specs};

/// The completions of each spec, by index or in the file's order.
fn completions(file: &Path) -> Result<BTreeMap<String, Vec<(String, Finish)>>> {
    let mut all: BTreeMap<String, Vec<(u64, String, Finish)>> = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines().filter(|line| !line.trim().is_empty()) {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let spec = line["spec"].as_str().ok_or("a line without `spec`")?.to_owned();
        let completion = &line["completion"];
        let text = completion.as_str().or_else(|| completion["text"].as_str()).ok_or("a line without `completion`")?;
        let finish = match completion.get("finish") {
            Some(finish) => serde_json::from_value(finish.clone())?,
            None => Finish::Stop,
        };
        let own = all.entry(spec).or_default();
        own.push((completion["index"].as_u64().unwrap_or(own.len() as u64), text.to_owned(), finish));
    }
    let in_order = |(spec, mut own): (String, Vec<(u64, String, Finish)>)| {
        own.sort_by_key(|(index, ..)| *index);
        (spec, own.into_iter().map(|(_, text, finish)| (text, finish)).collect())
    };
    Ok(all.into_iter().map(in_order).collect())
}

/// What each policy chose for a spec of which something passes: whether it passes what is hidden.
struct Choice {
    first: bool,
    /// The share of those that pass what is shown.
    random: f64,
    /// None where nothing leads.
    agreed: Option<bool>,
}

/// Of a spec: how many completions there are, how many pass what is shown, how many behaviours these have, and what was
/// chosen, if there was a choice.
struct Found {
    drawn: usize,
    passing: usize,
    behaviours: usize,
    choice: Option<Choice>,
}

fn look(validator: &Validator, spec: &Spec, completions: &[(String, Finish)]) -> Result<Found> {
    let drawn: Vec<Option<Candidate>> =
        completions.iter().map(|(text, finish)| candidate::from_completion(text, *finish, spec).ok()).collect();
    // Each program is judged once, and each draw of it counts.
    let mut programs: Vec<(Program, &Candidate)> = Vec::new();
    let mut of: Vec<Option<usize>> = Vec::new();
    for candidate in &drawn {
        of.push(candidate.as_ref().map(|candidate| {
            let program = Program::of(candidate);
            programs.iter().position(|(known, _)| *known == program).unwrap_or_else(|| {
                programs.push((program, candidate));
                programs.len() - 1
            })
        }));
    }
    let all: Vec<&Candidate> = programs.iter().map(|(_, candidate)| *candidate).collect();
    let (with_hidden, shown) = (validator.prepare(spec, &[])?, validator.prepare(&shown(spec), &[])?);
    let by_shown = validator.judge_all(&shown, &all)?;
    let by_all = validator.judge_all(&with_hidden, &all)?;
    let passing: Vec<(usize, usize)> = of
        .iter()
        .enumerate()
        .filter_map(|(index, at)| Some((index, (*at)?)))
        .filter(|(_, at)| by_shown[*at].is_pass())
        .collect();
    let Some((_, first)) = passing.first() else {
        return Ok(Found { drawn: drawn.len(), passing: 0, behaviours: 0, choice: None });
    };
    let right = passing.iter().filter(|(_, at)| by_all[*at].is_pass()).count();
    let mut compared: Vec<usize> = passing.iter().map(|(_, at)| *at).collect();
    compared.sort_unstable();
    compared.dedup();
    let mut behaviour_of: BTreeMap<usize, usize> = compared.iter().map(|at| (*at, 0)).collect();
    let mut behaviours = 1;
    if compared.len() > 1 {
        let candidates: Vec<&Candidate> = compared.iter().map(|at| all[*at]).collect();
        let found = compare(validator, &shown, &candidates, &Options::default())?;
        behaviours = found.clusters.len();
        for (number, cluster) in found.clusters.iter().enumerate() {
            for place in cluster {
                behaviour_of.insert(compared[found.programs[*place]], number);
            }
        }
    }
    let judged: Vec<(Judged<'_>, usize)> = passing
        .iter()
        .map(|(index, at)| {
            let candidate = drawn[*index].as_ref().expect("it passed");
            (Judged { index: *index, candidate, verdict: &by_shown[*at] }, behaviour_of[at])
        })
        .collect();
    let passes = |index: usize| of[index].is_some_and(|at| by_all[at].is_pass());
    let agreed = match choose_agreed(&judged, None) {
        Ok(index) => Some(passes(index.ok_or("what passes was not chosen")?)),
        Err(_) => None,
    };
    let choice = Choice { first: by_all[*first].is_pass(), random: right as f64 / passing.len() as f64, agreed };
    Ok(Found { drawn: drawn.len(), passing: passing.len(), behaviours, choice: Some(choice) })
}

fn rate(chosen: usize, right: usize) -> String {
    let (low, high) = stats::wilson(right, chosen);
    let share = 100.0 * right as f64 / chosen.max(1) as f64;
    format!("{right} of {chosen}: {share:.0}% (95% interval {:.0}% to {:.0}%)", 100.0 * low, 100.0 * high)
}

fn main() -> Result<()> {
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/mbpp");
    let (mut file, mut only) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--completions" => file = Some(PathBuf::from(arguments.next().ok_or("--completions needs a file")?)),
            "--only" => only = arguments.next(),
            _ => folder = PathBuf::from(argument),
        }
    }
    let scratch = tempfile::tempdir()?;
    let (cache, work) = (scratch.path().join("cache"), scratch.path().join("work"));
    let validator = Validator::new(Toolchain::find(None)?, cache, work).offline(true);
    let completions = completions(&file.unwrap_or_else(|| folder.join("replies.jsonl")))?;
    let mut out = stdout();
    let mut choices: Vec<Choice> = Vec::new();
    let (mut specs_seen, mut drawn) = (0, 0);
    for (name, spec) in specs(&folder)? {
        let Some(own) = completions.get(&name).filter(|_| only.as_ref().is_none_or(|only| *only == name)) else {
            continue;
        };
        let found = look(&validator, &spec, own)?;
        (specs_seen, drawn) = (specs_seen + 1, drawn + found.drawn);
        let told = match &found.choice {
            None => "nothing to choose from".to_owned(),
            Some(choice) => {
                let word = |is_right: bool| if is_right { "right" } else { "WRONG" };
                format!(
                    "first {}, random {:.2}, agreement {} ({} behaviours)",
                    word(choice.first),
                    choice.random,
                    choice.agreed.map_or("abstains", word),
                    found.behaviours
                )
            }
        };
        writeln!(out, "{name:26} {:3} of {:3} pass what is shown: {told}", found.passing, found.drawn)?;
        choices.extend(found.choice);
    }
    let count = |wanted: &dyn Fn(&Choice) -> bool| choices.iter().filter(|choice| wanted(choice)).count();
    let all = choices.len();
    writeln!(out, "\n{specs_seen} specs, {drawn} completions; of {all} specs one at least passes what is shown")?;
    writeln!(out, "passes what is hidden, too:")?;
    writeln!(out, "  first-pass  {}", rate(all, count(&|choice| choice.first)))?;
    let expected: f64 = choices.iter().map(|choice| choice.random).sum();
    let share = 100.0 * expected / all.max(1) as f64;
    let nearest = rate(all, expected.round() as usize);
    writeln!(out, "  random-pass {expected:.2} of {all} expected: {share:.0}% (that of {nearest})")?;
    let agreed = count(&|choice| choice.agreed.is_some());
    writeln!(
        out,
        "  agreement   {}; abstains {} times",
        rate(agreed, count(&|choice| choice.agreed == Some(true))),
        all - agreed
    )?;
    let only_first = count(&|choice| choice.first && choice.agreed == Some(false));
    let only_agreed = count(&|choice| !choice.first && choice.agreed == Some(true));
    let p = stats::sign_test(only_agreed, only_first);
    writeln!(
        out,
        "of the {agreed} for which both chose: agreement alone is right {only_agreed} times, first-pass alone {only_first} \
         times; exact McNemar test, two-sided: p = {p:.3}"
    )?;
    let sure = choices.iter().filter(|choice| choice.agreed.is_some());
    let (first, expected) =
        sure.fold((0, 0.0), |(first, sum), choice| (first + usize::from(choice.first), sum + choice.random));
    writeln!(out, "on those {agreed} first-pass is right {first} times, random-pass {expected:.2} times expected")?;
    let kept = count(&|choice| choice.agreed.is_none() && choice.first);
    writeln!(out, "on the {} on which agreement abstains first-pass is right {kept} times", all - agreed)?;
    let (split, mut of_split) = (count(&|choice| choice.random > 0.0 && choice.random < 1.0), (0, 0));
    for choice in choices.iter().filter(|choice| choice.random > 0.0 && choice.random < 1.0) {
        of_split = (of_split.0 + usize::from(choice.first), of_split.1 + usize::from(choice.agreed == Some(true)));
    }
    writeln!(
        out,
        "a policy can matter where some that pass are right and some are not: {split} specs; there first-pass is right \
         {} times, agreement {}",
        of_split.0, of_split.1
    )?;
    Ok(())
}
