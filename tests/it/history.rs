//! Edits by hand and what git remembers: real rustc, real sandbox, real git. The replies are written for the tests.

use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::server::{Reply, Server};

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
  - call: double(0)
    returns: 0
sampling: { samples: 1, temperature: 0.3 }
"#;

const RIGHT: &str = "```rust\npub fn double(n: i32) -> i32 {\n    n * 2\n}\n```\n";

/// A workspace with `double` built, and beside it a file that is staged, one that is changed and one that is new.
fn built() -> (TestEnv, Server) {
    let server = Server::script(vec![Reply::chat(RIGHT)]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    env.write("changed.txt", "old");
    env.git(&["add", "changed.txt", "llmc.yaml"]);
    env.git(&["commit", "-qm", "first"]);
    env.llmc(&["build"]).expect(0);
    env.write("changed.txt", "new");
    env.write("staged.txt", "mine");
    env.git(&["add", "staged.txt"]);
    env.write("untracked.txt", "mine too");
    (env, server)
}

/// What git says of the files beside the workspace's own.
const DIRTY: &str = " M changed.txt\nA  staged.txt\n?? untracked.txt\n";

#[track_caller]
fn expect_dirty_as_before(env: &TestEnv) {
    assert_eq!(env.git(&["status", "--porcelain"]), DIRTY);
    assert_eq!(env.git(&["diff", "--cached", "--name-only"]), "staged.txt\n");
}

const CODE: &str = "generated/src/double.rs";

/// Puts other code into the place of the artifact's.
fn edit(env: &TestEnv, code: &str) {
    let old = env.read(CODE);
    env.write(CODE, &format!("{}\n{code}", old.lines().next().unwrap()));
}

fn record(env: &TestEnv, name: &str) -> Value {
    serde_json::from_str(&env.read(&format!("generated/provenance/{name}.json"))).unwrap()
}

fn status(run: &Run) -> String {
    run.finished()["status"].as_str().unwrap().to_owned()
}

fn build(env: &TestEnv, arguments: &[&str]) -> Run {
    env.llmc(&[&["build", "--message-format", "json"], arguments].concat())
}

// ---- adopt ----

#[test]
fn an_edit_by_hand_is_taken_in_with_a_record_that_says_so_and_a_commit_of_its_files() {
    let (env, server) = built();
    let asked = server.received().len();
    let before = llmc::digest::sha256(env.read(CODE));
    let record_before = llmc::digest::sha256(env.read("generated/provenance/double.json"));
    edit(&env, "// a remark\npub fn double(n: i32) -> i32 { n.wrapping_mul(2) }");
    let run = env.llmc(&["verify"]).expect(6);
    for hint in ["`llmc adopt double` keeps the edit", "`llmc replay double --overwrite` undoes it"] {
        assert!(run.stderr.contains(hint), "{run}");
    }
    let run = build(&env, &[]).expect(6);
    assert!(run.stderr.contains("`llmc adopt double` keeps the edit"), "{run}");

    let run = env.llmc(&["adopt", "double", "--message-format", "json"]).expect(0);
    let event = run.events().into_iter().find(|event| event["event"] == "adopted").unwrap();
    assert_eq!((&event["status"], &event["path"]), (&"adopted".into(), &CODE.into()));
    assert_eq!(event["commit"], env.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(event["from"]["code"], before.as_str());
    assert!(event["notes"].to_string().contains("comments are not kept"), "{run}");
    assert_eq!(env.committed(), ["generated/provenance/double.json", CODE]);
    expect_dirty_as_before(&env);
    let message = env.git(&["log", "-1", "--format=%an%n%B"]);
    assert!(message.starts_with("Tess\nllmc: adopt double\n\nMade by a person"), "{message}");
    assert!(message.contains("\nLlmc-Spec: specs/double.yaml\nLlmc-Origin: human\n"), "{message}");

    assert!(env.read(CODE).ends_with("\npub fn double(n: i32) -> i32 {\n    n.wrapping_mul(2)\n}\n"));
    let record = record(&env, "double");
    let external = &record["predicate"]["buildDefinition"]["externalParameters"];
    assert_eq!((&external["format_version"], external.get("model")), (&2.into(), None));
    let byproducts = record["predicate"]["runDetails"]["byproducts"].as_array().unwrap();
    let names: Vec<&str> = byproducts.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["origin", "environment", "record"]);
    let from = serde_json::json!({"code": before, "provenance": record_before});
    assert_eq!(byproducts[0]["annotations"], serde_json::json!({"by": "human", "from": from}));
    assert!(!record.to_string().contains("Tess") && !record.to_string().contains("tess@"), "who it was, git says");

    env.llmc(&["verify"]).expect(0);
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
    let shown = env.llmc(&["show", "double"]).expect(0).stdout;
    assert!(shown.contains("made by    a person: no model, no completion"), "{shown}");
    let replayed = env.llmc(&["replay", "double"]).expect(0);
    assert!(replayed.stderr.contains("made by a person, so there is no completion"), "{replayed}");
    assert!(replayed.stdout.contains(&format!("tree {}", tree_of_head(&env))), "{replayed}");
    env.run("cargo", &["test", "--offline", "--quiet"], "generated");
    assert_eq!(server.received().len(), asked, "no model was asked");
}

/// git's name of HEAD's tree.
#[test]
fn the_log_says_where_a_version_does_something_else_than_the_one_before_when_asked() {
    let (env, _server) = built();
    edit(&env, "pub fn double(n: i32) -> i32 { n.wrapping_mul(2) }");
    env.llmc(&["adopt", "double"]).expect(0);
    let entries = log(&env, &["double", "--behaviour"]);
    assert_eq!(entries[0]["behaviour"], "apart", "{entries:?}");
    assert!(entries[0]["differs_on"].as_str().unwrap().starts_with("double("), "{entries:?}");
    let told = env.llmc(&["log", "double", "--behaviour"]).expect(0).stdout;
    assert!(told.contains("code; differs on double("), "{told}");
}

fn tree_of_head(env: &TestEnv) -> String {
    env.git(&["rev-parse", "HEAD^{tree}"]).trim().to_owned()
}

#[test]
fn an_edit_that_does_not_pass_stays_and_nothing_is_written() {
    let (env, _server) = built();
    let head = env.git(&["rev-parse", "HEAD"]);
    let record = env.read("generated/provenance/double.json");
    for (code, told) in [
        ("pub fn double(n: i32) -> i32 { n * 3 }", "test (example-1)"),
        ("pub fn double(n: i32) -> i32 { m * 2 }", "compile (E0425)"),
        ("pub fn double(n: &str) -> String { n.repeat(2) }", "parse ("),
        ("pub fn double(n: i32) -> i32 { std::fs::remove_file(\"x\").ok(); n * 2 }", "policy ("),
        ("pub fn double(n: i32) -> i32 {", "parse (syntax)"),
    ] {
        edit(&env, code);
        let edited = env.read(CODE);
        let run = env.llmc(&["adopt", "double"]).expect(3);
        assert!(run.stderr.contains(&format!("`{CODE}` does not pass, and is left as it is")), "{run}");
        assert!(run.stderr.contains(told), "{told}: {run}");
        assert_eq!((env.read(CODE), env.read("generated/provenance/double.json")), (edited, record.clone()));
        assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    }
}

#[test]
fn an_artifact_that_was_not_edited_is_not_taken_in() {
    let (env, _server) = built();
    let head = env.git(&["rev-parse", "HEAD"]);
    let run = env.llmc(&["adopt", "double", "--message-format", "json"]).expect(0);
    assert_eq!(run.events()[0]["status"], "unchanged");
    assert!(env.llmc(&["adopt", "double"]).expect(0).stderr.contains("is the artifact already"));
    // Another layout of the model's code is still the model's.
    let code = env.read(CODE);
    env.write(CODE, &code.replace("n * 2", "n    *    2 // twice"));
    let run = env.llmc(&["adopt", "double"]).expect(0);
    assert!(run.stderr.contains("comments are not kept, but for those that document"), "{run}");
    assert!(run.stderr.contains("only layout or comments had been changed"), "{run}");
    assert_eq!(env.read(CODE), code);
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    env.llmc(&["verify"]).expect(0);
    env.write("specs/other.yaml", &SPEC.replace("double", "other"));
    assert!(env.llmc(&["adopt", "other"]).expect(1).stderr.contains("there is no `generated/src/other.rs`"));
}

#[test]
fn a_workspace_in_no_repository_takes_in_what_a_person_made_and_remembers_nothing() {
    let env = TestEnv::empty();
    env.write("llmc.yaml", "");
    env.write("specs/double.yaml", SPEC);
    env.write(CODE, "pub fn double(n: i32) -> i32 { n + n }");
    let run = env.llmc(&["adopt", "double"]).expect(0);
    assert!(run.stderr.contains("note: this is no git repository: nothing is committed"), "{run}");
    assert!(!run.stderr.contains("comments"), "{run}");
    env.llmc(&["verify"]).expect(0);
    for arguments in [&["log", "double"] as &[&str], &["show", "double@HEAD"], &["revert", "double@HEAD"]] {
        assert!(env.llmc(arguments).expect(1).stderr.contains("the workspace is in no git repository"));
    }
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    env.write("specs/other.yaml", &SPEC.replace("name: double", "name: other"));
    let run = build(&env, &[]).expect(0);
    assert_eq!((event(&run, "moved")["commit"].clone(), status(&run).as_str()), (Value::Null, "fresh"));
    env.llmc(&["verify"]).expect(0);
}

#[test]
fn tests_that_were_edited_are_not_written_over_unless_asked() {
    let (env, _server) = built();
    let tests = env.read("generated/tests/double.rs") + "#[test]\nfn mine() {}\n";
    env.write("generated/tests/double.rs", &tests);
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    let run = env.llmc(&["adopt", "double"]).expect(6);
    assert!(run.stderr.contains("`tests` of specs/double.yaml"), "{run}");
    assert_eq!(env.read("generated/tests/double.rs"), tests);
    env.llmc(&["adopt", "double", "--overwrite"]).expect(0);
    assert!(!env.read("generated/tests/double.rs").contains("mine"));
    env.llmc(&["verify"]).expect(0);
}

#[test]
fn what_a_person_made_from_nothing_is_taken_in_and_a_build_does_not_sample() {
    let server = Server::script(vec![Reply::chat(RIGHT)]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    env.write(CODE, "pub fn double(n: i32) -> i32 { n + n }");
    let run = env.llmc(&["build"]).expect(6);
    assert!(run.stderr.contains("`llmc adopt double` keeps the edit"), "{run}");
    env.llmc(&["adopt", "double"]).expect(0);
    let origin = &record(&env, "double")["predicate"]["runDetails"]["byproducts"][0]["annotations"];
    assert_eq!(*origin, serde_json::json!({"by": "human", "from": null}));
    assert_eq!(
        env.committed(),
        [
            "generated/Cargo.toml",
            "generated/provenance/double.json",
            CODE,
            "generated/src/lib.rs",
            "generated/tests/double.rs",
            "specs/double.yaml"
        ]
    );
    env.llmc(&["verify"]).expect(0);
    assert_eq!(status(&build(&env, &[]).expect(0)), "fresh");
    assert!(server.received().is_empty());
}

#[test]
fn what_a_person_made_is_replaced_by_a_sample_only_when_asked() {
    let (env, server) = built();
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    let asked = server.received().len();
    // Which model would be asked, and how, plays no part.
    env.write("llmc.yaml", &(env.read("llmc.yaml") + "sampling: { temperature: 0.1 }\n"));
    env.write("templates/implement.system.tera", "You write Rust.");
    assert_eq!(status(&build(&env, &[]).expect(0)), "fresh");
    env.llmc(&["verify"]).expect(0);
    env.write("specs/double.yaml", &SPEC.replace("Twice", "Two times"));
    let run = env.llmc(&["build"]).expect(6);
    assert!(run.stderr.contains("`double` was made by a person, and the spec or what it uses changed"), "{run}");
    assert!(run.stderr.contains("`llmc adopt double` judges it as it is"), "{run}");
    env.llmc(&["adopt", "double"]).expect(0);
    assert_eq!(status(&build(&env, &[]).expect(0)), "fresh");
    env.llmc(&["verify"]).expect(0);
    let run = env.llmc(&["build", "--no-cache"]).expect(6);
    assert!(run.stderr.contains("no sample takes its place unasked"), "{run}");
    assert_eq!(server.received().len(), asked);
    // A proposal may wait beside it.
    let code = env.read(CODE);
    let run = env.llmc(&["regen", "double", "--message-format", "json"]).expect(0);
    assert_eq!((status(&run).as_str(), env.read(CODE)), ("proposed", code));
    env.llmc(&["reject", "double"]).expect(0);
    env.llmc(&["reject", "double", "--forget"]).expect(0);
    assert_eq!(status(&build(&env, &["--no-cache", "--overwrite"]).expect(0)), "built");
    assert!(env.read(CODE).contains("n * 2"));
}

#[test]
fn what_was_taken_in_without_a_commit_is_committed_by_the_next_build() {
    let (env, _server) = built();
    let head = env.git(&["rev-parse", "HEAD"]);
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double", "--no-commit"]).expect(0);
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(status(&build(&env, &[]).expect(0)), "fresh");
    assert_eq!(env.git(&["log", "-1", "--format=%s"]), "llmc: adopt double\n");
    expect_dirty_as_before(&env);
}

#[test]
fn every_change_of_what_a_person_made_is_found_and_undone_from_git() {
    let (env, _server) = built();
    edit(&env, "/// Twice.\npub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    for file in [CODE, "generated/tests/double.rs", "generated/provenance/double.json"] {
        let before = env.read(file);
        for at in (0..before.len()).step_by(before.len() / 12 + 1) {
            let mut bytes = before.clone().into_bytes();
            bytes[at] ^= 1;
            std::fs::write(env.path(file), &bytes).unwrap();
            let run = env.llmc(&["verify"]).expect(6);
            assert!(run.stderr.contains(&format!("Differs {file}")), "{at}: {run}");
        }
        env.write(file, &before);
    }
    edit(&env, "/// Twice.\npub fn double(n: i32) -> i32 { 2 * n }");
    let run = env.llmc(&["replay", "double"]).expect(6);
    assert!(run.stderr.contains("`llmc adopt double` keeps what is there"), "{run}");
    env.llmc(&["replay", "double", "--overwrite"]).expect(0);
    assert!(env.read(CODE).contains("n + n"));
    env.llmc(&["verify"]).expect(0);
    expect_dirty_as_before(&env);
}

// ---- log, show ----

/// The revisions that `llmc log` lists.
fn log(env: &TestEnv, arguments: &[&str]) -> Vec<Value> {
    let run = env.llmc(&[&["log", "--message-format", "json"], arguments].concat()).expect(0);
    run.events()
}

/// Of each revision: who, what became of the code, whether the spec is another one, the behaviour.
fn told(log: &[Value]) -> Vec<(&str, &str, Option<bool>, Option<&str>)> {
    log.iter()
        .map(|entry| {
            let (by, code) = (entry["by"].as_str().unwrap(), entry["code"].as_str().unwrap());
            (by, code, entry["spec_changed"].as_bool(), entry["behaviour"].as_str())
        })
        .collect()
}

#[test]
fn the_log_tells_of_each_commit_that_changed_an_artifact_who_made_it_and_what_changed() {
    let (env, _server) = built();
    // Commits that have nothing to do with it.
    env.git(&["commit", "-qm", "beside"]);
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    env.write("specs/double.yaml", &SPEC.replace("Twice", "Two times"));
    env.git(&["commit", "-qm", "spec alone", "specs/double.yaml"]);
    env.llmc(&["adopt", "double"]).expect(0);
    edit(&env, "/// Doubles.\npub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    env.git(&["rm", "-q", "-r", "generated", "specs"]);
    env.git(&["commit", "-qm", "away"]);

    let entries = log(&env, &["double"]);
    assert_eq!(
        told(&entries),
        [
            ("nobody", "removed", None, None),
            ("human", "layout", Some(false), Some("same")),
            ("human", "same", Some(true), Some("same")),
            ("human", "changed", Some(false), None),
            ("model", "first", None, None),
        ]
    );
    let first = &entries[4];
    assert_eq!((&first["model"], &first["sample"], &first["sampled"]), (&"openai/test".into(), &1.into(), &1.into()));
    assert_eq!((&first["passed"], &first["tokens"], &first["usd"]), (&1.into(), &7.into(), &Value::Null));
    assert_eq!((&first["subject"], &first["author"]), (&"llmc: build double".into(), &"Tess".into()));
    let commits: Vec<&str> = entries.iter().map(|entry| entry["commit"].as_str().unwrap()).collect();
    // As git has it.
    let listed = env.git(&["log", "--format=%H", "--", "generated/src/double.rs", "generated/provenance/double.json"]);
    assert_eq!(commits, listed.lines().collect::<Vec<_>>());
    assert_eq!(log(&env, &["specs/double.yaml", "-n", "2"]).len(), 2);

    // Run beside each other, what changed does the same.
    env.git(&["checkout", "-q", "HEAD~1", "--", "specs", "generated"]);
    let entries = log(&env, &["double", "--behaviour"]);
    assert_eq!((&entries[3]["behaviour"], &entries[3]["differs_on"]), (&"alike".into(), &Value::Null));
    let told = env.llmc(&["log", "double", "--behaviour", "-n", "4"]).expect(0).stdout;
    assert!(told.contains("code; does the same") && told.lines().count() == 5, "{told}");

    let table = env.llmc(&["log", "double"]).expect(0).stdout;
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.contains("Tess, by hand") && table.contains("  spec     llmc: adopt double\n"), "{table}");

    let run = env.llmc(&["log", "treble"]).expect(1);
    assert!(run.stderr.contains("no commit from HEAD on has an artifact `treble`"), "{run}");
}

#[test]
fn the_log_follows_of_a_merge_the_side_that_it_came_from() {
    let (env, _server) = built();
    env.git(&["stash", "-q"]);
    env.git(&["checkout", "-qb", "side"]);
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    env.git(&["checkout", "-q", "main"]);
    env.write("other.txt", "x");
    env.git(&["add", "other.txt"]);
    env.git(&["commit", "-qm", "other"]);
    env.git(&["merge", "-q", "--no-edit", "side"]);
    let entries = log(&env, &["double"]);
    assert_eq!(told(&entries), [("human", "changed", Some(false), None), ("model", "first", None, None)]);
    // A clone of the last commit does not know what came before, and says so.
    let from = format!("file://{}", env.path(".").display());
    env.git(&["checkout", "-q", "side"]);
    env.git(&["clone", "-q", "--depth", "1", &from, "../shallow"]);
    let run = env.llmc(&["-C", "../shallow", "log", "double", "--message-format", "json"]).expect(0);
    assert_eq!(told(&run.events()), [("human", "unknown", None, None)]);
}

#[test]
fn an_artifact_is_shown_as_any_revision_has_it() {
    let (env, _server) = built();
    let (code, record) = (env.read(CODE), env.read("generated/provenance/double.json"));
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    for revision in ["double@HEAD~1", "specs/double.yaml@main^", "double@HEAD@{1}"] {
        assert_eq!(env.llmc(&["show", revision, "--code"]).expect(0).stdout, code);
        assert!(env.llmc(&["show", revision]).expect(0).stdout.contains("openai/test"), "{revision}");
        let json = env.llmc(&["show", revision, "--message-format", "json"]).expect(0).stdout;
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&json), parse(&record));
    }
    assert!(env.llmc(&["show", "double@HEAD"]).expect(0).stdout.contains("a person"));
    // Without the spec, too.
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    env.llmc(&["show", "double@HEAD"]).expect(0);
    for (what, told) in [
        ("double@nowhere", "git knows no revision `nowhere`"),
        ("double@", "git knows no revision ``"),
        ("double@--all", "git knows no revision `--all`"),
        ("double@HEAD~2", "there is no artifact `double` in"),
        ("../double@HEAD", "there is no"),
    ] {
        let run = env.llmc(&["show", what]);
        assert!(run.code == 1 && run.stderr.contains(told) || what.starts_with(".."), "{what}: {run}");
    }
    let run = env.llmc(&["show", "double@HEAD", "--samples"]).expect(1);
    assert!(run.stderr.contains("not of a revision"), "{run}");
}

