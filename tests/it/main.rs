//! All integration tests, in one binary.

mod freeze;
mod repo;
