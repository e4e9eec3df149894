//! From what a program answered, twice, to what it does: in words that can be compared. Pure.

use serde::Serialize;

use super::print;
use super::shape::{Function, Shape, Shapes};
use super::value::{self, Value, is_close};
use crate::validate::Reply;

/// Longest text of an outcome, in bytes.
const LONGEST: usize = 4 << 10;

/// What a program does with an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Of what kind it is.
    pub kind: Kind,
    /// What exactly, for people: a value is written as in Rust. Where it is long it is cut.
    pub text: String,
}

/// What a program can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It returns a value.
    Value,
    /// It returns an `Err`, or `None` is not one.
    Error,
    /// It panics.
    Panic,
    /// It ends its process: it overflows its stack, runs out of memory, exits.
    Crash,
    /// It does not answer in time.
    Timeout,
    /// It does not do the same in two runs.
    Flaky,
    /// It was not asked.
    Unknown,
}

impl Kind {
    /// Whether it answered, or ended for good.
    pub fn is_answer(self) -> bool {
        !matches!(self, Self::Timeout | Self::Unknown)
    }
}

/// What was read of a reply.
#[derive(Debug, Clone)]
enum Read {
    /// The result, and what the call left in its arguments.
    Returned(Value, Vec<Value>),
    /// The message, and what the call left in its arguments.
    Panicked(String, Vec<Value>),
    Long(usize, String),
    Crashed(String),
    TimedOut,
    NotAsked,
}

/// Reads replies.
pub(super) struct Reader<'a> {
    pub(super) shapes: &'a Shapes,
    pub(super) functions: &'a [Function],
    /// Messages of panics that the spec tells apart.
    pub(super) panics: Vec<String>,
    pub(super) ignore_error_texts: bool,
}

