//! The index and its lock, by git's own rules.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use git2::{Index, IndexEntry, IndexTime, ObjectType, Oid};

use super::commit::Entry;
use super::program::run;
use super::{CommitOutcome, Repo, RepoError, io_error};
use crate::freeze;

/// How long another git process may hold the index.
const INDEX_WAIT: Duration = Duration::from_secs(2);

impl Repo {
    /// Makes the index agree with the commit about these paths, and says nothing about any other.
    ///
    /// The commit stands whatever happens here, so a failure is a note and no error.
    pub(super) fn refresh_index(&self, lock: IndexLock, entries: &[Entry], outcome: &mut CommitOutcome) {
        let index = lock.index.clone();
        if let Err(first) = self.write_index(lock, entries) {
            // Formats that libgit2 does not write (split, sparse), git itself does.
            if let Err(second) = self.update_index_with_git(entries) {
                outcome.index_note = Some(format!(
                    "the commit is made, and `{}` could not be brought up to date ({first}; {second}); \
                     `git reset` does it",
                    index.strip_prefix(&self.workdir).unwrap_or(&index).display()
                ));
            }
        }
    }

    /// Follows git's own protocol: hold `index.lock`, write the new index beside, rename it over the old one.
    fn write_index(&self, lock: IndexLock, entries: &[Entry]) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let copy = Scratch(lock.index.with_extension(unique()));
        let stamp = match fs::copy(&lock.index, &copy.0) {
            Ok(_) => Some(modified(&fs::metadata(&lock.index).map_err(|error| text(&error))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(text(&error)),
        };
        let mut index = Index::open(&copy.0).map_err(|error| error.message().to_owned())?;
        let mut changed = false;
        for entry in entries {
            changed |= self.put_entry(&mut index, entry).map_err(|error| error.message().to_owned())?;
        }
        if !changed {
            return Ok(());
        }
        // git trusts a file's times only when they are older than the index. The index gets younger here, so
        // whatever it could not trust before loses its size, which makes git look at the content.
        if let Some((seconds, _)) = stamp {
            let racy: Vec<IndexEntry> = index
                .iter()
                // Whole seconds, since most builds of git compare no more than that.
                .filter(|entry| entry.file_size != 0 && entry.mtime.seconds() >= seconds)
                .filter(|entry| !entries.iter().any(|ours| ours.path.as_bytes() == entry.path))
                .collect();
            for entry in racy {
                index.add(&IndexEntry { file_size: 0, ..entry }).map_err(|error| error.message().to_owned())?;
            }
        }
        index.write().map_err(|error| error.message().to_owned())?;
        lock.replace_index(&copy.0).map_err(|error| text(&error))
    }

    /// Puts one path into the index as it was committed; false when it was there already.
    fn put_entry(&self, index: &mut Index, entry: &Entry) -> Result<bool, git2::Error> {
        let path = Path::new(&entry.path);
        let found = index.get_path(path, 0);
        let mut conflicted = false;
        for stage in 1..=3 {
            if index.get_path(path, stage).is_some() {
                index.remove(path, stage)?;
                conflicted = true;
            }
        }
        let Some((oid, mode)) = entry.blob else {
            if found.is_some() {
                index.remove(path, 0)?;
            }
            return Ok(conflicted || found.is_some());
        };
        let mode = u32::from(mode);
        if !conflicted && found.is_some_and(|found| found.id == oid && found.mode == mode) {
            return Ok(false);
        }
        let zero = IndexTime::new(0, 0);
        let mut new = IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id: oid,
            flags: 0,
            flags_extended: 0,
            path: entry.path.clone().into_bytes(),
        };
        self.add_times(&mut new, oid);
        index.add(&new)?;
        Ok(true)
    }

    /// Fills in what git compares first, when the file on disk is the committed one.
    ///
    /// Left empty, git looks at the content itself, and rightly shows a file that differs as changed.
    fn add_times(&self, entry: &mut IndexEntry, oid: Oid) {
        let path = self.workdir.join(std::str::from_utf8(&entry.path).expect("it was made from a String"));
        let Ok(before) = fs::symlink_metadata(&path) else { return };
        if !before.is_file() {
            return;
        }
        let Ok(bytes) = fs::read(&path) else { return };
        let is = |bytes: &[u8]| Oid::hash_object(ObjectType::Blob, bytes).is_ok_and(|found| found == oid);
        let same = is(&bytes) || freeze::unix_lines(&bytes).is_some_and(|bytes| is(&bytes));
        let unchanged = fs::symlink_metadata(&path).is_ok_and(|after| modified(&after) == modified(&before));
        if same && unchanged {
            add_stat(entry, &before);
        }
    }

    fn update_index_with_git(&self, entries: &[Entry]) -> Result<(), String> {
        let mut input = Vec::new();
        for entry in entries {
            let (mode, oid) = entry.blob.map_or((0, Oid::ZERO_SHA1), |(oid, mode)| (u32::from(mode), oid));
            input.extend_from_slice(format!("{mode:o} {oid}\t{}\0", entry.path).as_bytes());
        }
        let mut command = self.git_command();
        command.args(["update-index", "-z", "--index-info"]);
        run(command, &input, INDEX_WAIT * 5)?;
        let mut command = self.git_command();
        command.args(["update-index", "-q", "--refresh"]);
        // It fails when any file is changed, which is none of our business.
        let _ = run(command, b"", INDEX_WAIT * 5);
        Ok(())
    }
}

