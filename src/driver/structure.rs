//! What changed in a program as a whole: its signatures, its items, its size. Pure; reads Rust, runs none.

use quote::ToTokens as _;
use serde::Serialize;
use syn::Item;

use crate::syntax::{check_bounds, deep};

/// The change from one program to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Structure {
    /// Functions that others can call whose signature changed: before and after, as one line each.
    pub signatures: Vec<(String, String)>,
    /// Items that only the new program has.
    pub added: Vec<String>,
    /// Items that only the old program has.
    pub removed: Vec<String>,
    /// Items that both have, and not the same.
    pub changed: Vec<String>,
    /// Items that are the same but for layout and comments.
    pub same: usize,
    /// Lines of code, before and after.
    pub lines: (usize, usize),
    /// Bytes of code, before and after.
    pub bytes: (usize, usize),
}

/// An item as it is compared.
struct Part {
    name: String,
    /// Its tokens without comments.
    tokens: String,
    /// Its signature, where it is a function that others can call.
    signature: Option<String>,
}

/// What changed between two sources; `None` where one does not parse.
pub(super) fn structure(old: &str, new: &str) -> Option<Structure> {
    deep(|| {
        let (before, after) = (parts(old)?, parts(new)?);
        let size = |text: &str| (text.lines().filter(|line| !line.trim().is_empty()).count(), text.len());
        let ((old_lines, old_bytes), (new_lines, new_bytes)) = (size(old), size(new));
        let mut found =
            Structure { lines: (old_lines, new_lines), bytes: (old_bytes, new_bytes), ..Structure::default() };
        for part in &after {
            match before.iter().find(|other| other.name == part.name) {
                None => found.added.push(part.name.clone()),
                Some(other) if other.tokens == part.tokens => found.same += 1,
                Some(other) => {
                    found.changed.push(part.name.clone());
                    if let (Some(before), Some(after)) = (&other.signature, &part.signature)
                        && before != after
                    {
                        found.signatures.push((before.clone(), after.clone()));
                    }
                }
            }
        }
        let gone = before.iter().filter(|part| !after.iter().any(|other| other.name == part.name));
        found.removed = gone.map(|part| part.name.clone()).collect();
        Some(found)
    })
}

fn parts(source: &str) -> Option<Vec<Part>> {
    check_bounds(source).ok()?;
    let file = syn::parse_file(source).ok()?;
    let mut parts: Vec<Part> = Vec::new();
    for mut item in file.items {
        undocumented(&mut item);
        let signature = match &item {
            Item::Fn(item) if matches!(item.vis, syn::Visibility::Public(_)) => {
                Some(one_line(&format!("pub {}", item.sig.to_token_stream())))
            }
            _ => None,
        };
        let mut name = name(&item);
        // Two blocks for one type are told apart by their order.
        let before = parts.iter().filter(|part| part.name.split(" #").next() == Some(&name)).count();
        if before > 0 {
            name = format!("{name} #{}", before + 1);
        }
        parts.push(Part { name, tokens: item.to_token_stream().to_string(), signature });
    }
    Some(parts)
}

/// Takes doc comments off an item.
fn undocumented(item: &mut Item) {
    let attributes = match item {
        Item::Fn(item) => &mut item.attrs,
        Item::Struct(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        Item::Const(item) => &mut item.attrs,
        Item::Type(item) => &mut item.attrs,
        Item::Trait(item) => &mut item.attrs,
        _ => return,
    };
    attributes.retain(|attribute| !attribute.path().is_ident("doc"));
}

fn name(item: &Item) -> String {
    match item {
        Item::Fn(item) => format!("fn {}", item.sig.ident),
        Item::Struct(item) => format!("struct {}", item.ident),
        Item::Enum(item) => format!("enum {}", item.ident),
        Item::Const(item) => format!("const {}", item.ident.to_token_stream()),
        Item::Static(item) => format!("static {}", item.ident),
        Item::Type(item) => format!("type {}", item.ident),
        Item::Trait(item) => format!("trait {}", item.ident),
        Item::Mod(item) => format!("mod {}", item.ident),
        Item::Union(item) => format!("union {}", item.ident),
        Item::Use(item) => one_line(&item.to_token_stream().to_string()).trim_end_matches(';').to_owned(),
        Item::Impl(item) => {
            let on = one_line(&item.self_ty.to_token_stream().to_string());
            match &item.trait_ {
                Some((path, _)) => format!("impl {} for {on}", one_line(&path.to_token_stream().to_string())),
                None => format!("impl {on}"),
            }
        }
        Item::Macro(item) => match &item.ident {
            Some(name) => format!("macro {name}"),
            None => "a macro call".to_owned(),
        },
        _ => "an item".to_owned(),
    }
}

/// Tokens as a person writes them.
fn one_line(tokens: &str) -> String {
    let mut text = tokens.split_whitespace().collect::<Vec<_>>().join(" ");
    for (loose, tight) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" < ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" : ", ": "),
        (" ;", ";"),
        ("[ ", "["),
        (" ]", "]"),
        (",)", ")"),
        ("' ", "'"),
        ("{ ", "{"),
        (" }", "}"),
    ] {
        text = text.replace(loose, tight);
    }
    text.replace("->(", "-> (").replace("->", " ->").replace("  ->", " ->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_told_by_name_and_signatures_by_what_callers_see() {
        let old = "use std::collections::HashMap;\npub fn f(x: &str) -> Vec<u8> { g(x) }\nfn g(x: &str) -> Vec<u8> { vec![] }\n\
                   struct S;\nimpl S { fn a() {} }\n";
        let new = "use std::collections::HashMap;\n\n/// Says so.\npub fn f(x: &str) -> Option<Vec<u8>> { None }\nconst C: u8 = 1;\n\
                   struct S;\nimpl S { fn b() {} }\n";
        let found = structure(old, new).unwrap();
        assert_eq!(found.added, ["const C"]);
        assert_eq!(found.removed, ["fn g"]);
        assert_eq!(found.changed, ["fn f", "impl S"]);
        assert_eq!((found.same, found.lines), (2, (5, 6)));
        let (before, after) = &found.signatures[0];
        assert_eq!(before, "pub fn f(x: &str) -> Vec<u8>");
        assert_eq!(after, "pub fn f(x: &str) -> Option<Vec<u8>>");
    }

    #[test]
    fn comments_and_layout_are_no_change() {
        let found =
            structure("pub fn f() -> u8 { 1 }", "/// One.\npub fn f() -> u8 {\n    // yes\n    1\n}\n").unwrap();
        assert_eq!((found.changed.len(), found.same), (0, 1));
        assert_eq!(structure("fn f( {", "fn f() {}"), None);
    }
}
