//! Code that answers in the place of a component's model: what is promised of it, and what that rests on.

use serde::{Deserialize, Serialize};

use super::ProvenanceError;
use super::text::shape;
use crate::certify::{Certificate, Terms, Window};

/// What is promised of a hardened component's code, and how it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Hardness {
    /// How often it says what the model says.
    pub certificate: Certificate,
    /// Digest of what gave the answers that it was made from and judged by, as the harness tells it.
    pub answered_by: Option<String>,
    /// The share of the calls, the earliest ones, that it was made from.
    pub share: f64,
    /// Calls that were recorded and answered by the model.
    pub calls: usize,
    /// Different inputs among those that it was made from.
    pub inputs: usize,
    /// Of those inputs, the ones that got different answers.
    pub unstable: usize,
    /// Of those inputs, the ones that it answers.
    pub answered: usize,
    /// Of those, the ones that it answers otherwise than the model most often did.
    pub wrong: usize,
    /// SHA-256 of the user's message that was sent. It shows calls, which are in no commit: the recorded prompt is without
    /// them.
    pub asked: String,
}

/// It, as it stands in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HardnessWire {
    certificate: CertificateWire,
    answered_by: Option<String>,
    share: f64,
    calls: usize,
    inputs: usize,
    unstable: usize,
    answered: usize,
    wrong: usize,
    asked: String,
}

/// What follows from the rest is there for people, to six places: a reader finds it out for itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateWire {
    n: usize,
    disagreements: usize,
    coverage: f64,
    agreement: f64,
    alpha: f64,
    attempt: u32,
    spent: f64,
    chance: f64,
    at_least: f64,
    threshold: f64,
    window: Window,
}

fn round(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

impl From<&Certificate> for CertificateWire {
    fn from(of: &Certificate) -> Self {
        Self {
            n: of.n,
            disagreements: of.disagreements,
            coverage: round(of.coverage),
            agreement: of.agreement,
            // 1 − (1 − α) has lost digits.
            alpha: ((1.0 - of.confidence) * 1e12).round() / 1e12,
            attempt: of.attempt,
            spent: round(of.spent),
            chance: round(of.chance),
            at_least: round(of.at_least),
            threshold: of.threshold,
            window: of.window.clone(),
        }
    }
}

impl From<&Hardness> for HardnessWire {
    fn from(of: &Hardness) -> Self {
        Self {
            certificate: (&of.certificate).into(),
            answered_by: of.answered_by.clone(),
            share: of.share,
            calls: of.calls,
            inputs: of.inputs,
            unstable: of.unstable,
            answered: of.answered,
            wrong: of.wrong,
            asked: of.asked.clone(),
        }
    }
}

impl HardnessWire {
    /// What it says, where its numbers belong together.
    pub(super) fn read(self) -> Result<Hardness, ProvenanceError> {
        let wire = &self.certificate;
        let terms = Terms { agreement: wire.agreement, alpha: wire.alpha, attempt: wire.attempt };
        let is_rate = |rate: f64| rate > 0.0 && rate < 1.0;
        // Before anything is made of numbers that a stranger may have written.
        let is_possible = is_rate(wire.agreement)
            && is_rate(wire.alpha)
            && is_rate(self.share)
            && wire.attempt > 0
            && wire.disagreements <= wire.n
            && wire.n <= wire.window.cases;
        let wrong = || shape("the certificate's numbers do not belong together");
        if !is_possible {
            return Err(wrong());
        }
        let certificate = Certificate::of(wire.n, wire.disagreements, &terms, wire.threshold, wire.window.clone());
        if CertificateWire::from(&certificate) != *wire || !certificate.is_sound() {
            return Err(wrong());
        }
        Ok(Hardness {
            certificate,
            answered_by: self.answered_by,
            share: self.share,
            calls: self.calls,
            inputs: self.inputs,
            unstable: self.unstable,
            answered: self.answered,
            wrong: self.wrong,
            asked: self.asked,
        })
    }
}
