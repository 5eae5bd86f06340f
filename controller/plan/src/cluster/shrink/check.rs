//! Whether a cluster may become smaller, and go on with it: what stands against it, in words.
//!
//! Invariant: what cannot be told stands against it.

use std::collections::BTreeSet;

use restate_crd::condition::Reason;

use super::super::replication::{Replication, Scope};
use super::super::{Seen, Valid, status, warnings};
use super::survey::{Placed, Storage, Survey, Worker};

/// What stands against it: why, and the words.
pub(super) type Obstacle = (Reason, String);

/// The first thing that stands against removing the nodes from this ordinal up, if anything does.
pub(super) fn obstacle(valid: &Valid, seen: &Seen, survey: &Survey) -> Option<Obstacle> {
    if valid.replicas < 1 {
        return Some((Reason::ReplicationWouldNotHold, "no node would be left".to_owned()));
    }
    of_survey(survey)
        .or_else(|| of_rollout(valid, seen))
        .or_else(|| of_snapshots(valid))
        .or_else(|| of_nodes(valid, seen, survey))
        .or_else(|| of_replication(valid, survey))
}

fn of_survey(survey: &Survey) -> Option<Obstacle> {
    let local = survey.logs.iter().flat_map(|log| &log.segments).any(|segment| segment.nodes.is_none());
    let provider = &survey.configuration.log_provider;
    if local || provider != "replicated" {
        let message = format!("logs live on one node (provider {provider}) and cannot be moved off it");
        return Some((Reason::LogsAreLocal, message));
    }
    let partial = "the cluster does not tell of every partition and every log";
    (!survey.is_whole()).then(|| (Reason::RestateUnreachable, partial.to_owned()))
}

fn of_rollout(valid: &Valid, seen: &Seen) -> Option<Obstacle> {
    let message = "not every node is ready and runs the last change";
    (!status::is_rolled_out(valid, &seen.children)).then(|| (Reason::RolloutUnfinished, message.to_owned()))
}

fn of_snapshots(valid: &Valid) -> Option<Obstacle> {
    warnings::lacks_snapshot_store(valid).then(|| {
        let message = "spec.config has no worker.snapshots.destination: the logs' old segments could never be trimmed \
                       off the nodes";
        (Reason::NoSnapshotDestination, message.to_owned())
    })
}

/// Every node that should run must live; those that stay must be in full use.
fn of_nodes(valid: &Valid, seen: &Seen, survey: &Survey) -> Option<Obstacle> {
    let names = |nodes: Vec<&Placed>| nodes.iter().map(|node| node.title()).collect::<Vec<_>>().join(", ");
    let lost: Vec<_> = survey.nodes.iter().filter(|node| node.storage == Storage::Lost).collect();
    if !lost.is_empty() {
        return Some((Reason::DiskLost, format!("{} lost the disk", names(lost))));
    }
    let running = super::running(seen);
    let expected = 0..valid.replicas.max(running);
    let missing: Vec<_> =
        expected.filter(|ordinal| survey.of(|found| found == *ordinal).is_empty()).collect();
    if !missing.is_empty() {
        let missing: Vec<_> = missing.iter().map(|ordinal| format!("restate-{ordinal}")).collect();
        return Some((Reason::NodesSilent, format!("{} is no node of the cluster", missing.join(", "))));
    }
    let silent: Vec<_> = survey
        .of(|ordinal| ordinal < running)
        .into_iter()
        .filter(|node| !survey.alive.contains(&node.id))
        .collect();
    if !silent.is_empty() {
        return Some((Reason::NodesSilent, format!("the cluster does not hear of {}", names(silent))));
    }
    let idle: Vec<_> =
        survey.of(|ordinal| ordinal < valid.replicas).into_iter().filter(|node| !is_in_use(node)).collect();
    let message = |idle| format!("{} stays and is not in full use (read-write and active)", names(idle));
    (!idle.is_empty()).then(|| (Reason::NodesSilent, message(idle)))
}

fn is_in_use(node: &Placed) -> bool {
    node.storage == Storage::ReadWrite && node.worker == Worker::Active
}

/// The nodes that stay must be as many, and as far apart, as the copies.
fn of_replication(valid: &Valid, survey: &Survey) -> Option<Obstacle> {
    let stay = survey.of(|ordinal| ordinal < valid.replicas);
    let wanted = valid.replication.map(|copies| copies.to_string());
    let found = &survey.configuration;
    let parts = [
        ("the replication of logs is", found.log_replication.as_ref()),
        ("the replication of partitions is", found.partition_replication.as_ref()),
        ("spec.cluster.replication is", wanted.as_ref()),
    ];
    let too_few = |(what, text): (&str, Option<&String>)| {
        let text = text?;
        let Ok(replication) = text.parse::<Replication>() else {
            return Some(format!("{what} {text}, which cannot be read"));
        };
        let scopes = [Scope::Node, Scope::Zone, Scope::Region];
        let scope =
            scopes.into_iter().find(|scope| places(&stay, *scope) < usize::from(replication.at(*scope)))?;
        let left = places(&stay, scope);
        let plural = if left == 1 { "" } else { "s" };
        Some(format!("{what} {replication}, and {left} {scope}{plural} would be left"))
    };
    let message = parts.into_iter().find_map(too_few)?;
    Some((Reason::ReplicationWouldNotHold, message))
}

/// In how many places of this kind these nodes are.
fn places(nodes: &[&Placed], scope: Scope) -> usize {
    let region = |node: &&Placed| node.location.split('.').next().unwrap_or_default().to_owned();
    match scope {
        Scope::Node => nodes.len(),
        Scope::Zone => nodes.iter().map(|node| node.location.clone()).collect::<BTreeSet<_>>().len(),
        Scope::Region => nodes.iter().map(region).collect::<BTreeSet<_>>().len(),
    }
}
