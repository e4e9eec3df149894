//! The whole way on the embedded model: needs its file, and fetches it into the user's cache where it is missing.

use crate::env::TestEnv;

#[tokio::test]
async fn init_and_build_end_in_a_commit_that_passes_its_tests_without_llmc() {
    // llmc runs in an environment of its own below, in which pip may lack its settings.
    crate::model::embedded::located().await;
    let env = TestEnv::empty();
    env.llmc(&["init", "demo"]).expect(0);
    let run = env.llmc(&["-C", "demo", "build", "--message-format", "json", "--model", "embedded/0.5b"]).expect(0);
    let finished = run.finished();
    assert_eq!(finished["status"], "built", "{run}");
    assert_eq!(finished["sampled"], 8, "{run}");
    let files = env.run("git", &["show", "--name-only", "--format=", "HEAD"], "demo");
    assert_eq!(
        files.lines().collect::<Vec<_>>(),
        [
            "generated/Cargo.toml",
            "generated/provenance/count_vowels.json",
            "generated/src/count_vowels.rs",
            "generated/src/lib.rs",
            "generated/tests/count_vowels.rs",
            "specs/count_vowels.yaml",
        ]
    );
    env.run("cargo", &["test", "--quiet", "--offline"], "demo/generated");

    let shown = env.llmc(&["-C", "demo", "show", "count_vowels"]).expect(0);
    assert!(shown.stdout.contains("embedded/qwen2.5-coder-0.5b"), "{shown}");
    let again = env.llmc(&["-C", "demo", "build", "--message-format", "json"]).expect(0);
    assert_eq!(again.finished()["status"], "fresh");
}
