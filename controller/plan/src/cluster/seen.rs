//! What was seen of a cluster: its children, its nodes' own words, and who we are. Plain data, made by `gather`.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube_core::DynamicObject;

use super::{Configured, Followed, Foreign, Located, Standing, Surveyed};

/// Everything that a pass over one cluster looks at besides the object itself.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What exists of it.
    pub children: Children,
    /// What each expected node says, by ordinal; empty where nobody asked ([`super::asks_nodes`]).
    pub nodes: Vec<Node>,
    /// What the cluster's configuration is, where it was asked for ([`super::asks_configuration`]).
    pub configuration: Configured,
    /// How far logs and partitions have followed it, where that was asked for ([`super::asks_progress`]).
    pub followed: Followed,
    /// The nodes that the cluster has by its own word, where it was asked ([`super::asks_members`]).
    pub members: Option<Vec<Member>>,
    /// Where everything in the cluster is, where it was asked ([`super::asks_survey`]).
    pub survey: Surveyed,
    /// The pods, where they were asked for ([`super::asks_pods`]) and somebody could tell.
    pub pods: Option<Vec<Pod>>,
    /// Whether the cluster can do without a node, where it was asked for ([`super::asks_standing`]).
    pub standing: Standing,
    /// Where the pods are, where it was asked for ([`super::pods_to_ask`]).
    pub located: Vec<Located>,
    /// Objects that give the pods an identity, where they were asked for ([`super::identities_to_ask`]).
    pub identities: Vec<Foreign>,
    /// Names of the `RestateDeployment`s that register with this cluster, as `namespace/name`.
    pub users: Vec<String>,
    /// Who we are and where we run.
    pub operator: Operator,
}

/// Objects in the cluster's namespace that exist, whoever made them.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// The namespace of the cluster's name.
    pub namespace: Option<Namespace>,
    /// Service account `restate`.
    pub service_account: Option<ServiceAccount>,
    /// Config maps that carry our labels.
    pub config_maps: Vec<ConfigMap>,
    /// Services `restate` and `restate-cluster`.
    pub services: Vec<Service>,
    /// Stateful set `restate`.
    pub stateful_set: Option<StatefulSet>,
    /// Claims that carry our labels.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Whether storage classes let claims grow, of those that were asked ([`super::classes_to_ask`]).
    pub expandable: BTreeMap<String, bool>,
    /// Disruption budget `restate`.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// Network policies that carry our labels.
    pub policies: Vec<NetworkPolicy>,
    /// The secret provider class of the signing key, where that kind is installed.
    pub secret_provider_class: Option<DynamicObject>,
}

/// One expected node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its gRPC address.
    pub address: String,
    /// What it says of itself.
    pub identity: NodeIdentity,
}

/// A node that the cluster has, whether it runs or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u32,
    /// Its name, which is the pod's.
    pub name: String,
    /// Whether its disk was lost: it does not start then.
    pub lost: bool,
    /// Where it is, as `region.zone`; empty where it never said.
    pub location: String,
}

/// A node's own word on whether it belongs to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeIdentity {
    /// It does not answer, or not so that we understand: this is no word at all.
    Silent {
        /// Why, for people.
        why: String,
    },
    /// It runs and belongs to no cluster.
    Blank,
    /// It belongs to a cluster.
    Member,
}

/// Who we are and where we run.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// Our own namespace.
    pub namespace: String,
    /// Pods that may reach the admin and node ports.
    pub peers: Vec<Peer>,
    /// Suffix of the cluster's names, `cluster.local`.
    pub dns_suffix: String,
    /// Image of the init container that joins CA bundles; needs `sh`, `cat` and a CA bundle.
    pub ca_image: String,
    /// Who claims a provisioning: the pod's name.
    pub identity: String,
    /// Name of this EKS cluster, where pod identities can be associated.
    pub aws_cluster: Option<String>,
    /// Whether GCP workload identities can be bound.
    pub has_gcp_identities: bool,
    /// Whether network policies are ours to manage at all.
    pub manages_policies: bool,
    /// Whether secret provider classes are ours to manage at all.
    pub manages_provider_classes: bool,
}

/// A label by which our own pods are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Label's key.
    pub label: String,
    /// Label's value.
    pub value: String,
}
