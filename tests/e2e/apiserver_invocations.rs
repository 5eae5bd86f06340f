//! Invocations of a namespace: seen within its own borders, selected by Restate itself, and acted on.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use restate_tests::{Lab, Namespace, Restate, Result, Service, eventually, kubectl::Answer, lab::Image};
use serde_json::{Value, json};

const API: &str = "/apis/control.restate.dev/v1alpha1";
const SOON: Duration = Duration::from_secs(30);
/// After this time every replica knows of what is registered: what is unchanged is published every five seconds.
const KNOWN: Duration = Duration::from_secs(8);

/// Sends a call, and gives the id of its invocation.
async fn sent(restate: &Restate, path: &str, input: &Value) -> Result<String> {
    let answer = restate.call(path, input).await?;
    Ok(answer["invocationId"].as_str().with_context(|| format!("{path} answered {answer}"))?.to_owned())
}

/// Names of the invocations that kubectl lists with these arguments.
async fn names(lab: &Lab, namespace: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let get = ["-n", namespace, "get", "restateinvocations", "-o", "name"];
    let listed = lab.kubectl()?.run(get.iter().chain(arguments)).await?;
    let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(listed.lines().map(name).collect())
}

/// Waits until a namespace lists exactly these invocations, and gives them in order.
async fn lists(lab: &Lab, namespace: &str, wanted: &[String]) -> Result<Vec<String>> {
    eventually(&format!("{wanted:?} in {namespace}"), SOON, || async {
        let mut seen = names(lab, namespace, &[]).await?;
        seen.sort();
        Ok(if seen == wanted { Ok(seen) } else { Err(format!("{seen:?}")) })
    })
    .await
}

async fn state(lab: &Lab, namespace: &str, id: &str) -> Result<String> {
    let get = ["-n", namespace, "get", "rinv", id, "-o", "jsonpath={.status.state}"];
    lab.kubectl()?.run(get).await
}

async fn becomes(lab: &Lab, namespace: &str, id: &str, wanted: &str) -> Result {
    eventually(&format!("{id} to be {wanted}"), SOON, || async {
        let seen = state(lab, namespace, id).await?;
        Ok(if seen == wanted { Ok(()) } else { Err(seen) })
    })
    .await
}

/// `kubectl create --raw` of an action.
async fn act(lab: &Lab, namespace: &str, id: &str, action: &str, body: &Value) -> Result<Answer> {
    let path = format!("{API}/namespaces/{namespace}/restateinvocations/{id}/{action}");
    lab.kubectl()?.ask(["create", "--raw", &path, "-f", "-"], Some(body)).await
}

fn status(answer: &Answer) -> Result<Value> {
    ensure!(answer.successful, "{answer:?}");
    let object: Value = serde_json::from_str(&answer.output)?;
    Ok(object["status"].clone())
}

/// Z12, R9, R10, R12, C12: a namespace sees what its own RestateDeployments serve, whatever it asks for.
#[tokio::test]
async fn a_namespace_sees_the_invocations_of_its_own_services() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::shared(&lab).await?;
    let (ours, theirs) = (Namespace::new(&lab, "inv-ours").await?, Namespace::new(&lab, "inv-theirs").await?);
    let (service, other) = (Service::new(&lab, &ours, &restate), Service::new(&lab, &theirs, &restate));
    futures::try_join!(service.roll_out(Image::GreeterV1), other.roll_out(Image::GreeterV1))?;
    tokio::time::sleep(KNOWN).await;

    let later = format!("{}/greet/send?delay=1h", service.name());
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(sent(&restate, &later, &json!("Ada")).await?);
    }
    let quoted = sent(&restate, &format!("{}/it's/hold/send", service.counter()), &json!(3600)).await?;
    all.push(quoted.clone());
    all.sort();
    let foreign = sent(&restate, &format!("{}/greet/send?delay=1h", other.name()), &json!("Bob")).await?;

    let seen = lists(&lab, ours.name(), &all).await?;
    let portions = names(&lab, ours.name(), &["--chunk-size=2"]).await?;
    ensure!(portions == seen, "in portions: {portions:?}");
    lists(&lab, theirs.name(), std::slice::from_ref(&foreign)).await?;
    let get = ["-n", ours.name(), "get", "rinv", &foreign];
    let refused = lab.kubectl()?.ask(get, None).await?;
    ensure!(!refused.successful && refused.words.contains("(NotFound)"), "{refused:?}");
    let refused = act(&lab, ours.name(), &foreign, "cancel", &json!({})).await?;
    ensure!(!refused.successful && refused.words.contains("(NotFound)"), "{refused:?}");
    ensure!(state(&lab, theirs.name(), &foreign).await? == "Scheduled", "somebody else's was cancelled");

    for (arguments, expected) in [
        (vec!["-l", "restate.dev/state=Scheduled"], 3),
        (vec!["-l", "restate.dev/state notin (Scheduled)"], 1),
        (vec!["--field-selector", "status.handler=greet"], 3),
        (vec!["--field-selector", "status.handler!=greet"], 1),
        (vec!["--field-selector", "status.key=it's"], 1),
        (vec!["--field-selector", "status.key=' OR '1'\\='1"], 0),
        (vec!["--field-selector", "status.key=\\\\' OR TRUE --"], 0),
        (vec!["-l", &format!("restate.dev/service={}", other.name())], 0),
        (vec!["-l", &format!("restate.dev/deployment={}", service.name())], 4),
        (vec!["--field-selector", &format!("metadata.name={quoted}")], 1),
        (vec!["--field-selector", &format!("metadata.name={foreign}")], 0),
    ] {
        let found = names(&lab, ours.name(), &arguments).await?;
        ensure!(found.len() == expected, "{arguments:?}: {found:?}");
    }
    for id in all {
        status(&act(&lab, ours.name(), &id, "kill", &json!({})).await?)?;
    }
    status(&act(&lab, theirs.name(), &foreign, "kill", &json!({})).await?).map(drop)
}

