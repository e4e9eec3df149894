//! The crates of one batch on disk, in a private folder, and how each is compiled.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Checks, ValidateError};
use crate::sandbox::Limits;
use crate::spec::Profile;
use crate::toolchain::{Compile, CrateType};

/// What the private folder is called in messages and in what is built: the same in every run.
const SHOWN: &str = "/llmc";
/// What the folder of the crate `generated` is called: as cargo calls it, so that a candidate can't tell by `file!()`
/// that it is being judged.
const SOURCES: &str = "src";
/// The file of the checks, as rustc and panics name it.
pub(super) const CHECKS_FILE: &str = "/llmc/checks/main.rs";
/// The file of the program that answers for candidates, as rustc names it.
pub(super) const SERVER_FILE: &str = "/llmc/server/main.rs";

/// The private folder of a batch; removed when dropped.
pub(super) struct Crates {
    folder: tempfile::TempDir,
}

/// Where a candidate stands in the crate `generated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// As it would be committed: the crate has no other candidate.
    Alone,
    /// In a module of its own, with this number.
    Among(usize),
}

impl Seat {
    /// The candidate's module in the crate `generated`.
    pub(super) fn module(self, name: &str) -> String {
        match self {
            Self::Alone => name.to_owned(),
            Self::Among(number) => format!("k{number}::{name}"),
        }
    }

    /// What the names of the candidate's files begin with, as rustc and panics tell them, and the path of its module.
    pub(super) fn prefix(self) -> (String, String) {
        match self {
            Self::Alone => (format!("{SOURCES}/"), String::new()),
            Self::Among(number) => (format!("{SOURCES}/k{number}/"), format!("k{number}::")),
        }
    }
}

impl Crates {
    /// An empty folder in `work`, with the modules that candidates may use.
    pub(super) fn new(work: &Path, checks: &Checks) -> Result<Self, ValidateError> {
        create(work)?;
        let folder = tempfile::Builder::new().prefix("validate-").tempdir_in(work);
        let folder = folder.map_err(|source| ValidateError::Io { path: work.to_owned(), source })?;
        let crates = Self { folder };
        create(&crates.at("generated"))?;
        for (name, source) in &checks.uses {
            write(&crates.at("generated").join(format!("{name}.rs")), source)?;
        }
        Ok(crates)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a candidate to its seat.
    pub(super) fn seat(&self, checks: &Checks, seat: Seat, source: &str) -> Result<(), ValidateError> {
        let folder = match seat {
            Seat::Alone => self.at("generated"),
            Seat::Among(number) => self.at("generated").join(format!("k{number}")),
        };
        create(&folder)?;
        write(&folder.join(format!("{}.rs", checks.name)), source)
    }

    /// The crate `generated` with the candidates in `seats`.
    pub(super) fn generated(
        &self,
        checks: &Checks,
        seats: impl Iterator<Item = Seat>,
        profile: Profile,
        limits: Limits,
    ) -> Result<Compile, ValidateError> {
        let name = &checks.name;
        // `-F unsafe-code` holds for the whole crate, and another module may be allowed what this one is not.
        let forbid = if checks.forbid_in_module { "#[forbid(unsafe_code)]\n" } else { "" };
        let mut root: String = checks.uses.iter().map(|(other, _)| format!("pub mod {other};\n")).collect();
        for seat in seats {
            root.push_str(&match seat {
                Seat::Alone => format!("{forbid}pub mod {name};\n"),
                Seat::Among(number) => format!("{forbid}pub mod k{number} {{ pub mod {name}; }}\n"),
            });
        }
        write(&self.at("generated/lib.rs"), &root)?;
        let mut compile = self.compile("generated", CrateType::Rlib, "lib.rs", checks, profile, limits)?;
        compile.forbid_unsafe = checks.forbid_unsafe;
        Ok(compile)
    }

    /// A program of this source, linked with the crate `generated` at `library`.
    pub(super) fn program(
        &self,
        name: &str,
        source: &str,
        library: PathBuf,
        checks: &Checks,
        profile: Profile,
        limits: Limits,
    ) -> Result<Compile, ValidateError> {
        create(&self.at(name))?;
        write(&self.at(name).join("main.rs"), source)?;
        let mut compile = self.compile(name, CrateType::Bin, "main.rs", checks, profile, limits)?;
        compile.externs.push(("generated".into(), library));
        // For a crate `generated` that itself needs it.
        compile.search.extend(checks.runtime.parent().map(Path::to_owned));
        compile.externs.push(("llmc_rt".into(), checks.runtime.clone()));
        Ok(compile)
    }

    /// The crate `generated` of this source alone.
    pub(super) fn library(&self, source: &str, checks: &Checks, limits: Limits) -> Result<Compile, ValidateError> {
        let modules: String = checks.uses.iter().map(|(other, _)| format!("pub mod {other};\n")).collect();
        write(&self.at("generated/lib.rs"), &format!("{source}\n{modules}"))?;
        let mut compile = self.compile("generated", CrateType::Rlib, "lib.rs", checks, Profile::Debug, limits)?;
        compile.optimised = true;
        compile.externs.push(("llmc_rt".into(), checks.runtime.clone()));
        Ok(compile)
    }

    fn compile(
        &self,
        name: &str,
        crate_type: CrateType,
        root: &str,
        checks: &Checks,
        profile: Profile,
        limits: Limits,
    ) -> Result<Compile, ValidateError> {
        let out = self.at(&format!("{name}-{profile:?}"));
        create(&out)?;
        Ok(Compile {
            crate_name: name.into(),
            crate_type,
            root: self.at(name).join(root),
            out,
            externs: checks.dependencies.externs.clone(),
            search: checks.dependencies.search.clone(),
            metadata_only: false,
            forbid_unsafe: false,
            profile,
            optimised: false,
            shown_as: vec![
                (self.folder.path().to_owned(), SHOWN.to_owned()),
                (self.at("generated"), SOURCES.to_owned()),
            ],
            limits,
        })
    }
}

/// Lets a program be executed and no longer be read: `/proc/self/exe` leads a candidate to it, and in it are other
/// candidates or, where the checks are in its process, expected values.
pub(super) fn close(program: &Path) -> Result<(), ValidateError> {
    let closed = std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o111));
    closed.map_err(|source| ValidateError::Io { path: program.to_owned(), source })
}

pub(super) fn create(folder: &Path) -> Result<(), ValidateError> {
    std::fs::create_dir_all(folder).map_err(|source| ValidateError::Io { path: folder.to_owned(), source })
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), ValidateError> {
    std::fs::write(path, text).map_err(|source| ValidateError::Io { path: path.to_owned(), source })
}
