//! Says what the process waits for before it can act: in its log, and as one series of events on its own pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use restate_plan::{EventKind, Note};

use super::health::Readiness;
use crate::args::Place;
use crate::execute::Notices;

/// Nothing is said about what arrives within this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is said again.
const AGAIN: Duration = Duration::from_mins(2);

/// Says it whenever something is missing: a kind may also be taken away later.
pub(crate) async fn tell(readiness: Readiness, notices: Notices, pod: ObjectReference) {
    loop {
        readiness.incomplete().await;
        tokio::time::sleep(PATIENCE).await;
        let pending = readiness.pending();
        if pending.is_empty() {
            continue;
        }
        let message =
            format!("waits for {}: are the definitions of Restate's kinds installed?", pending.join(", "));
        let note = Note { kind: EventKind::Warning, reason: "WaitingForKinds", action: "Start", message };
        notices.repeat(&note, &pod).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Our own pod, for events.
pub(crate) fn own_pod(place: &Place, namespace: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: place.operator_pod_name.clone().or_else(|| Some("restate-controller".to_owned())),
        uid: place.operator_pod_uid.clone(),
        ..ObjectReference::default()
    }
}
