//! The shape of a body: which fields there are and of what type, not what they hold.

use std::collections::BTreeMap;

use serde_json::Value;

/// What belongs to a kind, or is there for some objects only.
const OWN: [&str; 10] = [
    "spec",
    "status",
    "labels",
    "annotations",
    "managedFields",
    "ownerReferences",
    "cells",
    "columnDefinitions",
    "schemas",
    "details",
];

/// One line; lines of a stream are apart.
pub(super) fn shape(text: &str) -> String {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return of(&value);
    }
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if lines.is_empty() { "text".to_owned() } else { lines.iter().map(of).collect::<Vec<_>>().join(" | ") }
}

fn of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.first().map(of).unwrap_or_default()),
        Value::Object(fields) => {
            let common =
                fields.iter().filter(|(name, value)| value.is_string() || !OWN.contains(&name.as_str()));
            let fields: BTreeMap<_, _> = common.map(|(name, value)| (name, of(value))).collect();
            let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[test]
fn fields_count_and_values_do_not() {
    let one = r#"{"kind": "A", "items": [{"spec": {"a": 1}, "n": 1}, {"n": 2}]}"#;
    assert_eq!(shape(one), "{items:[{n:number}],kind:text}");
    assert_eq!(shape(one), shape(&one.replace('1', "3").replace("\"A\"", "\"B\"")));
    assert_ne!(shape(one), shape(&one.replace("\"n\": 1", "\"n\": null")));
    assert_eq!(shape("{\"a\":1}\n{\"b\":\"x\"}\n"), "{a:number} | {b:text}");
    assert_eq!(shape("404 page not found"), "text");
}
