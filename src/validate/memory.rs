//! Verdicts of earlier runs, kept in the user's cache: a candidate that was judged is not judged again.
//!
//! One file for each set of checks, one JSON line for each candidate. In memory is only where each line stands, so that
//! an endless stream takes no more than a file may be long. What the machine may have had a part in (time, memory, a
//! crash) is not kept.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::insight::Judgement;
use super::{Checks, Validator};
use crate::candidate::Candidate;
use crate::digest::sha256;
use crate::verdict::{Outcome, Verdict};

/// The verdicts known for one set of checks; `None` until the file was read.
pub(super) type Memory = Option<Store>;

/// Size at which a file starts anew, in bytes.
const LARGEST: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Line {
    candidate: String,
    judgement: Judgement,
}

/// The part of a [`Line`] that tells whose it is.
#[derive(Deserialize)]
struct Head {
    candidate: String,
}

/// A file of verdicts.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    largest: u64,
    /// Where the line of each candidate begins, and how long it is. Never more than there is room for in the file.
    places: HashMap<u128, (u64, u32)>,
    /// Where the last known line ends.
    end: u64,
}

impl Validator {
    /// The verdicts that are known.
    pub(super) fn remembered(&self, checks: &Checks, candidates: &[&Candidate]) -> Vec<Option<Judgement>> {
        if self.afresh {
            return vec![None; candidates.len()];
        }
        let mut memory = checks.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let store = memory.get_or_insert_with(|| Store::read(self.file(checks), LARGEST));
        let digests: Vec<String> = candidates.iter().map(|candidate| sha256(&candidate.source)).collect();
        store.judgements(&digests)
    }

    fn file(&self, checks: &Checks) -> PathBuf {
        self.cache.join("verdicts").join(format!("{}.jsonl", &checks.digest()[..32]))
    }

    /// Keeps verdicts. That it could not is no reason to fail: they are found again.
    pub(super) fn remember(&self, checks: &Checks, judged: &[(usize, &Candidate)], judgements: &[Option<Judgement>]) {
        let lasting = judged.iter().filter_map(|(id, candidate)| {
            let judgement = judgements[*id].clone().filter(|judgement| is_lasting(&judgement.verdict))?;
            Some(Line { candidate: sha256(&candidate.source), judgement })
        });
        let lines: Vec<Line> = lasting.collect();
        let mut memory = checks.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let store = memory.get_or_insert_with(|| Store::read(self.file(checks), LARGEST));
        let _ = store.keep(&lines);
    }
}

impl Store {
    /// What is in the file, if it is there.
    fn read(path: PathBuf, largest: u64) -> Self {
        let mut store = Self { path, largest, places: HashMap::new(), end: 0 };
        let _ = store.learn();
        store
    }

    /// Finds the lines of the file.
    fn learn(&mut self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        if file.metadata()?.len() > self.largest {
            return Ok(());
        }
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            // A line that was cut off is as good as none.
            if let Some(key) = serde_json::from_slice::<Head>(&line).ok().and_then(|head| key(&head.candidate)) {
                self.places.insert(key, (self.end, line.len() as u32));
            }
            self.end += line.len() as u64;
            line.clear();
        }
        Ok(())
    }

    /// The verdicts on candidates of these digests.
    fn judgements(&self, digests: &[String]) -> Vec<Option<Judgement>> {
        let places: Vec<Option<(u64, u32)>> =
            digests.iter().map(|digest| self.places.get(&key(digest)?).copied()).collect();
        let file = if places.iter().any(Option::is_some) { File::open(&self.path).ok() } else { None };
        let judgement = |digest: &String, place: Option<(u64, u32)>| {
            let (start, length) = place?;
            let mut text = vec![0; length as usize];
            file.as_ref()?.read_exact_at(&mut text, start).ok()?;
            let line: Line = serde_json::from_slice(&text).ok()?;
            // Another process may have begun the file anew.
            (line.candidate == *digest).then_some(line.judgement)
        };
        digests.iter().zip(places).map(|(digest, place)| judgement(digest, place)).collect()
    }

    /// Adds lines to the file.
    fn keep(&mut self, lines: &[Line]) -> io::Result<()> {
        let texts: Vec<String> =
            lines.iter().filter_map(|line| Some(serde_json::to_string(line).ok()? + "\n")).collect();
        if texts.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/")))?;
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        let text = texts.concat();
        if file.metadata()?.len() + text.len() as u64 > self.largest {
            file.set_len(0)?;
        }
        // One write, so that lines of two processes do not mix.
        file.write_all(text.as_bytes())?;
        let end = file.stream_position()?;
        let mut start = end.saturating_sub(text.len() as u64);
        // It began anew, here or in another process.
        if start < self.end {
            self.places.clear();
        }
        self.end = end;
        for (line, text) in lines.iter().zip(&texts) {
            if let Some(key) = key(&line.candidate) {
                self.places.insert(key, (start, text.len() as u32));
            }
            start += text.len() as u64;
        }
        Ok(())
    }
}

/// The first half of a digest, which tells one from another.
fn key(digest: &str) -> Option<u128> {
    u128::from_str_radix(digest.get(..32)?, 16).ok()
}

fn is_lasting(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, Outcome::Passed | Outcome::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Phase;

    fn line(number: usize) -> Line {
        Line { candidate: sha256(number.to_string()), judgement: Verdict::passed(Phase::Test, number).into() }
    }

    fn digests(numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|number| line(number).candidate).collect()
    }

    #[test]
    fn a_stream_without_end_takes_a_bounded_memory_and_the_file_answers() {
        const LARGEST: u64 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verdicts").join("x.jsonl");
        let mut store = Store::read(path.clone(), LARGEST);
        let shortest = serde_json::to_string(&line(0)).unwrap().len();
        for step in 0..500 {
            let lines: Vec<Line> = (step * 10..step * 10 + 10).map(line).collect();
            store.keep(&lines).unwrap();
            assert!(std::fs::metadata(&path).unwrap().len() <= LARGEST);
            assert!(store.places.len() <= LARGEST as usize / shortest, "{} of step {step}", store.places.len());
            let last = store.judgements(&digests(step * 10..step * 10 + 10));
            assert_eq!(last, lines.into_iter().map(|line| Some(line.judgement)).collect::<Vec<_>>());
        }
        assert_eq!(store.judgements(&digests(0..1)), [None]);
        // Whoever comes later knows as much.
        let later = Store::read(path, LARGEST);
        assert_eq!((later.places, later.end), (store.places, store.end));
    }

    #[test]
    fn what_another_process_did_to_the_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let mut store = Store::read(path.clone(), 1 << 20);
        store.keep(&[line(1), line(2)]).unwrap();
        // Another one adds, then begins anew.
        Store::read(path.clone(), 1 << 20).keep(&[line(3)]).unwrap();
        store.keep(&[line(4)]).unwrap();
        let known = |store: &Store| store.judgements(&digests(1..5)).iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(known(&store), [true, true, false, true]);
        assert_eq!(known(&Store::read(path.clone(), 1 << 20)), [true; 4]);
        Store::read(path.clone(), 10).keep(&[line(4)]).unwrap();
        assert_eq!(known(&store), [false; 4]);
        std::fs::write(&path, "{\"candidate\":\"cut o").unwrap();
        assert_eq!(known(&store), [false; 4]);
        assert_eq!(known(&Store::read(path, 1 << 20)), [false; 4]);
    }
}
