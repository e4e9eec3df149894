//! Mutants: copies of a candidate with one small change each, as a careless programmer might make.
//!
//! Whether the checks notice says how much they pin down. The operators are those of cargo-mutants and its kin.

use std::ops::Range;

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, GenericArgument, Lit, PathArguments, RangeLimits, ReturnType, Stmt, Type, UnOp};

use super::Candidate;
use crate::spec::Spec;
use crate::syntax::deep;

/// A candidate with one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The line of the change in the candidate's source, from 1.
    pub line: usize,
    /// The column where it begins, from 1, in characters.
    pub column: usize,
    /// The function that it is in.
    pub function: String,
    /// What was changed: "replace `<` with `<=`".
    pub what: String,
    /// The result.
    pub candidate: Candidate,
}

/// Every mutant of a candidate that is still one, in the order of their places. None compiles for sure.
pub fn mutants(candidate: &Candidate, spec: &Spec) -> Vec<Mutant> {
    let changes = deep(|| match super::parse_file(&candidate.source) {
        Ok(file) => {
            let mut finder = Finder { text: &candidate.source, function: String::new(), changes: Vec::new() };
            finder.visit_file(&file);
            finder.changes
        }
        Err(_) => Vec::new(),
    });
    let mut mutants: Vec<Mutant> = Vec::new();
    for Change { range, line, column, function, with, what } in changes {
        let mut source = candidate.source.clone();
        source.replace_range(range, &with);
        let Ok(changed) = super::from_source(&source, spec) else { continue };
        let is_new =
            changed.source != candidate.source && mutants.iter().all(|one| one.candidate.source != changed.source);
        if is_new {
            mutants.push(Mutant { line, column, function, what, candidate: changed });
        }
    }
    mutants
}

struct Change {
    range: Range<usize>,
    line: usize,
    column: usize,
    function: String,
    with: String,
    what: String,
}

struct Finder<'a> {
    text: &'a str,
    /// The innermost function.
    function: String,
    changes: Vec<Change>,
}

/// Methods that are mistaken for one another.
const METHODS: [(&str, &str); 19] = [
    ("all", "any"),
    ("ceil", "floor"),
    ("checked_add", "checked_sub"),
    ("contains", "eq"),
    ("ends_with", "starts_with"),
    ("first", "last"),
    ("is_alphabetic", "is_alphanumeric"),
    ("is_ascii_alphabetic", "is_ascii_alphanumeric"),
    ("is_ascii_uppercase", "is_ascii_lowercase"),
    ("is_err", "is_ok"),
    ("is_none", "is_some"),
    ("is_uppercase", "is_lowercase"),
    ("max", "min"),
    ("pop_front", "pop_back"),
    ("push_front", "push_back"),
    ("saturating_add", "wrapping_add"),
    ("saturating_sub", "wrapping_sub"),
    ("to_lowercase", "to_uppercase"),
    ("to_ascii_lowercase", "to_ascii_uppercase"),
];
/// Methods that are forgotten: without them the type is the same.
const FORGOTTEN: [&str; 12] = [
    "abs",
    "rev",
    "trim",
    "trim_end",
    "trim_start",
    "to_lowercase",
    "to_uppercase",
    "to_ascii_lowercase",
    "to_ascii_uppercase",
    "sqrt",
    "cycle",
    "fuse",
];

impl Finder<'_> {
    fn change(&mut self, span: Span, with: impl Into<String>, what: impl Into<String>) {
        let (range, with) = (span.byte_range(), with.into());
        if self.text.get(range.clone()).is_some_and(|before| before != with) {
            let (start, function) = (span.start(), self.function.clone());
            let (line, column) = (start.line, start.column + 1);
            self.changes.push(Change { range, line, column, function, with, what: what.into() });
        }
    }

    fn replace(&mut self, span: Span, with: &str) {
        let before = self.text.get(span.byte_range()).unwrap_or_default();
        let what = format!("replace `{}` with `{with}`", short(before));
        self.change(span, with, what);
    }

    /// A function whose body is gone.
    fn empty(&mut self, name: &str, output: &ReturnType, block: &syn::Block) {
        let values = match output {
            ReturnType::Default => vec![String::new()],
            ReturnType::Type(_, of) => values(of, 0),
        };
        for value in values {
            let what = match value.as_str() {
                "" => format!("replace the body of `{name}` with nothing"),
                value => format!("replace the body of `{name}` with `{value}`"),
            };
            self.change(block.span(), format!("{{ {value} }}"), what);
        }
    }

    fn within(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.function, name);
        visit(self);
        self.function = outer;
    }
}

