//! Proposals: made by `llmc regen` and by builds that want review; accepted, rejected, and looked at in a terminal.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::pty::Terminal;
use crate::server::{Reply, Server};

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
properties:
  - name: even
    forall: { n: i16 }
    holds: double(n as i32) % 2 == 0
sampling: { samples: 4 }
"#;

const TIMES: &str = "pub fn double(n: i32) -> i32 {\n    n * 2\n}";
/// The same behaviour.
const PLUS: &str = "pub fn double(n: i32) -> i32 {\n    n + n\n}";
/// Another one, on inputs that only the property has.
const OTHER: &str = "pub fn double(n: i32) -> i32 {\n    if n > 100 { 0 } else { n * 2 }\n}";

const ARTIFACT: [&str; 6] = [
    "generated/Cargo.toml",
    "generated/provenance/double.json",
    "generated/src/double.rs",
    "generated/src/lib.rs",
    "generated/tests/double.rs",
    "specs/double.yaml",
];
/// Without what lists the artifacts, which stays as it is.
const OWN: [&str; 3] = ["generated/provenance/double.json", "generated/src/double.rs", "generated/tests/double.rs"];

/// A workspace whose server says what it is told to say, at the moment.
struct Bench {
    env: TestEnv,
    server: Server,
    says: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new() -> Self {
        let says = Arc::new(Mutex::new(vec![TIMES.to_owned()]));
        let server = Server::answering({
            let says = says.clone();
            move |_, number| {
                let says = says.lock().unwrap();
                Reply::chat(&format!("```rust\n{}\n```\n", says[number % says.len()]))
            }
        });
        let env = TestEnv::with_server(&server.url);
        env.write("specs/double.yaml", SPEC);
        Self { env, server, says }
    }

    /// One with an artifact, committed, and changes of the user's beside it.
    fn built() -> Self {
        let bench = Self::new();
        bench.env.llmc(&["build"]).expect(0);
        bench.dirty();
        bench
    }

    /// One with a proposal that behaves as the artifact does.
    fn proposed() -> Self {
        let bench = Self::built();
        bench.say(&[PLUS]);
        assert_eq!(bench.json(&["regen", "double"], 0).finished()["status"], "proposed");
        bench
    }

    /// What the user has staged, changed and not told git of.
    fn dirty(&self) {
        self.env.write("mine.txt", "committed");
        self.env.git(&["add", "mine.txt"]);
        self.env.git(&["commit", "-qm", "mine"]);
        self.env.write("mine.txt", "changed");
        self.env.write("staged.txt", "staged");
        self.env.git(&["add", "staged.txt"]);
    }

    fn say(&self, what: &[&str]) {
        *self.says.lock().unwrap() = what.iter().map(|text| (*text).to_owned()).collect();
    }

    fn json(&self, arguments: &[&str], code: i32) -> Run {
        self.env.llmc(&[arguments, &["--message-format", "json"]].concat()).expect(code)
    }

    fn event(&self, run: &Run, name: &str) -> Value {
        let found = run.events().into_iter().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} event\n{run}"))
    }

    fn head(&self) -> String {
        self.env.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The user's own changes are there as they were, and nothing else is.
    #[track_caller]
    fn is_whole(&self) {
        assert_eq!(self.env.git(&["status", "--porcelain"]), " M mine.txt\nA  staged.txt\n?? llmc.yaml\n");
        self.env.git(&["fsck", "--strict"]);
        assert!(!self.env.path(".git/index.lock").exists());
        let left = std::fs::read_dir(self.env.path(".llmc")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("write-")), "a write was not finished");
    }

    fn waits(&self) -> bool {
        self.env.path(".llmc/proposals/double").exists()
    }

    fn code(&self) -> String {
        self.env.read("generated/src/double.rs")
    }

    fn seeds(&self) -> Vec<u64> {
        self.server.received().iter().map(|request| request.json()["seed"].as_u64().unwrap()).collect()
    }
}

