//! The workspace: where specs, templates and generated files are, and the lock that keeps two builds apart.
//!
//! Knows paths only: nothing here reads a spec or writes an artifact.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};

/// A folder with `llmc.yaml`, or with `specs/` beside a `.git`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its root, absolute, with symbolic links resolved.
    pub root: PathBuf,
}

/// Why a workspace can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// There is none from here upward.
    #[error("no llmc workspace in `{from}` or above: no `llmc.yaml`, and no `specs` folder beside a `.git`")]
    NotFound {
        /// The folder where the search began.
        from: String,
    },
    /// A spec outside of the workspace can't be built: its path could not be recorded.
    #[error("`{path}` is outside of the workspace `{root}`")]
    Outside {
        /// The path as the user gave it.
        path: String,
        /// The workspace's root.
        root: String,
    },
    /// Paths are recorded as text.
    #[error("the path `{0}` is not valid UTF-8")]
    NotText(String),
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

/// Held while a build writes; let go when dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Workspace {
    /// The workspace that `start` (a folder) is in: the nearest one upward.
    pub fn find(start: &Path) -> Result<Self, WorkspaceError> {
        let start = fs::canonicalize(start).map_err(io_error("open", start))?;
        start
            .ancestors()
            .find(|folder| {
                folder.join("llmc.yaml").is_file() || (folder.join("specs").is_dir() && folder.join(".git").exists())
            })
            .map(|root| Self { root: root.to_owned() })
            .ok_or_else(|| WorkspaceError::NotFound { from: start.display().to_string() })
    }

    /// The workspace at `root`, which need not look like one yet.
    pub fn at(root: &Path) -> Result<Self, WorkspaceError> {
        Ok(Self { root: fs::canonicalize(root).map_err(io_error("open", root))? })
    }

    /// The absolute path of a path in the workspace.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// `llmc.yaml`, absolute; it need not exist.
    pub fn settings(&self) -> PathBuf {
        self.path("llmc.yaml")
    }

    /// `templates`, absolute; it need not exist.
    pub fn templates(&self) -> PathBuf {
        self.path("templates")
    }

    /// `.llmc`, absolute; see [`Workspace::local`] for one that exists.
    pub fn local_path(&self) -> PathBuf {
        self.path(".llmc")
    }

    /// The folder of the proposals, absolute; it need not exist.
    pub fn proposals(&self) -> PathBuf {
        self.local_path().join("proposals")
    }

    /// The folder of the proposal for the spec with this name, absolute; it need not exist.
    pub fn proposal(&self, name: &str) -> PathBuf {
        self.proposals().join(name)
    }

    /// All of `specs/*.yaml`, sorted, relative to the root. Hidden files are passed over, subfolders too.
    pub fn specs(&self) -> Result<Vec<String>, WorkspaceError> {
        let folder = self.path("specs");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &folder)(error)),
        };
        let mut specs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("read", &folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(WorkspaceError::NotText(entry.path().display().to_string()));
            };
            if name.ends_with(".yaml") && !name.starts_with('.') && entry.path().is_file() {
                specs.push(format!("specs/{name}"));
            }
        }
        specs.sort();
        Ok(specs)
    }

    /// A file that the user named, as a path relative to the root, with `/` between its parts.
    ///
    /// A relative `path` counts from `from`. Links in its folders are followed, so what is recorded is where
    /// the file is; the file itself may be a link and need not exist. An error when it is outside of the root.
    pub fn relative(&self, from: &Path, path: &Path) -> Result<String, WorkspaceError> {
        let absolute = from.join(path);
        let outside =
            || WorkspaceError::Outside { path: path.display().to_string(), root: self.root.display().to_string() };
        let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else { return Err(outside()) };
        let folder = fs::canonicalize(folder).map_err(io_error("open", folder))?;
        let inside = folder.strip_prefix(&self.root).map_err(|_| outside())?.join(name);
        let mut text = String::new();
        for part in inside.components() {
            let Component::Normal(part) = part else { return Err(outside()) };
            let part = part.to_str().ok_or_else(|| WorkspaceError::NotText(path.display().to_string()))?;
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(part);
        }
        Ok(text)
    }

    /// `.llmc`, absolute, made on first use together with the `.gitignore` that keeps it out of git.
    pub fn local(&self) -> Result<PathBuf, WorkspaceError> {
        let folder = self.local_path();
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
            fs::write(&ignore, "*\n").map_err(io_error("write", &ignore))?;
        }
        Ok(folder)
    }

    /// Takes the lock if it is free; `None` when another process has it.
    pub fn try_lock(&self) -> Result<Option<Lock>, WorkspaceError> {
        let (file, path) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
        }
    }

    /// Takes the lock, waiting for as long as another process has it.
    pub fn lock(&self) -> Result<Lock, WorkspaceError> {
        let (file, path) = self.lock_file()?;
        file.lock().map_err(io_error("lock", &path))?;
        Ok(Lock { _file: file })
    }

    fn lock_file(&self) -> Result<(File, PathBuf), WorkspaceError> {
        let path = self.local()?.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        Ok((file.map_err(io_error("open", &path))?, path))
    }
}

