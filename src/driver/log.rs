//! What a build writes into the ledger, and what it does where that can't be done.

use std::sync::Arc;

use super::Session;
use super::purse::Purse;
use crate::candidate::Candidate;
use crate::error::Error;
use crate::event::Event;
use crate::ledger::{Ending, Ledger, LedgerError, Record, Repair, Start, Stored};
use crate::model::Completion;
use crate::verdict::Verdict;

/// The record of a build, as far as it can be kept.
pub(super) struct Log {
    record: Option<Record>,
    /// Whether a sample that is lost has cost money.
    is_paid: bool,
    problem: Option<LedgerError>,
    purse: Option<Arc<Purse>>,
}

impl Log {
    /// Begins the record of a build. Without a ledger nothing paid is sampled; what is free is, with a warning.
    pub(super) fn begin(session: &mut Session, start: &Start<'_>, is_paid: bool) -> Result<Self, Error> {
        let begun = session.ledger().and_then(|ledger| Record::begin(ledger, start));
        match begun {
            Ok(record) => Ok(Self { record: Some(record), is_paid, problem: None, purse: None }),
            Err(error) if is_paid => {
                Err(Error::from(error).hint("nothing was sampled: samples that cost money are stored first"))
            }
            Err(error) => {
                session.tell(Event::Warning(format!("samples are not stored: {}", in_one_line(&error))));
                Ok(Self { record: None, is_paid, problem: None, purse: None })
            }
        }
    }

    /// Where it is written, and as the build of which number; `None` where nothing can be.
    pub(super) fn place(&self) -> Option<(Arc<Ledger>, i64)> {
        self.record.as_ref().map(|record| (record.ledger().clone(), record.build()))
    }

    /// Who hears what samples took.
    pub(super) fn pay_from(&mut self, purse: Arc<Purse>) {
        self.purse = Some(purse);
    }

    /// The samples that are there already, of `wanted` indices and their models.
    pub(super) fn replay(
        &mut self,
        wanted: &[(usize, usize)],
        tell: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Vec<Stored>, LedgerError> {
        let Some(record) = &mut self.record else { return Ok(Vec::new()) };
        match record.replay(wanted) {
            Ok((stored, unreadable)) => {
                if unreadable > 0 {
                    tell(Event::Warning(format!(
                        "samples in the ledger that this llmc can't read, and that are drawn again: {}",
                        unreadable
                    )));
                }
                Ok(stored)
            }
            Err(error) if self.is_paid => Err(error),
            Err(error) => {
                self.problem.get_or_insert(error);
                Ok(Vec::new())
            }
        }
    }

    /// The sample of a repair, if it is there already.
    pub(super) fn replay_repair(&mut self, repair: &Repair<'_>) -> Result<Option<Completion>, LedgerError> {
        match self.record.as_mut().map_or(Ok(None), |record| record.replay_repair(repair)) {
            Err(error) if !self.is_paid => {
                self.problem.get_or_insert(error);
                Ok(None)
            }
            result => result,
        }
    }

    /// Stores the sample of a repair; `false` as with [`Log::arrived`].
    pub(super) fn arrived_repair(&mut self, repair: &Repair<'_>, completion: &Completion) -> bool {
        let result = self.record.as_mut().map_or(Ok(()), |record| record.arrived_repair(repair, completion));
        self.keep(result);
        // What was put aside for it is no longer: the next request may need that room.
        if let Some(purse) = &self.purse {
            purse.settled(completion);
        }
        self.problem.is_none() || !self.is_paid
    }

    /// Stores samples that arrived; `false` when no more should be drawn, because they could not be.
    pub(super) fn arrived(&mut self, completions: &[(usize, &Completion)]) -> bool {
        if !completions.is_empty() {
            let result = self.record.as_mut().map_or(Ok(()), |record| record.arrived(completions));
            self.keep(result);
            if let Some(purse) = &self.purse {
                completions.iter().for_each(|(_, completion)| purse.settled(completion));
            }
        }
        self.problem.is_none() || !self.is_paid
    }

    /// Records what became of a sample.
    pub(super) fn judged(&mut self, index: usize, candidate: Option<&Candidate>, verdict: &Verdict) {
        let result = self.record.as_ref().map_or(Ok(()), |record| record.judged(index, candidate, verdict));
        self.keep(result);
    }

    /// Records how the build ended.
    pub(super) fn end(&mut self, ending: &Ending<'_>) {
        let result = self.record.as_ref().map_or(Ok(()), |record| record.end(ending));
        self.keep(result);
    }

    /// Why the record is not whole, if it is not: told once.
    pub(super) fn take_problem(&mut self) -> Option<String> {
        let problem = self.problem.take()?;
        Some(format!("the ledger does not hold all of this build: {}", in_one_line(&problem)))
    }

    fn keep(&mut self, result: Result<(), LedgerError>) {
        if let Err(error) = result {
            self.problem.get_or_insert(error);
        }
    }
}

impl Session {
    /// The ledger; opened when it is first asked for.
    pub(super) fn ledger(&mut self) -> Result<Arc<Ledger>, LedgerError> {
        if let Some(ledger) = &self.ledger {
            return Ok(ledger.clone());
        }
        // Where the folder can't be made, opening the ledger says why.
        let local = self.workspace.local().unwrap_or_else(|_| self.workspace.local_path());
        let ledger = Arc::new(Ledger::open(&local)?);
        if let Some(name) = ledger.set_aside() {
            self.tell(Event::Warning(format!(
                "`.llmc/ledger.db` was damaged: it is now `.llmc/{name}`, and a new one was begun"
            )));
        }
        self.ledger = Some(ledger.clone());
        Ok(ledger)
    }
}

/// An error with its causes and its hint.
pub(super) fn in_one_line(error: &LedgerError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!(" ({hint})"));
    }
    text
}
