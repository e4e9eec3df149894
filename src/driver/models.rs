//! From a model's name to a model that can be sampled, and what can be reached from here.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Session, Tell, tell};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::model::choice::{self, Choice, Surroundings};
use crate::model::download::{self, ModelSource};
use crate::model::providers::{PROVIDERS, Paces, Setup, provider};
use crate::model::{Identity, Model, ModelError};
use crate::options::Options;
use crate::workspace::Workspace;

pub use crate::model::providers::Reach;

/// A model that a build would sample, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// `provider/name`.
    pub model: String,
    /// One sentence.
    pub why: String,
}

/// A model that a build would sample, as far as that is known without loading one.
pub(super) struct Named {
    /// Who it is; without facts where it was not opened.
    pub(super) identity: Identity,
    /// It, if opening it cost nothing.
    pub(super) model: Option<Arc<dyn Model>>,
}

impl Session {
    /// The models of a spec, with the embedded one neither fetched nor loaded.
    pub(super) async fn named(&mut self, configured: &[String]) -> Result<Vec<Named>, Error> {
        let mut named = Vec::new();
        let all = if configured.is_empty() { vec![String::new()] } else { configured.to_vec() };
        for name in &all {
            let choice = choose(&self.options, Some(name.as_str()).filter(|name| !name.is_empty())).await?;
            if choice.named.provider == "embedded" {
                let (provider, name) = (choice.named.provider.to_string(), choice.named.name.clone());
                named.push(Named { identity: Identity { provider, name, digest: None, facts: vec![] }, model: None });
                continue;
            }
            let wanted = if name.is_empty() { Vec::new() } else { vec![name.clone()] };
            let models = self.models_for(&wanted).await?;
            named.extend(
                models.into_iter().map(|model| Named { identity: model.identity().clone(), model: Some(model) }),
            );
        }
        Ok(named)
    }

    /// The models of a spec, made when first asked for; with nothing configured, the one llmc chooses.
    pub(super) async fn models_for(&mut self, configured: &[String]) -> Result<Vec<Arc<dyn Model>>, Error> {
        let wanted = if configured.is_empty() { vec![String::new()] } else { configured.to_vec() };
        let mut models = Vec::new();
        for name in wanted {
            if let Some((_, model)) = self.models.iter().find(|(known, _)| *known == name) {
                models.push(model.clone());
                continue;
            }
            let configured = Some(name.as_str()).filter(|name| !name.is_empty());
            let choice = choose(&self.options, configured).await?;
            if configured.is_none() {
                self.tell(Event::ModelChosen { model: choice.named.to_string(), why: choice.why.clone() });
            }
            let setup = Setup {
                found: choice.base_url.clone(),
                paces: self.paces.clone(),
                ..setup(&self.options, Some(&self.workspace), &self.tell)
            };
            // Loading takes a while; Ctrl-C must not wait for it.
            let interrupt = self.interrupt.clone();
            let model = tokio::select! {
                model = open(&setup, &choice) => model?,
                () = interrupt.wait() => return Err(Error::interrupted()),
            };
            self.models.push((name, model.clone()));
            models.push(model);
        }
        Ok(models)
    }
}

/// What providers may know.
fn setup(options: &Options, workspace: Option<&Workspace>, teller: &Tell) -> Setup {
    let (environment, noter) = (options.environment.clone(), teller.clone());
    Setup {
        workspace: options.workspace.providers.clone(),
        user: options.user.providers.clone(),
        found: None,
        environment: Arc::new(move |name| environment.get(name)),
        offline: options.offline,
        root: workspace.map(|workspace| workspace.path("")),
        home: options.places.home.clone(),
        files: files(options, teller),
        note: Arc::new(move |note| tell(&noter, Event::Note(note))),
        paces: Arc::new(Paces::default()),
    }
}

/// What is around: keys, local servers.
fn surroundings(options: &Options) -> Surroundings {
    let is_set = |name: &str| options.environment.get(name).is_some();
    Surroundings {
        openai_key: is_set(crate::model::openai::KEY),
        anthropic_key: is_set(crate::model::anthropic::KEY),
        offline: options.offline,
        embedded: cfg!(feature = "embedded"),
        ..Surroundings::default()
    }
}

