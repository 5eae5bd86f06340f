//! Server-side apply: the one place that writes wanted objects.

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use restate_plan::{Manager, Object, ObjectRef};
use serde::Serialize;
use serde_json::Value;

use super::{Error, Executor};

impl Executor {
    /// Makes the fields that `object` has ours, and as it says.
    pub(super) async fn apply(&self, manager: Manager, object: &Object) -> Result<(), Error> {
        let reference = object.reference();
        let desired = encode(object)?;
        let params = PatchParams::apply(manager.into()).force();
        let api = self.api(&reference);
        let patch = Patch::Apply(&desired);
        self.answered(&reference, "apply", api.patch(&reference.name, &params, &patch)).await
    }
}

/// The object as it is sent.
pub(super) fn encode(object: &Object) -> Result<DynamicObject, Error> {
    let reference = object.reference();
    let value = match object {
        Object::ConfigMap(object) => value(object),
        Object::HorizontalPodAutoscaler(object) => value(object),
        Object::Namespace(object) => value(object),
        Object::NetworkPolicy(object) => value(object),
        Object::PersistentVolumeClaim(object) => value(object),
        Object::PodDisruptionBudget(object) => value(object),
        Object::ReplicaSet(object) => value(object),
        Object::Service(object) => value(object),
        Object::ServiceAccount(object) => value(object),
        Object::StatefulSet(object) => value(object),
        Object::Foreign(_, object) => return Ok(typed(&reference, object.clone())),
    };
    let object = value.and_then(serde_json::from_value::<DynamicObject>);
    let object = object.map_err(|source| Error::Encode { object: Box::new(reference.clone()), source })?;
    Ok(typed(&reference, object))
}

fn value<T: Serialize>(object: &T) -> Result<Value, serde_json::Error> {
    serde_json::to_value(object)
}

fn typed(reference: &ObjectRef, mut object: DynamicObject) -> DynamicObject {
    object.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: reference.api_version.clone(),
        kind: reference.kind.clone(),
    });
    object
}
