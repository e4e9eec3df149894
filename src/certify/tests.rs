//! What is promised is kept, in thousands of made-up worlds; and procedures that don't keep it are seen to break it.

use std::sync::Arc;

use super::*;
use crate::stats::{self, Decision, Random};

const ALPHA: f64 = 0.05;
const WORLDS: usize = 2000;

/// The most violations that a promise of at most α allows to be seen: α and two standard errors.
fn allowed(worlds: usize) -> f64 {
    worlds as f64 * (ALPHA + 2.0 * (ALPHA * (1.0 - ALPHA) / worlds as f64).sqrt())
}

fn good() -> Draw {
    Draw { valid: true, agrees: true, seconds: Some(0.1), usd: Some(0.0) }
}

fn design(expectations: &[Expectation]) -> Arc<Design> {
    Arc::new(Design::new(expectations, ALPHA, None).expect("it can be planned"))
}

/// Runs a trial to its end, one call at a time.
fn run(design: &Arc<Design>, seed: u64, mut call: impl FnMut(usize) -> Draw) -> Report {
    let mut trial = Trial::new(design.clone(), 7, seed);
    while let Some((number, case)) = trial.next_case() {
        trial.record(number, call(case));
    }
    trial.report(None)
}

#[test]
fn as_many_calls_as_the_plan_needs_and_no_more() {
    let design = design(&[Expectation::Agree { at_least: 0.9 }, Expectation::Valid { at_least: 0.8 }]);
    let plan = stats::Plan::new(0.9, 116, ALPHA, ALPHA / 2.0);
    let report = run(&design, 1, |_| good());
    assert_eq!((report.verdict, report.runs), (Verdict::Pass, plan.passes[0]));
    // The easier one was decided earlier, by the same calls.
    let [agree, valid] = &report.findings[..] else { panic!("two were expected") };
    assert!(valid.runs < agree.runs && agree.runs == report.runs, "{report:?}");
    assert!(agree.evidence >= agree.needed && valid.evidence >= valid.needed);
    let report = run(&design, 1, |_| Draw { agrees: false, ..good() });
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.runs <= 4, "{}", report.runs);
    assert_eq!(report.findings[0].decision, Decision::Fail);
    assert_eq!(report.findings[0].misses.len(), report.runs);
    assert!(report.findings[0].chance.is_some_and(|chance| chance <= report.beta));
    assert_eq!(report.findings[1].decision, Decision::Open);
}

#[test]
fn the_order_in_which_answers_come_plays_no_part() {
    let design = design(&[Expectation::Agree { at_least: 0.8 }]);
    for seed in 0..200 {
        // What a call comes to depends on its number alone.
        let draw =
            |number: usize| Draw { agrees: Random::new(seed * 1000 + number as u64).fraction() < 0.85, ..good() };
        let mut in_order = Trial::new(design.clone(), 7, seed);
        while let Some((number, _)) = in_order.next_case() {
            in_order.record(number, draw(number));
        }
        let mut mixed = Trial::new(design.clone(), 7, seed);
        let mut random = Random::new(seed);
        let mut under_way = Vec::new();
        while mixed.verdict().is_none() {
            while under_way.len() < 8 {
                let Some((number, _)) = mixed.next_case() else { break };
                under_way.push(number);
            }
            let number = under_way.swap_remove(random.below(under_way.len()));
            mixed.record(number, draw(number));
        }
        assert_eq!(in_order.report(None), mixed.report(None));
    }
}

#[test]
fn no_call_is_under_way_that_a_pass_does_not_need() {
    let design = design(&[Expectation::Agree { at_least: 0.9 }, Expectation::Valid { at_least: 0.95 }]);
    let mut trial = Trial::new(design.clone(), 3, 5);
    let mut at_once = 0;
    while trial.next_case().is_some() {
        at_once += 1;
    }
    assert_eq!(at_once, design.plan().iter().map(|(_, least, _)| *least).max().unwrap_or_default());
    for number in 0..at_once {
        assert_eq!(trial.verdict(), None);
        trial.record(number, good());
    }
    assert_eq!(trial.verdict(), Some(Verdict::Pass));
}

