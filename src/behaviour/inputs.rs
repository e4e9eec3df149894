//! Inputs for a function: values at the edges, values drawn at random, and those made of others. Pure.
//!
//! The edges are those that properties are tried on (`validate/runtime/generate.rs`). All is made anew from a seed.

use std::time::Duration;

use self::edges::Generate;
use super::shape::{Argument, Integer, Shape, Shapes};
use super::value::Value;

#[path = "../validate/runtime/generate.rs"]
#[expect(warnings, clippy::all, reason = "it is written for rustc's defaults, and used in part here")]
mod edges;

/// How deep values of recursive types are.
const DEPTH: usize = 4;
/// Most edges of one type.
const EDGES: usize = 60;
/// Most elements of a list, and letters of a text, that is drawn.
const LONGEST: usize = 64;
/// Most values of a type that are all listed.
const LISTED: usize = 1024;

/// A source of numbers that look random: the one that `validate/runtime/generate.rs` uses.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// What programs and examples name: literals are where behaviour changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    pub(super) ints: Vec<i128>,
    pub(super) floats: Vec<f64>,
    pub(super) letters: Vec<char>,
    pub(super) texts: Vec<String>,
}

/// Makes values.
pub(super) struct Maker<'a> {
    pub(super) shapes: &'a Shapes,
    pub(super) words: &'a Words,
    pub(super) random: Random,
}

const ALPHABETS: [&str; 5] = [
    "ab -",
    "0123456789.-+,:/x",
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "aAbBzZ09 _-!?.,;:'\"\\/()[]{}<>@#$%^&*+=|~`\t\n",
    "aé\u{301}ßİıǅΣςñ中文😀👩\u{200d}👧ﬁ٣Ⅷ½\u{a0}\u{2003}\u{feff}\u{202e}\0\u{7f}\r\n",
];

