//! What values of a type are made of, read from the types that `validate` writes in full. Pure.

use std::collections::BTreeMap;

use syn::{GenericArgument, PathArguments, Type};

use crate::validate::{Callable, Callables};

/// Most different types of a spec's own.
const NAMED: usize = 200;

/// A type of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    I8,
    I16,
    I32,
    I64,
    I128,
    Isize,
    U8,
    U16,
    U32,
    U64,
    U128,
    Usize,
}

const INTEGERS: [(&str, Integer); 12] = [
    ("i8", Integer::I8),
    ("i16", Integer::I16),
    ("i32", Integer::I32),
    ("i64", Integer::I64),
    ("i128", Integer::I128),
    ("isize", Integer::Isize),
    ("u8", Integer::U8),
    ("u16", Integer::U16),
    ("u32", Integer::U32),
    ("u64", Integer::U64),
    ("u128", Integer::U128),
    ("usize", Integer::Usize),
];

impl Integer {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 => 4,
            Self::I64 | Self::U64 => 8,
            Self::I128 | Self::U128 => 16,
            Self::Isize | Self::Usize => size_of::<usize>(),
        }
    }

    pub(super) fn is_signed(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64 | Self::I128 | Self::Isize)
    }

    pub(super) fn name(self) -> &'static str {
        INTEGERS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The value nearest to `number` that the type has. Numbers of `u128` are kept by their bits, and all fit.
    pub(super) fn fit(self, number: i128) -> i128 {
        let bits = 8 * self.bytes() as u32;
        match (bits, self.is_signed()) {
            (128, _) => number,
            (_, true) => number.clamp(-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
            (_, false) => number.clamp(0, (1_i128 << bits) - 1),
        }
    }
}

