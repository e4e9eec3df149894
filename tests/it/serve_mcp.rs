//! MCP over pipes, as a client by hand: what is answered, and what a client can't do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmc::harness::{About, BoxFuture, CallError, Class, Component, Context, Double, Harness, Memory, Outcome, Side};
use llmc::interrupt::Interrupt;
use llmc::schema::Schema;
use llmc::serve::{Ended, Limits, Served, stdio};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// A component whose answers come when the test says so.
pub(crate) struct Gate {
    about: About,
    begun: mpsc::UnboundedSender<&'static str>,
    open: watch::Receiver<bool>,
}

/// The other side of a [`Gate`].
pub(crate) struct Keeper {
    /// Hears `begun`, and `ended` however it did.
    pub(crate) heard: mpsc::UnboundedReceiver<&'static str>,
    pub(crate) open: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn new() -> (Self, Keeper) {
        let (begun, heard) = mpsc::unbounded_channel();
        let (sender, open) = watch::channel(false);
        (Self { about: About::on(Side::Code), begun, open }, Keeper { heard, open: sender })
    }
}

struct Told(mpsc::UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

impl Component for Gate {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, _: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            let told = Told(self.begun.clone());
            self.begun.send("begun").unwrap();
            self.open.clone().wait_for(|open| *open).await.unwrap();
            drop(told);
            Ok(input.into())
        })
    }
}

/// A double that takes and gives what it says.
pub(crate) struct Typed(pub(crate) About, pub(crate) Value);

impl Typed {
    pub(crate) fn new(input: Value, output: Value, answer: Value) -> Self {
        let schema = |value| Schema::read(&value).unwrap();
        Self(About { input: schema(input), output: schema(output), ..About::on(Side::Double) }, answer)
    }
}

impl Component for Typed {
    fn about(&self) -> &About {
        &self.0
    }

    fn call<'a>(&'a self, _: &'a Context, _: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move { Ok(self.1.clone().into()) })
    }
}

fn object() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false})
}

/// A client of a server in this process.
struct Client {
    lines: Lines<BufReader<DuplexStream>>,
    to: Option<DuplexStream>,
    serving: JoinHandle<std::io::Result<Ended>>,
    stop: watch::Sender<bool>,
}

impl Client {
    fn of(harness: Harness, limits: Limits) -> Self {
        Self::with_pipe(harness, limits, 1 << 20)
    }

    fn with_pipe(harness: Harness, limits: Limits, size: usize) -> Self {
        let ((to, input), (from, output)) = (tokio::io::duplex(size), tokio::io::duplex(size));
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let served = Served::new(harness, &[], limits).unwrap();
            stdio(&served, input, output, &Interrupt::when(stopping)).await
        });
        Self { lines: BufReader::new(from).lines(), to: Some(to), serving, stop }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.to.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    async fn send(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes()).await;
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().expect("there is another line")).unwrap()
    }

    async fn ask(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.send(&request(id, method, params)).await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// With the handshake behind it.
    async fn greeted(harness: Harness, limits: Limits, version: &str) -> Self {
        let mut client = Self::of(harness, limits);
        client.greet(version).await;
        client
    }

    async fn greet(&mut self, version: &str) -> Value {
        let answer = self.ask(0, "initialize", json!({"protocolVersion": version, "capabilities": {}})).await;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        answer
    }

    /// Sends no more; what is still said, and how it ended.
    async fn end(mut self) -> (Vec<Value>, Ended) {
        self.to.take().unwrap().shutdown().await.unwrap();
        let mut said = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            said.push(serde_json::from_str(&line).unwrap());
        }
        (said, self.serving.await.unwrap().unwrap())
    }
}

fn request(id: i64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn call(id: i64, name: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({"name": name, "arguments": arguments}))
}

/// What a request of 2026-07-28 says of itself.
fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn echo() -> Harness {
    Harness::builder().function("echo", |input: Value| input).build().unwrap()
}

