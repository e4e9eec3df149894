//! A first look at a GGUF file, before an engine that aborts on nonsense sees it.
//!
//! Reads the header only, with bounded memory, and trusts no number in it. Loads nothing.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const MOST_TENSORS: u64 = 65_536;
const MOST_ENTRIES: u64 = 65_536;
const LONGEST_KEY: u64 = 65_535;
const LONGEST_TEXT: u64 = 16 << 20;
const MOST_ELEMENTS: u64 = 64 << 20;
const MOST_DIMENSIONS: u32 = 4;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The model's architecture, e.g. `qwen2`.
    pub architecture: String,
    /// How many tensors there are.
    pub tensors: u64,
    /// Longest context it was trained for, in tokens, where it says.
    pub context: Option<u64>,
}

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// It can't be read.
    #[error("can't read the model file: {0}")]
    Read(#[from] io::Error),
    /// It is something else, or damaged.
    #[error("not a usable GGUF file: {0}")]
    Damaged(String),
}

fn damaged(reason: impl Into<String>) -> GgufError {
    GgufError::Damaged(reason.into())
}

/// Checks the header of the file at `path` and that the tensors it names lie within the file.
pub fn check(path: &Path) -> Result<Header, GgufError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(damaged("it is no regular file"));
    }
    check_header(BufReader::new(file), metadata.len())
}

/// As [`check`], for a header that comes from anywhere, of a file of `size` bytes.
pub fn check_header(reader: impl Read, size: u64) -> Result<Header, GgufError> {
    let mut source = Source { reader, read: 0 };
    if source.bytes::<4>()? != *b"GGUF" {
        return Err(damaged("it does not begin with `GGUF`"));
    }
    let version = source.u32()?;
    if !(2..=3).contains(&version) {
        return Err(damaged(format!("version {version} of the format; 2 and 3 are known")));
    }
    let tensors = source.u64()?;
    if tensors == 0 || tensors > MOST_TENSORS {
        return Err(damaged(format!("{tensors} tensors")));
    }
    let entries = source.u64()?;
    if entries > MOST_ENTRIES {
        return Err(damaged(format!("{entries} metadata entries")));
    }
    let mut architecture = None;
    let mut context = None;
    let mut alignment = 32;
    for _ in 0..entries {
        let key = source.text(LONGEST_KEY)?;
        let kind = source.u32()?;
        match (key.as_str(), kind) {
            ("general.architecture", 8) => architecture = Some(source.text(256)?),
            ("general.alignment", 4) => alignment = u64::from(source.u32()?),
            (_, 4) if key.ends_with(".context_length") => context = Some(u64::from(source.u32()?)),
            _ => source.skip_value(kind, true)?,
        }
    }
    if !alignment.is_power_of_two() || alignment > 1 << 16 {
        return Err(damaged(format!("an alignment of {alignment}")));
    }
    let architecture = architecture.ok_or_else(|| damaged("it names no architecture"))?;
    if architecture.is_empty() || !architecture.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(damaged("its architecture has no proper name"));
    }

    let mut last_start = 0;
    for _ in 0..tensors {
        source.text(LONGEST_KEY)?;
        let dimensions = source.u32()?;
        if dimensions == 0 || dimensions > MOST_DIMENSIONS {
            return Err(damaged(format!("a tensor of {dimensions} dimensions")));
        }
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let length = source.u64()?;
            elements = elements
                .checked_mul(length)
                .filter(|&elements| elements > 0 && elements <= size.saturating_mul(16))
                .ok_or_else(|| damaged("a tensor larger than the file"))?;
        }
        source.u32()?;
        let start = source.u64()?;
        if !start.is_multiple_of(alignment) {
            return Err(damaged("a tensor that is not aligned"));
        }
        last_start = last_start.max(start);
    }
    let data = source.read.next_multiple_of(alignment);
    if data.checked_add(last_start).is_none_or(|start| start >= size) {
        return Err(damaged("it is cut off"));
    }
    Ok(Header { architecture, tensors, context })
}

struct Source<R> {
    reader: R,
    read: u64,
}

