//! What is committed at a revision, and the commits that changed an artifact: entries of trees compared, and no diffs.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::Path;

use git2::{Commit, ErrorCode, IndexEntryExtendedFlag, ObjectType, Oid, Tree};

use super::{Repo, RepoError, git, lookup};
use crate::freeze::{self, FileText};
use crate::workspace::paths;

/// A commit that changed an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The commit, in hex.
    pub commit: String,
    /// As much of it as names it here.
    pub short: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// When it was committed, in seconds since 1970.
    pub seconds: i64,
    /// The artifact's name in this commit.
    pub name: String,
    /// The artifact after it; `None` where it was removed.
    pub after: Option<Stored>,
    /// The artifact before it; `None` where there was none.
    pub before: Option<Stored>,
    /// Whether what came before is not in this repository: a clone of the last commits only.
    pub is_cut: bool,
}

/// An artifact's files, as git names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The artifact's name.
    pub name: String,
    code: Option<Oid>,
    tests: Option<Oid>,
    record: Option<Oid>,
}

impl Stored {
    /// Whether the tests are the same file.
    pub fn has_tests_of(&self, other: &Self) -> bool {
        self.tests == other.tests
    }
}

/// An artifact that is to be looked at in a commit. Later ones come first, and of two at once the one that was met first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    seconds: i64,
    number: std::cmp::Reverse<usize>,
    commit: Oid,
    name: String,
}

/// What `generated` is in a commit, by the names of trees: the same tree holds the same artifacts.
#[derive(Default)]
struct Seen(HashMap<(Oid, String), Option<Stored>>);

impl Repo {
    /// The commit that a revision of git's names, in hex.
    pub fn commit_of(&self, revision: &str) -> Result<String, RepoError> {
        let found = self.git.revparse_single(revision).and_then(|object| object.peel_to_commit());
        found.map(|commit| commit.id().to_string()).map_err(|error| match error.code() {
            ErrorCode::NotFound | ErrorCode::InvalidSpec | ErrorCode::Ambiguous | ErrorCode::Peel => {
                RepoError::NoRevision(revision.to_owned())
            }
            _ => RepoError::Git { action: "read the revision", source: error },
        })
    }

    /// As much of a commit's name as names it here.
    pub fn short(&self, commit: &str) -> String {
        let found = Oid::from_str(commit).and_then(|oid| self.git.find_object(oid, Some(ObjectType::Commit)));
        let short = found.and_then(|object| object.short_id());
        let text = short.ok().and_then(|short| std::str::from_utf8(&short).ok().map(str::to_owned));
        text.unwrap_or_else(|| commit.to_owned())
    }

    /// What a commit has under a path of the workspace; `None` when there is no such file.
    pub fn file_at(&self, commit: &str, file: &str) -> Result<Option<Vec<u8>>, RepoError> {
        let path = self.full_path(file)?;
        let read = git("read the commit");
        let found = Oid::from_str(commit).and_then(|oid| self.git.find_commit(oid)).and_then(|commit| commit.tree());
        let tree = found.map_err(read)?;
        let Some((oid, _)) = lookup(&tree, &path) else { return Ok(None) };
        let blob = self.git.find_blob(oid).map_err(git("read a file"))?;
        Ok(Some(blob.content().to_vec()))
    }

    /// The paths of those files of which something would be lost, were they written so: what is on disk or in the index is
    /// neither that nor what HEAD has.
    pub fn would_lose(&self, files: &[FileText]) -> Result<Vec<String>, RepoError> {
        let head = self.head()?.commit.map(|commit| commit.tree()).transpose().map_err(git("read HEAD"))?;
        // Formats that libgit2 does not read are left to the comparison of what is on disk.
        let index = self.git.index().ok();
        let mut changed = Vec::new();
        for (file, bytes) in files {
            let path = self.full_path(file)?;
            let kept = [
                head.as_ref().and_then(|head| lookup(head, &path)).map(|(oid, _)| oid),
                Oid::hash_object(ObjectType::Blob, bytes).ok(),
            ];
            let staged = index.as_ref().and_then(|index| index.get_path(Path::new(&path), 0)).map(|entry| entry.id);
            let on_disk = freeze::read(&self.workdir.join(&path))?;
            let is_kept =
                |bytes: &[u8]| Oid::hash_object(ObjectType::Blob, bytes).is_ok_and(|oid| kept.contains(&Some(oid)));
            let is_lost =
                |bytes: &Vec<u8>| !is_kept(bytes) && !freeze::unix_lines(bytes).is_some_and(|bytes| is_kept(&bytes));
            if staged.is_some_and(|staged| !kept.contains(&Some(staged))) || on_disk.as_ref().is_some_and(is_lost) {
                changed.push(file.clone());
            }
        }
        Ok(changed)
    }