impl Maker<'_> {
    // ------------------------------------------------------------------ edges

    /// Values at the edges, the simplest first.
    pub(super) fn edges(&self, shape: &Shape, depth: usize) -> Vec<Value> {
        let mut all = self.all_edges(shape, depth);
        all.truncate(EDGES);
        all
    }

    fn all_edges(&self, shape: &Shape, depth: usize) -> Vec<Value> {
        let below = depth.saturating_sub(1);
        match shape {
            Shape::Bool => vec![Value::Bool(false), Value::Bool(true)],
            Shape::Int(kind) => int_edges(*kind).into_iter().map(Value::Int).collect(),
            Shape::NonZero(kind) => {
                int_edges(*kind).into_iter().filter(|value| *value != 0).map(Value::Int).collect()
            }
            Shape::Float(4) => {
                <f32 as Generate<()>>::boundary(0).into_iter().map(|value| Value::Float(value.into())).collect()
            }
            Shape::Float(_) => <f64 as Generate<()>>::boundary(0).into_iter().map(Value::Float).collect(),
            Shape::Char => <char as Generate<()>>::boundary(0).into_iter().map(Value::Char).collect(),
            Shape::Text { .. } => <String as Generate<()>>::boundary(0).into_iter().map(Value::Text).collect(),
            Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner) => {
                self.edges(inner, depth)
            }
            Shape::List(_, item) | Shape::Set(_, item) => {
                let items = if depth == 0 { Vec::new() } else { self.edges(item, below) };
                lists(&items).into_iter().map(Value::Parts).collect()
            }
            Shape::Map(_, key, item) => {
                if depth == 0 {
                    return vec![Value::Parts(Vec::new())];
                }
                let (keys, items) = (self.edges(key, below), self.edges(item, below));
                if items.is_empty() {
                    return vec![Value::Parts(Vec::new())];
                }
                let pair = |(at, key): (usize, &Value)| [key.clone(), items[at % items.len()].clone()];
                let one = keys.iter().enumerate().take(20).map(|(at, key)| Value::Parts(pair((at, key)).into()));
                let many = |count: usize| Value::Parts(keys.iter().enumerate().take(count).flat_map(pair).collect());
                [Value::Parts(Vec::new())].into_iter().chain([many(2), many(3), many(8)]).chain(one).collect()
            }
            Shape::Array(count, item) => {
                let items = self.edges(item, below);
                let same = items.iter().take(8).map(|item| Value::Parts(vec![item.clone(); *count]));
                let cycle = Value::Parts(items.iter().cycle().take(*count).cloned().collect());
                let back = Value::Parts(items.iter().rev().cycle().take(*count).cloned().collect());
                same.chain([cycle, back]).collect()
            }
            Shape::Option(inner) => {
                let some = if depth == 0 { Vec::new() } else { self.edges(inner, below) };
                let some = some.into_iter().map(|value| Value::Variant(1, vec![value]));
                [Value::Variant(0, Vec::new())].into_iter().chain(some).collect()
            }
            Shape::Result(value, error) => {
                let one = |number: u32, shape: &Shape| {
                    self.edges(shape, below).into_iter().take(24).map(move |value| Value::Variant(number, vec![value]))
                };
                one(0, value).chain(one(1, error)).collect()
            }
            Shape::Tuple(items) => {
                let parts: Vec<Vec<Value>> = items.iter().map(|item| self.edges(item, below)).collect();
                combinations(&parts, EDGES).into_iter().map(Value::Parts).collect()
            }
            Shape::Named(at) => {
                let mut all = Vec::new();
                for number in self.near(*at, depth) {
                    let fields = self.shapes.fields(*at, number);
                    let parts: Vec<Vec<Value>> = fields.iter().map(|(_, shape)| self.edges(shape, below)).collect();
                    all.extend(combinations(&parts, 24).into_iter().map(|parts| Value::Variant(number, parts)));
                }
                all
            }
            Shape::Range(item) | Shape::RangeInclusive(item) => {
                let parts = vec![self.edges(item, below); 2];
                combinations(&parts, EDGES).into_iter().map(Value::Parts).collect()
            }
            Shape::Ordering => (0..3).map(|number| Value::Variant(number, Vec::new())).collect(),
            Shape::Duration => <Duration as Generate<()>>::boundary(0).into_iter().map(duration).collect(),
            _ => vec![Value::Unit],
        }
    }

    /// The variants of a type that do not lead too deep.
    fn near(&self, at: usize, depth: usize) -> Vec<u32> {
        let all = 0..self.shapes.variants(at).len() as u32;
        let recurs = |number: &u32| {
            let again = |shape: &Shape| *shape == Shape::Named(at);
            self.shapes.fields(at, *number).iter().any(|(_, shape)| self.shapes.holds(shape, &again))
        };
        let leaves: Vec<u32> = all.clone().filter(|number| !recurs(number)).collect();
        if depth > 0 || leaves.is_empty() { all.collect() } else { leaves }
    }

    /// Arguments at the edges: each argument's with simple others, then all at once.
    pub(super) fn edges_of_all(&self, inputs: &[Argument], most: usize) -> Vec<Vec<Value>> {
        let parts: Vec<Vec<Value>> = inputs.iter().map(|input| self.edges(&input.shape, DEPTH)).collect();
        combinations(&parts, most)
    }

    /// All values of all arguments, where they are few.
    pub(super) fn all(&self, inputs: &[Argument]) -> Option<Vec<Vec<Value>>> {
        let parts: Vec<Vec<Value>> = inputs.iter().map(|input| self.listed(&input.shape, DEPTH)).collect::<Option<_>>()?;
        product(&parts)
    }

    fn listed(&self, shape: &Shape, depth: usize) -> Option<Vec<Value>> {
        let depth = depth.checked_sub(1)?;
        let all = match shape {
            Shape::Unit => vec![Value::Unit],
            Shape::Bool => vec![Value::Bool(false), Value::Bool(true)],
            Shape::Int(kind) | Shape::NonZero(kind) if kind.bytes() == 1 => {
                let all = (kind.fit(i128::MIN)..=kind.fit(i128::MAX)).map(Value::Int);
                all.filter(|value| *value != Value::Int(0) || matches!(shape, Shape::Int(_))).collect()
            }
            Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner) => {
                self.listed(inner, depth)?
            }
            Shape::Option(inner) => {
                let some = self.listed(inner, depth)?.into_iter().map(|value| Value::Variant(1, vec![value]));
                [Value::Variant(0, Vec::new())].into_iter().chain(some).collect()
            }
            Shape::Result(value, error) => {
                let ok = self.listed(value, depth)?.into_iter().map(|value| Value::Variant(0, vec![value]));
                let err = self.listed(error, depth)?.into_iter().map(|value| Value::Variant(1, vec![value]));
                ok.chain(err).collect()
            }
            Shape::Tuple(items) => {
                let parts = items.iter().map(|item| self.listed(item, depth)).collect::<Option<Vec<_>>>()?;
                product(&parts)?.into_iter().map(Value::Parts).collect()
            }
            Shape::Array(count, item) if *count <= 8 => {
                let items = self.listed(item, depth)?;
                product(&vec![items; *count])?.into_iter().map(Value::Parts).collect()
            }
            Shape::Named(at) => {
                let mut all = Vec::new();
                for number in 0..self.shapes.variants(*at).len() as u32 {
                    let fields = self.shapes.fields(*at, number).iter();
                    let parts = fields.map(|(_, shape)| self.listed(shape, depth)).collect::<Option<Vec<_>>>()?;
                    all.extend(product(&parts)?.into_iter().map(|parts| Value::Variant(number, parts)));
                }
                all
            }
            Shape::Ordering => (0..3).map(|number| Value::Variant(number, Vec::new())).collect(),
            _ => return None,
        };
        (all.len() <= LISTED).then_some(all)
    }

    // ------------------------------------------------------------------ at random

    /// Arguments at random: of a size that is as often small as large, now and then with something in common.
    pub(super) fn draw(&mut self, inputs: &[Argument]) -> Vec<Value> {
        let size = 1 << self.random.below(7);
        let size = 1 + self.random.below(size);
        let mut all: Vec<Value> = inputs.iter().map(|input| self.value(&input.shape, size, DEPTH)).collect();
        if self.random.chance(10) && !all.is_empty() {
            let at = self.random.below(all.len());
            let edges = self.edges(&inputs[at].shape, DEPTH);
            all[at] = self.random.pick(&edges).clone();
        }
        for _ in 0..self.random.below(3) {
            self.relate(inputs, &mut all);
        }
        all
    }

    fn value(&mut self, shape: &Shape, size: usize, depth: usize) -> Value {
        let below = depth.saturating_sub(1);
        match shape {
            Shape::Bool => Value::Bool(self.random.chance(2)),
            Shape::Int(kind) => Value::Int(self.int(*kind, size)),
            Shape::NonZero(kind) => match self.int(*kind, size) {
                0 => Value::Int(1),
                value => Value::Int(value),
            },
            Shape::Float(bytes) => {
                let value = self.float(size);
                Value::Float(if *bytes == 4 { f64::from(value as f32) } else { value })
            }
            Shape::Char => Value::Char(self.letter()),
            Shape::Text { .. } => Value::Text(self.text(size)),
            Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner) => {
                self.value(inner, size, depth)
            }
            Shape::List(_, item) | Shape::Set(_, item) => Value::Parts(self.list(item, size, depth)),
            Shape::Map(_, key, item) => {
                let count = if depth == 0 { 0 } else { self.random.below(size.min(LONGEST) + 1) };
                let mut parts: Vec<Value> = Vec::new();
                for _ in 0..count {
                    let key = self.value(key, size, below);
                    if !parts.iter().step_by(2).any(|known| *known == key) {
                        parts.push(key);
                        parts.push(self.value(item, size, below));
                    }
                }
                Value::Parts(parts)
            }
            Shape::Array(count, item) => Value::Parts((0..*count).map(|_| self.value(item, size, below)).collect()),
            Shape::Option(inner) => match depth > 0 && !self.random.chance(4) {
                true => Value::Variant(1, vec![self.value(inner, size, below)]),
                false => Value::Variant(0, Vec::new()),
            },
            Shape::Result(value, error) => match self.random.chance(2) {
                true => Value::Variant(0, vec![self.value(value, size, below)]),
                false => Value::Variant(1, vec![self.value(error, size, below)]),
            },
            Shape::Tuple(items) => Value::Parts(items.iter().map(|item| self.value(item, size, below)).collect()),
            Shape::Named(at) => {
                let number = *self.random.pick(&self.near(*at, depth));
                let shapes = self.shapes;
                let fields = shapes.fields(*at, number).iter();
                Value::Variant(number, fields.map(|(_, shape)| self.value(shape, size / 2 + 1, below)).collect())
            }
            Shape::Range(item) | Shape::RangeInclusive(item) => {
                let mut parts = vec![self.value(item, size, below), self.value(item, size, below)];
                if let [Value::Int(start), Value::Int(end)] = &parts[..]
                    && start > end
                    && !self.random.chance(4)
                {
                    parts.reverse();
                }
                Value::Parts(parts)
            }
            Shape::Ordering => Value::Variant(self.random.below(3) as u32, Vec::new()),
            Shape::Duration => duration(match self.random.below(3) {
                0 => Duration::from_secs(self.random.below(200_000) as u64),
                1 => Duration::from_millis(self.random.below(1_000_000) as u64),
                _ => Duration::from_nanos(self.random.next() >> self.random.below(60)),
            }),
            _ => Value::Unit,
        }
    }

    fn int(&mut self, kind: Integer, size: usize) -> i128 {
        let sign = if kind.is_signed() && self.random.chance(3) { -1 } else { 1 };
        let number = match self.random.below(20) {
            0..9 => sign * self.random.below(size + 2) as i128,
            9..13 => sign * i128::from(self.random.next() >> (48 + self.random.below(16))),
            13..16 if !self.words.ints.is_empty() => {
                *self.random.pick(&self.words.ints) + self.random.below(3) as i128 - 1
            }
            13..17 => sign * self.random.below(1000) as i128,
            17 => *self.random.pick(&int_edges(kind)),
            18 => sign * i128::from(self.random.next() >> self.random.below(64)),
            _ => {
                let wide = (i128::from(self.random.next()) << 64) | i128::from(self.random.next());
                wide >> self.random.below(127)
            }
        };
        kind.fit(number)
    }

    fn float(&mut self, size: usize) -> f64 {
        let sign = if self.random.chance(3) { -1.0 } else { 1.0 };
        match self.random.below(12) {
            0..4 => sign * self.random.below(size + 2) as f64,
            4..7 => sign * self.random.below(100_000) as f64 / 100.0,
            7 => sign * (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64,
            8 | 9 if !self.words.floats.is_empty() => *self.random.pick(&self.words.floats),
            8 | 9 if !self.words.ints.is_empty() => *self.random.pick(&self.words.ints) as f64,
            10 => *self.random.pick(&<f64 as Generate<()>>::boundary(0)),
            11 => f64::from_bits(self.random.next()),
            _ => sign * self.random.below(size + 2) as f64 + 0.5,
        }
    }

    fn letter(&mut self) -> char {
        if !self.words.letters.is_empty() && self.random.chance(3) {
            return *self.random.pick(&self.words.letters);
        }
        let alphabet: Vec<char> = self.random.pick(&ALPHABETS).chars().collect();
        *self.random.pick(&alphabet)
    }

    fn text(&mut self, size: usize) -> String {
        let words = self.words;
        match self.random.below(12) {
            0 if !words.texts.is_empty() => return self.random.pick(&words.texts).clone(),
            1 | 2 if !words.texts.is_empty() => {
                let count = self.random.below(size.min(6) + 1);
                let separator = *self.random.pick(&["", " ", ",", "-", "\n", "  "]);
                let parts: Vec<&str> = (0..count).map(|_| self.random.pick(&words.texts).as_str()).collect();
                return parts.join(separator);
            }
            3 => return self.int(Integer::I64, size).to_string(),
            _ => {}
        }
        let length = self.random.below(size.min(LONGEST) + 1);
        let mut alphabet: Vec<char> = match self.random.below(8) {
            0 | 1 => ALPHABETS[0].chars().collect(),
            2 => ALPHABETS[1].chars().collect(),
            3 => ALPHABETS[2].chars().collect(),
            4 => ALPHABETS[3].chars().collect(),
            5 => ALPHABETS[4].chars().collect(),
            _ => words.letters.clone(),
        };
        if alphabet.is_empty() {
            alphabet.extend("ab".chars());
        }
        // Few different letters now and then: what repeats is where programs differ.
        if self.random.chance(3) {
            let (one, other) = (*self.random.pick(&alphabet), *self.random.pick(&alphabet));
            alphabet = vec![one, other];
        }
        (0..length).map(|_| *self.random.pick(&alphabet)).collect()
    }

    fn list(&mut self, item: &Shape, size: usize, depth: usize) -> Vec<Value> {
        let below = depth.saturating_sub(1);
        let length = if depth == 0 { 0 } else { self.random.below(size.min(LONGEST) + 1) };
        let inner = match item {
            Shape::List(..) | Shape::Text { .. } | Shape::Named(_) | Shape::Map(..) | Shape::Set(..) => size / 2 + 1,
            _ => size,
        };
        // Tables: rows of one length, now and then as many as they are long.
        if let Shape::List(_, cell) = item
            && self.random.chance(2)
        {
            let length = length.min(8);
            let width = if self.random.chance(2) { length } else { self.random.below(6) };
            let row = |maker: &mut Self| {
                Value::Parts((0..width).map(|_| maker.value(cell, inner, below.saturating_sub(1))).collect())
            };
            return (0..length).map(|_| row(self)).collect();
        }
        let mut all: Vec<Value> = match self.random.below(4) {
            0 => {
                let few: Vec<Value> = (0..3).map(|_| self.value(item, inner, below)).collect();
                (0..length).map(|_| self.random.pick(&few).clone()).collect()
            }
            _ => (0..length).map(|_| self.value(item, inner, below)).collect(),
        };
        match self.random.below(6) {
            0 => sort(&mut all),
            1 => {
                sort(&mut all);
                all.reverse();
            }
            _ => {}
        }
        all
    }

    /// Gives arguments something in common: a number that is a length, an element, or another number.
    fn relate(&mut self, inputs: &[Argument], all: &mut [Value]) {
        let mut found = Found::default();
        for (input, value) in inputs.iter().zip(all.iter()) {
            found.look(self.shapes, &input.shape, value);
        }
        let is_text = found.ints == 0 || found.texts > 0 && self.random.chance(2);
        let count = if is_text { found.texts } else { found.ints };
        if count == 0 {
            return;
        }
        let mut left = self.random.below(count);
        let new = if is_text {
            let Some(text) = (!found.known_texts.is_empty()).then(|| self.random.pick(&found.known_texts).clone()) else {
                return;
            };
            let letters: Vec<char> = text.chars().collect();
            let (from, to) = (self.random.below(letters.len() + 1), self.random.below(letters.len() + 1));
            let part = if self.random.chance(2) { &letters[..] } else { &letters[from.min(to)..from.max(to)] };
            Value::Text(part.iter().collect())
        } else {
            let numbers = if self.random.chance(2) { &found.lengths } else { &found.known_ints };
            let Some(number) = (!numbers.is_empty()).then(|| *self.random.pick(numbers)) else { return };
            Value::Int(number + [0, 0, 0, 1, -1][self.random.below(5)])
        };
        for (input, value) in inputs.iter().zip(all.iter_mut()) {
            if put(self.shapes, &input.shape, value, &mut left, &new) {
                return;
            }
        }
    }

    // ------------------------------------------------------------------ from others

    /// Arguments near these.
    pub(super) fn vary(&mut self, inputs: &[Argument], of: &[Value]) -> Vec<Value> {
        let mut all = of.to_vec();
        if all.is_empty() {
            return all;
        }
        for _ in 0..=self.random.below(3) {
            let at = self.random.below(all.len());
            if self.random.chance(8) {
                let size = 1 << self.random.below(5);
                all[at] = self.value(&inputs[at].shape, size, DEPTH);
            } else if self.random.chance(6) {
                self.relate(inputs, &mut all);
            } else {
                self.change(&inputs[at].shape, &mut all[at], DEPTH);
            }
        }
        all
    }

    /// Takes some arguments from others.
    pub(super) fn cross(&mut self, of: &[Value], others: &[Value]) -> Vec<Value> {
        of.iter().zip(others).map(|(one, other)| if self.random.chance(2) { one } else { other }.clone()).collect()
    }

    fn change(&mut self, shape: &Shape, value: &mut Value, depth: usize) {
        let below = depth.saturating_sub(1);
        match (shape, value) {
            (Shape::Bool, Value::Bool(value)) => *value = !*value,
            (Shape::Int(kind) | Shape::NonZero(kind), Value::Int(value)) => {
                let old = *value;
                let new = match self.random.below(8) {
                    0 => old.wrapping_add(1),
                    1 => old.wrapping_sub(1),
                    2 => old.wrapping_neg(),
                    3 => old.wrapping_mul(2),
                    4 => old / 2,
                    5 => old.wrapping_add(self.random.below(21) as i128 - 10),
                    6 => 0,
                    _ => self.int(*kind, 16),
                };
                let new = kind.fit(new);
                *value = if new == 0 && matches!(shape, Shape::NonZero(_)) { 1 } else { new };
            }
            (Shape::Float(bytes), Value::Float(value)) => {
                let new = match self.random.below(6) {
                    0 => *value + 1.0,
                    1 => *value - 1.0,
                    2 => -*value,
                    3 => *value / 2.0,
                    4 => value.round(),
                    _ => self.float(16),
                };
                *value = if *bytes == 4 { f64::from(new as f32) } else { new };
            }
            (Shape::Char, Value::Char(value)) => *value = self.letter_near(*value),
            (Shape::Text { .. }, Value::Text(value)) => *value = self.text_near(value),
            (
                Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner),
                value,
            ) => self.change(inner, value, depth),
            (Shape::List(_, item) | Shape::Set(_, item), Value::Parts(parts)) => self.change_list(item, parts, below),
            (Shape::Map(_, key, item), Value::Parts(parts)) => {
                let count = parts.len() / 2;
                match self.random.below(3) {
                    0 if count > 0 => {
                        let at = 2 * self.random.below(count);
                        parts.drain(at..at + 2);
                    }
                    1 if count > 0 => {
                        let at = 2 * self.random.below(count) + 1;
                        self.change(item, &mut parts[at], below);
                    }
                    _ => {
                        let new = self.value(key, 8, below);
                        if !parts.iter().step_by(2).any(|known| *known == new) {
                            parts.push(new);
                            parts.push(self.value(item, 8, below));
                        }
                    }
                }
            }
            (Shape::Array(_, item) | Shape::Range(item) | Shape::RangeInclusive(item), Value::Parts(parts)) => {
                if !parts.is_empty() {
                    let at = self.random.below(parts.len());
                    if self.random.chance(4) {
                        let other = self.random.below(parts.len());
                        parts.swap(at, other);
                    } else {
                        self.change(item, &mut parts[at], below);
                    }
                }
            }
            (Shape::Tuple(items), Value::Parts(parts)) if !parts.is_empty() => {
                let at = self.random.below(parts.len());
                self.change(&items[at], &mut parts[at], below);
            }
            (Shape::Option(inner), Value::Variant(1, parts)) if !parts.is_empty() && !self.random.chance(5) => {
                self.change(inner, &mut parts[0], below);
            }
            (Shape::Result(value, error), Value::Variant(number, parts))
                if !parts.is_empty() && !self.random.chance(5) =>
            {
                let shape = if *number == 0 { value } else { error };
                self.change(shape, &mut parts[0], below);
            }
            (Shape::Named(at), Value::Variant(number, parts)) if !parts.is_empty() && !self.random.chance(4) => {
                let field = self.random.below(parts.len());
                let shapes = self.shapes;
                if let Some((_, shape)) = shapes.fields(*at, *number).get(field) {
                    self.change(shape, &mut parts[field], below);
                }
            }
            (shape, value) => *value = self.value(shape, 8, depth.max(1)),
        }
    }

    fn change_list(&mut self, item: &Shape, parts: &mut Vec<Value>, depth: usize) {
        let length = parts.len();
        if length == 0 {
            parts.push(self.value(item, 8, depth));
            return;
        }
        let (at, other) = (self.random.below(length), self.random.below(length));
        match self.random.below(12) {
            0 => {
                parts.remove(at);
            }
            1 => {
                let new = self.value(item, 8, depth);
                parts.insert(at, new);
            }
            2 => {
                let again = parts[at].clone();
                parts.insert(other, again);
            }
            3 => parts.swap(at, other),
            4 => parts.reverse(),
            5 => sort(parts),
            6 => parts.truncate(at + 1),
            7 => parts[at] = parts[other].clone(),
            8 if length < LONGEST => {
                let again = parts.clone();
                parts.extend(again);
            }
            _ => self.change(item, &mut parts[at], depth),
        }
    }

    fn letter_near(&mut self, letter: char) -> char {
        let swapped = |letter: char| match letter {
            letter if letter.is_ascii_lowercase() => letter.to_ascii_uppercase(),
            letter => letter.to_ascii_lowercase(),
        };
        match self.random.below(4) {
            0 => swapped(letter),
            1 if letter.is_ascii_digit() => (b'0' + self.random.below(10) as u8) as char,
            1 if letter.is_ascii_lowercase() => (b'a' + self.random.below(26) as u8) as char,
            2 => char::from_u32(letter as u32 + 1).unwrap_or('a'),
            _ => self.letter(),
        }
    }

    fn text_near(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        if letters.is_empty() {
            return self.text(8);
        }
        let length = letters.len();
        let (at, other) = (self.random.below(length), self.random.below(length));
        match self.random.below(12) {
            0 => {
                letters.remove(at);
            }
            1 => {
                let new = self.letter();
                letters.insert(at, new);
            }
            2 => letters.swap(at, other),
            3 => {
                let again = letters[at];
                letters.insert(at, again);
            }
            4 => letters.truncate(at),
            5 if length < LONGEST => letters.extend(letters.clone()),
            6 => letters.insert(if self.random.chance(2) { 0 } else { length }, ' '),
            7 => letters = text.to_uppercase().chars().collect(),
            8 => letters.reverse(),
            9 if !self.words.texts.is_empty() => {
                let word: Vec<char> = self.random.pick(&self.words.texts).chars().collect();
                letters.splice(at..at, word);
            }
            _ => letters[at] = self.letter_near(letters[at]),
        }
        letters.truncate(4 * LONGEST);
        letters.into_iter().collect()
    }

    // ------------------------------------------------------------------ smaller

    /// Simpler arguments, one thing changed at a time.
    pub(super) fn smaller(&self, inputs: &[Argument], of: &[Value]) -> Vec<Vec<Value>> {
        let mut all = Vec::new();
        for (at, input) in inputs.iter().enumerate() {
            for value in self.shrink(&input.shape, &of[at]) {
                let mut smaller = of.to_vec();
                smaller[at] = value;
                all.push(smaller);
            }
        }
        // Numbers that say how long something is only make sense when they shrink with it.
        for (at, value) in of.iter().enumerate() {
            let Value::Parts(parts) = value else { continue };
            for (other, number) in of.iter().enumerate() {
                if *number == Value::Int(parts.len() as i128) && !parts.is_empty() {
                    let step = if matches!(inputs[at].shape, Shape::Map(..)) { 2 } else { 1 };
                    for cut in (0..parts.len()).step_by(step).take(12) {
                        let mut smaller = of.to_vec();
                        let mut left = parts.clone();
                        left.drain(cut..(cut + step).min(parts.len()));
                        smaller[other] = Value::Int(left.len() as i128);
                        smaller[at] = Value::Parts(left);
                        all.push(smaller);
                    }
                }
            }
        }
        all
    }

    fn shrink(&self, shape: &Shape, value: &Value) -> Vec<Value> {
        match (shape, value) {
            (Shape::Bool, Value::Bool(true)) => vec![Value::Bool(false)],
            (Shape::Int(kind) | Shape::NonZero(kind), Value::Int(value)) => {
                let value = *value;
                let near = [0, 1, 2, -1, 3, 10, value.wrapping_neg(), value / 2, value - value / 4, value - value / 8];
                let step = if value > 0 { value - 1 } else { value.wrapping_add(1) };
                let mut all: Vec<i128> = near.into_iter().chain([step]).collect();
                all.retain(|smaller| {
                    kind.fit(*smaller) == *smaller && (*smaller != 0 || matches!(shape, Shape::Int(_)))
                });
                all.into_iter().map(Value::Int).collect()
            }
            (Shape::Float(_), Value::Float(value)) => {
                let all = [0.0, 1.0, 2.0, -1.0, 0.5, -value, value.trunc(), (value / 2.0).trunc(), value / 2.0];
                all.into_iter().map(Value::Float).collect()
            }
            (Shape::Char, Value::Char(_)) => ['a', 'b', 'A', '0', ' ', 'é'].map(Value::Char).to_vec(),
            (Shape::Text { .. }, Value::Text(text)) => {
                let letters: Vec<Value> = text.chars().map(Value::Char).collect();
                let join = |letters: Vec<Value>| {
                    let letter = |value: Value| if let Value::Char(letter) = value { letter } else { 'a' };
                    Value::Text(letters.into_iter().map(letter).collect())
                };
                self.shrink_list(&Shape::Char, &letters, 1).into_iter().map(join).collect()
            }
            (
                Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner),
                value,
            ) => self.shrink(inner, value),
            (Shape::List(_, item) | Shape::Set(_, item), Value::Parts(parts)) => {
                self.shrink_list(item, parts, 1).into_iter().map(Value::Parts).collect()
            }
            (Shape::Map(_, key, item), Value::Parts(parts)) => {
                let mut all = vec![Value::Parts(Vec::new())];
                for at in (0..parts.len()).step_by(2).take(16) {
                    let mut fewer = parts.clone();
                    fewer.drain(at..at + 2);
                    all.push(Value::Parts(fewer));
                }
                for at in 0..parts.len().min(12) {
                    let shape = if at % 2 == 0 { key } else { item };
                    for part in self.shrink(shape, &parts[at]).into_iter().take(6) {
                        if at % 2 == 0 && parts.iter().step_by(2).any(|known| *known == part) {
                            continue;
                        }
                        let mut smaller = parts.clone();
                        smaller[at] = part;
                        all.push(Value::Parts(smaller));
                    }
                }
                all
            }
            (Shape::Array(_, item) | Shape::Range(item) | Shape::RangeInclusive(item), Value::Parts(parts)) => {
                self.shrink_each(parts, |_| Some(item)).into_iter().map(Value::Parts).collect()
            }
            (Shape::Tuple(items), Value::Parts(parts)) => {
                self.shrink_each(parts, |at| items.get(at)).into_iter().map(Value::Parts).collect()
            }
            (Shape::Option(inner), Value::Variant(1, parts)) => {
                let some = parts.iter().flat_map(|part| self.shrink(inner, part));
                [Value::Variant(0, Vec::new())].into_iter().chain(some.map(|part| Value::Variant(1, vec![part]))).collect()
            }
            (Shape::Result(value, error), Value::Variant(number, parts)) => {
                let shape = if *number == 0 { value } else { error };
                let all = parts.iter().flat_map(|part| self.shrink(shape, part));
                all.map(|part| Value::Variant(*number, vec![part])).collect()
            }
            (Shape::Named(at), Value::Variant(number, parts)) => {
                let fields = self.shapes.fields(*at, *number);
                let mut all = Vec::new();
                // What it holds of its own kind stands for itself.
                for ((_, shape), part) in fields.iter().zip(parts) {
                    inner(shape, part, *at, &mut all);
                }
                // Variants without fields, and earlier ones with the same.
                for other in 0..*number {
                    let others = self.shapes.fields(*at, other);
                    if others.is_empty() {
                        all.push(Value::Variant(other, Vec::new()));
                    } else if others.iter().map(|(_, shape)| shape).eq(fields.iter().map(|(_, shape)| shape)) {
                        all.push(Value::Variant(other, parts.clone()));
                    }
                }
                let smaller = self.shrink_each(parts, |at| fields.get(at).map(|(_, shape)| shape));
                all.extend(smaller.into_iter().map(|parts| Value::Variant(*number, parts)));
                all
            }
            (Shape::Ordering, Value::Variant(number, _)) => {
                (0..*number).map(|number| Value::Variant(number, Vec::new())).collect()
            }
            (Shape::Duration, Value::Parts(parts)) => {
                let zero = |at: usize| {
                    let mut smaller = parts.clone();
                    smaller[at] = Value::Int(0);
                    Value::Parts(smaller)
                };
                let one = Value::Parts(vec![Value::Int(1), Value::Int(0)]);
                (0..parts.len()).map(zero).chain([one]).collect()
            }
            _ => Vec::new(),
        }
    }

    fn shrink_list(&self, item: &Shape, parts: &[Value], least: usize) -> Vec<Vec<Value>> {
        if parts.is_empty() {
            return Vec::new();
        }
        let mut all = vec![Vec::new()];
        let mut size = parts.len() / 2;
        while size >= least.max(1) {
            for from in (0..parts.len()).step_by(size).take(24) {
                let mut fewer = parts.to_vec();
                fewer.drain(from..(from + size).min(parts.len()));
                all.push(fewer);
            }
            size /= 2;
        }
        if parts.len() == 1 {
            all.truncate(1);
        }
        for at in 0..parts.len().min(16) {
            for part in self.shrink(item, &parts[at]).into_iter().take(12) {
                let mut smaller = parts.to_vec();
                smaller[at] = part;
                all.push(smaller);
            }
        }
        let mut sorted = parts.to_vec();
        sort(&mut sorted);
        all.push(sorted);
        all
    }

    fn shrink_each<'s>(&self, parts: &[Value], shape: impl Fn(usize) -> Option<&'s Shape>) -> Vec<Vec<Value>> {
        let mut all = Vec::new();
        for (at, part) in parts.iter().enumerate().take(16) {
            let Some(shape) = shape(at) else { continue };
            for smaller in self.shrink(shape, part) {
                let mut new = parts.to_vec();
                new[at] = smaller;
                all.push(new);
            }
        }
        all
    }
}

