//! Values drawn at random, for the arguments of a function. Pure: all is made anew from a seed.

use std::time::Duration;

use super::edges::{duration, float_edges, int_edges};
use super::shape::{Argument, Integer, Shape, Shapes};
use super::value::Value;
use super::vary::sort;

/// How deep values of recursive types are.
pub(super) const DEPTH: usize = 4;
/// Most elements of a list, and letters of a text, that is drawn.
pub(super) const LONGEST: usize = 64;

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

    pub(super) fn chance(&mut self, of: usize) -> bool {
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

    pub(super) fn value(&mut self, shape: &Shape, size: usize, depth: usize) -> Value {
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

    pub(super) fn int(&mut self, kind: Integer, size: usize) -> i128 {
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

    pub(super) fn float(&mut self, size: usize) -> f64 {
        let sign = if self.random.chance(3) { -1.0 } else { 1.0 };
        match self.random.below(12) {
            0..4 => sign * self.random.below(size + 2) as f64,
            4..7 => sign * self.random.below(100_000) as f64 / 100.0,
            7 => sign * (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64,
            8 | 9 if !self.words.floats.is_empty() => *self.random.pick(&self.words.floats),
            8 | 9 if !self.words.ints.is_empty() => *self.random.pick(&self.words.ints) as f64,
            10 => *self.random.pick(&float_edges()),
            11 => f64::from_bits(self.random.next()),
            _ => sign * self.random.below(size + 2) as f64 + 0.5,
        }
    }

    pub(super) fn letter(&mut self) -> char {
        if !self.words.letters.is_empty() && self.random.chance(3) {
            return *self.random.pick(&self.words.letters);
        }
        let alphabet: Vec<char> = self.random.pick(&ALPHABETS).chars().collect();
        *self.random.pick(&alphabet)
    }

    pub(super) fn text(&mut self, size: usize) -> String {
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
}
