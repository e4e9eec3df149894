//! Inputs that split programs, made as small as they get while the split holds.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::inputs::{Maker, Random};
use super::outcome::Kind;
use super::value::Value;
use super::{Comparison, Observation, PATIENCE, Split, ask_twice, print, refined};
use crate::validate::{Reply, ValidateError};

/// Most inputs run for one split.
const STEPS: usize = 1500;
/// Inputs run at once.
const ROUND: usize = 48;
/// CPU time that a call may take while looking for something smaller.
const HASTE: Duration = Duration::from_millis(200);
/// Calls without an answer after which no smaller input is looked for.
const LOSSES: usize = 6;
/// Longest time spent on making one input smaller.
const TIME: Duration = Duration::from_secs(3);

impl Comparison<'_> {
    /// Inputs that together tell all clusters apart, the most telling first, and others that part programs in another
    /// way.
    pub(super) fn splits(&mut self) -> Result<Vec<Split>, ValidateError> {
        let mut splits: Vec<Split> = Vec::new();
        let mut order: Vec<usize> = (0..self.observations.len()).collect();
        order.retain(|at| self.observations[*at].is_split());
        let size = |at: &usize| self.inputs[*at].arguments.iter().map(Value::size).sum::<usize>();
        let rank = |at: &usize| {
            let observation = &self.observations[*at];
            let worst = match self.options.from_first {
                true => Some(observation.outcome(0).kind),
                false => observation.outcomes.iter().map(|outcome| outcome.kind).max(),
            };
            (worst.unwrap_or(Kind::Unknown), size(at))
        };
        order.sort_by_key(rank);
        let mut clusters: Vec<Vec<usize>> = vec![(0..self.programs.len()).collect()];
        let mut told: HashSet<(usize, Vec<Kind>)> = HashSet::new();
        let mut refuted = 0;
        let mut rest = Vec::new();
        for at in order {
            let observation = &self.observations[at];
            let pair = clusters.iter().find_map(|cluster| self.pair(observation, cluster));
            match pair {
                Some(pair) => {
                    told.insert((self.inputs[at].function, self.kinds(at, pair)));
                    let split = match splits.len() < self.options.splits {
                        true => self.shrunk(at, pair)?,
                        false => Some(self.as_found(at)),
                    };
                    match split {
                        Some(split) => {
                            let is_known = |at: usize| split.outcomes[split.classes[at]].kind != Kind::Unknown;
                            clusters = refined(&clusters, &|one, other| {
                                split.classes[one] != split.classes[other] && is_known(one) && is_known(other)
                            });
                            splits.push(split);
                        }
                        None => refuted += 1,
                    }
                    if refuted > 6 {
                        break;
                    }
                }
                None => rest.push(at),
            }
        }
        // The same programs part in other ways, too.
        rest.retain(|_| !self.options.from_first);
        for at in rest {
            if splits.len() >= self.options.splits {
                break;
            }
            let all: Vec<usize> = (0..self.programs.len()).collect();
            let Some(pair) = self.pair(&self.observations[at], &all) else { continue };
            let kinds = (self.inputs[at].function, self.kinds(at, pair));
            if told.contains(&kinds) && splits.len() >= 3 {
                continue;
            }
            told.insert(kinds);
            if let Some(split) = self.shrunk(at, pair)?
                && !splits.iter().any(|known| known.call == split.call)
            {
                splits.push(split);
            }
        }
        Ok(splits)
    }

    /// Two programs of a cluster that part, and that it matters to tell apart.
    fn pair(&self, observation: &Observation, cluster: &[usize]) -> Option<(usize, usize)> {
        let mut pairs = cluster.iter().flat_map(|one| cluster.iter().map(move |other| (*one, *other)));
        let matters = |one: usize| one == 0 || !self.options.from_first;
        pairs.find(|(one, other)| one < other && matters(*one) && observation.parts(*one, *other))
    }

    fn as_found(&self, at: usize) -> Split {
        let Observation { call, outcomes, classes, origin, .. } = self.observations[at].clone();
        Split { call, outcomes, classes, made_of: None, origin }
    }

    fn kinds(&self, at: usize, pair: (usize, usize)) -> Vec<Kind> {
        let observation = &self.observations[at];
        vec![observation.outcome(pair.0).kind, observation.outcome(pair.1).kind]
    }

    /// The split with its input made smaller; `None` where it does not hold when it is looked at again.
    fn shrunk(&mut self, at: usize, pair: (usize, usize)) -> Result<Option<Split>, ValidateError> {
        let input = self.inputs[at].clone();
        let function = &self.functions[input.function];
        let kinds = self.kinds(at, pair);
        let maker = Maker { shapes: self.shapes, words: self.words, random: Random(0) };
        let size = |arguments: &[Value]| arguments.iter().map(Value::size).sum::<usize>();
        let mut best = input.clone();
        let mut seen: HashSet<Vec<u8>> = HashSet::from([input.call.clone()]);
        let (mut steps, begun) = (0, Instant::now());
        self.answerers.be_patient(HASTE, LOSSES);
        let can_shrink = kinds.iter().all(|kind| kind.is_answer());
        'smaller: while can_shrink && steps < STEPS && begun.elapsed() < TIME {
            let mut candidates: Vec<_> = maker
                .smaller(&function.inputs, &best.arguments)
                .into_iter()
                .filter(|arguments| size(arguments) < size(&best.arguments))
                .filter_map(|arguments| self.input(input.function, arguments))
                .filter(|candidate| seen.insert(candidate.call.clone()))
                .collect();
            candidates.sort_by_key(|candidate| size(&candidate.arguments));
            for round in candidates.chunks(ROUND) {
                let calls: Vec<&[u8]> = round.iter().map(|candidate| candidate.call.as_slice()).collect();
                let admitted = self.guards.admit(input.function, &calls)?;
                let admitted: Vec<_> =
                    round.iter().zip(admitted).filter(|(_, admitted)| *admitted).map(|(input, _)| input).collect();
                steps += admitted.len();
                let calls: Vec<&[u8]> = admitted.iter().map(|candidate| candidate.call.as_slice()).collect();
                let mut ask = |program: usize| self.answerers.ask(self.programs[program], false, &calls);
                let (one, other) = (ask(pair.0)?, ask(pair.1)?);
                let smaller = admitted.iter().zip(one.into_iter().zip(other)).find(|(_, (one, other))| {
                    let twice = |reply: &Reply| (reply.clone(), reply.clone());
                    let (one, other) = (twice(one), twice(other));
                    let (outcomes, classes) = self.reader.classify(input.function, &[&one, &other]);
                    classes[0] != classes[1] && classes.iter().map(|class| outcomes[*class].kind).eq(kinds.clone())
                });
                if let Some((smaller, _)) = smaller {
                    best = (*smaller).clone();
                    continue 'smaller;
                }
                if steps >= STEPS || begun.elapsed() > TIME {
                    break;
                }
            }
            break;
        }
        // What holds twice for all of them is told. A clock that may have been too short is not believed.
        let is_patient = kinds.contains(&Kind::Timeout);
        self.answerers.be_patient(if is_patient { PATIENCE } else { HASTE }, LOSSES);
        for input in [&best, &input] {
            let programs = self.programs.clone();
            let replies = programs.iter().map(|program| {
                let mut all = ask_twice(&mut self.answerers, *program, &[&input.call])?;
                Ok(all.remove(0))
            });
            let replies = replies.collect::<Result<Vec<_>, ValidateError>>()?;
            let (outcomes, classes) = self.reader.classify(input.function, &replies.iter().collect::<Vec<_>>());
            let is_known = |program: usize| outcomes[classes[program]].kind != Kind::Unknown;
            if classes[pair.0] != classes[pair.1] && is_known(pair.0) && is_known(pair.1) {
                let call = print::call(self.shapes, function, &input.arguments);
                let observation = &self.observations[at];
                let made_of = (call != observation.call).then(|| observation.call.clone());
                return Ok(Some(Split { call, outcomes, classes, made_of, origin: observation.origin }));
            }
        }
        Ok(None)
    }
}
