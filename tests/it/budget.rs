//! Budgets that hold: by the server's own count, whatever it does, and whoever else spends from the same day.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmc::driver::{Caps, Purse};
use llmc::ledger::{Ledger, Phase, Record, Start};
use llmc::model::anthropic::Anthropic;
use llmc::model::http::Server as Reached;
use llmc::model::openai::OpenAi;
use llmc::model::price::Prices;
use llmc::model::{self, Drawn, Model, ModelError, Parameters, Request};
use llmc::spec::PriceSettings;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::env::TestEnv;
use crate::model::prompt;
use crate::server::{Reply, Server};

/// Random numbers (SplitMix64) that are the same in each run of the tests.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`, both included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

// ---- a server that bills ----

const INPUT: f64 = 3.0;
const OUTPUT: f64 = 15.0;
const CACHED: f64 = 0.3;
const WRITTEN: f64 = 3.75;

fn prices() -> Prices {
    let price = PriceSettings { input: INPUT, output: OUTPUT, cached: Some(CACHED), cache_write: Some(WRITTEN) };
    let names = ["openai/paid", "anthropic/paid"];
    Prices::new(&names.into_iter().map(|name| (name.to_owned(), price)).collect(), &Default::default())
}

/// What a server has billed one customer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Billed {
    tokens: u64,
    /// Millionths of a dollar, in the fractions that a server counts in.
    micros: f64,
    requests: u64,
    answered: u64,
}

/// A server whose customers are told apart by the first part of the path. It does whatever servers do, by chance, and
/// bills for what it generated, also where the client never saw it.
struct Billing {
    server: Server,
    bills: Arc<Mutex<HashMap<String, Billed>>>,
}

impl Billing {
    fn new(seed: u64) -> Self {
        let bills: Arc<Mutex<HashMap<String, Billed>>> = Arc::default();
        let book = bills.clone();
        let server = Server::answering(move |request, number| {
            let customer = request.path.split('/').nth(1).unwrap_or_default().to_owned();
            let mut dice = Dice(seed ^ (number as u64) << 20);
            // Who hung up before it had asked gets nothing, and no bill.
            let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return Reply::raw("") };
            let (reply, billed) = answer(&body, request.path.ends_with("/messages"), &mut dice);
            let mut bills = book.lock().unwrap();
            let bill = bills.entry(customer).or_default();
            bill.requests += 1;
            if let Some((tokens, micros)) = billed {
                bill.tokens += tokens;
                bill.micros += micros;
                bill.answered += 1;
            }
            reply
        });
        Self { server, bills }
    }

    fn bill(&self, customer: &str) -> Billed {
        self.bills.lock().unwrap().get(customer).copied().unwrap_or_default()
    }
}

