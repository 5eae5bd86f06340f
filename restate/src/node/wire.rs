//! The few messages and fields of the node's gRPC that we need. Field numbers are facts of its services
//! `restate.node_ctl_svc.NodeCtlSvc` and `restate.cluster_ctrl.ClusterCtrlSvc`; unknown fields are skipped.

use super::{ClusterHealth, Ident as IdentModel, MetadataStatus, NodeStatus, Provision as Wish};

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct NodeId {
    #[prost(uint32, tag = "1")]
    id: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Ident {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) node_id: Option<NodeId>,
    #[prost(string, tag = "3")]
    pub(super) cluster_name: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) roles: Vec<String>,
    #[prost(int32, tag = "9")]
    pub(super) metadata_server_status: i32,
    #[prost(uint32, tag = "10")]
    pub(super) nodes_config_version: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Replication {
    #[prost(string, tag = "1")]
    property: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LogProvider {
    #[prost(string, tag = "1")]
    provider: String,
    #[prost(message, optional, tag = "2")]
    replication: Option<Replication>,
    #[prost(uint32, tag = "3")]
    target_nodeset_size: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Configuration {
    #[prost(uint32, tag = "1")]
    num_partitions: u32,
    #[prost(message, optional, tag = "2")]
    partition_replication: Option<Replication>,
    #[prost(message, optional, tag = "3")]
    log_provider: Option<LogProvider>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Provision {
    #[prost(bool, tag = "1")]
    pub(super) dry_run: bool,
    #[prost(uint32, optional, tag = "2")]
    pub(super) num_partitions: Option<u32>,
    #[prost(message, optional, tag = "3")]
    pub(super) partition_replication: Option<Replication>,
    #[prost(string, optional, tag = "4")]
    pub(super) log_provider: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) log_replication: Option<Replication>,
    #[prost(uint32, optional, tag = "6")]
    pub(super) target_nodeset_size: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Provisioned {
    #[prost(message, optional, tag = "2")]
    pub(super) configuration: Option<Configuration>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Configured {
    #[prost(message, optional, tag = "1")]
    pub(super) configuration: Option<Configuration>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetadataHealth {
    #[prost(message, repeated, tag = "1")]
    members: Vec<NodeId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Health {
    #[prost(string, tag = "1")]
    cluster_name: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<MetadataHealth>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Encoded {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) encoded: Vec<u8>,
}

impl Ident {
    pub(super) fn into_model(self) -> IdentModel {
        let Self { status, node_id, cluster_name, roles, metadata_server_status, nodes_config_version } =
            self;
        IdentModel {
            cluster_name,
            node_id: node_id.map(|node| node.id),
            status: node_status(status),
            metadata: metadata_status(metadata_server_status),
            nodes_config_version,
            roles,
        }
    }
}

pub(super) fn node_status(number: i32) -> NodeStatus {
    match number {
        1 => NodeStatus::Alive,
        2 => NodeStatus::StartingUp,
        3 => NodeStatus::ShuttingDown,
        _ => NodeStatus::Unknown,
    }
}

pub(super) fn metadata_status(number: i32) -> MetadataStatus {
    match number {
        1 => MetadataStatus::StartingUp,
        2 => MetadataStatus::AwaitingProvisioning,
        3 => MetadataStatus::Member,
        4 => MetadataStatus::Standby,
        _ => MetadataStatus::Unknown,
    }
}

impl Replication {
    fn of(property: Option<&String>) -> Option<Self> {
        property.cloned().map(|property| Self { property })
    }
}

impl Provision {
    pub(super) fn of(wish: &Wish) -> Self {
        let Wish {
            dry_run,
            partitions,
            partition_replication,
            log_provider,
            log_replication,
            target_nodeset_size,
        } = wish;
        Self {
            dry_run: *dry_run,
            num_partitions: *partitions,
            partition_replication: Replication::of(partition_replication.as_ref()),
            log_provider: log_provider.clone(),
            log_replication: Replication::of(log_replication.as_ref()),
            target_nodeset_size: *target_nodeset_size,
        }
    }
}

impl Configuration {
    pub(super) fn of(wanted: &super::Configuration) -> Self {
        let super::Configuration {
            partitions,
            partition_replication,
            log_provider,
            log_replication,
            target_nodeset_size,
        } = wanted;
        Self {
            num_partitions: *partitions,
            partition_replication: Replication::of(partition_replication.as_ref()),
            log_provider: Some(LogProvider {
                provider: log_provider.clone(),
                replication: Replication::of(log_replication.as_ref()),
                target_nodeset_size: *target_nodeset_size,
            }),
        }
    }

    pub(super) fn into_model(self) -> super::Configuration {
        let logs = self.log_provider.unwrap_or_default();
        super::Configuration {
            partitions: self.num_partitions,
            partition_replication: self.partition_replication.map(|replication| replication.property),
            log_provider: logs.provider,
            log_replication: logs.replication.map(|replication| replication.property),
            target_nodeset_size: logs.target_nodeset_size,
        }
    }
}

impl Health {
    pub(super) fn into_model(self) -> ClusterHealth {
        let members = self.metadata.map(|metadata| metadata.members).unwrap_or_default();
        ClusterHealth {
            cluster_name: self.cluster_name,
            metadata_members: members.into_iter().map(|node| node.id).collect(),
        }
    }
}