#[test]
fn regen_leaves_a_proposal_that_says_first_how_it_behaves_and_commits_nothing() {
    let bench = Bench::built();
    let (head, code) = (bench.head(), bench.code());
    bench.say(&[PLUS]);
    let run = bench.json(&["regen", "double"], 0);
    let finished = run.finished();
    assert_eq!((&finished["status"], &finished["commit"]), (&"proposed".into(), &Value::Null));
    assert_eq!(finished["chosen"]["path"], ".llmc/proposals/double/src/double.rs");
    let proposal = bench.event(&run, "proposal");
    assert_eq!((&proposal["behaves"], &proposal["origin"]), (&"same".into(), &"regen".into()));
    assert_eq!(
        (&proposal["lines_before"], &proposal["lines"], &proposal["stale"]),
        (&3.into(), &3.into(), &Value::Null)
    );
    // 11 and 7 for each of the four.
    assert_eq!((&proposal["tokens"], &finished["tokens"]), (&72.into(), &28.into()));
    assert_eq!((bench.head(), bench.code()), (head, code));
    bench.is_whole();
    let folder = |path: &str| bench.env.read(&format!(".llmc/proposals/double/{path}"));
    assert!(folder("src/double.rs").ends_with("pub fn double(n: i32) -> i32 {\n    n + n\n}\n"));
    assert!(folder("tests/double.rs").contains("double(2)"));
    assert_eq!(folder("spec.yaml"), SPEC);
    let record: Value = serde_json::from_str(&folder("proposal.json")).unwrap();
    assert_eq!((&record["format_version"], &record["digest"]), (&1.into(), &proposal["digest"]));

    // For people, too: behaviour before all else. A third run draws again, and takes the place of what waits.
    bench.say(&[OTHER]);
    let run = bench.env.llmc(&["regen", "double"]).expect(0);
    let at = run.stderr.find("Proposal double: it behaves otherwise than the artifact").expect(&run.stderr);
    assert!(run.stderr[at..].contains("3 -> 3 lines; sample"), "{run}");
    assert!(run.stderr[at..].contains("\n             double(") && run.stderr[at..].contains(" -> 0\n"), "{run}");
    assert_eq!(bench.event(&bench.json(&["review"], 0), "proposal")["behaves"], "differs");

    // No seed was sent twice: models give the same again for the same one.
    let seeds = bench.seeds();
    assert_eq!(seeds.iter().collect::<BTreeSet<_>>().len(), seeds.len(), "{seeds:?}");
    assert_eq!(seeds.len(), 12);
}

#[test]
fn the_same_program_is_no_proposal_and_neither_is_a_spec_that_is_not_up_to_date() {
    let bench = Bench::new();
    let run = bench.env.llmc(&["regen", "double"]).expect(1);
    assert!(run.stderr.contains("`double` has no artifact yet") && run.stderr.contains("`llmc build double`"), "{run}");
    bench.env.llmc(&["build"]).expect(0);
    bench.say(&["/// Twice.\npub fn double(n: i32) -> i32 { n * 2 } // so"]);
    let run = bench.json(&["regen", "double"], 0);
    assert_eq!((&run.finished()["status"], &run.finished()["sampled"]), (&"fresh".into(), &4.into()));
    assert!(bench.event(&run, "note")["message"].as_str().unwrap().contains("no change"), "{run}");
    assert!(!bench.waits());
    bench.env.write("specs/double.yaml", &SPEC.replace("Twice a number", "Two times a number"));
    let run = bench.env.llmc(&["regen", "double"]).expect(1);
    assert!(run.stderr.contains("`double` is not up to date"), "{run}");
    bench.env.write("specs/double.yaml", SPEC);
    bench.env.write("generated/src/double.rs", "// mine");
    assert!(bench.env.llmc(&["regen", "double"]).expect(6).stderr.contains("was edited by hand"));
}

#[test]
fn accept_makes_the_ordinary_commit_of_exactly_the_artifact() {
    let bench = Bench::proposed();
    let before = bench.head();
    let run = bench.json(&["accept", "double"], 0);
    let accepted = bench.event(&run, "accepted");
    assert_eq!(accepted["commit"], bench.head());
    assert_eq!(
        accepted["files"],
        serde_json::json!(["generated/src/double.rs", "generated/tests/double.rs", "generated/provenance/double.json"])
    );
    // The tests follow from the spec, and are as they were.
    assert_eq!(bench.env.committed(), [OWN[0], OWN[1]]);
    assert_eq!(bench.env.git(&["rev-parse", "HEAD~"]).trim(), before);
    bench.is_whole();
    assert!(bench.code().ends_with("n + n\n}\n") && !bench.waits());
    let message = bench.env.git(&["log", "-1", "--format=%s%n%(trailers)%an"]);
    assert!(
        message.starts_with("llmc: build double\nLlmc-Spec: specs/double.yaml\nLlmc-Model: openai/test\n"),
        "{message}"
    );
    bench.env.llmc(&["verify"]).expect(0);
    assert_eq!(bench.json(&["build", "--locked"], 0).finished()["status"], "fresh");
    let run = bench.env.llmc(&["accept", "double"]).expect(1);
    assert!(run.stderr.contains("no proposal waits for `double`"), "{run}");
    assert!(bench.env.llmc(&["accept", "--all"]).expect(0).stderr.contains("no proposal waits"));
}

