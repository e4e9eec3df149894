//! Which failed candidate is sent back to the model, and when a fresh sample is the better buy.
//!
//! Pure: the same candidates, verdicts and seed give the same choice, so that a build that is repeated asks for nothing
//! anew. Thompson sampling, as in REx (Tang and others, 2024): each arm draws a chance of success from what is known of
//! it; the highest, by the tokens that it costs, is asked.

use std::collections::{HashMap, HashSet};

use crate::candidate::Candidate;
use crate::stats;
use crate::validate::{Failure, Insight, Program};
use crate::verdict::{Class, Outcome, Phase, Verdict};

/// How much the stage that a candidate reached counts, in draws.
const WEIGHT: f64 = 5.0;
/// What compiling is worth of that; the rest is for the checks that models are shown.
const COMPILES: f64 = 0.3;
/// Most repairs in a lineage of candidates that fail a check, and of ones that do not compile.
const FAILING: usize = 2;
const NOT_COMPILING: usize = 3;
/// How many tokens more than its task a repair's prompt can take at most. What is longer is not sent back, so that what
/// repairs can cost is known before the first sample.
pub(super) const ROOM: u64 = 16 << 10;

/// A program that was judged.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The index of the sample that it is made of.
    pub(super) sample: usize,
    /// What it was made from, and how; none for what a fresh sample holds.
    pub(super) from: Option<(usize, Step)>,
    /// The node at the beginning of its lineage.
    root: usize,
    pub(super) candidate: Candidate,
    pub(super) verdict: Verdict,
    pub(super) insight: Insight,
    /// Repairs of it that were asked for: as long as it is an arm, none of them has passed.
    asked: usize,
    /// Whether another node stands for it, one that is the same program or what rustc made of it; or it is too long.
    is_passed_over: bool,
    /// How many tokens a repair takes, about.
    tokens: f64,
}

/// How one program was made from another.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// rustc's own suggestions were applied.
    Rustc(Vec<String>),
    /// It was sent back to the model, with what was wrong.
    Model {
        /// What the model was told.
        failure: Failure,
        /// SHA-256 of the prompt, as in the ledger.
        prompt: String,
    },
}

/// What to draw next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// An independent sample.
    Fresh,
    /// A repair of the node with this number.
    Repair(usize),
}

/// All programs that were judged, by where they come from.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) nodes: Vec<Node>,
    known: HashSet<Program>,
    /// By the node at the beginning.
    lineages: HashMap<usize, Lineage>,
}

/// All that was made of one sample: repairs asked for of ones that fail a check and of ones that do not compile, and
/// whether it is given up.
#[derive(Debug, Default, Clone, Copy)]
struct Lineage {
    failing: usize,
    not_compiling: usize,
    is_dead: bool,
}

/// What is known of a program when it joins the family.
pub(super) struct Born {
    pub(super) sample: usize,
    pub(super) from: Option<(usize, Step)>,
    pub(super) program: Program,
    pub(super) candidate: Candidate,
    pub(super) verdict: Verdict,
    pub(super) insight: Insight,
    pub(super) tokens: f64,
}

impl Family {
    /// Takes in a program. One that is known begins nothing new.
    pub(super) fn add(&mut self, born: Born) -> usize {
        let number = self.nodes.len();
        let is_passed_over = !self.known.insert(born.program);
        let root = match &born.from {
            Some((parent, step)) => {
                let (parent, by_rustc) = (&mut self.nodes[*parent], matches!(step, Step::Rustc(_)));
                parent.is_passed_over |= by_rustc;
                let before = fault(&parent.verdict, &parent.insight);
                let again = before.is_some() && before == fault(&born.verdict, &born.insight);
                // The same mistake at the same place: the model does not see it.
                self.lineages.entry(parent.root).or_default().is_dead |= again && !by_rustc;
                parent.root
            }
            None => number,
        };
        let Born { sample, from, candidate, verdict, insight, tokens, .. } = born;
        let node = Node { sample, from, root, candidate, verdict, insight, asked: 0, is_passed_over, tokens };
        self.nodes.push(node);
        number
    }

