//! `restateclusters/health` and `restateclusters/deployments`: what a Restate says of itself, as kubectl shows it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use restate_tests::{Kubectl, Lab, Namespace, Restate, Result, Service, eventually, lab::Image};
use serde_json::{Value, json};

fn path(cluster: &str, subresource: &str) -> String {
    format!("/apis/control.restate.dev/v1alpha1/restateclusters/{cluster}/{subresource}")
}

/// R18: the table of a subresource.
async fn table(kubectl: &Kubectl, cluster: &str, subresource: &str) -> Result<String> {
    let flag = format!("--subresource={subresource}");
    kubectl.run(["get", "restateclusters.control.restate.dev", cluster, &flag]).await
}

#[tokio::test]
async fn health_shows_nodes_partitions_and_logs() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, kubectl) = (Restate::shared(&lab).await?, lab.kubectl()?);
    // A leader takes a moment where the node is busy with other tests.
    let health = eventually("health", Duration::from_mins(1), || async {
        let health = kubectl.json(["get", "--raw", &path(restate.name(), "health")]).await?;
        let well = health["status"]["healthy"] == true;
        Ok(if well { Ok(health) } else { Err(health["status"]["problems"].to_string()) })
    })
    .await?;
    ensure!(health["kind"] == "RestateClusterHealth", "{health}");
    let status = &health["status"];
    let node = &status["nodes"][0];
    ensure!(node["state"] == "Alive" && node["nodeId"] == 1 && node["lastHeard"].is_string(), "{node}");
    let roles = node["roles"].as_array().context("no roles")?;
    let role = |name: &str, state: &str| roles.contains(&json!({"name": name, "state": state}));
    ensure!(
        role("worker", "Ready") && role("log-server", "Ready") && role("metadata-server", "Member"),
        "{node}"
    );
    let all = |list: &Value, holds: &dyn Fn(&Value) -> bool| {
        list.as_array().is_some_and(|list| list.len() == 4 && list.iter().all(holds))
    };
    ensure!(all(&status["partitions"], &|one| one["leader"] == 1), "{status}");
    ensure!(all(&status["logs"], &|one| one["state"] == "Open" && one["tailLsn"].is_u64()), "{status}");
    ensure!(status["configuration"]["partitions"] == 4 && status["drift"] == json!([]), "{status}");
    // It is asked anew, and a leader may change in between.
    eventually("the table", Duration::from_mins(1), || async {
        let shown = table(&kubectl, restate.name(), "health").await?;
        let row = shown.lines().nth(1).unwrap_or_default();
        let well = ["true", "1/1", "4/4"].iter().all(|word| row.contains(word));
        Ok(if shown.starts_with("NAME") && well { Ok(()) } else { Err(shown) })
    })
    .await
}

/// Also what the operator has not registered, and which is which.
#[tokio::test]
async fn deployments_show_everything_that_is_registered() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "registered").await?);
    let kubectl = lab.kubectl()?;
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    // The same pods by another name, registered by hand.
    let uri = format!("http://{}.{}.svc:9080/", version.name(), namespace.name());
    let by_hand = restate.admin("POST", "deployments", Some(&json!({"uri": uri}))).await?;
    let by_hand = by_hand["id"].as_str().context("no id")?;
    let list = kubectl.json(["get", "--raw", &path(restate.name(), "deployments")]).await?;
    let shown = table(&kubectl, restate.name(), "deployments").await?;
    restate.admin("DELETE", &format!("deployments/{by_hand}?force=true"), None).await?;
    ensure!(list["kind"] == "RestateClusterDeploymentList", "{list}");
    let find = |id: &str| {
        let items = list["items"].as_array().into_iter().flatten();
        items
            .into_iter()
            .find(|item| item["metadata"]["name"] == id)
            .with_context(|| format!("no {id}: {list}"))
    };
    let ours = &find(version.deployment_id())?["status"];
    ensure!(ours["version"]["name"] == version.name(), "{ours}");
    ensure!(ours["version"]["namespace"] == namespace.name() && ours["cluster"] == restate.name(), "{ours}");
    let other = &find(by_hand)?["status"];
    ensure!(
        other["version"].is_null() && other["endpoint"] == uri.as_str() && other["latest"] == true,
        "{other}"
    );
    ensure!(
        shown.contains(by_hand) && shown.contains(&format!("{}/{}", namespace.name(), version.name())),
        "{shown}"
    );
    Ok(())
}

/// E2: both are about a RestateCluster that is there.
#[tokio::test]
async fn an_absent_cluster_has_neither() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?;
    for subresource in ["health", "deployments"] {
        let answer = kubectl.ask(["get", "--raw", &path("nowhere", subresource)], None).await?;
        ensure!(answer.words.contains("NotFound"), "{subresource}: {answer:?}");
    }
    Ok(())
}

/// Whoever sees versions does not see whole clusters.
#[tokio::test]
async fn clusters_are_seen_by_explicit_role_only() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, kubectl) = (Restate::shared(&lab).await?, lab.kubectl()?.as_user("nobody-in-particular"));
    for subresource in ["health", "deployments"] {
        let answer = kubectl.ask(["get", "--raw", &path(restate.name(), subresource)], None).await?;
        let words = format!("cannot get resource \"restateclusters/{subresource}\"");
        ensure!(answer.words.contains(&words), "{answer:?}");
    }
    Ok(())
}
