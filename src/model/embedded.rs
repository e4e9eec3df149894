//! A GGUF file, run in the process by llama.cpp.
//!
//! One thread owns the model and serves one request at a time. All samples of a request share what was computed for
//! its prompt and are decoded as one batch. Prints nothing and silences llama.cpp, whose log goes to stderr otherwise.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc as blocking;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::{LlamaBackend, load_backends_from_path};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::vocab::VocabType;
use llama_cpp_2::{LogOptions, list_llama_ggml_backend_devices, send_logs_to_tracing};
use tokio::sync::{mpsc, oneshot};

use super::download::CATALOGUE;
use super::grammar::Grammar;
use super::sampling::{Best, Rng, scheduled_temperature};
use super::stop::{End, Watch, opens_function};
use super::{BoxFuture, Completion, Drawn, Finish, Identity, Model, ModelError, Parameters, Request, Talk, Turn, gguf};
use crate::prompt::Prompt;

/// Version of the engine, as Cargo.toml pins it.
const ENGINE: &str = "llama-cpp-2 0.1.160";
/// Tokens of a prompt that are computed at once. Always cut at the same places, so that a prompt whose beginning is
/// known already gives the same numbers as one that is new.
const CHUNK: usize = 128;
/// Cells of the cache come in multiples of this.
const CELLS: usize = 256;
/// Room for samples and their own prompts, in bytes; a request that needs more is decoded in a narrower batch.
const CACHE_BYTES: usize = 1 << 30;
/// Room for prompts that stay computed, in bytes.
const PROMPT_BYTES: usize = 1 << 28;
/// Largest cache of a single sequence, in bytes.
const LARGEST_SEQUENCE: usize = 2 << 30;
/// Longest answer where nobody says, in tokens: for one function, and for anything else.
const FUNCTION_TOKENS: usize = 320;
const ANSWER_TOKENS: usize = 1024;
/// A context that leaves less room for an answer is too small, in tokens.
const LEAST_ANSWER: usize = 32;
/// Stand for the messages while the chat template is filled in.
const SYSTEM_MARK: &str = "@@llmc:system@@";
const USER_MARK: &str = "@@llmc:user@@";
const TURN_MARK: &str = "@@llmc:turn";

/// How the model is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Threads that compute: as many as there are cores, which on two idle cores decodes 1.8 times as fast as one.
    /// They wait for each other spinning before they sleep, so that one that has to share its core with an equal makes
    /// all of them many times slower; what llmc itself runs beside them is therefore of lower priority.
    pub threads: usize,
    /// Samples decoded together at most, from 1 to 64.
    pub width: usize,
    /// The folder of llama.cpp's kernels; `None`: beside an installed binary, else where they were built.
    pub kernels: Option<PathBuf>,
}

/// More threads than this gain little: decoding small models is bound by memory.
const MOST_THREADS: usize = 16;

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: cores.min(MOST_THREADS), width: 16, kernels: None }
    }
}

/// A model that runs in the process.
pub struct Embedded {
    identity: Identity,
    jobs: blocking::Sender<Job>,
}

/// A request on its way to the thread of the model.
struct Job {
    prompt: Prompt,
    talk: Option<Talk>,
    parameters: Parameters,
    indices: Vec<usize>,
    step: usize,
    sink: mpsc::UnboundedSender<Drawn>,
    done: oneshot::Sender<Result<(), ModelError>>,
}

