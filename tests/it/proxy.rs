//! The judge and the process of a candidate, connected as llmc connects them: real rustc, real processes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;

use llmc::spec::Spec;
use llmc::toolchain::Toolchain;
use llmc::validate::{LOST, library, render, server};

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
    /// Of each check: number, status (0 passed, 1 failed, 2 passed with a remark), digest of the answers, and text.
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
            .env("CANDIDATE", candidate.to_string())
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
        let digest = u64::from_le_bytes(frame[13..21].try_into().unwrap());
        let length = u32::from_le_bytes(frame[21..25].try_into().unwrap()) as usize;
        let text = frame[25..25 + length].to_vec();
        rest = &frame[25 + length..];
        match number {
            // Its text is the record of the calls.
            u32::MAX => is_complete = true,
            number => checks.push((number, frame[4], digest, String::from_utf8(text).unwrap())),
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

/// Types that the spec gives, with functions and methods on them.
const GIVEN: &str = r#"interface: |
  #[derive(Debug, Clone, PartialEq)]
  pub enum Tree<T: Clone> { Leaf, Node { left: Box<Tree<T>>, value: T, right: Box<Tree<T>> } }
  #[derive(Debug, Clone, Copy, PartialEq)]
  pub struct Point(pub f64, pub f64);
  #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
  pub enum Kind { Word, Number }
  #[derive(Debug, Clone, PartialEq)]
  pub struct Token<'a> { pub text: &'a str, pub kind: Kind }
  #[derive(Debug, Clone, PartialEq)]
  pub struct Nothing {}
  #[derive(Debug, PartialEq)]
  pub enum Fault { Empty, Full(usize) }
  pub type Line = Vec<Point>;
  pub type Res<T> = std::result::Result<T, Fault>;
  pub const SIZE: usize = 2;
  pub trait Shape { fn norm(&self) -> f64; }
  impl Shape for Point { fn norm(&self) -> f64 { self.0.hypot(self.1) } }
  #[derive(Debug, Clone, Default)]
  pub struct Stack { pub items: Vec<i32> }
  impl Stack {
      pub fn new() -> Self;
      pub fn push(&mut self, value: i32) -> Res<()>;
      pub fn peek(&self) -> Option<&i32>;
      pub fn into_items(self) -> Vec<i32>;
      pub fn is_full(&self) -> bool { self.items.len() >= SIZE }
  }
  pub fn insert(tree: Tree<i32>, value: i32) -> Tree<i32>;
  pub fn tokens(text: &str) -> Vec<Token<'_>>;
  pub fn kinds(all: &[Token]) -> std::collections::HashMap<Kind, usize>;
  pub fn length(line: &Line) -> f64;
  pub fn pair(a: u8) -> [u8; SIZE];
  pub fn nothing() -> Nothing;
  pub fn flip(point: &mut Point);
  pub fn plain(n: u8) -> u8;
examples:
  - { call: "insert(insert(Tree::Leaf, 2), 1)", matches: "Tree::Node { ref left, value: 2, .. } if matches!(**left, Tree::Node { value: 1, .. })" }
  - { call: "tokens(\"a 1\")", returns: "vec![Token { text: \"a\", kind: Kind::Word }, Token { text: \"1\", kind: Kind::Number }]" }
  - { call: "kinds(&tokens(\"a b\"))[&Kind::Word]", returns: "2" }
  - { call: "length(&vec![Point(0.0, 0.0), Point(3.0, 4.0)])", returns: "5.0" }
  - { call: "pair(1)", returns: "[1, 1]" }
  - { call: "nothing()", returns: "Nothing {}" }
  - { call: "{ let mut p = Point(3.0, 4.0); flip(&mut p); (p, p.norm()) }", returns: "(Point(4.0, 3.0), 5.0)" }
  - { call: "{ let mut s = Stack::new(); (s.push(1), s.push(2), s.push(3), s.is_full(), s.peek() == Some(&2), s.into_items()) }", returns: "(Ok(()), Ok(()), Err(Fault::Full(2)), true, true, vec![1, 2])" }
  - { call: "{ let mut s = Stack { items: vec![7] }; std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.push(0))).is_err() && s.items == [7, 0] }", returns: "true" }
  - { call: "plain(1)", returns: "2" }
"#;

