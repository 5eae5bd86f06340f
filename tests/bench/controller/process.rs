//! What the controller's process costs, and what it says of itself.

use anyhow::Context as _;
use http::Request;
use kube::Client;
use procfs::process::Process;
use restate_tests::{Lab, Result, lab::OPERATOR_NAMESPACE};

/// How the kernel cuts the program's name.
const NAME: &str = "restate-control";
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
    /// Starts it anew, so that its memory is its own and not that of an earlier load, and finds it.
    pub(super) async fn fresh(lab: &Lab) -> Result<Self> {
        let kubectl = lab.kubectl()?;
        let of = ["-n", OPERATOR_NAMESPACE];
        let delete = ["delete", "pods", "-l", SELECTOR, "--wait=true"];
        kubectl.run(of.into_iter().chain(delete)).await?;
        let rollout = ["wait", "deployments", "-l", "app=restate-operator", "--for=condition=Available"];
        kubectl.run(of.into_iter().chain(rollout).chain(["--timeout=120s"])).await?;
        let name = ["get", "pods", "-l", SELECTOR, "-o", "jsonpath={.items[0].metadata.name}"];
        let pod = kubectl.run(of.into_iter().chain(name)).await?;
        let metrics = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics");
        let mut named = procfs::process::all_processes()?.flatten();
        let found = named.find(|process| process.stat().is_ok_and(|stat| stat.comm == NAME));
        let process = found.context("the controller is no process of this machine")?;
        Ok(Self { process, client: lab.client().await?, metrics })
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
