//! Inputs made of others: near to them, or with something in common. Pure.

use super::inputs::{DEPTH, LONGEST, Maker};
use super::shape::{Argument, Shape, Shapes};
use super::value::Value;

impl Maker<'_> {
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
            (Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner), value) => {
                self.change(inner, value, depth)
            }
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

    /// Gives arguments something in common: a number that is a length, an element, or another number.
    pub(super) fn relate(&mut self, inputs: &[Argument], all: &mut [Value]) {
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
            let Some(text) = (!found.known_texts.is_empty()).then(|| self.random.pick(&found.known_texts).clone())
            else {
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

/// Sorts numbers and texts by value, all else by what it is made of.
pub(super) fn sort(parts: &mut [Value]) {
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
