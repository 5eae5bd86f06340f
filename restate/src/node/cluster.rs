//! What nodes say of themselves and of their cluster.
//!
//! Stage in the flow: under `restateclusters/health`, and asked before a pod is replaced. Invariant: a state that is
//! not known to us is `Unknown`, and what a node does not say is absent.
//!
//! Facts, seen on 1.7.12: any node with the admin role tells the state of the whole cluster; partitions and logs have
//! the same numbers; a node that was removed stays in the state as dead.

mod wire;

use jiff::Timestamp;

use super::{Error, IDENT, MetadataStatus, Node, NodeStatus, READ_DEADLINE};

const STATE: &str = "/restate.cluster_ctrl.ClusterCtrlSvc/GetClusterState";
const LOG: &str = "/restate.cluster_ctrl.ClusterCtrlSvc/FindTail";

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id in the cluster.
    pub node_id: Option<u32>,
    /// How often it has started.
    pub generation: Option<u32>,
    /// State of the node.
    pub status: NodeStatus,
    /// What it is configured to do.
    pub roles: Vec<String>,
    /// Its part in the admin API.
    pub admin: RoleStatus,
    /// Its part in processing.
    pub worker: RoleStatus,
    /// Its part in keeping logs.
    pub log_server: RoleStatus,
    /// Its part in keeping metadata.
    pub metadata: MetadataStatus,
    /// Seconds since it started.
    pub uptime_seconds: u64,
}

/// The life of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum RoleStatus {
    /// Serves.
    Ready,
    /// Starts.
    StartingUp,
    /// Ends.
    Stopping,
    /// Reads what it has, and takes nothing new.
    Failsafe,
    /// Not said, not known to us, or the node has no such role.
    Unknown,
}

/// What the cluster's controller knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// The nodes, by id.
    pub nodes: Vec<Member>,
    /// What each node does for each partition, by partition and node.
    pub replicas: Vec<Replica>,
}

/// A node as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u32,
    /// How often it has started, where it is alive.
    pub generation: Option<u32>,
    /// When it was last heard of.
    pub last_heard: Option<Timestamp>,
}

/// One node's part in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The partition.
    pub partition: u32,
    /// The node.
    pub node: u32,
    /// What it does now.
    pub mode: Mode,
    /// Which epoch of leadership it has seen.
    pub epoch: Option<u64>,
    /// How far it has read the log.
    pub applied: Option<u64>,
    /// Where the log ended when it began to catch up.
    pub target: Option<u64>,
    /// How far a snapshot reaches.
    pub archived: Option<u64>,
    /// Whether it catches up.
    pub catching_up: bool,
    /// Whether it follows the log as it grows: it neither starts nor catches up, by its own word.
    pub active: bool,
    /// Whether it was given up until somebody mends it.
    pub broken: bool,
}

/// What a node does for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Mode {
    /// Processes.
    Leader,
    /// Follows.
    Follower,
    /// Not said, or not known to us.
    Unknown,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its number.
    pub id: u32,
    /// Whether something can be written to it.
    pub tail: Tail,
    /// Where it ends: the next record gets this number.
    pub end: u64,
}

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum Tail {
    /// Takes more.
    Open,
    /// Takes no more until it is extended.
    Sealed,
    /// Not said, or not known to us.
    Unknown,
}

impl Node {
    /// What the node says of itself.
    pub async fn report(&self) -> Result<Report, Error> {
        let report: wire::Report = self.call(IDENT, super::wire::Empty {}, READ_DEADLINE).await?;
        Ok(report.into_model())
    }

    /// What the cluster's controller knows. The node must have the admin role.
    pub async fn cluster_state(&self) -> Result<ClusterState, Error> {
        let answer: wire::StateAnswer = self.call(STATE, super::wire::Empty {}, READ_DEADLINE).await?;
        let lacks = || Error::Lacks { address: self.address().to_owned(), what: "the cluster's state" };
        answer.into_model().ok_or_else(lacks)
    }

    /// Where a log stands: the node asks those who keep it. The node must have the admin role.
    pub async fn log(&self, id: u32) -> Result<Log, Error> {
        let answer: wire::LogAnswer = self.call(LOG, wire::LogQuestion { log_id: id }, READ_DEADLINE).await?;
        Ok(answer.into_model(id))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rstest::rstest;

    use super::*;

    /// As bytes, so that the field numbers are under test.
    fn report(bytes: &[u8]) -> Report {
        wire::Report::decode(bytes).unwrap().into_model()
    }

    #[test]
    fn a_node_tells_its_roles() {
        // 1 status, 4 role, 5 age, 6 admin, 7 worker, 8 log server, 9 metadata server.
        let bytes = [8, 1, 34, 1, b'x', 40, 7, 48, 1, 56, 2, 64, 3, 72, 3];
        let report = report(&bytes);
        assert_eq!((report.status, report.metadata), (NodeStatus::Alive, MetadataStatus::Member));
        assert_eq!(
            (report.admin, report.worker, report.log_server),
            (RoleStatus::Ready, RoleStatus::StartingUp, RoleStatus::Failsafe)
        );
        assert_eq!((report.roles, report.uptime_seconds, report.node_id), (vec!["x".to_owned()], 7, None));
    }

    #[rstest]
    #[case(&[], RoleStatus::Unknown)]
    #[case(&[64, 9], RoleStatus::Unknown)]
    #[case(&[64, 4], RoleStatus::Stopping)]
    fn what_is_not_said_is_unknown(#[case] bytes: &[u8], #[case] expected: RoleStatus) {
        assert_eq!(report(bytes).log_server, expected);
    }

    #[test]
    fn the_state_names_nodes_and_what_they_do() {
        let status = wire::tests::leader(5, 6);
        let answer = wire::tests::state([(1, status)], [2]);
        let state = wire::StateAnswer::decode(answer.as_slice()).unwrap().into_model().unwrap();
        let ids: Vec<_> = state.nodes.iter().map(|node| (node.id, node.generation)).collect();
        assert_eq!(ids, [(1, Some(3)), (2, None)]);
        let [replica] = state.replicas.as_slice() else { panic!("{state:?}") };
        assert_eq!((replica.partition, replica.node, replica.mode), (0, 1, Mode::Leader));
        assert_eq!((replica.applied, replica.target, replica.archived), (Some(5), Some(6), None));
        assert!(!replica.catching_up && !replica.broken && replica.active);
    }

    #[test]
    fn an_answer_without_a_state_is_none() {
        assert!(wire::StateAnswer::default().into_model().is_none());
    }

    #[test]
    fn a_log_tells_where_it_ends() {
        // 3 tail state, 4 tail.
        let answer = wire::LogAnswer::decode([24, 1, 32, 9].as_slice()).unwrap();
        assert_eq!(answer.into_model(7), Log { id: 7, tail: Tail::Open, end: 9 });
    }
}
