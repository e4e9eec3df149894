//! The Rust items a spec wants and those it gives, as plain data.
//!
//! `pub struct Name;` asks for a type whose fields are the candidate's business; attributes and derives on it
//! are kept. A unit struct that is given in full is written `pub struct Name {}`. Every other item with a body
//! is given, every function with `;` is wanted.

use std::collections::BTreeSet;
use std::ops::Range;

use proc_macro2::{Delimiter, Punct, Spacing, Span, TokenStream, TokenTree};
use serde::Serialize;
use syn::parse::discouraged::Speculative as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Fields, FnArg, GenericParam, Ident, ImplItem, Item, Pat, ReceiverKind, ReturnType, Safety, Signature,
    Token, Type, UseTree, Visibility,
};

use super::Snippet;
use crate::syntax::{BoundsError, check_bounds, deep};

/// How the interface was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `signature`: one function.
    Signature,
    /// `interface`: Rust items with `;` for each body that is wanted.
    Interface,
}

/// The Rust items that a spec wants and those that it gives.
///
/// Kept as text, since syntax trees can't cross threads; `items()` of a consumer parses it again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Interface {
    /// How it was written.
    pub form: Form,
    /// The text as written.
    pub source: Snippet,
    /// Free functions whose bodies are wanted, in order.
    #[serde(skip)]
    pub functions: Vec<Function>,
    /// Functions of impl blocks whose bodies are wanted, in order.
    #[serde(skip)]
    pub methods: Vec<Method>,
    /// Types, traits, constants and aliases that are given in full: the candidate may repeat them and
    /// the spec's text is what counts.
    #[serde(skip)]
    pub given: Vec<TypeDef>,
    /// Types whose definition is wanted too (`pub struct Stack;`): the candidate defines them.
    #[serde(skip)]
    pub wanted_types: Vec<String>,
    /// `use` lines that the interface needs and that llmc adds where a candidate has not: those written
    /// in it, and those for well-known std names it mentions (`HashMap` → `use std::collections::HashMap;`).
    #[serde(skip)]
    pub imports: Vec<String>,
}

/// A function whose body is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The signature as formatted Rust without body or semicolon, e.g. `pub fn f(x: &str) -> String`.
    pub signature: String,
    /// Argument names and types, in order; a receiver is `("self", "&self")`.
    pub inputs: Vec<(String, String)>,
    /// The return type; `()` where none is written.
    pub output: String,
    /// Whether it has type or const parameters.
    pub generic: bool,
}

/// A wanted function of an impl block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The impl's header as formatted Rust, e.g. `impl<T: Ord> Stack<T>` or `impl Display for Token`.
    pub header: String,
    /// The type's own name, without arguments, e.g. `Stack`.
    pub on: String,
    /// The function.
    pub function: Function,
}

/// An item that the interface gives in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDef {
    /// Its name.
    pub name: String,
    /// The item as formatted Rust.
    pub source: String,
}

/// A mistake in the Rust of an interface, by its place in that text (all from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) length: usize,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Mistake {
    pub(super) fn at(span: Span, message: impl Into<String>, help: Option<&str>) -> Self {
        let (start, end) = (span.start(), span.end());
        let length = if start.line == end.line { end.column.saturating_sub(start.column).max(1) } else { 1 };
        Self {
            line: start.line.max(1),
            column: start.column + 1,
            length,
            message: message.into(),
            help: help.map(str::to_owned),
        }
    }
}

/// What syn says about `text`, by its place in it.
pub(super) fn syntax_mistake(error: &syn::Error, text: &str) -> Mistake {
    let mut message = error.to_string();
    if message.contains("expected one of: `for`, parentheses") {
        // The list of all that may begin a type helps nobody.
        message = message.split("expected").next().unwrap_or("").to_owned() + "expected a type";
    }
    let (span, ended) = (error.span(), message.strip_prefix("unexpected end of input"));
    if ended.is_some() || span.byte_range().is_empty() {
        // syn knows no place for the end of its input.
        let text = text.trim_end();
        let line = text.matches('\n').count() + 1;
        let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let wanted = ended.map_or(message.as_str(), |rest| rest.trim_start_matches(", "));
        let message = match wanted {
            "" => "the Rust ends too early".to_owned(),
            wanted => format!("the Rust ends too early: {wanted}"),
        };
        return Mistake { line, column, length: 1, message, help: None };
    }
    Mistake::at(span, format!("not the Rust that is wanted here: {message}"), None)
}

