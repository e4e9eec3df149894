//! JUnit XML: a test case for each spec, for services that show tests.

use std::fmt::Write as _;

use super::{Case, Findings, Level};
use crate::report::{one_line, printable};

/// The document.
pub fn junit(findings: &Findings) -> String {
    let wrong = |case: &Case| case.findings.iter().any(|one| one.level == Level::Error);
    let failures = findings.cases.iter().filter(|case| wrong(case)).count();
    let errors = usize::from(findings.error.is_some());
    let tests = findings.cases.len() + errors;
    let seconds: f64 = findings.cases.iter().map(|case| case.seconds).sum();
    let command = findings.command;
    let totals = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\"");
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _ = writeln!(xml, "<testsuites name=\"llmc {command}\" {totals}>");
    let _ = writeln!(xml, "  <testsuite name=\"llmc {command}\" {totals} skipped=\"0\">");
    for case in &findings.cases {
        let file = case.path.as_ref().map(|path| format!(" file=\"{}\"", escape(&findings.path(path))));
        let _ = writeln!(
            xml,
            "    <testcase classname=\"llmc.{command}\" name=\"{}\"{} time=\"{:.3}\">",
            escape(&case.name),
            file.unwrap_or_default(),
            case.seconds
        );
        let told: Vec<String> = case.findings.iter().map(|one| told(findings, one)).collect();
        if wrong(case) {
            let first = case.findings.iter().find(|one| one.level == Level::Error).expect("there is one");
            let _ = writeln!(
                xml,
                "      <failure message=\"{}\" type=\"{}\">{}</failure>",
                escape(&format!("{}: {}", one_line(&first.path), one_line(&first.message))),
                first.rule.id(),
                escape(&told.join("\n"))
            );
        }
        let mut out = case.notes.clone();
        if !wrong(case) {
            out.extend(told);
        }
        if !out.is_empty() {
            let _ = writeln!(xml, "      <system-out>{}</system-out>", escape(&out.join("\n")));
        }
        xml.push_str("    </testcase>\n");
    }
    if let Some(error) = &findings.error {
        let _ = writeln!(xml, "    <testcase classname=\"llmc.{command}\" name=\"llmc {command}\" time=\"0.000\">");
        let message = error.lines().next().unwrap_or_default();
        let _ = writeln!(xml, "      <error message=\"{}\" type=\"error\">{}</error>", escape(message), escape(error));
        xml.push_str("    </testcase>\n");
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn told(findings: &Findings, one: &super::Finding) -> String {
    let line = one.line.map(|line| format!(":{line}")).unwrap_or_default();
    let column = one.columns.map(|(column, _)| format!(":{column}")).unwrap_or_default();
    format!("{}: {}{line}{column}: {}", one.level.as_str(), one_line(&findings.path(&one.path)), one.message)
}

/// Text as XML 1.0 can hold it, in an element or an attribute. What it can't hold is spelled out.
fn escape(text: &str) -> String {
    let mut xml = String::new();
    for char in printable(&text.replace("\r\n", "\n")).chars() {
        match char {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            // An attribute would lose these.
            '\n' => xml.push_str("&#10;"),
            '\t' => xml.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => xml.extend(char.escape_unicode()),
            other => xml.push(other),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn a_document_is_well_formed_whatever_it_quotes() {
        insta::assert_snapshot!(junit(&hostile()), @r##"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="llmc verify" tests="3" failures="1" errors="1" time="0.500">
          <testsuite name="llmc verify" tests="3" failures="1" errors="1" time="0.500" skipped="0">
            <testcase classname="llmc.verify" name="gcd" file="sub dir/specs/gcd.yaml" time="0.250">
              <system-out>built with rustc 1&#10;::error::x</system-out>
            </testcase>
            <testcase classname="llmc.verify" name="a&lt;b&gt;&amp;&quot;&apos;" time="0.250">
              <failure message="generated/src/x,y:z%\n::add-mask::a.rs: is not\r\nwhat 100% of &lt;it&gt; ]]&gt; gives\u{1b}[31m\u{0}\u{202e}" type="differs">error: sub dir/generated/src/x,y:z%\n::add-mask::a.rs:3: is not&#10;what 100% of &lt;it&gt; ]]&gt; gives\u{1b}[31m\u{0}\u{202e}&#10;error: sub dir/specs/ä b#.yaml:2:5: unknown key `modle`</failure>
              <system-out>]]&gt;\u{8}</system-out>
            </testcase>
            <testcase classname="llmc.verify" name="llmc verify" time="0.000">
              <error message="--&gt; ::stop-commands::x" type="error">--&gt; ::stop-commands::x&#10;second</error>
            </testcase>
          </testsuite>
        </testsuites>
        "##);
    }

    #[test]
    fn what_xml_has_no_character_for_is_spelled_out() {
        assert_eq!(escape("a\u{fffe}\u{ffff}\u{0}\tb\r"), "a\\u{fffe}\\u{ffff}\\u{0}&#9;b\\r");
    }
}
