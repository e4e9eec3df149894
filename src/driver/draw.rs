//! Sampling and judging, overlapped: completions are judged as they arrive.
//!
//! Draws in rounds: first independent samples, all at once; then, while nothing passes and there are repairs to spend,
//! a few at a time what `repair` chooses. `stop` says when it is enough. Knows nothing of files, git or how a model works.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ask::{self, Ask, Asking};
use super::log::Log;
use super::purse::Purse;
use super::repair::{self, Born, Choice, Family, Step};
use super::stop::{self, Votes};
use crate::candidate::{self, Candidate};
use crate::digest::sha256;
use crate::event::Event;
use crate::interrupt::Interrupt;
use crate::ledger::{LedgerError, Repair};
use crate::model::purse::Cost;
use crate::model::sampling::Rng;
use crate::model::{Completion, Drawn, Model, ModelError, Parameters, Request};
use crate::prompt::{Flaw, Prompt, PromptError, Templates};
use crate::spec::{Budget, Spec, Stop};
use crate::validate::{Checks, Failure, Fixed, Insight, Judged, Program, Queue, ValidateError, Validator};
use crate::verdict::Verdict;

/// A sample with what became of it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// The draw.
    pub(super) completion: Completion,
    /// Which of the models gave it.
    pub(super) model: usize,
    /// Whether an earlier build drew it, and it was in the ledger.
    pub(super) replayed: bool,
    /// The Rust in it, if there is any that conforms.
    pub(super) candidate: Option<Candidate>,
    /// What validation found.
    pub(super) verdict: Verdict,
}

/// All that was drawn for one spec.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// The independent draws, by index. No other enters a statistic.
    pub(super) list: Vec<Sample>,
    /// The repairs, by index; theirs come after those of all independent draws.
    pub(super) repairs: Vec<Sample>,
    /// Every program, with what it was made from.
    pub(super) family: Family,
    /// Independent draws that could not be made.
    pub(super) lost: Vec<(usize, ModelError)>,
    /// Set when a cap of the budget ended the drawing: how.
    pub(super) spent: Option<String>,
    /// Whether drawing ended because a sample that cost money could not be stored.
    pub(super) unstored: bool,
    /// Whether drawing ended before every sample was drawn.
    pub(super) stopped: bool,
    /// What drawing them took.
    pub(super) cost: Cost,
    /// What was found of the artifact, where that was asked for. It is no candidate, and counts in nothing.
    pub(super) artifact: Option<(Verdict, Insight)>,
}

impl Samples {
    /// Every sample, of whatever kind.
    pub(super) fn all(&self) -> impl Iterator<Item = &Sample> {
        self.list.iter().chain(&self.repairs)
    }
}

/// Why drawing ended without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum DrawError {
    /// No sample could be drawn.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A candidate could not be judged.
    #[error(transparent)]
    Validate(#[from] ValidateError),
    /// The samples that are there already can't be read, and drawing them again would cost money.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A repair can't be asked for.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What to draw and how to judge it.
pub(super) struct Job<'a> {
    pub(super) spec: &'a Arc<Spec>,
    pub(super) prompt: &'a Prompt,
    pub(super) templates: &'a Templates,
    pub(super) models: &'a [Arc<dyn Model>],
    pub(super) parameters: &'a Parameters,
    pub(super) samples: usize,
    /// Independent samples, from the first on, that are not wanted: they have served another end.
    pub(super) skip: usize,
    pub(super) repairs: usize,
    pub(super) stop: Stop,
    pub(super) budget: &'a Budget,
    pub(super) purse: &'a Arc<Purse>,
    pub(super) validator: &'a Arc<Validator>,
    pub(super) checks: &'a Arc<Checks>,
    pub(super) jobs: usize,
    /// The artifact that there is, where it is to be judged along with the candidates.
    pub(super) artifact: Option<&'a Candidate>,
}

/// Most events that are taken in together: what arrives together is stored together.
const AT_ONCE: usize = 256;
/// How often rustc's own suggestions are applied to a candidate.
const FIXES: usize = 3;
/// Most draws of a round in which repairs are chosen. More are quicker, fewer know more of those before.
const ROUND: usize = 4;
/// Numbers of fixed candidates in the queue begin here; below are those of samples.
const FIXED: usize = usize::MAX / 2;
/// The artifact's number in the queue.
const ARTIFACT: usize = usize::MAX;