/// The given part of [`GIVEN`], as every candidate repeats it.
const GIVEN_ITEMS: &str = r#"
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<T: Clone> { Leaf, Node { left: Box<Tree<T>>, value: T, right: Box<Tree<T>> } }
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point(pub f64, pub f64);
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind { Word, Number }
#[derive(Debug, Clone, PartialEq)]
pub struct Token<'a> { pub text: &'a str, pub kind: Kind }
#[derive(Debug, Clone, PartialEq)]
pub struct Nothing {}
#[derive(Debug, PartialEq)]
pub enum Fault { Empty, Full(usize) }
pub type Line = Vec<Point>;
pub type Res<T> = std::result::Result<T, Fault>;
pub const SIZE: usize = 2;
pub trait Shape { fn norm(&self) -> f64; }
impl Shape for Point { fn norm(&self) -> f64 { self.0.hypot(self.1) } }
#[derive(Debug, Clone, Default)]
pub struct Stack { pub items: Vec<i32> }
impl Stack { pub fn is_full(&self) -> bool { self.items.len() >= SIZE } }
"#;

const RIGHT_GIVEN: &str = r#"
impl Stack {
    pub fn new() -> Self { Self::default() }
    pub fn push(&mut self, value: i32) -> Res<()> {
        if self.is_full() { return Err(Fault::Full(SIZE)); }
        self.items.push(value);
        assert!(value > 0, "no nothing");
        Ok(())
    }
    pub fn peek(&self) -> Option<&i32> { self.items.last() }
    pub fn into_items(self) -> Vec<i32> { self.items }
}
pub fn insert(tree: Tree<i32>, value: i32) -> Tree<i32> {
    match tree {
        Tree::Leaf => Tree::Node { left: Box::new(Tree::Leaf), value, right: Box::new(Tree::Leaf) },
        Tree::Node { left, value: own, right } if value < own => Tree::Node { left: Box::new(insert(*left, value)), value: own, right },
        Tree::Node { left, value: own, right } => Tree::Node { left, value: own, right: Box::new(insert(*right, value)) },
    }
}
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    text.split(' ').map(|text| Token { text, kind: if text.parse::<u8>().is_ok() { Kind::Number } else { Kind::Word } }).collect()
}
pub fn kinds(all: &[Token]) -> std::collections::HashMap<Kind, usize> {
    let mut map = std::collections::HashMap::new();
    for token in all { *map.entry(token.kind.clone()).or_default() += 1; }
    map
}
pub fn length(line: &Line) -> f64 { line.windows(2).map(|two| Point(two[1].0 - two[0].0, two[1].1 - two[0].1).norm()).sum() }
pub fn pair(a: u8) -> [u8; SIZE] { [a; SIZE] }
pub fn nothing() -> Nothing { Nothing {} }
pub fn flip(point: &mut Point) { *point = Point(point.1, point.0); }
pub fn plain(n: u8) -> u8 { n + 1 }
"#;