/// Paths of an artifact's files, relative to the root.
pub mod paths {
    /// The crate's manifest.
    pub const MANIFEST: &str = "generated/Cargo.toml";
    /// The crate's root module.
    pub const CRATE_ROOT: &str = "generated/src/lib.rs";
    /// The folder of the code.
    pub const CODE: &str = "generated/src";
    /// The folder of the provenance files.
    pub const PROVENANCE: &str = "generated/provenance";

    /// The usual place of a spec.
    pub fn spec(name: &str) -> String {
        format!("specs/{name}.yaml")
    }

    /// Whether a path can be that of a spec of this name: its file is called so.
    pub fn is_spec(path: &str, name: &str) -> bool {
        path.rsplit('/').next().and_then(|file| file.strip_suffix(".yaml")) == Some(name)
    }

    /// An artifact's code.
    pub fn code(name: &str) -> String {
        format!("generated/src/{name}.rs")
    }

    /// An artifact's tests.
    pub fn tests(name: &str) -> String {
        format!("generated/tests/{name}.rs")
    }

    /// An artifact's provenance.
    pub fn provenance(name: &str) -> String {
        format!("generated/provenance/{name}.json")
    }

    /// The envelope that signs an artifact's provenance, where it is signed.
    pub fn envelope(name: &str) -> String {
        format!("generated/provenance/{name}.dsse.json")
    }

    /// All that may belong to an artifact alone: code, tests, provenance, envelope.
    pub fn all(name: &str) -> [String; 4] {
        [code(name), tests(name), provenance(name), envelope(name)]
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    let path = path.display().to_string();
    move |source| WorkspaceError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = fs::canonicalize(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn a_workspace_is_found_from_a_folder_inside_it() {
        let (_folder, root) = folder_with(&["a/llmc.yaml", "a/b/c/x"]);
        assert_eq!(Workspace::find(&root.join("a/b/c")).unwrap().root, root.join("a"));
    }

    #[test]
    fn a_specs_folder_counts_only_beside_git() {
        let (_folder, root) = folder_with(&["a/specs/x.yaml", "a/.git/HEAD", "b/specs/x.yaml"]);
        assert_eq!(Workspace::find(&root.join("a/specs")).unwrap().root, root.join("a"));
        let error = Workspace::find(&root.join("b/specs")).unwrap_err();
        assert!(error.to_string().starts_with("no llmc workspace in `"), "{error}");
    }

    #[test]
    fn specs_are_listed_sorted_without_hidden_and_other_files() {
        let (_folder, root) =
            folder_with(&["specs/b.yaml", "specs/a.yaml", "specs/.#a.yaml", "specs/a.yaml~", "specs/sub/c.yaml"]);
        let workspace = Workspace::at(&root).unwrap();
        assert_eq!(workspace.specs().unwrap(), ["specs/a.yaml", "specs/b.yaml"]);
        fs::remove_dir_all(root.join("specs")).unwrap();
        assert!(workspace.specs().unwrap().is_empty());
    }

    #[test]
    fn a_spec_may_be_anywhere_in_the_workspace_and_nowhere_else() {
        let (_folder, root) = folder_with(&["w/llmc.yaml", "w/specs/a.yaml", "w/x/y/b.yaml", "other/c.yaml"]);
        let workspace = Workspace::at(&root.join("w")).unwrap();
        let from = root.join("w/x");
        assert_eq!(workspace.relative(&from, Path::new("y/b.yaml")).unwrap(), "x/y/b.yaml");
        assert_eq!(workspace.relative(&from, Path::new("../specs/a.yaml")).unwrap(), "specs/a.yaml");
        assert_eq!(workspace.relative(&from, &root.join("w/specs/a.yaml")).unwrap(), "specs/a.yaml");
        let error = workspace.relative(&from, Path::new("../../other/c.yaml")).unwrap_err();
        assert!(matches!(error, WorkspaceError::Outside { .. }), "{error}");
        assert!(workspace.relative(&from, Path::new("..")).is_err());
        assert!(workspace.relative(&from, Path::new("nowhere/c.yaml")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_folder_that_leads_outside_is_outside() {
        let (_folder, root) = folder_with(&["w/llmc.yaml", "other/c.yaml"]);
        std::os::unix::fs::symlink(root.join("other"), root.join("w/specs")).unwrap();
        let workspace = Workspace::at(&root.join("w")).unwrap();
        assert!(workspace.relative(&workspace.root, Path::new("specs/c.yaml")).is_err());
    }

    #[test]
    fn only_one_holds_the_lock() {
        let (_folder, root) = folder_with(&["llmc.yaml"]);
        let workspace = Workspace::at(&root).unwrap();
        let lock = workspace.try_lock().unwrap().unwrap();
        assert!(workspace.try_lock().unwrap().is_none());
        let waiting = std::thread::spawn({
            let workspace = workspace.clone();
            move || workspace.lock().map(drop).is_ok()
        });
        drop(lock);
        assert!(waiting.join().unwrap());
        assert!(workspace.try_lock().unwrap().is_some());
        assert_eq!(fs::read_to_string(root.join(".llmc/.gitignore")).unwrap(), "*\n");
    }
}
