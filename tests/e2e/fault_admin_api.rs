//! An admin API that refuses, hangs, fails or lies: nothing is removed on its word.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::events::Event;
use restate_tests::{Events, Fault, FaultProxy, Lab, Namespace, Restate, Result, Service, lab::Image};
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
    service.job_is_bound(&restate, &first).await?;
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
    service.retired(Image::GreeterV1, Duration::from_mins(3)).await
}

/// W15: a Restate that refuses, hangs or lies makes no virtual object look deleted: not its versions, and not its
/// services; neither in a watch that was open before, nor in a list meanwhile. One that says that it has nothing at
/// all is taken at its word about what it routes, and never about versions.
#[tokio::test]
async fn no_fault_of_the_admin_api_deletes_a_virtual_object() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: pods of a cluster elsewhere cannot reach a proxy on this machine");
        return Ok(());
    }
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "watched-faults").await?);
    let proxy = FaultProxy::new(&lab, &restate).await?;
    let service = Service::registered(&lab, &namespace, json!({"url": proxy.url()}));
    service.roll_out(Image::GreeterV1).await?;
    let versions = Events::of(&lab, namespace.name(), "restatedeploymentversions").await?;
    let services = Events::of(&lab, namespace.name(), "restateservices").await?;
    let there =
        |count: usize| move |seen: &[Event]| seen.iter().filter(|(kind, _)| kind == "ADDED").count() >= count;
    versions.until("the version to be there", A_WHILE, there(1)).await?;
    services.until("its services to be there", A_WHILE * 4, there(3)).await?;
    let kubectl = lab.kubectl()?;
    let list = ["-n", namespace.name(), "get", "restateservices", "-o", "name"];
    kubectl.lists_steadily(&list, |listed| listed.lines().count() == 3).await?;
    for fault in [Fault::Refuse, Fault::Hang, Fault::Garbage, Fault::Empty] {
        proxy.set(fault);
        let both = [("restatedeploymentversions", &versions, 1), ("restateservices", &services, 3)];
        let held = if fault == Fault::Empty { &both[..1] } else { &both[..] };
        // While the watches make the poller ask, and somebody lists.
        for _ in 0..3 {
            tokio::time::sleep(A_WHILE / 3).await;
            for (plural, _, count) in held {
                let get = ["-n", namespace.name(), "get", plural, "-o", "name"];
                let listed = kubectl.run(get).await?;
                ensure!(listed.lines().count() == *count, "{fault:?}: {plural}: {listed}");
            }
        }
        for (_, events, _) in held {
            let wrong = events.seen()?.into_iter().find(|(kind, _)| kind == "DELETED" || kind == "ERROR");
            ensure!(wrong.is_none(), "{fault:?}: {wrong:?}");
        }
    }
    proxy.set(Fault::None);
    service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    // The watches live: what does go is told.
    service.delete().await?;
    let gone = |seen: &[Event]| seen.iter().any(|(kind, _)| kind == "DELETED");
    versions.until("the version to be gone", Duration::from_mins(1), gone).await
}
