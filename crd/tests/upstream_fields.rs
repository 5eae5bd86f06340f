//! Every field that manifests in use may have is here, of the same type, under the same constraints: no more,
//! or a manifest would be refused; no less, or a controller would meet values that it never met.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what it calls")]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition,
};
use restate_crd::generate::definitions;
use rstest::rstest;
use serde_json::Value;

const FIELDS: &str = include_str!("upstream-fields.tsv");

#[derive(Debug, PartialEq, Eq)]
struct Field {
    required: bool,
    kind: String,
    constraints: BTreeSet<String>,
}

/// The lines of one kind: its header's words, its columns, its fields.
struct Expected<'a> {
    header: Vec<&'a str>,
    columns: Vec<&'a str>,
    fields: BTreeMap<&'a str, Field>,
}

impl<'a> Expected<'a> {
    fn of(kind: &str) -> Self {
        let start = format!("# {kind} ");
        let mut lines = FIELDS.lines().skip_while(|line| !line.starts_with(&start));
        let header = lines.next().unwrap().split_whitespace().skip(2).collect();
        let lines: Vec<&'a str> = lines.take_while(|line| !line.starts_with("# Restate")).collect();
        let columns = lines.iter().filter_map(|line| line.strip_prefix("# column ")).collect();
        let fields = lines.iter().filter(|line| line.starts_with('.')).map(|line| parse(line)).collect();
        Self { header, columns, fields }
    }
}

fn parse(line: &str) -> (&str, Field) {
    let cells: Vec<&str> = line.split('\t').collect();
    let (path, required) = cells[0].strip_suffix('*').map_or((cells[0], false), |path| (path, true));
    let constraints = cells[2].split("; ").filter(|text| !text.is_empty()).map(ToOwned::to_owned).collect();
    (path, Field { required, kind: cells[1].to_owned(), constraints })
}

fn definition(kind: &str) -> CustomResourceDefinition {
    definitions().into_iter().find(|definition| definition.spec.names.kind == kind).unwrap()
}

/// What our schema says at every path.
fn fields(kind: &str) -> BTreeMap<String, Field> {
    let definition = serde_json::to_value(definition(kind)).unwrap();
    let mut found = BTreeMap::new();
    walk(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", false, &mut found);
    found
}

fn walk(schema: &Value, path: &str, required: bool, found: &mut BTreeMap<String, Field>) {
    let required_names: Vec<&str> = list(&schema["required"]).iter().filter_map(Value::as_str).collect();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(inner, &format!("{path}.{name}"), required_names.contains(&name.as_str()), found);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), false, found);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &format!("{path}{{}}"), false, found);
    }
    found
        .insert(path.to_owned(), Field { required, kind: kind_of(schema), constraints: constraints(schema) });
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn kind_of(schema: &Value) -> String {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    let otherwise = if int_or_string { "int-or-string" } else { "?" };
    schema["type"].as_str().unwrap_or(otherwise).to_owned()
}

/// Everything that a schema says beyond its shape and its words.
fn constraints(schema: &Value) -> BTreeSet<String> {
    const SHAPE: [&str; 10] = [
        "type",
        "description",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "x-kubernetes-int-or-string",
        "x-kubernetes-map-type",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];
    let said = schema.as_object().into_iter().flatten().filter(|(key, _)| !SHAPE.contains(&key.as_str()));
    said.flat_map(|(key, value)| constraint(key, value)).collect()
}

fn constraint(key: &str, value: &Value) -> Vec<String> {
    let words = |values: &[Value]| values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|");
    match key {
        "enum" => vec![format!("enum={}", words(list(value)))],
        "oneOf" => {
            let mut alternatives: Vec<String> =
                list(value).iter().map(|one| words(list(&one["required"]))).collect();
            alternatives.sort();
            vec![format!("oneOf={}", alternatives.join("/"))]
        }
        "x-kubernetes-validations" => {
            list(value).iter().map(|rule| format!("rule: {}", rule["rule"].as_str().unwrap())).collect()
        }
        _ => vec![format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))],
    }
}

/// The constraints as they are expected, in the order in which they are compared.
fn expected(mut field: Field) -> Field {
    let sorted = |text: String| match text.strip_prefix("oneOf=") {
        Some(alternatives) => {
            let mut names: Vec<&str> = alternatives.split('/').collect();
            names.sort_unstable();
            format!("oneOf={}", names.join("/"))
        }
        None => text,
    };
    field.constraints = field.constraints.into_iter().map(sorted).collect();
    if field.kind == "int-or-string" && !field.required {
        // Null is accepted here too; nothing that was accepted is refused for it.
        field.constraints.insert("nullable=true".to_owned());
    }
    field
}

