//! Services of a namespace: where new calls go, and a watch that sees them go elsewhere.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use restate_tests::{
    Events, Lab, Namespace, Restate, Result, Service, events::Event, eventually, lab::Image,
};

/// After this time every replica knows of what is registered: what is unchanged is published every five seconds.
const KNOWN: Duration = Duration::from_secs(8);
/// Restate answers, and a watch tells of it.
const TOLD: Duration = Duration::from_mins(2);
/// Two answers of Restate: after a question that took a second the next one waits for almost a minute.
const RETIRED: Duration = Duration::from_mins(3);

/// The versions that events of a kind name, in order.
fn versions<'e>(seen: &'e [Event], kind: &str) -> Vec<&'e str> {
    let of_kind = seen.iter().filter(|(event, _)| event == kind);
    of_kind.filter_map(|(_, object)| object["status"]["version"].as_str()).collect()
}

/// R3, R8, R9, Z12: what is listed, and that it is the namespace's own.
#[tokio::test]
async fn services_name_the_version_that_new_calls_go_to() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "svc").await?);
    let empty = Namespace::new(&lab, "svc-none").await?;
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    tokio::time::sleep(KNOWN).await;
    let kubectl = lab.kubectl()?;
    let get = |more: &[&str]| {
        let all = ["-n", namespace.name(), "get", "restateservices"].into_iter().chain(more.iter().copied());
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let list = eventually("three services", Duration::from_secs(20), || async {
        let list = kubectl.json(get(&["-o", "json"])).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        Ok(if items.len() == 3 { Ok(items) } else { Err(list.to_string()) })
    })
    .await?;
    for item in &list {
        let status = &item["status"];
        ensure!(status["version"] == version.name() && status["deployment"] == service.name(), "{item}");
        ensure!(status["deploymentId"] == version.deployment_id() && status["cluster"] == restate.name());
    }
    let workflow = format!("status.type=Workflow,status.service={}", service.job());
    let one = kubectl.json(get(&["--field-selector", &workflow, "-o", "json"])).await?;
    let name = one["items"][0]["metadata"]["name"].as_str().context("no workflow")?;
    let same = kubectl.json(get(&[name, "-o", "json"])).await?;
    ensure!(same["metadata"]["uid"] == one["items"][0]["metadata"]["uid"], "{same}");
    let table = kubectl.run(get(&["-o", "wide"])).await?;
    for word in ["SERVICE", "VERSION", "HANDLERS", "VirtualObject", "add,get,hold", version.name()] {
        ensure!(table.contains(word), "{word}: {table}");
    }
    let none = kubectl.json(["-n", empty.name(), "get", "rsvc", "-o", "json"]).await?;
    ensure!(none["items"] == serde_json::json!([]), "{none}");
    Ok(())
}

/// W1, W3, W15: a watch shows each service go over to the new version, and nothing being deleted.
#[tokio::test]
async fn a_watch_sees_services_go_over_to_the_new_version() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "svc-watch").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    let events = Events::of(&lab, namespace.name(), "restateservices").await?;
    // A replica that has heard nothing of this Restate yet lets the watch wait.
    let all = |seen: &[Event]| versions(seen, "ADDED").len() >= 3;
    events.until("all services to be there", TOLD, all).await?;
    let second = service.roll_out(Image::GreeterV2).await?;
    let over = |seen: &[Event]| {
        versions(seen, "MODIFIED").into_iter().filter(|name| *name == second.name()).count() >= 3
    };
    events.until("all services to go over", TOLD, over).await?;
    // The end of the old version takes none of them away.
    service.retired(Image::GreeterV1, RETIRED).await?;
    tokio::time::sleep(KNOWN).await;
    let seen = events.seen()?;
    ensure!(versions(&seen, "ADDED") == [first.name(); 3], "{seen:?}");
    ensure!(over(&seen), "{seen:?}");
    ensure!(!seen.iter().any(|(kind, _)| kind == "DELETED"), "{seen:?}");
    Ok(())
}
