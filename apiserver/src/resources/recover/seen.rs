//! What a cluster and each of its nodes say, for one request.
//!
//! Invariants: the nodes' configuration is read first, so whatever changes afterwards fails the compare-and-swap; a
//! node is known by its name and its id together; who does not answer so is silent, with the reason.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::{join_all, select_ok};
use restate_client::Node;
use restate_client::node::{Error, Listed, Logs, NodeStatus, Nodes, Report};
use restate_plan::cluster::NAME;

/// Nodes that are asked; no cluster has nearly as many.
const MOST: u32 = 1000;

/// Where nodes are, by ordinal: decided by the stored object alone.
pub(super) struct Reach<'a> {
    pub(super) replicas: u32,
    pub(super) address: &'a (dyn Fn(u32) -> String + Sync),
}

/// What was said.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) nodes: Nodes,
    pub(super) logs: Logs,
    /// Ids of those who hold the metadata; none where it lives elsewhere.
    pub(super) metadata: Vec<u32>,
    /// What each listed node says, by id.
    pub(super) answers: BTreeMap<u32, Result<Report, String>>,
}

impl Seen {
    /// Asks everybody; gives also the node that told of the whole, through which is written.
    pub(super) async fn gather(reach: &Reach<'_>) -> Result<(Node, Self), String> {
        let (teller, nodes) = telling(reach).await?;
        let whole = async { tokio::try_join!(teller.logs(), teller.cluster_health()) };
        let asked = nodes.nodes.iter().map(|node| answer(reach, node));
        let (whole, answers) = tokio::join!(whole, join_all(asked));
        let (logs, health) = whole.map_err(|error| error.to_string())?;
        let metadata = health.metadata_members;
        Ok((teller, Self { nodes, logs, metadata, answers: answers.into_iter().collect() }))
    }
}

async fn telling(reach: &Reach<'_>) -> Result<(Node, Nodes), String> {
    let tell = |ordinal| {
        let address = (reach.address)(ordinal);
        async move {
            let node = Node::new(&address)?;
            let nodes = node.nodes().await?;
            Ok::<_, Error>((node, nodes))
        }
        .boxed()
    };
    let asked: Vec<_> = (0..reach.replicas.min(MOST)).map(tell).collect();
    if asked.is_empty() {
        return Err("spec.compute.replicas is 0".to_owned());
    }
    select_ok(asked).await.map(|(told, _)| told).map_err(|error| error.to_string())
}

async fn answer(reach: &Reach<'_>, listed: &Listed) -> (u32, Result<Report, String>) {
    let said = match ordinal(&listed.name) {
        None => Err("its name is no pod's of this cluster".to_owned()),
        Some(ordinal) => {
            let address = (reach.address)(ordinal);
            let report = async { Node::new(&address)?.report().await };
            report.await.map_err(|error| error.to_string()).and_then(|report| itself(listed, report))
        }
    };
    (listed.id, said)
}

/// The pod's number.
pub(super) fn ordinal(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(NAME)?.strip_prefix('-')?;
    digits.parse::<u32>().ok().filter(|ordinal| *ordinal < MOST && ordinal.to_string() == digits)
}

/// Only the node itself speaks for it, and only while it serves.
pub(super) fn itself(listed: &Listed, report: Report) -> Result<Report, String> {
    match report.node_id {
        Some(id) if id != listed.id => Err(format!("another node answers there: N{id}")),
        _ if report.status != NodeStatus::Alive => Err(format!("it is {}", report.status)),
        Some(_) => Ok(report),
        None => Err("it does not say which node it is".to_owned()),
    }
}
