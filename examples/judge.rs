//! What judging costs: 200 candidates of mixed fate, by llmc and by what others do.
//!
//! `cargo run --release --no-default-features --features cli --example judge [-- --full] [-- --llmc FILE]`. Four ways,
//! in turn: (a) llmc, in batches, sandbox on, nothing remembered; (b) one `cargo test` each, in a package whose
//! dependencies are built; (c) one `rustc --test` each, and a run of it; (d) no judging at all: one bare `rustc` over the
//! modules that pass. (b) and (c) are measured on every fifth candidate, and scaled, unless `--full` asks for all.
//!
//! (a) is the command `llmc validate` of `target/release/llmc`, or of FILE, with JSON lines and events; where that has no
//! such command it is llmc's queue in this process, and the first line says so.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use llmc::candidate;
use llmc::spec::Spec;
use llmc::toolchain::Toolchain;
use llmc::validate::{Queue, Validator, render_tests_file};
use llmc::verdict::{Phase, Verdict};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COUNT: usize = 200;
/// One of so many is measured where not all are.
const SAMPLE: usize = 5;
const ROUNDS: usize = 3;

const SPEC: &str = r#"llmc: 1
name: slugify
description: Turn a title into a slug.
signature: "pub fn slugify(title: &str) -> String"
examples:
  - { call: 'slugify("Hello, World!")', returns: '"hello-world"' }
  - { call: 'slugify("")', holds: result.is_empty() }
  - { call: 'slugify("  A  b ")', returns: '"a-b"' }
  - { call: 'slugify("Area 51")', returns: '"area-51"', hidden: true }
properties:
  - name: idempotent
    forall: { title: String }
    holds: slugify(&slugify(&title)) == slugify(&title)
"#;

/// Bodies that are right.
const RIGHT: [&str; 4] = [
    "let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() { out.push(c.to_ascii_lowercase()); }
        else if !out.is_empty() && !out.ends_with('-') { out.push('-'); }
    }
    if out.ends_with('-') { out.pop(); }
    out",
    "title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect::<Vec<_>>().join(\"-\")",
    "let mut parts: Vec<String> = vec![String::new()];
    for c in title.to_ascii_lowercase().chars() {
        match c { 'a'..='z' | '0'..='9' => parts.last_mut().unwrap().push(c), _ => parts.push(String::new()) }
    }
    parts.retain(|part| !part.is_empty());
    parts.join(\"-\")",
    "let mut out = String::with_capacity(title.len());
    let mut gap = false;
    for b in title.bytes() {
        if b.is_ascii_alphanumeric() {
            if gap && !out.is_empty() { out.push('-'); }
            gap = false;
            out.push(b.to_ascii_lowercase() as char);
        } else { gap = true; }
    }
    out",
];

