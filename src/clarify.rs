//! Which question tells most of what a spec means: readings with their weights in, questions out. Pure.
//!
//! A reading is what a group of programs that pass does on every input that was run. A question is an input on which
//! readings differ; its answer is what the program that is wanted does there. The one to ask is the one whose answer is
//! known least beforehand, small ones preferred; answers are taken to be wrong now and then, so none rules a reading out.

use std::collections::HashSet;

use crate::behaviour::{Behaviours, Kind, Outcome};

/// How often an answer is taken to be a slip.
pub const SLIPS: f64 = 0.05;
/// The share of programs from which on a reading is more than noise of the model.
pub const RIVAL: f64 = 0.15;
/// The share from which on a reading is taken to be the one that is meant.
pub const SETTLED: f64 = 0.95;
/// A question that tells less than this, in bits, is not worth a person's time.
pub const LEAST_GAIN: f64 = 0.1;
/// What a character of a question costs, in bits.
const LENGTH: f64 = 0.01;
/// Most questions that are kept for each way to part the readings.
const ALIKE: usize = 3;

/// The entropy of weights that add up to 1, in bits.
pub fn entropy(weights: &[f64]) -> f64 {
    weights.iter().filter(|weight| **weight > 0.0).map(|weight| -weight * weight.log2()).sum::<f64>().max(0.0)
}

/// Programs that pass and do the same on every input that was run.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Their places among the programs that were run; the first one stands for all.
    pub programs: Vec<usize>,
    /// How many draws gave them.
    pub draws: usize,
    /// Its share of the draws that pass, and then what answers made of that.
    pub weight: f64,
}

/// An input on which readings differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The input, as a call in Rust.
    pub call: String,
    /// The different things that readings do there.
    pub outcomes: Vec<Outcome>,
    /// Of each reading: which of `outcomes`.
    pub of: Vec<usize>,
}

impl Question {
    /// What share of `weights` each outcome has.
    pub fn shares(&self, weights: &[f64]) -> Vec<f64> {
        let mut shares = vec![0.0; self.outcomes.len()];
        for (outcome, weight) in self.of.iter().zip(weights) {
            shares[*outcome] += weight;
        }
        shares
    }

    /// How little is known beforehand of what the wanted program does here, in bits.
    pub fn entropy(&self, weights: &[f64]) -> f64 {
        entropy(&self.shares(weights))
    }

    /// What an answer tells of which reading is meant, in bits, slips allowed for: `H(A) − H(A|c)`.
    pub fn gain(&self, weights: &[f64]) -> f64 {
        let others = self.outcomes.len().saturating_sub(1) as f64;
        if others < 1.0 {
            return 0.0;
        }
        let answer = |share: f64| share * (1.0 - SLIPS) + (1.0 - share) * SLIPS / others;
        let answers: Vec<f64> = self.shares(weights).into_iter().map(answer).collect();
        (entropy(&answers) - entropy(&[1.0 - SLIPS, SLIPS]) - SLIPS * others.log2()).max(0.0)
    }

    /// How much there is to read. What can't be typed or seen plainly counts more.
    pub fn size(&self) -> usize {
        let length = |text: &str| {
            let of = |letter: char| match letter {
                ' '..='~' if letter != '\\' => 1,
                _ => 4,
            };
            text.chars().map(of).sum::<usize>()
        };
        let odd = |outcome: &Outcome| match outcome.kind {
            Kind::Value | Kind::Error => 0,
            Kind::Panic => 5,
            _ => 40,
        };
        let outcomes = self.outcomes.iter().map(|outcome| length(&outcome.text) + odd(outcome));
        length(&self.call) + outcomes.max().unwrap_or_default()
    }

    fn worth(&self, weights: &[f64]) -> f64 {
        self.entropy(weights) - LENGTH * self.size() as f64
    }
}

/// What is known of the readings, and what can be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Inquiry {
    /// The readings, the most frequent first.
    pub readings: Vec<Reading>,
    /// What can be asked, the most telling first as things were in the beginning.
    pub questions: Vec<Question>,
    /// Places of questions that are not asked any more.
    done: Vec<usize>,
    /// Of each reading: how many answers it is at odds with.
    at_odds: Vec<usize>,
}