/// R3, R7, E3, W20: the table, one object, and no watch.
#[tokio::test]
async fn an_invocation_reads_well_and_is_not_watched() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "inv-table").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    tokio::time::sleep(KNOWN).await;
    let id = sent(&restate, &format!("{}/stumble/send", service.name()), &json!("bad luck")).await?;
    becomes(&lab, namespace.name(), &id, "BackingOff").await?;
    let kubectl = lab.kubectl()?;
    let target = format!("{}/stumble", service.name());
    let words = ["NAME", "TARGET", "FAILURE", &id, &target, "BackingOff", version.name(), "bad luck"];
    // Between two pauses it runs for a moment.
    eventually(&format!("a table with {words:?}"), SOON, || async {
        let table = kubectl.run(["-n", namespace.name(), "get", "rinv", "-o", "wide"]).await?;
        Ok(if words.iter().all(|word| table.contains(*word)) { Ok(()) } else { Err(table) })
    })
    .await?;
    let object = kubectl.json(["-n", namespace.name(), "get", "rinv", &id, "-o", "json"]).await?;
    ensure!(object["kind"] == "RestateInvocation" && object["status"]["pinned"] == true, "{object}");
    ensure!(object["status"]["deploymentId"] == version.deployment_id(), "{object}");
    let watch = kubectl.ask(["-n", namespace.name(), "get", "rinv", "--watch-only"], None).await?;
    ensure!(!watch.successful && watch.words.contains("MethodNotAllowed"), "{watch:?}");
    status(&act(&lab, namespace.name(), &id, "kill", &json!({})).await?).map(drop)
}