#[test]
fn cases_are_drawn_evenly_and_with_replacement() {
    let design = Arc::new(Design::new(&[Expectation::Agree { at_least: 0.95 }], ALPHA, Some(236)).expect("a plan"));
    let mut counts = [0_usize; 7];
    for seed in 0..300 {
        let mut trial = Trial::new(design.clone(), counts.len(), seed);
        while let Some((_, case)) = trial.next_case() {
            counts[case] += 1;
        }
    }
    let each = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    // Six standard errors.
    assert!(counts.iter().all(|count| (*count as f64 - each).abs() < 6.0 * each.sqrt()), "{counts:?}");
}

#[test]
fn so_many_calls_are_made_as_it_may_take_up_to_a_cap_that_is_the_same_for_all() {
    let of = |expectation, runs| Design::new(&[expectation], ALPHA, runs).map(|design| design.plan()[0]);
    let plan =
        |at_least, runs| of(Expectation::Valid { at_least }, runs).map(|(_, least, most)| (least, most)).unwrap();
    assert_eq!(plan(0.9, None).1, 4 * 29);
    assert_eq!(plan(0.9, Some(29)), (29, 29));
    // A high rate takes many, and there is room for them …
    let (least, most) = plan(0.99, None);
    assert!((299..500).contains(&least) && most == DEFAULT_RUNS, "{least} to {most}");
    // … or there is not: then it can fail, and not pass.
    assert_eq!(plan(0.999, None), (2995, DEFAULT_RUNS));
    assert_eq!(plan(0.9, Some(28)), (29, 28));
    assert_eq!(plan(0.9999, Some(30)), (29956, 30));
    assert_eq!(of(Expectation::Valid { at_least: 0.9 }, Some(3001)), Err(DesignError::TooMany(3001)));
    assert_eq!(of(Expectation::Valid { at_least: 1.0 }, None), Err(DesignError::Rate { key: "valid", value: 1.0 }));
    assert_eq!(of(Expectation::Latency { seconds: 0.0 }, None), Err(DesignError::Limit { key: "max_latency" }));
    assert_eq!(Design::new(&[], ALPHA, None).map(|_| ()), Err(DesignError::Nothing));
    assert!(Design::new(&[Expectation::Agree { at_least: 0.9 }], 0.0, None).is_err());
    // The fewest are enough.
    let design = Arc::new(Design::new(&[Expectation::Agree { at_least: 0.9 }], ALPHA, Some(29)).expect("a plan"));
    assert_eq!(run(&design, 0, |_| good()).verdict, Verdict::Pass);
}

#[test]
fn with_too_few_calls_nothing_passes_and_what_is_wrong_fails_soon() {
    let design = design(&[Expectation::Valid { at_least: 0.999 }]);
    let report = run(&design, 0, |_| good());
    assert_eq!((report.verdict, report.runs), (Verdict::Inconclusive, DEFAULT_RUNS));
    assert_eq!((report.findings[0].least_runs, report.findings[0].most_runs), (2995, DEFAULT_RUNS));
    let report = run(&design, 0, |_| Draw { valid: false, ..good() });
    assert!(report.verdict == Verdict::Fail && report.runs < 5, "{report:?}");
    // At a rate that just holds it passes never, and fails no more often than is promised; exactly.
    let plan = stats::Plan::new(0.999, DEFAULT_RUNS, ALPHA, 0.05);
    let (pass, fail, undecided, _) = plan.characteristic(0.999);
    assert!(pass == 0.0 && fail <= 0.05 && undecided > 0.9, "{pass} {fail} {undecided}");
}

#[test]
fn a_trial_that_ends_early_says_why_and_decides_nothing() {
    let design = design(&[Expectation::Agree { at_least: 0.9 }]);
    let mut trial = Trial::new(design, 2, 0);
    let (number, _) = trial.next_case().expect("a first call");
    trial.record(number, good());
    let report = trial.report(Some("the budget was spent".to_owned()));
    assert_eq!((report.verdict, report.runs), (Verdict::Inconclusive, 1));
    assert_eq!(report.findings[0].decision, Decision::Inconclusive);
    assert_eq!(report.reason.as_deref(), Some("the budget was spent"));
}

