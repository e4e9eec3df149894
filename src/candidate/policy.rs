//! The spec's policy on the syntax tree. Whatever it refuses is never compiled or run.
//!
//! Not the fence that keeps hostile code in (the sandbox is): it says early and exactly what a spec does
//! not want. Where a name can't be followed with certainty the answer is no.

use std::collections::{BTreeSet, HashMap, HashSet};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, File, Ident, ImplItem, Item, ItemUse, Meta, Path, Safety, StaticMutability, TraitItem, Type,
};

use super::format_violation;
use super::names::{Leaf, MAX_SEGMENTS, each_token, leaves, name_of, plain, type_name};
use crate::spec::Spec;
use crate::verdict::{Class, Phase, Verdict};

/// Longest formatted source, in bytes, whatever the spec allows in lines.
const MAX_SOURCE: usize = 256 << 10;

/// Refused in every spec: what changes how a panic is seen from outside.
const ALWAYS_DENIED: &[&str] = &["std::panic::set_hook", "std::panic::take_hook"];

/// Macros that read files or the environment, or hold assembly.
const DENIED_MACROS: &[&str] = &[
    "include",
    "include_str",
    "include_bytes",
    "env",
    "option_env",
    "concat_idents",
    "asm",
    "global_asm",
    "naked_asm",
    "trace_macros",
    "log_syntax",
];

/// Macros of std that a candidate may not define anew, as they judge or report.
const STD_MACROS: &[&str] = &[
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "panic",
    "unreachable",
    "unimplemented",
    "todo",
    "matches",
    "format",
    "format_args",
    "print",
    "println",
    "eprint",
    "eprintln",
    "write",
    "writeln",
    "vec",
    "dbg",
    "compile_error",
    "concat",
    "stringify",
    "cfg",
    "line",
    "column",
    "file",
    "module_path",
];

/// Attributes that change nothing but what they stand on.
const ALLOWED_ATTRIBUTES: &[&str] = &[
    "derive",
    "inline",
    "allow",
    "warn",
    "expect",
    "deny",
    "forbid",
    "must_use",
    "doc",
    "default",
    "non_exhaustive",
    "cold",
    "track_caller",
    "repr",
    "deprecated",
];

/// Attributes that change linking, compilation or the test harness: refused even where a declared crate
/// may bring attributes of its own.
const DENIED_ATTRIBUTES: &[&str] = &[
    "no_mangle",
    "export_name",
    "link",
    "link_name",
    "link_section",
    "link_ordinal",
    "no_link",
    "path",
    "cfg",
    "cfg_attr",
    "global_allocator",
    "panic_handler",
    "feature",
    "macro_use",
    "macro_export",
    "no_std",
    "no_core",
    "no_main",
    "proc_macro",
    "proc_macro_derive",
    "proc_macro_attribute",
    "test",
    "bench",
    "test_runner",
    "test_case",
    "used",
    "windows_subsystem",
    "crate_name",
    "crate_type",
    "recursion_limit",
    "type_length_limit",
    "target_feature",
    "instruction_set",
    "no_builtins",
    "no_implicit_prelude",
    "automatically_derived",
    "ffi_const",
    "ffi_pure",
    "naked",
    "unsafe",
    "debugger_visualizer",
    "collapse_debuginfo",
    "coverage",
    "rustc_builtin_macro",
];

/// Modules of std that a path may begin with when their import was forgotten: rustc then says it better.
const STD_MODULES: &[&str] = &[
    "alloc",
    "any",
    "array",
    "ascii",
    "borrow",
    "boxed",
    "cell",
    "char",
    "clone",
    "cmp",
    "collections",
    "convert",
    "default",
    "env",
    "error",
    "f32",
    "f64",
    "ffi",
    "fmt",
    "fs",
    "future",
    "hash",
    "hint",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "io",
    "isize",
    "iter",
    "marker",
    "mem",
    "net",
    "num",
    "ops",
    "option",
    "os",
    "panic",
    "path",
    "pin",
    "process",
    "ptr",
    "rc",
    "result",
    "slice",
    "str",
    "string",
    "sync",
    "task",
    "thread",
    "time",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "vec",
    "bool",
    "btree_map",
    "btree_set",
    "hash_map",
    "hash_set",
    "binary_heap",
    "vec_deque",
    "linked_list",
    "atomic",
    "mpsc",
];

