//! The envelope: DSSE, as in-toto's tools read it. Its payload is the provenance file, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{PublicKey, SignError, Signer, Signers};

/// What the payload is.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Longest payload; an envelope around it is still read.
const MAX_PAYLOAD: usize = 11 << 20;

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    /// Says which key it claims to be of; it proves nothing.
    keyid: String,
    sig: String,
}

/// What a signature covers: DSSE's pre-authentication encoding.
pub(super) fn covered(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut covered = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    covered.extend(payload);
    covered
}

impl Envelope {
    /// Signs a provenance file.
    pub fn sign(payload: &[u8], signer: &Signer) -> Result<Self, SignError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(SignError::TooLong(payload.len()));
        }
        let signature = signer.sign(&covered(PAYLOAD_TYPE, payload))?;
        Ok(Self {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { keyid: signer.public().fingerprint(), sig: STANDARD.encode(signature) }],
        })
    }

    /// The file's bytes: the same for the same envelope, with a newline at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("an envelope holds only strings");
        bytes.push(b'\n');
        bytes
    }

    /// Reads what [`Envelope::to_bytes`] wrote; the file may come from anyone. In words why not.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let envelope: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("is no envelope of llmc's: {error}"))?;
        if envelope.to_bytes() != bytes {
            return Err("is not as llmc writes it: it was changed after it was signed".to_owned());
        }
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(format!("its payload is not `{PAYLOAD_TYPE}`"));
        }
        Ok(envelope)
    }

    /// Whether this is what it signs.
    pub fn is_of(&self, payload: &[u8]) -> bool {
        STANDARD.encode(payload) == self.payload
    }

    /// The keys that it claims to be signed by.
    pub fn keys(&self) -> String {
        self.signatures.iter().map(|one| one.keyid.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Who of `signers` signed it; in words why nobody did.
    pub fn verify<'a>(&self, signers: &'a Signers) -> Result<&'a str, String> {
        let Ok(payload) = STANDARD.decode(&self.payload) else { return Err("its payload is no base64".to_owned()) };
        let covered = covered(&self.payload_type, &payload);
        for one in &self.signatures {
            let Ok(signature) = STANDARD.decode(&one.sig) else { continue };
            let made = |(key, _): &&(PublicKey, String)| key.made(&signature, &covered);
            if let Some((_, who)) = signers.list().iter().find(made) {
                return Ok(who);
            }
        }
        let claims = |(key, _): &(PublicKey, String)| {
            let fingerprint = key.fingerprint();
            self.signatures.iter().any(|one| one.keyid == fingerprint)
        };
        Err(match signers.list().iter().find(|one| claims(one)) {
            Some((_, who)) => format!("its signature is not one that the key of {who} made"),
            None if self.signatures.is_empty() => "nobody signed it".to_owned(),
            None => format!("is signed by a key that is not among the signers: {}", self.keys()),
        })
    }
}
