//! One file per virtual kind: the object and its table row.

mod action;
mod cluster;
mod deployment;
mod health;
mod invocation;
mod invocations;
mod provision;
mod query;
mod recovery;
mod registered;
mod service;
mod snapshot;
mod version;

pub use action::{
    ActionOutcome, AsksForAction, InvocationAction, RestateInvocationAction, RestateInvocationActionStatus,
    RestateInvocationRestart, RestateInvocationRestartSpec, RestateInvocationResume,
    RestateInvocationResumeSpec,
};
pub use cluster::RestateClusterMirror;
pub use deployment::RestateDeploymentMirror;
pub use health::{
    ClusterConfiguration, Drift, HealthOfLog, HealthOfNode, HealthOfPartition, HealthOfRole,
    RestateClusterHealth, RestateClusterHealthStatus,
};
pub use invocation::{
    InvocationAttempts, InvocationCaller, InvocationState, RestateInvocation, RestateInvocationStatus,
};
pub use invocations::{HandlerInvocations, RestateDeploymentInvocations, RestateDeploymentInvocationsStatus};
pub use provision::{RestateClusterProvision, RestateClusterProvisionSpec, RestateClusterProvisionStatus};
pub use query::{RestateQuery, RestateQueryLimits, RestateQuerySpec, RestateQueryStatus};
pub use recovery::{
    RecoveryGuard, RecoveryOutcome, RestateClusterRecovery, RestateClusterRecoverySpec,
    RestateClusterRecoveryStatus,
};
pub use registered::{RestateClusterDeployment, RestateClusterDeploymentStatus, VersionReference};
pub use service::{RestateService, RestateServiceStatus, ServiceType};
pub use snapshot::{
    RestateClusterSnapshot, RestateClusterSnapshotSpec, RestateClusterSnapshotStatus, SnapshotOfPartition,
    SnapshotOutcome,
};
pub use version::{
    Counts, Replicas, RestateDeploymentVersion, RestateDeploymentVersionStatus, ServedService,
};

use apiserver_kind::{Descriptor, Gvk, Resource};

/// A kind of ours.
const fn gvk(kind: &'static str) -> Gvk {
    Gvk { group: crate::GROUP, version: crate::VERSION, kind }
}

/// Everything that is served, in the order of the documentation.
pub const DESCRIPTORS: [Descriptor; 9] = [
    RestateDeploymentVersion::DESCRIPTOR,
    RestateDeploymentMirror::DESCRIPTOR,
    RestateClusterMirror::DESCRIPTOR,
    RestateClusterProvision::DESCRIPTOR,
    RestateClusterSnapshot::DESCRIPTOR,
    RestateClusterRecovery::DESCRIPTOR,
    RestateService::DESCRIPTOR,
    RestateInvocation::DESCRIPTOR,
    RestateQuery::DESCRIPTOR,
];
