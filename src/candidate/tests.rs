//! Tests of the whole stage: from a completion to a candidate or a verdict.

use proptest::prelude::*;

use super::*;
use crate::spec::Policy;
use crate::verdict::Outcome;

/// A spec of one function.
fn spec(signature: &str) -> Spec {
    interface(&format!("{signature};"))
}

/// A spec of an interface, read by the spec's own parser.
fn interface(text: &str) -> Spec {
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    let yaml = format!("llmc: 1\nname: sample\ndescription: A sample.\ninterface: |\n{indented}");
    match crate::spec::parse("specs/sample.yaml", "sample", yaml.as_bytes()) {
        Ok((spec, _)) => spec,
        Err(diagnostics) => panic!("{text}\n{diagnostics:?}"),
    }
}

/// What came of it: the source, or the verdict's code.
fn outcome(result: Result<Candidate, Verdict>) -> Result<String, String> {
    result.map(|candidate| candidate.source).map_err(|verdict| verdict.code.unwrap())
}

fn of_reply(text: &str, spec: &Spec) -> Result<String, String> {
    outcome(from_completion(text, Finish::Stop, spec))
}

fn of_source(code: &str, spec: &Spec) -> Result<String, String> {
    outcome(from_source(code, spec))
}

const DOUBLE: &str = "pub fn double(x: i32) -> i32";
const DOUBLED: &str = "pub fn double(x: i32) -> i32 {\n    x * 2\n}\n";

/// Replies of qwen3-4b to translated MBPP problems, with what each must become.
fn real_replies() -> Vec<(String, Spec, String, String)> {
    let text = include_str!("fixtures/replies.jsonl");
    text.lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let get = |key: &str| row[key].as_str().unwrap().to_string();
            let spec = interface(&format!("{};", get("signature")));
            (get("id"), spec, get("completion"), get("expect"))
        })
        .collect()
}

#[test]
fn real_replies_become_what_they_are() {
    for (id, spec, completion, expected) in real_replies() {
        let got = match from_completion(&completion, Finish::Stop, &spec) {
            Ok(candidate) => {
                assert_eq!(from_source(&candidate.source, &spec).unwrap().source, candidate.source, "{id}");
                "candidate".to_string()
            }
            Err(verdict) => verdict.code.unwrap(),
        };
        assert_eq!(got, expected, "{id}");
    }
}

#[test]
fn code_is_found_however_it_is_wrapped() {
    let code = "fn double(x: i32) -> i32 { x * 2 }";
    for text in [
        code.to_string(),
        format!("```rust\n{code}\n```"),
        format!("```rs\n{code}\n```"),
        format!("```Rust\n{code}\n```"),
        format!("```\n{code}\n```"),
        format!("~~~rust\n{code}\n~~~"),
        format!("````rust\n{code}\n````"),
        format!("```rust,no_run\n{code}\n```"),
        format!("Sure:\n```rust\n{code}"),
        format!("Here you are: ```rust\n{code}\n```"),
        format!("1. First:\n   ```rust\n   {code}\n   ```\n2. Done."),
        format!("- ```rust\n  {code}\n  ```"),
        format!("```rust\n{code}```\nDone."),
        format!("```rust\r\n{code}\r\n```\r\n"),
        format!("Here is the function.\n\n{code}\n\nIt doesn't overflow for small x, I'm sure."),
        format!("{code}\nThis doubles the number. Isn't \"that\" nice (or not?"),
        format!("{code}\n```\nAn explanation.\n```rust\nlet y = double(2);\n```"),
        format!("<think>\nMaybe ```rust\nfn double(x: i64) {{}}\n```?\n</think>\n```rust\n{code}\n```"),
        format!("Let me think.\n</think>\n\n```rust\n{code}\n```"),
        format!(
            "```text\n1 -> 2\n```\n```rust\n{code}\n```\n```rust\nfn main() {{ println!(\"{{}}\", double(2)); }}\n```"
        ),
        format!("```rust\n{code}\n\nfn main() {{ double(2); }}\n\n#[cfg(test)]\nmod tests {{ use super::*; }}\n```"),
        format!("```rust\n{code}\nlet y = double(2);\nassert_eq!(y, 4);\n```"),
        format!("```rust\nfn double(x: i32) -> i32 {{ x + }}\n```\nOops, corrected:\n```rust\n{code}\n```"),
        format!("```rust\nfn double(x: i32) -> i32 {{ x }}\n```\nOops, corrected:\n```rust\n{code}\n```"),
        format!("```rust\n{code}\n```\nThe signature is\n```rust\npub fn double(x: i32) -> i32;\n```"),
        format!("```rust\n{code}\n```\nOutline:\n```rust\nfn double(x: i32) -> i32 {{ todo!() }}\n```"),
        format!("```rust\npub mod solution {{\n    pub {code}\n}}\n```"),
        format!("```python\nprint(1)\n```\n```rust\n{code}\n```"),
        format!("```text\n{code}\n```"),
        format!("```rust\nuse crate::double;\nuse super::*;\n{code}\n```"),
        format!("```rust\n#![allow(dead_code)]\nextern crate std;\n{code}\n#[test]\nfn t() {{}}\n```"),
    ] {
        assert_eq!(of_reply(&text, &spec(DOUBLE)).as_deref(), Ok(DOUBLED), "{text}");
    }
}

