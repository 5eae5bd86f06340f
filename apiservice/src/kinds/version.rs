//! `RestateDeploymentVersion`: one version of a `RestateDeployment`, and why it is still there.

use std::borrow::Cow;

use apiserver_kind::{Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use restate_crd::condition::Condition;
use restate_crd::deployment::{KeptBecause, VersionState};
use schemars::JsonSchema;
use serde::Serialize;

/// One version of a `RestateDeployment`, as Restate and the controller see it at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RestateDeploymentVersion {
    /// Standard metadata. The name is that of the version's ReplicaSet.
    pub metadata: ObjectMeta,
    /// What is known of the version.
    pub status: RestateDeploymentVersionStatus,
}

/// What is known of a version.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateDeploymentVersionStatus {
    /// The RestateDeployment that this is a version of.
    pub deployment: String,
    /// The RestateCluster that it is registered with. Empty where the target is a URL or a Service.
    pub cluster: String,
    /// Which Restate: the address of its admin API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_key: Option<String>,
    /// Hash of the version.
    pub hash: String,
    /// Restate's id of it. Absent before the registration and after the removal from Restate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Where Restate calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Images of its containers.
    pub images: Vec<String>,
    /// Services that it offers.
    pub services: Vec<ServedService>,
    /// Where it stands.
    pub state: VersionState,
    /// Whether Restate routes new calls of any service to it.
    pub latest: bool,
    /// Why it is still there: all reasons at once, as the controller weighs them.
    pub kept_because: Vec<KeptBecause>,
    /// When the controller removes it unless new work comes: what it has promised, never computed by a reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_at: Option<Timestamp>,
    /// Unfinished invocations that need it. Absent where Restate could not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocations: Option<Counts>,
    /// Pods.
    pub replicas: Replicas,
    /// When Restate was asked. Absent where it has not answered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Conditions by the usual conventions: Ready, Draining.
    pub conditions: Vec<Condition>,
}

/// A service that a version offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServedService {
    /// Its name.
    pub name: String,
    /// Its revision in this version.
    pub revision: u32,
    /// Whether new calls of it come here.
    pub latest: bool,
}

/// Unfinished invocations by state, and by whether they are pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// An attempt runs.
    pub running: u64,
    /// Waiting to be tried again after a failure.
    pub backing_off: u64,
    /// Waiting for a timer, a call or an awakeable.
    pub suspended: u64,
    /// Stopped until somebody resumes it.
    pub paused: u64,
    /// Waiting for a slot.
    pub ready: u64,
    /// Waiting for its turn on a key.
    pub inboxed: u64,
    /// Starting at a later time.
    pub scheduled: u64,
    /// In a state that is not known here.
    pub other: u64,
    /// Of all these, pinned to this version: they can resume nowhere else.
    pub pinned: u64,
    /// Of all these, not pinned, and going to this version as routing stands.
    pub unpinned: u64,
}

impl Counts {
    /// All unfinished invocations.
    pub fn total(&self) -> u64 {
        self.pinned.saturating_add(self.unpinned)
    }
}

/// Pods of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Replicas {
    /// As many as are wanted.
    pub desired: i32,
    /// As many as are ready.
    pub ready: i32,
}

impl Kind for RestateDeploymentVersion {
    const GVK: Gvk = super::gvk("RestateDeploymentVersion");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Deployment", "RestateDeployment that this is a version of."),
        Column::text("State", "Where the version stands."),
        Column::boolean("Latest", "Whether new calls come here."),
        Column::integer("In-Flight", "Unfinished invocations that need this version."),
        Column::text("Replicas", "Ready pods of wanted pods."),
        Column::AGE,
        Column::text("Deployment-Id", "Restate's id of the version.").wide(),
        Column::text("Cluster", "RestateCluster that it is registered with.").wide(),
        Column::text("Services", "Services that it offers, with their revisions.").wide(),
        Column::text("Kept-Because", "Why it is still there.").wide(),
        Column::text("Images", "Images of its containers.").wide(),
        Column::text("Endpoint", "Where Restate calls it.").wide(),
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
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0);
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(status.deployment.as_str()),
            Cell::from(status.state.as_ref()),
            Cell::from(status.latest),
            Cell::from(status.invocations.map(|counts| i64::try_from(counts.total()).unwrap_or(i64::MAX))),
            Cell::from(format!("{}/{}", status.replicas.ready, status.replicas.desired)),
            Cell::Age(created),
            Cell::from(status.deployment_id.clone()),
            Cell::from(status.cluster.as_str()),
            Cell::from(services_text(&status.services)),
            Cell::from(kept_text(&status.kept_because)),
            Cell::from(status.images.join(",")),
            Cell::from(status.endpoint.clone()),
            Cell::Age(status.observed_at),
        ]
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let status = &self.status;
        match path {
            "status.deployment" => Some(Cow::Borrowed(&status.deployment)),
            "status.cluster" => Some(Cow::Borrowed(&status.cluster)),
            "status.state" => Some(Cow::Borrowed(status.state.as_ref())),
            "status.latest" => Some(Cow::Borrowed(if status.latest { "true" } else { "false" })),
            "status.deploymentId" => status.deployment_id.as_deref().map(Cow::Borrowed),
            _ => None,
        }
    }

    fn settled(&self) -> Cow<'_, Self> {
        let mut settled = self.clone();
        settled.status.observed_at = None;
        Cow::Owned(settled)
    }
}

