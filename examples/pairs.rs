//! Whether `behaviour` finds a differing input wherever hidden tests tell two programs apart.
//!
//! `cargo run --release --no-default-features --features cli --example pairs -- FOLDER`. FOLDER holds specs
//! (`FOLDER/mbpp/*.yaml`) and recorded replies (`FOLDER/mbpp-completions.jsonl`: `spec`, `id`, `completion`). All pairs of
//! a spec's candidates that compile are held against each other; what the hidden tests find of each is compared with
//! what `behaviour` finds, which is given the spec without them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use llmc::behaviour::{Options, compare};
use llmc::candidate::{self, Candidate};
use llmc::model::Finish;
use llmc::spec::Spec;
use llmc::toolchain::Toolchain;
use llmc::validate::Validator;
use llmc::verdict::{Phase, Verdict};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The spec without what is hidden.
fn shown(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    spec.hidden_tests = None;
    spec.examples.retain(|example| !example.hidden);
    spec.properties.retain(|property| !property.hidden);
    spec
}

fn specs(folder: &Path) -> Result<BTreeMap<String, Spec>> {
    let mut specs = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let parsed = llmc::spec::parse(&path.display().to_string(), &name, &fs::read(&path)?);
        specs.insert(name, parsed.map_err(|mistakes| format!("{mistakes:?}"))?.0);
    }
    Ok(specs)
}

fn completions(file: &Path) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        all.entry(text("spec")).or_default().push((text("id"), text("completion")));
    }
    Ok(all)
}

/// What the checks say of a candidate: whatever differs here they tell apart.
fn found(verdict: &Verdict) -> (bool, Option<String>, Option<(usize, usize)>) {
    (verdict.is_pass(), verdict.code.clone(), verdict.checks)
}

#[derive(Default)]
struct Count {
    pairs: usize,
    apart: usize,
    found: usize,
    only_here: usize,
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: pairs FOLDER [DRAWS]")?);
    let draws = std::env::args().nth(2).map_or(Ok(300), |text| text.parse())?;
    let scratch = tempfile::tempdir()?;
    let validator =
        Validator::new(Toolchain::find(None)?, scratch.path().join("cache"), scratch.path().join("work")).offline(true);
    let mut out = stdout();
    let mut completions = completions(&folder.join("mbpp-completions.jsonl"))?;
    let (mut passing, mut compiling) = (Count::default(), Count::default());
    let (mut seconds, mut runs) = (0.0, 0);
    let only = std::env::args().nth(3);
    for (name, spec) in specs(&folder.join("mbpp"))? {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let mut ids = Vec::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (id, completion) in completions.remove(&name).unwrap_or_default() {
            if let Ok(candidate) = candidate::from_completion(&completion, Finish::Stop, &spec)
                && !candidates.iter().any(|known| candidate::normalised(known) == candidate::normalised(&candidate))
            {
                ids.push(id);
                candidates.push(candidate);
            }
        }
        let shown = shown(&spec);
        let all: Vec<&Candidate> = candidates.iter().collect();
        let by_all = validator.judge_all(&validator.prepare(&spec, &[])?, &all)?;
        let checks = validator.prepare(&shown, &[])?;
        let by_shown = validator.judge_all(&checks, &all)?;
        let begun = Instant::now();
        let options = Options { draws, ..Options::default() };
        let behaviours = compare(&validator, &checks, &all, &options)?;
        seconds += begun.elapsed().as_secs_f64();
        runs += usize::from(!all.is_empty());
        let cluster = |program: usize| {
            let place = behaviours.programs.iter().position(|at| *at == program)?;
            behaviours.clusters.iter().position(|cluster| cluster.contains(&place))
        };
        for one in 0..all.len() {
            for other in one + 1..all.len() {
                let compile = |verdict: &Verdict| verdict.phase > Phase::Compile;
                if !compile(&by_all[one]) || !compile(&by_all[other]) {
                    continue;
                }
                let is_apart = found(&by_all[one]) != found(&by_all[other]);
                let is_found = cluster(one) != cluster(other);
                let both_pass = by_shown[one].is_pass() && by_shown[other].is_pass();
                let mut counts = vec![&mut compiling];
                if both_pass {
                    counts.push(&mut passing);
                }
                for count in counts {
                    count.pairs += 1;
                    count.apart += usize::from(is_apart);
                    count.found += usize::from(is_apart && is_found);
                    count.only_here += usize::from(!is_apart && is_found);
                }
                let what = match (is_apart, is_found) {
                    (true, false) => "MISSED",
                    (true, true) => "found",
                    (false, true) => "only here",
                    (false, false) => "alike",
                };
                writeln!(
                    out,
                    "{what:9} {} {}{}",
                    ids[one],
                    ids[other],
                    if both_pass { "" } else { " (not both pass)" }
                )?;
            }
        }
        for split in behaviours.splits.iter().take(3) {
            let outcomes: Vec<String> =
                split.classes.iter().map(|class| split.outcomes[*class].text.chars().take(60).collect()).collect();
            writeln!(out, "    {} -> {}", split.call, outcomes.join(" | "))?;
        }
        writeln!(
            out,
            "    {name}: {} inputs, {} drawn, {:.2} s; {:?} {:?} {:?}",
            behaviours.coverage.inputs,
            behaviours.coverage.drawn,
            begun.elapsed().as_secs_f64(),
            behaviours.coverage.notes,
            behaviours.coverage.not_called,
            behaviours.clusters,
        )?;
    }
    for (what, count) in [("pass what is shown", passing), ("compile", compiling)] {
        writeln!(
            out,
            "pairs that both {what}: {}; told apart by the hidden tests: {}, of these found here: {}; told apart only \
             here: {}",
            count.pairs, count.apart, count.found, count.only_here
        )?;
    }
    writeln!(out, "{seconds:.1} s for {runs} specs, compiling included")?;
    Ok(())
}