#[test]
fn pieces_in_several_blocks_are_put_together() {
    let spec = spec(DOUBLE);
    let wanted = "use std::cmp::max;\nfn two() -> i32 {\n    2\n}\npub fn double(x: i32) -> i32 {\n    max(x * two(), i32::MIN)\n}\n";
    let import = "use std::cmp::max;";
    let helper = "fn two() -> i32 { 2 }";
    let main = "pub fn double(x: i32) -> i32 { max(x * two(), i32::MIN) }";
    for text in [
        format!("```rust\n{import}\n```\nThen\n```rust\n{helper}\n```\nand\n```rust\n{main}\n```"),
        // A final answer that repeats only the function.
        format!("```rust\n{import}\n{helper}\n{main}\n```\nFinal answer:\n```rust\n{main}\n```"),
    ] {
        assert_eq!(of_reply(&text, &spec).as_deref(), Ok(wanted), "{text}");
    }
    let two = interface("pub fn one() -> i32;\npub fn two() -> i32;");
    let text = "```rust\nfn one() -> i32 { 1 }\n```\nand\n```rust\nfn two() -> i32 { 2 }\n```";
    assert_eq!(
        of_reply(text, &two).as_deref(),
        Ok("pub fn one() -> i32 {\n    1\n}\npub fn two() -> i32 {\n    2\n}\n")
    );
}

#[test]
fn what_is_no_candidate_says_why() {
    let spec = spec(DOUBLE);
    let reply = |text: &str, finish: Finish| {
        let verdict = from_completion(text, finish, &spec).unwrap_err();
        assert_eq!((verdict.phase, verdict.outcome), (Phase::Parse, Outcome::Failed));
        (verdict.code.unwrap(), verdict.detail)
    };
    for (text, finish, code) in [
        ("", Finish::Stop, "no-code"),
        ("The answer is 42.", Finish::Stop, "no-code"),
        ("I'm sorry, but I can't help with that.", Finish::Stop, "refusal"),
        ("I\u{2019}m sorry, I cannot write this.", Finish::Stop, "refusal"),
        ("", Finish::Filter, "refusal"),
        ("<think>\nHmm", Finish::Length, "cut-off"),
        ("<think>\nHmm", Finish::Stop, "no-code"),
        ("To solve this", Finish::Length, "cut-off"),
        ("```rust\npub fn double(x: i32) -> i32 {\n    x *", Finish::Length, "cut-off"),
        ("```rust\npub fn double(x: i32) -> i32 {\n    x *", Finish::Stop, "cut-off"),
        ("```rust\npub fn double(x: i32) -> i32 {\n    x * \n```", Finish::Stop, "syntax"),
        ("pub fn double(x: i32) -> i32 {\n    x *", Finish::Length, "cut-off"),
        (
            "```rust\npub fn double(x: i32) -> i32 { helper(x) }\n\nfn helper(x: i32) -> i32 {\n  x",
            Finish::Length,
            "cut-off",
        ),
        ("```rust\nfn double(x: i32) -> i32 { x ** 2; let }\n```", Finish::Stop, "syntax"),
        ("```rust\nfn double(x: f64) -> i32 { 1 }\n```", Finish::Stop, "signature"),
        ("```rust\nfn doubled(x: i32) -> i32 { 1 }\n```", Finish::Stop, "missing-item"),
        ("```rust\nlet x = double(2);\n```", Finish::Stop, "no-code"),
        ("```rust\nfn main() { double(2); }\n```", Finish::Stop, "missing-item"),
    ] {
        assert_eq!(reply(text, finish).0, code, "{text}");
    }
    assert_eq!(
        reply("```rust\nfn double(x: f64) -> i32 { 1 }\n```", Finish::Stop).1,
        "the signature differs\n  wanted: pub fn double(x: i32) -> i32\n     got: fn double(x: f64) -> i32"
    );
    assert_eq!(
        reply("```rust\nfn doubled(x: i32) -> i32 { 1 }\n```", Finish::Stop).1,
        "`fn double` is missing; there is `doubled`"
    );
    assert_eq!(
        reply("```rust\nfn double(x: i32) -> i32 {\n    let y = ;\n    y\n}\n```", Finish::Stop).1,
        "line 2, column 13: expected an expression\n    let y = ;"
    );
    assert!(
        reply("```rust\nfn double(x: i32) -> i32 {\n    x\n```", Finish::Stop)
            .1
            .starts_with("line 1, column 26: this is never closed")
    );
}