/// git's lock on the index, held by its rules: whoever creates the file has it.
///
/// git gives the file's content no meaning until it is renamed, which is never done here. It says who holds the lock, so
/// that one whose holder was killed can be told from one that is held.
pub(super) struct IndexLock {
    index: PathBuf,
    pub(super) file: PathBuf,
    /// When the lock that was taken over was made, if one was.
    pub(super) abandoned: Option<SystemTime>,
}

impl IndexLock {
    pub(super) fn take(index: &Path) -> Result<Self, RepoError> {
        let file = index.with_extension("lock");
        let own = Scratch(index.with_extension(unique()));
        fs::write(&own.0, Holder::own().map(|holder| holder.to_string()).unwrap_or_default())
            .map_err(io_error("create", &own.0))?;
        let start = Instant::now();
        let mut abandoned = None;
        loop {
            // With its content at once: a lock of nobody's could never be told from one that is held.
            let taken = match fs::hard_link(&own.0, &file) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                Ok(()) => Ok(()),
                // Not every disk has links.
                Err(_) => File::options().write(true).create_new(true).open(&file).map(drop),
            };
            match taken {
                Ok(()) => return Ok(Self { index: index.to_owned(), file, abandoned }),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("create", &file)(error));
                }
                Err(_) if abandoned.is_none() && Holder::is_gone(&file) => {
                    let made = fs::metadata(&file).and_then(|metadata| metadata.modified());
                    abandoned = made.ok().filter(|_| fs::remove_file(&file).is_ok());
                }
                Err(_) if start.elapsed() > INDEX_WAIT => {
                    return Err(RepoError::IndexLocked(file.display().to_string()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Writes into the lock what is about to be committed and on what, for [`Repo::recover`].
    pub(super) fn note(&self, base: Option<Oid>, entries: &[Entry]) -> Result<(), RepoError> {
        let base = base.map_or_else(|| "none".to_owned(), |base| base.to_string());
        let paths: String = entries.iter().map(|entry| format!("{}\n", entry.path)).collect();
        let write = |mut file: File| file.write_all(format!("\nbase {base}\n{paths}").as_bytes());
        let opened = File::options().append(true).open(&self.file);
        opened.and_then(write).map_err(io_error("write", &self.file))
    }

    /// Lets `new` become the index, and lets go.
    fn replace_index(self, new: &Path) -> io::Result<()> {
        fs::rename(new, &self.index)
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// An extension for a file of this process's that no other one has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("llmc-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A process of llmc's that holds a lock, so exactly that no other one is taken for it.
#[derive(PartialEq)]
pub(super) struct Holder {
    process: u32,
    /// When it began, as the kernel counts.
    began: String,
    /// The machine since it was started, and which of its processes can be seen from here.
    place: String,
}

impl Holder {
    /// This process; `None` where the system does not say.
    fn own() -> Option<Self> {
        let process = std::process::id();
        Some(Self { process, began: Self::began(process)?, place: Self::here()? })
    }

    fn here() -> Option<String> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let processes = fs::read_link("/proc/self/ns/pid").ok()?;
        Some(format!("{} {}", boot.trim(), processes.display()))
    }

    /// The 22nd field of a process's state; its name, the second, may hold anything.
    fn began(process: u32) -> Option<String> {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Some(state.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned())
    }

    /// Whether a lock is that of a process that is no more. When in doubt it is not.
    pub(super) fn is_gone(lock: &Path) -> bool {
        let Ok(text) = fs::read_to_string(lock) else { return false };
        let mut words = text.lines().next().unwrap_or_default().splitn(4, ' ');
        let (Some("llmc"), Some(process), Some(began), Some(place)) =
            (words.next(), words.next().and_then(|word| word.parse().ok()), words.next(), words.next())
        else {
            return false;
        };
        Self::here().is_some_and(|here| here == place) && Self::began(process).is_none_or(|now| now != began)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "llmc {} {} {}", self.process, self.began, self.place)
    }
}

/// A file that is gone when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// When it was last written: seconds and nanoseconds, as far as the index holds them.
#[cfg(unix)]
fn modified(metadata: &fs::Metadata) -> (i32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.mtime() as i32, metadata.mtime_nsec() as u32)
}

#[cfg(not(unix))]
fn modified(_: &fs::Metadata) -> (i32, u32) {
    (0, 0)
}

/// The index keeps the low 32 bits of each.
#[cfg(unix)]
fn add_stat(entry: &mut IndexEntry, metadata: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    entry.ctime = IndexTime::new(metadata.ctime() as i32, metadata.ctime_nsec() as u32);
    entry.mtime = IndexTime::new(metadata.mtime() as i32, metadata.mtime_nsec() as u32);
    entry.dev = metadata.dev() as u32;
    entry.ino = metadata.ino() as u32;
    entry.uid = metadata.uid();
    entry.gid = metadata.gid();
    entry.file_size = metadata.size() as u32;
}

#[cfg(not(unix))]
fn add_stat(_: &mut IndexEntry, _: &fs::Metadata) {}
