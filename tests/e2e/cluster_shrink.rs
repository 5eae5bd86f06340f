//! A cluster gives up nodes, or says why it does not, while it is called. Long: with `--all`.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{
    Bucket, Lab, Load, Nodes, Pace, Result, eventually,
    load::say,
    nodes::{self, CONFIG, names_any, unchanged},
};
use serde_json::Value;
use tokio::time::sleep;

/// The condition that tells of a shrink, step by step.
const SHRINK: &str = "ScalingDown";
/// Two nodes one after the other: drained, watched, snapshots, stopped, forgotten.
const SHRUNK: Duration = Duration::from_mins(10);
/// What is left of the calls may take so long.
const REST: Duration = Duration::from_mins(4);
/// Time for somebody to do what he must not do.
const PAUSE: Duration = Duration::from_secs(20);

/// Nodes that write their snapshots into a bucket.
pub(crate) fn spec(count: i32, bucket: &Bucket) -> Value {
    let mut spec = Nodes::spec(count);
    spec["config"] = format!("{CONFIG}{}", bucket.config()).into();
    spec
}

/// The cluster's ids of the two of five nodes that will go.
pub(crate) async fn going(nodes: &Nodes) -> Result<Vec<String>> {
    let ids = nodes.ids().await?;
    let going: Vec<_> =
        ["restate-3", "restate-4"].iter().filter_map(|name| ids.get(*name).cloned()).collect();
    ensure!(ids.len() == 5 && going.len() == 2, "{ids:?}");
    Ok(going)
}

/// The three nodes that are left are whole, and nobody speaks of the others any more.
pub(crate) async fn are_three(nodes: &Nodes, gone: &[String]) -> Result {
    nodes.are_up_within(3, SHRUNK).await?;
    nodes.is_gone(SHRINK, SHRUNK).await?;
    nodes.are_read_write(3).await?;
    for what in ["nodes", "logs", "partitions"] {
        eventually(&format!("{gone:?} to be in no list of {what}"), nodes::UP, || async {
            let list = nodes.restatectl(0, &[what, "list"]).await?;
            Ok(if names_any(&list, gone) { Err(list) } else { Ok(()) })
        })
        .await?;
    }
    Ok(())
}

/// users.md §1b (rs#5195): two copies do not fit on one node, so no node is taken away; the reason is said.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn three_nodes_with_two_copies_do_not_become_one() -> Result {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(());
    }
    let bucket = Bucket::open(&lab.address().await?).await?;
    let nodes = Nodes::make(&lab, "not-shrunk", &spec(3, &bucket)).await?;
    nodes.are_replicated().await?;
    let load = Load::begin(&lab, nodes.restate(), Pace::steady()).await?;
    let images = nodes.images().await?;
    nodes.change(&spec(1, &bucket)).await?;
    let names_why =
        |told: &Value| told["message"].as_str().is_some_and(|words| words.contains("replication"));
    nodes.until(SHRINK, nodes::UP, names_why).await?;
    sleep(PAUSE).await;
    unchanged(&nodes, &images, 3).await?;
    nodes.are_read_write(3).await?;
    nodes.change(&spec(3, &bucket)).await?;
    nodes.is_gone(SHRINK, nodes::UP).await?;
    load.end(REST).await?.hold("a shrink from three nodes to one, refused")
}

/// users.md §1b and §4 (rs#5195): drained first, then stopped, then forgotten; no call is lost.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn five_nodes_become_three_under_load() -> Result {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(());
    }
    let bucket = Bucket::open(&lab.address().await?).await?;
    let nodes = Nodes::make(&lab, "shrink", &spec(5, &bucket)).await?;
    nodes.are_replicated().await?;
    let load = Load::begin(&lab, nodes.restate(), Pace::steady()).await?;
    sleep(PAUSE).await;
    let going = going(&nodes).await?;
    nodes.change(&spec(3, &bucket)).await?;
    are_three(&nodes, &going).await?;
    say(&format!("the bucket has {} objects", bucket.len()));
    load.end(REST).await?.hold("a shrink from five nodes to three")
}
