//! The Rust items a spec wants and those it gives, as plain data.

use serde::Serialize;

use super::Snippet;

/// How the interface was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `signature`: one function.
    Signature,
    /// `interface`: Rust items with `;` for each body that is wanted.
    Interface,
}

/// The Rust items that a spec wants and those that it gives.
///
/// Kept as text, since syntax trees can't cross threads; `items()` of a consumer parses it again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Interface {
    /// How it was written.
    pub form: Form,
    /// The text as written.
    pub source: Snippet,
    /// Free functions whose bodies are wanted, in order.
    #[serde(skip)]
    pub functions: Vec<Function>,
    /// Functions of impl blocks whose bodies are wanted, in order.
    #[serde(skip)]
    pub methods: Vec<Method>,
    /// Types, traits, constants and aliases that are given in full: the candidate may repeat them and
    /// the spec's text is what counts.
    #[serde(skip)]
    pub given: Vec<TypeDef>,
    /// Types whose definition is wanted too (`pub struct Stack;`): the candidate defines them.
    #[serde(skip)]
    pub wanted_types: Vec<String>,
    /// `use` lines that the interface needs and that llmc adds where a candidate has not: those written
    /// in it, and those for well-known std names it mentions (`HashMap` → `use std::collections::HashMap;`).
    #[serde(skip)]
    pub imports: Vec<String>,
}

/// A function whose body is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The signature as formatted Rust without body or semicolon, e.g. `pub fn f(x: &str) -> String`.
    pub signature: String,
    /// Argument names and types, in order; a receiver is `("self", "&self")`.
    pub inputs: Vec<(String, String)>,
    /// The return type; `()` where none is written.
    pub output: String,
    /// Whether it has type or const parameters.
    pub generic: bool,
}

/// A wanted function of an impl block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The impl's header as formatted Rust, e.g. `impl<T: Ord> Stack<T>` or `impl Display for Token`.
    pub header: String,
    /// The type's own name, without arguments, e.g. `Stack`.
    pub on: String,
    /// The function.
    pub function: Function,
}

/// An item that the interface gives in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDef {
    /// Its name.
    pub name: String,
    /// The item as formatted Rust.
    pub source: String,
}
