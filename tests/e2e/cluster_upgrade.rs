//! Three nodes go from the oldest minor version of Restate that can be had to the newest while they are called. Long:
//! with `--all`.

use std::time::Duration;

use restate_tests::{
    Lab, Load, Nodes, Pace, Result,
    lab::Image,
    load::say,
    nodes::{self, unchanged},
};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Three nodes one after the other, each of which hands over, stops, starts and catches up.
const ROLLED: Duration = Duration::from_mins(8);
/// What is left of the calls may take so long.
const REST: Duration = Duration::from_mins(4);
/// Time for somebody to do what he must not do.
const PAUSE: Duration = Duration::from_secs(10);
const COUNT: i64 = 3;

fn with_image(image: &str) -> Value {
    let mut spec = Nodes::spec(3);
    spec["compute"]["image"] = json!(image);
    spec
}

/// Applies an image that must not be rolled out, and waits for the word on it.
async fn is_held(nodes: &Nodes, image: &str, reason: &str) -> Result {
    let before = nodes.images().await?;
    nodes.change(&with_image(image)).await?;
    nodes
        .until("UpgradeHeld", nodes::UP, |held| held["status"] == "True" && held["reason"] == reason)
        .await?;
    sleep(PAUSE).await;
    unchanged(nodes, &before, COUNT).await
}

/// users.md §1b (op#154, op#155; op#83): one node at a time and no call lost; no minor version is left out, none is
/// gone back to. How many requests fail meanwhile is printed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three nodes or more under load take minutes: --all"]
async fn three_nodes_go_up_a_minor_version_under_load() -> Result {
    let lab = Lab::of_this_run()?;
    if !nodes::is_within_reach(&lab) {
        return Ok(());
    }
    if !lab.has(Image::OlderRestate) {
        eprintln!("skipped: there is no older Restate for this machine");
        return Ok(());
    }
    let (older, newest) = (lab.image(Image::OlderRestate)?, lab.image(Image::Restate)?);
    let nodes = Nodes::make(&lab, "upgrade", &with_image(&older)).await?;
    nodes.until("ClusterConfigDrift", nodes::UP, |drift| drift["reason"] == "ReplicationAsWanted").await?;
    let load = Load::begin(&lab, nodes.restate(), Pace::steady()).await?;

    // No such image exists: it must never get to a node.
    is_held(&nodes, "localhost/restate-operator/restate:1.8.0", "VersionSkipped").await?;
    say(&format!("three nodes at rest: {}", load.traffic()));

    nodes.change(&with_image(&newest)).await?;
    nodes.run(Image::Restate, COUNT, ROLLED).await?;
    nodes.is_gone("UpgradeHeld", nodes::UP).await?;
    say(&format!("after the rolling upgrade: {}", load.traffic()));

    is_held(&nodes, &older, "VersionLowered").await?;
    nodes.change(&with_image(&newest)).await?;
    nodes.is_gone("UpgradeHeld", nodes::UP).await?;
    load.end(REST).await?.hold("rolling upgrade of three nodes by a minor version")
}
