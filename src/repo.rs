//! Git: committing an artifact, and what is committed. The only user of git2.
//!
//! A commit holds HEAD's tree plus exactly the paths given. What else the user has staged or changed stays as it is:
//! nothing here ever checks out, merges, stashes, pushes or runs a hook. The branch moves by compare-and-swap, under
//! git's own lock on the index, so a commit made by someone else at the same moment is never lost.
//!
//! Files are stored as they are; only where git itself would turn `\r\n` into `\n` (`text` attributes,
//! `core.autocrlf`) so does this. Generated files have `\n`; `generated/** -text` in `.gitattributes` keeps them so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use git2::build::TreeUpdateBuilder;
use git2::{
    AttrCheckFlags, AttrValue, ErrorCode, FileMode, Index, IndexEntry, IndexTime, ObjectType, Oid, Repository,
    RepositoryOpenFlags, RepositoryState, Signature, Tree,
};

use crate::freeze::{self, FileText, FreezeError, Module};
use crate::workspace::paths;

/// How long another git process may hold the index.
const INDEX_WAIT: Duration = Duration::from_secs(2);
/// How often a commit is built anew because the branch moved.
const ATTEMPTS: usize = 20;
/// How long signing may take: someone may have to touch a key or type a passphrase.
const SIGNING_WAIT: Duration = Duration::from_secs(120);
/// Hooks that `git commit` would run.
const HOOKS: [&str; 4] = ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"];

/// The git repository that a workspace is in.
pub struct Repo {
    git: Repository,
    /// The work tree's root, with links resolved.
    workdir: PathBuf,
    /// Where the workspace is in the work tree: empty, or ending in `/`.
    prefix: String,
    /// Modules by the blob of their provenance, since every commit needs them all.
    modules: RefCell<HashMap<Oid, Module>>,
}

/// Why git can't be used, or nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// git's `safe.directory` rule.
    #[error("the git repository `{0}` belongs to another user")]
    NotOwned(String),
    /// A format that libgit2 does not know, e.g. SHA-256 objects.
    #[error("the git repository has a format that llmc can't write: {0}")]
    Unsupported(String),
    /// No work tree.
    #[error("the git repository `{0}` is bare: it has no work tree to build in")]
    Bare(String),
    /// Nobody to name as the author.
    #[error("git does not know who you are")]
    NoIdentity,
    /// Something is under way that a commit would disturb.
    #[error("a {0} is under way in this repository")]
    Busy(&'static str),
    /// Another git process is at work, or one died.
    #[error("another git process holds `{0}`")]
    IndexLocked(String),
    /// git does not follow links in folders.
    #[error("`{0}` is beyond a symbolic link; git does not commit such files")]
    BeyondLink(String),
    /// The file belongs to a submodule or to a repository of its own.
    #[error("`{path}` is in another git repository, `{inner}`")]
    Nested {
        /// The file.
        path: String,
        /// The other repository's folder.
        inner: String,
    },
    /// No plain path in the workspace.
    #[error("`{0}` is not a plain path in the workspace")]
    Outside(String),
    /// `commit.gpgsign` is set and the commit could not be signed.
    #[error("failed to sign the commit: {0}")]
    Signing(String),
    /// Others commit faster than we do.
    #[error("the branch moved {ATTEMPTS} times while the commit was made")]
    Raced,
    /// The crate's own files can't be made.
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
    /// git said no.
    #[error("failed to {action}")]
    Git {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: git2::Error,
    },
}

impl RepoError {
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotOwned(_) => "`git config --global --add safe.directory FOLDER`, if you trust it",
            Self::Unsupported(_) => "build with `--no-commit`, and commit the files with git",
            Self::Bare(_) => "work in a clone or in a linked work tree: `git worktree add`",
            Self::NoIdentity => "`git config --global user.name NAME` and `git config --global user.email ADDRESS`",
            Self::Busy(_) => "the files are written: finish it, then run the build again to commit them",
            Self::IndexLocked(_) => {
                "the files are written: run the build again to commit them; if no git process runs, remove the lock"
            }
            Self::BeyondLink(_) => "replace the link by the folder itself, or build with `--no-commit`",
            Self::Nested { .. } => "run llmc in that repository, or build with `--no-commit`",
            Self::Signing(_) => {
                "the files are written: run the build again to commit them, with \
                 `git config commit.gpgsign false` if they need no signature"
            }
            _ => return None,
        })
    }
}

