//! Where what the user wants is read from: the settings files of the user and of the workspace, and the environment.

use std::path::{Path, PathBuf};

use super::components::{self, Opened, Opening};
use super::{Session, Tell};
use crate::error::{Error, ExitCode};
use crate::interrupt::Interrupt;
use crate::options::{Environment, Options, Places};
use crate::spec::{self, Sampling, Settings, Whose};
use crate::workspace::Workspace;

/// What settings files say, as if llmc had been called without any flag.
///
/// # Errors
/// Where a file can't be read or has mistakes.
pub fn settings(workspace: Option<&Workspace>, environment: Environment) -> Result<Options, Error> {
    let places = places(&environment);
    let user = read(&places.settings, Whose::User)?;
    Ok(Options {
        offline: false,
        unsandboxed: user.unsandboxed == Some(true),
        locked: false,
        no_commit: false,
        no_cache: false,
        overwrite: false,
        max_entropy: None,
        certify: None,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        model: None,
        sampling: Sampling::default(),
        workspace: workspace
            .map(|workspace| read(&workspace.settings(), Whose::Workspace))
            .transpose()?
            .unwrap_or_default(),
        user,
        places,
        environment,
    })
}

fn read(path: &Path, whose: Whose) -> Result<Settings, Error> {
    match std::fs::read(path) {
        Ok(bytes) => spec::parse_settings(&path.display().to_string(), &bytes, whose).map_err(|mistakes| Error {
            exit: ExitCode::Usage,
            message: "the settings can't be used".to_owned(),
            ..Error::spec(vec![mistakes])
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(Error::new(ExitCode::Usage, format!("failed to read `{}`", path.display())).cause(error)),
    }
}

/// The user's folders: XDG's, else below the home folder.
fn places(environment: &Environment) -> Places {
    let home = environment.get("HOME").or_else(|| environment.get("USERPROFILE")).map(PathBuf::from);
    let folder = |variable: &str, below: &str| {
        let set = environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        set.or_else(|| home.as_ref().map(|home| home.join(below))).unwrap_or_else(std::env::temp_dir).join("llmc")
    };
    let cache = environment.get("LLMC_CACHE").map(PathBuf::from).unwrap_or_else(|| folder("XDG_CACHE_HOME", ".cache"));
    let settings = folder("XDG_CONFIG_HOME", ".config").join("config.yaml");
    Places { cache, settings, temp: std::env::temp_dir(), home }
}

/// The harness of the workspace in `folder` or above it, for a program of one's own: the same components, models, rules
/// and records as those of `llmc call` there. `LLMC_MODEL` in the environment names another model. `tell` hears what
/// takes long, such as a model file that is fetched.
///
/// # Errors
/// Where there is no workspace, settings or specs have mistakes, a model can't be had, or an artifact does not compile.
pub async fn open_workspace(
    folder: &Path,
    opening: Opening,
    environment: Environment,
    tell: Tell,
) -> Result<Opened, Error> {
    let workspace = Workspace::find(folder)?;
    let model = environment.get("LLMC_MODEL");
    let options = Options { model, ..settings(Some(&workspace), environment)? };
    let mut session = Session::new(workspace, options, Interrupt::never(), tell)?;
    components::open(&mut session, &[], opening, folder).await
}