impl Embedded {
    /// Loads the file at `path`, whose SHA-256 is `digest`, as the model `name`.
    ///
    /// A file whose digest is not one of the catalogue's gets its header checked first.
    pub async fn load(path: &Path, digest: &str, name: &str, options: &Options) -> Result<Self, ModelError> {
        let options =
            Options { threads: options.threads.clamp(1, 256), width: options.width.clamp(1, 64), ..options.clone() };
        let identity = Identity {
            provider: "embedded".into(),
            name: name.into(),
            digest: Some(digest.into()),
            facts: vec![
                ("engine".into(), ENGINE.into()),
                ("width".into(), options.width.to_string()),
                ("threads".into(), options.threads.to_string()),
            ],
        };
        let (jobs, receiver) = blocking::channel();
        let (ready, loaded) = oneshot::channel();
        let path = path.to_owned();
        let is_known = CATALOGUE.iter().any(|known| known.sha256 == digest);
        std::thread::Builder::new()
            .name("model".into())
            .spawn(move || serve(&path, is_known, options, ready, &receiver))
            .map_err(|error| ModelError::Engine(format!("can't start a thread for the model: {error}")))?;
        loaded.await.unwrap_or_else(|_| Err(engine("it stopped while it was loading the model")))?;
        Ok(Self { identity, jobs })
    }
}

impl Model for Embedded {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn draw<'a>(
        &'a self,
        request: &'a Request<'a>,
        sink: mpsc::UnboundedSender<Drawn>,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        let (done, ended) = oneshot::channel();
        let job = Job {
            prompt: request.prompt.clone(),
            talk: request.talk.cloned(),
            parameters: request.parameters.clone(),
            indices: request.indices().collect(),
            step: request.step.max(1),
            sink,
            done,
        };
        let sent = self.jobs.send(job);
        Box::pin(async move {
            sent.map_err(|_| engine("it has stopped"))?;
            ended.await.unwrap_or_else(|_| Err(engine("it stopped in the middle of a request")))
        })
    }
}

fn engine(what: impl std::fmt::Display) -> ModelError {
    ModelError::Engine(format!("the embedded engine: {what}"))
}

/// The life of a model's thread.
fn serve(
    path: &Path,
    is_known: bool,
    options: Options,
    ready: oneshot::Sender<Result<(), ModelError>>,
    jobs: &blocking::Receiver<Job>,
) {
    let loaded = load(path, is_known, options.kernels.as_deref());
    let (backend, model) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let mut engine = Engine::new(backend, &model, options);
    if ready.send(Ok(())).is_err() {
        return;
    }
    for job in jobs {
        let result = engine.draw(&job);
        if result.is_err() {
            // Whatever is in the cache may be half done.
            engine.room = None;
        }
        let Job { sink, done, .. } = job;
        // Before it is told: nobody waits for what can't come any more.
        drop(sink);
        let _ = done.send(result);
    }
}

fn load(
    path: &Path,
    is_known: bool,
    kernels: Option<&Path>,
) -> Result<(&'static LlamaBackend, LlamaModel), ModelError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut architecture = String::new();
    if !is_known {
        let header = gguf::check(path).map_err(|error| ModelError::Engine(format!("`{file}`: {error}")))?;
        architecture = format!(" (architecture `{}`)", header.architecture);
    }
    if path.to_str().is_none_or(|path| path.contains('\0')) {
        return Err(ModelError::Engine(format!("`{file}`: llama.cpp takes only paths that are UTF-8")));
    }
    let backend = backend(kernels)?;
    let model = LlamaModel::load_from_file(backend, path, &LlamaModelParams::default()).map_err(|_| {
        ModelError::Engine(format!(
            "llama.cpp can't load `{file}`{architecture}: an architecture it does not know, a damaged file, or too \
             little memory"
        ))
    })?;
    Ok((backend, model))
}

/// llama.cpp with its kernels, set up once and never torn down.
fn backend(kernels: Option<&Path>) -> Result<&'static LlamaBackend, ModelError> {
    static BACKEND: OnceLock<Result<LlamaBackend, ModelError>> = OnceLock::new();
    let result = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default().with_logs_enabled(false));
        let folder = kernels.map(Path::to_owned).unwrap_or_else(kernels_folder);
        if folder.to_str().is_none_or(|folder| folder.contains('\0')) {
            return Err(engine("its kernels lie in a folder whose name is not UTF-8"));
        }
        load_backends_from_path(&folder);
        if list_llama_ggml_backend_devices().is_empty() {
            return Err(engine(format!(
                "no kernels for this processor in {}; an installed llmc needs `lib/llmc` beside its `bin`",
                folder.display()
            )));
        }
        LlamaBackend::init().map_err(engine)
    });
    result.as_ref().map_err(Clone::clone)
}