fn gated() -> (Harness, Keeper) {
    let (gate, keeper) = Gate::new();
    (Harness::builder().component("gate", gate).function("echo", |input: Value| input).build().unwrap(), keeper)
}

#[tokio::test]
async fn the_version_is_the_clients_where_it_is_known() {
    for (asked, wanted) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        // Nothing is settled by a handshake since then.
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut client = Client::of(echo(), Limits::default());
        let answer = client.greet(asked).await;
        assert_eq!(answer["result"]["protocolVersion"], wanted, "{asked}");
        assert_eq!(answer["result"]["capabilities"], json!({"tools": {"listChanged": false}}));
        assert_eq!(answer["result"]["serverInfo"]["name"], "llmc");
        assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
        assert_eq!(client.ask(2, "resources/list", json!({})).await["error"]["code"], -32601);
        assert_eq!(client.end().await, (Vec::new(), Ended::Done));
    }
}

#[tokio::test]
async fn a_request_that_names_its_version_needs_no_handshake() {
    let mut client = Client::of(echo(), Limits::default());
    let found = client.ask(1, "server/discover", json!({"_meta": meta()})).await;
    assert_eq!(found["result"]["resultType"], "complete");
    assert_eq!(found["result"]["supportedVersions"][0], "2026-07-28");
    assert!(found["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["version"].is_string(), "{found}");
    let listed = client.ask(2, "tools/list", json!({"_meta": meta()})).await;
    assert_eq!(listed["result"]["tools"][0]["name"], "echo");
    assert_eq!((&listed["result"]["ttlMs"], &listed["result"]["cacheScope"]), (&json!(0), &json!("private")));
    let params = json!({"name": "echo", "arguments": {"input": [1, null]}, "_meta": meta()});
    let called = client.ask(3, "tools/call", params).await;
    assert_eq!(called["result"]["structuredContent"], json!([1, null]));
    assert_eq!(called["result"]["resultType"], "complete");
    assert_eq!(called["result"]["_meta"]["llmc/side"], "code");
    assert_eq!(client.ask(4, "ping", json!({"_meta": meta()})).await["error"]["code"], -32601, "it is no more");

    let mut other = meta();
    other["io.modelcontextprotocol/protocolVersion"] = "2031-01-01".into();
    let refused = client.ask(5, "tools/list", json!({"_meta": other})).await;
    assert_eq!(refused["error"]["code"], -32022);
    assert_eq!(refused["error"]["data"]["requested"], "2031-01-01");
    assert_eq!(refused["error"]["data"]["supported"].as_array().unwrap().len(), 5);
    let unsaid = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    assert_eq!(client.ask(6, "tools/list", json!({"_meta": unsaid})).await["error"]["code"], -32602);
    assert_eq!(client.ask(7, "tools/list", json!({})).await["error"]["code"], -32602, "no version at all");
    // Both kinds of client can speak to one process.
    client.greet("2025-06-18").await;
    assert!(client.ask(8, "tools/list", json!({})).await["result"]["resultType"].is_null());
}

#[tokio::test]
async fn a_tool_takes_an_object_whatever_its_component_takes() {
    let text = json!({"type": "string"});
    let harness = Harness::builder()
        .component("any", Double::always("yes"))
        .component("object", Typed::new(object(), object(), json!({"a": 1})))
        .component("text", Typed::new(text.clone(), json!({"type": "array", "items": text}), json!(["x"])))
        .build()
        .unwrap();
    for (version, structured) in [("2025-03-26", false), ("2025-06-18", true)] {
        let mut client = Client::greeted(harness.clone(), Limits::default(), version).await;
        let listed = client.ask(1, "tools/list", json!({})).await;
        let tools = &listed["result"]["tools"];
        assert_eq!(tools[1]["inputSchema"], object());
        assert_eq!(tools[1]["outputSchema"], if structured { object() } else { Value::Null }, "{version}");
        assert_eq!(tools[2]["inputSchema"]["properties"], json!({"input": {"type": "string"}}));
        assert_eq!(tools[2]["inputSchema"]["required"], json!(["input"]));
        assert!(tools[2]["outputSchema"].is_null(), "it is no object");
        assert_eq!(tools[0]["inputSchema"]["properties"], json!({"input": {}}));

        let given = [("any", json!({"input": null})), ("object", json!({"a": 5})), ("text", json!({"input": "t"}))];
        let mut answers = Vec::new();
        for (name, arguments) in given {
            answers.push(client.ask(2, "tools/call", json!({"name": name, "arguments": arguments})).await);
        }
        let text = |at: usize| answers[at]["result"]["content"][0]["text"].as_str().unwrap();
        assert_eq!([text(0), text(1), text(2)], ["yes", "{\"a\":1}", "[\"x\"]"]);
        let wanted = if structured { json!({"a": 1}) } else { Value::Null };
        assert_eq!(answers[1]["result"]["structuredContent"], wanted, "{version}");
        for (name, arguments) in
            [("text", json!({})), ("text", json!({"input": "t", "more": 1})), ("text", json!(null))]
        {
            let answer = client.ask(3, "tools/call", json!({"name": name, "arguments": arguments})).await;
            assert_eq!(answer["result"]["isError"], true, "{answer}");
            assert_eq!(answer["result"]["_meta"]["llmc/error"]["class"], "input");
        }
    }
}

#[tokio::test]
async fn an_error_of_a_component_is_told_and_a_wrong_request_refused() {
    let harness = Harness::builder()
        .component("down", Double::failing(Class::Provider, "the server is down"))
        .component("object", Typed::new(object(), json!({}), json!(1)))
        .build()
        .unwrap();
    let mut client = Client::greeted(harness, Limits::default(), "2025-11-25").await;
    let down = client.ask(1, "tools/call", json!({"name": "down", "arguments": {"input": 1}})).await;
    assert_eq!(down["result"]["isError"], true);
    assert_eq!(down["result"]["content"][0]["text"], "provider: `down` (double): the server is down");
    assert_eq!(down["result"]["_meta"]["llmc/error"]["class"], "provider");
    let misfit = client.ask(2, "tools/call", json!({"name": "object", "arguments": {"a": "x"}})).await;
    assert_eq!(misfit["result"]["_meta"]["llmc/error"]["class"], "input");
    for (params, why) in [
        (json!({"name": "nobody"}), "Unknown tool: nobody"),
        (json!({"name": 7}), "`name` is not a string"),
        (json!({}), "`name` is not a string"),
        (json!({"name": "down", "arguments": [1]}), "`arguments` is not an object"),
    ] {
        let refused = client.ask(3, "tools/call", params).await;
        assert_eq!((&refused["error"]["code"], &refused["error"]["message"]), (&json!(-32602), &json!(why)));
    }
    assert_eq!(client.ask(4, "tools/list", json!({"cursor": "x"})).await["error"]["code"], -32602);
    assert_eq!(client.ask(5, "initialize", json!({})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_broken_line_is_answered_and_the_next_one_read() {
    let limits = Limits { message: 200, ..Limits::default() };
    let mut client = Client::greeted(echo(), limits, "2025-11-25").await;
    let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(200));
    let deep = "[".repeat(150);
    for (line, code, id) in [
        ("{\"jsonrpc\":", -32700, Value::Null),
        ("\u{0}", -32700, Value::Null),
        (deep.as_str(), -32700, Value::Null),
        (long.as_str(), -32600, Value::Null),
        ("7", -32600, Value::Null),
        ("[]", -32600, Value::Null),
        ("{}", -32600, Value::Null),
        ("{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"ping\"}", -32600, json!(3)),
        ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", -32600, Value::Null),
        ("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", -32600, Value::Null),
        ("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", -32600, Value::Null),
        ("{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":5}", -32600, json!(4)),
        ("{\"jsonrpc\":\"2.0\",\"id\":\"five\",\"method\":\"ping\",\"params\":[1]}", -32602, json!("five")),
    ] {
        client.write(format!("{line}\n").as_bytes()).await;
        let answer = client.hear().await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{line}: {answer}");
    }
    client.write(b"{\"id\":\"\xff\"}\n").await;
    assert_eq!(client.hear().await["error"]["code"], -32700, "not UTF-8");
    // What wants no answer has none, whatever it is.
    for line in [
        "",
        "  \r",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/strange\",\"params\":[1]}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":99}}",
        "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"m\"}}",
    ] {
        client.write(format!("{line}\n").as_bytes()).await;
    }
    assert_eq!(client.ask(6, "ping", json!({})).await["result"], json!({}));
    // The last line needs no end; one that is too long is told of all the same.
    client.write(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}").await;
    let (said, ended) = client.end().await;
    assert_eq!((said[0]["id"].as_i64(), said.len(), ended), (Some(7), 1, Ended::Done));
}

#[tokio::test]
async fn a_call_that_waits_holds_up_nothing_else() {
    let (harness, mut keeper) = gated();
    let mut client = Client::greeted(harness, Limits::default(), "2025-11-25").await;
    client.send(&call(1, "gate", json!({"input": "slow"}))).await;
    assert_eq!(keeper.heard.recv().await, Some("begun"));
    for id in 2..50 {
        let answer = client.ask(id, "tools/call", json!({"name": "echo", "arguments": {"input": id}})).await;
        assert_eq!(answer["result"]["content"][0]["text"], id.to_string());
    }
    keeper.open.send_replace(true);
    let answer = client.hear().await;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(1), &json!("slow")));
}

