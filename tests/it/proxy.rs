//! The judge and the process of a candidate, connected as llmc connects them: real rustc, real processes.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;

use llmc::spec::Spec;
use llmc::toolchain::Toolchain;
use llmc::validate::{LOST, blamed, library, render, server};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
const NONCE: [u8; 16] = [7; 16];

static TOOLCHAIN: LazyLock<Toolchain> = LazyLock::new(|| Toolchain::find(None).unwrap());

/// The folder of the compiled runtime.
static RUNTIME: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in(SCRATCH).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/validate/runtime/lib.rs");
    rustc("llmc_rt", "rlib", &source, folder.path(), &[]).unwrap();
    folder
});

fn rustc(name: &str, kind: &str, source: &Path, out: &Path, more: &[&str]) -> Result<(), String> {
    let output = Command::new(&TOOLCHAIN.rustc)
        .args(["--edition=2021", "-Copt-level=0", "-Coverflow-checks=on", "-Cdebug-assertions=on", "--cap-lints=warn"])
        .args(["-Ccodegen-units=1", "-Cembed-bitcode=no", "--crate-name", name, "--crate-type", kind, "--out-dir"])
        .arg(out)
        .args(more)
        .arg(source)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A spec from its file without the first three lines.
fn spec(text: &str) -> Spec {
    let text = format!("llmc: 1\nname: it\ndescription: x\n{text}");
    match llmc::spec::parse("specs/it.yaml", "it", text.as_bytes()) {
        Ok((spec, _)) => spec,
        Err(mistakes) => panic!("{mistakes:#?}"),
    }
}

/// A judge, and the program that answers for candidates.
struct Pair {
    folder: tempfile::TempDir,
}

/// What a judge reported, and how both processes ended.
#[derive(Debug)]
struct Ended {
    /// Of each check: number, status (0 passed, 1 failed, 2 passed with a remark), digest and text.
    checks: Vec<(u32, u8, u64, String)>,
    is_complete: bool,
    judge: ExitStatus,
    server: ExitStatus,
    stderr: String,
}

impl Ended {
    fn statuses(&self) -> Vec<u8> {
        self.checks.iter().map(|check| check.1).collect()
    }

    #[track_caller]
    fn assert_passes(&self) {
        assert!(self.is_complete && self.checks.iter().all(|check| check.1 != 1), "{self:#?}");
        assert_eq!((self.judge.code(), self.server.code()), (Some(0), Some(0)), "{self:#?}");
    }
}

fn write(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    path.to_owned()
}

impl Pair {
    fn new(spec: &Spec, candidates: &[&str]) -> Self {
        let folder = tempfile::tempdir_in(SCRATCH).unwrap();
        let at = |path: &str| folder.path().join(path);
        for out in ["proxies", "candidates"] {
            fs::create_dir(at(out)).unwrap();
        }
        let runtime = format!("--extern=llmc_rt={}", RUNTIME.path().join("libllmc_rt.rlib").display());
        // The proxies need the runtime too, and rustc looks for what a crate needs in folders only.
        let search = format!("-Ldependency={}", RUNTIME.path().display());
        let generated = |from: &str| format!("--extern=generated={}", at(from).join("libgenerated.rlib").display());
        let library = library(spec).expect("the types can travel");
        rustc("generated", "rlib", &write(&at("p/lib.rs"), &library), &at("proxies"), &[&runtime]).expect(&library);
        let harness = render(spec).unwrap();
        let source = write(&at("checks/main.rs"), &harness.source);
        rustc("judge", "bin", &source, folder.path(), &[&runtime, &search, &generated("proxies")]).expect(&library);
        let mut root = String::new();
        let mut modules = Vec::new();
        for (number, candidate) in candidates.iter().enumerate() {
            root += &format!("pub mod k{number};\n");
            write(&at(&format!("generated/k{number}/mod.rs")), "pub mod it;\n");
            write(&at(&format!("generated/k{number}/it.rs")), candidate);
            modules.push(format!("k{number}::it"));
        }
        let root = write(&at("generated/lib.rs"), &root);
        rustc("generated", "rlib", &root, &at("candidates"), &["-Funsafe-code"]).unwrap();
        let text = server(spec, &modules);
        let source = write(&at("s/main.rs"), &text);
        rustc("server", "bin", &source, folder.path(), &[&runtime, &generated("candidates")]).expect(&text);
        Self { folder }
    }

    fn run(&self, candidate: usize) -> Ended {
        self.run_in(candidate, false)
    }

    fn run_in(&self, candidate: usize, is_reverse: bool) -> Ended {
        let (one, other) = UnixStream::pair().unwrap();
        let server = Command::new(self.folder.path().join("server"))
            .arg(candidate.to_string())
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let judge = self.judge(one, is_reverse);
        let server = server.wait_with_output().unwrap();
        assert_eq!(server.stdout, b"", "standard output is turned to standard error");
        ended(&judge, server.status, &server.stderr)
    }

    fn judge(&self, channel: UnixStream, is_reverse: bool) -> std::process::Output {
        Command::new(self.folder.path().join("judge"))
            .arg(NONCE.map(|byte| format!("{byte:02x}")).concat())
            .args(is_reverse.then_some("reverse"))
            .stdin(Stdio::from(OwnedFd::from(channel)))
            .output()
            .unwrap()
    }

    /// Has the judge talk with `fake` in place of a candidate's process.
    fn judge_against(&self, fake: impl FnOnce(UnixStream) + Send) -> Ended {
        let (one, other) = UnixStream::pair().unwrap();
        let judge = std::thread::scope(|scope| {
            scope.spawn(|| fake(other));
            self.judge(one, false)
        });
        ended(&judge, ExitStatus::from_raw(0), b"")
    }
}

fn ended(judge: &std::process::Output, server: ExitStatus, stderr: &[u8]) -> Ended {
    let mut checks = Vec::new();
    let mut is_complete = false;
    let mut rest = &judge.stdout[..];
    while let Some(frame) = rest.strip_prefix(&NONCE) {
        assert!(!is_complete);
        let number = u32::from_le_bytes(frame[..4].try_into().unwrap());
        let digest = u64::from_le_bytes(frame[5..13].try_into().unwrap());
        let length = u32::from_le_bytes(frame[13..17].try_into().unwrap()) as usize;
        let text = String::from_utf8(frame[17..17 + length].to_vec()).unwrap();
        rest = &frame[17 + length..];
        match number {
            u32::MAX => is_complete = true,
            number => checks.push((number, frame[4], digest, text)),
        }
    }
    assert_eq!(rest, b"");
    let stderr = String::from_utf8_lossy(&[&judge.stderr, stderr].concat()).into_owned();
    Ended { checks, is_complete, judge: judge.status, server, stderr }
}

/// Functions of std types only, each with one example.
const VALUES: &str = r#"interface: |
  use std::borrow::Cow;
  use std::collections::*;
  pub fn add(a: i32, b: i32) -> i32;
  pub fn big(a: u128, b: usize) -> (u128, usize);
  pub fn half(x: f64) -> f64;
  pub fn longest<'a>(a: &'a str, b: &'a str) -> &'a str;
  pub fn bounded<'a, 'b: 'a>(a: &'a str, b: &'b str) -> &'a str;
  pub fn firsts(words: &[&str]) -> Vec<char>;
  pub fn names() -> [&'static str; 2];
  pub fn largest(all: &[i32]) -> Option<&i32>;
  pub fn number(text: &str) -> Result<i32, std::num::ParseIntError>;
  pub fn checked(text: &str) -> Result<u8, Box<dyn std::error::Error>>;
  pub fn count(text: &str) -> HashMap<char, usize>;
  pub fn groups(all: Vec<(u8, String)>) -> BTreeMap<u8, HashSet<String>>;
  pub fn sort(all: &mut [i32]);
  pub fn grow(all: &mut Vec<String>, by: usize) -> bool;
  pub fn last<'a>(all: &'a mut Vec<String>) -> &'a str;
  pub fn shout(text: &mut String);
  pub fn tidy(text: &str) -> Cow<'_, str>;
  pub fn transpose(rows: [[u8; 2]; 3]) -> [[u8; 3]; 2];
  pub fn twelve(t: (u8, i8, u16, i16, u32, i32, u64, i64, f32, bool, char, ())) -> u8;
  pub fn boxes(a: Box<[u8]>, b: std::rc::Rc<str>, c: std::sync::Arc<Vec<u8>>) -> Box<str>;
  pub fn order(a: &u8, b: &u8) -> std::cmp::Ordering;
  pub fn span(r: std::ops::Range<u8>, s: std::ops::RangeInclusive<u8>) -> std::time::Duration;
  pub fn heap(all: Vec<u8>) -> BinaryHeap<std::cmp::Reverse<u8>>;
  pub fn nonzero(n: u8) -> Option<std::num::NonZeroU8>;
  pub fn text(bytes: &[u8]) -> Result<&str, std::str::Utf8Error>;
  pub fn refuse(n: u8) -> u8;
examples:
  - { call: "add(2, 3)", returns: "5" }
  - { call: "big(1 << 100, 7)", returns: "((1 << 100) + 1, 8)" }
  - { call: "half(f64::NAN).is_nan() && half(-0.0).is_sign_negative() && half(3.0) == 1.5", returns: "true" }
  - { call: "longest(\"ab\", &String::from(\"abc\"))", returns: "\"abc\"" }
  - { call: "bounded(\"ab\", \"abc\")", returns: "\"abc\"" }
  - { call: "firsts(&[\"one\", \"two\"])", returns: "vec!['o', 't']" }
  - { call: "names()", returns: "[\"a\", \"b\"]" }
  - { call: "largest(&[1, 3, 2])", returns: "Some(&3)" }
  - { call: "number(\"\").map_err(|e| e.to_string())", returns: "Err(\"cannot parse integer from empty string\".to_string())" }
  - { call: "checked(\"x\").unwrap_err().to_string()", returns: "\"not x\"" }
  - { call: "count(\"aab\")", returns: "HashMap::from([('a', 2), ('b', 1)])" }
  - { call: "groups(vec![(1, \"x\".into()), (1, \"y\".into())])[&1].len()", returns: "2" }
  - { call: "{ let mut a = [3, 1, 2]; sort(&mut a[..2]); a }", returns: "[1, 3, 2]" }
  - { call: "{ let mut a = vec![\"x\".to_string()]; (grow(&mut a, 2), a.len()) }", returns: "(true, 3)" }
  - { call: "{ let mut a = vec![\"x\".to_string()]; last(&mut a).to_string() + &a.len().to_string() }", returns: "\"y2\"" }
  - { call: "{ let mut a = \"x\".to_string(); shout(&mut a); a }", returns: "\"X\"" }
  - { call: "(matches!(tidy(\"a\"), Cow::Borrowed(\"a\")), matches!(tidy(\" a\"), Cow::Owned(_)))", returns: "(true, true)" }
  - { call: "transpose([[1, 2], [3, 4], [5, 6]])", returns: "[[1, 3, 5], [2, 4, 6]]" }
  - { call: "twelve((1, -1, 2, -2, 3, -3, 4, -4, 0.5, true, 'x', ()))", returns: "1" }
  - { call: "boxes(vec![1, 2].into(), \"a\".into(), vec![3].into())", returns: "\"a2 1\".into()" }
  - { call: "order(&1, &2)", returns: "std::cmp::Ordering::Less" }
  - { call: "span(1..3, 1..=5)", returns: "std::time::Duration::from_millis(2005)" }
  - { call: "heap(vec![3, 1, 2]).into_sorted_vec()[0].0", returns: "3" }
  - { call: "nonzero(3).map(|n| n.get())", returns: "Some(3)" }
  - { call: "text(b\"ab\\xe2\\x82A\").unwrap_err()", holds: "result.valid_up_to() == 2 && result.error_len() == Some(2)" }
  - { call: "refuse(3)", panics: "no 3" }
"#;

const RIGHT: &str = r#"
use std::borrow::Cow;
use std::collections::*;
pub fn add(a: i32, b: i32) -> i32 { a + b }
pub fn big(a: u128, b: usize) -> (u128, usize) { (a + 1, b + 1) }
pub fn half(x: f64) -> f64 { x / 2.0 }
pub fn longest<'a>(a: &'a str, b: &'a str) -> &'a str { if a.len() > b.len() { a } else { b } }
pub fn bounded<'a, 'b: 'a>(a: &'a str, b: &'b str) -> &'a str { if a.len() > b.len() { a } else { b } }
pub fn firsts(words: &[&str]) -> Vec<char> { words.iter().filter_map(|word| word.chars().next()).collect() }
pub fn names() -> [&'static str; 2] { ["a", "b"] }
pub fn largest(all: &[i32]) -> Option<&i32> { all.iter().max() }
pub fn number(text: &str) -> Result<i32, std::num::ParseIntError> { text.parse() }
pub fn checked(text: &str) -> Result<u8, Box<dyn std::error::Error>> { Err(format!("not {text}").into()) }
pub fn count(text: &str) -> HashMap<char, usize> {
    let mut all = HashMap::new();
    for c in text.chars() { *all.entry(c).or_default() += 1; }
    all
}
pub fn groups(all: Vec<(u8, String)>) -> BTreeMap<u8, HashSet<String>> {
    let mut groups = BTreeMap::<u8, HashSet<String>>::new();
    for (n, s) in all { groups.entry(n).or_default().insert(s); }
    groups
}
pub fn sort(all: &mut [i32]) { all.sort() }
pub fn grow(all: &mut Vec<String>, by: usize) -> bool { for _ in 0..by { all.push("y".into()); } true }
pub fn last<'a>(all: &'a mut Vec<String>) -> &'a str { all.push("y".into()); all.last().unwrap() }
pub fn shout(text: &mut String) { *text = text.to_uppercase(); }
pub fn tidy(text: &str) -> Cow<'_, str> { if text.trim() == text { text.into() } else { text.trim().to_string().into() } }
pub fn transpose(rows: [[u8; 2]; 3]) -> [[u8; 3]; 2] { std::array::from_fn(|x| std::array::from_fn(|y| rows[y][x])) }
pub fn twelve(t: (u8, i8, u16, i16, u32, i32, u64, i64, f32, bool, char, ())) -> u8 { if t.8 == 0.5 && t.1 == -1 { t.0 } else { 9 } }
pub fn boxes(a: Box<[u8]>, b: std::rc::Rc<str>, c: std::sync::Arc<Vec<u8>>) -> Box<str> { format!("{b}{} {}", a.len(), c.len()).into() }
pub fn order(a: &u8, b: &u8) -> std::cmp::Ordering { a.cmp(b) }
pub fn span(r: std::ops::Range<u8>, s: std::ops::RangeInclusive<u8>) -> std::time::Duration {
    std::time::Duration::from_millis(r.len() as u64 * 1000 + s.count() as u64)
}
pub fn heap(all: Vec<u8>) -> BinaryHeap<std::cmp::Reverse<u8>> { all.into_iter().map(std::cmp::Reverse).collect() }
pub fn nonzero(n: u8) -> Option<std::num::NonZeroU8> { std::num::NonZeroU8::new(n) }
pub fn text(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> { std::str::from_utf8(bytes) }
pub fn refuse(n: u8) -> u8 { panic!("no {n}") }
"#;

const WRONG: &str = r#"
use std::borrow::Cow;
use std::collections::*;
pub fn add(a: i32, b: i32) -> i32 { a - b }
pub fn big(a: u128, b: usize) -> (u128, usize) { (a, b) }
pub fn half(x: f64) -> f64 { x }
pub fn longest<'a>(a: &'a str, b: &'a str) -> &'a str { a }
pub fn bounded<'a, 'b: 'a>(a: &'a str, b: &'b str) -> &'a str { a }
pub fn firsts(words: &[&str]) -> Vec<char> { vec![] }
pub fn names() -> [&'static str; 2] { ["a", "a"] }
pub fn largest(all: &[i32]) -> Option<&i32> { all.first() }
pub fn number(text: &str) -> Result<i32, std::num::ParseIntError> { "x".parse() }
pub fn checked(text: &str) -> Result<u8, Box<dyn std::error::Error>> { Err("wrong".into()) }
pub fn count(text: &str) -> HashMap<char, usize> { HashMap::new() }
pub fn groups(all: Vec<(u8, String)>) -> BTreeMap<u8, HashSet<String>> { BTreeMap::new() }
pub fn sort(all: &mut [i32]) { }
pub fn grow(all: &mut Vec<String>, by: usize) -> bool { all.clear(); true }
pub fn last<'a>(all: &'a mut Vec<String>) -> &'a str { "y" }
pub fn shout(text: &mut String) { }
pub fn tidy(text: &str) -> Cow<'_, str> { text.to_string().into() }
pub fn transpose(rows: [[u8; 2]; 3]) -> [[u8; 3]; 2] { [[0; 3]; 2] }
pub fn twelve(t: (u8, i8, u16, i16, u32, i32, u64, i64, f32, bool, char, ())) -> u8 { t.2 as u8 }
pub fn boxes(a: Box<[u8]>, b: std::rc::Rc<str>, c: std::sync::Arc<Vec<u8>>) -> Box<str> { "".into() }
pub fn order(a: &u8, b: &u8) -> std::cmp::Ordering { b.cmp(a) }
pub fn span(r: std::ops::Range<u8>, s: std::ops::RangeInclusive<u8>) -> std::time::Duration { std::time::Duration::MAX }
pub fn heap(all: Vec<u8>) -> BinaryHeap<std::cmp::Reverse<u8>> { all.into_iter().take(1).map(|_| std::cmp::Reverse(0)).collect() }
pub fn nonzero(n: u8) -> Option<std::num::NonZeroU8> { None }
pub fn text(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> { std::str::from_utf8(b"\xff") }
pub fn refuse(n: u8) -> u8 { n }
"#;

#[test]
fn values_of_many_types_travel_both_ways() {
    let pair = Pair::new(&spec(VALUES), &[RIGHT, WRONG]);
    pair.run(0).assert_passes();
    let wrong = pair.run(1);
    assert!(wrong.is_complete && wrong.checks.iter().all(|check| check.1 == 1), "{wrong:#?}");
    assert_eq!((wrong.judge.code(), wrong.server.code()), (Some(0), Some(0)));
    assert_eq!(wrong.checks[0].3, "expected 5\ngot -1");
}
