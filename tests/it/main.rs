//! All integration tests, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

#[cfg(unix)]
mod approvals;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod batch;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod behaviour;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod build;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod budget_calls;
mod budget;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ci_formats;
mod call;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod certify;
mod clarify;
mod cli;
mod component_specs;
mod components;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod diff;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod doctor;
#[cfg(feature = "embedded")]
mod end_to_end;
mod env;
mod freeze;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod history;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod hostile;
mod harden;
mod harden_watch;
mod harness;
mod house;
mod intoto;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ledger;
mod measure;
mod model;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod new_cmd;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod outside;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pairs;
mod planted;
#[cfg(unix)]
mod programs;
mod providers;
mod providers_cli;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod proxy;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod repair;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod replies;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pty;
mod repo;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod review;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sandbox;
mod serve;
#[cfg(unix)]
mod serve_cmd;
mod serve_mcp;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod serve_outside;
mod server;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sides;
mod stats;
mod strength;
mod test_cmd;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sign;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod trace;
mod triage;
mod validate;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod validate_cmd;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod verify;
mod wire;
