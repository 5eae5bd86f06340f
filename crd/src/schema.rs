//! Pieces of schema that deriving cannot say.
//!
//! Stage in the flow: none at run time; used where a CRD is generated. Invariant: everything here is
//! structural in the sense of Kubernetes. Not for rules about one field: those stand at the field.

use k8s_openapi::{api::core::v1::EnvVar, apimachinery::pkg::apis::meta::v1::LabelSelector};
use schemars::{
    JsonSchema, Schema, SchemaGenerator, json_schema,
    transform::{Transform, transform_subschemas},
};
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
    rewrap(&mut schema);
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

/// Labels of nodes, owned as a whole.
pub(crate) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string"},
        "x-kubernetes-map-type": "atomic",
    })
}

/// A selector of pods, owned as a whole.
pub(crate) fn selector(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = kubernetes::<LabelSelector>(generator);
    schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    schema
}

/// Environment variables, each owned by itself.
pub(crate) fn env(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = kubernetes::<Option<Vec<EnvVar>>>(generator);
    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
    schema
}

/// A type of Kubernetes' own, taken whole. Of its documentation the first sentences stay: the rest would make
/// the definition too large for `kubectl apply`, and is a click away.
pub(crate) fn kubernetes<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    FirstSentence.transform(&mut schema);
    schema
}

/// One of the words that the variants of `T` stand for, or nothing.
pub(crate) fn choice<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let schema = T::json_schema(generator).to_value();
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let words: Vec<&Value> = variants.map(|variant| &variant["const"]).collect();
    json_schema!({"type": "string", "enum": words, "nullable": true})
}

/// A number of copies, or how far they are apart. Of the limits, those of numbers hold for numbers, the pattern for
/// text.
pub(crate) fn replication(_: &mut SchemaGenerator) -> Schema {
    let scope = "(region|zone|node): *[1-9]";
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "nullable": true,
        "minimum": 1,
        "maximum": 9,
        "pattern": format!("^([1-9]|[{{] *{scope} *(, *{scope} *)*[}}])$"),
    })
}

struct FirstSentence;

impl Transform for FirstSentence {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let text = schema.get("description").and_then(Value::as_str);
        if let Some(sentence) = text.map(first_sentence) {
            schema.insert("description".to_owned(), sentence.into());
        }
    }
}

fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    let end =
        paragraph.match_indices(". ").map(|(end, _)| end).find(|end| !paragraph[..*end].ends_with("e.g"));
    end.map_or(paragraph.clone(), |end| paragraph[..=end].to_owned())
}

/// Line ends of a source file mean nothing to a reader; paragraphs do.
fn rewrap(schema: &mut Schema) {
    struct Rewrap;
    impl Transform for Rewrap {
        fn transform(&mut self, schema: &mut Schema) {
            transform_subschemas(self, schema);
            if let Some(Value::String(text)) = schema.get_mut("description") {
                let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
                *text = paragraphs.collect::<Vec<_>>().join("\n\n");
            }
        }
    }
    Rewrap.transform(schema);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one("Name of it.", "Name of it.")]
    #[case::two("Name of it. More info: elsewhere.", "Name of it.")]
    #[case::unfinished("Name of it", "Name of it")]
    #[case::paragraph("Name\nof it\n\nThis is alpha.", "Name of it")]
    #[case::abbreviation("A unit, e.g. a byte. Optional.", "A unit, e.g. a byte.")]
    fn the_first_sentence_stays(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(first_sentence(text), expected);
    }
}
