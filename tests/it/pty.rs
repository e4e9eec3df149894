//! `llmc` in a pseudo-terminal: what a person sees, and the keys they press.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing takes this long, even on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(120);

/// A program with a terminal of its own.
pub(crate) struct Terminal {
    master: File,
    /// Keeps the terminal open when the program has ended, so that its mode can be looked at.
    slave: File,
    child: Child,
    seen: Arc<(Mutex<Vec<u8>>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    /// Where the next [`Terminal::until`] begins.
    at: usize,
}

impl Terminal {
    /// Starts a command in a terminal of this size.
    pub(crate) fn start(mut command: Command, rows: u16, columns: u16) -> Self {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: both numbers are written, and the size is read, during the call.
        let opened = unsafe {
            libc::openpty(&raw mut master, &raw mut slave, std::ptr::null_mut(), std::ptr::null(), &raw const size)
        };
        assert_eq!(opened, 0, "a pseudo-terminal can be had");
        // SAFETY: the call gave both descriptors to us alone.
        let (master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        let end = || Stdio::from(slave.try_clone().expect("a descriptor can be had"));
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: the calls are safe between fork and exec, and touch no memory.
        unsafe {
            command.pre_exec(|| {
                // A session of its own, whose terminal this is: Ctrl-C goes to it.
                if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the program can be started");
        drop(command);
        let seen = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let reader = std::thread::spawn({
            let (mut master, seen) = (master.try_clone().expect("a descriptor can be had"), seen.clone());
            move || {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = master.read(&mut bytes) {
                    seen.0.lock().unwrap().extend_from_slice(&bytes[..read]);
                    seen.1.notify_all();
                }
            }
        });
        Self { master, slave, child, seen, reader: Some(reader), at: 0 }
    }

    /// Waits until this text is seen, after what was waited for before; returns what was seen up to its end.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        let began = Instant::now();
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            let rest = &seen[self.at..];
            if let Some(found) = rest.windows(text.len()).position(|window| window == text.as_bytes()) {
                let end = self.at + found + text.len();
                let told = String::from_utf8_lossy(&seen[self.at..end]).replace("\r\n", "\n");
                self.at = end;
                return told;
            }
            let rest = String::from_utf8_lossy(rest).into_owned();
            assert!(began.elapsed() < LONGEST, "never seen: {text:?}\n--- seen instead\n{rest}");
            seen = self.seen.1.wait_timeout(seen, Duration::from_millis(200)).unwrap().0;
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Makes the window another size; the program is told.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the size is read during the call.
        assert_eq!(unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is our child, and was not waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    /// Whether the terminal gives whole lines and shows what is typed, as a shell expects it.
    pub(crate) fn is_as_before(&self) -> bool {
        // SAFETY: all zeroes is a `termios`, and the call writes one.
        let (result, mode) = unsafe {
            let mut mode: libc::termios = std::mem::zeroed();
            (libc::tcgetattr(self.slave.as_raw_fd(), &raw mut mode), mode)
        };
        assert_eq!(result, 0);
        let wanted = libc::ICANON | libc::ECHO | libc::ISIG;
        mode.c_lflag & wanted == wanted
    }

    /// Gives it whole lines again, as a shell does when a program in it was stopped.
    pub(crate) fn restore(&self) {
        // SAFETY: all zeroes is a `termios`; one call writes it, the other reads it.
        unsafe {
            let mut mode: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.slave.as_raw_fd(), &raw mut mode), 0);
            mode.c_lflag |= libc::ICANON | libc::ECHO;
            assert_eq!(libc::tcsetattr(self.slave.as_raw_fd(), libc::TCSANOW, &raw const mode), 0);
        }
    }

    /// Waits for the end; how it ended, and what was seen since the last [`Terminal::until`].
    #[track_caller]
    pub(crate) fn end(mut self) -> (ExitStatus, String, bool) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                break status;
            }
            if began.elapsed() > LONGEST {
                let seen = String::from_utf8_lossy(&self.seen.0.lock().unwrap()[self.at..]).into_owned();
                panic!("it did not end\n--- seen\n{seen}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let is_as_before = self.is_as_before();
        let Self { slave, mut reader, seen, at, .. } = self;
        drop(slave);
        reader.take().expect("it reads until the end").join().unwrap();
        let told = String::from_utf8_lossy(&seen.0.lock().unwrap()[at..]).replace("\r\n", "\n");
        (status, told, is_as_before)
    }
}
