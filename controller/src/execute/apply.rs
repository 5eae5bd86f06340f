//! Server-side apply: the one place that writes wanted objects.

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use restate_plan::{Manager, Object, ObjectRef};
use serde_json::value::{RawValue, to_raw_value};

use super::{Error, Executor, requests};

impl Executor {
    /// Makes the fields that `object` has ours, and as it says.
    pub(super) async fn apply(&self, manager: Manager, object: &Object) -> Result<(), Error> {
        let reference = object.reference();
        let desired = encode(object)?;
        let params = PatchParams::apply(manager.into()).force();
        let request = requests(&reference).patch(&reference.name, &params, &Patch::Apply(&desired));
        self.answered(&reference, "apply", request).await
    }
}

/// The object as it is sent.
pub(super) fn encode(object: &Object) -> Result<Box<RawValue>, Error> {
    let text = match object {
        Object::ConfigMap(object) => to_raw_value(object),
        Object::HorizontalPodAutoscaler(object) => to_raw_value(object),
        Object::Namespace(object) => to_raw_value(object),
        Object::NetworkPolicy(object) => to_raw_value(object),
        Object::PersistentVolumeClaim(object) => to_raw_value(object),
        Object::PodDisruptionBudget(object) => to_raw_value(object),
        Object::ReplicaSet(object) => to_raw_value(object),
        Object::Service(object) => to_raw_value(object),
        Object::ServiceAccount(object) => to_raw_value(object),
        Object::StatefulSet(object) => to_raw_value(object),
        Object::Foreign(reference, object) => to_raw_value(&typed(reference, object.clone())),
    };
    text.map_err(|source| Error::Encode { object: Box::new(object.reference()), source })
}

fn typed(reference: &ObjectRef, mut object: DynamicObject) -> DynamicObject {
    object.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: reference.api_version.clone(),
        kind: reference.kind.clone(),
    });
    object
}
