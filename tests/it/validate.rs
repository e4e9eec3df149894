//! Validation with the real compiler: honest candidates pass, and each way to fail gets its own verdict.

use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use llmc::candidate::Candidate;
use llmc::sandbox::Limits;
use llmc::spec::{Example, Expect, Form, Function, Interface, Place, Policy, Property, Snippet, Spec, TypeDef};
use llmc::toolchain::Toolchain;
use llmc::validate::{Checks, ValidateError, Validator, render_tests_file};
use llmc::verdict::{Class, Outcome, Phase, Verdict};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

pub(crate) static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let toolchain = Toolchain::find(None).unwrap();
    let run = Limits { cpu: Duration::from_secs(2), wall: Duration::from_secs(10), output: 1 << 20, ..Limits::RUN };
    let scratch = Path::new(SCRATCH);
    Validator::new(toolchain, scratch.join("validate-cache"), scratch.join("validate-work"))
        .offline(true)
        .afresh(true)
        .limits(Limits::COMPILE, run)
});

/// A spec of one function.
pub(crate) fn spec(signature: &str) -> Spec {
    let item: syn::ItemFn = syn::parse_str(&format!("{signature} {{ }}")).unwrap();
    let text = |tokens: &dyn quote::ToTokens| tokens.to_token_stream().to_string().replace(' ', "");
    let output = match &item.sig.output {
        syn::ReturnType::Default => "()".to_owned(),
        syn::ReturnType::Type(_, ty) => text(ty),
    };
    let name = item.sig.ident.to_string();
    let function =
        Function { name: name.clone(), signature: signature.into(), inputs: Vec::new(), output, generic: false };
    Spec {
        name,
        description: String::new(),
        interface: Interface {
            form: Form::Signature,
            source: Snippet { text: signature.into(), place: Place { line: 3, column: 13, literal: false, exact: 99 } },
            functions: vec![function],
            methods: Vec::new(),
            given: Vec::new(),
            wanted_types: Vec::new(),
            imports: Vec::new(),
        },
        examples: Vec::new(),
        properties: Vec::new(),
        tests: None,
        hidden_tests: None,
        uses: Vec::new(),
        dependencies: Default::default(),
        policy: Policy::default(),
        model: Vec::new(),
        sampling: Default::default(),
        budget: Default::default(),
        prompt: Default::default(),
    }
}

pub(crate) fn returns(call: &str, value: &str) -> Example {
    Example { call: Snippet::new(call), expect: Expect::Returns(Snippet::new(value)), hidden: false }
}

fn example(call: &str, expect: Expect) -> Example {
    Example { call: Snippet::new(call), expect, hidden: false }
}

fn property(name: &str, forall: &[(&str, &str)], assume: Option<&str>, holds: &str) -> Property {
    Property {
        name: name.into(),
        forall: forall.iter().map(|(name, ty)| ((*name).to_owned(), Snippet::new(*ty))).collect(),
        assume: assume.map(Snippet::new),
        holds: Snippet::new(holds),
        hidden: false,
    }
}

pub(crate) fn candidate(source: &str) -> Candidate {
    Candidate { source: source.into(), notes: Vec::new() }
}

pub(crate) fn prepare(spec: &Spec) -> Checks {
    match VALIDATOR.prepare(spec, &[]) {
        Ok(checks) => checks,
        Err(error) => panic!("{error}"),
    }
}

fn judge(spec: &Spec, source: &str) -> Verdict {
    VALIDATOR.judge(&prepare(spec), &candidate(source)).unwrap()
}

#[track_caller]
fn assert_passes(spec: &Spec, source: &str) -> Verdict {
    let verdict = judge(spec, source);
    assert!(verdict.is_pass(), "{verdict:#?}");
    verdict
}

#[track_caller]
pub(crate) fn assert_verdict(verdict: &Verdict, phase: Phase, outcome: Outcome, class: Class, code: &str) {
    let found = (verdict.phase, verdict.outcome, verdict.class, verdict.code.as_deref());
    assert_eq!(found, (phase, outcome, Some(class), Some(code)), "{}", verdict.detail);
}