#[test]
fn what_was_rejected_is_not_offered_again_and_another_program_is() {
    let bench = Bench::proposed();
    let (head, code) = (bench.head(), bench.code());
    let run = bench.json(&["reject", "--all"], 0);
    assert_eq!(bench.event(&run, "rejected")["spec"], "double");
    assert_eq!((bench.head(), bench.code(), bench.waits()), (head.clone(), code, false));
    bench.is_whole();

    // However it is laid out.
    bench.say(&["// again\npub fn double(n: i32) -> i32 { n + n }"]);
    let run = bench.json(&["regen", "double"], 0);
    assert_eq!(run.finished()["status"], "fresh");
    assert!(run.stdout.contains("every candidate that passes was rejected before"), "{run}");
    assert!(!bench.waits());

    bench.say(&[PLUS, OTHER]);
    let run = bench.json(&["regen", "double", "--stop", "all"], 0);
    assert_eq!(run.finished()["status"], "proposed");
    assert!(run.stdout.contains("a program that passes was rejected before, and is not offered again"), "{run}");
    assert!(bench.env.read(".llmc/proposals/double/src/double.rs").contains("n > 100"));
    bench.env.llmc(&["reject", "double"]).expect(0);

    // A build does not commit it either, until it is forgotten.
    bench.say(&[PLUS]);
    bench.env.write("specs/double.yaml", &SPEC.replace("Twice a number", "Two times a number"));
    let run = bench.env.llmc(&["build"]).expect(3);
    assert!(run.stderr.contains("`llmc reject double --forget`"), "{run}");
    assert_eq!(bench.head(), head);
    assert!(
        bench.env.llmc(&["reject", "double", "--forget"]).expect(0).stderr.contains("2 programs may be offered again")
    );
    assert_eq!(bench.json(&["build"], 0).finished()["status"], "built");
    assert!(bench.code().ends_with("n + n\n}\n"));
}

#[test]
fn a_proposal_of_another_spec_or_against_another_artifact_is_refused() {
    let bench = Bench::proposed();
    let head = bench.head();
    bench.env.write("specs/double.yaml", &SPEC.replace("Twice a number", "Two times a number"));
    let run = bench.env.llmc(&["accept", "double"]).expect(6);
    assert!(
        run.stderr.contains("the spec, its templates, its settings or what it uses changed since it was made"),
        "{run}"
    );
    assert!(run.stderr.contains("hint: `llmc build double`"), "{run}");
    let listed = bench.event(&bench.json(&["review"], 0), "proposal");
    assert!(
        listed["stale"].as_str().unwrap().contains("changed") && listed["next"].as_str().unwrap().contains("build")
    );

    // What is said by a comment is not what a spec means.
    bench.env.write("specs/double.yaml", &format!("# a remark\n{SPEC}"));
    bench.env.write("generated/src/double.rs", &(bench.code() + "// mine\n"));
    let run = bench.env.llmc(&["accept", "double"]).expect(6);
    assert!(run.stderr.contains("the artifact that it was made against changed since it was made"), "{run}");
    assert!(bench.code().ends_with("// mine\n"));
    assert_eq!(bench.head(), head);
    bench.env.git(&["checkout", "-q", "generated"]);
    std::fs::remove_file(bench.env.path("specs/double.yaml")).unwrap();
    assert!(bench.env.llmc(&["accept", "double"]).expect(6).stderr.contains("`specs/double.yaml` is gone"));
    bench.env.write("specs/double.yaml", &format!("# a remark\n{SPEC}"));
    bench.env.llmc(&["accept", "double"]).expect(0);
    assert_eq!(bench.env.committed(), [OWN[0], OWN[1], "specs/double.yaml"]);
    assert!(bench.env.read("specs/double.yaml").starts_with("# a remark\n"));
}

#[test]
fn a_proposal_that_someone_changed_is_refused_even_where_all_its_digests_fit() {
    let bench = Bench::proposed();
    let head = bench.head();
    let folder = ".llmc/proposals/double";
    for file in ["src/double.rs", "tests/double.rs", "provenance/double.json", "spec.yaml"] {
        let path = format!("{folder}/{file}");
        let text = bench.env.read(&path);
        bench.env.write(&path, &text.replacen('n', "m", 1));
        let run = bench.env.llmc(&["accept", "double"]).expect(6);
        assert!(run.stderr.contains(&format!("is not whole: `{file}` was changed")), "{run}");
        bench.env.write(&path, &text);
    }
    // As a stranger's repository may bring one along: other code, with digests everywhere.
    let digest = |text: &str| llmc::digest::sha256(text);
    let (code, record) =
        (bench.env.read(&format!("{folder}/src/double.rs")), bench.env.read(&format!("{folder}/proposal.json")));
    let provenance = bench.env.read(&format!("{folder}/provenance/double.json"));
    let forged = code.replace("n + n", "n + n + 0");
    let forged_provenance = provenance.replace(&digest(&code), &digest(&forged));
    assert_ne!(provenance, forged_provenance);
    bench.env.write(&format!("{folder}/src/double.rs"), &forged);
    bench.env.write(&format!("{folder}/provenance/double.json"), &forged_provenance);
    let forged_record =
        record.replace(&digest(&code), &digest(&forged)).replace(&digest(&provenance), &digest(&forged_provenance));
    bench.env.write(&format!("{folder}/proposal.json"), &forged_record);
    let run = bench.env.llmc(&["accept", "double"]).expect(6);
    assert!(run.stderr.contains("its files are not what its recorded completion gives"), "{run}");
    assert_eq!(bench.head(), head);
    bench.is_whole();

    // Nor may a link say what is removed.
    std::fs::remove_dir_all(bench.env.path(".llmc/proposals")).unwrap();
    bench.env.write("../elsewhere/double/precious.txt", "mine");
    std::os::unix::fs::symlink(bench.env.path("../elsewhere"), bench.env.path(".llmc/proposals")).unwrap();
    let run = bench.env.llmc(&["reject", "double"]).expect(1);
    assert!(run.stderr.contains("leads out of the workspace"), "{run}");
    assert_eq!(bench.env.read("../elsewhere/double/precious.txt"), "mine");
}

