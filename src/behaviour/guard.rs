//! What a spec's properties say about a function's arguments: inputs that they all rule out are none.
//!
//! A property's `assume` counts where the property calls the function with its own variables and nothing else. Where
//! one property takes every input, or an example shows what the others rule out, nothing is ruled out.

use quote::ToTokens as _;
use syn::visit::{self, Visit};

use super::shape::Function;
use crate::candidate;
use crate::spec::{Profile, Property, Spec};
use crate::syntax::{check_bounds, deep};
use crate::validate::{Answerers, Reply, ValidateError, Validator};

const NAME: &str = "llmc_assume";

/// The preconditions of a spec's functions, as programs that are asked.
pub(super) struct Guards {
    /// Of each function, where it has some.
    guards: Vec<Option<Guard>>,
    texts: Vec<String>,
    notes: Vec<String>,
}

/// What a property assumes, and for each argument in its call: its place, the variable, the variable's type.
type Assumption = (String, Vec<(usize, String, String)>);

struct Guard {
    answerers: Answerers,
    count: usize,
}

impl Guards {
    /// Those of `functions`. `shown` are calls that the spec shows, with the function of each.
    pub(super) fn new(
        validator: &Validator,
        spec: &Spec,
        functions: &[Function],
        shown: &[(usize, Vec<u8>)],
    ) -> Result<Self, ValidateError> {
        let mut all = Self { guards: Vec::new(), texts: Vec::new(), notes: Vec::new() };
        for (at, function) in functions.iter().enumerate() {
            let found = deep(|| assumptions(spec, function));
            let mut guard = match found.is_empty() {
                true => None,
                false => build(validator, spec, function, &found)?,
            };
            if guard.is_none() && !found.is_empty() {
                all.notes.push(format!("the `assume` of a property could not be applied to `{}`", function.path));
            }
            if let Some(one) = &mut guard {
                let calls: Vec<&[u8]> =
                    shown.iter().filter(|(of, _)| *of == at).map(|(_, call)| call.as_slice()).collect();
                if one.admits(&calls)?.contains(&false) {
                    guard = None;
                } else {
                    all.texts.extend(found.iter().map(|(assume, _)| assume.clone()));
                }
            }
            all.guards.push(guard);
        }
        all.texts.dedup();
        Ok(all)
    }

    /// Whether inputs of a function are such, each as a call.
    pub(super) fn admit(&mut self, function: usize, calls: &[&[u8]]) -> Result<Vec<bool>, ValidateError> {
        match &mut self.guards[function] {
            None => Ok(vec![true; calls.len()]),
            Some(guard) => guard.admits(calls),
        }
    }

    /// What rules inputs out.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// What could not be looked at.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Guard {
    /// Whether some property takes each of these.
    fn admits(&mut self, calls: &[&[u8]]) -> Result<Vec<bool>, ValidateError> {
        // Its only function has the number 0.
        let calls: Vec<Vec<u8>> = calls.iter().map(|call| [&[0; 4], &call[4..]].concat()).collect();
        let calls: Vec<&[u8]> = calls.iter().map(Vec::as_slice).collect();
        let mut admitted = vec![false; calls.len()];
        for number in 0..self.count {
            for (at, reply) in self.answerers.ask(number, false, &calls)?.into_iter().enumerate() {
                admitted[at] |= match reply {
                    // Returned, true.
                    Reply::Answer(bytes) => bytes == [0, 1],
                    Reply::NotAsked => true,
                    _ => false,
                };
            }
        }
        Ok(admitted)
    }
}

/// What properties assume of the function's arguments, each with the variables that stand for these. None where some
/// property takes all inputs.
fn assumptions(spec: &Spec, function: &Function) -> Vec<Assumption> {
    let mut all = Vec::new();
    for property in &spec.properties {
        let Some(variables) = variables(property, function) else { continue };
        let Some(assume) = &property.assume else { return Vec::new() };
        let mentions = |name: &str| mentions(&assume.text, name);
        let asks_program = spec.interface.functions.iter().any(|function| mentions(&function.name));
        let known = |name: &String| variables.iter().any(|(_, variable, _)| variable == name);
        let is_whole = property.forall.iter().all(|(name, _)| !mentions(name) || known(name));
        if asks_program || !is_whole {
            return Vec::new();
        }
        all.push((assume.text.trim().to_owned(), variables));
    }
    all
}

fn mentions(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == name)
}

