//! RestateCloudEnvironment: a connection of this Kubernetes cluster to an environment of Restate Cloud.
//!
//! Stage in the flow: what is stored. Invariant: the shape that is on users' disks. Not for reaching
//! anything.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::api::core::v1::{Affinity, EnvVar, PodDNSConfig, ResourceRequirements, Toleration};
use kube_derive::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{condition::Conditions, schema};

/// The names of the tunnel's objects are made from the environment's: they need room for a suffix.
const NAME_LENGTH: u32 = 56;

/// The wanted connection.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "restate.dev",
    version = "v1beta1",
    kind = "RestateCloudEnvironment",
    plural = "restatecloudenvironments",
    shortname = "rce",
    status = "RestateCloudEnvironmentStatus",
    derive = "PartialEq",
    schema = "manual",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RestateCloudEnvironmentSpec {
    /// Id of the environment; it starts with `env_`.
    pub environment_id: String,
    /// Region of the environment in its short form, as in `us` or `eu`.
    pub region: String,
    /// Public key with which the environment signs its requests; it starts with `publickeyv1_` and is no
    /// secret.
    pub signing_public_key: String,
    /// Where the API key of the environment is kept.
    pub authentication: Authentication,
    /// Pods that hold the tunnel through which Restate Cloud reaches services in this Kubernetes cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
}

/// Where the API key of an environment is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authentication {
    /// A Secret in the namespace in which the controller runs.
    pub secret: SecretKey,
}

/// One key of a Secret in the namespace in which the controller runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key within the Secret.
    pub key: String,
}

/// The pods of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// How many pods hold the tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Whether whoever reaches the tunnel's pods reaches the environment's ingress (8080) and admin API
    /// (9070) through them, without authentication: close access to the pods then. Off unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_proxy: Option<bool>,
    /// Image of the tunnel client. The controller has a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When the image is pulled: `Always`, `IfNotPresent` or `Never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Environment variables of the tunnel client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env")]
    pub env: Option<Vec<EnvVar>>,
    /// Processor and memory of a tunnel pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<ResourceRequirements>>")]
    pub resources: Option<ResourceRequirements>,
    /// How the pods look up names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_policy: Option<String>,
    /// Name servers and search paths of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<PodDNSConfig>>")]
    pub dns_config: Option<PodDNSConfig>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<Toleration>>>")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Labels that a node must have to run the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::node_selector")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Where the pods run, relative to nodes and other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Affinity>>")]
    pub affinity: Option<Affinity>,
}

/// What is known about the connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateCloudEnvironmentStatus {
    /// Generation that the controller has acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds, since when and why.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
}

impl JsonSchema for RestateCloudEnvironment {
    fn schema_name() -> Cow<'static, str> {
        "RestateCloudEnvironment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let description =
            "A RestateCloudEnvironment connects this Kubernetes cluster to an environment of Restate Cloud.";
        schema::object::<RestateCloudEnvironmentSpec, RestateCloudEnvironmentStatus>(
            generator,
            description,
            Some(NAME_LENGTH),
        )
    }
}
