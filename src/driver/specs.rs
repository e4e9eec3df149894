//! Finding, reading, ordering and checking specs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::Session;
use crate::error::{Error, ExitCode};
use crate::prompt::{Neighbour, Prompt};
use crate::spec::{self, AnySpec, ComponentSpec, Diagnostic, Diagnostics, Spec};
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

/// A spec of a component that was read and is valid.
#[derive(Debug, Clone)]
pub struct LoadedComponent {
    /// Its path in the workspace, with `/`.
    pub path: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The spec.
    pub spec: Arc<ComponentSpec>,
    /// What is odd about it.
    pub warnings: Diagnostics,
}

/// Specs of both kinds, as they were read.
#[derive(Debug, Default)]
pub struct Found {
    /// The valid functions, those that are used before those that use them.
    pub functions: Vec<Loaded>,
    /// The valid components, in the order in which they were found.
    pub components: Vec<LoadedComponent>,
    /// The mistakes of the others.
    pub mistakes: Vec<Diagnostics>,
}

/// Longest spec file that is read, in bytes; longer ones are told as a mistake by the parser.
const READ_LIMIT: u64 = 2 << 20;

/// Reads the functions that the user named (by name or file; all of `specs/` when none is), and those that they use.
///
/// Returns the valid ones, those that are used before those that use them, and the mistakes of the others. Components
/// are passed over, unless one was named.
///
/// # Errors
/// With exit code 1 where a component was named.
pub fn load_specs(session: &Session, named: &[String], from: &Path) -> Result<(Vec<Loaded>, Vec<Diagnostics>), Error> {
    let found = load(session, named, from)?;
    if let (Some(component), false) = (found.components.first(), named.is_empty()) {
        return Err(is_component(&component.spec.name));
    }
    Ok((found.functions, found.mistakes))
}

/// What is said where a function is wanted, and this is a component.
pub(super) fn is_component(name: &str) -> Error {
    let message =
        format!("`{name}` is a component: a model answers its calls, and this is for functions that are built");
    Error::new(ExitCode::Usage, message).hint(format!(
        "`llmc call {name}` asks it, `llmc test {name}` measures it, `llmc harden {name}` makes code of it"
    ))
}

