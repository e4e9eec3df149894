//! The harness of a workspace: its components, answered by models, and its artifacts, run in the sandbox, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::purse::{Caps, OfCalls, Purse};
use super::specs::{Found, load};
use super::traces::{Fared, fared_here};
use super::{Loaded, LoadedComponent, Session, hardened, tell};
use crate::component::{self, ModelComponent, Parts};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::harness::{
    About, Approver, BoxFuture, Budget, Builder, CallError, Class, Component, Context, Decision, Harness, Outcome,
    Rule, Side,
};
use crate::ledger::Keeper;
use crate::prompt::Templates;
use crate::provenance;
use crate::register::{self, Callable};
use crate::spec::{ComponentSpec, Dependency};
use crate::validate::{Artifacts, Called, Worker};
use crate::workspace::paths;

/// How a workspace's harness is made.
#[derive(Default)]
pub struct Opening {
    /// What else is in it: components, rules, recorders of one's own.
    pub builder: Builder,
    /// More rules on who may call what, beside those of the specs.
    pub rules: Vec<Rule>,
    /// Who is asked where a rule says so.
    pub approver: Option<Arc<dyn Approver>>,
    /// Whether calls are not kept in the ledger.
    pub unrecorded: bool,
    /// Whether components are answered by their models alone, whatever code there is.
    pub models_only: bool,
    /// What all calls may take together, in tokens and US dollars, as long as the harness is there: the flags
    /// `--max-tokens` and `--max-usd`. What the settings say of a day holds whatever this is.
    pub total: Budget,
}

/// A workspace's harness.
pub struct Opened {
    /// It.
    pub harness: Harness,
    /// The components in it, by name.
    pub components: BTreeMap<String, Arc<ComponentSpec>>,
    keeper: Option<Arc<Keeper>>,
    purse: Arc<Purse>,
}

impl Opened {
    /// Writes to the ledger what waits to be written.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn flush(&self) -> Result<(), Error> {
        self.purse.flush();
        Ok(self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.flush())?)
    }
}

