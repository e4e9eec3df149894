//! Mistakes in a spec, each with its place, and how they look on a terminal.
//!
//! What is rendered holds no control character of the file: a hostile spec cannot steer a terminal.

use std::cmp::Reverse;
use std::fmt::Write as _;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The spec can't be built.
    Error,
    /// The spec can be built, and probably is not what was meant.
    Warning,
}

impl Severity {
    /// The word that opens a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One mistake and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one lower-case sentence that names the thing.
    pub message: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the file, in characters, from 1.
    pub column: usize,
    /// How many characters to underline, at least 1.
    pub length: usize,
    /// What to do about it, or "did you mean …".
    pub help: Option<String>,
}

/// All mistakes of one spec file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// The file, as the user named it.
    pub path: String,
    /// The file's text, for showing the lines; empty when it could not be read.
    pub text: String,
    /// The mistakes.
    pub list: Vec<Diagnostic>,
}

/// Widest part of a source line that is shown, in terminal columns.
const WINDOW: usize = 100;
/// Most mistakes that are shown of one file.
const MAX_SHOWN: usize = 50;
/// Longest message or help that is shown, in characters.
const MAX_MESSAGE: usize = 1000;

impl Diagnostics {
    /// No mistakes yet in the file at `path` whose text is `text`.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), list: Vec::new() }
    }

    /// Adds a mistake.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Puts the mistakes in the order of the file, and drops those said twice.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.list.dedup();
    }

    /// Whether any of them keeps the spec from being built.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them for people, as rustc shows its own; ends in a newline unless empty.
    pub fn render(&self, color: bool) -> String {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        if sorted.len() > MAX_SHOWN {
            // Errors first: a warning must not push one out.
            sorted.sort_by_key(|diagnostic| Reverse(diagnostic.severity == Severity::Error));
            sorted.truncate(MAX_SHOWN);
            sorted.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        }
        let lines: Vec<&str> = self.text.split('\n').collect();
        let mut out = String::new();
        for (index, diagnostic) in sorted.into_iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            self.render_one(&mut out, diagnostic, &lines, Paint { color });
        }
        if self.list.len() > MAX_SHOWN {
            let _ = writeln!(out, "\n… and {} more in {}", self.list.len() - MAX_SHOWN, visible(&self.path, false));
        }
        out
    }

    fn render_one(&self, out: &mut String, diagnostic: &Diagnostic, lines: &[&str], paint: Paint) {
        let word = diagnostic.severity.as_str();
        let hue = match diagnostic.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        let number = diagnostic.line.to_string();
        let margin = " ".repeat(number.len());
        let message = indent_after_first(&visible(&shorten(&diagnostic.message), true), "       ");
        let _ = writeln!(out, "{}{}", paint.with(hue, word), paint.with("1", &format!(": {message}")));
        let _ = writeln!(
            out,
            "{margin}{} {}:{}:{}",
            paint.with("1;34", "-->"),
            visible(&self.path, false),
            diagnostic.line,
            diagnostic.column
        );
        let line = diagnostic.line.checked_sub(1).and_then(|index| lines.get(index)).copied();
        if let Some(line) = line.filter(|_| !self.text.is_empty()) {
            let bar = paint.with("1;34", "|");
            let (shown, offset, width) = window(line, diagnostic.column, diagnostic.length);
            let _ = writeln!(out, "{margin} {bar}");
            let _ = writeln!(out, "{} {bar} {shown}", paint.with("1;34", &number));
            let carets = paint.with(hue, &"^".repeat(width));
            let _ = writeln!(out, "{margin} {bar} {}{carets}", " ".repeat(offset));
        }
        if let Some(help) = &diagnostic.help {
            let help = indent_after_first(&visible(&shorten(help), true), &format!("{margin}         "));
            let _ = writeln!(out, "{margin} {} {} {help}", paint.with("1;34", "="), paint.with("1;36", "help:"));
        }
    }
}

/// Adds colour, or not.
#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn indent_after_first(text: &str, margin: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{margin}"))
}

/// `text` with every character that could steer a terminal or hide itself spelled out.
fn visible(text: &str, keep_newlines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' && keep_newlines {
            out.push('\n');
        } else {
            push_visible(&mut out, character);
        }
    }
    out
}

/// Adds one character as it is shown; says how many columns it takes.
fn push_visible(out: &mut String, character: char) -> usize {
    match character {
        '\t' => {
            out.push_str("    ");
            4
        }
        _ if is_hidden(character) => {
            let spelled = format!("\\u{{{:x}}}", u32::from(character));
            out.push_str(&spelled);
            spelled.len()
        }
        _ => {
            out.push(character);
            width(character)
        }
    }
}

/// Whether a character steers a terminal, changes the direction of text, or cannot be seen.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Columns that a character takes on a terminal, near enough for carets.
fn width(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff => 0,
        0xfe00..=0xfe0f | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 => 2,
        0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1f9ff | 0x1fa70..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The part of `line` around `column` as it is shown, with the caret's offset and width in columns.
fn window(line: &str, column: usize, length: usize) -> (String, usize, usize) {
    let column = column.max(1);
    // Work on a bounded part of the line, however long it is.
    let first = column.saturating_sub(1).saturating_sub(if column > WINDOW - 30 { 40 } else { column });
    let mut shown = String::new();
    let mut columns = 0;
    if first > 0 {
        shown.push('…');
        columns = 1;
    }
    let (mut offset, mut end) = (None, None);
    let mut characters = line.chars().enumerate().skip(first).peekable();
    while let Some((index, character)) = characters.next() {
        if index + 1 == column {
            offset = Some(columns);
        }
        if index + 1 == column.saturating_add(length.max(1)) {
            end = Some(columns);
        }
        if columns >= WINDOW && (characters.peek().is_some() || columns > WINDOW) {
            shown.push('…');
            break;
        }
        columns += push_visible(&mut shown, character);
    }
    let offset = offset.unwrap_or(columns);
    let end = end.unwrap_or(columns);
    (shown.trim_end().to_owned(), offset, end.saturating_sub(offset).max(1))
}
