//! What several of the measurements begin with: a folder of specs, and what a model is shown of one.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use llmc::spec::Spec;

/// Whatever goes wrong ends the measurement.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The spec without what is hidden.
pub(crate) fn shown(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    spec.hidden_tests = None;
    spec.examples.retain(|example| !example.hidden);
    spec.properties.retain(|property| !property.hidden);
    spec
}

/// The specs of a folder, by name.
pub(crate) fn specs(folder: &Path) -> Result<BTreeMap<String, Spec>> {
    let mut specs = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let parsed = llmc::spec::parse(&path.display().to_string(), &name, &fs::read(&path)?);
        specs.insert(name, parsed.map_err(|mistakes| format!("{mistakes:?}"))?.0);
    }
    Ok(specs)
}