/// Numbers, lengths and texts in arguments.
#[derive(Default)]
struct Found {
    ints: usize,
    texts: usize,
    lengths: Vec<i128>,
    known_ints: Vec<i128>,
    known_texts: Vec<String>,
}

impl Found {
    fn look(&mut self, shapes: &Shapes, shape: &Shape, value: &Value) {
        match value {
            Value::Int(number) if matches!(shape, Shape::Int(_)) => {
                self.ints += 1;
                self.known_ints.push(*number);
            }
            Value::Text(text) => {
                self.texts += 1;
                self.lengths.push(text.chars().count() as i128);
                self.known_texts.push(text.clone());
            }
            Value::Parts(parts) if matches!(shape, Shape::List(..) | Shape::Set(..) | Shape::Map(..)) => {
                let pairs = if matches!(shape, Shape::Map(..)) { 2 } else { 1 };
                self.lengths.push((parts.len() / pairs) as i128);
            }
            _ => {}
        }
        each_part(shapes, shape, value, &mut |shape, value| self.look(shapes, shape, value));
    }
}

/// Calls `look` for each part of a value.
fn each_part(shapes: &Shapes, shape: &Shape, value: &Value, look: &mut dyn FnMut(&Shape, &Value)) {
    match (shape, value) {
        (Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner), value) => {
            look(inner, value);
        }
        (_, Value::Parts(parts) | Value::Variant(_, parts)) => {
            for (at, part) in parts.iter().enumerate() {
                if let Some(shape) = part_shape(shapes, shape, value, at) {
                    look(shape, part);
                }
            }
        }
        _ => {}
    }
}

