//! What the command is told; the flags that kubectl has too mean the same.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};

/// Restate on Kubernetes.
#[derive(Clone, Debug, Parser)]
#[command(name = "kubectl restate", bin_name = "kubectl restate", version, about)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Open Restate's web UI of a RestateCluster on this machine, with the rights of your kubeconfig
    Ui(Ui),
}

/// Which web UI, and where.
#[derive(Clone, Debug, Group)]
pub(crate) struct Ui {
    /// Name of the RestateCluster
    pub(crate) cluster: String,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// How the Kubernetes API server is reached.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How the Kubernetes API server is reached.
#[derive(Clone, Debug, Group)]
pub(crate) struct Connection {
    /// Path of the kubeconfig file
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Name of the context in the kubeconfig file
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// User to act as
    #[arg(long = "as")]
    pub(crate) as_user: Option<String>,
    /// Group to act as; can be repeated
    #[arg(long = "as-group", requires = "as_user")]
    pub(crate) as_groups: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_kubectl() {
        let words =
            ["kubectl-restate", "ui", "demo", "--context=x", "--as=jo", "--as-group=a", "--as-group=b"];
        let Command::Ui(ui) = Args::try_parse_from(words).unwrap().command;
        assert_eq!((ui.cluster.as_str(), ui.port), ("demo", 0));
        assert_eq!(ui.connection.as_user.as_deref(), Some("jo"));
        assert_eq!(ui.connection.as_groups, ["a", "b"]);
        assert!(Args::try_parse_from(["kubectl-restate", "ui", "demo", "--as-group=a"]).is_err());
    }
}