#[tokio::test]
async fn what_is_cancelled_ends_is_recorded_and_is_not_answered() {
    let (gate, mut keeper) = Gate::new();
    let memory = Arc::new(Memory::default());
    let harness = Harness::builder().component("gate", gate).recorder(memory.clone()).build().unwrap();
    let mut client = Client::greeted(harness, Limits::default(), "2025-11-25").await;
    client.send(&call(1, "gate", json!({"input": 1}))).await;
    assert_eq!(keeper.heard.recv().await, Some("begun"));
    let cancel =
        |id: Value| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    // Another request's id is not this one's.
    client.send(&cancel(json!("1"))).await;
    client.send(&cancel(json!(2))).await;
    client.send(&cancel(json!(1))).await;
    assert_eq!(keeper.heard.recv().await, Some("ended"));
    // The id is free again.
    assert_eq!(client.ask(1, "ping", json!({})).await["result"], json!({}));
    assert_eq!(client.end().await, (Vec::new(), Ended::Done));
    let crossings = memory.crossings();
    assert_eq!(crossings.len(), 1);
    assert_eq!(crossings[0].error.as_ref().unwrap().class, Class::Cancelled);
}

#[tokio::test]
async fn the_end_of_input_waits_for_what_is_under_way() {
    let (harness, mut keeper) = gated();
    let mut client = Client::greeted(harness, Limits::default(), "2025-11-25").await;
    client.send(&call(1, "gate", json!({"input": "late"}))).await;
    client.send(&call(2, "gate", json!({"input": "later"}))).await;
    assert_eq!(keeper.heard.recv().await, Some("begun"));
    let ending = tokio::spawn(client.end());
    keeper.open.send_replace(true);
    let (mut said, ended) = ending.await.unwrap();
    said.sort_by_key(|answer| answer["id"].as_i64());
    let texts: Vec<&Value> = said.iter().map(|answer| &answer["result"]["content"][0]["text"]).collect();
    assert_eq!((texts, ended), (vec![&json!("late"), &json!("later")], Ended::Done));
}

