//! `llmc doctor`, printed.

use serde_json::json;

use super::Output;
use crate::driver;
use crate::error::{Error, ExitCode};
use crate::options::Options;
use crate::report;

/// Prints what holds on this machine; fails where something does not.
pub(super) fn doctor(options: &Options, output: &Output) -> Result<ExitCode, Error> {
    let mut broken: usize = 0;
    let mut layer = String::new();
    driver::doctor(options, |finding| {
        broken += usize::from(!finding.held);
        if output.is_json() {
            Output::json_line(json!({
                "event": "probe", "layer": finding.layer, "attempt": finding.attempt, "held": finding.held,
                "found": finding.found,
            }));
            return;
        }
        if layer != finding.layer {
            layer.clone_from(&finding.layer);
            Output::data(&format!("{layer}\n"));
        }
        let mark = match (finding.held, finding.layer == "tools" || finding.layer.ends_with(": work")) {
            (true, true) => "ok",
            (true, false) => "held",
            (false, _) => "BROKEN",
        };
        let found = report::printable(&finding.found);
        Output::data(&format!("  {mark:6}  {:34}  {found}\n", finding.attempt));
    })?;
    if broken == 0 {
        return Ok(ExitCode::Done);
    }
    let (count, verb) = (report::count(broken, "thing"), if broken == 1 { "is" } else { "are" });
    Err(Error::new(ExitCode::Usage, format!("{count} {verb} not as llmc needs it"))
        .hint("docs/sandbox.md says what each layer needs, and what to do without"))
}
