//! From a spec to the crate of its checks. Pure: text in, text and a way back out.
//!
//! The crate imports the interface's names one by one: what else a candidate defines (a macro
//! `assert_eq`, a type `Vec`) can't take the place of what the checks mean.

use std::collections::BTreeSet;

use quote::ToTokens as _;
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::source_map::{SourceMap, Text};
use crate::spec::{Diagnostic, Example, Expect, Interface, Property, Severity, Snippet, Spec};
use crate::syntax::{check_bounds, deep};
use crate::verdict::Phase;

/// The checks of a spec as a program.
#[derive(Debug, Clone)]
pub struct Harness {
    /// The source of the program's only file.
    pub source: String,
    /// The checks, in the order in which they are run.
    pub checks: Vec<Check>,
    /// The way back from the source to the spec's file.
    pub map: SourceMap,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `example-2`, `test-NAME`, `property-NAME`.
    pub code: String,
    /// [`Phase::Test`] or [`Phase::Property`].
    pub phase: Phase,
    /// Whether it is kept from the model.
    pub hidden: bool,
    /// What it tries, in Rust: the call of an example, the statement of a property; empty for a test.
    pub tries: String,
}

/// Writes the program that runs the checks of `spec`.
///
/// # Errors
/// What in the spec can't be turned into a check, each with its place.
pub fn render(spec: &Spec) -> Result<Harness, Vec<Diagnostic>> {
    deep(|| Render::new(spec).all())
}

/// Writes a program that makes the calls of the examples that `spec` shows and says what came of each: no expected value
/// is in it.
pub(super) fn render_calls(spec: &Spec) -> Harness {
    deep(|| {
        let mut render = Render::new(spec);
        render.begin();
        for (at, example) in spec.examples.iter().enumerate().filter(|(_, example)| !example.hidden) {
            let function = format!("example_{}", at + 1);
            let out = render.out.own(&format!("    pub fn {function}() -> ::llmc_rt::Outcome {{\n        match ("));
            out.snippet(&example.call);
            out.own("        ) { result => ::llmc_rt::Outcome::Note((&::llmc_rt::Show(&result)).show()) }\n    }\n");
            let run = format!("llmc_examples::{function}()");
            render.check(format!("example-{}", at + 1), Phase::Test, false, &example.call.text, run);
        }
        render.out.own("}\n");
        render.end()
    })
}

struct Render<'a> {
    spec: &'a Spec,
    out: Text,
    checks: Vec<Check>,
    /// The closure that runs each check.
    runs: Vec<String>,
    mistakes: Vec<Diagnostic>,
}

impl<'a> Render<'a> {
    fn new(spec: &'a Spec) -> Self {
        Self { spec, out: Text::default(), checks: Vec::new(), runs: Vec::new(), mistakes: Vec::new() }
    }

    /// The beginning of the program, and of the module of examples.
    fn begin(&mut self) {
        self.out.own("//! The checks of a spec, written by llmc.\n#![allow(warnings)]\n\n");
        for other in &self.spec.uses {
            self.out.own(&format!("use ::generated::{other};\n"));
        }
        self.out.own("\n/// Makes `Generate` ours to implement.\npub struct Local;\n\nmod llmc_examples {\n");
        self.imports(&BTreeSet::new());
        self.out.own("    use ::llmc_rt::{ShowDebug as _, ShowType as _};\n");
    }

    fn all(mut self) -> Result<Harness, Vec<Diagnostic>> {
        self.begin();
        let spec = self.spec;
        for hidden in [false, true] {
            for (at, example) in spec.examples.iter().enumerate().filter(|(_, example)| example.hidden == hidden) {
                self.example(at + 1, example);
            }
        }
        self.out.own("}\n");
        for (module, text, hidden) in
            [("llmc_tests", &spec.tests, false), ("llmc_hidden_tests", &spec.hidden_tests, true)]
        {
            if let Some(text) = text {
                self.tests(module, text, hidden);
            }
        }
        if !spec.properties.is_empty() {
            self.properties();
        }
        match self.mistakes.is_empty() {
            true => Ok(self.end()),
            false => Err(self.mistakes),
        }
    }

