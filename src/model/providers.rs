//! The providers there are, and what each may know of the outside: settings, keys, folders.
//!
//! A new provider is a file with a [`Provider`] in it and a line in [`PROVIDERS`]; its settings' keys are in
//! `spec/providers.rs`. Nothing here reads the environment: it is handed in.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::http::{self, Dialect, Note, Remote, Server};
use super::pace::Pace;
use super::secret::{Secrets, read_key};
use super::trouble::Trouble;
use super::{BoxFuture, Model, ModelError, anthropic, command, download, local, openai, replay};
use crate::spec::{HeaderValue, ProviderSettings};

/// All of them.
pub const PROVIDERS: [&Provider; 5] =
    [&openai::PROVIDER, &anthropic::PROVIDER, &command::PROVIDER, &local::PROVIDER, &replay::PROVIDER];

/// Time for a server to list its models.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);
/// A longer list of models is not one.
const LONGEST_LIST: usize = 4 << 20;
/// Most models of one server that are shown.
const MOST_SHOWN: usize = 50;
/// Requests at once to a server that was found on this machine: more only wait there.
const FOUND_CONCURRENCY: usize = 4;

/// Makes a model from its name.
type Open = for<'a> fn(&'a Setup, &'a str) -> BoxFuture<'a, Result<Arc<dyn Model>, ModelError>>;
/// Says what can be reached.
type List = for<'a> fn(&'a Setup) -> BoxFuture<'a, Vec<Reach>>;

/// A way to reach models.
pub struct Provider {
    /// What stands before the `/` of a model.
    pub name: &'static str,
    /// Makes a model from its name.
    pub open: Open,
    /// Says what can be reached, and why the rest can't.
    pub list: List,
}

/// The provider called `name`.
pub fn provider(name: &str) -> Option<&'static Provider> {
    PROVIDERS.into_iter().find(|provider| provider.name == name)
}

/// A model that llmc knows of, or a reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// `provider/name`.
    pub name: String,
    /// Whether a build could sample it now.
    pub usable: bool,
    /// Its state in words: where it is, or what is missing.
    pub state: String,
}

impl Reach {
    /// One that can be sampled.
    pub fn yes(name: impl Into<String>, state: impl Into<String>) -> Self {
        Self { name: name.into(), usable: true, state: state.into() }
    }

    /// One that can't.
    pub fn no(name: impl Into<String>, state: impl Into<String>) -> Self {
        Self { name: name.into(), usable: false, state: state.into() }
    }
}

/// The paces of a run: one for each server.
#[derive(Default)]
pub struct Paces(Mutex<HashMap<String, Arc<Pace>>>);

impl Paces {
    fn of(&self, server: &Server) -> Arc<Pace> {
        let mut paces = self.0.lock().expect("nobody panics while holding it");
        let new = || Arc::new(Pace::new(server.concurrency, server.jitter));
        paces.entry(server.base_url.clone()).or_insert_with(new).clone()
    }
}

/// Looks up a variable of the environment; an empty one is absent.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What providers may know of the outside.
#[derive(Clone)]
pub struct Setup {
    /// The workspace's settings, by provider. A stranger may have written them.
    pub workspace: BTreeMap<String, ProviderSettings>,
    /// The user's own.
    pub user: BTreeMap<String, ProviderSettings>,
    /// A server that was found, instead of the one of the settings. It gets no key.
    pub found: Option<String>,
    /// The environment.
    pub environment: Lookup,
    /// Never open a socket.
    pub offline: bool,
    /// The workspace's root, where there is one.
    pub root: Option<PathBuf>,
    /// The home folder, for `~/`.
    pub home: Option<PathBuf>,
    /// How model files are fetched and kept.
    pub files: download::Options,
    /// Hears what a person should know.
    pub note: Note,
    /// The paces so far.
    pub paces: Arc<Paces>,
}

