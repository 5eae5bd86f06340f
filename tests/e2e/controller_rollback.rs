//! Back to an earlier version, proven by real invocations: new calls follow at once, what has begun ends where it began.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{Lab, Namespace, Restate, Result, Service, Version, lab::Image};
use serde_json::{Value, json};

/// The short delay and two answers of Restate: after a question that took a second the next one waits for almost a
/// minute.
const RETIRED: Duration = Duration::from_mins(3);

/// A delay that no version outlives by accident while a test looks at it.
fn patient(object: &mut Value) {
    object["spec"]["restate"]["drainDelaySeconds"] = 600.into();
}

/// Version 1, then version 2, both still with pods.
async fn both(restate: &Restate, service: &Service, pin_old: bool) -> Result<(Version, Version)> {
    service.apply_with(Image::GreeterV1, patient).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    if pin_old {
        restate.call(&format!("{}/old/run/send", service.job()), &json!("paint")).await?;
        service.job_is_bound(restate, &first).await?;
    }
    service.apply_with(Image::GreeterV2, patient).await?;
    let second = service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    Ok((first, second))
}

/// Ends the job and waits until it has completed on this version.
async fn finish(restate: &Restate, service: &Service, key: &str, version: &Version) -> Result {
    restate.call(&format!("{}/{key}/finish", service.job()), &json!("done")).await?;
    service
        .eventually("the job to complete where it began", Duration::from_secs(30), || async {
            let found = restate.invocations(&service.job(), "run").await?;
            let done = (version.deployment_id().to_owned(), "completed".to_owned());
            Ok(if found.contains(&done) { Ok(()) } else { Err(format!("{found:?}")) })
        })
        .await
}

/// Rolls back to version 1 and waits until it is Ready; never is it Ready before Restate routes to it.
async fn back(restate: &Restate, service: &Service) -> Result<Version> {
    service.apply_with(Image::GreeterV1, patient).await?;
    let generation = service.stored().await?["metadata"]["generation"].clone();
    service
        .eventually("the rollback to be Ready", Duration::from_mins(1), || async {
            let object = service.stored().await?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|it| {
                it["type"] == "Ready" && it["status"] == "True" && it["observedGeneration"] == generation
            });
            if !ready {
                return Ok(Err(format!("{conditions:?}")));
            }
            let (routed, said) =
                (restate.routed(service.name()).await?, object["status"]["deploymentId"].clone());
            ensure!(said == routed.as_str(), "Ready although Restate routes to {routed}, not {said}");
            Ok(Ok(()))
        })
        .await?;
    let answer = restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await?;
    ensure!(answer == "v1: hello Ada", "{answer}");
    service.version(Image::GreeterV1, |version| version.state() == "Current").await
}

/// users.md 1a (op#146, op#174), 2b (op#174/178), 3 "Rollback": the same pods, the same id, routing moves.
#[tokio::test]
async fn a_clean_rollback_uses_the_pods_that_still_run() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "rollback").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let (first, second) = both(&restate, &service, false).await?;
    let stamped = |version: &Version| version.state() == "Drained" && version.remove_at().is_some();
    service.version(Image::GreeterV1, stamped).await?;
    let restored = back(&restate, &service).await?;
    ensure!(restored.uid() == first.uid() && restored.deployment_id() == first.deployment_id());
    // users.md 2b (op#179): the stamp is gone, not emptied, and the other version got one of its own.
    let set = service.object_of("replicaset", &first).await?;
    ensure!(set["metadata"]["annotations"].get("restate.dev/remove-version-at").is_none(), "{set}");
    let drained = service.version(Image::GreeterV2, stamped).await?;
    ensure!(drained.deployment_id() == second.deployment_id() && drained.desired() == Some(1));
    Ok(())
}

/// users.md 3 "Rollback": promoted at once although it is bound by a call; that call ends on the old version.
#[tokio::test]
async fn a_rollback_to_a_version_that_still_has_work() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "pinned-old").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let (first, _) = both(&restate, &service, true).await?;
    let restored = back(&restate, &service).await?;
    ensure!(restored.deployment_id() == first.deployment_id(), "the pinned call would be lost");
    finish(&restate, &service, "old", &first).await
}

/// users.md 3 "Rollback": new calls on the old version, the pinned call ends on the new one, which then goes.
#[tokio::test]
async fn a_rollback_from_a_version_that_still_has_work() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "pinned-new").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let (_, second) = both(&restate, &service, false).await?;
    restate.call(&format!("{}/new/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &second).await?;
    back(&restate, &service).await?;
    let kept = |version: &Version| {
        version.pinned() == Some(1) && version.state() == "Draining" && version.desired() == Some(1)
    };
    service.version(Image::GreeterV2, kept).await?;
    // The delay that begins when the work ends is to be a short one.
    service.patch(&json!({"spec": {"restate": {"drainDelaySeconds": 1}}})).await?;
    finish(&restate, &service, "new", &second).await?;
    service.retired(Image::GreeterV2, RETIRED).await?;
    let at_zero = service.object_of("replicaset", &second).await?;
    ensure!(at_zero["spec"]["replicas"] == 0 && at_zero["metadata"]["name"] == second.name(), "{at_zero}");
    ensure!(!restate.knows(second.deployment_id()).await?, "at zero and still registered");
    let answer = restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await?;
    ensure!(answer == "v1: hello Ada", "{answer}");
    Ok(())
}

/// users.md 1a (op#137), 3 "Rollback": one that went to zero was deregistered; it is registered anew and answers.
#[tokio::test]
async fn a_rollback_to_a_retired_version_registers_it_anew() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "retired").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    service.roll_out(Image::GreeterV2).await?;
    service.retired(Image::GreeterV1, RETIRED).await?;
    ensure!(!restate.knows(first.deployment_id()).await?, "at zero and still registered");
    let restored = back(&restate, &service).await?;
    ensure!(restored.uid() == first.uid() && restored.deployment_id() != first.deployment_id());
    Ok(())
}

/// users.md 2b (op#179): back and forth, and the full delay each time.
#[tokio::test]
async fn each_time_a_version_is_superseded_its_whole_delay_runs() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "restamp").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let (first, _) = both(&restate, &service, false).await?;
    let before = service.version(Image::GreeterV1, |version| version.remove_at().is_some()).await?;
    back(&restate, &service).await?;
    service.apply_with(Image::GreeterV2, patient).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    let after = service.version(Image::GreeterV1, |version| version.remove_at().is_some()).await?;
    ensure!(after.remove_at() > before.remove_at(), "{:?} is left of an earlier delay", after.remove_at());
    ensure!(after.uid() == first.uid() && after.desired() == Some(1), "{}", after.json());
    Ok(())
}
