//! Files of rules on who may call what: a list of [`Rule`]s, as YAML or JSON.

use crate::harness::Rule;

/// Longest file of rules, in bytes.
const LONGEST: usize = 256 << 10;

/// Reads rules. What is wrong is told with its line.
pub fn parse_rules(text: &str) -> Result<Vec<Rule>, String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let rules: Vec<Rule> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    for rule in &rules {
        if let Some(pointer) = rule.arguments.keys().find(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            return Err(format!("`{pointer}` is no JSON pointer: write `/{pointer}`"));
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Decision;

    #[test]
    fn rules_are_read_and_what_is_wrong_is_told() {
        let rules = parse_rules(
            "- component: pay_*\n  caller: agent\n  arguments: { /amount: 100 }\n  then: ask\n- { then: deny }\n",
        )
        .unwrap();
        assert_eq!((rules[0].then, rules[1].then), (Decision::Ask, Decision::Deny));
        assert_eq!(rules[0].arguments["/amount"], 100);
        for (text, wanted) in [
            ("- component: x\n", "missing field `then`"),
            ("- { component: x, then: allways }", "unknown variant `allways`"),
            ("- { componant: x, then: deny }", "unknown field `componant`"),
            ("- { arguments: { amount: 1 }, then: deny }", "write `/amount`"),
        ] {
            let error = parse_rules(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
