//! The tests that are committed beside an artifact: the same checks as plain Rust tests, which need no llmc.

use std::collections::BTreeSet;

use syn::visit::Visit;

use super::harness::{Types, defined_names, derives, import_lines, is_open, parse_tests, property_call};
use super::source_map::Text;
use crate::spec::{Example, Expect, Interface, Snippet, Spec};
use crate::syntax::deep;

/// The generator of inputs, copied into files with properties.
const GENERATE: &str = include_str!("runtime/generate.rs");

/// `generated/tests/NAME.rs`: every example, test and property of `spec` as a `#[test]`, hidden ones too.
///
/// The user's own tests keep their text, comments included; the rest is formatted.
pub fn render_tests_file(spec: &Spec) -> String {
    deep(|| render(spec))
}

fn render(spec: &Spec) -> String {
    let name = &spec.name;
    let mut file = format!(
        "//! The examples, tests and properties of `{name}`, as plain Rust tests.\n\
         #![allow(unused, clippy::all, clippy::pedantic)]\n\n"
    );
    let mut own = Text::default();
    for line in import_lines(spec, &BTreeSet::new()) {
        own.own(&line.replace("use ::generated", "use generated")).own("\n");
    }
    for (at, example) in spec.examples.iter().enumerate() {
        example_test(&mut own, &spec.interface, at + 1, example);
    }
    if !spec.properties.is_empty() {
        own.own(
            "use generate::{ShowDebug as _, ShowType as _};\n/// Makes `Generate` ours to implement.\nstruct Local;\n",
        );
        let mut types = Types::new(&spec.interface);
        for property in &spec.properties {
            for (_, ty) in &property.forall {
                // What can't be generated was told when the checks were made.
                let _ = types.want(&ty.text);
            }
            own.own(&format!("#[test]\nfn property_{}() {{\n", property.name));
            property_call(&mut own, name, property, "generate::hold", "generate::", "Local");
            own.own(";\n}\n");
        }
        for implementation in types.implementations("generate::", "Local") {
            own.own(&implementation);
        }
    }
    file.push_str(&formatted(&own.finish().0));
    for (module, text) in [("tests", &spec.tests), ("hidden_tests", &spec.hidden_tests)] {
        if let Some(text) = text {
            file.push_str(&text_module(spec, module, text));
        }
    }
    if !spec.properties.is_empty() {
        file.push_str("\nmod generate {\n");
        for line in GENERATE.lines() {
            file.push_str(if line.is_empty() { "" } else { "    " });
            file.push_str(line);
            file.push('\n');
        }
        file.push_str("}\n");
    }
    file
}

fn example_test(out: &mut Text, interface: &Interface, number: usize, example: &Example) {
    out.own("#[test]\n");
    let call = &example.call;
    if let Expect::Panics(text) = &example.expect {
        let expected = text.as_ref().map(|text| format!("(expected = {text:?})")).unwrap_or_default();
        out.own(&format!("#[should_panic{expected}]\nfn example_{number}() {{ let _result = (")).snippet(call);
        out.own("); }\n");
        return;
    }
    out.own(&format!("fn example_{number}() {{\n"));
    match &example.expect {
        Expect::Returns(value) => {
            // In a `Some` both sides are of one type, which the right one alone would not tell.
            let wrap = if is_open(&value.text) { "Some" } else { "" };
            let (macro_, between) = if has_debug(interface, call) { ("assert_eq", ",") } else { ("assert", "==") };
            out.own(&format!("{macro_}!("));
            argument(out, wrap, call);
            out.own(between);
            argument(out, wrap, value);
            out.own(");");
        }
        Expect::Matches(pattern) => {
            out.own("assert!(matches!(").snippet(call).own(",").snippet(pattern).own("));");
        }
        Expect::Holds(statement) if borrows(interface, call) => {
            out.own("match (").snippet(call).own(") { mut result => assert!(").snippet(statement).own(") }");
        }
        Expect::Holds(statement) => {
            out.own("let mut result = ").snippet(call).own(";\nassert!(").snippet(statement).own(");");
        }
        Expect::Panics(_) => {}
    }
    out.own("\n}\n");
}

fn argument(out: &mut Text, wrap: &str, value: &Snippet) {
    // A block or a closure at the start would be taken for a statement of its own.
    let bare = wrap.is_empty() && !value.text.trim_start().starts_with(['{', '|', 'm', 'i']);
    let (open, close) = if bare { ("", "") } else { ("(", ")") };
    out.own(wrap).own(open).snippet(value).own(close);
}