/// Beside an installed binary, as the libraries are looked for there first too; else where they were built.
fn kernels_folder() -> PathBuf {
    let installed = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("../lib/llmc")));
    let has_kernels = |folder: &PathBuf| {
        std::fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains("ggml-cpu")))
        })
    };
    installed.filter(has_kernels).unwrap_or_else(|| option_env!("LLMC_BACKENDS_DIR").unwrap_or_default().into())
}

/// The text of every token, back to back.
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn of(model: &LlamaModel) -> Self {
        let vocab = model.vocab();
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for token in 0..vocab.n_tokens() {
            // Control tokens have no text.
            bytes.extend(vocab.token_to_piece(LlamaToken(token), false, None));
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    fn get(&self, token: usize) -> &[u8] {
        let start = if token == 0 { 0 } else { self.ends[token - 1] };
        &self.bytes[start..self.ends[token]]
    }

    fn starting_with(&self, beginning: &[u8]) -> Vec<u32> {
        (0..self.ends.len()).filter(|&token| self.get(token).starts_with(beginning)).map(|token| token as u32).collect()
    }
}

struct Engine<'m> {
    backend: &'static LlamaBackend,
    model: &'m LlamaModel,
    template: Option<LlamaChatTemplate>,
    pieces: Pieces,
    is_end: Vec<bool>,
    options: Options,
    room: Option<Room<'m>>,
}

/// A context: sequences `0 .. slots` for samples, then those that hold prompts.
///
/// Each sequence has cells of its own, so that what one computes never depends on where others lie.
struct Room<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: usize,
    cells: usize,
    prompts: Vec<Prefilled>,
    /// Prompts that were asked for so far.
    asked: u64,
}

/// Most prompts that stay computed: a program whose components take turns asks with the same few beginnings again and again.
const PROMPTS: usize = 6;
/// Prompts that one request can have, one in each style.
const STYLES: usize = 2;
const _: () = assert!(STYLES <= PROMPTS);

/// A prompt that was computed.
#[derive(Default)]
struct Prefilled {
    tokens: Vec<LlamaToken>,
    /// When it was last asked for, in prompts asked for before.
    last: u64,
    /// After the last token; empty when the prompt is not complete.
    logits: Vec<f32>,
}

/// A prompt in one style, ready to be computed.
struct Styled {
    name: &'static str,
    tokens: Vec<LlamaToken>,
    opening: String,
    /// Bytes of the opening that the first token drawn repeats, and the tokens that do.
    healed: usize,
    allowed: Vec<u32>,
    limit: usize,
}

/// A sample that is being drawn.
struct Sample {
    index: usize,
    style: usize,
    rng: Rng,
    temperature: f32,
    watch: Watch,
    /// Bytes that are not yet whole characters.
    bytes: Vec<u8>,
    next: LlamaToken,
    position: usize,
    drawn: usize,
    /// What it is held to.
    held: Option<Held>,
}

/// A grammar, and how far into it a sample is.
///
/// llama.cpp aborts the process where it is told of a token that the grammar does not allow: only those that
/// [`Held::best`] gave are told.
struct Held(LlamaSampler);

impl<'m> Engine<'m> {
    fn new(backend: &'static LlamaBackend, model: &'m LlamaModel, options: Options) -> Self {
        let vocab = model.vocab();
        Self {
            backend,
            model,
            template: model.chat_template(None).ok(),
            pieces: Pieces::of(model),
            is_end: (0..vocab.n_tokens()).map(|token| vocab.is_eog(LlamaToken(token))).collect(),
            options,
            room: None,
        }
    }

