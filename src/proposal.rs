//! Proposals: artifacts that wait for review, in `.llmc/proposals/NAME/`, and the programs that were turned down.
//!
//! A proposal is written all or none: its folder is made beside its place and moved there. What is read is no more
//! trusted than any file: it may have come with a stranger's repository. Nothing here samples, judges or commits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::event::{Answered, Behaves, Differing, Origin};
use crate::freeze::{self, FileText, FreezeError};
use crate::provenance::{Drawn, Provenance, ProvenanceError};
use crate::workspace::{Workspace, WorkspaceError, paths};

/// Version of `proposal.json` and of the list of what was rejected. A reader refuses a higher one.
pub const FORMAT_VERSION: u32 = 1;
/// What a proposal says about itself, in its folder.
pub const RECORD: &str = "proposal.json";
/// The spec that it was made for, in its folder.
pub const SPEC: &str = "spec.yaml";
/// The programs that were rejected, in `.llmc`: one JSON object a line.
const REJECTED: &str = "rejected.jsonl";
/// A whole proposal on its way to its place, which is then `NAME`.
const NEXT: &str = ".next-";
/// What is being written or removed: it means nothing.
const LITTER: &str = ".tmp-";

/// Why a proposal can't be read, kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// A file of it is gone, or is not the one that was written.
    #[error("the proposal for `{name}` is not whole: {what}")]
    Broken {
        /// The spec.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// Written by a newer llmc.
    #[error("the proposal for `{name}` has the format version {found}; this llmc reads up to {FORMAT_VERSION}")]
    Newer {
        /// The spec.
        name: String,
        /// The file's version.
        found: u64,
    },
    /// The folder of the proposals is a link.
    #[error("`.llmc/proposals` leads out of the workspace")]
    LeadsOut,
    /// The local folder can't be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A file can't be read.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// The disk said no.
    #[error("failed to {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is said of a proposal before its code is looked at; behaviour first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How it behaves.
    pub behaves: Behaves,
    /// What that was found by, or why it could not be; a sentence.
    pub told: String,
    /// Inputs on which it differs, where any are known.
    #[serde(default)]
    pub differing: Vec<Differing>,
    /// Of code that would answer for a component, some of the later calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Answered>,
    /// Of such code, the number in the ledger of the last call when it was certified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<i64>,
    /// Lines of code: the artifact's, where there is one, and the proposal's.
    pub lines: (Option<usize>, usize),
    /// Programs that pass and were passed over, since they had been rejected before.
    #[serde(default)]
    pub rejected_before: usize,
    /// Prompt and completion tokens that it took now.
    pub tokens: u64,
    /// US dollars that it took, where known.
    pub usd: Option<f64>,
}

/// The digests of an artifact's code and provenance, line ends aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// Of `generated/src/NAME.rs`.
    pub code: String,
    /// Of `generated/provenance/NAME.json`.
    pub provenance: String,
}

impl Against {
    /// The artifact that is there now; `None` where there is none.
    pub fn now(workspace: &Workspace, name: &str) -> Result<Option<Self>, FreezeError> {
        let digest = |path: String| -> Result<Option<String>, FreezeError> {
            let bytes = freeze::read(&workspace.path(&path))?;
            Ok(bytes.map(|bytes| sha256(freeze::unix_lines(&bytes).unwrap_or(bytes))))
        };
        let (code, provenance) = (digest(paths::code(name))?, digest(paths::provenance(name))?);
        Ok(match (code, provenance) {
            (None, None) => None,
            (code, provenance) => {
                Some(Self { code: code.unwrap_or_default(), provenance: provenance.unwrap_or_default() })
            }
        })
    }
}

/// What a proposal says about itself: `proposal.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The spec's name.
    pub name: String,
    /// The spec's file, relative to the workspace's root.
    pub path: String,
    /// The program, whatever its layout and comments: what is remembered when it is rejected.
    pub digest: String,
    /// Everything that it was made from: see [`freeze::Inputs`].
    pub inputs: String,
    /// What made it.
    pub origin: Origin,
    /// When, in RFC 3339 (UTC).
    pub made: String,
    /// The artifact that it would replace.
    pub artifact: Option<Against>,
    /// SHA-256 of its files, by their path in its folder.
    pub files: BTreeMap<String, String>,
    /// What is said of it first.
    pub summary: Summary,
}

/// An artifact that waits for review.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// What it says about itself.
    pub record: Record,
    /// The artifact's files under the paths that they would have in the workspace: code, tests (a component has none),
    /// provenance.
    pub files: Vec<FileText>,
    /// The spec's bytes that it was made for.
    pub spec: Vec<u8>,
    /// Its provenance.
    pub provenance: Provenance,
}

impl Proposal {
    /// How it was drawn from a model.
    pub fn drawn(&self) -> &Drawn {
        self.provenance.drawn().expect("reading it refuses one that tells of no sample")
    }

    /// The code, without the line that marks it.
    pub fn code(&self) -> String {
        unmarked(&self.files[0].1)
    }

