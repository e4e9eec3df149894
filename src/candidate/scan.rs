//! Finding where an item ends in text that may go on with anything, prose included.
//!
//! Knows Rust's strings, characters, lifetimes, comments and brackets, and nothing else. Never recurses.

/// What the end of the scanned text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// All brackets, strings and comments are closed.
    Balanced,
    /// A bracket, string or comment that was opened at this offset is never closed.
    Open(usize),
    /// A closing bracket at this offset matches nothing.
    Stray(usize),
}

/// Places where an item that starts at `from` may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// Offsets just after each `;` or `}` outside of brackets, in order.
    pub(super) ends: Vec<usize>,
    /// How the scan ended.
    pub(super) state: State,
    /// How far it went.
    pub(super) reached: usize,
    /// Whether it passed a comment that documents nothing.
    pub(super) has_remarks: bool,
}

/// Scans `text` from the offset `from`, up to `limit` possible ends.
pub(super) fn scan(text: &str, from: usize, limit: usize) -> Scan {
    let bytes = text.as_bytes();
    let mut at = from;
    let mut open: Vec<(u8, usize)> = Vec::new();
    let mut ends = Vec::new();
    let has_remarks = std::cell::Cell::new(false);
    let finish =
        |ends: Vec<usize>, state: State, reached: usize| Scan { ends, state, reached, has_remarks: has_remarks.get() };
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                has_remarks.set(has_remarks.get() || is_remark(&bytes[at..]));
                at = line_end(bytes, at);
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => match comment_end(bytes, at) {
                Some(end) => {
                    has_remarks.set(has_remarks.get() || is_remark(&bytes[at..end]));
                    at = end;
                }
                None => return finish(ends, State::Open(start), bytes.len()),
            },
            b'"' => match string_end(bytes, at) {
                Some(end) => at = end,
                None => return finish(ends, State::Open(start), bytes.len()),
            },
            b'r' if !follows_word(bytes, at) && raw_hashes(bytes, at).is_some() => {
                let hashes = raw_hashes(bytes, at).unwrap_or_default();
                match raw_string_end(bytes, at + 2 + hashes, hashes) {
                    Some(end) => at = end,
                    None => return finish(ends, State::Open(start), bytes.len()),
                }
            }
            b'\'' => at = character_end(text, at),
            opening @ (b'(' | b'[' | b'{') => {
                open.push((opening, at));
                at += 1;
            }
            closing @ (b')' | b']' | b'}') => {
                let wanted = match closing {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                if open.pop().is_none_or(|(opening, _)| opening != wanted) {
                    return finish(ends, State::Stray(at), at);
                }
                at += 1;
                if closing == b'}' && open.is_empty() {
                    ends.push(at);
                }
            }
            b';' if open.is_empty() => {
                at += 1;
                ends.push(at);
            }
            _ => at += 1,
        }
        if ends.len() >= limit {
            return finish(ends, State::Balanced, at);
        }
    }
    let state = open.last().map_or(State::Balanced, |(_, at)| State::Open(*at));
    finish(ends, state, bytes.len())
}

/// Whether a comment documents nothing, as rustc sees it.
fn is_remark(comment: &[u8]) -> bool {
    let starts = |with: &str| comment.starts_with(with.as_bytes());
    let lines = starts("//!") || starts("///") && !starts("////");
    let blocks = starts("/*!") || starts("/**") && !starts("/***") && !starts("/**/");
    !lines && !blocks
}

/// Line and column (from 1, in characters) of an offset.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn comment_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => {
                depth += 1;
                at += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Whether the byte before `at` belongs to a word other than the `b` or `c` of `br"…"`.
fn follows_word(bytes: &[u8], at: usize) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => at >= 2 && word(bytes[at - 2]),
        Some(byte) => word(byte),
        None => false,
    }
}

/// The number of `#` if a raw string starts at `at`.
fn raw_hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').take(256).count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_string_end(bytes: &[u8], mut at: usize, hashes: usize) -> Option<usize> {
    while at < bytes.len() {
        if bytes[at] == b'"' && bytes[at + 1..].iter().take(hashes).filter(|byte| **byte == b'#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    None
}

/// The offset after a character literal, or after the quote of a lifetime.
fn character_end(text: &str, at: usize) -> usize {
    let mut rest = text[at + 1..].char_indices();
    match rest.next() {
        Some((_, '\\')) => {
            let bytes = text.as_bytes();
            let limit = bytes.len().min(at + 16);
            // The escaped character itself may be a quote.
            (at + 3..limit).find(|end| bytes[*end] == b'\'').map_or(at + 1, |end| end + 1)
        }
        Some((_, first)) if first != '\'' => match rest.next() {
            Some((offset, '\'')) => at + 1 + offset + 1,
            _ => at + 1,
        },
        _ => at + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Vec<&str> {
        let scan = scan(text, 0, 8);
        let mut from = 0;
        scan.ends.iter().map(|end| text[std::mem::replace(&mut from, *end)..*end].trim()).collect()
    }

    #[test]
    fn finds_the_ends_of_items_past_strings_comments_and_characters() {
        assert_eq!(ends("use a::{b}; fn f() { \"}\" } junk"), ["use a::{b}", ";", "fn f() { \"}\" }"]);
        assert_eq!(
            ends("fn f<'a>(x: &'a str) { '}'; '\\''; r#\"}\"#; /* } */ } // }"),
            ["fn f<'a>(x: &'a str) { '}'; '\\''; r#\"}\"#; /* } */ }"]
        );
    }

    #[test]
    fn tells_comments_that_document_from_those_that_do_not() {
        for (text, found) in [
            ("/// a\nfn f() { \"// b\"; \"/* c\"; }", false),
            ("//! a\n/** b */ /*! c */ fn f() {}", false),
            ("fn f() {} // a", true),
            ("//// a\nfn f() {}", true),
            ("fn f() { /* a */ }", true),
            ("fn f() { /**/ }", true),
            ("/*** a */ fn f() {}", true),
        ] {
            assert_eq!(scan(text, 0, usize::MAX).has_remarks, found, "{text}");
        }
    }

    #[test]
    fn says_where_an_open_bracket_or_string_began() {
        assert_eq!(scan("fn f() { if x {", 0, 8).state, State::Open(14));
        assert_eq!(scan("fn f() { \"abc", 0, 8).state, State::Open(9));
        assert_eq!(scan("fn f() } ", 0, 8).state, State::Stray(7));
        assert_eq!(scan("\\", 0, 8).state, State::Balanced);
    }

    #[test]
    fn never_leaves_a_character_boundary() {
        for text in ["'é'", "'\\é'", "'é", "r##\"é", "\"\\é\"", "'\\u{1F600}'", "''", "'"] {
            let scan = scan(text, 0, 8);
            assert!(scan.reached <= text.len());
        }
    }
}
