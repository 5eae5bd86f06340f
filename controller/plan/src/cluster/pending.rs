//! Fields that are accepted and not acted on yet: said in a condition, never silently ignored.

use super::{Seen, Valid, shrink, stateful_set};

/// One sentence per field that is not acted on yet.
pub(super) fn fields(valid: &Valid, seen: &Seen) -> Vec<String> {
    shrink::retained(valid, seen).into_iter().chain(shrinking(valid, seen)).collect()
}

/// What a cluster's nodes hold is known once they are one.
fn shrinking(valid: &Valid, seen: &Seen) -> Option<String> {
    let running = stateful_set::observed_replicas(seen.children.stateful_set.as_ref()?);
    let wanted = valid.replicas;
    (wanted < running && !valid.provisioned).then(|| {
        format!(
            "spec.compute.replicas: {wanted} is fewer than the {running} nodes that run; nodes are not removed before the \
             cluster is provisioned"
        )
    })
}