#[test]
fn a_long_history_is_read_in_little_time() {
    let (env, _server) = built();
    // Many commits, of which none touches the artifact.
    let mut stream = String::new();
    for number in 0..5000 {
        let from = if number == 0 { "from refs/heads/main^0\n" } else { "" };
        stream.push_str(&format!(
            "commit refs/heads/main\ncommitter T <t@example.org> {} +0000\ndata 1\nx\n{from}\
             M 100644 inline other.txt\ndata {}\n{number}\n",
            1_900_000_000 + number,
            number.to_string().len(),
        ));
    }
    env.write("../stream", &stream);
    env.run("sh", &["-c", "git fast-import --quiet < ../stream"], ".");
    let started = std::time::Instant::now();
    let entries = log(&env, &["double"]);
    assert_eq!(entries.len(), 1);
    // Generous, since other tests run beside this one: a diff of each commit would take much longer.
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

// ---- revert ----

/// `double` built, then taken in as a person's, with another description; the tree is dirty beside it.
fn twice() -> (TestEnv, Server) {
    let (env, server) = built();
    env.write("specs/double.yaml", &SPEC.replace("Twice", "Two times"));
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    (env, server)
}

const ARTIFACT: [&str; 4] =
    ["generated/provenance/double.json", CODE, "generated/tests/double.rs", "specs/double.yaml"];

#[test]
fn an_earlier_artifact_is_made_current_by_a_commit_of_its_files_and_is_as_it_was() {
    let (env, server) = twice();
    let asked = server.received().len();
    let old = env.git(&["rev-parse", "HEAD~1"]);
    let run = env.llmc(&["revert", "double@HEAD~1", "--message-format", "json"]).expect(0);
    let event = run.events().pop().unwrap();
    assert_eq!((&event["event"], &event["status"]), (&"reverted".into(), &"reverted".into()));
    assert_eq!((&event["to"], &event["notes"]), (&old.trim().into(), &serde_json::json!([])));
    assert_eq!(event["commit"], env.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(env.committed(), ARTIFACT);
    expect_dirty_as_before(&env);
    for path in ARTIFACT {
        assert_eq!(env.read(path), env.git(&["show", &format!("{}:{path}", old.trim())]), "{path}");
    }
    let message = env.git(&["log", "-1", "--format=%B"]);
    assert!(message.starts_with("llmc: revert double to "), "{message}");
    assert!(message.contains(&format!("\nLlmc-Reverts-To: {old}")), "{message}");
    env.llmc(&["verify"]).expect(0);
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
    assert_eq!(server.received().len(), asked);
    // Once more there is nothing to do; and the person's can be had back.
    let head = env.git(&["rev-parse", "HEAD"]);
    assert!(env.llmc(&["revert", "double@HEAD~2"]).expect(0).stderr.contains("double is as in "));
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    assert!(env.read(CODE).contains("n + n"));
    env.llmc(&["verify"]).expect(0);
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
}

#[test]
fn nothing_that_is_not_committed_is_written_over() {
    let (env, _server) = twice();
    let head = env.git(&["rev-parse", "HEAD"]);
    for path in ARTIFACT {
        let before = env.read(path);
        env.write(path, &format!("{before}# mine\n"));
        let run = env.llmc(&["revert", "double@HEAD~1"]).expect(6);
        assert!(run.stderr.contains(&format!("changes that are not committed would be lost: {path}")), "{run}");
        assert!(run.stderr.contains("`git commit` or `git stash` them first"), "{run}");
        assert_eq!(env.read(path), format!("{before}# mine\n"));
        // Staged and then undone on disk.
        env.git(&["add", path]);
        env.write(path, &before);
        env.llmc(&["revert", "double@HEAD~1"]).expect(6);
        env.git(&["reset", "-q", path]);
    }
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    expect_dirty_as_before(&env);
    // Of a file that is not there nothing is lost.
    std::fs::remove_file(env.path(CODE)).unwrap();
    env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    env.llmc(&["verify"]).expect(0);
}

#[test]
fn what_was_removed_is_brought_back_and_the_crate_lists_it() {
    let (env, _server) = built();
    let files = ["generated/Cargo.toml", "generated/src/lib.rs"].map(|path| (path, env.read(path)));
    let old = env.git(&["rev-parse", "HEAD"]);
    env.git(&["rm", "-q", "-r", "generated", "specs"]);
    env.git(&["commit", "-qm", "away", "--", "generated", "specs"]);
    env.llmc(&["revert", &format!("double@{}", old.trim())]).expect(0);
    assert_eq!(env.committed().len(), 6);
    for (path, text) in files {
        assert_eq!(env.read(path), text);
    }
    env.llmc(&["verify"]).expect(0);
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
    expect_dirty_as_before(&env);
}

#[test]
fn what_no_longer_fits_is_said_and_what_follows() {
    let (env, _server) = twice();
    env.write("templates/implement.system.tera", "You write Rust.");
    let run = env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    assert!(run.stderr.contains("note: the prompt's templates were others then: `llmc verify` says so"), "{run}");
    assert!(env.llmc(&["verify"]).expect(6).stderr.contains("templates"));
    assert_eq!(status(&build(&env, &[]).expect(0)), "built");
    std::fs::remove_file(env.path("templates/implement.system.tera")).unwrap();
    env.write("llmc.yaml", &(env.read("llmc.yaml") + "sampling: { top_p: 0.5 }\n"));
    let run = env.llmc(&["revert", "double@HEAD~1", "--no-commit"]).expect(0);
    assert!(run.stderr.contains("note: llmc.yaml said otherwise about model or sampling then"), "{run}");
    assert_eq!(env.git(&["log", "-1", "--format=%s"]), "llmc: build double\n");
}

#[test]
fn an_artifact_that_contradicts_its_own_record_is_not_made_current() {
    let (env, _server) = built();
    let commit = |path: &str, text: &str| {
        let before = env.read(path);
        env.write(path, text);
        env.git(&["commit", "-qm", "changed", path]);
        env.write(path, &before);
        env.git(&["commit", "-qm", "back", path]);
    };
    let record = "generated/provenance/double.json";
    for (path, text, told) in [
        (CODE, env.read(CODE).replace("n * 2", "n * 3"), "is not as it was recorded"),
        ("specs/double.yaml", SPEC.replace("Twice", "Thrice"), "is not the spec that the artifact was made for"),
        ("specs/double.yaml", SPEC.replace("signature", "sign"), "a spec is invalid"),
        (
            record,
            env.read(record).replace("\"format_version\": 1", "\"format_version\": 9"),
            "can't be read by this llmc",
        ),
    ] {
        commit(path, &text);
        let run = env.llmc(&["revert", "double@HEAD~1"]);
        assert!(matches!(run.code, 2 | 6) && run.stderr.contains(told), "{told}: {run}");
    }
    assert!(env.llmc(&["revert", "double"]).expect(1).stderr.contains("`llmc revert double@REV`"));
    let run = env.llmc(&["revert", "treble@HEAD"]).expect(1);
    assert!(run.stderr.contains("there is no artifact `treble` in"), "{run}");
    expect_dirty_as_before(&env);
}

#[test]
fn what_it_calls_has_to_be_there_and_what_calls_it_is_named() {
    let server = Server::answering(|received, _| {
        let asked = String::from_utf8_lossy(&received.body).into_owned();
        Reply::chat(if asked.contains("pub fn quadruple") {
            "```rust\nuse crate::double::double;\npub fn quadruple(n: i32) -> i32 { double(double(n)) }\n```"
        } else {
            RIGHT
        })
    });
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    let quadruple = "llmc: 1\nname: quadruple\ndescription: Four times a number.\nsignature: \"pub fn quadruple(n: i32) -> i32\"\n\
                     examples:\n  - { call: quadruple(2), returns: 8 }\nuses: [double]\nsampling: { samples: 1 }\n";
    env.write("specs/quadruple.yaml", quadruple);
    env.llmc(&["build"]).expect(0);
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    let run = env.llmc(&["adopt", "double"]).expect(0);
    assert!(run.stderr.contains("the next build looks at what uses it anew: quadruple"), "{run}");
    let run = env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    assert!(run.stderr.contains("the next build looks at what uses it anew: quadruple"), "{run}");
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
    env.llmc(&["verify"]).expect(0);
    // Both away, then the caller alone back.
    env.git(&["rm", "-q", "-r", "generated", "specs"]);
    env.git(&["commit", "-qm", "away"]);
    let run = env.llmc(&["revert", "quadruple@HEAD~1"]).expect(2);
    assert!(run.stderr.contains("`llmc revert double@"), "{run}");
    env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    env.llmc(&["revert", "quadruple@HEAD~2"]).expect(0);
    env.llmc(&["verify"]).expect(0);
}

// ---- specs that are renamed or deleted ----

const ALL: [&str; 6] = [
    "generated/Cargo.toml",
    "generated/provenance/double.json",
    CODE,
    "generated/src/lib.rs",
    "generated/tests/double.rs",
    "specs/double.yaml",
];

/// Another spec, built by the same model.
fn built_with_other() -> (TestEnv, Server) {
    let (env, server) = built();
    // It fits both specs: the function is the same.
    env.write("specs/other.yaml", &SPEC.replace("name: double", "name: other").replace("Twice", "Two times"));
    env.llmc(&["build"]).expect(0);
    (env, server)
}

#[track_caller]
fn event(run: &Run, kind: &str) -> Value {
    run.events().into_iter().find(|event| event["event"] == kind).unwrap_or_else(|| panic!("no {kind}: {run}"))
}

#[test]
fn the_artifact_of_a_spec_that_was_deleted_is_removed_in_a_commit_that_says_so() {
    let (env, server) = built_with_other();
    let asked = server.received().len();
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    let head = env.git(&["rev-parse", "HEAD"]);
    let run = env.llmc(&["verify"]).expect(6);
    assert!(run.stderr.contains("belongs to `specs/double.yaml`, which is no more; `llmc build` removes it"), "{run}");
    let run = build(&env, &["--locked"]).expect(6);
    assert!(run.stderr.contains("`double` is the artifact of `specs/double.yaml`, which is no more"), "{run}");
    // Only what is named is worked on.
    build(&env, &["other"]).expect(0);
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);

    let run = build(&env, &[]).expect(0);
    let removed = event(&run, "removed");
    assert_eq!((&removed["spec"], &removed["path"]), (&"double".into(), &"specs/double.yaml".into()));
    assert_eq!(removed["commit"], env.git(&["rev-parse", "HEAD"]).trim());
    let own: Vec<&str> = ALL.into_iter().filter(|path| *path != "generated/Cargo.toml").collect();
    assert_eq!(env.committed(), own);
    assert_eq!(
        env.git(&["log", "-1", "--format=%B"]),
        "llmc: remove double\n\nIts spec, specs/double.yaml, is no more.\n\nLlmc-Spec: specs/double.yaml\n\n"
    );
    expect_dirty_as_before(&env);
    assert!(!env.path(CODE).exists() && !env.read("generated/src/lib.rs").contains("double"));
    env.llmc(&["verify"]).expect(0);
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
    assert_eq!(server.received().len(), asked);
    // And can be had back.
    env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    env.llmc(&["verify"]).expect(0);
}

#[test]
fn a_deletion_may_be_named_or_not_committed_and_a_workspace_without_specs_is_left_alone() {
    let (env, _server) = built_with_other();
    let head = env.git(&["rev-parse", "HEAD"]);
    std::fs::rename(env.path("specs"), env.path("spec")).unwrap();
    let run = env.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("2 artifacts without a spec in `generated/`"), "{run}");
    std::fs::rename(env.path("spec"), env.path("specs")).unwrap();

    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    let run = build(&env, &["double", "--no-commit"]).expect(0);
    assert_eq!(event(&run, "removed")["commit"], Value::Null);
    assert!(!env.path(CODE).exists());
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    assert!(env.llmc(&["build", "treble"]).expect(1).stderr.contains("no spec `treble`"));
    // The next one that may commits it.
    let run = build(&env, &[]).expect(0);
    assert_eq!(event(&run, "removed")["commit"], env.git(&["rev-parse", "HEAD"]).trim());
    expect_dirty_as_before(&env);
    // Whoever deletes the files, too, means the same.
    for path in
        ["specs/other.yaml", "generated/src/other.rs", "generated/tests/other.rs", "generated/provenance/other.json"]
    {
        std::fs::remove_file(env.path(path)).unwrap();
    }
    env.write("specs/double.yaml", SPEC);
    build(&env, &[]).expect(0);
    assert_eq!(env.git(&["log", "-1", "--format=%s"]), "llmc: remove other\n");
    env.llmc(&["verify"]).expect(0);
    expect_dirty_as_before(&env);
}

