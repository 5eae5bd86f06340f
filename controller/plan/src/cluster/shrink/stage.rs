//! Which stage a shrinking is in, by what is seen, and the steps of that stage.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube_core::ResourceExt;
use restate_crd::condition::{ConditionStatus, Reason};

use super::super::{NAME, Seen, Valid, node_addresses};
use super::survey::{Metadata, Placed, Storage, Survey, Worker};
use super::{Shrinking, check, note, removing_from, running, volumes};
use crate::{Become, ChangeNodes, LeaveMetadata, NodeChange, ObjectRef, Snapshot, Step, TrimLog, Uid};

/// How many logs a pass deals with: a snapshot may take some seconds.
const AT_ONCE: usize = 8;

/// Everything that a stage looks at.
struct World<'a> {
    valid: &'a Valid,
    seen: &'a Seen,
    survey: &'a Survey,
    /// How many pods the stateful set makes.
    running: i32,
    /// From which ordinal up nodes are being removed, as noted.
    from: Option<i32>,
    /// The nodes that go.
    going: Vec<&'a Placed>,
    ids: BTreeSet<u32>,
}

/// Where it stands.
pub(super) fn decide(valid: &Valid, seen: &Seen, survey: &Survey) -> Shrinking {
    let going = survey.of(|ordinal| ordinal >= valid.replicas);
    let ids = going.iter().map(|node| node.id).collect();
    let (running, from) = (running(seen), removing_from(valid));
    let world = World { valid, seen, survey, running, from, going, ids };
    world.bringing_back().or_else(|| world.after_removal()).unwrap_or_else(|| world.removal())
}

