//! Answers to questions, put into a spec's file: as an example, or as a property that rules inputs out.
//!
//! Nothing is taken that was not tried: an example has to compile and to accept just the programs that do what was
//! answered; a property has to compile and to fail none of them. The file itself is written once, at the end.

use std::path::Path;
use std::sync::Arc;

use quote::ToTokens as _;

use crate::behaviour::{Kind, Outcome};
use crate::candidate::Candidate;
use crate::error::{Error, ExitCode};
use crate::spec::{self, Example, Expect, Property, Severity, Snippet, Spec};
use crate::syntax::{check_bounds, deep};
use crate::validate::{ValidateError, Validator};

/// Begins the names of properties that rule inputs out.
const VALID: &str = "valid_input_";

/// A spec's text while it is changed.
#[derive(Clone)]
pub(super) struct Pen {
    /// The file's name without its end.
    pub(super) stem: String,
    /// The text as it is now.
    pub(super) text: String,
    /// What it says.
    pub(super) spec: Arc<Spec>,
    pub(super) validator: Arc<Validator>,
    pub(super) uses: Vec<(String, String)>,
}

/// Why an answer is not in the text.
#[derive(Debug)]
pub(super) enum Refused {
    /// It can't be, as it is: why, for the user.
    No(String),
    /// llmc could not do its part.
    Error(ValidateError),
}

impl From<ValidateError> for Refused {
    fn from(error: ValidateError) -> Self {
        Self::Error(error)
    }
}

/// What an example accepts.
pub(super) struct Accepted {
    /// The text that has it.
    pub(super) pen: Pen,
    /// The example, as lines of YAML.
    pub(super) lines: Vec<String>,
    /// Of each program that was tried: whether it passes.
    pub(super) passes: Vec<bool>,
}

impl Pen {
    /// The text with an example more, tried on programs.
    pub(super) fn example(&self, example: &Example, note: &str, programs: &[Candidate]) -> Result<Accepted, Refused> {
        let shown = |what: &Snippet| if what.text.len() > 60 { "this".to_owned() } else { format!("`{}`", what.text) };
        let texts = match &example.expect {
            Expect::Returns(text) | Expect::Holds(text) => vec![&example.call, text],
            _ => vec![&example.call],
        };
        for text in texts {
            if let Err(why) = is_expression(&text.text) {
                return Err(Refused::No(format!("{} is no Rust expression: {why}", shown(text))));
            }
        }
        let text = spec::with_example(&self.text, &self.stem, example, Some(note));
        let pen = text.and_then(|text| self.with(text)).ok_or_else(|| cannot("an example"))?;
        let last = pen.spec.examples.last().cloned().into_iter().collect();
        let alone =
            Spec { examples: last, properties: Vec::new(), tests: None, hidden_tests: None, ..(*pen.spec).clone() };
        pen.compiles(&alone)?;
        let passes = pen.tried(&alone, programs)?;
        let lines = added(&self.text, &pen.text);
        Ok(Accepted { pen, lines, passes })
    }

