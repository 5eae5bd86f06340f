//! Names, labels and owner references that all objects of a cluster share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube_core::ObjectMeta;

use super::Valid;
use crate::bookkeeping;

/// The two labels by which the pods of a cluster are selected. For ever: a selector cannot change.
pub(super) fn selector_labels(cluster: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", "restate"), ("app.kubernetes.io/instance", cluster)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

pub(super) fn selector(cluster: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(selector_labels(cluster)), match_expressions: None }
}

/// The user's own labels with ours on top.
pub(super) fn labels(valid: &Valid) -> BTreeMap<String, String> {
    let mut labels = bookkeeping::copied(valid.labels.as_ref());
    labels.extend(selector_labels(&valid.name));
    labels
}

/// Metadata of a namespaced child.
pub(super) fn child(valid: &Valid, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: Some(valid.name.clone()), ..unplaced(valid, name) }
}

/// Metadata of a cluster-scoped child.
pub(super) fn unplaced(valid: &Valid, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels(valid)),
        annotations: Some(bookkeeping::copied(valid.annotations.as_ref())),
        owner_references: Some(vec![owner(valid)]),
        ..ObjectMeta::default()
    }
}

/// The cluster as the owner. `blockOwnerDeletion` stays unset: a foreground deletion must not wait for us.
pub(super) fn owner(valid: &Valid) -> OwnerReference {
    OwnerReference {
        api_version: "restate.dev/v1".to_owned(),
        kind: "RestateCluster".to_owned(),
        name: valid.name.clone(),
        uid: valid.uid.0.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Whether an object that exists is this cluster's own: by uid, never by name.
pub(super) fn is_ours(valid: &Valid, metadata: &ObjectMeta) -> bool {
    metadata.owner_references.iter().flatten().any(|owner| owner.uid == valid.uid.0)
}