#[test]
fn slow_calls_and_those_given_up_are_over_the_limit() {
    let design = design(&[Expectation::Latency { seconds: 2.0 }]);
    let with = |seconds| run(&design, 3, |_| Draw { seconds, valid: false, agrees: false, ..good() }).verdict;
    assert_eq!(with(Some(2.0)), Verdict::Pass);
    assert_eq!(with(Some(2.1)), Verdict::Fail);
    assert_eq!(with(None), Verdict::Fail);
}

#[test]
fn costs_are_decided_by_their_mean() {
    let of = |most| design(&[Expectation::Cost { usd: 0.01, most }]);
    let with = |design: &Arc<Design>, usd: f64| run(design, 3, |_| Draw { usd: Some(usd), ..good() });
    // It is known beforehand.
    assert_eq!((with(&of(Some(0.01)), 0.01).verdict, with(&of(Some(0.01)), 0.01).runs), (Verdict::Pass, 0));
    let cheap = with(&of(Some(0.05)), 0.002);
    assert_eq!(cheap.verdict, Verdict::Pass);
    assert!(cheap.findings[0].observed.is_some_and(|mean| (mean - 0.002).abs() < 1e-12));
    assert_eq!(with(&of(None), 0.0).verdict, Verdict::Pass);
    assert_eq!(with(&of(Some(0.05)), 0.03).verdict, Verdict::Fail);
    // Nothing is promised beyond what was taken for granted.
    let broken = with(&of(Some(0.05)), 0.06);
    assert_ne!(broken.verdict, Verdict::Pass);
    let once = run(&of(Some(0.05)), 3, {
        let mut calls = 0;
        move |_| {
            calls += 1;
            Draw { usd: Some(if calls == 5 { 0.06 } else { 0.001 }), ..good() }
        }
    });
    assert_eq!(once.verdict, Verdict::Inconclusive);
    let untold = run(&of(Some(0.05)), 3, |_| Draw { usd: None, ..good() });
    assert_eq!((untold.verdict, untold.runs), (Verdict::Inconclusive, 1));
    assert!(untold.findings[0].note.as_deref().is_some_and(|note| note.contains("not known")), "{untold:?}");
}

/// How many of so many worlds pass, each with a rate of its own.
fn passing(design: &Arc<Design>, worlds: usize, seed: u64, rate: impl Fn(&mut Random) -> f64) -> usize {
    let mut random = Random::new(seed);
    let mut passed = 0;
    for _ in 0..worlds {
        let rate = rate(&mut random);
        let seed = random.below(usize::MAX) as u64;
        let report = run(design, seed, |_| Draw { agrees: random.fraction() < rate, ..good() });
        passed += usize::from(report.verdict == Verdict::Pass);
    }
    passed
}

#[test]
fn a_test_passes_wrongly_no_more_often_than_it_promises() {
    for bound in [0.8, 0.9] {
        let design = design(&[Expectation::Agree { at_least: bound }]);
        let at = passing(&design, WORLDS, 17, |_| bound);
        assert!(at as f64 <= allowed(WORLDS), "{bound}: {at} of {WORLDS}");
        // It is a test of the bound and not of something far below it.
        assert!(at as f64 > 0.02 * WORLDS as f64, "{bound}: {at} of {WORLDS}");
        let below = passing(&design, WORLDS, 18, |random| bound * random.fraction());
        assert!(below as f64 <= allowed(WORLDS), "{bound}: {below} of {WORLDS}");
        let above = passing(&design, 200, 19, |_| 1.0 - (1.0 - bound) / 20.0);
        assert!(above > 190, "{bound}: {above} of 200");
    }
}

#[test]
fn of_several_expectations_one_that_does_not_hold_is_enough() {
    // All calls agree, and are valid just as often as is not enough.
    let design = design(&[Expectation::Agree { at_least: 0.7 }, Expectation::Valid { at_least: 0.8 }]);
    let mut random = Random::new(23);
    let mut passed = 0;
    let mut failed_good = 0;
    for world in 0..WORLDS as u64 {
        let report = run(&design, world, |_| {
            let valid = random.fraction() < 0.8;
            Draw { valid, agrees: valid, ..good() }
        });
        passed += usize::from(report.verdict == Verdict::Pass);
        // The first holds with room to spare; it may fail, but seldom.
        failed_good += usize::from(report.findings[0].decision == Decision::Fail);
    }
    assert!(passed as f64 <= allowed(WORLDS) && passed > 0, "{passed} of {WORLDS}");
    assert!(failed_good as f64 <= allowed(WORLDS) / 2.0, "{failed_good} of {WORLDS}");
}