/// Methods of `Path` that ask the file system.
const PATH_METHODS: &[&str] = &[
    "exists",
    "try_exists",
    "metadata",
    "symlink_metadata",
    "read_dir",
    "canonicalize",
    "read_link",
    "is_file",
    "is_dir",
    "is_symlink",
];

/// Checks the tree: unsafe code, paths, crates, macros, attributes, items, identifiers.
pub(super) fn check_tree(file: &File, spec: &Spec) -> Result<(), Verdict> {
    let mut policy = Checker::new(file, spec);
    policy.learn_names(file)?;
    policy.visit_file(file);
    match policy.violation {
        Some(verdict) => Err(verdict),
        None => check_identifiers(file, spec),
    }
}

/// Checks the formatted text: its length, and characters that a reader does not see.
pub(super) fn check_text(source: &str, spec: &Spec) -> Result<(), Verdict> {
    let lines = source.lines().count();
    if lines > spec.policy.max_lines {
        let detail = format!("{lines} lines of formatted code; the spec allows {}", spec.policy.max_lines);
        return Err(violation("policy-lines", detail));
    }
    if source.len() > MAX_SOURCE {
        let detail = format!("{} bytes of formatted code; at most {MAX_SOURCE} are taken", source.len());
        return Err(violation("policy-lines", detail));
    }
    let mut before = ' ';
    for (index, character) in source.char_indices() {
        let presentation = matches!(character, '\u{fe0e}' | '\u{fe0f}') && !before.is_ascii();
        if is_hidden(character) && !presentation {
            let (line, column) = super::scan::line_and_column(source, index);
            let detail = format!(
                "the invisible character U+{:04X} on line {line}, column {column}; write it as `\\u{{{:x}}}`",
                u32::from(character),
                u32::from(character)
            );
            return Err(violation("policy-identifier", detail));
        }
        before = character;
    }
    Ok(())
}

