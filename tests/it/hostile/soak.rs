//! Five hundred candidates, one after the other and side by side: nothing is left, and llmc does not grow.

use std::fs;

use llmc::candidate::Candidate;
use llmc::verdict::Verdict;

use super::case::For;
use super::trap::{self, Trap};

/// Resident memory of this process, in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A candidate that was not there before, and how it must end.
fn candidate(number: usize) -> (Candidate, &'static str) {
    let (body, verdict) = match number % 25 {
        1 => ("std::process::exit(0)", "test/crashed/misinterpretation/example-1"),
        3 => ("std::process::abort()", "test/crashed/misinterpretation/example-1"),
        5 => ("panic!(\"no\")", "test/failed/misinterpretation/example-1"),
        7 => ("n.doubled()", "compile/failed/hallucination/E0599"),
        9 => (
            "std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(600))); n + 3",
            "test/failed/misinterpretation/example-1",
        ),
        11 => (
            "std::net::TcpListener::bind(\"127.0.0.1:0\").map_or(n * 2, |_| 0)",
            "test/crashed/policy-violation/example-1",
        ),
        13 => (
            "let _ = std::process::Command::new(\"/bin/sleep\").arg(\"600\").spawn(); n",
            "test/failed|crashed/misinterpretation|policy-violation/example-1",
        ),
        15 => ("let _ = std::fs::write(\"left-behind\", \"x\"); n * 3", "test/failed/misinterpretation/example-1"),
        17 => ("let all = vec![1u8; 1 << 40]; all.len() as i64 + n", "test/resource/resource/example-1"),
        19 => ("\"text\"", "compile/failed/miscompile/E0308"),
        21 => (
            "fn deep(n: i64) -> i64 { if n == i64::MIN { 0 } else { 1 + deep(n - 1) } } deep(n)",
            "test/crashed/resource/example-1",
        ),
        23 => ("println!(\"{}\", \"x\".repeat(8 << 20)); n * 2", "test/resource/resource/example-1"),
        _ => ("n * 2", super::case::PASSES),
    };
    let source = format!("pub fn double(n: i64) -> i64 {{ let _number = {number}; {body} }}");
    (Candidate { source, notes: Vec::new() }, verdict)
}

#[test]
fn after_five_hundred_candidates_nothing_is_left_and_nothing_has_grown() {
    const EACH: usize = 50;
    let trap = Trap::new();
    let mut wrong = Vec::new();
    let mut sizes = Vec::new();
    for round in 0..10 {
        let candidates: Vec<(Candidate, &str)> = (round * EACH..(round + 1) * EACH).map(candidate).collect();
        // Two batches at a time, as a queue with two workers has it.
        let (left, right) = candidates.split_at(EACH / 2);
        let judge = |part: &[(Candidate, &str)]| -> Vec<Verdict> {
            trap.judge(For::Double, &part.iter().map(|(candidate, _)| candidate).collect::<Vec<_>>())
        };
        let verdicts = std::thread::scope(|scope| {
            let right = scope.spawn(|| judge(right));
            let mut all = judge(left);
            all.extend(right.join().unwrap());
            all
        });
        for ((candidate, allowed), verdict) in candidates.iter().zip(&verdicts) {
            wrong.extend(trap.mistakes(&candidate.source, &[allowed], verdict));
        }
        let files = fs::read_dir(trap.work()).unwrap().count();
        sizes.push((trap::descriptors(), resident(), files));
        println!("round {round}: {:?}", sizes[round]);
    }
    // The first rounds fill caches; from then on nothing may grow.
    let ((descriptors, memory, files), (descriptors_end, memory_end, files_end)) = (sizes[1], sizes[9]);
    assert!(descriptors_end <= descriptors, "{descriptors} descriptors were open, then {descriptors_end}");
    assert!(files_end <= files, "{files} files, then {files_end}");
    assert!(memory_end <= memory + (4 << 10), "{memory} KiB were resident, then {memory_end}");
    trap.close(wrong);
}