#[test]
fn given_types_travel_and_their_methods_are_called() {
    let right = format!("{GIVEN_ITEMS}{RIGHT_GIVEN}");
    let wrong = right.replace("value < own", "value > own").replace("point.1, point.0", "point.0, point.0");
    let wrong = wrong.replace("self.items.last()", "self.items.first()");
    let pair = Pair::new(&spec(GIVEN), &[&right, &wrong]);
    pair.run(0).assert_passes();
    assert_eq!(pair.run(1).statuses(), [1, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
}

/// A spec of `pub fn f(n: i64) -> i64` and more, whose checks are tests.
fn small(more: &str, tests: &str) -> Spec {
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let interface = indented(&format!("pub fn f(n: i64) -> i64;\n{more}"));
    spec(&format!("interface: |\n{interface}tests: |\n{}", indented(tests)))
}

#[test]
fn panics_are_the_candidates_with_message_kind_and_place() {
    let tests = r#"
#[test]
#[should_panic(expected = "too large: 7")]
fn is_refused() { f(7); }
#[test]
fn literals_stay_literals() {
    let caught = std::panic::catch_unwind(|| f(8)).unwrap_err();
    assert_eq!(caught.downcast_ref::<String>(), None::<&String>);
}
#[test]
fn is_told() { f(7); }
#[test]
fn more_than_texts() { f(9); }
#[test]
fn a_long_message_is_cut() { f(10); }
#[test]
fn own_hooks_hide_no_panic() { f(11); }
#[test]
fn in_another_thread() { assert!(std::thread::spawn(|| f(7)).join().is_err()); assert_eq!(f(1), 1); }
"#;
    // The check asks for the payload's type: not by `downcast`, which would keep all checks in one process.
    let tests = tests
        .replace("assert_eq!(caught.downcast_ref::<String>(), None::<&String>);", "assert!(!caught.is::<String>());");
    let source = r#"pub fn f(n: i64) -> i64 {
    struct Bomb;
    impl Drop for Bomb { fn drop(&mut self) { panic!("bomb") } }
    match n {
        7 => panic!("too large: {n}"),
        8 => panic!("literal"),
        9 => std::panic::panic_any(Bomb),
        10 => panic!("{}", "é".repeat(1 << 20)),
        11 => { std::panic::set_hook(Box::new(|_| {})); panic!("hidden") }
        n => n,
    }
}"#;
    let ended = Pair::new(&small("", &tests), &[source]).run(0);
    assert_eq!(ended.statuses(), [0, 0, 1, 1, 1, 1, 0], "{ended:#?}");
    assert!(ended.checks[2].3.starts_with("panicked at "), "{ended:#?}");
    assert!(ended.checks[2].3.ends_with("/generated/k0/it.rs:5:14: too large: 7"), "{ended:#?}");
    assert!(ended.checks[3].3.ends_with(": a panic without a message"), "{ended:#?}");
    assert!(ended.checks[4].3.contains("éééé") && ended.checks[4].3.len() <= 4 << 10, "{ended:#?}");
    assert!(ended.checks[5].3.ends_with("panicked: hidden"), "{ended:#?}");
    assert!(ended.is_complete && ended.judge.code() == Some(0) && ended.server.code() == Some(0), "{ended:#?}");
}

#[test]
fn a_candidate_that_leaves_is_lost_without_a_report_of_the_running_check() {
    let tests =
        "#[test]\nfn one() { assert_eq!(f(1), 1); }\n#[test]\nfn two() { let _ = f(2); }\n#[test]\nfn three() {}";
    let body = |body: &str| format!("pub fn f(n: i64) -> i64 {{ if n == 2 {{ {body} }} n }}");
    let candidates = [
        body("std::process::exit(0)"),
        body("std::process::abort()"),
        body("fn deep(n: i64) -> i64 { if n == i64::MIN { 0 } else { 1 + deep(n + 1) } } return deep(0);"),
        body("struct D; impl Drop for D { fn drop(&mut self) { panic!() } } let _d = D; panic!();"),
        body("std::thread::spawn(|| std::process::exit(7)).join().unwrap();"),
    ];
    let pair = Pair::new(&small("", tests), &candidates.each_ref().map(String::as_str));
    for (number, code) in [(0, Some(0)), (1, None), (2, None), (3, None), (4, Some(7))] {
        let ended = pair.run(number);
        assert_eq!(ended.judge.code(), Some(LOST), "{ended:#?}");
        assert_eq!(ended.server.code(), code, "{ended:#?}");
        assert_eq!((ended.statuses(), ended.is_complete), (vec![0], false), "{ended:#?}");
        if number == 2 {
            assert!(ended.stderr.contains("has overflowed its stack"), "{ended:#?}");
        }
    }
}

#[test]
fn threads_that_stay_and_words_on_standard_output_change_nothing() {
    let tests = "#[test]\nfn many() {\n    let all: Vec<_> = (0..8).map(|t| std::thread::spawn(move || (0..50).all(|n| f(t * 100 + n) == t * 100 + n))).collect();\n    assert!(all.into_iter().all(|thread| thread.join().unwrap()));\n}";
    let source = "pub fn f(n: i64) -> i64 {
        println!(\"test result: ok. {n}\");
        let mut line = String::new();
        assert!(matches!(std::io::stdin().read_line(&mut line), Ok(0)));
        if n == 0 { std::thread::spawn(|| loop { std::thread::park() }); }
        n
    }";
    let pair = Pair::new(&small("", tests), &[source]);
    let (ended, reversed) = (pair.run(0), pair.run_in(0, true));
    ended.assert_passes();
    assert!(ended.stderr.contains("test result: ok. 749"));
    assert_ne!(ended.checks[0].2, 0);
    assert_eq!(ended.checks[0].2, reversed.checks[0].2, "the order of threads does not count");
}

#[test]
fn hidden_state_shows_in_the_digests() {
    let tests = "#[test]\nfn a() { f(1); }\n#[test]\nfn b() { f(1); }\n#[test]\nfn c() { g().len(); }\n#[test]\nfn d() { assert!(std::panic::catch_unwind(|| f(0)).is_err()); }";
    let honest = "use std::collections::HashSet;\npub fn f(n: i64) -> i64 { if n == 0 { panic!(\"{:p}\", &n) } n }\npub fn g() -> HashSet<u64> { (0..100).collect() }";
    let counts = honest.replace(" n }", " static N: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0); N.fetch_add(n, std::sync::atomic::Ordering::SeqCst) }");
    let pair = Pair::new(&small("pub fn g() -> std::collections::HashSet<u64>;", tests), &[honest, &counts]);
    let digests = |ended: Ended| {
        ended.assert_passes();
        let mut checks: Vec<(u32, u64)> = ended.checks.iter().map(|check| (check.0, check.2)).collect();
        checks.sort_unstable();
        checks
    };
    let reversed = pair.run_in(0, true);
    assert_eq!(reversed.checks.iter().map(|check| check.0).collect::<Vec<_>>(), [3, 2, 1, 0]);
    assert_eq!(digests(pair.run(0)), digests(reversed));
    let (forward, reversed) = (digests(pair.run(1)), digests(pair.run_in(1, true)));
    assert_ne!(forward[0], reversed[0]);
    assert_eq!(forward[2..], reversed[2..]);
}

#[test]
fn answers_that_are_too_large_end_the_check_not_the_judge() {
    let tests = "#[test]\nfn large() { assert_eq!(g(1 << 20).len(), 1 << 20); }\n#[test]\nfn too_large() { g(17 << 20); }\n#[test]\nfn after() { assert_eq!(f(1), 1); }\n#[test]\nfn kept() { for _ in 0..100 { h(2 << 20); } }";
    let more = "pub fn g(n: usize) -> Vec<u8>;\npub fn h(n: usize) -> &'static str;";
    let source = "pub fn f(n: i64) -> i64 { n }\npub fn g(n: usize) -> Vec<u8> { vec![1; n] }\npub fn h(n: usize) -> &'static str { static S: std::sync::OnceLock<String> = std::sync::OnceLock::new(); S.get_or_init(|| \"x\".repeat(n)) }";
    let ended = Pair::new(&small(more, tests), &[source]).run(0);
    assert_eq!(ended.statuses(), [0, 1, 0], "{ended:#?}");
    assert_eq!(ended.checks[1].3, "panicked: the result is longer than 16 MiB");
    assert_eq!(ended.judge.code(), Some(LOST), "what is lent is never given back, so it is bounded");
}

/// The number of the next call and its body.
fn next_call(channel: &mut UnixStream) -> Option<(u32, Vec<u8>)> {
    let mut head = [0; 8];
    channel.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_le_bytes(head[..4].try_into().unwrap()) as usize];
    channel.read_exact(&mut body).ok()?;
    Some((u32::from_le_bytes(head[4..].try_into().unwrap()), body))
}

