//! The main job: a new version takes over while the old one ends its work.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use restate_tests::{Lab, Namespace, Restate, Result, Service, Version, lab::Image};
use serde_json::{Value, json};

/// The delay of these services is two seconds; the rest is two answers of Restate: after a question that took a second
/// the next one waits for almost a minute.
const RETIRED: Duration = Duration::from_mins(3);

/// The demo, but with an invocation that ends when it is told to.
#[tokio::test]
async fn a_version_stays_for_its_invocation_and_goes_after_it() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "versions").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v1: hello Ada");
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;

    let second = service.roll_out(Image::GreeterV2).await?;
    ensure!(second.name() != first.name() && second.deployment_id() != first.deployment_id());
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v2: hello Ada");
    let kept = |version: &Version| {
        version.pinned() == Some(1)
            && version.state() == "Draining"
            && version.kept_because().contains(&"PinnedInvocations")
    };
    let kept = service.version(Image::GreeterV1, kept).await?;
    ensure!(kept.uid() == first.uid(), "{}", kept.json());

    let wide = ["-n", namespace.name(), "get", "restatedeploymentversions", "-o", "wide"];
    service
        .eventually("the table", Duration::from_secs(20), || async {
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
    restate.call(&format!("{}/slow/send", service.name()), &json!(30)).await?;
    let kubectl = lab.kubectl()?;
    let delete = ["-n", namespace.name(), "delete", "restatedeployment", service.name(), "--wait=false"];
    kubectl.run(delete).await?;
    let known = format!("select id from sys_deployment where id = '{}'", version.deployment_id());
    ensure!(restate.query(&known).await?.len() == 1, "deregistered with work unfinished");
    service
        .eventually("the object to go", RETIRED, || async {
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

/// users.md 2b (op#170, op#171): `kubectl apply --prune --applyset` for real. It takes away what was in the set and is
/// not any more, and nothing of a version: neither the draining one's Service nor its replica set.
#[tokio::test]
async fn an_applyset_prunes_its_own_and_no_version() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "applyset").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let kubectl = lab.kubectl()?.with("KUBECTL_APPLYSET", "true");
    let beside = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "beside", "namespace": namespace.name()},
        "spec": {"selector": {"app": "beside"}, "ports": [{"port": 80}]},
    });
    let apply = async |image: Image, others: &[&Value]| -> Result {
        let mut object = service.object(&lab.image(image)?);
        object["spec"]["restate"]["drainDelaySeconds"] = 600.into();
        let items: Vec<_> = others.iter().copied().chain([&object]).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let command = ["-n", namespace.name(), "apply", "--prune", "--applyset=versions", "-f", "-"];
        let answer = kubectl.ask(command, Some(&list)).await?;
        ensure!(answer.successful, "{}", answer.words);
        Ok(())
    };
    apply(Image::GreeterV1, &[&beside]).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    // Services were in the set, so they are looked through.
    apply(Image::GreeterV2, &[]).await?;
    let second = service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    let left = service.kubectl(["get", "services", "-o", "jsonpath={.items[*].metadata.name}"]).await?;
    let left: Vec<_> = left.split_whitespace().collect();
    ensure!(!left.contains(&"beside"), "nothing was pruned, so nothing is proven: {left:?}");
    ensure!(left.contains(&first.name()) && left.contains(&second.name()), "pruned: {left:?}");
    let in_set = service.stored().await?["metadata"]["labels"]["applyset.kubernetes.io/part-of"].clone();
    ensure!(in_set.is_string(), "the object itself is in the set");
    // Once more, with nothing left to be taken over: the same versions.
    apply(Image::GreeterV2, &[]).await?;
    for version in [&first, &second] {
        for kind in ["service", "replicaset"] {
            let object = service.object_of(kind, version).await?;
            ensure!(object["metadata"]["deletionTimestamp"].is_null(), "{object}");
            ensure!(!object["metadata"]["labels"].to_string().contains("applyset.kubernetes.io"), "{object}");
        }
    }
    let kept = service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    ensure!(kept.uid() == first.uid() && kept.desired() == Some(1), "{}", kept.json());
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await.map(drop)
}

/// The moment of the last change of an object's condition Ready, as it is recorded.
fn ready_since(object: &Value) -> Result<Timestamp> {
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready" && it["status"] == "True");
    let ready = ready.with_context(|| format!("it is not Ready: {object}"))?;
    Ok(ready["lastTransitionTime"].as_str().context("no time")?.parse()?)
}

/// users.md 1a ("at the first available pod"), README `minReadySeconds`: a pod that is ready is not available yet, and
/// nothing is registered before; a change of the number makes no version.
#[tokio::test]
async fn a_pod_counts_when_it_has_been_ready_for_long_enough() -> Result {
    const SECONDS: i64 = 8;
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "min-ready").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service.apply_with(Image::GreeterV1, |object| object["spec"]["minReadySeconds"] = SECONDS.into()).await?;
    let (reason, message) = service.condition("Ready", "False").await?;
    // Whoever looks late sees that its time has come.
    ensure!(["PodsNotReady", "Registering"].contains(&reason.as_str()), "{reason}: {message}");
    let version = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    service.condition("Ready", "True").await?;
    let pods: Value = serde_json::from_str(&service.kubectl(["get", "pods", "-o", "json"]).await?)?;
    let pod_ready = ready_since(&pods["items"][0])?;
    let set = service.object_of("replicaset", &version).await?;
    let stamp = &set["metadata"]["annotations"]["restate.dev/registered-at"];
    let registered: Timestamp = stamp.as_str().context("no time of its registration")?.parse()?;
    // Stamps of conditions have whole seconds.
    let least = SignedDuration::from_secs(SECONDS - 1);
    for (what, moment) in [("registered", registered), ("Ready", ready_since(&service.stored().await?)?)] {
        let after = moment.duration_since(pod_ready);
        ensure!(after >= least, "{what} {after:#} after its pod was ready");
    }
    ensure!(set["spec"]["minReadySeconds"] == SECONDS, "{set}");
    service.patch(&json!({"spec": {"minReadySeconds": 1}})).await?;
    service
        .eventually("the change in place", RETIRED, || async {
            let set = service.object_of("replicaset", &version).await?;
            let seconds = &set["spec"]["minReadySeconds"];
            Ok(if *seconds == 1 { Ok(()) } else { Err(seconds.to_string()) })
        })
        .await?;
    ensure!(service.versions().await?.len() == 1, "it made a version");
    Ok(())
}
