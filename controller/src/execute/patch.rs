//! Merge patches of exactly the object that was seen: its uid is part of each.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{self, PatchParams};
use restate_plan::{Manager, ObjectRef, Patch, Uid};
use serde_json::{Value, json};

use super::{Error, Executor};

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

    pub(super) async fn merge(&self, object: &ObjectRef, patch: &Value) -> Result<(), Error> {
        let manager: &'static str = Manager::Operator.into();
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let objects = self.api(object);
        self.answered(object, "patch", objects.patch(&object.name, &params, &api::Patch::Merge(patch))).await
    }
}
