//! A scripted HTTP server on loopback: what a provider or a file host would answer, and how it fails.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    delay: Duration,
    framing: Framing,
    steps: Vec<Step>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Framing {
    /// By its length.
    Length,
    /// By a last chunk; each step is a chunk.
    Chunks,
    /// By the end of the connection.
    Close,
    /// There is not even a status line, but for what the steps send.
    Raw,
}

/// A part of what is answered.
#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    /// The same bytes again and again, so long apart, until the client hangs up.
    Repeat(Vec<u8>, Duration),
    /// Nothing until the client hangs up.
    Hang,
    /// Hangs up, whatever was promised.
    Cut,
}

/// Nobody waits longer for a client to hang up.
const LONGEST_HANG: Duration = Duration::from_secs(30);

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let steps = vec![Step::Send(body.into())];
        Self { status, headers: vec![], delay: Duration::ZERO, framing: Framing::Length, steps }
    }

    /// A chat completion with this text.
    pub(crate) fn chat(text: &str) -> Self {
        let body = serde_json::json!({
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7},
        });
        Self::new(200, body.to_string()).header("content-type", "application/json")
    }

    /// A stream of events whose pieces are sent one by one.
    pub(crate) fn stream<T: Into<Vec<u8>>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let steps = pieces.into_iter().map(|piece| Step::Send(piece.into())).collect();
        let reply = Self { steps, framing: Framing::Chunks, ..Self::new(200, "") };
        reply.header("content-type", "text/event-stream")
    }

    /// Bytes that need be no HTTP.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { framing: Framing::Raw, ..Self::new(200, bytes) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Without its content type.
    pub(crate) fn untyped(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "content-type");
        self
    }

    /// Tells the end of the body by the end of the connection.
    pub(crate) fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// Waits before it answers.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Promises the whole body and hangs up after so many bytes of it.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        let Some(Step::Send(body)) = self.steps.first_mut() else { panic!("there is a body to cut") };
        let length = body.len();
        body.truncate(bytes);
        self.framing = Framing::Close;
        self.steps.push(Step::Cut);
        self.header("content-length", &length.to_string())
    }

    /// Without what came from the event `from` on; then hangs up.
    pub(crate) fn cut(mut self, from: usize) -> Self {
        self.steps.truncate(from);
        self.steps.push(Step::Cut);
        self
    }

    /// Without what came from the event `from` on; then says nothing more.
    pub(crate) fn hang(mut self, from: usize) -> Self {
        self.open_ended();
        self.steps.truncate(from);
        self.steps.push(Step::Hang);
        self
    }

    /// Without what came from the event `from` on; then these bytes for ever.
    pub(crate) fn repeat(mut self, from: usize, bytes: impl Into<Vec<u8>>, every: Duration) -> Self {
        self.open_ended();
        self.steps.truncate(from);
        self.steps.push(Step::Repeat(bytes.into(), every));
        self
    }

    /// Nobody knows the length of what does not end.
    fn open_ended(&mut self) {
        if self.framing == Framing::Length {
            self.framing = Framing::Close;
        }
    }

    fn send(&self, stream: &mut TcpStream, hung_up: &AtomicUsize) -> std::io::Result<()> {
        let length: usize =
            self.steps.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() } else { 0 }).sum();
        if self.framing != Framing::Raw {
            write!(stream, "HTTP/1.1 {} Scripted\r\nconnection: close\r\n", self.status)?;
            match self.framing {
                Framing::Length => write!(stream, "content-length: {length}\r\n")?,
                Framing::Chunks => write!(stream, "transfer-encoding: chunked\r\n")?,
                Framing::Close | Framing::Raw => {}
            }
            for (name, value) in &self.headers {
                write!(stream, "{name}: {value}\r\n")?;
            }
            stream.write_all(b"\r\n")?;
        }
        let framing = self.framing;
        let body = |stream: &mut TcpStream, bytes: &[u8]| match framing {
            // An empty chunk would be the last.
            Framing::Chunks if bytes.is_empty() => Ok(()),
            Framing::Chunks => {
                write!(stream, "{:x}\r\n", bytes.len())?;
                stream.write_all(bytes)?;
                stream.write_all(b"\r\n")
            }
            _ => stream.write_all(bytes),
        };
        for step in &self.steps {
            match step {
                Step::Send(bytes) => {
                    body(stream, bytes)?;
                    stream.flush()?;
                }
                Step::Repeat(bytes, every) => {
                    let end = Instant::now() + LONGEST_HANG;
                    while Instant::now() < end && body(stream, bytes).is_ok() {
                        thread::sleep(*every);
                    }
                    hung_up.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                Step::Hang => {
                    stream.set_read_timeout(Some(LONGEST_HANG))?;
                    if matches!(stream.read(&mut [0; 1]), Ok(0)) {
                        hung_up.fetch_add(1, Ordering::SeqCst);
                    }
                    return Ok(());
                }
                Step::Cut => return Ok(()),
            }
        }
        if self.framing == Framing::Chunks {
            stream.write_all(b"0\r\n\r\n")?;
        }
        stream.flush()
    }
}

/// A server that lives as long as the test.
pub(crate) struct Server {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    most_at_once: Arc<AtomicUsize>,
    hung_up: Arc<AtomicUsize>,
}

impl Server {
    /// Answers each request by what `answer` makes of it and its number, from 0.
    pub(crate) fn answering(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
        let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let most_at_once = Arc::new(AtomicUsize::new(0));
        let at_once = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let hung_up = Arc::new(AtomicUsize::new(0));
        let hangs = hung_up.clone();
        let (log, most) = (received.clone(), most_at_once.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, most, at_once, answer) = (log.clone(), most.clone(), at_once.clone(), answer.clone());
                let hangs = hangs.clone();
                thread::spawn(move || {
                    // A request counts until its answer begins, as the client may send the next one right after.
                    serve(stream, &log, &hangs, |request, number| {
                        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        let reply = answer(request, number);
                        thread::sleep(reply.delay);
                        at_once.fetch_sub(1, Ordering::SeqCst);
                        reply
                    })
                });
            }
        });
        Self { url, received, most_at_once, hung_up }
    }

    /// Answers the requests in order; the last reply answers all that follow.
    pub(crate) fn script(replies: Vec<Reply>) -> Self {
        Self::answering(move |_, number| replies[number.min(replies.len() - 1)].clone())
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no handler panics while it holds the log").clone()
    }

    /// How many clients hung up while they were kept waiting.
    pub(crate) fn hung_up(&self) -> usize {
        self.hung_up.load(Ordering::SeqCst)
    }

    /// The most requests that were open together.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Received>>,
    hung_up: &AtomicUsize,
    answer: impl Fn(&Received, usize) -> Reply,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut request = Received { path, headers, body: vec![] };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    let number = {
        let mut log = log.lock().expect("no handler panics while it holds the log");
        log.push(request.clone());
        log.len() - 1
    };
    let reply = answer(&request, number);
    let mut stream = stream;
    reply.send(&mut stream, hung_up)
}
