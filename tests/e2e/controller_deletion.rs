//! The end of a RestateDeployment: unfinished work holds it, and nothing else does.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Namespace, Restate, Result, Service, Version, eventually, lab::Image};
use serde_json::{Value, json};

/// Two answers of Restate: after a question that took a second the next one waits for almost a minute.
const SOON: Duration = Duration::from_mins(3);

/// A job that ends when it is told to, on version 1.
async fn busy(restate: &Restate, service: &Service, change: impl FnOnce(&mut Value)) -> Result<Version> {
    service.apply_with(Image::GreeterV1, change).await?;
    let version = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    Ok(version)
}

/// Waits until `status.deletion` is so.
async fn deletion(service: &Service, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let look = || async {
        let deletion = service.stored().await?["status"]["deletion"].clone();
        Ok(if wanted(&deletion) { Ok(deletion) } else { Err(deletion.to_string()) })
    };
    service.eventually(what, SOON, look).await
}

/// users.md 1a (op#172, op#176), 2b 3.0.0: never invoked, and gone at once although it is the latest version.
#[tokio::test]
async fn what_was_never_called_goes_at_once() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "preview").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    service.delete().await?;
    service.gone(SOON).await?;
    ensure!(!restate.knows(version.deployment_id()).await?, "left behind in Restate");
    Ok(())
}

/// users.md 2b 3.0.0 (unpinned work counted zero), 3 "Deletion" (patch of a terminating object, abandons, event): work
/// of both kinds holds it and is counted; then its owner gives it up.
#[tokio::test]
async fn work_holds_it_by_number_until_its_owner_gives_up() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "give-up").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = busy(&restate, &service, |_| ()).await?;
    restate.call(&format!("{}/greet/send?delay=1h", service.name()), &json!("later")).await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    service.delete().await?;
    let held =
        deletion(&service, "one pinned and one unpinned", |it| it["totalPendingInvocations"] == 2).await?;
    let pending = &held["pendingInvocations"][0];
    ensure!(pending["pinned"] == 1 && pending["unpinned"] == 1, "{held}");
    ensure!(pending["deploymentId"] == version.deployment_id() && held["phase"] == "Draining", "{held}");
    ensure!(restate.knows(version.deployment_id()).await?, "deregistered with work unfinished");
    let set = service.object_of("replicaset", &version).await?;
    ensure!(set["spec"]["replicas"] == 1 && set["metadata"].get("deletionTimestamp").is_none(), "{set}");
    service.describes(&["waiting for 2 unfinished invocations"]).await?;

    service.patch(&json!({"spec": {"restate": {"deletePolicy": "force"}}})).await?;
    service.gone(SOON).await?;
    ensure!(!restate.knows(version.deployment_id()).await?);
    let events = service.kubectl(["get", "events", "-o", "json"]).await?;
    ensure!(events.contains("ForcedDeletion") && events.contains(version.deployment_id()), "{events}");
    Ok(())
}

/// users.md 1a (op#198), 3 "Deletion" (clock from the deletion, hold is Overdue, force abandons).
#[tokio::test]
async fn a_drain_that_is_overdue_says_so_and_ends_when_it_is_told_to() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "overdue").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let drain = |object: &mut Value| {
        object["spec"]["restate"]["drain"] = json!({"timeoutSeconds": 3, "onTimeout": "hold"});
    };
    let version = busy(&restate, &service, drain).await?;
    service.delete().await?;
    let overdue = |it: &Value| it["phase"] == "Overdue" && it["totalPendingInvocations"] == 1;
    deletion(&service, "the drain to be overdue", overdue).await?;
    let (reason, _) = service.condition("Stalled", "True").await?;
    ensure!(reason == "DeletionHeld", "{reason}");
    ensure!(restate.knows(version.deployment_id()).await?, "held, and yet deregistered");
    service.patch(&json!({"spec": {"restate": {"drain": {"onTimeout": "force"}}}})).await?;
    service.gone(SOON).await
}

/// `--cascade=foreground`: Kubernetes takes the replica sets first, whatever they do. The pods of the newest version
/// return for the work that they have begun; with its end everything goes.
#[tokio::test]
async fn a_foreground_deletion_waits_for_work_and_then_ends() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "foreground").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = busy(&restate, &service, |_| ()).await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    let delete = ["delete", "restatedeployment", service.name(), "--cascade=foreground", "--wait=false"];
    service.kubectl(delete).await?;
    deletion(&service, "the work to be counted", |it| it["totalPendingInvocations"] == 1).await?;
    restate.call(&format!("{}/a/finish/send", service.job()), &json!("done")).await?;
    service.gone(SOON).await?;
    let job = restate.invocations(&service.job(), "run").await?;
    ensure!(job == [(version.deployment_id().to_owned(), "completed".to_owned())], "{job:?}");
    Ok(())
}

