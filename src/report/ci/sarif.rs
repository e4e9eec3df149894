//! SARIF 2.1.0, as code scanning services read it: one run, a result for each finding.

use serde_json::{Value, json};

use super::{Finding, Findings, Level, Rule};
use crate::digest::sha256;
use crate::report::printable;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The log, with a newline at its end.
pub fn sarif(findings: &Findings) -> String {
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id(), "name": rule.title().replace(' ', ""), "shortDescription": {"text": rule.title()},
                "fullDescription": {"text": rule.help()}, "help": {"text": rule.help()},
                "defaultConfiguration": {"level": "error"},
            })
        })
        .collect();
    let results: Vec<Value> =
        findings.cases.iter().flat_map(|case| &case.findings).map(|one| result(findings, one)).collect();
    let mut notifications: Vec<Value> = Vec::new();
    for case in &findings.cases {
        for note in &case.notes {
            let text = format!("{}: {note}", case.name);
            notifications.push(json!({"level": "note", "message": {"text": printable(&text)}}));
        }
    }
    if let Some(error) = &findings.error {
        notifications.push(json!({"level": "error", "message": {"text": printable(error)}}));
    }
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "llmc", "version": env!("CARGO_PKG_VERSION"), "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": {"id": format!("llmc/{}/", findings.command)},
            "invocations": [{
                // Whether it did its part, not whether all was well.
                "executionSuccessful": findings.error.is_none(),
                "exitCode": findings.exit,
                "toolExecutionNotifications": notifications,
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&log).expect("a log holds only strings and numbers");
    text.push('\n');
    text
}

fn result(findings: &Findings, one: &Finding) -> Value {
    let path = findings.path(&one.path);
    // Code scanning shows a result only where it has a line.
    let mut region = json!({"startLine": one.line.unwrap_or(1)});
    if let Some((column, length)) = one.columns {
        region["startColumn"] = column.into();
        region["endColumn"] = (column + length).into();
    }
    let index = Rule::ALL.iter().position(|rule| *rule == one.rule).expect("ALL has every rule");
    json!({
        "ruleId": one.rule.id(),
        "ruleIndex": index,
        "level": match one.level { Level::Error => "error", Level::Warning => "warning" },
        "message": {"text": printable(&one.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&path), "uriBaseId": "%SRCROOT%"},
            "region": region,
        }}],
        // The same finding is the same alert, wherever the line has gone.
        "partialFingerprints": {
            "llmcFinding/v1": sha256(format!("{}\n{path}\n{}", one.rule.id(), one.message)),
        },
    })
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn a_log_has_what_code_scanning_asks_for() {
        let text = sarif(&hostile());
        assert!(text.chars().all(|one| one == '\n' || !one.is_control()), "{text}");
        let log: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let rules: Vec<&str> = run["tool"]["driver"]["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["id"].as_str().unwrap())
            .collect();
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!(result["ruleId"], rules[result["ruleIndex"].as_u64().unwrap() as usize]);
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
            let place = &result["locations"][0]["physicalLocation"];
            assert!(place["region"]["startLine"].as_u64().is_some_and(|line| line >= 1));
            assert_eq!(result["partialFingerprints"]["llmcFinding/v1"].as_str().unwrap().len(), 64);
        }
        let places: Vec<&Value> =
            results.iter().map(|one| &one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]).collect();
        assert_eq!(
            places,
            ["sub%20dir/generated/src/x%2Cy%3Az%25%0A%3A%3Aadd-mask%3A%3Aa.rs", "sub%20dir/specs/%C3%A4%20b%23.yaml"]
        );
        assert_eq!(
            results[1]["locations"][0]["physicalLocation"]["region"],
            json!({"startLine": 2, "startColumn": 5, "endColumn": 8})
        );
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
        assert_eq!(run["invocations"][0]["exitCode"], 6);
    }
}
