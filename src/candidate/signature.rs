//! Whether two signatures mean the same, however they are written.
//!
//! Argument names, `mut`, the spelling of paths, the names of type parameters and lifetimes, elision and
//! the place of bounds don't count; types do. Compares text alone and never asks the compiler.

use std::collections::{HashMap, HashSet};

use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{
    FnArg, GenericArgument, GenericParam, Generics, Ident, Lifetime, ParenthesizedGenericArguments, Path,
    PathArguments, ReceiverKind, ReturnType, Safety, Signature, Type, TypeFnPtr, TypeParamBound, WherePredicate,
    parse_quote,
};

use super::names::{MAX_SEGMENTS, plain};

/// What names mean at the top of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Names brought in by `use`, with their full paths.
    pub(super) imports: HashMap<String, Vec<String>>,
    /// Names of types that the file itself defines, apart from those both sides share.
    pub(super) own: HashSet<String>,
}

/// std types and traits that need no import, by their full paths.
pub(super) const PRELUDE: &[&str] = &[
    "std::string::String",
    "std::string::ToString",
    "std::vec::Vec",
    "std::option::Option",
    "std::result::Result",
    "std::boxed::Box",
    "std::borrow::ToOwned",
    "std::clone::Clone",
    "std::marker::Copy",
    "std::marker::Send",
    "std::marker::Sync",
    "std::marker::Sized",
    "std::marker::Unpin",
    "std::ops::Fn",
    "std::ops::FnMut",
    "std::ops::FnOnce",
    "std::ops::Drop",
    "std::cmp::Eq",
    "std::cmp::Ord",
    "std::cmp::PartialEq",
    "std::cmp::PartialOrd",
    "std::convert::AsRef",
    "std::convert::AsMut",
    "std::convert::From",
    "std::convert::Into",
    "std::convert::TryFrom",
    "std::convert::TryInto",
    "std::default::Default",
    "std::iter::Iterator",
    "std::iter::IntoIterator",
    "std::iter::DoubleEndedIterator",
    "std::iter::ExactSizeIterator",
    "std::iter::Extend",
    "std::iter::FromIterator",
];

impl Scope {
    /// Whether the file gives a name a meaning of its own.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.own.contains(name) || self.imports.contains_key(name)
    }

    /// The one spelling of a path, e.g. `String` for `std::string::String`.
    fn canonical(&self, path: &[String]) -> Vec<String> {
        let mut full = path.to_vec();
        if full.first().is_some_and(|first| first == "self") && full.len() > 1 {
            full.remove(0);
        }
        let first = full.first().cloned().unwrap_or_default();
        if self.own.contains(&first) {
            full.insert(0, "self".to_string());
            return full;
        }
        if let Some(import) = self.imports.get(&first) {
            full.splice(0..1, import.iter().cloned());
        }
        if full.first().is_some_and(|first| first == "core" || first == "alloc") {
            full[0] = "std".to_string();
        }
        // `std::collections::hash_map::HashMap` is `std::collections::HashMap`.
        if full.len() == 4 && full[0] == "std" && full[1] == "collections" {
            full.remove(2);
        }
        if full[0] == "std" {
            let joined = full.join("::");
            if PRELUDE.contains(&joined.as_str()) {
                full.drain(..full.len() - 1);
            }
        }
        full
    }
}

