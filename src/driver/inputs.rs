//! What `llmc validate` is given: `.rs` files, and JSON lines from files or standard input, made candidates.
//!
//! Memory is bounded by the longest line, however long the input is. Nothing here compiles or runs a candidate.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::candidate::{self, Candidate, MAX_COMPLETION};
use crate::error::{Error, ExitCode};
use crate::model::Finish;
use crate::spec::Spec;
use crate::syntax;
use crate::validate::Program;
use crate::verdict::Verdict;

/// Longest line that is read, in bytes: the longest completion, escaped as JSON escapes it, and the other keys.
const MAX_LINE: usize = 2 * MAX_COMPLETION + (64 << 10);
/// Longest `.rs` file that is read, in bytes. Far less is parsed: a longer one gets its verdict for that.
const MAX_FILE: usize = MAX_COMPLETION;
/// How many lines are read ahead.
const AHEAD: usize = 16;

/// One of the things that a user named.
pub(super) enum Input {
    /// A file that is one candidate.
    Rust {
        /// As the user named it.
        name: String,
        path: PathBuf,
    },
    /// A file of JSON lines.
    Lines { name: String, path: PathBuf },
    /// JSON lines as they come.
    Stream(Box<dyn Read + Send>),
}

/// Where a candidate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The file as the user named it; `-` is standard input.
    pub(super) name: Arc<str>,
    /// The line in it, from 1; `None` for a file that is one candidate.
    pub(super) line: Option<usize>,
}

/// What was read of one candidate; it was not looked at yet.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) origin: Origin,
    /// The line or the file, or why it could not be read.
    pub(super) bytes: Result<Vec<u8>, String>,
}

/// The specs that candidates may be judged by.
pub(super) struct Served {
    specs: Vec<Arc<Spec>>,
    by_name: HashMap<String, usize>,
    /// Whether lines of other specs are passed over rather than mistakes.
    pass_over: bool,
    /// Whether a line number does not say enough.
    several_inputs: bool,
}

/// What came of one line or file.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// An empty line.
    Blank,
    /// It is of a spec that is not asked for.
    Other,
    /// There is no candidate in it.
    Bad(Bad),
    /// A candidate, or the verdict that it is none.
    Given { id: String, spec: usize, found: Result<(Candidate, Program), Verdict> },
}

/// A line or file that can't be judged.
#[derive(Debug, PartialEq)]
pub(super) struct Bad {
    pub(super) origin: Origin,
    /// The id it gives, where that can be read.
    pub(super) id: Option<String>,
    /// The spec it names, where that can be read.
    pub(super) spec: Option<String>,
    pub(super) message: String,
}

/// One line. Other keys are passed over: data sets have keys of their own.
#[derive(Deserialize)]
struct Line {
    id: Option<Box<RawValue>>,
    spec: Option<String>,
    code: Option<String>,
    completion: Option<String>,
    finish: Option<String>,
}

/// What can be read of a line that is no [`Line`].
#[derive(Deserialize)]
struct IdOnly {
    id: Option<Box<RawValue>>,
}

/// The files that a user named; `stdin` is what `-` stands for.
pub(super) fn open(files: &[String], from: &Path, stdin: Box<dyn Read + Send>) -> Result<Vec<Input>, Error> {
    let usage = |message: String| Error::new(ExitCode::Usage, message);
    let mut stdin = Some(stdin);
    let mut inputs = Vec::new();
    for name in files {
        if name == "-" {
            let stdin = stdin.take().ok_or_else(|| usage("`-` is named twice".to_owned()))?;
            inputs.push(Input::Stream(stdin));
            continue;
        }
        let path = from.join(name);
        if path.is_dir() {
            return Err(usage(format!("`{name}` is a folder")).hint(format!("its files: `{name}/*.rs`")));
        }
        if !path.exists() {
            return Err(usage(format!("no file `{name}`")));
        }
        let name = name.clone();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => inputs.push(Input::Rust { name, path }),
            Some("jsonl" | "ndjson") => inputs.push(Input::Lines { name, path }),
            _ => {
                let error = usage(format!("`{name}` is neither a `.rs` nor a `.jsonl` file"));
                return Err(error.hint(
                    "a `.rs` file is one candidate; a `.jsonl` file has one JSON object a line, with `code` (Rust) or \
                     `completion` (a model's reply); `-` reads such lines from standard input",
                ));
            }
        }
    }
    Ok(inputs)
}

/// Reads the inputs one after the other, on a thread of its own, never far ahead of who takes them.
pub(super) fn read(inputs: Vec<Input>) -> mpsc::Receiver<Raw> {
    let (sink, lines) = mpsc::channel(AHEAD);
    let read = move || {
        for input in inputs {
            // Nobody takes them any more: the run is over.
            if read_input(input, &sink).is_none() {
                return;
            }
        }
    };
    // Not waited for: it may be waiting for a line that never comes.
    std::thread::Builder::new().name("read".into()).spawn(read).expect("a thread can be started");
    lines
}

