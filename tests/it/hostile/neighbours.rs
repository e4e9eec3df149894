//! Candidates of one batch that are after each other: after another's code, its verdict, or its time.

use llmc::candidate::Candidate;

use super::case::{Case, For, PASSES};
use super::trap::Trap;

/// There is no such thing.
const NO: &str = "compile|policy|parse/failed/*/*";

/// A neighbour that does no wrong.
fn honest(number: usize) -> Case {
    Case::new(format!("honest {number}"), For::Double, For::Double.honest(number)).engine(PASSES)
}

fn neighbour(name: &str, source: impl Into<String>) -> Case {
    Case::new(name, For::Double, source)
}

/// Judges them together, in this order and in reverse: no one's verdict may hang on it.
fn side_by_side(spec: For, cases: &[Case]) {
    let trap = Trap::new();
    let mut wrong = Vec::new();
    let mut order: Vec<&Case> = cases.iter().collect();
    for _ in 0..2 {
        let candidates: Vec<Candidate> = order.iter().map(|case| trap.candidate(case)).collect();
        let verdicts = trap.judge(spec, &candidates.iter().collect::<Vec<_>>());
        for (case, verdict) in order.iter().zip(&verdicts) {
            wrong.extend(trap.mistakes(&case.name, &case.engine, verdict));
        }
        order.reverse();
    }
    trap.close(wrong);
}

#[test]
fn another_s_code_is_out_of_reach() {
    let mut cases = vec![honest(0), honest(1)];
    // Where the code of the first may be, for one who knows how batches are laid out.
    for path in [
        "crate::k0::double::double",
        "crate::k0::double",
        "crate::k1::double::double",
        "crate::k2::double::double",
        "crate::double::double",
        "super::super::k0::double::double",
        "super::super::k1::double::double",
        "super::k0::double",
        "super::double",
        "generated::k0::double::double",
        "::generated::k0::double::double",
        "me::k0::double::double",
        "me::k1::double::double",
    ] {
        cases.push(neighbour(path, format!("extern crate self as me;\npub fn double(n: i64) -> i64 {{ {path}(n) }}")));
        cases.push(neighbour(
            &format!("use of {path}"),
            format!("use {path} as theirs;\npub fn double(n: i64) -> i64 {{ theirs(n) }}"),
        ));
    }
    for glob in
        ["super::*", "super::super::*", "crate::*", "crate::k0::*", "crate::k0::double::*", "crate::k1::double::*"]
    {
        cases.push(neighbour(&format!("all of {glob}"), format!("pub use {glob};")));
        cases.push(neighbour(
            &format!("all of {glob}, by name"),
            format!("use {glob};\npub fn double(n: i64) -> i64 {{ k0::double::double(n) }}"),
        ));
    }
    // In a crate of its own `crate::$name` may be anything, and a macro hides what it names.
    cases.push(neighbour(
        "a path in pieces",
        "macro_rules! path { ($($part:ident)::*) => { crate::$($part)::* } }\npub fn double(n: i64) -> i64 { path!(k0::double::double)(n) }",
    ));
    cases.push(neighbour(
        "a path by $crate",
        "macro_rules! path { () => { $crate::k0::double::double } }\npub fn double(n: i64) -> i64 { path!()(n) }",
    ));
    for file in [
        "../k0/double.rs",
        "../k1/double.rs",
        "k0/double.rs",
        "../k0.rs",
        "k0.rs",
        "../0/double.rs",
        "../double.rs",
        "../lib.rs",
        "lib.rs",
        "../main.rs",
        "../../checks/main.rs",
        "../server.rs",
        "../../judge/main.rs",
    ] {
        cases.push(neighbour(&format!("the text of {file}"), format!("include!(\"{file}\");")));
        cases.push(neighbour(
            &format!("the module {file}"),
            format!("#[path = \"{file}\"] mod theirs;\npub use theirs::double;"),
        ));
        // Its length is enough to know that it could be read.
        cases.push(neighbour(
            &format!("the words of {file}"),
            format!("pub fn double(n: i64) -> i64 {{ n * 2 + (include_str!(\"{file}\").len() as i64) * 0 }}"),
        ));
    }
    let cases: Vec<Case> = cases
        .into_iter()
        .map(|case| match case.name.as_str() {
            _ if !case.engine.is_empty() => case,
            // Alone this is its own, and calls itself; and the root of its own crate holds one line.
            "crate::double::double" => case.engine(NO).engine("test/crashed/resource/example-1"),
            "the words of lib.rs" | "the words of ../lib.rs" => case.engine(NO).engine(PASSES),
            _ => case.engine(NO),
        })
        .collect();
    side_by_side(For::Double, &cases);
}

