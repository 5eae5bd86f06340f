//! What keeps a superseded version and what does not, and what stands around it meanwhile.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use restate_tests::{
    Audit, Events, Lab, Namespace, Restate, Result, Service, Version, events::Event, lab::Image,
};
use serde_json::{Value, json};

/// The short delay and two answers of Restate: after a question that took a second the next one waits for almost a
/// minute.
const SOON: Duration = Duration::from_mins(3);

async fn service(lab: &Lab, about: &str) -> Result<(Restate, Namespace, Service)> {
    let (restate, namespace) = (Restate::shared(lab).await?, Namespace::new(lab, about).await?);
    let service = Service::new(lab, &namespace, &restate);
    Ok((restate, namespace, service))
}

/// users.md 1a (op#78), 2a 1.9.1 (op#71), 2.4.0 (op#112): what backs off and what is suspended holds a version, what
/// has completed and is retained does not; it goes soon after the end.
#[tokio::test]
async fn unfinished_work_of_every_kind_holds_and_completed_work_does_not() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "kinds").await?;
    let first = service.roll_out(Image::GreeterV1).await?;
    restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    restate.call(&format!("{}/stumble/send", service.name()), &json!("always")).await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(2)).await?;
    service.roll_out(Image::GreeterV2).await?;
    let kept = |version: &Version| {
        version.pinned() == Some(2)
            && version.state() == "Draining"
            && version.kept_because() == ["PinnedInvocations"]
    };
    service.version(Image::GreeterV1, kept).await?;
    let stored = || async {
        let versions = service.stored().await?["status"]["versions"].to_string();
        Ok(if versions.contains("PinnedInvocations") { Ok(()) } else { Err(versions) })
    };
    service.eventually("the stored object to say why", SOON, stored).await?;

    let stumbling = format!(
        "select id from sys_invocation_status where target_service_name = '{}' and target_handler_name = 'stumble'",
        service.name()
    );
    let id = restate.query(&stumbling).await?[0]["id"].as_str().unwrap_or_default().to_owned();
    restate.admin("PATCH", &format!("invocations/{id}/kill"), None).await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    service.retired(Image::GreeterV1, SOON).await?;
    let completed = restate.invocations(&service.job(), "run").await?;
    ensure!(completed == [(first.deployment_id().to_owned(), "completed".to_owned())], "{completed:?}");
    Ok(())
}

/// users.md §2b, last words: a version that serves one service of several is not done when another one takes over the
/// rest.
#[tokio::test]
async fn a_version_stays_for_a_service_that_no_other_has() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "subset").await?;
    let first = service.roll_out(Image::GreeterV1).await?;
    let renamed = format!("{}-2", service.name());
    let rename = |object: &mut Value| {
        object["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "SERVICE_NAME", "value": renamed}]);
    };
    service.apply_with(Image::GreeterV2, rename).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    service.condition("Ready", "True").await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let kept = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    ensure!(kept.desired() == Some(1) && kept.kept_because().contains(&"Routed"), "{}", kept.json());
    ensure!(restate.routed(service.name()).await? == first.deployment_id());
    ensure!(restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await? == "v1: hello Ada");
    Ok(())
}

/// One version's states in the order in which a watch showed them, each once in a row.
fn states(seen: &[Event], name: &str) -> Vec<String> {
    let of_it = seen.iter().filter(|(kind, object)| kind != "DELETED" && object["metadata"]["name"] == name);
    let mut states: Vec<_> =
        of_it.filter_map(|(_, object)| object["status"]["state"].as_str().map(str::to_owned)).collect();
    states.dedup();
    states
}