fn frame(number: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes()[..], &number.to_le_bytes(), body].concat()
}

#[test]
fn no_forged_stream_makes_the_judge_pass_or_die_otherwise() {
    let more = "#[derive(Debug, PartialEq)]\npub enum List { End, More(Box<List>) }\npub fn g(n: u8) -> Vec<()>;\npub fn s(n: u8) -> String;\npub fn l(n: u8) -> List;\npub fn z(n: u8) -> Vec<[u8; 0]>;\npub fn w(n: u8) -> Vec<Option<[u64; 1000]>>;";
    let test = |call: &str| small(more, &format!("#[test]\nfn one() {{ {call} }}"));
    let sends = |spec: &Spec| Pair::new(spec, &[]);
    let f = sends(&test("assert_eq!(f(1), 1);"));
    let ok = |number| frame(number, &[&[0][..], &1_i64.to_le_bytes()].concat());
    f.judge_against(|mut channel| {
        let (number, body) = next_call(&mut channel).unwrap();
        assert_eq!(body, [&0_u32.to_le_bytes()[..], &1_i64.to_le_bytes()].concat());
        channel.write_all(&ok(number)).unwrap();
        assert!(next_call(&mut channel).is_none());
    })
    .assert_passes();
    // In the head of the first frame, number 1 stands for that of the call, which nobody knows before.
    let lost = |pair: &Pair, what: &str, is_early: bool, bytes: &[u8]| {
        let ended = pair.judge_against(|mut channel| {
            let mut bytes = bytes.to_vec();
            if !is_early {
                let (number, _) = next_call(&mut channel).unwrap();
                if bytes.get(4..8) == Some(&1_u32.to_le_bytes()) {
                    bytes[4..8].copy_from_slice(&number.to_le_bytes());
                }
            }
            // The judge may be gone before all of it is written.
            let _ = channel.write_all(&bytes);
            let _ = channel.shutdown(std::net::Shutdown::Write);
            let _ = channel.read_to_end(&mut Vec::new());
        });
        assert_eq!(ended.judge.code(), Some(LOST), "{what}: {ended:#?}");
        assert!(ended.checks.iter().all(|check| check.1 == 0) && !ended.is_complete, "{what}: {ended:#?}");
    };
    lost(&f, "an end", false, b"");
    lost(&f, "an early answer", true, &ok(1));
    lost(&f, "two answers", false, &[ok(1), ok(1)].concat());
    lost(&f, "two answers, the second well numbered", false, &[ok(1), ok(2)].concat());
    lost(&f, "another number", false, &ok(2));
    lost(&f, "one byte more", false, &frame(1, &[&[0][..], &1_i64.to_le_bytes(), &[0]].concat()));
    lost(&f, "one byte less", false, &frame(1, &[0, 1, 0, 0, 0, 0, 0, 0]));
    lost(&f, "an empty answer", false, &frame(1, &[]));
    lost(&f, "a frame without its end", false, &ok(1)[..12]);
    lost(&f, "half a head", false, &ok(1)[..5]);
    lost(&f, "a frame of 4 GiB", false, &[&[0xff; 4][..], &1_u32.to_le_bytes()].concat());
    lost(
        &f,
        "a frame of 16 MiB that does not come",
        false,
        &[&(16_u32 << 20).to_le_bytes()[..], &1_u32.to_le_bytes()].concat(),
    );
    lost(&f, "neither result nor panic", false, &frame(1, &[&[2][..], &1_i64.to_le_bytes()].concat()));
    lost(&f, "a panic of no kind", false, &frame(1, &[1, 3, 0, 0, 0, 0, 0, 0, 0, 0]));
    lost(
        &f,
        "a panic that says too much",
        false,
        &frame(1, &[&[1, 1][..], &5000_u32.to_le_bytes(), &[b'a'; 5000], &[0; 4]].concat()),
    );
    lost(&f, "a panic that is no text", false, &frame(1, &[1, 1, 1, 0, 0, 0, 0xff, 0, 0, 0, 0]));
    let g = sends(&test("g(1);"));
    lost(&g, "4 billion of nothing", false, &frame(1, &[&[0][..], &[0xff; 4]].concat()));
    lost(&g, "nothing that is something", false, &frame(1, &[0, 1, 0, 0, 0, 7]));
    let z = sends(&test("z(1);"));
    lost(&z, "4 billion of zero size", false, &frame(1, &[&[0][..], &[0xff; 4]].concat()));
    let s = sends(&test("s(1);"));
    lost(&s, "no text", false, &frame(1, &[0, 2, 0, 0, 0, 0xc3, 0x28]));
    lost(&s, "a longer text", false, &frame(1, &[0, 9, 0, 0, 0, b'a']));
    let w = sends(&test("w(1);"));
    let many = 1_u32 << 20;
    lost(&w, "8 GB in 1 MB", false, &frame(1, &[&[0][..], &many.to_le_bytes(), &vec![0; many as usize]].concat()));
    let deep = |levels: usize| [vec![0], [1, 0, 0, 0].repeat(levels), vec![0; 4]].concat();
    for call in ["l(1);", "std::thread::spawn(|| l(1)).join().unwrap();"] {
        let l = sends(&test(call));
        lost(&l, "deep without end", false, &frame(1, &deep(4 << 20)[..16 << 20]));
        lost(&l, "very deep", false, &frame(1, &deep(1 << 20)));
        let ended = l.judge_against(|mut channel| {
            let (number, _) = next_call(&mut channel).unwrap();
            channel.write_all(&frame(number, &deep(500))).unwrap();
            assert!(next_call(&mut channel).is_none());
        });
        ended.assert_passes();
    }
}