/// How far programs that pass are from doing the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Fewer than two draws pass.
    TooFew,
    /// They all do the same on every input that was run.
    Alike,
    /// One reading leads; the others are rare enough to be the model's slips.
    Noise,
    /// Two readings or more are frequent.
    Ambiguous,
}

impl Inquiry {
    /// Of programs that were run; `draws` says for each how many draws that pass gave it.
    pub fn new(found: &Behaviours, draws: &[usize]) -> Self {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for cluster in &found.clusters {
            let first = groups.len();
            for program in cluster.iter().filter(|program| draws.get(**program).is_some_and(|count| *count > 0)) {
                // The smallest inputs were run last: they may tell more than those that made the clusters.
                let same = |other: usize| {
                    found.splits.iter().all(|split| {
                        let [one, other] = [split.classes[*program], split.classes[other]];
                        let is_known = |class: usize| split.outcomes[class].kind != Kind::Unknown;
                        one == other || !is_known(one) || !is_known(other)
                    })
                };
                match groups[first..].iter_mut().find(|group| same(group[0])) {
                    Some(group) => group.push(*program),
                    None => groups.push(vec![*program]),
                }
            }
        }
        let count = |group: &[usize]| group.iter().map(|program| draws[*program]).sum::<usize>();
        groups.sort_by_key(|group| (std::cmp::Reverse(count(group)), group[0]));
        let all: usize = groups.iter().map(|group| count(group)).sum();
        let reading = |group: Vec<usize>| {
            let draws = count(&group);
            Reading { programs: group, draws, weight: draws as f64 / all.max(1) as f64 }
        };
        let readings: Vec<Reading> = groups.into_iter().map(reading).collect();
        let firsts: Vec<usize> = readings.iter().map(|reading| reading.programs[0]).collect();
        let splits = found.splits.iter().map(|split| (&split.call, &split.outcomes, &split.classes));
        let others = found.observations.iter().filter(|one| one.is_split());
        let others = others.map(|one| (&one.call, &one.outcomes, &one.classes));
        let mut calls = HashSet::new();
        let questions = splits.chain(others).filter_map(|(call, outcomes, classes)| {
            let question = question(call, outcomes, &firsts.iter().map(|at| classes[*at]).collect::<Vec<_>>())?;
            calls.insert(question.call.clone()).then_some(question)
        });
        let questions = questions.collect();
        Self::of(readings, questions)
    }

    /// Of readings, and inputs on which they differ.
    pub fn of(readings: Vec<Reading>, mut questions: Vec<Question>) -> Self {
        let weights: Vec<f64> = readings.iter().map(|reading| reading.weight).collect();
        questions.sort_by(|one, other| other.worth(&weights).total_cmp(&one.worth(&weights)));
        // Of those that part the readings in the same way the smallest are enough.
        let mut known: Vec<(Vec<usize>, usize)> = Vec::new();
        questions.retain(|question| match known.iter_mut().find(|(of, _)| *of == question.of) {
            Some((_, count)) => {
                *count += 1;
                *count <= ALIKE
            }
            None => {
                known.push((question.of.clone(), 1));
                true
            }
        });
        let at_odds = vec![0; readings.len()];
        Self { readings, questions, done: Vec::new(), at_odds }
    }

    /// The weights of the readings.
    pub fn weights(&self) -> Vec<f64> {
        self.readings.iter().map(|reading| reading.weight).collect()
    }

    /// How undecided it is which reading is meant, in bits.
    pub fn entropy(&self) -> f64 {
        entropy(&self.weights())
    }

    /// The place of the reading that leads, with its weight.
    pub fn leader(&self) -> Option<(usize, f64)> {
        let weights = self.readings.iter().map(|reading| reading.weight).enumerate();
        weights.max_by(|(one_at, one), (at, other)| one.total_cmp(other).then(at.cmp(one_at)))
    }

    /// Draws that pass and were run.
    pub fn draws(&self) -> usize {
        self.readings.iter().map(|reading| reading.draws).sum()
    }

