//! Components among what is frozen: their file of types and, where one is hardened, of the code that answers first.

use std::collections::BTreeMap;

use super::{
    Code, FileText, FreezeError, Freshness, MARK, Module, code_name, header, is_listed, is_text_of, names_in, read,
    spec_path, text, unix_lines,
};
use crate::digest::sha256;
use crate::provenance::{Provenance, Subject, Summary};
use crate::spec::ComponentSpec;
use crate::types;
use crate::workspace::{Workspace, paths};

/// How the second line of a component's Rust begins; the SHA-256 of all below it follows.
const COMPONENT_MARK: &str = "// component sha256:";

/// The Rust of a component: its types and, where it is hardened, the code that answers in the model's place, whose
/// `pub fn NAME(input: Input) -> Option<Output>` may abstain.
pub fn component_code(spec: &ComponentSpec, spec_path: &str, hardened: Option<&str>) -> Vec<u8> {
    component_file(spec, &header(&spec.name, spec_path, &sha256(spec.canonical())), hardened)
}

fn component_file(spec: &ComponentSpec, head: &str, hardened: Option<&str>) -> Vec<u8> {
    let body = text(&[&types::of(spec), if hardened.is_some() { "\n" } else { "" }, hardened.unwrap_or_default()]);
    let mark = format!("{COMPONENT_MARK}{}\n", sha256(&body));
    [head.as_bytes(), mark.as_bytes(), &body].concat()
}

/// A hardened component's own files: code and provenance. `code` may abstain, and is without the types.
///
/// The head names the spec as it was then: what it says beside the types may be another by now.
pub fn hardened_files(spec: &ComponentSpec, code: &str, provenance: &Provenance) -> Vec<FileText> {
    let of = &provenance.spec;
    let code = component_file(spec, &header(&of.name, &of.path, &of.digest), Some(code));
    let subject = vec![Subject { path: paths::code(&of.name), sha256: sha256(&code) }];
    let record = Provenance { subject, ..provenance.clone() }.to_bytes();
    vec![(paths::code(&of.name), code), (paths::provenance(&of.name), record)]
}

/// What decides whether a hardened component's code is of the types that its spec has.
pub fn types_digest(spec: &ComponentSpec) -> String {
    sha256(format!("llmc component 1\n{}", types::of(spec)))
}

/// The part of a component's file below its head; `None` where it is no such file.
pub fn component_body(code: &[u8]) -> Option<&[u8]> {
    component_parts(code).map(|(_, body)| body)
}

/// Whether a component's file is as it was written, whatever its spec says by now.
pub fn is_component_as_written(code: &[u8]) -> bool {
    let unix = unix_lines(code);
    component_parts(unix.as_deref().unwrap_or(code)).is_some_and(|(digest, body)| sha256(body).as_bytes() == digest)
}

/// The digest that a component's file tells, and what is below its head.
pub(super) fn component_parts(code: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = code.split_at(code.iter().position(|byte| *byte == b'\n')? + 1);
    let (second, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n')? + 1);
    let digest = second.trim_ascii_end().strip_prefix(COMPONENT_MARK.as_bytes())?;
    first.starts_with(MARK.as_bytes()).then_some((digest, body))
}

/// Compares a component's file with what its spec says.
pub fn component_freshness(workspace: &Workspace, spec: &ComponentSpec, path: &str) -> Result<Freshness, FreezeError> {
    let name = &spec.name;
    let code_path = paths::code(name);
    let Some(code) = read(&workspace.path(&code_path))? else { return Ok(Freshness::Missing) };
    let code = unix_lines(&code).unwrap_or(code);
    if !is_component_as_written(&code) {
        let record = read(&workspace.path(&paths::provenance(name)))?.and_then(|bytes| Summary::read(&bytes).ok());
        let is_artifact =
            record.as_ref().and_then(|record| record.digest_of(&code_path)).is_some_and(|one| is_text_of(&code, one));
        return Ok(match is_artifact && component_parts(&code).is_none() {
            true => Freshness::Stale(WAS_FUNCTION.to_owned()),
            false => Freshness::HandEdited(vec![code_path]),
        });
    }
    if let Some(other) = spec_path(&code).filter(|other| other != path)
        && workspace.path(&other).exists()
    {
        return Ok(Freshness::Taken(other));
    }
    if is_hardened(workspace, name)? {
        // The code is of these types; the rest of the spec may be another by now.
        let types = types::of(spec);
        let is_same = component_body(&code).is_some_and(|body| body.starts_with(types.as_bytes()));
        if !is_same {
            return Ok(Freshness::Stale("what it takes or gives changed".to_owned()));
        }
    } else if code != component_code(spec, path, None) {
        return Ok(Freshness::Stale("the spec changed".to_owned()));
    }
    if is_listed(workspace, name)? { Ok(Freshness::Fresh) } else { Ok(Freshness::Unlisted) }
}

/// Why a component is stale where a function of its name was built.
pub const WAS_FUNCTION: &str = "it was a function";

/// Whether code answers for a component: its file is a component's or gone, and a record beside it tells of a certificate.
///
/// A record that can't be read is taken for one: nothing is written over what it may vouch for.
pub fn is_hardened(workspace: &Workspace, name: &str) -> Result<bool, FreezeError> {
    let Some(record) = read(&workspace.path(&paths::provenance(name)))? else { return Ok(false) };
    let code = read(&workspace.path(&paths::code(name)))?;
    Ok(code.is_none_or(|code| component_parts(&code).is_some())
        && Summary::read(&record).map_or(true, |record| record.is_hardened))
}

/// The components that have no provenance: nothing answers for them but a model.
pub fn components_on_disk(workspace: &Workspace) -> Result<Vec<Module>, FreezeError> {
    let mut components = Vec::new();
    for name in names_in(&workspace.path(paths::CODE), code_name)? {
        if workspace.path(&paths::provenance(&name)).exists() {
            continue;
        }
        components.extend(read(&workspace.path(&paths::code(&name)))?.and_then(|code| component(&name, code)));
    }
    Ok(components)
}

/// The component as the crate sees it, from its file; `None` where the file is none of a component.
pub fn component(name: &str, code: Vec<u8>) -> Option<Module> {
    let code = Code::new(code);
    code.is_component().then(|| Module { name: name.to_owned(), dependencies: BTreeMap::new(), code })
}