/// W1, W13, W15: a watch that was opened before shows a drain as it happens: why the version is kept, when it goes, and
/// that it is gone, once.
#[tokio::test]
async fn a_watch_shows_a_drain_as_it_happens() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace, service) = service(&lab, "watched").await?;
    let brief = |object: &mut Value| {
        object["spec"]["revisionHistoryLimit"] = 0.into();
        // Long enough to be seen.
        object["spec"]["restate"]["drainDelaySeconds"] = 6.into();
    };
    service.apply_with(Image::GreeterV1, brief).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    let events = Events::of(&lab, namespace.name(), "restatedeploymentversions").await?;
    let about = |seen: &[Event], kind: &str, holds: &dyn Fn(&Value) -> bool| {
        let of_it =
            seen.iter().filter(|(it, object)| it == kind && object["metadata"]["name"] == first.name());
        of_it.filter(|(_, object)| holds(&object["status"])).count()
    };
    service.apply_with(Image::GreeterV2, brief).await?;
    let second = service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    let kept = |status: &Value| {
        status["state"] == "Draining" && status["keptBecause"].to_string().contains("PinnedInvocations")
    };
    let drains = |seen: &[Event]| about(seen, "MODIFIED", &kept) > 0;
    events.until("the drain", SOON, drains).await?;
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    let dated = |seen: &[Event]| about(seen, "MODIFIED", &|status| status["removeAt"].is_string()) > 0;
    events.until("the time of its removal", SOON, dated).await?;
    let gone = |seen: &[Event]| about(seen, "DELETED", &|_| true) > 0;
    events.until("its end", SOON, gone).await?;
    // What comes twice, or after the end, comes soon.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = events.seen()?;
    ensure!(about(&seen, "DELETED", &|_| true) == 1, "{seen:?}");
    ensure!(about(&seen, "ADDED", &|_| true) == 1, "only as what was there at the beginning: {seen:?}");
    // Unknown is what is said between two answers of Restate.
    let mut told = states(&seen, first.name());
    told.retain(|state| state != "Unknown");
    told.dedup();
    let order = ["Current", "Draining", "Drained", "Retired"];
    let places: Option<Vec<_>> = told.iter().map(|state| order.iter().position(|it| it == state)).collect();
    let forward = places.is_some_and(|places| places.is_sorted_by(|one, next| one < next));
    ensure!(forward && told.len() >= 3, "{told:?}");
    let others =
        seen.iter().filter(|(kind, object)| kind == "DELETED" && object["metadata"]["name"] == second.name());
    ensure!(others.count() == 0 && states(&seen, second.name()).last().is_some_and(|it| it == "Current"));
    Ok(())
}

/// users.md 2a 1.8.2 (op#59): drained versions go although the newest one cannot be scheduled; 1a (op#137): beyond the
/// history limit nothing is left of them.
#[tokio::test]
async fn drained_versions_go_although_the_newest_cannot_start() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "no-room").await?;
    let no_history = |object: &mut Value| object["spec"]["revisionHistoryLimit"] = 0.into();
    service.apply_with(Image::GreeterV1, no_history).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    service.apply_with(Image::GreeterV2, no_history).await?;
    let second = service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    let nowhere = |object: &mut Value| {
        no_history(object);
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"restate-tests": "nowhere"});
    };
    service.apply_with(Image::GreeterV1, nowhere).await?;
    service.condition_with("Ready", "False", "available pod").await?;
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    let look = || async {
        let versions = service.versions().await?;
        let left: Vec<_> = versions.iter().map(Version::name).collect();
        Ok(if left.contains(&first.name()) { Err(format!("{left:?}")) } else { Ok(()) })
    };
    service.eventually("the drained version to be gone for good", SOON, look).await?;
    let still = |version: &Version| {
        version.name() == second.name() && version.state() == "Current" && version.desired() == Some(1)
    };
    service.other(&first, still).await.map(drop)
}

