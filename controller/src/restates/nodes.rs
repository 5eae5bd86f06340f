//! Where everything in a cluster is, and the calls by which its nodes change. Invariant: a survey is whole or none is
//! given; one call each, never repeated here.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use restate_client::{Node, node};
use restate_plan::cluster::{self, Configuration, Metadata, Placed, Storage, Survey, Surveyed, Worker};
use restate_plan::{Become, ChangeNodes, LeaveMetadata, NodeChange, Snapshot, TrimLog};

use super::{Error, Restates};

impl Restates {
    /// Where everything is, by the word of the first of these nodes that tells all of it.
    pub(crate) async fn survey(&self, nodes: &[String], has_metadata_servers: bool) -> Surveyed {
        let mut why = "there is no node to ask".to_owned();
        for address in nodes {
            match survey(address, has_metadata_servers).await {
                Ok(survey) => return Surveyed::Known(Box::new(survey)),
                Err(error) => why = error.to_string(),
            }
        }
        Surveyed::Unknown { why }
    }

    /// Changes nodes, all at once or none.
    pub(crate) async fn change_nodes(&self, wanted: &ChangeNodes) -> Result<(), Error> {
        let ChangeNodes { cluster: _, node, at, changes } = wanted;
        let changes: Vec<_> = changes.iter().map(change).collect();
        Node::new(node)?.change_nodes(*at, &changes).await?;
        Ok(())
    }

    /// Takes a node out of those that hold metadata.
    pub(crate) async fn leave_metadata(&self, wanted: &LeaveMetadata) -> Result<(), Error> {
        let LeaveMetadata { cluster: _, node, id, joined } = wanted;
        Ok(Node::new(node)?.leave_metadata(node::MetadataMember { id: *id, joined: *joined }).await?)
    }

    /// Lets a node hold metadata again.
    pub(crate) async fn join_metadata(&self, node: &str) -> Result<(), Error> {
        Ok(Node::new(node)?.join_metadata().await?)
    }

    /// Makes a snapshot. Restate goes on with one that takes longer than we wait: that is what was wanted.
    pub(crate) async fn make_snapshot(&self, wanted: &Snapshot) -> Result<(), Error> {
        let Snapshot { cluster, node, partition, covers } = wanted;
        match Node::new(node)?.create_snapshot(*partition, Some(*covers), false).await {
            Ok(made) => {
                tracing::info!(cluster, partition, snapshot = made.id, "made a snapshot");
                Ok(())
            }
            Err(node::Error::TimedOut { .. }) => {
                tracing::info!(cluster, partition, "a snapshot takes its time");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what a snapshot holds.
    pub(crate) async fn trim_log(&self, wanted: &TrimLog) -> Result<(), Error> {
        let TrimLog { cluster: _, node, log, up_to } = wanted;
        Ok(Node::new(node)?.trim_log(*log, *up_to).await?)
    }
}

/// The nodes' configuration comes first: what it says of nodes that are read-only holds for all that is read later.
async fn survey(address: &str, has_metadata_servers: bool) -> Result<Survey, node::Error> {
    let node = Node::new(address)?;
    let nodes = node.nodes().await?;
    let configuration = node.configuration().await?;
    let replicas =
        try_join_all((0..configuration.partitions).map(|partition| node.replicas(partition))).await?;
    let state = node.cluster_state().await?;
    let logs = node.logs().await?;
    let metadata =
        if has_metadata_servers { servers(node.metadata_servers().await?) } else { Metadata::Elsewhere };
    let living = state.nodes.iter().filter(|member| member.generation.is_some());
    Ok(Survey {
        version: nodes.version,
        nodes: nodes.nodes.into_iter().map(placed).collect(),
        alive: living.map(|member| member.id).collect(),
        partitions: replicas.into_iter().map(|found| partition(found, &state)).collect(),
        logs: logs.logs.into_iter().map(log).collect(),
        metadata,
        configuration: of_cluster(configuration),
    })
}

fn change(wanted: &NodeChange) -> node::Change {
    let NodeChange { id, name, to } = wanted;
    let to = match to {
        Become::ReadOnly => node::Become::Storage(node::StorageState::ReadOnly),
        Become::ReadWrite => node::Become::Storage(node::StorageState::ReadWrite),
        Become::Draining => node::Become::Worker(node::WorkerState::Draining),
        Become::Active => node::Become::Worker(node::WorkerState::Active),
        Become::Removed => node::Become::Removed,
    };
    node::Change { node: *id, name: name.clone(), to }
}

fn placed(found: node::Listed) -> Placed {
    let node::Listed { id, name, storage, worker, metadata, location, version: _ } = found;
    let storage = match storage {
        node::StorageState::ReadWrite => Storage::ReadWrite,
        node::StorageState::ReadOnly => Storage::ReadOnly,
        node::StorageState::DataLoss => Storage::Lost,
        node::StorageState::Provisioning | node::StorageState::Gone | node::StorageState::Disabled => {
            Storage::Out
        }
        node::StorageState::Other(_) => Storage::Unknown,
    };
    let worker = match worker {
        node::WorkerState::Active => Worker::Active,
        node::WorkerState::Draining => Worker::Draining,
        node::WorkerState::Provisioning | node::WorkerState::Disabled => Worker::Out,
        node::WorkerState::Other(_) => Worker::Unknown,
    };
    Placed { id, name, storage, worker, location, listed_for_metadata: metadata == "member" }
}

fn partition(found: node::Replicas, state: &node::ClusterState) -> cluster::Partition {
    let node::Replicas { partition: id, current, next, frozen } = found;
    let running = || state.replicas.iter().filter(|replica| replica.partition == id);
    let nodes: BTreeSet<_> = current
        .into_iter()
        .chain(next.into_iter().flatten())
        .chain(running().map(|replica| replica.node))
        .collect();
    let archived = running().filter_map(|replica| replica.archived).max();
    cluster::Partition { id, nodes, frozen, archived }
}

fn log(found: node::LogChain) -> cluster::Log {
    let node::LogChain { id, segments } = found;
    let segment = |found: node::Segment| {
        let node::Segment { from, held, copies: _, replication: _ } = found;
        let nodes = match held {
            node::Held::By(nodes) => Some(nodes.into_iter().collect()),
            node::Held::Nobody => Some(BTreeSet::new()),
            node::Held::Unnamed(_) => None,
        };
        cluster::Segment { from, nodes }
    };
    cluster::Log { id, segments: segments.into_iter().map(segment).collect() }
}

fn servers(found: node::MetadataServers) -> Metadata {
    let node::MetadataServers { version: _, leader, members } = found;
    Metadata::Servers {
        leader,
        members: members.into_iter().map(|member| (member.id, member.joined)).collect(),
    }
}

/// A node's configuration of the cluster as decisions know it.
pub(super) fn of_cluster(found: node::Configuration) -> Configuration {
    let node::Configuration {
        partitions,
        partition_replication,
        log_provider,
        log_replication,
        target_nodeset_size,
    } = found;
    Configuration { partitions, partition_replication, log_provider, log_replication, target_nodeset_size }
}