#[test]
fn where_review_is_required_a_build_leaves_a_proposal_and_a_second_one_samples_nothing() {
    let bench = Bench::new();
    let settings = bench.env.read("llmc.yaml");
    bench.env.write("llmc.yaml", &format!("{settings}review: required\n"));
    bench.env.write(
        "specs/quadruple.yaml",
        "llmc: 1\nname: quadruple\ndescription: d\nsignature: 'pub fn quadruple(n: i32) -> i32'\nuses: [double]\n\
         examples:\n  - { call: quadruple(3), returns: 12 }\nsampling: { samples: 1 }\n",
    );
    bench.env.write("mine.txt", "first");
    bench.env.git(&["add", "mine.txt"]);
    bench.env.git(&["commit", "-qm", "mine"]);
    let head = bench.head();
    let run = bench.json(&["build"], 3);
    let finished = run.events().into_iter().find(|event| event["event"] == "finished").unwrap();
    assert_eq!(
        (&finished["spec"], &finished["status"], &finished["commit"]),
        (&"double".into(), &"proposed".into(), &Value::Null)
    );
    assert_eq!(bench.event(&run, "proposal")["behaves"], "new");
    assert!(run.stderr.contains("`quadruple` uses `double`, which was not built"), "{run}");
    assert!(run.stderr.contains("a proposal for `double` waits: `llmc review`"), "{run}");
    assert!(!bench.env.path("generated").exists());
    assert_eq!(bench.head(), head);

    let asked = bench.server.received().len();
    let mut command = bench.env.command(&["build", "double", "--message-format", "json"]);
    // It needs neither a compiler nor the model.
    let run = Run::from(command.env("PATH", "/nonexistent").output().unwrap()).expect(0);
    assert_eq!((&run.finished()["status"], &run.finished()["sampled"]), (&"proposed".into(), &0.into()));
    assert!(bench.event(&run, "note")["message"].as_str().unwrap().contains("nothing was sampled"), "{run}");
    assert_eq!(bench.server.received().len(), asked);

    // Another spec, and what waits is of yesterday.
    bench.env.write("specs/double.yaml", &SPEC.replace("Twice a number", "Two times a number"));
    assert!(bench.json(&["build", "double"], 0).finished()["sampled"].as_u64().unwrap() > 0);
    let run = bench.json(&["accept", "double"], 0);
    assert_eq!(bench.event(&run, "accepted")["commit"], bench.head());
    assert_eq!(bench.env.committed(), ARTIFACT);
    assert_eq!(bench.json(&["build", "double"], 0).finished()["status"], "fresh");
    bench.env.llmc(&["verify", "double"]).expect(0);

    // With an artifact it is judged along, by the spec as it is now.
    bench.env.write(
        "specs/double.yaml",
        &SPEC.replace("returns: 4\n", "returns: 4\n  - { call: double(101), returns: 0 }\n"),
    );
    bench.say(&[OTHER]);
    let run = bench.json(&["build", "double"], 0);
    assert_eq!(bench.event(&run, "proposal")["behaves"], "mends");
    assert!(
        bench.event(&run, "proposal")["told"].as_str().unwrap().contains("fails the spec as it is now (example-2)"),
        "{run}"
    );
    bench.env.llmc(&["accept", "--all"]).expect(0);
    assert_eq!(bench.env.committed(), [OWN[0], OWN[1], OWN[2], "specs/double.yaml"]);
}

#[test]
fn accepting_that_was_cut_short_anywhere_is_finished_by_the_next() {
    let bench = Bench::proposed();
    let kept = bench.env.path("../kept");
    let copy = |from: &Path, to: &Path| {
        bench.env.run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()], ".");
    };
    let proposals = bench.env.path(".llmc/proposals");
    copy(&proposals, &kept);
    // The files are written, and nothing is committed.
    bench.env.llmc(&["accept", "double", "--no-commit"]).expect(0);
    copy(&kept, &proposals);
    std::fs::rename(proposals.join("kept/double"), proposals.join("double")).unwrap();
    std::fs::remove_dir(proposals.join("kept")).unwrap();
    let run = bench.json(&["accept", "double"], 0);
    assert_eq!(bench.event(&run, "accepted")["commit"], bench.head());
    bench.is_whole();
    let head = bench.head();
    // It is committed, and the proposal is still there; in the midst of its way to its place, even.
    copy(&kept.join("double"), &proposals.join(".next-double"));
    copy(&kept.join("double"), &proposals.join(".tmp-double"));
    let run = bench.json(&["accept", "double"], 0);
    assert_eq!(bench.event(&run, "accepted")["commit"], Value::Null);
    assert_eq!(bench.head(), head);
    bench.is_whole();
    assert_eq!(std::fs::read_dir(&proposals).unwrap().count(), 0);
    bench.env.llmc(&["verify"]).expect(0);

    // One that was about to take the place of another does.
    bench.say(&[OTHER]);
    bench.env.llmc(&["regen", "double"]).expect(0);
    copy(&kept.join("double"), &proposals.join(".next-double"));
    let listed = bench.json(&["review"], 0);
    assert_eq!(bench.event(&listed, "proposal")["digest"], bench.event(&run, "accepted")["digest"]);
    assert_eq!(std::fs::read_dir(&proposals).unwrap().count(), 1);
}

