//! A cluster that grows from one node to three while it is called, with real Restate.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Load, Nodes, Pace, Result, nodes};

/// What is left of the calls may take so long.
const REST: Duration = Duration::from_mins(3);

/// users.md §1b (op#195, op#83): the new nodes find the first by themselves, logs and partitions get a second copy,
/// and the cluster goes on when a node is lost. No call is lost on the way, none is done twice.
#[tokio::test(flavor = "multi_thread")]
async fn one_node_becomes_three_and_bears_the_loss_of_one_under_load() -> Result {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(());
    }
    let pace = if lab.runs_all() { Pace::steady() } else { Pace::brisk() };
    let nodes = Nodes::make(&lab, "growth", &Nodes::spec(1)).await?;
    let load = Load::begin(&lab, nodes.restate(), pace).await?;
    let first = nodes.restatectl(0, &["config", "get"]).await?;
    ensure!(first.contains("{node: 1}"), "{first}");

    nodes.change(&Nodes::spec(3)).await?;
    nodes.are_up(3).await?;
    nodes.are_replicated().await?;
    let now = nodes.restatectl(0, &["config", "get"]).await?;
    ensure!(now.contains("{node: 2}") && !now.contains("{node: 1}"), "{now}");

    nodes.kill(2, 3).await?;
    load.end(REST).await?.hold("growth from one node to three, and the loss of one")
}
