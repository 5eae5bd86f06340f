//! From what was said and what is wanted to what people read. Pure.
//!
//! Invariant: healthy means that everything was told and nothing was amiss; silence is never health.

use std::collections::{BTreeMap, BTreeSet};

use restate_apiservice::{
    ClusterConfiguration, Drift, HealthOfLog, HealthOfNode, HealthOfPartition, HealthOfRole,
    RestateClusterHealthStatus,
};
use restate_client::node::{ClusterState, Configuration, Log, Member, Mode, Replica, Report, Tail};

use super::wanted::Wanted;
use super::{Answer, Seen};

/// Partitions that nobody processes that are named.
const NAMED: usize = 5;

/// What is shown.
pub(super) fn status(wanted: &Wanted, seen: Seen) -> RestateClusterHealthStatus {
    let drift = drift(wanted, &seen);
    let Seen { observed_at, version, nodes, state, logs, configuration, members } = seen;
    let mut status = RestateClusterHealthStatus {
        observed_at,
        version,
        nodes: self::nodes(nodes, state.as_ref(), members.as_ref()),
        partitions: state.map(|state| partitions(&state.replicas)),
        logs: logs.map(|logs| logs.into_iter().map(log).collect()),
        configuration: configuration.map(configured),
        drift,
        ..RestateClusterHealthStatus::default()
    };
    status.problems = problems(&status);
    status.healthy = status.problems.is_empty();
    status
}

/// Those that were asked, then those that only the cluster knows. A node that was removed stays in the cluster's state
/// as dead for ever: it is none of the cluster's any more.
fn nodes(
    answers: Vec<Answer>,
    state: Option<&ClusterState>,
    members: Option<&BTreeSet<u32>>,
) -> Vec<HealthOfNode> {
    let mut nodes: Vec<HealthOfNode> = answers.into_iter().map(asked).collect();
    let is_removed = |member: &&Member| {
        member.generation.is_none() && members.is_some_and(|members| !members.contains(&member.id))
    };
    for member in state.into_iter().flat_map(|state| &state.nodes).filter(|member| !is_removed(member)) {
        let found = nodes.iter().position(|node| node.node_id == Some(member.id));
        let at = found.unwrap_or_else(|| {
            let state = if member.generation.is_some() { "Alive" } else { "Dead" };
            let node_id = Some(member.id);
            nodes.push(HealthOfNode { node_id, state: state.to_owned(), ..HealthOfNode::default() });
            nodes.len() - 1
        });
        nodes[at].generation = member.generation;
        nodes[at].last_heard = member.last_heard;
    }
    nodes
}

fn asked(answer: Answer) -> HealthOfNode {
    let Answer { address, report } = answer;
    match report {
        Ok(report) => HealthOfNode {
            address: Some(address),
            node_id: report.node_id,
            state: report.status.to_string(),
            roles: report.roles.iter().map(|name| role(name, &report)).collect(),
            uptime_seconds: Some(report.uptime_seconds),
            ..HealthOfNode::default()
        },
        Err(reason) => HealthOfNode {
            address: Some(address),
            state: "Silent".to_owned(),
            reason: Some(reason),
            ..HealthOfNode::default()
        },
    }
}

fn role(name: &str, report: &Report) -> HealthOfRole {
    let state = match name {
        "admin" => Some(report.admin.to_string()),
        "worker" => Some(report.worker.to_string()),
        "log-server" => Some(report.log_server.to_string()),
        "metadata-server" => Some(report.metadata.to_string()),
        _ => None,
    };
    HealthOfRole { name: name.to_owned(), state }
}

fn partitions(replicas: &[Replica]) -> Vec<HealthOfPartition> {
    let mut found: BTreeMap<u32, HealthOfPartition> = BTreeMap::new();
    for replica in replicas {
        let id = replica.partition;
        let partition = found.entry(id).or_insert_with(|| HealthOfPartition { id, ..Default::default() });
        partition.archived_lsn = partition.archived_lsn.max(replica.archived);
        match replica.mode {
            // After a change of leadership the old one may still think that it leads.
            Mode::Leader if partition.leader.is_none() || replica.epoch > partition.leader_epoch => {
                partition.leader = Some(replica.node);
                partition.leader_epoch = replica.epoch;
                partition.applied_lsn = replica.applied;
            }
            Mode::Leader | Mode::Follower => partition.followers.push(replica.node),
            Mode::Unknown => {}
        }
        partition.catching_up.extend(replica.catching_up.then_some(replica.node));
        partition.broken.extend(replica.broken.then_some(replica.node));
    }
    found.into_values().collect()
}

