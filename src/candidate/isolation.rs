//! Whether a candidate can be compiled as one module among those of others without their noticing.
//!
//! Says no where it can't tell: the price of a wrong no is one compiler run, that of a wrong yes a wrong verdict.
//! It is no policy: what it says no to may be good code.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, File, Item, ItemImpl, ItemUse, Meta, Path, Stmt, Type};

use super::names::{attribute_at, each_stream, each_token, leaves, name_of, only_ident, plain};
use super::{Candidate, parse_file};
use crate::syntax::deep;

/// Attributes that reach nothing but what they stand on.
const HARMLESS: &[&str] = &[
    "derive",
    "inline",
    "allow",
    "warn",
    "expect",
    "deny",
    "forbid",
    "must_use",
    "doc",
    "default",
    "non_exhaustive",
    "cold",
    "track_caller",
    "repr",
    "deprecated",
    "rustfmt",
    "clippy",
];

/// Derives of std: they implement a trait for the type that they stand on, and nothing else.
const DERIVES: &[&str] = &["Debug", "Clone", "Copy", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Default"];

/// Macros of std that expand to expressions, or to items that nobody else can meet.
const MACROS: &[&str] = &[
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "compile_error",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "line",
    "matches",
    "module_path",
    "panic",
    "print",
    "println",
    "stringify",
    "thread_local",
    "todo",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// Whether compiling the candidate as one module among others of a crate leaves the others as they are.
///
/// False where it could change how another module compiles or runs: impls of a foreign trait for a foreign type
/// (`impl PartialEq<Own> for i32` changes what rustc infers everywhere), inherent impls on types of other modules,
/// macros or derives that may expand to such, attributes that act on the crate, paths that may lead to a neighbour.
pub fn is_separable(candidate: &Candidate) -> bool {
    deep(|| parse_file(&candidate.source).is_ok_and(|file| is_separable_file(&file)))
}

fn is_separable_file(file: &File) -> bool {
    let mut names = Names::default();
    names.visit_file(file);
    let mut walk = Walk { names: &names, scopes: vec![Scope::of_items(&file.items)], depth: 0, apart: true };
    walk.visit_file(file);
    walk.apart
}

/// Names of the whole file.
#[derive(Default)]
struct Names {
    /// Macros that it defines.
    macros: HashSet<String>,
    /// Names bound by something else than a definition of a type or trait: imports, aliases, parameters, modules.
    rebound: HashSet<String>,
    /// Names imported from anywhere but std.
    foreign: HashSet<String>,
    /// Whether there is a glob import of another crate.
    foreign_glob: bool,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Macro(item) if item.mac.path.is_ident("macro_rules") => {
                self.macros.extend(item.ident.as_ref().map(plain));
            }
            Item::Type(_) | Item::Mod(_) | Item::TraitAlias(_) => self.rebound.extend(name_of(item)),
            Item::ExternCrate(item) => {
                self.rebound.insert(plain(item.rename.as_ref().map_or(&item.ident, |(_, name)| name)));
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for leaf in leaves(item) {
            let of_std = leaf.path.first().is_some_and(|root| matches!(root.as_str(), "std" | "core" | "alloc"));
            // `use Kind::*` brings in variants, `use super::*` what is defined here.
            let inside = !leaf.absolute
                && leaf.path.first().is_none_or(|root| {
                    matches!(root.as_str(), "self" | "super" | "Self") || root.starts_with(char::is_uppercase)
                });
            self.foreign_glob |= leaf.glob && !of_std && !inside;
            if let Some(name) = leaf.bound {
                if !of_std {
                    self.foreign.insert(name.clone());
                }
                self.rebound.insert(name);
            }
        }
    }

    fn visit_generic_param(&mut self, param: &'ast syn::GenericParam) {
        if let syn::GenericParam::Type(param) = param {
            self.rebound.insert(plain(&param.ident));
        }
        visit::visit_generic_param(self, param);
    }
}

/// What a module or a block defines.
#[derive(Default)]
struct Scope {
    types: HashSet<String>,
    traits: HashSet<String>,
    /// A glob import may bring in a name that is not seen here.
    globs: bool,
    is_block: bool,
}

impl Scope {
    fn of_items<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let mut scope = Self::default();
        for item in items {
            match item {
                Item::Struct(_) | Item::Enum(_) | Item::Union(_) => scope.types.extend(name_of(item)),
                Item::Trait(_) => scope.traits.extend(name_of(item)),
                Item::Use(item) => scope.globs |= leaves(item).iter().any(|leaf| leaf.glob),
                _ => {}
            }
        }
        scope
    }

    fn of_block(block: &Block) -> Self {
        let items = block.stmts.iter().filter_map(|statement| match statement {
            Stmt::Item(item) => Some(item),
            _ => None,
        });
        Self { is_block: true, ..Self::of_items(items) }
    }
}

struct Walk<'a> {
    names: &'a Names,
    /// The scopes around, the innermost last.
    scopes: Vec<Scope>,
    /// Inline modules around.
    depth: usize,
    apart: bool,
}

