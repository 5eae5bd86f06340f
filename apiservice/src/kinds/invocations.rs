//! `RestateDeploymentInvocations`: unfinished invocations of one `RestateDeployment`, by version, handler and state.

use apiserver_kind::{Cell, Column, Gvk, Kind, Row};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

use super::Counts;

/// Unfinished invocations of one RestateDeployment, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateDeploymentInvocations {
    /// Name and namespace of the RestateDeployment.
    pub metadata: ObjectMeta,
    /// The counts.
    pub status: RestateDeploymentInvocationsStatus,
}

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateDeploymentInvocationsStatus {
    /// When Restate was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// All of them together.
    pub total: u64,
    /// One entry for each version and handler that has any.
    pub handlers: Vec<HandlerInvocations>,
}

/// Unfinished invocations of one handler on one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandlerInvocations {
    /// The version, by the name of its RestateDeploymentVersion: the one that the invocations are pinned to, or that
    /// they go to as routing stands.
    pub version: String,
    /// The service.
    pub service: String,
    /// The handler.
    pub handler: String,
    /// How many, by state.
    pub invocations: Counts,
}

impl Kind for RestateDeploymentInvocations {
    const GVK: Gvk = super::gvk("RestateDeploymentInvocations");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Unfinished", "Unfinished invocations of all versions."),
        Column::integer("Handlers", "Versions and handlers that have any."),
        Column::text("Observed", "How long ago Restate was asked."),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(count(self.status.total)),
            Cell::from(count(self.status.handlers.len() as u64)),
            Cell::Age(self.status.observed_at),
        ]
    }
}