/// Characters that show nothing, or change the direction of what follows.
fn is_hidden(character: char) -> bool {
    (character.is_control() && !matches!(character, '\n' | '\t'))
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn violation(code: &str, detail: impl Into<String>) -> Verdict {
    Verdict::failed(Phase::Policy, Class::PolicyViolation, code, detail)
}

/// Every identifier is ASCII, or one the spec uses itself.
fn check_identifiers(file: &File, spec: &Spec) -> Result<(), Verdict> {
    let mut allowed: HashSet<String> = HashSet::new();
    let texts = std::iter::once(&spec.interface.source.text)
        .chain(spec.interface.functions.iter().map(|function| &function.signature))
        .chain(spec.interface.given.iter().map(|given| &given.source));
    for text in texts.filter(|text| !text.is_ascii()) {
        if let Ok(tokens) = text.parse::<TokenStream>() {
            allowed.extend(super::names::mentioned(&tokens));
        }
    }
    let mut foreign = None;
    each_token(file.to_token_stream(), |token| {
        if let TokenTree::Ident(ident) = token {
            let text = plain(ident);
            if foreign.is_none() && !text.is_ascii() && !allowed.contains(&text) {
                foreign = Some(text);
            }
        }
    });
    match foreign {
        Some(name) => Err(violation("policy-identifier", format!("the identifier `{name}` is not plain ASCII"))),
        None => Ok(()),
    }
}

/// Denied paths as a tree of segments. Place 0 is the root.
struct Denied {
    steps: HashMap<(usize, String), usize>,
    /// The denied path that ends at a place.
    ends: HashMap<usize, String>,
    /// The path of each place, for messages.
    places: usize,
    /// Last segments of denied paths.
    last: HashSet<String>,
    /// Paths of one segment: crates.
    crates: HashSet<String>,
}

impl Denied {
    fn new(deny: &[String]) -> Self {
        let mut denied = Self {
            steps: HashMap::new(),
            ends: HashMap::new(),
            places: 1,
            last: HashSet::new(),
            crates: HashSet::new(),
        };
        for path in deny.iter().map(String::as_str).chain(ALWAYS_DENIED.iter().copied()) {
            let segments: Vec<String> = path
                .split("::")
                .map(|segment| segment.trim().trim_start_matches("r#").to_string())
                .filter(|segment| !segment.is_empty())
                .collect();
            if segments.is_empty() {
                continue;
            }
            denied.add(&segments, path);
            // The same thing by another way: `std::os::unix::fs`.
            if let [first, module] = segments.as_slice()
                && matches!(first.as_str(), "std" | "core" | "alloc")
                && matches!(module.as_str(), "fs" | "net" | "process" | "io")
            {
                for system in ["unix", "linux", "android", "macos", "wasi", "windows", "fd"] {
                    denied.add(&["std", "os", system, module].map(String::from), path);
                }
            }
        }
        denied
    }

    fn add(&mut self, segments: &[String], path: &str) {
        let mut place = 0;
        for (index, segment) in segments.iter().enumerate() {
            let name = if index == 0 { root_name(segment) } else { segment.clone() };
            let next = self.places;
            place = *self.steps.entry((place, name)).or_insert(next);
            if place == next {
                self.places += 1;
            }
        }
        self.ends.insert(place, path.to_string());
        if let [.., last] = segments {
            self.last.insert(last.clone());
        }
        if segments.len() == 1 {
            self.crates.insert(segments[0].clone());
        }
    }
}

/// `core` and `alloc` hold parts of `std`.
fn root_name(name: &str) -> String {
    if name == "core" || name == "alloc" { "std".into() } else { name.into() }
}

/// What following a path came to.
enum Walk {
    /// It is, or leads into, a denied path.
    Denied(String),
    /// The places in the tree of denied paths where it may have ended.
    At(BTreeSet<usize>),
}

struct Checker<'a> {
    spec: &'a Spec,
    denied: Denied,
    /// Names that may stand for a place in the tree of denied paths.
    aliases: HashMap<String, BTreeSet<usize>>,
    /// Names that the file defines or imports, wherever.
    known: HashSet<String>,
    /// Whether the file defines macros, so that tokens can be put together to paths.
    own_macros: bool,
    /// Whether the file names `Path` or `PathBuf`.
    names_paths: bool,
    /// Inline modules around the place that is visited.
    depth: usize,
    violation: Option<Verdict>,
}

impl<'a> Checker<'a> {
    fn new(file: &File, spec: &'a Spec) -> Self {
        let mut known: HashSet<String> = HashSet::new();
        let mut names_paths = false;
        each_token(file.to_token_stream(), |token| {
            if let TokenTree::Ident(ident) = token {
                names_paths |= ident == "Path" || ident == "PathBuf";
            }
        });
        let mut collect = Collector { known: &mut known, uses: Vec::new(), own_macros: false };
        collect.visit_file(file);
        let own_macros = collect.own_macros;
        Self {
            spec,
            denied: Denied::new(&spec.policy.deny),
            aliases: HashMap::new(),
            known,
            own_macros,
            names_paths,
            depth: 0,
            violation: None,
        }
    }

    fn refuse(&mut self, code: &str, detail: impl Into<String>) {
        if self.violation.is_none() {
            let detail: String = detail.into();
            self.violation = Some(violation(code, detail.chars().take(500).collect::<String>()));
        }
    }

