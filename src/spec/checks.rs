//! The checks of a spec: examples, properties and tests. Each is Rust, and parsed as such.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use saphyr_parser::ScalarStyle;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned as _;
use syn::visit::Visit as _;

use super::interface::{Mentions, Mistake, bounds_mistake, syntax_mistake};
use super::parse::{EXAMPLE_KEYS, EXPECT_KEYS, PROPERTY_KEYS};
use super::reader::{Fields, Reader, excerpt, list};
use super::yaml::{At, Node, Resolved, Scalar, Value};
use super::{Example, Expect, Interface, Property, Snippet};
use crate::syntax::check_bounds;

impl Reader {
    /// Reports a mistake in Rust at its place in the file.
    pub(super) fn rust_mistake(&mut self, scalar: &Scalar, name: &str, mistake: Mistake) {
        let (line, column) = scalar.snippet.locate(mistake.line, mistake.column);
        let at = At { line, column, length: mistake.length };
        let help = mistake.help.or_else(|| {
            if scalar.comment_follows {
                Some("` #` begins a comment in YAML; put the whole value in single quotes".to_owned())
            } else if name == "returns" && scalar.style != ScalarStyle::Plain && scalar.style != ScalarStyle::Literal {
                Some("YAML takes its own quotes away; a Rust string is written '\"…\"'".to_owned())
            } else {
                None
            }
        });
        self.out.push(at.error(format!("`{name}`: {}", mistake.message), help));
    }

