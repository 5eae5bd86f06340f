//! `RestateInvocation`: one invocation of a service that the namespace's RestateDeployments serve.

use std::borrow::Cow;

use apiserver_kind::{Answer, Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Subresource, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString};

use super::ServiceType;
use super::action::{RestateInvocationAction, RestateInvocationRestart, RestateInvocationResume};

/// One invocation, as Restate sees it at this moment. Neither input nor output nor journal is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct RestateInvocation {
    /// Standard metadata. The name is Restate's own id, in which case matters.
    pub metadata: ObjectMeta,
    /// What is known of the invocation.
    pub status: RestateInvocationStatus,
}

/// What is known of an invocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateInvocationStatus {
    /// The RestateCluster. Empty where the target is a URL or a Service.
    pub cluster: String,
    /// Which Restate, where there is no RestateCluster: the address of its admin API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_key: Option<String>,
    /// The RestateDeployment that serves it.
    pub deployment: String,
    /// The RestateDeploymentVersion that it is pinned to, or goes to as routing stands.
    pub version: String,
    /// Whether it is pinned to that version, and can resume nowhere else.
    pub pinned: bool,
    /// The deployment that it is pinned to, by Restate's id. It may be one that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// The service.
    pub service: String,
    /// What kind of service that is.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// The handler.
    pub handler: String,
    /// The key, for virtual objects and workflows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where it stands.
    pub state: InvocationState,
    /// Whether a completed one succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    /// Why a completed one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<InvocationAttempts>,
    /// Who invoked it.
    pub invoked_by: InvocationCaller,
    /// The invocation that it was restarted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_from: Option<String>,
    /// When it is to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_start_at: Option<Timestamp>,
    /// When it first ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When anything last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<Timestamp>,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When Restate was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

/// What was tried since it last went on without a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvocationAttempts {
    /// How many.
    pub count: u64,
    /// When the next one comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Why the last one failed, in the words of the handler or of Restate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Restate's code of that failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The deployment of the last one, by Restate's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
}

/// Who invoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InvocationCaller {
    /// `ingress`, `service`, `subscription` or another word of Restate's.
    #[serde(rename = "type")]
    pub kind: String,
    /// The calling service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The calling invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
}

/// The states of an invocation.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    AsRefStr,
    Display,
    EnumString,
)]
pub enum InvocationState {
    /// It starts at a later time.
    Scheduled,
    /// It waits for its turn on a key.
    Inboxed,
    /// It waits for a slot.
    Ready,
    /// An attempt runs.
    Running,
    /// It is tried again after a failure.
    BackingOff,
    /// It waits for a timer, a call or an awakeable.
    Suspended,
    /// It waits until somebody resumes it.
    Paused,
    /// It is done, and kept for its retention.
    Completed,
    /// A state that is not known here.
    #[default]
    Unknown,
}

impl RestateInvocation {
    /// `service/handler` or `service/key/handler`.
    fn target(&self) -> String {
        let RestateInvocationStatus { service, handler, key, .. } = &self.status;
        match key {
            Some(key) => format!("{service}/{key}/{handler}"),
            None => format!("{service}/{handler}"),
        }
    }

    /// The failure to look at: the last one, or the one that ended it. Its first line: a row is one.
    fn failure(&self) -> Option<&str> {
        let attempts = self.status.attempts.as_ref();
        let failure = self.status.failure.as_deref().or_else(|| attempts?.failure.as_deref());
        failure.and_then(|failure| failure.lines().next())
    }
}