#[test]
fn prose_that_sounds_like_code_takes_nothing_away() {
    let code = "fn double(x: i32) -> i32 { x * 2 }";
    for text in [
        format!("use the type i32 here;\n{code}\ntype x is (an i32\nconst i32 means\n"),
        format!("```rust\nuse a type i32 here\n{code}\n```\n"),
        format!("{code}\n\npub fn is a keyword: use the fn double\n"),
    ] {
        assert_eq!(of_reply(&text, &spec(DOUBLE)).as_deref(), Ok(DOUBLED), "{text}");
    }
    let text = "```rust\nfn double(x: i32) -> i32 { twice(x) }\nfn twice(x: i32) -> i32 { x ** ; 2 }\n```";
    assert_eq!(of_reply(text, &spec(DOUBLE)), Err("syntax".into()));
}

#[test]
fn a_complete_function_before_a_cut_off_test_is_enough() {
    let text =
        "```rust\nfn double(x: i32) -> i32 { x * 2 }\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() { ass";
    let candidate = from_completion(text, Finish::Length, &spec(DOUBLE)).unwrap();
    assert_eq!(candidate.source, DOUBLED);
    assert!(candidate.notes.iter().any(|note| note.contains("left out")), "{:?}", candidate.notes);
}

const SHAPES: &str = "\
#[derive(Debug, Clone, PartialEq)]
pub enum Shape { Circle(f64), Square(f64) }
pub const LIMIT: usize = 3;
#[derive(Debug, Default)]
pub struct Stack;
pub fn area(shape: &Shape) -> f64;
impl Stack {
pub fn new() -> Self;
pub fn push(&mut self, shape: Shape) -> bool;
}
impl Default for Shape {
fn default() -> Self;
}
";

#[test]
fn given_items_are_the_specs_own_and_wanted_ones_the_candidates() {
    let spec = interface(SHAPES);
    let code = "
        use std::fmt;
        use std::fmt;
        #[derive(Debug)] enum Shape { Circle(f32), Square(f64) }
        impl Clone for Shape { fn clone(&self) -> Self { todo!() } }
        impl fmt::Display for Shape { fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result { write!(f, \"shape\") } }
        const LIMIT: usize = 4;
        #[derive(Default)] struct Stack { items: Vec<Shape> }
        impl Stack { fn new() -> Stack { Stack { items: Vec::new() } } }
        impl Stack { fn push(self: &mut Self, s: Shape) -> bool { self.items.push(s); self.items.len() < LIMIT } }
        impl Default for Shape { fn default() -> Shape { Shape::Square(1.0) } }
        fn area(s: &Shape) -> f64 { helper(s) }
        fn helper(_: &Shape) -> f64 { 0.0 }
    ";
    let candidate = from_source(code, &spec).unwrap();
    let expected = "\
use std::fmt;
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Circle(f64),
    Square(f64),
}
pub const LIMIT: usize = 3;
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, \"shape\")
    }
}
#[derive(Default)]
#[derive(Debug)]
pub struct Stack {
    items: Vec<Shape>,
}
impl Stack {
    pub fn new() -> Stack {
        Stack { items: Vec::new() }
    }
}
impl Stack {
    pub fn push(self: &mut Self, s: Shape) -> bool {
        self.items.push(s);
        self.items.len() < LIMIT
    }
}
impl Default for Shape {
    fn default() -> Shape {
        Shape::Square(1.0)
    }
}
pub fn area(s: &Shape) -> f64 {
    helper(s)
}
fn helper(_: &Shape) -> f64 {
    0.0
}
";
    assert_eq!(candidate.source, expected);
    for note in [
        "the spec's own `Shape`",
        "the spec's own `LIMIT`",
        "`impl Clone for Shape`",
        "added `pub` to `Stack`",
        "`#[derive(Debug)]` to `Stack`",
    ] {
        assert!(candidate.notes.iter().any(|found| found.contains(note)), "{note}: {:?}", candidate.notes);
    }
    assert_eq!(from_source(&candidate.source, &spec).unwrap().source, candidate.source);

    let without = |what: &str, with: &str| from_source(&code.replace(what, with), &spec).unwrap_err().detail;
    assert_eq!(without("struct Stack {", "struct Stock {"), "a definition of `Stack` is missing; there is `Stock`");
    assert_eq!(without("fn push", "fn pusch"), "`Stack::push` (in `impl Stack`) is missing; there is `pusch`");
    assert_eq!(
        without("self: &mut Self, s", "&self, s"),
        "the signature differs\n  wanted: impl Stack { pub fn push(&mut self, shape: Shape) -> bool; }\n     got: fn push(&self, s: Shape) -> bool"
    );
}

#[test]
fn imports_of_the_interface_are_added_once_where_they_are_needed() {
    let spec = interface("pub fn count(text: &str) -> HashMap<char, usize>;");
    let body = "{ text.chars().fold(Default::default(), |map, _| map) }";
    let wanted = "use std::collections::HashMap;\npub fn count(text: &str) -> HashMap<char, usize> {\n";
    for head in [
        "pub fn count(text: &str) -> HashMap<char, usize>",
        "use std::collections::HashMap;\npub fn count(text: &str) -> HashMap<char, usize>",
        "use std::collections::HashMap;\nuse std::collections::{HashMap};\nfn count(text: &str) -> HashMap<char, usize>",
    ] {
        assert!(of_source(&format!("{head} {body}"), &spec).unwrap().starts_with(wanted), "{head}");
    }
    let full =
        of_source(&format!("fn count(t: &str) -> std::collections::HashMap<char, usize> {body}"), &spec).unwrap();
    assert!(!full.contains("use "), "{full}");
}

