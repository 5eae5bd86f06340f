//! The kinds of `restate.dev` that users store: RestateCluster, RestateDeployment, RestateCloudEnvironment.
//!
//! Stage in the flow: the words that every other crate speaks. Types, schemas, admission rules and printer
//! columns; no client, no clock, no decision. A manifest that was ever accepted by these kinds stays accepted
//! and keeps its meaning (`tests/upstream_fields.rs` holds every field to that); what is ours is optional.

#![expect(
    clippy::duplicated_attributes,
    reason = "columns repeat words like `priority = 1`; the lint flattens them"
)]

pub mod cloud_environment;
pub mod cluster;
pub mod condition;
pub mod deployment;
pub mod generate;
mod schema;

pub use cloud_environment::{
    RestateCloudEnvironment, RestateCloudEnvironmentSpec, RestateCloudEnvironmentStatus,
};
pub use cluster::{RestateCluster, RestateClusterSpec, RestateClusterStatus};
pub use condition::{Condition, ConditionStatus, ConditionType, Conditions, Reason, Verdict};
pub use deployment::{RestateDeployment, RestateDeploymentSpec, RestateDeploymentStatus};

/// API group of the stored kinds.
pub const GROUP: &str = "restate.dev";

/// Finalizers, by kind. The names are on objects in users' clusters and never change.
pub mod finalizer {
    /// On a RestateCluster.
    pub const CLUSTER: &str = "clusters.restate.dev";
    /// On a RestateDeployment.
    pub const DEPLOYMENT: &str = "deployments.restate.dev";
    /// On a RestateCloudEnvironment.
    pub const CLOUD_ENVIRONMENT: &str = "cloudenvironments.restate.dev";
}

/// Labels that the controller puts on what it makes.
pub mod label {
    /// Name of the RestateDeployment that an object belongs to.
    pub const OWNED_BY: &str = "restate.dev/owned-by";
    /// Hash of a version: on its ReplicaSet, its pods and in the selectors of both.
    pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
    /// `true` on the ReplicaSet and Service that Restate routes new calls to. Never in a pod template.
    pub const LATEST: &str = "restate.dev/latest";
    /// Program that manages an object.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY`].
    pub const MANAGED_BY_VALUE: &str = "restate-operator";

    /// Label that lets a cluster's pods reach the pods that carry it (its egress policy selects it).
    #[must_use]
    pub fn allow(cluster: &str) -> String {
        format!("allow.restate.dev/{cluster}")
    }
}

/// Annotations, of the controller and of people.
pub mod annotation {
    /// The pod template as JSON text: the identity of a version ([`PodTemplate::text`]).
    ///
    /// [`PodTemplate::text`]: crate::deployment::PodTemplate::text
    pub const POD_TEMPLATE: &str = "restate.dev/pod-template";
    /// Restate's id of the version. Absent once it has been deregistered.
    pub const DEPLOYMENT_ID: &str = "restate.dev/deployment-id";
    /// When a drained version goes (RFC 3339).
    pub const REMOVE_VERSION_AT: &str = "restate.dev/remove-version-at";
    /// When Restate acknowledged the registration (RFC 3339).
    pub const REGISTERED_AT: &str = "restate.dev/registered-at";
    /// With which Restate the version is registered: the address of its admin API. An id means nothing to another one.
    pub const REGISTERED_WITH: &str = "restate.dev/registered-with";
    /// With which other Restates the version was registered before `spec.restate.register` was changed, and by which id,
    /// as JSON. Nobody asks those any more, so a version that has some is kept until people give it up ([`ABANDON`]).
    pub const FORMERLY_REGISTERED: &str = "restate.dev/formerly-registered";
    /// Name under which an in-process tunnel announces the version.
    pub const TUNNEL_NAME: &str = "restate.dev/tunnel-name";
    /// Tag of a Knative configuration.
    pub const TAG: &str = "restate.dev/tag";
    /// On a version: its id is being deregistered. Written before the call, so that a crash between the call and the
    /// clearing of the id is not taken for a Restate that lost its metadata. It stays until the version is registered
    /// anew.
    pub const DEREGISTERING: &str = "restate.dev/deregistering";
    /// Beside [`DEREGISTERING`]: since when (RFC 3339). Only what Restate was asked later makes the intent void.
    pub const DEREGISTERING_SINCE: &str = "restate.dev/deregistering-since";
    /// On a version: Restate's words where it refused the version for good, as JSON.
    pub const REJECTED: &str = "restate.dev/registration-rejected";
    /// People set it on a version's ReplicaSet to `true` where the version is held although nothing is known of it any
    /// more: its unfinished work is abandoned. It never overrides routing.
    pub const ABANDON: &str = "restate.dev/abandon";
    /// On whatever is applied: the digest of the wish that was applied last.
    pub const APPLIED: &str = "restate.dev/applied";
    /// People set it on a stored object to [`DISABLED`]: the controller leaves it, and what belongs to it, alone.
    pub const RECONCILE: &str = "restate.dev/reconcile";
    /// The only value of [`RECONCILE`] with a meaning, so that a slip does not stop anything.
    pub const DISABLED: &str = "disabled";
}
