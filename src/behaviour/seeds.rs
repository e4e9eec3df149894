//! What the spec and the programs name: calls in examples and tests, literals in sources. Pure; reads Rust, runs none.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Expr, Lit};

use super::inputs::Words;
use super::shape::{Function, Shape, Shapes};
use super::value::Value;
use crate::spec::{Expect, Spec};
use crate::syntax::check_bounds;

/// Most words of a kind.
const WORDS: usize = 200;
/// Most steps of reading one expression.
const STEPS: usize = 40;

/// The calls in what a spec shows, whose arguments are literals: which function, with what.
pub(super) fn calls(spec: &Spec, shapes: &Shapes, functions: &[Function]) -> Vec<(usize, Vec<Value>)> {
    let mut finder = Finder { shapes, functions, locals: BTreeMap::new(), names: BTreeMap::new(), found: Vec::new() };
    for example in spec.examples.iter().filter(|example| !example.hidden) {
        if check_bounds(&example.call.text).is_ok()
            && let Ok(call) = syn::parse_str::<Expr>(&example.call.text)
        {
            finder.visit_expr(&call);
        }
    }
    if let Some(tests) = &spec.tests
        && check_bounds(&tests.text).is_ok()
        && let Ok(file) = syn::parse_file(&tests.text)
    {
        finder.visit_file(&file);
    }
    let mut calls: Vec<(usize, Vec<Value>)> = Vec::new();
    for call in finder.found {
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

struct Finder<'a> {
    shapes: &'a Shapes,
    functions: &'a [Function],
    /// What `let` gives names to.
    locals: BTreeMap<String, Expr>,
    /// Other names of functions.
    names: BTreeMap<String, usize>,
    found: Vec<(usize, Vec<Value>)>,
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.locals.clear();
        self.names.clear();
        visit::visit_item_fn(self, item);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let pattern = match &local.pat {
            syn::Pat::Type(typed) => &*typed.pat,
            pattern => pattern,
        };
        if let (syn::Pat::Ident(name), Some(init)) = (pattern, &local.init) {
            let name = name.ident.to_string();
            match self.function(&init.expr) {
                Some(function) => {
                    self.names.insert(name, function);
                }
                None => {
                    self.locals.insert(name, (*init.expr).clone());
                }
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Some(at) = self.function(&call.func) {
            let inputs = &self.functions[at].inputs;
            let reader = Reading { shapes: self.shapes, locals: &self.locals };
            let values = inputs.iter().zip(&call.args).map(|(input, argument)| reader.read(&input.shape, argument, 0));
            if inputs.len() == call.args.len()
                && let Some(values) = values.collect::<Option<Vec<_>>>()
            {
                self.found.push((at, values));
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        let parser = syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = node.parse_body_with(parser) {
            arguments.iter().for_each(|argument| self.visit_expr(argument));
        }
    }
}

impl Finder<'_> {
    fn function(&self, expr: &Expr) -> Option<usize> {
        let Expr::Path(path) = expr else { return None };
        let text = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
        self.names.get(&text).copied().or_else(|| {
            let is = |path: &str| text == path || text.ends_with(&format!("::{path}"));
            self.functions.iter().position(|function| is(&function.path))
        })
    }
}

/// Reads literals as values.
struct Reading<'a> {
    shapes: &'a Shapes,
    locals: &'a BTreeMap<String, Expr>,
}

impl Reading<'_> {
    fn read(&self, shape: &Shape, expr: &Expr, steps: usize) -> Option<Value> {
        if steps > STEPS {
            return None;
        }
        let next = steps + 1;
        // What says only how the value is held.
        match expr {
            Expr::Paren(inner) => return self.read(shape, &inner.expr, next),
            Expr::Group(inner) => return self.read(shape, &inner.expr, next),
            Expr::Reference(inner) => return self.read(shape, &inner.expr, next),
            Expr::MethodCall(call) if call.args.is_empty() => {
                const SAME: [&str; 14] = [
                    "to_string",
                    "to_owned",
                    "into",
                    "clone",
                    "as_str",
                    "as_slice",
                    "to_vec",
                    "as_ref",
                    "collect",
                    "iter",
                    "into_iter",
                    "as_mut",
                    "as_mut_slice",
                    "as_bytes",
                ];
                let is_same = SAME.iter().any(|name| call.method == name);
                return is_same.then(|| self.read(shape, &call.receiver, next)).flatten();
            }
            Expr::Path(path)
                if path.path.get_ident().is_some_and(|name| self.locals.contains_key(&name.to_string())) =>
            {
                let name = path.path.get_ident().expect("just seen").to_string();
                return self.read(shape, &self.locals[&name], next);
            }
            _ => {}
        }
        match shape {
            Shape::Ref(inner) => return self.read(inner, expr, next),
            Shape::Cow(inner) | Shape::Pointer(_, inner) | Shape::Wrapper(_, inner) => {
                if let Some(argument) = one_argument(expr) {
                    return self.read(inner, argument, next);
                }
                return self.read(inner, expr, next);
            }
            _ => {}
        }
        Some(match shape {
            Shape::Unit => match expr {
                Expr::Tuple(tuple) if tuple.elems.is_empty() => Value::Unit,
                _ => return None,
            },
            Shape::Bool => match expr {
                Expr::Lit(syn::ExprLit { lit: Lit::Bool(value), .. }) => Value::Bool(value.value),
                _ => return None,
            },
            Shape::Int(kind) => {
                let number = integer(expr)?;
                if kind.fit(number) != number {
                    return None;
                }
                Value::Int(number)
            }
            Shape::Float(bytes) => {
                let value = float(expr)?;
                Value::Float(if *bytes == 4 { f64::from(value as f32) } else { value })
            }
            Shape::Char => match expr {
                Expr::Lit(syn::ExprLit { lit: Lit::Char(value), .. }) => Value::Char(value.value()),
                _ => return None,
            },
            Shape::Text { .. } => Value::Text(text(expr)?),
            Shape::List(_, item) | Shape::Set(_, item) | Shape::Array(_, item) => {
                let all = self.elements(expr)?;
                let parts = all.iter().map(|part| self.read(item, part, next)).collect::<Option<Vec<_>>>()?;
                if matches!(shape, Shape::Array(count, _) if *count != parts.len()) {
                    return None;
                }
                Value::Parts(parts)
            }
            Shape::Map(_, key, item) => {
                let mut parts: Vec<Value> = Vec::new();
                for pair in self.elements(expr)? {
                    let Expr::Tuple(pair) = pair else { return None };
                    let (Some(one), Some(other)) = (pair.elems.first(), pair.elems.get(1)) else { return None };
                    let one = self.read(key, one, next)?;
                    if !parts.iter().step_by(2).any(|known| *known == one) {
                        parts.push(one);
                        parts.push(self.read(item, other, next)?);
                    }
                }
                Value::Parts(parts)
            }
            Shape::Option(inner) => match (name(expr).as_deref(), one_argument(expr)) {
                (Some("None"), None) => Value::Variant(0, Vec::new()),
                (Some("Some"), Some(argument)) => Value::Variant(1, vec![self.read(inner, argument, next)?]),
                _ => return None,
            },
            Shape::Result(value, error) => match (name(expr).as_deref(), one_argument(expr)) {
                (Some("Ok"), Some(argument)) => Value::Variant(0, vec![self.read(value, argument, next)?]),
                (Some("Err"), Some(argument)) => Value::Variant(1, vec![self.read(error, argument, next)?]),
                _ => return None,
            },
            Shape::Tuple(items) => match expr {
                Expr::Tuple(tuple) if tuple.elems.len() == items.len() => {
                    let parts = items.iter().zip(&tuple.elems).map(|(item, part)| self.read(item, part, next));
                    Value::Parts(parts.collect::<Option<_>>()?)
                }
                _ => return None,
            },
            Shape::Named(at) => return self.named(*at, expr, next),
            _ => return None,
        })
    }

    fn named(&self, at: usize, expr: &Expr, next: usize) -> Option<Value> {
        let last = name(expr)?;
        let named = self.shapes.named(at);
        let is = |variant: &Option<String>| variant.as_deref().unwrap_or(&named.name) == last;
        let number = named.variants.iter().position(|(variant, _)| is(variant))?;
        let fields = &named.variants[number].1;
        let parts = match expr {
            Expr::Path(_) if fields.is_empty() => Vec::new(),
            Expr::Call(call) if call.args.len() == fields.len() => {
                let parts = fields.iter().zip(&call.args).map(|((_, shape), part)| self.read(shape, part, next));
                parts.collect::<Option<_>>()?
            }
            Expr::Struct(item) if item.rest.is_none() => {
                let field = |(name, shape): &(Option<String>, Shape)| {
                    let is = |member: &syn::Member| match (member, name) {
                        (syn::Member::Named(member), Some(name)) => member == name,
                        _ => false,
                    };
                    let field = item.fields.iter().find(|field| is(&field.member))?;
                    self.read(shape, &field.expr, next)
                };
                fields.iter().map(field).collect::<Option<_>>()?
            }
            _ => return None,
        };
        Some(Value::Variant(number as u32, parts))
    }

    /// The elements of a list, however it is written.
    fn elements(&self, expr: &Expr) -> Option<Vec<Expr>> {
        match expr {
            Expr::Array(array) => Some(array.elems.iter().cloned().collect()),
            Expr::Repeat(repeat) => repeated(&repeat.expr, &repeat.len),
            Expr::Macro(made) if made.mac.path.is_ident("vec") => {
                let parser = syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated;
                if let Ok(all) = made.mac.parse_body_with(parser) {
                    return Some(all.into_iter().collect());
                }
                let text = format!("[{}]", made.mac.tokens);
                match syn::parse_str::<Expr>(&text).ok()? {
                    Expr::Repeat(repeat) => repeated(&repeat.expr, &repeat.len),
                    _ => None,
                }
            }
            Expr::Lit(syn::ExprLit { lit: Lit::ByteStr(bytes), .. }) => {
                bytes.value().iter().map(|byte| syn::parse_str(&byte.to_string()).ok()).collect()
            }
            Expr::Call(call) => match (name(expr).as_deref(), call.args.first()) {
                (Some("new"), None) => Some(Vec::new()),
                (Some("from" | "from_iter"), Some(argument)) => self.elements(argument),
                _ => None,
            },
            Expr::Reference(inner) => self.elements(&inner.expr),
            Expr::MethodCall(call) if call.args.is_empty() => self.elements(&call.receiver),
            _ => None,
        }
    }
}

fn repeated(expr: &Expr, length: &Expr) -> Option<Vec<Expr>> {
    let length = usize::try_from(integer(length)?).ok().filter(|length| *length <= 1000)?;
    Some(vec![expr.clone(); length])
}

/// The last name of a path, of what is called, or of what is built.
fn name(expr: &Expr) -> Option<String> {
    let path = match expr {
        Expr::Path(path) => &path.path,
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => &path.path,
            _ => return None,
        },
        Expr::Struct(item) => &item.path,
        _ => return None,
    };
    path.segments.last().map(|segment| segment.ident.to_string())
}

