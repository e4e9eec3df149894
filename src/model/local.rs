//! The provider `embedded`: which file a name stands for, and what of them is here. The engine is in `embedded`.

use std::sync::Arc;

use super::download::CATALOGUE;
use super::providers::{Provider, Reach, Setup};
use super::{Model, ModelError};

/// The provider `embedded`.
pub const PROVIDER: Provider = Provider {
    name: "embedded",
    open: |setup, name| Box::pin(open(setup, name)),
    list: |setup| Box::pin(async move { list(setup) }),
};

/// The file that a name stands for: one of `providers.embedded.file`, or one that llmc knows.
#[cfg(feature = "embedded")]
fn source(setup: &Setup, name: &str) -> Result<super::download::ModelSource, ModelError> {
    use super::download::ModelSource;

    let file = setup.layers("embedded").into_iter().find_map(|layer| layer.file);
    let expand = |text: &str| match (text.strip_prefix("~/"), &setup.home) {
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
async fn open(setup: &Setup, name: &str) -> Result<Arc<dyn Model>, ModelError> {
    use super::download;
    use super::embedded::{Embedded, Options};

    let located = download::resolve(&source(setup, name)?, &setup.files).await?;
    let layers = setup.layers("embedded");
    let mut engine = Options::default();
    if let Some(threads) = layers.iter().find_map(|layer| layer.threads) {
        engine.threads = threads;
    }
    if let Some(width) = layers.iter().find_map(|layer| layer.width) {
        engine.width = width;
    }
    Ok(Arc::new(Embedded::load(&located.path, &located.digest, &located.name, &engine).await?))
}

#[cfg(not(feature = "embedded"))]
async fn open(_: &Setup, name: &str) -> Result<Arc<dyn Model>, ModelError> {
    Err(ModelError::Settings(format!(
        "`embedded/{name}` can't be run: this llmc was built without the feature `embedded`; install it with default \
         features, or name another model"
    )))
}

fn list(setup: &Setup) -> Vec<Reach> {
    let reach = |pinned: &super::download::Pinned| {
        let name = format!("embedded/{}", pinned.name);
        let here = setup.files.cache.join(format!("{}.gguf", pinned.stem)).is_file();
        let megabytes = pinned.bytes / 1_000_000;
        match (cfg!(feature = "embedded"), here) {
            (false, _) => Reach::no(name, "this llmc was built without the feature `embedded`"),
            (true, true) => Reach::yes(name, format!("{megabytes} MB, in the cache")),
            (true, false) if setup.offline => Reach::no(name, "not in the cache, and --offline forbids to fetch it"),
            (true, false) => {
                let state = format!("{megabytes} MB, fetched on first use or by `llmc models pull {}`", pinned.alias);
                Reach::yes(name, state)
            }
        }
    };
    CATALOGUE.iter().map(reach).collect()
}
