//! The provider `command`: any program that takes a prompt on its standard input and prints a completion.
//!
//! The prompt is text: the system message, a blank line, the user message. No shell is involved. The program leads a
//! process group of its own, which is killed when it takes too long or is no longer needed; one that leaves its group
//! escapes that. It runs with the user's rights and environment: it is the user's own.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::each::each;
use super::http::{DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE};
use super::pace::Pace;
use super::providers::{Provider, Reach, Setup, shown_path};
use super::purse::{Hold, Most, Purse};
use super::sampling::derived_seed;
use super::secret::Secrets;
use super::trouble::Way;
use super::{
    BoxFuture, Completion, Drawn, Finish, Identity, Model, ModelError, Parameters, Request, Talk, Wait, reasoning,
};
use crate::digest::sha256;
use crate::prompt::Prompt;

/// Processes at once where nobody says.
const DEFAULT_CONCURRENCY: usize = 4;
/// Longest completion that is read, in bytes.
const LONGEST: usize = 8 << 20;
/// What is kept of the standard error, in bytes: its end.
const KEPT: usize = 64 << 10;
/// A program that ended may leave others behind that hold its output; they get so long to finish.
const GRACE: Duration = Duration::from_secs(1);
/// The exit code by which a program asks to be run again later (`EX_TEMPFAIL` of sysexits.h).
const TRY_LATER: i32 = 75;

/// The provider `command`.
pub const PROVIDER: Provider = Provider {
    name: "command",
    open: |setup, name| Box::pin(async move { open(setup, name) }),
    list: |setup| Box::pin(async move { list(setup) }),
};

fn open(setup: &Setup, name: &str) -> Result<Arc<dyn Model>, ModelError> {
    let layers = setup.layers("command");
    let Some((arguments, from_workspace)) =
        layers.iter().zip([true, false]).find_map(|(layer, is_first)| Some((layer.programs.get(name)?, is_first)))
    else {
        return Err(ModelError::Settings(format!(
            "`command/{name}`: the settings name no such program; `providers: {{ command: {{ programs: {{ {name}: \
             [PROGRAM, ARGUMENT] }} }} }}`"
        )));
    };
    if from_workspace {
        // The workspace may be a stranger's.
        (setup.note)(format!("llmc.yaml runs `{}` to sample command/{name}", arguments.join(" ")));
    }
    let mut options = Options::new(arguments.clone());
    options.directory = setup.root.clone();
    options.secrets = setup.secrets();
    if arguments[0].contains('/') {
        options.arguments[0] = setup.path(&arguments[0]).display().to_string();
    }
    if let Some(concurrency) = layers.iter().find_map(|layer| layer.concurrency) {
        options.concurrency = concurrency;
    }
    if let Some(seconds) = layers.iter().find_map(|layer| layer.timeout_seconds) {
        options.timeout = Duration::from_secs_f64(seconds);
    }
    Ok(Arc::new(Program::new(name, options)?))
}

fn list(setup: &Setup) -> Vec<Reach> {
    let mut listed: Vec<Reach> = Vec::new();
    for (name, arguments) in setup.layers("command").iter().flat_map(|layer| &layer.programs) {
        let name = format!("command/{name}");
        if listed.iter().all(|known| known.name != name) {
            listed.push(Reach::yes(name, format!("runs `{}`", setup.secrets().shorten(&arguments.join(" ")))));
        }
    }
    if listed.is_empty() {
        listed.push(Reach::no("command/NAME", "the settings name no program (`providers.command.programs`)"));
    }
    listed
}

/// How a program is run.
#[derive(Clone)]
pub struct Options {
    /// The program and its arguments; at least one.
    pub arguments: Vec<String>,
    /// The folder it runs in; `None`: the current one.
    pub directory: Option<PathBuf>,
    /// Processes at once, at least 1.
    pub concurrency: usize,
    /// Time for one completion.
    pub timeout: Duration,
    /// The first wait before it is run again, where it asks for that; it doubles each time.
    pub backoff: Duration,
    /// What must appear in no text.
    pub secrets: Secrets,
}

impl Options {
    /// The usual limits.
    pub fn new(arguments: Vec<String>) -> Self {
        Self {
            arguments,
            directory: None,
            concurrency: DEFAULT_CONCURRENCY,
            timeout: Duration::from_secs(900),
            backoff: Duration::from_millis(500),
            secrets: Secrets::default(),
        }
    }
}

/// A model behind a program.
pub struct Program {
    identity: Identity,
    runner: Arc<Runner>,
}

/// What the samples share.
struct Runner {
    name: String,
    /// The program, as it is shown.
    shown: String,
    options: Options,
    pace: Pace,
}

