//! What programs do, held against each other: with the real compiler, in the real sandbox.

use std::time::Duration;

use llmc::behaviour::{Behaviours, Kind, Options, Origin, compare, times};
use llmc::candidate::{self, Candidate};
use llmc::spec::{Example, Expect, Snippet, Spec};

use crate::validate::VALIDATOR;

fn spec(interface: &str, rest: &str) -> Spec {
    let interface: String = interface.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("llmc: 1\nname: it\ndescription: x\ninterface: |\n{interface}{rest}");
    llmc::spec::parse("specs/it.yaml", "it", text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).0
}

fn candidates(spec: &Spec, sources: &[&str]) -> Vec<Candidate> {
    let one = |source: &&str| candidate::from_source(source, spec).unwrap_or_else(|verdict| panic!("{verdict:?}"));
    sources.iter().map(one).collect()
}

fn compared_with(spec: &Spec, sources: &[&str], options: &Options) -> Behaviours {
    let candidates = candidates(spec, sources);
    let checks = VALIDATOR.prepare(spec, &[]).unwrap();
    compare(&VALIDATOR, &checks, &candidates.iter().collect::<Vec<_>>(), options).unwrap()
}

fn compared(spec: &Spec, sources: &[&str]) -> Behaviours {
    compared_with(spec, sources, &Options::default())
}

/// An example that every implementation of these specs passes.
const ONE: &str = "examples:\n  - { call: \"1\", returns: \"1\" }\n";

/// The kinds of what two programs do with the first input on which they part.
fn kinds(behaviours: &Behaviours) -> [Kind; 2] {
    let split = behaviours.splits.first().unwrap_or_else(|| panic!("{:?}", behaviours.coverage));
    [0, 1].map(|program| split.outcomes[split.classes[program]].kind)
}

#[test]
fn programs_that_part_are_told_apart_by_a_small_input() {
    let spec = spec(
        "pub fn slug(title: &str) -> String;",
        "examples:\n  - { call: 'slug(\"Hello, World!\")', returns: '\"hello-world\"' }\n",
    );
    let source = |title: &str, is: &str, lower: &str| {
        format!(
            "pub fn slug({title}: &str) -> String {{ {title}.split(|c: char| !c.{is}()).filter(|p| !p.is_empty())\
             .map(|part| part.{lower}()).collect::<Vec<_>>().join(\"-\") }}"
        )
    };
    let behaviours = compared(
        &spec,
        &[
            &source("title", "is_ascii_alphanumeric", "to_ascii_lowercase"),
            &source("title", "is_alphanumeric", "to_lowercase"),
            &source("t", "is_ascii_alphanumeric", "to_lowercase"),
        ],
    );
    assert_eq!(behaviours.clusters, [vec![0, 2], vec![1]]);
    let split = &behaviours.splits[0];
    assert!(split.call.chars().count() <= "slug(\"é\")".len(), "{split:?}");
    assert_eq!(split.classes[0], split.classes[2]);
    let first = behaviours.observations.iter().find(|one| one.origin == Origin::Example).unwrap();
    assert_eq!((first.call.as_str(), first.outcomes[0].text.as_str()), ("slug(\"Hello, World!\")", "\"hello-world\""));
    assert!(behaviours.coverage.drawn >= 300, "{:?}", behaviours.coverage);
    assert!(behaviours.coverage.drawn_apart > 0);
}

#[test]
fn where_only_the_first_matters_nothing_is_searched_that_tells_others_apart() {
    let spec = spec("pub fn f(n: i64) -> i64;", ONE);
    let function = |body: &str| format!("pub fn f(n: i64) -> i64 {{ {body} }}");
    // The first has a like; the others part from it everywhere, and hardly ever from each other.
    let bodies = ["n", "0 + n", "!n", "if n / 3 == 123_456_789 { 0 } else { !n }", "if n < 0 { n } else { n ^ 1 }"];
    let sources: Vec<String> = bodies.iter().map(|body| function(body)).collect();
    let run = |sources: &[&String], from_first: bool| {
        let sources: Vec<&str> = sources.iter().map(|source| source.as_str()).collect();
        compared_with(&spec, &sources, &Options { from_first, search: 100, splits: 0, ..Options::default() })
    };
    let alone = [&sources[0], &sources[2], &sources[3]];
    let has_searched =
        |behaviours: &Behaviours| behaviours.observations.iter().any(|one| one.origin == Origin::Searched);
    assert!(has_searched(&run(&alone, false)));
    assert!(!has_searched(&run(&alone, true)));
    let all: Vec<&String> = sources.iter().collect();
    let behaviours = run(&all, true);
    assert!(behaviours.clusters.contains(&vec![0, 1]), "{:?}", behaviours.clusters);
    let parts = |one: usize| behaviours.splits.iter().any(|split| split.classes[0] != split.classes[one]);
    assert_eq!([1, 2, 3, 4].map(parts), [false, true, true, true]);
    assert!(behaviours.bound_of(0, 1).unwrap() <= 0.01);
}