    /// The names of the artifacts in HEAD, components among them.
    pub fn head_names(&self) -> Result<Vec<String>, RepoError> {
        let Some(commit) = self.head()?.commit else { return Ok(Vec::new()) };
        let tree = commit.tree().map_err(git("read HEAD"))?;
        let mut names = self.names_in(&tree)?;
        let folder = self.full_path(paths::CODE)?;
        let folder = tree.get_path(Path::new(&folder)).and_then(|entry| self.git.find_tree(entry.id()));
        for entry in folder.iter().flat_map(|folder| folder.iter()) {
            let Some(name) = entry.name().ok().and_then(freeze::code_name) else { continue };
            if entry.kind() == Some(ObjectType::Blob)
                && !names.contains(name)
                && self.module(name, None, entry.id())?.is_some()
            {
                names.insert(name.to_owned());
            }
        }
        Ok(names.into_iter().collect())
    }

    fn names_in(&self, tree: &Tree<'_>) -> Result<HashSet<String>, RepoError> {
        let folder = self.full_path(paths::PROVENANCE)?;
        let found = tree.get_path(Path::new(&folder)).and_then(|entry| self.git.find_tree(entry.id()));
        let Ok(folder) = found else { return Ok(HashSet::new()) };
        let names = folder.iter().filter_map(|entry| Some(freeze::module_name(entry.name().ok()?)?.to_owned()));
        Ok(names.collect())
    }

    /// Whether a file that is not on disk is not meant to be: the work tree is a sparse one. When in doubt it is so.
    pub fn is_skipped(&self, file: &str) -> bool {
        if !self.config_bool("core.sparsecheckout") {
            return false;
        }
        let (Ok(path), Ok(index)) = (self.full_path(file), self.git.index()) else { return true };
        let skipped = IndexEntryExtendedFlag::SKIP_WORKTREE.bits();
        match index.get_path(Path::new(&path), 0) {
            Some(entry) => entry.flags_extended & skipped != 0,
            // A sparse index names whole folders.
            None => index.iter().any(|entry| entry.path.ends_with(b"/") && path.as_bytes().starts_with(&entry.path)),
        }
    }

    /// An artifact's code.
    pub fn code(&self, stored: &Stored) -> Option<Vec<u8>> {
        self.content(stored.code)
    }

    /// An artifact's provenance.
    pub fn record(&self, stored: &Stored) -> Option<Vec<u8>> {
        self.content(stored.record)
    }

    fn content(&self, oid: Option<Oid>) -> Option<Vec<u8>> {
        self.git.find_blob(oid?).ok().map(|blob| blob.content().to_vec())
    }