/// Few values of a type, as expressions, by its looks.
fn values(of: &Type, depth: usize) -> Vec<String> {
    let all = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let one = |of: &Type| values(of, depth + 1).into_iter().next().unwrap_or_else(|| "Default::default()".into());
    if depth > 3 {
        return all(&["Default::default()"]);
    }
    match of {
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => all(&["\"\"", "\"xyzzy\""]),
            Type::Slice(_) => all(&["&[]"]),
            _ => Vec::new(),
        },
        Type::Tuple(tuple) if tuple.elems.is_empty() => vec![String::new()],
        Type::Tuple(tuple) => {
            let parts: Vec<String> = tuple.elems.iter().map(one).collect();
            vec![format!("({},)", parts.join(", "))]
        }
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Vec::new() };
            let arguments: Vec<&Type> = match &last.arguments {
                PathArguments::AngleBracketed(list) => list
                    .args
                    .iter()
                    .filter_map(|argument| match argument {
                        GenericArgument::Type(of) => Some(of),
                        _ => None,
                    })
                    .collect(),
                _ => Vec::new(),
            };
            let first = || arguments.first().map_or_else(|| "Default::default()".to_owned(), |of| one(of));
            match last.ident.to_string().as_str() {
                "bool" => all(&["true", "false"]),
                "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => all(&["0", "1"]),
                "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => all(&["0", "1", "-1"]),
                "f32" | "f64" => all(&["0.0", "1.0", "-1.0"]),
                "char" => all(&["'x'"]),
                "String" => all(&["String::new()", "\"xyzzy\".to_owned()"]),
                "Vec" => vec!["Vec::new()".to_owned(), format!("vec![{}]", first())],
                "Option" => vec!["None".to_owned(), format!("Some({})", first())],
                "Result" => vec![format!("Ok({})", first())],
                _ => all(&["Default::default()"]),
            }
        }
        _ => Vec::new(),
    }
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let name = function.sig.ident.to_string();
        self.within(name.clone(), |finder| {
            finder.empty(&name, &function.sig.output, &function.block);
            visit::visit_block(finder, &function.block);
        });
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let name = function.sig.ident.to_string();
        self.within(name.clone(), |finder| {
            finder.empty(&name, &function.sig.output, &function.block);
            visit::visit_block(finder, &function.block);
        });
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let others: &[&str] = match binary.op {
            BinOp::Add(_) => &["-", "*"],
            BinOp::Sub(_) => &["+", "/"],
            BinOp::Mul(_) => &["+", "/"],
            BinOp::Div(_) => &["*", "%"],
            BinOp::Rem(_) => &["/", "+"],
            BinOp::And(_) => &["||"],
            BinOp::Or(_) => &["&&"],
            BinOp::BitXor(_) => &["|", "&"],
            BinOp::BitAnd(_) => &["|", "^"],
            BinOp::BitOr(_) => &["&", "^"],
            BinOp::Shl(_) => &[">>"],
            BinOp::Shr(_) => &["<<"],
            BinOp::Eq(_) => &["!="],
            BinOp::Ne(_) => &["=="],
            BinOp::Lt(_) => &["<=", ">"],
            BinOp::Le(_) => &["<", ">"],
            BinOp::Ge(_) => &[">", "<"],
            BinOp::Gt(_) => &[">=", "<"],
            BinOp::AddAssign(_) => &["-=", "*="],
            BinOp::SubAssign(_) => &["+="],
            BinOp::MulAssign(_) => &["+="],
            BinOp::DivAssign(_) => &["*="],
            BinOp::RemAssign(_) => &["/="],
            BinOp::BitXorAssign(_) => &["|="],
            BinOp::BitAndAssign(_) => &["|="],
            BinOp::BitOrAssign(_) => &["&="],
            BinOp::ShlAssign(_) => &[">>="],
            BinOp::ShrAssign(_) => &["<<="],
            _ => &[],
        };
        for other in others {
            self.replace(binary.op.span(), other);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if matches!(unary.op, UnOp::Not(_) | UnOp::Neg(_)) {
            let sign = unary.op.to_token_stream().to_string();
            self.change(unary.op.span(), " ", format!("delete `{sign}`"));
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_lit(&mut self, literal: &'ast syn::ExprLit) {
        let span = literal.lit.span();
        match &literal.lit {
            Lit::Int(int) => {
                if let Ok(value) = int.base10_parse::<u128>() {
                    self.replace(span, &format!("{}{}", value.saturating_add(1), int.suffix()));
                    if value > 0 {
                        self.replace(span, &format!("{}{}", value - 1, int.suffix()));
                    }
                }
            }
            Lit::Float(float) => {
                if let Ok(value) = float.base10_parse::<f64>() {
                    self.replace(span, &format!("{:?}{}", value + 1.0, float.suffix()));
                }
            }
            Lit::Bool(bool) => self.replace(span, if bool.value { "false" } else { "true" }),
            Lit::Str(text) => self.replace(span, if text.value().is_empty() { "\"xyzzy\"" } else { "\"\"" }),
            Lit::Char(char) => self.replace(span, if char.value() == 'x' { "'y'" } else { "'x'" }),
            _ => {}
        }
    }

    fn visit_expr_range(&mut self, range: &'ast syn::ExprRange) {
        if range.end.is_some() {
            let other = if matches!(range.limits, RangeLimits::Closed(_)) { ".." } else { "..=" };
            self.replace(range.limits.span(), other);
        }
        visit::visit_expr_range(self, range);
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        if !matches!(*branch.cond, Expr::Let(_)) && !holds_let(&branch.cond) {
            self.replace(branch.cond.span(), "true");
            self.replace(branch.cond.span(), "false");
        }
        visit::visit_expr_if(self, branch);
    }

    fn visit_pat_guard(&mut self, pattern: &'ast syn::PatGuard) {
        if !holds_let(&pattern.guard) {
            self.replace(pattern.guard.span(), "true");
            self.replace(pattern.guard.span(), "false");
        }
        visit::visit_pat_guard(self, pattern);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        for (one, other) in METHODS {
            if name == one {
                self.replace(call.method.span(), other);
            } else if name == other {
                self.replace(call.method.span(), one);
            }
        }
        if FORGOTTEN.contains(&name.as_str()) && call.args.is_empty() {
            let receiver = self.text.get(call.receiver.span().byte_range()).unwrap_or_default().to_owned();
            self.change(call.span(), receiver, format!("delete `.{name}()`"));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if let Stmt::Expr(expression, Some(_)) = statement {
            let is_effect = match expression {
                Expr::MethodCall(_) | Expr::Assign(_) | Expr::Call(_) | Expr::Continue(_) => true,
                Expr::Binary(binary) => is_assigning(&binary.op),
                _ => false,
            };
            if is_effect {
                let text = self.text.get(statement.span().byte_range()).unwrap_or_default();
                let what = format!("delete `{}`", short(text));
                self.change(statement.span(), "", what);
            }
        }
        visit::visit_stmt(self, statement);
    }

    // Constants of a type's length and of patterns are no behaviour of their own: the rest is enough.
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

fn is_assigning(op: &BinOp) -> bool {
    op.to_token_stream().to_string().ends_with('=')
        && !matches!(op, BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Le(_) | BinOp::Ge(_))
}

/// Whether a chain of conditions binds a name.
fn holds_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(binary) => holds_let(&binary.left) || holds_let(&binary.right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    fn of(signature: &str, code: &str) -> Vec<String> {
        let text = format!(
            "llmc: 1\nname: f\ndescription: d\nsignature: \"{signature}\"\nexamples: [{{ call: 'f()', holds: 'true' }}]\n"
        );
        let (spec, _) = spec::parse("f.yaml", "f", text.as_bytes()).expect("the spec is valid");
        let candidate = super::super::from_source(code, &spec).expect("it is a candidate");
        mutants(&candidate, &spec).into_iter().map(|mutant| format!("{}: {}", mutant.line, mutant.what)).collect()
    }

    #[test]
    fn each_small_change_is_made_once_at_its_place() {
        let found = of("pub fn f(n: i32) -> bool", "pub fn f(n: i32) -> bool {\n    !(n < 3)\n}\n");
        assert_eq!(
            found,
            [
                "1: replace the body of `f` with `true`",
                "1: replace the body of `f` with `false`",
                "2: delete `!`",
                "2: replace `<` with `<=`",
                "2: replace `<` with `>`",
                "2: replace `3` with `4`",
                "2: replace `3` with `2`",
            ]
        );
    }

    #[test]
    fn statements_branches_ranges_and_methods_are_changed() {
        let code = "pub fn f(text: &str) -> Vec<u8> {\n    let mut out = Vec::new();\n    for at in 0..text.len() {\n        \
                    if at > 1 && text.is_char_boundary(at) {\n            out.push(text.as_bytes()[at]);\n        }\n    }\n    \
                    out.iter().rev().copied().collect()\n}\n";
        let found = of("pub fn f(text: &str) -> Vec<u8>", code).join("\n");
        for expected in [
            "1: replace the body of `f` with `Vec::new()`",
            "1: replace the body of `f` with `vec![0]`",
            "3: replace `..` with `..=`",
            "4: replace `at > 1 && text.is_char_boundary(at)` with `true`",
            "4: replace `&&` with `||`",
            "5: delete `out.push(text.as_bytes()[at]);`",
            "8: delete `.rev()`",
        ] {
            assert!(found.contains(expected), "{expected}:\n{found}");
        }
    }
}
