//! `llmc measure --against`: what fresh draws are held against, be it another model, a commit or earlier draws.
//!
//! A commit remembers how many of its draws passed and the one program that was chosen; the ledger remembers draws whole,
//! so that they are judged and run again. What is fresh was drawn after what it is held against: never the same draw.

use std::sync::Arc;

use super::draw::{self, Sample};
use super::history;
use super::measure::{self, Independent, Measured, Setting};
use super::specs::{self, Loaded};
use super::{Session, build, strength};
use crate::candidate::{self, Candidate};
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::ledger::Earlier;
use crate::measure::{ALPHA, Drift};
use crate::model::{Completion, Parameters};
use crate::options::Plan;
use crate::proposal;
use crate::provenance::{self, Provenance};
use crate::spec::Spec;
use crate::stats;
use crate::verdict::{Phase, Verdict};
use crate::workspace::paths;

/// What fresh draws are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// As many draws from another model.
    Model(String),
    /// What a commit recorded, by a revision of git's.
    Revision(String),
    /// What the ledger has until a time: as it was typed, and in seconds since 1970 (UTC).
    Date(String, u64),
}

impl Against {
    /// Tells a model (`provider/name`, of a provider that llmc knows) from a time (`2026-11-01`, `2026-11-01T12:00Z`);
    /// anything else is a revision.
    ///
    /// # Errors
    /// When it looks like a time and is none.
    pub fn read(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.split_once('/').is_some_and(|(provider, _)| crate::model::providers::provider(provider).is_some()) {
            return Ok(Self::Model(text.to_owned()));
        }
        let (date, rest) = text.split_at_checked(10).unwrap_or((text, ""));
        let is_date = date.len() == 10
            && date
                .char_indices()
                .all(|(at, letter)| if matches!(at, 4 | 7) { letter == '-' } else { letter.is_ascii_digit() })
            && (rest.is_empty() || rest.starts_with('T'));
        if !is_date {
            return Ok(Self::Revision(text.to_owned()));
        }
        match seconds(date, rest) {
            Some(seconds) => Ok(Self::Date(text.to_owned(), seconds)),
            None => Err(Error::new(ExitCode::Usage, format!("`{text}` is no time"))
                .hint("e.g. 2026-11-01 (until its end) or 2026-11-01T12:00Z, in UTC")
                .hint("a branch or tag of that name is `refs/heads/…` or `refs/tags/…`")),
        }
    }
}

/// The last second of what is meant, since 1970; `rest` is what follows the date.
fn seconds(date: &str, rest: &str) -> Option<u64> {
    let number = |text: &str| text.bytes().all(|one| one.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let is_leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days_of = |year: u64, month: u64| match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    let begin = (years + months + day - 1) * 86_400;
    let Some(time) = rest.strip_prefix('T') else { return Some(begin + 86_399) };
    let parts: Vec<&str> = time.strip_suffix('Z').unwrap_or(time).split(':').collect();
    if !(2..=3).contains(&parts.len()) || parts.iter().any(|part| part.len() != 2) {
        return None;
    }
    let parts = parts.into_iter().map(number).collect::<Option<Vec<u64>>>()?;
    let (hour, minute, second) = (parts[0], parts[1], parts.get(2).copied().unwrap_or_default());
    (hour < 24 && minute < 60 && second < 60).then_some(begin + hour * 3600 + minute * 60 + second)
}

/// What is not as it was when the earlier draws were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Changed {
    /// The spec.
    Spec,
    /// The prompt, though the spec is the same, or it is not known whether that is.
    Prompt,
    /// The model.
    Model,
    /// How it is sampled: the temperature, or another parameter but the seed.
    Parameters,
}

/// What fresh draws were held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// The commit's short name, or the time as it was typed.
    pub label: String,
    /// The commit, in hex; `None` where it was draws in the ledger.
    pub commit: Option<String>,
    /// When the last of its draws was made, in RFC 3339 (UTC).
    pub made: String,
    /// The model, as `provider/name`; `None` where a person made the code.
    pub model: Option<String>,
    /// How many draws it had, and how many of them passed.
    pub counts: (usize, usize),
    /// Whether the number of draws was fixed beforehand: else the pass rate only describes them.
    pub fixed: bool,
    /// The sizes of its groups of draws that pass and do the same, as a commit recorded them.
    pub clusters: Vec<usize>,
    /// What is not as it was.
    pub changed: Vec<Changed>,
    /// Of a commit: how many fresh draws do as its code does.
    pub alike: Option<Alike>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// Fresh draws that pass beside the code of a commit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alike {
    /// How many do as it does, on every input that was run.
    pub same: usize,
    /// Of how many.
    pub of: usize,
    /// The 95 % interval of the share: Clopper and Pearson's.
    pub low: f64,
    /// Its high end.
    pub high: f64,
}

