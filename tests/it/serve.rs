//! Components over HTTP, called through sockets by hand: what is answered, and what nobody gets away with.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use llmc::harness::{CallError, Class, Decision, Double, Harness, Memory, Rule};
use llmc::interrupt::Interrupt;
use llmc::serve::{Access, Limits, Served, Token, http};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::serve_mcp::{Gate, Keeper, Typed};

const TOKEN: &str = "0123456789abcdef";
/// Far longer than anything here takes: a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server on a runtime of its own.
struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn of(harness: Harness, limits: Limits) -> Self {
        Self::with(harness, limits, |access| access)
    }

    fn with(harness: Harness, limits: Limits, access: impl FnOnce(Access) -> Access) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let access = access(Access::new(address, Some(Token::new(TOKEN).unwrap())));
        let (stop, stopping) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let served = Served::new(harness, &[], limits).unwrap();
                let listener = TcpListener::from_std(listener).unwrap();
                http(&served, listener, access, &Interrupt::when(stopping)).await.unwrap();
            });
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends these bytes, and reads until the server closes.
    fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        Reply::rest(stream)
    }

    fn get(&self, path: &str) -> Reply {
        self.raw(head("GET", path, "").as_bytes())
    }

    fn post(&self, path: &str, body: &str) -> Reply {
        self.raw(posted(path, "", body).as_bytes())
    }

    fn mcp(&self, headers: &str, body: &Value) -> Reply {
        self.raw(posted("/mcp", headers, &body.to_string()).as_bytes())
    }

    /// Stops it, and waits until it has stopped.
    fn stopped(mut self) {
        self.stop.send_replace(true);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// The head of a request that knows the token, and after which the connection is closed.
fn head(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n{headers}\r\n"
    )
}

fn posted(path: &str, headers: &str, body: &str) -> String {
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n{headers}", body.len());
    head("POST", path, &headers) + body
}

#[derive(Debug)]
struct Reply {
    /// 0: none came.
    status: u16,
    head: String,
    body: String,
    /// Whether the server closed the connection.
    is_closed: bool,
}

impl Reply {
    fn rest(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes).map_err(|error| error.kind());
        // A server that closes with something unread resets the connection.
        let is_closed = matches!(ended, Ok(_) | Err(ErrorKind::ConnectionReset));
        Self { is_closed, ..Self::read(&bytes) }
    }

    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned(), is_closed: false }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn fails(&self, status: u16, class: &str) -> String {
        let told = self.json();
        assert_eq!((self.status, told["error"]["class"].as_str()), (status, Some(class)), "{self:?}");
        told["error"]["message"].as_str().unwrap().to_owned()
    }
}

fn echo() -> Harness {
    Harness::builder().function("echo", |input: Value| input).build().unwrap()
}

fn gated() -> (Harness, Keeper) {
    let (gate, keeper) = Gate::new();
    (Harness::builder().component("gate", gate).build().unwrap(), keeper)
}

/// What a keep-alive connection says to one request.
fn exchange(stream: &mut TcpStream, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).unwrap();
        assert_ne!(read, 0, "it was closed: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..read]);
        let reply = Reply::read(&bytes);
        let length = reply.head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if length.is_some_and(|length| reply.body.len() >= length) {
            return reply;
        }
    }
}

fn kept(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
}

#[test]
fn components_are_listed_described_and_called() {
    let text = json!({"type": "string"});
    let mut typed = Typed::new(text.clone(), text.clone(), json!("out"));
    typed.0.description = "Says out.".to_owned();
    let harness = Harness::builder().component("typed", typed).function("add", |(a, b): (i64, i64)| a + b).build();
    let server = Server::of(harness.unwrap(), Limits::default());
    let listed = server.get("/v1/components");
    assert_eq!(listed.status, 200);
    assert!(listed.head.contains("content-type: application/json"), "{listed:?}");
    assert!(listed.head.contains("cache-control: no-store"), "{listed:?}");
    let names: Vec<Value> =
        listed.json()["components"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["add", "typed"]);
    let one = server.get("/v1/components/typed").json();
    assert_eq!((&one["description"], &one["input"], &one["calls"]), (&json!("Says out."), &text, &json!(0)));
    let called = server.post("/v1/components/add", "[2, 40]").json();
    assert_eq!((&called["output"], &called["side"], &called["model"]), (&json!(42), &json!("code"), &Value::Null));
    assert!(called["run"].as_str().is_some_and(|run| !run.is_empty()), "{called}");
    assert_eq!(called["usage"]["requests"], 0);
    assert_eq!(server.post("/v1/components/typed", "\"in\"").json()["output"], "out");
    assert_eq!(server.get("/v1/components/typed").json()["calls"], 1);
}

