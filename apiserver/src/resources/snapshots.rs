//! `restateclusters/snapshots` and `restateclustersnapshots`: has a cluster write snapshots of its partitions, now.
//!
//! Invariants: a partition is asked for only where the cluster says that somebody processes it; no partition is asked
//! for twice; the whole has a deadline within the life of a request, and what it cut is told apart from what failed.

mod told;

use std::time::Duration;

use apiserver_machinery::resource::{Call, Creatable, CreatableSubresource};
use apiserver_machinery::status::{FieldError, Named, Status};
use apiserver_machinery::write::CreateOptions;
use futures::future::select_ok;
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use restate_apiservice::{GROUP, RestateClusterSnapshot, RestateClusterSnapshotSpec};
use restate_client::Node;
use restate_client::node::{ClusterState, Error};
use restate_plan::cluster::{self, Valid};
use tokio::time::Instant;

use crate::turnstile::Turnstiles;
use crate::world::World;
use told::{Answer, Before};

/// For all snapshots together: a request lives for a minute (T12), and the answer has to be written.
const DEADLINE: Duration = Duration::from_secs(50);
/// Snapshots that are made at once: each reads a disk and fills a network.
const AT_A_TIME: usize = 4;
/// Requests for one cluster at once.
const CALLERS: usize = 1;
/// Partitions in one request.
const MOST: usize = 1024;

/// Who has snapshots made.
#[derive(Clone)]
pub(crate) struct Archivist {
    world: World,
    turnstiles: Turnstiles,
}

/// `restateclustersnapshots`.
pub(crate) struct Snapshots(pub(crate) Archivist);

/// `restateclusters/snapshots`.
pub(crate) struct SnapshotsOf(pub(crate) Archivist);

/// The cluster, by the word of one of its nodes.
struct Cluster {
    node: Node,
    state: ClusterState,
    partitions: u32,
}

impl Creatable for Snapshots {
    type Object = RestateClusterSnapshot;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.0.create(call, &name, object, options).await
    }
}

impl CreatableSubresource for SnapshotsOf {
    type Object = RestateClusterSnapshot;

    async fn create(
        &self,
        call: &Call,
        object: Self::Object,
        options: &CreateOptions,
    ) -> Result<Self::Object, Status> {
        self.0.create(call, call.name(), object, options).await
    }
}

impl Archivist {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), turnstiles: Turnstiles::of(CALLERS) }
    }

    async fn create(
        &self,
        call: &Call,
        name: &str,
        object: RestateClusterSnapshot,
        options: &CreateOptions,
    ) -> Result<RestateClusterSnapshot, Status> {
        refuse_invalid(name, &object.spec)?;
        let named = Named { group: "restate.dev", resource: "restateclusters", name };
        let stored = self.world.cluster(name).ok_or_else(|| Status::not_found(named))?;
        let valid = cluster::validate(&stored).map_err(|error| Status::conflict(named, error))?;
        must_have_a_store(named, &valid)?;
        call.annotate("control.restate.dev/cluster", name);
        let _turn = self.turnstiles.turn(&name.into()).await?;
        let ends = Instant::now() + DEADLINE;
        let observed_at = Some(Timestamp::now());
        let addresses = cluster::node_addresses(&valid.name, valid.replicas, self.world.dns_suffix());
        let cluster = telling(name, addresses).await?;
        let asked = told::asked_for(&object.spec, cluster.partitions, &cluster.state.replicas)
            .map_err(|error| Status::invalid(GROUP, "RestateClusterSnapshot", name, &[error]))?;
        let answers = if options.dry_run {
            asked.into_iter().map(|before| (before, Answer::DryRun)).collect()
        } else {
            tracing::info!(
                user = call.user.name,
                cluster = name,
                partitions = asked.len(),
                "snapshots on request"
            );
            make(&cluster.node, asked, ends).await
        };
        told::refuse_where_none_was_made(named, &answers)?;
        let status = told::status(answers, observed_at, options.dry_run);
        if !status.complete && !options.dry_run {
            call.warnings.add(status.message.clone());
        }
        Ok(RestateClusterSnapshot { status: Some(status), ..object })
    }
}

fn refuse_invalid(name: &str, spec: &RestateClusterSnapshotSpec) -> Result<(), Status> {
    let given = spec.partitions.as_ref().map(Vec::len);
    let why = match given {
        Some(0) => "names no partition; leave it out for all of them".to_owned(),
        Some(many) if many > MOST => format!("must be no more than {MOST} in one request"),
        Some(_) | None => return Ok(()),
    };
    let error = FieldError::invalid("spec.partitions", given.unwrap_or_default(), &why);
    Err(Status::invalid(GROUP, "RestateClusterSnapshot", name, &[error]))
}

/// What the stored object says for certain needs no asking, and a dry run says the same as what would follow.
fn must_have_a_store(named: Named<'_>, valid: &Valid) -> Result<(), Status> {
    if !cluster::lacks_snapshot_store(valid) {
        return Ok(());
    }
    let why = "spec.config names no worker.snapshots.destination: there is no place for snapshots";
    Err(Status::conflict(named, why))
}

/// The first node that tells the state of its cluster.
async fn telling(name: &str, addresses: Vec<String>) -> Result<Cluster, Status> {
    if addresses.is_empty() {
        return Err(Status::unavailable(format!("{name} has no nodes: spec.compute.replicas is 0")));
    }
    let tell = |address: String| {
        async move {
            let node = Node::new(&address)?;
            let (state, configuration) = tokio::try_join!(node.cluster_state(), node.configuration())?;
            Ok::<_, Error>(Cluster { node, state, partitions: configuration.partitions })
        }
        .boxed()
    };
    match select_ok(addresses.into_iter().map(tell)).await {
        Ok((cluster, _)) => Ok(cluster),
        Err(error) => Err(Status::unavailable(format!("no node of {name} tells its partitions: {error}"))),
    }
}

async fn make(node: &Node, asked: Vec<Before>, ends: Instant) -> Vec<(Before, Answer)> {
    let one = |before: Before| async move {
        let left = ends.saturating_duration_since(Instant::now());
        let answer = if !before.processed {
            Answer::Unprocessed
        } else if left.is_zero() {
            Answer::NotAsked
        } else {
            Answer::of(node.create_snapshot_within(before.id, left).await)
        };
        (before, answer)
    };
    stream::iter(asked).map(one).buffered(AT_A_TIME).collect().await
}

#[cfg(test)]
mod tests;