/// Draws afresh, and holds that against what is recorded. `plan` is one for independent draws.
pub(super) async fn measure(
    session: &mut Session,
    (loaded, all): (&Loaded, &[Loaded]),
    mut plan: Plan,
    against: &Against,
) -> Result<Measured, Error> {
    match against {
        Against::Model(_) => unreachable!("a model is drawn from like any other setting"),
        Against::Revision(revision) => {
            // What is not there is said before anything is spent.
            let recorded = recorded(session, loaded, revision)?;
            afresh(session, &mut plan, &recorded.provenance.finished_on);
            let fresh = measure::independent(session, loaded, all, &plan, &loaded.spec).await?;
            let fresh = Fresh { setting: measure::setting(session, String::new(), &plan, &fresh), drawn: fresh };
            beside_commit(session, loaded, &plan, fresh, recorded).await
        }
        Against::Date(typed, until) => {
            let now = build::unix_now();
            if *until >= now {
                let error =
                    Error::new(ExitCode::Usage, format!("`{typed}` is not over yet: what is fresh comes after it"));
                return Err(error.hint(format!("now it is {}; a time can be named, too", provenance::rfc3339(now))));
            }
            let earlier = earlier(session, loaded, all, &plan, typed, *until).await?;
            afresh(session, &mut plan, &until.to_string());
            let fresh = measure::independent(session, loaded, all, &plan, &loaded.spec).await?;
            let fresh = Fresh { setting: measure::setting(session, "now".to_owned(), &plan, &fresh), drawn: fresh };
            beside_earlier(session, loaded, &plan, fresh, earlier, typed).await
        }
    }
}

struct Fresh {
    setting: Setting,
    drawn: Independent,
}

/// Sees to it that nothing is drawn again that may be among what it is held against: another seed, which makes a series of
/// its own in the ledger. Asked the same again, the draws are found there.
fn afresh(session: &mut Session, plan: &mut Plan, of: &str) {
    if session.options.sampling.seed.is_some() {
        session.options.no_cache = true;
        let seed = plan.parameters.seed;
        session.tell(Event::Note(format!(
            "seed {seed} is drawn with again: a model that keeps to seeds gives the same samples as then"
        )));
        return;
    }
    let digest = sha256(format!("llmc measure against 1\n{}\n{of}", plan.parameters.seed));
    plan.parameters.seed = u64::from_str_radix(&digest[..8], 16).expect("a digest is hex");
}

/// What a commit has of a spec.
struct Recorded {
    commit: String,
    short: String,
    provenance: Provenance,
    code: Vec<u8>,
}

fn recorded(session: &Session, loaded: &Loaded, revision: &str) -> Result<Recorded, Error> {
    let name = &loaded.spec.name;
    let repo = history::repo(session)?;
    let commit = repo.commit_of(revision).map_err(|error| {
        Error::from(error).hint("--against takes a revision of git's, a day (2026-11-01), a time (2026-11-01T12:00Z), or a model (provider/name)")
    })?;
    let short = repo.short(&commit);
    let file = |path: &str| repo.file_at(&commit, path);
    let (record, code) = (file(&paths::provenance(name))?, file(&paths::code(name))?);
    let (Some(record), Some(code)) = (record, code) else { return Err(history::missing_at(&repo, name, &commit)) };
    let provenance = Provenance::read(&record).map_err(|error| {
        Error::new(ExitCode::Difference, format!("the record of `{name}` in {short} can't be read")).cause(error)
    })?;
    Ok(Recorded { commit, short, provenance, code })
}

