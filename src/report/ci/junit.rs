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

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not; with a word for the kind of failure.
    Failed(&'static str),
    /// That could not be found out; with a word for why.
    Error(&'static str),
    /// Nobody tried.
    Skipped,
}

/// A test of its own, with what is to be said of it; the second line is the short of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What was found, in words.
    pub text: String,
}

/// The document of a command that runs tests of its own. `out` is said of all of them.
pub fn junit_tests(command: &str, cases: &[TestCase], seconds: f64, out: &str) -> String {
    let number = |is: fn(&Outcome) -> bool| cases.iter().filter(|case| is(&case.outcome)).count();
    let (failures, errors) = (
        number(|outcome| matches!(outcome, Outcome::Failed(_))),
        number(|outcome| matches!(outcome, Outcome::Error(_))),
    );
    let skipped = number(|outcome| matches!(outcome, Outcome::Skipped));
    let totals = format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\"", cases.len());
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _ = writeln!(xml, "<testsuites name=\"llmc {command}\" {totals}>");
    let _ = writeln!(xml, "  <testsuite name=\"llmc {command}\" {totals} skipped=\"{skipped}\">");
    for case in cases {
        let name = escape(&one_line(&case.name));
        let _ = writeln!(xml, "    <testcase classname=\"llmc.{command}\" name=\"{name}\" time=\"0.000\">");
        let (text, short) = (escape(case.text.trim_end()), escape(case.text.lines().nth(1).unwrap_or_default()));
        let _ = match case.outcome {
            Outcome::Passed => writeln!(xml, "      <system-out>{text}</system-out>"),
            Outcome::Failed(kind) => {
                writeln!(xml, "      <failure message=\"{short}\" type=\"{kind}\">{text}</failure>")
            }
            Outcome::Error(kind) => writeln!(xml, "      <error message=\"{short}\" type=\"{kind}\">{text}</error>"),
            Outcome::Skipped => writeln!(xml, "      <skipped message=\"{short}\"/>"),
        };
        xml.push_str("    </testcase>\n");
    }
    if !out.is_empty() {
        let _ = writeln!(xml, "    <system-out>{}</system-out>", escape(out));
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
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
    fn tests_of_a_command_are_told_apart() {
        let case = |outcome, text: &str| TestCase { name: "a <b>".into(), outcome, text: text.into() };
        let cases = [
            case(Outcome::Passed, "agree\nall & more"),
            case(Outcome::Failed("expectation"), "valid\n2 of 3 \"calls\"\nmore"),
            case(Outcome::Error("inconclusive"), "x\ny"),
            case(Outcome::Skipped, "x\nit ended"),
        ];
        insta::assert_snapshot!(junit_tests("test", &cases, 1.5, "no <drift>"), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="llmc test" tests="4" failures="1" errors="1" time="1.500">
          <testsuite name="llmc test" tests="4" failures="1" errors="1" time="1.500" skipped="1">
            <testcase classname="llmc.test" name="a &lt;b&gt;" time="0.000">
              <system-out>agree&#10;all &amp; more</system-out>
            </testcase>
            <testcase classname="llmc.test" name="a &lt;b&gt;" time="0.000">
              <failure message="2 of 3 &quot;calls&quot;" type="expectation">valid&#10;2 of 3 &quot;calls&quot;&#10;more</failure>
            </testcase>
            <testcase classname="llmc.test" name="a &lt;b&gt;" time="0.000">
              <error message="y" type="inconclusive">x&#10;y</error>
            </testcase>
            <testcase classname="llmc.test" name="a &lt;b&gt;" time="0.000">
              <skipped message="it ended"/>
            </testcase>
            <system-out>no &lt;drift&gt;</system-out>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn what_xml_has_no_character_for_is_spelled_out() {
        assert_eq!(escape("a\u{fffe}\u{ffff}\u{0}\tb\r"), "a\\u{fffe}\\u{ffff}\\u{0}&#9;b\\r");
    }
}
