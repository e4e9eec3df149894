//! What `register` in the generated crate lists: the public functions of artifacts that can be called with JSON.
//!
//! Read from the artifacts' own code, and written as Rust that names nothing but serde, `serde_json` and std.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use syn::{FnArg, GenericArgument, Item, PathArguments, ReturnType, Type, UseTree, Visibility};

use crate::syntax::{check_bounds, deep};

/// Most arguments of a function that can be called: serde reads no longer tuples.
const MOST_ARGUMENTS: usize = 12;
/// Deepest chain of type aliases that is followed.
const MOST_ALIASES: usize = 16;

/// What an artifact's code has for the harness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callable {
    /// Functions that can be called.
    pub entries: Vec<Entry>,
    /// Functions that can't, and why.
    pub left_out: Vec<(String, String)>,
}

/// A function that can be called with JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub function: String,
    arguments: Vec<Argument>,
    result: Returned,
}

/// How an argument is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    Value,
    /// Read into this type, and lent.
    Lent(&'static str),
    /// `&[&str]`.
    Texts,
}

/// What becomes of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returned {
    Value,
    /// `Err` is told as text.
    Shown,
    /// `Err` is told as JSON.
    Written,
    /// `None` is no answer.
    Partial,
}

/// Reads the code of an artifact, or of a component where code has come to answer for it.
pub fn read(code: &str, name: &str, is_component: bool) -> Callable {
    deep(|| {
        let file = check_bounds(code).ok().and_then(|tokens| syn::parse2::<syn::File>(tokens).ok());
        let Some(file) = file else {
            return Callable {
                left_out: vec![(name.to_owned(), "its code can't be read".to_owned())],
                ..Callable::default()
            };
        };
        let scope = Scope::of(&file);
        let mut callable = Callable::default();
        for item in &file.items {
            let Item::Fn(function) = item else { continue };
            if !matches!(function.vis, Visibility::Public(_)) {
                continue;
            }
            let own = function.sig.ident.to_string();
            match scope.entry(function, is_component && own == name) {
                Ok(entry) => callable.entries.push(entry),
                Err(why) => callable.left_out.push((own, why)),
            }
        }
        callable
    })
}

impl Callable {
    /// What a function is called in the harness: as the artifact where it has its name, whatever else stands in the file.
    pub fn name(artifact: &str, function: &str) -> String {
        if function == artifact { artifact.to_owned() } else { format!("{artifact}.{function}") }
    }
}

/// `register`, for these artifacts: name, SHA-256 of the file, what it has.
pub fn write(artifacts: &[(&str, &str, &Callable)]) -> String {
    let count: usize = artifacts.iter().map(|(_, _, callable)| callable.entries.len()).sum();
    let mut text = "
/// Registers what can be called with JSON: its name, the SHA-256 of its file, and its code.
///
/// One argument is the input itself, several are a list, none is `null`. `None` is no answer.
#[allow(clippy::type_complexity)]
pub fn register(
    harness: &mut impl Extend<(
        &'static str,
        &'static str,
        fn(::serde_json::Value) -> Result<Option<::serde_json::Value>, String>,
    )>,
) {
"
    .to_owned();
    if count > 0 {
        text.push_str(
            "    #[allow(dead_code)]
    fn read<T: ::serde::de::DeserializeOwned>(input: ::serde_json::Value) -> Result<T, String> {
        ::serde_json::from_value(input).map_err(|error| error.to_string())
    }
    #[allow(dead_code)]
    fn write<T: ::serde::Serialize>(output: T) -> Result<Option<::serde_json::Value>, String> {
        ::serde_json::to_value(output).map(Some).map_err(|error| error.to_string())
    }
",
        );
    }
    let _ = write!(
        text,
        "    let artifacts: [(
        &'static str,
        &'static str,
        fn(::serde_json::Value) -> Result<Option<::serde_json::Value>, String>,
    ); {count}] = [\n"
    );
    for (artifact, digest, callable) in artifacts {
        for entry in &callable.entries {
            let name = Callable::name(artifact, &entry.function);
            let _ = writeln!(text, "        (\n            {name:?},\n            {digest:?},\n            |input| {{");
            for line in entry.body(artifact) {
                let _ = writeln!(text, "                {line}");
            }
            text.push_str("            },\n        ),\n");
        }
        for (function, why) in &callable.left_out {
            let _ = writeln!(text, "        // Not here: `{}`, since {why}.", Callable::name(artifact, function));
        }
    }
    text.push_str("    ];\n    harness.extend(artifacts);\n}\n");
    text
}

