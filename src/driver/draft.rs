//! Drafting: a model writes a spec from user stories, and it is checked as any spec is before it becomes one.
//!
//! The model is held to JSON of a form that has no word for policy, models, crates or hidden checks; llmc writes the
//! YAML. What a draft says in Rust is held against the policy of candidates, since checks run wherever the artifact's
//! tests do. Mistakes go back to the model, a few times. A draft that never checks is left beside, not in `specs/`;
//! each reply is in the ledger before anything is made of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proc_macro2::{TokenStream, TokenTree};
use serde_json::json;
use tokio::sync::mpsc;

use super::ask::{self, Ask};
use super::log::Log;
use super::purse::{Caps, Purse};
use super::specs::{self, Loaded};
use super::{Session, build, new, ready, tell};
use crate::candidate;
use crate::component::reply;
use crate::digest::sha256;
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::ledger::{Ended, Ending, Phase, Repair, Start};
use crate::model::stop::stutters;
use crate::model::{Completion, Drawn, Finish, Model, ModelError, Parameters, Talk};
use crate::options::Plan;
use crate::prompt::{Prompt, Stories};
use crate::spec::{self, AnySpec, Diagnostic, Diagnostics, Draft, Expect, Severity, Snippet, Spec, SpecKind};
use crate::syntax::is_hidden;

/// Longest stories that are read, in bytes: a model reads all of them, and so does who pays.
pub const LONGEST_STORIES: usize = 64 << 10;
/// How often a model is asked at most, where nothing says so.
pub const TRIES: usize = 3;
/// Longest answer where nothing says so, in tokens.
const MAX_TOKENS: usize = 4096;
/// Longest reply that is sent back, in bytes.
const LONGEST_REPLY: usize = 16 << 10;
/// Longest account of mistakes that is sent back, in bytes.
const LONGEST_MISTAKES: usize = 6 << 10;

/// How to draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drafting {
    /// The kind of spec; the model decides where none is given.
    pub kind: Option<SpecKind>,
    /// How often the model is asked at most.
    pub tries: usize,
    /// Whether a spec that is there is replaced.
    pub overwrite: bool,
}

/// What came of drafting.
#[derive(Debug, Clone, PartialEq)]
pub struct Drafted {
    /// Where it is: the spec, or the draft that was left; none where nothing could be read out of any reply.
    pub path: Option<String>,
    /// Whether it is in `specs/`.
    pub is_written: bool,
    /// Its kind.
    pub kind: Option<SpecKind>,
    /// Who drafted it, as `provider/name`.
    pub model: String,
    /// How often the model was asked.
    pub tries: usize,
    /// How many examples it has.
    pub examples: usize,
    /// What the stories leave open, as the model sees it.
    pub questions: Vec<String>,
    /// Keys that the model gave and that are not its to set.
    pub left_out: Vec<String>,
    /// What is wrong or odd with it.
    pub left: Diagnostics,
    /// Tokens of prompts and replies that were paid for now.
    pub tokens: u64,
    /// US dollars, where the price is known.
    pub usd: Option<f64>,
    /// Why it is not in `specs/`.
    pub error: Option<Error>,
}

/// A draft with what is wrong with it.
struct Checked {
    /// Who wrote it.
    model: String,
    draft: Draft,
    left_out: Vec<String>,
    yaml: String,
    found: Diagnostics,
}

impl Checked {
    fn mistakes(&self) -> usize {
        self.found.list.iter().filter(|one| one.severity == Severity::Error).count()
    }
}

/// What a reply is good for.
enum Read {
    /// A draft, right or wrong.
    Draft(Box<Checked>),
    /// It does not have the form: why.
    Misfit(String),
    /// Nothing that could be sent back: why.
    Nothing(String),
    /// Another reply would end in the same way.
    Hopeless(Error),
}

