//! Tests with components of known habits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::certify::{Expectation, Verdict};
use crate::harness::{About, Builder, Component, Double, Handling, Outcome, Rule, Side};

/// What the next call comes to: from its number, counted from 0, and its input.
type Habit = Box<dyn Fn(usize, &Value) -> Result<Value, Class> + Send + Sync>;

/// A model with a habit, that says what it cost and takes a while.
struct Model {
    about: About,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    usd: f64,
    habit: Habit,
}

impl Model {
    fn new(habit: impl Fn(usize, &Value) -> Result<Value, Class> + Send + Sync + 'static) -> Self {
        Self {
            about: About::on(Side::Model),
            calls: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            usd: 0.001,
            habit: Box::new(habit),
        }
    }
}

impl Component for Model {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let usage = Usage { prompt_tokens: 10, completion_tokens: 1, usd: self.usd, requests: 1 };
            let aside = ctx.put_aside(usage)?;
            let number = self.calls.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            // Later calls come back earlier.
            for _ in 0..10 - number % 10 {
                tokio::task::yield_now().await;
            }
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            ctx.took(aside, usage);
            (self.habit)(number, &input).map(Outcome::from).map_err(|class| CallError::new("", class, "not now"))
        })
    }
}

fn setup(harness: &mut Builder, expectations: &[Expectation]) -> Setup {
    Setup {
        harness: harness.build().unwrap(),
        component: "classify".to_owned(),
        cases: (0..5).map(|case| Case { input: json!(case), expected: json!(case % 2), shown: false }).collect(),
        design: Arc::new(Design::new(expectations, 0.05, None).unwrap()),
        judge: Arc::new(Equal),
        prices_known: true,
        at_once: 8,
        budget: Budget::default(),
        seed: 3,
        run: "test/classify/1".to_owned(),
    }
}

fn right(input: &Value) -> Value {
    json!(input.as_i64().unwrap() % 2)
}

async fn run_quietly(setup: &Setup) -> Tested {
    run(setup, &Interrupt::never(), &mut |_| {}).await
}

const AGREE: Expectation = Expectation::Agree { at_least: 0.8 };

#[tokio::test]
async fn a_good_component_passes_with_as_few_calls_as_that_takes() {
    let model = Arc::new(Model::new(|_, input| Ok(right(input))));
    let setup = setup(Harness::builder().component("classify", model.clone()), &[AGREE]);
    let heard = Mutex::new(0);
    let tested = run(&setup, &Interrupt::never(), &mut |_| *heard.lock().unwrap() += 1).await;
    assert_eq!(tested.report.verdict, Verdict::Pass);
    let fewest = setup.design.plan()[0].1;
    assert_eq!((tested.report.runs, model.calls.load(Ordering::SeqCst)), (fewest, fewest));
    assert_eq!((tested.answers.len(), heard.into_inner().unwrap()), (fewest, fewest));
    assert!((tested.spent.usd - 0.001 * fewest as f64).abs() < 1e-9);
    assert_eq!(model.most_at_once.load(Ordering::SeqCst), 8);
    assert!(tested.answers.iter().enumerate().all(|(at, answered)| answered.draw == at && answered.is_right));
    assert_eq!(tested.ended, None);
}

#[tokio::test]
async fn a_bad_one_fails_and_the_cases_are_told() {
    let model = Model::new(|number, input| Ok(if number % 2 == 0 { right(input) } else { json!("what?") }));
    let tested = run_quietly(&setup(Harness::builder().component("classify", model), &[AGREE])).await;
    assert_eq!(tested.report.verdict, Verdict::Fail);
    let misses = &tested.report.findings[0].misses;
    assert!(!misses.is_empty());
    for miss in misses {
        let answered = &tested.answers[miss.draw];
        assert_eq!((answered.case, answered.is_right), (miss.case, false));
        assert_eq!(answered.output, Some(json!("what?")));
    }
}

#[tokio::test]
async fn every_call_is_a_fresh_one() {
    let model = Arc::new(Model::new(|_, input| Ok(right(input))));
    let mut builder = Harness::builder();
    builder.component("classify", model.clone());
    builder.handling("classify", Handling { cache: true, ..Handling::default() });
    let setup = setup(&mut builder, &[AGREE]);
    // It is in the cache, and would be taken from there.
    let ctx = setup.harness.run();
    for case in &setup.cases {
        ctx.call_value("classify", case.input.clone()).await.unwrap();
        ctx.call_value("classify", case.input.clone()).await.unwrap();
    }
    assert_eq!(model.calls.swap(0, Ordering::SeqCst), 5);
    let tested = run_quietly(&setup).await;
    assert_eq!(model.calls.load(Ordering::SeqCst), tested.report.runs);
}