fn text_module(spec: &Spec, module: &str, text: &Snippet) -> String {
    let own = parse_tests(&text.text).map(|file| defined_names(&file)).unwrap_or_default();
    let mut out = format!("\nmod {module} {{\n");
    for line in import_lines(spec, &own) {
        out.push_str(&format!("    {}\n", line.replace("use ::generated", "use generated")));
    }
    out.push('\n');
    let text = text.text.trim_end();
    let indent = |line: &str| if line.is_empty() { String::new() } else { format!("    {line}") };
    let indented = text.lines().map(indent).collect::<Vec<_>>().join("\n");
    let tokens = |text: &str| crate::syntax::check_bounds(text).ok().map(|tokens| tokens.to_string());
    // A string literal may run over lines; then the text stays as it is.
    out.push_str(if tokens(&indented) == tokens(text) { &indented } else { text });
    out.push_str("\n}\n");
    out
}

fn formatted(source: &str) -> String {
    match crate::syntax::check_bounds(source).ok().and_then(|tokens| syn::parse2::<syn::File>(tokens).ok()) {
        Some(file) => spaced(&prettyplease::unparse(&file)),
        None => source.to_owned(),
    }
}

/// An empty line before each test.
fn spaced(source: &str) -> String {
    let mut out = String::new();
    for line in source.lines() {
        if (line == "#[test]"
            || line.starts_with("use generate::")
            || line.starts_with("impl")
            || line.starts_with("///"))
            && !out.ends_with("\n\n")
        {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What the functions named in a call return.
fn outputs<'a>(interface: &'a Interface, call: &Snippet) -> Vec<&'a str> {
    let words: BTreeSet<&str> = call.text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let functions = interface.functions.iter().chain(interface.methods.iter().map(|method| &method.function));
    functions
        .filter(|function| words.contains(function.name.as_str()))
        .map(|function| function.output.as_str())
        .collect()
}

/// Whether the result of a call may borrow from its arguments.
fn borrows(interface: &Interface, call: &Snippet) -> bool {
    let plain = |output: &&str| !output.contains(['&', '\'']) && !output.contains("impl ");
    !outputs(interface, call).iter().all(plain)
}

/// Whether every type that a call returns surely has `Debug`.
fn has_debug(interface: &Interface, call: &Snippet) -> bool {
    struct Names(Vec<String>, bool);
    impl<'ast> Visit<'ast> for Names {
        fn visit_path(&mut self, node: &'ast syn::Path) {
            self.0.extend(node.segments.last().map(|segment| segment.ident.to_string()));
            syn::visit::visit_path(self, node);
        }

        fn visit_type_impl_trait(&mut self, _: &'ast syn::TypeImplTrait) {
            self.1 = true;
        }

        fn visit_type_trait_object(&mut self, _: &'ast syn::TypeTraitObject) {
            self.1 = true;
        }
    }
    const KNOWN: &str = " String str char bool u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 Option Result \
                         Vec VecDeque Box Rc Arc Cow HashMap HashSet BTreeMap BTreeSet BinaryHeap LinkedList Duration \
                         Ordering Range RangeInclusive ParseIntError ParseFloatError ";
    let given = |name: &str| {
        let source = interface.given.iter().find(|given| given.name == name).map(|given| given.source.as_str());
        match source.and_then(|source| syn::parse_str::<syn::Item>(source).ok()) {
            Some(syn::Item::Struct(item)) => derives(&item.attrs, "Debug"),
            Some(syn::Item::Enum(item)) => derives(&item.attrs, "Debug"),
            _ => false,
        }
    };
    let outputs = outputs(interface, call);
    !outputs.is_empty()
        && outputs.iter().all(|output| {
            let Ok(ty) = syn::parse_str::<syn::Type>(output) else { return false };
            let mut names = Names(Vec::new(), false);
            names.visit_type(&ty);
            !names.1 && names.0.iter().all(|name| KNOWN.contains(&format!(" {name} ")) || given(name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_shown_only_where_its_types_have_debug() {
        let function = |name: &str, output: &str| crate::spec::Function {
            name: name.into(),
            signature: format!("pub fn {name}() -> {output}"),
            inputs: Vec::new(),
            output: output.into(),
            generic: false,
        };
        let interface = Interface {
            form: crate::spec::Form::Signature,
            source: Snippet::default(),
            functions: vec![function("plain", "Result<Vec<u8>, String>"), function("opaque", "Option<Secret>")],
            methods: Vec::new(),
            given: Vec::new(),
            wanted_types: Vec::new(),
            imports: Vec::new(),
        };
        assert!(has_debug(&interface, &Snippet::new("plain()")));
        assert!(!has_debug(&interface, &Snippet::new("opaque()")));
        assert!(!has_debug(&interface, &Snippet::new("other()")));
    }
}
