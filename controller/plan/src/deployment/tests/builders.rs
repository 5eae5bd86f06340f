//! What is built, and what is refused.

use restate_crd::RestateDeployment;
use restate_crd::condition::Reason;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::hash::TemplateHash;
use super::super::version::Version;
use super::super::*;
use super::world::greeter;
use crate::{Finalizer, Object, Uid};

fn changed(path: &str, value: Value) -> RestateDeployment {
    let mut object = serde_json::to_value(greeter(0)).unwrap();
    let (parent, field) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    serde_json::from_value(object).unwrap()
}

fn spec(object: &RestateDeployment) -> Box<Spec> {
    match validate(object, "cluster.local") {
        Ok(Valid::Spec(spec)) => spec,
        other => panic!("{other:?}"),
    }
}

fn made(object: &RestateDeployment) -> Value {
    let spec = spec(object);
    match replica_set::replica_set(&spec, "greeter-b5", &TemplateHash::found("b5")) {
        Object::Foreign(_, object) => serde_json::to_value(object).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn version(object: &RestateDeployment) -> Version {
    let mut set: k8s_openapi::api::apps::v1::ReplicaSet = serde_json::from_value(made(object)).unwrap();
    set.metadata.uid = Some("u-set".to_owned());
    Version::observe(&set, &Uid("u-greeter".to_owned())).unwrap()
}

#[test]
fn a_replica_set() {
    let mut object = changed("/spec/restate/servicePath", json!("/v1"));
    object.spec.min_ready_seconds = Some(3);
    insta::assert_json_snapshot!(made(&object));
}

#[test]
fn a_version_s_service() {
    let object = greeter(0);
    insta::assert_json_snapshot!(service::version_service(&spec(&object), &version(&object)));
}

#[test]
fn a_stable_service() {
    let object = greeter(0);
    insta::assert_json_snapshot!(service::stable_service(&spec(&object), "hello", &version(&object)));
}

#[test]
fn an_autoscaler() {
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}});
    let object =
        changed("/spec/autoscaling", json!({"minReplicas": 0, "maxReplicas": 5, "metrics": [metric]}));
    let spec = spec(&object);
    insta::assert_json_snapshot!(autoscaler::autoscaler(
        &spec,
        spec.autoscaling.as_ref().unwrap(),
        &version(&object)
    ));
}

#[test]
fn what_we_do_not_know_of_a_pod_is_passed_on() {
    let mut object = greeter(0);
    object.spec.template.spec.as_mut().unwrap()["fieldOfTomorrow"] = json!({"a": [1]});
    assert_eq!(made(&object)["spec"]["template"]["spec"]["fieldOfTomorrow"], json!({"a": [1]}));
}

#[test]
fn bookkeeping_of_other_tools_stays_out_and_the_cluster_is_let_in() {
    let mut object = greeter(0);
    let metadata = object.spec.template.metadata.get_or_insert_default();
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("applyset.kubernetes.io/part-of".to_owned(), "x".to_owned());
    labels.insert("tier".to_owned(), "web".to_owned());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert("kubectl.kubernetes.io/last-applied-configuration".to_owned(), "{}".to_owned());
    annotations.insert("kubectl.kubernetes.io/restartedAt".to_owned(), "now".to_owned());
    let set = made(&object);
    let expected =
        json!({"allow.restate.dev/prod": "true", "app": "greeter", "pod-template-hash": "b5", "tier": "web"});
    assert_eq!(set["spec"]["template"]["metadata"]["labels"], expected, "op#170");
    assert_eq!(
        set["spec"]["template"]["metadata"]["annotations"],
        json!({"kubectl.kubernetes.io/restartedAt": "now"})
    );
    assert_eq!(set["metadata"]["labels"].get("applyset.kubernetes.io/part-of"), None);
    assert_eq!(
        set["spec"]["template"]["metadata"]["labels"].get("restate.dev/latest"),
        None,
        "never in a pod template"
    );
}

#[rstest]
#[case::named(json!([{"containerPort": 1, "name": "x"}, {"containerPort": 2, "name": "restate"}]), 2)]
#[case::first(json!([{"containerPort": 3}, {"containerPort": 4}]), 3)]
#[case::none(json!([]), 9080)]
fn the_port_of_the_pods(#[case] ports: Value, #[case] expected: i32) {
    let mut object = greeter(0);
    object.spec.template.spec.as_mut().unwrap()["containers"][0]["ports"] = ports;
    assert_eq!(spec(&object).template.port, expected);
}

