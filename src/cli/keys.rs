//! Single keys from a terminal, and an editor in it. The terminal's mode is changed for no longer than a key takes.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use crate::interrupt::Interrupt;

/// How often Ctrl-C is looked for while a key is waited for.
const TICK_MS: libc::c_int = 50;

/// Prints a question and waits for the key that answers it. `None`: Ctrl-C, or the terminal is gone.
///
/// What was typed before the question stood there answers nothing, and is thrown away.
pub(super) fn ask(question: &str, interrupt: &Interrupt) -> io::Result<Option<char>> {
    let mode = KeyMode::enter()?;
    // Not by way of `io::stdin()`, which keeps for later what it read too much.
    let mut terminal = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdout = io::stdout().lock();
    stdout.write_all(question.as_bytes())?;
    stdout.flush()?;
    drop(stdout);
    loop {
        if interrupt.is_set() {
            return Ok(None);
        }
        if !is_ready(TICK_MS)? {
            // Whoever stopped the process (Ctrl-Z) and let it go on may have changed the mode.
            mode.hold();
            continue;
        }
        let mut bytes = [0; 64];
        let read = match terminal.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The terminal hung up.
            Err(_) => 0,
        };
        match &bytes[..read] {
            // Where the terminal gives them as keys: Ctrl-C and Ctrl-D.
            [] | [3 | 4, ..] => return Ok(None),
            typed => {
                if let Some(key) = key(typed) {
                    return Ok(Some(key));
                }
            }
        }
    }
}

/// The key that was pressed: the one character in what was typed, arrows and the like aside. What is more was pasted, and
/// is no answer.
fn key(typed: &[u8]) -> Option<char> {
    let mut found = None;
    let mut rest = typed;
    while let [first, more @ ..] = rest {
        rest = match (first, more) {
            // A control sequence ends with a letter or the like, after its numbers.
            (0x1b, [b'[', sequence @ ..]) => match sequence.iter().position(|byte| (b'@'..=b'~').contains(byte)) {
                Some(end) => &sequence[end + 1..],
                None => &[],
            },
            (0x1b, [b'O', _, after @ ..]) => after,
            _ if found.is_some() => return None,
            _ => {
                found = Some(char::from(*first));
                more
            }
        };
    }
    found.filter(|key| (' '..='~').contains(key) || *key == '\r' || *key == '\n')
}

/// Opens a file in the user's editor and waits for its end; whether it ended well.
///
/// `system` is what other programs do: the shell understands `code --wait`, and Ctrl-C is the editor's while it runs.
pub(super) fn edit(editor: &str, file: &Path) -> io::Result<bool> {
    let file = file.to_str().ok_or_else(|| io::Error::other("its path is not valid UTF-8"))?;
    let command = format!("{editor} '{}'", file.replace('\'', r"'\''"));
    let command = std::ffi::CString::new(command).map_err(io::Error::other)?;
    // SAFETY: the string ends with a zero byte and lives until the call returns.
    Ok(unsafe { libc::system(command.as_ptr()) } == 0)
}

/// Whether there is something to read, after waiting for so long at most.
fn is_ready(milliseconds: libc::c_int) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: io::stdin().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one `pollfd`, as the count says.
    match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
        -1 => match io::Error::last_os_error() {
            // The window was resized, say.
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
        ready => Ok(ready > 0),
    }
}

/// The terminal gives keys as they are typed, and does not show them. As it was before, when dropped.
struct KeyMode {
    before: libc::termios,
    own: libc::termios,
}

impl KeyMode {
    fn enter() -> io::Result<Self> {
        let before = terminal_mode()?;
        let mut mode = before;
        // Ctrl-C stays a signal, and what is printed is shown as ever.
        mode.c_lflag &= !(libc::ICANON | libc::ECHO);
        mode.c_cc[libc::VMIN] = 1;
        mode.c_cc[libc::VTIME] = 0;
        // SAFETY: a `termios` that the terminal itself gave.
        if unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSAFLUSH, &raw const mode) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { before, own: mode })
    }

    /// Sets the mode again where it was changed.
    fn hold(&self) {
        if terminal_mode().is_ok_and(|mode| mode.c_lflag != self.own.c_lflag) {
            // SAFETY: as above. Where it fails the terminal is gone.
            unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSADRAIN, &raw const self.own) };
        }
    }
}

fn terminal_mode() -> io::Result<libc::termios> {
    let mut mode = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call writes a `termios` where it is told to, or fails.
    if unsafe { libc::tcgetattr(io::stdin().as_raw_fd(), mode.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call did not fail.
    Ok(unsafe { mode.assume_init() })
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        // SAFETY: as above. Where it fails the terminal is gone.
        unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSADRAIN, &raw const self.before) };
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_key_is_one_character_and_nothing_that_was_pasted() {
        assert_eq!((key(b"a"), key(b"?"), key(b"\r")), (Some('a'), Some('?'), Some('\r')));
        assert_eq!((key(b"\x1b[A"), key(b"\x1bOP"), key(b"\x1b[1;5C"), key(b"\x1b")), (None, None, None, None));
        assert_eq!((key(b"\x1b[Am"), key(b"m\x1b[200~")), (Some('m'), Some('m')));
        assert_eq!((key(b"aa"), key("ä".as_bytes()), key(b"\t")), (None, None, None));
    }
}
