use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::runtime::watcher::Event;
use restate_crd::condition::ConditionType;
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Kubernetes, context};

const PATH: &str = "/apis/restate.dev/v1beta1/namespaces/shop/restatedeployments/greeter";

fn greeter(selector: &str) -> Value {
    json!({
        "apiVersion": "restate.dev/v1beta1", "kind": "RestateDeployment",
        "metadata": {"name": "greeter", "namespace": "shop", "uid": "u1", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "selector": {"matchLabels": {"app": selector}},
            "restate": {"register": {"cluster": "prod"}},
            "template": {"metadata": {"labels": {"app": "greeter"}},
                         "spec": {"containers": [{"name": "greeter", "image": "greeter:1"}]}},
        },
    })
}

/// A Kubernetes with one deployment and its cluster, and the eyes of a controller that has seen them.
fn world(object: Value) -> (Kubernetes, Context) {
    let kubernetes = Kubernetes::default().with(PATH, object.clone());
    let context = context(&kubernetes);
    context.stores.deployments.take(Event::Apply(serde_json::from_value(object).unwrap()));
    let cluster = json!({"apiVersion": "restate.dev/v1", "kind": "RestateCluster", "metadata": {"name": "prod"},
        "spec": {"compute": {"image": "restate"}, "storage": {"storageRequestBytes": 1}}});
    let cluster: RestateCluster = serde_json::from_value(cluster).unwrap();
    context.stores.clusters.take(Event::Apply(cluster));
    (kubernetes, context)
}

async fn pass(kubernetes: &Kubernetes, context: &Context) -> Result<Pass, Error> {
    // What the watch would tell.
    let object: RestateDeployment = serde_json::from_value(kubernetes.object(PATH)).unwrap();
    context.stores.deployments.take(Event::Apply(object));
    reconcile(context.stores.deployments.get(Some("shop"), "greeter").unwrap(), context, false).await
}

/// Methods and paths alone.
fn heads(asked: &[String]) -> Vec<String> {
    let head = |request: &String| request.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
    asked.iter().map(head).collect()
}