impl Entry {
    fn body(&self, artifact: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let names: Vec<String> = (0..self.arguments.len()).map(|at| format!("a{at}")).collect();
        let types: Vec<&str> = self
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Value => "_",
                Argument::Lent(ty) => ty,
                Argument::Texts => "Vec<String>",
            })
            .collect();
        lines.push(match names.as_slice() {
            [] => "let () = read(input)?;".to_owned(),
            [name] => format!("let {name} = read::<{}>(input)?;", types[0]),
            _ => format!("let ({}) = read::<({})>(input)?;", names.join(", "), types.join(", ")),
        });
        let arguments: Vec<String> = names
            .iter()
            .zip(&self.arguments)
            .map(|(name, argument)| match argument {
                Argument::Value => name.clone(),
                Argument::Lent(_) => format!("&{name}"),
                Argument::Texts => format!("&{name}.iter().map(String::as_str).collect::<Vec<_>>()"),
            })
            .collect();
        let call = format!("crate::{artifact}::{}({})", self.function, arguments.join(", "));
        match self.result {
            Returned::Value => lines.push(format!("write({call})")),
            Returned::Partial => {
                lines.extend([
                    format!("match {call} {{"),
                    "    Some(output) => write(output),".into(),
                    "    None => Ok(None),".into(),
                    "}".into(),
                ]);
            }
            Returned::Shown | Returned::Written => {
                let error = match self.result {
                    Returned::Shown => "error.to_string()",
                    _ => "::serde_json::to_string(&error).unwrap_or_else(|error| error.to_string())",
                };
                lines.extend([
                    format!("match {call} {{"),
                    "    Ok(output) => write(output),".into(),
                    format!("    Err(error) => Err({error}),"),
                    "}".into(),
                ]);
            }
        }
        lines
    }
}

/// Which way a type goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// The names of a file.
struct Scope {
    /// Types with what they derive of serde: reading, writing.
    types: BTreeMap<String, (bool, bool)>,
    aliases: BTreeMap<String, Type>,
    /// Names brought in by `use`, with their paths.
    imports: BTreeMap<String, Vec<String>>,
    /// Whether all of something that is not std's is brought in.
    has_foreign_glob: bool,
    /// Types that implement `Display`.
    shown: Vec<String>,
}

impl Scope {
    fn of(file: &syn::File) -> Self {
        let mut scope = Self {
            types: BTreeMap::new(),
            aliases: BTreeMap::new(),
            imports: BTreeMap::new(),
            has_foreign_glob: false,
            shown: Vec::new(),
        };
        for item in &file.items {
            match item {
                Item::Struct(item) => {
                    let is_plain = item.generics.params.is_empty() && is_public(&item.vis);
                    scope.add_type(&item.ident, &item.attrs, is_plain);
                }
                Item::Enum(item) => {
                    let is_plain = item.generics.params.is_empty() && is_public(&item.vis);
                    scope.add_type(&item.ident, &item.attrs, is_plain);
                }
                Item::Union(item) => scope.add_type(&item.ident, &[], false),
                Item::Trait(item) => scope.add_type(&item.ident, &[], false),
                Item::Type(item) if item.generics.params.is_empty() => {
                    scope.aliases.insert(item.ident.to_string(), (*item.ty).clone());
                }
                Item::Type(item) => scope.add_type(&item.ident, &[], false),
                Item::Use(item) => scope.import(&item.tree, &mut Vec::new()),
                Item::Impl(item) => {
                    let is_display = item
                        .trait_
                        .as_ref()
                        .is_some_and(|(path, _)| path.segments.last().is_some_and(|last| last.ident == "Display"));
                    if let (true, Type::Path(path)) = (is_display, &*item.self_ty)
                        && let Some(ident) = path.path.get_ident()
                    {
                        scope.shown.push(ident.to_string());
                    }
                }
                _ => {}
            }
        }
        scope
    }

