//! Holding a parsed file against the interface: what is wanted is there, what is given is the spec's own.
//!
//! Adds `pub` and imports, drops tests and examples, and notes every change. It never changes a body.

use std::collections::{HashMap, HashSet};

use quote::ToTokens;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, Block, Expr, File, Generics, ImplItem, Item, ItemImpl, ItemUse, Stmt, Type, UseTree, Visibility,
    parse_quote,
};

use super::adapt::adapt;
use super::format_violation;
use super::names::{
    Leaf, attributes, free_names, leaves, mentioned, name_of, only_for_tests, plain, space_of, type_name,
};
use super::signature::{Scope, canonical};
use crate::spec::{Interface, Method};
use crate::verdict::Verdict;

/// A file that has everything the interface wants.
#[derive(Debug, Clone)]
pub(super) struct Conformed {
    /// The file: imports, given items, the rest.
    pub(super) file: File,
    /// What was changed.
    pub(super) notes: Vec<String>,
}

/// How near a function must be to the wanted signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It means the same.
    Exact,
    /// It means the same, or is adapted where only integer types differ: see `adapt`.
    Adapted,
}

/// Modules within modules that are unwrapped, at most.
const MAX_WRAPPERS: usize = 4;

/// Makes `file` conform to the interface, or says what is missing or different.
pub(super) fn conform(mut file: File, interface: &Interface, fit: Fit) -> Result<Conformed, Verdict> {
    let mut notes = Notes::default();
    let given = Given::of(interface);

    drop_inner_attributes(&mut file, &mut notes);
    unwrap_modules(&mut file, interface, &mut notes);
    drop_what_is_not_code(&mut file.items, interface, &mut notes);
    drop_imports_of_own(&mut file.items, &given, &mut notes);
    drop_given(&mut file.items, &given, &mut notes);

    let scope = scope_of(&file.items, &given, interface);
    check_functions(&mut file.items, interface, &scope, fit, &mut notes)?;
    check_types(&mut file.items, interface, &mut notes)?;
    check_methods(&mut file.items, interface, &given, &scope, &mut notes)?;
    drop_duplicates(&mut file.items, &mut notes);
    add_imports(&mut file.items, &given, interface, &mut notes);

    let (uses, rest): (Vec<Item>, Vec<Item>) =
        std::mem::take(&mut file.items).into_iter().partition(|item| matches!(item, Item::Use(_)));
    let (given_uses, given_rest): (Vec<Item>, Vec<Item>) =
        given.items.into_iter().partition(|item| matches!(item, Item::Use(_)));
    file.items = [uses, given_uses, given_rest, rest].concat();
    file.shebang = None;
    file.frontmatter = None;
    Ok(Conformed { file, notes: notes.list })
}

/// Whether a wanted function of the file is only a stub: an empty body where a result is due, `todo!()`.
pub(super) fn is_stub(file: &File, interface: &Interface) -> bool {
    let wanted: HashSet<&str> = interface.functions.iter().map(|function| function.name.as_str()).collect();
    let methods: HashSet<&str> = interface.methods.iter().map(|method| method.function.name.as_str()).collect();
    file.items.iter().any(|item| match item {
        Item::Fn(item) => wanted.contains(plain(&item.sig.ident).as_str()) && stub(&item.block, &item.sig.output),
        Item::Impl(item) => item.items.iter().any(|item| match item {
            ImplItem::Fn(item) => {
                methods.contains(plain(&item.sig.ident).as_str()) && stub(&item.block, &item.sig.output)
            }
            _ => false,
        }),
        _ => false,
    })
}

fn stub(block: &Block, output: &syn::ReturnType) -> bool {
    match block.stmts.as_slice() {
        [] => matches!(output, syn::ReturnType::Type(..)),
        [Stmt::Macro(statement)] => is_todo(&statement.mac),
        [Stmt::Expr(Expr::Macro(expression), _)] => is_todo(&expression.mac),
        _ => false,
    }
}