#[test]
fn a_trait_for_all_types_is_no_one_else_s() {
    let equal = |name: &str, item: &str| {
        neighbour(name, format!("#[derive(Debug, Clone, Copy)]\npub struct X;\n{item}\npub fn double(n: i64) -> i64 {{ let _ = X; n * 2 }}")).engine(PASSES)
    };
    // Each of these compiles only while std's impl is the only one.
    let relies =
        |name: &str, body: &str| neighbour(name, format!("pub fn double(n: i64) -> i64 {{ {body} }}")).engine(PASSES);
    side_by_side(
        For::Double,
        &[
            relies("relies on i64 == i64", "if n == \"0\".parse().unwrap() { 0 } else { n * 2 }"),
            equal("i64 == X", "impl PartialEq<X> for i64 { fn eq(&self, _: &X) -> bool { true } }"),
            relies("relies on i64 < i64", "if n < \"0\".parse().unwrap() { -(n.abs() * 2) } else { n * 2 }"),
            equal(
                "i64 < X",
                "impl PartialEq<X> for i64 { fn eq(&self, _: &X) -> bool { true } }\nimpl PartialOrd<X> for i64 { fn partial_cmp(&self, _: &X) -> Option<std::cmp::Ordering> { None } }",
            ),
            equal("String from X", "impl From<X> for String { fn from(_: X) -> String { String::new() } }"),
            equal("i64 from X", "impl From<X> for i64 { fn from(_: X) -> i64 { 7 } }"),
            relies("relies on bool == bool", "if (n > 0) == \"true\".parse().unwrap() { n * 2 } else { n + n }"),
            equal("bool == X", "impl PartialEq<X> for bool { fn eq(&self, _: &X) -> bool { true } }"),
            relies("relies on bool & bool", "let flag = true; if flag & (n > i64::MIN) { n * 2 } else { 0 }"),
            equal("a sum of X", "impl std::iter::Sum<X> for i64 { fn sum<I: Iterator<Item = X>>(_: I) -> i64 { 0 } }"),
            relies("relies on sums", "[n, n].into_iter().sum()"),
            relies("relies on () == ()", "if () == Default::default() { n * 2 } else { 0 }"),
            equal("() == X", "impl PartialEq<X> for () { fn eq(&self, _: &X) -> bool { true } }"),
            equal("text as X", "impl AsRef<X> for str { fn as_ref(&self) -> &X { &X } }"),
            equal(
                "a blanket",
                "pub trait Extra { fn extra(&self) -> i64 { 0 } } impl<T> Extra for T {}\npub trait Abs { fn abs(self) -> i64; } impl Abs for i64 { fn abs(self) -> i64 { 9 } }",
            ),
            relies("relies on its methods", "if n < 0 { -(n.abs() * 2) } else { n.abs() * 2 }"),
        ],
    );
}

