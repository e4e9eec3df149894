//! Approvals: who may call what with which arguments, decided before anything is called.
//!
//! The strictest rule that applies decides: deny, then ask, then allow. So no rule and no order of rules opens what
//! another closes. A rule about a caller that denies or asks applies to whatever that caller set in motion, however
//! deep; one that allows applies to the direct caller alone. One that denies or asks about `text` does so about
//! `text.words`, too.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::component::BoxFuture;
use super::{CallError, Class};
use crate::schema::same;

/// What is decided of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may go on.
    #[default]
    Allow,
    /// Somebody is asked.
    Ask,
    /// It may not.
    Deny,
}

/// What is decided of the calls that it applies to.
///
/// As data (in a policy file): `{"component": "pay_*", "caller": "agent", "arguments": {"/amount": 100}, "then": "ask"}`;
/// what is absent applies to all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The component's name; `*` stands for any run of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The caller's name, likewise. A run's own code is called `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// JSON pointers into the input, with what must stand there; where nothing stands there, it is `null`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub arguments: serde_json::Map<String, Value>,
    /// What is decided.
    pub then: Decision,
}

impl Rule {
    /// A rule for the components called `component` (`*` stands for any run of characters).
    pub fn new(component: impl Into<String>, then: Decision) -> Self {
        Self { component: Some(component.into()), then, ..Self::default() }
    }

    /// Whether it applies. `chain`: the callers, from the run's own code to the direct one.
    fn applies(&self, component: &str, chain: &[String], input: &Value) -> bool {
        let is_strict = self.then != Decision::Allow;
        let is = |pattern: &str, name: &str| {
            let whole = name.split_once('.').filter(|_| is_strict);
            matches(pattern, name) || whole.is_some_and(|(whole, _)| matches(pattern, whole))
        };
        let caller = self.caller.as_deref().is_none_or(|pattern| match is_strict {
            false => chain.last().is_some_and(|caller| is(pattern, caller)),
            true => chain.iter().any(|caller| is(pattern, caller)),
        });
        caller
            && self.component.as_deref().is_none_or(|pattern| is(pattern, component))
            && self
                .arguments
                .iter()
                .all(|(pointer, wanted)| same(input.pointer(pointer).unwrap_or(&Value::Null), wanted))
    }
}

/// Whether `name` is what `pattern` says: `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What somebody is asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Question {
    /// The component.
    pub component: String,
    /// What it does, in words.
    pub description: String,
    /// The callers, from the run's own code to the direct one.
    pub chain: Vec<String>,
    /// The input, as the component would get it.
    pub input: Value,
}

/// What somebody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// This call may go on.
    Once,
    /// This call, and for the rest of the run every call of this component by the same callers with the same input.
    Same,
    /// This call, and for the rest of the run every call of this component by the same callers.
    Component,
    /// It may not.
    No,
}

/// Whoever is asked: a callback, a prompt on a terminal …
pub trait Approver: Send + Sync {
    /// Asks. Calls that wait for an answer are asked one after another.
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Reply>;
}

impl<F> Approver for F
where
    F: Fn(&Question) -> Reply + Send + Sync,
{
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self(question) })
    }
}

/// What one run was told.
#[derive(Default)]
pub(super) struct Remembered {
    /// Names and inputs, as text.
    calls: Mutex<HashSet<(Vec<String>, Option<String>)>>,
    /// Held while somebody is asked.
    asking: tokio::sync::Mutex<()>,
}

impl Remembered {
    fn knows(&self, chain: &[String], component: &str, input: &Value) -> bool {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.is_empty() {
            return false;
        }
        let key = key(chain, component);
        calls.contains(&(key.clone(), None)) || calls.contains(&(key, Some(input.to_string())))
    }

    fn learn(&self, chain: &[String], component: &str, input: Option<&Value>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.insert((key(chain, component), input.map(ToString::to_string)));
    }
}

fn key(chain: &[String], component: &str) -> Vec<String> {
    chain.iter().map(String::as_str).chain([component]).map(str::to_owned).collect()
}

/// Decides by the rules alone.
pub(super) fn decide(rules: &[Rule], component: &str, chain: &[String], input: &Value) -> Decision {
    let applying = rules.iter().filter(|rule| rule.applies(component, chain, input));
    applying.map(|rule| rule.then).max().unwrap_or_default()
}

/// Decides, asking where the rules say so. What comes back is what the rules say: `Ask` where somebody agreed.
pub(super) async fn approve(
    rules: &[Rule],
    approver: Option<&dyn Approver>,
    remembered: &Remembered,
    question: impl FnOnce() -> Question,
    (component, chain, input): (&str, &[String], &Value),
) -> Result<Decision, CallError> {
    let denied = |why: &str| Err(CallError::new(component, Class::Denied, why));
    match decide(rules, component, chain, input) {
        Decision::Allow => return Ok(Decision::Allow),
        Decision::Deny => return denied("a rule denies this call"),
        Decision::Ask => {}
    }
    let Some(approver) = approver else {
        return denied("this call needs an approval, and there is nobody to ask");
    };
    if remembered.knows(chain, component, input) {
        return Ok(Decision::Ask);
    }
    let _one_at_a_time = remembered.asking.lock().await;
    // Whoever was asked meanwhile may have answered this, too.
    if remembered.knows(chain, component, input) {
        return Ok(Decision::Ask);
    }
    match approver.ask(&question()).await {
        Reply::Once => {}
        Reply::Same => remembered.learn(chain, component, Some(input)),
        Reply::Component => remembered.learn(chain, component, None),
        Reply::No => return denied("the approval was refused"),
    }
    Ok(Decision::Ask)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("pay", "pay", true),
            ("pay", "payment", false),
            ("pay*", "payment", true),
            ("*", "", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("*ab", "aab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_rule_about_a_whole_is_one_about_its_parts() {
        let chain = ["main".to_owned(), "desk.clerk".to_owned()];
        let decided = |rule: Rule, component: &str| decide(&[rule], component, &chain, &json!(1));
        assert_eq!(decided(Rule::new("text", Decision::Deny), "text.words"), Decision::Deny);
        assert_eq!(decided(Rule::new("text.words", Decision::Deny), "text.words"), Decision::Deny);
        for other in ["text", "text.lines", "texts.words", "a.text"] {
            assert_eq!(decided(Rule::new("text.words", Decision::Deny), other), Decision::Allow, "{other}");
        }
        assert_eq!(decided(Rule::new("text", Decision::Deny), "a.text"), Decision::Allow);
        let ask = Rule { caller: Some("desk".into()), ..Rule::new("*", Decision::Ask) };
        assert_eq!(decided(ask, "text"), Decision::Ask);
    }

    #[test]
    fn the_strictest_rule_decides_whatever_the_order() {
        let allow = Rule::new("pay", Decision::Allow);
        let ask = Rule { caller: Some("agent".into()), ..Rule::new("*", Decision::Ask) };
        let mut deny = Rule::new("p*", Decision::Deny);
        deny.arguments.insert("/to".into(), json!("mallory"));
        let chain = ["main".to_owned(), "agent".to_owned(), "helper".to_owned()];
        let mut rules = vec![allow, ask, deny];
        for _ in 0..3 {
            rules.rotate_left(1);
            assert_eq!(decide(&rules, "pay", &chain[..1], &json!({"to": "bob"})), Decision::Allow);
            assert_eq!(decide(&rules, "pay", &chain, &json!({"to": "bob"})), Decision::Ask, "through a helper");
            assert_eq!(decide(&rules, "pay", &chain, &json!({"to": "mallory"})), Decision::Deny);
        }
    }
}
