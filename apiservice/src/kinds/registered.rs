//! `RestateClusterDeployment`: one deployment that is registered with a Restate, whoever registered it.

use apiserver_kind::{Cell, Column, Gvk, Kind, Row};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;

use super::ServedService;

/// A deployment that is registered with a Restate. The name is Restate's own id, to the letter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateClusterDeployment {
    /// The name is Restate's id; the creation time is that of the registration.
    pub metadata: ObjectMeta,
    /// What Restate knows of it.
    pub status: RestateClusterDeploymentStatus,
}

/// What Restate knows of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateClusterDeploymentStatus {
    /// The RestateCluster.
    pub cluster: String,
    /// Where Restate calls it: a URL or an ARN.
    pub endpoint: String,
    /// Whether Restate speaks HTTP/1.1 to it.
    pub http11: bool,
    /// Services that it offers.
    pub services: Vec<ServedService>,
    /// Whether new calls of any service go to it.
    pub latest: bool,
    /// The version that it is. Absent for what this operator has not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReference>,
    /// When Restate was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

/// A RestateDeploymentVersion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VersionReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The RestateDeployment that it is a version of.
    pub deployment: String,
}

impl Kind for RestateClusterDeployment {
    const GVK: Gvk = super::gvk("RestateClusterDeployment");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Endpoint", "Where Restate calls it."),
        Column::boolean("Latest", "Whether new calls of any service go to it."),
        Column::text("Services", "Services that it offers, with their revisions."),
        Column::text("Version", "The version that it is, with its namespace."),
        Column::AGE,
        Column::text("Observed", "How long ago Restate was asked.").wide(),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let status = &self.status;
        let services: Vec<_> =
            status.services.iter().map(|service| format!("{}@{}", service.name, service.revision)).collect();
        let version =
            status.version.as_ref().map(|version| format!("{}/{}", version.namespace, version.name));
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(status.endpoint.clone()),
            Cell::Boolean(status.latest),
            Cell::from(services.join(",")),
            Cell::from(version),
            Cell::Age(self.metadata.creation_timestamp.as_ref().map(|time| time.0)),
            Cell::Age(status.observed_at),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_here_registered_has_no_version() {
        let status = RestateClusterDeploymentStatus {
            endpoint: "http://elsewhere/".to_owned(),
            services: vec![ServedService { name: "a".to_owned(), revision: 2, latest: true }],
            latest: true,
            ..RestateClusterDeploymentStatus::default()
        };
        let row = RestateClusterDeployment { status, ..RestateClusterDeployment::default() }.row();
        assert_eq!(row.len(), RestateClusterDeployment::COLUMNS.len());
        assert_eq!(
            row[1..5],
            [
                Cell::from("http://elsewhere/".to_owned()),
                Cell::Boolean(true),
                Cell::from("a@2".to_owned()),
                Cell::from(None::<String>),
            ]
        );
    }
}
