//! A fork server: one process that has everything loaded, and forks a confined child for each run.
//!
//! llmc's side is `src/sandbox/zygote.rs`; the frames are described there. All that decides anything is over there too:
//! here are the few system calls that only the parent of the child can make. No candidate's code runs in this process,
//! only in its children, which hold none of its descriptors and a narrower filter.
//!
//! To keep in mind: children are copies. What the process drew before (the seed of a `HashMap`, an address) they share.

use std::io::{self, Write as _};

/// The variable of a program that is to be a fork server. Not an argument, since a candidate could see that.
pub const FORK: &str = "FORK";
/// Longest frame.
const LONGEST: usize = 128 << 10;
/// Where the control socket is.
const CONTROL: i32 = 0;
/// The first descriptor that a child does not have.
const FREE: i32 = 3;

/// The value of a variable of the environment, which is no longer there afterwards. Call this from the main thread, with
/// no other thread started.
pub fn take_variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    // SAFETY: no other thread is there.
    unsafe { std::env::remove_var(name) };
    value
}

/// Answers llmc's commands until the control socket closes: for each run, forks a child that calls `body` with the
/// run's argument and exits with what it returns, or with 101 where it panics.
///
/// The child has the run's channel (else nothing) on descriptor 0, sockets on 1 and 2 and no other descriptor. It ends by
/// `_exit`: what is buffered in `std::io::stdout` is lost unless `body` flushes it. Call this from the main thread, with
/// no other thread started.
pub fn fork_server(body: fn(argument: &[u8]) -> i32) -> ! {
    // Its memory is not for children to look at, even if all else failed. Where it is refused, all else holds.
    // SAFETY: takes numbers only.
    unsafe { prctl(PR_SET_DUMPABLE, 0_usize, 0_usize, 0_usize, 0_usize) };
    let mut frame = vec![0; LONGEST];
    let (size, _) = receive(&mut frame);
    let mut filter = Filter::read(&frame[..size]);
    send(b"Y");
    loop {
        let (size, descriptors) = receive(&mut frame);
        let (b'R', Some(descriptors)) = (frame[0], descriptors) else { give_up("a run has three descriptors") };
        // SAFETY: no other thread is there, so the child may do anything.
        let child = unsafe { fork() };
        if child == 0 {
            run(&frame[1..size], descriptors, &mut filter, body);
        }
        let error = io::Error::last_os_error().raw_os_error().unwrap_or_default();
        for descriptor in descriptors {
            // SAFETY: received for this run; nobody else knows them.
            unsafe { close(descriptor) };
        }
        if child < 0 {
            send(&[&b"E"[..], &error.to_le_bytes()].concat());
            continue;
        }
        send(&[&b"P"[..], &child.to_le_bytes()].concat());
        // Until llmc says so the child is not reaped, so that its number means nobody else.
        let _ = receive(&mut frame);
        if frame[0] != b'W' {
            give_up("a run ends before the next one");
        }
        let (status, microseconds) = reap(child);
        send(&[&b"D"[..], &status.to_le_bytes(), &microseconds.to_le_bytes()].concat());
    }
}