#[test]
fn the_policy_refuses_by_code() {
    for (code, rejected) in [
        ("fn g() { unsafe { std::hint::unreachable_unchecked() } }", "policy-unsafe"),
        ("unsafe fn g() {}", "policy-unsafe"),
        ("static mut X: i32 = 0;", "policy-unsafe"),
        ("extern \"C\" { fn abs(x: i32) -> i32; }", "policy-unsafe"),
        ("trait T {} unsafe impl Send for S {} struct S;", "policy-unsafe"),
        ("#[unsafe(no_mangle)] fn g() {}", "policy-unsafe"),
        ("macro_rules! m { () => { unsafe { 1 } } }", "policy-unsafe"),
        ("fn g() { println!(\"{}\", unsafe { 1 }); }", "policy-unsafe"),
        ("extern \"C\" fn g() {}", "policy-item"),
        ("mod other;", "policy-item"),
        ("extern crate core as c;", "policy-item"),
        ("use std::fs;", "policy-path"),
        ("use std::fs as f;", "policy-path"),
        ("use std::{fs};", "policy-path"),
        ("use std::{self as s};", "candidate"),
        ("use std as s; fn g() { s::fs::read(\"x\"); }", "policy-path"),
        ("use std as s; use s as t; use t::fs;", "policy-path"),
        ("use ::std::*;", "policy-path"),
        ("mod m { pub use std as s; } fn g() { m::s::fs::read(\"x\"); }", "policy-path"),
        ("mod m { pub use std as s; } use m::*; fn g() { s::net::TcpStream::connect(\"x\"); }", "policy-path"),
        ("mod m { pub use std; } fn g() { m::std::fs::read(\"x\"); }", "policy-path"),
        ("fn g() { ::std::fs::read(\"x\"); }", "policy-path"),
        ("fn g() { std::r#fs::read(\"x\"); }", "policy-path"),
        ("fn g() { core::process::abort(); }", "policy-path"),
        ("fn g(_: std::fs::File) {}", "policy-path"),
        ("fn g() { <std::fs::File as std::io::Read>::read; }", "policy-path"),
        ("impl From<std::net::IpAddr> for S { fn from(_: std::net::IpAddr) -> S { S } } struct S;", "policy-path"),
        ("fn g() { println!(\"{:?}\", std::fs::read(\"x\")); }", "policy-path"),
        ("macro_rules! m { () => { std::process::exit(0) } }", "policy-path"),
        ("macro_rules! m { () => { use std::{fmt, fs}; } }", "policy-path"),
        ("macro_rules! m { () => { use std as s; } }", "policy-path"),
        ("macro_rules! m { ($a:ident, $b:ident) => { $a::$b::read(\"x\") } } fn g() { m!(std, fs); }", "policy-path"),
        ("macro_rules! m { ($b:ident) => { std::$b::read(\"x\") } } fn g() { m!(fs); }", "policy-path"),
        ("macro_rules! m { ($($t:tt)*) => { $($t)* } } fn g() { m!(process); }", "policy-macro"),
        ("use std::os::unix::net::UnixStream;", "policy-path"),
        ("fn g() { std::panic::set_hook(Box::new(|_| {})); }", "policy-path"),
        ("use std::panic::take_hook as t;", "policy-path"),
        ("fn g(p: &std::path::Path) -> bool { p.exists() }", "policy-path"),
        ("use super::secret;", "policy-path"),
        ("mod m { fn g() { super::super::secret() } }", "policy-path"),
        ("mod m { pub fn g() { super::double(1); } }", "candidate"),
        ("use crate::other::f;", "policy-path"),
        ("use crate::friend::f;", "candidate"),
        ("use rand::Rng;", "policy-crate"),
        ("use rand;", "policy-crate"),
        ("extern crate rand;", "policy-crate"),
        ("fn g() { rand::random::<u8>(); }", "policy-crate"),
        ("fn g() { println!(\"{}\", rand::random::<u8>()); }", "policy-crate"),
        ("use ::regex::Regex;", "candidate"),
        ("use regex::Regex;", "candidate"),
        ("use std::str::FromStr; fn g() { mem::swap(&mut 1, &mut 2); i32::from_str(\"1\"); }", "candidate"),
        ("enum E { A } use E::*; use self::E as F; fn g() { Self::h(); E::A; F::A; }", "candidate"),
        ("const T: &str = include_str!(\"x\");", "policy-macro"),
        ("fn g() { std::include_bytes!(\"x\"); }", "policy-macro"),
        ("fn g() { println!(\"{}\", env!(\"HOME\")); }", "policy-macro"),
        ("use std::include_str as text; const T: &str = text!(\"x\");", "policy-macro"),
        ("#[doc = include_str!(\"x\")] fn g() {}", "policy-macro"),
        ("fn g() { core::arch::asm!(\"nop\"); }", "policy-macro"),
        ("macro_rules! assert_eq { ($($t:tt)*) => {} }", "policy-macro"),
        ("macro_rules! m { ($m:ident) => { $m!(\"x\") } } fn g() { m!(include_str); }", "policy-macro"),
        (
            "macro_rules! max { ($a:expr, $b:expr) => { if $a > $b { $a } else { $b } }; } fn g() -> i32 { max!(1, 2) }",
            "candidate",
        ),
        ("macro_rules! m { ($t:ty) => { <$t>::MAX }; ($t:ident,) => { $t::MAX } }", "candidate"),
        ("thread_local! { static X: std::cell::Cell<u8> = const { std::cell::Cell::new(1) }; }", "candidate"),
        ("use std as s; use s::include_str as x; const T: &str = x!(\"x\");", "policy-macro"),
        ("use std::env as e; const T: &str = e!(\"HOME\");", "policy-macro"),
        ("use std::env; fn g() { env::args(); }", "candidate"),
        ("macro_rules! m { () => { $crate::other::f() } }", "policy-path"),
        ("macro_rules! m { ($a:tt) => { $a::other::f() } } fn g() { m!(crate); }", "policy-path"),
        ("use std::path::Path; fn g() { Path::exists(Path::new(\"x\")); }", "policy-path"),
        ("use std::path::Path; fn g() { println!(\"{}\", Path::new(\"x\").exists()); }", "policy-path"),
        ("struct Door; impl Door { fn exists(&self) -> bool { self.exists() } }", "candidate"),
        ("fn g() { let f = <std::path::Path>::exists; }", "policy-path"),
        ("use std::{io::Read, fs::{self}};", "policy-path"),
        ("use std::{io::Read, fs::*};", "policy-path"),
        ("type F = std::fs::File;", "policy-path"),
        ("struct A(Option<std::net::IpAddr>);", "policy-path"),
        ("fn g() { vec![std :: fs :: read::<&str>]; }", "policy-path"),
        ("fn g() { assert!(matches!(1, x if { std::{net}; true })); }", "policy-path"),
        ("fn g<T>() where T: std::process::Termination {}", "policy-path"),
        ("#[derive(std::fs::Debug)] struct A;", "policy-path"),
        ("trait T { unsafe fn g(); }", "policy-unsafe"),
        ("fn g(f: unsafe fn()) {}", "policy-unsafe"),
        ("fn g() { struct S; impl S { #[cfg(unix)] fn h() {} } }", "policy-attribute"),
        ("#[no_mangle] fn g() {}", "policy-attribute"),
        ("#[cfg(unix)] fn g() {}", "policy-attribute"),
        ("#[cfg_attr(all(), path = \"x\")] mod m {}", "policy-attribute"),
        ("#![feature(test)]", "policy-attribute"),
        ("#![no_std]", "policy-attribute"),
        ("#[path = \"x\"] mod m {}", "policy-attribute"),
        (
            "#[derive(Debug)] #[repr(u8)] #[non_exhaustive] enum E { #[doc(hidden)] A } #[inline] #[must_use] fn g() {}",
            "candidate",
        ),
        ("fn gro\u{df}() {}", "policy-identifier"),
        ("const X: &str = \"a\u{202e}b\";", "policy-identifier"),
        ("/// a\u{200b}b\nfn g() {}", "policy-identifier"),
        ("const X: &str = \"gr\u{fc}n \u{2714}\u{fe0f}\";", "candidate"),
        ("macro_rules! m { nonsense }", "syntax"),
        ("macro m() {}", "syntax"),
    ] {
        let mut spec = spec(DOUBLE);
        spec.uses = vec!["friend".into()];
        if code.contains("regex") {
            let dependency = crate::spec::Dependency { version: "1".into(), features: vec![], default_features: true };
            spec.dependencies.insert("regex".into(), dependency);
        }
        let (first, rest) = if code.starts_with("#![") { (code, "") } else { ("", code) };
        let got = match from_source(&format!("{first}\n{DOUBLED}\n{rest}"), &spec) {
            Ok(_) => "candidate".to_string(),
            Err(verdict) => {
                let policy = rejected.starts_with("policy");
                assert_eq!(verdict.class == Some(Class::PolicyViolation), policy, "{code}: {}", verdict.detail);
                verdict.code.unwrap()
            }
        };
        assert_eq!(got, rejected, "{code}");
    }
}

