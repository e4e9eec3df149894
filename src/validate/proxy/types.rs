//! Which types can travel, and how the server names them. Only what is surely known does: a name that could mean
//! something else is refused.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens as _;
use syn::{Fields, GenericArgument, GenericParam, Item, PathArguments, Type, TypeParamBound, Visibility};

use super::{GIVEN, SPECIAL, WIRE, item_ident};
use crate::validate::harness::use_leaves;

const INTEGERS: [&str; 12] = ["i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize"];

/// Types of the standard library that travel: the path without `std::`, and what their arguments may be.
const KNOWN: [(&str, Arguments); 33] = [
    ("string::String", Arguments::Values(0)),
    ("vec::Vec", Arguments::Values(1)),
    ("option::Option", Arguments::Values(1)),
    ("result::Result", Arguments::Values(2)),
    ("boxed::Box", Arguments::Pointee),
    ("rc::Rc", Arguments::Pointee),
    ("sync::Arc", Arguments::Pointee),
    ("borrow::Cow", Arguments::Borrowed),
    ("collections::VecDeque", Arguments::Values(1)),
    ("collections::LinkedList", Arguments::Values(1)),
    ("collections::BinaryHeap", Arguments::Values(1)),
    ("collections::HashMap", Arguments::Values(2)),
    ("collections::HashSet", Arguments::Values(1)),
    ("collections::BTreeMap", Arguments::Values(2)),
    ("collections::BTreeSet", Arguments::Values(1)),
    ("collections::hash_map::HashMap", Arguments::Values(2)),
    ("collections::hash_set::HashSet", Arguments::Values(1)),
    ("collections::btree_map::BTreeMap", Arguments::Values(2)),
    ("collections::btree_set::BTreeSet", Arguments::Values(1)),
    ("ops::Range", Arguments::Values(1)),
    ("ops::RangeInclusive", Arguments::Integer),
    ("num::NonZero", Arguments::Integer),
    ("num::Wrapping", Arguments::Values(1)),
    ("num::Saturating", Arguments::Values(1)),
    ("cmp::Reverse", Arguments::Values(1)),
    ("cmp::Ordering", Arguments::Values(0)),
    ("time::Duration", Arguments::Values(0)),
    ("num::ParseIntError", Arguments::Values(0)),
    ("num::ParseFloatError", Arguments::Values(0)),
    ("num::TryFromIntError", Arguments::Values(0)),
    ("str::ParseBoolError", Arguments::Values(0)),
    ("str::Utf8Error", Arguments::Values(0)),
    ("string::FromUtf8Error", Arguments::Values(0)),
];

/// Modules of which `*` brings in no other meaning for a name of the prelude.
const GLOBS: [&str; 7] = ["std::cmp", "std::collections", "std::num", "std::ops", "std::rc", "std::sync", "std::time"];

/// Traits whose wanted methods can be called from outside.
const TRAITS: [&str; 33] = [
    "clone::Clone",
    "cmp::Eq",
    "cmp::Ord",
    "cmp::PartialEq",
    "cmp::PartialOrd",
    "convert::From",
    "convert::Into",
    "convert::TryFrom",
    "default::Default",
    "fmt::Debug",
    "fmt::Display",
    "hash::Hash",
    "iter::DoubleEndedIterator",
    "iter::Iterator",
    "ops::Add",
    "ops::AddAssign",
    "ops::BitAnd",
    "ops::BitOr",
    "ops::BitXor",
    "ops::Div",
    "ops::DivAssign",
    "ops::Mul",
    "ops::MulAssign",
    "ops::Neg",
    "ops::Not",
    "ops::Rem",
    "ops::RemAssign",
    "ops::Shl",
    "ops::Shr",
    "ops::Sub",
    "ops::SubAssign",
    "error::Error",
    "str::FromStr",
];
const PRELUDE_TRAITS: [&str; 11] = [
    "Clone",
    "Default",
    "DoubleEndedIterator",
    "Eq",
    "From",
    "Into",
    "Iterator",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "TryFrom",
];

#[derive(Clone, Copy)]
enum Arguments {
    /// So many types that travel.
    Values(usize),
    /// One type, which may be a text, a slice or an error.
    Pointee,
    /// A lifetime, perhaps, and a type, which may be a text or a slice.
    Borrowed,
    /// One type of integers.
    Integer,
}