#[test]
fn an_error_has_the_status_of_its_class_and_says_where_it_arose() {
    let mut builder = Harness::builder();
    let classes = [
        (Class::Refusal, 502),
        (Class::FormatViolation, 502),
        (Class::Disagreement, 502),
        (Class::Provider, 502),
        (Class::Failed, 500),
        (Class::TimedOut, 504),
        (Class::Budget, 402),
    ];
    for (class, _) in classes {
        builder.component(class.as_str(), Double::failing(class, "no"));
    }
    builder
        .component("text", Typed::new(json!({"type": "string"}), json!({}), json!(1)))
        .component("secret", Double::always(1))
        .component("ask", Double::always(1))
        .rule(Rule::new("secret", Decision::Deny))
        .rule(Rule::new("ask", Decision::Ask))
        .async_function("misuses", |ctx, _: Value| async move { ctx.call_value("text", json!(7)).await })
        .async_function("reaches", |ctx, _: Value| async move { ctx.call_value("secret", json!(7)).await })
        .component("passes", Passes);
    let server = Server::of(builder.build().unwrap(), Limits::default());
    for (class, status) in classes {
        let reply = server.post(&format!("/v1/components/{class}"), "null");
        assert_eq!(reply.fails(status, class.as_str()), "no");
        assert_eq!(reply.json()["error"]["side"], "double");
    }
    server.post("/v1/components/text", "7").fails(400, "input");
    server.post("/v1/components/nobody", "7").fails(404, "unknown");
    server.get("/v1/components/nobody").fails(404, "unknown");
    server.post("/v1/components/secret", "1").fails(403, "denied");
    let asked = server.post("/v1/components/ask", "1").fails(403, "denied");
    assert!(asked.contains("nobody to ask"), "{asked}");
    // A component's own mistakes are not its caller's.
    server.post("/v1/components/misuses", "1").fails(500, "input");
    let passed = server.post("/v1/components/passes", "1");
    passed.fails(500, "input");
    assert_eq!(passed.json()["error"]["chain"], json!(["main", "passes", "text"]));
    server.post("/v1/components/reaches", "1").fails(403, "denied");
}

/// A component that hands on the error of what it calls.
struct Passes;

impl llmc::harness::Component for Passes {
    fn about(&self) -> &llmc::harness::About {
        static ABOUT: std::sync::LazyLock<llmc::harness::About> =
            std::sync::LazyLock::new(|| llmc::harness::About::on(llmc::harness::Side::Code));
        &ABOUT
    }

    fn call<'a>(
        &'a self,
        ctx: &'a llmc::harness::Context,
        _: Value,
    ) -> llmc::harness::BoxFuture<'a, Result<llmc::harness::Outcome, CallError>> {
        Box::pin(async move { Ok(ctx.call_value("text", json!(7)).await?.into()) })
    }
}

#[test]
fn what_is_not_there_or_not_json_is_refused() {
    let server = Server::of(echo(), Limits::default());
    for path in ["/", "/v1", "/v1/components/", "/v1/components/echo/more", "/v1/components/%65cho", "/../etc/passwd"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for (method, path, allowed) in [
        ("DELETE", "/v1/components/echo", "GET, POST"),
        ("POST", "/v1/components", "GET"),
        ("GET", "/mcp", "POST"),
        ("DELETE", "/mcp", "POST"),
        ("PUT", "/healthz", "GET"),
    ] {
        let reply = server.raw(head(method, path, "").as_bytes());
        assert_eq!(reply.status, 405, "{method} {path}");
        assert!(reply.head.contains(&format!("allow: {}", allowed.to_ascii_lowercase())), "{reply:?}");
    }
    server.post("/v1/components/echo", "{").fails(400, "bad-request");
    server.post("/v1/components/echo", "").fails(400, "bad-request");
    server.post("/v1/components/echo", &"[".repeat(500)).fails(400, "bad-request");
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let request = head("POST", "/v1/components/echo", &format!("{kind}Content-Length: 1\r\n")) + "1";
        server.raw(request.as_bytes()).fails(415, "bad-request");
    }
    let charset =
        head("POST", "/v1/components/echo", "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 1\r\n");
    assert_eq!(server.raw((charset + "1").as_bytes()).status, 200);
}

