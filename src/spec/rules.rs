//! Rules on who may call what: `approvals` of the settings, and files of `--rules`.
//!
//! A rule that can't be read is a mistake, never one that is passed over: what it denies would be open.

use super::Diagnostics;
use super::reader::Reader;
use super::yaml::{self, At, Node, Value};
use crate::harness::{Decision, Rule};
use crate::syntax::deep;

/// The keys of a rule.
const RULE_KEYS: &[&str] = &["component", "caller", "arguments", "then"];
/// What a rule decides.
const DECISIONS: &[&str] = &["allow", "ask", "deny"];

/// Reads rules from the text of `path` (used in messages only): a list, as YAML or JSON. Tells every mistake.
pub fn parse_rules(path: &str, bytes: &[u8]) -> Result<Vec<Rule>, Diagnostics> {
    // A file of comments only holds no rules.
    let is_empty = |line: &[u8]| matches!(line.trim_ascii().first(), None | Some(b'#'));
    if bytes.split(|byte| *byte == b'\n').all(is_empty) {
        return Ok(Vec::new());
    }
    deep(|| {
        let document = yaml::read(bytes);
        let mut reader = Reader::new(path, document.text, document.mistakes);
        let rules = document.root.map(|root| reader.rules(root.at, &root, "the rules"));
        let out = reader.finish();
        if out.has_errors() { Err(out) } else { Ok(rules.unwrap_or_default()) }
    })
}

impl Reader {
    /// A list of rules.
    pub(super) fn rules(&mut self, key: At, node: &Node, name: &str) -> Vec<Rule> {
        self.items(key, node, name).iter().filter_map(|item| self.rule(item)).collect()
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        let fields = self.fields(node.at, node, "a rule", RULE_KEYS)?;
        let mut pattern = |name: &str| -> Option<Option<String>> {
            match fields.get(name) {
                Some((key, node)) => self.text(key, node, name).map(|scalar| Some(scalar.snippet.text.clone())),
                None => Some(None),
            }
        };
        let (component, caller) = (pattern("component"), pattern("caller"));
        let arguments = match fields.get("arguments") {
            Some((key, node)) => self.arguments(key, node),
            None => Some(serde_json::Map::new()),
        };
        let then = match fields.get("then") {
            Some((key, node)) => self.word(key, node, "then", DECISIONS),
            None => {
                let help = "what is decided: `then: deny`, `ask` or `allow`";
                self.error_with(fields.at, "the rule has no `then`", help);
                None
            }
        };
        let then = match then? {
            "deny" => Decision::Deny,
            "ask" => Decision::Ask,
            _ => Decision::Allow,
        };
        Some(Rule { component: component?, caller: caller?, arguments: arguments?, then })
    }

    /// JSON pointers with what must stand there.
    fn arguments(&mut self, key: At, node: &Node) -> Option<serde_json::Map<String, serde_json::Value>> {
        let Value::Mapping(entries) = &node.value else {
            let help = "JSON pointers into the input: `{ /amount: 100 }`".to_owned();
            self.wrong_type(key, node, "arguments", "a mapping", Some(help));
            return None;
        };
        let mut arguments = serde_json::Map::new();
        let mut is_whole = true;
        for (key, value) in entries {
            let Value::Scalar(scalar) = &key.value else {
                is_whole = false;
                continue;
            };
            let pointer = scalar.snippet.text.clone();
            if !pointer.is_empty() && !pointer.starts_with('/') {
                self.error_with(key.at, format!("`{pointer}` is no JSON pointer"), format!("write `/{pointer}`"));
                is_whole = false;
            }
            match self.json(value) {
                Some(value) => drop(arguments.insert(pointer, value)),
                None => is_whole = false,
            }
        }
        is_whole.then_some(arguments)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_read_as_yaml_and_as_json() {
        let yaml = "# mine\n- component: pay_*\n  caller: agent\n  arguments: { /amount: 100, /to/name: mallory }\n  \
                    then: ask\n- { then: deny }\n- { component: x, arguments: { '': null }, then: allow }\n";
        let rules = parse_rules("rules.yaml", yaml.as_bytes()).unwrap();
        assert_eq!((rules[0].then, rules[1].then, rules[2].then), (Decision::Ask, Decision::Deny, Decision::Allow));
        assert_eq!((rules[0].component.as_deref(), rules[0].caller.as_deref()), (Some("pay_*"), Some("agent")));
        assert_eq!(json!(rules[0].arguments), json!({"/amount": 100, "/to/name": "mallory"}));
        assert_eq!(json!(rules[2].arguments), json!({"": null}));
        let text = json!(rules).to_string();
        assert_eq!(parse_rules("rules.json", text.as_bytes()).unwrap(), rules, "as they are written");
        for empty in ["", "\n", "# nothing\n", "[]"] {
            assert_eq!(parse_rules("rules.yaml", empty.as_bytes()), Ok(vec![]), "{empty:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_nothing_is_passed_over() {
        for (text, wanted) in [
            ("- component: x\n", "the rule has no `then`"),
            ("- { component: x, then: allways }", "`then` must be one of `allow`, `ask`, `deny`"),
            ("- { component: x, then: Deny }", "`then` must be one of `allow`, `ask`, `deny`"),
            ("- { componant: x, then: deny }", "unknown key `componant`"),
            ("- { arguments: { amount: 1 }, then: deny }", "`amount` is no JSON pointer"),
            ("- { arguments: [1], then: deny }", "`arguments` must be a mapping"),
            ("- { component: , then: deny }", "`component` must be a text"),
            ("- { component: '', then: deny }", "`component` is empty"),
            ("- { component: [x], then: deny }", "`component` must be a text"),
            ("- deny\n", "a rule must be a mapping"),
            ("component: x\nthen: deny\n", "the rules must be a list"),
            ("~\n", "the rules must be a list"),
            ("- { component: x, component: y, then: deny }", ""),
            ("- { component: x, then: deny", ""),
        ] {
            let mistakes = parse_rules("rules.yaml", text.as_bytes()).expect_err(text);
            assert!(mistakes.list.iter().any(|one| one.message.starts_with(wanted)), "{text}: {:?}", mistakes.list);
        }
    }
}
