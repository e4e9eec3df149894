//! Which system calls a confined process may make: seccomp programs, one for each role.
//!
//! Assembled by hand from the two tables below, since one filter with several answers (allow, an error, death) and with
//! comparisons that the child completes (its own number) is shorter than the stack of filters a library would need.
//! Never installed by the parent on itself.

use std::io;

use libc::c_long;

/// Whether the kernel takes filters, and this machine's system calls are known here.
pub(super) fn available() -> bool {
    // SAFETY: `KILL_WORD` outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const KILL_WORD) };
    ARCHITECTURE != 0 && done == 0
}

/// `AUDIT_ARCH_*` of this machine, or 0.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xC000_003E
} else if cfg!(target_arch = "aarch64") {
    0xC000_00B7
} else {
    0
};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
static KILL_WORD: u32 = KILL;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

const fn error(number: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.cast_unsigned()
}

/// What the child passes to `execveat`, so that it can be called with nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exec {
    /// The descriptor of the program.
    pub(super) program: u32,
    /// Where the empty path is.
    pub(super) path: u64,
    /// Where the arguments are.
    pub(super) arguments: u64,
    /// Where the environment is.
    pub(super) environment: u64,
}

/// A program for the kernel.
pub(super) struct Filter {
    instructions: Vec<libc::sock_filter>,
    /// Instructions that compare with the number of the process itself.
    own: Vec<usize>,
}

impl Filter {
    /// The filter of [`Role::Run`](super::Role::Run).
    pub(super) fn of_run(exec: Exec) -> Self {
        let mut filter = Self::start();
        filter.run(Some(exec));
        filter
    }

    /// The filter of [`Role::Fork`](super::Role::Fork): its children's, and what it takes to make them.
    pub(super) fn of_fork(exec: Exec) -> Self {
        let mut filter = Self::start();
        filter.fork();
        filter.run(Some(exec));
        filter
    }

    /// The filter that a fork server's child puts on itself, beside the one it has from its parent: that of
    /// [`Role::Run`](super::Role::Run), and it executes nothing.
    pub(super) fn of_forked() -> Self {
        let mut filter = Self::start();
        filter.run(None);
        filter
    }

    /// For a process that installs it by itself: the instructions as the kernel reads them, and the numbers of those
    /// whose operand is to become the number of that process.
    pub(super) fn parts(&self) -> (Vec<[u8; 8]>, &[usize]) {
        let bytes = self.instructions.iter().map(|step| {
            let [a, b] = step.code.to_ne_bytes();
            let [c, d, e, f] = step.k.to_ne_bytes();
            [a, b, step.jt, step.jf, c, d, e, f]
        });
        (bytes.collect(), &self.own)
    }

    /// The filter of [`Role::Compile`](super::Role::Compile).
    pub(super) fn of_compile() -> Self {
        let mut filter = Self::start();
        filter.compile();
        filter
    }