/// A spec whose one function takes and gives a number, with two examples.
pub(crate) fn double() -> Spec {
    Spec {
        examples: vec![returns("double(2)", "4"), returns("double(5)", "10")],
        ..spec("pub fn double(n: i64) -> i64")
    }
}

const SLUGIFY: &str = "pub fn slugify(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() { out.push(c.to_ascii_lowercase()); }
        else if !out.is_empty() && !out.ends_with('-') { out.push('-'); }
    }
    if out.ends_with('-') { out.pop(); }
    out
}";

fn slugify() -> Spec {
    Spec {
        examples: vec![
            returns("slugify(\"Hello, World!\")", "\"hello-world\""),
            example("slugify(\"\")", Expect::Holds(Snippet::new("result.is_empty() // nothing"))),
            Example { hidden: true, ..returns("slugify(\"A\")", "\"a\".to_string()") },
        ],
        tests: Some(Snippet::new(
            "use std::collections::HashMap;\n#[test]\nfn keeps_digits() { assert_eq!(slugify(\"Area 51\"), \"area-51\"); }\n\
             #[test] #[ignore]\nfn gives_a_result() -> Result<(), std::num::ParseIntError> { slugify(\"7\").parse::<i32>()?; Ok(()) }\n\
             #[cfg(test)]\nmod inner {\n    use super::*;\n    fn helper() -> &'static str { \"x\" }\n    #[test]\n    #[should_panic(expected = \"x-y\")]\n    fn panics() { panic!(\"{}\", slugify(\"x y\")); }\n}\n",
        )),
        hidden_tests: Some(Snippet::new("#[test]\nfn keeps_digits() { assert_eq!(slugify(\"1\"), \"1\"); }")),
        properties: vec![property(
            "idempotent",
            &[("title", "String")],
            Some("title.len() < 200"),
            "slugify(&slugify(&title)) == slugify(&title)",
        )],
        ..spec("pub fn slugify(title: &str) -> String")
    }
}

#[test]
fn an_honest_candidate_passes_every_kind_of_check() {
    let checks = prepare(&slugify());
    let codes: Vec<&str> = checks.list().iter().map(|check| check.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "example-1",
            "example-2",
            "test-keeps_digits",
            "test-gives_a_result",
            "test-inner::panics",
            "property-idempotent",
            // What is hidden comes last.
            "example-3",
            "test-keeps_digits",
        ]
    );
    let verdict = VALIDATOR.judge(&checks, &candidate(SLUGIFY)).unwrap();
    assert!(verdict.is_pass(), "{}", verdict.detail);
    assert_eq!((verdict.phase, verdict.checks), (Phase::Property, Some((8, 8))));
}

