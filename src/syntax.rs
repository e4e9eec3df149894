//! Guards for parsing Rust that a stranger or a model wrote.
//!
//! syn, prettyplease and the destructors of syntax trees recurse. Whoever uses them first bounds the
//! source with [`check_bounds`], and does the whole work on a deep stack with [`deep`].

use std::cell::Cell;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Longest Rust source that is parsed, in bytes.
pub const MAX_BYTES: usize = 128 << 10;
/// Deepest nesting of brackets that is parsed. rustc's own limit on recursion is 128.
pub const MAX_DEPTH: usize = 128;
/// Longest run of prefix operators and keywords (`!!!!x`, `return return`) that is parsed.
pub const MAX_PREFIXES: usize = 128;
/// Address space for the stack of a thread that parses; only what is touched is ever used.
const STACK: usize = 512 << 20;

/// Why a source is not even parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// Longer than [`MAX_BYTES`].
    #[error("{0} bytes of Rust; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("brackets nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than [`MAX_PREFIXES`] prefix operators in a row.
    #[error("more than {MAX_PREFIXES} prefix operators in a row")]
    TooManyPrefixes,
    /// Not even tokens of Rust.
    #[error("not Rust: {message}")]
    NotTokens {
        /// What the lexer says.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
}

thread_local! {
    static IS_DEEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on a stack deep enough for any source within the bounds. Cheap when nested.
pub fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if IS_DEEP.get() {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("parse".into()).stack_size(STACK);
        let handle = thread
            .spawn_scoped(scope, || {
                IS_DEEP.set(true);
                work()
            })
            .expect("a thread can be started");
        handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Splits `source` into tokens and checks that parsing it takes bounded stack. Never recurses itself.
pub fn check_bounds(source: &str) -> Result<TokenStream, BoundsError> {
    if source.len() > MAX_BYTES {
        return Err(BoundsError::TooLong(source.len()));
    }
    let tokens: TokenStream = source.parse().map_err(|error: proc_macro2::LexError| {
        let start = error.span().start();
        BoundsError::NotTokens { message: error.to_string(), line: start.line, column: start.column + 1 }
    })?;
    let mut stack = vec![(tokens.clone().into_iter(), 0_usize)];
    while let Some((tokens, prefixes)) = stack.last_mut() {
        match tokens.next() {
            None => {
                stack.pop();
            }
            Some(TokenTree::Group(group)) => {
                *prefixes = 0;
                let depth = stack.len() - usize::from(group.delimiter() == Delimiter::None);
                if depth > MAX_DEPTH {
                    return Err(BoundsError::TooDeep);
                }
                stack.push((group.stream().into_iter(), 0));
            }
            Some(token) if is_prefix(&token) => {
                *prefixes += 1;
                if *prefixes > MAX_PREFIXES {
                    return Err(BoundsError::TooManyPrefixes);
                }
            }
            Some(_) => *prefixes = 0,
        }
    }
    Ok(tokens)
}

fn is_prefix(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => matches!(punct.as_char(), '!' | '-' | '*' | '&' | '|' | '<' | '.' | '='),
        TokenTree::Ident(ident) => {
            ["return", "break", "move", "mut", "ref", "dyn", "const", "else"].iter().any(|word| ident == word)
        }
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_rust_is_within_bounds() {
        assert!(check_bounds("pub fn f(x: &&mut [u8]) -> bool { !!x.is_empty() && (1 - -2) == 3 }").is_ok());
    }

    #[test]
    fn deep_brackets_and_long_prefixes_are_refused_without_using_the_stack() {
        let brackets = format!("fn f() {{ {}{} }}", "(".repeat(20_000), ")".repeat(20_000));
        assert_eq!(check_bounds(&brackets).err(), Some(BoundsError::TooDeep));
        let prefixes = format!("fn f() {{ {}1; }}", "!".repeat(20_000));
        assert_eq!(check_bounds(&prefixes).err(), Some(BoundsError::TooManyPrefixes));
        assert_eq!(check_bounds(&" ".repeat(MAX_BYTES + 1)).err(), Some(BoundsError::TooLong(MAX_BYTES + 1)));
    }

    #[test]
    fn the_longest_chain_of_operators_fits_the_deep_stack() {
        let source = format!("fn f() -> i32 {{ 1{} }}", "+1".repeat(MAX_BYTES / 2 - 20));
        let formatted = deep(|| {
            check_bounds(&source).map(|tokens| syn::parse2::<syn::File>(tokens).map(|file| file.items.len()).ok())
        });
        assert_eq!(formatted, Ok(Some(1)));
    }
}