#[test]
fn how_far_two_programs_may_part_is_known_where_inputs_can_be_made() {
    let of = |interface: &str, one: &str, other: &str| compared(&spec(interface, ONE), &[one, other]).bound_of(0, 1);
    let all = of("pub fn f(b: bool) -> bool;", "pub fn f(b: bool) -> bool { !b }", "pub fn f(x: bool) -> bool { !x }");
    assert_eq!(all, Some(0.0));
    // Values of a type that is not known can't be made.
    let generic = "pub fn f<T: Copy>(t: T) -> u8;";
    assert_eq!(of(generic, "pub fn f<T: Copy>(t: T) -> u8 { 1 }", "pub fn f<T: Copy>(x: T) -> u8 { 1 }"), None);
}

/// Types of which inputs are made, each with how its value is returned as it came.
const TYPES: [(&str, &str); 36] = [
    ("(i8, u16, i32, u64, i128, usize, u128, bool, char, ())", "x"),
    ("(f32, f64)", "x"),
    ("String", "x"),
    ("Vec<Vec<Option<u8>>>", "x"),
    ("[Result<u8, String>; 2]", "x"),
    ("HashMap<String, Vec<u8>>", "x"),
    ("HashSet<(u8, bool)>", "x"),
    ("BTreeMap<u8, Vec<char>>", "x"),
    ("BTreeSet<char>", "x"),
    ("VecDeque<i16>", "x"),
    ("std::collections::LinkedList<bool>", "x"),
    ("std::ops::Range<u8>", "x"),
    ("std::ops::RangeInclusive<i16>", "x"),
    ("std::time::Duration", "x"),
    ("std::cmp::Ordering", "x"),
    ("std::num::NonZero<i32>", "x"),
    ("std::num::Wrapping<u8>", "x"),
    ("std::cmp::Reverse<Vec<i8>>", "x"),
    ("Option<Box<Option<u8>>>", "x"),
    ("std::rc::Rc<str>", "x"),
    ("std::sync::Arc<(u8, String)>", "x"),
    ("Box<[u8]>", "x"),
    ("Point", "x"),
    ("Pair<u8, Option<Token>>", "x"),
    ("Token", "x"),
    ("Tree", "x"),
    ("Empty", "x"),
    ("Alias", "x"),
    ("&str", "x"),
    ("&[i32]", "x"),
    ("&[&str]", "x"),
    ("&Point", "x"),
    ("Option<&str>", "x"),
    ("std::borrow::Cow<'static, str>", "x"),
    ("(u8,)", "x"),
    ("Vec<(String, isize)>", "x"),
];

const GIVEN: &str = "\
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
#[derive(Debug, Clone, PartialEq)]
pub struct Point { pub x: f64, pub y: f64 }
#[derive(Debug, Clone, PartialEq)]
pub struct Pair<A, B>(pub A, pub B);
#[derive(Debug, Clone, PartialEq)]
pub struct Empty {}
#[derive(Debug, Clone, PartialEq)]
pub enum Token { Num(f64), Op(char), Name { text: String, upper: bool }, End }
#[derive(Debug, Clone, PartialEq)]
pub enum Tree { Leaf(i32), Node(Box<Tree>, Box<Tree>), Many(Vec<Tree>) }
pub type Alias = Vec<Option<Point>>;
";

#[test]
fn values_of_every_type_come_back_as_they_went_and_are_written_as_rust_that_means_the_same() {
    // More functions than these at once are too many for one spec.
    let all: String = TYPES.chunks(18).map(come_back).collect();
    // Numbers of all sorts, texts in all alphabets.
    for part in ["u64::MAX", "\\u{202e}", "\"ß\"", "Tree::Node", "None"] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
}

