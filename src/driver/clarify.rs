//! `llmc clarify`: asks what a spec leaves open, and puts the answers into its file.
//!
//! Independent draws that pass run on the same inputs; where they differ, the spec does not say what it means. Nothing
//! is committed, and the file is written once, when all of it was checked.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::Session;
use super::measure;
use super::pen::{self, Accepted, Pen, Refused};
use super::specs;
use crate::behaviour::{self, Behaviours, Coverage};
use crate::candidate::Candidate;
use crate::clarify::{Inquiry, Question, Verdict};
use crate::error::{Error, ExitCode};
use crate::event::Event;
use crate::spec::{Example, Expect, Given, Snippet, Stop, Wanted};
use crate::syntax::check_bounds;

/// Draws where nobody says how many, at the least: of fewer little can be said.
const DRAWS: usize = 16;

/// What a person says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This outcome, by its place in the question, is the right one.
    Outcome(usize),
    /// Something of one's own.
    Given(Wanted),
    /// Another question, please.
    Skip,
    /// No more questions. What was answered counts.
    Quit,
}

/// A question as it is put.
#[derive(Debug, Clone, PartialEq)]
pub struct Posed {
    /// Its number, from 1, and the most there will be.
    pub number: (usize, usize),
    /// The question.
    pub question: Question,
    /// The share of each outcome, by what is known now.
    pub shares: Vec<f64>,
    /// Why the answer before to the same question could not be taken.
    pub problem: Option<String>,
}

/// Puts questions to a person. Called on a thread of its own, one question at a time.
pub type Asker = Arc<Mutex<dyn FnMut(&Posed) -> Answer + Send>>;

/// How to clarify.
#[derive(Clone)]
pub enum Clarifying {
    /// Ask nothing.
    List,
    /// Ask so many questions at most.
    Ask(usize, Asker),
    /// Take these answers.
    Answers(Vec<Given>),
}

/// A question that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The call.
    pub call: String,
    /// The answer, in words.
    pub answer: String,
    /// The lines of YAML that are in the file because of it.
    pub lines: Vec<String>,
    /// Why there are none.
    pub problem: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Clarified {
    /// The spec.
    pub spec: String,
    /// The spec's path in the workspace.
    pub path: String,
    /// The models, as `provider/name`.
    pub model: String,
    /// Samples that were drawn.
    pub sampled: usize,
    /// Of them, those that pass.
    pub passed: usize,
    /// The readings and questions, before anything was answered.
    pub before: Inquiry,
    /// The sample that each reading is first seen in, from 0.
    pub first: Vec<usize>,
    /// And after.
    pub after: Inquiry,
    /// What was answered.
    pub answered: Vec<Answered>,
    /// Whether the file was changed.
    pub written: bool,
    /// What was tried to find questions; `None` where there are not two programs that pass.
    pub coverage: Option<Coverage>,
}

