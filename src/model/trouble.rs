//! What a server's failure means: which error it is, and whether asking again may help. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use super::ModelError;
use super::secret::{Secrets, one_line};

/// Whether and how often to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The server wants to be asked later. Counted anew whenever it answered somebody.
    Busy,
    /// It may have been chance.
    Again,
    /// It may have been chance, and finding out is slow.
    Twice,
    /// It would be the same again.
    Never,
}

impl Way {
    /// How often to ask at most.
    pub fn attempts(self) -> u32 {
        match self {
            Self::Busy => 6,
            Self::Again => 4,
            Self::Twice => 2,
            Self::Never => 1,
        }
    }
}

/// A server's failure, as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// The HTTP status, or the one that stands for an error within an answer.
    pub status: u16,
    /// The server's words, keys and all.
    pub words: String,
    /// How long it wants us to wait.
    pub retry_after: Option<Duration>,
    /// Whether it says itself that asking again may help.
    pub should_retry: Option<bool>,
    /// Where it sends us.
    pub location: Option<String>,
    /// Whether there is no money left.
    pub is_spent: bool,
}

impl Trouble {
    /// What stands in the reply `body` with this status.
    pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        Self {
            status,
            words: said(body),
            retry_after: retry_after(headers),
            should_retry: text("x-should-retry").and_then(|text| text.parse().ok()),
            location: text(LOCATION.as_str()).map(str::to_owned),
            is_spent: status == 402 || is_spent(body),
        }
    }

    /// An error that a server reports within an answer.
    pub fn within(error: &Value) -> Self {
        let kind = error["type"].as_str().or(error["code"].as_str()).unwrap_or_default();
        let code = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let status = match kind {
            "overloaded_error" => 529,
            "insufficient_quota" | "billing_error" => 402,
            "authentication_error" => 401,
            "permission_error" => 403,
            "not_found_error" => 404,
            "request_too_large" => 413,
            "invalid_request_error" => 400,
            _ if kind.starts_with("rate_limit") => 429,
            _ => code.filter(|code| (400..600).contains(code)).unwrap_or(500),
        };
        let body = serde_json::json!({"error": error}).to_string();
        Self {
            status,
            words: said(body.as_bytes()),
            retry_after: None,
            should_retry: None,
            location: None,
            is_spent: status == 402 || is_spent(body.as_bytes()),
        }
    }

    /// What it means, with the address `url` as it may be shown.
    pub fn explain(&self, url: &str, secrets: &Secrets) -> (ModelError, Way) {
        let (url, status) = (url.to_owned(), self.status);
        let reason = match secrets.shorten(&self.words) {
            words if words.is_empty() => "no reason given".to_owned(),
            words => words,
        };
        let (error, way) = match status {
            _ if self.is_spent => (ModelError::Spent { url, reason }, Way::Never),
            300..=399 => {
                let to = self.location.as_deref().map_or_else(|| "nowhere".to_owned(), without_query);
                (ModelError::Redirect { url, status, to: secrets.shorten(&to) }, Way::Never)
            }
            401 | 403 => (ModelError::Unauthorized { url, status }, Way::Never),
            404 | 410 => (ModelError::NotFound { url, status, reason }, Way::Never),
            407 => (ModelError::Proxy { url, reason: format!("HTTP 407: {reason}") }, Way::Never),
            429 | 503 | 529 => (ModelError::Busy { url, status, retry_after: self.retry_after }, Way::Busy),
            408 | 409 | 425 | 500..=599 => (ModelError::Failed { url, status, reason }, Way::Again),
            _ => (ModelError::Refused { url, status, reason }, Way::Never),
        };
        match self.should_retry {
            Some(false) => (error, Way::Never),
            Some(true) if way == Way::Never => (error, Way::Again),
            _ => (error, way),
        }
    }
}

/// A server's own words about an error, from whatever it sent.
pub fn said(body: &[u8]) -> String {
    let reply: Value = serde_json::from_slice(body).unwrap_or_default();
    // Ollama, FastAPI and others each have a place of their own; a list has its message in the first entry.
    let places = [
        &reply["error"]["message"],
        &reply["error"],
        &reply["message"],
        &reply["detail"],
        &reply["detail"][0]["msg"],
        &reply["errors"][0]["message"],
        &reply[0]["error"]["message"],
    ];
    if let Some(words) = places.into_iter().find_map(Value::as_str) {
        return words.to_owned();
    }
    let text = String::from_utf8_lossy(body);
    let start = text.trim_start();
    if start.starts_with('<') {
        let title = start.split_once("<title").and_then(|(_, rest)| rest.split_once('>'));
        return match title.and_then(|(_, rest)| rest.split_once('<')) {
            Some((title, _)) if !title.trim().is_empty() => format!("a web page titled “{}”", title.trim()),
            _ => format!("a web page: {}", one_line(start, 4096)),
        };
    }
    text.into_owned()
}

