//! Nodes that exist in name only, and pods on them that are ready without running: for scale. A pod's address can be
//! that of a real pod, which then answers for all of them.

use std::{fmt::Write as _, fs, net::IpAddr};

use anyhow::Context as _;

use super::{Component, Node, Record, boot, site::NODE_NAME};
use crate::{Context, Result};

/// Which nodes are kwok's.
pub const SELECTOR: &str = "lab.restate.dev/kwok=true";

/// A node of kwok's, with `@NAME@` to be filled in. The taint keeps all pods away that do not ask for it.
const NODE: &str = include_str!("../../manifests/kwok-node.yaml");

/// How nodes and pods of kwok's behave, with `@ADDRESS@` for the pods' address and `@DELAY@` for the time
/// until they are ready.
const STAGES: &str = include_str!("../../manifests/kwok-stages.yaml");

/// In kwok's template: an address that kwok gives this pod.
const OWN_ADDRESS: &str =
    "index (PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace) 0";

/// How pods on these nodes are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pods {
    /// The address of all of them; else each gets one of kwok's own.
    pub address: Option<IpAddr>,
    /// Milliseconds until they are ready.
    pub delay: u32,
}

/// Makes `count` nodes and starts kwok.
pub async fn start(context: &Context, node: &Node, count: usize, pods: Pods) -> Result<()> {
    let Pods { address, delay } = pods;
    let record = Record::read(&context.state).context("kwok needs the lab's own node")?;
    let site = boot::site(context, &record)?;
    let path = site.configuration("kwok.yaml");
    let address = address.map_or_else(|| OWN_ADDRESS.to_owned(), |address| format!("\"{address}\""));
    fs::write(&path, stages(&address, delay))
        .with_context(|| format!("failed to write {}", path.display()))?;
    boot::ensure(&site, Component::Kwok).await?;
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=lab", "-f", "-"];
    node.kubectl(apply).input(nodes(count)).run().await?;
    let ready = ["wait", "--for=condition=Ready", "nodes", "--selector", SELECTOR, "--timeout=60s"];
    Ok(node.kubectl(ready).run().await?)
}

/// Removes the nodes and stops kwok.
pub async fn stop(context: &Context, node: &Node) -> Result<()> {
    super::site::daemon(&context.state, Component::Kwok)
        .stop(super::teardown::patience(Component::Kwok))
        .await;
    node.kubectl(["delete", "nodes", "--selector", SELECTOR, "--ignore-not-found"]).run().await?;
    // kwok does not renew a lease that it finds, and a node without a lease does not stay ready.
    let others = format!("--field-selector=metadata.name!={NODE_NAME}");
    let leases = ["delete", "leases", "--namespace=kube-node-lease", &others, "--ignore-not-found"];
    Ok(node.kubectl(leases).run().await?)
}

fn stages(address: &str, delay: u32) -> String {
    STAGES.replace("@ADDRESS@", address).replace("@DELAY@", &delay.to_string())
}

fn nodes(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        // Writing to a String cannot fail.
        let _ = write!(text, "---\n{}", NODE.replace("@NAME@", &format!("kwok-{index}")));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_name() {
        let text = nodes(2);
        assert!(text.contains("name: kwok-0\n") && text.contains("name: kwok-1\n") && !text.contains('@'));
    }

    #[test]
    fn pods_are_ready_after_a_while_at_one_address() {
        let text = stages("\"10.0.0.1\"", 2000);
        assert!(text.contains("durationMilliseconds: 2000\n") && text.contains("$address := \"10.0.0.1\""));
        assert!(!text.contains('@'), "{text}");
    }

    #[test]
    fn nodes_are_selected_by_their_label() {
        let (key, value) = SELECTOR.split_once('=').expect("a label");
        assert!(NODE.contains(&format!("{key}: \"{value}\"")));
    }
}
