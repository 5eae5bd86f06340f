//! A namespace for one test.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use uuid::Uuid;

use crate::{Lab, Result, eventually};

/// On every namespace that a test made, so that people can find what an aborted run has left.
const LABEL: &str = "restate-tests";
/// What tests before have left goes within this time: work is waited for, and Restate is asked.
const GONE: Duration = Duration::from_mins(5);

/// A namespace that goes with the test, whether that passes or not.
#[derive(Debug)]
pub struct Namespace {
    lab: Lab,
    name: String,
}

impl Namespace {
    /// Makes one whose name begins with what the test is about.
    pub async fn new(lab: &Lab, about: &str) -> Result<Self> {
        Self::with_labels(lab, about, &[]).await
    }

    /// The same, where pods are held to Kubernetes' restricted profile.
    pub async fn restricted(lab: &Lab, about: &str) -> Result<Self> {
        Self::with_labels(lab, about, &[("pod-security.kubernetes.io/enforce", "restricted")]).await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn with_labels(lab: &Lab, about: &str, labels: &[(&str, &str)]) -> Result<Self> {
        let unique = Uuid::new_v4().simple().to_string();
        let name = format!("{about}-{}", &unique[..8]);
        let mut metadata = json!({"name": name, "labels": {LABEL: "true"}});
        for (key, value) in labels {
            metadata["labels"][*key] = (*value).into();
        }
        lab.kubectl()?.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await?;
        Ok(Self { lab: lab.clone(), name })
    }
}

/// Waits until no namespace and no RestateDeployment is being deleted: what others leave behind is looked after still,
/// and everybody is asked about it.
pub async fn none_is_going(lab: &Lab) -> Result {
    let kubectl = lab.kubectl()?;
    let terminating = ["get", "namespaces", "--field-selector=status.phase=Terminating", "-o", "name"];
    let deleted = "jsonpath={range .items[?(@.metadata.deletionTimestamp)]}\
                   {.metadata.namespace}/{.metadata.name} {end}";
    let deleted = ["get", "restatedeployments.restate.dev", "-A", "-o", deleted];
    eventually("what is being deleted to be gone", GONE, || async {
        let left = kubectl.run(terminating).await? + &kubectl.run(deleted).await?;
        Ok(if left.trim().is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}

/// Without waiting: what holds a namespace is the subject of tests of its own.
impl Drop for Namespace {
    fn drop(&mut self) {
        let Some(program) = std::env::var_os("LAB_KUBECTL") else { return };
        let delete = ["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"];
        let mut kubectl = Command::new(program);
        kubectl
            .args(delete)
            .env("KUBECONFIG", self.lab.kubeconfig())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A namespace that stays behind is found by its label; the test's own verdict matters more.
        let _ = kubectl.status();
    }
}
