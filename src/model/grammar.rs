//! A schema as a grammar, in the notation of llama.cpp (GBNF): what a model that runs in the process is held to. Pure.
//!
//! Every value that fits can be written, in one way or more: without line breaks, at most one space after `:` and `,`,
//! an object's fields in the schema's order; of numbers those up to 1.7e308. Lengths are kept where they are small; what else could be written and does
//! not fit is for whoever checks the answer.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::schema::{Field, Kind, Schema};

/// Longest text whose length the grammar keeps, in characters; llama.cpp refuses repetitions of some 2,000.
const LONGEST: usize = 500;
/// Longest list whose length the grammar keeps.
const MOST_ITEMS: usize = 100;
/// Repetitions that are kept in a whole grammar, added up: each is a rule of llama.cpp's.
const MOST_REPEATS: usize = 4000;

/// A grammar; its first rule is the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Grammar {
    rules: Vec<Node>,
}

/// What may be written at a place.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Exactly this.
    Text(String),
    /// One of these characters, in GBNF's notation.
    Class(Cow<'static, str>),
    /// What the rule of this number says.
    Rule(usize),
    /// One after the other.
    All(Vec<Node>),
    /// One of them.
    One(Vec<Node>),
    /// So many times, `None` without an end.
    Times(Box<Node>, usize, Option<usize>),
}

impl Grammar {
    /// The name of the rule that stands for the whole.
    pub const ROOT: &str = "root";

    /// The grammar of a schema.
    pub fn of(schema: &Schema) -> Self {
        let mut writer = Writer { rules: vec![Node::All(vec![])], repeats: 0, common: [None; COMMON] };
        writer.rules[0] = writer.schema(schema);
        Self { rules: writer.rules }
    }
}

impl fmt::Display for Grammar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, rule) in self.rules.iter().enumerate() {
            write!(formatter, "{} ::= ", Name(number))?;
            rule.write(formatter, false)?;
            formatter.write_str("\n")?;
        }
        Ok(())
    }
}

struct Name(usize);

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => formatter.write_str(Grammar::ROOT),
            number => write!(formatter, "r{number}"),
        }
    }
}

impl Node {
    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn class(class: &'static str) -> Self {
        Self::Class(class.into())
    }

    fn optional(self) -> Self {
        Self::Times(Box::new(self), 0, Some(1))
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, is_inner: bool) -> fmt::Result {
        let list = |formatter: &mut fmt::Formatter<'_>, nodes: &[Self], between: &str| {
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    formatter.write_str(between)?;
                }
                node.write(formatter, true)?;
            }
            Ok(())
        };
        match self {
            Self::Text(text) => {
                formatter.write_str("\"")?;
                for character in text.chars() {
                    match character {
                        '"' | '\\' => write!(formatter, "\\{character}")?,
                        '\n' => formatter.write_str("\\n")?,
                        '\r' => formatter.write_str("\\r")?,
                        '\t' => formatter.write_str("\\t")?,
                        other if other.is_control() => write!(formatter, "\\u{:04X}", other as u32)?,
                        other => write!(formatter, "{other}")?,
                    }
                }
                formatter.write_str("\"")
            }
            Self::Class(class) => formatter.write_str(class),
            Self::Rule(number) => write!(formatter, "{}", Name(*number)),
            Self::All(nodes) if nodes.is_empty() => formatter.write_str("\"\""),
            Self::All(nodes) if nodes.len() == 1 => nodes[0].write(formatter, is_inner),
            Self::One(nodes) if nodes.len() == 1 => nodes[0].write(formatter, is_inner),
            Self::All(nodes) | Self::One(nodes) => {
                let between = if matches!(self, Self::All(_)) { " " } else { " | " };
                if is_inner {
                    formatter.write_str("(")?;
                }
                list(formatter, nodes, between)?;
                if is_inner {
                    formatter.write_str(")")?;
                }
                Ok(())
            }
            Self::Times(node, least, most) => {
                match **node {
                    // What is repeated is one thing.
                    Self::Times(..) => {
                        formatter.write_str("(")?;
                        node.write(formatter, false)?;
                        formatter.write_str(")")?;
                    }
                    _ => node.write(formatter, true)?,
                }
                match (least, most) {
                    (0, Some(1)) => formatter.write_str("?"),
                    (0, None) => formatter.write_str("*"),
                    (1, None) => formatter.write_str("+"),
                    (least, None) => write!(formatter, "{{{least},}}"),
                    (least, Some(most)) if least == most => write!(formatter, "{{{least}}}"),
                    (least, Some(most)) => write!(formatter, "{{{least},{most}}}"),
                }
            }
        }
    }
}

