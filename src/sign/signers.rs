//! Who may sign: a file of the form that git and `ssh-keygen` call allowed signers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{PublicKey, SSH_ED25519, SignError};

/// What a key may be restricted to sign; a line without it may sign everything.
const NAMESPACE: &str = "llmc";
/// Kinds of keys that stand in such files for others, and never sign for llmc.
const OTHERS: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// Keys, each with whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers(Vec<(PublicKey, String)>);

impl Signers {
    /// Reads a file: in each line whose key it is, maybe options, the kind of key, and the key. Lines with keys of other
    /// kinds, or for other purposes (`namespaces`), are passed over; what is not understood is an error, since it might
    /// have said that a key is not to be trusted.
    pub fn read(text: &str) -> Result<Self, SignError> {
        let mut list = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = signer(line).map_err(|reason| SignError::Signers { line: index + 1, reason })?;
            list.extend(signer);
        }
        Ok(Self(list))
    }

    /// The keys, each with whose it is.
    pub fn list(&self) -> &[(PublicKey, String)] {
        &self.0
    }
}

fn signer(line: &str) -> Result<Option<(PublicKey, String)>, String> {
    let mut words = words(line)?.into_iter();
    let who = words.next().unwrap_or_default();
    let mut word = words.next().ok_or("`WHO ssh-ed25519 KEY` is wanted")?;
    let mut is_for_us = true;
    if !OTHERS.iter().any(|kind| word.starts_with(kind)) {
        for option in options(&word) {
            match option.split_once('=') {
                Some((name, list)) if name.eq_ignore_ascii_case("namespaces") => {
                    is_for_us = list.trim_matches('"').split(',').any(|one| one == NAMESPACE || one == "*");
                }
                _ => return Err(format!("llmc does not know the option `{option}`")),
            }
        }
        word = words.next().ok_or("no key after the options")?;
    }
    if word != SSH_ED25519 {
        let is_other = OTHERS.iter().any(|kind| word.starts_with(kind));
        return if is_other { Ok(None) } else { Err(format!("`{word}` is no kind of key")) };
    }
    let blob = words.next().and_then(|word| STANDARD.decode(word).ok());
    let key = blob.and_then(|blob| PublicKey::from_blob(&blob)).ok_or("the key is damaged")?;
    Ok(is_for_us.then_some((key, who)))
}

/// The words of a line; between quotes a blank is part of one.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for char in line.chars() {
        match char {
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => words.push(String::new()),
            _ => {}
        }
        if is_quoted || !matches!(char, ' ' | '\t') {
            words.last_mut().expect("there is a word from the beginning").push(char);
        }
    }
    if is_quoted {
        return Err("a quote is not closed".to_owned());
    }
    words.retain(|word| !word.is_empty());
    Ok(words)
}

/// The options in a word: parted by commas, but not by those between quotes.
fn options(word: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut is_quoted = false;
    for char in word.chars() {
        match char {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                options.push(String::new());
                continue;
            }
            _ => {}
        }
        options.last_mut().expect("there is one from the beginning").push(char);
    }
    options
}
