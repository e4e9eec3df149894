//! When it is enough: the rules of `stop`. Pure.

use std::collections::HashMap;

use crate::spec::Stop;
use crate::stats;

/// How sure it must be which behaviour leads.
const SURE: f64 = 0.95;

/// What independent draws that pass do: each has a vote, and nothing else has one.
#[derive(Debug, Default)]
pub(super) struct Votes {
    of: HashMap<String, usize>,
    is_settled: bool,
}

impl Votes {
    /// Takes in the vote for a behaviour. What was settled stays so.
    pub(super) fn add(&mut self, behaviour: String) {
        let votes = self.of.entry(behaviour.clone()).or_default();
        *votes += 1;
        let own = *votes;
        // Most votes are for a behaviour that could not lead whatever the others have.
        if stats::leads(own, 0) > SURE {
            let others = self.of.iter().filter(|(other, _)| **other != behaviour).map(|(_, votes)| *votes);
            self.is_settled |= stats::leads(own, others.max().unwrap_or_default()) > SURE;
        }
    }
}

/// Whether no more samples are needed. `any` says whether a candidate passes, however it came to be.
pub(super) fn is_enough(stop: Stop, any: bool, votes: &Votes) -> bool {
    match stop {
        Stop::First => any,
        Stop::Agree => votes.is_settled,
        Stop::All => false,
    }
}

/// Whether the number of draws is settled before the first of them: then what they show is a measurement.
pub(super) fn is_fixed(stop: Stop, samples: usize) -> bool {
    match stop {
        Stop::First => samples <= 1,
        // The rule can't be met before the last draw.
        Stop::Agree => samples == 0 || stats::leads(samples - 1, 0) <= SURE,
        Stop::All => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(of: &[&str]) -> Votes {
        let mut votes = Votes::default();
        of.iter().for_each(|behaviour| votes.add((*behaviour).to_owned()));
        votes
    }

    fn settled(of: &[&str]) -> bool {
        is_enough(Stop::Agree, true, &votes(of))
    }

    #[test]
    fn four_that_agree_are_enough_and_with_one_against_it_takes_six() {
        assert!(!settled(&[]) && !settled(&["a", "a", "a"]));
        assert!(settled(&["a", "a", "a", "a"]));
        assert!(!settled(&["a", "a", "b", "a", "a", "a"]));
        assert!(settled(&["a", "a", "b", "a", "a", "a", "a"]));
        // Those that come third do not count against the first.
        assert!(settled(&["a", "c", "a", "a", "b", "a", "a", "a"]));
    }

    #[test]
    fn first_takes_any_candidate_that_passes_and_all_takes_none() {
        assert!(is_enough(Stop::First, true, &votes(&[])) && !is_enough(Stop::First, false, &votes(&[])));
        assert!(!is_enough(Stop::All, true, &votes(&["a"; 50])));
    }

    #[test]
    fn a_number_of_draws_is_fixed_where_the_rule_can_not_end_it() {
        assert!(is_fixed(Stop::All, 64) && is_fixed(Stop::First, 1) && !is_fixed(Stop::First, 2));
        assert!(is_fixed(Stop::Agree, 4) && !is_fixed(Stop::Agree, 5));
    }
}
