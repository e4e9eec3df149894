//! The `llmc` command: see `llmc::cli`.

fn main() {}
