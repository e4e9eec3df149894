//! A small program whose parts are components: it reads support tickets, finds the order that each names, says whose
//! desk it goes to, and drafts an answer. Which of the components are models and which are code it neither knows nor
//! says: the lines that call them stay what they are while `walk` moves components across the boundary.
//!
//!     cargo run --example ticket-triage -- WORKSPACE TICKETS.jsonl [FIRST LAST] [--replies N] [--show N]
//!
//! WORKSPACE is a folder with the specs of this one; README.md has the story.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use llmc::driver::{Opening, Tell, open_workspace};
use llmc::event::Event;
use llmc::harness::{CallError, Context};
use llmc::options::Environment;
use serde::{Deserialize, Serialize};

/// What people write.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ticket {
    subject: String,
    body: String,
}

/// A line of the corpus. Its labels are not looked at: a program in use has none.
#[derive(Deserialize)]
struct Line {
    id: String,
    #[serde(flatten)]
    ticket: Ticket,
}

/// Who answers a ticket: those who may give money back, or the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Desk {
    Billing,
    Support,
}

/// What the reply writer gets.
#[derive(Serialize)]
struct ToAnswer<'a> {
    subject: &'a str,
    body: &'a str,
    order: &'a str,
    desk: Desk,
}

/// What became of a ticket.
struct Triaged {
    order: String,
    desk: Desk,
    reply: Option<String>,
}

/// The program's main line.
async fn triage(ctx: &Context, ticket: &Ticket, with_reply: bool) -> Result<Triaged, CallError> {
    let order: String = ctx.call("order", ticket).await?;
    let desk: Desk = ctx.call("desk", ticket).await?;
    let reply = match with_reply {
        true => {
            let (subject, body) = (ticket.subject.as_str(), ticket.body.as_str());
            Some(ctx.call("reply", &ToAnswer { subject, body, order: &order, desk }).await?)
        }
        false => None,
    };
    Ok(Triaged { order, desk, reply })
}

struct Arguments {
    workspace: String,
    tickets: String,
    first: usize,
    last: usize,
    replies: usize,
    shown: usize,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut plain = Vec::new();
    let (mut replies, mut shown) = (0, 3);
    let mut given = std::env::args().skip(1);
    while let Some(one) = given.next() {
        match one.as_str() {
            "--replies" => replies = given.next().ok_or("--replies takes a number")?.parse()?,
            "--show" => shown = given.next().ok_or("--show takes a number")?.parse()?,
            _ => plain.push(one),
        }
    }
    let number = |at: usize, default: usize| plain.get(at).map_or(Ok(default), |text| text.parse());
    let [workspace, tickets, ..] = plain.as_slice() else {
        return Err("ticket-triage WORKSPACE TICKETS.jsonl [FIRST LAST] [--replies N] [--show N]".into());
    };
    let (first, last) = (number(2, 1)?, number(3, usize::MAX)?);
    Ok(Arguments { workspace: workspace.clone(), tickets: tickets.clone(), first, last, replies, shown })
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let tell: Tell = Arc::new(Mutex::new(|event| {
        if let Event::Warning(text) | Event::Note(text) = event {
            eprintln!("{text}");
        }
    }));
    let environment = Environment::new(|name| std::env::var(name).ok());
    let opened = open_workspace(Path::new(&arguments.workspace), Opening::default(), environment, tell).await?;
    // One run: its calls stand together in `llmc trace`.
    let ctx = opened.harness.run();
    let (mut done, mut failed) = (0, 0);
    let lines = BufReader::new(std::fs::File::open(&arguments.tickets)?).lines();
    for line in lines.take(arguments.last).skip(arguments.first.saturating_sub(1)) {
        let line: Line = serde_json::from_str(&line?)?;
        match triage(&ctx, &line.ticket, done < arguments.replies).await {
            Ok(triaged) => {
                done += 1;
                if done <= arguments.shown {
                    let desk = match triaged.desk {
                        Desk::Billing => "billing",
                        Desk::Support => "support",
                    };
                    println!("{}  {desk}  {:8}  {}", line.id, triaged.order, line.ticket.subject);
                    if let Some(reply) = triaged.reply {
                        println!("        > {}", reply.replace('\n', "\n        > "));
                    }
                }
            }
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error}", line.id);
            }
        }
    }
    opened.flush()?;
    println!("{done} tickets triaged, {failed} failed");
    println!("component  side    calls  by code  seconds a call  tokens");
    for name in ["order", "desk", "reply"] {
        let Some(known) = ctx.describe(name) else { continue };
        let seconds = known.mean_micros.map_or("-".to_owned(), |micros| format!("{:.4}", micros as f64 / 1e6));
        let (side, tokens) = (known.side.as_str(), known.usage.tokens());
        println!("{name:9}  {side:6}  {:5}  {:7}  {seconds:>14}  {tokens:6}", known.calls, known.by_code);
    }
    Ok(())
}
