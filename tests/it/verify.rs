//! `llmc verify` and `llmc replay` on this repository's own artifacts: real completions of Qwen2.5-Coder 0.5B, as committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use llmc::driver::{self, Session};
use llmc::event::{Event, Verified};
use llmc::interrupt::Interrupt;
use llmc::options::{Environment, Options, Places};
use llmc::spec::{self, Sampling, Settings};
use llmc::workspace::Workspace;

use crate::env::TestEnv;

const HOME: &str = env!("CARGO_MANIFEST_DIR");

/// A copy of this repository's workspace.
struct Copied {
    env: TestEnv,
    files: Vec<String>,
}

impl Copied {
    fn new() -> Self {
        let env = TestEnv::empty();
        let mut files = Vec::new();
        for folder in ["specs", "generated/src", "generated/tests", "generated/provenance"] {
            for entry in fs::read_dir(Path::new(HOME).join(folder)).unwrap() {
                files.push(format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap()));
            }
        }
        files.push("generated/Cargo.toml".into());
        files.sort();
        for file in &files {
            env.write(file, &fs::read_to_string(Path::new(HOME).join(file)).unwrap());
        }
        env.write("llmc.yaml", "");
        env.write("generated/README.md", "not llmc's\n");
        Self { env, files }
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        fs::read(self.env.path(file)).unwrap()
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        fs::write(self.env.path(file), bytes).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            offline: true,
            unsandboxed: false,
            locked: false,
            no_commit: false,
            no_cache: false,
            overwrite: false,
            max_entropy: None,
            certify: None,
            jobs: 2,
            model: None,
            sampling: Sampling::default(),
            workspace: Settings::default(),
            user: Settings::default(),
            places: Places {
                cache: self.env.path("cache"),
                settings: PathBuf::from("/nowhere"),
                temp: std::env::temp_dir(),
                home: None,
            },
            environment: Environment::new(|_| None),
        }
    }

    /// What `llmc verify` finds: the files that differ. None when all is well.
    async fn verify(&self) -> BTreeSet<String> {
        let found: Arc<Mutex<Vec<Verified>>> = Arc::default();
        let tell = {
            let found = found.clone();
            Arc::new(Mutex::new(move |event: Event| {
                if let Event::Verified(verified) = event {
                    found.lock().unwrap().push(verified);
                }
            }))
        };
        let workspace = Workspace::at(&self.env.path(".")).unwrap();
        let mut session = Session::new(workspace, self.options(), Interrupt::never(), tell).unwrap();
        let summary = driver::verify(&mut session, &[], &self.env.path(".")).await.unwrap();
        let found = found.lock().unwrap();
        let differences = found.iter().flat_map(|one| &one.differences).map(|one| one.path.clone());
        let named: BTreeSet<String> =
            differences.chain(summary.mistakes.iter().map(|mistakes| mistakes.path.clone())).collect();
        assert_eq!(named.is_empty(), summary.exit.is_none());
        named
    }
}

/// A small generator of numbers, the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// Whether a file says what it said before, by what `docs/verify.md` lists.
fn means_the_same(file: &str, before: &[u8], after: &[u8]) -> bool {
    if before == after {
        return true;
    }
    let unix = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    if std::str::from_utf8(after).is_ok() && unix(before) == unix(after) {
        return true;
    }
    let Some(name) = file.strip_prefix("specs/").and_then(|name| name.strip_suffix(".yaml")) else { return false };
    let canonical = |bytes: &[u8]| spec::parse(file, name, bytes).ok().map(|(spec, _)| spec.canonical());
    canonical(after).is_some_and(|after| Some(after) == canonical(before))
}

/// Changes a workspace in `count` random ways, one at a time; each has to be found and its file named.
async fn mutate(count: usize, seed: u64) {
    let copied = Copied::new();
    assert_eq!(copied.verify().await, BTreeSet::new());
    assert!(copied.files.iter().filter(|file| file.starts_with("specs/")).count() >= 10);
    let mut random = Random(seed);
    let mut passed_over = 0;
    for round in 0..count {
        let file = &copied.files[random.below(copied.files.len())];
        let before = copied.bytes(file);
        let mut after = before.clone();
        let at = random.below(before.len());
        let mut other = None;
        match random.below(8) {
            0 => after[at] ^= 1 << random.below(8),
            1 => after[at] = random.below(256) as u8,
            2 => drop(after.remove(at)),
            3 => after.insert(at, random.below(128) as u8),
            4 => after.truncate(at),
            5 => {
                let end = (at + 1 + random.below(40)).min(after.len());
                after.drain(at..end);
            }
            6 => {
                let from = random.below(before.len());
                after.swap(at, from);
            }
            _ => {
                // Two files of a kind change places, or one takes the place of another.
                let folder = file.rsplit_once('/').unwrap().0;
                let alike: Vec<&String> =
                    copied.files.iter().filter(|other| other.starts_with(folder) && *other != file).collect();
                let with = alike[random.below(alike.len())];
                after = copied.bytes(with);
                if random.below(2) == 0 {
                    other = Some((with.clone(), after.clone()));
                    copied.put(with, &before);
                }
            }
        }
        copied.put(file, &after);
        let found = copied.verify().await;
        if means_the_same(file, &before, &after) && other.is_none() {
            passed_over += 1;
        } else {
            let about = format!("round {round}: {file} at {at}, {} to {} bytes: {found:?}", before.len(), after.len());
            assert!(found.contains(file), "{about}");
        }
        copied.put(file, &before);
        if let Some((with, bytes)) = other {
            copied.put(&with, &bytes);
        }
        // A whole file that is gone, now and then.
        if round % 16 == 0 {
            fs::remove_file(copied.env.path(file)).unwrap();
            let found = copied.verify().await;
            let name = file.rsplit('/').next().unwrap().split('.').next().unwrap();
            assert!(found.iter().any(|path| path == file || path.contains(name)), "{file} is gone: {found:?}");
            copied.put(file, &before);
        }
    }
    assert_eq!(copied.verify().await, BTreeSet::new());
    // Comments and layout of the specs: a small part of all.
    assert!(passed_over * 5 < count, "{passed_over} of {count} changes were passed over");
}

