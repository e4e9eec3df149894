//! Signing: what is written is signed where llmc.yaml asks for it, and what is there is held against who may sign.
//!
//! A key is named by the user alone (their own settings, or `LLMC_SIGN_KEY`): a workspace can ask for a signature, and
//! never with which key. Whom to trust a workspace says in a file of its own, and who runs `verify` can name another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::specs;
use super::{Session, Summary, build, verify};
use crate::error::{Error, ExitCode};
use crate::event::{Difference, Event};
use crate::freeze::{self, FileText, Module};
use crate::repo::{Repo, message};
use crate::sign::{Envelope, PublicKey, Signer, Signers};
use crate::spec::{Dependency, SignSettings};
use crate::workspace::paths;

/// The variable that names a key file, before the user's settings.
const KEY_VARIABLE: &str = "LLMC_SIGN_KEY";
/// Where signers stand unless llmc.yaml says otherwise.
const SIGNERS: &str = "allowed_signers";

/// Whose signatures count.
pub(super) enum Trust {
    /// Nobody was asked to sign: whether an envelope holds the record is all that is looked at.
    Nobody,
    /// Those in a file.
    Signers {
        /// Who they are.
        signers: Signers,
        /// The file, as it was named.
        path: String,
        /// Whether each artifact has to be signed.
        required: bool,
    },
    /// Signatures play no part, since they are about to be made.
    Unasked,
}

/// Reads who may sign.
pub(super) fn trust(session: &Session) -> Result<Trust, Error> {
    let (path, shown, required) = match (&session.signers, &session.options.workspace.sign) {
        (Some(path), _) => (path.clone(), path.display().to_string(), true),
        (None, Some(sign)) => {
            let name = sign.signers.as_deref().unwrap_or(SIGNERS);
            (session.workspace.path(name), name.to_owned(), sign.is_required())
        }
        (None, None) => return Ok(Trust::Nobody),
    };
    let unread = |why: String| {
        Error::new(ExitCode::Usage, format!("failed to read who may sign, `{shown}`: {why}"))
            .hint("a line for each: `llmc sign --public-key ann@example.org` prints yours")
    };
    let Some(bytes) = freeze::read(&path)? else { return Err(unread("it is not there".to_owned())) };
    let text = String::from_utf8(bytes).map_err(|_| unread("it is no text".to_owned()))?;
    let signers = Signers::read(&text).map_err(|error| unread(error.to_string()))?;
    Ok(Trust::Signers { signers, path: shown, required })
}

/// The user's key; `None` where none is named.
fn key(session: &Session) -> Result<Option<Signer>, Error> {
    let options = &session.options;
    let own = options.user.sign.as_ref().and_then(|sign| sign.key.clone());
    let Some(named) = options.environment.get(KEY_VARIABLE).or(own) else { return Ok(None) };
    let path = match (named.strip_prefix("~/"), &options.places.home) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(&named),
    };
    if !path.is_absolute() {
        return Err(Error::new(ExitCode::Usage, format!("`{named}` names no key: a whole path, or `~/…`, is wanted")));
    }
    let agent = options.environment.get("SSH_AUTH_SOCK").map(PathBuf::from);
    let signer = Signer::read(&path, agent.as_deref())?;
    Ok(Some(signer))
}

/// The key to sign artifacts with: `None` where llmc.yaml asks for no signature, or does not require one and there is
/// no key. Asked before anything is spent.
pub(super) fn signer(session: &Session) -> Result<Option<Signer>, Error> {
    let Some(sign) = &session.options.workspace.sign else { return Ok(None) };
    let Some(signer) = key(session)? else {
        return match sign.is_required() {
            true => Err(no_key(session).hint("or `sign: { required: false }` in llmc.yaml")),
            false => Ok(None),
        };
    };
    if let Trust::Signers { signers, path, .. } = trust(session)?
        && !signers.list().iter().any(|(key, _)| key == signer.public())
    {
        let message =
            format!("your key {} is not among those that may sign, in `{path}`", signer.public().fingerprint());
        return Err(Error::new(ExitCode::Usage, message)
            .hint(format!("`llmc sign --public-key ann@example.org >> {path}`, where you are to be trusted")));
    }
    Ok(Some(signer))
}

fn no_key(session: &Session) -> Error {
    let settings = session.options.places.settings.display();
    Error::new(ExitCode::Usage, "artifacts are to be signed here, and you have named no key")
        .hint(format!("in your own settings, {settings}: `sign: {{ key: ~/.ssh/id_ed25519 }}`; or {KEY_VARIABLE}=FILE"))
}

/// Adds the envelope to an artifact's files, where it is to be signed.
pub(super) fn complete(session: &Session, name: &str, files: &mut Vec<FileText>) -> Result<(), Error> {
    if let Some(signer) = signer(session)? {
        let envelope = envelope(name, files, &signer)?;
        files.push(envelope);
    }
    Ok(())
}

