//! Notices where a completion is over: the function has closed, the code fence has closed, or the model is in a loop.
//!
//! Works on characters as they arrive and never looks back further than a few lines. Knows just enough of Rust's
//! lexical structure not to be fooled by braces in strings, characters and comments.

use std::collections::VecDeque;

/// Longest repeating pattern that is recognised as a loop, in lines.
const LONGEST_PERIOD: usize = 4;
/// A pattern that repeats more often than this is a loop.
const MOST_REPEATS: usize = 20;

/// Longest repeating pattern within a line that is recognised as a loop, in characters, and how long it goes on then.
const LONGEST_STUTTER: usize = 8;
const LONG_STUTTER: usize = 240;

/// Why a completion is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What was begun is closed.
    Closed,
    /// The same lines come again and again.
    Loop,
}

/// A completion that grows, and when it is over.
#[derive(Debug)]
pub struct Watch {
    text: String,
    aim: Aim,
    line_start: usize,
    loops: Loops,
    stutter: Stutter,
}

#[derive(Debug)]
enum Aim {
    /// One function, whose opening ends with its `{`.
    Function(Braces),
    /// A code block that the opening began.
    Fence,
    /// Whatever the model likes.
    Free,
}

impl Watch {
    /// A completion that begins with `opening`.
    pub fn new(opening: &str) -> Self {
        let aim = if opens_function(opening) {
            let mut braces = Braces::default();
            for character in without_fence(opening).chars() {
                braces.push(character);
            }
            Aim::Function(braces)
        } else if opening.trim_start().starts_with("```") {
            Aim::Fence
        } else {
            Aim::Free
        };
        Self {
            text: opening.to_owned(),
            aim,
            line_start: opening.rfind('\n').map_or(0, |at| at + 1),
            loops: Loops::default(),
            stutter: Stutter::default(),
        }
    }

    /// Takes in what came next; after an end, what follows it is dropped.
    pub fn push(&mut self, piece: &str) -> Option<End> {
        for character in piece.chars() {
            if let Aim::Function(braces) = &mut self.aim {
                if character == '\n' && braces.is_code() && self.text[self.line_start..].trim_end() == "```" {
                    // The model left the block without closing the function: nothing good follows.
                    return Some(End::Closed);
                }
                self.text.push(character);
                if braces.push(character) {
                    return Some(End::Closed);
                }
            } else {
                self.text.push(character);
                // JSON is a single line, however long; in code there are rulers and tables.
                if matches!(self.aim, Aim::Free) && self.stutter.push(character) {
                    return Some(End::Loop);
                }
            }
            if character == '\n' {
                let line = self.text[self.line_start..].trim_end();
                if line == "```" && matches!(self.aim, Aim::Fence) && self.line_start > 0 {
                    return Some(End::Closed);
                }
                if self.loops.push(line) {
                    return Some(End::Loop);
                }
                self.line_start = self.text.len();
            }
        }
        None
    }

    /// The opening and all that came since.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Whether `opening` begins a single function, so that its closing brace ends the completion.
pub fn opens_function(opening: &str) -> bool {
    opening.trim_end().ends_with('{')
}

/// Whether a text ends in the same few characters again and again.
pub fn stutters(text: &str) -> bool {
    let start = text.char_indices().rev().take(LONG_STUTTER + LONGEST_STUTTER).last().map_or(0, |(at, _)| at);
    let mut stutter = Stutter::default();
    text[start..].chars().fold(false, |_, character| stutter.push(character))
}

fn without_fence(opening: &str) -> &str {
    match opening.trim_start().strip_prefix("```") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, code)| code),
        None => opening,
    }
}

/// The last few lines, and for each period how many times in a row a line equalled the one so far back.
#[derive(Debug, Default)]
struct Loops {
    lines: VecDeque<String>,
    runs: [usize; LONGEST_PERIOD],
}

impl Loops {
    fn push(&mut self, line: &str) -> bool {
        if line.is_empty() {
            return false;
        }
        for (back, run) in self.runs.iter_mut().enumerate() {
            *run = if self.lines.get(back).is_some_and(|earlier| earlier == line) { *run + 1 } else { 0 };
        }
        self.lines.push_front(line.to_owned());
        self.lines.truncate(LONGEST_PERIOD);
        self.runs.iter().enumerate().any(|(back, &run)| run >= MOST_REPEATS * (back + 1))
    }
}

/// The last few characters, and for each period how many in a row equalled the one so far back.
#[derive(Debug, Default)]
struct Stutter {
    last: VecDeque<char>,
    runs: [usize; LONGEST_STUTTER],
}

