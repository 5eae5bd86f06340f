//! The controller's watches break, all at once: what is changed afterwards is acted on all the same.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use restate_tests::{
    Lab, Namespace, Restate, Result, Service, eventually,
    lab::{Image, OPERATOR_NAMESPACE},
};
use serde_json::json;

const CONTROLLER: &str = "app.kubernetes.io/component=controller";
/// How long nobody answers where kube-apiserver was: long enough for every watch to fail at least once.
const NO_API: Duration = Duration::from_secs(5);
/// A watch is taken up again within ten seconds of pauses; the rest is a slow machine.
const NOTICED: Duration = Duration::from_secs(90);
/// kube-apiserver comes up, and everybody asks at once.
const UP: Duration = Duration::from_mins(2);

/// The value of a line of the controller's metrics, all replicas together; none where no replica has it.
async fn metric(lab: &Lab, line: &str) -> Result<u64> {
    let kubectl = lab.kubectl()?;
    let names = r"jsonpath={.items[*].metadata.name}";
    let pods = kubectl.run(["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", CONTROLLER, "-o", names]).await?;
    let mut sum = 0;
    for pod in pods.split_whitespace() {
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics");
        let text = kubectl.run(["get", "--raw", &path]).await?;
        let values = text.lines().filter_map(|it| it.strip_prefix(line)?.trim().parse::<u64>().ok());
        sum += values.sum::<u64>();
    }
    Ok(sum)
}

async fn restarts(lab: &Lab) -> Result<String> {
    let path = r"jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    lab.kubectl()?.run(["-n", OPERATOR_NAMESPACE, "get", "pods", "-l", CONTROLLER, "-o", path]).await
}

/// users.md 1a (op#114): kube-apiserver dies and comes back, so every watch breaks; a new image then makes a new
/// version within a bound, by the same process, and no object stays behind.
#[tokio::test]
async fn a_new_image_is_seen_although_every_watch_broke() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: the API server of a cluster elsewhere is not ours to kill");
        return Ok(());
    }
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "watches").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let first = service.roll_out(Image::GreeterV1).await?;
    let failures = "restate_controller_watch_failures_total{kind=\"RestateDeployment\"}";
    let (broken, restarted) = (metric(&lab, failures).await?, restarts(&lab).await?);

    lab.command(&["kill", "kube-apiserver"]).await?;
    tokio::time::sleep(NO_API).await;
    lab.command(&["restart", "kube-apiserver"]).await?;
    let kubectl = lab.kubectl()?;
    eventually("kube-apiserver to be back", UP, || async {
        Ok(kubectl.run(["get", "--raw", "/readyz"]).await.map_err(|error| error.to_string()))
    })
    .await?;

    // `kubectl patch`, as in the report: nothing else of the object changes.
    let image = lab.image(Image::GreeterV2)?;
    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]);
    let patch = patch.to_string();
    let changed = eventually("the patch to be taken", UP, || async {
        let command = ["patch", "restatedeployment", service.name(), "--type=json", "-p", &patch];
        Ok(service.kubectl(command).await.map_err(|error| error.to_string()))
    });
    changed.await?;
    let since = Instant::now();
    let sets = "jsonpath={.items[*].metadata.name}";
    service
        .eventually("a replica set of the new image", NOTICED, || async {
            let names = service.kubectl(["get", "replicasets", "-o", sets]).await?;
            Ok(if names.split_whitespace().any(|name| name != first.name()) { Ok(()) } else { Err(names) })
        })
        .await?;
    eprintln!("a new replica set {:.1} s after the patch", since.elapsed().as_secs_f64());
    service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    ensure!(restarts(&lab).await? == restarted, "a controller that starts anew proves nothing about watches");
    ensure!(metric(&lab, failures).await? > broken, "the watches did not break");
    let behind = "restate_controller_objects_behind{controller=\"deployment\"}";
    service
        .eventually("no object to be behind", Duration::from_mins(2), || async {
            let count = metric(&lab, behind).await.context("the metric")?;
            Ok(if count == 0 { Ok(()) } else { Err(format!("{count} are behind")) })
        })
        .await
}
