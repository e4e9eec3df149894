//! Changing a spec's file as a person would: comments, order, quoting and line ends of the rest stay as they are.
//!
//! Text is put in at a likely place and the result is read again: it is taken only when it says what was wanted and
//! nothing else, so that no guess about YAML's layout can spoil a file.

use super::yaml::{self, Node, Value};
use super::{Example, Expect, Property, Snippet, Spec, parse};

/// The spec file `text` with an example more, or `None` where it can't be put in without touching the rest.
///
/// `note` becomes a comment above it, in one line.
pub fn with_example(text: &str, stem: &str, example: &Example, note: Option<&str>) -> Option<String> {
    let (mut wanted, _) = parse(stem, stem, text.as_bytes()).ok()?;
    wanted.examples.push(example.clone());
    with_item(text, stem, "examples", &fields(example), note, &wanted)
}

/// The spec file `text` with a property more, or `None` where it can't be put in without touching the rest.
///
/// `note` becomes a comment above it, in one line.
pub fn with_property(text: &str, stem: &str, property: &Property, note: Option<&str>) -> Option<String> {
    let (mut wanted, _) = parse(stem, stem, text.as_bytes()).ok()?;
    wanted.properties.push(property.clone());
    let variables = property.forall.iter().map(|(name, ty)| format!("{name}: {}", scalar(&ty.text)));
    let forall = format!("{{ {} }}", variables.collect::<Vec<_>>().join(", "));
    let mut fields = vec![("name", scalar(&property.name)), ("forall", forall)];
    fields.extend(property.assume.as_ref().map(|assume| ("assume", scalar(&assume.text))));
    fields.push(("holds", scalar(&property.holds.text)));
    if property.hidden {
        fields.push(("hidden", "true".to_owned()));
    }
    with_item(text, stem, "properties", &fields, note, &wanted)
}

/// The spec file `text` with another `assume` in a property that has one, or `None` where it can't be put in without
/// touching the rest: it has to stand on a line of its own, as [`with_property`] writes it.
pub fn with_assume(text: &str, stem: &str, property: &str, assume: &str) -> Option<String> {
    let (mut wanted, _) = parse(stem, stem, text.as_bytes()).ok()?;
    let changed = wanted.properties.iter_mut().find(|known| known.name == property)?;
    let old = changed.assume.replace(Snippet::new(assume))?;
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let line = lines.get_mut(old.place.line.checked_sub(1)?)?;
    let at = line.rfind(&scalar(&old.text))?;
    line.replace_range(at..at + scalar(&old.text).len(), &scalar(assume));
    Some(lines.concat()).filter(|new| says(new, stem, &wanted))
}

/// Whether a spec file says this, and nothing else.
fn says(text: &str, stem: &str, wanted: &Spec) -> bool {
    parse(stem, stem, text.as_bytes()).is_ok_and(|(spec, _): (Spec, _)| spec.canonical() == wanted.canonical())
}