    /// How far the programs are from doing the same.
    pub fn verdict(&self) -> Verdict {
        let rivals = self.readings.iter().filter(|reading| reading.weight >= RIVAL).count();
        match (self.draws(), self.readings.len()) {
            (..2, _) => Verdict::TooFew,
            (_, 1) => Verdict::Alike,
            _ if rivals >= 2 => Verdict::Ambiguous,
            _ => Verdict::Noise,
        }
    }

    /// Questions that can be asked, the most telling first by what is known now.
    pub fn ranked(&self) -> Vec<usize> {
        let weights = self.weights();
        let mut places: Vec<usize> = (0..self.questions.len()).filter(|at| !self.done.contains(at)).collect();
        places.sort_by(|one, other| {
            self.questions[*other].worth(&weights).total_cmp(&self.questions[*one].worth(&weights))
        });
        places
    }

    /// What to ask first, second, third, were they all to be answered: those that part the same readings in the same
    /// way as one before are passed over.
    pub fn top(&self, most: usize) -> Vec<usize> {
        let mut top: Vec<usize> = Vec::new();
        for at in self.ranked() {
            let is_new = top.iter().all(|known| self.questions[*known].of != self.questions[at].of);
            if top.len() < most && is_new {
                top.push(at);
            }
        }
        top
    }

    /// The question to ask now; `None` where one reading is settled on, or no question tells enough.
    pub fn next(&self) -> Option<usize> {
        if self.is_settled() {
            return None;
        }
        let weights = self.weights();
        self.ranked().into_iter().find(|at| self.questions[*at].gain(&weights) >= LEAST_GAIN)
    }

    /// Whether one reading has nearly all of the weight, or is the only one that no answer is at odds with: a slip among
    /// the answers is possible then, but to ask for all of them once more is too much.
    pub fn is_settled(&self) -> bool {
        let Some((leader, weight)) = self.leader() else { return true };
        let fits = self.at_odds.iter().filter(|count| **count == 0).count();
        // A hair below, for what sums of fractions lose.
        weight >= SETTLED - 1e-9 || fits == 1 && self.at_odds[leader] == 0
    }

    /// Takes in that these outcomes of a question, and no other, are as they should be. None of them, or all: nothing is
    /// learned of which reading is meant.
    pub fn answer(&mut self, question: usize, right: &[usize]) {
        self.pass_over(question);
        let Question { outcomes, of, .. } = &self.questions[question];
        let wrong = outcomes.len().saturating_sub(right.len());
        if right.is_empty() || wrong == 0 {
            return;
        }
        for ((reading, outcome), at_odds) in self.readings.iter_mut().zip(of).zip(&mut self.at_odds) {
            *at_odds += usize::from(!right.contains(outcome));
            reading.weight *= match right.contains(outcome) {
                true => 1.0 - SLIPS,
                false => SLIPS / wrong as f64,
            };
        }
        let sum: f64 = self.readings.iter().map(|reading| reading.weight).sum();
        self.readings.iter_mut().for_each(|reading| reading.weight /= sum);
    }

    /// Asks a question no more.
    pub fn pass_over(&mut self, question: usize) {
        self.done.push(question);
    }

    /// The same, after the readings (the first program of each, in order) were run on other inputs: what does not part
    /// them any more is one reading. What was asked is not asked again.
    pub fn narrowed(&self, found: &Behaviours) -> Self {
        let draws: Vec<usize> = found.programs.iter().map(|at| self.readings[*at].draws).collect();
        let mut new = Self::new(found, &draws);
        for (reading, at_odds) in new.readings.iter_mut().zip(&mut new.at_odds) {
            let places = reading.programs.iter().map(|place| found.programs[*place]);
            *at_odds = places.clone().map(|place| self.at_odds[place]).min().unwrap_or_default();
            let members = places.map(|place| &self.readings[place]);
            reading.weight = members.clone().map(|member| member.weight).sum();
            let programs = members.flat_map(|member| member.programs.iter().copied()).collect();
            reading.programs = programs;
        }
        let asked = |call: &String| self.done.iter().any(|at| self.questions[*at].call == *call);
        new.done = (0..new.questions.len()).filter(|at| asked(&new.questions[*at].call)).collect();
        new
    }
}

