//! The value in a model's reply: alone, in a code block, or with words around it. Pure.

use serde_json::Value;

use crate::prompt::is_text;
use crate::schema::{Kind, Schema};

/// A longer reply is not read, in bytes.
pub(super) const LONGEST: usize = 1 << 20;
/// Places where a value may begin that are tried at most.
const MOST_PLACES: usize = 64;
/// Most characters of a reply that a message shows.
const SHOWN: usize = 80;

/// The value in `text` that fits `schema`; why there is none, in words for the model.
///
/// A text that is wanted is the whole reply. Other values may stand in a code block or among words, but there must not
/// be two different ones that fit.
pub(super) fn read(text: &str, schema: &Schema) -> Result<Value, String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let whole = serde_json::from_str::<Value>(text);
    if is_text(schema) {
        let value = match whole {
            Ok(Value::String(quoted)) => Value::String(quoted),
            _ => Value::String(text.to_owned()),
        };
        return schema.check(&value).map(|()| value).map_err(|wrong| wrong.to_string());
    }
    let mut first_wrong = None;
    if let Ok(value) = whole {
        match fit(schema, value) {
            Ok(value) => return Ok(value),
            Err(wrong) => first_wrong = Some(wrong),
        }
    }
    if matches!(schema.kind, Kind::Choice(_)) {
        let bare = [text, text.trim_matches(['`', '"', '\'', '.', '*'])].map(Value::from);
        if let Some(bare) = bare.into_iter().find(|bare| schema.check(bare).is_ok()) {
            return Ok(bare);
        }
    }
    let mut found: Vec<Value> = Vec::new();
    for value in blocks(text).into_iter().chain(among_words(text)) {
        match fit(schema, value) {
            Ok(value) if !found.contains(&value) => found.push(value),
            Ok(_) => {}
            Err(wrong) => drop(first_wrong.get_or_insert(wrong)),
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(value), true) => Ok(value),
        (Some(_), false) => Err("it holds several answers that differ".to_owned()),
        (None, _) => Err(first_wrong.unwrap_or_else(|| {
            let shown: String = text.chars().take(SHOWN).collect();
            format!("it is no JSON: {shown}{}", if shown.len() < text.len() { "…" } else { "" })
        })),
    }
}

/// Every value of JSON in `text`, wherever it stands: the whole, code blocks, objects and lists among words.
pub(crate) fn values(text: &str) -> Vec<Value> {
    if text.len() > LONGEST {
        return Vec::new();
    }
    let whole = serde_json::from_str::<Value>(text.trim());
    whole.map_or_else(|_| blocks(text).into_iter().chain(among_words(text)).collect(), |whole| vec![whole])
}

/// The value itself, or what it holds where it is nothing but a wrapping.
fn fit(schema: &Schema, mut value: Value) -> Result<Value, String> {
    let Err(wrong) = schema.check(&value) else { return Ok(value) };
    if let Value::Object(object) = &mut value
        && object.len() == 1
        && let Some(inner) = object.get_mut("answer")
        && schema.check(inner).is_ok()
    {
        return Ok(inner.take());
    }
    Err(wrong.to_string())
}

/// What stands in code blocks.
fn blocks(text: &str) -> Vec<Value> {
    let inner = text.split("```").skip(1).step_by(2);
    let without_tag = inner.map(|block| match block.split_once('\n') {
        Some((tag, rest)) if tag.trim().chars().all(char::is_alphanumeric) => rest,
        _ => block,
    });
    without_tag.take(MOST_PLACES).filter_map(|block| serde_json::from_str(block.trim()).ok()).collect()
}

/// Objects and lists among words, the outermost ones.
fn among_words(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut at = 0;
    for _ in 0..MOST_PLACES {
        let Some(next) = text[at..].find(['{', '[']) else { break };
        at += next;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                at += values.byte_offset();
                found.push(value);
            }
            _ => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(value: Value) -> Schema {
        Schema::read(&value).expect("it is a schema")
    }

    fn label() -> Schema {
        schema(json!({"type": "object", "required": ["label"], "properties": {
            "label": {"enum": ["bug", "other"]}, "tags": {"type": "array", "items": {"type": "string"}},
        }}))
    }

    #[test]
    fn a_value_is_found_wherever_it_stands() {
        let expected = json!({"label": "bug"});
        for text in [
            r#"{"label":"bug"}"#,
            "\n {\"label\": \"bug\"}\n",
            "```json\n{\"label\":\"bug\"}\n```",
            "```\n{\"label\":\"bug\"}\n```\nThat is all.",
            "Here {as I see it} it is: {\"label\": \"bug\"}. I hope [it] helps!",
            "{\"answer\": {\"label\": \"bug\"}}",
            "```{\"label\":\"bug\"}```",
            "First ```json\n{\"label\":\"bug\"}\n``` and again: {\"label\":\"bug\"}",
            "Not {\"label\": \"wrong\"} but {\"label\": \"bug\"}",
        ] {
            assert_eq!(read(text, &label()), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let open = "{".repeat(100_000);
        for (text, expected) in [
            ("", "it is empty"),
            ("I can't say.", "it is no JSON: I can't say."),
            (r#"{"label":"urgent"}"#, "/label: \"urgent\" is none of"),
            (r#"{"label":"bug"} or {"label":"other"}"#, "it holds several answers that differ"),
            (r#"{"label":"bug""#, "it is no JSON"),
            (&open, "it is no JSON: {{{"),
            (&" ".repeat(LONGEST + 1), "it is longer than"),
        ] {
            let wrong = read(text, &label()).expect_err("it does not fit");
            assert!(wrong.starts_with(expected) && wrong.len() < 400, "{expected}: {wrong}");
        }
    }

    #[test]
    fn texts_and_choices_need_no_quotes() {
        let text = schema(json!({"type": "string", "maxLength": 20}));
        assert_eq!(read("Dear customer,\nhi", &text), Ok(json!("Dear customer,\nhi")));
        assert_eq!(read("\"quoted \\\"it\\\"\"", &text), Ok(json!("quoted \"it\"")));
        assert_eq!(read("{\"code\": [1, 2]}", &text), Ok(json!("{\"code\": [1, 2]}")));
        assert!(read("a text that is longer than that", &text).expect_err("it is long").contains("at most 20"));
        let choice = schema(json!({"enum": ["bug", "other"]}));
        assert_eq!(read("bug", &choice), Ok(json!("bug")));
        assert_eq!(read("`bug`.", &choice), Ok(json!("bug")));
        assert!(read("a bug", &choice).is_err());
        assert_eq!(read("{\"answer\": \"bug\"}", &choice), Ok(json!("bug")));
        assert_eq!(read("7", &schema(json!({"type": "integer"}))), Ok(json!(7)));
        assert_eq!(
            read("```json\n[1, 2]\n```", &schema(json!({"type": "array", "items": {"type": "integer"}}))),
            Ok(json!([1, 2]))
        );
    }
}