fn one_argument(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Call(call) if call.args.len() == 1 => call.args.first(),
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Paren(inner) => integer(&inner.expr),
        Expr::Group(inner) => integer(&inner.expr),
        Expr::Cast(cast) => integer(&cast.expr),
        Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => integer(expr)?.checked_neg(),
        Expr::Lit(syn::ExprLit { lit: Lit::Int(value), .. }) => value.base10_parse().ok(),
        Expr::Lit(syn::ExprLit { lit: Lit::Byte(value), .. }) => Some(value.value().into()),
        Expr::Path(path) => {
            let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let kind = super::shape::integer(names.get(names.len().checked_sub(2)?)?)?;
            match *names.last()? {
                "MAX" => Some(kind.fit(i128::MAX)),
                "MIN" => Some(kind.fit(i128::MIN)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn float(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Paren(inner) => float(&inner.expr),
        Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => Some(-float(expr)?),
        Expr::Lit(syn::ExprLit { lit: Lit::Float(value), .. }) => value.base10_parse().ok(),
        Expr::Lit(syn::ExprLit { lit: Lit::Int(value), .. }) => value.base10_digits().parse().ok(),
        Expr::Path(_) => match name(expr)?.as_str() {
            "NAN" => Some(f64::NAN),
            "INFINITY" => Some(f64::INFINITY),
            "NEG_INFINITY" => Some(f64::NEG_INFINITY),
            "MAX" => Some(f64::MAX),
            "MIN" => Some(f64::MIN),
            "EPSILON" => Some(f64::EPSILON),
            _ => None,
        },
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(syn::ExprLit { lit: Lit::Str(value), .. }) => Some(value.value()),
        Expr::Call(call) => match (name(expr)?.as_str(), call.args.first()) {
            ("from", Some(argument)) => text(argument),
            ("new", None) => Some(String::new()),
            _ => None,
        },
        Expr::MethodCall(call) if call.method == "repeat" => {
            let count = usize::try_from(integer(call.args.first()?)?).ok()?;
            let text = text(&call.receiver)?;
            (text.len().checked_mul(count)? <= 10_000).then(|| text.repeat(count))
        }
        Expr::Paren(inner) => text(&inner.expr),
        Expr::Reference(inner) => text(&inner.expr),
        Expr::MethodCall(call) if call.args.is_empty() => text(&call.receiver),
        _ => None,
    }
}

/// The literals in sources and in what a spec shows.
pub(super) fn words<'a>(spec: &'a Spec, sources: impl Iterator<Item = &'a str>) -> Words {
    let mut finder = Literals::default();
    for source in sources {
        if check_bounds(source).is_ok()
            && let Ok(file) = syn::parse_file(source)
        {
            finder.visit_file(&file);
        }
    }
    for example in spec.examples.iter().filter(|example| !example.hidden) {
        let mut texts = vec![&example.call.text];
        if let Expect::Returns(value) = &example.expect {
            texts.push(&value.text);
        }
        for text in texts {
            if check_bounds(text).is_ok()
                && let Ok(expr) = syn::parse_str::<Expr>(text)
            {
                finder.visit_expr(&expr);
            }
        }
    }
    if let Some(tests) = &spec.tests
        && check_bounds(&tests.text).is_ok()
        && let Ok(file) = syn::parse_file(&tests.text)
    {
        finder.visit_file(&file);
    }
    finder.0
}

#[derive(Default)]
struct Literals(Words);

impl<'ast> Visit<'ast> for Literals {
    fn visit_lit(&mut self, literal: &'ast Lit) {
        fn add<T: PartialEq>(all: &mut Vec<T>, new: T) {
            if all.len() < WORDS && !all.contains(&new) {
                all.push(new);
            }
        }
        let words = &mut self.0;
        match literal {
            Lit::Int(value) => {
                if let Ok(value) = value.base10_parse::<i128>()
                    && value < 1 << 100
                {
                    add(&mut words.ints, value);
                    add(&mut words.ints, -value);
                }
            }
            Lit::Float(value) => {
                if let Ok(value) = value.base10_parse() {
                    add(&mut words.floats, value);
                }
            }
            Lit::Char(value) => add(&mut words.letters, value.value()),
            Lit::Byte(value) => add(&mut words.letters, value.value().into()),
            Lit::Str(value) => {
                let value = value.value();
                value.chars().take(100).for_each(|letter| add(&mut words.letters, letter));
                if value.len() <= 200 {
                    add(&mut words.texts, value);
                }
            }
            _ => {}
        }
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        let parser = syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = node.parse_body_with(parser) {
            arguments.iter().for_each(|argument| self.visit_expr(argument));
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}