/// Reads the specs of both kinds that the user named (by name or file; all of `specs/` when none is), and the functions
/// that they use.
pub fn load(session: &Session, named: &[String], from: &Path) -> Result<Found, Error> {
    let all = session.workspace.specs()?;
    let mut paths = if named.is_empty() { all.clone() } else { Vec::new() };
    for name in named {
        let path = resolve(session, name, from, &all)?;
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let mut found = Found::default();
    let mut valid: BTreeMap<String, Loaded> = BTreeMap::new();
    let mut order = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut is_named = true;
    // What is used and is a component: told where it is used.
    let mut not_usable = BTreeSet::new();
    while !paths.is_empty() {
        let batch: Vec<(String, Vec<u8>)> = paths
            .drain(..)
            .filter(|path| seen.insert(path.clone()))
            .map(|path| read(session, &path).map(|bytes| (path, bytes)))
            .collect::<Result<_, _>>()?;
        // One deep stack for all of them: starting a thread for each would cost more than parsing.
        let parsed: Vec<_> = syntax::deep(|| {
            batch.into_iter().map(|(path, bytes)| (spec::parse_any(&path, stem(&path), &bytes), path, bytes)).collect()
        });
        for (result, path, bytes) in parsed {
            let name = result.as_ref().map(|(spec, _)| spec.name().to_owned()).unwrap_or_default();
            let other = valid.get(&name).map(|other| &other.path);
            let other =
                other.or_else(|| found.components.iter().find(|one| one.spec.name == name).map(|one| &one.path));
            if let Some(other) = other {
                let message = format!("two specs are named `{name}`: {other} and {path}");
                return Err(Error::new(ExitCode::Spec, message));
            }
            match result {
                Ok((AnySpec::Function(spec), warnings)) => {
                    for used in &spec.uses {
                        let used = paths::spec(used);
                        if !seen.contains(&used) && session.workspace.path(&used).is_file() {
                            paths.push(used);
                        }
                    }
                    order.push(name.clone());
                    valid.insert(name, Loaded { path, bytes, spec: (*spec).into(), warnings });
                }
                Ok((AnySpec::Component(spec), warnings)) => {
                    not_usable.insert(name);
                    if is_named {
                        found.components.push(LoadedComponent { path, bytes, spec: (*spec).into(), warnings });
                    }
                }
                Err(mistakes) => found.mistakes.push(mistakes),
            }
        }
        is_named = false;
    }
    for component in &found.components {
        let list = tool_mistakes(session, component, &valid)?;
        if !list.is_empty() {
            let text = String::from_utf8_lossy(&component.bytes).into_owned();
            found.mistakes.push(Diagnostics { path: component.path.clone(), text, list });
        }
    }
    found.components.retain(|one| !found.mistakes.iter().any(|wrong| wrong.path == one.path));
    let is_whole = found.mistakes.is_empty();
    for loaded in valid.values() {
        let text = String::from_utf8_lossy(&loaded.bytes).into_owned();
        let mut list = Vec::new();
        for used in loaded.spec.uses.iter().filter(|used| !valid.contains_key(*used)) {
            let (message, help) = match not_usable.contains(used) {
                true => (
                    format!(
                        "`{used}` is a component, and `uses` is for functions: a model's answer is no Rust to call"
                    ),
                    "a component may call a function, as one of its `tools`".to_owned(),
                ),
                false if !is_whole => continue,
                false => (format!("no spec `{used}` to use"), format!("there is no file `{}`", paths::spec(used))),
            };
            list.push(named_mistake(&text, "uses", used, message, help));
        }
        if !list.is_empty() {
            found.mistakes.push(Diagnostics { path: loaded.path.clone(), text, list });
        }
    }
    found.functions = match found.mistakes.is_empty() {
        true => sorted(order, valid)?,
        false => order.into_iter().filter_map(|name| valid.remove(&name)).collect(),
    };
    Ok(found)
}

/// What is wrong with a component's tools: each is another spec, of either kind.
fn tool_mistakes(
    session: &Session,
    component: &LoadedComponent,
    functions: &BTreeMap<String, Loaded>,
) -> Result<Vec<Diagnostic>, Error> {
    let text = String::from_utf8_lossy(&component.bytes);
    let mut mistakes = Vec::new();
    for tool in &component.spec.tools {
        let (name, function) = tool.split_once('.').map_or((tool.as_str(), None), |(name, one)| (name, Some(one)));
        let path = paths::spec(name);
        let functions_of = |spec: &Spec| -> Vec<String> {
            spec.interface.functions.iter().map(|function| function.name.clone()).collect()
        };
        let known = match functions.get(name) {
            Some(loaded) => Some(functions_of(&loaded.spec)),
            None if session.workspace.path(&path).is_file() => {
                match spec::parse_any(&path, name, &read(session, &path)?) {
                    Ok((AnySpec::Function(spec), _)) => Some(functions_of(&spec)),
                    Ok((AnySpec::Component(_), _)) => Some(Vec::new()),
                    // Its mistakes are told where it is checked itself.
                    Err(_) => continue,
                }
            }
            None => None,
        };
        // As `register` in the generated crate names them.
        let called = |one: &String| if one == name { format!("`{name}`") } else { format!("`{name}.{one}`") };
        let several =
            |known: &[String]| format!("name one of {}", known.iter().map(called).collect::<Vec<_>>().join(", "));
        let wrong = match (&known, function) {
            (None, _) => {
                Some((format!("no spec `{name}` for the tool `{tool}`"), format!("there is no file `{path}`")))
            }
            (Some(known), Some(_)) if known.is_empty() => {
                Some((format!("`{name}` is a component, and has no functions of its own"), format!("write `{name}`")))
            }
            (Some(known), Some(_)) if known.len() == 1 => {
                Some((format!("`{name}` has one function, and is called by its own name"), format!("write `{name}`")))
            }
            (Some(known), Some(one)) if one == name || !known.iter().any(|function| function == one) => {
                let message = match one == name {
                    true => format!("`{one}` of `{name}` is called `{name}`"),
                    false => format!("`{name}` has no function `{one}`"),
                };
                Some((message, several(known)))
            }
            (Some(known), None) if known.len() > 1 && !known.iter().any(|function| function == name) => {
                Some((format!("`{name}` has {} functions", known.len()), several(known)))
            }
            _ => None,
        };
        if let Some((message, help)) = wrong {
            mistakes.push(named_mistake(&text, "tools", tool, message, help));
        }
    }
    Ok(mistakes)
}

/// A mistake about a name that is listed under `key`.
fn named_mistake(text: &str, key: &str, name: &str, message: String, help: String) -> Diagnostic {
    let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    let is_end = |at: char| !(at.is_alphanumeric() || at == '_' || at == '.');
    let column = |line: &str| {
        line.match_indices(name).map(|(at, _)| at).find(|at| {
            line[..*at].chars().next_back().is_none_or(is_end)
                && line[*at + name.len()..].chars().next().is_none_or(is_end)
        })
    };
    let place = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| !is_key(line))
        .find_map(|(at, line)| column(line).map(|column| (at + 1, line[..column].chars().count() + 1)));
    let (line, column) = place.unwrap_or((1, 1));
    let length = name.chars().count();
    Diagnostic { severity: spec::Severity::Error, message, line, column, length, help: Some(help) }
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