#[test]
fn of_several_those_that_others_use_are_accepted_first_and_what_that_makes_stale_is_refused() {
    let bench = Bench::new();
    let quadruple = "llmc: 1\nname: a_quadruple\ndescription: d\nsignature: 'pub fn a_quadruple(n: i32) -> i32'\n\
                     uses: [double]\nexamples:\n  - { call: a_quadruple(3), returns: 12 }\nsampling: { samples: 4 }\n";
    bench.env.write("specs/a_quadruple.yaml", quadruple);
    bench.env.write(
        "specs/triple.yaml",
        &SPEC
            .replace("double", "triple")
            .replace("returns: 4", "returns: 6")
            .replace("Twice", "Thrice")
            .replace("n as i32) % 2", "2 * n as i32) % 2"),
    );
    let both = |double: &str, triple: &str, quadruple: &str| {
        // Each takes the part that its spec names.
        bench.say(&[&format!("{double}\n```\nOr:\n```rust\n{triple}\n```\nOr:\n```rust\n{quadruple}")]);
    };
    both(
        TIMES,
        "pub fn triple(n: i32) -> i32 { n * 3 }",
        "use crate::double::double;\npub fn a_quadruple(n: i32) -> i32 { double(double(n)) }",
    );
    bench.env.llmc(&["build"]).expect(0);
    bench.dirty();
    both(
        PLUS,
        "pub fn triple(n: i32) -> i32 { n + n + n }",
        "use crate::double::double;\npub fn a_quadruple(n: i32) -> i32 { 2 * double(n) }",
    );
    bench.env.llmc(&["regen", "a_quadruple", "double", "triple"]).expect(0);
    let head = bench.head();
    let run = bench.json(&["accept", "--all"], 6);
    let accepted: Vec<Value> = run.events().into_iter().filter(|event| event["event"] == "accepted").collect();
    assert_eq!(
        accepted.iter().map(|event| event["spec"].as_str().unwrap()).collect::<BTreeSet<_>>(),
        BTreeSet::from(["double", "triple"])
    );
    assert!(
        run.stderr.contains("the proposal for `a_quadruple` can't be accepted: ")
            && run.stderr.contains("what it uses changed"),
        "{run}"
    );
    assert_eq!(bench.env.git(&["rev-list", "--count", &format!("{head}..HEAD")]), "2\n");
    bench.is_whole();
    bench.env.llmc(&["verify", "double"]).expect(0);
    assert_eq!(bench.json(&["build", "a_quadruple"], 0).finished()["status"], "built");
    bench.env.llmc(&["verify"]).expect(0);
}

#[test]
fn the_samples_that_proposals_came_from_stay_in_the_ledger() {
    let bench = Bench::proposed();
    let ledger = rusqlite::Connection::open(bench.env.path(".llmc/ledger.db")).unwrap();
    ledger.execute("UPDATE samples SET arrived = arrived - 8640000000", []).unwrap();
    drop(ledger);
    let run = bench.json(&["ledger", "gc", "--older-than", "30d", "--yes"], 0);
    // All four completions of each have the same text.
    assert_eq!((&bench.event(&run, "gc")["kept"], &bench.event(&run, "gc")["samples"]), (&8.into(), &0.into()));
    bench.env.llmc(&["reject", "--all"]).expect(0);
    let run = bench.json(&["ledger", "gc", "--older-than", "30d", "--yes"], 0);
    assert_eq!((&bench.event(&run, "gc")["kept"], &bench.event(&run, "gc")["samples"]), (&4.into(), &4.into()));
}