/// users.md 1a (op#140), 2a 2.6.0 (b959691), 2b 3.0.0, 3 "Autoscaling e2e": none for a version that is alone; one, for
/// the version that drains; away when it is rolled back to, or before its pods go.
#[tokio::test]
async fn a_version_that_drains_has_an_autoscaler_of_its_own() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "scaled").await?;
    let scaled = |object: &mut Value| {
        object["spec"]["restate"]["drainDelaySeconds"] = 4.into();
        object["spec"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 3});
    };
    let autoscalers = || async {
        let list = service.kubectl(["get", "horizontalpodautoscalers", "-o", "json"]).await?;
        let list: Value = serde_json::from_str(&list)?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let targets =
            items.iter().map(|it| it["spec"]["scaleTargetRef"]["name"].as_str().unwrap_or_default());
        let owned = items.iter().all(|it| it["metadata"]["ownerReferences"][0]["name"] == service.name());
        ensure!(owned, "{items:?}");
        anyhow::Ok(targets.map(str::to_owned).collect::<Vec<_>>())
    };
    let only = |wanted: Vec<String>| {
        let (autoscalers, service) = (&autoscalers, &service);
        async move {
            let look = || async {
                let found = autoscalers().await?;
                Ok(if found == wanted { Ok(()) } else { Err(format!("{found:?}")) })
            };
            service.eventually(&format!("the autoscalers to be {wanted:?}"), SOON, look).await
        }
    };
    service.apply_with(Image::GreeterV1, scaled).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    ensure!(autoscalers().await?.is_empty(), "the current version scales through the scale subresource");
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    service.apply_with(Image::GreeterV2, scaled).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    only(vec![first.name().to_owned()]).await?;

    service.apply_with(Image::GreeterV1, scaled).await?;
    service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    let look = || async {
        let found = autoscalers().await?;
        Ok(if found.iter().any(|name| name == first.name()) { Err(format!("{found:?}")) } else { Ok(()) })
    };
    service.eventually("the restored version to have none", SOON, look).await?;
    service.apply_with(Image::GreeterV2, scaled).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    only(vec![first.name().to_owned()]).await?;
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    service.retired(Image::GreeterV1, SOON).await?;
    only(Vec::new()).await
}

/// users.md 1a (op#132, op#139, op#170), 2a 1.7.3, 2.6.0 (op#144), 3 (`allow.restate.dev`): labels that follow
/// routing, a Service of a fixed name that follows too and seizes nothing, and a scale subresource that counts the
/// newest version alone.
#[tokio::test]
async fn labels_the_stable_service_and_the_scale_follow_the_newest_version() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace, service) = service(&lab, "follow").await?;
    let taken = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken", "namespace": namespace.name()},
        "spec": {"selector": {"app": "somebody"}, "ports": [{"port": 80}]}});
    lab.kubectl()?.apply(&taken).await?;
    let stable = |name: &'static str| {
        move |object: &mut Value| {
            object["spec"]["stableService"] = json!({"name": name});
            object["metadata"]["labels"] = json!({"applyset.kubernetes.io/part-of": "applyset-x"});
            object["metadata"]["annotations"] = json!({"argocd.argoproj.io/tracking-id": "x"});
        }
    };
    service.apply_with(Image::GreeterV1, stable("front")).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    let label = |object: &Value| object["metadata"]["labels"]["restate.dev/latest"].clone();
    for kind in ["replicaset", "service"] {
        let object = service.object_of(kind, &first).await?;
        ensure!(label(&object) == "true", "{object}");
        let text = object["metadata"].to_string();
        ensure!(!text.contains("applyset") && !text.contains("argocd"), "copied: {text}");
        ensure!(object["spec"]["template"]["metadata"]["labels"].get("restate.dev/latest").is_none());
    }
    let set = service.object_of("replicaset", &first).await?;
    let allow = format!("allow.restate.dev/{}", restate.name());
    ensure!(set["spec"]["template"]["metadata"]["labels"][&allow] == "true", "{set}");
    let hash = |version: &Version| version.name().rsplit('-').next().unwrap_or("").to_owned();
    let leads = |name: &'static str, to: String| {
        let service = &service;
        async move {
            let path = "jsonpath={.spec.selector.pod-template-hash}";
            let look = || async {
                let seen = service.kubectl(["get", "service", name, "-o", path]).await?;
                Ok(if seen == to { Ok(()) } else { Err(seen) })
            };
            service.eventually(&format!("Service {name} to lead to {to}"), SOON, look).await
        }
    };
    leads("front", hash(&first)).await?;

    service.kubectl(["scale", "restatedeployment", service.name(), "--replicas=2"]).await?;
    service.version(Image::GreeterV1, |version| version.desired() == Some(2)).await?;
    let wider = |object: &mut Value| {
        stable("front")(object);
        object["spec"]["replicas"] = 2.into();
    };
    service.apply_with(Image::GreeterV2, wider).await?;
    let second = service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    leads("front", hash(&second)).await?;
    let look = || async {
        let (old, new) =
            (service.object_of("service", &first).await?, service.object_of("service", &second).await?);
        let both = (label(&old), label(&new));
        Ok(if both == ("false".into(), "true".into()) { Ok(()) } else { Err(format!("{both:?}")) })
    };
    service.eventually("the labels to follow", SOON, look).await?;
    let selector = service.stored().await?["status"]["labelSelector"].to_string();
    ensure!(selector.contains(&hash(&second)), "the scale subresource counts other versions: {selector}");

    let seizing = |object: &mut Value| {
        wider(object);
        object["spec"]["stableService"] = json!({"name": "taken"});
    };
    service.apply_with(Image::GreeterV2, seizing).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let path = "jsonpath={.spec.selector.app}";
    ensure!(service.kubectl(["get", "service", "taken", "-o", path]).await? == "somebody", "it was seized");
    Ok(())
}

