//! `RestateClusterHealth`: what a Restate cluster's nodes say of it at this moment, and what they lack of what is
//! wanted.

use apiserver_kind::{Cell, Column, Gvk, Kind, Row};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

/// The health of one RestateCluster, as its nodes tell it when they are asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateClusterHealth {
    /// The name is that of the RestateCluster.
    pub metadata: ObjectMeta,
    /// What was told.
    pub status: RestateClusterHealthStatus,
}

/// What was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterHealthStatus {
    /// Whether every node that is wanted serves, every partition has a leader, every log takes more, and nothing
    /// differs from what is wanted.
    pub healthy: bool,
    /// What is not as it should be, in words; the worst first.
    pub problems: Vec<String>,
    /// When the nodes were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Version of the server. Absent where the admin API did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The nodes that are wanted, and those that the cluster knows beside them.
    pub nodes: Vec<HealthOfNode>,
    /// The partitions. Absent where no node could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Vec<HealthOfPartition>>,
    /// The logs. Absent where no node could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<HealthOfLog>>,
    /// How the cluster is configured. Absent where no node could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ClusterConfiguration>,
    /// Where the cluster differs from what the RestateCluster wants.
    pub drift: Vec<Drift>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthOfNode {
    /// Where it was asked. Absent for a node that only the others know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its id in the cluster, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u32>,
    /// How often it has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// `Alive`, `StartingUp`, `ShuttingDown` or `Unknown`; `Silent` if it did not answer; `Dead` if only the others
    /// know it.
    pub state: String,
    /// Why it is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is configured to do, and how far it is with it; metadata is kept by a Member.
    pub roles: Vec<HealthOfRole>,
    /// Seconds since it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<u64>,
    /// When the others last heard of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<Timestamp>,
}

/// One role of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HealthOfRole {
    /// The role, as Restate's configuration calls it.
    pub name: String,
    /// `Ready`, `StartingUp`, `Stopping`, `Failsafe`, `Member`, `Standby`, `AwaitingProvisioning` or `Unknown`. Absent
    /// for a role of which nodes say no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthOfPartition {
    /// Its number.
    pub id: u32,
    /// The node that leads it. Absent while none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<u32>,
    /// The epoch of its leadership.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_epoch: Option<u64>,
    /// The nodes that follow it.
    pub followers: Vec<u32>,
    /// The nodes that have yet to catch up with its log.
    pub catching_up: Vec<u32>,
    /// The nodes that have given it up until somebody mends them.
    pub broken: Vec<u32>,
    /// How far the leader has read the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_lsn: Option<u64>,
    /// How far a snapshot reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_lsn: Option<u64>,
}

/// One log; it has the number of its partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthOfLog {
    /// Its number.
    pub id: u32,
    /// `Open`, `Sealed` or `Unknown`; `Silent` if those who keep it did not answer.
    pub state: String,
    /// Where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_lsn: Option<u64>,
}

/// How a cluster is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterConfiguration {
    /// Number of partitions.
    pub partitions: u32,
    /// How partitions are replicated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_replication: Option<String>,
    /// Where logs live.
    pub log_provider: String,
    /// How logs are replicated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_replication: Option<String>,
}

/// Something that is not as the RestateCluster wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Drift {
    /// The field of the RestateCluster, or of its configuration.
    pub field: String,
    /// What it wants.
    pub wanted: String,
    /// What there is.
    pub found: String,
}

impl Kind for RestateClusterHealth {
    const GVK: Gvk = super::gvk("RestateClusterHealth");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::boolean("Healthy", "Whether everything is as it should be."),
        Column::text("Nodes", "Nodes that serve, of those that are there or wanted."),
        Column::text("Partitions", "Partitions with a leader, of all."),
        Column::text("Logs", "Logs that take more, of all."),
        Column::text("Version", "Version of the server."),
        Column::text("Problems", "What is not as it should be."),
        Column::text("Replication", "How partitions are replicated.").wide(),
        Column::text("Log-Provider", "Where logs live.").wide(),
        Column::text("Observed", "How long ago the nodes were asked.").wide(),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let status = &self.status;
        let serving = status.nodes.iter().filter(|node| node.state == "Alive").count();
        let led = status
            .partitions
            .as_ref()
            .map(|all| of(all.iter().filter(|partition| partition.leader.is_some()).count(), all.len()));
        let open = status
            .logs
            .as_ref()
            .map(|all| of(all.iter().filter(|log| log.state == "Open").count(), all.len()));
        let configured = status.configuration.as_ref();
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::Boolean(status.healthy),
            Cell::from(of(serving, status.nodes.len())),
            Cell::from(led),
            Cell::from(open),
            Cell::from(status.version.clone()),
            Cell::from(status.problems.join("; ")),
            Cell::from(configured.and_then(|found| found.partition_replication.clone())),
            Cell::from(configured.map(|found| found.log_provider.clone())),
            Cell::Age(status.observed_at),
        ]
    }
}

fn of(some: usize, all: usize) -> String {
    format!("{some}/{all}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_what_is_well_and_says_nothing_of_what_is_unknown() {
        let node = |state: &str| HealthOfNode { state: state.to_owned(), ..HealthOfNode::default() };
        let partition = |leader| HealthOfPartition { leader, ..HealthOfPartition::default() };
        let status = RestateClusterHealthStatus {
            nodes: vec![node("Alive"), node("Silent")],
            partitions: Some(vec![partition(Some(1)), partition(None), partition(Some(1))]),
            problems: vec!["a".to_owned(), "b".to_owned()],
            ..RestateClusterHealthStatus::default()
        };
        let row = RestateClusterHealth { status, ..RestateClusterHealth::default() }.row();
        assert_eq!(row.len(), RestateClusterHealth::COLUMNS.len());
        assert_eq!(
            row[1..7],
            [
                Cell::Boolean(false),
                Cell::from("1/2".to_owned()),
                Cell::from("2/3".to_owned()),
                Cell::from(None::<String>),
                Cell::from(None::<String>),
                Cell::from("a; b".to_owned()),
            ]
        );
    }
}
