//! From a view of a version, as the plan has it, to the object that people read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::ResourceExt;
use restate_apiservice::{
    Counts, Replicas, RestateDeploymentVersion, RestateDeploymentVersionStatus, ServedService,
};
use restate_crd::RestateDeployment;
use restate_crd::condition::{ConditionStatus, ConditionType, Conditions, Reason, Verdict};
use restate_crd::deployment::VersionState;
use restate_plan::Admin;
use restate_plan::applied::digest;
use restate_plan::deployment::View;
use uuid::Uuid;

use crate::world::cluster_name;

/// The most characters that a label's value can have.
const LABEL_LENGTH: usize = 63;

/// The object of one version.
pub(crate) fn object(
    parent: &RestateDeployment,
    admin: Option<&Admin>,
    view: View,
) -> RestateDeploymentVersion {
    let cluster = cluster_name(parent).unwrap_or_default().to_owned();
    let latest = view.services.iter().any(|service| service.latest);
    let metadata = metadata(parent, &view, &cluster, latest);
    let conditions = conditions(&view);
    let status = RestateDeploymentVersionStatus {
        deployment: parent.name_any(),
        endpoint_key: admin.map(|admin| admin.key.to_string()).filter(|_| cluster.is_empty()),
        cluster,
        hash: view.hash.to_string(),
        deployment_id: view.deployment_id.map(|id| id.to_string()),
        endpoint: Some(view.endpoint),
        images: view.images,
        services: view.services.iter().map(served).collect(),
        state: view.state,
        latest,
        kept_because: view.kept_because,
        remove_at: view.remove_at,
        invocations: counts(view.pinned, view.unpinned),
        replicas: Replicas { desired: view.desired, ready: view.ready },
        observed_at: view.observed_at,
        conditions,
    };
    RestateDeploymentVersion { metadata, status }
}

fn served(service: &restate_plan::deployment::ViewedService) -> ServedService {
    ServedService { name: service.name.to_string(), revision: service.revision, latest: service.latest }
}

/// Counts of both kinds together; none where either is unknown.
pub(crate) fn counts(
    pinned: Option<restate_model::Counts>,
    unpinned: Option<restate_model::Counts>,
) -> Option<Counts> {
    let (pinned, unpinned) = (pinned?, unpinned?);
    let restate_model::Counts { running, backing_off, suspended, paused, ready, inboxed, scheduled, other } =
        pinned.plus(unpinned);
    Some(Counts {
        running,
        backing_off,
        suspended,
        paused,
        ready,
        inboxed,
        scheduled,
        other,
        pinned: pinned.total(),
        unpinned: unpinned.total(),
    })
}

fn metadata(parent: &RestateDeployment, view: &View, cluster: &str, latest: bool) -> ObjectMeta {
    let labels = [
        ("restate.dev/deployment", label_value(&parent.name_any())),
        ("restate.dev/cluster", label_value(cluster)),
        ("restate.dev/state", view.state.to_string()),
        ("restate.dev/latest", latest.to_string()),
    ];
    ObjectMeta {
        name: Some(view.name.clone()),
        namespace: Some(view.namespace.clone()),
        uid: Some(uid(parent, &view.hash.to_string())),
        creation_timestamp: view.created_at.map(Time),
        labels: Some(
            labels.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>(),
        ),
        owner_references: Some(vec![owner(parent)]),
        ..ObjectMeta::default()
    }
}

/// Stable: from the parent's uid and the version's hash (R8).
fn uid(parent: &RestateDeployment, hash: &str) -> String {
    let namespace =
        parent.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()).unwrap_or(Uuid::NAMESPACE_OID);
    Uuid::new_v5(&namespace, hash.as_bytes()).to_string()
}

fn owner(parent: &RestateDeployment) -> OwnerReference {
    OwnerReference {
        api_version: "restate.dev/v1beta1".to_owned(),
        kind: "RestateDeployment".to_owned(),
        name: parent.name_any(),
        uid: parent.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// What is too long for a label is cut, and told apart by a digest of the whole.
pub(crate) fn label_value(text: &str) -> String {
    if text.len() <= LABEL_LENGTH {
        return text.to_owned();
    }
    let digest = digest(&text);
    let room = LABEL_LENGTH - digest.len() - 1;
    let cut: String = text.chars().take_while(char::is_ascii).take(room).collect();
    format!("{cut}-{digest}")
}

/// Ready means: new calls come here and a pod is ready for them. There is no transition time: it is not recorded.
fn conditions(view: &View) -> Vec<restate_crd::condition::Condition> {
    let serving = view.state == VersionState::Current && view.ready > 0;
    let (status, reason) = match (serving, view.state) {
        (true, _) => (ConditionStatus::True, Reason::Routed),
        (false, VersionState::Unknown) => (ConditionStatus::Unknown, Reason::UsageUnknown),
        (false, VersionState::Current) => (ConditionStatus::False, Reason::PodsNotReady),
        (false, VersionState::Rejected) => (ConditionStatus::False, Reason::RegistrationRejected),
        (false, VersionState::Pending) => (ConditionStatus::False, Reason::Registering),
        (false, VersionState::Draining | VersionState::Drained | VersionState::Retired) => {
            (ConditionStatus::False, Reason::VersionsDraining)
        }
    };
    let message =
        view.rejection.as_ref().map_or_else(|| view.state.to_string(), |rejection| rejection.message.clone());
    let mut conditions = Conditions::default();
    conditions.set(ConditionType::Ready, Verdict::new(status, reason, message), Timestamp::UNIX_EPOCH);
    let mut conditions: Vec<_> = conditions.iter().cloned().collect();
    for condition in &mut conditions {
        condition.last_transition_time = None;
    }
    conditions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_label_value_is_short_and_tells_texts_apart(one in "[a-z.]{1,90}", other in "[a-z.]{1,90}") {
            prop_assert!(label_value(&one).len() <= 63);
            prop_assert_eq!(one == other, label_value(&one) == label_value(&other));
        }
    }

    #[test]
    fn counts_are_unknown_where_either_half_is() {
        let one = restate_model::Counts { running: 1, ..restate_model::Counts::default() };
        assert_eq!(counts(Some(one), None), None);
        assert_eq!(counts(None, Some(one)), None);
        let both = counts(Some(one), Some(one)).unwrap();
        assert_eq!((both.running, both.pinned, both.unpinned, both.total()), (2, 1, 1, 2));
    }
}
