//! Rust types as JSON Schema: what serde makes of them. Only what has one meaning in JSON is taken.
//!
//! The items are taken over into the generated crate as they are, with serde's derives.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Span;
use quote::ToTokens as _;
use serde::Serialize;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{Attribute, Fields, FnArg, GenericArgument, Item, Pat, PathArguments, ReturnType, Type, Visibility};

use super::interface::{Mistake, Part, bounds_mistake, format_file, format_type, syntax_mistake};
use crate::schema::{DEEPEST, Field, Kind, MOST_PARTS, Schema};
use crate::syntax::check_bounds;

/// The Rust types of a component that were given rather than derived from a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RustTypes {
    /// The items, formatted, public, with serde's derives.
    pub items: String,
    /// The type of the input, owned.
    pub input: String,
    /// The type of the output.
    pub output: String,
    /// Names of the items.
    pub names: Vec<String>,
}

/// What an `interface` of a component says.
pub(super) struct Read {
    /// The function's name.
    pub(super) name: String,
    /// Where that stands.
    pub(super) span: Span,
    pub(super) input: Schema,
    pub(super) output: Schema,
    pub(super) types: RustTypes,
}

/// Derives that generated types have.
const DERIVES: [&str; 5] = ["Debug", "Clone", "PartialEq", "Serialize", "Deserialize"];

/// Derives that may be asked for.
const DERIVABLE: [&str; 11] =
    ["Debug", "Clone", "Copy", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Default", "Serialize", "Deserialize"];

/// Reads types and one function. Call it inside [`crate::syntax::deep`].
pub(super) fn read(text: &str) -> Result<Read, Vec<Mistake>> {
    let tokens = check_bounds(text).map_err(|error| vec![bounds_mistake(&error)])?;
    let parts = |input: ParseStream<'_>| {
        let mut parts = Vec::new();
        while !input.is_empty() {
            parts.push(input.parse::<Part>()?);
        }
        Ok(parts)
    };
    let parts = parts.parse2(tokens).map_err(|error| vec![syntax_mistake(&error, text)])?;
    let mut reader = Reader { items: BTreeMap::new(), mistakes: Vec::new(), open: Vec::new(), parts: 0 };
    let mut functions = Vec::new();
    let mut printed = Vec::new();
    for part in &parts {
        match part {
            Part::Wanted(wanted) => functions.push(&wanted.sig),
            Part::Item(item) => {
                if let Some(name) = reader.item(item) {
                    if reader.items.insert(name.to_string(), item).is_some() {
                        reader.wrong(name.span(), format!("two types are named `{name}`"), None);
                    }
                    printed.push((**item).clone());
                }
            }
        }
    }
    let function = match functions.as_slice() {
        [function] => *function,
        [] => {
            let help = "for example `pub fn triage(ticket: Ticket) -> Triage;`";
            reader.wrong(Span::call_site(), "there is no function: what is taken, and what is given", Some(help));
            return Err(reader.mistakes);
        }
        [_, second, ..] => {
            reader.wrong(second.ident.span(), "a component is one function; here is another", None);
            return Err(reader.mistakes);
        }
    };
    let plain = function.generics.params.is_empty()
        && function.generics.where_clause.is_none()
        && function.asyncness.is_none()
        && function.constness.is_none()
        && matches!(function.safety, syn::Safety::Default)
        && function.abi.is_none()
        && function.variadic.is_none();
    if !plain {
        reader.wrong(
            function.ident.span(),
            "a component's function is plain: `pub fn name(arg: Input) -> Output;`",
            None,
        );
    }
    let argument = match function.inputs.iter().collect::<Vec<_>>().as_slice() {
        [FnArg::Typed(argument)] if matches!(&*argument.pat, Pat::Ident(_)) => Some(&*argument.ty),
        _ => {
            let help = "several values are the fields of one struct";
            reader.wrong(function.ident.span(), "a component's function takes one argument", Some(help));
            None
        }
    };
    let output = match &function.output {
        ReturnType::Type(_, ty) => Some(&**ty),
        ReturnType::Default => {
            reader.wrong(function.ident.span(), "a component's function gives something", None);
            None
        }
    };
    // At the top a reference may stand: the caller lends what the component reads.
    let owned = argument.map(owned);
    for (name, ty) in [("Input", owned.as_ref()), ("Output", output)] {
        let is_own = matches!(ty, Some(Type::Path(path)) if path.path.is_ident(name));
        if let Some(item) = reader.items.get(name).filter(|_| !is_own) {
            let span = item.span();
            let message =
                format!("`{name}` is what the generated module calls the function's own {}", name.to_lowercase());
            reader.wrong(span, message, Some("give this type another name"));
        }
    }
    let input = owned.as_ref().and_then(|ty| reader.schema(ty, argument.map(|ty| ty.span()), 0));
    let given = output.and_then(|ty| reader.schema(ty, None, 0));
    // What neither of them names would be held against nothing.
    for (name, item) in reader.items.clone() {
        reader.open.push(name);
        reader.fields_of(item, 0);
        reader.open.pop();
    }
    let mut seen = BTreeSet::new();
    reader.mistakes.retain(|mistake| seen.insert((mistake.line, mistake.column, mistake.message.clone())));
    match (input, given) {
        (Some(input), Some(output_schema)) if reader.mistakes.is_empty() => {
            let names = reader.items.keys().cloned().collect();
            let items = printed.into_iter().map(|item| format_file(with_derives(item))).collect::<Vec<_>>().join("\n");
            Ok(Read {
                name: function.ident.to_string(),
                span: function.ident.span(),
                input,
                output: output_schema,
                types: RustTypes {
                    items,
                    input: owned.map(|ty| format_type(&ty)).unwrap_or_default(),
                    output: output.map(format_type).unwrap_or_default(),
                    names,
                },
            })
        }
        _ => Err(reader.mistakes),
    }
}