#[test]
fn what_a_person_edited_or_made_is_not_removed_with_its_spec() {
    let (env, _server) = built_with_other();
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    let edited = env.read(CODE);
    let spec = env.read("specs/double.yaml");
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    let run = build(&env, &[]).expect(6);
    assert!(run.stderr.contains("`double` was edited by hand, and its spec `specs/double.yaml` is no more"), "{run}");
    assert_eq!(env.read(CODE), edited);
    // As the hint says.
    env.git(&["checkout", "--", "specs/double.yaml"]);
    assert_eq!(env.read("specs/double.yaml"), spec);
    env.llmc(&["adopt", "double", "--no-commit"]).expect(0);
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    let run = build(&env, &[]).expect(6);
    assert!(run.stderr.contains("`double` was made by a person and is not committed"), "{run}");
    assert!(env.path(CODE).exists());
    build(&env, &["--overwrite"]).expect(0);
    assert!(!env.path(CODE).exists());
    env.llmc(&["verify"]).expect(0);
    expect_dirty_as_before(&env);
}

#[test]
fn a_renamed_spec_takes_its_artifact_along_without_a_sample_where_all_else_is_the_same() {
    let (env, server) = built();
    let asked = server.received().len();
    let body = |path: &str| env.read(path).lines().skip(1).collect::<Vec<_>>().join("\n");
    let code = body(CODE);
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    env.write("specs/twofold.yaml", &SPEC.replace("name: double", "name: twofold"));
    let run = build(&env, &["--locked"]).expect(6);
    assert!(env.path(CODE).exists(), "{run}");
    let run = build(&env, &[]).expect(0);
    let moved = event(&run, "moved");
    assert_eq!((&moved["spec"], &moved["from"]), (&"twofold".into(), &"double".into()));
    assert_eq!(moved["commit"], env.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(status(&run), "fresh");
    assert_eq!(server.received().len(), asked);
    assert_eq!(
        env.git(&["show", "--no-renames", "--name-status", "--format=%s", "HEAD"]),
        "llmc: move double to twofold\n\n\
         D\tgenerated/provenance/double.json\nA\tgenerated/provenance/twofold.json\n\
         D\tgenerated/src/double.rs\nM\tgenerated/src/lib.rs\nA\tgenerated/src/twofold.rs\n\
         D\tgenerated/tests/double.rs\nA\tgenerated/tests/twofold.rs\n\
         D\tspecs/double.yaml\nA\tspecs/twofold.yaml\n"
    );
    expect_dirty_as_before(&env);
    assert_eq!(body("generated/src/twofold.rs"), code);
    env.llmc(&["verify"]).expect(0);
    env.llmc(&["replay", "twofold"]).expect(0);
    assert_eq!(status(&build(&env, &["--locked"]).expect(0)), "fresh");
    env.run("cargo", &["test", "--offline", "--quiet"], "generated");
    // The log goes on under the old name.
    let entries = log(&env, &["twofold"]);
    let names: Vec<&str> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["twofold", "double"]);
    assert_eq!(told(&entries)[0], ("model", "same", Some(true), Some("same")));
    let run = env.llmc(&["show", "twofold@HEAD~1"]).expect(1);
    assert!(run.stderr.contains("it was named `double` once: `double@"), "{run}");
}

