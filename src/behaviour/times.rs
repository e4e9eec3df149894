//! How long programs take for the same calls, measured in turn.

use std::time::Duration;

use serde::Serialize;

use super::{Behaviours, Kind};
use crate::candidate::Candidate;
use crate::spec::Profile;
use crate::validate::{Answerers, Checks, Reply, ValidateError, Validator};

/// Rounds in which each program is measured.
const ROUNDS: usize = 9;
/// Different inputs.
const INPUTS: usize = 64;
/// CPU time that a round should take at least, beside starting the process.
const ROUND: Duration = Duration::from_millis(10);
/// Most calls of a round.
const CALLS: usize = 20_000;

/// CPU time of one call, in nanoseconds, over rounds: its arguments are read and its result is written in that time, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Time {
    /// The fastest round.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The slowest round.
    pub high: f64,
    /// Calls of a round.
    pub calls: usize,
    /// Different inputs among them.
    pub inputs: usize,
    /// Each round, in turn with those of the other programs.
    pub rounds: Vec<f64>,
}

/// The time that each of the programs of `behaviours` takes, in a release build, for inputs that all answer; `None` where
/// there are no such, or where it is too short to be measured.
///
/// Programs take turns, so that all see the same moods of the machine.
///
/// # Errors
/// [`ValidateError`] when llmc could not do its part.
pub fn times(
    validator: &Validator,
    checks: &Checks,
    candidates: &[&Candidate],
    behaviours: &Behaviours,
) -> Result<Option<Vec<Time>>, ValidateError> {
    let is_plain = |kind: Kind| matches!(kind, Kind::Value | Kind::Error);
    let mut usable: Vec<&[u8]> = behaviours
        .observations
        .iter()
        .filter(|observation| observation.outcomes.iter().all(|outcome| is_plain(outcome.kind)))
        .map(|observation| observation.sent.as_slice())
        .filter(|sent| !sent.is_empty())
        .collect();
    let step = usable.len().div_ceil(INPUTS).max(1);
    usable = usable.into_iter().step_by(step).collect();
    if usable.is_empty() || behaviours.programs.is_empty() {
        return Ok(None);
    }
    let compared: Vec<&Candidate> = behaviours.programs.iter().map(|at| candidates[*at]).collect();
    let mut answerers = validator.answerers_in(Profile::Release, checks, &compared)?;
    // A round is long; one call in it is not.
    answerers.be_patient(Duration::from_secs(2), 3);
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); compared.len()];
    // Of each as many calls as it takes for a round that can be measured.
    let mut repeats = Vec::new();
    let most = (CALLS / usable.len()).max(1);
    for program in 0..compared.len() {
        let mut count = 1;
        loop {
            let Some(each) = measure(&mut answerers, program, &usable, count)? else { return Ok(None) };
            if count == most || each * (count * usable.len()) as f64 >= ROUND.as_nanos() as f64 {
                break;
            }
            // A few calls are lost in the noise: how many it takes is found out step by step.
            count = (4 * count).min(most);
        }
        repeats.push(count);
    }
    for _ in 0..ROUNDS {
        for (program, rounds) in rounds.iter_mut().enumerate() {
            let Some(time) = measure(&mut answerers, program, &usable, repeats[program])? else { return Ok(None) };
            rounds.push(time);
        }
    }
    let time = |(rounds, repeats): (Vec<f64>, usize)| {
        let mut all = rounds.clone();
        all.sort_by(f64::total_cmp);
        let (low, median, high) = (all[0], all[all.len() / 2], all[all.len() - 1]);
        Time { low, median, high, calls: repeats * usable.len(), inputs: usable.len(), rounds }
    };
    let all: Vec<Time> = rounds.into_iter().zip(repeats).map(time).collect();
    Ok(all.iter().all(|time| time.median > 0.0).then_some(all))
}

/// Nanoseconds for each call, without what starting the process takes; `None` where one finds no answer.
fn measure(
    answerers: &mut Answerers,
    program: usize,
    calls: &[&[u8]],
    repeats: usize,
) -> Result<Option<f64>, ValidateError> {
    let mut ask = |calls: &[&[u8]]| answerers.ask_timed(program, false, calls);
    let (_, start) = ask(&calls[..1])?;
    let all: Vec<&[u8]> = std::iter::repeat_n(calls, repeats).flatten().copied().collect();
    let (replies, cpu) = ask(&all)?;
    let is_whole = replies.iter().all(|reply| matches!(reply, Reply::Answer(_) | Reply::Long(..)));
    Ok(is_whole.then(|| cpu.saturating_sub(start).as_nanos() as f64 / (all.len() - 1).max(1) as f64))
}

impl Time {
    /// How many times as long this one takes as the other, where it is the slower or the faster one in all rounds but
    /// one at most: of nine that comes about by chance in one case of 25.
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        let pairs = || self.rounds.iter().zip(&other.rounds);
        let slower = pairs().filter(|(one, other)| one > other).count();
        let faster = pairs().filter(|(one, other)| one < other).count();
        if slower.max(faster) + 1 < ROUNDS {
            return None;
        }
        let mut ratios: Vec<f64> = pairs().filter(|(_, other)| **other > 0.0).map(|(one, other)| one / other).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(rounds: [f64; ROUNDS]) -> Time {
        Time { low: 0.0, median: 0.0, high: 0.0, calls: 1, inputs: 1, rounds: rounds.to_vec() }
    }

    #[test]
    fn a_ratio_is_told_where_the_rounds_agree_on_who_is_slower() {
        let one = time([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let double = time([2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 1.0]);
        assert_eq!((double.ratio_to(&one), one.ratio_to(&double)), (Some(2.0), Some(0.5)));
        let other = time([2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 1.0, 1.0]);
        assert_eq!(other.ratio_to(&one), None);
    }
}
