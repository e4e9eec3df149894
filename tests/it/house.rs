//! Rules of the house, as code: the direction of dependencies, and one outside thing, one module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The modules of `src/lib.rs`, in its order: the order of dependencies.
fn modules() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// Every source file: its path below `src`, its module, and its text without comments.
fn sources() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() && path.ends_with("validate/runtime") {
                // Text of other programs, not of llmc.
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root().join("src")).expect("it is below src").to_owned();
                let module = module_of(&relative);
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
                found.push((relative.display().to_string(), module, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    found.sort();
    found
}

fn module_of(relative: &Path) -> String {
    let first = relative.components().next().expect("the path is not empty").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The names that follow `crate::` (also in braces) in a source.
fn used_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|character| character.is_alphanumeric() || character == '_' || character == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest
                .split(|character: char| !character.is_alphanumeric() && character != '_')
                .next()
                .unwrap_or_default(),
        };
        for name in list.split(',') {
            let name: String =
                name.trim().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
            names.push(name);
        }
    }
    names
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let order: BTreeMap<String, usize> = modules().into_iter().enumerate().map(|(at, name)| (name, at)).collect();
    assert!(order.len() > 10, "src/lib.rs was not understood: {order:?}");
    let mut wrong = Vec::new();
    for (file, module, code) in sources() {
        let Some(own) = order.get(&module) else { continue };
        for used in used_modules(&code) {
            if order.get(&used).is_some_and(|other| other > own) {
                wrong.push(format!("src/{file} uses `{used}`, which comes after `{module}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_outside_thing_is_used_by_one_module() {
    // The crate (or std path), and the only modules that may name it.
    let homes: [(&str, &[&str]); 17] = [
        ("git2::", &["repo"]),
        ("rusqlite::", &["ledger"]),
        ("tera::", &["prompt"]),
        ("reqwest::", &["model"]),
        ("saphyr_parser::", &["spec"]),
        ("landlock::", &["sandbox"]),
        ("seccompiler::", &["sandbox"]),
        ("prettyplease::", &["candidate", "spec", "validate"]),
        ("llama_cpp_2::", &["model"]),
        ("clap::", &["cli"]),
        ("indicatif::", &["report"]),
        ("sha2::", &["digest"]),
        ("hyper::", &["serve"]),
        ("use ring::", &["serve", "sign"]),
        ("base64::", &["serve", "sign"]),
        ("println!", &["report", "cli"]),
        ("env::var", &["cli"]),
    ];
    let mut wrong = Vec::new();
    for (file, module, code) in sources().into_iter().filter(|(file, ..)| !file.ends_with("tests.rs")) {
        // What a module's own tests do is their own affair.
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for (thing, allowed) in homes {
            if code.contains(thing) && !allowed.contains(&module.as_str()) {
                wrong.push(format!("src/{file} uses `{thing}`; its home is {}", allowed.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(file, ..)| {
            let text = std::fs::read_to_string(root().join("src").join(file)).expect("sources are UTF-8");
            !text.starts_with("//!")
        })
        .map(|(file, ..)| file)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

#[test]
fn the_map_names_every_module() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let missing: Vec<String> = modules().into_iter().filter(|module| !map.contains(&format!("`{module}`"))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:?}");
}
