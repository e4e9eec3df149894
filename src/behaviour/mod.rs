//! What programs do: several candidates of one spec, run on the same inputs, and where they part.
//!
//! Inputs are made here, from the types of the spec's functions: the calls that it shows, values at the edges, and values
//! at random; then those near to where programs part. Each goes to every program twice, in `validate`'s sandbox, as
//! bytes; what comes back is read as what a stranger sent. No program is told what another answered, or what is expected.

mod edges;
mod guard;
mod inputs;
mod outcome;
mod print;
mod scenarios;
mod seeds;
mod shape;
mod shrink;
mod smaller;
mod times;
mod value;
mod vary;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

pub use self::outcome::{Kind, Outcome};
pub use self::times::{Time, times};

use self::guard::Guards;
use self::inputs::{Maker, Random, Words};
use self::outcome::Reader;
use self::shape::{Function, Shapes};
use self::value::Value;
use crate::candidate::Candidate;
use crate::syntax::deep;
use crate::validate::{Answerers, Checks, Reply, ValidateError, Validator, callables};
use crate::verdict::Verdict;

/// Inputs in a row that split nothing new, after which the search for more ends.
const FRUITLESS: usize = 299;
/// Inputs made at once while searching: for each program some, between these. Each round takes a process a program.
const ROUND: std::ops::RangeInclusive<usize> = 64..=300;
/// CPU time that a call may take before it is believed that it finds no answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest call, in bytes.
const LONGEST: usize = 32 << 10;
/// Most draws that may be passed over for each that counts.
const PASSED_OVER: usize = 8;

/// What to run, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Inputs drawn for each function; these are what [`Coverage::bound`] speaks of. Edges, examples and what is
    /// searched for come on top.
    pub draws: usize,
    /// Most inputs that are searched for beside those, near to where programs part.
    pub search: usize,
    /// Inputs that split programs and are made as small as they get, at most. Where it takes more to tell all clusters
    /// apart, the others are as they were found.
    pub splits: usize,
    /// From it all inputs follow.
    pub seed: u64,
    /// Whether texts within an `Err` are no part of a behaviour: only which error it is, and its numbers.
    pub ignore_error_texts: bool,
    /// Whether it only matters what the first program does and others do not: not what tells others apart.
    pub from_first: bool,
    /// Longest time that calls may take all together; whatever was not run by then is not known.
    pub time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            draws: 300,
            search: 900,
            splits: 5,
            seed: 0,
            ignore_error_texts: false,
            from_first: false,
            time: Duration::from_secs(60),
        }
    }
}

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The spec shows it.
    Example,
    /// Values at the edges of their types.
    Edge,
    /// All values of the types, one after the other.
    Listed,
    /// Drawn at random.
    Drawn,
    /// Made of others that part programs, or that do something new.
    Searched,
}

/// What programs do with one input.
#[derive(Debug, Clone, Serialize)]
pub struct Observation {
    /// The input, as a call in Rust.
    pub call: String,
    /// Where it comes from.
    pub origin: Origin,
    /// How often it was drawn.
    pub drawn: usize,
    /// The different things that programs do with it.
    pub outcomes: Vec<Outcome>,
    /// Of each program that was compared, in order: which of `outcomes`.
    pub classes: Vec<usize>,
    #[serde(skip)]
    input: usize,
    /// Which of the functions that inputs are made for; nothing where it is a call that the spec shows, as it stands.
    #[serde(skip)]
    function: Option<usize>,
    /// The call, as it is sent; empty where it was not sent as one.
    #[serde(skip)]
    sent: Vec<u8>,
}

impl Observation {
    /// What the program at that place in [`Behaviours::programs`] does.
    pub fn outcome(&self, program: usize) -> &Outcome {
        &self.outcomes[self.classes[program]]
    }

    /// Whether two programs part here: both are known to do something, and not the same.
    pub fn parts(&self, one: usize, other: usize) -> bool {
        let is_known = |program: usize| self.outcome(program).kind != Kind::Unknown;
        self.classes[one] != self.classes[other] && is_known(one) && is_known(other)
    }

    /// Whether any two programs part here.
    pub fn is_split(&self) -> bool {
        self.outcomes.iter().filter(|outcome| outcome.kind != Kind::Unknown).count() > 1
    }
}