    /// The text with a property that rules out the arguments of `call`, or all that do not keep `condition`. None of
    /// `programs` may fail because of it.
    pub(super) fn exclusion(
        &self,
        call: &str,
        condition: Option<&str>,
        note: &str,
        programs: &[Candidate],
    ) -> Result<(Pen, Vec<String>), Refused> {
        let Call { name, forall, passed, differs } = deep(|| arguments(&self.spec, call)).map_err(Refused::No)?;
        let own = format!("{name}({})", passed.join(", "));
        let holds = [
            format!("{{ let _ = {own}; true }}"),
            // On other inputs a program may well panic; the call is there to say whose arguments these are.
            format!("true || {{ let _ = {own}; true }}"),
        ];
        let assumes: Vec<String> = match condition {
            Some(condition) => {
                is_expression(condition)
                    .map_err(|why| Refused::No(format!("`{condition}` is no Rust expression: {why}")))?;
                vec![condition.trim().to_owned()]
            }
            None => differs,
        };
        let variables = |list: &[(String, Snippet)]| {
            list.iter().map(|(name, ty)| (name.clone(), ty.text.trim().to_owned())).collect::<Vec<_>>()
        };
        let known = self.spec.properties.iter().find(|property| {
            property.name.starts_with(VALID)
                && variables(&property.forall) == variables(&forall)
                && property.assume.is_some()
                && holds.contains(&property.holds.text)
        });
        let mut why = cannot("a property");
        for assume in &assumes {
            let tries: Vec<(Option<String>, String)> = match known {
                // Inputs that some property takes are not ruled out by another: this one has to know all of them.
                Some(property) => {
                    let old = property.assume.as_ref().map_or("true", |assume| assume.text.as_str());
                    let brackets = |text: &str| if text.contains("||") { format!("({text})") } else { text.to_owned() };
                    let both = format!("{} && {}", brackets(old), brackets(assume));
                    vec![(spec::with_assume(&self.text, &self.stem, &property.name, &both), property.name.clone())]
                }
                None => {
                    let free = |number: &usize| {
                        let name = format!("{VALID}{number}");
                        self.spec.properties.iter().all(|property| property.name != name)
                    };
                    let name = format!("{VALID}{}", (1..).find(free).expect("there are more numbers than properties"));
                    let property = |holds: &String| Property {
                        name: name.clone(),
                        forall: forall.clone(),
                        assume: Some(Snippet::new(assume)),
                        holds: Snippet::new(holds),
                        hidden: false,
                    };
                    let text = |holds| spec::with_property(&self.text, &self.stem, &property(holds), Some(note));
                    holds.iter().map(|holds| (text(holds), name.clone())).collect()
                }
            };
            for (text, name) in tries {
                let Some(pen) = text.and_then(|text| self.with(text)) else { continue };
                let property = pen.spec.properties.iter().filter(|property| property.name == name).cloned().collect();
                let alone = Spec {
                    examples: Vec::new(),
                    properties: property,
                    tests: None,
                    hidden_tests: None,
                    ..(*pen.spec).clone()
                };
                match pen.compiles(&alone) {
                    Err(Refused::No(reason)) => {
                        why = Refused::No(reason);
                        break;
                    }
                    other => other?,
                }
                match pen.tried(&alone, programs)?.contains(&false) {
                    true => why = Refused::No("a program that passes would fail with it".to_owned()),
                    false => {
                        let lines = added(&self.text, &pen.text);
                        return Ok((pen, lines));
                    }
                }
            }
        }
        Err(why)
    }

    fn with(&self, text: String) -> Option<Self> {
        let (spec, _) = spec::parse(&self.stem, &self.stem, text.as_bytes()).ok()?;
        Some(Self { text, spec: Arc::new(spec), ..self.clone() })
    }

    /// Whether the checks of a spec compile.
    fn compiles(&self, spec: &Spec) -> Result<(), Refused> {
        let mistakes = self.validator.check(spec, &self.uses)?;
        match mistakes.into_iter().find(|mistake| mistake.severity == Severity::Error) {
            Some(mistake) => {
                let help = mistake.help.map(|help| format!(" ({help})")).unwrap_or_default();
                Err(Refused::No(format!("rustc says: {}{help}", mistake.message)))
            }
            None => Ok(()),
        }
    }

    /// Which programs pass the checks of a spec.
    fn tried(&self, spec: &Spec, programs: &[Candidate]) -> Result<Vec<bool>, Refused> {
        let checks = self.validator.prepare(spec, &self.uses)?;
        let programs: Vec<&Candidate> = programs.iter().collect();
        Ok(self.validator.judge_all(&checks, &programs)?.iter().map(crate::verdict::Verdict::is_pass).collect())
    }