impl Walk<'_> {
    fn refuse_if(&mut self, shared: bool) {
        self.apart &= !shared;
    }

    /// Whether a single name is surely what the candidate itself defines, in the scope that `defined` looks at.
    fn is_own(&self, path: &Path, defined: impl Fn(&Scope) -> &HashSet<String>) -> bool {
        let Some(name) = only_ident(path) else { return false };
        if self.names.rebound.contains(&name) {
            return false;
        }
        for scope in self.scopes.iter().rev() {
            if defined(scope).contains(&name) {
                return true;
            }
            // What a block's globs or macros bring in shadows what stands around it; a module sees nothing around it.
            if !scope.is_block || scope.globs || !self.names.macros.is_empty() {
                return false;
            }
        }
        false
    }

    fn is_own_type(&self, ty: &Type) -> bool {
        match ty {
            Type::Path(path) if path.qself.is_none() => self.is_own(&path.path, |scope| &scope.types),
            Type::Paren(inner) => self.is_own_type(&inner.elem),
            Type::Group(inner) => self.is_own_type(&inner.elem),
            _ => false,
        }
    }

    /// A macro or derive of std under its own name.
    fn is_std(&self, path: &Path, known: &[&str]) -> bool {
        let Some(last) = path.segments.last().map(|segment| plain(&segment.ident)) else { return false };
        let first = path.segments.first().map(|segment| plain(&segment.ident)).unwrap_or_default();
        let in_std = path.segments.len() > 1
            && matches!(first.as_str(), "std" | "core" | "alloc")
            && (path.leading_colon.is_some() || !self.names.rebound.contains(&first));
        let bare = path.segments.len() == 1
            && path.leading_colon.is_none()
            && !self.names.foreign_glob
            && !self.names.foreign.contains(&last);
        known.contains(&last.as_str()) && (in_std || bare)
    }

    /// Tokens that a macro passes on or puts out.
    fn visit_tokens(&mut self, tokens: TokenStream) {
        let mut shared = false;
        each_stream(tokens, |tokens| {
            for (index, token) in tokens.iter().enumerate() {
                match token {
                    TokenTree::Ident(ident) => {
                        let reaches = ["impl", "crate", "super", "macro_rules", "macro", "mod", "extern"];
                        shared |= reaches.contains(&plain(ident).as_str());
                    }
                    TokenTree::Punct(punct) if punct.as_char() == '#' => match attribute_at(tokens, index) {
                        Some(attribute) => shared |= !attribute_in_tokens_is_harmless(attribute, self.names),
                        // An attribute that is put together from pieces can't be read.
                        None => shared = true,
                    },
                    _ => {}
                }
            }
        });
        self.refuse_if(shared);
    }
}