fn is_todo(mac: &syn::Macro) -> bool {
    mac.path.is_ident("todo") || mac.path.is_ident("unimplemented")
}

/// Removes doc comments, for comparing candidates.
pub(super) fn strip_docs(file: &mut File) {
    struct Strip;
    impl VisitMut for Strip {
        fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
            attributes.retain(|attribute| !attribute.path().is_ident("doc"));
        }
    }
    Strip.visit_file_mut(file);
}

/// Notes for people, each once, a bounded number.
#[derive(Default)]
struct Notes {
    list: Vec<String>,
    seen: HashSet<String>,
}

impl Notes {
    fn add(&mut self, note: impl Into<String>) {
        let note: String = note.into().chars().take(200).collect();
        if self.list.len() < 50 && self.seen.insert(note.clone()) {
            self.list.push(note);
        }
    }
}

/// The items that the interface gives.
struct Given {
    items: Vec<Item>,
    /// Names with their space (`type`, `value`, `macro`).
    names: HashSet<(String, &'static str)>,
    /// `(trait, type)` for each derive and each trait impl that is given.
    implemented: HashSet<(String, String)>,
    /// `(type, member)` for each member of a given inherent impl.
    members: HashSet<(String, String)>,
}

impl Given {
    fn of(interface: &Interface) -> Self {
        let items: Vec<Item> = interface
            .given
            .iter()
            .filter_map(|given| syn::parse_str::<File>(&given.source).ok())
            .flat_map(|file| file.items)
            .collect();
        let names = items.iter().filter_map(|item| Some((name_of(item)?, space_of(item)))).collect();
        let mut implemented = HashSet::new();
        let mut members = HashSet::new();
        for item in &items {
            if let Some(name) = name_of(item) {
                implemented.extend(derived(attributes(item)).into_iter().map(|derived| (derived, name.clone())));
            }
            if let Item::Impl(item) = item {
                implemented.extend(implementation(item));
                if let (None, Some(on)) = (&item.trait_, type_name(&item.self_ty)) {
                    members.extend(item.items.iter().filter_map(member_name).map(|member| (on.clone(), member)));
                }
            }
        }
        Self { items, names, implemented, members }
    }
}

fn member_name(item: &ImplItem) -> Option<String> {
    match item {
        ImplItem::Fn(item) => Some(plain(&item.sig.ident)),
        ImplItem::Const(item) => Some(plain(&item.ident)),
        _ => None,
    }
}

/// The last segments of the traits in `#[derive(…)]`.
fn derived(attributes: &[Attribute]) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let parsed = attribute
            .parse_args_with(syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated)
            .unwrap_or_default();
        found.extend(parsed.iter().filter_map(|path| path.segments.last().map(|segment| plain(&segment.ident))));
    }
    found
}

/// The trait and the type of `impl Trait for Type`, unless the trait has arguments other than `Self`.
fn implementation(item: &ItemImpl) -> Option<(String, String)> {
    let (path, _) = item.trait_.as_ref()?;
    let segment = path.segments.last()?;
    let on = type_name(&item.self_ty)?;
    let plain_arguments = match &segment.arguments {
        syn::PathArguments::None => true,
        syn::PathArguments::AngleBracketed(arguments) => arguments.args.iter().all(|argument| match argument {
            syn::GenericArgument::Type(ty) => type_name(ty).is_some_and(|name| name == "Self" || name == on),
            _ => false,
        }),
        syn::PathArguments::Parenthesized(_) => false,
    };
    plain_arguments.then(|| (plain(&segment.ident), on))
}

fn drop_inner_attributes(file: &mut File, notes: &mut Notes) {
    file.attrs.retain(|attribute| {
        let path = attribute.path();
        let harmless = ["allow", "warn", "expect", "deny", "forbid", "doc"].iter().any(|name| path.is_ident(name));
        if harmless && !path.is_ident("doc") {
            notes.add(format!("dropped `{}`", shortened(attribute)));
        }
        // Module docs stay; whatever else remains is for the policy to refuse.
        !harmless || path.is_ident("doc")
    });
}

