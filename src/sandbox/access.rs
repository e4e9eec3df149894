//! Which files a confined process may touch: a Landlock ruleset, made by the parent, put on by the child.
//!
//! Nothing is readable by default, `/proc` and `/etc` included; the few system files that each role needs are listed here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope, path_beneath_rules,
};

use super::{Job, Role};

/// The newest set of rights we know; older kernels take those that they know.
const KNOWN: ABI = ABI::V6;

/// Programs and libraries of the system, for linkers and what they load.
const SYSTEM: &[&str] =
    &["/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/lib", "/lib32", "/lib64", "/bin"];
/// What the dynamic loader reads.
const LOADER_CACHE: &str = "/etc/ld.so.cache";
/// Where the libraries of a Rust program may be.
const LIBRARY_FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// The libraries of a Rust program; the last ones are empty since glibc 2.34.
const LIBRARIES: &[&str] = &["libc.so.6", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"];
/// Dynamic loaders.
const LOADERS: &[&str] =
    &["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld-musl-x86_64.so.1", "ld-musl-aarch64.so.1"];

/// The version of Landlock that the kernel speaks, if any.
pub(super) fn kernel_abi() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: asks only; the kernel reads no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// A ruleset that waits to be put on.
pub(super) struct Rules(OwnedFd);

impl Rules {
    /// The rules of a job.
    pub(super) fn new(job: &Job) -> io::Result<Self> {
        Self::build(job).map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn build(job: &Job) -> Result<Option<Self>, landlock::RulesetError> {
        let read = AccessFs::from_read(KNOWN);
        let read_only = read & !BitFlags::from(AccessFs::Execute);
        let everything = AccessFs::from_all(KNOWN);
        // Device files, sockets and pipes are of no use to a linker, and what it writes is not run by it.
        let write = everything
            & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::MakeFifo);
        let rules = Ruleset::default()
            .handle_access(everything)?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        let rules = match job.role {
            Role::Compile => rules
                .add_rules(path_beneath_rules(SYSTEM, read))?
                .add_rules(path_beneath_rules([LOADER_CACHE, "/dev/urandom"], read_only))?
                .add_rules(path_beneath_rules(["/dev/null"], read_only | AccessFs::WriteFile))?
                .add_rules(path_beneath_rules([&job.program], read))?,
            Role::Run | Role::Fork => rules
                .add_rules(path_beneath_rules(found(LOADERS), read))?
                .add_rules(path_beneath_rules(found(LIBRARIES), read_only))?
                .add_rules(path_beneath_rules([LOADER_CACHE], read_only))?
                .add_rules(path_beneath_rules([&job.program], AccessFs::Execute | AccessFs::ReadFile))?,
        };
        let rules = rules
            .add_rules(path_beneath_rules(&job.readable, read))?
            .add_rules(path_beneath_rules(&job.writable, write))?;
        let fd: Option<OwnedFd> = rules.into();
        Ok(fd.map(Self))
    }

    /// Puts them on the calling process. Makes one system call.
    pub(super) fn install(&self) -> io::Result<()> {
        // SAFETY: takes numbers only.
        let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The files of these names on this machine.
fn found(names: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    LIBRARY_FOLDERS.iter().flat_map(move |folder| names.iter().map(move |name| Path::new(folder).join(name)))
}
