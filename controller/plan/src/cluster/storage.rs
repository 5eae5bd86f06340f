//! The volumes of a cluster: they grow, they never shrink, and they keep the class that they were made with.
//!
//! A claim grows in place. The stateful set's claim template cannot change, so once every claim has what is wanted
//! the set is replaced: its text is written down on the RestateCluster, it is deleted with its pods left alone, and
//! it is made again with the same pod template, by which it takes its pods back. Whoever takes over in between finds
//! the text.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_core::{ObjectMeta, ResourceExt};
use kube_quantity::ParsedQuantity;
use restate_crd::RestateCluster;
use restate_crd::condition::{ConditionStatus, Reason, Verdict};

use super::{Children, NAME, Valid, metadata, stateful_set};
use crate::{Manager, ObjectRef, Propagation, Step, Uid};

/// Annotation of the RestateCluster with the stateful set that is being replaced. Not in the namespace: whoever may
/// write there could have any pod made by it.
pub const REPLACED: &str = "restate.dev/replaced-stateful-set";

/// Names of claims, before the node's ordinal.
const PREFIX: &str = "storage-restate-";

/// Storage classes whose word on expansion a decision needs, each once.
pub fn classes_to_ask(valid: &Valid, children: &Children) -> Vec<String> {
    let growing = claims(valid, children).filter(|claim| is_smaller(valid, claim));
    let mut classes: Vec<_> = growing.filter_map(|claim| class(claim).map(str::to_owned)).collect();
    classes.sort();
    classes.dedup();
    classes
}

/// The claims that change, each beside the main path: one that fails holds up no other.
pub(super) fn steps(valid: &Valid, children: &Children) -> Vec<Step> {
    let differing = claims(valid, children).filter(|claim| is_bound(claim) && differs(valid, claim));
    let changed = differing.filter_map(|claim| changed(valid, children, claim));
    changed
        .map(|claim| Step::Aside(Box::new(Step::Apply(Manager::Operator, Box::new(claim.into())))))
        .collect()
}

/// What replaces the stateful set, or takes back the note of a replacement that has come to its end.
pub(super) fn replacement(valid: &Valid, children: &Children) -> Vec<Step> {
    let Some(found) = children.stateful_set.as_ref().filter(|found| !is_going(found)) else {
        return Vec::new();
    };
    let noted = valid.annotation(REPLACED);
    if !is_outgrown(valid, children, found) {
        return noted.map(|_| note(valid, None)).into_iter().collect();
    }
    let (Some(text), Some(uid)) = (text(found), found.uid()) else { return Vec::new() };
    let object = ObjectRef::of::<StatefulSet>(Some(&valid.name), NAME);
    let delete = Step::Delete { object, uid: Uid(uid), propagation: Propagation::Orphan };
    let note = (noted != Some(&text)).then(|| note(valid, Some(text)));
    note.into_iter().chain([delete]).collect()
}

/// The stateful set that was being replaced, with the claims that are wanted now.
pub(super) fn replaced(valid: &Valid) -> Option<StatefulSet> {
    let mut set: StatefulSet = serde_json::from_str(valid.annotation(REPLACED)?).ok()?;
    set.metadata.namespace = Some(valid.name.clone());
    set.metadata.owner_references = Some(vec![metadata::owner(valid)]);
    let spec = set.spec.as_mut()?;
    spec.replicas = Some(valid.replicas.max(spec.replicas.unwrap_or(0)));
    for claim in spec.volume_claim_templates.iter_mut().flatten().filter_map(|claim| claim.spec.as_mut()) {
        let size = bytes(claim).unwrap_or(0).max(valid.storage.storage_request_bytes);
        set_size(claim, size);
        if let Some(attributes) = &valid.storage.volume_attributes_class_name {
            claim.volume_attributes_class_name = Some(attributes.clone());
        }
    }
    Some(set)
}

/// Whether the stateful set is on its way out or was taken away to be made again: its pods run all the same.
pub(super) fn is_being_replaced(valid: &Valid, children: &Children) -> bool {
    valid.annotation(REPLACED).is_some() && children.stateful_set.as_ref().is_none_or(is_going)
}

/// Whether the object is being deleted.
pub(super) fn is_going(found: &StatefulSet) -> bool {
    found.metadata.deletion_timestamp.is_some()
}

