//! Finding, reading, ordering and checking specs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::Session;
use crate::error::{Error, ExitCode};
use crate::prompt::{Neighbour, Prompt};
use crate::spec::{self, Diagnostic, Diagnostics, Spec};
use crate::syntax;
use crate::workspace::paths;

/// A spec that was read and is valid.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its path in the workspace, with `/`.
    pub path: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The spec.
    pub spec: Arc<Spec>,
    /// What is odd about it.
    pub warnings: Diagnostics,
}

/// Longest spec file that is read, in bytes; longer ones are told as a mistake by the parser.
const READ_LIMIT: u64 = 2 << 20;

/// Reads the specs that the user named (by name or file; all of `specs/` when none is), and those that they use.
///
/// Returns the valid ones, those that are used before those that use them, and the mistakes of the others.
pub fn load_specs(session: &Session, named: &[String], from: &Path) -> Result<(Vec<Loaded>, Vec<Diagnostics>), Error> {
    let all = session.workspace.specs()?;
    let mut paths = if named.is_empty() { all.clone() } else { Vec::new() };
    for name in named {
        let path = resolve(session, name, from, &all)?;
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let mut valid: BTreeMap<String, Loaded> = BTreeMap::new();
    let mut invalid = Vec::new();
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    while !paths.is_empty() {
        let batch: Vec<(String, Vec<u8>)> = paths
            .drain(..)
            .filter(|path| seen.insert(path.clone()))
            .map(|path| read(session, &path).map(|bytes| (path, bytes)))
            .collect::<Result<_, _>>()?;
        // One deep stack for all of them: starting a thread for each would cost more than parsing.
        let parsed: Vec<_> = syntax::deep(|| {
            batch.into_iter().map(|(path, bytes)| (spec::parse(&path, stem(&path), &bytes), path, bytes)).collect()
        });
        for (result, path, bytes) in parsed {
            match result {
                Ok((spec, warnings)) => {
                    for used in &spec.uses {
                        let used = paths::spec(used);
                        if !seen.contains(&used) && session.workspace.path(&used).is_file() {
                            paths.push(used);
                        }
                    }
                    order.push(spec.name.clone());
                    let loaded = Loaded { path, bytes, spec: Arc::new(spec), warnings };
                    if let Some(other) = valid.insert(loaded.spec.name.clone(), loaded) {
                        let message = format!("two specs are named `{}`: {} and another", other.spec.name, other.path);
                        return Err(Error::new(ExitCode::Spec, message));
                    }
                }
                Err(mistakes) => invalid.push(mistakes),
            }
        }
    }
    let known: BTreeSet<String> = valid.keys().cloned().collect();
    for loaded in valid.values() {
        let missing: Vec<&String> = loaded.spec.uses.iter().filter(|used| !known.contains(*used)).collect();
        if !missing.is_empty() && invalid.is_empty() {
            let text = String::from_utf8_lossy(&loaded.bytes).into_owned();
            invalid.push(uses_mistakes(&loaded.path, &text, &missing));
        }
    }
    if !invalid.is_empty() {
        let loaded = order.into_iter().filter_map(|name| valid.remove(&name)).collect();
        return Ok((loaded, invalid));
    }
    Ok((sorted(order, valid)?, invalid))
}

fn uses_mistakes(path: &str, text: &str, missing: &[&String]) -> Diagnostics {
    let mut mistakes = Diagnostics { path: path.to_owned(), text: text.to_owned(), list: Vec::new() };
    for name in missing {
        let place =
            text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("uses")).find_map(|(at, line)| {
                line.find(name.as_str()).map(|column| (at + 1, line[..column].chars().count() + 1))
            });
        let (line, column) = place.unwrap_or((1, 1));
        mistakes.push(Diagnostic {
            severity: spec::Severity::Error,
            message: format!("no spec `{name}` to use"),
            line,
            column,
            length: name.chars().count(),
            help: Some(format!("there is no file `{}`", paths::spec(name))),
        });
    }
    mistakes
}

/// Used specs first; otherwise the order given.
fn sorted(order: Vec<String>, mut specs: BTreeMap<String, Loaded>) -> Result<Vec<Loaded>, Error> {
    let mut done = Vec::new();
    let mut waiting = order;
    while !waiting.is_empty() {
        let ready = |name: &String| specs[name].spec.uses.iter().all(|used| !waiting.contains(used));
        let (now, later): (Vec<String>, Vec<String>) = waiting.iter().cloned().partition(ready);
        if now.is_empty() {
            let message = format!("these specs use each other in a circle: {}", later.join(", "));
            return Err(Error::new(ExitCode::Spec, message).hint("take one name out of one of their `uses`"));
        }
        done.extend(now.into_iter().filter_map(|name| specs.remove(&name)));
        waiting = later;
    }
    Ok(done)
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".yaml").unwrap_or(name)
}

