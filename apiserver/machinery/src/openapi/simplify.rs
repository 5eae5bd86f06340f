//! Makes structural what schemars writes in more general words (O8).
//!
//! Absent and null mean the same in Kubernetes, so nothing is nullable; an enumeration is one list of values; integers
//! have one of the two formats that clients know.

use serde_json::{Map, Value};

pub(super) fn simplify(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    without_null(map);
    one_enumeration(map);
    alone(map);
    plain_format(map);
    for key in ["nullable", "$schema", "title"] {
        map.remove(key);
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    children(map);
}

fn children(map: &mut Map<String, Value>) {
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(simplify);
    }
    for key in ["items", "additionalProperties", "not"] {
        if let Some(schema) = map.get_mut(key) {
            simplify(schema);
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(schemas) = map.get_mut(key).and_then(Value::as_array_mut) {
            schemas.iter_mut().for_each(simplify);
        }
    }
}

/// Drops the alternative that allows nothing but null.
fn without_null(map: &mut Map<String, Value>) {
    for key in ["anyOf", "oneOf"] {
        if let Some(schemas) = map.get_mut(key).and_then(Value::as_array_mut) {
            schemas.retain(|schema| !is_null(schema));
        }
    }
    if let Some(values) = map.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
}

fn is_null(schema: &Value) -> bool {
    let only_null =
        schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.iter().all(Value::is_null));
    only_null || schema["type"] == "null" || *schema == serde_json::json!({"nullable": true})
}

/// Alternatives of single words become one list of words, their descriptions one text.
fn one_enumeration(map: &mut Map<String, Value>) {
    let Some(alternatives) = map.get("oneOf").and_then(Value::as_array) else { return };
    let words = |schema: &Value| {
        let values = schema.get("enum").and_then(Value::as_array).cloned();
        values.filter(|values| schema["type"] == "string" && values.iter().all(Value::is_string))
    };
    let Some(values) = alternatives.iter().map(words).collect::<Option<Vec<_>>>() else { return };
    let meaning = |schema: &Value| {
        let text = schema.get("description")?.as_str()?;
        Some(format!("- `{}`: {text}", schema["enum"][0].as_str()?))
    };
    let meanings: Vec<String> = alternatives.iter().filter_map(meaning).collect();
    let own = map.get("description").and_then(Value::as_str).map(ToOwned::to_owned);
    let described: Vec<String> =
        own.into_iter().chain((!meanings.is_empty()).then(|| meanings.join("\n"))).collect();
    map.remove("oneOf");
    map.insert("type".to_owned(), "string".into());
    map.insert("enum".to_owned(), values.concat().into());
    if !described.is_empty() {
        map.insert("description".to_owned(), described.join("\n\n").into());
    }
}

/// One alternative that is left alone takes the place of the choice.
fn alone(map: &mut Map<String, Value>) {
    for key in ["anyOf", "oneOf"] {
        let Some([only]) = map.get(key).and_then(Value::as_array).map(Vec::as_slice) else { continue };
        let only = only.clone();
        map.remove(key);
        if only.get("$ref").is_some() {
            map.insert("allOf".to_owned(), vec![only].into());
        } else if let Value::Object(inner) = only {
            map.extend(inner);
        }
    }
}

fn plain_format(map: &mut Map<String, Value>) {
    let format = match map.get("format").and_then(Value::as_str) {
        Some("uint8" | "int8" | "uint16" | "int16") => "int32",
        Some("uint32" | "uint64" | "uint" | "int") => "int64",
        _ => return,
    };
    map.insert("format".to_owned(), format.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::nullable(json!({"type": "string", "nullable": true, "default": null}), json!({"type": "string"}))]
    #[case::optional_reference(
        json!({"anyOf": [{"$ref": "#/x"}, {"nullable": true, "enum": [null]}], "description": "d"}),
        json!({"allOf": [{"$ref": "#/x"}], "description": "d"})
    )]
    #[case::words(
        json!({"description": "A state.", "oneOf": [
            {"type": "string", "enum": ["On"], "description": "It runs."},
            {"type": "string", "enum": ["Off", "Out"]},
        ]}),
        json!({"type": "string", "enum": ["On", "Off", "Out"], "description": "A state.\n\n- `On`: It runs."})
    )]
    #[case::formats(
        json!({"properties": {"a": {"type": "integer", "format": "uint32"}}}),
        json!({"properties": {"a": {"type": "integer", "format": "int64"}}})
    )]
    #[case::deep(
        json!({"type": "array", "items": {"additionalProperties": {"nullable": true, "type": "string"}}}),
        json!({"type": "array", "items": {"additionalProperties": {"type": "string"}}})
    )]
    fn o8_schemas_become_structural(#[case] mut general: Value, #[case] structural: Value) {
        simplify(&mut general);
        assert_eq!(general, structural);
    }
}
