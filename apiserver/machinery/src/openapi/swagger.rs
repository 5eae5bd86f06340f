//! Schemas in the words of Swagger 2: other references, no choices (O10).

use serde_json::{Map, Value};

pub(super) fn definitions(components: &Map<String, Value>) -> Map<String, Value> {
    components.iter().map(|(name, schema)| (name.clone(), schema_of(schema))).collect()
}

/// One schema; what Swagger cannot say is left open.
pub(super) fn schema_of(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(object(map)),
        Value::Array(items) => items.iter().map(schema_of).collect(),
        other => other.clone(),
    }
}

fn object(map: &Map<String, Value>) -> Map<String, Value> {
    let mut plain = Map::new();
    for (key, value) in map {
        match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let reference = reference.replace("#/components/schemas/", "#/definitions/");
                plain.insert(key.clone(), reference.into());
            }
            ("allOf", Value::Array(items)) => plain.extend(merged(items)),
            ("anyOf" | "oneOf" | "not", _) => {}
            _ => {
                plain.insert(key.clone(), schema_of(value));
            }
        }
    }
    plain
}

/// A single reference among all stands for itself.
fn merged(items: &[Value]) -> Map<String, Value> {
    items.iter().filter_map(Value::as_object).flat_map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn o10_references_move_and_choices_go() {
        let schema = json!({
            "properties": {
                "metadata": {"description": "d", "allOf": [{"$ref": "#/components/schemas/a.B"}]},
                "either": {"description": "e", "anyOf": [{"type": "string"}, {"type": "integer"}]},
                "allOf": {"type": "string"},
            },
        });
        let plain = json!({
            "properties": {
                "metadata": {"description": "d", "$ref": "#/definitions/a.B"},
                "either": {"description": "e"},
                "allOf": {"type": "string"},
            },
        });
        assert_eq!(schema_of(&schema), plain);
    }
}
