//! What was recorded of a component, as far as code can be made from it: its model's answers, whether its code was
//! demoted, and how often code was tried already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Session, hardened};
use crate::certify::Certificate;
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::freeze;
use crate::harness::{Audit, Crossing, Evidence, Side};
use crate::ledger::{Filter, Ledger};
use crate::provenance::Provenance;
use crate::workspace::paths;

/// One input with what the model said.
pub(super) struct Trace {
    pub(super) at: u64,
    pub(super) input: Value,
    pub(super) output: Value,
}

/// What a component's model answered, and what answered.
#[derive(Default)]
pub(super) struct Traces {
    /// In the order of time.
    pub(super) list: Vec<Trace>,
    /// Digest of what gave them: of the model, the prompt and the spec.
    pub(super) answered_by: Option<String>,
    /// They were recorded after this time, at which code was demoted: what came before is of another world.
    pub(super) since: Option<u64>,
    /// Answers that are passed over: a hybrid's model was asked only since its code had abstained.
    pub(super) passed_over: usize,
    /// The last call that was recorded, of any component.
    pub(super) recorded: i64,
}

impl Traces {
    /// Those of what answered last.
    pub(super) fn of(session: &Session, name: &str) -> Result<Self, Error> {
        Self::read(session, name, None, None)
    }

    /// Those of what has this digest, as they were recorded up to the call of this number.
    pub(super) fn then(
        session: &Session,
        name: &str,
        answered_by: Option<&String>,
        recorded: i64,
    ) -> Result<Self, Error> {
        Self::read(session, name, Some(answered_by.cloned()), Some(recorded))
    }

    fn read(
        session: &Session,
        name: &str,
        answered_by: Option<Option<String>>,
        recorded: Option<i64>,
    ) -> Result<Self, Error> {
        let Some(ledger) = Ledger::open_to_read(&session.workspace.local_path())? else { return Ok(Self::default()) };
        let mut demotions = demotions(&ledger, name)?;
        // Several processes may have seen enough together, and each of them too little.
        if let Ok(Some(record)) = hardened::record(session, name)
            && let Some(at) = fared_here(session, &record)?.demoted
        {
            demotions.entry(code_digest(session, name)?).or_insert(at);
        }
        let since = demotions.values().copied().max();
        let recorded = recorded.map_or_else(|| ledger.last_crossing(), Ok)?;
        let filter = Filter { component: Some(name.to_owned()), recorded: Some(recorded), ..Filter::default() };
        let mut all = ledger.crossings(&filter)?;
        all.retain(|one| one.side == Side::Model && one.from.is_none() && one.output.is_some());
        all.sort_by_key(|one| (one.started, one.id));
        // Another model, prompt or spec is another distribution.
        let model_of =
            |one: &Crossing| one.digest.as_deref().map(|digest| digest.rsplit('+').next().unwrap_or(digest).to_owned());
        let answered_by = answered_by.unwrap_or_else(|| all.last().and_then(model_of));
        all.retain(|one| model_of(one) == answered_by && since.is_none_or(|since| one.started > since));
        let of_all = all.len();
        // What code leaves to its model is no fair sample of what is asked; once it is demoted all is.
        all.retain(|one| match one.digest.as_deref().and_then(|digest| digest.split_once('+')) {
            None => true,
            Some((code, _)) => demotions.get(code).is_some_and(|at| one.started > *at),
        });
        let passed_over = of_all - all.len();
        let list = all.into_iter();
        let list = list.filter_map(|one| Some(Trace { at: one.started, input: one.input, output: one.output? }));
        Ok(Self { list: list.collect(), answered_by, since, passed_over, recorded })
    }

    /// The time until which code is made of them, where that is this share of them.
    pub(super) fn split(&self, share: f64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "a place"
        )]
        let place = (self.list.len() as f64 * share) as usize;
        self.list.get(place.clamp(1, self.list.len().max(1)) - 1).map_or(0, |trace| trace.at)
    }

    /// How many different inputs there are.
    pub(super) fn inputs(&self) -> usize {
        self.list.iter().map(|trace| trace.input.to_string()).collect::<std::collections::HashSet<_>>().len()
    }
}

