//! The stateful set of a cluster, and what may be done to one that exists.
//!
//! A changed pod template restarts nodes, so the template follows the user's own fields alone: their digest is
//! recorded, and while it stays the same the template stays as it was found, whoever made it and whatever our
//! defaults are today. Claim templates are immutable and are taken over as found; where volumes have outgrown them,
//! the set is replaced ([`super::storage`]). Fewer nodes are not made here ([`super::shrink`]).

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_core::{ObjectMeta, ResourceExt};
use restate_crd::cluster::{Compute, NodeLocation, Security};

use super::{NAME, Operator, PEERS, Seen, Valid, identity, metadata, pod, rollout, shrink, storage, upgrade};
use crate::{Manager, ObjectRef, Step, Uid, applied, bookkeeping};

/// Annotation with the digest of those fields of the spec that make the pod template.
pub(super) const TEMPLATE_FIELDS: &str = "restate.dev/template-fields";

/// Name of the claim template, and of the volume.
const VOLUME: &str = "storage";

/// The stateful set as a new one would be, or with the claim templates of the one that exists.
pub(super) fn stateful_set(valid: &Valid, operator: &Operator, found: Option<&StatefulSet>) -> StatefulSet {
    let mut metadata = metadata::child(valid, NAME);
    let fields = template_fields(valid);
    metadata.annotations.get_or_insert_default().insert(TEMPLATE_FIELDS.to_owned(), fields);
    let spec = StatefulSetSpec {
        replicas: Some(valid.replicas.max(found.map_or(0, observed_replicas))),
        pod_management_policy: Some("Parallel".to_owned()),
        persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: Some("Retain".to_owned()),
            when_scaled: Some("Retain".to_owned()),
        }),
        selector: metadata::selector(&valid.name),
        service_name: Some(PEERS.to_owned()),
        template: pod::template(valid, operator),
        update_strategy: Some(StatefulSetUpdateStrategy {
            type_: Some(rollout::STRATEGY.to_owned()),
            rolling_update: None,
        }),
        volume_claim_templates: Some(claims(valid, found)),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata, spec: Some(spec), status: None }
}

/// What to do about the stateful set. A template that changes goes to the pods one by one ([`rollout`]).
pub(super) fn steps(valid: &Valid, seen: &Seen) -> Vec<Step> {
    let Some(step) = step(valid, seen) else { return Vec::new() };
    let found = seen.children.stateful_set.as_ref().filter(|_| matches!(step, Step::Apply(..)));
    let leaves = found.filter(|found| !rollout::is_ours_to_do(found)).and_then(|found| {
        let object = ObjectRef::of::<StatefulSet>(Some(&valid.name), NAME);
        Some(Step::LeavePods { object, uid: Uid(found.uid()?) })
    });
    leaves.into_iter().chain([step]).collect()
}

fn step(valid: &Valid, seen: &Seen) -> Option<Step> {
    let Seen { children, operator, .. } = seen;
    let found = children.stateful_set.as_ref();
    let replicas = replicas(valid, seen);
    let apply = |mut set: StatefulSet| {
        set.spec.get_or_insert_default().replicas = Some(replicas);
        Step::Apply(Manager::Operator, Box::new(set.into()))
    };
    let Some(existing) = found else {
        let again = storage::replaced(valid);
        if again.is_none() && identity::is_awaited(valid, seen) {
            return None;
        }
        // One that is made again has as many as it had.
        return Some(again.map_or_else(
            || apply(stateful_set(valid, operator, None)),
            |again| Step::Apply(Manager::Operator, Box::new(again.into())),
        ));
    };
    if storage::is_going(existing) {
        return None;
    }
    let uid = Uid(existing.uid()?);
    let object = ObjectRef::of::<StatefulSet>(Some(&valid.name), NAME);
    let fields = template_fields(valid);
    match existing.annotations().get(TEMPLATE_FIELDS) {
        None => {
            let annotations = [(TEMPLATE_FIELDS.to_owned(), Some(fields))].into();
            Some(Step::Annotate { object, uid, annotations })
        }
        Some(recorded) if *recorded != fields && upgrade::held(valid, children).is_none() => {
            Some(apply(stateful_set(valid, operator, found)))
        }
        Some(_) => (observed_replicas(existing) != replicas).then_some(Step::Scale { object, uid, replicas }),
    }
}

/// As many as wanted and possible, never fewer than there are.
fn replicas(valid: &Valid, seen: &Seen) -> i32 {
    let running = seen.children.stateful_set.as_ref().map_or(0, observed_replicas);
    shrink::most(valid, seen, running).max(running)
}

/// How many nodes the stateful set is told to run.
pub(super) fn observed_replicas(found: &StatefulSet) -> i32 {
    found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Digest of the fields that make the pod template. A new field must say here whether it restarts the nodes.
pub(super) fn template_fields(valid: &Valid) -> String {
    let Compute { replicas: _, .. } = &valid.compute;
    let compute = Compute { replicas: None, ..valid.compute.clone() };
    let Security {
        disable_network_policies: _,
        allow_operator_access_to_admin: _,
        network_peers: _,
        network_egress_rules: _,
        service_account_annotations: _,
        service_annotations: _,
        aws_pod_identity_association_role_arn: _,
        aws_pod_security_groups: _,
        request_signing_private_key,
        trusted_ca_certs,
    } = &valid.security;
    let labels = bookkeeping::copied(valid.labels.as_ref());
    let annotations = bookkeeping::copied(valid.annotations.as_ref());
    let fields = applied::digest(&(
        compute,
        &valid.config,
        &valid.cluster_name,
        request_signing_private_key,
        trusted_ca_certs,
        labels,
        annotations,
    ));
    // Fields of later days: without them the digest is what it was before they existed.
    match valid.node_location {
        None => fields,
        Some(NodeLocation::TopologyLabels) => applied::digest(&(fields, "TopologyLabels")),
    }
}

fn claims(valid: &Valid, found: Option<&StatefulSet>) -> Vec<PersistentVolumeClaim> {
    let existing = found.and_then(|found| found.spec.as_ref()?.volume_claim_templates.clone());
    existing.map_or_else(|| vec![claim(valid)], |claims| claims.into_iter().map(without_status).collect())
}

fn without_status(claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
    PersistentVolumeClaim { status: None, ..claim }
}

fn claim(valid: &Valid) -> PersistentVolumeClaim {
    let storage = Quantity(valid.storage.storage_request_bytes.to_string());
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        resources: Some(VolumeResourceRequirements {
            requests: Some([("storage".to_owned(), storage)].into()),
            limits: None,
        }),
        storage_class_name: valid.storage.storage_class_name.clone(),
        volume_attributes_class_name: valid.storage.volume_attributes_class_name.clone(),
        ..PersistentVolumeClaimSpec::default()
    };
    let labels = Some(metadata::selector_labels(&valid.name));
    let metadata = ObjectMeta { name: Some(VOLUME.to_owned()), labels, ..ObjectMeta::default() };
    PersistentVolumeClaim { metadata, spec: Some(spec), status: None }
}

/// The claim template's size, class and attributes class, as found.
pub(super) fn found_storage(found: &StatefulSet) -> Option<&PersistentVolumeClaimSpec> {
    let claims = found.spec.as_ref()?.volume_claim_templates.as_ref()?;
    claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(VOLUME))?.spec.as_ref()
}