fn shortened(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    if text.chars().count() > 60 { format!("{} …", text.chars().take(60).collect::<String>()) } else { text }
}

fn has_wanted(items: &[Item], interface: &Interface) -> bool {
    items.iter().any(|item| match item {
        Item::Fn(item) => interface.functions.iter().any(|function| item.sig.ident == function.name),
        Item::Impl(item) => interface.methods.iter().any(|method| {
            type_name(&item.self_ty).is_some_and(|name| name == method.on)
                && item
                    .items
                    .iter()
                    .any(|inner| matches!(inner, ImplItem::Fn(inner) if inner.sig.ident == method.function.name))
        }),
        _ => false,
    })
}

/// Takes the items out of `mod x { … }` where that is where the wanted ones are.
fn unwrap_modules(file: &mut File, interface: &Interface, notes: &mut Notes) {
    for _ in 0..MAX_WRAPPERS {
        if has_wanted(&file.items, interface) {
            return;
        }
        let holds_wanted = |item: &Item| match item {
            Item::Mod(module) if !only_for_tests(&module.attrs) => {
                module.content.as_ref().is_some_and(|(_, items)| reaches_wanted(items, interface, MAX_WRAPPERS))
            }
            _ => false,
        };
        let Some(index) = file.items.iter().position(holds_wanted) else { return };
        if let Item::Mod(module) = file.items.remove(index)
            && let Some((_, items)) = module.content
        {
            let name = plain(&module.ident);
            notes.add(format!("took the code out of `mod {name}`"));
            // What stood outside may name what was inside by the module's name; such uses fall away.
            file.items.retain(|item| {
                !matches!(item, Item::Use(item) if leaves(item).iter().all(|leaf| {
                    let path = leaf.path.iter().find(|segment| *segment != "self" && *segment != "crate");
                    path == Some(&name)
                }))
            });
            let rest = file.items.split_off(index.min(file.items.len()));
            file.items.extend(items);
            file.items.extend(rest);
        }
    }
}

fn reaches_wanted(items: &[Item], interface: &Interface, depth: usize) -> bool {
    has_wanted(items, interface)
        || depth > 0
            && items.iter().any(|item| match item {
                Item::Mod(module) => {
                    module.content.as_ref().is_some_and(|(_, items)| reaches_wanted(items, interface, depth - 1))
                }
                _ => false,
            })
}

/// Calls that stand outside of functions only when a usage example was pasted in.
const EXAMPLE_MACROS: &[&str] =
    &["println", "print", "eprintln", "eprint", "dbg", "assert", "assert_eq", "assert_ne", "todo", "unimplemented"];

fn drop_what_is_not_code(items: &mut Vec<Item>, interface: &Interface, notes: &mut Notes) {
    let wants_main = interface.functions.iter().any(|function| function.name == "main");
    items.retain(|item| {
        let dropped = if only_for_tests(attributes(item)) {
            Some("dropped tests".to_string())
        } else {
            match item {
                Item::Fn(item) if item.sig.ident == "main" && !wants_main => Some("dropped `fn main`".into()),
                Item::Mod(item) if item.content.is_some() && (item.ident == "tests" || item.ident == "test") => {
                    Some(format!("dropped `mod {}`", item.ident))
                }
                Item::ExternCrate(item) if item.rename.is_none() && (item.ident == "std" || item.ident == "core") => {
                    Some(format!("dropped `extern crate {}`", item.ident))
                }
                Item::Macro(item) if EXAMPLE_MACROS.iter().any(|name| item.mac.path.is_ident(name)) => {
                    Some(format!("dropped `{}!` outside of functions", shortened(&item.mac.path)))
                }
                // There is nothing above a candidate that it could see.
                Item::Use(item)
                    if leaves(item).iter().all(|leaf| leaf.glob && leaf.path.iter().all(|step| step == "super")) =>
                {
                    Some("dropped `use super::*`".into())
                }
                Item::Verbatim(tokens) if tokens.is_empty() => Some("dropped a stray `;`".into()),
                _ => None,
            }
        };
        if let Some(note) = &dropped {
            notes.add(note.clone());
        }
        dropped.is_none()
    });
    for item in items {
        if let Item::Impl(item) = item {
            item.items.retain(|inner| {
                let tests = matches!(inner, ImplItem::Fn(inner) if only_for_tests(&inner.attrs));
                if tests {
                    notes.add("dropped tests");
                }
                !tests
            });
        }
    }
}

