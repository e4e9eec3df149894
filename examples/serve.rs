//! A program that serves components of its own as `llmc serve` serves a workspace's: as MCP tools over standard input
//! and output, or over HTTP with `--http`.
//!
//!     cargo run --example serve
//!     LLMC_SERVE_TOKEN=0123456789abcdef cargo run --example serve -- --http

use std::error::Error;
use std::time::Duration;

use llmc::harness::{
    About, BoxFuture, CallError, Class, Component, Context, Decision, Double, Harness, Outcome, Rule, Side,
};
use llmc::interrupt::Interrupt;
use llmc::schema::Schema;
use llmc::serve::{Access, Limits, Served, Token, http, stdio};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A component that says what it takes and gives.
struct Typed(About, fn(&Value) -> Value);

impl Typed {
    fn new(description: &str, input: Value, output: Value, function: fn(&Value) -> Value) -> Self {
        let schema = |value| Schema::read(&value).expect("it is a schema that llmc knows");
        let about = About {
            description: description.to_owned(),
            input: schema(input),
            output: schema(output),
            ..About::on(Side::Code)
        };
        Self(about, function)
    }
}

impl Component for Typed {
    fn about(&self) -> &About {
        &self.0
    }

    fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move { Ok((self.1)(&input).into()) })
    }
}

fn components() -> Result<Harness, llmc::harness::BuildError> {
    let text = json!({"type": "string"});
    let ticket = json!({
        "type": "object", "properties": {"subject": text, "words": {"type": "integer", "minimum": 0}},
        "required": ["subject"], "additionalProperties": false,
    });
    let label = json!({
        "type": "object", "properties": {"label": {"enum": ["urgent", "normal"]}, "score": {"type": "number"}},
        "required": ["label", "score"], "additionalProperties": false,
    });
    Harness::builder()
        .component(
            "shout",
            Typed::new("The same text in capitals.", text.clone(), text.clone(), |input| {
                input.as_str().unwrap_or_default().to_uppercase().into()
            }),
        )
        .component(
            "classify",
            Typed::new("How urgent a ticket is.", ticket, label, |input| {
                let is_urgent = input["subject"].as_str().is_some_and(|subject| subject.contains("fire"));
                json!({"label": if is_urgent { "urgent" } else { "normal" }, "score": 0.9})
            }),
        )
        .component(
            "words",
            Typed::new("The words of a text.", text, json!({"type": "array", "items": {"type": "string"}}), |input| {
                input.as_str().unwrap_or_default().split_whitespace().collect()
            }),
        )
        .component("broken", Double::failing(Class::Provider, "the model's server is down"))
        .component("pay", Double::always("paid"))
        .rule(Rule::new("pay", Decision::Ask))
        .async_function("sleep", |_, seconds: u32| async move {
            tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
            Ok::<_, CallError>(seconds)
        })
        .build()
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "an example, not the library")]
async fn main() -> Result<(), Box<dyn Error>> {
    let served = Served::new(components()?, &[], Limits::default())?;
    let interrupt = Interrupt::on_signal();
    if std::env::args().nth(1).as_deref() != Some("--http") {
        stdio(&served, tokio::io::stdin(), tokio::io::stdout(), &interrupt).await?;
        return Ok(());
    }
    let token = Token::new(&std::env::var("LLMC_SERVE_TOKEN")?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    eprintln!("http://{address}");
    http(&served, listener, Access::new(address, Some(token)), &interrupt).await?;
    Ok(())
}