/// An input on which programs part, as small as it was found.
#[derive(Debug, Clone, Serialize)]
pub struct Split {
    /// The input, as a call in Rust.
    pub call: String,
    /// The different things that programs do with it.
    pub outcomes: Vec<Outcome>,
    /// Of each program that was compared, in order: which of `outcomes`.
    pub classes: Vec<usize>,
    /// The input that it was made of, where that was larger.
    pub made_of: Option<String>,
    /// Where that came from.
    pub origin: Origin,
}

/// What was tried, and what that is worth.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Coverage {
    /// Different inputs that were run.
    pub inputs: usize,
    /// Draws from the distribution of inputs, each independent of all others, on which all programs gave an answer.
    pub drawn: usize,
    /// Draws, among those, on which some two programs part.
    pub drawn_apart: usize,
    /// The same of each function of which inputs were drawn.
    pub drawn_of_each: Vec<usize>,
    /// Whether every input that the types allow was run.
    pub is_exhaustive: bool,
    /// Inputs that were not run, since the spec's properties rule them out.
    pub ruled_out: usize,
    /// What rules inputs out: the `assume` of properties that speak of a function's arguments.
    pub preconditions: Vec<String>,
    /// Functions that were called.
    pub functions: Vec<String>,
    /// Functions that were not called with inputs of llmc's own making, and why not.
    pub not_called: Vec<(String, String)>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Coverage {
    /// The share of a function's inputs, as they are drawn, on which programs that were never seen to part may still
    /// part: a difference on so many or more would have been seen with a probability of 95%. `None` where nothing was
    /// drawn.
    pub fn bound(&self) -> Option<f64> {
        match self.is_exhaustive {
            true => Some(0.0),
            false => {
                let fewest = self.drawn_of_each.iter().copied().min().filter(|fewest| *fewest > 0);
                fewest.map(missed_at_most)
            }
        }
    }

    /// What it means that no difference was found.
    pub fn sentence(&self) -> String {
        match self.bound() {
            _ if self.is_exhaustive => format!("all {} inputs that there are were run", self.inputs),
            Some(bound) => {
                let of = match self.drawn_of_each.len() {
                    1 => String::new(),
                    count => format!(" for {count} functions"),
                };
                format!(
                    "{} inputs were drawn at random{of}: had {:.2}% of such inputs or more shown a difference, one \
                     would have been seen with a probability of 95%",
                    self.drawn,
                    100.0 * bound
                )
            }
            None => format!(
                "only {} input(s) that the spec itself names were run: of all others nothing is known",
                self.inputs
            ),
        }
    }
}

/// The largest share of inputs that so many draws may all have missed, with a probability of 5%.
fn missed_at_most(draws: usize) -> f64 {
    1.0 - 0.05_f64.powf(1.0 / draws as f64)
}

/// What programs do.
#[derive(Debug, Clone, Serialize)]
pub struct Behaviours {
    /// The candidates that were compared, by their place in what was asked for. All other numbers are places in this.
    pub programs: Vec<usize>,
    /// Those that could not be compared, since they do not compile.
    #[serde(skip)]
    pub refused: Vec<(usize, Verdict)>,
    /// Each input with what came of it.
    pub observations: Vec<Observation>,
    /// Programs that did the same with every input, the largest cluster first.
    pub clusters: Vec<Vec<usize>>,
    /// Inputs that tell clusters apart, the most telling first: together they tell all of them apart.
    pub splits: Vec<Split>,
    /// What was tried.
    pub coverage: Coverage,
    /// The functions that inputs were made for, and whether all that there are.
    #[serde(skip)]
    functions: Vec<bool>,
}

impl Behaviours {
    /// Of one program, or none: nothing needs to be run to know that it does as it does.
    pub fn of_one(count: usize) -> Self {
        let clusters = if count == 0 { Vec::new() } else { vec![(0..count).collect()] };
        Self {
            programs: (0..count).collect(),
            refused: Vec::new(),
            observations: Vec::new(),
            clusters,
            splits: Vec::new(),
            coverage: Coverage::default(),
            functions: Vec::new(),
        }
    }

