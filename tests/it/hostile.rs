//! Candidates that are out to cheat, to steal, to harm or to stay: each with the verdicts it may get, and the proof that
//! nothing leaked, lingered or was harmed.
//!
//! A case goes in twice: as a user's would (the policy applies), and straight into the engine, as if the policy had been
//! fooled; then compiler, judge and sandbox must hold alone. Attacks that steal or harm are first made outside of the
//! sandbox, where they must succeed; cheats are first shown to a judge that reads the exit code, which they must fool:
//! else their failure would mean nothing.

mod bombs;
mod case;
mod cheats;
mod files;
mod honest;
mod neighbours;
mod reach;
mod soak;
mod state;
mod trap;

use llmc::candidate::Candidate;
use llmc::verdict::Verdict;

use case::{Case, For};
use trap::Trap;

/// The candidate that a user's text becomes; else why not.
fn as_a_users(case: &Case, text: &str) -> Result<Candidate, Verdict> {
    llmc::candidate::from_source(text, &case.spec.spec())
}

/// Judges cases one by one.
fn alone(cases: Vec<Case>) {
    let trap = Trap::new();
    let mut wrong = trap.policy(&cases);
    for case in &cases {
        wrong.extend(trap.batch(case.spec, &[case]));
    }
    trap.close(wrong);
}

/// Judges all cases of each spec together, with honest candidates between them.
fn together(cases: Vec<Case>) {
    let trap = Trap::new();
    let mut wrong = trap.policy(&cases);
    for spec in For::ALL {
        let mine: Vec<&Case> = cases.iter().filter(|case| case.spec == spec).collect();
        if !mine.is_empty() {
            wrong.extend(trap.batch(spec, &mine));
        }
    }
    trap.close(wrong);
}

/// A bomb that breaks the compiler soon, and so the whole batch.
const ONE_BOMB: &str = "a constant of four gigabytes";

/// Every case there is; of the bombs for the compiler, which take long and have a test of their own, one.
fn all() -> Vec<Case> {
    let tables = [
        reach::compile_time(),
        reach::run_time(),
        reach::system_calls(),
        bombs::compiler().into_iter().filter(|case| case.name == ONE_BOMB).collect(),
        bombs::process(),
        cheats::forgeries(),
        cheats::shadows(),
        state::moods(),
        files::forged(),
        honest::programs(),
    ];
    tables.into_iter().flatten().collect()
}

#[test]
fn the_attacks_work_where_there_is_no_sandbox() {
    let trap = Trap::new();
    let cases: Vec<Case> = all().into_iter().filter(|case| case.control).collect();
    assert!(cases.len() > 25, "only {} attacks have a control", cases.len());
    trap.controls(&cases);
}

#[test]
fn the_cheats_fool_a_judge_that_reads_the_exit_code() {
    let trap = Trap::new();
    let cases: Vec<Case> = all().into_iter().filter(|case| case.fools_exit_code).collect();
    assert!(cases.len() >= 13, "only {} cheats have a control", cases.len());
    trap.fooled(&cases);
}

#[test]
fn nothing_is_read_when_a_candidate_is_compiled() {
    together(reach::compile_time());
}

#[test]
fn nothing_is_reached_when_a_candidate_runs() {
    together(reach::run_time());
}

#[test]
fn system_calls_reach_nothing() {
    together(reach::system_calls());
}

#[test]
fn bombs_for_the_compiler_are_told() {
    together(bombs::compiler());
}

#[test]
fn deep_and_long_texts_are_told() {
    together(bombs::deep());
}

#[test]
fn bombs_for_the_process_are_told() {
    together(bombs::process());
}

#[test]
fn where_files_are_allowed_there_are_none() {
    together(files::allowed());
}

#[test]
fn reports_beside_the_checks_are_not_forged() {
    together(files::forged());
}

#[test]
fn forgeries_do_not_pass() {
    together(cheats::forgeries());
}

#[test]
fn shadows_do_not_pass() {
    together(cheats::shadows());
}

#[test]
fn behaviour_that_differs_under_test_is_seen() {
    together(state::moods());
}

