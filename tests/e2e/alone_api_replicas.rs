//! Replicas of the aggregated API that go: by a rollout, by SIGKILL, all of them. Nobody else may be asking meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use restate_tests::{Calls, Lab, Namespace, Result, eventually, lab::OPERATOR_NAMESPACE};

const DEPLOYMENT: &str = "deployment/restate-operator-apiserver";
const PODS: &str = "app.kubernetes.io/component=apiserver";
const API_SERVICE: &str = "v1alpha1.control.restate.dev";
const PATIENCE: Duration = Duration::from_mins(3);
/// Requests before and after, so that what comes early or late is seen as well.
const AROUND: Duration = Duration::from_secs(5);
/// A rollout takes some 20 seconds, and a machine that is not busy makes a dozen times as many requests in them.
const ENOUGH: usize = 250;
/// kubelet sees the end of a program within a second or two, on a busy machine later; then the endpoint is withdrawn.
const WITHDRAWN: Duration = Duration::from_secs(30);

async fn ours(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let all = ["-n", OPERATOR_NAMESPACE].iter().chain(arguments);
    lab.kubectl()?.run(all).await
}

/// Every pod that is there is ready, also none; pods that still end are there.
async fn settled(lab: &Lab, replicas: usize) -> Result {
    eventually(&format!("{replicas} replicas and nothing else"), PATIENCE, || async {
        let phases = "jsonpath={.items[*].status.containerStatuses[*].ready}";
        let seen = ours(lab, &["get", "pods", "-l", PODS, "-o", phases]).await?;
        let ready = seen.split_whitespace().collect::<Vec<_>>();
        let done = ready.len() == replicas && ready.iter().all(|word| *word == "true");
        Ok(if done { Ok(()) } else { Err(seen) })
    })
    .await
}

/// T9, W21: both replicas are replaced, and no request of a steady stream fails.
#[tokio::test]
async fn a_rollout_of_both_replicas_loses_no_request() -> Result {
    let lab = Lab::of_this_run()?;
    settled(&lab, 2).await?;
    let calls = Calls::begin(&lab).await?;
    tokio::time::sleep(AROUND).await;
    let roll_out = async || {
        ours(&lab, &["rollout", "restart", DEPLOYMENT]).await?;
        ours(&lab, &["rollout", "status", DEPLOYMENT, "--timeout=3m"]).await?;
        settled(&lab, 2).await
    };
    calls.during(ENOUGH, roll_out).await?;
    tokio::time::sleep(AROUND).await;
    let (took, record) = (calls.elapsed(), calls.end().await);
    eprintln!(
        "rollout: {} requests in {:.0} s, {} failed",
        record.made,
        took.as_secs_f64(),
        record.failures.len()
    );
    ensure!(record.failures.is_empty(), "{:#?}", record.failures);
    Ok(())
}

/// P6: without a word of farewell requests fail, until the endpoint is withdrawn.
#[tokio::test]
async fn a_killed_replica_fails_requests_until_its_endpoint_is_withdrawn() -> Result {
    let lab = Lab::of_this_run()?;
    settled(&lab, 2).await?;
    let pods = ours(&lab, &["get", "pods", "-l", PODS, "-o", "name"]).await?;
    let victim = pods.lines().next().context("there is no replica")?;
    ours(&lab, &["label", victim, "restate-tests/victim=true"]).await?;
    let calls = Calls::begin(&lab).await?;
    tokio::time::sleep(AROUND).await;
    lab.kill(OPERATOR_NAMESPACE, "restate-tests/victim=true").await?;
    let killed = calls.elapsed();
    tokio::time::sleep(WITHDRAWN + AROUND).await;
    let record = calls.end().await;
    ours(&lab, &["label", victim, "restate-tests/victim-"]).await?;
    settled(&lab, 2).await?;
    let last = record.failures.last().map(|failure| failure.at.saturating_sub(killed)).unwrap_or_default();
    eprintln!(
        "killed: {} of {} requests failed, the last {:.2} s after the kill, over {:.2} s",
        record.failures.len(),
        record.made,
        last.as_secs_f64(),
        record.failed_for().as_secs_f64(),
    );
    ensure!(last < WITHDRAWN, "failures went on for {last:?}: {:#?}", record.failures);
    let early = record.failures.iter().find(|failure| failure.at + Duration::from_millis(500) < killed);
    ensure!(early.is_none(), "failed before the kill: {early:?}");
    Ok(())
}

/// W19, P6: with nobody to ask, a deletion waits; it goes on by itself when a replica is back.
#[tokio::test]
async fn a_namespace_that_waits_for_us_goes_when_we_are_back() -> Result {
    let lab = Lab::of_this_run()?;
    let kubectl = lab.kubectl()?;
    let namespace = Namespace::new(&lab, "waits").await?;
    ours(&lab, &["scale", DEPLOYMENT, "--replicas=0"]).await?;
    let waited = async {
        settled(&lab, 0).await?;
        let status = r#"jsonpath={.status.conditions[?(@.type=="Available")].status}"#;
        eventually("the API to be unavailable", PATIENCE, || async {
            let seen = kubectl.run(["get", "apiservice", API_SERVICE, "-o", status]).await?;
            Ok(if seen == "False" { Ok(()) } else { Err(seen) })
        })
        .await?;
        kubectl.run(["delete", "namespace", namespace.name(), "--wait=false"]).await?;
        let reason =
            r#"jsonpath={.status.conditions[?(@.type=="NamespaceDeletionDiscoveryFailure")].status}"#;
        eventually("the deletion to wait", PATIENCE, || async {
            let seen = kubectl.run(["get", "namespace", namespace.name(), "-o", reason]).await?;
            Ok(if seen == "True" { Ok(()) } else { Err(seen) })
        })
        .await
    }
    .await;
    ours(&lab, &["scale", DEPLOYMENT, "--replicas=2"]).await?;
    settled(&lab, 2).await?;
    waited?;
    let back = Instant::now();
    eventually("the namespace to go", PATIENCE, || async {
        let left =
            kubectl.run(["get", "namespace", namespace.name(), "--ignore-not-found", "-o", "name"]).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await?;
    eprintln!("a waiting namespace was gone {:.0} s after we were back", back.elapsed().as_secs_f64());
    Ok(())
}
