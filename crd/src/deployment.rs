//! RestateDeployment: a service's pods, kept per version for as long as Restate has work for that version.
//!
//! Stage in the flow: what is stored. Invariant: the shape that is on users' disks; whatever the API server
//! has stored decodes. Not for deciding what a version is or when it goes: that is the plan's.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube_derive::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

mod register;
mod status;
mod template;

pub use register::{AdminService, Register};
pub use status::{
    DeletionPhase, DeletionStatus, KeptBecause, KeptReason, KnativeStatus, PendingInvocations,
    RestateDeploymentStatus, VersionState, VersionStatus,
};
pub use template::{PodTemplate, PodTemplateMetadata};

/// The wanted service.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "restate.dev",
    version = "v1beta1",
    kind = "RestateDeployment",
    plural = "restatedeployments",
    shortname = "rsd",
    namespaced,
    status = "RestateDeploymentStatus",
    derive = "PartialEq",
    schema = "manual",
    crates(kube_core = "::kube_core"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Up-To-Date", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.availableReplicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Deployment ID", type_ = "string", json_path = ".status.deploymentId", priority = 1),
    printcolumn(
        name = "Containers",
        type_ = "string",
        json_path = ".spec.template.spec.containers[*].name",
        priority = 1
    ),
    printcolumn(
        name = "Images",
        type_ = "string",
        json_path = ".spec.template.spec.containers[*].image",
        priority = 1
    ),
    printcolumn(name = "Selector", type_ = "string", json_path = ".status.labelSelector", priority = 1),
    printcolumn(name = "Deletion", type_ = "string", json_path = ".status.deletion.phase", priority = 1),
    printcolumn(
        name = "Pending Invocations",
        type_ = "integer",
        json_path = ".status.deletion.totalPendingInvocations",
        priority = 1
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.autoscaling) || !has(self.deploymentMode) || self.deploymentMode != 'knative'",
    "message": "autoscaling is for replicaset mode only: Knative scales by itself",
}]))]
pub struct RestateDeploymentSpec {
    /// How many pods the current version has, in replicaset mode.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// How many versions without work are kept, without pods, in replicaset mode.
    #[serde(default = "ten")]
    #[schemars(range(min = 0))]
    pub revision_history_limit: i32,
    /// Seconds for which a pod must be ready to count as available, in replicaset mode. 0 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,
    /// Which pods belong to this object. It must match the labels of the template. Needed in replicaset mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selector")]
    pub selector: Option<LabelSelector>,
    /// The pods.
    pub template: PodTemplate,
    /// Which Restate serves calls with these pods, and how.
    pub restate: RestateSettings,
    /// What runs the pods: `replicaset`, which is the default, or `knative`. It cannot be changed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<DeploymentMode>", extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "deploymentMode cannot be changed",
    }]))]
    pub deployment_mode: Option<DeploymentMode>,
    /// Settings of Knative mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knative: Option<KnativeSettings>,
    /// How versions that are being drained scale, in replicaset mode: the spec of a HorizontalPodAutoscaler
    /// without `scaleTargetRef`, one of which is made per draining version. The current version scales
    /// through the scale subresource instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub autoscaling: Option<Value>,
    /// A Service of a fixed name that always leads to the version that Restate routes new calls to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_service: Option<StableService>,
}

impl RestateDeploymentSpec {
    /// What runs the pods. Settings of Knative alone do not make it Knative.
    #[must_use]
    pub fn mode(&self) -> DeploymentMode {
        self.deployment_mode.unwrap_or_default()
    }
}

/// What runs the pods of a RestateDeployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentMode {
    #[default]
    /// A ReplicaSet and a Service per version.
    Replicaset,
    /// A Knative configuration and route per version.
    Knative,
}

/// Settings of Knative mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnativeSettings {
    /// What makes a version: as long as the tag stays, changes of the template go into the version that
    /// exists. Unless set, each change of the template makes a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub tag: Option<String>,
    /// Fewest pods. 0 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_scale: Option<i32>,
    /// Most pods. Unlimited unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_scale: Option<i32>,
    /// Requests that one pod is to handle at a time. 100 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub target: Option<i32>,
}

/// Which Restate serves calls with the pods, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateSettings {
    /// The Restate that each version is registered with. Exactly one of `cluster`, `cloud`, `service` and
    /// `url`.
    pub register: Register,
    /// Path under which the pods serve, as in `/v1`. The root unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_path: Option<String>,
    /// Whether Restate speaks HTTP/1.1 to the pods.
    #[serde(rename = "useHttp11", skip_serializing_if = "Option::is_none")]
    pub use_http11: Option<bool>,
    /// How Restate Cloud reaches the pods: `external`, which is the default, by the tunnel pods of the
    /// RestateCloudEnvironment; `in-process` by tunnels that the pods open themselves. Needs
    /// `register.cloud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<TunnelMode>")]
    pub tunnel_mode: Option<TunnelMode>,
    /// Seconds between the end of a version's work and its removal. 300 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub drain_delay_seconds: Option<i64>,
    /// Whether a version may be registered that changes a service in a way that breaks its callers. Off
    /// unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaking: Option<bool>,
    /// What a deletion of this object does about unfinished work: `drain`, which is the default, waits for
    /// it; `force` abandons it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<DeletePolicy>")]
    pub delete_policy: Option<DeletePolicy>,
    /// How `deletePolicy: drain` waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainSettings>,
}

/// How Restate Cloud reaches pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelMode {
    /// By the tunnel pods of the RestateCloudEnvironment.
    External,
    /// By tunnels that the pods open themselves.
    InProcess,
}

/// What a deletion does about unfinished work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeletePolicy {
    /// Waits for it.
    #[default]
    Drain,
    /// Abandons it.
    Force,
}

/// How a deletion waits for unfinished work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSettings {
    /// Seconds from the request to delete until the drain is overdue. 3600 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub timeout_seconds: Option<i64>,
    /// What happens when the drain is overdue: `hold`, which is the default, says so and goes on waiting;
    /// `force` abandons what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<OnTimeout>")]
    pub on_timeout: Option<OnTimeout>,
}

/// What happens when a drain is overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTimeout {
    /// It is said, and the wait goes on.
    #[default]
    Hold,
    /// What is left is abandoned.
    Force,
}

/// A Service of a fixed name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StableService {
    /// Name of the Service. An existing Service that is not ours is never taken over.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

impl JsonSchema for RestateDeployment {
    fn schema_name() -> Cow<'static, str> {
        "RestateDeployment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let description = "A RestateDeployment runs a service and keeps each of its versions for as long as Restate has \
                           work for it.";
        schema::object::<RestateDeploymentSpec, RestateDeploymentStatus>(generator, description, None)
    }
}

fn one() -> i32 {
    1
}

fn ten() -> i32 {
    10
}

#[cfg(test)]
mod tests;
