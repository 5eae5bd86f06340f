//! The schemas of all kinds under names that no other API has, with what makes them Kubernetes objects (O3, O7, O8).

use std::collections::BTreeMap;

use apiserver_kind::Gvk;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::simplify::simplify;
use crate::api::{Mount, SchemaOf};

const REFERENCE: &str = "#/components/schemas/";

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
                           convert recognized schemas to the latest internal value, and may reject unrecognized \
                           values. More info: \
                           https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer \
                    this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More \
                    info: \
                    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const OBJECT_META: &str = "Standard object's metadata. More info: \
                           https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_META: &str = "Standard list metadata. More info: \
                         https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// Named schemas, and where the kinds are among them.
pub(super) struct Schemas {
    components: Map<String, Value>,
    kinds: BTreeMap<Key, String>,
}

type Key = (&'static str, &'static str, &'static str);

fn key(gvk: Gvk) -> Key {
    (gvk.group, gvk.version, gvk.kind)
}

impl Schemas {
    pub(super) fn of((group, version): (&str, &str), mounts: &[Mount]) -> Self {
        let mut generator = SchemaSettings::openapi3().into_generator();
        let prefix = prefix(group, version);
        let mut kinds = BTreeMap::new();
        for (gvk, schema) in mounts.iter().flat_map(schemas_of) {
            let name = referred(&mut generator, schema, gvk);
            kinds.insert(key(gvk), renamed(&name, &prefix));
        }
        let list_meta = generator.subschema_for::<ListMeta>();
        debug_assert!(list_meta.get("$ref").is_some(), "the metadata of lists has a name");
        let named = generator.take_definitions(true).into_iter();
        let components =
            named.map(|(name, schema)| (renamed(&name, &prefix), moved(schema, &prefix))).collect();
        let mut schemas = Self { components, kinds };
        schemas.complete();
        schemas
    }

    pub(super) fn components(&self) -> &Map<String, Value> {
        &self.components
    }

    /// The name of a kind's schema.
    pub(super) fn name(&self, gvk: Gvk) -> Option<&str> {
        self.kinds.get(&key(gvk)).map(String::as_str)
    }

    /// Makes each kind an object of Kubernetes, and adds its list.
    fn complete(&mut self) {
        for schema in self.components.values_mut() {
            simplify(schema);
        }
        for ((group, version, kind), name) in self.kinds.clone() {
            if let Some(mut schema) = self.inlined(&name) {
                make_object(&mut schema, &json!([{"group": group, "version": version, "kind": kind}]));
                self.components.insert(name.clone(), schema);
            }
            let list_kind = format!("{kind}List");
            let mut list = list_of(&name);
            make_object(&mut list, &json!([{"group": group, "version": version, "kind": list_kind}]));
            self.components.insert(format!("{name}List"), list);
        }
    }
}

impl Schemas {
    /// A kind's schema; where it only refers to another one (a newtype), that one's under its own description.
    fn inlined(&self, name: &str) -> Option<Value> {
        let schema = self.components.get(name)?;
        let target = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        let Some(target) = target.and_then(|reference| reference.strip_prefix(REFERENCE)) else {
            return Some(schema.clone());
        };
        let mut inlined = self.components.get(target)?.clone();
        if let Some(description) = schema.get("description") {
            inlined["description"] = description.clone();
        }
        Some(inlined)
    }
}

/// The kinds that a resource and its subresources give and take.
fn schemas_of(mount: &Mount) -> Vec<(Gvk, SchemaOf)> {
    let under = mount.subresources.iter().filter_map(|sub| Some((sub.shape?.gvk, sub.schema?)));
    std::iter::once((mount.shape.gvk, mount.schema)).chain(under).collect()
}

fn referred(generator: &mut SchemaGenerator, schema: SchemaOf, gvk: Gvk) -> String {
    let schema = schema(generator);
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(REFERENCE));
    if let Some(name) = reference {
        return name.to_owned();
    }
    generator.definitions_mut().insert(gvk.kind.to_owned(), schema.to_value());
    gvk.kind.to_owned()
}

/// `control.example.dev/v1` becomes `dev.example.control.v1`.
fn prefix(group: &str, version: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    format!("{}.{version}", parts.join("."))
}

/// Names with a dot belong to Kubernetes and stay.
fn renamed(name: &str, prefix: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The same schema with renamed references.
fn moved(mut schema: Value, prefix: &str) -> Value {
    match &mut schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let name =
                    value.as_str().and_then(|text| text.strip_prefix(REFERENCE)).filter(|_| key == "$ref");
                *value = match name {
                    Some(name) => Value::from(format!("{REFERENCE}{}", renamed(name, prefix))),
                    None => moved(value.take(), prefix),
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = moved(item.take(), prefix);
            }
        }
        _ => {}
    }
    schema
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{REFERENCE}{name}")})
}

fn list_of(name: &str) -> Value {
    let metadata = reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
    json!({
        "description": format!("A list of {}.", name.rsplit('.').next().unwrap_or(name)),
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "description": "The objects.", "items": reference(name)},
            "metadata": {"description": LIST_META, "allOf": [metadata]},
        },
    })
}

fn make_object(schema: &mut Value, gvk: &Value) {
    schema["x-kubernetes-group-version-kind"] = gvk.clone();
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(required) = map.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "metadata");
        if required.is_empty() {
            map.remove("required");
        }
    }
    let Some(properties) = map.entry("properties").or_insert_with(|| json!({})).as_object_mut() else {
        return;
    };
    properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION}));
    properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND}));
    if let Some(metadata) =
        properties.get_mut("metadata").filter(|metadata| metadata.get("description").is_none())
    {
        *metadata = json!({"description": OBJECT_META, "allOf": [metadata.take()]});
    }
}
