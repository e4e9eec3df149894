//! Verdicts of earlier runs, kept in the user's cache: a candidate that was judged is not judged again.
//!
//! One file for each set of checks, one JSON line for each candidate. What the machine may have had a part in (time,
//! memory, a crash) is not kept.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::insight::Judgement;
use super::{Checks, Validator};
use crate::candidate::Candidate;
use crate::digest::sha256;
use crate::verdict::{Outcome, Verdict};

/// The verdicts known for one set of checks, by digest of the candidate; `None` until the file was read.
pub(super) type Memory = Option<HashMap<String, Judgement>>;

/// Largest file that is read, in bytes: past it the memory starts anew.
const LARGEST: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Line {
    candidate: String,
    judgement: Judgement,
}

impl Validator {
    /// The verdicts that are known.
    pub(super) fn remembered(&self, checks: &Checks, candidates: &[&Candidate]) -> Vec<Option<Judgement>> {
        if self.afresh {
            return vec![None; candidates.len()];
        }
        let mut memory = checks.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let known = memory.get_or_insert_with(|| self.read(checks));
        candidates.iter().map(|candidate| known.get(&sha256(&candidate.source)).cloned()).collect()
    }

    fn read(&self, checks: &Checks) -> HashMap<String, Judgement> {
        let path = self.file(checks);
        let small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= LARGEST);
        let text = if small { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        // A line that was cut off is as good as none.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        lines.map(|line| (line.candidate, line.judgement)).collect()
    }

    fn file(&self, checks: &Checks) -> PathBuf {
        self.cache.join("verdicts").join(format!("{}.jsonl", &checks.digest()[..32]))
    }

    /// Keeps verdicts. That it could not is no reason to fail: they are found again.
    pub(super) fn remember(&self, checks: &Checks, judged: &[(usize, &Candidate)], judgements: &[Option<Judgement>]) {
        let mut text = String::new();
        let mut memory = checks.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, candidate) in judged {
            let lasting = judgements[*id].as_ref().filter(|judgement| is_lasting(&judgement.verdict));
            let Some(judgement) = lasting else { continue };
            let line = Line { candidate: sha256(&candidate.source), judgement: judgement.clone() };
            text.extend(serde_json::to_string(&line).ok().map(|line| line + "\n"));
            if let Some(known) = memory.as_mut() {
                known.insert(line.candidate, line.judgement);
            }
        }
        let path = self.file(checks);
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if !text.is_empty() && folder.is_ok() {
            let large = std::fs::metadata(&path).is_ok_and(|file| file.len() > LARGEST);
            let mut options = OpenOptions::new();
            let options = if large { options.write(true).truncate(true) } else { options.append(true).create(true) };
            // One write, so that lines of two processes do not mix.
            let _ = options.open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        }
    }
}

fn is_lasting(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, Outcome::Passed | Outcome::Failed)
}
