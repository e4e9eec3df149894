//! Candidates judged together: each gets its own verdict, whatever stands beside it.

use std::path::Path;
use std::sync::Arc;

use llmc::candidate::Candidate;
use llmc::sandbox::Limits;
use llmc::spec::{Policy, Profile, Spec};
use llmc::toolchain::Toolchain;
use llmc::validate::{Queue, Validator};
use llmc::verdict::{Class, Outcome, Phase, Verdict};

use crate::validate::{VALIDATOR, assert_verdict, candidate, double, prepare, returns, spec};

fn judge(spec: &Spec, sources: &[String]) -> Vec<Verdict> {
    judge_with(&VALIDATOR, spec, sources)
}

fn judge_with(validator: &Validator, spec: &Spec, sources: &[String]) -> Vec<Verdict> {
    let candidates: Vec<Candidate> = sources.iter().map(|source| candidate(source)).collect();
    let candidates: Vec<&Candidate> = candidates.iter().collect();
    validator.judge_all(&validator.prepare(spec, &[]).unwrap(), &candidates).unwrap()
}

/// A program that doubles, unlike any other of these.
fn right(number: usize) -> String {
    format!("pub fn double(n: i64) -> i64 {{ let many = {number}; n * 2 + many - many }}\n")
}

fn assert_each(sources: &[String], verdicts: &[Verdict], hostile: &[usize]) {
    for (number, verdict) in verdicts.iter().enumerate() {
        let honest = !hostile.contains(&number);
        assert_eq!(verdict.is_pass(), honest, "{number}: {}\n{verdict:#?}", sources[number]);
    }
}

#[test]
fn each_of_many_gets_the_verdict_that_it_gets_alone() {
    let wrong = [
        "pub fn double(n: i64) -> i64 { n + n + 1 }",
        "pub fn double(n: i64) -> i64 { missing(n) }",
        "pub fn double(n: i64) -> i64 { let s: String = n; s }",
        "pub fn double(n: i64) -> i64 { let v = vec![n]; let w = v; v[0] + w[0] }",
        "use std::collections::Nothing; pub fn double(n: i64) -> i64 { n * 2 }",
        "pub fn double(n: i64) -> i64 { panic!(\"no {n}\") }",
        "pub fn double(n: i64) -> i64 { std::process::exit(n as i32 - n as i32) }",
        "pub fn double(n: i64) -> i64 { if n == 0 { 0 } else { 1 + double(n) } }",
        "const N: usize = [1, 2][2]; pub fn double(n: i64) -> i64 { n * N as i64 }",
        "pub fn double(n: i64) -> i64 { unsafe { std::hint::unreachable_unchecked() } }",
    ];
    let mut sources: Vec<String> = (0..20).map(right).collect();
    sources.extend(wrong.iter().map(ToString::to_string));
    let together = judge(&double(), &sources);
    assert_each(&sources, &together, &(20..30).collect::<Vec<_>>());
    for (source, together) in sources.iter().zip(&together).skip(19) {
        let alone = judge(&double(), std::slice::from_ref(source)).remove(0);
        assert_eq!(together, &alone, "{source}");
    }
}

#[test]
fn what_breaks_the_compiler_is_charged_to_the_candidate_that_did_it() {
    let toolchain = Toolchain::find(None).unwrap();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let second = std::time::Duration::from_secs(1);
    let compile = Limits { cpu: second * 2, wall: second * 10, ..Limits::COMPILE };
    let validator = Validator::new(toolchain, scratch.path().join("cache"), scratch.path().join("work"))
        .limits(compile, Limits::RUN);
    // Types that double in size with each step, without an end that the compiler sees.
    let bomb = "trait Grow { fn go(n: i64) -> i64; }
        struct Leaf; struct Pair<A, B>(A, B);
        impl Grow for Leaf { fn go(n: i64) -> i64 { n } }
        impl<A: Grow, B: Grow> Grow for Pair<A, B> {
            fn go(n: i64) -> i64 { if n < 2 { n } else { <Pair<Pair<A, A>, Pair<B, B>> as Grow>::go(n - 1) } } }
        pub fn double(n: i64) -> i64 { <Pair<Leaf, Leaf> as Grow>::go(n) * 2 }";
    let mut sources: Vec<String> = (0..12).map(right).collect();
    sources.insert(5, bomb.into());
    let verdicts = judge_with(&validator, &double(), &sources);
    assert_each(&sources, &verdicts, &[5]);
    assert_eq!(verdicts[5].phase, Phase::Compile, "{:?}", verdicts[5]);
    assert_eq!(std::fs::read_dir(scratch.path().join("work")).unwrap().count(), 0);
}

#[test]
fn candidates_cannot_touch_each_other() {
    // Each of these changes what compiles elsewhere in its crate.
    let hostile = [
        "pub struct X; impl From<X> for String { fn from(_: X) -> String { String::new() } }
         pub fn double(n: i64) -> i64 { n * 2 }",
        "pub struct X; impl PartialEq<X> for char { fn eq(&self, _: &X) -> bool { true } }
         pub fn double(n: i64) -> i64 { n * 2 }",
        "pub struct X; impl std::ops::Mul<X> for i64 { type Output = i64; fn mul(self, _: X) -> i64 { self } }
         pub fn double(n: i64) -> i64 { n * 2 }",
    ];
    // Each of these needs that there is one impl only.
    let needy = [
        "pub fn double(n: i64) -> i64 { let c = 'x'; if c == 'y'.into() { 0 } else { n * 2 } }",
        "pub fn double(n: i64) -> i64 { n * 2 + 0 * (1_i64).min(n) }",
    ];
    let mut sources: Vec<String> = (0..3).map(right).collect();
    sources.extend(hostile.iter().chain(&needy).map(ToString::to_string));
    assert_each(&sources, &judge(&double(), &sources), &[]);
}