#[test]
fn accepting_that_is_killed_at_any_moment_is_finished_by_the_next() {
    let bench = Bench::proposed();
    let head = bench.head();
    let saved = bench.env.path("../saved");
    bench.env.run("cp", &["-a", ".", saved.to_str().unwrap()], ".");
    // How long it takes here and now; the kills are spread over that.
    let began = std::time::Instant::now();
    bench.env.llmc(&["accept", "double"]).expect(0);
    let takes = began.elapsed();
    let tree = bench.env.git(&["rev-parse", "HEAD^{tree}"]);
    let rounds = 12;
    let mut seen = BTreeSet::new();
    for round in 0..rounds {
        bench.env.run("sh", &["-c", "find . -mindepth 1 -delete && cp -a ../saved/. ."], ".");
        let mut child = bench.env.command(&["accept", "double"]).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(takes.mul_f64((f64::from(round) + 1.0) / f64::from(rounds)));
        child.kill().unwrap();
        child.wait().unwrap();
        let (is_new, is_committed) = (bench.code().ends_with("n + n\n}\n"), bench.head() != head);
        seen.insert((is_new, is_committed, bench.waits()));
        // Committed is only what is written, and gone is only what is committed.
        assert!(is_new || !is_committed, "round {round}");
        assert!(is_committed || bench.waits(), "round {round}");
        if bench.waits() {
            bench.env.llmc(&["accept", "double"]).expect(0);
        } else {
            bench.env.llmc(&["build"]).expect(0);
        }
        assert_eq!(bench.env.git(&["rev-parse", "HEAD^{tree}"]), tree, "round {round}");
        assert_eq!(bench.env.git(&["rev-list", "--count", &format!("{head}..HEAD")]), "1\n", "round {round}");
        bench.is_whole();
        assert!(!bench.waits());
    }
    assert!(!seen.is_empty());
}

#[test]
fn a_regen_that_was_cut_short_is_gone_on_with_and_nothing_paid_for_is_lost() {
    let hangs = Arc::new(AtomicUsize::new(usize::MAX));
    let server = Server::answering({
        let hangs = hangs.clone();
        move |_, number| {
            let slow = if number >= hangs.load(Ordering::SeqCst) { Duration::from_secs(60) } else { Duration::ZERO };
            Reply::chat(&format!("```rust\n{}\n```", if number < 4 { TIMES } else { PLUS })).after(slow)
        }
    });
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    env.llmc(&["build"]).expect(0);
    hangs.store(6, Ordering::SeqCst);
    let mut child = env.command(&["regen", "double", "--stop", "all", "--message-format", "json"]);
    let mut child = child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let arrived = |line: &String| line.contains("\"event\":\"verdict\"");
    assert_eq!(lines.by_ref().map(Result::unwrap).filter(arrived).take(2).count(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!env.path(".llmc/proposals/double").exists());
    let before = server.received().len();

    hangs.store(usize::MAX, Ordering::SeqCst);
    let run = env.llmc(&["regen", "double", "--stop", "all", "--message-format", "json"]).expect(0);
    let finished = run.finished();
    assert_eq!((&finished["sampled"], &finished["replayed"], &finished["tokens"]), (&4.into(), &2.into(), &14.into()));
    assert_eq!((&finished["status"], server.received().len() - before), (&"proposed".into(), 2));
    // It came to its end: the next one draws all of them anew.
    let run = env.llmc(&["regen", "double", "--stop", "all", "--message-format", "json"]).expect(0);
    assert_eq!((&run.finished()["sampled"], &run.finished()["replayed"]), (&4.into(), &0.into()));
    // A seed that is asked for by name is used, and draws anew when it was used before.
    for _ in 0..2 {
        let run = env.llmc(&["regen", "double", "--seed", "7", "--stop", "all", "--message-format", "json"]).expect(0);
        assert_eq!((&run.finished()["sampled"], &run.finished()["replayed"]), (&4.into(), &0.into()));
        let provenance = env.read(".llmc/proposals/double/provenance/double.json");
        assert!(provenance.contains("\"seed\": 7"), "{provenance}");
    }
}

#[test]
fn the_budget_holds_for_regen() {
    let bench = Bench::built();
    let settings = bench.env.read("llmc.yaml");
    bench.env.write("llmc.yaml", &format!("{settings}budget: {{ tokens_per_day: 73 }}\n"));
    let asked = bench.server.received().len();
    bench.say(&[PLUS]);
    let run = bench.env.llmc(&["regen", "double"]).expect(4);
    assert!(run.stderr.contains("tokens_per_day"), "{run}");
    assert_eq!(bench.server.received().len(), asked);
    assert!(!bench.waits());
}

// ---- in a terminal ----

impl Bench {
    fn review(&self, more: &[(&str, &str)]) -> Terminal {
        let mut command = self.env.command(&["review"]);
        command.env("TERM", "xterm").env("GIT_PAGER", "cat").envs(more.iter().copied());
        Terminal::start(command, 24, 100)
    }

    /// A program that changes the spec as an editor would.
    fn editor(&self, script: &str) -> String {
        self.env.write("../editor", &format!("#!/bin/sh\n{script}\n"));
        self.env.run("chmod", &["+x", "../editor"], ".");
        self.env.path("../editor").to_str().unwrap().to_owned()
    }
}

/// A screen without its colours.
fn plain(screen: &str) -> String {
    let mut parts = screen.split("\u{1b}[");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        text + part.trim_start_matches(|code: char| !code.is_ascii_alphabetic()).get(1..).unwrap_or_default()
    })
}

