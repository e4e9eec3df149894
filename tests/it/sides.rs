//! One file of tests, `sides/triage.rs`, and every side of the boundary: only the registration differs.

mod triage;

use std::sync::{Arc, Mutex};

use llmc::component::{ModelComponent, Parts};
use llmc::driver::{self, Opening};
use llmc::harness::{BoxFuture, Builder, Class, Context, Double, Frozen, Memory, Replay, RunOptions, Side};
use llmc::model::http::Server as Reached;
use llmc::model::openai::OpenAi;
use llmc::model::price::Prices;
use llmc::options::Environment;
use llmc::prompt::Templates;
use llmc::spec::{self, AnySpec, Sampling};
use serde_json::Value;

use crate::env::TestEnv;
use crate::harden;
use crate::server::{Received, Reply, Server};

/// What code says: it is text, so that it can be wrong.
fn code(ticket: &str) -> Option<Result<&'static str, String>> {
    match ticket {
        "Boom" => Some(Err("it can't be read".to_owned())),
        "Hm." => Some(Ok("medium")),
        _ if ticket.contains("Fire") => Some(Ok("high")),
        _ if ticket.contains("Thanks") => Some(Ok("low")),
        _ => None,
    }
}

/// What code says that has to answer everything.
fn whole(ticket: &str) -> Result<&'static str, String> {
    code(ticket).unwrap_or(Ok("low"))
}

/// A model that says the same.
fn model(request: &Received, _: usize) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    let ticket = ["Boom", "Hm.", "Fire", "Thanks"].into_iter().find(|word| body.contains(word));
    match whole(ticket.unwrap_or_default()) {
        Ok(label) => Reply::chat(&format!("\"{label}\"")),
        // No provider is asked again after this.
        Err(why) => Reply::new(401, why),
    }
}

/// A component whose registration waits for nothing.
fn by_hand(
    declared: Side,
    answers: [Side; 2],
    register: impl Fn(&mut Builder) + Send + Sync + 'static,
) -> triage::Side {
    let open = move |mut builder: Builder| -> BoxFuture<'static, Context> {
        register(&mut builder);
        let ctx = builder.build().unwrap().run();
        Box::pin(async move { ctx })
    };
    triage::Side { open: Box::new(open), declared, answers }
}

/// The component of a spec, answered by a server.
fn model_component(server: &Server) -> ModelComponent {
    let (spec, _) = spec::parse_any("specs/triage.yaml", "triage", harden::TRIAGE.as_bytes()).unwrap();
    let AnySpec::Component(spec) = spec else { panic!("it is a component") };
    let model = OpenAi::new("test", Reached::new(format!("{}/v1", server.url), None)).unwrap();
    let parts = Parts {
        models: vec![Arc::new(model)],
        prices: Prices::default(),
        templates: Arc::new(Templates::load(None).unwrap()),
        sampling: Sampling::default(),
        purse: None,
    };
    ModelComponent::new(*spec, parts).unwrap()
}

/// What a workspace has under that name: a spec with its model, committed code in the sandbox, or both.
fn of_workspace(env: TestEnv, declared: Side, answers: [Side; 2]) -> triage::Side {
    let env = Arc::new(env);
    let open = move |builder: Builder| -> BoxFuture<'static, Context> {
        let env = env.clone();
        Box::pin(async move {
            let (root, opening) = (env.root(), Opening { builder, ..Opening::default() });
            let tell = Arc::new(Mutex::new(|_| {}));
            driver::open_workspace(&root, opening, environment(&env), tell).await.unwrap().harness.run()
        })
    };
    triage::Side { open: Box::new(open), declared, answers }
}

