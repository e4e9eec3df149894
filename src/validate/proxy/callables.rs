//! What can be called from outside: the functions of a spec with the types of all that goes in and comes out. Pure.

use std::collections::BTreeMap;

use quote::ToTokens as _;
use syn::{FnArg, GenericParam, Item, ReceiverKind, ReturnType, Type};

use super::types::Context;
use super::{Channel, GIVEN, Pass};
use crate::spec::Spec;
use crate::syntax::deep;

/// The functions of a spec, and what their types are made of.
#[derive(Debug, Clone, Default)]
pub struct Callables {
    /// The functions that can be called with values alone, by the numbers that the channel knows them by.
    pub functions: Vec<Callable>,
    /// Functions that need an object of the candidate's own: there is no value that could be sent in its place.
    pub needs_objects: Vec<String>,
    /// Types that the spec gives.
    pub given: BTreeMap<String, Given>,
    /// Names that the spec imports, or brings in by `*`.
    pub imported: Vec<String>,
}

/// A function that can be called.
#[derive(Debug, Clone)]
pub struct Callable {
    /// Its number in a call.
    pub number: u32,
    /// How it is called in the spec's Rust: `parse`, `Point::norm`, `<Point as Add>::add`.
    pub path: String,
    /// Its arguments in order.
    pub inputs: Vec<Input>,
    /// The type of its result, written in full.
    pub output: String,
}

/// An argument.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type, written in full; that of the value behind `&mut`, `Vec<T>` for `&mut [T]`.
    pub ty: String,
    /// Whether the function may change it (`&mut`): it comes back after the result.
    pub changes: bool,
    /// Whether it is a slice that may change.
    pub is_slice: bool,
}

/// A struct or an enum that the spec gives.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its type parameters.
    pub parameters: Vec<String>,
    /// Its variants; a struct is one, without a name.
    pub variants: Vec<(Option<String>, Fields)>,
}

/// Of each field its name, where it has one, and its type in full.
pub type Fields = Vec<(Option<String>, String)>;

/// What of a spec can be called from outside; `None` where its values can't travel.
pub fn callables(spec: &Spec) -> Option<Callables> {
    deep(|| Channel::new(spec)?.callables())
}

impl Channel<'_> {
    fn callables(&self) -> Option<Callables> {
        let mut all = Callables { imported: self.types.imported(), ..Callables::default() };
        for (number, wanted) in self.wanted.iter().enumerate() {
            self.pin(wanted)?;
            let path = wanted.path.replace(&format!("{GIVEN}::"), "").replace("::std::", "std::");
            let on = wanted.on.as_ref();
            let context = Context::new(on, wanted.associated.clone(), true);
            let passes: Vec<Pass> = wanted.signature.inputs.iter().map(|input| self.pass(input, on)).collect();
            let by_object = |pass: &Pass| matches!(pass, Pass::Lent | Pass::LentForChanges | Pass::Given);
            let gives_object = match &wanted.signature.output {
                ReturnType::Default => false,
                ReturnType::Type(_, ty) => self.types.holds_object(ty, on),
            };
            if passes.iter().any(by_object) || gives_object || path.starts_with("::llmc_rt") {
                all.needs_objects.push(path);
                continue;
            }
            let mut inputs = Vec::new();
            for (input, pass) in wanted.signature.inputs.iter().zip(passes) {
                let changes = matches!(pass, Pass::Changed | Pass::ChangedSlice);
                let is_slice = pass == Pass::ChangedSlice;
                let (name, ty) = match input {
                    FnArg::Receiver(receiver) => {
                        let on = self.types.text(on?, &context)?;
                        let is_shared = matches!(receiver.kind, ReceiverKind::Reference(_, _, None));
                        ("self".to_owned(), if is_shared { format!("&{on}") } else { on })
                    }
                    FnArg::Typed(typed) => {
                        let ty = match &*typed.ty {
                            Type::Reference(reference) if changes => match &*reference.elem {
                                Type::Slice(slice) => {
                                    format!("::std::vec::Vec<{}>", self.types.text(&slice.elem, &context.borrowed())?)
                                }
                                inner => self.types.text(inner, &context.borrowed())?,
                            },
                            ty => self.types.text(ty, &context)?,
                        };
                        (typed.pat.to_token_stream().to_string(), ty)
                    }
                };
                inputs.push(Input { name, ty, changes, is_slice });
            }
            let output = match &wanted.signature.output {
                ReturnType::Default => "()".to_owned(),
                ReturnType::Type(_, ty) => self.types.text(ty, &context)?,
            };
            all.functions.push(Callable { number: u32::try_from(number).ok()?, path, inputs, output });
        }
        for name in self.types.used() {
            if let Some(given) = self.given(&name) {
                all.given.insert(name, given);
            }
        }
        Some(all)
    }

    fn given(&self, name: &str) -> Option<Given> {
        let item = self.items.iter().find(|item| super::item_ident(item).is_some_and(|ident| ident == name))?;
        let (generics, variants): (_, Vec<(Option<String>, &syn::Fields)>) = match item {
            Item::Struct(item) => (&item.generics, vec![(None, &item.fields)]),
            Item::Enum(item) => {
                let variants = item.variants.iter();
                (&item.generics, variants.map(|variant| (Some(variant.ident.to_string()), &variant.fields)).collect())
            }
            _ => return None,
        };
        let parameters: Vec<String> = generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
        if generics.params.iter().any(|parameter| matches!(parameter, GenericParam::Const(_))) {
            return None;
        }
        let mut context = Context::new(None, BTreeMap::new(), true);
        context.parameters = parameters.iter().cloned().collect();
        context.is_owned = false;
        let fields = |fields: &syn::Fields| -> Option<Fields> {
            let one = |field: &syn::Field| {
                Some((field.ident.as_ref().map(ToString::to_string), self.types.text(&field.ty, &context)?))
            };
            fields.iter().map(one).collect()
        };
        let variants = variants.into_iter().map(|(name, all)| Some((name, fields(all)?))).collect::<Option<_>>()?;
        Some(Given { parameters, variants })
    }
}
