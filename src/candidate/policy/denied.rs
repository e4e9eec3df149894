//! The denied paths of a spec, as a tree that imports and paths are followed through.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::lists::ALWAYS_DENIED;
use crate::candidate::signature::PRELUDE;

/// Denied paths as a tree of segments. Place 0 is the root.
pub(super) struct Denied {
    pub(super) steps: HashMap<(usize, String), usize>,
    /// The denied path that ends at a place.
    pub(super) ends: HashMap<usize, String>,
    /// The path of each place, for messages.
    places: usize,
    /// Last segments of denied paths.
    pub(super) last: HashSet<String>,
    /// Paths of one segment: crates.
    pub(super) crates: HashSet<String>,
}

impl Denied {
    /// Denied paths whose last names need no import.
    pub(super) fn in_prelude(&self) -> Vec<Vec<String>> {
        let paths = PRELUDE.iter().map(|path| path.split("::").map(String::from).collect::<Vec<_>>());
        paths.filter(|path| self.place(path).is_some_and(|place| self.ends.contains_key(&place))).collect()
    }

    /// Where a path ends in the tree, if it is wholly in it.
    pub(super) fn place(&self, path: &[String]) -> Option<usize> {
        path.iter().try_fold(0, |place, segment| self.steps.get(&(place, segment.clone())).copied())
    }

    pub(super) fn new(deny: &[String]) -> Self {
        let mut denied = Self {
            steps: HashMap::new(),
            ends: HashMap::new(),
            places: 1,
            last: HashSet::new(),
            crates: HashSet::new(),
        };
        for path in deny.iter().map(String::as_str).chain(ALWAYS_DENIED.iter().copied()) {
            let segments: Vec<String> = path
                .split("::")
                .map(|segment| segment.trim().trim_start_matches("r#").to_string())
                .filter(|segment| !segment.is_empty())
                .collect();
            if segments.is_empty() {
                continue;
            }
            denied.add(&segments, path);
            // The same thing by another way: `std::os::unix::fs`.
            if let [first, module] = segments.as_slice()
                && matches!(first.as_str(), "std" | "core" | "alloc")
                && matches!(module.as_str(), "fs" | "net" | "process" | "io")
            {
                for system in ["unix", "linux", "android", "macos", "wasi", "windows", "fd"] {
                    denied.add(&["std", "os", system, module].map(String::from), path);
                    denied.add(&["std", "os", system, "prelude"].map(String::from), path);
                }
            }
            // `std::collections::hash_map::HashMap` is `std::collections::HashMap`.
            if let [first, collections, name] = segments.as_slice()
                && collections == "collections"
                && root_name(first) == "std"
            {
                let module = COLLECTIONS.iter().find(|(of, _)| of == name).map(|(_, module)| *module);
                if let Some(module) = module {
                    denied.add(&["std", "collections", module, name].map(String::from), path);
                }
            }
            if let [first, collections, _, name] = segments.as_slice()
                && collections == "collections"
                && COLLECTIONS.iter().any(|(of, _)| of == name)
                && root_name(first) == "std"
            {
                denied.add(&["std", "collections", name].map(String::from), path);
            }
        }
        denied
    }

    fn add(&mut self, segments: &[String], path: &str) {
        let mut place = 0;
        for (index, segment) in segments.iter().enumerate() {
            let name = if index == 0 { root_name(segment) } else { segment.clone() };
            let next = self.places;
            place = *self.steps.entry((place, name)).or_insert(next);
            if place == next {
                self.places += 1;
            }
        }
        self.ends.insert(place, path.to_string());
        if let [.., last] = segments {
            self.last.insert(last.clone());
        }
        if segments.len() == 1 {
            self.crates.insert(segments[0].clone());
        }
    }
}

/// Types of `std::collections` and the modules that have them too.
const COLLECTIONS: &[(&str, &str)] = &[
    ("HashMap", "hash_map"),
    ("HashSet", "hash_set"),
    ("BTreeMap", "btree_map"),
    ("BTreeSet", "btree_set"),
    ("BinaryHeap", "binary_heap"),
    ("LinkedList", "linked_list"),
    ("VecDeque", "vec_deque"),
];

/// `core` and `alloc` hold parts of `std`.
pub(super) fn root_name(name: &str) -> String {
    if name == "core" || name == "alloc" { "std".into() } else { name.into() }
}

/// What following a path came to.
pub(super) enum Walk {
    /// It is, or leads into, a denied path.
    Denied(String),
    /// The places in the tree of denied paths where it may have ended.
    At(BTreeSet<usize>),
}