#[test]
fn the_policy_follows_the_spec() {
    let mut lenient = spec(DOUBLE);
    lenient.policy = Policy {
        allow_unsafe: true,
        deny: vec!["std::collections::HashMap".into(), "rand".into()],
        ..Policy::default()
    };
    assert!(of_source(&format!("{DOUBLED} fn g() {{ unsafe {{ std::fs::read(\"x\"); }} }}"), &lenient).is_ok());
    for code in [
        "use std::collections::HashMap;",
        "use std::collections::*;",
        "fn g(_: std::collections::HashMap<u8, u8>) {}",
        "use rand::random;",
    ] {
        assert_eq!(of_source(&format!("{DOUBLED} {code}"), &lenient), Err("policy-path".into()), "{code}");
    }
    assert!(of_source(&format!("{DOUBLED} fn g() {{ let rand = 1; rand + 1; }}"), &lenient).is_ok());

    let mut short = spec(DOUBLE);
    short.policy.max_lines = 3;
    assert!(of_source(DOUBLED, &short).is_ok());
    assert_eq!(of_source(&format!("{DOUBLED} fn g() {{}}"), &short), Err("policy-lines".into()));

    let german = spec("pub fn gr\u{f6}\u{df}e(x: i32) -> i32");
    assert!(of_source("fn gr\u{f6}\u{df}e(x: i32) -> i32 { x }", &german).is_ok());
}

