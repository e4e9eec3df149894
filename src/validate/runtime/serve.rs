//! The process of a candidate: takes calls from the judge, makes them, and sends back what came of each.
//!
//! Knows no check and no expected value. What a candidate prints goes to standard error, and it has no way to the
//! channel but through its answers.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::{Debug, Display, Write as _};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::OnceLock;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::caller::{bounded, DROP, PANICKED, RETURNED};
use crate::fork::{fork_server, take_variable, FORK};
use crate::generate::take_panic;
use crate::report::{end_process, hook_panics, take_channel, STACK, THREAD};
use crate::wire::{Decoder, Encode, Encoder, LONGEST};

/// How the process ends on a call that the judge would not send, and when it could not start.
const BROKEN: i32 = 101;

/// Makes one call: of which candidate, of which function.
pub type Dispatch = fn(usize, u32, &mut Call<'_>) -> Option<()>;

/// The variable that holds the number of a candidate, where nothing is forked.
const CANDIDATE: &str = "CANDIDATE";

/// Answers for the candidate that the variable [`CANDIDATE`] names by its number; [`FORK`] stands for one after the other,
/// each in a process of its own. Never returns.
pub fn serve(dispatch: Dispatch) -> ! {
    // Set once: this is where the process begins.
    let _ = DISPATCH.set(dispatch);
    if take_variable(FORK).is_some() {
        fork_server(|argument| serve_named(std::str::from_utf8(argument).unwrap_or_default()));
    }
    serve_named(&take_variable(CANDIDATE).unwrap_or_default())
}

static DISPATCH: OnceLock<Dispatch> = OnceLock::new();

fn serve_named(candidate: &str) -> ! {
    match (candidate.parse(), DISPATCH.get()) {
        (Ok(candidate), Some(dispatch)) => serve_as(candidate, *dispatch),
        _ => end_process(BROKEN),
    }
}

/// Answers for one candidate over descriptor 0, until the other end is closed.
pub fn serve_as(candidate: usize, dispatch: Dispatch) -> ! {
    let Some(channel) = take_channel(true) else { end_process(BROKEN) };
    let thread = std::thread::Builder::new().name(THREAD.to_string()).stack_size(STACK);
    let _ended = thread.spawn(move || answer_all(channel, candidate, dispatch)).map(|thread| thread.join());
    end_process(BROKEN)
}

fn answer_all(mut channel: File, candidate: usize, dispatch: Dispatch) {
    // What came and was not looked at: `buffer[from..to]`. Short calls come whole, some perhaps at once.
    let mut buffer = vec![0; 16 << 10];
    let (mut from, mut to) = (0, 0);
    // Answers that were not sent: whoever sent several calls at once does not wait for each.
    let mut answers = Vec::new();
    loop {
        if (to == from || answers.len() > buffer.len()) && !answers.is_empty() {
            if channel.write_all(&answers).is_err() {
                end_process(0);
            }
            answers.clear();
        }
        if to - from < 8 {
            buffer.copy_within(from..to, 0);
            (from, to) = (0, to - from);
        }
        while to - from < 8 {
            match read(&mut channel, &mut buffer[to..]) {
                0 => end_process(if to == from { 0 } else { BROKEN }),
                more => to += more,
            }
        }
        let mut head = [0; 8];
        head.copy_from_slice(&buffer[from..from + 8]);
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        from += 8;
        let here = length.min(to - from);
        let mut body = buffer[from..from + here].to_vec();
        from += here;
        let mut done = body.len();
        body.resize(length, 0);
        while done < length {
            match read(&mut channel, &mut body[done..]) {
                0 => end_process(BROKEN),
                more => done += more,
            }
        }
        let mut input = Decoder::new(&body, Some(0));
        let mut out = Encoder::default();
        out.put(&head);
        let Some(function) = input.number() else { end_process(BROKEN) };
        let mut call = Call { input, out };
        // Set again each time: a candidate may have replaced it.
        hook_panics();
        take_panic();
        let work = AssertUnwindSafe(|| match function {
            DROP => drop_object(&mut call),
            function => dispatch(candidate, function, &mut call),
        });
        let done = match catch_unwind(work) {
            Ok(done) => done,
            Err(payload) => {
                call.failed(payload);
                Some(())
            }
        };
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
        if answers.is_empty() {
            answers = frame;
        } else {
            answers.append(&mut frame);
        }
    }
}

const TOO_LONG: &str = "the result is longer than 16 MiB";

/// How many bytes came; none at the end, and where nothing can be read.
fn read(channel: &mut File, bytes: &mut [u8]) -> usize {
    loop {
        match channel.read(bytes) {
            Ok(more) => return more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return 0,
        }
    }
}

/// A call being made.
pub struct Call<'a> {
    /// The arguments that were not taken yet.
    pub input: Decoder<'a>,
    /// The answer.
    pub out: Encoder,
}

