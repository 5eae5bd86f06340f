//! Pieces of schema that deriving cannot say.
//!
//! Stage in the flow: none at run time; used where a CRD is generated. Invariant: everything here is structural
//! in the sense of Kubernetes. Not for rules about one field: those stand at the field.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A name that Kubernetes' label values, namespaces and most object names allow.
const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Schema of a whole object: its spec, its status and how long its name may be.
pub(crate) fn object<Spec: JsonSchema, Status: JsonSchema>(
    generator: &mut SchemaGenerator,
    description: &str,
    name_length: Option<u32>,
) -> Schema {
    let mut schema = json_schema!({
        "type": "object",
        "description": description,
        "properties": {
            "spec": generator.subschema_for::<Spec>(),
            "status": generator.subschema_for::<Option<Status>>(),
        },
        "required": ["spec"],
    });
    if let Some(length) = name_length {
        schema.insert("required".to_owned(), json!(["metadata", "spec"]));
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("metadata".to_owned(), metadata(length));
        }
    }
    schema
}

fn metadata(name_length: u32) -> Value {
    let name = json!({"type": "string", "minLength": 1, "maxLength": name_length, "pattern": NAME_PATTERN});
    json!({"type": "object", "properties": {"name": name}})
}

/// Any JSON: passed on as it is, looked at by whoever receives it.
pub(crate) fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// Any JSON object.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A map of strings that may be left out, and may not be null.
pub(crate) fn string_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": {"type": "string"}})
}

/// `T`, that may be left out, and may not be null.
pub(crate) fn not_null<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