    fn draw(&mut self, job: &Job) -> Result<(), ModelError> {
        let started = Instant::now();
        let is_closed = || job.sink.is_closed() || job.done.is_closed();
        if job.indices.is_empty() || is_closed() {
            return Ok(());
        }
        let mut styles = self.styles(&job.prompt, job.talk.as_ref())?;
        let schema = job.talk.as_ref().and_then(|talk| talk.output.as_ref());
        let grammar = schema.map(|schema| Grammar::of(schema).to_string());
        let trained = self.model.n_ctx_train() as usize;
        let mut cells = 0;
        for style in &mut styles {
            let wanted = job
                .parameters
                .max_tokens
                .unwrap_or_else(|| if opens_function(&style.opening) { FUNCTION_TOKENS } else { ANSWER_TOKENS });
            let left = trained.saturating_sub(style.tokens.len() + 1);
            if left < LEAST_ANSWER.min(wanted) {
                return Err(ModelError::Engine(format!(
                    "the prompt has {} tokens and the model's context holds {trained}: no room for an answer; shorten \
                     the spec or name a model with a longer context",
                    style.tokens.len()
                )));
            }
            style.limit = wanted.clamp(1, left);
            cells = cells.max((style.tokens.len() + style.limit + 1).next_multiple_of(CELLS));
        }
        self.make_room(cells)?;
        let room = self.room.as_mut().expect("room was made");
        let width = room.slots;
        let mut queue: VecDeque<usize> = job.indices.iter().copied().collect();
        // Where models take turns, each of them has all the styles.
        let style_of = |index: usize, styles: &[Styled]| index / job.step % styles.len();
        let is_needed = |style: usize| queue.iter().any(|index| style_of(*index, &styles) == style);
        // Which of the room's prompts is that of which style.
        let mut prompts = [None; STYLES];
        for (number, style) in styles.iter().enumerate() {
            if is_needed(number) {
                let prompt = room.nearest(&style.tokens, &prompts)?;
                prompts[number] = Some(prompt);
                if !room.prefill(prompt, &style.tokens, &is_closed)? {
                    return Ok(());
                }
            }
        }
        let prompt_of = |style: usize| prompts[style].expect("a style that is needed has its prompt");

        let mut active: Vec<Sample> = Vec::new();
        let finish = |sample: Sample, finish: Finish, styles: &[Styled]| {
            let style = &styles[sample.style];
            let mut watch = sample.watch;
            if !sample.bytes.is_empty() {
                watch.push(&String::from_utf8_lossy(&sample.bytes));
            }
            let _ = job.sink.send(Drawn::Sample(Completion {
                index: sample.index,
                text: watch.into_text(),
                finish,
                prompt_tokens: style.tokens.len(),
                completion_tokens: sample.drawn,
                temperature: sample.temperature,
                style: style.name.into(),
                constrained: sample.held.is_some(),
                milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                ..Completion::default()
            }));
        };
        // The next sample that needs more than what the prompt alone gives.
        let begin = |queue: &mut VecDeque<usize>, room: &mut Room<'_>| -> Result<Option<Sample>, ModelError> {
            while let Some(index) = queue.pop_front() {
                let number = style_of(index, &styles);
                let style = &styles[number];
                let mut sample = Sample {
                    index,
                    style: number,
                    rng: Rng::new(job.parameters.seed, index),
                    temperature: job.parameters.temperature.unwrap_or_else(|| scheduled_temperature(index)),
                    watch: Watch::new(&style.opening),
                    bytes: Vec::new(),
                    next: LlamaToken(0),
                    position: style.tokens.len(),
                    drawn: 0,
                    held: grammar.as_deref().map(|grammar| Held::new(self.model, grammar)).transpose()?,
                };
                let logits = &room.prompts[prompt_of(number)].logits;
                let best = match &mut sample.held {
                    Some(held) => held.best(logits, &self.pieces, &self.is_end),
                    None if style.allowed.is_empty() => Best::of(logits),
                    None => Best::among(logits, &style.allowed),
                };
                let end = sample.take(&best, style.healed, style, &job.parameters, &self.pieces, &self.is_end)?;
                let _ = job.sink.send(Drawn::Tokens(1));
                match end {
                    Some(end) => finish(sample, end, &styles),
                    None => return Ok(Some(sample)),
                }
            }
            Ok(None)
        };
        while active.len() < width {
            match begin(&mut queue, room)? {
                Some(sample) => {
                    room.copy(room.slots + prompt_of(sample.style), active.len())?;
                    active.push(sample);
                }
                None => break,
            }
        }

