//! Keys: where one comes from, and how it is kept out of every text.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::ModelError;

/// What is shown in a key's place.
const SHOWN: &str = "[key]";
/// Shorter ones are no secrets but words such as `none`, `EMPTY` or `ollama`, that servers without keys are given.
const SHORTEST: usize = 8;
/// Longest part of somebody else's message that is shown, in characters.
const LONGEST_SHOWN: usize = 300;
/// A longer file is not one with a key.
const LONGEST_FILE: u64 = 64 << 10;

/// The keys of a run. Shows none of them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Vec<String>>);

impl Secrets {
    /// Those of `keys` that are long enough to be keys.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Self {
        let mut keys: Vec<String> = keys.into_iter().filter(|key| key.len() >= SHORTEST).collect();
        // A key that another one begins with must not leave the rest of that standing.
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
        keys.dedup();
        Self(Arc::new(keys))
    }

    /// These and another.
    pub fn and(&self, key: &str) -> Self {
        Self::new(self.0.iter().cloned().chain([key.to_owned()]))
    }

    /// `text` without them.
    pub fn out_of(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, key| {
            if text.contains(key.as_str()) { text.replace(key.as_str(), SHOWN) } else { text }
        })
    }

    /// Somebody else's words for a message: without keys, on one line, not too long.
    pub fn shorten(&self, text: &str) -> String {
        // The keys go first: shortening could leave half of one.
        one_line(&self.out_of(text), LONGEST_SHOWN)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

/// Reads the key in `path`: one line, whatever white space is around it.
pub fn read_key(path: &Path, shown: &str) -> Result<String, ModelError> {
    let settings = |reason: String| ModelError::Settings(format!("`api_key_file` (`{shown}`): {reason}"));
    let size = std::fs::metadata(path).map_err(|error| settings(error.to_string()))?.len();
    if size > LONGEST_FILE {
        return Err(settings("it is too long to hold a key".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| settings(error.to_string()))?;
    match text.trim() {
        "" => Err(settings("it is empty".into())),
        key if key.lines().count() > 1 => Err(settings("it holds more than one line".into())),
        key => Ok(key.to_owned()),
    }
}

/// On one line, without control characters, at most so many characters.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if line.len() > longest * 4 {
            break;
        }
    }
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_out_before_a_text_is_cut() {
        let secrets = Secrets::new(["sk-canary-0123456789".to_owned(), "none".to_owned()]);
        let text = format!("{}sk-canary-0123456789 none\n\u{1b}[31mred", "x".repeat(290));
        let shown = secrets.shorten(&text);
        assert!(!shown.contains("canary") && shown.ends_with('…'), "{shown}");
        assert_eq!(secrets.shorten("a\n\n  none \t b\u{7}"), "a none b");
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }

    #[test]
    fn a_key_within_a_key_leaves_no_rest() {
        let secrets = Secrets::new(["sk-canary".to_owned()]).and("sk-canary-longer");
        assert_eq!(secrets.out_of("sk-canary-longer sk-canary"), "[key] [key]");
    }

    #[test]
    fn a_key_file_holds_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "  sk-123 \n").unwrap();
        assert_eq!(read_key(&path, "key").unwrap(), "sk-123");
        for (text, reason) in [("", "it is empty"), ("a\nb", "more than one line")] {
            std::fs::write(&path, text).unwrap();
            assert!(read_key(&path, "key").unwrap_err().to_string().contains(reason));
        }
    }
}