#[test]
fn types_of_expected_values_come_from_the_call() {
    let many = Spec {
        examples: vec![
            returns("pick(0).0", "vec![]"),
            returns("pick(0).1", "Ok(3)"),
            returns("pick(0).2", "None"),
            returns("pick(0).3", "\"a\""),
            returns("pick(0)", "(vec![], Ok(3), None, \"a\".into(), vec![])"),
            returns("pick(1).4", "vec![\"x\", \"y\"]"),
            returns("pick(1).4", "[\"x\", \"y\"]"),
            returns("pick(0).4", "Vec::new()"),
            returns("&pick(0).0[..]", "&[]"),
            returns("{ let n = 1; pick(n).0 }", "vec![7]"),
            example("pick(1).1", Expect::Matches(Snippet::new("Err(ref e) if e.contains(\"bad\")"))),
            example("pick(1).4", Expect::Holds(Snippet::new("result.into_iter().next().unwrap() == \"x\""))),
            example("pick(2)", Expect::Panics(None)),
            example("pick(2)", Expect::Panics(Some("too large: 2".into()))),
        ],
        ..spec("pub fn pick(n: u8) -> (Vec<i32>, Result<u8, String>, Option<f64>, String, Vec<String>)")
    };
    let source = "pub fn pick(n: u8) -> (Vec<i32>, Result<u8, String>, Option<f64>, String, Vec<String>) {
        match n {
            0 => (vec![], Ok(3), None, \"a\".to_string(), vec![]),
            1 => (vec![7], Err(\"bad\".into()), Some(0.5), String::new(), vec![\"x\".into(), \"y\".into()]),
            n => panic!(\"too large: {n}\"),
        }
    }";
    assert_passes(&many, source);
    assert_eq!(VALIDATOR.check(&many, &[]).unwrap(), []);
}

#[test]
fn results_may_borrow_from_temporaries_in_the_call_and_need_no_debug() {
    let first = Spec {
        examples: vec![returns("first(&String::from(\"a b\"))", "\"a\"")],
        ..spec("pub fn first(text: &str) -> &str")
    };
    assert_passes(&first, "pub fn first(text: &str) -> &str { text.split(' ').next().unwrap_or(\"\") }");
    let mut opaque = spec("pub fn make() -> Opaque");
    opaque.interface.given =
        vec![TypeDef { name: "Opaque".into(), source: "#[derive(PartialEq)] pub struct Opaque(pub u8);".into() }];
    opaque.examples = vec![returns("make()", "Opaque(1)")];
    let verdict =
        judge(&opaque, "#[derive(PartialEq)] pub struct Opaque(pub u8);\npub fn make() -> Opaque { Opaque(2) }");
    assert_verdict(&verdict, Phase::Test, Outcome::Failed, Class::Misinterpretation, "example-1");
    assert!(verdict.detail.contains("no Debug"), "{}", verdict.detail);
}

#[test]
fn a_wrong_result_is_told_with_input_expected_and_got() {
    let verdict = judge(&double(), "pub fn double(n: i64) -> i64 { n + 2 }");
    assert_verdict(&verdict, Phase::Test, Outcome::Failed, Class::Misinterpretation, "example-2");
    assert_eq!(verdict.detail, "double(5)\nexpected 10\ngot 7");
    assert_eq!((verdict.checks, verdict.hidden), (Some((1, 2)), false));
}

#[test]
fn a_panic_is_told_with_its_message_and_line() {
    let verdict = judge(&double(), "pub fn double(n: i64) -> i64 {\n    let all = [0, 2, 4];\n    all[n as usize]\n}");
    assert_verdict(&verdict, Phase::Test, Outcome::Failed, Class::Misinterpretation, "example-2");
    let expected = "double(5)\npanicked at double.rs:3:5: index out of bounds: the len is 3 but the index is 5\n  \
                    in line 3: all[n as usize]";
    assert_eq!(verdict.detail, expected);
}

#[test]
fn a_failed_assertion_points_into_the_spec_and_hidden_checks_are_marked() {
    let place = Place { line: 20, column: 5, literal: true, exact: 99 };
    let text = "#[test]\nfn one() { assert_eq!(double(1), 2); }".to_owned();
    let mut with_test = double();
    with_test.hidden_tests = Some(Snippet { text, place });
    let verdict = judge(&with_test, "pub fn double(n: i64) -> i64 { if n == 1 { 3 } else { n * 2 } }");
    assert_verdict(&verdict, Phase::Test, Outcome::Failed, Class::Misinterpretation, "test-one");
    assert!(verdict.hidden);
    assert!(verdict.detail.starts_with("panicked at specs/double.yaml:21:16: assertion"), "{}", verdict.detail);
}

#[test]
fn names_that_do_not_exist_are_told_from_other_compile_errors() {
    let hallucinated = judge(&double(), "pub fn double(n: i64) -> i64 { n.doubled() }");
    assert_verdict(&hallucinated, Phase::Compile, Outcome::Failed, Class::Hallucination, "E0599");
    assert!(hallucinated.detail.contains("--> double.rs:1:34"), "{}", hallucinated.detail);
    let crates = judge(&double(), "use rayon::prelude::*;\npub fn double(n: i64) -> i64 { n * 2 }");
    assert_verdict(&crates, Phase::Compile, Outcome::Failed, Class::Hallucination, "E0433");
    let types = judge(&double(), "pub fn double(n: i64) -> i64 { n.to_string() }");
    assert_verdict(&types, Phase::Compile, Outcome::Failed, Class::Miscompile, "E0308");
    let missing = judge(&double(), "pub fn twice(n: i64) -> i64 { n * 2 }");
    assert_verdict(&missing, Phase::Compile, Outcome::Failed, Class::FormatViolation, "signature");
    let forbidden = judge(&double(), "pub fn double(n: i64) -> i64 { unsafe { std::hint::unreachable_unchecked() } }");
    assert_verdict(&forbidden, Phase::Compile, Outcome::Failed, Class::Miscompile, "unsafe_code");
}

#[test]
fn cheats_do_not_pass() {
    let wrong = |body: &str| judge(&double(), &format!("pub fn double(n: i64) -> i64 {{ {body} }}"));
    let verdict = wrong("std::process::exit(0)");
    assert_verdict(&verdict, Phase::Test, Outcome::Crashed, Class::Misinterpretation, "example-1");
    let forged = wrong("for k in 0..9u8 { print!(\"{}\\0\\0\\0\\0\\0\\0\\0\\0\", k as char); } std::process::exit(0)");
    assert_verdict(&forged, Phase::Test, Outcome::Crashed, Class::Misinterpretation, "example-1");
    let noisy = wrong("println!(\"test result: ok\"); 0");
    assert_verdict(&noisy, Phase::Test, Outcome::Failed, Class::Misinterpretation, "example-1");
    let verdict = wrong("std::process::abort()");
    assert_verdict(&verdict, Phase::Test, Outcome::Crashed, Class::Misinterpretation, "example-1");
    let tested = Spec {
        tests: Some(Snippet::new("#[test]\nfn it() { assert_eq!(double(1), 2); assert!(double(1) == 2); }")),
        ..spec("pub fn double(n: i64) -> i64")
    };
    let shadowed = "#[macro_export] macro_rules! assert_eq { ($($t:tt)*) => {} }\n#[macro_export] macro_rules! assert { ($($t:tt)*) => {} }\npub use assert_eq; pub use assert;\npub fn double(_: i64) -> i64 { 0 }";
    let verdict = judge(&tested, shadowed);
    assert!(!verdict.is_pass() && verdict.phase != Phase::Property, "{verdict:#?}");
    let quiet = wrong("std::panic::set_hook(Box::new(|_| {})); if n == 2 { 4 } else { panic!(\"no\") }");
    assert_verdict(&quiet, Phase::Test, Outcome::Failed, Class::Misinterpretation, "example-2");
    assert!(quiet.detail.contains("no"));
}

#[test]
fn endless_work_and_endless_memory_are_told_apart() {
    let wrong = |body: &str| judge(&double(), &format!("pub fn double(n: i64) -> i64 {{ {body} }}"));
    let verdict = wrong("if n == 2 { return 4 } loop {}");
    assert_verdict(&verdict, Phase::Test, Outcome::Timeout, Class::Resource, "example-2");
    assert_eq!(verdict.checks, Some((1, 2)));
    let verdict = wrong("fn deep(n: i64) -> i64 { if n == i64::MIN { 0 } else { 1 + deep(n + 1) } } deep(n)");
    assert_verdict(&verdict, Phase::Test, Outcome::Crashed, Class::Resource, "example-1");
    assert!(verdict.detail.contains("overflowed the stack"), "{}", verdict.detail);
    let verdict = wrong("let mut all = Vec::new(); loop { all.push(vec![n; 1 << 20]); }");
    assert_verdict(&verdict, Phase::Test, Outcome::Resource, Class::Resource, "example-1");
    let verdict = wrong("loop { println!(\"{}\", \"x\".repeat(1 << 16)); }");
    assert_verdict(&verdict, Phase::Test, Outcome::Resource, Class::Resource, "example-1");
}

#[test]
fn a_candidate_that_changes_its_mind_is_flaky() {
    let source = "pub fn double(n: i64) -> i64 {
        use std::hash::{BuildHasher, Hasher};
        static COIN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        let is_wrong = *COIN.get_or_init(|| std::collections::hash_map::RandomState::new().build_hasher().finish() % 2 == 0);
        if is_wrong { 0 } else { n * 2 }
    }";
    let checks = prepare(&double());
    let outcomes: Vec<Outcome> = (0..40)
        .map(|_| VALIDATOR.judge(&checks, &candidate(source)).unwrap().outcome)
        .take_while(|outcome| *outcome != Outcome::Flaky)
        .collect();
    assert!(outcomes.len() < 40, "{outcomes:?}");
}

#[test]
fn a_counterexample_is_small_and_shown() {
    let mut sum = spec("pub fn sum(all: &[i32]) -> i64");
    sum.properties = vec![property(
        "in_order",
        &[("all", "Vec<i32>"), ("more", "u8")],
        None,
        "{ let mut r = all.clone(); r.reverse(); drop(more); sum(&all) == sum(&r) }",
    )];
    assert_passes(&sum, "pub fn sum(all: &[i32]) -> i64 { all.iter().map(|n| i64::from(*n)).sum() }");
    let overflow = judge(&sum, "pub fn sum(all: &[i32]) -> i64 { i64::from(all.iter().sum::<i32>()) }");
    assert_verdict(&overflow, Phase::Property, Outcome::Failed, Class::Misinterpretation, "property-in_order");
    assert!(overflow.detail.contains("overflow") && overflow.detail.contains("more = 0"), "{}", overflow.detail);
    let wrong = judge(&sum, "pub fn sum(all: &[i32]) -> i64 { all.first().map_or(0, |n| i64::from(*n)) }");
    assert!(
        wrong.detail.ends_with("all = [0, 1]\nmore = 0\ngives false")
            || wrong.detail.ends_with("all = [1, 0]\nmore = 0\ngives false"),
        "{}",
        wrong.detail
    );
}

#[test]
fn inputs_of_many_types_are_generated() {
    let mut many = spec("pub fn id(tree: Tree) -> Tree");
    many.interface.imports = vec!["use std::collections::HashMap;".into()];
    many.interface.given = vec![
        TypeDef { name: "Point".into(), source: "#[derive(Debug, Clone, PartialEq)] pub struct Point { pub x: f64, pub y: f64 }".into() },
        TypeDef {
            name: "Tree".into(),
            source: "#[derive(Debug, Clone, PartialEq)] pub enum Tree { Leaf, Point(Point), Node { left: Box<Tree>, right: Box<Tree> }, Many(Vec<Tree>), Unit() }".into(),
        },
        TypeDef { name: "Pair".into(), source: "#[derive(Debug, Clone, PartialEq)] pub struct Pair<T: PartialEq>(pub T, pub T);".into() },
        TypeDef { name: "Grid".into(), source: "pub type Grid = Vec<Vec<Tree>>;".into() },
    ];
    let types = [
        "i8",
        "u128",
        "isize",
        "f32",
        "f64",
        "bool",
        "char",
        "String",
        "Vec<String>",
        "std::collections::VecDeque<u8>",
        "Option<Option<i64>>",
        "Result<u8, String>",
        "Box<str2::S>",
        "(u8, char, bool)",
        "[u16; 3]",
        "HashMap<String, Vec<i32>>",
        "std::collections::HashSet<char>",
        "std::collections::BTreeMap<u8, ()>",
        "std::collections::BTreeSet<String>",
        "std::time::Duration",
        "Tree",
        "Grid",
        "Pair<Point>",
        "(i32, i32, i32, i32, i32, i32)",
    ];
    for (at, ty) in types.iter().filter(|ty| !ty.contains("str2")).enumerate() {
        many.properties.push(property(
            &format!("p{at}"),
            &[("x", ty)],
            None,
            "{ let y = x.clone(); drop(x); format!(\"{y:?}\").len() > 0 }",
        ));
    }
    many.properties.push(property(
        "eight",
        &[
            ("a", "u8"),
            ("b", "Tree"),
            ("c", "String"),
            ("d", "f64"),
            ("e", "()"),
            ("f", "u8"),
            ("g", "char"),
            ("h", "bool"),
        ],
        Some("a > 0 || b == Tree::Leaf"),
        "{ drop((c, d, e, f, g, h)); id(b.clone()) == b || true }",
    ));
    let given: String = many.interface.given.iter().map(|given| given.source.clone() + "\n").collect();
    assert_passes(&many, &format!("{given}pub fn id(tree: Tree) -> Tree {{ tree }}"));
    let shown = judge(
        &Spec {
            properties: vec![property("never", &[("b", "Tree")], Some("b != Tree::Leaf"), "id(b) == Tree::Leaf")],
            ..many
        },
        &format!("{given}pub fn id(tree: Tree) -> Tree {{ tree }}"),
    );
    assert_verdict(&shown, Phase::Property, Outcome::Failed, Class::Misinterpretation, "property-never");
}

#[test]
fn inputs_that_cannot_be_generated_are_mistakes_of_the_spec() {
    let mut bad = double();
    bad.interface.wanted_types = vec!["Stack".into()];
    bad.properties = vec![property("p", &[("s", "Stack"), ("t", "&str")], None, "true")];
    bad.properties[0].forall[0].1.place = Place { line: 9, column: 17, literal: false, exact: 99 };
    let Err(ValidateError::Spec { mistakes, .. }) = VALIDATOR.prepare(&bad, &[]) else { panic!("no mistake") };
    let found: Vec<(usize, usize, &str)> = mistakes.iter().map(|m| (m.line, m.column, m.message.as_str())).collect();
    assert_eq!(found[0], (9, 17, "`s`: inputs of type `Stack` can't be generated: the candidate defines it"));
    assert!(found[1].2.contains("inputs are owned"));
}

#[test]
fn assume_that_nothing_meets_fails_and_one_that_little_meets_is_noted() {
    let mut none = double();
    none.properties = vec![property("p", &[("n", "i64")], Some("n > 5 && n < 5"), "double(n) == 0")];
    let good = "pub fn double(n: i64) -> i64 { n.wrapping_mul(2) }";
    let verdict = judge(&none, good);
    assert_verdict(&verdict, Phase::Property, Outcome::Failed, Class::Misinterpretation, "property-p");
    none.properties[0].assume = Some(Snippet::new("n == 1000"));
    none.properties[0].holds = Snippet::new("double(n) == 2000");
    assert!(assert_passes(&none, good).detail.starts_with("property-p: `assume` passed over all but"));
}

#[test]
fn each_mistake_in_a_check_is_told_at_its_place_in_the_file() {
    let at = |text: &str, line, column| Snippet {
        text: text.into(),
        place: Place { line, column, literal: false, exact: 99 },
    };
    let mut bad = double();
    bad.examples = vec![
        Example { call: at("double(2, 3)", 8, 11), expect: Expect::Returns(at("4", 9, 14)), hidden: false },
        Example { call: at("double(2)", 10, 11), expect: Expect::Returns(at("\"four\"", 11, 14)), hidden: true },
        Example { call: at("double(2)", 12, 11), expect: Expect::Holds(at("result.is_even()", 13, 12)), hidden: false },
    ];
    let text = "#[test]\nfn a() {\n    let é = undefined();\n}\n#[test]\nfn b() { nothing() }".to_owned();
    bad.tests = Some(Snippet { text, place: Place { line: 20, column: 5, literal: true, exact: 99 } });
    bad.properties = vec![property("p", &[("x", "std::cell::Cell<u8>")], None, "true")];
    bad.properties[0].forall[0].1.place = Place { line: 30, column: 20, literal: false, exact: 99 };
    let found = VALIDATOR.check(&bad, &[]).unwrap();
    let places: Vec<(usize, usize)> = found.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(places, [(8, 11), (11, 14), (13, 19), (22, 17), (25, 14), (30, 20)], "{found:#?}");
    assert!(found[5].message.starts_with("inputs of type `Cell<u8>` can't be generated"), "{found:#?}");
    bad.interface.functions[0].signature = "pub fn double(n: Missing) -> i64".into();
    bad.interface.source.text = "pub fn double(n: Missing) -> i64".into();
    assert_eq!(VALIDATOR.check(&bad, &[]).unwrap()[0].line, 3);
}

#[test]
fn a_candidate_may_call_the_modules_its_spec_uses() {
    let mut user = Spec { uses: vec!["twice".into()], ..double() };
    user.tests = Some(Snippet::new("#[test]\nfn both() { assert_eq!(twice::twice(1), double(1)); }"));
    let uses = [("twice".to_owned(), "pub fn twice(n: i64) -> i64 { unsafe { n.unchecked_mul(2) } }".to_owned())];
    let checks = VALIDATOR.prepare(&user, &uses).unwrap();
    let judge = |source: &str| VALIDATOR.judge(&checks, &candidate(source)).unwrap();
    let verdict = judge("pub fn double(n: i64) -> i64 { crate::twice::twice(n) }");
    assert!(verdict.is_pass(), "{verdict:#?}");
    let own_unsafe = judge("#[allow(unsafe_code)]\npub fn double(n: i64) -> i64 { unsafe { n.unchecked_mul(2) } }");
    assert_eq!(own_unsafe.outcome, Outcome::Failed);
    assert_ne!(checks.digest(), VALIDATOR.prepare(&user, &[]).unwrap().digest());
}

#[test]
fn dependencies_that_cannot_be_had_name_the_crate() {
    let mut wants = double();
    let dependency = llmc::spec::Dependency { version: "1".into(), features: Vec::new(), default_features: true };
    wants.dependencies.insert("llmc-no-such-crate".into(), dependency);
    let error = VALIDATOR.prepare(&wants, &[]).unwrap_err();
    assert!(error.to_string().contains("`llmc-no-such-crate`"), "{error}");
}

/// Needs no network: llmc itself is built with this crate, so cargo has it.
#[test]
fn a_candidate_may_use_the_crates_its_spec_names() {
    let mut wants = Spec {
        examples: vec![returns("find(\"abc\")", "Some(2)")],
        ..spec("pub fn find(text: &str) -> Option<usize>")
    };
    let dependency =
        llmc::spec::Dependency { version: "2".into(), features: vec!["std".into()], default_features: false };
    wants.dependencies.insert("memchr".into(), dependency);
    let source = "pub fn find(text: &str) -> Option<usize> { memchr::memchr(b'c', text.as_bytes()) }";
    assert_passes(&wants, source);
    assert_passes(&wants, source);
    wants.dependencies.clear();
    assert_verdict(&judge(&wants, source), Phase::Compile, Outcome::Failed, Class::Hallucination, "E0433");
}

#[test]
fn a_spec_file_with_an_interface_is_checked_and_judged() {
    let text = r#"llmc: 1
name: stack
description: A stack.
interface: |
  #[derive(Debug, Clone, PartialEq)]
  pub enum Fault { Empty, Full(usize) }
  pub struct Stack<T>;
  impl<T> Stack<T> {
      pub fn new(limit: usize) -> Self;
      pub fn push(&mut self, value: T) -> Result<(), Fault>;
      pub fn pop(&mut self) -> Result<T, Fault>;
  }
examples:
  - call: Stack::<u8>::new(1).pop()
    returns: Err(Fault::Empty)
  - call: |
      {
          let mut stack = Stack::new(1);
          stack.push(1).unwrap();
          stack.push(2)
      }
    matches: Err(Fault::Full(1))
properties:
  - name: last_in_first_out
    forall: { values: Vec<Fault>, fault: Fault }
    holds: |
      {
          let mut stack = Stack::new(usize::MAX);
          values.into_iter().for_each(|value| stack.push(value).unwrap());
          stack.push(fault.clone()).unwrap();
          stack.pop() == Ok(fault)
      }
"#;
    let (spec, _) = llmc::spec::parse("specs/stack.yaml", "stack", text.as_bytes()).unwrap();
    assert_eq!(VALIDATOR.check(&spec, &[]).unwrap(), []);
    let source = "#[derive(Debug, Clone, PartialEq)]
pub enum Fault { Empty, Full(usize) }
pub struct Stack<T> { values: Vec<T>, limit: usize }
impl<T> Stack<T> {
    pub fn new(limit: usize) -> Self { Self { values: Vec::new(), limit } }
    pub fn push(&mut self, value: T) -> Result<(), Fault> {
        if self.values.len() >= self.limit { return Err(Fault::Full(self.limit)); }
        self.values.push(value);
        Ok(())
    }
    pub fn pop(&mut self) -> Result<T, Fault> { self.values.pop().ok_or(Fault::Empty) }
}";
    assert_passes(&spec, source);
    let verdict =
        judge(&spec, &source.replace("self.values.pop()", "(!self.values.is_empty()).then(|| self.values.remove(0))"));
    assert_verdict(&verdict, Phase::Property, Outcome::Failed, Class::Misinterpretation, "property-last_in_first_out");
    let wrong = text.replace("stack.push(2)", "stack.shove(2)").replace("Fault::Empty)", "Fault::Gone)");
    let (spec, _) = llmc::spec::parse("specs/stack.yaml", "stack", wrong.as_bytes()).unwrap();
    let found = VALIDATOR.check(&spec, &[]).unwrap();
    let places: Vec<(usize, usize)> = found.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(places, [(15, 25), (20, 17)], "{found:#?}");
}

#[test]
fn candidates_are_judged_side_by_side_and_leave_nothing_behind() {
    let toolchain = Toolchain::find(None).unwrap();
    let scratch = tempfile::tempdir_in(SCRATCH).unwrap();
    let work = scratch.path().join("work");
    let validator = Validator::new(toolchain, scratch.path().join("cache"), &work);
    let checks = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| checks.lock().unwrap().push(validator.prepare(&double(), &[]).unwrap()));
        }
    });
    let checks = checks.into_inner().unwrap();
    assert_eq!(checks[0].digest(), checks[1].digest());
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (validator, checks) = (&validator, &checks[0]);
            scope.spawn(move || {
                let source = format!("pub fn double(n: i64) -> i64 {{ n * 2 + {} }}", n % 2);
                assert_eq!(validator.judge(checks, &candidate(&source)).unwrap().is_pass(), n % 2 == 0);
            });
        }
    });
    assert_eq!(std::fs::read_dir(work).unwrap().count(), 0);
}

