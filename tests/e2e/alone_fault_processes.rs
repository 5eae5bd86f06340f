//! Processes that die at a bad moment take no version with them.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{
    Lab, Namespace, Restate, Result, Service, Version,
    lab::{Image, OPERATOR_NAMESPACE},
};
use serde_json::json;

const CONTROLLER: &str = "app.kubernetes.io/component=controller";
const APISERVER: &str = "app.kubernetes.io/component=apiserver";

/// An invocation pinned to version 1 keeps it while everything around it is killed, and version 1 goes when it ends.
#[tokio::test]
async fn a_pinned_invocation_outlives_controller_apiserver_and_restate() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::own(&lab, "killed", &json!({})).await?;
    let namespace = Namespace::new(&lab, "killed").await?;
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    service.apply(Image::GreeterV2).await?;
    lab.kill(OPERATOR_NAMESPACE, CONTROLLER).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    lab.kill(OPERATOR_NAMESPACE, APISERVER).await?;
    lab.kill(restate.name(), "app.kubernetes.io/name=restate").await?;
    lab.kill(OPERATOR_NAMESPACE, CONTROLLER).await?;
    restate.ready().await?;
    let held = |version: &Version| version.pinned() == Some(1) && version.state() == "Draining";
    let kept = service.version(Image::GreeterV1, held).await?;
    ensure!(kept.deployment_id() == first.deployment_id(), "{}", kept.json());
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    service.retired(Image::GreeterV1, Duration::from_mins(3)).await
}
