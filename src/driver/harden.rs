//! Hardening: Rust that answers what a component's model answered again and again, and abstains elsewhere; with a
//! certificate from calls that it was not made from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::components::workers;
use super::ready::{Drawing, Ready};
use super::specs::{self, Loaded, LoadedComponent};
use super::{Session, build, distill};
use crate::candidate;
use crate::certify::{Calibration, Certificate, LEAST_ANSWERED, Scored, Terms, calibrate, calibration_cases};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::freeze::{self, FileText};
use crate::harness::{Crossing, Side};
use crate::ledger::{Ending, Filter, Ledger, Phase};
use crate::register::{self, Callable};
use crate::repo::{Repo, message};
use crate::schema::same;
use crate::spec::{self, ComponentSpec, Dependency, Spec};
use crate::types;
use crate::validate::{Artifacts, Called, Worker};
use crate::workspace::paths;

/// Fewest different inputs that code is made from.
const FEWEST: usize = 8;
/// How many samples are drawn, unless told otherwise.
const SAMPLES: usize = 16;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hardening {
    /// Share of the traces, the earliest ones, that code is made from; the rest judges it. Between 0 and 1.
    pub share: f64,
    /// The agreement with the model that is to be promised; between 0 and 1.
    pub agreement: f64,
    /// The chance to promise what does not hold; between 0 and 1.
    pub alpha: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hardened {
    /// The component.
    pub component: String,
    /// Calls of its model that were recorded and answered.
    pub traces: usize,
    /// Different inputs among those that the code was made from.
    pub inputs: usize,
    /// Of those, the ones that got different answers.
    pub unstable: usize,
    /// Programs that were sampled, and those of them that compile.
    pub sampled: (usize, usize),
    /// The share of the inputs it was made from that the chosen program answers, and how many of those otherwise than the
    /// model; absent where no program is worth its mistakes.
    pub chosen: Option<(f64, usize)>,
    /// What the later calls say of it.
    pub calibration: Option<Calibration>,
    /// How many calls that were recorded later the certificate looked at.
    pub cases: usize,
    /// The chosen program, as it would be committed.
    pub code: Option<String>,
}

/// What waits to be accepted, and what is committed beside the code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hardness {
    /// Version of this format: 1.
    pub version: u32,
    /// The component.
    pub component: String,
    /// SHA-256 of its file of code, in hex.
    pub code: String,
    /// What is promised of it.
    pub certificate: Certificate,
    /// Digest of what gave the answers that it was made from and judged by, as the harness tells it.
    pub answered_by: Option<String>,
    /// The model that wrote the code.
    pub model: String,
    /// SHA-256 of the completion that the code is from.
    pub completion: String,
}

/// One input with what the model said.
struct Trace {
    at: u64,
    input: Value,
    output: Value,
}