    /// The commits that changed an artifact, from HEAD, newest first; at most so many.
    ///
    /// As `git log` does, a merge is passed over where one of its parents has the same, and only that one is followed.
    /// Where an artifact came from another one that was removed in the same commit, that one's commits follow.
    pub fn history(&self, name: &str, most: usize) -> Result<Vec<Revision>, RepoError> {
        let mut found = Vec::new();
        let Some(head) = self.head()?.commit else { return Ok(found) };
        let mut seen = Seen::default();
        let mut met: HashSet<(Oid, String)> = HashSet::new();
        let mut waiting = BinaryHeap::new();
        let mut push = |waiting: &mut BinaryHeap<Waiting>, commit: &Commit<'_>, name: &str| {
            if met.insert((commit.id(), name.to_owned())) {
                let (seconds, number) = (commit.time().seconds(), std::cmp::Reverse(met.len()));
                waiting.push(Waiting { seconds, number, commit: commit.id(), name: name.to_owned() });
            }
        };
        push(&mut waiting, &head, name);
        while let Some(Waiting { commit, name, .. }) = waiting.pop() {
            if found.len() == most {
                break;
            }
            let commit = self.git.find_commit(commit).map_err(git("read the history"))?;
            let tree = commit.tree().map_err(git("read the history"))?;
            let after = self.artifact(&tree, &name, &mut seen)?;
            let mut parents = Vec::new();
            // In a clone of the last commits the oldest ones name parents that are not here.
            let named =
                commit.raw_header_bytes().split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"parent "));
            let mut is_cut = named.count() > commit.parent_count();
            for parent in commit.parent_ids() {
                match self.git.find_commit(parent) {
                    Ok(parent) => {
                        let tree = parent.tree().map_err(git("read the history"))?;
                        let before = self.artifact(&tree, &name, &mut seen)?;
                        parents.push((parent, tree, before));
                    }
                    Err(error) if error.code() == ErrorCode::NotFound => is_cut = true,
                    Err(error) => return Err(git("read the history")(error)),
                }
            }
            if let Some((parent, ..)) = parents.iter().find(|(_, _, before)| *before == after) {
                push(&mut waiting, parent, &name);
                continue;
            }
            if after.is_none() && parents.is_empty() {
                continue;
            }
            let mut before = parents.iter().find_map(|(_, _, before)| before.clone());
            let mut followed = name.clone();
            if before.is_none()
                && let Some(after) = &after
            {
                for (_, parent, _) in &parents {
                    if let Some(old) = self.renamed(after, &tree, parent, &mut seen)? {
                        followed.clone_from(&old.name);
                        before = Some(old);
                    }
                }
            }
            for (parent, ..) in &parents {
                push(&mut waiting, parent, &followed);
            }
            found.push(Revision {
                commit: commit.id().to_string(),
                short: self.short(&commit.id().to_string()),
                subject: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
                author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
                seconds: commit.time().seconds(),
                name,
                after,
                before,
                is_cut,
            });
        }
        Ok(found)
    }

    /// An artifact in a tree.
    fn artifact(&self, tree: &Tree<'_>, name: &str, seen: &mut Seen) -> Result<Option<Stored>, RepoError> {
        let folder = self.full_path("generated")?;
        let Ok(entry) = tree.get_path(Path::new(&folder)) else { return Ok(None) };
        let key = (entry.id(), name.to_owned());
        if let Some(known) = seen.0.get(&key) {
            return Ok(known.clone());
        }
        let Ok(folder) = self.git.find_tree(entry.id()) else { return Ok(None) };
        let within = |path: String| lookup(&folder, path.trim_start_matches("generated/")).map(|(oid, _)| oid);
        let (code, tests) = (within(paths::code(name)), within(paths::tests(name)));
        let record = within(paths::provenance(name));
        // Without a record it is no artifact, whatever else there is.
        let stored = record.is_some().then(|| Stored { name: name.to_owned(), code, tests, record });
        seen.0.insert(key, stored.clone());
        Ok(stored)
    }

    /// The artifact that is no more in `tree` and has, in `parent`, the code that `after` has now.
    fn renamed(
        &self,
        after: &Stored,
        tree: &Tree<'_>,
        parent: &Tree<'_>,
        seen: &mut Seen,
    ) -> Result<Option<Stored>, RepoError> {
        let Some(code) = self.code(after) else { return Ok(None) };
        let now = self.names_in(tree)?;
        let mut gone: Vec<String> = self.names_in(parent)?.into_iter().filter(|name| !now.contains(name)).collect();
        gone.sort();
        for name in gone {
            let Some(old) = self.artifact(parent, &name, seen)? else { continue };
            if self.code(&old).is_some_and(|old| without_header(&old) == without_header(&code)) {
                return Ok(Some(old));
            }
        }
        Ok(None)
    }
}

/// The code without its first line, which names the spec.
pub fn without_header(code: &[u8]) -> &[u8] {
    match code.iter().position(|byte| *byte == b'\n') {
        Some(end) if code.starts_with(b"// @generated") => &code[end + 1..],
        _ => code,
    }
}
