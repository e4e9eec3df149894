//! Two programs held against each other, for a person to read: what they do, what changed as a whole, how long they
//! take, and their text. Pure: text in, text out.

use similar::{ChangeTag, DiffTag, TextDiff};

use super::{count, printable};
use crate::behaviour::{Behaviours, Origin, Time};
use crate::driver::{Compared, Ran, Side, Structure};
use crate::stats::wilson;

/// From this width on, old and new stand side by side.
const WIDE: usize = 160;
/// Lines shown around what changed.
const CONTEXT: usize = 3;
/// Longest outcome or call that is shown, in characters.
const LONGEST: usize = 400;
/// How wide labels are, and lines of prose.
const LABEL: usize = 10;
const LINE: usize = 100;
/// Most inputs shown in a line of their own.
const SHOWN: usize = 12;

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const CYAN: &str = "\u{1b}[36m";
const REVERSED: &str = "\u{1b}[7m";
const UPRIGHT: &str = "\u{1b}[27m";
const RESET: &str = "\u{1b}[0m";

/// How to write it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Whether with colour: then the words that changed within a line stand out.
    pub color: bool,
    /// How wide the terminal is, where it is one.
    pub width: Option<usize>,
}

impl Style {
    fn paint(self, color: &str, text: &str) -> String {
        if self.color { format!("{color}{text}{RESET}") } else { text.to_owned() }
    }
}

/// All that was found of two programs.
pub fn difference(compared: &Compared, style: Style) -> String {
    let (old, new) = (printable(&compared.old.label), printable(&compared.new.label));
    let title = format!("{}: {old} -> {new}", compared.spec);
    let mut text = format!("{}\n", style.paint(BOLD, &title));
    if compared.spec_changed {
        text += "  the spec changed as well; both are held against the newer one\n";
    }
    text += &behaviour(compared, style);
    if let Some(structure) = &compared.structure {
        text += &whole(structure, style);
    }
    if let Some((old, new)) = &compared.times {
        text += &times(old, new, style);
    }
    text += "\n";
    text += &code(compared, style);
    text
}

fn head(style: Style, label: &str) -> String {
    style.paint(CYAN, &format!("{label:<LABEL$}"))
}

fn behaviour(compared: &Compared, style: Style) -> String {
    let head = head(style, "behaviour");
    match &compared.ran {
        Ran::No => String::new(),
        Ran::SameProgram => format!("{head}the same program, but for layout and comments\n"),
        Ran::Cannot(why) => format!("{head}not compared: {}\n", printable(why)),
        Ran::Both(behaviours) => head + &both(compared, behaviours, style),
    }
}

fn both(compared: &Compared, behaviours: &Behaviours, style: Style) -> String {
    let coverage = &behaviours.coverage;
    let mut text = if behaviours.are_alike() {
        let prose = wrapped(&format!("no difference found: {}", coverage.sentence()));
        prose.trim_start().to_owned()
    } else if coverage.drawn > 0 && coverage.drawn_apart > 0 {
        let (low, high) = wilson(coverage.drawn_apart, coverage.drawn);
        format!(
            "they part on {} of {} inputs drawn at random ({:.1}%, 95% interval {:.1}% to {:.1}%)\n",
            coverage.drawn_apart,
            coverage.drawn,
            100.0 * coverage.drawn_apart as f64 / coverage.drawn as f64,
            100.0 * low,
            100.0 * high,
        )
    } else {
        let apart = behaviours.observations.iter().filter(|observation| observation.is_split()).count();
        let drawn = match coverage.drawn {
            0 => String::new(),
            drawn => format!(", on none of {drawn} drawn at random"),
        };
        format!("they part on {apart} of {} inputs{drawn}\n", coverage.inputs)
    };
    let labels = [printable(&compared.old.label), printable(&compared.new.label)];
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    for split in behaviours.splits.iter().take(SHOWN) {
        text += &format!("\n    {}\n", style.paint(BOLD, &short(&split.call)));
        for ((label, class), color) in labels.iter().zip(&split.classes).zip([RED, GREEN]) {
            let outcome = short(&split.outcomes[*class].text);
            text += &format!("      {label:width$}  {}\n", style.paint(color, &outcome));
        }
        if split.origin == Origin::Example {
            text += "      the spec shows this call\n";
        }
    }
    if !behaviours.splits.is_empty() {
        text.push('\n');
    }
    let mut note = |note: String| text += &wrapped(&printable(&note));
    for (function, reason) in &coverage.not_called {
        note(format!("`{function}` was not called with inputs of llmc's own: {reason}"));
    }
    for precondition in &coverage.preconditions {
        note(format!(
            "inputs are those for which `{precondition}` holds, as a property assumes ({} passed over)",
            coverage.ruled_out
        ));
    }
    for one in &coverage.notes {
        note(one.clone());
    }
    text
}