/// Who commits, where the environment says so (`GIT_AUTHOR_NAME` …), as git reads it. All may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityOverrides {
    /// `GIT_AUTHOR_NAME`.
    pub author_name: Option<String>,
    /// `GIT_AUTHOR_EMAIL`.
    pub author_email: Option<String>,
    /// `GIT_COMMITTER_NAME`.
    pub committer_name: Option<String>,
    /// `GIT_COMMITTER_EMAIL`.
    pub committer_email: Option<String>,
    /// `EMAIL`: the last resort for both addresses.
    pub email: Option<String>,
}

/// What to commit. Paths are relative to the workspace's root.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Files with what they hold; what is on disk plays no part.
    pub files: &'a [FileText],
    /// Files that are to be no more.
    pub removed: &'a [String],
    /// The message: see [`CommitMessage`].
    pub message: &'a str,
    /// Who commits.
    pub identity: &'a IdentityOverrides,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitOutcome {
    /// The new commit, in hex; `None` when HEAD already has all of it.
    pub commit: Option<String>,
    /// Hooks that `git commit` would have run and llmc did not.
    pub skipped_hooks: Vec<String>,
    /// New files that `.gitignore` covers and that were committed all the same.
    pub ignored: Vec<String>,
    /// Why `git status` does not show the new commit's files as clean, where that is so.
    pub index_note: Option<String>,
}

/// How a file compares to HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadState {
    /// HEAD has what is on disk.
    Committed,
    /// HEAD has something else.
    Modified,
    /// HEAD has no such file.
    Untracked,
    /// There is no such file on disk.
    Missing,
}

/// Files that follow from HEAD's tree, made anew when the branch moved.
type Derive<'a> = dyn Fn(Option<&Tree<'_>>) -> Result<Vec<FileText>, RepoError> + 'a;

/// The branch as it is when a commit begins.
struct Head<'repo> {
    /// The reference that moves: a branch, or `HEAD` itself when it is detached.
    reference: String,
    /// Where it points; nothing on a branch without a commit.
    commit: Option<git2::Commit<'repo>>,
}

/// A path as it is to be committed.
struct Entry {
    /// Relative to the work tree's root.
    path: String,
    /// What it becomes; nothing when it is removed.
    blob: Option<(Oid, FileMode)>,
}

