//! Names in a syntax tree: what items define, what `use` lines bring in, what tokens mention.
//!
//! Reads only; it never changes a tree. All of it is linear in the size of the source.

use std::collections::HashSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Ident, Item, ItemUse, Meta, Type, UseTree};

/// Longest path, in segments, that is followed; a real one has four or five.
pub(super) const MAX_SEGMENTS: usize = 32;

/// One name that a `use` line brings in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leaf {
    /// The path's segments (at most [`MAX_SEGMENTS`]), without a trailing `self`.
    pub(super) path: Vec<String>,
    /// The name it is bound to; `None` for globs and `as _`.
    pub(super) bound: Option<String>,
    /// Whether it ends in `*`.
    pub(super) glob: bool,
    /// Whether it starts with `::`.
    pub(super) absolute: bool,
}

/// The identifier without a leading `r#`: `r#std` names the same thing as `std`.
pub(super) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    match text.strip_prefix("r#") {
        Some(rest) => rest.to_string(),
        None => text,
    }
}

/// Every name that a `use` line brings in.
pub(super) fn leaves(item: &ItemUse) -> Vec<Leaf> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    collect_leaves(&item.tree, item.leading_colon.is_some(), &mut path, &mut found);
    found
}

fn collect_leaves(tree: &UseTree, absolute: bool, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let leaf = |mut path: Vec<String>, last: Option<String>, bound: Option<String>, glob: bool| {
        if let Some(last) = last.filter(|last| last != "self" || path.is_empty()) {
            path.push(last);
        }
        let bound = bound.or_else(|| path.last().cloned()).filter(|name| name != "_" && !glob);
        Leaf { path, bound, glob, absolute }
    };
    match tree {
        UseTree::Path(inner) => {
            let kept = path.len();
            if kept < MAX_SEGMENTS {
                path.push(plain(&inner.ident));
            }
            collect_leaves(&inner.tree, absolute, path, found);
            path.truncate(kept);
        }
        UseTree::Name(name) => found.push(leaf(path.clone(), Some(plain(&name.ident)), None, false)),
        UseTree::Rename(name) => {
            found.push(leaf(path.clone(), Some(plain(&name.ident)), Some(plain(&name.rename)), false));
        }
        UseTree::Glob(_) => found.push(leaf(path.clone(), None, None, true)),
        UseTree::Group(group) => {
            for tree in &group.items {
                collect_leaves(tree, absolute, path, found);
            }
        }
    }
}

/// The name an item defines; `None` for `use`, `impl` and macro calls.
pub(super) fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(plain(ident))
}

/// What kind of thing an item is, for telling duplicates: two items clash if name and space are equal.
pub(super) fn space_of(item: &Item) -> &'static str {
    match item {
        Item::Fn(_) | Item::Const(_) | Item::Static(_) => "value",
        Item::Macro(_) => "macro",
        _ => "type",
    }
}

/// The attributes of an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether it is `#[cfg(test)]`, `#[test]` or `#[bench]`.
pub(super) fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => {
            path.segments.last().is_some_and(|segment| segment.ident == "test" || segment.ident == "bench")
        }
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::NameValue(_) => false,
    })
}

/// The last identifier of a type that is a path, e.g. `Stack` of `crate::Stack<T>`.
pub(super) fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| plain(&segment.ident)),
        Type::Paren(inner) => type_name(&inner.elem),
        Type::Group(inner) => type_name(&inner.elem),
        _ => None,
    }
}

/// The identifier of a path that is nothing else: `Stack` of `Stack<T>`, not of `m::Stack`.
pub(super) fn only_ident(path: &syn::Path) -> Option<String> {
    match (path.leading_colon, path.segments.first()) {
        (None, Some(segment)) if path.segments.len() == 1 => Some(plain(&segment.ident)),
        _ => None,
    }
}

/// Every identifier in the tokens.
pub(super) fn mentioned(tokens: &impl ToTokens) -> HashSet<String> {
    let mut found = HashSet::new();
    each_token(tokens.to_token_stream(), |token| {
        if let TokenTree::Ident(ident) = token {
            found.insert(plain(ident));
        }
    });
    found
}

/// Every identifier in the tokens that does not go on from `::` or `.`: what must be defined or imported.
pub(super) fn free_names(tokens: &impl ToTokens) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut before = [' ', ' '];
    each_token(tokens.to_token_stream(), |token| {
        let next = match token {
            TokenTree::Punct(punct) => punct.as_char(),
            TokenTree::Ident(ident) => {
                if before != [':', ':'] && before[1] != '.' {
                    found.insert(plain(ident));
                }
                ' '
            }
            _ => ' ',
        };
        // `..name` is a range, not a field.
        let next = if next == '.' && before[1] == '.' { ' ' } else { next };
        before = [before[1], next];
    });
    found
}

/// Calls `visit` for the tokens of every pair of brackets, and for those outside. Does not recurse.
pub(super) fn each_stream(tokens: TokenStream, mut visit: impl FnMut(&[TokenTree])) {
    let mut stack = vec![tokens];
    while let Some(tokens) = stack.pop() {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        visit(&tokens);
        stack.extend(tokens.into_iter().filter_map(|token| match token {
            TokenTree::Group(group) => Some(group.stream()),
            _ => None,
        }));
    }
}

/// What is in the brackets of `#[…]` or `#![…]`, if that is what begins with the `#` at `index`.
pub(super) fn attribute_at(tokens: &[TokenTree], index: usize) -> Option<TokenStream> {
    let is_inner = matches!(tokens.get(index + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
    match tokens.get(index + 1 + usize::from(is_inner)) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => Some(group.stream()),
        _ => None,
    }
}

/// Calls `visit` for every token, those inside brackets too. Does not recurse.
pub(super) fn each_token(tokens: TokenStream, mut visit: impl FnMut(&TokenTree)) {
    let mut stack = vec![tokens.into_iter()];
    while let Some(tokens) = stack.last_mut() {
        match tokens.next() {
            None => {
                stack.pop();
            }
            Some(token) => {
                visit(&token);
                if let TokenTree::Group(group) = token {
                    stack.push(group.stream().into_iter());
                }
            }
        }
    }
}