impl Stutter {
    fn push(&mut self, character: char) -> bool {
        for (back, run) in self.runs.iter_mut().enumerate() {
            *run = if self.last.get(back) == Some(&character) { *run + 1 } else { 0 };
        }
        self.last.push_front(character);
        self.last.truncate(LONGEST_STUTTER);
        self.runs.iter().any(|run| *run >= LONG_STUTTER)
    }
}

/// Counts braces in Rust that arrives one character at a time.
#[derive(Debug, Default)]
struct Braces {
    state: State,
    depth: usize,
    /// The identifier being read, as far as it can be a literal's prefix (`r`, `br`, `cr`).
    word: String,
    /// `#`s since a raw literal's prefix.
    hashes: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Code,
    /// After a `/`.
    Slash,
    LineComment,
    /// So deep in block comments.
    BlockComment(usize),
    /// In block comments, after a `/`.
    BlockSlash(usize),
    /// In block comments, after a `*`.
    BlockStar(usize),
    Text,
    TextEscape,
    /// In a raw string that ends with a `"` and so many `#`.
    Raw(usize),
    /// In such a string, after a `"` and the second number of `#`.
    RawEnd(usize, usize),
    /// After a `'`: a character or a lifetime.
    Quote,
    /// After a `'` and a character.
    QuoteThen(char),
    /// In a character literal that began with an escape, right after the backslash.
    CharacterEscape,
    /// Later in it.
    Character,
}

impl Braces {
    fn is_code(&self) -> bool {
        matches!(self.state, State::Code | State::Slash)
    }

    /// Takes in the next character; whether it closes the outermost brace.
    fn push(&mut self, character: char) -> bool {
        match self.state {
            State::Code => return self.code(character),
            State::Slash => match character {
                '/' => self.state = State::LineComment,
                '*' => self.state = State::BlockComment(1),
                _ => {
                    self.state = State::Code;
                    return self.code(character);
                }
            },
            State::LineComment => {
                if character == '\n' {
                    self.state = State::Code;
                }
            }
            State::BlockComment(depth) => match character {
                '/' => self.state = State::BlockSlash(depth),
                '*' => self.state = State::BlockStar(depth),
                _ => {}
            },
            State::BlockSlash(depth) => match character {
                '*' => self.state = State::BlockComment(depth + 1),
                '/' => {}
                _ => self.state = State::BlockComment(depth),
            },
            State::BlockStar(depth) => match character {
                '/' if depth == 1 => self.state = State::Code,
                '/' => self.state = State::BlockComment(depth - 1),
                '*' => {}
                _ => self.state = State::BlockComment(depth),
            },
            State::Text => match character {
                '"' => self.state = State::Code,
                '\\' => self.state = State::TextEscape,
                _ => {}
            },
            State::TextEscape => self.state = State::Text,
            State::Raw(hashes) => {
                if character == '"' {
                    self.state = if hashes == 0 { State::Code } else { State::RawEnd(hashes, 0) };
                }
            }
            State::RawEnd(hashes, seen) => {
                self.state = match character {
                    '#' if seen + 1 == hashes => State::Code,
                    '#' => State::RawEnd(hashes, seen + 1),
                    '"' => State::RawEnd(hashes, 0),
                    _ => State::Raw(hashes),
                }
            }
            State::Quote => match character {
                '\\' => self.state = State::CharacterEscape,
                '\'' => self.state = State::Code,
                _ => self.state = State::QuoteThen(character),
            },
            State::QuoteThen(first) => {
                self.state = State::Code;
                if character != '\'' {
                    // A lifetime, or a slip: what follows the quote is code.
                    return self.code(first) | self.push(character);
                }
            }
            State::CharacterEscape => self.state = State::Character,
            State::Character => {
                if character == '\'' || character == '\n' {
                    self.state = State::Code;
                }
            }
        }
        false
    }

