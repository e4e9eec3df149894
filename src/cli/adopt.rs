//! `llmc adopt`: prints what taking in a person's code came to.

use std::path::Path;

use serde_json::json;

use super::Output;
use super::args::AdoptArgs;
use crate::driver::{self, Session};
use crate::error::{Error, ExitCode};
use crate::report::{Verbosity, printable};

/// Takes in the code that is in the place of a spec's artifact.
pub(super) async fn adopt(
    session: &mut Session,
    args: &AdoptArgs,
    from: &Path,
    output: &Output,
) -> Result<ExitCode, Error> {
    session.options.no_commit = args.no_commit;
    session.options.no_cache = args.no_cache;
    session.options.overwrite = args.overwrite;
    let adopted = driver::adopt(session, &args.spec, from).await?;
    if output.is_json() {
        Output::json_line(json!({
            "event": "adopted", "spec": adopted.spec, "status": if adopted.is_unchanged { "unchanged" } else { "adopted" },
            "path": adopted.path, "from": adopted.from, "commit": adopted.commit, "notes": adopted.notes,
        }));
        return Ok(ExitCode::Done);
    }
    if output.verbosity == Verbosity::Quiet {
        return Ok(ExitCode::Done);
    }
    let commit = super::commit_text(adopted.commit.as_deref());
    let what = match adopted.is_unchanged {
        true => "is the artifact already",
        false => "passes every check and is the artifact now",
    };
    Output::note(&printable(&format!("{} {what}{commit}", adopted.path)));
    for note in &adopted.notes {
        Output::note(&printable(&format!("note: {note}")));
    }
    Ok(ExitCode::Done)
}