/// `None` when nobody listens.
fn read_input(input: Input, sink: &mpsc::Sender<Raw>) -> Option<()> {
    let failed = |name: String, error: &io::Error| Raw {
        origin: Origin { name: name.into(), line: None },
        bytes: Err(format!("failed to read it: {error}")),
    };
    match input {
        Input::Rust { name, path } => {
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes));
            let raw = match read {
                Err(error) => failed(name, &error),
                Ok(_) => {
                    let too_long = || Err(format!("it is longer than {MAX_FILE} bytes"));
                    let bytes = if bytes.len() > MAX_FILE { too_long() } else { Ok(bytes) };
                    Raw { origin: Origin { name: name.into(), line: None }, bytes }
                }
            };
            sink.blocking_send(raw).ok()
        }
        Input::Lines { name, path } => match File::open(path) {
            Ok(file) => read_lines(name, BufReader::new(file), sink),
            Err(error) => sink.blocking_send(failed(name, &error)).ok(),
        },
        Input::Stream(stdin) => read_lines("-".to_owned(), BufReader::new(stdin), sink),
    }
}

fn read_lines(name: String, mut reader: impl BufRead, sink: &mpsc::Sender<Raw>) -> Option<()> {
    let name: Arc<str> = name.into();
    for line in 1.. {
        let bytes = match next_line(&mut reader, MAX_LINE) {
            Ok(None) => break,
            Ok(Some(bytes)) => Ok(bytes),
            Err(LineError::TooLong) => Err(format!("it is longer than {MAX_LINE} bytes")),
            Err(LineError::Io(error)) => {
                let bytes = Err(format!("failed to read on: {error}"));
                return sink.blocking_send(Raw { origin: Origin { name, line: Some(line) }, bytes }).ok();
            }
        };
        sink.blocking_send(Raw { origin: Origin { name: name.clone(), line: Some(line) }, bytes }).ok()?;
    }
    Some(())
}

enum LineError {
    TooLong,
    Io(io::Error),
}

/// The next line without its end. One that is too long is passed over whole, and never held whole.
fn next_line(reader: &mut impl BufRead, most: usize) -> Result<Option<Vec<u8>>, LineError> {
    let (mut line, mut too_long, mut any) = (Vec::new(), false, false);
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(LineError::Io(error)),
        };
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        too_long |= line.len() + part.len() > most;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    match (any, too_long) {
        (_, true) => Err(LineError::TooLong),
        (true, false) => Ok(Some(line)),
        (false, false) => Ok(None),
    }
}

impl Served {
    /// `pass_over`: lines of other specs are not for us; else they are mistakes.
    pub(super) fn new(specs: Vec<Arc<Spec>>, pass_over: bool, several_inputs: bool) -> Self {
        let by_name = specs.iter().enumerate().map(|(at, spec)| (spec.name.clone(), at)).collect();
        Self { specs, by_name, pass_over, several_inputs }
    }

    /// Finds the candidates in what was read. Takes a millisecond or so for each.
    pub(super) fn parse_all(&self, raws: Vec<Raw>) -> Vec<Parsed> {
        // One deep stack for all of them: starting a thread for each costs as much as parsing.
        syntax::deep(|| raws.into_iter().map(|raw| self.parse_unless_bug(raw)).collect())
    }

    /// A bug that one line brings to light must not end a stream that others are served from.
    fn parse_unless_bug(&self, raw: Raw) -> Parsed {
        let origin = raw.origin.clone();
        catch_unwind(AssertUnwindSafe(|| self.parse(raw))).unwrap_or_else(|_| {
            let message = "looking for Rust in it made llmc panic: a bug, please report it".to_owned();
            Parsed::Bad(Bad { origin, id: None, spec: None, message })
        })
    }