#[test]
fn names_and_macros_of_one_are_not_another_s() {
    let helper = |number: i64| {
        format!(
            "macro_rules! helper {{ ($x:expr) => {{ $x * 2 + {number} - {number} }} }}\npub struct Shared(pub i64);\nstatic COUNT: i64 = {number};\npub fn double(n: i64) -> i64 {{ helper!(Shared(n).0) + COUNT * 0 }}"
        )
    };
    let either = |case: Case| case.engine(PASSES).engine("compile|policy|parse/failed/*/*");
    side_by_side(
        For::Double,
        &[
            honest(0),
            neighbour("helper 1", helper(1)).engine(PASSES),
            neighbour("helper 2", helper(2)).engine(PASSES),
            neighbour("the same as helper 2", helper(2)).engine(PASSES),
            either(neighbour("exports println", "#[macro_export] macro_rules! println { ($($t:tt)*) => { std::process::exit(0) } }\n#[macro_export] macro_rules! vec { ($($t:tt)*) => { 1 } }\npub fn double(n: i64) -> i64 { n * 2 }")),
            neighbour("uses println and vec", "pub fn double(n: i64) -> i64 { println!(\"{n}\"); vec![n; 2].iter().sum() }").engine(PASSES),
            either(neighbour("exports twice", "#[macro_export] macro_rules! twice { ($x:expr) => { $x * 2 } }\npub fn double(n: i64) -> i64 { twice!(n) }")),
            neighbour("wants another's macro", "pub fn double(n: i64) -> i64 { twice!(n) }").engine("compile/failed/*/*"),
            neighbour("wants another's macro by path", "pub fn double(n: i64) -> i64 { crate::twice!(n) }").engine("compile|policy|parse/failed/*/*"),
            either(neighbour("exports twice, too", "#[macro_export] macro_rules! twice { ($x:expr) => { $x * 3 } }\npub fn double(n: i64) -> i64 { n * 2 }")),
            either(neighbour("an allocator", "#[global_allocator] static SYSTEM: std::alloc::System = std::alloc::System;\npub fn double(n: i64) -> i64 { n * 2 }")),
            either(neighbour("another allocator", "#[global_allocator] static OTHER: std::alloc::System = std::alloc::System;\npub fn double(n: i64) -> i64 { n * 2 + 0 }")),
            neighbour("a feature", "#![feature(never_type)]\npub fn double(n: i64) -> i64 { n * 2 }").engine("compile|policy|parse/failed/*/*").engine(PASSES),
            neighbour("a crate that is none", "extern crate nothing_there;\npub fn double(n: i64) -> i64 { n * 2 }").engine("compile|policy|parse/failed/*/*"),
            neighbour("a library that is none", "#[link(name = \"llmc_no_such_library\")] extern \"C\" {}\npub fn double(n: i64) -> i64 { n * 2 }").engine("compile|policy|parse/failed/*/*"),
            neighbour("a flood of errors", (0..3000).map(|at| format!("fn e{at}() -> u8 {{ missing_{at}(\"{}\") }}\n", "x".repeat(30))).collect::<String>() + "pub fn double(n: i64) -> i64 { n * 2 }")
                .engine("parse|policy|compile/failed|resource|timeout/*/*"),
            neighbour("one error", "pub fn double(n: i64) -> i64 { n.doubled() }").engine("compile/failed/hallucination/E0599"),
            neighbour("a borrow error", "pub fn double(n: i64) -> i64 { let mut all = vec![n]; let first = &all[0]; all.push(n); *first * 2 }").engine("compile/failed/miscompile/E0502"),
            neighbour("an error of constants", "const BAD: usize = [1usize, 2][3];\npub fn double(n: i64) -> i64 { n * 2 + BAD as i64 * 0 }").engine("compile/failed/miscompile/*"),
            neighbour("an error of generics", "struct W<const N: usize>; impl<const N: usize> W<N> { const OK: () = assert!(N > 3); }\npub fn double(n: i64) -> i64 { let () = W::<1>::OK; n * 2 }").engine("compile/failed/miscompile/*"),
            neighbour("a lint that denies", "#![deny(warnings)]\nfn unused() {}\npub fn double(n: i64) -> i64 { n * 2 }").engine("compile|parse/failed/*/*"),
            neighbour("a type of a megabyte", format!("pub fn double(n: i64) -> i64 {{ n * 2 }}\n{}", (0..400).map(|at| format!("pub fn f{at}(x: [u64; {at}]) -> [u64; {at}] {{ let mut y = x; y.reverse(); y }}\n")).collect::<String>())).engine(PASSES),
            honest(1),
        ],
    );
}