/// What is answered, and for how many tokens and how much money it is billed.
fn answer(body: &Value, is_anthropic: bool, dice: &mut Dice) -> (Reply, Option<(u64, f64)>) {
    let texts = serde_json::to_string(&[&body["messages"], &body["system"]]).unwrap().len() as u64;
    // From about four bytes a token to nearly one, and a template around it.
    let prompt = texts / dice.between(1, 4) + dice.between(3, 400);
    let most = body["max_tokens"].as_u64().unwrap();
    let completion = if dice.one_in(4) { most } else { dice.between(1, most) };
    let (cached, written) = match dice.between(0, 3) {
        0 => (prompt, 0),
        1 if is_anthropic => (0, prompt),
        2 => (prompt / 3, if is_anthropic { prompt / 2 } else { 0 }),
        _ => (0, 0),
    };
    let micros = (prompt - cached - written) as f64 * INPUT
        + cached as f64 * CACHED
        + written as f64 * WRITTEN
        + completion as f64 * OUTPUT;
    let billed = Some((prompt + completion, micros));
    let usage = match is_anthropic {
        true => json!({
            "input_tokens": prompt - cached - written, "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written, "output_tokens": completion,
        }),
        false => json!({
            "prompt_tokens": prompt, "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }),
    };
    let text = "fn f() {} ".repeat(dice.between(1, 30) as usize);
    let whole = match is_anthropic {
        true => json!({
            "type": "message", "stop_reason": "end_turn", "content": [{"type": "text", "text": text}], "usage": usage,
        }),
        false => json!({
            "choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage,
        }),
    };
    let typed = |body: &Value| Reply::new(200, body.to_string()).header("content-type", "application/json");
    let reply = match dice.between(0, 19) {
        0 => return (Reply::new(429, "{}"), None),
        1 => return (Reply::new(503, "").header("retry-after", "0.001"), None),
        2 => return (Reply::new(529, "{}"), None),
        3 => return (Reply::new(400, r#"{"error": {"message": "not today"}}"#), None),
        // It broke down, and bills what it had done, or does not.
        4 => return (Reply::new(500, "{}"), if dice.one_in(2) { billed } else { None }),
        5 => Reply::new(504, "<html>"),
        6 => Reply::raw(""),
        7 => typed(&whole).cut_after(dice.between(1, 60) as usize),
        8 => Reply::new(200, "nonsense"),
        9 => Reply::new(200, ""),
        10 | 11 => {
            // It bills and does not tell.
            let mut silent = whole;
            silent.as_object_mut().unwrap().remove("usage");
            typed(&silent)
        }
        12 => {
            let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "too much"}});
            Reply::stream([format!("event: error\ndata: {error}\n\n")])
        }
        13 => Reply::stream(events(is_anthropic, &text, &usage)).cut(dice.between(1, 3) as usize),
        14 | 15 => Reply::stream(events(is_anthropic, &text, &usage)),
        _ => typed(&whole),
    };
    (reply, billed)
}

fn events(is_anthropic: bool, text: &str, usage: &Value) -> Vec<String> {
    let event = |value: Value| format!("data: {value}\n\n");
    match is_anthropic {
        true => vec![
            event(json!({"type": "message_start", "message": {"model": "m", "content": [], "usage": usage}})),
            event(json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}})),
            event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})),
            event(json!({"type": "message_stop"})),
        ],
        false => vec![
            event(json!({"choices": [{"delta": {"content": text}}]})),
            event(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})),
            event(json!({"choices": [], "usage": usage})),
            "data: [DONE]\n\n".to_owned(),
        ],
    }
}

// ---- customers with a budget ----

/// One process that builds: its own view of the ledger, its own purse.
struct Process {
    models: Vec<Arc<dyn Model>>,
    samples: usize,
    max_tokens: usize,
    caps: Caps,
    /// It is killed when so many samples have arrived.
    killed_after: Option<usize>,
}

/// What came of a process.
#[derive(Default)]
struct Outcome {
    arrived: usize,
    capped: usize,
}

