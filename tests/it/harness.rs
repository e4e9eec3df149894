//! The harness as its users have it: approvals that can't be got around, many calls at once, few crates.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmc::harness::{
    About, Approver, BoxFuture, Builder, CallError, Class, Component, Context, Decision, Double, Handling, Harness,
    Memory, Outcome, Question, Replay, Reply, Rule, RunOptions, Side, Vote,
};
use serde_json::{Value, json};

/// What must not be reached: it counts how often it was.
#[derive(Clone)]
struct Vault {
    about: Arc<About>,
    opened: Arc<AtomicUsize>,
}

impl Vault {
    fn new() -> Self {
        Self { about: Arc::new(About::on(Side::Code)), opened: Arc::default() }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Component for Vault {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(json!({ "opened": input }).into())
        })
    }
}

/// A model that does what it is told: calls the component `call` names with `with`, as often as `times` says.
struct Agent {
    about: About,
    at_once: bool,
}

impl Agent {
    fn new(at_once: bool) -> Self {
        Self { about: About::on(Side::Model), at_once }
    }
}

impl Component for Agent {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let name = input["call"].as_str().unwrap_or_default().to_owned();
            let times = input["times"].as_u64().unwrap_or(1);
            let mut last = Value::Null;
            if self.at_once {
                let calls: Vec<_> = (0..times)
                    .map(|_| {
                        let (ctx, name, with) = (ctx.clone(), name.clone(), input["with"].clone());
                        tokio::spawn(async move { ctx.call_value(&name, with).await })
                    })
                    .collect();
                for call in calls {
                    last = call.await.expect("it does not panic")?;
                }
            } else {
                for _ in 0..times {
                    last = ctx.call_value(&name, input["with"].clone()).await?;
                }
            }
            Ok(last.into())
        })
    }
}

fn builder(vault: &Vault) -> Builder {
    let mut builder = Harness::builder();
    builder.component("vault", vault.clone());
    builder
        .component("agent", Agent::new(false))
        .component("helper", Agent::new(false))
        .component("crowd", Agent::new(true));
    builder
}

async fn denied(ctx: &Context, name: &str, input: Value) {
    let error = ctx.call_value(name, input.clone()).await.expect_err("it is denied");
    assert_eq!(error.class, Class::Denied, "{name} {input}: {error}");
}

/// Answers in order, and keeps what it was asked.
#[derive(Clone, Default)]
struct Person {
    asked: Arc<Mutex<Vec<Question>>>,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl Person {
    fn who_says(replies: &[Reply]) -> Self {
        let mut replies = replies.to_vec();
        replies.reverse();
        Self { replies: Arc::new(Mutex::new(replies)), ..Self::default() }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Approver for Person {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(question.clone());
            // Others come meanwhile.
            tokio::task::yield_now().await;
            self.replies.lock().unwrap().pop().unwrap_or(Reply::No)
        })
    }
}

#[tokio::test]
async fn what_is_denied_is_not_reached_by_any_way() {
    let vault = Vault::new();
    let mut builder = builder(&vault);
    builder.rule(Rule::new("vault", Decision::Deny)).rule(Rule::new("*", Decision::Allow));
    builder.component("cached", vault.clone()).handling("cached", Handling { cache: true, ..Handling::default() });
    builder.component("weak", Double::failing(Class::Provider, "down"));
    builder.handling("weak", Handling { retries: 3, fallback: vec!["vault".into()], ..Handling::default() });
    builder.async_function("native", |ctx: Context, input: Value| async move { ctx.call_value("vault", input).await });
    let harness = builder.build().unwrap();
    let ctx = harness.run();
    let open = json!({"call": "vault", "with": 1});
    denied(&ctx, "vault", json!(1)).await;
    denied(&ctx, "agent", open.clone()).await;
    denied(&ctx, "agent", json!({"call": "helper", "with": {"call": "agent", "with": open}})).await;
    denied(&ctx, "crowd", json!({"call": "vault", "with": 1, "times": 50})).await;
    denied(&ctx, "native", json!(1)).await;
    // Falling back is a call like any other.
    assert_eq!(ctx.call_value("weak", json!(1)).await.unwrap_err().class, Class::Provider);
    // Names that look like it are no names.
    for name in ["Vault", " vault", "vault ", "vault\0", "vаult", "vault/", "./vault", "VAULT", "vault\u{200b}"] {
        assert_eq!(ctx.call_value(name, json!(1)).await.unwrap_err().class, Class::Unknown, "{name:?}");
    }
    assert_eq!(vault.opened(), 0);
}

