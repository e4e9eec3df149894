//! The judge's end of the channel to the process of a candidate: sends calls, takes answers.
//!
//! Frames, both ways: length of the body (u32), number of the call (u32), body; little endian. A call is the number of
//! the function (u32) and its arguments; an answer a byte, the result or a panic, and the arguments that the function
//! may have changed. Nothing that comes is trusted: what is not exactly the answer that is due ends this process.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};
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
    /// Number of the call before.
    number: u32,
    /// Of the calls since the last [`digests`].
    digests: Digests,
    kept: usize,
}

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

/// Starts to use the channel.
pub(crate) fn open(file: File) {
    *channel() = Some(Channel { file, number: 0, digests: Digests::default(), kept: 0 });
}

/// Lets this thread decode down to `floor` of its stack.
pub(crate) fn allow_stack(floor: usize) {
    FLOOR.set(Some(floor));
}

/// Of the calls since the last time.
pub(crate) fn digests() -> Digests {
    channel().as_mut().map_or(Digests::default(), |channel| std::mem::take(&mut channel.digests))
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
        let mut frame = self.out.bytes;
        let Ok(length) = u32::try_from(frame.len() - 8) else { lost() };
        let mut guard = channel();
        let Some(channel) = guard.as_mut() else { lost() };
        // What waits here already is no answer, and an end means that nobody is there.
        if is_ready(channel.file.as_raw_fd()) {
            lost();
        }
        channel.number = channel.number.wrapping_add(1);
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..8].copy_from_slice(&channel.number.to_le_bytes());
        let answer = channel.file.write_all(&frame).ok().and_then(|()| receive(&mut channel.file, channel.number));
        drop(guard);
        match answer {
            Some(bytes) => {
                let floor = FLOOR.get();
                // The bytes stay where they are when the vector moves.
                Answer { bytes, at: 0, floor, asked, skipped: Vec::new(), leaked: 0, panic: None }
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

fn receive(file: &mut File, number: u32) -> Option<Vec<u8>> {
    let mut head = [0; 8];
    file.read_exact(&mut head).ok()?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > LONGEST || head[4..] != number.to_le_bytes() {
        return None;
    }
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// An answer being read.
pub struct Answer {
    bytes: Vec<u8>,
    at: usize,
    floor: Option<usize>,
    /// Digest of the call.
    asked: u64,
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
