//! Provenance as a standard: held against the published formats, and read by other people's programs.
//!
//! Neither in-toto nor SLSA publish a JSON Schema. What stands here is their specification, field by field:
//! Statement and ResourceDescriptor from in-toto's attestation framework (spec/v1, Apache-2.0), the predicate from SLSA's
//! provenance v1 (its prose, CUE and protobuf definitions, Community Specification License 1.0). Unknown fields, which
//! the specifications let readers pass over, are mistakes here: a field of ours in a place of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use llmc::provenance::{Adoption, CrateRecord, Earlier, Fixer, Origin, Provenance, Repair, UseRecord};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const HOME: &str = env!("CARGO_MANIFEST_DIR");

/// in-toto: `Statement`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<ResourceDescriptor>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

/// in-toto: `ResourceDescriptor`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourceDescriptor {
    name: Option<String>,
    uri: Option<String>,
    digest: Option<BTreeMap<String, String>>,
    content: Option<String>,
    download_location: Option<String>,
    media_type: Option<String>,
    #[serde(rename = "annotations")]
    _annotations: Option<Map<String, Value>>,
}

/// SLSA: the predicate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

/// SLSA: `BuildDefinition`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: Map<String, Value>,
    #[serde(rename = "internalParameters")]
    _internal_parameters: Option<Map<String, Value>>,
    resolved_dependencies: Option<Vec<ResourceDescriptor>>,
}

/// SLSA: `RunDetails`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RunDetails {
    builder: Builder,
    metadata: Option<BuildMetadata>,
    byproducts: Option<Vec<ResourceDescriptor>>,
}

/// SLSA: `Builder`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Builder {
    id: String,
    builder_dependencies: Option<Vec<ResourceDescriptor>>,
    #[serde(rename = "version")]
    _version: Option<BTreeMap<String, String>>,
}

/// SLSA: `BuildMetadata`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BuildMetadata {
    #[serde(rename = "invocationId")]
    _invocation_id: Option<String>,
    started_on: Option<String>,
    finished_on: Option<String>,
}

/// RFC 3986: a scheme, and only characters that a URI may have.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '+' | '-' | '.'));
    let escapes = rest.split('%').skip(1);
    let are_escaped =
        escapes.clone().all(|one| one.get(..2).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit())));
    is_scheme
        && !rest.is_empty()
        && are_escaped
        && rest.chars().all(|one| one.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(one))
        && rest.matches('#').count() <= 1
}