/// Makes the harness of what is named and of the tools of that; of all there is where nothing is named.
///
/// # Errors
/// Where a spec that is needed has mistakes, a model can't be had, or an artifact does not compile.
pub async fn open(session: &mut Session, named: &[String], opening: Opening, from: &Path) -> Result<Opened, Error> {
    let found = load(session, &[], from)?;
    let wanted = wanted(&found, named)?;
    let mistakes: Vec<_> = found
        .mistakes
        .iter()
        .filter(|mistakes| wanted.contains(stem(&mistakes.path)) && mistakes.has_errors())
        .cloned()
        .collect();
    if !mistakes.is_empty() {
        let error = Error::new(ExitCode::Spec, "a spec that is needed has mistakes");
        return Err(Error { mistakes, ..error });
    }
    let mut builder = opening.builder;
    let code = committed(session, &found, &wanted)?;
    let worker = match code.callable.is_empty() {
        true => None,
        false => Some(workers(session, code.artifacts).await?),
    };
    let code = code.callable;
    let purse = Arc::new(purse(session, &opening.total, opening.unrecorded)?);
    let mut components = BTreeMap::new();
    let templates = Arc::new(Templates::load(Some(&session.workspace.templates()))?);
    for LoadedComponent { spec, .. } in found.components.iter().filter(|one| wanted.contains(&one.spec.name)) {
        let named = session.options.models_of(&spec.model);
        let models = session.models_for(&named).await?;
        let prices = session.options.prices();
        let parts = Parts {
            models,
            prices,
            templates: templates.clone(),
            sampling: session.options.sampling_of(&spec.sampling),
            purse: Some(Arc::new(OfCalls::new(&purse, &spec.name))),
        };
        let model = ModelComponent::new((**spec).clone(), parts)
            .map_err(|error| Error::new(ExitCode::Spec, error.to_string()))?;
        let artifact = code.iter().find(|one| one.name == spec.name && !opening.models_only).zip(worker.as_ref());
        match artifact {
            Some((one, worker)) => {
                let about = model.about().clone();
                let artifact =
                    Artifact::new(one, worker, About { side: Side::Code, model: None, tools: None, ..about });
                builder.hybrid_of(&spec.name, artifact, model);
                if let Some(record) = hardened::record(session, &spec.name)?
                    && let Some(hardness) = record.hardness()
                {
                    let fared = fared_here(session, &record)?;
                    if let Some(note) = demoted(&spec.name, &fared) {
                        session.tell(Event::Note(note));
                    }
                    builder.audit(&spec.name, fared.audit(&hardness.certificate));
                }
            }
            None => {
                builder.component(&spec.name, model);
            }
        }
        builder.handling(&spec.name, component::handling(spec));
        if spec.approval != Decision::Allow {
            builder.rule(component::rule(spec));
        }
        components.insert(spec.name.clone(), spec.clone());
    }
    for Loaded { spec, .. } in found.functions.iter().filter(|one| wanted.contains(&one.spec.name)) {
        let own = code.iter().filter(|one| one.name.split('.').next() == Some(spec.name.as_str()));
        let mut has_any = false;
        for (one, worker) in own.filter_map(|one| worker.as_ref().map(|worker| (one, worker))) {
            has_any = true;
            let about = About { description: spec.description.clone(), ..About::on(Side::Code) };
            builder.component(&one.name, Artifact::new(one, worker, about));
        }
        if !has_any && named.contains(&spec.name) {
            return Err(not_callable(session, &spec.name));
        }
    }
    for name in wanted.iter().filter(|name| !named.contains(*name)) {
        let is_there = components.contains_key(name) || code.iter().any(|one| one.name.split('.').next() == Some(name));
        if !is_there
            && found
                .components
                .iter()
                .any(|one| components.contains_key(&one.spec.name) && one.spec.tools.contains(name))
        {
            return Err(not_callable(session, name));
        }
    }
    unmet(session, &found);
    builder.rules(session.options.approvals().cloned()).rules(opening.rules);
    if let Some(approver) = opening.approver {
        builder.shared_approver(approver);
    }
    let keeper = match opening.unrecorded {
        true => None,
        false => {
            let keeper = Arc::new(Keeper::new(session.ledger()?));
            builder.recorder(keeper.clone());
            Some(keeper)
        }
    };
    let harness = builder.build().map_err(|error| Error::new(ExitCode::Spec, error.to_string()))?;
    Ok(Opened { harness, components, keeper, purse })
}

/// What keeps the caps on all calls together, and tells the ledger what they take: builds spend of the same day.
fn purse(session: &mut Session, total: &Budget, unrecorded: bool) -> Result<Purse, Error> {
    let caps = Caps::of_calls(total.tokens, total.usd, session.options.day());
    // Without records there is nothing to pay for: a day's cap then lets nothing through.
    let ledger = if unrecorded { None } else { Some(session.ledger()?) };
    let teller = session.tell.clone();
    let note = move |note| tell(&teller, Event::Warning(note));
    Ok(Purse::of_calls(caps, session.options.prices(), ledger, note))
}

/// Tells of rules in llmc.yaml that hold for nothing there is: what they deny may be open under another name.
fn unmet(session: &Session, found: &Found) {
    let functions = found.functions.iter().map(|one| one.spec.name.as_str());
    let mistakes = found.mistakes.iter().map(|one| stem(&one.path));
    let components = found.components.iter().map(|one| one.spec.name.as_str());
    let known: BTreeSet<&str> = functions.chain(mistakes).chain(components).collect();
    for rule in &session.options.workspace.approvals {
        let Some(pattern) = rule.component.as_deref().filter(|pattern| !pattern.contains('*')) else { continue };
        if !known.contains(pattern.split('.').next().unwrap_or(pattern)) {
            let near = known.iter().find(|other| strsim::jaro_winkler(other, pattern) > 0.8);
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let text = format!("`approvals` in llmc.yaml has a rule for `{pattern}`, and nothing is called that{hint}");
            session.tell(Event::Warning(text));
        }
    }
}