fn services_text(services: &[ServedService]) -> String {
    services
        .iter()
        .map(|service| format!("{}@{}", service.name, service.revision))
        .collect::<Vec<_>>()
        .join(",")
}

fn kept_text(reasons: &[KeptBecause]) -> String {
    let one = |kept: &KeptBecause| match (kept.count, &kept.until) {
        (Some(count), _) => format!("{}({count})", kept.reason),
        (None, Some(until)) => format!("{}({:.0})", kept.reason, until.0),
        (None, None) => kept.reason.to_string(),
    };
    reasons.iter().map(one).collect::<Vec<_>>().join(",")
}

impl Resource for RestateDeploymentVersion {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "restatedeploymentversions",
        singular: "restatedeploymentversion",
        short_names: &["rdv"],
        categories: &[crate::CATEGORY],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get, Verb::List, Verb::Watch],
        selectable_fields: &[
            "status.deployment",
            "status.cluster",
            "status.state",
            "status.latest",
            "status.deploymentId",
        ],
        subresources: &[],
    };
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use restate_crd::deployment::KeptReason;

    use super::*;

    fn draining() -> RestateDeploymentVersion {
        RestateDeploymentVersion {
            metadata: ObjectMeta { name: Some("greeter-5dfcdd9c87".into()), ..ObjectMeta::default() },
            status: RestateDeploymentVersionStatus {
                deployment: "greeter".into(),
                cluster: "prod".into(),
                state: VersionState::Draining,
                services: vec![ServedService { name: "Greeter".into(), revision: 3, latest: false }],
                kept_because: vec![
                    KeptBecause { reason: KeptReason::PinnedInvocations, count: Some(3), until: None },
                    KeptBecause {
                        reason: KeptReason::DrainDelay,
                        count: None,
                        until: Some(Time("2026-11-22T12:00:00.5Z".parse().unwrap())),
                    },
                ],
                invocations: Some(Counts { running: 1, suspended: 2, pinned: 3, ..Counts::default() }),
                replicas: Replicas { desired: 2, ready: 1 },
                observed_at: Some("2026-11-22T12:00:00Z".parse().unwrap()),
                endpoint_key: None,
                hash: "5dfcdd9c87".into(),
                deployment_id: Some("dp_1".into()),
                endpoint: Some("http://greeter-5dfcdd9c87.shop.svc.cluster.local:9080/".into()),
                images: vec!["shop/greeter:1.4.2".into()],
                latest: false,
                remove_at: None,
                conditions: vec![],
            },
        }
    }

    #[test]
    fn every_column_has_a_cell() {
        let row = draining().row();
        assert_eq!(row.len(), RestateDeploymentVersion::COLUMNS.len());
        assert_eq!(row[2], Cell::from("Draining"));
        assert_eq!(row[4], Cell::Integer(3));
        assert_eq!(row[5], Cell::from("1/2"));
        assert_eq!(row[9], Cell::from("Greeter@3"));
        assert_eq!(row[10], Cell::from("PinnedInvocations(3),DrainDelay(2026-11-22T12:00:00Z)"));
    }

    #[test]
    fn unknown_counts_are_no_number() {
        let mut unknown = draining();
        unknown.status.invocations = None;
        assert_eq!(unknown.row()[4], Cell::Null);
    }

    #[test]
    fn the_time_of_observation_alone_is_no_change() {
        let mut later = draining();
        later.status.observed_at = Some("2026-11-22T13:00:00Z".parse().unwrap());
        assert_eq!(later.settled(), draining().settled());
        later.status.state = VersionState::Drained;
        assert_ne!(later.settled(), draining().settled());
    }

    #[test]
    fn every_selectable_field_has_a_value() {
        let version = draining();
        for field in RestateDeploymentVersion::DESCRIPTOR.selectable_fields {
            assert!(version.field(field).is_some(), "{field}");
        }
    }

    #[test]
    fn field_names_are_the_contract() {
        insta::assert_json_snapshot!(draining());
    }
}
