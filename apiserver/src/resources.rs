//! One file per virtual resource: what it is computed from, and nothing else.

pub(crate) mod clusters;
pub(crate) mod deployments;
pub(crate) mod invocations;
pub(crate) mod provision;
pub(crate) mod version;
pub(crate) mod versions;
