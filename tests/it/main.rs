//! All integration tests, in one binary.

mod candidate;
mod freeze;
mod house;
mod repo;
mod sandbox;