/// Why `text` is not even read, by its place in it.
pub(super) fn bounds_mistake(error: &BoundsError) -> Mistake {
    match error {
        BoundsError::NotTokens { line, column, .. } => Mistake {
            line: *line,
            column: *column,
            length: 1,
            message: "not Rust: a bracket or quote without its partner, or a character that Rust does not know".into(),
            help: None,
        },
        _ => Mistake { line: 1, column: 1, length: 1, message: error.to_string(), help: None },
    }
}

/// A change to the interface's text: the bytes it replaces, for the stub and for the prompt.
struct Edit {
    bytes: Range<usize>,
    stub: String,
    render: String,
}

/// What an interface's text holds.
#[derive(Default)]
struct Analysis {
    functions: Vec<Function>,
    methods: Vec<Method>,
    given: Vec<TypeDef>,
    wanted_types: Vec<String>,
    uses: Vec<String>,
    used_names: Vec<String>,
    mentions: BTreeSet<String>,
    edits: Vec<Edit>,
    mistakes: Vec<Mistake>,
}

impl Interface {
    /// Reads a `signature` or an `interface`. Call it inside [`crate::syntax::deep`].
    ///
    /// `imports` holds only what the text itself needs; see [`Interface::import_for`], which wants the names
    /// that the text's own `use` lines bring in: the second part of the result.
    pub(super) fn parse(form: Form, source: &Snippet) -> Result<(Self, Vec<String>), Vec<Mistake>> {
        let analysis = analyse(form, &source.text);
        if !analysis.mistakes.is_empty() {
            return Err(analysis.mistakes);
        }
        let mut interface = Self {
            form,
            source: source.clone(),
            functions: analysis.functions,
            methods: analysis.methods,
            given: analysis.given,
            wanted_types: analysis.wanted_types,
            imports: analysis.uses,
        };
        let defined = interface.item_names();
        let known = |name: &String| defined.contains(name) || analysis.used_names.contains(name);
        let wanted: Vec<String> = analysis.mentions.into_iter().filter(|name| !known(name)).collect();
        interface.import(wanted.iter().map(String::as_str));
        Ok((interface, analysis.used_names))
    }

    /// Adds the `use` lines of the well-known std names among `names`, where they are missing.
    fn import<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            if let Some(path) = std_path(name) {
                let line = format!("use {path};");
                if !self.imports.contains(&line) {
                    self.imports.push(line);
                }
            }
        }
    }

    /// Adds the `use` lines that the spec's examples, properties or tests need for the names they mention.
    pub(super) fn import_for(&mut self, mentions: &BTreeSet<String>, used: &[String]) {
        let defined = self.item_names();
        let known = |name: &&String| defined.contains(name) || used.contains(name);
        let wanted: Vec<&str> = mentions.iter().filter(|name| !known(name)).map(String::as_str).collect();
        self.import(wanted.into_iter());
    }

    /// The names a caller can use: wanted functions, wanted types, and the given items, in that order.
    pub fn item_names(&self) -> Vec<String> {
        let functions = self.functions.iter().map(|function| &function.name);
        let given = self.given.iter().map(|item| &item.name).filter(|name| !name.is_empty());
        functions.chain(&self.wanted_types).chain(given).cloned().collect()
    }

    /// Rust source that type-checks: every wanted body panics, wanted types hold nothing.
    ///
    /// Line `n` of it is line `n` of the interface; the imports that the interface has not itself come last.
    pub fn stub(&self) -> String {
        deep(|| {
            let analysis = analyse(self.form, &self.source.text);
            let mut stub = edited(&self.source.text, &analysis.edits, |edit| &edit.stub);
            for line in self.imports.iter().filter(|line| !analysis.uses.contains(line)) {
                stub.push_str(line);
                stub.push('\n');
            }
            stub
        })
    }

    /// The interface as Rust for a prompt: as written, `pub` where it was left out, `;` for each wanted body.
    pub fn render(&self) -> String {
        deep(|| {
            let analysis = analyse(self.form, &self.source.text);
            edited(&self.source.text, &analysis.edits, |edit| &edit.render)
        })
    }
}

fn edited(text: &str, edits: &[Edit], choose: impl Fn(&Edit) -> &String) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.bytes.start, edit.bytes.end));
    let mut out = String::with_capacity(text.len() + 64 * edits.len());
    let mut done = 0;
    for edit in edits {
        if edit.bytes.start < done {
            continue;
        }
        out.push_str(&text[done..edit.bytes.start]);
        out.push_str(choose(edit));
        done = edit.bytes.end;
    }
    out.push_str(&text[done..]);
    let mut out = out.trim_end().to_owned();
    out.push('\n');
    out
}