#[test]
fn costs_pass_wrongly_no_more_often_than_promised() {
    let (limit, most) = (0.01, 0.05);
    let costs = [Expectation::Cost { usd: limit, most: Some(most) }];
    let design = Arc::new(Design::new(&costs, ALPHA, Some(100)).expect("a plan"));
    let mut random = Random::new(29);
    let (mut passed, mut failed) = (0, 0);
    for world in 0..WORLDS as u64 {
        // The mean is the limit: rarely dear, or nearly even.
        let low = if world % 2 == 0 { 0.0 } else { 0.006 };
        let share = (limit - low) / (most - low);
        let report =
            run(&design, world, |_| Draw { usd: Some(if random.fraction() < share { most } else { low }), ..good() });
        passed += usize::from(report.verdict == Verdict::Pass);
        failed += usize::from(report.verdict == Verdict::Fail);
    }
    assert!(passed as f64 <= allowed(WORLDS) && passed > 0, "{passed} of {WORLDS}");
    assert!(failed as f64 <= allowed(WORLDS) && failed > 0, "{failed} of {WORLDS}");
}

/// What most would do: look at Clopper and Pearson's bound after each call.
#[test]
fn whoever_peeks_at_a_bound_passes_wrongly_too_often() {
    let (bound, most) = (0.9, 116);
    let mut random = Random::new(17);
    let passed = (0..WORLDS).filter(|_| {
        let mut misses = 0;
        (1..=most).any(|n| {
            misses += usize::from(random.fraction() >= bound);
            stats::binomial_at_most(misses, n, 1.0 - bound) <= ALPHA
        })
    });
    let passed = passed.count();
    assert!(passed as f64 > 2.0 * allowed(WORLDS), "{passed} of {WORLDS}");
}

#[test]
fn as_many_answered_cases_are_needed_as_the_tables_say() {
    for (agreement, alpha, table) in [(0.95, 0.05, [59, 93, 124, 153]), (0.9, 0.05, [30, 46, 61, 76])] {
        for (disagreements, expected) in table.into_iter().enumerate() {
            assert_eq!(needed(disagreements, agreement, alpha), expected, "{agreement}");
            // And one fewer is not, but where nobody judges by fewer than 30.
            let fewer = stats::binomial_at_most(disagreements, expected - 1, 1.0 - agreement) <= alpha;
            assert_eq!(fewer, expected == LEAST_ANSWERED, "{agreement}, {disagreements}");
        }
    }
    // By calibration itself; what is spent is then alpha.
    let terms = Terms { agreement: 0.95, alpha: ALPHA * std::f64::consts::PI.powi(2) / 6.0, attempt: 1 };
    for (disagreements, n) in [(0, 59), (1, 93), (2, 124), (3, 153)] {
        let cases =
            |n| -> Vec<Scored> { (0..n).map(|at| Scored { confidence: 1.0, agrees: at >= disagreements }).collect() };
        let with = |n| calibrate(&cases(n), &[1.0], &terms, Window { cases: n, ..Window::default() }).certificate;
        let certificate = with(n).expect("that many are enough");
        assert_eq!((certificate.n, certificate.disagreements), (n, disagreements));
        assert!(certificate.at_least >= 0.95 && certificate.is_sound(), "{certificate:?}");
        assert_eq!(with(n - 1), None);
    }
}

#[test]
fn attempts_together_spend_no_more_than_alpha() {
    let all: f64 = (1..=100_000).map(|attempt| spent(ALPHA, attempt)).sum();
    assert!(all <= ALPHA && all > 0.999 * ALPHA, "{all}");
    assert!(spent(ALPHA, 2) * 4.0 - spent(ALPHA, 1) < 1e-12);
}

fn cases(of: &[(usize, f64, bool)]) -> Vec<Scored> {
    of.iter().flat_map(|&(count, confidence, agrees)| vec![Scored { confidence, agrees }; count]).collect()
}

fn terms() -> Terms {
    Terms { agreement: 0.9, alpha: ALPHA, attempt: 1 }
}

