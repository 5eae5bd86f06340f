//! RestateCluster: the nodes of one Restate cluster, in a namespace of the same name.
//!
//! Stage in the flow: what is stored. Invariant: the shape that is on users' disks; a field that is not set
//! means what it meant before it existed. Not for deciding whether values make sense together: that is the
//! plan's.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::api::{
    core::v1::{
        Affinity, Container, EnvVar, Lifecycle, LocalObjectReference, PodDNSConfig, ResourceRequirements,
        Toleration, TopologySpreadConstraint, Volume, VolumeMount,
    },
    networking::v1::{NetworkPolicyPeer, NetworkPolicyPort},
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_derive::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{condition::Conditions, schema};

/// The name becomes the name of a namespace.
const NAME_LENGTH: u32 = 63;

/// The wanted Restate cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "restate.dev",
    version = "v1",
    kind = "RestateCluster",
    plural = "restateclusters",
    shortname = "rsc",
    status = "RestateClusterStatus",
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
pub struct RestateClusterSpec {
    /// Name by which the nodes know their cluster (`RESTATE_CLUSTER_NAME`). The object's name unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// How the cluster comes into being.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterSettings>,
    /// The pods.
    pub compute: Compute,
    /// The volumes.
    pub storage: Storage,
    /// Who may reach whom, and with which identity and keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// Configuration file of the server, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Whether a deletion is held while RestateDeployments still register with this cluster. Off unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
}

/// How a cluster comes into being.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSettings {
    /// Whether the controller provisions the cluster once its nodes run. `provisioning` takes precedence.
    #[serde(default)]
    pub auto_provision: bool,
    /// Who provisions the cluster: `Auto` leaves it to the controller, `Manual` to whoever asks for it, by
    /// `restatectl` or through the API. Unless set, `autoProvision` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<Provisioning>")]
    pub provisioning: Option<Provisioning>,
    /// How many nodes hold a copy of each log and each partition: a number, or how far the copies are apart, as
    /// `{zone: 2}` or `{zone: 2, node: 3}`. The cluster is provisioned with it (with fewer nodes, with as many as
    /// there are), and it is raised once enough nodes run, in as many zones; it is never lowered. Unless set, the
    /// server's `default-replication` counts when the cluster is provisioned, and people keep it afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::replication")]
    pub replication: Option<IntOrString>,
    /// Whether each node tells Restate where it is: `TopologyLabels` takes region and zone from the labels
    /// `topology.kubernetes.io/region` and `topology.kubernetes.io/zone` of its pod, and no node starts before its
    /// pod has both. Nothing is told unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<NodeLocation>")]
    pub node_location: Option<NodeLocation>,
}

/// Where a node's location comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeLocation {
    /// The labels of its pod that say in which region and zone it runs.
    TopologyLabels,
}

impl ClusterSettings {
    /// Who provisions the cluster, all fields considered.
    #[must_use]
    pub fn provisioned_by(&self) -> Provisioning {
        let otherwise = if self.auto_provision { Provisioning::Auto } else { Provisioning::Manual };
        self.provisioning.unwrap_or(otherwise)
    }
}

/// Who provisions a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Provisioning {
    /// The controller, once every node answers and none belongs to a cluster.
    Auto,
    /// Whoever asks for it.
    Manual,
}

/// The pods of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// How many nodes. 1 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Image of the Restate server.
    pub image: String,
    /// When the image is pulled: `Always`, `IfNotPresent` or `Never`. Kubernetes' own default, by tag, unless
    /// set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets with which the image is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<LocalObjectReference>>>")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
    /// Entry point of the Restate container in place of the image's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Arguments of the Restate container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Environment variables of the Restate container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env")]
    pub env: Option<Vec<EnvVar>>,
    /// Processor and memory of the Restate container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<ResourceRequirements>>")]
    pub resources: Option<ResourceRequirements>,
    /// Hooks after the start and before the stop of the Restate container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Lifecycle>>")]
    pub lifecycle: Option<Lifecycle>,
    /// Seconds that a pod gets to stop. 60 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// Further containers of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<Container>>>")]
    pub sidecars: Option<Vec<Container>>,
    /// Further volumes of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<Volume>>>")]
    pub extra_volumes: Option<Vec<Volume>>,
    /// Further mounts of the Restate container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<VolumeMount>>>")]
    pub extra_volume_mounts: Option<Vec<VolumeMount>>,
    /// Further labels of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Further annotations of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// How the pods look up names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_policy: Option<String>,
    /// Name servers and search paths of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<PodDNSConfig>>")]
    pub dns_config: Option<PodDNSConfig>,
    /// Labels that a node must have to run the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::node_selector")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<Toleration>>>")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Where the pods run, relative to nodes and other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Affinity>>")]
    pub affinity: Option<Affinity>,
    /// How the pods spread over zones, nodes and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<TopologySpreadConstraint>>>")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

/// The volumes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.storageRequestBytes >= oldSelf.storageRequestBytes",
        "message": "storageRequestBytes may grow and never shrinks",
    },
    {
        "rule": "!has(self.storageClassName) || !has(oldSelf.storageClassName) || \
                 self.storageClassName == oldSelf.storageClassName",
        "message": "storageClassName cannot be changed",
    },
]))]
pub struct Storage {
    /// Size of each node's volume in bytes. It may grow and never shrinks.
    #[schemars(range(min = 1))]
    pub storage_request_bytes: i64,
    /// Storage class of the volumes. It cannot be changed afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// Volume attributes class of the volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_attributes_class_name: Option<String>,
    /// What becomes of the volumes when the RestateCluster is deleted: `Delete` removes them with the
    /// namespace, `Retain` keeps both. `Delete` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::choice::<DeletionPolicy>")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What becomes of volumes whose cluster is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They go.
    #[default]
    Delete,
    /// They stay.
    Retain,
}