/// What a controller of ours may have written of an object: its status is Kubernetes' own where it is a replica set.
fn written(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().map(|fields| fields.remove("status"));
    for field in ["resourceVersion", "managedFields"] {
        object["metadata"].as_object_mut().map(|fields| fields.remove(field));
    }
    object
}

/// How often our controllers wrote on a replica set so far: what is changed and changed back between two looks is not
/// seen. None where the audit log is not ours to read.
fn writes(lab: &Lab, namespace: &Namespace, version: &Version) -> Result<Option<usize>> {
    if !lab.is_ours() {
        return Ok(None);
    }
    Ok(Some(Audit::of(lab)?.own_writes("replicasets", namespace.name(), version.name())?.len()))
}

/// users.md 2a 1.7.0 (op#25), 1.7.5 (op#41), 2b (op#138, op#185/190): what is deleted returns; another object of the
/// same name in another namespace is another object; and while a version drains, hardly anything is written.
#[tokio::test]
async fn objects_return_namesakes_stay_as_they_are_and_a_drain_is_quiet() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace, service) = service(&lab, "quiet").await?;
    let first = service.roll_out(Image::GreeterV1).await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    // The same name in another namespace: it has versions of its own.
    let other = Namespace::new(&lab, "namesake").await?;
    let twin = Service::new(&lab, &other, &restate);
    let mut object = twin.object(&lab.image(Image::GreeterV1)?);
    object["metadata"]["name"] = service.name().into();
    lab.kubectl()?.apply(&object).await?;
    service.kubectl(["delete", "service", first.name()]).await?;
    service.kubectl(["wait", "--for=create", "--timeout=30s", &format!("service/{}", first.name())]).await?;
    service.roll_out(Image::GreeterV2).await?;
    lab.kubectl()?
        .run(["-n", other.name(), "delete", "restatedeployment", service.name(), "--wait=false"])
        .await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    service.condition("Ready", "True").await?;
    let told = || async {
        let versions = service.stored().await?["status"]["versions"].to_string();
        Ok(if versions.contains("Draining") { Ok(()) } else { Err(versions) })
    };
    service.eventually("the drain to be told", SOON, told).await?;
    // What was held back for a moment is written by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = || writes(&lab, &namespace, &first);
    let (before, writes_before) = (written(&service.object_of("replicaset", &first).await?), writes()?);
    let mut stored = BTreeSet::new();
    for _ in 0..6 {
        stored.insert(service.stored().await?["metadata"]["resourceVersion"].to_string());
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let after = written(&service.object_of("replicaset", &first).await?);
    ensure!(before == after, "written while nothing changed: {before}, {after}");
    let writes_after = writes()?;
    ensure!(writes_before != Some(0), "the audit log has nothing of ours: it proves nothing");
    ensure!(writes_before == writes_after, "written meanwhile: {writes_before:?}, {writes_after:?} in all");
    // A word about what was seen anew is one write.
    ensure!(stored.len() <= 2, "written while nothing changed: {stored:?}");
    Ok(())
}
