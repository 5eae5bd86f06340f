//! What the process is told: flags, each with its environment variable.

use clap::{Args as Group, Parser, ValueEnum};

/// The aggregated API server of control.restate.dev.
#[derive(Clone, Debug, Parser)]
#[command(name = "restate-apiserver", version, about)]
pub(crate) struct Args {
    /// Where this process runs.
    #[command(flatten)]
    pub(crate) place: Place,
    /// How it is reached.
    #[command(flatten)]
    pub(crate) serving: Serving,
    /// What is told to the outside.
    #[command(flatten)]
    pub(crate) report: Report,
}

/// Where this process runs.
#[derive(Clone, Debug, Group)]
pub(crate) struct Place {
    /// Namespace of this pod, of its Service and of the Secret with its certificate
    #[arg(long, env = "POD_NAMESPACE", default_value = "restate-operator")]
    pub(crate) namespace: String,
    /// Name of this pod: who claims a provisioning
    #[arg(long, env = "POD_NAME", default_value = "restate-apiserver")]
    pub(crate) pod: String,
    /// DNS suffix of this Kubernetes cluster
    #[arg(long, env = "CLUSTER_DNS", default_value = "cluster.local")]
    pub(crate) cluster_dns: String,
}

/// How it is reached.
#[derive(Clone, Debug, Group)]
pub(crate) struct Serving {
    /// Port of the API
    #[arg(long, env = "SECURE_PORT", default_value_t = 10250)]
    pub(crate) secure_port: u16,
    /// Name of the Service that the APIService names
    #[arg(long, env = "SERVICE_NAME", default_value = "restate-operator-apiserver")]
    pub(crate) service_name: String,
    /// Where the serving certificate comes from
    #[arg(long, env = "CERTIFICATE_MODE", default_value = "self")]
    pub(crate) certificate_mode: CertificateMode,
    /// Secret with the serving certificate; made in mode self, read in mode secret
    #[arg(long, env = "CERTIFICATE_SECRET", default_value = "restate-operator-apiserver-certificate")]
    pub(crate) certificate_secret: String,
    /// Seconds between not being ready and taking no more connections; as long as it takes until everybody knows
    #[arg(long, env = "SHUTDOWN_DELAY_SECONDS", default_value_t = 12)]
    pub(crate) shutdown_delay_seconds: u64,
}

/// Where the serving certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CertificateMode {
    /// Made, rotated and published by the replicas themselves.
    #[value(name = "self")]
    Own,
    /// Put into the Secret by somebody else, who also publishes its authority.
    Secret,
}

/// What is told to the outside.
#[derive(Clone, Debug, Group)]
pub(crate) struct Report {
    /// Which log lines are written, as in `info,restate_apiserver=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub(crate) log_filter: String,
    /// How log lines are written
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
    fn nothing_has_to_be_told() {
        let args = Args::try_parse_from(["restate-apiserver"]).unwrap();
        assert_eq!(args.serving.secure_port, 10250);
        assert_eq!(args.serving.certificate_mode, CertificateMode::Own);
        assert_eq!(args.place.cluster_dns, "cluster.local");
    }

    #[test]
    fn what_the_chart_says_is_understood() {
        let words = [
            "restate-apiserver",
            "--secure-port=8443",
            "--service-name=x",
            "--certificate-mode=secret",
            "--certificate-secret=y",
        ];
        assert_eq!(Args::try_parse_from(words).unwrap().serving.certificate_mode, CertificateMode::Secret);
    }
}
