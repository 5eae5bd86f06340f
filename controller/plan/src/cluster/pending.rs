//! Fields that are accepted and not acted on yet: said in a condition, never silently ignored.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::{Valid, stateful_set};

/// One sentence per field that is not acted on yet.
pub(super) fn fields(valid: &Valid, found: Option<&StatefulSet>) -> Vec<String> {
    let mut fields = Vec::new();
    if let Some(found) = found {
        fields.extend(shrinking(valid, found));
    }
    fields
}

fn shrinking(valid: &Valid, found: &StatefulSet) -> Option<String> {
    let running = stateful_set::observed_replicas(found);
    let wanted = valid.replicas;
    (wanted < running).then(|| {
        format!("spec.compute.replicas: {wanted} is fewer than the {running} nodes that run; nodes are not removed")
    })
}
