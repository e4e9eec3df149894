//! `llmc revert`: prints what making an earlier artifact current came to.

use std::path::Path;

use serde_json::json;

use super::args::RevertArgs;
use super::{Output, commit_text};
use crate::driver::{self, Session};
use crate::error::{Error, ExitCode};
use crate::report::{Verbosity, printable};

/// Makes an earlier artifact current.
pub(super) fn revert(
    session: &mut Session,
    args: &RevertArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    session.options.no_commit = args.no_commit;
    let reverted = driver::revert(session, &args.spec, from)?;
    let is_unchanged = reverted.changed.is_empty() && reverted.commit.is_none();
    if output.is_json() {
        Output::json_line(json!({
            "event": "reverted", "spec": reverted.spec, "status": if is_unchanged { "unchanged" } else { "reverted" },
            "to": reverted.to, "changed": reverted.changed, "commit": reverted.commit, "notes": reverted.notes,
        }));
        return Ok(ExitCode::Done);
    }
    if output.verbosity == Verbosity::Quiet {
        return Ok(ExitCode::Done);
    }
    let what = if is_unchanged { "is as in" } else { "is again as in" };
    let commit = commit_text(reverted.commit.as_deref());
    Output::note(&printable(&format!("{} {what} {}{commit}", reverted.spec, reverted.short)));
    for note in &reverted.notes {
        Output::note(&printable(&format!("note: {note}")));
    }
    Ok(ExitCode::Done)
}