/// Has a model draft the spec `name` from user stories.
///
/// # Errors
/// Where nothing was drafted; a draft that does not check is told in [`Drafted::error`].
pub async fn draft(session: &mut Session, name: &str, stories: &str, asked: &Drafting) -> Result<Drafted, Error> {
    let path = new::free_place(session, name, asked.overwrite)?;
    let text = readable(stories)?;
    // A draft that could not be checked would be paid for in vain.
    if asked.kind != Some(SpecKind::Component) {
        session.validator()?;
    }
    let plan = session.options.plan_alone();
    let models = session.models_for(&plan.models).await?;
    let schema = Draft::schema(asked.kind);
    let stories = Stories { name, kind: asked.kind, text: &text, output: &schema };
    let prompt = Arc::new(session.templates.render_draft(&stories)?);
    let mut asking = Talking::begin(session, name, prompt, models, &plan, asked.tries)?;
    let talk = Talk { output: Some(schema.clone()), ..Talk::default() };
    let result = converse(session, &mut asking, &stories, &path, &talk).await;
    asking.purse.close();
    if let Some(problem) = asking.log.take_problem() {
        session.tell(Event::Warning(problem));
    }
    if let Err(error) = &result
        && error.exit == ExitCode::Interrupted
    {
        // Its record stays open: the same command goes on with what came.
        return Err(error.clone().hint("the same command goes on with the replies that came"));
    }
    let drafted = asking.outcome(session, name, &path, asked.overwrite, result);
    let (sampled, read) = (asking.tries, usize::from(asking.best.is_some()));
    let is_written = drafted.as_ref().is_ok_and(|drafted| drafted.is_written);
    asking.log.end(&Ending {
        ended: if is_written { Ended::Built } else { Ended::Failed },
        sampled,
        parsed: read,
        compiled: usize::from(is_written),
        passed: usize::from(is_written),
        chosen: None,
        commit: None,
    });
    let drafted = drafted?;
    session.tell(Event::Drafted { summary: summary(name, &drafted) });
    Ok(drafted)
}

/// Asks until a draft checks, or it was asked often enough. What is found is in `asking`.
async fn converse(
    session: &mut Session,
    asking: &mut Talking,
    stories: &Stories<'_>,
    path: &str,
    talk: &Talk,
) -> Result<(), Error> {
    let mut last: Option<Error> = None;
    let mut next = (asking.prompt.clone(), false);
    for number in 0..asking.most {
        let (prompt, is_repair) = &next;
        let completion = asking.ask(session, number, prompt, *is_repair, talk).await?;
        asking.tries = number + 1;
        let is_last = number + 1 == asking.most;
        let say = |session: &Session, what: &str| {
            let end = if is_last { "" } else { "; the model is asked again" };
            session.tell(Event::Note(format!("draft {} of `{}` {what}{end}", number + 1, stories.name)));
        };
        next = match read(session, stories, path, &completion, &asking.head()).await? {
            Read::Hopeless(error) => return Err(error),
            Read::Nothing(why) => {
                say(session, &format!("is none: {why}"));
                last =
                    Some(Error::new(ExitCode::NoCandidate, format!("there is no draft of `{}`: {why}", stories.name)));
                (asking.prompt.clone(), false)
            }
            Read::Misfit(why) => {
                say(session, &format!("can't be read: {why}"));
                let message = format!("no draft of `{}` could be read: {why}", stories.name);
                last = Some(Error::new(ExitCode::NoCandidate, message));
                let reply = cut(&completion.text, LONGEST_REPLY).to_owned();
                let told = format!("It does not have the form that is asked for: {why}");
                asking.reply = Some(completion.text);
                (asking.repair(session, stories, &reply, &told)?, true)
            }
            Read::Draft(mut checked) => {
                checked.model = asking.asked();
                let mistakes = checked.mistakes();
                if mistakes > 0 {
                    say(session, &format!("has {}", counted(mistakes, "mistake")));
                }
                let told = checked.found.render(false);
                let is_better = asking.best.as_ref().is_none_or(|best| mistakes <= best.mistakes());
                if is_better {
                    asking.best = Some(checked);
                }
                if mistakes == 0 {
                    return Ok(());
                }
                (asking.repair(session, stories, cut(&completion.text, LONGEST_REPLY), &told)?, true)
            }
        };
    }
    match (last, &asking.best) {
        (_, Some(_)) => Ok(()),
        (Some(error), None) => Err(error
            .hint("a stronger model may: `--model`; plainer stories, or a file by hand: `llmc new` without `--from`")),
        (None, None) => Err(Error::new(ExitCode::Internal, "nothing was asked")),
    }
}