#[tokio::test]
async fn a_record_and_a_cache_open_nothing() {
    let vault = Vault::new();
    let memory = Arc::new(Memory::default());
    let mut open = builder(&vault);
    open.recorder(memory.clone()).handling("vault", Handling { cache: true, ..Handling::default() });
    let open = open.build().unwrap();
    open.run().call_value("vault", json!("secret")).await.unwrap();
    let crossings = memory.crossings();
    assert_eq!(vault.opened(), 1);
    // The same record, where the rules say no.
    let mut closed = builder(&vault);
    closed.rule(Rule::new("vault", Decision::Deny));
    let closed = closed.build().unwrap();
    for replay in [Replay::whole(crossings.clone()), Replay::until(crossings.clone(), 1)] {
        let ctx = closed.run_with(RunOptions { replay: Some(replay), ..RunOptions::default() });
        denied(&ctx, "vault", json!("secret")).await;
    }
    // What was approved in the recorded run is asked again in a replay of it.
    let person = Person::who_says(&[Reply::No]);
    let mut asks = builder(&vault);
    asks.rule(Rule::new("vault", Decision::Ask)).approver(person.clone());
    let ctx =
        asks.build().unwrap().run_with(RunOptions { replay: Some(Replay::whole(crossings)), ..RunOptions::default() });
    denied(&ctx, "vault", json!("secret")).await;
    assert_eq!((person.asked(), vault.opened()), (1, 1));
    // An answer that is kept is given only to whoever may call: one is approved and kept, the next is refused.
    let person = Person::who_says(&[Reply::Once, Reply::No]);
    let mut kept = builder(&vault);
    kept.rule(Rule::new("vault", Decision::Ask)).approver(person.clone());
    kept.handling("vault", Handling { cache: true, ..Handling::default() });
    let ctx = kept.build().unwrap().run();
    ctx.call_value("vault", json!("again")).await.unwrap();
    denied(&ctx, "vault", json!("again")).await;
    assert_eq!((person.asked(), vault.opened()), (2, 2));
}

