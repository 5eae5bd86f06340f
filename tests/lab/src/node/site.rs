//! Where the node is: its names, addresses, ports, directories. Everything here is fixed before anything starts.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::Component;
use crate::{
    args::Ports,
    places::StateDir,
    process::Daemon,
    tools::{Tools, debian::SYSTEM_PATH},
};

/// The node's name.
pub(super) const NODE_NAME: &str = "lab";

/// The bridge that all pods are on. It exists before any component, with the node's own address on it: the node's
/// certificates and endpoints do not change when the machine changes its network.
pub(super) const BRIDGE: &str = "restate-lab0";

/// The node's address, and the pods' gateway.
pub(super) const ADDRESS: &str = "10.244.0.1";

/// The pods' range.
pub(super) const POD_RANGE: &str = "10.244.0.0/16";

/// The part of it that real pods get their addresses from: up to here.
pub(super) const LAST_POD_ADDRESS: &str = "10.244.127.254";

/// The part of it that kwok's pods get theirs from: nothing answers there, and nothing sent there leaves the machine.
pub(super) const KWOK_RANGE: &str = "10.244.128.0/17";

/// The address of all of kwok's nodes.
pub(super) const KWOK_ADDRESS: &str = "10.244.255.254";

/// The services' range.
pub(super) const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The service of the API server: the first of the range.
pub(super) const API_SERVICE: &str = "10.96.0.1";

/// The service of the cluster's DNS.
pub(super) const DNS_SERVICE: &str = "10.96.0.10";

/// What must not survive a reboot: sockets, mounts of running containers.
pub(super) const RUN_DIRECTORY: &str = "/run/restate-lab";

/// One node of this machine.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Its files.
    pub state: StateDir,
    /// What must not survive a reboot.
    pub run: PathBuf,
    /// Its programs.
    pub tools: Tools,
    /// Its ports.
    pub ports: Ports,
    /// The network plugins of the distribution.
    pub plugins: PathBuf,
}

impl Site {
    /// A component's process.
    pub(super) fn daemon(&self, component: Component) -> Daemon {
        daemon(&self.state, component)
    }

    /// Where etcd answers.
    pub(super) fn etcd(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.etcd_port)
    }

    /// containerd's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    /// A component's kubeconfig.
    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.state.config().join(format!("{user}.kubeconfig"))
    }

    /// A configuration file.
    pub(super) fn configuration(&self, file: &str) -> PathBuf {
        self.state.config().join(file)
    }

    /// The directory of the network plugins' configuration.
    pub(super) fn network_configuration(&self) -> PathBuf {
        self.state.config().join("cni")
    }

    /// A key or certificate.
    pub(super) fn pki(&self, file: &str) -> String {
        text(&self.state.pki().join(file))
    }

    /// What a component finds in its environment, and nothing else: its own module's programs (containerd looks for
    /// its shim) and the system's. A change of any other module does not restart it.
    pub(super) fn environment(&self, program: &Path) -> Vec<(String, OsString)> {
        let mut path = program.parent().map(|directory| directory.as_os_str().to_owned()).unwrap_or_default();
        path.push(":");
        path.push(SYSTEM_PATH);
        let home = self.state.path().as_os_str().to_owned();
        vec![("PATH".to_owned(), path), ("HOME".to_owned(), home)]
    }
}

/// A component's process, known without its programs.
pub(super) fn daemon(state: &StateDir, component: Component) -> Daemon {
    Daemon::new(component.name(), &state.logs(), &state.processes())
}

/// A path as a component's option has it.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
