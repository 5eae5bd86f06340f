//! A cluster that grows from one node to three, with real Restate.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Namespace, Restate, Result, Service, eventually, lab::Image};
use serde_json::{Value, json};

/// Three servers come up on a node with two cores.
const GROWN: Duration = Duration::from_mins(4);

fn nodes(count: i32) -> Value {
    json!({"cluster": {"provisioning": "Auto", "replication": 2}, "compute": {"replicas": count}})
}

async fn status(lab: &Lab, restate: &Restate, command: &[&str]) -> Result<String> {
    let exec = ["-n", restate.name(), "exec", "restate-0", "-c", "restate", "--", "restatectl"];
    lab.kubectl()?.run(exec.iter().chain(command)).await
}

/// users.md §1b (op#195, op#83): the new nodes find the first by themselves, logs and partitions get a second copy,
/// and the cluster goes on when a node is lost. Long: with `--all`.
#[tokio::test]
async fn one_node_becomes_three_and_bears_the_loss_of_one() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.runs_all() {
        return Ok(());
    }
    let restate = Restate::own(&lab, "growth", &nodes(1)).await?;
    let namespace = Namespace::new(&lab, "growth-app").await?;
    let service = Service::new(&lab, &namespace, &restate);
    service.roll_out(Image::GreeterV1).await?;
    let first = status(&lab, &restate, &["config", "get"]).await?;
    ensure!(first.contains("{node: 1}"), "{first}");

    lab.kubectl()?.apply(&restate.object(&nodes(3))?).await?;
    eventually("replication to follow", GROWN, || async {
        let path = r#"jsonpath={.status.conditions[?(@.type=="ClusterConfigDrift")]}"#;
        let text = lab.kubectl()?.run(["get", "restatecluster", restate.name(), "-o", path]).await?;
        let drift: Value = serde_json::from_str(&text).unwrap_or_default();
        let object = lab.kubectl()?.json(["get", "restatecluster", restate.name(), "-o", "json"]).await?;
        let is_of_now = drift["observedGeneration"] == object["metadata"]["generation"];
        Ok(if drift["reason"] == "ReplicationAsWanted" && is_of_now { Ok(()) } else { Err(text) })
    })
    .await?;
    let now = status(&lab, &restate, &["config", "get"]).await?;
    ensure!(now.contains("{node: 2}") && !now.contains("{node: 1}"), "{now}");
    eventually("every log to be written to two nodes", Duration::from_mins(1), || async {
        let logs = status(&lab, &restate, &["logs", "list"]).await?;
        let behind = logs.lines().filter(|line| line.contains("{node: 1}")).count();
        Ok(if behind == 0 { Ok(()) } else { Err(logs) })
    })
    .await?;

    lab.kill(restate.name(), "apps.kubernetes.io/pod-index=2").await?;
    let path = format!("{}/greet", service.name());
    eventually("calls to go on with a node lost", Duration::from_mins(1), || async {
        let answer = restate.call(&path, &json!("Ada")).await;
        Ok(answer.map(drop).map_err(|error| format!("{error:#}")))
    })
    .await?;
    restate.ready().await?;
    a_lost_disk_is_named_and_mended(&lab, &restate).await
}

/// users.md §1b (op#74): a pod that comes back with another disk is named, and mended as the docs say.
async fn a_lost_disk_is_named_and_mended(lab: &Lab, restate: &Restate) -> Result {
    let kubectl = lab.kubectl()?;
    let of = |what: &'static [&'static str]| ["-n", restate.name()].into_iter().chain(what.iter().copied());
    kubectl.run(of(&["delete", "pvc", "storage-restate-2", "--wait=false"])).await?;
    kubectl.run(of(&["delete", "pod", "restate-2"])).await?;
    eventually("the lost disk to be named", GROWN, || async {
        let path = r#"jsonpath={.status.conditions[?(@.type=="NodeDataLoss")].message}"#;
        let message = kubectl.run(["get", "restatecluster", restate.name(), "-o", path]).await?;
        Ok(if message.contains("/restate-2)") { Ok(()) } else { Err(message) })
    })
    .await?;
    let recovery = json!({
        "apiVersion": "control.restate.dev/v1alpha1",
        "kind": "RestateClusterRecovery",
        "metadata": {"name": restate.name()},
        "spec": {"node": "restate-2"},
    });
    let other = json!({"metadata": {"name": restate.name()}, "spec": {"node": "restate-1"}});
    let path = format!("/apis/control.restate.dev/v1alpha1/restateclusters/{}/recover", restate.name());
    let refused = kubectl.ask(["create", "--raw", &path, "-f", "-"], Some(&other)).await?;
    ensure!(!refused.successful && refused.words.contains("DiskLost"), "{refused:?}");
    // Refused with a reason while another node does not answer.
    eventually("every guard to hold", GROWN, || async {
        let dry =
            kubectl.ask(["create", "-f", "-", "--dry-run=server", "-o", "json"], Some(&recovery)).await?;
        Ok(if dry.successful { Ok(()) } else { Err(dry.words) })
    })
    .await?;
    let ask = || kubectl.ask(["create", "-f", "-", "-o", "json"], Some(&recovery));
    let (first, second) = futures::join!(ask(), ask());
    let (first, second) = (first?, second?);
    ensure!(first.successful || second.successful, "{first:?} {second:?}");
    eventually("the node to come back and the warning to go", GROWN, || async {
        let object = kubectl.json(["get", "restatecluster", restate.name(), "-o", "json"]).await?;
        let conditions = object["status"]["conditions"].to_string();
        Ok(if conditions.contains("NodeDataLoss") { Err(conditions) } else { Ok(()) })
    })
    .await?;
    restate.ready().await
}