        while !active.is_empty() && !is_closed() {
            room.batch.clear();
            for (slot, sample) in active.iter().enumerate() {
                room.batch.add(sample.next, sample.position as i32, &[slot as i32], true).map_err(engine)?;
            }
            room.context.decode(&mut room.batch).map_err(engine)?;
            let mut ended = Vec::new();
            for (slot, sample) in active.iter_mut().enumerate() {
                sample.position += 1;
                let logits = room.context.get_logits_ith(slot as i32);
                let best = match &mut sample.held {
                    Some(held) => held.best(logits, &self.pieces, &self.is_end),
                    None => Best::of(logits),
                };
                let style = &styles[sample.style];
                if let Some(end) = sample.take(&best, 0, style, &job.parameters, &self.pieces, &self.is_end)? {
                    ended.push((slot, end));
                }
            }
            let _ = job.sink.send(Drawn::Tokens(active.len()));
            // From the last slot down, so that what fills a gap has not ended itself.
            for (slot, end) in ended.into_iter().rev() {
                if let Some(sample) = begin(&mut queue, room)? {
                    room.copy(room.slots + prompt_of(sample.style), slot)?;
                    finish(std::mem::replace(&mut active[slot], sample), end, &styles);
                } else {
                    // Only neighbouring sequences share a batch, so the last one moves into the gap.
                    let last = active.len() - 1;
                    if slot != last {
                        room.copy(last, slot)?;
                    }
                    finish(active.swap_remove(slot), end, &styles);
                }
            }
        }
        Ok(())
    }

    /// A context with at least so many cells for each sequence.
    fn make_room(&mut self, cells: usize) -> Result<(), ModelError> {
        let model = self.model;
        let heads = (model.n_head() as usize).max(1);
        let cell_bytes =
            model.n_layer() as usize * 4 * model.n_head_kv() as usize * (model.n_embd().max(1) as usize / heads);
        let sequence_bytes = cells.saturating_mul(cell_bytes).max(1);
        if sequence_bytes > LARGEST_SEQUENCE {
            return Err(ModelError::Engine(format!(
                "one sample of {cells} tokens would take {} MiB of memory; shorten the spec or ask for fewer tokens",
                sequence_bytes >> 20
            )));
        }
        // A function of this request alone, not of those before it: results depend on the width.
        let slots = (CACHE_BYTES / sequence_bytes).saturating_sub(STYLES).clamp(1, self.options.width);
        if self.room.as_ref().is_some_and(|room| room.slots == slots && room.cells >= cells) {
            return Ok(());
        }
        let prompts = (PROMPT_BYTES / sequence_bytes).clamp(STYLES, PROMPTS);
        self.room = None;
        let sequences = slots + prompts;
        let context_cells = u32::try_from(cells * sequences).ok().and_then(NonZeroU32::new);
        let threads = self.options.threads as i32;
        let parameters = LlamaContextParams::default()
            .with_n_ctx(context_cells)
            .with_n_batch(CHUNK.max(slots) as u32)
            .with_n_ubatch(CHUNK.max(slots) as u32)
            .with_n_seq_max(sequences as u32)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_kv_unified(false)
            .with_no_perf(true);
        let context = model
            .new_context(self.backend, parameters)
            .map_err(|error| engine(format!("no room for {slots} samples of {cells} tokens: {error}")))?;
        self.room = Some(Room {
            context,
            batch: LlamaBatch::new(CHUNK.max(slots), 1),
            slots,
            cells,
            prompts: std::iter::repeat_with(Prefilled::default).take(prompts).collect(),
            asked: 0,
        });
        Ok(())
    }

    /// The styles that this prompt and this model allow; the sample `i` uses the `i`-th of them in turn.
    fn styles(&self, prompt: &Prompt, talk: Option<&Talk>) -> Result<Vec<Styled>, ModelError> {
        let mut styles = Vec::new();
        if let Some(continuation) = &prompt.continuation {
            let tokens = self.tokens(&continuation.text, true, false);
            styles.push(self.styled("continued", tokens, &continuation.opening, Some(&continuation.text)));
        }
        let turns = talk.map_or(&[][..], |talk| &talk.turns);
        let name = if prompt.opening.is_empty() { "chat" } else { "opened" };
        match self.chat(prompt, turns) {
            Some(tokens) => styles.push(self.styled(name, tokens, &prompt.opening, None)),
            None if styles.is_empty() => {
                // No chat and nothing to continue: the messages as plain text.
                let more = talk.map(Talk::text).unwrap_or_default();
                let text = format!("{}\n\n{}\n{more}\n", prompt.system, prompt.user);
                let tokens = self.tokens(&text, true, false);
                styles.push(self.styled("continued", tokens, &prompt.opening, Some(&text)));
            }
            None => {}
        }
        if styles.iter().any(|style| style.tokens.is_empty()) {
            return Err(engine("the prompt is empty"));
        }
        Ok(styles)
    }

    /// Joins what comes before the opening, as text or tokens, with the opening.
    ///
    /// The opening's last token is left to the model, with the choice of all tokens that begin with its text: where
    /// the tokenizer would join the opening's end with what follows (`{` and a line break), the model can too.
    fn styled(&self, name: &'static str, before: Vec<LlamaToken>, opening: &str, text: Option<&str>) -> Styled {
        let mut tokens = match text {
            Some(text) => self.tokens(&format!("{text}{opening}"), true, false),
            None => [before, self.tokens(opening, false, false)].concat(),
        };
        let mut healed = 0;
        let mut allowed = Vec::new();
        if !opening.is_empty()
            && tokens.len() > 1
            && let Some(&last) = tokens.last()
        {
            let piece = self.pieces.get(last.0 as usize);
            if !piece.is_empty() && opening.as_bytes().ends_with(piece) {
                tokens.pop();
                healed = piece.len();
                allowed = self.pieces.starting_with(piece);
            }
        }
        Styled { name, tokens, opening: opening.to_owned(), healed, allowed, limit: 0 }
    }

    fn tokens(&self, text: &str, is_start: bool, has_controls: bool) -> Vec<LlamaToken> {
        self.model.vocab().tokenize(text.as_bytes(), is_start, has_controls)
    }

    /// The messages in the model's own chat template, up to where the answer begins. `None` without a template.
    fn chat(&self, prompt: &Prompt, turns: &[Turn]) -> Option<Vec<LlamaToken>> {
        let template = self.template.as_ref()?;
        // Each message: who says it, what stands for it while the template is filled in, and what it is.
        let mut said = Vec::new();
        if !prompt.system.is_empty() {
            said.push(("system", SYSTEM_MARK.to_owned(), prompt.system.clone()));
        }
        said.push(("user", USER_MARK.to_owned(), prompt.user.clone()));
        for (number, turn) in turns.iter().enumerate() {
            let (role, text) = match turn {
                Turn::Model(said) => ("assistant", said.text.clone()),
                Turn::User(text) => ("user", text.clone()),
                Turn::Results(results) => {
                    ("user", results.iter().map(|result| result.content.as_str()).collect::<Vec<_>>().join("\n"))
                }
            };
            said.push((role, format!("{TURN_MARK}{number}@@"), text));
        }
        let render = |with_marks: bool| {
            let message = |(role, mark, text): &(&str, String, String)| {
                LlamaChatMessage::new((*role).into(), if with_marks { mark.clone() } else { text.clone() }).ok()
            };
            let messages: Option<Vec<_>> = said.iter().map(message).collect();
            self.model.apply_chat_template(template, &messages?, true).ok()
        };
        // The template's own control tokens are wanted; text from a spec that looks like one is just text.
        let mut rest = render(true)?;
        let are_all_there = said.iter().all(|(role, mark, _)| *role == "system" || rest.contains(mark));
        if self.model.vocab().vocab_type() != VocabType::BPE || !are_all_there {
            return Some(self.tokens(&render(false)?, true, true));
        }
        let mut tokens = Vec::new();
        let mut is_start = true;
        while let Some((at, mark, content)) =
            said.iter().filter_map(|(_, mark, content)| Some((rest.find(mark.as_str())?, mark, content.trim()))).min()
        {
            tokens.extend(self.tokens(&rest[..at], is_start, true));
            tokens.extend(self.tokens(content, false, false));
            is_start = false;
            rest.drain(..at + mark.len());
        }
        tokens.extend(self.tokens(&rest, is_start, true));
        Some(tokens)
    }
}

