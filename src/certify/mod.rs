//! What is decided of a component by independent draws of it; pure.
//!
//! [`Trial`] says whether a component keeps what is expected of it, with as few calls as that takes. [`calibrate`] says
//! from which confidence on code may answer in a model's place, and writes the [`Certificate`]. docs/statistics.md
//! explains both.

mod certificate;
mod cost;
#[cfg(test)]
mod tests;
mod trial;

pub use certificate::{
    Calibration, Certificate, LEAST_ANSWERED, Scored, Step, Terms, Window, calibrate, calibration_cases, needed, spent,
};
pub use cost::{ASSUMED_MOST, Mean};
pub use trial::{
    DEFAULT_RUNS, Design, DesignError, Draw, Expectation, Finding, IN_TIME, MOST_RUNS, Miss, Report, Trial, Verdict,
};