/// A home of its own, and the cache that all tests share.
fn environment(env: &TestEnv) -> Environment {
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or(format!("{}/.cache", std::env::var("HOME").unwrap()));
    let home = env.path("../home").display().to_string();
    let variables = [("HOME", home), ("LLMC_CACHE", format!("{cache}/llmc"))];
    Environment::fixed(variables.map(|(name, value)| (name.to_owned(), value)).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model() {
    let server = Server::answering(model);
    let side = by_hand(Side::Model, [Side::Model; 2], move |builder| {
        builder.component("triage", model_component(&server));
    });
    triage::keeps_its_promises(&side).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure() {
    let side = by_hand(Side::Code, [Side::Code; 2], |builder| {
        builder.try_function("triage", |ticket: String| whole(&ticket));
    });
    triage::keeps_its_promises(&side).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_closure() {
    let side = by_hand(Side::Code, [Side::Code; 2], |builder| {
        builder.async_function("triage", |_, ticket: String| async move {
            tokio::task::yield_now().await;
            whole(&ticket)
        });
    });
    triage::keeps_its_promises(&side).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_generated_crate_registers() {
    fn artifact(input: Value) -> Result<Option<Value>, String> {
        let ticket: String = serde_json::from_value(input).map_err(|error| error.to_string())?;
        whole(&ticket).map(|label| Some(label.into()))
    }
    let side = by_hand(Side::Code, [Side::Code; 2], |builder| {
        builder.extend([("triage", "0123", artifact as Frozen)]);
    });
    triage::keeps_its_promises(&side).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hybrid() {
    let server = Server::answering(model);
    let side = by_hand(Side::Hybrid, [Side::Code, Side::Model], move |builder| {
        let sure = |ticket: String| code(&ticket).and_then(Result::ok).filter(|label| *label != "medium");
        builder.hybrid("triage", sure, model_component(&server));
    });
    triage::keeps_its_promises(&side).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double() {
    let side = by_hand(Side::Double, [Side::Double; 2], |builder| {
        let says = |input: &Value| {
            let answer = whole(input.as_str().unwrap_or_default());
            answer.map(Into::into).map_err(|why| (Class::Provider, why))
        };
        builder.component("triage", Double::by_input(says));
    });
    triage::keeps_its_promises(&side).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_run() {
    // A model, whose runs are kept …
    let server = Arc::new(Server::answering(model));
    let kept: Arc<Mutex<Vec<Arc<Memory>>>> = Arc::default();
    let (asked, keeping) = (server.clone(), kept.clone());
    let recorded = by_hand(Side::Model, [Side::Model; 2], move |builder| {
        let memory = Arc::new(Memory::default());
        keeping.lock().unwrap().push(memory.clone());
        builder.component("triage", model_component(&asked)).recorder(memory);
    });
    triage::keeps_its_promises(&recorded).await;
    let requests = server.received().len();
    // … and the same runs from what was kept; whoever is asked says that.
    let runs = Mutex::new(kept.lock().unwrap().clone().into_iter());
    let open = move |mut builder: Builder| -> BoxFuture<'static, Context> {
        let crossings = runs.lock().unwrap().next().expect("a run for each of those kept").crossings();
        builder.component("triage", Double::failing(Class::Failed, "nobody is to be asked"));
        let options = RunOptions { replay: Some(Replay::whole(crossings)), ..RunOptions::default() };
        let ctx = builder.build().unwrap().run_with(options);
        Box::pin(async move { ctx })
    };
    let replayed = triage::Side { open: Box::new(open), declared: Side::Double, answers: [Side::Model; 2] };
    triage::keeps_its_promises(&replayed).await;
    assert_eq!(server.received().len(), requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_a_workspace() {
    let server = Server::answering(model);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/triage.yaml", harden::TRIAGE);
    triage::keeps_its_promises(&of_workspace(env, Side::Model, [Side::Model; 2])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_code_in_the_sandbox() {
    let reply = "```rust\npub fn triage(ticket: &str) -> Result<String, String> {\n    match ticket {\n        \
        \"Boom\" => Err(\"it can't be read\".to_owned()),\n        \"Hm.\" => Ok(\"medium\".to_owned()),\n        \
        _ if ticket.contains(\"Fire\") => Ok(\"high\".to_owned()),\n        _ => Ok(\"low\".to_owned()),\n    }\n}\n```";
    let server = Server::script(vec![Reply::chat(reply)]);
    let env = TestEnv::with_server(&server.url);
    env.write(
        "specs/triage.yaml",
        "llmc: 1\nname: triage\ndescription: How urgent a ticket is.\n\
         signature: \"pub fn triage(ticket: &str) -> Result<String, String>\"\nsampling: { samples: 1 }\n\
         examples:\n  - call: triage(\"Fire!\")\n    returns: Ok(\"high\".to_owned())\n",
    );
    env.llmc(&["build"]).expect(0);
    assert!(env.committed().contains(&"generated/src/triage.rs".to_owned()));
    triage::keeps_its_promises(&of_workspace(env, Side::Code, [Side::Code; 2])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hardened_component() {
    let (env, _server) = harden::hardened(model);
    triage::keeps_its_promises(&of_workspace(env, Side::Hybrid, [Side::Code, Side::Model])).await;
}
