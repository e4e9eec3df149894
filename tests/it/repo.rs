//! Committing to real git repositories, made and checked with the git program.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use llmc::freeze::{FileText, Module};
use llmc::repo::{Change, CommitOutcome, HeadState, IdentityOverrides, Repo, RepoError};

/// A git repository in a folder of its own, deaf to the machine's git settings.
struct TestRepo {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

fn isolate() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let nowhere = "/nonexistent/llmc-tests";
        for level in [git2::ConfigLevel::System, git2::ConfigLevel::XDG, git2::ConfigLevel::Global] {
            // SAFETY: runs once, before any test of this file opens a repository.
            unsafe { git2::opts::set_search_path(level, nowhere) }.unwrap();
        }
    });
}

impl TestRepo {
    /// With one commit and an identity.
    fn new() -> Self {
        let repo = Self::unborn();
        repo.put("README", "hello\n");
        repo.git("add README");
        repo.git("commit -qm first");
        repo
    }

    fn unborn() -> Self {
        let repo = Self::anonymous();
        repo.git("config user.name Ann");
        repo.git("config user.email ann@example.org");
        repo
    }

    fn anonymous() -> Self {
        isolate();
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap().join("r");
        fs::create_dir(&root).unwrap();
        let repo = Self { _folder: folder, root };
        repo.git("init -q -b main");
        repo
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &str) -> String {
        git_in(&self.root, arguments)
    }

    fn status(&self) -> String {
        self.git("status --porcelain --untracked-files=all")
    }

    fn repo(&self) -> Repo {
        Repo::discover(&self.root).unwrap().unwrap()
    }

    /// Writes the files and commits them.
    fn commit(&self, files: &[(&str, &str)]) -> Result<CommitOutcome, RepoError> {
        for (path, text) in files {
            self.put(path, text);
        }
        commit(&self.repo(), files, &[])
    }

