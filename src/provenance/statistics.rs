//! What the samples show, as it is recorded.

use serde::{Deserialize, Serialize};

use crate::select::Cluster;
use crate::stats::wilson;

/// What the samples show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// How many samples came how far.
    pub counts: Counts,
    /// Candidates by what they are, largest group first.
    pub clusters: Vec<Share>,
    /// The rate at which independent draws pass; absent when there was none.
    pub pass_rate: Option<PassRate>,
    /// What it cost.
    pub usage: Usage,
}

/// How many samples came how far. Each number counts among the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Samples drawn.
    pub sampled: usize,
    /// With Rust that parses, conforms and keeps to the policy.
    pub parsed: usize,
    /// That compile.
    pub compiled: usize,
    /// For which every check holds.
    pub passed: usize,
}

/// A cluster and its share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How many candidates are in it.
    pub size: usize,
    /// Whether they pass.
    pub passed: bool,
    /// Its size over the number of samples drawn, rounded to six places.
    pub share: f64,
}

/// Each cluster's share of `sampled` draws, in the order given.
pub fn shares(clusters: &[Cluster], sampled: usize) -> Vec<Share> {
    clusters
        .iter()
        .map(|cluster| Share {
            size: cluster.size,
            passed: cluster.passed,
            share: round(cluster.size as f64 / sampled.max(cluster.size) as f64),
        })
        .collect()
}

/// The rate at which independent draws pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassRate {
    /// Draws that pass.
    pub passed: usize,
    /// Independent draws.
    pub trials: usize,
    /// `passed` over `trials`, rounded to six places.
    pub rate: f64,
    /// Low end of the Wilson 95% interval, rounded to six places.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// Whether the number of draws was fixed beforehand. When it was not (drawing stopped at a pass, or when
    /// the behaviour was settled) the interval is a description, not a bound.
    pub fixed: bool,
}

impl PassRate {
    /// The rate after `trials` independent draws; `None` without any.
    pub fn new(passed: usize, trials: usize, fixed: bool) -> Option<Self> {
        let (low, high) = wilson(passed, trials);
        (trials > 0).then(|| Self {
            passed,
            trials,
            rate: round(passed as f64 / trials as f64),
            low: round(low),
            high: round(high),
            fixed,
        })
    }
}

fn round(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// That the choice was tested on samples that had no part in it: does more than a share of what passes do as it does?
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The share that it is above.
    pub bound: f64,
    /// The chance of a certificate had it been no larger.
    pub alpha: f64,
    /// Most trials that the sequential test allowed for.
    pub most: usize,
    /// Fresh samples that pass.
    pub trials: usize,
    /// Of them, those that do as the choice does.
    pub agreements: usize,
    /// Samples that were drawn for it, those that fail included.
    pub drawn: usize,
}

/// What the samples cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Tokens of prompts, as the provider counts them.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// US dollars, where the price is known.
    pub usd: Option<f64>,
}
