//! `llmc init`: a workspace that is ready to build. Never overwrites a file.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::Output;
use super::args::Vcs;
use crate::error::{Error, ExitCode};
use crate::freeze;
use crate::repo::Repo;

/// The example: one that the smallest embedded model builds nearly every time.
const EXAMPLE: (&str, &str) = ("specs/count_vowels.yaml", include_str!("../../specs/count_vowels.yaml"));

const SETTINGS: &str = "\
# Settings of this llmc workspace; docs/configuration.md lists all of them.
#
# Without a model here llmc takes, in this order: OpenAI, if OPENAI_API_KEY is set; a local Ollama;
# the small embedded model, which runs in the process and needs nothing.
# model: openai/gpt-5-mini
# model: embedded/1.5b

sampling:
  samples: 8

# Any server that speaks OpenAI's protocol (vLLM, llama.cpp, Ollama, LM Studio, ...):
# providers:
#   openai: { base_url: \"http://localhost:8000/v1\", api_key_env: MY_KEY }
";

const IGNORED: [&str; 3] = ["/.llmc/", "/generated/target/", "/generated/Cargo.lock"];

/// Creates the workspace in `dir`; `shown` is the folder as the user typed it.
pub(super) fn init(dir: &Path, shown: &Path, vcs: Vcs) -> Result<ExitCode, Error> {
    let failed = |action: &str, path: &Path, error: std::io::Error| {
        Error::new(ExitCode::Usage, format!("failed to {action} `{}`", path.display())).cause(error)
    };
    if dir.join("llmc.yaml").exists() {
        return Err(Error::new(ExitCode::Usage, format!("`{}` is a workspace already", shown.display()))
            .hint("`llmc build` builds its specs"));
    }
    fs::create_dir_all(dir).map_err(|error| failed("create", dir, error))?;
    let mut files = vec![("llmc.yaml".to_owned(), SETTINGS.as_bytes().to_vec())];
    let has_specs = fs::read_dir(dir.join("specs")).is_ok_and(|mut entries| entries.next().is_some());
    if !has_specs {
        files.push((EXAMPLE.0.to_owned(), EXAMPLE.1.as_bytes().to_vec()));
    }
    files.extend(freeze::crate_files(&[], false)?);
    // Generated files have one form on every machine: git is not to change their line ends.
    files.push((".gitattributes".to_owned(), b"/generated/** -text\n".to_vec()));
    for (path, bytes) in &files {
        let path = dir.join(path);
        if path.exists() {
            Output::note(&format!("kept {}, which was there", path.display()));
            continue;
        }
        let folder = path.parent().expect("a file in a workspace has a folder");
        fs::create_dir_all(folder).map_err(|error| failed("create", folder, error))?;
        fs::write(&path, bytes).map_err(|error| failed("write", &path, error))?;
    }
    ignore(&dir.join(".gitignore")).map_err(|error| failed("write", &dir.join(".gitignore"), error))?;
    if vcs == Vcs::Git {
        Repo::ensure(dir)?;
    }
    let place = if shown == Path::new(".") { String::new() } else { format!("cd {} && ", shown.display()) };
    Output::note(&format!(
        "Created a workspace with one spec, {}.\nNext: {place}llmc build",
        if has_specs { "yours" } else { EXAMPLE.0 }
    ));
    Ok(ExitCode::Done)
}

/// Adds what is missing to `.gitignore`.
fn ignore(path: &Path) -> std::io::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let missing: Vec<&str> = IGNORED.into_iter().filter(|line| !old.lines().any(|one| one.trim() == *line)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    writeln!(file, "{gap}{}", missing.join("\n"))
}
