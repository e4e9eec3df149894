//! The two sides of the channel between a spec's checks and a candidate, as Rust text. Pure.
//!
//! [`library`] is a crate `generated` that holds no candidate: what the spec gives, and for each wanted function a proxy
//! that has another process make the call. [`server`] is the program of that other process. Values are written and read
//! by `runtime/wire.rs`. A type that can't travel without a difference that a check could see makes it all `None`.

mod types;

use std::collections::BTreeSet;

use quote::{ToTokens as _, quote};
use syn::{FnArg, GenericParam, Item, ReceiverKind, ReturnType, Type};

use self::types::{Context, Types};
use crate::spec::{Example, Expect, Spec};
use crate::syntax::{check_bounds, deep};

/// How the judge exits when the candidate's process is gone, or sent what is no answer.
pub const LOST: i32 = 113;

/// The file `lib.rs` of a crate `generated` whose module of the spec's name holds proxies; `None` where a value can't
/// travel.
pub fn library(spec: &Spec) -> Option<String> {
    deep(|| Channel::new(spec)?.library())
}

/// The file `main.rs` of the program that answers for the candidates at these module paths of the crate `generated`
/// (`k0::slugify`); its first argument is an index into `modules`. Empty where [`library`] is `None`.
pub fn server(spec: &Spec, modules: &[String]) -> String {
    deep(|| Channel::new(spec).and_then(|channel| channel.server(modules)).unwrap_or_default())
}

/// Whose fault an error in that line (from 1) of a [`server`] is: an index into its `modules`.
pub(super) fn blamed(server: &str, line: usize) -> Option<usize> {
    server.lines().nth(line.checked_sub(1)?)?.rsplit_once(BLAME)?.1.parse().ok()
}

const BLAME: &str = "//@";

/// How a candidate's module is called in the part of the server that is its own.
const GIVEN: &str = "llmc_given";
const WIRE: &str = "::llmc_rt::wire";

/// What a check could ask of a value that is not the same after a copy.
const IDENTITY: [&str; 14] = [
    "ptr_eq",
    "strong_count",
    "weak_count",
    "as_ptr",
    "as_mut_ptr",
    "as_ptr_range",
    "addr_of",
    "addr",
    "capacity",
    "downcast",
    "downcast_ref",
    "downcast_mut",
    "type_id",
    "ptr",
];

/// A wanted function.
struct Wanted {
    /// Its path within the candidate's module.
    path: String,
    /// The type of the impl block it is in.
    on: Option<Type>,
    signature: syn::Signature,
}

/// How an argument is passed.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// By value, or a reference that can't change it.
    Copied,
    /// `&mut T`.
    Changed,
    /// `&mut [T]`.
    ChangedSlice,
}

/// What a spec's functions need.
struct Channel<'a> {
    spec: &'a Spec,
    /// All items of the interface, with stubs for what is wanted.
    items: Vec<Item>,
    wanted: Vec<Wanted>,
    types: Types,
}

impl<'a> Channel<'a> {
    fn new(spec: &'a Spec) -> Option<Self> {
        let interface = &spec.interface;
        if !interface.wanted_types.is_empty() || asks_for_identity(spec) {
            return None;
        }
        let stub = interface.stub();
        check_bounds(&stub).ok()?;
        let mut items = syn::parse_file(&stub).ok()?.items;
        for given in &interface.given {
            let is_new = |item: &Item| {
                item_ident(item)
                    .is_some_and(|ident| !items.iter().any(|item| item_ident(item).is_some_and(|other| other == ident)))
            };
            let given: Item = syn::parse_str(&given.source).ok()?;
            if is_new(&given) {
                items.push(given);
            }
        }
        let types = Types::new(&items, &interface.imports);
        let mut wanted = Vec::new();
        for item in &items {
            match item {
                Item::Fn(item) if interface.functions.iter().any(|function| item.sig.ident == function.name) => {
                    let path = item.sig.ident.to_string();
                    wanted.push(Wanted { path, on: None, signature: item.sig.clone() });
                }
                Item::Impl(block) => {
                    for method in methods(spec, block) {
                        if block.trait_.is_some() || !block.generics.params.is_empty() {
                            return None;
                        }
                        let on = types.name_of(&block.self_ty)?;
                        let path = format!("{on}::{}", method.sig.ident);
                        let on = Some((*block.self_ty).clone());
                        wanted.push(Wanted { path, on, signature: method.sig.clone() });
                    }
                }
                // What changes there in one process does not change in the other.
                Item::Static(_) => return None,
                _ => {}
            }
        }
        let whole = wanted.len() == interface.functions.len() + interface.methods.len();
        (whole && !wanted.is_empty()).then_some(Self { spec, items, wanted, types })
    }

