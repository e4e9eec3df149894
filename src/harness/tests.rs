//! What the harness does, one rule at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn answers(text: &str) -> impl Component + 'static {
    Double::always(text)
}

/// A component that another's tool list holds, and that calls `other` with what it gets.
struct Calls {
    about: About,
    other: &'static str,
}

impl Calls {
    fn new(other: &'static str, tools: Option<&[&str]>) -> Self {
        let tools = tools.map(|tools| tools.iter().map(|tool| (*tool).to_owned()).collect());
        Self { about: About { tools, ..About::on(Side::Model) }, other }
    }
}

impl Component for Calls {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move { Ok(ctx.call_value(self.other, input).await?.into()) })
    }
}

/// A model that fails so many times before it answers, and says what it cost.
struct Flaky {
    about: About,
    failures: AtomicUsize,
    class: Class,
}

impl Flaky {
    fn new(failures: usize, class: Class) -> Self {
        Self { about: About::on(Side::Model), failures: failures.into(), class }
    }
}

impl Component for Flaky {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let one = Usage { prompt_tokens: 10, completion_tokens: 5, usd: 0.5, requests: 1 };
            let aside = ctx.put_aside(one)?;
            tokio::task::yield_now().await;
            ctx.took(aside, one);
            let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            match left {
                Ok(_) => Err(CallError::new("", self.class, "not now")),
                Err(_) => Ok(json!("at last").into()),
            }
        })
    }
}

/// A component that never ends.
struct Stuck(About);

impl Component for Stuck {
    fn about(&self) -> &About {
        &self.0
    }

    fn call<'a>(&'a self, _: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn the_call_site_is_the_same_on_every_side() {
    let mut code = Harness::builder();
    code.function("classify", |text: String| if text.contains("fire") { "urgent" } else { "normal" });
    let mut waiting = Harness::builder();
    waiting.async_function("classify", |_, text: String| async move {
        tokio::task::yield_now().await;
        Ok::<_, String>(if text.contains("fire") { "urgent" } else { "normal" })
    });
    let mut model = Harness::builder();
    model.component("classify", answers("urgent"));
    let mut hybrid = Harness::builder();
    hybrid.hybrid("classify", |text: String| text.contains("smoke").then_some("normal"), answers("urgent"));
    let mut frozen = Harness::builder();
    fn artifact(input: Value) -> Result<Option<Value>, String> {
        Ok(input.as_str().filter(|text| text.contains("fire")).map(|_| "urgent".into()))
    }
    frozen.extend([("classify", "0123", artifact as Frozen)]);
    for (builder, side) in [
        (&mut code, Side::Code),
        (&mut waiting, Side::Code),
        (&mut model, Side::Double),
        (&mut hybrid, Side::Hybrid),
        (&mut frozen, Side::Code),
    ] {
        let harness = builder.build().unwrap();
        let ctx = harness.run();
        let label: String = ctx.call("classify", "the server is on fire").await.unwrap();
        assert_eq!(label, "urgent");
        assert_eq!(ctx.describe("classify").unwrap().side, side);
    }
}

#[tokio::test]
async fn code_that_abstains_leaves_it_to_the_model_and_the_record_says_who_it_was() {
    let memory = Arc::new(Memory::default());
    let mut builder = Harness::builder();
    builder.recorder(memory.clone());
    builder.hybrid("parity", |number: i64| (number % 2 == 0).then_some("even"), answers("odd"));
    let harness = builder.build().unwrap();
    let ctx = harness.run();
    assert_eq!(ctx.call::<String>("parity", 2).await.unwrap(), "even");
    assert_eq!(ctx.call::<String>("parity", 3).await.unwrap(), "odd");
    let sides: Vec<Side> = memory.crossings().iter().map(|crossing| crossing.side).collect();
    assert_eq!(sides, [Side::Code, Side::Double]);
    let known = ctx.describe("parity").unwrap();
    assert_eq!((known.calls, known.by_code, known.errors), (2, 1, 0));
    // Without a model behind it there is no answer.
    let mut alone = Harness::builder();
    alone.frozen("never", "00", |_| Ok(None));
    let error = alone.build().unwrap().run().call::<Value>("never", ()).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::Abstained, Some(Side::Code)));
}