#[test]
fn normalised_ignores_layout_and_comments_only() {
    let of = |code: &str| normalised(&Candidate { source: code.into(), notes: vec![] });
    assert_eq!(of(DOUBLED), of("/// Twice.\npub fn double(x:i32)->i32{x*2} // fine"));
    assert_ne!(of(DOUBLED), of("pub fn double(x: i32) -> i32 { 2 * x }"));
}

#[test]
fn hostile_completions_take_bounded_time_and_never_panic() {
    let spec = spec(DOUBLE);
    let nested = |open: &str, close: &str, n: usize| {
        format!("fn double(x: i32) -> i32 {{ {}x{} }}", open.repeat(n), close.repeat(n))
    };
    let texts = [
        "`".repeat(1 << 20),
        "```\n".repeat(100_000),
        "```rust\n".repeat(100_000),
        "```rust\nfn double() {}\n```\n".repeat(30_000),
        "fn f() {\n".repeat(100_000),
        "fn f() { \"\n".repeat(90_000),
        "/* ".repeat(300_000),
        "use a".repeat(200_000),
        "pub ".repeat(250_000),
        "r#".repeat(400_000),
        "'".repeat(1_000_000),
        "<think>".repeat(100_000),
        nested("(", ")", 100_000),
        nested("{", "}", 120),
        nested("((", "))", 60),
        nested("[", "]", 100),
        nested("!", "", 50_000),
        nested("if x { ", "}", 100),
        (0..10_000).map(|n| format!("fn f{n}() {{}}\n")).collect::<String>() + DOUBLED,
        format!("{}{DOUBLED}", "fn double(x: i32) -> i32 { x }\n".repeat(3000)),
        format!("{DOUBLED}{}", "use std as a; use a as b;".repeat(3000)),
        format!("{DOUBLED}use a::{}b;", "a::".repeat(30_000)),
        format!("{DOUBLED}fn g() {{ a{}; }}", "::a".repeat(30_000)),
        format!("{DOUBLED}{}", (0..3000).map(|n| format!("use a{n} as a{};\n", n + 1)).collect::<String>()),
        format!("fn double(x: {}i32{}) -> i32 {{ x }}", "Vec<".repeat(5_000), ">".repeat(5_000)),
        format!("{DOUBLED}fn g() {{ {} }}", "x;".repeat(50_000)),
        format!("{DOUBLED}fn g() {{ 1{}; }}", "+1".repeat(50_000)),
        format!("{DOUBLED}{}", "mod m { ".repeat(100) + &"}".repeat(100)),
        format!("{DOUBLED}macro_rules! m {{ {} }}", "() => {};".repeat(10_000)),
        "\u{feff}\u{202e}\0\r\r\n```rust\n\u{0}fn double".to_string(),
        "x".repeat(MAX_COMPLETION + 1),
    ];
    let start = std::time::Instant::now();
    for text in &texts {
        let began = std::time::Instant::now();
        for finish in [Finish::Stop, Finish::Length] {
            let _ = from_completion(text, finish, &spec);
        }
        let _ = from_source(text, &spec);
        let shown: String = text.chars().take(30).collect();
        assert!(began.elapsed().as_secs() < 20, "{shown:?} took {:?}", began.elapsed());
    }
    assert!(start.elapsed().as_secs() < 90, "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_replies_never_panic_and_candidates_stay_as_they_are(
        which in 0_usize..12,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..20, "[(){}<>\\[\\]'\"`#!&*;:,|=a-z0-9\\\\ \n]{0,6}"), 1..6),
    ) {
        let (_, spec, completion, _) = real_replies().swap_remove(which);
        let mut characters: Vec<char> = completion.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(characters.len().max(1)).min(characters.len());
            let end = (at + removed).min(characters.len());
            characters.splice(at..end, inserted.chars());
        }
        let text: String = characters.into_iter().collect();
        if let Ok(candidate) = from_completion(&text, Finish::Stop, &spec) {
            let again = from_source(&candidate.source, &spec);
            prop_assert_eq!(again.map(|again| again.source), Ok(candidate.source));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(?s)(```|rust|\n|fn |double|\\(|\\)|\\{|\\}|x|: |i32|->|use |std|::|fs|;|\"|'|/|\\*|<|>|#|!|[ -~]|.){0,80}") {
        let spec = spec(DOUBLE);
        let _ = from_completion(&text, Finish::Stop, &spec);
        let _ = from_source(&text, &spec);
    }
}

#[test]
fn other_integers_than_the_wanted_ones_are_adapted() {
    let wanted = spec("pub fn rearrange(arr: Vec<isize>, n: isize) -> Vec<isize>");
    let code = "
        /// Puts it right.
        #[inline]
        pub fn rearrange(mut arr: Vec<isize>, count: usize) -> Vec<isize> {
            if count == 0 { arr } else { println!(\"{}\", rearrange(vec![], count - 1).len()); helper(arr, count - 1) }
        }
        fn helper(arr: Vec<isize>, count: usize) -> Vec<isize> { [0_usize].map(|_| count).into_iter().fold(arr, rearrange) }
    ";
    let expected = "\
/// Puts it right.
pub fn rearrange(arr: Vec<isize>, n: isize) -> Vec<isize> {
    rearrange_as_written(arr, n.try_into().expect(\"`n` fits `usize`\"))
}
#[inline]
fn rearrange_as_written(mut arr: Vec<isize>, count: usize) -> Vec<isize> {
    if count == 0 {
        arr
    } else {
        println!(\"{}\", rearrange_as_written(vec![], count - 1).len());
        helper(arr, count - 1)
    }
}
fn helper(arr: Vec<isize>, count: usize) -> Vec<isize> {
    [0_usize].map(|_| count).into_iter().fold(arr, rearrange_as_written)
}
";
    let candidate = from_source(code, &wanted).unwrap();
    assert_eq!(candidate.source, expected);
    assert_eq!(candidate.notes, ["adapted `n: usize` of `fn rearrange` to the spec's `isize`"]);
    assert_eq!(from_source(&candidate.source, &wanted).unwrap().source, expected);
    let reply = format!("```rust\n{code}\n```");
    assert_eq!(from_completion(&reply, Finish::Stop, &wanted).unwrap(), candidate);

    let counted = spec("pub fn count(text: &str, from: u64) -> i32");
    let candidate =
        from_source("fn count_as_written() {} fn count(t: &str, from: u8) -> usize { t.len() + 1 }", &counted);
    let candidate = candidate.unwrap();
    assert!(
        candidate.source.contains(
            "pub fn count(text: &str, from: u64) -> i32 {\n    \
             count_as_written_(text, from.try_into().expect(\"`from` fits `u8`\"))\n        \
             .try_into()\n        .expect(\"the result fits `i32`\")\n}\n"
        ),
        "{}",
        candidate.source
    );
    assert_eq!(
        candidate.notes,
        [
            "adapted `from: u8` of `fn count` to the spec's `u64`",
            "adapted the result `usize` of `fn count` to the spec's `i32`"
        ]
    );
}

#[test]
fn what_differs_in_more_than_integers_by_value_is_not_adapted() {
    for (wanted, code) in [
        ("pub fn f(x: i32) -> i32", "fn f(x: f64) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: &usize) -> i32 { 1 }"),
        ("pub fn f(x: &i32) -> i32", "fn f(x: &u32) -> i32 { 1 }"),
        ("pub fn f(x: Vec<i32>) -> i32", "fn f(x: Vec<u32>) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> Vec<i32>", "fn f(x: i32) -> Vec<u32> { vec![] }"),
        ("pub fn f(x: i32) -> Option<i32>", "fn f(x: i32) -> i32 { 1 }"),
        ("pub fn f(x: (i32, i32)) -> i32", "fn f(x: (i32, usize)) -> i32 { 1 }"),
        ("pub fn f(x: i32, y: &str) -> i32", "fn f(x: usize, y: String) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: usize, y: usize) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "fn f<T>(x: usize) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "async fn f(x: usize) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "struct usize; fn f(x: usize) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "use std::vec::Vec as usize; fn f(x: usize) -> i32 { 1 }"),
        // The name is more than that function's.
        ("pub fn f(x: i32) -> i32", "fn f(x: usize) -> i32 { 1 } mod m { pub fn f() {} }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: usize) -> i32 { let f = 2; f }"),
        ("pub fn f(x: i32) -> i32", "struct S { f: u8 } fn f(x: usize) -> i32 { 1 }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: usize) -> i32 { self::f(1) }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: usize) -> i32 { println!(\"{}\", [1].map(f)); 1 }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: usize) -> i32 { vec![|f: u8| f(1)]; 1 }"),
        ("pub fn f(x: i32) -> i32", "fn f(x: usize) -> i32 { 1 } fn f(x: u8) -> i32 { 2 }"),
    ] {
        let wanted = spec(wanted);
        assert_eq!(of_source(code, &wanted), Err("signature".into()), "{code}");
        assert_eq!(of_reply(&format!("```rust\n{code}\n```"), &wanted), Err("signature".into()), "{code}");
    }
    // Another block that fits is taken before any that would have to be adapted.
    let text = "```rust\nfn double(x: i32) -> i32 { x * 2 }\n```\nor\n```rust\nfn double(x: i64) -> i64 { x * 2 }\n```";
    assert_eq!(of_reply(text, &spec(DOUBLE)).as_deref(), Ok(DOUBLED));
}

#[test]
fn no_construct_overflows_the_stack_at_its_greatest_length() {
    let spec = spec(DOUBLE);
    // Nothing here nests brackets. Each is tried as long as a source may be, and as long as a chain may be.
    let body = |room: usize, before: &str, part: &str, after: &str, end: &str| {
        let tokens = part.parse::<proc_macro2::TokenStream>().map_or(1, |tokens| tokens.into_iter().count().max(1));
        let times = match room {
            0 => crate::syntax::MAX_ANGLES.min((crate::syntax::MAX_RUN - 20) / tokens) - 1,
            room => room / (part.len() + end.len()),
        };
        format!("{DOUBLED}{before}{}{after}{}", part.repeat(times), end.repeat(times).trim_end())
    };
    let constructs = |room: usize| {
        let body = |before: &str, part: &str, after: &str, end: &str| body(room, before, part, after, end);
        [
            ("a sum", body("fn g() -> i32 { 1", "+1", " }", "")),
            ("and", body("fn g() -> bool { x", "&&x", " }", "")),
            ("assignments", body("fn g() { x", "=x", " }", "")),
            ("compound assignments", body("fn g() { x", "+=x", " }", "")),
            ("ranges", body("fn g() { x", "..x", " }", "")),
            ("else if", body("fn g() { if x {}", " else if x {}", " }", "")),
            ("methods", body("fn g() { x", ".y()", " }", "")),
            ("turbofish", body("fn g() { x", ".y::<T>()", " }", "")),
            ("fields", body("fn g() { x", ".y", " }", "")),
            ("tuple fields", body("fn g() { x", ".0", " }", "")),
            ("indices", body("fn g() { x", "[0]", " }", "")),
            ("calls", body("fn g() { x", "()", " }", "")),
            ("question marks", body("fn g() { x", "?", " }", "")),
            ("await", body("fn g() { x", ".await", " }", "")),
            ("casts", body("fn g() { x", " as u8", " }", "")),
            ("closures", body("fn g() { ", "|x|", " 1 }", "")),
            ("closures without arguments", body("fn g() { ", "||x||", " 1 }", "")),
            ("labels", body("fn g() { ", "break 'a ", " 1 }", "")),
            ("returns", body("fn g() { ", "return 1+", " 1 }", "")),
            ("references with lifetimes", body("type T = ", "&'a ", "u8;", "")),
            ("generics", body("type T = ", "A<", "u8", ">") + ";"),
            ("generics with commas", body("type T = ", "A<u8,", "u8", ">") + ";"),
            ("qualified types", body("type T = ", "<A as ", "B", ">::C") + ";"),
            ("results", body("type T = ", "fn()->", "u8;", "")),
            ("bounds", body("fn g(x: impl A", "+A", ") {}", "")),
            ("bounds of bounds", body("fn g(x: ", "impl Fn()->", "u8) {}", "")),
            ("associated types", body("fn g(x: impl ", "A<B=", "u8", ">") + ") {}"),
            ("a path", body("fn g() { a", "::a", " }", "")),
            ("a use path", body("use a", "::a", ";", "")),
            ("patterns", body("fn g(x: u8) { match x { 1", "|1", " => {} } }", "")),
            ("reference patterns", body("fn g(x: u8) { match x { ", "&a@", "_ => {} } }", "")),
            ("let chains", body("fn g() { if x", "&&let A=x", " {} }", "")),
            ("statements", body("fn g() { ", "x;", " }", "")),
            ("items in statements", body("fn g() { ", "fn f(){}", " }", "")),
            ("strings", body("fn g() { f(", "\"\",", ") }", "")),
            ("attributes", body("", "#[a]", "fn g() {}", "")),
            ("doc comments", body("", "///\n", "fn g() {}", "")),
            ("raw borrows", body("fn g() { ", "&raw const ", "x }", "")),
            ("macro tokens", body("fn g() { m!(", "<-", ") }", "")),
            ("where", body("fn g() where ", "A:B,", " {}", "")),
            ("for", body("type T = ", "for<'a>fn(u8)->", "u8;", "")),
            ("dyn", body("type T = ", "&'a dyn A<", "u8", ">") + ";"),
            ("const generics", body("type T = A<", "-1,", "1>;", "")),
            ("comparisons", body("fn g() { x", "<x", " }", "")),
        ]
    };
    for (name, text) in constructs(crate::syntax::MAX_BYTES - 300).into_iter().chain(constructs(0)) {
        let began = std::time::Instant::now();
        let refused = crate::syntax::check_bounds(&text).err().map(|error| error.to_string());
        let got = from_source(&text, &spec);
        if let Some(reason) = refused {
            assert_eq!(got.unwrap_err().detail, reason, "{name}");
        }
        assert!(began.elapsed().as_secs() < 20, "{name} took {:?}", began.elapsed());
    }
}