    /// As [`Coverage::bound`], of two programs: the share of inputs on which they may part although that was not seen.
    /// `None` where that is not known: a function was not called with inputs of llmc's own making, or one of the two
    /// gave no answer where it counts.
    pub fn bound_of(&self, one: usize, other: usize) -> Option<f64> {
        if !self.coverage.not_called.is_empty() || self.functions.is_empty() {
            return None;
        }
        let mut draws: Vec<usize> = vec![0; self.functions.len()];
        for observation in &self.observations {
            let Some(function) = observation.function else { continue };
            let both = [one, other].iter().all(|program| observation.outcome(*program).kind.is_answer());
            match both {
                true => draws[function] += observation.drawn,
                false if self.functions[function] => return None,
                false => {}
            }
        }
        let drawn = draws.iter().zip(&self.functions).filter(|(_, is_listed)| !**is_listed).map(|(count, _)| *count);
        match drawn.min() {
            None => Some(0.0),
            Some(0) => None,
            Some(fewest) => Some(missed_at_most(fewest)),
        }
    }

    /// Whether no two programs were seen to part.
    pub fn are_alike(&self) -> bool {
        self.clusters.len() <= 1
    }
}

/// Runs candidates on the same inputs and says where they part.
///
/// `checks` are those of the candidates' spec. Blocks: for as long as it takes to compile them together, and little more
/// where they answer at once.
///
/// # Errors
/// [`ValidateError`] when llmc could not do its part; what candidates do is never an error.
pub fn compare(
    validator: &Validator,
    checks: &Checks,
    candidates: &[&Candidate],
    options: &Options,
) -> Result<Behaviours, ValidateError> {
    let spec = checks.spec();
    let all = callables(spec).unwrap_or_default();
    let (shapes, functions, mut not_called) = deep(|| shape::functions(&all));
    let answerers = if functions.is_empty() { None } else { validator.answerers(checks, candidates)? };
    let Some(answerers) = answerers else {
        if not_called.is_empty() {
            let reason = "values of the types in its signature can't be sent from one process to another".to_owned();
            let wanted = spec.interface.functions.iter().map(|function| function.name.clone());
            let methods =
                spec.interface.methods.iter().map(|method| format!("{}::{}", method.on, method.function.name));
            not_called = wanted.chain(methods).map(|name| (name, reason.clone())).collect();
        }
        return scenarios::compare(validator, checks, candidates, not_called);
    };
    let refused: Vec<(usize, Verdict)> =
        (0..candidates.len()).filter_map(|at| Some((at, answerers.refused(at)?.verdict.clone()))).collect();
    let programs: Vec<usize> = (0..candidates.len()).filter(|at| answerers.refused(*at).is_none()).collect();
    let sources = programs.iter().map(|at| candidates[*at].source.as_str());
    let (seeds, words) =
        deep(|| (seeds::calls(spec, &shapes, &functions), seeds::words(spec, sources.collect::<Vec<_>>().into_iter())));
    let shown: Vec<(usize, Vec<u8>)> =
        seeds.iter().map(|(at, all)| (*at, encoded(&shapes, &functions[*at], all))).collect();
    let guards = Guards::new(validator, spec, &functions, &shown)?;
    let texts = spec.examples.iter().filter_map(|example| match &example.expect {
        crate::spec::Expect::Panics(text) => text.clone(),
        _ => None,
    });
    let mut panics: Vec<String> = texts.collect();
    panics.sort();
    panics.dedup();
    let reader =
        Reader { shapes: &shapes, functions: &functions, panics, ignore_error_texts: options.ignore_error_texts };
    let mut comparison = Comparison {
        shapes: &shapes,
        functions: &functions,
        seeds: &seeds,
        words: &words,
        reader,
        answerers,
        guards,
        programs,
        inputs: Vec::new(),
        known: HashMap::new(),
        observations: Vec::new(),
        clusters: Vec::new(),
        passed: 0,
        coverage: Coverage::default(),
        listed: Vec::new(),
        deadline: Instant::now() + options.time,
        options,
    };
    comparison.coverage.not_called = not_called;
    comparison.run()?;
    let mut splits = comparison.splits()?;
    let mut observations = std::mem::take(&mut comparison.observations);
    let mut coverage = std::mem::take(&mut comparison.coverage);
    let mut clusters = std::mem::take(&mut comparison.clusters);
    if !coverage.not_called.is_empty() && !comparison.programs.is_empty() {
        // What can't be called with values alone is called as the spec shows it.
        let compared: Vec<&Candidate> = comparison.programs.iter().map(|at| candidates[*at]).collect();
        let (_, ran, shown) = scenarios::observe(validator, checks, &compared)?;
        for observation in shown.into_iter().filter(|_| ran.len() == compared.len()) {
            if observation.is_split() {
                clusters = refined(&clusters, &|one, other| observation.parts(one, other));
                splits.push(scenarios::split(&observation));
            }
            observations.push(observation);
        }
    }
    coverage.inputs = observations.len();
    clusters.sort_by_key(|cluster| (std::cmp::Reverse(cluster.len()), cluster[0]));
    let (programs, functions) = (std::mem::take(&mut comparison.programs), std::mem::take(&mut comparison.listed));
    Ok(Behaviours { programs, refused, observations, clusters, splits, coverage, functions })
}