    fn add_type(&mut self, ident: &syn::Ident, attributes: &[syn::Attribute], is_plain: bool) {
        let (mut reads, mut writes) = (false, false);
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            let _ = attribute.parse_nested_meta(|meta| {
                let last = meta.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
                reads |= last == "Deserialize";
                writes |= last == "Serialize";
                Ok(())
            });
        }
        self.types.insert(ident.to_string(), (reads && is_plain, writes && is_plain));
    }

    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        // The nesting of a `use` is bounded as all brackets are; a chain of `::` by the tokens in a row.
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.import(&inner.tree, path);
                path.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|inner| self.import(inner, path)),
            UseTree::Glob(_) => self.has_foreign_glob |= !is_std(path),
            UseTree::Name(name) => {
                let mut whole = path.clone();
                whole.push(name.ident.to_string());
                self.imports.insert(name.ident.to_string(), whole);
            }
            UseTree::Rename(rename) => {
                let mut whole = path.clone();
                whole.push(rename.ident.to_string());
                self.imports.insert(rename.rename.to_string(), whole);
            }
        }
    }

    fn entry(&self, function: &syn::ItemFn, is_partial: bool) -> Result<Entry, String> {
        let signature = &function.sig;
        let is_plain = signature.generics.params.iter().all(|one| matches!(one, syn::GenericParam::Lifetime(_)));
        if !is_plain || signature.generics.where_clause.is_some() {
            return Err("it has type parameters".to_owned());
        }
        if signature.asyncness.is_some()
            || !matches!(signature.safety, syn::Safety::Default)
            || signature.abi.is_some()
            || signature.variadic.is_some()
        {
            return Err("it is no plain function".to_owned());
        }
        if function
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr"))
        {
            return Err("it is not there in each build".to_owned());
        }
        if signature.inputs.len() > MOST_ARGUMENTS {
            return Err(format!("it has more than {MOST_ARGUMENTS} arguments"));
        }
        let mut arguments = Vec::new();
        for input in &signature.inputs {
            let FnArg::Typed(input) = input else { return Err("it is a method".to_owned()) };
            arguments.push(self.argument(&input.ty)?);
        }
        let result = match &signature.output {
            ReturnType::Default => Returned::Value,
            ReturnType::Type(_, ty) => self.returned(ty, is_partial)?,
        };
        Ok(Entry { function: signature.ident.to_string(), arguments, result })
    }

    fn argument(&self, ty: &Type) -> Result<Argument, String> {
        let ty = self.unaliased(ty);
        let Type::Reference(reference) = ty else {
            return self.travels(ty, Way::In, 0).map(|()| Argument::Value);
        };
        if reference.mutability.is_some() {
            return Err("it changes an argument".to_owned());
        }
        match self.unaliased(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => Ok(Argument::Lent("String")),
            Type::Slice(slice) => match self.unaliased(&slice.elem) {
                Type::Reference(inner) if inner.mutability.is_none() => match &*inner.elem {
                    Type::Path(path) if path.path.is_ident("str") => Ok(Argument::Texts),
                    _ => Err(not_json(&reference.elem)),
                },
                item => self.travels(item, Way::In, 0).map(|()| Argument::Lent("Vec<_>")),
            },
            inner => self.travels(inner, Way::In, 0).map(|()| Argument::Lent("_")),
        }
    }

    fn returned(&self, ty: &Type, is_partial: bool) -> Result<Returned, String> {
        let ty = self.unaliased(ty);
        if is_partial {
            let Some([output]) = self.std_type(ty, "Option").as_deref().map(|list| [list.first().copied()]) else {
                return Err("it does not return an `Option`".to_owned());
            };
            return output
                .map_or(Err(not_json(ty)), |output| self.travels(output, Way::Out, 0).map(|()| Returned::Partial));
        }
        if let Some(arguments) = self.std_type(ty, "Result") {
            let [output, error] = arguments.as_slice() else { return Err(not_json(ty)) };
            self.travels(output, Way::Out, 0)?;
            let error = self.unaliased(error);
            if self.is_shown(error) {
                return Ok(Returned::Shown);
            }
            return match self.travels(error, Way::Out, 0) {
                Ok(()) => Ok(Returned::Written),
                Err(_) => Err(format!("its error `{}` has neither text nor JSON", shortened(error))),
            };
        }
        self.travels(ty, Way::Out, 0).map(|()| Returned::Value)
    }

    /// Whether an error has a text.
    fn is_shown(&self, ty: &Type) -> bool {
        match ty {
            Type::Reference(reference) => self.is_shown(&reference.elem),
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else { return false };
                let name = last.ident.to_string();
                if path.path.segments.len() == 1 && self.types.contains_key(&name) {
                    return self.shown.contains(&name);
                }
                if name == "Box" {
                    return self.std_type(ty, "Box").is_some_and(
                        |inner| matches!(inner.as_slice(), [Type::TraitObject(object)] if is_error_object(object)),
                    );
                }
                let is_known = PRIMITIVES.contains(&name.as_str())
                    || ["String", "str"].contains(&name.as_str())
                    || STD_ERRORS.contains(&name.as_str());
                is_known && self.is_std_path(&path.path)
            }
            _ => false,
        }
    }

    fn unaliased<'t>(&'t self, mut ty: &'t Type) -> &'t Type {
        for _ in 0..MOST_ALIASES {
            ty = match ty {
                Type::Paren(inner) => &inner.elem,
                Type::Group(inner) => &inner.elem,
                Type::Path(path) => {
                    match path.path.get_ident().and_then(|ident| self.aliases.get(&ident.to_string())) {
                        Some(aliased) => aliased,
                        None => return ty,
                    }
                }
                _ => return ty,
            };
        }
        ty
    }

    /// The parameters of std's type of this name, where it is that.
    fn std_type<'t>(&self, ty: &'t Type, wanted: &str) -> Option<Vec<&'t Type>> {
        let Type::Path(path) = ty else { return None };
        let last = path.path.segments.last()?;
        (path.qself.is_none() && last.ident == wanted && self.is_std_path(&path.path)).then(|| parameters(last))?
    }

    /// Whether a path leads to something of std, as far as can be seen.
    fn is_std_path(&self, path: &syn::Path) -> bool {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let Some(first) = names.first() else { return false };
        if names.len() > 1 {
            let is_imported = self.imports.get(first).is_some_and(|import| is_std(import));
            return is_std(&names) || is_imported;
        }
        if self.types.contains_key(first) || self.aliases.contains_key(first) {
            return false;
        }
        match self.imports.get(first) {
            // Under another name it is another thing.
            Some(import) => is_std(import) && import.last() == Some(first),
            // Nobody calls a type of one's own `u8`.
            None => !self.has_foreign_glob || first == "str" || PRIMITIVES.contains(&first.as_str()),
        }
    }

    /// Whether values of a type can be JSON, on this way.
    fn travels(&self, ty: &Type, way: Way, depth: usize) -> Result<(), String> {
        if depth > 64 {
            return Err("its types are nested too deep".to_owned());
        }
        let ty = self.unaliased(ty);
        let inner = |ty: &Type| self.travels(ty, way, depth + 1);
        match ty {
            Type::Tuple(tuple) if tuple.elems.len() <= MOST_ARGUMENTS => tuple.elems.iter().try_for_each(inner),
            Type::Array(array) => {
                let is_known = matches!(&array.len, syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(length), .. })
                    if length.base10_parse::<usize>().is_ok_and(|length| length <= 32));
                if is_known { inner(&array.elem) } else { Err(not_json(ty)) }
            }
            // What is given out is only looked at.
            Type::Reference(reference) if way == Way::Out && reference.mutability.is_none() => inner(&reference.elem),
            Type::Slice(slice) if way == Way::Out => inner(&slice.elem),
            Type::Path(path) if path.qself.is_none() => self.path_travels(ty, &path.path, way, depth),
            _ => Err(not_json(ty)),
        }
    }

    fn path_travels(&self, ty: &Type, path: &syn::Path, way: Way, depth: usize) -> Result<(), String> {
        let Some(last) = path.segments.last() else { return Err(not_json(ty)) };
        let name = last.ident.to_string();
        if path.segments.len() == 1
            && let Some((reads, writes)) = self.types.get(&name)
        {
            return match way {
                Way::In if !reads => Err(format!("`{name}` does not derive `serde::Deserialize`")),
                Way::Out if !writes => Err(format!("`{name}` does not derive `serde::Serialize`")),
                _ => Ok(()),
            };
        }
        let parameters = parameters(last).ok_or_else(|| not_json(ty))?;
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names == ["serde_json", "Value"] && parameters.is_empty() {
            return Ok(());
        }
        if !self.is_std_path(path) {
            return Err(format!("`{name}` is not known to be JSON"));
        }
        let inner = |ty: &Type| self.travels(ty, way, depth + 1);
        match (name.as_str(), parameters.as_slice()) {
            ("str", []) if way == Way::Out => Ok(()),
            ("String", []) => Ok(()),
            (primitive, []) if PRIMITIVES.contains(&primitive) => Ok(()),
            ("Vec" | "VecDeque" | "Option" | "Box" | "BTreeSet" | "HashSet", [item]) => inner(item),
            ("Result", [output, error]) => inner(output).and_then(|()| inner(error)),
            ("BTreeMap" | "HashMap", [key, value]) => {
                let is_key = match self.unaliased(key) {
                    Type::Path(key) => key.path.get_ident().is_some_and(|key| {
                        key == "String"
                            || key == "char"
                            || (PRIMITIVES.contains(&key.to_string().as_str())
                                && !["bool", "f32", "f64"].iter().any(|no| key == no))
                    }),
                    Type::Reference(key) => {
                        way == Way::Out && matches!(&*key.elem, Type::Path(key) if key.path.is_ident("str"))
                    }
                    _ => false,
                };
                if is_key { inner(value) } else { Err(format!("`{}` can't be a key of JSON", shortened(key))) }
            }
            _ => Err(not_json(ty)),
        }
    }
}