/// Says that an artifact is up to date and not signed, where it has to be: a build signs only what it made.
pub(super) fn remind(session: &Session, name: &str) {
    let is_required = session.options.workspace.sign.as_ref().is_some_and(SignSettings::is_required);
    if is_required && !session.workspace.path(&paths::envelope(name)).is_file() {
        session.tell(Event::Note(format!("`{name}` is not signed: `llmc sign {name}` verifies and signs it")));
    }
}

/// The envelope of an artifact's record, as a file.
fn envelope(name: &str, files: &[FileText], signer: &Signer) -> Result<FileText, Error> {
    let record = record(name, files);
    let envelope = Envelope::sign(record, signer)?;
    Ok((paths::envelope(name), envelope.to_bytes()))
}

fn record<'a>(name: &str, files: &'a [FileText]) -> &'a [u8] {
    let path = paths::provenance(name);
    &files.iter().find(|(other, _)| *other == path).expect("an artifact has a record").1
}

/// The envelope that signs an earlier record, where these files have none: it goes.
pub(super) fn leftover(session: &Session, name: &str, files: &[FileText]) -> Vec<String> {
    let path = paths::envelope(name);
    let is_left = !files.iter().any(|(other, _)| *other == path) && session.workspace.path(&path).is_file();
    if is_left { vec![path] } else { Vec::new() }
}

/// Adds the envelope to an artifact that follows its spec to another name or place, where the record that it had was
/// signed by one who may; else it has none, as anyone may have written that record.
pub(super) fn moved(session: &Session, old: &str, name: &str, files: &mut Vec<FileText>) -> Result<(), Error> {
    if session.options.workspace.sign.is_none() {
        return Ok(());
    }
    let record = freeze::read(&session.workspace.path(&paths::provenance(old)))?.unwrap_or_default();
    let was_signed = session.workspace.path(&paths::envelope(old)).is_file()
        && examine(session, &trust(session)?, old, &unix(&record))?.0.is_none();
    if was_signed {
        complete(session, name, files)?;
    }
    if !files.iter().any(|(path, _)| *path == paths::envelope(name)) {
        session.tell(Event::Note(format!("`{name}` is not signed: `llmc sign {name}` verifies and signs it")));
    }
    Ok(())
}

/// The envelope in the last commit that these files do without.
pub(super) fn committed_leftover(repo: &Repo, name: &str, files: &[FileText]) -> Result<Vec<String>, Error> {
    let path = paths::envelope(name);
    let is_left = !files.iter().any(|(other, _)| *other == path) && repo.head_file(&path)?.is_some();
    Ok(if is_left { vec![path] } else { Vec::new() })
}

/// What is wrong with the signature of an artifact, whose record has these bytes; and what should be known of it.
pub(super) fn examine(
    session: &Session,
    trust: &Trust,
    name: &str,
    record: &[u8],
) -> Result<(Option<Difference>, Option<String>), Error> {
    let path = paths::envelope(name);
    let bytes = freeze::read(&session.workspace.path(&path))?;
    let differs = |message: String| Ok((Some(Difference { path: path.clone(), line: None, message }), None));
    let (signers, file, bytes) = match (trust, bytes) {
        (Trust::Unasked, _) | (Trust::Nobody, None) | (Trust::Signers { required: false, .. }, None) => {
            return Ok((None, None));
        }
        (Trust::Signers { path: file, .. }, None) => {
            return differs(format!(
                "is not there: `{name}` has to be signed by one of those in `{file}`; `llmc sign {name}` signs it"
            ));
        }
        (Trust::Nobody, Some(bytes)) => (None, "", bytes),
        (Trust::Signers { signers, path: file, .. }, Some(bytes)) => (Some(signers), file.as_str(), bytes),
    };
    let envelope = match Envelope::read(&unix(&bytes)) {
        Ok(envelope) => envelope,
        Err(why) => return differs(why),
    };
    if !envelope.is_of(record) {
        return differs("signs another record than the one that is there".to_owned());
    }
    match signers.map(|signers| envelope.verify(signers)) {
        None => {
            let keys = envelope.keys();
            Ok((None, Some(format!("{path}: names {keys}, and is not checked: llmc.yaml does not say who may sign"))))
        }
        Some(Ok(_)) => Ok((None, None)),
        Some(Err(why)) => differs(format!("{why} (those in `{file}` may sign)")),
    }
}

/// Adds to a replayed artifact's files the envelope that is there, which signs the same record; or signs it anew where
/// that is asked for and the record is another.
pub(super) fn replayed(session: &Session, name: &str, files: &mut Vec<FileText>) -> Result<(), Error> {
    let path = paths::envelope(name);
    let Some(bytes) = freeze::read(&session.workspace.path(&path))? else { return Ok(()) };
    let bytes = unix(&bytes);
    if Envelope::read(&bytes).is_ok_and(|envelope| envelope.is_of(record(name, files))) {
        files.push((path, bytes));
        return Ok(());
    }
    if session.options.overwrite
        && let Some(signer) = key(session)?
    {
        let envelope = envelope(name, files, &signer)?;
        files.push(envelope);
        return Ok(());
    }
    Err(Error::new(ExitCode::Difference, format!("`{path}` does not sign what the record is")).hint(format!(
        "`llmc replay {name} --overwrite` signs it, with a key that you have named; else remove the file"
    )))
}

