//! The policy on tokens that are not parsed: arguments and bodies of macros, arguments of attributes.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};
use syn::ItemUse;

use super::Checker;
use super::denied::Walk;
use super::lists::DENIED_MACROS;
use crate::candidate::names::{MAX_SEGMENTS, attribute_at, each_stream, leaves, plain};

impl Checker<'_> {
    /// Scans tokens that are not parsed: arguments and bodies of macros, arguments of attributes.
    pub(super) fn check_tokens(&mut self, tokens: TokenStream) {
        let mut stack: Vec<(TokenStream, Vec<String>)> = vec![(tokens, Vec::new())];
        while let Some((tokens, prefix)) = stack.pop() {
            if self.violation.is_some() {
                return;
            }
            let tokens: Vec<TokenTree> = tokens.into_iter().collect();
            self.check_pieces(&tokens);
            let mut index = 0;
            while index < tokens.len() {
                index = self.check_token(&tokens, index, &prefix, &mut stack);
            }
        }
    }

    /// Checks the token at `index` and what belongs to it; where to go on.
    fn check_token(
        &mut self,
        tokens: &[TokenTree],
        index: usize,
        prefix: &[String],
        stack: &mut Vec<(TokenStream, Vec<String>)>,
    ) -> usize {
        match &tokens[index] {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let path = attribute_at(tokens, index).map(path_at_start).unwrap_or_default();
                match path.is_empty() {
                    false => self.check_attribute_path(&path),
                    // From the pieces a macro could put together any.
                    true if self.own_macros => {
                        self.refuse("policy-attribute", "an attribute that a macro puts together can't be followed");
                    }
                    true => {}
                }
                index + 1
            }
            TokenTree::Group(group) => {
                stack.push((group.stream(), Vec::new()));
                index + 1
            }
            TokenTree::Ident(_) => {
                let absolute = index >= 2 && colons(tokens, index - 2);
                let mut segments = prefix.to_vec();
                let mut at = index;
                let mut words = Vec::new();
                while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
                    if segments.len() <= MAX_SEGMENTS {
                        segments.push(plain(ident));
                    }
                    words.push((ident, is_punct(tokens.get(at + 1), '!')));
                    at += 1;
                    // `path::<T>::more` is rare in macros, and its parts are looked at one by one.
                    if !colons(tokens, at) {
                        break;
                    }
                    match tokens.get(at + 2) {
                        Some(TokenTree::Ident(_)) => at += 2,
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            stack.push((group.stream(), segments.clone()));
                            at += 3;
                            break;
                        }
                        Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                            self.check_path(&segments, absolute, true, true);
                            at += 3;
                            break;
                        }
                        _ => break,
                    }
                }
                let composed = index >= 1
                    && is_punct(tokens.get(index - 1), '$')
                    && segments.first().is_none_or(|name| name != "crate");
                let in_path = segments.len() > 1 || colons(tokens, at) || absolute;
                if in_path && !composed {
                    let code_path = segments.len() > 1;
                    // A path that goes on from something else (`<T>::new`, `$t::MAX`) has no crate in front.
                    if absolute && index >= 3 && continues(&tokens[index - 3]) {
                        self.check_denied_only(&segments);
                    } else if code_path || absolute {
                        self.check_path(&segments, absolute, false, false);
                    }
                }
                let followed: Vec<String> = segments.iter().filter(|segment| *segment != "self").cloned().collect();
                if let Walk::At(places) = self.walk(&followed, true)
                    && !places.is_empty()
                    && !is_punct(tokens.get(at), '!')
                {
                    self.refuse(
                        "policy-path",
                        format!("`{}` by itself in a macro can't be followed", segments.join("::")),
                    );
                }
                let after_dot = index >= 1 && is_punct(tokens.get(index - 1), '.');
                if after_dot
                    && matches!(tokens.get(at), Some(TokenTree::Group(_)))
                    && self.asks_file_system(&segments[0])
                {
                    self.refuse("policy-path", format!("`.{}()` asks the file system", segments[0]));
                }
                if self.own_macros && segments.iter().any(|segment| segment == "super") {
                    // Where a macro is called decides what that is.
                    self.refuse("policy-path", "`super` in a macro can't be followed, in a file that defines macros");
                }
                // A macro could go on from these.
                if self.own_macros && !in_path && matches!(segments[0].as_str(), "crate" | "super") {
                    self.refuse("policy-path", format!("`{}` by itself in a macro can't be followed", segments[0]));
                }
                for (ident, called) in words {
                    self.check_word(ident, called);
                }
                at.max(index + 1)
            }
            _ => index + 1,
        }
    }

    /// What takes more than one token to see: imports and `static mut`.
    fn check_pieces(&mut self, tokens: &[TokenTree]) {
        for (index, token) in tokens.iter().enumerate() {
            let TokenTree::Ident(ident) = token else { continue };
            let is_mut = matches!(tokens.get(index + 1), Some(TokenTree::Ident(next)) if next == "mut");
            if ident == "static" && is_mut {
                self.check_unsafe(true, "`static mut`");
            }
        }
        for import in imports_of(tokens) {
            match import {
                Some(import) => leaves(&import).iter().for_each(|leaf| self.check_leaf(leaf)),
                None => self.refuse("policy-macro", "an import that a macro puts together can't be followed"),
            }
        }
    }

    pub(super) fn check_denied_only(&mut self, segments: &[String]) {
        if let Walk::Denied(path) = self.walk(segments, false) {
            self.refuse("policy-path", format!("`{}` leads to `{path}`, which is denied", segments.join("::")));
        }
    }

    /// One identifier in tokens that are not parsed.
    fn check_word(&mut self, ident: &Ident, called: bool) {
        let name = plain(ident);
        let raw = ident.to_string().starts_with("r#");
        if name == "unsafe" && !raw && !self.spec.policy.allow_unsafe {
            self.refuse("policy-unsafe", "`unsafe` inside of a macro");
        }
        if name == "extern" && !raw {
            self.refuse("policy-item", "`extern` inside of a macro");
        }
        if matches!(name.as_str(), "macro_rules" | "macro") && !raw {
            self.refuse("policy-macro", "a macro inside of a macro can't be followed");
        }
        if self.own_macros && self.asks_file_system(&name) {
            self.refuse("policy-macro", format!("`{name}` inside of a macro, in a file that deals with paths"));
        }
        let unmistakable = matches!(name.as_str(), "include_str" | "include_bytes" | "option_env" | "global_asm");
        if DENIED_MACROS.contains(&name.as_str()) && (called || unmistakable || self.own_macros) {
            self.refuse("policy-macro", format!("`{name}!` is not allowed"));
        }
        // With macros of its own a file can put paths together from words.
        if self.own_macros && self.denied.last.contains(&name) {
            self.refuse("policy-macro", format!("`{name}` inside of a macro, in a file that defines macros"));
        }
    }
}