/// The child: makes itself what it has to be, and runs.
fn run(frame: &[u8], descriptors: [i32; 3], filter: &mut Filter, body: fn(&[u8]) -> i32) -> ! {
    let mut frame = Reader(frame);
    // SAFETY: numbers only, but for `limit`, which outlives its call.
    unsafe {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0_usize, 0_usize, 0_usize), "die with its parent");
        // A session of its own would also be scheduled as a group of its own, where the kernel does that.
        must(setpgid(0, 0), "lead a group");
        if getppid() != frame.number(4) as i32 {
            give_up("the parent has died");
        }
        let control = fcntl(CONTROL, F_DUPFD, FREE as usize);
        must(control, "keep the control socket for a moment");
        for (target, descriptor) in descriptors.into_iter().enumerate() {
            must(dup2(descriptor, target as i32), "take its descriptors");
        }
        must(dup2(control, FREE), "move the control socket");
        must(syscall(SYS_CLOSE_RANGE, FREE as usize + 1, u32::MAX as usize, 0_usize) as i32, "close the others");
        for _ in 0..frame.number(4) {
            let resource = frame.number(4) as u32;
            let wanted = [frame.number(8), frame.number(8)];
            let mut limit = [0; 2];
            must(getrlimit(resource, &mut limit), "know its limits");
            // Never above what already holds.
            let limit = [wanted[0].min(limit[1]), wanted[1].min(limit[1])];
            must(setrlimit(resource, &limit), "set its limits");
        }
    }
    filter.install();
    // All of it holds. `sendmsg` is forbidden by now.
    // SAFETY: the byte outlives the call, and nobody else knows the descriptor.
    unsafe {
        must(write(FREE, b"C".as_ptr(), 1) as i32, "say that it is confined");
        must(close(FREE), "close the control socket");
    }
    let argument = frame.0;
    let code = std::panic::catch_unwind(|| body(argument)).unwrap_or(101);
    // SAFETY: ends the process.
    unsafe { _exit(code) }
}

/// The seccomp program of the children.
struct Filter {
    /// The kernel's `struct sock_filter`s, eight bytes each; none where nothing is confined.
    instructions: Vec<[u8; 8]>,
    /// Those that compare with the number of the process itself.
    own: Vec<usize>,
}

impl Filter {
    /// Reads the first frame.
    fn read(frame: &[u8]) -> Self {
        let mut frame = Reader(frame);
        if frame.number(1) as u8 != b'S' {
            give_up("the filter comes first");
        }
        let own = (0..frame.number(4)).map(|_| frame.number(4) as usize).collect();
        let instructions = (0..frame.number(4)).map(|_| frame.take(8).try_into().expect("eight bytes")).collect();
        Self { instructions, own }
    }

    /// Puts it on the calling process.
    fn install(&mut self) {
        if self.instructions.is_empty() {
            return;
        }
        for index in &self.own {
            // The operand is the second half.
            self.instructions[*index][4..].copy_from_slice(&std::process::id().to_ne_bytes());
        }
        // `struct sock_fprog`: how many, and where.
        let program = [self.instructions.len(), self.instructions.as_ptr() as usize];
        // SAFETY: `program` and what it points to outlive the call.
        let done = unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program.as_ptr() as usize, 0_usize, 0_usize) };
        must(done, "confine itself");
    }
}

/// Numbers of a frame, little endian.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        if count > self.0.len() {
            give_up("a frame is whole");
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn number(&mut self, size: usize) -> u64 {
        self.take(size).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Receives one frame, with the descriptors that came with it; ends the process where llmc is gone.
fn receive(buffer: &mut [u8]) -> (usize, Option<[i32; 3]>) {
    let mut part = [buffer.as_mut_ptr() as usize, buffer.len()];
    // `struct cmsghdr` and three descriptors.
    let mut control = [0_u64; 4];
    let mut message = Message::new(&mut part, &mut control);
    let size = loop {
        // SAFETY: `message` and all it points to outlive the call.
        let size = unsafe { recvmsg(CONTROL, &mut message, MSG_CMSG_CLOEXEC) };
        if size >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            break size;
        }
    };
    if size <= 0 {
        // SAFETY: ends the process.
        unsafe { _exit(0) };
    }
    if message.flags & (MSG_TRUNC | MSG_CTRUNC) != 0 {
        give_up("a frame fits");
    }
    let whole = control[0] as usize == THREE && control[1] == RIGHTS;
    let numbers = [control[2] as u32, (control[2] >> 32) as u32, control[3] as u32];
    (size as usize, whole.then_some(numbers.map(|number| number as i32)))
}

