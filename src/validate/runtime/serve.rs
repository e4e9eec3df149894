//! The process of a candidate: takes calls from the judge, makes them, and sends back what came of each.
//!
//! Knows no check and no expected value. What a candidate prints goes to standard error, and it has no way to the
//! channel but through its answers.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::caller::{bounded, PANICKED, RETURNED};
use crate::generate::take_panic;
use crate::report::{end_process, hook_panics, take_channel, STACK};
use crate::wire::{Decode, Decoder, Encode, Encoder, LONGEST};

/// How the process ends on a call that the judge would not send, and when it could not start.
const BROKEN: i32 = 101;

/// Makes one call: of which candidate, of which function.
pub type Dispatch = fn(usize, u32, &mut Call<'_>) -> Option<()>;

/// Answers for the candidate that the first argument names by its number; never returns.
pub fn serve(dispatch: Dispatch) -> ! {
    match std::env::args().nth(1).and_then(|number| number.parse().ok()) {
        Some(candidate) => serve_as(candidate, dispatch),
        None => end_process(BROKEN),
    }
}

/// Answers for one candidate over descriptor 0, until the other end is closed.
pub fn serve_as(candidate: usize, dispatch: Dispatch) -> ! {
    let Some(channel) = take_channel(true) else { end_process(BROKEN) };
    let thread = std::thread::Builder::new().name("checks".to_string()).stack_size(STACK);
    let _ended = thread.spawn(move || answer_all(channel, candidate, dispatch)).map(|thread| thread.join());
    end_process(BROKEN)
}

fn answer_all(mut channel: File, candidate: usize, dispatch: Dispatch) {
    let mut objects = Objects::default();
    loop {
        let mut head = [0; 8];
        if !read(&mut channel, &mut head) {
            end_process(0);
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let mut body = vec![0; length];
        if !read(&mut channel, &mut body) {
            end_process(BROKEN);
        }
        let mut input = Decoder::new(&body, Some(0));
        let mut out = Encoder::default();
        out.put(&head);
        let function = input.number();
        let mut call = Call { input, out, objects: &mut objects };
        let done = function.and_then(|function| dispatch(candidate, function, &mut call));
        let mut frame = call.out.bytes;
        if done.is_none() || frame.len() - 8 > u32::MAX as usize {
            end_process(BROKEN);
        }
        if frame.len() - 8 > LONGEST {
            // The judge would not read it. It is told as what it is: too much.
            frame.truncate(8);
            let panic = Panic { kind: 1, message: TOO_LONG.to_string(), place: String::new() };
            let mut out = Encoder { bytes: frame, objects: Vec::new() };
            panic.encode(&mut out);
            frame = out.bytes;
        }
        let length = (frame.len() - 8) as u32;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        if channel.write_all(&frame).is_err() {
            end_process(0);
        }
    }
}

const TOO_LONG: &str = "the result is longer than 16 MiB";

/// Whether all of `bytes` came; the end before the first one ends this process as it should.
fn read(channel: &mut File, bytes: &mut [u8]) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        match channel.read(&mut bytes[done..]) {
            Ok(0) if done == 0 => return false,
            Ok(0) => end_process(BROKEN),
            Ok(more) => done += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// Objects that the judge knows by name only. A name is given again when its object is gone.
#[derive(Default)]
struct Objects {
    all: Vec<Option<Box<dyn Any>>>,
}

/// A call being made.
pub struct Call<'a> {
    input: Decoder<'a>,
    out: Encoder,
    objects: &'a mut Objects,
}

/// A panic of a candidate.
struct Panic {
    kind: u8,
    message: String,
    place: String,
}

impl Panic {
    fn encode(&self, out: &mut Encoder) {
        out.byte(PANICKED);
        out.byte(self.kind);
        out.text(bounded(&self.message));
        out.text(bounded(&self.place));
    }
}

impl Call<'_> {
    /// The next argument.
    pub fn take<L, T: Decode<L>>(&mut self) -> Option<T> {
        T::decode(&mut self.input)
    }

    /// Whether all arguments were taken.
    pub fn end(&self) -> Option<()> {
        (self.input.left() == 0).then_some(())
    }

    /// Makes the call: `work` calls the candidate and then [`Call::put`]s the result.
    pub fn make(&mut self, work: impl FnOnce(&mut Self)) {
        let start = self.out.bytes.len();
        self.out.byte(RETURNED);
        // Set again each time: a candidate may have replaced it.
        hook_panics();
        take_panic();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.failed(start, payload);
        }
    }

    fn failed(&mut self, start: usize, payload: Box<dyn Any + Send>) {
        let place = take_panic().unwrap_or_default();
        let (kind, message) = match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => (0, (*text).to_string()),
            (_, Some(text)) => (1, text.clone()),
            _ => (2, String::new()),
        };
        // Its destructor is the candidate's.
        std::mem::forget(payload);
        self.out.bytes.truncate(start);
        self.out.objects.clear();
        Panic { kind, message, place }.encode(&mut self.out);
    }

    /// Adds to the answer.
    pub fn put<L, T: Encode<L> + ?Sized>(&mut self, value: &T) {
        value.encode(&mut self.out);
    }
}