    /// Parses a fragment of Rust with `parser`; mistakes are reported at their place.
    pub(super) fn fragment<P: Parser>(&mut self, scalar: &Scalar, name: &str, parser: P) -> Option<P::Output> {
        let parsed = match check_bounds(&scalar.snippet.text) {
            Ok(tokens) => parser.parse2(tokens).map_err(|error| syntax_mistake(&error, &scalar.snippet.text)),
            Err(error) => Err(bounds_mistake(&error)),
        };
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(mistake) => {
                self.rust_mistake(scalar, name, mistake);
                None
            }
        }
    }

    pub(super) fn expression(&mut self, key: At, node: &Node, name: &str) -> Option<Snippet> {
        let scalar = self.rust(key, node, name)?;
        let expression = self.fragment(&scalar, name, |input: ParseStream<'_>| input.parse::<syn::Expr>())?;
        let mut mentions = Mentions::default();
        mentions.visit_expr(&expression);
        self.mentions.extend(mentions.names);
        if name == "returns" {
            self.warn_of_lost_quotes(&scalar, &expression, node.at);
        }
        Some(scalar.snippet)
    }

    /// `returns: "hello"` is the Rust name `hello`, which is hardly what was meant.
    pub(super) fn warn_of_lost_quotes(&mut self, scalar: &Scalar, expression: &syn::Expr, at: At) {
        let is_quoted = matches!(scalar.style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        if let syn::Expr::Path(path) = expression
            && is_quoted
            && let Some(ident) = path.path.get_ident().map(ToString::to_string)
            && ident.starts_with(|first: char| first.is_ascii_lowercase())
        {
            let message = format!("YAML takes the quotes away: this is the Rust name `{ident}`, not a text");
            self.warning(at, message, format!("for the text, write '\"{ident}\"'"));
        }
    }

    pub(super) fn examples(&mut self, key: At, node: &Node) -> Vec<Example> {
        let items = self.items(key, node, "examples");
        items.iter().filter_map(|item| self.example(item)).collect()
    }

    pub(super) fn example(&mut self, node: &Node) -> Option<Example> {
        let fields = self.fields(node.at, node, "an example", EXAMPLE_KEYS)?;
        let call = match fields.get("call") {
            Some((key, node)) => self.expression(key, node, "call"),
            None => {
                self.error(fields.at, "the example has no `call`");
                None
            }
        };
        let hidden = fields.get("hidden").and_then(|(key, node)| self.boolean(key, node, "hidden")).unwrap_or(false);
        let given: Vec<&str> = EXPECT_KEYS.iter().copied().filter(|key| fields.get(key).is_some()).collect();
        if given.len() != 1 {
            let at = given.get(1).and_then(|name| fields.get(name)).map_or(fields.at, |(key, _)| key);
            let message = match given.len() {
                0 => "the example does not say what it expects".to_owned(),
                _ => format!("the example expects {} things: {}", given.len(), list(&given)),
            };
            self.error_with(at, message, format!("give exactly one of {}", list(EXPECT_KEYS)));
        }
        let mut expect = None;
        for name in given {
            let Some((key, node)) = fields.get(name) else { continue };
            expect = match name {
                "returns" => self.expression(key, node, name).map(Expect::Returns),
                "holds" => self.expression(key, node, name).map(Expect::Holds),
                "matches" => self.pattern(key, node).map(Expect::Matches),
                _ => self.panics(key, node),
            };
        }
        Some(Example { call: call?, expect: expect?, hidden })
    }

    pub(super) fn pattern(&mut self, key: At, node: &Node) -> Option<Snippet> {
        let scalar = self.rust(key, node, "matches")?;
        let (pattern, guard) = self.fragment(&scalar, "matches", |input: ParseStream<'_>| {
            let pattern = syn::Pat::parse_multi_with_leading_vert(input)?;
            let guard = match input.parse::<Option<syn::Token![if]>>()? {
                Some(_) => Some(input.parse::<syn::Expr>()?),
                None => None,
            };
            Ok((pattern, guard))
        })?;
        let mut mentions = Mentions::default();
        mentions.visit_pat(&pattern);
        guard.iter().for_each(|guard| mentions.visit_expr(guard));
        self.mentions.extend(mentions.names);
        Some(scalar.snippet)
    }

    pub(super) fn panics(&mut self, key: At, node: &Node) -> Option<Expect> {
        if let Value::Scalar(scalar) = &node.value {
            match scalar.resolve() {
                Resolved::Bool(true) => return Some(Expect::Panics(None)),
                Resolved::Text(text) if !text.is_empty() => return Some(Expect::Panics(Some(text.to_owned()))),
                Resolved::Bool(false) => {
                    let help = "leave `panics` out: every other example fails on a panic anyway";
                    self.error_with(node.at, "`panics: false` says nothing", help);
                    return None;
                }
                _ => {}
            }
        }
        self.wrong_type(key, node, "panics", "`true`, or a part of the panic message in quotes", None);
        None
    }

    /// Warns of examples that never reach what the spec wants.
    pub(super) fn check_calls(&mut self, fields: &Fields<'_>, interface: &Interface, examples: &[Example]) {
        let names: BTreeSet<String> = interface
            .item_names()
            .into_iter()
            .chain(interface.methods.iter().flat_map(|method| [method.on.clone(), method.function.name.clone()]))
            .collect();
        if fields.get("examples").is_none() {
            return;
        }
        for example in examples {
            let Ok(tokens) = check_bounds(&example.call.text) else { continue };
            if !has_ident(tokens, &names) {
                let place = example.call.place;
                let at = At {
                    line: place.line,
                    column: place.column,
                    length: example.call.text.trim_end().lines().next().map_or(1, |line| line.chars().count()),
                };
                let known: Vec<&str> = names.iter().map(String::as_str).take(12).collect();
                let help = format!("the interface has {}", list(&known));
                self.warning(at, "this example calls nothing that the spec wants", help);
            }
        }
    }

    pub(super) fn properties(&mut self, key: At, node: &Node) -> Vec<Property> {
        let items = self.items(key, node, "properties");
        let mut seen = BTreeSet::new();
        items.iter().filter_map(|item| self.property(item, &mut seen)).collect()
    }

    pub(super) fn property(&mut self, node: &Node, seen: &mut BTreeSet<String>) -> Option<Property> {
        let fields = self.fields(node.at, node, "a property", PROPERTY_KEYS)?;
        let name = match fields.get("name") {
            Some((key, node)) => {
                self.text(key, node, "name").map(|scalar| scalar.snippet.text.clone()).filter(|name| {
                    let is_new = seen.insert(name.clone());
                    if !is_new {
                        self.error(node.at, format!("two properties are named `{}`", excerpt(name)));
                    }
                    self.identifier(node.at, name, "the property's name") && is_new
                })
            }
            None => {
                self.error(fields.at, "the property has no `name`");
                None
            }
        };
        let forall = match fields.get("forall") {
            Some((key, node)) => self.forall(key, node),
            None => {
                let help = "for example `forall: { title: String }`";
                self.error_with(fields.at, "the property has no `forall`: its variables and their types", help);
                None
            }
        };
        let assume = fields.get("assume").map(|(key, node)| self.expression(key, node, "assume"));
        let holds = match fields.get("holds") {
            Some((key, node)) => self.expression(key, node, "holds"),
            None => {
                self.error(fields.at, "the property has no `holds`: what is true for all inputs");
                None
            }
        };
        let hidden = fields.get("hidden").and_then(|(key, node)| self.boolean(key, node, "hidden")).unwrap_or(false);
        Some(Property { name: name?, forall: forall?, assume: assume.flatten(), holds: holds?, hidden })
    }

    pub(super) fn forall(&mut self, key: At, node: &Node) -> Option<Vec<(String, Snippet)>> {
        let Value::Mapping(entries) = &node.value else {
            let help = "for example `forall: { title: String }`".to_owned();
            self.wrong_type(key, node, "forall", "a mapping from variables to types", Some(help));
            return None;
        };
        if entries.is_empty() {
            self.error(node.at, "`forall` names no variable");
            return None;
        }
        let mut variables = Vec::new();
        for (variable, ty) in entries {
            let Value::Scalar(name) = &variable.value else { continue };
            let name = name.snippet.text.clone();
            self.identifier(variable.at, &name, "the variable");
            if let Some(snippet) = self.owned_type(variable.at, ty, &excerpt(&name)) {
                variables.push((name, snippet));
            }
        }
        (variables.len() == entries.len()).then_some(variables)
    }

    /// A type whose values can be made: no references, no `impl`, nothing left open.
    pub(super) fn owned_type(&mut self, key: At, node: &Node, name: &str) -> Option<Snippet> {
        let scalar = self.rust(key, node, name)?;
        let ty = self.fragment(&scalar, name, |input: ParseStream<'_>| input.parse::<syn::Type>())?;
        let mut open = OpenType(None);
        open.visit_type(&ty);
        if let Some((span, what, help)) = open.0 {
            self.error_with(place(&scalar, span), format!("inputs can't be made for {what}"), help);
            return None;
        }
        let mut mentions = Mentions::default();
        mentions.visit_type(&ty);
        self.mentions.extend(mentions.names);
        Some(scalar.snippet)
    }

    pub(super) fn tests(&mut self, key: At, node: &Node, name: &str) -> Option<Snippet> {
        let scalar = self.rust(key, node, name)?;
        let file = self.fragment(&scalar, name, |input: ParseStream<'_>| input.parse::<syn::File>())?;
        if let Some(attribute) = file.attrs.first() {
            let at = place(&scalar, attribute.span());
            self.error(at, format!("`{name}`: `#![…]` can't stand here; the tests become part of a larger file"));
        }
        let mut tests = Vec::new();
        test_functions(&file.items, "", &mut tests);
        if tests.is_empty() {
            let help = "each test is a function below `#[test]`";
            self.error_with(key, format!("`{name}` holds no test"), help);
        }
        for (test, span) in tests {
            let at = place(&scalar, span);
            if let Some(first) = self.test_names.get(&test) {
                let message = format!("two tests are named `{test}`; the other is on line {}", first.line);
                self.error(at, message);
            } else {
                self.test_names.insert(test, at);
            }
        }
        let mut mentions = Mentions::default();
        mentions.visit_file(&file);
        self.mentions.extend(mentions.names.into_iter().filter(|name| !mentions.used.contains(name)));
        Some(scalar.snippet)
    }
}

/// Where in the file a part of some Rust stands.
pub(super) fn place(scalar: &Scalar, span: Span) -> At {
    let (start, end) = (span.start(), span.end());
    let (line, column) = scalar.snippet.locate(start.line, start.column + 1);
    let length = if start.line == end.line { end.column.saturating_sub(start.column) } else { 1 };
    At { line, column, length }
}

/// Whether any of `names` is an identifier in `tokens`.
fn has_ident(tokens: TokenStream, names: &BTreeSet<String>) -> bool {
    let mut stack = vec![tokens.into_iter()];
    while let Some(tokens) = stack.last_mut() {
        match tokens.next() {
            None => {
                stack.pop();
            }
            Some(proc_macro2::TokenTree::Group(group)) => stack.push(group.stream().into_iter()),
            Some(proc_macro2::TokenTree::Ident(ident)) if names.contains(&ident.to_string()) => return true,
            Some(_) => {}
        }
    }
    false
}

/// The `#[test]` functions of some items, those in modules as `module::name`.
fn test_functions(items: &[syn::Item], prefix: &str, tests: &mut Vec<(String, Span)>) {
    for item in items {
        match item {
            syn::Item::Fn(function) if function.attrs.iter().any(|attribute| attribute.path().is_ident("test")) => {
                tests.push((format!("{prefix}{}", function.sig.ident), function.sig.ident.span()));
            }
            syn::Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    test_functions(items, &format!("{prefix}{}::", module.ident), tests);
                }
            }
            _ => {}
        }
    }
}