#[tokio::test]
async fn an_error_says_what_where_and_through_whom() {
    let mut builder = Harness::builder();
    builder.function("boom", |(): ()| -> u8 { panic!("it is {}", "broken") });
    builder.try_function("half", |number: i64| if number % 2 == 0 { Ok(number / 2) } else { Err("it is odd") });
    builder.component("outer", Calls::new("half", None));
    let ctx = builder.build().unwrap().run();
    let error = ctx.call::<Value>("boom", ()).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::Panicked, Some(Side::Code)));
    assert_eq!(error.to_string(), "`boom` (code): it panicked: it is broken");
    let error = ctx.call::<Value>("outer", 3).await.unwrap_err();
    assert_eq!((error.component.as_str(), error.class, error.side), ("half", Class::Failed, Some(Side::Code)));
    assert_eq!(error.to_string(), "`half` (code): it is odd [called through outer]");
    let error = ctx.call::<Value>("half", "three").await.unwrap_err();
    assert_eq!(error.class, Class::Input);
    let error = ctx.call::<Value>("Half", 2).await.unwrap_err();
    assert_eq!(error.to_string(), "`Half`: no component is called that; did you mean `half`?");
    let error = ctx.call::<Vec<u8>>("half", 2).await.unwrap_err();
    assert_eq!(error.class, Class::FormatViolation);
    // A panic poisons nothing: the next call is answered.
    assert_eq!(ctx.call::<i64>("half", 4).await.unwrap(), 2);
}

#[tokio::test]
async fn what_does_not_fit_its_schema_crosses_in_neither_direction() {
    let choice = crate::schema::Schema::read(&json!({"enum": ["low", "high"]})).unwrap();
    let text = crate::schema::Schema::read(&json!({"type": "string"})).unwrap();
    struct Says(About, Value);
    impl Component for Says {
        fn about(&self) -> &About {
            &self.0
        }
        fn call<'a>(&'a self, _: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            Box::pin(async move { Ok(self.1.clone().into()) })
        }
    }
    let about = About { input: text, output: choice, ..About::on(Side::Model) };
    let mut builder = Harness::builder();
    builder.component("good", Says(about.clone(), json!("low"))).component("bad", Says(about, json!("urgent")));
    let ctx = builder.build().unwrap().run();
    assert_eq!(ctx.call::<String>("good", "x").await.unwrap(), "low");
    let error = ctx.call::<Value>("good", 1).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::Input, None));
    let error = ctx.call::<Value>("bad", "x").await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::FormatViolation, Some(Side::Model)));
    assert_eq!(ctx.describe("good").unwrap().calls, 1, "what never got there does not count");
}

#[tokio::test]
async fn nothing_is_tried_again_unless_told_and_each_attempt_is_kept() {
    let memory = Arc::new(Memory::default());
    let mut builder = Harness::builder();
    builder.recorder(memory.clone());
    builder.component("once", Flaky::new(1, Class::Provider));
    builder.component("thrice", Flaky::new(2, Class::FormatViolation));
    builder.handling("thrice", Handling { retries: 2, ..Handling::default() });
    builder.component("final", Flaky::new(1, Class::Denied));
    builder.handling("final", Handling { retries: 2, ..Handling::default() });
    let ctx = builder.build().unwrap().run();
    assert_eq!(ctx.call::<Value>("once", ()).await.unwrap_err().class, Class::Provider);
    assert_eq!(ctx.call::<String>("thrice", ()).await.unwrap(), "at last");
    assert_eq!(ctx.call::<Value>("final", ()).await.unwrap_err().class, Class::Denied);
    let crossings = memory.crossings();
    assert_eq!(crossings[1].attempts.len(), 2);
    assert!(
        crossings[1].attempts.iter().all(|attempt| attempt.error.as_ref().unwrap().class == Class::FormatViolation)
    );
    assert_eq!(crossings[1].usage.requests, 3, "failed attempts were paid for");
    assert_eq!(crossings[2].usage.requests, 1, "what may not pass is not tried again");
    assert_eq!(ctx.spent().tokens(), 75);
}

#[tokio::test]
async fn a_fallback_answers_and_says_so() {
    let memory = Arc::new(Memory::default());
    let mut builder = Harness::builder();
    builder.recorder(memory.clone());
    builder.component("main_model", Flaky::new(9, Class::Provider)).component("other_model", answers("from the other"));
    builder.handling("main_model", Handling { fallback: vec!["other_model".into()], ..Handling::default() });
    let harness = builder.build().unwrap();
    assert_eq!(harness.run().call::<String>("main_model", ()).await.unwrap(), "from the other");
    let crossing = memory.crossings().remove(0);
    assert_eq!(crossing.attempts[0].component, "main_model");
    assert_eq!(crossing.attempts[0].error.as_ref().unwrap().class, Class::Provider);
}