impl Program {
    /// The program of `options`, which the settings call `name`. Starts nothing yet.
    pub fn new(name: &str, options: Options) -> Result<Self, ModelError> {
        let Some(program) = options.arguments.first() else {
            return Err(ModelError::Settings(format!("`command/{name}` names no program")));
        };
        // Arguments may hold paths and secrets: a digest tells two of them apart as well.
        let facts = vec![
            ("program".to_owned(), shown_path(program)),
            ("arguments_sha256".to_owned(), sha256(options.arguments[1..].join("\0"))),
        ];
        let identity = Identity { provider: "command".into(), name: name.into(), digest: None, facts };
        let pace = Pace::new(options.concurrency, u64::from(std::process::id()));
        let runner = Runner { name: name.into(), shown: shown_path(program), options, pace };
        Ok(Self { identity, runner: Arc::new(runner) })
    }
}

impl Model for Program {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn asks_purse(&self) -> bool {
        true
    }

    fn draw<'a>(
        &'a self,
        request: &'a Request<'a>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(async move {
            let shared = Arc::new(Shared {
                text: text(request.prompt, request.talk),
                parameters: request.parameters.clone(),
                most: Most::of_request(request),
                purse: request.purse.cloned(),
                identity: self.identity.clone(),
            });
            let sample = |index| {
                let (runner, shared, sink) = (self.runner.clone(), shared.clone(), sink.clone());
                async move {
                    let completion = runner.sample(index, &shared).await?;
                    let _ = sink.send(Drawn::Tokens(completion.completion_tokens));
                    Ok(completion)
                }
            };
            each(request, &sink, sample).await
        })
    }
}

/// What the samples of one request share.
struct Shared {
    text: String,
    parameters: Parameters,
    most: Most,
    purse: Option<Arc<dyn Purse>>,
    identity: Identity,
}

impl Shared {
    /// Waits until the most that a run can take is put aside. What a program takes nobody tells and nobody bounds: it
    /// counts as `sampling.max_tokens` allows, or as what it prints where that is more.
    async fn put_aside(&self) -> Result<Hold, ModelError> {
        let Some(purse) = &self.purse else { return Ok(Hold::nothing()) };
        let mut changes = purse.changes();
        loop {
            if let Some(hold) = Hold::take(purse, &self.identity, &self.most).await? {
                return Ok(hold);
            }
            let _ = changes.changed().await;
        }
    }
}