/// Sends one frame; ends the process where llmc is gone.
fn send(frame: &[u8]) {
    let mut part = [frame.as_ptr() as usize, frame.len()];
    let message = Message::new(&mut part, &mut []);
    loop {
        // SAFETY: `message` and all it points to outlive the call, which only reads.
        if unsafe { sendmsg(CONTROL, &message, MSG_NOSIGNAL) } >= 0 {
            return;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            // SAFETY: ends the process.
            unsafe { _exit(0) };
        }
    }
}

/// Waits for the child's end: its wait status, and the CPU time it used, in microseconds.
fn reap(child: i32) -> (i32, u64) {
    let mut status = 0;
    // `struct rusage`: two `struct timeval`s, and fourteen numbers.
    let mut usage = [0_i64; 18];
    loop {
        // SAFETY: both outlive the call.
        if unsafe { wait4(child, &mut status, 0, &mut usage) } == child {
            return (status, ((usage[0] + usage[2]) * 1_000_000 + usage[1] + usage[3]) as u64);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            give_up("a child can be waited for");
        }
    }
}

fn must(result: i32, what: &str) {
    if result < 0 {
        give_up(&format!("a child can {what}: {}", io::Error::last_os_error()));
    }
}

/// Ends the process, since the two sides do not understand each other.
fn give_up(expected: &str) -> ! {
    let _ = writeln!(io::stderr(), "fork server: not so: {expected}");
    // SAFETY: ends the process.
    unsafe { _exit(112) }
}

/// `struct msghdr`, where numbers have 64 bits and the small end comes first.
#[repr(C)]
struct Message {
    name: usize,
    name_size: u64,
    parts: *mut [usize; 2],
    part_count: usize,
    control: *mut u64,
    control_size: usize,
    flags: i32,
}

impl Message {
    fn new(part: &mut [usize; 2], control: &mut [u64]) -> Self {
        let control_size = std::mem::size_of_val(control);
        let control = if control.is_empty() { std::ptr::null_mut() } else { control.as_mut_ptr() };
        Self { name: 0, name_size: 0, parts: part, part_count: 1, control, control_size, flags: 0 }
    }
}

/// Length of a control message with three descriptors, and its kind: `SOL_SOCKET`, `SCM_RIGHTS`.
const THREE: usize = 16 + 3 * 4;
const RIGHTS: u64 = 1 << 32 | 1;
const F_DUPFD: i32 = 0;
const MSG_CTRUNC: i32 = 0x8;
const MSG_TRUNC: i32 = 0x20;
const MSG_NOSIGNAL: i32 = 0x4000;
const MSG_CMSG_CLOEXEC: i32 = 0x4000_0000;
const PR_SET_PDEATHSIG: i32 = 1;
const PR_SET_DUMPABLE: i32 = 4;
const PR_SET_SECCOMP: i32 = 22;
const SECCOMP_MODE_FILTER: usize = 2;
const SIGKILL: usize = 9;
/// The same on every machine.
const SYS_CLOSE_RANGE: i64 = 436;

unsafe extern "C" {
    fn _exit(code: i32) -> !;
    fn close(descriptor: i32) -> i32;
    fn dup2(from: i32, to: i32) -> i32;
    fn fcntl(descriptor: i32, command: i32, ...) -> i32;
    fn fork() -> i32;
    fn getppid() -> i32;
    fn getrlimit(resource: u32, limit: *mut [u64; 2]) -> i32;
    fn prctl(option: i32, ...) -> i32;
    fn recvmsg(descriptor: i32, message: *mut Message, flags: i32) -> isize;
    fn sendmsg(descriptor: i32, message: *const Message, flags: i32) -> isize;
    fn setrlimit(resource: u32, limit: *const [u64; 2]) -> i32;
    fn setpgid(process: i32, group: i32) -> i32;
    fn syscall(number: i64, ...) -> i64;
    fn wait4(child: i32, status: *mut i32, options: i32, usage: *mut [i64; 18]) -> i32;
    fn write(descriptor: i32, bytes: *const u8, count: usize) -> isize;
}