/// A conversation about one spec, with its record and what it may take.
struct Talking {
    name: String,
    prompt: Arc<Prompt>,
    models: Vec<Arc<dyn Model>>,
    parameters: Parameters,
    log: Log,
    purse: Arc<Purse>,
    /// How often is asked at most, and was.
    most: usize,
    tries: usize,
    /// When there is no more time, and how much there was.
    deadline: Option<Instant>,
    seconds: Option<f64>,
    /// Repairs so far: what was sent and to which model, for their places in the ledger.
    repairs: Vec<(String, usize)>,
    /// The draft with the fewest mistakes.
    best: Option<Box<Checked>>,
    /// The last reply that could not be read.
    reply: Option<String>,
    tokens: u64,
    usd: Option<f64>,
}

impl Talking {
    fn begin(
        session: &mut Session,
        name: &str,
        prompt: Arc<Prompt>,
        models: Vec<Arc<dyn Model>>,
        plan: &Plan,
        most: usize,
    ) -> Result<Self, Error> {
        let parameters = Parameters {
            max_tokens: Some(plan.parameters.max_tokens.unwrap_or(MAX_TOKENS)),
            ..plan.parameters.clone()
        };
        let identities: Vec<_> = models.iter().map(|model| model.identity()).collect();
        // Drafts of an earlier run that came to its end were looked at: another is wanted. One that was cut short goes on.
        let is_used =
            session.ledger().is_ok_and(|ledger| ledger.is_used(&prompt, &parameters, &identities).unwrap_or(false));
        let (run, inputs) = (format!("{name}-draft-{}", build::unix_now()), sha256(&prompt.user));
        let start = Start {
            // No spec is called so: what is drawn here is no sample of one.
            spec: &format!("{name} (draft)"),
            run: &run,
            inputs: &inputs,
            checks: &inputs,
            wanted: most,
            phase: Phase::Fresh,
            prompt: &prompt,
            parameters: &parameters,
            models: &identities,
            afresh: session.options.no_cache || is_used,
        };
        let (log, purse) = ready::begin(session, &start, Caps::of(plan))?;
        let names: Vec<String> = identities.iter().map(ToString::to_string).collect();
        session.tell(Event::Drafting { spec: name.to_owned(), tries: most, model: names.join(", ") });
        Ok(Self {
            name: name.to_owned(),
            prompt,
            models,
            parameters,
            log,
            purse,
            most,
            tries: 0,
            deadline: plan
                .budget
                .seconds
                .and_then(|seconds| Instant::now().checked_add(Duration::try_from_secs_f64(seconds).ok()?)),
            seconds: plan.budget.seconds,
            repairs: Vec::new(),
            best: None,
            reply: None,
            tokens: 0,
            usd: Some(0.0),
        })
    }

    /// Which of the models is asked for the try of this number: they take turns.
    fn model(&self, number: usize) -> usize {
        number % self.models.len()
    }

    /// The model that was asked last.
    fn asked(&self) -> String {
        self.models[self.model(self.tries.saturating_sub(1))].identity().to_string()
    }

    /// The comments that a draft's file begins with.
    fn head(&self) -> [String; 2] {
        [
            format!("Drafted by llmc from user stories, with {}.", self.asked()),
            "The examples are the model's guesses: read them before you build.".to_owned(),
        ]
    }

    fn repair(
        &self,
        session: &Session,
        stories: &Stories<'_>,
        draft: &str,
        mistakes: &str,
    ) -> Result<Arc<Prompt>, Error> {
        let mistakes = cut(mistakes, LONGEST_MISTAKES);
        Ok(Arc::new(session.templates.render_draft_repair(stories, &self.prompt, draft, mistakes)?))
    }

