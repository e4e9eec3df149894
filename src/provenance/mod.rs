//! Provenance: the committed record of how an artifact came to be. docs/provenance.md describes the file.
//!
//! Text in, text out: nothing here reads the clock, the disk or git. A record holds no key and no absolute path.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::sha256;
use crate::model::{Completion, Identity, Parameters};
use crate::prompt::Prompt;
use crate::select::Cluster;
use crate::spec::{Dependency, Policy, Profile, Stop};
use crate::stats::wilson;
use crate::verdict::Class;

/// Version of what llmc itself puts into the file, at most. A reader refuses a higher one.
pub const FORMAT_VERSION: u32 = 2;
/// The version of a record of what was drawn from a model.
const DRAWN: u32 = 1;
/// The version of a record of what a person made: it has no model.
const HUMAN: u32 = 2;
/// Longest provenance file that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// in-toto's name for the statement format.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// SLSA's name for the predicate format.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What kind of build it is; docs/provenance.md says what its parameters mean.
pub const BUILD_TYPE: &str = "urn:llmc:build:v1";
/// Who built.
pub const BUILDER_ID: &str = "urn:llmc:builder";

/// How an artifact came to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The generated files.
    pub subject: Vec<Subject>,
    /// The spec.
    pub spec: SpecRecord,
    /// What decides whether the artifact is up to date: see docs/provenance.md.
    pub input_digest: String,
    /// Who made the code.
    pub origin: Origin,
    /// What generated code might not do.
    pub policy: PolicyRecord,
    /// Crates that generated code might use, as the spec says.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Other artifacts that this one may call.
    pub uses: Vec<UseRecord>,
    /// The crates that were compiled in, with their exact versions.
    pub crates: Vec<CrateRecord>,
    /// The compiler.
    pub toolchain: ToolchainRecord,
    /// llmc's own version.
    pub llmc_version: String,
    /// Names the run, for finding it in the ledger.
    pub invocation: String,
    /// When work on the spec began, in RFC 3339 (UTC): see [`rfc3339`].
    pub started_on: String,
    /// When the artifact was chosen, in RFC 3339 (UTC).
    pub finished_on: String,
    /// How well the sandbox held candidates, e.g. `full`.
    pub sandbox: String,
}

/// Who made an artifact's code.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A model: it is what became of one of its samples.
    Model(Box<Drawn>),
    /// A person; it was judged as a sample is.
    Human(Adoption),
}

/// How code was drawn from a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The model the chosen sample was drawn from.
    pub model: Identity,
    /// How it was sampled.
    pub sampling: SamplingRecord,
    /// What was sent to the model.
    pub prompt: Prompt,
    /// The chosen sample, in full.
    pub completion: Completion,
    /// What the samples show about the spec and the model.
    pub statistics: Statistics,
    /// The steps from an independent draw to what was chosen, first one first; none where that is one itself.
    pub repairs: Vec<Repair>,
}

impl Drawn {
    /// The index, from 0, of the independent draw that the chosen candidate is or was made of.
    pub fn root(&self) -> usize {
        self.repairs.first().map_or(self.completion.index, |repair| repair.sample)
    }
}

/// How code that a person made was taken in. Who it was, the commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The artifact that was there before; none where there was none.
    pub from: Option<Earlier>,
}

/// An artifact that another one was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// SHA-256 of its code file, as its provenance has it.
    pub code: String,
    /// SHA-256 of its provenance file.
    pub provenance: String,
}

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its path, relative to the workspace's root.
    pub path: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// The spec as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecRecord {
    /// Its name.
    pub name: String,
    /// Its file, relative to the workspace's root.
    pub path: String,
    /// SHA-256 of its canonical form: comments and layout play no part.
    pub digest: String,
    /// SHA-256 of the file's bytes.
    pub file_digest: String,
}

/// How the model was sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingRecord {
    /// Most samples that would have been drawn.
    pub samples: usize,
    /// When drawing would stop.
    pub stop: Stop,
    /// Most repairs that would have been tried.
    pub repairs: usize,
    /// The sampler's parameters, the seed among them.
    pub parameters: Parameters,
}

