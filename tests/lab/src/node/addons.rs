//! What runs in the cluster itself before anybody else: DNS and the storage class.

use anyhow::Context as _;

use super::{
    Component, Node, base_images,
    boot::answers,
    site::{DNS_SERVICE, NODE_NAME, Site},
};
use crate::Result;

/// With `@IMAGE@` and `@ADDRESS@` to be filled in.
const DNS: &str = include_str!("../../manifests/dns.yaml");
const STORAGE: &str = include_str!("../../manifests/storage.yaml");

/// Applies both; harmless when they are there.
pub(super) async fn apply(node: &Node) -> Result<()> {
    let dns = DNS.replace("@IMAGE@", &base_images::coredns(node)).replace("@ADDRESS@", DNS_SERVICE);
    let kubectl =
        node.kubectl(["apply", "--server-side", "--force-conflicts", "--field-manager=lab", "-f", "-"]);
    kubectl
        .input(format!("{dns}---\n{STORAGE}"))
        .run()
        .await
        .context("failed to install DNS and the storage class")
}

/// Waits until pods can be made, found by name, and given volumes.
pub(super) async fn wait(site: &Site, node: &Node) -> Result<()> {
    node_is_ready(site, node).await?;
    let rolled_out = || async {
        let status = ["rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=5s"];
        node.kubectl(status).run().await
    };
    answers(site, &[Component::Kubelet, Component::KubeControllerManager, Component::KubeProxy], rolled_out)
        .await?;
    kubelet_knows_pods(site, node).await?;
    site.daemon(Component::LocalPathProvisioner).still_runs()?;
    Ok(())
}

/// Waits until kubelet has heard of its pods: before that it refuses to exec into those that run already. DNS is one
/// of them.
pub(super) async fn kubelet_knows_pods(site: &Site, node: &Node) -> Result<()> {
    let known = || async {
        let pods =
            node.kubectl(["get", &format!("--raw=/api/v1/nodes/{NODE_NAME}/proxy/pods")]).text().await?;
        anyhow::ensure!(pods.contains("\"name\":\"coredns"), "kubelet does not know its pods yet");
        Result::<()>::Ok(())
    };
    answers(site, &[Component::Kubelet, Component::KubeApiserver], known).await
}

/// Waits until the node takes pods.
pub(super) async fn node_is_ready(site: &Site, node: &Node) -> Result<()> {
    let name = format!("node/{NODE_NAME}");
    let ready =
        || async { node.kubectl(["wait", "--for=condition=Ready", &name, "--timeout=5s"]).run().await };
    answers(site, &[Component::Kubelet, Component::KubeApiserver, Component::Containerd], ready).await
}