/// Whether what the user named is a file rather than a spec by name.
pub(super) fn is_path(name: &str) -> bool {
    name.contains(['/', '\\']) || name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The path in the workspace of a spec that the user named.
pub(super) fn resolve(session: &Session, name: &str, from: &Path, all: &[String]) -> Result<String, Error> {
    if is_path(name) {
        let path = from.join(name);
        if !path.is_file() {
            return Err(Error::new(ExitCode::Usage, format!("no file `{name}`")));
        }
        if name.ends_with(".yml") {
            return Err(Error::new(
                ExitCode::Usage,
                format!("`{name}` must be named `.yaml`, so that its name is one"),
            ));
        }
        return Ok(session.workspace.relative(from, Path::new(name))?);
    }
    let path = paths::spec(name);
    if all.contains(&path) {
        return Ok(path);
    }
    let near = all
        .iter()
        .map(|path| stem(path))
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 3)
        .min();
    let error = Error::new(ExitCode::Usage, format!("no spec `{name}`: there is no file `{path}`"));
    Err(match near {
        Some((_, known)) => error.hint(format!("did you mean `{known}`?")),
        None => error,
    })
}

fn read(session: &Session, path: &str) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(session.workspace.path(path))
        .and_then(|file| file.take(READ_LIMIT).read_to_end(&mut bytes))
        .map_err(|error| Error::new(ExitCode::Usage, format!("failed to read spec `{path}`")).cause(error))?;
    Ok(bytes)
}

/// Compiles the checks of valid specs against a stub of their interface. Returns the mistakes, spec by spec.
///
/// `all` holds the specs that they use, too.
pub async fn check(session: &mut Session, specs: &[Loaded], all: &[Loaded]) -> Result<Vec<Diagnostics>, Error> {
    let validator = session.validator()?;
    let permits = Arc::new(tokio::sync::Semaphore::new(session.options.jobs.max(1)));
    let mut tasks = Vec::new();
    for loaded in specs {
        let uses = super::build::used_sources(session, &loaded.spec, all)?;
        let (validator, loaded, permits) = (validator.clone(), loaded.clone(), permits.clone());
        tasks.push(tokio::spawn(async move {
            let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
            tokio::task::spawn_blocking(move || {
                let list = validator.check(&loaded.spec, &uses)?;
                let text = String::from_utf8_lossy(&loaded.bytes).into_owned();
                Ok::<_, Error>(Diagnostics { path: loaded.path, text, list })
            })
            .await
            .expect("checking does not panic")
        }));
    }
    let mut found = Vec::new();
    for task in tasks {
        let mistakes = tokio::select! {
            done = task => done.expect("checking does not panic")?,
            () = session.interrupt.wait() => return Err(Error::interrupted()),
        };
        found.push(mistakes);
    }
    Ok(found)
}

/// Renders the prompt of a spec.
pub fn render_prompt(session: &Session, loaded: &Loaded, specs: &[Loaded]) -> Result<Prompt, Error> {
    let mut uses = Vec::new();
    for name in &loaded.spec.uses {
        if let Some(used) = specs.iter().find(|other| other.spec.name == *name) {
            uses.push(Neighbour {
                description: used.spec.description.clone(),
                interface: used.spec.interface.render(),
                code: String::new(),
            });
        }
    }
    let mut shots = Vec::new();
    for name in &loaded.spec.prompt.shots {
        shots.push(shot(session, name)?);
    }
    Ok(session.templates.render(&loaded.spec, &uses, &shots)?)
}

/// A worked example: another spec of the workspace with its artifact.
fn shot(session: &Session, name: &str) -> Result<Neighbour, Error> {
    let path = paths::spec(name);
    let missing = |what: &str| {
        Error::new(ExitCode::Spec, format!("`prompt.shots` names `{name}`, and there is no {what} of that name"))
    };
    if !session.workspace.path(&path).is_file() {
        return Err(missing("spec"));
    }
    let bytes = read(session, &path)?;
    let (spec, _) = spec::parse(&path, name, &bytes).map_err(|mistakes| Error::spec(vec![mistakes]))?;
    let code = std::fs::read_to_string(session.workspace.path(&paths::code(name)))
        .map_err(|_| missing("artifact").hint(format!("`llmc build {name}` first")))?;
    let code = code.lines().filter(|line| !line.starts_with("// @generated")).collect::<Vec<_>>().join("\n");
    Ok(Neighbour { description: spec.description.clone(), interface: spec.interface.render(), code })
}
