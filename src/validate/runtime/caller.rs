//! The judge's end of the channel to the process of a candidate: sends calls, takes answers.
//!
//! Frames, both ways: length of the body (u32), number of the call (four bytes), body; little endian. A call is the number
//! of the function (u32) and its arguments; an answer a byte, the result or a panic, and the arguments that the function
//! may have changed. Nothing that comes is trusted: what is not exactly the answer that is due ends this process.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::generate::{cut, note_panic, take_panic};
use crate::report::{end_process, is_ready};
use crate::wire::{Decode, Decoder, Encode, Encoder, LONGEST};

/// How the judge ends when the candidate is gone, or answers what no candidate may.
pub const LOST: i32 = 113;
/// Most memory that answers may keep for good, in bytes: what they lend is never given back.
const KEPT: usize = 128 << 20;
/// Longest message of a panic, and longest name of its place, in bytes.
pub const MESSAGE: usize = 4 << 10;
/// The number of the function that drops an object.
pub const DROP: u32 = u32::MAX;
/// First byte of an answer.
pub const RETURNED: u8 = 0;
/// First byte of an answer.
pub const PANICKED: u8 = 1;

struct Channel {
    file: File,
    /// The number of a call can't be known before it is made: an answer that comes early does not bear it.
    numbers: Numbers,
    /// Where answers are read to: a short one comes whole.
    buffer: Vec<u8>,
    /// Of the calls since the last [`digests`].
    digests: Digests,
    kept: usize,
    /// The calls of this run with their answers, check by check; nothing once there is one that can't be made again
    /// by itself, or too much.
    record: Option<Vec<u8>>,
    /// Those of the check under way.
    entries: Vec<u8>,
}

/// Longest record of a run, in bytes.
const RECORD: usize = 256 << 10;

/// What was asked, and what was asked with what was answered, each in a number. The order of calls does not count, since
/// threads may ask; nor do the names of objects, which hang on what was asked before.
#[derive(Clone, Copy, Default)]
pub struct Digests {
    /// Of the calls.
    pub asked: u64,
    /// Of the calls with their answers.
    pub answered: u64,
}

static CHANNEL: Mutex<Option<Channel>> = Mutex::new(None);

thread_local! {
    /// Lowest address that decoding may reach on this thread's stack, where it is known.
    static FLOOR: Cell<Option<usize>> = const { Cell::new(None) };
}

fn channel() -> MutexGuard<'static, Option<Channel>> {
    CHANNEL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to use the channel; `secret` is not known to the candidate.
pub(crate) fn open(file: File, secret: u128) {
    let buffer = vec![0; 16 << 10];
    *channel() = Some(Channel {
        file,
        numbers: Numbers(secret),
        buffer,
        digests: Digests::default(),
        kept: 0,
        record: Some(Vec::new()),
        entries: Vec::new(),
    });
}

/// Numbers of calls.
struct Numbers(u128);

impl Numbers {
    fn next(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0.to_le_bytes());
        (hasher.finish() as u32).to_le_bytes()
    }
}

/// Lets this thread decode down to `floor` of its stack.
pub(crate) fn allow_stack(floor: usize) {
    FLOOR.set(Some(floor));
}

/// Of the calls since the last time, which were those of this check.
pub(crate) fn digests(check: u32) -> Digests {
    let mut guard = channel();
    let Some(channel) = guard.as_mut() else { return Digests::default() };
    let entries = std::mem::take(&mut channel.entries);
    if let Some(record) = channel.record.as_mut().filter(|_| !entries.is_empty()) {
        record.extend(check.to_le_bytes());
        record.extend((entries.len() as u32).to_le_bytes());
        record.extend(entries);
    }
    std::mem::take(&mut channel.digests)
}

/// The calls of all checks in the order in which they were made: for each check its number (u32), the length of what
/// follows (u32), and of each call its length (u32), itself as it was sent, the length of the answer (u32), and the answer.
/// Empty where they can't be made again without the judge, since an object is known by a name of that run.
pub(crate) fn record() -> Vec<u8> {
    channel().as_mut().and_then(|channel| channel.record.take()).unwrap_or_default()
}