    /// What a model may be told of a node, if it may be repaired.
    pub(super) fn failure(&self, number: usize) -> Option<&Failure> {
        let node = &self.nodes[number];
        let lineage = self.lineages.get(&node.root).copied().unwrap_or_default();
        let is_room =
            if node.verdict.compiles() { lineage.failing < FAILING } else { lineage.not_compiling < NOT_COMPILING };
        let is_arm = !node.is_passed_over && !lineage.is_dead && is_room;
        node.insight.failure.as_ref().filter(|_| is_arm && is_repaired(&node.verdict))
    }

    /// Whether there is anything to repair.
    pub(super) fn can_repair(&self) -> bool {
        (0..self.nodes.len()).any(|number| self.failure(number).is_some())
    }

    /// Gives up a node: it is not to be repaired.
    pub(super) fn pass_over(&mut self, number: usize) {
        self.nodes[number].is_passed_over = true;
    }

    /// Notes that a repair of a node is asked for.
    pub(super) fn ask(&mut self, number: usize) {
        let (root, compiles) = (self.nodes[number].root, self.nodes[number].verdict.compiles());
        self.nodes[number].asked += 1;
        let lineage = self.lineages.entry(root).or_default();
        *(if compiles { &mut lineage.failing } else { &mut lineage.not_compiling }) += 1;
    }

    /// Chooses what to draw, of the nodes that can be repaired and, with `fresh`, an independent sample: the tokens that
    /// it takes, and how many of them failed so far.
    pub(super) fn choose(&self, fresh: Option<(f64, usize)>, fraction: &mut dyn FnMut() -> f64) -> Option<Choice> {
        let mut arms: Vec<(Choice, Arm)> = Vec::new();
        if let Some((tokens, failed)) = fresh {
            arms.push((Choice::Fresh, Arm { promise: None, failed, tokens }));
        }
        for number in (0..self.nodes.len()).filter(|number| self.failure(*number).is_some()) {
            let node = &self.nodes[number];
            let promise = Some(promise(&node.verdict, &node.insight));
            arms.push((Choice::Repair(number), Arm { promise, failed: node.asked, tokens: node.tokens }));
        }
        let chosen = best(&arms.iter().map(|(_, arm)| *arm).collect::<Vec<_>>(), fraction)?;
        Some(arms[chosen].0)
    }

    /// How a node came to be: from the fresh sample on, each node with how the next was made of it.
    pub(super) fn way(&self, number: usize) -> Vec<(&Node, &Step)> {
        let mut way = Vec::new();
        let mut at = number;
        while let Some((parent, step)) = &self.nodes[at].from {
            way.push((&self.nodes[*parent], step));
            at = *parent;
        }
        way.reverse();
        way
    }
}

/// Whether a failure of this kind is sent back: what the table of error classes says (docs/repair.md).
pub(super) fn is_repaired(verdict: &Verdict) -> bool {
    match verdict.class {
        Some(Class::Hallucination | Class::Miscompile) => {
            verdict.phase == Phase::Compile && verdict.outcome == Outcome::Failed
        }
        Some(Class::Misinterpretation) => true,
        // A fresh sample fares better, or the candidate is rejected for good.
        Some(Class::Refusal | Class::FormatViolation | Class::PolicyViolation | Class::Resource | Class::Flaky)
        | None => false,
    }
}

/// What tells one mistake from another: code and place. Only compilers name places.
fn fault<'a>(verdict: &'a Verdict, insight: &'a Insight) -> Option<(&'a str, &'a str)> {
    let failure = insight.failure.as_ref().filter(|_| verdict.phase == Phase::Compile)?;
    let place = failure.text.lines().find_map(|line| line.trim_start().strip_prefix("--> "))?;
    Some((&failure.code, place))
}

/// How far a candidate came, from 0 to 1: by the checks that models are shown, and no others.
fn promise(verdict: &Verdict, insight: &Insight) -> f64 {
    match insight.shown {
        _ if !verdict.compiles() => 0.0,
        Some((passed, all)) if all > 0 => COMPILES + (1.0 - COMPILES) * passed as f64 / all as f64,
        _ => COMPILES,
    }
}

/// Something that can be drawn.
#[derive(Debug, Clone, Copy)]
struct Arm {
    /// How far the candidate came; `None` for an independent sample.
    promise: Option<f64>,
    /// How often it was tried without success.
    failed: usize,
    /// The tokens that a draw takes, about.
    tokens: f64,
}

