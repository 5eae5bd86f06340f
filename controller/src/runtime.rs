//! What surrounds the reconciliation: health, metrics, the Lease, logs, the end of the process.

pub(crate) mod fence;
pub(crate) mod health;
pub(crate) mod leader;
pub(crate) mod metrics;
pub(crate) mod predecessor;
pub(crate) mod shutdown;
pub(crate) mod telemetry;
pub(crate) mod traffic;
pub(crate) mod waiting;