impl Room<'_> {
    /// Which of the kept prompts is to become this one. That which begins like it, where little else is lost with it;
    /// otherwise the one that was not asked for the longest, with that beginning copied into it. Those in `taken` stay.
    fn nearest(&mut self, tokens: &[LlamaToken], taken: &[Option<usize>]) -> Result<usize, ModelError> {
        let common = |at: usize| common(&self.prompts[at].tokens, tokens);
        let like = (0..self.prompts.len())
            .max_by_key(|at| (common(*at), Reverse(self.prompts[*at].last)))
            .expect("some prompts");
        let is_free = |at: &usize| !taken.contains(&Some(*at));
        let is_mostly_common = 2 * common(like) >= self.prompts[like].tokens.len();
        let prompt = if is_free(&like) && is_mostly_common {
            like
        } else {
            let oldest = (0..self.prompts.len()).filter(is_free).min_by_key(|at| self.prompts[*at].last);
            let oldest = oldest.expect("more prompts than styles");
            if common(like) / CHUNK > common(oldest) / CHUNK {
                self.copy(self.slots + like, self.slots + oldest)?;
                self.prompts[oldest].tokens = self.prompts[like].tokens.clone();
                self.prompts[oldest].logits.clear();
            }
            oldest
        };
        self.asked += 1;
        self.prompts[prompt].last = self.asked;
        Ok(prompt)
    }

    /// Computes a prompt, as far as it is not there from the last time; whether it came to an end.
    fn prefill(
        &mut self,
        prompt: usize,
        tokens: &[LlamaToken],
        is_closed: &dyn Fn() -> bool,
    ) -> Result<bool, ModelError> {
        let sequence = self.slots + prompt;
        let kept = &mut self.prompts[prompt];
        if kept.tokens == tokens && !kept.logits.is_empty() {
            return Ok(true);
        }
        let mut known = common(&kept.tokens, tokens).min(tokens.len() - 1) / CHUNK * CHUNK;
        kept.logits.clear();
        let cut = self.context.clear_kv_cache_seq(Some(sequence as u32), Some(known as u32), None).map_err(engine)?;
        if !cut {
            // Some architectures can only forget everything.
            known = 0;
            self.context.clear_kv_cache_seq(Some(sequence as u32), None, None).map_err(engine)?;
        }
        kept.tokens.truncate(known);
        while kept.tokens.len() < tokens.len() {
            if is_closed() {
                return Ok(false);
            }
            let start = kept.tokens.len();
            let end = tokens.len().min(start + CHUNK);
            self.batch.clear();
            for (position, &token) in tokens[start..end].iter().enumerate() {
                let is_last = start + position + 1 == tokens.len();
                self.batch.add(token, (start + position) as i32, &[sequence as i32], is_last).map_err(engine)?;
            }
            self.context.decode(&mut self.batch).map_err(engine)?;
            kept.tokens.extend_from_slice(&tokens[start..end]);
        }
        kept.logits = self.context.get_logits_ith(self.batch.n_tokens() - 1).to_vec();
        Ok(true)
    }

    fn copy(&mut self, from: usize, to: usize) -> Result<(), ModelError> {
        self.context.copy_kv_cache_seq(from as i32, to as i32, None, None).map_err(engine)
    }
}