    /// Whether these files are in the workspace already: it was accepted, and that was cut short.
    pub fn is_installed(&self, workspace: &Workspace) -> Result<bool, FreezeError> {
        for (path, bytes) in &self.files {
            if freeze::read(&workspace.path(path))?.as_ref() != Some(bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts it in its place, all or none, instead of one that waits there. The caller holds the workspace's lock.
    pub fn write(&mut self, workspace: &Workspace) -> Result<(), ProposalError> {
        let name = self.record.name.clone();
        let root = folder(workspace)?;
        recover(workspace)?;
        let litter = root.join(format!("{LITTER}{name}"));
        let mut files: Vec<(String, &[u8])> = Vec::new();
        for (path, bytes) in &self.files {
            files.push((inner(path).to_owned(), bytes));
        }
        files.push((SPEC.to_owned(), &self.spec));
        self.record.files = files.iter().map(|(path, bytes)| (path.clone(), sha256(bytes))).collect();
        for (path, bytes) in files {
            put(&litter.join(path), bytes)?;
        }
        let mut record = serde_json::to_vec_pretty(&self.record).expect("a record holds only strings and numbers");
        record.push(b'\n');
        put(&litter.join(RECORD), &record)?;
        let next = root.join(format!("{NEXT}{name}"));
        rename(&litter, &next)?;
        // From here on whoever comes next finishes it.
        settle(&root, &name)
    }

    /// The proposal for a spec; `None` where none waits.
    ///
    /// # Errors
    /// [`ProposalError::Broken`] where it is not as it was written.
    pub fn read(workspace: &Workspace, name: &str) -> Result<Option<Self>, ProposalError> {
        let at = workspace.proposal(name);
        let broken = |what: String| ProposalError::Broken { name: name.to_owned(), what };
        let Some(bytes) = freeze::read(&at.join(RECORD))? else {
            let is_there = fs::symlink_metadata(&at).is_ok();
            return if is_there { Err(broken(format!("there is no `{RECORD}`"))) } else { Ok(None) };
        };
        let unreadable = |error: serde_json::Error| broken(format!("`{RECORD}`: {error}"));
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
        match value["format_version"].as_u64() {
            Some(found) if found > u64::from(FORMAT_VERSION) => {
                return Err(ProposalError::Newer { name: name.to_owned(), found });
            }
            _ => {}
        }
        let record: Record = serde_json::from_value(value).map_err(unreadable)?;
        if record.name != name {
            return Err(broken(format!("it is one for `{}`", record.name)));
        }
        let is_hardening = record.origin == Origin::Harden;
        let mut own = vec![paths::code(name), paths::tests(name), paths::provenance(name)];
        own.retain(|path| !is_hardening || *path != paths::tests(name));
        let read = |path: &str| -> Result<Vec<u8>, ProposalError> {
            let bytes = freeze::read(&at.join(path))?.ok_or_else(|| broken(format!("`{path}` is gone")))?;
            match record.files.get(path) {
                Some(digest) if *digest == sha256(&bytes) => Ok(bytes),
                _ => Err(broken(format!("`{path}` was changed"))),
            }
        };
        let mut files: Vec<FileText> = Vec::new();
        for path in own {
            let bytes = read(inner(&path))?;
            files.push((path, bytes));
        }
        let spec = read(SPEC)?;
        let provenance =
            Provenance::read(&files[files.len() - 1].1).map_err(|error: ProvenanceError| broken(error.to_string()))?;
        if provenance.drawn().is_none() {
            return Err(broken("its provenance tells of no sample".to_owned()));
        }
        if provenance.hardness().is_some() != is_hardening {
            return Err(broken("its provenance is of another kind".to_owned()));
        }
        let vouches = |file: &FileText| {
            provenance.subject.iter().any(|subject| subject.path == file.0 && subject.sha256 == sha256(&file.1))
        };
        if provenance.subject.len() != files.len() - 1 || !files[..files.len() - 1].iter().all(vouches) {
            return Err(broken("its provenance vouches for other files".to_owned()));
        }
        if (provenance.spec.name.as_str(), provenance.spec.path.as_str()) != (name, record.path.as_str())
            || provenance.input_digest != record.inputs
        {
            return Err(broken("its provenance tells of another spec".to_owned()));
        }
        Ok(Some(Self { record, files, spec, provenance }))
    }
}

/// Generated Rust without the lines that mark it.
pub fn unmarked(code: &[u8]) -> String {
    let code = freeze::component_body(code).unwrap_or(code);
    let text = String::from_utf8_lossy(code);
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("// @generated by llmc") => rest.to_owned(),
        _ => text.into_owned(),
    }
}

/// The names of the specs for which a proposal waits, sorted; those that can't be read among them.
pub fn waiting(workspace: &Workspace) -> Result<Vec<String>, ProposalError> {
    let root = workspace.proposals();
    let entries = match fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", &root)(error)),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io_error("read", &root))?.file_name();
        // One that was cut short is whole, and is in its place when it is next written to.
        let name = name.to_str().map(|name| name.strip_prefix(NEXT).unwrap_or(name));
        names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
    }
    Ok(names.into_iter().collect())
}

/// Removes the proposal for a spec, if there is one. The caller holds the workspace's lock.
pub fn remove(workspace: &Workspace, name: &str) -> Result<(), ProposalError> {
    let root = folder(workspace)?;
    recover(workspace)?;
    let at = root.join(name);
    if !is_name(name) || fs::symlink_metadata(&at).is_err() {
        return Ok(());
    }
    // Moved first: a proposal is there, or it is not.
    let litter = root.join(format!("{LITTER}{name}"));
    rename(&at, &litter)?;
    discard(&litter)
}

/// Finishes what was cut short, and clears away what was left. The caller holds the workspace's lock.
pub fn recover(workspace: &Workspace) -> Result<(), ProposalError> {
    let root = workspace.proposals();
    if fs::symlink_metadata(&root).is_err() {
        return Ok(());
    }
    let root = folder(workspace)?;
    for entry in fs::read_dir(&root).map_err(io_error("read", &root))? {
        let entry = entry.map_err(io_error("read", &root))?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.starts_with(LITTER) {
            discard(&entry.path())?;
        } else if let Some(name) = name.strip_prefix(NEXT) {
            settle(&root, name)?;
        }
    }
    Ok(())
}

/// Moves a whole proposal to its place, and what was there out of the way.
fn settle(root: &Path, name: &str) -> Result<(), ProposalError> {
    let (next, at) = (root.join(format!("{NEXT}{name}")), root.join(name));
    if fs::symlink_metadata(&at).is_ok() {
        let litter = root.join(format!("{LITTER}{name}"));
        discard(&litter)?;
        rename(&at, &litter)?;
        rename(&next, &at)?;
        return discard(&litter);
    }
    rename(&next, &at)
}

/// The folder of the proposals, made where it is missing.
fn folder(workspace: &Workspace) -> Result<PathBuf, ProposalError> {
    workspace.local()?;
    let root = workspace.proposals();
    fs::create_dir_all(&root).map_err(io_error("create", &root))?;
    // Whole folders are removed below it: a stranger's link must not say which.
    let real = fs::canonicalize(&root).map_err(io_error("open", &root))?;
    if real == root { Ok(root) } else { Err(ProposalError::LeadsOut) }
}

/// A name that a spec can have, and no path.
fn is_name(name: &str) -> bool {
    freeze::module_name(&format!("{name}.json")).is_some()
}

/// The path in a proposal's folder of a file of the generated crate.
fn inner(path: &str) -> &str {
    path.strip_prefix("generated/").expect("an artifact's files are below `generated`")
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), ProposalError> {
    let folder = path.parent().expect("a file has a folder");
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(io_error("write", path))
}

fn rename(from: &Path, to: &Path) -> Result<(), ProposalError> {
    fs::rename(from, to).map_err(io_error("write", to))
}

fn discard(path: &Path) -> Result<(), ProposalError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

// ---- what was turned down ----

/// A line of the list of what was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rejected {
    v: u32,
    spec: String,
    digest: String,
    when: String,
}

