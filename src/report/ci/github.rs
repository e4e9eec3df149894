//! GitHub Actions: workflow commands, which become annotations at the files of a pull request.

use super::{Findings, Level};
use crate::report::printable;

/// A line for each finding, and one that sums up.
pub fn github(findings: &Findings) -> String {
    let mut text = String::new();
    for case in &findings.cases {
        for one in &case.findings {
            let command = match one.level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            let mut properties = vec![("file", findings.path(&one.path))];
            if let Some(line) = one.line {
                properties.push(("line", line.to_string()));
            }
            if let Some((column, length)) = one.columns {
                properties.push(("col", column.to_string()));
                properties.push(("endColumn", (column + length).to_string()));
            }
            properties.push(("title", format!("llmc {}: {}", findings.command, case.name)));
            text.push_str(&line(command, &properties, &one.message));
        }
        for note in &case.notes {
            let title = format!("llmc {}: {}", findings.command, case.name);
            text.push_str(&line("notice", &[("title", title)], note));
        }
    }
    if let Some(error) = &findings.error {
        text.push_str(&line("error", &[("title", format!("llmc {}", findings.command))], error));
    }
    let wrong = findings.cases.iter().filter(|case| case.findings.iter().any(|one| one.level == Level::Error)).count();
    text.push_str(&format!(
        "llmc {}: {} of {} are right\n",
        findings.command,
        findings.cases.len() - wrong,
        findings.cases.len()
    ));
    text
}

/// One command. Nothing in it can end it early, or begin another.
fn line(command: &str, properties: &[(&str, String)], message: &str) -> String {
    let properties: Vec<String> = properties
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value).replace(':', "%3A").replace(',', "%2C")))
        .collect();
    format!("::{command} {}::{}\n", properties.join(","), escape(message))
}

fn escape(text: &str) -> String {
    // The line ends first: what is not printable is spelled out, and they have an escape of their own.
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn nothing_quoted_ends_a_command_or_begins_another() {
        insta::assert_snapshot!(github(&hostile()), @r##"
        ::notice title=llmc verify%3A gcd::built with rustc 1%0A::error::x
        ::error file=sub dir/generated/src/x%2Cy%3Az%25%0A%3A%3Aadd-mask%3A%3Aa.rs,line=3,title=llmc verify%3A a<b>&"'::is not%0D%0Awhat 100%25 of <it> ]]> gives\u{1b}[31m\u{0}\u{202e}
        ::error file=sub dir/specs/ä b#.yaml,line=2,col=5,endColumn=8,title=llmc verify%3A a<b>&"'::unknown key `modle`
        ::notice title=llmc verify%3A a<b>&"'::]]>\u{8}
        ::error title=llmc verify::--> ::stop-commands::x%0Asecond
        llmc verify: 1 of 2 are right
        "##);
    }
}
