//! The file: an in-toto Statement with a SLSA predicate, written from a record and read into one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hardness::HardnessWire;
use super::text::{from_json, inside, shape, uri, without_paths};
use super::{
    Adoption, BUILD_TYPE, BUILDER_ID, CERTIFIED, Certificate, CrateRecord, DRAWN, Drawn, Earlier, HARDENED, HUMAN,
    Origin, PREDICATE_TYPE, PolicyRecord, Provenance, ProvenanceError, Repair, STATEMENT_TYPE, SamplingRecord,
    SpecRecord, Statistics, Subject, Summary, ToolchainRecord, UseRecord,
};
use crate::digest::sha256;
use crate::model::{Completion, Identity};
use crate::prompt::Prompt;
use crate::spec::Dependency;

const PROMPT: &str = "prompt";
const COMPLETION: &str = "completion";
const STATISTICS: &str = "statistics";
const ENVIRONMENT: &str = "environment";
const REPAIRS: &str = "repairs";
const CERTIFICATE: &str = "certificate";
const HARDENING: &str = "hardening";
const ORIGIN: &str = "origin";
const RECORD: &str = "record";
const CRATE: &str = "crate ";
const CARGO: &str = "pkg:cargo/";
/// A file of the workspace: a path alone is no URI.
const FILE: &str = "urn:llmc:file:";

impl Provenance {
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
            (version @ (DRAWN | CERTIFIED | HARDENED), Some(model), Some(sampling)) => {
                let mut drawn = read_drawn(model, sampling, &mut byproducts)?;
                if version == CERTIFIED {
                    drawn.certificate = Some(byproduct(&mut byproducts, CERTIFICATE)?.1);
                }
                if version == HARDENED {
                    let wire: HardnessWire = byproduct(&mut byproducts, HARDENING)?.1;
                    drawn.hardness = Some(Box::new(wire.read()?));
                }
                Origin::Model(Box::new(drawn))
            }
            (HUMAN, None, None) => {
                let OriginWire { from, .. } = byproduct(&mut byproducts, ORIGIN)?.1;
                Origin::Human(Adoption { from })
            }
            _ => return Err(shape("what a person made has no model and no sampling, and everything else has both")),
        };
        Ok(Self {
            subject: subject.into_iter().map(SubjectWire::into_subject).collect::<Result<_, _>>()?,
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
            Origin::Model(drawn) if drawn.hardness.is_some() => (Some(drawn), HARDENED),
            Origin::Model(drawn) if drawn.certificate.is_some() => (Some(drawn), CERTIFIED),
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
        let mut byproducts = match &self.origin {
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
        if let Some(hardness) = self.hardness() {
            byproducts.push(annotated(HARDENING, None, Annotations::Hardening(Box::new(hardness.into()))));
        } else if let Some(certificate) = drawn.and_then(|drawn| drawn.certificate) {
            byproducts.push(annotated(CERTIFICATE, None, Annotations::Certificate(certificate)));
        }
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
            uri: uri(FILE, &self.spec.path),
            digest: Some(Digest::of(&self.spec.file_digest)),
        }];
        if let Some((drawn, model)) = self.drawn().zip(model) {
            all.push(ResolvedDependency {
                name: "template".to_owned(),
                uri: uri("urn:llmc:template:", &drawn.prompt.template),
                digest: Some(Digest::of(&drawn.prompt.template_digest)),
            });
            all.push(ResolvedDependency {
                name: "model".to_owned(),
                uri: uri("urn:llmc:model:", &model.to_string()),
                digest: model.digest.as_deref().map(Digest::of),
            });
        }
        all.push(ResolvedDependency {
            name: "rustc".to_owned(),
            uri: uri("pkg:generic/rustc@", toolchain.rustc.split(' ').nth(1).unwrap_or("unknown")),
            digest: None,
        });
        all.extend(self.uses.iter().map(|used| ResolvedDependency {
            name: format!("artifact {}", used.name),
            uri: uri(FILE, &format!("generated/src/{}.rs", used.name)),
            digest: Some(Digest::of(&used.digest)),
        }));
        all.extend(self.crates.iter().map(|one| ResolvedDependency {
            name: format!("{CRATE}{}", one.name),
            uri: format!("{}@{}", uri(CARGO, &one.name), uri("", &one.version)),
            digest: one.sha256.as_deref().map(Digest::of),
        }));
        all
    }
}

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
pub(super) struct SubjectWire {
    name: String,
    digest: Digest,
}

impl SubjectWire {
    /// The subject, when its path stays inside of the workspace.
    pub(super) fn into_subject(self) -> Result<Subject, ProvenanceError> {
        Ok(Subject { path: inside(self.name)?, sha256: self.digest.sha256 })
    }
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
        // Of what a version is made of, a URI escapes nothing but the plus.
        let version = version.replace("%2B", "+");
        Some(CrateRecord { name: name.to_owned(), version, sha256: self.digest.map(|digest| digest.sha256) })
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
    Certificate(Certificate),
    Hardening(Box<HardnessWire>),
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
    Ok(Drawn {
        model,
        sampling,
        prompt,
        completion,
        statistics,
        repairs: repairs.list,
        certificate: None,
        hardness: None,
    })
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
