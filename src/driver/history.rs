//! `llmc log` and earlier artifacts: what git alone remembers. No ledger, no model; nothing is compiled unless asked for.

use serde::Serialize;

use super::Session;
use crate::candidate::{self, Candidate};
use crate::error::{Error, ExitCode};
use crate::freeze;
use crate::provenance::{self, Origin, Provenance};
use crate::repo::{Repo, Revision, Stored, without_header};
use crate::workspace::paths;

/// A commit that changed an artifact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The commit, in hex.
    pub commit: String,
    /// As much of it as names it here.
    pub short: String,
    /// When it was committed, in RFC 3339 (UTC).
    pub when: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// The artifact's name then.
    pub name: String,
    /// Who made the code.
    #[serde(flatten)]
    pub made: Made,
    /// What became of the code.
    pub code: Code,
    /// Whether the spec it was made for is another one than before; `None` where that is not known.
    pub spec_changed: Option<bool>,
    /// Beside the version before: `same` where the code, and what it is built with, are the same. Else nothing is known
    /// unless both were run.
    pub behaviour: Option<Behaviour>,
    /// An input on which it does something else than the version before.
    pub differs_on: Option<String>,
}

/// Who made an artifact's code, as its record has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Made {
    /// A model.
    Model {
        /// `provider/name`.
        model: String,
        /// The chosen sample's number, from 1.
        sample: usize,
        /// How many were drawn.
        sampled: usize,
        /// How many of them pass.
        passed: usize,
        /// Steps of repair from that sample to the code.
        repairs: usize,
        /// Tokens generated, over all samples.
        tokens: u64,
        /// US dollars, over all samples, where the price was known.
        usd: Option<f64>,
    },
    /// A person.
    Human,
    /// Nobody: it was removed.
    Nobody,
    /// The record can't be read.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What became of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Code {
    /// There was none before.
    First,
    /// It is the same text.
    Same,
    /// Only layout or comments are different.
    Layout,
    /// It is another program text.
    Changed,
    /// There is none any more.
    Removed,
    /// What was before is not in this clone.
    Unknown,
}

/// What is known of the behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaviour {
    /// It can only be what it was.
    Same,
    /// No input was found on which it differs.
    Alike,
    /// An input was found on which it differs.
    Apart,
}

/// A spec and maybe a revision of git's, as the user named them: `NAME`, `NAME@REV`, `PATH.yaml@REV`.
pub fn split(text: &str) -> (&str, Option<&str>) {
    let at = match text.find(".yaml@") {
        Some(at) => Some(at + ".yaml".len()),
        // A folder may be called anything.
        None if text.ends_with(".yaml") => None,
        None => text.find('@'),
    };
    match at {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// The name of the artifact of a spec that need not be there any more.
pub fn name_of(named: &str) -> Result<String, Error> {
    let last = named.rsplit(['/', '\\']).next().unwrap_or(named);
    let name = last.strip_suffix(".yaml").unwrap_or(last);
    match freeze::module_name(&format!("{name}.json")) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::new(ExitCode::Usage, format!("`{named}` is no name of a spec"))),
    }
}

/// The repository of the workspace.
pub(super) fn repo(session: &Session) -> Result<Repo, Error> {
    Repo::discover(&session.workspace.root)?.ok_or_else(|| {
        Error::new(ExitCode::Usage, "the workspace is in no git repository, so that nothing is remembered")
            .hint("`git init`, then `llmc build` commits what is there")
    })
}

/// The commits that changed a spec's artifact, newest first; at most so many.
pub fn log(session: &Session, named: &str, most: usize) -> Result<Vec<Entry>, Error> {
    let name = name_of(named)?;
    let repo = repo(session)?;
    let found = repo.history(&name, most)?;
    if found.is_empty() {
        let error = Error::new(ExitCode::Usage, format!("no commit from HEAD on has an artifact `{name}`"));
        return Err(match session.workspace.path(&paths::provenance(&name)).is_file() {
            true => error.hint(format!("there is one that is not committed: `llmc build {name}` commits it")),
            false => error.hint(format!("`llmc build {name}` makes one")),
        });
    }
    Ok(found.into_iter().map(|revision| entry(&repo, revision)).collect())
}

