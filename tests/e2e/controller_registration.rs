//! What Restate refuses, each refusal produced for real: its words reach `kubectl describe`, nobody asks again where
//! that cannot help, and what served before goes on serving.

use std::time::Duration;

use anyhow::ensure;
use restate_tests::{FaultProxy, Lab, Namespace, Restate, Result, Service, Version, lab::Image};
use serde_json::{Value, json};

/// A program that answers discovery with this manifest, over HTTP/1.1: a CGI script of busybox' own server.
fn answering(object: &mut Value, content: &str, manifest: &Value) {
    let script =
        format!("#!/bin/sh\nprintf 'content-type: {content}\\r\\n\\r\\n'\ncat <<'END'\n{manifest}\nEND\n");
    let start = "mkdir -p /tmp/w/cgi-bin && printf '%s' \"$SCRIPT\" > /tmp/w/cgi-bin/m && \
                 chmod +x /tmp/w/cgi-bin/m && exec httpd -f -p 9080 -h /tmp/w";
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["/bin/sh", "-c", start]);
    container["env"] = json!([{"name": "SCRIPT", "value": script}]);
    container["readinessProbe"] = json!({"tcpSocket": {"port": 9080}, "periodSeconds": 1});
    object["spec"]["restate"]["useHttp11"] = true.into();
    object["spec"]["restate"]["servicePath"] = "/cgi-bin/m".into();
}

const V3: &str = "application/vnd.restate.endpointmanifest.v3+json";

fn manifest(name: &str) -> Value {
    json!({
        "protocolMode": "REQUEST_RESPONSE", "minProtocolVersion": 5, "maxProtocolVersion": 5,
        "services": [{"name": name, "ty": "SERVICE", "handlers": [{"name": "greet"}]}],
    })
}

async fn service(lab: &Lab, about: &str) -> Result<(Restate, Namespace, Service)> {
    let (restate, namespace) = (Restate::shared(lab).await?, Namespace::new(lab, about).await?);
    let service = Service::new(lab, &namespace, &restate);
    Ok((restate, namespace, service))
}

/// Refused for good, in these words: said once, and the pods that can serve nothing are gone.
async fn rejected(service: &Service, words: &[&str]) -> Result<Version> {
    let (reason, message) = service.condition_with("Stalled", "True", words[0]).await?;
    ensure!(reason == "RegistrationRejected", "{reason}: {message}");
    service.describes(words).await?;
    let look = || async {
        let versions = service.versions().await?;
        let found = versions.iter().find(|it| it.state() == "Rejected" && it.desired() == Some(0));
        Ok(found.cloned().ok_or_else(|| format!("{versions:?}")))
    };
    service.eventually("the rejected version to have no pods", Duration::from_mins(1), look).await
}

/// users.md 1a (op#199), 2a 2.3.0 (op#100): a service that changes its type (META0006). The version before goes on
/// serving, the refusal is terminal, and the next change of the spec is tried again.
#[tokio::test]
async fn a_changed_service_type_is_refused_for_good_and_harms_nothing() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "type-change").await?;
    let first = service.roll_out(Image::GreeterV1).await?;
    // What was an object with a lock is a plain service now.
    let counter = service.counter();
    let renamed = |object: &mut Value| {
        object["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "SERVICE_NAME", "value": counter}]);
    };
    service.apply_with(Image::GreeterV2, renamed).await?;
    rejected(&service, &["META0006", "RegistrationRejected", "type"]).await?;
    let kept = service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    ensure!(kept.deployment_id() == first.deployment_id() && kept.desired() == Some(1), "{}", kept.json());
    let answer = restate.call(&format!("{}/greet", service.name()), &json!("Ada")).await?;
    ensure!(answer == "v1: hello Ada", "{answer}");
    // The rejected pods are still on their way out.
    service
        .eventually("it to be left in peace", Duration::from_secs(40), || async {
            let before = service.stored().await?;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let after = service.stored().await?;
            let same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
            Ok(if same { Ok(()) } else { Err(after["status"].to_string()) })
        })
        .await?;
    service.roll_out(Image::GreeterV2).await?;
    service.condition("Ready", "True").await.map(drop)
}

/// Issue row "wrong protocol": an SDK that speaks protocols of which Restate knows none (META0012).
#[tokio::test]
async fn an_sdk_of_another_age_is_refused_for_good() -> Result {
    let lab = Lab::of_this_run()?;
    let (_restate, _namespace, service) = service(&lab, "protocol").await?;
    let mut future = manifest(service.name());
    (future["minProtocolVersion"], future["maxProtocolVersion"]) = (99.into(), 99.into());
    service.apply_with(Image::Busybox, |object| answering(object, V3, &future)).await?;
    rejected(&service, &["META0012", "unsupported service protocol versions"]).await.map(drop)
}