/// How a run ended.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Runner {
    async fn sample(&self, index: usize, shared: &Shared) -> Result<Completion, ModelError> {
        let Shared { text, parameters, .. } = shared;
        let mut refusals = 0;
        loop {
            let hold = shared.put_aside().await?;
            let turn = self.pace.turn().await;
            let started = Instant::now();
            let ended = match self.run(index, text, parameters).await {
                Ok(ended) => ended,
                Err(error @ ModelError::Settings(_)) => {
                    // It was not even started.
                    hold.give_back();
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            match ended.status.code() {
                Some(0) => {
                    let mut completion = self.completion(ended, index, parameters, started)?;
                    turn.kept_up();
                    hold.bill(&mut completion);
                    return Ok(completion);
                }
                Some(TRY_LATER) if refusals + 1 < Way::Busy.attempts() => {
                    turn.refused();
                    hold.give_back();
                    let wait = self.pace.backoff(self.options.backoff, refusals, None);
                    refusals += 1;
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(self.failed(&ended)),
            }
        }
    }

    async fn run(&self, index: usize, text: &str, parameters: &Parameters) -> Result<Ended, ModelError> {
        let options = &self.options;
        let mut command = Command::new(&options.arguments[0]);
        command
            .args(&options.arguments[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("LLMC_SAMPLE", (index + 1).to_string())
            .env("LLMC_SAMPLE_MODEL", &self.name)
            .env("LLMC_SAMPLE_SEED", derived_seed(parameters.seed, index).to_string())
            .env("LLMC_SAMPLE_TEMPERATURE", parameters.temperature.unwrap_or(DEFAULT_TEMPERATURE).to_string())
            .env("LLMC_SAMPLE_TOP_P", parameters.top_p.to_string())
            .env("LLMC_SAMPLE_MAX_TOKENS", parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS).to_string())
            .kill_on_drop(true);
        if let Some(directory) = &options.directory {
            command.current_dir(directory);
        }
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            ModelError::Settings(format!("`command/{}`: `{}` can't be started: {error}", self.name, self.shown))
        })?;
        let group = Group::of(&child);
        let mut stdin = child.stdin.take().expect("it was asked for");
        let text = text.to_owned();
        // They end when the pipes do, which is when the group does.
        let _input = tokio::spawn(async move {
            // A program that does not read its prompt to the end may know what it does.
            let _ = stdin.write_all(text.as_bytes()).await;
        });
        let mut output = tokio::spawn(first(child.stdout.take().expect("it was asked for"), LONGEST + 1));
        let errors = tokio::spawn(last(child.stderr.take().expect("it was asked for"), KEPT));
        let deadline = Instant::now() + options.timeout;
        let mut read = None;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                bytes = &mut output, if read.is_none() => {
                    let bytes = bytes.expect("reading does not panic");
                    if bytes.len() > LONGEST {
                        group.kill();
                    }
                    read = Some(bytes);
                }
                () = tokio::time::sleep_until(deadline) => {
                    let (url, limit) = (format!("`{}`", self.shown), options.timeout);
                    return Err(ModelError::Timeout { url, wait: Wait::Whole, limit });
                }
            }
        };
        let status = status.map_err(|error| self.program(format!("can't be waited for: {error}")))?;
        let mut rest = Box::pin(async {
            let output = match read {
                Some(bytes) => bytes,
                None => output.await.expect("reading does not panic"),
            };
            (output, errors.await.expect("reading does not panic"))
        });
        let (output, errors) = match tokio::time::timeout(GRACE, &mut rest).await {
            Ok(both) => both,
            Err(_) => {
                group.kill();
                let late = |_| self.program("left a process behind that holds its output".into());
                tokio::time::timeout(GRACE, &mut rest).await.map_err(late)?
            }
        };
        if output.len() > LONGEST {
            return Err(self.bad(format!("more than {} MiB", LONGEST >> 20)));
        }
        Ok(Ended { status, output, errors })
    }

    fn completion(
        &self,
        ended: Ended,
        index: usize,
        parameters: &Parameters,
        started: Instant,
    ) -> Result<Completion, ModelError> {
        let text = String::from_utf8(ended.output).map_err(|_| self.bad("bytes that are no UTF-8".into()))?;
        let (reasoning, text) = reasoning::split(&text);
        if text.trim().is_empty() && reasoning.is_empty() {
            let said = self.words(&ended.errors);
            let reason =
                if said.is_empty() { "no standard output".to_owned() } else { format!("no standard output: {said}") };
            return Err(ModelError::Empty { url: format!("`{}`", self.shown), reason });
        }
        let secrets = &self.options.secrets;
        Ok(Completion {
            index,
            completion_tokens: (text.len() + reasoning.len()).div_ceil(4),
            text: secrets.out_of(&text),
            reasoning: secrets.out_of(&reasoning),
            finish: Finish::Stop,
            temperature: parameters.temperature.unwrap_or(DEFAULT_TEMPERATURE),
            style: "chat".into(),
            milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            estimated: true,
            ..Completion::default()
        })
    }

    /// What a run that failed came to.
    fn failed(&self, ended: &Ended) -> ModelError {
        let how = match ended.status.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => signal(ended.status),
        };
        match self.words(&ended.errors) {
            said if said.is_empty() => self.program(format!("{how} and said nothing on its standard error")),
            said => self.program(format!("{how}: {said}")),
        }
    }

    /// The end of what a program said on its standard error.
    fn words(&self, errors: &[u8]) -> String {
        let text = String::from_utf8_lossy(errors);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        self.options.secrets.shorten(&lines[lines.len().saturating_sub(3)..].join(" / "))
    }

    fn program(&self, reason: String) -> ModelError {
        ModelError::Program { program: self.shown.clone(), reason }
    }

    fn bad(&self, reason: String) -> ModelError {
        ModelError::BadReply { url: format!("`{}`", self.shown), reason }
    }
}

/// What a program reads.
pub fn text(prompt: &Prompt, talk: Option<&Talk>) -> String {
    let more = talk.map(Talk::text).unwrap_or_default();
    match prompt.system.as_str() {
        "" => format!("{}\n{more}", prompt.user),
        system => format!("{system}\n\n{}\n{more}", prompt.user),
    }
}

/// The first `most` bytes; what comes after is left where it is.
async fn first(from: impl AsyncRead + Unpin, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A pipe that breaks has ended.
    let _ = from.take(most as u64).read_to_end(&mut bytes).await;
    bytes
}

/// The last `most` bytes or so.
async fn last(mut from: impl AsyncRead + Unpin, most: usize) -> Vec<u8> {
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    let mut chunk = vec![0; 8192];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > 2 * most {
            bytes.drain(..bytes.len() - most);
            is_cut = true;
        }
    }
    if is_cut {
        // What remains may begin with half a key, and only whole ones are recognised.
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        bytes.drain(..line);
    }
    bytes
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .signal()
        .map_or_else(|| "ended in no known way".to_owned(), |signal| format!("was killed by signal {signal}"))
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> String {
    "ended in no known way".to_owned()
}

/// The process group of a program, which dies with this.
struct Group {
    #[cfg(unix)]
    leader: Option<i32>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        Self { leader: child.id().and_then(|id| i32::try_from(id).ok()) }
    }

    #[cfg(not(unix))]
    fn of(_: &Child) -> Self {
        Self {}
    }

    fn kill(&self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // SAFETY: takes numbers only. A group that is gone is no error.
            unsafe { libc::kill(-leader, libc::SIGKILL) };
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