#[test]
fn thresholds_are_loosened_until_the_first_that_is_not_good_enough() {
    let scored = cases(&[(60, 1.0, true), (60, 0.8, true), (20, 0.6, false), (500, 0.4, true)]);
    let window = Window { cases: scored.len(), ..Window::default() };
    let found = calibrate(&scored, &[0.4, 0.8, 1.0, 0.6], &terms(), window);
    let certificate = found.certificate.expect("two are accepted");
    assert_eq!((certificate.threshold, certificate.n, certificate.disagreements), (0.8, 120, 0));
    assert!((certificate.coverage - 120.0 / 640.0).abs() < 1e-12 && certificate.is_sound());
    // 0.4 would be good enough alone, and is not looked at any more.
    assert_eq!(found.steps.iter().map(|step| step.accepted).collect::<Vec<_>>(), [Some(true), Some(true), Some(false)]);
}

#[test]
fn without_an_accepted_threshold_the_code_never_answers() {
    let found = calibrate(&cases(&[(40, 1.0, true), (40, 1.0, false)]), &[1.0, 0.5], &terms(), Window::default());
    assert_eq!(found.certificate, None);
    assert_eq!(found.steps.len(), 1);
    // Too few to judge by, all of them right.
    let found = calibrate(&cases(&[(29, 1.0, true)]), &[1.0, 0.5], &terms(), Window::default());
    assert_eq!(found.certificate, None);
    assert!(found.steps.iter().all(|step| step.accepted.is_none()));
    assert_eq!(calibrate(&[], &[1.0], &terms(), Window::default()).certificate, None);
    // Too few at the strictest, enough then.
    let scored = cases(&[(29, 1.0, true), (60, 0.9, true), (9, f64::NAN, true)]);
    let found = calibrate(&scored, &[1.0, 0.9, f64::NAN], &terms(), Window { cases: 98, ..Window::default() });
    assert_eq!(found.certificate.map(|certificate| (certificate.threshold, certificate.n)), Some((0.9, 89)));
}

#[test]
fn those_as_sure_as_each_other_are_in_or_out_together() {
    // Whatever their order: a part of the block would look better than the whole.
    let mut scored = cases(&[(100, 0.7, true), (30, 0.7, false)]);
    for _ in 0..2 {
        assert_eq!(calibrate(&scored, &[0.7], &terms(), Window::default()).certificate, None);
        scored.reverse();
    }
}

#[test]
fn a_certificate_is_read_as_it_was_written_and_a_changed_one_is_not_sound() {
    let scored = cases(&[(100, 1.0, true), (2, 1.0, false), (50, 0.2, true)]);
    let window = Window { after: 5, until: 9, cases: scored.len(), duplicates: 3 };
    let written = calibrate(&scored, &[1.0], &terms(), window).certificate.expect("good enough");
    let text = serde_json::to_string(&written).expect("numbers and no more");
    let read: Certificate = serde_json::from_str(&text).expect("it is its own text");
    // Numbers may differ in their last digit, which decides nothing.
    assert!((read.at_least - written.at_least).abs() < 1e-12);
    assert_eq!(Certificate { at_least: written.at_least, chance: written.chance, ..read.clone() }, written);
    assert!(read.is_sound());
    let third = Certificate { threshold: 2.0 / 3.0 + f64::EPSILON, ..read.clone() };
    assert!(third.answers(2.0 / 3.0) && third.answers(1.0) && !third.answers(0.66) && !third.answers(f64::NAN));
    for changed in [
        Certificate { disagreements: 1, ..read.clone() },
        Certificate { n: 103, ..read.clone() },
        Certificate { agreement: 0.95, ..read.clone() },
        Certificate { confidence: 0.99, ..read.clone() },
        Certificate { coverage: 0.9, ..read.clone() },
        Certificate { attempt: 2, ..read.clone() },
        Certificate { at_least: 0.99, ..read.clone() },
    ] {
        assert!(!changed.is_sound(), "{changed:?}");
    }
}