const WANTED_BODY: &str = " { ::core::unimplemented!() }";

fn analyse(form: Form, text: &str) -> Analysis {
    let mut analysis = Analysis::default();
    let tokens = match check_bounds(text) {
        Ok(tokens) => tokens,
        Err(error) => {
            analysis.mistakes.push(bounds_mistake(&error));
            return analysis;
        }
    };
    // Spans count bytes of the text; a byte order mark or `#!` line would shift them, and neither is Rust here.
    if text.starts_with('\u{feff}') || text.starts_with("#!") {
        let message = "inner attributes and `#!` lines can't be given here";
        analysis.mistakes.push(Mistake { line: 1, column: 1, length: 2, message: message.into(), help: None });
        return analysis;
    }
    let items = |input: ParseStream<'_>| {
        let mut items = Vec::new();
        while !input.is_empty() {
            items.push(input.parse::<Part>()?);
        }
        Ok(items)
    };
    let parts = match form {
        Form::Interface => items.parse2(tokens),
        Form::Signature => {
            // A signature may leave out its semicolon.
            let last = tokens.clone().into_iter().last();
            let end = last.as_ref().map_or(0, |token| token.span().byte_range().end);
            let closed = matches!(last, Some(TokenTree::Punct(punct)) if punct.as_char() == ';');
            let mut tokens = tokens;
            if !closed && !ends_with_braces(&tokens) {
                tokens.extend([TokenTree::Punct(Punct::new(';', Spacing::Alone))]);
                analysis.edits.push(Edit { bytes: end..end, stub: WANTED_BODY.into(), render: ";".into() });
            }
            items.parse2(tokens)
        }
    };
    let parts = match parts {
        Ok(parts) => parts,
        Err(error) => {
            analysis.mistakes.push(syntax_mistake(&error, text));
            return analysis;
        }
    };
    let inserted_semicolon = !analysis.edits.is_empty();
    let mut reader = Reader { analysis, text, inserted_semicolon };
    if form == Form::Signature {
        let is_one = matches!(parts.as_slice(), [Part::Wanted(_)]);
        if !is_one {
            let help =
                "write only what comes before the `{`; where types or several functions are needed, use `interface`";
            let span = match parts.get(1).or(parts.first()) {
                Some(part) => part.span(),
                None => Span::call_site(),
            };
            reader.mistake(span, "a signature is one function without its body", Some(help));
            return reader.analysis;
        }
    }
    for part in parts {
        reader.part(part);
    }
    reader.check_whole(form);
    reader.analysis
}

fn ends_with_braces(tokens: &TokenStream) -> bool {
    matches!(tokens.clone().into_iter().last(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

/// One item of an interface.
pub(super) enum Part {
    /// A function without its body.
    Wanted(Box<WantedFn>),
    /// Any other item.
    Item(Box<Item>),
}

impl Part {
    fn span(&self) -> Span {
        match self {
            Self::Wanted(wanted) => wanted.sig.ident.span(),
            Self::Item(item) => item.span(),
        }
    }
}

impl Parse for Part {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        if let Ok(wanted) = ahead.parse::<WantedFn>() {
            input.advance_to(&ahead);
            return Ok(Self::Wanted(Box::new(wanted)));
        }
        input.parse().map(|item| Self::Item(Box::new(item)))
    }
}

/// A function with `;` for its body, free or in an impl block.
pub(super) struct WantedFn {
    attrs: Vec<Attribute>,
    vis: Visibility,
    pub(super) sig: Signature,
    semi: Span,
}

impl Parse for WantedFn {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            semi: input.parse::<Token![;]>()?.span,
        })
    }
}

struct Reader<'a> {
    analysis: Analysis,
    text: &'a str,
    inserted_semicolon: bool,
}