    fn parse(&self, raw: Raw) -> Parsed {
        let Raw { origin, bytes } = raw;
        let bad = |origin, id, spec, message: String| Parsed::Bad(Bad { origin, id, spec, message });
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(message) => return bad(origin, None, None, message),
        };
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("it is not UTF-8: the mistake is at byte {}", error.valid_up_to() + 1);
                return bad(origin, None, None, message);
            }
        };
        match origin.line {
            None => {
                let found = with_program(candidate::from_source(text, &self.specs[0]));
                Parsed::Given { id: origin.name.to_string(), spec: 0, found }
            }
            Some(number) => self.parse_line(text, number, origin),
        }
    }

    fn parse_line(&self, text: &str, number: usize, origin: Origin) -> Parsed {
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        if text.trim().is_empty() {
            return Parsed::Blank;
        }
        let bad = |id, spec, message: String| Parsed::Bad(Bad { origin: origin.clone(), id, spec, message });
        let line: Line = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) => {
                let id = serde_json::from_str::<IdOnly>(text).ok().and_then(|line| id_of(line.id.as_deref()).ok());
                let what = if error.is_data() { "" } else { "not JSON: " };
                // serde's own " at line 1 column 9": the line is told already.
                let message = error.to_string().replacen(" at line 1 column ", ", column ", 1);
                return bad(id.flatten(), None, format!("{what}{message}"));
            }
        };
        let id = match id_of(line.id.as_deref()) {
            Ok(id) => id,
            Err(message) => return bad(None, line.spec, message.to_owned()),
        };
        let spec = match &line.spec {
            Some(name) => match self.by_name.get(name) {
                Some(spec) => *spec,
                None if self.pass_over => return Parsed::Other,
                None => return bad(id, Some(name.clone()), format!("no spec `{name}` is judged here")),
            },
            None if self.specs.len() == 1 => 0,
            None => return bad(id, None, "it has no `spec`, and several are judged here".to_owned()),
        };
        let finish = match line.finish.as_deref() {
            Some("length") => Finish::Length,
            Some("filter" | "content_filter") => Finish::Filter,
            _ => Finish::Stop,
        };
        let found = match (line.code, line.completion) {
            (Some(code), None) => candidate::from_source(&code, &self.specs[spec]),
            (None, Some(completion)) => candidate::from_completion(&completion, finish, &self.specs[spec]),
            (Some(_), Some(_)) => {
                return bad(id, line.spec, "it has both `code` and `completion`: which is to be judged?".to_owned());
            }
            (None, None) => return bad(id, line.spec, "it has neither `code` nor `completion`".to_owned()),
        };
        let id = id.unwrap_or_else(|| match self.several_inputs {
            true => format!("{}:{number}", origin.name),
            false => number.to_string(),
        });
        Parsed::Given { id, spec, found: with_program(found) }
    }
}

fn with_program(found: Result<Candidate, Verdict>) -> Result<(Candidate, Program), Verdict> {
    found.map(|candidate| {
        let program = Program::of(&candidate);
        (candidate, program)
    })
}