    /// Nothing is broken, and no lock or scratch file is left.
    fn check(&self) {
        self.git("fsck --strict --no-dangling");
        let left: Vec<_> = fs::read_dir(self.root.join(".git"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("index") && name != "index")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn git_in(folder: &Path, arguments: &str) -> String {
    let output = Command::new("git")
        .args(arguments.split(' '))
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("HOME", folder)
        .env("GIT_EDITOR", "true")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

fn texts(files: &[(&str, &str)]) -> Vec<FileText> {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn commit(repo: &Repo, files: &[(&str, &str)], removed: &[&str]) -> Result<CommitOutcome, RepoError> {
    let removed: Vec<String> = removed.iter().map(|path| (*path).to_owned()).collect();
    repo.commit(&Change {
        files: &texts(files),
        removed: &removed,
        message: "llmc: build slugify\n\nLlmc-Spec: specs/slugify.yaml\n",
        identity: &IdentityOverrides::default(),
    })
}

const FILES: [(&str, &str); 2] = [("specs/slugify.yaml", "llmc: 1\n"), ("generated/src/slugify.rs", "// code\n")];

#[test]
fn a_commit_holds_exactly_the_paths_given() {
    let env = TestRepo::new();
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(outcome.commit.as_deref(), Some(env.git("rev-parse HEAD").trim()));
    assert_eq!(
        env.git("show --name-only --format=%an%n%ae%n%B HEAD").trim(),
        "\
Ann
ann@example.org
llmc: build slugify

Llmc-Spec: specs/slugify.yaml


generated/src/slugify.rs
specs/slugify.yaml"
    );
    assert_eq!(env.git("show HEAD:README"), "hello\n");
    assert_eq!(env.status(), "");
    assert_eq!(env.git("write-tree"), env.git("rev-parse HEAD^{tree}"), "the index holds the same tree");
    assert_eq!(env.git("symbolic-ref HEAD"), "refs/heads/main\n");
    assert_eq!(outcome, CommitOutcome { commit: outcome.commit.clone(), ..CommitOutcome::default() });
    env.check();
}

#[test]
fn staged_and_changed_files_stay_staged_and_changed() {
    let env = TestRepo::new();
    env.put("staged", "1\n");
    env.put("both", "1\n");
    env.git("add staged both");
    env.put("both", "2\n");
    env.put("README", "changed\n");
    env.put("untracked", "x\n");
    env.git("rm -q --cached README");
    let before = env.status();
    env.commit(&FILES).unwrap();
    assert_eq!(env.status(), before);
    assert_eq!(env.git("diff --cached --name-status"), "D\tREADME\nA\tboth\nA\tstaged\n");
    assert_eq!(env.git("show --format= --name-only HEAD"), "generated/src/slugify.rs\nspecs/slugify.yaml\n");
    env.check();
    env.git("commit -qm theirs");
    assert_eq!(env.git("show --format= --name-status HEAD"), "D\tREADME\nA\tboth\nA\tstaged\n");
}

#[test]
fn the_spec_that_was_staged_in_an_older_form_is_committed_as_it_was_built() {
    let env = TestRepo::new();
    env.put("specs/slugify.yaml", "old\n");
    env.git("add specs/slugify.yaml");
    env.commit(&FILES).unwrap();
    assert_eq!(env.status(), "");
    assert_eq!(env.git("show HEAD:specs/slugify.yaml"), "llmc: 1\n");
}

#[test]
fn a_file_edited_after_it_was_committed_shows_as_changed() {
    let env = TestRepo::new();
    env.put("specs/slugify.yaml", "edited since!\n");
    commit(&env.repo(), &FILES, &[]).unwrap();
    env.put("generated/src/slugify.rs", "// code\n");
    assert_eq!(env.status(), " M specs/slugify.yaml\n");
}

#[test]
fn an_edit_of_another_file_in_the_same_instant_is_still_seen() {
    let env = TestRepo::new();
    env.git("config core.trustctime false");
    // Same size and same time, and that time is not older than the index: only git's racy check can tell.
    let time = std::time::SystemTime::now() + std::time::Duration::from_millis(50);
    let put = |text: &str| {
        env.put("other", text);
        fs::File::options().write(true).open(env.root.join("other")).unwrap().set_modified(time).unwrap();
    };
    put("aaaa\n");
    env.git("add other");
    // `git status` here would already make the index safe.
    put("bbbb\n");
    // Most builds of git compare whole seconds only.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    env.commit(&FILES).unwrap();
    assert_eq!(env.status(), "AM other\n");
}

#[test]
fn nothing_is_committed_when_nothing_changes() {
    let env = TestRepo::new();
    env.commit(&FILES).unwrap();
    let head = env.git("rev-parse HEAD");
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(outcome.commit, None);
    assert_eq!(env.git("rev-parse HEAD"), head);
    assert_eq!(env.status(), "");
    env.check();
}

#[test]
fn the_first_commit_of_a_repository_can_be_ours() {
    let env = TestRepo::unborn();
    env.put("other", "x");
    env.git("add other");
    env.commit(&FILES).unwrap();
    assert_eq!(env.git("rev-list --count HEAD"), "1\n");
    assert_eq!(env.git("branch --show-current"), "main\n");
    assert_eq!(env.status(), "A  other\n");
    assert!(env.git("reflog").contains("commit (initial): llmc: build slugify"));
    env.check();
}

#[test]
fn a_detached_head_moves_and_no_branch_does() {
    let env = TestRepo::new();
    env.git("checkout -q --detach");
    let main = env.git("rev-parse main");
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(env.git("rev-parse main"), main);
    assert_eq!(outcome.commit.as_deref(), Some(env.git("rev-parse HEAD").trim()));
    assert_eq!(env.status(), "");
}

#[test]
fn the_reflogs_of_branch_and_head_say_who_and_what() {
    let env = TestRepo::new();
    env.commit(&FILES).unwrap();
    for name in ["HEAD", "main"] {
        let log = env.git(&format!("reflog -1 --format=%gs/%gn {name}"));
        assert_eq!(log, "commit: llmc: build slugify/Ann\n");
    }
    env.git("reset -q --hard HEAD@{1}");
    assert_eq!(env.git("log --format=%s"), "first\n");
}

#[test]
fn a_linked_work_tree_commits_to_its_own_branch() {
    let env = TestRepo::new();
    env.git("worktree add -q -b side ../w");
    let linked = env.root.with_file_name("w");
    for (path, text) in FILES {
        fs::create_dir_all(linked.join(path).parent().unwrap()).unwrap();
        fs::write(linked.join(path), text).unwrap();
    }
    let outcome = commit(&Repo::discover(&linked).unwrap().unwrap(), &FILES, &[]).unwrap();
    assert_eq!(outcome.commit.as_deref(), Some(env.git("rev-parse side").trim()));
    assert_eq!(git_in(&linked, "status --porcelain"), "");
    assert_eq!(env.git("log --format=%s main"), "first\n");
    assert_eq!(env.status(), "");
    env.check();
}

#[test]
fn a_workspace_may_be_a_folder_of_the_repository() {
    let env = TestRepo::new();
    env.put("a/b/specs/slugify.yaml", "llmc: 1\n");
    env.put("a/b/generated/src/slugify.rs", "// code\n");
    let repo = Repo::discover(&env.root.join("a/b")).unwrap().unwrap();
    commit(&repo, &FILES, &[]).unwrap();
    assert_eq!(env.git("show --format= --name-only HEAD"), "a/b/generated/src/slugify.rs\na/b/specs/slugify.yaml\n");
    assert_eq!(env.status(), "");
    assert_eq!(repo.head_file("specs/slugify.yaml").unwrap().unwrap(), b"llmc: 1\n");
}

#[test]
fn file_modes_are_kept() {
    let env = TestRepo::new();
    env.commit(&FILES).unwrap();
    env.git("update-index --chmod=+x specs/slugify.yaml");
    env.git("commit -qm mode");
    env.git("checkout -q -- .");
    env.commit(&[("specs/slugify.yaml", "llmc: 1 # more\n")]).unwrap();
    assert!(env.git("ls-tree HEAD specs/slugify.yaml").starts_with("100755 blob"));
    assert_eq!(env.status(), "");
}

#[test]
fn files_can_be_removed() {
    let env = TestRepo::new();
    env.commit(&FILES).unwrap();
    fs::remove_file(env.root.join("generated/src/slugify.rs")).unwrap();
    let outcome = commit(&env.repo(), &[], &["generated/src/slugify.rs", "generated/src/never.rs"]).unwrap();
    assert!(outcome.commit.is_some());
    assert_eq!(env.git("show --format= --name-status HEAD"), "D\tgenerated/src/slugify.rs\n");
    assert_eq!(env.git("ls-tree HEAD generated"), "", "no empty folder is left");
    assert_eq!(env.status(), "");
    env.check();
}

#[test]
fn a_merge_or_rebase_under_way_is_not_disturbed() {
    let env = TestRepo::new();
    env.git("checkout -q -b side");
    env.put("README", "side\n");
    env.git("commit -qam side");
    env.git("checkout -q main");
    env.put("README", "main\n");
    env.git("commit -qam main");
    let head = env.git("rev-parse HEAD");
    for (begin, end, name) in [("merge", "merge --abort", "merge"), ("rebase", "rebase --abort", "rebase")] {
        let begun = Command::new("git").args([begin, "side"]).current_dir(&env.root).output().unwrap();
        assert!(!begun.status.success());
        let error = env.commit(&FILES).unwrap_err();
        assert!(matches!(error, RepoError::Busy(what) if what == name), "{error}");
        assert!(error.hint().unwrap().starts_with("the files are written"));
        env.git(end);
    }
    assert_eq!(env.git("rev-parse HEAD"), head);
    env.check();
}

#[test]
fn without_a_name_nothing_is_committed_and_the_environment_may_give_one() {
    let env = TestRepo::anonymous();
    let error = env.commit(&FILES).unwrap_err();
    assert!(matches!(error, RepoError::NoIdentity), "{error}");
    assert!(error.hint().unwrap().contains("user.email"));
    let overrides = IdentityOverrides {
        author_name: Some("Bea".into()),
        committer_name: Some("Cid".into()),
        committer_email: Some("cid@example.org".into()),
        email: Some("bea@example.org".into()),
        ..IdentityOverrides::default()
    };
    let change = Change { files: &texts(&FILES), removed: &[], message: "m\n", identity: &overrides };
    env.repo().commit(&change).unwrap();
    assert_eq!(env.git("log --format=%an/%ae/%cn/%ce"), "Bea/bea@example.org/Cid/cid@example.org\n");
}

#[test]
fn a_locked_index_is_waited_for_and_then_refused() {
    let env = TestRepo::new();
    let lock = env.root.join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let head = env.git("rev-parse HEAD");
    let error = env.commit(&FILES).unwrap_err();
    assert!(matches!(error, RepoError::IndexLocked(_)), "{error}");
    assert_eq!(env.git("rev-parse HEAD"), head);
    assert!(lock.exists(), "someone else's lock is left alone");
    let waiting = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::remove_file(lock).unwrap();
    });
    env.commit(&FILES).unwrap();
    waiting.join().unwrap();
    assert_eq!(env.status(), "");
    env.check();
}

#[cfg(target_os = "linux")]
#[test]
fn the_lock_of_an_llmc_that_was_killed_is_taken_over_and_that_of_one_that_lives_is_not() {
    let env = TestRepo::new();
    let (index, branch) = (env.root.join(".git/index.lock"), env.root.join(".git/refs/heads/main.lock"));
    assert_eq!(env.git("symbolic-ref HEAD"), "refs/heads/main\n");
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let began = state.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let holder = format!("llmc {} {began} {} {}\n", child.id(), boot.trim(), namespace.display());
    fs::write(&index, &holder).unwrap();
    assert!(matches!(env.commit(&FILES).unwrap_err(), RepoError::IndexLocked(_)));
    child.kill().unwrap();
    child.wait().unwrap();
    // Another machine's, or another container's: whether that lives can't be known from here.
    fs::write(&index, holder.replace(boot.trim(), "elsewhere")).unwrap();
    assert!(matches!(env.commit(&FILES).unwrap_err(), RepoError::IndexLocked(_)));
    fs::write(&index, &holder).unwrap();
    fs::write(&branch, "").unwrap();
    env.commit(&FILES).unwrap();
    assert!(!index.exists() && !branch.exists());
    assert_eq!(env.status(), "");
    // It had moved the branch, and the index has not heard of it.
    let base = env.git("rev-parse HEAD");
    env.git("rm -q --cached specs/slugify.yaml");
    let before = env.git("rev-parse HEAD~1");
    fs::write(&index, format!("{holder}\nbase {base}specs/slugify.yaml\n")).unwrap();
    env.repo().recover().unwrap();
    assert_ne!(env.status(), "", "nothing was committed");
    fs::write(&index, format!("{holder}\nbase {before}specs/slugify.yaml\n")).unwrap();
    env.repo().recover().unwrap();
    assert!(!index.exists());
    assert_eq!(env.status(), "");
    env.check();
}

#[test]
fn hooks_are_not_run_but_named() {
    let env = TestRepo::new();
    let write_hook = |path: &str| {
        env.put(path, "#!/bin/sh\nexit 1\n");
        #[cfg(unix)]
        fs::set_permissions(env.root.join(path), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    write_hook(".git/hooks/pre-commit");
    write_hook(".git/hooks/pre-push");
    env.put(".git/hooks/commit-msg.sample", "");
    assert_eq!(env.commit(&FILES).unwrap().skipped_hooks, ["pre-commit"]);
    write_hook("githooks/post-commit");
    env.git("config core.hooksPath githooks");
    assert_eq!(env.commit(&FILES).unwrap().skipped_hooks, ["post-commit"]);
}

#[test]
fn ignored_files_are_committed_and_named() {
    let env = TestRepo::new();
    env.put(".gitignore", "generated/\n");
    env.git("add .gitignore");
    env.git("commit -qm ignore");
    assert_eq!(env.commit(&FILES).unwrap().ignored, ["generated/src/slugify.rs"]);
    assert_eq!(env.status(), "");
    let again = env.commit(&[("generated/src/slugify.rs", "// more\n")]).unwrap();
    assert!(again.ignored.is_empty(), "a file that is tracked is not ignored");
}

#[cfg(unix)]
#[test]
fn files_beyond_a_link_or_in_another_repository_are_refused() {
    let env = TestRepo::new();
    env.put("elsewhere/slugify.yaml", "x\n");
    std::os::unix::fs::symlink("elsewhere", env.root.join("specs")).unwrap();
    let error = commit(&env.repo(), &FILES, &[]).unwrap_err();
    assert!(matches!(error, RepoError::BeyondLink(_)), "{error}");
    fs::remove_file(env.root.join("specs")).unwrap();

    git_in(&env.root, "init -q generated");
    let error = env.commit(&FILES).unwrap_err();
    assert!(matches!(error, RepoError::Nested { ref inner, .. } if inner == "generated"), "{error}");
    for path in ["../x", "/etc/x", "a/../../x", ".git/hooks/x", ""] {
        let error = commit(&env.repo(), &[(path, "x")], &[]).unwrap_err();
        assert!(matches!(error, RepoError::Outside(_)), "{error}");
    }
    assert_eq!(env.git("log --format=%s"), "first\n");
    env.check();
}

#[cfg(unix)]
#[test]
fn a_spec_that_is_a_link_stays_one() {
    let env = TestRepo::new();
    env.put("elsewhere.yaml", "llmc: 1\n");
    fs::create_dir(env.root.join("specs")).unwrap();
    std::os::unix::fs::symlink("../elsewhere.yaml", env.root.join("specs/slugify.yaml")).unwrap();
    commit(&env.repo(), &[("specs/slugify.yaml", "llmc: 1\n")], &[]).unwrap();
    assert!(env.git("ls-tree HEAD specs/slugify.yaml").starts_with("120000 blob"));
    assert_eq!(env.status(), "?? elsewhere.yaml\n");
}

#[test]
fn windows_line_ends_are_stored_as_git_would() {
    let crlf = ("specs/slugify.yaml", "llmc: 1\r\n");
    for (setting, stored) in [("false", "llmc: 1\r\n"), ("true", "llmc: 1\n"), ("input", "llmc: 1\n")] {
        let env = TestRepo::new();
        env.git(&format!("config core.autocrlf {setting}"));
        env.commit(&[crlf, FILES[1]]).unwrap();
        assert_eq!(env.git("show HEAD:specs/slugify.yaml"), stored, "core.autocrlf={setting}");
        assert_eq!(env.git("show HEAD:generated/src/slugify.rs"), "// code\n");
        assert_eq!(env.status(), "", "core.autocrlf={setting}");
        env.git("add --renormalize .");
        assert_eq!(env.git("diff --cached --name-only"), "", "git agrees: core.autocrlf={setting}");
    }
    let env = TestRepo::new();
    env.put(".gitattributes", "* text=auto\n*.bin -text\n");
    env.commit(&[crlf, ("specs/a.bin", "\r\n"), ("specs/b", "\0\r\n")]).unwrap();
    assert_eq!(env.git("show HEAD:specs/slugify.yaml"), "llmc: 1\n");
    assert_eq!(env.git("show HEAD:specs/a.bin"), "\r\n");
    assert_eq!(env.git("show HEAD:specs/b"), "\0\r\n");
    assert_eq!(env.status(), "?? .gitattributes\n");
}

#[test]
fn files_on_disk_are_compared_to_head() {
    let env = TestRepo::new();
    env.commit(&[FILES[0], FILES[1], ("c", "c\n"), ("d", "d\n")]).unwrap();
    env.put("specs/slugify.yaml", "changed\n");
    env.put("generated/src/slugify.rs", "// code\r\n");
    env.put("new", "x");
    fs::remove_file(env.root.join("d")).unwrap();
    let states =
        env.repo().compare_to_head(&["specs/slugify.yaml", "generated/src/slugify.rs", "c", "new", "d"]).unwrap();
    use HeadState::{Committed, Missing, Modified, Untracked};
    assert_eq!(states, [Modified, Committed, Committed, Untracked, Missing]);
}

#[test]
fn no_repository_a_bare_one_and_a_stranger_s_are_told_apart() {
    isolate();
    let folder = tempfile::tempdir().unwrap();
    assert!(Repo::discover(folder.path()).unwrap().is_none());
    git_in(folder.path(), "init -q --bare");
    assert!(matches!(Repo::discover(folder.path()).err(), Some(RepoError::Bare(_))));

    #[cfg(unix)]
    {
        let env = TestRepo::new();
        let another = Some(4242);
        // Only root can give files away.
        if std::os::unix::fs::chown(env.root.join(".git"), another, another).is_ok() {
            std::os::unix::fs::chown(&env.root, another, another).unwrap();
            let error = Repo::discover(&env.root).err().unwrap();
            assert!(matches!(error, RepoError::NotOwned(_)), "{error}");
            assert!(error.hint().unwrap().contains("safe.directory"));
        }
    }
}

#[test]
fn an_index_format_that_libgit2_does_not_write_is_left_to_git() {
    let env = TestRepo::new();
    env.put("other", "x\n");
    env.git("add other");
    env.git("update-index --split-index");
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(outcome.index_note, None);
    assert_eq!(env.status(), "A  other\n");

    let env = TestRepo::new();
    env.put("a/x", "x\n");
    env.put("b/x", "x\n");
    env.git("add a b");
    env.git("commit -qm more");
    env.git("sparse-checkout set --cone --sparse-index a");
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(outcome.index_note, None);
    assert_eq!(env.status(), "");
    assert_eq!(env.git("show --format= --name-only HEAD").lines().count(), 2);
    assert!(!env.root.join("b").exists());
}

#[test]
fn repositories_tuned_for_many_files_are_committed_to() {
    let env = TestRepo::new();
    env.git("config feature.manyFiles true");
    env.put("other", "x\n");
    env.git("add other");
    env.git("update-index --force-write-index");
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(outcome.index_note, None);
    assert_eq!(env.status(), "A  other\n");
    env.git("pack-refs --all");
    env.git("gc -q");
    env.commit(&[("specs/slugify.yaml", "more\n")]).unwrap();
    assert_eq!(env.status(), "A  other\n");
    env.check();
}

#[test]
fn repository_formats_that_are_not_supported_are_said_so() {
    isolate();
    for format in ["--object-format=sha256", "--ref-format=reftable"] {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("git").args(["init", "-q", format, "."]).current_dir(folder.path()).output().unwrap();
        if made.status.success() {
            let error = Repo::discover(folder.path()).err().unwrap();
            assert!(matches!(error, RepoError::Unsupported(_)), "{format}: {error:?}");
        }
    }
}

#[test]
fn a_commit_is_signed_where_git_is_told_to_sign() {
    let env = TestRepo::new();
    let key = env.root.with_file_name("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("not tested: there is no ssh-keygen here");
        return;
    }
    env.git("config gpg.format ssh");
    env.git("config commit.gpgsign true");
    env.git(&format!("config user.signingkey {}", key.with_extension("pub").display()));
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    fs::write(key.with_extension("allowed"), format!("ann@example.org {public}")).unwrap();
    env.git(&format!("config gpg.ssh.allowedSignersFile {}", key.with_extension("allowed").display()));
    let outcome = env.commit(&FILES).unwrap();
    assert_eq!(outcome.commit.as_deref(), Some(env.git("rev-parse HEAD").trim()));
    env.git("verify-commit HEAD");
    assert_eq!(env.git("log -1 --format=%G?%an%s"), "GAnnllmc: build slugify\n");
    assert_eq!(env.status(), "");
    env.check();

    let head = env.git("rev-parse HEAD");
    env.git("config user.signingkey /nonexistent/key.pub");
    let error = env.commit(&[("specs/slugify.yaml", "more\n")]).unwrap_err();
    assert!(matches!(error, RepoError::Signing(_)), "{error}");
    assert_eq!(env.git("rev-parse HEAD"), head);
    assert_eq!(env.status(), " M specs/slugify.yaml\n");
    env.check();
}

#[test]
fn commits_made_at_once_are_all_there() {
    let env = TestRepo::new();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let env = &env;
            scope.spawn(move || {
                for round in 0..20 {
                    let path = format!("specs/s{thread}_{round}.yaml");
                    assert!(env.commit(&[(&path, "x\n")]).unwrap().commit.is_some());
                }
            });
        }
    });
    assert_eq!(env.git("rev-list --count HEAD"), "41\n");
    assert_eq!(env.git("ls-tree -r --name-only HEAD specs").lines().count(), 40);
    assert_eq!(env.status(), "");
    env.check();
}

#[test]
fn commits_made_in_two_work_trees_of_one_branch_are_all_there() {
    let env = TestRepo::new();
    // git forbids it unless forced; it is the one way past the lock on the index, so the branch itself must hold.
    env.git("worktree add -q --force ../w main");
    let linked = env.root.with_file_name("w");
    std::thread::scope(|scope| {
        for (thread, folder) in [&env.root, &linked].into_iter().enumerate() {
            scope.spawn(move || {
                let repo = Repo::discover(folder).unwrap().unwrap();
                for round in 0..20 {
                    let path = format!("specs/s{thread}_{round}.yaml");
                    assert!(commit(&repo, &[(&path, "x\n")], &[]).unwrap().commit.is_some());
                }
            });
        }
    });
    assert_eq!(env.git("rev-list --count HEAD"), "41\n");
    assert_eq!(env.git("ls-tree -r --name-only HEAD specs").lines().count(), 40);
    env.check();
}

#[test]
fn the_committed_crate_lists_what_is_committed_and_nothing_else() {
    let env = TestRepo::new();
    let module = |name: &str| Module::new(name, &BTreeMap::new(), &[]);
    let build = |name: &str| {
        let files = super::freeze::artifact_files(name);
        let change = Change { files: &files, removed: &[], message: "m\n", identity: &IdentityOverrides::default() };
        env.repo().commit_artifacts(&change, &[module(name)], false).unwrap()
    };
    build("b");
    // On disk and not committed, as after `--no-commit`.
    for (path, bytes) in super::freeze::artifact_files("c") {
        env.put(&path, std::str::from_utf8(&bytes).unwrap());
    }
    build("a");
    let root = env.git("show HEAD:generated/src/lib.rs");
    assert!(root.contains("pub mod a;\n\npub mod b;\n") && !root.contains("pub mod c;"), "{root}");
    assert_eq!(
        env.git("show --format= --name-only HEAD").lines().collect::<Vec<_>>(),
        ["generated/provenance/a.json", "generated/src/a.rs", "generated/src/lib.rs", "generated/tests/a.rs"]
    );
    let names: Vec<String> = env.repo().head_modules().unwrap().into_iter().map(|module| module.name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn two_hundred_artifacts_cost_little_to_commit_and_to_compare() {
    let env = TestRepo::new();
    let names: Vec<String> = (0..200).map(|number| format!("spec_{number}")).collect();
    let files: Vec<FileText> = names.iter().flat_map(|name| super::freeze::artifact_files(name)).collect();
    for (path, bytes) in &files {
        env.put(path, std::str::from_utf8(bytes).unwrap());
    }
    let modules: Vec<_> = names.iter().map(|name| Module::new(name, &BTreeMap::new(), &[])).collect();
    let repo = env.repo();
    let identity = IdentityOverrides::default();
    let commit = |files: &[FileText], modules: &[Module]| {
        let change = Change { files, removed: &[], message: "m\n", identity: &identity };
        repo.commit_artifacts(&change, modules, false).unwrap()
    };
    commit(&files, &modules);
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    let start = std::time::Instant::now();
    assert!(repo.compare_to_head(&paths).unwrap().iter().all(|state| *state == HeadState::Committed));
    let compared = start.elapsed();
    for number in 0..10 {
        commit(&[("specs/x.yaml".to_owned(), vec![b'0' + number])], &[]);
    }
    let committed = (start.elapsed() - compared) / 10;
    // Generous, since other tests run beside this one.
    assert!(compared.as_millis() < 500 && committed.as_millis() < 300, "{compared:?} {committed:?}");
}
