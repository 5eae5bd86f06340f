//! One controller at a time, also while taking over: a controller of another make knows nothing of our Lease, so
//! while one of its pods exists we only look. Invariant: what cannot be listed is taken to be there.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;

use crate::execute::API_DEADLINE;

/// How often to look while one is there; nothing else is waiting for a faster answer.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// How to tell pods apart.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// Where they are.
    pub(crate) namespace: String,
    /// `key=value` on pods of any controller.
    pub(crate) selector: String,
    /// `key=value` on pods that obey our Lease.
    pub(crate) peers: String,
    /// Name of our own pod.
    pub(crate) own: Option<String>,
}

/// Waits until no pod of another controller exists.
pub(crate) async fn gone(client: &Client, marks: &Marks) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &marks.namespace);
    loop {
        let wanted = ListParams::default().labels(&marks.selector);
        match timeout(API_DEADLINE, pods.list(&wanted)).await {
            Ok(Ok(found)) => match found.iter().find(|pod| is_predecessor(pod, marks)) {
                None => return,
                Some(pod) => {
                    tracing::warn!(pod = pod.name_any(), "another controller is still there: waiting");
                }
            },
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot see whether another controller is there: waiting");
            }
            Err(_) => {
                tracing::warn!("the API server does not say whether another controller is there: waiting");
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn is_predecessor(pod: &Pod, marks: &Marks) -> bool {
    let is_peer = marks
        .peers
        .split_once('=')
        .is_some_and(|(key, value)| pod.labels().get(key).is_some_and(|found| found == value));
    let is_over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_over = matches!(is_over, Some("Succeeded" | "Failed"));
    !is_peer && !is_over && marks.own != pod.metadata.name
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::the_old_one("old", json!({"app": "restate-operator"}), "Running", true)]
    #[case::it_terminates_still("old", json!({"app": "restate-operator"}), "Pending", true)]
    #[case::it_is_over("old", json!({"app": "restate-operator"}), "Succeeded", false)]
    #[case::a_peer("peer", json!({"app": "restate-operator", "component": "controller"}), "Running", false)]
    #[case::something_else_with_the_key("x", json!({"component": "apiserver"}), "Running", true)]
    #[case::ourselves("me", json!({"app": "restate-operator"}), "Running", false)]
    fn only_a_foreign_controller_is_waited_for(
        #[case] name: &str,
        #[case] labels: serde_json::Value,
        #[case] phase: &str,
        #[case] waits: bool,
    ) {
        let marks = Marks {
            namespace: "operator".to_owned(),
            selector: "app=restate-operator".to_owned(),
            peers: "component=controller".to_owned(),
            own: Some("me".to_owned()),
        };
        let pod = json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}});
        assert_eq!(is_predecessor(&serde_json::from_value(pod).unwrap(), &marks), waits);
    }
}
