//! Who owns the fields of what is found: an earlier controller wrote them under several names, and a field that only
//! such a name owns would stay for ever.
//!
//! Stage in the flow: watch (what is kept of the record), plan (whether something is to be taken over), execute (how).
//! Invariant: nobody else's entry changes. Not for the values of fields.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Manager;

/// Whether this is a name under which an earlier controller wrote a part of an object.
fn is_former(manager: &str) -> bool {
    let (ours, status): (&str, &str) = (Manager::Operator.into(), Manager::Status.into());
    let part = manager.strip_prefix(ours).and_then(|rest| rest.strip_prefix('/'));
    manager != status && part.is_some_and(|part| !part.starts_with("lease-"))
}

/// What is kept of a record: that something is to be taken over. The rest costs memory, so it is not even read.
pub(crate) fn kept(record: &str) -> serde_json::Result<String> {
    #[derive(Deserialize, Serialize)]
    struct Entry<'t> {
        manager: Option<Cow<'t, str>>,
    }
    let entries: Vec<Entry<'_>> = serde_json::from_str(record)?;
    let former = |entry: &&Entry<'_>| entry.manager.as_deref().is_some_and(is_former);
    let names: Vec<_> = entries.iter().filter(former).collect();
    serde_json::to_string(&Some(names).filter(|names| !names.is_empty()))
}

/// Whether something is to be taken over.
pub fn is_adopted(meta: &ObjectMeta) -> bool {
    !meta.managed_fields.iter().flatten().any(|entry| entry.manager.as_deref().is_some_and(is_former))
}

/// The record once everything of an earlier controller is ours. `None` where there is nothing of it.
pub fn taken_over(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let ours: &str = Manager::Operator.into();
    let former = |entry: &&ManagedFieldsEntry| entry.manager.as_deref().is_some_and(is_former);
    let mut kept: Vec<_> = entries.iter().filter(|entry| !former(entry)).cloned().collect();
    let whole = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(ours) && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    let first = entries.iter().find(former)?;
    let mut into = match kept.iter().position(whole) {
        Some(at) => kept.remove(at),
        None => {
            ManagedFieldsEntry { operation: Some("Update".to_owned()), subresource: None, ..first.clone() }
        }
    };
    into.manager = Some(ours.to_owned());
    let mut fields = into.fields_v1.take().map_or_else(|| Value::Object(Map::new()), |fields| fields.0);
    for entry in entries.iter().filter(former) {
        if let Some(FieldsV1(more)) = &entry.fields_v1 {
            unite(&mut fields, more);
        }
    }
    kept.insert(0, ManagedFieldsEntry { fields_v1: Some(FieldsV1(fields)), ..into });
    Some(kept)
}

/// Sets of fields are trees of maps.
fn unite(into: &mut Value, more: &Value) {
    let (Value::Object(into), Value::Object(more)) = (into, more) else { return };
    for (key, value) in more {
        unite(into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(value: Value) -> Vec<ManagedFieldsEntry> {
        serde_json::from_value(value).unwrap()
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields,
               "apiVersion": "apps/v1"})
    }

    /// adoption.md, rule 3: the parts become ours, also what was written through the scale subresource.
    #[test]
    fn the_parts_of_an_earlier_controller_become_ours() {
        let id = json!({"f:metadata": {"f:annotations": {"f:restate.dev/deployment-id": {}}}});
        let made = json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:selector": {}}});
        let mut scale = entry("restate-operator/scale-down", "Apply", &json!({"f:spec": {"f:replicas": {}}}));
        scale["subresource"] = json!("scale");
        let status = entry("restate-operator/status", "Update", &json!({"f:status": {}}));
        let others = entry("kube-controller-manager", "Update", &json!({"f:status": {"f:replicas": {}}}));
        let before = entries(json!([
            scale,
            entry("restate-operator/deployment-id", "Apply", &id),
            entry("restate-operator", "Update", &made),
            others,
            status,
        ]));
        let after = serde_json::to_value(taken_over(&before).unwrap()).unwrap();
        let united = json!({
            "f:metadata": {"f:annotations": {"f:restate.dev/deployment-id": {}}, "f:labels": {"f:app": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {}},
        });
        assert_eq!(after, json!([entry("restate-operator", "Update", &united), others, status]));
        assert_eq!(taken_over(&entries(after)), None, "once is enough");
    }

    #[test]
    fn a_part_alone_becomes_ours_too() {
        let part = entry("restate-operator/deployment-id", "Apply", &json!({"f:metadata": {}}));
        let ours = entry("restate-operator", "Update", &json!({"f:metadata": {}}));
        let after = taken_over(&entries(json!([part]))).unwrap();
        assert_eq!(serde_json::to_value(after).unwrap(), json!([ours]));
    }

    #[test]
    fn of_the_record_only_what_is_to_be_taken_over_is_kept() {
        let all = json!([
            entry("restate-operator/scale-down", "Apply", &json!({"f:spec": {}})),
            entry("restate-operator", "Update", &json!({"f:spec": {}})),
            entry("kubectl", "Update", &json!({"f:spec": {}})),
        ]);
        assert_eq!(kept(&all.to_string()).unwrap(), r#"[{"manager":"restate-operator/scale-down"}]"#);
        let status = json!([entry("restate-operator/status", "Update", &json!({"f:status": {}}))]);
        assert_eq!(kept(&status.to_string()).unwrap(), "null");
    }
}