#[tokio::test]
async fn arguments_can_not_be_dressed_up() {
    let vault = Vault::new();
    let mut builder = builder(&vault);
    let mut rule = Rule::new("vault", Decision::Deny);
    rule.arguments.insert("/amount".into(), json!(100));
    builder.rule(rule);
    let mut rule = Rule::new("vault", Decision::Deny);
    rule.arguments.insert("/to".into(), json!({"name": "mallory", "bank": 7}));
    builder.rule(rule);
    let ctx = builder.build().unwrap().run();
    for input in [
        json!({"amount": 100}),
        json!({"amount": 100.0, "more": 1}),
        serde_json::from_str(r#"{"amount": 1e2}"#).unwrap(),
        serde_json::from_str(r#"{"\u0061mount": 1.00e+2}"#).unwrap(),
        serde_json::from_str(r#"{"amount": 1, "amount": 100}"#).unwrap(),
        json!({"to": {"bank": 7, "name": "mallory"}}),
        json!({"to": {"bank": 7.0, "name": "mallory"}}),
    ] {
        denied(&ctx, "vault", input.clone()).await;
        denied(&ctx, "agent", json!({"call": "vault", "with": input})).await;
    }
    assert_eq!(vault.opened(), 0);
    assert!(ctx.call_value("vault", json!({"amount": 99})).await.is_ok(), "the rules deny no more than they say");
}

#[tokio::test]
async fn a_caller_that_may_not_does_not_hide_behind_another() {
    let vault = Vault::new();
    let mut builder = builder(&vault);
    builder.rule(Rule { caller: Some("agent".into()), ..Rule::new("vault", Decision::Deny) });
    let ctx = builder.build().unwrap().run();
    let open = json!({"call": "vault", "with": 1});
    assert!(ctx.call_value("helper", open.clone()).await.is_ok());
    denied(&ctx, "agent", open.clone()).await;
    denied(&ctx, "agent", json!({"call": "helper", "with": open})).await;
    denied(&ctx, "agent", json!({"call": "helper", "with": {"call": "crowd", "with": open, "times": 3}})).await;
    assert_eq!(vault.opened(), 1);
}

#[tokio::test]
async fn one_approval_opens_once() {
    // Fifty calls at once: two are approved, and two are made.
    let vault = Vault::new();
    let person = Person::who_says(&[Reply::Once, Reply::Once]);
    let mut builder = builder(&vault);
    builder.rule(Rule::new("vault", Decision::Ask)).approver(person.clone());
    let ctx = builder.build().unwrap().run();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let ctx = ctx.clone();
            tokio::spawn(async move { ctx.call_value("vault", json!(1)).await })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        made += usize::from(call.await.unwrap().is_ok());
    }
    assert_eq!((made, vault.opened(), person.asked()), (2, 2, 50));
}

#[tokio::test]
async fn an_attempt_more_is_the_same_call_and_a_vote_is_one() {
    struct Moody(About, Arc<AtomicUsize>);
    impl Component for Moody {
        fn about(&self) -> &About {
            &self.0
        }
        fn call<'a>(&'a self, _: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            let number = self.1.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if number == 0 {
                    Err(CallError::new("moody", Class::Provider, "not now"))
                } else {
                    Ok(json!("x").into())
                }
            })
        }
    }
    let made: Arc<AtomicUsize> = Arc::default();
    let vault = Vault::new();
    let person = Person::who_says(&[Reply::Once, Reply::Once, Reply::No]);
    let mut builder = builder(&vault);
    builder.approver(person.clone()).rule(Rule::new("*", Decision::Ask));
    builder.component("moody", Moody(About::on(Side::Model), made.clone()));
    builder.handling("moody", Handling { retries: 1, fallback: vec!["vault".into()], ..Handling::default() });
    builder.handling("vault", Handling { vote: Some(Vote { agree: 2, of: 3 }), ..Handling::default() });
    let ctx = builder.build().unwrap().run();
    assert_eq!(ctx.call::<String>("moody", ()).await.unwrap(), "x");
    assert_eq!((made.load(Ordering::SeqCst), person.asked()), (2, 1), "asked once for both attempts");
    assert!(ctx.call_value("vault", json!(1)).await.is_ok());
    assert_eq!(person.asked(), 2, "asked once for all votes");
    // The answer to one call opens no other.
    denied(&ctx, "moody", Value::Null).await;
}

#[tokio::test]
async fn what_is_remembered_is_no_more_than_was_said() {
    let vault = Vault::new();
    let person = Person::who_says(&[Reply::Same, Reply::No, Reply::No, Reply::Component, Reply::No]);
    let mut builder = builder(&vault);
    builder.rule(Rule::new("vault", Decision::Ask)).approver(person.clone());
    let harness = builder.build().unwrap();
    let ctx = harness.run();
    let through = |input: Value| json!({"call": "vault", "with": input});
    assert!(ctx.call_value("vault", json!(1)).await.is_ok());
    assert!(ctx.call_value("vault", json!(1)).await.is_ok(), "the same is not asked again");
    assert_eq!(person.asked(), 1);
    denied(&ctx, "vault", json!(2)).await; // another input
    denied(&ctx, "agent", through(json!(1))).await; // another caller
    assert!(ctx.call_value("agent", through(json!(2))).await.is_ok()); // for the component, by this caller
    assert!(ctx.call_value("agent", through(json!(3))).await.is_ok());
    assert_eq!(person.asked(), 4);
    // Another run remembers nothing.
    denied(&harness.run(), "vault", json!(1)).await;
    assert_eq!((person.asked(), vault.opened()), (5, 4));
}