/// A signature in a form that is equal for equal meanings.
///
/// `around` are the generics and the self type of the impl block that it stands in.
pub(super) fn canonical(signature: &Signature, around: Option<(&Generics, &Type)>, scope: &Scope) -> String {
    let mut normaliser = Normaliser { scope, self_type: around.map(|(_, ty)| ty.clone()), params: HashMap::new() };
    let mut kinds = Vec::new();
    if let Some((generics, _)) = around {
        normaliser.name_params(generics, "Impl", &mut Vec::new());
    }
    normaliser.name_params(&signature.generics, "Param", &mut kinds);

    let mut has_receiver = false;
    let mut inputs: Vec<Type> = Vec::new();
    for input in &signature.inputs {
        inputs.push(match input {
            FnArg::Typed(argument) => (*argument.ty).clone(),
            FnArg::Receiver(receiver) => {
                has_receiver = true;
                match &receiver.kind {
                    ReceiverKind::Reference(_, lifetime, mutability) => parse_quote!(&#lifetime #mutability Self),
                    ReceiverKind::Typed(_, ty) => (**ty).clone(),
                    _ => parse_quote!(Self),
                }
            }
        });
    }
    let mut output: Type = match &signature.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    for ty in inputs.iter_mut().chain([&mut output]) {
        normaliser.visit_type_mut(ty);
    }

    let mut elision = Elision { fill: None, fresh: 0, seen: Vec::new() };
    let mut receiver_lifetime = None;
    for (index, ty) in inputs.iter_mut().enumerate() {
        elision.visit_type_mut(ty);
        if index == 0
            && has_receiver
            && let Type::Reference(reference) = ty
        {
            receiver_lifetime = reference.lifetime.clone();
        }
    }
    let mut distinct = elision.seen.clone();
    distinct.dedup();
    distinct.retain(|name| name != "'static");
    let only = match distinct.as_slice() {
        [] => None,
        [first, rest @ ..] if rest.iter().all(|other| other == first) => Some(Lifetime::new(first, span())),
        _ => None,
    };
    elision.fill = receiver_lifetime.or(only).or_else(|| Some(Lifetime::new("'unknown", span())));
    elision.visit_type_mut(&mut output);

    let mut lifetimes = Numbering::default();
    for ty in inputs.iter_mut().chain([&mut output]) {
        lifetimes.visit_type_mut(ty);
    }
    let mut bounds = normaliser.bounds(&signature.generics, &mut lifetimes);
    bounds.sort();
    bounds.dedup();

    let text = |ty: &Type| ty.to_token_stream().to_string();
    format!(
        "{}{}{}[{}]({}{}) -> {} where {}",
        if signature.asyncness.is_some() { "async " } else { "" },
        if matches!(signature.safety, Safety::Unsafe(_)) { "unsafe " } else { "" },
        signature.abi.as_ref().map(|abi| abi.to_token_stream().to_string()).unwrap_or_default(),
        kinds.join(", "),
        if has_receiver { "self: " } else { "" },
        inputs.iter().map(text).collect::<Vec<_>>().join(", "),
        text(&output),
        bounds.join(", "),
    )
}

fn span() -> proc_macro2::Span {
    proc_macro2::Span::call_site()
}

/// Rewrites paths, parameters and brackets to one spelling.
struct Normaliser<'a> {
    scope: &'a Scope,
    self_type: Option<Type>,
    params: HashMap<String, String>,
}

