//! What the controller's process costs, and what it says of itself.

use std::time::Duration;

use anyhow::Context as _;
use http::Request;
use kube::Client;
use procfs::process::Process;
use restate_tests::{Lab, Result, eventually, lab::OPERATOR_NAMESPACE};

/// How the kernel cuts the program's name.
const NAME: &str = "restate-control";
/// Until another controller serves.
const BACK: Duration = Duration::from_mins(2);
const SELECTOR: &str = "app.kubernetes.io/component=controller";

/// The controller's process.
pub(super) struct Controller {
    process: Process,
    client: Client,
    metrics: String,
}

/// What it has cost and asked so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Seconds of processor time.
    pub(super) cpu: f64,
    /// Megabytes in memory now.
    pub(super) resident: f64,
    /// Megabytes in memory at most.
    pub(super) peak: f64,
    /// Usage queries.
    pub(super) usage: u64,
    /// Readings of the registry.
    pub(super) registry: u64,
}

impl Controller {
    /// Finds it; unless it is to stay as it is, it is started anew, so that its memory is its own and not that of an
    /// earlier load.
    pub(super) async fn find(lab: &Lab, anew: bool) -> Result<Self> {
        let (kubectl, client) = (lab.kubectl()?, lab.client().await?);
        let of = ["-n", OPERATOR_NAMESPACE];
        if anew {
            kubectl.run(of.into_iter().chain(["delete", "pods", "-l", SELECTOR, "--wait=true"])).await?;
        }
        eventually("the controller to be back", BACK, || async {
            let path = "jsonpath={.items[0].metadata.name} {.items[0].status.containerStatuses[0].ready}";
            let seen = kubectl.run(of.into_iter().chain(["get", "pods", "-l", SELECTOR, "-o", path])).await?;
            let Some(pod) = seen.strip_suffix(" true") else { return Ok(Err(seen)) };
            let metrics = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics");
            let found = process()?.map(|process| Self { process, client: client.clone(), metrics });
            Ok(found.ok_or_else(|| "it is no process of this machine".to_owned()))
        })
        .await
    }

    /// What it has cost and asked so far.
    pub(super) async fn cost(&self) -> Result<Cost> {
        let (status, stat) = (self.process.status()?, self.process.stat()?);
        let request = Request::get(&self.metrics).body(Vec::new())?;
        let text = self.client.request_text(request).await.context("the controller's metrics")?;
        let asked = |question: &str| {
            let label = format!("question=\"{question}\"");
            let lines =
                text.lines().filter(|line| line.starts_with("restate_controller_restate_questions_total"));
            let counts =
                lines.filter(|line| line.contains(&label)).filter_map(|line| line.rsplit(' ').next());
            counts.filter_map(|count| count.parse::<u64>().ok()).sum()
        };
        let megabytes = |kilobytes: Option<u64>| as_float(kilobytes.unwrap_or(0)) * 1024.0 / 1e6;
        Ok(Cost {
            cpu: as_float(stat.utime + stat.stime) / as_float(procfs::ticks_per_second()),
            resident: megabytes(status.vmrss),
            peak: megabytes(status.vmhwm),
            usage: asked("usage"),
            registry: asked("registry"),
        })
    }
}

fn process() -> Result<Option<Process>> {
    let mut all = procfs::process::all_processes()?.flatten();
    Ok(all.find(|process| process.stat().is_ok_and(|stat| stat.comm == NAME)))
}

impl Cost {
    /// What came since; memory is as it is.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            usage: self.usage - before.usage,
            registry: self.registry - before.registry,
            ..self
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}