/// As a build does it: draws from all models at once, stores what arrives, and tells the purse.
async fn run(folder: &Path, process: &Process) -> Outcome {
    let ledger = Arc::new(Ledger::open(folder).unwrap());
    let parameters = Parameters { temperature: None, top_p: 0.95, max_tokens: Some(process.max_tokens), seed: 1 };
    let identities: Vec<_> = process.models.iter().map(|model| model.identity()).collect();
    let prompt = prompt();
    let start = Start {
        spec: "double",
        run: "double-1",
        inputs: "i",
        checks: "c",
        wanted: process.samples,
        phase: Phase::Fresh,
        prompt: &prompt,
        parameters: &parameters,
        models: &identities,
        afresh: true,
    };
    let mut record = Record::begin(ledger.clone(), &start).unwrap();
    let purse = Arc::new(Purse::new(process.caps, prices(), Some((ledger, record.build())), |_| {}));
    purse.check(&identities).unwrap();
    let shared: Arc<dyn model::Purse> = purse.clone();
    let (sink, mut drawn) = mpsc::unbounded_channel();
    let step = process.models.len();
    let mut drawing = tokio::task::JoinSet::new();
    for (number, model) in process.models.iter().enumerate() {
        let (model, sink, shared) = (model.clone(), sink.clone(), shared.clone());
        let (prompt, parameters) = (prompt.clone(), parameters.clone());
        let count = (process.samples + step - 1 - number) / step;
        drawing.spawn(async move {
            let request = Request::new(&prompt, &parameters, number, count);
            let request = Request { step, purse: Some(&shared), ..request };
            if let Err(error) = model.draw(&request, sink.clone()).await {
                for index in request.indices() {
                    let _ = sink.send(Drawn::Failed { index, error: error.clone() });
                }
            }
        });
    }
    drop(sink);
    let mut outcome = Outcome::default();
    while let Some(event) = drawn.recv().await {
        match event {
            Drawn::Sample(mut completion) => {
                let model = completion.index % step;
                purse.price(identities[model], &mut completion);
                record.arrived(&[(model, &completion)]).unwrap();
                purse.settled(&completion);
                outcome.arrived += 1;
                if process.killed_after == Some(outcome.arrived) {
                    // Nothing more is written, and whatever is on its way stays on its way.
                    drawing.shutdown().await;
                    return outcome;
                }
            }
            Drawn::Failed { error: ModelError::Budget { .. }, .. } => outcome.capped += 1,
            Drawn::Failed { .. } | Drawn::Tokens(_) => {}
        }
    }
    outcome
}

fn models(server: &Server, customer: &str, dice: &mut Dice) -> Vec<Arc<dyn Model>> {
    let reached = |dice: &mut Dice| {
        let mut reached = Reached::new(format!("{}/{customer}/v1", server.url), None);
        reached.backoff = Duration::from_millis(1);
        reached.concurrency = dice.between(1, 8) as usize;
        reached
    };
    let openai = |dice: &mut Dice| Arc::new(OpenAi::new("paid", reached(dice)).unwrap()) as Arc<dyn Model>;
    let anthropic = |dice: &mut Dice| Arc::new(Anthropic::new("paid", reached(dice)).unwrap()) as Arc<dyn Model>;
    match dice.between(0, 2) {
        0 => vec![openai(dice)],
        1 => vec![anthropic(dice)],
        _ => vec![openai(dice), anthropic(dice)],
    }
}

/// How many runs one ledger sees; so many that sums over a day are of some size.
const RUNS_A_LEDGER: u64 = 50;

