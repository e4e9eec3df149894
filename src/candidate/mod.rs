//! Candidates: the Rust in a completion, held against the interface and the policy, and formatted.
//!
//! Works on text alone: nothing here is compiled or run. The only user of prettyplease.

mod adapt;
mod conform;
mod extract;
mod isolation;
mod mutate;
mod names;
mod policy;
mod scan;
mod signature;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::model::Finish;
use crate::spec::Spec;
use crate::syntax::{BoundsError, check_bounds, deep};
use crate::verdict::{Class, Phase, Verdict};

pub use isolation::is_separable;
pub use mutate::{Mutant, mutants};

/// Longest completion that is read, in bytes.
pub const MAX_COMPLETION: usize = 1 << 20;

/// Rust extracted from a completion: parsed, conforming to the interface, within the policy, formatted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The module's source as prettyplease prints it, without llmc's header.
    pub source: String,
    /// What was changed on the way, for people: "dropped `fn main`", "added `pub`", …
    pub notes: Vec<String>,
}

/// A candidate's items without those that `given` has, too (by kind and name); `None` where one of them does not parse.
pub fn without(source: &str, given: &str) -> Option<String> {
    fn name(item: &syn::Item) -> Option<String> {
        Some(match item {
            syn::Item::Struct(item) => item.ident.to_string(),
            syn::Item::Enum(item) => item.ident.to_string(),
            syn::Item::Type(item) => item.ident.to_string(),
            syn::Item::Fn(item) => format!("fn {}", item.sig.ident),
            syn::Item::Use(item) => quote::ToTokens::to_token_stream(&item.tree).to_string(),
            _ => return None,
        })
    }
    deep(|| {
        let parse = |text: &str| syn::parse2::<syn::File>(crate::syntax::check_bounds(text).ok()?).ok();
        let known: Vec<String> = parse(given)?.items.iter().filter_map(name).collect();
        let mut file = parse(source)?;
        file.attrs.clear();
        file.items.retain(|item| name(item).is_none_or(|name| !known.contains(&name)));
        Some(prettyplease::unparse(&file))
    })
}

/// Finds the Rust in a completion and makes a candidate of it, or says why it can't.
///
/// A completion may hold prose, several code blocks, reasoning, or a first try and a second: the last
/// version that has everything the spec wants is taken.
pub fn from_completion(text: &str, finish: Finish, spec: &Spec) -> Result<Candidate, Verdict> {
    if text.len() > MAX_COMPLETION {
        let detail = format!("the completion is {} bytes long; at most {MAX_COMPLETION} are read", text.len());
        return Err(format_violation("too-long", detail));
    }
    deep(|| {
        let conformed = extract::choose(text, finish, &spec.interface)?;
        finished(conformed, spec)
    })
}

/// Makes a candidate of Rust source without prose around it, or says why it can't.
pub fn from_source(code: &str, spec: &Spec) -> Result<Candidate, Verdict> {
    deep(|| {
        let file = parse_file(code.trim_start_matches('\u{feff}'))?;
        finished(conform::conform(file, &spec.interface, conform::Fit::Adapted)?, spec)
    })
}

/// Holds Rust that is no candidate against the policy of `spec`: what a model wrote of a spec itself.
///
/// # Errors
/// What is wrong with it.
pub fn check_policy(source: &str, spec: &Spec) -> Result<(), Verdict> {
    deep(|| {
        policy::check_tree(&parse_file(source)?, spec)?;
        policy::check_visible(source)
    })
}

/// Whether there are comments that a candidate does not keep: all but those that document.
pub fn has_remarks(code: &str) -> bool {
    scan::scan(code, 0, usize::MAX).has_remarks
}

/// The source as one line of tokens: equal for candidates that differ only in layout and comments.
///
/// Doc comments are comments here. For deciding that two candidates need judging only once.
pub fn normalised(candidate: &Candidate) -> String {
    deep(|| match parse_file(&candidate.source) {
        Ok(mut file) => {
            conform::strip_docs(&mut file);
            quote::ToTokens::to_token_stream(&file).to_string()
        }
        Err(_) => candidate.source.clone(),
    })
}

/// Policy and formatting, once a file conforms.
fn finished(conformed: conform::Conformed, spec: &Spec) -> Result<Candidate, Verdict> {
    let conform::Conformed { file, mut notes } = conformed;
    policy::check_tree(&file, spec)?;
    let source = format(&file)?;
    policy::check_text(&source, spec)?;
    notes.dedup();
    Ok(Candidate { source, notes })
}

/// Prints a file so that printing what was printed changes nothing.
fn format(file: &syn::File) -> Result<String, Verdict> {
    // prettyplease panics on syntax it does not know; all such nodes were refused by then, and should
    // one have been missed it is the candidate that fails, not llmc.
    let unparse = |file: &syn::File| {
        catch_unwind(AssertUnwindSafe(|| prettyplease::unparse(file)))
            .map_err(|_| format_violation("syntax", "the code uses syntax that can't be formatted"))
    };
    let mut source = unparse(file)?;
    for _ in 0..3 {
        let again = unparse(&parse_file(&source)?)?;
        if again == source {
            break;
        }
        source = again;
    }
    if !source.ends_with('\n') {
        source.push('\n');
    }
    Ok(source)
}

/// Parses a file within the bounds.
fn parse_file(code: &str) -> Result<syn::File, Verdict> {
    let tokens = check_bounds(code).map_err(|error| match error {
        BoundsError::NotTokens { line, column, .. } => match scan::scan(code, 0, usize::MAX).state {
            scan::State::Open(offset) => {
                let (line, column) = scan::line_and_column(code, offset);
                syntax(code, line, column, "this is never closed")
            }
            scan::State::Stray(offset) => {
                let (line, column) = scan::line_and_column(code, offset);
                syntax(code, line, column, "this closes nothing")
            }
            scan::State::Balanced => syntax(code, line, column, "not Rust"),
        },
        other => format_violation("bounds", other.to_string()),
    })?;
    syn::parse2(tokens).map_err(|error: syn::Error| {
        let start = error.span().start();
        // Text that ends too early has no place of its own.
        let at_end = start.line <= 1 && start.column == 0 && error.to_string().contains("unexpected end");
        let (line, column) =
            if at_end { scan::line_and_column(code, code.trim_end().len()) } else { (start.line, start.column + 1) };
        syntax(code, line, column, &error.to_string())
    })
}

/// A file of these items and nothing else.
fn file_of(items: Vec<syn::Item>) -> syn::File {
    syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items }
}

fn syntax(code: &str, line: usize, column: usize, message: &str) -> Verdict {
    let text: String = code.lines().nth(line.saturating_sub(1)).unwrap_or_default().chars().take(200).collect();
    format_violation("syntax", format!("line {line}, column {column}: {message}\n    {}", text.trim()))
}

fn format_violation(code: &str, detail: impl Into<String>) -> Verdict {
    Verdict::failed(Phase::Parse, Class::FormatViolation, code, detail)
}
