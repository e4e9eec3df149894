//! Whether a hybrid's code still says what its model would: a share of its answers is held against the model's.
//!
//! The evidence against "they agree at least as often as promised" is an e-process: whatever is true, it exceeds 1/α
//! with a probability of at most α if they do (Ville's inequality), however long one watches.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a hybrid's code is watched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Share of the code's answers for which the model is asked, too; above 0 and at most 1.
    pub share: f64,
    /// The agreement that was promised; above 0 and below 1.
    pub agreement: f64,
    /// How likely a code that keeps the promise may be demoted; above 0 and below 1.
    pub alpha: f64,
    /// Answers so far that agreed, from earlier processes.
    #[serde(default)]
    pub agreed: u64,
    /// And that did not.
    #[serde(default)]
    pub disagreed: u64,
    /// Whether the evidence was enough once, in an earlier process: the code is asked no more.
    #[serde(default)]
    pub demoted: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { share: 0.03, agreement: 0.95, alpha: 0.05, agreed: 0, disagreed: 0, demoted: false }
    }
}

/// One answer of a hybrid's code that was held against the model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audited {
    /// What the model said; absent where it failed, which says nothing of the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Whether it is the same.
    pub agreed: bool,
    /// What is known afterwards.
    pub evidence: Evidence,
}

/// What audits have come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Audited answers that agreed.
    pub agreed: u64,
    /// And that did not.
    pub disagreed: u64,
    /// The evidence against the promised agreement: 1 says nothing, 1/α is enough.
    pub e_value: f64,
    /// Whether it was enough once: the code is asked no more.
    pub demoted: bool,
}

/// Rates at which code might agree that is worse than promised, as shares of the promised one.
///
/// Betting on each of them with equal stakes gives an e-process whatever the true rate is; a grid this fine loses
/// little against the best bet in hindsight.
const WORSE: [f64; 9] = [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98];

/// ln of the e-value of `agreed` and `disagreed` answers against "the rate of agreement is at least `promised`".
///
/// For a rate `r < p` the likelihood ratio of `r` against `p` has a mean of at most 1 under every rate of at least
/// `p`, as it falls with the rate; so has the mean over several `r`.
pub(super) fn log_e_value(promised: f64, agreed: u64, disagreed: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of audits")]
    let (agreed, disagreed) = (agreed as f64, disagreed as f64);
    let logs = WORSE.map(|share| {
        let rate = promised * share;
        agreed * (rate / promised).ln() + disagreed * ((1.0 - rate) / (1.0 - promised)).ln()
    });
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "nine")]
    let bets = WORSE.len() as f64;
    most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / bets).ln()
}

/// Watches one hybrid.
#[derive(Default)]
pub struct Auditor(Mutex<Option<(Audit, Evidence)>>);

impl Auditor {
    /// Begins to watch. What earlier processes saw counts, and so does that one of them demoted the code.
    pub(super) fn set(&self, audit: Audit) -> Result<(), String> {
        let inside = |value: f64| value > 0.0 && value < 1.0;
        if !(audit.share > 0.0 && audit.share <= 1.0 && inside(audit.agreement) && inside(audit.alpha)) {
            return Err("a share is above 0 and at most 1, an agreement and an alpha are between 0 and 1".to_owned());
        }
        let evidence = Evidence::of(&audit);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((audit, evidence));
        Ok(())
    }

    pub(super) fn evidence(&self) -> Option<Evidence> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.1)
    }

    pub(super) fn is_demoted(&self) -> bool {
        self.evidence().is_some_and(|evidence| evidence.demoted)
    }

    /// Whether this answer is to be held against the model's: a random choice.
    pub(super) fn picks(&self) -> bool {
        let Some(share) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(audit, _)| audit.share)
        else {
            return false;
        };
        let random = std::hash::RandomState::new().build_hasher().finish();
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let uniform = (random >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < share
    }

    pub(super) fn saw(&self, agreed: bool) -> Evidence {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (audit, evidence) = state.as_mut().expect("only what is watched is seen");
        evidence.agreed += u64::from(agreed);
        evidence.disagreed += u64::from(!agreed);
        evidence.weigh(audit);
        *evidence
    }
}

impl Evidence {
    /// What the answers so far, those of earlier processes, have come to.
    pub fn of(audit: &Audit) -> Self {
        let Audit { agreed, disagreed, demoted, .. } = *audit;
        let mut evidence = Self { agreed, disagreed, e_value: 1.0, demoted };
        evidence.weigh(audit);
        evidence
    }

    fn weigh(&mut self, audit: &Audit) {
        let log = log_e_value(audit.agreement, self.agreed, self.disagreed);
        self.e_value = log.exp();
        self.demoted |= log >= -audit.alpha.ln();
    }
}
