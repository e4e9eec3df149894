//! What it costs to run programs on the same inputs: 200 candidates that pass, held against what compiling them costs.
//!
//! `cargo run --release --no-default-features --features cli --example behaviours [-- ROUNDS]`. In turn, in one process:
//! (a) bare `rustc` over a crate of them; (b) what the engine does before the first call: it compiles them together, links
//! them to the program that calls them, and starts that; (c) `behaviour::compare` end to end: (b), then more than 300
//! inputs, twice, on each of them, and what it makes of the answers; (d) the same with everything that `llmc measure`
//! adds: the search for more, and splits made small. The best of all rounds counts: others may use the machine.

use std::error::Error;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use llmc::behaviour::{Behaviours, Options, compare};
use llmc::candidate::{self, Candidate};
use llmc::spec::Spec;
use llmc::toolchain::Toolchain;
use llmc::validate::{Checks, Validator};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COUNT: usize = 200;
/// What is drawn: of so many more than 300 are different.
const DRAWS: usize = 480;

const SPEC: &str = r#"llmc: 1
name: slugify
description: Turn a title into a slug.
signature: "pub fn slugify(title: &str) -> String"
examples:
  - { call: 'slugify("Hello, World!")', returns: '"hello-world"' }
  - { call: 'slugify("  A  b ")', returns: '"a-b"' }
"#;

/// Bodies of four behaviours, two of each; all pass.
const BODIES: [&str; 8] = [
    // What is no ASCII letter or digit separates.
    "title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect::<Vec<_>>().join(\"-\")",
    "let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() { out.push(c.to_ascii_lowercase()); }
        else if !out.is_empty() && !out.ends_with('-') { out.push('-'); }
    }
    if out.ends_with('-') { out.pop(); }
    out",
    // What is no letter or digit of any script does.
    "title.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_lowercase).collect::<Vec<_>>().join(\"-\")",
    "let lower = title.to_lowercase();
    let mut parts: Vec<String> = vec![String::new()];
    for c in lower.chars() {
        if c.is_alphanumeric() { parts.last_mut().unwrap().push(c); } else { parts.push(String::new()); }
    }
    parts.retain(|part| !part.is_empty());
    parts.join(\"-\")",
    // Only white space does; all else that is no letter is left out.
    "title.split_whitespace().map(|word| word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(\"-\")",
    "let mut words: Vec<String> = Vec::new();
    for word in title.split_whitespace() {
        let mut kept = String::new();
        for c in word.chars() { if c.is_ascii_alphanumeric() { kept.push(c.to_ascii_lowercase()); } }
        if !kept.is_empty() { words.push(kept); }
    }
    words.join(\"-\")",
    // Underscores are kept.
    "title.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect::<Vec<_>>().join(\"-\")",
    "let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() || c == '_' { out.push(c.to_ascii_lowercase()); }
        else if !out.is_empty() && !out.ends_with('-') { out.push('-'); }
    }
    if out.ends_with('-') { out.pop(); }
    out",
];

fn text(number: usize) -> String {
    format!(
        "fn helper_{number}(n: usize) -> usize {{ n + {number} }}\n\
         pub fn slugify(title: &str) -> String {{\n    let _ = helper_{number}(title.len());\n    {}\n}}\n",
        BODIES[number % BODIES.len()]
    )
}

/// Wall and CPU seconds; those of processes that were started are counted once they ended.
#[derive(Clone, Copy)]
struct Time {
    wall: f64,
    cpu: f64,
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, own and of children, in hundredths.
    fields.skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Time)> {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let value = work()?;
    Ok((value, Time { wall: started.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu }))
}

