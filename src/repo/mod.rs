//! Git: committing an artifact, and what is committed. The only user of git2.
//!
//! A commit holds HEAD's tree plus exactly the paths given. What else the user has staged or changed stays as it is:
//! nothing here ever checks out, merges, stashes, pushes or runs a hook. The branch moves by compare-and-swap, under
//! git's own lock on the index, so a commit made by someone else at the same moment is never lost.
//!
//! Files are stored as they are; only where git itself would turn `\r\n` into `\n` (`text` attributes,
//! `core.autocrlf`) so does this. Generated files have `\n`; `generated/** -text` in `.gitattributes` keeps them so.

mod commit;
mod history;
mod index;
pub mod message;
mod program;

pub use history::{Revision, Stored, without_header};
pub use message::CommitMessage;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, FileMode, ObjectType, Oid, Repository, RepositoryOpenFlags, Tree};

use crate::freeze::{self, FileText, FreezeError, Module};
use crate::workspace::paths;

/// How often a commit is built anew because the branch moved.
const ATTEMPTS: usize = 20;

/// Modules by provenance and code.
type Modules = HashMap<(Option<Oid>, Oid), Option<Module>>;

/// The git repository that a workspace is in.
pub struct Repo {
    git: Repository,
    /// The work tree's root, with links resolved.
    workdir: PathBuf,
    /// Where the workspace is in the work tree: empty, or ending in `/`.
    prefix: String,
    /// Modules by the blobs of their provenance, which components have none of, and their code, since every commit needs
    /// them all; `None` where the code is none of a component.
    modules: RefCell<Modules>,
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
    /// No commit has that name.
    #[error("git knows no revision `{0}`")]
    NoRevision(String),
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
            Self::NotOwned(_) => {
                "git does not use what another user may have prepared. If you trust it: \
                 `git config --global --add safe.directory` and this folder; or work in a clone of your own"
            }
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

/// The branch as it is when a commit begins.
struct Head<'repo> {
    /// The reference that moves: a branch, or `HEAD` itself when it is detached.
    reference: String,
    /// Where it points; nothing on a branch without a commit.
    commit: Option<git2::Commit<'repo>>,
}

impl Repo {
    /// The repository that the folder `root` is in; `None` when there is none.
    pub fn discover(root: &Path) -> Result<Option<Self>, RepoError> {
        let none: [&Path; 0] = [];
        let git = match Repository::open_ext(root, RepositoryOpenFlags::empty(), none) {
            Ok(git) => git,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) if error.code() == ErrorCode::Owner => {
                // git's exception is for the folder that has the `.git`.
                let repository = root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(root);
                return Err(RepoError::NotOwned(repository.display().to_string()));
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

    /// The artifacts in HEAD, sorted: those with provenance and code; and the components, which have code alone.
    pub fn head_modules(&self) -> Result<Vec<Module>, RepoError> {
        match self.head()?.commit {
            Some(commit) => self.modules_in(&commit.tree().map_err(git("read HEAD"))?),
            None => Ok(Vec::new()),
        }
    }

    fn modules_in<'repo>(&'repo self, tree: &Tree<'repo>) -> Result<Vec<Module>, RepoError> {
        let folder = |path: &str| {
            let path = format!("{}{path}", self.prefix);
            tree.get_path(Path::new(&path)).ok().and_then(|entry| self.git.find_tree(entry.id()).ok())
        };
        let mut folders = Folders::new(&self.git, tree.clone());
        let mut modules = Vec::new();
        let mut recorded = HashSet::new();
        for entry in folder(paths::PROVENANCE).iter().flat_map(|folder| folder.iter()) {
            let Some(name) = entry.name().ok().and_then(freeze::module_name) else { continue };
            if entry.kind() != Some(ObjectType::Blob) {
                continue;
            }
            recorded.insert(name.to_owned());
            if let Some((code, _)) = folders.lookup(&self.full_path(&paths::code(name))?) {
                modules.extend(self.module(name, Some(entry.id()), code)?);
            }
        }
        for entry in folder(paths::CODE).iter().flat_map(|folder| folder.iter()) {
            let Some(name) = entry.name().ok().and_then(freeze::code_name) else { continue };
            if entry.kind() == Some(ObjectType::Blob) && !recorded.contains(name) {
                modules.extend(self.module(name, None, entry.id())?);
            }
        }
        modules.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(modules)
    }

    /// The artifact with this record and this code, or the component with this code, read once.
    fn module(&self, name: &str, record: Option<Oid>, code: Oid) -> Result<Option<Module>, RepoError> {
        let mut known = self.modules.borrow_mut();
        if let Some(module) = known.get(&(record, code)) {
            return Ok(module.clone().map(|module| Module { name: name.to_owned(), ..module }));
        }
        let blob = |id: Oid| self.git.find_blob(id).map(|blob| blob.content().to_vec()).map_err(git("read HEAD"));
        let module = match record {
            Some(record) => Some(freeze::module(name, &blob(record)?, blob(code)?)?),
            None => freeze::component(name, blob(code)?),
        };
        known.insert((record, code), module.clone());
        Ok(module)
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

    fn full_path(&self, file: &str) -> Result<String, RepoError> {
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git") && !part.contains(['\\', '\0'])
        };
        if !file.split('/').all(plain) {
            return Err(RepoError::Outside(file.to_owned()));
        }
        Ok(format!("{}{file}", self.prefix))
    }

    /// The pager that git is told to use.
    pub fn pager(&self) -> Option<String> {
        self.config(|config| config.get_string("core.pager"))
    }

    fn config<T>(&self, get: impl FnOnce(&git2::Config) -> Result<T, git2::Error>) -> Option<T> {
        // A snapshot, so that what other processes write meanwhile does not matter.
        let snapshot = self.git.config().and_then(|mut config| config.snapshot()).ok()?;
        get(&snapshot).ok()
    }

    fn config_bool(&self, name: &str) -> bool {
        self.config(|config| config.get_bool(name)).unwrap_or(false)
    }
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

fn git(action: &'static str) -> impl FnOnce(git2::Error) -> RepoError {
    move |source| RepoError::Git { action, source }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepoError {
    let path = path.display().to_string();
    move |source| RepoError::Io { action, path, source }
}