/// An input.
#[derive(Debug, Clone)]
struct Input {
    function: usize,
    arguments: Vec<Value>,
    call: Vec<u8>,
}

/// A comparison under way.
struct Comparison<'a> {
    shapes: &'a Shapes,
    functions: &'a [Function],
    seeds: &'a [(usize, Vec<Value>)],
    words: &'a Words,
    reader: Reader<'a>,
    answerers: Answerers,
    guards: Guards,
    /// Candidates that compile.
    programs: Vec<usize>,
    inputs: Vec<Input>,
    /// Inputs by their calls.
    known: HashMap<Vec<u8>, usize>,
    observations: Vec<Observation>,
    /// Programs that did the same up to now.
    clusters: Vec<Vec<usize>>,
    /// Inputs that were ruled out.
    passed: usize,
    coverage: Coverage,
    /// Of each function, whether all its inputs are run.
    listed: Vec<bool>,
    deadline: Instant,
    options: &'a Options,
}

impl Comparison<'_> {
    fn input(&self, function: usize, arguments: Vec<Value>) -> Option<Input> {
        let call = encoded(self.shapes, &self.functions[function], &arguments);
        (call.len() <= LONGEST).then_some(Input { function, arguments, call })
    }

    fn run(&mut self) -> Result<(), ValidateError> {
        self.clusters = vec![(0..self.programs.len()).collect()];
        self.clusters.retain(|cluster| !cluster.is_empty());
        let mut random = Random(self.options.seed);
        let mut first: Vec<(Input, Origin)> = Vec::new();
        for (function, arguments) in self.seeds {
            first.extend(self.input(*function, arguments.clone()).map(|input| (input, Origin::Example)));
        }
        let mut drawn: Vec<(Input, Origin)> = Vec::new();
        let mut is_exhaustive = true;
        let mut listed = Vec::new();
        for (at, function) in self.functions.iter().enumerate() {
            self.coverage.functions.push(function.path.clone());
            let mut maker = Maker { shapes: self.shapes, words: self.words, random: random.clone() };
            if let Some(all) = maker.all(&function.inputs) {
                first.extend(all.into_iter().filter_map(|all| Some((self.input(at, all)?, Origin::Listed))));
                listed.push(at);
                continue;
            }
            is_exhaustive = false;
            let edges = maker.edges_of_all(&function.inputs, self.options.draws / 3);
            first.extend(edges.into_iter().filter_map(|all| Some((self.input(at, all)?, Origin::Edge))));
            let seeds: Vec<&Vec<Value>> = self.seeds.iter().filter(|(of, _)| *of == at).map(|(_, all)| all).collect();
            // Each draw is made in the same way, whatever came of those before.
            let mut count = 0;
            for _ in 0..PASSED_OVER {
                let mut batch = Vec::new();
                for _ in count..self.options.draws {
                    let arguments = match !seeds.is_empty() && maker.random.below(10) < 4 {
                        true => {
                            let seed = *maker.random.pick(&seeds);
                            maker.vary(&function.inputs, seed)
                        }
                        false => maker.draw(&function.inputs),
                    };
                    batch.extend(self.input(at, arguments).map(|input| (input, Origin::Drawn)));
                }
                let admitted = self.admitted(batch)?;
                count += admitted.len();
                drawn.extend(admitted);
                if count >= self.options.draws {
                    break;
                }
            }
            random = maker.random;
        }
        let first = self.admitted(first)?;
        // What is small first: what takes too long is large.
        let mut batch = first;
        batch.extend(drawn);
        let outside = self.passed;
        self.observe(batch)?;
        self.coverage.is_exhaustive = is_exhaustive && !self.functions.is_empty();
        if !is_exhaustive {
            self.search(random)?;
        }
        let mut of_each = vec![0; self.functions.len()];
        for observation in &self.observations {
            if observation.drawn > 0 && observation.outcomes.iter().all(|outcome| outcome.kind.is_answer()) {
                self.coverage.drawn += observation.drawn;
                of_each[self.inputs[observation.input].function] += observation.drawn;
                self.coverage.drawn_apart += if observation.is_split() { observation.drawn } else { 0 };
            }
        }
        let mut places = 0..;
        of_each.retain(|_| places.next().is_some_and(|at| !listed.contains(&at)));
        self.listed = (0..self.functions.len()).map(|at| listed.contains(&at)).collect();
        self.coverage.drawn_of_each = of_each;
        let is_unknown =
            |observation: &Observation| observation.outcomes.iter().any(|outcome| !outcome.kind.is_answer());
        let unanswered = self.observations.iter().filter(|one| is_unknown(one)).count();
        if unanswered > 0 {
            self.coverage.is_exhaustive = false;
            self.coverage.notes.push(format!(
                "on {unanswered} input(s) some program gave no answer in time, or was not asked any more"
            ));
        }
        self.coverage.ruled_out = outside;
        self.coverage.preconditions = self.guards.texts().to_vec();
        self.coverage.notes.extend(self.guards.notes().to_vec());
        Ok(())
    }

    /// Those that the spec does not rule out.
    fn admitted(&mut self, inputs: Vec<(Input, Origin)>) -> Result<Vec<(Input, Origin)>, ValidateError> {
        let mut admitted = vec![true; inputs.len()];
        for function in 0..self.functions.len() {
            // What the spec itself shows is an input.
            let asked: Vec<usize> = (0..inputs.len())
                .filter(|at| inputs[*at].0.function == function && inputs[*at].1 != Origin::Example)
                .collect();
            let calls: Vec<&[u8]> = asked.iter().map(|at| inputs[*at].0.call.as_slice()).collect();
            for (at, is_admitted) in asked.iter().zip(self.guards.admit(function, &calls)?) {
                admitted[*at] = is_admitted;
            }
        }
        self.passed += admitted.iter().filter(|is_admitted| !**is_admitted).count();
        Ok(inputs.into_iter().zip(admitted).filter(|(_, is_admitted)| *is_admitted).map(|(input, _)| input).collect())
    }

    /// Runs inputs that are not known yet on all programs; how many split a cluster.
    fn observe(&mut self, inputs: Vec<(Input, Origin)>) -> Result<usize, ValidateError> {
        let mut news: Vec<usize> = Vec::new();
        for (input, origin) in inputs {
            let is_drawn = usize::from(origin == Origin::Drawn);
            if let Some(known) = self.known.get(&input.call) {
                self.observations[*known].drawn += is_drawn;
                continue;
            }
            let at = self.inputs.len();
            let function = &self.functions[input.function];
            let call = print::call(self.shapes, function, &input.arguments);
            let (of, sent) = (Some(input.function), input.call.clone());
            self.known.insert(sent.clone(), at);
            self.inputs.push(input);
            let (outcomes, classes) = (Vec::new(), Vec::new());
            let drawn = is_drawn;
            self.observations.push(Observation {
                call,
                origin,
                drawn,
                outcomes,
                classes,
                input: at,
                function: of,
                sent,
            });
            news.push(at);
        }
        news.sort_by_key(|at| self.inputs[*at].arguments.iter().map(Value::size).sum::<usize>());
        let calls: Vec<&[u8]> = news.iter().map(|at| self.inputs[*at].call.as_slice()).collect();
        let programs = self.programs.clone();
        let mut replies = Vec::with_capacity(programs.len());
        for program in programs {
            replies.push(match Instant::now() < self.deadline {
                true => ask_twice(&mut self.answerers, program, &calls)?,
                false => vec![(Reply::NotAsked, Reply::NotAsked); calls.len()],
            });
        }
        wait_longer(&mut self.answerers, &self.programs, &calls, &mut replies)?;
        let mut count = 0;
        for (number, at) in news.iter().enumerate() {
            let each: Vec<&(Reply, Reply)> = replies.iter().map(|replies| &replies[number]).collect();
            let (outcomes, classes) = self.reader.classify(self.inputs[*at].function, &each);
            (self.observations[*at].outcomes, self.observations[*at].classes) = (outcomes, classes);
            count += usize::from(self.refine(*at));
        }
        Ok(count)
    }

    /// Splits clusters by one observation; whether it did.
    fn refine(&mut self, at: usize) -> bool {
        let observation = &self.observations[at];
        let split = refined(&self.clusters, &|one, other| observation.parts(one, other));
        let is_news = match self.options.from_first {
            true => like_first(&split) < like_first(&self.clusters),
            false => split.len() > self.clusters.len(),
        };
        self.clusters = split;
        is_news
    }

    /// Looks for more inputs that split: near to those that do, and to those on which something new happens.
    fn search(&mut self, random: Random) -> Result<(), ValidateError> {
        let mut maker = Maker { shapes: self.shapes, words: self.words, random };
        let (mut fruitless, mut made) = (0, 0);
        while fruitless < FRUITLESS && made < self.options.search && Instant::now() < self.deadline {
            let is_done = match self.options.from_first {
                true => like_first(&self.clusters) <= 1,
                false => self.clusters.iter().all(|cluster| cluster.len() == 1),
            };
            if is_done {
                return Ok(());
            }
            let bases = self.bases();
            if bases.is_empty() {
                return Ok(());
            }
            let mut batch = Vec::new();
            for _ in 0..(8 * self.programs.len()).clamp(*ROUND.start(), *ROUND.end()) {
                made += 1;
                let base = &self.inputs[*maker.random.pick(&bases)];
                let function = &self.functions[base.function];
                let other = &self.inputs[*maker.random.pick(&bases)];
                let arguments = match other.function == base.function && maker.random.below(6) == 0 {
                    true => maker.cross(&base.arguments, &other.arguments),
                    false => maker.vary(&function.inputs, &base.arguments),
                };
                let arguments = match maker.random.below(3) {
                    0 => maker.vary(&function.inputs, &arguments),
                    _ => arguments,
                };
                batch.extend(self.input(base.function, arguments).map(|input| (input, Origin::Searched)));
            }
            let batch = self.admitted(batch)?;
            let before = self.observations.len();
            match self.observe(batch)? {
                0 => fruitless += (self.observations.len() - before).max(8),
                _ => fruitless = 0,
            }
        }
        Ok(())
    }

    /// Inputs to start from: those that split, those that the spec shows, and one for each thing that programs do.
    fn bases(&self) -> Vec<usize> {
        let mut seen = std::collections::HashSet::new();
        let mut bases = Vec::new();
        for observation in &self.observations {
            let is_new = observation.outcomes.iter().any(|outcome| {
                seen.len() < 400 && seen.insert((self.inputs[observation.input].function, outcome.text.clone()))
            });
            let is_answer = observation.outcomes.iter().all(|outcome| outcome.kind.is_answer());
            if is_answer && (is_new || observation.is_split() || observation.origin == Origin::Example) {
                bases.push(observation.input);
                // Twice as likely.
                if observation.is_split() || observation.origin == Origin::Example {
                    bases.push(observation.input);
                }
            }
        }
        bases
    }
}