/// Has values of these types go to a program that returns them; the calls that were made.
fn come_back(types: &[(&str, &str)]) -> String {
    let signature = |at: usize, ty: &str| match ty.contains('&') {
        true => format!("pub fn f{at}<'a>(x: {0}) -> {0}", ty.replace('&', "&'a ")),
        false => format!("pub fn f{at}(x: {ty}) -> {ty}"),
    };
    let heads: Vec<String> = types.iter().enumerate().map(|(at, (ty, _))| signature(at, ty)).collect();
    let interface = format!("{GIVEN}{}", heads.iter().map(|head| format!("{head};\n")).collect::<String>());
    let mut spec = spec(&interface, &format!("{ONE}policy: {{ max_lines: 1000 }}\n"));
    let source: String = heads.iter().zip(types).map(|(head, (_, body))| format!("{head} {{ {body} }}\n")).collect();
    let options = Options { draws: 150, search: 0, ..Options::default() };
    let behaviours = compared_with(&spec, &[&source], &options);
    assert_eq!(behaviours.coverage.not_called, []);
    assert_eq!(behaviours.coverage.functions.len(), types.len());
    let mut count = vec![0; types.len()];
    let mut examples = Vec::new();
    for observation in &behaviours.observations {
        let outcome = &observation.outcomes[0];
        let (path, argument) = observation.call.split_once('(').unwrap();
        let argument = argument.strip_suffix(')').unwrap();
        let at: usize = path[1..].parse().unwrap();
        // A text alone is written so that it can be compared with `==`.
        let argument = if types[at].0 == "String" { argument.trim_end_matches(".to_string()") } else { argument };
        // Sets and maps without an order have one here: that of what they hold.
        if !types[at].0.contains("Hash") && !types[at].0.contains("BTree") {
            assert_eq!((argument, outcome.kind), (outcome.text.as_str(), Kind::Value), "{observation:?}");
        }
        count[at] += 1;
        if count[at] <= 5 && !outcome.text.contains("NAN") && !observation.call.contains("NAN") {
            examples.push(Example {
                call: Snippet::new(observation.call.clone()),
                expect: Expect::Returns(Snippet::new(outcome.text.clone())),
                hidden: false,
            });
        }
    }
    assert!(count.iter().all(|count| *count >= 1), "{count:?}");
    // What was printed is Rust: the spec's own checks say so.
    spec.examples = examples;
    let candidate = candidate::from_source(&source, &spec).unwrap();
    let verdict = VALIDATOR.judge(&VALIDATOR.prepare(&spec, &[]).unwrap(), &candidate).unwrap();
    assert!(verdict.is_pass(), "{verdict:?}");
    behaviours.observations.iter().map(|one| one.call.clone() + "\n").collect()
}

#[test]
fn what_a_call_leaves_in_its_arguments_is_part_of_what_it_does() {
    let spec = spec(
        "pub fn sort(xs: &mut [i32]);\npub fn push(xs: &mut Vec<u8>, x: u8) -> usize;",
        "examples:\n  - { call: \"1\", returns: \"1\" }\n",
    );
    let push = "pub fn push(xs: &mut Vec<u8>, x: u8) -> usize { xs.push(x); xs.len() }";
    let behaviours = compared(
        &spec,
        &[
            &format!("pub fn sort(xs: &mut [i32]) {{ xs.sort() }} {push}"),
            &format!("pub fn sort(xs: &mut [i32]) {{ xs.sort(); xs.reverse() }} {push}"),
            &format!(
                "pub fn sort(xs: &mut [i32]) {{ xs.sort_unstable() }} {}",
                push.replace("xs.push(x);", "xs.insert(0, x);")
            ),
        ],
    );
    assert_eq!(behaviours.clusters.len(), 3);
    let calls: Vec<&str> = behaviours.splits.iter().map(|split| split.call.as_str()).collect();
    assert!(calls.iter().any(|call| call.starts_with("sort(&mut [")), "{calls:?}");
    let split = behaviours.splits.iter().find(|split| split.call.starts_with("push(")).unwrap();
    let texts: Vec<&str> = split.outcomes.iter().map(|outcome| outcome.text.as_str()).collect();
    assert!(texts.iter().any(|text| text.contains("2 and leaves xs = vec![")), "{split:?}");
}