    /// The end of the program, which runs the checks.
    fn end(mut self) -> Harness {
        // What is hidden comes last: nothing that a candidate says in a check that is shown can tell of one that is not.
        let mut pairs: Vec<_> = self.checks.drain(..).zip(self.runs.drain(..)).collect();
        pairs.sort_by_key(|(check, _)| check.hidden);
        let runs: Vec<String>;
        (self.checks, runs) = pairs.into_iter().unzip();
        self.out.own("\nfn main() {\n    ::llmc_rt::run(&[\n");
        for run in runs {
            self.out.own(&format!("        ::llmc_rt::Check {{ run: || {run} }},\n"));
        }
        self.out.own("    ])\n}\n");
        let (source, map) = self.out.finish();
        Harness { source, checks: self.checks, map }
    }

    fn check(&mut self, code: String, phase: Phase, hidden: bool, tries: &str, run: String) {
        self.checks.push(Check { code, phase, hidden, tries: tries.trim().to_owned() });
        self.runs.push(run);
    }

    /// The names of the interface and of its imports, but those in `own`.
    fn imports(&mut self, own: &BTreeSet<String>) {
        for line in import_lines(self.spec, own) {
            self.out.own(&format!("    {line}\n"));
        }
    }

    fn example(&mut self, number: usize, example: &Example) {
        let function = format!("example_{number}");
        let out = self.out.own(&format!("    pub fn {function}() -> ::llmc_rt::Outcome {{\n"));
        if let Expect::Panics(text) = &example.expect {
            let text = text.as_ref().map_or("None".to_owned(), |text| format!("Some({text:?})"));
            out.own(&format!("        ::llmc_rt::panics({text}, || {{ let _result = ("));
            out.snippet(&example.call).own("        ); })\n    }\n");
        } else {
            // A `match`, since it keeps what the call borrows from alive.
            out.own("        match (").snippet(&example.call).own("        ) { mut result => ");
            match &example.expect {
                Expect::Returns(value) if is_open(&value.text) => {
                    out.own("match ::llmc_rt::same_as(&result, (").snippet(value).own("        ))");
                }
                Expect::Returns(value) => {
                    out.own("match (").snippet(value).own("        )");
                }
                _ => {
                    out.own("{ let llmc_got = (&::llmc_rt::Show(&result)).show(); let llmc_holds: bool =");
                }
            }
            match &example.expect {
                Expect::Holds(statement) => {
                    out.own(" (").snippet(statement).own("        );");
                    out.own(&format!(" ::llmc_rt::stated(llmc_holds, {:?}, &llmc_got) }}", shown(&statement.text)));
                }
                Expect::Matches(pattern) => {
                    out.own(" match result {").snippet(pattern).own("        => true, _ => false };");
                    out.own(&format!(" ::llmc_rt::stated(llmc_holds, {:?}, &llmc_got) }}", shown(&pattern.text)));
                }
                Expect::Returns(value) => {
                    out.own(" { expected => ::llmc_rt::compared(").stand_in("result == expected", value);
                    out.own(", || (&::llmc_rt::Show(&expected)).show(), || (&::llmc_rt::Show(&result)).show()) }");
                }
                Expect::Panics(_) => {}
            }
            out.own(" }\n    }\n");
        }
        let run = format!("llmc_examples::{function}()");
        self.check(format!("example-{number}"), Phase::Test, example.hidden, &example.call.text, run);
    }

