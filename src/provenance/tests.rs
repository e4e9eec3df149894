//! Records written and read back, and files that others wrote.

use std::collections::BTreeMap;

use serde_json::Value;

use super::text::without_paths;
use super::*;
use crate::digest::sha256;
use crate::model::Finish;
use crate::select::Cluster;

pub(crate) fn sample() -> Provenance {
    Provenance {
        subject: vec![
            Subject { path: "generated/src/slugify.rs".into(), sha256: sha256("code") },
            Subject { path: "generated/tests/slugify.rs".into(), sha256: sha256("tests") },
        ],
        spec: SpecRecord {
            name: "slugify".into(),
            path: "specs/slugify.yaml".into(),
            digest: sha256("canonical"),
            file_digest: sha256("file"),
        },
        input_digest: sha256("input"),
        origin: Origin::Model(Box::new(Drawn {
            model: Identity {
                provider: "command".into(),
                name: "/home/ann/bin/ask".into(),
                digest: None,
                facts: vec![("engine".into(), "llama.cpp b1".into()), ("file".into(), "--m=/home/ann/m.gguf".into())],
            },
            sampling: SamplingRecord {
                samples: 8,
                stop: Stop::Agree,
                repairs: 2,
                parameters: Parameters { temperature: Some(0.8), top_p: 0.95, max_tokens: None, seed: u64::MAX },
            },
            prompt: Prompt {
                template: "implement".into(),
                template_digest: sha256("template"),
                system: "You write Rust.".into(),
                user: "Write \"slugify\".\nTwo lines.".into(),
                opening: "```rust\n".into(),
                continuation: None,
            },
            completion: Completion {
                index: 4,
                text: "```rust\npub fn slugify() {}\n```\u{0}\u{1F600}".into(),
                finish: Finish::Stop,
                prompt_tokens: 300,
                completion_tokens: 40,
                temperature: 0.8,
                style: "opened".into(),
                milliseconds: 1200,
                ..Completion::default()
            },
            statistics: Statistics {
                counts: Counts { sampled: 8, parsed: 8, compiled: 7, passed: 6 },
                clusters: shares(
                    &[
                        Cluster { size: 6, passed: true, members: vec![] },
                        Cluster { size: 1, passed: false, members: vec![] },
                    ],
                    8,
                ),
                pass_rate: PassRate::new(6, 8, false),
                usage: Usage { prompt_tokens: 300, completion_tokens: 320, usd: Some(0.01) },
            },
            repairs: vec![Repair {
                by: Fixer::Model,
                parent: "9".repeat(64),
                prompt: Some("8".repeat(64)),
                model: Some("openai/test".into()),
                sample: 1,
                class: Some(Class::Miscompile),
                code: Some("E0308".into()),
                detail: "mismatched types".into(),
            }],
            certificate: None,
            hardness: None,
        })),
        policy: PolicyRecord::from(&Policy::default()),
        dependencies: BTreeMap::from([(
            "regex".into(),
            Dependency { version: "1".into(), features: vec![], default_features: true },
        )]),
        uses: vec![UseRecord { name: "transliterate".into(), digest: sha256("used") }],
        crates: vec![
            CrateRecord { name: "regex".into(), version: "1.11.0".into(), sha256: Some(sha256("crate")) },
            CrateRecord { name: "memchr".into(), version: "2.7.0+more.1".into(), sha256: None },
        ],
        toolchain: ToolchainRecord {
            rustc: "rustc 1.95.0 (59807616e 2026-04-14)".into(),
            host: "x86_64-unknown-linux-gnu".into(),
        },
        llmc_version: "0.1.0".into(),
        invocation: "0192-77".into(),
        started_on: rfc3339(1_795_365_600),
        finished_on: rfc3339(1_795_365_660),
        sandbox: "full".into(),
    }
}

/// What is left after the paths are cut.
fn recorded() -> Provenance {
    let mut sample = sample();
    let Origin::Model(drawn) = &mut sample.origin else { unreachable!("it was drawn") };
    drawn.model.name = "ask".into();
    drawn.model.facts[1].1 = "--m=m.gguf".into();
    sample
}

#[test]
fn a_record_reads_back_as_it_was() {
    let bytes = sample().to_bytes();
    assert_eq!(Provenance::read(&bytes).unwrap(), recorded());
    assert_eq!(recorded().to_bytes(), bytes, "writing it again gives the same bytes");
    assert!(bytes.ends_with(b"}\n"));
}

/// Made by a person of the artifact that `sample` tells of.
fn adopted(from: Option<Earlier>) -> Provenance {
    Provenance { origin: Origin::Human(Adoption { from }), ..sample() }
}

#[test]
fn a_record_of_what_a_person_made_names_no_model_and_reads_back() {
    for from in [None, Some(Earlier { code: sha256("code"), provenance: sha256("record") })] {
        let record = adopted(from);
        let bytes = record.to_bytes();
        assert_eq!(Provenance::read(&bytes).unwrap(), record);
        assert!(Summary::read(&bytes).unwrap().is_human && !Summary::read(&sample().to_bytes()).unwrap().is_human);
        let text = String::from_utf8(bytes).unwrap();
        for word in ["model", "sampling", "completion", "prompt", "statistics", "template"] {
            assert!(!text.contains(&format!("\"{word}")), "{word}: {text}");
        }
        assert!(text.contains("\"by\": \"human\""), "{text}");
    }
}