/// Runs of one ledger, one after the other; gives how many samples arrived, and how many runs ended at a cap.
async fn runs(seed: u64, count: u64) -> (usize, usize, u64) {
    let folder = tempfile::tempdir().unwrap();
    let billing = Billing::new(seed);
    let (mut arrived, mut capped, mut answered) = (0, 0, 0);
    for number in 0..count {
        let mut dice = Dice(seed.wrapping_mul(1000).wrapping_add(number));
        let customer = format!("run-{number}");
        let (mut all, mut processes) = (Vec::new(), Vec::new());
        let taken = Ledger::open(folder.path()).unwrap().taken_today().unwrap();
        // What a request can take is some 900 to 3000 tokens, 2700 to 40000 millionths.
        let (tokens, micros) = (dice.between(500, 30_000), dice.between(3_000, 400_000));
        let kind = dice.between(0, 4);
        let per_day = kind >= 3;
        for part in 0..dice.between(1, 2) {
            // Of two processes the caps of a build hold for each.
            let customer = if per_day { customer.clone() } else { format!("{customer}-{part}") };
            let caps = match kind {
                0 => Caps { tokens: Some(tokens), ..Caps::default() },
                1 => Caps { usd: Some(micros), ..Caps::default() },
                2 => Caps { tokens: Some(tokens), usd: Some(micros), ..Caps::default() },
                3 => Caps { day_tokens: Some(taken.tokens + tokens), ..Caps::default() },
                _ => Caps { day_usd: Some(taken.usd_micros + micros), ..Caps::default() },
            };
            let samples = dice.between(1, 14) as usize;
            let killed_after = if dice.one_in(5) { Some(dice.between(1, 3) as usize) } else { None };
            let max_tokens = dice.between(20, 2000) as usize;
            let models = models(&billing.server, &customer, &mut dice);
            processes.push(Process { models, samples, max_tokens, caps, killed_after });
            all.push((customer, caps));
        }
        let together = dice.one_in(2);
        let outcomes = match processes.as_slice() {
            [one, other] if together => {
                let (one, other) = tokio::join!(run(folder.path(), one), run(folder.path(), other));
                vec![one, other]
            }
            processes => {
                let mut outcomes = Vec::new();
                for process in processes {
                    outcomes.push(run(folder.path(), process).await);
                }
                outcomes
            }
        };
        for (customer, caps) in all {
            let bill = billing.bill(&customer);
            answered += bill.answered;
            let what = format!("seed {seed}, run {number}: {bill:?}, {caps:?}");
            assert!(caps.tokens.is_none_or(|cap| bill.tokens <= cap), "{what}");
            assert!(caps.usd.is_none_or(|cap| bill.micros <= cap as f64), "{what}");
            assert!(caps.day_tokens.is_none_or(|_| bill.tokens <= tokens), "{what}");
            assert!(caps.day_usd.is_none_or(|_| bill.micros <= micros as f64), "{what}");
        }
        arrived += outcomes.iter().map(|outcome| outcome.arrived).sum::<usize>();
        capped += usize::from(outcomes.iter().any(|outcome| outcome.capped > 0));
    }
    (arrived, capped, answered)
}

