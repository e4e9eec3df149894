//! Candidates whose answers depend on more than their input: on time, chance, order, or on being tested.

use super::case::{Case, For, PASSES};

const FLAKY: &str = "test/flaky/flaky/*";

pub(super) fn moods() -> Vec<Case> {
    let positive = |name: &str, body: &str| {
        Case::new(name, For::Positive, format!("pub fn positive(n: u8) -> u64 {{ let _ = n; {body} }}"))
            .both(FLAKY)
            .user("policy/failed/policy-violation/*")
    };
    vec![
        positive("a random number", "use std::hash::{BuildHasher, RandomState}; RandomState::new().hash_one(n) | 1"),
        positive("the order of a map", "let all: std::collections::HashSet<u64> = (1..100).collect(); all.iter().fold(1, |sum, x| (sum * 31 + x) % 1_000_003) + 1"),
        positive("the time", "std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1"),
        positive("how long it took", "let start = std::time::Instant::now(); std::thread::yield_now(); start.elapsed().as_nanos() as u64 + 1"),
        positive("an address", "let here = Box::new(n); (&*here as *const u8 as usize as u64) | 1"),
        positive("the address of a function", "(positive as fn(u8) -> u64 as usize as u64) | 1"),
        positive("the number of its process", "u64::from(std::process::id())"),
        positive("the name of a thread", "let id = format!(\"{:?}\", std::thread::current().id()); id.bytes().map(u64::from).sum::<u64>() + std::process::id() as u64"),
        positive("a counter", "use std::sync::atomic::{AtomicU64, Ordering}; static CALLS: AtomicU64 = AtomicU64::new(1); CALLS.fetch_add(1, Ordering::Relaxed)"),
        positive("what it was asked before", "use std::sync::atomic::{AtomicU64, Ordering}; static LAST: AtomicU64 = AtomicU64::new(9); LAST.swap(u64::from(n), Ordering::Relaxed)"),
        positive("a counter of its thread", "std::thread_local! { static CALLS: std::cell::Cell<u64> = const { std::cell::Cell::new(1) }; } CALLS.with(|calls| { calls.set(calls.get() + 1); calls.get() })"),
        Case::double("right for the first calls", "use std::sync::atomic::{AtomicU64, Ordering}; static CALLS: AtomicU64 = AtomicU64::new(0);\nif CALLS.fetch_add(1, Ordering::Relaxed) < 3 { n * 2 } else { 0 }")
            .both("property/failed/misinterpretation/property-twice")
            .both("*/flaky/flaky/*"),
        Case::double("right after the first call", "use std::sync::atomic::{AtomicU64, Ordering}; static CALLS: AtomicU64 = AtomicU64::new(0);\nif CALLS.fetch_add(1, Ordering::Relaxed) > 0 { n * 2 } else { 0 }")
            .both("test/failed/misinterpretation/example-1"),
        Case::new("right in one order", For::Unsafe, "pub fn double(n: i64) -> i64 { use std::sync::atomic::{AtomicUsize, Ordering}; static CALLS: AtomicUsize = AtomicUsize::new(0);\nlet _ = n; [4, 10, -42][CALLS.fetch_add(1, Ordering::Relaxed) % 3] }")
            .both("test/flaky/flaky/*"),
        Case::new("right in one order, with a lock", For::Unsafe, "pub fn double(_n: i64) -> i64 { static ANSWERS: std::sync::Mutex<Vec<i64>> = std::sync::Mutex::new(Vec::new());\nlet mut all = ANSWERS.lock().unwrap(); if all.is_empty() { all.extend([-42, 10, 4]); } all.pop().unwrap() }")
            .both("test/flaky/flaky/*"),
        Case::double("wrong when it is not watched", "if cfg!(debug_assertions) { n * 2 } else { 0 }")
            .user("policy/failed/policy-violation/*")
            .user(PASSES)
            .engine(PASSES),
        Case::double("wrong unless it is built for tests", "if cfg!(test) { 0 } else { n * 2 }").user("policy/failed/policy-violation/*").both(PASSES),
        Case::double("wrong for those who know its name", "if std::env::args().count() > 99 { 0 } else { n * 2 }").user("policy/failed/policy-violation/*").both(PASSES),
        // State that changes no answer is nobody's business.
        Case::double("a cache", "use std::collections::HashMap; use std::sync::Mutex; static KNOWN: Mutex<Option<HashMap<i64, i64>>> = Mutex::new(None);\nlet mut known = KNOWN.lock().unwrap(); *known.get_or_insert_default().entry(n).or_insert(n * 2)")
            .both(PASSES),
    ]
}
