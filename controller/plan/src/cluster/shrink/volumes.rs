//! The volumes of nodes that were removed. A removed node never comes back: a pod of its name with the old disk joins
//! as a new node, finds the mark of the old one and ends. So the claim goes, or, where volumes are to be retained, it
//! is marked, and no pod of that ordinal is made while it is there.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube_core::ResourceExt;
use restate_crd::cluster::DeletionPolicy;

use super::super::{Children, Seen, Valid, storage};
use super::survey::Survey;
use crate::{ObjectRef, Propagation, Step, Uid};

/// Annotation of a claim that belonged to a node that was removed from its cluster.
pub const REMOVED: &str = "restate.dev/node-removed";

/// Claims of ordinals from this one up that no pod and no node of the cluster has, and that are not marked.
pub(super) fn left_over<'a>(
    valid: &'a Valid,
    seen: &'a Seen,
    survey: &Survey,
    from: i32,
) -> Vec<&'a PersistentVolumeClaim> {
    let running = super::running(seen);
    let has_node = |ordinal: i32| !survey.of(|found| found == ordinal).is_empty();
    let of_nobody = |ordinal: i32| ordinal >= from && ordinal >= running && !has_node(ordinal);
    let claims = storage::claims_by_ordinal(valid, &seen.children);
    claims
        .filter(|(ordinal, claim)| of_nobody(*ordinal) && !is_marked(claim))
        .map(|(_, claim)| claim)
        .collect()
}

/// What becomes of such claims. Those that go already are waited for.
pub(super) fn steps(valid: &Valid, claims: &[&PersistentVolumeClaim]) -> Vec<Step> {
    let retained = valid.storage.deletion_policy == Some(DeletionPolicy::Retain);
    let step = |claim: &&PersistentVolumeClaim| {
        let object = ObjectRef::of::<PersistentVolumeClaim>(Some(&valid.name), &claim.name_any());
        let uid = Uid(claim.uid()?);
        if retained {
            let annotations = [(REMOVED.to_owned(), Some("true".to_owned()))].into();
            return Some(Step::Annotate { object, uid, annotations });
        }
        let delete = Step::Delete { object, uid, propagation: Propagation::Background };
        claim.metadata.deletion_timestamp.is_none().then_some(delete)
    };
    claims.iter().filter_map(step).collect()
}

/// The claims of removed nodes that keep pods of these ordinals from being made.
pub(super) fn stale(
    valid: &Valid,
    children: &Children,
    ordinals: std::ops::Range<i32>,
) -> Vec<(i32, String)> {
    let claims = storage::claims_by_ordinal(valid, children);
    let mut stale: Vec<_> = claims
        .filter(|(ordinal, claim)| ordinals.contains(ordinal) && is_marked(claim))
        .map(|(ordinal, claim)| (ordinal, claim.name_any()))
        .collect();
    stale.sort();
    stale
}

/// Whether any claim of this ordinal is there, also one that goes.
pub(super) fn is_there(valid: &Valid, children: &Children, ordinal: i32) -> bool {
    storage::claims_by_ordinal(valid, children).any(|(found, _)| found == ordinal)
}

fn is_marked(claim: &PersistentVolumeClaim) -> bool {
    claim.annotations().contains_key(REMOVED)
}
