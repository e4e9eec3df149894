//! The second run of a candidate: the calls of the first one again, from the last check to the first, without the checks.
//!
//! A judge is not needed for that: what a call answered is on record. All calls of a chunk are sent at once, so a run
//! costs much less than one in which each waits for the answer before. What differs in the least is run again with a judge.

use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// Most bytes of calls that are sent before their answers are read. The channel holds more than that, so that nobody
/// waits for the other to read.
const CHUNK: usize = 16 << 10;
/// Before each call and answer: its length (u32) and its number (u32).
const HEAD: usize = 8;

/// The calls of a run with their answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// Of each check in turn, its calls in turn: where they and their answers are.
    checks: Vec<Vec<(Range<usize>, Range<usize>)>>,
}

impl Record {
    /// Reads what `runtime/caller.rs` writes; `None` where that is nothing.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut checks = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let _number = number(&bytes, &mut at)?;
            let end = number(&bytes, &mut at)?.checked_add(at).filter(|end| *end <= bytes.len())?;
            let mut calls = Vec::new();
            while at < end {
                calls.push((part(&bytes, &mut at)?, part(&bytes, &mut at)?));
            }
            checks.push(calls);
        }
        (!checks.is_empty()).then_some(Self { bytes, checks })
    }

    /// Makes all calls over `channel`: whether each was answered as it was before.
    pub(super) fn is_answered_alike(&self, channel: OwnedFd) -> bool {
        self.make(&UnixStream::from(channel)).unwrap_or(false)
    }

    fn make(&self, mut channel: &UnixStream) -> io::Result<bool> {
        let mut answers = BufReader::new(channel);
        let calls: Vec<_> = self.checks.iter().rev().flatten().collect();
        let mut rest = calls.as_slice();
        let (mut sent, mut answer) = (Vec::with_capacity(CHUNK), Vec::new());
        let mut first = 0_u32;
        while !rest.is_empty() {
            sent.clear();
            let mut count = 0;
            for (call, _) in rest {
                if count > 0 && sent.len() + HEAD + call.len() > CHUNK {
                    break;
                }
                head(&mut sent, call.len(), first + count as u32);
                sent.extend(&self.bytes[call.clone()]);
                count += 1;
            }
            channel.write_all(&sent)?;
            let (chunk, later) = rest.split_at(count);
            for (number, (_, expected)) in chunk.iter().enumerate() {
                answer.resize(HEAD + expected.len(), 0);
                answers.read_exact(&mut answer)?;
                let mut due = Vec::with_capacity(HEAD);
                head(&mut due, expected.len(), first + number as u32);
                if answer[..HEAD] != due || answer[HEAD..] != self.bytes[expected.clone()] {
                    return Ok(false);
                }
            }
            first += count as u32;
            rest = later;
        }
        Ok(true)
    }
}

fn head(out: &mut Vec<u8>, length: usize, number: u32) {
    out.extend((length as u32).to_le_bytes());
    out.extend(number.to_le_bytes());
}

fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let (number, _) = bytes.get(*at..)?.split_first_chunk::<4>()?;
    *at += 4;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn part(bytes: &[u8], at: &mut usize) -> Option<Range<usize>> {
    let length = number(bytes, at)?;
    let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
    let range = *at..end;
    *at = end;
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let call = |call: &[u8], answer: &[u8]| {
            [&(call.len() as u32).to_le_bytes(), call, &(answer.len() as u32).to_le_bytes(), answer].concat()
        };
        let check = |number: u32, calls: &[Vec<u8>]| {
            let calls = calls.concat();
            [&number.to_le_bytes()[..], &(calls.len() as u32).to_le_bytes(), &calls].concat()
        };
        [check(0, &[call(b"one", b"1"), call(b"two", b"")]), check(2, &[call(&[7; 40_000], b"3")])].concat()
    }

    /// Answers with what `answer` makes of each call, and says in which order they came.
    fn answered(answer: fn(&[u8]) -> Vec<u8>) -> (bool, Vec<Vec<u8>>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let record = Record::read(record()).unwrap();
        std::thread::scope(|scope| {
            let served = scope.spawn(move || {
                let mut calls = Vec::new();
                let mut frame = [0; HEAD];
                while theirs.read_exact(&mut frame).is_ok() {
                    let mut call = vec![0; u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize];
                    theirs.read_exact(&mut call).unwrap();
                    let answer = answer(&call);
                    let mut out = (answer.len() as u32).to_le_bytes().to_vec();
                    out.extend([&frame[4..], &answer].concat());
                    if theirs.write_all(&out).is_err() {
                        break;
                    }
                    calls.push(call);
                }
                calls
            });
            (record.is_answered_alike(ours.into()), served.join().unwrap())
        })
    }

    fn right(call: &[u8]) -> Vec<u8> {
        match call {
            b"one" => b"1".to_vec(),
            b"two" => Vec::new(),
            _ => b"3".to_vec(),
        }
    }

    #[test]
    fn the_checks_come_in_reverse_and_the_calls_of_each_in_turn() {
        let (alike, calls) = answered(right);
        assert!(alike);
        assert_eq!(calls, [vec![7; 40_000], b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn another_answer_is_found() {
        assert!(!answered(|call| if call == b"two" { b"2".to_vec() } else { right(call) }).0);
        assert!(!answered(|call| if call == b"one" { b"2".to_vec() } else { right(call) }).0);
        assert!(!answered(|call| if call == b"one" { b"11".to_vec() } else { right(call) }).0);
        assert!(!answered(|call| if call == b"one" { Vec::new() } else { right(call) }).0);
    }

    #[test]
    fn what_is_no_record_is_none() {
        assert_eq!(Record::read(Vec::new()), None);
        let record = record();
        for end in 1..60 {
            let cut = record[..end].to_vec();
            assert!(Record::read(cut.clone()).is_none_or(|record| record.bytes == cut), "{end}");
        }
        assert_eq!(Record::read(vec![0xff; 40]), None);
    }
}
