//! `RestateClusterSnapshot`: has the partitions of one `RestateCluster` written to its snapshot store, now.

use apiserver_kind::{Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

/// Has Restate make snapshots of partitions of the RestateCluster of the same name. Created, never stored: what was
/// made stands in the answer's status. `--dry-run=server` shows what would be made. Doing it again makes another
/// snapshot, and harms nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestateClusterSnapshot {
    /// The name is that of the RestateCluster.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Of what.
    #[serde(default)]
    pub spec: RestateClusterSnapshotSpec,
    /// What was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateClusterSnapshotStatus>,
}

/// Of what snapshots are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterSnapshotSpec {
    /// Numbers of the partitions, at most 1024 of them. All partitions, unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub partitions: Option<Vec<u32>>,
}

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterSnapshotStatus {
    /// Whether there is a snapshot of each partition that was asked for. False after a dry run.
    pub complete: bool,
    /// How many snapshots were made.
    pub made: u32,
    /// The partitions that were asked for, in order.
    pub partitions: Vec<SnapshotOfPartition>,
    /// What was done, or would be.
    pub message: String,
    /// When the cluster was asked how far its partitions are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotOfPartition {
    /// Its number.
    pub id: u32,
    /// What came of it.
    pub outcome: SnapshotOutcome,
    /// Restate's name of the snapshot that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// The position of the log up to which the snapshot surely reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_lsn: Option<u64>,
    /// How far its leader had read the log before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_lsn: Option<u64>,
    /// How far a snapshot reached before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_lsn: Option<u64>,
    /// Why there is no new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What came of the snapshot of one partition.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, AsRefStr, Display, Serialize, Deserialize, JsonSchema,
)]
pub enum SnapshotOutcome {
    /// It is made.
    Made,
    /// Nothing was done; it would be made.
    DryRun,
    /// Restate refused, or failed.
    Failed,
    /// Restate did not answer in time: it may still be made.
    Unanswered,
    /// The time was over before its turn.
    #[default]
    NotAsked,
}

impl Kind for RestateClusterSnapshot {
    const GVK: Gvk = super::gvk("RestateClusterSnapshot");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::boolean("Complete", "Whether there is a snapshot of each partition that was asked for."),
        Column::text("Made", "Snapshots that were made, of those that were asked for."),
        Column::text("Message", "What was done, or would be."),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let status = self.status.as_ref();
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(status.map(|status| status.complete)),
            Cell::from(status.map(|status| format!("{}/{}", status.made, status.partitions.len()))),
            Cell::from(status.map(|status| status.message.clone())),
        ]
    }
}

impl Resource for RestateClusterSnapshot {
    const DESCRIPTOR: Descriptor = Descriptor::new(
        Self::GVK,
        ("restateclustersnapshots", "restateclustersnapshot"),
        Scope::Cluster,
        &[Verb::Create],
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c2_what_is_asked_comes_back_with_what_was_made() {
        let asked = json!({"metadata": {"name": "prod"}, "spec": {"partitions": [0, 3]}});
        let mut snapshot: RestateClusterSnapshot = serde_json::from_value(asked.clone()).unwrap();
        assert_eq!(serde_json::to_value(&snapshot).unwrap(), asked);
        let made = SnapshotOfPartition {
            id: 0,
            outcome: SnapshotOutcome::Made,
            snapshot_id: Some("snap_1".to_owned()),
            snapshot_lsn: Some(12),
            ..SnapshotOfPartition::default()
        };
        let partitions = vec![made, SnapshotOfPartition { id: 3, ..SnapshotOfPartition::default() }];
        snapshot.status = Some(RestateClusterSnapshotStatus {
            made: 1,
            partitions,
            ..RestateClusterSnapshotStatus::default()
        });
        let row = snapshot.row();
        assert_eq!(row.len(), RestateClusterSnapshot::COLUMNS.len());
        assert_eq!(row[1..3], [Cell::from(Some(false)), Cell::from("1/2".to_owned())]);
        let status = serde_json::to_value(snapshot.status).unwrap();
        assert_eq!(status["partitions"][0]["snapshotLsn"], 12);
        assert_eq!(status["partitions"][1], json!({"id": 3, "outcome": "NotAsked"}));
    }
}
