//! The crates a spec names, built once per set and toolchain.
//!
//! This runs cargo with the user's environment and outside the sandbox, build scripts included: it needs the
//! registry, and the spec's author named the crates, as in any `Cargo.toml`. No generated code takes part.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::spec::Dependency;
use crate::toolchain::Toolchain;

/// What rustc needs to link with the crates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Built {
    /// Names in Rust and files.
    pub(super) externs: Vec<(String, PathBuf)>,
    /// Folders of what those need in turn.
    pub(super) search: Vec<PathBuf>,
    /// Every crate that is compiled in, from the lock file.
    pub(super) locked: Vec<Locked>,
}

/// A crate as the lock file pins it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// SHA-256 of its package; absent where it came from no registry.
    pub checksum: Option<String>,
}

/// Why the crates are not there.
#[derive(Debug, thiserror::Error)]
pub enum DepsError {
    /// cargo could not be run, or a file not written.
    #[error("failed to build the dependencies {crates}")]
    Io {
        /// Their names.
        crates: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// cargo failed.
    #[error("cargo could not build the dependencies {crates}:\n{said}")]
    Cargo {
        /// Their names.
        crates: String,
        /// The last lines it said.
        said: String,
    },
}

/// Builds the crates into `cache`, or finds them there.
pub(super) fn build(
    dependencies: &BTreeMap<String, Dependency>,
    toolchain: &Toolchain,
    cache: &Path,
    offline: bool,
) -> Result<Built, DepsError> {
    if dependencies.is_empty() {
        return Ok(Built::default());
    }
    let names: Vec<String> = dependencies.keys().map(|name| format!("`{name}`")).collect();
    let crates = names.join(", ");
    let io = |source| DepsError::Io { crates: crates.clone(), source };
    let manifest = manifest(dependencies);
    let digest = crate::digest::sha256(format!("1\n{}\n{}\n{manifest}", toolchain.version, toolchain.host));
    let folder = cache.join(format!("deps-{}", &digest[..16]));
    let done = folder.join("built.json");
    if let Some(built) = std::fs::read(&done).ok().and_then(|bytes| read_built(&bytes)) {
        return Ok(built);
    }
    std::fs::create_dir_all(folder.join("src")).map_err(io)?;
    // cargo's own lock on its target folder keeps two of us apart; both write the same files here.
    write_whole(&folder.join("Cargo.toml"), manifest.as_bytes()).map_err(io)?;
    write_whole(&folder.join("src/lib.rs"), b"").map_err(io)?;
    let cargo = |arguments: &[&str]| {
        let own = toolchain.sysroot.join("bin").join("cargo");
        let mut command = Command::new(if own.is_file() { own } else { PathBuf::from("cargo") });
        command.args(arguments).arg("--manifest-path").arg(folder.join("Cargo.toml")).current_dir(&folder);
        command.env("RUSTC", &toolchain.rustc).env("CARGO_TARGET_DIR", folder.join("target"));
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
        if offline {
            command.arg("--offline");
        }
        let output = command.stdin(Stdio::null()).output().map_err(io)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim_start().starts_with("Compiling")).collect();
        let said = lines[lines.len().saturating_sub(20)..].join("\n");
        Err(DepsError::Cargo { crates: crates.clone(), said })
    };
    let messages = cargo(&["build", "--message-format=json"])?;
    let metadata = cargo(&["metadata", "--format-version=1"])?;
    let lock = std::fs::read_to_string(folder.join("Cargo.lock")).map_err(io)?;
    let built = collect(&messages, &metadata)
        .map(|built| Built { locked: locked(&lock), ..built })
        .ok_or_else(|| DepsError::Cargo { crates: crates.clone(), said: "cargo did not say what it built".into() })?;
    write_whole(&done, write_built(&built).as_bytes()).map_err(io)?;
    Ok(built)
}

fn manifest(dependencies: &BTreeMap<String, Dependency>) -> String {
    let mut text = String::from(
        "[package]\nname = \"llmc-dependencies\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
         [profile.dev]\ndebug = false\nincremental = false\n\n[dependencies]\n",
    );
    for (name, dependency) in dependencies {
        // Strings of JSON are strings of TOML.
        let quoted = |text: &str| Value::from(text).to_string();
        let features: Vec<String> = dependency.features.iter().map(|feature| quoted(feature)).collect();
        writeln!(
            text,
            "{} = {{ version = {}, default-features = {}, features = [{}] }}",
            quoted(name),
            quoted(&dependency.version),
            dependency.default_features,
            features.join(", ")
        )
        .expect("writing to a String cannot fail");
    }
    text
}