    fn tests(&mut self, module: &str, snippet: &Snippet, hidden: bool) {
        let file = match parse_tests(&snippet.text) {
            Ok(file) => file,
            Err((message, line, column)) => {
                self.mistakes.push(mistake(snippet, line, column, message));
                return;
            }
        };
        let mut found = Tests::default();
        for attribute in &file.attrs {
            found.blank(attribute);
        }
        found.items(&file.items, "");
        self.out.own(&format!("\nmod {module} {{\n"));
        self.imports(&defined_names(&file));
        let at = self.out.begin(snippet);
        let mut done = 0;
        found.edits.sort_by_key(|edit| (edit.at, edit.end));
        for edit in &found.edits {
            self.out.part(at, done..edit.at);
            self.out.own(&edit.text);
            done = edit.end;
        }
        self.out.part(at, done..snippet.text.len());
        self.out.own("\n}\n");
        for test in found.tests {
            let call = match &test.panics {
                None => format!("::llmc_rt::test({module}::{})", test.path),
                Some(text) => format!("::llmc_rt::panics({}, {module}::{})", literal(text.as_deref()), test.path),
            };
            self.check(format!("test-{}", test.path), Phase::Test, hidden, "", call);
        }
    }

    fn properties(&mut self) {
        let spec = self.spec;
        let mut types = Types::new(&spec.interface);
        self.out.own("\nmod llmc_properties {\n");
        self.imports(&BTreeSet::new());
        self.out.own("    use ::llmc_rt::{ShowDebug as _, ShowType as _};\n");
        for hidden in [false, true] {
            for property in spec.properties.iter().filter(|property| property.hidden == hidden) {
                for (name, ty) in &property.forall {
                    if let Err(message) = types.want(&ty.text) {
                        self.mistakes.push(mistake(ty, 1, 1, format!("`{name}`: {message}")));
                    }
                }
                if property.forall.is_empty() || property.forall.len() > 8 {
                    let message = format!("property `{}` needs one to eight variables", property.name);
                    self.mistakes.push(mistake(&property.holds, 1, 1, message));
                }
                let function = format!("property_{}", property.name);
                self.out
                    .own(&format!("    pub fn {function}() -> ::llmc_rt::Outcome {{\n        ::llmc_rt::property("));
                property_call(&mut self.out, &spec.name, property, "::llmc_rt::forall", "::llmc_rt::", "crate::Local");
                self.out.own(")\n    }\n");
                let run = format!("llmc_properties::{function}()");
                let code = format!("property-{}", property.name);
                self.check(code, Phase::Property, hidden, &property.holds.text, run);
            }
        }
        for implementation in types.implementations("::llmc_rt::", "crate::Local") {
            self.out.own(&implementation);
        }
        self.out.own("}\n");
    }
}

/// Adds the call of `forall` (or `hold`, which panics) for one property.
pub(super) fn property_call(out: &mut Text, spec: &str, property: &Property, forall: &str, runtime: &str, local: &str) {
    let seed = seed(spec, &property.name);
    let names: Vec<&str> = property.forall.iter().map(|(name, _)| name.as_str()).collect();
    let binding = |prefix: &str| names.iter().map(|name| format!("{prefix}{name}, ")).collect::<String>();
    out.own(&format!("{forall}::<{local}, _>({seed}, ("));
    for (_, ty) in &property.forall {
        out.own(&format!("{runtime}of::<{local}, ")).snippet(ty).own(">(), ");
    }
    let shows: Vec<String> =
        names.iter().map(|name| format!("format!(\"{name} = {{}}\", (&{runtime}Show({name})).show())")).collect();
    out.own(&format!("), |({})| [{}].join(\"\\n\"), ", binding(""), shows.join(", ")));
    out.own(&format!("|({})| {{\n", binding("mut ")));
    if let Some(assume) = &property.assume {
        let clones: String = names.iter().map(|name| format!("{name}.clone(), ")).collect();
        out.own(&format!("let assumed: bool = {{ let ({}) = ({clones}); (", binding("mut ")));
        out.snippet(assume).own(") };\nif !assumed { return None; }\n");
    }
    out.own("let holds: bool = (").snippet(&property.holds).own(");\nSome(holds)\n})");
}

/// The seed of a property's inputs: the same for every candidate.
fn seed(spec: &str, property: &str) -> u64 {
    let digest = crate::digest::sha256(format!("{spec}\n{property}"));
    u64::from_str_radix(&digest[..15], 16).expect("a digest is hex")
}

