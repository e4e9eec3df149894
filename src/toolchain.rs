//! rustc: where it is, how it is called, and what it says.
//!
//! Always the toolchain's own `rustc`, never the rustup shim and never cargo, and always inside the sandbox.

use std::path::PathBuf;

use crate::sandbox::{Ending, Limits};

/// The Rust toolchain that compiles candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Absolute path of the real `rustc`.
    pub rustc: PathBuf,
    /// Its sysroot.
    pub sysroot: PathBuf,
    /// `rustc -V`, e.g. `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The host triple.
    pub host: String,
    /// Absolute path of the linker driver (`cc`).
    pub linker: PathBuf,
}

/// What to compile.
#[derive(Debug, Clone)]
pub struct Compile {
    /// `--crate-name`.
    pub crate_name: String,
    /// `--crate-type`.
    pub crate_type: CrateType,
    /// The crate's root file.
    pub root: PathBuf,
    /// Where the result goes; the only folder that can be written.
    pub out: PathBuf,
    /// Other crates: name and rlib.
    pub externs: Vec<(String, PathBuf)>,
    /// `-L dependency=` folders.
    pub search: Vec<PathBuf>,
    /// Whether to stop after type and borrow checks (`--emit=metadata`).
    pub metadata_only: bool,
    /// Whether the compiler rejects unsafe code (`-F unsafe-code`).
    pub forbid_unsafe: bool,
    /// Limits on the compiler.
    pub limits: Limits,
}

/// `--crate-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrateType {
    /// A library.
    Rlib,
    /// A program.
    Bin,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// How rustc ended; [`Ending::Exited`] with 0 is success.
    pub ending: Ending,
    /// What it said, in order.
    pub diagnostics: Vec<RustcDiagnostic>,
    /// The file that was built, if it was.
    pub artifact: Option<PathBuf>,
    /// Standard error that was no JSON diagnostic (an ICE, a linker's words).
    pub other: String,
}

/// One diagnostic of rustc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcDiagnostic {
    /// `error`, `warning`, …
    pub level: String,
    /// `E0425`, a lint's name, or nothing.
    pub code: Option<String>,
    /// The message's first line.
    pub message: String,
    /// As rustc would print it.
    pub rendered: String,
    /// The primary spans: file name, line and column (from 1), end line and end column.
    pub spans: Vec<RustcSpan>,
}

/// A place in a source file, as rustc names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustcSpan {
    /// The file as given to rustc.
    pub file: String,
    /// First line, from 1.
    pub line: usize,
    /// First column, in characters, from 1.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// Column after the last character.
    pub end_column: usize,
    /// The label, if any.
    pub label: Option<String>,
}