/// A string's text, or a number as it is written: through a float, a long one would come back as another.
fn id_of(id: Option<&RawValue>) -> Result<Option<String>, &'static str> {
    let Some(text) = id.map(RawValue::get) else { return Ok(None) };
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map(Some).map_err(|_| "its `id` is no text"),
        Some(b'-' | b'0'..=b'9') => Ok(Some(text.to_owned())),
        Some(b'n') => Ok(None),
        _ => Err("its `id` is neither a string nor a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    fn served(names: &[&str], pass_over: bool) -> Served {
        let specs = names.iter().map(|name| {
            let text = format!("llmc: 1\nname: {name}\ndescription: d\nsignature: 'pub fn {name}(x: u8) -> u8'\n");
            Arc::new(spec::parse("s.yaml", name, text.as_bytes()).expect("the spec is valid").0)
        });
        Served::new(specs.collect(), pass_over, false)
    }

    fn line(served: &Served, text: &str) -> Parsed {
        let origin = Origin { name: "x.jsonl".into(), line: Some(7) };
        let raw = Raw { origin, bytes: Ok(text.as_bytes().to_vec()) };
        served.parse_all(vec![raw]).remove(0)
    }

    fn given(parsed: Parsed) -> (String, usize, Result<String, Option<String>>) {
        match parsed {
            Parsed::Given { id, spec, found } => {
                (id, spec, found.map(|(candidate, _)| candidate.source).map_err(|verdict| verdict.code))
            }
            other => panic!("no candidate: {other:?}"),
        }
    }

    fn bad(parsed: Parsed) -> (Option<String>, String) {
        match parsed {
            Parsed::Bad(bad) => {
                assert_eq!((&*bad.origin.name, bad.origin.line), ("x.jsonl", Some(7)));
                (bad.id, bad.message)
            }
            other => panic!("not bad: {other:?}"),
        }
    }

    const CODE: &str = r#""code": "pub fn f(x: u8) -> u8 { x }""#;

    #[test]
    fn an_id_comes_back_as_it_was_given() {
        let one = served(&["f"], true);
        for (id, text) in [
            (r#""a-1""#, "a-1"),
            (r#""\u00e4\n""#, "ä\n"),
            (r#""""#, ""),
            ("12", "12"),
            ("-0.50", "-0.50"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("null", "7"),
        ] {
            assert_eq!(given(line(&one, &format!(r#"{{"id": {id}, {CODE}}}"#))).0, text);
        }
        assert_eq!(given(line(&one, &format!("{{{CODE}}}"))).0, "7");
        for id in ["[1]", "{}", "true"] {
            let (_, message) = bad(line(&one, &format!(r#"{{"id": {id}, {CODE}}}"#)));
            assert_eq!(message, "its `id` is neither a string nor a number");
        }
    }

    #[test]
    fn code_is_rust_and_a_completion_is_a_reply() {
        let one = served(&["f"], true);
        let reply = r#"{"completion": "Sure!\n```rust\nfn f(x: u8) -> u8 { x }\n```\nDone.", "other": [{"key": 1}]}"#;
        let source = given(line(&one, reply)).2.unwrap();
        assert_eq!(source, "pub fn f(x: u8) -> u8 {\n    x\n}\n");
        assert_eq!(given(line(&one, &format!("\u{a0}{{{CODE}}}").replace('\u{a0}', " "))).2.unwrap(), source);
        let prose = r#"{"code": "Sure! Here it is"}"#;
        assert_eq!(given(line(&one, prose)).2.unwrap_err().as_deref(), Some("syntax"));
        let cut = r#"{"completion": "```rust\nfn f(x: u8) -> u8 {", "finish": "length"}"#;
        assert_eq!(given(line(&one, cut)).2.unwrap_err().as_deref(), Some("cut-off"));
    }

    #[test]
    fn a_line_without_one_candidate_says_why_and_keeps_its_id() {
        let one = served(&["f"], true);
        for (text, id, message) in [
            ("{", None, "not JSON: EOF while parsing an object, column 1"),
            ("[1, 2]", None, "not JSON: "),
            (r#"{"id": 3}"#, Some("3"), "it has neither `code` nor `completion`"),
            (r#"{"id": "x", "code": 5}"#, Some("x"), "invalid type: integer `5`, expected a string"),
            (r#"{"id": "x", "code": "", "completion": ""}"#, Some("x"), "it has both `code` and `completion`"),
            (r#"{"id": "x", "code": "a", "code": "b"}"#, Some("x"), "duplicate field `code`"),
        ] {
            let (told, why) = bad(line(&one, text));
            assert_eq!(told.as_deref(), id, "{text}");
            assert!(why.starts_with(message.trim_start_matches("not JSON: ")) || why.starts_with(message), "{why}");
        }
        assert_eq!(line(&one, ""), Parsed::Blank);
        assert_eq!(line(&one, "  \r"), Parsed::Blank);
        assert_eq!(given(line(&one, &format!("{{{CODE}}}\r"))).1, 0);
    }

    #[test]
    fn a_line_goes_to_its_spec() {
        let one = served(&["f"], true);
        assert_eq!(given(line(&one, &format!(r#"{{"spec": "f", {CODE}}}"#))).1, 0);
        assert_eq!(line(&one, &format!(r#"{{"spec": "g", {CODE}}}"#)), Parsed::Other);
        let two = served(&["e", "f"], false);
        assert_eq!(given(line(&two, &format!(r#"{{"spec": "f", {CODE}}}"#))).1, 1);
        let (id, message) = bad(line(&two, &format!(r#"{{"id": 1, "spec": "g", {CODE}}}"#)));
        assert_eq!((id.as_deref(), message.as_str()), (Some("1"), "no spec `g` is judged here"));
        let (_, message) = bad(line(&two, &format!("{{{CODE}}}")));
        assert_eq!(message, "it has no `spec`, and several are judged here");
    }

    #[test]
    fn lines_are_split_and_the_too_long_are_passed_over_whole() {
        let text = b"one\r\n\nthree is far too long\nfour\xff\nfive".as_slice();
        for capacity in [1, 3, 64] {
            let mut reader = BufReader::with_capacity(capacity, text);
            let mut lines = Vec::new();
            loop {
                match next_line(&mut reader, 6) {
                    Ok(None) => break,
                    Ok(Some(line)) => lines.push(Some(line)),
                    Err(LineError::TooLong) => lines.push(None),
                    Err(LineError::Io(error)) => panic!("{error}"),
                }
            }
            let line = |bytes: &[u8]| Some(bytes.to_vec());
            assert_eq!(lines, [line(b"one\r"), line(b""), None, line(b"four\xff"), line(b"five")]);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let origin = Origin { name: "x.jsonl".into(), line: Some(7) };
        let raw = Raw { origin, bytes: Ok(b"{\"id\": \"\xff\"}".to_vec()) };
        let (_, message) = bad(served(&["f"], true).parse_all(vec![raw]).remove(0));
        assert_eq!(message, "it is not UTF-8: the mistake is at byte 9");
    }
}
