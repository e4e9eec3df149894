//! The two sides of the channel between a spec's checks and a candidate, as Rust text. Pure.
//!
//! [`library`] is a crate `generated` that holds no candidate: what the spec gives, and for each wanted function a proxy
//! that has another process make the call. [`server`] is the program of that other process. Values are written and read
//! by `runtime/wire.rs`. A type that can't travel without a difference that a check could see makes it all `None`.

mod callables;
mod types;

pub use callables::{Callable, Callables, Fields, Given, Input, callables};

use std::collections::BTreeMap;

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
const IDENTITY: [&str; 22] = [
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
    "type_name",
    "size_of",
    "size_of_val",
    "align_of",
    "needs_drop",
    "Send",
    "Sync",
    "UnwindSafe",
    "ptr",
];
/// What a check could do with a proxy of an object that only some objects allow.
const THREADS: [&str; 3] = ["spawn", "scope", "static"];

/// A wanted function.
struct Wanted {
    /// Its name, or its path as the server writes it where it is a method.
    path: String,
    /// The type of the impl block it is in.
    on: Option<Type>,
    /// The types of that block.
    associated: BTreeMap<String, Type>,
    signature: syn::Signature,
}

/// Methods of the standard library's traits whose arguments can't travel: what is called in their place, and how the
/// proxy makes of it what is wanted.
const SPECIAL: [(&str, &str, &str); 3] = [
    ("fmt::Debug", "debug", FORMAT),
    ("fmt::Display", "display", FORMAT),
    ("hash::Hash", "hash", "{ let llmc_hash: u64 = BODY; ::core::hash::Hasher::write_u64(llmc_1, llmc_hash); }"),
];
const FORMAT: &str = "{ let llmc_out = llmc_1; let llmc_1 = llmc_out.alternate(); \
     let llmc_text: ::core::result::Result<::std::string::String, ::core::fmt::Error> = BODY; \
     match llmc_text { ::core::result::Result::Ok(llmc_text) => llmc_out.write_str(&llmc_text), \
     ::core::result::Result::Err(llmc_error) => ::core::result::Result::Err(llmc_error) } }";

/// What a derive on a wanted type promises.
const DERIVES: [(&str, &str); 8] = [
    ("Clone", "impl ::core::clone::Clone for TYPE { fn clone(&self) -> Self STUB }"),
    ("Default", "impl ::core::default::Default for TYPE { fn default() -> Self STUB }"),
    ("PartialEq", "impl ::core::cmp::PartialEq for TYPE { fn eq(&self, other: &Self) -> bool STUB }"),
    ("Eq", "impl ::core::cmp::Eq for TYPE {}"),
    (
        "PartialOrd",
        "impl ::core::cmp::PartialOrd for TYPE { \
         fn partial_cmp(&self, other: &Self) -> ::core::option::Option<::core::cmp::Ordering> STUB }",
    ),
    ("Ord", "impl ::core::cmp::Ord for TYPE { fn cmp(&self, other: &Self) -> ::core::cmp::Ordering STUB }"),
    ("Hash", "impl ::core::hash::Hash for TYPE { fn hash<H: ::core::hash::Hasher>(&self, state: &mut H) STUB }"),
    (
        "Debug",
        "impl ::core::fmt::Debug for TYPE { \
         fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result STUB }",
    ),
];
const STUB: &str = "{ ::core::unimplemented!() }";