thread_local! {
    /// Objects that the judge knows by name only: their place here. A place is used again when its object is gone.
    static OBJECTS: RefCell<Vec<Option<Box<dyn Any>>>> = const { RefCell::new(Vec::new()) };
}

/// Keeps an object here and writes its name.
///
/// # Safety
/// It is a bitwise move: `value` must never be used or dropped again.
pub unsafe fn keep<T: 'static>(value: &T, out: &mut Encoder) {
    // SAFETY: the caller gives it away.
    let object: Box<dyn Any> = Box::new(unsafe { std::ptr::read(value) });
    let name = OBJECTS.with_borrow_mut(|all| {
        let free = all.iter().position(Option::is_none).unwrap_or(all.len());
        if free == all.len() {
            all.push(None);
        }
        all[free] = Some(object);
        free
    });
    out.object(name as u64);
}

/// The next argument, which is an object given away.
pub fn give<T: 'static>(input: &mut Decoder<'_>) -> Option<T> {
    let name = usize::try_from(input.object()?).ok()?;
    OBJECTS.with_borrow_mut(|all| {
        let object = all.get_mut(name)?.take()?;
        object.downcast().ok().map(|object| *object)
    })
}

/// The next argument, which is an object lent.
pub fn lend<T: 'static>(input: &mut Decoder<'_>) -> Option<&'static T> {
    lend_mut(input).map(|object| &*object)
}

/// The next argument, which is an object lent for changes.
pub fn lend_mut<T: 'static>(input: &mut Decoder<'_>) -> Option<&'static mut T> {
    let name = usize::try_from(input.object()?).ok()?;
    OBJECTS.with_borrow_mut(|all| {
        let object: *mut T = all.get_mut(name)?.as_deref_mut()?.downcast_mut()?;
        // SAFETY: the object stays where it is until the judge drops it or gives it away. The judge has one owner of
        // each name, and its compiler saw to it that nobody else has the owner while this borrow lasts: one call.
        Some(unsafe { &mut *object })
    })
}

fn drop_object(call: &mut Call<'_>) -> Option<()> {
    let name = usize::try_from(call.input.object()?).ok()?;
    call.begin()?;
    let object = OBJECTS.with_borrow_mut(|all| all.get_mut(name)?.take())?;
    drop(object);
    Encode::<()>::encode(&(), &mut call.out);
    Some(())
}

/// A value as its `Debug` writes it.
pub fn debug<T: Debug>(value: &T, is_alternate: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if is_alternate { write!(text, "{value:#?}")? } else { write!(text, "{value:?}")? }
    Ok(text)
}

/// A value as its `Display` writes it.
pub fn display<T: Display>(value: &T, is_alternate: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if is_alternate { write!(text, "{value:#}")? } else { write!(text, "{value}")? }
    Ok(text)
}

/// What a value's `Hash` makes of it.
pub fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
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
    /// Whether all arguments were taken. The result is written next.
    pub fn begin(&mut self) -> Option<()> {
        self.out.byte(RETURNED);
        (self.input.left() == 0).then_some(())
    }

    /// For a function that may change its arguments, which are written after its panic too: `work` calls it and writes
    /// the result.
    pub fn make(&mut self, work: impl FnOnce(&mut Self)) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.failed(payload);
        }
    }

    fn failed(&mut self, payload: Box<dyn Any + Send>) {
        let place = take_panic().unwrap_or_default();
        let (kind, message) = match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => (0, (*text).to_string()),
            (_, Some(text)) => (1, text.clone()),
            _ => (2, String::new()),
        };
        // Its destructor is the candidate's.
        std::mem::forget(payload);
        self.out.bytes.truncate(8);
        self.out.objects.clear();
        Panic { kind, message, place }.encode(&mut self.out);
    }
}