    /// One reply: from the ledger where it is there, else from the model, and in the ledger before this returns.
    async fn ask(
        &mut self,
        session: &Session,
        number: usize,
        prompt: &Arc<Prompt>,
        is_repair: bool,
        talk: &Talk,
    ) -> Result<Completion, Error> {
        let model = self.model(number);
        let teller = session.tell.clone();
        let mut event = |event: Event| tell(&teller, event);
        let key = (sha256(serde_json::to_string(&**prompt).expect("a prompt holds only strings")), model);
        let place = self.repairs.iter().filter(|known| **known == key).count();
        let repair = Repair { prompt, model, number: place, index: number, parent: number.saturating_sub(1) };
        let stored = match is_repair {
            true => {
                self.repairs.push(key);
                self.log.replay_repair(&repair)?
            }
            false => self.log.replay(&[(number, model)], &mut event)?.pop().map(|stored| stored.completion),
        };
        let sampled = |completion: &Completion, replayed: bool| Event::Sampled {
            spec: self.name.clone(),
            index: number,
            tokens: completion.completion_tokens,
            replayed,
        };
        if let Some(completion) = stored {
            event(sampled(&completion, true));
            return Ok(completion);
        }
        let spent = || {
            let why = format!("budget.seconds is {}, and they are over", self.seconds.unwrap_or_default());
            Error::new(ExitCode::Budget, why).hint("the same command goes on with the replies that came")
        };
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(spent());
        }
        let (sink, mut drawn) = mpsc::unbounded_channel();
        let ask = Ask { models: &self.models, parameters: &self.parameters, purse: &self.purse, talk: Some(talk) };
        let mut drawing = Box::pin(ask::all(vec![ask.single(model, prompt.clone(), number, sink)]));
        let mut result: Option<Result<(), ModelError>> = None;
        let mut failed: Option<ModelError> = None;
        let mut completion = loop {
            tokio::select! {
                biased;
                // What is there already is taken in whatever else happens: it was paid for.
                next = drawn.recv() => match next {
                    Some(Drawn::Tokens(count)) => event(Event::Tokens { spec: self.name.clone(), count }),
                    Some(Drawn::Sample(completion)) => break completion,
                    Some(Drawn::Failed { error, .. }) => drop(failed.get_or_insert(error)),
                    None => {
                        let ended = match result.take() {
                            Some(ended) => ended,
                            None => (&mut drawing).await,
                        };
                        return Err(match failed.or(ended.err()) {
                            Some(error) => error.into(),
                            None => Error::new(ExitCode::Provider, "the model gave no answer"),
                        });
                    }
                },
                () = session.interrupt.wait() => return Err(Error::interrupted()),
                ended = &mut drawing, if result.is_none() => result = Some(ended),
                () = sleep_until(self.deadline) => return Err(spent()),
            }
        };
        drop(drawing);
        self.purse.price(self.models[model].identity(), &mut completion);
        let is_stored = match is_repair {
            true => self.log.arrived_repair(&repair, &completion),
            false => self.log.arrived(&[(model, &completion)]),
        };
        self.tokens += (completion.prompt_tokens + completion.completion_tokens) as u64;
        let usd = completion.paid.and_then(|paid| paid.cost.usd_micros);
        self.usd = self.usd.zip(usd).map(|(usd, micros)| usd + micros as f64 / 1e6);
        event(sampled(&completion, false));
        if !is_stored {
            session.tell(Event::Warning("the reply is not in the ledger; it is used all the same".to_owned()));
        }
        Ok(completion)
    }

    /// Writes the spec, or leaves what there is of one.
    fn outcome(
        &mut self,
        session: &Session,
        name: &str,
        path: &str,
        overwrite: bool,
        result: Result<(), Error>,
    ) -> Result<Drafted, Error> {
        let mut drafted = Drafted {
            path: None,
            is_written: false,
            kind: None,
            model: self.asked(),
            tries: self.tries,
            examples: 0,
            questions: Vec::new(),
            left_out: Vec::new(),
            left: Diagnostics::default(),
            tokens: self.tokens,
            usd: self.usd,
            error: result.err(),
        };
        let Some(best) = &self.best else {
            if let Some(reply) = &self.reply {
                let kept = new::leave(session, &format!("{name}.txt"), reply)?;
                drafted.error = drafted.error.map(|error| error.hint(format!("the last reply is `{kept}`")));
                drafted.path = Some(kept);
            }
            return Ok(drafted);
        };
        drafted.model.clone_from(&best.model);
        drafted.kind = Some(best.draft.kind());
        drafted.examples = best.draft.examples.len();
        drafted.questions = best.draft.questions.clone();
        drafted.left_out = best.left_out.clone();
        drafted.left = best.found.clone();
        if best.mistakes() == 0 && drafted.error.is_none() {
            match new::write(session, name, &best.yaml, overwrite) {
                Ok(()) => {
                    (drafted.path, drafted.is_written) = (Some(path.to_owned()), true);
                    return Ok(drafted);
                }
                Err(error) => drafted.error = Some(error),
            }
        }
        let kept = new::leave(session, &format!("{name}.yaml"), &best.yaml)?;
        drafted.left.path.clone_from(&kept);
        let mistakes = counted(best.mistakes(), "mistake");
        let error = drafted.error.take().unwrap_or_else(|| {
            Error::new(
                ExitCode::Spec,
                format!("no draft of `{name}` checks: the best of {} has {mistakes}", self.tries),
            )
        });
        drafted.error = Some(
            error.hint(format!("the draft is `{kept}`, and nothing is in `specs/`: mend it and move it to `{path}`")),
        );
        drafted.path = Some(kept);
        Ok(drafted)
    }
}

