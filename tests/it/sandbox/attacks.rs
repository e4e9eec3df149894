//! A hostile program: its first argument says what it tries; it prints ESCAPED where that worked.
//!
//! No module of the test binary: it is compiled by the tests, once.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::time::Duration;

unsafe extern "C" {
    fn fork() -> c_int;
    fn vfork() -> c_int;
    fn setsid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn ptrace(request: c_long, ...) -> c_long;
    fn syscall(number: c_long, ...) -> c_long;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn execv(path: *const c_char, arguments: *const *const c_char) -> c_int;
    fn chmod(path: *const c_char, mode: u32) -> c_int;
    fn setuid(user: u32) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn close(fd: c_int) -> c_int;
    fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize;
    fn sendmsg(fd: c_int, message: *const c_void, flags: c_int) -> isize;
    fn recvmsg(fd: c_int, message: *const c_void, flags: c_int) -> isize;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, size: u32) -> c_int;
    fn mmap(at: *mut c_void, size: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
}

fn escaped_if(worked: bool) {
    if worked {
        println!("ESCAPED");
    }
    std::process::exit(i32::from(!worked));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        // The module is put below by the tests.
        Some("fork server") => fork::fork_server(|argument| {
            let words = String::from_utf8_lossy(argument).into_owned();
            act(std::iter::once("").chain(words.split('\n')).map(str::to_owned).collect());
            std::io::stdout().flush().unwrap();
            0
        }),
        Some("never a fork server") => std::thread::sleep(Duration::from_secs(600)),
        Some("broken fork server") => panic!("it breaks at once"),
        _ => act(arguments),
    }
}

static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

