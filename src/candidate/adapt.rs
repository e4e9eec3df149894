//! A function that differs from the wanted one only in the integer types that it takes or gives by value.
//!
//! Models write `n: usize` where `n: isize` is wanted, and are right about all else. Such a function stays as it is
//! written, under another name, and one of the wanted signature converts and calls it: what does not fit panics.
//! Where anything else differs, or the name means more than that function, nothing is done.

use quote::{ToTokens, format_ident};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Expr, ExprPath, FieldValue, File, FnArg, GenericParam, Item, ItemFn, Pat, ReturnType, Safety, Signature,
    Type, parse_quote,
};

use super::file_of;
use super::names::{each_stream, each_token, mentioned, only_ident, plain};
use super::signature::{Scope, canonical};

const INTEGERS: &[&str] = &["i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize"];

/// Puts a function of the wanted signature in front of the one at `index`; what was done, as notes.
///
/// `None`, and nothing is changed, where that can't be done or would not be sure to mean the same.
pub(super) fn adapt(items: &mut Vec<Item>, index: usize, wanted: &Signature, scope: &Scope) -> Option<Vec<String>> {
    let Item::Fn(function) = items.get(index)? else { return None };
    let differences = Differences::between(&function.sig, wanted, scope)?;
    let name = plain(&function.sig.ident);
    let file = file_of(items.clone());
    let mut new = format!("{name}_as_written");
    let taken: std::collections::HashSet<String> = mentioned(&file).into_iter().chain(mentioned(wanted)).collect();
    while taken.contains(&new) {
        new.push('_');
    }

    let mut changed = renamed(file, index, &name, &new)?;
    let Item::Fn(inner) = &mut changed[index] else { return None };
    let wrapper = differences.wrapper(wanted, inner);
    changed.insert(index, Item::Fn(wrapper));
    *items = changed;
    Some(differences.notes(&name))
}

/// Where two signatures have different integers.
struct Differences {
    /// For each argument: its name, and the types written and wanted where they differ.
    inputs: Vec<(syn::Ident, Option<(String, String)>)>,
    output: Option<(String, String)>,
}