#[test]
fn nobody_calls_without_the_token() {
    let memory = Arc::new(Memory::default());
    let harness = Harness::builder().function("echo", |input: Value| input).recorder(memory.clone()).build().unwrap();
    let server = Server::of(harness, Limits::default());
    let with = |header: &str, method: &str, path: &str| {
        let body = "Content-Type: application/json\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1";
        server.raw(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{header}{body}").as_bytes())
    };
    for header in [
        "",
        "Authorization: Bearer 0123456789abcdeX\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic MDEyMw==\r\n",
    ] {
        for (method, path) in [
            ("GET", "/v1/components"),
            ("GET", "/v1/components/echo"),
            ("POST", "/v1/components/echo"),
            ("POST", "/mcp"),
            ("GET", "/nothing"),
        ] {
            let reply = with(header, method, path);
            reply.fails(401, "unauthorized");
            assert!(reply.head.contains("www-authenticate: bearer"), "{reply:?}");
            assert!(!reply.body.contains(TOKEN) && !reply.body.contains("echo"), "{reply:?}");
        }
        assert_eq!(with(header, "GET", "/healthz").status, 200);
    }
    assert!(memory.crossings().is_empty());
    let open = Server::with(echo(), Limits::default(), |mut access| {
        access.token = None;
        access
    });
    assert_eq!(open.raw(b"GET /v1/components HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").status, 200);
}

#[test]
fn a_web_page_reaches_nothing_by_another_name_or_from_another_origin() {
    let open = |mut access: Access| {
        access.token = None;
        access.origins.push("https://app.example.org".to_owned());
        access
    };
    let server = Server::with(echo(), Limits::default(), open);
    let get =
        |headers: &str| server.raw(format!("GET /healthz HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes());
    get("Host: evil.example\r\n").fails(403, "forbidden-host");
    get("").fails(400, "bad-request");
    get("Host: localhost\r\nHost: localhost\r\n").fails(400, "bad-request");
    get("Host: localhost\r\nOrigin: https://evil.example\r\n").fails(403, "forbidden-origin");
    get("Host: localhost\r\nOrigin: null\r\n").fails(403, "forbidden-origin");
    let first_line = b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    server.raw(first_line).fails(403, "forbidden-host");
    assert_eq!(get(&format!("Host: {}\r\n", server.address)).status, 200);
    let page = get("Host: localhost\r\nOrigin: https://app.example.org\r\n");
    assert!(page.head.contains("access-control-allow-origin: https://app.example.org"), "{page:?}");
    let options = |origin: &str| {
        let text = format!(
            "OPTIONS /v1/components HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
        );
        server.raw(text.as_bytes())
    };
    let asked = options("https://app.example.org");
    assert!(asked.status == 204 && asked.head.contains("access-control-allow-headers: authorization"), "{asked:?}");
    options("https://evil.example").fails(403, "forbidden-origin");
}

#[test]
fn what_is_too_large_is_refused() {
    let limits = Limits { message: 1000, head_size: 8192, ..Limits::default() };
    let server = Server::of(echo(), limits);
    let fits = format!("\"{}\"", "x".repeat(998));
    assert_eq!(server.post("/v1/components/echo", &fits).status, 200);
    // It is refused by what it says of itself, before it is sent …
    let huge = head("POST", "/v1/components/echo", "Content-Type: application/json\r\nContent-Length: 99999999999\r\n");
    server.raw(huge.as_bytes()).fails(413, "too-large");
    // … and by what it is, where it says nothing.
    let mut chunked =
        head("POST", "/v1/components/echo", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n");
    for _ in 0..11 {
        chunked += &format!("64\r\n{}\r\n", "x".repeat(100));
    }
    server.raw(chunked.as_bytes()).fails(413, "too-large");
    server.raw(posted("/mcp", "", &"x".repeat(1001)).as_bytes()).fails(413, "too-large");
    assert_eq!(server.raw(head("GET", "/healthz", &format!("X: {}\r\n", "x".repeat(9000))).as_bytes()).status, 431);
    assert_eq!(server.raw(head("GET", "/healthz", &"X: y\r\n".repeat(100)).as_bytes()).status, 431);
    let long = head("GET", &format!("/{}", "x".repeat(9000)), "");
    assert!([414, 431].contains(&server.raw(long.as_bytes()).status));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn nobody_holds_a_connection_by_being_slow() {
    let quick = Duration::from_millis(300);
    let server = Server::of(echo(), Limits { head: quick, body: quick, connections: 1, ..Limits::default() });
    // There is one place: whoever is answered after them proves that it was taken back.
    for begun in ["", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let reply = server.raw(begun.as_bytes());
        assert!(reply.is_closed && reply.status != 200, "{begun}: {reply:?}");
    }
    // On a machine that is busy this test's own requests may be too slow, too.
    at_last(|| {
        let idle = server.raw(kept("/healthz").as_bytes());
        assert!(idle.is_closed, "{idle:?}");
        idle.status == 200
    });
    let half = head("POST", "/v1/components/echo", "Content-Type: application/json\r\nContent-Length: 10\r\n") + "\"ab";
    at_last(|| {
        let reply = server.raw(half.as_bytes());
        assert!(reply.is_closed && reply.status != 200, "{reply:?}");
        reply.status == 408 && reply.json()["error"]["class"] == "too-slow"
    });
    let mut stream = server.connect();
    stream.write_all(half.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let cut = Reply::rest(stream);
    assert!(cut.is_closed && cut.status != 200, "it ended too early: {cut:?}");
    at_last(|| server.get("/healthz").status == 200);
}

/// Tries a few times.
fn at_last(mut succeeds: impl FnMut() -> bool) {
    assert!((0..30).any(|_| succeeds()));
}

#[test]
fn nobody_holds_a_connection_by_reading_nothing() {
    let harness = Harness::builder().function("long", |_: Value| "x".repeat(64 << 20)).build().unwrap();
    let server =
        Server::of(harness, Limits { patience: Duration::from_millis(300), connections: 1, ..Limits::default() });
    let mut greedy = server.connect();
    greedy.write_all(posted("/v1/components/long", "", "1").as_bytes()).unwrap();
    // There is one place.
    assert_eq!(server.get("/healthz").status, 200);
    let mut taken = Vec::new();
    let _ = greedy.read_to_end(&mut taken);
    assert!(taken.len() < 64 << 20, "{}", taken.len());
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let server = Server::of(echo(), Limits { connections: 2, head: PATIENCE, ..Limits::default() });
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect();
        assert_eq!(exchange(&mut stream, &kept("/healthz")).status, 200);
        held.push(stream);
    }
    let mut third = server.connect();
    third.write_all(head("GET", "/healthz", "").as_bytes()).unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.read(&mut [0]).is_err(), "it was answered");
    held.pop();
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(Reply::rest(third).status, 200);
    // Many at once lose none.
    let answered = std::thread::scope(|scope| {
        held.clear();
        let asking: Vec<_> = (0..100)
            .map(|number| {
                let server = &server;
                scope.spawn(move || server.post("/v1/components/echo", &number.to_string()).json()["output"].clone())
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect::<Vec<Value>>()
    });
    assert_eq!(answered, (0..100).map(Value::from).collect::<Vec<_>>());
}

/// What a gate says next.
fn next(heard: &mut mpsc::UnboundedReceiver<&'static str>) -> Option<&'static str> {
    heard.blocking_recv()
}

#[test]
fn whoever_goes_away_cancels_the_call() {
    let (gate, mut keeper) = Gate::new();
    let memory = Arc::new(Memory::default());
    let harness = Harness::builder().component("gate", gate).recorder(memory.clone()).build().unwrap();
    let server = Server::of(harness, Limits::default());
    let mut stream = server.connect();
    stream.write_all(posted("/v1/components/gate", "", "1").as_bytes()).unwrap();
    assert_eq!(next(&mut keeper.heard), Some("begun"));
    drop(stream);
    assert_eq!(next(&mut keeper.heard), Some("ended"));
    server.stopped();
    let crossings = memory.crossings();
    assert_eq!(crossings.len(), 1, "it was recorded all the same");
    assert_eq!(crossings[0].error.as_ref().unwrap().class, Class::Cancelled);
}

#[test]
fn a_server_that_is_stopped_finishes_what_is_under_way() {
    let (harness, mut keeper) = gated();
    let server = Server::of(harness, Limits { grace: PATIENCE, ..Limits::default() });
    let mut idle = server.connect();
    assert_eq!(exchange(&mut idle, &kept("/healthz")).status, 200);
    let mut stream = server.connect();
    stream.write_all(posted("/v1/components/gate", "", "\"late\"").as_bytes()).unwrap();
    assert_eq!(next(&mut keeper.heard), Some("begun"));
    server.stop.send_replace(true);
    let idle = Reply::rest(idle);
    assert!(idle.is_closed && idle.status == 0, "an idle connection is closed at once: {idle:?}");
    keeper.open.send_replace(true);
    assert_eq!(Reply::rest(stream).json()["output"], "late");
    let address = server.address;
    server.stopped();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_server_that_is_stopped_waits_for_nobody_for_ever() {
    let (harness, mut keeper) = gated();
    let server = Server::of(harness, Limits { grace: Duration::from_millis(300), ..Limits::default() });
    let mut stream = server.connect();
    stream.write_all(posted("/v1/components/gate", "", "1").as_bytes()).unwrap();
    assert_eq!(next(&mut keeper.heard), Some("begun"));
    server.stopped();
    assert_eq!(next(&mut keeper.heard), Some("ended"));
    assert_eq!(Reply::rest(stream).status, 0);
}

#[test]
fn a_call_that_takes_too_long_is_ended() {
    let (harness, _keeper) = gated();
    let server = Server::of(harness, Limits { call: Duration::from_millis(300), ..Limits::default() });
    server.post("/v1/components/gate", "1").fails(504, "timed-out");
}

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

#[test]
fn mcp_over_http_holds_headers_against_the_body() {
    let server = Server::of(echo(), Limits::default());
    let call = request("tools/call", json!({"name": "echo", "arguments": {"input": 7}, "_meta": meta()}));
    let version = "MCP-Protocol-Version: 2026-07-28\r\n";
    for name in ["Mcp-Name: echo\r\n", "mcp-name: =?base64?ZWNobw==?=\r\n"] {
        let reply = server.mcp(&format!("{version}Mcp-Method: tools/call\r\n{name}"), &call);
        assert_eq!((reply.status, &reply.json()["result"]["structuredContent"]), (200, &json!(7)), "{reply:?}");
    }
    for wrong in [
        "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n".to_owned(),
        format!("{version}Mcp-Name: echo\r\n"),
        format!("{version}Mcp-Method: tools/call\r\n"),
        format!("{version}Mcp-Method: tools/list\r\nMcp-Name: echo\r\n"),
        format!("{version}Mcp-Method: tools/call\r\nMcp-Name: pay\r\n"),
        format!("{version}Mcp-Method: tools/call\r\nMcp-Name: =?base64?!?=\r\n"),
        "MCP-Protocol-Version: 2025-11-25\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n".to_owned(),
    ] {
        let reply = server.mcp(&wrong, &call);
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!(-32020)), "{wrong}");
    }
    let named = |method: &str| format!("{version}Mcp-Method: {method}\r\n");
    let found = server.mcp(&named("server/discover"), &request("server/discover", json!({"_meta": meta()})));
    assert_eq!(found.json()["result"]["supportedVersions"][0], "2026-07-28");
    let unknown = server.mcp(&named("prompts/list"), &request("prompts/list", json!({"_meta": meta()})));
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!(-32601)));
    let bare = server.mcp(&named("tools/list"), &request("tools/list", json!({})));
    assert_eq!((bare.status, &bare.json()["error"]["code"]), (400, &json!(-32602)));
    let strange = server.mcp("MCP-Protocol-Version: 2031-01-01\r\n", &request("tools/list", json!({})));
    assert_eq!((strange.status, &strange.json()["error"]["code"]), (400, &json!(-32022)));
}

#[test]
fn mcp_over_http_speaks_the_old_versions_without_a_session() {
    let server = Server::of(echo(), Limits::default());
    let greeting = request("initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}}));
    let greeted = server.mcp("", &greeting);
    assert_eq!(greeted.json()["result"]["protocolVersion"], "2025-06-18");
    assert!(!greeted.head.contains("session"), "{greeted:?}");
    let version = "MCP-Protocol-Version: 2025-06-18\r\n";
    let noted = server.mcp(version, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    assert_eq!((noted.status, noted.body.as_str()), (202, ""));
    let call = request("tools/call", json!({"name": "echo", "arguments": {"input": {"a": 1}}}));
    assert_eq!(server.mcp(version, &call).json()["result"]["structuredContent"], json!({"a": 1}));
    assert!(server.mcp("", &call).json()["result"]["structuredContent"].is_null(), "2025-03-26 has none");
    let unknown = server.mcp(version, &request("prompts/list", json!({})));
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (200, &json!(-32601)));
    let batch = json!([call, {"jsonrpc": "2.0", "method": "notifications/x"}, 7]);
    let answers = server.mcp("", &batch).json();
    assert_eq!(answers[0]["result"]["content"][0]["text"], "{\"a\":1}");
    assert_eq!((&answers[1]["error"]["code"], answers.as_array().unwrap().len()), (&json!(-32600), 2));
    assert_eq!(server.mcp(version, &batch).status, 400, "later versions have no batches");
    let broken = server.post("/mcp", "{");
    assert_eq!((broken.status, &broken.json()["error"]["code"]), (400, &json!(-32700)));
    assert_eq!(server.post("/mcp", "7").json()["error"]["code"], -32600);
}
