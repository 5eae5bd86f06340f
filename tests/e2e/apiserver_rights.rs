//! Kubernetes decides who may see and do what, and says so in its own words.

use anyhow::ensure;
use restate_tests::{Lab, Namespace, Result};
use serde_json::json;

const NOBODY: &str = "nobody-in-particular";

#[tokio::test]
async fn whoever_has_no_rights_is_refused_in_kubernetes_words() -> Result {
    let kubectl = Lab::of_this_run()?.kubectl()?.as_user(NOBODY);
    let answer = kubectl.ask(["-n", "default", "get", "restatedeploymentversions"], None).await?;
    let words = format!(
        "restatedeploymentversions.control.restate.dev is forbidden: User \"{NOBODY}\" cannot list resource \
         \"restatedeploymentversions\" in API group \"control.restate.dev\" in the namespace \"default\""
    );
    ensure!(!answer.successful && answer.words.contains(&words), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn view_sees_versions_and_cannot_provision() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "rights").await?;
    lab.kubectl()?
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "view", "namespace": namespace.name()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": namespace.name()}],
        }))
        .await?;
    let viewer = lab.kubectl()?.as_user(namespace.name());
    restate_tests::eventually("the right to see versions", std::time::Duration::from_secs(30), || async {
        let answer = viewer.ask(["-n", namespace.name(), "get", "rdv"], None).await?;
        Ok(if answer.successful { Ok(()) } else { Err(answer.words) })
    })
    .await?;
    let elsewhere = viewer.ask(["get", "rdv", "-A"], None).await?;
    ensure!(elsewhere.words.contains("is forbidden"), "{elsewhere:?}");
    let provision = json!({
        "apiVersion": "control.restate.dev/v1alpha1",
        "kind": "RestateClusterProvision",
        "metadata": {"name": "none"},
    });
    let refused = viewer.ask(["create", "-f", "-"], Some(&provision)).await?;
    ensure!(!refused.successful && refused.words.contains("is forbidden"), "{refused:?}");
    Ok(())
}
