//! Softening: what code answers becomes what a model answers. The call site stays.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::components::{Opening, open};
use super::specs::{self, Loaded};
use super::{Session, build, component, hardened};
use crate::error::{Error, ExitCode};
use crate::freeze;
use crate::repo::{HeadState, Repo};
use crate::spec;
use crate::workspace::paths;

/// Most examples that are taken from a function's behaviour.
const EXAMPLES: usize = 12;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Softened {
    /// The component.
    pub name: String,
    /// What it was: `hybrid` or `function`.
    pub was: &'static str,
    /// Examples that were taken from its behaviour.
    pub examples: usize,
    /// The commit, where there is a repository.
    pub commit: Option<String>,
}

/// Takes a hardened component's code away, or makes a component of a function.
pub async fn soften(session: &mut Session, name: &str, from: &Path) -> Result<Softened, Error> {
    let found = specs::load(session, &[name.to_owned()], from)?;
    if !found.mistakes.is_empty() {
        return Err(Error::spec(found.mistakes));
    }
    if let Some(one) = found.components.first() {
        let name = one.spec.name.clone();
        if !freeze::is_hardened(&session.workspace, &name)? {
            return Err(Error::new(
                ExitCode::Usage,
                format!("`{name}` is as soft as it gets: its model answers alone"),
            ));
        }
        let commit = hardened::soften_hardened(session, one)?;
        return Ok(Softened { name, was: "hybrid", examples: 0, commit });
    }
    let loaded = found.functions.last().expect("what was named was found, or is a mistake").clone();
    function(session, &loaded, from).await
}

async fn function(session: &mut Session, loaded: &Loaded, from: &Path) -> Result<Softened, Error> {
    let spec = &loaded.spec;
    let name = spec.name.clone();
    let no = |why: &str| Error::new(ExitCode::Usage, format!("`{name}` can't become a component: {why}"));
    let [function] = &spec.interface.functions[..] else { return Err(no("it has several functions")) };
    let [_] = &function.inputs[..] else {
        return Err(
            no("it takes more or less than one argument").hint("give it one, such as a struct, and build it anew")
        );
    };
    // What is not committed would be lost.
    if let Some(repo) = Repo::discover(&session.workspace.root)? {
        let own = [loaded.path.clone(), paths::code(&name), paths::provenance(&name)];
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        if !repo.compare_to_head(&own)?.iter().all(|state| *state == HeadState::Committed) {
            return Err(Error::new(ExitCode::Difference, format!("`{name}` is not as it is committed"))
                .hint("build and commit it first: what git has is not lost"));
        }
    }
    let opened =
        open(session, std::slice::from_ref(&name), Opening { unrecorded: true, ..Opening::default() }, from).await?;
    let ctx = opened.harness.run();
    let mut examples = Vec::new();
    for example in &spec.examples {
        let Some(input) = argument(&example.call.text) else { continue };
        if examples.len() == EXAMPLES || examples.iter().any(|(known, _)| *known == input) {
            continue;
        }
        // What it fails on is no example of what it gives.
        if let Ok(output) = ctx.call_value(&name, input.clone()).await {
            examples.push((input, output));
        }
    }
    let mut text = format!(
        "llmc: 1\nname: {name}\nkind: component\ndescription: {}\ninterface: {}\n",
        json!(spec.description),
        json!(interface(&loaded.spec)),
    );
    if !spec.model.is_empty() {
        text.push_str(&format!("model: {}\n", json!(spec.model)));
    }
    if !examples.is_empty() {
        text.push_str("examples:\n");
    }
    for (input, output) in &examples {
        text.push_str(&format!("  - input: {input}\n    output: {output}\n"));
    }
    let (parsed, warnings) = match spec::parse_any(&loaded.path, &name, text.as_bytes()) {
        Ok((spec::AnySpec::Component(parsed), warnings)) => (parsed, warnings),
        Ok(_) => return Err(no("its spec came out as that of a function")),
        Err(mistakes) => {
            let errors = mistakes.list.iter().filter(|mistake| mistake.severity == spec::Severity::Error);
            let first = errors.map(|mistake| mistake.message.clone()).next().unwrap_or_default();
            return Err(no(&first).hint("what a component takes and gives has to be JSON: docs/components.md"));
        }
    };
    let path = session.workspace.path(&loaded.path);
    let failed = |error| Error::new(ExitCode::Internal, format!("failed to write `{}`", loaded.path)).cause(error);
    std::fs::write(&path, &text).map_err(failed)?;
    let one = specs::LoadedComponent {
        path: loaded.path.clone(),
        bytes: text.into_bytes(),
        spec: (*parsed).into(),
        warnings,
    };
    let repo = if session.options.no_commit { None } else { Repo::discover(&session.workspace.root)? };
    let mut lock = Some(build::take_lock(session)?);
    let done = component::refresh(session, &one, repo.as_ref(), &mut lock, Instant::now());
    let finished = done.inspect_err(|_| {
        // As it was: a component whose types could not be written is no component.
        let _ = std::fs::write(&path, &loaded.bytes);
    })?;
    Ok(Softened { name, was: "function", examples: examples.len(), commit: finished.commit })
}