#[tokio::test]
async fn answers_that_do_not_fit_and_failures_are_no_valid_ones() {
    let expectations = [Expectation::Valid { at_least: 0.8 }];
    for class in [Class::Refusal, Class::FormatViolation, Class::TimedOut, Class::Failed, Class::Disagreement] {
        let model = Model::new(move |_, _| Err(class));
        let tested = run_quietly(&setup(Harness::builder().component("classify", model), &expectations)).await;
        assert_eq!(tested.report.verdict, Verdict::Fail, "{class}");
    }
    let tested = run_quietly(&setup(Harness::builder().component("classify", Double::always(7)), &expectations)).await;
    assert_eq!(tested.report.verdict, Verdict::Pass);
}

#[tokio::test]
async fn what_the_provider_does_not_answer_is_asked_again_and_counts_for_nothing() {
    let model =
        Arc::new(Model::new(|number, input| if number % 3 == 0 { Err(Class::Provider) } else { Ok(right(input)) }));
    let mut setup = setup(Harness::builder().component("classify", model.clone()), &[AGREE]);
    setup.at_once = 1;
    let tested = run_quietly(&setup).await;
    assert_eq!(tested.report.verdict, Verdict::Pass);
    assert!(tested.again > 3);
    assert_eq!(model.calls.load(Ordering::SeqCst), tested.report.runs + tested.again);
    // One that is gone ends it.
    let model = Arc::new(Model::new(|number, input| if number >= 4 { Err(Class::Provider) } else { Ok(right(input)) }));
    setup.harness = Harness::builder().component("classify", model.clone()).build().unwrap();
    let tested = run_quietly(&setup).await;
    assert_eq!((tested.report.verdict, tested.report.runs), (Verdict::Inconclusive, 4));
    assert!(matches!(tested.ended, Some(Ended::Provider(_))), "{:?}", tested.ended);
    assert_eq!(model.calls.load(Ordering::SeqCst), 4 + TRIES);
}

#[tokio::test]
async fn a_budget_that_is_spent_ends_it_without_a_verdict() {
    let model = Model::new(|_, input| Ok(right(input)));
    let mut setup = setup(Harness::builder().component("classify", model), &[AGREE]);
    setup.budget = Budget { usd: Some(0.0065), ..Budget::default() };
    let tested = run_quietly(&setup).await;
    assert_eq!((tested.report.verdict, tested.report.runs), (Verdict::Inconclusive, 6));
    assert!(matches!(tested.ended, Some(Ended::Budget(_))));
    assert!(tested.report.reason.is_some_and(|why| why.contains("the budget is spent")));
    assert!(tested.spent.usd <= 0.0065);
    // What is not needed any more is no trouble: what was drawn before the budget was spent shows that it is bad.
    setup.harness = Harness::builder().component("classify", Model::new(|_, _| Ok(json!("no")))).build().unwrap();
    assert_eq!(run_quietly(&setup).await.report.verdict, Verdict::Fail);
}

#[tokio::test]
async fn what_is_not_allowed_or_does_not_fit_is_no_trial() {
    let mut setup = setup(Harness::builder().component("other", Double::always(1)), &[AGREE]);
    let tested = run_quietly(&setup).await;
    assert_eq!((tested.report.verdict, tested.report.runs), (Verdict::Inconclusive, 0));
    assert!(matches!(tested.ended, Some(Ended::Impossible(_))));
    let mut builder = Harness::builder();
    builder.component("classify", Double::always(1)).rule(Rule::new("classify", crate::harness::Decision::Deny));
    setup.harness = builder.build().unwrap();
    let tested = run_quietly(&setup).await;
    assert!(matches!(&tested.ended, Some(Ended::Impossible(error)) if error.class == Class::Denied));
}

#[tokio::test]
async fn an_interrupted_test_says_so() {
    struct Stuck(About);
    impl Component for Stuck {
        fn about(&self) -> &About {
            &self.0
        }

        fn call<'a>(&'a self, _: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            Box::pin(std::future::pending())
        }
    }
    let setup = setup(Harness::builder().component("classify", Stuck(About::on(Side::Model))), &[AGREE]);
    let (sender, interrupt) = Interrupt::by_hand();
    let stop = async {
        tokio::task::yield_now().await;
        sender.send(true).unwrap();
    };
    let (tested, ()) = tokio::join!(run_quietly_until(&setup, &interrupt), stop);
    assert_eq!(tested.ended, Some(Ended::Interrupted));
    assert_eq!(tested.report.verdict, Verdict::Inconclusive);
}

async fn run_quietly_until(setup: &Setup, interrupt: &Interrupt) -> Tested {
    run(setup, interrupt, &mut |_| {}).await
}

#[tokio::test]
async fn each_call_has_its_own_cost_with_those_that_it_makes() {
    let cheap = Model::new(|_, input| Ok(right(input)));
    let mut builder = Harness::builder();
    builder.component("below", cheap);
    builder.async_function("classify", |ctx: Context, input: Value| async move {
        // Every second input asks twice.
        if input.as_i64().is_some_and(|input| input % 2 == 0) {
            ctx.call_value("below", input.clone()).await?;
        }
        ctx.call_value("below", input).await
    });
    let setup = setup(&mut builder, &[AGREE, Expectation::Cost { usd: 0.002, most: Some(0.002) }]);
    let tested = run_quietly(&setup).await;
    assert_eq!(tested.report.verdict, Verdict::Pass);
    for answered in &tested.answers {
        let expected = if answered.case % 2 == 0 { 0.002 } else { 0.001 };
        assert!(answered.usd.is_some_and(|usd| (usd - expected).abs() < 1e-12), "{answered:?}");
    }
}