#[tokio::test]
async fn a_client_that_went_away_and_a_server_that_is_stopped_cancel_what_is_under_way() {
    for is_stopped in [false, true] {
        let (harness, mut keeper) = gated();
        let mut client = Client::greeted(harness, Limits::default(), "2025-11-25").await;
        client.send(&call(1, "gate", json!({"input": 1}))).await;
        assert_eq!(keeper.heard.recv().await, Some("begun"));
        let Client { lines, to, serving, stop } = client;
        if is_stopped {
            stop.send_replace(true);
            assert_eq!(serving.await.unwrap().unwrap(), Ended::Stopped);
        } else {
            // It reads no more, and has asked something: the answer can't be written.
            drop(lines);
            let mut to = to.unwrap();
            to.write_all(format!("{}\n", request(2, "ping", json!({}))).as_bytes()).await.unwrap();
            assert_eq!(serving.await.unwrap().unwrap(), Ended::Gone);
        }
        assert_eq!(keeper.heard.recv().await, Some("ended"));
    }
}

#[tokio::test]
async fn an_id_is_used_once_at_a_time_and_only_so_many_are_under_way() {
    let (harness, mut keeper) = gated();
    let limits = Limits { waiting: 2, ..Limits::default() };
    let mut client = Client::greeted(harness, limits, "2025-11-25").await;
    for id in [1, 2] {
        client.send(&call(id, "gate", json!({"input": id}))).await;
        assert_eq!(keeper.heard.recv().await, Some("begun"));
    }
    client.send(&call(2, "gate", json!({"input": 0}))).await;
    let twice = client.hear().await;
    assert_eq!((&twice["id"], &twice["error"]["code"]), (&Value::Null, &json!(-32600)), "it is not the first's answer");
    client.send(&call(3, "gate", json!({"input": 0}))).await;
    let full = client.hear().await;
    assert_eq!((&full["id"], &full["error"]["code"]), (&json!(3), &json!(-32603)));
    keeper.open.send_replace(true);
    let mut ids = [client.hear().await["id"].as_i64(), client.hear().await["id"].as_i64()];
    ids.sort_unstable();
    assert_eq!(ids, [Some(1), Some(2)]);
    assert!(
        client.ask(3, "tools/call", json!({"name": "gate", "arguments": {"input": 0}})).await["result"].is_object()
    );
}