/// Finds the part of a type for which no value can be made, with what it is and what to do.
struct OpenType(Option<(Span, &'static str, &'static str)>);

impl<'ast> syn::visit::Visit<'ast> for OpenType {
    fn visit_type(&mut self, node: &'ast syn::Type) {
        let problem = match node {
            syn::Type::Reference(_) => {
                Some(("a reference", "use the owned type (`String`, `Vec<T>`), and `&x` in `holds`"))
            }
            syn::Type::ImplTrait(_) | syn::Type::TraitObject(_) => Some(("a trait", "name a type")),
            syn::Type::Infer(_) => Some(("`_`", "name the type")),
            syn::Type::Ptr(_) | syn::Type::FnPtr(_) | syn::Type::Never(_) => Some(("this type", "use plain data")),
            syn::Type::Slice(_) => Some(("a slice", "use `Vec<T>`, and `&x` in `holds`")),
            syn::Type::Macro(_) | syn::Type::Verbatim(_) => Some(("this type", "name the type")),
            syn::Type::Path(path) if path.path.is_ident("str") => Some(("`str`", "use `String`, and `&x` in `holds`")),
            _ => None,
        };
        match problem {
            Some((what, help)) => self.0 = self.0.or(Some((node.span(), what, help))),
            None => syn::visit::visit_type(self, node),
        }
    }
}
