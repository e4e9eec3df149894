//! Values of a spec's types as data: written and read as `validate/runtime/wire.rs` does, compared, measured. Pure.
//!
//! What is read may come from a hostile candidate: depth and memory are bounded, and what is wrong is `None`.

use super::shape::{Integer, Shape, Shapes};

/// Deepest nesting of a value that is read.
const DEPTH: usize = 100;
/// Most parts of a value that is read.
const PARTS: usize = 1 << 17;
/// How far floats may be apart, relative to the larger one, and still be the same.
const TOLERANCE: f64 = 1e-9;

/// A value; what it means its [`Shape`] says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unit,
    Bool(bool),
    /// A number's bits, extended to 128 by its sign.
    Int(i128),
    Float(f64),
    Char(char),
    Text(String),
    /// Elements, fields, or the parts of anything else; those of a map are keys and values in turn.
    Parts(Vec<Value>),
    /// The variant of that number, with its fields.
    Variant(u32, Vec<Value>),
}

impl Value {
    /// How large it is to a reader: what shrinking makes smaller.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Unit | Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Int(number) => {
                let magnitude = if *number < 0 { 2 * number.unsigned_abs().ilog2() + 1 } else { 0 };
                1 + magnitude as usize + if *number > 0 { 2 * number.ilog2() as usize } else { 0 }
            }
            Self::Float(number) if *number == 0.0 => 1 + usize::from(number.is_sign_negative()),
            Self::Float(number) if !number.is_finite() => 40,
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e9 => 2 + number.abs().log2() as usize,
            Self::Float(number) => 4 + format!("{number:?}").len(),
            Self::Char(letter) => letter_size(*letter),
            Self::Text(text) => 1 + text.chars().map(letter_size).sum::<usize>(),
            Self::Parts(parts) => 1 + parts.iter().map(|part| 1 + part.size()).sum::<usize>(),
            Self::Variant(number, parts) => {
                1 + *number as usize + parts.iter().map(|part| 1 + part.size()).sum::<usize>()
            }
        }
    }
}

fn letter_size(letter: char) -> usize {
    match letter {
        'a' => 1,
        'b'..='z' | ' ' => 2,
        ' '..='~' => 3,
        _ => 5,
    }
}

/// Writes a value.
pub(super) fn encode(shapes: &Shapes, shape: &Shape, value: &Value, out: &mut Vec<u8>) {
    match (shape, value) {
        (Shape::Unit, _) => out.push(0),
        (Shape::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
        (Shape::Int(kind) | Shape::NonZero(kind), Value::Int(value)) => {
            out.extend_from_slice(&value.to_le_bytes()[..kind.bytes()]);
        }
        (Shape::Float(4), Value::Float(value)) => out.extend((*value as f32).to_le_bytes()),
        (Shape::Float(_), Value::Float(value)) => out.extend(value.to_le_bytes()),
        (Shape::Char, Value::Char(value)) => out.extend(u32::from(*value).to_le_bytes()),
        (Shape::Text { .. }, Value::Text(value)) => text(value, out),
        (Shape::Cow(inner), value) => {
            out.push(1);
            encode(shapes, inner, value, out);
        }
        (Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner), value) => {
            encode(shapes, inner, value, out);
        }
        (Shape::List(_, item), Value::Parts(parts)) => {
            length(parts.len(), out);
            parts.iter().for_each(|part| encode(shapes, item, part, out));
        }
        (Shape::Set(_, item), Value::Parts(parts)) => {
            // An element that is there twice would be an error.
            let mut all: Vec<Vec<u8>> = Vec::new();
            for part in parts {
                let mut bytes = Vec::new();
                encode(shapes, item, part, &mut bytes);
                if !all.contains(&bytes) {
                    all.push(bytes);
                }
            }
            length(all.len(), out);
            all.iter().for_each(|bytes| out.extend(bytes));
        }
        (Shape::Map(_, key, item), Value::Parts(parts)) => {
            length(parts.len() / 2, out);
            for pair in parts.chunks_exact(2) {
                encode(shapes, key, &pair[0], out);
                encode(shapes, item, &pair[1], out);
            }
        }
        (Shape::Array(_, item), Value::Parts(parts)) => {
            out.push(0);
            parts.iter().for_each(|part| encode(shapes, item, part, out));
        }
        (Shape::Option(inner), Value::Variant(number, parts)) => {
            out.push(*number as u8);
            parts.iter().for_each(|part| encode(shapes, inner, part, out));
        }
        (Shape::Result(value, error), Value::Variant(number, parts)) => {
            out.push(*number as u8);
            let shape = if *number == 0 { value } else { error };
            parts.iter().for_each(|part| encode(shapes, shape, part, out));
        }
        (Shape::Tuple(items), Value::Parts(parts)) => {
            items.iter().zip(parts).for_each(|(item, part)| encode(shapes, item, part, out));
        }
        (Shape::Named(at), Value::Variant(number, parts)) => {
            out.extend(number.to_le_bytes());
            let fields = shapes.fields(*at, *number);
            fields.iter().zip(parts).for_each(|((_, shape), part)| encode(shapes, shape, part, out));
        }
        (Shape::Range(item), Value::Parts(parts)) => parts.iter().for_each(|part| encode(shapes, item, part, out)),
        (Shape::RangeInclusive(item), Value::Parts(parts)) => {
            out.push(0);
            parts.iter().for_each(|part| encode(shapes, item, part, out));
        }
        (Shape::Ordering, Value::Variant(number, _)) => out.push(*number as u8),
        (Shape::Duration, Value::Parts(parts)) => {
            let part = |at: usize| if let Some(Value::Int(value)) = parts.get(at) { *value } else { 0 };
            out.extend((part(0) as u64).to_le_bytes());
            out.extend((part(1) as u32).to_le_bytes());
        }
        // Values are made for their shapes; what does not fit is refused at the other end.
        _ => out.push(u8::MAX),
    }
}