/// What stands below each proposal, last.
const ASKED: &str = "[q]uit, [?]\u{1b}[0m ";

#[test]
fn review_goes_through_every_key_and_leaves_the_tree_whole_after_each() {
    let bench = Bench::proposed();
    let editor = bench.editor("echo \"# $(wc -l < \"$1\") lines\" >> \"$1\"");
    let head = bench.head();
    let mut terminal = bench.review(&[("EDITOR", &editor)]);
    let screen = terminal.until(ASKED);
    let behaviour = screen.find("behaviour  it behaves as the artifact does").expect(&screen);
    assert!(behaviour < screen.find("size       3 -> 3 lines").expect(&screen), "{screen}");
    // In colour, with what changed within the line standing out.
    assert!(screen.contains("\u{1b}[31m-") && screen.contains("\u{1b}[32m+"), "{screen}");
    assert!(plain(&screen).contains("\n-    n * 2\n+    n + n\n"), "{screen}");
    assert!(!terminal.is_as_before(), "keys are given as they are typed");

    terminal.press("?");
    assert!(terminal.until(ASKED).contains("a  accept: it becomes the artifact"));
    terminal.press("x");
    assert!(terminal.until(ASKED).contains("`?` lists the keys"));
    terminal.press("\u{1b}[A");
    terminal.resize(10, 30);
    terminal.press("m");
    let more = terminal.until(ASKED);
    assert!(more.contains("seed ") && more.contains("4 sampled, 4 parsed, 4 compiled, 4 passed"), "{more}");
    terminal.press("i");
    assert!(terminal.until(ASKED).contains("no input is known on which they differ"));
    // The diff tool that git is told to use.
    bench.env.git(&["config", "diff.tool", "probe"]);
    bench.env.git(&["config", "difftool.probe.cmd", "grep -h 'n [+*]' \"$LOCAL\" \"$REMOTE\""]);
    terminal.press("d");
    let shown = terminal.until(ASKED);
    assert!(shown.contains("    n * 2") && shown.contains("    n + n"), "{shown}");
    bench.env.git(&["config", "--remove-section", "difftool.probe"]);
    bench.is_whole();
    assert_eq!(bench.head(), head);

    // New samples, in a window of another size.
    bench.say(&[OTHER]);
    terminal.press("n");
    let screen = terminal.until(ASKED);
    assert!(screen.contains("behaviour  it behaves otherwise than the artifact"), "{screen}");
    assert!(screen.contains("\n── double (1 of 1) ───────────\n"), "{screen}");
    bench.is_whole();

    // A remark changes nothing that counts.
    terminal.press("e");
    terminal.until(ASKED);
    assert_eq!(bench.env.read("specs/double.yaml"), format!("{SPEC}# 12 lines\n"));
    bench.env.git(&["checkout", "-q", "specs"]);
    bench.is_whole();

    terminal.press("s");
    let (status, told, is_as_before) = terminal.end();
    assert!(status.success() && is_as_before);
    assert!(told.starts_with("skip\n1 proposal still waiting: `llmc review`\n"), "{told}");
    bench.is_whole();
    assert!(bench.waits());

    let mut terminal = bench.review(&[]);
    terminal.until(ASKED);
    terminal.press("r");
    let (status, told, is_as_before) = terminal.end();
    assert!(status.success() && is_as_before && told.contains("Rejected"), "{told}");
    assert_eq!((bench.head(), bench.waits()), (head.clone(), false));
    bench.is_whole();

    bench.say(&[PLUS]);
    bench.env.llmc(&["regen", "double"]).expect(0);
    let mut terminal = bench.review(&[]);
    terminal.until(ASKED);
    terminal.press("q");
    let (status, told, is_as_before) = terminal.end();
    assert!(status.success() && is_as_before, "{told}");
    assert!(told.starts_with("quit\n1 proposal still waiting: `llmc review`\n"), "{told}");

    let mut terminal = bench.review(&[]);
    terminal.until(ASKED);
    terminal.press("a");
    let (status, told, is_as_before) = terminal.end();
    assert!(status.success() && is_as_before && told.contains("Accepted"), "{told}");
    assert_eq!(bench.env.git(&["rev-parse", "HEAD~"]).trim(), head);
    assert_eq!(bench.env.committed(), [OWN[0], OWN[1]]);
    assert!(!bench.waits());
    bench.is_whole();

    let (status, told, _) = bench.review(&[]).end();
    assert!(status.success());
    assert!(told.starts_with("No proposal waits.\n"), "{told}");
}

