//! Mistakes in a spec, each with its place.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The spec can't be built.
    Error,
    /// The spec can be built, and probably is not what was meant.
    Warning,
}

/// One mistake and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one lower-case sentence that names the thing.
    pub message: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the file, in characters, from 1.
    pub column: usize,
    /// How many characters to underline, at least 1.
    pub length: usize,
    /// What to do about it, or "did you mean …".
    pub help: Option<String>,
}

/// All mistakes of one spec file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// The file, as the user named it.
    pub path: String,
    /// The file's text, for showing the lines; empty when it could not be read.
    pub text: String,
    /// The mistakes.
    pub list: Vec<Diagnostic>,
}
