//! Values as the Rust that a spec's author would write for them. Pure.

use super::shape::{Argument, Function, Shape, Shapes};
use super::value::Value;

/// Longest text of one value, in bytes.
const LONGEST: usize = 16 << 10;

/// The call of a function, as an example's `call`.
pub(super) fn call(shapes: &Shapes, function: &Function, arguments: &[Value]) -> String {
    let mut printer = Printer { shapes, out: String::new() };
    printer.out += &function.path;
    printer.out.push('(');
    for (at, (input, value)) in function.inputs.iter().zip(arguments).enumerate() {
        if at > 0 {
            printer.out += ", ";
        }
        printer.argument(input, value);
    }
    printer.out.push(')');
    printer.out
}

/// A value that came out, as an example's `returns`.
pub(super) fn value(shapes: &Shapes, shape: &Shape, value: &Value) -> String {
    let mut printer = Printer { shapes, out: String::new() };
    match (shape, value) {
        // It is compared by `==`, which takes a plain literal.
        (Shape::Text { .. }, Value::Text(text)) => printer.literal(text),
        _ => printer.value(shape, value),
    }
    printer.out
}

struct Printer<'a> {
    shapes: &'a Shapes,
    out: String,
}

impl Printer<'_> {
    fn argument(&mut self, input: &Argument, value: &Value) {
        if !input.changes {
            return self.value(&input.shape, value);
        }
        self.out += "&mut ";
        match (&input.shape, value, input.is_slice) {
            (Shape::List(_, item), Value::Parts(parts), true) => self.list("[", item, parts, "]"),
            (shape, value, _) => self.value(shape, value),
        }
    }

    fn literal(&mut self, text: &str) {
        self.out.push('"');
        for letter in text.chars() {
            self.letter(letter, '"');
        }
        self.out.push('"');
    }

    fn letter(&mut self, letter: char, quote: char) {
        match letter {
            '\'' | '"' if letter != quote => self.out.push(letter),
            // Accents on their own are shown as what they are: by number.
            letter => self.out.extend(letter.escape_debug()),
        }
    }

    fn list(&mut self, open: &str, item: &Shape, parts: &[Value], close: &str) {
        self.out += open;
        for (at, part) in parts.iter().enumerate() {
            if self.out.len() > LONGEST {
                self.out += "…";
                break;
            }
            if at > 0 {
                self.out += ", ";
            }
            self.value(item, part);
        }
        self.out += close;
    }

    fn pairs(&mut self, key: &Shape, item: &Shape, parts: &[Value]) {
        for (at, pair) in parts.chunks_exact(2).enumerate() {
            if self.out.len() > LONGEST {
                self.out += "…";
                break;
            }
            if at > 0 {
                self.out += ", ";
            }
            self.out.push('(');
            self.value(key, &pair[0]);
            self.out += ", ";
            self.value(item, &pair[1]);
            self.out.push(')');
        }
    }

    /// A type of the standard library by its shortest path.
    fn path(&mut self, module: &str, name: &str) {
        let is_near = ["Vec", "Box"].contains(&name) || self.shapes.imported.iter().any(|known| known == name);
        if !is_near {
            self.out += &format!("std::{module}::");
        }
        self.out += name;
    }

    fn value(&mut self, shape: &Shape, value: &Value) {
        match (shape, value) {
            (Shape::Unit, _) => self.out += "()",
            (Shape::Bool, Value::Bool(value)) => self.out += if *value { "true" } else { "false" },
            (Shape::Int(kind), Value::Int(value)) if kind.name() == "u128" => {
                self.out += &value.cast_unsigned().to_string();
            }
            (Shape::Int(kind), Value::Int(value)) => {
                let bits = 8 * kind.bytes() as u32;
                let (low, high) = (kind.fit(i128::MIN), kind.fit(i128::MAX));
                match *value {
                    value if bits >= 16 && value == high => self.out += &format!("{}::MAX", kind.name()),
                    value if bits >= 16 && value == low && kind.is_signed() => {
                        self.out += &format!("{}::MIN", kind.name());
                    }
                    value => self.out += &value.to_string(),
                }
            }
            (Shape::NonZero(kind), Value::Int(value)) => {
                self.path("num", "NonZero");
                self.out += &format!("::<{}>::new({value}).unwrap()", kind.name());
            }
            (Shape::Float(bytes), Value::Float(value)) => self.float(*bytes, *value),
            (Shape::Char, Value::Char(value)) => {
                self.out.push('\'');
                self.letter(*value, '\'');
                self.out.push('\'');
            }
            (Shape::Text { is_owned }, Value::Text(text)) => {
                self.literal(text);
                if *is_owned {
                    self.out += ".to_string()";
                }
            }
            (Shape::Ref(inner), value) => match (&**inner, value) {
                (Shape::Text { is_owned: false }, Value::Text(text)) => self.literal(text),
                (Shape::List("", item), Value::Parts(parts)) => self.list("&[", item, parts, "]"),
                (inner, value) => {
                    self.out.push('&');
                    self.value(inner, value);
                }
            },
            (Shape::Cow(inner), value) => {
                self.path("borrow", "Cow");
                self.out += "::from(";
                match (&**inner, value) {
                    (Shape::Text { .. }, Value::Text(text)) => self.literal(text),
                    (Shape::List(_, item), Value::Parts(parts)) => self.list("vec![", item, parts, "]"),
                    (inner, value) => self.value(inner, value),
                }
                self.out.push(')');
            }
            (Shape::Pointer(name, inner), value) => {
                let module = if *name == "Rc" { "rc" } else { "sync" };
                self.path(module, name);
                match (&**inner, value) {
                    (Shape::Text { is_owned: false } | Shape::List("", _), value) => {
                        self.out += "::from(";
                        match (&**inner, value) {
                            (Shape::List(_, item), Value::Parts(parts)) => self.list("vec![", item, parts, "]"),
                            (inner, value) => self.value(inner, value),
                        }
                    }
                    (inner, value) => {
                        self.out += "::new(";
                        self.value(inner, value);
                    }
                }
                self.out.push(')');
            }
            (Shape::Wrapper(name, inner), value) => {
                self.path(if *name == "Reverse" { "cmp" } else { "num" }, name);
                self.out.push('(');
                self.value(inner, value);
                self.out.push(')');
            }
            (Shape::List("Vec" | "", item), Value::Parts(parts)) => self.list("vec![", item, parts, "]"),
            (Shape::List(name, item) | Shape::Set(name, item), Value::Parts(parts)) => {
                self.path("collections", name);
                if parts.is_empty() {
                    self.out += "::new()";
                } else {
                    self.list("::from([", item, parts, "])");
                }
            }
            (Shape::Map(name, key, item), Value::Parts(parts)) => {
                self.path("collections", name);
                if parts.is_empty() {
                    self.out += "::new()";
                } else {
                    self.out += "::from([";
                    self.pairs(key, item, parts);
                    self.out += "])";
                }
            }
            (Shape::Array(_, item), Value::Parts(parts)) => self.list("[", item, parts, "]"),
            (Shape::Option(_), Value::Variant(0, _)) => self.out += "None",
            (Shape::Option(inner), Value::Variant(_, parts)) => self.wrapped("Some", inner, parts),
            (Shape::Result(value, _), Value::Variant(0, parts)) => self.wrapped("Ok", value, parts),
            (Shape::Result(_, error), Value::Variant(_, parts)) => self.wrapped("Err", error, parts),
            (Shape::Tuple(items), Value::Parts(parts)) => {
                self.out.push('(');
                for (at, (item, part)) in items.iter().zip(parts).enumerate() {
                    if at > 0 {
                        self.out += ", ";
                    }
                    self.value(item, part);
                }
                self.out += if items.len() == 1 { ",)" } else { ")" };
            }
            (Shape::Named(at), Value::Variant(number, parts)) => self.named(*at, *number, parts),
            (Shape::Range(item), Value::Parts(parts)) => self.range(item, parts, ".."),
            (Shape::RangeInclusive(item), Value::Parts(parts)) => self.range(item, parts, "..="),
            (Shape::Ordering, Value::Variant(number, _)) => {
                self.path("cmp", "Ordering");
                self.out += ["::Less", "::Equal", "::Greater"].get(*number as usize).unwrap_or(&"");
            }
            (Shape::Duration, Value::Parts(parts)) => {
                let part = |at: usize| if let Some(Value::Int(value)) = parts.get(at) { *value } else { 0 };
                self.path("time", "Duration");
                self.out += &format!("::new({}, {})", part(0), part(1));
            }
            (Shape::StdError(name), Value::Variant(number, _)) => self.out += &format!("{name} #{number}"),
            (Shape::DynError, Value::Parts(parts)) => {
                if let Some(Value::Text(text)) = parts.first() {
                    self.literal(text);
                }
            }
            (_, value) => self.out += &format!("{value:?}"),
        }
    }

    fn float(&mut self, bytes: usize, value: f64) {
        let name = if bytes == 4 { "f32" } else { "f64" };
        if value.is_nan() {
            self.out += &format!("{name}::NAN");
        } else if value.is_infinite() {
            self.out += &format!("{name}::{}INFINITY", if value < 0.0 { "NEG_" } else { "" });
        } else if bytes == 4 {
            self.out += &format!("{:?}", value as f32);
        } else {
            self.out += &format!("{value:?}");
        }
    }

    fn wrapped(&mut self, name: &str, shape: &Shape, parts: &[Value]) {
        self.out += name;
        self.out.push('(');
        if let Some(part) = parts.first() {
            self.value(shape, part);
        }
        self.out.push(')');
    }

    fn range(&mut self, item: &Shape, parts: &[Value], dots: &str) {
        if let [start, end] = parts {
            self.value(item, start);
            self.out += dots;
            self.value(item, end);
        }
    }

    fn named(&mut self, at: usize, number: u32, parts: &[Value]) {
        let shapes = self.shapes;
        let named = shapes.named(at);
        self.out += &named.name;
        let Some((variant, fields)) = named.variants.get(number as usize) else { return };
        if let Some(variant) = variant {
            self.out += "::";
            self.out += variant;
        }
        let Some((first, _)) = fields.first() else {
            // A unit struct, which the interface writes `pub struct Name {}`.
            if variant.is_none() {
                self.out += " {}";
            }
            return;
        };
        let (open, close) = if first.is_some() { (" { ", " }") } else { ("(", ")") };
        self.out += open;
        for (at, ((name, shape), part)) in fields.iter().zip(parts).enumerate() {
            if at > 0 {
                self.out += ", ";
            }
            if let Some(name) = name {
                self.out += name;
                self.out += ": ";
            }
            self.value(shape, part);
        }
        self.out += close;
    }
}