/// An artifact that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The spec.
    pub spec: String,
    /// The envelope's path in the workspace.
    pub path: String,
    /// The fingerprint of the key.
    pub key: String,
    /// Whether it was signed so before.
    pub is_unchanged: bool,
    /// The commit made.
    pub commit: Option<String>,
}

/// Signs the artifacts of the specs that were named, or all, once they are verified.
///
/// # Errors
/// When there is no key, or llmc could not do its part. A difference is in the [`Summary`]; then nothing is signed.
pub async fn sign(session: &mut Session, named: &[String], from: &Path) -> Result<(Summary, Vec<Signed>), Error> {
    if session.options.workspace.sign.is_none() {
        return Err(Error::new(ExitCode::Usage, "artifacts are not signed here")
            .hint("in llmc.yaml: `sign: { signers: allowed_signers }`; docs/signing.md"));
    }
    let Some(signer) = signer(session)? else { return Err(no_key(session)) };
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    if let Some(repo) = &repo {
        repo.recover()?;
    }
    let _lock = build::take_lock(session)?;
    freeze::recover(&session.workspace)?;
    let summary = verify::run(session, named, from, &Trust::Unasked).await?;
    if summary.exit.is_some() {
        return Ok((summary, Vec::new()));
    }
    let specs::Found { functions, components, .. } = specs::load(session, named, from)?;
    let all = session.workspace.specs()?;
    let asked = named.iter().map(|one| specs::resolve(session, one, from, &all)).collect::<Result<Vec<_>, _>>()?;
    let mut signed = Vec::new();
    let is_asked = |path: &String| asked.is_empty() || asked.contains(path);
    for one in functions.iter().filter(|one| is_asked(&one.path)) {
        let own = [paths::code(&one.spec.name), paths::tests(&one.spec.name), paths::provenance(&one.spec.name)];
        let spec = (one.spec.name.as_str(), one.path.as_str(), one.bytes.as_slice());
        signed.push(sign_one(session, spec, &own, &one.spec.dependencies, &signer, repo.as_ref())?);
    }
    for one in components.iter().filter(|one| is_asked(&one.path)) {
        if !freeze::is_hardened(&session.workspace, &one.spec.name)? {
            // A model answers: there is nothing to sign.
            continue;
        }
        let own = [paths::code(&one.spec.name), paths::provenance(&one.spec.name)];
        let spec = (one.spec.name.as_str(), one.path.as_str(), one.bytes.as_slice());
        signed.push(sign_one(session, spec, &own, &BTreeMap::new(), &signer, repo.as_ref())?);
    }
    Ok((summary, signed))
}

/// Signs one artifact: the spec's name, path and bytes; its own files, the record the last of them.
fn sign_one(
    session: &Session,
    (name, spec_path, spec): (&str, &str, &[u8]),
    own: &[String],
    dependencies: &BTreeMap<String, Dependency>,
    signer: &Signer,
    repo: Option<&Repo>,
) -> Result<Signed, Error> {
    let mut files: Vec<FileText> = vec![(spec_path.to_owned(), spec.to_vec())];
    for path in own.iter().cloned() {
        let bytes = freeze::read(&session.workspace.path(&path))?
            .ok_or_else(|| Error::new(ExitCode::Difference, format!("`{path}` is gone")))?;
        files.push((path, unix(&bytes)));
    }
    let envelope = envelope(name, &files, signer)?;
    let is_unchanged = freeze::write(&session.workspace, std::slice::from_ref(&envelope))?.is_empty();
    let mut signed = Signed {
        spec: name.to_owned(),
        path: envelope.0.clone(),
        key: signer.public().fingerprint(),
        is_unchanged,
        commit: None,
    };
    files.push(envelope);
    let envelope = files.last().map(|(_, bytes)| bytes);
    match repo {
        Some(repo) if repo.head_file(&signed.path)?.as_ref() != envelope => {
            let text = message::signed(name, spec_path, &signed.key);
            let module = Module::new(name, dependencies, &files);
            signed.commit = build::commit_change(session, repo, &text, &files, &[], &[module])?;
        }
        None if !session.options.no_commit => {
            session.tell(Event::Note("this is no git repository: nothing is committed".to_owned()));
        }
        _ => {}
    }
    Ok(signed)
}

/// The public half of the user's key.
///
/// # Errors
/// When there is no key, or it can't be read.
pub fn public_key(session: &Session) -> Result<PublicKey, Error> {
    key(session)?.map(|signer| *signer.public()).ok_or_else(|| no_key(session))
}

/// As llmc writes it, whatever git made of the line ends.
fn unix(bytes: &[u8]) -> Vec<u8> {
    freeze::unix_lines(bytes).unwrap_or_else(|| bytes.to_vec())
}
