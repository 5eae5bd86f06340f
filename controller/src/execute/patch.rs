//! Merge patches of exactly the object that was seen: its uid is part of each.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::{self, PatchParams};
use restate_plan::{Manager, ObjectRef, Patch, Uid};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Error, Executor, requests};
use crate::watches::told;

type Values = BTreeMap<String, Option<String>>;

impl Executor {
    /// Sets or removes annotations.
    pub(super) async fn annotate(&self, object: &ObjectRef, uid: &Uid, values: &Values) -> Result<(), Error> {
        self.merge(object, &json!({"metadata": {"uid": uid.0, "annotations": values}})).await
    }

    /// Sets and removes all that is to be different, in one write.
    pub(super) async fn patch(&self, patch: &Patch) -> Result<(), Error> {
        let Patch { object, uid, annotations, labels, replicas } = patch;
        let mut body = json!({"metadata": {"uid": uid.0}});
        for (field, values) in [("annotations", annotations), ("labels", labels)] {
            if !values.is_empty() {
                body["metadata"][field] = json!(values);
            }
        }
        if let Some(replicas) = replicas {
            body["spec"] = json!({"replicas": replicas});
        }
        self.merge(object, &body).await
    }

    /// Sets the owner references.
    pub(super) async fn own(
        &self,
        object: &ObjectRef,
        uid: &Uid,
        owners: &[OwnerReference],
    ) -> Result<(), Error> {
        self.merge(object, &json!({"metadata": {"uid": uid.0, "ownerReferences": owners}})).await
    }

    /// Sets how many pods are wanted.
    pub(super) async fn scale(&self, object: &ObjectRef, uid: &Uid, replicas: i32) -> Result<(), Error> {
        self.merge(object, &json!({"metadata": {"uid": uid.0}, "spec": {"replicas": replicas}})).await
    }

    /// A stateful set that leaves its pods to us.
    pub(super) async fn leave_pods(&self, object: &ObjectRef, uid: &Uid) -> Result<(), Error> {
        let strategy = json!({"type": "OnDelete", "rollingUpdate": null});
        self.merge(object, &json!({"metadata": {"uid": uid.0}, "spec": {"updateStrategy": strategy}})).await
    }

    /// Writes a status, and gives the object as it is then, where it can be read.
    pub(crate) async fn publish<K>(&self, object: &ObjectRef, patch: &Value) -> Result<Option<K>, Error>
    where
        K: Resource + DeserializeOwned,
    {
        let (params, patch) = (params(Manager::Status), api::Patch::Merge(patch));
        let request = requests(object).patch_subresource("status", &object.name, &params, &patch);
        let answer = self.sent(object, "patch", request).await?;
        Ok(told(object, &answer))
    }

    pub(super) async fn merge(&self, object: &ObjectRef, patch: &Value) -> Result<(), Error> {
        let (params, patch) = (params(Manager::Operator), api::Patch::Merge(patch));
        let request = requests(object).patch(&object.name, &params, &patch);
        self.answered(object, "patch", request).await
    }
}

fn params(manager: Manager) -> PatchParams {
    let manager: &'static str = manager.into();
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}
