//! From a model's name to a model that can be sampled, and what can be reached from here.

use std::sync::Arc;
use std::time::Duration;

use super::{Session, Tell, tell};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::model::choice::{self, Choice, Named, Provider, Surroundings};
use crate::model::download::{self, CATALOGUE, ModelSource};
use crate::model::openai::{self, OpenAi};
use crate::model::{Model, ModelError};
use crate::options::Options;

/// A model that a build would sample, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// `provider/name`.
    pub model: String,
    /// One sentence.
    pub why: String,
}

/// A model that llmc knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// `provider/name`.
    pub name: String,
    /// Whether a build could sample it now.
    pub usable: bool,
    /// Its state in words: where it is, or what is missing.
    pub state: String,
}

impl Session {
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
                let model = format!("{}/{}", choice.named.provider.as_str(), choice.named.name);
                self.tell(Event::ModelChosen { model, why: choice.why.clone() });
            }
            // Loading takes a while; Ctrl-C must not wait for it.
            let interrupt = self.interrupt.clone();
            let model = tokio::select! {
                model = open(&self.options, &choice, &self.tell) => model?,
                () = interrupt.wait() => return Err(Error::interrupted()),
            };
            self.models.push((name, model.clone()));
            models.push(model);
        }
        Ok(models)
    }
}

/// What is around: keys, a local server.
async fn surroundings(options: &Options) -> Surroundings {
    let openai_key = options.environment.get("OPENAI_API_KEY").is_some();
    let ask = !openai_key && !options.offline;
    Surroundings {
        openai_key,
        anthropic_key: options.environment.get("ANTHROPIC_API_KEY").is_some(),
        ollama: if ask { choice::probe_ollama(choice::OLLAMA).await } else { None },
        embedded: cfg!(feature = "embedded"),
    }
}

async fn choose(options: &Options, configured: Option<&str>) -> Result<Choice, ModelError> {
    let around = match configured {
        Some(_) => Surroundings { embedded: cfg!(feature = "embedded"), ..Surroundings::default() },
        None if options.offline => Surroundings { openai_key: false, ..surroundings(options).await },
        None => surroundings(options).await,
    };
    choice::choose(configured, &around)
}

async fn open(options: &Options, choice: &Choice, teller: &Tell) -> Result<Arc<dyn Model>, ModelError> {
    match choice.named.provider {
        Provider::OpenAi => {
            let server = server(options, choice)?;
            let own = &options.workspace.openai;
            if let (Some(variable), Some(url)) = (&own.api_key_env, &own.base_url) {
                // The workspace may be a stranger's, and the variable may hold any secret.
                tell(teller, Event::Note(format!("llmc.yaml sends the key in {variable} to {url}")));
            }
            Ok(Arc::new(OpenAi::new(&choice.named.name, server)?))
        }
        Provider::Embedded => open_embedded(options, &choice.named, teller).await,
    }
}

