//! `RestateService`: a service as Restate routes it, and the version that new calls go to.

use std::borrow::Cow;

use apiserver_kind::{Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::Serialize;
use strum::AsRefStr;

/// A service that Restate routes to a version of one of the namespace's RestateDeployments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateService {
    /// Standard metadata. The name is made of the service's, which may have upper case, and a hash of Restate and
    /// service.
    pub metadata: ObjectMeta,
    /// What is known of the service.
    pub status: RestateServiceStatus,
}

/// What is known of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateServiceStatus {
    /// Its name in Restate.
    pub service: String,
    /// The RestateCluster. Empty where the target is a URL or a Service.
    pub cluster: String,
    /// Which Restate, where there is no RestateCluster: the address of its admin API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_key: Option<String>,
    /// The RestateDeployment that serves it.
    pub deployment: String,
    /// The RestateDeploymentVersion that new calls go to.
    pub version: String,
    /// Restate's id of that version.
    pub deployment_id: String,
    /// The revision that new calls get.
    pub revision: u32,
    /// What kind of service it is.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// Whether Restate's ingress offers it.
    pub public: bool,
    /// Its handlers.
    pub handlers: Vec<String>,
    /// How long completed invocations with an idempotency key are kept, as Restate prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_retention: Option<String>,
    /// How long a completed workflow is kept, as Restate prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_retention: Option<String>,
    /// When Restate was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

/// Restate's kinds of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema, AsRefStr)]
pub enum ServiceType {
    /// Handlers without state of their own.
    Service,
    /// Handlers with a key and its state.
    VirtualObject,
    /// Runs once for each key.
    Workflow,
    /// A kind that is not known here.
    #[default]
    Other,
}

impl Kind for RestateService {
    const GVK: Gvk = super::gvk("RestateService");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Service", "Name of the service in Restate."),
        Column::text("Deployment", "RestateDeployment that serves it."),
        Column::text("Version", "Version that new calls go to."),
        Column::integer("Revision", "Revision that new calls get."),
        Column::text("Type", "Kind of service."),
        Column::boolean("Public", "Whether Restate's ingress offers it."),
        Column::text("Cluster", "RestateCluster that routes it.").wide(),
        Column::text("Handlers", "Its handlers.").wide(),
        Column::text("Deployment-Id", "Restate's id of the version.").wide(),
        Column::text("Idempotency-Retention", "How long completed invocations are kept.").wide(),
        Column::text("Workflow-Retention", "How long completed workflows are kept.").wide(),
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
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(status.service.as_str()),
            Cell::from(status.deployment.as_str()),
            Cell::from(status.version.as_str()),
            Cell::from(status.revision),
            Cell::from(status.service_type.as_ref()),
            Cell::from(status.public),
            Cell::from(status.cluster.as_str()),
            Cell::from(status.handlers.join(",")),
            Cell::from(status.deployment_id.as_str()),
            Cell::from(status.idempotency_retention.clone()),
            Cell::from(status.workflow_retention.clone()),
            Cell::Age(status.observed_at),
        ]
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let status = &self.status;
        match path {
            "status.service" => Some(Cow::Borrowed(&status.service)),
            "status.cluster" => Some(Cow::Borrowed(&status.cluster)),
            "status.deployment" => Some(Cow::Borrowed(&status.deployment)),
            "status.version" => Some(Cow::Borrowed(&status.version)),
            "status.type" => Some(Cow::Borrowed(status.service_type.as_ref())),
            "status.public" => Some(Cow::Borrowed(if status.public { "true" } else { "false" })),
            _ => None,
        }
    }

    fn settled(&self) -> Cow<'_, Self> {
        let mut settled = self.clone();
        settled.status.observed_at = None;
        Cow::Owned(settled)
    }
}

impl Resource for RestateService {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "restateservices",
        singular: "restateservice",
        short_names: &["rsvc"],
        categories: &[crate::CATEGORY],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get, Verb::List, Verb::Watch],
        selectable_fields: &[
            "status.service",
            "status.cluster",
            "status.deployment",
            "status.version",
            "status.type",
            "status.public",
        ],
        subresources: &[],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> RestateService {
        RestateService {
            metadata: ObjectMeta { name: Some("counter-1b2c".into()), ..ObjectMeta::default() },
            status: RestateServiceStatus {
                service: "Counter".into(),
                cluster: "prod".into(),
                endpoint_key: None,
                deployment: "greeter".into(),
                version: "greeter-5dfcdd9c87".into(),
                deployment_id: "dp_1".into(),
                revision: 3,
                service_type: ServiceType::VirtualObject,
                public: true,
                handlers: vec!["add".into(), "get".into()],
                idempotency_retention: Some("1d".into()),
                workflow_retention: None,
                observed_at: Some("2026-11-22T12:00:00Z".parse().unwrap()),
            },
        }
    }

    #[test]
    fn r3_every_column_has_a_cell() {
        let row = counter().row();
        assert_eq!(row.len(), RestateService::COLUMNS.len());
        assert_eq!((&row[4], &row[5]), (&Cell::from(3_u32), &Cell::from("VirtualObject")));
        assert_eq!((&row[8], &row[11]), (&Cell::from("add,get"), &Cell::Null));
    }

    #[test]
    fn w3_the_time_of_observation_alone_is_no_change() {
        let mut later = counter();
        later.status.observed_at = None;
        assert_eq!(later.settled(), counter().settled());
        later.status.revision = 4;
        assert_ne!(later.settled(), counter().settled());
    }

    #[test]
    fn r9_every_selectable_field_has_a_value() {
        let service = counter();
        for field in RestateService::DESCRIPTOR.selectable_fields {
            assert!(service.field(field).is_some(), "{field}");
        }
    }

    #[test]
    fn field_names_are_the_contract() {
        insta::assert_json_snapshot!(counter());
    }
}
