//! The components that run as processes of this machine.

use clap::ValueEnum;

/// A component, in the order in which they start.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    ValueEnum,
    strum::Display,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Component {
    /// The database
    Etcd,
    /// The container runtime
    Containerd,
    /// The API server
    KubeApiserver,
    /// The controllers of Kubernetes itself
    KubeControllerManager,
    /// The scheduler
    KubeScheduler,
    /// The node's agent
    Kubelet,
    /// The rules of services
    KubeProxy,
    /// The provisioner of volumes
    LocalPathProvisioner,
    /// Nodes and pods that exist in name only
    Kwok,
}

impl Component {
    /// The name of its program, log and process file.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
