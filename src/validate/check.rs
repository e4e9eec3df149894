//! `llmc check`: the checks of a spec compiled against a stub of its interface.

use super::crates::{Crates, Seat};
use super::{SourceMap, ValidateError, Validator};
use crate::spec::{Diagnostic, Profile, Severity, Spec};
use crate::toolchain::{Compiled, RustcDiagnostic};

impl Validator {
    /// Compiles the checks of a spec against a stub of its interface, and tells each mistake at its place.
    ///
    /// # Errors
    /// [`ValidateError`], but never `Spec`: mistakes in the spec are the answer.
    pub fn check(&self, spec: &Spec, uses: &[(String, String)]) -> Result<Vec<Diagnostic>, ValidateError> {
        let checks = match self.prepare(spec, uses) {
            Ok(checks) => checks,
            Err(ValidateError::Spec { mistakes, .. }) => return Ok(mistakes),
            Err(error) => return Err(error),
        };
        let mark = self.cache.join("checked").join(&checks.digest()[..32]);
        if mark.exists() {
            return Ok(Vec::new());
        }
        let crates = Crates::new(&self.work, &checks)?;
        crates.seat(&checks, Seat::Alone, &spec.interface.stub())?;
        let seat = std::iter::once(Seat::Alone);
        let mut compile = crates.generated(&checks, seat, Profile::Debug, self.compile_limits)?;
        (compile.metadata_only, compile.forbid_unsafe) = (true, false);
        let compiled = self.compile(&compile)?;
        let Some(library) = compiled.artifact.clone() else {
            return Ok(told(&compiled, |error| in_interface(spec, error)));
        };
        let source = &checks.harness.source;
        let mut compile = crates.program("checks", source, library, &checks, Profile::Debug, self.compile_limits)?;
        compile.metadata_only = true;
        let compiled = self.compile(&compile)?;
        if compiled.artifact.is_some() {
            // That it can't be remembered costs time only.
            let _ = mark.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&mark, ""));
            return Ok(Vec::new());
        }
        Ok(told(&compiled, |error| in_checks(spec, &checks.harness.map, error)))
    }
}

/// The errors of a compiler run as mistakes in the spec.
///
/// An error without a place of its own is left out where one that has a place says the same.
fn told(compiled: &Compiled, place: impl Fn(&RustcDiagnostic) -> (usize, usize, usize, bool)) -> Vec<Diagnostic> {
    let mut list: Vec<Diagnostic> = Vec::new();
    let errors = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error"));
    let mut errors: Vec<_> = errors.map(|error| (place(error), error)).collect();
    errors.sort_by_key(|((line, column, _, is_placed), _)| (!is_placed, *line, *column));
    for ((line, column, length, is_placed), error) in errors {
        let code = error.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let help = error.spans.iter().find_map(|span| span.label.clone());
        let message = format!("{}{code}", error.message);
        if !list.iter().any(|known| known.message == message && (known.line == line || !is_placed)) {
            list.push(Diagnostic { severity: Severity::Error, message, line, column, length, help });
        }
    }
    if list.is_empty() {
        let message = format!("the checks do not compile: {:?} {}", compiled.ending, compiled.other.trim());
        let severity = Severity::Error;
        list.push(Diagnostic { severity, message, line: 1, column: 1, length: 1, help: None });
    }
    list.sort_by_key(|mistake| (mistake.line, mistake.column));
    list
}

/// The place of an error in the stub: its lines are those of the interface.
fn in_interface(spec: &Spec, error: &RustcDiagnostic) -> (usize, usize, usize, bool) {
    let source = &spec.interface.source;
    let lines = source.text.lines().count().max(1);
    let (line, column, length) = match error.spans.first() {
        Some(span) if span.line <= lines => {
            let width = source.text.lines().nth(span.line - 1).unwrap_or_default().chars().count();
            let length = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
            let column = if span.column > width { 1 } else { span.column };
            (span.line, column, length)
        }
        _ => (1, 1, 1),
    };
    let (line, column) = source.locate(line, column);
    (line.max(1), column.max(1), length.max(1), true)
}

/// The place of an error in the checks: line, column, length, and whether it is more than a guess.
fn in_checks(spec: &Spec, map: &SourceMap, error: &RustcDiagnostic) -> (usize, usize, usize, bool) {
    for span in &error.spans {
        if let Some((line, column)) = map.locate(span.line, span.column) {
            let length = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
            let length = map.stands_for(span.line, span.column).unwrap_or(length);
            return (line, column, length.max(1), true);
        }
    }
    let place = spec.interface.source.place;
    (place.line.max(1), place.column.max(1), 1, false)
}
