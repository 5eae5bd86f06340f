//! Decisions for `RestateDeployment`: versions are made, registered, drained and retired.
//!
//! [`decide`] takes everything that was [`Seen`] and the clock, and gives steps, status and what has to be asked;
//! [`views`] gives what people are shown of each version, from the same facts. Invariants: a version that may receive
//! or resume work is never taken away, unknown is not zero, and a second pass over the same world plans nothing.

mod autoscaler;
mod check;
mod concern;
mod delete;
mod demand;
mod draft;
mod drain;
mod hash;
mod history;
mod metadata;
mod notice;
mod plan;
mod rejection;
mod replica_set;
mod retire;
mod rollout;
mod seen;
mod selector;
mod service;
mod state;
mod status;
mod survey;
mod target;
mod upkeep;
mod usage;
mod validate;
mod version;

pub use concern::{Difference, Interest};
pub use drain::{Drain, drain};
pub use hash::{Identity, TemplateHash};
pub use plan::{admin, decide};
pub use rejection::record_rejection;
pub use seen::{ClusterSeen, Decision, Demand, Next, Seen};
pub use state::{View, ViewedService, views};
pub use target::{endpoint, is_forbidden_address, is_service};
pub use usage::{MAX_AGE, Usage};
pub use validate::{Autoscaling, DeletionTerms, Error, Held, Spec, Template, Valid, validate};
pub use version::{Rejection, Stamp, Version};

#[cfg(test)]
mod tests;