/// Text below a label, in lines that fit a terminal.
fn wrapped(text: &str) -> String {
    let mut all = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE - LABEL {
            all += &format!("{:LABEL$}{line}\n", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    all + &format!("{:LABEL$}{line}\n", "")
}

fn short(text: &str) -> String {
    let text = printable(text).replace('\n', "\\n");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn whole(structure: &Structure, style: Style) -> String {
    let mut text = String::new();
    for (before, after) in &structure.signatures {
        text += &format!("{}{}\n", head(style, "signature"), style.paint(RED, &printable(before)));
        text += &format!("          {}\n", style.paint(GREEN, &printable(after)));
    }
    let mut parts = Vec::new();
    for (what, items) in [("added", &structure.added), ("removed", &structure.removed), ("changed", &structure.changed)]
    {
        if !items.is_empty() {
            parts.push(format!("{what} {}", printable(&items.join(", "))));
        }
    }
    if parts.is_empty() {
        parts.push("every item is the same".to_owned());
    }
    let ((old_lines, new_lines), (old_bytes, new_bytes)) = (structure.lines, structure.bytes);
    text += &format!("{}{}\n", head(style, "structure"), parts.join("; "));
    text + &format!(
        "{}{old_lines} -> {new_lines} lines, {old_bytes} -> {new_bytes} bytes of source\n",
        head(style, "size")
    )
}

fn times(old: &Time, new: &Time, style: Style) -> String {
    let verdict = match new.ratio_to(old) {
        Some(ratio) if ratio < 1.0 => format!("the new one takes {ratio:.2} times as long"),
        Some(ratio) => format!("the new one takes {ratio:.1} times as long"),
        None => "no difference that could be measured".to_owned(),
    };
    let one = |time: &Time| format!("{} ({} to {})", nanos(time.median), nanos(time.low), nanos(time.high));
    let measured = format!(
        "{} -> {} of CPU a call in a release build, with what passing arguments and result takes; {}",
        one(old),
        one(new),
        count(old.inputs, "different input"),
    );
    format!("{}{verdict}\n{}", head(style, "time"), wrapped(&measured))
}

fn nanos(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 1e3 => format!("{nanos:.0} ns"),
        nanos if nanos < 1e6 => format!("{:.2} µs", nanos / 1e3),
        nanos => format!("{:.2} ms", nanos / 1e6),
    }
}

/// A line of a difference.
struct Line {
    tag: ChangeTag,
    /// Its number from 1, in the old text and in the new one.
    old: Option<usize>,
    new: Option<usize>,
    /// Its parts, each with whether it is what changed.
    parts: Vec<(bool, String)>,
}

impl Line {
    /// The line, without what ends it.
    fn plain(&self) -> String {
        self.parts.iter().map(|(_, part)| part.as_str()).collect()
    }

    /// The line in a colour that is set already.
    fn painted(&self) -> String {
        let mut text = String::new();
        for (is_changed, part) in &self.parts {
            match is_changed {
                true => text += &format!("{REVERSED}{part}{UPRIGHT}"),
                false => text += part,
            }
        }
        text + RESET
    }
}

fn lines(diff: &TextDiff<'_, '_, str>, op: &similar::DiffOp) -> Vec<Line> {
    let line = |change: similar::InlineChange<'_, str>| {
        let mut parts: Vec<(bool, String)> = Vec::new();
        for (is_changed, part) in change.iter_strings_lossy() {
            let part = printable(part.trim_end_matches(['\n', '\r']));
            match parts.last_mut() {
                Some((known, text)) if *known == is_changed => text.push_str(&part),
                _ => parts.push((is_changed, part)),
            }
        }
        // Where all of it changed nothing in it stands out.
        if parts.iter().all(|(is_changed, _)| *is_changed) {
            parts.iter_mut().for_each(|(is_changed, _)| *is_changed = false);
        }
        let (old, new) = (change.old_index().map(|at| at + 1), change.new_index().map(|at| at + 1));
        Line { tag: change.tag(), old, new, parts }
    };
    diff.iter_inline_changes(op).map(line).collect()
}

fn code(compared: &Compared, style: Style) -> String {
    let path = crate::workspace::paths::code(&compared.spec);
    let side = |side: &'_ Side| (side.label.clone(), side.source.clone());
    code_difference(&path, side(&compared.old), side(&compared.new), style)
}

/// Two versions of the file at `path`, each with what it is called and its text, if there is one.
pub fn code_difference(
    path: &str,
    (old_label, old): (String, Option<String>),
    (new_label, new): (String, Option<String>),
    style: Style,
) -> String {
    let (old_text, new_text) = (old.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default());
    if old_text == new_text {
        return "the text is the same\n".to_owned();
    }
    match style.width {
        Some(width) if width >= WIDE => beside(old_text, new_text, width, style),
        _ => {
            let name = |label: &str, source: &Option<String>| match source {
                Some(_) => format!("{path} ({})", printable(label)),
                None => "/dev/null".to_owned(),
            };
            let head = format!("--- {}\n+++ {}\n", name(&old_label, &old), name(&new_label, &new));
            let head: String = head.lines().map(|line| style.paint(BOLD, line) + "\n").collect();
            head + &unified(old_text, new_text, style)
        }
    }
}

/// As `diff -u` has it.
pub(super) fn unified(old: &str, new: &str, style: Style) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = String::new();
    for group in diff.grouped_ops(CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let range = |start: usize, end: usize| match end - start {
            0 => format!("{start},0"),
            1 => format!("{}", start + 1),
            count => format!("{},{count}", start + 1),
        };
        let (before, after) = (
            range(first.old_range().start, last.old_range().end),
            range(first.new_range().start, last.new_range().end),
        );
        text += &format!("{}\n", style.paint(CYAN, &format!("@@ -{before} +{after} @@")));
        for line in group.iter().flat_map(|op| lines(&diff, op)) {
            let (mark, color) = match line.tag {
                ChangeTag::Equal => (' ', ""),
                ChangeTag::Delete => ('-', RED),
                ChangeTag::Insert => ('+', GREEN),
            };
            match style.color && !color.is_empty() {
                true => text += &format!("{color}{mark}{}\n", line.painted()),
                false => text += &format!("{mark}{}\n", line.plain()),
            }
        }
    }
    text
}