impl Question {
    /// What readings do, each in words.
    pub fn told(&self) -> Vec<String> {
        let told = |outcome: &Outcome| match outcome.kind {
            // Whose words a panic has does not matter, where it is the only one.
            Kind::Panic => "a panic".to_owned(),
            Kind::Crash => format!("a crash ({})", outcome.text),
            Kind::Timeout => "no answer in time".to_owned(),
            Kind::Flaky => format!("something else each time ({})", outcome.text),
            _ => outcome.text.clone(),
        };
        let is_alone = self.outcomes.iter().filter(|outcome| outcome.kind == Kind::Panic).count() < 2;
        self.outcomes.iter().map(|outcome| if is_alone { told(outcome) } else { outcome.text.clone() }).collect()
    }
}

/// The question that an input is, from what stands for each reading does there.
fn question(call: &str, outcomes: &[Outcome], classes: &[usize]) -> Option<Question> {
    // A call that was cut is no Rust.
    if call.contains('…') || classes.iter().any(|class| outcomes[*class].kind == Kind::Unknown) {
        return None;
    }
    let mut kept: Vec<usize> = Vec::new();
    let of = classes.iter().map(|class| {
        kept.iter().position(|known| known == class).unwrap_or_else(|| {
            kept.push(*class);
            kept.len() - 1
        })
    });
    let of: Vec<usize> = of.collect();
    let outcomes: Vec<Outcome> = kept.iter().map(|class| outcomes[*class].clone()).collect();
    (outcomes.len() > 1).then(|| Question { call: call.to_owned(), outcomes, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Outcome {
        Outcome { kind: Kind::Value, text: text.to_owned() }
    }

    fn readings(weights: &[f64]) -> Vec<Reading> {
        let of = |(at, weight): (usize, &f64)| Reading {
            programs: vec![at],
            draws: (weight * 100.0).round() as usize,
            weight: *weight,
        };
        weights.iter().enumerate().map(of).collect()
    }

    fn asks(call: &str, of: &[usize]) -> Question {
        let count = of.iter().max().expect("there are readings") + 1;
        Question {
            call: call.to_owned(),
            outcomes: (0..count).map(|at| outcome(&at.to_string())).collect(),
            of: of.to_vec(),
        }
    }

    #[test]
    fn the_entropy_of_a_question_is_that_of_its_outcomes() {
        let weights = [0.5, 0.3, 0.2];
        let all = asks("f(1)", &[0, 1, 2]);
        assert!((all.entropy(&weights) - 1.485_475).abs() < 1e-6);
        assert!((asks("f(1)", &[0, 1, 1]).entropy(&weights) - 1.0).abs() < 1e-12);
        // Two outcomes, one slip in twenty: h(p·0.9 + 0.05) − h(0.05).
        let h = |p: f64| entropy(&[p, 1.0 - p]);
        let gain = asks("f(1)", &[0, 1, 1]).gain(&weights);
        assert!((gain - (h(0.5) - h(0.05))).abs() < 1e-12, "{gain}");
        // What tells all apart tells less than its entropy, by what slips blur.
        let gain = all.gain(&weights);
        assert!(gain < all.entropy(&weights) && gain > 0.9, "{gain}");
        assert_eq!(asks("f(1)", &[0, 0, 0]).gain(&weights), 0.0);
    }

    #[test]
    fn the_smallest_of_those_that_tell_as_much_is_asked() {
        let inquiry = Inquiry::of(
            readings(&[0.5, 0.3, 0.2]),
            vec![
                asks("f(\"a long text that tells all\")", &[0, 1, 2]),
                asks("f(\"all\")", &[0, 1, 2]),
                asks("f(1)", &[0, 1, 1]),
                asks("f(\"\\u{301}\")", &[0, 1, 2]),
            ],
        );
        assert_eq!(inquiry.questions[inquiry.next().expect("there is one")].call, "f(\"all\")");
        let calls: Vec<&str> = inquiry.top(3).into_iter().map(|at| inquiry.questions[at].call.as_str()).collect();
        assert_eq!(calls, ["f(\"all\")", "f(1)"]);
    }

    #[test]
    fn an_answer_moves_the_weight_and_rules_nothing_out() {
        let mut inquiry =
            Inquiry::of(readings(&[0.5, 0.3, 0.2]), vec![asks("f(1)", &[0, 1, 2]), asks("f(2)", &[0, 1, 1])]);
        let at = inquiry.questions.iter().position(|one| one.call == "f(1)").expect("it is there");
        inquiry.answer(at, &[1]);
        // 0.3·0.95 of 0.3·0.95 + 0.7·0.025.
        let expected = 0.285 / (0.285 + 0.0175);
        assert!((inquiry.readings[1].weight - expected).abs() < 1e-12);
        assert_eq!(inquiry.leader().map(|(at, _)| at), Some(1));
        // It is the only one that fits the answer.
        assert!(inquiry.is_settled() && !inquiry.ranked().contains(&at));
        // An answer that is none of the outcomes says nothing of the readings.
        let before = inquiry.weights();
        let other = inquiry.ranked()[0];
        inquiry.answer(other, &[]);
        assert_eq!((inquiry.weights(), inquiry.next()), (before, None));
    }

    #[test]
    fn rare_rivals_are_noise() {
        let ask = || vec![asks("f(1)", &[0, 1])];
        let of = |weights: &[f64]| Inquiry::of(readings(weights), ask());
        assert_eq!(of(&[0.9, 0.1]).verdict(), Verdict::Noise);
        assert_eq!(of(&[0.85, 0.15]).verdict(), Verdict::Ambiguous);
        assert_eq!(Inquiry::of(readings(&[1.0]), Vec::new()).verdict(), Verdict::Alike);
        assert_eq!(Inquiry::of(readings(&[0.01]), Vec::new()).verdict(), Verdict::TooFew);
    }

    /// Questions asked until a user who means `wanted` is understood.
    fn simulated(mut inquiry: Inquiry, wanted: usize) -> (usize, usize) {
        let mut asked = 0;
        while let Some(at) = inquiry.next() {
            let outcome = inquiry.questions[at].of[wanted];
            inquiry.answer(at, &[outcome]);
            asked += 1;
            assert!(asked < 20, "{inquiry:?}");
        }
        (inquiry.leader().expect("there are readings").0, asked)
    }

    #[test]
    fn whoever_knows_what_is_meant_is_understood_after_few_questions() {
        let mut state = 5_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut tried = 0;
        for count in 2..=6_usize {
            let most = count.next_power_of_two().trailing_zeros() as usize + 1;
            for _ in 0..60 {
                // Shares as sixteen or more draws give them.
                let draws: Vec<f64> = (0..count).map(|_| (2 + random(6)) as f64).collect();
                let all: f64 = draws.iter().sum();
                let weights: Vec<f64> = draws.iter().map(|draws| draws / all).collect();
                // Inputs part the readings at random, and some inputs part all of them, as strings do.
                let outcomes: Vec<Outcome> = (0..count).map(|at| outcome(&at.to_string())).collect();
                let drawn = (0..40).filter_map(|at| {
                    let classes: Vec<usize> = (0..count).map(|_| random(count)).collect();
                    question(&format!("f({at})"), &outcomes, &classes)
                });
                let mut questions: Vec<Question> = drawn.collect();
                let all_apart: Vec<usize> = (0..count).collect();
                questions.extend((0..3).map(|at| asks(&format!("f(\"{at}\")"), &all_apart)));
                let inquiry = Inquiry::of(readings(&weights), questions);
                for wanted in (0..count).filter(|at| weights[*at] >= RIVAL) {
                    let (end, asked) = simulated(inquiry.clone(), wanted);
                    assert_eq!(end, wanted, "{inquiry:?}");
                    assert!(asked <= most, "{asked} questions for {count} readings: {weights:?}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 500, "{tried}");
    }

    #[test]
    fn yes_and_no_are_enough_where_nothing_tells_more() {
        // Four readings, and inputs that halve them.
        let halves = || {
            let of = [[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]];
            of.iter().enumerate().map(|(at, of)| asks(&format!("f({at})"), of)).collect::<Vec<_>>()
        };
        for wanted in 0..4 {
            let (end, asked) = simulated(Inquiry::of(readings(&[0.25; 4]), halves()), wanted);
            assert_eq!(end, wanted);
            assert!(asked <= 3, "{asked}");
        }
    }
}
