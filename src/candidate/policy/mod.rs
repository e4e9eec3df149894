//! The spec's policy on the syntax tree. Whatever it refuses is never compiled or run.
//!
//! Not the fence that keeps hostile code in (the sandbox is): it says early and exactly what a spec does
//! not want. Where a name can't be followed with certainty the answer is no.

mod denied;
mod lists;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeSet, HashMap, HashSet};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, File, ImplItem, Item, ItemUse, Meta, Path, Safety, StaticMutability, TraitItem, Type};

use self::denied::{Denied, Walk, root_name};
use self::lists::{
    ALLOWED_ATTRIBUTES, ATTRIBUTE_MACROS, DENIED_ATTRIBUTES, DENIED_MACROS, PATH_GIVERS, PATH_METHODS, STD_MACROS,
    STD_MODULES,
};
use self::tokens::imports_in;

use super::format_violation;
use super::names::{Leaf, MAX_SEGMENTS, each_token, leaves, name_of, plain};
use crate::spec::Spec;
use crate::syntax::is_hidden;
use crate::verdict::{Class, Phase, Verdict};

/// Longest formatted source, in bytes, whatever the spec allows in lines.
const MAX_SOURCE: usize = 256 << 10;

/// Checks the tree: unsafe code, paths, crates, macros, attributes, items, identifiers.
pub(super) fn check_tree(file: &File, spec: &Spec) -> Result<(), Verdict> {
    let mut policy = Checker::new(file, spec);
    policy.learn_names(file)?;
    policy.visit_file(file);
    match policy.violation {
        Some(verdict) => Err(verdict),
        None => check_identifiers(file, spec),
    }
}

/// Checks the formatted text: its length, and characters that a reader does not see.
pub(super) fn check_text(source: &str, spec: &Spec) -> Result<(), Verdict> {
    let lines = source.lines().count();
    if lines > spec.policy.max_lines {
        let detail = format!("{lines} lines of formatted code; the spec allows {}", spec.policy.max_lines);
        return Err(violation("policy-lines", detail));
    }
    if source.len() > MAX_SOURCE {
        let detail = format!("{} bytes of formatted code; at most {MAX_SOURCE} are taken", source.len());
        return Err(violation("policy-lines", detail));
    }
    check_visible(source)
}

/// Checks that a reader sees every character.
pub(super) fn check_visible(source: &str) -> Result<(), Verdict> {
    let mut before = ' ';
    for (index, character) in source.char_indices() {
        let presentation = matches!(character, '\u{fe0e}' | '\u{fe0f}') && !before.is_ascii();
        if is_hidden(character) && !presentation {
            let (line, column) = super::scan::line_and_column(source, index);
            let detail = format!(
                "the invisible character U+{:04X} on line {line}, column {column}; write it as `\\u{{{:x}}}`",
                u32::from(character),
                u32::from(character)
            );
            return Err(violation("policy-identifier", detail));
        }
        before = character;
    }
    Ok(())
}

fn violation(code: &str, detail: impl Into<String>) -> Verdict {
    Verdict::failed(Phase::Policy, Class::PolicyViolation, code, detail)
}

/// Every identifier is ASCII, or one the spec uses itself.
fn check_identifiers(file: &File, spec: &Spec) -> Result<(), Verdict> {
    let mut allowed: HashSet<String> = HashSet::new();
    let texts = std::iter::once(&spec.interface.source.text)
        .chain(spec.interface.functions.iter().map(|function| &function.signature))
        .chain(spec.interface.given.iter().map(|given| &given.source));
    for text in texts.filter(|text| !text.is_ascii()) {
        if let Ok(tokens) = text.parse::<TokenStream>() {
            allowed.extend(super::names::mentioned(&tokens));
        }
    }
    let mut foreign = None;
    each_token(file.to_token_stream(), |token| {
        if let TokenTree::Ident(ident) = token {
            let text = plain(ident);
            if foreign.is_none() && !text.is_ascii() && !allowed.contains(&text) {
                foreign = Some(text);
            }
        }
    });
    match foreign {
        Some(name) => Err(violation("policy-identifier", format!("the identifier `{name}` is not plain ASCII"))),
        None => Ok(()),
    }
}

struct Checker<'a> {
    spec: &'a Spec,
    denied: Denied,
    /// Names that may stand for a place in the tree of denied paths.
    aliases: HashMap<String, BTreeSet<usize>>,
    /// Names that the file defines or imports, wherever.
    known: HashSet<String>,
    /// Whether the file defines macros, so that tokens can be put together to paths.
    own_macros: bool,
    /// Their names.
    macros: HashSet<String>,
    /// Whether the file names `Path`, or what gives one without naming it.
    names_paths: bool,
    /// Inline modules around the place that is visited.
    depth: usize,
    violation: Option<Verdict>,
}