#[tokio::test]
async fn votes_are_counted() {
    struct Turns(About, AtomicUsize, Vec<Value>);
    impl Component for Turns {
        fn about(&self) -> &About {
            &self.0
        }
        fn call<'a>(&'a self, _: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            let turn = self.1.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { Ok(self.2[turn % self.2.len()].clone().into()) })
        }
    }
    let of = |values: Value| Turns(About::on(Side::Model), AtomicUsize::new(0), values.as_array().unwrap().clone());
    let vote = |agree, of| Handling { vote: Some(Vote { agree, of }), ..Handling::default() };
    let memory = Arc::new(Memory::default());
    let mut builder = Harness::builder();
    builder.recorder(memory.clone());
    builder.component("two", of(json!(["a", "b", "b"]))).handling("two", vote(2, 3));
    builder.component("none", of(json!(["a", "b", "c"]))).handling("none", vote(2, 3));
    // The order of an object's keys is no difference.
    builder.component("keys", of(json!([{"x": 1, "y": 2}, {"y": 2, "x": 1}]))).handling("keys", vote(2, 2));
    let ctx = builder.build().unwrap().run();
    assert_eq!(ctx.call::<String>("two", ()).await.unwrap(), "b");
    let error = ctx.call::<String>("none", ()).await.unwrap_err();
    assert_eq!(error.class, Class::Disagreement);
    assert!(error.message.contains("at most 1 answers were the same, 2 of 3"), "{}", error.message);
    assert!(ctx.call::<Value>("keys", ()).await.is_ok());
    assert_eq!(memory.crossings()[0].attempts[0].output, Some(json!("a")), "the outvoted answer is kept");
}

#[tokio::test(start_paused = true)]
async fn time_limits_and_cancellation() {
    let mut builder = Harness::builder();
    builder.component("stuck", Stuck(About::on(Side::Model)));
    builder.handling("stuck", Handling { timeout: Some(Duration::from_secs(5)), ..Handling::default() });
    builder.component("forever", Stuck(About::on(Side::Model)));
    builder.component("through", Calls::new("forever", None));
    let harness = builder.build().unwrap();
    let error = harness.run().call::<Value>("stuck", ()).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::TimedOut, Some(Side::Model)));
    let ctx = harness.run();
    let waiting = tokio::spawn({
        let ctx = ctx.clone();
        async move { ctx.call::<Value>("through", ()).await }
    });
    tokio::task::yield_now().await;
    ctx.cancel();
    assert_eq!(waiting.await.unwrap().unwrap_err().class, Class::Cancelled);
    assert_eq!(ctx.call::<Value>("forever", ()).await.unwrap_err().class, Class::Cancelled);
}

#[tokio::test]
async fn budgets_are_hard() {
    let mut builder = Harness::builder();
    builder.component("paid", Flaky::new(0, Class::Provider)).component("free", answers("x"));
    let harness = builder.build().unwrap();
    let run = |budget| harness.run_with(RunOptions { budget, ..RunOptions::default() });
    // 15 tokens a call: the third has only 2 left, however many run at once.
    let ctx = run(Budget { tokens: Some(32), ..Budget::default() });
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let ctx = ctx.clone();
            tokio::spawn(async move { ctx.call::<Value>("paid", ()).await })
        })
        .collect();
    let mut passed = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => passed += 1,
            Err(error) => assert_eq!(error.class, Class::Budget),
        }
    }
    assert_eq!(passed, 2);
    assert_eq!(ctx.spent().tokens(), 30);
    let ctx = run(Budget { usd: Some(0.4), ..Budget::default() });
    assert_eq!(ctx.call::<Value>("paid", ()).await.unwrap_err().class, Class::Budget);
    let ctx = run(Budget { calls: Some(2), ..Budget::default() });
    assert!(ctx.call::<Value>("free", ()).await.is_ok());
    assert!(ctx.call::<Value>("free", ()).await.is_ok());
    assert_eq!(ctx.call::<Value>("free", ()).await.unwrap_err().class, Class::Budget);
}