#[tokio::test]
async fn a_first_pass_makes_a_version_and_a_second_one_writes_nothing() {
    let (kubernetes, context) = world(greeter("greeter"));
    let first = pass(&kubernetes, &context).await.unwrap();
    assert!(first.acted && first.outcome != Outcome::Settled, "{first:?}");
    insta::assert_snapshot!(heads(&kubernetes.asked()).join("\n"), @"
    PATCH /apis/restate.dev/v1beta1/namespaces/shop/restatedeployments/greeter
    POST /apis/apps/v1/namespaces/shop/replicasets
    ");
    pass(&kubernetes, &context).await.unwrap();
    assert_eq!(heads(&kubernetes.asked()), ["POST /api/v1/namespaces/shop/services"]);
    pass(&kubernetes, &context).await.unwrap();
    assert_eq!(heads(&kubernetes.asked()), [format!("PATCH {PATH}/status")], "once, after all that was done");
    for _ in 0..3 {
        let again = pass(&kubernetes, &context).await.unwrap();
        assert!(!again.acted, "{again:?}");
        assert_eq!(kubernetes.asked(), [""; 0], "nothing changed");
    }
    assert_eq!(context.stores.replica_sets.all().count(), 1, "what was made is known without a watch");
}

/// Somebody undoes what is done, in every pass: the status waits for the end of acts, but not for ever.
#[tokio::test]
async fn acts_without_end_do_not_keep_the_status_from_being_written() {
    let (kubernetes, context) = world(greeter("greeter"));
    assert!(pass(&kubernetes, &context).await.unwrap().acted);
    assert!(kubernetes.object(PATH)["status"].is_null());
    let object: RestateDeployment = serde_json::from_value(kubernetes.object(PATH)).unwrap();
    assert!(reconcile(Arc::new(object), &context, true).await.unwrap().acted, "its Service is made");
    assert!(!kubernetes.object(PATH)["status"]["conditions"].is_null());
}

#[tokio::test]
async fn a_spec_that_cannot_be_acted_on_is_told_and_gets_nothing_else() {
    let (kubernetes, context) = world(greeter("other"));
    let first = pass(&kubernetes, &context).await.unwrap();
    assert!(!first.acted);
    let (events, asked): (Vec<_>, Vec<_>) =
        kubernetes.requests(|_| true).into_iter().partition(|request| request.contains("/events"));
    assert_eq!(heads(&asked), [format!("PATCH {PATH}/status")], "no finalizer, no object");
    let stalled: RestateDeployment = serde_json::from_value(kubernetes.object(PATH)).unwrap();
    assert!(stalled.status.unwrap().conditions.holds(ConditionType::Stalled));
    assert!(events.len() == 1 && events[0].contains("Warning"), "{events:?}");
    assert!(events[0].contains("SelectorMismatch"), "{events:?}");
    for _ in 0..3 {
        pass(&kubernetes, &context).await.unwrap();
        assert_eq!(kubernetes.requests(|_| true), [""; 0], "not even an event");
    }
}

#[tokio::test]
async fn a_failed_step_is_told_once_by_the_status_and_by_an_event() {
    let refuse = |method: &http::Method, path: &str| {
        let services = *method == http::Method::POST && path.contains("services");
        let sets = *method == http::Method::POST && path.contains("replicasets");
        (services || sets).then(|| Kubernetes::no(403, "exceeded quota"))
    };
    let object = greeter("greeter");
    let kubernetes = Kubernetes::refusing(refuse).with(PATH, object);
    let context = context(&kubernetes);
    let cluster = json!({"apiVersion": "restate.dev/v1", "kind": "RestateCluster", "metadata": {"name": "prod"},
        "spec": {"compute": {"image": "restate"}, "storage": {"storageRequestBytes": 1}}});
    context.stores.clusters.take(Event::Apply(serde_json::from_value(cluster).unwrap()));
    let error = pass(&kubernetes, &context).await.unwrap_err();
    assert_eq!(error.category(), "Api");
    assert!(error.chain().contains("exceeded quota"), "{}", error.chain());
    let told = kubernetes.object(PATH)["status"]["conditions"].to_string();
    assert!(told.contains("ReconcileFailed") && told.contains("exceeded quota"), "{told}");
    let events = kubernetes.told().join("\n");
    assert!(events.contains("Warning") && events.contains("exceeded quota"), "{events}");
    pass(&kubernetes, &context).await.unwrap_err();
    let asked = heads(&kubernetes.requests(|_| true));
    assert!(!asked.iter().any(|head| head.contains("/events")), "an event told it already: {asked:?}");
    assert!(!asked.iter().any(|head| head.ends_with("/status")), "it was said already: {asked:?}");
}

#[tokio::test]
async fn a_race_is_no_failure() {
    let (kubernetes, context) = world(greeter("greeter"));
    let mut object: RestateDeployment = serde_json::from_value(greeter("greeter")).unwrap();
    // The store does not know yet that somebody else set a finalizer.
    let mut stored = greeter("greeter");
    stored["metadata"]["finalizers"] = json!(["example.com/other"]);
    let kubernetes = kubernetes.with(PATH, stored);
    object.metadata.resource_version = Some("1".to_owned());
    let error = reconcile(Arc::new(object), &context, false).await.unwrap_err();
    assert!(error.is_quiet(), "{}", error.chain());
    assert!(kubernetes.object(PATH)["status"].is_null());
}

/// users.md 1a (op#114): the answer to a write of the status holds what somebody changed a moment before, and no
/// watch tells it again. The object gets another pass for it; one that only holds what was written gets none.
#[tokio::test]
async fn a_change_that_comes_while_the_status_is_written_gets_a_pass() {
    let (kubernetes, context) = world(greeter("other"));
    let mut woken = context.wakers.deployments.open();
    let mut changed = greeter("greeter");
    changed["metadata"]["generation"] = 2.into();
    let kubernetes = kubernetes.with(PATH, changed);
    let before = context.stores.deployments.get(Some("shop"), "greeter").unwrap();
    assert!(!reconcile(before, &context, false).await.unwrap().acted);
    assert_eq!(heads(&kubernetes.asked()), [format!("PATCH {PATH}/status")]);
    assert_eq!(woken.try_recv().unwrap().message.name, "greeter");
    let known = context.stores.deployments.get(Some("shop"), "greeter").unwrap();
    assert_eq!(known.metadata.generation, Some(2), "and the pass looks at what is there now");
    assert!(reconcile(known, &context, false).await.unwrap().acted, "the version is made");

    let (_kubernetes, context) = world(greeter("other"));
    let mut woken = context.wakers.deployments.open();
    let before = context.stores.deployments.get(Some("shop"), "greeter").unwrap();
    reconcile(before, &context, false).await.unwrap();
    assert!(woken.try_recv().is_err(), "nothing but the status is different");
}

#[tokio::test]
async fn the_last_step_of_a_deletion_takes_the_finalizer_away() {
    let mut object = greeter("greeter");
    object["metadata"]["finalizers"] = json!(["example.com/other", "deployments.restate.dev"]);
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (kubernetes, context) = world(object);
    for _ in 0..5 {
        drop(pass(&kubernetes, &context).await);
    }
    assert_eq!(kubernetes.object(PATH)["metadata"]["finalizers"], json!(["example.com/other"]));
}

#[tokio::test]
async fn without_the_lease_nothing_is_written() {
    let kubernetes = Kubernetes::default().with(PATH, greeter("greeter"));
    let mut context = context(&kubernetes);
    context.executor.lease = crate::testing::lease(std::time::Duration::ZERO);
    drop(pass(&kubernetes, &context).await);
    assert_eq!(kubernetes.asked(), [""; 0]);
}

#[tokio::test]
async fn an_environment_is_shown_and_left_alone() {
    let path = "/apis/restate.dev/v1beta1/restatecloudenvironments/cloud";
    let object = json!({
        "apiVersion": "restate.dev/v1beta1", "kind": "RestateCloudEnvironment", "metadata": {"name": "cloud"},
        "spec": {"environmentId": "env_1", "region": "us", "signingPublicKey": "publickeyv1_1",
                 "authentication": {"secret": {"name": "token", "key": "token"}}},
    });
    let kubernetes = Kubernetes::default().with(path, object);
    let context = context(&kubernetes);
    for expected in [1, 0, 0] {
        let object: RestateCloudEnvironment = serde_json::from_value(kubernetes.object(path)).unwrap();
        reconcile(Arc::new(object), &context, false).await.unwrap();
        assert_eq!(kubernetes.asked().len(), expected);
    }
}

#[test]
fn a_chain_says_each_cause_once() {
    let source = kube::Error::Api(Box::new(kube::core::Status::failure("exceeded quota", "Forbidden")));
    let object = Box::new(ObjectRef::of::<ReplicaSet>(Some("shop"), "greeter-1"));
    let error = Error::from(execute::Error::Api { verb: "create", object, source: Box::new(source) });
    insta::assert_snapshot!(error.chain(), @"failed to create ReplicaSet shop/greeter-1: exceeded quota");
}
