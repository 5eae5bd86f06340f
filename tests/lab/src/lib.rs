//! A real one-node Kubernetes with real Restate on this machine, or an existing cluster.
//!
//! ```text
//! args ─► commands ─► tools ─► node ─► images ─► demo
//!                                         └────► testing
//! ```
//!
//! Everything is async on tokio: programs are built, started and waited for side by side. The parts that only
//! decide (keys, command lines, configuration files, identities of processes) are plain functions.

pub mod args;
pub mod claim;
pub mod commands;
pub mod context;
pub mod demo;
pub mod images;
pub mod node;
pub mod places;
pub mod process;
pub mod progress;
pub mod testing;
pub mod tools;

/// The lab is a program for developers: an error is a chain of what was being done, read by a person.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

pub use context::Context;
