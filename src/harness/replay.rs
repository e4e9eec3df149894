//! A recorded run, given again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Crossing;

/// The record of a run that is to be given again.
///
/// Calls are found by their caller, their component and their input, those of the same three in their order. What was
/// recorded is given without asking the component, errors too; rules on who may call what hold as ever.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    crossings: Vec<Crossing>,
    from: Option<u64>,
}

impl Replay {
    /// All of it: a call that was not recorded is an error.
    pub fn whole(crossings: Vec<Crossing>) -> Self {
        Self { crossings, from: None }
    }

    /// Up to the call with this number: it and what comes after it is asked anew, and so is whatever set it in motion,
    /// whose other calls are still given from the record.
    pub fn until(crossings: Vec<Crossing>, checkpoint: u64) -> Self {
        Self { crossings, from: Some(checkpoint) }
    }
}

/// The caller's number in the record, the component, the input.
type Key = (Option<u64>, String, String);

pub(super) struct Replaying {
    from: Option<u64>,
    /// Those that set the checkpoint in motion.
    above: HashSet<u64>,
    state: Mutex<State>,
}

struct State {
    waiting: HashMap<Key, VecDeque<Crossing>>,
    /// Whether the checkpoint was reached.
    passed: bool,
}

/// What the record says of a call.
pub(super) enum Found {
    /// Its answer or its error.
    Recorded(Box<Crossing>),
    /// It is asked anew; its number in the record, where it has one.
    Live(Option<u64>),
    /// It was not recorded.
    Nothing,
}

impl Replaying {
    pub(super) fn new(replay: Replay) -> Self {
        let parents: HashMap<u64, Option<u64>> =
            replay.crossings.iter().map(|crossing| (crossing.id, crossing.parent)).collect();
        let mut above = HashSet::new();
        let mut next = replay.from.and_then(|from| parents.get(&from).copied().flatten());
        while let Some(id) = next.filter(|id| above.insert(*id)) {
            next = parents.get(&id).copied().flatten();
        }
        let mut crossings = replay.crossings;
        crossings.sort_by_key(|crossing| crossing.id);
        let mut waiting: HashMap<Key, VecDeque<Crossing>> = HashMap::new();
        for crossing in crossings {
            let key = (crossing.parent, crossing.component.clone(), crossing.input.to_string());
            waiting.entry(key).or_default().push_back(crossing);
        }
        Self { from: replay.from, above, state: Mutex::new(State { waiting, passed: false }) }
    }

    /// `parent`: the caller's number in the record.
    pub(super) fn find(&self, parent: Option<u64>, component: &str, input: &Value) -> Found {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (parent, component.to_owned(), input.to_string());
        let found = state.waiting.get_mut(&key).and_then(VecDeque::pop_front);
        match (found, self.from) {
            (Some(crossing), Some(from)) if crossing.id >= from || self.above.contains(&crossing.id) => {
                state.passed |= crossing.id >= from;
                Found::Live(Some(crossing.id))
            }
            (Some(crossing), _) => Found::Recorded(Box::new(crossing)),
            (None, Some(_)) if state.passed => Found::Live(None),
            (None, _) => Found::Nothing,
        }
    }
}
