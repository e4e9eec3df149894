//! Evidence for and against a component's code: what its model was recorded to answer, split at a moment into what code is made
//! from and what judges it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Session;
use super::traces::{Trace, Traces, Tries};
use crate::certify::{Window, calibration_cases, needed, spent};
use crate::error::Error;
use crate::schema::same;

/// Fewest different inputs that code is made from.
pub(super) const FEWEST: usize = 8;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hardening {
    /// Share of the traces, the earliest ones, that code is made from; the rest judges it. Between 0 and 1.
    pub share: f64,
    /// The agreement with the model that is to be promised; between 0 and 1.
    pub agreement: f64,
    /// The chance to promise what does not hold; between 0 and 1.
    pub alpha: f64,
}

/// What is recorded of a component, split into what code is made from and what judges it.
pub(super) struct Evidence {
    pub(super) traces: Traces,
    /// Each earlier input with the answer it got most often.
    pub(super) modal: Vec<(Value, Value)>,
    /// Of those, the ones that got different answers.
    pub(super) unstable: usize,
    /// Places of the later calls that judge.
    pub(super) cases: Vec<usize>,
    pub(super) window: Window,
}

impl Evidence {
    /// Of a component, with this share of it for making code.
    pub(super) fn of(session: &Session, name: &str, share: f64) -> Result<Self, Error> {
        let traces = Traces::of(session, name)?;
        let t0 = traces.split(share);
        let early: Vec<&Trace> = traces.list.iter().filter(|trace| trace.at <= t0).collect();
        let (modal, unstable) = modal(&early);
        let keys = traces.list.iter().map(|trace| (trace.at, trace.input.to_string()));
        let (cases, window) = calibration_cases(keys, t0);
        Ok(Self { traces, modal, unstable, cases, window })
    }

    /// Different inputs to make code from, and later ones to judge it by.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.modal.len(), self.cases.len())
    }

    /// The fewest of both that could lead to a certificate at all.
    pub(super) fn least(&self, asked: &Hardening, tries: &Tries) -> (usize, usize) {
        (FEWEST, Self::needed(asked, tries, 0))
    }

    /// Whether code that agrees and disagrees so often on the earlier inputs can be expected to get a certificate: were it to
    /// do the same on the later ones.
    pub(super) fn promises(&self, asked: &Hardening, tries: &Tries, (agreed, wrong): (usize, usize)) -> bool {
        let later = |count: usize| count * self.cases.len() / self.modal.len().max(1);
        later(agreed + wrong) >= Self::needed(asked, tries, later(wrong))
    }

    /// Answers that it takes with so many disagreements among them, at the part of alpha that the next attempt may spend.
    fn needed(asked: &Hardening, tries: &Tries, disagreements: usize) -> usize {
        needed(disagreements, asked.agreement, spent(asked.alpha, tries.attempts + 1))
    }
}

/// Each input with the answer it got most often (the earliest of several), and how many got different ones.
fn modal(traces: &[&Trace]) -> (Vec<(Value, Value)>, usize) {
    let mut order: Vec<String> = Vec::new();
    let mut answers: BTreeMap<String, (Value, Vec<(Value, usize)>)> = BTreeMap::new();
    for trace in traces {
        let key = trace.input.to_string();
        let of = answers.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            (trace.input.clone(), Vec::new())
        });
        match of.1.iter_mut().find(|(output, _)| same(output, &trace.output)) {
            Some((_, count)) => *count += 1,
            None => of.1.push((trace.output.clone(), 1)),
        }
    }
    let mut unstable = 0;
    let mut modal = Vec::new();
    for key in order {
        let Some((input, outputs)) = answers.remove(&key) else { continue };
        unstable += usize::from(outputs.len() > 1);
        let most = outputs.iter().map(|(_, count)| *count).max().unwrap_or_default();
        if let Some((output, _)) = outputs.into_iter().find(|(_, count)| *count == most) {
            modal.push((input, output));
        }
    }
    (modal, unstable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn code_promises_a_certificate_where_it_answers_enough_and_is_seldom_wrong() {
        let window = Window { after: 0, until: 1, cases: 80, duplicates: 0 };
        let modal = (0..40).map(|input| (json!(input), json!("none"))).collect();
        let evidence = Evidence { traces: Traces::default(), modal, unstable: 0, cases: (0..80).collect(), window };
        let asked = Hardening { share: 0.5, agreement: 0.8, alpha: 0.05 };
        let promises = |found: (usize, usize)| evidence.promises(&asked, &Tries::default(), found);
        assert!(promises((40, 0)) && promises((15, 0)));
        assert!(!promises((10, 0)), "twenty answers later are too few, however right");
        assert!(promises((37, 3)) && !promises((33, 7)), "14 of 80 are too many, though fewer than one in five");
    }
}