/// Compiles code, and makes it ready to be called.
pub(super) async fn workers(session: &mut Session, artifacts: Artifacts) -> Result<Arc<Worker>, Error> {
    let validator = session.validator()?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let made = tokio::task::spawn_blocking(move || validator.worker(&artifacts, threads)).await;
    Ok(Arc::new(made.map_err(|_| Error::new(ExitCode::Internal, "compiling the artifacts panicked"))??))
}

/// What is named, and the tools of that, and of those; names of specs.
fn wanted(found: &Found, named: &[String]) -> Result<BTreeSet<String>, Error> {
    let known: BTreeSet<&str> = found
        .components
        .iter()
        .map(|one| one.spec.name.as_str())
        .chain(found.functions.iter().map(|one| one.spec.name.as_str()))
        .chain(found.mistakes.iter().map(|one| stem(&one.path)))
        .collect();
    if named.is_empty() {
        return Ok(known.into_iter().map(str::to_owned).collect());
    }
    let mut wanted = BTreeSet::new();
    let mut waiting: Vec<String> = Vec::new();
    for name in named {
        let spec = name.split('.').next().unwrap_or(name);
        if !known.contains(spec) {
            let error = Error::new(ExitCode::Usage, format!("no component or function is called `{name}`"));
            let near = known.iter().find(|other| strsim::jaro_winkler(other, spec) > 0.8);
            return Err(match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`llmc check` lists the specs there are"),
            });
        }
        waiting.push(spec.to_owned());
    }
    while let Some(name) = waiting.pop() {
        if let Some(component) = found.components.iter().find(|one| one.spec.name == name) {
            let tools = component.spec.tools.iter().map(|tool| tool.split('.').next().unwrap_or(tool).to_owned());
            waiting.extend(tools.filter(|tool| !wanted.contains(tool)));
        }
        wanted.insert(name);
    }
    Ok(wanted)
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".yaml").unwrap_or(name)
}

fn not_callable(session: &Session, name: &str) -> Error {
    let is_built = session.workspace.path(&paths::code(name)).is_file();
    if is_built {
        let message = format!("`{name}` can't be called by name: what it takes or gives can't be written as JSON");
        return Error::new(ExitCode::Usage, message).hint("call it from Rust, as any function");
    }
    Error::new(ExitCode::Usage, format!("`{name}` has no code yet")).hint(format!("`llmc build {name}` makes it"))
}

/// What is said where code was demoted.
fn demoted(name: &str, fared: &Fared) -> Option<String> {
    let Fared { agreed, disagreed, demoted } = fared;
    let when = provenance::rfc3339((*demoted)? / 1000);
    Some(format!(
        "the code of `{name}` was demoted at {when}: {disagreed} of {} audits said otherwise than its model, which answers alone \
         since; `llmc harden {name}` makes code anew from its answers since then",
        agreed + disagreed
    ))
}

/// The code of one module, and what can be called in it.
pub(super) struct Piece {
    name: String,
    text: String,
    digest: String,
    callable: Callable,
}

impl Piece {
    /// The module `name`, whose functions are those of the spec `of`.
    pub(super) fn new(name: String, text: String, of: &str, is_component: bool) -> Self {
        let callable = register::read(&text, of, is_component);
        Self { name, digest: sha256(&text), callable, text }
    }
}

/// What `register` is written with; specs may ask for more.
pub(super) fn plain_dependencies() -> BTreeMap<String, Dependency> {
    let plain = |features: &[&str]| Dependency {
        version: "1".to_owned(),
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        default_features: true,
    };
    BTreeMap::from([("serde".to_owned(), plain(&["derive"])), ("serde_json".to_owned(), plain(&[]))])
}