/// Whether there is no money left, which waiting does not mend.
fn is_spent(body: &[u8]) -> bool {
    let reply: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &reply["error"];
    ["code", "type"].iter().any(|field| error[*field] == "insufficient_quota" || error[*field] == "billing_error")
        || error["message"]
            .as_str()
            .is_some_and(|words| words.to_ascii_lowercase().contains("credit balance is too low"))
}

/// An address without what may be secret in it.
fn without_query(location: &str) -> String {
    let shown = location.split(['?', '#']).next().unwrap_or_default();
    match shown.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split('/').next().unwrap_or_default();
            let named = host.rsplit_once('@').map_or(rest, |(user, _)| &rest[user.len() + 1..]);
            format!("{scheme}://{named}")
        }
        None => shown.to_owned(),
    }
}

/// How long a server wants us to wait: in milliseconds, in seconds, or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    // By the server's own clock, if it shows it: ours may be wrong.
    let until = http_date(value)?;
    let now = text(DATE.as_str())
        .and_then(http_date)
        .or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()))?;
    Some(Duration::from_secs(until.saturating_sub(now)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970; nothing else is sent any more.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let clock: Vec<u64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hours @ 0..=23, minutes @ 0..=59, seconds @ 0..=60] = clock.as_slice() else { return None };
    let month = MONTHS.iter().position(|known| known == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    if !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    // Days from the civil calendar (Howard Hinnant's algorithm): years begin in March, so that February is last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn explained(status: u16, list: &[(&'static str, &'static str)], body: &str) -> (String, Way) {
        let trouble = Trouble::read(status, &headers(list), body.as_bytes());
        let (error, way) = trouble.explain("http://x/v1", &Secrets::new(["sk-canary-1".to_owned()]));
        (error.to_string(), way)
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for wrong in ["", "soon", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 25:00:00 GMT", "a b c d e GMT"] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wait_is_asked_for_in_three_ways() {
        let asked = |list: &[_]| retry_after(&headers(list));
        assert_eq!(asked(&[("retry-after", "2.5")]), Some(Duration::from_millis(2500)));
        assert_eq!(asked(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(Duration::from_millis(1500)));
        let now = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), now]), Some(Duration::from_secs(30)));
        assert_eq!(asked(&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT"), now]), Some(Duration::ZERO));
        assert_eq!(asked(&[("retry-after", "-1")]), None);
        assert_eq!(asked(&[("retry-after", "later")]), None);
    }

    #[test]
    fn each_status_has_its_meaning() {
        for (status, list, body, expected, way) in [
            (401, &[][..], "", "http://x/v1 refused the key (HTTP 401)", Way::Never),
            (402, &[], r#"{"error":"pay"}"#, "http://x/v1 wants to be paid: pay", Way::Never),
            (
                404,
                &[],
                r#"{"error":"model 'q' not found"}"#,
                "http://x/v1 answered HTTP 404: model 'q' not found",
                Way::Never,
            ),
            (429, &[("retry-after", "3")], "", "http://x/v1 is busy (HTTP 429, asks for 3 s)", Way::Busy),
            (529, &[], "", "http://x/v1 is busy (HTTP 529)", Way::Busy),
            (
                429,
                &[],
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                "http://x/v1 wants to be paid: You exceeded your current quota",
                Way::Never,
            ),
            (
                400,
                &[],
                r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
                "http://x/v1 wants to be paid: Your credit balance is too low to access the API.",
                Way::Never,
            ),
            (
                502,
                &[],
                "<html><head><title>502 Bad\nGateway</title>",
                "http://x/v1 failed (HTTP 502): a web page titled “502 Bad Gateway”",
                Way::Again,
            ),
            (500, &[("x-should-retry", "false")], "", "http://x/v1 failed (HTTP 500): no reason given", Way::Never),
            (
                413,
                &[],
                r#"{"detail":[{"msg":"too long"}]}"#,
                "http://x/v1 refused the request (HTTP 413): too long",
                Way::Never,
            ),
            (
                307,
                &[("location", "https://user:sk-canary-1@evil.example/x?key=sk-canary-1")],
                "",
                "http://x/v1 redirects to https://evil.example/x (HTTP 307)",
                Way::Never,
            ),
            (418, &[], "no, sk-canary-1", "http://x/v1 refused the request (HTTP 418): no, [key]", Way::Never),
        ] {
            assert_eq!(explained(status, list, body), (expected.to_owned(), way));
        }
    }

    #[test]
    fn errors_within_an_answer_stand_for_a_status() {
        for (error, status) in [
            (serde_json::json!({"type": "overloaded_error", "message": "Overloaded"}), 529),
            (serde_json::json!({"type": "rate_limit_error", "message": "x"}), 429),
            (serde_json::json!({"code": 502, "message": "x"}), 502),
            (serde_json::json!({"code": "rate_limit_exceeded", "message": "x"}), 429),
            (serde_json::json!("model overloaded"), 500),
            (serde_json::json!({"type": "api_error", "message": "x"}), 500),
        ] {
            assert_eq!(Trouble::within(&error).status, status, "{error}");
        }
        assert_eq!(Trouble::within(&serde_json::json!("model overloaded")).words, "model overloaded");
    }
}