/// Where a type stands.
pub(super) struct Context<'a> {
    /// What `Self` is.
    pub(super) on: Option<&'a Type>,
    /// Names that stand for types.
    pub(super) parameters: BTreeSet<String>,
    /// Types that `Self::NAME` stands for.
    pub(super) associated: BTreeMap<String, Type>,
    /// Whether all lifetimes are to be `'static`.
    pub(super) is_static: bool,
    /// Whether an object may stand here: only what owns it may hold it.
    pub(super) is_owned: bool,
}

impl<'a> Context<'a> {
    /// Of a function in an impl block of `on`.
    pub(super) fn new(on: Option<&'a Type>, associated: BTreeMap<String, Type>, is_static: bool) -> Self {
        Self { on, parameters: BTreeSet::new(), associated, is_static, is_owned: true }
    }

    /// Of a given type's own fields.
    fn inside(parameters: BTreeSet<String>, is_static: bool) -> Self {
        Self { on: None, parameters, associated: BTreeMap::new(), is_static, is_owned: false }
    }

    /// The same behind a reference, or in what shows no order.
    pub(super) fn borrowed(&self) -> Self {
        let Self { on, parameters, associated, is_static, .. } = self;
        Self {
            on: *on,
            parameters: parameters.clone(),
            associated: associated.clone(),
            is_static: *is_static,
            is_owned: false,
        }
    }
}

/// The types of a spec.
pub(super) struct Types {
    given: BTreeMap<String, Item>,
    imports: BTreeMap<String, String>,
    globs: Vec<String>,
    /// Types that the candidate defines: their values stay where they are.
    objects: BTreeSet<String>,
    /// Given types that travel.
    used: RefCell<BTreeSet<String>>,
}

impl Types {
    pub(super) fn new(items: &[Item], imports: &[String], objects: &[String]) -> Self {
        let mut types = Self {
            given: BTreeMap::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            objects: objects.iter().cloned().collect(),
            used: RefCell::default(),
        };
        for item in items {
            if let Some(ident) = item_ident(item) {
                types.given.insert(ident.to_string(), item.clone());
            }
        }
        let lines = imports.iter().filter_map(|line| syn::parse_str::<syn::ItemUse>(line).ok());
        let written =
            items.iter().filter_map(|item| if let Item::Use(item) = item { Some(item.clone()) } else { None });
        for line in lines.chain(written) {
            let mut leaves = Vec::new();
            use_leaves(&line.tree, String::new(), &mut leaves);
            for (path, name) in leaves {
                match name {
                    Some(name) => {
                        types.imports.insert(name, path);
                    }
                    None => types.globs.push(path),
                }
            }
        }
        types
    }

    /// The given types that values of the wanted functions may hold. Known once these were all asked for.
    pub(super) fn used(&self) -> Vec<String> {
        self.used.borrow().iter().cloned().collect()
    }

    /// The names that are imported; of modules brought in whole, the types that travel.
    pub(super) fn imported(&self) -> Vec<String> {
        let of_globs = self.globs.iter().flat_map(|glob| {
            let rest = glob.split_once("::").map_or("", |(_, rest)| rest).to_owned();
            KNOWN.iter().filter_map(move |(path, _)| Some(path.strip_prefix(&rest)?.strip_prefix("::")?.to_owned()))
        });
        self.imports.keys().cloned().chain(of_globs).collect()
    }

    /// Whether the candidate defines the type of that name.
    pub(super) fn is_wanted(&self, name: &syn::Ident) -> bool {
        self.objects.contains(&name.to_string())
    }

