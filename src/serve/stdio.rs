//! MCP by lines: a message a line in, and a message a line out.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::Served;
use super::mcp::{self, Failure, INTERNAL_ERROR, INVALID_REQUEST, Message, PARSE_ERROR, Request, Version};
use crate::interrupt::Interrupt;

/// Answers that wait to be written. Whoever has one more waits: a client that reads nothing is not served.
const WRITTEN: usize = 64;
/// How long a server that was stopped tries to write what it has.
const LAST: Duration = Duration::from_secs(1);

/// Why a client is served no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It sends no more, and has every answer.
    Done,
    /// It reads no more.
    Gone,
    /// The server was stopped.
    Stopped,
}

/// Serves one client, until it sends no more and everything under way is answered.
///
/// # Errors
/// Where its input can't be read.
pub async fn stdio<R, W>(served: &Served, input: R, output: W, interrupt: &Interrupt) -> io::Result<Ended>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (answers, queue) = mpsc::channel(WRITTEN);
    let writing = tokio::spawn(write(output, queue));
    let mut client = Client {
        served: served.clone(),
        answers,
        settled: None,
        asked: Arc::default(),
        last: 0,
        under_way: JoinSet::new(),
    };
    let mut lines =
        Lines { input: BufReader::new(input), most: served.limits().message, line: Vec::new(), long: false };
    let ended = loop {
        tokio::select! {
            line = lines.next() => match line {
                Ok(Some(line)) => tokio::select! {
                    () = client.hear(line) => {}
                    () = interrupt.wait() => break Ok(Ended::Stopped),
                },
                Ok(None) => break Ok(Ended::Done),
                Err(error) => break Err(error),
            },
            () = client.answers.closed() => break Ok(Ended::Gone),
            () = interrupt.wait() => break Ok(Ended::Stopped),
            Some(_) = client.under_way.join_next() => {}
        }
    };
    let ended = match ended {
        Ok(Ended::Done) => loop {
            tokio::select! {
                ended = client.under_way.join_next() => if ended.is_none() { break Ok(Ended::Done) },
                () = client.answers.closed() => break Ok(Ended::Gone),
                () = interrupt.wait() => break Ok(Ended::Stopped),
            }
        },
        ended => ended,
    };
    // What is left is cancelled.
    client.under_way.shutdown().await;
    drop(client);
    let wrote = match ended {
        Ok(Ended::Stopped) => tokio::time::timeout(LAST, writing).await.is_ok(),
        _ => tokio::select! {
            wrote = writing => wrote.unwrap_or(false),
            () = interrupt.wait() => true,
        },
    };
    served.settle().await;
    match ended {
        Ok(Ended::Done) if !wrote => Ok(Ended::Gone),
        ended => ended,
    }
}

/// Writes answers; false where nobody reads them.
async fn write(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Value>) -> bool {
    while let Some(answer) = queue.recv().await {
        // JSON as serde_json writes it has no line ends.
        let line = format!("{answer}\n");
        if output.write_all(line.as_bytes()).await.is_err() || output.flush().await.is_err() {
            return false;
        }
    }
    true
}

/// A client, and what it asked.
struct Client {
    served: Served,
    answers: mpsc::Sender<Value>,
    settled: Option<Version>,
    /// What is under way, by the id as JSON.
    asked: Arc<Mutex<HashMap<String, (u64, AbortHandle)>>>,
    last: u64,
    under_way: JoinSet<()>,
}

impl Client {
    async fn hear(&mut self, line: Line) {
        let failure = match line {
            Line::TooLong => {
                let most = self.served.limits().message;
                Failure::new(INVALID_REQUEST, format!("the message is longer than {most} bytes"))
            }
            Line::Text(text) if text.trim_ascii().is_empty() => return,
            Line::Text(text) => match serde_json::from_slice(&text) {
                Ok(Value::Array(batch)) => return self.hear_batch(batch).await,
                Ok(value) => return self.hear_one(value).await,
                Err(error) => Failure::new(PARSE_ERROR, format!("Parse error: {error}")),
            },
        };
        self.send(failure.to_message(&Value::Null)).await;
    }

    async fn hear_one(&mut self, value: Value) {
        let (id, failure) = match mcp::read(value) {
            Ok(Message::Request(request)) => {
                let (id, answers) = (request.id.clone(), self.answers.clone());
                let begun = self.begin(request, move |answer| async move {
                    let _ = answers.send(answer).await;
                });
                match begun {
                    Ok(()) => return,
                    Err((is_its_own, failure)) => (if is_its_own { id } else { Value::Null }, failure),
                }
            }
            Ok(message) => return self.note(message),
            Err(wrong) => *wrong,
        };
        self.send(failure.to_message(&id)).await;
    }

