//! `llmc new`: the file of a spec that a person fills in. Drafting one from user stories is in `draft`.
//!
//! Nothing is sampled, compiled or committed here, and no spec is written over unless that is asked for.

use std::io::Write as _;

use super::{Session, build};
use crate::error::{Error, ExitCode};
use crate::freeze;
use crate::spec::{self, Diagnostics, SpecKind};
use crate::workspace::paths;

/// A spec file that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// Its path in the workspace.
    pub path: String,
    /// What is still wrong or odd in it: a template of the workspace may leave that to be filled in.
    pub left: Diagnostics,
}

/// Writes the spec file `name` from the template of its kind.
pub fn create(session: &Session, name: &str, kind: SpecKind, overwrite: bool) -> Result<Created, Error> {
    let path = free_place(session, name, overwrite)?;
    let text = session.templates.render_new(name, kind)?;
    write(session, name, &text, overwrite)?;
    let left = match spec::parse_any(&path, name, text.as_bytes()) {
        Ok((_, warnings)) => warnings,
        Err(mistakes) => mistakes,
    };
    Ok(Created { path, left })
}

/// Where the spec `name` will be; an error where it can't have that name, or is there and is not to be replaced.
pub(super) fn free_place(session: &Session, name: &str, overwrite: bool) -> Result<String, Error> {
    spec::check_name(name).map_err(|why| {
        Error::new(ExitCode::Usage, why)
            .hint("letters a to z, digits and `_`, not a digit first; no folder, no `.yaml`")
    })?;
    let path = paths::spec(name);
    // A link that leads nowhere is there, too.
    if !overwrite && std::fs::symlink_metadata(session.workspace.path(&path)).is_ok() {
        return Err(Error::new(ExitCode::Usage, format!("`{path}` is there already"))
            .hint("another name, or `--overwrite` to write it anew"));
    }
    Ok(path)
}

/// Writes the spec file `name`, once more only where nothing is there.
pub(super) fn write(session: &Session, name: &str, text: &str, overwrite: bool) -> Result<(), Error> {
    let _lock = build::take_lock(session)?;
    let path = free_place(session, name, overwrite)?;
    freeze::replace(&session.workspace, &[(path, text.as_bytes().to_vec())], &[])?;
    Ok(())
}

/// Leaves a draft that can't be a spec yet, in `.llmc/drafts`; returns its path in the workspace.
pub(super) fn leave(session: &Session, file: &str, text: &str) -> Result<String, Error> {
    let path = format!(".llmc/drafts/{file}");
    let failed = |error| Error::new(ExitCode::Internal, format!("failed to write `{path}`")).cause(error);
    let folder = session.workspace.local()?.join("drafts");
    std::fs::create_dir_all(&folder).map_err(failed)?;
    // A stranger's link must not say where it is written.
    let real = std::fs::canonicalize(&folder).map_err(failed)?;
    if real != folder {
        return Err(Error::new(ExitCode::Usage, "`.llmc/drafts` leads to another folder")
            .hint("replace the link by a folder, or remove it"));
    }
    let beside = folder.join(format!(".{file}.{}", std::process::id()));
    let _ = std::fs::remove_file(&beside);
    std::fs::File::create_new(&beside)
        .and_then(|mut made| made.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&beside, folder.join(file)))
        .map_err(failed)?;
    Ok(path)
}