/// Makes code of a component, and leaves it to be accepted where it can be certified.
pub async fn harden(session: &mut Session, name: &str, asked: &Hardening, from: &Path) -> Result<Hardened, Error> {
    let one = component(session, name, from)?;
    let spec = &one.spec;
    let (traces, answered_by) = traces(session, &spec.name)?;
    let t0 = split(&traces, asked.share);
    let early: Vec<&Trace> = traces.iter().filter(|trace| trace.at <= t0).collect();
    let (modal, unstable) = modal(&early);
    let keys = traces.iter().map(|trace| (trace.at, trace.input.to_string()));
    let (cases, window) = calibration_cases(keys, t0);
    if modal.len() < FEWEST || cases.len() < LEAST_ANSWERED {
        let message = format!(
            "`{name}` was not called often enough: {} different inputs to make code from ({FEWEST} at least), {} later ones \
             to judge it by ({LEAST_ANSWERED} at least)",
            modal.len(),
            cases.len()
        );
        return Err(Error::new(ExitCode::Inconclusive, message).hint(
            "each call is recorded, by `llmc call`, by `llmc serve` and by programs with a workspace's harness",
        ));
    }
    let loaded = function(spec, &one.path, &modal)?;
    let mut plan = session.options.plan(&loaded.spec);
    plan.samples = session.options.sampling.samples.unwrap_or(SAMPLES);
    plan.stop = spec::Stop::All;
    let ready = Ready::new(session, &loaded, &[], &plan, &loaded.spec).await?;
    let run = format!("{}-harden-{}", spec.name, build::unix_now());
    let inputs = sha256(loaded.spec.canonical());
    let drawing = Drawing {
        spec: &loaded.spec,
        run: &run,
        inputs: &inputs,
        phase: Phase::Fresh,
        plan: &plan,
        afresh: session.options.no_cache,
        artifact: None,
        skip: 0,
    };
    let (samples, mut log) = drawing.draw(session, &ready).await?;
    log.end(&Ending::default());
    let compiled: Vec<_> = samples
        .list
        .iter()
        .filter(|sample| sample.verdict.is_pass())
        .filter_map(|sample| Some((sample, sample.candidate.as_ref()?)))
        .collect();
    let sampled = (samples.list.len(), compiled.len());
    let mut hardened = Hardened {
        component: spec.name.clone(),
        traces: traces.len(),
        inputs: modal.len(),
        unstable,
        sampled,
        chosen: None,
        calibration: None,
        cases: cases.len(),
        code: None,
    };
    let bodies: Vec<String> = compiled
        .iter()
        .map(|(_, candidate)| without_types(&candidate.source, spec))
        .collect::<Option<_>>()
        .unwrap_or_default();
    if bodies.is_empty() {
        if let Some(cap) = &samples.spent {
            let drawn = samples.list.len();
            let error = Error::new(ExitCode::Budget, format!("`{name}`: {cap}; none of {drawn} programs compiles"));
            return Err(error.hint("raise it in llmc.yaml, or wait for the next day where it is a day's"));
        }
        return Ok(hardened);
    }
    let worker = together(session, spec, &one.path, &bodies).await?;
    let mut best: Option<(f64, usize, usize, usize)> = None;
    for number in 0..bodies.len() {
        let (mut agreed, mut wrong) = (0, 0);
        for (input, output) in &modal {
            match worker.call(&registered(number, &spec.name), input.clone()).await? {
                Called::Answer(value) if same(&value, output) => agreed += 1,
                Called::Abstained => {}
                _ => wrong += 1,
            }
        }
        // What a wrong answer costs in right ones, at the rate that is promised.
        #[expect(clippy::cast_precision_loss, reason = "counts of traces")]
        let worth = agreed as f64 - wrong as f64 * asked.agreement / (1.0 - asked.agreement);
        if worth > best.map_or(0.0, |best| best.0) {
            best = Some((worth, number, agreed, wrong));
        }
    }
    let Some((_, number, agreed, wrong)) = best else { return Ok(hardened) };
    #[expect(clippy::cast_precision_loss, reason = "counts of traces")]
    let answered = (agreed + wrong) as f64 / modal.len() as f64;
    hardened.chosen = Some((answered, wrong));
    let attempt = attempt(session, &spec.name)?;
    let mut scored = Vec::new();
    for place in &cases {
        let trace = &traces[*place];
        scored.push(match worker.call(&registered(number, &spec.name), trace.input.clone()).await? {
            Called::Answer(value) => Scored { confidence: 1.0, agrees: same(&value, &trace.output) },
            Called::Abstained => Scored { confidence: f64::NAN, agrees: false },
            _ => Scored { confidence: 1.0, agrees: false },
        });
    }
    let terms = Terms { agreement: asked.agreement, alpha: asked.alpha, attempt };
    let calibration = calibrate(&scored, &[1.0], &terms, window);
    let code = freeze::component_code(spec, &one.path, Some(&bodies[number]));
    hardened.code = Some(String::from_utf8_lossy(&code).into_owned());
    if let Some(certificate) = calibration.certificate.clone() {
        let (sample, _) = compiled[number];
        let hardness = Hardness {
            version: 1,
            component: spec.name.clone(),
            code: sha256(&code),
            certificate,
            answered_by,
            model: ready.names[sample.model].clone(),
            completion: sha256(&sample.completion.text),
        };
        leave(session, &hardness, &code)?;
    }
    hardened.calibration = Some(calibration);
    Ok(hardened)
}