/// `text` with an item more in the list of `list`, so that it says what is `wanted`.
fn with_item(
    text: &str,
    stem: &str,
    list: &str,
    fields: &[(&str, String)],
    note: Option<&str>,
    wanted: &Spec,
) -> Option<String> {
    let is_wanted = |new: &String| says(new, stem, wanted);
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let printable =
        |note: &str| note.chars().filter(|one| is_printable(*one) || one.is_whitespace()).collect::<String>();
    let note = note.map(|note| printable(note).split_whitespace().collect::<Vec<_>>().join(" "));
    let block = |indent: &str| {
        let mut out = note.as_ref().map(|note| format!("{indent}# {note}{end}")).unwrap_or_default();
        for (at, (key, value)) in fields.iter().enumerate() {
            let dash = if at == 0 { "- " } else { "  " };
            out.push_str(&format!("{indent}{dash}{key}: {value}{end}"));
        }
        out
    };
    let flow = || {
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        format!("{{ {} }}", fields.join(", "))
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at_line = |line: usize, inserted: &str| {
        let before = lines[..line].concat();
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { end };
        format!("{before}{gap}{inserted}{}", lines[line..].concat())
    };
    let root = yaml::read(text.as_bytes()).root?;
    let Value::Mapping(entries) = &root.value else { return None };
    let Some(own) = entries.iter().position(|(key, _)| is_key(key, list)) else {
        let last = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
        return Some(at_line(last, &format!("{list}:{end}{}", block("  ")))).filter(is_wanted);
    };
    let (key, value) = &entries[own];
    // The lines from the key to the next one, or to the end.
    let next = entries.get(own + 1).map_or(lines.len(), |(key, _)| key.at.line - 1);
    let items: &[Node] = if let Value::Sequence(items) = &value.value { items } else { &[] };
    let dash = items.last().and_then(|item| lines.get(item.at.line - 1));
    let indent = dash.filter(|line| line.trim_start().starts_with('-')).map(|line| {
        let length = line.len() - line.trim_start().len();
        &line[..length]
    });
    if let Some(indent) = indent {
        // Below the last line that is no comment: what stands above the next key belongs to it. A text of several lines
        // may end in what looks like a comment.
        let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let last = lines[..next].iter().rposition(is_content).map_or(next, |at| at + 1);
        let filled = lines[..next].iter().rposition(|line| !line.trim().is_empty()).map_or(next, |at| at + 1);
        return [last, filled, next].into_iter().map(|line| at_line(line, &block(indent))).find(is_wanted);
    }
    // A list in brackets: before the one that closes it.
    let start: usize = lines[..key.at.line - 1].iter().map(|line| line.len()).sum();
    let stop: usize = lines[..next].iter().map(|line| line.len()).sum();
    let comma = if items.is_empty() { "" } else { ", " };
    let closing = text[start..stop].rmatch_indices(']').map(|(at, _)| start + at);
    closing
        .flat_map(|at| {
            let before = text[..at].trim_end();
            // A comma may be there already.
            let commas = if before.ends_with(',') { [" ", comma] } else { [comma, ""] };
            commas.map(|comma| format!("{before}{comma}{}{}", flow(), &text[before.len()..]))
        })
        .find(is_wanted)
}

fn is_key(node: &Node, name: &str) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.snippet.text == name)
}

pub(super) fn fields(example: &Example) -> Vec<(&'static str, String)> {
    let mut fields = vec![("call", scalar(&example.call.text))];
    fields.push(match &example.expect {
        Expect::Returns(text) => ("returns", scalar(&text.text)),
        Expect::Holds(text) => ("holds", scalar(&text.text)),
        Expect::Matches(text) => ("matches", scalar(&text.text)),
        Expect::Panics(None) => ("panics", "true".to_owned()),
        Expect::Panics(Some(text)) => ("panics", scalar(text)),
    });
    if example.hidden {
        fields.push(("hidden", "true".to_owned()));
    }
    fields
}

fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A text as a YAML scalar that reads the same inside and outside of brackets.
pub(super) fn scalar(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || " _()./<>=+;".contains(character);
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '(');
    let is_word = matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if starts_well && !is_word && text.trim() == text && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if !text.is_empty() && text.chars().all(is_printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            other if is_printable(other) => quoted.push(other),
            other => quoted.push_str(&format!("\\U{:08x}", other as u32)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "llmc: 1\nname: f  # the name\ndescription: d\nsignature: \"pub fn f(s: &str) -> String\"\n";

    fn example(call: &str, returns: &str) -> Example {
        Example { call: Snippet::new(call), expect: Expect::Returns(Snippet::new(returns)), hidden: false }
    }

    #[track_caller]
    fn added(rest: &str) -> String {
        let text = format!("{HEAD}{rest}");
        let new = with_example(&text, "f", &example("f(\"a-\")", "\"a\".to_owned()"), Some("asked\nby clarify"))
            .unwrap_or_else(|| panic!("nothing was added to:\n{text}"));
        new.strip_prefix(HEAD).expect("what was there stays").to_owned()
    }

    const NEW: &str = "  # asked by clarify\n  - call: 'f(\"a-\")'\n    returns: '\"a\".to_owned()'\n";

    #[test]
    fn an_example_comes_after_the_last_and_everything_else_stays() {
        let first = "examples:   # two\n  - call: f(\"\")  # empty\n    returns: '\"\"'\n";
        assert_eq!(added(first), format!("{first}{NEW}"));
        let rest = "\n# of properties\nsampling: { samples: 3 }\n";
        assert_eq!(added(&format!("{first}{rest}")), format!("{first}{NEW}{rest}"));
        // Without a line end at the end of the file.
        assert_eq!(added(first.trim_end()), format!("{first}{NEW}"));
        // A text that ends in what looks like a comment.
        let odd = "examples:\n  - call: f(\"\")\n    returns: |-\n      \"\n      # no comment\"\n";
        assert_eq!(added(odd), format!("{odd}{NEW}"));
        let flush = "examples:\n- call: f(\"\")\n  returns: '\"\"'\n";
        assert!(added(flush).ends_with("\n- call: 'f(\"a-\")'\n  returns: '\"a\".to_owned()'\n"));
    }

    #[test]
    fn lists_in_brackets_and_files_without_examples_are_taken_too() {
        let new = "{ call: 'f(\"a-\")', returns: '\"a\".to_owned()' }";
        let one = "examples: [{ call: 'f(\"\")', returns: '\"]\"' }]  # see [1]\n";
        assert_eq!(added(one), format!("examples: [{{ call: 'f(\"\")', returns: '\"]\"' }}, {new}]  # see [1]\n"));
        let lines = "examples: [\n  { call: 'f(\"\")', returns: '\"\"' },\n]\n";
        assert!(added(lines).contains(new));
        let properties = "properties:\n  - { name: p, forall: { s: String }, holds: 'f(&s) == f(&s)' }\n";
        assert_eq!(added(properties), format!("{properties}examples:\n{NEW}"));
    }

    fn excluding(name: &str, assume: &str) -> Property {
        let forall = vec![("s".to_owned(), Snippet::new("String")), ("v".to_owned(), Snippet::new("Vec<(u8, char)>"))];
        let (assume, holds) = (Some(Snippet::new(assume)), Snippet::new("{ let _ = f(&s); true }"));
        Property { name: name.to_owned(), forall, assume, holds, hidden: false }
    }

    #[test]
    fn a_property_comes_after_the_last_and_its_assume_can_be_another() {
        let examples = "examples:\n  - call: f(\"\")\n    returns: '\"\"'\n";
        let text = format!("{HEAD}{examples}# the end\n");
        let new = with_property(&text, "f", &excluding("valid_1", "s != \"\""), Some("asked")).expect("it is added");
        let own = "  # asked\n  - name: valid_1\n    forall: { s: String, v: 'Vec<(u8, char)>' }\n    assume: 's != \"\"'\n    \
                   holds: '{ let _ = f(&s); true }'\n";
        assert_eq!(new, format!("{text}properties:\n{own}"));
        let twice = with_property(&new, "f", &excluding("valid_2", "true"), None).expect("it is added");
        assert!(twice.starts_with(&new), "{twice}");
        // A name that is there already is none for another.
        assert_eq!(with_property(&new, "f", &excluding("valid_1", "true"), None), None);
        let other = with_assume(&twice, "f", "valid_1", "s != \"\" && s != \"it's\"").expect("it is changed");
        assert_eq!(other, twice.replace("'s != \"\"'", "'s != \"\" && s != \"it''s\"'"));
        // What is written in another way is left alone, as is what is not there.
        let quoted = new.replace("'s != \"\"'", "\"s != \\\"\\\"\"");
        assert_eq!(with_assume(&quoted, "f", "valid_1", "true"), None);
        assert_eq!(with_assume(&new, "f", "valid_9", "true"), None);
    }

    #[test]
    fn windows_line_ends_stay() {
        let text = format!("{HEAD}examples:\n  - call: f(\"\")\n    returns: '\"\"'\n").replace('\n', "\r\n");
        let new = with_example(&text, "f", &example("f(\"b\")", "\"b\""), None).expect("it is added");
        assert_eq!(new, format!("{text}  - call: 'f(\"b\")'\r\n    returns: '\"b\"'\r\n"));
    }

    #[test]
    fn any_text_is_read_as_it_was_written() {
        let text = format!("{HEAD}examples:\n  - call: f(\"\")\n    returns: '\"\"'\n");
        for odd in [
            "a: b", "- x", "'", "\"", "# no", "a #b", "true", "1e3", "[", "]", "{ }", "\\", "a\nb\n", "\u{7}", "é…",
            "f(x) ", "&a", "*a", "%", "@", "`", ">", "|", "!x",
        ] {
            let example = example(&format!("f({odd:?})"), &format!("{odd:?}"));
            let new = with_example(&text, "f", &example, Some(odd)).unwrap_or_else(|| panic!("{odd:?}"));
            assert!(new.starts_with(&text));
        }
    }

    #[test]
    fn what_is_no_spec_is_left_alone() {
        assert_eq!(with_example("examples: [", "f", &example("f(1)", "1"), None), None);
    }
}
