//! Deletion of exactly the object that was seen.

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use restate_plan::{ObjectRef, Propagation, Uid};

use super::{Error, Executor, within};

impl Executor {
    /// Deletes the object. That it is gone already is what was wanted; another of its name stays.
    pub(super) async fn delete(
        &self,
        object: &ObjectRef,
        uid: &Uid,
        after: Propagation,
    ) -> Result<(), Error> {
        let params = DeleteParams {
            propagation_policy: Some(match after {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            preconditions: Some(Preconditions { uid: Some(uid.0.clone()), ..Preconditions::default() }),
            ..DeleteParams::default()
        };
        let api = self.api(object);
        let request = api.delete(&object.name, &params);
        match tokio::time::timeout(super::API_DEADLINE, request).await {
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(answer) => within(object, "delete", std::future::ready(answer)).await.map(drop),
            Err(_) => Err(Error::Slow { verb: "delete", object: Box::new(object.clone()) }),
        }
    }
}