/// What a value is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Unit,
    Bool,
    Int(Integer),
    NonZero(Integer),
    /// Of so many bytes.
    Float(usize),
    Char,
    Text {
        /// `String`, not `str`.
        is_owned: bool,
    },
    Cow(Box<Shape>),
    /// `&T`.
    Ref(Box<Shape>),
    /// `Box`, `Rc`, `Arc`.
    Pointer(&'static str, Box<Shape>),
    /// `Wrapping`, `Saturating`, `Reverse`.
    Wrapper(&'static str, Box<Shape>),
    /// `[T]` (without a name), `Vec`, `VecDeque`, `LinkedList`, `BinaryHeap`.
    List(&'static str, Box<Shape>),
    /// `HashSet`, `BTreeSet`.
    Set(&'static str, Box<Shape>),
    /// `HashMap`, `BTreeMap`.
    Map(&'static str, Box<Shape>, Box<Shape>),
    Array(usize, Box<Shape>),
    Option(Box<Shape>),
    Result(Box<Shape>, Box<Shape>),
    Tuple(Vec<Shape>),
    /// A type of the spec's own.
    Named(usize),
    Range(Box<Shape>),
    RangeInclusive(Box<Shape>),
    Ordering,
    Duration,
    /// An error of the standard library that is one of a few.
    StdError(&'static str),
    Utf8Error,
    FromUtf8Error,
    /// `dyn Error`: its words.
    DynError,
}

/// A field: its name, where it has one, and its shape.
pub(super) type Field = (Option<String>, Shape);

/// A type of the spec's own, with its arguments put in.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) variants: Vec<(Option<String>, Vec<Field>)>,
}

/// All types of a spec.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes {
    named: Vec<Named>,
    known: BTreeMap<String, usize>,
    /// Names that need no path in the spec's Rust.
    pub(super) imported: Vec<String>,
}

impl Shapes {
    pub(super) fn named(&self, at: usize) -> &Named {
        &self.named[at]
    }

    pub(super) fn variants(&self, at: usize) -> &[(Option<String>, Vec<Field>)] {
        &self.named[at].variants
    }

    /// The fields of a variant; none where there is no such.
    pub(super) fn fields(&self, at: usize, number: u32) -> &[Field] {
        self.named[at].variants.get(number as usize).map_or(&[], |(_, fields)| fields)
    }

    /// Whether a value of the shape can be made up, or why not.
    pub(super) fn can_make(&self, shape: &Shape) -> Result<(), String> {
        self.can(shape, &mut Vec::new())
    }

    fn can(&self, shape: &Shape, seen: &mut Vec<usize>) -> Result<(), String> {
        match shape {
            Shape::StdError(_) | Shape::Utf8Error | Shape::FromUtf8Error | Shape::DynError => {
                Err("it holds an error of the standard library".into())
            }
            Shape::Cow(inner)
            | Shape::Ref(inner)
            | Shape::Pointer(_, inner)
            | Shape::Wrapper(_, inner)
            | Shape::List(_, inner)
            | Shape::Set(_, inner)
            | Shape::Array(_, inner)
            | Shape::Option(inner)
            | Shape::Range(inner)
            | Shape::RangeInclusive(inner) => self.can(inner, seen),
            Shape::Map(_, one, other) | Shape::Result(one, other) => {
                self.can(one, seen)?;
                self.can(other, seen)
            }
            Shape::Tuple(items) => items.iter().try_for_each(|item| self.can(item, seen)),
            Shape::Named(at) => {
                if seen.contains(at) {
                    return Ok(());
                }
                seen.push(*at);
                let named = self.named(*at);
                if named.variants.is_empty() {
                    return Err(format!("`{}` has no values", named.name));
                }
                named.variants.iter().flat_map(|(_, fields)| fields).try_for_each(|(_, shape)| self.can(shape, seen))
            }
            _ => Ok(()),
        }
    }

    /// Whether values of the shape may hold one for which `is` holds.
    pub(super) fn holds(&self, shape: &Shape, is: &dyn Fn(&Shape) -> bool) -> bool {
        self.holds_one(shape, is, &mut Vec::new())
    }

    fn holds_one(&self, shape: &Shape, is: &dyn Fn(&Shape) -> bool, seen: &mut Vec<usize>) -> bool {
        if is(shape) {
            return true;
        }
        match shape {
            Shape::Cow(inner)
            | Shape::Ref(inner)
            | Shape::Pointer(_, inner)
            | Shape::Wrapper(_, inner)
            | Shape::List(_, inner)
            | Shape::Set(_, inner)
            | Shape::Array(_, inner)
            | Shape::Option(inner)
            | Shape::Range(inner)
            | Shape::RangeInclusive(inner) => self.holds_one(inner, is, seen),
            Shape::Map(_, one, other) | Shape::Result(one, other) => {
                self.holds_one(one, is, seen) || self.holds_one(other, is, seen)
            }
            Shape::Tuple(items) => items.iter().any(|item| self.holds_one(item, is, seen)),
            Shape::Named(at) if !seen.contains(at) => {
                seen.push(*at);
                self.named(*at)
                    .variants
                    .iter()
                    .flat_map(|(_, fields)| fields)
                    .any(|(_, shape)| self.holds_one(shape, is, seen))
            }
            _ => false,
        }
    }
}

/// A function with the shapes of what goes in and comes out.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) number: u32,
    pub(super) path: String,
    pub(super) inputs: Vec<Argument>,
    pub(super) output: Shape,
    /// Whether what comes out may hold floats.
    pub(super) has_floats: bool,
}

/// An argument.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) changes: bool,
    pub(super) is_slice: bool,
}

/// Reads the types of all functions; those of which no inputs can be made come with the reason.
pub(super) fn functions(all: &Callables) -> (Shapes, Vec<Function>, Vec<(String, String)>) {
    let mut shapes = Shapes { imported: all.imported.clone(), ..Shapes::default() };
    let (mut functions, mut without) = (Vec::new(), Vec::new());
    for callable in &all.functions {
        match function(&mut shapes, all, callable) {
            Ok(function) => functions.push(function),
            Err(reason) => without.push((callable.path.clone(), reason)),
        }
    }
    without
        .extend(all.needs_objects.iter().map(|path| (path.clone(), "it needs an object of the program's own".into())));
    (shapes, functions, without)
}

fn function(shapes: &mut Shapes, all: &Callables, callable: &Callable) -> Result<Function, String> {
    let mut inputs = Vec::new();
    for input in &callable.inputs {
        let told = |reason: String| format!("no inputs of the type of `{}` can be made up: {reason}", input.name);
        let shape = shapes.read(all, &input.ty).map_err(told)?;
        shapes.can_make(&shape).map_err(told)?;
        inputs.push(Argument { name: input.name.clone(), shape, changes: input.changes, is_slice: input.is_slice });
    }
    let output = shapes.read(all, &callable.output).map_err(|reason| format!("its results can't be read: {reason}"))?;
    let is_float = |shape: &Shape| matches!(shape, Shape::Float(_));
    let has_floats = shapes.holds(&output, &is_float)
        || inputs.iter().any(|input| input.changes && shapes.holds(&input.shape, &is_float));
    Ok(Function { number: callable.number, path: callable.path.clone(), inputs, output, has_floats })
}

impl Shapes {
    fn read(&mut self, all: &Callables, ty: &str) -> Result<Shape, String> {
        let parsed: Type = syn::parse_str(ty).map_err(|_| format!("`{ty}` is no type that is known"))?;
        self.shape(all, &parsed, &BTreeMap::new())
    }

    fn shape(&mut self, all: &Callables, ty: &Type, parameters: &BTreeMap<String, Shape>) -> Result<Shape, String> {
        let unknown = || {
            use quote::ToTokens as _;
            Err(format!("`{}` is not known", ty.to_token_stream().to_string().replace(' ', "")))
        };
        match ty {
            Type::Paren(inner) => self.shape(all, &inner.elem, parameters),
            Type::Group(inner) => self.shape(all, &inner.elem, parameters),
            Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(Shape::Unit),
            Type::Tuple(tuple) => {
                let items = tuple.elems.iter().map(|item| self.shape(all, item, parameters));
                Ok(Shape::Tuple(items.collect::<Result<_, _>>()?))
            }
            Type::Slice(slice) => Ok(Shape::List("", Box::new(self.shape(all, &slice.elem, parameters)?))),
            Type::Array(array) => {
                let length = match &array.len {
                    syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(length), .. }) => length.base10_parse().ok(),
                    _ => None,
                };
                match length.filter(|length| *length <= 4096) {
                    Some(length) => Ok(Shape::Array(length, Box::new(self.shape(all, &array.elem, parameters)?))),
                    None => unknown(),
                }
            }
            Type::Reference(reference) => Ok(Shape::Ref(Box::new(self.shape(all, &reference.elem, parameters)?))),
            Type::TraitObject(_) => Ok(Shape::DynError),
            Type::Path(path) => {
                let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                let mut arguments = Vec::new();
                if let Some(PathArguments::AngleBracketed(list)) =
                    path.path.segments.last().map(|segment| &segment.arguments)
                {
                    for argument in &list.args {
                        match argument {
                            GenericArgument::Type(ty) => arguments.push(self.shape(all, ty, parameters)?),
                            GenericArgument::Lifetime(_) => {}
                            _ => return unknown(),
                        }
                    }
                }
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                match names[..] {
                    [name] => match (parameters.get(name), primitive(name)) {
                        (Some(shape), _) => Ok(shape.clone()),
                        (None, Some(shape)) => Ok(shape),
                        (None, None) => unknown(),
                    },
                    ["std", .., name] => standard(name, arguments).map_or_else(unknown, Ok),
                    [_, name] => self.own(all, name, arguments).and_then(|shape| shape.map_or_else(unknown, Ok)),
                    _ => unknown(),
                }
            }
            _ => unknown(),
        }
    }

    /// A type that the spec gives.
    fn own(&mut self, all: &Callables, name: &str, arguments: Vec<Shape>) -> Result<Option<Shape>, String> {
        let key = format!("{name}{arguments:?}");
        if let Some(at) = self.known.get(&key) {
            return Ok(Some(Shape::Named(*at)));
        }
        let Some(given) = all.given.get(name) else { return Ok(None) };
        if given.parameters.len() != arguments.len() || self.named.len() >= NAMED || key.len() > 4096 {
            return Ok(None);
        }
        let at = self.named.len();
        self.known.insert(key, at);
        self.named.push(Named { name: name.to_owned(), variants: Vec::new() });
        let parameters: BTreeMap<String, Shape> = given.parameters.iter().cloned().zip(arguments).collect();
        let mut variants = Vec::new();
        for (variant, fields) in &given.variants {
            let mut all_fields = Vec::new();
            for (field, ty) in fields {
                let parsed: Type = syn::parse_str(ty).map_err(|_| format!("`{ty}` is no type that is known"))?;
                all_fields.push((field.clone(), self.shape(all, &parsed, &parameters)?));
            }
            variants.push((variant.clone(), all_fields));
        }
        self.named[at].variants = variants;
        Ok(Some(Shape::Named(at)))
    }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "bool" => Shape::Bool,
        "char" => Shape::Char,
        "f32" => Shape::Float(4),
        "f64" => Shape::Float(8),
        "str" => Shape::Text { is_owned: false },
        name => Shape::Int(INTEGERS.iter().find(|(integer, _)| *integer == name)?.1),
    })
}

