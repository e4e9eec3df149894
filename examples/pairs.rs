//! Whether `behaviour` finds a differing input wherever hidden tests tell two programs apart.
//!
//! `cargo run --release --no-default-features --features cli --example pairs [-- FOLDER [--mutants N] [--only SPEC]]`.
//! FOLDER (default: `tests/it/fixtures/mbpp`) holds specs and recorded replies (`replies.jsonl`: `spec`, `id`,
//! `completion`). All pairs of a spec's candidates that compile are held against each other: what all checks, hidden ones
//! too, say of each is compared with what `behaviour` finds, which is given the spec without what is hidden.
//!
//! With `--mutants` each candidate that passes everything is also held against up to N copies of it with one small change
//! each: pairs that are hard to tell apart, and many.

mod shared;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use llmc::behaviour::{Options, compare};
use llmc::candidate::{self, Candidate};
use llmc::model::Finish;
use llmc::toolchain::Toolchain;
use llmc::validate::Validator;
use llmc::verdict::{Phase, Verdict};

use shared::{Result, shown, specs};

fn replies(file: &Path) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        all.entry(text("spec")).or_default().push((text("id"), text("completion")));
    }
    Ok(all)
}

/// What checks say of a candidate: whatever differs here they tell apart.
fn found(verdict: &Verdict) -> (bool, Option<String>, Option<(usize, usize)>) {
    (verdict.is_pass(), verdict.code.clone(), verdict.checks)
}

/// Pairs of one sort.
#[derive(Default)]
struct Count {
    pairs: usize,
    apart: usize,
    found: usize,
    only_here: usize,
}

impl Count {
    fn add(&mut self, is_apart: bool, is_found: bool) {
        self.pairs += 1;
        self.apart += usize::from(is_apart);
        self.found += usize::from(is_apart && is_found);
        self.only_here += usize::from(!is_apart && is_found);
    }
}

fn main() -> Result<()> {
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/mbpp");
    let (mut mutants, mut only) = (0, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--mutants" => mutants = arguments.next().ok_or("--mutants needs a number")?.parse()?,
            "--only" => only = arguments.next(),
            _ => folder = PathBuf::from(argument),
        }
    }
    let scratch = tempfile::tempdir()?;
    let (cache, work) = (scratch.path().join("cache"), scratch.path().join("work"));
    let validator = Validator::new(Toolchain::find(None)?, cache, work).offline(true);
    let mut out = stdout();
    let mut replies = replies(&folder.join("replies.jsonl"))?;
    let (mut passing, mut compiling, mut changed) = (Count::default(), Count::default(), Count::default());
    let mut seconds = 0.0;
    for (name, spec) in specs(&folder)? {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let mut candidates: Vec<(String, Candidate)> = Vec::new();
        for (id, completion) in replies.remove(&name).unwrap_or_default() {
            if let Ok(candidate) = candidate::from_completion(&completion, Finish::Stop, &spec) {
                let program = candidate::normalised(&candidate);
                if !candidates.iter().any(|(_, known)| candidate::normalised(known) == program) {
                    candidates.push((id, candidate));
                }
            }
        }
        let (with_hidden, shown) = (validator.prepare(&spec, &[])?, validator.prepare(&shown(&spec), &[])?);
        let own = candidates.len();
        // Of each original, the place.
        let mut origins: Vec<usize> = (0..own).collect();
        if mutants > 0 {
            let all: Vec<&Candidate> = candidates.iter().map(|(_, candidate)| candidate).collect();
            let verdicts = validator.judge_all(&with_hidden, &all)?;
            for (at, _) in verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_pass()) {
                let mut made = candidate::mutants(&candidates[at].1, &spec);
                // Evenly over the program.
                let step = made.len().div_ceil(mutants).max(1);
                made = made.into_iter().step_by(step).collect();
                for mutant in made {
                    let id = format!("{}: line {}: {}", candidates[at].0, mutant.line, mutant.what);
                    candidates.push((id, mutant.candidate));
                    origins.push(at);
                }
            }
        }
        let all: Vec<&Candidate> = candidates.iter().map(|(_, candidate)| candidate).collect();
        let by_all = validator.judge_all(&with_hidden, &all)?;
        let by_shown = validator.judge_all(&shown, &all)?;
        let begun = Instant::now();
        let behaviours = compare(&validator, &shown, &all, &Options { seed: 0, ..Options::default() })?;
        let took = begun.elapsed().as_secs_f64();
        seconds += took;
        let cluster = |program: usize| {
            let place = behaviours.programs.iter().position(|at| *at == program)?;
            behaviours.clusters.iter().position(|cluster| cluster.contains(&place))
        };
        for one in 0..own {
            for other in one + 1..all.len() {
                let compiles = |at: usize| by_all[at].phase > Phase::Compile;
                let is_mutant = other >= own;
                if !compiles(one) || !compiles(other) || is_mutant && origins[other] != one {
                    continue;
                }
                let (is_apart, is_found) =
                    (found(&by_all[one]) != found(&by_all[other]), cluster(one) != cluster(other));
                let both_pass = by_shown[one].is_pass() && by_shown[other].is_pass();
                let counts = match (is_mutant, both_pass) {
                    (true, true) => vec![&mut changed],
                    // What the shown checks tell apart is no question.
                    (true, false) => Vec::new(),
                    (false, true) => vec![&mut compiling, &mut passing],
                    (false, false) => vec![&mut compiling],
                };
                for count in counts {
                    count.add(is_apart, is_found);
                }
                let what = match (is_apart, is_found) {
                    (true, false) => "MISSED",
                    (true, true) => "found",
                    (false, true) => "only here",
                    (false, false) => "alike",
                };
                if !is_mutant || is_apart && both_pass {
                    let note = if both_pass { "" } else { " (not both pass what is shown)" };
                    let (one, other) = (&candidates[one].0, &candidates[other].0);
                    writeln!(out, "{what:9} {one} | {other}{note}")?;
                }
            }
        }
        for split in behaviours.splits.iter().take(3).filter(|_| mutants == 0) {
            let text = |class: &usize| split.outcomes[*class].text.chars().take(60).collect::<String>();
            let outcomes: Vec<String> = split.classes.iter().map(text).collect();
            writeln!(out, "          {} -> {}", split.call, outcomes.join(" | "))?;
        }
        let coverage = &behaviours.coverage;
        writeln!(
            out,
            "          {name}: {} programs, {} inputs, {} drawn, {took:.1} s {:?}{:?}",
            all.len(),
            coverage.inputs,
            coverage.drawn,
            coverage.notes,
            coverage.not_called
        )?;
    }
    for (what, count) in [
        ("of replies that both pass what is shown", passing),
        ("of replies that both compile", compiling),
        ("of a program and a mutant that passes what is shown", changed),
    ] {
        writeln!(
            out,
            "pairs {what}: {}; told apart by the hidden tests: {}, of these found here: {}; told apart only here: {}",
            count.pairs, count.apart, count.found, count.only_here
        )?;
    }
    writeln!(out, "{seconds:.1} s for comparing, compiling included")?;
    Ok(())
}