/// Text in which Rust was looked for.
struct Extracted {
    from: Origin,
    found: Result<(Candidate, Program), Verdict>,
}

/// What a candidate is made of.
enum Origin {
    /// A sample, of which nothing is known yet.
    Sample(Box<Arrived>),
    /// Another candidate of the sample with this index, so many changes ago the sample's own.
    Fixed { sample: usize, depth: usize, fixes: Vec<String> },
}

/// A sample that is there.
struct Arrived {
    completion: Completion,
    model: usize,
    replayed: bool,
}

/// A repair that was asked for.
struct Asked {
    /// The node that it begins from, and that node's sample.
    node: usize,
    parent: usize,
    failure: Failure,
    prompt: Arc<Prompt>,
    digest: String,
    model: usize,
    number: usize,
}

impl Asked {
    fn entry(&self, index: usize) -> Repair<'_> {
        Repair { prompt: &self.prompt, model: self.model, number: self.number, index, parent: self.parent }
    }
}

/// Draws the samples of one spec that the ledger does not have, and judges all of them.
pub(super) async fn draw(
    job: &Job<'_>,
    log: &mut Log,
    interrupt: &Interrupt,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Samples, DrawError> {
    let mut pool = Pool::new(job);
    let mut wanted = pool.first();
    while !wanted.is_empty() {
        let stored = pool.stored(&wanted, log, tell)?;
        wanted.retain(|index| !stored.iter().any(|one| one.completion.index == *index));
        let (sink, mut drawn) = mpsc::unbounded_channel();
        let asking = pool.ask(&wanted, &sink);
        drop(sink);
        let result = pool.round(stored, asking, &mut drawn, log, interrupt, tell).await;
        // However it ended: what has arrived was paid for.
        drawn.close();
        let mut late = Vec::new();
        while let Ok(event) = drawn.try_recv() {
            if let Drawn::Sample(mut completion) = event {
                pool.price(&mut completion);
                late.push(completion);
            }
        }
        pool.store(&late.iter().collect::<Vec<_>>(), log);
        result?;
        wanted = pool.next()?;
    }
    let mut samples = pool.samples;
    if samples.list.is_empty() && samples.spent.is_none() && !samples.lost.is_empty() {
        return Err(samples.lost.remove(0).1.into());
    }
    samples.stopped = job.skip + samples.list.len() + samples.lost.len() < job.samples;
    samples.list.sort_by_key(|sample| sample.completion.index);
    samples.repairs.sort_by_key(|sample| sample.completion.index);
    Ok(samples)
}

/// What has been drawn and found so far.
struct Pool<'a> {
    job: &'a Job<'a>,
    /// For each independent sample, which of the models it is drawn from.
    owners: Vec<usize>,
    queue: Queue,
    samples: Samples,
    /// The candidates being judged, by their number in the queue.
    waiting: HashMap<usize, Waiting>,
    /// Samples from the ledger that have no verdict yet.
    replaying: usize,
    /// How many candidates rustc had a part in.
    fixed: usize,
    votes: Votes,
    /// Whether any candidate passes, however it came to be.
    any: bool,
    /// Programs of this round, by sample and how often rustc changed it: in an order that does not hang on time.
    born: BTreeMap<(usize, usize), Born>,
    /// How many independent samples were asked for or looked up.
    begun: usize,
    /// The repairs, in the order in which they were chosen.
    asked: Vec<Asked>,
    rng: Rng,
    /// Whether no sample of the last round could be drawn.
    is_failing: bool,
    deadline: Option<Instant>,
}

/// A candidate that is being judged.
struct Waiting {
    from: Origin,
    candidate: Candidate,
    program: Program,
}

