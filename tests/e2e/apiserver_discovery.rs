//! The virtual kinds are where kubectl looks for them.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Result, eventually};

/// kube-apiserver asks every group for its kinds and their schemas about once a minute.
const KNOWN: Duration = Duration::from_secs(100);

#[tokio::test]
async fn the_api_is_available_and_lists_its_kinds() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    let available = r#"jsonpath={.status.conditions[?(@.type=="Available")].status}"#;
    let service = ["get", "apiservice", "v1alpha1.control.restate.dev", "-o", available];
    eventually("the API to be available", KNOWN, || async {
        let seen = kubectl.run(service).await?;
        Ok(if seen == "True" { Ok(()) } else { Err(seen) })
    })
    .await?;
    let names = [
        "restatedeploymentversions",
        "restateclusterprovisions",
        "restateclustersnapshots",
        "restateclusterrecoveries",
    ];
    let names = names.map(|name| format!("{name}.control.restate.dev"));
    eventually("its kinds", KNOWN, || async {
        let listed = kubectl.run(["api-resources", "--api-group=control.restate.dev", "-o", "name"]).await?;
        let all = names.iter().all(|name| listed.lines().any(|line| line == name));
        Ok(if all { Ok(()) } else { Err(listed) })
    })
    .await
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
        eventually(&format!("{field} to be explained"), KNOWN, || async {
            let text = kubectl.run(["explain", field]).await?;
            let told = text.contains("control.restate.dev") && text.contains("DESCRIPTION");
            Ok(if told { Ok(()) } else { Err(text) })
        })
        .await?;
    }
    Ok(())
}