#[test]
fn the_committed_tests_pass_with_cargo_alone() {
    let scratch = tempfile::tempdir_in(SCRATCH).unwrap();
    let write = |path: &str, text: &str| {
        let path = scratch.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let mut tree = spec("pub fn depth(tree: &Tree) -> Vec<usize>");
    tree.interface.given = vec![TypeDef {
        name: "Tree".into(),
        source: "#[derive(Debug, Clone, PartialEq)] pub enum Tree { Leaf, Node(Box<Tree>) }".into(),
    }];
    tree.examples = vec![
        returns("depth(&Tree::Leaf)", "vec![]"),
        example("depth(&Tree::Leaf)", Expect::Matches(Snippet::new("v if v.is_empty()"))),
        example("depth(&Tree::Node(Box::new(Tree::Leaf)))[1]", Expect::Panics(Some("out of bounds".into()))),
    ];
    tree.properties = vec![property("p", &[("t", "Tree")], Some("t != Tree::Leaf"), "depth(&t).len() > 0")];
    let body = "pub fn depth(tree: &Tree) -> Vec<usize> { match tree { Tree::Leaf => vec![], Tree::Node(inner) => { let mut d = depth(inner); d.push(1); d } } }";
    write("Cargo.toml", "[package]\nname = \"generated\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n");
    write("src/lib.rs", "pub mod depth;\npub mod slugify;\n");
    write("src/slugify.rs", SLUGIFY);
    write("src/depth.rs", &format!("{}\n{body}", tree.interface.given[0].source));
    let text = render_tests_file(&slugify());
    assert!(
        text.contains("#[test]\nfn example_1() {\n    assert_eq!(slugify(\"Hello, World!\"), \"hello-world\");\n}"),
        "{text}"
    );
    write("tests/slugify.rs", &text);
    write("tests/depth.rs", &render_tests_file(&tree));
    let output = std::process::Command::new("cargo")
        .args(["test", "--offline", "--tests", "--", "--include-ignored"])
        .current_dir(scratch.path())
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{text}");
    assert!(!said.contains("warning"), "{said}");
    for line in ["running 8 tests", "running 4 tests"] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn one_candidate_takes_a_fraction_of_a_second() {
    let checks = prepare(&slugify());
    let start = Instant::now();
    for _ in 0..5 {
        assert!(VALIDATOR.judge(&checks, &candidate(SLUGIFY)).unwrap().is_pass());
    }
    let each = start.elapsed() / 5;
    println!("{} ms per candidate", each.as_millis());
    // Generous: the machine may be busy with other things.
    assert!(each < Duration::from_secs(4), "{each:?}");
}
