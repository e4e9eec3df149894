//! Text in a record: JSON and paths of strangers, paths that are nobody's business, times.

use std::fmt;

use super::ProvenanceError;

pub(super) fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ProvenanceError> {
    serde_json::from_slice(bytes).map_err(shape)
}

pub(super) fn shape(error: impl fmt::Display) -> ProvenanceError {
    ProvenanceError::Shape(shorten(&error.to_string()))
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn expect(field: &'static str, found: String, wanted: &'static str) -> Result<(), ProvenanceError> {
    if found == wanted {
        return Ok(());
    }
    Err(ProvenanceError::Foreign { field, found: shorten(&found), wanted })
}

/// `path` when it stays inside of the workspace.
pub(super) fn inside(path: String) -> Result<String, ProvenanceError> {
    let parts = || path.split('/');
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    if parts().all(plain) { Ok(path) } else { Err(ProvenanceError::Path(shorten(&path))) }
}

/// A URI: `prefix` as it is, and `text` with everything escaped that has a meaning in a URI, or no place there.
pub(super) fn uri(prefix: &str, text: &str) -> String {
    let mut uri = prefix.to_owned();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// Absolute paths among the words of `text` cut down to their last part: others need not know where they lead.
pub(super) fn without_paths(text: &str) -> String {
    let starts_path = |text: &str| {
        let mut chars = text.chars();
        let drive = matches!(
            (chars.next(), chars.next(), chars.next()),
            (Some('A'..='Z' | 'a'..='z'), Some(':'), Some('\\' | '/'))
        );
        text.starts_with('/') || text.starts_with("~/") || text.starts_with("\\\\") || (drive && !text.contains("://"))
    };
    let words = text.split(' ').map(|word| {
        let (before, after) = match word.split_once('=') {
            Some((name, value)) if starts_path(value) => (&word[..=name.len()], value),
            _ => ("", word),
        };
        if !starts_path(after) {
            return word.to_owned();
        }
        let last = after.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("");
        format!("{before}{last}")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A time as RFC 3339 in UTC, e.g. `2026-11-22T16:40:00Z`, from seconds since 1970.
pub fn rfc3339(unix_seconds: u64) -> String {
    // Days are counted from 1 March of year 0, so that a leap day is the last day of its year.
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let (days, second) = (unix_seconds / 86_400 + DAYS_TO_1970, unix_seconds % 86_400);
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}