/// The type that what is borrowed is read into.
fn owned(ty: &Type) -> Type {
    let Type::Reference(reference) = ty else { return ty.clone() };
    if reference.mutability.is_some() {
        return ty.clone();
    }
    match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => syn::parse_quote!(String),
        Type::Slice(slice) => {
            let item = owned(&slice.elem);
            syn::parse_quote!(Vec<#item>)
        }
        other => other.clone(),
    }
}

struct Reader<'a> {
    items: BTreeMap<String, &'a Item>,
    mistakes: Vec<Mistake>,
    /// The types that are being read.
    open: Vec<String>,
    parts: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&mut self, span: Span, message: impl Into<String>, help: Option<&str>) {
        self.mistakes.push(Mistake::at(span, message, help));
    }

    /// An item's name, where it is one that can be taken.
    fn item(&mut self, item: &Item) -> Option<syn::Ident> {
        let (ident, generics, attributes) = match item {
            Item::Struct(item) => (&item.ident, &item.generics, &item.attrs),
            Item::Enum(item) => (&item.ident, &item.generics, &item.attrs),
            _ => {
                let help = "structs and enums, and one `pub fn name(arg: Input) -> Output;`";
                self.wrong(item.span(), "this has no meaning in a component", Some(help));
                return None;
            }
        };
        if !generics.params.is_empty() || generics.where_clause.is_some() {
            self.wrong(ident.span(), format!("`{ident}` has parameters; a component's types have none"), None);
        }
        self.attributes(attributes, &["rename_all", "deny_unknown_fields"]);
        Some(ident.clone())
    }

    /// Refuses attributes that would change what a type looks like in JSON in ways that are not known here.
    fn attributes(&mut self, attributes: &[Attribute], serde: &[&str]) {
        for attribute in attributes {
            let path = attribute.path();
            if path.is_ident("doc") {
                continue;
            }
            if path.is_ident("derive") {
                let mut unknown = None;
                let read = attribute.parse_nested_meta(|meta| {
                    let last = meta.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
                    if !DERIVABLE.contains(&last.as_str()) {
                        unknown = Some(meta.path.span());
                    }
                    Ok(())
                });
                if let Some(span) = unknown.or(read.err().map(|_| attribute.span())) {
                    self.wrong(span, "only what std and serde derive can be derived here", None);
                }
                continue;
            }
            if !path.is_ident("serde") {
                self.wrong(attribute.span(), "this attribute has no meaning in a component", None);
                continue;
            }
            let mut unknown = None;
            let read = attribute.parse_nested_meta(|meta| {
                if !serde.iter().any(|known| meta.path.is_ident(known)) {
                    unknown = Some(meta.path.span());
                }
                if meta.input.peek(syn::Token![=]) {
                    let value: syn::LitStr = meta.value()?.parse()?;
                    if meta.path.is_ident("rename_all") && !CASES.contains(&value.value().as_str()) {
                        unknown = Some(value.span());
                    }
                }
                Ok(())
            });
            if let Some(span) = unknown.or(read.err().map(|_| attribute.span())) {
                let known = "of serde's attributes `rename = \"…\"`, and `rename_all = \"…\"` with a case of serde's, are known";
                self.wrong(span, "this attribute is not known here", Some(known));
            }
        }
    }

    fn schema(&mut self, ty: &Type, at: Option<Span>, depth: usize) -> Option<Schema> {
        self.parts += 1;
        if depth > DEEPEST || self.parts > MOST_PARTS {
            if self.parts <= MOST_PARTS + 1 {
                self.wrong(at.unwrap_or(ty.span()), "the types are nested too deep, or too many", None);
            }
            return None;
        }
        let span = at.unwrap_or(ty.span());
        match ty {
            Type::Paren(inner) => self.schema(&inner.elem, at, depth),
            Type::Group(inner) => self.schema(&inner.elem, at, depth),
            Type::Tuple(tuple) if tuple.elems.is_empty() => Some(Kind::Null.into()),
            Type::Tuple(tuple) => {
                let places: Vec<_> = tuple.elems.iter().map(|ty| self.schema(ty, at, depth + 1)).collect();
                Some(Kind::Tuple(places.into_iter().collect::<Option<_>>()?).into())
            }
            Type::Array(array) => {
                let length = match &array.len {
                    syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(length), .. }) => length.base10_parse().ok(),
                    _ => None,
                };
                let Some(length) = length.filter(|length: &usize| *length <= 32) else {
                    self.wrong(span, "an array's length is a number, 32 at most", Some("`Vec<T>` has no length"));
                    return None;
                };
                let items = Box::new(self.schema(&array.elem, at, depth + 1)?);
                Some(Kind::Array { items, min_items: Some(length), max_items: Some(length) }.into())
            }
            Type::Path(path) if path.qself.is_none() => self.path(&path.path, span, at, depth),
            Type::Reference(_) => {
                let help = "the owned type: `String`, `Vec<T>`, `T`";
                self.wrong(span, "a reference has no meaning here: what comes as JSON is owned", Some(help));
                None
            }
            _ => {
                self.wrong(span, format!("`{}` can't be JSON", short(ty)), Some(KNOWN));
                None
            }
        }
    }

    fn path(&mut self, path: &syn::Path, span: Span, at: Option<Span>, depth: usize) -> Option<Schema> {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let is_bare = names.len() == 1;
        let last = path.segments.last()?;
        let name = last.ident.to_string();
        if is_bare && let Some(item) = self.items.get(&name).copied() {
            if !last.arguments.is_empty() {
                self.wrong(span, format!("`{name}` has no parameters"), None);
                return None;
            }
            return self.named(&name, item, span, depth);
        }
        let prefix = names[..names.len() - 1].join("::");
        let arguments: Option<Vec<&Type>> = match &last.arguments {
            PathArguments::None => Some(Vec::new()),
            PathArguments::AngleBracketed(given) => given
                .args
                .iter()
                .map(|one| match one {
                    GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                })
                .collect(),
            PathArguments::Parenthesized(_) => None,
        };
        let limits = |minimum, maximum| Some(Kind::Integer { minimum, maximum }.into());
        let known = match (name.as_str(), arguments.as_deref(), prefix.as_str()) {
            ("bool", Some([]), "") => Some(Kind::Boolean.into()),
            ("i8", Some([]), "") => limits(Some(i8::MIN.into()), Some(i8::MAX.into())),
            ("i16", Some([]), "") => limits(Some(i16::MIN.into()), Some(i16::MAX.into())),
            ("i32", Some([]), "") => limits(Some(i32::MIN.into()), Some(i32::MAX.into())),
            ("i64" | "isize", Some([]), "") => limits(None, None),
            ("u8", Some([]), "") => limits(Some(0), Some(u8::MAX.into())),
            ("u16", Some([]), "") => limits(Some(0), Some(u16::MAX.into())),
            ("u32", Some([]), "") => limits(Some(0), Some(u32::MAX.into())),
            ("u64" | "usize", Some([]), "") => limits(Some(0), None),
            ("f32" | "f64", Some([]), "") => Some(Kind::Number { minimum: None, maximum: None }.into()),
            ("char", Some([]), "") => Some(Kind::String { min_length: Some(1), max_length: Some(1) }.into()),
            ("String", Some([]), "" | "std::string") => {
                Some(Kind::String { min_length: None, max_length: None }.into())
            }
            ("Value", Some([]), "serde_json") => Some(Schema::any()),
            ("Vec", Some([item]), "" | "std::vec") => {
                let items = Box::new(self.schema(item, at, depth + 1)?);
                Some(Kind::Array { items, min_items: None, max_items: None }.into())
            }
            ("Box", Some([inner]), "" | "std::boxed") => return self.schema(inner, at, depth + 1),
            ("Option", Some([inner]), "" | "std::option") => {
                let inner = self.schema(inner, at, depth + 1)?;
                if inner.nullable || matches!(inner.kind, Kind::Any | Kind::Null) {
                    let help = "in JSON `Some(None)` and `None` are the same";
                    self.wrong(span, "an `Option` of what may be `null` itself", Some(help));
                    return None;
                }
                Some(Schema { nullable: true, ..inner })
            }
            ("BTreeMap" | "HashMap", Some([key, value]), "" | "std::collections") => {
                let is_text = matches!(key, Type::Path(key) if key.path.is_ident("String"));
                if !is_text {
                    self.wrong(at.unwrap_or(key.span()), "a map's keys are `String`: those of JSON are texts", None);
                    return None;
                }
                Some(Kind::Map(Box::new(self.schema(value, at, depth + 1)?)).into())
            }
            _ => None,
        };
        if known.is_none() {
            let short = collapse(&path.to_token_stream().to_string());
            self.wrong(span, format!("`{short}` is not known here"), Some(KNOWN));
        }
        known
    }

    /// A given type, by its name.
    fn named(&mut self, name: &str, item: &'a Item, span: Span, depth: usize) -> Option<Schema> {
        if self.open.iter().any(|open| open == name) {
            self.wrong(span, format!("`{name}` holds itself; such a type is not supported"), None);
            return None;
        }
        self.open.push(name.to_owned());
        let kind = self.fields_of(item, depth);
        self.open.pop();
        let attributes = match item {
            Item::Struct(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            _ => return None,
        };
        let schema = kind?;
        // `struct Id(u64);` is a number with a name of its own.
        let description = words(attributes).or(schema.description);
        Some(Schema { name: Some(name.to_owned()), description, ..schema })
    }

    fn fields_of(&mut self, item: &'a Item, depth: usize) -> Option<Schema> {
        match item {
            Item::Struct(item) => {
                let rename = renaming(&item.attrs);
                self.fields(&item.fields, rename.as_deref(), depth)
            }
            Item::Enum(item) => {
                let case = renaming(&item.attrs);
                let (mut units, mut others, mut is_whole) = (Vec::new(), Vec::new(), true);
                let mut seen = BTreeSet::new();
                if item.variants.is_empty() {
                    self.wrong(item.ident.span(), format!("`{}` has no variants: nothing fits it", item.ident), None);
                    return None;
                }
                for variant in &item.variants {
                    self.attributes(&variant.attrs, &["rename"]);
                    let own = variant.ident.to_string();
                    let name = renamed(&variant.attrs).unwrap_or_else(|| variant_case(case.as_deref(), &own));
                    if !seen.insert(name.clone()) {
                        self.wrong(variant.ident.span(), format!("two variants are `{name}` in JSON"), None);
                    }
                    if variant.discriminant.is_some() {
                        self.wrong(variant.ident.span(), "a variant's number has no meaning in JSON", None);
                    }
                    if matches!(variant.fields, Fields::Unit) {
                        units.push(serde_json::Value::from(name));
                        continue;
                    }
                    match self.fields(&variant.fields, None, depth + 1) {
                        Some(schema) => {
                            let field = Field { key: name, schema, required: true };
                            let description = words(&variant.attrs);
                            others.push(Schema { name: Some(own), description, ..Kind::Object(vec![field]).into() });
                        }
                        None => is_whole = false,
                    }
                }
                if !is_whole {
                    return None;
                }
                let units = (!units.is_empty()).then(|| Schema::from(Kind::Choice(units)));
                let mut ways: Vec<Schema> = units.into_iter().chain(others).collect();
                Some(if ways.len() == 1 { Schema { name: None, ..ways.remove(0) } } else { Kind::OneOf(ways).into() })
            }
            _ => None,
        }
    }

    fn fields(&mut self, fields: &Fields, rename: Option<&str>, depth: usize) -> Option<Schema> {
        match fields {
            Fields::Unit => Some(Kind::Null.into()),
            Fields::Unnamed(fields) => {
                for field in &fields.unnamed {
                    self.attributes(&field.attrs, &[]);
                }
                let places: Vec<_> =
                    fields.unnamed.iter().map(|field| self.schema(&field.ty, None, depth + 1)).collect();
                let mut places = places.into_iter().collect::<Option<Vec<_>>>()?;
                Some(if places.len() == 1 { places.remove(0) } else { Kind::Tuple(places).into() })
            }
            Fields::Named(fields) => {
                let (mut found, mut is_whole, mut seen) = (Vec::new(), true, BTreeSet::new());
                for field in &fields.named {
                    self.attributes(&field.attrs, &["rename"]);
                    let Some(ident) = &field.ident else { continue };
                    let own = ident.to_string();
                    let own = own.strip_prefix("r#").unwrap_or(&own);
                    let key = renamed(&field.attrs).unwrap_or_else(|| field_case(rename, own));
                    if !seen.insert(key.clone()) {
                        self.wrong(ident.span(), format!("two fields are `{key}` in JSON"), None);
                    }
                    match self.schema(&field.ty, None, depth + 1) {
                        Some(schema) => {
                            let description = words(&field.attrs).or(schema.description);
                            found.push(Field { key, schema: Schema { description, ..schema }, required: true });
                        }
                        None => is_whole = false,
                    }
                }
                is_whole.then(|| Kind::Object(found).into())
            }
        }
    }
}

