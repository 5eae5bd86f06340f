//! The messages behind [`super`]: the fields that are shown. Field numbers are facts of `restate.cluster_ctrl` and
//! `restate.node_ctl_svc`; unknown fields are skipped.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{ClusterState, Log, Member, Mode, Replica, Report as ReportModel, RoleStatus, Tail};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Report {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(message, optional, tag = "2")]
    node_id: Option<NodeId>,
    #[prost(string, repeated, tag = "4")]
    roles: Vec<String>,
    #[prost(uint64, tag = "5")]
    age_s: u64,
    #[prost(int32, tag = "6")]
    admin_status: i32,
    #[prost(int32, tag = "7")]
    worker_status: i32,
    #[prost(int32, tag = "8")]
    log_server_status: i32,
    #[prost(int32, tag = "9")]
    metadata_server_status: i32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct NodeId {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint32, tag = "2")]
    generation: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Number {
    #[prost(uint64, tag = "1")]
    value: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Moment {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StateAnswer {
    #[prost(message, optional, tag = "1")]
    state: Option<State>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct State {
    #[prost(btree_map = "uint32, message", tag = "4")]
    nodes: BTreeMap<u32, NodeState>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeState {
    #[prost(message, optional, tag = "1")]
    alive: Option<Alive>,
    #[prost(message, optional, tag = "2")]
    dead: Option<Dead>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Alive {
    #[prost(message, optional, tag = "1")]
    id: Option<NodeId>,
    #[prost(message, optional, tag = "2")]
    last_heartbeat_at: Option<Moment>,
    #[prost(btree_map = "uint32, message", tag = "3")]
    partitions: BTreeMap<u32, Partition>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Dead {
    #[prost(message, optional, tag = "1")]
    last_seen_alive: Option<Moment>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Partition {
    #[prost(int32, tag = "3")]
    effective_mode: i32,
    #[prost(message, optional, tag = "4")]
    leader_epoch: Option<Number>,
    #[prost(message, optional, tag = "6")]
    applied: Option<Number>,
    #[prost(int32, tag = "9")]
    replay_status: i32,
    #[prost(message, optional, tag = "11")]
    target: Option<Number>,
    #[prost(message, optional, tag = "12")]
    archived: Option<Number>,
    #[prost(int32, tag = "18")]
    broken_reason: i32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LogQuestion {
    #[prost(uint32, tag = "1")]
    pub(super) log_id: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LogAnswer {
    #[prost(int32, tag = "3")]
    tail_state: i32,
    #[prost(uint64, tag = "4")]
    tail_lsn: u64,
}

impl Report {
    pub(super) fn into_model(self) -> ReportModel {
        ReportModel {
            node_id: self.node_id.map(|node| node.id),
            generation: self.node_id.map(|node| node.generation),
            status: super::super::wire::node_status(self.status),
            roles: self.roles,
            admin: role(self.admin_status),
            worker: role(self.worker_status),
            log_server: log_server(self.log_server_status),
            metadata: super::super::wire::metadata_status(self.metadata_server_status),
            uptime_seconds: self.age_s,
        }
    }
}

fn role(number: i32) -> RoleStatus {
    match number {
        1 => RoleStatus::Ready,
        2 => RoleStatus::StartingUp,
        _ => RoleStatus::Unknown,
    }
}

fn log_server(number: i32) -> RoleStatus {
    match number {
        3 => RoleStatus::Failsafe,
        4 => RoleStatus::Stopping,
        other => role(other),
    }
}

impl StateAnswer {
    pub(super) fn into_model(self) -> Option<ClusterState> {
        let mut model = ClusterState::default();
        for (id, node) in self.state?.nodes {
            let alive = node.alive.unwrap_or_default();
            let heard = alive.last_heartbeat_at.or_else(|| node.dead?.last_seen_alive);
            let generation = alive.id.map(|id| id.generation);
            model.nodes.push(Member { id, generation, last_heard: heard.and_then(Moment::into_model) });
            let replicas = alive.partitions.into_iter();
            model.replicas.extend(replicas.map(|(partition, found)| found.into_model(partition, id)));
        }
        model.replicas.sort_by_key(|replica| (replica.partition, replica.node));
        Some(model)
    }
}

impl Moment {
    fn into_model(self) -> Option<Timestamp> {
        Timestamp::new(self.seconds, self.nanos).ok()
    }
}

impl Partition {
    fn into_model(self, partition: u32, node: u32) -> Replica {
        let value = |number: Option<Number>| number.map(|number| number.value);
        Replica {
            partition,
            node,
            mode: mode(self.effective_mode),
            epoch: value(self.leader_epoch),
            applied: value(self.applied),
            target: value(self.target),
            archived: value(self.archived),
            catching_up: self.replay_status == 3,
            active: self.replay_status == 2,
            broken: self.broken_reason != 0,
        }
    }
}

fn mode(number: i32) -> Mode {
    match number {
        1 => Mode::Leader,
        2 => Mode::Follower,
        _ => Mode::Unknown,
    }
}

impl LogAnswer {
    pub(super) fn into_model(self, id: u32) -> Log {
        let tail = match self.tail_state {
            1 => Tail::Open,
            2 => Tail::Sealed,
            _ => Tail::Unknown,
        };
        Log { id, tail, end: self.tail_lsn }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use prost::Message;

    use super::*;

    pub(crate) fn leader(applied: u64, target: u64) -> Partition {
        let number = |value| Some(Number { value });
        Partition {
            effective_mode: 1,
            applied: number(applied),
            target: number(target),
            replay_status: 2,
            ..Partition::default()
        }
    }

    /// Nodes that are alive lead partition 0 this way; the others are dead.
    pub(crate) fn state<const N: usize, const M: usize>(
        alive: [(u32, Partition); N],
        dead: [u32; M],
    ) -> Vec<u8> {
        let leads = |(id, partition): (u32, Partition)| {
            let alive = Alive {
                id: Some(NodeId { id, generation: 3 }),
                partitions: [(0, partition)].into(),
                ..Alive::default()
            };
            (id, NodeState { alive: Some(alive), dead: None })
        };
        let is_dead = |id| (id, NodeState { alive: None, dead: Some(Dead::default()) });
        let nodes = alive.into_iter().map(leads).chain(dead.into_iter().map(is_dead)).collect();
        StateAnswer { state: Some(State { nodes }) }.encode_to_vec()
    }
}