/// Types that the candidate defines.
const OBJECTS: &str = r#"interface: |
  use std::fmt;
  #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
  pub struct Clock;
  pub struct Roster;
  #[derive(Debug)]
  pub struct Bomb;
  #[derive(Debug, Clone, PartialEq)]
  pub enum Fault { Early, Late(u8) }
  impl Clock {
      pub fn new(hours: i32, minutes: i32) -> Self;
      pub fn add(&mut self, minutes: i32) -> &str;
      pub fn later(self, by: &Clock) -> Clock;
      pub fn find<'a>(&'a self, words: &[&'a str], key: &str) -> Option<&'a str>;
      pub fn name(&self, a: &str, b: &str) -> &str;
      pub fn parse(text: &str) -> Result<(Self, Option<Clock>), Fault>;
  }
  impl fmt::Display for Clock { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result; }
  impl From<&str> for Clock { fn from(text: &str) -> Self; }
  impl From<u32> for Clock { fn from(minutes: u32) -> Self; }
  impl std::str::FromStr for Clock { type Err = Fault; fn from_str(text: &str) -> Result<Self, Self::Err>; }
  impl std::ops::Add for Clock { type Output = Clock; fn add(self, other: Self) -> Self::Output; }
  impl Roster {
      pub fn new() -> Self;
      pub fn put(&mut self, clock: Clock);
      pub fn put_all(&mut self, all: Vec<Clock>) -> usize;
      pub fn pop(&mut self) -> Option<Clock>;
      pub fn into_all(self) -> Vec<Clock>;
      pub fn names(&self) -> Vec<&str>;
  }
  impl Iterator for Roster { type Item = Clock; fn next(&mut self) -> Option<Self::Item>; }
  impl Bomb { pub fn new() -> Bomb; }
  impl fmt::Display for Fault { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result; }
  pub fn swap(a: &mut Clock, b: &mut Clock);
  pub fn alive() -> usize;
tests: |
  #[test]
  fn methods() {
      let mut clock = Clock::new(7, 58);
      assert_eq!(clock.add(4), "08:02");
      assert_eq!(clock.to_string(), "08:02");
      assert_eq!(clock.clone().later(&Clock::new(1, 0)).to_string(), "09:02");
      assert_eq!(clock.find(&["a", "b"], "b"), Some("b"));
      assert_eq!(clock.name("x", "y"), "clock");
      assert_eq!(alive(), 0, "all but this one are gone");
  }
  #[test]
  fn derives() {
      let (a, b) = (Clock::new(1, 0), Clock::new(2, 0));
      assert!(a < b && a != b && a == a.clone() && a.cmp(&b) == std::cmp::Ordering::Less);
      assert_eq!(Clock::default(), Clock::new(0, 0));
      assert_eq!(format!("{a:?}"), "Clock { minutes: 60 }");
      assert_eq!(format!("{a:#?}"), "Clock {\n    minutes: 60,\n}");
      assert_eq!(std::collections::HashSet::from([a.clone(), a, b]).len(), 2);
  }
  #[test]
  fn traits() {
      assert_eq!(Clock::from(61) + Clock::new(1, 1), Clock::new(2, 2));
      assert_eq!(Clock::from("1:02"), Clock::new(1, 2));
      assert_eq!("12:30".parse::<Clock>(), Ok(Clock::new(12, 30)));
      assert_eq!("x".parse::<Clock>(), Err(Fault::Late(7)));
      assert_eq!(Fault::Early.to_string(), "early");
      let (one, other) = Clock::parse("1:00").unwrap();
      assert_eq!(Some(one), other);
  }
  #[test]
  fn objects_in_objects() {
      let mut roster = Roster::new();
      roster.put(Clock::new(1, 0));
      assert_eq!(roster.put_all(vec![Clock::new(2, 0), Clock::new(3, 0)]), 3);
      assert_eq!(roster.pop(), Some(Clock::new(3, 0)));
      assert_eq!(roster.names(), ["01:00", "02:00"]);
      assert_eq!(roster.by_ref().map(|clock| clock.to_string()).collect::<Vec<_>>(), ["02:00", "01:00"]);
      roster.put(Clock::new(4, 0));
      assert_eq!(roster.into_all(), [Clock::new(4, 0)]);
      let (mut a, mut b) = (Clock::new(1, 0), Clock::new(2, 0));
      swap(&mut a, &mut b);
      assert_eq!((a, b), (Clock::new(2, 0), Clock::new(1, 0)));
  }
  #[test]
  #[should_panic(expected = "boom")]
  fn a_destructor_panics() { drop(Bomb::new()); }
  #[test]
  #[should_panic(expected = "first")]
  fn a_destructor_panics_while_panicking() { let _bomb = Bomb::new(); panic!("first"); }
  #[test]
  #[should_panic(expected = "no such hour")]
  fn a_constructor_panics() { Clock::new(99, 0); }
"#;

const OBJECTS_RIGHT: &str = r#"
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
#[derive(Debug, Clone, PartialEq)]
pub enum Fault { Early, Late(u8) }
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Clock { minutes: i32 }
pub struct Roster(Vec<Clock>, Vec<String>);
#[derive(Debug)]
pub struct Bomb(Alive);
#[derive(Debug)]
struct Alive;
static ALIVE: AtomicUsize = AtomicUsize::new(0);
impl Drop for Alive { fn drop(&mut self) { ALIVE.fetch_sub(1, SeqCst); } }
impl Drop for Bomb { fn drop(&mut self) { panic!("boom") } }
impl Bomb { pub fn new() -> Bomb { ALIVE.fetch_add(1, SeqCst); Bomb(Alive) } }
impl Clock {
    pub fn new(hours: i32, minutes: i32) -> Self { assert!(hours < 25, "no such hour"); Clock { minutes: hours * 60 + minutes } }
    pub fn add(&mut self, minutes: i32) -> &str { self.minutes += minutes; if self.to_string() == "08:02" { "08:02" } else { "?" } }
    pub fn later(self, by: &Clock) -> Clock { Clock { minutes: self.minutes + by.minutes } }
    pub fn find<'a>(&'a self, words: &[&'a str], key: &str) -> Option<&'a str> { words.iter().copied().find(|word| *word == key) }
    pub fn name(&self, a: &str, b: &str) -> &str { "clock" }
    pub fn parse(text: &str) -> Result<(Self, Option<Clock>), Fault> { let clock: Clock = text.parse()?; Ok((clock.clone(), Some(clock))) }
}
impl fmt::Display for Clock { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60) } }
impl From<&str> for Clock { fn from(text: &str) -> Self { text.parse().unwrap() } }
impl From<u32> for Clock { fn from(minutes: u32) -> Self { Clock { minutes: minutes as i32 } } }
impl std::str::FromStr for Clock {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (hours, minutes) = text.split_once(':').ok_or(Fault::Late(7))?;
        Ok(Clock::new(hours.parse().map_err(|_| Fault::Early)?, minutes.parse().map_err(|_| Fault::Early)?))
    }
}
impl std::ops::Add for Clock { type Output = Clock; fn add(self, other: Self) -> Clock { Clock { minutes: self.minutes + other.minutes } } }
impl Roster {
    pub fn new() -> Self { Roster(Vec::new(), Vec::new()) }
    pub fn put(&mut self, clock: Clock) { self.1.push(clock.to_string()); self.0.push(clock); }
    pub fn put_all(&mut self, all: Vec<Clock>) -> usize { for clock in all { self.put(clock); } self.0.len() }
    pub fn pop(&mut self) -> Option<Clock> { self.1.pop(); self.0.pop() }
    pub fn into_all(self) -> Vec<Clock> { self.0 }
    pub fn names(&self) -> Vec<&str> { self.1.iter().map(String::as_str).collect() }
}
impl Iterator for Roster { type Item = Clock; fn next(&mut self) -> Option<Clock> { self.pop() } }
impl fmt::Display for Fault { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("early") } }
pub fn swap(a: &mut Clock, b: &mut Clock) { std::mem::swap(a, b) }
pub fn alive() -> usize { ALIVE.load(SeqCst) }
"#;