/// The arm to draw; `None` when there is none.
fn best(arms: &[Arm], fraction: &mut dyn FnMut() -> f64) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (number, arm) in arms.iter().enumerate() {
        let (a, b) = match arm.promise {
            Some(promise) => (1.0 + WEIGHT * promise, 1.0 + WEIGHT * (1.0 - promise) + arm.failed as f64),
            // Of this spec's own draws: none has passed, else nothing would be repaired.
            None => (1.0, 1.0 + arm.failed as f64),
        };
        let worth = stats::beta(fraction, a, b) / arm.tokens.max(1.0);
        if best.is_none_or(|(_, highest)| worth > highest) {
            best = Some((number, worth));
        }
    }
    best.map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sampling::Rng;

    fn failing(passed: usize, all: usize) -> (Verdict, Insight) {
        let verdict = Verdict::failed(Phase::Test, Class::Misinterpretation, "example-1", "expected 1, got 2");
        let failure = Some(Failure { code: "example-1".into(), text: "expected 1, got 2".into() });
        (verdict, Insight { shown: Some((passed, all)), failure, ..Insight::default() })
    }

    fn broken(code: &str, place: &str) -> (Verdict, Insight) {
        let text = format!("error[{code}]: no\n --> {place}\n");
        let verdict = Verdict::failed(Phase::Compile, Class::Hallucination, code, &text);
        (verdict, Insight { failure: Some(Failure { code: code.into(), text }), ..Insight::default() })
    }

    fn born(text: &str, from: Option<usize>, (verdict, insight): (Verdict, Insight)) -> Born {
        let candidate = Candidate { source: text.into(), notes: Vec::new() };
        let step = Step::Model { failure: Failure { code: String::new(), text: String::new() }, prompt: String::new() };
        let from = from.map(|parent| (parent, step));
        Born { sample: 0, from, program: Program::of(&candidate), candidate, verdict, insight, tokens: 100.0 }
    }

    #[test]
    fn a_lineage_ends_after_two_repairs_of_failed_checks_and_three_of_compile_errors() {
        let mut family = Family::default();
        let one = family.add(born("fn a() {}", None, failing(1, 2)));
        family.ask(one);
        assert!(family.failure(one).is_some());
        let two = family.add(born("fn b() {}", Some(one), failing(1, 2)));
        family.ask(two);
        assert!(family.failure(one).is_none() && family.failure(two).is_none() && !family.can_repair());
        // Another lineage is not concerned.
        let other = family.add(born("fn c() {}", None, broken("E0425", "a.rs:1:1")));
        for _ in 0..3 {
            assert!(family.failure(other).is_some());
            family.ask(other);
        }
        assert!(family.failure(other).is_none());
    }

    #[test]
    fn the_same_error_at_the_same_place_ends_a_lineage_and_another_does_not() {
        let mut family = Family::default();
        let one = family.add(born("fn a() {}", None, broken("E0425", "a.rs:1:1")));
        family.ask(one);
        let two = family.add(born("fn b() {}", Some(one), broken("E0425", "a.rs:2:1")));
        assert!(family.failure(two).is_some());
        family.ask(two);
        let three = family.add(born("fn c() {}", Some(two), broken("E0425", "a.rs:2:1")));
        assert!(family.failure(three).is_none() && family.failure(one).is_none() && !family.can_repair());
    }

    #[test]
    fn a_program_that_is_known_is_not_repaired_twice() {
        let mut family = Family::default();
        family.add(born("fn a() {}", None, failing(1, 2)));
        let twin = family.add(born("fn a() { }", None, failing(1, 2)));
        assert!(family.failure(twin).is_none() && family.can_repair());
    }

    #[test]
    fn what_fails_only_where_nothing_may_be_told_is_not_repaired() {
        let mut family = Family::default();
        let (mut verdict, mut insight) = failing(3, 3);
        (verdict.hidden, insight.failure) = (true, None);
        let hidden = family.add(born("fn a() {}", None, (verdict, insight)));
        assert!(family.failure(hidden).is_none());
        for class in [Class::PolicyViolation, Class::FormatViolation, Class::Resource, Class::Flaky, Class::Refusal] {
            let (verdict, insight) = failing(1, 2);
            let verdict = Verdict { class: Some(class), ..verdict };
            let text = format!("fn {}() {{}}", class.as_str().replace('-', "_"));
            let number = family.add(born(&text, None, (verdict, insight)));
            assert!(family.failure(number).is_none(), "{class:?}");
        }
    }

    #[test]
    fn promise_grows_with_the_stage_and_with_the_checks_that_are_shown() {
        let of = |(verdict, insight): (Verdict, Insight)| promise(&verdict, &insight);
        assert_eq!(of(broken("E0425", "a.rs:1:1")), 0.0);
        assert_eq!(of(failing(0, 4)), 0.3);
        assert!((of(failing(3, 4)) - 0.825).abs() < 1e-12);
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let mut family = Family::default();
        family.add(born("fn a() {}", None, failing(1, 2)));
        family.add(born("fn b() {}", None, broken("E0425", "a.rs:1:1")));
        let choices = |seed| {
            let mut rng = Rng::new(seed, 0);
            (0..400).map(|_| family.choose(Some((50.0, 2)), &mut || rng.fraction())).collect::<Vec<_>>()
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
        for choice in [Choice::Fresh, Choice::Repair(0), Choice::Repair(1)] {
            assert!(choices(7).contains(&Some(choice)), "{choice:?} is never tried");
        }
        assert_eq!(Family::default().choose(None, &mut || 0.5), None);
    }

    /// Tokens until something passes, at most `cap` draws, where `pick` chooses among arms: each with how far it came,
    /// its real chance of success, and the tokens it takes.
    fn spend(world: &[(Option<f64>, f64, f64)], cap: usize, rng: &mut Rng, pick: &mut Pick<'_>) -> f64 {
        let mut failed = vec![0; world.len()];
        let mut spent = 0.0;
        for _ in 0..cap {
            let arms: Vec<Arm> = (world.iter().zip(&failed))
                .map(|(&(promise, _, tokens), &failed)| Arm { promise, failed, tokens })
                .collect();
            let chosen = pick(&arms, rng);
            spent += world[chosen].2;
            if rng.fraction() < world[chosen].1 {
                break;
            }
            failed[chosen] += 1;
        }
        spent
    }

    type Pick<'a> = dyn FnMut(&[Arm], &mut Rng) -> usize + 'a;

    #[test]
    fn regret_is_below_that_of_a_uniform_choice() {
        // The best arm is a candidate that nearly passes, a fresh sample, or something that looked bad.
        let worlds: [&[(Option<f64>, f64, f64)]; 4] = [
            &[(None, 0.10, 100.0), (Some(0.83), 0.45, 220.0), (Some(0.3), 0.10, 220.0), (Some(0.0), 0.05, 220.0)],
            &[(None, 0.30, 100.0), (Some(0.53), 0.15, 220.0), (Some(0.0), 0.05, 220.0), (Some(0.0), 0.05, 220.0)],
            &[(None, 0.25, 100.0), (Some(0.83), 0.00, 220.0), (Some(0.77), 0.0, 220.0), (Some(0.0), 0.0, 220.0)],
            &[(None, 0.05, 100.0), (Some(0.65), 0.40, 150.0), (Some(0.65), 0.40, 150.0), (Some(0.0), 0.02, 150.0)],
        ];
        let mut regrets = (0.0, 0.0);
        for (number, world) in worlds.iter().enumerate() {
            let mean = |pick: &mut Pick<'_>| {
                let runs = 4000;
                let total: f64 = (0..runs).map(|run| spend(world, 60, &mut Rng::new(11, run), pick)).sum();
                total / runs as f64
            };
            let price = |arm: usize| world[arm].2 / world[arm].1;
            let best = (0..world.len()).min_by(|one, other| price(*one).total_cmp(&price(*other))).unwrap();
            let least = mean(&mut |_, _| best);
            let uniform = mean(&mut |arms, rng| (rng.fraction() * arms.len() as f64) as usize);
            let thompson = mean(&mut |arms, rng| super::best(arms, &mut || rng.fraction()).unwrap());
            assert!(thompson < uniform, "world {number}: {thompson:.0} tokens, uniform {uniform:.0}, best {least:.0}");
            regrets = (regrets.0 + thompson - least, regrets.1 + uniform - least);
        }
        assert!(regrets.0 < 0.75 * regrets.1, "{regrets:?}");
    }
}