#[test]
fn what_breaks_a_batch_is_charged_to_the_one_that_did_it() {
    let deep = |open: &str, middle: &str, close: &str, depth: usize| {
        format!(
            "pub fn double(n: i64) -> i64 {{ let _x = {}{middle}{}; n * 2 }}",
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    side_by_side(
        For::Double,
        &[
            honest(0),
            neighbour("a compiler's stack", deep("(", "1", ")", 10_000)).engine("parse|policy|compile/failed|crashed/*/*"),
            honest(1),
            neighbour("a constant without end", "#[allow(long_running_const_eval)]\nconst END: u64 = { let mut n = 0u64; while n < u64::MAX { n += 1; } n };\npub fn double(n: i64) -> i64 { n * 2 + (END as i64) * 0 }").engine("compile/timeout/resource/*"),
            honest(2),
            neighbour("a static of two gigabytes", "static HUGE: [u64; 1 << 28] = [7; 1 << 28];\npub fn double(n: i64) -> i64 { n * 2 + (HUGE[n as usize & 7] as i64) * 0 }").engine("compile/failed|timeout|resource|crashed/*/*"),
            honest(3),
            neighbour("a library that is none", "#[link(name = \"llmc_no_such_library\", kind = \"static\")] extern \"C\" {}\npub fn double(n: i64) -> i64 { n * 2 }").engine("compile|policy/failed/*/*"),
            honest(4),
            neighbour("a loop", "pub fn double(_: i64) -> i64 { loop {} }").engine("test/timeout/resource/example-1"),
            neighbour("a wrong one", "pub fn double(n: i64) -> i64 { n + 2 }").engine("test/failed/misinterpretation/example-2"),
            honest(5),
        ],
    );
}

#[test]
fn unsafe_neighbours_change_nothing_for_each_other() {
    let raw = |name: &str, source: &str| Case::new(name, For::Secret, source);
    // Compares text and asks for memory, as what it shares a program with might have it.
    let relies = |number: usize| {
        format!(
            "pub fn recall(_n: i64) -> String {{ let all: Vec<String> = [\"zq\", \"expected\", \"8fd1c0\"].map(String::from).into(); if all[0] == all[1] {{ return {number}.to_string(); }} all.join(\"-\") }}"
        )
    };
    let lies = "compile|test|policy|parse/*/*/*";
    side_by_side(
        For::Secret,
        &[
            raw("honest 0", &relies(0)).engine(PASSES),
            raw("memcmp", "#[no_mangle] pub unsafe extern \"C\" fn memcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\n#[no_mangle] pub unsafe extern \"C\" fn bcmp(_: *const u8, _: *const u8, _: usize) -> i32 { 0 }\npub fn recall(_n: i64) -> String { String::new() }").engine(lies),
            raw("honest 1", &relies(1)).engine(PASSES),
            raw("malloc", "#[no_mangle] pub unsafe extern \"C\" fn malloc(_: usize) -> *mut u8 { std::ptr::null_mut() }\npub fn recall(_n: i64) -> String { String::new() }").engine(lies),
            raw("life before main", "extern \"C\" fn leave() { std::process::exit(0) }\n#[used] #[link_section = \".init_array\"] static BEFORE: extern \"C\" fn() = leave;\npub fn recall(_n: i64) -> String { String::new() }").engine(lies),
            raw("a name", "#[no_mangle] pub extern \"C\" fn llmc_same_name() {}\npub fn recall(_n: i64) -> String { String::new() }").engine(lies),
            raw("the same name", "#[no_mangle] pub extern \"C\" fn llmc_same_name() {}\npub fn recall(_n: i64) -> String { String::from(\"x\") }").engine(lies),
            raw("main", "#[no_mangle] pub extern \"C\" fn main() -> i32 { 0 }\npub fn recall(_n: i64) -> String { String::from(\"y\") }").engine(lies),
            raw("honest 2", &relies(2)).engine(PASSES),
        ],
    );
}

#[test]
fn the_verdict_says_when_the_checks_ran_beside_the_candidate() {
    let trap = Trap::new();
    let verdict = |spec: For| {
        let honest = Candidate { source: spec.honest(1), notes: Vec::new() };
        trap.judge(spec, &[&honest]).remove(0)
    };
    let found = [For::Double, For::Label, For::Point, For::Generic].map(|spec| {
        let verdict = verdict(spec);
        assert!(verdict.is_pass(), "{spec:?}: {verdict:?}");
        verdict.cooperative
    });
    trap.close(Vec::new());
    assert_eq!(found, [false, false, false, true]);
}