    /// How the methods of the trait are called, where their arguments can't travel.
    pub(super) fn special(&self, path: &syn::Path) -> Option<&'static (&'static str, &'static str, &'static str)> {
        let context = Context::new(None, BTreeMap::new(), false);
        let full = self.trait_path(path, &context)?;
        SPECIAL.iter().find(|(special, _, _)| full.strip_prefix("::std::") == Some(special))
    }

    /// Whether a value of the type is an object, or holds one.
    pub(super) fn holds_object(&self, ty: &Type, on: Option<&Type>) -> bool {
        let is_on = on.is_some_and(|on| self.is_object(on, None));
        let mut words = ty.to_token_stream().into_iter().flat_map(super::flat);
        words.any(|word| self.objects.contains(&word) || word == "Self" && is_on)
    }

    /// Whether the type is that of an object.
    pub(super) fn is_object(&self, ty: &Type, on: Option<&Type>) -> bool {
        let name = ty.to_token_stream().to_string();
        self.objects.contains(&name) || name == "Self" && on.is_some_and(|on| self.is_object(on, None))
    }

    /// The path of a trait, with its arguments.
    pub(super) fn trait_path(&self, path: &syn::Path, context: &Context<'_>) -> Option<String> {
        let last = path.segments.last()?;
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let name = names.last()?;
        let arguments = self.given_arguments(&last.arguments, context)?;
        if names.len() == 1 && matches!(self.given.get(name), Some(Item::Trait(_))) {
            return Some(format!("{GIVEN}::{name}{arguments}"));
        }
        let is_prelude = PRELUDE_TRAITS.contains(&name.as_str());
        let full = match &names[..] {
            [name] if !self.is_taken(name) => {
                TRAITS.iter().find(|path| is_prelude && path.rsplit("::").next() == Some(name))?.to_string()
            }
            names => self.full(names, path.leading_colon.is_some())?,
        };
        TRAITS.contains(&full.as_str()).then(|| format!("::std::{full}{arguments}"))
    }

    /// The name of a type of the spec without parameters.
    pub(super) fn name_of(&self, ty: &Type) -> Option<String> {
        let name = ty.to_token_stream().to_string();
        if self.objects.contains(&name) {
            return Some(name);
        }
        match self.given.get(&name)? {
            Item::Struct(item) if item.generics.params.is_empty() => Some(name),
            Item::Enum(item) if item.generics.params.is_empty() => Some(name),
            _ => None,
        }
    }

    /// The type as the server writes it, if its values can travel.
    pub(super) fn text(&self, ty: &Type, context: &Context<'_>) -> Option<String> {
        if self.globs.iter().any(|glob| !GLOBS.contains(&glob.as_str())) {
            return None;
        }
        match ty {
            Type::Paren(inner) => self.text(&inner.elem, context),
            Type::Group(inner) => self.text(&inner.elem, context),
            Type::Tuple(tuple) if tuple.elems.len() <= 12 => {
                let parts: Option<String> =
                    tuple.elems.iter().map(|part| Some(format!("{}, ", self.text(part, context)?))).collect();
                Some(format!("({})", parts?))
            }
            Type::Array(array) => {
                let length = self.length(&array.len)?;
                Some(format!("[{}; {length}]", self.text(&array.elem, context)?))
            }
            Type::Reference(reference) if reference.mutability.is_none() => {
                let lifetime = lifetime_of(reference.lifetime.as_ref(), context);
                let inside = context.borrowed();
                Some(format!("&{lifetime} {}", self.pointee(&reference.elem, &inside)?))
            }
            Type::Path(path) if path.qself.is_none() => self.path(&path.path, context),
            _ => None,
        }
    }

    /// A type behind a reference.
    fn pointee(&self, ty: &Type, context: &Context<'_>) -> Option<String> {
        match ty {
            Type::Paren(inner) => self.pointee(&inner.elem, context),
            Type::Slice(slice) => Some(format!("[{}]", self.text(&slice.elem, context)?)),
            Type::Path(path) if path.path.is_ident("str") && !self.is_taken("str") => Some("str".into()),
            _ => self.text(ty, context),
        }
    }

    fn length(&self, length: &syn::Expr) -> Option<String> {
        match length {
            syn::Expr::Lit(literal) => {
                matches!(literal.lit, syn::Lit::Int(_)).then(|| literal.to_token_stream().to_string())
            }
            syn::Expr::Path(path) => {
                let name = path.path.get_ident()?.to_string();
                matches!(self.given.get(&name), Some(Item::Const(_))).then(|| format!("{GIVEN}::{name}"))
            }
            _ => None,
        }
    }

    /// Whether the spec means something of its own by that name.
    fn is_taken(&self, name: &str) -> bool {
        self.given.contains_key(name) || self.imports.contains_key(name)
    }

    fn path(&self, path: &syn::Path, context: &Context<'_>) -> Option<String> {
        let last = path.segments.last()?;
        if path.segments.iter().rev().skip(1).any(|segment| !segment.arguments.is_none()) {
            return None;
        }
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let first = names[0].as_str();
        if names.len() == 1 && path.leading_colon.is_none() {
            if first == "Self" {
                return last.arguments.is_none().then(|| self.text(context.on?, context)).flatten();
            }
            if self.objects.contains(first) {
                return (context.is_owned && last.arguments.is_none()).then(|| format!("{GIVEN}::{first}"));
            }
            if context.parameters.contains(first) {
                return Some(first.to_owned());
            }
            if self.given.contains_key(first) {
                return self.given(first, &last.arguments, context);
            }
            if !self.imports.contains_key(first) {
                let is_primitive = INTEGERS.contains(&first) || ["f32", "f64", "bool", "char"].contains(&first);
                if is_primitive && last.arguments.is_none() {
                    return Some(first.to_owned());
                }
            }
        }
        if names.len() == 2 && first == "Self" && last.arguments.is_none() {
            return self.text(context.associated.get(&names[1])?, context);
        }
        let full = self.full(&names, path.leading_colon.is_some())?;
        let mut known = full.as_str();
        if let Some(rest) = known.strip_prefix("num::NonZero")
            && let Some(integer) = INTEGERS.iter().find(|integer| integer.eq_ignore_ascii_case(rest))
        {
            return last.arguments.is_none().then(|| format!("::std::num::NonZero<{integer}>"));
        }
        if known == "fmt::Error" {
            known = "fmt::Error";
            return last.arguments.is_none().then(|| format!("::std::{known}"));
        }
        let (_, wanted) = KNOWN.iter().find(|(path, _)| *path == known)?;
        const OWNERS: [&str; 5] =
            ["vec::Vec", "option::Option", "result::Result", "boxed::Box", "collections::VecDeque"];
        let arguments = match OWNERS.contains(&known) {
            true => self.std_arguments(*wanted, &last.arguments, context)?,
            false => self.std_arguments(*wanted, &last.arguments, &context.borrowed())?,
        };
        Some(format!("::std::{known}{arguments}"))
    }

    /// The path of a type of the standard library, without `std::`.
    fn full(&self, names: &[String], is_absolute: bool) -> Option<String> {
        let first = names[0].as_str();
        let path = if let Some(path) = self.imports.get(first).filter(|_| !is_absolute) {
            let mut path: Vec<&str> = path.split("::").collect();
            path.extend(names[1..].iter().map(String::as_str));
            path.join("::")
        } else if names.len() > 1 {
            names.join("::")
        } else if let Some(glob) = self.globs.iter().find(|glob| {
            let path = format!("{}::{first}", glob.split_once("::").map_or("", |(_, rest)| rest));
            KNOWN.iter().any(|(known, _)| *known == path)
        }) {
            format!("{glob}::{first}")
        } else {
            let known = KNOWN.iter().find(|(known, _)| known.rsplit("::").next() == Some(first))?.0;
            let is_prelude = ["String", "Vec", "Option", "Result", "Box"].contains(&first);
            return is_prelude.then(|| known.to_owned());
        };
        let path = path.trim_start_matches("::");
        let (root, rest) = path.split_once("::")?;
        (["std", "core", "alloc"].contains(&root) && !self.given.contains_key(root)).then(|| rest.to_owned())
    }

    fn std_arguments(&self, wanted: Arguments, arguments: &PathArguments, context: &Context<'_>) -> Option<String> {
        let PathArguments::AngleBracketed(list) = arguments else {
            return matches!((wanted, arguments), (Arguments::Values(0), PathArguments::None)).then(String::new);
        };
        let mut lifetime = String::new();
        let mut types = Vec::new();
        for argument in &list.args {
            match argument {
                GenericArgument::Lifetime(name) if types.is_empty() && matches!(wanted, Arguments::Borrowed) => {
                    lifetime = format!("{}, ", lifetime_text(name, context));
                }
                GenericArgument::Type(ty) => types.push(ty),
                _ => return None,
            }
        }
        let text = match (wanted, &types[..]) {
            (Arguments::Values(count), types) if count == types.len() => {
                let types: Option<Vec<String>> = types.iter().map(|ty| self.text(ty, context)).collect();
                types?.join(", ")
            }
            (Arguments::Pointee, [Type::TraitObject(object)]) => error_object(object, self)?,
            (Arguments::Pointee | Arguments::Borrowed, [ty]) => self.pointee(ty, context)?,
            (Arguments::Integer, [ty]) => {
                let text = self.text(ty, context)?;
                INTEGERS.contains(&text.as_str()).then_some(text)?
            }
            _ => return None,
        };
        Some(format!("<{lifetime}{text}>"))
    }

    /// A type of the spec's own.
    fn given(&self, name: &str, arguments: &PathArguments, context: &Context<'_>) -> Option<String> {
        let item = self.given.get(name)?;
        let (generics, fields, attributes): (_, Vec<&Fields>, _) = match item {
            Item::Type(alias) => {
                let parameters: BTreeSet<String> =
                    alias.generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
                let is_plain = alias.generics.params.is_empty();
                // An alias of itself does not compile, but nobody has tried yet.
                let mark = format!("type {name}");
                if !self.used.borrow_mut().insert(mark.clone()) {
                    return None;
                }
                let inside = Context::inside(parameters, context.is_static);
                let text = self.text(&alias.ty, &inside);
                self.used.borrow_mut().remove(&mark);
                if is_plain {
                    return text.filter(|_| arguments.is_none());
                }
                text?;
                return Some(format!("{GIVEN}::{name}{}", self.given_arguments(arguments, context)?));
            }
            Item::Struct(item) => (&item.generics, vec![&item.fields], &item.attrs),
            Item::Enum(item) => {
                let attributes = item.variants.iter().flat_map(|variant| &variant.attrs);
                if attributes.clone().any(|attribute| attribute.path().is_ident("non_exhaustive")) {
                    return None;
                }
                (&item.generics, item.variants.iter().map(|variant| &variant.fields).collect(), &item.attrs)
            }
            _ => return None,
        };
        let is_open = !attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
        let is_visible = matches!(item, Item::Enum(_))
            || fields.iter().all(|fields| fields.iter().all(|field| matches!(field.vis, Visibility::Public(_))));
        if !is_open || !is_visible || generics.where_clause.is_some() {
            return None;
        }
        if self.used.borrow_mut().insert(name.to_owned()) {
            let parameters = generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
            let inside = Context::inside(parameters, false);
            self.parameters(generics, "")?;
            for field in fields.iter().flat_map(|fields| fields.iter()) {
                self.text(&field.ty, &inside)?;
            }
        }
        Some(format!("{GIVEN}::{name}{}", self.given_arguments(arguments, context)?))
    }

    fn given_arguments(&self, arguments: &PathArguments, context: &Context<'_>) -> Option<String> {
        match arguments {
            PathArguments::None => Some(String::new()),
            PathArguments::AngleBracketed(list) => {
                let each = list.args.iter().map(|argument| match argument {
                    GenericArgument::Lifetime(name) => Some(lifetime_text(name, context)),
                    GenericArgument::Type(ty) => self.text(ty, &context.borrowed()),
                    _ => None,
                });
                Some(format!("<{}>", each.collect::<Option<Vec<String>>>()?.join(", ")))
            }
            PathArguments::Parenthesized(_) => None,
        }
    }

    /// Parameters of an implementation, each type with `bound` beside its own bounds.
    fn parameters(&self, generics: &syn::Generics, bound: &str) -> Option<String> {
        let each = generics.params.iter().map(|parameter| match parameter {
            GenericParam::Lifetime(parameter) => Some(parameter.to_token_stream().to_string()),
            GenericParam::Type(parameter) => {
                let mut bounds: Vec<String> =
                    parameter.bounds.iter().map(|bound| self.bound(bound)).collect::<Option<_>>()?;
                bounds.extend((!bound.is_empty()).then(|| bound.to_owned()));
                Some(format!("{}: {}", parameter.ident, bounds.join(" + ")))
            }
            GenericParam::Const(_) => None,
        });
        Some(each.collect::<Option<Vec<String>>>()?.join(", "))
    }

    fn bound(&self, bound: &TypeParamBound) -> Option<String> {
        const BOUNDS: [&str; 12] = [
            "clone::Clone",
            "marker::Copy",
            "marker::Send",
            "marker::Sync",
            "cmp::PartialEq",
            "cmp::Eq",
            "cmp::PartialOrd",
            "cmp::Ord",
            "default::Default",
            "hash::Hash",
            "fmt::Debug",
            "fmt::Display",
        ];
        let text = bound.to_token_stream().to_string().replace(' ', "");
        let names: Vec<String> = text.split("::").map(str::to_owned).collect();
        let full = match &names[..] {
            [name] if !self.is_taken(name) => {
                let is_prelude = !["Hash", "Debug", "Display"].contains(&name.as_str());
                BOUNDS.iter().find(|path| path.rsplit("::").next() == Some(name)).filter(|_| is_prelude)?.to_string()
            }
            names if names[0].is_empty() => return None,
            names => self.full(names, false)?,
        };
        BOUNDS.contains(&full.as_str()).then(|| format!("::std::{full}"))
    }

    /// How values of a given type are written and read.
    pub(super) fn implementations(&self, name: &str, local: &str, prefix: &str) -> Option<String> {
        let (generics, shapes): (_, Vec<(String, &Fields)>) = match self.given.get(name)? {
            Item::Struct(item) => (&item.generics, vec![("Self".to_owned(), &item.fields)]),
            Item::Enum(item) => {
                let shapes = item.variants.iter().map(|variant| (format!("Self::{}", variant.ident), &variant.fields));
                (&item.generics, shapes.collect())
            }
            _ => return None,
        };
        let names: Vec<String> = generics
            .params
            .iter()
            .map(|parameter| match parameter {
                GenericParam::Lifetime(parameter) => parameter.lifetime.to_string(),
                GenericParam::Type(parameter) => parameter.ident.to_string(),
                GenericParam::Const(parameter) => parameter.ident.to_string(),
            })
            .collect();
        let arguments = if names.is_empty() { String::new() } else { format!("<{}>", names.join(", ")) };
        let head = |of: &str| {
            let parameters = self.parameters(generics, &format!("{WIRE}::{of}<{local}>"))?;
            Some(format!("impl<{parameters}> {WIRE}::{of}<{local}> for {prefix}{name}{arguments} {{\n"))
        };
        let (mut encode, mut decode) = (String::new(), String::new());
        for (number, (path, fields)) in shapes.iter().enumerate() {
            let (mut pattern, mut puts, mut takes) = (String::new(), String::new(), String::new());
            for (at, field) in fields.iter().enumerate() {
                let member = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
                pattern += &format!("{member}: a{at}, ");
                puts += &format!("{WIRE}::Encode::<{local}>::encode(a{at}, out); ");
                takes += &format!(
                    "{member}: match {WIRE}::Decode::<{local}>::decode(input) {{ \
                     ::core::option::Option::Some(value) => value, \
                     ::core::option::Option::None => return ::core::option::Option::None }}, "
                );
            }
            encode += &format!("{path} {{ {pattern}}} => {{ out.variant({number}); {puts}}}\n");
            decode += &format!("{number} => {path} {{ {takes}}},\n");
        }
        // A type without values has no reference that could be matched on.
        let value = if shapes.is_empty() { "*self" } else { "self" };
        let (encode_head, decode_head) = (head("Encode")?, head("Decode")?);
        Some(format!(
            "{encode_head}fn encode(&self, out: &mut {WIRE}::Encoder) {{\nmatch {value} {{\n{encode}}}\n}}\n}}\n\
             {decode_head}fn decode(input: &mut {WIRE}::Decoder<'_>) -> ::core::option::Option<Self> {{\n\
             ::core::option::Option::Some(match input.variant()? {{\n{decode}\
             _ => return ::core::option::Option::None,\n}})\n}}\n}}\n"
        ))
    }
}