const PRIMITIVES: [&str; 16] = [
    "bool", "char", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize", "f32",
    "f64",
];
/// Errors of std that have a text.
const STD_ERRORS: [&str; 9] = [
    "ParseIntError",
    "ParseFloatError",
    "ParseBoolError",
    "ParseCharError",
    "TryFromIntError",
    "CharTryFromError",
    "Utf8Error",
    "FromUtf8Error",
    "TryFromSliceError",
];

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_std(path: &[String]) -> bool {
    path.first().is_some_and(|first| ["std", "core", "alloc"].contains(&first.as_str()))
}

/// The types in `<…>`; `None` where there is anything else.
fn parameters(segment: &syn::PathSegment) -> Option<Vec<&Type>> {
    match &segment.arguments {
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
    }
}

fn is_error_object(object: &syn::TypeTraitObject) -> bool {
    object.bounds.iter().any(|bound| {
        matches!(bound, syn::TypeParamBound::Trait(one)
            if one.path.segments.last().is_some_and(|last| last.ident == "Error" || last.ident == "Display"))
    })
}

fn not_json(ty: &Type) -> String {
    format!("`{}` can't be JSON", shortened(ty))
}

/// A type in one line, for a comment.
fn shortened(ty: &Type) -> String {
    let text = quote::ToTokens::to_token_stream(ty).to_string();
    let text: String = text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).take(80).collect();
    text.replace(" < ", "<")
        .replace(" >", ">")
        .replace(" :: ", "::")
        .replace(" ,", ",")
        .replace("& ", "&")
        .replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_is_called_depends_on_nothing_else_in_its_file() {
        let halve = "pub fn halve(x: i64) -> i64 { x / 2 }\n";
        for more in ["", "pub fn helper(x: i64) -> i64 { x }\n", "pub fn apart<T>(x: T) -> T { x }\n"] {
            let callable = read(&format!("{halve}{more}"), "half", false);
            assert!(callable.entries.iter().any(|entry| entry.function == "halve"), "{more}");
            let text = write(&[("half", "00", &callable)]);
            assert!(text.contains("\"half.halve\"") && !text.contains("\"half\""), "{text}");
        }
        let own = read("pub fn half(x: i64) -> i64 { x / 2 }\npub fn other() {}\n", "half", false);
        let text = write(&[("half", "00", &own)]);
        assert!(text.contains("\"half\"") && text.contains("\"half.other\""), "{text}");
    }
}