/// Who may reach whom, and with which identity and keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Whether the cluster goes without network policies. They are on unless this is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_network_policies: Option<bool>,
    /// Whether the controller may reach the admin API. RestateDeployments need it. On unless set to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_operator_access_to_admin: Option<bool>,
    /// Who else may reach the ports of the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_peers: Option<NetworkPeers>,
    /// What else the nodes may reach, beside the public internet, name servers and pods labelled
    /// `allow.restate.dev/<cluster>: "true"`. A single empty rule allows everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_egress_rules: Option<Vec<NetworkEgressRule>>,
    /// Annotations of the service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_annotations: Option<BTreeMap<String, String>>,
    /// Annotations of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_annotations: Option<BTreeMap<String, String>>,
    /// IAM role that the nodes get through EKS Pod Identity. Needs the ACK controller for EKS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_pod_identity_association_role_arn: Option<String>,
    /// Security groups that the pods are put into. Needs EKS Security Groups for Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_pod_security_groups: Option<Vec<String>>,
    /// Private key with which the cluster signs its requests to services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_signing_private_key: Option<RequestSigningPrivateKey>,
    /// Certificate authorities that the nodes trust beside those of their image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_ca_certs: Option<Vec<TrustedCaCert>>,
}

/// Who may reach the ports of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkPeers {
    /// Who may reach the ingress (8080).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<NetworkPolicyPeer>>>")]
    pub ingress: Option<Vec<NetworkPolicyPeer>>,
    /// Who may reach the admin API (9070).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<NetworkPolicyPeer>>>")]
    pub admin: Option<Vec<NetworkPolicyPeer>>,
    /// Who may reach the node port (5122): other nodes, whoever provisions, and the collectors of metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<NetworkPolicyPeer>>>")]
    pub node: Option<Vec<NetworkPolicyPeer>>,
    /// The former name of `node`. It counts only where `node` is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<NetworkPolicyPeer>>>")]
    pub metrics: Option<Vec<NetworkPolicyPeer>>,
}

impl NetworkPeers {
    /// Who may reach the node port, under either name.
    #[must_use]
    pub fn of_node_port(&self) -> Option<&[NetworkPolicyPeer]> {
        self.node.as_deref().or(self.metrics.as_deref())
    }
}

/// One thing that the nodes may reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkEgressRule {
    /// On which ports. On all unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<NetworkPolicyPort>>>")]
    pub ports: Option<Vec<NetworkPolicyPort>>,
    /// Whom. Everybody unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes::<Option<Vec<NetworkPolicyPeer>>>")]
    pub to: Option<Vec<NetworkPolicyPeer>>,
}

/// Private key with which a cluster signs its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestSigningPrivateKey {
    /// Version of the signing scheme. `v1` is the one that exists.
    pub version: String,
    /// A Secret in the cluster's namespace that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SigningKeySecret>,
    /// A provider of the CSI secrets store that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_provider: Option<SigningKeyProvider>,
}

/// A Secret that holds a signing key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeySecret {
    /// Name of the Secret.
    pub secret_name: String,
    /// Key within the Secret.
    pub key: String,
}

/// A provider of the CSI secrets store that holds a signing key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyProvider {
    /// Name of the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Path of the key's file within the mounted volume.
    pub path: String,
    /// Parameters that the provider understands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BTreeMap<String, String>>,
}

/// A certificate authority in a Secret of the cluster's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedCaCert {
    /// Name of the Secret.
    pub secret_name: String,
    /// Key within the Secret; its value is PEM.
    pub key: String,
}

/// What is known about a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterStatus {
    /// Whether the cluster has been provisioned. It never goes back to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
    /// Generation that the controller has acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds, since when and why.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
}

impl JsonSchema for RestateCluster {
    fn schema_name() -> Cow<'static, str> {
        "RestateCluster".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let description = "A RestateCluster is a cluster of Restate nodes in a namespace of the same name.";
        schema::object::<RestateClusterSpec, RestateClusterStatus>(generator, description, Some(NAME_LENGTH))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::unset(json!({}), Provisioning::Manual)]
    #[case::automatic(json!({"autoProvision": true}), Provisioning::Auto)]
    #[case::ours(json!({"provisioning": "Auto"}), Provisioning::Auto)]
    #[case::both(json!({"autoProvision": true, "provisioning": "Manual"}), Provisioning::Manual)]
    fn provisioning_means_what_it_meant(#[case] settings: Value, #[case] expected: Provisioning) {
        let settings: ClusterSettings = serde_json::from_value(settings).unwrap();
        assert_eq!(settings.provisioned_by(), expected);
    }

    #[rstest]
    #[case::neither(json!({}), None)]
    #[case::former(json!({"metrics": [{"podSelector": {}}]}), Some(1))]
    #[case::both(json!({"metrics": [{"podSelector": {}}], "node": []}), Some(0))]
    fn the_node_port_has_two_names(#[case] peers: Value, #[case] expected: Option<usize>) {
        let peers: NetworkPeers = serde_json::from_value(peers).unwrap();
        assert_eq!(peers.of_node_port().map(<[NetworkPolicyPeer]>::len), expected);
    }
}