impl Normaliser<'_> {
    /// Gives type and const parameters names by their position.
    fn name_params(&mut self, generics: &Generics, prefix: &str, kinds: &mut Vec<String>) {
        for (index, param) in
            generics.params.iter().filter(|param| !matches!(param, GenericParam::Lifetime(_))).enumerate()
        {
            let new = format!("{prefix}{index}");
            match param {
                GenericParam::Type(param) => {
                    self.params.insert(plain(&param.ident), new);
                    kinds.push("type".into());
                }
                GenericParam::Const(param) => {
                    self.params.insert(plain(&param.ident), new);
                    kinds.push(format!("const {}", param.ty.to_token_stream()));
                }
                GenericParam::Lifetime(_) => {}
            }
        }
    }

    /// Every bound as a text of its own, wherever it is written.
    fn bounds(&mut self, generics: &Generics, lifetimes: &mut Numbering) -> Vec<String> {
        let mut found = Vec::new();
        let mut add = |this: &mut Self, mut ty: Type, bounds: Vec<TypeParamBound>| {
            this.visit_type_mut(&mut ty);
            lifetimes.visit_type_mut(&mut ty);
            for mut bound in bounds {
                this.visit_type_param_bound_mut(&mut bound);
                lifetimes.visit_type_param_bound_mut(&mut bound);
                found.push(format!("{}: {}", ty.to_token_stream(), bound.to_token_stream()));
            }
        };
        let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        for param in generics.type_params() {
            let ident = &param.ident;
            add(self, parse_quote!(#ident), param.bounds.iter().cloned().collect());
        }
        for predicate in predicates.clone() {
            if let WherePredicate::Type(predicate) = predicate {
                add(self, predicate.bounded_ty.clone(), predicate.bounds.iter().cloned().collect());
            }
        }
        let mut outlives: Vec<(Lifetime, Vec<Lifetime>)> = generics
            .lifetimes()
            .map(|param| (param.lifetime.clone(), param.bounds.iter().cloned().collect()))
            .collect();
        for predicate in predicates {
            if let WherePredicate::Lifetime(predicate) = predicate {
                outlives.push((predicate.lifetime.clone(), predicate.bounds.iter().cloned().collect()));
            }
        }
        for (mut lifetime, bounds) in outlives {
            if bounds.is_empty() {
                continue;
            }
            lifetimes.visit_lifetime_mut(&mut lifetime);
            for mut bound in bounds {
                lifetimes.visit_lifetime_mut(&mut bound);
                found.push(format!("{lifetime}: {bound}"));
            }
        }
        found
    }
}

impl VisitMut for Normaliser<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        while let Type::Paren(_) | Type::Group(_) = ty {
            let inner = match std::mem::replace(ty, Type::Verbatim(proc_macro2::TokenStream::new())) {
                Type::Paren(inner) => *inner.elem,
                Type::Group(inner) => *inner.elem,
                other => other,
            };
            *ty = inner;
        }
        if self.self_type.as_ref() == Some(ty) {
            *ty = parse_quote!(Self);
            return;
        }
        if let Type::Tuple(tuple) = ty
            && tuple.elems.len() > 1
        {
            tuple.elems.pop_punct();
        }
        visit_mut::visit_type_mut(self, ty);
    }

    fn visit_path_mut(&mut self, path: &mut Path) {
        let count = path.segments.len();
        let bare = path.segments.iter().take(count.saturating_sub(1)).all(|segment| segment.arguments.is_none());
        if bare && count <= MAX_SEGMENTS {
            let names: Vec<String> = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
            let new = match self.params.get(&names[0]) {
                Some(param) => [std::slice::from_ref(param), &names[1..]].concat(),
                None => self.scope.canonical(&names),
            };
            let arguments =
                path.segments.last_mut().map(|last| std::mem::take(&mut last.arguments)).unwrap_or_default();
            path.leading_colon = None;
            path.segments = new.iter().map(|name| syn::PathSegment::from(identifier(name))).collect();
            if let Some(last) = path.segments.last_mut() {
                last.arguments = arguments;
            }
        }
        for segment in &mut path.segments {
            if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                arguments.colon2_token = None;
                arguments.args.pop_punct();
            }
            if let PathArguments::Parenthesized(arguments) = &mut segment.arguments {
                arguments.inputs.pop_punct();
                if let ReturnType::Type(_, ty) = &arguments.output
                    && matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty())
                {
                    arguments.output = ReturnType::Default;
                }
            }
        }
        visit_mut::visit_path_mut(self, path);
    }

    fn visit_generic_argument_mut(&mut self, argument: &mut GenericArgument) {
        // A const argument that is a bare name parses as a type, and `{ N }` as a block.
        if let GenericArgument::Const(syn::Expr::Block(block)) = argument
            && let [syn::Stmt::Expr(inner, None)] = block.block.stmts.as_slice()
        {
            *argument = GenericArgument::Const(inner.clone());
        }
        visit_mut::visit_generic_argument_mut(self, argument);
    }
}

fn identifier(name: &str) -> Ident {
    match name {
        "self" | "Self" | "super" | "crate" => Ident::new(name, span()),
        _ if syn::parse_str::<Ident>(name).is_ok() => Ident::new(name, span()),
        _ => Ident::new_raw(name, span()),
    }
}

/// Gives elided lifetimes names: fresh ones in arguments, the one that Rust infers in the result.
struct Elision {
    fill: Option<Lifetime>,
    fresh: usize,
    seen: Vec<String>,
}

