//! What a call through the harness costs over the direct call: `cargo run --release --no-default-features --example
//! crossing`.
//!
//! The same small function is called both ways, alternating, in one process; the least of the rounds counts, since
//! whatever else runs on the machine only adds to them.

#![expect(clippy::print_stdout, reason = "it is what an example is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use llmc::harness::{Harness, Memory};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const CALLS: u32 = 20_000;
const ROUNDS: usize = 50;

#[derive(Clone, Serialize, Deserialize)]
struct Ticket {
    subject: String,
    body: String,
    urgent: bool,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Label {
    Bug,
    Other,
}

fn classify(ticket: &Ticket) -> Label {
    if ticket.urgent || ticket.subject.contains("crash") { Label::Bug } else { Label::Other }
}

/// As `generated::register` hands it over.
fn frozen(input: Value) -> Result<Option<Value>, String> {
    let ticket: Ticket = serde_json::from_value(input).map_err(|error| error.to_string())?;
    serde_json::to_value(classify(&ticket)).map(Some).map_err(|error| error.to_string())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ticket = Ticket { subject: "It crashes".into(), body: "Whenever I press the button".into(), urgent: false };
    let bare = Harness::builder().frozen("classify", "0", frozen).build()?;
    let traced = Harness::builder().frozen("classify", "0", frozen).recorder(Arc::new(Memory::default())).build()?;
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        let clock = Instant::now();
        for _ in 0..CALLS {
            black_box(classify(black_box(&ticket)));
        }
        best[0] = best[0].min(nanoseconds(clock));
        let ctx = bare.run();
        let clock = Instant::now();
        runtime.block_on(async {
            for _ in 0..CALLS {
                let label: Label = ctx.call("classify", black_box(&ticket)).await?;
                black_box(label);
            }
            Ok::<_, llmc::harness::CallError>(())
        })?;
        best[1] = best[1].min(nanoseconds(clock));
        let ctx = traced.run();
        let clock = Instant::now();
        runtime.block_on(async {
            for _ in 0..CALLS / 20 {
                let label: Label = ctx.call("classify", black_box(&ticket)).await?;
                black_box(label);
            }
            Ok::<_, llmc::harness::CallError>(())
        })?;
        best[2] = best[2].min(nanoseconds(clock) * 20.0);
    }
    println!("direct call                      {:7.1} ns", best[0]);
    println!("through the harness              {:7.1} ns", best[1]);
    println!("the same, each call recorded     {:7.1} ns", best[2]);
    println!("the harness adds                 {:7.2} µs", (best[1] - best[0]) / 1e3);
    Ok(())
}

fn nanoseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}