    fn library(&self) -> Option<String> {
        for wanted in &self.wanted {
            self.pin(wanted)?;
        }
        let mut text = String::from("//! Proxies, written by llmc.\n#![allow(warnings)]\n\npub struct Local;\n");
        text += &format!("\npub mod {} {{\n", self.spec.name);
        let mut number = 0;
        for item in &self.items {
            let mut item = item.clone();
            match &mut item {
                Item::Fn(item) if self.is_wanted(&item.sig.ident) => {
                    let body = self.proxy(number, &mut item.sig)?;
                    item.block = syn::parse_str(&body).ok()?;
                    number += 1;
                }
                Item::Impl(block) => {
                    let wanted: Vec<syn::Ident> =
                        methods(self.spec, block).map(|method| method.sig.ident.clone()).collect();
                    for member in &mut block.items {
                        if let syn::ImplItem::Fn(method) = member
                            && wanted.contains(&method.sig.ident)
                        {
                            let body = self.proxy(number, &mut method.sig)?;
                            method.block = syn::parse_str(&body).ok()?;
                            number += 1;
                        }
                    }
                }
                _ => {}
            }
            text += &format!("{}\n", item.to_token_stream());
        }
        for name in self.types.used() {
            text += &self.types.implementations(&name, "crate::Local", "")?;
        }
        text += "}\n";
        Some(text)
    }

    fn is_wanted(&self, ident: &syn::Ident) -> bool {
        self.spec.interface.functions.iter().any(|function| *ident == function.name)
    }

    /// The body of a proxy, whose arguments get new names.
    fn proxy(&self, number: usize, signature: &mut syn::Signature) -> Option<String> {
        let mut body = format!("{{ let mut llmc_call = ::llmc_rt::caller::Call::new({number});\n");
        let mut back = String::new();
        let mut store = String::new();
        for (at, input) in signature.inputs.iter_mut().enumerate() {
            let (name, pass) = match input {
                FnArg::Receiver(receiver) => {
                    let pass = match &receiver.kind {
                        ReceiverKind::Reference(_, _, Some(_)) => Pass::Changed,
                        ReceiverKind::Reference(..) => Pass::Copied,
                        ReceiverKind::Typed(..) => return None,
                        _ => Pass::Copied,
                    };
                    if !matches!(receiver.kind, ReceiverKind::Reference(..)) {
                        receiver.mutability = None;
                    }
                    ("self".to_owned(), pass)
                }
                FnArg::Typed(typed) => {
                    let name = format!("llmc_{at}");
                    typed.pat = syn::parse_str::<syn::FnArg>(&format!("{name}: ()")).ok().and_then(pattern)?;
                    (name, pass(&typed.ty))
                }
            };
            match pass {
                Pass::Copied => body += &format!("llmc_call.put::<crate::Local, _>(&{name});\n"),
                Pass::Changed => {
                    body += &format!("llmc_call.put::<crate::Local, _>(&*{name});\n");
                    back += &format!("let llmc_back_{at} = llmc_answer.take::<crate::Local, _>();\n");
                    store += &format!("*{name} = llmc_back_{at};\n");
                }
                Pass::ChangedSlice => {
                    body += &format!("llmc_call.put::<crate::Local, _>(&*{name});\n");
                    back += &format!("let llmc_back_{at} = llmc_answer.take::<crate::Local, _>();\n");
                    store += &format!("::llmc_rt::caller::put_back({name}, llmc_back_{at});\n");
                }
            }
        }
        body += "let mut llmc_answer = llmc_call.send();\n";
        body += "let llmc_result = llmc_answer.result::<crate::Local, _>();\n";
        body += &back;
        body += "llmc_answer.end();\n";
        body += &store;
        body += "match llmc_result { ::core::option::Option::Some(llmc_result) => llmc_result, \
                 ::core::option::Option::None => llmc_answer.resume() } }";
        Some(body)
    }

