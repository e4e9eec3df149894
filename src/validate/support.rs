//! What llmc itself links with the programs of a validation: built once, kept in the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::crates::{Crates, Seat, create, write};
use super::{Checks, RUNTIME, ValidateError, Validator, proxy};
use crate::digest::{Hasher, sha256};
use crate::sandbox::Limits;
use crate::spec::Profile;
use crate::toolchain::{Compile, CrateType};

impl Validator {
    /// The program of a spec's checks that calls candidates in another process; from the cache, or built into it.
    ///
    /// `None` where the types of the spec can't travel between processes.
    pub(super) fn judge_program(&self, checks: &Checks) -> Result<Option<PathBuf>, ValidateError> {
        let mut known = checks.judge.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(program) = &*known {
            return Ok(program.clone());
        }
        let program = match proxy::library(&checks.spec) {
            Some(library) => self.build_judge(checks, &library)?,
            None => None,
        };
        *known = Some(program.clone());
        Ok(program)
    }

    /// Whether the program of candidates compiles with a stub of the interface: else none of them would be to blame.
    fn takes_a_stub(&self, checks: &Checks) -> Result<bool, ValidateError> {
        let crates = Crates::new(&self.work, checks)?;
        crates.seat(checks, Seat::Alone, &checks.spec.interface.stub())?;
        let seat = std::iter::once(Seat::Alone);
        let mut compile = crates.generated(checks, seat, Profile::Debug, Limits::COMPILE)?;
        (compile.metadata_only, compile.forbid_unsafe) = (true, false);
        let Some(library) = self.compile(&compile)?.artifact else { return Ok(false) };
        let source = proxy::server(&checks.spec, &[Seat::Alone.module(&checks.name)]);
        let mut compile = crates.program("server", &source, library, checks, Profile::Debug, Limits::COMPILE)?;
        compile.metadata_only = true;
        Ok(self.compile(&compile)?.artifact.is_some())
    }

    fn build_judge(&self, checks: &Checks, library: &str) -> Result<Option<PathBuf>, ValidateError> {
        let mut hasher = Hasher::default();
        for part in [library, checks.digest()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let folder = self.cache.join("judges").join(&hasher.finish()[..16]);
        let program = folder.join("checks");
        if program.is_file() {
            return Ok(Some(program));
        }
        if !self.takes_a_stub(checks)? {
            return Ok(None);
        }
        let crates = Crates::new(&self.work, checks)?;
        let compiled = self.compile(&crates.library(library, checks, Limits::COMPILE)?)?;
        let Some(library) = compiled.artifact else { return Ok(None) };
        let source = &checks.harness.source;
        let mut compile = crates.program("checks", source, library, checks, Profile::Debug, Limits::COMPILE)?;
        compile.optimised = true;
        let Some(built) = self.compile(&compile)?.artifact else { return Ok(None) };
        create(&folder)?;
        // Under another name first: nobody may find a part of it.
        let failed = |source| ValidateError::Io { path: folder.clone(), source };
        let private = tempfile::Builder::new().prefix("new-").tempdir_in(&folder).map_err(failed)?;
        let copy = private.path().join("checks");
        std::fs::copy(&built, &copy).map_err(failed)?;
        std::fs::rename(&copy, &program).map_err(failed)?;
        Ok(Some(program))
    }

    /// The compiled runtime: from the cache, or built into it.
    pub(super) fn runtime(&self) -> Result<PathBuf, ValidateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ValidateError::Io { path, source }
        };
        let mut compile = Compile {
            crate_name: "llmc_rt".into(),
            crate_type: CrateType::Rlib,
            root: PathBuf::from("/lib.rs"),
            out: PathBuf::from("/"),
            externs: Vec::new(),
            search: Vec::new(),
            metadata_only: false,
            forbid_unsafe: false,
            profile: Profile::Debug,
            // Each candidate makes thousands of calls through it.
            optimised: true,
            shown_as: Vec::new(),
            // It is llmc's own text, and built once: where the machine is busy it may take its time.
            limits: Limits { cpu: Duration::from_secs(200), wall: Duration::from_secs(600), ..Limits::COMPILE },
        };
        let texts: Vec<String> = RUNTIME.iter().map(|(name, text)| format!("{name}\n{text}")).collect();
        let digest =
            sha256(format!("{}\n{:?}\n{}", self.toolchain.version, self.toolchain.argv(&compile), texts.join("\n")));
        let folder = self.cache.join(format!("runtime-{}", &digest[..16]));
        let rlib = folder.join("libllmc_rt.rlib");
        if rlib.is_file() {
            return Ok(rlib);
        }
        std::fs::create_dir_all(&self.cache).map_err(failed(&self.cache))?;
        let private = tempfile::Builder::new().prefix("runtime-new-").tempdir_in(&self.cache);
        let private = private.map_err(failed(&self.cache))?;
        let (source, out) = (private.path().join("source"), private.path().join("out"));
        create(&source)?;
        create(&out)?;
        for (name, text) in RUNTIME {
            write(&source.join(name), text)?;
        }
        (compile.root, compile.out) = (source.join("lib.rs"), out.clone());
        compile.shown_as = vec![(private.path().to_owned(), "/llmc/runtime".into())];
        let compiled = self.toolchain.compile(&compile)?;
        if compiled.artifact.is_none() {
            return Err(ValidateError::Runtime(compiled.why()));
        }
        match std::fs::rename(&out, &folder) {
            Ok(()) => Ok(rlib),
            // Another process was faster.
            Err(_) if rlib.is_file() => Ok(rlib),
            Err(source) => Err(ValidateError::Io { path: folder, source }),
        }
    }
}