impl<R: Read> Source<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(cut_off)?;
        self.read += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self, longest: u64) -> Result<String, GgufError> {
        let length = self.u64()?;
        if length > longest {
            return Err(damaged(format!("a text of {length} bytes")));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes)?;
        self.read += length;
        if (read as u64) < length {
            return Err(damaged("it is cut off"));
        }
        String::from_utf8(bytes).map_err(|_| damaged("a text that is not UTF-8"))
    }

    fn skip(&mut self, count: u64) -> Result<(), GgufError> {
        let skipped = io::copy(&mut (&mut self.reader).take(count), &mut io::sink())?;
        self.read += skipped;
        if skipped < count { Err(damaged("it is cut off")) } else { Ok(()) }
    }

    fn skip_value(&mut self, kind: u32, may_be_list: bool) -> Result<(), GgufError> {
        match (kind, width(kind)) {
            (_, Some(width)) => self.skip(width),
            (8, _) => {
                let length = self.u64()?;
                if length > LONGEST_TEXT {
                    return Err(damaged(format!("a text of {length} bytes")));
                }
                self.skip(length)
            }
            (9, _) if may_be_list => {
                let kind = self.u32()?;
                let count = self.u64()?;
                if count > MOST_ELEMENTS {
                    return Err(damaged(format!("a list of {count} values")));
                }
                match width(kind) {
                    Some(width) => self.skip(width * count),
                    None => (0..count).try_for_each(|_| self.skip_value(kind, false)),
                }
            }
            _ => Err(damaged(format!("a value of unknown kind {kind}"))),
        }
    }
}

/// Bytes of a value of a kind that has a fixed size.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn cut_off(error: io::Error) -> GgufError {
    if error.kind() == io::ErrorKind::UnexpectedEof { damaged("it is cut off") } else { GgufError::Read(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn header(tensors: u64, dimension: u64, start: u64) -> Vec<u8> {
        let mut bytes = [&b"GGUF"[..], &3_u32.to_le_bytes(), &tensors.to_le_bytes(), &3_u64.to_le_bytes()].concat();
        bytes.extend([text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text("llama")].concat());
        bytes.extend([text("llama.context_length"), [4_u32.to_le_bytes(), 2048_u32.to_le_bytes()].concat()].concat());
        bytes.extend(text("tokens"));
        bytes.extend([9_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat());
        bytes.extend([&2_u64.to_le_bytes()[..], &text("a"), &text("b")].concat());
        bytes.extend([text("weights"), 1_u32.to_le_bytes().to_vec()].concat());
        bytes.extend([&dimension.to_le_bytes()[..], &0_u32.to_le_bytes(), &start.to_le_bytes()].concat());
        bytes
    }

    fn reason(bytes: &[u8], size: u64) -> String {
        check_header(bytes, size).unwrap_err().to_string()
    }

    #[test]
    fn a_proper_header_is_read() {
        let expected = Header { architecture: "llama".into(), tensors: 1, context: Some(2048) };
        assert_eq!(check_header(&header(1, 64, 0)[..], 4096).unwrap(), expected);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(reason(b"<!doctype html>", 15), "not a usable GGUF file: it does not begin with `GGUF`");
        assert_eq!(reason(b"GG", 2), "not a usable GGUF file: it is cut off");
        assert!(reason(b"GGUF\x09\0\0\0aaaa", 12).contains("version 9"));
    }

    #[test]
    fn absurd_numbers_are_refused() {
        assert!(reason(&header(u64::MAX, 64, 0), 4096).contains("tensors"));
        assert!(reason(&header(1, u64::MAX, 0), 4096).contains("larger than the file"));
        assert!(reason(&header(1, 0, 0), 4096).contains("larger than the file"));
        assert!(reason(&header(1, 64, 1 << 40), 4096).contains("cut off"));
        assert!(reason(&header(1, 64, u64::MAX - 31), 4096).contains("cut off"));
        assert!(reason(&header(1, 64, 7), 4096).contains("not aligned"));
    }

    #[test]
    fn every_way_to_cut_a_header_is_an_error() {
        let whole = header(1, 64, 0);
        for length in 0..whole.len() {
            assert!(check_header(&whole[..length], 4096).is_err(), "{length}");
        }
    }
}