fn length(length: usize, out: &mut Vec<u8>) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn text(text: &str, out: &mut Vec<u8>) {
    length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Bytes being read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    parts: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, parts: PARTS, depth: 0 }
    }

    /// Whether all was read.
    pub(super) fn is_done(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.number()? as usize;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn int(&mut self, kind: Integer) -> Option<i128> {
        let taken = self.take(kind.bytes())?;
        let is_negative = kind.is_signed() && taken.last().is_some_and(|byte| *byte >= 0x80);
        let mut bytes = [if is_negative { 0xff } else { 0 }; 16];
        bytes[..taken.len()].copy_from_slice(taken);
        Some(i128::from_le_bytes(bytes))
    }

    fn many(&mut self, shapes: &Shapes, count: usize, of: &[&Shape]) -> Option<Value> {
        let mut parts = Vec::new();
        for _ in 0..count {
            for shape in of {
                parts.push(self.read(shapes, shape)?);
            }
        }
        Some(Value::Parts(parts))
    }

    fn fields<'s>(&mut self, shapes: &Shapes, fields: impl Iterator<Item = &'s Shape>) -> Option<Vec<Value>> {
        fields.map(|shape| self.read(shapes, shape)).collect()
    }

    /// The next value.
    pub(super) fn read(&mut self, shapes: &Shapes, shape: &Shape) -> Option<Value> {
        self.parts = self.parts.checked_sub(1)?;
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let value = self.value(shapes, shape);
        self.depth -= 1;
        value
    }

    fn value(&mut self, shapes: &Shapes, shape: &Shape) -> Option<Value> {
        Some(match shape {
            Shape::Unit => {
                self.byte().filter(|byte| *byte == 0)?;
                Value::Unit
            }
            Shape::Bool => match self.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return None,
            },
            Shape::Int(kind) | Shape::NonZero(kind) => Value::Int(self.int(*kind)?),
            Shape::Float(4) => {
                let bytes = self.take(4)?.try_into().expect("four bytes");
                Value::Float(f64::from(f32::from_le_bytes(bytes)))
            }
            Shape::Float(_) => Value::Float(f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes"))),
            Shape::Char => Value::Char(char::from_u32(self.number()?)?),
            Shape::Text { .. } => Value::Text(self.text()?.to_owned()),
            Shape::Cow(inner) => {
                self.byte().filter(|byte| *byte < 2)?;
                self.read(shapes, inner)?
            }
            Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner) => self.read(shapes, inner)?,
            Shape::List(_, item) | Shape::Set(_, item) => {
                let count = self.number()? as usize;
                self.many(shapes, count.min(PARTS + 1), &[item])?
            }
            Shape::Map(_, key, item) => {
                let count = self.number()? as usize;
                self.many(shapes, count.min(PARTS + 1), &[key, item])?
            }
            Shape::Array(count, item) => {
                self.byte().filter(|byte| *byte == 0)?;
                self.many(shapes, *count, &[item])?
            }
            Shape::Option(inner) => match self.byte()? {
                0 => Value::Variant(0, Vec::new()),
                1 => Value::Variant(1, vec![self.read(shapes, inner)?]),
                _ => return None,
            },
            Shape::Result(value, error) => match self.byte()? {
                0 => Value::Variant(0, vec![self.read(shapes, value)?]),
                1 => Value::Variant(1, vec![self.read(shapes, error)?]),
                _ => return None,
            },
            Shape::Tuple(items) => Value::Parts(self.fields(shapes, items.iter())?),
            Shape::Named(at) => {
                let number = self.number()?;
                if number as usize >= shapes.variants(*at).len() {
                    return None;
                }
                let fields = shapes.fields(*at, number);
                Value::Variant(number, self.fields(shapes, fields.iter().map(|(_, shape)| shape))?)
            }
            Shape::Range(item) => self.many(shapes, 2, &[item])?,
            Shape::RangeInclusive(item) => {
                self.byte().filter(|byte| *byte < 2)?;
                self.many(shapes, 2, &[item])?
            }
            Shape::Ordering => Value::Variant(u32::from(self.byte().filter(|byte| *byte < 3)?), Vec::new()),
            Shape::Duration => {
                let seconds = self.int(Integer::U64)?;
                Value::Parts(vec![Value::Int(seconds), Value::Int(self.int(Integer::U32)?)])
            }
            Shape::StdError(_) => Value::Variant(u32::from(self.byte()?), Vec::new()),
            Shape::Utf8Error => {
                let valid = self.number()?;
                Value::Variant(u32::from(self.byte()?), vec![Value::Int(valid.into())])
            }
            Shape::FromUtf8Error => {
                let count = self.number()? as usize;
                self.many(shapes, count.min(PARTS + 1), &[&Shape::Int(Integer::U8)])?
            }
            Shape::DynError => {
                let display = self.text()?.to_owned();
                Value::Parts(vec![Value::Text(display), Value::Text(self.text()?.to_owned())])
            }
        })
    }
}

/// Whether two values are the same, where floats need not agree to the last bit.
///
/// Not transitive: whoever sorts values into classes holds each against one that stands for its class.
pub(super) fn is_close(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => {
            one == other
                || one.is_nan() && other.is_nan()
                || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()) && one.is_finite() && other.is_finite()
        }
        (Value::Parts(one), Value::Parts(other)) => are_close(one, other),
        (Value::Variant(one, parts), Value::Variant(other, others)) => one == other && are_close(parts, others),
        (one, other) => one == other,
    }
}

fn are_close(one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_close(one, other))
}