    fn start() -> Self {
        let mut filter = Self { instructions: Vec::new(), own: Vec::new() };
        filter.push(load(4));
        filter.push(jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0));
        filter.push(answer(KILL));
        filter.push(load(0));
        if cfg!(target_arch = "x86_64") {
            // The x32 calls: the same calls under other numbers.
            filter.push(jump(libc::BPF_JGE, 0x4000_0000, 0, 1));
            filter.push(answer(KILL));
        }
        filter
    }

    /// Puts it on the calling process. Makes system calls only.
    pub(super) fn install(&mut self) -> io::Result<()> {
        // SAFETY: no preconditions.
        let process = unsafe { libc::getpid() }.cast_unsigned();
        for index in &self.own {
            self.instructions[*index].k = process;
        }
        let program = libc::sock_fprog { len: self.instructions.len() as u16, filter: self.instructions.as_mut_ptr() };
        // SAFETY: `program` and what it points to outlive the call.
        let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// A built candidate: what the standard library needs to compute, print and use threads.
    fn run(&mut self, exec: Option<Exec>) {
        for call in RUN_ALLOWED {
            self.rule(*call, &[], ALLOW, ALLOW);
        }
        for (calls, number) in [(RUN_REFUSED, libc::EACCES), (RUN_ABSENT, libc::ENOSYS)] {
            for call in calls {
                self.rule(*call, &[], error(number), error(number));
            }
        }
        // Threads of this process, as the C library makes them; glibc and musl differ in one obsolete flag.
        let thread = Test::Masked { argument: 0, mask: !CLONE_DETACHED, value: THREAD };
        self.rule(libc::SYS_clone, &[&[thread]], ALLOW, KILL);
        // For `abort`.
        self.rule(libc::SYS_tgkill, &[&[Test::Own { argument: 0 }]], ALLOW, KILL);
        // Asking for limits, not setting them.
        let ask = [Test::Equal { argument: 0, value: 0 }, Test::Wide { argument: 2, value: 0 }];
        self.rule(libc::SYS_prlimit64, &[&ask], ALLOW, error(libc::EPERM));
        let name = Test::Equal { argument: 0, value: libc::PR_SET_NAME.cast_unsigned() };
        self.rule(libc::SYS_prctl, &[&[name]], ALLOW, error(libc::EINVAL));
        // Of a descriptor, not of a path. A path can be smuggled past this with unsafe code: that tells whether a file
        // exists, never what is in it.
        let empty_path = |argument| Test::Masked { argument, mask: AT_EMPTY_PATH, value: AT_EMPTY_PATH };
        self.rule(libc::SYS_newfstatat, &[&[empty_path(3)]], ALLOW, error(libc::EACCES));
        self.rule(libc::SYS_statx, &[&[empty_path(2)]], ALLOW, error(libc::EACCES));
        // Not F_SETOWN, which has signals sent to others.
        let commands = [libc::F_DUPFD, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC]
            .map(|command| [Test::Equal { argument: 1, value: command.cast_unsigned() }]);
        let commands: Vec<&[Test]> = commands.iter().map(|test| &test[..]).collect();
        self.rule(libc::SYS_fcntl, &commands, ALLOW, error(libc::EACCES));
        if let Some(exec) = exec {
            let itself = [
                Test::Equal { argument: 0, value: exec.program },
                Test::Wide { argument: 1, value: exec.path },
                Test::Wide { argument: 2, value: exec.arguments },
                Test::Wide { argument: 3, value: exec.environment },
            ];
            self.rule(libc::SYS_execveat, &[&itself], ALLOW, KILL);
        }
        self.push(answer(KILL));
    }

    /// What a fork server does beside: the first rule for a call decides.
    ///
    /// Its children have this filter too, so it leaves to theirs which process may be signalled.
    fn fork(&mut self) {
        for call in FORK_ALLOWED {
            self.rule(*call, &[], ALLOW, ALLOW);
        }
        let child = Test::Masked { argument: 0, mask: !CHILD, value: libc::SIGCHLD.cast_unsigned() };
        let thread = Test::Masked { argument: 0, mask: !CLONE_DETACHED, value: THREAD };
        self.rule(libc::SYS_clone, &[&[child], &[thread]], ALLOW, KILL);
        let control = Test::Equal { argument: 0, value: 0 };
        for call in [libc::SYS_recvmsg, libc::SYS_sendmsg] {
            self.rule(call, &[&[control]], ALLOW, KILL);
        }
        let itself = Test::Equal { argument: 0, value: 0 };
        self.rule(libc::SYS_prlimit64, &[&[itself]], ALLOW, error(libc::EPERM));
        // A child leads a group of its own, and joins no other.
        let own_group = Test::Equal { argument: 1, value: 0 };
        self.rule(libc::SYS_setpgid, &[&[itself, own_group]], ALLOW, KILL);
        let options = [libc::PR_SET_NAME, libc::PR_SET_PDEATHSIG, libc::PR_SET_DUMPABLE, libc::PR_SET_SECCOMP]
            .map(|option| [Test::Equal { argument: 0, value: option.cast_unsigned() }]);
        let options: Vec<&[Test]> = options.iter().map(|test| &test[..]).collect();
        self.rule(libc::SYS_prctl, &options, ALLOW, error(libc::EINVAL));
    }

    /// rustc and a linker: all but what reaches outside of their processes.
    fn compile(&mut self) {
        for call in COMPILE_DENIED {
            self.rule(*call, &[], error(libc::EPERM), error(libc::EPERM));
        }
        // Its flags are in memory, where no filter can see them; the C library then uses `clone`.
        self.rule(libc::SYS_clone3, &[], error(libc::ENOSYS), error(libc::ENOSYS));
        let no_namespace = Test::Masked { argument: 0, mask: NAMESPACES, value: 0 };
        self.rule(libc::SYS_clone, &[&[no_namespace]], ALLOW, error(libc::EPERM));
        let itself = Test::Equal { argument: 0, value: 0 };
        self.rule(libc::SYS_prlimit64, &[&[itself]], ALLOW, error(libc::EPERM));
        // Keystrokes for the terminal that llmc was started from.
        let terminal =
            [libc::TIOCSTI, libc::TIOCLINUX].map(|request| [Test::Equal { argument: 1, value: request as u32 }]);
        let terminal: Vec<&[Test]> = terminal.iter().map(|test| &test[..]).collect();
        self.rule(libc::SYS_ioctl, &terminal, error(libc::EPERM), ALLOW);
        self.push(answer(ALLOW));
    }

    /// Answers `call`: with `hit` where all tests of one alternative hold (or there is none), else with `miss`.
    fn rule(&mut self, call: c_long, alternatives: &[&[Test]], hit: u32, miss: u32) {
        let mut block = Vec::new();
        let mut own = Vec::new();
        for alternative in alternatives {
            let steps: Vec<libc::sock_filter> = alternative.iter().flat_map(|test| test.instructions()).collect();
            for (index, mut step) in steps.iter().copied().enumerate() {
                if step.code == (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16 {
                    // Past the rest of this alternative and its answer.
                    step.jf = (steps.len() - index) as u8;
                    if step.k == OWN {
                        own.push(block.len());
                    }
                }
                block.push(step);
            }
            block.push(answer(hit));
        }
        block.push(answer(if alternatives.is_empty() { hit } else { miss }));
        // System call numbers are small, and so are the blocks.
        self.push(jump(libc::BPF_JEQ, call as u32, 0, block.len() as u8));
        self.own.extend(own.iter().map(|index| index + self.instructions.len()));
        self.instructions.append(&mut block);
    }

    fn push(&mut self, instruction: libc::sock_filter) {
        self.instructions.push(instruction);
    }
}

/// A test on an argument of a system call.
#[derive(Debug, Clone, Copy)]
enum Test {
    /// Its lower half equals.
    Equal { argument: u32, value: u32 },
    /// The lower half's bits in `mask` equal.
    Masked { argument: u32, mask: u32, value: u32 },
    /// All of it equals.
    Wide { argument: u32, value: u64 },
    /// It is the number of the process itself.
    Own { argument: u32 },
}

/// Stands for the number of the process; no process has it.
const OWN: u32 = u32::MAX;

impl Test {
    fn instructions(self) -> Vec<libc::sock_filter> {
        // Little-endian, as all supported machines are.
        let low = |argument: u32| load(16 + 8 * argument);
        let equals = |value| jump(libc::BPF_JEQ, value, 0, 0);
        match self {
            Self::Equal { argument, value } => vec![low(argument), equals(value)],
            Self::Own { argument } => vec![low(argument), equals(OWN)],
            Self::Masked { argument, mask, value } => {
                let and = libc::sock_filter {
                    code: (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16,
                    jt: 0,
                    jf: 0,
                    k: mask,
                };
                vec![low(argument), and, equals(value)]
            }
            Self::Wide { argument, value } => {
                let high = load(16 + 8 * argument + 4);
                vec![low(argument), equals(value as u32), high, equals((value >> 32) as u32)]
            }
        }
    }
}

/// Loads a word of `struct seccomp_data`: the call's number at 0, the machine at 4, arguments from 16.
fn load(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn jump(test: u32, value: u32, hit: u8, miss: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: hit, jf: miss, k: value }
}

fn answer(action: u32) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action }
}