const KNOWN: &str = "there are: numbers to 64 bits, bool, char, String, Vec<T>, [T; N], Option<T>, tuples, \
                     BTreeMap<String, T>, HashMap<String, T>, serde_json::Value, and the types given here";

fn short(ty: &Type) -> String {
    let text = collapse(&ty.to_token_stream().to_string());
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn collapse(text: &str) -> String {
    text.replace(" :: ", "::").replace(" < ", "<").replace(" >", ">").replace(" ,", ",")
}

/// The words of a doc comment.
fn words(attributes: &[Attribute]) -> Option<String> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let syn::Meta::NameValue(meta) = &attribute.meta
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &meta.value
        {
            let text = text.value();
            lines.push(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned());
        }
    }
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn serde_text(attributes: &[Attribute], wanted: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.input.peek(syn::Token![=]) {
                let value: syn::LitStr = meta.value()?.parse()?;
                if meta.path.is_ident(wanted) {
                    found = Some(value.value());
                }
            }
            Ok(())
        });
    }
    found
}

fn renamed(attributes: &[Attribute]) -> Option<String> {
    serde_text(attributes, "rename")
}

fn renaming(attributes: &[Attribute]) -> Option<String> {
    serde_text(attributes, "rename_all")
}

/// The cases that serde knows.
const CASES: [&str; 8] = [
    "lowercase",
    "UPPERCASE",
    "PascalCase",
    "camelCase",
    "snake_case",
    "SCREAMING_SNAKE_CASE",
    "kebab-case",
    "SCREAMING-KEBAB-CASE",
];