/// The spec's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRecord {
    /// Whether `unsafe` was allowed.
    pub allow_unsafe: bool,
    /// Longest candidate, in lines.
    pub max_lines: usize,
    /// Paths that might not be named.
    pub deny: Vec<String>,
    /// How it was compiled for its checks; in older records it is not told, and was the default.
    #[serde(default = "default_profiles")]
    pub profiles: Vec<Profile>,
}

fn default_profiles() -> Vec<Profile> {
    Policy::default().profiles
}

impl From<&Policy> for PolicyRecord {
    fn from(policy: &Policy) -> Self {
        let (deny, profiles) = (policy.deny.clone(), policy.profiles.clone());
        Self { allow_unsafe: policy.allow_unsafe, max_lines: policy.max_lines, deny, profiles }
    }
}

/// An artifact that this one may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseRecord {
    /// Its spec's name.
    pub name: String,
    /// SHA-256 of its code.
    pub digest: String,
}

/// A crate that was compiled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrateRecord {
    /// Its name.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// SHA-256 of its package, where known.
    pub sha256: Option<String>,
}

/// The compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolchainRecord {
    /// `rustc -V`.
    pub rustc: String,
    /// The host triple.
    pub host: String,
}

/// What the samples show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// How many samples came how far.
    pub counts: Counts,
    /// Candidates by what they are, largest group first.
    pub clusters: Vec<Share>,
    /// The rate at which independent draws pass; absent when there was none.
    pub pass_rate: Option<PassRate>,
    /// What it cost.
    pub usage: Usage,
}

/// How many samples came how far. Each number counts among the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Samples drawn.
    pub sampled: usize,
    /// With Rust that parses, conforms and keeps to the policy.
    pub parsed: usize,
    /// That compile.
    pub compiled: usize,
    /// For which every check holds.
    pub passed: usize,
}

/// A cluster and its share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How many candidates are in it.
    pub size: usize,
    /// Whether they pass.
    pub passed: bool,
    /// Its size over the number of samples drawn, rounded to six places.
    pub share: f64,
}

/// Each cluster's share of `sampled` draws, in the order given.
pub fn shares(clusters: &[Cluster], sampled: usize) -> Vec<Share> {
    clusters
        .iter()
        .map(|cluster| Share {
            size: cluster.size,
            passed: cluster.passed,
            share: round(cluster.size as f64 / sampled.max(cluster.size) as f64),
        })
        .collect()
}

/// The rate at which independent draws pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassRate {
    /// Draws that pass.
    pub passed: usize,
    /// Independent draws.
    pub trials: usize,
    /// `passed` over `trials`, rounded to six places.
    pub rate: f64,
    /// Low end of the Wilson 95% interval, rounded to six places.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// Whether the number of draws was fixed beforehand. When it was not (drawing stopped at a pass, or when
    /// the behaviour was settled) the interval is a description, not a bound.
    pub fixed: bool,
}

impl PassRate {
    /// The rate after `trials` independent draws; `None` without any.
    pub fn new(passed: usize, trials: usize, fixed: bool) -> Option<Self> {
        let (low, high) = wilson(passed, trials);
        (trials > 0).then(|| Self {
            passed,
            trials,
            rate: round(passed as f64 / trials as f64),
            low: round(low),
            high: round(high),
            fixed,
        })
    }
}

fn round(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// What the samples cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Tokens of prompts, as the provider counts them.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// US dollars, where the price is known.
    pub usd: Option<f64>,
}

/// A step from a candidate that failed to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// Who took it.
    #[serde(default)]
    pub by: Fixer,
    /// The index, from 0, of the sample that failed.
    pub sample: usize,
    /// SHA-256 of that sample's completion.
    #[serde(default)]
    pub parent: String,
    /// What kind of failure it was.
    pub class: Option<Class>,
    /// Its code.
    pub code: Option<String>,
    /// What the model was told; or what rustc suggested and was done.
    pub detail: String,
    /// For a model: SHA-256 of the prompt that told it, as the ledger has it.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The model, as `provider/name`.
    #[serde(default)]
    pub model: Option<String>,
}