impl Elision {
    fn next(&mut self) -> Lifetime {
        if let Some(fill) = &self.fill {
            return fill.clone();
        }
        self.fresh += 1;
        Lifetime::new(&format!("'elided{}", self.fresh), span())
    }
}

impl VisitMut for Elision {
    fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
        let lifetime = match reference.lifetime.take() {
            Some(lifetime) if lifetime.ident != "_" => lifetime,
            _ => self.next(),
        };
        self.seen.push(lifetime.to_string());
        reference.lifetime = Some(lifetime);
        self.visit_type_mut(&mut reference.elem);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.next();
        }
        self.seen.push(lifetime.to_string());
    }

    // Lifetimes left out in function types are bound there.
    fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {}
}

/// Names lifetimes by the order in which they appear.
#[derive(Default)]
struct Numbering {
    names: HashMap<String, usize>,
}

impl VisitMut for Numbering {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            let next = self.names.len();
            let number = *self.names.entry(lifetime.to_string()).or_insert(next);
            *lifetime = Lifetime::new(&format!("'l{number}"), span());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        let mut scope = Scope::default();
        scope.imports.insert("HashMap".into(), ["std", "collections", "HashMap"].map(String::from).to_vec());
        scope.imports.insert("fmt".into(), ["std", "fmt"].map(String::from).to_vec());
        let canonical = |text: &str| canonical(&syn::parse_str::<Signature>(text).expect("a signature"), None, &scope);
        canonical(left) == canonical(right)
    }

    #[test]
    fn spelling_does_not_count() {
        for (left, right) in [
            ("fn f(x: &str) -> String", "fn f(mut title: &str) -> std::string::String"),
            ("fn f()", "fn f() -> ()"),
            ("fn f(x: Vec<i32>) -> (i32, i32)", "fn f(x: alloc::vec::Vec<i32,>,) -> ((i32), i32,)"),
            ("fn f(m: HashMap<String, i32>)", "fn f(m: std::collections::hash_map::HashMap<String, i32>)"),
            ("fn f(w: &mut dyn fmt::Write)", "fn f(w: &mut dyn core::fmt::Write)"),
            ("fn f(x: &str) -> &str", "fn f<'a>(x: &'a str) -> &'a str"),
            ("fn f<'a>(x: &'a str, y: &'a str) -> &'a str", "fn f<'long>(x: &'long str, y: &'long str) -> &'long str"),
            ("fn f<T: Ord + Clone>(x: &[T]) -> Vec<T>", "fn f<U>(x: &[U]) -> Vec<U> where U: Clone, U: Ord"),
            ("fn f<'a>(x: Foo<'a>) -> &'a str", "fn f(x: Foo<'_>) -> &str"),
            ("fn f<const N: usize>(x: [u8; N]) -> Foo<N>", "fn f<const M: usize>(y: [u8; M]) -> Foo<{ M }>"),
            ("fn f(g: impl Fn(&str) -> bool)", "fn f(g: impl std::ops::Fn(&str,) -> bool)"),
            ("fn f(x: u8)", "const fn f(x: u8)"),
        ] {
            assert!(same(left, right), "{left}\n{right}");
        }
    }

    #[test]
    fn meaning_counts() {
        for (left, right) in [
            ("fn f(x: &str)", "fn f(x: &String)"),
            ("fn f(x: &str)", "fn f(x: String)"),
            ("fn f(x: &[i32])", "fn f(x: &mut [i32])"),
            ("fn f(x: i32) -> i32", "fn f(x: i32) -> i64"),
            ("fn f(x: i32)", "fn f(x: i32, y: i32)"),
            ("fn f(x: &str, y: &str) -> String", "fn f<'a>(x: &'a str, y: &'a str) -> String"),
            ("fn f(x: &str) -> &str", "fn f(x: &str) -> &'static str"),
            ("fn f<T: Ord>(x: T)", "fn f<T: Ord + Clone>(x: T)"),
            ("fn f(x: i32)", "async fn f(x: i32)"),
            ("fn f() -> Result<(), String>", "fn f() -> std::fmt::Result"),
            ("fn f(x: (i32,))", "fn f(x: i32)"),
        ] {
            assert!(!same(left, right), "{left}\n{right}");
        }
    }
}