async fn beside_commit(
    session: &mut Session,
    loaded: &Loaded,
    plan: &Plan,
    fresh: Fresh,
    recorded: Recorded,
) -> Result<Measured, Error> {
    let spec = &loaded.spec;
    let Recorded { commit, short, provenance, code } = recorded;
    let Fresh { mut setting, drawn } = fresh;
    let samples = &drawn.samples.list;
    let mut notes = Vec::new();
    let code = match candidate::from_source(&proposal::unmarked(&code), spec) {
        Ok(candidate) => Some(candidate),
        Err(verdict) => {
            notes.push(format!(
                "the code at {short} is no implementation of the spec as it is now: {}",
                first(&verdict)
            ));
            None
        }
    };
    let compiled = samples.iter().filter(|sample| sample.verdict.compiles()).filter_map(|one| one.candidate.clone());
    let candidates: Vec<Candidate> = compiled.chain(code.clone()).collect();
    let run = measure::run_all(session, drawn.validator.clone(), drawn.checks.clone(), candidates).await?;
    setting.distribution = measure::distribution(samples, &run);
    let place = code.as_ref().and_then(|code| run.place_of(code));
    if let (Some(code), Some(_)) = (&code, place) {
        let judged = strength::judge(session, &drawn.validator, &drawn.checks, vec![code.clone()]).await?;
        if let Some(failed) = judged.first().map(|one| &one.verdict).filter(|verdict| !verdict.is_pass()) {
            let code = failed.code.clone().unwrap_or_default();
            notes.push(format!("the code at {short} does not pass the checks as they are now ({code})"));
        }
    } else if code.is_some() {
        notes.push(format!("the code at {short} does not compile any more"));
    }
    let cluster = code.as_ref().filter(|_| place.is_some()).and_then(|code| run.cluster_of(code));
    let alike = cluster.and_then(|cluster| {
        let passing = samples.iter().filter(|sample| sample.verdict.is_pass()).filter_map(|sample| run.cluster(sample));
        let (same, of) = (passing.clone().filter(|one| *one == cluster).count(), passing.count());
        let (low, high) = stats::clopper_pearson(same, of, ALPHA);
        (of > 0).then_some(Alike { same, of, low, high })
    });
    let mut telling = run.telling(&[samples]);
    if let Some(place) = place {
        for (one, split) in telling.iter_mut().zip(&run.found.splits) {
            one.committed = Some(split.classes[place]);
        }
        // Those first on which most fresh draws that pass do something else than the commit.
        telling.sort_by_key(|one| {
            let moved = one.outcomes.iter().enumerate().filter(|(at, _)| Some(*at) != one.committed);
            std::cmp::Reverse(moved.map(|(_, (_, counts))| counts[0].1).sum::<usize>())
        });
    }
    let mut before = Before {
        label: short.clone(),
        commit: Some(commit),
        made: provenance.finished_on.clone(),
        model: None,
        counts: (0, 0),
        fixed: false,
        clusters: Vec::new(),
        changed: Vec::new(),
        alike,
        notes,
    };
    if provenance.spec.digest != sha256(spec.canonical()) {
        before.changed.push(Changed::Spec);
    }
    let mut drift = None;
    match provenance.drawn() {
        None => before.notes.push(format!(
            "a person made the code at {short}: it records no draws, and only what it does is held against the fresh ones"
        )),
        Some(then) => {
            before.model = Some(then.model.to_string());
            before.counts = (then.statistics.counts.sampled, then.statistics.counts.passed);
            before.fixed = then.statistics.pass_rate.is_some_and(|rate| rate.fixed);
            let clusters = then.statistics.clusters.iter().filter(|share| share.passed);
            before.clusters = clusters.map(|share| share.size).collect();
            if before.changed.is_empty() && then.prompt != drawn.prompt {
                before.changed.push(Changed::Prompt);
            }
            if !drawn.models.split(", ").any(|model| model == then.model.to_string()) {
                before.changed.push(Changed::Model);
            }
            if !is_alike(&then.sampling.parameters, &plan.parameters) {
                before.changed.push(Changed::Parameters);
            }
            let (all, passed) = before.counts;
            let now = &setting.distribution;
            drift = Some(Drift::of((passed, all), (now.passed(), now.drawn()), &[], 1));
        }
    }
    let coverage = (run.found.programs.len() > 1).then_some(run.found.coverage);
    let name = spec.name.clone();
    Ok(Measured { spec: name, settings: vec![setting], telling, coverage, drift, before: Some(before) })
}

/// Whether draws with these parameters come from the same distribution: the seed plays no part.
fn is_alike(one: &Parameters, other: &Parameters) -> bool {
    Parameters { seed: 0, ..one.clone() } == Parameters { seed: 0, ..other.clone() }
}

fn first(verdict: &Verdict) -> String {
    verdict.detail.lines().next().unwrap_or_default().to_owned()
}