    /// Follows every `use` until nothing new is learned.
    fn learn_names(&mut self, file: &File) -> Result<(), Verdict> {
        let mut known = std::mem::take(&mut self.known);
        let mut collect = Collector { known: &mut known, uses: Vec::new(), own_macros: false };
        collect.visit_file(file);
        let uses: Vec<Leaf> = collect.uses;
        self.known = known;
        for _ in 0..16 {
            let mut changed = false;
            for leaf in &uses {
                let Walk::At(places) = self.walk(&leaf.path, true) else { continue };
                if let Some(name) = &leaf.bound
                    && !places.is_empty()
                {
                    let known = self.aliases.entry(name.clone()).or_default();
                    let before = known.len();
                    known.extend(places);
                    changed |= known.len() != before;
                }
            }
            if !changed {
                return Ok(());
            }
        }
        Err(violation("policy-path", "imports rename each other too many times to be followed"))
    }

    /// Follows a path through the tree of denied paths, beginning anew at each segment that may lead there.
    fn walk(&self, segments: &[String], in_use: bool) -> Walk {
        let mut live: BTreeSet<usize> = BTreeSet::new();
        for (index, segment) in segments.iter().enumerate() {
            let mut next: BTreeSet<usize> =
                live.iter().filter_map(|place| self.denied.steps.get(&(*place, segment.clone())).copied()).collect();
            let alone = segments.len() == 1 && !in_use;
            if let Some(place) = self.denied.steps.get(&(0, root_name(segment)))
                && !(alone && self.denied.crates.contains(segment))
            {
                next.insert(*place);
            }
            // The first name, or one that a module passes on.
            if let Some(places) = self.aliases.get(segment)
                && !(in_use && index + 1 == segments.len() && index > 0)
            {
                next.extend(places);
            }
            if let Some(path) = next.iter().find_map(|place| self.denied.ends.get(place)) {
                return Walk::Denied(path.clone());
            }
            live = next;
        }
        Walk::At(live)
    }

    fn check_path(&mut self, segments: &[String], absolute: bool, in_use: bool, glob: bool) {
        let written = || {
            let shown = segments.iter().take(8).cloned().collect::<Vec<_>>().join("::");
            if absolute { format!("::{shown}") } else { shown }
        };
        if segments.len() >= MAX_SEGMENTS {
            return self.refuse("policy-path", format!("`{}::…` is too long to be followed", written()));
        }
        match self.walk(segments, in_use) {
            Walk::Denied(path) => {
                let detail = if path == written() {
                    format!("`{path}` is denied")
                } else {
                    format!("`{}` leads to `{path}`, which is denied", written())
                };
                return self.refuse("policy-path", detail);
            }
            Walk::At(places) if glob && !places.is_empty() => {
                return self
                    .refuse("policy-path", format!("`use {}::*` would bring what is denied into reach", written()));
            }
            Walk::At(_) => {}
        }
        if let [.., on, method] = segments
            && (on == "Path" || on == "PathBuf")
            && self.asks_file_system(method)
        {
            return self.refuse("policy-path", format!("`{}` asks the file system", written()));
        }
        self.check_crate(segments, absolute, in_use, &written());
    }

    fn check_crate(&mut self, segments: &[String], absolute: bool, in_use: bool, written: &str) {
        let Some(first) = segments.first() else { return };
        let is_declared = |name: &str| {
            matches!(name, "std" | "core" | "alloc")
                || self.spec.dependencies.keys().any(|dependency| dependency.replace('-', "_") == name)
        };
        let supers = segments.iter().filter(|segment| *segment == "super").count();
        if supers > self.depth {
            return self.refuse("policy-path", format!("`{written}` reaches out of the candidate's own module"));
        }
        match first.as_str() {
            "crate" | "$crate" => {
                let Some(name) = segments.get(1) else {
                    if in_use {
                        self.refuse("policy-path", "`crate` itself may not be imported");
                    }
                    return;
                };
                if !self.spec.uses.contains(name) {
                    let uses = if self.spec.uses.is_empty() {
                        "the spec uses no other".to_string()
                    } else {
                        format!("the spec uses {}", self.spec.uses.join(", "))
                    };
                    self.refuse("policy-path", format!("`{written}` names another artifact; {uses}"));
                }
            }
            "self" | "super" | "Self" => {}
            name => {
                if segments.len() < 2 && !in_use && !absolute {
                    return;
                }
                let known = is_declared(name)
                    || (!absolute && self.known.contains(name))
                    || (!absolute && STD_MODULES.contains(&name))
                    || (!absolute && name.starts_with(|first: char| first.is_uppercase()));
                if !known {
                    self.refuse("policy-crate", format!("`{written}`: the crate `{name}` is not declared in the spec"));
                }
            }
        }
    }

