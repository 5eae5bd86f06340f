//! The replica set of a version: its pods, and the record of what Restate knows of it.
//!
//! Stage in the flow: plan. Invariants: the user's pod spec is passed on as written, also what this program does not
//! know; names, labels and annotations are those of `adoption.md`. Not for changing one that exists: templates stay
//! as found.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube_core::DynamicObject;
use kube_core::TypeMeta;
use restate_crd::{annotation, label};
use serde_json::{Value, json};

use super::hash::TemplateHash;
use super::validate::Spec;
use super::version::Version;
use super::{metadata, selector};
use crate::bookkeeping::is_bookkeeping;
use crate::{Object, ObjectRef};

/// The replica set of the version with this name and hash.
pub(super) fn replica_set(spec: &Spec, name: &str, hash: &TemplateHash) -> Object {
    let mut meta = metadata::child(spec, name, metadata::owner(spec));
    meta.labels = Some(object_labels(spec, hash));
    meta.annotations =
        Some(BTreeMap::from([(annotation::POD_TEMPLATE.to_owned(), spec.identity.text.clone())]));
    let set = ReplicaSetSpec {
        replicas: Some(spec.replicas),
        min_ready_seconds: spec.min_ready_seconds,
        selector: selector::of_version(&spec.selector, hash),
        template: Some(PodTemplateSpec { metadata: Some(pod_metadata(spec, hash)), spec: None }),
    };
    let mut set = serde_json::to_value(set).unwrap_or_default();
    set["template"]["spec"] = spec.template.spec.clone();
    untyped(meta, json!({ "spec": set }))
}

/// Sets only how long a pod of this version must be ready to count.
pub(super) fn min_ready_seconds(version: &Version, seconds: i32) -> Object {
    let meta = ObjectMeta {
        name: Some(version.name.clone()),
        namespace: Some(version.namespace.clone()),
        uid: Some(version.uid.0.clone()),
        ..ObjectMeta::default()
    };
    untyped(meta, json!({ "spec": { "minReadySeconds": seconds } }))
}

fn untyped(metadata: ObjectMeta, data: Value) -> Object {
    let name = metadata.name.clone().unwrap_or_default();
    let reference = ObjectRef::of::<ReplicaSet>(metadata.namespace.as_deref(), &name);
    let types = TypeMeta { api_version: reference.api_version.clone(), kind: reference.kind.clone() };
    Object::Foreign(reference, DynamicObject { types: Some(types), metadata, data })
}

fn object_labels(spec: &Spec, hash: &TemplateHash) -> BTreeMap<String, String> {
    let mut labels = pod_labels(spec, hash);
    labels.extend(metadata::labels(&spec.name));
    labels
}

fn pod_metadata(spec: &Spec, hash: &TemplateHash) -> ObjectMeta {
    let annotations = spec.template.annotations.iter().filter(|(key, _)| !is_bookkeeping(key));
    let annotations: BTreeMap<_, _> = annotations.map(|(key, value)| (key.clone(), value.clone())).collect();
    ObjectMeta {
        labels: Some(pod_labels(spec, hash)),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

/// The template's own labels without the bookkeeping of other tools (unless the selector needs it), the hash, and
/// what lets the cluster's pods through to these.
fn pod_labels(spec: &Spec, hash: &TemplateHash) -> BTreeMap<String, String> {
    let kept = spec
        .template
        .labels
        .iter()
        .filter(|(key, _)| !is_bookkeeping(key) || is_selected(&spec.selector, key));
    let mut labels: BTreeMap<_, _> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    labels.insert(label::POD_TEMPLATE_HASH.to_owned(), hash.to_string());
    if let Some(cluster) = &spec.identity.cluster {
        labels.insert(label::allow(cluster), "true".to_owned());
    }
    labels
}

fn is_selected(selector: &LabelSelector, key: &str) -> bool {
    let by_label = selector.match_labels.iter().flatten().any(|(name, _)| name == key);
    by_label || selector.match_expressions.iter().flatten().any(|requirement| requirement.key == key)
}