    fn code(&mut self, character: char) -> bool {
        if character.is_alphanumeric() || character == '_' {
            if self.hashes > 0 {
                self.word.clear();
            }
            self.hashes = 0;
            // Four characters are no prefix any more, and that is all there is to know.
            if self.word.chars().count() < 4 {
                self.word.push(character);
            }
            return false;
        }
        let is_raw = matches!(self.word.as_str(), "r" | "br" | "cr");
        if character == '#' && is_raw {
            self.hashes += 1;
            return false;
        }
        let hashes = std::mem::take(&mut self.hashes);
        self.word.clear();
        match character {
            '"' => self.state = if is_raw { State::Raw(hashes) } else { State::Text },
            '\'' => self.state = State::Quote,
            '/' => self.state = State::Slash,
            '{' => self.depth += 1,
            '}' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(opening: &str, rest: &str) -> (Option<End>, String) {
        let whole = {
            let mut watch = Watch::new(opening);
            (watch.push(rest), watch.into_text())
        };
        let mut watch = Watch::new(opening);
        let end = rest.chars().find_map(|character| watch.push(&character.to_string()));
        let single = (end, watch.into_text());
        assert_eq!(whole, single, "the size of the pieces must not matter");
        whole
    }

    #[test]
    fn stops_at_the_brace_that_closes_the_function() {
        let (end, text) = ended("fn f(x: u8) -> u8 {", " if x > 1 { 2 } else { 3 } }\n\nfn main() {}");
        assert_eq!((end, text.as_str()), (Some(End::Closed), "fn f(x: u8) -> u8 { if x > 1 { 2 } else { 3 } }"));
    }

    #[test]
    fn imports_in_the_opening_do_not_close_anything() {
        let opening = "```rust\nuse std::collections::{HashMap, HashSet};\n\npub fn f() {";
        let (end, text) = ended(opening, "\n    g()\n}\n```\n");
        assert_eq!((end, text), (Some(End::Closed), format!("{opening}\n    g()\n}}")));
    }

    #[test]
    fn braces_that_are_not_code_do_not_count() {
        for body in [
            r#"let a = "}"; "#,
            r#"let a = "\"}"; "#,
            r##"let a = r"\}"; "##,
            r###"let a = r#"}"}"#; "###,
            r####"let a = br##"}"#}"##; "####,
            r#"let a = b"}\\"; let b = c"}"; "#,
            r"let a = '}'; ",
            r"let a = b'}'; ",
            r"let a = ('\'', '}', '\\', '}', '\u{7d}', '}'); ",
            "// }\n",
            "/* } /* } */ } **/ ",
            "/* // */ ",
            "let a = 4 / 2; let r = 1; ",
            "let x: &'static str = f::<'_>('x'); 'outer: loop { break 'outer; } ",
            "fn g<'a,'b>(x: &'a u8, y: &'b u8) {} ",
            "let r#type = 1; let r = r#type; ",
            r#"println!("{}", x); let var = "}"; for"}" "#,
        ] {
            let (end, text) = ended("fn f() {", &format!("{body}}} more"));
            assert_eq!((end, text), (Some(End::Closed), format!("fn f() {{{body}}}")));
        }
    }

    #[test]
    fn an_open_function_goes_on() {
        assert_eq!(ended("fn f() {", " { \" } ").0, None);
        assert_eq!(ended("fn f() {", " { } /* } ").0, None);
    }

    #[test]
    fn a_fence_inside_an_open_function_ends_it() {
        let (end, text) = ended("```rust\nfn f() {", "\n    1\n```\nThis function");
        assert_eq!((end, text.as_str()), (Some(End::Closed), "```rust\nfn f() {\n    1\n```"));
    }

    #[test]
    fn other_answers_stop_at_the_closing_fence() {
        let (end, text) = ended("```rust\n", "struct A {}\nimpl A {}\n/// ```\n```\nDone.");
        assert_eq!((end, text.as_str()), (Some(End::Closed), "```rust\nstruct A {}\nimpl A {}\n/// ```\n```\n"));
        assert_eq!(ended("", "Here:\n```\nx\n```\nand\n").0, None);
    }

    #[test]
    fn loops_are_noticed() {
        assert_eq!(ended("fn f() {\n", &"    x += 1;\n".repeat(50)).0, Some(End::Loop));
        assert_eq!(ended("fn f() {\n", &"    x += 1;\n    y();\n".repeat(50)).0, Some(End::Loop));
        assert_eq!(ended("fn f() {\n", &"    x += 1;\n".repeat(20)).0, None);
        let different: String = (0..500).map(|line| format!("    x += {line};\n")).collect();
        assert_eq!(ended("fn f() {\n", &different).0, None);
    }

    #[test]
    fn the_same_few_characters_again_and_again_are_noticed_where_the_answer_is_no_code() {
        let stuck = format!("{{\"call\": \"{}", "\\\"".repeat(200));
        let (end, text) = ended("", &stuck);
        assert!(end == Some(End::Loop) && text.len() < stuck.len(), "{end:?} {text}");
        assert!(stutters(&text) && stutters(&stuck));
        let fine = format!("{{\"ruler\": \"{}\"}}", "-".repeat(120));
        assert!(ended("", &fine).0.is_none() && !stutters(&fine));
        assert_eq!(ended("```rust\n", &"=".repeat(500)).0, None);
    }

    #[test]
    fn any_text_is_survived() {
        let pieces = ["'", "\"", "r#", "{", "}", "/*", "*/", "//", "\n", "\\", "é", "b'", "```", " "];
        let mut rng = crate::model::sampling::Rng::new(1, 1);
        for _ in 0..500 {
            let text: String = (0..60).map(|_| pieces[(rng.fraction() * pieces.len() as f64) as usize]).collect();
            ended("fn f() {", &text);
        }
    }
}
