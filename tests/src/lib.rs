//! What tests on a real cluster are written with: the cluster, namespaces of their own, a Restate, a service, waiting
//! with deadlines, and faults.
//!
//! `cargo lab test` brings the cluster up and says in the environment where everything is. Nothing here decides what
//! is right: that stands in the tests, `e2e/<layer>_<subject>.rs`. Whatever a test makes has a name of its own, so
//! that tests run side by side.

pub mod beside;
pub mod calls;
pub mod events;
pub mod fault_proxy;
pub mod kubectl;
pub mod lab;
pub mod manifest;
pub mod namespace;
pub mod parked;
pub mod restate;
pub mod service;
pub mod wait;

/// A test ends with an error that says what was being done.
pub type Result<T = (), E = anyhow::Error> = std::result::Result<T, E>;

pub use beside::Beside;
pub use calls::Calls;
pub use events::Events;
pub use fault_proxy::{Fault, FaultProxy};
pub use kubectl::Kubectl;
pub use lab::Lab;
pub use manifest::Manifest;
pub use namespace::Namespace;
pub use parked::Parked;
pub use restate::Restate;
pub use service::{Service, Version};
pub use wait::eventually;
