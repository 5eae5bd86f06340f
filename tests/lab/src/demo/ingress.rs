//! Calls to services through Restate's ingress, by way of kube-apiserver's proxy: it reaches them on any cluster.

use anyhow::Context as _;
use http::Request;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{Result, node::Node};

/// Restate's ingress of one RestateCluster.
pub(super) struct Ingress {
    client: Client,
    cluster: String,
}

impl Ingress {
    /// With the administrator's rights.
    pub(super) async fn of(node: &Node, cluster: &str) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(node.kubeconfig()).context("failed to read the kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)?, cluster: cluster.to_owned() })
    }

    /// Calls `path`, for example `greeter/greet`, and gives what the service or Restate answers.
    pub(super) async fn call(&self, path: &str, input: &str) -> Result<String> {
        let request =
            Request::post(proxy_path(&self.cluster, path)).header("content-type", "application/json");
        let request = request.body(input.as_bytes().to_vec())?;
        self.client
            .request_text(request)
            .await
            .with_context(|| format!("failed to call {path} through Restate"))
    }
}

/// The service `restate` of a cluster is in the namespace of the same name; its port is named for what it serves.
fn proxy_path(cluster: &str, path: &str) -> String {
    format!("/api/v1/namespaces/{cluster}/services/restate:8080/proxy/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_through_the_service_of_the_cluster() {
        let path = proxy_path("demo", "greeter/slow/send");
        assert_eq!(path, "/api/v1/namespaces/demo/services/restate:8080/proxy/greeter/slow/send");
    }
}