impl Reader<'_> {
    fn mistake(&mut self, span: Span, message: impl Into<String>, help: Option<&str>) {
        self.analysis.mistakes.push(Mistake::at(span, message, help));
    }

    fn slice(&self, bytes: Range<usize>) -> String {
        self.text.get(bytes).unwrap_or("").to_owned()
    }

    /// Adds `pub ` before `at` where nothing is written.
    fn make_public(&mut self, vis: &Visibility, at: Span) {
        match vis {
            Visibility::Inherited => {
                let start = at.byte_range().start;
                self.analysis.edits.push(Edit { bytes: start..start, stub: "pub ".into(), render: "pub ".into() });
            }
            Visibility::Public(_) => {}
            Visibility::Restricted(restricted) => {
                self.mistake(restricted.span(), "what an interface holds must be `pub`, without restriction", None);
            }
        }
    }

    fn part(&mut self, part: Part) {
        match part {
            Part::Wanted(wanted) => {
                let WantedFn { attrs, vis, sig, semi } = *wanted;
                self.make_public(&vis, signature_start(&sig));
                if sig.ident == "main" {
                    self.mistake(sig.ident.span(), "a spec can't ask for `main`: artifacts are library code", None);
                }
                self.attributes(&attrs);
                if let Some(receiver) = sig.receiver() {
                    self.mistake(receiver.span(), "`self` outside an impl block", None);
                }
                if let Some(function) = self.function(&Visibility::Public(Default::default()), &sig) {
                    self.body(semi);
                    self.analysis.functions.push(function);
                }
            }
            Part::Item(item) => self.item(*item),
        }
    }

    /// Notes where the body of a wanted function goes.
    fn body(&mut self, semi: Span) {
        let bytes = semi.byte_range();
        // The semicolon that was added to a signature has an edit of its own.
        if !self.inserted_semicolon {
            self.analysis.edits.push(Edit { bytes, stub: WANTED_BODY.into(), render: ";".into() });
        }
    }

    fn attributes(&mut self, attrs: &[Attribute]) {
        const KNOWN: &[&str] = &[
            "doc",
            "derive",
            "must_use",
            "inline",
            "allow",
            "expect",
            "deprecated",
            "non_exhaustive",
            "repr",
            "default",
            "cold",
            "track_caller",
            "warn",
            "deny",
            "rustfmt",
        ];
        for attribute in attrs {
            let first = attribute.path().segments.first().map(|segment| segment.ident.to_string());
            if !first.as_deref().is_some_and(|name| KNOWN.contains(&name)) {
                let help = format!("these may stand here: {}", KNOWN.join(", "));
                self.mistake(attribute.span(), "this attribute can't be used in an interface", Some(&help));
            }
        }
    }

    /// Checks a wanted signature and turns it into data.
    fn function(&mut self, vis: &Visibility, sig: &Signature) -> Option<Function> {
        let before = self.analysis.mistakes.len();
        let ident = sig.ident.to_string();
        if let Some(token) = &sig.asyncness {
            self.mistake(token.span(), "async functions can't be built: nothing here runs them", None);
        }
        match &sig.safety {
            Safety::Unsafe(token) => self.mistake(token.span(), "unsafe functions can't be built", None),
            Safety::Safe(token) => self.mistake(token.span(), "`safe` has no meaning here", None),
            Safety::Default => {}
        }
        if let Some(abi) = &sig.abi {
            self.mistake(abi.span(), "`extern` functions can't be built", None);
        }
        if let Some(variadic) = &sig.variadic {
            self.mistake(variadic.span(), "variadic functions can't be built", None);
        }
        let mut refused = Refused::default();
        refused.visit_signature(sig);
        if let Some(span) = refused.verbatim {
            self.mistake(span, "this syntax is not understood in a signature", None);
        }
        if refused.is_too_deep || sig.span().byte_range().len() > MAX_SIGNATURE {
            let message = format!("`{ident}` has a signature too long or too deeply nested to read");
            self.mistake(sig.ident.span(), message, Some("give a name to a part of it: `pub type Name = …;`"));
        }
        let mut returned = Refused::default();
        returned.visit_return_type(&sig.output);
        if let Some(span) = returned.impl_trait {
            let help = "for example `Box<dyn Iterator<Item = u32>>` or `Vec<u32>`";
            let message =
                format!("`{ident}` returns `impl Trait`; name a type, so that every candidate has the same one");
            self.mistake(span, message, Some(help));
        }
        if let Some(span) = refused.infer {
            self.mistake(span, "`_` is no type for a signature", None);
        }
        if self.analysis.mistakes.len() > before {
            return None;
        }
        let mut mentions = Mentions::default();
        mentions.visit_signature(sig);
        self.analysis.mentions.extend(mentions.names);

        let inputs = sig.inputs.iter().map(|input| match input {
            FnArg::Receiver(receiver) => ("self".to_owned(), receiver_text(receiver)),
            FnArg::Typed(typed) => {
                let name = match &*typed.pat {
                    Pat::Ident(pat) => pat.ident.to_string(),
                    pat => collapse(&self.slice(pat.span().byte_range())),
                };
                (name, format_type(&typed.ty))
            }
        });
        let has_parameters = sig.generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_)));
        let mut arguments = Refused::default();
        sig.inputs.iter().for_each(|input| arguments.visit_fn_arg(input));
        Some(Function {
            name: ident,
            signature: format_signature(vis, sig),
            inputs: inputs.collect(),
            output: match &sig.output {
                ReturnType::Default => "()".to_owned(),
                ReturnType::Type(_, ty) => format_type(ty),
            },
            generic: has_parameters || arguments.impl_trait.is_some(),
        })
    }

    fn item(&mut self, item: Item) {
        let span = item.span();
        let source = self.slice(span.byte_range());
        match &item {
            Item::Use(item_use) => {
                self.attributes(&item_use.attrs);
                use_names(&item_use.tree, &mut self.analysis.used_names);
                self.analysis.uses.push(collapse(&source));
                return;
            }
            Item::Struct(item_struct) if matches!(item_struct.fields, Fields::Unit) => {
                self.wanted_type(item_struct);
            }
            Item::Struct(it) => self.given(&it.vis, it.struct_token.span, &it.attrs, &it.ident, source),
            Item::Enum(it) => self.given(&it.vis, it.enum_token.span, &it.attrs, &it.ident, source),
            Item::Type(it) => self.given(&it.vis, it.type_token.span, &it.attrs, &it.ident, source),
            Item::Const(it) => self.given(&it.vis, it.const_token.span, &it.attrs, &it.ident, source),
            Item::Static(it) => {
                if let syn::StaticMutability::Mut(token) = &it.mutability {
                    self.mistake(token.span(), "`static mut` can't be given: using it needs `unsafe`", None);
                }
                self.given(&it.vis, it.static_token.span, &it.attrs, &it.ident, source);
            }
            Item::Trait(it) => {
                if let Some(token) = &it.unsafety {
                    self.mistake(token.span(), "unsafe traits can't be given", None);
                }
                self.given(&it.vis, it.trait_token.span, &it.attrs, &it.ident, source);
            }
            Item::Fn(it) => {
                if it.sig.ident == "main" {
                    self.mistake(it.sig.ident.span(), "`main` can't be given: artifacts are library code", None);
                }
                if self.function(&it.vis, &it.sig).is_some() {
                    self.given(&it.vis, signature_start(&it.sig), &it.attrs, &it.sig.ident, source);
                }
            }
            Item::Impl(it) => self.impl_block(it, source),
            Item::Mod(it) => self.mistake(it.span(), "modules can't be part of an interface", None),
            Item::Macro(it) => self.mistake(it.span(), "macros can't be part of an interface", None),
            Item::ExternCrate(it) => {
                let help = Some("list the crate under `dependencies`");
                self.mistake(it.span(), "`extern crate` can't be part of an interface", help);
            }
            Item::ForeignMod(it) => self.mistake(it.span(), "`extern` blocks can't be part of an interface", None),
            Item::Union(it) => self.mistake(it.span(), "unions can't be part of an interface", None),
            _ => self.mistake(span, "this item is not understood in an interface", None),
        }
        if !matches!(item, Item::Impl(_)) {
            let mut mentions = Mentions::default();
            mentions.visit_item(&item);
            self.analysis.mentions.extend(mentions.names);
        }
    }

    fn given(&mut self, vis: &Visibility, keyword: Span, attrs: &[Attribute], ident: &Ident, source: String) {
        self.attributes(attrs);
        self.make_public(vis, keyword);
        self.analysis.given.push(TypeDef { name: ident.to_string(), source });
    }

    /// `pub struct Name;`: a type whose fields are wanted too.
    fn wanted_type(&mut self, item: &syn::ItemStruct) {
        self.attributes(&item.attrs);
        self.make_public(&item.vis, item.struct_token.span);
        let parameters = item.generics.params.iter().filter_map(|param| match param {
            GenericParam::Type(param) => Some(param.ident.to_string()),
            GenericParam::Lifetime(param) => Some(format!("&{} ()", param.lifetime)),
            GenericParam::Const(_) => None,
        });
        let parameters: Vec<String> = parameters.collect();
        let field = match parameters.is_empty() {
            true => "()".to_owned(),
            false => format!("::core::marker::PhantomData<({},)>", parameters.join(", ")),
        };
        let Some(semi) = item.semi_token else { return };
        self.analysis.edits.push(Edit {
            bytes: semi.span.byte_range(),
            stub: format!(" {{ _private: {field} }}"),
            render: " { /* yours to define */ }".into(),
        });
        self.analysis.wanted_types.push(item.ident.to_string());
    }

    fn impl_block(&mut self, item: &syn::ItemImpl, source: String) {
        self.attributes(&item.attrs);
        if let Some(token) = &item.unsafety {
            self.mistake(token.span(), "unsafe impl blocks can't be part of an interface", None);
        }
        let mut refused = Refused::default();
        refused.visit_generics(&item.generics);
        refused.visit_type(&item.self_ty);
        if let Some((path, _)) = &item.trait_ {
            refused.visit_path(path);
        }
        if let Some(span) = refused.verbatim {
            self.mistake(span, "this syntax is not understood in an impl block", None);
            return;
        }
        let header_length = item.brace_token.span.open().byte_range().start - item.impl_token.span.byte_range().start;
        if refused.is_too_deep || header_length > MAX_SIGNATURE {
            self.mistake(item.impl_token.span, "this impl block's head is too long or too deeply nested to read", None);
            return;
        }
        let on = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let is_path =
            matches!(&*item.self_ty, Type::Path(path) if path.path.segments.len() == 1 && path.qself.is_none());
        if item.trait_.is_none() && !is_path {
            self.mistake(item.self_ty.span(), "an impl block needs a type of this interface", None);
            return;
        }
        let header = format_header(item);
        let on = on.unwrap_or_else(|| format_type(&item.self_ty));
        let mut mentions = Mentions::default();
        mentions.visit_generics(&item.generics);
        mentions.visit_type(&item.self_ty);
        if let Some((path, _)) = &item.trait_ {
            mentions.visit_path(path);
        }
        let mut has_wanted = false;
        for member in &item.items {
            match member {
                ImplItem::Verbatim(tokens) => match syn::parse2::<WantedFn>(tokens.clone()) {
                    Ok(wanted) => {
                        has_wanted = true;
                        self.attributes(&wanted.attrs);
                        let mut vis = wanted.vis.clone();
                        if item.trait_.is_none() {
                            self.make_public(&wanted.vis, signature_start(&wanted.sig));
                            vis = Visibility::Public(Default::default());
                        }
                        if let Some(function) = self.function(&vis, &wanted.sig) {
                            self.body(wanted.semi);
                            self.analysis.methods.push(Method { header: header.clone(), on: on.clone(), function });
                        }
                    }
                    Err(_) => self.mistake(member.span(), "this is not understood in an impl block", None),
                },
                ImplItem::Macro(_) => self.mistake(member.span(), "macros can't be part of an interface", None),
                _ => mentions.visit_impl_item(member),
            }
        }
        self.analysis.mentions.extend(mentions.names);
        if !has_wanted {
            // Nothing to name it by; it is given all the same.
            self.analysis.given.push(TypeDef { name: String::new(), source });
        }
    }

    fn check_whole(&mut self, form: Form) {
        if self.analysis.functions.is_empty() && self.analysis.methods.is_empty() && self.analysis.mistakes.is_empty() {
            let help = match form {
                Form::Signature => "for example \"pub fn slugify(title: &str) -> String\"",
                Form::Interface => "a function whose body is wanted ends in `;`",
            };
            self.mistake(Span::call_site(), "no function is wanted here", Some(help));
        }
        let analysis = &mut self.analysis;
        let mut seen = BTreeSet::new();
        let names = analysis.functions.iter().map(|function| function.name.clone());
        let names = names.chain(analysis.wanted_types.iter().cloned());
        let names = names.chain(analysis.given.iter().map(|item| item.name.clone()).filter(|name| !name.is_empty()));
        let twice: Vec<String> = names.filter(|name| name != "_" && !seen.insert(name.clone())).collect();
        for name in twice {
            let message = format!("`{name}` is in the interface twice");
            analysis.mistakes.push(Mistake { line: 1, column: 1, length: 1, message, help: None });
        }
        let mut lost = BTreeSet::new();
        for method in &analysis.methods {
            let is_inherent = !method.header.contains(" for ");
            if is_inherent && !seen.contains(&method.on) && lost.insert(method.on.clone()) {
                let message = format!("the interface has an impl block for `{0}` and does not define `{0}`", method.on);
                let help = Some(format!("add `pub struct {};` where its fields are wanted too", method.on));
                analysis.mistakes.push(Mistake { line: 1, column: 1, length: 1, message, help });
            }
        }
    }
}