/// How many programs were not seen to part from the first one, with itself.
fn like_first(clusters: &[Vec<usize>]) -> usize {
    clusters.iter().find(|cluster| cluster.contains(&0)).map_or(0, Vec::len)
}

/// Clusters of programs that do not part. Who is not known to part stays where it was.
fn refined(clusters: &[Vec<usize>], parts: &dyn Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut split: Vec<Vec<usize>> = Vec::new();
    for cluster in clusters {
        let first = split.len();
        for program in cluster {
            match split[first..].iter_mut().find(|part| !parts(part[0], *program)) {
                Some(part) => part.push(*program),
                None => split.push(vec![*program]),
            }
        }
    }
    split
}

/// A call, as it is sent.
fn encoded(shapes: &Shapes, function: &Function, arguments: &[Value]) -> Vec<u8> {
    let mut call = function.number.to_le_bytes().to_vec();
    for (input, value) in function.inputs.iter().zip(arguments) {
        value::encode(shapes, &input.shape, value, &mut call);
    }
    call
}

/// Where some programs answer and others take too long, these get more time: that a clock was short is no difference.
fn wait_longer(
    answerers: &mut Answerers,
    programs: &[usize],
    calls: &[&[u8]],
    replies: &mut [Vec<(Reply, Reply)>],
) -> Result<(), ValidateError> {
    let is_split: Vec<bool> = (0..calls.len())
        .map(|at| replies.iter().any(|all| !matches!(all[at].0, Reply::TimedOut | Reply::NotAsked)))
        .collect();
    for (place, all) in replies.iter_mut().enumerate() {
        let late: Vec<usize> = (0..calls.len()).filter(|at| is_split[*at] && all[*at].0 == Reply::TimedOut).collect();
        if late.is_empty() {
            continue;
        }
        let asked: Vec<&[u8]> = late.iter().map(|at| calls[*at]).collect();
        let again = answerers.ask_patiently(programs[place], PATIENCE, &asked)?;
        for (at, reply) in late.into_iter().zip(again) {
            all[at] = (reply.clone(), reply);
        }
    }
    Ok(())
}