/// A reference's lifetime, as the server writes it.
pub(super) fn lifetime_of(lifetime: Option<&syn::Lifetime>, context: &Context<'_>) -> String {
    match lifetime {
        _ if context.is_static => "'static".to_owned(),
        Some(lifetime) => lifetime.to_string(),
        None => String::new(),
    }
}

fn lifetime_text(lifetime: &syn::Lifetime, context: &Context<'_>) -> String {
    match context.is_static {
        true => "'static".to_owned(),
        false => lifetime.to_string(),
    }
}

/// `dyn Error`, as the runtime knows it.
fn error_object(object: &syn::TypeTraitObject, types: &Types) -> Option<String> {
    let mut names = Vec::new();
    for bound in &object.bounds {
        let text = bound.to_token_stream().to_string().replace(' ', "");
        if text == "'static" {
            continue;
        }
        let parts: Vec<String> = text.trim_start_matches("::").split("::").map(str::to_owned).collect();
        let name = match &parts[..] {
            [name] if ["Send", "Sync"].contains(&name.as_str()) && !types.is_taken(name) => name.clone(),
            [name] if types.given.contains_key(name) => return None,
            parts if types.full(parts, text.starts_with("::"))? == "error::Error" => "::std::error::Error".to_owned(),
            _ => return None,
        };
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names[..] {
        ["::std::error::Error"] => Some("dyn ::std::error::Error".into()),
        ["::std::error::Error", "Send"] => Some("dyn ::std::error::Error + Send".into()),
        ["::std::error::Error", "Send", "Sync"] => Some("dyn ::std::error::Error + Send + Sync".into()),
        _ => None,
    }
}
