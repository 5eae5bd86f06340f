//! Provisioning happens once, whoever asks and however often.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Restate, Result, eventually};
use serde_json::{Value, json};

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

#[tokio::test]
async fn create_provisions_once_with_two_callers_at_the_same_time() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = waiting(&lab, "e2e-provision").await?;
    let kubectl = lab.kubectl()?;
    let object = provision(restate.name());
    // Refused with a reason until the node answers: a cluster is never provisioned past a silent node.
    eventually("a dry run", Duration::from_mins(1), || async {
        let dry = kubectl.ask(["create", "-f", "-", "--dry-run=server", "-o", "json"], Some(&object)).await?;
        Ok(if dry.successful { Ok(()) } else { Err(dry.words) })
    })
    .await?;
    let ask = || kubectl.ask(["create", "-f", "-", "-o", "json"], Some(&object));
    let (first, second) = futures::join!(ask(), ask());
    let (first, second) = (first?, second?);
    ensure!(first.successful || second.successful, "{first:?} {second:?}");
    restate.ready().await?;
    let rows = restate.query("select count(*) as n from sys_deployment").await?;
    ensure!(rows[0]["n"] == 0, "{rows:?}");
    let again = kubectl.ask(["create", "-f", "-"], Some(&object)).await?;
    ensure!(!again.successful && again.words.contains("AlreadyExists"), "{again:?}");
    Ok(())
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
    let again = kubectl.ask(["create", "-f", "-"], Some(&provision(restate.name()))).await?;
    ensure!(!again.successful && again.words.contains("AlreadyExists"), "{again:?}");
    Ok(())
}
