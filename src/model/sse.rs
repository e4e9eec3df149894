//! Server-sent events: bytes in, whole events out. Pure, and bounded whatever a server sends.
//!
//! Follows the HTML standard: lines end in LF, CR or CRLF; a blank line ends an event; `data` lines are joined.

/// Longest line, and longest event, in bytes.
const LONGEST: usize = 8 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its type; empty where the server names none.
    pub name: String,
    /// Its data, lines joined by `\n`.
    pub data: String,
}

/// A stream that is too long or no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line or an event that does not end.
    #[error("an event of more than {} MiB", LONGEST >> 20)]
    TooLong,
    /// Bytes that are no UTF-8.
    #[error("bytes that are no text")]
    NotText,
}

/// Takes bytes as they come.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    name: String,
    data: Option<String>,
    /// Lines that were whole, comments among them: the server's signs of life.
    lines: usize,
}

impl Reader {
    /// Takes in what came, and gives the events that it completes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_line()?);
                }
                _ => {
                    self.after_cr = false;
                    if self.line.len() >= LONGEST {
                        return Err(SseError::TooLong);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(events)
    }

    /// How many lines were whole so far.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// What stood at the end without the blank line after it. Some servers leave that out after their last event.
    pub fn finish(mut self) -> Result<Option<Event>, SseError> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.end_line()
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        self.lines += 1;
        let line = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&line).map_err(|_| SseError::NotText)?;
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return Ok(self.data.take().map(|data| Event { name, data }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                let data = match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data
                    }
                    none => none.insert(String::new()),
                };
                if data.len() + value.len() > LONGEST {
                    return Err(SseError::TooLong);
                }
                data.push_str(value);
            }
            "event" => self.name = value.to_owned(),
            // Comments have an empty name; `id` and `retry` are for clients that reconnect.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for piece in pieces {
            events.extend(reader.push(piece).unwrap());
        }
        events.extend(reader.finish().unwrap());
        events.into_iter().map(|event| (event.name, event.data)).collect()
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn both_dialects_are_read() {
        let openai = b": OPENROUTER PROCESSING\n\ndata: {\"a\":1}\n\ndata:{\"b\":2}\r\n\r\ndata: [DONE]\n\n";
        assert_eq!(read(&[openai]), [event("", "{\"a\":1}"), event("", "{\"b\":2}"), event("", "[DONE]")]);
        let anthropic = b"event: ping\ndata: {}\n\nevent: x\nid: 3\ndata: 1\ndata: 2";
        assert_eq!(read(&[anthropic]), [event("ping", "{}"), event("x", "1\n2")]);
    }

    #[test]
    fn an_event_without_data_is_none() {
        assert_eq!(read(&[b"event: x\n\nretry: 3\n\n\n\n:\n\n"]), []);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert_eq!(Reader::default().push(b"data: \xff\n"), Err(SseError::NotText));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(cuts in prop::collection::vec(0_usize..60, 0..8)) {
            let text = "\u{feff}event: ü\r\ndata: héllo\r\rdata: [x]\n\n: no\ndata: 1\r\ndata: 2\r\n\r\n".as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[text]));
            prop_assert_eq!(read(&[text]), [event("ü", "héllo"), event("", "[x]"), event("", "1\n2")]);
        }
    }
}