impl Differences {
    /// `None` where they differ in more than integers by value, or not at all.
    fn between(written: &Signature, wanted: &Signature, scope: &Scope) -> Option<Self> {
        let special = |signature: &Signature| {
            signature.asyncness.is_some()
                || matches!(signature.safety, Safety::Unsafe(_))
                || signature.abi.is_some()
                || signature.variadic.is_some()
                || signature.generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_)))
        };
        // A constant function may not convert.
        if special(written) || special(wanted) || wanted.constness.is_some() {
            return None;
        }
        if written.inputs.len() != wanted.inputs.len() {
            return None;
        }
        let mut same = written.clone();
        let mut inputs = Vec::new();
        for (mine, theirs) in same.inputs.iter_mut().zip(&wanted.inputs) {
            let (FnArg::Typed(mine), FnArg::Typed(theirs)) = (mine, theirs) else { return None };
            let Pat::Ident(ident) = &*theirs.pat else { return None };
            let difference = difference(&mine.ty, &theirs.ty, scope);
            if difference.is_some() {
                mine.ty = theirs.ty.clone();
            }
            inputs.push((ident.ident.clone(), difference));
        }
        let mut output = None;
        if let (ReturnType::Type(_, mine), ReturnType::Type(_, theirs)) = (&mut same.output, &wanted.output) {
            output = difference(mine, theirs, scope);
            if output.is_some() {
                *mine = theirs.clone();
            }
        }
        let differ = output.is_some() || inputs.iter().any(|(_, difference)| difference.is_some());
        (differ && canonical(&same, None, scope) == canonical(wanted, None, scope)).then_some(Self { inputs, output })
    }

    /// The function of the wanted signature. It takes over the documentation.
    fn wrapper(&self, wanted: &Signature, inner: &mut ItemFn) -> ItemFn {
        let (docs, attributes): (Vec<Attribute>, Vec<Attribute>) =
            std::mem::take(&mut inner.attrs).into_iter().partition(|attribute| attribute.path().is_ident("doc"));
        inner.attrs = attributes;
        inner.vis = syn::Visibility::Inherited;
        let mut signature = wanted.clone();
        signature.constness = None;
        for input in &mut signature.inputs {
            if let FnArg::Typed(input) = input
                && let Pat::Ident(ident) = &mut *input.pat
            {
                ident.mutability = None;
            }
        }
        let arguments = self.inputs.iter().map(|(name, difference)| -> Expr {
            match difference {
                Some((written, _)) => {
                    let message = format!("`{}` fits `{written}`", plain(name));
                    parse_quote!(#name.try_into().expect(#message))
                }
                None => parse_quote!(#name),
            }
        });
        let called = &inner.sig.ident;
        let call: Expr = parse_quote!(#called(#(#arguments),*));
        let body: Expr = match &self.output {
            Some((_, wanted)) => {
                let message = format!("the result fits `{wanted}`");
                parse_quote!(#call.try_into().expect(#message))
            }
            None => call,
        };
        parse_quote!(#(#docs)* pub #signature { #body })
    }

    fn notes(&self, function: &str) -> Vec<String> {
        let inputs = self.inputs.iter().filter_map(|(name, difference)| {
            let (written, wanted) = difference.as_ref()?;
            Some(format!("adapted `{}: {written}` of `fn {function}` to the spec's `{wanted}`", plain(name)))
        });
        let output = self.output.iter().map(|(written, wanted)| {
            format!("adapted the result `{written}` of `fn {function}` to the spec's `{wanted}`")
        });
        inputs.chain(output).collect()
    }
}

/// The names of two integer types, if that is what both are, and not the same.
fn difference(written: &Type, wanted: &Type, scope: &Scope) -> Option<(String, String)> {
    let (written, wanted) = (integer(written, scope)?, integer(wanted, scope)?);
    (written != wanted).then_some((written, wanted))
}

fn integer(ty: &Type, scope: &Scope) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    if path.qself.is_some() || path.path.segments.iter().any(|segment| !segment.arguments.is_none()) {
        return None;
    }
    only_ident(&path.path).filter(|name| INTEGERS.contains(&name.as_str()) && !scope.knows(name))
}

/// The items with the function at `index` and all that calls it under another name.
///
/// `None` where the old name is left anywhere: as a variable, a field, in a path, in a macro other than as a call.
fn renamed(mut file: File, index: usize, old: &str, new: &str) -> Option<Vec<Item>> {
    let mut rename = Rename { old, new, sure: true };
    rename.visit_file_mut(&mut file);
    if let Item::Fn(function) = &mut file.items[index] {
        function.sig.ident = format_ident!("{new}");
    }
    let mut left = false;
    each_token(file.to_token_stream(), |token| {
        left |= matches!(token, proc_macro2::TokenTree::Ident(ident) if plain(ident) == old);
    });
    (rename.sure && !left).then_some(file.items)
}

struct Rename<'a> {
    old: &'a str,
    new: &'a str,
    sure: bool,
}

impl VisitMut for Rename<'_> {
    fn visit_expr_path_mut(&mut self, path: &mut ExprPath) {
        if path.qself.is_none()
            && only_ident(&path.path).is_some_and(|name| name == self.old)
            && let Some(segment) = path.path.segments.first_mut()
        {
            segment.ident = format_ident!("{}", self.new);
        }
        visit_mut::visit_expr_path_mut(self, path);
    }

    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        // `Point { x }` names a field as well.
        if field.colon_token.is_none()
            && matches!(&field.expr, Expr::Path(path) if path.path.get_ident().is_some_and(|name| plain(name) == self.old))
        {
            self.sure = false;
        }
        visit_mut::visit_field_value_mut(self, field);
    }

    fn visit_macro_mut(&mut self, mac: &mut syn::Macro) {
        let mut sure = true;
        each_stream(mac.tokens.clone(), |tokens| sure &= calls_only(tokens, self.old));
        self.sure &= sure;
        mac.tokens = replaced(std::mem::take(&mut mac.tokens), self.old, self.new);
        visit_mut::visit_macro_mut(self, mac);
    }
}

/// Whether a name stands in tokens only where a function is called.
fn calls_only(tokens: &[proc_macro2::TokenTree], name: &str) -> bool {
    use proc_macro2::{Delimiter, TokenTree};
    tokens.iter().enumerate().all(|(index, token)| match token {
        TokenTree::Ident(ident) if plain(ident) == name => {
            let called = matches!(
                tokens.get(index + 1),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis
            );
            let before = index.checked_sub(1).map(|before| &tokens[before]);
            called
                && !matches!(before, Some(TokenTree::Punct(punct)) if matches!(punct.as_char(), '.' | ':' | '$'))
                && !matches!(before, Some(TokenTree::Ident(ident)) if ident == "fn")
        }
        _ => true,
    })
}

/// The tokens with one identifier put in place of another. Recurses within the bounds of `syntax`.
fn replaced(tokens: proc_macro2::TokenStream, old: &str, new: &str) -> proc_macro2::TokenStream {
    use proc_macro2::{Group, Ident, TokenTree};
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(ident) if plain(&ident) == old => Ident::new(new, ident.span()).into(),
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), replaced(group.stream(), old, new));
                inner.set_span(group.span());
                inner.into()
            }
            other => other,
        })
        .collect()
}
