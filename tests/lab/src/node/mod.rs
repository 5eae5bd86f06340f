//! The node: a real one-node Kubernetes, each component a process of this machine.
//!
//! ```text
//! record ─► site ─► configuration, pki, network ─► launch ─► components ─► addons
//!                         └── pure text ──┘
//! ```
//!
//! `boot` brings it up and mends it, `teardown` takes it away; everything else says what, not when.

mod addons;
mod base_images;
mod boot;
mod component;
mod configuration;
mod kubeconfig;
pub mod kwok;
mod launch;
mod network;
mod owner;
mod packet_rules;
mod pki;
mod record;
mod remains;
mod site;
mod status;
mod teardown;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
pub use base_images::BUSYBOX;
pub use component::Component;
pub use record::Record;
pub use status::status;
pub use teardown::down;

use crate::{
    Context, Result,
    process::Invocation,
    tools::{Tools, debian},
};

/// A cluster that answers: the lab's own node, or an existing one.
#[derive(Clone, Debug)]
pub struct Node {
    tools: Tools,
    kubeconfig: PathBuf,
    containerd: Option<PathBuf>,
}

/// Brings the node up, or mends it; with `--kubeconfig` only looks whether that cluster answers.
pub async fn up(context: &Context, tools: &Tools) -> Result<Node> {
    let Some(kubeconfig) = &context.options.kubeconfig else { return boot::up(context, tools).await };
    if debian::find("kubectl").is_none() {
        anyhow::bail!("kubectl is not installed; an existing cluster is used with the kubectl that fits it");
    }
    let node = Node::at(tools.clone(), kubeconfig.clone(), None);
    let what = || format!("the cluster of {} does not answer", kubeconfig.display());
    node.kubectl(["get", "--raw=/readyz"]).run().await.with_context(what)?;
    Ok(node)
}

/// The cluster that `up` left, without starting anything.
pub fn attach(context: &Context) -> Result<Node> {
    let record = Record::read(&context.state);
    if let Some(kubeconfig) = &context.options.kubeconfig {
        let tools = record.map_or_else(Tools::of_the_system, |record| record.tools);
        return Ok(Node::at(tools, kubeconfig.clone(), None));
    }
    let record = record.context("no lab runs: `cargo lab up` starts one")?;
    if !record.tools.are_there() {
        anyhow::bail!("the lab's programs are gone from the cache: `cargo lab up` builds them again");
    }
    Ok(Node::of(&boot::site(context, &record)?))
}

/// Stops a component and starts it again.
pub async fn restart(context: &Context, component: Component) -> Result<()> {
    site::daemon(&context.state, component).stop(teardown::patience(component)).await;
    boot::start_one(context, component).await
}

/// Ends a component at once; false if it did not run.
pub async fn kill(context: &Context, component: Component) -> bool {
    site::daemon(&context.state, component).kill().await
}

/// Prints the end of a component's log, and what comes if asked to follow.
pub async fn logs(context: &Context, component: Component, lines: usize, follow: bool) -> Result<()> {
    let daemon = site::daemon(&context.state, component);
    if !follow {
        let text =
            std::fs::read(daemon.log()).with_context(|| format!("{component} has no log: it never ran"))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let skipped = text.lines().count().saturating_sub(lines);
        text.lines().skip(skipped).for_each(|line| println!("{line}"));
        return Ok(());
    }
    let mut tail = tokio::process::Command::new("tail");
    tail.args(["-n", &lines.to_string(), "-F"]).arg(daemon.log()).status().await?;
    Ok(())
}

impl Node {
    /// The lab's own node.
    fn of(site: &site::Site) -> Self {
        Self::at(site.tools.clone(), site.state.kubeconfig(), Some(site.socket()))
    }

    /// A cluster by its parts.
    fn at(tools: Tools, kubeconfig: PathBuf, containerd: Option<PathBuf>) -> Self {
        Self { tools, kubeconfig, containerd }
    }

    /// The programs that fit this cluster.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Is it the lab's own node (true), or an existing cluster?
    pub fn is_ours(&self) -> bool {
        self.containerd.is_some()
    }

    /// The socket of the node's own containerd; none on an existing cluster.
    pub fn containerd(&self) -> Option<&Path> {
        self.containerd.as_deref()
    }

    /// A kubectl command: `node.kubectl(["get", "pods"]).text().await`.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Invocation {
        self.client("kubectl", arguments)
    }

    /// A helm command against this cluster.
    pub fn helm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Invocation {
        self.client("helm", arguments)
    }

    /// A `ctr` command in the node's image namespace; an error on an existing cluster.
    pub fn ctr<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Invocation> {
        let Some(socket) = &self.containerd else {
            anyhow::bail!("an existing cluster's containerd is out of reach: push to a registry (--registry)")
        };
        let before = ["-n", "k8s.io", "-a"].map(OsStr::new).into_iter().chain([socket.as_os_str()]);
        let arguments: Vec<S> = arguments.into_iter().collect();
        let all: Vec<&OsStr> = before.chain(arguments.iter().map(AsRef::as_ref)).collect();
        Ok(self.program("ctr", all))
    }

    /// Imports an OCI archive into the node.
    pub async fn import_image(&self, archive: &Path) -> Result<()> {
        let arguments = [OsStr::new("images"), OsStr::new("import"), archive.as_os_str()];
        Ok(self.ctr(arguments)?.run().await?)
    }

    /// Waits until something holds, asking twice a second; an error with the last refusal after the time.
    pub async fn until<F, E>(&self, limit: Duration, mut probe: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = Result<(), E>>,
        E: Into<anyhow::Error>,
    {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let Err(error) = probe().await else { return Ok(()) };
            if tokio::time::Instant::now() > deadline {
                return Err(error.into().context(format!("waited {} s", limit.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The environment of whatever speaks to this cluster's API server.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let kubeconfig = ("KUBECONFIG", self.kubeconfig());
        // What one lab's API server offers must not be remembered for the next one at the same address.
        let cache = self.is_ours().then(|| ("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache")));
        [kubeconfig].into_iter().chain(cache).collect()
    }

    fn client<S: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = S>) -> Invocation {
        let invocation = self.program(program, arguments);
        self.environment()
            .into_iter()
            .fold(invocation, |invocation, (name, value)| invocation.env(name, value))
    }

    fn program<S: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = S>) -> Invocation {
        let arguments: Vec<S> = arguments.into_iter().collect();
        let shown = arguments.iter().map(|part| part.as_ref().to_string_lossy().into_owned());
        let what = format!("{program} {}", shown.collect::<Vec<_>>().join(" "));
        Invocation::new(what, self.tools.path(program)).args(arguments)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::site::Site;
    use crate::{args::Ports, places::StateDir, tools::Tools};

    /// A site at fixed places, for snapshots.
    pub(super) fn site() -> Site {
        let modules = ["kubernetes-1.36", "etcd", "containerd", "storage", "kwok"];
        let place = |name: &str| (name.to_owned(), format!("/cache/{name}-0123").into());
        Site {
            state: StateDir::at("/state".into()),
            run: "/run/restate-lab".into(),
            tools: Tools::at(modules.into_iter().map(place).collect::<BTreeMap<_, _>>()),
            ports: Ports::default(),
            plugins: "/usr/lib/cni".into(),
        }
    }
}