/// users.md 3 "Autoscaling plan" (delete leaves no HPA), 2b 3.0.0: the autoscaler of a version that drains stays while
/// the deletion waits for its work, and goes with the object.
#[tokio::test]
async fn a_deletion_leaves_no_autoscaler_behind() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "scaled-gone").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let scaled =
        |object: &mut Value| object["spec"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 3});
    service.apply_with(Image::GreeterV1, scaled).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    service.apply_with(Image::GreeterV2, scaled).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    let autoscalers = ["get", "horizontalpodautoscalers", "-o", "name"];
    service
        .eventually("the autoscaler", SOON, || async {
            let found = service.kubectl(autoscalers).await?;
            Ok(if found.lines().count() == 1 { Ok(()) } else { Err(found) })
        })
        .await?;
    service.delete().await?;
    deletion(&service, "the work to be counted", |it| it["totalPendingInvocations"] == 1).await?;
    let found = service.kubectl(autoscalers).await?;
    ensure!(found.lines().count() == 1, "taken at the first pass: {found}");
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    // Everything of its own: also autoscalers.
    service.gone(SOON).await
}

/// users.md 2b 3.0.0 ("namespace delete too"): its pods go whatever anybody does, so work is abandoned, and said to be.
#[tokio::test]
async fn a_namespace_goes_with_its_work() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "going").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = busy(&restate, &service, |_| ()).await?;
    lab.kubectl()?.run(["delete", "namespace", namespace.name(), "--wait=false"]).await?;
    namespace_goes(&lab, &namespace).await?;
    ensure!(!restate.knows(version.deployment_id()).await?, "left behind in Restate");
    Ok(())
}

/// Architecture §4 "Deletion": neither does a Restate that never answers hold a namespace. Takes a minute by design.
#[tokio::test]
#[ignore = "the bounded wait takes a minute: --all"]
async fn a_namespace_goes_without_restate() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "silent").await?;
    let nowhere = json!({"url": "http://restate.nowhere.svc.cluster.local:9070"});
    let service = Service::registered(&lab, &namespace, nowhere);
    service.apply(Image::GreeterV1).await?;
    service.condition_with("Ready", "False", "failed to register").await?;
    lab.kubectl()?.run(["delete", "namespace", namespace.name(), "--wait=false"]).await?;
    namespace_goes(&lab, &namespace).await
}

async fn namespace_goes(lab: &Lab, namespace: &Namespace) -> Result {
    let kubectl = lab.kubectl()?;
    let get = ["get", "namespace", namespace.name(), "--ignore-not-found", "-o", "json"];
    let look = || async {
        let left = kubectl.run(get).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    };
    eventually("the namespace to go", SOON, look).await
}

/// users.md 3 "Deletion" (admin down: never torn down blind; cluster gone: released).
#[tokio::test]
async fn a_silent_restate_holds_it_and_a_cluster_that_is_gone_does_not() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "vanished").await?;
    let cluster = Restate::to_be_made(&lab, "vanished").await?;
    // A RestateCluster that the controller leaves alone: nothing is behind it.
    let mut object = cluster.object(&json!({}))?;
    object["metadata"]["annotations"] = json!({"restate.dev/reconcile": "disabled"});
    lab.kubectl()?.apply(&object).await?;
    let service = Service::new(&lab, &namespace, &cluster);
    service.apply(Image::GreeterV1).await?;
    service.condition_with("Ready", "False", "failed to register").await?;
    service.delete().await?;
    deletion(&service, "it to be held", |it| it["message"].to_string().contains("held")).await?;
    let sets = service.kubectl(["get", "replicasets", "-o", "jsonpath={.items[*].spec.replicas}"]).await?;
    ensure!(sets == "1", "torn down blind: {sets}");
    lab.kubectl()?.run(["delete", "restatecluster", cluster.name(), "--wait=false"]).await?;
    service.gone(SOON).await
}

/// users.md 1b (op#197, pause): frozen and saying so; a deletion still works.
#[tokio::test]
async fn a_paused_object_stays_as_it_is_and_can_be_deleted() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "paused").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    let pause = ["annotate", "restatedeployment", service.name(), "restate.dev/reconcile=disabled"];
    service.kubectl(pause).await?;
    service.apply(Image::GreeterV2).await?;
    service.describes(&["Paused", "restate.dev/reconcile is disabled"]).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(service.versions().await?.len() == 1, "it made a version");
    service.kubectl(["annotate", "restatedeployment", service.name(), "restate.dev/reconcile-"]).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    service.kubectl(pause).await?;
    service.delete().await?;
    service.gone(SOON).await?;
    ensure!(!restate.knows(version.deployment_id()).await?);
    Ok(())
}
