//! The little of a provenance file that a build reads each time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::statement::SubjectWire;
use super::text::{expect, from_json, inside};
use super::{
    BUILD_TYPE, FORMAT_VERSION, HARDENED, HUMAN, MAX_BYTES, PREDICATE_TYPE, ProvenanceError, STATEMENT_TYPE,
    SpecRecord, Subject,
};
use crate::spec::Dependency;

/// The little of a provenance file that decides whether its artifact is up to date; quick to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The spec.
    pub spec: SpecRecord,
    /// See [`super::Provenance::input_digest`].
    pub input_digest: String,
    /// The generated files.
    pub subject: Vec<Subject>,
    /// Crates that the artifact may use.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Whether a person made it.
    pub is_human: bool,
    /// Whether it is code that answers for a component.
    pub is_hardened: bool,
}

impl Summary {
    /// Reads it, and checks that llmc wrote the file in a format that this version knows.
    pub fn read(bytes: &[u8]) -> Result<Self, ProvenanceError> {
        if bytes.len() > MAX_BYTES {
            return Err(ProvenanceError::TooLong(bytes.len()));
        }
        // The version first: a newer file may have fields that the rest of this function refuses.
        let version: Brief<Versioned> = from_json(bytes)?;
        expect("_type", version.statement_type, STATEMENT_TYPE)?;
        expect("predicateType", version.predicate_type, PREDICATE_TYPE)?;
        expect("buildType", version.predicate.build_definition.build_type, BUILD_TYPE)?;
        let version = version.predicate.build_definition.external_parameters.format_version;
        if version > FORMAT_VERSION {
            return Err(ProvenanceError::Newer(version));
        }
        let brief: Brief<Needed> = from_json(bytes)?;
        let external = brief.predicate.build_definition.external_parameters;
        let subject = brief.subject.into_iter().map(SubjectWire::into_subject).collect::<Result<_, _>>()?;
        inside(external.spec.path.clone())?;
        Ok(Self {
            spec: external.spec,
            input_digest: external.input_digest,
            subject,
            dependencies: external.dependencies,
            is_human: version == HUMAN,
            is_hardened: version == HARDENED,
        })
    }

    /// The recorded digest of a file.
    pub fn digest_of(&self, path: &str) -> Option<&str> {
        self.subject.iter().find(|subject| subject.path == path).map(|subject| subject.sha256.as_str())
    }
}

/// The shape of the statement, reading only what `E` wants of the external parameters.
#[derive(Deserialize)]
struct Brief<E> {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<SubjectWire>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: BriefPredicate<E>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BriefPredicate<E> {
    build_definition: BriefBuildDefinition<E>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BriefBuildDefinition<E> {
    build_type: String,
    external_parameters: E,
}

#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Needed {
    #[serde(rename = "format_version")]
    _format_version: IgnoredAny,
    spec: SpecRecord,
    input_digest: String,
    #[serde(rename = "model", default)]
    _model: IgnoredAny,
    #[serde(rename = "sampling", default)]
    _sampling: IgnoredAny,
    #[serde(rename = "policy")]
    _policy: IgnoredAny,
    dependencies: BTreeMap<String, Dependency>,
    #[serde(rename = "uses")]
    _uses: IgnoredAny,
}
