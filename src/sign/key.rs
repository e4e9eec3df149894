//! Key files: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it, and those of `ssh-keygen -t ed25519`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::{By, PublicKey, SSH_ED25519, SignError, Signer, take, take_number};

/// Longest key file that is read.
const MAX_BYTES: u64 = 64 << 10;

/// What a key file holds.
enum Held {
    Pair(Box<Ed25519KeyPair>),
    /// The public half; the private one is encrypted, or elsewhere.
    Public(PublicKey),
}

/// Reads a key file.
pub(super) fn read(path: &Path, agent: Option<&Path>) -> Result<Signer, SignError> {
    let shown = path.display().to_string();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| SignError::Unreadable { path: shown.clone(), reason: error.to_string() })?;
    match parse(&text).map_err(|reason| SignError::Unusable { path: shown.clone(), reason })? {
        Held::Pair(pair) => {
            let public = pair.public_key().as_ref().try_into().expect("a public key of Ed25519 has 32 bytes");
            Ok(Signer { public: PublicKey(public), by: By::Key(pair) })
        }
        Held::Public(public) => match agent {
            Some(socket) => Ok(Signer { public, by: By::Agent(socket.to_owned()) }),
            None => Err(SignError::Agent {
                key: public.fingerprint(),
                reason: "the key is encrypted or public, and no agent runs (SSH_AUTH_SOCK is not set)".to_owned(),
            }),
        },
    }
}

fn parse(text: &str) -> Result<Held, &'static str> {
    if let Some(bytes) = pem(text, "PRIVATE KEY") {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes.ok_or("the base64 is damaged")?);
        return Ok(Held::Pair(Box::new(pair.map_err(|_| "it is of another kind, or damaged")?)));
    }
    if let Some(bytes) = pem(text, "OPENSSH PRIVATE KEY") {
        return openssh(&bytes.ok_or("the base64 is damaged")?);
    }
    if pem(text, "ENCRYPTED PRIVATE KEY").is_some() {
        return Err("it is encrypted; an SSH key may be, since ssh-agent signs with it");
    }
    let mut words = text.split_ascii_whitespace();
    if words.next() == Some(SSH_ED25519) {
        let blob = words.next().and_then(|word| STANDARD.decode(word).ok());
        return blob.and_then(|blob| PublicKey::from_blob(&blob)).map(Held::Public).ok_or("the public key is damaged");
    }
    Err("llmc reads PKCS#8 in PEM and the keys of `ssh-keygen -t ed25519`")
}

/// What stands between the lines of PEM of this name; `None` where there are none, within it where it is no base64.
fn pem(text: &str, name: &str) -> Option<Option<Vec<u8>>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {name}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    Some(STANDARD.decode(body).ok())
}

/// The format of OpenSSH's own key files (its PROTOCOL.key).
fn openssh(bytes: &[u8]) -> Result<Held, &'static str> {
    const DAMAGED: &str = "it is damaged";
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").ok_or(DAMAGED)?;
    let mut next = || take(&mut rest);
    let (Some(cipher), Some(_kdf), Some(_options)) = (next(), next(), next()) else { return Err(DAMAGED) };
    if take_number(&mut rest) != Some(1) {
        return Err("it holds more than one key");
    }
    let public = PublicKey::from_blob(take(&mut rest).ok_or(DAMAGED)?).ok_or("it is of another kind than Ed25519")?;
    if cipher != b"none" {
        return Ok(Held::Public(public));
    }
    let mut rest = take(&mut rest).ok_or(DAMAGED)?;
    let checks = (take_number(&mut rest), take_number(&mut rest));
    let (kind, own) = (take(&mut rest), take(&mut rest));
    let private = take(&mut rest).filter(|private| private.len() == 64).ok_or(DAMAGED)?;
    if checks.0 != checks.1 || kind != Some(SSH_ED25519.as_bytes()) || own != Some(&public.0) {
        return Err(DAMAGED);
    }
    // The seed comes first, the public half once more after it.
    let pair = Ed25519KeyPair::from_seed_and_public_key(&private[..32], &public.0).map_err(|_| DAMAGED)?;
    Ok(Held::Pair(Box::new(pair)))
}
