//! Manifests against the schemas: what is in use is accepted as it is, and nothing of it is lost; what makes
//! no sense is refused where a schema can say so. The same files are put to a real server by the tests of the
//! lab.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what it calls")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use kube_core::cel::Validator;
use restate_crd::{RestateCloudEnvironment, RestateCluster, RestateDeployment, generate::definitions};
use rstest::rstest;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// All that is wrong with an object, by the schema of its kind and the rules in it.
fn complaints(object: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema(object["kind"].as_str().unwrap());
    let mut structure = schema.clone();
    say_null(&mut structure);
    let structure = jsonschema::validator_for(&structure).unwrap();
    let mut said: Vec<String> =
        structure.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if let Err(errors) = Validator::new().validate(&schema, object, old) {
        said.push(errors.to_string());
    }
    said
}

fn schema(kind: &str) -> Value {
    let definition = definitions().into_iter().find(|definition| definition.spec.names.kind == kind).unwrap();
    let mut definition = serde_json::to_value(definition).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()
}

/// OpenAPI's `nullable`, as JSON schema says it.
fn say_null(schema: &mut Value) {
    if schema.get("nullable") == Some(&json!(true)) && schema.get("type").is_some() {
        schema["type"] = json!([schema["type"], "null"]);
        schema
            .get_mut("enum")
            .and_then(Value::as_array_mut)
            .into_iter()
            .for_each(|words| words.push(Value::Null));
    }
    match schema {
        Value::Object(inner) => inner.values_mut().for_each(say_null),
        Value::Array(inner) => inner.iter_mut().for_each(say_null),
        _ => {}
    }
}

/// The object as our types read it and write it again.
fn through_our_types(object: &Value) -> Result<Value, serde_json::Error> {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
    }
    match object["kind"].as_str() {
        Some("RestateCluster") => through::<RestateCluster>(object),
        Some("RestateDeployment") => through::<RestateDeployment>(object),
        Some("RestateCloudEnvironment") => through::<RestateCloudEnvironment>(object),
        kind => unreachable!("{kind:?}"),
    }
}

/// Whether `whole` says everything that `part` says. What our types add are defaults.
fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|inner| covers(inner, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| covers(whole, part))
        }
        // Kubernetes' quantities and ports are strings or numbers, and mean the same.
        (Value::String(text), Value::Number(number)) => *text == number.to_string(),
        _ => whole == part,
    }
}

fn read(file: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[rstest]
fn what_is_in_use_is_accepted_and_kept(
    #[base_dir = "../tests/manifests"]
    #[files("readme/*.yaml")]
    #[files("accepted/*.yaml")]
    file: PathBuf,
) {
    let object = read(&file);
    assert_eq!(complaints(&object, None), Vec::<String>::new());
    let again = through_our_types(&object).unwrap();
    assert!(covers(&again, &object), "{again:#}");
    assert_eq!(complaints(&again, Some(&object)), Vec::<String>::new());
}

#[rstest]
fn what_makes_no_sense_is_refused(
    #[base_dir = "../tests/manifests"]
    #[files("refused/*.yaml")]
    file: PathBuf,
) {
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# refused: "), "the first line has what the server says");
    // Keys of lists are compared by the server alone: no library here knows x-kubernetes-list-map-keys.
    if !file.ends_with("cluster-duplicate-variable.yaml") {
        assert_ne!(complaints(&read(&file), None), Vec::<String>::new());
    }
}

#[rstest]
#[case::kept(Some("knative"), Some("knative"), true)]
#[case::changed(Some("replicaset"), Some("knative"), false)]
#[case::first_set(None, Some("replicaset"), true)]
fn the_mode_cannot_be_changed(#[case] old: Option<&str>, #[case] new: Option<&str>, #[case] accepted: bool) {
    let with_mode = |mode: Option<&str>| {
        let mut object = read(Path::new("../tests/manifests/readme/deployment.yaml"));
        if let Some(mode) = mode {
            object["spec"]["deploymentMode"] = json!(mode);
        }
        object
    };
    let said = complaints(&with_mode(new), Some(&with_mode(old)));
    assert_eq!(said.is_empty(), accepted, "{said:?}");
}

/// users.md §3 (README): storage grows, never shrinks; its class is immutable.
#[rstest]
#[case::grows(json!({"storageRequestBytes": 1}), json!({"storageRequestBytes": 2}), true)]
#[case::shrinks(json!({"storageRequestBytes": 2}), json!({"storageRequestBytes": 1}), false)]
#[case::same_class(
    json!({"storageRequestBytes": 1, "storageClassName": "a"}),
    json!({"storageRequestBytes": 1, "storageClassName": "a"}),
    true
)]
#[case::other_class(
    json!({"storageRequestBytes": 1, "storageClassName": "a"}),
    json!({"storageRequestBytes": 1, "storageClassName": "b"}),
    false
)]
#[case::the_default_is_named(
    json!({"storageRequestBytes": 1}),
    json!({"storageRequestBytes": 1, "storageClassName": "b"}),
    true
)]
#[case::other_attributes(
    json!({"storageRequestBytes": 1, "volumeAttributesClassName": "slow"}),
    json!({"storageRequestBytes": 1, "volumeAttributesClassName": "fast"}),
    true
)]
fn storage_only_grows(#[case] old: Value, #[case] new: Value, #[case] accepted: bool) {
    let with_storage = |storage: Value| {
        let mut object = read(Path::new("../tests/manifests/readme/cluster-minimal.yaml"));
        object["spec"]["storage"] = storage;
        object
    };
    let said = complaints(&with_storage(new), Some(&with_storage(old)));
    assert_eq!(said.is_empty(), accepted, "{said:?}");
}

/// What an earlier controller stored, status and managed fields included.
#[rstest]
fn recorded_objects_are_read_and_written_unchanged(#[files("tests/recorded/restate*.json")] file: PathBuf) {
    let object: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(complaints(&object, None), Vec::<String>::new());
    assert_eq!(through_our_types(&object).unwrap(), object);
}