/// Who changes a candidate that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fixer {
    /// A model, which was told what is wrong: the result is a sample of its own.
    #[default]
    Model,
    /// rustc, by suggestions that it is sure of: the result is still the same sample.
    Rustc,
}

/// Why a provenance file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// Longer than [`MAX_BYTES`].
    #[error("provenance of {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// No JSON, or not of this shape.
    #[error("not a provenance file of llmc: {0}")]
    Shape(String),
    /// Written by a newer llmc.
    #[error("provenance of format version {0}; this llmc reads up to {FORMAT_VERSION}: use a newer llmc")]
    Newer(u32),
    /// A statement about something else.
    #[error("{field} is {found:?}, not {wanted:?}")]
    Foreign {
        /// The field.
        field: &'static str,
        /// What it holds, shortened.
        found: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A digest that is recorded beside its text does not fit it.
    #[error("the recorded {0} is not what its digest says: the file was changed by hand")]
    Mismatch(&'static str),
    /// A path that leads out of the workspace.
    #[error("{0:?} is not a path inside of the workspace")]
    Path(String),
}

impl Provenance {
    /// How it was drawn; `None` where a person made it.
    pub fn drawn(&self) -> Option<&Drawn> {
        match &self.origin {
            Origin::Model(drawn) => Some(drawn),
            Origin::Human(_) => None,
        }
    }

    /// The file's bytes: JSON for people too, the same for the same record, with a newline at the end.
    ///
    /// The last byproduct is a digest of all before it. Whoever reads a file can so tell that it is as it was written:
    /// it gives the same bytes again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = |statement: &Statement<Annotations>| {
            serde_json::to_vec_pretty(statement).expect("a record holds only strings and numbers")
        };
        let mut statement = self.statement();
        let digest = sha256(json(&statement));
        statement.predicate.run_details.byproducts.push(Byproduct {
            name: RECORD.to_owned(),
            uri: format!("urn:llmc:byproduct:{RECORD}"),
            digest: Some(Digest::of(&digest)),
            annotations: Annotations::Record {},
        });
        let mut bytes = json(&statement);
        bytes.push(b'\n');
        bytes
    }

    /// Reads what [`Provenance::to_bytes`] wrote; the file may come from anyone.
    pub fn read(bytes: &[u8]) -> Result<Self, ProvenanceError> {
        Summary::read(bytes)?;
        let statement: Statement<Value> = from_json(bytes)?;
        let Statement { subject, predicate, .. } = statement;
        let Predicate { build_definition, run_details } = predicate;
        let BuildDefinition { external_parameters: external, resolved_dependencies, .. } = build_definition;
        let mut byproducts = run_details.byproducts;
        let environment: Environment = byproduct(&mut byproducts, ENVIRONMENT)?.1;
        let origin = match (external.format_version, external.model, external.sampling) {
            (DRAWN, Some(model), Some(sampling)) => {
                Origin::Model(Box::new(read_drawn(model, sampling, &mut byproducts)?))
            }
            (HUMAN, None, None) => {
                let OriginWire { from, .. } = byproduct(&mut byproducts, ORIGIN)?.1;
                Origin::Human(Adoption { from })
            }
            _ => return Err(shape("what a person made has no model and no sampling, and everything else has both")),
        };
        Ok(Self {
            subject: subject
                .into_iter()
                .map(|subject| Ok(Subject { path: inside(subject.name)?, sha256: subject.digest.sha256 }))
                .collect::<Result<_, _>>()?,
            input_digest: external.input_digest,
            spec: external.spec,
            origin,
            policy: external.policy,
            dependencies: external.dependencies,
            uses: external.uses,
            crates: resolved_dependencies.into_iter().filter_map(ResolvedDependency::into_crate).collect(),
            toolchain: environment.toolchain,
            sandbox: environment.sandbox,
            llmc_version: run_details.builder.version.llmc,
            invocation: run_details.metadata.invocation_id,
            started_on: run_details.metadata.started_on,
            finished_on: run_details.metadata.finished_on,
        })
    }

    fn statement(&self) -> Statement<Annotations> {
        let environment = Environment {
            sandbox: without_paths(&self.sandbox),
            toolchain: ToolchainRecord {
                rustc: without_paths(&self.toolchain.rustc),
                host: without_paths(&self.toolchain.host),
            },
        };
        let (drawn, format_version) = match &self.origin {
            Origin::Model(drawn) => (Some(drawn), DRAWN),
            Origin::Human(_) => (None, HUMAN),
        };
        let model = drawn.map(|drawn| Identity {
            provider: drawn.model.provider.clone(),
            name: without_paths(&drawn.model.name),
            digest: drawn.model.digest.clone(),
            facts: drawn.model.facts.iter().map(|(name, fact)| (name.clone(), without_paths(fact))).collect(),
        });
        let annotated = |name: &str, digest: Option<Digest>, annotations| Byproduct {
            name: name.to_owned(),
            uri: format!("urn:llmc:byproduct:{name}"),
            digest,
            annotations,
        };
        let environment_wire = Annotations::Environment(environment.clone());
        let byproducts = match &self.origin {
            Origin::Model(drawn) => vec![
                annotated(PROMPT, None, Annotations::Prompt(drawn.prompt.clone())),
                annotated(
                    COMPLETION,
                    Some(Digest::of(&sha256(&drawn.completion.text))),
                    Annotations::Completion(drawn.completion.clone()),
                ),
                annotated(STATISTICS, None, Annotations::Statistics(drawn.statistics.clone())),
                annotated(ENVIRONMENT, None, environment_wire),
                annotated(REPAIRS, None, Annotations::Repairs(Repairs { list: drawn.repairs.clone() })),
            ],
            Origin::Human(adoption) => vec![
                annotated(ORIGIN, None, Annotations::Origin(OriginWire { by: By::Human, from: adoption.from.clone() })),
                annotated(ENVIRONMENT, None, environment_wire),
            ],
        };
        Statement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: self
                .subject
                .iter()
                .map(|subject| SubjectWire { name: subject.path.clone(), digest: Digest::of(&subject.sha256) })
                .collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE.to_owned(),
                    external_parameters: ExternalParameters {
                        format_version,
                        spec: self.spec.clone(),
                        input_digest: self.input_digest.clone(),
                        model: model.clone(),
                        sampling: drawn.map(|drawn| drawn.sampling.clone()),
                        policy: self.policy.clone(),
                        dependencies: self.dependencies.clone(),
                        uses: self.uses.clone(),
                    },
                    internal_parameters: InternalParameters {
                        template: drawn.map(|drawn| drawn.prompt.template.clone()),
                        template_digest: drawn.map(|drawn| drawn.prompt.template_digest.clone()),
                    },
                    resolved_dependencies: self.resolved_dependencies(model.as_ref(), &environment.toolchain),
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: BUILDER_ID.to_owned(),
                        version: BuilderVersion { llmc: self.llmc_version.clone() },
                    },
                    metadata: Metadata {
                        invocation_id: self.invocation.clone(),
                        started_on: self.started_on.clone(),
                        finished_on: self.finished_on.clone(),
                    },
                    byproducts,
                },
            },
        }
    }

    fn resolved_dependencies(&self, model: Option<&Identity>, toolchain: &ToolchainRecord) -> Vec<ResolvedDependency> {
        let mut all = vec![ResolvedDependency {
            name: "spec".to_owned(),
            uri: self.spec.path.clone(),
            digest: Some(Digest::of(&self.spec.file_digest)),
        }];
        if let Some((drawn, model)) = self.drawn().zip(model) {
            all.push(ResolvedDependency {
                name: "template".to_owned(),
                uri: format!("urn:llmc:template:{}", drawn.prompt.template),
                digest: Some(Digest::of(&drawn.prompt.template_digest)),
            });
            all.push(ResolvedDependency {
                name: "model".to_owned(),
                uri: format!("urn:llmc:model:{model}"),
                digest: model.digest.as_deref().map(Digest::of),
            });
        }
        all.push(ResolvedDependency {
            name: "rustc".to_owned(),
            uri: format!("pkg:generic/rustc@{}", toolchain.rustc.split(' ').nth(1).unwrap_or("unknown")),
            digest: None,
        });
        all.extend(self.uses.iter().map(|used| ResolvedDependency {
            name: format!("artifact {}", used.name),
            uri: format!("generated/src/{}.rs", used.name),
            digest: Some(Digest::of(&used.digest)),
        }));
        all.extend(self.crates.iter().map(|one| ResolvedDependency {
            name: format!("{CRATE}{}", one.name),
            uri: format!("{CARGO}{}@{}", one.name, one.version),
            digest: one.sha256.as_deref().map(Digest::of),
        }));
        all
    }
}

