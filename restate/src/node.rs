//! gRPC of one node: who it is, whether it belongs to a cluster, and provisioning.
//!
//! Stage in the flow: the controller and `restateclusters/provision` ask every expected node before they provision
//! through node 0. Invariant: nothing is retried; a node that does not answer in time is an error, never "not
//! provisioned".
//!
//! Facts, seen on 1.7.12:
//! - Before provisioning a node answers `GetIdent` with metadata `AwaitingProvisioning`, no id and version 0; it gives
//!   up after five minutes and exits with 1. Its admin API does not listen until the cluster is provisioned.
//! - At once after provisioning the metadata server is `Member`, the version 1; the node's id follows a moment later.
//! - A second provisioning is refused with `ALREADY_EXISTS`; a dry run is *not*: it answers as if there were no
//!   cluster, so whoever shows a dry run asks for the membership first.
//! - Replication comes back as `{node: 1}` where `1` was asked for.

mod chains;
mod cluster;
mod listed;
mod wire;

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

pub use chains::Chain;
pub use cluster::{ClusterState, Log, Member, Mode, Replica, Report, RoleStatus, Tail};
pub use listed::{Listed, StorageState};

/// A node answers these from memory.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Writes the first metadata. A lease must outlive this (architecture, "What must never happen", 6).
pub const PROVISION_DEADLINE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// Answers are a few kilobytes.
const LIMIT: usize = 1024 * 1024;

const IDENT: &str = "/restate.node_ctl_svc.NodeCtlSvc/GetIdent";
const PROVISION: &str = "/restate.node_ctl_svc.NodeCtlSvc/ProvisionCluster";
const HEALTH: &str = "/restate.node_ctl_svc.NodeCtlSvc/ClusterHealth";
const METADATA: &str = "/restate.node_ctl_svc.NodeCtlSvc/GetMetadata";
const CONFIGURE: &str = "/restate.cluster_ctrl.ClusterCtrlSvc/SetClusterConfiguration";
const CONFIGURATION: &str = "/restate.cluster_ctrl.ClusterCtrlSvc/GetClusterConfiguration";

/// One node. Cheap to clone; it connects at the first call.
#[derive(Clone, Debug)]
pub struct Node {
    address: String,
    channel: Channel,
}

/// Why a node has no answer.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum Error {
    /// Not an address.
    #[error("{address} is no address of a node")]
    Address {
        /// What was given.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// No connection, or it broke.
    #[error("node {address} cannot be reached")]
    Unreachable {
        /// Which node.
        address: String,
        /// What was seen.
        source: Box<Status>,
    },
    /// Not answered in time.
    #[error("node {address} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// Which node.
        address: String,
        /// The deadline.
        after: Duration,
    },
    /// The cluster exists already.
    #[error("the cluster is provisioned already")]
    AlreadyProvisioned {
        /// Restate's words.
        source: Box<Status>,
    },
    /// The node said no.
    #[error("node {address} refused: {}", .source.message())]
    Refused {
        /// Which node.
        address: String,
        /// Code and words.
        source: Box<Status>,
    },
    /// The answer is none that we can read.
    #[error("the answer of node {address} cannot be read")]
    Unreadable {
        /// Which node.
        address: String,
        /// Why.
        source: Box<listed::Error>,
    },
    /// The answer lacks what must be in it.
    #[error("the answer of node {address} lacks {what}")]
    Lacks {
        /// Which node.
        address: String,
        /// What is missing.
        what: &'static str,
    },
}

/// Who a node says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// Name of the cluster that it is configured for; says nothing of membership.
    pub cluster_name: String,
    /// Its id in the cluster; `None` before it joined one.
    pub node_id: Option<u32>,
    /// State of the node.
    pub status: NodeStatus,
    /// State of its metadata server.
    pub metadata: MetadataStatus,
    /// Version of the nodes' configuration that it has; 0: none.
    pub nodes_config_version: u32,
    /// What it is configured to do, as Restate spells it.
    pub roles: Vec<String>,
}

/// A node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum NodeStatus {
    /// Serves.
    Alive,
    /// Starts, or waits to be provisioned.
    StartingUp,
    /// Ends.
    ShuttingDown,
    /// Not said, or not known to us.
    Unknown,
}

/// A metadata server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum MetadataStatus {
    /// Starts.
    StartingUp,
    /// Has no cluster and waits for one.
    AwaitingProvisioning,
    /// Votes.
    Member,
    /// Belongs to a cluster without a vote.
    Standby,
    /// Not said, not known to us, or the node has no such role.
    Unknown,
}

/// Whether a node belongs to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It does.
    Member,
    /// It says itself that it waits for one.
    None,
    /// It does not say: too early to provision.
    Unclear,
}

impl Ident {
    /// Whether this node belongs to a cluster. Any sign of one counts; only the node's own word counts for none.
    pub fn membership(&self) -> Membership {
        let joined = self.node_id.is_some() || self.nodes_config_version > 0;
        match self.metadata {
            MetadataStatus::Member | MetadataStatus::Standby => Membership::Member,
            _ if joined => Membership::Member,
            MetadataStatus::AwaitingProvisioning => Membership::None,
            MetadataStatus::StartingUp | MetadataStatus::Unknown => Membership::Unclear,
        }
    }
}