const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.cast_unsigned();
const CLONE_DETACHED: u32 = libc::CLONE_DETACHED.cast_unsigned();
/// Flags of a thread.
const THREAD: u32 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID)
    .cast_unsigned();
/// Flags that a C library may add to those of a child, where it forks.
const CHILD: u32 = (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID).cast_unsigned();
/// Flags of namespaces.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .cast_unsigned();

/// What a candidate may do freely. What it opens is for Landlock to judge.
const RUN_ALLOWED: &[c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Descriptors.
    libc::SYS_close,
    libc::SYS_dup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_fstat,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    libc::SYS_openat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Threads.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // Signals to itself.
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getcpu,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What a fork server does freely, beside what a candidate does.
const FORK_ALLOWED: &[c_long] = &[
    libc::SYS_close_range,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    libc::SYS_getppid,
    libc::SYS_tgkill,
    libc::SYS_wait4,
];

/// What the standard library asks by the way and can do without.
const RUN_REFUSED: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_ioctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    libc::SYS_pipe2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// What the C and standard libraries replace where it is absent.
const RUN_ABSENT: &[c_long] = &[
    // Its flags are in memory, where no filter can see them; they then use `clone`.
    libc::SYS_clone3,
    libc::SYS_copy_file_range,
    libc::SYS_openat2,
    libc::SYS_sendfile,
    libc::SYS_splice,
];

/// What neither rustc nor a linker needs.
const COMPILE_DENIED: &[c_long] = &[
    // The network, and rings that open sockets by themselves.
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_socket,
    libc::SYS_socketpair,
    // Other processes.
    libc::SYS_ioprio_set,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_tkill,
    // Leaving the group that is killed at the end.
    libc::SYS_setpgid,
    libc::SYS_setsid,
    // Memory shared with others by name.
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_shmat,
    libc::SYS_shmget,
    // Keys, and the kernel's own programs.
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    // Mounts and namespaces.
    libc::SYS_chroot,
    libc::SYS_fanotify_init,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // Other users.
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    // The machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Role;

    const EXEC: Exec = Exec { program: 7, path: 0x1_0000_0010, arguments: 0x2_0000_0020, environment: 0x3_0000_0030 };

    /// Runs a filter as the kernel would.
    fn judge(role: Role, call: c_long, arguments: [u64; 6]) -> u32 {
        let mut filter = match role {
            Role::Run => Filter::of_run(EXEC),
            Role::Fork => Filter::of_fork(EXEC),
            Role::Compile => Filter::of_compile(),
        };
        for index in filter.own.clone() {
            filter.instructions[index].k = 4242;
        }
        let word = |offset: u32| match offset {
            0 => call as u32,
            4 => ARCHITECTURE,
            offset if offset % 8 == 0 => arguments[(offset as usize - 16) / 8] as u32,
            offset => (arguments[(offset as usize - 20) / 8] >> 32) as u32,
        };
        let (mut at, mut register) = (0, 0);
        loop {
            let instruction = filter.instructions[at];
            at += 1;
            let code = u32::from(instruction.code);
            let jump = |hit: bool| usize::from(if hit { instruction.jt } else { instruction.jf });
            match code {
                0x20 => register = word(instruction.k),
                0x54 => register &= instruction.k,
                0x15 => at += jump(register == instruction.k),
                0x35 => at += jump(register >= instruction.k),
                0x06 => return instruction.k,
                _ => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn a_candidate_may_start_threads_and_no_process() {
        let clone = |flags: u32| judge(Role::Run, libc::SYS_clone, [flags.into(), 0, 0, 0, 0, 0]);
        assert_eq!(clone(THREAD), ALLOW);
        assert_eq!(clone(THREAD | CLONE_DETACHED), ALLOW);
        assert_eq!(clone(libc::SIGCHLD.cast_unsigned()), KILL);
        assert_eq!(clone(THREAD | NAMESPACES), KILL);
        assert_eq!(judge(Role::Run, libc::SYS_clone3, [0; 6]), error(libc::ENOSYS));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(judge(Role::Run, libc::SYS_vfork, [0; 6]), KILL);
    }

    #[test]
    fn a_candidate_may_signal_itself_only() {
        assert_eq!(judge(Role::Run, libc::SYS_tgkill, [4242, 1, 6, 0, 0, 0]), ALLOW);
        assert_eq!(judge(Role::Run, libc::SYS_tgkill, [4241, 1, 6, 0, 0, 0]), KILL);
        assert_eq!(judge(Role::Run, libc::SYS_kill, [4242, 9, 0, 0, 0, 0]), KILL);
    }

    #[test]
    fn a_candidate_is_executed_once_and_executes_nothing_else() {
        let exec = [7, EXEC.path, EXEC.arguments, EXEC.environment, 0, 0];
        assert_eq!(judge(Role::Run, libc::SYS_execveat, exec), ALLOW);
        for argument in 0..4 {
            let mut other = exec;
            other[argument] ^= if argument == 0 { 1 } else { 1 << 33 };
            assert_eq!(judge(Role::Run, libc::SYS_execveat, other), KILL);
        }
        assert_eq!(judge(Role::Run, libc::SYS_execve, exec), KILL);
    }

    #[test]
    fn a_fork_server_makes_children_and_talks_on_one_socket() {
        let clone = |flags: u32| judge(Role::Fork, libc::SYS_clone, [flags.into(), 0, 0, 0, 0, 0]);
        assert_eq!(clone(libc::SIGCHLD.cast_unsigned()), ALLOW);
        assert_eq!(clone(CHILD | libc::SIGCHLD.cast_unsigned()), ALLOW);
        assert_eq!(clone(NAMESPACES | libc::SIGCHLD.cast_unsigned()), KILL);
        assert_eq!(clone((libc::CLONE_PARENT | libc::SIGCHLD).cast_unsigned()), KILL);
        assert_eq!(clone(THREAD), ALLOW);
        assert_eq!(judge(Role::Fork, libc::SYS_recvmsg, [0; 6]), ALLOW);
        assert_eq!(judge(Role::Fork, libc::SYS_recvmsg, [3, 0, 0, 0, 0, 0]), KILL);
        assert_eq!(judge(Role::Fork, libc::SYS_prlimit64, [1, 0, 0, 0, 0, 0]), error(libc::EPERM));
        for call in [libc::SYS_kill, libc::SYS_ptrace, libc::SYS_socket, libc::SYS_execve] {
            assert_eq!(judge(Role::Fork, call, [0; 6]), KILL);
        }
        // Its children have the filter of any candidate, and execute nothing.
        let (run, forked) = (Filter::of_run(EXEC), Filter::of_forked());
        let (run, forked) = (run.parts().0, forked.parts().0);
        let (last, same) = forked.split_last().expect("it answers something");
        assert!(run.starts_with(same) && run.ends_with(&[*last]) && run.len() > forked.len());
    }

    #[test]
    fn any_of_the_alternatives_will_do() {
        for command in [libc::F_DUPFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC] {
            assert_eq!(judge(Role::Run, libc::SYS_fcntl, [1, command as u64, 0, 0, 0, 0]), ALLOW);
        }
        assert_eq!(judge(Role::Run, libc::SYS_fcntl, [1, libc::F_SETOWN as u64, 0, 0, 0, 0]), error(libc::EACCES));
    }

    #[test]
    fn the_numbers_of_x32_are_no_way_around() {
        for role in [Role::Run, Role::Compile] {
            let expected = if cfg!(target_arch = "x86_64") { KILL } else { judge(role, 0x4000_0000, [0; 6]) };
            assert_eq!(judge(role, 0x4000_0000 | libc::SYS_socket, [0; 6]), expected);
        }
    }

    #[test]
    fn a_compiler_starts_processes_but_no_namespaces() {
        let clone = |flags: u32| judge(Role::Compile, libc::SYS_clone, [flags.into(), 0, 0, 0, 0, 0]);
        assert_eq!(clone((libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD).cast_unsigned()), ALLOW);
        assert_eq!(clone(libc::CLONE_NEWUSER.cast_unsigned()), error(libc::EPERM));
        assert_eq!(judge(Role::Compile, libc::SYS_execve, [0; 6]), ALLOW);
        for call in [libc::SYS_socket, libc::SYS_setsid, libc::SYS_ptrace] {
            assert_eq!(judge(Role::Compile, call, [0; 6]), error(libc::EPERM));
        }
    }

    #[test]
    fn a_compiler_types_nothing_into_the_terminal() {
        let ioctl = |request: u64| judge(Role::Compile, libc::SYS_ioctl, [0, request, 0, 0, 0, 0]);
        assert_eq!(ioctl(libc::TIOCSTI), error(libc::EPERM));
        assert_eq!(ioctl(libc::TCGETS), ALLOW);
    }
}