/// What serde makes of a variant's name.
fn variant_case(case: Option<&str>, name: &str) -> String {
    let spaced = |sign: char| {
        let mut text = String::new();
        for (at, character) in name.chars().enumerate() {
            if at > 0 && character.is_uppercase() {
                text.push(sign);
            }
            text.push(character.to_ascii_lowercase());
        }
        text
    };
    match case {
        Some("lowercase") => name.to_ascii_lowercase(),
        Some("UPPERCASE") => name.to_ascii_uppercase(),
        Some("camelCase") => lower_first(name),
        Some("snake_case") => spaced('_'),
        Some("SCREAMING_SNAKE_CASE") => spaced('_').to_ascii_uppercase(),
        Some("kebab-case") => spaced('-'),
        Some("SCREAMING-KEBAB-CASE") => spaced('-').to_ascii_uppercase(),
        _ => name.to_owned(),
    }
}

/// What serde makes of a field's name.
fn field_case(case: Option<&str>, name: &str) -> String {
    let pascal = || {
        let mut text = String::new();
        let mut is_first = true;
        for character in name.chars() {
            match character {
                '_' => is_first = true,
                character if is_first => {
                    text.push(character.to_ascii_uppercase());
                    is_first = false;
                }
                character => text.push(character),
            }
        }
        text
    };
    match case {
        Some("UPPERCASE" | "SCREAMING_SNAKE_CASE") => name.to_ascii_uppercase(),
        Some("PascalCase") => pascal(),
        Some("camelCase") => lower_first(&pascal()),
        Some("kebab-case") => name.replace('_', "-"),
        Some("SCREAMING-KEBAB-CASE") => name.to_ascii_uppercase().replace('_', "-"),
        _ => name.to_owned(),
    }
}

