use std::collections::BTreeMap;

use kube_core::ResourceExt;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

/// Versions that a controller recorded: name and `restate.dev/pod-template`.
const VERSIONS: &str = include_str!("../../tests/recorded/versions-greeter.json");
/// The object that they were made from, as it was when v4 was current.
const GREETER: &str = include_str!("../../tests/recorded/restatedeployment-greeter.json");

fn recorded_text(image_variable: &str) -> String {
    let versions: Vec<Value> = serde_json::from_str(VERSIONS).unwrap();
    let texts = versions.iter().map(|version| version["podTemplate"].as_str().unwrap().to_owned());
    texts.into_iter().find(|text| text.contains(&format!("\"{image_variable}\""))).unwrap()
}

#[rstest]
fn the_text_of_a_template_is_the_recorded_one(#[values("v1", "v2", "v3", "v4")] value: &str) {
    let mut greeter: RestateDeployment = serde_json::from_str(GREETER).unwrap();
    assert_eq!(greeter.name_any(), "greeter");
    greeter.spec.template.spec.as_mut().unwrap()["containers"][0]["env"][0]["value"] = json!(value);
    assert_eq!(greeter.spec.template.text().unwrap(), recorded_text(value));
}

#[rstest]
#[case::nothing(json!({}), r#"{"metadata":null}"#)]
#[case::no_metadata(json!({"spec": {}}), r#"{"metadata":null,"spec":{}}"#)]
#[case::null_metadata(json!({"metadata": null, "spec": {}}), r#"{"metadata":null,"spec":{}}"#)]
#[case::empty_metadata(json!({"metadata": {}, "spec": {}}), r#"{"metadata":{},"spec":{}}"#)]
#[case::null_labels(json!({"metadata": {"labels": null}, "spec": {}}), r#"{"metadata":{},"spec":{}}"#)]
#[case::order(
    json!({"spec": {"b": 1, "a": 2.5}, "metadata": {"labels": {"b": "1", "a": "2"}, "annotations": {}}}),
    r#"{"metadata":{"annotations":{},"labels":{"a":"2","b":"1"}},"spec":{"a":2.5,"b":1}}"#
)]
#[case::unicode(json!({"spec": {"é": "ü\n\u{7f}</"}}), "{\"metadata\":null,\"spec\":{\"é\":\"ü\\n\u{7f}</\"}}")]
fn the_text_is_fixed_for_ever(#[case] template: Value, #[case] expected: &str) {
    let template: PodTemplate = serde_json::from_value(template).unwrap();
    assert_eq!(template.text().unwrap(), expected);
}

#[test]
fn keys_are_sorted_however_they_were_written() {
    let written = r#"{"spec":{"z":{"b":1,"a":[{"d":1,"c":2}]},"y":null}}"#;
    let template: PodTemplate = serde_json::from_str(written).unwrap();
    let expected = r#"{"metadata":null,"spec":{"y":null,"z":{"a":[{"c":2,"d":1}],"b":1}}}"#;
    assert_eq!(template.text().unwrap(), expected, "serde_json's feature preserve_order must be off");
}

#[rstest]
#[case(json!({"cluster": "rs"}), Some(Register::Cluster("rs".into())), "RestateCluster rs")]
#[case(json!({"cloud": "eu"}), Some(Register::Cloud("eu".into())), "RestateCloudEnvironment eu")]
#[case(json!({"url": "http://a:9070"}), Some(Register::Url("http://a:9070".into())), "http://a:9070")]
#[case(
    json!({"service": {"name": "a", "namespace": "b"}}),
    Some(Register::Service(AdminService { name: "a".into(), namespace: "b".into(), port: None, path: None })),
    "Service b/a"
)]
#[case::none(json!({}), None, "")]
#[case::two(json!({"cluster": "rs", "cloud": "eu"}), None, "")]
fn there_is_exactly_one_target(
    #[case] stored: Value,
    #[case] expected: Option<Register>,
    #[case] shown: &str,
) {
    let read = serde_json::from_value::<Register>(stored.clone()).ok();
    assert_eq!(read, expected);
    assert_eq!(read.as_ref().map(ToString::to_string).unwrap_or_default(), shown);
    assert_eq!(
        read.as_ref().and_then(Register::cluster),
        stored["cluster"].as_str().filter(|_| read.is_some())
    );
    if let Some(register) = read {
        assert_eq!(serde_json::to_value(register).unwrap(), stored);
    }
}

#[rstest]
#[case::unset(json!({}), DeploymentMode::Replicaset)]
#[case::replicaset(json!({"deploymentMode": "replicaset"}), DeploymentMode::Replicaset)]
#[case::knative(json!({"deploymentMode": "knative"}), DeploymentMode::Knative)]
#[case::settings_alone(json!({"knative": {"tag": "a"}}), DeploymentMode::Replicaset)]
fn the_mode_is_what_is_said(#[case] said: Value, #[case] expected: DeploymentMode) {
    let mut spec = json!({"template": {"spec": {}}, "restate": {"register": {"cluster": "rs"}}});
    spec.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    let spec: RestateDeploymentSpec = serde_json::from_value(spec).unwrap();
    assert_eq!(spec.mode(), expected);
    assert_eq!((spec.replicas, spec.revision_history_limit), (1, 10), "the schema's defaults");
}

#[test]
fn a_pod_spec_is_read_when_somebody_asks() {
    let template: PodTemplate =
        serde_json::from_value(json!({"spec": {"containers": [{"name": "a"}], "ofTheFuture": 1}})).unwrap();
    assert_eq!(template.pod_spec().unwrap().containers[0].name, "a");
    let template: PodTemplate = serde_json::from_value(json!({"spec": {"containers": "none"}})).unwrap();
    assert!(template.pod_spec().is_err());
    assert!(PodTemplate::default().pod_spec().is_err());
}

proptest! {
    /// Whatever labels and annotations there are: reading the text gives the template again, and the same
    /// text.
    #[test]
    fn the_text_is_the_template(
        labels in prop::option::of(prop::collection::btree_map("[a-z./é\"]{1,9}", ".*", 0..4)),
        annotations in prop::option::of(prop::collection::btree_map(".{1,9}", ".*", 0..4)),
        number in any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()),
    ) {
        let metadata = PodTemplateMetadata { annotations, labels };
        let spec = Some(json!({"containers": [], "number": number, "map": BTreeMap::from([("b", 1), ("a", 2)])}));
        let template = PodTemplate { metadata: Some(metadata), spec };
        let text = template.text().unwrap();
        let again: PodTemplate = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(again.text().unwrap(), text);
    }
}