/// The token at which a signature begins, after its visibility.
fn signature_start(sig: &Signature) -> Span {
    let tokens = quote::ToTokens::to_token_stream(sig);
    tokens.into_iter().next().map_or_else(|| sig.fn_token.span, |token| token.span())
}

fn receiver_text(receiver: &syn::Receiver) -> String {
    let mutable = if receiver.mutability.is_some() { "mut " } else { "" };
    match &receiver.kind {
        ReceiverKind::Reference(_, lifetime, mutability) => {
            let lifetime = lifetime.as_ref().map(|lifetime| format!("{lifetime} ")).unwrap_or_default();
            let mutability = if mutability.is_some() { "mut " } else { "" };
            format!("&{lifetime}{mutability}self")
        }
        ReceiverKind::Typed(_, ty) => format!("{mutable}self: {}", format_type(ty)),
        _ => format!("{mutable}self"),
    }
}

pub(super) fn format_file(item: Item) -> String {
    prettyplease::unparse(&syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items: vec![item] })
}

pub(super) fn format_type(ty: &Type) -> String {
    let text = format_file(syn::parse_quote!(type T = #ty;));
    collapse(text.trim().strip_prefix("type T =").unwrap_or(&text).trim_end_matches(';'))
}

/// The signature without body, as rustfmt would print it.
fn format_signature(vis: &Visibility, sig: &Signature) -> String {
    let text = format_file(syn::parse_quote!(#vis #sig {}));
    text.trim_end().trim_end_matches("{}").trim_end().trim_end_matches(',').to_owned()
}

fn format_header(item: &syn::ItemImpl) -> String {
    let mut item = item.clone();
    item.items.clear();
    item.attrs.clear();
    let text = format_file(Item::Impl(item));
    collapse(text.trim_end().trim_end_matches("{}").trim_end().trim_end_matches(','))
}

/// One line, single blanks.
fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn use_names(tree: &UseTree, names: &mut Vec<String>) {
    match tree {
        UseTree::Path(path) => use_names_under(&path.ident, &path.tree, names),
        UseTree::Name(name) => names.push(name.ident.to_string()),
        UseTree::Rename(rename) => names.push(rename.rename.to_string()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| use_names(tree, names)),
        _ => {}
    }
}

/// `use std::fmt::{self, Display}` brings in `fmt`.
fn use_names_under(parent: &Ident, tree: &UseTree, names: &mut Vec<String>) {
    match tree {
        UseTree::Name(name) if name.ident == "self" => names.push(parent.to_string()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| use_names_under(parent, tree, names)),
        tree => use_names(tree, names),
    }
}

/// Longest signature or impl header, in bytes, and its deepest nesting of types: printing one that is
/// nested takes the square of it.
const MAX_SIGNATURE: usize = 8 << 10;
const MAX_TYPE_DEPTH: usize = 32;

/// Finds what a signature may not hold.
#[derive(Default)]
struct Refused {
    depth: usize,
    is_too_deep: bool,
    verbatim: Option<Span>,
    impl_trait: Option<Span>,
    infer: Option<Span>,
}

impl<'ast> Visit<'ast> for Refused {
    fn visit_type(&mut self, node: &'ast Type) {
        match node {
            Type::Verbatim(_) => self.verbatim = Some(node.span()),
            Type::ImplTrait(_) => self.impl_trait = Some(node.span()),
            Type::Infer(_) => self.infer = Some(node.span()),
            _ => {}
        }
        self.depth += 1;
        self.is_too_deep |= self.depth > MAX_TYPE_DEPTH;
        visit::visit_type(self, node);
        self.depth -= 1;
    }

    fn visit_angle_bracketed_generic_arguments(&mut self, node: &'ast syn::AngleBracketedGenericArguments) {
        self.depth += 1;
        self.is_too_deep |= self.depth > 2 * MAX_TYPE_DEPTH;
        visit::visit_angle_bracketed_generic_arguments(self, node);
        self.depth -= 1;
    }

    fn visit_type_param_bound(&mut self, node: &'ast syn::TypeParamBound) {
        if matches!(node, syn::TypeParamBound::Verbatim(_)) {
            self.verbatim = Some(node.span());
        }
        visit::visit_type_param_bound(self, node);
    }

    fn visit_expr(&mut self, node: &'ast syn::Expr) {
        if matches!(node, syn::Expr::Verbatim(_)) {
            self.verbatim = Some(node.span());
        }
        visit::visit_expr(self, node);
    }

    fn visit_pat(&mut self, node: &'ast Pat) {
        if matches!(node, Pat::Verbatim(_)) {
            self.verbatim = Some(node.span());
        }
        visit::visit_pat(self, node);
    }

    fn visit_item(&mut self, node: &'ast Item) {
        // Only in blocks of const arguments; nobody needs them in a signature.
        self.verbatim = Some(node.span());
    }

    fn visit_lit(&mut self, node: &'ast syn::Lit) {
        if matches!(node, syn::Lit::Verbatim(_)) {
            self.verbatim = Some(node.span());
        }
    }
}

/// Collects the first names of paths, those in macro calls included and those in attributes not.
#[derive(Default)]
pub(super) struct Mentions {
    pub(super) names: BTreeSet<String>,
    /// Names that `use` brings in.
    pub(super) used: Vec<String>,
}

impl Mentions {
    pub(super) fn tokens(&mut self, tokens: TokenStream) {
        let mut stack = vec![tokens.into_iter().peekable()];
        // Whether the token before was `.`, or the second colon of `::`, or a word that defines.
        let mut is_inner = false;
        let mut colons = 0;
        while let Some(tokens) = stack.last_mut() {
            let token = tokens.next();
            let is_joint = |punct: &Punct| punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
            let leads_on = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if is_joint(punct));
            let (mut inner, mut count) = (false, 0);
            match token {
                None => {
                    stack.pop();
                }
                Some(TokenTree::Group(group)) => stack.push(group.stream().into_iter().peekable()),
                Some(TokenTree::Punct(punct)) => {
                    count = if punct.as_char() == ':' { colons + 1 } else { 0 };
                    inner = punct.as_char() == '.' || count == 2;
                }
                Some(TokenTree::Ident(ident)) => {
                    if !is_inner {
                        self.path_head(&ident, leads_on);
                    }
                    inner = ["fn", "let", "struct", "enum"].iter().any(|word| ident == word);
                }
                Some(TokenTree::Literal(_)) => {}
            }
            (is_inner, colons) = (inner, count);
        }
    }

    /// Modules (`fmt`) count only with something after them: alone they are variables or functions.
    fn path_head(&mut self, ident: &Ident, leads_on: bool) {
        let name = ident.to_string();
        if leads_on || name.starts_with(|first: char| first.is_uppercase()) {
            self.names.insert(name);
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_path(&mut self, node: &'ast syn::Path) {
        if node.leading_colon.is_none()
            && let Some(first) = node.segments.first()
        {
            self.path_head(&first.ident, node.segments.len() > 1);
        }
        visit::visit_path(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.tokens(node.tokens.clone());
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        use_names(&node.tree, &mut self.used);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// The path of a well-known std name that is not in the prelude.
fn std_path(name: &str) -> Option<&'static str> {
    const PATHS: &[&str] = &[
        "std::any::Any",
        "std::borrow::Borrow",
        "std::borrow::Cow",
        "std::cell::Cell",
        "std::cell::RefCell",
        "std::cmp::Ordering",
        "std::cmp::Reverse",
        "std::collections::BTreeMap",
        "std::collections::BTreeSet",
        "std::collections::BinaryHeap",
        "std::collections::HashMap",
        "std::collections::HashSet",
        "std::collections::LinkedList",
        "std::collections::VecDeque",
        "std::convert::Infallible",
        "std::fmt",
        "std::fmt::Debug",
        "std::fmt::Display",
        "std::fmt::Formatter",
        "std::hash::Hash",
        "std::hash::Hasher",
        "std::iter::FusedIterator",
        "std::iter::Peekable",
        "std::iter::Product",
        "std::iter::Sum",
        "std::marker::PhantomData",
        "std::mem",
        "std::num::NonZeroU32",
        "std::num::NonZeroU64",
        "std::num::NonZeroUsize",
        "std::num::ParseFloatError",
        "std::num::ParseIntError",
        "std::num::Wrapping",
        "std::ops::Add",
        "std::ops::AddAssign",
        "std::ops::BitAnd",
        "std::ops::BitOr",
        "std::ops::BitXor",
        "std::ops::Bound",
        "std::ops::ControlFlow",
        "std::ops::Deref",
        "std::ops::DerefMut",
        "std::ops::Div",
        "std::ops::DivAssign",
        "std::ops::Index",
        "std::ops::IndexMut",
        "std::ops::Mul",
        "std::ops::MulAssign",
        "std::ops::Neg",
        "std::ops::Not",
        "std::ops::Range",
        "std::ops::RangeBounds",
        "std::ops::RangeInclusive",
        "std::ops::Rem",
        "std::ops::RemAssign",
        "std::ops::Shl",
        "std::ops::Shr",
        "std::ops::Sub",
        "std::ops::SubAssign",
        "std::path::Path",
        "std::path::PathBuf",
        "std::rc::Rc",
        "std::rc::Weak",
        "std::str::Chars",
        "std::str::FromStr",
        "std::sync::Arc",
        "std::sync::Mutex",
        "std::sync::RwLock",
        "std::time::Duration",
        "std::time::Instant",
    ];
    PATHS.iter().copied().find(|path| path.strip_suffix(name).is_some_and(|module| module.ends_with("::")))
}
