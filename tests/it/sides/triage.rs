//! What `triage` promises to whoever calls it. Nothing here knows what answers: it is handed a [`Side`], which is no more
//! than a registration, and `sides.rs` has one for each side of the boundary.

use std::sync::{Arc, Mutex};

use llmc::harness::{BoxFuture, Builder, Class, Context, Crossing, Decision, Harness, Memory, Question, Reply, Rule};
use llmc::schema::Schema;
use serde::Deserialize;
use serde_json::{Value, json};

/// A registration: all that differs from side to side.
pub(crate) struct Side {
    /// Puts `triage` into the harness and begins a run.
    pub(crate) open: Box<dyn Fn(Builder) -> BoxFuture<'static, Context> + Send + Sync>,
    /// What `describe` says it is.
    pub(crate) declared: llmc::harness::Side,
    /// Who answers what is clear, and who what is not.
    pub(crate) answers: [llmc::harness::Side; 2],
}

/// As its callers read it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Low,
    High,
}

const FIRE: &str = "Fire in room 3";
const THANKS: &str = "Thanks, case 4 is solved";
/// Code abstains here, where there is a model behind it.
const UNCLEAR: &str = "About number 5";
/// Whatever answers this says "medium", which is no answer.
const ODD: &str = "Hm.";
/// Whatever answers this fails.
const BROKEN: &str = "Boom";

/// A run of the harness with `triage`, and what it records.
struct Bench {
    ctx: Context,
    memory: Arc<Memory>,
}

impl Bench {
    async fn new(side: &Side, more: impl FnOnce(&mut Builder)) -> Self {
        let schema = |value: Value| Schema::read(&value).unwrap();
        let memory = Arc::new(Memory::default());
        let mut builder = Harness::builder();
        builder.schema("triage", schema(json!({"type": "string"})), schema(json!({"enum": ["low", "high"]})));
        builder.async_function("desk", |ctx: Context, ticket: String| async move {
            ctx.call::<Value>("triage", ticket).await.map(|urgency| json!({ "urgency": urgency }))
        });
        builder.recorder(memory.clone());
        more(&mut builder);
        Self { ctx: (side.open)(builder).await, memory }
    }

    /// Those of `triage`, in the order in which they began.
    fn crossings(&self) -> Vec<Crossing> {
        let mut crossings = self.memory.crossings();
        crossings.retain(|crossing| crossing.component == "triage");
        crossings.sort_by_key(|crossing| crossing.id);
        crossings
    }
}

pub(crate) async fn keeps_its_promises(side: &Side) {
    answers(side).await;
    refuses_an_input_that_does_not_fit(side).await;
    gives_no_answer_that_does_not_fit(side).await;
    says_where_it_failed(side).await;
    says_what_it_is(side).await;
    is_not_called_where_a_rule_denies_it(side).await;
    is_called_where_somebody_agrees(side).await;
    leaves_a_trace(side).await;
    answers_many_at_once(side).await;
    ends_with_its_run(side).await;
}

async fn answers(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    for (ticket, wanted) in [(FIRE, Urgency::High), (THANKS, Urgency::Low), (UNCLEAR, Urgency::Low)] {
        let urgency: Urgency = bench.ctx.call("triage", ticket).await.unwrap();
        assert_eq!(urgency, wanted, "{ticket}");
    }
    let clear = bench.ctx.call_answer("triage", FIRE.into()).await.unwrap();
    let unclear = bench.ctx.call_answer("triage", UNCLEAR.into()).await.unwrap();
    assert_eq!([clear.side, unclear.side], side.answers.map(Some));
}

async fn refuses_an_input_that_does_not_fit(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    for input in [json!(7), json!({"ticket": FIRE}), json!([FIRE]), Value::Null] {
        let error = bench.ctx.call::<Urgency>("triage", &input).await.unwrap_err();
        assert_eq!((error.class, error.side), (Class::Input, None), "{input}: {error}");
        assert_eq!(error.chain, ["main", "triage"]);
    }
    assert_eq!(bench.ctx.describe("triage").unwrap().calls, 0, "none of them reached it");
}

async fn gives_no_answer_that_does_not_fit(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    let error = bench.ctx.call::<Value>("triage", ODD).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::FormatViolation, Some(side.answers[1])), "{error}");
    assert!(error.message.contains("medium") || error.message.contains("does not fit"), "{error}");
    assert_eq!(bench.crossings()[0].output, None);
}

async fn says_where_it_failed(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    let error = bench.ctx.call::<Urgency>("triage", BROKEN).await.unwrap_err();
    assert!(matches!(error.class, Class::Failed | Class::Provider), "{error}");
    assert_eq!((error.component.as_str(), error.side), ("triage", Some(side.answers[1])));
    // Whoever passes it on changes nothing of it.
    let passed = bench.ctx.call::<Value>("desk", BROKEN).await.unwrap_err();
    assert_eq!((passed.component, passed.class, passed.side), ("triage".to_owned(), error.class, error.side));
    assert_eq!(passed.chain, ["main", "desk", "triage"]);
    assert_eq!(bench.crossings()[0].error.as_ref(), Some(&error));
}

