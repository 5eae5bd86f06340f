//! The finalizer: there before the first step, gone after the last. kube makes the patches.

use std::convert::Infallible;
use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{self, finalizer};
use restate_plan::{Finalizer, ObjectRef};

use super::{Context, Error, Kind};
use crate::execute;

/// Whether it has to be set first.
pub(super) fn is_missing<K: Kind>(object: &K, wanted: Finalizer) -> bool {
    wanted == Finalizer::Keep
        && object.meta().deletion_timestamp.is_none()
        && !object.finalizers().iter().any(|name| name == K::FINALIZER)
}

/// Sets it where it is missing; takes it away where the object is being deleted.
pub(super) async fn change<K: Kind>(object: &Arc<K>, context: &Context) -> Result<(), Error> {
    let api = object.api(&context.client);
    // Whatever has to be done before it goes was done by the plan's steps.
    let nothing_left = |_| async { Ok::<_, Infallible>(Action::await_change()) };
    if !context.executor.lease.outlives(execute::API_DEADLINE) {
        return Err(execute::Error::Lease { step: "Finalize", needed: execute::API_DEADLINE }.into());
    }
    let changed = finalizer(&api, K::FINALIZER, object.clone(), nothing_left);
    match tokio::time::timeout(execute::API_DEADLINE, changed).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure(object.as_ref(), error)),
        Err(_) => {
            Err(execute::Error::Slow { verb: "patch", object: Box::new(reference(object.as_ref())) }.into())
        }
    }
}

fn failure<K: Kind>(object: &K, error: finalizer::Error<Infallible>) -> Error {
    let object = Box::new(reference(object));
    match error {
        finalizer::Error::AddFinalizer(kube::Error::Api(status))
        | finalizer::Error::RemoveFinalizer(kube::Error::Api(status))
            if matches!(status.code, 404 | 409 | 422) =>
        {
            // The patch tests what it rests on: the finalizers are others by now, or the object is gone.
            execute::Error::Overtaken { object }.into()
        }
        finalizer::Error::AddFinalizer(source) | finalizer::Error::RemoveFinalizer(source) => {
            execute::Error::Api { verb: "patch the finalizers of", object, source: Box::new(source) }.into()
        }
        other => Error::Finalize { source: Box::new(other) },
    }
}

fn reference<K: Kind>(object: &K) -> ObjectRef {
    ObjectRef::of::<K>(object.meta().namespace.as_deref(), &object.name_any())
}