/// The imports in tokens, in every pair of brackets; `None` for one that can't be read.
pub(super) fn imports_in(tokens: TokenStream) -> Vec<Option<ItemUse>> {
    let mut found = Vec::new();
    each_stream(tokens, |tokens| found.extend(imports_of(tokens)));
    found
}

/// The imports in tokens, outside of brackets.
fn imports_of(tokens: &[TokenTree]) -> Vec<Option<ItemUse>> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        // `impl Trait + use<'a>` is none.
        if !matches!(token, TokenTree::Ident(ident) if ident == "use") || is_punct(tokens.get(index + 1), '<') {
            continue;
        }
        let end = tokens[index..].iter().position(|token| is_punct(Some(token), ';'));
        let import = end.map(|end| tokens[index..=index + end].iter().cloned().collect::<TokenStream>());
        found.push(import.and_then(|import| syn::parse2::<ItemUse>(import).ok()));
    }
    found
}

/// The path that an attribute begins with.
fn path_at_start(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().take(3 * MAX_SEGMENTS).collect();
    let mut path = Vec::new();
    let mut at = if colons(&tokens, 0) { 2 } else { 0 };
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        path.push(plain(ident));
        if !colons(&tokens, at + 1) {
            return path;
        }
        at += 3;
    }
    // It ends in the middle, or goes on with what is none: `a::$b`.
    Vec::new()
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Whether `::` stands at `index`.
fn colons(tokens: &[TokenTree], index: usize) -> bool {
    matches!(tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint)
        && is_punct(tokens.get(index + 1), ':')
}

/// Whether a path can go on after this token.
fn continues(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(_) | TokenTree::Group(_) => true,
        TokenTree::Punct(punct) => punct.as_char() == '>',
        TokenTree::Literal(_) => false,
    }
}