/// SLSA's `Timestamp`: `YYYY-MM-DDThh:mm:ssZ`.
fn is_timestamp(text: &str) -> bool {
    text.len() == 20
        && text.bytes().zip("0000-00-00T00:00:00Z".bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// What is wrong with a descriptor.
fn wrong_with(one: &ResourceDescriptor, wrong: &mut Vec<String>) {
    let name = one.name.as_deref().unwrap_or("a descriptor");
    if one.uri.is_none() && one.digest.is_none() && one.content.is_none() {
        wrong.push(format!("{name}: one of uri, digest and content must be there"));
    }
    for uri in [&one.uri, &one.download_location].into_iter().flatten() {
        if !is_uri(uri) {
            wrong.push(format!("{name}: `{uri}` is no URI"));
        }
    }
    if one.media_type.as_ref().is_some_and(|media| !media.contains('/')) {
        wrong.push(format!("{name}: no media type"));
    }
    for (algorithm, digest) in one.digest.iter().flatten() {
        let is_hex = digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || (algorithm == "sha256" && digest.len() != 64) || algorithm.is_empty() {
            wrong.push(format!("{name}: `{digest}` is no {algorithm} in lower-case hex"));
        }
    }
}

/// What is wrong with a provenance file, by the two specifications.
fn wrong_in(bytes: &[u8]) -> Vec<String> {
    let statement: Statement = match serde_json::from_slice(bytes) {
        Ok(statement) => statement,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    let Predicate { build_definition: definition, run_details: details } = &statement.predicate;
    if statement.statement_type != "https://in-toto.io/Statement/v1" {
        wrong.push("another statement type".to_owned());
    }
    if statement.predicate_type != "https://slsa.dev/provenance/v1" {
        wrong.push("another predicate type".to_owned());
    }
    for uri in [&definition.build_type, &details.builder.id] {
        if !is_uri(uri) {
            wrong.push(format!("`{uri}` is no URI"));
        }
    }
    if definition.external_parameters.is_empty() {
        wrong.push("no externalParameters".to_owned());
    }
    if statement.subject.is_empty() || statement.subject.iter().any(|one| one.digest.is_none()) {
        wrong.push("each subject must have a digest".to_owned());
    }
    let names: BTreeSet<_> = statement.subject.iter().map(|one| &one.name).collect();
    if names.len() != statement.subject.len() {
        wrong.push("names of subjects should be unique".to_owned());
    }
    let lists = [&definition.resolved_dependencies, &details.builder.builder_dependencies, &details.byproducts];
    for one in statement.subject.iter().chain(lists.into_iter().flatten().flatten()) {
        wrong_with(one, &mut wrong);
    }
    for time in details.metadata.iter().flat_map(|metadata| [&metadata.started_on, &metadata.finished_on]).flatten() {
        if !is_timestamp(time) {
            wrong.push(format!("`{time}` is no timestamp"));
        }
    }
    wrong
}

/// This repository's own provenance files.
pub(crate) fn committed() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(HOME).join("generated/provenance"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    files
}

/// A record with everything that may be strange in one.
pub(crate) fn strange() -> Vec<u8> {
    let mut record = Provenance::read(&fs::read(&committed()[0]).unwrap()).unwrap();
    record.spec.path = "any where/ä#é?.yaml".into();
    let Origin::Model(drawn) = &mut record.origin else { panic!("a model made it") };
    drawn.model.name = "ask --x=/usr/b c%zz \"[{|}]\" <\u{1F600}>\n".into();
    drawn.prompt.template = "a b".into();
    drawn.completion.text = "\u{0}\u{7f}\u{2028} \u{fffd}".into();
    drawn.sampling.parameters.seed = u64::MAX;
    drawn.repairs = vec![Repair {
        by: Fixer::Model,
        sample: 0,
        parent: "1".repeat(64),
        class: None,
        code: None,
        detail: "x".into(),
        prompt: None,
        model: Some("openai/test".into()),
    }];
    record.crates = vec![CrateRecord { name: "a_b-c".into(), version: "1.0.0-rc.1+b.2".into(), sha256: None }];
    record.uses = vec![UseRecord { name: "other".into(), digest: "0".repeat(64) }];
    record.toolchain.rustc = "rustc".into();
    record.to_bytes()
}

/// A record of what a person made.
pub(crate) fn human() -> Vec<u8> {
    let mut record = Provenance::read(&fs::read(&committed()[0]).unwrap()).unwrap();
    let from = Earlier { code: "2".repeat(64), provenance: "3".repeat(64) };
    record.origin = Origin::Human(Adoption { from: Some(from) });
    record.to_bytes()
}

#[test]
fn provenance_is_an_in_toto_statement_with_a_slsa_predicate() {
    for file in committed() {
        assert_eq!(wrong_in(&fs::read(&file).unwrap()), Vec::<String>::new(), "{}", file.display());
    }
    let strange = strange();
    assert_eq!(wrong_in(&strange), Vec::<String>::new());
    assert_eq!(wrong_in(&human()), Vec::<String>::new());
    let read = Provenance::read(&strange).unwrap();
    assert_eq!(read.crates[0].version, "1.0.0-rc.1+b.2");
    assert_eq!(read.to_bytes(), strange);
}

#[test]
fn what_the_specifications_do_not_allow_is_seen() {
    let text = fs::read_to_string(&committed()[0]).unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let cases: [(&str, Value, &str); 11] = [
        ("/_type", json!("https://in-toto.io/Statement/v0.1"), "another statement type"),
        ("/subject", json!([]), "each subject must have a digest"),
        ("/subject/0/digest", Value::Null, "each subject must have a digest"),
        ("/subject/0/digest/sha256", json!("AB"), "no sha256 in lower-case hex"),
        ("/predicate/buildDefinition/buildType", json!("llmc build"), "is no URI"),
        ("/predicate/buildDefinition/externalParameters", json!({}), "no externalParameters"),
        ("/predicate/buildDefinition/resolvedDependencies/0/uri", json!("specs/gcd.yaml"), "is no URI"),
        ("/predicate/buildDefinition/resolvedDependencies/2/uri", json!("urn:x:a b"), "is no URI"),
        ("/predicate/runDetails/byproducts/0/uri", Value::Null, "one of uri, digest and content"),
        ("/predicate/runDetails/metadata/startedOn", json!("2026-11-22 18:32:20"), "is no timestamp"),
        ("/predicate/runDetails/builder", json!({"id": "urn:a:b", "versions": {}}), "unknown field `versions`"),
    ];
    for (place, value, told) in cases {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        let wrong = wrong_in(bad.to_string().as_bytes());
        assert!(wrong.iter().any(|one| one.contains(told)), "{place}: {wrong:?}");
    }
}