#[tokio::test]
async fn more_calls_than_are_allowed_at_once_wait() {
    let running = Arc::new(AtomicUsize::new(0));
    let (most, counted) = (Arc::new(AtomicUsize::new(0)), running.clone());
    let seen = most.clone();
    let harness = Harness::builder()
        .async_function("count", move |_, input: u32| {
            let (counted, seen) = (counted.clone(), seen.clone());
            async move {
                seen.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                counted.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, CallError>(input)
            }
        })
        .build()
        .unwrap();
    let limits = Limits { calls: 3, ..Limits::default() };
    let mut client = Client::greeted(harness, limits, "2025-11-25").await;
    for id in 1..=100 {
        client.send(&call(id, "count", json!({"input": id}))).await;
    }
    let mut ids: Vec<i64> = Vec::new();
    for _ in 0..100 {
        ids.push(client.hear().await["id"].as_i64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=100).collect::<Vec<i64>>());
    assert_eq!((most.load(Ordering::SeqCst), running.load(Ordering::SeqCst)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_ended() {
    let (harness, mut keeper) = gated();
    let limits = Limits { call: Duration::from_secs(600), ..Limits::default() };
    let mut client = Client::greeted(harness, limits, "2025-11-25").await;
    let answer = client.ask(1, "tools/call", json!({"name": "gate", "arguments": {"input": 1}})).await;
    assert_eq!(answer["result"]["_meta"]["llmc/error"]["class"], "timed-out", "{answer}");
    assert_eq!((keeper.heard.recv().await, keeper.heard.recv().await), (Some("begun"), Some("ended")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_not_read_from_for_ever() {
    let mut client = Client::with_pipe(echo(), Limits::default(), 4096);
    let mut to = client.to.take().unwrap();
    let ping = format!("{}\n", request(1, "ping", json!({})));
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let flood = tokio::spawn(async move {
        while to.write_all(ping.as_bytes()).await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    // The clock goes on only once everybody waits.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let stuck = sent.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(sent.load(Ordering::SeqCst), stuck, "nothing moves");
    assert!(stuck < 1000, "{stuck} were taken");
    client.stop.send_replace(true);
    assert_eq!(client.serving.await.unwrap().unwrap(), Ended::Stopped);
    flood.abort();
}

#[tokio::test]
async fn old_versions_have_batches_and_new_ones_have_not() {
    let limits = Limits { batch: 4, ..Limits::default() };
    let mut client = Client::greeted(echo(), limits.clone(), "2025-03-26").await;
    let batch = json!([
        call(1, "echo", json!({"input": "one"})),
        {"jsonrpc": "2.0", "method": "notifications/strange"},
        {"jsonrpc": "2.0", "id": 2, "method": 7},
        request(3, "initialize", json!({"protocolVersion": "2025-06-18"})),
    ]);
    client.send(&batch).await;
    let mut answers = client.hear().await.as_array().unwrap().clone();
    answers.sort_by_key(|answer| answer["id"].as_i64());
    let codes: Vec<(&Value, &Value)> = answers.iter().map(|answer| (&answer["id"], &answer["error"]["code"])).collect();
    assert_eq!(codes, [(&json!(1), &Value::Null), (&json!(2), &json!(-32600)), (&json!(3), &json!(-32600))]);
    assert_eq!(answers[0]["result"]["content"][0]["text"], "one");
    for wrong in [json!([]), json!([1, 2, 3, 4, 5])] {
        client.send(&wrong).await;
        assert_eq!(client.hear().await["error"]["code"], -32600, "{wrong}");
    }
    client.send(&json!([{"jsonrpc": "2.0", "method": "notifications/strange"}])).await;
    assert_eq!(client.end().await, (Vec::new(), Ended::Done), "no answer to a batch that wants none");

    let mut client = Client::greeted(echo(), limits, "2025-06-18").await;
    client.send(&json!([request(1, "ping", json!({}))])).await;
    let refused = client.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(-32600)));
}

#[tokio::test]
async fn a_cancelled_part_of_a_batch_is_left_out() {
    let (harness, mut keeper) = gated();
    let mut client = Client::greeted(harness, Limits::default(), "2025-03-26").await;
    client.send(&json!([call(1, "gate", json!({"input": 1})), call(2, "echo", json!({"input": 2}))])).await;
    assert_eq!(keeper.heard.recv().await, Some("begun"));
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    let answers = client.hear().await;
    assert_eq!((answers.as_array().unwrap().len(), &answers[0]["id"]), (1, &json!(2)));
}

#[tokio::test]
async fn only_what_is_named_can_be_called_from_outside() {
    let harness = Harness::builder()
        .async_function("outer", |ctx, input: Value| async move { ctx.call_value("inner", input).await })
        .function("inner", |input: Value| input)
        .build()
        .unwrap();
    let wrong = Served::new(harness.clone(), &["outre".to_owned()], Limits::default()).err().unwrap();
    assert_eq!(wrong.to_string(), "no component is called `outre`; there are inner, outer");
    let served = Served::new(harness, &["outer".to_owned()], Limits::default()).unwrap();
    assert_eq!(served.names(), ["outer"]);
    let input = format!(
        "{}\n{}\n{}\n",
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta()}}),
        request(2, "tools/call", json!({"name": "outer", "arguments": {"input": "in"}, "_meta": meta()})),
        request(3, "tools/call", json!({"name": "inner", "arguments": {"input": "in"}, "_meta": meta()})),
    );
    let (to, from) = tokio::io::duplex(1 << 16);
    assert_eq!(stdio(&served, input.as_bytes(), to, &Interrupt::never()).await.unwrap(), Ended::Done);
    let mut lines = BufReader::new(from).lines();
    let mut said = std::collections::BTreeMap::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let answer: Value = serde_json::from_str(&line).unwrap();
        said.insert(answer["id"].as_i64().unwrap(), answer);
    }
    assert_eq!(said[&1]["result"]["tools"].as_array().unwrap().len(), 1);
    assert_eq!(said[&2]["result"]["structuredContent"], "in", "what is served may call the rest");
    assert_eq!(said[&3]["error"]["code"], -32602);
}