impl Repo {
    /// The repository that the folder `root` is in; `None` when there is none.
    pub fn discover(root: &Path) -> Result<Option<Self>, RepoError> {
        let none: [&Path; 0] = [];
        let git = match Repository::open_ext(root, RepositoryOpenFlags::empty(), none) {
            Ok(git) => git,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) if error.code() == ErrorCode::Owner => {
                return Err(RepoError::NotOwned(root.display().to_string()));
            }
            Err(error) if error.message().contains("extension") || error.message().contains("object") => {
                return Err(RepoError::Unsupported(error.message().to_owned()));
            }
            Err(source) => return Err(RepoError::Git { action: "open the git repository", source }),
        };
        let Some(workdir) = git.workdir() else {
            return Err(RepoError::Bare(git.path().display().to_string()));
        };
        let workdir = fs::canonicalize(workdir).map_err(io_error("open", workdir))?;
        let root = fs::canonicalize(root).map_err(io_error("open", root))?;
        let Ok(inside) = root.strip_prefix(&workdir) else {
            // `core.worktree` points elsewhere: nothing here is in that work tree.
            return Ok(None);
        };
        let mut prefix = String::new();
        for part in inside {
            prefix.push_str(part.to_str().ok_or_else(|| RepoError::Outside(root.display().to_string()))?);
            prefix.push('/');
        }
        Ok(Some(Self { git, workdir, prefix, modules: RefCell::default() }))
    }

    /// Starts a repository in the folder `root`, unless it is in one already. Says whether it did.
    pub fn ensure(root: &Path) -> Result<bool, RepoError> {
        if Self::discover(root)?.is_some() {
            return Ok(false);
        }
        Repository::init(root).map_err(git("start a git repository"))?;
        Ok(true)
    }

    /// Commits an artifact's files with the generated crate's own, which list HEAD's artifacts and `new`.
    ///
    /// So the commit builds by itself, whatever else lies in `generated/` uncommitted.
    pub fn commit_artifacts(&self, change: &Change<'_>, new: &[Module]) -> Result<CommitOutcome, RepoError> {
        self.commit_derived(change, &|tree| {
            let mut modules = match tree {
                Some(tree) => self.modules_in(tree)?,
                None => Vec::new(),
            };
            modules.retain(|one| !change.removed.contains(&paths::code(&one.name)));
            for module in new {
                modules = freeze::with_module(&modules, module.clone());
            }
            Ok(freeze::crate_files(&modules)?)
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

    /// git's name of HEAD's tree with these files in the place of what it has under their paths. Moves nothing.
    pub fn tree_with(&self, files: &[FileText]) -> Result<String, RepoError> {
        let head = self.head()?;
        let base = head.commit.as_ref().map(|commit| commit.tree()).transpose().map_err(git("read HEAD"))?;
        let identity = IdentityOverrides::default();
        let change = Change { files, removed: &[], message: "", identity: &identity };
        let entries = self.entries(&change, &[], base.as_ref())?;
        Ok(self.tree(&entries, base.as_ref())?.id().to_string())
    }

    /// How each file on disk compares to HEAD, in the order given.
    pub fn compare_to_head(&self, files: &[&str]) -> Result<Vec<HeadState>, RepoError> {
        let head = self.head()?;
        let base = head.commit.as_ref().map(|commit| commit.tree()).transpose().map_err(git("read HEAD"))?;
        let mut base = base.map(|base| Folders::new(&self.git, base));
        files
            .iter()
            .map(|file| {
                let path = self.full_path(file)?;
                let on_disk = self.workdir.join(&path);
                let bytes = match fs::read(&on_disk) {
                    Ok(bytes) => bytes,
                    Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                        return Ok(HeadState::Missing);
                    }
                    Err(error) => return Err(io_error("read", &on_disk)(error)),
                };
                let Some((committed, _)) = base.as_mut().and_then(|base| base.lookup(&path)) else {
                    return Ok(HeadState::Untracked);
                };
                let is = |bytes: &[u8]| Oid::hash_object(ObjectType::Blob, bytes).is_ok_and(|oid| oid == committed);
                let same = is(&bytes) || freeze::unix_lines(&bytes).is_some_and(|bytes| is(&bytes));
                Ok(if same { HeadState::Committed } else { HeadState::Modified })
            })
            .collect()
    }

    /// The commit that HEAD points to, in hex; `None` on a branch without one.
    pub fn head_commit(&self) -> Result<Option<String>, RepoError> {
        Ok(self.head()?.commit.map(|commit| commit.id().to_string()))
    }

    /// What HEAD has under a path; `None` when there is no such file.
    pub fn head_file(&self, file: &str) -> Result<Option<Vec<u8>>, RepoError> {
        let path = self.full_path(file)?;
        let Some(commit) = self.head()?.commit else { return Ok(None) };
        let tree = commit.tree().map_err(git("read HEAD"))?;
        let Some((oid, _)) = lookup(&tree, &path) else { return Ok(None) };
        Ok(self.git.find_blob(oid).ok().map(|blob| blob.content().to_vec()))
    }

    /// The artifacts in HEAD, sorted: those with provenance and code.
    pub fn head_modules(&self) -> Result<Vec<Module>, RepoError> {
        match self.head()?.commit {
            Some(commit) => self.modules_in(&commit.tree().map_err(git("read HEAD"))?),
            None => Ok(Vec::new()),
        }
    }

    fn modules_in<'repo>(&'repo self, tree: &Tree<'repo>) -> Result<Vec<Module>, RepoError> {
        let folder = format!("{}{}", self.prefix, paths::PROVENANCE);
        let Some(folder) = tree.get_path(Path::new(&folder)).ok().and_then(|entry| self.git.find_tree(entry.id()).ok())
        else {
            return Ok(Vec::new());
        };
        let mut folders = Folders::new(&self.git, tree.clone());
        let mut known = self.modules.borrow_mut();
        let mut modules = Vec::new();
        for entry in &folder {
            let Some(name) = entry.name().ok().and_then(freeze::module_name) else { continue };
            if entry.kind() != Some(ObjectType::Blob) || folders.lookup(&self.full_path(&paths::code(name))?).is_none()
            {
                continue;
            }
            if let Some(module) = known.get(&entry.id()) {
                modules.push(Module { name: name.to_owned(), ..module.clone() });
                continue;
            }
            let blob = self.git.find_blob(entry.id()).map_err(git("read HEAD"))?;
            let module = freeze::module(name, blob.content())?;
            known.insert(entry.id(), module.clone());
            modules.push(module);
        }
        modules.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(modules)
    }

    fn head(&self) -> Result<Head<'_>, RepoError> {
        let mut reference = "HEAD".to_owned();
        // A chain of symbolic references is as long as its owner made it; git itself follows five.
        for _ in 0..6 {
            let found = match self.git.find_reference(&reference) {
                Ok(found) => found,
                Err(error) if error.code() == ErrorCode::NotFound => return Ok(Head { reference, commit: None }),
                Err(source) => return Err(RepoError::Git { action: "read HEAD", source }),
            };
            match found.symbolic_target().map_err(git("read HEAD"))? {
                Some(next) => reference = next.to_owned(),
                None => {
                    let commit = found.peel_to_commit().map_err(git("read HEAD"))?;
                    return Ok(Head { reference, commit: Some(commit) });
                }
            }
        }
        Err(RepoError::Git { action: "read HEAD", source: git2::Error::from_str("too many symbolic references") })
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

    fn entries(
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

    fn tree(&self, entries: &[Entry], base: Option<&Tree<'_>>) -> Result<Tree<'_>, RepoError> {
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

    fn full_path(&self, file: &str) -> Result<String, RepoError> {
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git") && !part.contains(['\\', '\0'])
        };
        if !file.split('/').all(plain) {
            return Err(RepoError::Outside(file.to_owned()));
        }
        Ok(format!("{}{file}", self.prefix))
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

    fn config<T>(&self, get: impl FnOnce(&git2::Config) -> Result<T, git2::Error>) -> Option<T> {
        // A snapshot, so that what other processes write meanwhile does not matter.
        let snapshot = self.git.config().and_then(|mut config| config.snapshot()).ok()?;
        get(&snapshot).ok()
    }

    fn config_bool(&self, name: &str) -> bool {
        self.config(|config| config.get_bool(name)).unwrap_or(false)
    }

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

    // ---- signing ----

    fn signs(&self) -> bool {
        self.config_bool("commit.gpgsign")
    }

    /// Has git itself make the commit, since it knows the user's keys, agents and formats.
    fn signed_commit(
        &self,
        author: &Signature<'_>,
        committer: &Signature<'_>,
        message: &str,
        tree: &Tree<'_>,
        parents: &[&git2::Commit<'_>],
    ) -> Result<Oid, RepoError> {
        let mut command = self.git_command();
        command.args(["commit-tree", "-S", "-F", "-"]).arg(tree.id().to_string());
        for parent in parents {
            command.arg("-p").arg(parent.id().to_string());
        }
        for (role, person) in [("AUTHOR", author), ("COMMITTER", committer)] {
            let when = person.when();
            let (sign, offset) = (when.sign(), when.offset_minutes().abs());
            command
                .env(format!("GIT_{role}_NAME"), person.name().unwrap_or_default())
                .env(format!("GIT_{role}_EMAIL"), person.email().unwrap_or_default())
                .env(
                    format!("GIT_{role}_DATE"),
                    format!("@{} {sign}{:02}{:02}", when.seconds(), offset / 60, offset % 60),
                );
        }
        let output = run(command, message.as_bytes(), SIGNING_WAIT).map_err(RepoError::Signing)?;
        Oid::from_str(output.trim()).map_err(|_| RepoError::Signing("git printed no commit".to_owned()))
    }

    /// git, at work on this repository and no other.
    fn git_command(&self) -> Command {
        let mut command = Command::new("git");
        // Set where llmc runs inside of a git hook, and then about that hook's commit.
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "GIT_COMMON_DIR",
            "GIT_NAMESPACE",
            "GIT_PREFIX",
        ] {
            command.env_remove(name);
        }
        command.arg("--git-dir").arg(self.git.path()).arg("--work-tree").arg(&self.workdir).current_dir(&self.workdir);
        command
    }

    // ---- the index ----

    /// Makes the index agree with the commit about these paths, and says nothing about any other.
    ///
    /// The commit stands whatever happens here, so a failure is a note and no error.
    fn refresh_index(&self, lock: IndexLock, entries: &[Entry], outcome: &mut CommitOutcome) {
        let index = lock.index.clone();
        if let Err(first) = self.write_index(lock, entries) {
            // Formats that libgit2 does not write (split, sparse), git itself does.
            if let Err(second) = self.update_index_with_git(entries) {
                outcome.index_note = Some(format!(
                    "the commit is made, and `{}` could not be brought up to date ({first}; {second}); \
                     `git reset` does it",
                    index.strip_prefix(&self.workdir).unwrap_or(&index).display()
                ));
            }
        }
    }

    /// Follows git's own protocol: hold `index.lock`, write the new index beside, rename it over the old one.
    fn write_index(&self, lock: IndexLock, entries: &[Entry]) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let copy = Scratch(lock.index.with_extension(unique()));
        let stamp = match fs::copy(&lock.index, &copy.0) {
            Ok(_) => Some(modified(&fs::metadata(&lock.index).map_err(|error| text(&error))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(text(&error)),
        };
        let mut index = Index::open(&copy.0).map_err(|error| error.message().to_owned())?;
        let mut changed = false;
        for entry in entries {
            changed |= self.put_entry(&mut index, entry).map_err(|error| error.message().to_owned())?;
        }
        if !changed {
            return Ok(());
        }
        // git trusts a file's times only when they are older than the index. The index gets younger here, so
        // whatever it could not trust before loses its size, which makes git look at the content.
        if let Some((seconds, _)) = stamp {
            let racy: Vec<IndexEntry> = index
                .iter()
                // Whole seconds, since most builds of git compare no more than that.
                .filter(|entry| entry.file_size != 0 && entry.mtime.seconds() >= seconds)
                .filter(|entry| !entries.iter().any(|ours| ours.path.as_bytes() == entry.path))
                .collect();
            for entry in racy {
                index.add(&IndexEntry { file_size: 0, ..entry }).map_err(|error| error.message().to_owned())?;
            }
        }
        index.write().map_err(|error| error.message().to_owned())?;
        lock.replace_index(&copy.0).map_err(|error| text(&error))
    }

    /// Puts one path into the index as it was committed; false when it was there already.
    fn put_entry(&self, index: &mut Index, entry: &Entry) -> Result<bool, git2::Error> {
        let path = Path::new(&entry.path);
        let found = index.get_path(path, 0);
        let mut conflicted = false;
        for stage in 1..=3 {
            if index.get_path(path, stage).is_some() {
                index.remove(path, stage)?;
                conflicted = true;
            }
        }
        let Some((oid, mode)) = entry.blob else {
            if found.is_some() {
                index.remove(path, 0)?;
            }
            return Ok(conflicted || found.is_some());
        };
        let mode = u32::from(mode);
        if !conflicted && found.is_some_and(|found| found.id == oid && found.mode == mode) {
            return Ok(false);
        }
        let zero = IndexTime::new(0, 0);
        let mut new = IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id: oid,
            flags: 0,
            flags_extended: 0,
            path: entry.path.clone().into_bytes(),
        };
        self.add_times(&mut new, oid);
        index.add(&new)?;
        Ok(true)
    }

    /// Fills in what git compares first, when the file on disk is the committed one.
    ///
    /// Left empty, git looks at the content itself, and rightly shows a file that differs as changed.
    fn add_times(&self, entry: &mut IndexEntry, oid: Oid) {
        let path = self.workdir.join(std::str::from_utf8(&entry.path).expect("it was made from a String"));
        let Ok(before) = fs::symlink_metadata(&path) else { return };
        if !before.is_file() {
            return;
        }
        let Ok(bytes) = fs::read(&path) else { return };
        let is = |bytes: &[u8]| Oid::hash_object(ObjectType::Blob, bytes).is_ok_and(|found| found == oid);
        let same = is(&bytes) || freeze::unix_lines(&bytes).is_some_and(|bytes| is(&bytes));
        let unchanged = fs::symlink_metadata(&path).is_ok_and(|after| modified(&after) == modified(&before));
        if same && unchanged {
            add_stat(entry, &before);
        }
    }

    fn update_index_with_git(&self, entries: &[Entry]) -> Result<(), String> {
        let mut input = Vec::new();
        for entry in entries {
            let (mode, oid) = entry.blob.map_or((0, Oid::ZERO_SHA1), |(oid, mode)| (u32::from(mode), oid));
            input.extend_from_slice(format!("{mode:o} {oid}\t{}\0", entry.path).as_bytes());
        }
        let mut command = self.git_command();
        command.args(["update-index", "-z", "--index-info"]);
        run(command, &input, INDEX_WAIT * 5)?;
        let mut command = self.git_command();
        command.args(["update-index", "-q", "--refresh"]);
        // It fails when any file is changed, which is none of our business.
        let _ = run(command, b"", INDEX_WAIT * 5);
        Ok(())
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

/// The blob under a path, and its mode.
fn lookup(tree: &Tree<'_>, path: &str) -> Option<(Oid, FileMode)> {
    blob_of(&tree.get_path(Path::new(path)).ok()?)
}

fn blob_of(entry: &git2::TreeEntry<'_>) -> Option<(Oid, FileMode)> {
    let mode = match entry.filemode() {
        0o100_755 => FileMode::BlobExecutable,
        0o120_000 => FileMode::Link,
        _ => FileMode::Blob,
    };
    (entry.kind() == Some(ObjectType::Blob)).then(|| (entry.id(), mode))
}

/// A tree's folders, each read once: libgit2 keeps no large ones, and an artifact's files lie in large ones.
struct Folders<'repo> {
    git: &'repo Repository,
    root: Tree<'repo>,
    known: HashMap<String, Option<Tree<'repo>>>,
}

impl<'repo> Folders<'repo> {
    fn new(git: &'repo Repository, root: Tree<'repo>) -> Self {
        Self { git, root, known: HashMap::new() }
    }

    fn lookup(&mut self, path: &str) -> Option<(Oid, FileMode)> {
        let Some((folder, name)) = path.rsplit_once('/') else { return lookup(&self.root, path) };
        if !self.known.contains_key(folder) {
            let tree = self.root.get_path(Path::new(folder)).ok().and_then(|entry| self.git.find_tree(entry.id()).ok());
            self.known.insert(folder.to_owned(), tree);
        }
        blob_of(&self.known.get(folder)?.as_ref()?.get_name(name)?)
    }
}

/// git's lock on the index, held by its rules: whoever creates the file has it.
///
/// git gives the file's content no meaning until it is renamed, which is never done here. It says who holds the lock, so
/// that one whose holder was killed can be told from one that is held.
struct IndexLock {
    index: PathBuf,
    file: PathBuf,
    /// When the lock that was taken over was made, if one was.
    abandoned: Option<SystemTime>,
}

impl IndexLock {
    fn take(index: &Path) -> Result<Self, RepoError> {
        let file = index.with_extension("lock");
        let own = Scratch(index.with_extension(unique()));
        fs::write(&own.0, Holder::own().map(|holder| holder.to_string()).unwrap_or_default())
            .map_err(io_error("create", &own.0))?;
        let start = Instant::now();
        let mut abandoned = None;
        loop {
            // With its content at once: a lock of nobody's could never be told from one that is held.
            let taken = match fs::hard_link(&own.0, &file) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                Ok(()) => Ok(()),
                // Not every disk has links.
                Err(_) => File::options().write(true).create_new(true).open(&file).map(drop),
            };
            match taken {
                Ok(()) => return Ok(Self { index: index.to_owned(), file, abandoned }),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("create", &file)(error));
                }
                Err(_) if abandoned.is_none() && Holder::is_gone(&file) => {
                    let made = fs::metadata(&file).and_then(|metadata| metadata.modified());
                    abandoned = made.ok().filter(|_| fs::remove_file(&file).is_ok());
                }
                Err(_) if start.elapsed() > INDEX_WAIT => {
                    return Err(RepoError::IndexLocked(file.display().to_string()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Writes into the lock what is about to be committed and on what, for [`Repo::recover`].
    fn note(&self, base: Option<Oid>, entries: &[Entry]) -> Result<(), RepoError> {
        let base = base.map_or_else(|| "none".to_owned(), |base| base.to_string());
        let paths: String = entries.iter().map(|entry| format!("{}\n", entry.path)).collect();
        let write = |mut file: File| file.write_all(format!("\nbase {base}\n{paths}").as_bytes());
        let opened = File::options().append(true).open(&self.file);
        opened.and_then(write).map_err(io_error("write", &self.file))
    }

    /// Lets `new` become the index, and lets go.
    fn replace_index(self, new: &Path) -> io::Result<()> {
        fs::rename(new, &self.index)
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// An extension for a file of this process's that no other one has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("llmc-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A process of llmc's that holds a lock, so exactly that no other one is taken for it.
#[derive(PartialEq)]
struct Holder {
    process: u32,
    /// When it began, as the kernel counts.
    began: String,
    /// The machine since it was started, and which of its processes can be seen from here.
    place: String,
}

impl Holder {
    /// This process; `None` where the system does not say.
    fn own() -> Option<Self> {
        let process = std::process::id();
        Some(Self { process, began: Self::began(process)?, place: Self::here()? })
    }

    fn here() -> Option<String> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let processes = fs::read_link("/proc/self/ns/pid").ok()?;
        Some(format!("{} {}", boot.trim(), processes.display()))
    }

    /// The 22nd field of a process's state; its name, the second, may hold anything.
    fn began(process: u32) -> Option<String> {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Some(state.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned())
    }

    /// Whether a lock is that of a process that is no more. When in doubt it is not.
    fn is_gone(lock: &Path) -> bool {
        let Ok(text) = fs::read_to_string(lock) else { return false };
        let mut words = text.lines().next().unwrap_or_default().splitn(4, ' ');
        let (Some("llmc"), Some(process), Some(began), Some(place)) =
            (words.next(), words.next().and_then(|word| word.parse().ok()), words.next(), words.next())
        else {
            return false;
        };
        Self::here().is_some_and(|here| here == place) && Self::began(process).is_none_or(|now| now != began)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "llmc {} {} {}", self.process, self.began, self.place)
    }
}

/// A file that is gone when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs `command` on `input` for at most `limit`; its standard output, or what went wrong in one line.
fn run(mut command: Command, input: &[u8], limit: Duration) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "the program `git` is not installed".to_owned(),
        _ => format!("`git` can't be started: {error}"),
    })?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that does not read is one that fails; its own words say why.
    let _ = stdin.write_all(input);
    drop(stdin);
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`git` did not end within {} s", limit.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let read = |stream: &mut dyn io::Read| {
        let mut bytes = Vec::new();
        let _ = stream.take(64 << 10).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if status.success() {
        return Ok(child.stdout.as_mut().map(|stream| read(stream)).unwrap_or_default());
    }
    let words = child.stderr.as_mut().map(|stream| read(stream)).unwrap_or_default();
    let line = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    Err(if line.is_empty() { format!("`git` ended with {status}") } else { line })
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

/// When it was last written: seconds and nanoseconds, as far as the index holds them.
#[cfg(unix)]
fn modified(metadata: &fs::Metadata) -> (i32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.mtime() as i32, metadata.mtime_nsec() as u32)
}

#[cfg(not(unix))]
fn modified(_: &fs::Metadata) -> (i32, u32) {
    (0, 0)
}

/// The index keeps the low 32 bits of each.
#[cfg(unix)]
fn add_stat(entry: &mut IndexEntry, metadata: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    entry.ctime = IndexTime::new(metadata.ctime() as i32, metadata.ctime_nsec() as u32);
    entry.mtime = IndexTime::new(metadata.mtime() as i32, metadata.mtime_nsec() as u32);
    entry.dev = metadata.dev() as u32;
    entry.ino = metadata.ino() as u32;
    entry.uid = metadata.uid();
    entry.gid = metadata.gid();
    entry.file_size = metadata.size() as u32;
}

#[cfg(not(unix))]
fn add_stat(_: &mut IndexEntry, _: &fs::Metadata) {}

fn git(action: &'static str) -> impl FnOnce(git2::Error) -> RepoError {
    move |source| RepoError::Git { action, source }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepoError {
    let path = path.display().to_string();
    move |source| RepoError::Io { action, path, source }
}

/// What the commit of one artifact says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMessage<'a> {
    /// The spec's name.
    pub name: &'a str,
    /// The spec's path in the workspace.
    pub spec: &'a str,
    /// `provider/name`.
    pub model: &'a str,
    /// The chosen sample's number, from 1, and how many were drawn.
    pub sample: (usize, usize),
    /// How many steps of repair led from that sample to what is committed.
    pub repairs: usize,
    /// How many samples pass, of how many.
    pub passed: (usize, usize),
}

impl CommitMessage<'_> {
    /// Subject, body and trailers.
    pub fn text(&self) -> String {
        let (number, drawn) = self.sample;
        let (passed, of) = self.passed;
        // A trailer is one line, whatever a model or a file is called.
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (name, spec, model) = (line(self.name), line(self.spec), line(self.model));
        let (repaired, trailer) = match self.repairs {
            0 => (String::new(), String::new()),
            1 => (" It was repaired in 1 step.".to_owned(), "Llmc-Repairs: 1\n".to_owned()),
            steps => (format!(" It was repaired in {steps} steps."), format!("Llmc-Repairs: {steps}\n")),
        };
        format!(
            "llmc: build {name}\n\n\
             Sample {number} of {drawn} drawn from {model}; {passed} of {of} pass.{repaired}\n\
             How it came to be: {}\n\n\
             Llmc-Spec: {spec}\n\
             Llmc-Model: {model}\n\
             Llmc-Sample: {number}/{drawn}\n\
             Llmc-Pass-Rate: {passed}/{of}\n{trailer}",
            paths::provenance(&name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_ends_in_trailers_of_one_line_each() {
        let message = CommitMessage {
            name: "slugify",
            spec: "specs/slugify.yaml",
            model: "command/odd\n\nLlmc-Sample: 9/9",
            sample: (5, 8),
            repairs: 0,
            passed: (6, 8),
        };
        insta::assert_snapshot!(message.text(), @r"
        llmc: build slugify

        Sample 5 of 8 drawn from command/odd Llmc-Sample: 9/9; 6 of 8 pass.
        How it came to be: generated/provenance/slugify.json

        Llmc-Spec: specs/slugify.yaml
        Llmc-Model: command/odd Llmc-Sample: 9/9
        Llmc-Sample: 5/8
        Llmc-Pass-Rate: 6/8
        ");
    }
}
