//! The disruption budget: how many nodes may be evicted at a time.
//!
//! One, as a rule; a pod that is not ready counts, so that no other is evicted while one is down. None while pods are
//! replaced and their nodes catch up, and none where the spec asks for a single copy on several nodes.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Children, NAME, Valid, metadata, replication, rollout, stateful_set};

pub(super) fn disruption_budget(valid: &Valid, children: &Children) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(max_unavailable(valid, children))),
        selector: Some(metadata::selector(&valid.name)),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: metadata::child(valid, NAME), spec: Some(spec), status: None }
}

/// A single node may always be evicted: nothing else would ever let its machine go.
fn max_unavailable(valid: &Valid, children: &Children) -> i32 {
    let nodes = children.stateful_set.as_ref().map_or(valid.replicas, stateful_set::observed_replicas);
    let single_copy = replication::copies_wanted(valid) == Some(1);
    let safe = nodes <= 1 || !(single_copy || rollout::under_way(valid, children).is_some());
    i32::from(safe)
}
