//! The driver owns the order of the stages. It emits events and returns what came of it; it never prints.

mod build;
mod doctor;
mod draw;
mod models;
mod specs;

pub use build::{BuildSummary, build};
pub use doctor::{Finding, doctor};
pub use models::{Chosen, Reach, models, pull};
pub use specs::{Loaded, check, load_specs, render_prompt};

use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::options::Options;
use crate::prompt::Templates;
use crate::sandbox;
use crate::toolchain::Toolchain;
use crate::validate::Validator;
use crate::workspace::Workspace;

/// Takes in events, from any thread, one at a time.
pub type Tell = Arc<Mutex<dyn FnMut(Event) + Send>>;

/// What is said on every run without the sandbox.
const UNSANDBOXED: &str = "THE SANDBOX IS OFF: code that a model wrote is compiled and run with all of your rights, on your \
                           files and your network; its provenance will say so";

/// One run of llmc in one workspace. What is expensive is made when it is first needed.
pub struct Session {
    /// The workspace.
    pub workspace: Workspace,
    /// What the user asked for.
    pub options: Options,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    tell: Tell,
    templates: Templates,
    validator: Option<Arc<Validator>>,
    /// Models in use, by `provider/name` as configured; the empty name is the one llmc chose.
    models: Vec<(String, Arc<dyn Model>)>,
}

impl Session {
    /// A session in `workspace`.
    pub fn new(workspace: Workspace, options: Options, interrupt: Interrupt, tell: Tell) -> Result<Self, Error> {
        let templates = Templates::load(Some(&workspace.templates()))?;
        Ok(Self { workspace, options, interrupt, tell, templates, validator: None, models: Vec::new() })
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
        self.confine()?;
        let toolchain = Toolchain::find(None)?;
        let cache = self.options.places.cache.join("validate");
        // Candidates are compiled in private folders of the system's temp folder: `.llmc` may be on a slow disk.
        let work = self.options.places.temp.clone();
        let validator = Arc::new(Validator::new(toolchain, cache, work).offline(self.options.offline));
        self.validator = Some(validator.clone());
        Ok(validator)
    }
}

fn tell(tell: &Tell, event: Event) {
    // A report that panicked has nothing more to say.
    if let Ok(mut tell) = tell.lock() {
        tell(event);
    }
}
