//! A commit: the tree it holds, who makes it, and the branch that moves.

use std::fs;
use std::path::Path;
use std::time::Duration;

use git2::build::TreeUpdateBuilder;
use git2::{AttrCheckFlags, AttrValue, ErrorCode, FileMode, ObjectType, Oid, RepositoryState, Signature, Tree};

use super::index::{Holder, IndexLock};
use super::{ATTEMPTS, Change, CommitOutcome, Head, IdentityOverrides, Repo, RepoError, git, io_error, lookup};
use crate::freeze::{self, FileText, Module};
use crate::workspace::paths;

/// Hooks that `git commit` would run.
const HOOKS: [&str; 4] = ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"];

/// Files that follow from HEAD's tree, made anew when the branch moved.
type Derive<'a> = dyn Fn(Option<&Tree<'_>>) -> Result<Vec<FileText>, RepoError> + 'a;

/// A path as it is to be committed.
pub(super) struct Entry {
    /// Relative to the work tree's root.
    pub(super) path: String,
    /// What it becomes; nothing when it is removed.
    pub(super) blob: Option<(Oid, FileMode)>,
}

impl Repo {
    /// Commits an artifact's files with the generated crate's own, which list HEAD's artifacts and `new`; with `harness`
    /// they have `register` in any case.
    ///
    /// So the commit builds by itself, whatever else lies in `generated/` uncommitted.
    pub fn commit_artifacts(
        &self,
        change: &Change<'_>,
        new: &[Module],
        harness: bool,
    ) -> Result<CommitOutcome, RepoError> {
        self.commit_derived(change, &|tree| {
            let mut modules = match tree {
                Some(tree) => self.modules_in(tree)?,
                None => Vec::new(),
            };
            modules.retain(|one| !change.removed.contains(&paths::code(&one.name)));
            for module in new {
                modules = freeze::with_module(&modules, module.clone());
            }
            Ok(freeze::crate_files(&modules, harness)?)
        })
    }

    /// Commits exactly these paths.
    pub fn commit(&self, change: &Change<'_>) -> Result<CommitOutcome, RepoError> {
        self.commit_derived(change, &|_| Ok(Vec::new()))
    }

    /// Finishes what an llmc that was killed left half-done: its lock of the index, and an index that has not heard of
    /// the commit it made. Anyone else's lock is left alone.
    pub fn recover(&self) -> Result<(), RepoError> {
        let index = self.git.path().join("index");
        let file = index.with_extension("lock");
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        if !Holder::is_gone(&file) {
            return Ok(());
        }
        let lock = IndexLock::take(&index)?;
        let head = self.head()?;
        self.remove_abandoned(&head, &lock);
        // What it was about to commit last, and on what.
        let Some((_, last)) = text.rsplit_once("\nbase ") else { return Ok(()) };
        let mut lines = last.lines();
        let base = lines.next().unwrap_or_default();
        let Some(commit) = head.commit.filter(|commit| commit.id().to_string() != base) else { return Ok(()) };
        let tree = commit.tree().map_err(git("read HEAD"))?;
        let entries = lines
            .filter(|line| !line.is_empty())
            .map(|path| Entry { path: path.to_owned(), blob: lookup(&tree, path) });
        self.refresh_index(lock, &entries.collect::<Vec<_>>(), &mut CommitOutcome::default());
        Ok(())
    }