/// `use` lines for the interface's names and its imports, but for names in `own`.
pub(super) fn import_lines(spec: &Spec, own: &BTreeSet<String>) -> Vec<String> {
    let mut taken = own.clone();
    let mut names = Vec::new();
    for name in interface_names(&spec.interface) {
        if taken.insert(name.clone()) {
            names.push(name);
        }
    }
    let mut lines = match &names[..] {
        [] => Vec::new(),
        [name] => vec![format!("use ::generated::{}::{name};", spec.name)],
        names => vec![format!("use ::generated::{}::{{{}}};", spec.name, names.join(", "))],
    };
    for other in spec.uses.iter().filter(|other| taken.insert((*other).clone())) {
        lines.push(format!("use ::generated::{other};"));
    }
    for line in &spec.interface.imports {
        let Ok(import) = syn::parse_str::<syn::ItemUse>(line) else { continue };
        let mut leaves = Vec::new();
        use_leaves(&import.tree, String::new(), &mut leaves);
        for (path, name) in leaves {
            // Inside the candidate's crate `crate` is `generated`.
            let path = match path.strip_prefix("crate::") {
                Some(rest) => format!("::generated::{rest}"),
                None if path.starts_with("self::") || path.starts_with("super::") => continue,
                None => path,
            };
            match name {
                Some(name) if name == "_" => lines.push(format!("use {path} as _;")),
                Some(name) if !taken.insert(name.clone()) => {}
                Some(name) if path.rsplit("::").next() == Some(&name) => lines.push(format!("use {path};")),
                Some(name) => lines.push(format!("use {path} as {name};")),
                None => lines.push(format!("use {path}::*;")),
            }
        }
    }
    lines
}

/// The names that an interface stands for.
fn interface_names(interface: &Interface) -> Vec<String> {
    let functions = interface.functions.iter().map(|function| &function.name);
    let given = interface.given.iter().map(|given| &given.name);
    let names = functions.chain(&interface.wanted_types).chain(given);
    names.filter(|name| syn::parse_str::<syn::Ident>(name).is_ok()).cloned().collect()
}

/// The paths that a `use` tree names, each with the name it gets; no name stands for all (`*`).
pub(super) fn use_leaves(tree: &syn::UseTree, path: String, leaves: &mut Vec<(String, Option<String>)>) {
    let join = |name: &syn::Ident| if path.is_empty() { name.to_string() } else { format!("{path}::{name}") };
    match tree {
        syn::UseTree::Path(part) => use_leaves(&part.tree, join(&part.ident), leaves),
        syn::UseTree::Name(name) if name.ident == "self" => {
            let last = path.rsplit("::").next().unwrap_or_default().to_owned();
            leaves.push((path, Some(last)));
        }
        syn::UseTree::Name(name) => leaves.push((join(&name.ident), Some(name.ident.to_string()))),
        syn::UseTree::Rename(rename) => leaves.push((join(&rename.ident), Some(rename.rename.to_string()))),
        syn::UseTree::Glob(_) => leaves.push((path, None)),
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                use_leaves(tree, path.clone(), leaves);
            }
        }
    }
}

/// The names that a text of tests imports or defines itself.
pub(super) fn defined_names(file: &syn::File) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in &file.items {
        let name = match item {
            syn::Item::Use(import) => {
                let mut leaves = Vec::new();
                use_leaves(&import.tree, String::new(), &mut leaves);
                names.extend(leaves.into_iter().filter_map(|(_, name)| name));
                continue;
            }
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Const(item) => &item.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Mod(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            _ => continue,
        };
        names.insert(name.to_string());
    }
    names
}

/// A text of tests as syntax, or the first mistake with its line and column (from 1).
pub(super) fn parse_tests(text: &str) -> Result<syn::File, (String, usize, usize)> {
    let tokens = check_bounds(text).map_err(|error| match error {
        crate::syntax::BoundsError::NotTokens { ref message, line, column } => (message.clone(), line, column),
        other => (other.to_string(), 1, 1),
    })?;
    syn::parse2(tokens).map_err(|error| {
        let start = error.span().start();
        (error.to_string(), start.line, start.column + 1)
    })
}

/// Test functions of a text, and the edits that let them be called from outside.
#[derive(Default)]
struct Tests {
    tests: Vec<Test>,
    edits: Vec<Edit>,
}