    /// Makes sure that the whole spec compiles, then puts it in the place of the file, at once. `old` is what was read.
    pub(super) fn write(&self, path: &Path, old: &[u8]) -> Result<(), Error> {
        let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed =
            |error: std::io::Error| Error::new(ExitCode::Usage, format!("failed to write `{shown}`")).cause(error);
        // What a link leads to is the file.
        let path = std::fs::canonicalize(path).map_err(failed)?;
        if std::fs::read(&path).map_err(failed)? != old {
            let error = Error::new(ExitCode::Usage, format!("`{shown}` was changed meanwhile: nothing was written"));
            return Err(error.hint("run it again: what was drawn is in the ledger"));
        }
        let folder = path.parent().expect("a file is in a folder");
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        std::io::Write::write_all(&mut file, self.text.as_bytes()).map_err(failed)?;
        file.as_file().set_permissions(std::fs::metadata(&path).map_err(failed)?.permissions()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn cannot(what: &str) -> Refused {
    Refused::No(format!("{what} can't be put into the file without touching the rest of it"))
}

/// An example as lines of YAML, as they would stand in this text; none where they can't.
pub(super) fn lines(text: &str, stem: &str, example: &Example) -> Vec<String> {
    let new = spec::with_example(text, stem, example, None);
    new.map(|new| added(text, &new)).unwrap_or_default()
}

/// The lines of a text that are not in the one before.
fn added(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - same;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(old, new)| old == new).count();
    new[same..new.len() - tail].iter().map(|line| (*line).to_owned()).collect()
}

fn is_expression(text: &str) -> Result<(), String> {
    let text = text.to_owned();
    deep(move || {
        check_bounds(&text).map_err(|error| error.to_string())?;
        syn::parse_str::<syn::Expr>(&text).map(|_| ()).map_err(|error| error.to_string())
    })
}

/// The examples that may say that an outcome is the right one, the plainest first.
pub(super) fn examples(call: &str, outcome: &Outcome) -> Vec<Example> {
    let example = |call: &str, expect| Example { call: Snippet::new(call), expect, hidden: false };
    let returns = |text: &str| Expect::Returns(Snippet::new(text));
    match outcome.kind {
        Kind::Value | Kind::Error if outcome.text.contains("leaves ") => {
            deep(|| left(call, &outcome.text)).map(|(call, text)| example(&call, returns(&text))).into_iter().collect()
        }
        Kind::Value if outcome.text.ends_with("::NAN") => {
            vec![example(call, Expect::Holds(Snippet::new("result.is_nan()")))]
        }
        Kind::Value => vec![example(call, returns(&outcome.text))],
        Kind::Error => {
            vec![example(call, returns(&outcome.text)), example(call, Expect::Matches(Snippet::new("Err(_)")))]
        }
        Kind::Panic => vec![example(call, Expect::Panics(None))],
        Kind::Crash | Kind::Timeout | Kind::Flaky | Kind::Unknown => Vec::new(),
    }
}

/// A call that changes one of its arguments, as a block that gives what it left there: `leaves v = [2]` is told of
/// `f(&mut [1, 2])`. With what it returns, where it returns something.
fn left(call: &str, text: &str) -> Option<(String, String)> {
    let (before, after) = text.split_once("leaves ")?;
    let result = before.strip_suffix(" and ").filter(|result| !result.is_empty());
    let (name, value) = after.split_once(" = ")?;
    check_bounds(call).ok()?;
    check_bounds(value).ok()?;
    syn::parse_str::<syn::Expr>(value).ok()?;
    syn::parse_str::<syn::Ident>(name).ok()?;
    let syn::Expr::Call(parsed) = syn::parse_str::<syn::Expr>(call).ok()? else { return None };
    let mut own = None;
    let mut arguments: Vec<String> = Vec::new();
    for argument in &parsed.args {
        match argument {
            syn::Expr::Reference(reference) if reference.mutability.is_some() => {
                if own.is_some() {
                    return None;
                }
                let text = source(&reference.expr);
                // A slice is told as a vector.
                own = Some(if matches!(&*reference.expr, syn::Expr::Array(_)) { format!("vec!{text}") } else { text });
                arguments.push(format!("&mut {name}"));
            }
            other => arguments.push(source(other)),
        }
    }
    let (own, called) = (own?, source(&parsed.func));
    let call = format!("{called}({})", arguments.join(", "));
    Some(match result {
        Some(result) => {
            (format!("{{ let mut {name} = {own}; let out = {call}; (out, {name}) }}"), format!("({result}, {value})"))
        }
        None => (format!("{{ let mut {name} = {own}; {call}; {name} }}"), value.to_owned()),
    })
}

/// A part of a call, as it was written.
fn source(part: &impl syn::spanned::Spanned) -> String {
    part.span().source_text().unwrap_or_default()
}

/// A call of a wanted function: its arguments as variables.
struct Call {
    name: String,
    forall: Vec<(String, Snippet)>,
    /// How each variable is passed.
    passed: Vec<String>,
    /// Conditions that say that the variables are not the arguments, of which the first that compiles will do.
    differs: Vec<String>,
}

fn arguments(spec: &Spec, call: &str) -> Result<Call, String> {
    let refused = |why: &str| format!("inputs can't be ruled out here: {why}");
    check_bounds(call).map_err(|error| refused(&error.to_string()))?;
    let parsed = syn::parse_str::<syn::Expr>(call).map_err(|error| refused(&error.to_string()))?;
    let syn::Expr::Call(parsed) = parsed else { return Err(refused("this is no plain call")) };
    let name = parsed.func.to_token_stream().to_string().replace(' ', "");
    let function = spec.interface.functions.iter().find(|function| function.name == name && !function.generic);
    let function = function.ok_or_else(|| refused(&format!("`{name}` is no plain function of the spec")))?;
    if parsed.args.is_empty() || function.inputs.len() != parsed.args.len() {
        return Err(refused("the call has no arguments of its own"));
    }
    let mut own = Call { name, forall: Vec::new(), passed: Vec::new(), differs: Vec::new() };
    let mut tests: Vec<Vec<String>> = Vec::new();
    for (at, ((name, ty), argument)) in function.inputs.iter().zip(&parsed.args).enumerate() {
        let plain = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_') && name != "_";
        let name = if plain { name.clone() } else { format!("input_{}", at + 1) };
        let parsed = syn::parse_str::<syn::Type>(ty).map_err(|error| refused(&error.to_string()))?;
        let (ty, is_borrowed) = match &parsed {
            syn::Type::Reference(reference) if reference.mutability.is_some() => {
                return Err(refused(&format!("`{name}` is changed by the call")));
            }
            syn::Type::Reference(reference) => (owned(&reference.elem), true),
            other => (other.to_token_stream().to_string(), false),
        };
        let ty = tidy(&ty);
        if ty.contains('&') || ty.contains("impl ") || ty.contains("dyn ") {
            return Err(refused(&format!("`{name}` is of a type whose values can't be made here")));
        }
        own.passed.push(if is_borrowed { format!("&{name}") } else { format!("{name}.clone()") });
        let text = source(argument);
        let bare = text.strip_prefix('&').unwrap_or(&text);
        let mut differs = vec![format!("{name} != {text}"), format!("{name} != {bare}"), format!("*{name} != {bare}")];
        if bare == "[]" || bare == "vec![]" {
            differs.insert(0, format!("!{name}.is_empty()"));
        }
        tests.push(differs);
        own.forall.push((name, Snippet::new(ty)));
    }
    let most = tests.iter().map(Vec::len).max().unwrap_or_default();
    own.differs = (0..most)
        .map(|at| tests.iter().map(|all| all[at.min(all.len() - 1)].as_str()).collect::<Vec<_>>().join(" || "))
        .collect();
    Ok(own)
}

/// The owned type of what is borrowed.
fn owned(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Slice(slice) => format!("Vec<{}>", slice.elem.to_token_stream()),
        syn::Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        other => other.to_token_stream().to_string(),
    }
}

/// Tokens as people write them.
fn tidy(tokens: &str) -> String {
    let mut text = tokens.to_owned();
    for (loose, tight) in
        [(" :: ", "::"), (" < ", "<"), ("< ", "<"), (" >", ">"), (" <", "<"), (" ,", ","), ("( ", "("), (" )", ")")]
    {
        text = text.replace(loose, tight);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(signature: &str) -> Spec {
        let text = format!(
            "llmc: 1\nname: f\ndescription: d\nsignature: \"{signature}\"\nexamples:\n  - {{ call: \"1\", returns: \"1\" }}\n"
        );
        spec::parse("f", "f", text.as_bytes()).expect("it is a spec").0
    }

    #[test]
    fn the_arguments_of_a_call_become_variables() {
        let spec = spec("pub fn f(s: &str, v: &[(u8, i64)], n: Option<u32>) -> u8");
        let call = arguments(&spec, "f(\"a b\", &[(1, -2)], None)").expect("it is a plain call");
        let forall: Vec<(&str, &str)> =
            call.forall.iter().map(|(name, ty)| (name.as_str(), ty.text.as_str())).collect();
        assert_eq!(forall, [("s", "String"), ("v", "Vec<(u8, i64)>"), ("n", "Option<u32>")]);
        assert_eq!(call.passed, ["&s", "&v", "n.clone()"]);
        assert_eq!(call.differs[0], "s != \"a b\" || v != &[(1, -2)] || n != None");
        assert_eq!(call.differs[1], "s != \"a b\" || v != [(1, -2)] || n != None");
        assert!(arguments(&spec, "g(1)").is_err());
        assert!(arguments(&spec, "f(\"a\")").is_err());
    }

    #[test]
    fn what_a_call_leaves_becomes_an_example_of_a_block() {
        assert_eq!(
            left("sort(&mut [3, 1], true)", "leaves v = vec![1, 3]"),
            Some(("{ let mut v = vec![3, 1]; sort(&mut v, true); v }".to_owned(), "vec![1, 3]".to_owned()))
        );
        assert_eq!(
            left("pop(&mut vec![3])", "Some(3) and leaves v = vec![]"),
            Some((
                "{ let mut v = vec![3]; let out = pop(&mut v); (out, v) }".to_owned(),
                "(Some(3), vec![])".to_owned()
            ))
        );
        assert_eq!(left("f(&mut 1, &mut 2)", "leaves a = 1, b = 2"), None);
    }

    #[test]
    fn what_is_new_in_a_text_is_told() {
        assert_eq!(added("a\nb\nc\n", "a\nb\nx\ny\nc\n"), ["x", "y"]);
        assert_eq!(added("a\nb\n", "a\nb\na\nb\n").len(), 2);
        assert_eq!(added("a\nb\n", "a\nc\n"), ["c"]);
    }
}
