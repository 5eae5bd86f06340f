//! Decisions of the controller as pure functions: what was wanted, what was seen and the clock go in, a [`Plan`]
//! comes out. No async, no client, no clock in here: `clippy.toml` and this crate's dependencies hold it.
//!
//! The controller executes plans and chooses nothing; the aggregated API shows the same decisions.

mod object;
mod pause;
mod step;

pub mod applied;
pub mod bookkeeping;
pub mod cluster;
pub mod deployment;
pub mod ownership;
pub mod received;

pub use object::{Object, ObjectRef, Uid};
pub use pause::is_paused;
pub use step::{
    Admin, Become, ChangeNodes, Claim, Configure, Deregistration, EventKind, Finalizer, LeaveMetadata,
    LookAgain, Manager, NodeChange, Note, Outcome, Patch, Plan, Proof, Propagation, Provision, Registration,
    Routes, Snapshot, Step, TrimLog, Version, record_of,
};
