//! The disruption budget: one node at a time may be evicted.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{NAME, Valid, metadata};

pub(super) fn disruption_budget(valid: &Valid) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(metadata::selector(&valid.name)),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: metadata::child(valid, NAME), spec: Some(spec), status: None }
}
