//! What is known about a RestateDeployment and its versions.
//!
//! Stage in the flow: status. Invariant: whatever an earlier controller stored decodes. Not for computing it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

use super::{DeletePolicy, OnTimeout};
use crate::{condition::Conditions, schema};

/// What is known about a RestateDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateDeploymentStatus {
    /// Restate's id of the current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Pods of the current version.
    pub replicas: i32,
    /// Pods that the current version should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Pods of the current version that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Pods of the current version that have been ready for `minReadySeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Pods of the current version that are wanted and not available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,
    /// Selector of the current version's pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// How often the name of a new version was taken already; it goes into the hash of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Generation that the controller has acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What Knative made of the current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knative: Option<KnativeStatus>,
    /// Every version that still exists, the newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<VersionStatus>>,
    /// What a deletion waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionStatus>,
    /// What holds, since when and why.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
}

/// What Knative made of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnativeStatus {
    /// Name of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_name: Option<String>,
    /// Name of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_name: Option<String>,
    /// Address of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Newest revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_revision: Option<String>,
}

/// One version: where it stands and why it is still there. The live view is `kubectl get
/// restatedeploymentversions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// Name of its ReplicaSet and Service.
    pub name: String,
    /// Where it stands.
    pub state: VersionState,
    /// Restate's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Why it is still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_because: Vec<KeptBecause>,
    /// When it goes, unless work turns up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_at: Option<Time>,
    /// Unfinished invocations that will end on this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<i64>,
    /// Unfinished invocations that would go to this version and are not bound to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpinned: Option<i64>,
}

/// Where a version stands.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum VersionState {
    /// Restate does not know it yet.
    Pending,
    /// New calls go to it.
    Current,
    /// It has unfinished work, and gets no new calls.
    Draining,
    /// Its work is done; it waits for its delay.
    Drained,
    /// It is deregistered and kept as history.
    Retired,
    /// Restate refused it for good.
    Rejected,
    /// What Restate knows about it cannot be told.
    Unknown,
}

/// Why a version is still there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeptBecause {
    /// The cause.
    pub reason: KeptReason,
    /// How many, where it can be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Until when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// A cause for which a version is still there.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum KeptReason {
    /// Restate routes new calls to it.
    Routed,
    /// Unfinished invocations are bound to it.
    PinnedInvocations,
    /// Unfinished invocations that are bound to no version would go to it.
    UnpinnedInvocations,
    /// An attempt runs on it that is not bound to it yet.
    AttemptInFlight,
    /// Its work is done and its delay runs.
    DrainDelay,
    /// Restate did not say enough to remove it.
    UsageUnknown,
    /// It is kept as history, without pods.
    RevisionHistory,
}

/// What a deletion waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStatus {
    /// The policy in force.
    pub policy: DeletePolicy,
    /// How far it is.
    pub phase: DeletionPhase,
    /// When the deletion was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the drain is overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// What happens then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<OnTimeout>")]
    pub on_timeout: Option<OnTimeout>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Unfinished invocations of all versions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_pending_invocations: Option<i64>,
    /// Unfinished invocations by version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_invocations: Option<Vec<PendingInvocations>>,
}

/// How far a deletion is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum DeletionPhase {
    /// It waits for unfinished work, or for the delay after its end.
    Draining,
    /// It waits for longer than it was given.
    Overdue,
    /// It abandons what is left.
    Forcing,
}

/// Unfinished invocations that hold one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingInvocations {
    /// Name of the version.
    pub version: String,
    /// Restate's id of the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Those bound to it.
    pub pinned: i64,
    /// Those that would go to it and are bound to no version. Absent where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpinned: Option<i64>,
}