/// The interface as Rust items: what is given, and the function without its body.
fn interface(spec: &spec::Spec) -> String {
    match spec.interface.form {
        spec::Form::Signature => format!("{};", spec.interface.source.text.trim().trim_end_matches(';')),
        spec::Form::Interface => spec.interface.source.text.clone(),
    }
}

/// The one argument of an example's call, where it is plain enough to be written as JSON.
fn argument(call: &str) -> Option<Value> {
    crate::syntax::deep(|| {
        let tokens = crate::syntax::check_bounds(call).ok()?;
        let syn::Expr::Call(call) = syn::parse2::<syn::Expr>(tokens).ok()? else { return None };
        let mut arguments = call.args.iter();
        let (Some(first), None) = (arguments.next(), arguments.next()) else { return None };
        value(first)
    })
}

fn value(expression: &syn::Expr) -> Option<Value> {
    use syn::{Expr, Lit, UnOp};
    Some(match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => text.value().into(),
            Lit::Char(one) => one.value().to_string().into(),
            Lit::Bool(one) => one.value.into(),
            Lit::Int(number) => number.base10_parse::<i64>().ok()?.into(),
            Lit::Float(number) => serde_json::Number::from_f64(number.base10_parse().ok()?)?.into(),
            _ => return None,
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match value(&unary.expr)? {
            Value::Number(number) => match number.as_i64() {
                Some(number) => number.checked_neg()?.into(),
                None => serde_json::Number::from_f64(-number.as_f64()?)?.into(),
            },
            _ => return None,
        },
        Expr::Reference(reference) => value(&reference.expr)?,
        Expr::Paren(inner) => value(&inner.expr)?,
        Expr::Array(array) => array.elems.iter().map(value).collect::<Option<Vec<Value>>>()?.into(),
        Expr::Tuple(tuple) => tuple.elems.iter().map(value).collect::<Option<Vec<Value>>>()?.into(),
        Expr::Macro(one) if one.mac.path.is_ident("vec") => {
            let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
            let elements = syn::parse::Parser::parse2(parser, one.mac.tokens.clone()).ok()?;
            elements.iter().map(value).collect::<Option<Vec<Value>>>()?.into()
        }
        // `"text".to_string()` and the like.
        Expr::MethodCall(call) if call.args.is_empty() => match call.method.to_string().as_str() {
            "to_string" | "to_owned" | "into" | "to_vec" => value(&call.receiver)?,
            _ => return None,
        },
        Expr::Call(call) if call.args.len() == 1 => match &*call.func {
            Expr::Path(path) if path.path.is_ident("Some") => value(call.args.first()?)?,
            Expr::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "from") => {
                value(call.args.first()?)?
            }
            _ => return None,
        },
        Expr::Path(path) if path.path.is_ident("None") => Value::Null,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_arguments_are_json() {
        for (call, wanted) in [
            ("f(\"a\\n\")", json!("a\n")),
            ("f(-3)", json!(-3)),
            ("f(&[1, 2])", json!([1, 2])),
            ("f(vec![\"a\".to_string(), String::from(\"b\")])", json!(["a", "b"])),
            ("f(Some(1.5))", json!(1.5)),
            ("f(None)", Value::Null),
            ("f((1, true))", json!([1, true])),
        ] {
            assert_eq!(argument(call), Some(wanted), "{call}");
        }
        for call in ["f(x)", "f(1, 2)", "f()", "g(f(1))", "f(1 + 1)", "f(\"a\".repeat(3))"] {
            assert_eq!(argument(call), None, "{call}");
        }
    }
}