#[test]
fn panics_errors_crashes_and_hanging_are_told_from_values() {
    let spec = spec("pub fn f(x: i32) -> Result<i32, String>;", ONE);
    let source = |body: &str| format!("pub fn f(x: i32) -> Result<i32, String> {{ {body} }}");
    let value = source("Ok(x)");
    for (body, kind) in [
        ("if x == 7 { panic!(\"no\") } Ok(x)", Kind::Panic),
        ("if x == 7 { return Err(\"seven\".into()) } Ok(x)", Kind::Error),
        ("if x == 7 { std::process::abort() } Ok(x)", Kind::Crash),
        (
            "fn deep(x: i32) -> i32 { if x == 0 { 1 } else { deep(x.wrapping_add(7)) + 1 } } if x == 7 { deep(1); } Ok(x)",
            Kind::Crash,
        ),
        ("while x == 7 {} Ok(x)", Kind::Timeout),
        ("Ok(if x == 7 { 8 } else { x })", Kind::Value),
    ] {
        let Ok(other) = candidate::from_source(&source(body), &spec) else {
            // The policy knows this one.
            continue;
        };
        let behaviours = compared(&spec, &[&value, &other.source]);
        assert_eq!(kinds(&behaviours), [Kind::Value, kind], "{body}: {:?}", behaviours.splits);
        assert_eq!(behaviours.splits[0].call, "f(7)");
        assert_eq!(behaviours.splits[0].outcomes[0].text, "Ok(7)");
    }
}

#[test]
fn a_program_that_does_not_do_the_same_twice_is_flaky_there_and_nowhere_else() {
    let spec = spec("pub fn f(xs: Vec<u8>) -> Vec<u8>;", ONE);
    let behaviours = compared(
        &spec,
        &[
            "pub fn f(xs: Vec<u8>) -> Vec<u8> { xs }",
            "use std::collections::HashSet;\npub fn f(xs: Vec<u8>) -> Vec<u8> { if xs.len() < 3 { return xs; } \
             xs.into_iter().chain([1, 2, 3, 4, 5, 6, 7, 8, 9]).collect::<HashSet<_>>().into_iter().collect() }",
            "use std::sync::atomic::{AtomicU8, Ordering};\nstatic CALLS: AtomicU8 = AtomicU8::new(0);\n\
             pub fn f(xs: Vec<u8>) -> Vec<u8> { if xs == [9, 9, 9] { return vec![CALLS.load(Ordering::SeqCst)]; } \
             CALLS.fetch_add(1, Ordering::SeqCst); xs }",
        ],
    );
    for observation in &behaviours.observations {
        let is_long = observation.call.matches(',').count() >= 2;
        let kind = observation.outcome(1).kind;
        assert_eq!(kind, if is_long { Kind::Flaky } else { Kind::Value }, "{observation:?}");
    }
}

#[test]
fn floats_need_not_agree_to_the_last_bit_and_sets_have_no_order() {
    let spec = spec(
        "use std::collections::HashSet;\npub fn mean(xs: &[f64]) -> f64;\npub fn all(xs: &[u8]) -> HashSet<u8>;",
        ONE,
    );
    let all = "pub fn all(xs: &[u8]) -> HashSet<u8> { xs.iter().copied().collect() }";
    let other = "pub fn all(xs: &[u8]) -> HashSet<u8> { xs.iter().rev().copied().collect() }";
    let mean = |sum: &str| format!("use std::collections::HashSet;\npub fn mean(xs: &[f64]) -> f64 {{ {sum} }}");
    let behaviours = compared(
        &spec,
        &[
            &format!("{}{all}", mean("if xs.len() == 3 { xs[0] / 3.0 } else { 0.0 }")),
            &format!("{}{other}", mean("if xs.len() == 3 { xs[0] * (1.0 / 3.0) } else { -0.0 }")),
            &format!("{}{all}", mean("if xs.len() == 3 { xs[0] / 3.0 + 1e-3 } else { 0.0 }")),
        ],
    );
    assert_eq!(behaviours.clusters, [vec![0, 1], vec![2]], "{:?}", behaviours.splits);
}

