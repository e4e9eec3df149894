//! `llmc diff`: two programs of one spec, held against each other: their text, what they do, how long they take.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::history::{Behaviour, Code, Entry};
use super::specs::{self, Loaded};
use super::structure::{Structure, structure};
use super::{Session, build};
use crate::behaviour::{self, Behaviours, Time};
use crate::candidate::{self, Candidate};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::freeze;
use crate::proposal::Proposal;
use crate::repo::{Repo, without_header};
use crate::spec::{self, Spec};
use crate::validate::{ValidateError, Validator};
use crate::verdict::Verdict;
use crate::workspace::paths;

/// Which programs are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Between {
    /// The artifact and the proposal that waits for review.
    Proposal,
    /// The artifact in one commit, and in another or in the work tree.
    Revisions(String, Option<String>),
    /// The artifact, and that of another spec with the same signature.
    Spec(String),
    /// Two files.
    Files(PathBuf, PathBuf),
}

/// What to find out.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which programs.
    pub between: Between,
    /// Whether they are run on the same inputs.
    pub behaviour: bool,
    /// Whether their time is measured.
    pub times: bool,
    /// How they are run.
    pub options: behaviour::Options,
}

/// One of two programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What it is: `artifact`, `proposal`, a commit, a file.
    pub label: String,
    /// Its code, without llmc's own first line; `None` where there is none.
    #[serde(skip)]
    pub source: Option<String>,
}

/// What two programs do.
#[derive(Debug, Clone)]
pub enum Ran {
    /// Nobody asked.
    No,
    /// They are the same program but for layout and comments.
    SameProgram,
    /// They can't be compared, and why.
    Cannot(String),
    /// They were run.
    Both(Box<Behaviours>),
}

/// What was found of two programs.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The spec that both are held against.
    pub spec: String,
    /// The old one.
    pub old: Side,
    /// The new one.
    pub new: Side,
    /// Whether the spec of the two is not the same.
    pub spec_changed: bool,
    /// What changed as a whole; `None` where one is missing or does not parse.
    pub structure: Option<Structure>,
    /// What they do.
    pub ran: Ran,
    /// CPU time of a call, of the old one and of the new one, where that was measured.
    pub times: Option<(Time, Time)>,
}

impl Compared {
    /// Whether anything differs: the text, or what they do.
    pub fn differs(&self) -> bool {
        self.old.source != self.new.source || matches!(&self.ran, Ran::Both(behaviours) if !behaviours.are_alike())
    }
}

/// Two programs, before they are run.
struct Pair {
    spec: Arc<Spec>,
    uses: Vec<(String, String)>,
    old: Side,
    new: Side,
    spec_changed: bool,
}