impl Kind for RestateInvocation {
    const GVK: Gvk = super::gvk("RestateInvocation");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Target", "Service, key and handler."),
        Column::text("State", "Where it stands."),
        Column::text("Version", "Version that it is pinned to, or goes to as routing stands."),
        Column::integer("Attempts", "Attempts since it last went on without a failure."),
        Column::AGE,
        Column::boolean("Pinned", "Whether it can resume on that version only.").wide(),
        Column::text("Deployment", "RestateDeployment that serves it.").wide(),
        Column::text("Cluster", "RestateCluster that it lives in.").wide(),
        Column::text("Invoked-By", "Who invoked it.").wide(),
        Column::text("Next-Attempt", "When it is tried again.").wide(),
        Column::text("Failure", "Why the last attempt or the whole failed.").wide(),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let status = &self.status;
        let attempts = status.attempts.as_ref();
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0);
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(self.target()),
            Cell::from(status.state.as_ref()),
            Cell::from(status.version.as_str()),
            Cell::from(attempts.map(|attempts| i64::try_from(attempts.count).unwrap_or(i64::MAX))),
            Cell::Age(created),
            Cell::from(status.pinned),
            Cell::from(status.deployment.as_str()),
            Cell::from(status.cluster.as_str()),
            Cell::from(status.invoked_by.service.as_deref().unwrap_or(&status.invoked_by.kind)),
            Cell::from(attempts.and_then(|attempts| attempts.next_at).map(|next| format!("{next:.0}"))),
            Cell::from(self.failure()),
        ]
    }

    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let status = &self.status;
        match path {
            "status.service" => Some(Cow::Borrowed(&status.service)),
            "status.handler" => Some(Cow::Borrowed(&status.handler)),
            "status.key" => Some(Cow::Borrowed(status.key.as_deref().unwrap_or_default())),
            "status.state" => Some(Cow::Borrowed(status.state.as_ref())),
            "status.deployment" => Some(Cow::Borrowed(&status.deployment)),
            "status.version" => Some(Cow::Borrowed(&status.version)),
            "status.cluster" => Some(Cow::Borrowed(&status.cluster)),
            _ => None,
        }
    }
}

/// A subresource that acts.
const fn acts(name: &'static str, gvk: Gvk) -> Subresource {
    Subresource { name, gvk, verbs: &[Verb::Create], answer: Answer::Object }
}

impl Resource for RestateInvocation {
    const DESCRIPTOR: Descriptor = Descriptor {
        gvk: Self::GVK,
        plural: "restateinvocations",
        singular: "restateinvocation",
        short_names: &["rinv"],
        // Not in the category: `kubectl get restate` must not walk Restate's largest table.
        categories: &[],
        scope: Scope::Namespaced,
        verbs: &[Verb::Get, Verb::List],
        selectable_fields: &[
            "status.service",
            "status.handler",
            "status.key",
            "status.state",
            "status.deployment",
            "status.version",
            "status.cluster",
        ],
        subresources: &[
            acts("cancel", RestateInvocationAction::GVK),
            acts("kill", RestateInvocationAction::GVK),
            acts("purge", RestateInvocationAction::GVK),
            acts("pause", RestateInvocationAction::GVK),
            acts("resume", RestateInvocationResume::GVK),
            acts("restart", RestateInvocationRestart::GVK),
        ],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stumbling() -> RestateInvocation {
        RestateInvocation {
            metadata: ObjectMeta { name: Some("inv_1gcM2z".into()), ..ObjectMeta::default() },
            status: RestateInvocationStatus {
                cluster: "prod".into(),
                deployment: "greeter".into(),
                version: "greeter-5dfcdd9c87".into(),
                pinned: true,
                deployment_id: Some("dp_1".into()),
                service: "Counter".into(),
                service_type: ServiceType::VirtualObject,
                handler: "add".into(),
                key: Some("ada".into()),
                state: InvocationState::BackingOff,
                attempts: Some(InvocationAttempts {
                    count: 3,
                    next_at: Some("2026-11-22T12:00:00.5Z".parse().unwrap()),
                    failure: Some("no luck\nat all".into()),
                    failure_code: Some("RT0007".into()),
                    deployment_id: Some("dp_1".into()),
                }),
                invoked_by: InvocationCaller { kind: "ingress".into(), service: None, invocation: None },
                ..RestateInvocationStatus::default()
            },
        }
    }

    #[test]
    fn r3_every_column_has_a_cell() {
        let row = stumbling().row();
        assert_eq!(row.len(), RestateInvocation::COLUMNS.len());
        assert_eq!(row[1], Cell::from("Counter/ada/add"));
        assert_eq!((&row[2], &row[4]), (&Cell::from("BackingOff"), &Cell::Integer(3)));
        assert_eq!((&row[10], &row[11]), (&Cell::from("2026-11-22T12:00:00Z"), &Cell::from("no luck")));
    }

    #[test]
    fn the_failure_that_ended_it_is_shown_before_the_last_attempts() {
        let mut failed = stumbling();
        failed.status.failure = Some("killed".into());
        assert_eq!(failed.failure(), Some("killed"));
        failed.status.key = None;
        assert_eq!(failed.target(), "Counter/add");
    }

    #[test]
    fn r9_every_selectable_field_has_a_value() {
        let invocation = stumbling();
        for field in RestateInvocation::DESCRIPTOR.selectable_fields {
            assert!(invocation.field(field).is_some(), "{field}");
        }
    }

    #[test]
    fn field_names_are_the_contract() {
        insta::assert_json_snapshot!(stumbling());
    }
}