/// Draws in the ledger, and what has changed since.
struct Found {
    draws: Vec<Earlier>,
    changed: Vec<Changed>,
}

/// Most draws that are looked for in the ledger, of all settings of a spec, and most that are held against the fresh ones.
const LOOKED_AT: usize = 4096;
const MOST: usize = 256;

/// The draws that the ledger has until a moment: those of the same prompt, model and parameters; else those of the
/// same model that came last, with what has changed since.
async fn earlier(
    session: &mut Session,
    loaded: &Loaded,
    all: &[Loaded],
    plan: &Plan,
    typed: &str,
    until: u64,
) -> Result<Found, Error> {
    let name = &loaded.spec.name;
    let models = session.models_for(&plan.models).await?;
    let models: Vec<String> = models.iter().map(|model| model.identity().to_string()).collect();
    let prompt = draw::digest(&specs::render_prompt(session, loaded, all)?);
    // All of that second.
    let moment = i64::try_from(until.saturating_mul(1000).saturating_add(999)).unwrap_or(i64::MAX);
    let found = session.ledger()?.drawn_until(name, moment, LOOKED_AT)?;
    let of_model: Vec<&Earlier> = found.iter().filter(|one| models.contains(&one.model)).collect();
    let Some(latest) = of_model.first() else {
        let of = models.join(", ");
        let error = Error::new(ExitCode::Usage, format!("the ledger has no draw of `{name}` by {of} until `{typed}`"));
        let mut others: Vec<&str> = found.iter().map(|one| one.model.as_str()).collect();
        others.sort_unstable();
        others.dedup();
        return Err(match (others.as_slice(), session.ledger()?.first_draw(name)?) {
            ([], None) => {
                error.hint(format!("`llmc measure {name}` draws and records; then there is something to compare"))
            }
            ([], Some(first)) => error.hint(format!(
                "the first one that it has is of {}",
                provenance::rfc3339(u64::try_from(first / 1000).unwrap_or_default())
            )),
            (others, _) => error.hint(format!("until then it has draws by {}: --model says whom", others.join(", "))),
        });
    };
    let same_prompt: Vec<&Earlier> = of_model.iter().filter(|one| one.prompt == prompt).copied().collect();
    let mut changed = Vec::new();
    let of_prompt = match same_prompt.is_empty() {
        false => same_prompt,
        true => {
            changed.push(Changed::Prompt);
            of_model.iter().filter(|one| one.prompt == latest.prompt).copied().collect()
        }
    };
    let is_same = |one: &&Earlier| one.parameters.as_ref().is_some_and(|then| is_alike(then, &plan.parameters));
    let exact: Vec<&Earlier> = of_prompt.iter().copied().filter(|one| is_same(one)).collect();
    let mut draws: Vec<Earlier> = match exact.is_empty() {
        false => exact.into_iter().cloned().collect(),
        true => {
            changed.push(Changed::Parameters);
            let last = of_prompt[0].parameters.clone();
            let same = of_prompt.into_iter().filter(|one| match (&one.parameters, &last) {
                (Some(one), Some(last)) => is_alike(one, last),
                (one, last) => one.is_none() && last.is_none(),
            });
            same.cloned().collect()
        }
    };
    draws.truncate(MOST);
    Ok(Found { draws, changed })
}

