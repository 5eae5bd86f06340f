//! The main job: a new version takes over while the old one ends its work.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Namespace, Restate, Result, Service, eventually, lab::Image};
use serde_json::json;

/// The delay of these services is two seconds; the rest is looking and asking.
const RETIRED: Duration = Duration::from_mins(1);

/// The demo, but with an invocation that ends when it is told to.
#[tokio::test]
async fn a_version_stays_for_its_invocation_and_goes_after_it() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "versions").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v1: hello Ada");
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;

    let second = service.roll_out(Image::GreeterV2).await?;
    ensure!(second.name() != first.name() && second.deployment_id() != first.deployment_id());
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v2: hello Ada");
    let kept = service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    ensure!(kept.state() == "Draining" && kept.uid() == first.uid(), "{}", kept.json());
    ensure!(kept.kept_because().contains(&"PinnedInvocations"), "{}", kept.json());

    let wide = ["-n", namespace.name(), "get", "restatedeploymentversions", "-o", "wide"];
    eventually("the table", Duration::from_secs(20), || async {
        let table = lab.kubectl()?.run(wide).await?;
        let whole = ["Draining", "Current", first.deployment_id(), "PinnedInvocations(1)"];
        Ok(if whole.iter().all(|word| table.contains(word)) { Ok(()) } else { Err(table) })
    })
    .await?;
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    service.retired(Image::GreeterV1, RETIRED).await?;
    let rows = restate
        .query(&format!("select id from sys_deployment where id = '{}'", first.deployment_id()))
        .await?;
    ensure!(rows.is_empty(), "Restate still knows it: {rows:?}");
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v2: hello Ada");
    Ok(())
}

#[tokio::test]
async fn a_version_without_work_goes_by_itself() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "idle").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service.roll_out(Image::GreeterV1).await?;
    service.roll_out(Image::GreeterV2).await?;
    service.retired(Image::GreeterV1, RETIRED).await
}

/// Deletion waits for work and not for "is latest".
#[tokio::test]
async fn a_deleted_service_leaves_restate_when_its_work_has_ended() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "deleted").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    restate.call(&format!("{}/slow/send", service.name()), &json!(8)).await?;
    let kubectl = lab.kubectl()?;
    let delete = ["-n", namespace.name(), "delete", "restatedeployment", service.name(), "--wait=false"];
    kubectl.run(delete).await?;
    let known = format!("select id from sys_deployment where id = '{}'", version.deployment_id());
    ensure!(restate.query(&known).await?.len() == 1, "deregistered with work unfinished");
    eventually("the object to go", Duration::from_mins(1), || async {
        let left = kubectl
            .run(["-n", namespace.name(), "get", "restatedeployments,replicasets", "-o", "name"])
            .await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await?;
    ensure!(restate.query(&known).await?.is_empty());
    Ok(())
}

/// One service in TypeScript: nothing here depends on an SDK.
#[tokio::test]
async fn a_typescript_service_is_rolled_out_like_any_other() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "typescript").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service.roll_out(Image::TypeScript).await?;
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v1: hello Ada");
    Ok(())
}

#[tokio::test]
async fn pods_run_under_the_restricted_profile() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) =
        (Restate::shared(&lab).await?, Namespace::restricted(&lab, "restricted").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service.roll_out(Image::GreeterV1).await?;
    Ok(())
}