/// Finds out what a spec leaves open, asks, and writes the answers into its file.
pub async fn clarify(session: &mut Session, named: &str, how: &Clarifying, from: &Path) -> Result<Clarified, Error> {
    let (all, mistakes) = specs::load_specs(session, &[named.to_owned()], from)?;
    if !mistakes.is_empty() {
        return Err(Error::spec(mistakes));
    }
    let loaded = all.last().expect("a spec that was named was loaded or is invalid").clone();
    let name = loaded.spec.name.clone();
    let mut plan = session.options.plan(&loaded.spec);
    // What ends early, or is repaired, is no draw from what the spec means.
    (plan.stop, plan.repairs) = (Stop::All, 0);
    if session.options.sampling.samples.is_none() {
        plan.samples = plan.samples.max(DRAWS);
    }
    let drawn = measure::independent(session, &loaded, &all, &plan, &loaded.spec).await?;
    let lost = plan.samples - drawn.samples.list.len();
    if lost > 0 {
        let why = drawn.samples.spent.clone().unwrap_or_else(|| "they could not be drawn".to_owned());
        session.tell(Event::Warning(format!("{lost} of {} samples are missing: {why}", plan.samples)));
    }
    let passing: Vec<_> = drawn.samples.list.iter().filter(|sample| sample.verdict.is_pass()).cloned().collect();
    if passing.is_empty() {
        let drawn = drawn.samples.list.len();
        let error = Error::new(ExitCode::NoCandidate, format!("`{name}`: none of {drawn} samples passes"));
        return Err(error.hint(format!("`llmc measure {name}` shows what fails; more samples with -n")));
    }
    let run = measure::run(session, drawn.validator.clone(), drawn.checks.clone(), &[&passing]).await?;
    // By place; of each the sample that it was first seen in.
    let mut seen: Vec<Option<(Candidate, usize)>> = vec![None; run.found.programs.len()];
    let mut draws = vec![0; seen.len()];
    for sample in &passing {
        let (Some(place), Some(candidate)) = (run.place(sample), &sample.candidate) else { continue };
        draws[place] += 1;
        seen[place].get_or_insert_with(|| (candidate.clone(), sample.completion.index));
    }
    let inquiry = Inquiry::new(&run.found, &draws);
    let (programs, samples): (Vec<Candidate>, Vec<usize>) =
        seen.into_iter().map(|one| one.expect("what was run was drawn")).unzip();
    let first = inquiry.readings.iter().map(|reading| samples[reading.programs[0]]).collect();
    let uses = super::build::used_sources(session, &loaded.spec, &all)?;
    let text = match String::from_utf8(loaded.bytes.clone()) {
        Ok(text) => text,
        Err(_) => return Err(Error::new(ExitCode::Spec, format!("`{}` is no UTF-8", loaded.path))),
    };
    let stem = name.clone();
    let pen = Pen { stem, text, spec: loaded.spec.clone(), validator: drawn.validator.clone(), uses };
    let mut work =
        Work { session, inquiry: inquiry.clone(), programs, pen, answered: Vec::new(), count: inquiry.draws() };
    match how {
        Clarifying::List => {}
        Clarifying::Ask(most, asker) if inquiry.verdict() == Verdict::Ambiguous => work.ask(*most, asker).await?,
        Clarifying::Ask(..) => {}
        Clarifying::Answers(given) => work.answers(given, &loaded.path).await?,
    }
    let Work { inquiry: after, pen, answered, .. } = work;
    let written = pen.text.as_bytes() != loaded.bytes;
    if written {
        let bytes = pen.text.clone().into_bytes();
        let changed = specs::Loaded { bytes, spec: pen.spec.clone(), ..loaded.clone() };
        let mistakes = specs::check(session, std::slice::from_ref(&changed), &all).await?;
        if mistakes.iter().any(crate::spec::Diagnostics::has_errors) {
            return Err(Error::spec(mistakes).hint("nothing was written"));
        }
        pen.write(&session.workspace.path(&loaded.path), &loaded.bytes)?;
    }
    let coverage = (run.found.programs.len() > 1).then_some(run.found.coverage);
    Ok(Clarified {
        spec: name,
        path: loaded.path,
        model: drawn.models,
        sampled: drawn.samples.list.len(),
        passed: passing.len(),
        before: inquiry,
        first,
        after,
        answered,
        written,
        coverage,
    })
}

/// Questions and answers under way.
struct Work<'a> {
    session: &'a Session,
    inquiry: Inquiry,
    /// All programs, by their places.
    programs: Vec<Candidate>,
    pen: Pen,
    answered: Vec<Answered>,
    /// Draws that pass and were run.
    count: usize,
}

