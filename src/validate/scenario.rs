//! The calls of a spec's examples, made and not judged: for specs whose functions can't be called with values alone.

use std::sync::{Arc, Mutex};

use super::batch::{Batch, Kind};
use super::harness::render_calls;
use super::insight::Judgement;
use super::run::{Order, Runner};
use super::{Checks, ValidateError, Validator};
use crate::candidate::Candidate;
use crate::digest::sha256;
use crate::sandbox::Ending;
use crate::spec::Profile;

/// What came of the calls of one candidate, in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// It does not compile.
    Refused(Box<Judgement>),
    /// What each call gave in the first run, and in another.
    Ran(Vec<(Gave, Gave)>),
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gave {
    /// A value, as its `Debug` writes it.
    Value(String),
    /// A panic.
    Panic(String),
    /// No answer in time.
    TimedOut,
    /// The process ended.
    Crashed,
    /// It was not called: the process had ended before.
    Nothing,
}

impl Validator {
    /// What candidates do with the calls of the examples that their spec shows: the texts of the calls, and of each
    /// candidate what came of them.
    ///
    /// # Errors
    /// [`ValidateError`], when llmc could not do its part.
    pub fn show_examples(
        &self,
        checks: &Checks,
        candidates: &[&Candidate],
    ) -> Result<(Vec<String>, Vec<Shown>), ValidateError> {
        let harness = render_calls(&checks.spec);
        let digest = sha256(format!("{}\n{}", checks.digest(), harness.source));
        let checks = Checks { harness, digest, judge: Arc::new(Mutex::new(None)), ..checks.clone() };
        let calls: Vec<String> = checks.harness.checks.iter().map(|check| check.tries.clone()).collect();
        let mut shown: Vec<Option<Shown>> = vec![None; candidates.len()];
        if calls.is_empty() {
            return Ok((calls, vec![Shown::Ran(Vec::new()); candidates.len()]));
        }
        let judge = self.judge_program(&checks)?;
        let kind = if judge.is_some() { Kind::Server } else { Kind::Checks };
        let go_on = || Ok(());
        let mut refused: Vec<(usize, Judgement)> = Vec::new();
        let mut batch = Batch {
            validator: self,
            checks: &checks,
            profile: checks.spec.policy.profiles.first().copied().unwrap_or(Profile::Debug),
            kind,
            go_on: &go_on,
            refuse: &mut |id, judgement| refused.push((id, judgement)),
            run: &mut |program| {
                let mut runner = Runner::new(&checks, judge.as_deref(), &program, self.run_limits)?;
                for (number, member) in program.members.iter().enumerate() {
                    let mut run = |order| {
                        let run = self.run(&checks, &mut runner, &program, number, order)?;
                        let mut gave = vec![Gave::Nothing; calls.len()];
                        for check in &run.report.checks {
                            gave[check.number] = match check.holds {
                                true => Gave::Value(check.text.clone()),
                                false => Gave::Panic(check.text.clone()),
                            };
                        }
                        if !run.report.is_complete {
                            gave[run.report.next] = match run.ending {
                                Ending::CpuTime | Ending::WallTime => Gave::TimedOut,
                                _ => Gave::Crashed,
                            };
                        }
                        Ok::<_, ValidateError>(gave)
                    };
                    let (first, again) = (run(Order::Forward)?, run(Order::Reverse)?);
                    shown[member.id] = Some(Shown::Ran(first.into_iter().zip(again).collect()));
                }
                Ok(())
            },
        };
        batch.compile(candidates.iter().copied().enumerate().collect())?;
        for (id, judgement) in refused {
            shown[id] = Some(Shown::Refused(Box::new(judgement)));
        }
        let shown = shown.into_iter().map(|shown| shown.expect("every candidate was run or refused")).collect();
        Ok((calls, shown))
    }
}