/// Commits what waits: the component is a hybrid from then on. The commit's name, where there is a repository.
pub fn accept_hardened(session: &mut Session, name: &str, from: &Path) -> Result<Option<String>, Error> {
    let one = component(session, name, from)?;
    let folder = waiting(session, &one.spec.name);
    let Some(bytes) = freeze::read(&folder.join("certificate.json"))? else {
        return Err(Error::new(ExitCode::Usage, format!("nothing waits for `{name}`"))
            .hint(format!("`llmc harden {name}` makes code of it")));
    };
    let code = freeze::read(&folder.join("code.rs"))?.unwrap_or_default();
    let hardness: Hardness = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(ExitCode::Difference, "what waits can't be read").cause(error))?;
    let is_whole =
        hardness.code == sha256(&code) && hardness.certificate.is_sound() && hardness.component == one.spec.name;
    let body = freeze::component_body(&code).unwrap_or_default();
    if !is_whole || !freeze::is_component_as_written(&code) || !body.starts_with(types::of(&one.spec).as_bytes()) {
        return Err(Error::new(ExitCode::Difference, format!("what waits for `{name}` is not for what is there now"))
            .hint(format!("`llmc harden {name}` makes it anew")));
    }
    // It lay where other programs can write: what is committed keeps the policy now, too.
    let own = std::str::from_utf8(body).ok().and_then(|body| body.strip_prefix(types::of(&one.spec).as_str()));
    let function = function(&one.spec, &one.path, &[])?;
    if let Err(verdict) = candidate::from_source(own.unwrap_or_default(), &function.spec) {
        let why = verdict.code.unwrap_or_default();
        return Err(Error::new(ExitCode::Difference, format!("what waits for `{name}` can't be accepted ({why})"))
            .hint(format!("`llmc harden {name}` makes it anew; `llmc explain` says what the code means")));
    }
    let _lock = build::take_lock(session)?;
    let files: Vec<FileText> = vec![
        (one.path.clone(), one.bytes.clone()),
        (paths::code(&one.spec.name), code.clone()),
        (paths::certificate(&one.spec.name), bytes),
    ];
    let module = freeze::component(&one.spec.name, code).expect("it was checked to be a component's");
    let modules = freeze::with_module(&freeze::modules_on_disk(&session.workspace)?, module.clone());
    let mut written = files[1..].to_vec();
    written.extend(freeze::crate_files(&modules, session.options.harness())?);
    freeze::replace(&session.workspace, &written, &[])?;
    let mut commit = None;
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    if let Some(repo) = &repo {
        let certificate = &hardness.certificate;
        let text = message::hardened(&one.spec.name, &one.path, &hardness.model, certificate);
        commit = build::commit_change(session, repo, &text, &files, &[], &[module])?;
    }
    std::fs::remove_dir_all(&folder).ok();
    Ok(commit)
}

/// Takes the code of a hardened component away again: its model answers alone from then on.
pub fn soften_hardened(session: &mut Session, one: &LoadedComponent) -> Result<Option<String>, Error> {
    let name = &one.spec.name;
    let _lock = build::take_lock(session)?;
    let code = freeze::component_code(&one.spec, &one.path, None);
    let module = freeze::component(name, code.clone()).expect("it was written as a component's");
    let modules = freeze::with_module(&freeze::modules_on_disk(&session.workspace)?, module.clone());
    let mut files = vec![(paths::code(name), code.clone())];
    files.extend(freeze::crate_files(&modules, session.options.harness())?);
    let removed = [paths::certificate(name)];
    freeze::replace(&session.workspace, &files, &removed)?;
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    let Some(repo) = &repo else { return Ok(None) };
    let files: Vec<FileText> = vec![(one.path.clone(), one.bytes.clone()), (paths::code(name), code)];
    build::commit_change(session, repo, &message::softened(name, &one.path), &files, &removed, &[module])
}