#[rstest]
#[case::selector("/spec/selector", json!({"matchLabels": {"app": "x"}}), Reason::SelectorMismatch, "spec.selector (app=x) does not match the labels of spec.template.metadata (app=greeter)")]
#[case::empty_selector("/spec/selector", json!({}), Reason::SelectorMismatch, "spec.selector is empty")]
#[case::containers("/spec/template/spec", json!({"containers": []}), Reason::InvalidTemplate, "containers is empty")]
#[case::no_pod("/spec/template/spec", json!("x"), Reason::InvalidTemplate, "spec.template.spec is not a pod's")]
#[case::job("/spec/template/spec/restartPolicy", json!("Never"), Reason::InvalidTemplate, r#"restartPolicy is "Never": only Always"#)]
#[case::long_name("/metadata/name", json!("a".repeat(60)), Reason::InvalidSpec, "at most 63 characters")]
#[case::dotted_name("/metadata/name", json!("a.b"), Reason::InvalidSpec, "must be a DNS label")]
#[case::digit_first("/metadata/name", json!("1a"), Reason::InvalidSpec, "starts with a letter")]
#[case::path("/spec/restate/servicePath", json!("/a b"), Reason::InvalidSpec, "spec.restate.servicePath")]
#[case::delay("/spec/restate/drainDelaySeconds", json!(-1), Reason::InvalidSpec, "drainDelaySeconds is -1")]
#[case::long_delay("/spec/restate/drainDelaySeconds", json!(i64::MAX), Reason::InvalidSpec, "must be from 0 to 31622400")]
#[case::replicas("/spec/replicas", json!(-1), Reason::InvalidSpec, "spec.replicas is -1")]
#[case::url("/spec/restate/register", json!({"url": "nonsense"}), Reason::InvalidSpec, "spec.restate.register.url gives no URL")]
#[case::cluster("/spec/restate/register", json!({"cluster": "A_B"}), Reason::InvalidSpec, "must be the name of a RestateCluster")]
#[case::autoscaling("/spec/autoscaling", json!({"minReplicas": 3, "maxReplicas": 2}), Reason::InvalidSpec, "maxReplicas is 2")]
#[case::autoscaling_target("/spec/autoscaling", json!({"maxReplicas": 2, "scaleTargetRef": {"kind": "X", "name": "y"}}), Reason::InvalidSpec, "scaleTargetRef must be left out")]
#[case::tunnel("/spec/restate/tunnelMode", json!("in-process"), Reason::InvalidSpec, "register.cloud only")]
#[case::stable("/spec/stableService", json!({"name": "9"}), Reason::InvalidSpec, "spec.stableService.name")]
fn what_is_wrong_is_named(
    #[case] path: &str,
    #[case] value: Value,
    #[case] reason: Reason,
    #[case] words: &str,
) {
    let error = validate(&changed(path, value), "cluster.local").unwrap_err();
    assert_eq!(error.reason(), reason);
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn two_targets_are_no_target() {
    let both = json!({"cluster": "a", "url": "http://b:9070"});
    let mut object = serde_json::to_value(greeter(0)).unwrap();
    object["spec"]["restate"]["register"] = both;
    assert!(serde_json::from_value::<RestateDeployment>(object).is_err(), "the type has room for one");
}

#[rstest]
#[case::knative("/spec/deploymentMode", json!("knative"), Held::Knative)]
#[case::cloud("/spec/restate/register", json!({"cloud": "env"}), Held::Cloud)]
fn a_mode_that_comes_later_is_held(#[case] path: &str, #[case] value: Value, #[case] expected: Held) {
    let object = changed(path, value);
    assert_eq!(validate(&object, "cluster.local").unwrap(), Valid::Held(expected));
    let mut world = super::world::World::new();
    world.object = object;
    let decision = world.decide();
    assert!(
        matches!(decision.plan.steps[..], [crate::Step::Note(_)]),
        "told, and nothing else: {:?}",
        decision.plan
    );
    assert_eq!(decision.demand, Demand::default());
    let stalled = decision.status.conditions.get(restate_crd::ConditionType::Stalled).unwrap().clone();
    assert_eq!(stalled.reason.as_deref(), Some("ModeNotSupported"));
    world.delete();
    assert_eq!(world.decide().finalizer, Finalizer::Keep, "held, with a way out");
    world.edit(|object| {
        object.spec.restate.delete_policy = Some(restate_crd::deployment::DeletePolicy::Force);
    });
    assert_eq!(world.decide().finalizer, Finalizer::Release);
}