#[test]
fn only_inputs_that_are_new_and_each_once_are_calibrated_on() {
    let traces = [(3, "a"), (12, "d"), (1, "b"), (11, "a"), (10, "c"), (13, "c"), (14, "e")];
    let (kept, window) = calibration_cases(traces, 9);
    assert_eq!(kept, [4, 1, 6]);
    assert_eq!(window, Window { after: 9, until: 14, cases: 3, duplicates: 2 });
    assert_eq!(calibration_cases(traces, 20), (vec![], Window { after: 20, until: 20, cases: 0, duplicates: 0 }));
}

/// A world: kinds of inputs, each with its share, the confidence that the code has there, and how often it is right.
struct World {
    kinds: Vec<(f64, f64, f64)>,
    agreement: f64,
    members: usize,
}

impl World {
    /// Draws inputs.
    fn cases(&self, count: usize, random: &mut Random) -> Vec<Scored> {
        let one = |_| {
            let mut at = random.fraction();
            let kind = self.kinds.iter().find(|(share, ..)| {
                at -= share;
                at < 0.0
            });
            let (_, confidence, right) = kind.unwrap_or(&self.kinds[self.kinds.len() - 1]);
            Scored { confidence: *confidence, agrees: random.fraction() < *right }
        };
        (0..count).map(one).collect()
    }

    /// How often the code is right where it is at least that sure.
    fn agreement_from(&self, threshold: f64) -> f64 {
        let answered = self.kinds.iter().filter(|(_, confidence, _)| *confidence >= threshold);
        let (share, right) =
            answered.fold((0.0, 0.0), |(share, right), (one, _, rate)| (share + one, right + one * rate));
        right / share
    }

    /// The shares that a committee of its size can agree by.
    fn thresholds(&self) -> Vec<f64> {
        (1..=self.members).map(|votes| votes as f64 / self.members as f64).collect()
    }

    /// What hurts most: at every threshold, the agreement is a hair below what is wanted.
    fn on_the_edge(random: &mut Random) -> Self {
        let members = 3 + random.below(8);
        let agreement = 0.8 + 0.15 * random.fraction();
        let kinds = (1..=members).map(|votes| (1.0 / members as f64, votes as f64 / members as f64, agreement - 1e-9));
        Self { kinds: kinds.collect(), agreement, members }
    }

    /// Good where it is sure, and below what is wanted from some threshold on.
    fn with_an_edge(random: &mut Random) -> Self {
        let mut own = Self::on_the_edge(random);
        let edge = random.below(own.members);
        for kind in &mut own.kinds[edge..] {
            kind.2 = own.agreement + (1.0 - own.agreement) * random.fraction();
        }
        // What comes with the next threshold takes the whole just below what is wanted.
        if let Some(next) = edge.checked_sub(1) {
            let (share, right) = own.kinds[edge..].iter().fold((0.0, 0.0), |(s, r), k| (s + k.0, r + k.0 * k.2));
            let wanted = (own.agreement - 1e-9) * (share + own.kinds[next].0) - right;
            own.kinds[next].2 = (wanted / own.kinds[next].0).clamp(0.0, 1.0);
        }
        own
    }

    /// Sure of what it gets wrong: the misconceptions that a committee shares.
    fn overconfident(random: &mut Random) -> Self {
        let mut own = Self::on_the_edge(random);
        let count = own.kinds.len();
        for (at, kind) in own.kinds.iter_mut().enumerate() {
            kind.2 = (own.agreement + 0.1 * (count - at) as f64 / count as f64 - 0.1).clamp(0.0, 1.0);
        }
        own
    }

    /// Functions that each get some inputs wrong, alone or together with the others.
    fn committee(random: &mut Random) -> Self {
        let members = 3 + random.below(8);
        let (inputs, shared) = (60, 0.3 * random.fraction());
        let skill: Vec<f64> = (0..members).map(|_| 0.6 + 0.4 * random.fraction()).collect();
        let kinds = (0..inputs).map(|_| {
            let is_trap = random.fraction() < shared;
            let hard = random.fraction().powi(2);
            // 0 is right; a trap has one wrong answer for all.
            let votes = skill.iter().map(|skill| match random.fraction() < 1.0 - hard * (1.0 - skill) * 2.0 {
                _ if is_trap && random.fraction() < 0.9 => 1,
                true => 0,
                false => 1 + random.below(3),
            });
            let mut counts = [0; 4];
            votes.for_each(|vote| counts[vote] += 1);
            let most = counts.iter().copied().max().unwrap_or(0);
            let answer = counts.iter().position(|count| *count == most);
            // The model itself does not always say the same.
            let right = if answer == Some(0) { 0.93 + 0.07 * random.fraction() } else { 0.05 * random.fraction() };
            (1.0 / f64::from(inputs), f64::from(most) / members as f64, right)
        });
        let kinds = kinds.collect();
        Self { kinds, agreement: 0.8 + 0.15 * random.fraction(), members }
    }

