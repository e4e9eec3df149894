//! Runs the checks of one candidate and reports each to the parent process over a private descriptor.
//!
//! Frames: nonce (16 bytes), number of the check (u32), status (u8), digests of what was asked of the
//! candidate's process meanwhile, and of what was asked with the answers (u64 each; 0 where it has none), length (u32),
//! text; little endian. The text of the frame that ends a report is the record of the calls. Standard output is turned to
//! standard error before the first check, so what a candidate prints can't be taken for a frame.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::sync::OnceLock;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::caller;
use crate::fork::{fork_server, take_variable, FORK};
use crate::generate::{cut, debug, note_panic, panic_message, take_panic};
use crate::wire::stack_pointer;

/// Stack of the thread that runs a candidate: as much as a main thread has.
pub(crate) const STACK: usize = 8 << 20;
/// What the thread of a candidate is called: as in any program.
pub(crate) const THREAD: &str = "main";
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
    fn poll(descriptors: *mut Poll, count: std::ffi::c_ulong, timeout: i32) -> i32;
    fn _exit(code: i32) -> !;
}

#[repr(C)]
struct Poll {
    descriptor: i32,
    events: i16,
    found: i16,
}

/// Ends the process at once: no destructor and no hook is run.
pub(crate) fn end_process(code: i32) -> ! {
    // SAFETY: no preconditions.
    unsafe { _exit(code) }
}

/// Whether something waits to be read from a descriptor, its end included.
pub(crate) fn is_ready(descriptor: i32) -> bool {
    const POLLIN: i16 = 1;
    let mut poll_one = Poll { descriptor, events: POLLIN, found: 0 };
    // SAFETY: one entry, which outlives the call. A signal that interrupts it leaves it unanswered; nobody sends any.
    unsafe { poll(&raw mut poll_one, 1, 0) != 0 }
}

/// A private descriptor of what descriptor `from` is, which others use no longer: they write to standard error there.
fn moved(from: i32) -> Option<File> {
    const F_DUPFD_CLOEXEC: i32 = 1030;
    // SAFETY: plain system calls on descriptors of this process; F_DUPFD_CLOEXEC gives one that nobody else owns.
    unsafe {
        let descriptor = fcntl(from, F_DUPFD_CLOEXEC, 10);
        (descriptor >= 10 && dup2(2, from) == from).then(|| File::from_raw_fd(descriptor))
    }
}

/// The channel on descriptor 0, if it is one, moved to where a candidate can't reach it. Reading standard input then
/// finds its end, since nobody writes to the other side of standard error. `and_output` turns standard output into standard error too.
pub(crate) fn take_channel(and_output: bool) -> Option<File> {
    let input = moved(0)?;
    // SAFETY: as in `moved`.
    if and_output && unsafe { dup2(2, 1) } != 1 {
        return None;
    }
    let is_channel = input.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    is_channel.then_some(input)
}

/// Runs all checks in order and ends the process.
///
/// The first word is the nonce in hex; the second may be `reverse`. They are the arguments, or where there are none what
/// standard input says: a candidate in this process finds them in neither. The variable [`FORK`] stands for one run after
/// the other, each in a process of its own, with these words as its argument.
pub fn run(checks: &'static [Check]) -> ! {
    // Set once: this is where the process begins.
    let _ = CHECKS.set(checks);
    if take_variable(FORK).is_some() {
        fork_server(|argument| {
            run_named(&words(std::str::from_utf8(argument).unwrap_or_default()))
        });
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.is_empty() {
        run_named(&arguments);
    }
    // SAFETY: descriptor 0 is open, and stays so; not by `std::io::stdin`, whose buffer would keep the words.
    let mut input = ManuallyDrop::new(unsafe { File::from_raw_fd(0) });
    let mut text = String::new();
    input.read_to_string(&mut text).expect("standard input says how to run");
    run_named(&words(&text))
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_string).collect()
}

static CHECKS: OnceLock<&'static [Check]> = OnceLock::new();

fn run_named(arguments: &[String]) -> ! {
    let nonce = arguments.first().and_then(|text| u128::from_str_radix(text, 16).ok());
    let nonce = nonce.expect("the first word is the nonce").to_be_bytes();
    let checks = CHECKS.get().expect("they are set first");
    run_as(checks, nonce, arguments.get(1).is_some_and(|order| order == "reverse"))
}

/// Runs all checks, from the last to the first if so wanted, and ends the process.
pub fn run_as(checks: &'static [Check], nonce: [u8; 16], is_reverse: bool) -> ! {
    let answers = take_channel(false);
    let mut reports = moved(1).expect("descriptors can be moved");
    let is_judge = answers.is_some();
    // A candidate has the usual stack. A judge has none beside it, and needs more to decode what recursed on that.
    let size = if is_judge { 8 * STACK } else { STACK };
    if let Some(answers) = answers {
        caller::open(answers, u128::from_le_bytes(nonce));
    }
    let thread = std::thread::Builder::new().name(THREAD.to_string()).stack_size(size);
    let thread = thread.spawn(move || {
        if is_judge {
            // Half of it is for what the checks do with what was decoded.
            caller::allow_stack(stack_pointer() - size / 2);
        }
        let mut is_first = true;
        for at in 0..checks.len() {
            let number = if is_reverse { checks.len() - 1 - at } else { at };
            let (status, text) = run_one(&checks[number]);
            let longest = if is_first { LONG } else { SHORT };
            is_first &= status != 1;
            send(&mut reports, &nonce, number as u32, status, caller::digests(number as u32), cut(&text, longest).as_bytes());
        }
        caller::assert_quiet();
        send(&mut reports, &nonce, u32::MAX, 0, caller::Digests::default(), &caller::record());
    });
    let is_done = thread.expect("a thread can be started").join().is_ok();
    std::process::exit(if is_done { 0 } else { 101 })
}

fn send(channel: &mut File, nonce: &[u8; 16], number: u32, status: u8, digests: caller::Digests, text: &[u8]) {
    let mut frame = nonce.to_vec();
    frame.extend(number.to_le_bytes());
    frame.push(status);
    frame.extend(digests.asked.to_le_bytes());
    frame.extend(digests.answered.to_le_bytes());
    frame.extend((text.len() as u32).to_le_bytes());
    frame.extend(text);
    channel.write_all(&frame).expect("the parent reads");
}

/// Has the place of each panic noted.
pub(crate) fn hook_panics() {
    std::panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            note_panic(format!("{}:{}:{}", place.file(), place.line(), place.column()));
        }
    }));
}

fn run_one(check: &Check) -> (u8, String) {
    // Set again each time: a candidate may have replaced it.
    hook_panics();
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