/// The crate that answers for these modules.
pub(super) fn assembled(
    pieces: Vec<Piece>,
    dependencies: BTreeMap<String, Dependency>,
    forbid_unsafe: bool,
) -> Artifacts {
    let mut root: String = pieces.iter().map(|piece| format!("pub mod {};\n", piece.name)).collect();
    let known: Vec<_> =
        pieces.iter().map(|piece| (piece.name.as_str(), piece.digest.as_str(), &piece.callable)).collect();
    root.push_str(&register::write(&known));
    let mut files: Vec<_> = pieces.into_iter().map(|piece| (format!("{}.rs", piece.name), piece.text)).collect();
    files.push(("lib.rs".to_owned(), root));
    Artifacts { files, dependencies, forbid_unsafe }
}

/// A function of committed code that can be called with JSON.
struct Registered {
    /// As it is called by name.
    name: String,
    /// SHA-256 of its file, in hex.
    digest: String,
}

/// The committed code that is wanted.
struct Code {
    callable: Vec<Registered>,
    artifacts: Artifacts,
}

/// Reads the code of what is wanted, and of what that uses, and puts together what answers for it.
fn committed(session: &Session, found: &Found, wanted: &BTreeSet<String>) -> Result<Code, Error> {
    let specs: BTreeMap<&str, &Loaded> = found.functions.iter().map(|one| (one.spec.name.as_str(), one)).collect();
    let mut names: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut waiting: Vec<&str> = names.iter().copied().collect();
    while let Some(name) = waiting.pop() {
        for used in specs.get(name).into_iter().flat_map(|one| &one.spec.uses) {
            if names.insert(used) {
                waiting.push(used);
            }
        }
    }
    let mut pieces = Vec::new();
    let mut forbid_unsafe = true;
    let mut dependencies = plain_dependencies();
    for name in names {
        let path = session.workspace.path(&paths::code(name));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if let Some(one) = specs.get(name) {
            forbid_unsafe &= !one.spec.policy.allow_unsafe;
            for (name, dependency) in &one.spec.dependencies {
                let of = dependencies.entry(name.clone()).or_insert_with(|| dependency.clone());
                of.features.extend(dependency.features.iter().cloned());
                of.features.sort_unstable();
                of.features.dedup();
            }
        }
        let is_component = found.components.iter().any(|one| one.spec.name == name);
        pieces.push(Piece::new(name.to_owned(), text, name, is_component));
    }
    let callable = pieces.iter().filter(|piece| wanted.contains(&piece.name)).flat_map(|piece| {
        let functions = piece.callable.entries.iter();
        let functions = functions.map(|entry| Callable::name(&piece.name, &entry.function));
        functions.map(|name| Registered { name, digest: piece.digest.clone() })
    });
    Ok(Code { callable: callable.collect(), artifacts: assembled(pieces, dependencies, forbid_unsafe) })
}

/// Committed code, run in the sandbox.
struct Artifact {
    about: About,
    name: String,
    worker: Arc<Worker>,
}

impl Artifact {
    fn new(one: &Registered, worker: &Arc<Worker>, about: About) -> Self {
        let about = About { digest: Some(one.digest.clone()), ..about };
        Self { about, name: one.name.clone(), worker: worker.clone() }
    }
}

impl Component for Artifact {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let failed = |class, message: String| Err(CallError::new(&self.name, class, message));
            match self.worker.call(&self.name, input).await {
                Ok(Called::Answer(value)) => Ok(value.into()),
                Ok(Called::Abstained) => Ok(Outcome::Abstained),
                Ok(Called::Failed(message)) => failed(Class::Failed, message),
                Ok(Called::Panicked(text)) => failed(Class::Panicked, format!("it panicked: {text}")),
                Ok(Called::TimedOut) => failed(Class::TimedOut, "it took longer than code may".to_owned()),
                Ok(Called::Crashed(how)) => failed(Class::Failed, how),
                Ok(Called::Unknown) => failed(Class::Failed, "the compiled artifacts hold no such function".to_owned()),
                Err(error) => failed(Class::Failed, format!("it could not be run: {error}")),
            }
        })
    }
}