#[tokio::test]
async fn components_call_each_other_within_their_tools_and_their_depth() {
    let mut builder = Harness::builder();
    builder.component("tool", answers("x"));
    builder.component("may", Calls::new("tool", Some(&["tool"])));
    builder.component("may_not", Calls::new("tool", Some(&[])));
    builder.component("endless", Calls::new("endless", None));
    builder.handling("endless", Handling { concurrency: Some(1), ..Handling::default() });
    let ctx = builder.build().unwrap().run();
    assert!(ctx.call::<Value>("may", 1).await.is_ok());
    assert_eq!(ctx.call::<Value>("may_not", 1).await.unwrap_err().class, Class::NotATool);
    // One place, and it calls itself: it does not wait for itself.
    assert_eq!(ctx.call::<Value>("endless", 1).await.unwrap_err().class, Class::Depth);
}

#[tokio::test]
async fn a_context_ends_with_its_call() {
    let kept: Arc<std::sync::Mutex<Option<Context>>> = Arc::default();
    let mut builder = Harness::builder();
    builder.component("tool", answers("x"));
    builder.async_function("thief", {
        let kept = kept.clone();
        move |ctx, (): ()| {
            *kept.lock().unwrap() = Some(ctx);
            async { Ok::<_, String>(1) }
        }
    });
    let ctx = builder.build().unwrap().run();
    assert_eq!(ctx.call::<u8>("thief", ()).await.unwrap(), 1);
    let stolen = kept.lock().unwrap().take().unwrap();
    assert_eq!(stolen.call::<Value>("tool", ()).await.unwrap_err().class, Class::Cancelled);
}

#[tokio::test]
async fn the_same_input_is_answered_from_the_cache_only_where_wanted() {
    let double = Double::sequence(["first", "second", "third"]);
    let mut builder = Harness::builder();
    builder.component("kept", double.clone()).handling("kept", Handling { cache: true, ..Handling::default() });
    let harness = builder.build().unwrap();
    let ctx = harness.run();
    assert_eq!(ctx.call::<String>("kept", 1).await.unwrap(), "first");
    assert_eq!(ctx.call::<String>("kept", 1).await.unwrap(), "first");
    assert_eq!(ctx.call::<String>("kept", 2).await.unwrap(), "second");
    let fresh = harness.run_with(RunOptions { fresh: true, ..RunOptions::default() });
    assert_eq!(fresh.call::<String>("kept", 1).await.unwrap(), "third", "a fresh run never reads the cache");
    assert_eq!(double.asked().len(), 3);
}

#[tokio::test]
async fn a_recorded_run_is_given_again_from_any_checkpoint() {
    let memory = Arc::new(Memory::default());
    let double = Double::sequence(["one", "two", "three", "four", "five", "six"]);
    let mut builder = Harness::builder();
    builder.recorder(memory.clone()).component("inner", double.clone());
    builder.async_function("outer", |ctx: Context, (): ()| async move {
        let first: String = ctx.call("inner", 1).await?;
        let second: String = ctx.call("inner", 1).await?;
        Ok::<_, CallError>(format!("{first} {second}"))
    });
    let harness = builder.build().unwrap();
    let ctx = harness.run();
    assert_eq!(ctx.call::<String>("outer", ()).await.unwrap(), "one two");
    let crossings = memory.crossings();
    let replay = |replay| harness.run_with(RunOptions { replay: Some(replay), ..RunOptions::default() });
    let again = replay(Replay::whole(crossings.clone()));
    assert_eq!(again.call::<String>("outer", ()).await.unwrap(), "one two");
    assert_eq!(double.asked().len(), 2, "nothing was asked");
    assert_eq!(again.call::<String>("outer", ()).await.unwrap_err().class, Class::Diverged, "it was recorded once");
    // From the second inner call on (1 outer, 2 and 3 inner).
    let from = replay(Replay::until(crossings.clone(), 3));
    assert_eq!(from.call::<String>("outer", ()).await.unwrap(), "one three");
    let from = replay(Replay::until(crossings.clone(), 2));
    assert_eq!(from.call::<String>("outer", ()).await.unwrap(), "four five");
    // Another input before the checkpoint is no continuation of that run.
    let other = replay(Replay::until(crossings, 3));
    assert_eq!(other.call::<String>("inner", 7).await.unwrap_err().class, Class::Diverged);
}