impl<'a> Pool<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        let digest = digest(job.prompt);
        let prompt = u64::from_str_radix(&digest[..16], 16).expect("a digest is hex");
        let mut queue = Queue::new(job.validator.clone(), job.checks.clone(), job.jobs);
        if let Some(artifact) = job.artifact {
            queue.submit(ARTIFACT, artifact.clone());
        }
        Self {
            job,
            owners: ask::owners(job.samples, job.models.len()),
            queue,
            samples: Samples::default(),
            waiting: HashMap::new(),
            replaying: 0,
            fixed: 0,
            votes: Votes::default(),
            any: false,
            born: BTreeMap::new(),
            begun: 0,
            asked: Vec::new(),
            rng: Rng::new(job.parameters.seed ^ prompt, 0),
            is_failing: false,
            deadline: job.budget.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds)),
        }
    }

    /// The samples of the first round: all, but where there are repairs to spend the half of them.
    fn first(&mut self) -> Vec<usize> {
        self.begun = if self.job.repairs > 0 { self.job.samples.div_ceil(2) } else { self.job.samples };
        (self.job.skip..self.begun).collect()
    }

    /// The samples of the next round; none when it is enough.
    fn next(&mut self) -> Result<Vec<usize>, DrawError> {
        self.settle();
        let samples = &self.samples;
        if self.is_enough() || self.is_failing || samples.spent.is_some() || samples.unstored {
            return Ok(Vec::new());
        }
        let mut wanted = Vec::new();
        while wanted.len() < ROUND
            && !self.any
            && self.asked.len() < self.job.repairs
            && self.samples.family.can_repair()
        {
            let fresh = (self.begun < self.job.samples).then(|| (self.tokens_each(), self.samples.list.len()));
            let rng = &mut self.rng;
            match self.samples.family.choose(fresh, &mut || rng.fraction()) {
                Some(Choice::Repair(node)) => wanted.extend(self.repair(node)?),
                Some(Choice::Fresh) => {
                    wanted.push(self.begun);
                    self.begun += 1;
                }
                None => break,
            }
        }
        if wanted.is_empty() {
            wanted.extend(self.begun..self.job.samples);
            self.begun = self.job.samples;
        }
        Ok(wanted)
    }

    /// Writes the prompt of a repair; returns the sample's index. A prompt that is too long is not sent.
    fn repair(&mut self, node: usize) -> Result<Option<usize>, DrawError> {
        let job = self.job;
        let family = &self.samples.family;
        let failure = family.failure(node).expect("only what can be repaired is chosen").clone();
        let node_of = &family.nodes[node];
        let flaw = Flaw {
            code: &node_of.candidate.source,
            compiles: node_of.verdict.compiles(),
            failure_code: &failure.code,
            failure: &failure.text,
        };
        let prompt = job.templates.render_repair(job.spec, job.prompt, &flaw)?;
        let (digest, parent) = (digest(&prompt), node_of.sample);
        let model = self.model_of(parent);
        let most = |prompt: &Prompt| job.models[model].most(&Request::new(prompt, job.parameters, parent, 1)).prompt;
        if most(&prompt) > most(job.prompt) + repair::ROOM {
            self.samples.family.pass_over(node);
            return Ok(None);
        }
        self.samples.family.ask(node);
        let number = self.asked.iter().filter(|asked| asked.digest == digest && asked.model == model).count();
        self.asked.push(Asked { node, parent, failure, prompt: Arc::new(prompt), digest, model, number });
        Ok(Some(job.samples + self.asked.len() - 1))
    }

    /// The model that a sample is drawn from.
    fn model_of(&self, index: usize) -> usize {
        match index.checked_sub(self.job.samples) {
            None => self.owners[index],
            Some(repair) => self.asked[repair].model,
        }
    }

    /// The tokens that an independent sample took, on average.
    fn tokens_each(&self) -> f64 {
        let list = &self.samples.list;
        let tokens = list.iter().map(|sample| sample.completion.prompt_tokens + sample.completion.completion_tokens);
        tokens.sum::<usize>() as f64 / list.len().max(1) as f64
    }

    /// Has the programs of a round join the others.
    fn settle(&mut self) {
        let tokens = self.tokens_each();
        let mut last: Option<(usize, usize)> = None;
        for ((sample, _), mut born) in std::mem::take(&mut self.born) {
            let told = born.insight.failure.as_ref().map_or(0, |failure| failure.text.len());
            born.tokens = tokens + (born.candidate.source.len() + told) as f64 / LETTERS;
            if let (Some((of, node)), Some((parent, Step::Rustc(_)))) = (last, &mut born.from)
                && of == sample
            {
                *parent = node;
            }
            last = Some((sample, self.samples.family.add(born)));
        }
    }

    fn is_enough(&self) -> bool {
        stop::is_enough(self.job.stop, self.any, &self.votes)
    }

    /// The samples with these indices that the ledger has.
    fn stored(
        &self,
        wanted: &[usize],
        log: &mut Log,
        tell: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Vec<Arrived>, LedgerError> {
        let samples = self.job.samples;
        let fresh: Vec<_> = wanted.iter().filter(|index| **index < samples).map(|&at| (at, self.owners[at])).collect();
        let mut stored: Vec<Arrived> = log
            .replay(&fresh, tell)?
            .into_iter()
            .map(|one| Arrived { completion: one.completion, model: one.model, replayed: true })
            .collect();
        for &index in wanted.iter().filter(|index| **index >= samples) {
            let asked = &self.asked[index - samples];
            let found = log.replay_repair(&asked.entry(index))?;
            stored.extend(found.map(|completion| Arrived { completion, model: asked.model, replayed: true }));
        }
        Ok(stored)
    }

    /// Has samples drawn.
    fn ask(&self, wanted: &[usize], sink: &mpsc::UnboundedSender<Drawn>) -> Vec<Asking<'a>> {
        let job = self.job;
        let (fresh, repairs): (Vec<usize>, Vec<usize>) = wanted.iter().partition(|index| **index < job.samples);
        let ask = Ask { models: job.models, parameters: job.parameters, purse: job.purse, talk: None };
        let mut asking = ask.fresh(job.prompt, &fresh, &self.owners, sink);
        asking.extend(repairs.into_iter().map(|index| {
            let asked = &self.asked[index - job.samples];
            ask.single(asked.model, asked.prompt.clone(), index, sink.clone())
        }));
        asking
    }

    /// Writes into a completion what it took.
    fn price(&self, completion: &mut Completion) {
        self.job.purse.price(self.job.models[self.model_of(completion.index)].identity(), completion);
    }

    /// Stores samples that arrived; `false` when no more should be drawn, because they could not be.
    fn store(&self, completions: &[&Completion], log: &mut Log) -> bool {
        let samples = self.job.samples;
        let (fresh, repairs): (Vec<&Completion>, Vec<&Completion>) =
            completions.iter().partition(|one| one.index < samples);
        let fresh: Vec<_> = fresh.into_iter().map(|one| (self.owners[one.index], one)).collect();
        let mut is_stored = log.arrived(&fresh);
        for one in repairs {
            is_stored &= log.arrived_repair(&self.asked[one.index - samples].entry(one.index), one);
        }
        is_stored
    }

    /// Takes in what is drawn, has it stored and judged, until all of it is there or it is enough.
    async fn round(
        &mut self,
        stored: Vec<Arrived>,
        asking: Vec<Asking<'_>>,
        drawn: &mut mpsc::UnboundedReceiver<Drawn>,
        log: &mut Log,
        interrupt: &Interrupt,
        tell: &mut (dyn FnMut(Event) + Send),
    ) -> Result<(), DrawError> {
        let job = self.job;
        let mut drawing = Box::pin(ask::all(asking));
        let mut drawing_result: Option<Result<(), ModelError>> = None;
        let mut extracting: JoinSet<Extracted> = JoinSet::new();
        for sample in stored {
            self.look(sample, &mut extracting, tell);
        }

        let mut events = Vec::new();
        loop {
            let channel_open = !drawn.is_closed() || !drawn.is_empty();
            let is_idle = extracting.is_empty() && self.queue.outstanding() == 0;
            if drawing_result.is_some() && !channel_open && is_idle {
                break;
            }
            // What is there already may be enough: nothing is asked for before.
            let is_held = job.stop != Stop::All && self.replaying > 0;
            tokio::select! {
                biased;
                () = interrupt.wait() => return Err(DrawError::Interrupted),
                // Also when nothing more will come, so that the loop sees it.
                _ = drawn.recv_many(&mut events, AT_ONCE), if channel_open => {
                    for event in &mut events {
                        if let Drawn::Sample(completion) = event {
                            self.price(completion);
                        }
                    }
                    let arrived: Vec<&Completion> = events
                        .iter()
                        .filter_map(|event| if let Drawn::Sample(completion) = event { Some(completion) } else { None })
                        .collect();
                    if !arrived.is_empty() && !self.store(&arrived, log) {
                        self.samples.unstored = true;
                        drawn.close();
                    }
                    for event in events.drain(..) {
                        self.take(event, &mut extracting, tell);
                    }
                },
                Some(extracted) = extracting.join_next(), if !extracting.is_empty() => {
                    let Extracted { from, found } = extracted.expect("looking for Rust does not panic");
                    match (found, from) {
                        (Ok((candidate, program)), from) => {
                            let id = match &from {
                                Origin::Sample(sample) => sample.completion.index,
                                Origin::Fixed { .. } => {
                                    self.fixed += 1;
                                    FIXED + self.fixed
                                }
                            };
                            self.queue.submit_program(id, candidate.clone(), program.clone());
                            self.waiting.insert(id, Waiting { from, candidate, program });
                        }
                        (Err(verdict), Origin::Sample(sample)) => self.push(*sample, None, verdict, log, tell),
                        // What rustc made of it breaks a rule: it stays what it was.
                        (Err(_), Origin::Fixed { .. }) => {}
                    }
                }
                Some(judged) = self.queue.next(), if self.queue.outstanding() > 0 => {
                    let Judged { id, verdict, insight, .. } = judged?;
                    if id == ARTIFACT {
                        self.samples.artifact = Some((verdict, insight));
                        continue;
                    }
                    self.judged(id, verdict, insight, &mut extracting, log, tell);
                    if self.is_enough() {
                        drawn.close();
                        // Nothing was asked for yet, or what was is dropped.
                        drawing_result.get_or_insert(Ok(()));
                    }
                }
                result = &mut drawing, if drawing_result.is_none() && !is_held => drawing_result = Some(result),
                () = sleep_until(self.deadline), if self.deadline.is_some() && self.samples.spent.is_none() && drawing_result.is_none() => {
                    let seconds = job.budget.seconds.unwrap_or_default();
                    self.samples.spent = Some(format!("budget.seconds is {seconds}, and they are over"));
                    drawn.close();
                }
                else => break,
            }
        }
        if let Some(Err(error)) = drawing_result {
            self.is_failing = true;
            if self.samples.list.is_empty() && self.samples.spent.is_none() {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Takes in what a model reports.
    fn take(&mut self, event: Drawn, extracting: &mut JoinSet<Extracted>, tell: &mut (dyn FnMut(Event) + Send)) {
        let spec = || self.job.spec.name.clone();
        match event {
            Drawn::Tokens(count) => {
                tell(Event::Tokens { spec: spec(), count });
            }
            // The same holds for all that are not sent any more: it is told once.
            Drawn::Failed { error: error @ ModelError::Budget { .. }, .. } => {
                self.samples.spent.get_or_insert_with(|| error.to_string());
            }
            Drawn::Failed { index, error: error @ ModelError::Unrecorded(_) } => {
                self.samples.unstored = true;
                if index < self.job.samples {
                    self.samples.lost.push((index, error));
                }
            }
            Drawn::Failed { index, error } => {
                tell(Event::SampleFailed { spec: spec(), index, reason: error.to_string() });
                if index < self.job.samples {
                    self.samples.lost.push((index, error));
                }
            }
            Drawn::Sample(completion) => {
                let model = self.model_of(completion.index);
                self.look(Arrived { completion, model, replayed: false }, extracting, tell);
            }
        }
    }

    /// Has the Rust in a sample looked for.
    fn look(&mut self, sample: Arrived, extracting: &mut JoinSet<Extracted>, tell: &mut (dyn FnMut(Event) + Send)) {
        self.replaying += usize::from(sample.replayed);
        tell(Event::Sampled {
            spec: self.job.spec.name.clone(),
            index: sample.completion.index,
            tokens: sample.completion.completion_tokens,
            replayed: sample.replayed,
        });
        let spec = self.job.spec.clone();
        extracting.spawn_blocking(move || {
            let found = candidate::from_completion(&sample.completion.text, sample.completion.finish, &spec);
            Extracted { from: Origin::Sample(Box::new(sample)), found: found.map(named) }
        });
    }

    /// Takes in what was found of a candidate.
    fn judged(
        &mut self,
        id: usize,
        verdict: Verdict,
        insight: Insight,
        extracting: &mut JoinSet<Extracted>,
        log: &mut Log,
        tell: &mut (dyn FnMut(Event) + Send),
    ) {
        let Waiting { from, candidate, program } = self.waiting.remove(&id).expect("only what waits is judged");
        self.any |= verdict.is_pass();
        let (sample, depth) = match &from {
            Origin::Sample(arrived) => (arrived.completion.index, 0),
            Origin::Fixed { sample, depth, .. } => (*sample, *depth),
        };
        if let Some(Fixed { source, fixes }) = insight.fix.clone().filter(|_| depth < FIXES) {
            let spec = self.job.spec.clone();
            extracting.spawn_blocking(move || {
                let found = candidate::from_source(&source, &spec);
                Extracted { from: Origin::Fixed { sample, depth: depth + 1, fixes }, found: found.map(named) }
            });
        }
        let repair = sample.checked_sub(self.job.samples).map(|repair| &self.asked[repair]);
        let from_step = match (&from, repair) {
            (Origin::Fixed { fixes, .. }, _) => Some((usize::MAX, Step::Rustc(fixes.clone()))),
            (Origin::Sample(_), Some(asked)) => {
                Some((asked.node, Step::Model { failure: asked.failure.clone(), prompt: asked.digest.clone() }))
            }
            (Origin::Sample(_), None) => None,
        };
        if from_step.is_none() && verdict.is_pass() {
            self.votes.add(insight.behaviour.clone().unwrap_or_else(|| program.to_string()));
        }
        let born = Born {
            sample,
            from: from_step,
            program,
            candidate: candidate.clone(),
            verdict: verdict.clone(),
            insight,
            tokens: 0.0,
        };
        self.born.insert((sample, depth), born);
        match from {
            Origin::Sample(arrived) => self.push(*arrived, Some(candidate), verdict, log, tell),
            Origin::Fixed { .. } => {
                let spec = self.job.spec.name.clone();
                let (parent, number) = (name(sample, depth - 1), name(sample, depth));
                tell(Event::Judged { spec: spec.clone(), candidate: number.clone(), verdict: verdict.clone() });
                let passed = verdict.is_pass();
                tell(Event::Repaired { spec, candidate: number, from: parent, passed, repair: None });
            }
        }
    }

    /// Takes in a sample with its verdict.
    fn push(
        &mut self,
        sample: Arrived,
        candidate: Option<Candidate>,
        verdict: Verdict,
        log: &mut Log,
        tell: &mut (dyn FnMut(Event) + Send),
    ) {
        let Arrived { completion, model, replayed } = sample;
        self.replaying -= usize::from(replayed);
        log.judged(completion.index, candidate.as_ref(), &verdict);
        let spec = self.job.spec.name.clone();
        let number = name(completion.index, 0);
        tell(Event::Judged { spec: spec.clone(), candidate: number.clone(), verdict: verdict.clone() });
        let repair = completion.index.checked_sub(self.job.samples);
        if let Some(repair) = repair {
            let family = &self.samples.family;
            let asked = &self.asked[repair];
            let depth = family.way(asked.node).iter().filter(|(node, _)| node.sample == asked.parent).count();
            let (from, passed) = (name(asked.parent, depth), verdict.is_pass());
            let repair = Some((repair + 1, self.job.repairs));
            tell(Event::Repaired { spec, candidate: number, from, passed, repair });
        }
        let sample = Sample { completion, model, replayed, candidate, verdict };
        (if repair.is_some() { &mut self.samples.repairs } else { &mut self.samples.list }).push(sample);
    }
}

/// Letters that make a token, about.
const LETTERS: f64 = 4.0;

/// A candidate's name in events: its sample's number, and how often rustc changed it.
fn name(sample: usize, depth: usize) -> String {
    match depth {
        0 => (sample + 1).to_string(),
        1 => format!("{}-fixed", sample + 1),
        _ => format!("{}-fixed-{depth}", sample + 1),
    }
}

fn named(candidate: Candidate) -> (Candidate, Program) {
    let program = Program::of(&candidate);
    (candidate, program)
}

/// What the ledger knows a prompt by.
pub(super) fn digest(prompt: &Prompt) -> String {
    sha256(serde_json::to_string(prompt).expect("a prompt holds only strings"))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