#[tokio::test]
async fn every_change_that_means_something_is_found_and_its_file_named() {
    mutate(60, 1).await;
}

/// `cargo nextest run --run-ignored only -E 'test(two_thousand)'`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn two_thousand_changes_that_mean_something_are_found() {
    mutate(2000, 2).await;
}

#[tokio::test]
async fn what_belongs_to_no_spec_is_found() {
    let copied = Copied::new();
    for (file, found) in [
        ("generated/build.rs", true),
        ("generated/.cargo/config.toml", true),
        ("generated/src/bin/x.rs", true),
        ("generated/tests/more.rs", true),
        ("generated/provenance/more.json", true),
        ("generated/NOTES.md", false),
        ("generated/target/debug/x", false),
    ] {
        copied.env.write(file, "x");
        let expected: BTreeSet<String> = found.then(|| file.to_owned()).into_iter().collect();
        assert_eq!(copied.verify().await, expected);
        fs::remove_file(copied.env.path(file)).unwrap();
    }
}

#[test]
fn a_spec_changed_without_a_build_is_told_with_exit_code_6() {
    let copied = Copied::new();
    let spec = copied.env.read("specs/gcd.yaml");
    copied.env.write("specs/gcd.yaml", &format!("{spec}# a remark\n"));
    let run = copied.env.llmc(&["verify", "gcd"]).expect(0);
    assert!(run.stderr.contains("comments or layout changed since the build"), "{run}");
    copied.env.write("specs/gcd.yaml", &spec.replacen("description: ", "description: Quickly. ", 1));
    let run = copied.env.llmc(&["verify", "gcd", "--message-format", "json"]).expect(6);
    let event = run.events().into_iter().find(|event| event["event"] == "verified").unwrap();
    assert_eq!(event["status"], "differs");
    assert_eq!(event["differences"][0]["path"], "specs/gcd.yaml");
}

#[test]
fn an_edit_by_hand_is_told_and_a_replay_puts_back_what_was_built() {
    let copied = Copied::new();
    let code = copied.env.read("generated/src/gcd.rs");
    copied.env.llmc(&["replay", "gcd"]).expect(0);
    copied.env.write("generated/src/gcd.rs", &code.replacen("fn gcd", "fn  gcd", 1));
    let run = copied.env.llmc(&["verify", "gcd"]).expect(6);
    assert!(run.stderr.contains("generated/src/gcd.rs: was edited by hand"), "{run}");
    let run = copied.env.llmc(&["replay", "gcd"]).expect(6);
    assert!(run.stderr.contains("hint: `llmc replay gcd --overwrite`"), "{run}");
    copied.env.llmc(&["replay", "gcd", "--overwrite"]).expect(0);
    assert_eq!(copied.env.read("generated/src/gcd.rs"), code);
    copied.env.llmc(&["verify", "gcd"]).expect(0);
}

/// Replays in clones that differ in all that may: the tree is the same in each.
fn replays(count: usize) {
    let copied = Copied::new();
    let env = &copied.env;
    env.write(".gitignore", "/.llmc/\n/cache/\n");
    env.git(&["init", "-q"]);
    env.git(&["add", "."]);
    env.git(&["commit", "-qm", "all"]);
    let tree = env.git(&["rev-parse", "HEAD^{tree}"]).trim().to_owned();
    for number in 0..count {
        let name = format!("../clone {number} ä");
        let crlf = ["false", "true", "input"][number % 3];
        let zone = ["UTC", "Asia/Kathmandu", "America/St_Johns"][number / 3 % 3];
        let umask = ["022", "077", "002"][number % 3];
        let locale = ["C", "tr_TR.UTF-8", "de_DE.UTF-8"][number / 2 % 3];
        env.git(&["-c", &format!("core.autocrlf={crlf}"), "clone", "-q", ".", &name]);
        let config = env.path(&name).join(".git/config");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}[core]\n\tautocrlf = {crlf}\n[user]\n\tname = U{number}\n")).unwrap();
        let spec = ["gcd", "stack", "parity", "celsius"][number % 4];
        let script =
            format!("umask {umask}; TZ={zone} LC_ALL={locale} exec \"$0\" replay {spec} --message-format json");
        let run = env.run("sh", &["-c", &script, env!("CARGO_BIN_EXE_llmc")], &name);
        let event: serde_json::Value = serde_json::from_str(run.lines().last().unwrap()).unwrap();
        assert_eq!((event["tree"].as_str(), event["changed"].as_array().map(Vec::len)), (Some(tree.as_str()), Some(0)));
        assert_eq!(env.run("git", &["status", "--porcelain"], &name), "", "clone {number}");
        fs::remove_dir_all(env.path(&name)).unwrap();
    }
}

#[test]
fn a_replay_in_any_clone_gives_the_same_tree() {
    replays(6);
}

/// `cargo nextest run --run-ignored only -E 'test(a_hundred_replays)'`.
#[test]
#[ignore = "takes a minute"]
fn a_hundred_replays_give_the_same_tree() {
    replays(100);
}