fn attribute_in_tokens_is_harmless(tokens: TokenStream, names: &Names) -> bool {
    let mut tokens = tokens.into_iter();
    let Some(TokenTree::Ident(name)) = tokens.next() else { return false };
    match plain(&name).as_str() {
        "derive" => {
            let mut known = true;
            each_token(tokens.collect(), |token| {
                if let TokenTree::Ident(ident) = token {
                    let name = plain(ident);
                    known &= DERIVES.contains(&name.as_str()) && !names.foreign.contains(&name) && !names.foreign_glob;
                }
            });
            known
        }
        "doc" => true,
        name => HARMLESS.contains(&name),
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !self.apart {
            return;
        }
        match item {
            // Rules that are no more than expressions; what else they put out is seen in their tokens.
            Item::Macro(item) if item.mac.path.is_ident("macro_rules") => {}
            Item::Macro(item) => self.refuse_if(!self.is_std(&item.mac.path, &["thread_local"])),
            Item::ExternCrate(_) | Item::ForeignMod(_) | Item::TraitAlias(_) | Item::Verbatim(_) => {
                self.apart = false;
            }
            Item::Mod(item) => {
                let items = item.content.as_ref().map(|(_, items)| items.as_slice()).unwrap_or_default();
                // A module sees nothing of what is around it but by a path.
                self.scopes.push(Scope::of_items(items));
                self.depth += 1;
                visit::visit_item_mod(self, item);
                self.depth -= 1;
                self.scopes.pop();
                return;
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let apart = match &item.trait_ {
            None => self.is_own_type(&item.self_ty),
            Some((of_trait, _)) => {
                let mut on = &*item.self_ty;
                while let Type::Reference(reference) = on {
                    on = &reference.elem;
                }
                self.is_own_type(on) || self.is_own(of_trait, |scope| &scope.traits)
            }
        };
        self.refuse_if(!apart);
        visit::visit_item_impl(self, item);
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.scopes.push(Scope::of_block(block));
        visit::visit_block(self, block);
        self.scopes.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        for leaf in leaves(item) {
            self.check_reach(&leaf.path);
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // Who may see an item changes nothing for those who don't name it.
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
        self.check_reach(&segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let own = only_ident(&mac.path)
            .is_some_and(|name| self.names.macros.contains(&name) && !self.names.foreign.contains(&name))
            && !self.names.foreign_glob;
        let known = own || mac.path.is_ident("macro_rules") || self.is_std(&mac.path, MACROS);
        self.refuse_if(!known);
        self.visit_tokens(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let name = attribute.path().segments.first().map(|segment| plain(&segment.ident)).unwrap_or_default();
        self.refuse_if(!HARMLESS.contains(&name.as_str()));
        match &attribute.meta {
            Meta::Path(_) => {}
            Meta::List(list) if name == "derive" => {
                let parsed = attribute
                    .parse_args_with(syn::punctuated::Punctuated::<Path, syn::Token![,]>::parse_terminated)
                    .unwrap_or_default();
                let all = parsed.iter().all(|path| self.is_std(path, DERIVES));
                self.refuse_if(!all || parsed.is_empty() && !list.tokens.is_empty());
            }
            Meta::List(list) => self.visit_tokens(list.tokens.clone()),
            Meta::NameValue(pair) => self.refuse_if(!matches!(pair.value, Expr::Lit(_))),
        }
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        self.refuse_if(matches!(expression, Expr::Verbatim(_)));
        visit::visit_expr(self, expression);
    }

    fn visit_type(&mut self, ty: &'ast Type) {
        self.refuse_if(matches!(ty, Type::Verbatim(_)));
        visit::visit_type(self, ty);
    }
}

impl Walk<'_> {
    /// Paths to the modules above: an artifact that the spec uses is fine, a neighbour is not.
    fn check_reach(&mut self, segments: &[String]) {
        let supers = segments.iter().filter(|segment| *segment == "super").count();
        let bare_crate = segments.len() == 1 && segments[0] == "crate";
        self.refuse_if(supers > self.depth || bare_crate);
        if let [first, second, ..] = segments
            && first == "crate"
        {
            let numbered = second
                .strip_prefix('k')
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
            self.refuse_if(numbered || second == "super" || second == "self");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separable(source: &str) -> bool {
        let file: File = syn::parse_str(source).unwrap_or_else(|error| panic!("{error}: {source}"));
        let source = prettyplease::unparse(&file);
        is_separable(&Candidate { source, notes: Vec::new() })
    }

    #[test]
    fn ordinary_candidates_are_separable() {
        for source in [
            "pub fn double(x: i32) -> i32 { x * 2 }",
            "use std::collections::HashMap; pub fn f(m: &HashMap<u8, u8>) -> String { format!(\"{:?}\", m) }",
            "#[derive(Debug, Clone, PartialEq)] pub enum Token { Num(f64) } impl Token { fn is(&self) -> bool { true } }",
            "struct S; impl std::fmt::Display for S { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, \"x\") } }",
            "struct S<T>(T); impl<T> From<T> for S<T> { fn from(x: T) -> Self { S(x) } }",
            "struct S; impl<'a> IntoIterator for &'a S { type Item = u8; type IntoIter = std::vec::IntoIter<u8>; fn into_iter(self) -> Self::IntoIter { vec![].into_iter() } }",
            "trait Twice { fn twice(&self) -> Self; } impl Twice for i32 { fn twice(&self) -> i32 { self * 2 } }",
            "trait Twice { fn twice(&self) {} } impl<T> Twice for T {}",
            "fn f() { struct S; impl Drop for S { fn drop(&mut self) {} } }",
            "struct S; fn f() { if true { impl Default for S { fn default() -> S { S } } } }",
            "mod m { pub struct S; impl S { pub fn new() -> S { super::helper(); S } } } fn helper() {}",
            "macro_rules! max { ($a:expr, $b:expr) => { if $a > $b { $a } else { $b } }; } fn g() -> i32 { max!(1, 2) }",
            "thread_local! { static X: std::cell::Cell<u8> = const { std::cell::Cell::new(1) }; }",
            "use crate::friend::f; pub fn g() { crate::friend::f() }",
            "use regex::Regex; pub fn g(r: &Regex) -> bool { r.is_match(\"x\") }",
            "#[derive(Debug)] #[repr(u8)] enum E { #[doc(hidden)] A } use E::*; #[inline] #[must_use] fn g() -> u8 { A as u8 }",
            "/// Doc.\npub fn f<T: Ord>(x: &[T]) -> usize { assert!(x.len() > 1); std::println!(\"a\"); 1 }",
            "use std::fmt::Debug; #[derive(Debug)] struct S; fn f<T: Debug>(_: T) {}",
        ] {
            assert!(separable(source), "{source}");
        }
    }

    #[test]
    fn what_others_could_notice_is_not_separable() {
        for source in [
            "struct S; impl From<S> for String { fn from(_: S) -> String { String::new() } }",
            "struct S; impl PartialEq<S> for i32 { fn eq(&self, _: &S) -> bool { true } }",
            "struct S; impl PartialEq<S> for &i32 { fn eq(&self, _: &S) -> bool { true } }",
            "struct S; impl From<S> for Vec<S> { fn from(_: S) -> Vec<S> { vec![] } }",
            "struct S; impl<T> std::ops::Add<S> for [T; 2] { type Output = S; fn add(self, _: S) -> S { S } }",
            "struct S; impl AsRef<S> for (S, S) { fn as_ref(&self) -> &S { &self.0 } }",
            "struct S; fn f() { impl From<S> for String { fn from(_: S) -> String { String::new() } } }",
            "struct S; const X: () = { impl From<S> for u8 { fn from(_: S) -> u8 { 1 } } };",
            "struct S; fn f() -> [u8; { impl From<S> for u8 { fn from(_: S) -> u8 { 1 } } 1 }] { [1] }",
            "mod m { struct S; impl From<S> for String { fn from(_: S) -> String { String::new() } } }",
            // A name that looks as if it were the candidate's own.
            "mod m { pub struct String; } struct S; impl From<S> for String { fn from(_: S) -> Self { todo!() } }",
            "struct S; struct Own; fn f() { use std::string::String as Own; impl From<S> for Own { fn from(_: S) -> Self { todo!() } } }",
            "struct HashSet; struct S; fn f() { use std::collections::*; impl PartialEq<S> for HashSet<u8> { fn eq(&self, _: &S) -> bool { true } } }",
            "struct S; type Own = String; impl From<S> for Own { fn from(_: S) -> Self { todo!() } }",
            "struct S; struct T; impl<T> From<S> for T { fn from(_: S) -> Self { todo!() } }",
            "struct String; mod m { struct S; impl From<S> for String { fn from(_: S) -> Self { todo!() } } }",
            "struct S; trait PartialEq {} mod m { use super::S; impl PartialEq<S> for i32 { fn eq(&self, _: &S) -> bool { true } } }",
            "impl crate::friend::Type { fn more(&self) {} }",
            "use crate::friend::Type; impl Type { fn more(&self) {} }",
            "use crate::friend::Type; impl Default for Type { fn default() -> Self { todo!() } }",
            // Macros that may put out an impl.
            "macro_rules! m { () => { impl From<S> for String { fn from(_: S) -> String { todo!() } } } } struct S; fn f() { m!(); }",
            "macro_rules! m { ($($t:tt)*) => { $($t)* } } struct S; fn f() { m!(impl From<S> for String { fn from(_: S) -> String { todo!() } }); }",
            "struct S; fn f() -> Vec<u8> { vec![{ impl From<S> for u8 { fn from(_: S) -> u8 { 1 } } 1 }] }",
            "macro_rules! m { () => { fn g() {} } } m!();",
            "fn f() { foreign::items!(); }",
            "mod m { macro_rules! items { () => {} } } use foreign::items; fn f() { items!(); }",
            "use foreign::vec; fn f() { vec![1]; }",
            "use foreign::*; fn f() { vec![1]; }",
            "use foreign::Into as Debug; #[derive(Debug)] struct S(u8);",
            "use foreign::*; #[derive(Debug)] struct S(u8);",
            "#[derive(foreign::Into)] struct S(u8);",
            "#[derive(Serialize)] struct S(u8);",
            "macro_rules! m { ($d:ident) => { #[derive($d)] struct S(u8); } } fn f() { m!(Into); }",
            "macro_rules! m { ($a:ident) => { #[$a] fn f() {} } }",
            "macro_rules! m { ($h:tt) => { $h[no_mangle] fn f() {} } } fn f() { m!(#); }",
            // What acts on the crate.
            "#[macro_export] macro_rules! m { () => {} }",
            "#[unsafe(no_mangle)] pub fn f() {}",
            "#[cfg(unix)] fn f() {}",
            "#[path = \"x\"] mod m {}",
            "fn f() { #[no_mangle] static X: u8 = 1; }",
            "fn f(#[foreign] x: u8) {}",
            "extern crate std as foreign;",
            "extern \"C\" { fn abs(x: i32) -> i32; }",
            // What leads to a neighbour.
            "use super::other::f;",
            "fn f() { super::super::k1::f() }",
            "use crate::k12::slugify::slugify;",
            "fn f() { crate::k0::slugify::slugify(\"\") }",
            "mod m { macro_rules! x { () => { super::super::k1::f() } } pub(crate) use x; } fn g() { m::x!() }",
            "macro_rules! m { ($a:tt) => { $a::k1::f() } } fn g() { m!(crate); }",
        ] {
            assert!(!separable(source), "{source}");
        }
        assert!(!is_separable(&Candidate { source: "not Rust at all".into(), notes: Vec::new() }));
    }
}