/// How to provision. What is `None` is the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provision {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Number of partitions.
    pub partitions: Option<u32>,
    /// How partitions are replicated, as `2` or `{zone: 2}`.
    pub partition_replication: Option<String>,
    /// `local` or `replicated`.
    pub log_provider: Option<String>,
    /// How logs are replicated.
    pub log_replication: Option<String>,
    /// How many nodes hold one log; 0: Restate decides.
    pub target_nodeset_size: Option<u32>,
}

/// A cluster's configuration: as it is, or as a dry run would make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Number of partitions.
    pub partitions: u32,
    /// How partitions are replicated.
    pub partition_replication: Option<String>,
    /// Where logs live.
    pub log_provider: String,
    /// How logs are replicated.
    pub log_replication: Option<String>,
    /// How many nodes hold one log; 0: Restate decides.
    pub target_nodeset_size: u32,
}

/// What a node says of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterHealth {
    /// The cluster's name.
    pub cluster_name: String,
    /// Ids of the nodes that hold the metadata; empty where metadata lives elsewhere.
    pub metadata_members: Vec<u32>,
}

impl Node {
    /// The node at this address, as `http://restate-0.restate:5122`.
    pub fn new(address: &str) -> Result<Self, Error> {
        let fail = |source| Error::Address { address: address.to_owned(), source };
        let endpoint = tonic::transport::Endpoint::new(address.to_owned()).map_err(fail)?;
        let channel = endpoint.connect_timeout(CONNECT).connect_lazy();
        Ok(Self { address: address.to_owned(), channel })
    }

    /// The address given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Who it is.
    pub async fn ident(&self) -> Result<Ident, Error> {
        let ident: wire::Ident = self.call(IDENT, wire::Empty {}, READ_DEADLINE).await?;
        Ok(ident.into_model())
    }

    /// Provisions the cluster, or says what that would do. To be sent once, to node 0.
    pub async fn provision(&self, wish: &Provision) -> Result<Configuration, Error> {
        let answer: wire::Provisioned =
            self.call(PROVISION, wire::Provision::of(wish), PROVISION_DEADLINE).await?;
        self.configured(answer.configuration)
    }

    /// All nodes that the cluster has, as this node knows them: also those that do not run.
    pub async fn members(&self) -> Result<Vec<Listed>, Error> {
        let asked = wire::Metadata { kind: listed::KIND };
        let answer: wire::Encoded = self.call(METADATA, asked, READ_DEADLINE).await?;
        let unread = |source| Error::Unreadable { address: self.address.clone(), source: Box::new(source) };
        listed::read(&answer.encoded).map_err(unread)
    }

    /// All logs of the cluster, as this node knows them.
    pub async fn chains(&self) -> Result<Vec<Chain>, Error> {
        let asked = wire::Metadata { kind: chains::KIND };
        let answer: wire::Encoded = self.call(METADATA, asked, READ_DEADLINE).await?;
        let unread = |source| Error::Unreadable { address: self.address.clone(), source: Box::new(source) };
        chains::read(&answer.encoded).map_err(unread)
    }

    /// What the node knows of its cluster.
    pub async fn cluster_health(&self) -> Result<ClusterHealth, Error> {
        let health: wire::Health = self.call(HEALTH, wire::Empty {}, READ_DEADLINE).await?;
        Ok(health.into_model())
    }

    /// The cluster's configuration now. The node must have the admin role.
    pub async fn configuration(&self) -> Result<Configuration, Error> {
        let answer: wire::Configured = self.call(CONFIGURATION, wire::Empty {}, READ_DEADLINE).await?;
        self.configured(answer.configuration)
    }

    /// Changes the cluster's configuration; logs and partitions follow by themselves. The node must have the admin
    /// role.
    pub async fn configure(&self, wanted: &Configuration) -> Result<(), Error> {
        let wanted = wire::Configured { configuration: Some(wire::Configuration::of(wanted)) };
        let wire::Empty {} = self.call(CONFIGURE, wanted, READ_DEADLINE).await?;
        Ok(())
    }

    fn configured(&self, configuration: Option<wire::Configuration>) -> Result<Configuration, Error> {
        let lacks = || Error::Lacks { address: self.address.clone(), what: "the cluster's configuration" };
        configuration.map(wire::Configuration::into_model).ok_or_else(lacks)
    }

    async fn call<Q, A>(&self, path: &'static str, question: Q, deadline: Duration) -> Result<A, Error>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(LIMIT);
        let exchange = async {
            client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            client.unary(Request::new(question), PathAndQuery::from_static(path), codec).await
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(status, deadline)),
            Err(_) => Err(Error::TimedOut { address: self.address.clone(), after: deadline }),
        }
    }

    fn failed(&self, status: Status, after: Duration) -> Error {
        let address = self.address.clone();
        match status.code() {
            Code::AlreadyExists => Error::AlreadyProvisioned { source: Box::new(status) },
            Code::DeadlineExceeded | Code::Cancelled => Error::TimedOut { address, after },
            Code::Unavailable | Code::Unknown => Error::Unreachable { address, source: Box::new(status) },
            _ => Error::Refused { address, source: Box::new(status) },
        }
    }
}

#[cfg(test)]
mod tests;