fn log((id, found): (u32, Option<Log>)) -> HealthOfLog {
    match found {
        Some(Log { id: _, tail, end }) => {
            let known = tail != Tail::Unknown;
            HealthOfLog { id, state: tail.to_string(), tail_lsn: known.then_some(end) }
        }
        None => HealthOfLog { id, state: "Silent".to_owned(), ..HealthOfLog::default() },
    }
}

fn configured(found: Configuration) -> ClusterConfiguration {
    let Configuration {
        partitions,
        partition_replication,
        log_provider,
        log_replication,
        target_nodeset_size: _,
    } = found;
    ClusterConfiguration { partitions, partition_replication, log_provider, log_replication }
}

fn drift(wanted: &Wanted, seen: &Seen) -> Vec<Drift> {
    let members = seen
        .state
        .as_ref()
        .map(|state| state.nodes.iter().filter(|member| member.generation.is_some()).count().to_string());
    let configuration = seen.configuration.as_ref();
    let pairs = [
        ("spec.compute.replicas", Some(wanted.nodes.to_string()), members),
        ("spec.compute.image", wanted.version.clone(), seen.version.clone()),
        (
            "spec.config default-num-partitions",
            wanted.partitions.map(|number| number.to_string()),
            configuration.map(|found| found.partitions.to_string()),
        ),
        (
            "spec.config default-replication",
            wanted.replication.clone(),
            configuration.and_then(|found| found.partition_replication.clone()),
        ),
        (
            "spec.config bifrost.default-provider",
            wanted.log_provider.clone(),
            configuration.map(|found| found.log_provider.clone()),
        ),
    ];
    let differs = |(field, wanted, found): (&str, Option<String>, Option<String>)| {
        let (wanted, found) = (wanted?, found?);
        let within = field == "spec.compute.image" && found.starts_with(&format!("{wanted}."));
        (wanted != found && !within).then(|| Drift { field: field.to_owned(), wanted, found })
    };
    pairs.into_iter().filter_map(differs).collect()
}

/// The worst first.
fn problems(status: &RestateClusterHealthStatus) -> Vec<String> {
    let mut problems = Vec::new();
    for node in status.nodes.iter().filter(|node| node.state != "Alive") {
        problems.push(format!("node {} is {}", name_of(node), node.state));
    }
    match &status.partitions {
        None => problems.push("no node tells the state of the cluster".to_owned()),
        Some(partitions) => {
            problems.extend(partitions.iter().flat_map(of_partition));
            problems.extend(unprocessed(partitions, status.configuration.as_ref()));
        }
    }
    for log in status.logs.iter().flatten().filter(|log| log.state != "Open") {
        problems.push(format!("log {} is {}", log.id, log.state));
    }
    if status.partitions.is_some() && status.logs.is_none() {
        problems.push("the logs did not answer in time".to_owned());
    }
    if status.version.is_none() {
        problems.push("the admin API does not answer".to_owned());
    }
    let drift = &status.drift;
    problems.extend(
        drift.iter().map(|drift| format!("{} wants {}, found {}", drift.field, drift.wanted, drift.found)),
    );
    problems
}

fn of_partition(partition: &HealthOfPartition) -> Vec<String> {
    let lacks = partition.leader.is_none().then(|| format!("partition {} has no leader", partition.id));
    let given_up =
        partition.broken.iter().map(|node| format!("node {node} has given up partition {}", partition.id));
    lacks.into_iter().chain(given_up).collect()
}

/// Partitions that the cluster is to have and of which no node says anything.
fn unprocessed(
    partitions: &[HealthOfPartition],
    configuration: Option<&ClusterConfiguration>,
) -> Option<String> {
    let Some(ClusterConfiguration { partitions: all, .. }) = configuration else {
        return Some("no node tells how many partitions there are".to_owned());
    };
    let processed: BTreeSet<u32> = partitions.iter().map(|partition| partition.id).collect();
    let lacking = (0..*all).filter(|id| !processed.contains(id));
    let more = lacking.clone().count().saturating_sub(NAMED);
    let mut named: Vec<String> = lacking.take(NAMED).map(|id| id.to_string()).collect();
    named.extend((more > 0).then(|| format!("{more} more")));
    let last = named.pop()?;
    Some(match named.as_slice() {
        [] => format!("partition {last} is processed by no node"),
        rest => format!("partitions {} and {last} are processed by no node", rest.join(", ")),
    })
}

fn name_of(node: &HealthOfNode) -> String {
    let host = node.address.as_deref().and_then(|address| address.strip_prefix("http://"));
    let short = host.and_then(|host| host.split('.').next()).map(str::to_owned);
    short.or_else(|| node.node_id.map(|id| id.to_string())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