impl Work<'_> {
    /// What stands for each reading.
    fn readings(&self) -> Vec<Candidate> {
        self.inquiry.readings.iter().map(|reading| self.programs[reading.programs[0]].clone()).collect()
    }

    async fn ask(&mut self, most: usize, asker: &Asker) -> Result<(), Error> {
        let (mut number, mut problem) = (1, None);
        let mut last = None;
        while number <= most {
            // Where an answer could not be taken, the same is asked again.
            let Some(at) = last.take().or_else(|| self.inquiry.next()) else { break };
            let question = self.inquiry.questions[at].clone();
            let shares = question.shares(&self.inquiry.weights());
            let posed = Posed { number: (number, most), question, shares, problem: problem.take() };
            let asker = asker.clone();
            let asked = tokio::task::spawn_blocking(move || match asker.lock() {
                Ok(mut ask) => ask(&posed),
                Err(_) => Answer::Quit,
            });
            let answer = tokio::select! {
                answer = asked => answer.unwrap_or(Answer::Quit),
                () = self.session.interrupt.wait() => return Err(Error::interrupted()),
            };
            match answer {
                Answer::Quit => break,
                Answer::Skip => self.inquiry.pass_over(at),
                answer => match self.take(at, &answer).await? {
                    None => number += 1,
                    Some(why) => (problem, last) = (Some(why), Some(at)),
                },
            }
        }
        Ok(())
    }

    async fn answers(&mut self, given: &[Given], path: &str) -> Result<(), Error> {
        // Blanks between tokens do not matter; those within a literal do.
        let tokens = |text: &str| check_bounds(text).map_or_else(|_| text.to_owned(), |tokens| tokens.to_string());
        let same = |one: &str, other: &str| one.trim() == other.trim() || tokens(one) == tokens(other);
        let shown = |call: &str| self.pen.spec.examples.iter().any(|example| same(&example.call.text, call));
        // All of them before the first is taken in.
        let mut open = Vec::new();
        for one in given {
            match self.inquiry.questions.iter().position(|question| same(&question.call, &one.call)) {
                Some(at) => open.push((self.inquiry.questions[at].call.clone(), one.wanted.clone())),
                None if shown(&one.call) => {
                    self.session.tell(Event::Note(format!("{}: the spec has an example of it already", one.call)));
                }
                None => {
                    let error =
                        Error::new(ExitCode::Usage, format!("`{}` is no question that `{path}` leaves open", one.call));
                    let name = &self.pen.spec.name;
                    return Err(
                        error.hint(format!("`llmc clarify {name} --list --message-format json` lists them all"))
                    );
                }
            }
        }
        for (call, wanted) in open {
            let Some(at) = self.inquiry.questions.iter().position(|question| question.call == call) else {
                let note = format!("{call}: no question any more, after the answers before it");
                self.session.tell(Event::Note(note));
                continue;
            };
            if let Some(why) = self.take(at, &Answer::Given(wanted)).await? {
                return Err(Error::new(ExitCode::Usage, format!("the answer to `{call}` can't be taken: {why}"))
                    .hint("nothing was written"));
            }
        }
        Ok(())
    }

    /// Takes an answer in; or why that can't be.
    async fn take(&mut self, at: usize, answer: &Answer) -> Result<Option<String>, Error> {
        let question = self.inquiry.questions[at].clone();
        match answer {
            Answer::Outcome(chosen) => self.outcome(at, &question, *chosen).await,
            Answer::Given(Wanted::Returns(text)) => {
                let expect = Expect::Returns(Snippet::new(text.trim()));
                self.own(at, &question, expect, text.trim()).await
            }
            Answer::Given(Wanted::Panics) => self.own(at, &question, Expect::Panics(None), "a panic").await,
            Answer::Given(Wanted::Invalid(condition)) => {
                self.exclude(at, &question, condition.as_deref(), "invalid").await
            }
            Answer::Given(Wanted::DontCare(condition)) => {
                self.exclude(at, &question, condition.as_deref(), "anything will do").await
            }
            Answer::Skip | Answer::Quit => Ok(None),
        }
    }

    /// One of the outcomes: an example that accepts it, and not all of the others.
    async fn outcome(&mut self, at: usize, question: &Question, chosen: usize) -> Result<Option<String>, Error> {
        let told = question.told();
        let Some(answer) = told.get(chosen) else { return Ok(Some("there is no such answer".to_owned())) };
        let programs: usize = question
            .of
            .iter()
            .zip(&self.inquiry.readings)
            .filter(|(of, _)| **of == chosen)
            .map(|(_, one)| one.draws)
            .sum();
        let note = format!("asked by llmc clarify: {programs} of {} programs did so", self.count);
        let tries = pen::examples(&question.call, &question.outcomes[chosen]);
        if tries.is_empty() {
            return Ok(Some("no example can ask for that: it is no result".to_owned()));
        }
        let mut problem = None;
        for example in tries {
            match self.example(example, &note).await? {
                Err(why) => problem = problem.or(Some(why)),
                Ok(accepted) => {
                    let passes = |reading: usize| accepted.passes.get(reading).copied().unwrap_or_default();
                    let mut readings = question.of.iter().enumerate();
                    if readings.clone().any(|(reading, of)| *of == chosen && !passes(reading)) {
                        problem = problem.or(Some("a program that does so would not pass".to_owned()));
                    } else if readings.all(|(reading, _)| passes(reading)) {
                        problem = problem.or(Some("it would not tell the programs apart".to_owned()));
                    } else {
                        self.inquiry.answer(at, &[chosen]);
                        self.accept(question, answer, accepted);
                        return Ok(None);
                    }
                }
            }
        }
        // What was learned counts all the same.
        self.inquiry.answer(at, &[chosen]);
        let (call, answer) = (question.call.clone(), answer.clone());
        self.answered.push(Answered { call, answer, lines: Vec::new(), problem });
        Ok(None)
    }

    /// Something typed: whatever programs it accepts.
    async fn own(
        &mut self,
        at: usize,
        question: &Question,
        expect: Expect,
        answer: &str,
    ) -> Result<Option<String>, Error> {
        let example = Example { call: Snippet::new(&question.call), expect, hidden: false };
        let accepted = match self.example(example, "asked by llmc clarify").await? {
            Ok(accepted) => accepted,
            Err(why) => return Ok(Some(why)),
        };
        let right = (0..question.outcomes.len()).filter(|outcome| {
            let mut does = question.of.iter().zip(&accepted.passes).filter(|(of, _)| *of == outcome);
            does.any(|(_, passes)| *passes)
        });
        let right: Vec<usize> = right.collect();
        if right.is_empty() {
            let note = format!("{}: no program that was drawn does that", question.call);
            self.session.tell(Event::Note(note));
        }
        self.inquiry.answer(at, &right);
        self.accept(question, answer, accepted);
        Ok(None)
    }

    fn accept(&mut self, question: &Question, answer: &str, accepted: Accepted) {
        self.pen = accepted.pen;
        let (call, answer, lines) = (question.call.clone(), answer.to_owned(), accepted.lines);
        self.answered.push(Answered { call, answer, lines, problem: None });
    }

    async fn example(&self, example: Example, note: &str) -> Result<Result<Accepted, String>, Error> {
        let (pen, readings, note) = (self.pen.clone(), self.readings(), note.to_owned());
        self.blocking(move || pen.example(&example, &note, &readings)).await
    }

    /// No input at all, or one where nothing is wanted: a property that rules it out, and what is left of the questions.
    async fn exclude(
        &mut self,
        at: usize,
        question: &Question,
        condition: Option<&str>,
        answer: &str,
    ) -> Result<Option<String>, Error> {
        let call = question.call.clone();
        let answer = match condition {
            Some(condition) => format!("{answer}, unless {condition}"),
            None => answer.to_owned(),
        };
        let excluded = {
            let (pen, readings, call) = (self.pen.clone(), self.readings(), call.clone());
            let condition = condition.map(str::to_owned);
            let note = format!("asked by llmc clarify: {call}: {answer}");
            self.blocking(move || pen.exclusion(&call, condition.as_deref(), &note, &readings)).await?
        };
        let (pen, lines) = match excluded {
            Ok(excluded) => excluded,
            // A condition can be typed again; of a single input there is nothing more to say.
            Err(why) if condition.is_some() => return Ok(Some(why)),
            Err(why) => return Ok(self.unwritten(at, call, answer, why)),
        };
        let found = self.again(&pen).await?;
        let is_asked = |found: &Behaviours| {
            found.observations.iter().any(|one| one.call == call) || found.splits.iter().any(|one| one.call == call)
        };
        if is_asked(&found) {
            let why = match condition {
                Some(condition) => format!("the input keeps `{condition}`, or a property or an example takes it"),
                None => {
                    "a property or an example of the spec takes this input: its `assume` has to rule it out".to_owned()
                }
            };
            return match condition {
                Some(_) => Ok(Some(why)),
                None => Ok(self.unwritten(at, call, answer, why)),
            };
        }
        self.inquiry.pass_over(at);
        self.inquiry = self.inquiry.narrowed(&found);
        self.pen = pen;
        self.answered.push(Answered { call, answer, lines, problem: None });
        Ok(None)
    }

    fn unwritten(&mut self, at: usize, call: String, answer: String, why: String) -> Option<String> {
        self.inquiry.pass_over(at);
        self.answered.push(Answered { call, answer, lines: Vec::new(), problem: Some(why) });
        None
    }

    /// What stands for the readings, on the inputs that a changed spec leaves.
    async fn again(&self, pen: &Pen) -> Result<Behaviours, Error> {
        let (pen, readings) = (pen.clone(), self.readings());
        if readings.len() < 2 {
            return Ok(Behaviours::of_one(readings.len()));
        }
        let run = move || {
            let checks = pen.validator.prepare(&pen.spec, &pen.uses)?;
            let programs: Vec<&Candidate> = readings.iter().collect();
            Ok(behaviour::compare(&pen.validator, &checks, &programs, &behaviour::Options::default())?)
        };
        match self.blocking(run).await? {
            Ok(found) => Ok(found),
            Err(why) => Err(Error::new(ExitCode::Internal, why)),
        }
    }

    /// Work that takes a while; what is refused is an answer, too.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
    ) -> Result<Result<T, String>, Error> {
        let done = tokio::select! {
            done = tokio::task::spawn_blocking(work) => done.expect("trying an answer does not panic"),
            () = self.session.interrupt.wait() => return Err(Error::interrupted()),
        };
        match done {
            Ok(done) => Ok(Ok(done)),
            Err(Refused::No(why)) => Ok(Err(why)),
            Err(Refused::Error(error)) => Err(error.into()),
        }
    }
}
