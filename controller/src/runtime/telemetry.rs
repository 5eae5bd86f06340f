//! Logs. Set up once, before anything else runs.

use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Report};

/// Starts writing log lines.
pub(crate) fn start(report: &Report) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&report.log_filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match report.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