#[test]
fn a_renamed_function_is_a_new_build_and_the_old_artifact_goes_once_it_is_there() {
    let (env, server) = built();
    let asked = server.received().len();
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    env.write("specs/twofold.yaml", &SPEC.replace("double", "twofold"));
    // The model only ever writes `double`.
    let run = build(&env, &[]).expect(3);
    assert!(server.received().len() > asked, "another prompt is another question");
    assert!(
        event(&run, "note")["message"].as_str().unwrap().contains("not removed before `twofold` is built"),
        "{run}"
    );
    assert!(env.path(CODE).exists());
    env.write("generated/src/twofold.rs", "pub fn twofold(n: i32) -> i32 { n * 2 }");
    env.llmc(&["adopt", "twofold"]).expect(0);
    let run = build(&env, &[]).expect(0);
    assert_eq!(event(&run, "removed")["spec"], "double");
    env.llmc(&["verify"]).expect(0);
    expect_dirty_as_before(&env);
}

#[test]
fn a_spec_that_is_used_elsewhere_or_was_changed_too_is_not_moved_and_a_place_is_no_name() {
    let (env, server) = built();
    // Changed as well as renamed: a new build.
    let asked = server.received().len();
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    let changed = SPEC.replace("name: double", "name: twofold").replace("returns: 4", "returns: 2 + 2");
    env.write("specs/twofold.yaml", &changed);
    let run = build(&env, &[]).expect(0);
    assert_eq!((status(&run).as_str(), event(&run, "removed")["spec"].as_str()), ("built", Some("double")));
    assert!(server.received().len() > asked);
    expect_dirty_as_before(&env);
    // At another place under the same name: the record follows.
    let asked = server.received().len();
    std::fs::create_dir(env.path("lib")).unwrap();
    std::fs::rename(env.path("specs/twofold.yaml"), env.path("lib/twofold.yaml")).unwrap();
    env.write("specs/other.yaml", &SPEC.replace("name: double", "name: other"));
    let run = build(&env, &["lib/twofold.yaml"]).expect(0);
    assert_eq!((event(&run, "moved")["path"].as_str(), status(&run).as_str()), (Some("lib/twofold.yaml"), "fresh"));
    assert_eq!(env.git(&["log", "-1", "--format=%s"]), "llmc: move twofold to lib/twofold.yaml\n");
    assert_eq!(server.received().len(), asked);
    env.llmc(&["verify", "lib/twofold.yaml"]).expect(0);
    // Its spec is there, so that it stays.
    build(&env, &[]).expect(0);
    assert!(env.path("generated/src/twofold.rs").exists());
    // What another spec uses can't go: as ever, that is a mistake in the other one.
    env.write("specs/user.yaml", &(SPEC.replace("name: double", "name: user") + "uses: [other]\n"));
    std::fs::remove_file(env.path("specs/other.yaml")).unwrap();
    let run = build(&env, &[]).expect(2);
    assert!(run.stderr.contains("no spec `other` to use") || run.stdout.contains("no spec `other` to use"), "{run}");
    assert!(env.path("generated/src/other.rs").exists());
}