async fn beside_earlier(
    session: &mut Session,
    loaded: &Loaded,
    plan: &Plan,
    fresh: Fresh,
    earlier: Found,
    typed: &str,
) -> Result<Measured, Error> {
    let Fresh { setting: mut now, drawn } = fresh;
    let Found { draws, changed } = earlier;
    let last = draws.iter().map(|one| one.arrived).max().unwrap_or_default();
    let fixed = !draws.iter().any(|one| one.is_early);
    let mut models: Vec<String> = draws.iter().map(|one| one.model.clone()).collect();
    models.sort_unstable();
    models.dedup();
    let temperature = draws.first().and_then(|one| one.parameters.as_ref()?.temperature);
    let samples = judged_again(session, &loaded.spec, &drawn, draws.into_iter().map(|one| one.completion)).await?;
    let each: [&[Sample]; 2] = [&samples, &drawn.samples.list];
    let run = measure::run(session, drawn.validator.clone(), drawn.checks.clone(), &each).await?;
    now.distribution = measure::distribution(each[1], &run);
    let then = Setting {
        label: typed.to_owned(),
        model: models.join(", "),
        temperature,
        lost: 0,
        replayed: samples.len(),
        distribution: measure::distribution(each[0], &run),
    };
    let telling = run.telling(&each);
    let drift =
        Drift::new(&then.distribution, &now.distribution, &run.outcomes(each[0], each[1]), plan.parameters.seed);
    let before = Before {
        label: typed.to_owned(),
        commit: None,
        made: provenance::rfc3339(u64::try_from(last / 1000).unwrap_or_default()),
        model: Some(then.model.clone()),
        counts: (then.distribution.drawn(), then.distribution.passed()),
        fixed,
        clusters: then.distribution.groups(true).iter().map(|group| group.size).collect(),
        changed,
        alike: None,
        notes: Vec::new(),
    };
    let coverage = (run.found.programs.len() > 1).then_some(run.found.coverage);
    let (name, drift, before) = (loaded.spec.name.clone(), Some(drift), Some(before));
    Ok(Measured { spec: name, settings: vec![then, now], telling, coverage, drift, before })
}

/// Completions of earlier draws, taken and judged as those of today are.
async fn judged_again(
    session: &Session,
    spec: &Arc<Spec>,
    drawn: &Independent,
    completions: impl Iterator<Item = Completion>,
) -> Result<Vec<Sample>, Error> {
    let completions: Vec<Completion> = completions.collect();
    let spec = spec.clone();
    let extracted = tokio::task::spawn_blocking(move || {
        let extract = |completion: Completion| {
            let found = candidate::from_completion(&completion.text, completion.finish, &spec);
            (completion, found)
        };
        completions.into_iter().map(extract).collect::<Vec<_>>()
    });
    let extracted = extracted.await.expect("extracting does not panic");
    let candidates: Vec<Candidate> = extracted.iter().filter_map(|(_, found)| found.as_ref().ok()).cloned().collect();
    let mut judged = strength::judge(session, &drawn.validator, &drawn.checks, candidates).await?.into_iter();
    let sample = |(index, (completion, found)): (usize, (Completion, Result<Candidate, Verdict>))| {
        let (candidate, verdict) = match found {
            Ok(candidate) => (Some(candidate), judged.next().map(|one| one.verdict)),
            Err(verdict) => (None, Some(verdict)),
        };
        let verdict = verdict.unwrap_or_else(|| Verdict::passed(Phase::Parse, 0));
        Sample { completion: Completion { index, ..completion }, model: 0, replayed: true, candidate, verdict }
    };
    Ok(extracted.into_iter().enumerate().map(sample).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<u64> {
        match Against::read(text) {
            Ok(Against::Date(_, seconds)) => Some(seconds),
            _ => None,
        }
    }

    #[test]
    fn models_times_and_revisions_are_told_apart() {
        for model in ["openai/gpt-5-mini", "embedded/1.5b", "openai/org/name", "replay/a"] {
            assert_eq!(Against::read(model).expect("it is a model"), Against::Model(model.to_owned()));
        }
        for revision in [
            "HEAD",
            "HEAD~3",
            "v1.0",
            "origin/main",
            "a1b2c3d",
            "refs/heads/openai/x",
            "2026-11-01-fix",
            "20261101",
            "2026-11",
            "main@{2026-11-01}",
        ] {
            assert_eq!(Against::read(revision).expect("it is a revision"), Against::Revision(revision.to_owned()));
        }
        for wrong in [
            "2026-13-01",
            "2026-02-29",
            "2026-11-31",
            "2026-11-01T",
            "2026-11-01T25:00",
            "2026-11-01T12",
            "2026-11-01T12:00+01:00",
            "0001-01-01",
        ] {
            assert_eq!(Against::read(wrong).expect_err("it is no time").exit, ExitCode::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_day_lasts_until_its_end_and_a_time_is_that_second() {
        assert_eq!(date("1970-01-01"), Some(86_399));
        assert_eq!(date("1970-01-02T00:00Z"), Some(86_400));
        for text in ["2026-11-22T16:40:00Z", "2024-02-29T23:59:59Z", "2000-03-01T00:00:00Z", "2100-12-31T12:34:56Z"] {
            assert_eq!(provenance::rfc3339(date(text).expect("it is a time")), text);
        }
        assert_eq!(date("2026-11-22T16:40"), date("2026-11-22T16:40:00Z"));
    }
}