struct Test {
    /// Its path from the text's top, e.g. `tests::one`.
    path: String,
    /// `should_panic`, and with which message.
    panics: Option<Option<String>>,
}

struct Edit {
    at: usize,
    end: usize,
    text: String,
}

impl Tests {
    fn items(&mut self, items: &[syn::Item], path: &str) {
        for item in items {
            match item {
                syn::Item::Fn(item) if item.attrs.iter().any(|attribute| attribute.path().is_ident("test")) => {
                    for attribute in &item.attrs {
                        if ["test", "should_panic", "ignore"].iter().any(|name| attribute.path().is_ident(name)) {
                            self.blank(attribute);
                        }
                    }
                    self.open(&item.vis, first_byte(&item.sig));
                    let panics = item.attrs.iter().find(|attribute| attribute.path().is_ident("should_panic"));
                    let panics = panics.map(|attribute| expected_message(&attribute.meta));
                    self.tests.push(Test { path: format!("{path}{}", item.sig.ident), panics });
                }
                syn::Item::Mod(item) => {
                    self.blank_cfg_test(&item.attrs);
                    let before = self.tests.len();
                    if let Some((_, items)) = &item.content {
                        self.items(items, &format!("{path}{}::", item.ident));
                    }
                    if self.tests.len() > before {
                        let start = item.unsafety.map_or(item.mod_token.span, |token| token.span);
                        self.open(&item.vis, start.byte_range().start);
                    }
                }
                syn::Item::Use(item) => self.blank_cfg_test(&item.attrs),
                syn::Item::Fn(item) => self.blank_cfg_test(&item.attrs),
                _ => {}
            }
        }
    }

    /// Lets an item be seen from the crate's root.
    fn open(&mut self, visibility: &syn::Visibility, at: usize) {
        if matches!(visibility, syn::Visibility::Inherited) {
            self.edits.push(Edit { at, end: at, text: "pub ".into() });
        }
    }

    fn blank_cfg_test(&mut self, attributes: &[syn::Attribute]) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")) {
            if attribute.to_token_stream().to_string().replace(' ', "") == "#[cfg(test)]" {
                self.blank(attribute);
            }
        }
    }

    fn blank(&mut self, attribute: &syn::Attribute) {
        let at = attribute.pound_token.span.byte_range().start;
        let end = attribute.bracket_token.span.close().byte_range().end;
        let lines = attribute.bracket_token.span.close().end().line - attribute.pound_token.span.start().line;
        self.edits.push(Edit { at, end, text: "\n".repeat(lines) });
    }
}

fn first_byte(signature: &syn::Signature) -> usize {
    let first = signature.to_token_stream().into_iter().next();
    first.map_or_else(|| signature.span(), |token| token.span()).byte_range().start
}

/// The message of `#[should_panic = "…"]` and `#[should_panic(expected = "…")]`.
fn expected_message(meta: &syn::Meta) -> Option<String> {
    fn text(pair: &syn::MetaNameValue) -> Option<String> {
        match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        }
    }
    match meta {
        syn::Meta::NameValue(pair) => text(pair),
        syn::Meta::List(list) => text(&list.parse_args().ok()?),
        _ => None,
    }
}

fn literal(text: Option<&str>) -> String {
    text.map_or("None".to_owned(), |text| format!("Some({text:?})"))
}

fn shown(text: &str) -> String {
    format!("`{}`", text.trim())
}

fn mistake(snippet: &Snippet, line: usize, column: usize, message: String) -> Diagnostic {
    let (line, column) = snippet.locate(line, column);
    Diagnostic { severity: Severity::Error, message, line: line.max(1), column: column.max(1), length: 1, help: None }
}

