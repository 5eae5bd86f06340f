//! How much the controller does about one object, while it has no other to look after.

use std::time::Duration;

use anyhow::{bail, ensure};
use restate_tests::{
    Audit, Lab, Namespace, Restate, Result, Service, eventually,
    lab::{Image, OPERATOR_NAMESPACE},
    namespace,
};
use serde_json::{Value, json};

const CONTROLLER: &str = "app.kubernetes.io/component=controller";
/// What tests before have left is gone; their last passes end.
const CALM: Duration = Duration::from_mins(3);
/// The report counted for 120 s.
const WATCHED: Duration = Duration::from_secs(45);
/// 18 in 120 s, the existing operator's own bound after its loop was mended.
const PASSES: u64 = 18 * 45 / 120;
/// A window in which Restate did not answer, or the controller began anew, tells nothing of its pace.
const WINDOWS: usize = 3;
/// Of one replica set, from its creation to the end of what is watched.
const WRITES: usize = 5;

/// What the metrics of all replicas say.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Passes over RestateDeployments, however they ended.
    passes: u64,
    /// Questions to a Restate that failed, of any kind.
    failed: u64,
}

/// The sum of the lines of a text of metrics that begin and go on so.
fn sum(text: &str, begin: &str, within: &str) -> u64 {
    let lines = text.lines().filter(|it| it.starts_with(begin) && it.contains(within));
    lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn counts(lab: &Lab) -> Result<Counts> {
    let kubectl = lab.kubectl()?;
    let names = r"jsonpath={.items[*].metadata.name}";
    let pods = kubectl.run(["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", CONTROLLER, "-o", names]).await?;
    let mut counts = Counts::default();
    for pod in pods.split_whitespace() {
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics");
        let text = kubectl.run(["get", "--raw", &path]).await?;
        let passes = "restate_controller_reconciliations_total{";
        counts.passes += sum(&text, passes, r#"controller="deployment""#);
        counts.failed += sum(&text, "restate_controller_restate_questions_total{", r#"result="failed""#);
    }
    Ok(counts)
}

/// Nobody else is looked after any more.
async fn calm(lab: &Lab) -> Result {
    namespace::none_is_going(lab).await?;
    eventually("the controller to have nothing to do", CALM, || async {
        let before = counts(lab).await?.passes;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let after = counts(lab).await?.passes;
        if before == after {
            return Ok(Ok(()));
        }
        let made = after.saturating_sub(before);
        Ok(Err(format!("{made} passes in 8 s; there are {}", others(lab).await?)))
    })
    .await
}

/// Every object that may have had a part in a count.
async fn others(lab: &Lab) -> Result<String> {
    let line = "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}\
                {range .status.conditions[*]} {.type}={.status}{end}; {end}";
    let kinds = "restatedeployments.restate.dev,restateclusters.restate.dev";
    lab.kubectl()?.run(["get", kinds, "-A", "-o", line]).await
}

/// users.md 2b (op#138: eight passes a second and 30,000 writes an hour while draining): at the default delay, with work
/// that holds the old version and without, hardly anything is done.
#[tokio::test]
async fn a_drain_takes_few_passes_and_few_writes() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: the audit log of a cluster elsewhere is not ours to read");
        return Ok(());
    }
    // Of its own: what others leave in the shared one goes on changing what is said of it.
    let restate = Restate::own(&lab, "pace", &json!({})).await?;
    let namespace = Namespace::new(&lab, "pace").await?;
    let service = Service::new(&lab, &namespace, &restate);
    let usual = |object: &mut Value| {
        if let Some(fields) = object["spec"]["restate"].as_object_mut() {
            fields.remove("drainDelaySeconds");
        }
    };
    calm(&lab).await?;
    service.apply_with(Image::GreeterV1, usual).await?;
    let first = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    restate.call(&format!("{}/a/run/send", service.job()), &json!("paint")).await?;
    service.job_is_bound(&restate, &first).await?;
    service.apply_with(Image::GreeterV2, usual).await?;
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    service.version(Image::GreeterV1, |version| version.pinned() == Some(1)).await?;
    service.condition("Draining", "True").await?;
    service.condition("Progressing", "False").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    watched(&lab, "with work").await?;

    // The delay of five minutes runs.
    restate.call(&format!("{}/a/finish", service.job()), &json!("done")).await?;
    service.version(Image::GreeterV1, |version| version.remove_at().is_some()).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    watched(&lab, "in its delay").await?;
    let kept = service.version(Image::GreeterV1, |version| version.state() == "Drained").await?;
    ensure!(kept.uid() == first.uid() && kept.desired() == Some(1), "{}", kept.json());
    let writes = Audit::of(&lab)?.own_writes("replicasets", namespace.name(), first.name())?;
    eprintln!("writes on {}: {writes:?}", first.name());
    ensure!((1..=WRITES).contains(&writes.len()), "{} has {writes:?}", first.name());
    Ok(())
}

/// The passes of a window, or what was in their way.
async fn window(lab: &Lab) -> Result<Result<u64, String>> {
    let before = counts(lab).await?;
    tokio::time::sleep(WATCHED).await;
    let after = counts(lab).await?;
    let told = format!("{before:?} became {after:?}");
    let made = after.passes.checked_sub(before.passes).filter(|_| after.failed <= before.failed);
    Ok(made.ok_or(told))
}

async fn watched(lab: &Lab, how: &str) -> Result {
    let seconds = WATCHED.as_secs();
    for _ in 0..WINDOWS {
        let made = match window(lab).await? {
            Ok(made) => made,
            Err(told) => {
                eprintln!("{how}: watched once more, for {told}");
                continue;
            }
        };
        eprintln!("{how}: {made} passes in {seconds} s");
        if made > PASSES {
            bail!(
                "{how}: {made} passes in {seconds} s, of {PASSES} allowed; there are {}",
                others(lab).await?
            );
        }
        return Ok(());
    }
    bail!("{how}: in each of {WINDOWS} windows Restate did not answer, or the controller began anew")
}
