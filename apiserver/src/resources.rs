//! One file per virtual resource: what it is computed from, and nothing else.

pub(crate) mod clusters;
pub(crate) mod deployments;
pub(crate) mod health;
pub(crate) mod invocation;
pub(crate) mod invocations;
pub(crate) mod provision;
pub(crate) mod proxy;
pub(crate) mod query;
pub(crate) mod recover;
pub(crate) mod registered;
pub(crate) mod service;
pub(crate) mod services;
pub(crate) mod snapshots;
pub(crate) mod version;
pub(crate) mod versions;

#[cfg(test)]
pub(crate) mod tests;
