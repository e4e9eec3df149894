//! Many candidates compiled at once, as modules of one crate: rustc is started once for all of them.
//!
//! Those with errors are told apart by file and dropped, until the rest compiles. A crate that breaks the compiler as a
//! whole (out of time or memory, a crash) is split until the candidates that did it are alone. Nothing is run here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::crates::{Crates, SERVER_FILE, Seat, close};
use super::insight::{self, Failure, Insight, Judgement};
use super::{Checks, ValidateError, Validator, judge, proxy};
use crate::candidate::{Candidate, is_separable};
use crate::sandbox::{Ending, Limits};
use crate::spec::Profile;
use crate::toolchain::{Compile, Compiled, RustcDiagnostic};
use crate::verdict::{Class, Outcome, Phase, Verdict};

/// Into how many parts a crate that breaks the compiler is split.
const PARTS: usize = 8;
/// CPU time that rustc may take for each candidate of many, beside a quarter of what it may take for one.
const EACH: Duration = Duration::from_millis(60);

/// A candidate with its place among all that are judged together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    /// Its number in the caller's list.
    pub(super) id: usize,
    pub(super) candidate: &'a Candidate,
    seat: Seat,
}

/// What was built of candidates that compile.
pub(super) struct Program<'a> {
    /// Holds the program, and goes with it.
    pub(super) crates: Crates,
    /// The program: [`Kind`] says which. `None` when there is nothing to run.
    pub(super) file: Option<PathBuf>,
    pub(super) kind: Kind,
    /// The candidates in it, in the order in which it numbers them.
    pub(super) members: Vec<Member<'a>>,
}

/// What a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answers calls for any of its candidates.
    Server,
    /// Runs the checks itself, on its only candidate.
    Checks,
}

impl<'a> Member<'a> {
    pub(super) fn prefix(&self) -> (String, String) {
        self.seat.prefix()
    }

    pub(super) fn places<'p>(&self, checks: &'p Checks, prefix: &'p (String, String)) -> judge::Places<'p>
    where
        'a: 'p,
    {
        judge::Places {
            candidate: &prefix.0,
            module: &prefix.1,
            spec: &checks.name,
            source: &self.candidate.source,
            harness: &checks.harness,
        }
    }
}

/// Compiles candidates. `refuse` is told of each that does not compile, `run` gets the programs made of the others.
pub(super) struct Batch<'a, 'v> {
    pub(super) validator: &'v Validator,
    pub(super) checks: &'v Checks,
    pub(super) profile: Profile,
    pub(super) kind: Kind,
    /// Asked before anything is begun.
    pub(super) go_on: &'v dyn Fn() -> Result<(), ValidateError>,
    pub(super) refuse: &'v mut dyn FnMut(usize, Judgement),
    pub(super) run: &'v mut dyn FnMut(Program<'a>) -> Result<(), ValidateError>,
}

