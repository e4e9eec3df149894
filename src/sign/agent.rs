//! ssh-agent: asks it for one signature. The private key stays where it is.

use std::path::Path;

use super::{PublicKey, SSH_ED25519, put, take};

/// The agent's numbers for what is asked and answered.
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// What is sent for a signature over `message`.
fn request(key: &PublicKey, message: &[u8]) -> Vec<u8> {
    let mut body = vec![SIGN_REQUEST];
    put(&mut body, &key.blob());
    put(&mut body, message);
    body.extend([0; 4]);
    let mut framed = Vec::new();
    put(&mut framed, &body);
    framed
}

/// The signature in what came back.
fn signature(answer: &[u8]) -> Result<Vec<u8>, String> {
    let refused = || "it does not hold that key, or refuses to use it (`ssh-add FILE` gives it to it)".to_owned();
    let Some((&SIGN_RESPONSE, mut rest)) = answer.split_first() else { return Err(refused()) };
    let read = || {
        let mut blob = take(&mut rest)?;
        (take(&mut blob)? == SSH_ED25519.as_bytes()).then(|| take(&mut blob).map(<[u8]>::to_vec))?
    };
    let mut read = read;
    read().ok_or_else(|| "its answer can't be read".to_owned())
}

#[cfg(unix)]
pub(super) fn sign(socket: &Path, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, String> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// A person may have to say yes.
    const LIMIT: Duration = Duration::from_secs(60);
    const LONGEST: u32 = 4096;

    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.write_all(&request(key, message))?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length).min(LONGEST);
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    signature(&ask().map_err(|error| format!("no answer at `{}`: {error}", socket.display()))?)
}

#[cfg(not(unix))]
pub(super) fn sign(_: &Path, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, String> {
    let _ = request(key, message);
    signature(&[]).map_err(|_| "llmc reaches no agent on this system".to_owned())
}