    fn server(&self, modules: &[String]) -> Option<String> {
        let pins: Vec<String> = self.wanted.iter().map(|wanted| self.pin(wanted)).collect::<Option<_>>()?;
        let mut text =
            String::from("//! Answers for candidates, written by llmc.\n#![allow(warnings)]\n\nstruct Local;\n\n");
        let mut arms = String::new();
        let mut own_arms = String::new();
        for (number, (wanted, pin)) in self.wanted.iter().zip(&pins).enumerate() {
            let glue = self.glue(wanted)?;
            if pin.contains(GIVEN) || wanted.on.is_some() {
                own_arms += &format!("{number} => {{ let f: {pin} = {GIVEN}::{};\n{glue} }}\n", wanted.path);
                continue;
            }
            text += &format!("type F{number} = {pin};\nstatic T{number}: [F{number}; {}] = [\n", modules.len());
            for (at, module) in modules.iter().enumerate() {
                text += &format!("::generated::{module}::{}, {BLAME}{at}\n", wanted.path);
            }
            text += &format!(
                "];\nfn g{number}(f: F{number}, call: &mut ::llmc_rt::serve::Call<'_>) -> Option<()> {{\n{glue}\n}}\n\n"
            );
            arms += &format!("{number} => g{number}(*T{number}.get(candidate)?, call),\n");
        }
        if own_arms.is_empty() {
            arms += "_ => None,\n";
        } else {
            arms += "_ => match candidate {\n";
            for (at, module) in modules.iter().enumerate() {
                let mut own = format!("mod c{at} {{\nuse ::generated::{module} as {GIVEN};\n");
                for name in self.types.used() {
                    own += &self.types.implementations(&name, "crate::Local", &format!("{GIVEN}::"))?;
                }
                own += "pub fn call(function: u32, call: &mut ::llmc_rt::serve::Call<'_>) -> Option<()> {\n";
                own += &format!("match function {{\n{own_arms}_ => None,\n}}\n}}\n}}\n");
                for line in own.lines() {
                    text += &format!("{line} {BLAME}{at}\n");
                }
                arms += &format!("{at} => c{at}::call(function, call),\n");
            }
            arms += "_ => None,\n},\n";
        }
        text += "\nfn call(candidate: usize, function: u32, call: &mut ::llmc_rt::serve::Call<'_>) -> Option<()> {\n";
        text += &format!("match function {{\n{arms}}}\n}}\n\nfn main() {{\n    ::llmc_rt::serve(call)\n}}\n");
        Some(text)
    }

    /// The type of the function, as the server sees it; `None` where a value can't travel.
    fn pin(&self, wanted: &Wanted) -> Option<String> {
        let signature = &wanted.signature;
        let is_plain = signature.constness.is_none()
            && signature.asyncness.is_none()
            && signature.abi.is_none()
            && signature.variadic.is_none()
            && signature.generics.where_clause.is_none()
            && matches!(signature.safety, syn::Safety::Default);
        if !is_plain {
            return None;
        }
        let mut lifetimes = Vec::new();
        let mut is_static = false;
        for parameter in &signature.generics.params {
            let GenericParam::Lifetime(parameter) = parameter else { return None };
            let name = parameter.lifetime.to_string();
            let inputs = signature.inputs.to_token_stream().to_string().replace("' ", "'");
            // Neither can be left open in the type of a function pointer.
            let is_in_inputs =
                inputs.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '\'').any(|word| word == name);
            is_static |= !parameter.bounds.is_empty() || !is_in_inputs;
            lifetimes.push(name);
        }
        let mut context = Context { on: wanted.on.as_ref(), parameters: BTreeSet::new(), is_static };
        let mut inputs = Vec::new();
        for input in &signature.inputs {
            inputs.push(match input {
                FnArg::Receiver(receiver) => {
                    let on = self.types.text(wanted.on.as_ref()?, &context)?;
                    match &receiver.kind {
                        ReceiverKind::Reference(_, lifetime, mutability) => {
                            let lifetime = lifetime.as_ref().map(ToString::to_string).unwrap_or_default();
                            let mutability = if mutability.is_some() { "mut" } else { "" };
                            if is_static && mutability == "mut" {
                                return None;
                            }
                            format!("&{} {mutability} {on}", if is_static { "'static" } else { &lifetime })
                        }
                        ReceiverKind::Typed(..) => return None,
                        _ => on,
                    }
                }
                FnArg::Typed(typed) => self.argument(&typed.ty, &context)?,
            });
        }
        context.is_static = is_static;
        let output = match &signature.output {
            ReturnType::Default => String::new(),
            ReturnType::Type(_, ty) => format!(" -> {}", self.types.text(ty, &context)?),
        };
        let lifetimes = match lifetimes.is_empty() || is_static {
            true => String::new(),
            false => format!("for<{}> ", lifetimes.join(", ")),
        };
        Some(format!("{lifetimes}fn({}){output}", inputs.join(", ")))
    }

    fn argument(&self, ty: &Type, context: &Context<'_>) -> Option<String> {
        if contains_dyn(ty) {
            // Only its words would arrive.
            return None;
        }
        match (pass(ty), ty) {
            (Pass::Copied, _) => self.types.text(ty, context),
            (pass, Type::Reference(reference)) if !context.is_static => {
                let lifetime = reference.lifetime.as_ref().map(ToString::to_string).unwrap_or_default();
                let inner = match (pass, &*reference.elem) {
                    (Pass::ChangedSlice, Type::Slice(slice)) => format!("[{}]", self.types.text(&slice.elem, context)?),
                    (_, inner) => self.types.text(inner, context)?,
                };
                Some(format!("&{lifetime} mut {inner}"))
            }
            _ => None,
        }
    }

    /// What takes the arguments, calls `f`, and puts the result.
    fn glue(&self, wanted: &Wanted) -> Option<String> {
        let mut text = String::new();
        let mut arguments = Vec::new();
        let mut back = String::new();
        for (at, input) in wanted.signature.inputs.iter().enumerate() {
            let pass = match input {
                FnArg::Receiver(receiver) if matches!(receiver.kind, ReceiverKind::Reference(_, _, Some(_))) => {
                    Pass::Changed
                }
                FnArg::Receiver(_) => Pass::Copied,
                FnArg::Typed(typed) => pass(&typed.ty),
            };
            match pass {
                Pass::Copied => {
                    text += &format!("let a{at} = call.take::<crate::Local, _>()?;\n");
                    arguments.push(format!("a{at}"));
                }
                Pass::Changed => {
                    text += &format!("let mut a{at} = call.take::<crate::Local, _>()?;\n");
                    arguments.push(format!("&mut a{at}"));
                    back += &format!("call.put::<crate::Local, _>(&a{at});\n");
                }
                Pass::ChangedSlice => {
                    text += &format!("let mut a{at} = call.take::<crate::Local, ::std::vec::Vec<_>>()?;\n");
                    arguments.push(format!("&mut a{at}[..]"));
                    back += &format!("call.put::<crate::Local, _>(&a{at});\n");
                }
            }
        }
        text += &format!(
            "call.end()?;\ncall.make(|call| {{ let result = f({}); call.put::<crate::Local, _>(&result); }});\n{back}Some(())",
            arguments.join(", ")
        );
        Some(text)
    }
}

