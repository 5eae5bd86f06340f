//! What the process is told: flags, each with its environment variable. Parsed once; nothing else reads the
//! environment. Not for defaults that a stored object may override: those are the plan's.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

use crate::uninstall::Uninstall;

/// The controller of Restate's kinds.
#[derive(Clone, Debug, Parser)]
#[command(name = "restate-controller", version, about)]
pub(crate) struct Args {
    /// Where this process runs.
    #[command(flatten)]
    pub(crate) place: Place,
    /// What is different in this Kubernetes.
    #[command(flatten)]
    pub(crate) platform: Platform,
    /// Who may act.
    #[command(flatten)]
    pub(crate) lease: LeaseArgs,
    /// What is told to the outside.
    #[command(flatten)]
    pub(crate) report: Report,
    /// What to do: reconcile, unless told otherwise.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else the program does.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Releases what the controller holds, before it is uninstalled.
    Uninstall(Uninstall),
}

/// Where this process runs.
#[derive(Clone, Debug, Group)]
pub(crate) struct Place {
    /// Namespace of the controller's pod. Network policies let it in by this name.
    #[arg(long, env = "OPERATOR_NAMESPACE")]
    pub(crate) operator_namespace: Option<String>,
    /// Key of the label that the controller's pods carry.
    #[arg(long, env = "OPERATOR_LABEL_NAME", default_value = "app")]
    pub(crate) operator_label_name: String,
    /// Value of the label that the controller's pods carry.
    #[arg(long, env = "OPERATOR_LABEL_VALUE", default_value = "restate-operator")]
    pub(crate) operator_label_value: String,
    /// Value of the same label on the pods of the aggregated API, which network policies let in as well.
    #[arg(long, env = "APISERVER_LABEL_VALUE")]
    pub(crate) apiserver_label_value: Option<String>,
    /// Name of the controller's pod, for events.
    #[arg(long, env = "OPERATOR_POD_NAME")]
    pub(crate) operator_pod_name: Option<String>,
    /// Uid of the controller's pod, for events.
    #[arg(long, env = "OPERATOR_POD_UID")]
    pub(crate) operator_pod_uid: Option<String>,
    /// `key=value` of the label on pods that obey the same Lease. Pods with the operator's label and without this
    /// one belong to a controller that knows no Lease; while one of them runs, nothing is done.
    #[arg(long, env = "OPERATOR_PEER_LABEL", default_value = "app.kubernetes.io/component=controller")]
    pub(crate) peer_label: String,
}

/// What is different in this Kubernetes.
#[derive(Clone, Debug, Group)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Platform {
    /// Name of the EKS cluster, for associations of pod identities.
    #[arg(long, env = "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER")]
    pub(crate) aws_pod_identity_association_cluster: Option<String>,
    /// Whether GCP workload identity is available.
    #[arg(long, env = "GCP_WORKLOAD_IDENTITY", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) gcp_workload_identity: bool,
    /// Hosts that `register.url` and `register.service` may name, as `restate.example.com` or `*.example.com`; all
    /// that are not the machine's or its cloud's own unless set.
    #[arg(long, env = "ADMIN_ALLOWED_HOSTS", value_delimiter = ',')]
    pub(crate) admin_allowed_hosts: Vec<String>,
    /// Whether loopback addresses may be named too: for a controller that runs outside of a cluster.
    #[arg(long, env = "ADMIN_ALLOW_LOOPBACK", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) admin_allow_loopback: bool,
    /// Image of the tunnel client, unless an environment names its own.
    #[arg(long, env = "OPERATOR_TUNNEL_CLIENT_DEFAULT_IMAGE")]
    pub(crate) tunnel_client_default_image: Option<String>,
    /// DNS suffix of this Kubernetes cluster.
    #[arg(long, env = "CLUSTER_DNS", default_value = "cluster.local")]
    pub(crate) cluster_dns: String,
    /// Whether network policies are made, watched and removed. Without it no right to them is needed.
    #[arg(long, env = "MANAGE_NETWORK_POLICIES", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) manage_network_policies: bool,
    /// Whether secret provider classes are made and removed. Without it no right to them is needed.
    #[arg(long, env = "MANAGE_SECRET_PROVIDER_CLASSES", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) manage_secret_provider_classes: bool,
    /// Image with a shell and a bundle of certificate authorities: joins the bundles that clusters trust.
    #[arg(long, env = "CANARY_IMAGE")]
    pub(crate) canary_image: Option<String>,
}

/// Who may act.
#[derive(Clone, Debug, Group)]
pub(crate) struct LeaseArgs {
    /// Name of the Lease, in the controller's namespace.
    #[arg(long, env = "LEASE_NAME", default_value = "restate-operator")]
    pub(crate) lease_name: String,
    /// For how long the Lease is valid after a renewal, in whole seconds. It has to outlive a call of ten.
    #[arg(long, env = "LEASE_DURATION_SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(20..=600))]
    pub(crate) lease_duration_seconds: u64,
}

impl LeaseArgs {
    /// For how long the Lease is valid after a renewal.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.lease_duration_seconds)
    }
}

/// What is told to the outside.
#[derive(Clone, Debug, Group)]
pub(crate) struct Report {
    /// Address of health checks and metrics.
    #[arg(long, env = "METRICS_ADDRESS", default_value = "[::]:8080")]
    pub(crate) metrics_address: SocketAddr,
    /// Which log lines are written, as in `info,restate_controller=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub(crate) log_filter: String,
    /// How log lines are written.
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_environment_stay() {
        use clap::CommandFactory;
        let command = Args::command();
        let names: Vec<_> =
            command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        for kept in [
            "AWS_POD_IDENTITY_ASSOCIATION_CLUSTER",
            "GCP_WORKLOAD_IDENTITY",
            "OPERATOR_NAMESPACE",
            "OPERATOR_LABEL_NAME",
            "OPERATOR_LABEL_VALUE",
            "OPERATOR_TUNNEL_CLIENT_DEFAULT_IMAGE",
            "CLUSTER_DNS",
            "CANARY_IMAGE",
            "OPERATOR_POD_NAME",
            "OPERATOR_POD_UID",
        ] {
            assert!(names.contains(&kept), "{kept}");
        }
    }

    #[test]
    fn nothing_has_to_be_told() {
        let args = Args::try_parse_from(["restate-controller"]).unwrap();
        assert_eq!(args.report.metrics_address.port(), 8080);
        assert_eq!(args.lease.duration(), Duration::from_secs(30));
        assert_eq!(args.platform.cluster_dns, "cluster.local");
        assert!(args.platform.manage_network_policies && args.platform.manage_secret_provider_classes);
    }
}
