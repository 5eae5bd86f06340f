//! From a pod that is ready to a RestateDeployment that is Ready, one rollout at a time, beside what Restate's own call
//! took in the same rollout: until the node's rules lead to a new Service, that call waits for a connection.

use std::time::{Duration, Instant};

use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use restate_tests::{FaultProxy, Order, Result};
use serde_json::{Value, json};

use super::{
    stand::{Stand, Subject, holds, name},
    until::Until,
};

/// Between two rollouts.
const PAUSE: Duration = Duration::from_millis(1500);

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// From pod ready to Ready, in order of size.
    pub(super) rollout: Vec<Duration>,
    /// What Restate took of that for its discovery call, in order of size.
    pub(super) call: Vec<Duration>,
    /// What was left of each rollout without it, in order of size.
    pub(super) rest: Vec<Duration>,
    /// A registration by hand of an endpoint that is there, in order of size.
    pub(super) registration: Vec<Duration>,
}

/// Rolls that many, one after the other; there are as many objects.
pub(super) async fn measure(stand: &Stand, rounds: usize) -> Result<Latency> {
    let proxy = FaultProxy::new(&stand.lab, &stand.restate).await?;
    let mut latency = Latency::default();
    let until = Until::all(stand.api(Subject::Ours), rounds, |object| holds(object, "Ready")).await?;
    stand.create_at(Subject::Ours, rounds, &json!({"url": proxy.url()})).await?;
    until.when().await?;
    for round in 0..rounds {
        let before = proxy.record().len();
        let rollout = roll(stand, round).await?;
        // Whatever was tried in vain before is no part of it: a rehearsal and a registration are.
        let done = |order: &Order| order.status < 400 && order.what.starts_with("POST");
        let call = proxy.record().into_iter().skip(before).filter(done).map(|order| order.took).sum();
        latency.rollout.push(rollout);
        latency.call.push(call);
        latency.rest.push(rollout.saturating_sub(call));
        latency.registration.push(register(stand, round).await?);
        tokio::time::sleep(PAUSE).await;
    }
    for times in [&mut latency.rollout, &mut latency.call, &mut latency.rest, &mut latency.registration] {
        times.sort();
    }
    stand.clear(Subject::Ours).await?;
    Ok(latency)
}

async fn roll(stand: &Stand, number: usize) -> Result<Duration> {
    let object = name(number);
    let rolled = move |seen: &DynamicObject| {
        let again = seen.metadata.generation.is_some_and(|generation| generation > 1);
        seen.metadata.name.as_deref() == Some(&object) && again && holds(seen, "Ready")
    };
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<DynamicObject> = Api::namespaced_with(stand.client.clone(), stand.namespace(), &kind);
    let app = name(number);
    let is_new = move |pod: &DynamicObject| {
        let ours = pod.metadata.labels.iter().flatten().any(|(key, value)| key == "app" && *value == app);
        ours && pod.data.pointer("/spec/containers/0/env/0/value") == Some(&json!("v2")) && is_ready(pod)
    };
    let (ready, pod) =
        (Until::all(stand.api(Subject::Ours), 1, rolled).await?, Until::all(pods, 1, is_new).await?);
    stand.roll(Subject::Ours, number..number + 1, "v2").await?;
    let (pod, ready) = (pod.when().await?, ready.when().await?);
    Ok(ready.saturating_duration_since(pod))
}

fn is_ready(pod: &DynamicObject) -> bool {
    let conditions = pod.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Restate's discovery of an endpoint that answers, and what it writes down of it.
async fn register(stand: &Stand, number: usize) -> Result<Duration> {
    let answering = stand.lab.kubectl()?;
    let get = ["-n", stand.namespace(), "get", "pod", "answers-for-all", "-o", "jsonpath={.status.podIP}"];
    let address = answering.run(get).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let admin = format!("http://{}:9070/deployments", stand.host);
    // So that the connection is there already, as the controller's is.
    client.get(format!("{admin}/none")).send().await?;
    let body = json!({"uri": format!("http://{address}:9080/by-hand-{number}")});
    let began = Instant::now();
    let answer = client.post(&admin).json(&body).send().await?.error_for_status()?;
    let answer: Value = answer.json().await?;
    let took = began.elapsed();
    let id = answer["id"].as_str().unwrap_or_default();
    client.delete(format!("{admin}/{id}?force=true")).send().await?.error_for_status()?;
    Ok(took)
}
