//! The virtual kinds are where kubectl looks for them.

use anyhow::ensure;
use restate_tests::{Lab, Result};

#[tokio::test]
async fn the_api_is_available_and_lists_its_kinds() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    let available = r#"jsonpath={.status.conditions[?(@.type=="Available")].status}"#;
    let service = ["get", "apiservice", "v1alpha1.control.restate.dev", "-o", available];
    ensure!(kubectl.run(service).await? == "True");
    let resources = kubectl.run(["api-resources", "--api-group=control.restate.dev", "-o", "name"]).await?;
    for name in [
        "restatedeploymentversions",
        "restateclusterprovisions",
        "restateclustersnapshots",
        "restateclusterrecoveries",
    ] {
        ensure!(
            resources.lines().any(|line| line == format!("{name}.control.restate.dev")),
            "{name}: {resources}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_bare_plural_is_the_stored_kind() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    let group = |list: serde_json::Value| list["apiVersion"].as_str().unwrap_or_default().to_owned();
    let stored = kubectl.json(["get", "--raw", "/apis/restate.dev/v1beta1/restatedeployments"]).await?;
    ensure!(group(stored) == "restate.dev/v1beta1");
    // kubectl resolves the plural through discovery; a list of the virtual kind could not be had.
    kubectl.run(["get", "restatedeployments", "-A"]).await?;
    kubectl.run(["get", "restateclusters"]).await?;
    Ok(())
}

#[tokio::test]
async fn versions_explain_themselves() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    for field in [
        "rdv",
        "rdv.status.keptBecause",
        "restateclusterprovisions",
        "restateclustersnapshots.spec.partitions",
        "restateclusterrecoveries.status.guards",
    ] {
        let text = kubectl.run(["explain", field]).await?;
        ensure!(text.contains("control.restate.dev") && text.contains("DESCRIPTION"), "{field}: {text}");
    }
    Ok(())
}
