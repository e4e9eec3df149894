//! What the process of a candidate reports: one frame per check. Only reads; never trusts.

/// Bytes of the nonce that opens each frame.
pub(super) const NONCE: usize = 16;
const HEAD: usize = NONCE + 4 + 1 + 8 + 4;
/// Number of the frame that ends a report.
const END: u32 = u32::MAX;

/// What was reported of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reported {
    /// Its number.
    pub(super) number: usize,
    /// Whether the check holds.
    pub(super) holds: bool,
    /// Why not, or a remark.
    pub(super) text: String,
    /// What the candidate answered meanwhile, in a number: the same in every run of one that has no hidden state.
    pub(super) digest: u64,
}

/// A report as far as it is well formed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// One entry per check, in the order in which they were run; fewer when the process ended early.
    pub(super) checks: Vec<Reported>,
    /// Whether the report ends as it should, with every check accounted for exactly once.
    pub(super) is_complete: bool,
    /// Whether something came that is no frame, or a frame out of turn.
    pub(super) is_malformed: bool,
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

/// The nonce as an argument of the checks.
pub(super) fn hex(nonce: &[u8]) -> String {
    nonce.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the frames of `total` checks, which were run from the last to the first if `is_reverse`.
pub(super) fn read(mut bytes: &[u8], nonce: &[u8; NONCE], total: usize, is_reverse: bool) -> Report {
    let mut report = Report::default();
    while !bytes.is_empty() {
        let Some(frame) = frame(bytes, nonce).filter(|_| !report.is_complete) else {
            return Report { is_malformed: true, is_complete: false, ..report };
        };
        let done = report.checks.len();
        let due = if is_reverse { total.wrapping_sub(done + 1) } else { done };
        match (frame.number, frame.status) {
            (END, 0) if done == total => report.is_complete = true,
            (number, 0..=2) if number as usize == due && done < total => {
                let text = String::from_utf8_lossy(frame.text).into_owned();
                report.checks.push(Reported { number: due, holds: frame.status != 1, text, digest: frame.digest });
            }
            _ => return Report { is_malformed: true, ..report },
        }
        bytes = frame.rest;
    }
    report
}

struct Frame<'a> {
    number: u32,
    status: u8,
    digest: u64,
    text: &'a [u8],
    rest: &'a [u8],
}

fn frame<'a>(bytes: &'a [u8], nonce: &[u8; NONCE]) -> Option<Frame<'a>> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let head = head.strip_prefix(nonce.as_slice())?;
    let number = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
    let digest = u64::from_le_bytes(head[5..13].try_into().expect("eight bytes"));
    let length = u32::from_le_bytes(head[13..17].try_into().expect("four bytes"));
    let (text, rest) = rest.split_at_checked(length as usize)?;
    Some(Frame { number, status: head[4], digest, text, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u32, status: u8, text: &str) -> Vec<u8> {
        let head = [
            [7; NONCE].as_slice(),
            &number.to_le_bytes(),
            &[status],
            &u64::from(number).to_le_bytes(),
            &(text.len() as u32).to_le_bytes(),
        ];
        [head.concat().as_slice(), text.as_bytes()].concat()
    }

    fn read_all(frames: &[Vec<u8>]) -> Report {
        read(&frames.concat(), &[7; NONCE], 2, false)
    }

    #[test]
    fn a_report_with_every_check_once_and_an_end_is_complete() {
        let report = read_all(&[frame(0, 0, ""), frame(1, 1, "no"), frame(END, 0, "")]);
        assert!(report.is_complete && !report.is_malformed);
        assert_eq!(report.checks[1], Reported { number: 1, holds: false, text: "no".into(), digest: 1 });
    }

    #[test]
    fn checks_that_were_run_from_the_last_are_reported_from_the_last() {
        let frames = [frame(1, 0, ""), frame(0, 1, ""), frame(END, 0, "")].concat();
        let report = read(&frames, &[7; NONCE], 2, true);
        assert!(report.is_complete && report.checks[0].number == 1 && report.checks[1].number == 0);
        assert!(read(&frames, &[7; NONCE], 2, false).is_malformed);
        assert!(read(&frames[..frames.len() / 3], &[7; NONCE], 0, true).is_malformed);
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
            vec![frame(0, 0, "")[..20].to_vec()],
        ] {
            let report = read_all(&bad);
            assert!(report.is_malformed && !report.is_complete, "{bad:?}");
        }
    }
}