/// When each code of a component was first demoted, by the digest of its file.
fn demotions(ledger: &Ledger, name: &str) -> Result<BTreeMap<String, u64>, Error> {
    let mut found = BTreeMap::new();
    for audit in ledger.audits(name, 0)?.into_iter().filter(|audit| audit.demoted) {
        let at = found.entry(audit.code).or_insert(audit.started);
        *at = audit.started.min(*at);
    }
    Ok(found)
}

/// How a hardened component's code fared since it was certified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fared {
    /// Answers that were held against the model's, and were the same.
    pub agreed: u64,
    /// And those that were not.
    pub disagreed: u64,
    /// When it was demoted, in milliseconds since 1970: its model answers alone since then.
    pub demoted: Option<u64>,
}

impl Fared {
    /// How the code of this certificate is watched from now on.
    pub(super) fn audit(&self, certificate: &Certificate) -> Audit {
        let (agreed, disagreed, demoted) = (self.agreed, self.disagreed, self.demoted.is_some());
        let alpha = 1.0 - certificate.confidence;
        Audit { agreement: certificate.agreement, alpha, agreed, disagreed, demoted, ..Audit::default() }
    }
}

/// How a hardened component's committed code fared on this machine since it was certified.
///
/// What was seen of the same code before is not counted: who certifies a program anew begins anew.
pub fn fared_here(session: &Session, provenance: &Provenance) -> Result<Fared, Error> {
    let mut fared = Fared::default();
    let Some(hardness) = provenance.hardness() else { return Ok(fared) };
    let Some(ledger) = Ledger::open_to_read(&session.workspace.local_path())? else { return Ok(fared) };
    let name = &provenance.spec.name;
    let code = code_digest(session, name)?;
    let audits = ledger.audits(name, hardness.certificate.window.until.saturating_add(1))?;
    for audit in audits.into_iter().filter(|audit| audit.code == code) {
        fared.agreed += u64::from(audit.agreed);
        fared.disagreed += u64::from(!audit.agreed);
        if fared.demoted.is_none() && (audit.demoted || Evidence::of(&fared.audit(&hardness.certificate)).demoted) {
            fared.demoted = Some(audit.started);
        }
    }
    Ok(fared)
}

/// The digest of a component's code, as the harness tells it.
fn code_digest(session: &Session, name: &str) -> Result<String, Error> {
    Ok(sha256(freeze::read(&session.workspace.path(&paths::code(name)))?.unwrap_or_default()))
}

/// Version of the file of [`Tries`].
const VERSION: u32 = 1;

/// How often code was tried on what is recorded: each attempt looks at the same calls, and spends a part of alpha.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tries {
    version: u32,
    /// Of whose answers; others were looked at by no attempt yet.
    answered_by: Option<String>,
    since: Option<u64>,
    /// Attempts that looked at the later calls.
    pub(super) attempts: u32,
    /// How often programs were drawn, whatever came of them.
    pub(super) drawn: u32,
    /// Different inputs that there were when code was last tried.
    pub(super) inputs: usize,
}

impl Tries {
    /// Those that are of these traces.
    pub(super) fn read(session: &Session, name: &str, traces: &Traces) -> Result<Self, Error> {
        let new = || Self {
            version: VERSION,
            answered_by: traces.answered_by.clone(),
            since: traces.since,
            ..Self::default()
        };
        let Some(bytes) = freeze::read(&file(session, name))? else { return Ok(new()) };
        let tries: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(ExitCode::Internal, format!("failed to read `.llmc/hardened/{name}.json`"))
                .cause(error)
                .hint("it counts how often the recorded calls were looked at; without it that would begin anew")
        })?;
        let is_same = tries.answered_by == traces.answered_by && tries.since == traces.since;
        Ok(if is_same { tries } else { new() })
    }

    /// Keeps them. The caller holds the workspace's lock.
    pub(super) fn write(&self, session: &Session, name: &str) -> Result<(), Error> {
        session.workspace.local()?;
        let file = file(session, name);
        let failed = |error| Error::new(ExitCode::Internal, "failed to write to `.llmc/hardened`").cause(error);
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).map_err(failed)?;
        let text = serde_json::to_string_pretty(self).expect("it holds only strings and numbers") + "\n";
        let beside = file.with_extension("json.new");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &file)).map_err(failed)
    }
}

fn file(session: &Session, name: &str) -> std::path::PathBuf {
    session.workspace.local_path().join("hardened").join(format!("{name}.json"))
}
