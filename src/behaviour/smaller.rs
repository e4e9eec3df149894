//! Simpler inputs, for one that splits programs. Pure.

use super::inputs::Maker;
use super::shape::{Argument, Shape};
use super::value::Value;
use super::vary::sort;

impl Maker<'_> {
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
            (Shape::Cow(inner) | Shape::Ref(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner), value) => {
                self.shrink(inner, value)
            }
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
                [Value::Variant(0, Vec::new())]
                    .into_iter()
                    .chain(some.map(|part| Value::Variant(1, vec![part])))
                    .collect()
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