impl<'a> Checker<'a> {
    fn new(file: &File, spec: &'a Spec) -> Self {
        let mut known: HashSet<String> = HashSet::new();
        let mut names_paths = false;
        each_token(file.to_token_stream(), |token| {
            if let TokenTree::Ident(ident) = token {
                names_paths |= PATH_GIVERS.contains(&plain(ident).as_str());
            }
        });
        let mut collect = Collector::new(&mut known);
        collect.visit_file(file);
        let (own_macros, macros) = (!collect.macros.is_empty(), collect.macros);
        Self {
            spec,
            denied: Denied::new(&spec.policy.deny),
            aliases: HashMap::new(),
            known,
            own_macros,
            macros,
            names_paths,
            depth: 0,
            violation: None,
        }
    }

    fn refuse(&mut self, code: &str, detail: impl Into<String>) {
        if self.violation.is_none() {
            let detail: String = detail.into();
            self.violation = Some(violation(code, detail.chars().take(500).collect::<String>()));
        }
    }

    /// Follows every `use` until nothing new is learned.
    fn learn_names(&mut self, file: &File) -> Result<(), Verdict> {
        let mut known = std::mem::take(&mut self.known);
        let mut collect = Collector::new(&mut known);
        collect.visit_file(file);
        let uses: Vec<Leaf> = collect.uses;
        self.known = known;
        // What every file has without an import.
        for path in self.denied.in_prelude() {
            if let (Some(name), Some(place)) = (path.last(), self.denied.place(&path)) {
                self.aliases.entry(name.clone()).or_default().insert(place);
            }
        }
        for _ in 0..16 {
            let mut changed = false;
            for leaf in &uses {
                let Walk::At(places) = self.walk(&leaf.path, true) else { continue };
                if let Some(name) = &leaf.bound
                    && !places.is_empty()
                {
                    let known = self.aliases.entry(name.clone()).or_default();
                    let before = known.len();
                    known.extend(places);
                    changed |= known.len() != before;
                }
            }
            if !changed {
                return Ok(());
            }
        }
        Err(violation("policy-path", "imports rename each other too many times to be followed"))
    }

    /// Follows a path through the tree of denied paths, beginning anew at each segment that may lead there.
    fn walk(&self, segments: &[String], in_use: bool) -> Walk {
        let mut live: BTreeSet<usize> = BTreeSet::new();
        for segment in segments {
            let mut next: BTreeSet<usize> =
                live.iter().filter_map(|place| self.denied.steps.get(&(*place, segment.clone())).copied()).collect();
            let alone = segments.len() == 1 && !in_use;
            if let Some(place) = self.denied.steps.get(&(0, root_name(segment)))
                && !(alone && self.denied.crates.contains(segment))
            {
                next.insert(*place);
            }
            // The first name, or one that a module passes on.
            if let Some(places) = self.aliases.get(segment) {
                next.extend(places);
            }
            if let Some(path) = next.iter().find_map(|place| self.denied.ends.get(place)) {
                return Walk::Denied(path.clone());
            }
            live = next;
        }
        Walk::At(live)
    }

    fn check_path(&mut self, segments: &[String], absolute: bool, in_use: bool, glob: bool) {
        let written = || {
            let shown = segments.iter().take(8).cloned().collect::<Vec<_>>().join("::");
            if absolute { format!("::{shown}") } else { shown }
        };
        if segments.len() >= MAX_SEGMENTS {
            return self.refuse("policy-path", format!("`{}::…` is too long to be followed", written()));
        }
        match self.walk(segments, in_use) {
            Walk::Denied(path) => {
                let detail = if path == written() {
                    format!("`{path}` is denied")
                } else {
                    format!("`{}` leads to `{path}`, which is denied", written())
                };
                return self.refuse("policy-path", detail);
            }
            Walk::At(places) if glob && !places.is_empty() => {
                return self
                    .refuse("policy-path", format!("`use {}::*` would bring what is denied into reach", written()));
            }
            Walk::At(_) => {}
        }
        if let [_, .., method] = segments
            && !in_use
            && self.asks_file_system(method)
        {
            let detail = format!("`{}` in a file that deals with paths asks the file system", written());
            return self.refuse("policy-path", detail);
        }
        self.check_crate(segments, absolute, in_use, &written());
    }

