//! The program that `llmc doctor` runs in the sandbox: tries the one thing it is told, and exits with 0 where that worked.
//!
//! Compiled by rustc when it is needed; no module of llmc.

use std::ffi::{c_char, c_int, c_long, c_void, CString};
use std::io::{Read as _, Write as _};
use std::time::Duration;

unsafe extern "C" {
    static environ: *const *const c_char;
    fn fork() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn ptrace(request: c_long, process: c_long, address: *mut c_void, data: *mut c_void) -> c_long;
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn chmod(path: *const c_char, mode: u32) -> c_int;
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (what, object) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let number: i32 = object.parse().unwrap_or(0);
    let worked = match what.as_str() {
        "work" => true,
        "read" => {
            std::fs::File::open(&object).and_then(|mut file| file.read(&mut [0; 1])).is_ok()
                || std::fs::read_dir(&object).is_ok()
        }
        "write" => std::fs::write(&object, "x").is_ok(),
        "chmod" => {
            let path = CString::new(object).expect("a path holds no NUL");
            unsafe { chmod(path.as_ptr(), 0o600) == 0 }
        }
        "tcp" => std::net::TcpStream::connect(&object).is_ok(),
        "udp" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "unix" => std::os::unix::net::UnixStream::connect(&object).is_ok(),
        "netlink" => unsafe { socket(16, 3, 0) >= 0 },
        "fork" => match unsafe { fork() } {
            0 => std::process::exit(0),
            child => child > 0,
        },
        "execute" => std::process::Command::new("/bin/true").status().is_ok(),
        // Whether it could: signal 0 does no harm.
        "signal" => unsafe { kill(number, 0) == 0 },
        // PTRACE_SEIZE: does not stop it.
        "trace" => unsafe { ptrace(0x4206, number.into(), std::ptr::null_mut(), std::ptr::null_mut()) == 0 },
        "environment" => unsafe { !environ.is_null() && !(*environ).is_null() },
        "memory" => (0..number).map(|_| vec![1_u8; 1 << 20]).collect::<Vec<_>>().len() == number as usize,
        "threads" => {
            let sleeper = || std::thread::sleep(Duration::from_secs(60));
            (0..number).all(|_| std::thread::Builder::new().stack_size(16 << 10).spawn(sleeper).is_ok())
        }
        "compute" => loop {
            std::hint::spin_loop();
        },
        "sleep" => {
            std::thread::sleep(Duration::from_secs(60));
            true
        }
        "print" => loop {
            if std::io::stdout().write_all(&[b'x'; 4096]).is_err() {
                break true;
            }
        },
        _ => panic!("nothing is called that"),
    };
    std::process::exit(if worked { 0 } else { 1 })
}
