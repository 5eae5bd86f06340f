//! The few messages and fields of the node's gRPC that we need. Field numbers are facts of its services
//! `restate.node_ctl_svc.NodeCtlSvc`, `restate.cluster_ctrl.ClusterCtrlSvc`, `restate.metadata_proxy_svc.MetadataProxySvc`
//! and `restate.metadata_server_svc.MetadataServerSvc`; unknown fields are skipped.

use std::collections::BTreeMap;

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

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Key {
    #[prost(string, tag = "1")]
    pub(super) key: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Version {
    #[prost(uint32, tag = "1")]
    value: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Versioned {
    #[prost(message, optional, tag = "1")]
    version: Option<Version>,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stored {
    #[prost(message, optional, tag = "1")]
    value: Option<Versioned>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Precondition {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(message, optional, tag = "2")]
    version: Option<Version>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Put {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Versioned>,
    #[prost(message, optional, tag = "3")]
    precondition: Option<Precondition>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetadataConfiguration {
    #[prost(message, optional, tag = "1")]
    version: Option<Version>,
    #[prost(btree_map = "uint32, int64", tag = "2")]
    members: BTreeMap<u32, i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetadataServers {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(message, optional, tag = "2")]
    configuration: Option<MetadataConfiguration>,
    #[prost(uint32, optional, tag = "3")]
    leader: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Leave {
    #[prost(uint32, tag = "1")]
    pub(super) node: u32,
    #[prost(int64, optional, tag = "2")]
    pub(super) joined: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct CreateSnapshot {
    #[prost(uint32, tag = "1")]
    pub(super) partition: u32,
    #[prost(uint64, optional, tag = "2")]
    pub(super) min_target_lsn: Option<u64>,
    #[prost(bool, tag = "3")]
    pub(super) trim_log: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotMade {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint32, tag = "2")]
    pub(super) log: u32,
    #[prost(uint64, tag = "3")]
    pub(super) covers: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Trim {
    #[prost(uint32, tag = "1")]
    pub(super) log: u32,
    #[prost(uint64, tag = "2")]
    pub(super) up_to: u64,
}

/// A write that is accepted only while the version is the one that was read.
const MATCHES_VERSION: i32 = 3;

impl Put {
    pub(super) fn of(key: &str, version: u32, bytes: Vec<u8>, at: u32) -> Self {
        let number = |value| Some(Version { value });
        Self {
            key: key.to_owned(),
            value: Some(Versioned { version: number(version), bytes }),
            precondition: Some(Precondition { kind: MATCHES_VERSION, version: number(at) }),
        }
    }
}

impl Stored {
    pub(super) fn into_model(self) -> Option<super::life::Stored> {
        let Versioned { version, bytes } = self.value?;
        Some(super::life::Stored { version: version?.value, bytes })
    }
}

impl MetadataServers {
    /// Only a member's word counts.
    pub(super) fn into_model(self) -> Option<super::MetadataServers> {
        let MetadataServers { status, configuration, leader } = self;
        let MetadataConfiguration { version, members } = configuration?;
        let members = members.into_iter().map(|(id, joined)| super::MetadataMember { id, joined });
        (metadata_status(status) == MetadataStatus::Member).then(|| super::MetadataServers {
            version: version.map_or(0, |version| version.value),
            leader: leader.filter(|leader| *leader > 0),
            members: members.collect(),
        })
    }
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