    fn check_crate(&mut self, segments: &[String], absolute: bool, in_use: bool, written: &str) {
        let Some(first) = segments.first() else { return };
        let is_declared = |name: &str| {
            matches!(name, "std" | "core" | "alloc")
                || self.spec.dependencies.keys().any(|dependency| dependency.replace('-', "_") == name)
        };
        let supers = segments.iter().filter(|segment| *segment == "super").count();
        if supers > self.depth {
            return self.refuse("policy-path", format!("`{written}` reaches out of the candidate's own module"));
        }
        match first.as_str() {
            "crate" | "$crate" => {
                let Some(name) = segments.get(1) else {
                    if in_use {
                        self.refuse("policy-path", "`crate` itself may not be imported");
                    }
                    return;
                };
                if !self.spec.uses.contains(name) {
                    let uses = if self.spec.uses.is_empty() {
                        "the spec uses no other".to_string()
                    } else {
                        format!("the spec uses {}", self.spec.uses.join(", "))
                    };
                    self.refuse("policy-path", format!("`{written}` names another artifact; {uses}"));
                }
            }
            "self" | "super" | "Self" => {}
            name => {
                if segments.len() < 2 && !in_use && !absolute {
                    return;
                }
                let known = is_declared(name)
                    || (!absolute && self.known.contains(name))
                    || (!absolute && STD_MODULES.contains(&name))
                    || (!absolute && name.starts_with(|first: char| first.is_uppercase()));
                if !known {
                    self.refuse("policy-crate", format!("`{written}`: the crate `{name}` is not declared in the spec"));
                }
            }
        }
    }

    fn check_attribute_path(&mut self, path: &[String]) {
        let written = path.join("::");
        let Some(first) = path.first().map(String::as_str) else { return };
        if first == "unsafe" {
            return self.refuse("policy-unsafe", "an `unsafe` attribute");
        }
        // `#[core::prelude::v1::test]` is `#[test]`.
        let is_denied = |name: &String| DENIED_ATTRIBUTES.contains(&name.as_str()) || name.starts_with("rustc_");
        let foreign = !self.spec.dependencies.is_empty()
            && !path.iter().any(is_denied)
            && !matches!(first, "std" | "core" | "alloc")
            && !self.aliases.contains_key(first);
        let tool = path.len() > 1 && matches!(first, "rustfmt" | "clippy");
        let known = path.len() == 1 && ALLOWED_ATTRIBUTES.contains(&first);
        if !known && !foreign && !tool {
            self.refuse("policy-attribute", format!("the attribute `{written}` is not allowed"));
        }
        if !tool && path.len() > 1 {
            self.check_path(path, false, false, false);
        }
    }

    /// One name of a `use` line, wherever it stands.
    fn check_leaf(&mut self, leaf: &Leaf) {
        let written = || leaf.path.join("::");
        let Some(last) = leaf.path.last() else { return };
        // What std has can be had only from there; of names that others use as well nothing else is said.
        let in_std = leaf.path.len() > 1
            && leaf.path.iter().any(|segment| root_name(segment) == "std" || self.aliases.contains_key(segment));
        let unmistakable = !matches!(last.as_str(), "env" | "cfg" | "file" | "include");
        // A macro under another name would be called by that name. (`std::env` is a module as well.)
        if leaf.path.len() > 1
            && DENIED_MACROS.contains(&last.as_str())
            && (in_std || unmistakable)
            && !(last == "env" && leaf.bound.as_ref() == Some(last) && !self.own_macros)
        {
            self.refuse("policy-macro", format!("`{}` is a macro that is not allowed", written()));
        }
        if in_std && ATTRIBUTE_MACROS.contains(&last.as_str()) {
            self.refuse("policy-attribute", format!("`{}` is an attribute that is not allowed", written()));
        }
        if let Some(bound) = &leaf.bound
            && bound != last
            && (bound == "derive" || STD_MACROS.contains(&bound.as_str()) && self.macros.contains(last))
        {
            self.refuse("policy-macro", format!("`{bound}` is std's; `{}` may not take its name", written()));
        }
        self.check_path(&leaf.path, leaf.absolute, true, leaf.glob);
    }

    fn check_unsafe(&mut self, is_unsafe: bool, what: &str) {
        if is_unsafe && !self.spec.policy.allow_unsafe {
            self.refuse("policy-unsafe", format!("{what} is not allowed"));
        }
    }

