//! All integration tests, in one binary.

mod freeze;
mod house;
mod model;
mod repo;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sandbox;
mod server;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod validate;