impl<'a> Batch<'a, '_> {
    /// Compiles all of `candidates`, as few times as it takes.
    pub(super) fn compile(&mut self, candidates: Vec<(usize, &'a Candidate)>) -> Result<(), ValidateError> {
        let (together, apart): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|(_, candidate)| {
            self.checks.forbids_unsafe() && is_separable(candidate) && !asks_for_its_place(&candidate.source)
        });
        let mut groups: Vec<Vec<Member<'a>>> = Vec::new();
        let among = |(seat, (id, candidate))| Member { id, candidate, seat: Seat::Among(seat) };
        groups.extend(apart.into_iter().map(|(id, candidate)| vec![alone(id, candidate)]));
        match &together[..] {
            [] => {}
            [(id, candidate)] => groups.push(vec![alone(*id, candidate)]),
            _ => groups.push(together.into_iter().enumerate().map(among).collect()),
        }
        while let Some(group) = groups.pop() {
            groups.extend(self.group(group)?);
        }
        Ok(())
    }

    /// Compiles a group; what comes back is what it has to be split into.
    fn group(&mut self, mut members: Vec<Member<'a>>) -> Result<Vec<Vec<Member<'a>>>, ValidateError> {
        let crates = Crates::new(&self.validator.work, self.checks)?;
        for member in &members {
            crates.seat(self.checks, member.seat, &member.candidate.source)?;
        }
        let only_checked = self.kind == Kind::Checks && members.len() > 1;
        loop {
            let limits = self.limits(members.len());
            let seats = members.iter().map(|member| member.seat);
            let mut compile = crates.generated(self.checks, seats, self.profile, limits)?;
            compile.metadata_only = only_checked;
            let compiled = self.rustc(&compile, members.len())?;
            if let Some(library) = compiled.artifact.clone() {
                if only_checked {
                    return Ok(members.into_iter().map(|member| vec![alone(member.id, member.candidate)]).collect());
                }
                return self.program(crates, library, members);
            }
            if let [member] = members[..] {
                self.refuse(member, &compiled);
                return Ok(Vec::new());
            }
            let wrong = self.told_apart(&compiled, &mut members);
            if members.is_empty() {
                return Ok(Vec::new());
            }
            // Errors explain all of a regular end, and nothing of another.
            if !wrong || !matches!(compiled.ending, Ending::Exited(1)) {
                return Ok(split(&members));
            }
        }
    }

    /// Links the program of a group that compiles.
    fn program(
        &mut self,
        crates: Crates,
        library: PathBuf,
        mut members: Vec<Member<'a>>,
    ) -> Result<Vec<Vec<Member<'a>>>, ValidateError> {
        let (checks, kind, profile) = (self.checks, self.kind, self.profile);
        if checks.harness.checks.is_empty() && kind == Kind::Checks {
            (self.run)(Program { crates, file: None, kind, members })?;
            return Ok(Vec::new());
        }
        loop {
            let limits = self.limits(members.len());
            let (name, source) = match kind {
                Kind::Checks => ("checks", checks.harness.source.clone()),
                Kind::Server => {
                    let modules: Vec<String> = members.iter().map(|member| member.seat.module(&checks.name)).collect();
                    ("server", proxy::server(&checks.spec, &modules))
                }
            };
            let compile = crates.program(name, &source, library.clone(), checks, profile, limits)?;
            let compiled = self.rustc(&compile, members.len())?;
            if let Some(file) = compiled.artifact {
                close(&file)?;
                (self.run)(Program { crates, file: Some(file), kind, members })?;
                return Ok(Vec::new());
            }
            if kind == Kind::Checks {
                self.refuse(members[0], &compiled);
                return Ok(Vec::new());
            }
            let before = members.len();
            let misfits = misfits(&compiled, &source);
            for (number, error) in misfits.into_iter().rev() {
                let member = members.remove(number);
                (self.refuse)(member.id, misfit(&error).into());
            }
            match members[..] {
                [] => return Ok(Vec::new()),
                [member] if before == 1 => {
                    self.refuse(member, &compiled);
                    return Ok(Vec::new());
                }
                _ if members.len() == before => return Ok(split(&members)),
                _ => {}
            }
        }
    }

    fn rustc(&self, compile: &Compile, members: usize) -> Result<Compiled, ValidateError> {
        (self.go_on)()?;
        // What many take is found out by splitting; what one takes is measured alone before it counts.
        if members > 1 { self.validator.compile_once(compile) } else { self.validator.compile(compile) }
    }

    fn limits(&self, members: usize) -> Limits {
        let limits = self.validator.compile_limits;
        match u32::try_from(members) {
            Ok(0 | 1) => limits,
            count => Limits {
                cpu: limits.cpu / 4 + EACH * count.unwrap_or(u32::MAX),
                output: 16 << 20,
                flood: 32 << 20,
                ..limits
            },
        }
    }

    fn refuse(&mut self, member: Member<'a>, compiled: &Compiled) {
        let prefix = member.prefix();
        let verdict = judge::compile(compiled, &member.places(self.checks, &prefix));
        let file = format!("{}{}.rs", prefix.0, self.checks.name);
        let fix = insight::fix(&member.candidate.source, &file, &compiled.diagnostics);
        let code = verdict.code.clone().unwrap_or_default();
        let is_told = verdict.outcome == Outcome::Failed && !verdict.hidden;
        let failure = is_told.then(|| Failure { code, text: verdict.detail.clone() });
        let insight = Insight { failure, fix, ..Insight::default() };
        (self.refuse)(member.id, Judgement { verdict, insight });
    }

    /// Refuses the candidates that have errors and takes them out of `members`; says whether there were any.
    fn told_apart(&mut self, compiled: &Compiled, members: &mut Vec<Member<'a>>) -> bool {
        let mut errors: BTreeMap<usize, Vec<RustcDiagnostic>> = BTreeMap::new();
        let prefixes: Vec<String> = members.iter().map(|member| member.prefix().0).collect();
        for error in compiled.diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error")) {
            let owner = |file: &str| prefixes.iter().position(|prefix| file.starts_with(prefix.as_str()));
            if let Some(owner) = error.spans.iter().find_map(|span| owner(&span.file)) {
                errors.entry(owner).or_default().push(error.clone());
            }
        }
        let any = !errors.is_empty();
        for (number, diagnostics) in errors.into_iter().rev() {
            let member = members.remove(number);
            let own = Compiled { ending: Ending::Exited(1), diagnostics, artifact: None, other: String::new() };
            self.refuse(member, &own);
        }
        any
    }
}

fn alone(id: usize, candidate: &Candidate) -> Member<'_> {
    Member { id, candidate, seat: Seat::Alone }
}

/// Whether a candidate may find out what its module is called: then it gets the name that it will have.
fn asks_for_its_place(source: &str) -> bool {
    ["module_path", "file!", "type_name", "Location", "Backtrace"].iter().any(|word| source.contains(word))
}

/// A group in parts.
fn split<'a>(members: &[Member<'a>]) -> Vec<Vec<Member<'a>>> {
    let part = |part: &[Member<'a>]| match part {
        [member] => vec![alone(member.id, member.candidate)],
        members => members.to_vec(),
    };
    members.chunks(members.len().div_ceil(PARTS)).map(part).collect()
}

/// The members whose functions the program could not take, with the first error of each.
fn misfits(compiled: &Compiled, source: &str) -> BTreeMap<usize, RustcDiagnostic> {
    let mut found = BTreeMap::new();
    for error in compiled.diagnostics.iter().filter(|diagnostic| diagnostic.level.starts_with("error")) {
        let own = error.spans.iter().filter(|span| span.file == SERVER_FILE);
        if let Some(number) = own.filter_map(|span| proxy::blamed(source, span.line)).next() {
            found.entry(number).or_insert_with(|| error.clone());
        }
    }
    found
}

/// The verdict on a candidate that compiles, and whose items are not of the types that the spec wants.
fn misfit(error: &RustcDiagnostic) -> Verdict {
    let label = error.spans.iter().find_map(|span| span.label.as_deref()).unwrap_or_default();
    let detail = format!("an item is not of the type that the spec wants: {}\n{label}", error.message);
    Verdict::failed(Phase::Compile, Class::FormatViolation, "signature", detail.trim())
}
