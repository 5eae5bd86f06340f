//! `RestateClusterRecovery`: lets a node of one `RestateCluster` that lost its disk begin anew with an empty one.

use apiserver_kind::{Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

/// Lets one node of the RestateCluster of the same name begin anew with its empty disk: for a node that lost its disk,
/// where the other copies are whole. What was on the old disk is given up for good. Created, never stored: what was
/// done stands in the answer's status. `--dry-run=server` shows every guard, and does nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestateClusterRecovery {
    /// The name is that of the RestateCluster.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Which node.
    #[serde(default)]
    pub spec: RestateClusterRecoverySpec,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateClusterRecoveryStatus>,
}

/// Which node begins anew: by its name, its id, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterRecoverySpec {
    /// Its name, which is the pod's: `restate-2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its id, as Restate writes it: `N3`. With a name, both must mean the same node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^N[1-9][0-9]*$"))]
    pub node_id: Option<String>,
}

/// What was done for a node that lost its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterRecoveryStatus {
    /// What came of it.
    pub outcome: RecoveryOutcome,
    /// The node's name.
    pub node: String,
    /// Its id.
    pub node_id: String,
    /// The state of its storage, as Restate spells it, after what was done.
    pub storage_state: String,
    /// What had to hold, each with what was seen.
    pub guards: Vec<RecoveryGuard>,
    /// What was done, or would be.
    pub message: String,
    /// When the nodes were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

/// What must hold before a node begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryGuard {
    /// What must hold.
    pub name: String,
    /// What was seen.
    pub message: String,
}

/// What came of letting a node begin anew.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, AsRefStr, Display, Serialize, Deserialize, JsonSchema,
)]
pub enum RecoveryOutcome {
    /// Nothing was done; it would be done.
    #[default]
    DryRun,
    /// It is done: the node begins anew at its next start.
    Done,
    /// Somebody has done it already, and the node has not started since.
    AlreadyDone,
}

impl Kind for RestateClusterRecovery {
    const GVK: Gvk = super::gvk("RestateClusterRecovery");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Node", "Name of the node."),
        Column::text("Node-Id", "Id of the node."),
        Column::text("Outcome", "What came of it."),
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
            Cell::from(status.map(|status| status.node.clone())),
            Cell::from(status.map(|status| status.node_id.clone())),
            Cell::from(status.map(|status| status.outcome.to_string())),
            Cell::from(status.map(|status| status.message.clone())),
        ]
    }
}

impl Resource for RestateClusterRecovery {
    const DESCRIPTOR: Descriptor = Descriptor::new(
        Self::GVK,
        ("restateclusterrecoveries", "restateclusterrecovery"),
        Scope::Cluster,
        &[Verb::Create],
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c2_what_is_asked_comes_back_with_what_was_done() {
        let asked = json!({"metadata": {"name": "prod"}, "spec": {"node": "restate-2", "nodeId": "N3"}});
        let mut recovery: RestateClusterRecovery = serde_json::from_value(asked.clone()).unwrap();
        assert_eq!(serde_json::to_value(&recovery).unwrap(), asked);
        recovery.status = Some(RestateClusterRecoveryStatus {
            outcome: RecoveryOutcome::Done,
            node: "restate-2".to_owned(),
            node_id: "N3".to_owned(),
            ..RestateClusterRecoveryStatus::default()
        });
        let row = recovery.row();
        assert_eq!(row.len(), RestateClusterRecovery::COLUMNS.len());
        assert_eq!(row[3], Cell::from("Done".to_owned()));
    }
}
