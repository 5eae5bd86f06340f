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
    /// How much at a time.
    #[command(flatten)]
    pub(crate) bounds: Bounds,
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
    /// Hosts that `register.url` may name, as `restate.example.com` or `*.example.com`; all that are not the machine's
    /// or its cloud's own unless set
    #[arg(long, env = "ADMIN_ALLOWED_HOSTS", value_delimiter = ',')]
    pub(crate) admin_allowed_hosts: Vec<String>,
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

/// How much at a time; what is more is answered with 429.
#[derive(Clone, Debug, Group)]
pub(crate) struct Bounds {
    /// Requests at a time that only read
    #[arg(long, env = "READING_AT_ONCE", default_value_t = 400)]
    pub(crate) reading_at_once: usize,
    /// Requests at a time that change something
    #[arg(long, env = "WRITING_AT_ONCE", default_value_t = 200)]
    pub(crate) writing_at_once: usize,
    /// Watches and streams at a time
    #[arg(long, env = "LONG_RUNNING_AT_ONCE", default_value_t = 4000)]
    pub(crate) long_running_at_once: usize,
    /// Seconds after which a connection is asked to go, so that load moves to new replicas; 0 for never
    #[arg(long, env = "CONNECTION_AGE_SECONDS", default_value_t = 0)]
    pub(crate) connection_age_seconds: u64,
}

/// What is told to the outside.
#[derive(Clone, Debug, Group)]
pub(crate) struct Report {
    /// Which requests have a line in the audit log
    #[arg(long, env = "AUDIT_LEVEL", default_value = "metadata")]
    pub(crate) audit_level: AuditLevel,
    /// Which log lines are written, as in `info,restate_apiserver=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub(crate) log_filter: String,
    /// How log lines are written
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// Which requests have a line in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditLevel {
    /// None.
    None,
    /// Those that change something, streams, and refusals.
    Changes,
    /// All but health checks.
    Metadata,
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
        assert_eq!(args.report.audit_level, AuditLevel::Metadata);
        assert_eq!(crate::serving::limits(&args.bounds), apiserver_machinery::serve::Limits::default());
    }

    #[test]
    fn what_the_chart_says_is_understood() {
        let words = [
            "restate-apiserver",
            "--secure-port=8443",
            "--service-name=x",
            "--certificate-mode=secret",
            "--certificate-secret=y",
            "--audit-level=changes",
            "--reading-at-once=10",
            "--writing-at-once=5",
            "--long-running-at-once=100",
            "--connection-age-seconds=600",
            "--admin-allowed-hosts=restate.example.com,*.example.org",
        ];
        let args = Args::try_parse_from(words).unwrap();
        assert_eq!(args.serving.certificate_mode, CertificateMode::Secret);
        assert_eq!(args.report.audit_level, AuditLevel::Changes);
        assert_eq!(args.place.admin_allowed_hosts, ["restate.example.com", "*.example.org"]);
        let limits = crate::serving::limits(&args.bounds);
        assert_eq!((limits.reading, limits.writing, limits.long_running), (10, 5, 100));
        assert_eq!(limits.connection_age, Some(std::time::Duration::from_mins(10)));
    }
}