/// The same, and servers on this machine.
async fn with_servers(around: Surroundings) -> Surroundings {
    if around.offline {
        return around;
    }
    let (ollama, llama_cpp) =
        tokio::join!(choice::probe_ollama(choice::OLLAMA), choice::probe_llama_cpp(choice::LLAMA_CPP));
    Surroundings { ollama, llama_cpp, ..around }
}

async fn choose(options: &Options, configured: Option<&str>) -> Result<Choice, ModelError> {
    let mut around = surroundings(options);
    // What a server on this machine has matters only when nothing else decides.
    if configured.is_none() && !around.openai_key && !around.anthropic_key {
        around = with_servers(around).await;
    }
    choice::choose(configured, &around)
}

async fn open(setup: &Setup, choice: &Choice) -> Result<Arc<dyn Model>, ModelError> {
    let provider = provider(choice.named.provider).expect("a choice names a provider that there is");
    (provider.open)(setup, &choice.named.name).await
}

/// Where model files are kept.
fn files(options: &Options, teller: &Tell) -> download::Options {
    let teller = teller.clone();
    download::Options {
        offline: options.offline,
        report: Arc::new(move |progress: download::Progress| {
            let download::Progress { what, done, total } = progress;
            tell(&teller, Event::Download { what, done, total });
        }),
        ..download::Options::new(options.places.cache.join("models"))
    }
}

/// The models that llmc knows of, and the one that a build without a configured model would sample.
pub async fn models(
    options: &Options,
    workspace: Option<&Workspace>,
    teller: &Tell,
) -> (Vec<Reach>, Result<Chosen, Error>) {
    let setup = setup(options, workspace, teller);
    // All at once: each may have to wait for a server.
    let mut asked = JoinSet::new();
    for (place, provider) in PROVIDERS.into_iter().enumerate() {
        let setup = setup.clone();
        asked.spawn(async move { (place, (provider.list)(&setup).await) });
    }
    let around = with_servers(surroundings(options)).await;
    let mut lists = asked.join_all().await;
    lists.sort_by_key(|(place, _)| *place);
    let mut listed: Vec<Reach> = lists.into_iter().flat_map(|(_, list)| list).collect();
    for (found, what, base) in
        [(&around.ollama, "Ollama", choice::OLLAMA), (&around.llama_cpp, "llama.cpp server", choice::LLAMA_CPP)]
    {
        match found {
            Some(models) if models.is_empty() => {
                listed.push(Reach::no(format!("a local {what}"), format!("{base} answers, and has no model")));
            }
            Some(models) => listed.extend(models.iter().take(50).map(|model| {
                Reach::yes(format!("openai/{model}"), format!("in the local {what}; `base_url: \"{base}/v1\"`"))
            })),
            None if options.offline => listed.push(Reach::no(format!("a local {what}"), "--offline")),
            None => listed.push(Reach::no(format!("a local {what}"), format!("nothing answers at {base}"))),
        }
    }
    let configured = [&options.workspace.model, &options.user.model].into_iter().find(|models| !models.is_empty());
    let chosen = match configured {
        Some(models) => Ok(Chosen { model: models.join(", "), why: "the settings say so".to_owned() }),
        None => choice::choose(None, &around)
            .map_err(Error::from)
            .map(|choice| Chosen { model: choice.named.to_string(), why: choice.why }),
    };
    (listed, chosen)
}

/// Fetches a model's file into the cache.
pub async fn pull(options: &Options, name: &str, teller: &Tell, interrupt: &Interrupt) -> Result<(), Error> {
    let source = ModelSource::parse(name)?;
    if matches!(source, ModelSource::File(_)) {
        return Err(Error::new(
            ExitCode::Usage,
            format!("`{name}` is a file on this machine; there is nothing to fetch"),
        ));
    }
    let files = files(options, teller);
    let located = tokio::select! {
        located = download::resolve(&source, &files) => located?,
        () = interrupt.wait() => {
            return Err(Error::new(ExitCode::Interrupted, "interrupted").hint("what arrived is kept; pull again to go on"));
        }
    };
    tell(teller, Event::Note(format!("{} is in the cache (sha256:{})", located.name, located.digest)));
    Ok(())
}