impl Setup {
    /// A provider's settings: the workspace's, then the user's own.
    pub fn layers(&self, provider: &str) -> [ProviderSettings; 2] {
        [&self.workspace, &self.user].map(|layer| layer.get(provider).cloned().unwrap_or_default())
    }

    /// A path as people write it: `~/` is the home folder, what is relative begins at the workspace.
    pub fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), &self.home, &self.root) {
            (Some(rest), Some(home), _) => home.join(rest),
            (_, _, Some(root)) => root.join(text),
            _ => text.into(),
        }
    }

    /// Every key that llmc could come across, to be kept out of texts.
    pub fn secrets(&self) -> Secrets {
        let mut keys: Vec<String> =
            [openai::KEY, anthropic::KEY].into_iter().filter_map(|name| (self.environment)(name)).collect();
        for settings in self.workspace.values().chain(self.user.values()) {
            let named = settings.headers.iter().filter_map(|(_, value)| match value {
                HeaderValue::Env(name) => Some(name),
                HeaderValue::Text(_) => None,
            });
            keys.extend(named.chain(&settings.api_key_env).filter_map(|name| (self.environment)(name)));
        }
        for settings in self.user.values() {
            let file = settings.api_key_file.as_ref();
            keys.extend(file.and_then(|file| read_key(&self.path(file), file).ok()));
        }
        Secrets::new(keys)
    }
}