/// How an argument is passed.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// By value, or a reference that can't change it.
    Copied,
    /// `&mut T`.
    Changed,
    /// `&mut [T]`.
    ChangedSlice,
    /// A reference to an object, which stays where it is.
    Lent,
    /// `&mut` of an object.
    LentForChanges,
    /// By value, with an object in it: it is the candidate's from then on.
    Given,
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
        if asks_for_identity(spec) {
            return None;
        }
        let stub = interface.stub();
        check_bounds(&stub).ok()?;
        let mut items = syn::parse_file(&stub).ok()?.items;
        for given in &interface.given {
            let given: Item = syn::parse_str(&given.source).ok()?;
            let is_known = |item: &Item| item_ident(&given).is_none_or(|ident| item_ident(item) == Some(ident));
            if !items.iter().any(is_known) {
                items.push(given);
            }
        }
        let derived = derived(&items, &interface.wanted_types)?;
        let methods_due = interface.methods.len() + derived.iter().map(|block| methods(block).count()).sum::<usize>();
        items.extend(derived.into_iter().map(Item::Impl));
        let types = Types::new(&items, &interface.imports, &interface.wanted_types);
        let mut wanted = Vec::new();
        for item in &items {
            match item {
                Item::Fn(item) if interface.functions.iter().any(|function| item.sig.ident == function.name) => {
                    let (path, signature) = (item.sig.ident.to_string(), item.sig.clone());
                    wanted.push(Wanted { path, on: None, associated: BTreeMap::new(), signature });
                }
                Item::Impl(block) => {
                    for method in methods(block) {
                        wanted.push(method_of(block, method, &types)?);
                    }
                }
                // What changes there in one process does not change in the other.
                Item::Static(_) => return None,
                _ => {}
            }
        }
        let is_whole = wanted.len() == interface.functions.len() + methods_due;
        let is_formatted = wanted.iter().any(|wanted| wanted.signature.ident == "fmt");
        if !is_whole || wanted.is_empty() || is_formatted && asks_for_a_format(spec) {
            return None;
        }
        Some(Self { spec, items, wanted, types })
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
                    let body = self.proxy(number, &mut item.sig, None)?;
                    item.block = syn::parse_str(&body).ok()?;
                    number += 1;
                }
                Item::Impl(block) => {
                    let on = (*block.self_ty).clone();
                    let special = block.trait_.as_ref().and_then(|(path, _)| self.types.special(path));
                    for member in &mut block.items {
                        let syn::ImplItem::Fn(method) = member else { continue };
                        if !is_stub(method) {
                            continue;
                        }
                        let mut signature = self.wanted.get(number)?.signature.clone();
                        let mut body = self.proxy(number, &mut signature, Some(&on))?;
                        match special {
                            None => method.sig = signature,
                            Some((_, _, with)) => {
                                rename(&mut method.sig)?;
                                body = with.replace("BODY", &body);
                            }
                        }
                        method.block = syn::parse_str(&body).ok()?;
                        number += 1;
                    }
                }
                Item::Struct(item) if self.types.is_wanted(&item.ident) => {
                    let (visibility, name) = (item.vis.to_token_stream(), &item.ident);
                    text += &format!(
                        "{visibility} struct {name}(::llmc_rt::caller::Object);\n\
                         impl {WIRE}::Encode<crate::Local> for {name} {{\n\
                         fn encode(&self, out: &mut {WIRE}::Encoder) {{ self.0.encode(out) }}\n}}\n\
                         impl {WIRE}::Decode<crate::Local> for {name} {{\n\
                         fn decode(input: &mut {WIRE}::Decoder<'_>) -> ::core::option::Option<Self> {{\n\
                         ::llmc_rt::caller::Object::decode(input).map(Self)\n}}\n}}\n"
                    );
                    continue;
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
    fn proxy(&self, number: usize, signature: &mut syn::Signature, on: Option<&Type>) -> Option<String> {
        let mut body = format!("{{ let mut llmc_call = ::llmc_rt::caller::Call::new({number});\n");
        let mut back = String::new();
        let mut store = String::new();
        let passes: Vec<Pass> = signature.inputs.iter().map(|input| self.pass(input, on)).collect();
        rename(signature)?;
        for (at, (input, pass)) in signature.inputs.iter().zip(passes).enumerate() {
            let name = if matches!(input, FnArg::Receiver(_)) { "self".to_owned() } else { format!("llmc_{at}") };
            let (put, restore) = match pass {
                Pass::Copied | Pass::Lent => (format!("&{name}"), String::new()),
                Pass::LentForChanges => (format!("&*{name}"), String::new()),
                Pass::Changed => (format!("&*{name}"), format!("*{name} = llmc_back_{at};\n")),
                Pass::ChangedSlice => {
                    (format!("&*{name}"), format!("::llmc_rt::caller::put_back({name}, llmc_back_{at});\n"))
                }
                Pass::Given => {
                    body += &format!("let llmc_given_{at} = ::core::mem::ManuallyDrop::new({name});\n");
                    (format!("&*llmc_given_{at}"), String::new())
                }
            };
            body += &format!("llmc_call.put::<crate::Local, _>({put});\n");
            if !restore.is_empty() {
                back += &format!("let llmc_back_{at} = llmc_answer.take::<crate::Local, _>();\n");
            }
            store += &restore;
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
            let glue = self.glue(wanted);
            if pin.contains(GIVEN) || wanted.on.is_some() {
                let path = if wanted.on.is_some() { String::new() } else { format!("{GIVEN}::") };
                own_arms += &format!("{number} => {{ let f: {pin} = {path}{};\n{glue} }}\n", wanted.path);
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
                for name in &self.spec.interface.wanted_types {
                    own += &format!(
                        "impl {WIRE}::Encode<crate::Local> for {GIVEN}::{name} {{\n\
                         fn encode(&self, out: &mut {WIRE}::Encoder) {{ unsafe {{ ::llmc_rt::serve::keep(self, out) }} }}\n}}\n\
                         impl {WIRE}::Decode<crate::Local> for {GIVEN}::{name} {{\n\
                         fn decode(input: &mut {WIRE}::Decoder<'_>) -> Option<Self> {{ ::llmc_rt::serve::give(input) }}\n}}\n"
                    );
                }
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
        // A method of `From<&str>` is one of `From<&'static str>` or of another, never of all.
        let mut is_static = wanted.path.contains('&');
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
        // Without a receiver, what is left out in the output would mean the one reference among the arguments.
        let (mut borrows, mut has_self) = (0, false);
        for input in &signature.inputs {
            let text = input.to_token_stream().to_string();
            borrows += usize::from(text.contains('&') || text.contains('\''));
            has_self |= matches!(input, FnArg::Receiver(_)) && text.contains('&');
        }
        let output = signature.output.to_token_stream().to_string();
        is_static |= has_self && borrows > 1 && (output.contains('&') || output.contains('\''));
        let on = wanted.on.as_ref();
        let context = Context::new(on, wanted.associated.clone(), is_static);
        let mut inputs = Vec::new();
        for input in &signature.inputs {
            let pass = self.pass(input, on);
            if is_static && matches!(pass, Pass::Changed | Pass::ChangedSlice) {
                return None;
            }
            inputs.push(match input {
                FnArg::Receiver(receiver) => {
                    let on = self.types.text(on?, &context)?;
                    match &receiver.kind {
                        ReceiverKind::Reference(_, lifetime, mutability) => {
                            let lifetime = types::lifetime_of(lifetime.as_ref(), &context);
                            let mutability = if mutability.is_some() { "mut" } else { "" };
                            format!("&{lifetime} {mutability} {on}")
                        }
                        ReceiverKind::Typed(..) => return None,
                        _ => on,
                    }
                }
                FnArg::Typed(typed) => self.argument(&typed.ty, pass, &context)?,
            });
        }
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

    fn argument(&self, ty: &Type, pass: Pass, context: &Context<'_>) -> Option<String> {
        if contains_dyn(ty) {
            // Only its words would arrive.
            return None;
        }
        let reference = match ty {
            Type::Reference(reference) if !matches!(pass, Pass::Copied | Pass::Given) => reference,
            _ => return self.types.text(ty, context).filter(|_| matches!(pass, Pass::Copied | Pass::Given)),
        };
        let lifetime = types::lifetime_of(reference.lifetime.as_ref(), context);
        let mutability = if pass == Pass::Lent { "" } else { "mut" };
        let inner = match &*reference.elem {
            Type::Slice(slice) => format!("[{}]", self.types.text(&slice.elem, &context.borrowed())?),
            inner if matches!(pass, Pass::Lent | Pass::LentForChanges) => self.types.text(inner, context)?,
            inner => self.types.text(inner, &context.borrowed())?,
        };
        Some(format!("&{lifetime} {mutability} {inner}"))
    }

    /// How an argument is passed.
    fn pass(&self, input: &FnArg, on: Option<&Type>) -> Pass {
        let changed = |is_object| if is_object { Pass::LentForChanges } else { Pass::Changed };
        let copied = |is_object| if is_object { Pass::Lent } else { Pass::Copied };
        match input {
            FnArg::Receiver(receiver) => {
                let is_object = on.is_some_and(|on| self.types.is_object(on, None));
                match &receiver.kind {
                    ReceiverKind::Reference(_, _, Some(_)) => changed(is_object),
                    ReceiverKind::Reference(..) => copied(is_object),
                    _ if is_object => Pass::Given,
                    _ => Pass::Copied,
                }
            }
            FnArg::Typed(typed) => match &*typed.ty {
                Type::Reference(reference) => {
                    let is_object = self.types.is_object(&reference.elem, on);
                    match (&*reference.elem, reference.mutability) {
                        (Type::Slice(_), Some(_)) => Pass::ChangedSlice,
                        (_, Some(_)) => changed(is_object),
                        (_, None) => copied(is_object),
                    }
                }
                ty if self.types.holds_object(ty, on) => Pass::Given,
                _ => Pass::Copied,
            },
        }
    }

    /// What takes the arguments, calls `f`, and writes the result.
    fn glue(&self, wanted: &Wanted) -> String {
        let mut text = String::new();
        let mut arguments = Vec::new();
        let mut back = String::new();
        // Without `?`, which would be compiled for each type.
        let decode = format!("{WIRE}::Decode::<crate::Local>::decode(&mut call.input) else {{ return None }}");
        let encode = |value: &str| format!("{WIRE}::Encode::<crate::Local>::encode(&{value}, &mut call.out);\n");
        for (at, input) in wanted.signature.inputs.iter().enumerate() {
            match self.pass(input, wanted.on.as_ref()) {
                Pass::Copied | Pass::Given => {
                    text += &format!("let Some(a{at}) = {decode};\n");
                    arguments.push(format!("a{at}"));
                }
                pass @ (Pass::Lent | Pass::LentForChanges) => {
                    let lend = if pass == Pass::Lent { "lend" } else { "lend_mut" };
                    text += &format!(
                        "let Some(a{at}) = ::llmc_rt::serve::{lend}(&mut call.input) else {{ return None }};\n"
                    );
                    arguments.push(format!("a{at}"));
                }
                Pass::Changed => {
                    text += &format!("let Some(mut a{at}) = {decode};\n");
                    arguments.push(format!("&mut a{at}"));
                    back += &encode(&format!("a{at}"));
                }
                Pass::ChangedSlice => {
                    text += &format!("let Some::<::std::vec::Vec<_>>(mut a{at}) = {decode};\n");
                    arguments.push(format!("&mut a{at}[..]"));
                    back += &encode(&format!("a{at}"));
                }
            }
        }
        let is_object = match &wanted.signature.output {
            ReturnType::Default => false,
            ReturnType::Type(_, ty) => self.types.holds_object(ty, wanted.on.as_ref()),
        };
        // Objects move out of the result as it is written.
        let make = match is_object {
            true => format!(
                "let result = ::core::mem::ManuallyDrop::new(f({}));\n{}",
                arguments.join(", "),
                encode("*result")
            ),
            false => format!("let result = f({});\n{}", arguments.join(", "), encode("result")),
        };
        text += "call.begin()?;\n";
        // Who may change nothing needs no care of its own: the whole call is undone when it panics.
        match back.is_empty() {
            true => text += &format!("{make}Some(())"),
            false => text += &format!("call.make(|call| {{\n{make}}});\n{back}Some(())"),
        }
        text
    }
}

/// Gives the arguments of a proxy names of its own.
fn rename(signature: &mut syn::Signature) -> Option<()> {
    for (at, input) in signature.inputs.iter_mut().enumerate() {
        match input {
            FnArg::Receiver(receiver) => {
                if !matches!(receiver.kind, ReceiverKind::Reference(..)) {
                    receiver.mutability = None;
                }
            }
            FnArg::Typed(typed) => match syn::parse_str(&format!("llmc_{at}: ()")).ok()? {
                FnArg::Typed(named) => typed.pat = named.pat,
                FnArg::Receiver(_) => return None,
            },
        }
    }
    Some(())
}

/// A method of an impl block, as something to call.
fn method_of(block: &syn::ItemImpl, method: &syn::ImplItemFn, types: &Types) -> Option<Wanted> {
    if !block.generics.params.is_empty() {
        return None;
    }
    let name = types.name_of(&block.self_ty)?;
    let on = (*block.self_ty).clone();
    let associated: BTreeMap<String, Type> = block
        .items
        .iter()
        .filter_map(|item| match item {
            syn::ImplItem::Type(item) => Some((item.ident.to_string(), item.ty.clone())),
            _ => None,
        })
        .collect();
    let ident = &method.sig.ident;
    let mut signature = method.sig.clone();
    let path = match &block.trait_ {
        None => format!("{GIVEN}::{name}::{ident}"),
        Some((path, _)) => match types.special(path) {
            Some((_, call, _)) => {
                let text = match *call {
                    "hash" => "fn hash(&self) -> u64",
                    _ => {
                        "fn fmt(&self, is_alternate: bool) -> \
                         ::core::result::Result<::std::string::String, ::core::fmt::Error>"
                    }
                };
                signature = syn::parse_str(text).ok()?;
                format!("::llmc_rt::serve::{call}::<{GIVEN}::{name}>")
            }
            None => {
                let context = Context::new(Some(&on), associated.clone(), false);
                format!("<{GIVEN}::{name} as {}>::{ident}", types.trait_path(path, &context)?)
            }
        },
    };
    Some(Wanted { path, on: Some(on), associated, signature })
}

/// Impl blocks for what the wanted types derive.
fn derived(items: &[Item], wanted: &[String]) -> Option<Vec<syn::ItemImpl>> {
    let mut blocks = Vec::new();
    for item in items {
        let Item::Struct(item) = item else { continue };
        if !wanted.iter().any(|name| item.ident == name) {
            continue;
        }
        if !item.generics.params.is_empty() {
            return None;
        }
        for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            let parser = syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated;
            for path in attribute.parse_args_with(parser).ok()? {
                let name = path.get_ident()?.to_string();
                let (_, text) = DERIVES.iter().find(|(derive, _)| *derive == name)?;
                let text = text.replace("TYPE", &item.ident.to_string()).replace("STUB", STUB);
                blocks.push(syn::parse_str(&text).ok()?);
            }
        }
    }
    Some(blocks)
}

/// Whether the body of a method is wanted.
fn is_stub(method: &syn::ImplItemFn) -> bool {
    syn::parse_str::<syn::Block>(STUB).is_ok_and(|stub| stub == method.block)
}

/// The wanted functions of an impl block.
fn methods(block: &syn::ItemImpl) -> impl Iterator<Item = &syn::ImplItemFn> {
    block.items.iter().filter_map(|member| match member {
        syn::ImplItem::Fn(method) if is_stub(method) => Some(method),
        _ => None,
    })
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
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let has_objects = !spec.interface.wanted_types.is_empty();
    let texts = check_texts(spec);
    let mut words = texts.iter().flat_map(|text| text.split(|letter| !is_word(letter)));
    words.any(|word| IDENTITY.contains(&word) || has_objects && THREADS.contains(&word))
}

/// Whether a check may format a value with more than `{}`, `{:?}` and their `#`: a proxy passes on no more.
fn asks_for_a_format(spec: &Spec) -> bool {
    check_texts(spec).iter().flat_map(|text| text.split('{').skip(1)).any(|rest| {
        let Some((before, after)) = rest.split_once('}').and_then(|(inside, _)| inside.split_once(':')) else {
            return false;
        };
        let is_name = before.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        is_name && !["", "?", "#?", "#"].contains(&after)
    }) || check_texts(spec).iter().any(|text| text.contains("Formatter"))
}

fn check_texts(spec: &Spec) -> Vec<&str> {
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
    texts
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(interface: &str) -> Spec {
        let text = format!(
            "llmc: 1\nname: it\ndescription: x\ninterface: |\n{interface}\nexamples:\n  - {{ call: \"f()\", returns: \"1\" }}\n"
        );
        crate::spec::parse("specs/it.yaml", "it", text.as_bytes()).expect("a spec").0
    }

    #[test]
    fn an_error_in_the_server_is_blamed_on_the_candidate_of_its_line() {
        let spec = spec("  pub enum Kind { One }\n  pub fn f() -> u8;\n  pub fn g() -> Kind;");
        let text = server(&spec, &["k3::it".into(), "k7::it".into()]);
        let line = |part: &str| 1 + text.lines().position(|line| line.contains(part)).expect("it is there");
        assert_eq!(blamed(&text, line("::generated::k3::it::f")), Some(0));
        assert_eq!(blamed(&text, line("use ::generated::k7::it as")), Some(1));
        assert_eq!((blamed(&text, line("fn main()")), blamed(&text, 0), blamed(&text, 1 << 20)), (None, None, None));
    }

    #[test]
    fn where_values_cannot_travel_there_is_no_program() {
        let spec = spec("  pub fn f<T>(t: T);");
        assert_eq!((library(&spec), server(&spec, &[]).as_str()), (None, ""));
    }
}