    fn commit_derived(&self, change: &Change<'_>, derive: &Derive<'_>) -> Result<CommitOutcome, RepoError> {
        if let Some(what) = under_way(self.git.state()) {
            return Err(RepoError::Busy(what));
        }
        let (author, committer) = self.identity(change.identity)?;
        let lock = IndexLock::take(&self.git.path().join("index"))?;
        let mut outcome = CommitOutcome { skipped_hooks: self.hooks(), ..CommitOutcome::default() };
        for attempt in 0..ATTEMPTS {
            let head = self.head()?;
            let base = head.commit.as_ref().map(|commit| commit.tree()).transpose().map_err(git("read HEAD"))?;
            let derived = derive(base.as_ref())?;
            let entries = self.entries(change, &derived, base.as_ref())?;
            lock.note(head.commit.as_ref().map(git2::Commit::id), &entries)?;
            outcome.ignored = self.ignored(&entries, base.as_ref())?;
            let tree = self.tree(&entries, base.as_ref())?;
            if base.as_ref().is_some_and(|base| base.id() == tree.id()) {
                self.refresh_index(lock, &entries, &mut outcome);
                return Ok(outcome);
            }
            let parents: Vec<_> = head.commit.iter().collect();
            let commit = if self.signs() {
                self.signed_commit(&author, &committer, change.message, &tree, &parents)?
            } else {
                self.git
                    .commit(None, &author, &committer, change.message, &tree, &parents)
                    .map_err(git("write the commit"))?
            };
            let summary = change.message.lines().next().unwrap_or_default();
            if self.move_head(&head, commit, &committer, summary)? {
                outcome.commit = Some(commit.to_string());
                self.refresh_index(lock, &entries, &mut outcome);
                return Ok(outcome);
            }
            self.remove_abandoned(&head, &lock);
            // Someone else moved the branch; the steps differ so that two do not keep meeting.
            std::thread::sleep(Duration::from_millis(1 + (attempt as u64 * 7 + u64::from(std::process::id())) % 20));
        }
        Err(RepoError::Raced)
    }

    /// git's name of HEAD's tree with these files in the place of what it has under their paths. Moves nothing, and
    /// writes nothing: the repository may be another user's. To be asked of one that nothing is committed to later.
    pub fn tree_with(&self, files: &[FileText]) -> Result<String, RepoError> {
        let odb = self.git.odb().map_err(git("open the objects of git"))?;
        // Above those on disk, which are asked for what it lacks.
        let _memory = odb.add_new_mempack_backend(1000).map_err(git("keep objects in memory"))?;
        let head = self.head()?;
        let base = head.commit.as_ref().map(|commit| commit.tree()).transpose().map_err(git("read HEAD"))?;
        let identity = IdentityOverrides::default();
        let change = Change { files, removed: &[], message: "", identity: &identity };
        let entries = self.entries(&change, &[], base.as_ref())?;
        Ok(self.tree(&entries, base.as_ref())?.id().to_string())
    }

    /// Removes the lock of the branch that a killed llmc left together with its lock of the index.
    ///
    /// What commits holds the index's lock first, so that whoever locked the branch after that llmc locked the index,
    /// and before this one did, is that llmc; but for programs that move branches without an index, and those hold the
    /// lock for no longer than it takes to write a line.
    fn remove_abandoned(&self, head: &Head<'_>, lock: &IndexLock) {
        let Some(since) = lock.abandoned else { return };
        let file = self.git.commondir().join(format!("{}.lock", head.reference));
        let modified = |file: &Path| fs::metadata(file).and_then(|metadata| metadata.modified());
        let (Ok(made), Ok(taken)) = (modified(&file), modified(&lock.file)) else { return };
        if made >= since && made <= taken {
            let _ = fs::remove_file(file);
        }
    }