/// Finds out of each entry of a log whether it does what the one before does, where its code is another one. Entries
/// under another name stay as they are.
///
/// # Errors
/// When llmc could not do its part.
pub async fn log_behaviour(session: &mut Session, entries: &mut [Entry], from: &Path) -> Result<(), Error> {
    if let Some(first) = entries.first()
        && let Ok(found) = specs::load(session, std::slice::from_ref(&first.name), from)
        && !found.components.is_empty()
    {
        session.tell(Event::Note(format!("`{}` is a component: its code is not run on inputs here", first.name)));
        return Ok(());
    }
    for at in 1..entries.len() {
        let (new, old) = (&entries[at - 1], &entries[at]);
        if !matches!(new.code, Code::Changed | Code::Layout) || new.behaviour.is_some() || new.name != old.name {
            continue;
        }
        let asked = Asked {
            between: Between::Revisions(old.commit.clone(), Some(new.commit.clone())),
            behaviour: true,
            times: false,
            options: behaviour::Options::default(),
        };
        let name = new.name.clone();
        let compared = diff(session, &[name], &asked, from).await?;
        let new = &mut entries[at - 1];
        match compared.first().map(|compared| &compared.ran) {
            Some(Ran::SameProgram) => new.behaviour = Some(Behaviour::Same),
            Some(Ran::Both(found)) if found.are_alike() => new.behaviour = Some(Behaviour::Alike),
            Some(Ran::Both(found)) => {
                new.behaviour = Some(Behaviour::Apart);
                new.differs_on = found.splits.first().map(|split| split.call.clone());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Compares programs of the specs that were named; of all where none is.
///
/// # Errors
/// When there is nothing to compare, or llmc could not do its part. That they differ is none.
pub async fn diff(session: &mut Session, named: &[String], asked: &Asked, from: &Path) -> Result<Vec<Compared>, Error> {
    let pairs = pairs(session, named, asked, from)?;
    let mut all = Vec::new();
    for pair in pairs {
        let structure = match (&pair.old.source, &pair.new.source) {
            (Some(old), Some(new)) => structure(old, new),
            _ => None,
        };
        let (ran, times) = match asked.behaviour {
            false => (Ran::No, None),
            true => run(session, &pair, asked).await?,
        };
        let Pair { spec, old, new, spec_changed, .. } = pair;
        all.push(Compared { spec: spec.name.clone(), old, new, spec_changed, structure, ran, times });
    }
    Ok(all)
}

async fn run(session: &mut Session, pair: &Pair, asked: &Asked) -> Result<(Ran, Option<(Time, Time)>), Error> {
    let cannot = |why: String| Ok((Ran::Cannot(why), None));
    let mut candidates = Vec::new();
    for side in [&pair.old, &pair.new] {
        let Some(source) = &side.source else { return cannot(format!("there is no code of {}", side.label)) };
        match candidate::from_source(source, &pair.spec) {
            Ok(candidate) => candidates.push(candidate),
            Err(verdict) => {
                return cannot(format!("{} is no implementation of this spec: {}", side.label, why(&verdict)));
            }
        }
    }
    if candidate::normalised(&candidates[0]) == candidate::normalised(&candidates[1]) {
        return Ok((Ran::SameProgram, None));
    }
    let validator = session.validator()?;
    let (spec, uses, asked) = (pair.spec.clone(), pair.uses.clone(), asked.clone());
    let labels = [pair.old.label.clone(), pair.new.label.clone()];
    // All of it on one thread: the processes end with the one that started them.
    let task = tokio::task::spawn_blocking(move || both(&validator, &spec, &uses, &candidates, &asked));
    let (behaviours, times) = tokio::select! {
        ran = task => ran.expect("comparing does not panic")?,
        () = session.interrupt.wait() => return Err(Error::interrupted()),
    };
    if let Some((at, verdict)) = behaviours.refused.first() {
        return cannot(format!("{} does not compile: {}", labels[*at], why(verdict)));
    }
    Ok((Ran::Both(Box::new(behaviours)), times))
}

type Both = (Behaviours, Option<(Time, Time)>);

fn both(
    validator: &Validator,
    spec: &Spec,
    uses: &[(String, String)],
    candidates: &[Candidate],
    asked: &Asked,
) -> Result<Both, ValidateError> {
    let checks = validator.prepare(spec, uses)?;
    let candidates: Vec<&Candidate> = candidates.iter().collect();
    let behaviours = behaviour::compare(validator, &checks, &candidates, &asked.options)?;
    let times = match asked.times && behaviours.programs.len() == 2 {
        true => behaviour::times(validator, &checks, &candidates, &behaviours)?,
        false => None,
    };
    Ok((behaviours, times.map(|times| (times[0].clone(), times[1].clone()))))
}

fn why(verdict: &Verdict) -> String {
    let code = verdict.code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
    format!("{code}{}", verdict.detail.lines().next().unwrap_or_default())
}

fn pairs(session: &Session, named: &[String], asked: &Asked, from: &Path) -> Result<Vec<Pair>, Error> {
    let one = || match named {
        [name] => Ok(name.clone()),
        _ => Err(Error::new(ExitCode::Usage, "name one spec: both programs are held against it")),
    };
    match &asked.between {
        Between::Proposal if named.is_empty() => {
            let mut pairs = Vec::new();
            for name in proposed(session)? {
                pairs.push(proposal(session, &name, from)?);
            }
            match pairs.is_empty() {
                true => {
                    Err(Error::new(ExitCode::Usage, "no proposal waits for review, so there is nothing to compare")
                        .hint("`llmc diff SPEC --rev HEAD~1..HEAD` compares revisions, `--files OLD NEW` two files"))
                }
                false => Ok(pairs),
            }
        }
        Between::Proposal => named.iter().map(|name| proposal(session, name, from)).collect(),
        Between::Revisions(old, new) => revisions(session, named, old, new.as_deref(), from),
        Between::Spec(other) => Ok(vec![specs_of(session, &one()?, other, from)?]),
        Between::Files(old, new) => {
            let (loaded, all) = load(session, &one()?, from)?;
            let side = |path: &PathBuf| {
                let read = std::fs::read_to_string(from.join(path));
                let source = read.map_err(|error| {
                    Error::new(ExitCode::Usage, format!("failed to read `{}`", path.display())).cause(error)
                })?;
                Ok::<_, Error>(Side { label: path.display().to_string(), source: Some(plain(source.as_bytes())) })
            };
            Ok(vec![Pair {
                uses: build::used_sources(session, &loaded.spec, &all)?,
                spec: loaded.spec,
                old: side(old)?,
                new: side(new)?,
                spec_changed: false,
            }])
        }
    }
}

/// A spec by name, with those that it uses.
fn load(session: &Session, name: &str, from: &Path) -> Result<(Loaded, Vec<Loaded>), Error> {
    let (all, mistakes) = specs::load_specs(session, std::slice::from_ref(&name.to_owned()), from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let loaded = all.last().cloned().expect("a spec that was named was loaded or is invalid");
    Ok((loaded, all))
}

/// The names of all proposals of functions: what is to answer for a component is told by `llmc review`.
fn proposed(session: &Session) -> Result<Vec<String>, Error> {
    let folder = session.workspace.proposals();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::new(ExitCode::Internal, "failed to read the proposals in `.llmc`").cause(error));
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| folder.join(name).join("src").join(format!("{name}.rs")).is_file())
        .filter(|name| {
            let found = Proposal::read(&session.workspace, name);
            !found.is_ok_and(|found| found.is_some_and(|proposal| proposal.provenance.hardness().is_some()))
        })
        .collect();
    names.sort();
    Ok(names)
}

/// The code without llmc's own first line, with `\n` line ends.
fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(without_header(bytes)).replace("\r\n", "\n")
}

fn artifact(session: &Session, name: &str) -> Result<Side, Error> {
    let bytes = freeze::read(&session.workspace.path(&paths::code(name)))?;
    Ok(Side { label: "artifact".to_owned(), source: bytes.map(|bytes| plain(&bytes)) })
}

fn proposal(session: &Session, name: &str, from: &Path) -> Result<Pair, Error> {
    let (loaded, all) = load(session, name, from)?;
    let name = &loaded.spec.name;
    let folder = session.workspace.proposal(name);
    let Some(code) = freeze::read(&folder.join("src").join(format!("{name}.rs")))? else {
        return Err(Error::new(ExitCode::Usage, format!("no proposal of `{name}` waits for review"))
            .hint(format!("`llmc regen {name}` makes one; `llmc diff {name} --rev HEAD~1..HEAD` compares revisions")));
    };
    let spec = match freeze::read(&folder.join("spec.yaml"))? {
        None => loaded.spec.clone(),
        Some(bytes) => {
            let parsed = spec::parse(&loaded.path, name, &bytes);
            Arc::new(parsed.map_err(|mistakes| Error::spec(vec![mistakes]))?.0)
        }
    };
    let new = Side { label: "proposal".to_owned(), source: Some(plain(&code)) };
    Ok(Pair {
        uses: build::used_sources(session, &spec, &all)?,
        spec_changed: spec.canonical() != loaded.spec.canonical(),
        old: artifact(session, name)?,
        new,
        spec,
    })
}

fn specs_of(session: &Session, one: &str, other: &str, from: &Path) -> Result<Pair, Error> {
    let ((one, all), (other, _)) = (load(session, one, from)?, load(session, other, from)?);
    let side = |spec: &Spec| {
        let Side { source, .. } = artifact(session, &spec.name)?;
        Ok::<_, Error>(Side { label: spec.name.clone(), source })
    };
    let (old, mut new) = (side(&one.spec)?, side(&other.spec)?);
    // The same function by another name.
    if let ([wanted], [called]) = (&one.spec.interface.functions[..], &other.spec.interface.functions[..])
        && wanted.name != called.name
    {
        new.source = new.source.map(|source| renamed(&source, &called.name, &wanted.name));
    }
    Ok(Pair {
        uses: build::used_sources(session, &one.spec, &all)?,
        spec: one.spec.clone(),
        old,
        new,
        spec_changed: false,
    })
}

/// The source with another name for a function, wherever the name stands as a word.
fn renamed(source: &str, from: &str, to: &str) -> String {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut text = String::new();
    let mut word = String::new();
    for letter in source.chars().chain(['\n']) {
        if is_word(letter) {
            word.push(letter);
            continue;
        }
        text.push_str(if word == from { to } else { &word });
        word.clear();
        text.push(letter);
    }
    text.pop();
    text
}

fn revisions(
    session: &Session,
    named: &[String],
    old: &str,
    new: Option<&str>,
    from: &Path,
) -> Result<Vec<Pair>, Error> {
    let Some(repo) = Repo::discover(&session.workspace.root)? else {
        return Err(Error::new(ExitCode::Usage, "the workspace is in no git repository, so it has no revisions"));
    };
    let commits = (repo.commit_of(old)?, new.map(|new| repo.commit_of(new)).transpose()?);
    let (loaded, mistakes) = specs::load_specs(session, named, from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let targets: Vec<Loaded> = match named.is_empty() {
        true => loaded.clone(),
        false => named.iter().map(|name| Ok(load(session, name, from)?.0)).collect::<Result<_, Error>>()?,
    };
    let mut pairs = Vec::new();
    for one in targets {
        let name = &one.spec.name;
        let at = |commit: &str| -> Result<Side, Error> {
            let code = repo.file_at(commit, &paths::code(name))?;
            Ok(Side { label: repo.short(commit), source: code.map(|code| plain(&code)) })
        };
        let spec_at = |commit: &str| -> Result<Option<Arc<Spec>>, Error> {
            let Some(bytes) = repo.file_at(commit, &one.path)? else { return Ok(None) };
            Ok(spec::parse(&one.path, name, &bytes).ok().map(|(spec, _)| Arc::new(spec)))
        };
        let (old, old_spec) = (at(&commits.0)?, spec_at(&commits.0)?);
        let (new, new_spec) = match &commits.1 {
            Some(commit) => (at(commit)?, spec_at(commit)?),
            None => (Side { label: "work tree".to_owned(), ..artifact(session, name)? }, Some(one.spec.clone())),
        };
        if named.is_empty() && old.source == new.source {
            continue;
        }
        if old.source.is_none() && new.source.is_none() {
            return Err(Error::new(ExitCode::Usage, format!("`{name}` has no artifact in either revision")));
        }
        let spec = new_spec.unwrap_or_else(|| one.spec.clone());
        pairs.push(Pair {
            uses: build::used_sources(session, &spec, &loaded)?,
            spec_changed: old_spec.is_some_and(|old| old.canonical() != spec.canonical()),
            spec,
            old,
            new,
        });
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_renamed_where_its_name_is_a_word() {
        let source = "fn slug(a_slug: u8) -> u8 { slug(a_slug); slugs() }";
        assert_eq!(renamed(source, "slug", "s"), "fn s(a_slug: u8) -> u8 { s(a_slug); slugs() }");
    }
}