fn part_shape<'s>(shapes: &'s Shapes, shape: &'s Shape, value: &Value, at: usize) -> Option<&'s Shape> {
    Some(match (shape, value) {
        (
            Shape::List(_, item)
            | Shape::Set(_, item)
            | Shape::Array(_, item)
            | Shape::Range(item)
            | Shape::RangeInclusive(item)
            | Shape::Option(item),
            _,
        ) => item,
        (Shape::Map(_, key, item), _) => {
            if at.is_multiple_of(2) {
                key
            } else {
                item
            }
        }
        (Shape::Result(value, _), Value::Variant(0, _)) => value,
        (Shape::Result(_, error), _) => error,
        (Shape::Tuple(items), _) => items.get(at)?,
        (Shape::Named(named), Value::Variant(number, _)) => &shapes.fields(*named, *number).get(at)?.1,
        _ => return None,
    })
}

/// Puts a number or a text in the place that `left` counts down to.
fn put(shapes: &Shapes, shape: &Shape, value: &mut Value, left: &mut usize, new: &Value) -> bool {
    let fits = match (&*value, new) {
        (Value::Int(_), Value::Int(_)) => matches!(shape, Shape::Int(_)),
        (Value::Text(_), Value::Text(_)) => true,
        _ => false,
    };
    if fits {
        if *left > 0 {
            *left -= 1;
            return false;
        }
        *value = match (shape, new) {
            (Shape::Int(kind), Value::Int(number)) => Value::Int(kind.fit(*number)),
            _ => new.clone(),
        };
        return true;
    }
    if let Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner) = shape {
        return put(shapes, inner, value, left, new);
    }
    let seen = value.clone();
    if let Value::Parts(parts) | Value::Variant(_, parts) = value {
        for (at, part) in parts.iter_mut().enumerate() {
            // Keys stay different.
            let is_key = matches!(shape, Shape::Map(..)) && at.is_multiple_of(2);
            if let Some(shape) = part_shape(shapes, shape, &seen, at).filter(|_| !is_key)
                && put(shapes, shape, part, left, new)
            {
                return true;
            }
        }
    }
    false
}

