//! `llmc sign`.

use serde_json::json;

use super::args::{Cli, SignArgs};
use super::{Output, directory, end, session};
use crate::driver;
use crate::error::{Error, ExitCode};

/// Signs artifacts, or prints the user's public key.
pub(super) async fn sign(cli: &Cli, args: &SignArgs, output: &Output) -> Result<ExitCode, Error> {
    let mut session = session(cli, output, None)?;
    session.options.no_commit = args.no_commit;
    if let Some(who) = &args.public_key {
        let key = driver::public_key(&session)?;
        if output.is_json() {
            Output::json_line(json!({"event": "public_key", "who": who, "key": key.to_string(),
                "fingerprint": key.fingerprint()}));
        } else {
            Output::data(&format!("{}\n", key.line(who)));
        }
        return Ok(ExitCode::Done);
    }
    let (summary, signed) = driver::sign(&mut session, &args.specs, &directory(&cli.global)?).await?;
    for one in &signed {
        if output.is_json() {
            Output::json_line(json!({
                "event": "signed", "spec": one.spec, "path": one.path, "key": one.key, "changed": !one.is_unchanged,
                "commit": one.commit,
            }));
            continue;
        }
        let what = if one.is_unchanged { "is signed already by" } else { "signed with" };
        let commit = one.commit.as_deref().map(|commit| format!(", commit {}", &commit[..commit.len().min(9)]));
        Output::data(&format!("{}: {what} {}{}\n", one.path, one.key, commit.unwrap_or_default()));
    }
    Ok(end(&summary, output))
}