    /// Scans tokens that are not parsed: arguments and bodies of macros, arguments of attributes.
    fn check_tokens(&mut self, tokens: TokenStream) {
        let mut stack: Vec<(TokenStream, Vec<String>)> = vec![(tokens, Vec::new())];
        while let Some((tokens, prefix)) = stack.pop() {
            if self.violation.is_some() {
                return;
            }
            let tokens: Vec<TokenTree> = tokens.into_iter().collect();
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
                let at = index + 1 + usize::from(is_punct(tokens.get(index + 1), '!'));
                if let Some(TokenTree::Group(group)) = tokens.get(at)
                    && group.delimiter() == Delimiter::Bracket
                    && let Some(TokenTree::Ident(name)) = group.stream().into_iter().next()
                {
                    self.check_attribute_name(&plain(&name));
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
                if let Walk::At(places) = self.walk(&segments, true)
                    && !places.is_empty()
                    && segments.last().is_some_and(|last| matches!(last.as_str(), "std" | "core" | "alloc"))
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

    fn check_denied_only(&mut self, segments: &[String]) {
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
        let unmistakable = matches!(name.as_str(), "include_str" | "include_bytes" | "option_env" | "global_asm");
        if DENIED_MACROS.contains(&name.as_str()) && (called || unmistakable || self.own_macros) {
            self.refuse("policy-macro", format!("`{name}!` is not allowed"));
        }
        // With macros of its own a file can put paths together from words.
        if self.own_macros && self.denied.last.contains(&name) {
            self.refuse("policy-macro", format!("`{name}` inside of a macro, in a file that defines macros"));
        }
    }

    fn check_attribute_name(&mut self, name: &str) {
        if name == "unsafe" {
            return self.refuse("policy-unsafe", "an `unsafe` attribute");
        }
        let foreign = !self.spec.dependencies.is_empty() && !DENIED_ATTRIBUTES.contains(&name);
        let tool = matches!(name, "rustfmt" | "clippy");
        if !ALLOWED_ATTRIBUTES.contains(&name) && !foreign && !tool {
            self.refuse("policy-attribute", format!("the attribute `{name}` is not allowed"));
        }
    }

    fn check_unsafe(&mut self, is_unsafe: bool, what: &str) {
        if is_unsafe && !self.spec.policy.allow_unsafe {
            self.refuse("policy-unsafe", format!("{what} is not allowed"));
        }
    }

    /// Whether a method of that name, in this file, is one of `Path` that the spec does not want.
    fn asks_file_system(&self, method: &str) -> bool {
        self.names_paths
            && PATH_METHODS.contains(&method)
            && self.spec.policy.deny.iter().any(|path| path.trim_start_matches("::") == "std::fs")
    }

    fn unknown_syntax(&mut self, tokens: &TokenStream) {
        if !tokens.is_empty() && self.violation.is_none() {
            let text: String = tokens.to_string().chars().take(120).collect();
            self.violation = Some(format_violation("syntax", format!("not stable Rust: `{text}`")));
        }
    }
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

/// Collects what a file defines and imports, at any depth.
struct Collector<'a> {
    known: &'a mut HashSet<String>,
    uses: Vec<Leaf>,
    own_macros: bool,
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        self.known.extend(name_of(item));
        if let Item::Macro(item) = item {
            self.own_macros |= item.ident.is_some() || item.mac.path.is_ident("macro_rules");
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let leaves = leaves(item);
        self.known.extend(leaves.iter().filter_map(|leaf| leaf.bound.clone()).filter(|_| {
            // `use rand;` alone does not declare the crate `rand`.
            !matches!(&item.tree, syn::UseTree::Name(_))
        }));
        self.uses.extend(leaves);
    }

    fn visit_generic_param(&mut self, param: &'ast syn::GenericParam) {
        match param {
            syn::GenericParam::Type(param) => {
                self.known.insert(plain(&param.ident));
            }
            syn::GenericParam::Const(param) => {
                self.known.insert(plain(&param.ident));
            }
            syn::GenericParam::Lifetime(_) => {}
        }
        visit::visit_generic_param(self, param);
    }
}

impl<'ast> Visit<'ast> for Checker<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if self.violation.is_some() {
            return;
        }
        match item {
            Item::ExternCrate(item) => {
                let name = plain(&item.ident);
                if item.rename.is_some() || name == "self" {
                    self.refuse("policy-item", "`extern crate … as …` is not allowed");
                } else {
                    self.check_crate(&[name], true, true, "extern crate");
                }
            }
            Item::ForeignMod(_) => {
                if self.spec.policy.allow_unsafe {
                    self.refuse("policy-item", "an `extern` block is not allowed");
                } else {
                    self.refuse("policy-unsafe", "an `extern` block is not allowed");
                }
            }
            Item::Mod(module) => {
                self.check_unsafe(module.unsafety.is_some(), "an `unsafe` module");
                if module.content.is_none() {
                    self.refuse("policy-item", format!("`mod {};` reads another file", module.ident));
                }
            }
            Item::Static(item) => {
                self.check_unsafe(matches!(item.mutability, StaticMutability::Mut(_)), "`static mut`");
            }
            Item::Trait(item) => self.check_unsafe(item.unsafety.is_some(), "an `unsafe` trait"),
            Item::Impl(item) => {
                self.check_unsafe(item.unsafety.is_some(), "an `unsafe` impl");
                if item.modifiers.require_empty().is_err() {
                    self.unknown_syntax(&item.self_ty.to_token_stream());
                }
            }
            Item::TraitAlias(item) => self.unknown_syntax(&item.ident.to_token_stream()),
            Item::Macro(item) if item.mac.path.is_ident("macro_rules") => match &item.ident {
                Some(name) if STD_MACROS.contains(&plain(name).as_str()) => {
                    self.refuse("policy-macro", format!("`{name}!` is std's and may not be defined anew"));
                }
                _ if !well_formed_rules(&item.mac.tokens) => {
                    self.violation = Some(format_violation("syntax", "malformed `macro_rules!`"));
                }
                _ => {}
            },
            Item::Verbatim(tokens) => self.unknown_syntax(tokens),
            _ => {}
        }
        if self.violation.is_some() {
            return;
        }
        let inside = matches!(item, Item::Mod(_));
        self.depth += usize::from(inside);
        visit::visit_item(self, item);
        self.depth -= usize::from(inside);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        for leaf in leaves(item) {
            if self.violation.is_some() {
                return;
            }
            // A macro under another name would be called by that name. (`std::env` is a module as well.)
            if let [_, .., last] = leaf.path.as_slice()
                && DENIED_MACROS.contains(&last.as_str())
                && !(last == "env" && leaf.bound.as_ref() == Some(last) && !self.own_macros)
            {
                self.refuse("policy-macro", format!("`{}` is a macro that is not allowed", leaf.path.join("::")));
            }
            self.check_path(&leaf.path, leaf.absolute, true, leaf.glob);
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // Who may see an item reaches nothing.
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments: Vec<String> =
            path.segments.iter().take(MAX_SEGMENTS).map(|segment| plain(&segment.ident)).collect();
        self.check_path(&segments, path.leading_colon.is_some(), false, false);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        self.visit_qualified(path.qself.as_ref(), &path.path, &path.attrs);
    }

    fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
        self.visit_qualified(path.qself.as_ref(), &path.path, &path.attrs);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let last = mac.path.segments.last().map(|segment| plain(&segment.ident)).unwrap_or_default();
        if DENIED_MACROS.contains(&last.as_str()) {
            self.refuse("policy-macro", format!("`{last}!` is not allowed"));
        }
        self.visit_path(&mac.path);
        self.check_tokens(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let name = attribute.path().segments.first().map(|segment| plain(&segment.ident)).unwrap_or_default();
        self.check_attribute_name(&name);
        match &attribute.meta {
            Meta::Path(_) => {}
            Meta::List(list) => self.check_tokens(list.tokens.clone()),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(_) => {}
                // `#[doc = include_str!(…)]`
                other => self.check_tokens(other.to_token_stream()),
            },
        }
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        if self.violation.is_some() {
            return;
        }
        match expression {
            Expr::Unsafe(_) => self.check_unsafe(true, "an `unsafe` block"),
            Expr::Verbatim(tokens) => self.unknown_syntax(tokens),
            Expr::MethodCall(call) => {
                let method = plain(&call.method);
                if self.asks_file_system(&method) {
                    let detail = format!("`.{method}()` in a file that names `Path` asks the file system");
                    self.refuse("policy-path", detail);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expression);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.check_unsafe(matches!(signature.safety, Safety::Unsafe(_)), "an `unsafe` function");
        if signature.abi.is_some() || signature.variadic.is_some() {
            self.refuse("policy-item", format!("`extern fn {}` is not allowed", signature.ident));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Verbatim(tokens) => self.unknown_syntax(tokens),
            Type::FnPtr(pointer) => self.check_unsafe(pointer.unsafety.is_some(), "an `unsafe` function type"),
            _ => {}
        }
        visit::visit_type(self, ty);
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        if let syn::Pat::Verbatim(tokens) = pattern {
            self.unknown_syntax(tokens);
        }
        visit::visit_pat(self, pattern);
    }

    fn visit_type_param_bound(&mut self, bound: &'ast syn::TypeParamBound) {
        if let syn::TypeParamBound::Verbatim(tokens) = bound {
            self.unknown_syntax(tokens);
        }
        visit::visit_type_param_bound(self, bound);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Verbatim(tokens) = item {
            self.unknown_syntax(tokens);
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Verbatim(tokens) = item {
            self.unknown_syntax(tokens);
        }
        visit::visit_trait_item(self, item);
    }
}

impl Checker<'_> {
    fn visit_qualified(&mut self, qself: Option<&syn::QSelf>, path: &Path, attributes: &[Attribute]) {
        for attribute in attributes {
            self.visit_attribute(attribute);
        }
        let Some(qself) = qself else { return self.visit_path(path) };
        self.visit_type(&qself.ty);
        // `<T as Trait>::name` names `Trait`; `<T>::name` no crate at all.
        if qself.position > 0 {
            return self.visit_path(path);
        }
        let segments: Vec<String> =
            path.segments.iter().take(MAX_SEGMENTS).map(|segment| plain(&segment.ident)).collect();
        self.check_denied_only(&segments);
        let on_path = type_name(&qself.ty).is_some_and(|name| name == "Path" || name == "PathBuf");
        if on_path && segments.last().is_some_and(|method| self.asks_file_system(method)) {
            self.refuse("policy-path", format!("`<Path>::{}` asks the file system", segments.join("::")));
        }
        visit::visit_path(self, path);
    }
}

/// Whether the tokens are rules `(…) => {…};`: anything else makes the formatter give up.
fn well_formed_rules(tokens: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        rest = match rest {
            [
                TokenTree::Group(_),
                TokenTree::Punct(equals),
                TokenTree::Punct(arrow),
                TokenTree::Group(_),
                rest @ ..,
            ] if equals.as_char() == '='
                && equals.spacing() == Spacing::Joint
                && arrow.as_char() == '>'
                && arrow.spacing() == Spacing::Alone =>
            {
                rest
            }
            _ => return false,
        };
        rest = match rest {
            [] => rest,
            [TokenTree::Punct(semi), rest @ ..] if semi.as_char() == ';' && semi.spacing() == Spacing::Alone => rest,
            _ => return false,
        };
    }
    true
}