fn entry(repo: &Repo, revision: Revision) -> Entry {
    let read = |stored: &Stored| {
        let bytes = repo.record(stored).ok_or_else(|| "it is not in this clone".to_owned())?;
        Provenance::read(&bytes).map_err(|error| error.to_string())
    };
    let after = revision.after.as_ref().map(read);
    let before = revision.before.as_ref().and_then(|stored| read(stored).ok());
    let code = code(repo, &revision);
    let both = after.as_ref().and_then(|after| after.as_ref().ok()).zip(before.as_ref());
    let is_built_alike = |(after, before): (&Provenance, &Provenance)| {
        after.dependencies == before.dependencies && after.crates == before.crates && after.uses == before.uses
    };
    let is_same = matches!(code, Code::Same | Code::Layout) && both.is_some_and(is_built_alike);
    Entry {
        when: provenance::rfc3339(u64::try_from(revision.seconds).unwrap_or_default()),
        made: made(after.as_ref()),
        code,
        spec_changed: both.map(|(after, before)| after.spec.digest != before.spec.digest),
        behaviour: is_same.then_some(Behaviour::Same),
        differs_on: None,
        commit: revision.commit,
        short: revision.short,
        subject: revision.subject,
        author: revision.author,
        name: revision.name,
    }
}

fn made(record: Option<&Result<Provenance, String>>) -> Made {
    let record = match record {
        None => return Made::Nobody,
        Some(Err(reason)) => return Made::Unknown { reason: reason.clone() },
        Some(Ok(record)) => record,
    };
    match &record.origin {
        Origin::Human(_) => Made::Human,
        Origin::Model(drawn) => {
            let (counts, usage) = (drawn.statistics.counts, drawn.statistics.usage);
            Made::Model {
                model: drawn.model.to_string(),
                sample: drawn.root() + 1,
                sampled: counts.sampled,
                passed: counts.passed,
                repairs: drawn.repairs.len(),
                tokens: usage.completion_tokens,
                usd: usage.usd,
            }
        }
    }
}

fn code(repo: &Repo, revision: &Revision) -> Code {
    let Some(after) = &revision.after else { return Code::Removed };
    let Some(before) = &revision.before else {
        return if revision.is_cut { Code::Unknown } else { Code::First };
    };
    let (Some(after), Some(before)) = (repo.code(after), repo.code(before)) else { return Code::Unknown };
    let (after, before) = (without_header(&after), without_header(&before));
    if after == before {
        return Code::Same;
    }
    let program = |code: &[u8]| {
        let source = String::from_utf8_lossy(code).into_owned();
        candidate::normalised(&Candidate { source, notes: Vec::new() })
    };
    if program(after) == program(before) { Code::Layout } else { Code::Changed }
}

/// A file of an artifact, as a revision has it; the commit and the file's bytes.
pub fn at_revision(
    session: &Session,
    name: &str,
    revision: &str,
    path: fn(&str) -> String,
) -> Result<(String, Vec<u8>), Error> {
    let repo = repo(session)?;
    let commit = repo.commit_of(revision)?;
    match repo.file_at(&commit, &path(name))? {
        Some(bytes) => Ok((commit, bytes)),
        None => Err(missing_at(&repo, name, &commit)),
    }
}

/// Says that a revision has no such artifact, and what is there instead.
pub(super) fn missing_at(repo: &Repo, name: &str, commit: &str) -> Error {
    let short = repo.short(commit);
    let error = Error::new(ExitCode::Usage, format!("there is no artifact `{name}` in {short}"));
    // It may have had another name then.
    let found = repo.history(name, usize::MAX).unwrap_or_default();
    let other = found.iter().flat_map(|one| &one.before).map(|stored| &stored.name).find(|other| *other != name);
    match other {
        Some(other) => error.hint(format!("it was named `{other}` once: `{other}@{short}`")),
        None => error.hint(format!("`llmc log {name}` lists the commits that changed it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_follows_the_first_at_sign_that_is_no_part_of_a_path() {
        for (text, spec, revision) in [
            ("gcd", "gcd", None),
            ("gcd@HEAD~1", "gcd", Some("HEAD~1")),
            ("gcd@HEAD@{1}", "gcd", Some("HEAD@{1}")),
            ("gcd@origin/main", "gcd", Some("origin/main")),
            ("specs/gcd.yaml@v1", "specs/gcd.yaml", Some("v1")),
            ("a@b/gcd.yaml", "a@b/gcd.yaml", None),
            ("a@b/gcd.yaml@HEAD", "a@b/gcd.yaml", Some("HEAD")),
            ("gcd@", "gcd", Some("")),
        ] {
            assert_eq!(split(text), (spec, revision));
        }
    }

    #[test]
    fn a_name_is_one_of_a_module() {
        assert_eq!(name_of("x/y/gcd.yaml").unwrap(), "gcd");
        for name in ["", "..", "a-b", "specs/", "a b", "1a"] {
            assert_eq!(name_of(name).unwrap_err().exit, ExitCode::Usage);
        }
    }
}
