//! The record of samples on this machine: `.llmc/samples/NAME.jsonl`, the last build of each spec.
//!
//! Written as samples arrive, so that an interrupted build loses none. Never read by a build.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::model::Completion;
use crate::verdict::Verdict;

/// One line of the record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// A build began.
    Build { llmc: String, model: String, input_digest: String },
    /// A sample arrived.
    Completion(Completion),
    /// A sample was judged.
    Verdict { index: usize, candidate: Option<Candidate>, verdict: Verdict },
}

/// A sample, as recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The draw.
    pub completion: Completion,
    /// The Rust in it.
    pub candidate: Option<Candidate>,
    /// What validation found; `None` when the build ended before.
    pub verdict: Option<Verdict>,
}

/// The record of one build, being written. A disk that is full costs the record, not the build.
#[derive(Debug)]
pub struct SampleLog {
    file: Option<File>,
    problem: Option<io::Error>,
}

/// Where the record of a spec is, below `.llmc`.
pub fn path(local: &Path, spec: &str) -> PathBuf {
    local.join("samples").join(format!("{spec}.jsonl"))
}

impl SampleLog {
    /// Begins the record of a build; that of the one before is kept as `NAME.previous.jsonl`.
    pub fn begin(local: &Path, spec: &str, model: &str, input_digest: &str) -> Self {
        let path = path(local, spec);
        let open = || {
            fs::create_dir_all(path.parent().expect("the path has a folder"))?;
            if path.exists() {
                fs::rename(&path, path.with_extension("previous.jsonl"))?;
            }
            File::create(&path)
        };
        let mut log = match open() {
            Ok(file) => Self { file: Some(file), problem: None },
            Err(error) => Self { file: None, problem: Some(error) },
        };
        log.write(&Line::Build {
            llmc: env!("CARGO_PKG_VERSION").to_owned(),
            model: model.to_owned(),
            input_digest: input_digest.to_owned(),
        });
        log
    }

    /// Records a sample. It is on the disk when this returns.
    pub fn completion(&mut self, completion: &Completion) {
        self.write(&Line::Completion(completion.clone()));
        if let Some(file) = &self.file
            && let Err(error) = file.sync_data()
        {
            self.problem.get_or_insert(error);
        }
    }

    /// Records what became of a sample.
    pub fn verdict(&mut self, index: usize, candidate: Option<&Candidate>, verdict: &Verdict) {
        self.write(&Line::Verdict { index, candidate: candidate.cloned(), verdict: verdict.clone() });
    }

    /// Why the record is not whole, if it is not.
    pub fn problem(&self) -> Option<&io::Error> {
        self.problem.as_ref()
    }

    fn write(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        let mut bytes = serde_json::to_vec(line).expect("a record holds only strings and numbers");
        bytes.push(b'\n');
        if let Err(error) = file.write_all(&bytes) {
            self.problem.get_or_insert(error);
            self.file = None;
        }
    }
}

/// The samples of a spec's last build, by index; `None` when there was none on this machine.
///
/// A line cut short by a crash is passed over.
pub fn read(local: &Path, spec: &str) -> io::Result<Option<Vec<Recorded>>> {
    let file = match File::open(path(local, spec)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut samples: Vec<Recorded> = Vec::new();
    for line in BufReader::new(file).lines() {
        match serde_json::from_str(&line?) {
            Ok(Line::Completion(completion)) => samples.push(Recorded { completion, candidate: None, verdict: None }),
            Ok(Line::Verdict { index, candidate, verdict }) => {
                if let Some(sample) = samples.iter_mut().find(|sample| sample.completion.index == index) {
                    sample.candidate = candidate;
                    sample.verdict = Some(verdict);
                }
            }
            Ok(Line::Build { .. }) | Err(_) => {}
        }
    }
    samples.sort_by_key(|sample| sample.completion.index);
    Ok(Some(samples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Finish;
    use crate::verdict::{Class, Phase};

    #[test]
    fn a_record_cut_short_still_gives_the_samples_that_arrived() {
        let folder = tempfile::tempdir().unwrap();
        let completion = Completion {
            index: 1,
            text: "fn f() {}".into(),
            finish: Finish::Stop,
            prompt_tokens: 1,
            completion_tokens: 2,
            temperature: 0.5,
            style: "chat".into(),
            milliseconds: 3,
            ..Completion::default()
        };
        let mut log = SampleLog::begin(folder.path(), "slug", "embedded/x", "digest");
        log.completion(&completion);
        log.completion(&Completion { index: 0, ..completion.clone() });
        log.verdict(1, None, &Verdict::failed(Phase::Parse, Class::FormatViolation, "no-code", ""));
        assert!(log.problem().is_none());
        let path = path(folder.path(), "slug");
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"completion\":{\"ind");
        fs::write(&path, text).unwrap();

        let samples = read(folder.path(), "slug").unwrap().unwrap();
        assert_eq!(samples.len(), 2);
        assert!(samples[0].verdict.is_none());
        assert_eq!(samples[1].verdict.as_ref().and_then(|verdict| verdict.code.as_deref()), Some("no-code"));
        assert!(read(folder.path(), "other").unwrap().is_none());
    }
}
