//! Decisions for `RestateCluster`: the objects of a cluster, who provisions it, and what its status says.
//!
//! `validate` turns the stored spec into a [`Valid`] one, `plan` compares it with what was [`Seen`], `status` says
//! where that leaves the cluster. Invariants: a stateful set's pod template changes only when the user changes a
//! field of it; storage never shrinks, and a set is replaced only with its pods left alone; provisioning needs
//! every node's word and a claim; a pod that serves is replaced only where the cluster can do without it.

mod config_map;
mod data_loss;
mod disruption_budget;
mod identity;
mod image;
mod location;
mod memory;
mod metadata;
mod namespace;
mod pending;
mod plan;
mod pod;
mod policies;
mod progress;
mod provisioning;
mod replication;
mod rollout;
mod seen;
mod service_account;
mod services;
mod settings;
mod shrink;
mod signing;
mod standing;
mod stateful_set;
mod status;
mod storage;
#[cfg(test)]
mod tests;
mod trusted_ca;
mod upgrade;
mod validate;
mod warnings;

pub use data_loss::asks_members;
pub use identity::{Foreign, Found, identities_to_ask};
pub use image::image_tag;
pub use location::{Located, NodeLabels, Topology, pods_to_ask};
pub use plan::{deletion, plan};
pub use progress::{Copies, Followed, asks_progress};
pub use provisioning::{
    CLAIM, Claimed, Numbers, Provisioning, asks_nodes, claim_and_provision, decide, on_request,
};
pub use replication::{Configuration, Configured, asks_configuration};
pub use rollout::{ROLL_UNCHECKED, asks_pods, asks_standing, nodes_to_ask, pod_selector};
pub use seen::{Children, Member, Node, NodeIdentity, Operator, Peer, Seen};
pub use services::{ADMIN_PORT, INGRESS_PORT, NODE_PORT};
pub use shrink::{
    Log, Metadata, Partition, Placed, REMOVED, REMOVING, Segment, Storage, Survey, Surveyed, Worker,
    asks_survey, has_metadata_servers, survey_addresses,
};
pub use signing::provider_class_ref;
pub use standing::{Health, Incarnation, NodeWord, Processor, Progress, Standing};
pub use status::{deleting, invalid, paused, status};
pub use storage::{REPLACED, classes_to_ask};
pub use upgrade::ALLOW_VERSION;
pub use validate::{Invalid, Said, Valid, validate};
pub use warnings::lacks_snapshot_store;

/// Name of the stateful set, the client service and the service account.
pub const NAME: &str = "restate";

/// Name of the headless service through which the nodes find each other.
pub const PEERS: &str = "restate-cluster";

/// gRPC addresses of all expected nodes, node 0 first: by pod name, as pods are published before they are ready.
pub fn node_addresses(cluster: &str, replicas: i32, dns_suffix: &str) -> Vec<String> {
    let node = |ordinal| format!("http://{NAME}-{ordinal}.{PEERS}.{cluster}.svc.{dns_suffix}:{NODE_PORT}");
    (0..replicas).map(node).collect()
}