fn lower_first(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect()
}

/// The item with everything public, and with serde's derives.
fn with_derives(mut item: Item) -> Item {
    let public: Visibility = syn::parse_quote!(pub);
    let attributes = match &mut item {
        Item::Struct(item) => {
            item.vis = public.clone();
            item.fields.iter_mut().for_each(|field| field.vis = public.clone());
            &mut item.attrs
        }
        Item::Enum(item) => {
            item.vis = public;
            &mut item.attrs
        }
        _ => return item,
    };
    let mut derives: Vec<syn::Path> = Vec::new();
    attributes.retain(|attribute| {
        if !attribute.path().is_ident("derive") {
            return true;
        }
        let _ = attribute.parse_nested_meta(|meta| {
            derives.push(meta.path);
            Ok(())
        });
        false
    });
    let last = |path: &syn::Path| path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
    derives.retain(|path| !["Serialize", "Deserialize"].contains(&last(path).as_str()));
    for (at, name) in DERIVES.iter().enumerate() {
        if !derives.iter().any(|path| last(path) == *name) {
            let ident = syn::Ident::new(name, Span::call_site());
            match *name {
                "Serialize" | "Deserialize" => derives.push(syn::parse_quote!(serde::#ident)),
                _ => derives.insert(at.min(derives.len()), syn::parse_quote!(#ident)),
            }
        }
    }
    // Doc comments first, as people write them.
    let at = attributes.iter().take_while(|attribute| attribute.path().is_ident("doc")).count();
    attributes.insert(at, syn::parse_quote!(#[derive(#(#derives),*)]));
    item
}