#[test]
fn a_record_is_either_of_a_model_s_code_or_of_a_person_s() {
    let external = |value: &mut Value| value["predicate"]["buildDefinition"]["externalParameters"].take();
    let mut human: Value = serde_json::from_slice(&adopted(None).to_bytes()).unwrap();
    let drawn = external(&mut serde_json::from_slice(&sample().to_bytes()).unwrap());
    let mut own = external(&mut human);
    for key in ["model", "sampling"] {
        own[key] = drawn[key].clone();
        human["predicate"]["buildDefinition"]["externalParameters"] = own.clone();
        let error = Provenance::read(human.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("what a person made has no model"), "{error}");
    }
    // An llmc that knows only records with a model says so, by the version.
    assert_eq!((&drawn["format_version"], &own["format_version"]), (&1.into(), &2.into()));
}

#[test]
fn a_record_is_a_statement_with_a_slsa_predicate() {
    let value: Value = serde_json::from_slice(&sample().to_bytes()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&value), ["_type", "subject", "predicateType", "predicate"]);
    assert_eq!(value["_type"], STATEMENT_TYPE);
    assert_eq!(value["predicateType"], PREDICATE_TYPE);
    let predicate = &value["predicate"];
    assert_eq!(keys(predicate), ["buildDefinition", "runDetails"]);
    assert_eq!(
        keys(&predicate["buildDefinition"]),
        ["buildType", "externalParameters", "internalParameters", "resolvedDependencies"]
    );
    assert_eq!(keys(&predicate["runDetails"]), ["builder", "metadata", "byproducts"]);
    assert_eq!(keys(&predicate["runDetails"]["metadata"]), ["invocationId", "startedOn", "finishedOn"]);
    assert_eq!(value["subject"][0]["digest"]["sha256"], sha256("code"));
    for list in [&predicate["buildDefinition"]["resolvedDependencies"], &predicate["runDetails"]["byproducts"]] {
        for descriptor in list.as_array().unwrap() {
            assert!(descriptor["uri"].is_string(), "in-toto asks for a uri, digest or content: {descriptor}");
        }
    }
    assert_eq!(predicate["buildDefinition"]["externalParameters"]["sampling"]["parameters"]["temperature"], 0.8);
}

#[test]
fn no_absolute_path_is_recorded() {
    let text = String::from_utf8(sample().to_bytes()).unwrap();
    assert!(!text.contains("/home"), "{text}");
    for (given, kept) in [
        ("/usr/bin/ask --x=/a/b c/d", "ask --x=b c/d"),
        ("Qwen/Qwen2.5 http://localhost:80/v1", "Qwen/Qwen2.5 http://localhost:80/v1"),
        ("C:\\models\\m.gguf ~/m", "m.gguf m"),
        ("/", ""),
    ] {
        assert_eq!(without_paths(given), kept);
    }
}

#[test]
fn a_summary_says_what_decides_freshness() {
    let summary = Summary::read(&sample().to_bytes()).unwrap();
    assert_eq!(summary.input_digest, sha256("input"));
    assert_eq!(summary.spec.name, "slugify");
    assert_eq!(summary.digest_of("generated/tests/slugify.rs"), Some(sha256("tests").as_str()));
    assert_eq!(summary.digest_of("generated/src/other.rs"), None);
    assert_eq!(summary.dependencies.len(), 1);
}

fn changed(change: impl FnOnce(&mut Value)) -> ProvenanceError {
    let mut value: Value = serde_json::from_slice(&sample().to_bytes()).unwrap();
    change(&mut value);
    Provenance::read(value.to_string().as_bytes()).unwrap_err()
}

#[test]
fn a_file_of_another_kind_is_refused_with_a_reason() {
    assert!(matches!(Provenance::read(b"{").unwrap_err(), ProvenanceError::Shape(_)));
    assert!(matches!(Provenance::read(&[0xff; 9]).unwrap_err(), ProvenanceError::Shape(_)));
    let long = vec![b' '; MAX_BYTES + 1];
    assert_eq!(Provenance::read(&long).unwrap_err(), ProvenanceError::TooLong(MAX_BYTES + 1));
    let deep = "[".repeat(1 << 20);
    assert!(matches!(Provenance::read(deep.as_bytes()).unwrap_err(), ProvenanceError::Shape(_)));

    let error = changed(|value| value["_type"] = "https://example.org/x".into());
    assert!(error.to_string().starts_with("_type is \"https://example.org/x\", not "), "{error}");
    let external = |value: &mut Value, key: &str, new: Value| {
        value["predicate"]["buildDefinition"]["externalParameters"][key] = new;
    };
    let error = changed(|value| {
        external(value, "format_version", 5.into());
        external(value, "something_new", 1.into());
    });
    assert_eq!(error, ProvenanceError::Newer(5));
    let error = changed(|value| external(value, "extra", 1.into()));
    assert!(error.to_string().contains("unknown field `extra`"), "{error}");
    let error = changed(|value| value["predicate"]["runDetails"]["byproducts"][1]["name"] = "x".into());
    assert!(error.to_string().contains("no byproduct `completion`"), "{error}");
}

#[test]
fn a_completion_changed_by_hand_is_noticed() {
    let error = changed(|value| value["predicate"]["runDetails"]["byproducts"][1]["annotations"]["text"] = "x".into());
    assert_eq!(error, ProvenanceError::Mismatch("completion"));
}

#[test]
fn a_subject_outside_of_the_workspace_is_refused() {
    for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "", "C:\\x", "a\\..\\x"] {
        let error = changed(|value| value["subject"][0]["name"] = path.into());
        assert_eq!(error, ProvenanceError::Path(path.into()));
    }
}

#[test]
fn times_are_written_in_utc() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (68_169_599, "1972-02-28T23:59:59Z"),
        (68_169_600, "1972-02-29T00:00:00Z"),
        (951_827_696, "2000-02-29T12:34:56Z"),
        (1_000_000_000, "2001-09-09T01:46:40Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(rfc3339(seconds), text);
    }
}