#[test]
fn an_item_of_another_type_than_the_spec_wants_is_refused_beside_others() {
    let mut sources: Vec<String> = (0..3).map(right).collect();
    sources.insert(1, "#[allow(non_camel_case_types)] type i64 = i32; pub fn double(n: i64) -> i64 { n * 2 }".into());
    let verdicts = judge(&double(), &sources);
    assert_each(&sources, &verdicts, &[1]);
    assert_verdict(&verdicts[1], Phase::Compile, Outcome::Failed, Class::FormatViolation, "signature");
}

#[test]
fn hidden_state_and_chance_are_flaky() {
    let steps = "use std::sync::atomic::{AtomicI64, Ordering};
        static CALLS: AtomicI64 = AtomicI64::new(0);
        pub fn double(n: i64) -> i64 { let call = CALLS.fetch_add(1, Ordering::SeqCst); if call == 1 { n * 2 } else { 4 } }";
    let order = "use std::sync::atomic::{AtomicI64, Ordering};
        static LAST: AtomicI64 = AtomicI64::new(0);
        pub fn double(n: i64) -> i64 { let last = LAST.swap(n, Ordering::SeqCst); if last > n { 0 } else { n * 2 } }";
    let verdicts = judge(&double(), &[right(1), steps.into(), order.into()]);
    assert!(verdicts[0].is_pass(), "{verdicts:#?}");
    assert!(!verdicts[1].is_pass(), "{verdicts:#?}");
    assert_verdict(&verdicts[2], Phase::Test, Outcome::Flaky, Class::Flaky, "example-1");
    let hash = "use std::collections::HashSet;
        pub fn shuffled(n: i64) -> Vec<i64> { (0..n).collect::<HashSet<_>>().into_iter().collect() }";
    let shuffled =
        Spec { examples: vec![returns("shuffled(40).len()", "40")], ..spec("pub fn shuffled(n: i64) -> Vec<i64>") };
    let verdicts = judge(&shuffled, &[hash.into()]);
    assert_verdict(&verdicts[0], Phase::Test, Outcome::Flaky, Class::Flaky, "example-1");
}

#[test]
fn debug_and_release_must_agree_where_the_spec_says_so() {
    let both = Policy { profiles: vec![Profile::Debug, Profile::Release], ..Policy::default() };
    let spec = Spec { policy: both, ..double() };
    let sources = [
        right(1),
        "pub fn double(n: i64) -> i64 { if cfg!(debug_assertions) { n * 2 } else { n * 3 } }".into(),
        "pub fn double(n: i64) -> i64 { std::panic::catch_unwind(|| { let big = u8::MAX; \
         std::hint::black_box(big) + std::hint::black_box(1) }).map_or(n * 2, |_| n) }"
            .into(),
    ];
    let verdicts = judge(&spec, &sources);
    assert_each(&sources, &verdicts, &[1, 2]);
    for verdict in &verdicts[1..] {
        assert_verdict(verdict, Phase::Test, Outcome::Failed, Class::Misinterpretation, "example-1");
        assert!(verdict.detail.starts_with("only in a release build"), "{}", verdict.detail);
    }
}

#[test]
fn verdicts_are_remembered_until_something_they_depend_on_changes() {
    let toolchain = Toolchain::find(None).unwrap();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cache = scratch.path().join("cache");
    let validator = || Validator::new(toolchain.clone(), &cache, scratch.path().join("work"));
    let sources = [right(1), "pub fn double(n: i64) -> i64 { n }".to_owned()];
    let first = judge_with(&validator(), &double(), &sources);
    let kept: Vec<_> = std::fs::read_dir(cache.join("verdicts")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    // What is remembered is told again as it stands in the file.
    let text = std::fs::read_to_string(&kept[0]).unwrap();
    assert_eq!(text.lines().count(), 2);
    std::fs::write(&kept[0], text.replace("example-1", "example-7")).unwrap();
    let second = judge_with(&validator(), &double(), &sources);
    assert_eq!(first[0], second[0]);
    assert_eq!(second[1].code.as_deref(), Some("example-7"));
    let afresh = judge_with(&validator().afresh(true), &double(), &sources);
    assert_eq!(afresh, first);
    let other = Spec { examples: vec![returns("double(3)", "6")], ..double() };
    assert_eq!(judge_with(&validator(), &other, &sources)[1].code.as_deref(), Some("example-1"));
}

#[tokio::test]
async fn a_queue_gives_every_candidate_its_verdict_once() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let validator =
        Validator::new(Toolchain::find(None).unwrap(), scratch.join("validate-cache"), scratch.join("validate-work"));
    let checks = Arc::new(prepare(&double()));
    let mut queue = Queue::new(Arc::new(validator.afresh(true)), checks, 2);
    for id in 0..30 {
        // Every third is the first one again, in another layout.
        let source = match id % 3 {
            0 => format!("pub fn double(n: i64) -> i64 {{{}n * 2 }}\n", "\n".repeat(id)),
            1 => right(id),
            _ => format!("pub fn double(n: i64) -> i64 {{ n * 2 + {id} }}"),
        };
        queue.submit(id, candidate(&source));
    }
    let mut seen = Vec::new();
    while let Some(judged) = queue.next().await {
        let judged = judged.unwrap();
        assert_eq!(judged.verdict.is_pass(), judged.id % 3 != 2, "{judged:?}");
        assert_eq!(judged.same_as, (judged.id % 3 == 0 && judged.id > 0).then_some(0));
        seen.push(judged.id);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert_eq!(queue.outstanding(), 0);
}