/// Where the volumes stand.
pub(super) fn verdict(valid: &Valid, children: &Children) -> Verdict {
    let not_so = |reason, message| Verdict::new(ConditionStatus::False, reason, message);
    if let Some(message) = shrinks(valid, children) {
        return not_so(Reason::VolumesNeverShrink, message);
    }
    if let Some(message) = other_class(valid, children) {
        return not_so(Reason::StorageClassFixed, message);
    }
    let refused: Vec<_> = claims(valid, children)
        .filter(|claim| is_smaller(valid, claim) && !may_grow(children, claim))
        .map(|claim| format!("{} ({})", claim.name_any(), class(claim).unwrap_or("no storage class")))
        .collect();
    if !refused.is_empty() {
        let names = refused.join(", ");
        let message =
            format!("the storage class does not let these claims grow (allowVolumeExpansion): {names}");
        return not_so(Reason::ExpansionNotAllowed, message);
    }
    let growing: Vec<_> = claims(valid, children).filter_map(|claim| growing(valid, claim)).collect();
    if !growing.is_empty() {
        return not_so(Reason::VolumesGrowing, growing.join("; "));
    }
    let message = format!("every volume has {} bytes or more", valid.storage.storage_request_bytes);
    Verdict::new(ConditionStatus::True, Reason::VolumesAsWanted, message)
}

/// The cluster's claims, whoever made them.
fn claims<'a>(valid: &'a Valid, children: &'a Children) -> impl Iterator<Item = &'a PersistentVolumeClaim> {
    let labels = metadata::selector_labels(&valid.name);
    children.claims.iter().filter(move |claim| {
        let ours = labels.iter().all(|(key, value)| claim.labels().get(key) == Some(value));
        ours && ordinal(claim).is_some() && claim.metadata.deletion_timestamp.is_none()
    })
}

/// The cluster's claims by their nodes' ordinals, also those that go.
pub(super) fn claims_by_ordinal<'a>(
    valid: &'a Valid,
    children: &'a Children,
) -> impl Iterator<Item = (i32, &'a PersistentVolumeClaim)> {
    let labels = metadata::selector_labels(&valid.name);
    children.claims.iter().filter_map(move |claim| {
        let ours = labels.iter().all(|(key, value)| claim.labels().get(key) == Some(value));
        let ordinal = ordinal(claim).and_then(|ordinal| i32::try_from(ordinal).ok());
        Some((ordinal.filter(|_| ours)?, claim))
    })
}