    /// Whether a method of that name, in this file, is one of `Path` that the spec does not want.
    fn asks_file_system(&self, method: &str) -> bool {
        self.names_paths
            && PATH_METHODS.contains(&method)
            && self.spec.policy.deny.iter().any(|path| path.trim_start_matches("::") == "std::fs")
    }

    fn unknown_syntax(&mut self, tokens: &TokenStream) {
        if !tokens.is_empty() && self.violation.is_none() {
            let text: String = tokens.to_string().chars().take(120).collect();
            self.violation = Some(format_violation("syntax", format!("not stable Rust: `{text}`")));
        }
    }
}

/// Collects what a file defines and imports, at any depth.
struct Collector<'a> {
    known: &'a mut HashSet<String>,
    uses: Vec<Leaf>,
    /// Names of macros that the file defines.
    macros: HashSet<String>,
}

impl<'a> Collector<'a> {
    fn new(known: &'a mut HashSet<String>) -> Self {
        Self { known, uses: Vec::new(), macros: HashSet::new() }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        self.known.extend(name_of(item));
        if let Item::Macro(item) = item {
            // One without a name is an error, but must not be overlooked.
            let defined = item.ident.is_some() || item.mac.path.is_ident("macro_rules");
            self.macros.extend(defined.then(|| item.ident.as_ref().map(plain).unwrap_or_default()));
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let leaves = leaves(item);
        self.known.extend(leaves.iter().filter_map(|leaf| leaf.bound.clone()).filter(|_| {
            // `use rand;` alone does not declare the crate `rand`.
            !matches!(&item.tree, syn::UseTree::Name(_))
        }));
        self.uses.extend(leaves);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        for import in imports_in(mac.tokens.clone()).into_iter().flatten() {
            self.visit_item_use(&import);
        }
    }

    fn visit_generic_param(&mut self, param: &'ast syn::GenericParam) {
        match param {
            syn::GenericParam::Type(param) => {
                self.known.insert(plain(&param.ident));
            }
            syn::GenericParam::Const(param) => {
                self.known.insert(plain(&param.ident));
            }
            syn::GenericParam::Lifetime(_) => {}
        }
        visit::visit_generic_param(self, param);
    }
}

impl<'ast> Visit<'ast> for Checker<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if self.violation.is_some() {
            return;
        }
        match item {
            Item::ExternCrate(item) => {
                let name = plain(&item.ident);
                if item.rename.is_some() || name == "self" {
                    self.refuse("policy-item", "`extern crate … as …` is not allowed");
                } else {
                    self.check_crate(&[name], true, true, "extern crate");
                }
            }
            Item::ForeignMod(_) => {
                if self.spec.policy.allow_unsafe {
                    self.refuse("policy-item", "an `extern` block is not allowed");
                } else {
                    self.refuse("policy-unsafe", "an `extern` block is not allowed");
                }
            }
            Item::Mod(module) => {
                self.check_unsafe(module.unsafety.is_some(), "an `unsafe` module");
                if module.content.is_none() {
                    self.refuse("policy-item", format!("`mod {};` reads another file", module.ident));
                }
            }
            Item::Static(item) => {
                self.check_unsafe(matches!(item.mutability, StaticMutability::Mut(_)), "`static mut`");
            }
            Item::Trait(item) => self.check_unsafe(item.unsafety.is_some(), "an `unsafe` trait"),
            Item::Impl(item) => {
                self.check_unsafe(item.unsafety.is_some(), "an `unsafe` impl");
                if item.modifiers.require_empty().is_err() {
                    self.unknown_syntax(&item.self_ty.to_token_stream());
                }
            }
            Item::TraitAlias(item) => self.unknown_syntax(&item.ident.to_token_stream()),
            Item::Macro(item) if item.mac.path.is_ident("macro_rules") => match &item.ident {
                Some(name) if STD_MACROS.contains(&plain(name).as_str()) => {
                    let detail = format!("`{}!` is std's and may not be defined anew", plain(name));
                    self.refuse("policy-macro", detail);
                }
                _ if !well_formed_rules(&item.mac.tokens) => {
                    self.violation = Some(format_violation("syntax", "malformed `macro_rules!`"));
                }
                _ => {}
            },
            Item::Verbatim(tokens) => self.unknown_syntax(tokens),
            _ => {}
        }
        if self.violation.is_some() {
            return;
        }
        let inside = matches!(item, Item::Mod(_));
        self.depth += usize::from(inside);
        visit::visit_item(self, item);
        self.depth -= usize::from(inside);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        for leaf in leaves(item) {
            if self.violation.is_some() {
                return;
            }
            self.check_leaf(&leaf);
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // Who may see an item reaches nothing.
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments: Vec<String> =
            path.segments.iter().take(MAX_SEGMENTS).map(|segment| plain(&segment.ident)).collect();
        self.check_path(&segments, path.leading_colon.is_some(), false, false);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        self.visit_qualified(path.qself.as_ref(), &path.path, &path.attrs);
    }

    fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
        self.visit_qualified(path.qself.as_ref(), &path.path, &path.attrs);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let last = mac.path.segments.last().map(|segment| plain(&segment.ident)).unwrap_or_default();
        if DENIED_MACROS.contains(&last.as_str()) {
            self.refuse("policy-macro", format!("`{last}!` is not allowed"));
        }
        self.visit_path(&mac.path);
        self.check_tokens(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path().segments.iter().take(MAX_SEGMENTS).map(|segment| plain(&segment.ident));
        self.check_attribute_path(&path.collect::<Vec<_>>());
        match &attribute.meta {
            Meta::Path(_) => {}
            Meta::List(list) => self.check_tokens(list.tokens.clone()),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(_) => {}
                // `#[doc = include_str!(…)]`
                other => self.check_tokens(other.to_token_stream()),
            },
        }
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        if self.violation.is_some() {
            return;
        }
        match expression {
            Expr::Unsafe(_) => self.check_unsafe(true, "an `unsafe` block"),
            Expr::Verbatim(tokens) => self.unknown_syntax(tokens),
            Expr::MethodCall(call) => {
                let method = plain(&call.method);
                if self.asks_file_system(&method) {
                    let detail = format!("`.{method}()` in a file that deals with paths asks the file system");
                    self.refuse("policy-path", detail);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expression);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.check_unsafe(matches!(signature.safety, Safety::Unsafe(_)), "an `unsafe` function");
        if signature.abi.is_some() || signature.variadic.is_some() {
            self.refuse("policy-item", format!("`extern fn {}` is not allowed", signature.ident));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Verbatim(tokens) => self.unknown_syntax(tokens),
            Type::FnPtr(pointer) => self.check_unsafe(pointer.unsafety.is_some(), "an `unsafe` function type"),
            _ => {}
        }
        visit::visit_type(self, ty);
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        if let syn::Pat::Verbatim(tokens) = pattern {
            self.unknown_syntax(tokens);
        }
        visit::visit_pat(self, pattern);
    }

    fn visit_type_param_bound(&mut self, bound: &'ast syn::TypeParamBound) {
        if let syn::TypeParamBound::Verbatim(tokens) = bound {
            self.unknown_syntax(tokens);
        }
        visit::visit_type_param_bound(self, bound);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Verbatim(tokens) = item {
            self.unknown_syntax(tokens);
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Verbatim(tokens) = item {
            self.unknown_syntax(tokens);
        }
        visit::visit_trait_item(self, item);
    }
}

impl Checker<'_> {
    fn visit_qualified(&mut self, qself: Option<&syn::QSelf>, path: &Path, attributes: &[Attribute]) {
        for attribute in attributes {
            self.visit_attribute(attribute);
        }
        let Some(qself) = qself else { return self.visit_path(path) };
        self.visit_type(&qself.ty);
        // `<T as Trait>::name` names `Trait`; `<T>::name` no crate at all.
        if qself.position > 0 {
            return self.visit_path(path);
        }
        let segments: Vec<String> =
            path.segments.iter().take(MAX_SEGMENTS).map(|segment| plain(&segment.ident)).collect();
        self.check_denied_only(&segments);
        if segments.last().is_some_and(|method| self.asks_file_system(method)) {
            let detail = format!("`<_>::{}` in a file that deals with paths asks the file system", segments.join("::"));
            self.refuse("policy-path", detail);
        }
        visit::visit_path(self, path);
    }
}

/// Whether the tokens are rules `(…) => {…};`: anything else makes the formatter give up.
fn well_formed_rules(tokens: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        rest = match rest {
            [
                TokenTree::Group(_),
                TokenTree::Punct(equals),
                TokenTree::Punct(arrow),
                TokenTree::Group(_),
                rest @ ..,
            ] if equals.as_char() == '='
                && equals.spacing() == Spacing::Joint
                && arrow.as_char() == '>'
                && arrow.spacing() == Spacing::Alone =>
            {
                rest
            }
            _ => return false,
        };
        rest = match rest {
            [] => rest,
            [TokenTree::Punct(semi), rest @ ..] if semi.as_char() == ';' && semi.spacing() == Spacing::Alone => rest,
            _ => return false,
        };
    }
    true
}