impl Reader<'_> {
    /// The different things that programs do, and which of them each does.
    pub(super) fn classify(&self, function: usize, replies: &[&(Reply, Reply)]) -> (Vec<Outcome>, Vec<usize>) {
        let function = &self.functions[function];
        // Replies that are the same to the bit need to be read once.
        let mut known: Vec<(&(Reply, Reply), usize)> = Vec::new();
        let mut classes = Vec::new();
        // What stands for each class.
        let mut stand: Vec<(Read, Outcome)> = Vec::new();
        for reply in replies {
            if let Some((_, class)) = known.iter().find(|(known, _)| known == reply) {
                classes.push(*class);
                continue;
            }
            let first = self.read(function, &reply.0);
            let is_constant = reply.0 == reply.1 || self.is_same(function, &first, &self.read(function, &reply.1));
            let class = if is_constant {
                let same = stand
                    .iter()
                    .position(|(known, outcome)| outcome.kind != Kind::Flaky && self.is_same(function, known, &first));
                same.unwrap_or_else(|| {
                    let outcome = self.outcome(function, &first);
                    stand.push((first, outcome));
                    stand.len() - 1
                })
            } else {
                let again = self.outcome(function, &self.read(function, &reply.1));
                let once = self.outcome(function, &first);
                let text = format!("{} in one run, {} in the next", once.text, again.text);
                stand.push((first, Outcome { kind: Kind::Flaky, text }));
                stand.len() - 1
            };
            known.push((reply, class));
            classes.push(class);
        }
        // All that is flaky is one class: what it would do the next time nobody knows.
        let mut outcomes: Vec<Outcome> = stand.into_iter().map(|(_, outcome)| outcome).collect();
        if let Some(first) = outcomes.iter().position(|outcome| outcome.kind == Kind::Flaky) {
            let mut places = Vec::new();
            let mut kept = Vec::new();
            for (at, outcome) in outcomes.into_iter().enumerate() {
                if outcome.kind == Kind::Flaky && at > first {
                    places.push(first);
                } else {
                    places.push(kept.len());
                    kept.push(outcome);
                }
            }
            // What stands before the first flaky one has kept its place, and so has that.
            classes.iter_mut().for_each(|class| *class = places[*class]);
            outcomes = kept;
        }
        (outcomes, classes)
    }

    fn read(&self, function: &Function, reply: &Reply) -> Read {
        match reply {
            Reply::Answer(bytes) => self
                .answer(function, bytes)
                .unwrap_or_else(|| Read::Crashed("answered what is no value of its type".to_owned())),
            Reply::Long(length, digest) => Read::Long(*length, digest.clone()),
            Reply::TimedOut => Read::TimedOut,
            Reply::Crashed(how) => Read::Crashed(how.clone()),
            Reply::NotAsked => Read::NotAsked,
        }
    }

    fn answer(&self, function: &Function, bytes: &[u8]) -> Option<Read> {
        let mut input = value::Reader::new(bytes);
        let has_panicked = match input.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let (mut result, mut message) = (Value::Unit, String::new());
        if has_panicked {
            let kind = input.byte().filter(|kind| *kind < 3)?;
            message = input.text()?.to_owned();
            input.text()?;
            if kind == 2 {
                message = "a panic without a message".into();
            }
        } else {
            result = input.read(self.shapes, &function.output)?;
        }
        let changed = function.inputs.iter().filter(|input| input.changes);
        let left = changed.map(|argument| input.read(self.shapes, &argument.shape)).collect::<Option<Vec<_>>>()?;
        input.is_done().then_some(match has_panicked {
            true => Read::Panicked(message, left),
            false => Read::Returned(result, left),
        })
    }

    fn is_same(&self, function: &Function, one: &Read, other: &Read) -> bool {
        let same = |one: &Value, other: &Value| match function.has_floats {
            true => is_close(one, other),
            false => one == other,
        };
        let all_same = |one: &[Value], other: &[Value]| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        };
        match (one, other) {
            (Read::Returned(one, left), Read::Returned(other, others)) => {
                let is_same = match (&function.output, one, other) {
                    (Shape::Result(..), Value::Variant(1, one), Value::Variant(1, other))
                        if self.ignore_error_texts =>
                    {
                        all_same(&without_texts(one), &without_texts(other))
                    }
                    _ => same(one, other),
                };
                is_same && all_same(left, others)
            }
            (Read::Panicked(one, left), Read::Panicked(other, others)) => {
                // The words of a panic are a program's own, but where the spec has some.
                self.panics.iter().all(|text| one.contains(text) == other.contains(text)) && all_same(left, others)
            }
            (Read::Long(one, digest), Read::Long(other, others)) => one == other && digest == others,
            (Read::Crashed(one), Read::Crashed(other)) => one == other,
            (Read::TimedOut, Read::TimedOut) | (Read::NotAsked, Read::NotAsked) => true,
            _ => false,
        }
    }

    fn outcome(&self, function: &Function, read: &Read) -> Outcome {
        let (kind, mut text) = match read {
            Read::Returned(value, left) => {
                let is_error = matches!((&function.output, value), (Shape::Result(..), Value::Variant(1, _)));
                let kind = if is_error { Kind::Error } else { Kind::Value };
                let changes = !left.is_empty();
                let text = match function.output {
                    Shape::Unit if changes => String::new(),
                    _ => print::value(self.shapes, &function.output, value),
                };
                (kind, text + &self.left(function, left, function.output == Shape::Unit))
            }
            Read::Panicked(message, left) => {
                (Kind::Panic, format!("panics: {}{}", one_line(message), self.left(function, left, false)))
            }
            Read::Long(length, digest) => {
                (Kind::Value, format!("a value of {length} bytes (sha256 {})", &digest[..digest.len().min(12)]))
            }
            Read::Crashed(how) => (Kind::Crash, how.clone()),
            Read::TimedOut => (Kind::Timeout, "no answer in time".into()),
            Read::NotAsked => (Kind::Unknown, "not asked: too many calls before found no answer".into()),
        };
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
        }
        Outcome { kind, text }
    }

    /// What a call left in its arguments.
    fn left(&self, function: &Function, left: &[Value], is_all: bool) -> String {
        let changed = function.inputs.iter().filter(|input| input.changes);
        let all: Vec<String> = changed
            .zip(left)
            .map(|(input, value)| format!("{} = {}", input.name, print::value(self.shapes, &input.shape, value)))
            .collect();
        match (all.is_empty(), is_all) {
            (true, _) => String::new(),
            (false, true) => format!("leaves {}", all.join(", ")),
            (false, false) => format!(" and leaves {}", all.join(", ")),
        }
    }
}

/// Values whose texts are all the same.
fn without_texts(values: &[Value]) -> Vec<Value> {
    let without = |value: &Value| match value {
        Value::Text(_) => Value::Unit,
        Value::Parts(parts) => Value::Parts(without_texts(parts)),
        Value::Variant(number, parts) => Value::Variant(*number, without_texts(parts)),
        value => value.clone(),
    };
    values.iter().map(without).collect()
}

/// The first line of a message.
fn one_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