/// How a server is reached, by the settings.
///
/// A key goes to whom its owner meant it for: the user's own keys to the server that the user's own settings name, or
/// to the provider itself. A workspace that names another server must name the variable of its key as well, and that
/// is told.
fn server(setup: &Setup, provider: &str, usual: &str, usual_key: &str) -> Result<Server, ModelError> {
    let [workspace, user] = setup.layers(provider);
    if workspace.api_key_file.is_some() {
        return Err(ModelError::Settings(format!(
            "`providers.{provider}.api_key_file` works in your own settings only: a workspace may be a stranger's, and \
             the file may hold anything"
        )));
    }
    let users_own = user.base_url.clone().unwrap_or_else(|| usual.to_owned());
    let base_url = setup.found.clone().or(workspace.base_url.clone()).unwrap_or_else(|| users_own.clone());
    let same = |a: &str, b: &str| a.trim().trim_end_matches('/') == b.trim().trim_end_matches('/');
    let trusted: Vec<&ProviderSettings> = match () {
        () if setup.found.is_some() => vec![],
        () if same(&base_url, &users_own) => vec![&workspace, &user],
        () => vec![&workspace],
    };
    let look_up = |variable: &str| {
        (setup.environment)(variable).ok_or_else(|| {
            ModelError::Settings(format!("the settings name `{variable}` as a key's variable, and it is not set"))
        })
    };
    let mut from_workspace = Vec::new();
    let mut key = None;
    for layer in &trusted {
        if key.is_none()
            && let Some(variable) = &layer.api_key_env
        {
            key = Some(look_up(variable)?);
            if std::ptr::eq(*layer, &raw const workspace) {
                from_workspace.push(variable.clone());
            }
        }
        if key.is_none()
            && let Some(file) = &layer.api_key_file
        {
            key = Some(read_key(&setup.path(file), file)?);
        }
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut secrets = setup.secrets();
    for layer in &trusted {
        for (name, value) in &layer.headers {
            if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            let value = match value {
                HeaderValue::Text(text) => text.clone(),
                HeaderValue::Env(variable) => {
                    let value = look_up(variable)?;
                    secrets = secrets.and(&value);
                    if std::ptr::eq(*layer, &raw const workspace) {
                        from_workspace.push(variable.clone());
                    }
                    value
                }
            };
            headers.push((name.clone(), value));
        }
    }
    let has_key_header = headers.iter().any(|(_, value)| *secrets.out_of(value) != *value);
    // The usual key goes to the provider itself, not to whatever server the settings name.
    if key.is_none() && !has_key_header && setup.found.is_none() && same(&base_url, usual) {
        key = Some((setup.environment)(usual_key).ok_or_else(|| {
            let own = format!("for another server set `providers.{provider}.base_url`");
            ModelError::Settings(format!("{usual_key} is not set; {own}"))
        })?);
    }
    for variable in from_workspace {
        if workspace.base_url.is_some() {
            // The workspace may be a stranger's, and the variable may hold any secret.
            (setup.note)(format!("llmc.yaml sends the key in {variable} to {base_url}"));
        }
    }
    let parsed = http::base(&base_url)?;
    if (key.is_some() || has_key_header) && parsed.scheme() == "http" && !http::is_local(&parsed) {
        (setup.note)(format!("the key goes to {base_url} unencrypted, for all on the way to read"));
    }
    let layers = [&workspace, &user];
    let seconds = |get: fn(&ProviderSettings) -> Option<f64>, usual: Duration| {
        layers.into_iter().find_map(get).map_or(usual, Duration::from_secs_f64)
    };
    let limits = Server::new("", None);
    let query = trusted.iter().map(|layer| &layer.query).find(|query| !query.is_empty()).cloned().unwrap_or_default();
    let mut body = user.body.clone();
    body.extend(workspace.body.clone());
    let found = setup.found.is_some();
    let mut server = Server {
        key,
        headers,
        query,
        body: if found { Default::default() } else { body },
        stop: layers.into_iter().map(|layer| layer.stop.clone()).find(|stop| !stop.is_empty()).unwrap_or_default(),
        prefill: layers.into_iter().find_map(|layer| layer.prefill).unwrap_or(false),
        concurrency: layers.into_iter().find_map(|layer| layer.concurrency).unwrap_or(if found {
            FOUND_CONCURRENCY
        } else {
            http::DEFAULT_CONCURRENCY
        }),
        connect: seconds(|layer| layer.connect_seconds, limits.connect),
        first_token: seconds(|layer| layer.first_token_seconds, limits.first_token),
        idle: seconds(|layer| layer.idle_seconds, limits.idle),
        whole: seconds(|layer| layer.timeout_seconds, limits.whole),
        secrets,
        note: Some(setup.note.clone()),
        ..Server::new(base_url, None)
    };
    server.pace = Some(setup.paces.of(&server));
    Ok(server)
}

/// Makes a model behind a server.
pub(super) fn open_remote<D: Dialect>(
    setup: &Setup,
    name: &str,
    usual: &str,
    usual_key: &str,
) -> Result<Arc<dyn Model>, ModelError> {
    if setup.offline {
        return Err(ModelError::Settings(format!(
            "`{}/{name}` is a server's, and --offline opens no socket, not even to this machine; the embedded model \
             needs no network",
            D::PROVIDER
        )));
    }
    Ok(Arc::new(Remote::<D>::new(name, server(setup, D::PROVIDER, usual, usual_key)?)?))
}

/// Asks a server for its models, as far as it can be asked.
pub(super) async fn list_remote<D: Dialect>(setup: &Setup, usual: &str, usual_key: &str) -> Vec<Reach> {
    let all = format!("{}/NAME", D::PROVIDER);
    if setup.offline {
        return vec![Reach::no(all, "--offline")];
    }
    // What is told while a build is made ready is no news here.
    let quiet = Setup { note: Arc::new(|_| {}), ..setup.clone() };
    let server = match server(&quiet, D::PROVIDER, usual, usual_key) {
        Ok(server) => server,
        Err(error) => return vec![Reach::no(all, error.to_string())],
    };
    let at = server.base_url.trim_end_matches('/').to_owned();
    match models_of::<D>(&server).await {
        Ok(models) if at == usual => vec![Reach::yes(all, format!("{usual_key} works; {} models", models.len()))],
        Ok(models) if models.is_empty() => vec![Reach::yes(all, format!("{at} answers, and lists no models"))],
        Ok(models) => models
            .into_iter()
            .take(MOST_SHOWN)
            .map(|model| Reach::yes(format!("{}/{model}", D::PROVIDER), format!("at {at}")))
            .collect(),
        // Not every server has a list.
        Err(ModelError::NotFound { .. }) => vec![Reach::yes(all, format!("{at} answers, and lists no models"))],
        Err(error) => {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            vec![Reach::no(all, format!("{error}{hint}"))]
        }
    }
}

/// The models that a server lists.
async fn models_of<D: Dialect>(server: &Server) -> Result<Vec<String>, ModelError> {
    let base = http::base(&server.base_url)?;
    let shown = format!("{}/models", base.as_str().trim_end_matches('/'));
    let url = http::address(&shown, server);
    let secrets = server.key.iter().fold(server.secrets.clone(), |secrets, key| secrets.and(key));
    let client = http::model_client(&shown)
        .default_headers(http::headers::<D>(server)?)
        .build()
        .map_err(|error| ModelError::Settings(http::chain(&error)))?;
    let ask = async {
        let unreachable = |error: reqwest::Error| ModelError::Unreachable {
            url: shown.clone(),
            reason: secrets.shorten(&http::chain(&error)),
        };
        let mut reply = client.get(url.clone()).send().await.map_err(unreachable)?;
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_LIST {
                break;
            }
        }
        if status >= 300 {
            return Err(Trouble::read(status, &headers, &body).explain(&shown, &secrets).0);
        }
        let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
        match reply["data"].as_array() {
            Some(models) => Ok(names(models)),
            None => Err(ModelError::BadReply {
                url: shown.clone(),
                reason: format!(
                    "something that is no list of models: {}",
                    secrets.shorten(&super::trouble::said(&body))
                ),
            }),
        }
    };
    let late = ModelError::Timeout { url: shown.clone(), wait: super::Wait::Whole, limit: LIST_TIMEOUT };
    tokio::time::timeout(LIST_TIMEOUT, ask).await.unwrap_or(Err(late))
}