#[tokio::test]
async fn a_judge_decides_what_is_right_and_says_where_it_can_not() {
    struct Parity(bool);
    impl Judge for Parity {
        fn is_right<'a>(&'a self, case: &'a Case, output: &'a Value) -> BoxFuture<'a, Result<bool, String>> {
            let answer = match self.0 {
                true => Ok(output.as_i64().map(|output| output % 2) == case.expected.as_i64()),
                false => Err("it panicked".to_owned()),
            };
            Box::pin(async move { answer })
        }
    }
    let model = || Model::new(|number, input| Ok(json!(input.as_i64().unwrap() + 2 * number as i64)));
    let mut setup = setup(Harness::builder().component("classify", model()), &[AGREE]);
    assert_eq!(run_quietly(&setup).await.report.verdict, Verdict::Fail);
    setup.judge = Arc::new(Parity(true));
    assert_eq!(run_quietly(&setup).await.report.verdict, Verdict::Pass);
    setup.judge = Arc::new(Parity(false));
    assert_eq!(run_quietly(&setup).await.ended, Some(Ended::Judge("it panicked".to_owned())));
}

#[tokio::test]
async fn a_slow_call_is_over_its_limit() {
    let habit = |ctx: Context, input: Value| async move {
        let _ = ctx;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, std::convert::Infallible>(input)
    };
    let slow = [Expectation::Latency { seconds: 0.01 }];
    let setup = setup(Harness::builder().async_function("classify", habit), &slow);
    assert_eq!(run_quietly(&setup).await.report.verdict, Verdict::Fail);
}

#[test]
fn the_same_answer_may_be_written_otherwise() {
    for (one, other) in [
        (json!({"a": 1, "b": [1.5, "x"]}), json!({"b": [1.5, "x"], "a": 1.0})),
        (json!(0.1 + 0.2), json!(0.3)),
        (json!(null), json!(null)),
    ] {
        assert!(same(&one, &other), "{one} {other}");
    }
    for (one, other) in [
        (json!({"a": 1}), json!({"a": 1, "b": null})),
        (json!([1, 2]), json!([2, 1])),
        (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64)),
        (json!(0.3), json!(0.300_001)),
        (json!("1"), json!(1)),
        (json!(0), json!(false)),
    ] {
        assert!(!same(&one, &other), "{one} {other}");
    }
}

fn outputs(of: &[(i64, &[(&str, usize)])]) -> Outputs {
    let mut own = Outputs::default();
    for (input, counts) in of {
        for (output, count) in *counts {
            (0..*count).for_each(|_| own.add(&json!({"n": input}), Some(&json!(output)), None));
        }
    }
    own
}

#[test]
fn answers_that_changed_are_found_and_those_that_did_not_are_not() {
    let before = outputs(&[(1, &[("a", 8)]), (2, &[("a", 4), ("b", 4)]), (3, &[("c", 1)])]);
    let same = outputs(&[(1, &[("a", 8)]), (2, &[("a", 5), ("b", 3)]), (4, &[("c", 9)])]);
    let other = outputs(&[(1, &[("b", 8)]), (2, &[("a", 4), ("b", 4)])]);
    let unchanged = drift(&before, &same, 1).unwrap();
    assert!(unchanged.p > 0.3, "{unchanged:?}");
    assert_eq!((unchanged.inputs, unchanged.calls), (2, (16, 16)));
    assert!(drift(&before, &other, 1).unwrap().p < 0.01);
    assert_eq!(drift(&before, &outputs(&[(3, &[("c", 5)])]), 1), None);
    assert_eq!(drift(&before, &Outputs::default(), 1), None);
}

#[tokio::test]
async fn a_recorded_run_is_counted_as_it_was_told() {
    let memory = Arc::new(crate::harness::Memory::default());
    let model = Model::new(|number, input| match number % 4 {
        0 => Err(Class::Refusal),
        _ => Ok(json!({"b": 1, "a": right(input)})),
    });
    let mut builder = Harness::builder();
    builder.component("classify", model).recorder(memory.clone());
    let setup = setup(&mut builder, &[Expectation::Agree { at_least: 0.2 }, Expectation::Valid { at_least: 0.5 }]);
    let tested = run_quietly(&setup).await;
    let crossings: Vec<Crossing> =
        memory.crossings().into_iter().filter(|one| one.id as usize <= tested.report.runs).collect();
    assert!(crossings.iter().all(|crossing| crossing.run == "test/classify/1"));
    let told = Outputs::of(&tested.answers, &setup.cases);
    assert!(!told.is_empty() && told.calls() == tested.report.runs);
    assert_eq!(Outputs::recorded(&crossings, "classify"), told);
    assert!(Outputs::recorded(&crossings, "other").is_empty());
}