#[test]
fn where_the_words_of_errors_do_not_count_which_error_it_is_does() {
    let spec = spec(
        "#[derive(Debug, Clone, PartialEq)]\npub enum Bad { Sign(String), Zero(String) }\n\
         pub fn f(x: i32) -> Result<i32, Bad>;",
        ONE,
    );
    let given = "#[derive(Debug, Clone, PartialEq)]\npub enum Bad { Sign(String), Zero(String) }\n";
    let source = |zero: &str, sign: &str| {
        format!(
            "{given}pub fn f(x: i32) -> Result<i32, Bad> {{ if x == 0 {{ Err({zero}) }} else if x < 0 {{ Err({sign}) }} \
             else {{ Ok(x) }} }}"
        )
    };
    let sources = [
        source("Bad::Zero(\"is zero\".into())", "Bad::Sign(\"below\".into())"),
        source("Bad::Zero(\"zero\".into())", "Bad::Sign(\"negative\".into())"),
        source("Bad::Sign(\"zero\".into())", "Bad::Sign(\"negative\".into())"),
    ];
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    assert_eq!(compared(&spec, &sources).clusters.len(), 3);
    let options = Options { ignore_error_texts: true, ..Options::default() };
    let behaviours = compared_with(&spec, &sources, &options);
    assert_eq!(behaviours.clusters, [vec![0, 1], vec![2]]);
    assert_eq!(behaviours.splits[0].call, "f(0)");
}

#[test]
fn what_properties_rule_out_is_no_input_unless_an_example_shows_it() {
    let interface = "pub fn nth(xs: &[u8], at: usize) -> u8;";
    let property = "properties:\n  - name: inside\n    forall: { list: 'Vec<u8>', i: usize }\n    assume: i < list.len()\n    \
                    holds: list.contains(&nth(&list, i))\n";
    let sources = [
        "pub fn nth(xs: &[u8], at: usize) -> u8 { xs[at] }",
        "pub fn nth(xs: &[u8], at: usize) -> u8 { xs.get(at).copied().unwrap_or(0) }",
    ];
    let behaviours = compared(&spec(interface, &format!("{ONE}{property}")), &sources);
    assert!(behaviours.are_alike(), "{:?}", behaviours.splits);
    assert_eq!(behaviours.coverage.preconditions, ["i < list.len()"]);
    assert!(behaviours.coverage.ruled_out > 0 && behaviours.coverage.drawn >= 100, "{:?}", behaviours.coverage);
    // An example from beyond: then that is an input, and so are others.
    let shown = "examples:\n  - { call: 'nth(&[], 3)', panics: true }\n";
    let behaviours = compared(&spec(interface, &format!("{shown}{property}")), &sources);
    assert_eq!(behaviours.coverage.preconditions, [""; 0]);
    assert_eq!(kinds(&behaviours), [Kind::Panic, Kind::Value]);
    // Another property that takes every input.
    let total = "  - { name: total, forall: { xs: 'Vec<u8>', at: usize }, holds: 'nth(&xs, at) < 9' }\n";
    let behaviours = compared(&spec(interface, &format!("{ONE}{property}{total}")), &sources);
    assert!(!behaviours.are_alike());
}