fn standard(name: &str, arguments: Vec<Shape>) -> Option<Shape> {
    const LISTS: [&str; 4] = ["Vec", "VecDeque", "LinkedList", "BinaryHeap"];
    const SETS: [&str; 2] = ["HashSet", "BTreeSet"];
    const MAPS: [&str; 2] = ["HashMap", "BTreeMap"];
    const POINTERS: [&str; 3] = ["Box", "Rc", "Arc"];
    const WRAPPERS: [&str; 3] = ["Wrapping", "Saturating", "Reverse"];
    const ERRORS: [&str; 5] = ["ParseIntError", "ParseFloatError", "ParseBoolError", "TryFromIntError", "Error"];
    let one_of = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
    let mut arguments = arguments.into_iter().map(Box::new);
    let (first, second) = (arguments.next(), arguments.next());
    Some(match (name, first, second) {
        ("String", None, None) => Shape::Text { is_owned: true },
        ("Option", Some(item), None) => Shape::Option(item),
        ("Result", Some(value), Some(error)) => Shape::Result(value, error),
        ("Cow", Some(item), None) => Shape::Cow(item),
        ("Range", Some(item), None) => Shape::Range(item),
        ("RangeInclusive", Some(item), None) => Shape::RangeInclusive(item),
        ("NonZero", Some(item), None) => match *item {
            Shape::Int(kind) => Shape::NonZero(kind),
            _ => return None,
        },
        ("Ordering", None, None) => Shape::Ordering,
        ("Duration", None, None) => Shape::Duration,
        ("Utf8Error", None, None) => Shape::Utf8Error,
        ("FromUtf8Error", None, None) => Shape::FromUtf8Error,
        (_, Some(key), Some(item)) => Shape::Map(one_of(&MAPS)?, key, item),
        (_, Some(item), None) => match (one_of(&LISTS), one_of(&SETS), one_of(&POINTERS)) {
            (Some(name), ..) => Shape::List(name, item),
            (_, Some(name), _) => Shape::Set(name, item),
            (.., Some(name)) => Shape::Pointer(name, item),
            _ => Shape::Wrapper(one_of(&WRAPPERS)?, item),
        },
        (_, None, None) => Shape::StdError(one_of(&ERRORS)?),
        _ => return None,
    })
}

/// The type of integers of that name.
pub(super) fn integer(name: &str) -> Option<Integer> {
    INTEGERS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}
