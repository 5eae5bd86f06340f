//! Who owns what a RestateDeployment makes, and what it is labelled with.
//!
//! Stage in the flow: plan. Invariants: an object is ours if its controller has our uid, whatever its name says;
//! `blockOwnerDeletion` stays unset, so that a foreground deletion does not wait for versions that drain. Not for
//! the pods' own labels.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::Resource;
use restate_crd::{RestateDeployment, label};

use super::validate::Spec;
use crate::Uid;

/// Whether the controller of this object is the one with `uid`.
pub(super) fn is_controlled_by(meta: &ObjectMeta, uid: &Uid) -> bool {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.controller == Some(true) && owner.uid == uid.0)
}

/// An annotation's value; an empty one was cleared and is none.
pub(super) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// A label's value.
pub(super) fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// The RestateDeployment as owner.
pub(super) fn owner(spec: &Spec) -> OwnerReference {
    owner_of::<RestateDeployment>(&spec.name, &spec.uid)
}

/// An object of kind `K` as owner.
pub(super) fn owner_of<K: Resource<DynamicType = ()>>(name: &str, uid: &Uid) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: uid.0.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// The labels of everything that belongs to the RestateDeployment called `name`.
pub(super) fn labels(name: &str) -> BTreeMap<String, String> {
    [(label::MANAGED_BY, label::MANAGED_BY_VALUE), (label::OWNED_BY, name)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Metadata of an object in the RestateDeployment's namespace.
pub(super) fn child(spec: &Spec, name: &str, owner: OwnerReference) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(spec.namespace.clone()),
        labels: Some(labels(&spec.name)),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}
