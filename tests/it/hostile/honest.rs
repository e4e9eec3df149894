//! Programs that do no wrong, with what may look like it.

use super::case::{Case, For, PASSES};

pub(super) fn programs() -> Vec<Case> {
    let cases = vec![
        Case::double(
            "threads",
            "let parts: Vec<_> = (0..8).map(|at| std::thread::spawn(move || n / 8 + if at < n.rem_euclid(8) { 1 } else { 0 })).collect();\nlet _sum: i64 = parts.into_iter().map(|part| part.join().unwrap()).sum();\nn * 2",
        ),
        Case::double(
            "scoped threads and channels",
            "let (sender, receiver) = std::sync::mpsc::channel();\nstd::thread::scope(|scope| for _ in 0..2 { let sender = sender.clone(); scope.spawn(move || sender.send(n).unwrap()); });\ndrop(sender); receiver.iter().sum()",
        ),
        Case::double(
            "maps",
            "use std::collections::{BTreeMap, HashMap, HashSet};\nlet mut map: HashMap<i64, i64> = HashMap::new(); for at in 0..100 { map.insert(at, at); } map.insert(n, n);\nlet set: HashSet<i64> = map.keys().copied().collect(); let tree: BTreeMap<i64, i64> = map.into_iter().collect();\nif set.contains(&n) { tree[&n] * 2 } else { 0 }",
        ),
        Case::double(
            "depth",
            "fn deep(n: i64) -> i64 { if n == 0 { 0 } else { 1 + deep(n - 1) } }\ndeep(20_000) - 20_000 + n * 2",
        ),
        Case::double(
            "panics that it catches",
            "let caught = std::panic::catch_unwind(|| { if n != i64::MAX { panic!(\"on purpose\") } n });\nif caught.is_err() { n * 2 } else { 0 }",
        ),
        Case::double(
            "panics in a thread",
            "let ended = std::thread::spawn(|| { let all: Vec<i64> = Vec::new(); all[0] }).join();\nif ended.is_err() { n * 2 } else { 0 }",
        ),
        Case::double(
            "much memory",
            "use std::sync::atomic::{AtomicBool, Ordering}; static DONE: AtomicBool = AtomicBool::new(false);\nif DONE.swap(true, Ordering::Relaxed) { return n * 2; }\nlet all = vec![1u8; 150 << 20];\nall.iter().step_by(4096).map(|x| i64::from(*x)).sum::<i64>() * 0 + n * 2",
        ),
        Case::double(
            "a lazy static",
            "use std::sync::{LazyLock, OnceLock}; static TWO: LazyLock<i64> = LazyLock::new(|| \"2\".parse().unwrap()); static ONCE: OnceLock<i64> = OnceLock::new();\nn * *TWO * ONCE.get_or_init(|| 1)",
        ),
        Case::double(
            "heavy work",
            "use std::sync::atomic::{AtomicBool, Ordering}; static DONE: AtomicBool = AtomicBool::new(false);\nif DONE.swap(true, Ordering::Relaxed) { return n * 2; }\nlet mut sieve = vec![true; 2_000_000]; for at in 2..1500usize { if sieve[at] { let mut more = at * at; while more < sieve.len() { sieve[more] = false; more += at; } } }\nif sieve[1_999_993] { n * 2 } else { 0 }",
        ),
        Case::double("words", "println!(\"doubling {n}\"); eprintln!(\"still {n}\"); print!(\"\"); n * 2"),
        Case::double("a pause", "if n == 2 { std::thread::sleep(std::time::Duration::from_millis(2)); } n * 2"),
        Case::double("its own macro", "macro_rules! twice { ($x:expr) => { $x + $x } }\ntwice!(n)"),
        Case::double(
            "its own helpers and traits",
            "trait Double { fn twice(&self) -> i64; } impl Double for i64 { fn twice(&self) -> i64 { self * 2 } }\nlet f: Box<dyn Fn(i64) -> i64> = Box::new(|x| x.twice()); f(n)",
        ),
        Case::double(
            "shared and counted",
            "use std::{cell::RefCell, rc::Rc}; let shared = Rc::new(RefCell::new(n)); let other = Rc::clone(&shared); *other.borrow_mut() *= 2; let x = *shared.borrow(); x",
        ),
        Case::double(
            "a destructor",
            "struct Loud(i64); impl Drop for Loud { fn drop(&mut self) { eprintln!(\"dropped {}\", self.0) } }\nlet loud = Loud(n); loud.0 * 2",
        ),
        Case::double(
            "a constant table",
            "const TABLE: [i64; 256] = { let mut all = [0; 256]; let mut at = 0; while at < 256 { all[at] = 2 * at as i64; at += 1; } all };\nif (0..256).contains(&n) { TABLE[n as usize] } else { n * 2 }",
        ),
        Case::double(
            "text that names forbidden things",
            "let text = \"std::fs::read(\\\"/etc/passwd\\\") unsafe { include_str!() } std::process::exit(0)\"; n * 2 + (text.len() as i64) * 0",
        ),
        Case::new(
            "its own module and tests",
            For::Double,
            "mod inner { use super::*; pub fn twice(n: i64) -> i64 { one() * n * 2 } }\nfn one() -> i64 { 1 }\npub fn double(n: i64) -> i64 { inner::twice(n) }",
        ),
        Case::new(
            "macros of its own names",
            For::Double,
            "macro_rules! k0 { ($x:expr) => { $x * 2 } }\nmod k1 { pub fn k2(n: i64) -> i64 { k0!(n) } }\npub fn double(n: i64) -> i64 { k1::k2(n) }",
        ),
        Case::new(
            "a conversion of its own",
            For::Double,
            "struct Twice(i64); impl From<Twice> for i64 { fn from(twice: Twice) -> i64 { twice.0 * 2 } }\npub fn double(n: i64) -> i64 { Twice(n).into() }",
        ),
    ];
    let mut cases: Vec<Case> = cases.into_iter().map(|case| case.both(PASSES)).collect();
    for spec in For::ALL {
        cases.push(Case::new(format!("as {spec:?} wants it"), spec, spec.honest(1000)).both(PASSES));
    }
    cases
}