/// The `id`s in a list of models.
pub(super) fn names(models: &[Value]) -> Vec<String> {
    models.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect()
}

/// A path as it may be recorded: relative as it was written, else only the file's name.
pub(super) fn shown_path(text: &str) -> String {
    let path = Path::new(text);
    let is_inside =
        path.is_relative() && !text.starts_with('~') && !path.components().any(|part| part.as_os_str() == "..");
    match path.file_name() {
        Some(name) if !is_inside => name.to_string_lossy().into_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(workspace: ProviderSettings, user: ProviderSettings) -> (Setup, Arc<Mutex<Vec<String>>>) {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let told = notes.clone();
        let layer = |settings| BTreeMap::from([("openai".to_owned(), settings)]);
        let setup = Setup {
            workspace: layer(workspace),
            user: layer(user),
            found: None,
            environment: Arc::new(|name| match name {
                "OPENAI_API_KEY" => Some("usual-key".into()),
                "USER_KEY" => Some("users-key".into()),
                "OTHER_KEY" => Some("other-key".into()),
                _ => None,
            }),
            offline: false,
            root: None,
            home: None,
            files: download::Options::new("cache"),
            note: Arc::new(move |note| told.lock().unwrap().push(note)),
            paces: Arc::default(),
        };
        (setup, notes)
    }

    fn at(url: &str) -> ProviderSettings {
        ProviderSettings { base_url: Some(url.into()), ..ProviderSettings::default() }
    }

    fn named(variable: &str) -> ProviderSettings {
        ProviderSettings { api_key_env: Some(variable.into()), ..ProviderSettings::default() }
    }

    fn resolved(setup: &Setup) -> (String, Option<String>) {
        let server = server(setup, "openai", openai::OPENAI, openai::KEY).unwrap();
        (server.base_url, server.key)
    }

    #[test]
    fn every_provider_of_the_settings_is_one() {
        let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        assert_eq!(names, crate::spec::PROVIDERS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn the_usual_key_goes_to_the_provider_only() {
        let (usual, _) = setup(ProviderSettings::default(), ProviderSettings::default());
        assert_eq!(resolved(&usual), (openai::OPENAI.to_owned(), Some("usual-key".to_owned())));
        let (elsewhere, _) = setup(at("https://evil.example/v1"), ProviderSettings::default());
        assert_eq!(resolved(&elsewhere).1, None);
        let found = Setup { found: Some("http://127.0.0.1:11434/v1".into()), ..usual };
        assert_eq!(resolved(&found), ("http://127.0.0.1:11434/v1".to_owned(), None));
    }

    #[test]
    fn a_users_key_does_not_follow_a_workspace_to_another_server() {
        let user = ProviderSettings {
            headers: vec![("x-org".into(), HeaderValue::Env("USER_KEY".into()))],
            ..ProviderSettings { api_key_env: Some("USER_KEY".into()), ..at("https://mine.example/v1") }
        };
        let (own, _) = setup(ProviderSettings::default(), user.clone());
        assert_eq!(resolved(&own), ("https://mine.example/v1".to_owned(), Some("users-key".to_owned())));
        let (other, _) = setup(at("https://evil.example/v1"), user.clone());
        let server = server(&other, "openai", openai::OPENAI, openai::KEY).unwrap();
        assert_eq!((server.key, server.headers), (None, vec![]));
        let (same, _) = setup(at("https://mine.example/v1/"), user);
        assert_eq!(resolved(&same).1, Some("users-key".to_owned()));
    }

    #[test]
    fn a_workspace_that_names_server_and_key_is_told_about() {
        let (both, notes) = setup(
            ProviderSettings { api_key_env: Some("OTHER_KEY".into()), ..at("https://its.example") },
            named("USER_KEY"),
        );
        assert_eq!(resolved(&both).1, Some("other-key".to_owned()));
        assert_eq!(*notes.lock().unwrap(), ["llmc.yaml sends the key in OTHER_KEY to https://its.example"]);
        let (plain, notes) = setup(
            ProviderSettings { api_key_env: Some("OTHER_KEY".into()), ..at("http://its.example") },
            named("USER_KEY"),
        );
        resolved(&plain);
        assert!(notes.lock().unwrap()[1].contains("unencrypted"));
    }

    #[test]
    fn a_key_file_works_in_the_users_own_settings_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "file-key\n").unwrap();
        let file = ProviderSettings { api_key_file: Some(path.display().to_string()), ..ProviderSettings::default() };
        let (users, _) = setup(ProviderSettings::default(), file.clone());
        assert_eq!(resolved(&users).1, Some("file-key".to_owned()));
        assert_eq!(users.secrets().out_of("file-key usual-key"), "[key] [key]");
        let (workspaces, _) = setup(file, ProviderSettings::default());
        let error = server(&workspaces, "openai", openai::OPENAI, openai::KEY).err().unwrap().to_string();
        assert!(error.contains("works in your own settings only"), "{error}");
    }

    #[test]
    fn an_azure_key_header_takes_the_place_of_the_usual_key() {
        let azure = ProviderSettings {
            headers: vec![("api-key".into(), HeaderValue::Env("OTHER_KEY".into()))],
            query: vec![("api-version".into(), "2024-10-21".into())],
            ..at("https://x.openai.azure.com/openai/deployments/y")
        };
        let (azure, _) = setup(ProviderSettings::default(), azure);
        let server = server(&azure, "openai", openai::OPENAI, openai::KEY).unwrap();
        assert_eq!((server.key, server.headers), (None, vec![("api-key".to_owned(), "other-key".to_owned())]));
        assert_eq!(server.secrets.out_of("no other-key"), "no [key]");
    }

    #[test]
    fn no_absolute_path_is_recorded() {
        for (text, shown) in
            [("a/b.jsonl", "a/b.jsonl"), ("/home/me/b.jsonl", "b.jsonl"), ("~/b.jsonl", "b.jsonl"), ("../x/b", "b")]
        {
            assert_eq!(shown_path(text), shown);
        }
    }
}