    /// Moves the branch from where it was to `commit`; false when it is no longer there.
    fn move_head(
        &self,
        head: &Head<'_>,
        commit: Oid,
        committer: &Signature<'_>,
        summary: &str,
    ) -> Result<bool, RepoError> {
        let failed = git("move the branch");
        let mut transaction = match self.git.transaction() {
            Ok(transaction) => transaction,
            Err(error) => return Err(failed(error)),
        };
        match transaction.lock_ref(&head.reference) {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::Locked => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        // Under the lock: nobody moves it from here on.
        let old = head.commit.as_ref().map(git2::Commit::id);
        match self.git.find_reference(&head.reference) {
            Ok(now) if now.target() == old && old.is_some() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.code() == ErrorCode::NotFound && old.is_none() => {}
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        let kind = if old.is_some() { "commit" } else { "commit (initial)" };
        let moved = transaction
            .set_target(&head.reference, commit, Some(committer), &format!("{kind}: {summary}"))
            .and_then(|()| transaction.commit());
        match moved {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.code(), ErrorCode::Modified | ErrorCode::Locked) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    // ---- the tree ----

    pub(super) fn entries(
        &self,
        change: &Change<'_>,
        derived: &[FileText],
        base: Option<&Tree<'_>>,
    ) -> Result<Vec<Entry>, RepoError> {
        let mut entries = Vec::new();
        for (file, bytes) in change.files.iter().chain(derived) {
            let path = self.full_path(file)?;
            self.check_folders(&path, base)?;
            let committed = base.and_then(|base| lookup(base, &path));
            let (bytes, mode) = self.stored(&path, bytes, committed)?;
            let oid = self.git.blob(&bytes).map_err(git("write a blob"))?;
            entries.push(Entry { path, blob: Some((oid, mode)) });
        }
        for file in change.removed {
            entries.push(Entry { path: self.full_path(file)?, blob: None });
        }
        Ok(entries)
    }

    pub(super) fn tree(&self, entries: &[Entry], base: Option<&Tree<'_>>) -> Result<Tree<'_>, RepoError> {
        let empty;
        let base = match base {
            Some(base) => base,
            None => {
                let builder = self.git.treebuilder(None).map_err(git("write a tree"))?;
                let oid = builder.write().map_err(git("write a tree"))?;
                empty = self.git.find_tree(oid).map_err(git("write a tree"))?;
                &empty
            }
        };
        let mut update = TreeUpdateBuilder::new();
        for entry in entries {
            match entry.blob {
                Some((oid, mode)) => {
                    update.upsert(entry.path.as_str(), oid, mode);
                }
                None if lookup(base, &entry.path).is_some() => {
                    update.remove(entry.path.as_str());
                }
                None => {}
            }
        }
        let oid = update.create_updated(&self.git, base).map_err(git("write a tree"))?;
        self.git.find_tree(oid).map_err(git("write a tree"))
    }

    /// What git stores for a file: its bytes and mode. A file that is a link stays the link.
    fn stored(
        &self,
        path: &str,
        bytes: &[u8],
        committed: Option<(Oid, FileMode)>,
    ) -> Result<(Vec<u8>, FileMode), RepoError> {
        let on_disk = self.workdir.join(path);
        let metadata = fs::symlink_metadata(&on_disk).ok();
        if metadata.as_ref().is_some_and(fs::Metadata::is_symlink) {
            let target = fs::read_link(&on_disk).map_err(io_error("read", &on_disk))?;
            return Ok((target.into_os_string().into_encoded_bytes(), FileMode::Link));
        }
        let mode = match committed {
            Some((_, mode @ (FileMode::Blob | FileMode::BlobExecutable))) => mode,
            _ if metadata.as_ref().is_some_and(is_executable) && self.config_bool("core.filemode") => {
                FileMode::BlobExecutable
            }
            _ => FileMode::Blob,
        };
        let bytes = match freeze::unix_lines(bytes) {
            Some(unix) if self.stores_unix_lines(path, bytes, committed) => unix,
            _ => bytes.to_vec(),
        };
        Ok((bytes, mode))
    }

    /// Whether git would turn `\r\n` into `\n` on the way in.
    fn stores_unix_lines(&self, path: &str, bytes: &[u8], committed: Option<(Oid, FileMode)>) -> bool {
        let attribute = |name| self.git.get_attr(Path::new(path), name, AttrCheckFlags::default()).ok().flatten();
        let autocrlf = || {
            self.config_bool("core.autocrlf")
                || self.config(|config| config.get_string("core.autocrlf")).is_some_and(|value| value == "input")
        };
        match AttrValue::from_string(attribute("text")) {
            AttrValue::True => return true,
            AttrValue::False => return false,
            AttrValue::Unspecified if attribute("eol").is_some_and(|eol| matches!(eol, "lf" | "crlf")) => return true,
            AttrValue::Unspecified if !autocrlf() => return false,
            _ => {}
        }
        // `auto`: not what looks like no text, and not where `\r\n` is committed already.
        let lone = |bytes: &[u8]| bytes.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
        let committed_so = || {
            committed
                .and_then(|(oid, _)| self.git.find_blob(oid).ok())
                .is_some_and(|blob| blob.content().windows(2).any(|pair| pair == b"\r\n"))
        };
        !bytes.contains(&0) && !lone(bytes) && !bytes.ends_with(b"\r") && !committed_so()
    }

    /// Refuses a file in a folder that is not this repository's own, as `git add` does.
    fn check_folders(&self, path: &str, base: Option<&Tree<'_>>) -> Result<(), RepoError> {
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            let on_disk = self.workdir.join(folder);
            if fs::symlink_metadata(&on_disk).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(RepoError::BeyondLink(path.to_owned()));
            }
            let submodule = base
                .and_then(|base| base.get_path(Path::new(folder)).ok())
                .is_some_and(|entry| entry.kind() == Some(ObjectType::Commit));
            if submodule || on_disk.join(".git").exists() {
                return Err(RepoError::Nested { path: path.to_owned(), inner: folder.to_owned() });
            }
        }
        Ok(())
    }

    fn ignored(&self, entries: &[Entry], base: Option<&Tree<'_>>) -> Result<Vec<String>, RepoError> {
        let mut ignored = Vec::new();
        for entry in entries {
            let is_new = entry.blob.is_some() && base.and_then(|base| lookup(base, &entry.path)).is_none();
            if is_new && self.git.is_path_ignored(&entry.path).map_err(git("read .gitignore"))? {
                ignored.push(entry.path[self.prefix.len()..].to_owned());
            }
        }
        Ok(ignored)
    }

    // ---- settings ----

    /// Author and committer, found as git does, without its guesses from the machine's name.
    fn identity(&self, overrides: &IdentityOverrides) -> Result<(Signature<'static>, Signature<'static>), RepoError> {
        let pick = |given: &Option<String>, names: [&str; 2], last: Option<&String>| {
            let configured = || names.iter().find_map(|name| self.config(|config| config.get_string(name)));
            given.clone().filter(|text| !text.trim().is_empty()).or_else(configured).or_else(|| last.cloned())
        };
        let email = overrides.email.as_ref().filter(|email| !email.trim().is_empty());
        let person = |name: Option<String>, email: Option<String>| {
            // libgit2 refuses names of nothing but blanks and `<>`.
            Signature::now(&name.unwrap_or_default(), &email.unwrap_or_default()).map_err(|_| RepoError::NoIdentity)
        };
        let author = person(
            pick(&overrides.author_name, ["author.name", "user.name"], None),
            pick(&overrides.author_email, ["author.email", "user.email"], email),
        )?;
        let committer = person(
            pick(&overrides.committer_name, ["committer.name", "user.name"], None),
            pick(&overrides.committer_email, ["committer.email", "user.email"], email),
        )?;
        Ok((author, committer))
    }

    /// The hooks that `git commit` would run here.
    fn hooks(&self) -> Vec<String> {
        let folder = match self.config(|config| config.get_path("core.hookspath")) {
            Some(path) => self.workdir.join(path),
            None => self.git.commondir().join("hooks"),
        };
        let runs =
            |name: &str| fs::metadata(folder.join(name)).is_ok_and(|file| file.is_file() && is_executable(&file));
        HOOKS.iter().filter(|name| runs(name)).map(|name| (*name).to_owned()).collect()
    }
}

/// What a commit would disturb, in words.
fn under_way(state: RepositoryState) -> Option<&'static str> {
    Some(match state {
        RepositoryState::Clean => return None,
        RepositoryState::Merge => "merge",
        RepositoryState::Revert | RepositoryState::RevertSequence => "revert",
        RepositoryState::CherryPick | RepositoryState::CherryPickSequence => "cherry-pick",
        RepositoryState::Bisect => "bisect",
        RepositoryState::Rebase | RepositoryState::RebaseInteractive | RepositoryState::RebaseMerge => "rebase",
        RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => "`git am`",
    })
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    true
}