fn drop_given(items: &mut Vec<Item>, given: &Given, notes: &mut Notes) {
    let own: HashMap<(String, &'static str), String> = given
        .items
        .iter()
        .filter_map(|item| Some(((name_of(item)?, space_of(item)), item.to_token_stream().to_string())))
        .collect();
    items.retain_mut(|item| {
        if let Item::Impl(item) = item {
            if let (None, Some(on)) = (&item.trait_, type_name(&item.self_ty)) {
                let before = item.items.len();
                item.items.retain(|inner| {
                    member_name(inner).is_none_or(|member| !given.members.contains(&(on.clone(), member)))
                });
                if item.items.len() < before {
                    notes.add(format!("dropped methods of `{on}` that the spec gives"));
                    return !item.items.is_empty();
                }
                return true;
            }
            let Some(pair) = implementation(item) else { return true };
            let given = given.implemented.contains(&pair);
            if given {
                notes.add(format!("dropped `impl {} for {}`: the spec gives it", pair.0, pair.1));
            }
            return !given;
        }
        let Some(key) = name_of(item).map(|name| (name, space_of(item))) else { return true };
        let Some(source) = own.get(&key) else { return true };
        if *source != item.to_token_stream().to_string() {
            notes.add(format!("the spec's own `{}` replaces the candidate's", key.0));
        }
        false
    });
    // A given name that is imported as well would be defined twice.
    remove_leaves(items, |leaf| {
        leaf.bound.as_ref().is_some_and(|name| {
            let clash = given.names.contains(&(name.clone(), "type"));
            if clash {
                notes.add(format!("dropped an import of `{name}`: the spec gives it"));
            }
            clash
        })
    });
}

/// Drops `use crate::Name` where `Name` is defined right here: the candidate is a module, not a crate.
fn drop_imports_of_own(items: &mut Vec<Item>, given: &Given, notes: &mut Notes) {
    let mut own: HashSet<String> = items.iter().filter_map(name_of).collect();
    own.extend(given.names.iter().map(|(name, _)| name.clone()));
    remove_leaves(items, |leaf| match (leaf.path.as_slice(), &leaf.bound) {
        ([root, name], Some(bound)) => {
            let own = matches!(root.as_str(), "crate" | "super" | "self") && name == bound && own.contains(name);
            if own {
                notes.add(format!("dropped an import of its own `{name}`"));
            }
            own
        }
        _ => false,
    });
}

/// Removes names from `use` lines, and lines that bring in nothing any more.
fn remove_leaves(items: &mut Vec<Item>, mut remove: impl FnMut(&Leaf) -> bool) {
    items.retain_mut(|item| {
        let Item::Use(item) = item else { return true };
        let mut verdicts = leaves(item).iter().map(&mut remove).collect::<Vec<_>>().into_iter();
        if verdicts.as_slice().iter().any(|removed| *removed) { prune(&mut item.tree, &mut verdicts) } else { true }
    });
}

/// Goes over the leaves in the order of [`leaves`]; whether anything is left.
fn prune(tree: &mut UseTree, verdicts: &mut std::vec::IntoIter<bool>) -> bool {
    match tree {
        UseTree::Path(inner) => prune(&mut inner.tree, verdicts),
        UseTree::Group(group) => {
            let kept: Vec<UseTree> = std::mem::take(&mut group.items)
                .into_iter()
                .filter_map(|mut tree| prune(&mut tree, verdicts).then_some(tree))
                .collect();
            group.items = kept.into_iter().collect();
            !group.items.is_empty()
        }
        _ => !verdicts.next().unwrap_or(false),
    }
}

fn scope_of(items: &[Item], given: &Given, interface: &Interface) -> Scope {
    let mut scope = Scope::default();
    let uses = interface.imports.iter().filter_map(|line| syn::parse_str::<ItemUse>(line).ok()).collect::<Vec<_>>();
    let own_uses = items.iter().chain(&given.items).filter_map(|item| match item {
        Item::Use(item) => Some(item),
        _ => None,
    });
    for leaf in uses.iter().chain(own_uses).flat_map(leaves) {
        if let Some(name) = leaf.bound
            && leaf.path.as_slice() != std::slice::from_ref(&name)
        {
            scope.imports.insert(name, leaf.path);
        }
    }
    let shared: HashSet<&str> = interface
        .wanted_types
        .iter()
        .map(String::as_str)
        .chain(given.names.iter().map(|(name, _)| name.as_str()))
        .collect();
    scope.own = items
        .iter()
        .filter(|item| space_of(item) == "type" && !matches!(item, Item::Use(_) | Item::Impl(_)))
        .filter_map(name_of)
        .filter(|name| !shared.contains(name.as_str()))
        .collect();
    scope
}

fn published(visibility: &mut Visibility, what: &str, notes: &mut Notes) {
    if !matches!(visibility, Visibility::Public(_)) {
        *visibility = parse_quote!(pub);
        notes.add(format!("added `pub` to {what}"));
    }
}

fn check_functions(
    items: &mut Vec<Item>,
    interface: &Interface,
    scope: &Scope,
    fit: Fit,
    notes: &mut Notes,
) -> Result<(), Verdict> {
    for wanted in &interface.functions {
        let found: Vec<usize> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| matches!(item, Item::Fn(item) if plain(&item.sig.ident) == wanted.name))
            .map(|(index, _)| index)
            .collect();
        if found.is_empty() {
            let names = items.iter().filter(|item| matches!(item, Item::Fn(_))).filter_map(name_of);
            return Err(missing(&format!("`fn {}`", wanted.name), &wanted.name, names));
        }
        let expected = wanted_signature(&wanted.signature).map(|signature| canonical(&signature, None, scope));
        let fits = |index: &usize| match &items[*index] {
            Item::Fn(item) => expected.as_ref().is_none_or(|expected| *expected == canonical(&item.sig, None, scope)),
            _ => false,
        };
        let chosen = found.iter().rev().copied().find(|index| fits(index));
        if fit == Fit::Adapted
            && chosen.is_none()
            && let [only] = found.as_slice()
            && let Some(signature) = wanted_signature(&wanted.signature)
            && let Some(adapted) = adapt(items, *only, &signature, scope)
        {
            adapted.into_iter().for_each(|note| notes.add(note));
            continue;
        }
        let Some(chosen) = chosen else {
            let got = match &items[found[found.len() - 1]] {
                Item::Fn(item) => spelled(&item.vis, &item.sig),
                _ => String::new(),
            };
            return Err(different(&wanted.signature, &got));
        };
        if let Item::Fn(item) = &mut items[chosen] {
            published(&mut item.vis, &format!("`fn {}`", wanted.name), notes);
        }
        if found.len() > 1 {
            notes.add(format!("dropped another `fn {}`", wanted.name));
            let mut index = 0;
            items.retain(|_| {
                let keep = index == chosen || !found.contains(&index);
                index += 1;
                keep
            });
        }
    }
    Ok(())
}

