//! An admin API that refuses, hangs, fails or lies: nothing is removed on its word.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Fault, FaultProxy, Lab, Namespace, Restate, Result, Service, lab::Image};
use serde_json::json;

/// Longer than the drain delay of these services, and than several rounds of asking.
const A_WHILE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_version_with_work_survives_every_fault_of_the_admin_api() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: pods of a cluster elsewhere cannot reach a proxy on this machine");
        return Ok(());
    }
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "faults").await?);
    let proxy = FaultProxy::new(&lab, &restate).await?;
    let service = Service::registered(&lab, &namespace, json!({"url": proxy.url()}));
    let first = service.roll_out(Image::GreeterV1).await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.roll_out(Image::GreeterV2).await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    let replicas =
        ["-n", namespace.name(), "get", "replicaset", first.name(), "-o", "jsonpath={.spec.replicas}"];
    for fault in
        [Fault::ServerError, Fault::Garbage, Fault::Truncate, Fault::Empty, Fault::Hang, Fault::Refuse]
    {
        proxy.set(fault);
        tokio::time::sleep(A_WHILE).await;
        let known = format!("select id from sys_deployment where id = '{}'", first.deployment_id());
        ensure!(restate.query(&known).await?.len() == 1, "{fault:?}: deregistered");
        ensure!(lab.kubectl()?.run(replicas).await? == "1", "{fault:?}: scaled down");
    }
    proxy.set(Fault::None);
    service.version(Image::GreeterV1, |version| version.state() == "Draining").await?;
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    service.retired(Image::GreeterV1, Duration::from_mins(2)).await
}