/// Tokens that both begin with.
fn common(a: &[LlamaToken], b: &[LlamaToken]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Held {
    fn new(model: &LlamaModel, grammar: &str) -> Result<Self, ModelError> {
        LlamaSampler::grammar(model, grammar, Grammar::ROOT)
            .map(Self)
            .map_err(|error| engine(format!("the answer's schema makes no grammar: {error}")))
    }

    /// The best tokens of those that the grammar allows.
    fn best(&mut self, logits: &[f32], pieces: &Pieces, is_end: &[bool]) -> Best {
        // To look at all of the vocabulary takes long, and is rarely needed.
        let best = Best::of(logits);
        let allowed = self.allowed(best.tokens().iter().copied(), pieces, is_end);
        if !allowed.is_empty() {
            return Best::among(logits, &allowed);
        }
        let all = self.allowed(0..u32::try_from(logits.len()).unwrap_or(u32::MAX), pieces, is_end);
        Best::among(logits, &all)
    }

    fn allowed(&mut self, tokens: impl Iterator<Item = u32>, pieces: &Pieces, is_end: &[bool]) -> Vec<u32> {
        // llama.cpp takes a control token for its name; here it has no text.
        let has_text = |token: &u32| {
            let at = *token as usize;
            is_end.get(at) == Some(&true) || at < pieces.ends.len() && !pieces.get(at).is_empty()
        };
        let data = tokens.filter(has_text).map(|token| LlamaTokenData::new(LlamaToken(token as i32), 0.0, 0.0));
        let mut data = LlamaTokenDataArray::from_iter(data, false);
        self.0.apply(&mut data);
        data.data.iter().filter(|one| one.logit().is_finite()).map(|one| one.id().0 as u32).collect()
    }
}

impl Sample {
    /// Draws the next token and takes in its text without the first `healed` bytes; why the sample ends, if it does.
    fn take(
        &mut self,
        best: &Best,
        healed: usize,
        style: &Styled,
        parameters: &Parameters,
        pieces: &Pieces,
        is_end: &[bool],
    ) -> Result<Option<Finish>, ModelError> {
        let token = best
            .draw(self.temperature, parameters.top_p, &mut self.rng)
            .ok_or_else(|| engine("the model computed no number; its file may be damaged"))?;
        self.drawn += 1;
        let token = token as usize;
        if is_end.get(token).copied().unwrap_or(true) {
            return Ok(Some(Finish::Stop));
        }
        self.next = LlamaToken(token as i32);
        if let Some(held) = &mut self.held {
            held.0.accept(self.next);
        }
        self.bytes.extend_from_slice(pieces.get(token).get(healed..).unwrap_or_default());
        let text = whole_characters(&mut self.bytes);
        Ok(match self.watch.push(&text) {
            Some(End::Closed) => {
                self.bytes.clear();
                Some(Finish::Stop)
            }
            Some(End::Loop) => Some(Finish::Length),
            None if self.drawn >= style.limit => Some(Finish::Length),
            None => None,
        })
    }
}

/// Takes the whole characters out of the front of `bytes`; what can't become one is replaced.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut taken = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        taken += chunk.valid().len();
        let invalid = chunk.invalid();
        let is_cut_off = taken + invalid.len() == bytes.len()
            && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        if !invalid.is_empty() && !is_cut_off {
            text.push(char::REPLACEMENT_CHARACTER);
            taken += invalid.len();
        }
    }
    bytes.drain(..taken);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_wait_until_they_are_whole() {
        let mut bytes = Vec::new();
        let mut text = String::new();
        for &byte in "aé🦀z".as_bytes() {
            bytes.push(byte);
            text.push_str(&whole_characters(&mut bytes));
        }
        assert_eq!(text, "aé🦀z");
        let mut broken = b"a\xffb\xe2\x82".to_vec();
        assert_eq!(whole_characters(&mut broken), "a\u{fffd}b");
        assert_eq!(broken, b"\xe2\x82");
    }
}
