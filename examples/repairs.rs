//! Do repairs pay? The same specs with repairs off and on, at equal tokens, prompts included.
//!
//! `cargo run --release --example repairs -- [LLMC [MODEL [SAMPLES [FOLDER]]]]`: the program (default
//! `target/release/llmc`), the model (`embedded/0.5b`), independent samples (16), a folder of specs (those of the tests).
//! Both sides have the same seed, and so the same first samples. What all independent samples of a spec take is what
//! either side may spend on it: a draw counts where the tokens up to its end are within that. Prints a Markdown table.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A sample, in the order in which they came.
struct Draw {
    tokens: u64,
    /// Whether it passes as it came.
    passes: bool,
    /// Whether it passes as it came or as rustc changed it.
    passes_fixed: bool,
}

struct Bench {
    llmc: PathBuf,
    workspace: PathBuf,
    model: String,
    samples: u64,
}

impl Bench {
    /// Builds a spec with at most so many repairs; every sample that was looked at.
    fn draws(&self, name: &str, repairs: u64) -> Result<Vec<Draw>> {
        let (model, samples) = (&self.model, self.samples);
        fs::write(
            self.workspace.join("llmc.yaml"),
            format!("model: {model}\nsampling: {{ samples: {samples}, stop: all, repairs: {repairs} }}\n"),
        )?;
        let built = self.events(&["build", name, "--no-commit"])?;
        let mut passes = HashSet::new();
        for verdict in built.iter().filter(|event| event["event"] == "verdict" && event["outcome"] == "passed") {
            passes.insert(verdict["candidate"].as_str().unwrap_or_default().to_owned());
        }
        let mut tokens = HashMap::new();
        for sample in self.events(&["show", name, "--samples"])? {
            let of = |part: &str| sample["completion"][part].as_u64().unwrap_or_default();
            let taken = of("prompt_tokens") + of("completion_tokens");
            tokens.insert(sample["sample"].as_u64().ok_or("a sample without a number")?, taken);
        }
        let order =
            built.iter().filter(|event| event["event"] == "sampled").filter_map(|event| event["sample"].as_u64());
        let draw = |number: u64| {
            let passes_own = passes.contains(&number.to_string());
            let fixed = format!("{number}-fixed");
            Ok(Draw {
                tokens: *tokens.get(&number).ok_or("a sample that the ledger does not have")?,
                passes: passes_own,
                passes_fixed: passes_own || passes.iter().any(|name| name.starts_with(&fixed)),
            })
        };
        order.map(draw).collect()
    }

    fn events(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let mut command = Command::new(&self.llmc);
        command.args(arguments).args(["--message-format", "json"]).current_dir(&self.workspace);
        let output = command.stderr(Stdio::null()).output()?;
        // 3: none passed, which is an answer.
        match output.status.code() {
            Some(0 | 3) => {}
            code => return Err(format!("llmc {arguments:?} ended with {code:?}").into()),
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?)
    }
}

/// Whether one of the draws that are within `cap` tokens passes.
fn is_built(draws: &[Draw], cap: u64, passes: impl Fn(&Draw) -> bool) -> bool {
    let mut spent = 0;
    draws.iter().any(|draw| {
        spent += draw.tokens;
        spent <= cap && passes(draw)
    })
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let llmc = arguments.next().map_or_else(|| root.join("target/release/llmc"), PathBuf::from);
    let model = arguments.next().unwrap_or_else(|| "embedded/0.5b".into());
    let samples = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let specs = arguments.next().map_or_else(|| root.join("tests/it/fixtures/mbpp"), PathBuf::from);
    let folder = tempfile::tempdir()?;
    let bench = Bench { llmc: llmc.canonicalize()?, workspace: folder.path().to_owned(), model, samples };
    fs::create_dir(folder.path().join("specs"))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(specs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a spec's name is no text")?.to_owned();
            fs::copy(&path, folder.path().join("specs").join(format!("{name}.yaml")))?;
            names.push(name);
        }
    }
    names.sort();

    let mut out = stdout().lock();
    writeln!(out, "| spec | tokens | draws off | draws on | of them repairs | off, no fixes | off | on |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    let mut totals = [0; 3];
    for name in &names {
        let off = bench.draws(name, 0)?;
        let cap: u64 = off.iter().map(|draw| draw.tokens).sum();
        let on = bench.draws(name, samples)?;
        let spent = |draws: &[Draw]| {
            let mut sum = 0;
            draws
                .iter()
                .take_while(|draw| {
                    sum += draw.tokens;
                    sum <= cap
                })
                .count()
        };
        let repairs = on.len().saturating_sub(usize::try_from(samples)?);
        let built = [
            is_built(&off, cap, |draw| draw.passes),
            is_built(&off, cap, |draw| draw.passes_fixed),
            is_built(&on, cap, |draw| draw.passes_fixed),
        ];
        let marks: Vec<&str> = built.iter().map(|built| if *built { "built" } else { "-" }).collect();
        for (total, built) in totals.iter_mut().zip(built) {
            *total += u32::from(built);
        }
        writeln!(out, "| {name} | {cap} | {} | {} | {repairs} | {} |", off.len(), spent(&on), marks.join(" | "))?;
        out.flush()?;
    }
    let totals: Vec<String> = totals.iter().map(u32::to_string).collect();
    writeln!(out, "| built of {} | | | | | {} |", names.len(), totals.join(" | "))?;
    Ok(())
}
