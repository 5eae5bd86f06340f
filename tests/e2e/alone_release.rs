//! The release goes and comes back while there are clusters and services.

use std::{ffi::OsStr, time::Duration};

use anyhow::ensure;
use restate_tests::{
    Lab, Namespace, Restate, Result, Service, eventually,
    lab::{Image, OPERATOR_NAMESPACE},
};
use serde_json::{Value, json};

const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");
const RELEASE: &str = "restate-operator";
const CONTROLLER: &str = "app.kubernetes.io/component=controller";

async fn helm<S: AsRef<OsStr>>(lab: &Lab, arguments: impl IntoIterator<Item = S>) -> Result<String> {
    let mut helm = lab.helm()?;
    let ended = helm.args(["--namespace", OPERATOR_NAMESPACE]).args(arguments).output().await?;
    ensure!(ended.status.success(), "helm: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(String::from_utf8(ended.stdout)?)
}

/// Installs the chart again with the values that it had; `extra` says how long to wait for what.
async fn install(lab: &Lab, values: &str, extra: &[&str]) -> Result {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), values)?;
    let (chart, values) = (format!("{CHARTS}/restate-operator"), file.path().display().to_string());
    let command = ["install", RELEASE, &chart, "--values", &values, "--take-ownership"];
    helm(lab, command.iter().chain(extra)).await.map(drop)
}

async fn values(lab: &Lab) -> Result<String> {
    helm(lab, ["get", "values", RELEASE, "-o", "json"]).await
}

/// Deletions that are under way are finished before the release goes; nothing keeps a finalizer.
#[tokio::test]
async fn an_uninstall_lets_a_namespace_go_that_is_being_deleted() -> Result {
    let lab = Lab::of_this_run()?;
    let kubectl = lab.kubectl()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "uninstall").await?);
    let (going, staying) = (Service::new(&lab, &namespace, &restate), Namespace::new(&lab, "staying").await?);
    let staying = Service::new(&lab, &staying, &restate);
    going.roll_out(Image::GreeterV1).await?;
    let before = staying.roll_out(Image::GreeterV1).await?;
    let values = values(&lab).await?;
    kubectl.run(["delete", "namespace", namespace.name(), "--wait=false"]).await?;
    helm(&lab, ["uninstall", RELEASE, "--wait", "--timeout", "5m"]).await?;
    let gone = eventually("the namespace to go", Duration::from_mins(2), || async {
        let left =
            kubectl.run(["get", "namespace", namespace.name(), "--ignore-not-found", "-o", "json"]).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await;
    let finalizers = r"jsonpath={.items[*].metadata.finalizers}";
    let held = kubectl.run(["get", "restatedeployments,restateclusters", "-A", "-o", finalizers]).await;
    install(&lab, &values, &["--wait", "--timeout", "5m"]).await?;
    gone?;
    ensure!(held?.is_empty(), "finalizers that nobody strips");
    let after = staying.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    ensure!(after.deployment_id() == before.deployment_id(), "registered anew");
    Ok(())
}

/// The controller waits for its kinds and works when they come.
#[tokio::test]
async fn definitions_may_come_after_the_controller() -> Result {
    let lab = Lab::of_this_run()?;
    let kubectl = lab.kubectl()?;
    let values = values(&lab).await?;
    kubectl.run(["delete", "restatedeployments", "-A", "--all", "--wait=false"]).await?;
    let definitions = ["restateclusters", "restatedeployments", "restatecloudenvironments"];
    let names: Vec<_> = definitions.iter().map(|name| format!("{name}.restate.dev")).collect();
    kubectl.run(["delete", "crd"].into_iter().chain(names.iter().map(String::as_str))).await?;
    helm(&lab, ["uninstall", RELEASE, "--wait", "--timeout", "5m"]).await?;
    let mut without: Value = serde_json::from_str(&values)?;
    without["installCrds"] = json!(false);
    // Nobody gets ready without definitions, so nobody waits for it.
    install(&lab, &without.to_string(), &[]).await?;
    eventually("the controller to say what it waits for", Duration::from_mins(1), || async {
        let ready = "jsonpath={.items[*].status.containerStatuses[*].ready}";
        let controller = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", CONTROLLER, "-o", ready];
        let seen = kubectl.run(controller).await?;
        Ok(if seen == "false" { Ok(()) } else { Err(seen) })
    })
    .await?;
    // The same process sees them come: only the definitions are new, by a chart of their own.
    let definitions = format!("{CHARTS}/restate-operator-crds");
    let rendered = helm(&lab, ["template", "definitions", &definitions]).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), rendered)?;
    kubectl
        .run([OsStr::new("apply"), OsStr::new("--server-side"), OsStr::new("-f"), file.path().as_os_str()])
        .await?;
    // With their group: `control.restate.dev` has parents of the same names, and a kubectl that looked
    // at discovery meanwhile knows only those.
    eventually("the kinds to be served", Duration::from_mins(1), || async {
        Ok(kubectl
            .run(["get", "restateclusters.restate.dev,restatedeployments.restate.dev", "-A"])
            .await
            .map_err(|error| error.to_string()))
    })
    .await?;
    let restate = Restate::own(&lab, "late", &json!({})).await?;
    let namespace = Namespace::new(&lab, "late").await?;
    Service::new(&lab, &namespace, &restate).roll_out(Image::GreeterV1).await.map(drop)
}
