//! The provider `replay`: completions that were recorded in a file, one JSON object a line. Opens no socket.
//!
//! A line has `text`, or `completion`: a text, or an object as llmc records them. The sample with an index gets the
//! line with that `index`; where not every line has one, the line at that place. Nothing is given twice.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::providers::{Provider, Reach, Setup, shown_path};
use super::reasoning;
use super::secret::one_line;
use super::{BoxFuture, Completion, Drawn, Identity, Model, ModelError, Request};
use crate::digest::sha256;

/// A larger file is not read.
const LARGEST: u64 = 1 << 30;

/// The provider `replay`.
pub const PROVIDER: Provider = Provider {
    name: "replay",
    open: |setup, name| Box::pin(async move { open(setup, name) }),
    list: |_| Box::pin(async move { vec![Reach::yes("replay/FILE.jsonl", "recorded completions, a file of yours")] }),
};

fn open(setup: &Setup, name: &str) -> Result<Arc<dyn Model>, ModelError> {
    Ok(Arc::new(Replay::read(&setup.path(name), name)?))
}

/// Recorded completions.
pub struct Replay {
    identity: Identity,
    completions: HashMap<usize, Completion>,
}

impl Replay {
    /// Those in the file at `path`, which the user calls `name`.
    pub fn read(path: &Path, name: &str) -> Result<Self, ModelError> {
        let failed = |reason: String| ModelError::Replay(format!("`{name}`: {reason}"));
        let size = std::fs::metadata(path).map_err(|error| failed(format!("can't be read: {error}")))?.len();
        if size > LARGEST {
            return Err(failed(format!("more than {} MiB", LARGEST >> 20)));
        }
        let bytes = std::fs::read(path).map_err(|error| failed(format!("can't be read: {error}")))?;
        let completions = parse(&bytes).map_err(failed)?;
        let identity = Identity {
            provider: "replay".into(),
            name: shown_path(name),
            digest: Some(sha256(&bytes)),
            facts: vec![("completions".into(), completions.len().to_string())],
        };
        Ok(Self { identity, completions })
    }
}

/// The completions by index, or the first mistake.
fn parse(bytes: &[u8]) -> Result<HashMap<usize, Completion>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut list = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: String| format!("line {}: {reason}", number + 1);
        let record: Value = serde_json::from_str(line).map_err(|error| wrong(format!("not JSON: {error}")))?;
        // What else llmc's own records of a build hold.
        let is_other = record.as_object().is_some_and(|record| {
            record.len() == 1 && ["build", "verdict"].iter().any(|other| record.contains_key(*other))
        });
        if !is_other {
            list.push(completion(&record).map_err(wrong)?);
        }
    }
    if list.is_empty() {
        return Err("it holds no completions".to_owned());
    }
    let by_index = list.iter().all(|(index, _)| index.is_some());
    let mut completions = HashMap::new();
    for (place, (index, completion)) in list.into_iter().enumerate() {
        let index = index.filter(|_| by_index).unwrap_or(place);
        if completions.insert(index, Completion { index, ..completion }).is_some() {
            return Err(format!("two completions have the index {index}"));
        }
    }
    Ok(completions)
}

fn completion(record: &Value) -> Result<(Option<usize>, Completion), String> {
    let recorded = match &record["completion"] {
        Value::Object(_) => &record["completion"],
        _ => record,
    };
    let text = ["text", "completion"].iter().find_map(|name| recorded[*name].as_str());
    let text = text.ok_or_else(|| {
        format!("neither `text` nor `completion` holds a text: {}", one_line(&record.to_string(), 100))
    })?;
    // Fields that were recorded with it; whatever is missing is not known.
    let mut whole = serde_json::to_value(Completion::default()).expect("a completion is JSON");
    if let (Value::Object(whole), Value::Object(recorded)) = (&mut whole, recorded) {
        whole.extend(recorded.iter().map(|(name, value)| (name.clone(), value.clone())));
        whole.insert("text".into(), text.into());
        whole.entry("style").and_modify(|style| {
            if style == "" {
                *style = "chat".into();
            }
        });
        if whole["index"].as_u64().is_none() {
            whole.insert("index".into(), 0.into());
        }
    }
    let mut completion: Completion =
        serde_json::from_value(whole).map_err(|error| format!("not a completion: {error}"))?;
    if completion.reasoning.is_empty() {
        (completion.reasoning, completion.text) = reasoning::split(&completion.text);
    }
    if recorded["completion_tokens"].is_null() {
        completion.completion_tokens = text.len().div_ceil(4);
        completion.estimated = true;
    }
    let index = recorded["index"].as_u64().and_then(|index| usize::try_from(index).ok());
    Ok((index, completion))
}

impl Model for Replay {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn draw<'a>(
        &'a self,
        request: &'a Request<'a>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(async move {
            for index in request.indices() {
                let sent = match self.completions.get(&index) {
                    Some(completion) => {
                        let _ = sink.send(Drawn::Tokens(completion.completion_tokens));
                        sink.send(Drawn::Sample(completion.clone()))
                    }
                    None => {
                        let error = ModelError::Replay(format!(
                            "`{}` has no completion for sample {} (it holds {})",
                            self.identity.name,
                            index + 1,
                            self.completions.len()
                        ));
                        sink.send(Drawn::Failed { index, error })
                    }
                };
                if sent.is_err() {
                    break;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Result<Vec<(usize, String)>, String> {
        let mut list: Vec<_> = parse(file.as_bytes())?.into_values().map(|one| (one.index, one.text)).collect();
        list.sort();
        Ok(list)
    }

    #[test]
    fn lines_are_given_in_order_or_by_index() {
        let plain = "{\"id\": \"x\", \"completion\": \"a\"}\n\n{\"id\": 7, \"text\": \"b\"}\n";
        assert_eq!(texts(plain), Ok(vec![(0, "a".into()), (1, "b".into())]));
        let indexed = "{\"index\": 3, \"text\": \"d\"}\n{\"index\": 1, \"completion\": \"b\"}\n";
        assert_eq!(texts(indexed), Ok(vec![(1, "b".into()), (3, "d".into())]));
    }

    #[test]
    fn what_llmc_recorded_is_replayed_whole() {
        let own = Completion {
            index: 2,
            text: "x".into(),
            temperature: 0.5,
            completion_tokens: 9,
            style: "opened".into(),
            ..Completion::default()
        };
        let file = format!(
            "{{\"build\":{{\"llmc\":\"0\"}}}}\n{}\n{{\"verdict\":{{\"index\":2}}}}\n",
            serde_json::json!({"completion": own})
        );
        assert_eq!(parse(file.as_bytes()).unwrap()[&2], own);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (file, reason) in [
            ("", "it holds no completions"),
            ("{\"text\": \"a\"}\n{", "line 2: not JSON"),
            ("{\"code\": \"a\"}", "line 1: neither `text` nor `completion` holds a text"),
            ("{\"index\":1,\"text\":\"\"}\n{\"index\":1,\"text\":\"\"}", "two completions have the index 1"),
            ("{\"text\": \"a\", \"finish\": \"never\"}", "line 1: not a completion"),
        ] {
            let error = texts(file).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
