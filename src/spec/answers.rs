//! Files with answers for `llmc clarify --answers`: a list in YAML or JSON.

use serde::Deserialize;

/// What a question's call should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Return the value of this Rust expression.
    Returns(String),
    /// Panic.
    Panics,
    /// Nobody will call it so: the input is invalid. With a condition that valid inputs keep, all others are.
    Invalid(Option<String>),
    /// Whatever it likes. With a condition: on all inputs that do not keep it.
    DontCare(Option<String>),
}

/// An answer that is given beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The question's call.
    pub call: String,
    /// What it should do.
    pub wanted: Wanted,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    call: String,
    returns: Option<Text>,
    panics: Option<bool>,
    invalid: Option<Excluded>,
    dont_care: Option<Excluded>,
}

/// Rust that YAML may read as something else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Truth(bool),
    Number(i64),
    Other(String),
}

impl Text {
    fn text(self) -> String {
        match self {
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Other(text) => text,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Excluded {
    Alone(bool),
    Condition(String),
}

/// Reads a file with answers; or what is wrong with it, in one line.
pub fn parse_answers(text: &str) -> Result<Vec<Given>, String> {
    let entries: Vec<Entry> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let given = |Entry { call, returns, panics, invalid, dont_care }: Entry| {
        let condition = |excluded: Option<Excluded>| match excluded {
            None | Some(Excluded::Alone(false)) => None,
            Some(Excluded::Alone(true)) => Some(None),
            Some(Excluded::Condition(condition)) => Some(Some(condition)),
        };
        let all = [
            returns.map(|text| Wanted::Returns(text.text())),
            panics.filter(|panics| *panics).map(|_| Wanted::Panics),
            condition(invalid).map(Wanted::Invalid),
            condition(dont_care).map(Wanted::DontCare),
        ];
        let mut all: Vec<Wanted> = all.into_iter().flatten().collect();
        match (all.pop(), all.is_empty()) {
            (Some(wanted), true) => Ok(Given { call, wanted }),
            _ => Err(format!("the answer to `{call}` needs one of `returns`, `panics`, `invalid` and `dont_care`")),
        }
    };
    entries.into_iter().map(given).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_from_yaml_and_json() {
        let yaml = "- { call: 'f(\"\")', returns: '\"\"' }\n- call: f(\" \")\n  invalid: true\n- call: f(\"-\")\n  \
                    dont_care: s.len() < 3\n- { call: f(\"a\"), panics: true }\n";
        let given = parse_answers(yaml).expect("it is right");
        let wanted: Vec<&Wanted> = given.iter().map(|one| &one.wanted).collect();
        assert_eq!(
            wanted,
            [
                &Wanted::Returns("\"\"".to_owned()),
                &Wanted::Invalid(None),
                &Wanted::DontCare(Some("s.len() < 3".to_owned())),
                &Wanted::Panics,
            ]
        );
        let bare = parse_answers("[{ call: f(1), returns: -7 }, { call: f(2), returns: true }]").expect("it is right");
        assert_eq!(bare[0].wanted, Wanted::Returns("-7".to_owned()));
        assert_eq!(bare[1].wanted, Wanted::Returns("true".to_owned()));
        let json = r#"[{"call": "f(\"\")", "returns": "\"\""}]"#;
        assert_eq!(parse_answers(json).expect("it is right"), given[..1]);
    }

    #[test]
    fn what_is_no_answer_is_said() {
        assert!(parse_answers("- call: f(1)\n").expect_err("nothing is wanted").contains("`f(1)` needs one of"));
        let both = "- { call: f(1), returns: '1', panics: true }\n";
        assert!(parse_answers(both).expect_err("two are wanted").contains("needs one of"));
        let typo = "- { call: f(1), retruns: '1' }\n";
        assert!(parse_answers(typo).expect_err("a typo").contains("retruns"));
        assert!(parse_answers("call: f(1)").is_err());
    }
}