#[test]
fn review_that_is_interrupted_leaves_the_terminal_and_the_tree_as_they_were() {
    let bench = Bench::proposed();
    let head = bench.head();
    for signal in [None, Some(libc::SIGTERM)] {
        let mut terminal = bench.review(&[]);
        terminal.until(ASKED);
        match signal {
            None => terminal.press("\u{3}"),
            Some(signal) => terminal.signal(signal),
        }
        let (status, told, is_as_before) = terminal.end();
        assert_eq!((status.code(), is_as_before), (Some(130), true), "{told}");
        assert!(told.contains("interrupted: nothing half-done was left behind"), "{told}");
        assert!(bench.waits());
        bench.is_whole();
    }
    // Stopped and let go on, with the terminal as the shell wants it in between.
    let mut terminal = bench.review(&[]);
    terminal.until(ASKED);
    terminal.signal(libc::SIGSTOP);
    terminal.restore();
    terminal.signal(libc::SIGCONT);
    while terminal.is_as_before() {
        std::thread::sleep(Duration::from_millis(10));
    }
    terminal.press("s");
    let (status, told, is_as_before) = terminal.end();
    assert!(status.success() && is_as_before && told.starts_with("skip"), "{told}");
    // In the midst of an editor Ctrl-C is the editor's, and in the midst of sampling it ends that.
    let editor = bench.editor("trap 'echo it was for me; exit 0' INT; echo editing; sleep 60 & wait");
    let mut terminal = bench.review(&[("VISUAL", &editor)]);
    terminal.until(ASKED);
    terminal.press("e");
    terminal.until("editing");
    terminal.press("\u{3}");
    let told = terminal.until(ASKED);
    assert!(told.contains("it was for me") && told.contains("the spec is as it was"), "{told}");
    bench.say(&[OTHER]);
    terminal.press("n");
    terminal.until("Building");
    terminal.press("\u{3}");
    let (status, told, is_as_before) = terminal.end();
    // It may have been done before.
    assert!(matches!(status.code(), Some(130 | 0)) && is_as_before, "{told}");
    assert!(bench.waits());
    assert_eq!(bench.head(), head);
    bench.is_whole();
}

#[test]
fn an_input_on_which_both_differ_becomes_an_example_and_what_is_stale_can_be_drawn_anew() {
    let bench = Bench::built();
    bench.say(&[OTHER]);
    bench.env.llmc(&["regen", "double"]).expect(0);
    let known = bench.event(&bench.json(&["review"], 0), "proposal")["differing"].as_array().unwrap().clone();
    // One of them may be that the artifact panics.
    let at = known.iter().position(|one| one["artifact"].as_str().unwrap().parse::<i32>().is_ok()).unwrap();
    let text = |key: &str| known[at][key].as_str().unwrap().to_owned();
    let (call, artifact, proposal) = (text("call"), text("artifact"), text("proposal"));
    let mut terminal = bench.review(&[]);
    let screen = terminal.until(ASKED);
    assert!(screen.contains(&format!("{call}: {artifact} -> {proposal}")), "{screen}");
    terminal.press("i");
    for _ in &known {
        terminal.until("(any other key: neither)\u{1b}[0m ");
        terminal.press("x");
    }
    assert!(terminal.until(ASKED).contains("neither"));
    assert_eq!(bench.env.read("specs/double.yaml"), SPEC);
    terminal.press("i");
    for _ in 0..at {
        terminal.until("(any other key: neither)\u{1b}[0m ");
        terminal.press("x");
    }
    terminal.until("(any other key: neither)\u{1b}[0m ");
    terminal.press("a");
    let told = terminal.until(ASKED);
    assert!(told.contains(&format!("{call} = {artifact} is an example now")), "{told}");
    assert!(told.contains("stale      the spec, its templates, its settings or what it uses changed"), "{told}");
    let added = format!("    returns: 4\n  - call: {call}\n    returns: '{artifact}'\n");
    assert_eq!(bench.env.read("specs/double.yaml"), SPEC.replace("    returns: 4\n", &added));
    terminal.press("a");
    assert!(terminal.until(ASKED).contains("can't be accepted"));

    // What is drawn now is held against the spec as it is.
    bench.say(&[OTHER, PLUS]);
    terminal.press("n");
    let screen = terminal.until(ASKED);
    assert!(plain(&screen).contains("+    n + n") && !screen.contains("stale"), "{screen}");
    terminal.press("a");
    let (status, told, _) = terminal.end();
    assert!(status.success() && told.contains("Accepted"), "{told}");
    assert_eq!(bench.env.committed(), [OWN[0], OWN[1], OWN[2], "specs/double.yaml"]);
    bench.is_whole();
    bench.env.llmc(&["verify"]).expect(0);
}

#[test]
fn without_a_terminal_review_lists_the_proposals_and_the_commands() {
    let bench = Bench::proposed();
    let run = bench.env.llmc(&["review"]).expect(0);
    assert!(run.stdout.starts_with("double: it behaves as the artifact does"), "{run}");
    assert!(run.stdout.contains("`llmc accept double`") && run.stdout.contains("`llmc regen SPEC`"), "{run}");
    assert_eq!(bench.event(&bench.json(&["review", "double"], 0), "proposal")["spec"], "double");
    bench.is_whole();
}