/// Sees to it that the candidate is there and has said nothing unasked.
pub(crate) fn assert_quiet() {
    if channel().as_ref().is_some_and(|channel| is_ready(channel.file.as_raw_fd())) {
        lost();
    }
}

fn lost() -> ! {
    end_process(LOST)
}

/// A call being written.
pub struct Call {
    out: Encoder,
}

impl Call {
    /// A call of the function of that number.
    pub fn new(function: u32) -> Self {
        let mut out = Encoder::default();
        // For the head: it is written in one go.
        out.put(&[0; 8]);
        out.put(&function.to_le_bytes());
        Self { out }
    }

    /// Adds an argument.
    pub fn put<L, T: Encode<L> + ?Sized>(&mut self, argument: &T) {
        argument.encode(&mut self.out);
    }

    /// Waits for the answer.
    pub fn send(self) -> Answer {
        let asked = self.asked();
        let is_plain = self.out.objects.is_empty();
        let mut frame = self.out.bytes;
        let Ok(length) = u32::try_from(frame.len() - 8) else { lost() };
        let mut guard = channel();
        let Some(channel) = guard.as_mut() else { lost() };
        let number = channel.numbers.next();
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..8].copy_from_slice(&number);
        let answer = channel.file.write_all(&frame).ok().and_then(|()| channel.receive(number));
        drop(guard);
        match answer {
            Some(bytes) => {
                let floor = FLOOR.get();
                // The bytes stay where they are when the vector moves.
                let call = is_plain.then_some(frame);
                Answer { bytes, at: 0, floor, asked, call, skipped: Vec::new(), leaked: 0, panic: None }
            }
            None => lost(),
        }
    }
}

impl Call {
    /// A digest of the call, without the names of objects.
    fn asked(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut done = 8;
        for at in &self.out.objects {
            hasher.write(&self.out.bytes[done..*at]);
            done = *at + 8;
        }
        hasher.write(&self.out.bytes[done..]);
        hasher.finish()
    }
}

impl Channel {
    /// Puts a call and its answer on record.
    fn note(&mut self, call: Option<&[u8]>, answer: &[u8]) {
        let Some(record) = &self.record else { return };
        let size = |call: &[u8]| record.len() + self.entries.len() + call.len() + answer.len() + 16;
        match call.filter(|call| size(call) <= RECORD) {
            Some(call) => {
                for part in [call, answer] {
                    self.entries.extend((part.len() as u32).to_le_bytes());
                    self.entries.extend(part);
                }
            }
            None => (self.record, self.entries) = (None, Vec::new()),
        }
    }

    /// The body of the answer to the call of that number, and nothing after it.
    fn receive(&mut self, number: [u8; 4]) -> Option<Vec<u8>> {
        let mut have = 0;
        while have < 8 {
            have += match self.file.read(&mut self.buffer[have..]) {
                Ok(0) => return None,
                Ok(more) => more,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(_) => return None,
            };
        }
        let head = &self.buffer[..8];
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length > LONGEST || head[4..] != number || have > 8 + length {
            return None;
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&self.buffer[8..have]);
        if bytes.len() < length {
            let read = bytes.len();
            bytes.resize(length, 0);
            self.file.read_exact(&mut bytes[read..]).ok()?;
        }
        Some(bytes)
    }
}

/// An answer being read.
pub struct Answer {
    bytes: Vec<u8>,
    at: usize,
    floor: Option<usize>,
    /// Digest of the call.
    asked: u64,
    /// The call as it was sent, after eight bytes of a head; nothing where it or the answer bears the name of an object.
    call: Option<Vec<u8>>,
    /// Parts that differ between runs that are the same: words of panics, names of objects.
    skipped: Vec<(usize, usize)>,
    leaked: usize,
    panic: Option<Box<dyn Any + Send>>,
}