async fn says_what_it_is(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    for ticket in [FIRE, BROKEN] {
        let _ = bench.ctx.call::<Urgency>("triage", ticket).await;
    }
    let known = bench.ctx.describe("triage").unwrap();
    assert_eq!((known.name.as_str(), known.side), ("triage", side.declared));
    assert_eq!((&known.input["type"], &known.output["enum"]), (&json!("string"), &json!(["low", "high"])));
    // What is given from a record is no call.
    let made: Vec<Crossing> = bench.crossings().into_iter().filter(|crossing| crossing.from.is_none()).collect();
    let failed = made.iter().filter(|crossing| crossing.error.is_some()).count();
    assert_eq!((known.calls, known.errors), (made.len() as u64, failed as u64));
    assert_eq!(known.error_rate(), (!made.is_empty()).then_some(0.5));
    assert!(bench.ctx.describe("triag").is_none());
}

async fn is_not_called_where_a_rule_denies_it(side: &Side) {
    let nobody = Bench::new(side, |builder| {
        let mut rule = Rule::new("tri*", Decision::Deny);
        rule.arguments.insert(String::new(), FIRE.into());
        builder.rule(rule).rule(Rule { caller: Some("desk".into()), ..Rule::new("triage", Decision::Ask) });
        builder.rule(Rule::new("*", Decision::Allow));
    })
    .await;
    for (name, input) in [("triage", FIRE), ("desk", FIRE), ("desk", THANKS)] {
        let error = nobody.ctx.call::<Value>(name, input).await.unwrap_err();
        assert_eq!((error.class, error.side), (Class::Denied, None), "{name} {input}");
    }
    assert_eq!(nobody.ctx.describe("triage").unwrap().calls, 0);
    let urgency: Urgency = nobody.ctx.call("triage", THANKS).await.unwrap();
    assert_eq!(urgency, Urgency::Low, "the rules deny no more than they say");
}

async fn is_called_where_somebody_agrees(side: &Side) {
    let asked: Arc<Mutex<Vec<Question>>> = Arc::default();
    let bench = Bench::new(side, |builder| {
        let asked = asked.clone();
        builder.rule(Rule::new("triage", Decision::Ask)).approver(move |question: &Question| {
            asked.lock().unwrap().push(question.clone());
            if question.input == FIRE { Reply::Same } else { Reply::No }
        });
    })
    .await;
    for _ in 0..2 {
        let urgency: Urgency = bench.ctx.call("triage", FIRE).await.unwrap();
        assert_eq!(urgency, Urgency::High);
    }
    assert_eq!(bench.ctx.call::<Urgency>("triage", THANKS).await.unwrap_err().class, Class::Denied);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "the same is not asked again");
    assert_eq!((asked[0].chain.as_slice(), &asked[0].input), (["main".to_owned()].as_slice(), &json!(FIRE)));
    assert_eq!(bench.crossings()[0].approval, Decision::Ask);
}

async fn leaves_a_trace(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    bench.ctx.call::<Urgency>("triage", FIRE).await.unwrap();
    bench.ctx.call::<Urgency>("triage", UNCLEAR).await.unwrap();
    let _ = bench.ctx.call::<Urgency>("triage", 7).await;
    let crossings = bench.crossings();
    let [clear, unclear, refused] = crossings.as_slice() else { panic!("{crossings:?}") };
    assert!(crossings.iter().all(|crossing| crossing.run == bench.ctx.run_name() && crossing.parent.is_none()));
    assert_eq!((&clear.input, &clear.output, &clear.error), (&json!(FIRE), &Some(json!("high")), &None));
    assert_eq!([clear.side, unclear.side], side.answers);
    assert_eq!(clear.model.is_some(), clear.side == llmc::harness::Side::Model, "{:?}", clear.model);
    assert_eq!((&refused.input, &refused.output), (&json!(7), &None));
    assert_eq!(refused.error.as_ref().unwrap().class, Class::Input);
}

async fn answers_many_at_once(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let ctx = bench.ctx.clone();
            tokio::spawn(async move { ctx.call::<Urgency>("triage", format!("Thanks, {number}")).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(Urgency::Low));
    }
    assert_eq!(bench.crossings().len(), 20);
}

async fn ends_with_its_run(side: &Side) {
    let bench = Bench::new(side, |_| {}).await;
    bench.ctx.cancel();
    let error = bench.ctx.call::<Urgency>("triage", FIRE).await.unwrap_err();
    assert_eq!((error.class, error.side), (Class::Cancelled, None));
}