/// The modules, compiled as they are.
fn by_nobody(folder: &Path, rustc: &Path) -> Result<()> {
    let mut lib = String::new();
    for number in 0..COUNT {
        lib.push_str(&format!("pub mod candidate_{number} {{\n{}}}\n", text(number)));
    }
    fs::write(folder.join("lib.rs"), lib)?;
    let status = Command::new(rustc)
        .args(["--edition", "2021", "--crate-type", "rlib", "--cap-lints", "allow", "lib.rs"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err("rustc refused them".into()) }
}

/// What the engine does before the first call.
fn made_ready(validator: &Validator, checks: &Checks, candidates: &[&Candidate]) -> Result<()> {
    let answerers = validator.answerers(checks, candidates)?.ok_or("they can't be called")?;
    match (0..candidates.len()).find(|at| answerers.refused(*at).is_some()) {
        None => Ok(()),
        Some(at) => Err(format!("candidate {at} does not compile").into()),
    }
}

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(3), |rounds| rounds.parse())?;
    let scratch = tempfile::tempdir()?;
    let toolchain = Toolchain::find(None)?;
    let rustc = toolchain.rustc.clone();
    let validator =
        Validator::new(toolchain, scratch.path().join("cache"), scratch.path().join("work")).offline(true).afresh(true);
    let (spec, _): (Spec, _) = llmc::spec::parse("specs/slugify.yaml", "slugify", SPEC.as_bytes())
        .map_err(|mistakes| format!("{mistakes:?}"))?;
    let checks = validator.prepare(&spec, &[])?;
    let candidates: Vec<Candidate> = (0..COUNT)
        .map(|number| candidate::from_source(&text(number), &spec).map_err(|verdict| format!("{number}: {verdict:?}")))
        .collect::<std::result::Result<_, _>>()?;
    let all: Vec<&Candidate> = candidates.iter().collect();
    if let Some(at) = validator.judge_all(&checks, &all)?.iter().position(|verdict| !verdict.is_pass()) {
        return Err(format!("candidate {at} does not pass").into());
    }
    let run = |options: &Options| -> Result<Behaviours> {
        let found = compare(&validator, &checks, &all, options)?;
        match found.clusters.len() {
            0..4 => Err(format!("{} behaviours, and four were planted", found.clusters.len()).into()),
            _ => Ok(found),
        }
    };
    let (plain, whole) = (Options { draws: DRAWS, search: 0, splits: 0, ..Options::default() }, Options::default());
    let mut out = stdout();
    let mut best = [Time { wall: f64::INFINITY, cpu: f64::INFINITY }; 4];
    let mut inputs = [0; 2];
    for round in 0..rounds {
        let mut times = Vec::new();
        times.push(timed(|| by_nobody(scratch.path(), &rustc))?.1);
        times.push(timed(|| made_ready(&validator, &checks, &all))?.1);
        for (count, options) in inputs.iter_mut().zip([&plain, &whole]) {
            let (found, time) = timed(|| run(options))?;
            *count = found.coverage.inputs;
            times.push(time);
        }
        let told: Vec<String> = times.iter().map(|time| format!("{:.2} s (CPU {:.2})", time.wall, time.cpu)).collect();
        writeln!(out, "round {}: {}", round + 1, told.join(", "))?;
        for (best, time) in best.iter_mut().zip(times) {
            *best = Time { wall: best.wall.min(time.wall), cpu: best.cpu.min(time.cpu) };
        }
    }
    if inputs[0] < 300 {
        return Err(format!("only {} inputs are different", inputs[0]).into());
    }
    let [bare, ready, plain, whole] = best;
    writeln!(out, "{COUNT} candidates that pass; the best of {rounds} rounds")?;
    for (what, time) in [
        ("(a) bare rustc".to_owned(), bare),
        ("(b) compiled, linked and started by the engine".to_owned(), ready),
        (format!("(c) run on {} inputs, twice, compiling included", inputs[0]), plain),
        (format!("(d) as `llmc measure` does: {} inputs", inputs[1]), whole),
    ] {
        writeln!(out, "{what:55} {:6.2} s (CPU {:6.2} s)", time.wall, time.cpu)?;
    }
    for (what, over, under) in [
        ("(c) / (b)", plain, ready),
        ("(d) / (b)", whole, ready),
        ("(c) / (a)", plain, bare),
        ("(d) / (a)", whole, bare),
    ] {
        writeln!(out, "{what} = {:.1} (CPU {:.1})", over.wall / under.wall, over.cpu / under.cpu)?;
    }
    Ok(())
}
