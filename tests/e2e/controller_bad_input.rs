//! What cannot work says why, in a condition and once as an event, and harms nothing that worked before.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Namespace, Restate, Result, Service, eventually, lab::Image};
use serde_json::{Value, json};

#[tokio::test]
async fn a_cluster_that_does_not_exist_is_named() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "no-cluster").await?;
    let service = Service::registered(&lab, &namespace, json!({"cluster": "there-is-none"}));
    service.apply(Image::GreeterV1).await?;
    let (reason, message) = service.condition("Ready", "False").await?;
    ensure!(reason == "TargetNotFound" && message.contains("there-is-none"), "{reason}: {message}");
    service.warned_once("TargetNotFound", "there-is-none").await
}

#[tokio::test]
async fn a_selector_that_misses_the_template_is_named() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "selector").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let mut object = service.object(&lab.image(Image::GreeterV1)?);
    object["spec"]["selector"]["matchLabels"]["app"] = "another".into();
    lab.kubectl()?.apply(&object).await?;
    let (reason, message) = service.condition("Ready", "False").await?;
    ensure!(reason == "SelectorMismatch" && message.contains("another"), "{reason}: {message}");
    service.warned_once("SelectorMismatch", "another").await
}

/// What the schema lets through and nobody can run: the field is named, in a condition and as an event.
#[tokio::test]
async fn a_template_without_containers_is_named() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "no-containers").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service
        .apply_with(Image::GreeterV1, |object| object["spec"]["template"]["spec"]["containers"] = json!([]))
        .await?;
    service.condition_with("Ready", "False", "spec.template.spec.containers").await?;
    service.warned_once("InvalidTemplate", "spec.template.spec.containers").await
}

/// The old version goes on serving while the new one cannot start.
#[tokio::test]
async fn pods_that_never_get_ready_leave_the_old_version_alone() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "unready").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    let mut object = service.object(&lab.image(Image::GreeterV2)?);
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["env"] = json!([{"name": "PORT", "value": "no port"}]);
    // A program that ends at once may be called ready for the moment that it runs.
    container["readinessProbe"] = json!({"tcpSocket": {"port": 9080}, "periodSeconds": 1});
    lab.kubectl()?.apply(&object).await?;
    let (reason, _) = service.condition("Ready", "False").await?;
    ensure!(reason == "PodsNotReady", "{reason}");
    service.warned_once("PodsNotReady", "0 of 1 pods").await?;
    let still = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    ensure!(still.deployment_id() == first.deployment_id());
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v1: hello Ada");
    Ok(())
}

/// An endpoint that is no SDK: Restate's own words and code reach the condition.
#[tokio::test]
async fn an_endpoint_that_is_no_service_is_reported_in_restates_words() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "no-sdk").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let mut object = service.object(&lab.image(Image::Busybox)?);
    let container: &mut Value = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["httpd", "-f", "-p", "9080", "-h", "/tmp"]);
    lab.kubectl()?.apply(&object).await?;
    service.condition_with("Ready", "False", "[META00").await?;
    eventually("a warning with Restate's code", Duration::from_secs(30), || async {
        let events = lab.kubectl()?.json(["-n", namespace.name(), "get", "events", "-o", "json"]).await?;
        let ours: Vec<_> = events["items"].as_array().into_iter().flatten().collect();
        let told =
            ours.iter().any(|event| event["type"] == "Warning" && event.to_string().contains("[META00"));
        let seen = || ours.iter().map(|event| event["reason"].to_string()).collect::<Vec<_>>().join(", ");
        Ok(if told { Ok(()) } else { Err(seen()) })
    })
    .await?;
    Ok(())
}