impl World<'_> {
    /// Nodes that were being removed and are wanted again.
    fn bringing_back(&self) -> Option<Shrinking> {
        let from = self.from?;
        let wanted = self.valid.replicas;
        let back = self.survey.of(|ordinal| ordinal >= from && ordinal < wanted);
        // Nothing is given to a node that does not live yet.
        let alive = |node: &&&Placed| self.survey.alive.contains(&node.id);
        let changes: Vec<_> = back.iter().filter(alive).flat_map(|node| back_in_use(node)).collect();
        let drained = back.iter().any(|node| !back_in_use(node).is_empty());
        let standby: Vec<_> = back.iter().filter(|node| self.is_standby(node)).collect();
        let stopped = back.iter().any(|node| node.ordinal().is_some_and(|ordinal| ordinal >= self.running));
        if !drained && standby.is_empty() && !stopped {
            return None;
        }
        let joining = standby.iter().copied().filter(|node| self.survey.alive.contains(&node.id));
        let joins = joining
            .filter_map(|node| self.address(node))
            .map(|node| Step::Aside(Box::new(Step::JoinMetadata { cluster: self.valid.name.clone(), node })));
        let steps = self.change(changes).into_iter().chain(joins).collect();
        let message = format!("{wanted} nodes are wanted again: {} come back", titles(&back));
        Some(under_way(Reason::NodesReturning, message, steps))
    }

    /// Volumes that removed nodes left; then there is nothing more to be remembered.
    fn after_removal(&self) -> Option<Shrinking> {
        let from = self.from?;
        let claims = volumes::left_over(self.valid, self.seen, self.survey, from);
        if !claims.is_empty() {
            let names: Vec<_> = claims.iter().map(|claim| claim.name_any()).collect();
            let message = format!("the nodes are removed; {} are dealt with", names.join(", "));
            let steps = volumes::steps(self.valid, &claims);
            return Some(under_way(Reason::ReleasingVolumes, message, steps));
        }
        let done = self.going.is_empty() && self.valid.replicas >= self.running;
        done.then(|| {
            let message = format!("{} nodes are left", self.valid.replicas.min(self.running));
            under_way(Reason::ReleasingVolumes, message, vec![note(self.valid, None)])
        })
    }

    /// The stages of removing what goes.
    fn removal(&self) -> Shrinking {
        if let Some((reason, why)) = check::obstacle(self.valid, self.seen, self.survey) {
            return self.held(reason, &why);
        }
        self.draining()
            .or_else(|| self.partitions())
            .or_else(|| self.logs())
            .or_else(|| self.metadata())
            .or_else(|| self.stopping())
            .unwrap_or_else(|| self.removing())
    }

    fn held(&self, reason: Reason, why: &str) -> Shrinking {
        let message = format!("{} nodes are wanted and {} run: {why}", self.valid.replicas, self.running);
        let status = if self.from.is_some() { ConditionStatus::True } else { ConditionStatus::False };
        Shrinking { status, reason, message, steps: Vec::new() }
    }

    /// Restate is told that nothing new goes to these nodes, and that partitions leave them.
    fn draining(&self) -> Option<Shrinking> {
        let unclear: Vec<_> = self.going.iter().copied().filter(|node| is_unclear(node)).collect();
        if !unclear.is_empty() {
            let why = format!("{} is in a state that is not known here", titles(&unclear));
            return Some(self.held(Reason::RestateUnreachable, &why));
        }
        let changes: Vec<_> = self.going.iter().flat_map(|node| out_of_use(node)).collect();
        let noted = self.from == Some(self.valid.replicas);
        if noted && changes.is_empty() {
            return None;
        }
        let note = (!noted).then(|| note(self.valid, Some(self.valid.replicas)));
        let message = format!("{} take nothing new, and partitions leave them", titles(&self.going));
        let steps = note.into_iter().chain(self.change(changes)).collect();
        Some(under_way(Reason::NodesDraining, message, steps))
    }

    fn partitions(&self) -> Option<Shrinking> {
        let named = self.survey.partitions_of(&self.ids);
        if named.is_empty() {
            return None;
        }
        let frozen: Vec<_> = named
            .iter()
            .filter(|partition| partition.frozen)
            .map(|partition| partition.id.to_string())
            .collect();
        let mut message = format!(
            "{} of {} partitions are still on {}",
            named.len(),
            self.survey.partitions.len(),
            titles(&self.going)
        );
        if !frozen.is_empty() {
            message =
                format!("{message}; the placement of {} is frozen, so they stay there", frozen.join(", "));
        }
        Some(under_way(Reason::AwaitingPartitions, message, Vec::new()))
    }

    /// First the newest segment must be elsewhere; then a snapshot must hold what the older ones hold; then they are
    /// trimmed away.
    fn logs(&self) -> Option<Shrinking> {
        let named = self.survey.logs_of(&self.ids);
        if named.is_empty() {
            return None;
        }
        let (of, on) = (self.survey.logs.len(), titles(&self.going));
        let open = named.iter().filter(|(_, next)| next.is_none()).count();
        let old =
            named.iter().filter_map(|(log, next)| self.trimmed(log.id, (*next)?)).take(AT_ONCE).collect();
        if open > 0 {
            let message = format!("{open} of {of} logs still write to {on}");
            return Some(under_way(Reason::AwaitingLogs, message, old));
        }
        let message = format!("{} of {of} logs have old segments on {on}, which are trimmed", named.len());
        Some(under_way(Reason::TrimmingLogs, message, old))
    }

    /// The next step towards a log without its segments before this number.
    fn trimmed(&self, log: u32, next: u64) -> Option<Step> {
        let partition = self.survey.partitions.iter().find(|partition| partition.id == log)?;
        let (cluster, node) = (self.valid.name.clone(), self.entrance()?);
        let needed = next.checked_sub(1)?;
        let step = match partition.archived.filter(|archived| *archived >= needed) {
            Some(up_to) => Step::TrimLog(TrimLog { cluster, node, log, up_to }),
            None => Step::Snapshot(Snapshot { cluster, node, partition: log, covers: needed }),
        };
        Some(Step::Aside(Box::new(step)))
    }

    /// One by one: their quorum changes by one at a time.
    fn metadata(&self) -> Option<Shrinking> {
        let members = self.survey.metadata_of(&self.ids);
        let Some((id, joined)) = members.iter().find(|(id, _)| !self.leads(*id)).or_else(|| members.first())
        else {
            return self.listed_for_metadata();
        };
        let message = format!("{} of {} still hold metadata", members.len(), titles(&self.going));
        let cluster = self.valid.name.clone();
        let leave = |node| Step::LeaveMetadata(LeaveMetadata { cluster, node, id: *id, joined: *joined });
        Some(under_way(Reason::LeavingMetadata, message, self.leader().map(leave).into_iter().collect()))
    }

    /// Those that have left and are still listed: it passes.
    fn listed_for_metadata(&self) -> Option<Shrinking> {
        let has_servers = matches!(self.survey.metadata, Metadata::Servers { .. });
        let listed: Vec<_> =
            self.going.iter().copied().filter(|node| has_servers && node.listed_for_metadata).collect();
        let message = || format!("{} left those that hold metadata and are still listed", titles(&listed));
        (!listed.is_empty()).then(|| under_way(Reason::LeavingMetadata, message(), Vec::new()))
    }

    fn leads(&self, id: u32) -> bool {
        match &self.survey.metadata {
            Metadata::Elsewhere => false,
            Metadata::Servers { leader, members: _ } => *leader == Some(id),
        }
    }

    /// Their pods end; then Restate must have noticed.
    fn stopping(&self) -> Option<Shrinking> {
        let wanted = self.valid.replicas;
        let message = format!("{} hold nothing any more and are stopped", titles(&self.going));
        let found = self.seen.children.stateful_set.as_ref()?;
        if self.running > wanted {
            let object = ObjectRef::of::<StatefulSet>(Some(&self.valid.name), NAME);
            let stop = found.uid().map(|uid| Step::Stop { object, uid: Uid(uid), replicas: wanted });
            return Some(under_way(Reason::StoppingNodes, message, stop.into_iter().collect()));
        }
        let pods = found.status.as_ref().map_or(i32::MAX, |status| status.replicas);
        let lives = self.going.iter().any(|node| self.survey.alive.contains(&node.id));
        (pods > wanted || lives).then(|| under_way(Reason::StoppingNodes, message, Vec::new()))
    }

    /// They are no nodes of the cluster any more.
    fn removing(&self) -> Shrinking {
        let changes: Vec<_> = self.going.iter().map(|node| change(node, Become::Removed)).collect();
        let message = format!("{} run no more and are removed from the cluster", titles(&self.going));
        let steps = self.change(changes).into_iter().collect();
        under_way(Reason::RemovingNodes, message, steps)
    }

    fn change(&self, changes: Vec<NodeChange>) -> Option<Step> {
        let (cluster, node) = (self.valid.name.clone(), self.entrance()?);
        let change = ChangeNodes { cluster, node, at: self.survey.version, changes };
        (!change.changes.is_empty()).then_some(Step::ChangeNodes(change))
    }

    fn is_standby(&self, node: &Placed) -> bool {
        match &self.survey.metadata {
            Metadata::Elsewhere => false,
            Metadata::Servers { leader: _, members } => !members.iter().any(|(id, _)| *id == node.id),
        }
    }

    fn leader(&self) -> Option<String> {
        let Metadata::Servers { leader: Some(leader), members: _ } = &self.survey.metadata else {
            return None;
        };
        self.address(self.survey.nodes.iter().find(|node| node.id == *leader)?)
    }

    fn address(&self, node: &Placed) -> Option<String> {
        let ordinal = node.ordinal().filter(|ordinal| *ordinal < self.running)?;
        node_addresses(&self.valid.name, ordinal + 1, &self.seen.operator.dns_suffix).pop()
    }

    /// Node 0, which always stays.
    fn entrance(&self) -> Option<String> {
        node_addresses(&self.valid.name, 1, &self.seen.operator.dns_suffix).pop()
    }
}

fn under_way(reason: Reason, message: String, steps: Vec<Step>) -> Shrinking {
    Shrinking { status: ConditionStatus::True, reason, message, steps }
}

fn titles(nodes: &[&Placed]) -> String {
    nodes.iter().map(|node| node.title()).collect::<Vec<_>>().join(", ")
}

fn change(node: &Placed, to: Become) -> NodeChange {
    NodeChange { id: node.id, name: node.name.clone(), to }
}

fn is_unclear(node: &Placed) -> bool {
    node.storage == Storage::Unknown || node.worker == Worker::Unknown
}

fn out_of_use(node: &Placed) -> Vec<NodeChange> {
    let storage = (node.storage == Storage::ReadWrite).then(|| change(node, Become::ReadOnly));
    let worker = (node.worker == Worker::Active).then(|| change(node, Become::Draining));
    storage.into_iter().chain(worker).collect()
}

fn back_in_use(node: &Placed) -> Vec<NodeChange> {
    let storage = (node.storage == Storage::ReadOnly).then(|| change(node, Become::ReadWrite));
    let worker = (node.worker == Worker::Draining).then(|| change(node, Become::Active));
    storage.into_iter().chain(worker).collect()
}
