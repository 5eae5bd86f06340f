//! Provisioning happens once, whoever asks and however often.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Restate, Result, eventually};
use serde_json::{Value, json};

/// A RestateCluster that waits to be provisioned by hand.
async fn waiting(lab: &Lab, name: &str) -> Result<Restate> {
    let restate = Restate::named(lab, name).await?;
    let manual = json!({"cluster": {"autoProvision": false, "provisioning": "Manual"}});
    lab.kubectl()?.apply(&restate.object(&manual)?).await?;
    let kubectl = lab.kubectl()?;
    eventually("the node to run", Duration::from_mins(2), || async {
        let phase =
            kubectl.run(["-n", name, "get", "pods", "-o", "jsonpath={.items[*].status.phase}"]).await?;
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
    let dry = kubectl.ask(["create", "-f", "-", "--dry-run=server", "-o", "json"], Some(&object)).await?;
    ensure!(dry.successful, "dry run: {}", dry.words);
    let ask = || kubectl.ask(["create", "-f", "-", "-o", "json"], Some(&object));
    let (first, second) = futures::join!(ask(), ask());
    let (first, second) = (first?, second?);
    ensure!(first.successful || second.successful, "{first:?} {second:?}");
    restate.ready().await?;
    let rows = restate.query("select count(*) as n from sys_deployment").await?;
    ensure!(rows[0]["n"] == 0, "{rows:?}");
    kubectl.run(["delete", "restatecluster", restate.name(), "--wait=false"]).await?;
    Ok(())
}