/// What is committed beside the code of a hardened component, where that is whole.
pub(super) fn hardness(session: &Session, name: &str) -> Result<Option<Hardness>, Error> {
    let Some(bytes) = freeze::read(&session.workspace.path(&paths::certificate(name)))? else { return Ok(None) };
    let code = freeze::read(&session.workspace.path(&paths::code(name)))?.unwrap_or_default();
    let hardness = serde_json::from_slice::<Hardness>(&bytes).ok();
    let hardness = hardness.filter(|one| one.certificate.is_sound() && freeze::is_text_of(&code, &one.code));
    match hardness {
        Some(hardness) => Ok(Some(hardness)),
        None => {
            let message = format!("`{}` does not belong to the code of `{name}`", paths::certificate(name));
            Err(Error::new(ExitCode::Difference, message)
                .hint(format!("`llmc harden {name}` makes it anew; `llmc soften {name}` does without the code")))
        }
    }
}

/// The component that is named.
pub(super) fn component(session: &Session, name: &str, from: &Path) -> Result<LoadedComponent, Error> {
    let found = specs::load(session, &[name.to_owned()], from)?;
    if let Some(component) = found.components.into_iter().next() {
        return Ok(component);
    }
    if !found.mistakes.is_empty() {
        return Err(Error::spec(found.mistakes));
    }
    Err(Error::new(ExitCode::Usage, format!("`{name}` is a function: it is code already"))
        .hint(format!("`llmc soften {name}` makes a component of it")))
}

/// What the model answered so far, in the order of time, and what answered: that of the latest call.
fn traces(session: &Session, name: &str) -> Result<(Vec<Trace>, Option<String>), Error> {
    let Some(ledger) = Ledger::open_to_read(&session.workspace.local_path())? else { return Ok((Vec::new(), None)) };
    let mut all = ledger.crossings(&Filter { component: Some(name.to_owned()), ..Filter::default() })?;
    // Of a hybrid: what its model said where the code abstained.
    all.retain(|one| one.side == Side::Model && one.from.is_none() && one.output.is_some());
    all.sort_by_key(|one| (one.started, one.id));
    // Another model, prompt or spec is another distribution.
    let of =
        |one: &Crossing| one.digest.as_deref().map(|digest| digest.rsplit('+').next().unwrap_or(digest).to_owned());
    let answered_by = all.last().and_then(of);
    let traces = all.into_iter().filter(|one| of(one) == answered_by);
    let traces = traces.filter_map(|one| Some(Trace { at: one.started, input: one.input, output: one.output? }));
    Ok((traces.collect(), answered_by))
}

/// The time until which traces are made code of.
fn split(traces: &[Trace], share: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a place")]
    let place = (traces.len() as f64 * share) as usize;
    traces.get(place.clamp(1, traces.len().max(1)) - 1).map_or(0, |trace| trace.at)
}

/// Each input with the answer it got most often (the earliest of several), and how many got different ones.
fn modal(traces: &[&Trace]) -> (Vec<(Value, Value)>, usize) {
    let mut order: Vec<String> = Vec::new();
    let mut answers: BTreeMap<String, (Value, Vec<(Value, usize)>)> = BTreeMap::new();
    for trace in traces {
        let key = trace.input.to_string();
        let of = answers.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            (trace.input.clone(), Vec::new())
        });
        match of.1.iter_mut().find(|(output, _)| same(output, &trace.output)) {
            Some((_, count)) => *count += 1,
            None => of.1.push((trace.output.clone(), 1)),
        }
    }
    let mut unstable = 0;
    let mut modal = Vec::new();
    for key in order {
        let Some((input, outputs)) = answers.remove(&key) else { continue };
        unstable += usize::from(outputs.len() > 1);
        let most = outputs.iter().map(|(_, count)| *count).max().unwrap_or_default();
        if let Some((output, _)) = outputs.into_iter().find(|(_, count)| *count == most) {
            modal.push((input, output));
        }
    }
    (modal, unstable)
}

