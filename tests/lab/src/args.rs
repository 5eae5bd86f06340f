//! The command line of `cargo lab`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{
    images::ImageArgs,
    node::Component,
    testing::{BenchArgs, TestArgs},
};

/// A real Kubernetes with real Restate, in one command.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version, max_term_width = 110)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring everything up, from nothing to the demo; mend what is not running
    Up(UpArgs),
    /// Take everything down; nothing is left but the cache of built tools
    Down,
    /// Show what runs, where, and since when
    Status,
    /// Run kubectl on the lab
    #[command(trailing_var_arg = true, disable_help_flag = true)]
    Kubectl {
        /// Everything goes to kubectl as it is
        #[arg(allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print a component's log
    Logs {
        /// Which one
        component: Component,
        /// How many of the last lines
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: usize,
        /// Go on printing what comes
        #[arg(short, long)]
        follow: bool,
    },
    /// Stop a component and start it again
    Restart {
        /// Which one
        component: Component,
    },
    /// End a component with SIGKILL, as a fault; `up` mends it
    Kill {
        /// Which one
        component: Component,
    },
    /// Import an OCI archive into the node
    Load {
        /// The archive
        archive: PathBuf,
    },
    /// Have so many nodes that exist in name only (kwok), for scale; 0 removes them
    Nodes {
        /// How many
        count: usize,
        /// The address of a real pod that answers for all pods on them
        #[arg(long, value_name = "IP")]
        address: Option<std::net::IpAddr>,
        /// Milliseconds until a pod on them is ready
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
        delay: u32,
    },
    /// Build the tools and nothing else
    Tools,
    /// Build the images as OCI archives
    Image(ImageArgs),
    /// Run the tests on the lab
    Test(TestArgs),
    /// Run the benchmarks on the lab
    Bench(BenchArgs),
}

/// Options of `up`.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct UpArgs {
    /// Stop when the node is ready: no images, no chart, no demo
    #[arg(long)]
    pub no_demo: bool,
}

/// What holds for every command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Options {
    /// Use this existing cluster in place of a node of the lab's own
    #[arg(long, global = true, env = "LAB_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where an existing cluster gets our images from, for example registry.example.com/team
    #[arg(long, global = true, env = "LAB_REGISTRY", value_name = "PREFIX")]
    pub registry: Option<String>,
    /// Which Kubernetes the node runs
    #[arg(long, global = true, env = "LAB_KUBERNETES", value_name = "MINOR", default_value = "1.36")]
    pub kubernetes: Kubernetes,
    /// The ports of the node.
    #[command(flatten)]
    pub ports: PortOptions,
}

/// The Kubernetes versions that the lab can run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum, strum::Display)]
pub enum Kubernetes {
    /// The newest
    #[value(name = "1.36")]
    #[serde(rename = "1.36")]
    #[strum(serialize = "1.36")]
    V1_36,
    /// The oldest that is tested
    #[value(name = "1.34")]
    #[serde(rename = "1.34")]
    #[strum(serialize = "1.34")]
    V1_34,
}

/// The ports that are asked for. One that is not named stays what it is, or becomes its default in a new lab.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ClapArgs)]
#[command(next_help_heading = "Ports of the node")]
pub struct PortOptions {
    /// kube-apiserver [default: 6443]
    #[arg(long, global = true, env = "LAB_API_PORT", value_name = "PORT")]
    pub api_port: Option<u16>,
    /// etcd's clients, on 127.0.0.1 [default: 2379]
    #[arg(long, global = true, env = "LAB_ETCD_PORT", value_name = "PORT")]
    pub etcd_port: Option<u16>,
    /// etcd's peers, on 127.0.0.1 [default: 2380]
    #[arg(long, global = true, env = "LAB_ETCD_PEER_PORT", value_name = "PORT")]
    pub etcd_peer_port: Option<u16>,
    /// kubelet [default: 10250]
    #[arg(long, global = true, env = "LAB_KUBELET_PORT", value_name = "PORT")]
    pub kubelet_port: Option<u16>,
}

/// The ports that the node's components listen on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ports {
    /// kube-apiserver.
    pub api_port: u16,
    /// etcd's clients.
    pub etcd_port: u16,
    /// etcd's peers.
    pub etcd_peer_port: u16,
    /// kubelet.
    pub kubelet_port: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { api_port: 6443, etcd_port: 2379, etcd_peer_port: 2380, kubelet_port: 10250 }
    }
}

impl PortOptions {
    /// These ports, with what was asked for in their place.
    pub fn over(self, ports: Ports) -> Ports {
        let Self { api_port, etcd_port, etcd_peer_port, kubelet_port } = self;
        Ports {
            api_port: api_port.unwrap_or(ports.api_port),
            etcd_port: etcd_port.unwrap_or(ports.etcd_port),
            etcd_peer_port: etcd_peer_port.unwrap_or(ports.etcd_peer_port),
            kubelet_port: kubelet_port.unwrap_or(ports.kubelet_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[rstest]
    #[case::before(&["lab", "--api-port", "7443", "status"])]
    #[case::after(&["lab", "status", "--api-port", "7443"])]
    fn options_stand_before_or_after_the_command(#[case] words: &[&str]) {
        let arguments = Args::try_parse_from(words).expect("parsed");
        let asked = arguments.options.ports.over(Ports::default());
        assert_eq!(asked, Ports { api_port: 7443, ..Ports::default() });
    }

    #[rstest]
    #[case::flags(&["lab", "kubectl", "get", "pods", "-A", "-o", "wide"], &["get", "pods", "-A", "-o", "wide"])]
    #[case::help(&["lab", "kubectl", "--help"], &["--help"])]
    #[case::own_options(&["lab", "kubectl", "get", "--kubeconfig", "x"], &["get", "--kubeconfig", "x"])]
    #[case::separator(&["lab", "kubectl", "exec", "pod", "--", "ls", "-l"], &["exec", "pod", "--", "ls", "-l"])]
    fn kubectl_gets_everything_as_it_is(#[case] words: &[&str], #[case] expected: &[&str]) {
        let arguments = Args::try_parse_from(words).expect("parsed");
        assert!(matches!(arguments.command, Command::Kubectl { arguments } if arguments == expected));
    }

    #[rstest]
    #[case::kubernetes(&["lab", "up", "--kubernetes", "1.12"])]
    #[case::component(&["lab", "kill", "docker"])]
    #[case::port(&["lab", "up", "--api-port", "70000"])]
    fn what_cannot_be_is_refused(#[case] words: &[&str]) {
        assert!(Args::try_parse_from(words).is_err());
    }
}