/// Kin of META0006: a name that Restate keeps for itself (META0005), and an answer that is no manifest (META0013).
#[tokio::test]
async fn reserved_names_and_foreign_answers_are_refused_for_good() -> Result {
    let lab = Lab::of_this_run()?;
    let (_restate, _namespace, reserved) = service(&lab, "reserved").await?;
    let (_, _other, html) = service(&lab, "html").await?;
    let name = format!("restate.{}", reserved.name());
    reserved.apply_with(Image::Busybox, |object| answering(object, V3, &manifest(&name))).await?;
    html.apply_with(Image::Busybox, |object| answering(object, "text/html", &json!("hello"))).await?;
    rejected(&reserved, &["META0005", "reserved name"]).await?;
    rejected(&html, &["META0013", "content type"]).await.map(drop)
}

/// A program that begins to listen once somebody says so; the same template all the time.
fn late(object: &mut Value, name: &str) {
    let start = "mkdir -p /tmp/w/cgi-bin; printf '%s' \"$SCRIPT\" > /tmp/w/cgi-bin/m; chmod +x /tmp/w/cgi-bin/m; \
                 while [ ! -f /tmp/go ]; do sleep 1; done; exec httpd -f -p 9080 -h /tmp/w";
    answering(object, V3, &manifest(name));
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["/bin/sh", "-c", start]);
    if let Some(fields) = container.as_object_mut() {
        fields.remove("readinessProbe");
    }
}

/// Issue row "unreachable endpoint" (META0003): it may pass, so it is tried again, with pauses; it says so meanwhile,
/// and serves as soon as somebody listens.
#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_tried_again() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "unreachable").await?;
    let name = service.name().to_owned();
    service.apply_with(Image::Busybox, |object| late(object, &name)).await?;
    service.condition_with("Ready", "False", "META0003").await?;
    service.describes(&["META0003", "error when calling"]).await?;
    let stalled = service.condition("Stalled", "False").await?;
    ensure!(stalled.0 == "Idle", "{stalled:?}");
    let pod = service.kubectl(["get", "pods", "-o", "name"]).await?;
    service.kubectl(["exec", pod.trim(), "--", "/bin/sh", "-c", ": > /tmp/go"]).await?;
    service.condition("Ready", "True").await?;
    ensure!(!restate.routed(service.name()).await?.is_empty());
    Ok(())
}

/// Issue, "bad input: no retry storm": pauses grow from half a second to thirty, so few tries fit into this; what wakes
/// the object meanwhile makes none.
#[tokio::test]
async fn tries_that_may_help_are_few_and_those_that_cannot_are_none() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: pods of a cluster elsewhere cannot reach a proxy on this machine");
        return Ok(());
    }
    let restate = Restate::shared(&lab).await?;
    let (proxy, namespace) =
        (FaultProxy::new(&lab, &restate).await?, Namespace::new(&lab, "few-tries").await?);
    let service = Service::registered(&lab, &namespace, json!({"url": proxy.url()}));
    let name = service.name().to_owned();
    service.apply_with(Image::Busybox, |object| late(object, &name)).await?;
    service.condition_with("Ready", "False", "META0003").await?;
    for round in 0..10 {
        let nudge = format!("nudged={round}");
        service.kubectl(["annotate", "restatedeployment", service.name(), "--overwrite", &nudge]).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let tries = proxy.registrations();
    // Half a second, one, two, four, eight, sixteen, each up to twice as long; the machine may be slow.
    ensure!((2..=9).contains(&tries), "{tries} tries: {:?}", proxy.record());
    ensure!(proxy.record().iter().all(|order| order.status >= 400), "{:?}", proxy.record());

    // Refused for good: asked once, and whatever wakes the object makes no second try.
    let other = Namespace::new(&lab, "no-tries").await?;
    let final_proxy = FaultProxy::new(&lab, &restate).await?;
    let refused = Service::registered(&lab, &other, json!({"url": final_proxy.url()}));
    let mut future = manifest(refused.name());
    (future["minProtocolVersion"], future["maxProtocolVersion"]) = (99.into(), 99.into());
    refused.apply_with(Image::Busybox, |object| answering(object, V3, &future)).await?;
    rejected(&refused, &["META0012"]).await?;
    let asked = final_proxy.registrations();
    for round in 0..4 {
        let nudge = format!("nudged={round}");
        refused.kubectl(["annotate", "restatedeployment", refused.name(), "--overwrite", &nudge]).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    ensure!(final_proxy.registrations() == asked, "asked again: {:?}", final_proxy.record());
    Ok(())
}

/// users.md 2b 3.0.0 (promotion war): a rollback finds that somebody else serves the service by now. That is said, and
/// nothing is taken from anybody.
#[tokio::test]
async fn what_somebody_else_registered_is_not_fought_over() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace, service) = service(&lab, "foreign").await?;
    let patient = |object: &mut Value| object["spec"]["restate"]["drainDelaySeconds"] = 600.into();
    for image in [Image::GreeterV1, Image::GreeterV2] {
        service.apply_with(image, patient).await?;
        service.version(image, |version| version.state() == "Current").await?;
    }
    let other = Namespace::new(&lab, "rival").await?;
    let rival = Service::new(&lab, &other, &restate);
    let env = json!([{"name": "SERVICE_NAME", "value": service.name()}]);
    let named = |object: &mut Value| object["spec"]["template"]["spec"]["containers"][0]["env"] = env;
    rival.apply_with(Image::GreeterV2, named).await?;
    let theirs = rival.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    let foreign = async || {
        let (reason, message) = service.condition_with("Ready", "False", theirs.deployment_id()).await?;
        ensure!(reason == "ForeignDeployment", "{reason}: {message}");
        Result::<()>::Ok(())
    };
    // What is decided rests on an answer of Restate that can be a second old.
    foreign().await?;

    service.apply_with(Image::GreeterV1, patient).await?;
    let third = "--for=jsonpath={.status.observedGeneration}=3";
    let seen = ["-n", namespace.name(), "wait", "restatedeployment", service.name(), third, "--timeout=60s"];
    lab.kubectl()?.run(seen).await?;
    foreign().await?;
    service.describes(&["ForeignDeployment", theirs.deployment_id()]).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(restate.routed(service.name()).await? == theirs.deployment_id(), "it was fought over");
    Ok(())
}