/// C3, E2, E5, Z12: what a dry run refuses Restate refuses; what it lets pass is done.
#[tokio::test]
async fn actions_do_what_their_dry_runs_say() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "inv-actions").await?);
    let service = Service::new(&lab, &namespace, &restate);
    let version = service.roll_out(Image::GreeterV1).await?;
    tokio::time::sleep(KNOWN).await;
    let ours = namespace.name();
    let name = service.name();
    let running = sent(&restate, &format!("{name}/slow/send"), &json!(3600)).await?;
    let failing = sent(&restate, &format!("{name}/stumble/send"), &json!("bad luck")).await?;
    let scheduled = sent(&restate, &format!("{name}/greet/send?delay=1h"), &json!("Ada")).await?;
    let done = sent(&restate, &format!("{name}/greet/send"), &json!("Ada")).await?;
    becomes(&lab, ours, &done, "Completed").await?;
    becomes(&lab, ours, &failing, "BackingOff").await?;

    let dry =
        async |id: &str, action: &str| act(&lab, ours, id, &format!("{action}?dryRun=All"), &json!({})).await;
    let mut refusals = 0;
    for id in [&running, &failing, &scheduled, &done] {
        for action in ["cancel", "kill", "purge", "pause", "resume", "restart"] {
            let asked = dry(id, action).await?;
            if asked.successful {
                ensure!(status(&asked)?["outcome"] == "DryRun", "{action}: {asked:?}");
                continue;
            }
            ensure!(asked.words.contains("(Conflict)"), "{action} {id}: {asked:?}");
            let real = act(&lab, ours, id, action, &json!({})).await?;
            ensure!(!real.successful && real.words.contains("(Conflict)"), "{action} {id}: {real:?}");
            refusals += 1;
        }
    }
    ensure!(refusals == 12, "{refusals} of 24 were refused");
    ensure!(state(&lab, ours, &scheduled).await? == "Scheduled", "a dry run did something");

    let paused = status(&act(&lab, ours, &failing, "pause", &json!({})).await?)?;
    // Between two pauses of its own it is about to run, or runs.
    let fails_on = ["BackingOff", "Running", "Ready"].iter().any(|state| paused["state"] == *state);
    ensure!(paused["outcome"] == "Accepted" && fails_on, "{paused}");
    becomes(&lab, ours, &failing, "Paused").await?;
    let elsewhere = json!({"spec": {"version": "somebody-elses-1"}});
    let refused = act(&lab, ours, &failing, "resume", &elsewhere).await?;
    ensure!(!refused.successful && refused.words.contains("spec.version"), "{refused:?}");
    let here = json!({"spec": {"version": version.name()}});
    status(&act(&lab, ours, &failing, "resume", &here).await?)?;
    becomes(&lab, ours, &failing, "BackingOff").await?;

    let restarted = status(&act(&lab, ours, &done, "restart", &json!({})).await?)?;
    let new = restarted["newInvocation"].as_str().context("no new invocation")?;
    becomes(&lab, ours, new, "Completed").await?;
    status(&act(&lab, ours, &done, "purge", &json!({})).await?)?;
    eventually("the purged one to be gone", SOON, || async {
        let again = act(&lab, ours, &done, "purge", &json!({})).await?;
        Ok(if again.words.contains("(NotFound)") { Ok(()) } else { Err(format!("{again:?}")) })
    })
    .await?;
    status(&act(&lab, ours, &running, "cancel", &json!({})).await?)?;
    becomes(&lab, ours, &running, "Completed").await?;
    for id in [&failing, &scheduled] {
        status(&act(&lab, ours, id, "kill", &json!({})).await?)?;
    }
    becomes(&lab, ours, &failing, "Completed").await?;
    let unknown = "inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBL7";
    let refused = act(&lab, ours, unknown, "kill", &json!({})).await?;
    ensure!(!refused.successful && refused.words.contains("(NotFound)"), "{refused:?}");
    Ok(())
}

fn binding(namespace: &str, role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role.replace(':', "-"), "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("{namespace}-{role}")}],
    })
}

/// architecture §1 "Rights": what Kubernetes' own roles may do in a namespace, and what only explicit ones may.
#[tokio::test]
async fn rights_are_those_of_the_table() -> Result {
    let lab = Lab::of_this_run()?;
    let namespace = Namespace::new(&lab, "inv-rights").await?;
    let kubectl = lab.kubectl()?;
    let force = "restate-operator:invocations-force";
    for role in ["view", "edit", "admin", force] {
        kubectl.apply(&binding(namespace.name(), role)).await?;
    }
    let table = [
        ("get", "restateservices", "yes yes yes no"),
        ("watch", "restateservices", "yes yes yes no"),
        ("list", "restateinvocations", "no no yes no"),
        ("create", "restateinvocations/cancel", "no no yes no"),
        ("create", "restateinvocations/pause", "no no yes no"),
        ("create", "restateinvocations/resume", "no no yes no"),
        ("create", "restateinvocations/kill", "no no no yes"),
        ("create", "restateinvocations/purge", "no no no yes"),
        ("create", "restateinvocations/restart", "no no no yes"),
        ("create", "restatequeries", "no no no no"),
    ];
    for (verb, resource, expected) in table {
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let plural = format!("{plural}.control.restate.dev");
        let subresource = format!("--subresource={subresource}");
        let look = || async {
            let mut seen = Vec::new();
            for role in ["view", "edit", "admin", force] {
                let user = kubectl.as_user(&format!("{}-{role}", namespace.name()));
                let asked = ["-n", namespace.name(), "auth", "can-i", verb, &plural, &subresource];
                seen.push(user.ask(asked, None).await?.output.trim().to_owned());
            }
            let seen = seen.join(" ");
            Ok(if seen == expected { Ok(()) } else { Err(seen) })
        };
        eventually(&format!("rights to {verb} {resource}"), SOON, look).await?;
    }
    Ok(())
}
