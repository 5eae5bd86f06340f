//! Nodes of a cluster die, one by one and all at once, and lose a disk, while it is called. Long: with `--all`.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Load, Nodes, Pace, Result, eventually, nodes};
use serde_json::json;
use tokio::time::sleep;

/// What is left of the calls may take so long.
const REST: Duration = Duration::from_mins(4);
/// Between two deaths: leaders move, calls go on.
const PAUSE: Duration = Duration::from_secs(5);
const COUNT: u32 = 3;

/// Three nodes with two copies of everything, called without a pause; none on a cluster elsewhere.
async fn called(about: &str) -> Result<Option<(Nodes, Load)>> {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(None);
    }
    let nodes = Nodes::make(&lab, about, &Nodes::spec(3)).await?;
    nodes.are_replicated().await?;
    let load = Load::begin(&lab, nodes.restate(), Pace::steady()).await?;
    sleep(PAUSE).await;
    Ok(Some((nodes, load)))
}

/// users.md §1b (op#195): two copies bear the loss of any node.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn each_node_dies_in_turn_and_no_call_is_lost() -> Result {
    let Some((nodes, load)) = called("in-turn").await? else { return Ok(()) };
    for node in 0..COUNT {
        nodes.kill(node, COUNT.into()).await?;
        sleep(PAUSE).await;
    }
    load.end(REST).await?.hold("each of three nodes killed in turn")
}

/// users.md §2a (1.6.0, op#22): the metadata's quorum comes together again, at the same addresses and at new ones.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn all_nodes_die_at_once_and_the_cluster_returns() -> Result {
    let Some((nodes, load)) = called("at-once").await? else { return Ok(()) };
    nodes.kill_all(COUNT).await?;
    sleep(PAUSE).await;
    nodes.replace_all(COUNT).await?;
    load.end(REST).await?.hold("all of three nodes killed at once, then replaced at once")
}

/// users.md §1b and §4 (op#74): a pod that comes back with another disk is named, and mended as the docs say.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn a_lost_disk_is_named_and_its_node_mended() -> Result {
    let Some((nodes, load)) = called("lost-disk").await? else { return Ok(()) };
    nodes.lose_disk(2).await?;
    let lost = nodes.until("NodeDataLoss", nodes::UP, |lost| lost["status"] == "True").await?;
    let message = lost["message"].as_str().unwrap_or_default();
    ensure!(message.contains("/restate-2)") && !message.contains("/restate-1)"), "{message}");
    recover(&Lab::of_this_run()?, &nodes, "restate-2").await?;
    nodes.are_up(COUNT.into()).await?;
    nodes.are_read_write(3).await?;
    nodes.is_gone("NodeDataLoss", nodes::UP).await?;
    load.end(REST).await?.hold("the disk of one of three nodes lost, and the node mended")
}

/// Lets the node begin anew with its empty disk: docs/clusters/recover.md. A node that lost nothing is refused; of two
/// callers at once at least one is answered.
async fn recover(lab: &Lab, nodes: &Nodes, pod: &str) -> Result {
    let (kubectl, cluster) = (lab.kubectl()?, nodes.restate().name());
    let recovery = |node: &str| {
        json!({
            "apiVersion": "control.restate.dev/v1alpha1",
            "kind": "RestateClusterRecovery",
            "metadata": {"name": cluster},
            "spec": {"node": node},
        })
    };
    let path = format!("/apis/control.restate.dev/v1alpha1/restateclusters/{cluster}/recover");
    let other = json!({"metadata": {"name": cluster}, "spec": {"node": "restate-1"}});
    let refused = eventually("a node that lost nothing to be refused", nodes::UP, || async {
        let answer = kubectl.ask(["create", "--raw", &path, "-f", "-"], Some(&other)).await?;
        let told = answer.successful || answer.words.contains("DiskLost");
        Ok(if told { Ok(answer) } else { Err(answer.words) })
    });
    let refused = refused.await?;
    ensure!(!refused.successful, "{refused:?}");
    // Refused with a reason while another node does not answer.
    let wanted = recovery(pod);
    eventually("every guard to hold", nodes::UP, || async {
        let dry = kubectl.ask(["create", "-f", "-", "--dry-run=server", "-o", "json"], Some(&wanted)).await?;
        Ok(if dry.successful { Ok(()) } else { Err(dry.words) })
    })
    .await?;
    let ask = || kubectl.ask(["create", "-f", "-", "-o", "json"], Some(&wanted));
    eventually("one of two callers to be answered", nodes::UP, || async {
        let (first, second) = futures::join!(ask(), ask());
        let (first, second) = (first?, second?);
        let answered = first.successful || second.successful;
        Ok(if answered { Ok(()) } else { Err(format!("{first:?} {second:?}")) })
    })
    .await
}