fn act(arguments: Vec<String>) {
    let object = arguments.get(2).cloned().unwrap_or_default();
    let number: i64 = object.parse().unwrap_or(0);
    let path = std::ffi::CString::new(object.clone()).unwrap();
    match arguments[1].as_str() {
        "read" => escaped_if(std::fs::read(&object).is_ok()),
        "write" => escaped_if(std::fs::write(&object, "x").is_ok()),
        "append to itself" => {
            escaped_if(std::fs::OpenOptions::new().append(true).open(&arguments[0]).is_ok());
        }
        "make a folder" => escaped_if(std::fs::create_dir(&object).is_ok()),
        "remove" => escaped_if(std::fs::remove_file(&object).is_ok()),
        "list" => escaped_if(std::fs::read_dir(&object).is_ok()),
        "stat" => escaped_if(std::fs::metadata(&object).is_ok()),
        "canonicalize" => escaped_if(std::fs::canonicalize(&object).is_ok()),
        "chmod" => escaped_if(unsafe { chmod(path.as_ptr(), 0o777) } == 0),
        "environment" => escaped_if(std::env::var("LLMC_TEST_SECRET").is_ok()),
        "working directory" => escaped_if(std::env::current_dir().is_ok()),
        "inherited descriptor" => {
            let mut file = unsafe { std::fs::File::from_raw_fd(number as c_int) };
            escaped_if(file.read_to_string(&mut String::new()).is_ok());
        }
        "listen" => escaped_if(std::net::TcpListener::bind("127.0.0.1:0").is_ok()),
        "connect" => escaped_if(std::net::TcpStream::connect(&object).is_ok()),
        "udp" => escaped_if(std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        "unix socket" => escaped_if(std::os::unix::net::UnixStream::pair().is_ok()),
        "unix socket by path" => escaped_if(std::os::unix::net::UnixStream::connect(&object).is_ok()),
        "resolve" => escaped_if(std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_ok()),
        "spawn" => escaped_if(std::process::Command::new("/bin/true").status().is_ok()),
        "exec" => {
            let path = c"/bin/echo";
            let words = [path.as_ptr(), c"ESCAPED".as_ptr(), std::ptr::null()];
            unsafe { execv(path.as_ptr(), words.as_ptr()) };
            escaped_if(false);
        }
        "fork" => match unsafe { fork() } {
            0 => std::process::exit(0),
            child => escaped_if(child > 0),
        },
        "vfork" => match unsafe { vfork() } {
            0 => unsafe {
                syscall(231, 0);
            },
            child => escaped_if(child > 0),
        },
        "daemon" => {
            // Lingers in another session, with the pipes closed.
            if unsafe { fork() } == 0 {
                unsafe { setsid() };
                if unsafe { fork() } == 0 {
                    (0..64).for_each(|fd| drop(unsafe { close(fd) }));
                    std::thread::sleep(Duration::from_secs(2));
                }
                std::process::exit(0);
            }
            escaped_if(true);
        }
        "signal" => escaped_if(unsafe { kill(number as c_int, 0) } == 0),
        "ptrace" => escaped_if(unsafe { ptrace(0, 0, 0, 0) } == 0),
        "read memory" => {
            let mut word = 0_u64;
            let local = [&raw mut word as u64, 8];
            let remote = [&raw const arguments as u64, 8];
            // Its own, by number, through the call that reads another's.
            let pid = std::process::id();
            escaped_if(unsafe { syscall(310, pid, &local, 1_u64, &remote, 1_u64, 0_u64) } == 8);
        }
        "any descriptor" => {
            let open: Vec<c_int> = (3..1024).filter(|fd| unsafe { fcntl(*fd, 1) } >= 0).collect();
            escaped_if(!open.is_empty());
        }
        // As one that was forked might order another run, or an end.
        "command the parent" => {
            let others = (0..64).filter(|fd| ![1, 2].contains(fd));
            let heard = others.filter(|fd| unsafe { write(*fd, c"W".as_ptr().cast(), 1) } == 1);
            escaped_if(heard.count() > 0);
        }
        "count" => println!("{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)),
        "length" => println!("{}", object.len()),
        "answer in capitals" => {
            let mut channel = unsafe { std::fs::File::from_raw_fd(0) };
            let mut buffer = [0; 64];
            loop {
                match channel.read(&mut buffer).unwrap() {
                    0 => break,
                    count => channel.write_all(&buffer[..count].to_ascii_uppercase()).unwrap(),
                }
            }
        }
        "send a descriptor" => {
            let mut byte = *b"x";
            let part = [byte.as_mut_ptr() as u64, 1];
            // `struct cmsghdr` of one descriptor: its length, SOL_SOCKET and SCM_RIGHTS, the number.
            let control = [20_u64, 1 << 32 | 1, 0];
            let message = [0, 0, part.as_ptr() as u64, 1, control.as_ptr() as u64, 24, 0];
            escaped_if(unsafe { sendmsg(0, message.as_ptr().cast(), 0) } == 1);
        }
        "receive a descriptor" => {
            let message = [0_u64; 7];
            // MSG_DONTWAIT: that nothing has come is good enough.
            let received = unsafe { recvmsg(0, message.as_ptr().cast(), 0x40) };
            let none = std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock;
            escaped_if(received >= 0 || none);
        }
        "socket option" => {
            let size = 1_i32;
            escaped_if(unsafe { setsockopt(0, 1, 7, (&raw const size).cast(), 4) } == 0);
        }
        // F_SETFL, O_NONBLOCK: it would hold for the other end's copies too.
        "make it not block" => escaped_if(unsafe { fcntl(0, 4, 0x800) } == 0),
        "memfd" => escaped_if(unsafe { syscall(319, c"x".as_ptr(), 0) } >= 0),
        "keys" => {
            escaped_if(unsafe { syscall(248, c"user".as_ptr(), c"llmc".as_ptr(), c"x".as_ptr(), 1_usize, -2) } >= 0)
        }
        "io_uring" => {
            let mut parameters = [0_u32; 64];
            escaped_if(unsafe { syscall(425, 1, parameters.as_mut_ptr()) } >= 0);
        }
        "inotify" => escaped_if(unsafe { syscall(294, 0) } >= 0),
        "namespace" => escaped_if(unsafe { syscall(272, 0x1000_0000) } == 0),
        "x32" => escaped_if(unsafe { syscall(0x4000_0000 + 41, 1, 1, 0) } >= 0),
        "own signals to others" => escaped_if(unsafe { fcntl(1, 8, number as c_int) } == 0),
        "outlive the parent" => escaped_if(unsafe { prctl(1, 0, 0, 0, 0) } == 0),
        "change user" => escaped_if(unsafe { setuid(1) } == 0),
        "threads" => {
            let mut threads = Vec::new();
            for _ in 0..number {
                let thread = std::thread::Builder::new().stack_size(16 << 10).spawn(|| std::thread::park());
                match thread {
                    Ok(thread) => threads.push(thread),
                    Err(_) => break,
                }
            }
            println!("{}", threads.len());
            escaped_if(threads.len() as i64 == number);
        }
        "memory" => {
            let mut blocks = Vec::new();
            for _ in 0..number {
                blocks.push(vec![1_u8; 1 << 20]);
            }
            escaped_if(blocks.len() as i64 == number);
        }
        "map" => {
            let at = unsafe { mmap(std::ptr::null_mut(), (number as usize) << 20, 3, 0x22, -1, 0) };
            escaped_if(at as isize != -1);
        }
        "loop" => loop {
            std::hint::spin_loop();
        },
        "loop in threads, deaf to signals" => {
            for number in [1, 2, 15, 24] {
                unsafe { signal(number, 1) };
            }
            for _ in 0..3 {
                std::thread::spawn(|| loop {
                    std::hint::spin_loop();
                });
            }
            loop {
                std::hint::spin_loop();
            }
        }
        "sleep" => std::thread::sleep(Duration::from_secs(600)),
        "close all and sleep" => {
            (0..64).for_each(|fd| drop(unsafe { close(fd) }));
            std::thread::sleep(Duration::from_secs(600));
        }
        "flood stdout" => loop {
            let _ = std::io::stdout().write_all(&[b'x'; 4096]);
        },
        "flood stderr" => loop {
            let _ = std::io::stderr().write_all(&[b'x'; 4096]);
        },
        "flood both in small" => {
            std::thread::spawn(|| loop {
                eprintln!("x");
            });
            loop {
                println!("x");
            }
        }
        "print" => {
            print!("{}", "x".repeat(number as usize));
        }
        "abort" => std::process::abort(),
        "segfault" => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        "overflow the stack" => {
            fn deeper(depth: u64) -> u64 {
                let room = std::hint::black_box([depth; 64]);
                if depth == u64::MAX {
                    0
                } else {
                    deeper(depth + 1) + room[63]
                }
            }
            println!("{}", deeper(0));
        }
        "exit" => std::process::exit(number as i32),
        "panic" => panic!("on purpose"),
        "interrupted by itself" => {
            unsafe { kill(std::process::id() as c_int, 9) };
        }
        other => panic!("no attack is called {other}"),
    }
}