#[tokio::test]
async fn a_hybrid_that_no_longer_agrees_is_demoted() {
    let audit = Audit { share: 1.0, agreement: 0.9, alpha: 0.05, ..Audit::default() };
    let mut builder = Harness::builder();
    builder.hybrid("classify", |_: i64| Some("code"), answers("model")).audit("classify", audit);
    let ctx = builder.build().unwrap().run();
    let mut answers = Vec::new();
    for number in 0..10 {
        answers.push(ctx.call::<String>("classify", number).await.unwrap());
    }
    let evidence = ctx.describe("classify").unwrap().evidence.unwrap();
    assert!(evidence.demoted && evidence.e_value >= 20.0, "{evidence:?}");
    assert_eq!(answers.first().unwrap(), "code");
    assert_eq!(answers.last().unwrap(), "model");
    assert!((2..=5).contains(&evidence.disagreed), "{evidence:?}");
}

#[test]
fn a_hybrid_that_keeps_its_promise_is_rarely_demoted() {
    // As deep as it may: exactly the promised rate, watched for 2,000 audits, 2,000 times.
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (worlds, mut demoted) = (2000, 0);
    for _ in 0..worlds {
        let (mut agreed, mut disagreed) = (0, 0);
        for _ in 0..2000 {
            if uniform() < 0.95 {
                agreed += 1;
                // Only a disagreement adds to the evidence.
                continue;
            }
            disagreed += 1;
            if audit::log_e_value(0.95, agreed, disagreed) >= 20_f64.ln() {
                demoted += 1;
                break;
            }
        }
    }
    let most = f64::from(worlds) * 0.05 + 2.0 * (f64::from(worlds) * 0.05 * 0.95).sqrt();
    assert!(f64::from(demoted) <= most, "{demoted} of {worlds}");
    assert!(demoted > 0, "the worlds are no test");
}

#[test]
fn a_harness_that_can_not_work_is_not_made() {
    let wrong = |make: &dyn Fn(&mut Builder)| {
        let mut builder = Harness::builder();
        make(&mut builder);
        builder.build().err().expect("it is wrong").to_string()
    };
    let twice = wrong(&|builder| {
        builder.function("a", |(): ()| 1).function("a", |(): ()| 2);
    });
    assert_eq!(twice, "there are two components called `a`");
    assert!(
        wrong(&|builder| {
            builder.function("a b", |(): ()| 1);
        })
        .contains("no name for a component")
    );
    assert!(
        wrong(&|builder| {
            builder.function("main", |(): ()| 1);
        })
        .contains("no name for a component")
    );
    let tools = wrong(&|builder| {
        builder.component("a", Calls::new("b", Some(&["b"])));
    });
    assert_eq!(tools, "`a` names `b`, and there is no component of that name");
    assert!(
        wrong(&|builder| {
            builder.handling("b", Handling::default());
        })
        .contains("`handling` names `b`")
    );
    let audited = wrong(&|builder| {
        builder.function("a", |(): ()| 1).audit("a", Audit::default());
    });
    assert_eq!(audited, "`a`: only a hybrid can be audited");
}

#[tokio::test]
async fn a_schema_holds_for_whatever_is_registered() {
    let schema = |value: Value| crate::schema::Schema::read(&value).unwrap();
    let mut builder = Harness::builder();
    builder.function("double", |number: f64| number * 2.0);
    builder.schema("double", schema(json!({"type": "integer"})), schema(json!({"type": "number", "maximum": 10})));
    let harness = builder.build().unwrap();
    let ctx = harness.run();
    assert_eq!(ctx.call::<f64>("double", 4).await.unwrap(), 8.0);
    assert_eq!(ctx.call::<f64>("double", 4.5).await.unwrap_err().class, Class::Input);
    let error = ctx.call::<f64>("double", 6).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::FormatViolation, Some(Side::Code)));
    assert_eq!(ctx.describe("double").unwrap().input, json!({"type": "integer"}));
    // Where another is fallen back on, its own holds as well.
    let mut builder = Harness::builder();
    builder.component("weak", Double::failing(Class::Provider, "down")).function("double", |number: f64| number * 2.0);
    builder.schema("double", schema(json!({"type": "integer"})), schema(json!({})));
    builder.handling("weak", Handling { fallback: vec!["double".into()], ..Handling::default() });
    let ctx = builder.build().unwrap().run();
    assert_eq!(ctx.call::<f64>("weak", 4).await.unwrap(), 8.0);
    assert_eq!(ctx.call::<f64>("weak", 4.5).await.unwrap_err().class, Class::Provider);
    let mut nobody = Harness::builder();
    nobody.schema("nobody", schema(json!({})), schema(json!({})));
    let unknown = BuildError::Unknown { by: "schema".into(), name: "nobody".into() };
    assert_eq!(nobody.build().err(), Some(unknown));
}
