//! What holds on this machine, and what happens where something is missing: the real `llmc`, the real sandbox.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::Value;

use crate::env::{Run, TestEnv};
use crate::server::{Reply, Server};

const SPEC: &str = "llmc: 1\nname: double\ndescription: Twice a number.\nsignature: 'fn double(n: i32) -> i32'\n\
                    examples:\n  - call: double(2)\n    returns: 4\nsampling: { samples: 1 }\n";
const REPLY: &str = "```rust\nfn double(n: i32) -> i32 {\n    n * 2\n}\n```\n";

/// Has the kernel deny to this command that there is Landlock.
fn without_landlock(mut command: Command) -> Run {
    let step = |code: u32, jt, k| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_landlock_create_ruleset as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, absent),
    ];
    let install = move || {
        let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
        // SAFETY: `program` and what it points to outlive the calls.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: it makes system calls only.
    unsafe { command.pre_exec(install) };
    command.output().expect("llmc can be started").into()
}

/// The findings of `llmc doctor`: layer, attempt, whether it held, what was found.
fn findings(run: &Run) -> Vec<(String, String, bool, String)> {
    let text = |event: &Value, key: &str| event[key].as_str().expect("it is a text").to_owned();
    let probes = run.events().into_iter().filter(|event| event["event"] == "probe");
    let read = |event: Value| {
        let held = event["held"].as_bool().expect("it is true or false");
        (text(&event, "layer"), text(&event, "attempt"), held, text(&event, "found"))
    };
    probes.map(read).collect()
}

#[test]
fn doctor_tries_to_break_each_layer_and_all_hold() {
    let env = TestEnv::empty();
    let run = env.llmc(&["doctor", "--message-format", "json"]).expect(0);
    let found = findings(&run);
    assert!(found.iter().all(|(.., held, _)| *held), "{run}");
    for layer in [
        "tools",
        "compile: work",
        "run: work",
        "run: files",
        "run: network",
        "run: processes",
        "run: environment",
        "run: limits",
        "compile: files",
        "compile: network",
        "compile: processes",
        "compile: environment",
        "compile: limits",
    ] {
        assert!(found.iter().any(|(one, ..)| one == layer), "{layer}: {run}");
    }
    // Its home has a file.
    assert_eq!(found.iter().filter(|(_, attempt, ..)| attempt.contains("home folder")).count(), 2, "{run}");
    let people = env.llmc(&["doctor"]).expect(0);
    assert!(people.stdout.contains("\n  held    fork ") && !people.stdout.contains("BROKEN"), "{people}");
}

#[test]
fn what_does_not_hold_is_called_broken() {
    let env = TestEnv::empty();
    let run = env.llmc(&["doctor", "--unsandboxed", "--message-format", "json"]).expect(1);
    for (layer, attempt, held, found) in findings(&run) {
        // The limits are no part of what is given up; a signal to llmc is stopped by users' rights, where it is.
        let expected = match (layer.as_str(), attempt.as_str()) {
            ("tools", "sandbox") => false,
            ("tools", _) => true,
            // The kernel does not count root's.
            (_, "start 10,000 threads") => continue,
            (layer, _) if layer.ends_with("limits") || layer.ends_with(": work") => true,
            // Cleared by who starts it.
            (layer, _) if layer.ends_with("environment") => true,
            // The kernel's Yama may forbid it to all.
            (_, "trace llmc") => continue,
            _ => false,
        };
        assert_eq!(held, expected, "{layer}, {attempt}: {found}");
    }
    assert!(run.stderr.contains("docs/sandbox.md"), "{run}");
}

#[test]
fn where_a_layer_is_missing_llmc_names_it_and_refuses_before_it_samples() {
    let server = Server::script(Vec::new());
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    for command in ["check", "build"] {
        let run = without_landlock(env.command(&[command])).expect(70);
        assert!(run.stderr.contains("no sandbox on this machine: it lacks Landlock"), "{run}");
        assert!(run.stderr.contains("`llmc doctor`") && run.stderr.contains("--unsandboxed"), "{run}");
    }
    assert!(server.received().is_empty(), "nothing was sampled");
    let run = without_landlock(env.command(&["doctor", "--message-format", "json"])).expect(1);
    let (_, _, held, found) =
        findings(&run).into_iter().find(|(_, attempt, ..)| attempt == "sandbox").expect("it is told");
    assert!(!held && found.contains("Landlock"), "{found}");
    assert!(findings(&run).iter().all(|(layer, _, held, _)| layer == "tools" || !held), "{run}");
}

#[test]
fn without_the_sandbox_every_run_warns_and_the_record_says_so() {
    let server = Server::script(vec![Reply::chat(REPLY)]);
    let env = TestEnv::with_server(&server.url);
    env.write("specs/double.yaml", SPEC);
    let run = without_landlock(env.command(&["build", "--unsandboxed"])).expect(0);
    assert!(run.stderr.contains("THE SANDBOX IS OFF"), "{run}");
    let record: Value = serde_json::from_str(&env.read("generated/provenance/double.json")).expect("it is JSON");
    assert!(record.to_string().contains(r#""sandbox":"off""#), "{record:#}");
    let run = without_landlock({
        let mut command = env.command(&["check", "--quiet"]);
        command.env("LLMC_UNSANDBOXED", "true");
        command
    });
    assert!(run.expect(0).stderr.contains("THE SANDBOX IS OFF"));
}

#[test]
fn a_users_own_settings_can_switch_the_sandbox_off_and_a_workspaces_cannot() {
    let env = TestEnv::workspace();
    env.write("specs/double.yaml", SPEC);
    env.write("llmc.yaml", "unsandboxed: true\n");
    let run = env.llmc(&["check"]).expect(1);
    assert!(run.stderr.contains("a workspace can't switch the sandbox off"), "{run}");
    env.write("llmc.yaml", "");
    assert!(!env.llmc(&["check"]).expect(0).stderr.contains("THE SANDBOX IS OFF"));
    env.write("../home/.config/llmc/config.yaml", "unsandboxed: true\n");
    assert!(env.llmc(&["check"]).expect(0).stderr.contains("THE SANDBOX IS OFF"));
}