/// The first call of the function in a property whose arguments are its variables: the place of each argument, the
/// variable, its type.
fn variables(property: &Property, function: &Function) -> Option<Vec<(usize, String, String)>> {
    struct Calls<'a> {
        property: &'a Property,
        function: &'a Function,
        found: Option<Vec<(usize, String, String)>>,
    }
    impl<'ast> Visit<'ast> for Calls<'_> {
        fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
            let name = call.func.to_token_stream().to_string().replace(' ', "");
            if name == self.function.path && call.args.len() == self.function.inputs.len() && self.found.is_none() {
                let variable = |(at, argument): (usize, &syn::Expr)| {
                    let name = variable(argument)?;
                    let (_, ty) = self.property.forall.iter().find(|(known, _)| *known == name)?;
                    Some((at, name, ty.text.trim().to_owned()))
                };
                self.found = call.args.iter().enumerate().map(variable).collect();
            }
            visit::visit_expr_call(self, call);
        }

        fn visit_macro(&mut self, node: &'ast syn::Macro) {
            let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
            if let Ok(arguments) = node.parse_body_with(parser) {
                arguments.iter().for_each(|argument| self.visit_expr(argument));
            }
        }
    }
    check_bounds(&property.holds.text).ok()?;
    let block: syn::Block = syn::parse_str(&format!("{{ {} }}", property.holds.text)).ok()?;
    let mut calls = Calls { property, function, found: None };
    calls.visit_block(&block);
    calls.found
}

/// The variable that an argument is, however it is passed.
fn variable(argument: &syn::Expr) -> Option<String> {
    match argument {
        syn::Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        syn::Expr::Paren(inner) => variable(&inner.expr),
        syn::Expr::Reference(inner) => variable(&inner.expr),
        syn::Expr::Index(index) if matches!(&*index.index, syn::Expr::Range(range) if range.start.is_none() && range.end.is_none()) => {
            variable(&index.expr)
        }
        syn::Expr::MethodCall(call) if call.args.is_empty() => {
            const SAME: [&str; 6] = ["clone", "as_str", "as_slice", "to_vec", "to_owned", "as_ref"];
            SAME.iter().any(|name| call.method == name).then(|| variable(&call.receiver)).flatten()
        }
        _ => None,
    }
}

fn build(
    validator: &Validator,
    spec: &Spec,
    function: &Function,
    found: &[Assumption],
) -> Result<Option<Guard>, ValidateError> {
    let Some(wanted) = spec.interface.functions.iter().find(|wanted| wanted.name == function.path) else {
        return Ok(None);
    };
    if function.inputs.iter().any(|input| input.changes) {
        return Ok(None);
    }
    let types: Vec<&str> = wanted.inputs.iter().map(|(_, ty)| ty.as_str()).collect();
    let arguments: Vec<String> = types.iter().enumerate().map(|(at, ty)| format!("llmc_{at}: {ty}")).collect();
    let signature = format!("pub fn {NAME}({}) -> bool", arguments.join(", "));
    let given: Vec<&str> = spec.interface.given.iter().map(|given| given.source.as_str()).collect();
    let head = format!("{}\n{}", spec.interface.imports.join("\n"), given.join("\n"));
    let interface = format!("{head}\n{signature};").lines().map(|line| format!("  {line}\n")).collect::<String>();
    let text = format!(
        "llmc: 1\nname: {NAME}\ndescription: What properties assume.\ninterface: |\n{interface}examples:\n  - {{ call: \"1\", returns: \"1\" }}\n"
    );
    let Ok((guarded, _)) = crate::spec::parse(&format!("specs/{NAME}.yaml"), NAME, text.as_bytes()) else {
        return Ok(None);
    };
    let mut candidates = Vec::new();
    for (assume, variables) in found {
        let mut body = String::new();
        for (at, name, ty) in variables {
            let is_borrowed = types.get(*at).is_some_and(|ty| ty.trim_start().starts_with('&'));
            let value = if is_borrowed { format!("llmc_{at}.to_owned()") } else { format!("llmc_{at}.clone()") };
            body += &format!("let mut {name}: {ty} = {value};\n");
        }
        let code = format!("{head}\n{signature} {{\n{body}({assume})\n}}\n");
        match candidate::from_source(&code, &guarded) {
            Ok(candidate) => candidates.push(candidate),
            Err(_) => return Ok(None),
        }
    }
    let checks = validator.prepare(&guarded, &[])?;
    let candidates: Vec<&candidate::Candidate> = candidates.iter().collect();
    let answerers = validator.answerers_in(Profile::Debug, &checks, &candidates)?;
    let count = candidates.len();
    let is_whole = (0..count).all(|at| answerers.refused(at).is_none());
    Ok(is_whole.then_some(Guard { answerers, count }))
}
