//! Guards for parsing Rust that a stranger or a model wrote.
//!
//! syn, prettyplease and the destructors of syntax trees recurse. Whoever uses them first bounds the
//! source with [`check_bounds`], and does the whole work on a deep stack with [`deep`].

use std::cell::Cell;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Longest Rust source that is parsed, in bytes.
pub const MAX_BYTES: usize = 128 << 10;
/// Deepest nesting of brackets that is parsed. rustc's own limit on recursion is 128.
pub const MAX_DEPTH: usize = 128;
/// Longest run of prefix operators and keywords (`!!!!x`, `return return`) that is parsed.
pub const MAX_PREFIXES: usize = 128;
/// Longest run of tokens at one level of brackets without a `;`, a `,` or the end of a block that is parsed:
/// what is chained (`1+1+1…`, `x.y.y…`, `else if`) is as deep a tree as it is long.
pub const MAX_RUN: usize = 4096;
/// Most `<` at one level of brackets that no `>` has closed by the next `;`.
pub const MAX_ANGLES: usize = 1024;
/// Longest literal number that is parsed, in characters. syn takes time by its square to read one.
pub const MAX_NUMBER: usize = 1 << 10;
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
    /// More than [`MAX_RUN`] tokens in one expression, type or pattern.
    #[error("more than {MAX_RUN} tokens without a `;`, a `,` or the end of a block")]
    TooChained,
    /// More than [`MAX_ANGLES`] open `<`.
    #[error("more than {MAX_ANGLES} `<` that nothing closes")]
    TooManyAngles,
    /// A literal number longer than [`MAX_NUMBER`].
    #[error("a number of more than {MAX_NUMBER} characters")]
    LongNumber,
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
    let mut stack = vec![(tokens.clone().into_iter(), Level::default())];
    while let Some((tokens, level)) = stack.last_mut() {
        let Some(token) = tokens.next() else {
            stack.pop();
            continue;
        };
        level.meet(&token)?;
        if let TokenTree::Group(group) = token {
            let depth = stack.len() - usize::from(group.delimiter() == Delimiter::None);
            if depth > MAX_DEPTH {
                return Err(BoundsError::TooDeep);
            }
            stack.push((group.stream().into_iter(), Level::default()));
        }
    }
    Ok(tokens)
}

/// What was met at one level of brackets.
#[derive(Default)]
struct Level {
    prefixes: usize,
    /// Tokens since the last separator.
    run: usize,
    /// `|` since the last `;`: closures go on behind a `,` between their arguments.
    bars: usize,
    angles: usize,
    after_block: bool,
    after_dash: bool,
}

impl Level {
    fn meet(&mut self, token: &TokenTree) -> Result<(), BoundsError> {
        self.prefixes = if is_prefix(token) { self.prefixes + 1 } else { 0 };
        if self.prefixes > MAX_PREFIXES {
            return Err(BoundsError::TooManyPrefixes);
        }
        if matches!(token, TokenTree::Literal(literal) if is_long_number(&literal.to_string())) {
            return Err(BoundsError::LongNumber);
        }
        // A block ends what is before it, unless that goes on: `{ … } else`, `{ … } + 1`.
        let begins = match token {
            TokenTree::Ident(ident) => !["else", "as"].iter().any(|word| ident == word),
            TokenTree::Punct(punct) => punct.as_char() == '#',
            TokenTree::Literal(_) => true,
            TokenTree::Group(_) => false,
        };
        if self.after_block && begins {
            (self.run, self.bars, self.angles) = (0, 0, 0);
        }
        self.after_block = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        self.run += 1;
        let after_dash = std::mem::take(&mut self.after_dash);
        if let TokenTree::Punct(punct) = token {
            match punct.as_char() {
                ';' => (self.run, self.bars, self.angles) = (0, 0, 0),
                ',' => self.run = 0,
                '|' => self.bars += 1,
                '<' => self.angles += 1,
                // `->` and `=>` close nothing.
                '>' if !after_dash => self.angles = self.angles.saturating_sub(1),
                '-' | '=' => self.after_dash = punct.spacing() == Spacing::Joint,
                _ => {}
            }
        }
        match self {
            Self { run, bars, .. } if *run > MAX_RUN || *bars > MAX_RUN => Err(BoundsError::TooChained),
            Self { angles, .. } if *angles > MAX_ANGLES => Err(BoundsError::TooManyAngles),
            _ => Ok(()),
        }
    }
}

fn is_long_number(literal: &str) -> bool {
    literal.len() > MAX_NUMBER && literal.starts_with(|first: char| first.is_ascii_digit())
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

/// Characters that show nothing, or change the direction of what follows.
pub fn is_hidden(character: char) -> bool {
    (character.is_control() && !matches!(character, '\n' | '\t'))
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
    fn chains_are_bounded_and_lists_are_not() {
        let within = |source: &str| check_bounds(source).map(|_| ()).map_err(|error| error.to_string());
        let chained = Err("more than 4096 tokens without a `;`, a `,` or the end of a block".to_owned());
        for (part, times) in [("+1", 2050), (".y", 2050), ("{1}+", 2050), ("|a,b|", 2050), ("as u8 ", 2050)] {
            assert_eq!(within(&format!("fn f() {{ x {} }}", part.repeat(times))), chained, "{part}");
        }
        assert_eq!(within(&format!("fn f() {{ if x {{}} {} }}", "else if x {} ".repeat(1100))), chained);
        let angles = format!("type T = {}u8{};", "A<u8,".repeat(1100), ">".repeat(1100));
        assert_eq!(within(&angles), Err("more than 1024 `<` that nothing closes".to_owned()));
        for fine in [
            format!("const X: [i32; 20_000] = [{}];", "-1, ".repeat(20_000)),
            format!("fn f(x: u8) {{ match x {{ {} _ => {{}} }} }}", "1 | 2 => { g() } ".repeat(2_000)),
            format!("struct S {{ {} }}", "x: Vec<u8>, ".repeat(5_000)),
            "fn f() -> Vec<u8> { g(|x| x > 1) }\n".repeat(3_000),
            "/// A line.\n".repeat(2_000) + "fn f() {}",
            format!("fn f() {{ {} }}", "x = 1 << 2; ".repeat(5_000)),
        ] {
            assert_eq!(within(&fine), Ok(()), "{}", &fine[..60]);
        }
    }

    #[test]
    fn long_numbers_are_refused_and_long_texts_are_not() {
        let number = format!("const N: u8 = {};", "9".repeat(100_000));
        assert_eq!(check_bounds(&number).err(), Some(BoundsError::LongNumber));
        let text = format!("const S: &str = \"{}\";", "9".repeat(100_000));
        assert!(check_bounds(&text).is_ok());
    }

    #[test]
    fn the_longest_chain_of_operators_fits_the_deep_stack() {
        let source = format!("fn f() -> i32 {{ 1{} }}", "+1".repeat(MAX_RUN / 2 - 1));
        let formatted = deep(|| {
            check_bounds(&source).map(|tokens| syn::parse2::<syn::File>(tokens).map(|file| file.items.len()).ok())
        });
        assert_eq!(formatted, Ok(Some(1)));
    }
}
