//! Objects that people asked to leave alone, by annotation. Nothing is done about them but their deletion; what is said
//! of them is frozen, and says so.

use kube_core::ObjectMeta;
use restate_crd::annotation::{DISABLED, RECONCILE};
use restate_crd::condition::{ConditionStatus, Reason, Verdict};

/// What the status of such an object says.
const MESSAGE: &str =
    "annotation restate.dev/reconcile is disabled: nothing is done, and the rest of this status is frozen";

/// Whether people asked to leave the object alone.
pub fn is_paused(metadata: &ObjectMeta) -> bool {
    metadata.annotations.iter().flatten().any(|(key, value)| key == RECONCILE && value == DISABLED)
}

/// What is stalled about it.
pub(crate) fn verdict() -> Verdict {
    Verdict::new(ConditionStatus::True, Reason::Paused, MESSAGE)
}
