//! What tests on a real cluster are written with: the cluster, namespaces of their own, a Restate, a service, waiting
//! with deadlines, faults, and a load with its judge.
//!
//! `cargo lab test` brings the cluster up and says in the environment where everything is. Nothing here decides what
//! is right: that stands in the tests, `e2e/<layer>_<subject>.rs`. Whatever a test makes has a name of its own, so
//! that tests run side by side.

pub mod audit;
pub mod beside;
pub mod bucket;
pub mod calls;
pub mod events;
pub mod explain;
pub mod fault_proxy;
pub mod ingress;
pub mod kubectl;
pub mod lab;
pub mod ledger;
pub mod load;
pub mod manifest;
pub mod namespace;
pub mod nodes;
pub mod oracle;
pub mod parked;
pub mod restate;
pub mod service;
pub mod traffic;
pub mod wait;

/// A test ends with an error that says what was being done.
pub type Result<T = (), E = anyhow::Error> = std::result::Result<T, E>;

pub use audit::Audit;
pub use beside::Beside;
pub use bucket::Bucket;
pub use calls::Calls;
pub use events::Events;
pub use fault_proxy::{Fault, FaultProxy, Order};
pub use kubectl::Kubectl;
pub use lab::Lab;
pub use load::{Load, Pace};
pub use manifest::Manifest;
pub use namespace::Namespace;
pub use nodes::Nodes;
pub use parked::Parked;
pub use restate::Restate;
pub use service::{Service, Version};
pub use wait::eventually;