#[test]
fn a_sparse_work_tree_is_no_deletion() {
    let (env, _server) = built_with_other();
    // git leaves what it is not sure of: its index is brought up to date first, once no time in it is of this second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    env.git(&["status"]);
    env.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/specs/double.yaml"]);
    assert!(!env.path("specs/double.yaml").exists());
    let head = env.git(&["rev-parse", "HEAD"]);
    build(&env, &[]).expect(0);
    assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    assert!(env.path(CODE).exists());
}

// ---- signing ----

#[test]
fn each_commit_is_signed_with_an_ssh_key_where_git_is_told_to_or_not_made() {
    let (env, _server) = built();
    let key = env.path("../home/key");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("not tested: there is no ssh-keygen here");
        return;
    }
    let public = env.read("../home/key.pub");
    env.write("../home/allowed", &format!("tess@example.org {public}"));
    let path = |file: &str| env.path("../home").join(file).display().to_string();
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("commit.gpgsign", "true"),
        ("user.signingkey", &path("key.pub")),
        ("gpg.ssh.allowedSignersFile", &path("allowed")),
    ] {
        env.git(&["config", name, value]);
    }
    edit(&env, "pub fn double(n: i32) -> i32 { n + n }");
    env.llmc(&["adopt", "double"]).expect(0);
    env.git(&["verify-commit", "HEAD"]);
    env.llmc(&["revert", "double@HEAD~1"]).expect(0);
    env.git(&["verify-commit", "HEAD"]);
    assert_eq!(env.git(&["log", "-2", "--format=%G?%s"]).lines().filter(|line| line.starts_with("Gllmc: ")).count(), 2);
    expect_dirty_as_before(&env);

    let head = env.git(&["rev-parse", "HEAD"]);
    env.git(&["config", "user.signingkey", "/nonexistent/key.pub"]);
    std::fs::remove_file(env.path("specs/double.yaml")).unwrap();
    env.write("specs/other.yaml", &SPEC.replace("name: double", "name: other"));
    for arguments in [&["revert", "double@HEAD~1"] as &[&str], &["build"]] {
        let run = env.llmc(arguments).expect(1);
        assert!(run.stderr.contains("failed to sign the commit"), "{run}");
        assert!(run.stderr.contains("the files are written: run the build again to commit them"), "{run}");
        assert_eq!(env.git(&["rev-parse", "HEAD"]), head);
    }
    env.git(&["config", "user.signingkey", &path("key.pub")]);
    build(&env, &[]).expect(0);
    env.git(&["verify-commit", "HEAD"]);
    assert_eq!(env.git(&["status", "--porcelain"]), DIRTY);
    env.llmc(&["verify"]).expect(0);
}