#[test]
fn a_budget_is_never_exceeded_in_a_thousand_random_runs_by_the_servers_own_count() {
    let started = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let results = runtime.block_on(async {
        let mut ledgers = tokio::task::JoinSet::new();
        for seed in 0..1000 / RUNS_A_LEDGER {
            ledgers.spawn(runs(seed, RUNS_A_LEDGER));
        }
        ledgers.join_all().await
    });
    let sum = |part: fn(&(usize, usize, u64)) -> usize| results.iter().map(part).sum::<usize>();
    let (arrived, capped, answered) = (sum(|one| one.0), sum(|one| one.1), sum(|one| one.2 as usize));
    println!(
        "1000 runs in {:.1} s: {answered} requests billed, {arrived} samples arrived, {capped} runs ended at a cap",
        started.elapsed().as_secs_f64()
    );
    // A budget that let nothing through would hold as well.
    assert!(arrived > 1000 && capped > 300, "{arrived} samples, {capped} capped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn putting_aside_holds_up_nobody() {
    let server = Server::script(vec![Reply::chat("fn f() {}").after(Duration::from_secs(2))]);
    let folder = tempfile::tempdir().unwrap();
    let mut reached = Reached::new(format!("{}/v1", server.url), None);
    reached.concurrency = 64;
    let models: Vec<Arc<dyn Model>> = vec![Arc::new(OpenAi::new("paid", reached).unwrap())];
    let caps = Caps { tokens: Some(1_000_000), day_usd: Some(100_000_000), ..Caps::default() };
    let process = Process { models, samples: 64, max_tokens: 100, caps, killed_after: None };
    let started = std::time::Instant::now();
    let outcome = run(folder.path(), &process).await;
    println!("64 samples at 2 s each, put aside and stored, in {:.2} s", started.elapsed().as_secs_f64());
    // The server saw all of them before it answered the first.
    assert_eq!((outcome.arrived, outcome.capped, server.most_at_once()), (64, 0, 64));
    // All that was put aside is settled.
    let taken = Ledger::open(folder.path()).unwrap().taken_today().unwrap();
    assert_eq!((taken.tokens, taken.unpriced), (64 * 18, 0));
}

// ---- builds ----

const SPEC: &str = r#"llmc: 1
name: double
description: Twice a number.
signature: "pub fn double(n: i32) -> i32"
examples:
  - call: double(2)
    returns: 4
sampling: { samples: 8, max_tokens: 100 }
"#;

const WRONG: &str = "```rust\npub fn double(n: i32) -> i32 { n * n + 1 }\n```";

/// A workspace on a server, which is asked by one request at a time.
fn env(url: &str, more: &str) -> TestEnv {
    let env = TestEnv::with_server(url);
    env.write("specs/double.yaml", SPEC);
    let settings = env.read("llmc.yaml").replace("base_url", "concurrency: 1, base_url");
    env.write("llmc.yaml", &format!("{settings}{more}"));
    env
}

/// A completion of which nobody says what it took: all that was put aside counts.
fn untold() -> Reply {
    let body = json!({"choices": [{"message": {"content": WRONG}, "finish_reason": "stop"}]});
    Reply::new(200, body.to_string()).header("content-type", "application/json")
}

#[test]
fn a_request_that_does_not_fit_is_not_sent_and_the_message_says_what_it_could_have_taken() {
    let server = Server::script(vec![Reply::chat(WRONG)]);
    let env = env(&server.url, "budget: { tokens: 600 }\n");
    let run = env.llmc(&["build"]).expect(4);
    assert!(
        run.stderr.contains("`double`: budget.tokens is 600: 0 is spent, and the next request could take "),
        "{run}"
    );
    assert!(run.stderr.contains("tokens of prompt, 100 generated); none of 0 candidates passed"), "{run}");
    assert!(run.stderr.contains("hint: raise it in the spec or in llmc.yaml, or lower `sampling.max_tokens`"), "{run}");
    assert!(server.received().is_empty());
}

#[test]
fn a_cap_holds_for_a_build_or_for_all_builds_of_a_day() {
    let server = Server::script(vec![untold()]);
    // What one request can take: more than 512 and 100, and less than 4000.
    let one = env(&server.url, "budget: { tokens: 8000 }\n");
    let run = one.llmc(&["build", "--message-format", "json"]).expect(4);
    let drawn = run.finished()["sampled"].as_u64().unwrap();
    assert!((2..8).contains(&drawn), "{run}");
    assert_eq!(server.received().len() as u64, drawn);
    // The next build has a budget of its own, and goes on from what is there.
    let run = one.llmc(&["build", "--message-format", "json"]);
    assert_eq!(run.finished()["replayed"], drawn, "{run}");
    let both = server.received().len() as u64;
    assert!(both > drawn, "{run}");

    let day = env(&server.url, "budget: { tokens_per_day: 8000 }\n");
    let first = day.llmc(&["build", "--message-format", "json"]).expect(4).finished()["sampled"].as_u64().unwrap();
    assert_eq!(first, drawn);
    let run = day.llmc(&["build"]).expect(4);
    assert!(run.stderr.contains("budget.tokens_per_day is 8000: "), "{run}");
    assert_eq!(server.received().len() as u64, both + first, "the day was spent");
    let stats = day.llmc(&["ledger", "stats", "--by", "build"]).expect(0).stdout;
    assert_eq!(stats.lines().count(), 2, "{stats}");
}

#[test]
fn what_was_put_aside_for_a_repair_is_there_for_the_next() {
    let server = Server::answering(|_, number| Reply::chat(&WRONG.replace("+ 1", &format!("+ {}", number + 1))));
    // Room for one repair's request beside what was taken, and not for all of them at once.
    let env = env(&server.url, "budget: { tokens: 6000, seconds: 300 }\n");
    let spec = SPEC.replace("samples: 8, max_tokens: 100", "samples: 4, repairs: 4, max_tokens: 100");
    env.write("specs/double.yaml", &spec);
    let run = env.llmc(&["build"]).expect(3);
    assert!(run.stderr.contains("(4 of 4)"), "{run}");
    assert_eq!(server.received().len(), 8);
}

#[test]
fn a_cap_on_money_needs_a_price_and_is_kept_by_it() {
    let unpriced = env("http://192.0.2.1:9", "budget: { usd: 0.01 }\n");
    let run = unpriced.llmc(&["build"]).expect(1);
    assert!(run.stderr.contains("budget.usd is set, and what openai/test costs is not known"), "{run}");
    assert!(run.stderr.contains("`prices: { openai/test: { input: 1.25, output: 10 } }`"), "{run}");

    let server = Server::script(vec![untold()]);
    let priced = "budget: { usd: 0.01 }\nprices: { openai/test: { input: 1, output: 5 } }\n";
    let priced = env(&server.url, priced);
    let run = priced.llmc(&["build"]).expect(4);
    assert!(run.stderr.contains("budget.usd is $0.0100: $0.00"), "{run}");
    let asked = server.received().len();
    assert!((2..8).contains(&asked), "{asked} requests");
    let stats = priced.llmc(&["ledger", "stats", "--message-format", "json"]).expect(0).events();
    let usd = stats[0]["usd"].as_f64().unwrap();
    assert!(usd > 0.002 && usd <= 0.01, "{stats:?}");
}

#[test]
fn what_a_killed_build_had_on_its_way_counts_for_its_day() {
    let server = Server::script(vec![untold().hang(0)]);
    let env = env(&server.url, "");
    let estimated = env.llmc(&["build", "--estimate", "-n", "1", "--message-format", "json"]).expect(0).events();
    let cap = estimated[0]["most"]["tokens"].as_u64().unwrap() * 3 / 2;
    env.write("llmc.yaml", &format!("{}budget: {{ tokens_per_day: {cap} }}\n", env.read("llmc.yaml")));
    let mut child = env.command(&["build"]).spawn().unwrap();
    while server.received().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = env.llmc(&["build"]).expect(4);
    assert!(run.stderr.contains(&format!("budget.tokens_per_day is {cap}: ")), "{run}");
    assert!(!run.stderr.contains(": 0 is spent"), "{run}");
    assert_eq!(server.received().len(), 1);
}

#[test]
fn an_estimate_says_the_most_and_the_likely_and_sends_nothing() {
    let server = Server::script(vec![Reply::chat(WRONG)]);
    let env = env(&server.url, "prices: { openai/test: { input: 1, output: 5 } }\nbudget: { usd_per_day: 5 }\n");
    let estimate = |more: &[&str]| {
        let arguments = [&["build", "--estimate", "--message-format", "json"], more].concat();
        let events = env.llmc(&arguments).expect(0).events();
        assert_eq!((events.len(), &events[1]["event"]), (2, &"estimated".into()));
        events
    };
    let first = estimate(&[]);
    assert_eq!((&first[0]["samples"], &first[0]["stored"], &first[0]["likely"]), (&8.into(), &0.into(), &Value::Null));
    let most = first[0]["most"]["tokens"].as_u64().unwrap();
    assert!(server.received().is_empty());

    env.llmc(&["build", "-n", "4"]).expect(3);
    let second = estimate(&[]);
    assert_eq!((&second[0]["samples"], &second[0]["stored"]), (&8.into(), &4.into()));
    assert_eq!(second[0]["most"]["tokens"], most / 2);
    // 11 tokens of prompt and 7 generated, four times.
    assert_eq!((&second[0]["likely"]["tokens"], &second[0]["likely"]["of"]), (&72.into(), &"spec".into()));
    assert_eq!(second[0]["likely"]["usd"], (11 + 7 * 5) as f64 * 4.0 / 1e6);
    assert_eq!(second[1]["today"]["tokens"], 72);
    assert_eq!(estimate(&["--no-cache"])[0]["stored"], 0);
    let told = env.llmc(&["build", "--estimate"]).expect(0);
    assert!(told.stdout.starts_with("spec    model        samples  in the ledger  at most"), "{told}");
    assert!(told.stderr.contains("budget.usd_per_day is $5.0000; so far today: 72 tokens, 0.0002 usd"), "{told}");
    assert_eq!(server.received().len(), 4);
}