    fn any(at: usize, random: &mut Random) -> Self {
        match at % 4 {
            0 => Self::on_the_edge(random),
            1 => Self::with_an_edge(random),
            2 => Self::overconfident(random),
            _ => Self::committee(random),
        }
    }
}

/// Whether a threshold was chosen that does not keep the promise; `None` without one.
type Chosen<'a> = &'a dyn Fn(&World, &[Scored]) -> Option<f64>;

/// Worlds in which a threshold was chosen, and those in which it breaks the promise.
fn broken(make: impl Fn(usize, &mut Random) -> World, choose: Chosen<'_>) -> (usize, usize) {
    let mut random = Random::new(31);
    let (mut chosen, mut broken) = (0, 0);
    for at in 0..WORLDS {
        let world = make(at, &mut random);
        let count = 100 + random.below(900);
        let scored = world.cases(count, &mut random);
        if let Some(threshold) = choose(&world, &scored) {
            chosen += 1;
            broken += usize::from(world.agreement_from(threshold) < world.agreement);
        }
    }
    (chosen, broken)
}

/// Terms of which all of α is spent: the most that can go wrong.
fn all_of_alpha(agreement: f64) -> Terms {
    Terms { agreement, alpha: ALPHA * std::f64::consts::PI.powi(2) / 6.0, attempt: 1 }
}

#[test]
fn certificates_are_violated_no_more_often_than_promised() {
    let choose = |world: &World, scored: &[Scored]| {
        let window = Window { cases: scored.len(), ..Window::default() };
        let found = calibrate(scored, &world.thresholds(), &all_of_alpha(world.agreement), window);
        found.certificate.as_ref().inspect(|certificate| assert!(certificate.is_sound(), "{certificate:?}"));
        found.certificate.map(|certificate| certificate.threshold)
    };
    let (chosen, violated) = broken(World::any, &choose);
    assert!(violated as f64 <= allowed(WORLDS), "{violated} of {WORLDS}");
    assert!(chosen > WORLDS / 8, "{chosen} of {WORLDS}: hardly anything was certified");
    // Where nothing may be accepted at all, what is accepted is wrong, and it is rare; and that can happen.
    let (chosen, violated) = broken(|_, random| World::on_the_edge(random), &choose);
    assert_eq!(chosen, violated);
    assert!(violated as f64 <= allowed(WORLDS) && violated > WORLDS / 100, "{violated} of {WORLDS}");
}

#[test]
fn whoever_takes_the_threshold_that_looks_best_breaks_the_promise() {
    // The loosest that passes the same test, with no regard to those before it.
    let loosest = |world: &World, scored: &[Scored]| {
        world.thresholds().into_iter().find(|threshold| {
            let answered: Vec<_> = scored.iter().filter(|case| case.confidence >= *threshold).collect();
            let wrong = answered.iter().filter(|case| !case.agrees).count();
            answered.len() >= LEAST_ANSWERED
                && stats::binomial_at_most(wrong, answered.len(), 1.0 - world.agreement) <= ALPHA
        })
    };
    let (_, violated) = broken(|_, random| World::on_the_edge(random), &loosest);
    assert!(violated as f64 > allowed(WORLDS), "{violated} of {WORLDS}");
    // The loosest at which enough of those seen agree.
    let looks_good = |world: &World, scored: &[Scored]| {
        world.thresholds().into_iter().find(|threshold| {
            let answered: Vec<_> = scored.iter().filter(|case| case.confidence >= *threshold).collect();
            let right = answered.iter().filter(|case| case.agrees).count();
            right as f64 >= world.agreement * answered.len() as f64
        })
    };
    let (_, violated) = broken(World::any, &looks_good);
    assert!(violated as f64 > 4.0 * allowed(WORLDS), "{violated} of {WORLDS}");
}
