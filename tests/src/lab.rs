//! The cluster that the tests run on, as `cargo lab test` describes it in the environment.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::{Context as _, ensure};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::process::Command;

use crate::{Kubectl, Result};

/// Where the operator is installed.
pub const OPERATOR_NAMESPACE: &str = "restate-operator";

/// The cluster and what is known about it.
#[derive(Clone, Debug)]
pub struct Lab {
    kubeconfig: PathBuf,
    containerd: Option<PathBuf>,
}

/// An image by what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Image {
    /// The operator's controller.
    Controller,
    /// The aggregated API.
    Apiserver,
    /// The service, version 1.
    GreeterV1,
    /// The service, version 2.
    GreeterV2,
    /// Restate's server.
    Restate,
    /// Restate's server of an older minor version: only in the long run.
    OlderRestate,
    /// The service with the TypeScript SDK.
    TypeScript,
    /// A shell.
    Busybox,
}

impl Lab {
    /// The cluster of this run.
    pub fn of_this_run() -> Result<Self> {
        let kubeconfig = PathBuf::from(variable("LAB_KUBECONFIG")?);
        let containerd = env::var_os("LAB_CONTAINERD").map(PathBuf::from);
        Ok(Self { kubeconfig, containerd })
    }

    /// Does the node run on this machine? Then its processes and addresses are within reach.
    pub fn is_ours(&self) -> bool {
        self.containerd.is_some()
    }

    /// Is this the long run?
    pub fn runs_all(&self) -> bool {
        env::var_os("LAB_ALL").is_some()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }

    /// The administrator's kubectl.
    pub fn kubectl(&self) -> Result<Kubectl> {
        Ok(Kubectl::new(tool("KUBECTL")?, self.kubeconfig.clone()))
    }

    /// The administrator's client.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// The same, but every answer is shown as it is: nothing is asked a second time, which could hide a failure.
    pub async fn client_without_retry(&self) -> Result<Client> {
        let mut config = self.config().await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    async fn config(&self) -> Result<Config> {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    /// `cargo lab` itself, as in `kill kube-apiserver`.
    pub async fn command(&self, arguments: &[&str]) -> Result {
        ensure!(self.is_ours(), "cargo lab reaches no cluster elsewhere");
        let ended = Command::new(variable("LAB_PROGRAM")?).args(arguments).output().await?;
        let words = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "cargo lab {}: {words}", arguments.join(" "));
        Ok(())
    }

    /// Helm on this cluster.
    pub fn helm(&self) -> Result<Command> {
        let mut helm = Command::new(tool("HELM")?);
        helm.env("KUBECONFIG", &self.kubeconfig);
        Ok(helm)
    }

    /// The administrator's kubectl of each minor that this run has: the newest, in the long run also older ones.
    pub fn kubectls(&self) -> Result<Vec<Kubectl>> {
        let older = ["KUBECTL_1_35", "KUBECTL_1_34"].map(|name| env::var_os(format!("LAB_{name}")));
        let all = std::iter::once(tool("KUBECTL")?).chain(older.into_iter().flatten());
        Ok(all.map(|program| Kubectl::new(program, self.kubeconfig.clone())).collect())
    }

    /// A program that the lab has built for the tests, speaking to this cluster: `INFORMERS`, `ETCD`, …
    pub fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(tool(name)?);
        command.env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        Ok(command)
    }

    /// Keys and certificates of the node; an error on a cluster elsewhere.
    pub fn keys(&self) -> Result<PathBuf> {
        ensure!(self.is_ours(), "the keys of a cluster elsewhere are not ours to have");
        Ok(self.kubeconfig.with_file_name("pki"))
    }

    /// The full name of an image that the cluster has.
    pub fn image(&self, image: Image) -> Result<String> {
        let name = match image {
            Image::Controller => "CONTROLLER",
            Image::Apiserver => "APISERVER",
            Image::GreeterV1 => "GREETER_V1",
            Image::GreeterV2 => "GREETER_V2",
            Image::Restate => "RESTATE",
            Image::OlderRestate => "OLDER_RESTATE",
            Image::TypeScript => "TYPESCRIPT",
            Image::Busybox => "BUSYBOX",
        };
        let value = variable(&format!("LAB_IMAGE_{name}"))?;
        value.into_string().ok().with_context(|| format!("LAB_IMAGE_{name} is no text"))
    }

    /// Has this run such an image? Some are made for the long run alone, and not on every machine.
    pub fn has(&self, image: Image) -> bool {
        self.image(image).is_ok()
    }

    /// An address of this machine that pods can reach; an error on a cluster elsewhere.
    pub async fn address(&self) -> Result<String> {
        ensure!(self.is_ours(), "pods of a cluster elsewhere cannot reach this machine");
        let path = r#"jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#;
        self.kubectl()?.run(["get", "nodes", "-l", "lab.restate.dev/kwok!=true", "-o", path]).await
    }

    /// Gives an image of the node another name; an error on a cluster elsewhere.
    pub async fn tag(&self, image: Image, name: &str) -> Result {
        let socket = self.containerd.as_ref().context("the images of a cluster elsewhere are not ours")?;
        let mut ctr = Command::new(tool("CTR")?);
        ctr.args(["-n", "k8s.io", "-a"]).arg(socket).args(["images", "tag", "--force"]);
        ensure!(ctr.arg(self.image(image)?).arg(name).status().await?.success(), "failed to name {name}");
        Ok(())
    }

    /// Ends the programs of these pods with SIGKILL, without a word to anybody. Where the node is elsewhere, the
    /// nearest to that: the pods are deleted without grace.
    pub async fn kill(&self, namespace: &str, selector: &str) -> Result {
        let kubectl = self.kubectl()?;
        let Some(socket) = &self.containerd else {
            let now = ["--grace-period=0", "--force", "--wait=false"];
            let delete = ["-n", namespace, "delete", "pods", "-l", selector];
            return kubectl.run(delete.into_iter().chain(now)).await.map(drop);
        };
        let ids = r"jsonpath={.items[*].status.containerStatuses[?(@.state.running)].containerID}";
        let ids = kubectl.run(["-n", namespace, "get", "pods", "-l", selector, "-o", ids]).await?;
        ensure!(!ids.is_empty(), "no container of {selector} runs in {namespace}");
        for id in ids.split_whitespace() {
            let id = id.rsplit('/').next().unwrap_or(id);
            let mut ctr = Command::new(tool("CTR")?);
            ctr.args(["-n", "k8s.io", "-a"]).arg(socket).args(["tasks", "kill", "--signal", "SIGKILL", id]);
            ensure!(ctr.status().await?.success(), "failed to kill container {id}");
        }
        Ok(())
    }
}

fn tool(name: &str) -> Result<OsString> {
    variable(&format!("LAB_{name}"))
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name)
        .with_context(|| format!("{name} is not set: these tests are run by `cargo lab test e2e`"))
}