/// The stories, where they can be sent.
fn readable(stories: &str) -> Result<String, Error> {
    let no = |why: String| Error::new(ExitCode::Usage, why);
    if stories.len() > LONGEST_STORIES {
        return Err(no(format!("the stories are longer than {LONGEST_STORIES} bytes"))
            .hint("a spec is one function or one component: give it the stories that are about that"));
    }
    // What nobody sees in them a model would read.
    let text: String = stories.replace("\r\n", "\n").chars().filter(|one| !is_hidden(*one)).collect();
    match text.trim() {
        "" => Err(no("the stories are empty".to_owned())),
        text => Ok(text.to_owned()),
    }
}

/// What a reply says, checked.
async fn read(
    session: &mut Session,
    stories: &Stories<'_>,
    path: &str,
    completion: &Completion,
    head: &[String; 2],
) -> Result<Read, Error> {
    if completion.refused || completion.finish == Finish::Filter {
        let said: Vec<&str> = completion.text.split_whitespace().collect();
        let said = said.join(" ");
        let said = if said.is_empty() { String::new() } else { format!(": {}", cut(&said, 300)) };
        return Ok(Read::Nothing(format!("the model declined{said}")));
    }
    if completion.finish == Finish::Length && stutters(&completion.text) {
        return Ok(Read::Nothing("the model wrote the same few characters again and again".to_owned()));
    }
    if completion.finish == Finish::Length {
        let count = completion.completion_tokens;
        return Ok(Read::Hopeless(
            Error::new(ExitCode::NoCandidate, format!("the draft was cut off after {count} tokens"))
                .hint("`sampling: { max_tokens: 8192 }` in llmc.yaml lets it be longer; or fewer stories"),
        ));
    }
    let mut why = None;
    let mut found = None;
    for value in reply::values(&completion.text) {
        match Draft::read(&value, stories.kind) {
            // The last one that can be read: a model that corrects itself does so at the end.
            Ok(draft) => found = Some(draft),
            Err(wrong) => drop(why.get_or_insert(wrong)),
        }
    }
    let Some((draft, left_out)) = found else {
        return Ok(Read::Misfit(why.unwrap_or_else(|| match completion.text.trim() {
            "" => "it is empty".to_owned(),
            text => format!("it is no JSON: {}", cut(text, 80)),
        })));
    };
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let yaml = draft.to_yaml(stories.name, &head);
    let found = check(session, stories.name, path, &yaml).await?;
    Ok(Read::Draft(Box::new(Checked { model: String::new(), draft, left_out, yaml, found })))
}

/// What is wrong with a draft, as `llmc check` tells it, and what only a draft may not.
async fn check(session: &mut Session, name: &str, path: &str, yaml: &str) -> Result<Diagnostics, Error> {
    let (spec, mut found) = match spec::parse_any(path, name, yaml.as_bytes()) {
        Ok(parsed) => parsed,
        Err(mistakes) => return Ok(mistakes),
    };
    let mut wrong = own_mistakes(&spec, name);
    if wrong.is_empty()
        && let AnySpec::Function(spec) = spec
    {
        let bytes = yaml.as_bytes().to_vec();
        let loaded = Loaded { path: path.to_owned(), bytes, spec: (*spec).into(), warnings: Diagnostics::default() };
        let all = std::slice::from_ref(&loaded);
        for mistakes in specs::check(session, all, all).await? {
            wrong.extend(mistakes.list);
        }
    }
    found.path = path.to_owned();
    found.text = yaml.to_owned();
    wrong.into_iter().for_each(|one| found.push(one));
    found.sort();
    Ok(found)
}