/// How the server is reached: the workspace's settings, else the user's own, else OpenAI.
fn server(options: &Options, choice: &Choice) -> Result<openai::Options, ModelError> {
    let layers = [&options.workspace.openai, &options.user.openai];
    let base_url = choice
        .base_url
        .clone()
        .or_else(|| layers.iter().find_map(|layer| layer.base_url.clone()))
        .unwrap_or_else(|| openai::OPENAI.to_owned());
    let is_local = ["://localhost", "://127.0.0.1", "://[::1]"].iter().any(|local| base_url.contains(local));
    if options.offline && !is_local {
        return Err(ModelError::Settings(format!(
            "`openai/{}` is at {base_url}, and --offline forbids to ask it; the embedded model needs no network",
            choice.named.name
        )));
    }
    if options.offline {
        return Err(ModelError::Settings("--offline opens no socket, not even to a server on this machine".into()));
    }
    let variable = layers.iter().find_map(|layer| layer.api_key_env.clone());
    let key = match &variable {
        Some(variable) => Some(options.environment.get(variable).ok_or_else(|| {
            ModelError::Settings(format!("the settings name `{variable}` as the key's variable, and it is not set"))
        })?),
        // A key for OpenAI goes to OpenAI, not to whatever server the settings name.
        None if base_url == openai::OPENAI => Some(options.environment.get("OPENAI_API_KEY").ok_or_else(|| {
            ModelError::Settings("OPENAI_API_KEY is not set; for another server set `providers.openai.base_url`".into())
        })?),
        None => None,
    };
    let mut server = openai::Options::new(base_url, key);
    if let Some(concurrency) = layers.iter().find_map(|layer| layer.concurrency) {
        server.concurrency = concurrency;
    }
    if let Some(seconds) = layers.iter().find_map(|layer| layer.timeout_seconds) {
        server.timeout = Duration::from_secs(seconds);
    }
    Ok(server)
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

/// The file that a name stands for: one of `providers.embedded.file`, or one that llmc knows.
#[cfg(feature = "embedded")]
fn source(options: &Options, name: &str) -> Result<ModelSource, ModelError> {
    let file = [&options.workspace.embedded, &options.user.embedded].into_iter().find_map(|layer| layer.file.clone());
    let expand = |text: &str| match (text.strip_prefix("~/"), &options.places.home) {
        (Some(rest), Some(home)) => home.join(rest).display().to_string(),
        _ => text.to_owned(),
    };
    match (ModelSource::parse(&expand(name)), file) {
        (Ok(ModelSource::Pinned(pinned)), _) => Ok(ModelSource::Pinned(pinned)),
        (_, Some(file)) => ModelSource::parse(&expand(&file)).map(|source| match source {
            ModelSource::Pinned(_) => ModelSource::File(expand(&file).into()),
            other => other,
        }),
        (parsed, None) => parsed,
    }
}

#[cfg(feature = "embedded")]
async fn open_embedded(options: &Options, named: &Named, teller: &Tell) -> Result<Arc<dyn Model>, ModelError> {
    use crate::model::embedded::{self, Embedded};

    let located = download::resolve(&source(options, &named.name)?, &files(options, teller)).await?;
    let layers = [&options.workspace.embedded, &options.user.embedded];
    let mut engine = embedded::Options::default();
    if let Some(threads) = layers.iter().find_map(|layer| layer.threads) {
        engine.threads = threads;
    }
    if let Some(width) = layers.iter().find_map(|layer| layer.width) {
        engine.width = width;
    }
    Ok(Arc::new(Embedded::load(&located.path, &located.digest, &located.name, &engine).await?))
}

#[cfg(not(feature = "embedded"))]
async fn open_embedded(_: &Options, named: &Named, _: &Tell) -> Result<Arc<dyn Model>, ModelError> {
    Err(ModelError::Settings(format!(
        "`embedded/{}` can't be run: this llmc was built without the feature `embedded`",
        named.name
    )))
}

/// The models that llmc knows of, and the one that a build without a configured model would sample.
pub async fn models(options: &Options) -> (Vec<Reach>, Result<Chosen, Error>) {
    let mut listed = Vec::new();
    let folder = options.places.cache.join("models");
    for pinned in &CATALOGUE {
        let here = folder.join(format!("{}.gguf", pinned.stem)).is_file();
        let megabytes = pinned.bytes / 1_000_000;
        let (usable, state) = match (cfg!(feature = "embedded"), here) {
            (false, _) => (false, "this llmc was built without the feature `embedded`".to_owned()),
            (true, true) => (true, format!("{megabytes} MB, in the cache")),
            (true, false) if options.offline => {
                (false, "not in the cache, and --offline forbids to fetch it".to_owned())
            }
            (true, false) => {
                (true, format!("{megabytes} MB, fetched on first use or by `llmc models pull {}`", pinned.alias))
            }
        };
        listed.push(Reach { name: format!("embedded/{}", pinned.name), usable, state });
    }
    let around = surroundings(options).await;
    let state = match (around.openai_key, options.offline) {
        (_, true) => "--offline".to_owned(),
        (true, _) => "OPENAI_API_KEY is set".to_owned(),
        (false, _) => "OPENAI_API_KEY is not set".to_owned(),
    };
    listed.push(Reach { name: "openai/NAME".to_owned(), usable: around.openai_key && !options.offline, state });
    let layers = [&options.workspace.openai, &options.user.openai];
    if let Some(base_url) = layers.iter().find_map(|layer| layer.base_url.clone()) {
        let last = listed.last_mut().expect("one was pushed");
        last.usable = !options.offline;
        last.state = format!("at {base_url}, as the settings say");
    }
    match &around.ollama {
        Some(models) => listed.extend(models.iter().take(50).map(|model| Reach {
            name: format!("openai/{model}"),
            usable: true,
            state: format!("in the local Ollama; `base_url: \"{}/v1\"`", choice::OLLAMA),
        })),
        None if options.offline || around.openai_key => {}
        None => listed.push(Reach {
            name: "a local Ollama".to_owned(),
            usable: false,
            state: format!("nothing answers at {}", choice::OLLAMA),
        }),
    }
    let configured = [&options.workspace.model, &options.user.model].into_iter().find(|models| !models.is_empty());
    let chosen = match configured {
        Some(models) => Ok(Chosen { model: models.join(", "), why: "the settings say so".to_owned() }),
        None => choice::choose(None, &around).map_err(Error::from).map(|choice| Chosen {
            model: format!("{}/{}", choice.named.provider.as_str(), choice.named.name),
            why: choice.why,
        }),
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
