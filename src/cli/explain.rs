//! `llmc explain`: what an error class or a code of a verdict means, and what follows.

use serde_json::{Value, json};

use super::Output;
use crate::error::{Error, ExitCode};
use crate::explain::{self, Explanation};

/// Explains a class or code; without one, lists all.
pub(super) fn explain(code: Option<&str>, output: &Output) -> Result<ExitCode, Error> {
    let Some(asked) = code else {
        let width = explain::ALL.iter().map(|one| one.code.len()).max().unwrap_or_default();
        for one in explain::ALL {
            if output.is_json() {
                Output::json_line(to_json(one.code, &explain::find(one.code).unwrap_or(*one)));
            } else {
                Output::data(&format!("{:width$}  {}\n", one.code, one.means));
            }
        }
        return Ok(ExitCode::Done);
    };
    // As verdicts are shown: `misinterpretation (example-2)`, and rustc's own way of writing its codes.
    let asked = asked.trim().trim_start_matches("error").trim_matches(['[', ']', '(', ')']);
    let found = explain::find(asked).or_else(|| explain::find(&asked.to_lowercase()));
    let found = found.or_else(|| explain::find(&asked.to_uppercase())).ok_or_else(|| unknown(asked))?;
    if output.is_json() {
        Output::json_line(to_json(asked, &found));
        return Ok(ExitCode::Done);
    }
    let class = found.class.map(|class| class.as_str()).filter(|class| *class != asked);
    let class = class.map(|class| format!(" (class {class})")).unwrap_or_default();
    let mut text = format!("{asked}{class}\n\n  {}\n\n", found.means);
    text.push_str(&format!("  what llmc does:   {}\n  what you can do:  {}\n", found.follows, found.next));
    if found.code == "E0000" {
        text.push_str(&format!("  more about it:    `rustc --explain {}`\n", asked.to_uppercase()));
    }
    Output::data(&text);
    Ok(ExitCode::Done)
}

fn to_json(code: &str, found: &Explanation) -> Value {
    json!({
        "event": "explanation", "code": code, "class": found.class.map(|class| class.as_str()), "means": found.means,
        "follows": found.follows, "next": found.next,
    })
}

fn unknown(asked: &str) -> Error {
    let nearest = explain::ALL
        .iter()
        .map(|one| (strsim::normalized_damerau_levenshtein(&asked.to_lowercase(), one.code), one.code))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let error = Error::new(ExitCode::Usage, format!("`{asked}` is no error class and no code of a verdict"));
    match nearest {
        Some((_, code)) => error.hint(format!("did you mean `{code}`? `llmc explain` lists all")),
        None => error.hint("`llmc explain` lists all"),
    }
}
