//! The virtual kinds of `control.restate.dev/v1alpha1`: types, descriptors, table columns and manifests.
//!
//! Plain data and no I/O. The aggregated API fills these types from what Restate says and from the decisions of
//! `restate-plan`; the chart's roles are printed from their descriptors.

pub mod kinds;
pub mod manifest;
pub mod proxy;
pub mod roles;

pub use kinds::{
    ActionOutcome, AsksForAction, ClusterConfiguration, Counts, Drift, HandlerInvocations, HealthOfLog,
    HealthOfNode, HealthOfPartition, HealthOfRole, InvocationAction, InvocationAttempts, InvocationCaller,
    InvocationState, RecoveryGuard, RecoveryOutcome, Replicas, RestateClusterDeployment,
    RestateClusterDeploymentStatus, RestateClusterHealth, RestateClusterHealthStatus, RestateClusterMirror,
    RestateClusterProvision, RestateClusterProvisionSpec, RestateClusterProvisionStatus,
    RestateClusterRecovery, RestateClusterRecoverySpec, RestateClusterRecoveryStatus, RestateClusterSnapshot,
    RestateClusterSnapshotSpec, RestateClusterSnapshotStatus, RestateDeploymentInvocations,
    RestateDeploymentInvocationsStatus, RestateDeploymentMirror, RestateDeploymentVersion,
    RestateDeploymentVersionStatus, RestateInvocation, RestateInvocationAction,
    RestateInvocationActionStatus, RestateInvocationRestart, RestateInvocationRestartSpec,
    RestateInvocationResume, RestateInvocationResumeSpec, RestateInvocationStatus, RestateQuery,
    RestateQueryLimits, RestateQuerySpec, RestateQueryStatus, RestateService, RestateServiceStatus,
    ServedService, ServiceType, SnapshotOfPartition, SnapshotOutcome, VersionReference,
};

/// The API group.
pub const GROUP: &str = "control.restate.dev";

/// Its only version.
pub const VERSION: &str = "v1alpha1";

/// Category that lists everything of ours: `kubectl get restate`.
pub const CATEGORY: &str = "restate";