#[test]
fn honest_programs_pass() {
    together(honest::programs());
}

#[test]
fn all_of_them_in_one_batch_get_their_own_verdicts() {
    let apart = [For::Unsafe, For::Secret, For::Generic, For::Together];
    // Each of these has a compilation of its own whatever it is judged with, as in the tests above: a few will do.
    let (apart, shared): (Vec<Case>, Vec<Case>) = all().into_iter().partition(|case| apart.contains(&case.spec));
    together(shared.into_iter().chain(apart.into_iter().step_by(10)).collect());
}

/// Each has its own compilation then, so that it is a sample: one of five.
#[test]
fn alone_they_get_the_verdicts_that_they_get_in_a_batch() {
    alone(all().into_iter().step_by(5).collect());
}

#[test]
#[ignore = "takes minutes"]
fn every_one_of_them_alone() {
    let bombs = bombs::compiler().into_iter().filter(|case| case.name != ONE_BOMB);
    alone(all().into_iter().chain(bombs).collect());
}

#[test]
fn no_verdict_names_a_folder_of_this_machine() {
    let trap = Trap::new();
    let links = "#[link(name = \"llmc_no_such_library\")] extern \"C\" {}\npub fn double(n: i64) -> i64 { n }";
    let reads = "pub fn double(n: i64) -> i64 { n + include_str!(\"no-such-file\").len() as i64 }";
    let climbs = "#[path = \"../other.rs\"] mod other;\npub fn double(n: i64) -> i64 { n }";
    let crates = "extern crate nothing_there;\npub fn double(n: i64) -> i64 { n }";
    let cases = [links, reads, climbs, crates].map(|text| Case::new(text, For::Double, text));
    // Errors that point into std, panics in it, a linker that lacks a symbol, a compiler that gives up.
    let body = |text: &str| Case::double(text, text);
    let more = [
        body("vec![n].iter().sum::<String>()"),
        body("fn sorted<T: Ord>(_: T) -> i64 { 0 } sorted(1.5)"),
        body("std::thread::spawn({ let x = std::rc::Rc::new(n); move || *x }).join().unwrap()"),
        body("Vec::<u64>::with_capacity(usize::MAX - n as usize).len() as i64"),
        body("std::cell::RefCell::new(n).try_borrow_mut().map(|_| [0i64; 0][n as usize]).unwrap()"),
        body(
            "(std::env::args().next().unwrap() + &format!(\"{:?} {:?}\", std::env::current_exe(), std::env::current_dir())).parse::<i64>().expect(&std::env::args().next().unwrap())",
        ),
        body("panic!(\"{:?} {:?} {:?}\", std::env::args(), std::env::current_exe(), std::env::current_dir())"),
        Case::raw(
            "a missing symbol",
            "extern \"C\" { fn llmc_no_such_symbol(); }",
            "unsafe { llmc_no_such_symbol() }; n",
        ),
        Case::new("a missing crate", For::Double, "use std::nothing::Here;\npub fn double(n: i64) -> i64 { n }"),
        Case::new("a missing file", For::Double, "mod elsewhere;\npub fn double(n: i64) -> i64 { n }"),
        Case::new("a macro that panics in it", For::Double, "include!(concat!(env!(\"HOME\"), \"/x\"));"),
    ];
    let cases: Vec<Case> = cases.into_iter().chain(more).collect();
    let told = trap.paths(&cases);
    trap.close(told);
}

#[test]
fn deep_and_long_texts_do_not_overflow_the_parsers() {
    let double = For::Double.spec();
    for (name, text) in bombs::nestings(10_000) {
        // Whatever it says, it says it.
        let _ = llmc::candidate::from_source(&text, &double);
        let fenced = format!("Here:\n```rust\n{text}\n```\n");
        let finish = llmc::model::Finish::Stop;
        let _ = llmc::candidate::from_completion(&fenced, finish, &double);
        let _ = llmc::candidate::normalised(&Candidate { source: text, notes: Vec::new() });
        println!("{name} is survived");
    }
}