/// The function that is to be written, as a spec.
fn function(spec: &ComponentSpec, path: &str, modal: &[(Value, Value)]) -> Result<Loaded, Error> {
    // How the types are written as JSON is no part of an interface; the component's own file keeps it.
    let is_left_out = |line: &&str| line.starts_with("//!") || line.starts_with("#[serde(");
    let types: String = types::of(spec).lines().filter(|line| !is_left_out(line)).collect::<Vec<_>>().join("\n");
    let description = distill::description(spec, modal);
    let name = &spec.name;
    let mut text = json!({
        "llmc": 1, "name": name, "description": description,
        "interface": format!("{types}\npub fn {name}(input: Input) -> Option<Output>;\n"),
        "dependencies": {"serde": {"version": "1", "features": ["derive"]}, "serde_json": "1"},
        "policy": {"max_lines": 400},
    });
    if !spec.model.is_empty() {
        text["model"] = spec.model.clone().into();
    }
    // JSON is YAML.
    let bytes = text.to_string().into_bytes();
    let (spec, warnings) = spec::parse(path, name, &bytes).map_err(|mistakes| {
        let errors = mistakes.list.iter().filter(|mistake| mistake.severity == spec::Severity::Error);
        let first = errors.map(|mistake| mistake.message.clone()).next().unwrap_or_default();
        Error::new(ExitCode::Usage, format!("`{name}` can't be hardened: no function can have its types ({first})"))
    })?;
    let spec: Arc<Spec> = Arc::new(spec);
    Ok(Loaded { path: path.to_owned(), bytes, spec, warnings })
}

/// A candidate's own items: without the types, which a component's file has already.
fn without_types(source: &str, spec: &ComponentSpec) -> Option<String> {
    candidate::without(source, &types::of(spec))
}

fn module(number: usize) -> String {
    format!("k{number}")
}

/// What the function of a candidate is called by.
fn registered(number: usize, component: &str) -> String {
    Callable::name(&module(number), component)
}

/// All candidates as one crate that answers calls.
async fn together(
    session: &mut Session,
    spec: &ComponentSpec,
    path: &str,
    bodies: &[String],
) -> Result<Arc<Worker>, Error> {
    let mut root = String::new();
    let mut files = Vec::new();
    let mut read = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let name = module(number);
        let text = String::from_utf8_lossy(&freeze::component_code(spec, path, Some(body))).into_owned();
        read.push((name.clone(), sha256(&text), register::read(&text, &spec.name, true)));
        files.push((format!("{name}.rs"), text));
        root.push_str(&format!("pub mod {name};\n"));
    }
    let known: Vec<_> =
        read.iter().map(|(name, digest, callable)| (name.as_str(), digest.as_str(), callable)).collect();
    root.push_str(&register::write(&known));
    files.push(("lib.rs".to_owned(), root));
    let plain = |features: &[&str]| Dependency {
        version: "1".to_owned(),
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        default_features: true,
    };
    let dependencies =
        BTreeMap::from([("serde".to_owned(), plain(&["derive"])), ("serde_json".to_owned(), plain(&[]))]);
    workers(session, Artifacts { files, dependencies, forbid_unsafe: true }).await
}

fn waiting(session: &Session, name: &str) -> std::path::PathBuf {
    session.workspace.local_path().join("hardened").join(name)
}

/// Which attempt this is: each is counted before it looks at the cases.
fn attempt(session: &Session, name: &str) -> Result<u32, Error> {
    session.workspace.local()?;
    let folder = waiting(session, name);
    let failed = |error| Error::new(ExitCode::Internal, "failed to write to `.llmc/hardened`").cause(error);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let file = folder.with_extension("attempts");
    let before = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    let now = before.saturating_add(1);
    std::fs::write(&file, format!("{now}\n")).map_err(failed)?;
    if now > 1 {
        session.tell(Event::Note(format!(
            "this is attempt {now} to harden `{name}`: it may spend less of alpha than the ones before, so that all of \
             them together keep to it"
        )));
    }
    Ok(now)
}

/// Leaves code and certificate to be accepted.
fn leave(session: &Session, hardness: &Hardness, code: &[u8]) -> Result<(), Error> {
    let folder = waiting(session, &hardness.component);
    let failed = |error| Error::new(ExitCode::Internal, "failed to write to `.llmc/hardened`").cause(error);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let text = serde_json::to_string_pretty(hardness).expect("a certificate is JSON") + "\n";
    std::fs::write(folder.join("code.rs"), code).map_err(failed)?;
    std::fs::write(folder.join("certificate.json"), text).map_err(failed)
}