/// Bodies that are wrong, one for each way to be; each is wrong for whoever compiles and runs it.
const WRONG: [&str; 10] = [
    // Does not parse.
    "let out = title.to_lowercase(; out",
    // Not allowed.
    "std::fs::read_to_string(format!(\"/nowhere/{title}\")).unwrap()",
    "unsafe { String::from_utf8_unchecked(title.bytes().rev().collect()) }",
    // Names that do not exist.
    "title.to_slug()",
    "let out = lower(title); out",
    // Types.
    "title.len()",
    // Borrows.
    "let mut parts = vec![title.to_string()]; let first = &parts[0]; parts.push(String::new()); first.clone()",
    // Wrong answers.
    "title.to_lowercase().replace(' ', \"-\")",
    // Panics.
    "title.chars().nth(3).unwrap().to_string()",
    // Right in the examples and not beyond.
    "if title.contains('z') || title.len() > 20 { return format!(\"{title}x\"); }
    title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect::<Vec<_>>().join(\"-\")",
];

/// The text of a candidate, and whether it is right.
fn text(number: usize) -> (String, bool) {
    let right = number.is_multiple_of(2);
    let kind = number / 2;
    let body = if right { RIGHT[kind % RIGHT.len()] } else { WRONG[kind % WRONG.len()] };
    let text = format!(
        "fn helper_{number}(n: usize) -> usize {{ n + {number} }}\n\
         pub fn slugify(title: &str) -> String {{\n    let _ = helper_{number}(title.len());\n    {body}\n}}\n"
    );
    (text, right)
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

fn median(times: &[Time], what: impl Fn(&Time) -> f64) -> f64 {
    let mut all: Vec<f64> = times.iter().map(what).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Everything that the four ways need.
struct Bench {
    scratch: tempfile::TempDir,
    spec: Spec,
    toolchain: Toolchain,
    texts: Vec<(String, bool)>,
    /// The command, where it is there.
    llmc: Option<PathBuf>,
    cache: PathBuf,
}

impl Bench {
    fn new(llmc: Option<PathBuf>) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let (spec, _) = llmc::spec::parse("specs/slugify.yaml", "slugify", SPEC.as_bytes())
            .map_err(|mistakes| format!("{mistakes:?}"))?;
        let cache = scratch.path().join("cache");
        let bench = Self {
            spec,
            toolchain: Toolchain::find(None)?,
            texts: (0..COUNT).map(text).collect(),
            llmc,
            cache,
            scratch,
        };
        bench.write("specs/slugify.yaml", SPEC)?;
        let mut lines = String::new();
        for (number, (text, _)) in bench.texts.iter().enumerate() {
            lines.push_str(&format!("{}\n", serde_json::json!({ "id": number.to_string(), "code": text })));
        }
        bench.write("candidates.jsonl", &lines)?;
        bench.write("llmc.yaml", "")?;
        bench.write(
            "package/Cargo.toml",
            "[package]\nname = \"generated\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n",
        )?;
        bench.write("package/src/lib.rs", "pub mod slugify;\n")?;
        bench.write("package/tests/slugify.rs", &render_tests_file(&bench.spec))?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write(path, text)?)
    }

    /// (a): the phase in which each was decided, and whether it passed.
    fn by_llmc(&self) -> Result<Vec<(String, bool)>> {
        match &self.llmc {
            Some(llmc) => self.by_command(llmc),
            None => self.by_queue(),
        }
    }

    fn by_command(&self, llmc: &Path) -> Result<Vec<(String, bool)>> {
        let mut command = Command::new(llmc);
        command.args(["validate", "specs/slugify.yaml", "candidates.jsonl", "--message-format", "json", "--no-cache"]);
        let output = command.current_dir(self.scratch.path()).stdin(Stdio::null()).output()?;
        let mut found: BTreeMap<usize, (String, bool)> = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let event: serde_json::Value = serde_json::from_str(line)?;
            if event["event"] == "verdict" {
                let id =
                    event["candidate"].as_str().map(str::to_owned).unwrap_or_else(|| event["candidate"].to_string());
                let phase = event["phase"].as_str().unwrap_or_default().to_owned();
                found.insert(id.parse()?, (phase, event["outcome"] == "passed"));
            }
        }
        if found.len() != COUNT {
            return Err(format!("{} verdicts: {}", found.len(), String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(found.into_values().collect())
    }

    fn by_queue(&self) -> Result<Vec<(String, bool)>> {
        let validator =
            Validator::new(self.toolchain.clone(), &self.cache, self.path("work")).offline(true).afresh(true);
        let checks = Arc::new(validator.prepare(&self.spec, &[])?);
        let mut verdicts: Vec<Option<Verdict>> = vec![None; COUNT];
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let mut queue = Queue::new(Arc::new(validator), checks, workers);
        for (number, (text, _)) in self.texts.iter().enumerate() {
            match candidate::from_source(text, &self.spec) {
                Ok(candidate) => queue.submit(number, candidate),
                Err(verdict) => verdicts[number] = Some(verdict),
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        while let Some(judged) = runtime.block_on(queue.next()) {
            let judged = judged?;
            verdicts[judged.id] = Some(judged.verdict);
        }
        drop(queue);
        let phase = |phase: Phase| format!("{phase:?}").to_lowercase();
        let found =
            verdicts.into_iter().map(|verdict| verdict.map(|verdict| (phase(verdict.phase), verdict.is_pass())));
        found.collect::<Option<Vec<_>>>().ok_or_else(|| "a candidate has no verdict".into())
    }

    /// (b).
    fn by_cargo(&self, number: usize) -> Result<bool> {
        self.write("package/src/slugify.rs", &self.texts[number].0)?;
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--offline", "--quiet", "--tests"]).env_remove("CARGO_TARGET_DIR");
        passes(cargo.current_dir(self.path("package")))
    }

    /// (c).
    fn by_rustc(&self, number: usize) -> Result<bool> {
        let tests = render_tests_file(&self.spec);
        // The committed tests name the crate that a candidate is in.
        self.write("single/main.rs", "extern crate self as generated;\npub mod slugify;\nmod tests;\n")?;
        self.write("single/slugify.rs", &self.texts[number].0)?;
        self.write("single/tests.rs", &tests)?;
        let program = self.path("single/program");
        let mut rustc = Command::new(&self.toolchain.rustc);
        rustc.args(["--test", "--edition=2021", "-o"]).arg(&program).arg(self.path("single/main.rs"));
        Ok(passes(&mut rustc)? && passes(&mut Command::new(program))?)
    }

    /// (d).
    fn by_nobody(&self) -> Result<()> {
        let passing = self.texts.iter().enumerate().filter(|(_, (_, right))| *right);
        let mut root = String::new();
        for (number, (text, _)) in passing {
            self.write(&format!("bare/m{number}.rs"), text)?;
            root.push_str(&format!("pub mod m{number};\n"));
        }
        self.write("bare/lib.rs", &root)?;
        let mut rustc = Command::new(&self.toolchain.rustc);
        rustc.args([
            "--edition=2021",
            "--crate-type=rlib",
            "-Cdebuginfo=0",
            "-Ccodegen-units=1",
            "-Cembed-bitcode=no",
            "-o",
        ]);
        if !passes(rustc.arg(self.path("bare/libbare.rlib")).arg(self.path("bare/lib.rs")))? {
            return Err("the modules that pass do not compile".into());
        }
        Ok(())
    }
}

fn passes(command: &mut Command) -> Result<bool> {
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

/// The command `llmc`, if it can validate.
fn command(named: Option<PathBuf>) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/llmc");
    let llmc = named.unwrap_or(built);
    let can = Command::new(&llmc).args(["validate", "--help"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    can.is_ok_and(|status| status.success()).then_some(llmc)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut full, mut named) = (false, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--full" => full = true,
            "--llmc" => named = Some(PathBuf::from(arguments.next().ok_or("--llmc needs a file")?)),
            _ => return Err("usage: judge [--full] [--llmc FILE]".into()),
        }
    }
    let bench = Bench::new(command(named))?;
    let mut out = stdout();
    let how = match &bench.llmc {
        Some(llmc) => format!("`{} validate`", llmc.display()),
        None => "llmc's queue in this process: there is no `llmc validate` here".to_owned(),
    };
    writeln!(out, "{COUNT} candidates, half of them right; (a) is {how}; sandbox: {}", llmc::sandbox::layers())?;

    // Each is shown once what it builds only once.
    let (verdicts, cold) = timed(|| bench.by_llmc())?;
    bench.by_cargo(0)?;
    let mut fates: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for (phase, passed) in &verdicts {
        *fates.entry((phase, *passed)).or_default() += 1;
    }
    for ((phase, passed), count) in fates {
        writeln!(out, "    {count:3} {} in phase {phase}", if passed { "passed" } else { "failed" })?;
    }
    writeln!(out, "(a) the first time, with its caches empty: {:.2} s (CPU {:.2} s)", cold.wall, cold.cpu)?;

    let measured: Vec<usize> =
        (0..COUNT).filter(|number| full || number % SAMPLE == number / SAMPLE % SAMPLE).collect();
    let scale = COUNT as f64 / measured.len() as f64;
    let mut disagree = Vec::new();
    for (number, (_, right)) in bench.texts.iter().enumerate() {
        if verdicts[number].1 != *right {
            disagree.push(format!("candidate {number}: right is {right}, (a) says {}", verdicts[number].1));
        }
    }
    let (mut a, mut d) = (Vec::new(), Vec::new());
    let (mut b, mut c) = (Time { wall: 0.0, cpu: 0.0 }, Time { wall: 0.0, cpu: 0.0 });
    for round in 0..ROUNDS {
        a.push(timed(|| bench.by_llmc())?.1);
        d.push(timed(|| bench.by_nobody())?.1);
        // A third of the others between, so that all see the same moods of the machine.
        for number in measured.iter().skip(round).step_by(ROUNDS) {
            for (way, sum) in [("(b)", &mut b), ("(c)", &mut c)] {
                let judge = || if way == "(b)" { bench.by_cargo(*number) } else { bench.by_rustc(*number) };
                let (passed, time) = timed(judge)?;
                (sum.wall, sum.cpu) = (sum.wall + time.wall, sum.cpu + time.cpu);
                if passed != verdicts[*number].1 {
                    disagree.push(format!("candidate {number}: (a) says {}, {way} says {passed}", verdicts[*number].1));
                }
            }
        }
    }
    let times = |times: &[Time]| Time { wall: median(times, |time| time.wall), cpu: median(times, |time| time.cpu) };
    let scaled = |time: Time| Time { wall: time.wall * scale, cpu: time.cpu * scale };
    let (a, b, c, d) = (times(&a), scaled(b), scaled(c), times(&d));
    let note = if full { String::new() } else { format!(", from {} of them, scaled by {scale}", measured.len()) };
    writeln!(out, "(a) llmc:                      {:8.2} s (CPU {:8.2} s), median of {ROUNDS}", a.wall, a.cpu)?;
    writeln!(out, "(b) cargo test each:           {:8.2} s (CPU {:8.2} s){note}", b.wall, b.cpu)?;
    writeln!(out, "(c) rustc --test and run each: {:8.2} s (CPU {:8.2} s){note}", c.wall, c.cpu)?;
    writeln!(out, "(d) bare rustc, those that pass:{:7.2} s (CPU {:8.2} s), median of {ROUNDS}", d.wall, d.cpu)?;
    let mut tell = |what: &str, wall: f64, cpu: f64, target: &str| {
        writeln!(out, "{what} {wall:6.1} (CPU {cpu:6.1}); wanted: {target}")
    };
    tell("(b) / (a) =", b.wall / a.wall, b.cpu / a.cpu, "at least 30, better 50")?;
    tell("(c) / (a) =", c.wall / a.wall, c.cpu / a.cpu, "at least 12, better 20")?;
    tell("(a) / (d) =", a.wall / d.wall, a.cpu / d.cpu, "at most 4, better 2.5")?;
    if disagree.is_empty() {
        writeln!(out, "All ways agree on each candidate that they judged.")?;
        return Ok(());
    }
    Err(format!("they do not agree:\n{}", disagree.join("\n")).into())
}
