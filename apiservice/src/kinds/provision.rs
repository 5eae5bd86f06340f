//! `RestateClusterProvision`: makes one cluster of the nodes of a `RestateCluster`, once.

use apiserver_kind::{Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Provisions the RestateCluster of the same name. Created, never stored: what was done stands in the answer's
/// status. `--dry-run=server` shows what would be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestateClusterProvision {
    /// The name is that of the RestateCluster.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// How to provision. Whatever is left out is as the server's own configuration says.
    #[serde(default)]
    pub spec: RestateClusterProvisionSpec,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateClusterProvisionStatus>,
}

/// How to provision a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterProvisionSpec {
    /// How many partitions. They cannot be changed afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub partitions: Option<u16>,
    /// On how many nodes logs and partitions are kept: a number, or `{zone: 2, node: 3}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<String>,
    /// Where logs are kept: `local` or `replicated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_provider: Option<String>,
}

/// What was done to provision a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterProvisionStatus {
    /// Whether the cluster is provisioned now. False after a dry run.
    pub provisioned: bool,
    /// The node that was asked.
    pub node: String,
    /// Every node that answered, and belonged to no cluster.
    pub nodes: Vec<String>,
    /// The configuration of the cluster, in Restate's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// What was done, or would be.
    pub message: String,
}

impl Kind for RestateClusterProvision {
    const GVK: Gvk = super::gvk("RestateClusterProvision");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::boolean("Provisioned", "Whether the cluster is provisioned now."),
        Column::text("Message", "What was done, or would be."),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let status = self.status.as_ref();
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(status.map(|status| status.provisioned)),
            Cell::from(status.map(|status| status.message.clone())),
        ]
    }
}

impl Resource for RestateClusterProvision {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "restateclusterprovisions",
        singular: "restateclusterprovision",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &[Verb::Create],
        selectable_fields: &[],
        subresources: &[],
    };
}