/// Values of type `at` within a field.
fn inner(shape: &Shape, value: &Value, at: usize, all: &mut Vec<Value>) {
    match (shape, value) {
        (Shape::Named(other), value) if *other == at => all.push(value.clone()),
        (Shape::Pointer(_, shape) | Shape::Ref(shape), value) => inner(shape, value, at, all),
        (Shape::List(_, shape) | Shape::Option(shape), Value::Parts(parts) | Value::Variant(_, parts)) => {
            parts.iter().for_each(|part| inner(shape, part, at, all));
        }
        _ => {}
    }
}

/// Sorts numbers and texts by value, all else by what it is made of.
fn sort(parts: &mut [Value]) {
    fn order(one: &Value, other: &Value) -> std::cmp::Ordering {
        use std::cmp::Ordering::Equal;
        let each = |one: &[Value], other: &[Value]| {
            let parts = one.iter().zip(other).map(|(one, other)| order(one, other)).find(|order| *order != Equal);
            parts.unwrap_or_else(|| one.len().cmp(&other.len()))
        };
        match (one, other) {
            (Value::Int(one), Value::Int(other)) => one.cmp(other),
            (Value::Float(one), Value::Float(other)) => one.total_cmp(other),
            (Value::Text(one), Value::Text(other)) => one.cmp(other),
            (Value::Char(one), Value::Char(other)) => one.cmp(other),
            (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
            (Value::Parts(one), Value::Parts(other)) => each(one, other),
            (Value::Variant(one, parts), Value::Variant(other, others)) => one.cmp(other).then(each(parts, others)),
            _ => Equal,
        }
    }
    parts.sort_by(order);
}

fn int_edges(kind: Integer) -> Vec<i128> {
    macro_rules! edges {
        ($($kind:ident $int:ident,)*) => {
            match kind {
                $(Integer::$kind => <$int as Generate<()>>::boundary(0).into_iter().map(|edge| edge as i128).collect(),)*
            }
        };
    }
    edges!(I8 i8, I16 i16, I32 i32, I64 i64, I128 i128, Isize isize, U8 u8, U16 u16, U32 u32, U64 u64, U128 u128, Usize usize,)
}

fn duration(value: Duration) -> Value {
    Value::Parts(vec![Value::Int(value.as_secs().into()), Value::Int(value.subsec_nanos().into())])
}

fn lists(items: &[Value]) -> Vec<Vec<Value>> {
    let mut all = vec![Vec::new()];
    all.extend(items.iter().take(6).map(|item| vec![item.clone()]));
    if let [one, two, ..] = items {
        let first: Vec<Value> = items.iter().take(8).cloned().collect();
        all.push(vec![one.clone(), two.clone()]);
        all.push(vec![two.clone(), one.clone()]);
        all.push(vec![two.clone(), two.clone()]);
        all.push(vec![one.clone(), two.clone(), one.clone()]);
        all.push(first.iter().rev().cloned().collect());
        all.push(first);
        all.extend(items.iter().skip(6).map(|item| vec![item.clone()]));
        all.push(items.iter().cycle().take(33).cloned().collect());
    }
    all
}

/// All combinations.
fn product(parts: &[Vec<Value>]) -> Option<Vec<Vec<Value>>> {
    let count = parts.iter().try_fold(1_usize, |count, part| count.checked_mul(part.len()));
    if count.is_none_or(|count| count > LISTED) {
        return None;
    }
    let mut all = vec![Vec::new()];
    for part in parts {
        all = all.iter().flat_map(|done| part.iter().map(|value| [&done[..], &[value.clone()]].concat())).collect();
    }
    Some(all)
}

/// Combinations of edges: all where they are few, else each with simple others, then all at once.
fn combinations(parts: &[Vec<Value>], most: usize) -> Vec<Vec<Value>> {
    if parts.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    if parts.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul).is_some_and(|count| count <= most) {
        return product(parts).unwrap_or_default();
    }
    let mut chosen: Vec<Vec<usize>> = Vec::new();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut add = |at: Vec<usize>| {
        if chosen.len() < most && !chosen.contains(&at) {
            chosen.push(at);
        }
    };
    for step in 0..longest {
        for variable in 0..parts.len() {
            let mut at: Vec<usize> = parts.iter().map(|part| (step % 2).min(part.len() - 1)).collect();
            if step < parts[variable].len() {
                at[variable] = step;
                add(at);
            }
        }
        add(parts.iter().map(|part| step % part.len()).collect());
    }
    chosen.into_iter().map(|at| at.iter().zip(parts).map(|(at, part)| part[*at].clone()).collect()).collect()
}