/// Rules that many others use.
const COMMON: usize = 6;
const CHARACTER: usize = 0;
const STRING: usize = 1;
const ANY: usize = 2;
const NATURAL: usize = 3;
const FRACTION: usize = 4;
const EXPONENT: usize = 5;

struct Writer {
    rules: Vec<Node>,
    /// Repetitions so far.
    repeats: usize,
    common: [Option<usize>; COMMON],
}

impl Writer {
    /// A rule of its own: what llmc repeats stands alone in one, since llama.cpp multiplies those that share one.
    fn rule(&mut self, node: Node) -> Node {
        self.rules.push(node);
        Node::Rule(self.rules.len() - 1)
    }

    fn common(&mut self, which: usize) -> Node {
        if let Some(number) = self.common[which] {
            return Node::Rule(number);
        }
        let number = self.rules.len();
        self.rules.push(Node::All(vec![]));
        self.common[which] = Some(number);
        let times = |class, least, most| Node::Times(Box::new(Node::class(class)), least, most);
        self.rules[number] = match which {
            // Half a surrogate pair is no character.
            CHARACTER => Node::One(vec![
                Node::class(r#"[^"\\\x00-\x1F\x7F]"#),
                Node::All(vec![Node::text("\\"), Node::class(r#"["\\/bfnrt]"#)]),
                Node::All(vec![Node::text("\\u"), Node::class("[0-9a-cA-Ce-fE-F]"), times("[0-9a-fA-F]", 3, Some(3))]),
                Node::All(vec![
                    Node::text("\\u"),
                    Node::class("[dD]"),
                    Node::class("[0-7]"),
                    times("[0-9a-fA-F]", 2, Some(2)),
                ]),
            ]),
            STRING => {
                let characters = Node::Times(Box::new(self.common(CHARACTER)), 0, None);
                Node::All(vec![Node::text("\""), characters, Node::text("\"")])
            }
            NATURAL => {
                Node::One(vec![Node::text("0"), Node::All(vec![Node::class("[1-9]"), times("[0-9]", 0, Some(20))])])
            }
            FRACTION => Node::All(vec![Node::text("."), times("[0-9]", 1, Some(20))]),
            EXPONENT => {
                let below = self.rule(Node::All(vec![Node::text("-"), times("[0-9]", 1, Some(3))]));
                let above = self.rule(Node::All(vec![Node::text("+").optional(), times("[0-9]", 1, Some(2))]));
                Node::All(vec![Node::class("[eE]"), Node::One(vec![below, above])])
            }
            _ => {
                let (string, number) = (self.common(STRING), self.number(false));
                let words = ["true", "false", "null"].map(Node::text);
                let any = Node::Rule(number_of(self.common[ANY]));
                let list = self.list(any.clone(), 0, None);
                let map = self.map(any);
                Node::One([string, number, list, map].into_iter().chain(words).collect())
            }
        };
        Node::Rule(number)
    }

    /// How many times: exactly as asked where that is few, without an end where it is many.
    fn times(&mut self, node: Node, least: usize, most: Option<usize>, limit: usize) -> Node {
        let room = limit.min(MOST_REPEATS.saturating_sub(self.repeats));
        let (least, most) = (least.min(room), most.filter(|most| *most <= room));
        self.repeats += most.unwrap_or(least);
        self.rule(Node::Times(Box::new(node), least, most))
    }

    fn schema(&mut self, schema: &Schema) -> Node {
        let node = match &schema.kind {
            Kind::Any => self.common(ANY),
            Kind::Null => Node::text("null"),
            Kind::Boolean => Node::One(vec![Node::text("true"), Node::text("false")]),
            Kind::Integer { minimum, maximum } => self.integer(*minimum, *maximum),
            Kind::Number { minimum, .. } => self.number(minimum.is_some_and(|least| least >= 0.0)),
            Kind::String { min_length: None, max_length: None } => self.common(STRING),
            Kind::String { min_length, max_length } => {
                let character = self.common(CHARACTER);
                let characters = self.times(character, min_length.unwrap_or(0), *max_length, LONGEST);
                Node::All(vec![Node::text("\""), characters, Node::text("\"")])
            }
            Kind::Choice(values) => Node::One(values.iter().map(|value| Node::text(value.to_string())).collect()),
            Kind::Array { items, min_items, max_items } => {
                let item = self.schema(items);
                let item = self.rule(item);
                self.list(item, min_items.unwrap_or(0), *max_items)
            }
            Kind::Tuple(places) => {
                let mut all = vec![Node::text("[")];
                for (at, place) in places.iter().enumerate() {
                    if at > 0 {
                        all.push(comma());
                    }
                    all.push(self.schema(place));
                }
                all.push(Node::text("]"));
                Node::All(all)
            }
            Kind::Object(fields) => self.object(fields),
            Kind::Map(values) => {
                let value = self.schema(values);
                let value = self.rule(value);
                self.map(value)
            }
            Kind::OneOf(ways) => Node::One(ways.iter().map(|way| self.schema(way)).collect()),
        };
        match schema.nullable {
            true => Node::One(vec![node, Node::text("null")]),
            false => node,
        }
    }

    /// The whole numbers of a range, exactly.
    fn integer(&mut self, minimum: Option<i64>, maximum: Option<i64>) -> Node {
        let least = minimum.unwrap_or(i64::MIN);
        // Where it can't be below 0 it is a `u64`.
        let most = match maximum {
            Some(most) => i128::from(most),
            None if least >= 0 => u64::MAX.into(),
            None => i64::MAX.into(),
        };
        let mut ways = Vec::new();
        if least <= 0 && most >= 0 {
            // `-0` is no whole number to those who read it.
            ways.push(Node::text("0"));
        }
        if most > 0 {
            ways.extend(self.digits(least.max(1).unsigned_abs().into(), most.unsigned_abs()));
        }
        if least < 0 {
            let ways_below = self.digits(most.min(-1).unsigned_abs(), least.unsigned_abs().into());
            let below = self.rule(Node::One(ways_below));
            ways.push(Node::All(vec![Node::text("-"), below]));
        }
        Node::One(ways)
    }

    /// The numbers from `least`, which is not 0, to `most`: for each length one way.
    fn digits(&mut self, least: u128, most: u128) -> Vec<Node> {
        let (shortest, longest) = (least.to_string().len(), most.to_string().len());
        let mut ways = Vec::new();
        for length in shortest..=longest {
            let from = if length == shortest { least.to_string() } else { format!("1{}", "0".repeat(length - 1)) };
            let to = if length == longest { most.to_string() } else { "9".repeat(length) };
            ways.push(self.between(from.as_bytes(), to.as_bytes()));
        }
        ways
    }

    /// The numbers between two of the same length.
    fn between(&mut self, from: &[u8], to: &[u8]) -> Node {
        let ([first, from @ ..], [last, to @ ..]) = (from, to) else { return Node::All(vec![]) };
        let (zeros, nines) = (vec![b'0'; from.len()], vec![b'9'; to.len()]);
        let digit = |digit: u8| Node::text(char::from(digit));
        if first == last {
            return Node::All(vec![digit(*first), self.between(from, to)]);
        }
        let rest = |from: &[u8], to: &[u8], writer: &mut Self| match (from == zeros, to == nines, from.len()) {
            (_, _, 0) => Node::All(vec![]),
            (true, true, count) => writer.rule(Node::Times(Box::new(Node::class("[0-9]")), count, Some(count))),
            _ => writer.between(from, to),
        };
        let mut ways = Vec::new();
        let (mut low, mut high) = (*first, *last);
        if from != zeros {
            ways.push(Node::All(vec![digit(low), rest(from, &nines, self)]));
            low += 1;
        }
        let top = (to != nines).then(|| Node::All(vec![digit(high), rest(&zeros, to, self)]));
        if top.is_some() {
            high -= 1;
        }
        if low <= high {
            let class = Node::Class(format!("[{}-{}]", char::from(low), char::from(high)).into());
            ways.push(Node::All(vec![class, rest(&zeros, &nines, self)]));
        }
        ways.extend(top);
        self.rule(Node::One(ways))
    }

    /// A number that can be read: what is larger than the largest can't be written, nor what is close to it.
    fn number(&mut self, is_positive: bool) -> Node {
        let small = [self.common(NATURAL), self.common(FRACTION).optional(), self.common(EXPONENT).optional()];
        let fraction = self.common(FRACTION).optional();
        let exponent = || Node::All(vec![Node::class("[eE]"), Node::text("+").optional()]);
        let hundreds = Node::One(vec![
            Node::All(vec![Node::class("[1-2]"), Node::class("[0-9]"), Node::class("[0-9]")]),
            Node::All(vec![Node::text("30"), Node::class("[0-7]")]),
        ]);
        let large = Node::All(vec![Node::class("[0-9]"), fraction, exponent(), hundreds]);
        let digits = self.rule(Node::Times(Box::new(Node::class("[0-9]")), 0, Some(20)));
        let start = Node::All(vec![Node::text("1."), Node::class("[0-6]"), digits]);
        let largest = Node::All(vec![Node::One(vec![start, Node::text("1")]), exponent(), Node::text("308")]);
        let sign = (!is_positive).then(|| Node::text("-").optional());
        let parts = Node::One(vec![Node::All(small.into()), large, largest]);
        self.rule(Node::All(sign.into_iter().chain([parts]).collect()))
    }

    fn list(&mut self, item: Node, least: usize, most: Option<usize>) -> Node {
        let empty = Node::text("[]");
        if most == Some(0) {
            return empty;
        }
        let next = self.rule(Node::All(vec![comma(), item.clone()]));
        let rest = self.times(next, least.saturating_sub(1), most.map(|most| most - 1), MOST_ITEMS);
        let some = Node::All(vec![Node::text("["), item, rest, Node::text("]")]);
        if least == 0 { Node::One(vec![empty, some]) } else { some }
    }

    fn map(&mut self, value: Node) -> Node {
        let key = self.common(STRING);
        let entry = self.rule(Node::All(vec![key, colon(), value]));
        let next = self.rule(Node::All(vec![comma(), entry.clone()]));
        let rest = self.rule(Node::Times(Box::new(next), 0, None));
        Node::One(vec![Node::text("{}"), Node::All(vec![Node::text("{"), entry, rest, Node::text("}")])])
    }

    fn object(&mut self, fields: &[Field]) -> Node {
        // From the last field to the first: what may follow where nothing was written so far, and where something was.
        let (mut if_empty, mut if_begun) = (Node::text("}"), Node::text("}"));
        for field in fields.iter().rev() {
            let key = Value::from(field.key.as_str()).to_string();
            let value = self.schema(&field.schema);
            let entry = self.rule(Node::All(vec![Node::text(key), colon(), value]));
            let first = Node::All(vec![entry.clone(), if_begun.clone()]);
            let next = Node::All(vec![comma(), entry, if_begun.clone()]);
            let (first, next) = match field.required {
                true => (first, next),
                false => (Node::One(vec![first, if_empty]), Node::One(vec![next, if_begun])),
            };
            (if_empty, if_begun) = (self.rule(first), self.rule(next));
        }
        Node::All(vec![Node::text("{"), if_empty])
    }
}

fn number_of(common: Option<usize>) -> usize {
    common.expect("it is numbered before it is written")
}

fn comma() -> Node {
    Node::All(vec![Node::text(","), Node::text(" ").optional()])
}

fn colon() -> Node {
    Node::All(vec![Node::text(":"), Node::text(" ").optional()])
}

#[cfg(test)]
#[path = "grammar_tests.rs"]
mod tests;
