//! Values at the edges of their types, and all values where they are few. Pure.
//!
//! Numbers and texts are those that properties are tried on: `validate/runtime/generate.rs`.

use std::time::Duration;

use self::tables::Generate;
use super::inputs::{DEPTH, Maker};
use super::shape::{Argument, Integer, Shape};
use super::value::Value;

#[path = "../validate/runtime/generate.rs"]
#[expect(warnings, clippy::all, reason = "it is written for rustc's defaults, and used in part here")]
mod tables;

/// Most edges of one type.
const EDGES: usize = 60;
/// Most values of a type that are all listed.
const LISTED: usize = 1024;

impl Maker<'_> {
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
            Shape::NonZero(kind) => int_edges(*kind).into_iter().filter(|value| *value != 0).map(Value::Int).collect(),
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
    pub(super) fn near(&self, at: usize, depth: usize) -> Vec<u32> {
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
        let parts: Vec<Vec<Value>> =
            inputs.iter().map(|input| self.listed(&input.shape, DEPTH)).collect::<Option<_>>()?;
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
}

pub(super) fn int_edges(kind: Integer) -> Vec<i128> {
    macro_rules! edges {
        ($($kind:ident $int:ident,)*) => {
            match kind {
                $(Integer::$kind => <$int as Generate<()>>::boundary(0).into_iter().map(|edge| edge as i128).collect(),)*
            }
        };
    }
    edges!(I8 i8, I16 i16, I32 i32, I64 i64, I128 i128, Isize isize, U8 u8, U16 u16, U32 u32, U64 u64, U128 u128, Usize usize,)
}

pub(super) fn duration(value: Duration) -> Value {
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
        all = all
            .iter()
            .flat_map(|done| part.iter().map(|value| [&done[..], std::slice::from_ref(value)].concat()))
            .collect();
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

/// Floats at the edges.
pub(super) fn float_edges() -> Vec<f64> {
    <f64 as Generate<()>>::boundary(0)
}
