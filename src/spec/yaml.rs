//! YAML as a tree that knows where everything stands. The only place that reads the YAML of a spec.
//!
//! Time and memory are bounded whatever the bytes are. Anchors, aliases, tags and merge keys are refused:
//! nothing here ever expands anything.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde::{Serialize, Serializer};

use super::{Diagnostic, Severity};

/// Longest file that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of lists and mappings.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most scalars, lists and mappings in one file.
pub(crate) const MAX_NODES: usize = 100_000;
/// After so many mistakes of YAML itself the rest of the file is not looked at.
const MAX_MISTAKES: usize = 50;

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
    /// How many characters at the start of the text stand in the file just as they are: in a quoted
    /// text, up to the first escape.
    pub exact: usize,
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
    ///
    /// Where that is not known (after an escape in a quoted text, on a later line of a folded one), the
    /// text's start.
    pub fn locate(&self, line: usize, column: usize) -> (usize, usize) {
        match self.place {
            place if place.literal => (place.line + line.max(1) - 1, place.column + column.max(1) - 1),
            place if line <= 1 && column <= place.exact + 1 => (place.line, place.column + column.max(1) - 1),
            place => (place.line, place.column),
        }
    }
}

impl Serialize for Snippet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// What to underline in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// Characters, at least 1, all on that line.
    pub(crate) length: usize,
}

impl At {
    /// An error here.
    pub(crate) fn error(self, message: impl Into<String>, help: Option<String>) -> Diagnostic {
        self.diagnostic(Severity::Error, message, help)
    }

    /// A mistake here.
    pub(crate) fn diagnostic(self, severity: Severity, message: impl Into<String>, help: Option<String>) -> Diagnostic {
        let Self { line, column, length } = self;
        Diagnostic { severity, message: message.into(), line, column, length: length.max(1), help }
    }
}

/// A YAML value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it stands.
    pub(crate) at: At,
    /// What it is.
    pub(crate) value: Value,
}

impl Node {
    /// Whether there is nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if matches!(scalar.resolve(), Resolved::Null))
    }
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A text, number, truth value or nothing: see [`Scalar::resolve`].
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys with values, in the order of the file; every key is a scalar.
    Mapping(Vec<(Node, Node)>),
    /// Something that was refused, with a mistake reported already.
    Refused,
}

/// A scalar as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The decoded text and where it stands.
    pub(crate) snippet: Snippet,
    /// How it was written.
    pub(crate) style: ScalarStyle,
    /// Whether a comment follows on the same line, which cuts a plain scalar short.
    pub(crate) comment_follows: bool,
}

/// A scalar by the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Anything else, and whatever is quoted.
    Text(&'a str),
}

impl Scalar {
    /// The value by the core schema of YAML 1.2; only plain scalars are anything but text.
    pub(crate) fn resolve(&self) -> Resolved<'_> {
        let text = self.snippet.text.as_str();
        if self.style != ScalarStyle::Plain {
            return Resolved::Text(text);
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
            "true" | "True" | "TRUE" => return Resolved::Bool(true),
            "false" | "False" | "FALSE" => return Resolved::Bool(false),
            ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
            _ => {}
        }
        resolve_number(text).unwrap_or(Resolved::Text(text))
    }
}

fn resolve_number(text: &str) -> Option<Resolved<'_>> {
    if let Some(digits) = text.strip_prefix("0o") {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        return is_number.then(|| i128::from_str_radix(digits, 8).ok().map(Resolved::Int))?;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return is_number.then(|| i128::from_str_radix(digits, 16).ok().map(Resolved::Int))?;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let infinity = if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
        return Some(Resolved::Float(infinity));
    }
    let first = *unsigned.as_bytes().first()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        // Beyond i128 it is still a number, and out of every range there is.
        return text.parse().map(Resolved::Int).ok().or_else(|| text.parse().map(Resolved::Float).ok());
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    is_number.then(|| text.parse().map(Resolved::Float).ok())?
}

/// A file as far as it could be read.
#[derive(Debug)]
pub(crate) struct Document {
    /// The text without byte order mark and with `\n` for every line break; empty when it was not read.
    pub(crate) text: String,
    /// The tree; `None` when a mistake hides the rest of the file.
    pub(crate) root: Option<Node>,
    /// What YAML itself has to say.
    pub(crate) mistakes: Vec<Diagnostic>,
}