#[tokio::test]
async fn who_can_not_be_asked_says_no() {
    struct Absent;
    impl Approver for Absent {
        fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Reply> {
            Box::pin(std::future::pending())
        }
    }
    struct Confused;
    impl Approver for Confused {
        fn ask<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Reply> {
            panic!("what was the question?")
        }
    }
    let vault = Vault::new();
    let mut nobody = builder(&vault);
    nobody.rule(Rule::new("vault", Decision::Ask));
    denied(&nobody.build().unwrap().run(), "vault", json!(1)).await;
    // Waiting ends with the run.
    let mut absent = builder(&vault);
    absent.rule(Rule::new("vault", Decision::Ask)).approver(Absent);
    let ctx = absent.build().unwrap().run();
    let waiting = tokio::spawn({
        let ctx = ctx.clone();
        async move { ctx.call_value("vault", json!(1)).await }
    });
    tokio::task::yield_now().await;
    ctx.cancel();
    assert_eq!(waiting.await.unwrap().unwrap_err().class, Class::Cancelled);
    let mut confused = builder(&vault);
    confused.rule(Rule::new("vault", Decision::Ask)).approver(Confused);
    let ctx = confused.build().unwrap().run();
    let call = tokio::spawn(async move { ctx.call_value("vault", json!(1)).await });
    assert!(call.await.is_err(), "the panic is the approver's, and its caller's");
    assert_eq!(vault.opened(), 0);
}

/// Memory that this process holds, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_at_once_lose_none_and_keep_memory_flat() {
    struct Slow(About, AtomicUsize, AtomicUsize);
    impl Component for Slow {
        fn about(&self) -> &About {
            &self.0
        }
        fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            Box::pin(async move {
                let now = self.1.fetch_add(1, Ordering::SeqCst) + 1;
                self.2.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.1.fetch_sub(1, Ordering::SeqCst);
                Ok(json!(input.as_u64().unwrap() * 2).into())
            })
        }
    }
    let slow = Arc::new(Slow(About::on(Side::Model), AtomicUsize::new(0), AtomicUsize::new(0)));
    let harness = {
        let mut builder = Harness::builder();
        builder.component("slow", slow.clone());
        builder.handling(
            "slow",
            Handling { concurrency: Some(2000), timeout: Some(Duration::from_secs(600)), ..Handling::default() },
        );
        builder.build().unwrap()
    };
    let round = || async {
        let ctx = harness.run();
        let calls: Vec<_> = (0..10_000_u64)
            .map(|number| {
                let ctx = ctx.clone();
                tokio::spawn(async move { ctx.call::<u64>("slow", number).await.unwrap() })
            })
            .collect();
        let mut sum = 0;
        for call in calls {
            sum += call.await.unwrap();
        }
        assert_eq!(sum, 10_000 * 9_999, "none was lost, none was doubled");
    };
    let before = resident();
    round().await;
    let after_one = resident();
    assert!(after_one.saturating_sub(before) < 100 << 20, "{before} {after_one}");
    for _ in 0..4 {
        round().await;
    }
    let after_all = resident();
    assert!(after_all.saturating_sub(after_one) < 10 << 20, "{after_one} {after_all}: memory grows with calls");
    assert!(slow.2.load(Ordering::SeqCst) <= 2000, "no more at once than allowed");
    assert_eq!(harness.describe("slow").unwrap().calls, 50_000);
}

#[test]
fn the_library_needs_fewer_than_sixty_crates() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["tree", "--offline", "--locked", "--no-default-features", "-e", "normal,build", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut crates: Vec<&str> =
        text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    assert!(crates.iter().any(|name| name.starts_with("serde_json")), "{text}");
    assert!(crates.len() < 60, "{} crates:\n{}", crates.len(), crates.join("\n"));
}
