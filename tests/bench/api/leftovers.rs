//! Everything that a run makes goes, and what it stopped comes back: at its end, at its start for a run that was ended
//! with SIGKILL, and however it failed in between.
//!
//! ```text
//! APIServices ─► our API answers ─► controller away ─► CRD, namespace ─► both programs as they were
//! ```
//!
//! The order matters. No namespace ends while a group of the cluster does not answer, and the controller would hold on
//! to RestateDeployments whose stand-in is gone.

use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use restate_tests::{Kubectl, Lab, Result, eventually};
use serde_json::{Value, json};

use super::{
    NAMESPACE,
    ask::{Asker, JSON},
    crd, limit,
    programs::{self, APISERVER, CONTROLLER},
    sample,
};

const REPLICAS: usize = 2;
const AT_A_TIME: usize = 24;
/// Kubernetes takes its time for ten thousand objects.
const GONE: Duration = Duration::from_mins(10);

/// Leaves the cluster as a run finds it. Each part is tried, whatever became of the one before.
pub(super) async fn clear(lab: &Lab) -> Result {
    let kubectl = lab.kubectl()?;
    let stored = stored(lab, &kubectl).await;
    let failed = programs::clear_failed(&kubectl).await;
    let served = programs::scale(&kubectl, APISERVER, REPLICAS).await;
    let managed = programs::scale(&kubectl, CONTROLLER, 1).await;
    stored.and(failed).and(served).and(managed)
}

async fn stored(lab: &Lab, kubectl: &Kubectl) -> Result {
    for group in [format!("v1.{}", limit::GROUP), format!("{}.{}", sample::VERSION, sample::GROUP)] {
        kubectl.run(["delete", "apiservice", &group, "--ignore-not-found"]).await?;
    }
    let kind = format!("{}.{}", crd::PLURAL, crd::GROUP);
    let has_kind = exists(kubectl, &["crd", &kind]).await?;
    let has_namespace = exists(kubectl, &["namespace", NAMESPACE]).await?;
    if has_namespace {
        programs::scale(kubectl, CONTROLLER, 0).await?;
        programs::scale(kubectl, APISERVER, REPLICAS).await?;
    }
    if has_kind {
        kubectl.run(["delete", "crd", &kind, "--ignore-not-found", "--timeout=10m"]).await?;
    }
    if has_namespace {
        kubectl.run(["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false"]).await?;
        release(&Asker::new(lab)?).await?;
        gone(kubectl).await?;
    }
    Ok(())
}

async fn exists(kubectl: &Kubectl, what: &[&str]) -> Result<bool> {
    let get = std::iter::once("get").chain(what.iter().copied()).chain(["--ignore-not-found", "-o", "name"]);
    Ok(!kubectl.run(get).await?.trim().is_empty())
}

/// A controller that ran beside an interrupted run has put finalizers on, and nobody is there to take them off.
async fn release(asker: &Asker) -> Result {
    for (group, plural) in [("restate.dev/v1beta1", "restatedeployments"), ("apps/v1", "replicasets")] {
        let path = format!("/apis/{group}/namespaces/{NAMESPACE}/{plural}");
        let list = asker.get(&path, JSON).await?.json()?;
        let items = list["items"].as_array().context("no list")?;
        let held = items.iter().filter(|item| !item["metadata"]["finalizers"].is_null());
        let names = held.filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned));
        stream::iter(names.collect::<Vec<_>>())
            .map(|name| let_go(asker, format!("{path}/{name}")))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

async fn let_go(asker: &Asker, path: String) -> Result {
    let change = json!({"metadata": {"finalizers": Value::Null}});
    match asker.patch(&path, &change).await {
        // It went in the meantime: that is what was wanted.
        Err(error) if error.to_string().contains("404") => Ok(()),
        other => other.map(drop),
    }
}

/// Says what holds the namespace where it does not go.
async fn gone(kubectl: &Kubectl) -> Result {
    eventually("the namespace to be gone", GONE, || async {
        let get =
            ["get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "jsonpath={.status.conditions}"];
        let seen = kubectl.run(get).await?;
        let is_there = exists(kubectl, &["namespace", NAMESPACE]).await?;
        Ok(if is_there { Err(seen) } else { Ok(()) })
    })
    .await
}