fn check_types(items: &mut [Item], interface: &Interface, notes: &mut Notes) -> Result<(), Verdict> {
    for wanted in &interface.wanted_types {
        add_derives(items, interface, wanted, notes);
        let mut defined = false;
        for item in items.iter_mut() {
            let (ident, visibility) = match item {
                Item::Struct(item) => (&item.ident, &mut item.vis),
                Item::Enum(item) => (&item.ident, &mut item.vis),
                Item::Union(item) => (&item.ident, &mut item.vis),
                Item::Type(item) => (&item.ident, &mut item.vis),
                _ => continue,
            };
            if plain(ident) == *wanted {
                published(visibility, &format!("`{wanted}`"), notes);
                defined = true;
            }
        }
        if !defined {
            let names = items.iter().filter(|item| space_of(item) == "type").filter_map(name_of);
            return Err(missing(&format!("a definition of `{wanted}`"), wanted, names));
        }
    }
    Ok(())
}

/// Adds the derives that the interface writes on a wanted type and the candidate neither has nor implements.
fn add_derives(items: &mut [Item], interface: &Interface, wanted: &str, notes: &mut Notes) {
    let Ok(file) = syn::parse_str::<File>(&interface.source.text) else { return };
    let asked = file.items.iter().find(|item| name_of(item).as_deref() == Some(wanted)).map(attributes);
    let mut missing = derived(asked.unwrap_or_default());
    for item in items.iter() {
        if name_of(item).as_deref() == Some(wanted) {
            let present = derived(attributes(item));
            missing.retain(|name| !present.contains(name));
        }
        if let Item::Impl(item) = item
            && let Some((of_trait, on)) = implementation(item)
            && on == wanted
        {
            missing.retain(|name| *name != of_trait);
        }
    }
    if missing.is_empty() {
        return;
    }
    let paths: Vec<syn::Ident> = missing.iter().filter_map(|name| syn::parse_str(name).ok()).collect();
    for item in items.iter_mut() {
        let (ident, attributes) = match item {
            Item::Struct(item) => (&item.ident, &mut item.attrs),
            Item::Enum(item) => (&item.ident, &mut item.attrs),
            _ => continue,
        };
        if plain(ident) == wanted {
            attributes.push(parse_quote!(#[derive(#(#paths),*)]));
            notes.add(format!("added `#[derive({})]` to `{wanted}`", missing.join(", ")));
            return;
        }
    }
}

fn check_methods(
    items: &mut [Item],
    interface: &Interface,
    given: &Given,
    scope: &Scope,
    notes: &mut Notes,
) -> Result<(), Verdict> {
    for wanted in &interface.methods {
        check_method(items, wanted, given, scope, notes)?;
    }
    Ok(())
}

fn check_method(
    items: &mut [Item],
    wanted: &Method,
    given: &Given,
    scope: &Scope,
    notes: &mut Notes,
) -> Result<(), Verdict> {
    let name = &wanted.function.name;
    let header = syn::parse_str::<ItemImpl>(&format!("{} {{}}", wanted.header)).ok();
    let of_trait = header.as_ref().and_then(trait_name);
    let expected = header
        .as_ref()
        .zip(wanted_signature(&wanted.function.signature))
        .map(|(header, signature)| canonical(&signature, Some((&header.generics, &header.self_ty)), scope));
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut near = Vec::new();
    for (block, item) in items.iter().enumerate() {
        let Item::Impl(item) = item else { continue };
        if type_name(&item.self_ty).as_ref() != Some(&wanted.on) || trait_name(item) != of_trait {
            continue;
        }
        for (index, inner) in item.items.iter().enumerate() {
            if let ImplItem::Fn(inner) = inner {
                if plain(&inner.sig.ident) == *name {
                    found.push((block, index));
                } else {
                    near.push(plain(&inner.sig.ident));
                }
            }
        }
    }
    let full = format!("{}::{name}", wanted.on);
    if found.is_empty() {
        // `#[derive(Default)]` is as good as `impl Default`.
        let on_type = |item: &&Item| name_of(item).as_ref() == Some(&wanted.on);
        if let Some(of_trait) = &of_trait
            && items.iter().chain(&given.items).filter(on_type).any(|item| derived(attributes(item)).contains(of_trait))
        {
            return Ok(());
        }
        return Err(missing(&format!("`{full}` (in `{}`)", wanted.header), name, near.into_iter()));
    }
    let place = |items: &[Item], (block, index): (usize, usize)| match &items[block] {
        Item::Impl(item) => match &item.items[index] {
            ImplItem::Fn(inner) => Some((item.generics.clone(), (*item.self_ty).clone(), inner.clone())),
            _ => None,
        },
        _ => None,
    };
    let fits = |place: &(Generics, Type, syn::ImplItemFn)| {
        let (generics, self_type, inner) = place;
        expected.as_ref().is_none_or(|expected| *expected == canonical(&inner.sig, Some((generics, self_type)), scope))
    };
    let chosen = found.iter().rev().copied().find(|at| place(items, *at).as_ref().is_some_and(fits));
    let Some(chosen) = chosen else {
        let got = found.last().and_then(|at| place(items, *at));
        let got = got.map(|(_, _, inner)| spelled(&inner.vis, &inner.sig)).unwrap_or_default();
        return Err(different(&format!("{} {{ {}; }}", wanted.header, wanted.function.signature), &got));
    };
    if of_trait.is_none()
        && let Item::Impl(item) = &mut items[chosen.0]
        && let ImplItem::Fn(inner) = &mut item.items[chosen.1]
    {
        published(&mut inner.vis, &format!("`{full}`"), notes);
    }
    // Others of the same name would clash; from the back, so that places stay right.
    for (block, index) in found.into_iter().rev().filter(|at| *at != chosen) {
        if of_trait.is_none()
            && let Item::Impl(item) = &mut items[block]
        {
            item.items.remove(index);
            notes.add(format!("dropped another `{full}`"));
        }
    }
    Ok(())
}

fn trait_name(item: &ItemImpl) -> Option<String> {
    item.trait_.as_ref().and_then(|(path, _)| path.segments.last()).map(|segment| plain(&segment.ident))
}

/// The signature of a wanted function, from its text.
fn wanted_signature(text: &str) -> Option<syn::Signature> {
    let item: syn::ItemFn = syn::parse_str(&format!("{} {{}}", text.trim().trim_end_matches(';'))).ok()?;
    Some(item.sig)
}

/// A signature as people write it.
fn spelled(visibility: &Visibility, signature: &syn::Signature) -> String {
    let raw = signature.to_token_stream().to_string();
    if raw.len() > 2000 {
        return raw.chars().take(300).collect::<String>() + " …";
    }
    let visibility = if matches!(visibility, Visibility::Public(_)) { visibility } else { &Visibility::Inherited };
    spaced(&format!("{} {raw}", visibility.to_token_stream()))
}

fn missing(what: &str, name: &str, names: impl Iterator<Item = String>) -> Verdict {
    let near = names
        .take(200)
        .map(|other| (strsim::normalized_damerau_levenshtein(&short(&other), &short(name)), other))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    let near = near.map(|(_, name)| format!("; there is `{name}`")).unwrap_or_default();
    format_violation("missing-item", format!("{what} is missing{near}"))
}

fn short(name: &str) -> String {
    name.chars().take(100).collect::<String>().to_lowercase()
}

fn different(wanted: &str, got: &str) -> Verdict {
    format_violation("signature", format!("the signature differs\n  wanted: {wanted}\n     got: {got}"))
}

/// Of items that define the same thing the last stays, in its place.
fn drop_duplicates(items: &mut Vec<Item>, notes: &mut Notes) {
    let mut seen: HashSet<(String, &'static str)> = HashSet::new();
    let mut keep = vec![true; items.len()];
    for (index, item) in items.iter().enumerate().rev() {
        let key = match item {
            Item::Impl(item) => {
                if item.items.is_empty() && item.trait_.is_none() {
                    keep[index] = false;
                    continue;
                }
                item.trait_.as_ref().map(|(path, _)| {
                    let header = format!("{} for {}", path.to_token_stream(), item.self_ty.to_token_stream());
                    (header, "impl")
                })
            }
            // Macros may be defined again on purpose.
            Item::Macro(_) => None,
            item => name_of(item).filter(|name| name != "_").map(|name| (name, space_of(item))),
        };
        if let Some(key) = key
            && !seen.insert(key.clone())
        {
            keep[index] = false;
            notes.add(format!("dropped another `{}`", key.0));
        }
    }
    let mut kept = keep.into_iter();
    items.retain(|_| kept.next().unwrap_or(true));

    // The same method twice in inherent blocks of one type.
    let mut methods: HashSet<(String, String)> = HashSet::new();
    for item in items.iter_mut().rev() {
        let Item::Impl(item) = item else { continue };
        if item.trait_.is_some() {
            continue;
        }
        let on = item.self_ty.to_token_stream().to_string();
        let mut kept: Vec<ImplItem> = Vec::with_capacity(item.items.len());
        for inner in std::mem::take(&mut item.items).into_iter().rev() {
            let twice = match &inner {
                ImplItem::Fn(inner) => !methods.insert((on.clone(), plain(&inner.sig.ident))),
                _ => false,
            };
            if twice {
                notes.add(format!("dropped another method of `{on}`"));
            } else {
                kept.push(inner);
            }
        }
        kept.reverse();
        item.items = kept;
    }

    let mut imported: HashSet<Leaf> = HashSet::new();
    remove_leaves(items, |leaf| !imported.insert(Leaf { absolute: false, ..leaf.clone() }));
}

/// Adds the interface's imports for names that the file neither imports nor defines.
fn add_imports(items: &mut Vec<Item>, given: &Given, interface: &Interface, notes: &mut Notes) {
    let mut bound: HashSet<String> = items.iter().chain(&given.items).filter_map(name_of).collect();
    for item in items.iter().chain(&given.items) {
        if let Item::Use(item) = item {
            bound.extend(leaves(item).into_iter().filter_map(|leaf| leaf.bound));
        }
    }
    let mut names: HashSet<String> = HashSet::new();
    for item in items.iter().chain(&given.items) {
        names.extend(free_names(item));
    }
    // An import that the interface writes itself may be a trait, which works without being named.
    let (use_lines, rest): (Vec<&str>, Vec<&str>) = interface
        .source
        .text
        .lines()
        .partition(|line| line.trim_start().trim_start_matches("pub ").starts_with("use "));
    let idents = |lines: &[&str]| -> HashSet<String> {
        lines.join("\n").parse::<proc_macro2::TokenStream>().map(|tokens| mentioned(&tokens)).unwrap_or_default()
    };
    let (written, in_signatures) = (idents(&use_lines), idents(&rest));
    let mut added = Vec::new();
    for line in &interface.imports {
        let Ok(import) = syn::parse_str::<ItemUse>(line) else { continue };
        let mut wanted = vec![Item::Use(import)];
        remove_leaves(&mut wanted, |leaf| match &leaf.bound {
            // Whatever nobody mentions needs no import.
            Some(name) => {
                let may_be_trait = written.contains(name) && !in_signatures.contains(name);
                bound.contains(name) || !(names.contains(name) || may_be_trait)
            }
            None => false,
        });
        for item in wanted {
            if let Item::Use(item) = &item {
                bound.extend(leaves(item).into_iter().filter_map(|leaf| leaf.bound));
                notes.add(format!("added `{}`", spaced(&item.to_token_stream().to_string())));
            }
            added.push(item);
        }
    }
    let at = items.iter().take_while(|item| matches!(item, Item::Use(_))).count();
    items.splice(at..at, added);
}

/// Tokens spaced as people write them, near enough for a message.
fn spaced(tokens: &str) -> String {
    let tight = [
        (" :: ", "::"),
        (":: ", "::"),
        (" ;", ";"),
        (" ,", ","),
        ("{ ", "{"),
        (" }", "}"),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        (" (", "("),
        (" : ", ": "),
        ("& ", "&"),
        (" < ", "<"),
        (" >", ">"),
        ("' ", "'"),
    ];
    let text = tight.iter().fold(tokens.trim().to_string(), |text, (loose, tight)| text.replace(loose, tight));
    text.replace("->(", "-> (").replace(":(", ": (").replace(",(", ", (")
}
