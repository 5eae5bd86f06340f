//! `restateclusters/health`: what the nodes of a cluster say of it, asked when somebody looks.
//!
//! Invariant: every question has a deadline; who does not answer is shown as silent, and what nobody could tell is
//! absent. Nothing here is decided on: the controller asks for itself.

mod judge;
mod wanted;

use std::collections::BTreeSet;
use std::time::Duration;

use apiserver_machinery::resource::{Call, Given, ReadableSubresource};
use apiserver_machinery::status::Status;
use futures::future::join_all;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_apiservice::RestateClusterHealth;
use restate_client::node::{ClusterState, Configuration, Log, Report};
use restate_client::{Admin, Node, Transport};
use restate_crd::RestateCluster;
use restate_model::EndpointKey;
use restate_plan::cluster::node_addresses;

use crate::targets::{Targets, polled};
use crate::turnstile::Turnstiles;
use crate::world::World;
use wanted::Wanted;

/// Nodes that are asked for what each of them knows of the whole.
const ASKED_FOR_THE_WHOLE: usize = 2;
/// Each log costs a question to those who keep it.
const LOGS_AT_A_TIME: usize = 16;
/// For all logs together: some may have nobody who answers, and there may be thousands.
pub(super) const LOGS_DEADLINE: Duration = Duration::from_secs(10);

/// The health.
pub(crate) struct Health {
    pub(crate) world: World,
    pub(crate) transport: Transport,
    pub(crate) turnstiles: Turnstiles,
}

/// What was said.
#[derive(Clone, Debug, Default)]
struct Seen {
    observed_at: Option<Timestamp>,
    version: Option<String>,
    nodes: Vec<Answer>,
    state: Option<ClusterState>,
    logs: Option<Vec<(u32, Option<Log>)>>,
    configuration: Option<Configuration>,
    /// Ids of the nodes that the cluster has; none where nobody told.
    members: Option<BTreeSet<u32>>,
}

/// What one node said, or why it said nothing.
#[derive(Clone, Debug)]
struct Answer {
    address: String,
    report: Result<Report, String>,
}

impl ReadableSubresource for Health {
    type Object = RestateClusterHealth;

    async fn get(&self, call: &Call) -> Result<Given<Self::Object>, Status> {
        let stored = self.world.cluster(call.name()).ok_or_else(|| call.not_found())?;
        let _turn = self.turnstiles.turn(&self.key(call.name())).await?;
        let seen = self.seen(call.name(), &stored).await;
        let status = judge::status(&Wanted::of(&stored), seen);
        let metadata = ObjectMeta { name: stored.metadata.name.clone(), ..ObjectMeta::default() };
        Ok(Given::One(Box::new(RestateClusterHealth { metadata, status })))
    }
}

impl Health {
    /// The Restate whose turn it takes: many logs and nodes are asked at each look (T5).
    fn key(&self, name: &str) -> EndpointKey {
        let endpoint = self.world.admin_api(name).and_then(Result::ok);
        endpoint.map_or_else(|| name.into(), |endpoint| polled(&endpoint).key)
    }

    async fn seen(&self, name: &str, stored: &RestateCluster) -> Seen {
        let observed_at = Some(Timestamp::now());
        let replicas = stored.spec.compute.replicas.unwrap_or(1);
        let addresses = node_addresses(name, replicas, self.world.dns_suffix());
        let (version, nodes) = tokio::join!(self.version(name), join_all(addresses.into_iter().map(report)));
        let seen = Seen { observed_at, version, nodes, ..Seen::default() };
        let answering = seen.nodes.iter().filter(|answer| answer.report.is_ok());
        for answer in answering.take(ASKED_FOR_THE_WHOLE) {
            if let Some(Whole { state, configuration, logs, members }) = whole(&answer.address).await {
                return Seen { state: Some(state), logs, configuration, members, ..seen };
            }
        }
        seen
    }

    async fn version(&self, name: &str) -> Option<String> {
        let endpoint = self.world.admin_api(name)?.ok()?;
        let version = Admin::new(&self.transport, &endpoint).version().await;
        version.map(|version| version.version).ok()
    }
}

async fn report(address: String) -> Answer {
    let report = async { Node::new(&address)?.report().await };
    let report = report.await.map_err(|error| error.to_string());
    Answer { address, report }
}

/// What one node tells of all.
struct Whole {
    state: ClusterState,
    configuration: Option<Configuration>,
    logs: Option<Vec<(u32, Option<Log>)>>,
    members: Option<BTreeSet<u32>>,
}

/// What a node knows of the whole cluster; `None` where it does not tell.
async fn whole(address: &str) -> Option<Whole> {
    let node = Node::new(address).ok()?;
    let state = node.cluster_state().await.ok()?;
    let ids: BTreeSet<u32> = state.replicas.iter().map(|replica| replica.partition).collect();
    let one = |id| {
        let node = node.clone();
        async move { (id, node.log(id).await.ok()) }
    };
    let logs = stream::iter(ids).map(one).buffered(LOGS_AT_A_TIME).collect();
    let logs = tokio::time::timeout(LOGS_DEADLINE, logs);
    let (configuration, members, logs) = tokio::join!(node.configuration(), node.members(), logs);
    let members = members.ok().map(|members| members.into_iter().map(|member| member.id).collect());
    Some(Whole { state, configuration: configuration.ok(), logs: logs.ok(), members })
}
