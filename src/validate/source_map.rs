//! Text put together from our own words and snippets of a spec, and the way back from a place in it.

use std::ops::Range;

use crate::spec::Snippet;

/// A text under construction.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    pieces: Vec<Piece>,
    snippets: Vec<Snippet>,
}

/// A run of bytes that came from a snippet.
#[derive(Debug, Clone)]
struct Piece {
    /// Bytes of the text.
    bytes: Range<usize>,
    /// Which snippet.
    snippet: usize,
    /// Where in the snippet it begins, in bytes; `None` for our own words that stand for all of it.
    from: Option<usize>,
}

/// Where the snippets of a spec stand in a text.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    /// Byte at which each line begins.
    lines: Vec<usize>,
    text: String,
    pieces: Vec<Piece>,
    snippets: Vec<Snippet>,
}

impl Text {
    /// Adds words of our own.
    pub(super) fn own(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a whole snippet, on lines of its own so that a comment in it ends with it.
    pub(super) fn snippet(&mut self, snippet: &Snippet) -> &mut Self {
        self.own("\n");
        let at = self.begin(snippet);
        self.part(at, 0..snippet.text.len());
        self.own("\n")
    }

    /// Makes a snippet known, of which parts will be added.
    pub(super) fn begin(&mut self, snippet: &Snippet) -> usize {
        self.snippets.push(snippet.clone());
        self.snippets.len() - 1
    }

    /// Adds a part of a snippet.
    pub(super) fn part(&mut self, snippet: usize, bytes: Range<usize>) {
        let start = self.text.len();
        self.text.push_str(&self.snippets[snippet].text[bytes.clone()]);
        self.pieces.push(Piece { bytes: start..self.text.len(), snippet, from: Some(bytes.start) });
    }

    /// Adds words of our own; mistakes in them are mistakes in the snippet.
    pub(super) fn stand_in(&mut self, words: &str, snippet: &Snippet) -> &mut Self {
        let (start, snippet) = (self.text.len(), self.begin(snippet));
        self.text.push_str(words);
        self.pieces.push(Piece { bytes: start..self.text.len(), snippet, from: None });
        self
    }

    /// The text and the way back.
    pub(super) fn finish(self) -> (String, SourceMap) {
        let breaks = self.text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        let map = SourceMap { lines, text: self.text.clone(), pieces: self.pieces, snippets: self.snippets };
        (self.text, map)
    }
}

impl SourceMap {
    /// The line and column in the spec's file of a place in the text (all in characters, from 1).
    ///
    /// `None` when the place is not in a snippet, or the snippet in no file.
    pub fn locate(&self, line: usize, column: usize) -> Option<(usize, usize)> {
        let (piece, byte) = self.piece(line, column)?;
        let snippet = &self.snippets[piece.snippet];
        let before = piece.from.map_or("", |from| &snippet.text[..from + (byte - piece.bytes.start)]);
        let line = before.matches('\n').count() + 1;
        let column = before[before.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1;
        Some(snippet.locate(line, column)).filter(|(line, _)| *line > 0)
    }

    /// For a place in words that stand for a snippet: how long its first line is.
    pub(super) fn stands_for(&self, line: usize, column: usize) -> Option<usize> {
        let (piece, _) = self.piece(line, column).filter(|(piece, _)| piece.from.is_none())?;
        Some(self.snippets[piece.snippet].text.lines().next().unwrap_or_default().chars().count())
    }

    fn piece(&self, line: usize, column: usize) -> Option<(&Piece, usize)> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let rest = &self.text[start..];
        let byte = start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        let mut pieces = self.pieces.iter();
        let inside = pieces.find(|piece| piece.bytes.contains(&byte));
        let piece = inside.or_else(|| self.pieces.iter().find(|piece| piece.bytes.end == byte))?;
        Some((piece, byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Place;

    #[test]
    fn a_place_in_a_snippet_is_found_in_the_file_and_others_are_not() {
        let mut text = Text::default();
        let block =
            Snippet { text: "é(1)\n  x".into(), place: Place { line: 7, column: 5, literal: true, exact: 99 } };
        text.own("fn f() {").snippet(&block).own("}");
        let (source, map) = text.finish();
        assert_eq!(source, "fn f() {\né(1)\n  x\n}");
        assert_eq!(map.locate(2, 2), Some((7, 6)));
        assert_eq!(map.locate(3, 3), Some((8, 7)));
        assert_eq!(map.locate(1, 1), None);
        assert_eq!(map.locate(9, 1), None);
    }
}