/// The little of a provenance file that decides whether its artifact is up to date; quick to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The spec.
    pub spec: SpecRecord,
    /// See [`Provenance::input_digest`].
    pub input_digest: String,
    /// The generated files.
    pub subject: Vec<Subject>,
    /// Crates that the artifact may use.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Whether a person made it.
    pub is_human: bool,
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
        let subject = brief
            .subject
            .into_iter()
            .map(|subject| Ok(Subject { path: inside(subject.name)?, sha256: subject.digest.sha256 }))
            .collect::<Result<_, _>>()?;
        inside(external.spec.path.clone())?;
        Ok(Self {
            spec: external.spec,
            input_digest: external.input_digest,
            subject,
            dependencies: external.dependencies,
            is_human: version == HUMAN,
        })
    }

    /// The recorded digest of a file.
    pub fn digest_of(&self, path: &str) -> Option<&str> {
        self.subject.iter().find(|subject| subject.path == path).map(|subject| subject.sha256.as_str())
    }
}

const PROMPT: &str = "prompt";
const COMPLETION: &str = "completion";
const STATISTICS: &str = "statistics";
const ENVIRONMENT: &str = "environment";
const REPAIRS: &str = "repairs";
const ORIGIN: &str = "origin";
const RECORD: &str = "record";
const CRATE: &str = "crate ";
const CARGO: &str = "pkg:cargo/";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement<A> {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<SubjectWire>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate<A>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectWire {
    name: String,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    sha256: String,
}

impl Digest {
    fn of(sha256: &str) -> Self {
        Self { sha256: sha256.to_owned() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Predicate<A> {
    build_definition: BuildDefinition,
    run_details: RunDetails<A>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BuildDefinition {
    build_type: String,
    external_parameters: ExternalParameters,
    internal_parameters: InternalParameters,
    resolved_dependencies: Vec<ResolvedDependency>,
}

/// What decided the outcome and came from outside. From here on names are llmc's own, as in its other files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalParameters {
    format_version: u32,
    spec: SpecRecord,
    input_digest: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    model: Option<Identity>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sampling: Option<SamplingRecord>,
    policy: PolicyRecord,
    dependencies: BTreeMap<String, Dependency>,
    uses: Vec<UseRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InternalParameters {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    template_digest: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolvedDependency {
    name: String,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    digest: Option<Digest>,
}

impl ResolvedDependency {
    fn into_crate(self) -> Option<CrateRecord> {
        let name = self.name.strip_prefix(CRATE)?;
        let version = self.uri.strip_prefix(CARGO)?.strip_prefix(name)?.strip_prefix('@')?;
        Some(CrateRecord {
            name: name.to_owned(),
            version: version.to_owned(),
            sha256: self.digest.map(|digest| digest.sha256),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunDetails<A> {
    builder: Builder,
    metadata: Metadata,
    byproducts: Vec<Byproduct<A>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Builder {
    id: String,
    version: BuilderVersion,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuilderVersion {
    llmc: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    invocation_id: String,
    started_on: String,
    finished_on: String,
}

/// An in-toto ResourceDescriptor. Its data stands in `annotations`, where people can read it in a diff,
/// and not in `content`, which is base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Byproduct<A> {
    name: String,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    digest: Option<Digest>,
    annotations: A,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Annotations {
    Prompt(Prompt),
    Completion(Completion),
    Statistics(Statistics),
    Environment(Environment),
    Repairs(Repairs),
    Origin(OriginWire),
    /// Nothing but its digest.
    Record {},
}

/// Who made the code, where that is no model.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginWire {
    by: By,
    from: Option<Earlier>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Human,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    sandbox: String,
    toolchain: ToolchainRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repairs {
    list: Vec<Repair>,
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

/// What a model drew, as the byproducts have it.
fn read_drawn(
    model: Identity,
    sampling: SamplingRecord,
    byproducts: &mut [Byproduct<Value>],
) -> Result<Drawn, ProvenanceError> {
    let prompt: Prompt = byproduct(byproducts, PROMPT)?.1;
    let (digest, completion): (_, Completion) = byproduct(byproducts, COMPLETION)?;
    if digest.is_none_or(|digest| digest.sha256 != sha256(&completion.text)) {
        return Err(ProvenanceError::Mismatch("completion"));
    }
    let statistics = byproduct(byproducts, STATISTICS)?.1;
    let repairs: Repairs = byproduct(byproducts, REPAIRS)?.1;
    Ok(Drawn { model, sampling, prompt, completion, statistics, repairs: repairs.list })
}

fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ProvenanceError> {
    serde_json::from_slice(bytes).map_err(shape)
}

fn shape(error: impl fmt::Display) -> ProvenanceError {
    ProvenanceError::Shape(shorten(&error.to_string()))
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn expect(field: &'static str, found: String, wanted: &'static str) -> Result<(), ProvenanceError> {
    if found == wanted {
        return Ok(());
    }
    Err(ProvenanceError::Foreign { field, found: shorten(&found), wanted })
}

fn byproduct<T: serde::de::DeserializeOwned>(
    all: &mut [Byproduct<Value>],
    name: &str,
) -> Result<(Option<Digest>, T), ProvenanceError> {
    let found = all.iter_mut().find(|one| one.name == name).ok_or_else(|| shape(format!("no byproduct `{name}`")))?;
    let annotations = serde_json::from_value(found.annotations.take())
        .map_err(|error| shape(format!("byproduct `{name}`: {error}")))?;
    Ok((found.digest.take(), annotations))
}

/// `path` when it stays inside of the workspace.
fn inside(path: String) -> Result<String, ProvenanceError> {
    let parts = || path.split('/');
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    if parts().all(plain) { Ok(path) } else { Err(ProvenanceError::Path(shorten(&path))) }
}

/// Absolute paths among the words of `text` cut down to their last part: others need not know where they lead.
fn without_paths(text: &str) -> String {
    let starts_path = |text: &str| {
        let mut chars = text.chars();
        let drive = matches!(
            (chars.next(), chars.next(), chars.next()),
            (Some('A'..='Z' | 'a'..='z'), Some(':'), Some('\\' | '/'))
        );
        text.starts_with('/') || text.starts_with("~/") || text.starts_with("\\\\") || (drive && !text.contains("://"))
    };
    let words = text.split(' ').map(|word| {
        let (before, after) = match word.split_once('=') {
            Some((name, value)) if starts_path(value) => (&word[..=name.len()], value),
            _ => ("", word),
        };
        if !starts_path(after) {
            return word.to_owned();
        }
        let last = after.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("");
        format!("{before}{last}")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A time as RFC 3339 in UTC, e.g. `2026-11-22T16:40:00Z`, from seconds since 1970.
pub fn rfc3339(unix_seconds: u64) -> String {
    // Days are counted from 1 March of year 0, so that a leap day is the last day of its year.
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let (days, second) = (unix_seconds / 86_400 + DAYS_TO_1970, unix_seconds % 86_400);
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}
