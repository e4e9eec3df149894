//! YAML as a tree that knows where everything stands. The only place that reads YAML text.

use serde::{Serialize, Serializer};

/// Where a piece of text stands in its YAML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line of the text's first character, from 1.
    pub line: usize,
    /// Column of the text's first character, in characters, from 1.
    pub column: usize,
    /// Whether line `n` of the text stands on line `line + n` of the file, as in a literal block
    /// (`|`); each then begins at `column`. Otherwise only the first line's place is known.
    pub literal: bool,
}

/// A piece of text, mostly Rust, and where it stands in the YAML file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snippet {
    /// The text itself, as YAML decodes it.
    pub text: String,
    /// Where it stands; not part of the canonical form.
    pub place: Place,
}

impl Snippet {
    /// A text that stands in no file.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: Place::default() }
    }

    /// The line and column in the file of the character at `line` and `column` of the text (all from 1).
    pub fn locate(&self, line: usize, column: usize) -> (usize, usize) {
        match self.place {
            place if place.literal => (place.line + line - 1, place.column + column - 1),
            place if line == 1 => (place.line, place.column + column - 1),
            place => (place.line, place.column),
        }
    }
}

impl Serialize for Snippet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
