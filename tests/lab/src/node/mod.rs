//! The node: a real one-node Kubernetes, each component a process of this machine.

mod component;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

pub use component::Component;

use crate::{Context, Result, process::Invocation, tools::Tools};

/// A cluster that answers: the lab's own node, or an existing one.
#[derive(Clone, Debug)]
pub struct Node {
    tools: Tools,
    kubeconfig: PathBuf,
    containerd: Option<PathBuf>,
}

/// Brings the node up, or mends it; with `--kubeconfig` only looks whether that cluster answers.
pub async fn up(_context: &Context, _tools: &Tools) -> Result<Node> {
    anyhow::bail!("the node does not exist yet")
}

/// Takes the node down; nothing is left.
pub async fn down(_context: &Context) -> Result<()> {
    anyhow::bail!("the node does not exist yet")
}

impl Node {
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

    /// A kubectl command: `node.kubectl(["get", "pods"]).text().await`.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Invocation {
        let arguments: Vec<S> = arguments.into_iter().collect();
        let shown = arguments.iter().map(|part| part.as_ref().to_string_lossy().into_owned());
        let what = format!("kubectl {}", shown.collect::<Vec<_>>().join(" "));
        Invocation::new(what, self.tools.path("kubectl")).args(arguments).env("KUBECONFIG", &self.kubeconfig)
    }

    /// A helm command against this cluster.
    pub fn helm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Invocation {
        Invocation::new("helm", self.tools.path("helm")).args(arguments).env("KUBECONFIG", &self.kubeconfig)
    }

    /// A `ctr` command in the node's image namespace; an error on an existing cluster.
    pub fn ctr<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Invocation> {
        let Some(socket) = &self.containerd else {
            anyhow::bail!("an existing cluster's containerd is out of reach: push to a registry (--registry)")
        };
        let ctr = Invocation::new("ctr", self.tools.path("ctr")).args(["-n", "k8s.io", "-a"]);
        Ok(ctr.args([socket]).args(arguments))
    }

    /// Imports an OCI archive into the node.
    pub async fn import_image(&self, archive: &Path) -> Result<()> {
        let arguments = [OsStr::new("images"), OsStr::new("import"), archive.as_os_str()];
        Ok(self.ctr(arguments)?.run().await?)
    }
}