/// Whether a value's type can only be known from what it is compared with (`vec![]`, `None`, `x.into()`).
///
/// Not so where it holds a plain string literal: that is then compared with a `String` as it is.
pub(super) fn is_open(text: &str) -> bool {
    #[derive(Default)]
    struct Open {
        open: bool,
        strings: usize,
    }
    impl<'ast> Visit<'ast> for Open {
        fn visit_macro(&mut self, node: &'ast syn::Macro) {
            let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
            self.open |= node.path.is_ident("vec") && node.tokens.is_empty();
            if let Ok(elements) = node.parse_body_with(parser) {
                elements.iter().for_each(|element| self.visit_expr(element));
            }
        }

        fn visit_expr_array(&mut self, node: &'ast syn::ExprArray) {
            self.open |= node.elems.is_empty();
            syn::visit::visit_expr_array(self, node);
        }

        fn visit_expr_path(&mut self, node: &'ast syn::ExprPath) {
            let parts: Vec<String> = node.path.segments.iter().map(|part| part.ident.to_string()).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            self.open |= match parts[..] {
                ["None"] | [.., "Default", "default"] => true,
                [.., collection, "new" | "default"] => {
                    ["Vec", "VecDeque", "HashMap", "HashSet", "BTreeMap", "BTreeSet", "BinaryHeap", "LinkedList"]
                        .contains(&collection)
                }
                _ => false,
            };
        }

        fn visit_expr_method_call(&mut self, node: &'ast syn::ExprMethodCall) {
            self.open |= ["into", "collect", "parse"].iter().any(|name| node.method == name);
            match &*node.receiver {
                syn::Expr::Lit(_) => {}
                receiver => self.visit_expr(receiver),
            }
        }

        fn visit_expr_call(&mut self, node: &'ast syn::ExprCall) {
            let is_from = node.func.to_token_stream().to_string().replace(' ', "").ends_with("String::from");
            if !is_from {
                syn::visit::visit_expr_call(self, node);
            }
        }

        fn visit_lit_str(&mut self, _: &'ast syn::LitStr) {
            self.strings += 1;
        }
    }
    let Ok(expression) = syn::parse_str::<syn::Expr>(text) else { return false };
    let mut open = Open::default();
    open.visit_expr(&expression);
    open.open && open.strings == 0
}

/// The given types of which inputs are generated.
pub(super) struct Types<'a> {
    interface: &'a Interface,
    items: Vec<syn::Item>,
    wanted: BTreeSet<String>,
}

impl<'a> Types<'a> {
    pub(super) fn new(interface: &'a Interface) -> Self {
        let items = interface.given.iter().filter_map(|given| syn::parse_str(&given.source).ok()).collect();
        Self { interface, items, wanted: BTreeSet::new() }
    }

    /// Sees to it that inputs of the type can be generated, or says why they can't.
    pub(super) fn want(&mut self, ty: &str) -> Result<(), String> {
        let parsed = syn::parse_str::<syn::Type>(ty).map_err(|error| format!("not a type: {error}"))?;
        if has_reference(&parsed) {
            return Err("inputs are owned: write `String` for `&str`, `Vec<T>` for `&[T]`".into());
        }
        self.names_in(&parsed).into_iter().try_for_each(|name| self.want_named(&name))
    }

    fn want_named(&mut self, name: &str) -> Result<(), String> {
        let cannot = |why: &str| Err(format!("inputs of type `{name}` can't be generated: {why}"));
        if self.interface.wanted_types.iter().any(|wanted| wanted == name) {
            return cannot("the candidate defines it");
        }
        let Some(item) = self.items.iter().find(|item| item_name(item).is_some_and(|ident| ident == name)) else {
            return Ok(());
        };
        if !self.wanted.insert(name.to_owned()) {
            return Ok(());
        }
        let item = item.clone();
        let (attributes, fields): (&[syn::Attribute], Vec<&syn::Fields>) = match &item {
            syn::Item::Type(alias) => {
                self.wanted.remove(name);
                return self.names_in(&alias.ty).into_iter().try_for_each(|name| self.want_named(&name));
            }
            syn::Item::Struct(item) => (&item.attrs, vec![&item.fields]),
            syn::Item::Enum(item) => (&item.attrs, item.variants.iter().map(|variant| &variant.fields).collect()),
            _ => return cannot("it is neither a struct nor an enum"),
        };
        if matches!(&item, syn::Item::Struct(item)
            if item.fields.iter().any(|field| !matches!(field.vis, syn::Visibility::Public(_))))
        {
            return cannot("it has a field that is not `pub`");
        }
        if matches!(&item, syn::Item::Enum(item) if item.variants.is_empty()) {
            return cannot("it has no values");
        }
        if !derives_clone(attributes) && !self.items.iter().any(|item| implements_clone(item, name)) {
            return cannot("it has no `#[derive(Clone)]`");
        }
        if fields.iter().any(|fields| fields.len() > 8) {
            return cannot("it has more than eight fields in a row");
        }
        let types: Vec<&syn::Type> = fields.iter().flat_map(|fields| fields.iter().map(|field| &field.ty)).collect();
        if types.iter().any(|ty| has_reference(ty)) {
            return cannot("it holds a reference");
        }
        let names: BTreeSet<String> = types.into_iter().flat_map(|ty| self.names_in(ty)).collect();
        names.iter().try_for_each(|name| self.want_named(name))
    }

