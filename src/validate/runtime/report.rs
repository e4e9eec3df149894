//! Runs the checks of one candidate and reports each to the parent process over a private descriptor.
//!
//! Frames: nonce (16 bytes), number of the check (u32), status (u8), length (u32), text; little endian.
//! The nonce arrives on standard input. Standard output is turned to standard error before the first
//! check, so what a candidate prints can't be taken for a frame.

use std::fmt::Debug;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::FromRawFd as _;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::generate::{cut, debug, note_panic, panic_message, take_panic};

/// Stack of the thread that runs the checks: as much as a main thread has.
const STACK: usize = 8 << 20;
/// Longest text of the first failure, and of the others, in bytes.
const LONG: usize = 4 << 10;
const SHORT: usize = 256;

/// How a check ended.
pub enum Outcome {
    /// It holds.
    Pass,
    /// It holds, and there is something to say.
    Note(String),
    /// It does not.
    Fail(String),
}

/// One check.
pub struct Check {
    /// Runs it.
    pub run: fn() -> Outcome,
}

unsafe extern "C" {
    fn dup2(from: i32, to: i32) -> i32;
    fn fcntl(descriptor: i32, command: i32, ...) -> i32;
}

/// Runs all checks in order and ends the process.
pub fn run(checks: &'static [Check]) -> ! {
    let mut arguments = std::env::args().skip(1);
    let mut nonce = [0; 16];
    let hex = arguments.next().expect("the parent sends a nonce");
    for (at, byte) in nonce.iter_mut().enumerate() { *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap(); }
    let reverse = arguments.next().is_some();
    // SAFETY: plain system calls on descriptors of this process; F_DUPFD (0) gives one that nobody else owns.
    let mut channel = unsafe {
        let channel = fcntl(1, 0, 10);
        assert!(channel >= 10 && dup2(2, 1) == 1, "descriptors can be moved");
        File::from_raw_fd(channel)
    };
    let thread = std::thread::Builder::new().name("checks".to_string()).stack_size(STACK);
    let thread = thread.spawn(move || {
        let mut is_first = true;
        for at in 0..checks.len() {
            let number = if reverse { checks.len() - 1 - at } else { at };
            let check = &checks[number];
            let (status, text) = run_one(check);
            let longest = if is_first { LONG } else { SHORT };
            is_first &= status != 1;
            send(&mut channel, &nonce, number as u32, status, cut(&text, longest));
        }
        send(&mut channel, &nonce, u32::MAX, 0, "");
    });
    let is_done = thread.expect("a thread can be started").join().is_ok();
    std::process::exit(if is_done { 0 } else { 101 })
}

fn send(channel: &mut File, nonce: &[u8; 16], number: u32, status: u8, text: &str) {
    let mut frame = nonce.to_vec();
    frame.extend(number.to_le_bytes());
    frame.push(status);
    frame.extend([0; 16]);
    frame.extend((text.len() as u32).to_le_bytes());
    frame.extend(text.as_bytes());
    channel.write_all(&frame).expect("the parent reads");
}

fn run_one(check: &Check) -> (u8, String) {
    // Set again each time: a candidate may have replaced it.
    std::panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            note_panic(format!("{}:{}:{}", place.file(), place.line(), place.column()));
        }
    }));
    take_panic();
    match catch_unwind(AssertUnwindSafe(check.run)) {
        Ok(Outcome::Pass) => (0, String::new()),
        Ok(Outcome::Note(text)) => (2, text),
        Ok(Outcome::Fail(text)) => (1, text),
        Err(payload) => (1, panic_text(&*payload)),
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let place = take_panic().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("panicked{place}: {}", panic_message(payload))
}

/// What a test function returns.
pub trait Ended {
    /// Whether it passed.
    fn outcome(self) -> Outcome;
}

impl Ended for () {
    fn outcome(self) -> Outcome {
        Outcome::Pass
    }
}

impl<T: Ended, E: Debug> Ended for Result<T, E> {
    fn outcome(self) -> Outcome {
        match self {
            Ok(value) => value.outcome(),
            Err(error) => Outcome::Fail(format!("returned Err({})", debug(&error))),
        }
    }
}

/// A test function.
pub fn test<T: Ended>(test: fn() -> T) -> Outcome {
    test().outcome()
}

/// Whether `test` panics, with a message that contains `expected`.
pub fn panics<T>(expected: Option<&str>, test: impl FnOnce() -> T) -> Outcome {
    let wanted = expected.map(|text| format!(" with a message that contains {text:?}")).unwrap_or_default();
    match catch_unwind(AssertUnwindSafe(|| drop(test()))) {
        Ok(()) => Outcome::Fail(format!("expected a panic{wanted}\ngot none")),
        Err(payload) => match expected {
            Some(text) if !panic_message(&*payload).contains(text) => {
                Outcome::Fail(format!("expected a panic{wanted}\ngot one that says {:?}", panic_message(&*payload)))
            }
            _ => Outcome::Pass,
        },
    }
}

/// `expected`, which is of the type of `_result`.
pub fn same_as<T>(_result: &T, expected: T) -> T {
    expected
}

/// A comparison with what was expected.
pub fn compared(holds: bool, expected: impl FnOnce() -> String, got: impl FnOnce() -> String) -> Outcome {
    if holds {
        Outcome::Pass
    } else {
        Outcome::Fail(format!("expected {}\ngot {}", expected(), got()))
    }
}

/// A statement over a result that was shown before.
pub fn stated(holds: bool, expected: &str, got: &str) -> Outcome {
    if holds {
        Outcome::Pass
    } else {
        Outcome::Fail(format!("expected {expected}\ngot {got}"))
    }
}

/// A property's end.
pub fn property(ended: Result<Option<String>, String>) -> Outcome {
    match ended {
        Ok(None) => Outcome::Pass,
        Ok(Some(note)) => Outcome::Note(note),
        Err(counterexample) => Outcome::Fail(counterexample),
    }
}