/// Old and new side by side. Long lines go on below.
fn beside(old: &str, new: &str, width: usize, style: Style) -> String {
    let diff = TextDiff::from_lines(old, new);
    let column = (width - 3) / 2;
    let mut text = String::new();
    for (number, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if number > 0 {
            text += &format!("{}\n", style.paint(CYAN, &"·".repeat(width.min(2 * column + 3))));
        }
        for op in group {
            let lines = lines(&diff, op);
            let (left, right): (Vec<&Line>, Vec<&Line>) = match op.tag() {
                DiffTag::Equal => (lines.iter().collect(), lines.iter().collect()),
                _ => {
                    let of = |tag: ChangeTag| lines.iter().filter(|line| line.tag == tag).collect();
                    (of(ChangeTag::Delete), of(ChangeTag::Insert))
                }
            };
            for at in 0..left.len().max(right.len()) {
                let cell = |line: Option<&&Line>, is_old: bool| match line {
                    None => Vec::new(),
                    Some(line) => {
                        let number = if is_old { line.old } else { line.new };
                        cells(line, number.unwrap_or_default(), column, style)
                    }
                };
                let (left, right) = (cell(left.get(at), true), cell(right.get(at), false));
                let gap = match op.tag() {
                    DiffTag::Equal => "   ",
                    _ => " | ",
                };
                for row in 0..left.len().max(right.len()) {
                    let blank = " ".repeat(column);
                    let left = left.get(row).unwrap_or(&blank);
                    let right = right.get(row).map_or("", String::as_str);
                    text += format!("{left}{gap}{right}").trim_end();
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// A line in a column, in as many rows as it takes: each exactly as wide as the column.
fn cells(line: &Line, number: usize, column: usize, style: Style) -> Vec<String> {
    let color = match line.tag {
        ChangeTag::Equal => "",
        ChangeTag::Delete => RED,
        ChangeTag::Insert => GREEN,
    };
    let room = column - 5;
    let letters: Vec<(bool, char)> = line
        .parts
        .iter()
        .flat_map(|(is_changed, part)| part.chars().map(move |letter| (*is_changed, letter)))
        // A tab is as wide as the place it stands in; here it is four.
        .flat_map(|(is_changed, letter)| match letter {
            '\t' => vec![(is_changed, ' '); 4],
            letter => vec![(is_changed, letter)],
        })
        .collect();
    let mut rows = Vec::new();
    let chunks: Vec<&[(bool, char)]> = if letters.is_empty() { vec![&[]] } else { letters.chunks(room).collect() };
    for (row, chunk) in chunks.into_iter().enumerate() {
        let mut text = if row == 0 { format!("{number:>4} ") } else { " ".repeat(5) };
        if style.color {
            text += color;
        }
        let mut is_reversed = false;
        for (is_changed, letter) in chunk {
            if *is_changed != is_reversed && style.color {
                text += if *is_changed { REVERSED } else { UPRIGHT };
                is_reversed = *is_changed;
            }
            text.push(*letter);
        }
        if style.color && (!color.is_empty() || is_reversed) {
            text += RESET;
        }
        text += &" ".repeat(room - chunk.len());
        rows.push(text);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "fn f() {\n    let x = one(1);\n    x\n}\n";
    const NEW: &str = "fn f() {\n    let x = two(1);\n    x\n}\n";

    #[test]
    fn the_words_that_changed_stand_out_in_colour_and_nothing_is_added_without() {
        let plain = unified(OLD, NEW, Style::default());
        assert_eq!(plain, "@@ -1,4 +1,4 @@\n fn f() {\n-    let x = one(1);\n+    let x = two(1);\n     x\n }\n");
        let painted = unified(OLD, NEW, Style { color: true, width: None });
        assert!(painted.contains("let x = \u{1b}[7m"), "{painted:?}");
        assert!(!painted.contains("\u{1b}[7m    let"), "{painted:?}");
    }

    #[test]
    fn side_by_side_every_row_has_the_columns_where_they_belong() {
        let old = OLD.replace("one", &"long".repeat(40));
        let text = beside(&old, NEW, 160, Style::default());
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows.iter().all(|row| row.chars().count() <= 160), "{text}");
        assert_eq!(rows[0].find("fn f()"), Some(5));
        assert_eq!(rows[0].rfind("fn f()"), Some(78 + 3 + 5));
        assert!(rows[1].contains(" | ") && rows[2].contains("long"), "{text}");
    }

    #[test]
    fn what_a_model_wrote_does_not_drive_the_terminal() {
        let text = unified("", "\u{1b}[31mx\u{202e}\n", Style::default());
        assert_eq!(text, "@@ -0,0 +1 @@\n+\\u{1b}[31mx\\u{202e}\n");
    }
}
