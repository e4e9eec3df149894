//! Signatures over provenance: Ed25519, in a DSSE envelope, by a key of the user's own.
//!
//! A key file is named by the user and read here; no key is written, printed or sent anywhere. Which keys are trusted is
//! what a file of signers says ([`Signers`]).

mod agent;
mod envelope;
mod key;
mod signers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use crate::digest::sha256;

pub use envelope::{Envelope, PAYLOAD_TYPE};
pub use signers::Signers;

/// The kind of key that there is, as SSH names it.
const SSH_ED25519: &str = "ssh-ed25519";

/// Why something can't be signed, or a file of keys can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key file can't be read.
    #[error("failed to read the signing key `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file holds no key that can sign.
    #[error("`{path}` is no Ed25519 key that can sign: {reason}")]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The key is the agent's, and it did not sign.
    #[error("ssh-agent did not sign with {key}: {reason}")]
    Agent {
        /// The key's fingerprint.
        key: String,
        /// Why.
        reason: String,
    },
    /// A line of a file of signers.
    #[error("line {line}: {reason}")]
    Signers {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// What is to be signed is too long to be read back.
    #[error("a provenance file of {0} bytes is too long to be signed")]
    TooLong(usize),
}

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key as SSH's files and its agent have it.
    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, SSH_ED25519.as_bytes());
        put(&mut blob, &self.0);
        blob
    }

    /// The key out of SSH's blob of it; `None` where that is of another kind.
    fn from_blob(blob: &[u8]) -> Option<Self> {
        let mut rest = blob;
        let kind = take(&mut rest)?;
        let key = take(&mut rest)?.try_into().ok()?;
        (kind == SSH_ED25519.as_bytes() && rest.is_empty()).then_some(Self(key))
    }

    /// Its fingerprint, as `ssh-keygen -l` prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        let hex = sha256(self.blob());
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("a digest is hex");
        let digest: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    }

    /// A line of a file of signers, for `who`.
    pub fn line(&self, who: &str) -> String {
        format!("{who} {self}")
    }

    /// Whether this key made the signature over the message.
    fn made(&self, signature: &[u8], message: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SSH_ED25519} {}", STANDARD.encode(self.blob()))
    }
}

/// A key that signs.
pub struct Signer {
    public: PublicKey,
    by: By,
}

/// Who holds the private half.
enum By {
    /// This process.
    Key(Box<Ed25519KeyPair>),
    /// ssh-agent, at this socket.
    Agent(PathBuf),
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.public.fingerprint())
    }
}

impl Signer {
    /// Reads a key file: PKCS#8 in PEM, or a key of SSH's. One that is encrypted, and a public key (`.pub`), sign by way
    /// of ssh-agent, whose socket is `agent`.
    pub fn read(path: &Path, agent: Option<&Path>) -> Result<Self, SignError> {
        key::read(path, agent)
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match &self.by {
            By::Key(pair) => pair.sign(message).as_ref().to_vec(),
            By::Agent(socket) => agent::sign(socket, &self.public, message)
                .map_err(|reason| SignError::Agent { key: self.public.fingerprint(), reason })?,
        };
        if !self.public.made(&signature, message) {
            let reason = "what it gave is no signature of it".to_owned();
            return Err(SignError::Agent { key: self.public.fingerprint(), reason });
        }
        Ok(signature)
    }
}

/// Appends a string as SSH writes one: its length, then its bytes.
fn put(blob: &mut Vec<u8>, bytes: &[u8]) {
    blob.extend(u32::try_from(bytes.len()).expect("what is sent to an agent is short").to_be_bytes());
    blob.extend(bytes);
}

/// Takes a string as SSH writes one from the front.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(rest)?;
    let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(bytes)
}

/// Takes a number as SSH writes one from the front.
fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*bytes))
}
