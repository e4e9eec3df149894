//! Reports: events, told to a person or to a program. With `cli`, the only place that prints.

pub mod ci;
mod difference;
mod human;
mod json;
mod verdicts;

pub use difference::{Style, code_difference, difference};
pub use human::{Human, Verbosity, certificate_rows, proposal, recorded_call};
pub use json::{Json, VERSION as JSON_VERSION};
pub use verdicts::Verdicts;

use crate::event::Event;

/// Consumes events.
pub trait Report: Send {
    /// Takes in one event, in the order in which they happened.
    fn event(&mut self, event: &Event);
}

/// A count and its noun, in the plural where it takes one: `1 sample`, `8 samples`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// How wide standard output is, in characters, where it is a terminal.
#[cfg(unix)]
pub fn terminal_width() -> Option<usize> {
    // SAFETY: all-zero is a valid `winsize`, and the call writes nothing else.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (told == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Not known here.
#[cfg(not(unix))]
pub fn terminal_width() -> Option<usize> {
    None
}

/// Control characters made visible, so that nothing a model or a stranger wrote can drive the terminal.
pub fn printable(text: &str) -> String {
    let visible = |character: char| match character {
        '\n' | '\t' => character.to_string(),
        control if control.is_control() => control.escape_default().to_string(),
        // Bidirectional overrides can make a line read as what it is not.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => character.escape_unicode().to_string(),
        other => other.to_string(),
    };
    text.chars().map(visible).collect()
}

/// Like [`printable`], and in one line: a name with a line end in it begins no line of its own.
pub fn one_line(text: &str) -> String {
    printable(&text.replace('\r', "\\r").replace('\n', "\\n"))
}

/// Like [`printable`], for text that llmc itself coloured: its own colour sequences stay.
pub fn printable_but_color(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&printable(&rest[..at]));
        let sequence = &rest[at..];
        let known = ["\u{1b}[1;31m", "\u{1b}[1;36m", "\u{1b}[0m"].into_iter().find(|known| sequence.starts_with(known));
        let length = known.map_or(1, str::len);
        match known {
            Some(known) => out.push_str(known),
            None => out.push_str(&printable(&sequence[..1])),
        }
        rest = &sequence[length..];
    }
    out.push_str(&printable(rest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n\u{202e}c"), "a\\u{1b}[31mb\n\\u{202e}c");
    }
}