/// The programs for a spec that were rejected. A line that was cut off is as good as none.
pub fn rejected(workspace: &Workspace, name: &str) -> Result<BTreeSet<String>, ProposalError> {
    Ok(lines(workspace)?.into_iter().filter(|one| one.spec == name).map(|one| one.digest).collect())
}

/// Remembers that a program was rejected; on the disk when this returns. The caller holds the workspace's lock.
pub fn remember(workspace: &Workspace, name: &str, digest: &str, when: &str) -> Result<(), ProposalError> {
    if rejected(workspace, name)?.contains(digest) {
        return Ok(());
    }
    let mut all = lines(workspace)?;
    all.push(Rejected { v: FORMAT_VERSION, spec: name.into(), digest: digest.into(), when: when.into() });
    write_lines(workspace, &all)
}

/// Forgets what was rejected for a spec, and says how many programs those were. The caller holds the workspace's lock.
pub fn forget(workspace: &Workspace, name: &str) -> Result<usize, ProposalError> {
    let (gone, kept): (Vec<Rejected>, Vec<Rejected>) = lines(workspace)?.into_iter().partition(|one| one.spec == name);
    if !gone.is_empty() {
        write_lines(workspace, &kept)?;
    }
    Ok(gone.len())
}

fn lines(workspace: &Workspace) -> Result<Vec<Rejected>, ProposalError> {
    let bytes = freeze::read(&workspace.local_path().join(REJECTED))?.unwrap_or_default();
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn write_lines(workspace: &Workspace, list: &[Rejected]) -> Result<(), ProposalError> {
    let line = |one: &Rejected| serde_json::to_string(one).expect("it holds only strings") + "\n";
    let at = workspace.local()?.join(REJECTED);
    let beside = at.with_extension("jsonl.new");
    put(&beside, list.iter().map(line).collect::<String>().as_bytes())?;
    rename(&beside, &at)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProposalError {
    let path = path.display().to_string();
    move |source| ProposalError::Io { action, path, source }
}