/// What is refused although it was accepted: changes that could never be acted on, and were documented so.
const STRICTER: [&str; 2] = [
    "rule: self.storageRequestBytes >= oldSelf.storageRequestBytes",
    "rule: !has(self.storageClassName) || !has(oldSelf.storageClassName) || self.storageClassName == \
     oldSelf.storageClassName",
];

#[rstest]
fn every_field_is_as_it_was(
    #[values("RestateCluster", "RestateDeployment", "RestateCloudEnvironment")] kind: &str,
) {
    let mut ours = fields(kind);
    for field in ours.values_mut() {
        field.constraints.retain(|constraint| !STRICTER.contains(&constraint.as_str()));
    }
    let wrong: Vec<String> = Expected::of(kind)
        .fields
        .into_iter()
        .map(|(path, field)| (path, expected(field)))
        .filter(|(path, field)| ours.get(*path) != Some(field))
        .map(|(path, field)| format!("{path}\n  wanted {field:?}\n  found  {:?}", ours.get(path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rstest]
#[case("RestateCluster", 128)]
#[case("RestateDeployment", 63)]
#[case("RestateCloudEnvironment", 25)]
fn the_list_of_fields_is_whole(#[case] kind: &str, #[case] count: usize) {
    assert_eq!(Expected::of(kind).fields.len(), count);
}

#[rstest]
fn what_is_ours_is_optional(
    #[values("RestateCluster", "RestateDeployment", "RestateCloudEnvironment")] kind: &str,
) {
    let known = Expected::of(kind).fields;
    // Types of Kubernetes' own are cut short in the list; what they require, they always required.
    let whole = |parent: &str| known.keys().any(|path| path.starts_with(&format!("{parent}.")));
    let demanded: Vec<String> = fields(kind)
        .into_iter()
        .filter(|(path, field)| field.required && !known.contains_key(path.as_str()))
        .filter(|(path, _)| {
            path.starts_with(".spec") && path.rsplit_once('.').is_some_and(|(parent, _)| whole(parent))
        })
        .map(|(path, _)| path)
        .collect();
    assert!(demanded.is_empty(), "{demanded:?}");
}

#[rstest]
fn names_scope_and_subresources_are_as_they_were(
    #[values("RestateCluster", "RestateDeployment", "RestateCloudEnvironment")] kind: &str,
) {
    let header = Expected::of(kind).header;
    let spec = definition(kind).spec;
    let version = &spec.versions[0];
    assert_eq!(format!("{}/{}", spec.group, version.name), header[0]);
    assert_eq!((spec.names.plural.as_str(), spec.scope.as_str()), (header[1], header[2]));
    assert_eq!(spec.names.singular, Some(kind.to_lowercase()));
    assert_eq!(spec.names.short_names, Some(vec![header[3].to_owned()]));
    assert!(version.served && version.storage && spec.versions.len() == 1);
    let subresources = version.subresources.as_ref().unwrap();
    assert!(subresources.status.is_some(), "every kind of ours has a status");
    let scale = subresources.scale.as_ref().map(|scale| {
        let selector = scale.label_selector_path.as_deref().unwrap();
        vec![scale.spec_replicas_path.as_str(), scale.status_replicas_path.as_str(), selector]
    });
    assert_eq!(scale, header.get(5..8).map(<[&str]>::to_vec));
}

/// Columns come in the order that people's eyes and scripts know; what is ours follows, in the wide view
/// alone.
#[rstest]
#[case("RestateCluster", 0)]
#[case("RestateDeployment", 3)]
fn columns_are_as_they_were(#[case] kind: &str, #[case] ours: usize) {
    let columns = definition(kind).spec.versions[0].additional_printer_columns.clone().unwrap();
    let shown: Vec<String> = columns.iter().map(line).collect();
    let expected = Expected::of(kind).columns;
    assert_eq!(shown[..expected.len()], expected[..]);
    assert_eq!(columns[expected.len()..].iter().filter(|column| column.priority == Some(1)).count(), ours);
    assert_eq!(columns.len(), expected.len() + ours);
}

fn line(column: &CustomResourceColumnDefinition) -> String {
    let CustomResourceColumnDefinition { name, type_, json_path, priority, .. } = column;
    format!("{name} {type_} {json_path} priority {}", priority.unwrap_or_default())
}

#[rstest]
fn every_field_of_ours_is_described(
    #[values("RestateCluster", "RestateDeployment", "RestateCloudEnvironment")] kind: &str,
) {
    let definition = serde_json::to_value(definition(kind)).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut silent = Vec::new();
    undescribed(schema, "", &mut silent);
    silent.retain(|path| !path.starts_with(".metadata"));
    assert!(silent.is_empty(), "{silent:?}");
}

fn undescribed(schema: &Value, path: &str, silent: &mut Vec<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if inner["description"].as_str().is_none_or(str::is_empty) {
            silent.push(path.clone());
        }
        undescribed(inner, &path, silent);
        undescribed(&inner["items"], &format!("{path}[]"), silent);
    }
}
