//! What is known of one Restate at one moment, as plain data with an age.
//!
//! The poller (`restate-client`) fills these types, the pure decisions (`restate-plan`) and the aggregated API
//! read them. Nothing here asks, waits or decides. Invariant: a value without a [`Reading`] is *unknown*, which
//! is never the same as zero or absent.

mod invocation;
mod name;
mod registry;
mod snapshot;
mod usage;

pub use invocation::{AttemptFailure, Attempts, Caller, Invocation, InvocationState, Target, Times};
pub use name::{DeploymentId, EndpointKey, InvocationId, ServiceName};
pub use registry::{Registered, Registry, Service, ServiceKind, ServiceRevision};
pub use snapshot::{Failure, FailureKind, Reading, Snapshot};
pub use usage::{Counts, Load, Status, UsageReport};
