//! Who a confined process is: never root with root's powers.
//!
//! Started by root, a candidate becomes a user that owns nothing, so that the kernel counts its threads; a compiler,
//! which must write where its caller can, stays root but without capabilities. Started by others, nothing changes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::launch::check;
use super::{Job, Role};

/// Users that own no file: the range from which service managers take theirs for a time.
const NOBODIES: std::ops::Range<u32> = 61_184..65_520;

/// What the rest of a person's session may start meanwhile; without it an honest program's threads would fail at random.
const SLACK: u64 = 1024;
/// How long a count of processes is good for: it takes milliseconds, and so do candidates.
const COUNT_AGE: Duration = Duration::from_secs(2);

/// Who a process will be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    /// Whether to give up capabilities.
    powerless: bool,
    /// Which user and group to become.
    user: Option<u32>,
}

impl Identity {
    /// Who runs `job`, whose program has these permission bits.
    pub(super) fn new(job: &Job, permissions: u32) -> Self {
        // Files it is to read or write may be closed to others.
        let portable = job.readable.is_empty() && job.writable.is_empty() && permissions & 0o001 != 0;
        let user = (job.role != Role::Compile && portable && is_root()).then(nobody).flatten();
        Self { powerless: true, user }
    }

    /// Who started it.
    pub(super) fn same() -> Self {
        Self { powerless: false, user: None }
    }

    /// How many processes and threads the user has already, or may have from others while this one runs.
    pub(super) fn processes(&self) -> u64 {
        if self.user.is_some() || is_root() { 0 } else { recent_count() + SLACK }
    }

    /// Becomes it. Makes system calls only.
    pub(super) fn assume(&self) -> io::Result<()> {
        if !self.powerless {
            return Ok(());
        }
        // Root's files give no powers; fails for those who have no such power to give up.
        let locked = libc::SECBIT_NOROOT | libc::SECBIT_NOROOT_LOCKED;
        // SAFETY: takes numbers only, here and below.
        unsafe { libc::prctl(libc::PR_SET_SECUREBITS, locked as libc::c_ulong, 0, 0, 0) };
        for capability in 0..64 as libc::c_ulong {
            // SAFETY: as above.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
                break;
            }
        }
        if let Some(user) = self.user {
            // The raw calls: the C library's would have other threads follow, and after a fork there are none.
            // SAFETY: the list of groups is empty, so nothing is read.
            system(unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) })?;
            // SAFETY: takes numbers only, here and below.
            system(unsafe { libc::syscall(libc::SYS_setresgid, user, user, user) })?;
            // SAFETY: as above.
            system(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) })?;
        }
        drop_capabilities()
    }
}

fn system(result: libc::c_long) -> io::Result<()> {
    check(result as libc::c_int).map(drop)
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A user for one process, where this machine has such users: another one each time, so that they do not share a count.
fn nobody() -> Option<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    if !maps(&map, NOBODIES.start) || !maps(&map, NOBODIES.end - 1) {
        return None;
    }
    let turn = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
    Some(NOBODIES.start + turn % (NOBODIES.end - NOBODIES.start))
}

/// Whether a user exists in a namespace, by the lines `inside outside count` of its map.
fn maps(map: &str, user: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        (first..first.saturating_add(count)).contains(&u64::from(user))
    })
}

/// Processes and threads of the current user, as they were lately.
fn recent_count() -> u64 {
    static COUNT: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    match *count {
        Some((when, number)) if when.elapsed() < COUNT_AGE => number,
        _ => count.insert((Instant::now(), count_processes())).1,
    }
}

/// Processes and threads of the current user.
fn count_processes() -> u64 {
    // SAFETY: no preconditions.
    let user = unsafe { libc::geteuid() };
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == user))
        .filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok())
        .filter_map(|status| status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse::<u64>().ok()))
        .sum()
}

/// Gives up all capabilities. Makes one system call.
fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    // `struct __user_cap_header_struct`: version, process (0 for itself); and two `__user_cap_data_struct`s of zeroes.
    let header = [VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: both outlive the call.
    system(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_exists_where_the_namespace_maps_it() {
        assert!(maps("         0          0 4294967295\n", 61_184));
        assert!(!maps("         0       1000          1\n", 61_184));
        assert!(maps("0 1000 1\n1 100000 65536\n", 65_519));
        assert!(!maps("nonsense\n", 0));
    }

    #[test]
    fn the_processes_of_this_user_are_counted() {
        assert!(count_processes() >= 1);
    }
}