    /// The names in a type.
    fn names_in(&self, ty: &syn::Type) -> BTreeSet<String> {
        struct Names(BTreeSet<String>);
        impl<'ast> Visit<'ast> for Names {
            fn visit_path_segment(&mut self, node: &'ast syn::PathSegment) {
                self.0.insert(node.ident.to_string());
                syn::visit::visit_path_segment(self, node);
            }
        }
        let mut names = Names(BTreeSet::new());
        names.visit_type(ty);
        names.0
    }

    /// Whether a value of the type may hold one of `name`.
    fn reaches(&self, ty: &syn::Type, name: &str, seen: &mut BTreeSet<String>) -> bool {
        self.names_in(ty).into_iter().any(|inner| {
            inner == name
                || seen.insert(inner.clone())
                    && self.items.iter().any(|item| {
                        item_name(item).is_some_and(|ident| *ident == inner)
                            && item_types(item).into_iter().any(|ty| self.reaches(ty, name, seen))
                    })
        })
    }

    /// Implementations of `Generate` for the types that are wanted.
    pub(super) fn implementations(&self, runtime: &str, local: &str) -> Vec<String> {
        let wanted = |item: &&syn::Item| item_name(item).is_some_and(|name| self.wanted.contains(&name.to_string()));
        self.items.iter().filter(wanted).filter_map(|item| self.implementation(item, runtime, local)).collect()
    }