/// Calls a program twice, in two processes, the second time in the other order.
fn ask_twice(answerers: &mut Answerers, program: usize, calls: &[&[u8]]) -> Result<Vec<(Reply, Reply)>, ValidateError> {
    let first = answerers.ask(program, false, calls)?;
    let answered: Vec<usize> =
        (0..calls.len()).rev().filter(|at| matches!(first[*at], Reply::Answer(_) | Reply::Long(..))).collect();
    let backwards: Vec<&[u8]> = answered.iter().map(|at| calls[*at]).collect();
    let again = answerers.ask(program, true, &backwards)?;
    let mut pairs: Vec<(Reply, Reply)> = first.into_iter().map(|reply| (reply.clone(), reply)).collect();
    for (at, reply) in answered.into_iter().zip(again) {
        // A run that was given up says nothing about the one before.
        if !matches!(reply, Reply::NotAsked) {
            pairs[at].1 = reply;
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function whose inputs are listed and one whose are drawn; what three programs do with each input.
    fn behaviours(inputs: &[(usize, usize, [Kind; 3])]) -> Behaviours {
        let observation = |(at, (function, drawn, kinds)): (usize, &(usize, usize, [Kind; 3]))| Observation {
            call: format!("f({at})"),
            origin: if *function == 0 { Origin::Listed } else { Origin::Drawn },
            drawn: *drawn,
            outcomes: kinds.iter().map(|kind| Outcome { kind: *kind, text: String::new() }).collect(),
            classes: vec![0, 1, 2],
            input: at,
            function: Some(*function),
            sent: Vec::new(),
        };
        let observations = inputs.iter().enumerate().map(observation).collect();
        Behaviours { observations, functions: vec![true, false], ..Behaviours::of_one(3) }
    }

    #[test]
    fn what_one_of_two_did_not_answer_says_nothing_of_them() {
        use Kind::{Crash, Panic, Timeout, Unknown, Value};
        let found = behaviours(&[
            (0, 0, [Value, Panic, Timeout]),
            (1, 200, [Value, Value, Value]),
            (1, 99, [Crash, Value, Value]),
            (1, 1, [Value, Unknown, Value]),
        ]);
        let near = |bound: Option<f64>, drawn: f64| (bound.unwrap() - (1.0 - 0.05_f64.powf(1.0 / drawn))).abs() < 1e-12;
        assert!(near(found.bound_of(0, 1), 299.0));
        // Not all that there is was answered, of the function whose inputs are listed.
        assert_eq!(found.bound_of(0, 2), None);
        assert_eq!(behaviours(&[(0, 0, [Value; 3])]).bound_of(0, 1), None);
        let mut listed = behaviours(&[(0, 0, [Value; 3])]);
        listed.functions = vec![true];
        assert_eq!(listed.bound_of(0, 1), Some(0.0));
        listed.coverage.not_called.push(("g".to_owned(), "nobody knows".to_owned()));
        assert_eq!(listed.bound_of(0, 1), None);
    }
}
