//! An object as the API server sends it, read without the record of who owns which field: that is longer than all the
//! rest, and whoever reads it whole makes a tree of it only to throw it away.
//!
//! Stage in the flow: watch, and the answers to writes. Invariant: an object that cannot be read is told from others by
//! its metadata, and does not make them unreadable. Not for whoever changes the record: execute asks for that one.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::{PartialObjectMeta, Resource};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::ownership;

/// An object, or why it cannot be read.
#[derive(Clone, Debug)]
pub struct Received<K>(pub Result<K, Unreadable>);

/// An object of another shape than its kind has.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unreadable {
    /// What is wrong.
    pub error: String,
    /// Whose it is.
    pub metadata: Box<ObjectMeta>,
}

impl<'de, K: Resource + DeserializeOwned> Deserialize<'de> for Received<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let text = short(text.get());
        let object = serde_json::from_str::<K>(&text);
        Ok(Self(match object {
            Ok(object) => Ok(object),
            Err(error) => {
                let partial =
                    serde_json::from_str::<PartialObjectMeta<K>>(&text).map_err(D::Error::custom)?;
                Err(Unreadable { error: error.to_string(), metadata: Box::new(partial.metadata) })
            }
        }))
    }
}

impl<K: Resource> Resource for Received<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &K::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &K::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &K::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| unreadable.metadata.as_ref(), K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| unreadable.metadata.as_mut(), K::meta_mut)
    }
}

/// The object with no more of the record than what is kept of it.
fn short(text: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Envelope<'t> {
        #[serde(borrow)]
        metadata: Metadata<'t>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata<'t> {
        #[serde(borrow)]
        managed_fields: Option<&'t RawValue>,
    }
    let found = serde_json::from_str::<Envelope<'_>>(text).ok();
    let Some(record) = found.and_then(|found| found.metadata.managed_fields) else { return text.into() };
    let Ok(kept) = ownership::kept(record.get()) else { return text.into() };
    let begin = record.get().as_ptr().addr() - text.as_ptr().addr();
    let end = begin + record.get().len();
    [&text[..begin], &kept, &text[end..]].concat().into()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
    use kube_core::ObjectList;
    use kube_core::watch::WatchEvent;
    use serde_json::{Value, json};

    use super::*;

    fn service(managers: &[&str], port: &Value) -> String {
        let entry = |manager: &&str| {
            json!({"manager": manager, "operation": "Apply", "time": "2026-01-01T00:00:00Z",
                                            "fieldsV1": {"f:spec": {"f:ports": {"k:{\"port\":1}": {".": {}}}}}})
        };
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "shop", "annotations": {"note": "\"managedFields\":[{}]"},
                         "managedFields": managers.iter().map(entry).collect::<Vec<_>>(), "uid": "u"},
            "spec": {"ports": [{"port": port}]},
        })
        .to_string()
    }

    fn read(text: &str) -> Received<Service> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn everything_is_read_but_the_record_of_owners() {
        let text = service(&["restate-operator", "kubectl"], &json!(80));
        let mut whole: Service = serde_json::from_str(&text).unwrap();
        assert_eq!(whole.metadata.managed_fields.take().unwrap_or_default().len(), 2);
        assert_eq!(read(&text).0.unwrap(), whole);
    }

    #[test]
    fn of_the_record_it_is_kept_that_something_is_to_be_taken_over() {
        let text = service(&["restate-operator/a", "kubectl", "restate-operator"], &json!(80));
        let metadata = read(&text).0.unwrap().metadata;
        let entry =
            |manager: &str| ManagedFieldsEntry { manager: Some(manager.to_owned()), ..Default::default() };
        assert_eq!(metadata.managed_fields, Some(vec![entry("restate-operator/a")]));
        assert!(!ownership::is_adopted(&metadata));
    }

    #[test]
    fn an_object_without_a_record_or_metadata_is_read() {
        for text in
            [r#"{"metadata": {"name": "a"}}"#, r#"{"metadata": {"managedFields": null, "name": "a"}}"#]
        {
            assert_eq!(read(text).0.unwrap().metadata.name.as_deref(), Some("a"));
        }
        assert!(read(r#"{"spec": {}}"#).0.unwrap().metadata.name.is_none());
    }

    #[test]
    fn an_object_of_another_shape_is_told_from_others() {
        let items = [service(&["x"], &json!("http")), service(&[], &json!(80))].join(",");
        let list = format!(r#"{{"kind":"ServiceList","apiVersion":"v1","metadata":{{}},"items":[{items}]}}"#);
        let list = serde_json::from_str::<ObjectList<Received<Service>>>(&list).unwrap().items;
        let unreadable = list[0].0.as_ref().unwrap_err();
        assert_eq!(unreadable.metadata.name.as_deref(), Some("a"));
        assert!(unreadable.error.contains("\"http\""), "{unreadable}");
        assert!(list[1].0.is_ok());
    }

    #[test]
    fn an_event_of_a_watch_is_read() {
        let event = format!(r#"{{"type":"MODIFIED","object":{}}}"#, service(&["x"], &json!(80)));
        let event: WatchEvent<Received<Service>> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, WatchEvent::Modified(Received(Ok(_)))));
    }
}
