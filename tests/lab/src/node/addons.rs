//! What runs in the cluster itself before anybody else: DNS and the storage class.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;

use super::{
    Component, Node, base_images,
    boot::answers,
    site::{DNS_SERVICE, NODE_NAME, Site},
};
use crate::{Result, process::Invocation, tools::debian};

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
    answers(site, &[Component::KubeProxy, Component::Kubelet, Component::Containerd], ask_dns).await?;
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

/// A name of the cluster, asked for through the service: conditions may be from before a reboot, an answer is not.
async fn ask_dns() -> Result<()> {
    let busybox = debian::find("busybox").context("busybox is not installed")?;
    let question = ["nslookup", "kubernetes.default.svc.cluster.local", DNS_SERVICE];
    let asked = Invocation::new("asking the cluster's DNS", busybox).args(question).run();
    Ok(timeout(Duration::from_secs(2), asked).await.context("the cluster's DNS does not answer")??)
}

/// Waits until the node takes pods.
pub(super) async fn node_is_ready(site: &Site, node: &Node) -> Result<()> {
    let name = format!("node/{NODE_NAME}");
    let ready =
        || async { node.kubectl(["wait", "--for=condition=Ready", &name, "--timeout=5s"]).run().await };
    answers(site, &[Component::Kubelet, Component::KubeApiserver, Component::Containerd], ready).await
}