/// Reads what `cargo build` made and which of it the package depends on itself.
fn collect(messages: &[u8], metadata: &[u8]) -> Option<Built> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut search: Vec<PathBuf> = Vec::new();
    for line in messages.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let kinds = message["target"]["kind"].as_array()?;
        if !kinds.iter().any(|kind| ["lib", "rlib", "proc-macro"].iter().any(|name| kind == name)) {
            continue;
        }
        let names = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        let file = names.map(PathBuf::from).find(|file| {
            file.extension().is_some_and(|kind| ["rlib", "so", "dylib"].iter().any(|known| kind == *known))
        });
        let (Some(file), Some(id)) = (file, message["package_id"].as_str()) else { continue };
        let folder = file.parent()?.to_owned();
        if !folder.ends_with("deps") && !search.contains(&folder.join("deps")) {
            search.push(folder.join("deps"));
        }
        if folder.ends_with("deps") && !search.contains(&folder) {
            search.push(folder);
        }
        files.insert(id.to_owned(), file);
    }
    let metadata: Value = serde_json::from_slice(metadata).ok()?;
    let root = metadata["resolve"]["root"].as_str()?;
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    let node = nodes.iter().find(|node| node["id"] == root)?;
    let externs = node["deps"].as_array()?.iter().filter_map(|dependency| {
        let file = files.get(dependency["pkg"].as_str()?)?;
        Some((dependency["name"].as_str()?.to_owned(), file.clone()))
    });
    Some(Built { externs: externs.collect(), search, locked: Vec::new() })
}

fn write_built(built: &Built) -> String {
    serde_json::json!({ "externs": built.externs, "search": built.search, "locked": built.locked }).to_string()
}

fn read_built(bytes: &[u8]) -> Option<Built> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let externs: Vec<(String, PathBuf)> = serde_json::from_value(value["externs"].clone()).ok()?;
    let search = serde_json::from_value(value["search"].clone()).ok()?;
    let locked = serde_json::from_value(value["locked"].clone()).ok()?;
    externs.iter().all(|(_, file)| file.is_file()).then_some(Built { externs, search, locked })
}

/// The packages of a `Cargo.lock`, but for our own.
fn locked(lock: &str) -> Vec<Locked> {
    let value = |entry: &str, key: &str| {
        entry
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned))
    };
    lock.split("[[package]]")
        .skip(1)
        .filter_map(|entry| {
            let (name, version) = (value(entry, "name")?, value(entry, "version")?);
            (name != "llmc-dependencies").then(|| Locked { name, version, checksum: value(entry, "checksum") })
        })
        .collect()
}

/// Writes a file so that nobody ever sees a part of it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().expect("files of the cache are in a folder");
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_version_features_and_nothing_that_was_not_asked_for() {
        let regex = Dependency { version: "1".into(), features: vec!["std".into()], default_features: false };
        let text = manifest(&BTreeMap::from([("regex".to_owned(), regex)]));
        let line = "\"regex\" = { version = \"1\", default-features = false, features = [\"std\"] }\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn the_lock_file_gives_exact_versions() {
        let lock = "version = 4\n\n[[package]]\nname = \"itoa\"\nversion = \"1.0.15\"\nsource = \"registry\"\nchecksum = \"4a5f\"\n\n\
                    [[package]]\nname = \"llmc-dependencies\"\nversion = \"0.0.0\"\ndependencies = [\n \"itoa\",\n]\n";
        let itoa = Locked { name: "itoa".into(), version: "1.0.15".into(), checksum: Some("4a5f".into()) };
        assert_eq!(locked(lock), [itoa]);
    }

    #[test]
    fn only_direct_dependencies_are_given_to_the_candidate() {
        let messages = br#"{"reason":"compiler-artifact","package_id":"r#a@1.0.0","target":{"kind":["lib"]},"filenames":["/c/target/debug/deps/liba-1.rlib","/c/target/debug/deps/liba-1.rmeta"]}
{"reason":"compiler-artifact","package_id":"r#b@1.0.0","target":{"kind":["lib"]},"filenames":["/c/target/debug/deps/libb-1.rlib"]}"#;
        let metadata = br#"{"resolve":{"root":"me","nodes":[{"id":"r#a@1.0.0","deps":[]},{"id":"me","deps":[{"name":"a_lib","pkg":"r#a@1.0.0"}]}]}}"#;
        let built = collect(messages, metadata).unwrap();
        assert_eq!(built.externs, [("a_lib".to_owned(), PathBuf::from("/c/target/debug/deps/liba-1.rlib"))]);
        assert_eq!(built.search, [PathBuf::from("/c/target/debug/deps")]);
    }
}