#[test]
fn where_no_inputs_can_be_made_the_examples_are_run_and_that_is_said() {
    let generic = spec(
        "pub fn largest<T: PartialOrd + Copy>(xs: &[T]) -> Option<T>;",
        "examples:\n  - { call: 'largest(&[1, 3, 2])', returns: Some(3) }\n  \
         - { call: 'largest::<u8>(&[])', returns: None }\n",
    );
    let source = |body: &str| format!("pub fn largest<T: PartialOrd + Copy>(xs: &[T]) -> Option<T> {{ {body} }}");
    let behaviours = compared(
        &generic,
        &[
            &source("xs.iter().copied().reduce(|a, b| if b > a { b } else { a })"),
            &source("xs.last().copied()"),
            &source("Some(xs[0])"),
        ],
    );
    assert_eq!(behaviours.clusters.len(), 3);
    assert_eq!(behaviours.splits[0].call, "largest(&[1, 3, 2])");
    let text = |program: usize| behaviours.observations[0].outcome(program).text.clone();
    assert_eq!([text(0), text(1), text(2)], ["Some(3)", "Some(2)", "Some(1)"]);
    assert_eq!(behaviours.observations[1].outcome(2).kind, Kind::Panic);
    assert_eq!((behaviours.coverage.drawn, behaviours.coverage.bound()), (0, None));
    assert!(behaviours.coverage.not_called[0].1.contains("can't be sent"), "{:?}", behaviours.coverage);
    // An object of the program's own: its methods are called in an example, one after the other.
    let object = spec(
        "pub struct Stack;\nimpl Stack {\n    pub fn new() -> Self;\n    pub fn push(&mut self, x: i32);\n    \
         pub fn pop(&mut self) -> Option<i32>;\n}\npub fn double(x: i32) -> i32;",
        "examples:\n  - { call: '{ let mut s = Stack::new(); s.push(1); s.push(2); s.pop() }', returns: Some(2) }\n",
    );
    let stack = |pop: &str, double: &str| {
        format!(
            "pub struct Stack(Vec<i32>);\nimpl Stack {{ pub fn new() -> Self {{ Stack(Vec::new()) }}\n\
             pub fn push(&mut self, x: i32) {{ self.0.push(x) }}\npub fn pop(&mut self) -> Option<i32> {{ {pop} }} }}\n\
             pub fn double(x: i32) -> i32 {{ {double} }}"
        )
    };
    let last = stack("self.0.pop()", "x.wrapping_mul(2)");
    let first = stack("if self.0.is_empty() { None } else { Some(self.0.remove(0)) }", "x.wrapping_mul(2)");
    let behaviours = compared(&object, &[&last, &first]);
    assert!(!behaviours.are_alike());
    assert!(behaviours.splits[0].call.contains("Stack::new()"), "{:?}", behaviours.splits);
    // The function beside it needs none.
    let behaviours = compared(&object, &[&last, &stack("self.0.pop()", "x.wrapping_add(x) | 1")]);
    assert!(behaviours.splits[0].call.starts_with("double("), "{:?}", behaviours.splits);
    assert!(behaviours.coverage.not_called.iter().any(|(name, _)| name.contains("push")));
}

#[test]
fn all_values_are_tried_where_they_are_few() {
    let spec = spec("pub fn f(x: u8, y: Option<bool>) -> u8;", ONE);
    let source = |body: &str| format!("pub fn f(x: u8, y: Option<bool>) -> u8 {{ {body} }}");
    let same = compared(
        &spec,
        &[&source("x / 2 + u8::from(y == Some(true))"), &source("(x >> 1) + y.unwrap_or(false) as u8")],
    );
    assert!(same.are_alike() && same.coverage.is_exhaustive);
    assert_eq!((same.coverage.inputs, same.coverage.bound()), (768, Some(0.0)));
    assert_eq!(same.coverage.sentence(), "all 768 inputs that there are were run");
    let one = compared(&spec, &[&source("x"), &source("if x == 201 && y == Some(false) { 1 } else { x }")]);
    assert_eq!(one.splits[0].call, "f(201, Some(false))");
}

#[test]
fn literals_in_programs_are_tried_and_so_is_what_arguments_have_in_common() {
    let spec = spec("pub fn f(xs: Vec<i64>, n: i64, name: &str) -> bool;", ONE);
    let source = |body: &str| format!("pub fn f(xs: Vec<i64>, n: i64, name: &str) -> bool {{ {body} }}");
    for body in
        ["n == 48_611", "name == \"open sesame\"", "xs.len() as i64 == n && n > 4", "xs.len() > 6 && xs.is_sorted()"]
    {
        let behaviours = compared(&spec, &[&source("false"), &source(body)]);
        assert!(!behaviours.are_alike(), "{body}: {:?}", behaviours.coverage);
    }
}

