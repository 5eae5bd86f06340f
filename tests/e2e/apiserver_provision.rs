//! Provisioning happens once, whoever asks and however often.

use std::time::Duration;

use anyhow::{bail, ensure};
use restate_tests::{Kubectl, Lab, Restate, Result, eventually, kubectl::Answer};
use serde_json::{Value, json};

/// Not what the server's own configuration says.
const PARTITIONS: usize = 8;

/// A RestateCluster that waits to be provisioned by hand.
async fn waiting(lab: &Lab, about: &str) -> Result<Restate> {
    let restate = Restate::to_be_made(lab, about).await?;
    // A server provisions itself unless its own configuration says no.
    let config =
        "auto-provision = false\ndefault-num-partitions = 4\nrocksdb-total-memory-size = \"128 MiB\"\n";
    let manual = json!({"cluster": {"autoProvision": false, "provisioning": "Manual"}, "config": config});
    lab.kubectl()?.apply(&restate.object(&manual)?).await?;
    let kubectl = lab.kubectl()?;
    eventually("the node to run", Duration::from_mins(2), || async {
        let phase = kubectl
            .run(["-n", restate.name(), "get", "pods", "-o", "jsonpath={.items[*].status.phase}"])
            .await?;
        Ok(if phase == "Running" { Ok(()) } else { Err(phase) })
    })
    .await?;
    Ok(restate)
}

fn provision(cluster: &str) -> Value {
    json!({
        "apiVersion": "control.restate.dev/v1alpha1",
        "kind": "RestateClusterProvision",
        "metadata": {"name": cluster},
    })
}

/// C10, E5, G6: the numbers of the request are what the dry run shows and what the cluster then has; of two callers at
/// once exactly one is served.
#[tokio::test]
async fn create_provisions_once_with_two_callers_at_the_same_time() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = waiting(&lab, "e2e-provision").await?;
    let kubectl = lab.kubectl()?;
    let mut object = provision(restate.name());
    object["spec"] = json!({"partitions": PARTITIONS});
    // Refused with a reason until the node answers: a cluster is never provisioned past a silent node.
    let dry = eventually("a dry run", Duration::from_mins(1), || async {
        let dry = kubectl.ask(["create", "-f", "-", "--dry-run=server", "-o", "json"], Some(&object)).await?;
        Ok(if dry.successful { Ok(dry.output) } else { Err(dry.words) })
    })
    .await?;
    let dry: Value = serde_json::from_str(&dry)?;
    let configuration = dry["status"]["configuration"].as_str().unwrap_or_default();
    ensure!(dry["status"]["provisioned"] == false, "{dry}");
    ensure!(configuration.contains(&PARTITIONS.to_string()), "the dry run is Restate's own: {dry}");
    once(&kubectl, &object).await?;
    restate.ready().await?;
    let path = format!("/apis/control.restate.dev/v1alpha1/restateclusters/{}/health", restate.name());
    eventually("the partitions", Duration::from_mins(1), || async {
        let health = kubectl.json(["get", "--raw", &path]).await?;
        let status = &health["status"];
        let led = status["partitions"].as_array().is_some_and(|all| all.len() == PARTITIONS);
        let told = status["configuration"]["partitions"] == PARTITIONS;
        Ok(if led && told { Ok(()) } else { Err(status.to_string()) })
    })
    .await?;
    is_done(&kubectl, &object).await
}

/// Whoever asks later is told that it is done: a replica that has not heard of it yet refuses with other words. It is
/// never done again.
async fn is_done(kubectl: &Kubectl, object: &Value) -> Result {
    let answer = eventually("to be told that it is done", Duration::from_mins(1), || async {
        let answer = kubectl.ask(["create", "-f", "-"], Some(object)).await?;
        let told = answer.successful || answer.words.contains("AlreadyExists");
        Ok(if told { Ok(answer) } else { Err(answer.words) })
    })
    .await?;
    ensure!(!answer.successful, "served a second time: {answer:?}");
    Ok(())
}

/// Was the caller refused with a 409, by one reason or the other?
fn is_conflict(answer: &Answer) -> bool {
    ["(Conflict)", "(AlreadyExists)"].iter().any(|reason| answer.words.contains(reason))
}

/// Two callers at once: never both. Neither, where the controller wrote the RestateCluster in that very moment: they
/// are told so, and ask again.
async fn once(kubectl: &Kubectl, object: &Value) -> Result {
    for _ in 0..10 {
        let ask = || kubectl.ask(["create", "-f", "-", "-o", "json"], Some(object));
        let (first, second) = futures::join!(ask(), ask());
        let all = [first?, second?];
        let refused: Vec<_> = all.iter().filter(|answer| !answer.successful).collect();
        match refused.len() {
            0 => bail!("both were served: {all:?}"),
            1 if is_conflict(refused[0]) => return Ok(()),
            // A replica that saw too little asks its caller to come again.
            1 => return is_done(kubectl, object).await,
            _ => {
                let mut conflicts = refused.iter().filter(|answer| is_conflict(answer));
                let moment = conflicts.all(|answer| answer.words.contains("changed at this moment"));
                ensure!(moment, "nobody was served: {all:?}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    bail!("nobody was served in ten rounds")
}

/// Somebody was faster, by hand: that is seen, and nothing is provisioned twice.
#[tokio::test]
async fn what_restatectl_has_provisioned_becomes_ready() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = waiting(&lab, "by-hand").await?;
    let kubectl = lab.kubectl()?;
    let by_hand = ["-n", restate.name(), "exec", "restate-0", "--", "restatectl", "provision", "--yes"];
    eventually("restatectl to provision", Duration::from_mins(1), || async {
        let answer = kubectl.ask(by_hand, None).await?;
        Ok(if answer.successful { Ok(()) } else { Err(answer.words) })
    })
    .await?;
    restate.ready().await?;
    is_done(&kubectl, &provision(restate.name())).await
}