    fn implementation(&self, item: &syn::Item, runtime: &str, local: &str) -> Option<String> {
        let (name, generics, shapes): (_, _, Vec<(String, &syn::Fields, bool)>) = match item {
            syn::Item::Struct(item) => {
                (&item.ident, &item.generics, vec![(item.ident.to_string(), &item.fields, true)])
            }
            syn::Item::Enum(item) => {
                let shape = |variant: &'_ syn::Variant| format!("{}::{}", item.ident, variant.ident);
                let leaf = |variant: &syn::Variant| {
                    let recursive =
                        |field: &syn::Field| self.reaches(&field.ty, &item.ident.to_string(), &mut BTreeSet::new());
                    !variant.fields.iter().any(recursive)
                };
                let shapes = item.variants.iter().map(|variant| (shape(variant), &variant.fields, leaf(variant)));
                (&item.ident, &item.generics, shapes.collect())
            }
            _ => return None,
        };
        let generate = format!("{runtime}Generate<{local}>");
        let parameters: Vec<String> = generics
            .type_params()
            .map(|parameter| {
                let bounds = parameter.bounds.to_token_stream();
                let bounds = if bounds.is_empty() { String::new() } else { format!("{bounds} + ") };
                format!("{}: {bounds}{generate}", parameter.ident)
            })
            .collect();
        let arguments: Vec<String> = generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
        let (parameters, arguments) = match parameters.is_empty() {
            true => (String::new(), String::new()),
            false => (format!("<{}>", parameters.join(", ")), format!("<{}>", arguments.join(", "))),
        };
        let some_leaf = shapes.iter().any(|(_, _, leaf)| *leaf);
        let (mut boundary, mut random, mut shrink) = (String::new(), String::new(), String::new());
        for (at, (path, fields, leaf)) in shapes.iter().enumerate() {
            let types: String = fields.iter().map(|field| format!("{}, ", field.ty.to_token_stream())).collect();
            let tuple = format!("<({types}) as {generate}>");
            let variables: String = (0..fields.len()).map(|at| format!("a{at}, ")).collect();
            let build: String = fields
                .iter()
                .enumerate()
                .map(|(at, field)| match &field.ident {
                    Some(name) => format!("{name}: a{at}, "),
                    None => format!("{at}: a{at}, "),
                })
                .collect();
            let build = format!("|({variables})| {path} {{ {build} }}");
            let guard = if *leaf || !some_leaf { "true" } else { "depth > 0" };
            boundary +=
                &format!("if {guard} {{ all.extend({tuple}::boundary(deeper).into_iter().take(24).map({build})); }}\n");
            random += &format!("{at} if {guard} => return ({build})({tuple}::random(random, size, deeper)),\n");
            let pattern: String = fields
                .iter()
                .enumerate()
                .map(|(at, field)| match &field.ident {
                    Some(name) => format!("{name}: a{at}, "),
                    None => format!("{at}: a{at}, "),
                })
                .collect();
            let clones: String = (0..fields.len()).map(|at| format!("a{at}.clone(), ")).collect();
            shrink += &format!(
                "{path} {{ {pattern} }} => all.extend({tuple}::shrink(&({clones})).into_iter().map({build})),\n"
            );
        }
        let count = shapes.len();
        Some(format!(
            "impl{parameters} {generate} for {name}{arguments} {{\n\
             fn boundary(depth: usize) -> Vec<Self> {{\nlet deeper = depth.saturating_sub(1);\n\
             let mut all = Vec::new();\n{boundary}all\n}}\n\
             fn random(random: &mut {runtime}Random, size: usize, depth: usize) -> Self {{\n\
             let (size, deeper) = (size / 2 + 1, depth.saturating_sub(1));\n\
             loop {{ match random.below({count}) {{\n{random}_ => {{}}\n}} }}\n}}\n\
             fn shrink(&self) -> Vec<Self> {{\nlet mut all = Vec::new();\nmatch self {{\n{shrink}}}\nall\n}}\n}}\n"
        ))
    }
}

fn item_name(item: &syn::Item) -> Option<&syn::Ident> {
    match item {
        syn::Item::Struct(item) => Some(&item.ident),
        syn::Item::Enum(item) => Some(&item.ident),
        syn::Item::Type(item) => Some(&item.ident),
        syn::Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

fn item_types(item: &syn::Item) -> Vec<&syn::Type> {
    match item {
        syn::Item::Struct(item) => item.fields.iter().map(|field| &field.ty).collect(),
        syn::Item::Enum(item) => {
            item.variants.iter().flat_map(|variant| variant.fields.iter().map(|field| &field.ty)).collect()
        }
        syn::Item::Type(item) => vec![&item.ty],
        _ => Vec::new(),
    }
}

fn has_reference(ty: &syn::Type) -> bool {
    struct Found(bool);
    impl<'ast> Visit<'ast> for Found {
        fn visit_type_reference(&mut self, _: &'ast syn::TypeReference) {
            self.0 = true;
        }
    }
    let mut found = Found(false);
    found.visit_type(ty);
    found.0
}

fn derives_clone(attributes: &[syn::Attribute]) -> bool {
    derives(attributes, "Clone")
}

/// Whether a `derive` among the attributes names `name`.
pub(super) fn derives(attributes: &[syn::Attribute], name: &str) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let tokens = attribute.meta.to_token_stream();
        tokens.to_string().split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == name)
    })
}

fn implements_clone(item: &syn::Item, name: &str) -> bool {
    match item {
        syn::Item::Impl(item) => {
            let header = item.self_ty.to_token_stream().to_string();
            let text = item.to_token_stream().to_string();
            header.split(' ').next() == Some(name) && text.contains("Clone for")
        }
        _ => false,
    }
}