#[test]
fn many_programs_are_told_apart_by_few_inputs_and_each_by_one_that_it_shares_with_nobody_else() {
    let spec = spec("pub fn f(x: u32) -> u32;", ONE);
    let sources: Vec<String> = (0..24)
        .map(|number| format!("pub fn f(x: u32) -> u32 {{ if x % 8 == {} {{ 0 }} else {{ 1 }} }}", number % 6))
        .collect();
    let behaviours = compared(&spec, &sources.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(behaviours.clusters.len(), 6);
    assert!(behaviours.clusters.iter().all(|cluster| cluster.len() == 4));
    assert!(behaviours.splits.len() >= 5, "{:?}", behaviours.splits);
    for (one, first) in behaviours.clusters.iter().enumerate() {
        for other in &behaviours.clusters[one + 1..] {
            let is_told = |split: &&llmc::behaviour::Split| split.classes[first[0]] != split.classes[other[0]];
            assert!(behaviours.splits.iter().any(|split| is_told(&split)), "{first:?} {other:?}");
        }
    }
}

#[test]
fn one_that_does_not_compile_is_left_out_and_the_others_are_compared() {
    let spec = spec("pub fn f(x: i32) -> i32;", ONE);
    let behaviours = compared(
        &spec,
        &["pub fn f(x: i32) -> i32 { x }", "pub fn f(x: i32) -> i32 { x.nope() }", "pub fn f(x: i32) -> i32 { x / 1 }"],
    );
    assert_eq!((behaviours.programs.as_slice(), behaviours.refused.len()), (&[0, 2][..], 1));
    assert_eq!(behaviours.refused[0].1.code.as_deref(), Some("E0599"));
    assert!(behaviours.are_alike());
}

#[test]
fn the_same_seed_gives_the_same_inputs_and_another_one_others() {
    let spec = spec("pub fn f(x: &str, y: Vec<i32>) -> usize;", ONE);
    let source = "pub fn f(x: &str, y: Vec<i32>) -> usize { x.len() ^ y.len() }";
    let calls = |seed| {
        let options = Options { seed, ..Options::default() };
        compared_with(&spec, &[source], &options).observations.into_iter().map(|one| one.call).collect::<Vec<_>>()
    };
    let first = calls(1);
    assert_eq!(first, calls(1));
    assert_ne!(first, calls(2));
}

#[test]
fn answers_that_are_huge_or_endless_cost_little_and_are_told_apart() {
    let spec = spec("pub fn f(x: u32) -> String;", ONE);
    let long =
        |letter: char| format!("pub fn f(x: u32) -> String {{ \"{letter}\".repeat(1_000_000 + (x % 2) as usize) }}");
    let behaviours = compared_with(
        &spec,
        &[
            &long('a'),
            &long('b'),
            &long('a'),
            "pub fn f(x: u32) -> String { println!(\"{}\", \"x\".repeat(1 << 20)); \"c\".repeat(20_000_000) }",
            "pub fn f(x: u32) -> String { let mut all = vec![0_u64; 1]; loop { all.extend_from_within(..); } }",
        ],
        &Options { draws: 20, search: 20, splits: 1, ..Options::default() },
    );
    assert!(behaviours.clusters.contains(&vec![0, 2]), "{:?}", behaviours.clusters);
    assert_eq!(behaviours.clusters.len(), 4);
    assert!(behaviours.observations.iter().flat_map(|one| &one.outcomes).all(|outcome| outcome.text.len() < 5000));
}

#[test]
fn time_is_told_where_it_differs_and_nothing_is_where_it_does_not() {
    let spec = spec("pub fn f(xs: Vec<u32>) -> u32;", ONE);
    let source = |rounds: u32| {
        format!(
            "pub fn f(xs: Vec<u32>) -> u32 {{ let mut sum = 0_u32; for _ in 0..{rounds} {{ for x in &xs {{ \
             sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(*x)); }} }} sum & 0 }}"
        )
    };
    let sources = [source(1), source(1000)];
    let candidates = candidates(&spec, &[&sources[0], &sources[1]]);
    let all: Vec<&Candidate> = candidates.iter().collect();
    let checks = VALIDATOR.prepare(&spec, &[]).unwrap();
    let options = Options { draws: 60, search: 0, time: Duration::from_secs(30), ..Options::default() };
    let behaviours = compare(&VALIDATOR, &checks, &all, &options).unwrap();
    assert!(behaviours.are_alike());
    let times = times(&VALIDATOR, &checks, &all, &behaviours).unwrap().unwrap();
    // A thousand times the work, in CPU time: no load hides that.
    assert!(times[1].ratio_to(&times[0]).is_some_and(|ratio| ratio > 5.0), "{times:?}");
}