fn pattern(argument: FnArg) -> Option<Box<syn::Pat>> {
    match argument {
        FnArg::Typed(typed) => Some(typed.pat),
        FnArg::Receiver(_) => None,
    }
}

/// The wanted functions of an impl block.
fn methods<'b>(spec: &'b Spec, block: &'b syn::ItemImpl) -> impl Iterator<Item = &'b syn::ImplItemFn> {
    let stub = quote!({ ::core::unimplemented!() }).to_string();
    block.items.iter().filter_map(move |member| match member {
        syn::ImplItem::Fn(method)
            if method.block.to_token_stream().to_string() == stub
                && spec.interface.methods.iter().any(|wanted| method.sig.ident == wanted.function.name) =>
        {
            Some(method)
        }
        _ => None,
    })
}

/// How an argument of that type is passed.
fn pass(ty: &Type) -> Pass {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => match &*reference.elem {
            Type::Slice(_) => Pass::ChangedSlice,
            _ => Pass::Changed,
        },
        Type::Paren(inner) => pass(&inner.elem),
        Type::Group(inner) => pass(&inner.elem),
        _ => Pass::Copied,
    }
}

fn contains_dyn(ty: &Type) -> bool {
    quote!(#ty).into_iter().flat_map(flat).any(|word| word == "dyn")
}

fn flat(token: proc_macro2::TokenTree) -> Vec<String> {
    match token {
        proc_macro2::TokenTree::Group(group) => group.stream().into_iter().flat_map(flat).collect(),
        other => vec![other.to_string()],
    }
}

/// Whether a check asks what only the original value could answer.
fn asks_for_identity(spec: &Spec) -> bool {
    let mut texts: Vec<&str> = Vec::new();
    for Example { call, expect, .. } in &spec.examples {
        texts.push(&call.text);
        match expect {
            Expect::Returns(text) | Expect::Holds(text) | Expect::Matches(text) => texts.push(&text.text),
            Expect::Panics(_) => {}
        }
    }
    texts.extend([&spec.tests, &spec.hidden_tests].into_iter().flatten().map(|snippet| snippet.text.as_str()));
    for property in &spec.properties {
        texts.push(&property.holds.text);
        texts.extend(property.assume.as_ref().map(|snippet| snippet.text.as_str()));
    }
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    texts.iter().flat_map(|text| text.split(|letter| !is_word(letter))).any(|word| IDENTITY.contains(&word))
}

fn item_ident(item: &Item) -> Option<&syn::Ident> {
    match item {
        Item::Struct(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Const(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Static(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        _ => None,
    }
}
