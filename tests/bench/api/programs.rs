//! The operator's own programs: how many replicas of each there are while something is measured, and afterwards.

use std::time::Duration;

use anyhow::Context as _;
use restate_tests::{Kubectl, Result, eventually, lab::OPERATOR_NAMESPACE};
use serde_json::Value;

pub(super) const CONTROLLER: &str = "restate-operator";
pub(super) const APISERVER: &str = "restate-operator-apiserver";
const QUIET: Duration = Duration::from_mins(5);

/// So many replicas, all ready, and nobody who is on the way out.
pub(super) async fn scale(kubectl: &Kubectl, name: &str, replicas: usize) -> Result {
    let (deployment, count) = (format!("deployment/{name}"), format!("--replicas={replicas}"));
    kubectl.run(["-n", OPERATOR_NAMESPACE, "scale", &deployment, &count]).await?;
    settled(kubectl, name, replicas).await
}

/// One process of the aggregated API that has seen nothing of earlier measurements.
pub(super) async fn restart(kubectl: &Kubectl) -> Result {
    let deployment = format!("deployment/{APISERVER}");
    kubectl.run(["-n", OPERATOR_NAMESPACE, "rollout", "restart", &deployment]).await?;
    settled(kubectl, APISERVER, 1).await
}

/// What an eviction left counts for nobody, but it is in the way of whoever looks.
pub(super) async fn clear_failed(kubectl: &Kubectl) -> Result {
    let failed = ["delete", "pods", "--field-selector=status.phase=Failed", "--ignore-not-found"];
    kubectl.run(["-n", OPERATOR_NAMESPACE].into_iter().chain(failed)).await.map(drop)
}

/// `rollout status` waits until the Deployment's controller has seen the change: before that the pods of before look
/// like what is wanted. Pods that end gracefully are waited for, too: they would be measured.
async fn settled(kubectl: &Kubectl, name: &str, replicas: usize) -> Result {
    let deployment = format!("deployment/{name}");
    let status = ["rollout", "status", "--timeout=5m", &deployment];
    kubectl.run(["-n", OPERATOR_NAMESPACE].into_iter().chain(status)).await?;
    eventually(&format!("{name} to have {replicas} pods"), QUIET, || async {
        let selector = format!("app={name}");
        let get = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", &selector, "-o", "json"];
        let list = kubectl.json(get).await?;
        let pods = alive(list["items"].as_array().context("no list")?);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let done = pods.len() == replicas && ready == replicas;
        Ok(if done { Ok(()) } else { Err(format!("{ready} of {} are ready", pods.len())) })
    })
    .await
}

/// A pod that has failed or ended runs nothing.
fn alive(pods: &[Value]) -> Vec<&Value> {
    let over = |pod: &&Value| pod["status"]["phase"] == "Failed" || pod["status"]["phase"] == "Succeeded";
    pods.iter().filter(|pod| !over(pod)).collect()
}

fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["containerStatuses"][0]["ready"] == true
}