fn ordinal(claim: &PersistentVolumeClaim) -> Option<u32> {
    claim.metadata.name.as_deref()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Only bound claims can be changed; the others are made with what their template says and grow afterwards.
fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

fn class(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.storage_class_name.as_deref().filter(|name| !name.is_empty())
}

fn requested(claim: &PersistentVolumeClaim) -> Option<i64> {
    bytes(claim.spec.as_ref()?)
}

fn bytes(spec: &PersistentVolumeClaimSpec) -> Option<i64> {
    let size = spec.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    ParsedQuantity::try_from(size).ok()?.to_bytes_i64()
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<i64> {
    let size = claim.status.as_ref()?.capacity.as_ref()?.get("storage")?;
    ParsedQuantity::try_from(size).ok()?.to_bytes_i64()
}

fn set_size(spec: &mut PersistentVolumeClaimSpec, size: i64) {
    let resources = spec.resources.get_or_insert_default();
    resources.requests.get_or_insert_default().insert("storage".to_owned(), Quantity(size.to_string()));
}

/// A size that cannot be read is left alone.
fn is_smaller(valid: &Valid, claim: &PersistentVolumeClaim) -> bool {
    requested(claim).is_some_and(|bytes| bytes < valid.storage.storage_request_bytes)
}

/// A class that nobody could ask may let it grow: the API server knows.
fn may_grow(children: &Children, claim: &PersistentVolumeClaim) -> bool {
    class(claim).is_some_and(|class| children.expandable.get(class).copied().unwrap_or(true))
}

/// Attributes that are wanted no more stay: Kubernetes knows no way back to none.
fn has_other_attributes(valid: &Valid, spec: Option<&PersistentVolumeClaimSpec>) -> bool {
    let wanted = valid.storage.volume_attributes_class_name.as_ref();
    wanted.is_some() && wanted != spec.and_then(|spec| spec.volume_attributes_class_name.as_ref())
}

fn differs(valid: &Valid, claim: &PersistentVolumeClaim) -> bool {
    is_smaller(valid, claim) || has_other_attributes(valid, claim.spec.as_ref())
}

/// The two fields of a claim that may change; its uid keeps another of its name from being made or changed.
fn changed(
    valid: &Valid,
    children: &Children,
    claim: &PersistentVolumeClaim,
) -> Option<PersistentVolumeClaim> {
    let found = claim.spec.as_ref()?;
    let size = requested(claim)?;
    let grows = is_smaller(valid, claim) && may_grow(children, claim);
    let attributes = valid.storage.volume_attributes_class_name.clone();
    if !grows && !has_other_attributes(valid, Some(found)) {
        return None;
    }
    let mut spec = PersistentVolumeClaimSpec {
        resources: Some(VolumeResourceRequirements::default()),
        volume_attributes_class_name: attributes.or_else(|| found.volume_attributes_class_name.clone()),
        ..PersistentVolumeClaimSpec::default()
    };
    set_size(&mut spec, if grows { valid.storage.storage_request_bytes } else { size });
    let metadata = ObjectMeta {
        name: claim.metadata.name.clone(),
        namespace: claim.metadata.namespace.clone(),
        uid: Some(claim.uid()?),
        ..ObjectMeta::default()
    };
    Some(PersistentVolumeClaim { metadata, spec: Some(spec), status: None })
}

/// Whether the claim template is behind claims that all have what is wanted: then new nodes would get too little.
fn is_outgrown(valid: &Valid, children: &Children, found: &StatefulSet) -> bool {
    let Some(template) = stateful_set::found_storage(found) else { return false };
    let smaller = bytes(template).is_some_and(|bytes| bytes < valid.storage.storage_request_bytes);
    let behind = smaller || has_other_attributes(valid, Some(template));
    let has_claim =
        |node: i32| claims(valid, children).any(|claim| ordinal(claim) == u32::try_from(node).ok());
    behind
        && metadata::is_ours(valid, &found.metadata)
        && (0..stateful_set::observed_replicas(found)).all(has_claim)
        && !claims(valid, children).any(|claim| differs(valid, claim))
}

fn note(valid: &Valid, text: Option<String>) -> Step {
    let object = ObjectRef::of::<RestateCluster>(None, &valid.name);
    Step::Annotate { object, uid: valid.uid.clone(), annotations: [(REPLACED.to_owned(), text)].into() }
}

/// What makes the same set again.
fn text(found: &StatefulSet) -> Option<String> {
    let metadata = ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: found.metadata.labels.clone(),
        annotations: found.metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    let mut spec = found.spec.clone()?;
    for claim in spec.volume_claim_templates.iter_mut().flatten() {
        claim.status = None;
    }
    serde_json::to_string(&StatefulSet { metadata, spec: Some(spec), status: None }).ok()
}

fn shrinks(valid: &Valid, children: &Children) -> Option<String> {
    let template = children.stateful_set.as_ref().and_then(stateful_set::found_storage).and_then(bytes);
    let largest = claims(valid, children).filter_map(requested).chain(template).max()?;
    let wanted = valid.storage.storage_request_bytes;
    (wanted < largest).then(|| {
        format!(
            "spec.storage.storageRequestBytes: {wanted} is less than the {largest} that volumes have; they never shrink"
        )
    })
}

fn other_class(valid: &Valid, children: &Children) -> Option<String> {
    let wanted = valid.storage.storage_class_name.as_deref()?;
    let template = children.stateful_set.as_ref().and_then(stateful_set::found_storage);
    let of_template = template.and_then(|template| template.storage_class_name.as_deref());
    let mut found = of_template.into_iter().chain(claims(valid, children).filter_map(class));
    let other = found.find(|class| *class != wanted)?;
    Some(format!(
        "spec.storage.storageClassName: volumes keep the class that they were made with, {other}; {wanted} is not \
         acted on"
    ))
}

fn growing(valid: &Valid, claim: &PersistentVolumeClaim) -> Option<String> {
    let (name, wanted) = (claim.name_any(), valid.storage.storage_request_bytes);
    if is_smaller(valid, claim) {
        return Some(format!("{name} is told to grow to {wanted}"));
    }
    let capacity = capacity(claim).filter(|capacity| *capacity < wanted)?;
    let status = claim.status.as_ref()?;
    let told = status.conditions.iter().flatten().find(|condition| condition.status == "True");
    let told = told.map(|condition| format!(" ({})", condition.type_)).unwrap_or_default();
    Some(format!("{name} has {capacity} of {wanted}{told}"))
}
