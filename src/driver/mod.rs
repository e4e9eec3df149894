//! The driver owns the order of the stages. It emits events and returns what came of it; it never prints.

mod adopt;
mod against;
mod agree;
mod ask;
mod build;
mod certify;
mod decide;
mod diff;
mod clarify;
mod components;
mod component;
mod distill;
mod doctor;
mod draft;
mod draw;
mod estimate;
mod evidence;
mod harden;
mod hardened;
mod history;
mod inputs;
mod log;
mod measure;
mod models;
mod new;
mod orphans;
mod propose;
mod pen;
mod purse;
mod ready;
mod regen;
mod repair;
mod revert;
mod settings;
mod sign;
mod soften;
mod specs;
mod stop;
mod strength;
mod structure;
mod test;
mod traces;
mod suggest;
mod validate;
mod verify;
mod watch;

pub use adopt::{Adopted, adopt};
pub use against::{Against, Alike, Before, Changed};
pub use build::build;
pub use clarify::{Answer, Answered, Asker, Clarified, Clarifying, Posed, clarify};
pub use component::left_out;
pub use components::{Opened, Opening, open as open_components};
pub use decide::{Waiting, accept, add_example, forget, reject, waiting};
pub use diff::{Asked, Between, Compared, Ran, Side, diff, log_behaviour};
pub use doctor::{Finding, doctor};
pub use draft::{Drafted, Drafting, LONGEST_STORIES, TRIES, draft};
pub use estimate::{Estimate, Estimates, Likely, estimate};
pub use evidence::Hardening;
pub use harden::{Hardened, harden};
pub use hardened::soften_hardened;
pub use history::{Behaviour, Code, Entry, Made, at_revision, log, name_of, split};
pub use measure::{Factor, Measured, Measuring, Setting, Telling, measure};
pub use models::{Chosen, Reach, models, pull};
pub use new::{Created, create};
pub use purse::{Caps, Purse};
pub use regen::{regen, resample};
pub use revert::{Reverted, revert};
pub use settings::{open_workspace, settings};
pub use sign::{Signed, public_key, sign};
pub use soften::{Softened, soften};
pub use specs::{Found, Loaded, LoadedComponent, check, load, load_specs, render_prompt};
pub use strength::{Fate, Share, Strength, Tried, Trying, strength};
pub use structure::Structure;
pub use suggest::{Added, Adding, Beside, Judge, Opinion, Put, Rival, Suggestion};
pub use test::{
    DRIFT, Earlier, Planned, Subject, TestRun, Testing, component_spec, plan_test, subject, test, usual_call,
};
pub use traces::{Fared, fared_here};
pub use validate::{Judging, validate};
pub use verify::{Replayed, replay, verify};
pub use watch::{GROWTH, Sight, Standing, watch};

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::error::{Error, ExitCode};
use crate::event::{Event, Finished};
use crate::interrupt::Interrupt;
use crate::ledger::Ledger;
use crate::model::Model;
use crate::model::providers::Paces;
use crate::options::Options;
use crate::prompt::Templates;
use crate::sandbox;
use crate::spec::Diagnostics;
use crate::toolchain::Toolchain;
use crate::validate::Validator;
use crate::workspace::Workspace;

/// Takes in events, from any thread, one at a time.
pub type Tell = Arc<Mutex<dyn FnMut(Event) + Send>>;

/// What is said on every run without the sandbox.
const UNSANDBOXED: &str = "THE SANDBOX IS OFF: code that a model wrote is compiled and run with all of your rights, on your \
                           files and your network; its provenance will say so";
/// How a run over several specs ended, spec by spec.
#[derive(Debug, Default)]
pub struct Summary {
    /// What was told of each spec.
    pub finished: Vec<Finished>,
    /// Mistakes in specs, where there were any: those specs were not worked on.
    pub mistakes: Vec<Diagnostics>,
    /// The exit code.
    pub exit: Option<ExitCode>,
    /// Why the run is no success, one for each spec that failed.
    pub errors: Vec<Error>,
}

impl Summary {
    fn fail(&mut self, error: Error) {
        self.exit = Some(self.exit.map_or(error.exit, |exit| exit.min(error.exit)));
        self.errors.push(error);
    }
}

/// One run of llmc in one workspace. What is expensive is made when it is first needed.
pub struct Session {
    /// The workspace.
    pub workspace: Workspace,
    /// What the user asked for.
    pub options: Options,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    /// Who may sign, in the place of what llmc.yaml says.
    pub signers: Option<PathBuf>,
    tell: Tell,
    templates: Templates,
    validator: Option<Arc<Validator>>,
    ledger: Option<Arc<Ledger>>,
    /// Models in use, by `provider/name` as configured; the empty name is the one llmc chose.
    models: Vec<(String, Arc<dyn Model>)>,
    /// How fast each server can be asked.
    paces: Arc<Paces>,
}

impl Session {
    /// A session in `workspace`.
    pub fn new(workspace: Workspace, options: Options, interrupt: Interrupt, tell: Tell) -> Result<Self, Error> {
        let templates = Templates::load(Some(&workspace.templates()))?;
        Ok(Self { templates, ..Self::bare(workspace, options, interrupt, tell)? })
    }

    /// A session that renders no prompt of its own: the workspace's templates are not even read.
    fn bare(workspace: Workspace, options: Options, interrupt: Interrupt, tell: Tell) -> Result<Self, Error> {
        let templates = Templates::load(None)?;
        Ok(Self {
            workspace,
            options,
            interrupt,
            signers: None,
            tell,
            templates,
            validator: None,
            ledger: None,
            models: Vec::new(),
            paces: Arc::default(),
        })
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        tell(&self.tell, event);
    }

    /// Makes sure that candidates will be confined, before a model is asked for any; unless the user gave that up.
    fn confine(&self) -> Result<(), Error> {
        if self.options.unsandboxed {
            sandbox::set_mode(sandbox::Mode::Off);
            self.tell(Event::Warning(UNSANDBOXED.to_owned()));
            return Ok(());
        }
        match (sandbox::mode(), sandbox::layers().missing()) {
            (sandbox::Mode::Strict, Some(missing)) => Err(sandbox::SandboxError::Unavailable(missing).into()),
            _ => Ok(()),
        }
    }

    /// The validator; finds rustc when it is first asked for.
    fn validator(&mut self) -> Result<Arc<Validator>, Error> {
        if let Some(validator) = &self.validator {
            return Ok(validator.clone());
        }
        let validator = Arc::new(self.new_validator()?);
        self.validator = Some(validator.clone());
        Ok(validator)
    }

    /// A validator of one's own, to give it other limits.
    fn new_validator(&self) -> Result<Validator, Error> {
        self.confine()?;
        let toolchain = Toolchain::find(None)?;
        let cache = self.options.places.cache.join("validate");
        // Candidates are compiled in private folders of the system's temp folder: `.llmc` may be on a slow disk.
        let work = self.options.places.temp.clone();
        Ok(Validator::new(toolchain, cache, work).offline(self.options.offline).afresh(self.options.no_cache))
    }
}

fn tell(tell: &Tell, event: Event) {
    // A report that panicked has nothing more to say.
    if let Ok(mut tell) = tell.lock() {
        tell(event);
    }
}
