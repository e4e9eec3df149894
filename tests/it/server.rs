//! A scripted HTTP server on loopback: what a provider or a file host would answer, and how it fails.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

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
    body: Vec<u8>,
    delay: Duration,
    cut_after: Option<usize>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![], body: body.into(), delay: Duration::ZERO, cut_after: None }
    }

    /// A chat completion with this text.
    pub(crate) fn chat(text: &str) -> Self {
        let body = serde_json::json!({
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7},
        });
        Self::new(200, body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Waits before it answers.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Promises the whole body and hangs up after so many bytes of it.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }
}

/// A server that lives as long as the test.
pub(crate) struct Server {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    most_at_once: Arc<AtomicUsize>,
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
        let (log, most) = (received.clone(), most_at_once.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, most, at_once, answer) = (log.clone(), most.clone(), at_once.clone(), answer.clone());
                thread::spawn(move || {
                    // A request counts until its answer begins, as the client may send the next one right after.
                    serve(stream, &log, |request, number| {
                        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        let reply = answer(request, number);
                        thread::sleep(reply.delay);
                        at_once.fetch_sub(1, Ordering::SeqCst);
                        reply
                    })
                });
            }
        });
        Self { url, received, most_at_once }
    }

    /// Answers the requests in order; the last reply answers all that follow.
    pub(crate) fn script(replies: Vec<Reply>) -> Self {
        Self::answering(move |_, number| replies[number.min(replies.len() - 1)].clone())
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no handler panics while it holds the log").clone()
    }

    /// The most requests that were open together.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Received>>,
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
    write!(
        stream,
        "HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n",
        reply.status,
        reply.body.len()
    )?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    let sent = reply.cut_after.unwrap_or(reply.body.len());
    stream.write_all(&reply.body[..sent])?;
    stream.flush()
}