/// What is wrong with a draft that a person's spec could have.
fn own_mistakes(spec: &AnySpec, name: &str) -> Vec<Diagnostic> {
    match spec {
        AnySpec::Function(spec) => {
            let mut wrong = foreign(spec);
            if spec.interface.functions.len() == 1
                && spec.interface.methods.is_empty()
                && spec.interface.functions[0].name != name
            {
                let message =
                    format!("the function is `{}`; it has to be called `{name}`", spec.interface.functions[0].name);
                wrong.push(at(&spec.interface.source, message));
            }
            for (number, example) in spec.examples.iter().enumerate() {
                let twin = spec.examples[..number].iter().find(|one| one.call.text.trim() == example.call.text.trim());
                if let (Some(Expect::Returns(one)), Expect::Returns(other)) =
                    (twin.map(|twin| &twin.expect), &example.expect)
                    && one.text.trim() != other.text.trim()
                {
                    wrong.push(at(&example.call, "another example has the same call, and another result".to_owned()));
                }
            }
            wrong
        }
        AnySpec::Component(spec) => {
            let items = spec.types.as_ref().map(|types| types.items.as_str()).unwrap_or_default();
            let calls_macro = items.parse().is_ok_and(calls_macro);
            let mut wrong = Vec::new();
            if calls_macro || items.contains(is_hidden) {
                wrong.push(at(
                    &Snippet::default(),
                    "a draft's types hold no macro and no invisible character".to_owned(),
                ));
            }
            wrong
        }
    }
}

/// Whether a macro is called somewhere in these tokens: `include_str!` reads files, wherever it stands.
fn calls_macro(tokens: TokenStream) -> bool {
    let mut waiting = vec![tokens.into_iter()];
    let mut after_name = false;
    while let Some(tokens) = waiting.last_mut() {
        match tokens.next() {
            None => {
                waiting.pop();
                after_name = false;
            }
            Some(TokenTree::Punct(mark)) if mark.as_char() == '!' && after_name => return true,
            Some(TokenTree::Group(group)) => {
                waiting.push(group.stream().into_iter());
                after_name = false;
            }
            Some(one) => after_name = matches!(one, TokenTree::Ident(_)),
        }
    }
    false
}

/// What the policy says of the Rust in a draft: it runs wherever the tests of the artifact do.
fn foreign(spec: &Spec) -> Vec<Diagnostic> {
    let stub = spec.interface.stub();
    let denied = |snippet: &Snippet, function: &str| {
        let verdict = candidate::check_policy(&format!("{stub}\n{function}"), spec).err()?;
        Some(at(snippet, format!("a draft may not have this: {}", verdict.detail.lines().next().unwrap_or_default())))
    };
    if let Some(wrong) = denied(&spec.interface.source, "") {
        return vec![wrong];
    }
    let mut parts: Vec<(&Snippet, String)> = Vec::new();
    for example in &spec.examples {
        let call = example.call.text.trim();
        parts.push((&example.call, format!("fn llmc_draft() {{ let _ = {call}\n; }}\n")));
        match &example.expect {
            Expect::Returns(text) | Expect::Holds(text) => {
                parts.push((text, format!("fn llmc_draft() {{ let _ = {}\n; }}\n", text.text.trim())));
            }
            Expect::Matches(text) => {
                let pattern = text.text.trim();
                parts.push((text, format!("fn llmc_draft() {{ match () {{ {pattern}\n => (), _ => () }} }}\n")));
            }
            Expect::Panics(_) => {}
        }
    }
    parts.iter().filter_map(|(snippet, function)| denied(snippet, function)).collect()
}

fn at(snippet: &Snippet, message: String) -> Diagnostic {
    let place = snippet.place;
    let length = snippet.text.trim_end().lines().next().map_or(1, |line| line.chars().count().max(1));
    let (line, column) = (place.line.max(1), place.column.max(1));
    Diagnostic { severity: Severity::Error, message, line, column, length, help: None }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// What came of it, as an event.
fn summary(name: &str, drafted: &Drafted) -> serde_json::Value {
    json!({
        "event": "drafted", "spec": name, "kind": drafted.kind.map(SpecKind::as_str), "path": drafted.path,
        "written": drafted.is_written, "model": drafted.model, "tries": drafted.tries, "examples": drafted.examples,
        "questions": drafted.questions, "left_out": drafted.left_out,
        "mistakes": drafted.left.list.iter().filter(|one| one.severity == Severity::Error).count(),
        "tokens": drafted.tokens, "usd": drafted.usd,
    })
}