#[test]
fn objects_stay_with_the_candidate_and_their_methods_are_called() {
    let wrong =
        OBJECTS_RIGHT.replace("self.minutes + by.minutes", "self.minutes").replace("{ self.pop() }", "{ None }");
    let wrong = wrong.replace("minutes: minutes as i32", "minutes: 0").replace("\"boom\"", "\"bang\"");
    let pair = Pair::new(&spec(OBJECTS), &[OBJECTS_RIGHT, &wrong]);
    let (ended, reversed) = (pair.run(0), pair.run_in(0, true));
    ended.assert_passes();
    reversed.assert_passes();
    let digests = |ended: &Ended| {
        let mut digests: Vec<(u32, u64)> = ended.checks.iter().map(|check| (check.0, check.2)).collect();
        digests.sort_unstable();
        digests
    };
    assert_eq!(digests(&ended), digests(&reversed), "names of objects do not count");
    assert_eq!(pair.run(1).statuses(), [1, 0, 1, 1, 1, 0, 0]);
}

#[test]
fn what_cannot_travel_without_a_difference_stays_in_one_process() {
    let tests = "tests: |\n  #[test]\n  fn one() { f(); }\n";
    let interface = |items: &str| {
        let items: String = items.lines().map(|line| format!("  {line}\n")).collect();
        library(&spec(&format!("interface: |\n{items}{tests}")))
    };
    assert!(interface("pub fn f();").is_some());
    for items in [
        "pub fn f<T: Ord>(a: T) -> T;",
        "pub fn f<const N: usize>(a: [u8; N]);",
        "pub fn f(a: impl Fn(u8) -> u8);",
        "pub fn f(a: fn(u8) -> u8);",
        "pub fn f(a: &dyn Fn(u8) -> u8);",
        "pub fn f(a: Box<dyn std::error::Error>);",
        "pub fn f() -> Box<dyn Iterator<Item = u8>>;",
        "pub fn f(a: &mut Vec<u8>) -> &mut u8;",
        "pub fn f(a: Option<&mut u8>);",
        "pub fn f(a: &std::cell::Cell<u8>);",
        "pub fn f(a: std::rc::Rc<std::cell::RefCell<u8>>);",
        "pub const fn f() -> u8;",
        "pub fn f(a: HashMap<u8, u8, std::hash::RandomState>);",
        "use std::io::*;\npub fn f() -> Result<()>;",
        "use std::fmt::Result;\npub fn f() -> Result;",
        "pub struct P { x: u8 }\npub fn f() -> P;",
        "#[non_exhaustive]\npub struct P { pub x: u8 }\npub fn f() -> P;",
        "pub struct P { pub x: std::cell::Cell<u8> }\npub fn f() -> P;",
        "pub struct String { pub x: fn() }\npub fn f() -> String;",
        "pub static S: std::sync::Mutex<u8> = std::sync::Mutex::new(0);\npub fn f();",
        "pub struct S<T>;\npub fn f() -> S<u8>;",
        "pub struct S;\npub fn f() -> &'static S;",
        "pub struct S;\npub fn f(a: &[S]);",
        "pub struct S;\npub fn f() -> std::rc::Rc<S>;",
        "pub struct S;\npub struct P { pub s: S }\npub fn f() -> P;",
        "#[derive(Clone, Copy)]\npub struct S;\npub fn f() -> S;",
        "pub struct S;\nimpl S { pub fn set(&mut self) -> &mut Self; }\npub fn f();",
        "pub struct S;\nimpl PartialEq<u8> for S { fn eq(&self, other: &u8) -> bool; }\nimpl std::ops::Deref for S { type Target = u8; fn deref(&self) -> &u8; }\npub fn f();",
    ] {
        assert_eq!(interface(items), None, "{items}");
    }
    for asks in [
        "assert!(std::rc::Rc::ptr_eq(&f(), &f()));",
        "assert!(f().capacity() > 3);",
        "assert_eq!(size_of_val(&f()), 1);",
    ] {
        let text = format!("signature: \"pub fn f() -> u8\"\ntests: |\n  #[test]\n  fn one() {{ {asks} }}\n");
        assert_eq!(library(&spec(&text)), None, "{asks}");
    }
    let shown = |format: &str| {
        let interface = "pub struct S;\n  impl std::fmt::Display for S { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result; }\n  pub fn f() -> S;";
        let tests = format!("#[test]\n  fn one() {{ format!(\"{format}\", f()); }}");
        library(&spec(&format!("interface: |\n  {interface}\ntests: |\n  {tests}\n"))).is_some()
    };
    assert!(shown("{}") && shown("{:#}") && !shown("{:>5}") && !shown("{:.2}"));
}