/// users.md 2b 3.0.0 (promotion war), rolling forward: a new version is registered once, as its owner wants, and moves
/// routing; whoever had it says so and does not fight back.
#[tokio::test]
async fn a_new_version_takes_routing_once_and_nobody_fights_back() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        eprintln!("skipped: pods of a cluster elsewhere cannot reach a proxy on this machine");
        return Ok(());
    }
    let (restate, mine) = (Restate::shared(&lab).await?, Namespace::new(&lab, "forward").await?);
    let (our_proxy, their_proxy) =
        (FaultProxy::new(&lab, &restate).await?, FaultProxy::new(&lab, &restate).await?);
    let service = Service::registered(&lab, &mine, json!({"url": our_proxy.url()}));
    let patient = |object: &mut Value| object["spec"]["restate"]["drainDelaySeconds"] = 600.into();
    service.apply_with(Image::GreeterV1, patient).await?;
    service.version(Image::GreeterV1, |version| version.state() == "Current").await?;
    let other = Namespace::new(&lab, "forward-rival").await?;
    let rival = Service::registered(&lab, &other, json!({"url": their_proxy.url()}));
    let env = json!([{"name": "SERVICE_NAME", "value": service.name()}]);
    let named = |object: &mut Value| {
        patient(object);
        object["spec"]["template"]["spec"]["containers"][0]["env"] = env.clone();
    };
    rival.apply_with(Image::GreeterV1, named).await?;
    rival.version(Image::GreeterV1, |version| version.state() == "Current").await?;

    service.apply_with(Image::GreeterV2, patient).await?;
    let second = service.version(Image::GreeterV2, |version| version.state() == "Current").await?;
    service.condition("Ready", "True").await?;
    // The rival learns of it when it is woken.
    rival.patch(&json!({"spec": {"revisionHistoryLimit": 5}})).await?;
    for round in 0..5 {
        for it in [&service, &rival] {
            let nudge = format!("nudged={round}");
            it.kubectl(["annotate", "restatedeployment", it.name(), "--overwrite", &nudge]).await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Tries before a pod's network is ready are no part of this.
    let accepted = |proxy: &FaultProxy| {
        let done = |order: &restate_tests::Order| order.what == "POST /deployments" && order.status < 400;
        proxy.record().iter().filter(|order| done(order)).count()
    };
    let both = (accepted(&our_proxy), accepted(&their_proxy));
    ensure!(both == (2, 1), "they fight: {:?} {:?}", our_proxy.record(), their_proxy.record());
    ensure!(restate.routed(service.name()).await? == second.deployment_id());
    Ok(())
}

/// users.md 1a (op#37, 38, 52, 56), 2a 1.8.1: an SDK that speaks HTTP/1.1 alone, under a path.
#[tokio::test]
async fn http_1_1_and_a_path_are_honoured() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, _namespace, service) = service(&lab, "http11").await?;
    let manifest = manifest(service.name());
    service.apply_with(Image::Busybox, |object| answering(object, V3, &manifest)).await?;
    service.condition("Ready", "True").await?;
    let id = restate.routed(service.name()).await?;
    let known = restate.admin("GET", &format!("deployments/{id}"), None).await?;
    ensure!(known["uri"].as_str().is_some_and(|uri| uri.ends_with("/cgi-bin/m")), "{known}");
    ensure!(known["http_version"] == "HTTP/1.1", "{known}");
    Ok(())
}
