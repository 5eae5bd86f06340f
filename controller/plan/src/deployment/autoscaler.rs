//! The autoscaler of a version that drains.
//!
//! Stage in the flow: plan. Invariants: it targets that version's replica set alone and never goes below one pod, as
//! work would have nowhere to resume. Not for the current version: that one scales through the scale subresource.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use kube_core::Resource;

use super::metadata;
use super::validate::{Autoscaling, Spec};
use super::version::Version;

/// The autoscaler of `version`.
pub(super) fn autoscaler(
    spec: &Spec,
    autoscaling: &Autoscaling,
    version: &Version,
) -> HorizontalPodAutoscaler {
    let mut scaling = autoscaling.spec.clone();
    scaling.min_replicas = scaling.min_replicas.map(|fewest| fewest.max(1));
    scaling.scale_target_ref = CrossVersionObjectReference {
        api_version: Some(ReplicaSet::api_version(&()).into_owned()),
        kind: ReplicaSet::kind(&()).into_owned(),
        name: version.name.clone(),
    };
    HorizontalPodAutoscaler {
        metadata: metadata::child(spec, &version.name, metadata::owner(spec)),
        spec: Some(scaling),
        status: None,
    }
}
