//! What the process of a candidate reports: one frame per check. Only reads; never trusts.

/// Bytes of the nonce that opens each frame.
pub(super) const NONCE: usize = 16;
/// The nonce, the check's number (u32), its status (u8), what was asked and answered (u64 each), the text's length (u32).
const HEAD: usize = NONCE + 4 + 1 + 8 + 8 + 4;
/// Number of the frame that ends a report.
const END: u32 = u32::MAX;

/// What was reported of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reported {
    /// Which check.
    pub(super) number: usize,
    /// Whether the check holds.
    pub(super) holds: bool,
    /// Why not, or a remark.
    pub(super) text: String,
    /// What came from the candidate during the check.
    pub(super) answers: Answers,
}

/// Digests of the calls of one check, whatever their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Answers {
    /// Of what was asked.
    pub(super) asked: u64,
    /// Of what was asked, each with its answer.
    pub(super) answered: u64,
}

/// The first check in which the same was asked and something else answered.
pub(super) fn first_difference(one: &[Answers], other: &[Answers]) -> Option<usize> {
    one.iter().zip(other).position(|(one, other)| one.asked == other.asked && one.answered != other.answered)
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A report as far as it is well formed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// One entry per check, by number; fewer when the process ended early.
    pub(super) checks: Vec<Reported>,
    /// The check that came after the last one that was reported; 0 when there is none.
    pub(super) next: usize,
    /// Whether the report ends as it should, with every check accounted for exactly once.
    pub(super) is_complete: bool,
    /// Whether something came that is no frame, or a frame out of turn.
    pub(super) is_malformed: bool,
    /// The calls with their answers, see [`super::replay`].
    pub(super) record: Vec<u8>,
}

/// A nonce that was never used before.
pub(super) fn nonce() -> [u8; NONCE] {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let mut nonce = [0; NONCE];
    for half in nonce.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    nonce
}

/// Reads the frames of `total` checks, which were run from the last to the first if `reverse`.
pub(super) fn read(mut bytes: &[u8], nonce: &[u8; NONCE], total: usize, reverse: bool) -> Report {
    let mut report = Report::default();
    let due = |done: usize| (done < total).then(|| if reverse { total - 1 - done } else { done });
    while !bytes.is_empty() {
        let Some(frame) = frame(bytes, nonce).filter(|_| !report.is_complete) else {
            report.is_malformed = true;
            break;
        };
        bytes = frame.rest;
        match (frame.number, frame.status) {
            (END, 0) if report.checks.len() == total => {
                (report.is_complete, report.record) = (true, frame.text.to_vec());
            }
            (number, 0..=2) if due(report.checks.len()) == Some(number as usize) => report.checks.push(Reported {
                number: number as usize,
                holds: frame.status != 1,
                text: String::from_utf8_lossy(frame.text).into_owned(),
                answers: frame.answers,
            }),
            _ => {
                report.is_malformed = true;
                break;
            }
        }
    }
    report.is_complete &= !report.is_malformed;
    report.next = due(report.checks.len()).unwrap_or_default();
    report.checks.sort_by_key(|check| check.number);
    report
}

struct Frame<'a> {
    number: u32,
    status: u8,
    answers: Answers,
    text: &'a [u8],
    rest: &'a [u8],
}

fn frame<'a>(bytes: &'a [u8], nonce: &[u8; NONCE]) -> Option<Frame<'a>> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let head = head.strip_prefix(nonce.as_slice())?;
    let (number, head) = head.split_first_chunk::<4>()?;
    let (status, head) = head.split_first()?;
    let (asked, head) = head.split_first_chunk::<8>()?;
    let (answered, length) = head.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let (text, rest) = rest.split_at_checked(length as usize)?;
    let answers = Answers { asked: u64::from_le_bytes(*asked), answered: u64::from_le_bytes(*answered) };
    Some(Frame { number: u32::from_le_bytes(*number), status: *status, answers, text, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u32, status: u8, text: &str) -> Vec<u8> {
        let answers = [[0; 8], [1; 8]].concat();
        let length = (text.len() as u32).to_le_bytes();
        let head = [[7; NONCE].as_slice(), &number.to_le_bytes(), &[status], &answers, &length];
        [head.concat().as_slice(), text.as_bytes()].concat()
    }

    fn read_all(frames: &[Vec<u8>]) -> Report {
        read(&frames.concat(), &[7; NONCE], 2, false)
    }

    #[test]
    fn a_report_with_every_check_once_and_an_end_is_complete() {
        let report = read_all(&[frame(0, 0, ""), frame(1, 1, "no"), frame(END, 0, "")]);
        assert!(report.is_complete && !report.is_malformed);
        let answers = Answers { asked: 0, answered: 0x0101_0101_0101_0101 };
        assert_eq!(report.checks[1], Reported { number: 1, holds: false, text: "no".into(), answers });
    }

    #[test]
    fn checks_that_were_run_from_the_last_to_the_first_are_told_by_number() {
        let frames = [frame(1, 1, "no"), frame(0, 0, ""), frame(END, 0, "")].concat();
        let report = read(&frames, &[7; NONCE], 2, true);
        assert!(report.is_complete && report.checks[0].holds && !report.checks[1].holds);
        let report = read(&frame(1, 0, ""), &[7; NONCE], 2, true);
        assert!(!report.is_complete && report.next == 0 && report.checks[0].number == 1);
        assert!(read(&frames, &[7; NONCE], 2, false).is_malformed);
    }

    #[test]
    fn missing_early_doubled_and_foreign_frames_are_told_apart_from_a_report() {
        assert!(!read_all(&[frame(0, 0, "")]).is_complete);
        for bad in [
            vec![frame(1, 0, "")],
            vec![frame(0, 0, ""), frame(0, 0, "")],
            vec![frame(0, 0, ""), frame(END, 0, "")],
            vec![frame(0, 3, "")],
            vec![b"hello".to_vec()],
            vec![frame(0, 0, ""), frame(1, 0, ""), frame(END, 0, ""), frame(END, 0, "")],
            vec![frame(0, 0, "")[..30].to_vec()],
        ] {
            let report = read_all(&bad);
            assert!(report.is_malformed && !report.is_complete, "{bad:?}");
        }
    }
}