impl Answer {
    /// What the function returned; nothing when it panicked, see [`Answer::end`].
    pub fn result<L, T: Decode<L>>(&mut self) -> Option<T> {
        if self.returned() { Some(self.take()) } else { None }
    }

    /// Whether the function returned. To be asked once, first of all.
    pub fn returned(&mut self) -> bool {
        let Some(has_panicked) = self.read(|input| <bool as Decode<()>>::decode(input)) else { lost() };
        if has_panicked {
            let start = self.at;
            let Some(panic) = self.read(panic) else { lost() };
            self.skipped.push((start, self.at));
            self.panic = Some(panic);
        }
        !has_panicked
    }

    /// What comes next: the result, or an argument that the function may have changed.
    pub fn take<L, T: Decode<L>>(&mut self) -> T {
        match self.read(T::decode) {
            Some(value) => value,
            None => lost(),
        }
    }

    fn read<T>(&mut self, decode: impl FnOnce(&mut Decoder<'_>) -> Option<T>) -> Option<T> {
        let mut input = Decoder::new(&self.bytes[self.at..], self.floor);
        let value = decode(&mut input)?;
        self.skipped.extend(input.objects().iter().map(|at| (self.at + at, self.at + at + 8)));
        if !input.objects().is_empty() {
            self.call = None;
        }
        self.leaked += input.leaked();
        self.at += input.at();
        Some(value)
    }

    /// Ends it: nothing may be left over, and a panic of the function goes on here.
    pub fn end(&mut self) {
        if self.at != self.bytes.len() {
            lost();
        }
        self.count();
    }

    /// Goes on with the panic of the function.
    pub fn resume(self) -> ! {
        match self.panic {
            Some(payload) => resume_unwind(payload),
            None => lost(),
        }
    }

    fn count(&self) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.asked);
        let mut done = 0;
        for (start, end) in &self.skipped {
            hasher.write(&self.bytes[done..*start]);
            done = *end;
        }
        hasher.write(&self.bytes[done..]);
        if let Some(channel) = channel().as_mut() {
            let digests = &mut channel.digests;
            digests.asked = digests.asked.wrapping_add(self.asked);
            digests.answered = digests.answered.wrapping_add(hasher.finish());
            channel.note(self.call.as_ref().map(|call| &call[8..]), &self.bytes);
            channel.kept += self.leaked;
            if channel.kept > KEPT {
                lost();
            }
        }
    }
}

/// An object in the candidate's process, by its name there. It is gone there when it is gone here.
pub struct Object(u64);

impl Object {
    /// The next object of an answer.
    pub fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        input.object().map(Self)
    }

    /// Writes its name.
    pub fn encode(&self, out: &mut Encoder) {
        out.object(self.0);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let mut call = Call::new(DROP);
        self.encode(&mut call.out);
        let mut answer = call.send();
        let has_panicked = answer.result::<(), ()>().is_none();
        answer.end();
        // Its destructor panicked. A second panic on top of another would end this process.
        if has_panicked && !std::thread::panicking() {
            answer.resume();
        }
    }
}

/// Puts changed elements where they came from.
pub fn put_back<T>(place: &mut [T], values: Vec<T>) {
    if place.len() != values.len() {
        lost();
    }
    for (place, value) in place.iter_mut().zip(values) {
        *place = value;
    }
}

/// The payload of a panic; its place is noted.
fn panic(input: &mut Decoder<'_>) -> Option<Box<dyn Any + Send>> {
    let kind = input.byte()?;
    let message = input.text().filter(|text| text.len() <= MESSAGE)?;
    let place = input.text().filter(|text| text.len() <= MESSAGE)?;
    if place.is_empty() {
        take_panic();
    } else {
        note_panic(place.to_string());
    }
    match kind {
        // A literal, or nothing that is a text.
        0 => Some(Box::new(&*String::leak(message.to_string()))),
        1 => Some(Box::new(message.to_string())),
        2 => Some(Box::new(())),
        _ => None,
    }
}

/// The beginning of a panic's message or place.
pub(crate) fn bounded(text: &str) -> &str {
    cut(text, MESSAGE)
}
