//! A controller that does not look whether a version is in use before it removes it: the proof that the judge would
//! find out.
//!
//! It is a program of its own, which no image and no chart contains (docs/decisions/chaos.md). It runs as a process
//! of this machine in the place of the real one, which comes back in any case.

use std::{
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use restate_tests::{Lab, Result, lab::OPERATOR_NAMESPACE};
use tokio::process::{Child, Command};

const PODS: &str = "app.kubernetes.io/component=controller";
const COMPONENT: &str = "/spec/template/metadata/labels/app.kubernetes.io~1component";

/// The program, while it runs.
pub(crate) struct Unchecked {
    lab: Lab,
    deployment: String,
    child: Option<Child>,
}

impl Unchecked {
    /// Puts it in the place of the real controller.
    pub(crate) async fn start(lab: &Lab) -> Result<Self> {
        let program = env::var_os("LAB_UNCHECKED").context("the unchecked controller was not built")?;
        let kubectl = lab.kubectl()?;
        let found = kubectl.json(["-n", OPERATOR_NAMESPACE, "get", "deployments", "-o", "json"]).await?;
        let all = found["items"].as_array().into_iter().flatten();
        let mut controllers = all.filter(|it| it.pointer(COMPONENT).is_some_and(|name| name == "controller"));
        let found = controllers.next().context("no controller is installed")?;
        let deployment =
            found["metadata"]["name"].as_str().context("a deployment without a name")?.to_owned();
        let mut unchecked = Self { lab: lab.clone(), deployment, child: None };
        unchecked.scale("0").await?;
        // It ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).kill_on_drop(true).stdin(Stdio::null());
        command.env("KUBECONFIG", lab.kubeconfig()).env("OPERATOR_NAMESPACE", OPERATOR_NAMESPACE);
        command.env("METRICS_ADDRESS", "127.0.0.1:0");
        for variable in
            found["spec"]["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten()
        {
            if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
                command.env(name, value);
            }
        }
        let log = env::temp_dir().join("unchecked-controller.log");
        command.stdout(std::fs::File::create(log)?).stderr(Stdio::null());
        unchecked.child = Some(command.spawn().context("failed to start the unchecked controller")?);
        Ok(unchecked)
    }

    /// Gives the place back.
    pub(crate) async fn stop(mut self) -> Result {
        if let Some(mut child) = self.child.take() {
            ensure!(child.try_wait()?.is_none(), "the unchecked controller has ended by itself");
            child.kill().await?;
        }
        self.scale("1").await
    }

    async fn scale(&self, replicas: &str) -> Result {
        let kubectl = self.lab.kubectl()?;
        let (name, count) = (format!("deployment/{}", self.deployment), format!("--replicas={replicas}"));
        kubectl.run(["-n", OPERATOR_NAMESPACE, "scale", &name, &count]).await?;
        let began = Instant::now();
        // One that was evicted stays in the list.
        let alive = "--field-selector=status.phase!=Failed,status.phase!=Succeeded";
        let pods = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", PODS, alive, "-o", "name"];
        while (kubectl.run(pods).await?.lines().count() == 0) != (replicas == "0") {
            ensure!(began.elapsed() < Duration::from_mins(2), "the controller's pod does not come or go");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }
}

/// A test that fails on its way leaves the real controller in its place.
impl Drop for Unchecked {
    fn drop(&mut self) {
        let Some(program) = env::var_os("LAB_KUBECTL") else { return };
        let mut kubectl = std::process::Command::new(program);
        kubectl.env("KUBECONFIG", self.lab.kubeconfig()).stdout(Stdio::null());
        kubectl
            .args(["-n", OPERATOR_NAMESPACE, "scale", "--replicas=1"])
            .arg(format!("deployment/{}", self.deployment));
        // What cannot be given back here is said by every test that follows.
        let _ = kubectl.status();
    }
}
