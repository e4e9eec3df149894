//! The `llmc` command: see `llmc::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(llmc::cli::main())
}
