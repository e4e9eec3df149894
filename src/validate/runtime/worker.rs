//! The program that answers calls of committed artifacts, JSON in and JSON out; each call in a process of its own.
//!
//! Linked with the crate `generated`, whose `register` names what there is. llmc's side is `src/validate/worker.rs`: the
//! request is a JSON object, ended by the end of the stream's other half; the answer one byte that says what it is, and
//! then JSON or a text.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::FromRawFd as _;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::OnceLock;

use llmc_rt::fork::{fork_server, take_variable, FORK};
use serde_json::Value;

type Code = fn(Value) -> Result<Option<Value>, String>;

/// Stack of a call; as the main thread's usually is.
const STACK: usize = 8 << 20;

static CODE: OnceLock<Vec<(&'static str, &'static str, Code)>> = OnceLock::new();

fn main() {
    let mut code = Vec::new();
    generated::register(&mut code);
    // Set once: this is where the process begins.
    let _ = CODE.set(code);
    if take_variable(FORK).is_none() {
        std::process::exit(2);
    }
    fork_server(|_| {
        let worker = std::thread::Builder::new().stack_size(STACK).spawn(answer);
        i32::from(!worker.is_ok_and(|worker| worker.join().is_ok()))
    });
}

fn answer() {
    // Away from where the code would find it: its standard input and output are not the channel.
    // SAFETY: descriptors 0 to 2 are open, and nobody else knows the new one.
    let mut channel = unsafe {
        let moved = dup(0);
        dup2(2, 0);
        dup2(2, 1);
        File::from_raw_fd(moved)
    };
    let mut request = Vec::new();
    channel.read_to_end(&mut request).expect("the channel can be read");
    let mut request: Value = serde_json::from_slice(&request).expect("a request is JSON");
    let input = request["input"].take();
    let name = request["name"].as_str().unwrap_or_default();
    let code = CODE.get().into_iter().flatten().find(|(known, ..)| *known == name);
    let (kind, text) = match code {
        None => (b'U', String::new()),
        Some((_, _, code)) => match catch_unwind(AssertUnwindSafe(|| code(input))) {
            Ok(Ok(Some(output))) => (b'A', output.to_string()),
            Ok(Ok(None)) => (b'N', String::new()),
            Ok(Err(message)) => (b'E', message),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no text");
                (b'P', text.to_owned())
            }
        },
    };
    let _ = channel.write_all(&[&[kind], text.as_bytes()].concat());
}

extern "C" {
    fn dup(descriptor: i32) -> i32;
    fn dup2(from: i32, to: i32) -> i32;
}