    /// Several messages at once, whose answers go back at once.
    async fn hear_batch(&mut self, batch: Vec<Value>) {
        let invalid = |message: String| Failure::new(INVALID_REQUEST, message).to_message(&Value::Null);
        let most = self.served.limits().batch;
        if !self.settled.is_some_and(Version::has_batches) {
            return self.send(invalid("this version of the protocol has no batches".to_owned())).await;
        }
        if batch.is_empty() || batch.len() > most {
            return self.send(invalid(format!("a batch has from 1 to {most} messages"))).await;
        }
        let mut answers = Vec::new();
        let mut waiting = Vec::new();
        for value in batch {
            let (id, failure) = match mcp::read(value) {
                Ok(Message::Request(request)) if request.method == "initialize" => {
                    (request.id, Failure::new(INVALID_REQUEST, "`initialize` can't be in a batch"))
                }
                Ok(Message::Request(request)) => {
                    let id = request.id.clone();
                    let (answered, answer) = oneshot::channel();
                    let begun = self.begin(request, |answer| async move {
                        let _ = answered.send(answer);
                    });
                    match begun {
                        Ok(()) => {
                            waiting.push(answer);
                            continue;
                        }
                        Err((is_its_own, failure)) => (if is_its_own { id } else { Value::Null }, failure),
                    }
                }
                Ok(message) => {
                    self.note(message);
                    continue;
                }
                Err(wrong) => *wrong,
            };
            answers.push(failure.to_message(&id));
        }
        let sender = self.answers.clone();
        self.under_way.spawn(async move {
            for answer in waiting {
                // One that was cancelled has none.
                answers.extend(answer.await.ok());
            }
            if !answers.is_empty() {
                let _ = sender.send(answers.into()).await;
            }
        });
    }

    /// Begins to answer. Where it can't, why, and whether the id of the request stands for it alone.
    fn begin<F>(
        &mut self,
        request: Request,
        deliver: impl FnOnce(Value) -> F + Send + 'static,
    ) -> Result<(), (bool, Failure)>
    where
        F: Future<Output = ()> + Send,
    {
        let mut version = request.version(self.settled).map_err(|failure| (true, failure))?;
        if request.method == "initialize" && !version.is_named() {
            version = mcp::settle(&request).map_err(|failure| (true, failure))?;
            self.settled = Some(version);
        }
        let key = request.id.to_string();
        let most = self.served.limits().waiting;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.contains_key(&key) {
            let message = format!("a request with the id {key} is under way already");
            return Err((false, Failure::new(INVALID_REQUEST, message)));
        }
        if asked.len() >= most {
            let message = format!("{most} requests are under way; send more once some are answered");
            return Err((true, Failure::new(INTERNAL_ERROR, message)));
        }
        self.last += 1;
        let number = self.last;
        let (served, others, own) = (self.served.clone(), self.asked.clone(), key.clone());
        let task = self.under_way.spawn(async move {
            let id = request.id.clone();
            let answer = mcp::answer(&served, request, version).await.unwrap_or_else(|failure| failure.to_message(&id));
            let is_wanted = {
                let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
                let is_wanted = others.get(&own).is_some_and(|(other, _)| *other == number);
                if is_wanted {
                    others.remove(&own);
                }
                is_wanted
            };
            if is_wanted {
                deliver(answer).await;
            }
        });
        asked.insert(key, (number, task));
        Ok(())
    }

    /// Hears what wants no answer.
    fn note(&self, message: Message) {
        let Message::Notification { method, params } = message else { return };
        if method == "notifications/cancelled"
            && let Some(id) = params.get("requestId")
            && let Some((_, task)) = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.to_string())
        {
            task.abort();
        }
    }

    async fn send(&self, answer: Value) {
        let _ = self.answers.send(answer).await;
    }
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Text(Vec<u8>),
    /// Longer than is allowed. None of it was kept.
    TooLong,
}

/// Lines of at most so many bytes.
struct Lines<R> {
    input: BufReader<R>,
    most: usize,
    /// The part of a line that has come.
    line: Vec<u8>,
    /// Whether it is too long already.
    long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next one, `None` at the end. Nothing is lost where this is dropped before it is ready.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let part = self.input.fill_buf().await?;
            if part.is_empty() {
                let is_rest = self.long || !self.line.is_empty();
                return Ok(is_rest.then(|| self.take()));
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            let text = &part[..end.unwrap_or(part.len())];
            if self.line.len() + text.len() > self.most {
                self.long = true;
                self.line = Vec::new();
            }
            if !self.long {
                self.line.extend_from_slice(text);
            }
            let used = text.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.long) { Line::TooLong } else { Line::Text(line) }
    }
}