/// Reads one YAML document.
pub(crate) fn read(bytes: &[u8]) -> Document {
    let start = At { line: 1, column: 1, length: 1 };
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; a spec has at most {MAX_BYTES}", bytes.len());
        return Document { text: String::new(), root: None, mistakes: vec![start.error(message, None)] };
    }
    let decoded = match std::str::from_utf8(bytes) {
        Ok(decoded) => decoded,
        Err(error) => {
            let valid = error.valid_up_to();
            let before = normalize(&String::from_utf8_lossy(&bytes[..valid]));
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
            let message = format!("byte 0x{:02x} (byte {} of the file) is not UTF-8", bytes[valid], valid + 1);
            let help = Some("save the file as UTF-8".to_owned());
            return Document {
                text: normalize(&String::from_utf8_lossy(bytes)),
                root: None,
                mistakes: vec![At { line, column, length: 1 }.error(message, help)],
            };
        }
    };
    let text = normalize(decoded);
    let mistakes = control_characters(&text);
    if !mistakes.is_empty() {
        return Document { text, root: None, mistakes };
    }
    let mut builder = Builder::new(&text);
    let root = builder.run();
    let mistakes = builder.mistakes;
    Document { text, root, mistakes }
}

fn normalize(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// Characters that YAML does not allow, each with its place.
fn control_characters(text: &str) -> Vec<Diagnostic> {
    let is_allowed = |character: char| {
        matches!(character, '\t' | '\n')
            || !(character.is_control() || matches!(character, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
    };
    if text.chars().all(is_allowed) {
        return Vec::new();
    }
    let mut mistakes = Vec::new();
    for (line, content) in text.split('\n').enumerate() {
        for (column, character) in content.chars().enumerate().filter(|(_, character)| !is_allowed(*character)) {
            let message = format!("the character U+{:04X} is not allowed in YAML", u32::from(character));
            let help = Some(format!("inside double quotes, write `\\u{:04x}`", u32::from(character)));
            mistakes.push(At { line: line + 1, column: column + 1, length: 1 }.error(message, help));
            if mistakes.len() == MAX_MISTAKES {
                return mistakes;
            }
        }
    }
    mistakes
}

/// A list or mapping that is not closed yet.
enum Frame {
    Sequence(At, Vec<Node>),
    Mapping { at: At, entries: Vec<(Node, Node)>, seen: HashSet<String>, key: Option<Node> },
}

/// The rest of the file cannot be understood; the mistake is reported.
struct Unreadable;

struct Builder<'a> {
    text: &'a str,
    /// Byte offset of each line.
    lines: Vec<usize>,
    /// A place in the text whose byte offset is known: line (from 1), column (from 0), offset.
    /// Places are asked for in order, so finding the next from here keeps the whole linear.
    cursor: (usize, usize, usize),
    /// The last line whose indentation was looked at: line, its width, column of a tab in it.
    indentation: (usize, usize, Option<usize>),
    mistakes: Vec<Diagnostic>,
    stack: Vec<Frame>,
    nodes: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(breaks).collect(),
            cursor: (1, 0, 0),
            indentation: (0, 0, None),
            mistakes: Vec::new(),
            stack: Vec::new(),
            nodes: 0,
            root: None,
        }
    }

    fn run(&mut self) -> Option<Node> {
        let mut parser = Parser::new_from_str(self.text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    self.scan_error(*error.marker(), error.info());
                    return None;
                }
            };
            let is_end = matches!(event, Event::StreamEnd);
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 {
                    let at = At { length: 3, ..self.at(span.start, span.start) };
                    self.mistake(at, "a second YAML document begins here; a file holds one", None).ok()?;
                    return None;
                }
            }
            self.event(event, span.start, span.end).ok()?;
            if is_end {
                break;
            }
        }
        if self.root.is_none() && self.mistakes.is_empty() {
            let at = At { line: 1, column: 1, length: 1 };
            let help = Some("`llmc init` writes one to start from; docs/spec.md has the format".to_owned());
            self.mistakes.push(at.error("the file holds no spec", help));
        }
        self.root.take()
    }

    fn event(&mut self, event: Event<'_>, start: Marker, end: Marker) -> Result<(), Unreadable> {
        match event {
            Event::Alias(_) => {
                let at = self.at(start, end);
                self.refuse(at, "an alias (`*name`)", '*')?;
                self.node(Node { at, value: Value::Refused })
            }
            Event::Scalar(text, style, anchor, tag) => {
                let at = self.at(start, end);
                let is_refused = self.annotations(at, anchor, tag.is_some())?;
                let value = match is_refused {
                    true => Value::Refused,
                    false => Value::Scalar(self.scalar(&text, style, start, end)),
                };
                self.node(Node { at, value })
            }
            Event::SequenceStart(anchor, tag) => {
                let at = At { length: 1, ..self.at(start, end) };
                self.annotations(at, anchor, tag.is_some())?;
                self.open(at, Frame::Sequence(at, Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let at = At { length: 1, ..self.at(start, end) };
                self.annotations(at, anchor, tag.is_some())?;
                self.open(at, Frame::Mapping { at, entries: Vec::new(), seen: HashSet::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::Sequence(at, items)) => self.close(Node { at, value: Value::Sequence(items) }),
                Some(Frame::Mapping { at, entries, .. }) => {
                    // A block mapping has no mark of its own; its first key stands for it.
                    let at = match entries.first() {
                        Some((key, _)) if (key.at.line, key.at.column) == (at.line, at.column) => key.at,
                        _ => at,
                    };
                    self.close(Node { at, value: Value::Mapping(entries) })
                }
                None => Ok(()),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, start: Marker, end: Marker) -> Scalar {
        let (line, column) = (start.line(), start.col() + 1);
        let place = match style {
            ScalarStyle::Literal => {
                // The mark is at the first line with content; blank lines before it are part of the text.
                let blank = text.bytes().take_while(|byte| *byte == b'\n').count();
                let line = if blank == text.len() { line } else { line.saturating_sub(blank).max(1) };
                Place { line, column, literal: true, exact: 0 }
            }
            ScalarStyle::Plain | ScalarStyle::Folded => Place { line, column, literal: false, exact: 0 },
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                Place { line, column: column + 1, literal: false, exact: 0 }
            }
        };
        let source = &self.text[self.offset(place.line, place.column - 1)..];
        let exact = text.chars().zip(source.chars()).take_while(|(a, b)| a == b && *a != '\n').count();
        let comment_follows = style == ScalarStyle::Plain && {
            let rest = &self.text[self.offset(end.line(), end.col())..];
            rest.trim_start_matches([' ', '\t']).starts_with('#')
        };
        Scalar { snippet: Snippet { text: text.to_owned(), place: Place { exact, ..place } }, style, comment_follows }
    }

    /// Reports anchors and tags.
    fn annotations(&mut self, at: At, anchor: usize, has_tag: bool) -> Result<bool, Unreadable> {
        if anchor != 0 {
            self.refuse(at, "an anchor (`&name`)", '&')?;
        }
        if has_tag {
            self.refuse(at, "a tag (`!name`)", '!')?;
        }
        Ok(anchor != 0 || has_tag)
    }

    fn refuse(&mut self, at: At, what: &str, sign: char) -> Result<(), Unreadable> {
        let help = format!("write it out; or, if it is Rust that begins with `{sign}`, put it in single quotes");
        self.mistake(at, &format!("YAML takes this for {what}, which a spec may not have"), Some(help))
    }

    fn open(&mut self, at: At, frame: Frame) -> Result<(), Unreadable> {
        if self.stack.len() >= MAX_DEPTH {
            self.mistake(at, &format!("nested deeper than {MAX_DEPTH} levels"), None)?;
            return Err(Unreadable);
        }
        self.count(at)?;
        self.stack.push(frame);
        Ok(())
    }

    fn count(&mut self, at: At) -> Result<(), Unreadable> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.mistake(at, &format!("the file holds more than {MAX_NODES} values"), None)?;
            return Err(Unreadable);
        }
        if self.indentation.0 != at.line {
            let start = self.lines.get(at.line - 1).copied().unwrap_or(self.text.len());
            let blank = self.text[start..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t'));
            let (mut width, mut tab) = (0, None);
            for byte in blank {
                if byte == b'\t' && tab.is_none() {
                    tab = Some(width);
                }
                width += 1;
            }
            self.indentation = (at.line, width, tab);
        }
        if let (_, width, Some(tab)) = self.indentation
            && at.column == width + 1
        {
            let at = At { line: at.line, column: tab + 1, length: 1 };
            self.mistake(at, "a tab is used as indentation; YAML wants spaces", None)?;
        }
        Ok(())
    }

    fn node(&mut self, node: Node) -> Result<(), Unreadable> {
        self.count(node.at)?;
        self.close(node)
    }

    /// Hands a finished node to the list or mapping it is in.
    fn close(&mut self, node: Node) -> Result<(), Unreadable> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match frame {
            Frame::Sequence(_, items) => items.push(node),
            Frame::Mapping { entries, seen, key, .. } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let at = node.at;
                    let mistake = match &node.value {
                        Value::Scalar(scalar) => {
                            let name = &scalar.snippet.text;
                            if scalar.style == ScalarStyle::Plain && name == "<<" {
                                Some("merge keys (`<<`) are not allowed".to_owned())
                            } else if seen.insert(name.clone()) {
                                None
                            } else {
                                Some(format!("the key `{name}` is given twice"))
                            }
                        }
                        Value::Refused => None,
                        Value::Sequence(_) | Value::Mapping(_) => Some("a key must be a text".to_owned()),
                    };
                    // The typed reader passes over a refused key with its value.
                    *key = Some(match mistake {
                        Some(_) => Node { at, value: Value::Refused },
                        None => node,
                    });
                    if let Some(message) = mistake {
                        self.mistake(at, &message, None)?;
                    }
                }
            },
        }
        Ok(())
    }

    fn mistake(&mut self, at: At, message: &str, help: Option<String>) -> Result<(), Unreadable> {
        self.mistakes.push(at.error(message, help));
        if self.mistakes.len() >= MAX_MISTAKES { Err(Unreadable) } else { Ok(()) }
    }

    fn scan_error(&mut self, mark: Marker, info: &str) {
        let mut at = self.at(mark, mark);
        if info.contains("tab") {
            // The mark may be at the end of the line before.
            let has_tab = |line: &str| line[..line.len() - line.trim_start_matches([' ', '\t']).len()].contains('\t');
            let tabbed = self.text.split('\n').skip(at.line - 1).take(50).position(has_tab);
            at.line += tabbed.unwrap_or(0);
        }
        let quote = Some("put the whole value in single quotes, or below a `|`".to_owned());
        let line_start = self.lines.get(at.line - 1).copied().unwrap_or(self.text.len());
        let line = self.text[line_start..].split('\n').next().unwrap_or("");
        let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        let (message, help) = if let Some(tab) = indentation.find('\t') {
            at.column = tab + 1;
            ("a tab is used as indentation; YAML wants spaces".to_owned(), None)
        } else if info.contains("unknown anchor") {
            ("YAML takes this for an alias (`*name`), which a spec may not have".to_owned(), quote)
        } else if info.contains("recursion limit") {
            (format!("nested deeper than {MAX_DEPTH} levels"), None)
        } else if info.contains("mapping values are not allowed") {
            let before = line.chars().take(at.column - 1).collect::<String>();
            if before.trim().chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '-')) {
                let key = before.trim();
                at = At { line: at.line, column: at.column - key.chars().count(), length: key.chars().count() };
                let help = "check its indentation, and that the line above is complete".to_owned();
                ("this key is not expected here".to_owned(), Some(help))
            } else {
                ("YAML takes the `:` here for the end of a key".to_owned(), quote)
            }
        } else if info.contains("did not find expected key") || info.contains("did not find expected '-' indicator") {
            ("this line does not belong to what is above it".to_owned(), Some("check its indentation".to_owned()))
        } else if info.contains("trailing content after") {
            let help = "put the whole value in single quotes, with `''` for each one inside, or below a `|`".to_owned();
            ("something follows the closing quote".to_owned(), Some(help))
        } else if info.contains("unexpected end of stream") || info.contains("unclosed") {
            (format!("not YAML: {info}"), Some("a quote or bracket is left open".to_owned()))
        } else {
            (format!("not YAML: {info}"), quote)
        };
        self.mistakes.push(at.error(message, help));
    }

    /// What lies between two marks, on the first one's line, without blanks at its end.
    fn at(&mut self, start: Marker, end: Marker) -> At {
        let last = self.lines.len();
        if start.line() > last {
            // The end of the text counts as a line of its own.
            let column = self.text[self.lines[last - 1]..].chars().count() + 1;
            return At { line: last, column, length: 1 };
        }
        let (line, column) = (start.line().max(1), start.col() + 1);
        let from = self.offset(line, column - 1);
        let rest = &self.text[from..];
        let wanted = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { usize::MAX };
        let (mut length, mut trimmed) = (0, 0);
        for character in rest.chars().take_while(|character| *character != '\n').take(wanted.min(MAX_UNDERLINE)) {
            length += 1;
            if !character.is_whitespace() {
                trimmed = length;
            }
        }
        At { line, column, length: trimmed.max(1) }
    }

    /// The byte offset of a line (from 1) and column (from 0).
    fn offset(&mut self, line: usize, column: usize) -> usize {
        let Some(&line_start) = self.lines.get(line - 1) else { return self.text.len() };
        let (from_column, from) = match self.cursor {
            (at_line, at_column, offset) if at_line == line && at_column <= column => (at_column, offset),
            _ => (0, line_start),
        };
        let mut offset = from;
        let mut reached = from_column;
        for character in self.text[from..].chars() {
            if reached >= column || character == '\n' {
                break;
            }
            reached += 1;
            offset += character.len_utf8();
        }
        self.cursor = (line, reached, offset);
        offset
    }
}

/// Longest underline, in characters.
const MAX_UNDERLINE: usize = 400;
